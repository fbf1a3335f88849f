"""Placing, changing and cancelling: the broker's form parameters checked and turned into venue orders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Final

from dragoman.emulator.venue.types import VenueOrder, VenueProtocol, VenueRejectError
from dragoman.plugin import model

from .emulator_names import SEGMENT_CODE, Named, NameTable
from .emulator_words import ORDER_TYPE, PRODUCT, VALIDITY, KiteError

MOST_MODIFICATIONS: Final = 25
LONGEST_TAG: Final = 20
OFFERED: Final = ("regular", "amo")
_VARIETIES: Final = (*OFFERED, "co", "iceberg", "auction")
_INTEGER: Final = re.compile(r"\d{1,12}")

# Percent of automatic protection by price, as the broker publishes it for shares and futures and for options
# (support article on market price protection; unverified): the first row whose price is above the order's.
_AUTOMATIC: Final = ((100, Decimal(2)), (500, Decimal(1)), (None, Decimal("0.5")))
_AUTOMATIC_OPTION: Final = ((10, Decimal(5)), (100, Decimal(3)), (500, Decimal(2)), (None, Decimal(1)))

Form = Mapping[str, str]


class OrderDesk:
    """Order requests of one account."""

    def __init__(self, venue: VenueProtocol, names: NameTable, account: str) -> None:
        self._venue = venue
        self._names = names
        self._account = account
        self._modifications: dict[str, int] = {}

    def place(self, variety: str, form: Form, now_ns: int) -> str:
        """Queue an order; return its id.

        Raises
        ------
        KiteError
            For everything that is refused before it becomes an order: such an order is in no book.
        """
        _check_variety(variety)
        if variety == "amo":
            raise KiteError(
                "OrderException", "AMO orders are taken while markets are closed; this market never closes."
            )
        named = self._instrument(form)
        kind = ORDER_TYPE[_choice(form, "order_type", ORDER_TYPE)]
        validity = VALIDITY[_choice(form, "validity", VALIDITY, default="DAY")]
        if named.exchange == "MCX" and validity is model.TimeInForce.IOC:
            raise KiteError("InputException", "IOC orders are not allowed on MCX.")
        tag = form.get("tag") or None
        if tag is not None and len(tag) > LONGEST_TAG:
            raise KiteError("InputException", f"Invalid `tag`. It should be at most {LONGEST_TAG} characters.")
        quantity = named.units(_integer(form, "quantity"))
        disclosed = _integer(form, "disclosed_quantity", default=0)
        protection = self._protection(form, kind, named)
        tags = [] if protection is None else ["mktp", f"mktp:{protection:.2f}"]
        order = VenueOrder(
            instrument_id=named.instrument_id,
            side=model.Side(_choice(form, "transaction_type", ("BUY", "SELL"))),
            quantity=quantity,
            order_type=kind,
            product=PRODUCT[_choice(form, "product", PRODUCT)],
            price=_price(form, "price") if kind.has_price else None,
            trigger_price=_price(form, "trigger_price") if kind.has_trigger else None,
            time_in_force=validity,
            display_quantity=named.units(disclosed) if disclosed else None,
            protection=protection,
            tag=tag,
            extra={"tags": tags} if tags else {},
        )
        try:
            return self._venue.submit(self._account, order, now_ns)
        except VenueRejectError as refused:
            raise KiteError.of(refused, named) from refused

    def modify(self, variety: str, order_id: str, form: Form, now_ns: int) -> str:
        """Queue a change of what the form gives; ``quantity`` is the new total."""
        named, kind = self._open_order(variety, order_id)
        done = self._modifications.get(order_id, 0)
        if done >= MOST_MODIFICATIONS:
            raise KiteError("OrderException", "Maximum allowed order modifications exceeded.")
        new_kind = ORDER_TYPE[_choice(form, "order_type", ORDER_TYPE)] if form.get("order_type") else None
        protection = self._protection(form, new_kind, named) if new_kind is not None and new_kind is not kind else None
        disclosed = form.get("disclosed_quantity")
        priced = (new_kind or kind).has_price
        stopped = (new_kind or kind).has_trigger
        try:
            self._venue.modify(
                self._account,
                order_id,
                now_ns,
                quantity=named.units(_integer(form, "quantity")) if form.get("quantity") else None,
                price=_price(form, "price") if priced and _given(form, "price") else None,
                trigger_price=_price(form, "trigger_price") if stopped and _given(form, "trigger_price") else None,
                order_type=new_kind,
                time_in_force=VALIDITY[_choice(form, "validity", VALIDITY)] if form.get("validity") else None,
                display_quantity=named.units(_integer(form, "disclosed_quantity")) if disclosed else None,
                protection=protection,
            )
        except VenueRejectError as refused:
            raise KiteError.of(refused, named) from refused
        self._modifications[order_id] = done + 1
        return order_id

    def cancel(self, variety: str, order_id: str, now_ns: int) -> str:
        named, _ = self._open_order(variety, order_id)
        try:
            self._venue.cancel(self._account, order_id, now_ns)
        except VenueRejectError as refused:
            raise KiteError.of(refused, named) from refused
        return order_id

    def _instrument(self, form: Form) -> Named:
        exchange = _choice(form, "exchange", SEGMENT_CODE)
        symbol = form.get("tradingsymbol")
        if not symbol:
            raise KiteError("InputException", "Missing or empty field `tradingsymbol`")
        named = self._names.by_key.get(f"{exchange}:{symbol}")
        if named is None or named.is_index:
            raise KiteError(
                "InputException", "The instrument you are placing an order for has either expired or does not exist."
            )
        return named

    def _open_order(self, variety: str, order_id: str) -> tuple[Named, model.OrderType]:
        _check_variety(variety)
        state = self._venue.order(self._account, order_id)
        if state is None or variety != "regular":
            raise KiteError("InputException", "Couldn't find that `order_id`.")
        return self._names.by_id[state.order.instrument_id], state.order.order_type

    def _protection(self, form: Form, kind: model.OrderType, named: Named) -> Decimal | None:
        """Return the percent a market order may move; such orders are refused without one since 1 April 2026."""
        if kind not in (model.OrderType.MARKET, model.OrderType.STOP_MARKET):
            return None
        given = _number(form, "market_protection") if form.get("market_protection") else Decimal(0)
        if given == 0:
            raise KiteError("InputException", "MARKET and SL-M orders without `market_protection` are not allowed.")
        if given == -1:
            price = self._venue.market(named.instrument_id).last_price
            option = named.listing.instrument.option_type is not None
            rows = _AUTOMATIC_OPTION if option else _AUTOMATIC
            return next(percent for below, percent in rows if below is None or price < below)
        if not 0 < given <= 100:
            raise KiteError("InputException", "Invalid `market_protection`. It should be -1, or above 0 up to 100.")
        return given


def _check_variety(variety: str) -> None:
    if variety not in _VARIETIES:
        raise KiteError("InputException", f"Invalid `variety`. It should be one of {', '.join(OFFERED)}.")
    if variety not in OFFERED:
        text = f"Variety `{variety}` is not offered by this emulator; it offers {', '.join(OFFERED)}."
        raise KiteError("InputException", text)


def _given(form: Form, name: str) -> bool:
    """Whether a price is there: clients also send 0 for prices they leave as they are."""
    return bool(form.get(name)) and _number(form, name) != 0


def _choice(form: Form, name: str, known: Mapping[str, object] | tuple[str, ...], default: str | None = None) -> str:
    value = form.get(name) or default
    if value is None:
        raise KiteError("InputException", f"Missing or empty field `{name}`")
    if value not in known:
        raise KiteError("InputException", f"Invalid `{name}`. It should be one of {', '.join(known)}.")
    return value


def _integer(form: Form, name: str, default: int | None = None) -> int:
    text = form.get(name)
    if not text:
        if default is None:
            raise KiteError("InputException", f"Missing or empty field `{name}`")
        return default
    if not _INTEGER.fullmatch(text):
        raise KiteError("InputException", f"Invalid `{name}`. It should be a whole number.")
    return int(text)


def _number(form: Form, name: str) -> Decimal:
    try:
        value = Decimal(form[name])
    except InvalidOperation as error:
        raise KiteError("InputException", f"Invalid `{name}`. It should be a number.") from error
    if not value.is_finite() or abs(value) > 10**9:
        raise KiteError("InputException", f"Invalid `{name}`. It should be a number.")
    return value


def _price(form: Form, name: str) -> Decimal:
    if not form.get(name):
        raise KiteError("InputException", f"Missing or empty field `{name}`")
    return _number(form, name)
