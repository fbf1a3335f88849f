"""What rests at the broker and is no order: GTT triggers, and alerts, which may place orders too."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from dragoman.emulator.parts import (
    DAY,
    Alert,
    AlertBook,
    Condition,
    FieldError,
    Figure,
    Firing,
    Form,
    HttpAnswer,
    HttpCall,
    Leg,
    Resting,
    Terms,
    TriggerBook,
    VenueOrder,
    VenueProtocol,
    num,
)

from .emulator_more import read_order
from .emulator_names import Named, NameTable
from .emulator_words import PRODUCT, KiteError, ist, quote_row, success
from .gtt import ATTRIBUTE, INDEX_EXCHANGE, OPERATORS

GTT_LIFE: Final = 365 * DAY
GTT_SHOWN: Final = 7 * DAY
_TOTALS: Final = {"buy_quantity": "total_buy_quantity", "sell_quantity": "total_sell_quantity"}
FIGURE: Final = {word: _TOTALS.get(name, name) for name, word in ATTRIBUTE.items()}
"""The broker's attributes as fields of the venue's market."""
_COUNTED: Final = frozenset(("last_quantity", "volume", "oi", *_TOTALS.values()))


class GttDesk:
    """Triggers of one account."""

    def __init__(self, venue: VenueProtocol, names: NameTable, account: str) -> None:
        self._names, self._account = names, account
        self.book = TriggerBook(venue, account, GTT_LIFE, first=100_001)

    def every(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        return success([self._row(rest) for rest in self.book.since(now_ns - GTT_SHOWN)])

    def one(self, call: HttpCall, now_ns: int, number: str | None = None) -> HttpAnswer:
        """Place, read, change or delete a trigger."""
        with refusing_changes("Trigger"):
            if number is None:
                rest = self.book.place(*self._terms(call), now_ns)
            elif call.method == "GET":
                return success(self._row(self.book.get(int(number))))
            else:
                rest = self.book.active(int(number))
                if call.method == "PUT":
                    self.book.change(rest, *self._terms(call), now_ns)
                else:
                    self.book.delete(rest, now_ns)
        return success({"trigger_id": rest.number})

    def _terms(self, call: HttpCall) -> tuple[list[Leg], Decimal]:
        form = Form.of(call)
        count = {"single": 1, "two-leg": 2}[form.choice("type", ("single", "two-leg"))]
        condition, orders = form.record("condition", dict), [Form(one) for one in form.record("orders", list)]
        named, triggers = self._names.of(Form(condition)), condition.get("trigger_values")
        if not isinstance(triggers, list) or not len(triggers) == len(orders) == count:
            raise FieldError("Invalid `trigger_values`. There should be one for each order.")
        legs = []
        for trigger, order in zip(triggers, orders, strict=True):
            if order.choice("order_type", ("LIMIT",)) and self._names.of(order) is not named:
                raise FieldError("Invalid `orders`. They should be in the instrument of the condition.")
            legs.append(Leg(Form({"trigger_values": trigger}).number("trigger_values"), read_order(named, order)))
        return legs, Form(condition).number("last_price")

    def _row(self, rest: Resting) -> dict[str, Any]:
        named = self._names.by_id[rest.instrument_id]
        names = {"exchange": named.exchange, "tradingsymbol": named.symbol}
        return {
            "id": rest.number,
            "user_id": self._account,
            "parent_trigger": None,
            "type": "single" if len(rest.legs) == 1 else "two-leg",
            "created_at": ist(rest.created_ns),
            "updated_at": ist(rest.updated_ns),
            "expires_at": ist(rest.expires_ns),
            "status": rest.status,
            "condition": names
            | {
                "last_price": num(rest.placed_at),
                "trigger_values": [num(leg.trigger) for leg in rest.legs],
                "instrument_token": named.token,
            },
            "orders": [self._leg_row(rest, leg, names, named) for leg in rest.legs],
            "meta": {},
        }

    def _leg_row(self, rest: Resting, leg: Leg, names: Mapping[str, str], named: Named) -> dict[str, Any]:
        order = leg.order
        row = dict(names) | {
            "product": next(word for word, value in PRODUCT.items() if value is order.product),
            "order_type": "LIMIT",
            "transaction_type": order.side.value,
            "quantity": named.wire_quantity(order.quantity),
            "price": num(order.price or Decimal(0)),
        }
        if leg.fired_ns is None:
            return row | {"result": None}
        fate = {
            "status": "failed" if leg.refusal else "success",
            "order_id": leg.order_id,
            "rejection_reason": leg.refusal or "",
        }
        told = {
            "account_id": self._account,
            "validity": "DAY",
            "meta": json.dumps({"app_id": 1, "gtt": rest.number}),
            "timestamp": ist(leg.fired_ns),
            "triggered_at": num(leg.fired_at or Decimal(0)),
            "order_result": fate,
        }
        return row | {"result": row | told}


class AlertDesk:
    """Alerts of one account; an alert that places orders (``ato``) fires once (unverified)."""

    def __init__(self, venue: VenueProtocol, names: NameTable, account: str, seed: int) -> None:
        self._names, self._account = names, account
        self.book = AlertBook(venue, account, lambda number: _uuid(seed, number))

    def every(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        return success([self._row(alert) for alert in self.book.kept()])

    def one(self, call: HttpCall, now_ns: int, uuid: str | None = None) -> HttpAnswer:
        """Create, read or change an alert."""
        with refusing_changes("Alert"):
            if call.method == "GET":
                return success(self._row(self.book.get(uuid or "")))
            return success(self._row(self.book.save(uuid, self._terms(Form.of(call)), now_ns)))

    def delete(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        """Delete all that are named, or none where one is unknown."""
        with refusing_changes("Alert"):
            found = [self.book.get(value) for name, value in call.query if name == "uuid"]
            if not found:
                raise FieldError("Missing or empty field `uuid`")
        for alert in found:
            self.book.delete(alert, now_ns)
        return success(None)

    def history(self, call: HttpCall, now_ns: int, uuid: str) -> HttpAnswer:
        with refusing_changes("Alert"):
            alert = self.book.get(uuid)
        return success([self._event(alert, firing) for firing in reversed(alert.firings)])

    def _terms(self, form: Form) -> Terms:
        kind = form.choice("type", ("simple", "ato"))
        left, named = self._figure(form, "lhs")
        echoed: dict[str, Any] = {name: form.get(name) or "" for name in _ECHOED} | {"type": kind}
        right: Decimal | Figure
        if form.choice("rhs_type", ("constant", "instrument")) == "instrument":
            right, _ = self._figure(form, "rhs")
        else:
            right = form.number("rhs_constant") * (named.unit if left.attribute in _COUNTED else 1)
            echoed["rhs_constant"] = num(form.number("rhs_constant"))
        orders: tuple[VenueOrder, ...] = ()
        if kind == "ato":
            basket = form.record("basket", dict)
            echoed["basket"] = json.loads(form.text("basket"))
            items = basket.get("items")
            if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
                raise FieldError("Invalid `basket`. It should have items.")
            orders = tuple(read_order(self._names.of(Form(item)), Form(item.get("params") or {})) for item in items)
        condition = Condition(left, form.choice("operator", OPERATORS), right)
        return Terms(form.text("name"), condition, orders, echoed)

    def _figure(self, form: Form, side: str) -> tuple[Figure, Named]:
        exchange, symbol = form.text(f"{side}_exchange"), form.text(f"{side}_tradingsymbol")
        places = ("NSE", "BSE", "MCX") if exchange == INDEX_EXCHANGE else (exchange,)
        named = next(filter(None, (self._names.by_key.get(f"{place}:{symbol}") for place in places)), None)
        if named is None or named.is_index is not (exchange == INDEX_EXCHANGE):
            raise FieldError(f"Invalid `{side}_tradingsymbol`. There is no {exchange}:{symbol}.")
        return Figure(named.instrument_id, FIGURE[form.choice(f"{side}_attribute", FIGURE)]), named

    def _row(self, alert: Alert) -> dict[str, Any]:
        return dict(alert.terms.echoed) | {
            "user_id": self._account,
            "uuid": alert.key,
            "name": alert.terms.name,
            "status": alert.status,
            "disabled_reason": alert.reason,
            "alert_count": len(alert.firings),
            "created_at": ist(alert.created_ns),
            "updated_at": ist(alert.updated_ns),
        }

    def _event(self, alert: Alert, firing: Firing) -> dict[str, Any]:
        seen = [(self._names.by_id[market.instrument_id], market) for market in firing.markets]
        placed = [
            {"order_id": one if isinstance(one, str) else "", "error": "" if isinstance(one, str) else one.text}
            for one in firing.placed
        ]
        return {
            "uuid": alert.key,
            "type": "ato" if alert.terms.orders else "simple",
            "meta": [
                quote_row(market, named, "quote") | {"tradingsymbol": named.symbol, "exchange": _place(named)}
                for named, market in seen
            ],
            "condition": firing.condition.text(num, self._figure_text),
            "created_at": ist(firing.ts),
            "order_meta": placed or None,
        }

    def _figure_text(self, figure: Figure) -> str:
        """Write a figure as the history has it: ``LastTradedPrice("NSE:INFY")``."""
        named, words = self._names.by_id[figure.instrument_id], {field: word for word, field in FIGURE.items()}
        return f'{words[figure.attribute]}("{_place(named)}:{named.symbol}")'


def _place(named: Named) -> str:
    return INDEX_EXCHANGE if named.is_index else named.exchange


@contextmanager
def refusing_changes(what: str) -> Iterator[None]:
    """Word what a book refuses: what is not there, and terms that cannot be."""
    try:
        yield
    except LookupError as missing:
        raise KiteError("GeneralException", f"{what} not found.", 404) from missing
    except ValueError as wrong:
        raise FieldError(f"{what} was invalid: {wrong}.") from wrong


_ECHOED: Final = (
    "lhs_attribute",
    "lhs_exchange",
    "lhs_tradingsymbol",
    "operator",
    "rhs_type",
    "rhs_attribute",
    "rhs_exchange",
    "rhs_tradingsymbol",
    "rhs_constant",
)


def _uuid(seed: int, number: int) -> str:
    return str(UUID(bytes=hashlib.sha256(f"{seed}/alert/{number}".encode()).digest()[:16], version=4))
