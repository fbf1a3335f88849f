"""GTT orders: one trigger with its limit order, or two around the market of which the first that fires ends the other.

References
----------
Documentation, GTT orders, and the official Go SDK for the fields of the book; both legs stand flat in one record there.
"""

from __future__ import annotations

from typing import Any, Final

from dragoman.plugin import Adapter, Context, EnumMap, ErrorKind, Flow, Request, model
from dragoman.plugin.parts import Row, json_number, needed, number, resting_rule, side_of, text_or_none

from .words import PRODUCT, RECORDS, SIDE, booked, place_of, reading, rows, time_ns, whole

G = model.GttStatus
STATUS: Final = EnumMap[model.GttStatus](
    {"1": G.CANCELED, "2": G.TRIGGERED, "4": G.ACTIVE, "5": G.REJECTED, "6": G.ACTIVE, "7": G.EXPIRED},
    unknown=G.UNKNOWN,
)
TYPE: Final = {"1": model.GttType.SINGLE, "2": model.GttType.TWO_LEG}
BOOK: Final = "/api/v3/gtt/orders"
PATH: Final = f"{BOOK}/sync"


class TriggerFlows(Adapter):
    """The part of the adapter for what is not an order yet."""

    def gtts(self, ctx: Context) -> Flow[list[model.Gtt]]:
        return [read_gtt(row, ctx) for row in (yield from rows(BOOK, "orderBook"))]

    def gtt(self, gtt_id: str, ctx: Context) -> Flow[model.Gtt]:
        return resting_rule(RECORDS, (yield from self.gtts(ctx)), gtt_id)

    def gtt_place(self, request: model.GttRequest, instrument: model.Instrument, ctx: Context) -> Flow[str]:
        first = request.legs[0]
        body = {
            "side": int(SIDE.write(first.side)),
            "symbol": instrument.broker_symbol,
            "productType": PRODUCT.write(first.product),
            "orderInfo": _legs(request),
        }
        return (yield from _sent("POST", body))

    def gtt_modify(
        self, gtt_id: str, request: model.GttRequest, instrument: model.Instrument, ctx: Context
    ) -> Flow[str]:
        return (yield from _sent("PATCH", {"id": gtt_id, "orderInfo": _legs(request)}))

    def gtt_delete(self, gtt_id: str, ctx: Context) -> Flow[str]:
        return (yield from _sent("DELETE", {"id": gtt_id}))


def _sent(method: str, body: dict[str, Any]) -> Flow[str]:
    reply = yield Request(method=method, path=PATH, json=body, mutates=True)
    with reading("GTT reply"):
        return str(reply.json.get("id") or body["id"])


def _legs(request: model.GttRequest) -> dict[str, Any]:
    """Write the legs: of two, the first is the one above the market."""
    RECORDS.check(
        (
            any(leg.order_type is not model.OrderType.LIMIT for leg in request.legs),
            "a GTT's order is a LIMIT order",
            "give a price",
        ),
        (
            len({(leg.side, leg.product) for leg in request.legs}) > 1,
            "the legs of a GTT have one side and one product",
            "place two GTTs",
        ),
        kind=ErrorKind.NOT_SUPPORTED,
    )
    return {
        f"leg{at}": {
            "price": json_number(leg.price),
            "triggerPrice": json_number(leg.trigger_price),
            "qty": whole(leg.quantity),
        }
        for at, leg in enumerate(sorted(request.legs, key=lambda leg: -leg.trigger_price), 1)
    }


def read_gtt(row: Row, ctx: Context) -> model.Gtt:
    """Read one record of the book: its legs, the lower trigger first. Raises DecodeError."""
    with reading("GTT"):
        name, _ = place_of(booked(row), ctx)
        way, product, word = (
            side_of(SIDE, row["tran_side"]),
            PRODUCT.read(row.get("product_type")),
            str(row["ord_status"]),
        )
        status = STATUS.read(word)
        legs = [
            model.GttLeg(
                trigger_price=needed(row, f"price{mark}_trigger"),
                side=way,
                quantity=needed(row, f"qty{mark}"),
                price=number(row.get(f"price{mark}_limit")),
                product=product,
                # Which leg fired, and what became of its order, the book does not say.
                result=model.GttResult(order_id=None, status=word, reason=text_or_none(row.get("oms_msg")))
                if status in (G.TRIGGERED, G.REJECTED)
                else None,
            )
            for mark in ("", "2")
            if mark == "" or TYPE.get(str(row.get("gtt_oco_ind"))) is model.GttType.TWO_LEG
        ]
        return model.Gtt(
            broker="fyers",
            account_id=ctx.account,
            gtt_id=str(row["id"]),
            instrument_id=name,
            type=TYPE[str(row["gtt_oco_ind"])],
            status=status,
            raw_status=word,
            legs=tuple(sorted(legs, key=lambda leg: leg.trigger_price)),
            ts_created=time_ns(row.get("create_time_epoch")) or time_ns(row.get("create_time")),
            raw=row,
        )
