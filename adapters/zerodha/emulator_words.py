"""The broker's JSON: orders, trades, positions, funds and quotes as its API writes them, and its errors.

Every body has the fields of the official mock response of the same name, in rupees and Indian time.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

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
    Worth,
    json_answer,
    ladder,
    num,
    position_sums,
    stamp,
)
from dragoman.plugin import ErrorKind, model

from . import words
from .emulator_names import Named
from .words import IST

S = model.OrderStatus
ORDER_TYPE: Final = words.ORDER_TYPE.inward
PRODUCT: Final = {word: words.PRODUCT.inward[word] for word in ("CNC", "NRML", "MIS", "MTF")}
VALIDITY: Final = {word: words.VALIDITY.inward[word] for word in ("DAY", "IOC")}
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

HTTP_STATUS: Final = {
    "InputException": 400,
    "OrderException": 400,
    "MarginException": 400,
    "HoldingException": 400,
    "TokenException": 403,
    "PermissionException": 403,
    "NetworkException": 429,
    "GeneralException": 500,
}
_REJECT: Final = {
    ErrorKind.INSUFFICIENT_MARGIN: "MarginException",
    ErrorKind.INSUFFICIENT_HOLDINGS: "HoldingException",
    ErrorKind.PERMISSION_DENIED: "PermissionException",
    ErrorKind.RISK_REJECTED: "OrderException",
    ErrorKind.EXCHANGE_REJECTED: "OrderException",
    ErrorKind.MARKET_CLOSED: "OrderException",
    ErrorKind.TOO_LATE_TO_MODIFY_OR_CANCEL: "OrderException",
}
"""`error_type` of what the venue refuses; everything else is a wrong parameter."""

_TEXT: Final = {
    ErrorKind.ORDER_NOT_FOUND: "Couldn't find that `order_id`.",
    ErrorKind.INSTRUMENT_NOT_FOUND: "The instrument you are placing an order for has either expired or does not exist.",
    ErrorKind.MARKET_CLOSED: "Markets are closed right now.",
}


class KiteError(ApiError):
    """An error reply; `word` is the broker's ``error_type``."""

    statuses = HTTP_STATUS
    words = _REJECT
    other = "InputException"
    texts = _TEXT

    def body(self) -> dict[str, Any]:
        return {"status": "error", "message": self.message, "data": None, "error_type": self.word}

    def child(self) -> dict[str, Any]:
        """Return the error of one of several orders in a reply."""
        return {"code": self.status, "error_type": self.word, "message": self.message, "data": None}


refusing = KiteError.refusing


def success(data: Any) -> HttpAnswer:
    return json_answer({"status": "success", "data": data})


def ist(ns: int | None) -> str | None:
    """Return ``yyyy-mm-dd hh:mm:ss`` in Indian time, without a zone."""
    return stamp(ns, IST)


# --- orders ----------------------------------------------------------------------------------------------------------


def update_word(status: str, state: OrderState) -> str:
    """Return a status as streams and postbacks say it: a partial fill and a modification are called UPDATE there."""
    partial = status == "OPEN" and state.status is S.PARTIALLY_FILLED
    return "UPDATE" if partial or status == "MODIFIED" else status


def order_row(state: OrderState, status: str, named: Named, user_id: str) -> dict[str, Any]:
    """Write one state of an order as the book, the history and the ticker carry it."""
    order, wire = state.order, named.wire_quantity
    text = state.reject_text
    added = order.extra.get("tags")
    tags = [*(added if isinstance(added, list) else ()), *((order.tag,) if order.tag else ())]
    return {
        "account_id": user_id,
        "placed_by": user_id,
        "terminal_id": "",
        "order_id": state.order_id,
        "exchange_order_id": state.exchange_order_id,
        "parent_order_id": order.extra.get("parent"),
        "status": status,
        "status_message": text,
        "status_message_raw": f"RMS:{text}" if text and state.status is S.REJECTED else text,
        "order_timestamp": ist(state.ts_created),
        "exchange_update_timestamp": ist(state.ts_updated) if state.ts_exchange else None,
        "exchange_timestamp": ist(state.ts_exchange),
        "variety": order.extra.get("variety", "regular"),
        "modified": state.modified,
        "exchange": named.exchange,
        "tradingsymbol": named.symbol,
        "instrument_token": named.token,
        "order_type": words.ORDER_TYPE.write(order.order_type),
        "transaction_type": order.side.value,
        "validity": words.VALIDITY.write(order.time_in_force),
        "validity_ttl": 0,
        "product": "CO" if order.extra.get("variety") == "co" else words.PRODUCT.write(order.product),
        "quantity": wire(order.quantity),
        "disclosed_quantity": wire(order.display_quantity or Decimal(0)),
        "price": num(order.price or Decimal(0)),
        "trigger_price": num(order.trigger_price or Decimal(0)),
        "average_price": num(state.average_price),
        "filled_quantity": wire(state.filled_quantity),
        "pending_quantity": wire(state.remaining) if not state.status.terminal else 0,
        "cancelled_quantity": wire(state.canceled_quantity),
        "market_protection": 0,  # the broker reports 0 even where protection was applied; the tags tell
        "meta": order.extra.get("meta", {}),
        "auction_number": order.extra.get("auction_number"),
        "tag": order.tag,
        **({"tags": tags} if tags else {}),
        "guid": None,
    }


def trade_row(fill: VenueFill, named: Named, ordered_ns: int) -> dict[str, Any]:
    filled = ist(fill.ts)
    return {
        "trade_id": fill.trade_id,
        "order_id": fill.order_id,
        "exchange": named.exchange,
        "tradingsymbol": named.symbol,
        "instrument_token": named.token,
        "product": words.PRODUCT.write(fill.product),
        "average_price": num(fill.price),
        "quantity": named.wire_quantity(fill.quantity),
        "exchange_order_id": fill.exchange_order_id,
        "transaction_type": fill.side.value,
        "fill_timestamp": filled,
        "order_timestamp": (ist(ordered_ns) or "")[11:],  # here, and only here, a time of day
        "exchange_timestamp": filled,
    }


# --- portfolio -------------------------------------------------------------------------------------------------------


def position_row(position: VenuePosition, market: MarketView, named: Named, *, net: bool) -> dict[str, Any]:
    """Write a position: with what was carried over night in the net list, without it in the day list.

    The broker's own formula: ``pnl = sell_value - buy_value + quantity * last_price * multiplier``.
    """
    wire, unit = named.wire_quantity, named.unit
    # The venue's values hold the instrument's own multiplier; per wire unit the broker's holds the lot as well.
    contract = named.listing.instrument.multiplier
    both = position_sums(position, market, contract, net=net)
    today = position_sums(position, market, contract, net=False)
    sides = {
        f"{span}{way}_{what}": value
        for span, sums in (("", both), ("day_", today))
        for way, side in (("buy", sums.bought), ("sell", sums.sold))
        for what, value in (
            ("quantity", wire(side.quantity)),
            ("price", num(side.price / contract)),
            ("value", num(side.value)),
            ("m2m", num(side.m2m)),
        )
        if not (span and what == "m2m")
    }
    return {
        "tradingsymbol": named.symbol,
        "exchange": named.exchange,
        "instrument_token": named.token,
        "product": words.PRODUCT.write(position.product),
        "quantity": wire(both.quantity),
        "overnight_quantity": wire(position.overnight_quantity) if net else 0,
        "multiplier": num(unit * contract),
        "average_price": num(both.average / contract),
        "close_price": num(market.close),
        "last_price": num(market.last_price),
        "value": num(both.sold.value - both.bought.value),
        "pnl": num(both.pnl),
        "m2m": num(both.m2m),
        "unrealised": num(both.pnl),  # the broker books no realised part here: 0, and all of it unrealised
        "realised": 0,
        **sides,
    }


def holding_row(owned: Security, named: Named) -> dict[str, Any]:
    holding, market, wire = owned.holding, owned.market, named.wire_quantity
    t1, pledged, used = wire(holding.t1_quantity), wire(holding.pledged_quantity), wire(owned.sold_today)
    settled = wire(holding.quantity) - t1
    change = market.last_price - market.close
    return {
        "tradingsymbol": named.symbol,
        "exchange": named.exchange,
        "instrument_token": named.token,
        "isin": named.listing.instrument.isin or "",
        "product": "CNC",
        "price": 0,
        "quantity": settled - pledged - used,  # beside what is pledged or still on its way (unverified)
        "used_quantity": used,
        "t1_quantity": t1,
        "realised_quantity": settled,
        "authorised_quantity": 0,
        "authorised_date": f"{(ist(market.ts) or '')[:10]} 00:00:00",
        "authorisation": {},
        "opening_quantity": settled,
        "short_quantity": 0,
        "collateral_quantity": pledged,
        "collateral_type": "",
        "discrepancy": False,
        "average_price": num(holding.average_price),
        "last_price": num(market.last_price),
        "close_price": num(market.close),
        "pnl": num((market.last_price - holding.average_price) * holding.quantity),
        "day_change": num(change),
        "day_change_percentage": float(change / market.close * 100) if market.close else 0,
        "mtf": _mtf(owned, named),
    }


def _mtf(owned: Security, named: Named) -> dict[str, Any]:
    """Write what was bought on the broker's money; `initial_margin` is the account's own part of it."""
    price = owned.funded.overnight_price if owned.funded else Decimal(0)
    value = owned.funded_quantity * price
    sold = owned.funded.day_sell_quantity if owned.funded else Decimal(0)
    return {
        "quantity": named.wire_quantity(owned.funded_quantity),
        "used_quantity": named.wire_quantity(min(sold, owned.funded_quantity)),
        "average_price": num(price),
        "value": num(value),
        "initial_margin": num(value * named.listing.margin_rate.get(model.Product.MTF, Decimal(1))),
    }


def summary_row(total: Worth) -> dict[str, Any]:
    """Write all holdings together; percents are of what was paid, and of yesterday's worth."""
    return {
        "total_pnl": num(total.profit),
        "total_pnl_percent": float(total.percent(total.profit, total.invested)),
        "today_pnl": num(total.profit_today),
        "today_pnl_percent": float(total.percent(total.profit_today, total.previous)),
        "invested_amount": num(total.invested),
        "current_value": num(total.current),
    }


def funds_row(funds: VenueFunds) -> dict[str, Any]:
    """Write one segment's money. ``net`` includes collateral; ``cash`` is the opening ledger, not what is free."""
    collateral = funds.collateral_cash + funds.collateral_pledged
    return {
        "enabled": True,
        "net": num(funds.net),
        "available": {
            "adhoc_margin": 0,
            "cash": num(funds.opening),
            "opening_balance": num(funds.opening),
            "live_balance": num(funds.net - collateral),
            "collateral": num(collateral),
            "intraday_payin": num(funds.payin),
        },
        "utilised": {
            "debits": num(funds.opening + funds.payin + collateral - funds.net),
            # The broker has no field for what open orders block: it stands with the margin of positions.
            "exposure": num(funds.blocked),
            "m2m_realised": num(funds.realised),
            "m2m_unrealised": num(funds.unrealised),
            "option_premium": num(funds.used_premium),
            "payout": 0,
            "span": num(funds.used - funds.used_premium - funds.used_delivery),
            "holding_sales": 0,
            "turnover": 0,
            "liquid_collateral": num(funds.collateral_cash),
            "stock_collateral": num(funds.collateral_pledged),
            "delivery": num(funds.used_delivery),
        },
    }


# --- quotes ----------------------------------------------------------------------------------------------------------

DEPTH_ROWS: Final = 5


def quote_row(market: MarketView, named: Named, mode: str) -> dict[str, Any]:
    """Write one instrument of ``/quote``, ``/quote/ohlc`` or ``/quote/ltp``."""
    row: dict[str, Any] = {"instrument_token": named.token, "last_price": num(market.last_price)}
    if mode == "ltp":
        return row
    row["ohlc"] = {name: num(getattr(market, name)) for name in ("open", "high", "low", "close")}
    if mode == "ohlc":
        return row
    row["timestamp"] = ist(market.ts)
    row["net_change"] = num(market.last_price - market.close)
    if named.is_index:
        return row
    wire = named.wire_quantity
    row |= {
        "last_trade_time": ist(market.last_trade_ts),
        "last_quantity": wire(market.last_quantity),
        "buy_quantity": wire(market.total_buy_quantity),
        "sell_quantity": wire(market.total_sell_quantity),
        "volume": wire(market.volume),
        "average_price": num(round(market.average_price, named.decimals)),
        "oi": wire(Decimal(market.oi)),
        "oi_day_high": wire(Decimal(market.oi_high)),
        "oi_day_low": wire(Decimal(market.oi_low)),
        "lower_circuit_limit": num(market.band_low),
        "upper_circuit_limit": num(market.band_high),
        "depth": {
            side: ladder(levels, DEPTH_ROWS, lambda *level: _level(named, *level))
            for side, levels in (("buy", market.bids), ("sell", market.asks))
        },
    }
    return row


def _level(named: Named, price: Decimal, quantity: Decimal, orders: int) -> dict[str, Any]:
    return {"price": num(price), "quantity": named.wire_quantity(quantity), "orders": orders}
