"""One act on an order, from its flow to its outcome, and whether anything of it may have left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from dragoman.checks.kill import RELEASED_AT, KillSwitch
from dragoman.errors import DragomanError, ErrorKind, NotSent, OutcomeUnknown
from dragoman.model import Order
from dragoman.orders.intents import Intent
from dragoman.orders.recorder import Recorder
from dragoman.plugin import Flow, Request
from dragoman.session.launched import Launch
from dragoman.session.secrets import redact
from dragoman.session.sender import BeforeSend
from dragoman.session.session import AccountSession

T = TypeVar("T")

_log = logging.getLogger("dragoman.orders")


class Sending(Launch, Generic[T]):
    """Drives the flow of one act.

    Parameters
    ----------
    session : AccountSession
    flow : generator
    finish : callable
        Takes this, the outcome and the error, one of the two None; returns, or raises, what the future ends with.
    name : str
        Of the order.
    act : str
        What is done with it, for the log.
    ends_ns : int
        Monotonic ns: the caller's deadline.
    drop_after_ns : int, optional
        Monotonic ns after which nothing may be sent any more.
    before_send : callable, optional
        Makes the intent durable, see `dragoman.session.sender.BeforeSend`.
    leaving : callable, optional
        Asked before the intent is made durable, and again before the first byte: raises where it must not leave.
    """

    _ended: asyncio.Future[T]
    _intend: BeforeSend | None = None

    def __init__(
        self,
        session: AccountSession,
        flow: Flow[Any],
        finish: Callable[[Sending[T], Any, BaseException | None], T],
        name: str,
        act: str,
        ends_ns: int,
        drop_after_ns: int | None = None,
        before_send: BeforeSend | None = None,
        leaving: Callable[[Request], object] | None = None,
    ) -> None:
        self.deadline_ns = ends_ns
        self.allow_mutates = not session.read_only
        self._driver = session.driver
        self._flow = flow
        self._session = session
        self._finish = finish
        self.name = name
        self._act = act
        self._drop_after_ns = drop_after_ns
        self._intend = before_send
        if leaving is not None:
            self.leaving = leaving

    def start(self) -> asyncio.Future[T]:
        """Drive the flow to its outcome, whoever waits for it; return a future of what `finish` makes of it."""
        driver = self._driver
        ended = self._ended = driver.owner.create_future()
        driver.fly(self)
        return ended

    def tell(self, value: Any, error: BaseException | None) -> None:
        """Hand the outcome to `finish`, and what that makes of it to whoever waits."""
        ended = self._ended
        try:
            result = self._finish(self, value, error)
        except BaseException as failure:  # noqa: BLE001 - it is the caller's, or the log's
            if ended.done():
                _log.warning("%s %s: ended without its caller: %s", self._act, self.name, redact(str(failure)))
            elif isinstance(failure, asyncio.CancelledError):
                ended.cancel()
            else:
                ended.set_exception(failure)
        else:
            if not ended.done():
                ended.set_result(result)

    def before_send(self, request: Request) -> Awaitable[object] | None:
        """Hand the request to the journal, unless it is too late for it."""
        if self.leaving is not None:
            self.leaving(request)
        if self._drop_after_ns is not None:
            self._check_time(request, self._drop_after_ns)
        return None if self._intend is None else self._intend(request)

    def _check_time(self, request: Request, drop_after_ns: int) -> None:
        if self._session.runtime.clock.mono_ns() > drop_after_ns:
            raise NotSent(
                f"{self._session.adapter.name}: {request.method} {request.path} was dropped: its deadline_ns passed",
                broker=self._session.adapter.name,
                remedy="nothing was sent",
            )

    def left(self, error: DragomanError) -> bool:
        """Whether the broker may have seen the request, or answered it, given how the act ended."""
        return self.reached_wire and not isinstance(error, NotSent)

    def interrupted(self, error: BaseException) -> DragomanError:
        """Return the typed error of an act that a defect of an adapter, or the end of the loop, ended."""
        text = redact(f"{self._session.adapter.name}: ended by {type(error).__name__}: {error}")
        if self.reached_wire:
            return OutcomeUnknown(text, kind=ErrorKind.MAYBE_SENT, broker=self._session.adapter.name)
        return NotSent(text, broker=self._session.adapter.name)


class Placing(Sending[Order]):
    """The act of placing one order: its intent is durable before the first byte.

    Parameters
    ----------
    session, flow, finish, ends_ns
        As `Sending` has them.
    intent : Intent
    recorder : Recorder
    switch : KillSwitch, optional
        Where it is engaged the order does not leave.
    exits : bool
        It only makes a position smaller, so it is sent also where it cannot be written down.
    """

    _act = "place"

    def __init__(
        self,
        session: AccountSession,
        flow: Flow[Any],
        finish: Callable[[Sending[Order], Any, BaseException | None], Order],
        intent: Intent,
        ends_ns: int,
        recorder: Recorder,
        switch: KillSwitch | None = None,
        *,
        exits: bool = False,
    ) -> None:
        # What `Sending` is given, in one step: every order waits for this.
        request = intent.request
        self.deadline_ns = ends_ns
        self.allow_mutates = not session.read_only
        self._driver = session.driver
        self._flow = flow
        self._session = session
        self._finish = finish
        self.name = request.client_order_id
        self._drop_after_ns = request.deadline_ns
        self._switch = switch
        self._intent = intent
        self._recorder = recorder
        self._exits = exits

    @property
    def leaving(self) -> Callable[[Request], object] | None:  # type: ignore[override]
        """What looks at the switch again, where something had to be waited for."""
        return None if self._switch is None else self._switch.check

    def commit(self, request: Request) -> Awaitable[object] | None:
        """Make the intent durable, unless it is too late for it; see `Run.commit`."""
        self.committed = True
        switch, intent, session = self._switch, self._intent, self._session
        if switch is not None and (marks := switch.marks)[0] != marks[RELEASED_AT]:
            switch.check(request)
        if self._drop_after_ns is not None:
            self._check_time(request, self._drop_after_ns)
        intent.sent_ns = sent_ns = session.clock.read()
        intent.sent_mono_ns = session.mono_ns()
        recorder = self._recorder
        journal = (recorder.exit if self._exits else recorder.place)(intent.request, sent_ns)
        if journal is not None:
            return self._committed(journal)
        self.unsettled = self.before + 1
        self.reached_wire = True
        return None
