"""GTT triggers and price alerts: what rests at the broker without being an order.

References
----------
Kite Connect 3 documentation, GTT and alerts; gokiteconnect `gtt.go`, `alerts.go` (the basket of an alert that places
orders); kiteconnect-mocks `gtt_*.json`, `alerts_*.json`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

from dragoman.plugin import Adapter, Context, EnumMap, ErrorKind, Flow, Request, model
from dragoman.plugin.records import Pairs, Row, needed, number, pairs, plain, side_of, text_or_none

from .forms import data, fetch, rows, whole
from .words import ORDER_TYPE, PRODUCT, RECORDS, SIDE, VALIDITY, VARIETY, instrument_id, reading, refused, time_ns

G, A = model.GttStatus, model.AlertStatus
GTT_TYPE: Final = {"single": model.GttType.SINGLE, "two-leg": model.GttType.TWO_LEG}
GTT_STATUS: Final = EnumMap[model.GttStatus](
    {
        "active": G.ACTIVE,
        "triggered": G.TRIGGERED,
        "disabled": G.DISABLED,
        "expired": G.EXPIRED,
        "cancelled": G.CANCELED,
        "rejected": G.REJECTED,
        "deleted": G.DELETED,
    },
    unknown=G.UNKNOWN,
)
ALERT_STATUS: Final = EnumMap[model.AlertStatus](
    {"enabled": A.ENABLED, "disabled": A.DISABLED, "deleted": A.DELETED}, unknown=A.UNKNOWN
)
ATTRIBUTE: Final = {
    "last_price": "LastTradedPrice",
    "high": "HighPrice",
    "low": "LowPrice",
    "open": "OpenPrice",
    "close": "ClosePrice",
    "last_quantity": "LastTradedQuantity",
    "average_price": "AverageTradePrice",
    "volume": "Volume",
    "oi": "OI",
    "buy_quantity": "TotalBuyQuantity",
    "sell_quantity": "TotalSellQuantity",
}
_ATTRIBUTE_OF: Final = {word: name for name, word in ATTRIBUTE.items()}
OPERATORS: Final = ("<=", ">=", "<", ">", "==")
GTT_EXCHANGES: Final = frozenset(("NSE", "BSE", "NFO", "BFO"))
INDEX_EXCHANGE: Final = "INDICES"


class TriggerFlows(Adapter):
    """The part of the adapter for what is not an order yet."""

    def gtts(self, ctx: Context) -> Flow[list[model.Gtt]]:
        return [read_gtt(row, ctx) for row in (yield from rows("/gtt/triggers"))]

    def gtt(self, gtt_id: str, ctx: Context) -> Flow[model.Gtt]:
        return read_gtt((yield from data(_gtt(gtt_id))), ctx)

    def gtt_place(self, request: model.GttRequest, instrument: model.Instrument, ctx: Context) -> Flow[str]:
        return (yield from _sent("POST", "/gtt/triggers", _gtt_form(request, instrument)))

    def gtt_modify(
        self, gtt_id: str, request: model.GttRequest, instrument: model.Instrument, ctx: Context
    ) -> Flow[str]:
        return (yield from _sent("PUT", _gtt(gtt_id), _gtt_form(request, instrument)))

    def gtt_delete(self, gtt_id: str, ctx: Context) -> Flow[str]:
        return (yield from _sent("DELETE", _gtt(gtt_id), None))

    def alerts(self, ctx: Context, alert_id: str | None = None) -> Flow[list[model.Alert]]:
        if alert_id is not None:
            return [read_alert((yield from data(_alert(alert_id))), ctx)]
        return [read_alert(row, ctx) for row in (yield from rows("/alerts"))]

    def alert_create(self, request: model.AlertRequest, ctx: Context) -> Flow[model.Alert]:
        return (yield from _alerted("POST", "/alerts", request, ctx))

    def alert_modify(self, alert_id: str, request: model.AlertRequest, ctx: Context) -> Flow[model.Alert]:
        return (yield from _alerted("PUT", _alert(alert_id), request, ctx))

    def alert_delete(self, alert_ids: Sequence[str], ctx: Context) -> Flow[None]:
        if not alert_ids:
            raise refused("no alert is named", "name the alerts to delete")
        query = tuple(("uuid", name) for name in alert_ids)
        yield Request(method="DELETE", path="/alerts", query=query, mutates=True)

    def alert_history(self, alert_id: str, ctx: Context) -> Flow[list[model.AlertEvent]]:
        path = f"{_alert(alert_id)}/history"
        with reading("alert history"):
            return [
                model.AlertEvent(
                    alert_id=str(row["uuid"]),
                    condition=str(row.get("condition") or ""),
                    last_prices=tuple(
                        (_name(item["exchange"], item["tradingsymbol"], ctx), needed(item, "last_price"))
                        for item in row.get("meta") or ()
                    ),
                    ts_event=time_ns(row.get("created_at")),
                    raw=row,
                )
                for row in (yield from rows(path))
            ]


# -- GTT -------------------------------------------------------------------------------------------------------------


def _gtt(gtt_id: str) -> str:
    return f"/gtt/triggers/{quote(gtt_id, safe='')}"


def _sent(method: str, path: str, form: Pairs | None) -> Flow[str]:
    found = yield from fetch(Request(method=method, path=path, form=form, mutates=True))
    with reading("GTT reply"):
        return str(found["trigger_id"])


def _gtt_form(request: model.GttRequest, instrument: model.Instrument) -> Pairs:
    if instrument.exchange not in GTT_EXCHANGES:
        raise refused(
            f"GTTs on {instrument.exchange} are not offered: the documents leave open what their quantities count",
            f"use one of {', '.join(sorted(GTT_EXCHANGES))}",
            kind=ErrorKind.NOT_SUPPORTED,
        )
    triggers = [leg.trigger_price for leg in request.legs]
    if len(triggers) not in (1, 2) or sorted(set(triggers)) != triggers:
        raise refused(f"triggers {', '.join(map(str, triggers))}", "give one, or two of which the lower comes first")
    if len(triggers) == 2 and not triggers[0] < request.last_price < triggers[1]:
        raise refused(
            f"the market at {request.last_price} is not between the triggers {triggers[0]} and {triggers[1]}",
            "place the lower trigger below the market and the higher above",
        )
    if len(triggers) == 1 and triggers[0] == request.last_price:
        raise refused(f"the trigger {triggers[0]} is the market's price", "place it above or below")
    if any(leg.order_type is not model.OrderType.LIMIT for leg in request.legs):
        raise refused("the orders of a GTT are LIMIT orders", "give a price beyond the trigger")
    names = {"exchange": instrument.exchange, "tradingsymbol": instrument.broker_symbol}
    condition = names | {"trigger_values": [float(one) for one in triggers], "last_price": float(request.last_price)}
    orders = [
        names
        | {
            "transaction_type": SIDE.write(leg.side),
            "quantity": int(whole(leg.quantity) or 0),
            "order_type": ORDER_TYPE.write(leg.order_type),
            "product": PRODUCT.write(leg.product),
            "price": float(leg.price),
        }
        for leg in request.legs
    ]
    word = next(word for word, kind in GTT_TYPE.items() if kind is request.type)
    return pairs(type=word, condition=json.dumps(condition), orders=json.dumps(orders))


def read_gtt(row: Row, ctx: Context) -> model.Gtt:
    """Read one GTT. Raises DecodeError."""
    with reading("GTT"):
        condition = row["condition"]
        last = condition.get("last_price")
        return model.Gtt(
            broker="zerodha",
            account_id=ctx.account or str(row.get("user_id") or ""),
            gtt_id=str(row["id"]),
            instrument_id=instrument_id(condition, ctx),
            type=GTT_TYPE[row["type"]],
            status=GTT_STATUS.read(row["status"]),
            raw_status=str(row["status"]),
            legs=tuple(
                _leg(order, number(trigger))
                for trigger, order in zip(condition["trigger_values"], row["orders"], strict=True)
            ),
            last_price=None if last is None else number(last),
            parent_id=text_or_none(row.get("parent_trigger")),
            ts_created=time_ns(row.get("created_at")),
            ts_updated=time_ns(row.get("updated_at")),
            ts_expires=time_ns(row.get("expires_at")),
            raw=row,
        )


def _leg(row: Row, trigger: Decimal) -> model.GttLeg:
    return model.GttLeg(
        trigger_price=trigger,
        side=side_of(SIDE, row["transaction_type"]),
        quantity=needed(row, "quantity"),
        price=needed(row, "price"),
        order_type=ORDER_TYPE.read(row.get("order_type")),
        product=PRODUCT.read(row.get("product")),
        result=None if row.get("result") is None else _result(row["result"]),
    )


def _result(row: Row) -> model.GttResult:
    order = row.get("order_result") or {}
    return model.GttResult(
        order_id=text_or_none(order.get("order_id")),
        status=str(order.get("status") or ""),
        reason=text_or_none(order.get("rejection_reason")),
        trigger_price=needed(row, "triggered_at") if row.get("triggered_at") else None,
        ts_triggered=time_ns(row.get("timestamp")),
    )


# -- alerts ----------------------------------------------------------------------------------------------------------


def _alert(alert_id: str) -> str:
    return f"/alerts/{quote(alert_id, safe='')}"


def _alerted(method: str, path: str, request: model.AlertRequest, ctx: Context) -> Flow[model.Alert]:
    found = yield from fetch(Request(method=method, path=path, form=_alert_form(request, ctx), mutates=True))
    return read_alert(found, ctx)


def _alert_form(request: model.AlertRequest, ctx: Context) -> Pairs:
    if request.operator not in OPERATORS:
        raise refused(f"alerts know no operator {request.operator!r}", f"use one of {' '.join(OPERATORS)}")
    if (request.value is None) == (request.other_instrument_id is None):
        raise refused("an alert compares with a value or with another instrument", "give exactly one of the two")
    left = _side("lhs", request.instrument_id, request.attribute, ctx)
    if request.other_instrument_id is None:
        right = pairs(rhs_type="constant", rhs_constant=plain(request.value))
    else:
        right = (("rhs_type", "instrument"), *_side("rhs", request.other_instrument_id, request.other_attribute, ctx))
    kind = "ato" if request.orders else "simple"
    basket = json.dumps(_basket(request, ctx)) if request.orders else None
    head = pairs(name=request.name, type=kind)
    return (*head, *left, ("operator", request.operator), *right, *pairs(basket=basket))


def _side(which: str, name: str, attribute: str, ctx: Context) -> Pairs:
    instrument = RECORDS.instrument(name, ctx)
    if attribute not in ATTRIBUTE:
        raise refused(f"alerts know no {attribute!r}", f"use one of {', '.join(ATTRIBUTE)}")
    index = instrument.instrument_type is model.InstrumentType.INDEX
    return (
        (f"{which}_exchange", INDEX_EXCHANGE if index else instrument.exchange),
        (f"{which}_tradingsymbol", instrument.broker_symbol),
        (f"{which}_attribute", ATTRIBUTE[attribute]),
    )


def _basket(request: model.AlertRequest, ctx: Context) -> dict[str, Any]:
    items = []
    for number_, order in enumerate(request.orders, 1):
        exchange, symbol = (value for _, value in _side("lhs", order.instrument_id, "last_price", ctx)[:2])
        params = {
            "transaction_type": SIDE.write(order.side),
            "product": PRODUCT.write(order.product),
            "order_type": ORDER_TYPE.write(order.order_type),
            "validity": VALIDITY.write(order.time_in_force),
            "variety": VARIETY.write(order.variety),
            "quantity": int(whole(order.quantity) or 0),
            "price": float(order.price or 0),
            "trigger_price": float(order.trigger_price or 0),
            "disclosed_quantity": int(order.display_quantity or 0),
            "tags": [order.tag] if order.tag else [],
        }
        items.append(
            {"type": "insert", "exchange": exchange, "tradingsymbol": symbol, "weight": number_, "params": params}
        )
    return {"name": request.name, "type": "alert", "tags": [], "items": items}


def read_alert(row: Row, ctx: Context) -> model.Alert:
    """Read one alert. Raises DecodeError."""
    with reading("alert"):
        other = row.get("rhs_tradingsymbol")
        return model.Alert(
            broker="zerodha",
            account_id=ctx.account or str(row.get("user_id") or ""),
            alert_id=str(row["uuid"]),
            name=str(row.get("name") or ""),
            instrument_id=_name(row["lhs_exchange"], row["lhs_tradingsymbol"], ctx),
            attribute=_ATTRIBUTE_OF.get(row["lhs_attribute"], str(row["lhs_attribute"])),
            operator=str(row["operator"]),
            value=None if other else number(row.get("rhs_constant")),
            other_instrument_id=_name(row["rhs_exchange"], other, ctx) if other else None,
            other_attribute=_ATTRIBUTE_OF.get(row["rhs_attribute"], str(row["rhs_attribute"])) if other else None,
            status=ALERT_STATUS.read(row["status"]),
            raw_status=str(row["status"]),
            disabled_reason=text_or_none(row.get("disabled_reason")),
            places_orders=row.get("type") == "ato",
            count=int(row.get("alert_count") or 0),
            ts_created=time_ns(row.get("created_at")),
            ts_updated=time_ns(row.get("updated_at")),
            raw=row,
        )


def _name(exchange: str, symbol: str, ctx: Context) -> str:
    """Return the canonical id: alerts write INDICES where the master lists an index under its exchange."""
    places = ("NSE", "BSE", "MCX") if exchange == INDEX_EXCHANGE else (exchange,)
    found = (ctx.instruments.by_broker_symbol(place, symbol) for place in places)
    instrument = next(filter(None, found), None)
    return instrument.instrument_id if instrument else str(model.CanonicalId(exchange, symbol))
