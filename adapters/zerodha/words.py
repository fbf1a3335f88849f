"""Kite's words and records, read into the unified model.

Numbers on the order path come as JSON numbers in rupees; they are read as the decimals that stand on the wire. Times
are Indian wall clock without a zone. What each unified field means is in docs/semantics.md; what Kite means by its own
is in this folder's README.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from dragoman.plugin import CodeTable, Context, EnumMap, indian, model
from dragoman.plugin.parts import (
    COMMON_FILL_KEYS,
    COMMON_ORDER_KEYS,
    COMMON_POSITION_KEYS,
    IST,
    AccountRows,
    OrderRows,
    QuoteRows,
    Records,
    Row,
    RowTable,
    given,
    local_ns,
    number,
)

RECORDS: Final = Records("zerodha")
reading, loads, refused = RECORDS.reading, RECORDS.loads, RECORDS.refused
CODES: Final = CodeTable.load(__package__ or "dragoman.adapters.zerodha")

S = model.OrderStatus
STATUS: Final = EnumMap[model.OrderStatus](
    {
        "VALIDATION PENDING": S.ACCEPTED,
        "OPEN PENDING": S.ACCEPTED,
        "AMO REQ RECEIVED": S.ACCEPTED,
        "MODIFY AMO REQ RECEIVED": S.ACCEPTED,
        "OPEN": S.OPEN,
        "MODIFIED": S.OPEN,
        "TRIGGER PENDING": S.TRIGGER_PENDING,
        "COMPLETE": S.FILLED,
        "CANCELLED": S.CANCELED,
        "CANCELLED AMO": S.CANCELED,
        "REJECTED": S.REJECTED,
    },
    unknown=S.UNKNOWN,
    # The documentation writes REQUEST where the wire says REQ.
    prefixes={"PUT ORDER REQ": S.ACCEPTED},
)
PENDING: Final = EnumMap[model.Pending](
    {
        "MODIFY VALIDATION PENDING": model.Pending.MODIFY,
        "MODIFY PENDING": model.Pending.MODIFY,
        "CANCEL PENDING": model.Pending.CANCEL,
    },
    unknown=model.Pending.NONE,
)
_NO_FIRM_STATUS: Final = frozenset(
    ("MODIFY VALIDATION PENDING", "MODIFY PENDING", "CANCEL PENDING", "MODIFIED", "UPDATE")
)
"""Words that say what is in flight, or only that something changed: the status is a guess from the other fields."""

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
PRODUCT: Final = EnumMap[model.Product](
    {
        "CNC": model.Product.DELIVERY,
        "MIS": model.Product.INTRADAY,
        "NRML": model.Product.CARRY,
        "MTF": model.Product.MTF,
        "CO": model.Product.COVER,
        "BO": model.Product.BRACKET,
    },
    unknown=model.Product.UNKNOWN,
)
VALIDITY: Final = EnumMap[model.TimeInForce](
    {"DAY": model.TimeInForce.DAY, "IOC": model.TimeInForce.IOC, "TTL": model.TimeInForce.GTD},
    unknown=model.TimeInForce.UNKNOWN,
)
VARIETY: Final = EnumMap[model.Variety](
    {
        "regular": model.Variety.REGULAR,
        "amo": model.Variety.AMO,
        "iceberg": model.Variety.ICEBERG,
        "auction": model.Variety.AUCTION,
        "co": model.Variety.COVER,
        "bo": model.Variety.BRACKET,
    },
    unknown=model.Variety.UNKNOWN,
)
SEGMENT: Final = {"equity": model.Segment.EQUITY, "commodity": model.Segment.COMMODITY}


def time_ns(text: Any) -> int | None:
    """Return ns UTC of ``yyyy-mm-dd hh:mm:ss`` in Indian time, or of ISO 8601 with an offset; None where empty."""
    return local_ns(text, IST)


def clock_ns(text: Any, now_ns: int) -> int | None:
    """Return ns UTC of ``hh:mm:ss`` on the Indian day of `now_ns`: trades carry their order time like that."""
    if not text:
        return None
    day = datetime.fromtimestamp(now_ns / 1e9, IST).date()
    return time_ns(f"{day} {text}")


def place_of(row: Row, ctx: Context) -> tuple[str, str]:
    """Return canonical id and exchange of a record's instrument, which its symbol finds in the master."""
    return indian.place_of(ctx, "", str(row["exchange"]), str(row["tradingsymbol"]))


def instrument_id(row: Row, ctx: Context) -> str:
    return place_of(row, ctx)[0]


def read_order(row: Row, ctx: Context) -> model.Order:
    """Read an order as the book, the history, the stream and postbacks carry it. Raises DecodeError."""
    with reading("order"):
        tags = tuple(str(item) for item in row.get("tags") or ())
        told: dict[str, Any] = {"tags": tags, "modified": bool(row.get("modified"))}
        said = dict(tag.split(":", 1) for tag in reversed(tags) if ":" in tag)
        if "autoslice" in said and not row.get("parent_order_id"):
            told["parent_order_id"] = said["autoslice"]
        if "mktp" in said and not number(row.get("market_protection")):
            # The book reports 0 even where it was applied.
            told["market_protection"] = number(said["mktp"])
    return ROWS.order(row, ctx, **told)


def _status(row: Row) -> tuple[str, model.OrderStatus | None]:
    word = str(row["status"])
    return word, None if word in _NO_FIRM_STATUS else STATUS.read(word)


def _traded_ns(row: Row, ctx: Context) -> int | None:
    found = time_ns(row.get("fill_timestamp")) or time_ns(row.get("exchange_timestamp"))
    return found or clock_ns(row.get("order_timestamp"), ctx.now_ns)


ROWS: Final = OrderRows(
    records=RECORDS,
    codes=CODES,
    keys=COMMON_ORDER_KEYS
    | {
        "account": ("account_id", "user_id"),
        "at_exchange": ("exchange_order_id", "exchange_timestamp"),
        "created": ("order_timestamp", "exchange_timestamp"),
        "changed": ("order_timestamp", "exchange_timestamp", "exchange_update_timestamp"),
    },
    fill_keys=COMMON_FILL_KEYS,
    status=_status,
    place=place_of,
    side=SIDE,
    order_type=ORDER_TYPE,
    validity=VALIDITY,
    product=lambda word, _: PRODUCT.read(word),
    variety=lambda row: VARIETY.read(row.get("variety")),
    time_ns=time_ns,
    fill_time=_traded_ns,
    pending=PENDING.read,
    rejected="REJECTED",
)
read_fill: Final = ROWS.fill


POSITION: Final = AccountRows(ROWS, "position", RowTable(model.Position, **COMMON_POSITION_KEYS, m2m="m2m"))
"""Of net positions. Quantities stay in the wire's unit, so the broker's multiplier stays with them."""
read_position: Final = POSITION.read
AVAILABLE: Final = RowTable(
    model.MarginAvailable,
    cash="cash",
    opening_balance="opening_balance",
    live_balance="live_balance",
    adhoc="adhoc_margin",
    collateral="collateral",
    intraday_payin="intraday_payin",
)
USED: Final = RowTable(
    model.MarginUsed,
    total="debits",
    # Margin used against pledged liquid funds and pledged stock: parts of what is used, not of what there is.
    collateral_cash="liquid_collateral",
    collateral_pledged="stock_collateral",
    **{
        name: name
        for name in (
            "span exposure option_premium delivery m2m_realised m2m_unrealised payout holding_sales turnover".split()
        )
    },
)
_QUOTE: Final = RowTable(
    model.Quote,
    last_price="last_price",
    last_quantity="last_quantity",
    average_price="average_price",
    volume="volume",
    total_buy_quantity="buy_quantity",
    total_sell_quantity="sell_quantity",
    open="ohlc.open",
    high="ohlc.high",
    low="ohlc.low",
    previous_close="ohlc.close",
    net_change="net_change",
    oi="oi",
    oi_high="oi_day_high",
    oi_low="oi_day_low",
    price_band_low="lower_circuit_limit",
    price_band_high="upper_circuit_limit",
)
read_quote: Final = QuoteRows(records=RECORDS, table=_QUOTE, time_ns=time_ns, book="depth").read
"""Of one entry of a quote reply, in any of the three modes."""


def read_margin(segment: model.Segment, row: Row, ctx: Context) -> model.Margin:
    """Read one segment's funds. ``available.cash`` is the opening ledger, ``net`` what may be used now."""
    with reading(f"margin of {segment}"):
        return model.Margin(
            broker="zerodha",
            account_id=ctx.account,
            segment=segment,
            enabled=bool(row.get("enabled", True)),
            net=given(row, "net"),
            available=AVAILABLE.read(row["available"]),
            used=USED.read(row["utilised"]),
            ts_event=ctx.now_ns,
            raw=row,
        )
