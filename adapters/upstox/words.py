"""Upstox's words and records of orders and trades, read into the unified model.

Numbers are JSON numbers in rupees, read as the decimals on the wire. Times are Indian wall clock, in two spellings.
"""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from dragoman.plugin import CodeTable, Context, EnumMap, model
from dragoman.plugin.indian import SHARES
from dragoman.plugin.records import IST, Records, Row, local_ns, moment_ns, needed, nonzero, text_or_none

RECORDS: Final = Records("upstox")
reading, loads, refused, whole = RECORDS.reading, RECORDS.loads, RECORDS.refused, RECORDS.whole
CODES: Final = CodeTable.load(__package__ or "dragoman.adapters.upstox")

S = model.OrderStatus
STATUS: Final = EnumMap[model.OrderStatus](
    {
        "validation pending": S.ACCEPTED,
        "put order req received": S.ACCEPTED,
        "open pending": S.ACCEPTED,
        "after market order req received": S.ACCEPTED,
        "modify after market order req received": S.ACCEPTED,
        "open": S.OPEN,
        "trigger pending": S.TRIGGER_PENDING,
        "complete": S.FILLED,
        "cancelled": S.CANCELED,
        "cancelled after market order": S.CANCELED,
        "rejected": S.REJECTED,
    },
    unknown=S.UNKNOWN,
)
PENDING: Final = EnumMap[model.Pending](
    {
        "modify pending": model.Pending.MODIFY,
        "modify validation pending": model.Pending.MODIFY,
        "cancel pending": model.Pending.CANCEL,
    },
    unknown=model.Pending.NONE,
)
NO_FIRM_STATUS: Final = frozenset((*PENDING.inward, "modified", "not modified", "not cancelled"))
"""Words for what is in flight, or was: the status is a guess from the other fields."""

SIDE: Final = EnumMap[model.Side | None]({"BUY": model.Side.BUY, "SELL": model.Side.SELL}, unknown=None)
ORDER_TYPE: Final = EnumMap[model.OrderType](
    {
        "MARKET": model.OrderType.MARKET,
        "LIMIT": model.OrderType.LIMIT,
        "SL": model.OrderType.STOP_LIMIT,
        "SL-M": model.OrderType.STOP_MARKET,
    },
    unknown=model.OrderType.UNKNOWN,
)
P = model.Product
PRODUCT: Final = EnumMap[model.Product](
    {"I": P.INTRADAY, "D": P.DELIVERY, "MTF": P.MTF, "CO": P.COVER, "OCO": P.BRACKET},
    unknown=P.UNKNOWN,
    # One word for both: shares are delivered, contracts carried.
    outward={P.INTRADAY: "I", P.DELIVERY: "D", P.CARRY: "D", P.MTF: "MTF"},
)
VALIDITY: Final = EnumMap[model.TimeInForce](
    {"DAY": model.TimeInForce.DAY, "IOC": model.TimeInForce.IOC}, unknown=model.TimeInForce.UNKNOWN
)
VARIETY: Final = EnumMap[model.Variety](
    {
        "SIMPLE": model.Variety.REGULAR,
        "AMO": model.Variety.AMO,
        "CO": model.Variety.COVER,
        "OCO": model.Variety.BRACKET,
    },
    unknown=model.Variety.UNKNOWN,
)
EXCHANGE: Final = {"NSCOM": "NCO", "NSE_COM": "NCO"}
"""Exchanges of records that are not called as ours."""
SEGMENT: Final = {
    "NSE_EQ": "NSE",
    "BSE_EQ": "BSE",
    "NSE_FO": "NFO",
    "BSE_FO": "BFO",
    "NCD_FO": "CDS",
    "BCD_FO": "BCD",
    "MCX_FO": "MCX",
    "NSE_COM": "NCO",
    "NSE_INDEX": "NSE",
    "BSE_INDEX": "BSE",
    "MCX_INDEX": "MCX",
    "GLOBAL_INDEX": "GLOBAL",
}
MARKET_STATUS: Final = (
    "PRE_OPEN_START",
    "PRE_OPEN_END",
    "NORMAL_OPEN",
    "NORMAL_CLOSE",
    "CLOSING_START",
    "CLOSING_END",
)
"""In the order of the feed's enum."""

_MONTHS: Final = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_DAY_FIRST: Final = re.compile(r"(\d\d)-([A-Z][a-z]{2})-(\d{4}) (\d\d):(\d\d):(\d\d)")


def time_ns(text: Any) -> int | None:
    """Return ns UTC of ``yyyy-mm-dd hh:mm:ss``, of ``dd-Mon-yyyy hh:mm:ss``, of ISO 8601 or of epoch milliseconds."""
    if isinstance(text, int) or (isinstance(text, str) and text.isdecimal()):
        return int(text) * 1_000_000 or None
    day_first = _DAY_FIRST.fullmatch(text) if isinstance(text, str) else None
    if day_first is None:
        return local_ns(text, IST)
    month = _MONTHS.index(day_first[2]) + 1
    day, year, hour, minute, second = (int(day_first[at]) for at in (1, 3, 4, 5, 6))
    return moment_ns(datetime(year, month, day, hour, minute, second, tzinfo=IST))


def read_product(word: Any, exchange: str) -> model.Product:
    product = PRODUCT.read(word)
    return P.CARRY if product is P.DELIVERY and exchange not in SHARES else product


def place_of(row: Row, ctx: Context) -> tuple[str, str]:
    """Return canonical id and exchange of a record's instrument.

    The instrument key finds it in the master. One that is not there (expired since, or no master is loaded) keeps
    ``EXCHANGE:SYMBOL`` as the broker writes it.
    """
    found = ctx.instruments.by_broker_token(str(row.get("instrument_key") or row.get("instrument_token") or ""))
    if found is not None:
        return found.instrument_id, found.exchange
    word = str(row["exchange"])
    exchange = EXCHANGE.get(word, SEGMENT.get(word, word))
    symbol = str(row.get("trading_symbol") or row["tradingsymbol"])
    named = ctx.instruments.by_broker_symbol(exchange, symbol.removesuffix("-EQ"))
    return (named.instrument_id if named else str(model.CanonicalId(exchange, symbol))), exchange


def side(row: Row) -> model.Side:
    value = SIDE.read(row["transaction_type"])
    if value is None:
        raise ValueError(f"transaction_type {row['transaction_type']!r} is neither BUY nor SELL")
    return value


def read_order(row: Row, ctx: Context) -> model.Order:
    """Read an order as the book, the history and the portfolio stream carry it. Raises DecodeError."""
    with reading("order"):
        word = str(row["status"])
        name, exchange = place_of(row, ctx)
        quantity, filled = needed(row, "quantity"), needed(row, "filled_quantity")
        order_type = ORDER_TYPE.read(row.get("order_type"))
        status = _status(row, word, order_type, quantity, filled)
        ended = status.terminal
        canceled = quantity - filled if status is S.CANCELED else Decimal(0)
        created, at_exchange = (time_ns(row.get(key)) for key in ("order_timestamp", "exchange_timestamp"))
        seen = [ns for ns in (created, at_exchange) if ns is not None]
        text = text_or_none(row.get("status_message")) or text_or_none(row.get("status_message_raw"))
        return model.Order(
            broker="upstox",
            account_id=ctx.account or str(row.get("user_id") or row.get("placed_by") or ""),
            instrument_id=name,
            side=side(row),
            quantity=quantity,
            order_type=order_type,
            status=status,
            status_is_firm=word not in NO_FIRM_STATUS or status is S.FILLED,
            raw_status=word,
            pending=PENDING.read(word),
            order_id=str(row["order_id"]),
            order_ids=(str(row["order_id"]),),
            exchange_order_id=text_or_none(row.get("exchange_order_id")),
            parent_order_id=text_or_none(row.get("parent_order_id")),
            price=nonzero(row, "price"),
            trigger_price=nonzero(row, "trigger_price"),
            time_in_force=VALIDITY.read(row.get("validity")),
            product=read_product(row.get("product"), exchange),
            variety=VARIETY.read(row.get("variety")),
            display_quantity=nonzero(row, "disclosed_quantity"),
            market_protection=nonzero(row, "market_protection"),
            filled_quantity=filled,
            remaining_quantity=Decimal(0) if ended else max(quantity - filled, Decimal(0)),
            canceled_quantity=canceled,
            average_price=nonzero(row, "average_price") if filled else None,
            reject=CODES.rejection(text) if status is S.REJECTED else None,
            status_text=text,
            tag=text_or_none(row.get("tag")),
            placed_by=str(row.get("placed_by") or ""),
            ts_created=created,
            ts_accepted=at_exchange,
            ts_event=max(seen, default=None),
            ts_closed=max(seen, default=None) if ended else None,
            raw=row,
        )


def _status(row: Row, word: str, order_type: model.OrderType, quantity: Decimal, filled: Decimal) -> model.OrderStatus:
    status = STATUS.read(word)
    if word in NO_FIRM_STATUS:
        if filled >= quantity > 0:
            status = S.FILLED
        elif not row.get("exchange_order_id"):
            status = S.ACCEPTED
        else:
            status = S.TRIGGER_PENDING if order_type.has_trigger else S.OPEN
    return S.PARTIALLY_FILLED if status in (S.OPEN, S.TRIGGER_PENDING) and filled > 0 else status


def read_fill(row: Row, ctx: Context) -> model.Fill:
    """Read one trade. Raises DecodeError."""
    with reading("trade"):
        name, exchange = place_of(row, ctx)
        return model.Fill(
            broker="upstox",
            account_id=ctx.account,
            trade_id=str(row["trade_id"]),
            order_id=str(row["order_id"]),
            exchange_order_id=text_or_none(row.get("exchange_order_id")),
            instrument_id=name,
            exchange=exchange,
            side=side(row),
            product=read_product(row.get("product"), exchange),
            quantity=needed(row, "quantity"),
            price=needed(row, "average_price"),
            ts_event=time_ns(row.get("exchange_timestamp")) or time_ns(row.get("order_timestamp")),
            raw=row,
        )
