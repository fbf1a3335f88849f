"""One pass over a journal: what its records tell of one day, and what was known before it that the day goes on with.

Orders as they stood at the end of the day are what a start would recover from the records up to then: the same code
reads them. What is gathered beside that is when each thing was written down.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from dragoman.model import Fill, Order, OrderStatus, Pending
from dragoman.orders.journal import Kind, Record
from dragoman.orders.journal.codec import from_plain
from dragoman.orders.recovery import recover, take_rule
from dragoman.portfolio.counted import Counted
from dragoman.portfolio.days import TradingDays
from dragoman.portfolio.sampling import MONEY
from dragoman.report.gathered import Act, Gathered, Known
from dragoman.report.model import KillLine, Rejection, RuleLine, Step, Unknown
from dragoman.report.sound import UNREADABLE, above_zero, number, price, sound, text, whole
from dragoman.session.secrets import redact

_TOLD: Final = (Kind.STREAM, Kind.POLL, Kind.REPLY, Kind.DECISION)
_SILENT: Final = (OrderStatus.UNKNOWN, OrderStatus.SUBMITTED, OrderStatus.DENIED)
_WORDS: Final = {
    "bound": "one order at the broker proved to be it",
    "never arrived": "it never arrived",
    "escalated": "nobody could tell; it was handed to you",
    "late": "it turned up late",
}


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
        found.recovered.orders = {name: order for name, order in known.items() if whole(order)}
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
        name, what = text(payload["name"]), text(payload["op"])
        if what == "place":
            self._alone[name] = record.time_ns
        if not today:
            return
        self.found.names[name] = None
        act = Act(name, what, record.time_ns, price(payload.get("mark")), bool(payload.get("exit")))
        if what == "place":
            self.found.placed[name] = act
        else:
            self._amending[name, what] = act
            self.found.amended.append(act)
        self._step(record, name, f"{what}{' (exit)' if act.exits else ''}")

    def _reply(self, record: Record, payload: dict[str, Any], *, today: bool) -> None:
        name, what, effect = text(payload["name"]), text(payload["op"]), text(payload["effect"])
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
            words = [redact(text(payload.get(part, ""))) for part in ("kind", "code", "text")]
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
        name = text(order.client_order_id)
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
        name, what = text(payload.get("name", "")), text(payload.get("what", ""))
        if not name:
            return
        why = redact(text(payload.get("why", "")))
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
        status = text(order.get("status", "")) if isinstance(order, dict) else text(record.payload.get("effect", ""))
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
            fill = sound(from_plain(Fill, plain))
            if fill.ts_event is None:
                fill = replace(fill, ts_event=record.time_ns if fill.ts_recv is None else fill.ts_recv)
            assert fill.ts_event is not None
            if fill.ts_event < self._start:
                continue
            if fill.is_synthetic:
                self._synthetic.add(fill.trade_id)
            self._counted.take(fill, fill.ts_event)
            known = Known(above_zero(order.price), above_zero(order.trigger_price))
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
            kind=text(rule.get("rule_kind", "")),
            instrument_id=text(instrument or ""),
            status=text(state.get("status", "")),
            reason=redact(text(state.get("reason", ""))),
            ts_fired=tuple(self._fired.get(name, ())),
            exited=number(state.get("exited")) or Decimal(0),
            orders=tuple(text(one) for one in state.get("orders") or ()),
        )

    def _control(self, record: Record, payload: dict[str, Any], *, today: bool) -> None:
        what = payload.get("what")
        if what == "kill switch" and today:
            ts = payload.get("at")
            line = KillLine(
                ts_event=ts if type(ts) is int else record.time_ns,
                engaged=bool(payload["engaged"]),
                who=redact(text(payload.get("who", ""))),
                why=redact(text(payload.get("why", ""))),
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
