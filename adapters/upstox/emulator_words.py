"""The broker's JSON: orders, trades, positions, funds and quotes as its API writes them, and its errors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Final

from dragoman.emulator.parts import (
    ApiError,
    HttpAnswer,
    MarketView,
    OrderState,
    Security,
    StatusWords,
    VenueFill,
    VenueFunds,
    VenuePosition,
    json_answer,
    ladder,
    num,
    position_sums,
    stamp,
)
from dragoman.plugin import ErrorKind, model
from dragoman.plugin.records import IST

from . import words

if TYPE_CHECKING:
    from .emulator_names import Named

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
_HTTP: Final = {
    "UDAPI100050": 401,
    "UDAPI10005": 429,
    "UDAPI10000": 404,
    "UDAPI100060": 404,
    "UDAPI1154": 403,
    "UDAPI1156": 403,
    "UDAPI100500": 500,
}


class UpstoxError(ApiError):
    """An error reply; the word is its code."""

    statuses = defaultdict(lambda: 400, _HTTP)
    words: ClassVar[Mapping[ErrorKind, str]] = {
        ErrorKind.ORDER_NOT_FOUND: "UDAPI100010",
        ErrorKind.TOO_LATE_TO_MODIFY_OR_CANCEL: "UDAPI100041",
        ErrorKind.INVALID_QUANTITY: "UDAPI1052",
        ErrorKind.MARKET_CLOSED: "UDAPI100074",
        ErrorKind.INSTRUMENT_NOT_FOUND: "UDAPI100011",
        ErrorKind.POSITION_ALREADY_FLAT: "UDAPI1033",
    }
    other = "UDAPI100036"

    def __init__(
        self, word: str, message: str, status: int | None = None, *, path: str | None = None, value: Any = None
    ) -> None:
        super().__init__(word, message, status)
        self.path = path
        self.value = value

    def item(self) -> dict[str, Any]:
        """Return one entry of the list of errors, in both spellings."""
        twins = {"errorCode": self.word, "propertyPath": self.path, "invalidValue": self.value}
        return {
            **twins,
            "message": self.message,
            "error_code": self.word,
            "property_path": self.path,
            "invalid_value": self.value,
        }

    def body(self) -> Mapping[str, Any]:
        return {"status": "error", "errors": [self.item()]}


def success(data: Any, **more: Any) -> HttpAnswer:
    return json_answer({"status": "success", "data": data, **more})


def timed(data: Any) -> HttpAnswer:
    """Answer as version 3 does, with a latency."""
    return success(data, metadata={"latency": 1})


def ist(ns: int | None) -> str | None:
    return stamp(ns, IST)


# --- orders ----------------------------------------------------------------------------------------------------------


def place_row(named: Named) -> dict[str, Any]:
    """Name an instrument as records do."""
    exchange = {"NSE_COM": "NSCOM"}.get(named.segment, named.exchange)
    return {
        "exchange": exchange,
        "instrument_token": named.key,
        "trading_symbol": named.book_symbol,
        "tradingsymbol": named.book_symbol,
    }


def order_row(state: OrderState, status: str, named: Named, user_id: str) -> dict[str, Any]:
    """Write one state of an order as the book, the history and the portfolio stream carry it."""
    order, wire = state.order, named.wire_quantity
    text = state.reject_text
    return place_row(named) | {
        "product": words.PRODUCT.write(order.product),
        "order_type": words.ORDER_TYPE.write(order.order_type),
        "transaction_type": order.side.value,
        "validity": words.VALIDITY.write(order.time_in_force),
        "variety": "AMO" if order.not_before else "SIMPLE",
        "is_amo": bool(order.not_before),
        "price": num(order.price or Decimal(0)),
        "trigger_price": num(order.trigger_price or Decimal(0)),
        "average_price": num(state.average_price),
        "quantity": wire(order.quantity),
        "disclosed_quantity": wire(order.display_quantity or Decimal(0)),
        "filled_quantity": wire(state.filled_quantity),
        "pending_quantity": 0 if state.status.terminal else wire(state.remaining),
        "status": status,
        "status_message": text,
        "status_message_raw": f"RMS:{text}" if text and state.status is S.REJECTED else text,
        "order_id": state.order_id,
        "exchange_order_id": state.exchange_order_id or "",
        "parent_order_id": None,
        "order_ref_id": f"emu-{state.order_id}",
        "order_request_id": "1",
        "guid": None,
        "tag": order.tag,
        "placed_by": user_id,
        "order_timestamp": ist(state.ts_updated or state.ts_created),
        "exchange_timestamp": ist(state.ts_exchange),
    }


def trade_row(fill: VenueFill, named: Named, order: OrderState) -> dict[str, Any]:
    return place_row(named) | {
        "product": words.PRODUCT.write(fill.product),
        "order_type": words.ORDER_TYPE.write(order.order.order_type),
        "transaction_type": fill.side.value,
        "quantity": named.wire_quantity(fill.quantity),
        "average_price": num(fill.price),
        "trade_id": fill.trade_id,
        "order_id": fill.order_id,
        "exchange_order_id": fill.exchange_order_id,
        "order_ref_id": f"emu-{fill.order_id}",
        "exchange_timestamp": stamp(fill.ts, IST, "%d-%b-%Y %H:%M:%S"),
        "order_timestamp": stamp(order.ts_created, IST, "%d-%b-%Y %H:%M:%S"),
    }


# --- portfolio -------------------------------------------------------------------------------------------------------


def position_row(position: VenuePosition, market: MarketView, named: Named) -> dict[str, Any]:
    wire, contract = named.wire_quantity, named.instrument.multiplier
    both = position_sums(position, market, contract, net=True)
    today = position_sums(position, market, contract, net=False)
    carried = position.overnight_quantity
    row: dict[str, Any] = place_row(named) | {
        "product": words.PRODUCT.write(position.product),
        "quantity": wire(both.quantity),
        "multiplier": num(named.unit * contract),
        "average_price": num(both.average / contract) if both.quantity else None,
        "last_price": num(market.last_price),
        "close_price": num(market.close),
        "value": num(both.sold.value - both.bought.value),
        "pnl": num(both.pnl),
        "realised": num(position.realised),
        "unrealised": num(both.pnl - position.realised),
        "overnight_quantity": wire(carried),
    }
    for way, sums, day, sign in (("buy", both.bought, today.bought, 1), ("sell", both.sold, today.sold, -1)):
        overnight = max(carried * sign, Decimal(0))
        row |= {
            f"{way}_price": num(sums.price / contract),
            f"{way}_value": num(sums.value),
            f"day_{way}_quantity": wire(day.quantity),
            f"day_{way}_price": num(day.price / contract),
            f"day_{way}_value": num(day.value),
            f"overnight_{way}_quantity": wire(overnight),
            f"overnight_{way}_amount": num(overnight * position.overnight_price * contract),
        }
    return row


def holding_row(owned: Security, named: Named) -> dict[str, Any]:
    holding, market, wire = owned.holding, owned.market, named.wire_quantity
    t1, pledged, sold = wire(holding.t1_quantity), wire(holding.pledged_quantity), wire(owned.sold_today)
    change = market.last_price - market.close
    return place_row(named) | {
        "isin": named.instrument.isin or "",
        "company_name": named.instrument.name,
        "product": "D",
        "quantity": wire(holding.quantity) - t1 - pledged - sold,  # beside what is pledged or on its way (unverified)
        "t1_quantity": t1,
        "cnc_used_quantity": sold,
        "collateral_quantity": pledged,
        "collateral_update_quantity": 0,
        "collateral_type": "WC",
        "haircut": 0.2,
        "average_price": num(holding.average_price),
        "last_price": num(market.last_price),
        "close_price": num(market.close),
        "pnl": num((market.last_price - holding.average_price) * holding.quantity),
        "day_change": num(change),
        "day_change_percentage": float(change / market.close * 100) if market.close else 0,
    }


def _total(funds: list[VenueFunds], *names: str) -> Decimal:
    return sum((getattr(one, name) for one in funds for name in names), Decimal(0))


def funds_row(funds: list[VenueFunds]) -> dict[str, Any]:
    """Write the money of all segments together, as version 3 has it."""
    pledged = _total(funds, "collateral_cash", "collateral_pledged")
    net, premium, delivery = _total(funds, "net"), _total(funds, "used_premium"), _total(funds, "used_delivery")
    span = _total(funds, "used", "blocked") - premium - delivery
    realised, unrealised = _total(funds, "realised"), _total(funds, "unrealised")
    return {
        "available_to_trade": {
            "total": num(net),
            "cash_available_to_trade": {
                "total": num(net - pledged),
                "cash": {
                    "opening_balance": num(_total(funds, "opening")),
                    "added_today": num(_total(funds, "payin")),
                    "withdrawn_today": 0,
                },
                "margin_used": {
                    "total": num(span + premium + delivery),
                    "span_exposure": num(span),
                    "premium_present": num(premium),
                    "delivery_margin": {"total": num(delivery), "equity": num(delivery), "fo_settlement": 0},
                    "loss": {"total": 0, "realised": num(realised), "unrealised": num(unrealised)},
                },
            },
            "pledge_available_to_trade": {"margin_from_pledge": {"total": num(pledged)}, "margin_used": {"total": 0}},
        },
        "unavailable_to_trade": {"cash_unavailable_to_trade": {}, "pledge_unavailable_to_trade": {}},
    }


def old_funds_row(funds: list[VenueFunds]) -> dict[str, Any]:
    """Write the money as version 2 has it: all of it under equity since July 2025."""
    used = num(_total(funds, "used", "blocked"))
    some = {"used_margin": used, "available_margin": num(_total(funds, "net")), "span_margin": used}
    some |= {"payin_amount": num(_total(funds, "payin")), "notional_cash": num(_total(funds, "opening"))}
    nothing = dict.fromkeys((*some, "adhoc_margin", "exposure_margin"), 0)
    return {"equity": nothing | some, "commodity": nothing}


# --- quotes ----------------------------------------------------------------------------------------------------------


def ltp_row(market: MarketView, named: Named) -> dict[str, Any]:
    wire = named.wire_quantity
    counts = {} if named.is_index else {"ltq": wire(market.last_quantity), "volume": wire(market.volume)}
    basic = {"last_price": num(market.last_price), "instrument_token": named.key, "cp": num(market.close)}
    return basic | counts


def ohlc_row(market: MarketView, named: Named) -> dict[str, Any]:
    day = {name: num(getattr(market, name)) for name in ("open", "high", "low")}
    volume = 0 if named.is_index else named.wire_quantity(market.volume)
    now = day | {"close": num(market.last_price), "volume": volume, "ts": market.ts // 1_000_000}
    before = {**dict.fromkeys(("open", "high", "low", "close"), num(market.close)), "volume": 0, "ts": 0}
    basic = {"last_price": num(market.last_price), "instrument_token": named.key}
    return basic | {"live_ohlc": now, "prev_ohlc": before, "ohlc": now}


def greek_row(market: MarketView, named: Named) -> dict[str, Any]:
    """Write an option's line; its greeks are zeros: the venue prices no volatility."""
    greeks = dict.fromkeys(("iv", "vega", "gamma", "theta", "delta"), 0.0)
    return ltp_row(market, named) | greeks | {"oi": named.wire_quantity(Decimal(market.oi))}


def full_row(market: MarketView, named: Named) -> dict[str, Any]:
    wire = named.wire_quantity

    def level(price: Decimal, quantity: Decimal, orders: int) -> dict[str, Any]:
        return {"quantity": wire(quantity), "price": num(price), "orders": orders}

    row: dict[str, Any] = {
        "ohlc": {name: num(getattr(market, name)) for name in ("open", "high", "low")}
        | {"close": num(market.last_price)},
        "timestamp": stamp(market.ts, IST, "%Y-%m-%dT%H:%M:%S+05:30"),
        "instrument_token": named.key,
        "symbol": named.symbol,
        "last_price": num(market.last_price),
        "net_change": num(market.last_price - market.close),
        "depth": {"buy": [], "sell": []},
    }
    if named.is_index:
        return row
    return row | {
        "depth": {side: ladder(levels, 5, level) for side, levels in (("buy", market.bids), ("sell", market.asks))},
        "volume": wire(market.volume),
        "average_price": num(round(market.average_price, 2)),
        "oi": wire(Decimal(market.oi)),
        "oi_day_high": wire(Decimal(market.oi_high)),
        "oi_day_low": wire(Decimal(market.oi_low)),
        "total_buy_quantity": wire(market.total_buy_quantity),
        "total_sell_quantity": wire(market.total_sell_quantity),
        "lower_circuit_limit": num(market.band_low),
        "upper_circuit_limit": num(market.band_high),
        "last_trade_time": str(market.last_trade_ts // 1_000_000),
    }
