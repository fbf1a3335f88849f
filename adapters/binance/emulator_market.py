"""Market data of the emulator: what REST answers, and the messages of the market streams.

Books are sent as the venue sends them: a difference has a number of its own, and a snapshot names the last difference
it contains. Numbers of spot rise by one with every level, those of futures jump.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from dragoman.emulator.parts import (
    ALWAYS,
    Bar,
    Form,
    History,
    ListingName,
    MarketChanges,
    MarketView,
    NumberedBooks,
    VenueProtocol,
)

from .emulator_words import Names, error_of, ms, symbol_row, text
from .words import SPOT, USDM, Market

_LENGTHS: Final = {
    "1s": 1, "1m": 60, "3m": 180, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "2h": 7200, "4h": 14400,
    "6h": 21600, "8h": 28800, "12h": 43200, "1d": 86400,
}  # fmt: skip
_LIMITS: Final = {"s": 5000, "u": 1000}
LIMITS: Final = {
    "s": (6000, (("SECOND", 10, 50), ("DAY", 1, 160_000))),
    "u": (2400, (("SECOND", 10, 300), ("MINUTE", 1, 1200))),
}
"""By market: weight a minute, and orders by (unit, number of units, count)."""


@dataclass(slots=True)
class _Tape:
    """What the trade streams of one symbol have told so far: up to which volume, in how many trades."""

    volume: Decimal
    trades: int = 0


class MarketDesk:
    """Quotes, candles and stream messages of everything the platform lists."""

    def __init__(self, venue: VenueProtocol, names: Names, seed: int) -> None:
        self._venue = venue
        self._names = names
        self._seed = seed
        self._books = NumberedBooks()
        self._tapes: dict[str, _Tape] = {}
        self._changes = MarketChanges(venue)
        self._unsent: list[tuple[str, dict[str, Any]]] = []

    # -- REST --------------------------------------------------------------------------------------------------------

    def time(self, form: Form, market: Market, now_ns: int) -> dict[str, Any]:
        return {"serverTime": ms(now_ns)}

    def ping(self, form: Form, market: Market, now_ns: int) -> dict[str, Any]:
        return {}

    def info(self, form: Form, market: Market, now_ns: int) -> dict[str, Any]:
        count, orders = LIMITS[market.letter]
        limits = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": count}]
        limits += [
            {"rateLimitType": "ORDERS", "interval": unit, "intervalNum": number, "limit": most}
            for unit, number, most in orders
        ]
        return {
            "timezone": "UTC",
            "serverTime": ms(now_ns),
            "rateLimits": limits,
            "exchangeFilters": [],
            "assets": [],
            "symbols": [symbol_row(named, market) for named in self._asked(form, market)],
        }

    def depth(self, form: Form, market: Market, now_ns: int) -> dict[str, Any]:
        named, limit = self._names.of(market, form), form.integer("limit", 100)
        if not 0 < limit <= _LIMITS[market.letter]:
            raise error_of(market)("-1130", "Data sent for parameter 'limit' is not valid.")
        self._sync(named, now_ns)
        view = self._venue.market(named.instrument_id)
        more = {} if market is SPOT else {"E": ms(now_ns), "T": ms(now_ns)}
        return {
            "lastUpdateId": self._books.last(named.instrument_id),
            **more,
            "bids": [[text(price), text(size)] for price, size, _ in view.bids[:limit]],
            "asks": [[text(price), text(size)] for price, size, _ in view.asks[:limit]],
        }

    def price(self, form: Form, market: Market, now_ns: int) -> Any:
        return self._each(form, market, lambda named, view: {"symbol": named.symbol, "price": text(view.last_price)})

    def top(self, form: Form, market: Market, now_ns: int) -> Any:
        def row(named: ListingName, view: MarketView) -> dict[str, Any]:
            return {"symbol": named.symbol} | {_BEST[key]: value for key, value in _top(view).items()}

        return self._each(form, market, row)

    def day(self, form: Form, market: Market, now_ns: int) -> Any:
        def row(named: ListingName, view: MarketView) -> dict[str, Any]:
            change = view.last_price - view.close
            # Spot tells the best prices beside it; futures do not.
            top = {_BEST[key]: value for key, value in _top(view).items()} if market is SPOT else {}
            return top | {
                "symbol": named.symbol,
                "priceChange": text(change),
                "priceChangePercent": f"{change / view.close * 100:.3f}",
                "weightedAvgPrice": text(view.average_price),
                "prevClosePrice": text(view.close),
                "lastPrice": text(view.last_price),
                "lastQty": text(view.last_quantity),
                "openPrice": text(view.open),
                "highPrice": text(view.high),
                "lowPrice": text(view.low),
                "volume": text(view.volume),
                "quoteVolume": text(view.turnover),
                "openTime": ms(now_ns) - 86_400_000,
                "closeTime": ms(now_ns),
                "firstId": 0,
                "lastId": 0,
                "count": 1,
            }

        return self._each(form, market, row)

    def mark(self, form: Form, market: Market, now_ns: int) -> Any:
        def row(named: ListingName, view: MarketView) -> dict[str, Any]:
            last = text(view.last_price)
            rates = {
                "lastFundingRate": "0.00010000",
                "nextFundingTime": ms(now_ns) // 28_800_000 * 28_800_000 + 28_800_000,
            }
            return {"symbol": named.symbol, "markPrice": last, "indexPrice": last, **rates, "time": ms(now_ns)}

        return self._each(form, market, row)

    def trades(self, form: Form, market: Market, now_ns: int) -> list[dict[str, Any]]:
        """The last print: this exchange keeps no tape of its crowd."""
        named = self._names.of(market, form)
        view = self._venue.market(named.instrument_id)
        price, size = text(view.last_price), text(view.last_quantity)
        row = {"id": 1, "price": price, "qty": size, "quoteQty": size, "time": ms(view.last_trade_ts)}
        return [row | {"isBuyerMaker": True, "isBestMatch": True}]

    def candles(self, form: Form, market: Market, now_ns: int) -> list[list[Any]]:
        named = self._names.of(market, form)
        length = _LENGTHS[form.choice("interval", _LENGTHS)]
        limit = form.integer("limit", 500)
        end = min(int(form.get("endTime") or ms(now_ns)), ms(now_ns)) / 1000
        start = int(form.text("startTime")) / 1000 if form.get("startTime") else None
        past = History(self._seed, named.instrument_id, named.listing.reference, named.instrument.tick_size, ALWAYS)
        bars = past.window(start, end, timedelta(seconds=length), limit)
        return [_candle(bar, length, named.instrument.lot_size) for bar in bars]

    def _asked(self, form: Form, market: Market) -> list[ListingName]:
        if form.get("symbol"):
            return [self._names.of(market, form)]
        if form.get("symbols"):
            return [self._names.of(market, Form({"symbol": one})) for one in form.record("symbols", list)]
        return self._names.market(market)

    def _each(self, form: Form, market: Market, row: Callable[[ListingName, MarketView], dict[str, Any]]) -> Any:
        rows = [row(named, self._venue.market(named.instrument_id)) for named in self._asked(form, market)]
        return rows[0] if form.get("symbol") else rows

    # -- streams -----------------------------------------------------------------------------------------------------

    def stream(self, market: Market, name: str) -> ListingName | None:
        """Return whose stream a name is, None of one that does not exist."""
        symbol, _, kind = name.partition("@")
        known = ("aggTrade", "trade", "bookTicker", "depth", "ticker", "miniTicker", "markPrice")
        if kind.partition("@")[0] not in known or (kind.startswith("markPrice") and market is SPOT):
            return None
        return self._names.find(market, symbol)

    def messages(self, now_ns: int) -> Iterator[tuple[Market, str, dict[str, Any]]]:
        """Yield (market, stream, message) of everything that happened since the last call."""
        for instrument_id in self._changes.fresh():
            if (named := self._names.by_id.get(instrument_id)) is not None:
                self._sync(named, now_ns)
                yield from self._prints(named, now_ns)
        unsent, self._unsent = self._unsent, []
        for instrument_id, message in unsent:
            named = self._names.by_id[instrument_id]
            market = SPOT if named.exchange == SPOT.exchange else USDM
            for kind in ("depth", "depth@100ms", "depth@250ms", "depth@500ms"):
                yield market, f"{named.symbol.lower()}@{kind}", message

    def first(self, named: ListingName, kind: str, now_ns: int) -> dict[str, Any] | None:
        """Return what a stream sends at once to whoever subscribes: best prices and mark prices, no differences."""
        self._tape(named)
        if kind in ("bookTicker", "markPrice", "markPrice@1s", "ticker", "miniTicker"):
            found = {
                stream.partition("@")[2]: message for _, stream, message in self._prints(named, now_ns, again=True)
            }
            return found.get(kind)
        return None

    def _prints(
        self, named: ListingName, now_ns: int, *, again: bool = False
    ) -> Iterator[tuple[Market, str, dict[str, Any]]]:
        view, told = self._venue.market(named.instrument_id), self._tape(named)
        market = SPOT if named.exchange == SPOT.exchange else USDM
        symbol, now = named.symbol, ms(now_ns)
        head = {"E": now, "s": symbol}
        lower = symbol.lower()
        last = text(view.last_price)
        top = {"u": self._books.last(named.instrument_id), "s": symbol, **_top(view)}
        yield market, f"{lower}@bookTicker", top if market is SPOT else {"e": "bookTicker", "E": now, "T": now, **top}
        if market is USDM:
            rates = {"ap": last, "i": last, "P": last, "r": "0.00010000", "T": now + 28_800_000}
            message = {"e": "markPriceUpdate", **head, "p": last, **rates}
            yield market, f"{lower}@markPrice", message
            yield market, f"{lower}@markPrice@1s", message
        row = self.day(Form({"symbol": symbol}), market, now_ns)
        day = head | {key: row[name] for key, name in _TICKER.items() if name in row}
        yield market, f"{lower}@ticker", {"e": "24hrTicker", **day}
        yield market, f"{lower}@miniTicker", {"e": "24hrMiniTicker"} | {key: day[key] for key in "Escohlvq"}
        if again or view.volume == told.volume:
            return
        told.volume = view.volume
        if view.last_quantity:
            told.trades += 1
            number = told.trades
            maker = view.last_price <= (view.bids[0][0] if view.bids else view.last_price)
            both = {**head, "p": last, "q": text(view.last_quantity), "T": ms(view.last_trade_ts), "m": maker}
            yield market, f"{lower}@aggTrade", {"e": "aggTrade", **both, "a": number, "f": number, "l": number}
            yield market, f"{lower}@trade", {"e": "trade", **both, "t": number}

    def _sync(self, named: ListingName, now_ns: int) -> None:
        """Number what changed in a book since somebody looked, and keep it for those who follow."""
        view, spot = self._venue.market(named.instrument_id), named.exchange == SPOT.exchange
        sides = (("bids", view.bids), ("asks", view.asks))
        book = {side: {price: size for price, size, _ in levels} for side, levels in sides}
        change = self._books.update(named.instrument_id, book, by_level=spot)
        if change is not None:
            bids, asks = (
                [[text(price), text(size)] for price, size in change.levels[side].items()] for side, _ in sides
            )
            message = {"e": "depthUpdate", "E": ms(now_ns), "s": named.symbol, "U": change.first, "u": change.last}
            message |= {} if spot else {"T": ms(now_ns), "pu": change.previous}
            self._unsent.append((named.instrument_id, message | {"b": bids, "a": asks}))

    def _tape(self, named: ListingName) -> _Tape:
        """Return what was told of a symbol's trades; those before somebody looked are not told."""
        now = self._venue.market(named.instrument_id).volume
        return self._tapes.setdefault(named.instrument_id, _Tape(now))


def _candle(bar: Bar, length_s: int, step: Decimal) -> list[Any]:
    at, size = int(bar.start.timestamp() * 1000), bar.volume * step
    prices = [text(value) for value in (bar.open, bar.high, bar.low, bar.close)]
    worth = text(size * bar.close)
    return [at, *prices, text(size), at + length_s * 1000 - 1, worth, bar.volume, text(size / 2), worth, "0"]


_TICKER: Final = {
    "p": "priceChange", "P": "priceChangePercent", "w": "weightedAvgPrice", "c": "lastPrice", "Q": "lastQty",
    "b": "bidPrice", "B": "bidQty", "a": "askPrice", "A": "askQty", "x": "prevClosePrice", "o": "openPrice",
    "h": "highPrice", "l": "lowPrice", "v": "volume", "q": "quoteVolume", "O": "openTime", "C": "closeTime",
    "F": "firstId", "L": "lastId", "n": "count",
}  # fmt: skip


_BEST: Final = {"b": "bidPrice", "B": "bidQty", "a": "askPrice", "A": "askQty"}


def _top(view: MarketView) -> dict[str, str]:
    nothing = (Decimal(0), Decimal(0), 0)
    bid, ask = (levels[0] if levels else nothing for levels in (view.bids, view.asks))
    return {"b": text(bid[0]), "B": text(bid[1]), "a": text(ask[0]), "A": text(ask[1])}


def wire(message: Any) -> str:
    return json.dumps(message, separators=(",", ":"))
