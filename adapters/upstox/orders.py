"""Orders: placed, changed and canceled one by one, and several with one request.

References
----------
Documentation, orders (version 3) and multi-order calls (version 2: place and cancel several, exit all positions).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from dragoman.plugin import Adapter, Context, Flow, Lane, Reply, Request, errors, model
from dragoman.plugin.parts import (
    CASH_PRODUCTS,
    CONTRACT_PRODUCTS,
    SHARES,
    Row,
    at_once,
    changed,
    check_protection,
    fetch_rows,
    json_number,
    kept_protection,
    pairs,
    together,
    wire_protection,
    wire_tag,
)

from .words import (
    CODES,
    ORDER_TYPE,
    PRODUCT,
    RECORDS,
    SEGMENT,
    SIDE,
    VALIDITY,
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
_PRODUCTS: Final = {
    **dict.fromkeys(SHARES, CASH_PRODUCTS),
    **dict.fromkeys(("NFO", "BFO", "CDS", "BCD", "NCO"), CONTRACT_PRODUCTS),
}
_PLACE: Final = Request(method="POST", host="order", path="/v3/order/place", mutates=True, meter="orders")
_MODIFY: Final = _PLACE.but(method="PUT", path="/v3/order/modify")
_CANCEL: Final = _PLACE.but(method="DELETE", path="/v3/order/cancel", lane=Lane.RISK)


class OrderFlows(Adapter):
    """The part of the adapter for orders."""

    def check_order(self, order: model.OrderRequest, instrument: model.Instrument) -> model.OrderRequest:
        check_protection(RECORDS, order.order_type, order.market_protection, most=MOST_PROTECTION, whole=True)
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
        body = order_fields(order, instrument)
        reply = yield _PLACE.but(
            headers=pairs(**{"X-Algo-Name": order.algo_id}), json=body, cost=SECOND_SHARE if body["slice"] else 1
        )
        with reading("order reply"):
            found = (reply.parsed or reply.json)["data"]
            ids = RECORDS.as_rows("order reply", found, "order_ids")
            return together([model.Outcome.accepted(order_id, raw=found) for order_id in ids], raw=found)

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
        check_protection(RECORDS, order_type, change.market_protection, most=MOST_PROTECTION, whole=True)
        percent = kept_protection(RECORDS, order, change)
        price = change.price if change.price is not None else order.price
        trigger = change.trigger_price if change.trigger_price is not None else order.trigger_price
        body: dict[str, Any] = {
            "order_id": order.order_id,
            "validity": VALIDITY.write(validity),
            "order_type": ORDER_TYPE.write(order_type),
            "price": json_number(price if order_type.has_price else None),
            "trigger_price": json_number(trigger if order_type.has_trigger else None),
        } | wire_protection(order_type, percent)
        sizes = (("quantity", change.quantity), ("disclosed_quantity", change.display_quantity))
        body |= {name: whole(size) for name, size in sizes if size is not None}
        reply = yield _MODIFY.but(json=body)
        return changed(RECORDS, reply, order)

    def cancel(self, order: model.Order, ctx: Context) -> Flow[model.Outcome]:
        reply = yield _CANCEL.but(query=(("order_id", order.order_id),))
        return changed(RECORDS, reply, order)

    def order(self, order_id: str, ctx: Context) -> Flow[list[model.Order]]:
        request = Request(path="/v2/order/history", query=(("order_id", order_id),))
        return [read_order(row, ctx) for row in (yield from fetch_rows(RECORDS, request, "data"))]

    def orders(self, ctx: Context) -> Flow[list[model.Order]]:
        found = yield from fetch_rows(RECORDS, Request(path="/v2/order/retrieve-all"), "data")
        return [read_order(row, ctx) for row in found]

    def trades(self, ctx: Context, order_id: str | None = None) -> Flow[list[model.Fill]]:
        path = "/v2/order/trades" if order_id else "/v2/order/trades/get-trades-for-day"
        found = yield from fetch_rows(RECORDS, Request(path=path, query=pairs(order_id=order_id)), "data")
        return [read_fill(row, ctx) for row in found]

    # -- several -----------------------------------------------------------------------------------------------------

    def place_many(
        self, legs: Sequence[tuple[model.OrderRequest, model.Instrument]], ctx: Context
    ) -> Flow[list[model.Outcome]]:
        algos = {order.algo_id for order, _ in legs}
        RECORDS.check(
            at_once(len(legs), MOST_AT_ONCE),
            (len(algos) > 1, "orders of several algos in one request", "place those of each algo by themselves"),
        )
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
    extras = order.extras.get("upstox")
    return bool(extras) and isinstance(extras, Mapping) and bool(extras.get("slice"))


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
        **wire_protection(order.order_type, order.market_protection),
        **({"tag": tag} if tag else {}),
    }


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
    text = f"the reply to several orders does not name leg {name}"
    lost = model.Reject(errors.ErrorKind.MAYBE_SENT, text, effect=errors.Effect.UNKNOWN)
    return together(parts) if parts else model.Outcome.unknown(lost)


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
