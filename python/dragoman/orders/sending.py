"""One act on an order, from its flow to its outcome, and whether anything of it may have left."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, TypeVar

from dragoman.errors import DragomanError, ErrorKind, NotSent, OutcomeUnknown
from dragoman.plugin import Flow, Request
from dragoman.session.secrets import redact
from dragoman.session.session import AccountSession

T = TypeVar("T")

_NS = 1_000_000_000
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
    """

    def __init__(self, session: AccountSession, ends_ns: int, *, drop_after_ns: int | None = None) -> None:
        self._session = session
        self._ends_ns = ends_ns
        self._drop_after_ns = drop_after_ns
        self._reached_wire = False

    async def run(self, flow: Flow[T]) -> T:
        """Drive the flow within what is left of the deadline."""
        left_s = (self._ends_ns - self._session.runtime.clock.mono_ns()) / _NS
        return await self._session.run(flow, timeout_s=max(left_s, 0.0), before_send=self._before_send)

    async def _before_send(self, request: Request) -> None:
        if self._drop_after_ns is not None and self._session.runtime.clock.mono_ns() > self._drop_after_ns:
            raise NotSent(
                f"{self._session.adapter.name}: {request.method} {request.path} was dropped: its deadline_ns passed",
                broker=self._session.adapter.name,
                remedy="nothing was sent",
            )
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


async def detached(task: asyncio.Task[T], acts: set[asyncio.Task[Any]]) -> T:
    """Return the task's result. A caller that is cancelled leaves it running, and its failure is then logged."""
    acts.add(task)
    task.add_done_callback(acts.discard)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(_report)
        raise


def _report(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.warning("%s: ended without its caller: %s", task.get_name(), redact(str(error)))
