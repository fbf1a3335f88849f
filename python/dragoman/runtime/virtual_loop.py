"""A deterministic asyncio event loop: no selector, no threads, time that jumps to the next timer.

Theory: an asyncio program touches the world only through its loop, so a loop whose clock is a number and whose ready
queue is strictly first in, first out makes the whole program a function of its inputs. Three things would still leak
the machine into a run and are taken out here: task names (asyncio counts them per process), the order of sets of tasks
and futures (their hash is their address; here it is their number of creation), and clean-up order (asyncio walks weak
sets; here it is the order of creation). Everything that runs is folded into a trace hash, by which two runs are
compared.

Threads: one. `call_soon_threadsafe` is `call_soon`, work for an executor runs at once, on the spot.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import heapq
import logging
import math
import os
import sys
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import Context
from typing import Any, NoReturn, TypeVar, TypeVarTuple, cast

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_NS = 1_000_000_000
_log = logging.getLogger("asyncio")


class DeadlockError(RuntimeError):
    """Nothing is ready, no timer is set, and what the loop runs for is not done: it never would be."""


class LivelockError(RuntimeError):
    """Callbacks keep scheduling each other without time passing."""


class Trace:
    """A running hash of everything that happened, in order.

    Parameters
    ----------
    keep : bool
        Also keep the events as text in `lines`, to find where two runs part.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self.lines: list[str] | None = [] if keep else None

    def add(self, time_ns: int, event: str) -> None:
        """Fold in one event."""
        line = f"{time_ns} {event}"
        self._hash.update(line.encode())
        self._hash.update(b"\n")
        if self.lines is not None:
            self.lines.append(line)

    def hexdigest(self) -> str:
        """Return the hash of all events so far."""
        return self._hash.hexdigest()


class VirtualFuture(asyncio.Future[T]):
    """A future whose place in a set does not depend on its address."""

    def __init__(self, *, number: int, loop: asyncio.AbstractEventLoop) -> None:
        self._number = number
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number


class VirtualTask(asyncio.Task[T]):
    """A task whose place in a set does not depend on its address."""

    def __init__(self, coro: Coroutine[Any, Any, T] | Generator[Any, None, T], *, number: int, **options: Any) -> None:
        self._number = number  # before the base class, which puts the new task into a set
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self._number


class VirtualLoop(asyncio.AbstractEventLoop):
    """The loop of a `VirtualRuntime`.

    Parameters
    ----------
    start_mono_ns : int
        First value of the monotonic clock. Not 0, so that code which takes 0 for "never" is found out.
    max_steps : int
        Callbacks that may run at one instant before it counts as a livelock.
    trace : Trace or None

    Attributes
    ----------
    unhandled : list of dict
        Contexts given to the exception handler: what nobody awaited or caught.
    """

    def __init__(
        self, *, start_mono_ns: int = 1_000 * _NS, max_steps: int = 1_000_000, trace: Trace | None = None
    ) -> None:
        self.now_ns = start_mono_ns
        self.trace = trace or Trace()
        self.unhandled: list[dict[str, Any]] = []
        self._max_steps = max_steps
        self._steps = 0
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[int, int, asyncio.TimerHandle]] = []
        self._cancelled_timers = 0
        self._number = 0
        self._task_number = 0
        self._tasks: weakref.WeakValueDictionary[int, asyncio.Task[Any]] = weakref.WeakValueDictionary()
        self._asyncgens: weakref.WeakValueDictionary[int, AsyncGenerator[Any, Any]] = weakref.WeakValueDictionary()
        self._running = False
        self._stopping = False
        self._closed = False
        self._debug = False
        self._exception_handler: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None = None
        self._task_factory: Any = None

    # time and scheduling

    def time(self) -> float:
        """Return virtual seconds, monotonic."""
        return self.now_ns / _NS

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Run `callback` after everything that is ready now."""
        self._check_open()
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run `callback` after `delay` virtual seconds."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run `callback` at `when` on the loop's own clock; timers of one instant run in the order they were set."""
        self._check_open()
        when_ns = math.ceil(when * _NS)
        # Rounding must not fire a timer early: code that re-arms itself while `time() < when` would spin.
        while when_ns / _NS < when:
            when_ns += 1
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        handle._scheduled = True  # type: ignore[attr-defined]  # makes `cancel` report to _timer_handle_cancelled
        heapq.heappush(self._timers, (max(when_ns, self.now_ns), self._next_number(), handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        if not handle._scheduled:  # type: ignore[attr-defined]  # already on its way through the ready queue
            return
        self._cancelled_timers += 1
        if self._cancelled_timers > 64 and self._cancelled_timers * 2 > len(self._timers):
            self._timers = [entry for entry in self._timers if not entry[2].cancelled()]
            heapq.heapify(self._timers)
            self._cancelled_timers = 0

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    # running

    def run_until_complete(self, future: Generator[Any, None, T] | Awaitable[T]) -> T:
        """Run until `future` is done and return its result.

        Raises
        ------
        DeadlockError
            If that can never happen.
        LivelockError
            If callbacks run on and on without time passing.
        """
        self._check_open()
        awaited: asyncio.Future[T] = asyncio.ensure_future(cast("Awaitable[T]", future), loop=self)
        with self._entered():
            while not awaited.done():
                if self._stopping:
                    raise RuntimeError("the loop was stopped before the future was done")
                if not self._collect():
                    raise DeadlockError(self._deadlock_report())
                self._run_ready()
        return awaited.result()

    def run_forever(self) -> None:
        """Run until `stop` is called or nothing is left that could ever run."""
        self._check_open()
        with self._entered():
            while not self._stopping and self._collect():
                self._run_ready()

    def run_for(self, seconds: float) -> None:
        """Run everything that happens within the next `seconds` and leave the clock at their end."""
        self._check_open()
        end_ns = self.now_ns + round(seconds * _NS)
        with self._entered():
            while not self._stopping and self._collect(until_ns=end_ns):
                self._run_ready()
        self.now_ns = max(self.now_ns, end_ns)

    @contextmanager
    def _entered(self) -> Iterator[None]:
        if self._running:
            raise RuntimeError("this loop is already running")
        if asyncio._get_running_loop() is not None:
            raise RuntimeError("cannot run the virtual loop while another loop is running")
        hooks = sys.get_asyncgen_hooks()
        self._running = True
        sys.set_asyncgen_hooks(firstiter=self._asyncgen_started, finalizer=self._asyncgen_dropped)
        asyncio._set_running_loop(self)
        try:
            yield
        finally:
            asyncio._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)
            self._running = False
            self._stopping = False

    def _collect(self, until_ns: int | None = None) -> bool:
        """Move due timers to the ready queue, jumping ahead if it would be empty; False if nothing is left to do."""
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
            self._cancelled_timers -= 1
        if not self._ready:
            if not timers or (until_ns is not None and timers[0][0] > until_ns):
                return False
            if timers[0][0] > self.now_ns:
                self.now_ns = timers[0][0]
                self._steps = 0
        while timers and timers[0][0] <= self.now_ns:
            handle = heapq.heappop(timers)[2]
            if handle.cancelled():
                self._cancelled_timers -= 1
            else:
                handle._scheduled = False  # type: ignore[attr-defined]
                self._ready.append(handle)
        return True

    def _run_ready(self) -> None:
        ready = self._ready
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle.cancelled():
                continue
            self._steps += 1
            name = _name_of(handle)
            if self._steps > self._max_steps:
                raise LivelockError(
                    f"{self._max_steps} callbacks ran at {self.time():.9f} s without time passing; the next is {name}"
                )
            self.trace.add(self.now_ns, name)
            handle._run()

    def _deadlock_report(self) -> str:
        lines = [f"  {task.get_name()}: {_place_of(task)}" for task in self.pending_tasks()]
        return (
            f"deadlock at {self.time():.9f} s: nothing is ready, no timer is set, and these tasks wait for ever:\n"
            + "\n".join(lines or ["  (none: a bare future is awaited)"])
        )

    def pending_tasks(self) -> list[asyncio.Task[Any]]:
        """Return the tasks that are not done, oldest first."""
        return [task for _, task in sorted(self._tasks.items()) if not task.done()]

    def stop(self) -> None:
        """Stop after the callbacks that are ready now."""
        self._stopping = True

    def is_running(self) -> bool:
        return self._running

    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Forget everything that is scheduled."""
        if self._running:
            raise RuntimeError("cannot close a running loop")
        self._closed = True
        self._ready.clear()
        self._timers.clear()

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the virtual loop is closed")

    # tasks, futures, workers

    def create_future(self) -> asyncio.Future[Any]:
        return VirtualFuture(number=self._next_number(), loop=self)

    def create_task(
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        *,
        name: object = None,
        context: Context | None = None,
        **options: Any,
    ) -> asyncio.Task[T]:
        self._check_open()
        self._task_number += 1
        label = f"Task-{self._task_number}" if name is None else str(name)
        task: asyncio.Task[T]
        if self._task_factory is None:
            task = VirtualTask(coro, number=self._next_number(), loop=self, name=label, context=context, **options)
        else:
            task = self._task_factory(self, coro, context=context) if context else self._task_factory(self, coro)
            task.set_name(label)
        self._tasks[self._task_number] = task
        return task

    def set_task_factory(self, factory: Any) -> None:
        self._task_factory = factory

    def get_task_factory(self) -> Any:
        return self._task_factory

    def run_in_executor(self, executor: Any, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Run `func` here and now; its result is there one step later, as a thread's would be."""
        future: asyncio.Future[T] = self.create_future()
        try:
            result = func(*args)
        except Exception as error:  # noqa: BLE001 (it is the caller's, and handed to him)
            self.call_soon(_settle, future, None, error)
        else:
            self.call_soon(_settle, future, result, None)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Return: there are no threads to wait for."""

    # asynchronous generators

    def _asyncgen_started(self, agen: AsyncGenerator[Any, Any]) -> None:
        self._asyncgens[self._next_number()] = agen

    def _asyncgen_dropped(self, agen: AsyncGenerator[Any, Any]) -> None:
        if not self._closed:
            self.call_soon(self.create_task, agen.aclose())

    async def shutdown_asyncgens(self) -> None:
        """Close the generators that are still suspended, oldest first."""
        for _, agen in sorted(self._asyncgens.items()):
            try:
                await agen.aclose()
            except Exception as error:  # noqa: BLE001 (one bad generator must not keep the others open)
                self.call_exception_handler(
                    {"message": "an asynchronous generator failed to close", "exception": error, "asyncgen": agen}
                )
        self._asyncgens.clear()

    # errors

    def set_exception_handler(
        self, handler: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None
    ) -> None:
        self._exception_handler = handler

    def get_exception_handler(self) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None:
        return self._exception_handler

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Log the context, with the traceback where there is one."""
        error = context.get("exception")
        _log.error("%s", context.get("message", "unhandled error in the loop"), exc_info=error or False)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.unhandled.append(context)
        if self._exception_handler is None:
            self.default_exception_handler(context)
        else:
            self._exception_handler(self, context)

    def get_debug(self) -> bool:
        return self._debug

    def set_debug(self, enabled: bool) -> None:
        self._debug = enabled

    # what a loop without a machine under it does not have

    def _no_machine(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(
            "the virtual loop has no sockets, files, signals or processes: use the runtime's net, disk and run_command"
        )

    create_connection = _no_machine
    create_server = _no_machine
    create_unix_connection = _no_machine
    create_unix_server = _no_machine
    create_datagram_endpoint = _no_machine
    connect_accepted_socket = _no_machine
    connect_read_pipe = _no_machine
    connect_write_pipe = _no_machine
    getaddrinfo = _no_machine
    getnameinfo = _no_machine
    subprocess_exec = _no_machine
    subprocess_shell = _no_machine
    start_tls = _no_machine
    sendfile = _no_machine
    sock_accept = _no_machine
    sock_connect = _no_machine
    sock_recv = _no_machine
    sock_recv_into = _no_machine
    sock_recvfrom = _no_machine
    sock_recvfrom_into = _no_machine
    sock_sendall = _no_machine
    sock_sendfile = _no_machine
    sock_sendto = _no_machine
    add_reader = _no_machine  # type: ignore[assignment]
    remove_reader = _no_machine
    add_writer = _no_machine  # type: ignore[assignment]
    remove_writer = _no_machine
    add_signal_handler = _no_machine  # type: ignore[assignment]
    set_default_executor = _no_machine
    remove_signal_handler = _no_machine


def _settle(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def _name_of(handle: asyncio.Handle) -> str:
    """Name a callback without its address: the task and coroutine it steps, or its qualified name."""
    callback: Any = handle._callback  # type: ignore[attr-defined]
    while isinstance(callback, functools.partial):
        callback = callback.func
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        return f"{owner.get_name()} {getattr(owner.get_coro(), '__qualname__', '?')}"
    return getattr(callback, "__qualname__", None) or type(callback).__qualname__


def _place_of(task: asyncio.Task[Any]) -> str:
    """Say where a task waits: its chain of awaits, outermost first."""
    chain: list[str] = []
    inner: Any = task.get_coro()
    while (frame := getattr(inner, "cr_frame", None)) is not None:
        chain.append(f"{inner.__qualname__} ({os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno})")
        inner = inner.cr_await
    return " > ".join(chain) or repr(type(inner))
