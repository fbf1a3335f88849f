"""Drives an adapter's flows: performs what they yield, throws into them what went wrong.

A flow runs in a task of its own. Cancelling the caller cancels the flow as long as nothing of a `mutates` request can
have left; from then on the flow goes on to its outcome without its caller ("detached"), because an order that was
sent has an outcome, whether somebody waits for it or not. `launch` makes a task only where something has to wait beside
the broker's answer.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from dragoman.errors import (
    AuthRequired,
    DecodeError,
    DragomanError,
    Effect,
    ErrorKind,
    NotSent,
    OutcomeUnknown,
    Rejected,
    Retry,
    UsageError,
    error_for,
)
from dragoman.plugin import All, Download, Downloaded, Flow, Part, Prompt, Redirect, Reply, Request, Wait
from dragoman.runtime.base import Runtime
from dragoman.runtime.process import Owner
from dragoman.session.brokertime import BrokerClock
from dragoman.session.launched import READ_TRIES, Launch, Launched, OnOutcome, Run
from dragoman.session.secrets import Secret, forget_locals, redact
from dragoman.session.sender import BeforeSend, Flight, Sender

T = TypeVar("T")
_NS: Final = 1_000_000_000
_CLOSED_TOO_SOON: Final = "the session closed before the outcome was known"
_BACKOFF_S: Final = 0.2

OnRows = Callable[[Sequence[Any]], object]
OnProgress = Callable[[int | None, int | None], object]
AskHuman = Callable[[str, str, bool], str | Awaitable[str]]
"""Takes kind, text and whether the answer is secret, as `Prompt` has them; returns what was typed."""
AskRedirect = Callable[[Redirect], Awaitable[dict[str, str]]]

_log = logging.getLogger("dragoman.session")


class FlowDriver:
    """Performs the effects of flows for one account.

    Parameters
    ----------
    runtime : Runtime
    sender : Sender
    clock : BrokerClock
        For `Wait(until_ns=...)`.
    broker : str
    max_concurrency : int
        Requests of one `All` at a time.

    Attributes
    ----------
    sender : Sender
    owner : Owner
        The process and the loop whose flows are driven; whoever starts the session binds it.
    closing : bool
    flying : dict
        What was launched and waits for a reply, in that order.
    """

    def __init__(
        self, runtime: Runtime, sender: Sender, clock: BrokerClock, *, broker: str, max_concurrency: int = 8
    ) -> None:
        self._runtime = runtime
        self.sender = sender
        self._clock = clock
        self._broker = broker
        self._max_concurrency = max_concurrency
        self._running: dict[asyncio.Task[Any], Run] = {}
        self.flying: dict[Launch, None] = {}
        self.closing = False
        self.owner = Owner(broker)
        self.detached = 0
        self.retries = 0

    async def run(
        self,
        flow: Flow[T],
        *,
        timeout_s: float,
        on_rows: OnRows | None = None,
        on_progress: OnProgress | None = None,
        prompt: AskHuman | None = None,
        redirect: AskRedirect | None = None,
        before_send: BeforeSend | None = None,
        allow_mutates: bool = True,
        read_tries: int = READ_TRIES,
    ) -> T:
        """Drive a flow to its end and return its value.

        Parameters
        ----------
        flow : generator
        timeout_s : float
            Deadline for all of it, limiter and retries included.
        on_rows : callable, optional
            Takes rows as `Part` and `Download` bring them.
        on_progress : callable, optional
            Takes (done, total) of a `Part`, each may be None.
        prompt, redirect : callable, optional
            How to reach the human.
        before_send : callable, optional
            The journal: awaited for each `mutates` request after the limiter, before the first byte.
        allow_mutates : bool
            False makes a `mutates` request a UsageError.
        read_tries : int
            How often each read is tried: once where the caller itself tries again.

        Raises
        ------
        DragomanError
            What the flow raised, or did not handle.
        """
        task = self.start(
            flow,
            timeout_s=timeout_s,
            on_rows=on_rows,
            on_progress=on_progress,
            prompt=prompt,
            redirect=redirect,
            before_send=before_send,
            allow_mutates=allow_mutates,
            read_tries=read_tries,
        )
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            run = self._running.get(task)
            if run is not None and run.committed:
                self.detached += 1
                task.add_done_callback(_report_detached)
            else:
                task.cancel()
                task.add_done_callback(_drop_cancelled)
            raise
        if task.cancelled():  # before its first step
            raise self.closed()
        return task.result()

    def start(
        self,
        flow: Flow[T],
        *,
        timeout_s: float,
        on_rows: OnRows | None = None,
        on_progress: OnProgress | None = None,
        prompt: AskHuman | None = None,
        redirect: AskRedirect | None = None,
        before_send: BeforeSend | None = None,
        allow_mutates: bool = True,
        read_tries: int = READ_TRIES,
    ) -> asyncio.Task[T]:
        """Begin driving a flow and return its task; parameters as `run`. Whoever holds it takes its outcome."""
        self._check_open(flow)
        deadline_ns = self._runtime.clock.mono_ns() + int(timeout_s * _NS)
        run = Run(deadline_ns, before_send, allow_mutates)
        run.on_rows, run.on_progress, run.prompt, run.redirect = on_rows, on_progress, prompt, redirect
        run.read_tries = read_tries
        return self.take_over(flow, run)

    def launch(
        self,
        flow: Flow[Any],
        on_outcome: OnOutcome,
        *,
        deadline_ns: int,
        before_send: BeforeSend | None = None,
        allow_mutates: bool = True,
    ) -> None:
        """Drive a flow to its end, without its caller, and tell `on_outcome` once: perhaps before this returns.

        Parameters
        ----------
        flow : generator
        on_outcome : callable
            Takes the value and the error, one of them None. It must not raise.
        deadline_ns : int
            Monotonic, for all of it.
        before_send, allow_mutates
            As `run`.
        """
        self.fly(Launched(self, flow, on_outcome, deadline_ns, before_send, allow_mutates))

    def fly(self, launch: Launch) -> None:
        """Drive the flow of a launch to its end, which it is told of: perhaps before this returns."""
        if self.closing:
            launch.end(None, self.closed())
            return
        try:
            self.owner.check("request")
        except UsageError as error:
            launch.end(None, error)
        else:
            launch.go_on()

    def take_over(self, flow: Flow[T], run: Run, effect: Any = None, begun: Flight | None = None) -> asyncio.Task[T]:
        """Drive a flow in a task, from `effect` on where it has yielded that already."""
        name = getattr(flow, "__qualname__", "flow")
        task = self._runtime.spawn(self._drive(flow, run, effect, begun), name=f"{self._broker} {name}")
        self._running[task] = run
        task.add_done_callback(self._forget)
        return task

    def _check_open(self, flow: Flow[Any]) -> None:
        if self.closing:
            flow.close()
            raise self.closed()
        try:
            self.owner.check("request")
        except UsageError:
            flow.close()
            raise

    def closed(self) -> NotSent:
        """Return the error of a flow that the session's end kept from being driven."""
        return NotSent(f"{self._broker}: the session is closed", broker=self._broker, remedy="connect again")

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._running.pop(task, None)

    async def close(self, *, timeout_s: float = 3.0) -> None:
        """Refuse new flows, end reads, and give flows that have sent something `timeout_s` to find their outcome."""
        self.closing = True
        for task, run in list(self._running.items()):
            if not run.committed:
                task.cancel()
        try:
            if under_way := [*self._running, *(launched.told() for launched in self.flying)]:
                await asyncio.wait(under_way, timeout=timeout_s)
        finally:
            for launched in list(self.flying):
                launched.give_up(self._unknown(_CLOSED_TOO_SOON, None))
            left = list(self._running)
            for task in left:
                task.cancel()
        if left:
            await asyncio.wait(left)

    # -- the loop ----------------------------------------------------------------------------------------------------

    async def _drive(self, flow: Flow[T], run: Run, effect: Any, begun: Flight | None) -> T:
        try:
            return await self._steps(flow, run, effect, begun)
        except asyncio.CancelledError:
            if not self.closing:
                raise
            if run.unsettled:
                raise self._unknown(_CLOSED_TOO_SOON, None) from None
            raise self.closed() from None
        except Exception as error:
            forget_locals(error)
            raise
        finally:
            flow.close()

    async def _steps(self, flow: Flow[T], run: Run, effect: Any, begun: Flight | None) -> T:
        value: Any = None
        thrown: DragomanError | None = None
        while True:
            if effect is None:
                ended, effect = self.step(flow, run, value, thrown)
                if ended:
                    result: T = effect
                    return result
            value, thrown = None, None
            mutates = isinstance(effect, Request) and effect.mutates
            try:
                value = await self._perform(effect, run, begun)
                run.answered = mutates
            except DragomanError as error:
                thrown = error
                run.answered = mutates and error.effect is Effect.APPLIED
            effect = begun = None

    def step(self, flow: Flow[Any], run: Run, value: Any, thrown: DragomanError | None) -> tuple[bool, Any]:
        """Step a flow; return whether it has ended, and its value, or the effect it yields next."""
        try:
            effect = flow.throw(thrown) if thrown is not None else flow.send(value)
        except StopIteration as stop:
            return True, stop.value
        except Exception as error:
            final = self.escaped(error, run)
            if final is error:
                raise
            raise final from error
        run.answered = False
        return False, effect

    def escaped(self, error: BaseException, run: Run) -> BaseException:
        """Return what an error that a flow raised is to whoever waits for it, caused by it where it is another."""
        if isinstance(error, DragomanError):
            final = self._escaped(error, run)
        elif isinstance(error, Exception) and run.replied:
            final = self._escaped(self._misread(error), run)
        else:
            return error  # nothing was read yet: a defect of the adapter, best seen as it is
        if final is not error:
            final.__cause__ = error
        return final

    def ended(self, error: BaseException) -> None:
        """Empty the frames of a flow's error: they hold what it revealed."""
        if isinstance(error, Exception):
            forget_locals(error)

    def _escaped(self, error: DragomanError, run: Run) -> DragomanError:
        """Return what the caller gets: nothing that hides a request whose outcome is open.

        What the flow itself reads from the reply to its only such request is believed, where it is a refusal.
        """
        if not run.unsettled or isinstance(error, OutcomeUnknown):
            return error
        if (
            run.answered
            and run.unsettled == 1
            and isinstance(error, (Rejected, AuthRequired))
            and error.effect is not Effect.UNKNOWN
        ):
            return error
        return self._unknown(str(error), error)

    def _unknown(self, what: str, cause: DragomanError | None) -> OutcomeUnknown:
        kind = ErrorKind.MAYBE_SENT
        if cause is not None and (isinstance(cause, DecodeError) or cause.effect is not Effect.NONE):
            kind = cause.kind
        return OutcomeUnknown(
            f"a request that changes something was sent, and then: {what}",
            kind=kind,
            effect=Effect.UNKNOWN,
            retry=Retry.RESOLVE_FIRST,
            code=cause.code if cause else None,
            text=cause.text if cause else None,
            broker=self._broker,
            remedy="look for it at the broker before acting; do not send it again",
        )

    def _misread(self, error: Exception) -> DecodeError:
        found = redact(f"{type(error).__name__}: {error}")[:200]
        return DecodeError(f"{self._broker}: a reply does not have the form the adapter expects: {found}")

    # -- effects -----------------------------------------------------------------------------------------------------

    async def _perform(self, effect: Any, run: Run, begun: Flight | None) -> Any:
        match effect:
            case Request(mutates=True):
                return await self._mutate(effect, run, begun)
            case Request():
                return await self._read(effect, run)
            case All(requests):
                return await self._all(requests, run)
            case Download():
                return await self._download(effect, run)
            case Part(rows, done, total):
                if run.on_rows is not None and rows:
                    run.on_rows(rows)
                if run.on_progress is not None:
                    run.on_progress(done, total)
                return None
            case Wait():
                return await self._wait(effect, run)
            case Prompt():
                return await self._prompt(effect, run)
            case Redirect():
                if run.redirect is None:
                    raise UsageError(f"{self._broker}: this needs a human at a browser", broker=self._broker)
                return await self._human(run.redirect(effect), run)
        raise TypeError(f"{self._broker}: a flow yielded {type(effect).__name__}, which is no effect")

    async def _mutate(self, request: Request, run: Run, begun: Flight | None) -> Reply:
        if not run.allow_mutates:
            raise UsageError(
                f"{self._broker}: {request.method} {request.path} changes something, and this session is read-only",
                broker=self._broker,
                remedy="connect with read_only=False",
            )

        if begun is None:
            run.before = run.unsettled
        try:
            reply = await self.sender.send(request, run.deadline_ns, run.commit, begun, run.leaving)
        except DragomanError as error:
            if error.effect is Effect.NONE:
                run.unsettled = run.before
            raise
        run.replied = True
        return reply

    async def _read(self, request: Request, run: Run) -> Reply:
        for attempt in range(1, run.read_tries + 1):
            try:
                reply = await self.sender.send(request, run.deadline_ns)
            except DragomanError as error:
                if not await self._retry(error, attempt, run):
                    raise
            else:
                run.replied = True
                return reply
        raise AssertionError("unreachable: the last try returns or raises")

    async def _retry(self, error: DragomanError, attempt: int, run: Run) -> bool:
        """Wait before another try of a read; False where there is to be none."""
        if attempt >= run.read_tries or not (isinstance(error, NotSent) or error.retry is Retry.BACKOFF):
            return False
        delay = max(self._runtime.random.uniform(0, _BACKOFF_S * 2**attempt), error.retry_after_s or 0.0)
        if self._runtime.clock.mono_ns() + int(delay * _NS) >= run.deadline_ns:
            return False
        self.retries += 1
        await self._runtime.sleep(delay)
        return True

    async def _all(self, requests: Sequence[Request], run: Run) -> list[Reply]:
        if any(request.mutates for request in requests):
            raise UsageError(
                f"{self._broker}: All holds a request that changes something; one such is in flight at a time",
                broker=self._broker,
                remedy="yield them one after another",
            )
        gate = asyncio.Semaphore(self._max_concurrency)

        async def one(request: Request) -> Reply:
            async with gate:
                return await self._read(request, run)

        tasks = [self._runtime.spawn(one(request), name=f"{self._broker} {request.path}") for request in requests]
        try:
            if tasks:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            failed = [error for task in tasks if task.done() and (error := task.exception()) is not None]
            if failed:
                raise failed[0]
            return [task.result() for task in tasks]
        finally:
            unfinished = [task for task in tasks if not task.done()]
            for task in unfinished:
                task.cancel()
            if unfinished:
                await asyncio.wait(unfinished)

    async def _download(self, effect: Download[Any], run: Run) -> Downloaded:
        rows = size = 0
        caught: Exception | None = None

        def deliver(found: Sequence[Any]) -> None:
            nonlocal rows
            rows += len(found)
            if found and run.on_rows is not None:
                run.on_rows(found)

        def sink(data: bytes) -> None:
            nonlocal size, caught
            size += len(data)
            try:
                deliver(list(effect.parser.feed(data)))
            except Exception as error:
                caught = error
                raise

        for attempt in range(1, run.read_tries + 1):
            try:
                async with asyncio.timeout((run.deadline_ns - self._runtime.clock.mono_ns()) / _NS):
                    reply = await self.sender.download(effect.request, run.deadline_ns, sink)
                break
            except TimeoutError:
                raise self._late(f"{effect.request.path} after {size} bytes", run) from None
            except DragomanError as error:
                if caught is not None:
                    raise caught from None
                # Rows that are out cannot be taken back, and the parser is in the middle: no second start then.
                if size or not await self._retry(error, attempt, run):
                    raise
            except Exception:
                if caught is not None:
                    raise caught from None
                raise
        run.replied = True
        deliver(list(effect.parser.close()))
        return Downloaded(rows, size, reply.headers)

    async def _wait(self, effect: Wait, run: Run) -> None:
        seconds = effect.seconds
        if effect.until_ns is not None:
            seconds = max(0.0, (effect.until_ns - self._clock.now_ns) / _NS)
        if self._runtime.clock.mono_ns() + int(seconds * _NS) > run.deadline_ns:
            raise self._late(f"a wait of {seconds:g} s ({effect.reason or 'no reason given'})", run)
        await self._runtime.sleep(seconds)

    async def _prompt(self, effect: Prompt, run: Run) -> str:
        if run.prompt is None:
            raise UsageError(
                f"{self._broker}: asks for {effect.kind} ({effect.text}), and nobody can be asked",
                broker=self._broker,
                remedy="give prompt= when connecting",
            )
        answer = run.prompt(effect.kind, effect.text, effect.secret)
        typed = await self._human(answer, run) if inspect.isawaitable(answer) else answer
        if effect.secret:
            run.typed += (Secret(typed),)  # keeps it out of the logs while the flow runs
        return typed

    async def _human(self, answer: Awaitable[T], run: Run) -> T:
        """Wait for a human no longer than the flow may take."""
        try:
            async with asyncio.timeout((run.deadline_ns - self._runtime.clock.mono_ns()) / _NS) as limit:
                return await answer
        except TimeoutError:
            if not limit.expired():
                raise  # the human's own
            raise AuthRequired(
                f"{self._broker}: nobody answered in time, and the login is given up",
                kind=ErrorKind.AUTH_INVALID,
                broker=self._broker,
                remedy="log in again where a human can be asked",
            ) from None

    def _late(self, what: str, run: Run) -> DragomanError:
        return error_for(
            ErrorKind.TIMEOUT,
            f"{self._broker}: the deadline does not allow {what}",
            mutates=run.unsettled > 0,
            broker=self._broker,
            remedy="allow more time",
        )


def _drop_cancelled(task: asyncio.Task[Any]) -> None:
    """Take how a flow ended that nobody waits for and that changed nothing: the loop must not report it as lost."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.debug("%s: ended after its caller was gone: %s", task.get_name(), redact(str(error)))


def _report_detached(task: asyncio.Task[Any]) -> None:
    """Take the outcome of a flow whose caller is gone, so that it is logged and not lost."""
    if task.cancelled():
        _log.warning("%s: cancelled after its caller was gone", task.get_name())
    elif (error := task.exception()) is not None:
        _log.warning("%s: ended without its caller: %s", task.get_name(), redact(str(error)))
