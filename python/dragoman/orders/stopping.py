"""What the kill switch does: it stops new orders in every process, cancels what works, and has positions closed.

The switch itself is a file (`dragoman.checks.kill`). Whoever engages it writes there; the process that writes to the
account, this one or another, notices and cancels. Where nobody writes, whoever engaged it takes the account over and
does it. The sweep goes on for as long as the switch is engaged: a cancel that failed is tried again while its order
works, and an order of which nobody knew whether it is live is cancelled when it turns up.

Left alone are exits, which make positions smaller, and what somebody placed elsewhere after the switch was engaged:
that may be a human who closes positions by hand.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from dragoman.checks.kill import KillSwitch
from dragoman.errors import AccountBusy, DragomanError, ErrorKind, UsageError
from dragoman.model import KillEvent, KillState, Order, OrderUpdate, Origin
from dragoman.orders.intents import Intents
from dragoman.orders.recorder import Recorder
from dragoman.orders.store import OrderStore
from dragoman.orders.sweep import Flatten, Sweep
from dragoman.runtime.process import process_id
from dragoman.session.profiles import Profile
from dragoman.session.session import AccountSession
from dragoman.session.tokens import file_name

_SELDOM_S: Final = 5.0
_LOOK_ON_S: Final = 1.0
_DISK_S: Final = 2.0
_log = logging.getLogger("dragoman.orders")


class Stopping:
    """The kill switch of one account, at work.

    Parameters
    ----------
    session : AccountSession
    store : OrderStore
    intents : Intents
    recorder : Recorder
    cancel : callable
        Cancels an order.
    refresh : callable
        Reads all orders.
    take_over : callable
        Makes this process the one that writes.
    writes : callable
        Whether it is.
    tell : callable
        Takes each `KillEvent`.

    Attributes
    ----------
    switch : KillSwitch or None
        None before `open`.
    flatten : callable or None
        Closes all positions; called once what worked is cancelled, until none is left, and again after later fills.
    held : callable
        Returns what is not flat, in words; None where that is not known.
    """

    def __init__(
        self,
        session: AccountSession,
        store: OrderStore,
        intents: Intents,
        recorder: Recorder,
        *,
        cancel: Callable[[Order], Awaitable[object]],
        refresh: Callable[[], Awaitable[object]],
        take_over: Callable[[], Awaitable[object]],
        writes: Callable[[], bool],
        tell: Callable[[KillEvent], object],
    ) -> None:
        self._session = session
        self._store = store
        self._intents = intents
        self._recorder = recorder
        self._cancel = cancel
        self._refresh = refresh
        self._take_over = take_over
        self._writes = writes
        self._tell_all = tell
        self.switch: KillSwitch | None = None
        self.flatten: Flatten | None = None
        self.held: Callable[[], tuple[str, ...] | None] = lambda: None
        self._sweeping: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._swept = asyncio.Event()
        self._told = 0  # the mark of the engagement that was told of
        self._kills_here = False
        self._end: Callable[[], object] = lambda: None

    @property
    def path(self) -> str:
        """Where the switch of this account lies."""
        session = self._session
        return switch_path(session.state_dir, session.profile, session.ctx.account)

    def state(self) -> KillState:
        """Return whether new orders are stopped, and what is still to be cancelled."""
        if self.switch is None:
            return KillState()
        state = self.switch.state()
        if not state.engaged:
            return state
        working = tuple(order.client_order_id for order in self._targets())
        unknown = tuple(order.client_order_id for order in self._store.unknown if not order.order_id)
        held = self.held() if state.flatten else None
        return replace(state, working=working, unknown=unknown, positions=held or (), flattened=held == ())

    # -- life --------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Look at the account's switch, and follow it from now on."""
        session = self._session
        if self.switch is not None:
            return
        path, broker = self.path, session.adapter.name
        self.switch = switch = await session.runtime.in_worker(
            lambda: KillSwitch.open(session.runtime.disk, path, broker=broker)
        )
        self._end = switch.listen(self._noticed)
        if switch.damaged:
            why = switch.state().damage
            try:
                await self._engage(f"process {process_id()}", why, flatten=False)
            except DragomanError as error:
                self._tell("NOT_DURABLE", str(error))
        elif switch.engaged:
            self._noticed()

    def resume(self) -> None:
        """Sweep, where the switch is engaged: this process has just become the one that writes."""
        if self.switch is None:
            return
        if self.switch.state().epoch:
            self._write_down()
        if self.switch.engaged:
            self._sweep()

    def _write_down(self) -> None:
        """Put what the switch is into the journal, where this process writes it."""
        state = self._opened().state()
        self._recorder.control(
            "kill switch",
            {
                "engaged": state.engaged,
                "who": state.who,
                "why": state.why,
                "flatten": state.flatten,
                "epoch": state.epoch,
                "at": state.ts_changed,
            },
        )

    async def pause(self) -> None:
        """End the sweep; the switch stays as it is."""
        self._end()
        task, self._sweeping = self._sweeping, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait((task,))

    async def close(self) -> None:
        """Let go of the file."""
        await self.pause()
        if self.switch is not None:
            self.switch.close()

    # -- acts --------------------------------------------------------------------------------------------------------

    async def kill(self, who: str, why: str, *, flatten: bool, timeout_s: float) -> KillState:
        """Engage the switch, durably; then wait, at most `timeout_s`, until nothing works and no position is left.

        Raises
        ------
        Rejected
            The stop holds and cancels are being sent, but a restart may not find it engaged.
        """
        await self._engage(who, why, flatten=flatten)
        return await self.see_through(timeout_s)

    async def see_through(self, timeout_s: float) -> KillState:
        """Wait, at most so long, until nothing works and, where asked for, no position is left.

        Where nobody cancels and closes, this process does.
        """
        self._kills_here = True
        self._opened()
        self._sweep()
        try:
            async with asyncio.timeout(timeout_s):
                await self._swept.wait()
        except TimeoutError:
            pass  # the state says what is left, and the sweep goes on
        return self.state()

    async def _engage(self, who: str, why: str, *, flatten: bool) -> None:
        switch, runtime = self._opened(), self._session.runtime
        before = switch.state()
        flatten = flatten or (before.engaged and before.flatten)
        now, epoch = runtime.clock.wall_ns(), before.epoch + 1
        mark = self._told = switch.stop(runtime.random_bytes(8))
        self._swept.clear()
        switch.hold(mark, who=who, why=why, ts=now, flatten=flatten, epoch=epoch)
        self._sweep()  # before the disk has answered: a disk that hangs must not keep orders at work
        failed: OSError | None = None

        def write() -> None:
            switch.engage(mark, who=who, why=why, ts=now, flatten=flatten, epoch=epoch)

        work = asyncio.ensure_future(runtime.in_worker(write))
        try:
            async with asyncio.timeout(_DISK_S):
                await asyncio.shield(work)
        except OSError as error:  # also the TimeoutError of a disk that hangs
            failed = error if error.strerror else OSError(str(error) or "the disk does not answer")
            if not work.done():
                work.add_done_callback(_late)
        state = switch.state()
        self._write_down()
        self._tell("ENGAGED", _sentence(state, self._session.adapter.name))
        if failed is not None:
            refusal = switch.not_durable(failed)
            self._tell("NOT_DURABLE", str(refusal))
            raise refusal

    async def release(self, token: str | None, who: str, timeout_s: float) -> str | None:
        """Return what releases the switch; or, given that, release it."""
        switch, runtime = self._opened(), self._session.runtime
        if token is None:
            return switch.token()
        now = runtime.clock.wall_ns()
        written = asyncio.ensure_future(runtime.in_worker(lambda: switch.release(token, who=who, ts=now)))
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.shield(written)
        except TimeoutError:
            written.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            raise UsageError(
                f"the disk did not take the release within {timeout_s:g} s",
                kind=ErrorKind.LOCAL_DENIED,
                remedy="look at `killed`: it is released once the disk has answered",
            ) from None
        except OSError as error:
            raise UsageError(
                f"the release could not be written to {switch.path}: {error.strerror or error}",
                kind=ErrorKind.LOCAL_DENIED,
                remedy="repair the disk and release it again: a restart may find it engaged",
            ) from error
        self._noticed()
        return None

    def _opened(self) -> KillSwitch:
        if self.switch is None:
            raise UsageError("the client is not connected", remedy="enter it, or await it, first")
        return self.switch

    # -- following ---------------------------------------------------------------------------------------------------

    def _noticed(self) -> None:
        """Follow what any process did with the switch."""
        switch = self.switch
        assert switch is not None
        if not switch.engaged and switch.lost:
            runtime = self._session.runtime
            switch.strand(runtime.random_bytes(8), ts=runtime.clock.wall_ns())
        if switch.engaged:
            if switch.mark == self._told:
                return
            self._told = switch.mark
            self._swept.clear()
            state = switch.state()
            self._tell("ENGAGED", _sentence(state, self._session.adapter.name))
            if self._writes():
                self._write_down()
                self._sweep()
        elif self._told:
            self._told = 0
            self._swept.set()
            self._changed.set()
            self._kills_here = False
            self._write_down()
            self._tell("RELEASED", f"the kill switch was released by {switch.state().who or 'somebody'}")

    def _on_order(self, update: OrderUpdate) -> None:
        self._changed.set()

    def _tell(self, code: Any, text: str) -> None:
        self._tell_all(KillEvent(code, text, self.state(), self._session.runtime.clock.wall_ns()))

    # -- the sweep ---------------------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        self._changed.set()
        if self._session.read_only or (self._sweeping is not None and not self._sweeping.done()):
            return
        self._sweeping = self._session.runtime.spawn(
            self._sweep_on(), name=f"{self._session.adapter.name} kill switch cancels"
        )

    def _targets(self) -> list[Order]:
        """Return the orders that work and are to be cancelled."""
        since = None if self.switch is None else self.switch.state().ts_changed
        return [order for order in self._store.open if self._is_target(order, since)]

    def _is_target(self, order: Order, since: int | None) -> bool:
        if not order.order_id:
            return False  # on its way, or of unknown outcome: a report will name it
        intent = self._intents.get(order.client_order_id)
        if intent is not None and intent.exits:
            return False
        if order.origin is Origin.EXTERNAL and since is not None:
            began = order.ts_created or order.ts_accepted or order.ts_event
            if began is not None and began > since:
                return False
        # One that the broker split is cancelled by its parts.
        name = order.client_order_id
        return not self._store.children(name) or self._store.reported(name)

    async def _sweep_on(self) -> None:
        """Cancel, look, and cancel again, for as long as the switch is engaged."""
        switch = self.switch
        assert switch is not None
        sweep = Sweep(
            self._session,
            self._store,
            switch,
            targets=self._targets,
            cancel=self._cancel,
            refresh=self._refresh,
            flatten=lambda: self.flatten,
            tell=self._tell,
            clean=self._swept.set,
        )
        # Only now: each turn begins with all there is, and waits for what changes after that.
        ends = self._store.listen(self._on_order), self._store.listen(sweep.on_order, first_steps=False)
        try:
            await self._turns(switch, sweep)
        finally:
            for end in ends:
                end()

    async def _turns(self, switch: KillSwitch, sweep: Sweep) -> None:
        while switch.engaged:
            if not await self._may_cancel():
                await self._session.runtime.sleep(_LOOK_ON_S)
                continue
            self._changed.clear()
            try:
                pause_s = await sweep.turn()
            except Exception:  # noqa: BLE001 - a defect here must not end the sweep
                _log.exception("%s: the kill switch's sweep raised", self._session.adapter.name)
                pause_s = _SELDOM_S
            if switch.engaged:
                await self._wait(pause_s)

    async def _wait(self, pause_s: float | None) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._changed.wait()
        except TimeoutError:
            pass  # time for the next turn

    async def _may_cancel(self) -> bool:
        if self._writes():
            return True
        if not self._kills_here:
            return False
        try:
            await self._take_over()
        except AccountBusy:
            # The process that writes has noticed. This one looks on, and takes over where that one ends.
            await self._look_on()
            return False
        except DragomanError as error:
            self._tell("WORKING", f"nothing can be cancelled from here: {error}")
            await self._session.runtime.sleep(_SELDOM_S)
            return False
        return self._writes()

    async def _look_on(self) -> None:
        try:
            await self._refresh()
        except DragomanError as error:
            _log.info("%s: orders cannot be read: %s", self._session.adapter.name, error)
            return
        if self._targets() or self._store.unknown:
            return
        state = self.state()
        if state.flattened or not state.flatten:
            self._swept.set()


def switch_path(state_dir: str, profile: Profile, account: str) -> str:
    """Return where the kill switch of an account lies. Each emulator has accounts of its own."""
    ports: list[str] = []
    if profile.environment == "emulator":
        ports = sorted({str(urlsplit(root).port) for root in profile.hosts.values()})
    return f"{state_dir}/kill/{file_name(profile.broker, profile.environment, account, *ports)}"


def _sentence(state: KillState, broker: str) -> str:
    by = f" by {state.who}" if state.who else ""
    return f"{broker}: the kill switch is engaged{by}{f': {state.why}' if state.why else ''}; no new order leaves"


def _late(work: asyncio.Future[None]) -> None:
    """Take note of an error that came too late to be told."""
    if not work.cancelled() and (error := work.exception()) is not None:
        _log.warning("the kill switch could not be written: %s", error)
