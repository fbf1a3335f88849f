"""One act on an order, from its flow to its outcome, and whether anything of it may have left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from dragoman.errors import DragomanError, ErrorKind, NotSent, OutcomeUnknown
from dragoman.plugin import Flow, Request
from dragoman.session.secrets import redact
from dragoman.session.sender import BeforeSend
from dragoman.session.session import AccountSession

T = TypeVar("T")

_log = logging.getLogger("dragoman.orders")


class Sending:
    """Drives the flow of one act.

    Parameters
    ----------
    session : AccountSession
    ends_ns : int
        Monotonic ns: the caller's deadline.
    drop_after_ns : int, optional
        Monotonic ns after which nothing may be sent any more.
    commit : callable, optional
        Makes the intent durable, see `dragoman.session.sender.BeforeSend`.
    """

    def __init__(
        self,
        session: AccountSession,
        ends_ns: int,
        *,
        drop_after_ns: int | None = None,
        commit: BeforeSend | None = None,
    ) -> None:
        self._session = session
        self._ends_ns = ends_ns
        self._drop_after_ns = drop_after_ns
        self._commit = commit
        self._reached_wire = False

    def start(self, flow: Flow[Any], finish: Callable[[Any, BaseException | None], T], what: str) -> asyncio.Future[T]:
        """Drive the flow to its outcome, whoever waits for it, and hand that to `finish`.

        Parameters
        ----------
        flow : generator
        finish : callable
            Takes the outcome and the error, one of them None; returns, or raises, what the future ends with.
        what : str
            Names the act in the log, should it fail after its caller was cancelled.
        """
        ended: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def on_outcome(outcome: Any, error: BaseException | None) -> None:
            try:
                result = finish(outcome, error)
            except BaseException as failure:  # noqa: BLE001 - it is the caller's, or the log's
                if ended.done():
                    _log.warning("%s: ended without its caller: %s", what, redact(str(failure)))
                elif isinstance(failure, asyncio.CancelledError):
                    ended.cancel()
                else:
                    ended.set_exception(failure)
            else:
                if not ended.done():
                    ended.set_result(result)

        self._session.launch(flow, on_outcome, deadline_ns=self._ends_ns, before_send=self._before_send)
        return ended

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
