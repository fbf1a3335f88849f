"""Alpaca's words and records of orders, fills, positions and the account, read into the unified model.

Trading records carry decimals as text and times in RFC 3339 with up to nine digits and any offset.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from dragoman.plugin import CodeTable, Context, EnumMap, model
from dragoman.plugin.parts import Records, Row, Traded, given, needed, nonzero, rfc3339_ns, side_of, text_or_none, us_id

RECORDS: Final = Records("alpaca")
reading, loads, refused, as_rows = RECORDS.reading, RECORDS.loads, RECORDS.refused, RECORDS.as_rows
CODES: Final = CodeTable.load(__package__ or "dragoman.adapters.alpaca")
OTHER_PAIR: Final = "give the key pair of this environment: paper and live have different ones"
CRYPTO: Final = "ALPACA"
"""Venue of crypto pairs, and their exchange segment; everything else is US."""

S = model.OrderStatus
STATUS: Final = EnumMap[model.OrderStatus](
    {
        "pending_new": S.ACCEPTED,
        "accepted": S.ACCEPTED,
        "accepted_for_bidding": S.ACCEPTED,
        "pending_review": S.ACCEPTED,
        "held": S.ACCEPTED,
        "new": S.OPEN,
        "partially_filled": S.PARTIALLY_FILLED,
        "filled": S.FILLED,
        "canceled": S.CANCELED,
        "expired": S.EXPIRED,
        "rejected": S.REJECTED,
        # What these say of the order's status is a guess, see _UNSURE.
        "pending_cancel": S.OPEN,
        "pending_replace": S.OPEN,
        "replaced": S.ACCEPTED,
        "done_for_day": S.OPEN,
        "stopped": S.OPEN,
        "suspended": S.OPEN,
        "calculated": S.OPEN,
    },
    unknown=S.UNKNOWN,
)
_UNSURE: Final = frozenset("pending_cancel pending_replace replaced done_for_day stopped suspended calculated".split())
"""Words that tell what is in flight, or that the order rests for a while: the status is a guess from the fills."""
PENDING: Final = EnumMap[model.Pending](
    {
        "pending_cancel": model.Pending.CANCEL,
        "pending_replace": model.Pending.MODIFY,
        # The id ended, the order goes on under the next one, whose own report says how.
        "replaced": model.Pending.MODIFY,
    },
    unknown=model.Pending.NONE,
)
SIDE: Final = EnumMap[model.Side | None](
    {"buy": model.Side.BUY, "sell": model.Side.SELL, "sell_short": model.Side.SELL},
    unknown=None,
)
T = model.OrderType
ORDER_TYPE: Final = EnumMap[model.OrderType](
    {
        "market": T.MARKET,
        "limit": T.LIMIT,
        "stop": T.STOP_MARKET,
        "stop_limit": T.STOP_LIMIT,
        "trailing_stop": T.TRAILING_STOP_MARKET,
    },
    unknown=T.UNKNOWN,
)
F = model.TimeInForce
TIME_IN_FORCE: Final = EnumMap[model.TimeInForce](
    {"day": F.DAY, "gtc": F.GTC, "ioc": F.IOC, "fok": F.FOK, "opg": F.AT_THE_OPEN, "cls": F.AT_THE_CLOSE},
    unknown=F.UNKNOWN,
)
ORDER_CLASS: Final = EnumMap[model.Variety](
    {
        "simple": model.Variety.REGULAR,
        "": model.Variety.REGULAR,
        "bracket": model.Variety.BRACKET,
        "oco": model.Variety.BRACKET,
        "oto": model.Variety.BRACKET,
    },
    unknown=model.Variety.UNKNOWN,
)
FILL_EVENTS: Final = frozenset(("fill", "partial_fill", "partially_filled"))
EVENTS: Final = FILL_EVENTS | frozenset(
    (
        "new pending_new accepted pending_cancel pending_replace calculated done_for_day stopped suspended held"
        " restated pending_review canceled expired replaced rejected order_replace_rejected order_cancel_rejected"
    ).split()
)
"""Events of the order stream; others are shown as they came, and their order is read all the same."""

_QUOTES: Final = ("USDT", "USDC", "USDG", "USD", "BTC", "ETH")
_HUNDRED: Final = Decimal(100)


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the three kinds of instruments: what its orders may be, where its market data is, and which setting of the
    profile names the data's source."""

    name: str
    root: str
    order_types: frozenset[model.OrderType]
    times_in_force: frozenset[model.TimeInForce]
    setting: str = ""
    default: str = ""

    def source(self, ctx: Context) -> str | None:
        return str(ctx.settings.get(self.setting, self.default)) if self.setting else None


# Order types and times in force by kind of instrument (documentation, orders; FOK of crypto in one example only).
STOCKS: Final = Kind(
    "equity",
    "/v2/stocks",
    frozenset((T.MARKET, T.LIMIT, T.STOP_MARKET, T.STOP_LIMIT, T.TRAILING_STOP_MARKET)),
    frozenset((F.DAY, F.GTC, F.IOC, F.FOK, F.AT_THE_OPEN, F.AT_THE_CLOSE)),
    "stock_feed",
    "iex",
)
OPTIONS: Final = Kind(
    "option",
    "/v1beta1/options",
    frozenset((T.MARKET, T.LIMIT, T.STOP_MARKET, T.STOP_LIMIT)),
    frozenset((F.DAY,)),
    "option_feed",
    "indicative",
)
PAIRS: Final = Kind(
    "crypto",
    "/v1beta3/crypto/us",
    frozenset((T.MARKET, T.LIMIT, T.STOP_LIMIT)),
    frozenset((F.GTC, F.IOC, F.FOK)),
)
KINDS: Final = (STOCKS, OPTIONS, PAIRS)


def kind_of(instrument: model.Instrument) -> Kind:
    """Return the kind of an instrument."""
    return PAIRS if instrument.exchange == CRYPTO else OPTIONS if instrument.option_type else STOCKS


def key_pair(ctx: Context) -> tuple[str, ...]:
    """Return the id of the account's key and its secret. Raises AuthRequired where the profile lacks one."""
    return RECORDS.credentials(ctx, "api_key", "api_secret", remedy=OTHER_PAIR)


def oauth_token(ctx: Context) -> str | None:
    """Return the OAuth token of a session that was imported; None where the key pair opens the account."""
    token = ctx.login.get("oauth_token")
    return None if token is None else str(token.reveal())


def canonical(symbol: str, asset_class: str) -> model.CanonicalId:
    """Return the canonical id of a symbol. Pairs come with a slash and without."""
    if not asset_class.startswith("crypto"):
        return us_id(symbol)
    base, slash, quote = symbol.partition("/")
    if not slash:
        quote = next((one for one in _QUOTES if symbol.endswith(one) and symbol != one), "")
        base = symbol.removesuffix(quote)
    return model.CanonicalId(CRYPTO, base, model.IdKind.PAIR, quote=quote)


def instrument_id(row: Row, ctx: Context) -> str:
    """Return the canonical id of a record's instrument; its symbol alone tells it, in the master or not.

    Activities tell no class of theirs, and a pair may have lost its slash: there the master says what it is.
    """
    found = ctx.instruments.by_broker_token(str(row.get("asset_id") or ""))
    symbol, kind = str(row["symbol"]), row.get("asset_class")
    if kind is None:
        pair, plain = str(canonical(symbol, "crypto")), str(canonical(symbol, ""))
        listed = ctx.instruments.get(plain) is None and ctx.instruments.get(pair) is not None
        kind = "crypto" if "/" in symbol or listed else ""
    return found.instrument_id if found is not None else str(canonical(symbol, str(kind)))


def legs_of(row: Row) -> Iterator[Row]:
    """Yield the orders a record stands for: the legs of a multi-leg order, which is none itself."""
    if row.get("order_class") == "mleg" and not row.get("symbol"):
        for leg in row.get("legs") or ():
            yield {**leg, "parent_order_id": row["id"]}
    else:
        yield row


def refused_change(row: Row) -> bool:
    """Whether a record is of a change that was rejected: the order lives on under the id it would have replaced."""
    return row.get("status") == "rejected" and bool(row.get("replaces"))


def read_orders(rows: Iterable[Row], ctx: Context) -> list[model.Order]:
    """Read orders, changes that came to nothing left out. Raises DecodeError."""
    with reading("order"):
        return [read_order(leg, ctx) for row in rows if not refused_change(row) for leg in legs_of(row)]


def read_order(row: Row, ctx: Context) -> model.Order:
    """Read one order. Raises DecodeError."""
    with reading("order"):
        word, order_id = str(row["status"]), str(row["id"])
        filled = needed(row, "filled_qty")
        # An order for an amount of money has a quantity once it has filled.
        quantity = filled if row.get("qty") is None and row.get("notional") else needed(row, "qty")
        order_type = ORDER_TYPE.read(row.get("order_type") or row.get("type"))
        status = _status(word, order_type, quantity, filled)
        ended = status.terminal
        chain = (text_or_none(row.get("replaces")), order_id, text_or_none(row.get("replaced_by")))
        tag = text_or_none(row.get("client_order_id"))
        ts_event = rfc3339_ns(row.get("updated_at")) or rfc3339_ns(row.get("submitted_at"))
        closed = any(row.get(key) for key in ("filled_at", "canceled_at", "expired_at", "failed_at"))
        return model.Order(
            broker="alpaca",
            account_id=ctx.account,
            instrument_id=instrument_id(row, ctx),
            side=side_of(SIDE, row["side"]),
            quantity=quantity,
            order_type=order_type,
            status=status,
            status_is_firm=word not in _UNSURE or status is S.FILLED,
            raw_status=word,
            pending=model.Pending.NONE if ended else PENDING.read(word),
            order_id=order_id,
            order_ids=tuple(filter(None, chain)),
            parent_order_id=text_or_none(row.get("parent_order_id")),
            price=given(row, "limit_price"),
            trigger_price=given(row, "stop_price"),
            time_in_force=TIME_IN_FORCE.read(row.get("time_in_force")),
            product=model.Product.DELIVERY,
            variety=ORDER_CLASS.read(row.get("order_class") or ""),
            filled_quantity=filled,
            remaining_quantity=Decimal(0) if ended else max(quantity - filled, Decimal(0)),
            canceled_quantity=quantity - filled if status in (S.CANCELED, S.EXPIRED) else Decimal(0),
            average_price=given(row, "filled_avg_price") if filled else None,
            reject=CODES.rejection(row.get("reject_reason")) if status is S.REJECTED else None,
            tag=tag,
            tags=(tag,) if tag else (),
            modified=row.get("replaces") is not None,
            placed_by=str(row.get("source") or ""),
            ts_created=rfc3339_ns(row.get("created_at")),
            ts_accepted=rfc3339_ns(row.get("submitted_at")),
            ts_event=ts_event,
            ts_closed=ts_event if ended and closed else None,
            raw=row,
        )


def _status(word: str, order_type: model.OrderType, quantity: Decimal, filled: Decimal) -> model.OrderStatus:
    status = STATUS.read(word)
    if word == "calculated" and filled >= quantity > 0:
        return S.FILLED
    if status is S.OPEN:
        # Nothing tells when a stop is triggered: it waits until it fills or ends.
        waiting = order_type.has_trigger or order_type is T.TRAILING_STOP_MARKET
        return S.PARTIALLY_FILLED if filled > 0 else S.TRIGGER_PENDING if waiting else S.OPEN
    return status


def trade_id(order_id: str, filled: Decimal) -> str:
    """Return the id of a fill: how much of its order was filled with it.

    The stream's execution id and the activity's id are not known to be the same; what is filled so far is, and no two
    fills of an order share it.
    """
    return f"{order_id}:{filled.normalize():f}"


def read_fill(row: Row, ctx: Context) -> model.Fill:
    """Read an activity of type FILL. Raises DecodeError."""
    with reading("fill"):
        order_id, name = str(row["order_id"]), instrument_id(row, ctx)
        return model.Fill(
            broker="alpaca",
            account_id=ctx.account,
            trade_id=trade_id(order_id, needed(row, "cum_qty")),
            order_id=order_id,
            instrument_id=name,
            exchange=name.partition(":")[0],
            side=side_of(SIDE, row["side"]),
            product=model.Product.DELIVERY,
            quantity=needed(row, "qty"),
            price=needed(row, "price"),
            ts_event=rfc3339_ns(row["transaction_time"]),
            raw=row,
        )


def read_execution(data: Row, order: model.Order, ctx: Context) -> model.Fill:
    """Read the fill in an event of the order stream. Raises DecodeError."""
    with reading("fill event"):
        row = data["order"]
        return model.Fill(
            broker="alpaca",
            account_id=ctx.account,
            trade_id=trade_id(order.order_id, needed(row, "filled_qty")),
            order_id=order.order_id,
            exchange_order_id=text_or_none(data.get("execution_id")),
            instrument_id=order.instrument_id,
            exchange=order.instrument_id.partition(":")[0],
            side=order.side,
            product=model.Product.DELIVERY,
            quantity=needed(data, "qty"),
            price=needed(data, "price"),
            ts_event=rfc3339_ns(data.get("timestamp")) or order.ts_event,
            raw=data,
        )


def read_position(row: Row, fills: Iterable[model.Fill], ctx: Context) -> model.Position:
    """Read a position; the day's buys and sells, which the broker does not tell, are summed from its fills.

    Raises
    ------
    DecodeError
    """
    with reading("position"):
        name, quantity = instrument_id(row, ctx), needed(row, "qty")
        if row.get("side") == "short":
            quantity = -abs(quantity)
        multiplier = _HUNDRED if row.get("asset_class") == "us_option" else Decimal(1)
        mine = [fill for fill in fills if fill.instrument_id == name]
        bought, sold = (Traded.of(mine, side) for side in (model.Side.BUY, model.Side.SELL))
        return model.Position(
            broker="alpaca",
            account_id=ctx.account,
            instrument_id=name,
            product=model.Product.DELIVERY,
            quantity=quantity,
            overnight_quantity=quantity - bought.quantity + sold.quantity,
            average_price=given(row, "avg_entry_price"),
            last_price=given(row, "current_price"),
            close_price=given(row, "lastday_price"),
            multiplier=multiplier,
            unrealised_pnl=given(row, "unrealized_pl"),
            pnl=given(row, "unrealized_pl"),
            m2m=given(row, "unrealized_intraday_pl"),
            value=given(row, "market_value"),
            currency="USD",
            ts_event=ctx.now_ns,
            raw=row,
            day_buy_quantity=bought.quantity,
            day_buy_price=bought.price,
            day_buy_value=bought.worth * multiplier,
            day_sell_quantity=sold.quantity,
            day_sell_price=sold.price,
            day_sell_value=sold.worth * multiplier,
        )


def read_margin(row: Row, ctx: Context) -> model.Margin:
    """Read the account: one pool for everything. `net` is the buying power, which counts the broker's loan."""
    with reading("account"):
        return model.Margin(
            broker="alpaca",
            account_id=ctx.account,
            segment=model.Segment.ALL,
            enabled=not (row.get("trading_blocked") or row.get("account_blocked")),
            net=given(row, "buying_power"),
            available=model.MarginAvailable(
                cash=given(row, "cash"), opening_balance=given(row, "last_equity"), live_balance=given(row, "equity")
            ),
            used=model.MarginUsed(total=given(row, "initial_margin")),
            leverage=nonzero(row, "multiplier"),
            initial=given(row, "initial_margin"),
            maintenance=given(row, "maintenance_margin"),
            currency=str(row.get("currency") or "USD"),
            ts_event=ctx.now_ns,
            raw=row,
        )
