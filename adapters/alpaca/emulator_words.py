"""The broker's JSON: assets, positions, activities, bars, and its errors."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final

from dragoman.emulator.parts import (
    ApiError,
    Bar,
    FieldError,
    Listing,
    ListingName,
    Lookup,
    MarketView,
    MinuteBar,
    VenueFill,
    VenuePosition,
    best,
    num,
    shortest,
)
from dragoman.plugin import ErrorKind

from .words import CRYPTO

_K = ErrorKind
_SPACE: Final = uuid.uuid5(uuid.NAMESPACE_DNS, "emulator.alpaca")


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


def identity(*parts: object) -> str:
    """Return the UUID of something, the same in every run."""
    return str(uuid.uuid5(_SPACE, "/".join(map(str, parts))))


def cents(value: Decimal) -> str:
    return format(value.quantize(Decimal("0.01"), ROUND_HALF_EVEN), "f")


@dataclass(frozen=True)
class Asset(ListingName):
    """A listing under the broker's names."""

    asset_id: str = field(default="")

    @property
    def kind(self) -> str:
        if self.exchange == CRYPTO:
            return "crypto"
        return "us_option" if self.instrument.option_type else "us_equity"

    def row(self) -> dict[str, Any]:
        one, crypto = self.instrument, self.kind == "crypto"
        names = {"min_order_size": one.lot_size, "min_trade_increment": one.lot_size, "price_increment": one.tick_size}
        return {
            "id": self.asset_id,
            "class": self.kind,
            "exchange": "CRYPTO" if crypto else one.extra["exchange"],
            "symbol": self.symbol,
            "name": one.name,
            "status": "active",
            "tradable": True,
            "marginable": not crypto,
            "shortable": not crypto,
            "easy_to_borrow": not crypto,
            "fractionable": one.lot_size < 1,
            **({name: shortest(value) for name, value in names.items()} if crypto else {}),
        }

    def contract(self, underlying_id: str) -> dict[str, Any]:
        one = self.instrument
        return {
            "id": self.asset_id,
            "symbol": self.symbol,
            "name": one.name,
            "status": "active",
            "tradable": True,
            "expiration_date": str(one.expiry),
            "root_symbol": self.root,
            "underlying_symbol": self.root,
            "underlying_asset_id": underlying_id,
            "type": str(one.option_type).lower(),
            "style": "american",
            "strike_price": shortest(one.strike),
            "size": shortest(one.multiplier),
            "open_interest": str(self.listing.oi),
            "close_price": shortest(self.listing.reference),
        }


class Assets(Lookup[Asset]):
    """What the broker offers, by symbol (a pair's with or without its slash), by id and by canonical id."""

    def name(self, listing: Listing, number: int) -> Asset:
        one = listing.instrument
        symbol = one.symbol if one.exchange == CRYPTO else one.broker_symbol
        return Asset(listing, number, symbol, asset_id=identity("asset", symbol))

    def names(self, named: Asset) -> Iterable[str]:
        return (named.symbol, named.asset_id, named.symbol.replace("/", ""))

    def get(self, name: str) -> Asset:
        """Find, or raise the broker's error."""
        return AlpacaError.found(self.find(name), "42210000", f'asset "{name}" not found')

    def contract(self, asset: Asset) -> dict[str, Any]:
        """Write the record of an option contract."""
        return asset.contract(self.get(asset.root).asset_id)


def position_row(position: VenuePosition, asset: Asset, market: MarketView) -> dict[str, Any]:
    quantity, price, size = position.quantity, market.last_price, asset.instrument.multiplier
    value, cost = quantity * price * size, quantity * position.average_price * size
    day = (price - market.close) * quantity * size
    return {
        "asset_id": asset.asset_id,
        "symbol": asset.symbol.replace("/", ""),
        "exchange": asset.row()["exchange"] if asset.kind != "us_option" else "",
        "asset_class": asset.kind,
        "asset_marginable": asset.kind == "us_equity",
        "avg_entry_price": shortest(position.average_price),
        "qty": shortest(quantity),
        "qty_available": shortest(abs(quantity)),
        "side": "long" if quantity > 0 else "short",
        "market_value": shortest(value),
        "cost_basis": shortest(cost),
        "unrealized_pl": shortest(value - cost),
        "unrealized_plpc": shortest(_share(value - cost, abs(cost))),
        "unrealized_intraday_pl": shortest(day),
        "unrealized_intraday_plpc": shortest(_share(day, abs(market.close * quantity * size))),
        "current_price": shortest(price),
        "lastday_price": shortest(market.close),
        "change_today": shortest(_share(price - market.close, market.close)),
    }


def _share(part: Decimal, whole: Decimal) -> Decimal:
    return (part / whole).quantize(Decimal("0.000001")) if whole else Decimal(0)


def activity_row(fill: VenueFill, order_id: str, cum: Decimal, left: Decimal, asset: Asset) -> dict[str, Any]:
    stamp = datetime.fromtimestamp(fill.ts // 1_000_000_000, UTC)
    return {
        "id": f"{stamp:%Y%m%d%H%M%S}{fill.ts // 1_000_000 % 1000:03d}::{identity('fill', fill.trade_id, order_id)}",
        "activity_type": "FILL",
        "transaction_time": f"{stamp:%Y-%m-%dT%H:%M:%S}.{fill.ts // 1_000_000 % 1000:03d}Z",
        "type": "partial_fill" if left else "fill",
        "price": shortest(fill.price),
        "qty": shortest(fill.quantity),
        "side": fill.side.value.lower(),
        "symbol": asset.symbol,
        "leaves_qty": shortest(left),
        "cum_qty": shortest(cum),
        "order_id": order_id,
        "order_status": "partially_filled" if left else "filled",
    }


def bar_row(bar: Bar) -> dict[str, Any]:
    """Write a bar of the past."""
    prices = {"o": num(bar.open), "h": num(bar.high), "l": num(bar.low), "c": num(bar.close)}
    middle = (bar.open + bar.high + bar.low + bar.close) / 4
    sums = {"v": bar.volume, "n": max(1, bar.volume // 100), "vw": float(round(middle, 6))}
    return {"t": f"{bar.start.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"} | prices | sums


_QUOTED: Final[Mapping[str, Mapping[str, Any]]] = {
    "crypto": {},
    "us_option": {"bx": "V", "ax": "V", "c": "R"},
    "us_equity": {"bx": "V", "ax": "V", "c": ["R"], "z": "C"},
}


class Tape:
    """What the market of an asset looks like in data messages; times are ns, written by whoever sends them."""

    @staticmethod
    def trade(asset: Asset, market: MarketView) -> dict[str, Any]:
        number = int(market.volume / (asset.instrument.lot_size or 1)) % 2**53
        buyer = not market.asks or market.last_price >= market.asks[0][0]
        own: dict[str, dict[str, Any]] = {
            "crypto": {"i": number, "tks": "B" if buyer else "S"},
            "us_option": {"x": "N", "c": "I"},
            "us_equity": {"x": "V", "i": number, "c": ["@"], "z": "C"},
        }
        found = {"t": market.last_trade_ts, "p": float(market.last_price), "s": num(market.last_quantity)}
        return found | own[asset.kind]

    @staticmethod
    def quote(asset: Asset, market: MarketView) -> dict[str, Any]:
        (bid, bid_size), (ask, ask_size) = best(market.bids), best(market.asks)
        found = {"t": market.ts, "bp": float(bid), "bs": num(bid_size), "ap": float(ask), "as": num(ask_size)}
        return {**found, **_QUOTED[asset.kind]}

    @staticmethod
    def day(market: MarketView, start_ns: int) -> dict[str, Any]:
        last, mean = market.last_price, market.average_price
        trades = max(1, int(market.volume) // 100)
        return bar_of(start_ns, (market.open, market.high, market.low, last), market.volume, mean, trades)

    @staticmethod
    def minute(bar: MinuteBar) -> dict[str, Any]:
        prices = (bar.open, bar.high, bar.low, bar.close)
        return bar_of(bar.start_ns, prices, bar.volume, round(bar.average_price, 6), bar.trades)

    @staticmethod
    def book(market: MarketView) -> dict[str, dict[float, float]]:
        return {
            side: {float(price): float(size) for price, size, _ in levels}
            for side, levels in (("b", market.bids), ("a", market.asks))
        }


def bar_of(start_ns: int, prices: Sequence[Decimal], volume: Decimal, mean: Decimal, trades: int) -> dict[str, Any]:
    """Write a bar of a stream; its time is ns, as all of `Tape`."""
    shape = dict(zip("ohlc", map(float, prices), strict=True))
    return {"t": start_ns, **shape, "v": num(volume), "n": trades, "vw": float(mean)}
