"""GTT orders: an entry that waits for a price or goes at once, and the target and stop that rest once it is filled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from dragoman.emulator.bodies import num
from dragoman.emulator.contract import HttpAnswer, HttpCall
from dragoman.emulator.counting import DAY
from dragoman.emulator.forms import Form, json_body
from dragoman.emulator.triggers import Leg, Resting, TriggerBook
from dragoman.emulator.venue.types import VenueOrder, VenueProtocol, VenueRejectError
from dragoman.plugin import model

from .emulator_names import Named, NameTable
from .emulator_orders import OrderDesk, product_of
from .emulator_words import UpstoxError, timed
from .words import PRODUCT

LIFE: Final = 365 * DAY
_MARKET: Final = model.OrderType.MARKET
_BY_ORDER: Final = {
    model.OrderStatus.FILLED: "COMPLETED",
    model.OrderStatus.REJECTED: "FAILED",
    model.OrderStatus.CANCELED: "CANCELLED",
}


@dataclass(slots=True)
class Rule:
    """One rule and what became of it."""

    strategy: str
    trigger_type: str
    trigger: Decimal
    gap: Decimal
    order: VenueOrder
    rest: Resting | None = None
    order_id: str = ""
    message: str = ""
    over: str = ""

    @property
    def leg(self) -> Leg | None:
        return next((leg for leg in self.rest.legs if leg.order is self.order), None) if self.rest else None


@dataclass(slots=True)
class Gtt:
    """One GTT order."""

    number: str
    named: Named
    rules: list[Rule]
    created_ns: int
    told: str = field(default="")

    @property
    def entry(self) -> Rule:
        return self.rules[0]


class GttDesk:
    """GTT orders of one account."""

    def __init__(self, venue: VenueProtocol, names: NameTable, account: str, orders: OrderDesk) -> None:
        self._venue, self._names, self._account, self._orders = venue, names, account, orders
        self._book = TriggerBook(venue, account, LIFE)
        self._all: dict[str, Gtt] = {}

    def place(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        form = json_body(call)
        named = self._names.of(form)
        side = model.Side(form.choice("transaction_type", ("BUY", "SELL")))
        rules = self._rules(form, named, side, product_of(form, named.exchange))
        gtt = Gtt(f"GTT-EMU{len(self._all) + 1:08d}", named, rules, now_ns)
        self._start(gtt, [gtt.entry], now_ns)
        self._all[gtt.number] = gtt
        return timed({"gtt_order_ids": [gtt.number]})

    def modify(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        """Replace the terms of a GTT whose entry still waits."""
        form = json_body(call)
        gtt = self._waiting(form)
        first = gtt.entry.order
        rules = self._rules(form, gtt.named, first.side, first.product)
        if gtt.entry.rest is not None:
            self._book.delete(gtt.entry.rest, now_ns)
        gtt.rules = rules
        self._start(gtt, [gtt.entry], now_ns)
        return timed({"gtt_order_ids": [gtt.number]})

    def cancel(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        gtt = self._of(json_body(call).text("gtt_order_id"))
        for rule in gtt.rules:
            if rule.rest is not None and rule.rest.status == "active":
                self._book.delete(rule.rest, now_ns)
            rule.over = rule.over or ("" if self._order_of(rule) else "CANCELLED")
        return timed({"gtt_order_ids": [gtt.number]})

    def read(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        number = Form(dict(call.query)).get("gtt_order_id")
        return timed([self._row(gtt) for gtt in ([self._of(number)] if number else self._all.values())])

    def poll(self, now_ns: int) -> None:
        """Fire what is due; rest targets and stops whose entry was filled."""
        self._book.poll(now_ns)
        for gtt in self._all.values():
            if len(gtt.rules) == 1 or gtt.rules[1].rest is not None or gtt.rules[1].over:
                continue
            state = self._venue.order(self._account, self._order_of(gtt.entry))
            if state is not None and state.status is model.OrderStatus.FILLED:
                self._start(gtt, gtt.rules[1:], now_ns)

    def changes(self) -> Iterator[dict[str, Any]]:
        """Yield the records of those whose statuses changed since the last call, as the portfolio stream has them."""
        for gtt in self._all.values():
            row = self._row(gtt)
            told = " ".join(rule["status"] for rule in row["rules"])
            if told != gtt.told:
                gtt.told = told
                yield row | {"update_type": "gtt_order", "exchange": gtt.named.segment}

    # -- inside ------------------------------------------------------------------------------------------------------

    def _of(self, number: str) -> Gtt:
        if number not in self._all:
            raise UpstoxError("UDAPI1145", "GTT order not found", path="gtt_order_id", value=number)
        return self._all[number]

    def _waiting(self, form: Form) -> Gtt:
        gtt = self._of(form.text("gtt_order_id"))
        if self._status(gtt.entry, entry=True) != "SCHEDULED":
            raise UpstoxError("UDAPI1144", "The GTT order cannot be modified any more", path="gtt_order_id")
        return gtt

    def _rules(self, form: Form, named: Named, side: model.Side, product: model.Product) -> list[Rule]:
        kind, quantity = form.choice("type", ("SINGLE", "MULTIPLE")), named.units(form.integer("quantity"))
        found = []
        for at, row in enumerate(_forms(form)):
            strategy = row.choice("strategy", ("ENTRY", "TARGET", "STOPLOSS"))
            offered = ("ABOVE", "BELOW", "IMMEDIATE") if strategy == "ENTRY" else ("IMMEDIATE",)
            if (at == 0) is not (strategy == "ENTRY"):
                raise UpstoxError("UDAPI1130", "The ENTRY strategy is mandatory, and comes first", path="rules")
            order = VenueOrder(
                instrument_id=named.instrument_id,
                side=side if strategy == "ENTRY" else side.opposite,
                quantity=quantity,
                order_type=_MARKET,
                product=product,
                protection=self._orders.protection(
                    Form({"market_protection": row.get("market_protection") or "-1"}), _MARKET, named
                ),
            )
            how = row.choice("trigger_type", offered)
            gap = row.number("trailing_gap", default=Decimal(0))
            found.append(Rule(strategy, how, row.number("trigger_price"), gap, order))
        if (kind == "SINGLE") is not (len(found) == 1) or len({one.strategy for one in found}) < len(found):
            raise UpstoxError("UDAPI1131", "SINGLE takes one rule, MULTIPLE two or three, each once", path="rules")
        return found

    def _start(self, gtt: Gtt, rules: list[Rule], now_ns: int) -> None:
        last = self._venue.market(gtt.named.instrument_id).last_price
        try:
            if rules[0].strategy == "ENTRY" and rules[0].trigger_type == "IMMEDIATE":
                rules[0].order_id = self._venue.submit(self._account, rules[0].order, now_ns)
                return
            rules = sorted(rules, key=lambda rule: rule.trigger)
            rest = self._book.place([Leg(rule.trigger, rule.order) for rule in rules], last, now_ns)
        except (ValueError, VenueRejectError) as wrong:
            if rules[0] is gtt.entry:
                raise UpstoxError("UDAPI1135", f"The rules were refused: {wrong}", path="rules") from wrong
            for rule in rules:
                rule.over, rule.message = "FAILED", str(wrong)
            return
        for rule in rules:
            rule.rest = rest

    def _order_of(self, rule: Rule) -> str:
        return rule.order_id or (rule.leg.order_id if rule.leg else "")

    def _status(self, rule: Rule, *, entry: bool) -> str:
        leg, order_id = rule.leg, self._order_of(rule)
        if order_id:
            state = self._venue.order(self._account, order_id)
            return _BY_ORDER.get(state.status, "OPEN") if state else "TRIGGERED"
        if rule.over:
            return rule.over
        if leg is not None and leg.refusal:
            return "FAILED"
        if rule.rest is None:
            return "SCHEDULED" if entry else "PENDING"
        return {"active": "SCHEDULED", "expired": "EXPIRED"}.get(rule.rest.status, "CANCELLED")

    def _row(self, gtt: Gtt) -> dict[str, Any]:
        named, first = gtt.named, gtt.entry.order
        return {
            "type": "SINGLE" if len(gtt.rules) == 1 else "MULTIPLE",
            "exchange": named.exchange,
            "instrument_token": named.key,
            "trading_symbol": named.symbol,
            "quantity": named.wire_quantity(first.quantity),
            "product": PRODUCT.write(first.product),
            "gtt_order_id": gtt.number,
            "created_at": gtt.created_ns // 1_000_000,
            "expires_at": (gtt.created_ns + LIFE) // 1_000_000,
            "rules": [
                {
                    "strategy": rule.strategy,
                    "status": self._status(rule, entry=rule is gtt.entry),
                    "trigger_type": rule.trigger_type,
                    "trigger_price": num(rule.trigger),
                    "transaction_type": rule.order.side.value,
                    "order_id": self._order_of(rule) or None,
                    "message": rule.message or (rule.leg.refusal if rule.leg else None),
                    "trailing_gap": num(rule.gap) if rule.gap else None,
                }
                for rule in gtt.rules
            ],
        }


def _forms(form: Form) -> list[Form]:
    """Return the rules as forms."""
    found = form.raw("rules")
    if not isinstance(found, list) or not found or not all(isinstance(row, dict) for row in found):
        raise UpstoxError("UDAPI1126", "rules should be a list of rules", path="rules")
    return [Form(row) for row in found]
