"""FYERS' words and records of orders and trades, read into the unified model.

Most enums are integers on the wire. The order socket names the same fields otherwise than the book (`STREAM_NAMES`) and
leaves out those that are 0. Numbers are rupees, times Indian wall clock in three spellings.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from dragoman.plugin import CodeTable, Context, EnumMap, Flow, Request, indian, model
from dragoman.plugin.parts import OrderRows, Pairs, Records, Row, fetch, json_number, text_or_none

RECORDS: Final = Records("fyers")
reading, loads, refused, whole = RECORDS.reading, RECORDS.loads, RECORDS.refused, RECORDS.whole
CODES: Final = CodeTable.load(__package__ or "dragoman.adapters.fyers")

S = model.OrderStatus
STATUS: Final = EnumMap[model.OrderStatus](
    {
        "1": S.CANCELED,
        "2": S.FILLED,
        "4": S.ACCEPTED,
        "5": S.REJECTED,
        "6": S.OPEN,
        "7": S.EXPIRED,
        "20": S.ACCEPTED,  # of the order socket, where the status of the book is missing
    },
    unknown=S.UNKNOWN,
)
"""3 is reserved by the broker. 90 was seen once: the number behind the colon of `orderNumStatus` counts then."""
SIDE: Final = EnumMap[model.Side | None]({"1": model.Side.BUY, "-1": model.Side.SELL}, unknown=None)
ORDER_TYPE: Final = EnumMap[model.OrderType](
    {
        "1": model.OrderType.LIMIT,
        "2": model.OrderType.MARKET,
        "3": model.OrderType.STOP_MARKET,
        "4": model.OrderType.STOP_LIMIT,
    },
    unknown=model.OrderType.UNKNOWN,
)
P = model.Product
PRODUCT: Final = EnumMap[model.Product](
    {"CNC": P.DELIVERY, "INTRADAY": P.INTRADAY, "MARGIN": P.CARRY, "MTF": P.MTF, "CO": P.COVER, "BO": P.BRACKET},
    unknown=P.UNKNOWN,
)
VALIDITY: Final = EnumMap[model.TimeInForce](
    {"DAY": model.TimeInForce.DAY, "IOC": model.TimeInForce.IOC}, unknown=model.TimeInForce.UNKNOWN
)
VENUE: Final = {
    "1010": "NSE",
    "1011": "NFO",
    "1012": "CDS",
    "1020": "NCO",
    "1210": "BSE",
    "1211": "BFO",
    "1212": "BCD",
    "1120": "MCX",
}
"""Exchange and segment, as a record has them side by side and a token of the broker begins."""
HSM_SEGMENT: Final = {
    "1010": "nse_cm",
    "1011": "nse_fo",
    "1012": "cde_fo",
    "1020": "nse_com",
    "1120": "mcx_fo",
    "1210": "bse_cm",
    "1211": "bse_fo",
    "1212": "bcs_fo",
}
STREAM_NAMES: Final = {
    "id_parent": "parentId",
    "id_exchange": "exchOrdId",
    "qty_remaining": "remainingQuantity",
    "qty_filled": "filledQty",
    "qty_disc": "discloseQty",
    "price_limit": "limitPrice",
    "price_stop": "stopPrice",
    "price_traded": "tradedPrice",
    "fy_token": "fyToken",
    "oms_msg": "message",
    "offline_flag": "offlineOrder",
    "org_ord_status": "status",
    "ord_type": "type",
    "tran_side": "side",
    "product_type": "productType",
    "validity": "orderValidity",
    "time_oms": "orderDateTime",
    "ordertag": "orderTag",
    "id_fill": "tradeNumber",
    "qty_traded": "tradedQty",
}
"""The order socket's names -> the book's; trades have their order's id under ``id``."""

_TAGGED, _UNTAGGED = "1:", "2:"
_NO_TIMES_BEFORE: Final = 347_155_200_000_000_000
"""1981: what is earlier stands for no time."""


def time_ns(text: Any) -> int | None:
    """Return ns UTC of ``09-Mar-2023 09:34:38``, of ``09-03-2023 09:34:38`` or of epoch seconds.

    None where there is none: empty, ``NA``, or before 1981.
    """
    if text in (None, "", "NA", 0):
        return None
    if isinstance(text, int | Decimal) or (isinstance(text, str) and text.isdecimal()):
        return int(text) * 1_000_000_000
    found = indian.day_first_ns(text)
    if found is None:
        raise ValueError(f"{text!r} is no time")
    return found if found > _NO_TIMES_BEFORE else None


def venue_of(row: Row) -> str:
    """Return our name of the exchange and segment a record is of."""
    code = f"{row['exchange']}{row['segment']}" if "segment" in row else str(row.get("fyToken") or "")[:4]
    return VENUE.get(code, f"FYERS{code}")


def place_of(row: Row, ctx: Context) -> tuple[str, str]:
    """Return canonical id and exchange of a record's instrument; one that no master holds keeps the broker's symbol."""
    symbol = str(row.get("symbol") or "")
    bare = symbol.partition(":")[2].removesuffix("-EQ")
    return indian.place_of(ctx, str(row.get("fyToken") or ""), venue_of(row), symbol, bare)


def listed(what: str, body: Any, key: str) -> list[Any]:
    """Return the list of a reply; one that says there is no data needs none. Raises DecodeError."""
    with reading(what):
        empty = body.get("s") == "no_data" and key not in body
        return [] if empty else RECORDS.as_rows(what, body, key)


def rows(path: str, key: str, query: Pairs = ()) -> Flow[list[Any]]:
    """Read the list of a path."""
    return listed(path, (yield from fetch(RECORDS, Request(path=path, query=query))), key)


def done(body: Any, code: int, order_id: str) -> str:
    """Return the id in a reply to a change or cancel, which says with `code` that it was done. Raises DecodeError."""
    with reading("order reply"):
        if body["code"] != code:
            raise ValueError(f"code is {body['code']!r}, expected {code}")
        return RECORDS.confirmed("order reply", body.get("id"), order_id)


def booked(row: Row) -> Row:
    """Return a record of the order socket under the names of the book; nothing filled is left out there."""
    return {"filledQty": 0} | {STREAM_NAMES.get(name, name): value for name, value in row.items()}


def read_tag(value: Any) -> str | None:
    """Return what was given as tag: the broker writes a number and a colon before it."""
    text = text_or_none(value)
    if text is None or text.startswith(_UNTAGGED):
        return None
    return text.removeprefix(_TAGGED) or None


def authorization(ctx: Context, token: str) -> tuple[str, str]:
    """Return the header of a token, which goes behind the app's id."""
    return "Authorization", f"{ctx.credentials['app_id'].reveal()}:{token}"


def order_terms(order: model.OrderRequest, instrument: model.Instrument) -> dict[str, Any]:
    """Write what an order is, as requests to place it and to ask for its margin carry it."""
    return {
        "symbol": instrument.broker_symbol,
        "qty": whole(order.quantity),
        "type": int(ORDER_TYPE.write(order.order_type)),
        "side": int(SIDE.write(order.side)),
        "productType": PRODUCT.write(order.product),
        "limitPrice": json_number(order.price),
        "stopPrice": json_number(order.trigger_price),
        "stopLoss": 0,
        "takeProfit": 0,
    }


def _status(row: Row) -> tuple[str, model.OrderStatus]:
    word = str(row.get("status", row.get("ord_status")))
    status = STATUS.read(word)
    if status is S.UNKNOWN:
        status = STATUS.read(str(row.get("orderNumStatus") or "").rpartition(":")[2])
    # The broker has one word for all that rests, also for stops that wait.
    waits = status is S.OPEN and ORDER_TYPE.read(str(row.get("type"))).has_trigger
    return word, S.TRIGGER_PENDING if waits else status


ROWS: Final = OrderRows(
    records=RECORDS,
    codes=CODES,
    keys={
        "quantity": "qty",
        "filled": "filledQty",
        "side": "side",
        "order_type": "type",
        "product": "productType",
        "validity": "orderValidity",
        "order_id": "id",
        "exchange_order_id": "exchOrdId",
        "parent_order_id": "parentId",
        "price": "limitPrice",
        "trigger_price": "stopPrice",
        "average_price": "tradedPrice",
        "display_quantity": "discloseQty",
        "text": "message",
        "tag": "orderTag",
        "account": ("clientId", "client_id"),
        "placed_by": ("source", "ord_source"),
        "created": ("time_epoch_oms", "orderDateTime"),
        "changed": ("time_epoch_oms", "orderDateTime", "update_time_epoch_oms"),
    },
    # Of the trade book, and (under its names) of the order socket.
    fill_keys={
        "trade_id": "tradeNumber",
        "order_id": ("orderNumber", "id"),
        "exchange_order_id": ("exchangeOrderNo", "exchOrdId"),
        "side": "side",
        "product": "productType",
        "quantity": "tradedQty",
        "price": ("tradePrice", "tradedPrice"),
    },
    status=_status,
    place=place_of,
    side=SIDE,
    order_type=ORDER_TYPE,
    validity=VALIDITY,
    product=lambda word, _: PRODUCT.read(word),
    variety=lambda row: model.Variety.AMO if row.get("offlineOrder") else model.Variety.REGULAR,
    time_ns=time_ns,
    fill_time=lambda row, _: time_ns(row.get("fill_time")) or time_ns(row.get("orderDateTime")),
    tag=read_tag,
)
read_order, read_fill = ROWS.order, ROWS.fill
