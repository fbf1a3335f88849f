"""What an order is on the wire, and what is refused of it before a byte leaves."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from dragoman.plugin import ErrorKind, model
from dragoman.plugin.parts import Pairs, number, pairs, plain, wire_tag

from .words import MARKETS, ON_TRIGGER, RECORDS, SIDE, SPOT, TIME_IN_FORCE, USDM, Market

WIRE_ID_LENGTH: Final = 36
_T = model.OrderType
_F = model.TimeInForce
_PLAIN: Final = (_T.MARKET, _T.LIMIT)
TRAILING: Final = (_T.TRAILING_STOP_MARKET, _T.TRAILING_STOP_LIMIT)
_PREVENTION: Final = {
    "s": ("NONE", "EXPIRE_MAKER", "EXPIRE_TAKER", "EXPIRE_BOTH", "DECREMENT", "TRANSFER"),
    "u": ("EXPIRE_MAKER", "EXPIRE_TAKER", "EXPIRE_BOTH"),
}
refused = RECORDS.refused


def check_terms(order: model.OrderRequest, instrument: model.Instrument) -> None:
    """Refuse what the market does not take, and what the symbol's own filters refuse. Raises UsageError."""
    market = MARKETS[instrument.exchange]
    if not (
        order.product is market.product
        and order.order_type in _PLAIN
        and order.time_in_force is not _F.GTD
        and order.position_side == "NET"
        and not (order.reduce_only or order.post_only)
        and order.expire_time_ns is None
        and order.display_quantity is None
        and order.self_trade_prevention is None
        and order.trailing_offset is None
    ):
        _check_further(order, market)  # of most orders there is nothing that it could refuse
    _check_size(order, instrument)


def _check_further(order: model.OrderRequest, market: Market) -> None:
    spot = market is SPOT
    RECORDS.check(
        (
            order.product is not market.product,
            f"{market.exchange} takes no {order.product} orders",
            f"use {market.product}",
        ),
        (
            order.order_type not in market.order_types.outward,
            f"{market.exchange} takes no {order.order_type} orders",
            "see capabilities of the adapter",
        ),
        (
            spot and (order.reduce_only or order.position_side != "NET" or order.time_in_force is _F.GTD),
            "spot orders take no reduce_only, position_side or GTD",
            "leave it out",
        ),
        (
            order.reduce_only and order.position_side != "NET",
            "reduce_only and position_side do not go together",
            "give one of them",
        ),
        (
            (order.expire_time_ns is not None) != (order.time_in_force is _F.GTD),
            "expire_time_ns belongs to GTD, and GTD to it",
            "give both or neither",
        ),
        (
            order.order_type in ON_TRIGGER
            and not spot
            and (order.time_in_force is _F.GTD or order.self_trade_prevention),
            "the service of conditional orders takes no GTD and no self_trade_prevention",
            "leave it out",
        ),
        (
            order.post_only and (order.order_type is not _T.LIMIT or order.time_in_force is not _F.GTC),
            "post_only is for LIMIT orders that are GTC",
            "leave post_only out",
        ),
        (
            order.display_quantity is not None
            and (not spot or not order.order_type.has_price or order.time_in_force is not _F.GTC),
            "display_quantity is for priced spot orders that are GTC",
            "leave it out",
        ),
        (
            order.self_trade_prevention not in (None, *_PREVENTION[market.letter]),
            f"self_trade_prevention {order.self_trade_prevention!r} is unknown",
            f"use one of {', '.join(_PREVENTION[market.letter])}",
        ),
    )
    _check_trailing(order, market)


def order_fields(order: model.OrderRequest, market: Market, symbol: str) -> Pairs:
    spot, priced = market is SPOT, order.order_type.has_price
    word = market.order_types.write(order.order_type)
    validity = TIME_IN_FORCE.write(order.time_in_force) if priced else None
    if order.post_only and spot:
        word, validity = "LIMIT_MAKER", None
    elif order.post_only:
        validity = "GTX"
    return pairs(
        symbol=symbol,
        side=SIDE.write(order.side),
        positionSide=None if order.position_side == "NET" else order.position_side,
        type=word,
        timeInForce=validity,
        quantity=plain(order.quantity),
        price=plain(order.price),
        stopPrice=plain(order.trigger_price),
        trailingDelta=_basis_points(order),
        icebergQty=plain(order.display_quantity),
        reduceOnly="true" if order.reduce_only else None,
        goodTillDate=None if order.expire_time_ns is None else str(order.expire_time_ns // 1_000_000_000 * 1000),
        selfTradePreventionMode=order.self_trade_prevention,
        newClientOrderId=wire_tag(order.wire_id, order.tag, WIRE_ID_LENGTH),
        newOrderRespType="ACK",
    )


def algo_fields(order: model.OrderRequest, symbol: str) -> Pairs:
    points = order.trailing_offset if order.order_type in TRAILING else None
    return pairs(
        algoType="CONDITIONAL",
        symbol=symbol,
        side=SIDE.write(order.side),
        positionSide=None if order.position_side == "NET" else order.position_side,
        type=USDM.order_types.write(order.order_type),
        timeInForce=TIME_IN_FORCE.write(order.time_in_force) if order.order_type.has_price else None,
        quantity=plain(order.quantity),
        price=plain(order.price),
        triggerPrice=plain(order.trigger_price),
        callbackRate=None if points is None else plain(points / 100),
        reduceOnly="true" if order.reduce_only else None,
        clientAlgoId=wire_tag(order.wire_id, order.tag, WIRE_ID_LENGTH),
    )


def _basis_points(order: model.OrderRequest) -> str | None:
    return plain(order.trailing_offset) if order.order_type in TRAILING else None


def _check_trailing(order: model.OrderRequest, market: Market) -> None:
    trails, offset = order.order_type in TRAILING, order.trailing_offset
    least, most = (Decimal(1), Decimal(2000)) if market is SPOT else (Decimal(10), Decimal(1000))
    RECORDS.check(
        (
            trails != (offset is not None),
            "trailing_offset belongs to trailing orders, and they to it",
            "give both or neither",
        ),
        (
            trails and order.trailing_offset_type != "BASIS_POINTS",
            f"trailing_offset_type {order.trailing_offset_type} is not taken",
            "use BASIS_POINTS",
        ),
        (
            offset is not None and not least <= offset <= most,
            f"trailing_offset {offset} is not within {least} to {most}",
            "change it",
        ),
    )


def _check_size(order: model.OrderRequest, instrument: model.Instrument) -> None:
    """Refuse what the symbol's filters refuse and the instrument's own fields do not say."""
    extra = instrument.extra
    least, worth = number(extra.get("min_quantity")), number(extra.get("min_notional"))
    if order.quantity < least:
        raise refused(
            f"{instrument.instrument_id}: quantity {order.quantity} is below {least}",
            f"give at least {least}",
            kind=ErrorKind.INVALID_QUANTITY,
        )
    most = number(extra.get("max_market_quantity"))
    if most and not order.order_type.has_price and order.quantity > most:
        raise refused(
            f"{instrument.instrument_id}: {order.quantity} is above the {most} of a market order",
            f"split it into orders of at most {most}",
            kind=ErrorKind.FREEZE_QTY_EXCEEDED,
        )
    price = order.price or order.trigger_price
    if price is not None and price * order.quantity < worth and not order.reduce_only:
        raise refused(
            f"{instrument.instrument_id}: {order.quantity} at {price} is worth less than {worth} {instrument.currency}",
            f"give a quantity of at least {worth / price:.8f}",
            kind=ErrorKind.INVALID_QUANTITY,
        )
