"""What rests at the broker and is no order: GTT triggers, and alerts, which may place orders too."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, ClassVar, Final

from dragoman.emulator.parts import (
    DAY,
    Alert,
    AlertDesk,
    AlertWords,
    As,
    Figure,
    Firing,
    Form,
    HttpAnswer,
    HttpCall,
    Leg,
    Or,
    QuoteView,
    Rows,
    Table,
    TriggerDesk,
    identity,
    ist,
    num,
    succeeded,
    write,
)

from .emulator_names import Named, NameTable
from .emulator_orders import WORDS
from .emulator_words import Kite, KiteError, quote_row
from .gtt import ATTRIBUTE, INDEX_EXCHANGE, OPERATORS
from .words import PRODUCT

GTT_SHOWN: Final = 7 * DAY
_TOTALS: Final = {"buy_quantity": "total_buy_quantity", "sell_quantity": "total_sell_quantity"}
FIGURE: Final = {word: _TOTALS.get(name, name) for name, word in ATTRIBUTE.items()}
"""The broker's attributes as fields of the venue's market."""
ALERT_WORDS: Final = AlertWords(
    figures=FIGURE,
    counted=("last_quantity", "volume", "oi", *_TOTALS.values()),
    operators=OPERATORS,
    simple="simple",
    ordering="ato",
)
GTT_LEG: Final[Table] = {
    "exchange": ".named.exchange",
    "tradingsymbol": ".named.symbol",
    "product": As(".order.product", PRODUCT.write),
    "order_type": "LIMIT",
    "transaction_type": ".order.side.value",
    "price": ".order.price",
    "result": None,
    "quantity": ".quantity",
}
GTT_RESULT: Final[Table] = GTT_LEG | {
    "account_id": ".account",
    "meta": As(".whole.rest.number", lambda number: json.dumps({"app_id": 1, "gtt": number})),
    "validity": "DAY",
    "timestamp": As(".leg.fired_ns", ist),
    "triggered_at": ".leg.fired_at",
    "order_result": {
        "status": As(".leg.refusal", lambda refusal: "failed" if refusal else "success"),
        "order_id": ".leg.order_id",
        "rejection_reason": Or(".leg.refusal", ""),
    },
}
GTT: Final[Table] = {
    "id": ".rest.number",
    "parent_trigger": None,
    "type": As(".legs", lambda legs: "single" if len(legs) == 1 else "two-leg"),
    "created_at": As(".rest.created_ns", ist),
    "updated_at": As(".rest.updated_ns", ist),
    "expires_at": As(".rest.expires_ns", ist),
    "status": ".rest.status",
    "meta": {},
    "user_id": ".account",
    "condition": {
        "exchange": ".named.exchange",
        "tradingsymbol": ".named.symbol",
        "last_price": ".rest.placed_at",
        "trigger_values": As(".legs", lambda legs: [num(leg.trigger) for leg in legs]),
        "instrument_token": ".named.token",
    },
    "orders": Rows(
        ".legs",
        GTT_LEG | {"result": As(".", lambda one: write(GTT_RESULT, one) if one.leg.fired_ns is not None else None)},
    ),
}
ALERT: Final[Table] = {
    "uuid": ".key",
    "name": ".terms.name",
    "status": ".status",
    "disabled_reason": ".reason",
    "alert_count": As(".firings", len),
    "created_at": As(".created_ns", ist),
    "updated_at": As(".updated_ns", ist),
}


def _refusals(what: str) -> dict[type[Exception], tuple[Any, ...]]:
    """Word what a book refuses: what is not there, and terms that cannot be."""
    wrong = ("InputException", f"{what} was invalid: {{}}.")
    return {LookupError: ("GeneralException", f"{what} not found.", 404), ValueError: wrong}


class GttDesk(Kite, TriggerDesk[NameTable]):
    """Triggers of one account."""

    first: ClassVar = 100_001
    life_ns: ClassVar = 365 * DAY
    refusals: ClassVar = _refusals("Trigger")

    def every(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        return succeeded([write(GTT, one) for one in self.since(now_ns - GTT_SHOWN)])

    def one(self, call: HttpCall, now_ns: int, number: str | None = None) -> HttpAnswer:
        """Place, read, change or delete a trigger."""
        rest = self.act(call.method, int(number) if number else None, lambda _: self._terms(call), now_ns)
        return succeeded(write(GTT, self.shown(rest)) if call.method == "GET" else {"trigger_id": rest.number})

    def _terms(self, call: HttpCall) -> tuple[list[Leg], Decimal]:
        form = Form.of(call)
        count = {"single": 1, "two-leg": 2}[form.choice("type", ("single", "two-leg"))]
        condition, orders = form.record("condition", dict), [Form(one) for one in form.record("orders", list)]
        named, triggers = self.names.of(Form(condition)), condition.get("trigger_values")
        good = isinstance(triggers, list) and len(triggers) == len(orders) == count
        KiteError.when(not good, "InputException", "Invalid `trigger_values`. There should be one for each order.")
        legs = []
        for trigger, order in zip(triggers, orders, strict=True):
            other = order.choice("order_type", ("LIMIT",)) and self.names.of(order) is not named
            KiteError.when(other, "InputException", "Invalid `orders`. They should be in the condition's instrument.")
            legs.append(Leg(Form({"trigger_values": trigger}).number("trigger_values"), WORDS.terms(order, named)))
        return legs, Form(condition).number("last_price")


class KiteAlerts(Kite, AlertDesk[NameTable]):
    """Alerts of one account; an alert that places orders (``ato``) fires once (unverified)."""

    words: ClassVar = ALERT_WORDS
    order_words: ClassVar = WORDS
    refusals: ClassVar = _refusals("Alert")

    def key(self, number: int) -> str:
        return identity("emulator.zerodha", self.seed, "alert", number)

    def one(self, call: HttpCall, now_ns: int, uuid: str | None = None) -> HttpAnswer:
        """Create, read or change an alert."""
        return succeeded(self.row(self.act(call.method, uuid, lambda: self.terms(Form.of(call)), now_ns)))

    def delete(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        """Delete all that are named, or none where one is unknown."""
        gone = self.remove((value for name, value in call.query if name == "uuid"), now_ns)
        KiteError.when(not gone, "InputException", "Missing or empty field `uuid`")
        return succeeded(None)

    def history(self, call: HttpCall, now_ns: int, uuid: str) -> HttpAnswer:
        alert = self.find(uuid)
        return succeeded([self._event(alert, firing) for firing in reversed(alert.firings)])

    def listed(self, exchange: str, symbol: str) -> Named | None:
        places = ("NSE", "BSE", "MCX") if exchange == INDEX_EXCHANGE else (exchange,)
        named = next(filter(None, (self.names.by_key.get(f"{place}:{symbol}") for place in places)), None)
        return named if named and named.is_index is (exchange == INDEX_EXCHANGE) else None

    def row(self, alert: Alert) -> dict[str, Any]:
        return dict(alert.terms.echoed) | write(ALERT, alert) | {"user_id": self.account}

    def _event(self, alert: Alert, firing: Firing) -> dict[str, Any]:
        seen = [QuoteView(market, self.names.by_id[market.instrument_id]) for market in firing.markets]
        placed = [
            {"order_id": one if isinstance(one, str) else "", "error": "" if isinstance(one, str) else one.text}
            for one in firing.placed
        ]
        return {
            "uuid": alert.key,
            "type": "ato" if alert.terms.orders else "simple",
            "meta": [
                quote_row(one) | {"tradingsymbol": one.named.symbol, "exchange": _place(one.named)} for one in seen
            ],
            "condition": firing.condition.text(num, self._figure_text),
            "created_at": ist(firing.ts),
            "order_meta": placed or None,
        }

    def _figure_text(self, figure: Figure) -> str:
        """Write a figure as the history has it: ``LastTradedPrice("NSE:INFY")``."""
        named, words = self.names.by_id[figure.instrument_id], {field: word for word, field in FIGURE.items()}
        return f'{words[figure.attribute]}("{_place(named)}:{named.symbol}")'


def _place(named: Named) -> str:
    return INDEX_EXCHANGE if named.is_index else named.exchange
