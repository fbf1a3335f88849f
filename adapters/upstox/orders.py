"""Orders: placed, changed and canceled one by one, and several with one request.

References
----------
Documentation, orders (version 3) and multi-order calls (version 2: place and cancel several, exit all positions).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from dragoman.plugin import Adapter, Context, Flow, Lane, Reply, Request, errors, model
from dragoman.plugin.indian import SHARES
from dragoman.plugin.records import Row, json_number, pairs, wire_tag

from .words import (
    CODES,
    ORDER_TYPE,
    PRODUCT,
    RECORDS,
    SEGMENT,
    SIDE,
    VALIDITY,
    loads,
    read_fill,
    read_order,
    reading,
    refused,
    whole,
)

TAG_LENGTH: Final = 40
MOST_PROTECTION: Final = 25
SECOND_SHARE: Final = 9
"""Orders a second outside the reserve. A sliced order becomes several, each counted, so it spends them all."""
MOST_AT_ONCE: Final = 10
SEVERAL: Final = "several"
"""Note of a request whose reply tells beside the whole what became of each order."""
NOTHING_OPEN: Final = "UDAPI1111"
_MARKET: Final = (model.OrderType.MARKET, model.OrderType.STOP_MARKET)
_PRODUCTS: Final = {
    **dict.fromkeys(SHARES, frozenset((model.Product.DELIVERY, model.Product.INTRADAY, model.Product.MTF))),
    **dict.fromkeys(("NFO", "BFO", "CDS", "BCD", "NCO"), frozenset((model.Product.CARRY, model.Product.INTRADAY))),
}


class OrderFlows(Adapter):
    """The part of the adapter for orders."""

    def check_order(self, order: model.OrderRequest, instrument: model.Instrument) -> model.OrderRequest:
        _check_protection(order.order_type, order.market_protection)
        RECORDS.check_product(order, _PRODUCTS[instrument.exchange], instrument.exchange)
        shown = order.display_quantity
        if shown is not None and shown * 10 < order.quantity:
            raise refused(f"display_quantity {shown} is below a tenth of {order.quantity}", "show at least a tenth")
        RECORDS.extras(order, ("slice",))
        return order

    @classmethod
    def slices(cls, order: model.OrderRequest) -> bool:
        return slices(order)

    def place(
        self, order: model.OrderRequest, instrument: model.Instrument, ctx: Context
    ) -> Flow[model.Outcome | list[model.Outcome]]:
        reply = yield Request(
            method="POST",
            host="order",
            path="/v3/order/place",
            headers=pairs(**{"X-Algo-Name": order.algo_id}),
            json=order_fields(order, instrument),
            mutates=True,
            meter="orders",
            cost=SECOND_SHARE if slices(order) else 1,
        )
        with reading("order reply"):
            found = reply.json["data"]
            ids = RECORDS.as_rows("order reply", found, "order_ids")
            placed = [model.Outcome.accepted(order_id, raw=found) for order_id in ids]
            if not placed:
                raise ValueError("order_ids is empty")
            return placed[0] if len(placed) == 1 else model.Outcome.parent(None, tuple(placed), raw=found)

    def modify(
        self, order: model.Order, change: model.OrderChange, instrument: model.Instrument, ctx: Context
    ) -> Flow[model.Outcome]:
        # All terms must be given, also those that stay; an order taken over from the book has them.
        order_type = change.order_type or order.order_type
        validity = change.time_in_force or order.time_in_force
        if order_type not in ORDER_TYPE.outward or validity not in VALIDITY.outward:
            raise refused(
                f"order {order.order_id} is {order_type} {validity}, and a change must repeat both",
                "load the order from the book first",
            )
        percent = _kept_protection(order, change, order_type)
        price = change.price if change.price is not None else order.price
        trigger = change.trigger_price if change.trigger_price is not None else order.trigger_price
        body: dict[str, Any] = {
            "order_id": order.order_id,
            "validity": VALIDITY.write(validity),
            "order_type": ORDER_TYPE.write(order_type),
            "price": json_number(price if order_type.has_price else None),
            "trigger_price": json_number(trigger if order_type.has_trigger else None),
        } | _protection(order_type, percent)
        if change.quantity is not None:
            body["quantity"] = whole(change.quantity)
        if change.display_quantity is not None:
            body["disclosed_quantity"] = whole(change.display_quantity)
        reply = yield Request(
            method="PUT", host="order", path="/v3/order/modify", json=body, mutates=True, meter="orders"
        )
        return _done(reply, order)

    def cancel(self, order: model.Order, ctx: Context) -> Flow[model.Outcome]:
        reply = yield Request(
            method="DELETE",
            host="order",
            path="/v3/order/cancel",
            query=(("order_id", order.order_id),),
            mutates=True,
            meter="orders",
            lane=Lane.RISK,
        )
        return _done(reply, order)

    def order(self, order_id: str, ctx: Context) -> Flow[list[model.Order]]:
        found = yield from _rows("/v2/order/history", (("order_id", order_id),))
        return [read_order(row, ctx) for row in found]

    def orders(self, ctx: Context) -> Flow[list[model.Order]]:
        return [read_order(row, ctx) for row in (yield from _rows("/v2/order/retrieve-all"))]

    def trades(self, ctx: Context, order_id: str | None = None) -> Flow[list[model.Fill]]:
        path = "/v2/order/trades" if order_id else "/v2/order/trades/get-trades-for-day"
        return [read_fill(row, ctx) for row in (yield from _rows(path, pairs(order_id=order_id)))]

    # -- several -----------------------------------------------------------------------------------------------------

    def place_many(
        self, legs: Sequence[tuple[model.OrderRequest, model.Instrument]], ctx: Context
    ) -> Flow[list[model.Outcome]]:
        if not 0 < len(legs) <= MOST_AT_ONCE:
            raise refused(f"{len(legs)} orders at once, expected 1 to {MOST_AT_ONCE}", "split them")
        algos = {order.algo_id for order, _ in legs}
        if len(algos) > 1:
            raise refused("orders of several algos in one request", "place those of each algo by themselves")
        names = [str(at) for at in range(1, len(legs) + 1)]
        body = [
            order_fields(order, instrument) | {"correlation_id": name}
            for name, (order, instrument) in zip(names, legs, strict=True)
        ]
        # Each of them counts; more than a second's share cannot be asked for at once.
        cost = SECOND_SHARE if any(slices(order) for order, _ in legs) else min(len(legs), SECOND_SHARE)
        reply = yield _several("POST", "/v2/order/multi/place").but(
            headers=pairs(**{"X-Algo-Name": algos.pop()}), json=body, cost=cost
        )
        with reading("reply to several orders"):
            return _fates(names, reply)

    def cancel_many(
        self, ctx: Context, *, exchange: str | None = None, tag: str | None = None
    ) -> Flow[list[model.Outcome]]:
        return (yield from _for_all("DELETE", "/v2/order/multi/cancel", exchange, tag))

    def exit_all(
        self, ctx: Context, *, exchange: str | None = None, tag: str | None = None
    ) -> Flow[list[model.Outcome]]:
        return (yield from _for_all("POST", "/v2/order/positions/exit", exchange, tag))


def slices(order: model.OrderRequest) -> bool:
    """Whether the broker is asked to cut an order into parts."""
    extras = order.extras.get("upstox", {})
    return isinstance(extras, Mapping) and bool(extras.get("slice"))


def order_fields(order: model.OrderRequest, instrument: model.Instrument) -> dict[str, Any]:
    """Write an order as one request, or one of several, carries it."""
    tag = wire_tag(order.wire_id, order.tag, TAG_LENGTH)
    return {
        "quantity": whole(order.quantity),
        "product": PRODUCT.write(order.product),
        "validity": VALIDITY.write(order.time_in_force),
        "price": json_number(order.price),
        "instrument_token": instrument.broker_token,
        "order_type": ORDER_TYPE.write(order.order_type),
        "transaction_type": SIDE.write(order.side),
        "disclosed_quantity": whole(order.display_quantity) if order.display_quantity else 0,
        "trigger_price": json_number(order.trigger_price),
        "is_amo": order.variety is model.Variety.AMO,
        "slice": slices(order),
        **_protection(order.order_type, order.market_protection),
        **({"tag": tag} if tag else {}),
    }


def _rows(path: str, query: tuple[tuple[str, str], ...] = ()) -> Flow[list[Any]]:
    reply = yield Request(path=path, query=query)
    with reading(path):
        return RECORDS.as_rows(path, loads(reply.body), "data")


def _done(reply: Reply, order: model.Order) -> model.Outcome:
    """Read the reply to a change or cancel, which names the order. Raises DecodeError."""
    with reading("order reply"):
        found = reply.json["data"]
        return model.Outcome.accepted(RECORDS.confirmed("order reply", found["order_id"], order.order_id), raw=found)


def _kept_protection(order: model.Order, change: model.OrderChange, order_type: model.OrderType) -> Decimal | None:
    """Return the protection that a change must repeat: one that names none is protected by the broker's own percent.

    Of our own order that had none the broker's is kept; of one that was placed elsewhere nobody tells the percent.
    """
    _check_protection(order_type, change.market_protection)
    if change.market_protection is not None or order_type not in _MARKET:
        return change.market_protection
    if order.market_protection is None and order.order_type in _MARKET and order.origin is not model.Origin.US:
        raise refused(
            f"order {order.order_id} is {order.order_type} and was placed elsewhere: a change would replace the market"
            " protection it has, which the book does not tell",
            "give market_protection with the change",
        )
    return order.market_protection


def _check_protection(order_type: model.OrderType, percent: Any) -> None:
    if percent is None:
        return
    if order_type not in _MARKET:
        raise refused(f"a {order_type} order takes no market_protection", "leave it out")
    if percent != int(percent) or not 1 <= percent <= MOST_PROTECTION:
        raise refused(
            f"market_protection {percent} is not a whole percent from 1 to {MOST_PROTECTION}",
            "leave it out for automatic protection",
        )


def _protection(order_type: model.OrderType, percent: Any) -> dict[str, int]:
    """Return the wire's market_protection: -1 leaves the percent to the broker; without it the order is refused."""
    return {"market_protection": -1 if percent is None else int(percent)} if order_type in _MARKET else {}


# -- several -----------------------------------------------------------------------------------------------------------


def code_of(error: Row) -> str:
    """Return the code of an error, which has two spellings."""
    return str(error.get("error_code") or error.get("errorCode") or "")


def _several(method: str, path: str) -> Request:
    return Request(method=method, path=path, mutates=True, meter="orders", note=SEVERAL)


def _outcome(error: Row, order_id: str | None = None) -> model.Outcome:
    failure = CODES.classify(code=code_of(error), text=str(error.get("message") or ""), status=400, mutates=True)
    return failure.outcome(order_id, raw=error)


def _fates(names: Sequence[str], reply: Reply) -> list[model.Outcome]:
    """Return what became of each leg by its name; of one cut into parts, what became of them.

    A leg that nobody names, or one of another request, leaves open what was done.
    """
    found = reply.json
    fates: dict[str, list[model.Outcome]] = {name: [] for name in names}
    for row in RECORDS.as_rows("orders", found.get("data") or []):
        fates[str(row["correlation_id"]).partition("_")[0]].append(model.Outcome.accepted(row["order_id"], raw=row))
    for row in RECORDS.as_rows("errors", found.get("errors") or []):
        fates[str(row["correlation_id"]).partition("_")[0]].append(_outcome(row))
    return [_folded(name, parts) for name, parts in fates.items()]


def _folded(name: str, parts: Sequence[model.Outcome]) -> model.Outcome:
    if not parts:
        text = f"the reply to several orders does not name leg {name}"
        return model.Outcome.unknown(model.Reject(errors.ErrorKind.MAYBE_SENT, text, effect=errors.Effect.UNKNOWN))
    return parts[0] if len(parts) == 1 else model.Outcome.parent(None, tuple(parts))


def _for_all(method: str, path: str, exchange: str | None, tag: str | None) -> Flow[list[model.Outcome]]:
    """Ask for something about all orders or positions; return what became of each that the broker names."""
    segments = {ours: word for word, ours in SEGMENT.items() if not word.endswith("_INDEX")}
    if exchange is not None and exchange not in segments:
        raise refused(f"there is no exchange {exchange}", f"use one of {', '.join(sorted(segments))}")
    segment = None if exchange is None else segments[exchange]
    request = _several(method, path).but(
        query=pairs(tag=tag, segment=segment), lane=Lane.RISK, answers=frozenset((NOTHING_OPEN,))
    )
    reply = yield request
    if reply.code == NOTHING_OPEN:
        return []
    with reading(path):
        found = reply.json
        done = found.get("data") or {"order_ids": []}
        ids = RECORDS.as_rows(path, done, "order_ids")
        failed = RECORDS.as_rows(path, found.get("errors") or [])
        return [
            *(model.Outcome.accepted(order_id, raw=found) for order_id in ids),
            *(_outcome(row, row.get("order_id")) for row in failed),
        ]
