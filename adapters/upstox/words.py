"""Upstox's words and records of orders and trades, read into the unified model.

Numbers are JSON numbers in rupees, read as the decimals on the wire. Times are Indian wall clock, in two spellings.
"""

from __future__ import annotations

from typing import Any, Final

from dragoman.plugin import CodeTable, Context, EnumMap, indian, model
from dragoman.plugin.parts import COMMON_FILL_KEYS, COMMON_ORDER_KEYS, IST, OrderRows, Records, Row, local_ns

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


def time_ns(text: Any) -> int | None:
    """Return ns UTC of ``yyyy-mm-dd hh:mm:ss``, of ``dd-Mon-yyyy hh:mm:ss``, of ISO 8601 or of epoch milliseconds."""
    if isinstance(text, int) or (isinstance(text, str) and text.isdecimal()):
        return int(text) * 1_000_000 or None
    return (indian.day_first_ns(text) if isinstance(text, str) else None) or local_ns(text, IST)


def read_product(word: Any, exchange: str) -> model.Product:
    product = PRODUCT.read(word)
    return P.CARRY if product is P.DELIVERY and exchange not in indian.SHARES else product


def place_of(row: Row, ctx: Context) -> tuple[str, str]:
    """Return canonical id and exchange of a record's instrument; the instrument key finds it in the master."""
    word = str(row.get("exchange") or "")
    symbol = str(row.get("trading_symbol") or row.get("tradingsymbol") or "")
    key = str(row.get("instrument_key") or row.get("instrument_token") or "")
    exchange = EXCHANGE.get(word, SEGMENT.get(word, word))
    return indian.place_of(ctx, key, exchange, symbol.removesuffix("-EQ"), symbol)


def _status(row: Row) -> tuple[str, model.OrderStatus | None]:
    word = str(row["status"])
    return word, None if word in NO_FIRM_STATUS else STATUS.read(word)


ROWS: Final = OrderRows(
    records=RECORDS,
    codes=CODES,
    keys=COMMON_ORDER_KEYS | {"account": ("user_id", "placed_by")},
    fill_keys=COMMON_FILL_KEYS,
    status=_status,
    place=place_of,
    side=SIDE,
    order_type=ORDER_TYPE,
    validity=VALIDITY,
    product=read_product,
    variety=lambda row: VARIETY.read(row.get("variety")),
    time_ns=time_ns,
    fill_time=lambda row, _: time_ns(row.get("exchange_timestamp")) or time_ns(row.get("order_timestamp")),
    pending=PENDING.read,
)
read_order, read_fill = ROWS.order, ROWS.fill
