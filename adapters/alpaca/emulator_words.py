"""The broker's JSON: assets, positions, activities, bars, and its errors."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final

from dragoman.emulator.parts import (
    ApiError,
    Bar,
    FieldError,
    HttpAnswer,
    Listing,
    ListingName,
    MarketView,
    VenueFill,
    VenuePosition,
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

    def body(self) -> Mapping[str, Any]:
        return {"code": int(self.word), "message": self.message}


def worded(error: Exception) -> HttpAnswer | None:
    """Return the answer of an error that is the broker's, None of a bug."""
    if isinstance(error, FieldError):
        error = AlpacaError("40010001", str(error).replace("`", '"'))
    return error.answer() if isinstance(error, ApiError) else None


def not_found(what: str) -> AlpacaError:
    return AlpacaError("40410000", f"{what} not found")


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
        found: dict[str, Any] = {
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
        }
        if crypto:
            increments = {"min_order_size": one.lot_size, "min_trade_increment": one.lot_size}
            found |= {name: shortest(value) for name, value in increments.items()} | {
                "price_increment": shortest(one.tick_size)
            }
        return found

    def contract(self, underlying_id: str) -> dict[str, Any]:
        one = self.instrument
        assert one.expiry is not None
        assert one.option_type is not None
        assert one.strike is not None
        return {
            "id": self.asset_id,
            "symbol": self.symbol,
            "name": one.name,
            "status": "active",
            "tradable": True,
            "expiration_date": one.expiry.isoformat(),
            "root_symbol": self.root,
            "underlying_symbol": self.root,
            "underlying_asset_id": underlying_id,
            "type": one.option_type.value.lower(),
            "style": "american",
            "strike_price": shortest(one.strike),
            "size": shortest(one.multiplier),
            "open_interest": str(self.listing.oi),
            "close_price": shortest(self.listing.reference),
        }


class Assets:
    """What the broker offers, by symbol, by id and by canonical id."""

    def __init__(self, listings: Iterable[Listing]) -> None:
        self.all: list[Asset] = []
        for at, listing in enumerate(listings):
            one = listing.instrument
            symbol = one.symbol if one.exchange == CRYPTO else one.broker_symbol
            self.all.append(Asset(listing, at, symbol, asset_id=identity("asset", symbol)))
        self.by_id = {asset.instrument_id: asset for asset in self.all}
        self._by_name = {name: asset for asset in self.all for name in (asset.symbol, asset.asset_id)}
        self._by_name |= {asset.symbol.replace("/", ""): asset for asset in self.all if asset.kind == "crypto"}

    def find(self, name: str) -> Asset | None:
        """Find by symbol, a pair's with or without its slash, or by id."""
        return self._by_name.get(name)

    def get(self, name: str) -> Asset:
        """Find, or raise the broker's error."""
        found = self.find(name)
        if found is None:
            raise AlpacaError("42210000", f'asset "{name}" not found')
        return found


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
    middle = (bar.open + bar.high + bar.low + bar.close) / 4
    return {
        "t": f"{bar.start.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        **{key: num(getattr(bar, name)) for key, name in (("o", "open"), ("h", "high"), ("l", "low"), ("c", "close"))},
        "v": bar.volume,
        "n": max(1, bar.volume // 100),
        "vw": float(round(middle, 6)),
    }


class Tape:
    """What the market of an asset looks like in data messages; times are ns, written by whoever sends them."""

    @staticmethod
    def trade(asset: Asset, market: MarketView) -> dict[str, Any]:
        number = int(market.volume / (asset.instrument.lot_size or 1)) % 2**53
        found = {"t": market.last_trade_ts, "p": float(market.last_price), "s": num(market.last_quantity)}
        if asset.kind == "crypto":
            buyer = not market.asks or market.last_price >= market.asks[0][0]
            return found | {"i": number, "tks": "B" if buyer else "S"}
        if asset.kind == "us_option":
            return found | {"x": "N", "c": "I"}
        return found | {"x": "V", "i": number, "c": ["@"], "z": "C"}

    @staticmethod
    def quote(asset: Asset, market: MarketView) -> dict[str, Any]:
        found: dict[str, Any] = {"t": market.ts}
        for side, levels in (("b", market.bids), ("a", market.asks)):
            price, size, _ = levels[0] if levels else (Decimal(0), Decimal(0), 0)
            found |= {f"{side}p": float(price), f"{side}s": num(size)}
        if asset.kind == "crypto":
            return found
        found |= {"bx": "V", "ax": "V"}
        return found | ({"c": "R"} if asset.kind == "us_option" else {"c": ["R"], "z": "C"})

    @staticmethod
    def day(market: MarketView, start_ns: int) -> dict[str, Any]:
        prices = {"o": market.open, "h": market.high, "l": market.low, "c": market.last_price}
        volume = num(market.volume)
        return {
            "t": start_ns,
            **{key: float(price) for key, price in prices.items()},
            "v": volume,
            "n": max(1, int(volume) // 100),
            "vw": float(market.average_price),
        }

    @staticmethod
    def book(market: MarketView) -> dict[str, dict[float, float]]:
        return {
            side: {float(price): float(size) for price, size, _ in levels}
            for side, levels in (("b", market.bids), ("a", market.asks))
        }
