"""The broker's words and records in our terms: spot and USD-M futures, REST rows and stream events alike.

References
----------
Spot REST and user data stream documentation (2026-07-21), USD-M documentation (2026-05-28); what stands in neither is
marked (unverified).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from dragoman.plugin import CodeTable, Context, EnumMap, OrderSeen, errors, model
from dragoman.plugin.parts import Records, Row, given, needed, nonzero, number, side_of, text_or_none

RECORDS: Final = Records("binance")
CODES: Final = CodeTable.load(__package__)
PLATFORM: Final = "BINANCE"
_T = model.OrderType
_S = model.OrderStatus
_F = model.TimeInForce
_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Market:
    """One of the two markets of an account: its REST interface, and what its orders are.

    Attributes
    ----------
    letter : str
        Begins the ids of its orders.
    host, root : str
        Of its REST interface.
    meter : str
        Its request weights; ``<meter>_orders`` counts orders.
    """

    letter: str
    exchange: str
    host: str
    root: str
    meter: str
    product: model.Product
    order_types: EnumMap[model.OrderType]
    events: Mapping[str, str]

    @property
    def orders_meter(self) -> str:
        return f"{self.meter}_orders"


# Keys of stream events -> those of REST rows, so that one reader reads both.
_EVENT: Final = {
    "symbol": "s",
    "clientOrderId": "c",
    "side": "S",
    "type": "o",
    "timeInForce": "f",
    "origQty": "q",
    "price": "p",
    "status": "X",
    "orderId": "i",
    "executedQty": "z",
    "updateTime": "T",
}
SPOT: Final = Market(
    "s",
    PLATFORM,
    "rest",
    "/api/v3",
    "spot",
    model.Product.CASH,
    EnumMap(
        {
            "LIMIT": _T.LIMIT,
            "MARKET": _T.MARKET,
            "LIMIT_MAKER": _T.LIMIT,
            "STOP_LOSS": _T.STOP_MARKET,
            "STOP_LOSS_LIMIT": _T.STOP_LIMIT,
            "TAKE_PROFIT": _T.MARKET_IF_TOUCHED,
            "TAKE_PROFIT_LIMIT": _T.LIMIT_IF_TOUCHED,
        },
        unknown=_T.UNKNOWN,
        outward={
            _T.LIMIT: "LIMIT",
            _T.MARKET: "MARKET",
            _T.STOP_MARKET: "STOP_LOSS",
            _T.STOP_LIMIT: "STOP_LOSS_LIMIT",
            _T.MARKET_IF_TOUCHED: "TAKE_PROFIT",
            _T.LIMIT_IF_TOUCHED: "TAKE_PROFIT_LIMIT",
            _T.TRAILING_STOP_MARKET: "STOP_LOSS",
            _T.TRAILING_STOP_LIMIT: "STOP_LOSS_LIMIT",
        },
    ),
    _EVENT
    | {
        "origClientOrderId": "C",
        "stopPrice": "P",
        "icebergQty": "F",
        "trailingDelta": "d",
        "cummulativeQuoteQty": "Z",
        "isWorking": "w",
        "time": "O",
        "expiryReason": "eR",
        "orderListId": "g",
        "selfTradePreventionMode": "V",
        "strategyId": "j",
        "strategyType": "J",
        "pegPriceType": "gP",
    },
)
USDM: Final = Market(
    "u",
    f"{PLATFORM}USDM",
    "futures",
    "/fapi/v1",
    "usdm",
    model.Product.MARGIN,
    EnumMap(
        {
            "LIMIT": _T.LIMIT,
            "MARKET": _T.MARKET,
            "STOP": _T.STOP_LIMIT,
            "STOP_MARKET": _T.STOP_MARKET,
            "TAKE_PROFIT": _T.LIMIT_IF_TOUCHED,
            "TAKE_PROFIT_MARKET": _T.MARKET_IF_TOUCHED,
            "TRAILING_STOP_MARKET": _T.TRAILING_STOP_MARKET,
        },
        unknown=_T.UNKNOWN,
    ),
    _EVENT | {"avgPrice": "ap", "stopPrice": "sp", "origType": "ot", "positionSide": "ps", "expiryReason": "er"},
)
ALGO: Final = "a"
"""Letter of conditional futures orders. They keep it, and their id, when they trigger an order of the book."""
ALGO_EVENT: Final = {
    "symbol": "s",
    "clientOrderId": "caid",
    "orderId": "aid",
    "side": "S",
    "type": "o",
    "timeInForce": "f",
    "origQty": "q",
    "price": "p",
    "stopPrice": "tp",
    "status": "X",
    "actualOrderId": "ai",
    "avgPrice": "ap",
    "executedQty": "aq",
    "updateTime": "T",
    "rejectText": "rm",
}
_ALGO_ROW: Final = {
    "clientOrderId": "clientAlgoId",
    "orderId": "algoId",
    "type": "orderType",
    "origQty": "quantity",
    "stopPrice": "triggerPrice",
    "status": "algoStatus",
    "time": "createTime",
    "avgPrice": "actualPrice",
    "executedQty": "actualQty",
}
MARKETS: Final = {market.exchange: market for market in (SPOT, USDM)}
ON_TRIGGER: Final = frozenset(
    (_T.STOP_MARKET, _T.STOP_LIMIT, _T.MARKET_IF_TOUCHED, _T.LIMIT_IF_TOUCHED, _T.TRAILING_STOP_MARKET)
)

STATUS: Final = EnumMap[model.OrderStatus](
    {
        "NEW": _S.OPEN,
        "PENDING_NEW": _S.ACCEPTED,
        "PARTIALLY_FILLED": _S.PARTIALLY_FILLED,
        "FILLED": _S.FILLED,
        "CANCELED": _S.CANCELED,
        "PENDING_CANCEL": _S.OPEN,
        "REJECTED": _S.REJECTED,
        "EXPIRED": _S.EXPIRED,
        "EXPIRED_IN_MATCH": _S.EXPIRED,
    },
    unknown=_S.UNKNOWN,
)
ALGO_STATUS: Final = EnumMap[model.OrderStatus](
    {
        "NEW": _S.TRIGGER_PENDING,
        "CANCELED": _S.CANCELED,
        "TRIGGERING": _S.TRIGGERED,
        "TRIGGERED": _S.TRIGGERED,
        "FINISHED": _S.FILLED,
        "REJECTED": _S.REJECTED,
        "EXPIRED": _S.EXPIRED,
    },
    unknown=_S.UNKNOWN,
)
SIDE: Final = EnumMap[model.Side | None]({"BUY": model.Side.BUY, "SELL": model.Side.SELL}, unknown=None)
TIME_IN_FORCE: Final = EnumMap[model.TimeInForce](
    {"GTC": _F.GTC, "IOC": _F.IOC, "FOK": _F.FOK, "GTX": _F.GTC, "GTD": _F.GTD}, unknown=_F.UNKNOWN
)
POSITION_SIDE: Final = {"BOTH": "NET", "LONG": "LONG", "SHORT": "SHORT"}
_NO_REASON: Final = ("", "0", "NONE")


@dataclass(frozen=True, slots=True)
class OrderKey:
    """An order id of ours. The venue's numbers are unique within a symbol and kind only, and its requests want both."""

    letter: str
    symbol: str
    number: str

    def __str__(self) -> str:
        return f"{self.letter}:{self.symbol}:{self.number}"

    @classmethod
    def parse(cls, order_id: str) -> OrderKey:
        """Read one. Raises UsageError for text that is none."""
        letter, _, rest = order_id.partition(":")
        symbol, _, digits = rest.rpartition(":")
        if letter not in (SPOT.letter, USDM.letter, ALGO) or not symbol or not digits.isdecimal():
            raise RECORDS.refused(
                f"{order_id!r} is no order id", "ids read s:SYMBOL:NUMBER, u:SYMBOL:NUMBER or a:SYMBOL:NUMBER"
            )
        return cls(letter, symbol, digits)

    @property
    def market(self) -> Market:
        return SPOT if self.letter == SPOT.letter else USDM


def renamed(row: Row, names: Mapping[str, str]) -> dict[str, object]:
    """Return what a record has under other names, under ours; the rest under its own."""
    return {**row, **{ours: row[theirs] for ours, theirs in names.items() if theirs in row}}


def instrument_id(market: Market, symbol: str, ctx: Context) -> str:
    """Return the canonical id; a symbol that the master does not hold keeps its own name."""
    found = ctx.instruments.by_broker_symbol(market.exchange, symbol)
    return found.instrument_id if found else str(model.CanonicalId(market.exchange, symbol))


def ms(value: object) -> int | None:
    """Return ns of a time in ms, None of 0 and of nothing."""
    return int(number(value)) * _MS or None


def read_order(market: Market, row: Row, ctx: Context) -> model.Order:
    """Read an order of the book. Raises DecodeError."""
    with RECORDS.reading("order"):
        kind = market.order_types.read(str(row["type"]))
        first = market.order_types.read(str(row.get("origType") or row["type"]))
        known = _triggered_by(row, ctx) if market is USDM and first in ON_TRIGGER else None
        key = known.order_id if known else str(OrderKey(market.letter, str(row["symbol"]), str(row["orderId"])))
        if market is SPOT and nonzero(row, "trailingDelta"):
            kind = _T.TRAILING_STOP_LIMIT if kind.has_price else _T.TRAILING_STOP_MARKET
        status = STATUS.read(str(row["status"]))
        if status is _S.OPEN and market is SPOT and kind not in (_T.LIMIT, _T.MARKET) and row.get("isWorking") is False:
            status = _S.TRIGGER_PENDING
        return _order(market, row, status, first if known else kind, key, ctx)


def read_algo(row: Row, ctx: Context) -> model.Order:
    """Read a conditional futures order. Raises DecodeError."""
    with RECORDS.reading("conditional order"):
        row = renamed(row, _ALGO_ROW)
        key = OrderKey(ALGO, str(row["symbol"]), str(row["orderId"]))
        kind = USDM.order_types.read(str(row["type"]))
        status = ALGO_STATUS.read(str(row["status"]))
        filled, quantity = number(row.get("executedQty")), number(row.get("origQty"))
        if status is _S.FILLED and filled < quantity:
            # Finished says that the order it made has ended; how it ended that order's own report tells.
            status = _S.CANCELED if filled else _S.TRIGGERED
        return _order(USDM, row, status, kind, str(key), ctx)


def _order(
    market: Market, row: Row, status: model.OrderStatus, kind: model.OrderType, order_id: str, ctx: Context
) -> model.Order:
    word = str(row["status"])
    quantity, filled = needed(row, "origQty"), number(row.get("executedQty"))
    ended = status.terminal
    updated = ms(row.get("updateTime")) or ms(row.get("transactTime")) or ms(row.get("time"))
    tag = text_or_none(row.get("origClientOrderId")) or text_or_none(row.get("clientOrderId"))
    own = order_id.startswith(ALGO) and str(row.get("orderId")) == OrderKey.parse(order_id).number
    number_there = text_or_none(row.get("actualOrderId")) if own else str(row["orderId"])
    reason = str(row.get("expiryReason") or row.get("rejectText") or row.get("r") or "")
    reason = "" if reason in _NO_REASON else reason
    return model.Order(
        broker=RECORDS.broker,
        account_id=ctx.account,
        instrument_id=instrument_id(market, str(row["symbol"]), ctx),
        side=side_of(SIDE, row["side"]),
        quantity=quantity,
        order_type=kind,
        status=status,
        status_is_firm=word != "PENDING_CANCEL",
        raw_status=word,
        pending=model.Pending.CANCEL if word == "PENDING_CANCEL" else model.Pending.NONE,
        order_id=order_id,
        order_ids=(order_id,),
        exchange_order_id=number_there if number_there != "0" else None,
        price=nonzero(row, "price"),
        trigger_price=nonzero(row, "stopPrice"),
        time_in_force=TIME_IN_FORCE.read(text_or_none(row.get("timeInForce"))),
        product=market.product,
        variety=model.Variety.REGULAR,
        display_quantity=nonzero(row, "icebergQty"),
        filled_quantity=filled,
        remaining_quantity=Decimal(0) if ended else max(quantity - filled, Decimal(0)),
        canceled_quantity=quantity - filled if ended and status is not _S.REJECTED else Decimal(0),
        average_price=_average(row, filled),
        average_price_basis=model.PriceBasis.DERIVED if market is SPOT else model.PriceBasis.BROKER,
        reject=model.Reject(errors.ErrorKind.EXCHANGE_REJECTED, reason or "no reason given", word)
        if status is _S.REJECTED
        else None,
        status_text=reason or None,
        tag=tag,
        ts_created=ms(row.get("time")) or ms(row.get("transactTime")),
        ts_event=updated,
        ts_closed=updated if ended else None,
        raw=row,
    )


def _average(row: Row, filled: Decimal) -> Decimal | None:
    """Return the average price; old orders tell a negative quote quantity, which means that it is not known."""
    if not filled:
        return None
    quote = number(row.get("cummulativeQuoteQty"))
    return nonzero(row, "avgPrice") or (quote / filled if quote > 0 else None)


def _triggered_by(row: Row, ctx: Context) -> model.Order | None:
    """Return the conditional order that made this one: by the number it named, or by the client id they share."""
    made, tag = str(row["orderId"]), row.get("clientOrderId")
    for known in ctx.orders:
        if known.order_id.startswith(f"{ALGO}:{row['symbol']}:") and (
            known.exchange_order_id == made or (known.wire_id and str(tag).startswith(known.wire_id))
        ):
            return known
    return None


def read_fill(market: Market, row: Row, order_id: str, ctx: Context) -> model.Fill:
    """Read one execution of `order_id`. Raises DecodeError."""
    with RECORDS.reading("trade"):
        buyer = row.get("isBuyer", row.get("buyer"))
        side = side_of(SIDE, row["side"]) if row.get("side") else model.Side.BUY if buyer else model.Side.SELL
        return model.Fill(
            broker=RECORDS.broker,
            account_id=ctx.account,
            trade_id=str(row["id"]),
            order_id=order_id,
            exchange_order_id=str(row["orderId"]),
            instrument_id=instrument_id(market, str(row["symbol"]), ctx),
            exchange=market.exchange,
            side=side,
            product=market.product,
            quantity=needed(row, "qty"),
            price=needed(row, "price"),
            liquidity=model.Liquidity.MAKER if row.get("isMaker", row.get("maker")) else model.Liquidity.TAKER,
            fee=given(row, "commission"),
            fee_currency=text_or_none(row.get("commissionAsset")),
            ts_event=ms(row.get("time")),
            raw=row,
        )


def read_report(market: Market, event: Row, ctx: Context) -> OrderSeen:
    """Read an execution report of either market, with the trade it tells of. Raises DecodeError."""
    with RECORDS.reading("execution report"):
        order = read_order(market, renamed(event, market.events), ctx)
        if event["x"] != "TRADE" and event["x"] != "CALCULATED":
            return OrderSeen(order)
        trade = renamed(event, _TRADE_EVENT)
        fill = read_fill(market, trade, order.order_id, ctx)
        return OrderSeen(order.but(last_price=fill.price, last_quantity=fill.quantity), (fill,))


_TRADE_EVENT: Final = {
    "id": "t",
    "symbol": "s",
    "orderId": "i",
    "side": "S",
    "qty": "l",
    "price": "L",
    "commission": "n",
    "commissionAsset": "N",
    "time": "T",
    "maker": "m",
}


def levels(rows: Iterable[tuple[str, str]]) -> tuple[model.DepthLevel, ...]:
    """Return depth levels; the venue does not count orders."""
    return tuple(model.DepthLevel(float(price), float(quantity), 0) for price, quantity in rows)


def read_position(row: Row, ctx: Context) -> model.Position:
    """Read one futures position. SHORT rows hold a negative quantity already. Raises DecodeError."""
    with RECORDS.reading("position"):
        quantity = needed(row, "positionAmt")
        return model.Position(
            broker=RECORDS.broker,
            account_id=ctx.account,
            instrument_id=instrument_id(USDM, str(row["symbol"]), ctx),
            product=USDM.product,
            quantity=quantity,
            position_side=POSITION_SIDE[str(row["positionSide"])],  # type: ignore[arg-type]
            average_price=nonzero(row, "entryPrice"),
            last_price=nonzero(row, "markPrice"),
            unrealised_pnl=given(row, "unRealizedProfit"),
            value=given(row, "notional"),
            margin_used=given(row, "initialMargin"),
            currency=str(row.get("marginAsset") or ""),
            ts_event=ms(row.get("updateTime")),
            raw=row,
        )
