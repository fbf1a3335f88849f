"""GTT orders: the broker's rules as brackets, and its records of them. A trailing stop does not trail here."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

from dragoman.emulator.parts import (
    DAY,
    Bracket,
    BracketBook,
    Fate,
    Form,
    HttpAnswer,
    HttpCall,
    Part,
    VenueOrder,
    VenueProtocol,
    VenueRejectError,
    json_body,
    num,
)
from dragoman.plugin import model

from .emulator_names import NameTable
from .emulator_orders import OrderDesk, product_of
from .emulator_words import UpstoxError, timed
from .words import PRODUCT

LIFE: Final = 365 * DAY
_MARKET: Final = model.OrderType.MARKET
_STATUS: Final = {
    Fate.PENDING: "PENDING",
    Fate.WAITING: "SCHEDULED",
    Fate.ORDERED: "OPEN",
    Fate.DONE: "COMPLETED",
    Fate.CANCELED: "CANCELLED",
    Fate.EXPIRED: "EXPIRED",
    Fate.FAILED: "FAILED",
}


class GttDesk:
    """GTT orders of one account."""

    def __init__(self, venue: VenueProtocol, names: NameTable, account: str, orders: OrderDesk) -> None:
        self._names, self._orders = names, orders
        self.book = BracketBook(venue, account, LIFE)

    def place(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        form = json_body(call)
        side = model.Side(form.choice("transaction_type", ("BUY", "SELL")))
        named = self._names.of(form)
        parts = self._parts(form, named.instrument_id, side, product_of(form, named.exchange))
        key = f"GTT-EMU{len(self.book.all()) + 1:08d}"
        try:
            self.book.place(key, parts, now_ns)
        except (ValueError, VenueRejectError) as wrong:
            raise UpstoxError("UDAPI1135", f"The rules were refused: {wrong}", path="rules") from wrong
        return timed({"gtt_order_ids": [key]})

    def change(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        """Modify a GTT whose entry still waits, or cancel what waits of one."""
        form = json_body(call)
        gtt = self._of(form.text("gtt_order_id"))
        if call.method == "DELETE":
            self.book.cancel(gtt, now_ns)
        else:
            first = gtt.entry.order
            try:
                self.book.change(gtt, self._parts(form, first.instrument_id, first.side, first.product), now_ns)
            except ValueError as wrong:
                raise UpstoxError("UDAPI1144", f"The GTT order cannot be modified: {wrong}", path="rules") from wrong
        return timed({"gtt_order_ids": [gtt.key]})

    def read(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        key = Form(dict(call.query)).get("gtt_order_id")
        return timed([self._row(gtt) for gtt in ([self._of(key)] if key else self.book.all())])

    def changes(self) -> Iterator[dict[str, Any]]:
        """Yield the records of those whose statuses changed since the last call, as the portfolio stream has them."""
        for gtt in self.book.all():
            told = [self.book.fate(gtt, part) for part in gtt.parts]
            if told != gtt.told:
                gtt.told = told
                segment = self._names.by_id[gtt.entry.order.instrument_id].segment
                yield self._row(gtt) | {"update_type": "gtt_order", "exchange": segment}

    def _of(self, key: str) -> Bracket:
        try:
            return self.book.get(key)
        except LookupError as missing:
            raise UpstoxError("UDAPI1145", "GTT order not found", path="gtt_order_id", value=key) from missing

    def _parts(self, form: Form, instrument_id: str, side: model.Side, product: model.Product) -> list[Part]:
        kind, rules = form.choice("type", ("SINGLE", "MULTIPLE")), form.raw("rules")
        if not isinstance(rules, list) or not rules or not all(isinstance(one, dict) for one in rules):
            raise UpstoxError("UDAPI1126", "rules should be a list of rules", path="rules")
        named, found = self._names.by_id[instrument_id], []
        for at, rule in enumerate(map(Form, rules)):
            strategy = rule.choice("strategy", ("ENTRY", "TARGET", "STOPLOSS"))
            UpstoxError.when(
                (at == 0) is not (strategy == "ENTRY"),
                "UDAPI1130",
                "The ENTRY strategy is mandatory, and comes first",
                path="rules",
            )
            how = rule.choice("trigger_type", ("IMMEDIATE",) if at else ("ABOVE", "BELOW", "IMMEDIATE"))
            terms = {"strategy": strategy, "trigger_type": how, "trailing_gap": rule.raw("trailing_gap")}
            protection = Form({"market_protection": rule.get("market_protection") or "-1"})
            order = VenueOrder(
                instrument_id=instrument_id,
                side=side.opposite if at else side,
                quantity=named.units(form.integer("quantity")),
                order_type=_MARKET,
                product=product,
                protection=self._orders.protection(protection, _MARKET, named),
            )
            found.append(Part(rule.number("trigger_price"), order, not at and how == "IMMEDIATE", terms))
        UpstoxError.when(
            (kind == "SINGLE") is not (len(found) == 1) or len({one.terms["strategy"] for one in found}) < len(found),
            "UDAPI1131",
            "SINGLE takes one rule, MULTIPLE two or three, each once",
            path="rules",
        )
        return found

    def _row(self, gtt: Bracket) -> dict[str, Any]:
        first = gtt.entry.order
        named = self._names.by_id[first.instrument_id]
        return {
            "type": "SINGLE" if len(gtt.parts) == 1 else "MULTIPLE",
            "exchange": named.exchange,
            "instrument_token": named.key,
            "trading_symbol": named.symbol,
            "quantity": named.wire_quantity(first.quantity),
            "product": PRODUCT.write(first.product),
            "gtt_order_id": gtt.key,
            "created_at": gtt.created_ns // 1_000_000,
            "expires_at": (gtt.created_ns + LIFE) // 1_000_000,
            "rules": [
                part.terms
                | {
                    "status": _STATUS[self.book.fate(gtt, part)],
                    "trigger_price": num(Decimal(part.trigger)),
                    "transaction_type": part.order.side.value,
                    "order_id": part.order_id or None,
                    "message": part.refusal or (part.leg.refusal if part.leg else None),
                }
                for part in gtt.parts
            ],
        }
