"""An order request against the instrument and the adapter's capabilities."""

from __future__ import annotations

from dragoman.checks.grid import check_price, check_quantity
from dragoman.errors import ErrorKind, UsageError
from dragoman.model import Instrument, Order, OrderChange, OrderRequest
from dragoman.plugin import Adapter


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
            f"{instrument.instrument_id} cannot be traded: it is an index",
            kind=ErrorKind.INSTRUMENT_NOT_TRADABLE,
            broker=broker,
            remedy="trade its futures, options or a fund that follows it",
        )
    can.require_value("order type", order.order_type, frozenset(can.order_types), broker)
    can.require_value("product", order.product, frozenset(can.products), broker)
    can.require_value("time in force", order.time_in_force, frozenset(can.time_in_force), broker)
    can.require_value("variety", order.variety, frozenset(can.varieties), broker)
    can.require_value("segment", instrument.exchange, frozenset(can.segments), broker)
    if order.notional is not None:
        raise UsageError(f"{broker}: orders by notional are not offered", kind=ErrorKind.NOT_SUPPORTED, broker=broker)
    check_quantity("quantity", order.quantity, instrument)
    _needed("price", order.price is not None, order.order_type.has_price, order)
    _needed("trigger_price", order.trigger_price is not None, order.order_type.has_trigger, order)
    if order.price is not None:
        check_price("price", order.price, instrument)
    if order.trigger_price is not None:
        check_price("trigger price", order.trigger_price, instrument)
    if order.display_quantity is not None and not 0 < order.display_quantity <= order.quantity:
        raise UsageError(
            f"display_quantity {order.display_quantity} is not within 0 to {order.quantity}",
            kind=ErrorKind.INVALID_QUANTITY,
        )


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
    for name, price in (("price", change.price), ("trigger price", change.trigger_price)):
        if price is not None:
            check_price(name, price, instrument)


def _needed(name: str, given: bool, wanted: bool, order: OrderRequest) -> None:
    if given == wanted:
        return
    verb = "needs a" if wanted else "takes no"
    raise UsageError(
        f"a {order.order_type} order {verb} {name}",
        kind=ErrorKind.BAD_REQUEST,
        remedy=f"{'give' if wanted else 'leave out'} {name}",
    )
