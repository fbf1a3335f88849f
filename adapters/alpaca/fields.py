"""What an order is on the wire, and what is refused of it before a byte leaves."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from dragoman.plugin import Context, model
from dragoman.plugin.parts import check_penny, plain

from .words import ORDER_TYPE, PAIRS, RECORDS, SIDE, STOCKS, TIME_IN_FORCE, Kind, kind_of

ID_LENGTH: Final = 48
"""The documents name 48 in one place and 128 in another: what fits both."""
EXTRAS: Final = frozenset(("order_class", "take_profit", "stop_loss", "position_intent"))
"""Keys of ``extras["alpaca"]``; `take_profit` has ``limit_price``, `stop_loss` ``stop_price`` and ``limit_price``."""
_LEGS: Final = {"take_profit": {"limit_price"}, "stop_loss": {"stop_price", "limit_price"}}
_CLASSES: Final = {"bracket": (2, 2), "oco": (1, 2), "oto": (1, 1), "simple": (0, 0)}
"""How many legs an order of a class has, at least and at most."""

T, F = model.OrderType, model.TimeInForce


def client_id(wire_id: str, tag: str | None, ctx: Context) -> str | None:
    """Return a client_order_id of ours: our wire id, the time so that no later run repeats it, the tag if it fits."""
    name = f"{wire_id}-{ctx.now_ns // 1_000_000:x}" if wire_id else None
    whole = f"{name}-{tag}" if tag and tag.isascii() and tag.replace("-", "").replace("_", "").isalnum() else name
    return whole if name and whole and len(whole) <= ID_LENGTH else name


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
        "client_order_id": client_id(order.wire_id, order.tag, ctx),
        **legs,
    }
    return {name: value for name, value in fields.items() if value is not None}


def check_prices(kind: Kind, *prices: Decimal | None) -> None:
    """Refuse more decimals than the market takes; pairs have grids of their own, which the master tells."""
    for price in prices:
        if price is not None and kind is not PAIRS:
            check_penny(RECORDS, price)


def check_terms(order: model.OrderRequest, instrument: model.Instrument) -> None:
    """Refuse what no order of this kind of instrument may be. Raises UsageError."""
    kind = kind_of(instrument)
    RECORDS.check_offered(kind.name, "order_type", order.order_type, kind.order_types)
    RECORDS.check_offered(kind.name, "time_in_force", order.time_in_force, kind.times_in_force)
    check_prices(kind, order.price, order.trigger_price)
    day, fraction = order.time_in_force is F.DAY, order.notional is not None or order.quantity % 1 != 0
    trails, offset = order.order_type is T.TRAILING_STOP_MARKET, order.trailing_offset
    RECORDS.check(
        (
            kind is STOCKS and fraction and not day,
            "fractions and notional orders are DAY orders",
            "use time_in_force DAY, or whole shares",
        ),
        (
            order.extended_hours and (order.order_type is not T.LIMIT or not day),
            "extended hours take LIMIT orders of the DAY only",
            "change them, or leave extended_hours out",
        ),
        (
            trails and (not offset or order.trailing_offset_type not in ("PRICE", "BASIS_POINTS")),
            "a trailing stop needs an offset in PRICE or BASIS_POINTS",
            "give trailing_offset and its type",
        ),
        (
            not trails and (offset or order.trailing_offset_type),
            f"a {order.order_type} order trails nothing",
            "use TRAILING_STOP_MARKET",
        ),
    )
    if order.extras != {} or order.variety is model.Variety.BRACKET:
        _check_legs(order, kind)


def _check_legs(order: model.OrderRequest, kind: Kind) -> None:
    extras, bracket = RECORDS.extras(order, EXTRAS), order.variety is model.Variety.BRACKET
    order_class = str(extras.get("order_class", "bracket" if bracket else "simple"))
    least, most = _CLASSES.get(order_class, (0, 0))
    given = [name for name in _LEGS if name in extras]
    plain_hours = not order.extended_hours and order.time_in_force in (F.DAY, F.GTC)
    RECORDS.check(
        (
            order_class not in _CLASSES or bracket is (order_class == "simple"),
            f"order_class {order_class!r} of a {order.variety} order",
            "use bracket, oco or oto, variety BRACKET",
        ),
        (
            not least <= len(given) <= most,
            f"a {order_class} order with {', '.join(given) or 'no legs'}",
            "give take_profit, stop_loss or both",
        ),
        (
            given and not (kind is STOCKS and plain_hours),
            f"{order_class} orders are of shares, DAY or GTC, in regular hours",
            "leave the legs out",
        ),
    )
    for name in given:
        leg, known = extras[name], _LEGS[name]
        fits = isinstance(leg, Mapping) and set(leg) <= known and ("stop_price" not in known or "stop_price" in leg)
        RECORDS.check((not fits, f"{name} is {leg!r}", f"give {' and '.join(sorted(known))}"))
        check_prices(kind, *(Decimal(str(price)) for price in leg.values()))
