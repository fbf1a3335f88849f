"""GTT orders, version 3: rules that rest at the broker until a price is reached.

A rule has a trigger and no limit price: its order goes to the market, protected. A unified leg with a limit price would
change its meaning on the way, so it is refused. Type MULTIPLE is an entry with its target and stop; the unified two
legs without an entry do not exist here.
"""

from __future__ import annotations

from typing import Any, Final

from dragoman.plugin import Adapter, Context, EnumMap, ErrorKind, Flow, Request, model
from dragoman.plugin.parts import (
    Pairs,
    Row,
    epoch_ns,
    fetch_rows,
    json_number,
    needed,
    number,
    resting_rule,
    side_of,
    text_or_none,
)

from .words import PRODUCT, RECORDS, SIDE, place_of, read_product, reading, time_ns, whole

G = model.GttStatus
STATUS: Final = EnumMap[model.GttStatus](
    {
        "SCHEDULED": G.ACTIVE,
        "PENDING": G.ACTIVE,
        "TRIGGERED": G.TRIGGERED,
        "OPEN": G.TRIGGERED,
        "COMPLETED": G.TRIGGERED,
        "CANCELLED": G.CANCELED,
        "EXPIRED": G.EXPIRED,
        "FAILED": G.REJECTED,
        "INACTIVE": G.DISABLED,
    },
    unknown=G.UNKNOWN,
)
TYPE: Final = {"SINGLE": model.GttType.SINGLE, "MULTIPLE": model.GttType.TWO_LEG}
PATH: Final = "/v3/order/gtt"
_ONE_TRIGGER: Final = (
    "a GTT without an entry does not exist here: place the entry as an order, then one GTT for the target or the stop"
)


class TriggerFlows(Adapter):
    """The part of the adapter for what is not an order yet."""

    def gtts(self, ctx: Context) -> Flow[list[model.Gtt]]:
        return (yield from _read(ctx))

    def gtt(self, gtt_id: str, ctx: Context) -> Flow[model.Gtt]:
        return resting_rule(RECORDS, (yield from _read(ctx, (("gtt_order_id", gtt_id),))), gtt_id)

    def gtt_place(self, request: model.GttRequest, instrument: model.Instrument, ctx: Context) -> Flow[str]:
        leg = _checked(request)
        body = _terms(request) | {
            "product": PRODUCT.write(leg.product),
            "instrument_token": instrument.broker_token,
            "transaction_type": SIDE.write(leg.side),
        }
        return (yield from _sent("POST", "place", body))

    def gtt_modify(
        self, gtt_id: str, request: model.GttRequest, instrument: model.Instrument, ctx: Context
    ) -> Flow[str]:
        return (yield from _sent("PUT", "modify", _terms(request) | {"gtt_order_id": gtt_id}))

    def gtt_delete(self, gtt_id: str, ctx: Context) -> Flow[str]:
        return (yield from _sent("DELETE", "cancel", {"gtt_order_id": gtt_id}))


def _read(ctx: Context, query: Pairs = ()) -> Flow[list[model.Gtt]]:
    return [read_gtt(row, ctx) for row in (yield from fetch_rows(RECORDS, Request(path=PATH, query=query), "data"))]


def _sent(method: str, what: str, body: dict[str, Any]) -> Flow[str]:
    reply = yield Request(method=method, path=f"{PATH}/{what}", json=body, mutates=True, meter="orders")
    with reading("GTT reply"):
        return str(reply.json["data"]["gtt_order_ids"][0])


def _checked(request: model.GttRequest) -> model.GttLeg:
    leg, several = request.legs[0], len(request.legs) != 1
    kind = f"a GTT's order is a protected MARKET order, not {leg.order_type}: its rules have no price"
    RECORDS.check(
        (several, f"a GTT of {len(request.legs)} legs", _ONE_TRIGGER),
        (leg.order_type is not model.OrderType.MARKET, kind, "give order_type MARKET"),
        kind=ErrorKind.NOT_SUPPORTED,
    )
    at_market = leg.trigger_price == request.last_price
    RECORDS.check((at_market, f"the trigger {leg.trigger_price} is the market's price", "place it above or below"))
    return leg


def _terms(request: model.GttRequest) -> dict[str, Any]:
    leg = _checked(request)
    rule = {
        "strategy": "ENTRY",
        "trigger_type": "ABOVE" if leg.trigger_price > request.last_price else "BELOW",
        "trigger_price": json_number(leg.trigger_price),
        "market_protection": -1,
    }
    return {"type": "SINGLE", "quantity": whole(leg.quantity), "rules": [rule]}


def read_gtt(row: Row, ctx: Context) -> model.Gtt:
    """Read one GTT: every rule a leg. It is active as long as one of its rules is. Raises DecodeError."""
    with reading("GTT"):
        name, exchange = place_of(row, ctx)
        quantity, product = needed(row, "quantity"), read_product(row.get("product"), exchange)
        legs = tuple(
            model.GttLeg(
                trigger_price=needed(rule, "trigger_price"),
                side=side_of(SIDE, rule.get("transaction_type") or row["transaction_type"]),
                quantity=quantity,
                price=number(0),
                order_type=model.OrderType.MARKET,
                product=product,
                result=_result(rule),
            )
            for rule in row["rules"]
        )
        words = [str(rule["status"]) for rule in row["rules"]]
        states = [STATUS.read(word) for word in words]
        return model.Gtt(
            broker="upstox",
            account_id=ctx.account,
            gtt_id=str(row["gtt_order_id"]),
            instrument_id=name,
            type=TYPE[row["type"]],
            status=G.ACTIVE if G.ACTIVE in states else states[0],
            raw_status=" ".join(words),
            legs=legs,
            ts_created=_when(row.get("created_at")),
            ts_expires=_when(row.get("expires_at")),
            raw=row,
        )


def _result(rule: Row) -> model.GttResult | None:
    order_id, message = text_or_none(rule.get("order_id")), text_or_none(rule.get("message"))
    told = order_id is not None or message is not None
    return model.GttResult(order_id=order_id, status=str(rule["status"]), reason=message) if told else None


def _when(value: Any) -> int | None:
    """Read a time that the documentation has as text and the official client as a number of unstated unit."""
    counted = isinstance(value, int) or (isinstance(value, str) and value.isdecimal())
    return epoch_ns(int(value)) if counted else time_ns(value)
