"""Rules of one account: added, listed, cancelled, and brought back from the journal; `client.rules`."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from dragoman.checks import function, identifier, record, seconds
from dragoman.checks.inputs import text
from dragoman.errors import DragomanError, ErrorKind, StaleData, UsageError
from dragoman.market import InstrumentMaster, MarketData
from dragoman.model import Instrument, KillState, Margin, Order, Segment, Side
from dragoman.model.rules import RuleEvent, RuleState, RuleStatus
from dragoman.orders import OrderService
from dragoman.orders.requests import check_name
from dragoman.portfolio import AccountServices
from dragoman.portfolio.net import PositionKey
from dragoman.rules.account import AccountRules
from dragoman.rules.clock import due_ns
from dragoman.rules.engine import Engine
from dragoman.rules.exits import Exits
from dragoman.rules.guards import Plan, check_floor, check_loss
from dragoman.rules.model import (
    KINDS,
    Bracket,
    DailyLoss,
    MarginFloor,
    Oco,
    PositionRule,
    PriceRule,
    Rule,
    Send,
    TimeExit,
    TrailingStop,
)
from dragoman.rules.native import NativeRules, in_the_way
from dragoman.rules.positions import ZERO, Positions
from dragoman.rules.reading import read_rules, restored
from dragoman.rules.statement import statement_of
from dragoman.rules.terms import exit_side, legs_of, needs_reference
from dragoman.rules.tracked import Tracked
from dragoman.rules.watch import NativeTriggers, Watch, cannot_follow
from dragoman.session.fanout import Fanout
from dragoman.session.secrets import redact
from dragoman.session.session import AccountSession

_S = RuleStatus
_NS: Final = 1_000_000_000
_KILL_S: Final = 10.0
_LOOK_AT_BROKER_S: Final = 15.0
_AT_ALL_COSTS: Final = Send(clears="all")
_TRY_AGAIN_S: Final = 1.0
_log = logging.getLogger("dragoman.rules")


class RuleBook:
    """Rules that watch positions of one account and make them smaller.

    Parameters
    ----------
    session : AccountSession
    master : InstrumentMaster
    market : MarketData
    orders : OrderService
    positions : Positions
    triggers : NativeTriggers
    publish : callable
        Gets each `RuleEvent`.
    account : AccountServices
        Keeps rules at the broker.
    streaming : callable
        Whether the stream of an instrument, by canonical id, stands now.
    price_of : callable
        Returns its last price where a stream has told one that is not old.
    margins : callable
        Returns the margins as they are now, by segment.

    Attributes
    ----------
    exits : Exits
        The one way anything exits a position.
    """

    def __init__(
        self,
        session: AccountSession,
        master: InstrumentMaster,
        market: MarketData,
        orders: OrderService,
        positions: Positions,
        triggers: NativeTriggers,
        publish: Callable[[RuleEvent], object],
        account: AccountServices,
        *,
        streaming: Callable[[str], bool] = lambda instrument_id: True,
        price_of: Callable[[str], Decimal | None] = lambda instrument_id: None,
        margins: Callable[[], Mapping[Segment, Margin]] = dict,
    ) -> None:
        self._session = session
        self._master = master
        self._market = market
        self._orders = orders
        self._positions = positions
        self._price_of = price_of
        self._told: Fanout[RuleEvent] = Fanout("rule")
        self._told.add(publish)
        self.exits = Exits(session, orders, market, positions, price_of)
        self.engine = Engine(
            session.runtime, orders.recorder, self.exits, positions, master.resolve, self._told.publish
        )
        self.engine.watch = Watch(session, market, master, triggers, streaming, self.engine.moved)
        self.engine.activate = self._activate
        self.engine.bracketed = self._bracketed
        self.engine.each_look.append(self._by_the_clock)
        self._account = AccountRules(
            session.runtime, self.engine, positions, margins, master.resolve, self._stop_account
        )
        self.engine.each_look.append(self._account.look)
        self.engine.each_look.append(self._look_at_broker)
        self.engine.orphaned = self._orphaned
        self._native = NativeRules(session.adapter, account, orders)
        self.exits.withdraw = self._withdraw
        self._end_orders = orders.store.listen(self.engine.on_order)
        self._read: dict[str, Tracked] = {}
        self._resumed: Mapping[str, Any] = {}
        orders.succession.on_rules = self._came_back

    # -- the face ----------------------------------------------------------------------------------------------------

    async def add(self, rule: Rule, *, timeout_s: float = 10.0) -> RuleState:
        """Arm a rule; it is written down durably before this returns.

        Parameters
        ----------
        rule : Rule
            One of `dragoman.rules`.
        timeout_s : float
            For what has to be asked of the broker: a price, or its own trigger.

        Returns
        -------
        RuleState
            Its `statement` says what happens if this process dies.

        Raises
        ------
        UsageError
            Its terms cannot be, there is no such position, or the broker does not offer what was asked of it. Nothing
            was armed.
        Rejected
            It cannot be written down, so it is not armed.
        AccountBusy
            Another process writes to this account, and so its rules are that one's.
        """
        self._session.owner.check("add")
        self._session.check_mutable()
        timeout_s = seconds("timeout_s", timeout_s)
        if not isinstance(rule, Rule) or rule.kind not in KINDS:
            raise UsageError(f"{rule!r} is no rule", remedy=f"make one of {', '.join(KINDS)}")
        rule = record("rule", rule, type(rule))
        await self._orders.ensure_writer()
        name = await self._name(rule)
        tracked = Tracked(name, rule)
        if isinstance(rule, PositionRule):
            await self._fit(tracked, rule)
        elif rule.where == "broker":
            raise UsageError(f"no broker keeps a {rule.kind}", remedy="leave where= out; nothing was armed")
        elif isinstance(rule, MarginFloor):
            check_floor(rule, self._account.plans)
        elif isinstance(rule, DailyLoss):
            check_loss(rule)
        if self._orders.writer.enabled:
            tracked.durable = True
        at_broker = self._native.kind_of(rule) if rule.where == "broker" else ""
        tracked.statement = statement_of(rule, durable=tracked.durable, at_broker=at_broker)
        now = self._session.runtime.clock.wall_ns()
        tracked.ts = now
        tracked.reason = "added"
        if name in self.engine.rules:
            raise self._taken(name)  # meanwhile
        self.engine.rules[name] = tracked
        try:
            await self._orders.recorder.durable_rule(tracked.record("armed", terms=True))
        except BaseException:
            self.engine.rules.pop(name, None)
            raise
        if at_broker:
            await self._hand_over(tracked, timeout_s)
        self._told.publish(RuleEvent(name, _S.ARMED, None, "added", tracked.state(), now))
        self.engine.enter(tracked)
        return tracked.state()

    def list(self, *, everything: bool = False) -> Sequence[RuleState]:
        """Return the rules that are not over, with `everything` also those that are, in the order they were added.

        In a process that only reads these are as `read` found them last.
        """
        self._session.owner.check("list")
        known = self.engine.rules if self._orders.writer.ready else self._read
        return [rule.state() for rule in known.values() if everything or not rule.status.terminal]

    def get(self, rule_id: str) -> RuleState:
        """Return one rule.

        Raises
        ------
        UsageError
            There is none of that name.
        """
        self._session.owner.check("get")
        return self._known(rule_id).state()

    async def read(self) -> Sequence[RuleState]:
        """Return all rules there are; a process that does not write here reads them from the journal."""
        self._session.owner.check("read")
        if not self._orders.writer.ready:
            session = self._session
            plain = await session.runtime.in_worker(read_rules, session.runtime.disk, self._orders.writer.folder)
            self._read = restored(plain)
        return self.list(everything=True)

    async def cancel(self, rule_id: str) -> RuleState:
        """End a rule that has not fired; of one that exits, what has not fired yet. It does not come back.

        Raises
        ------
        UsageError
            There is none of that name, or it is over.
        AccountBusy
            It is another process's.
        """
        self._session.owner.check("cancel")
        self._session.check_mutable()
        await self._orders.ensure_writer()
        tracked = self._known(rule_id)
        if tracked.status.terminal:
            raise UsageError(f"rule {rule_id} is {tracked.status} already: {tracked.reason}", remedy="nothing to do")
        if tracked.broker_id:
            await self._native.withdraw(tracked)
        self.engine.void(tracked)
        if tracked.status.watching:
            self.engine.settle(tracked, _S.CANCELED, "cancelled by its owner")
            await self._orders.recorder.durable_rule(tracked.record("canceled"))
        return tracked.state()

    def on_rule(self, callback: Callable[[RuleEvent], object]) -> Callable[[], None]:
        """Call back after every change of a rule; returns what ends it."""
        self._session.owner.check("on_rule")
        return self._told.add(callback)

    def plan(self, name: str, plan: Plan) -> None:
        """Name a way of yours to make positions smaller, for `MarginFloor(by=name)`.

        Name it again in each process: a rule whose plan is missing is SUSPENDED, and says so.

        Parameters
        ----------
        name : str
        plan : callable
            Takes the positions of the segment (`LivePosition`) and its `Margin`; returns how many units are to be
            exited of which, by the position's key.
        """
        self._session.owner.check("plan")
        self._account.plans[text("name", name)] = function("plan", plan)

    async def flatten(self, state: KillState) -> None:
        """Send exits for every position: what the kill switch does where it was asked to.

        Raises
        ------
        StaleData
            Positions are not known, so nothing was sent.
        """
        if not self._positions.ready:
            raise StaleData(
                f"{self._session.adapter.name}: positions are not known, so none was closed",
                remedy="read orders(), then kill again",
            )
        for key in self._positions.keys():  # noqa: SIM118 - no mapping
            place = ".".join(key).replace("/", "_")
            self.exits.reduce(key, None, f"killed: {state.why}", name=f"KILL{state.epoch}.{place}", send=_AT_ALL_COSTS)

    def moved(self, fired: Sequence[int]) -> None:
        """Take what the native triggers fired; called by the hand-out of batches."""
        self.engine.moved(fired)

    async def close(self) -> None:
        """Act no more; what is armed is in the journal, and the next run goes on with it."""
        self._end_orders()
        self._orders.succession.on_rules = None
        for tracked in self.engine.working:
            self.engine.note_trail(tracked)
        await self.engine.close()
        self._told.close()

    async def _stop_account(self, who: str, why: str, closes: bool) -> None:
        await self._orders.stopping.kill(who, why, flatten=closes, timeout_s=_KILL_S)

    # -- adding ------------------------------------------------------------------------------------------------------

    async def _name(self, rule: Rule) -> str:
        if not rule.rule_id:
            return f"R{self._session.runtime.random_bytes(5).hex()}"
        name = identifier("rule_id", rule.rule_id)
        check_name(name)
        if "." in name:
            raise UsageError(
                f"rule_id {name!r} has a dot in it", remedy="dots tell a rule's orders apart; leave it out"
            )
        older = self._orders.intents.older
        if name in self.engine.rules or (older is not None and await older(name)):
            raise self._taken(name)
        return name

    def _taken(self, name: str) -> UsageError:
        return UsageError(
            f"rule_id {name!r} was used before", kind=ErrorKind.DUPLICATE_ORDER, remedy="give each rule its own"
        )

    async def _fit(self, tracked: Tracked, rule: PositionRule) -> None:
        """Work out what a rule about a position watches, from the position as it is now."""
        instrument = self._master.resolve(rule.instrument_id)
        can, broker = self._session.adapter.capabilities, self._session.adapter.name
        can.require_value("product", rule.product, frozenset(can.products), broker)
        tracked.key = (instrument.instrument_id, rule.product, rule.position_side)
        if rule.where == "broker":
            self._native.kind_of(rule)
        if isinstance(rule, Bracket):
            self._entry(rule)
        else:
            self._guards(tracked, rule, instrument)
        if isinstance(rule, PriceRule):
            if rule.where == "local":
                await self._follow(rule, instrument)
            if not isinstance(rule, Bracket):
                await self._arm(tracked, rule, instrument, rule.reference)
        elif isinstance(rule, TimeExit):
            zone = ZoneInfo(self._session.adapter.session.time_zone)
            now = self._session.ctx.now_ns
            tracked.due_ns = due_ns(rule, instrument.exchange, self._session.adapter.hours, zone, now)

    def _guards(self, tracked: Tracked, rule: PositionRule, instrument: Instrument) -> None:
        """Look at the position a rule is about.

        Raises
        ------
        UsageError
            It is flat, not known yet, or smaller than the rule.
        """
        assert tracked.key is not None
        where = f"{rule.kind} of {instrument.instrument_id} {rule.product}"
        if not self._positions.ready:
            raise UsageError(f"{where}: positions are not known yet", remedy="await client.orders() first")
        held = self._positions.quantity(tracked.key)
        if not held:
            raise UsageError(
                f"{where}: there is no such position",
                kind=ErrorKind.POSITION_ALREADY_FLAT,
                remedy="open it first, or use a Bracket for an entry order; nothing was armed",
            )
        if rule.quantity is not None and not 0 < rule.quantity <= abs(held):
            raise UsageError(
                f"{where}: a quantity of {rule.quantity}, and the position is {held}",
                kind=ErrorKind.INVALID_QUANTITY,
                remedy=f"give more than 0, at most {abs(held)}; nothing was armed",
            )
        tracked.side = exit_side(held)

    def _entry(self, rule: Bracket) -> Order:
        found = self._orders.store.get(text("rule.entry", rule.entry))
        if found is None or found.instrument_id != self._master.resolve(rule.instrument_id).instrument_id:
            raise UsageError(
                f"Bracket of {rule.instrument_id}: no entry order {rule.entry!r} in it is known",
                kind=ErrorKind.ORDER_NOT_FOUND,
                remedy="place it first, and give its client_order_id; nothing was armed",
            )
        return found

    async def _follow(self, rule: PriceRule, instrument: Instrument) -> None:
        can_poll = rule.poll and bool(self._session.adapter.capabilities.features["quotes"])
        try:
            followed = self.engine.watch.follow(instrument)
        except UsageError as error:
            if not can_poll:
                raise cannot_follow(instrument, error) from error
            _log.warning("%s is watched by polling alone: %s", instrument.instrument_id, error)
            return
        if not followed and not can_poll:
            raise cannot_follow(instrument, UsageError("there is no market stream"))

    async def _arm(self, tracked: Tracked, rule: PriceRule, instrument: Instrument, reference: Decimal | None) -> None:
        assert tracked.key is not None
        assert tracked.side is not None
        if reference is None and needs_reference(rule):
            reference = self._positions.average(tracked.key)
        last = None
        if (isinstance(rule, TrailingStop) and rule.start is None) or (isinstance(rule, Oco) and rule.trailing):
            last = self._price_of(instrument.instrument_id) or await self.engine.watch.price(instrument)
        size = abs(self._positions.quantity(tracked.key))
        tracked.legs = list(legs_of(rule, tracked.side, instrument, size=size, reference=reference, last=last))

    def _activate(self, tracked: Tracked) -> None:
        """Arm a bracket once its entry has filled something; end it once it never will."""
        rule = tracked.rule
        if not isinstance(rule, Bracket) or tracked.legs or not tracked.status.watching:
            return
        entry = self._orders.store.get(rule.entry)
        if entry is None:
            return
        if entry.filled_quantity > 0:
            self._session.runtime.spawn(self._activated(tracked, rule, entry), name=f"arm {tracked.rule_id}")
        elif entry.status.terminal:
            self.engine.settle(tracked, _S.CANCELED, f"its entry {rule.entry} is {entry.status} with nothing filled")

    async def _activated(self, tracked: Tracked, rule: Bracket, entry: Order) -> None:
        instrument = self._master.resolve(rule.instrument_id)
        tracked.side = entry.side.opposite
        try:
            await self._arm(tracked, rule, instrument, rule.reference or entry.average_price)
        except DragomanError as error:
            if not tracked.legs:
                self.engine.settle(tracked, _S.FAILED, redact(str(error)))
            return
        self.engine.settle_again(tracked, f"its entry {rule.entry} has filled")
        for leg in tracked.waiting:
            self.engine.arm(tracked, leg)

    def _bracketed(self, tracked: Tracked, share: Decimal | None) -> Decimal | None:
        assert isinstance(tracked.rule, Bracket)
        entry = self._orders.store.get(tracked.rule.entry)
        if entry is None:
            return share
        filled = entry.filled_quantity - tracked.exited
        return filled if share is None else min(share, filled)

    # -- the clock ---------------------------------------------------------------------------------------------------

    def _by_the_clock(self, tracked: Tracked) -> None:
        if isinstance(tracked.rule, Bracket) and not tracked.legs:
            self._activate(tracked)
        due, rule = tracked.due_ns, tracked.rule
        if due is None or not isinstance(rule, TimeExit):
            return
        late_s = (self._session.ctx.now_ns - due) / _NS
        if late_s < 0:
            return
        if late_s > rule.late_s:
            self.engine.settle(tracked, _S.FAILED, f"no process ran at its time, {late_s:.0f} s ago: too late to act")
        else:
            self.engine.fire(tracked, "its time has come", "time", rule.quantity)

    # -- at the broker -------------------------------------------------------------------------------------------------

    async def _hand_over(self, tracked: Tracked, timeout_s: float) -> None:
        """Let the broker keep a rule that is written down. Where that fails it is over, and says why."""
        rule = tracked.rule
        assert isinstance(rule, PriceRule)
        assert tracked.key is not None
        instrument = self._master.resolve(rule.instrument_id)
        try:
            last = self._price_of(instrument.instrument_id) or await self.engine.watch.price(instrument)
            if last is None:
                raise UsageError(f"{instrument.instrument_id} has no price", remedy="nothing was sent")
            size = abs(self._positions.quantity(tracked.key))
            tracked.broker_id = await self._native.place(tracked, instrument, size, last, timeout_s)
        except DragomanError as error:
            self.engine.settle(tracked, _S.FAILED, f"the broker did not take it: {redact(str(error))}")
            raise
        await self._orders.recorder.durable_rule(tracked.record("armed"))

    def _withdraw(self, key: PositionKey, side: Side, wanted: Decimal) -> Awaitable[object] | None:
        """Take triggers from the broker that would exit more than another exit leaves."""
        rules = in_the_way(tuple(self.engine.rules.values()), key, side)
        if not rules:
            return None
        left = abs(self._positions.quantity(key)) - wanted
        over = [rule for rule in rules if (getattr(rule.rule, "quantity", None) or abs(left) + 1) > left]
        return self._native.withdraw_all(over) if over else None

    def _look_at_broker(self, tracked: Tracked) -> None:
        """Ask now and then what became of a rule at the broker."""
        now = self._session.runtime.clock.mono_ns()
        if tracked.broker_id and now >= tracked.pause_until_ns:
            tracked.pause_until_ns = now + int(_LOOK_AT_BROKER_S * _NS)
            self._session.runtime.spawn(self._follow_up(tracked, gone=False), name=f"look at {tracked.rule_id}")

    def _orphaned(self, tracked: Tracked) -> None:
        tracked.pause_until_ns = self._session.runtime.clock.mono_ns() + int(_LOOK_AT_BROKER_S * _NS)
        self._session.runtime.spawn(self._follow_up(tracked, gone=True), name=f"end {tracked.rule_id}")

    async def _follow_up(self, tracked: Tracked, *, gone: bool) -> None:
        try:
            word, words = await self._native.fate(tracked)
            if gone and word == "working":
                await self._native.withdraw(tracked)
                word, words = "over", "the position it guards is gone; it was withdrawn from the broker"
        except DragomanError as error:
            text = f"rule {tracked.rule_id} rests at the broker, and cannot be looked at: {redact(str(error))}"
            _log.warning("%s", text)
            tracked.pause_until_ns = 0  # again with the next look
            return
        if not tracked.status.watching or word == "working":
            return
        if word == "fired":
            tracked.firing = 1
            self.engine.settle(tracked, _S.FIRED, words)
            self.engine.settle(tracked, _S.DONE, words)
        else:
            self.engine.settle(tracked, _S.CANCELED, words)

    # -- coming back -------------------------------------------------------------------------------------------------

    def _came_back(self) -> None:
        """Take up what earlier runs of this account left, once orders and positions are known."""
        plain = self._orders.succession.rules
        found = restored(plain)
        working = [rule for rule in found.values() if not rule.status.terminal]
        for name, rule in found.items():
            if rule.status.terminal:
                self.engine.rules.setdefault(name, rule)
        if working:
            self._session.runtime.spawn(self._resume(working), name="take the rules up again")

    async def _resume(self, working: Sequence[Tracked]) -> None:
        for rule in working:
            rule.statement = statement_of(rule.rule, durable=rule.durable)
            self.engine.rules.setdefault(rule.rule_id, rule)
        while not self._known_all():
            await self._session.runtime.sleep(_TRY_AGAIN_S / 20)
        self.exits.recount()
        for rule in working:
            if rule.status.terminal:
                continue  # somebody has cancelled it meanwhile
            try:
                await self._take_up(rule)
            except DragomanError as error:
                self.engine.settle(rule, _S.FAILED, f"it cannot be taken up again: {redact(str(error))}")

    def _known_all(self) -> bool:
        return self._orders.complete_as_of is not None and self._positions.ready

    async def _take_up(self, rule: Tracked) -> None:
        terms = rule.rule
        if isinstance(terms, PriceRule) and terms.where == "local":
            await self._follow(terms, self._master.resolve(terms.instrument_id))
        elif terms.where == "broker" and not rule.broker_id:
            rule.broker_id = await self._native.find(rule, ZERO)
            if not rule.broker_id:
                self.engine.settle(rule, _S.FAILED, "it never arrived at the broker, which does not have it")
                return
        now = self._session.runtime.clock.wall_ns()
        event = RuleEvent(
            rule.rule_id, rule.status, None, f"back from an earlier run; {rule.reason}", rule.state(), now
        )
        self._told.publish(event)
        self.engine.enter(rule)

    def _known(self, rule_id: str) -> Tracked:
        known = self.engine.rules if self._orders.writer.ready else self._read
        found = known.get(identifier("rule_id", rule_id))
        if found is None:
            raise UsageError(f"there is no rule {rule_id!r}", remedy=f"there are: {', '.join(known) or 'none'}")
        return found
