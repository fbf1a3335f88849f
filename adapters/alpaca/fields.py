"""What an order is on the wire, and what is refused of it before a byte leaves."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from dragoman.plugin import Context, ErrorKind, model
from dragoman.plugin.records import plain

from .words import CRYPTO, ORDER_TYPE, SIDE, TIME_IN_FORCE, refused

ID_LENGTH: Final = 48
"""The documents name 48 in one place and 128 in another: what fits both."""
EXTRAS: Final = frozenset(("order_class", "take_profit", "stop_loss", "position_intent"))
"""Keys of ``extras["alpaca"]``; `take_profit` has ``limit_price``, `stop_loss` ``stop_price`` and ``limit_price``."""
_LEGS: Final = {"take_profit": {"limit_price"}, "stop_loss": {"stop_price", "limit_price"}}
_CENT: Final = Decimal("0.01")
_MILL: Final = Decimal("0.0001")

F = model.TimeInForce


def kind_of(instrument: model.Instrument) -> str:
    """Return the kind whose rules an instrument's orders follow."""
    return "crypto" if instrument.exchange == CRYPTO else "option" if instrument.option_type else "equity"


def client_id(wire_id: str, tag: str | None, ctx: Context) -> str:
    """Return a client_order_id of ours: our wire id, the time so that no later run repeats it, the tag if it fits."""
    name = f"{wire_id}-{ctx.now_ns // 1_000_000:x}"
    whole = f"{name}-{tag}" if tag and tag.isascii() and tag.replace("-", "").replace("_", "").isalnum() else name
    return whole if len(whole) <= ID_LENGTH else name


def order_body(order: model.OrderRequest, instrument: model.Instrument, ctx: Context) -> dict[str, Any]:
    """Return the JSON of an order; numbers are text, so that every digit arrives."""
    extras = order.extras.get("alpaca", {})
    legs = {name: {key: str(value) for key, value in extras[name].items()} for name in _LEGS if name in extras}
    offset = order.trailing_offset
    basis = order.trailing_offset_type == "BASIS_POINTS"
    fields = {
        "symbol": instrument.broker_symbol,
        "qty": None if order.notional is not None else plain(order.quantity),
        "notional": plain(order.notional),
        "side": SIDE.write(order.side),
        "type": ORDER_TYPE.write(order.order_type),
        "time_in_force": TIME_IN_FORCE.write(order.time_in_force),
        "limit_price": plain(order.price),
        "stop_price": plain(order.trigger_price),
        "trail_price": None if offset is None or basis else plain(offset),
        "trail_percent": plain(offset / 100) if offset is not None and basis else None,
        "extended_hours": True if order.extended_hours else None,
        "order_class": extras.get("order_class") or ("bracket" if order.variety is model.Variety.BRACKET else None),
        "position_intent": extras.get("position_intent"),
        "client_order_id": client_id(order.wire_id, order.tag, ctx) if order.wire_id else None,
        **legs,
    }
    return {name: value for name, value in fields.items() if value is not None}


def check_penny(price: Decimal, kind: str) -> None:
    """Refuse more decimals than the market takes: two from a dollar on, four below."""
    step = _CENT if price >= 1 else _MILL
    if kind != "crypto" and price % step:
        low = price // step * step
        raise refused(
            f"price {price} has more decimals than the market takes",
            f"nearest valid: {low} or {low + step}",
            kind=ErrorKind.INVALID_PRICE_TICK,
        )


def check_legs(order: model.OrderRequest, kind: str) -> None:
    extras = order.extras.get("alpaca", {})
    if not isinstance(extras, Mapping) or set(extras) - EXTRAS:
        raise refused(f"extras['alpaca'] is {extras!r}", f"known: {', '.join(sorted(EXTRAS))}")
    bracket = order.variety is model.Variety.BRACKET
    order_class = extras.get("order_class", "bracket" if bracket else "simple")
    given = [name for name in _LEGS if name in extras]
    wanted = {"bracket": (2, 2), "oco": (1, 2), "oto": (1, 1), "simple": (0, 0)}.get(str(order_class))
    if wanted is None or bracket is (order_class == "simple"):
        raise refused(
            f"order_class {order_class!r} of a {order.variety} order", "use bracket, oco or oto, variety BRACKET"
        )
    if not wanted[0] <= len(given) <= wanted[1]:
        raise refused(
            f"a {order_class} order with {', '.join(given) or 'no legs'}", "give take_profit, stop_loss or both"
        )
    if given and (kind != "equity" or order.extended_hours or order.time_in_force not in (F.DAY, F.GTC)):
        raise refused(f"{order_class} orders are of shares, DAY or GTC, in regular hours", "leave the legs out")
    for name in given:
        leg = extras[name]
        if (
            not isinstance(leg, Mapping)
            or set(leg) - _LEGS[name]
            or ("stop_price" in _LEGS[name] and "stop_price" not in leg)
        ):
            raise refused(f"{name} is {leg!r}", f"give {' and '.join(sorted(_LEGS[name]))}")
        for price in leg.values():
            check_penny(Decimal(str(price)), kind)
