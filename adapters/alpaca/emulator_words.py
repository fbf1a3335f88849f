"""The broker's JSON: assets, positions, activities, bars, and its errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from operator import itemgetter
from typing import Any, Final

from dragoman.emulator.parts import (
    ApiError,
    As,
    Chain,
    FieldError,
    Link,
    Listing,
    ListingName,
    Lookup,
    MarketView,
    Or,
    Phase,
    Rows,
    StatusWords,
    Table,
    VenueFill,
    fixed,
    identity,
    rfc3339,
    shortest,
    write,
)
from dragoman.plugin import ErrorKind, model

from .words import CRYPTO

_K, S = ErrorKind, model.OrderStatus


class AlpacaError(ApiError):
    """An error reply; `word` is the broker's code."""

    statuses = {
        "40010001": 422,
        "40110000": 401,
        "40310000": 403,
        "40410000": 404,
        "42210000": 422,
        "42910000": 429,
        "50010000": 500,
    }
    words = {
        _K.INSUFFICIENT_MARGIN: "40310000",
        _K.INSUFFICIENT_HOLDINGS: "40310000",
        _K.INSTRUMENT_NOT_TRADABLE: "40310000",
        _K.PERMISSION_DENIED: "40310000",
        _K.MARKET_CLOSED: "40310000",
        _K.ORDER_NOT_FOUND: "40410000",
    }
    other = "42210000"
    texts = {
        _K.INSUFFICIENT_MARGIN: "insufficient buying power",
        _K.INVALID_PRICE_TICK: "invalid price: sub-penny increment does not fulfill minimum pricing criteria",
    }

    causes = {FieldError: "40010001"}
    gates = {
        404: ("40410000", "endpoint not found"),
        405: ("40010001", "endpoint not found"),
        429: ("42910000", "too many requests."),
    }
    faults = {
        401: ("40110000", "request is not authorized"),
        403: ("40310000", "forbidden"),
        429: ("42910000", "too many requests."),
        **{status: (f"{status}10000", "internal server error occurred") for status in (502, 503, 504)},
    }
    fault = ("50010000", "internal server error occurred")

    def body(self) -> Mapping[str, Any]:
        return {"code": int(self.word), "message": self.message.replace("`", '"')}


made: Final = partial(identity, "emulator.alpaca")
"""Makes the UUID of something, the same in every run."""
_cents: Final = partial(fixed, digits=2)

# --- what is offered -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asset(ListingName):
    """A listing under the broker's names."""

    asset_id: str = field(default="")

    @property
    def kind(self) -> str:
        if self.exchange == CRYPTO:
            return "crypto"
        return "us_option" if self.instrument.option_type else "us_equity"

    @property
    def place(self) -> str:
        """Where it trades, as the broker writes it."""
        return "CRYPTO" if self.kind == "crypto" else str(self.instrument.extra["exchange"])


LISTED: Final[Table] = {
    "id": ".asset_id",
    "class": ".kind",
    "exchange": ".place",
    "symbol": ".symbol",
    "name": ".instrument.name",
    "status": "active",
    "tradable": True,
    "marginable": True,
    "shortable": True,
    "easy_to_borrow": True,
    "fractionable": As(".instrument.lot_size", lambda lot: lot < 1),
}
PAIR: Final[Table] = LISTED | {
    **dict.fromkeys(("marginable", "shortable", "easy_to_borrow"), False),
    "min_order_size": As(".instrument.lot_size", shortest),
    "min_trade_increment": As(".instrument.lot_size", shortest),
    "price_increment": As(".instrument.tick_size", shortest),
}
CONTRACT: Final[Table] = {
    "id": ".asset_id",
    "symbol": ".symbol",
    "name": ".instrument.name",
    "status": "active",
    "tradable": True,
    "expiration_date": As(".instrument.expiry", str),
    "root_symbol": ".root",
    "underlying_symbol": ".root",
    "underlying_asset_id": As(".root", lambda root: made("asset", root)),
    "type": As(".instrument.option_type", lambda right: str(right).lower()),
    "style": "american",
    "strike_price": As(".instrument.strike", shortest),
    "size": As(".instrument.multiplier", shortest),
    "open_interest": As(".listing.oi", str),
    "close_price": As(".listing.reference", shortest),
}


def asset_row(asset: Asset) -> dict[str, Any]:
    return write(PAIR if asset.kind == "crypto" else LISTED, asset)


class Assets(Lookup[Asset]):
    """What the broker offers, by symbol (a pair's with or without its slash), by id and by canonical id."""

    def name(self, listing: Listing, number: int) -> Asset:
        one = listing.instrument
        symbol = one.symbol if one.exchange == CRYPTO else one.broker_symbol
        return Asset(listing, number, symbol, asset_id=made("asset", symbol))

    def names(self, named: Asset) -> Iterable[str]:
        return (named.symbol, named.asset_id, named.symbol.replace("/", ""))

    def listed(self, name: str) -> Asset:
        return AlpacaError.found(self.find(name), "40410000", f"asset {name} not found")

    def option(self, name: str) -> Asset:
        asset = self.find(name)
        found = asset if asset is not None and asset.kind == "us_option" else None
        return AlpacaError.found(found, "40410000", f"option contract {name} not found")

    def get(self, name: str) -> Asset:
        """Find, or raise the broker's error of orders."""
        return AlpacaError.found(self.find(name), "42210000", f'asset "{name}" not found')


# --- orders ----------------------------------------------------------------------------------------------------------

STATUS: Final = StatusWords(
    firm={
        S.ACCEPTED: "pending_new",
        S.OPEN: "new",
        S.TRIGGER_PENDING: "new",
        S.TRIGGERED: "new",
        S.PARTIALLY_FILLED: "partially_filled",
        S.FILLED: "filled",
        S.CANCELED: "canceled",
        S.EXPIRED: "expired",
        S.REJECTED: "rejected",
    },
    waiting="accepted",
    modifying="pending_replace",
    canceling="pending_cancel",
)
_MILLIONTH: Final = Decimal("0.000001")
_PHASES: Final = {
    Phase.HELD: "held",
    Phase.ASKED: "accepted",
    Phase.REFUSED: "rejected",
    Phase.REPLACED: "replaced",
}


LEG: Final[Table] = {
    "id": ".link.order_id",
    "client_order_id": ".link.client_order_id",
    "created_at": As(".link.created", rfc3339),
    "updated_at": As(".changed", rfc3339),
    "submitted_at": As(".link.created", rfc3339),
    "filled_at": As(".filled_ns", rfc3339),
    "canceled_at": As(".canceled_ns", rfc3339),
    "expired_at": As(".expired_ns", rfc3339),
    "failed_at": As(".rejected_ns", rfc3339),
    "replaced_at": As(".replaced_ns", rfc3339),
    "replaced_by": ".replaced_by",
    "replaces": ".replaces",
    "asset_id": ".named.asset_id",
    "symbol": ".named.symbol",
    "asset_class": ".named.kind",
    "notional": As(".kept", itemgetter("notional")),
    "qty": As(".", lambda one: None if one.kept["notional"] else shortest(one.size)),
    "filled_qty": As(".filled", shortest),
    "filled_avg_price": As(".average", lambda price: shortest(price.quantize(_MILLIONTH)) if price else None),
    "order_class": As(".kept", itemgetter("order_class")),
    "order_type": As(".kept", itemgetter("type")),
    "type": As(".kept", itemgetter("type")),
    "side": As(".order.side.value", str.lower),
    "position_intent": As(".kept", itemgetter("intent")),
    "time_in_force": As(".kept", itemgetter("time_in_force")),
    "limit_price": As(".", lambda one: shortest(one.order.price) if one.kept["limit_price"] else None),
    "stop_price": As(".order.trigger_price", shortest),
    "status": As(".", lambda one: _PHASES.get(one.link.phase) or STATUS.now(one.shown)),
    "extended_hours": As(".kept", itemgetter("extended_hours")),
    "legs": None,
    "trail_percent": As(".kept", itemgetter("trail_percent")),
    "trail_price": As(".kept", itemgetter("trail_price")),
    "hwm": As(".best", shortest),
    "source": "access_key",
}
ORDER: Final[Table] = LEG | {"legs": Or(Rows(".legs", LEG), None)}
FILL: Final[Table] = {
    "timestamp": As(".ts", rfc3339),
    "price": As(".price", shortest),
    "qty": As(".quantity", shortest),
    "position_qty": "",  # of the account by then
    "execution_id": As(".", lambda fill: made("execution", fill.trade_id, fill.order_id)),
}


def activity_row(fill: VenueFill, chain: Chain[Asset], link: Link, cum: Decimal, left: Decimal) -> dict[str, Any]:
    """Write a fill of an id, of what that had filled with it (`cum`), and what was left."""
    stamp = datetime.fromtimestamp(fill.ts // 1_000_000_000, UTC)
    return {
        "id": f"{stamp:%Y%m%d%H%M%S}{fill.ts // 1_000_000 % 1000:03d}::{made('fill', fill.trade_id, link.order_id)}",
        "activity_type": "FILL",
        "transaction_time": f"{stamp:%Y-%m-%dT%H:%M:%S}.{fill.ts // 1_000_000 % 1000:03d}Z",
        "type": "partial_fill" if left else "fill",
        "price": shortest(fill.price),
        "qty": shortest(fill.quantity),
        "side": fill.side.value.lower(),
        "symbol": chain.named.symbol,
        "leaves_qty": shortest(left),
        "cum_qty": shortest(cum),
        "order_id": link.order_id,
        "order_status": "partially_filled" if left else "filled",
    }


# --- the account -----------------------------------------------------------------------------------------------------

ACCOUNT_ROW: Final[Table] = {
    "id": As(".account", lambda name: made("account", name)),
    "account_number": ".account",
    "status": "ACTIVE",
    "crypto_status": "ACTIVE",
    "currency": "USD",
    "multiplier": "1",
    "shorting_enabled": True,
    "options_approved_level": 2,
    "options_trading_level": 2,
    "created_at": "2024-01-02T14:30:00.000000Z",
    **dict.fromkeys(("trading_blocked", "transfers_blocked", "account_blocked", "trade_suspended_by_user"), False),
    "cash": As(".cash", _cents),
    "equity": As(".equity", _cents),
    "portfolio_value": As(".equity", _cents),
    "last_equity": As(".funds.opening", _cents),
    "buying_power": As(".power", _cents),
    "regt_buying_power": As(".power", _cents),
    "non_marginable_buying_power": As(".power", _cents),
    "options_buying_power": As(".power", _cents),
    "long_market_value": As(".longs", _cents),
    "position_market_value": As(".positions", _cents),
    "short_market_value": As(".shorts", _cents),
    "initial_margin": As(".margin", _cents),
    "maintenance_margin": As(".funds.used", lambda used: _cents(used * Decimal("0.6"))),
    **dict.fromkeys(("last_maintenance_margin", "sma", "accrued_fees"), "0.00"),
}
POSITION: Final[Table] = {
    "asset_id": ".named.asset_id",
    "symbol": As(".named.symbol", lambda symbol: symbol.replace("/", "")),
    "exchange": As(".named", lambda asset: "" if asset.kind == "us_option" else asset.place),
    "asset_class": ".named.kind",
    "asset_marginable": As(".named.kind", lambda kind: kind == "us_equity"),
    "avg_entry_price": As(".position.average_price", shortest),
    "qty": As(".quantity", shortest),
    "qty_available": As(".size", shortest),
    "side": As(".quantity", lambda quantity: "long" if quantity > 0 else "short"),
    "market_value": As(".value", shortest),
    "cost_basis": As(".cost", shortest),
    "unrealized_pl": As(".profit", shortest),
    "unrealized_plpc": As(".profit_share", shortest),
    "unrealized_intraday_pl": As(".today", shortest),
    "unrealized_intraday_plpc": As(".today_share", shortest),
    "current_price": As(".market.last_price", shortest),
    "lastday_price": As(".market.close", shortest),
    "change_today": As(".change_share", shortest),
}

# --- markets of the past ---------------------------------------------------------------------------------------------


PAST_BAR: Final[Table] = {
    "t": As(".start", lambda start: f"{start.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"),
    "o": ".open",
    "h": ".high",
    "l": ".low",
    "c": ".close",
    "v": ".volume",
    "n": As(".volume", lambda volume: max(1, volume // 100)),
    "vw": As(".", lambda bar: float(round((bar.open + bar.high + bar.low + bar.close) / 4, 6))),
}
PAST: Final[Mapping[str, Table]] = {
    "bars": PAST_BAR,
    "trades": {
        "t": PAST_BAR["t"],
        "x": "V",
        "p": ".close",
        "s": PAST_BAR["n"],
        "i": ".volume",
        "c": ["@"],
        "z": "C",
    },
    "quotes": {
        "t": PAST_BAR["t"],
        "bx": "V",
        "bp": ".low",
        "ax": "V",
        "ap": ".high",
        "c": ["R"],
        "z": "C",
        "bs": 1,
        "as": 1,
    },
}

# --- markets of now: times are ns, written by whoever sends them -----------------------------------------------------

_PRINT: Final[Table] = {
    "t": ".market.last_trade_ts",
    "p": As(".market.last_price", float),
    "s": ".market.last_quantity",
}
TRADE: Final[Mapping[str, Table]] = {
    "crypto": _PRINT | {"i": ".number", "tks": As(".lifted", lambda lifted: "B" if lifted else "S")},
    "us_option": _PRINT | {"x": "N", "c": "I"},
    "us_equity": _PRINT | {"x": "V", "i": ".number", "c": ["@"], "z": "C"},
}
_TOP: Final[Table] = {
    "t": ".market.ts",
    "bp": As(".bid", float),
    "bs": ".bid_size",
    "ap": As(".ask", float),
    "as": ".ask_size",
}
QUOTE: Final[Mapping[str, Table]] = {
    "crypto": _TOP,
    "us_option": _TOP | {"bx": "V", "ax": "V", "c": "R"},
    "us_equity": _TOP | {"bx": "V", "ax": "V", "c": ["R"], "z": "C"},
}
BAR: Final[Table] = {
    "t": ".start_ns",
    "o": As(".open", float),
    "h": As(".high", float),
    "l": As(".low", float),
    "c": As(".close", float),
    "v": ".volume",
    "n": ".trades",
    "vw": As(".average_price", float),
}
MINUTE_BAR: Final[Table] = BAR | {"vw": As(".average_price", lambda price: float(round(price, 6)))}


def book_of(market: MarketView) -> dict[str, dict[float, float]]:
    """Return both sides of a book: price to quantity."""
    return {
        side: {float(price): float(size) for price, size, _ in rows}
        for side, rows in (("b", market.bids), ("a", market.asks))
    }


def levels(book: Mapping[str, Mapping[float, float]]) -> dict[str, Any]:
    """Write the sides of a book as rows."""
    return {side: [{"p": price, "s": size} for price, size in rows.items()] for side, rows in book.items()}
