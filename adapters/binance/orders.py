"""Orders of both markets: what is refused here, what goes on the wire, and how the book is read."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from dragoman.plugin import Adapter, All, Context, ErrorEffect, ErrorKind, Flow, Request, Wait, model
from dragoman.plugin.records import Pairs, number, pairs, plain, wire_tag

from .requests import REPLACING, act, ask, markets_of, read, result
from .words import (
    ALGO,
    MARKETS,
    ON_TRIGGER,
    PLATFORM,
    RECORDS,
    SIDE,
    SPOT,
    TIME_IN_FORCE,
    USDM,
    Market,
    OrderKey,
    read_algo,
    read_fill,
    read_order,
)

WIRE_ID_LENGTH: Final = 36
NO_SUCH_ORDER: Final = frozenset(("-2013",))
_T = model.OrderType
_F = model.TimeInForce
_TRAILING: Final = (_T.TRAILING_STOP_MARKET, _T.TRAILING_STOP_LIMIT)
_PREVENTION: Final = {
    "s": ("NONE", "EXPIRE_MAKER", "EXPIRE_TAKER", "EXPIRE_BOTH", "DECREMENT", "TRANSFER"),
    "u": ("EXPIRE_MAKER", "EXPIRE_TAKER", "EXPIRE_BOTH"),
}
_LEAST_LIFE_S: Final = 600
_DAY_NS: Final = 86_400_000_000_000
_PAGE: Final = 1000
_TRIES: Final = 4
"""Of asking for an order that was placed a moment ago: the copy that answers may lag."""
refused = RECORDS.refused


class OrderFlows(Adapter):
    """The orders' part of the adapter."""

    def check_order(self, order: model.OrderRequest, instrument: model.Instrument) -> model.OrderRequest:
        market = MARKETS[instrument.exchange]
        spot = market is SPOT
        if order.product is not market.product:
            raise refused(f"{market.exchange} takes no {order.product} orders", f"use {market.product}")
        if order.order_type not in market.order_types.outward:
            raise refused(f"{market.exchange} takes no {order.order_type} orders", "see capabilities of the adapter")
        if spot and (order.reduce_only or order.position_side != "NET" or order.time_in_force is _F.GTD):
            raise refused("spot orders take no reduce_only, position_side or GTD", "leave it out")
        if order.reduce_only and order.position_side != "NET":
            raise refused("reduce_only and position_side do not go together", "give one of them")
        if (order.expire_time_ns is not None) != (order.time_in_force is _F.GTD):
            raise refused("expire_time_ns belongs to GTD, and GTD to it", "give both or neither")
        if order.post_only and (order.order_type is not _T.LIMIT or order.time_in_force is not _F.GTC):
            raise refused("post_only is for LIMIT orders that are GTC", "leave post_only out")
        if order.display_quantity is not None and (
            not spot or not order.order_type.has_price or order.time_in_force is not _F.GTC
        ):
            raise refused("display_quantity is for priced spot orders that are GTC", "leave it out")
        prevention = order.self_trade_prevention
        if prevention is not None and prevention not in _PREVENTION[market.letter]:
            raise refused(
                f"self_trade_prevention {prevention!r} is unknown",
                f"use one of {', '.join(_PREVENTION[market.letter])}",
            )
        _check_trailing(order, market)
        _check_size(order, instrument)
        return order

    # -- acts --------------------------------------------------------------------------------------------------------

    def place(
        self, order: model.OrderRequest, instrument: model.Instrument, ctx: Context
    ) -> Flow[model.Outcome | list[model.Outcome]]:
        market, symbol = MARKETS[instrument.exchange], instrument.broker_symbol
        expires = order.expire_time_ns
        if expires is not None and expires < ctx.now_ns + _LEAST_LIFE_S * 1_000_000_000:
            raise refused("expire_time_ns is less than ten minutes ahead", "give a later time, to the second")
        if market is USDM and order.order_type in ON_TRIGGER:
            row = yield from ask(act(market, "POST", "/algoOrder", _algo_fields(order, symbol), ctx), "order reply")
            with RECORDS.reading("order reply"):
                return model.Outcome.accepted(str(OrderKey(ALGO, symbol, str(int(row["algoId"])))), raw=row)
        fields = _fields(order, market, symbol)
        call = "order.place" if market is SPOT else ""
        row = yield from ask(act(market, "POST", "/order", fields, ctx, call=call), "order reply")
        with RECORDS.reading("order reply"):
            return model.Outcome.accepted(str(OrderKey(market.letter, symbol, str(int(row["orderId"])))), raw=row)

    def modify(
        self, order: model.Order, change: model.OrderChange, instrument: model.Instrument, ctx: Context
    ) -> Flow[model.Outcome]:
        key = OrderKey.parse(order.order_id)
        given = {
            name
            for name in ("quantity", "price", "trigger_price", "order_type", "time_in_force")
            if getattr(change, name)
        }
        if change.display_quantity is not None or change.market_protection is not None:
            raise refused(
                "display_quantity and market_protection of an order cannot be changed", "cancel it, place anew"
            )
        if key.letter == USDM.letter:
            return (yield from self._modify_future(order, change, key, given, ctx))
        if key.letter == ALGO:
            raise refused("conditional orders cannot be changed", "cancel it and place another")
        if given == {"quantity"} and change.quantity is not None and change.quantity < order.quantity:
            fields = pairs(
                symbol=key.symbol, orderId=key.number, newQty=plain(change.quantity), newClientOrderId=_tag(order)
            )
            request = act(SPOT, "PUT", "/order/amend/keepPriority", fields, ctx, call="order.amend.keepPriority")
            row = yield from ask(request, "amend reply")
            return model.Outcome.accepted(order.order_id, raw=row)
        return (yield from self._replace(order, change, key, ctx))

    def _modify_future(
        self, order: model.Order, change: model.OrderChange, key: OrderKey, given: set[str], ctx: Context
    ) -> Flow[model.Outcome]:
        if order.order_type is not _T.LIMIT or given - {"quantity", "price"}:
            raise refused(
                "of a futures order quantity and price can be changed, if it is LIMIT", "cancel it, place anew"
            )
        fields = pairs(
            symbol=key.symbol,
            orderId=key.number,
            side=order.side.value,
            quantity=plain(change.quantity or order.quantity),
            price=plain(change.price or order.price),
        )
        row = yield from ask(act(USDM, "PUT", "/order", fields, ctx, limit_key=order.order_id), "modify reply")
        return model.Outcome.accepted(order.order_id, raw=row)

    def _replace(
        self, order: model.Order, change: model.OrderChange, key: OrderKey, ctx: Context
    ) -> Flow[model.Outcome]:
        """Cancel and place in one request: the new order has a new number, and goes to the end of the queue."""
        if order.filled_quantity:
            raise refused(
                f"order {order.order_id} is partly filled, and a replacement starts from nothing",
                "reduce its quantity, or cancel it and place the rest",
            )
        kind = change.order_type or order.order_type
        if kind in _TRAILING or order.order_type in _TRAILING:
            raise refused("a trailing order cannot be changed", "cancel it and place another")
        wanted = model.OrderRequest(
            instrument_id=order.instrument_id,
            side=order.side,
            quantity=change.quantity or order.quantity,
            order_type=kind,
            price=(change.price or order.price) if kind.has_price else None,
            trigger_price=(change.trigger_price or order.trigger_price) if kind.has_trigger else None,
            time_in_force=change.time_in_force or order.time_in_force,
            display_quantity=order.display_quantity,
            post_only=str((order.raw or {}).get("type")) == "LIMIT_MAKER" and kind is _T.LIMIT,
            wire_id=_tag(order) or "",
        )
        fields = (
            *_fields(wanted, SPOT, key.symbol),
            ("cancelReplaceMode", "STOP_ON_FAILURE"),
            ("cancelOrderId", key.number),
            ("cancelNewClientOrderId", REPLACING + ctx.random_bytes(8).hex()),
        )
        answers = frozenset(("-2021", "-2022"))
        request = act(SPOT, "POST", "/order/cancelReplace", fields, ctx, call="order.cancelReplace", answers=answers)
        reply = yield request
        with RECORDS.reading("replace reply"):
            if reply.code is None:
                row = result(reply, request)["newOrderResponse"]
                new = str(OrderKey(SPOT.letter, key.symbol, str(int(row["orderId"]))))
                return model.Outcome.accepted(new, replaces=order.order_id, raw=row)
            found = RECORDS.loads(reply.body)
            error = found.get("error", found)
            return self._half(reply.code, error.get("data") or {})

    def _half(self, code: str, data: Any) -> model.Outcome:
        """Say what a replacement came to that did not succeed whole."""
        gone = data.get("cancelResult") == "SUCCESS"
        why = data.get("newOrderResponse" if gone else "cancelResponse") or {}
        failure = self.codes.classify(
            code=str(why.get("code", code)), text=str(why.get("msg", "")), status=400, mutates=True
        )
        text = f"{'the order was canceled, and its replacement refused' if gone else 'nothing changed'}: {failure.text}"
        effect = ErrorEffect.APPLIED if gone else ErrorEffect.NONE
        remedy = "place it again if it is still wanted" if gone else "read the order: it may be filled"
        return model.Outcome.rejected(model.Reject(failure.kind, text, failure.code, effect, remedy=remedy), raw=data)

    def cancel(self, order: model.Order, ctx: Context) -> Flow[model.Outcome]:
        key = OrderKey.parse(order.order_id)
        if key.letter != ALGO:
            fields = pairs(symbol=key.symbol, orderId=key.number)
            call = "order.cancel" if key.market is SPOT else ""
            row = yield from ask(act(key.market, "DELETE", "/order", fields, ctx, call=call), "cancel reply")
        elif order.status is model.OrderStatus.TRIGGER_PENDING or not order.exchange_order_id:
            row = yield from ask(act(USDM, "DELETE", "/algoOrder", (("algoId", key.number),), ctx), "cancel reply")
        else:
            fields = pairs(symbol=key.symbol, orderId=order.exchange_order_id)
            row = yield from ask(act(USDM, "DELETE", "/order", fields, ctx), "cancel reply")
        return model.Outcome.accepted(order.order_id, raw=row)

    # -- reading -----------------------------------------------------------------------------------------------------

    def order(self, order_id: str, ctx: Context) -> Flow[list[model.Order]]:
        key = OrderKey.parse(order_id)
        for tried in range(1, _TRIES + 1):
            reply = yield _query(key, NO_SUCH_ORDER if tried < _TRIES else frozenset())
            if reply.code is None:
                break
            yield Wait(0.5 * tried, reason="an order just placed may not be known everywhere yet")
        row = RECORDS.loads(reply.body)
        return [read_algo(row, ctx) if key.letter == ALGO else read_order(key.market, row, ctx)]

    def orders(self, ctx: Context) -> Flow[list[model.Order]]:
        """The broker lists what is open; what else this session knows is asked for one by one."""
        found: dict[str, model.Order] = {}
        chosen = markets_of(ctx)
        if SPOT.exchange in chosen:
            rows = yield from ask(read(SPOT, "/openOrders", 80), "open orders")
            found |= _by_id(read_order(SPOT, row, ctx) for row in RECORDS.as_rows("openOrders", rows))
        if USDM.exchange in chosen:
            rows = yield from ask(read(USDM, "/openOrders", 40), "open orders")
            found |= _by_id(read_order(USDM, row, ctx) for row in RECORDS.as_rows("openOrders", rows))
            rows = yield from ask(read(USDM, "/openAlgoOrders", 40), "open conditional orders")
            found = _by_id(read_algo(row, ctx) for row in RECORDS.as_rows("openAlgoOrders", rows)) | found
        tags = [order.tag or "" for order in found.values()]
        missing = [
            known
            for known in ctx.orders
            if known.status.working and known.order_id not in found and not _is_there(known, tags)
        ]
        replies = yield All([_search(known, ctx) for known in missing])
        for known, reply in zip(missing, replies, strict=True):
            if reply.code is None:
                row = RECORDS.loads(reply.body)
                algo = "algoId" in row
                one = read_algo(row, ctx) if algo else read_order(_market_of(known, ctx), row, ctx)
                found[one.order_id] = one
        return list(found.values())

    def trades(self, ctx: Context, order_id: str | None = None) -> Flow[list[model.Fill]]:
        """Of one order; otherwise today's of every symbol this session has orders in or ``settings.symbols`` names."""
        if order_id is not None:
            key = OrderKey.parse(order_id)
            known = next((one for one in ctx.orders if one.order_id == order_id), None)
            number_there = known.exchange_order_id if key.letter == ALGO and known else key.number
            if number_there is None:
                return []
            return (
                yield from _fills(key.market, key.symbol, ctx, pairs(orderId=number_there), {number_there: order_id})
            )
        named = {(market.letter, symbol): market for market, symbol in _symbols(ctx)}
        found: list[model.Fill] = []
        for (_, symbol), market in named.items():
            midnight = ctx.now_ns // _DAY_NS * _DAY_NS // 1_000_000
            owners = {one.exchange_order_id: one.order_id for one in ctx.orders if one.order_id.startswith(ALGO)}
            found += yield from _fills(market, symbol, ctx, pairs(startTime=str(midnight)), owners)
        return found


def _fills(market: Market, symbol: str, ctx: Context, query: Pairs, owners: Any) -> Flow[list[model.Fill]]:
    """Read executions of a symbol, page after page."""
    path, weight = ("/myTrades", 20) if market is SPOT else ("/userTrades", 5)
    found: dict[str, model.Fill] = {}
    while True:
        more = (("symbol", symbol), *query, ("limit", str(_PAGE)))
        rows = RECORDS.as_rows(path, (yield from ask(read(market, path, weight, more), "trades")))
        for row in rows:
            made = str(row["orderId"])
            fill = read_fill(market, row, owners.get(made) or str(OrderKey(market.letter, symbol, made)), ctx)
            found[fill.trade_id] = fill
        if len(rows) < _PAGE:
            return list(found.values())
        query = (("fromId", str(int(rows[-1]["id"]) + 1)), *(pair for pair in query if pair[0] == "orderId"))


def _symbols(ctx: Context) -> list[tuple[Market, str]]:
    """Return what to read trades of, each once."""
    chosen = markets_of(ctx)
    ids = [one.instrument_id for one in ctx.orders] + [str(name) for name in ctx.settings.get("symbols", ())]
    found = (ctx.instruments.get(name) for name in dict.fromkeys(ids))
    return [(MARKETS[one.exchange], one.broker_symbol) for one in found if one is not None and one.exchange in chosen]


def _by_id(orders: Any) -> dict[str, model.Order]:
    return {order.order_id: order for order in orders}


def _is_there(order: model.Order, tags: Sequence[str]) -> bool:
    """Whether an order is in the book under another number: its replacement, whose reply was lost."""
    return bool(order.wire_id) and any(tag.startswith(order.wire_id) for tag in tags)


def _tag(order: model.Order) -> str | None:
    return wire_tag(order.wire_id, order.tag, WIRE_ID_LENGTH) if order.wire_id else order.tag


def _market_of(order: model.Order, ctx: Context) -> Market:
    instrument = ctx.instruments.get(order.instrument_id)
    return MARKETS[instrument.exchange if instrument else PLATFORM]


def _query(key: OrderKey, answers: frozenset[str]) -> Request:
    if key.letter == ALGO:
        return read(USDM, "/algoOrder", 1, (("algoId", key.number),), answers=answers)
    query = (("symbol", key.symbol), ("orderId", key.number))
    return read(key.market, "/order", 4 if key.market is SPOT else 1, query, answers=answers)


def _search(known: model.Order, ctx: Context) -> Request:
    """Return the question for one order: by its number, or by our id where its number is not known."""
    if known.order_id:
        return _query(OrderKey.parse(known.order_id), NO_SUCH_ORDER)
    market, tag = _market_of(known, ctx), _tag(known) or ""
    if market is USDM and known.order_type in ON_TRIGGER:
        return read(USDM, "/algoOrder", 1, (("clientAlgoId", tag),), answers=NO_SUCH_ORDER)
    instrument = ctx.instruments.get(known.instrument_id)
    symbol = instrument.broker_symbol if instrument else known.instrument_id
    query = (("symbol", symbol), ("origClientOrderId", tag))
    return read(market, "/order", 4 if market is SPOT else 1, query, answers=NO_SUCH_ORDER)


# -- fields ------------------------------------------------------------------------------------------------------------


def _fields(order: model.OrderRequest, market: Market, symbol: str) -> Pairs:
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


def _algo_fields(order: model.OrderRequest, symbol: str) -> Pairs:
    points = order.trailing_offset if order.order_type in _TRAILING else None
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
    return plain(order.trailing_offset) if order.order_type in _TRAILING else None


def _check_trailing(order: model.OrderRequest, market: Market) -> None:
    trails = order.order_type in _TRAILING
    if trails != (order.trailing_offset is not None):
        raise refused("trailing_offset belongs to trailing orders, and they to it", "give both or neither")
    if not trails or order.trailing_offset is None:
        return
    if order.trailing_offset_type != "BASIS_POINTS":
        raise refused(f"trailing_offset_type {order.trailing_offset_type} is not taken", "use BASIS_POINTS")
    least, most = (Decimal(1), Decimal(2000)) if market is SPOT else (Decimal(10), Decimal(1000))
    if not least <= order.trailing_offset <= most:
        raise refused(f"trailing_offset {order.trailing_offset} is not within {least} to {most}", "change it")


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
