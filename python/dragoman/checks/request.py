"""An order request against the instrument and the adapter's capabilities."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from operator import attrgetter
from typing import Final, NoReturn

from dragoman._core import OrderGate
from dragoman.checks.grid import check_price, check_quantity
from dragoman.errors import ErrorKind, UsageError
from dragoman.model import Instrument, InstrumentType, Order, OrderChange, OrderRequest, OrderType, Side
from dragoman.model.enums import PRICED, TRIGGERED
from dragoman.plugin import Adapter, Capabilities

_PLAIN = OrderRequest(instrument_id="", side=Side.BUY, quantity=Decimal(1))
_FURTHER = (
    "notional",
    "trailing_offset",
    "trailing_offset_type",
    "expire_time_ns",
    "position_side",
    "post_only",
    "reduce_only",
    "extended_hours",
    "leverage",
    "self_trade_prevention",
    "algo_id",
)
"""Fields that change what an order is. Most brokers lack most: `Capabilities.order_fields` names those they take."""
_further = attrgetter(*_FURTHER)
_NOTHING_FURTHER = _further(_PLAIN)


def order_gate(adapter: type[Adapter] | Adapter) -> OrderGate:
    """Return what says at once that `check_request` has nothing against an order: nearly all of them."""
    can = adapter.capabilities
    types = can.order_types if can.features.get("place") else ()
    offered = types, can.products, can.time_in_force, can.varieties, can.segments, PRICED, TRIGGERED
    return OrderGate(_PLAIN, Instrument, (*_FURTHER, "display_quantity"), tuple(map(frozenset, offered)))


def check_request(order: OrderRequest, instrument: Instrument, adapter: type[Adapter] | Adapter) -> None:
    """Refuse an order the broker cannot take, before a byte is sent.

    Raises
    ------
    UsageError
        Naming the field, what was found, what the broker offers and why the rest is not there.
    """
    can, broker = adapter.capabilities, adapter.name
    can.require("place", broker)
    if not instrument.tradable:
        raise UsageError(
            f"{instrument.instrument_id} cannot be traded: {_why_not(instrument)}",
            kind=ErrorKind.INSTRUMENT_NOT_TRADABLE,
            broker=broker,
            remedy="trade its futures, options or a fund that follows it",
        )
    order_type = order.order_type
    if not (
        order_type in can.order_types
        and order.product in can.products
        and order.time_in_force in can.time_in_force
        and order.variety in can.varieties
        and instrument.exchange in can.segments
    ):
        for what, value, offered in (
            ("order type", order_type, can.order_types),
            ("product", order.product, can.products),
            ("time in force", order.time_in_force, can.time_in_force),
            ("variety", order.variety, can.varieties),
            ("segment", instrument.exchange, can.segments),
        ):
            can.require_value(what, value, frozenset(offered), broker)
    if _further(order) != _NOTHING_FURTHER:
        _check_further(order, can, broker)
    if order.notional is None:
        check_quantity("quantity", order.quantity, instrument, freeze=not adapter.slices(order))
    elif order.notional <= 0 or order.quantity != 0:
        raise UsageError(
            f"an order for {order.notional} of money and {order.quantity} units",
            kind=ErrorKind.INVALID_QUANTITY,
            remedy="give a notional above 0 and no quantity, or a quantity alone",
        )
    price, trigger = order.price, order.trigger_price
    if (price is not None) is not (order_type in PRICED):
        _wrong("price", price is not None, order_type)
    if (trigger is not None) is not (order_type in TRIGGERED):
        _wrong("trigger_price", trigger is not None, order_type)
    if price is not None:
        check_price("price", price, instrument)
    if trigger is not None:
        check_price("trigger price", trigger, instrument)
    if order.display_quantity is not None and not 0 < order.display_quantity <= order.quantity:
        raise UsageError(
            f"display_quantity {order.display_quantity} is not within 0 to {order.quantity}",
            kind=ErrorKind.INVALID_QUANTITY,
        )


def check_triggered(
    order: OrderRequest, trigger: Decimal, instrument: Instrument, adapter: type[Adapter] | Adapter
) -> None:
    """Refuse an order that a trigger shall place some day, as `check_request` does one of today.

    The price band is the day's, so it says nothing of the day on which the trigger is reached.

    Raises
    ------
    UsageError
    """
    some_day = replace(instrument, price_band_low=None, price_band_high=None)
    check_request(order, some_day, adapter)
    check_price("trigger", trigger, some_day)


def check_change(order: Order, change: OrderChange, instrument: Instrument, adapter: type[Adapter] | Adapter) -> None:
    """Refuse a change that cannot be, before a byte is sent.

    Raises
    ------
    UsageError
        For a finished order, an empty change, a quantity below what is filled, values off the grid.
    """
    adapter.capabilities.require("modify", adapter.name)
    if order.status.terminal:
        raise UsageError(
            f"order {order.order_id} is {order.status} and cannot be changed",
            kind=ErrorKind.TOO_LATE_TO_MODIFY_OR_CANCEL,
        )
    if change == OrderChange():
        raise UsageError("nothing to change: give quantity, price, trigger_price, order_type or time_in_force")
    if change.quantity is not None:
        check_quantity("quantity", change.quantity, instrument)
        if change.quantity <= order.filled_quantity:
            raise UsageError(
                f"quantity {change.quantity} is not above the {order.filled_quantity} already filled",
                kind=ErrorKind.INVALID_QUANTITY,
                remedy="cancel the order to stop what is left of it",
            )
    can, broker = adapter.capabilities, adapter.name
    if change.order_type is not None:
        can.require_value("order type", change.order_type, frozenset(can.order_types), broker)
    if change.time_in_force is not None:
        can.require_value("time in force", change.time_in_force, frozenset(can.time_in_force), broker)
    order_type = change.order_type or order.order_type
    for name, price, known, takes in (
        ("price", change.price, order.price, order_type.has_price),
        ("trigger_price", change.trigger_price, order.trigger_price, order_type.has_trigger),
    ):
        if price is not None:
            if not takes:
                _wrong(name, True, order_type)
            check_price(name.replace("_", " "), price, instrument)
        elif takes and change.order_type is not None and known is None:
            _wrong(name, False, order_type)
    quantity = change.quantity or order.quantity
    if change.display_quantity is not None and not 0 < change.display_quantity <= quantity:
        raise UsageError(
            f"display_quantity {change.display_quantity} is not within 0 to {quantity}", kind=ErrorKind.INVALID_QUANTITY
        )


def lowers_risk(order: Order, change: OrderChange) -> bool:
    """Whether a change can only make an order smaller, or less likely to trade: what a cancel does in part.

    Less is asked for, or a limit is moved away from the market. What makes another order of it, or moves the trigger
    of a stop either way, may raise risk.
    """
    if change.order_type is not None or change.trigger_price is not None or change.market_protection is not None:
        return False
    if change.time_in_force is not None or change.extras:
        return False
    if change.quantity is not None and change.quantity > order.quantity:
        return False
    if change.price is None:
        return True
    if order.price is None:
        return False
    return change.price <= order.price if order.side is Side.BUY else change.price >= order.price


def _check_further(order: OrderRequest, can: Capabilities, broker: str) -> None:
    for name in _FURTHER:
        if getattr(order, name) != getattr(_PLAIN, name) and name not in can.order_fields:
            # Dropping it silently would change what the order means.
            reason = can.reasons.get(name, "the adapter does not know it")
            raise UsageError(
                f"{broker}: orders take no {name}: {reason}",
                kind=ErrorKind.NOT_SUPPORTED,
                broker=broker,
                remedy=f"leave {name} out",
            )


def _wrong(name: str, given: bool, order_type: OrderType) -> NoReturn:
    other = _MEANT.get((order_type, name)) if given else None
    raise UsageError(
        f"a {order_type} order {'takes no' if given else 'needs a'} {name}",
        kind=ErrorKind.BAD_REQUEST,
        remedy=f"say order_type={other.value!r}, or leave out {name}"
        if other
        else f"{'leave out' if given else 'give'} {name}",
    )


_MEANT: Final = {
    (OrderType.MARKET, "price"): OrderType.LIMIT,
    (OrderType.MARKET, "trigger_price"): OrderType.STOP_MARKET,
    (OrderType.LIMIT, "trigger_price"): OrderType.STOP_LIMIT,
    (OrderType.STOP_MARKET, "price"): OrderType.STOP_LIMIT,
}
"""What somebody may have meant who gave a price to an order that takes none."""


def _why_not(instrument: Instrument) -> str:
    if instrument.instrument_type is InstrumentType.INDEX:
        return "it is an index"
    return "the broker lists it, and takes no orders in it"
