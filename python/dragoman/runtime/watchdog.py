"""Measure how late an event loop is, from outside it, and name what blocked it.

A thread asks the loop for a sign of life at short intervals. Where none comes in time it looks at the loop's stack: the
first frame that is neither ours nor the loop's own is the handler that does not return. A loop that blocks for ever is
named all the same, which a timer on the loop itself could not do.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Final

_BEAT_S: Final = 0.25
_LATE_S: Final = 0.25
_NS: Final = 1_000_000_000
_MACHINERY: Final = (
    *("dragoman", "asyncio", "uvloop", "concurrent", "threading", "selectors", "picows", "aiofastnet"),
    "importlib",  # of an import what is loaded says more, and whoever loads it more still
)
_LOOPS: Final = ("asyncio.", "uvloop", "dragoman.runtime.io_thread", "dragoman.runtime.virtual_loop")
"""Modules whose frames run a loop."""
_UNSEEN: Final = "a handler that returned before it could be named"
_log = logging.getLogger("dragoman.watchdog")


@dataclass(frozen=True, slots=True)
class Stall:
    """A time the loop stood still: how long (s), and the handler that was running, where one could be named."""

    seconds: float
    handler: str


@dataclass(frozen=True, slots=True)
class _Listener:
    on_lag: Callable[[int], object]
    on_stall: Callable[[Stall], object]


class LoopWatchdog:
    """Watches one loop for any number of listeners; `watch_loop` makes it.

    Threads: `add` belongs to the loop. Listeners are called on it, after a stall rather than during.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, beat_s: float = _BEAT_S, late_s: float = _LATE_S) -> None:
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._beat_s = beat_s
        self._late_s = late_s
        self._listeners: list[_Listener] = []
        self._answered = threading.Event()
        self._ended = threading.Event()
        threading.Thread(target=self._run, name="dragoman-watchdog", daemon=True).start()

    def add(self, on_lag: Callable[[int], object], on_stall: Callable[[Stall], object]) -> Callable[[], None]:
        """Call `on_lag` with each measured lag (ns), `on_stall` after the loop stood still; returns what ends both."""
        listener = _Listener(on_lag, on_stall)
        self._listeners.append(listener)

        def remove() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)
            if not self._listeners:
                self._ended.set()

        return remove

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    def _run(self) -> None:
        while not self._ended.wait(self._beat_s):
            asked = time.monotonic_ns()
            self._answered.clear()
            named: list[str] = []
            try:
                self._loop.call_soon_threadsafe(self._answer, asked, named)
            except RuntimeError:
                self._ended.set()  # the loop is closed
                return
            if self._answered.wait(self._late_s):
                continue
            named.append(self._culprit())
            _log.warning("the I/O loop stands still for %g s already, in %s", self._late_s, named[0])
            while not self._answered.wait(self._beat_s):
                if self._ended.is_set() or self._loop.is_closed():
                    return

    def _answer(self, asked_ns: int, named: list[str]) -> None:
        """Run on the loop: the time since it was asked is the lag."""
        lag_ns = time.monotonic_ns() - asked_ns
        self._answered.set()
        # A handler that holds the interpreter lock keeps this thread from looking, and is late all the same.
        late = bool(named) or lag_ns > self._late_s * _NS
        stall = Stall(lag_ns / _NS, named[0] if named else _UNSEEN) if late else None
        for listener in tuple(self._listeners):
            listener.on_lag(lag_ns)
            if stall is not None:
                listener.on_stall(stall)

    def _culprit(self) -> str:
        frame = sys._current_frames().get(self._loop_thread)
        return _name_of(frame) if frame is not None else "a thread that has ended"


def _name_of(frame: FrameType) -> str:
    """Return the outermost frame that the loop called and that is not the machinery's, else the innermost of ours.

    What runs the loop may be the machinery's own command, and that may be run by anybody's: what comes before the first
    frame of a loop is not what blocks it.
    """
    stack = [frame]
    while (outer := stack[-1].f_back) is not None:
        stack.append(outer)
    chosen, inside = frame, False
    stack.reverse()
    begins = next((at for at, one in enumerate(stack) if _module(one).startswith(_LOOPS)), 0)
    for one in stack[begins:]:
        if _module(one).partition(".")[0] in _MACHINERY:
            inside = True
        elif inside:  # before the machinery comes the program that runs the loop, which is not what blocks it
            chosen = one
            break
    else:
        chosen = next((one for one in reversed(stack) if _module(one).partition(".")[0] == "dragoman"), frame)
    return f"{_module(chosen)}.{chosen.f_code.co_qualname} ({chosen.f_code.co_filename}:{chosen.f_lineno})"


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "?"))


_watchdogs: dict[int, LoopWatchdog] = {}


def watch_loop(on_lag: Callable[[int], object], on_stall: Callable[[Stall], object]) -> Callable[[], None]:
    """Watch the running loop, with one thread however many ask; returns what ends it."""
    loop = asyncio.get_running_loop()
    watchdog = _watchdogs.get(id(loop))
    if watchdog is None or watchdog.ended:
        watchdog = _watchdogs[id(loop)] = LoopWatchdog(loop)
    remove, watched = watchdog.add(on_lag, on_stall), watchdog

    def end() -> None:
        remove()
        if watched.ended and _watchdogs.get(id(loop)) is watched:
            del _watchdogs[id(loop)]

    return end
