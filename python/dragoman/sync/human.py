"""How a login on the I/O thread reaches the human: through the thread of whoever waits for that login.

Who waits is part of the context a login runs in, and of all it begins. A renewal in the background runs in the context
of the call that connected, which is over: its question is answered with `AuthRequired`, at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from typing import Any, TypeVar

from dragoman.errors import AuthRequired, ErrorKind
from dragoman.runtime.io_thread import Ask

T = TypeVar("T")
_asking: ContextVar[Ask | None] = ContextVar("dragoman_sync_asking", default=None)


def attended(make: Callable[[], Coroutine[Any, Any, T]]) -> Callable[[Ask], Coroutine[Any, Any, T]]:
    """Return what `IoThread.attend` takes: the coroutine, in a context in which questions reach the caller."""

    async def run(ask: Ask) -> T:
        _asking.set(ask)
        return await make()

    return run


def visitor(open_url: Callable[[str], object]) -> Callable[[str], Awaitable[None]]:
    """Return what opens a login page on the thread of the caller."""

    async def visit(url: str) -> None:
        await _ask()(lambda: open_url(url))

    return visit


def asker(prompt: Callable[[str, str, bool], str]) -> Callable[[str, str, bool], Awaitable[str]]:
    """Return what asks the human on the thread of the caller."""

    async def asked(kind: str, text: str, secret: bool) -> str:
        return str(await _ask()(lambda: prompt(kind, text, secret)))

    return asked


def _ask() -> Ask:
    ask = _asking.get()
    if ask is None:
        raise AuthRequired(
            "a human must log in, and nobody waits who could be asked",
            kind=ErrorKind.AUTH_EXPIRED,
            remedy="call session.login() on a thread where a human can be asked",
        )
    return ask
