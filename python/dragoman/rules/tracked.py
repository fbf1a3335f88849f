"""One rule while it lives: its state machine, and its plain form for the journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final

from dragoman.model import Product, Side
from dragoman.model.rules import RuleEvent, RuleState, RuleStatus
from dragoman.orders.journal.codec import from_plain, to_plain
from dragoman.portfolio.net import PositionKey
from dragoman.rules.exit import Exit, ExitReport
from dragoman.rules.model import KINDS, Rule
from dragoman.rules.terms import Leg

_S = RuleStatus
ALLOWED: Final[dict[RuleStatus | None, frozenset[RuleStatus]]] = {
    None: frozenset((_S.ARMED,)),
    _S.ARMED: frozenset((_S.SUSPENDED, _S.FIRED, _S.CANCELED, _S.FAILED, _S.DONE)),
    _S.SUSPENDED: frozenset((_S.ARMED, _S.FIRED, _S.CANCELED, _S.FAILED, _S.DONE)),
    _S.FIRED: frozenset((_S.FIRED, _S.EXITING, _S.ARMED, _S.DONE, _S.FAILED)),
    _S.EXITING: frozenset((_S.FIRED, _S.ARMED, _S.DONE, _S.FAILED)),
    _S.DONE: frozenset(),
    _S.CANCELED: frozenset(),
    _S.FAILED: frozenset(),
}
"""What may follow what. FIRED may follow EXITING: the next rung of a ladder does not wait for the one before."""


def key_of(data: Sequence[Any]) -> PositionKey:
    """Return a position's key that the journal kept as a list."""
    instrument_id, product, position_side = data
    return (instrument_id, Product(product), position_side)


@dataclass(slots=True)
class Planned:
    """An exit that a firing decided on, written down before any of it is sent."""

    name: str
    key: PositionKey
    side: Side
    wanted: Decimal
    running: Exit | None = None

    def plain(self) -> dict[str, Any]:
        return {"exit": self.name, "key": list(self.key), "side": self.side.value, "wanted": str(self.wanted)}

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Planned:
        return cls(data["exit"], key_of(data["key"]), Side(data["side"]), Decimal(data["wanted"]))


@dataclass(slots=True)
class Tracked:
    """One rule.

    Attributes
    ----------
    legs : list of Leg
        The prices it watches; those that fired, or are void, are marked so.
    plans : list of Planned
        Exits that run, or have to be gone on with.
    exited : Decimal
        What exits that have ended filled.
    orders : list of str
        Orders of exits that have ended.
    problems : list of str
        Why exits of it have failed, until it has taken the step that tells of them.
    failures : int
        How many firings in a row had exits that failed, for rules about the account.
    statement : str
    told_stale : bool
        Its staleness was told of, and lasts.
    since_ns : int
        When it began to watch, wall clock.
    canceled : bool
        Its owner has ended it: once the exits that run are over, it watches no more.
    strangers : list of str
        What the broker had already, and looks the same, when it was asked to keep this rule.
    asked_ns : int
        When it was asked last, wall clock.
    again : bool
        It was asked more than once: there may be two of it.
    """

    rule_id: str
    rule: Rule
    status: RuleStatus = RuleStatus.ARMED
    reason: str = ""
    key: PositionKey | None = None
    side: Side | None = None
    legs: list[Leg] = field(default_factory=list)
    firing: int = 0
    plans: list[Planned] = field(default_factory=list)
    exited: Decimal = Decimal(0)
    orders: list[str] = field(default_factory=list)
    broker_id: str = ""
    due_ns: int | None = None
    statement: str = ""
    durable: bool = False
    ts: int = 0
    told_stale: bool = False
    since_ns: int = 0
    pause_until_ns: int = 0
    problems: list[str] = field(default_factory=list)
    failures: int = 0
    canceled: bool = False
    strangers: list[str] = field(default_factory=list)
    asked_ns: int = 0
    again: bool = False

    # -- the state machine -------------------------------------------------------------------------------------------

    def turn(self, status: RuleStatus, reason: str, now_ns: int) -> RuleEvent:
        """Take a step and return what to tell of it.

        Raises
        ------
        ValueError
            The state machine has no such step.
        """
        if status not in ALLOWED[self.status]:
            raise ValueError(f"rule {self.rule_id} cannot turn from {self.status} to {status} ({reason})")
        before, self.status, self.reason, self.ts = self.status, status, reason, now_ns
        return RuleEvent(self.rule_id, status, before, reason, self.state(), now_ns)

    def leg(self, number: int) -> Leg:
        return self.legs[number - 1]

    def put(self, leg: Leg) -> None:
        self.legs[leg.number - 1] = leg

    @property
    def waiting(self) -> list[Leg]:
        """Legs that may still fire."""
        return [leg for leg in self.legs if not leg.fired]

    def void(self, *, but: int = 0) -> list[Leg]:
        """Mark all legs that wait as void, and return them."""
        gone = [leg for leg in self.waiting if leg.number != but]
        for leg in gone:
            self.put(replace(leg, fired=True))
        return gone

    def take(self, report: ExitReport) -> None:
        """Count an exit that has ended."""
        self.plans = [plan for plan in self.plans if plan.name != report.name]
        self.exited += report.filled
        self.orders.extend(report.orders)

    # -- how it looks ------------------------------------------------------------------------------------------------

    def state(self) -> RuleState:
        """Return it as it is now."""
        running = [plan.running for plan in self.plans if plan.running is not None]
        quantities = [leg.quantity for leg in self.legs]
        one_of = getattr(self.rule, "kind", "") != "ScaleOut"
        total = None if not quantities or None in quantities else sum(filter(None, quantities[: 1 if one_of else None]))
        trailing = next((leg for leg in self.waiting if leg.trails), None)
        return RuleState(
            rule_id=self.rule_id,
            rule=self.rule,
            status=self.status,
            reason=self.reason,
            statement=self.statement,
            side=self.side,
            levels=tuple(leg.level for leg in self.waiting),
            best=None if trailing is None else trailing.best,
            quantity=None if total is None else Decimal(total),
            exited=sum((one.filled for one in running), self.exited),
            firing=self.firing,
            orders=(*self.orders, *(name for one in running for name in one.orders)),
            broker_id=self.broker_id,
            due_ns=self.due_ns,
            durable=self.durable,
            ts=self.ts,
        )

    # -- the journal -------------------------------------------------------------------------------------------------

    def record(self, what: str, *, terms: bool = False) -> dict[str, Any]:
        """Return what the journal keeps of it; its terms are written once, with the first record."""
        entry: dict[str, Any] = {
            "name": self.rule_id,
            "what": what,
            "over": self.status.terminal,
            "state": {
                "status": self.status.value,
                "reason": self.reason,
                "key": None if self.key is None else list(self.key),
                "side": None if self.side is None else self.side.value,
                "legs": [to_plain(leg) for leg in self.legs],
                "firing": self.firing,
                "plans": [plan.plain() for plan in self.plans],
                "exited": str(self.exited),
                "orders": list(self.orders),
                "problems": list(self.problems),
                "broker_id": self.broker_id,
                "due": self.due_ns,
                "canceled": self.canceled,
                "ts": self.ts,
            },
        }
        if self.asked_ns:
            entry["state"] |= {"strangers": list(self.strangers), "asked": self.asked_ns, "again": self.again}
        if terms:
            entry |= {"rule_kind": self.rule.kind, "rule": to_plain(self.rule)}
        return entry

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Tracked:
        """Return the rule that `record` made `data` of.

        Raises
        ------
        KeyError, TypeError, ValueError, ArithmeticError
            A later version wrote it, or its terms are missing.
        """
        state = data["state"]
        return cls(
            rule_id=data["name"],
            rule=from_plain(KINDS[data["rule_kind"]], data["rule"]),
            status=RuleStatus(state["status"]),
            reason=state["reason"],
            key=None if state["key"] is None else key_of(state["key"]),
            side=None if state["side"] is None else Side(state["side"]),
            legs=[from_plain(Leg, leg) for leg in state["legs"]],
            firing=state["firing"],
            plans=[Planned.of(plan) for plan in state["plans"]],
            exited=Decimal(state["exited"]),
            orders=list(state["orders"]),
            problems=list(state.get("problems", ())),
            broker_id=state["broker_id"],
            due_ns=state["due"],
            canceled=state.get("canceled", False),
            strangers=list(state.get("strangers", ())),
            asked_ns=state.get("asked", 0),
            again=state.get("again", False),
            ts=state["ts"],
            durable=True,
        )
