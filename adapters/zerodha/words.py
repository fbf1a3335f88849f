"""Kite's words and records, read into the unified model.

Numbers on the order path come as JSON numbers in rupees; they are read as the decimals that stand on the wire. Times
are Indian wall clock without a zone. What each unified field means is in docs/semantics.md; what Kite means by its own
is in this folder's README.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from dragoman.plugin import CodeTable, Context, EnumMap, ErrorKind, errors, model
from dragoman.plugin.records import IST, Records, Row, given, local_ns, needed, nonzero, number, text_or_none

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


def instrument_id(row: Row, ctx: Context) -> str:
    """Return the canonical id of a record's instrument.

    One that the master does not hold (expired since, or the master is not loaded) keeps ``EXCHANGE:SYMBOL`` as the
    broker writes it, which no listed instrument has as its canonical id unless it is a plain share.
    """
    exchange, symbol = str(row["exchange"]), str(row["tradingsymbol"])
    found = ctx.instruments.by_broker_symbol(exchange, symbol)
    return found.instrument_id if found else str(model.CanonicalId(exchange, symbol))


def side(row: Row) -> model.Side:
    value = SIDE.read(row["transaction_type"])
    if value is None:
        raise ValueError(f"transaction_type {row['transaction_type']!r} is neither BUY nor SELL")
    return value


def read_order(row: Row, ctx: Context) -> model.Order:
    """Read an order as the book, the history, the stream and postbacks carry it.

    Raises
    ------
    DecodeError
        Where a field that every order has is missing or of the wrong type.
    """
    with reading("order"):
        word = str(row["status"])
        quantity, filled = needed(row, "quantity"), needed(row, "filled_quantity")
        order_type = ORDER_TYPE.read(row.get("order_type"))
        status = _status(row, word, order_type, quantity, filled)
        canceled = number(row.get("cancelled_quantity"))
        if status is S.CANCELED:
            # Old records leave the canceled part in pending_quantity, with cancelled_quantity 0.
            canceled = quantity - filled
        ended = status.terminal
        created = [ns for key in ("order_timestamp", "exchange_timestamp") if (ns := time_ns(row.get(key)))]
        seen = [*created, *filter(None, (time_ns(row.get("exchange_update_timestamp")),))]
        ts_event = max(seen, default=None)
        tag, tags = text_or_none(row.get("tag")), tuple(str(item) for item in row.get("tags") or ())
        message = text_or_none(row.get("status_message")) or text_or_none(row.get("status_message_raw"))
        return model.Order(
            broker="zerodha",
            account_id=ctx.account or str(row.get("account_id") or row.get("user_id") or ""),
            instrument_id=instrument_id(row, ctx),
            side=side(row),
            quantity=quantity,
            order_type=order_type,
            status=status,
            # Whatever the word, an order that is filled whole is filled.
            status_is_firm=word not in _NO_FIRM_STATUS or status is S.FILLED,
            raw_status=word,
            pending=PENDING.read(word),
            order_id=str(row["order_id"]),
            order_ids=(str(row["order_id"]),),
            exchange_order_id=text_or_none(row.get("exchange_order_id")),
            parent_order_id=text_or_none(row.get("parent_order_id")) or _slice_parent(tags),
            price=nonzero(row, "price"),
            trigger_price=nonzero(row, "trigger_price"),
            time_in_force=VALIDITY.read(row.get("validity")),
            product=PRODUCT.read(row.get("product")),
            variety=VARIETY.read(row.get("variety")),
            display_quantity=nonzero(row, "disclosed_quantity"),
            market_protection=nonzero(row, "market_protection") or _protection(tags),
            filled_quantity=filled,
            remaining_quantity=Decimal(0) if ended else max(quantity - filled - canceled, Decimal(0)),
            canceled_quantity=canceled,
            average_price=nonzero(row, "average_price") if filled else None,
            reject=read_reject(row) if status is S.REJECTED else None,
            status_text=message,
            tag=tag,
            tags=tags,
            modified=bool(row.get("modified")),
            placed_by=str(row.get("placed_by") or ""),
            ts_created=min(created, default=None),
            ts_accepted=time_ns(row.get("exchange_timestamp")),
            ts_event=ts_event,
            ts_closed=ts_event if ended else None,
            raw=row,
        )


def _status(row: Row, word: str, order_type: model.OrderType, quantity: Decimal, filled: Decimal) -> model.OrderStatus:
    status = STATUS.read(word)
    if word in _NO_FIRM_STATUS:
        if filled >= quantity > 0:
            status = S.FILLED
        elif not (row.get("exchange_order_id") or row.get("exchange_timestamp")):
            status = S.ACCEPTED
        else:
            status = S.TRIGGER_PENDING if order_type.has_trigger else S.OPEN
    working = status in (S.OPEN, S.TRIGGER_PENDING)
    return S.PARTIALLY_FILLED if working and filled > 0 else status


def _slice_parent(tags: tuple[str, ...]) -> str | None:
    return next((tag.removeprefix("autoslice:") for tag in tags if tag.startswith("autoslice:")), None)


def _protection(tags: tuple[str, ...]) -> Decimal | None:
    """Return the percent in ``mktp:2.00``: the book reports market_protection 0 even where it was applied."""
    return next((number(tag.removeprefix("mktp:")) for tag in tags if tag.startswith("mktp:")), None)


def read_reject(row: Row) -> model.Reject:
    """Say why an order in the book was rejected. Its fate is certain even where the words are new to us."""
    texts = [text for key in ("status_message", "status_message_raw") if (text := text_or_none(row.get(key)))]
    for text in texts:
        code = CODES.find(code="REJECTED", text=text, status=0, mutates=True)
        if code is not None:
            return model.Reject(code.kind, texts[0], "REJECTED", errors.Effect.NONE, code.retry, code.remedy)
    return model.Reject(ErrorKind.UNMAPPED, texts[0] if texts else "no reason given", "REJECTED")


def read_fill(row: Row, ctx: Context) -> model.Fill:
    """Read one trade. Raises DecodeError."""
    with reading("trade"):
        return model.Fill(
            broker="zerodha",
            account_id=ctx.account,
            trade_id=str(row["trade_id"]),
            order_id=str(row["order_id"]),
            exchange_order_id=text_or_none(row.get("exchange_order_id")),
            instrument_id=instrument_id(row, ctx),
            exchange=str(row["exchange"]),
            side=side(row),
            product=PRODUCT.read(row.get("product")),
            quantity=needed(row, "quantity"),
            price=needed(row, "average_price"),
            ts_event=time_ns(row.get("fill_timestamp"))
            or time_ns(row.get("exchange_timestamp"))
            or clock_ns(row.get("order_timestamp"), ctx.now_ns),
            raw=row,
        )


_POSITION_NUMBERS: Final = tuple(
    f"{span}{way}_{what}" for span in ("", "day_") for way in ("buy", "sell") for what in ("quantity", "price", "value")
)


def read_position(row: Row, ctx: Context) -> model.Position:
    """Read one net position. Quantities stay in the wire's unit, so the broker's multiplier stays with them."""
    with reading("position"):
        day: dict[str, Any] = {name: number(row.get(name)) for name in _POSITION_NUMBERS}
        return model.Position(
            broker="zerodha",
            account_id=ctx.account,
            instrument_id=instrument_id(row, ctx),
            product=PRODUCT.read(row.get("product")),
            quantity=needed(row, "quantity"),
            overnight_quantity=number(row.get("overnight_quantity")),
            multiplier=nonzero(row, "multiplier") or Decimal(1),
            average_price=nonzero(row, "average_price"),
            last_price=nonzero(row, "last_price"),
            close_price=nonzero(row, "close_price"),
            realised_pnl=given(row, "realised"),
            unrealised_pnl=given(row, "unrealised"),
            pnl=given(row, "pnl"),
            m2m=given(row, "m2m"),
            value=given(row, "value"),
            raw=row,
            **day,
        )


_USED: Final = ("span", "exposure", "option_premium", "delivery", "m2m_realised", "m2m_unrealised", "payout")


def read_margin(segment: model.Segment, row: Row, ctx: Context) -> model.Margin:
    """Read one segment's funds. ``available.cash`` is the opening ledger, ``net`` what may be used now."""
    with reading(f"margin of {segment}"):
        available, used = row["available"], row["utilised"]
        return model.Margin(
            broker="zerodha",
            account_id=ctx.account,
            segment=segment,
            enabled=bool(row.get("enabled", True)),
            net=given(row, "net"),
            available=model.MarginAvailable(
                cash=given(available, "cash"),
                opening_balance=given(available, "opening_balance"),
                live_balance=given(available, "live_balance"),
                adhoc=given(available, "adhoc_margin"),
                collateral=given(available, "collateral"),
                intraday_payin=given(available, "intraday_payin"),
            ),
            used=model.MarginUsed(
                total=given(used, "debits"),
                holding_sales=given(used, "holding_sales"),
                turnover=given(used, "turnover"),
                **{name: given(used, name) for name in _USED},
            ),
            ts_event=ctx.now_ns,
            raw=row,
        )


def read_quote(row: Row, instrument: model.Instrument, mode: model.Mode) -> model.Quote:
    """Read one entry of a quote reply, in any of the three modes."""
    with reading(f"quote of {instrument.broker_symbol}"):
        ohlc, depth = row.get("ohlc") or {}, row.get("depth") or {}
        return model.Quote(
            instrument_id=instrument.instrument_id,
            mode=mode,
            last_price=_float(row, "last_price"),
            last_quantity=_float(row, "last_quantity"),
            average_price=_float(row, "average_price"),
            volume=_float(row, "volume"),
            total_buy_quantity=_float(row, "buy_quantity"),
            total_sell_quantity=_float(row, "sell_quantity"),
            open=_float(ohlc, "open"),
            high=_float(ohlc, "high"),
            low=_float(ohlc, "low"),
            previous_close=_float(ohlc, "close"),
            net_change=_float(row, "net_change"),
            oi=_float(row, "oi"),
            oi_high=_float(row, "oi_day_high"),
            oi_low=_float(row, "oi_day_low"),
            price_band_low=_float(row, "lower_circuit_limit"),
            price_band_high=_float(row, "upper_circuit_limit"),
            bids=_levels(depth.get("buy") or ()),
            asks=_levels(depth.get("sell") or ()),
            last_trade_time=time_ns(row.get("last_trade_time")),
            ts_event=time_ns(row.get("timestamp")),
            raw=row,
        )


def _float(row: Row, key: str) -> float | None:
    value = row.get(key)
    return None if value is None else float(number(value))


def _levels(rows: Any) -> tuple[model.DepthLevel, ...]:
    levels = (model.DepthLevel(float(row["price"]), float(row["quantity"]), int(row["orders"])) for row in rows)
    return tuple(level for level in levels if level.price or level.quantity)
