"""A flow that runs without a task while its request is in flight.

An order has to wait for one thing, the broker's answer. So its flow is stepped where it is launched, up to the write,
and again where the connection has the reply; no task is made and none is switched to. Where something else has to wait
(a connection, a limit, the journal, another kind of effect) the driver's task takes over, and does the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from dragoman.errors import DragomanError, Effect
from dragoman.plugin import Flow, Request
from dragoman.session.sender import BeforeSend, Flight

if TYPE_CHECKING:
    from dragoman.plugin import Reply
    from dragoman.session.driver import AskHuman, AskRedirect, FlowDriver, OnProgress, OnRows
    from dragoman.session.limiter import Grant
    from dragoman.session.secrets import Secret
    from dragoman.transport.base import Line

READ_TRIES: Final = 3

OnOutcome = Callable[[Any, BaseException | None], object]
"""Told once how a flow ended: its value, or its error. It must not raise."""


class Run:
    """One flow on its way.

    Attributes
    ----------
    committed : bool
        From here on bytes of a `mutates` request may leave.
    unsettled, before : int
        How many left and are not proven to have changed nothing; how many those were before the request in flight.
    answered : bool
        The flow's last effect was a `mutates` request, and the broker has said what it did.
    replied : bool
        Some reply was read.
    reached_wire : bool
        Some `mutates` request was handed over to be written.
    read_tries : int
        How often each of its reads is tried.
    leaving : callable or None
        Called with a request that changes something, where it had to wait after it was committed, immediately before
        its bytes leave: what it raises means that nothing was sent.
    """

    # Most flows need none of these, so they stand here and not in each run.
    before_send: BeforeSend | None = None
    on_rows: OnRows | None = None
    on_progress: OnProgress | None = None
    prompt: AskHuman | None = None
    redirect: AskRedirect | None = None
    committed = False
    unsettled = 0
    before = 0
    answered = False
    replied = False
    reached_wire = False
    typed: tuple[Secret, ...] = ()
    read_tries = READ_TRIES
    leaving: Callable[[Request], object] | None = None

    def __init__(self, deadline_ns: int, before_send: BeforeSend | None, allow_mutates: bool) -> None:
        self.deadline_ns = deadline_ns
        self.allow_mutates = allow_mutates
        self.before_send = before_send

    def commit(self, request: Request) -> Awaitable[object] | None:
        """Hand a request to the journal, immediately before it may leave; return what is to be awaited first."""
        self.committed = True
        journal = None if self.before_send is None else self.before_send(request)
        if journal is None:
            self.unsettled = self.before + 1
            self.reached_wire = True
            return None
        return self._committed(journal)

    async def _committed(self, journal: Awaitable[object]) -> None:
        await journal
        self.unsettled = self.before + 1
        self.reached_wire = True


class Launch(Run):
    """One flow, until its end is told, which a subclass does in `tell`; `FlowDriver.fly` begins it.

    It is what `Sender.begin` calls flying.
    """

    request: Request
    grant: Grant | None = None
    generation = -1
    asked_ns = 0
    _line: Line | None = None
    _told: asyncio.Future[None] | None = None
    _over = False

    def __init__(self, driver: FlowDriver, flow: Flow[Any], deadline_ns: int, allow_mutates: bool) -> None:
        self.deadline_ns = deadline_ns
        self.allow_mutates = allow_mutates
        self._driver = driver
        self._flow = flow

    def tell(self, value: Any, error: BaseException | None) -> None:
        """Take how the flow ended: its value, or its error. It is called once and must not raise."""
        raise NotImplementedError

    def go_on(self, value: Any = None, thrown: DragomanError | None = None) -> None:
        """Step the flow and do what it asks for: at once where that can be, else in a task."""
        driver, flow = self._driver, self._flow
        while True:
            try:
                effect = flow.send(value) if thrown is None else flow.throw(thrown)
            except StopIteration as stop:
                self.end(stop.value, None)
                return
            except BaseException as error:  # noqa: BLE001 - it goes to whoever launched
                self.end(None, driver.escaped(error, self))
                return
            self.answered = False
            begun: Flight | None = None
            if isinstance(effect, Request) and effect.mutates and self.allow_mutates:
                self.before = self.unsettled
                try:
                    sent = driver.sender.begin(effect, self)
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
            task = driver.take_over(flow, self, effect, begun)
            task.add_done_callback(self._taken_over)
            return

    def landed(self, outcome: Reply | Exception) -> None:
        """Go on with what the request in flight came to; see `Flying`."""
        driver = self._driver
        try:
            reply = driver.sender.landed(self, outcome)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to whoever launched
            self._ended_badly(error)
            return
        if self._over:
            return  # given up meanwhile
        self._line = None
        driver.flying.pop(self, None)
        self.replied = self.answered = True
        self.go_on(reply)

    def _ended_badly(self, error: Exception) -> None:
        if self._over:
            return
        self._line = None
        self._driver.flying.pop(self, None)
        if isinstance(error, DragomanError):
            self.go_on(None, self._failed(error))
        else:
            self.end(None, error)

    def _failed(self, error: DragomanError) -> DragomanError:
        if error.effect is Effect.NONE:
            self.unsettled = self.before
        self.answered = error.effect is Effect.APPLIED
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
        if self._over:
            return
        self._over = True
        self._flow.close()
        if error is not None:
            self._driver.ended(error)
        self.tell(value, error)
        if self._told is not None and not self._told.done():
            self._told.set_result(None)

    def told(self) -> asyncio.Future[None]:
        """Return a future that is done once the end was told."""
        if self._told is None:
            self._told = asyncio.get_running_loop().create_future()
        return self._told

    def give_up(self, error: DragomanError) -> None:
        """End with `error` whatever the broker may still answer."""
        line, self._line = self._line, None
        self._driver.flying.pop(self, None)
        self.end(None, error)
        if line is not None:
            line.abandon()


class Launched(Launch):
    """A flow whose end a function is told of; `FlowDriver.launch` makes it."""

    def __init__(
        self,
        driver: FlowDriver,
        flow: Flow[Any],
        on_outcome: OnOutcome,
        deadline_ns: int,
        before_send: BeforeSend | None,
        allow_mutates: bool,
    ) -> None:
        super().__init__(driver, flow, deadline_ns, allow_mutates)
        self.before_send = before_send
        self.tell = on_outcome  # type: ignore[assignment]
