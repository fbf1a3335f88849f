"""FYERS' words and records of orders and trades, read into the unified model.

Most enums are integers on the wire. The order socket names the same fields otherwise than the book (`STREAM_NAMES`) and
leaves out those that are 0. Numbers are rupees, times Indian wall clock in three spellings.
"""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from dragoman.plugin import CodeTable, Context, EnumMap, model
from dragoman.plugin.records import IST, Records, Row, moment_ns, needed, nonzero, number, text_or_none

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

_MONTHS: Final = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_DAY_FIRST: Final = re.compile(r"(\d\d?)-([A-Z][a-z]{2}|\d\d)-(\d{4}) (\d\d):(\d\d):(\d\d)")
_TAGGED, _UNTAGGED = "1:", "2:"


def time_ns(text: Any) -> int | None:
    """Return ns UTC of ``09-Mar-2023 09:34:38``, of ``09-03-2023 09:34:38`` or of epoch seconds.

    None where there is none: empty, ``NA``, or before 1980.
    """
    if text in (None, "", "NA", 0):
        return None
    if isinstance(text, int | Decimal) or (isinstance(text, str) and text.isdecimal()):
        return int(text) * 1_000_000_000
    found = _DAY_FIRST.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no time")
    day, month, year, hour, minute, second = found.groups()
    month_number = int(month) if month.isdecimal() else _MONTHS.index(month) + 1
    moment = datetime(int(year), month_number, int(day), int(hour), int(minute), int(second), tzinfo=IST)
    return moment_ns(moment) if moment.year > 1980 else None


def venue_of(row: Row) -> str:
    """Return our name of the exchange and segment a record is of."""
    code = f"{row['exchange']}{row['segment']}" if "segment" in row else str(row.get("fyToken") or "")[:4]
    return VENUE.get(code, f"FYERS{code}")


def place_of(row: Row, ctx: Context) -> tuple[str, str]:
    """Return canonical id and exchange of a record's instrument.

    One that the master does not hold (expired since, or no master is loaded) keeps the broker's symbol.
    """
    found = ctx.instruments.by_broker_token(str(row.get("fyToken") or ""))
    if found is not None:
        return found.instrument_id, found.exchange
    symbol, exchange = str(row["symbol"]), venue_of(row)
    named = ctx.instruments.by_broker_symbol(exchange, symbol)
    if named is not None:
        return named.instrument_id, exchange
    return str(model.CanonicalId(exchange, symbol.partition(":")[2].removesuffix("-EQ") or symbol)), exchange


def side(value: Any) -> model.Side:
    found = SIDE.read(str(value))
    if found is None:
        raise ValueError(f"side {value!r} is neither 1 nor -1")
    return found


def listed(what: str, body: Any, key: str) -> list[Any]:
    """Return the list of a reply; one that says there is no data needs none. Raises DecodeError."""
    with reading(what):
        empty = body.get("s") == "no_data" and key not in body
        return [] if empty else RECORDS.as_rows(what, body, key)


def done(body: Any, code: int, order_id: str) -> str:
    """Return the id in a reply to a change or cancel, which says with `code` that it was done. Raises DecodeError."""
    with reading("order reply"):
        if body["code"] != code:
            raise ValueError(f"code is {body['code']!r}, expected {code}")
        return RECORDS.confirmed("order reply", body.get("id"), order_id)


def booked(row: Row) -> Row:
    """Return a record of the order socket under the names of the book."""
    return {STREAM_NAMES.get(name, name): value for name, value in row.items()}


def read_tag(value: Any) -> str | None:
    """Return what was given as tag: the broker writes a number and a colon before it."""
    text = text_or_none(value)
    if text is None or text.startswith(_UNTAGGED):
        return None
    return text.removeprefix(_TAGGED) or None


def read_order(row: Row, ctx: Context) -> model.Order:
    """Read an order under the names of the book. Raises DecodeError."""
    with reading("order"):
        word = str(row.get("status", row.get("ord_status")))
        name, _ = place_of(row, ctx)
        quantity, filled = needed(row, "qty"), number(row.get("filledQty"))  # the order stream leaves zeros out
        order_type = ORDER_TYPE.read(str(row.get("type")))
        status = _status(row, word, order_type, filled)
        ended = status.terminal
        created = time_ns(row.get("time_epoch_oms")) or time_ns(row.get("orderDateTime"))
        changed = time_ns(row.get("update_time_epoch_oms")) or created
        text = text_or_none(row.get("message"))
        return model.Order(
            broker="fyers",
            account_id=ctx.account or str(row.get("clientId") or row.get("client_id") or ""),
            instrument_id=name,
            side=side(row["side"]),
            quantity=quantity,
            order_type=order_type,
            status=status,
            raw_status=word,
            order_id=str(row["id"]),
            order_ids=(str(row["id"]),),
            exchange_order_id=text_or_none(row.get("exchOrdId")),
            parent_order_id=text_or_none(row.get("parentId")),
            price=nonzero(row, "limitPrice"),
            trigger_price=nonzero(row, "stopPrice"),
            time_in_force=VALIDITY.read(row.get("orderValidity")),
            product=PRODUCT.read(row.get("productType")),
            variety=model.Variety.AMO if row.get("offlineOrder") else model.Variety.REGULAR,
            display_quantity=nonzero(row, "discloseQty"),
            filled_quantity=filled,
            remaining_quantity=Decimal(0) if ended else max(quantity - filled, Decimal(0)),
            canceled_quantity=quantity - filled if status in (S.CANCELED, S.EXPIRED) else Decimal(0),
            average_price=nonzero(row, "tradedPrice") if filled else None,
            reject=CODES.rejection(text) if status is S.REJECTED else None,
            status_text=text,
            tag=read_tag(row.get("orderTag")),
            placed_by=str(row.get("source") or row.get("ord_source") or ""),
            ts_created=created,
            ts_event=changed,
            ts_closed=changed if ended else None,
            raw=row,
        )


def _status(row: Row, word: str, order_type: model.OrderType, filled: Decimal) -> model.OrderStatus:
    status = STATUS.read(word)
    if status is S.UNKNOWN:
        status = STATUS.read(str(row.get("orderNumStatus") or "").rpartition(":")[2])
    if status is not S.OPEN:
        return status
    # The broker has one word for all that rests: partly filled, and stops that wait.
    return S.PARTIALLY_FILLED if filled > 0 else S.TRIGGER_PENDING if order_type.has_trigger else S.OPEN


def read_fill(row: Row, ctx: Context) -> model.Fill:
    """Read one trade, of the trade book or (under its names) of the order socket. Raises DecodeError."""
    with reading("trade"):
        name, exchange = place_of(row, ctx)
        return model.Fill(
            broker="fyers",
            account_id=ctx.account,
            trade_id=str(row["tradeNumber"]),
            order_id=str(row["orderNumber"] if "orderNumber" in row else row["id"]),
            exchange_order_id=text_or_none(row.get("exchangeOrderNo", row.get("exchOrdId"))),
            instrument_id=name,
            exchange=exchange,
            side=side(row["side"]),
            product=PRODUCT.read(row.get("productType")),
            quantity=needed(row, "tradedQty"),
            price=needed(row, "tradePrice" if "tradePrice" in row else "tradedPrice"),
            ts_event=time_ns(row.get("fill_time")) or time_ns(row.get("orderDateTime")),
            raw=row,
        )
