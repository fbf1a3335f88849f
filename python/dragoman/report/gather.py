"""One pass over a journal: what its records tell of one day, and what was known before it that the day goes on with.

Orders as they stood at the end of the day are what a start would recover from the records up to then: the same code
reads them. What is gathered beside that is when each thing was written down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from math import isfinite
from typing import Any, Final

from dragoman.model import Fill, Order, OrderStatus, OrderType, Origin, Pending, Product, Reject, Side
from dragoman.orders.journal import Kind, Record
from dragoman.orders.journal.codec import from_plain
from dragoman.orders.recovery import Recovered, recover, take_rule
from dragoman.portfolio.counted import Counted
from dragoman.portfolio.days import TradingDays
from dragoman.portfolio.sampling import MONEY
from dragoman.report.model import KillLine, Rejection, RuleLine, Step, Unknown
from dragoman.session.secrets import redact

UNREADABLE: Final = (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, OSError)
_TOLD: Final = (Kind.STREAM, Kind.POLL, Kind.REPLY, Kind.DECISION)
_SIDES: Final = ("NET", "LONG", "SHORT")
_SILENT: Final = (OrderStatus.UNKNOWN, OrderStatus.SUBMITTED, OrderStatus.DENIED)
_WORDS: Final = {
    "bound": "one order at the broker proved to be it",
    "never arrived": "it never arrived",
    "escalated": "nobody could tell; it was handed to you",
    "late": "it turned up late",
}


@dataclass(slots=True)
class Act:
    """Something that was asked of the broker; when, and when it was answered and first told of by a stream."""

    name: str
    what: str
    ts: int
    mark: Decimal | None = None
    exits: bool = False
    ts_reply: int | None = None
    ts_stream: int | None = None


@dataclass(slots=True)
class Known:
    """What an order said when a fill of it was told."""

    limit: Decimal | None
    trigger: Decimal | None


@dataclass(slots=True)
class Gathered:
    """Everything the report is made of."""

    days: Counter[str] = field(default_factory=Counter)
    records: int = 0
    unreadable: int = 0
    opened: dict[str, Any] = field(default_factory=dict)
    recovered: Recovered = field(default_factory=Recovered)
    names: dict[str, None] = field(default_factory=dict)
    placed: dict[str, Act] = field(default_factory=dict)
    amended: list[Act] = field(default_factory=list)
    steps: dict[str, list[Step]] = field(default_factory=dict)
    refused: list[Rejection] = field(default_factory=list)
    rejected_at: dict[str, int] = field(default_factory=dict)
    unknowns: list[Unknown] = field(default_factory=list)
    rules: list[RuleLine] = field(default_factory=list)
    kills: list[KillLine] = field(default_factory=list)
    money: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    worth: dict[str, Any] = field(default_factory=dict)
    opening: tuple[int, list[Any]] | None = None
    terms: dict[str, dict[str, str]] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    known: dict[tuple[str, str, str], Known] = field(default_factory=dict)


class Gatherer:
    """Reads records, in their order, for one day.

    Parameters
    ----------
    day : str
    days : TradingDays
    broker : str
    """

    def __init__(self, day: str, days: TradingDays, broker: str) -> None:
        self._day = day
        self._days = days
        self._broker = broker
        self._start = days.began(day)
        self._counted = Counted(days.day)
        self._synthetic: set[str] = set()
        self._amending: dict[tuple[str, str], Act] = {}
        self._doubts: dict[tuple[str, str], Unknown] = {}
        self._decided: dict[str, str] = {}
        self._rules: dict[str, dict[str, Any]] = {}
        self._fired: dict[str, list[int]] = {}
        self._touched: dict[str, None] = {}
        self._alone: dict[str, int] = {}
        self._epoch: int | None = None
        self._bad: set[int] = set()
        self.found = Gathered()

    def read(self, records: Iterable[Record]) -> Gathered:
        """Return what they tell."""
        found = self.found
        found.recovered = recover(self._each(records), self._broker)
        known = found.recovered.orders
        found.recovered.orders = {name: order for name, order in known.items() if _whole(order)}
        broken = len(known) - len(found.recovered.orders)
        found.unreadable = max(len(self._bad), found.recovered.unreadable + broken)
        found.fills = [
            fill for fill in self._counted.counting(self._start) if self._days.day(fill.ts_event) == self._day
        ]
        for key, doubt in self._doubts.items():
            found.unknowns.append(replace(doubt, status=self._status(key[0])))
        found.refused = [replace(one, instrument_id=self._instrument(one.name)) for one in found.refused]
        for name in self._touched:
            try:
                found.rules.append(self._rule(name))
            except UNREADABLE:
                found.unreadable += 1
        self._join()
        return found

    def _each(self, records: Iterable[Record]) -> Iterator[Record]:
        """Take note of each record, and hand on those of the day and before."""
        found = self.found
        for record in records:
            try:
                day = self._days.day(record.time_ns)
            except UNREADABLE:
                self._bad.add(record.sequence)
                continue
            found.days[day] += 1
            try:
                if record.kind in _TOLD:
                    self._take_fills(record)
                if day <= self._day:
                    self._take(record, today=day == self._day)
            except UNREADABLE:
                self._bad.add(record.sequence)
            if day <= self._day:
                yield record

    def _take(self, record: Record, *, today: bool) -> None:
        found, payload = self.found, record.payload
        found.records += today
        if record.epoch != self._epoch:
            self._run_began(record, today=today)
        match record.kind:
            case Kind.OPEN:
                found.opened = {name: payload.get(name) for name in ("broker", "environment", "account")}
            case Kind.INTENT:
                self._intent(record, payload, today=today)
            case Kind.RULE:
                self._take_rule(record, payload, today=today)
            case Kind.CONTROL:
                self._control(record, payload, today=today)
            case kind if kind in _TOLD and "carried" in payload:
                for entry in payload["carried"]:
                    self._order(record, entry, today=today, carried=True)
                for rule in payload.get("rules", ()):
                    take_rule(self._rules, rule)
            case kind if kind in _TOLD and "order" in payload:
                self._order(record, payload, today=today)
            case Kind.REPLY:
                self._reply(record, payload, today=today)
            case Kind.DECISION:
                self._decision(record, payload, today=today)

    def _run_began(self, record: Record, *, today: bool) -> None:
        """Whatever had no answer when the run before ended is in doubt from here on; money is followed anew."""
        self._epoch = record.epoch
        self.found.worth = {}
        for name, at in list(self._alone.items()):
            self._doubt(name, "place", at if today else record.time_ns, today=today)
        self._alone.clear()

    # -- orders ------------------------------------------------------------------------------------------------------

    def _intent(self, record: Record, payload: dict[str, Any], *, today: bool) -> None:
        name, what = _text(payload["name"]), _text(payload["op"])
        if what == "place":
            self._alone[name] = record.time_ns
        if not today:
            return
        self.found.names[name] = None
        act = Act(name, what, record.time_ns, _price(payload.get("mark")), bool(payload.get("exit")))
        if what == "place":
            self.found.placed[name] = act
        else:
            self._amending[name, what] = act
            self.found.amended.append(act)
        self._step(record, name, f"{what}{' (exit)' if act.exits else ''}")

    def _reply(self, record: Record, payload: dict[str, Any], *, today: bool) -> None:
        name, what, effect = _text(payload["name"]), _text(payload["op"]), _text(payload["effect"])
        if what == "place":
            self._answered(name, record.time_ns)
            self._settled(name, record)
        act = self._amending.pop((name, what), None)
        if effect == "UNKNOWN":
            self._doubt(name, what, record.time_ns, today=today)
        elif act is not None:
            act.ts_reply = record.time_ns
        if not today:
            return
        self.found.names[name] = None
        self._step(record, name, f"{what}: {effect}")
        if what != "place" and effect not in ("ACCEPTED", "UNKNOWN", "APPLIED"):
            words = [redact(_text(payload.get(part, ""))) for part in ("kind", "code", "text")]
            self.found.refused.append(
                Rejection(
                    ts_recv=record.time_ns,
                    name=name,
                    act=what,
                    instrument_id="",
                    kind=words[0] or effect,
                    code=words[1],
                    text=words[2],
                )
            )

    def _order(self, record: Record, payload: dict[str, Any], *, today: bool, carried: bool = False) -> None:
        order = from_plain(Order, payload["order"])
        name = _text(order.client_order_id)
        if not carried and order.status not in _SILENT:
            if record.kind is Kind.REPLY:
                self._answered(name, record.time_ns)
            elif record.kind is Kind.STREAM and (act := self.found.placed.get(name)) and act.ts_stream is None:
                act.ts_stream = record.time_ns
        if order.status is OrderStatus.UNKNOWN and not order.order_id:
            self._doubt(name, "place", record.time_ns, today=today)
        else:
            self._settled(name, record)
        if order.pending is Pending.NONE and not carried:
            for what in ("modify", "cancel"):
                self._close(name, what, record)
        if not today:
            return
        self.found.names[name] = None
        if order.reject is not None and order.status in (OrderStatus.REJECTED, OrderStatus.DENIED):
            self.found.rejected_at.setdefault(name, record.time_ns)
        self._step(record, name, "carried on from before" if carried else _said(order))

    def _decision(self, record: Record, payload: dict[str, Any], *, today: bool) -> None:
        name, what = _text(payload.get("name", "")), _text(payload.get("what", ""))
        if not name:
            return
        why = redact(_text(payload.get("why", "")))
        self._decided[name] = f"{_WORDS.get(what, what)}{f': {why}' if why else ''}"
        if today:
            self.found.names[name] = None
            self._step(record, name, self._decided[name])

    def _answered(self, name: str, ts: int) -> None:
        self._alone.pop(name, None)
        act = self.found.placed.get(name)
        if act is not None and act.ts_reply is None:
            act.ts_reply = ts

    def _step(self, record: Record, name: str, what: str) -> None:
        life = self.found.steps.setdefault(name, [])
        if not life or life[-1].what != what or record.kind in (Kind.INTENT, Kind.REPLY):
            life.append(Step(ts_recv=record.time_ns, source=record.kind.name, what=what))

    def _join(self) -> None:
        """Put what was seen of an order before anybody knew whose it is where it belongs."""
        found = self.found
        for name, order in found.recovered.orders.items():
            for order_id in order.order_ids:
                stranger = f"EXT-{order_id}"
                if stranger == name or stranger not in found.names:
                    continue
                del found.names[stranger]
                found.names[name] = None
                seen = found.steps.pop(stranger, [])
                found.steps[name] = sorted([*found.steps.get(name, []), *seen], key=lambda one: one.ts_recv)
                act = found.placed.get(name)
                told = [one.ts_recv for one in seen if one.source == Kind.STREAM.name]
                if act is not None and told:
                    act.ts_stream = min(told if act.ts_stream is None else [act.ts_stream, *told])

    def _instrument(self, name: str) -> str:
        known = self.found.recovered.orders.get(name)
        return known.instrument_id if known is not None else ""

    def _status(self, name: str) -> str:
        known = self.found.recovered.orders.get(name)
        return known.status.value if known is not None else ""

    # -- what nobody knows -------------------------------------------------------------------------------------------

    def _doubt(self, name: str, what: str, ts: int, *, today: bool) -> None:
        if today:
            line = Unknown(name=name, act=what, ts_recv=ts, ts_closed=None, how="", status="")
            self._doubts.setdefault((name, what), line)

    def _settled(self, name: str, record: Record) -> None:
        self._alone.pop(name, None)
        self._close(name, "place", record)

    def _close(self, name: str, what: str, record: Record) -> None:
        doubt = self._doubts.pop((name, what), None)
        if doubt is None:
            return
        how = self._decided.pop(name, "") or f"told by {_sources(record.kind)}"
        order = record.payload.get("order")
        status = _text(order.get("status", "")) if isinstance(order, dict) else _text(record.payload.get("effect", ""))
        self.found.unknowns.append(replace(doubt, ts_closed=record.time_ns, how=how, status=status))

    # -- fills -------------------------------------------------------------------------------------------------------

    def _take_fills(self, record: Record) -> None:
        """Count the fills of a record, of whatever day: one of this day may be told, or corrected, later."""
        payload = record.payload
        if "fills" not in payload and "replaced" not in payload:
            return
        for trade_id in payload.get("replaced", ()):
            if trade_id in self._synthetic:
                self._counted.take_back(trade_id)
        order = from_plain(Order, payload["order"])
        for plain in payload.get("fills", ()):
            fill = _sound(from_plain(Fill, plain))
            if fill.ts_event is None:
                fill = replace(fill, ts_event=record.time_ns if fill.ts_recv is None else fill.ts_recv)
            assert fill.ts_event is not None
            if fill.ts_event < self._start:
                continue
            if fill.is_synthetic:
                self._synthetic.add(fill.trade_id)
            self._counted.take(fill, fill.ts_event)
            known = Known(_above_zero(order.price), _above_zero(order.trigger_price))
            self.found.known.setdefault((fill.exchange, fill.order_id, fill.trade_id), known)

    # -- rules, the switch, money ------------------------------------------------------------------------------------

    def _take_rule(self, record: Record, payload: dict[str, Any], *, today: bool) -> None:
        name = payload["name"]
        if not isinstance(name, str):
            raise TypeError("a rule's name is no text")
        take_rule(self._rules, payload)
        if not today:
            return
        self._touched[name] = None
        if payload.get("what") == "fired":
            self._fired.setdefault(name, []).append(record.time_ns)

    def _rule(self, name: str) -> RuleLine:
        rule = self._rules[name]
        state = rule.get("state")
        state = state if isinstance(state, dict) else {}
        key = state.get("key")
        terms = rule.get("rule")
        instrument = key[0] if isinstance(key, list) and key else terms.get("instrument_id") if terms else ""
        return RuleLine(
            rule_id=name,
            kind=_text(rule.get("rule_kind", "")),
            instrument_id=_text(instrument or ""),
            status=_text(state.get("status", "")),
            reason=redact(_text(state.get("reason", ""))),
            ts_fired=tuple(self._fired.get(name, ())),
            exited=_number(state.get("exited")) or Decimal(0),
            orders=tuple(_text(one) for one in state.get("orders") or ()),
        )

    def _control(self, record: Record, payload: dict[str, Any], *, today: bool) -> None:
        what = payload.get("what")
        if what == "kill switch" and today:
            ts = payload.get("at")
            line = KillLine(
                ts_event=ts if type(ts) is int else record.time_ns,
                engaged=bool(payload["engaged"]),
                who=redact(_text(payload.get("who", ""))),
                why=redact(_text(payload.get("why", ""))),
                flatten=bool(payload.get("flatten")),
            )
            if line not in self.found.kills and self._days.day(line.ts_event) == self._day:
                self.found.kills.append(line)
        elif what == MONEY:
            news = {name: value for name, value in payload.items() if name != "what"}
            self.found.worth = self.found.worth | news
            self.found.terms |= {name: one for name, one in news.get("terms", {}).items() if isinstance(one, dict)}
            if today:
                self.found.money.append((record.time_ns, self.found.worth))
                began = self.found.worth.get("opening")
                if self.found.opening is None and isinstance(began, list) and self.found.worth.get("day") == self._day:
                    self.found.opening = record.time_ns, began


def _said(order: Order) -> str:
    """Return what an order is, in words."""
    filled = f" {order.filled_quantity:f} of {order.quantity:f}" if order.filled_quantity else ""
    pending = f", {order.pending.lower()} asked" if order.pending is not Pending.NONE else ""
    at = f" at {order.price:f}" if order.price is not None and order.status is OrderStatus.OPEN else ""
    return f"{order.status}{filled}{at}{pending}"


def _sources(kind: Kind) -> str:
    return {Kind.STREAM: "the order stream", Kind.POLL: "a reading", Kind.REPLY: "the reply"}.get(kind, "what followed")


def _sound(fill: Fill) -> Fill:
    """Return a fill that can be counted.

    Raises
    ------
    TypeError, ValueError
        Something in it is of another type than a fill has.
    """
    texts = (fill.trade_id, fill.order_id, fill.instrument_id, fill.exchange, fill.client_order_id)
    times = (one for one in (fill.ts_event, fill.ts_recv) if one is not None)
    if not all(type(one) is str for one in texts) or not all(type(one) is int for one in times):
        raise TypeError("a fill holds text and times of other types")
    if type(fill.side) is not Side or type(fill.product) is not Product or fill.position_side not in _SIDES:
        raise ValueError("a fill has no side, or is of no product")
    if not fill.quantity.is_finite() or not fill.price.is_finite():
        raise ValueError("a fill has numbers that are none")
    return fill


def _whole(order: Order) -> bool:
    """Whether an order has everything that is shown of it."""
    texts = (order.client_order_id, order.order_id, order.instrument_id)
    choices = ((order.side, Side), (order.status, OrderStatus), (order.order_type, OrderType))
    numbers = (order.quantity, order.filled_quantity, order.remaining_quantity)
    maybe = (order.price, order.trigger_price, order.average_price)
    return (
        all(type(one) is str for one in texts)
        and all(type(value) is kind for value, kind in (*choices, (order.product, Product), (order.origin, Origin)))
        and all(type(one) is Decimal and one.is_finite() for one in numbers)
        and all(one is None or one.is_finite() for one in maybe)
        and type(order.order_ids) is tuple
        and all(type(one) is str for one in order.order_ids)
        and (order.reject is None or (type(order.reject) is Reject and type(order.reject.text) is str))
    )


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)):
        return str(value)
    raise TypeError(f"a {type(value).__name__} where text belongs")


def _number(value: Any) -> Decimal | None:
    if value is None:
        return None
    found = Decimal(repr(value) if isinstance(value, float) else value)
    if not found.is_finite():
        raise ValueError(f"{value!r} is no number")
    return found


def _price(value: Any) -> Decimal | None:
    """Return a price; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        return None
    return _above_zero(Decimal(repr(value)))


def _above_zero(value: Decimal | None) -> Decimal | None:
    return value if value is not None and value.is_finite() and value > 0 else None
