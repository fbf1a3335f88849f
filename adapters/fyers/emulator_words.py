"""The broker's JSON: orders, trades, positions, funds and quotes as its API writes them, and its errors.

What the paths in the tables lead to is said in `dragoman.emulator.views`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar, Final

from dragoman.emulator.parts import (
    ApiError,
    AppRefusalError,
    As,
    FieldError,
    FundsView,
    HoldingView,
    HttpAnswer,
    Levels,
    Or,
    OrderView,
    PositionView,
    StatusWords,
    StretchError,
    Table,
    cents,
    ist,
    json_answer,
    seconds,
    worth,
    write,
)
from dragoman.plugin import ErrorKind, model

from . import words

S = model.OrderStatus
STATUS: Final = StatusWords(
    firm={
        S.ACCEPTED: "4",
        S.OPEN: "6",
        S.PARTIALLY_FILLED: "6",
        S.TRIGGER_PENDING: "6",
        S.TRIGGERED: "6",
        S.FILLED: "2",
        S.CANCELED: "1",
        S.REJECTED: "5",
        S.EXPIRED: "7",
    }
)


class FyersError(ApiError):
    """An error reply; the word is its code."""

    statuses: ClassVar = defaultdict(
        lambda: 400, {"-8": 401, "-15": 401, "-16": 401, "-17": 401, "-373": 403, "-429": 429}
    )
    words: ClassVar = {
        ErrorKind.ORDER_NOT_FOUND: "-51",
        ErrorKind.TOO_LATE_TO_MODIFY_OR_CANCEL: "-162",
        ErrorKind.INSTRUMENT_NOT_FOUND: "-300",
        ErrorKind.POSITION_ALREADY_FLAT: "-53",
    }
    other = "-99"
    texts: ClassVar = {
        ErrorKind.INSUFFICIENT_MARGIN: "RMS: insufficient funds for this order",
        ErrorKind.INSUFFICIENT_HOLDINGS: "RMS: the quantity is above your holdings",
        ErrorKind.INVALID_PRICE_TICK: "The price is not a multiple of the tick size",
        ErrorKind.INVALID_QUANTITY: "The quantity is not a multiple of the lot size",
        ErrorKind.PRICE_OUT_OF_BAND: "The price is outside the circuit limits",
        ErrorKind.FREEZE_QTY_EXCEEDED: "The quantity is above the freeze quantity",
    }
    causes: ClassVar = {FieldError: "-50", StretchError: "-50", AppRefusalError: "-16"}
    gates: ClassVar = {
        403: ("-373", "The IP address of this call is not registered for orders."),
        404: ("-50", "no page"),
        405: ("-50", "no page"),
        429: ("-429", "request limit reached"),
    }
    faults: ClassVar = {
        401: ("-16", "Could not authenticate the user"),
        403: ("-373", "You do not have permission for this call"),
        429: ("-429", "request limit reached"),
    }
    fault = ("-96", "Something went wrong")

    def body(self) -> dict[str, Any]:
        return {"s": "error", "code": int(self.word), "message": self.message}


class Fyers:
    """What all desks of this broker say."""

    errors: ClassVar[type[ApiError]] = FyersError
    statuses: ClassVar = STATUS


def success(code: int = 200, message: str = "", **more: Any) -> HttpAnswer:
    return json_answer({"s": "ok", "code": code, "message": message, **more})


def several(items: Iterable[Mapping[str, Any]]) -> HttpAnswer:
    """Answer with what became of each of several orders."""
    codes = ((200 if body["s"] == "ok" else 400, dict(body)) for body in items)
    return success(data=[{"statusCode": code, "statusDescription": "OK", "body": body} for code, body in codes])


def book_time(ns: int | None) -> str | None:
    return ist(ns, "%d-%b-%Y %H:%M:%S")


TAG: Final = As(".order.tag", lambda tag: f"1:{tag}" if tag else "2:Untagged")
TYPE: Final = As(".order.order_type", lambda kind: int(words.ORDER_TYPE.write(kind)))

# --- orders ----------------------------------------------------------------------------------------------------------

PLACE: Final[Table] = {
    "symbol": ".named.key",
    "fyToken": ".named.fy_token",
    "exchange": As(".named.code", lambda code: int(code[:2])),
    "segment": As(".named.code", lambda code: int(code[2:])),
    "instrument": As(".named.is_index", lambda index: 10 if index else 0),
}
ORDER: Final[Table] = PLACE | {
    "clientId": ".account",
    "id": ".state.order_id",
    "exchOrdId": Or(".state.exchange_order_id", ""),
    "id_fyers": As(".state.order_id", "emu-{}".format),
    "qty": ".quantity",
    "remainingQuantity": ".left",
    "filledQty": ".filled",
    "discloseQty": ".disclosed",
    "limitPrice": ".price",
    "stopPrice": ".trigger",
    "tradedPrice": ".average",
    "type": TYPE,
    "message": Or(".text", ""),
    "offlineOrder": ".offline",
    "orderDateTime": As(".state.ts_created", book_time),
    "orderValidity": As(".order.time_in_force", words.VALIDITY.write),
    "productType": As(".order.product", words.PRODUCT.write),
    "side": ".order.side.sign",
    "status": As(".status", int),
    "source": "ITS",
    "orderNumStatus": As(".", lambda one: f"{one.state.order_id}:{one.status}"),
    "orderTag": TAG,
    "slNo": 1,
}
_ON_SOCKET: Final = {book: raw for raw, book in words.STREAM_NAMES.items() if raw not in ("id_fill", "qty_traded")}
_ORDER_MESSAGE: Final[Table] = {
    _ON_SOCKET.get(name, name): cell
    for name, cell in ORDER.items()
    if name not in ("orderNumStatus", "slNo", "source", "clientId")
} | {
    "client_id": ".account",
    "ord_source": "ITS",
    "ord_status": As(".status", lambda status: 20 if status == "4" else int(status)),
    "report_type": As(".status", lambda status: "New Ack" if status == "4" else ""),
    "time_epoch_oms": As(".state.ts_created", seconds),
    "update_time_epoch_oms": As(".changed", seconds),
}


def order_message(one: OrderView[Any]) -> dict[str, Any]:
    """Write the order socket's record of an order: other names, no zeros."""
    told = write(_ORDER_MESSAGE, one)
    return {name: value for name, value in told.items() if value not in (0, "", None) or name == "segment"}


TRADE: Final[Table] = PLACE | {
    "orderDateTime": As(".fill.ts", book_time),
    "orderNumber": ".fill.order_id",
    "exchangeOrderNo": ".fill.exchange_order_id",
    "side": ".fill.side.sign",
    "orderType": TYPE,
    "productType": As(".fill.product", words.PRODUCT.write),
    "tradedQty": ".quantity",
    "tradePrice": ".fill.price",
    "tradeValue": ".value",
    "tradeNumber": ".fill.trade_id",
    "orderTag": TAG,
}
TRADE_MESSAGE: Final[Table] = {
    "symbol": ".named.key",
    "fy_token": ".named.fy_token",
    "exchange": PLACE["exchange"],
    "segment": PLACE["segment"],
    "id": ".fill.order_id",
    "id_fill": ".fill.trade_id",
    "id_exchange": ".fill.exchange_order_id",
    "tran_side": ".fill.side.sign",
    "ord_type": TYPE,
    "product_type": TRADE["productType"],
    "qty_traded": ".quantity",
    "price_traded": ".fill.price",
    "traded_val": ".value",
    "fill_time": As(".fill.ts", lambda ns: ist(ns, "%d-%m-%Y %H:%M:%S")),
    "ordertag": TAG,
}

# --- portfolio -------------------------------------------------------------------------------------------------------

POSITION: Final[Table] = PLACE | {
    "id": As(".", lambda one: position_id(one)),
    "productType": As(".position.product", words.PRODUCT.write),
    "netQty": ".quantity",
    "qty": ".size",
    "netAvg": ".average",
    "side": ".sign",
    "realized_profit": ".realised",
    "unrealized_profit": ".unrealised",
    "pl": ".pnl",
    "ltp": ".market.last_price",
    "crossCurrency": "N",
    "rbiRefRate": 1,
    "qtyMulti_com": ".multiplier",
    "cfBuyQty": ".carried_long",
    "cfSellQty": ".carried_short",
    "dayBuyQty": ".day_bought.quantity",
    "daySellQty": ".day_sold.quantity",
    "buyQty": ".bought.quantity",
    "buyAvg": ".bought.price",
    "buyVal": ".bought.value",
    "sellQty": ".sold.quantity",
    "sellAvg": ".sold.price",
    "sellVal": ".sold.value",
}
_POSITION_NAMES: Final = {
    "symbol": "symbol",
    "id": "id",
    "buy_avg": "buyAvg",
    "buy_qty": "buyQty",
    "buy_val": "buyVal",
    "sell_avg": "sellAvg",
    "sell_qty": "sellQty",
    "sell_val": "sellVal",
    "net_avg": "netAvg",
    "net_qty": "netQty",
    "tran_side": "side",
    "qty": "qty",
    "product_type": "productType",
    "pl_realized": "realized_profit",
    "pl_unrealized": "unrealized_profit",
    "pl_total": "pl",
    "day_buy_qty": "dayBuyQty",
    "day_sell_qty": "daySellQty",
    "cf_buy_qty": "cfBuyQty",
    "cf_sell_qty": "cfSellQty",
    "qty_multiplier": "qtyMulti_com",
    "rbirefrate": "rbiRefRate",
    "cross_curr_flag": "crossCurrency",
    "fy_token": "fyToken",
    "exchange": "exchange",
    "segment": "segment",
}
POSITION_MESSAGE: Final[Table] = {raw: POSITION[book] for raw, book in _POSITION_NAMES.items()}
_PROFITS: Final = {"total": "pl", "realized": "realized_profit", "unrealized": "unrealized_profit"}


def position_id(one: PositionView[Any]) -> str:
    return f"{one.named.key}-{words.PRODUCT.write(one.position.product)}"


def positions_answer(rows: list[dict[str, Any]]) -> HttpAnswer:
    totals = {f"pl_{word}": round(sum(row[key] for row in rows), 4) for word, key in _PROFITS.items()}
    counts = {"count_total": len(rows), "count_open": sum(1 for row in rows if row["netQty"])}
    return success(netPositions=rows, overall=counts | totals)


HOLDING: Final[Table] = PLACE | {
    "isin": Or(".named.instrument.isin", ""),
    "fyToken": ".named.token",  # a number here, a text everywhere else
    "costPrice": ".holding.average_price",
    "ltp": ".market.last_price",
    "qty_t1": 0,
    "remainingPledgeQuantity": -1,
}
_PART: Final[Table] = {
    "holdingType": As(".fresh", lambda fresh: "T1" if fresh else "HLD"),
    "quantity": ".quantity",
    "remainingQuantity": ".left",
    "marketVal": ".value",
    "pl": ".profit",
    "collateralQuantity": ".pledged",
}
HOLDINGS: Final[Table] = {
    "total_investment": ".invested",
    "total_current_value": ".current",
    "total_pl": ".profit",
    "pnl_perc": ".profit_percent",
}


def holdings_answer(held: list[HoldingView[Any]]) -> HttpAnswer:
    """Write what is delivered, and in records of their own what is on its way."""
    rows = [write(HOLDING, one) | write(_PART, part) for one in held for part in one.parts]
    overall = write(HOLDINGS, worth(one.owned for one in held)) | {"count_total": len(rows)}
    return success(holdings=rows, overall=overall)


FUNDS: Final = {
    "Total Balance": "total",
    "Utilized Amount": "tied",
    "Clear Balance": "cleared",
    "Realized Profit and Loss": "realised",
    "Collaterals": "collateral",
    "Fund Transfer": "payin",
    "Receivables": None,
    "Adhoc Limit": None,
    "Limit at start of the day": "opening",
    "Available Balance": "net",
}


def funds_answer(found: Sequence[FundsView]) -> HttpAnswer:
    """Write the funds of shares, and beside them those of commodities."""
    columns = ("equity", "commodity")
    both = SimpleNamespace(**dict(zip(columns, found, strict=True)))
    tables = [{f"{name}Amount": f".{name}.{what}" if what else 0 for name in columns} for what in FUNDS.values()]
    rows = (write(table, both) for table in tables)
    return success(
        fund_limit=[
            {"id": at, "title": title} | row for at, (title, row) in enumerate(zip(FUNDS, rows, strict=True), 1)
        ]
    )


# --- quotes ----------------------------------------------------------------------------------------------------------

QUOTE: Final[Table] = {
    "lp": ".market.last_price",
    "ch": ".change",
    "chp": As(".change_percent", lambda percent: round(percent, 2)),
    "bid": ".bid",
    "ask": ".ask",
    "spread": ".spread",
    "open_price": ".market.open",
    "high_price": ".market.high",
    "low_price": ".market.low",
    "prev_close_price": ".market.close",
    "atp": As(".market.average_price", cents),
    "volume": ".volume",
    "fyToken": ".named.fy_token",
    "tt": As(".market.ts", lambda ns: str(seconds(ns))),
    "short_name": ".named.symbol",
    "exchange": As(".named.key", lambda key: key.partition(":")[0]),
    "symbol": ".named.key",
}
LEVEL: Final[Table] = {"price": ".price", "volume": ".quantity", "ord": ".orders"}
DEPTH: Final[Table] = {
    "totalbuyqty": ".buy_quantity",
    "totalsellqty": ".sell_quantity",
    "bids": Levels(".bids", 5, LEVEL),
    "ask": Levels(".asks", 5, LEVEL),
    "o": ".market.open",
    "h": ".market.high",
    "l": ".market.low",
    "c": ".market.close",
    "ch": ".change",
    "ltp": ".market.last_price",
    "ltq": ".last_quantity",
    "ltt": As(".market.last_trade_ts", seconds),
    "v": ".volume",
    "atp": As(".market.average_price", cents),
    "lower_ckt": ".market.band_low",
    "upper_ckt": ".market.band_high",
    "tick_Size": As(".named.instrument.tick_size", float),
    "oi": ".oi",
    "oiflag": As(".named.instrument.expiry", lambda expiry: expiry is not None),
}
