"""GTT orders: the broker's rules as brackets, and its records of them. A trailing stop does not trail here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from dragoman.emulator.parts import (
    DAY,
    As,
    Bracket,
    BracketBook,
    Desk,
    Fate,
    Form,
    HttpAnswer,
    HttpCall,
    Or,
    Part,
    Table,
    VenueOrder,
    VenueProtocol,
    VenueRejectError,
    json_body,
    millis,
    write,
)
from dragoman.plugin import model

from .emulator_names import NameTable
from .emulator_orders import WORDS, OrderDesk
from .emulator_words import Upstox, UpstoxError, timed
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
GTT: Final[Table] = {
    "type": As(".parts", lambda parts: "SINGLE" if len(parts) == 1 else "MULTIPLE"),
    "product": As(".entry.order.product", PRODUCT.write),
    "gtt_order_id": ".key",
    "created_at": As(".created_ns", millis),
    "expires_at": As(".created_ns", lambda ns: millis(ns + LIFE)),
}
RULE: Final[Table] = {
    "trigger_price": ".trigger",
    "transaction_type": ".order.side.value",
    "order_id": Or(".order_id", None),
    "message": Or(".reason", None),
}


class GttDesk(Upstox, Desk[NameTable]):
    """GTT orders of one account."""

    def __init__(self, venue: VenueProtocol, names: NameTable, account: str, orders: OrderDesk) -> None:
        super().__init__(venue, names, account)
        self._orders = orders
        self.book = BracketBook(venue, account, LIFE)

    def place(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        form = json_body(call)
        named, side = self.names.of(form), WORDS.side_of(form)
        parts = self._parts(form, named.instrument_id, side, WORDS.product_of(form, named))
        key = f"GTT-EMU{len(self.book.all()) + 1:08d}"
        wrong = ("UDAPI1135", "The rules were refused: {}")
        with UpstoxError.turning({ValueError: wrong, VenueRejectError: wrong}, path="rules"):
            self.book.place(key, parts, now_ns)
        return timed({"gtt_order_ids": [key]})

    def cancel(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        gtt = self._of(json_body(call).text("gtt_order_id"))
        self.book.cancel(gtt, now_ns)
        return timed({"gtt_order_ids": [gtt.key]})

    def change(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        """Modify a GTT whose entry still waits."""
        form = json_body(call)
        gtt = self._of(form.text("gtt_order_id"))
        first = gtt.entry.order
        with UpstoxError.turning({ValueError: ("UDAPI1144", "The GTT order cannot be modified: {}")}, path="rules"):
            self.book.change(gtt, self._parts(form, first.instrument_id, first.side, first.product), now_ns)
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
                segment = self.names.by_id[gtt.entry.order.instrument_id].segment
                yield self._row(gtt) | {"update_type": "gtt_order", "exchange": segment}

    def _of(self, key: str) -> Bracket:
        with UpstoxError.turning({LookupError: ("UDAPI1145", "GTT order not found")}, path="gtt_order_id", value=key):
            return self.book.get(key)

    def _parts(self, form: Form, instrument_id: str, side: model.Side, product: model.Product) -> list[Part]:
        kind, rules = form.choice("type", ("SINGLE", "MULTIPLE")), form.raw("rules")
        good = isinstance(rules, list) and rules and all(isinstance(one, dict) for one in rules)
        UpstoxError.when(not good, "UDAPI1126", "rules should be a list of rules", path="rules")
        named, found = self.names.by_id[instrument_id], []
        for at, rule in enumerate(map(Form, rules)):
            strategy = rule.choice("strategy", ("ENTRY", "TARGET", "STOPLOSS"))
            good = (at == 0) is (strategy == "ENTRY")
            UpstoxError.when(not good, "UDAPI1130", "The ENTRY strategy is mandatory, and comes first", path="rules")
            how = rule.choice("trigger_type", ("IMMEDIATE",) if at else ("ABOVE", "BELOW", "IMMEDIATE"))
            protection = Form({"market_protection": rule.get("market_protection") or "-1"})
            order = VenueOrder(
                instrument_id=instrument_id,
                side=side.opposite if at else side,
                quantity=named.units(form.integer("quantity")),
                order_type=_MARKET,
                product=product,
                protection=self._orders.protection(protection, named),
            )
            terms = {"strategy": strategy, "trigger_type": how, "trailing_gap": rule.raw("trailing_gap")}
            found.append(Part(rule.number("trigger_price"), order, not at and how == "IMMEDIATE", terms))
        once = len({one.terms["strategy"] for one in found}) == len(found)
        good = once and (kind == "SINGLE") is (len(found) == 1)
        text = "SINGLE takes one rule, MULTIPLE two or three, each once"
        UpstoxError.when(not good, "UDAPI1131", text, path="rules")
        return found

    def _row(self, gtt: Bracket) -> dict[str, Any]:
        named = self.names.by_id[gtt.entry.order.instrument_id]
        rules = [part.terms | write(RULE, part) | {"status": _STATUS[self.book.fate(gtt, part)]} for part in gtt.parts]
        return write(GTT, gtt) | {
            "exchange": named.exchange,
            "instrument_token": named.key,
            "trading_symbol": named.symbol,
            "quantity": named.wire_quantity(gtt.entry.order.quantity),
            "rules": rules,
        }
