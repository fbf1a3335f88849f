"""A flow that runs without a task while its request is in flight.

An order has to wait for one thing, the broker's answer. So its flow is stepped where it is launched, up to the write,
and again where the connection has the reply; no task is made and none is switched to. Where something else has to wait
(a connection, a limit, the journal, another kind of effect) the driver's task takes over, and does the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from dragoman.errors import DragomanError, Effect
from dragoman.plugin import Flow, Reply, Request
from dragoman.session.sender import Flight

if TYPE_CHECKING:
    from dragoman.session.driver import FlowDriver, Run
    from dragoman.transport.base import Line

OnOutcome = Callable[[Any, BaseException | None], object]
"""Told once how a flow ended: its value, or its error. It must not raise."""


class Launched:
    """One flow, until its end is told; `FlowDriver.launch` makes it."""

    __slots__ = ("_before", "_driver", "_flow", "_landed", "_line", "_on_outcome", "_run")

    def __init__(self, driver: FlowDriver, flow: Flow[Any], run: Run, on_outcome: OnOutcome) -> None:
        self._driver = driver
        self._flow = flow
        self._run = run
        self._on_outcome: OnOutcome | None = on_outcome
        self._before = 0
        self._line: Line | None = None
        self._landed: asyncio.Future[None] | None = None

    def go_on(self, value: Any = None, thrown: DragomanError | None = None) -> None:
        """Step the flow and do what it asks for: at once where that can be, else in a task."""
        driver, run = self._driver, self._run
        while True:
            try:
                ended, effect = driver.step(self._flow, run, value, thrown)
            except BaseException as error:  # noqa: BLE001 - it goes to whoever launched
                self.end(None, error)
                return
            if ended:
                self.end(effect, None)
                return
            begun: Flight | None = None
            if isinstance(effect, Request) and effect.mutates and run.allow_mutates:
                self._before = run.unsettled
                try:
                    sent = driver.sender.begin(effect, run.deadline_ns, self._commit, self._replied)
                except DragomanError as error:
                    value, thrown = None, self._failed(error)
                    continue
                except BaseException as error:  # noqa: BLE001 - it goes to whoever launched
                    self.end(None, error)
                    return
                if not isinstance(sent, Flight):
                    self._line = sent
                    driver.flying[self] = None
                    return
                begun = sent
            task = driver.take_over(self._flow, run, effect, begun)
            task.add_done_callback(self._taken_over)
            return

    def _commit(self, request: Request) -> Awaitable[object] | None:
        return self._driver.commit(self._run, request, self._before)

    def _replied(self, found: Reply | Exception) -> None:
        """Go on with what the request in flight came to."""
        if self._on_outcome is None:
            return  # given up meanwhile
        self._line = None
        self._driver.flying.pop(self, None)
        if isinstance(found, Reply):
            self._run.replied = self._run.answered = True
            self.go_on(found)
        elif isinstance(found, DragomanError):
            self.go_on(None, self._failed(found))
        else:
            self.end(None, found)

    def _failed(self, error: DragomanError) -> DragomanError:
        if error.effect is Effect.NONE:
            self._run.unsettled = self._before
        self._run.answered = error.effect is Effect.APPLIED
        return error

    def _taken_over(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            self.end(None, self._driver.closed() if self._driver.closing else asyncio.CancelledError())
        elif (error := task.exception()) is not None:
            self.end(None, error)
        else:
            self.end(task.result(), None)

    def end(self, value: Any, error: BaseException | None) -> None:
        """Tell how the flow ended, once."""
        on_outcome, self._on_outcome = self._on_outcome, None
        if on_outcome is None:
            return
        self._flow.close()
        if error is not None:
            self._driver.ended(error)
        on_outcome(value, error)
        if self._landed is not None and not self._landed.done():
            self._landed.set_result(None)

    def landed(self) -> asyncio.Future[None]:
        """Return a future that is done once the end was told."""
        if self._landed is None:
            self._landed = asyncio.get_running_loop().create_future()
        return self._landed

    def give_up(self, error: DragomanError) -> None:
        """End with `error` whatever the broker may still answer."""
        line, self._line = self._line, None
        self._driver.flying.pop(self, None)
        self.end(None, error)
        if line is not None:
            line.abandon()
