"""Placing, changing and cancelling: the broker's form parameters checked and turned into venue orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from dragoman.emulator.parts import (
    SECOND,
    Chains,
    Follow,
    Form,
    HttpAnswer,
    HttpCall,
    VenueOrder,
    VenueProtocol,
    asked_protection,
    cover,
    iceberg,
    passed,
    slices,
)
from dragoman.plugin import model

from .emulator_more import read_order
from .emulator_names import Named, NameTable
from .emulator_words import ORDER_TYPE, VALIDITY, KiteError, refusing, success

MOST_MODIFICATIONS: Final = 25
LONGEST_TAG: Final = 20
OFFERED: Final = ("regular", "amo", "co", "iceberg", "auction")
LEGS: Final = (2, 50)
AMO_WAIT: Final = 3 * SECOND

# Percent of automatic protection by price, as the broker publishes it for shares and futures and for options
# (support article on market price protection; unverified): the first row whose price is above the order's.
_AUTOMATIC: Final = ((Decimal(100), Decimal(2)), (Decimal(500), Decimal(1)), (None, Decimal("0.5")))
_AUTOMATIC_OPTION: Final = (
    (Decimal(10), Decimal(5)),
    (Decimal(100), Decimal(3)),
    (Decimal(500), Decimal(2)),
    (None, Decimal(1)),
)


class OrderDesk:
    """Order requests of one account."""

    def __init__(self, venue: VenueProtocol, names: NameTable, account: str) -> None:
        self._venue = venue
        self._names = names
        self._account = account
        self._modifications: dict[str, int] = {}
        self.chains = Chains(venue, account)

    def place(self, call: HttpCall, now_ns: int, variety: str) -> HttpAnswer:
        """Queue an order.

        Raises
        ------
        KiteError, FieldError
            For everything that is refused before it becomes an order: such an order is in no book.
        """
        form = Form.of(call)
        Form({"variety": variety}).choice("variety", OFFERED)
        named, order = self._read(variety, form, now_ns)
        follow: Follow | None = None
        if variety == "iceberg":
            order, follow = _iceberg(named, order, form)
        elif variety == "co":
            follow = _cover(order, form)
        elif variety == "auction":
            order = replace(order, extra=order.extra | {"auction_number": form.text("auction_number")})
        freeze = named.instrument.freeze_quantity
        with refusing(named):
            if form.get("autoslice") == "true" and variety == "regular" and freeze and order.quantity > freeze:
                return success(self._slices(named, order, freeze, now_ns))
            if follow is not None:
                return success({"order_id": self.chains.start(order, follow, now_ns)})
            return success({"order_id": self._venue.submit(self._account, order, now_ns)})

    def _read(self, variety: str, form: Form, now_ns: int) -> tuple[Named, VenueOrder]:
        named = self._names.of(form)
        if named.is_index:
            raise KiteError("InputException", "An index cannot be traded: the instrument does not exist.")
        order = read_order(named, form)
        validity = VALIDITY[form.choice("validity", VALIDITY, default="DAY")]
        if named.exchange == "MCX" and validity is model.TimeInForce.IOC:
            raise KiteError("InputException", "IOC orders are not allowed on MCX.")
        tag = form.get("tag")
        if tag is not None and len(tag) > LONGEST_TAG:
            raise KiteError("InputException", f"Invalid `tag`. It should be at most {LONGEST_TAG} characters.")
        disclosed = form.integer("disclosed_quantity", default=0)
        protection = self._protection(form, order.order_type, named)
        self._check_trigger(named, order.side, order.trigger_price)
        tags = [] if protection is None else ["mktp", f"mktp:{protection:.2f}"]
        return named, replace(
            order,
            time_in_force=validity,
            display_quantity=named.units(disclosed) if disclosed else None,
            protection=protection,
            tag=tag,
            # This market never closes, so that an after-market order waits a while for the next "opening".
            not_before=now_ns + AMO_WAIT if variety == "amo" else 0,
            extra={"tags": tags, "variety": variety, "algo_id": form.get("algo_id")},
        )

    def _slices(self, named: Named, order: VenueOrder, freeze: Decimal, now_ns: int) -> dict[str, Any]:
        """Place parts below the freeze quantity; each has a fate of its own."""
        parent, lot = str(now_ns), named.instrument.lot_size
        tags = [*_tags(order), "autoslice", f"autoslice:{parent}"]
        order = replace(order, extra=order.extra | {"tags": tags})
        children = [
            {"order_id": fate} if isinstance(fate, str) else {"error": KiteError.of(fate, named).child()}
            for fate in slices(self._venue, self._account, order, freeze, lot, now_ns)
        ]
        return {"order_id": parent, "children": children}

    def modify(self, call: HttpCall, now_ns: int, variety: str, order_id: str) -> HttpAnswer:
        """Queue a change of what the form gives; ``quantity`` is the new total."""
        form, (named, order) = Form.of(call), self._open_order(variety, order_id)
        kind = order.order_type
        done = self._modifications.get(order_id, 0)
        if done >= MOST_MODIFICATIONS:
            raise KiteError("OrderException", "Maximum allowed order modifications exceeded.")
        new_kind = ORDER_TYPE[form.choice("order_type", ORDER_TYPE)] if form.get("order_type") else None
        protection = self._protection(form, new_kind, named) if new_kind is not None and new_kind is not kind else None
        disclosed = form.get("disclosed_quantity")
        priced = (new_kind or kind).has_price
        trigger = form.nonzero("trigger_price") if (new_kind or kind).has_trigger else None
        if trigger != order.trigger_price:
            self._check_trigger(named, order.side, trigger)
        with refusing(named):
            self._venue.modify(
                self._account,
                order_id,
                now_ns,
                quantity=named.units(form.integer("quantity")) if form.get("quantity") else None,
                price=form.nonzero("price") if priced else None,
                trigger_price=trigger,
                order_type=new_kind,
                time_in_force=VALIDITY[form.choice("validity", VALIDITY)] if form.get("validity") else None,
                display_quantity=named.units(form.integer("disclosed_quantity")) if disclosed else None,
                protection=protection,
            )
        self._modifications[order_id] = done + 1
        return success({"order_id": order_id})

    def cancel(self, call: HttpCall, now_ns: int, variety: str, order_id: str) -> HttpAnswer:
        named, _ = self._open_order(variety, order_id)
        with refusing(named):
            self._venue.cancel(self._account, order_id, now_ns)
        return success({"order_id": order_id})

    def known(self, order_id: str, variety: str | None = None) -> VenueOrder:
        """Return an order of the book. Raises KiteError where there is none, or it is of another variety."""
        state = self._venue.order(self._account, order_id)
        if state is None or variety not in (None, state.order.extra.get("variety", "regular")):
            raise KiteError("InputException", "Couldn't find that `order_id`.")
        return state.order

    def _open_order(self, variety: str, order_id: str) -> tuple[Named, VenueOrder]:
        Form({"variety": variety}).choice("variety", OFFERED)
        order = self.known(order_id, variety)
        return self._names.by_id[order.instrument_id], order

    def _check_trigger(self, named: Named, side: model.Side, trigger: Decimal | None) -> None:
        """Refuse a stop on the wrong side of the market (the broker's text is unverified)."""
        market = self._venue.market(named.instrument_id)
        if trigger is not None and passed(side, trigger, market):
            low = "lower" if side is model.Side.BUY else "higher"
            raise KiteError(
                "InputException",
                f"Trigger price for stoploss {side.lower()} orders cannot be {low} than or at the last traded price"
                f" ({market.last_price}).",
            )

    def _protection(self, form: Form, kind: model.OrderType, named: Named) -> Decimal | None:
        """Return the percent a market order may move; such orders are refused without one since 1 April 2026."""
        if kind not in (model.OrderType.MARKET, model.OrderType.STOP_MARKET):
            return None
        bands = _AUTOMATIC_OPTION if named.instrument.option_type else _AUTOMATIC
        price = self._venue.market(named.instrument_id).last_price
        return asked_protection(form, "market_protection", price, bands)


def _tags(order: VenueOrder) -> list[str]:
    tags = order.extra.get("tags")
    return list(tags) if isinstance(tags, list) else []


def _iceberg(named: Named, order: VenueOrder, form: Form) -> tuple[VenueOrder, Follow]:
    legs, shown, wire = form.integer("iceberg_legs"), named.units(form.integer("iceberg_quantity")), named.wire_quantity
    if not LEGS[0] <= legs <= LEGS[1] or not 0 < shown < order.quantity <= legs * shown:
        raise KiteError("InputException", f"Invalid `iceberg_legs`. It should be {LEGS[0]} to {LEGS[1]} that fit.")
    tags = [*_tags(order), "icebergord"]

    def mark(number: int, parts: Sequence[Decimal]) -> dict[str, object]:
        told = {
            "leg": number,
            "legs": len(parts),
            "leg_quantity": wire(shown),
            "total_quantity": wire(order.quantity),
            "remaining_quantity": wire(sum(parts[number:], Decimal(0))),
        }
        return {"meta": {"iceberg": told}, "tags": tags}

    return iceberg(order, shown, mark)


def _cover(order: VenueOrder, form: Form) -> Follow:
    if order.product is not model.Product.INTRADAY or order.order_type.has_trigger:
        raise KiteError("InputException", "Cover orders are MIS orders of type MARKET or LIMIT.")
    try:
        return cover(order, form.number("trigger_price"), {"variety": "co", "tags": []})
    except ValueError as wrong:
        raise KiteError("InputException", "Invalid `trigger_price`. It should be on the losing side.") from wrong
