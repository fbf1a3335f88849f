"""Orders of both markets: what is refused here, what goes on the wire, and how the book is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dragoman.plugin import Adapter, All, Context, Flow, Request, Wait, model
from dragoman.plugin.parts import Pairs, Row, pairs, wire_tag

from .fields import WIRE_ID_LENGTH, algo_fields, check_terms, order_fields
from .requests import act, ask, markets_of, read
from .words import (
    ALGO,
    MARKETS,
    ON_TRIGGER,
    PLATFORM,
    RECORDS,
    SPOT,
    USDM,
    Market,
    OrderKey,
    read_algo,
    read_fill,
    read_order,
)

NO_SUCH_ORDER: Final = frozenset(("-2013",))
_LEAST_LIFE_S: Final = 600
_DAY_NS: Final = 86_400_000_000_000
_PAGE: Final = 1000
_TRIES: Final = 4
"""Of asking for an order that was placed a moment ago: the copy that answers may lag."""


class OrderFlows(Adapter):
    """The orders' part of the adapter."""

    def check_order(self, order: model.OrderRequest, instrument: model.Instrument) -> model.OrderRequest:
        check_terms(order, instrument)
        return order

    # -- acts --------------------------------------------------------------------------------------------------------

    def place(
        self, order: model.OrderRequest, instrument: model.Instrument, ctx: Context
    ) -> Flow[model.Outcome | list[model.Outcome]]:
        market, symbol = MARKETS[instrument.exchange], instrument.broker_symbol
        expires = order.expire_time_ns
        if expires is not None and expires < ctx.now_ns + _LEAST_LIFE_S * 1_000_000_000:
            raise RECORDS.refused("expire_time_ns is less than ten minutes ahead", "give a later time, to the second")
        if market is USDM and order.order_type in ON_TRIGGER:
            row = yield from ask(act(market, "POST", "/algoOrder", algo_fields(order, symbol), ctx), "order reply")
            with RECORDS.reading("order reply"):
                return model.Outcome.accepted(str(OrderKey(ALGO, symbol, str(int(row["algoId"])))), raw=row)
        fields = order_fields(order, market, symbol)
        call = "order.place" if market is SPOT else ""
        row = yield from ask(act(market, "POST", "/order", fields, ctx, call=call), "order reply")
        with RECORDS.reading("order reply"):
            return model.Outcome.accepted(str(OrderKey(market.letter, symbol, str(int(row["orderId"])))), raw=row)

    def cancel(self, order: model.Order, ctx: Context) -> Flow[model.Outcome]:
        key, word = OrderKey.parse(order.order_id), "orderId"
        made = order.exchange_order_id
        if key.letter != ALGO:
            fields = pairs(symbol=key.symbol, orderId=key.number)
            call = "order.cancel" if key.market is SPOT else ""
            request = act(key.market, "DELETE", "/order", fields, ctx, call=call)
        elif order.status is model.OrderStatus.TRIGGER_PENDING or not made:
            word = "algoId"
            request = act(USDM, "DELETE", "/algoOrder", ((word, key.number),), ctx)
        else:
            request = act(USDM, "DELETE", "/order", pairs(symbol=key.symbol, orderId=made), ctx)
            key = OrderKey(USDM.letter, key.symbol, made)
        row = yield from ask(request, "cancel reply")
        with RECORDS.reading("cancel reply"):
            if word == "algoId" and str(row["code"]) != "200":
                raise ValueError(f"code is {row['code']!r}, expected 200")
            return model.Outcome.accepted(named_in(row, word, key, order), raw=row)

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
        missing = []
        for known in ctx.orders:
            if not known.status.working or known.order_id in found:
                continue
            heir = _heir(known, found)
            if heir is None:
                missing.append(known)
            elif known.order_id:
                found[heir.order_id] = _replaced(known, heir)
        replies = yield All([_search(known, ctx) for known in missing])
        lost = [known for known, reply in zip(missing, replies, strict=True) if reply.code and _may_be_replaced(known)]
        again = yield All([_query(OrderKey.parse(known.order_id), NO_SUCH_ORDER) for known in lost])
        for known, reply in zip((*missing, *lost), (*replies, *again), strict=True):
            if reply.code is None:
                row = RECORDS.loads(reply.body)
                algo = "algoId" in row
                one = read_algo(row, ctx) if algo else read_order(_market_of(known, ctx), row, ctx)
                found[one.order_id] = _replaced(known, one)
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


def named_in(row: Row, word: str, key: OrderKey, order: model.Order) -> str:
    """Return the id of the order a reply is about. Raises ValueError where it names another one, or none."""
    if str(row[word]) != key.number:
        raise ValueError(f"{word} is {row[word]!r}, expected {key.number}")
    return order.order_id


def _by_id(orders: Any) -> dict[str, model.Order]:
    return {order.order_id: order for order in orders}


def _may_be_replaced(order: model.Order) -> bool:
    """Whether a spot order may have a new number that nobody told: its client id finds the latest one."""
    replacing = order.pending is model.Pending.MODIFY and order.order_id.startswith(f"{SPOT.letter}:")
    return replacing and bool(order.wire_id)


def _heir(order: model.Order, found: Mapping[str, model.Order]) -> model.Order | None:
    """Return an open order under our id of this one, and another number: its replacement, whose reply was lost."""
    same = (one for one in found.values() if order.wire_id and (one.tag or "").startswith(order.wire_id))
    return next(same, None)


def _replaced(order: model.Order, found: model.Order) -> model.Order:
    """Return what was found of an order; under a new number it names the one that was left behind."""
    if not _may_be_replaced(order) or found.order_id == order.order_id:
        return found
    return found.but(order_ids=(order.order_id, found.order_id))


def tag_of(order: model.Order) -> str | None:
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
    """Return the question for one order: by its number, or by our id where that is not known or may be another."""
    if known.order_id and not _may_be_replaced(known):
        return _query(OrderKey.parse(known.order_id), NO_SUCH_ORDER)
    market, tag = _market_of(known, ctx), tag_of(known) or ""
    if market is USDM and known.order_type in ON_TRIGGER:
        return read(USDM, "/algoOrder", 1, (("clientAlgoId", tag),), answers=NO_SUCH_ORDER)
    instrument = ctx.instruments.get(known.instrument_id)
    symbol = instrument.broker_symbol if instrument else known.instrument_id
    query = (("symbol", symbol), ("origClientOrderId", tag))
    return read(market, "/order", 4 if market is SPOT else 1, query, answers=NO_SUCH_ORDER)
