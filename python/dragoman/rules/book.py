"""Rules of one account: added, listed, cancelled, and brought back from the journal; `client.rules`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final

from dragoman.checks import function, identifier, record, seconds
from dragoman.checks.inputs import text
from dragoman.errors import AccountBusy, ErrorKind, UsageError
from dragoman.market import InstrumentMaster, MarketData
from dragoman.model import Margin, Segment
from dragoman.model.rules import RuleEvent, RuleState, RuleStatus
from dragoman.orders import OrderService
from dragoman.orders.requests import check_name
from dragoman.portfolio import AccountServices
from dragoman.rules.account import AccountRules
from dragoman.rules.at_broker import AtBroker
from dragoman.rules.brackets import Brackets
from dragoman.rules.engine import Engine
from dragoman.rules.entries import Entries
from dragoman.rules.exits import Exits
from dragoman.rules.fitting import Fitting
from dragoman.rules.flatten import Begin, Flattening
from dragoman.rules.guards import Plan, check_floor, check_loss
from dragoman.rules.model import (
    KINDS,
    Bracket,
    DailyLoss,
    MarginFloor,
    PositionRule,
    Rule,
    TimeExit,
)
from dragoman.rules.native import NativeRules
from dragoman.rules.positions import Positions
from dragoman.rules.reading import read_rules, restored
from dragoman.rules.resuming import Resuming
from dragoman.rules.statement import statement_of
from dragoman.rules.tracked import Tracked
from dragoman.rules.watch import NativeTriggers, Watch
from dragoman.session.fanout import Fanout
from dragoman.session.session import AccountSession

_S = RuleStatus
_NS: Final = 1_000_000_000
_KILL_S: Final = 10.0
_TRY_AGAIN_S: Final = 1.0
_ENDED: Final = "cancelled by its owner"
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
    hurry : callable
        Brings the next reading of the margins forward.
    begin : callable
        Reads what the live positions begin with.

    Attributes
    ----------
    exits : Exits
        The one way anything exits a position.
    flatten : Flattening
        What the kill switch closes positions with.
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
        hurry: Callable[[], object] = lambda: None,
        begin: Begin,
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
        run = session.runtime.random_bytes(3).hex()
        self.flatten = Flattening(orders, self.exits, positions, begin, session.runtime.clock.mono_ns, run)
        self.engine = Engine(
            session.runtime, orders.recorder, self.exits, positions, master.resolve, self._told.publish
        )
        self.engine.watch = Watch(session, market, master, triggers, streaming, self.engine.moved)
        self.engine.looking.each.append(self._by_the_clock)
        self._account = AccountRules(
            session.runtime, self.engine, positions, margins, master.get, self._stop_account, hurry
        )
        self.engine.looking.each.append(self._account.look)
        self._native = native = NativeRules(session.adapter, account, orders)
        self._fitting = Fitting(session, master, orders, positions, self.engine, price_of, native.kind_of)
        self.engine.brackets = self._brackets = Brackets(
            session.runtime,
            master,
            orders,
            positions,
            self.engine,
            Entries(session.runtime, orders, self.engine),
            self._fitting.arm,
        )
        self._at_broker = AtBroker(session, master, orders, positions, self.engine, native, price_of)
        self.exits.withdraw = self._at_broker.withdraw
        self._read: dict[str, Tracked] = {}
        self._resuming = Resuming(
            session.runtime,
            master,
            orders,
            positions,
            self.exits,
            self.engine,
            self._fitting,
            self._brackets,
            self._at_broker,
            self._told.publish,
        )
        orders.succession.on_rules = self._resuming.came_back

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
        OutcomeUnknown
            The broker may have it or not. It is kept, SUSPENDED, and looked for: do not add it again.
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
            await self._fitting.fit(tracked, rule, timeout_s)
        elif rule.where == "broker":
            raise UsageError(f"no broker keeps a {rule.kind}", remedy="leave where= out; nothing was armed")
        elif isinstance(rule, MarginFloor):
            check_floor(rule, self._account.plans, self._account.margins())
        elif isinstance(rule, DailyLoss):
            check_loss(rule)
        if self._orders.writer.enabled:
            tracked.durable = True
        at_broker = self._native.kind_of(rule) if rule.where == "broker" else ""
        if at_broker:
            await self._at_broker.prepare(tracked, timeout_s)
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
            await self._at_broker.hand_over(tracked, timeout_s)
        self._told.publish(RuleEvent(name, _S.ARMED, None, "added", tracked.state(), now))
        self.engine.enter(tracked)
        return tracked.state()

    def list(self, *, everything: bool = False) -> Sequence[RuleState]:
        """Return the rules that are not over, with `everything` also those that are, in the order they were added.

        In a process that only reads these are as `read` found them last.
        """
        self._session.owner.check("list")
        known = self._read if self._reads else self.engine.rules
        return [rule.state() for rule in known.values() if everything or not rule.status.terminal]

    @property
    def busy(self) -> AccountBusy | None:
        """Who runs the rules of this account, where it is another process."""
        return self._orders.writer.busy if self._reads else None

    @property
    def _reads(self) -> bool:
        """Whether the rules of this account are another process's."""
        return self._session.read_only or not self._orders.writer.ready

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
        if self._reads:
            session = self._session
            plain = await session.runtime.in_worker(read_rules, session.runtime.disk, self._orders.writer.folder)
            self._read = restored(plain)
        return self.list(everything=True)

    async def cancel(self, rule_id: str) -> RuleState:
        """End a rule that has not fired; of one that exits, what has not fired yet. It does not come back.

        The exits of one that has fired go on, and it is over with them; that is written down before this returns.

        Raises
        ------
        UsageError
            There is none of that name, or it is over.
        AccountBusy
            It is another process's.
        StaleData
            Whether the broker has it is not known yet: ask again.
        """
        self._session.owner.check("cancel")
        self._session.check_mutable()
        await self._orders.ensure_writer()
        tracked = self._known(rule_id)
        if tracked.status.terminal:
            raise UsageError(f"rule {rule_id} is {tracked.status} already: {tracked.reason}", remedy="nothing to do")
        if tracked.rule.where == "broker":
            await self._at_broker.take_back(tracked)
        self.engine.void(tracked)
        tracked.canceled = True
        if tracked.status.watching:
            self.engine.settle(tracked, _S.CANCELED, _ENDED)
        else:
            self.engine.tell(tracked, f"{_ENDED}; what it exits already goes on")
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

    def counts(self) -> dict[str, int]:
        """Return how many rules are in each state, and how often neither stream nor quotes had a price."""
        found = {status.value.lower(): 0 for status in RuleStatus}
        for rule in self.engine.rules.values():
            found[rule.status.value.lower()] += 1
        return found | {"failed_polls": self.engine.watch.failed_polls, "handler_errors": self._told.handler_errors}

    def moved(self, fired: Sequence[int]) -> None:
        """Take what the native triggers fired, and totals that crossed; called by the hand-out of batches."""
        self.engine.moved(fired)
        self._account.crossed()

    def on_margin(self, margin: Margin) -> None:
        """Take a margin that has changed."""
        self._account.on_margin(margin)

    async def close(self) -> None:
        """Act no more; what is armed is in the journal, and the next run goes on with it."""
        self._brackets.close()
        self._orders.succession.on_rules = None
        for tracked in self.engine.working:
            self.engine.looking.note_trail(tracked)
        self._account.close()
        await self.engine.close()
        self._told.close()

    async def _stop_account(self, who: str, why: str, closes: bool) -> None:
        await self._orders.stopping.kill(who, why, flatten=closes, timeout_s=_KILL_S)

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

    # -- the clock ---------------------------------------------------------------------------------------------------

    def _by_the_clock(self, tracked: Tracked) -> None:
        if tracked.canceled:  # while it exited; that is over now
            self.engine.settle(tracked, _S.CANCELED, _ENDED)
            return
        if isinstance(tracked.rule, Bracket) and not tracked.legs:
            self._brackets.activate(tracked)
        due, rule = tracked.due_ns, tracked.rule
        if due is None or not isinstance(rule, TimeExit):
            return
        late_s = (self._session.ctx.now_ns - due) / _NS
        if late_s < 0:
            return
        if late_s > rule.late_s:
            self.engine.settle(tracked, _S.FAILED, f"nothing could be sent at its time, {late_s:.0f} s ago: too late")
        elif self.engine.watch.is_open(rule.instrument_id):
            self.engine.fire(tracked, "its time has come", "time", rule.quantity)

    def _known(self, rule_id: str) -> Tracked:
        known = self._read if self._reads else self.engine.rules
        found = known.get(identifier("rule_id", rule_id))
        if found is None:
            raise UsageError(f"there is no rule {rule_id!r}", remedy=f"there are: {', '.join(known) or 'none'}")
        return found
