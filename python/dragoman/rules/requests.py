"""The order an exit becomes."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Any

from dragoman.model import Instrument, InstrumentType, OrderRequest, OrderType, Side
from dragoman.plugin import Adapter
from dragoman.rules.model import Send

if TYPE_CHECKING:
    from dragoman.rules.exit import Exit

_DERIVED = (InstrumentType.FUTURE, InstrumentType.PERP)


def must_be_limit(send: Send, adapter: Adapter) -> bool:
    """Whether an exit goes out as a LIMIT order: because it says so, or because the broker takes no MARKET orders."""
    can = adapter.capabilities
    refused = can.market_orders == "refused" or OrderType.MARKET not in can.order_types
    return refused or send.order_type is OrderType.LIMIT


def limit_price(last: Decimal, side: Side, send: Send, instrument: Instrument) -> Decimal:
    """Return a price through the market by the rule's offset, on the tick and within the day's band."""
    away = last * send.offset_percent / 100
    price = last - away if side is Side.SELL else last + away
    tick = instrument.tick_size
    if tick:
        # To the side that trades sooner.
        price = (price / tick).to_integral_value(ROUND_FLOOR if side is Side.SELL else ROUND_CEILING) * tick
    low, high = instrument.price_band_low, instrument.price_band_high
    if low is not None:
        price = max(price, low)
    if high is not None:
        price = min(price, high)
    return max(price, tick) if tick else price


def worth_too_little(instrument: Instrument, quantity: Decimal, price: Decimal) -> bool:
    """Whether a quantity is worth less than the market takes in one order, as far as the instrument tells.

    Orders that can only reduce a derived position are taken whatever they are worth.
    """
    least = instrument.extra.get("min_notional")
    if not least or instrument.instrument_type in _DERIVED:
        return False
    return quantity * price * instrument.multiplier < Decimal(str(least))


def exit_terms(instrument: Instrument, position_side: str, adapter: Adapter) -> dict[str, Any]:
    """Return what every order that exits says in this market: how long it works, and that it only makes smaller."""
    terms: dict[str, Any] = {}
    defaults = adapter.order_defaults(instrument)
    if "time_in_force" in defaults:
        terms["time_in_force"] = defaults["time_in_force"]
    if "reduce_only" in adapter.capabilities.order_fields and instrument.instrument_type in _DERIVED:
        terms["reduce_only"] = position_side == "NET"
    return terms


def exit_request(one: Exit, name: str, quantity: Decimal, price: Decimal | None, adapter: Adapter) -> OrderRequest:
    """Return the order of one piece of an exit: MARKET, or LIMIT where there is a price."""
    instrument_id, product, position_side = one.key
    terms = exit_terms(one.instrument, position_side, adapter)
    if price is None:
        terms["market_protection"] = one.send.protection
    else:
        terms.update(order_type=OrderType.LIMIT, price=price)
    return OrderRequest(
        instrument_id=instrument_id,
        side=one.side,
        quantity=quantity,
        product=product,
        position_side=position_side,
        client_order_id=name,
        **terms,
    )
