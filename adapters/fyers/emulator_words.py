"""The broker's JSON: orders, trades, positions, funds and quotes as its API writes them, and its errors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
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
    worth,
)
from dragoman.plugin import ErrorKind, model
from dragoman.plugin.records import IST

from . import words

if TYPE_CHECKING:
    from .emulator_names import Named

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
BOOK_TIME: Final = "%d-%b-%Y %H:%M:%S"
FILL_TIME: Final = "%d-%m-%Y %H:%M:%S"


class FyersError(ApiError):
    """An error reply; the word is its code."""

    statuses = defaultdict(lambda: 400, {"-8": 401, "-15": 401, "-16": 401, "-17": 401, "-373": 403, "-429": 429})
    words: ClassVar[Mapping[ErrorKind, str]] = {
        ErrorKind.ORDER_NOT_FOUND: "-51",
        ErrorKind.TOO_LATE_TO_MODIFY_OR_CANCEL: "-162",
        ErrorKind.INSTRUMENT_NOT_FOUND: "-300",
        ErrorKind.POSITION_ALREADY_FLAT: "-53",
    }
    other = "-99"
    texts: ClassVar[Mapping[ErrorKind, str]] = {
        ErrorKind.INSUFFICIENT_MARGIN: "RMS: insufficient funds for this order",
        ErrorKind.INSUFFICIENT_HOLDINGS: "RMS: the quantity is above your holdings",
        ErrorKind.INVALID_PRICE_TICK: "The price is not a multiple of the tick size",
        ErrorKind.INVALID_QUANTITY: "The quantity is not a multiple of the lot size",
        ErrorKind.PRICE_OUT_OF_BAND: "The price is outside the circuit limits",
        ErrorKind.FREEZE_QTY_EXCEEDED: "The quantity is above the freeze quantity",
    }

    def body(self) -> dict[str, Any]:
        return {"s": "error", "code": int(self.word), "message": self.message}


def success(code: int = 200, message: str = "", **more: Any) -> HttpAnswer:
    return json_answer({"s": "ok", "code": code, "message": message, **more})


# --- orders ----------------------------------------------------------------------------------------------------------


def place_row(named: Named) -> dict[str, Any]:
    code = named.code
    return {
        "symbol": named.key,
        "fyToken": named.fy_token,
        "exchange": int(code[:2]),
        "segment": int(code[2:]),
        "instrument": 10 if named.is_index else 0,
    }


def order_row(state: OrderState, status: str, named: Named, user_id: str) -> dict[str, Any]:
    """Write one state of an order as the book carries it."""
    order, wire = state.order, named.wire_quantity
    return place_row(named) | {
        "clientId": user_id,
        "id": state.order_id,
        "exchOrdId": state.exchange_order_id or "",
        "id_fyers": f"emu-{state.order_id}",
        "qty": wire(order.quantity),
        "remainingQuantity": 0 if state.status.terminal else wire(state.remaining),
        "filledQty": wire(state.filled_quantity),
        "discloseQty": wire(order.display_quantity or Decimal(0)),
        "limitPrice": num(order.price or Decimal(0)),
        "stopPrice": num(order.trigger_price or Decimal(0)),
        "tradedPrice": num(state.average_price),
        "type": int(words.ORDER_TYPE.write(order.order_type)),
        "message": state.reject_text or "",
        "offlineOrder": bool(order.not_before),
        "orderDateTime": stamp(state.ts_created, IST, BOOK_TIME),
        "orderValidity": words.VALIDITY.write(order.time_in_force),
        "productType": words.PRODUCT.write(order.product),
        "side": order.side.sign,
        "status": int(status),
        "source": "ITS",
        "orderNumStatus": f"{state.order_id}:{status}",
        "orderTag": f"1:{order.tag}" if order.tag else "2:Untagged",
        "slNo": 1,
    }


_ON_SOCKET: Final = {book: raw for raw, book in words.STREAM_NAMES.items() if raw not in ("id_fill", "qty_traded")}


def order_message(row: Mapping[str, Any], state: OrderState) -> dict[str, Any]:
    """Write the order socket's record of an order: other names, no zeros."""
    left_out = ("orderNumStatus", "slNo", "source", "clientId")
    told = {_ON_SOCKET.get(name, name): value for name, value in row.items() if name not in left_out}
    named = told | {
        "client_id": row["clientId"],
        "ord_source": row["source"],
        "ord_status": 20 if row["status"] == 4 else row["status"],
        "report_type": "New Ack" if row["status"] == 4 else "",
        "time_epoch_oms": state.ts_created // 1_000_000_000,
        "update_time_epoch_oms": (state.ts_updated or state.ts_created) // 1_000_000_000,
    }
    return {name: value for name, value in named.items() if value not in (0, "", None) or name == "segment"}


def trade_row(fill: VenueFill, named: Named, order: OrderState) -> dict[str, Any]:
    return place_row(named) | {
        "orderDateTime": stamp(fill.ts, IST, BOOK_TIME),
        "orderNumber": fill.order_id,
        "exchangeOrderNo": fill.exchange_order_id,
        "side": fill.side.sign,
        "orderType": int(words.ORDER_TYPE.write(order.order.order_type)),
        "productType": words.PRODUCT.write(fill.product),
        "tradedQty": named.wire_quantity(fill.quantity),
        "tradePrice": num(fill.price),
        "tradeValue": num(fill.quantity * fill.price),
        "tradeNumber": fill.trade_id,
        "orderTag": f"1:{order.order.tag}" if order.order.tag else "2:Untagged",
    }


def trade_message(fill: VenueFill, named: Named, order: OrderState) -> dict[str, Any]:
    row = trade_row(fill, named, order)
    return {
        "symbol": row["symbol"],
        "fy_token": row["fyToken"],
        "exchange": row["exchange"],
        "segment": row["segment"],
        "id": fill.order_id,
        "id_fill": fill.trade_id,
        "id_exchange": fill.exchange_order_id,
        "tran_side": row["side"],
        "ord_type": row["orderType"],
        "product_type": row["productType"],
        "qty_traded": row["tradedQty"],
        "price_traded": row["tradePrice"],
        "traded_val": row["tradeValue"],
        "fill_time": stamp(fill.ts, IST, FILL_TIME),
        "ordertag": row["orderTag"],
    }


# --- portfolio -------------------------------------------------------------------------------------------------------


def position_row(position: VenuePosition, market: MarketView, named: Named) -> dict[str, Any]:
    wire, contract = named.wire_quantity, named.instrument.multiplier
    both = position_sums(position, market, contract, net=True)
    carried, net = position.overnight_quantity, both.quantity
    row: dict[str, Any] = place_row(named) | {
        "id": f"{named.key}-{words.PRODUCT.write(position.product)}",
        "productType": words.PRODUCT.write(position.product),
        "netQty": wire(net),
        "qty": wire(abs(net)),
        "netAvg": num(both.average / contract) if net else 0,
        "side": 1 if net > 0 else -1 if net < 0 else 0,
        "realized_profit": num(position.realised),
        "unrealized_profit": num(both.pnl - position.realised),
        "pl": num(both.pnl),
        "ltp": num(market.last_price),
        "crossCurrency": "N",
        "rbiRefRate": 1,
        "qtyMulti_com": num(named.unit * contract),
        "cfBuyQty": wire(max(carried, Decimal(0))),
        "cfSellQty": wire(max(-carried, Decimal(0))),
        "dayBuyQty": wire(position.day_buy_quantity),
        "daySellQty": wire(position.day_sell_quantity),
    }
    for way, sums in (("buy", both.bought), ("sell", both.sold)):
        row |= {
            f"{way}Qty": wire(sums.quantity),
            f"{way}Avg": num(sums.price / contract),
            f"{way}Val": num(sums.value),
        }
    return row


def positions_body(rows: list[dict[str, Any]]) -> dict[str, Any]:
    totals = {f"pl_{word}": round(sum(row[key] for row in rows), 4) for word, key in _PROFITS.items()}
    counts = {"count_total": len(rows), "count_open": sum(1 for row in rows if row["netQty"])}
    return {"netPositions": rows, "overall": counts | totals}


_PROFITS: Final = {"total": "pl", "realized": "realized_profit", "unrealized": "unrealized_profit"}


def holding_rows(owned: Security, named: Named) -> list[dict[str, Any]]:
    """Write what is delivered, and in a record of its own what is on its way."""
    holding, market, wire = owned.holding, owned.market, named.wire_quantity
    sold, fresh = wire(owned.sold_today), wire(holding.t1_quantity)
    rows = []
    for kind, quantity, gone in (("HLD", wire(holding.quantity) - fresh, sold), ("T1", fresh, 0)):
        if quantity:
            value = num(market.last_price * quantity)
            rows.append(
                place_row(named)
                | {
                    "holdingType": kind,
                    "isin": named.instrument.isin or "",
                    "fyToken": named.token,  # a number here, a text everywhere else
                    "quantity": quantity,
                    "remainingQuantity": quantity - gone,
                    "costPrice": num(holding.average_price),
                    "marketVal": value,
                    "ltp": num(market.last_price),
                    "pl": num((market.last_price - holding.average_price) * quantity),
                    "qty_t1": 0,
                    "collateralQuantity": wire(holding.pledged_quantity) if kind == "HLD" else 0,
                    "remainingPledgeQuantity": -1,
                }
            )
    return rows


def holdings_body(held: list[Security], rows: list[dict[str, Any]]) -> dict[str, Any]:
    total = worth(held)
    overall = {
        "count_total": len(rows),
        "total_investment": num(total.invested),
        "total_current_value": num(total.current),
        "total_pl": num(total.profit),
        "pnl_perc": float(total.percent(total.profit, total.invested)),
    }
    return {"holdings": rows, "overall": overall}


def funds_rows(funds: Mapping[model.Segment, VenueFunds]) -> list[dict[str, Any]]:
    def amounts(one: VenueFunds | None) -> dict[int, Decimal]:
        if one is None:
            return dict.fromkeys(range(1, 11), Decimal(0))
        pledged, used = one.collateral_cash + one.collateral_pledged, one.used + one.blocked
        return {
            1: one.net + used,
            2: used,
            3: one.opening + one.payin + one.realised,
            4: one.realised,
            5: pledged,
            6: one.payin,
            7: Decimal(0),
            8: Decimal(0),
            9: one.opening,
            10: one.net,
        }

    equity, commodity = (amounts(funds.get(one)) for one in (model.Segment.EQUITY, model.Segment.COMMODITY))
    titles = (
        "Total Balance,Utilized Amount,Clear Balance,Realized Profit and Loss,Collaterals,Fund Transfer,Receivables,"
        "Adhoc Limit,Limit at start of the day,Available Balance"
    ).split(",")
    return [
        {"id": at, "title": title, "equityAmount": num(equity[at]), "commodityAmount": num(commodity[at])}
        for at, title in enumerate(titles, 1)
    ]


# --- quotes ----------------------------------------------------------------------------------------------------------


def quote_item(market: MarketView, named: Named) -> dict[str, Any]:
    bid, ask = (num(side[0][0]) if side else 0 for side in (market.bids, market.asks))
    change = market.last_price - market.close
    value = {
        "lp": num(market.last_price),
        "ch": num(change),
        "chp": round(float(change / market.close * 100), 2) if market.close else 0,
        "bid": bid,
        "ask": ask,
        "spread": round(ask - bid, 4),
        "open_price": num(market.open),
        "high_price": num(market.high),
        "low_price": num(market.low),
        "prev_close_price": num(market.close),
        "atp": num(round(market.average_price, 2)),
        "volume": named.wire_quantity(market.volume),
        "fyToken": named.fy_token,
        "tt": str(market.ts // 1_000_000_000),
        "short_name": named.symbol,
        "exchange": named.key.partition(":")[0],
        "symbol": named.key,
    }
    return {"n": named.key, "s": "ok", "v": value}


def book_body(market: MarketView, named: Named) -> dict[str, Any]:
    wire = named.wire_quantity

    def level(price: Decimal, quantity: Decimal, orders: int) -> dict[str, Any]:
        return {"price": num(price), "volume": wire(quantity), "ord": orders}

    change = market.last_price - market.close
    return {
        "totalbuyqty": wire(market.total_buy_quantity),
        "totalsellqty": wire(market.total_sell_quantity),
        "bids": ladder(market.bids, 5, level),
        "ask": ladder(market.asks, 5, level),
        "o": num(market.open),
        "h": num(market.high),
        "l": num(market.low),
        "c": num(market.close),
        "ch": num(change),
        "ltp": num(market.last_price),
        "ltq": wire(market.last_quantity),
        "ltt": market.last_trade_ts // 1_000_000_000,
        "v": wire(market.volume),
        "atp": num(round(market.average_price, 2)),
        "lower_ckt": num(market.band_low),
        "upper_ckt": num(market.band_high),
        "tick_Size": float(named.instrument.tick_size),
        "oi": wire(Decimal(market.oi)),
        "oiflag": named.instrument.expiry is not None,
    }


def several(items: Iterable[Mapping[str, Any]]) -> HttpAnswer:
    """Answer with what became of each of several orders."""
    data = [
        {"statusCode": 200 if body["s"] == "ok" else 400, "statusDescription": "OK", "body": dict(body)}
        for body in items
    ]
    return success(data=data)
