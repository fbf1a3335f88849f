"""The background thread that runs the I/O loop of blocking callers: one per process.

A caller's thread hands a coroutine over and waits for its outcome. It can stop waiting (an interrupt, its own time
limit) without stopping the work: what was begun goes on to its end on the loop, and how it ended is logged.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import CancelledError, Future, wait
from concurrent.futures import TimeoutError as WaitTimeoutError
from contextlib import suppress
from typing import Any, TypeVar

from dragoman.errors import AuthRequired, ErrorKind, NotSent, OutcomeUnknown, StaleData, UsageError
from dragoman.runtime.dispatch import Ended, Mailbox
from dragoman.runtime.loops import new_event_loop

T = TypeVar("T")

Ask = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Awaited on the loop, runs a function on the thread of whoever waits for the coroutine, and gives its value."""

_STOP_S = 5.0
_CLEAN_UP_S = 10.0
_log = logging.getLogger("dragoman.sync")


class IoThread:
    """One event loop on a daemon thread of its own.

    Threads: every method may be called from any thread but the loop's own, unless it says otherwise.

    Parameters
    ----------
    name : str
        Of the thread.

    Attributes
    ----------
    loop : asyncio.AbstractEventLoop
    detached : int
        Calls whose caller stopped waiting while they went on.
    """

    def __init__(self, name: str = "dragoman-io") -> None:
        self.loop = new_event_loop()
        self.detached = 0
        self._pid = os.getpid()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()

    @property
    def alive(self) -> bool:
        """Whether calls can be handed over: the loop runs, in this process."""
        return not self._stopped and self._pid == os.getpid()

    @property
    def current(self) -> bool:
        """Whether the caller runs on this very thread."""
        return threading.get_ident() == self._thread.ident and self._pid == os.getpid()

    def check(self, what: str) -> None:
        """Raise UsageError where a blocking call can never return: on the loop's own thread, or after a fork."""
        if self._pid != os.getpid():
            raise UsageError(
                f"{what}: this handle belongs to process {self._pid}, and this is process {os.getpid()}",
                remedy="connect again after the fork; sockets and threads do not survive it",
            )
        if self.current:
            raise UsageError(
                f"{what}: called on the I/O thread, which would wait for itself for ever",
                remedy="an inline handler must return at once; use a queued one (inline=False) to make calls",
            )
        if self._stopped:
            raise UsageError(f"{what}: the I/O thread has ended", remedy="connect again")

    def call(self, make: Callable[[], Coroutine[Any, Any, T]], what: str, *, patience_s: float | None = None) -> T:
        """Run a coroutine on the loop and return its outcome.

        Parameters
        ----------
        make : callable
            Makes the coroutine, on the loop's thread.
        what : str
            Names the call in messages.
        patience_s : float, optional
            For a loop that does not get to it because a handler blocks it; a coroutine keeps its own deadlines.

        Raises
        ------
        UsageError
            See `check`; nothing was begun.
        NotSent
            `patience_s` passed before it was begun. It never will be.
        OutcomeUnknown
            `patience_s` passed while it was under way. It goes on.
        """
        outcome, _ = self._begin(make, what)
        try:
            return outcome.result(patience_s)
        except WaitTimeoutError:
            if outcome.done():
                raise  # the coroutine's own
            if outcome.cancel():
                raise NotSent(
                    f"{what}: the I/O thread was busy for {patience_s:g} s, and nothing was begun",
                    remedy="find the handler that blocks it: the log names it",
                ) from None
            self._detach(outcome, what)
            raise OutcomeUnknown(
                f"{what}: no outcome within {patience_s:g} s; it goes on without its caller",
                kind=ErrorKind.TIMEOUT,
                remedy="look for it before acting; do not send it again",
            ) from None
        except CancelledError:
            raise StaleData(f"{what}: the client was closed while it was under way") from None
        except BaseException:
            if not outcome.done():
                self._detach(outcome, what)
            raise

    def attend(self, make: Callable[[Ask], Coroutine[Any, Any, T]], what: str) -> T:
        """Run a coroutine that asks its caller things; what it asks runs on the caller's own thread.

        `make` gets an `Ask`: awaited with a function, it gives what that returned here. An interrupt cancels the
        coroutine and waits until it has cleaned up. Once the caller has gone, its `Ask` raises AuthRequired, whatever
        still awaits it: nobody is there to answer.
        """
        desk: Mailbox[Callable[[], object]] = Mailbox()
        asked: set[asyncio.Future[Any]] = set()

        async def ask(question: Callable[[], Any]) -> Any:
            if desk.closed:
                raise _nobody_there(what)
            answer: asyncio.Future[Any] = self.loop.create_future()
            asked.add(answer)
            answer.add_done_callback(asked.discard)

            def put() -> None:
                try:
                    value, error = question(), None
                except Exception as raised:  # noqa: BLE001 - it is raised where it was asked for
                    value, error = None, raised
                self.post(lambda: _answer(answer, value, error))

            desk.put(put)
            return await answer

        def turn_away() -> None:
            for answer in tuple(asked):
                _answer(answer, None, _nobody_there(what))

        def gone(_: Future[T]) -> None:
            desk.close(drop=True)
            self.post(turn_away)

        outcome, cancel = self._begin(lambda: make(ask), what)
        outcome.add_done_callback(gone)
        try:
            with suppress(Ended):
                while True:
                    desk.take()()
            return outcome.result()
        except CancelledError:
            raise StaleData(f"{what}: the I/O thread ended while it was under way") from None
        except BaseException:
            if not outcome.done():
                self.post(cancel)
                wait((outcome,), _CLEAN_UP_S)
            raise

    def _begin(self, make: Callable[[], Coroutine[Any, Any, T]], what: str) -> tuple[Future[T], Callable[[], object]]:
        """Hand a coroutine over; return its outcome and what cancels it, to be called on the loop."""
        self.check(what)
        outcome: Future[T] = Future()
        begun: list[asyncio.Task[T]] = []

        def begin() -> None:
            if not outcome.set_running_or_notify_cancel():
                return  # its caller gave up before its turn came
            task = self.loop.create_task(make(), name=what)
            begun.append(task)
            self._tasks.add(task)
            task.add_done_callback(lambda done: self._settle(done, outcome, what))

        self.loop.call_soon_threadsafe(begin)
        return outcome, lambda: begun[0].cancel() if begun else outcome.cancel()

    def _settle(self, task: asyncio.Task[T], outcome: Future[T], what: str) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            outcome.set_exception(CancelledError())
        elif (error := task.exception()) is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(task.result())

    def _detach(self, outcome: Future[T], what: str) -> None:
        """Let the work go on; its outcome is logged, because nobody else will look at it."""
        self.detached += 1

        def ended(done: Future[T]) -> None:
            error = done.exception()
            if error is None:
                _log.info("%s: done, after its caller had stopped waiting", what)
            else:
                _log.warning("%s: ended without its caller: %s", what, error)

        outcome.add_done_callback(ended)

    def run(self, work: Callable[[], T], what: str, *, patience_s: float | None = None) -> T:
        """Run a plain function on the loop's thread and return its value; errors as `call`."""

        async def once() -> T:
            return work()

        return self.call(once, what, patience_s=patience_s)

    def post(self, work: Callable[[], object]) -> None:
        """Run a plain function on the loop's thread some time soon; its value is dropped."""
        if self.alive:
            self.loop.call_soon_threadsafe(work)

    def stop(self) -> None:
        """Cancel what is left and end the thread; bounded, also with a handler that blocks it."""
        if not self.alive or self.current:
            return
        self._stopped = True
        self.loop.call_soon_threadsafe(lambda: self.loop.create_task(self._wind_up()))
        self._thread.join(_STOP_S)
        if self._thread.is_alive():
            _log.warning("the I/O thread did not end within %g s: a handler blocks it", _STOP_S)

    async def _wind_up(self) -> None:
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        if rest:
            await asyncio.wait(rest, timeout=_STOP_S / 2)
        await self.loop.shutdown_asyncgens()
        self.loop.stop()


def _nobody_there(what: str) -> AuthRequired:
    return AuthRequired(
        f"{what}: a human must log in, and the call that could have asked one is over",
        kind=ErrorKind.AUTH_EXPIRED,
        remedy="call session.login() on a thread where a human can be asked",
    )


def _answer(waiting: asyncio.Future[Any], value: Any, error: Exception | None) -> None:
    if waiting.done():
        return  # whoever asked was cancelled meanwhile
    if error is not None:
        waiting.set_exception(error)
    else:
        waiting.set_result(value)


_lock = threading.Lock()
_shared: IoThread | None = None
_at_exit: dict[int, Callable[[], None]] = {}


def shared_io_thread() -> IoThread:
    """Return the I/O thread of this process, made on first use and again after a fork; it ends with the process."""
    global _shared
    with _lock:
        if _shared is None or not _shared.alive:
            if _shared is None:
                atexit.register(_exit)
            _shared = IoThread()
        return _shared


def close_at_exit(close: Callable[[], None]) -> Callable[[], None]:
    """Have `close` called before the process ends and the I/O thread with it; returns what takes that back.

    Only in the process that asked: a forked child leaves its parent's connections alone.
    """
    owner, key = os.getpid(), id(close)

    def guarded() -> None:
        if os.getpid() == owner:
            close()

    _at_exit[key] = guarded

    def forget() -> None:
        if _at_exit.get(key) is guarded:
            del _at_exit[key]

    return forget


def _exit() -> None:
    for close in list(_at_exit.values()):
        try:
            close()
        except Exception:  # noqa: BLE001 - the others are closed all the same; it is logged
            _log.exception("a client could not be closed at exit")
    if _shared is not None:
        _shared.stop()


def _after_fork() -> None:
    """Start afresh: the lock may be held by a thread that does not exist here, and the loop's thread does not."""
    global _lock
    _lock = threading.Lock()
    _at_exit.clear()


os.register_at_fork(after_in_child=_after_fork)
