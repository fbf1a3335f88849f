"""The venue's JSON: symbols, orders, trades, wallets and its errors, as both interfaces write them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, ClassVar, Final

from dragoman.emulator.parts import (
    ZERO,
    ApiError,
    FieldError,
    Form,
    Listing,
    ListingName,
    Lookup,
    MarketView,
    OrderState,
    VenueFill,
    VenuePosition,
    fixed,
    millis,
)
from dragoman.plugin import ErrorKind, model

from .words import MARKETS, SPOT, USDM, Market

S = model.OrderStatus
_K = ErrorKind
text: Final = fixed
ms: Final = millis


def worths(**amounts: Decimal) -> dict[str, str]:
    """Write amounts of money, by name."""
    return {name: text(amount) for name, amount in amounts.items()}


SIDES: Final = {"BOTH": model.Product.MARGIN, "LONG": model.Product.CARRY, "SHORT": model.Product.INTRADAY}
"""How the exchange behind keeps the sides of a hedged account apart: as products."""
SIDE_OF: Final = {product: word for word, product in SIDES.items()}
PREVENTION: Final = ("EXPIRE_MAKER", "EXPIRE_TAKER", "EXPIRE_BOTH", "NONE", "DECREMENT", "TRANSFER")
"""Ways to keep an account from trading with itself: the default first; the last three are of spot only."""
ENDED_BY_RULE: Final = (
    "immediate or cancel",
    "fill or kill",
    "no opposite order",
    "post-only",
    "same account",
    "the day",
)
WORDS: Final = {
    S.ACCEPTED: "NEW",
    S.OPEN: "NEW",
    S.TRIGGER_PENDING: "NEW",
    S.TRIGGERED: "NEW",
    S.PARTIALLY_FILLED: "PARTIALLY_FILLED",
    S.FILLED: "FILLED",
    S.CANCELED: "CANCELED",
    S.REJECTED: "REJECTED",
    S.EXPIRED: "EXPIRED",
}


_TOO_MANY: Final = "Too many requests; please use the websocket for live updates."
NO_KEY: Final = ("-2015", "Invalid API-key, IP, or permissions for action.")


class SpotError(ApiError):
    """An error reply of the spot interface; `word` is the venue's number."""

    statuses: ClassVar[Mapping[str, int]] = {"-1003": 429, "-1015": 429, "-2014": 401, "-2015": 401, "-5000": 404}
    other_status = 400
    words: ClassVar[Mapping[ErrorKind, str]] = {
        _K.INSTRUMENT_NOT_FOUND: "-1121",
        _K.INSUFFICIENT_MARGIN: "-2010",
        _K.INSUFFICIENT_HOLDINGS: "-2010",
        _K.MARKET_CLOSED: "-2010",
        _K.INSTRUMENT_NOT_TRADABLE: "-2010",
        _K.ORDER_NOT_FOUND: "-2011",
        _K.TOO_LATE_TO_MODIFY_OR_CANCEL: "-2011",
    }
    other = "-1013"
    texts: ClassVar[Mapping[ErrorKind, str]] = {
        _K.INSTRUMENT_NOT_FOUND: "Invalid symbol.",
        _K.INSUFFICIENT_MARGIN: "Account has insufficient balance for requested action.",
        _K.INSUFFICIENT_HOLDINGS: "Account has insufficient balance for requested action.",
        _K.MARKET_CLOSED: "Market is closed.",
        _K.ORDER_NOT_FOUND: "Unknown order sent.",
        _K.TOO_LATE_TO_MODIFY_OR_CANCEL: "Unknown order sent.",
        _K.INVALID_PRICE_TICK: "Filter failure: PRICE_FILTER",
        _K.PRICE_OUT_OF_BAND: "Filter failure: PERCENT_PRICE_BY_SIDE",
        _K.INVALID_QUANTITY: "Filter failure: LOT_SIZE",
        _K.FREEZE_QTY_EXCEEDED: "Filter failure: LOT_SIZE",
    }

    causes: ClassVar[Mapping[type[Exception], str]] = {FieldError: "-1102"}
    gates: ClassVar[Mapping[int | str, tuple[str, str]]] = {
        404: ("-5000", "Path or method is invalid"),
        405: ("-5000", "Path or method is invalid"),
        429: ("-1003", _TOO_MANY),
        "sorders": ("-1015", _TOO_MANY),
        "uorders": ("-1015", _TOO_MANY),
    }
    faults: ClassVar[Mapping[int, tuple[str, str]]] = {
        401: NO_KEY,
        403: NO_KEY,
        408: ("-1007", "Timeout waiting for response from backend server."),
        429: ("-1003", "Too many requests."),
        503: ("-1000", "Unknown error, please check your request or try again later."),
    }
    fault = (
        "-1007",
        "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
    )
    told: ClassVar[Mapping[str, tuple[str, str]]] = {
        "long id": ("-1100", "Client order id length should be less than 36 chars"),
        "used id": ("-2010", "Duplicate order sent."),
        "triggers": ("-2010", "Stop price would trigger immediately."),
        "notional": ("-1013", "Filter failure: NOTIONAL"),
        "takes": ("-2010", "Order would immediately match and take."),
    }
    """What is said of an order that breaks a rule of the market."""

    def body(self) -> Mapping[str, Any]:
        return {"code": int(self.word), "msg": self.message}


class FuturesError(SpotError):
    """The same of the futures interface, which has numbers of its own."""

    words = dict(SpotError.words) | {
        _K.INSUFFICIENT_MARGIN: "-2019",
        _K.INVALID_PRICE_TICK: "-4014",
        _K.INVALID_QUANTITY: "-4023",
        _K.FREEZE_QTY_EXCEEDED: "-4005",
        _K.PRICE_OUT_OF_BAND: "-4016",
    }
    texts = dict(SpotError.texts) | {
        _K.INSUFFICIENT_MARGIN: "Margin is insufficient.",
        _K.INVALID_PRICE_TICK: "Price not increased by tick size.",
        _K.INVALID_QUANTITY: "Quantity not increased by step size.",
        _K.FREEZE_QTY_EXCEEDED: "Quantity greater than max quantity.",
        _K.PRICE_OUT_OF_BAND: "Limit price can't be higher than the limit.",
    }
    told = {
        "long id": ("-4015", "Client order id length should be less than 36 chars"),
        "used id": ("-4116", "ClientOrderId is duplicated."),
        "triggers": ("-2021", "Order would immediately trigger."),
        "notional": ("-4164", "Order's notional must be no smaller than 5"),
        "takes": ("-5022", "Order would immediately match and take."),
    }


def error_of(market: Market) -> type[SpotError]:
    return SpotError if market is SPOT else FuturesError


class Names(Lookup[ListingName]):
    """What the platform lists, by market and symbol."""

    def name(self, listing: Listing, number: int) -> ListingName | None:
        instrument = listing.instrument
        return ListingName(listing, number, instrument.broker_symbol) if instrument.exchange in MARKETS else None

    def names(self, named: ListingName) -> Iterable[tuple[str, str]]:
        return ((named.exchange, named.symbol),)

    def of(self, market: Market, form: Form) -> ListingName:
        """Return what a form names. Raises the venue's error."""
        return error_of(market).found(self.on(market, form.text("symbol")), "-1121", "Invalid symbol.")

    def on(self, market: Market, symbol: str) -> ListingName | None:
        return self.find((market.exchange, symbol.upper()))

    def market(self, market: Market) -> list[ListingName]:
        return [one for one in self.all if one.exchange == market.exchange]


# -- symbols -----------------------------------------------------------------------------------------------------------


_SPOT_SYMBOL: Final[Mapping[str, Any]] = {
    "quotePrecision": 8,
    "quoteAssetPrecision": 8,
    "orderTypes": list(SPOT.order_types.inward),
    "icebergAllowed": True,
    "ocoAllowed": False,
    "quoteOrderQtyMarketAllowed": True,
    "cancelReplaceAllowed": True,
    "amendAllowed": True,
    "isSpotTradingAllowed": True,
    "isMarginTradingAllowed": False,
    "permissions": [],
    "permissionSets": [["SPOT"]],
    "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
}
_FUTURES_SYMBOL: Final[Mapping[str, Any]] = {
    "contractType": "PERPETUAL",
    "deliveryDate": 4133404800000,
    "onboardDate": 1569398400000,
    "pricePrecision": 8,
    "quantityPrecision": 8,
    "quotePrecision": 8,
    "triggerProtect": "0.0500",
    "marketTakeBound": "0.05",
    "orderTypes": list(USDM.order_types.inward),
    "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
}


def symbol_row(named: ListingName, market: Market) -> dict[str, Any]:
    """Write a row of ``exchangeInfo``."""
    instrument, worth = named.instrument, str(named.instrument.extra["min_notional"])
    up, down = (f"{1 + sign * named.listing.band:.4f}" for sign in (1, -1))
    lot = worths(minQty=instrument.lot_size, maxQty=instrument.freeze_quantity or ZERO, stepSize=instrument.lot_size)
    tick = worths(minPrice=instrument.tick_size, maxPrice=instrument.tick_size * 10**9, tickSize=instrument.tick_size)
    filters: dict[str, dict[str, Any]] = {"PRICE_FILTER": tick, "LOT_SIZE": lot, "MARKET_LOT_SIZE": lot}
    if market is SPOT:
        sides = {
            f"{side}Multiplier{way}": value for side in ("bid", "ask") for way, value in (("Up", up), ("Down", down))
        }
        filters["PERCENT_PRICE_BY_SIDE"] = {**sides, "avgPriceMins": 5}
        filters["NOTIONAL"] = {"minNotional": worth, "applyMinToMarket": True, "avgPriceMins": 5}
        more = _SPOT_SYMBOL
    else:
        filters["PERCENT_PRICE"] = {"multiplierUp": up, "multiplierDown": down, "multiplierDecimal": "4"}
        filters["MIN_NOTIONAL"] = {"notional": worth}
        more = {"pair": named.symbol, "marginAsset": instrument.currency, **_FUTURES_SYMBOL}
    return {
        "symbol": named.symbol,
        "status": "TRADING",
        "baseAsset": instrument.name,
        "quoteAsset": instrument.currency,
        "baseAssetPrecision": 8,
        "filters": [{"filterType": name, **fields} for name, fields in filters.items()],
        **more,
    }


# -- orders ------------------------------------------------------------------------------------------------------------


def number_of(state: OrderState) -> int:
    """Return the number of an order in the book; a conditional futures order has one once it triggered."""
    return int(state.exchange_order_id or 0) if is_algo(state) else int(state.order_id)


def book_type(state: OrderState, market: Market) -> str:
    """Return the type an order has in the book; one from elsewhere brought no word of its own."""
    return str(state.order.extra.get("word") or market.order_types.write(state.order.order_type))


def is_algo(state: OrderState) -> bool:
    return bool(state.order.extra.get("algo"))


def triggered(state: OrderState) -> bool:
    """Whether a conditional order has made one of the book; `note_trigger` remembers it of one that was canceled."""
    return bool(state.order.extra.get("made")) or state.status not in (S.ACCEPTED, S.TRIGGER_PENDING, S.CANCELED)


def note_trigger(state: OrderState) -> None:
    if is_algo(state) and triggered(state):
        state.order.extra["made"] = True


def word_of(state: OrderState) -> str:
    ended = state.reject_text or ""
    by_rule = state.status is S.CANCELED and any(rule in ended for rule in ENDED_BY_RULE)
    by_rule |= state.status is S.CANCELED and bool(state.order.extra.get("lapsed"))
    return "EXPIRED" if by_rule else WORDS[state.status]


def order_row(state: OrderState, named: ListingName, market: Market) -> dict[str, Any]:
    """Write an order of the book."""
    order, filled = state.order, state.filled_quantity
    quote = filled * state.average_price
    row: dict[str, Any] = {
        "symbol": named.symbol,
        "orderId": number_of(state),
        "clientOrderId": order.tag or f"web_{state.order_id}",
        "price": text(order.price or ZERO),
        "origQty": text(order.quantity),
        "executedQty": text(filled),
        "status": word_of(state),
        "timeInForce": order.extra.get("tif", "GTC"),
        "type": book_type(state, market),
        "side": order.side.value,
        "stopPrice": text(order.trigger_price or ZERO),
        "time": ms(state.ts_created),
        "updateTime": ms(state.ts_updated),
        "selfTradePreventionMode": order.extra.get("prevention", PREVENTION[0]),
    }
    if market is SPOT:
        more = {"expiryReason": "EXCHANGE_CANCELED"} if row["status"] == "EXPIRED" else {}
        return (
            row
            | more
            | {
                "orderListId": -1,
                "cummulativeQuoteQty": text(quote),
                "icebergQty": text(order.display_quantity or ZERO),
                "isWorking": state.status not in (S.ACCEPTED, S.TRIGGER_PENDING, S.TRIGGERED),
                "workingTime": ms(state.ts_exchange),
                "origQuoteOrderQty": text(ZERO),
            }
        )
    return row | {
        "avgPrice": text(state.average_price),
        "cumQuote": text(quote),
        "cumQty": text(filled),
        "origType": order.extra.get("first", row["type"]),
        "reduceOnly": bool(order.extra.get("reduce")),
        "positionSide": SIDE_OF[order.product],
        "closePosition": False,
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "priceMatch": "NONE",
        "goodTillDate": order.extra.get("until", 0),
    }


def algo_row(state: OrderState, named: ListingName) -> dict[str, Any]:
    """Write a conditional futures order."""
    order, made = state.order, triggered(state)
    word = "NEW" if not made else "FINISHED" if state.status.terminal else "TRIGGERED"
    if state.status is S.CANCELED and not made:
        word = "CANCELED"
    return {
        "algoId": int(state.order_id),
        "clientAlgoId": order.tag,
        "algoType": "CONDITIONAL",
        "orderType": order.extra["first"],
        "symbol": named.symbol,
        "side": order.side.value,
        "positionSide": SIDE_OF[order.product],
        "timeInForce": order.extra["tif"],
        "quantity": text(order.quantity),
        "algoStatus": word,
        "triggerPrice": text(order.trigger_price or ZERO),
        "price": text(order.price or ZERO),
        "actualOrderId": str(number_of(state)) if made else "",
        "actualPrice": text(state.average_price),
        "actualQty": text(state.filled_quantity),
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "workingType": "CONTRACT_PRICE",
        "priceMatch": "NONE",
        "closePosition": False,
        "priceProtect": False,
        "reduceOnly": bool(order.extra.get("reduce")),
        "createTime": ms(state.ts_created),
        "updateTime": ms(state.ts_updated),
        "triggerTime": ms(state.ts_updated) if made else 0,
        "goodTillDate": 0,
    }


def trade_row(fill: VenueFill, state: OrderState, named: ListingName, market: Market) -> dict[str, Any]:
    row = {
        "symbol": named.symbol,
        "id": int(fill.trade_id),
        "orderId": number_of(state),
        "price": text(fill.price),
        "qty": text(fill.quantity),
        "quoteQty": text(fill.price * fill.quantity),
        "commission": text(fill.fee),
        "commissionAsset": fill.fee_asset or named.instrument.currency,
        "time": ms(fill.ts),
    }
    buyer = fill.side is model.Side.BUY
    if market is SPOT:
        return row | {"orderListId": -1, "isBuyer": buyer, "isMaker": fill.maker, "isBestMatch": True}
    more = {"side": fill.side.value, "buyer": buyer, "maker": fill.maker, "realizedPnl": text(ZERO)}
    return row | more | {"positionSide": SIDE_OF[fill.product], "marginAsset": named.instrument.currency}


# -- wallets -----------------------------------------------------------------------------------------------------------


def position_row(position: VenuePosition, view: MarketView, named: ListingName) -> dict[str, Any]:
    """Write a row of ``positionRisk``."""
    worth = position.quantity * view.last_price
    rate = named.listing.margin_rate[position.product]
    need = text(abs(position.quantity * position.average_price) * rate)
    return {
        "symbol": named.symbol,
        "positionSide": SIDE_OF[position.product],
        "positionAmt": text(position.quantity),
        "entryPrice": text(position.average_price),
        "breakEvenPrice": text(position.average_price),
        "markPrice": text(view.last_price),
        "unRealizedProfit": text(position.unrealised),
        "liquidationPrice": text(ZERO),
        "isolatedMargin": text(ZERO),
        "notional": text(worth),
        "marginAsset": named.instrument.currency,
        "initialMargin": need,
        "maintMargin": text(abs(worth) * Decimal("0.004")),
        "positionInitialMargin": need,
        "openOrderInitialMargin": text(ZERO),
        "isolatedWallet": text(ZERO),
        "adl": 1,
        "updateTime": ms(view.ts),
    }
