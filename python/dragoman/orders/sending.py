"""One act on an order, from its flow to its outcome, and whether anything of it may have left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from dragoman.errors import DragomanError, ErrorKind, NotSent, OutcomeUnknown
from dragoman.model import Order
from dragoman.orders.intents import Intent
from dragoman.orders.recorder import Recorder
from dragoman.plugin import Flow, Request
from dragoman.runtime.prompt_future import PromptFuture
from dragoman.session.secrets import redact
from dragoman.session.sender import BeforeSend
from dragoman.session.session import AccountSession

T = TypeVar("T")

_log = logging.getLogger("dragoman.orders")


class Sending(Generic[T]):
    """Drives the flow of one act.

    Parameters
    ----------
    session : AccountSession
    name : str
        Of the order.
    act : str
        What is done with it, for the log.
    ends_ns : int
        Monotonic ns: the caller's deadline.
    drop_after_ns : int, optional
        Monotonic ns after which nothing may be sent any more.
    commit : callable, optional
        Makes the intent durable, see `dragoman.session.sender.BeforeSend`.
    """

    _reached_wire = False
    _finish: Callable[[Sending[T], Any, BaseException | None], T]
    _ended: asyncio.Future[T]

    def __init__(
        self,
        session: AccountSession,
        name: str,
        act: str,
        ends_ns: int,
        drop_after_ns: int | None = None,
        commit: BeforeSend | None = None,
    ) -> None:
        self._session = session
        self.name = name
        self._act = act
        self._ends_ns = ends_ns
        self._drop_after_ns = drop_after_ns
        self._commit = commit

    def start(self, flow: Flow[Any], finish: Callable[[Sending[T], Any, BaseException | None], T]) -> asyncio.Future[T]:
        """Drive the flow to its outcome, whoever waits for it, and hand that to `finish`.

        Parameters
        ----------
        flow : generator
        finish : callable
            Takes this, the outcome and the error, one of the two None; returns, or raises, what the future ends with.
        """
        self._finish = finish
        ended = self._ended = PromptFuture(loop=asyncio.get_running_loop())
        session = self._session
        session.driver.launch(
            flow,
            self._on_outcome,
            deadline_ns=self._ends_ns,
            before_send=self._before_send,
            allow_mutates=not session.read_only,
        )
        return ended

    def _on_outcome(self, outcome: Any, error: BaseException | None) -> None:
        ended = self._ended
        try:
            result = self._finish(self, outcome, error)
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

    def _before_send(self, request: Request) -> Awaitable[object] | None:
        if self._drop_after_ns is not None and self._session.runtime.clock.mono_ns() > self._drop_after_ns:
            raise NotSent(
                f"{self._session.adapter.name}: {request.method} {request.path} was dropped: its deadline_ns passed",
                broker=self._session.adapter.name,
                remedy="nothing was sent",
            )
        durable = None if self._commit is None else self._commit(request)
        if durable is not None:
            return self._once_durable(durable)
        self._reached_wire = True
        return None

    async def _once_durable(self, durable: Awaitable[object]) -> None:
        await durable
        self._reached_wire = True

    def left(self, error: DragomanError) -> bool:
        """Whether the broker may have seen the request, or answered it, given how the act ended."""
        return self._reached_wire and not isinstance(error, NotSent)

    def interrupted(self, error: BaseException) -> DragomanError:
        """Return the typed error of an act that a defect of an adapter, or the end of the loop, ended."""
        text = redact(f"{self._session.adapter.name}: ended by {type(error).__name__}: {error}")
        if self._reached_wire:
            return OutcomeUnknown(text, kind=ErrorKind.MAYBE_SENT, broker=self._session.adapter.name)
        return NotSent(text, broker=self._session.adapter.name)


class Placing(Sending[Order]):
    """The act of placing one order: its intent is durable before the first byte.

    Parameters
    ----------
    session : AccountSession
    intent : Intent
    ends_ns : int
    recorder : Recorder
    """

    def __init__(self, session: AccountSession, intent: Intent, ends_ns: int, recorder: Recorder) -> None:
        request = intent.request
        super().__init__(session, request.client_order_id, "place", ends_ns, request.deadline_ns, self._write_down)
        self._intent = intent
        self._recorder = recorder

    def _write_down(self, request: Request) -> Awaitable[object] | None:
        self._intent.sent_ns = sent_ns = self._session.ctx.now_ns
        return self._recorder.place(self._intent.request, sent_ns)
