"""Choose and run the event loop: uvloop where it is installed, asyncio's own elsewhere; end it in good order."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_TERMINATED = 128 + signal.SIGTERM


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a new loop, the fastest that is installed."""
    try:
        import uvloop  # on first use: importing the package must stay cheap
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def run(coro: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a new loop, as `asyncio.run` does; SIGTERM ends it in good order.

    The signal cancels the coroutine, so that ``async with`` closes what it opened: a client does within five seconds,
    also where its broker is dead. Then the process exits with status 143. A second signal ends it at once. On another
    thread than the main one, and where the program handles SIGTERM itself, signals are left alone.

    Raises
    ------
    SystemExit
        SIGTERM came, and the coroutine has ended.
    """
    ended = False

    async def main() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def end() -> None:
            nonlocal ended
            ended = True
            loop.remove_signal_handler(signal.SIGTERM)
            task.cancel()

        loop.add_signal_handler(signal.SIGTERM, end)
        try:
            return await coro
        finally:
            if not ended:
                loop.remove_signal_handler(signal.SIGTERM)

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        if not _signals_are_ours():
            return runner.run(coro)
        try:
            return runner.run(main())
        except asyncio.CancelledError:
            if ended:
                raise SystemExit(_TERMINATED) from None
            raise


def _signals_are_ours() -> bool:
    on_main_thread = threading.current_thread() is threading.main_thread()
    return on_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
