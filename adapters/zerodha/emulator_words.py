"""The broker's JSON: orders, trades, positions, funds and quotes as its API writes them, and its errors.

Every row has the fields of the official mock response of the same name, in rupees and Indian time; what the paths lead
to is said in `dragoman.emulator.views`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from dragoman.emulator.parts import (
    ApiError,
    AppRefusalError,
    As,
    FieldError,
    Levels,
    OrderView,
    QuoteView,
    StatusWords,
    StretchError,
    Table,
    ist,
    write,
)
from dragoman.plugin import ErrorKind, model

from . import words

S = model.OrderStatus
STATUS: Final = StatusWords(
    firm={
        S.ACCEPTED: "VALIDATION PENDING",
        S.OPEN: "OPEN",
        S.PARTIALLY_FILLED: "OPEN",
        S.TRIGGER_PENDING: "TRIGGER PENDING",
        S.TRIGGERED: "OPEN PENDING",
        S.FILLED: "COMPLETE",
        S.CANCELED: "CANCELLED",
        S.REJECTED: "REJECTED",
        S.EXPIRED: "CANCELLED",
    },
    received="PUT ORDER REQ RECEIVED",
    leaving="OPEN PENDING",
    waiting="AMO REQ RECEIVED",
    modify_received="MODIFY VALIDATION PENDING",
    modifying="MODIFY PENDING",
    modified="MODIFIED",
    canceling="CANCEL PENDING",
)


class KiteError(ApiError):
    """An error reply; `word` is the broker's ``error_type``."""

    statuses: ClassVar = {
        "InputException": 400,
        "OrderException": 400,
        "MarginException": 400,
        "HoldingException": 400,
        "TokenException": 403,
        "PermissionException": 403,
        "NetworkException": 429,
        "GeneralException": 500,
    }
    words: ClassVar = {
        ErrorKind.INSUFFICIENT_MARGIN: "MarginException",
        ErrorKind.INSUFFICIENT_HOLDINGS: "HoldingException",
        ErrorKind.PERMISSION_DENIED: "PermissionException",
        ErrorKind.RISK_REJECTED: "OrderException",
        ErrorKind.EXCHANGE_REJECTED: "OrderException",
        ErrorKind.MARKET_CLOSED: "OrderException",
        ErrorKind.TOO_LATE_TO_MODIFY_OR_CANCEL: "OrderException",
    }
    other = "InputException"
    texts: ClassVar = {
        ErrorKind.ORDER_NOT_FOUND: "Couldn't find that `order_id`.",
        ErrorKind.INSTRUMENT_NOT_FOUND: "The instrument you are placing an order for has either expired or does not"
        " exist.",
        ErrorKind.MARKET_CLOSED: "Markets are closed right now.",
    }
    causes: ClassVar = {
        FieldError: "InputException",
        StretchError: "InputException",
        AppRefusalError: "TokenException",
    }
    gates: ClassVar = {
        403: ("PermissionException", "The IP address of this call is not whitelisted for orders."),
        404: ("GeneralException", "Route not found"),
        405: ("GeneralException", "Method not allowed"),
        429: ("NetworkException", "Too many requests"),
        "orders a day": ("NetworkException", "Maximum allowed orders per day exceeded."),
    }
    # 502 and 504 are failures of its order system, the rest of its API.
    faults: ClassVar = {
        403: ("TokenException", "Incorrect `api_key` or `access_token`."),
        429: ("NetworkException", "Too many requests"),
        502: ("DataException", "Couldn't parse the response of the order management system."),
        503: ("NetworkException", "Couldn't connect to the order management system."),
        504: ("DataException", "The order management system did not answer in time."),
    }
    fault = ("GeneralException", "Something unexpected went wrong.")

    def body(self) -> dict[str, Any]:
        return {"status": "error", "message": self.message, "data": None, "error_type": self.word}

    def child(self) -> dict[str, Any]:
        """Return the error of one of several orders in a reply."""
        return {"code": self.status, "error_type": self.word, "message": self.message, "data": None}


class Kite:
    """What all desks of this broker say."""

    errors: ClassVar[type[ApiError]] = KiteError
    statuses: ClassVar = STATUS


# --- orders ----------------------------------------------------------------------------------------------------------

PLACE: Final[Table] = {
    "exchange": ".named.exchange",
    "tradingsymbol": ".named.symbol",
    "instrument_token": ".named.token",
}
ORDER: Final[Table] = PLACE | {
    "account_id": ".account",
    "placed_by": ".account",
    "terminal_id": "",
    "order_id": ".state.order_id",
    "exchange_order_id": ".state.exchange_order_id",
    "status": ".status",
    "status_message": ".text",
    "status_message_raw": ".raw_text",
    "order_timestamp": As(".state.ts_created", ist),
    "exchange_timestamp": As(".state.ts_exchange", ist),
    "modified": ".state.modified",
    "order_type": As(".order.order_type", words.ORDER_TYPE.write),
    "transaction_type": ".order.side.value",
    "validity": As(".order.time_in_force", words.VALIDITY.write),
    "validity_ttl": 0,
    "quantity": ".quantity",
    "disclosed_quantity": ".disclosed",
    "price": ".price",
    "trigger_price": ".trigger",
    "average_price": ".average",
    "filled_quantity": ".filled",
    "pending_quantity": ".left",
    "cancelled_quantity": ".canceled",
    "market_protection": 0,  # the broker reports 0 even where protection was applied; the tags tell
    "tag": ".order.tag",
    "guid": None,
}


def order_row(one: OrderView[Any]) -> dict[str, Any]:
    """Write one state of an order as the book, the history and the ticker carry it."""
    extra, variety = one.extra, one.extra.get("variety", "regular")
    tags = [*extra.get("tags", ()), *((one.order.tag,) if one.order.tag else ())]
    told = {
        "parent_order_id": extra.get("parent"),
        "exchange_update_timestamp": ist(one.state.ts_updated) if one.state.ts_exchange else None,
        "variety": variety,
        "product": "CO" if variety == "co" else words.PRODUCT.write(one.order.product),
        "meta": extra.get("meta", {}),
        "auction_number": extra.get("auction_number"),
    }
    return write(ORDER, one) | told | ({"tags": tags} if tags else {})


def update_row(one: OrderView[Any]) -> dict[str, Any]:
    """Write an order as streams and postbacks tell it: a partial fill and a modification are called UPDATE there."""
    partial = one.status == "OPEN" and one.state.status is S.PARTIALLY_FILLED
    return order_row(one) | ({"status": "UPDATE"} if partial or one.status == "MODIFIED" else {})


TRADE: Final[Table] = PLACE | {
    "trade_id": ".fill.trade_id",
    "order_id": ".fill.order_id",
    "product": As(".fill.product", words.PRODUCT.write),
    "average_price": ".fill.price",
    "quantity": ".quantity",
    "exchange_order_id": ".fill.exchange_order_id",
    "transaction_type": ".fill.side.value",
    "fill_timestamp": As(".fill.ts", ist),
    "order_timestamp": As(".state.ts_created", lambda ns: ist(ns, "%H:%M:%S")),  # here, and only here, a time of day
    "exchange_timestamp": As(".fill.ts", ist),
}

# --- portfolio -------------------------------------------------------------------------------------------------------

POSITION: Final[Table] = PLACE | {
    "product": As(".position.product", words.PRODUCT.write),
    "quantity": ".quantity",
    "overnight_quantity": ".carried",
    "multiplier": ".multiplier",
    "average_price": ".average",
    "close_price": ".market.close",
    "last_price": ".market.last_price",
    "value": ".value",
    "pnl": ".pnl",
    "m2m": ".m2m",
    "unrealised": ".pnl",  # the broker books no realised part here: 0, and all of it unrealised
    "realised": 0,
    "buy_quantity": ".bought.quantity",
    "buy_price": ".bought.price",
    "buy_value": ".bought.value",
    "buy_m2m": ".bought.m2m",
    "sell_quantity": ".sold.quantity",
    "sell_price": ".sold.price",
    "sell_value": ".sold.value",
    "sell_m2m": ".sold.m2m",
    "day_buy_quantity": ".day_bought.quantity",
    "day_buy_price": ".day_bought.price",
    "day_buy_value": ".day_bought.value",
    "day_sell_quantity": ".day_sold.quantity",
    "day_sell_price": ".day_sold.price",
    "day_sell_value": ".day_sold.value",
}
"""A position, of the net list or of the day list."""

HOLDING: Final[Table] = PLACE | {
    "isin": As(".named.instrument.isin", lambda isin: isin or ""),
    "product": "CNC",
    "price": 0,
    "quantity": ".free",  # beside what is pledged or still on its way (unverified)
    "used_quantity": ".sold",
    "t1_quantity": ".t1",
    "realised_quantity": ".settled",
    "authorised_quantity": 0,
    "authorised_date": As(".market.ts", lambda ns: ist(ns, "%Y-%m-%d 00:00:00")),
    "authorisation": {},
    "opening_quantity": ".settled",
    "short_quantity": 0,
    "collateral_quantity": ".pledged",
    "collateral_type": "",
    "discrepancy": False,
    "average_price": ".holding.average_price",
    "last_price": ".market.last_price",
    "close_price": ".market.close",
    "pnl": ".profit",
    "day_change": ".change",
    "day_change_percentage": ".change_percent",
    "mtf": {
        "quantity": ".funded",
        "used_quantity": ".funded_sold",
        "average_price": ".funded_price",
        "value": ".funded_value",
        "initial_margin": ".funded_margin",
    },
}
_COMPACT: Final = ("exchange", "tradingsymbol", "instrument_token", "t1_quantity", "quantity")
COMPACT: Final[Table] = {name: HOLDING[name] for name in _COMPACT}
FUNDS: Final[Table] = {
    "enabled": True,
    "net": ".net",  # with collateral
    "available": {
        "adhoc_margin": 0,
        "cash": ".opening",  # the opening ledger, not what is free
        "opening_balance": ".opening",
        "live_balance": ".own",
        "collateral": ".collateral",
        "intraday_payin": ".payin",
    },
    "utilised": {
        "debits": ".debits",
        # The broker has no field for what open orders block: it stands with the margin of positions.
        "exposure": ".blocked",
        "m2m_realised": ".realised",
        "m2m_unrealised": ".unrealised",
        "option_premium": ".used_premium",
        "payout": 0,
        "span": ".span",
        "holding_sales": 0,
        "turnover": 0,
        "liquid_collateral": ".tied_collateral_cash",
        "stock_collateral": ".tied_pledged",
        "delivery": ".used_delivery",
    },
}

# --- quotes ----------------------------------------------------------------------------------------------------------

LEVEL: Final[Table] = {"price": ".price", "quantity": ".quantity", "orders": ".orders"}
LTP: Final[Table] = {"instrument_token": ".named.token", "last_price": ".market.last_price"}
OHLC: Final[Table] = LTP | {
    "ohlc": {"open": ".market.open", "high": ".market.high", "low": ".market.low", "close": ".market.close"}
}
INDEX: Final[Table] = OHLC | {"timestamp": As(".market.ts", ist), "net_change": ".change"}
FULL: Final[Table] = INDEX | {
    "last_trade_time": As(".market.last_trade_ts", ist),
    "last_quantity": ".last_quantity",
    "buy_quantity": ".buy_quantity",
    "sell_quantity": ".sell_quantity",
    "volume": ".volume",
    "average_price": ".average",
    "oi": ".oi",
    "oi_day_high": ".oi_high",
    "oi_day_low": ".oi_low",
    "lower_circuit_limit": ".market.band_low",
    "upper_circuit_limit": ".market.band_high",
    "depth": {"buy": Levels(".bids", 5, LEVEL), "sell": Levels(".asks", 5, LEVEL)},
}


def quote_row(one: QuoteView[Any], mode: str = "quote") -> dict[str, Any]:
    """Write one instrument of ``/quote``, ``/quote/ohlc`` or ``/quote/ltp``."""
    whole = INDEX if one.named.is_index else FULL
    return write({"ltp": LTP, "ohlc": OHLC, "quote": whole}[mode], one)
