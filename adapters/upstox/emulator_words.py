"""The broker's JSON: orders, trades, positions, funds and quotes as its API writes them, and its errors.

What the paths in the tables lead to is said in `dragoman.emulator.views`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from dragoman.emulator.parts import (
    ApiError,
    AppRefusalError,
    As,
    FieldError,
    HttpAnswer,
    Levels,
    Or,
    QuoteView,
    StatusWords,
    StretchError,
    Table,
    cents,
    ist,
    millis,
    succeeded,
    write,
)
from dragoman.plugin import ErrorKind, model

from . import words

S = model.OrderStatus
STATUS: Final = StatusWords(
    firm={
        S.ACCEPTED: "validation pending",
        S.OPEN: "open",
        S.PARTIALLY_FILLED: "open",
        S.TRIGGER_PENDING: "trigger pending",
        S.TRIGGERED: "open pending",
        S.FILLED: "complete",
        S.CANCELED: "cancelled",
        S.REJECTED: "rejected",
        S.EXPIRED: "cancelled",
    },
    received="put order req received",
    leaving="open pending",
    waiting="after market order req received",
    modify_received="modify validation pending",
    modifying="modify pending",
    modified="modified",
    canceling="cancel pending",
)


class UpstoxError(ApiError):
    """An error reply; the word is its code."""

    statuses: ClassVar = defaultdict(
        lambda: 400,
        {
            "UDAPI100050": 401,
            "UDAPI10005": 429,
            "UDAPI10000": 404,
            "UDAPI100060": 404,
            "UDAPI1154": 403,
            "UDAPI1156": 403,
            "UDAPI100500": 500,
        },
    )
    words: ClassVar = {
        ErrorKind.ORDER_NOT_FOUND: "UDAPI100010",
        ErrorKind.TOO_LATE_TO_MODIFY_OR_CANCEL: "UDAPI100041",
        ErrorKind.INVALID_QUANTITY: "UDAPI1052",
        ErrorKind.MARKET_CLOSED: "UDAPI100074",
        ErrorKind.INSTRUMENT_NOT_FOUND: "UDAPI100011",
        ErrorKind.POSITION_ALREADY_FLAT: "UDAPI1033",
    }
    other = "UDAPI100036"
    causes: ClassVar = {FieldError: "UDAPI100036", StretchError: "UDAPI1148", AppRefusalError: "UDAPI100016"}
    gates: ClassVar = {
        403: ("UDAPI1154", "Access from this IP address is not allowed for orders."),
        404: ("UDAPI100060", "Resource not Found."),
        405: ("UDAPI100060", "Resource not Found."),
        429: ("UDAPI10005", "Too Many Request Sent"),
    }
    faults: ClassVar = {
        401: ("UDAPI100050", "Invalid token used to access API"),
        403: ("UDAPI100050", "Invalid token used to access API"),
        423: ("UDAPI100072", "The service is accessible from 5:30 AM to 12:00 AM IST daily."),
        429: ("UDAPI10005", "Too Many Request Sent"),
    }
    fault = ("UDAPI100500", "Something went wrong, please contact us.")

    def __init__(
        self, word: str, message: str, status: int | None = None, *, path: str | None = None, value: Any = None
    ) -> None:
        super().__init__(word, message, status)
        self.path, self.value = path, value

    def item(self) -> dict[str, Any]:
        """Return one entry of the list of errors, in both spellings."""
        return write(ERROR, self)

    def body(self) -> Mapping[str, Any]:
        return {"status": "error", "errors": [self.item()]}


ERROR: Final[Table] = {
    "errorCode": ".word",
    "propertyPath": ".path",
    "invalidValue": ".value",
    "message": ".message",
    "error_code": ".word",
    "property_path": ".path",
    "invalid_value": ".value",
}


class Upstox:
    """What all desks of this broker say."""

    errors: ClassVar[type[ApiError]] = UpstoxError
    statuses: ClassVar = STATUS


def timed(data: Any) -> HttpAnswer:
    """Answer as version 3 does, with a latency."""
    return succeeded(data, metadata={"latency": 1})


# --- orders ----------------------------------------------------------------------------------------------------------

PLACE: Final[Table] = {
    "exchange": ".named.book_exchange",
    "instrument_token": ".named.key",
    "trading_symbol": ".named.book_symbol",
    "tradingsymbol": ".named.book_symbol",
}
ORDER: Final[Table] = PLACE | {
    "product": As(".order.product", words.PRODUCT.write),
    "order_type": As(".order.order_type", words.ORDER_TYPE.write),
    "transaction_type": ".order.side.value",
    "validity": As(".order.time_in_force", words.VALIDITY.write),
    "variety": As(".offline", lambda offline: "AMO" if offline else "SIMPLE"),
    "is_amo": ".offline",
    "price": ".price",
    "trigger_price": ".trigger",
    "average_price": ".average",
    "quantity": ".quantity",
    "disclosed_quantity": ".disclosed",
    "filled_quantity": ".filled",
    "pending_quantity": ".left",
    "status": ".status",
    "status_message": ".text",
    "status_message_raw": ".raw_text",
    "order_id": ".state.order_id",
    "exchange_order_id": Or(".state.exchange_order_id", ""),
    "parent_order_id": None,
    "order_ref_id": As(".state.order_id", "emu-{}".format),
    "order_request_id": "1",
    "guid": None,
    "tag": ".order.tag",
    "placed_by": ".account",
    "order_timestamp": As(".changed", ist),
    "exchange_timestamp": As(".state.ts_exchange", ist),
}
TRADE: Final[Table] = PLACE | {
    "product": As(".fill.product", words.PRODUCT.write),
    "order_type": As(".order.order_type", words.ORDER_TYPE.write),
    "transaction_type": ".fill.side.value",
    "quantity": ".quantity",
    "average_price": ".fill.price",
    "trade_id": ".fill.trade_id",
    "order_id": ".fill.order_id",
    "exchange_order_id": ".fill.exchange_order_id",
    "order_ref_id": As(".fill.order_id", "emu-{}".format),
    "exchange_timestamp": As(".fill.ts", lambda ns: ist(ns, "%d-%b-%Y %H:%M:%S")),
    "order_timestamp": As(".state.ts_created", lambda ns: ist(ns, "%d-%b-%Y %H:%M:%S")),
}

# --- portfolio -------------------------------------------------------------------------------------------------------

POSITION: Final[Table] = PLACE | {
    "product": As(".position.product", words.PRODUCT.write),
    "quantity": ".quantity",
    "multiplier": ".multiplier",
    "average_price": Or(".average", None),
    "last_price": ".market.last_price",
    "close_price": ".market.close",
    "value": ".value",
    "pnl": ".pnl",
    "realised": ".realised",
    "unrealised": ".unrealised",
    "overnight_quantity": ".carried",
    "buy_price": ".bought.price",
    "buy_value": ".bought.value",
    "day_buy_quantity": ".day_bought.quantity",
    "day_buy_price": ".day_bought.price",
    "day_buy_value": ".day_bought.value",
    "overnight_buy_quantity": ".carried_long",
    "overnight_buy_amount": ".carried_bought_value",
    "sell_price": ".sold.price",
    "sell_value": ".sold.value",
    "day_sell_quantity": ".day_sold.quantity",
    "day_sell_price": ".day_sold.price",
    "day_sell_value": ".day_sold.value",
    "overnight_sell_quantity": ".carried_short",
    "overnight_sell_amount": ".carried_sold_value",
}
HOLDING: Final[Table] = PLACE | {
    "isin": Or(".named.instrument.isin", ""),
    "company_name": ".named.instrument.name",
    "product": "D",
    "quantity": ".free",  # beside what is pledged or on its way (unverified)
    "t1_quantity": ".t1",
    "cnc_used_quantity": ".sold",
    "collateral_quantity": ".pledged",
    "collateral_update_quantity": 0,
    "collateral_type": "WC",
    "haircut": 0.2,
    "average_price": ".holding.average_price",
    "last_price": ".market.last_price",
    "close_price": ".market.close",
    "pnl": ".profit",
    "day_change": ".change",
    "day_change_percentage": ".change_percent",
}
FUNDS: Final[Table] = {
    "available_to_trade": {
        "total": ".net",
        "cash_available_to_trade": {
            "total": ".own",
            "cash": {"opening_balance": ".opening", "added_today": ".payin", "withdrawn_today": 0},
            "margin_used": {
                "total": ".tied",
                "span_exposure": ".margin",
                "premium_present": ".used_premium",
                "cash_margin_var_elm": 0,  # it stands with the rest
                "delivery_margin": {"total": ".used_delivery", "equity": ".used_delivery", "fo_settlement": 0},
                "loss": {"total": 0, "realised": ".realised", "unrealised": ".unrealised"},
            },
        },
        "pledge_available_to_trade": {"margin_from_pledge": {"total": ".collateral"}, "margin_used": {"total": 0}},
    },
    "unavailable_to_trade": {"cash_unavailable_to_trade": {}, "pledge_unavailable_to_trade": {}},
}
"""The money of all segments together, as version 3 has it."""

_OLD: Final[Table] = {
    "used_margin": ".tied",
    "available_margin": ".net",
    "span_margin": ".tied",
    "payin_amount": ".payin",
    "notional_cash": ".opening",
    "adhoc_margin": 0,
    "exposure_margin": 0,
}
OLD_FUNDS: Final[Table] = {"equity": _OLD, "commodity": dict.fromkeys(_OLD, 0)}
"""The money as version 2 has it: all of it under equity since July 2025."""

# --- quotes ----------------------------------------------------------------------------------------------------------

_LAST: Final[Table] = {"last_price": ".market.last_price", "instrument_token": ".named.key"}
_BASIC: Final[Table] = _LAST | {"cp": ".market.close"}
_COUNTS: Final[Table] = {"ltq": ".last_quantity", "volume": ".volume"}
_HIGHS: Final[Table] = {"open": ".market.open", "high": ".market.high", "low": ".market.low"}
_NOW: Final[Table] = _HIGHS | {"close": ".market.last_price", "volume": ".volume", "ts": As(".market.ts", millis)}
_BEFORE: Final[Table] = dict.fromkeys(("open", "high", "low", "close"), ".market.close") | {"volume": 0, "ts": 0}
_LEVEL: Final[Table] = {"quantity": ".quantity", "price": ".price", "orders": ".orders"}
_INDEX: Final[Table] = {
    "ohlc": _HIGHS | {"close": ".market.last_price"},
    "timestamp": As(".market.ts", lambda ns: ist(ns, "%Y-%m-%dT%H:%M:%S+05:30")),
    "instrument_token": ".named.key",
    "symbol": ".named.symbol",
    "last_price": ".market.last_price",
    "net_change": ".change",
    "depth": {"buy": [], "sell": []},
}
_FULL: Final[Table] = _INDEX | {
    "depth": {"buy": Levels(".bids", 5, _LEVEL), "sell": Levels(".asks", 5, _LEVEL)},
    "volume": ".volume",
    "average_price": As(".market.average_price", cents),
    "oi": ".oi",
    "oi_day_high": ".oi_high",
    "oi_day_low": ".oi_low",
    "total_buy_quantity": ".buy_quantity",
    "total_sell_quantity": ".sell_quantity",
    "lower_circuit_limit": ".market.band_low",
    "upper_circuit_limit": ".market.band_high",
    "last_trade_time": As(".market.last_trade_ts", lambda ns: str(millis(ns))),
}
# Greeks are zeros: the venue prices no volatility.
_GREEKS: Final[Table] = dict.fromkeys(("iv", "vega", "gamma", "theta", "delta"), 0.0) | {"oi": ".oi"}
_OHLC: Final[Table] = _LAST | {"live_ohlc": _NOW, "prev_ohlc": _BEFORE, "ohlc": _NOW}
QUOTES: Final = {
    # What of shares and contracts, of indices, and how many at once.
    "ltp": (_BASIC | _COUNTS, _BASIC, 500),
    "ohlc": (_OHLC, _OHLC, 500),
    "quotes": (_FULL, _INDEX, 500),
    "option-greek": (_BASIC | _COUNTS | _GREEKS, _BASIC | _GREEKS, 50),
}


def quote_row(one: QuoteView[Any], kind: str) -> dict[str, Any]:
    whole, index, _ = QUOTES[kind]
    return write(index if one.named.is_index else whole, one)
