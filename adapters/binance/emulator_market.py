"""Market data of the emulator: what REST answers, and the messages of the market streams.

Books are sent as the venue sends them: a difference has a number of its own, and a snapshot names the last difference
it contains. Numbers of spot rise by one with every level, those of futures jump.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
    Prints,
    VenueProtocol,
    best,
)

from .emulator_words import Names, error_of, ms, symbol_row, text, worths
from .words import MARKETS, SPOT, USDM, Market

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
_KINDS: Final = ("aggTrade", "trade", "bookTicker", "depth", "ticker", "miniTicker", "markPrice")
_FIRST: Final = ("bookTicker", "markPrice", "markPrice@1s", "ticker", "miniTicker")
_DEPTHS: Final = ("depth", "depth@100ms", "depth@250ms", "depth@500ms")
_FUNDING_MS: Final = 28_800_000
Message = tuple[Market, str, dict[str, Any]]
"""Market, stream, message."""


class MarketDesk:
    """Quotes, candles and stream messages of everything the platform lists."""

    def __init__(self, venue: VenueProtocol, names: Names, seed: int) -> None:
        self._venue, self._names, self._seed = venue, names, seed
        self._books = NumberedBooks()
        self._traded = Prints()
        self._changes = MarketChanges(venue)
        self._unsent: list[tuple[str, dict[str, Any]]] = []

    # -- REST --------------------------------------------------------------------------------------------------------

    def time(self, form: Form, market: Market, now_ns: int) -> Any:
        return {"serverTime": ms(now_ns)}

    def ping(self, form: Form, market: Market, now_ns: int) -> Any:
        return {}

    def info(self, form: Form, market: Market, now_ns: int) -> Any:
        count, orders = LIMITS[market.letter]
        every = [("REQUEST_WEIGHT", "MINUTE", 1, count), *(("ORDERS", *limit) for limit in orders)]
        names = ("rateLimitType", "interval", "intervalNum", "limit")
        return {
            "timezone": "UTC",
            "serverTime": ms(now_ns),
            "rateLimits": [dict(zip(names, limit, strict=True)) for limit in every],
            "exchangeFilters": [],
            "assets": [],
            "symbols": [symbol_row(named, market) for named in self._asked(form, market)],
        }

    def depth(self, form: Form, market: Market, now_ns: int) -> Any:
        named, limit = self._names.of(market, form), form.integer("limit", 100)
        wrong = not 0 < limit <= _LIMITS[market.letter]
        error_of(market).when(wrong, "-1130", "Data sent for parameter 'limit' is not valid.")
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
        return self._each(form, market, lambda view: {"price": text(view.last_price)})

    def top(self, form: Form, market: Market, now_ns: int) -> Any:
        return self._each(form, market, _best)

    def day(self, form: Form, market: Market, now_ns: int) -> Any:
        return self._each(form, market, lambda view: _day(view, market, ms(now_ns)))

    def mark(self, form: Form, market: Market, now_ns: int) -> Any:
        funded = {"nextFundingTime": ms(now_ns) // _FUNDING_MS * _FUNDING_MS + _FUNDING_MS, "time": ms(now_ns)}
        row = {"lastFundingRate": "0.00010000"} | funded
        return self._each(
            form, market, lambda view: worths(markPrice=view.last_price, indexPrice=view.last_price) | row
        )

    def trades(self, form: Form, market: Market, now_ns: int) -> Any:
        """The last print: this exchange keeps no tape of its crowd."""
        view = self._venue.market(self._names.of(market, form).instrument_id)
        row = worths(price=view.last_price, qty=view.last_quantity, quoteQty=view.last_quantity)
        return [{"id": 1, **row, "time": ms(view.last_trade_ts), "isBuyerMaker": True, "isBestMatch": True}]

    def candles(self, form: Form, market: Market, now_ns: int) -> Any:
        named, length = self._names.of(market, form), _LENGTHS[form.choice("interval", _LENGTHS)]
        end = min(int(form.get("endTime") or ms(now_ns)), ms(now_ns)) / 1000
        start = int(form.text("startTime")) / 1000 if form.get("startTime") else None
        bars = History.of(self._seed, named.listing, ALWAYS).window(
            start, end, timedelta(seconds=length), form.integer("limit", 500)
        )
        return [_candle(bar, length, named.instrument.lot_size) for bar in bars]

    def _asked(self, form: Form, market: Market) -> list[ListingName]:
        if form.get("symbol"):
            return [self._names.of(market, form)]
        if form.get("symbols"):
            return [self._names.of(market, Form({"symbol": one})) for one in form.record("symbols", list)]
        return self._names.market(market)

    def _each(self, form: Form, market: Market, row: Callable[[MarketView], dict[str, Any]]) -> Any:
        asked = self._asked(form, market)
        rows = [{"symbol": named.symbol} | row(self._venue.market(named.instrument_id)) for named in asked]
        return rows[0] if form.get("symbol") else rows

    # -- streams -----------------------------------------------------------------------------------------------------

    def stream(self, market: Market, name: str) -> ListingName | None:
        """Return whose stream a name is, None of one that does not exist."""
        symbol, _, kind = name.partition("@")
        known = kind.partition("@")[0] in _KINDS and not (kind.startswith("markPrice") and market is SPOT)
        return self._names.on(market, symbol) if known else None

    def messages(self, now_ns: int) -> Iterator[Message]:
        """Yield everything that happened since the last call."""
        for instrument_id in self._changes.fresh():
            if (named := self._names.by_id.get(instrument_id)) is not None:
                self._sync(named, now_ns)
                yield from self._quotes(named, now_ns)
                yield from self._trades(named, now_ns)
        unsent, self._unsent = self._unsent, []
        for instrument_id, message in unsent:
            named = self._names.by_id[instrument_id]
            yield from ((market_of(named), f"{named.symbol.lower()}@{kind}", message) for kind in _DEPTHS)

    def first(self, named: ListingName, kind: str, now_ns: int) -> dict[str, Any] | None:
        """Return what a stream sends at once to whoever subscribes: best prices and mark prices, no differences."""
        self._traded.begin(self._venue.market(named.instrument_id))
        found = {stream.partition("@")[2]: message for _, stream, message in self._quotes(named, now_ns)}
        return found.get(kind) if kind in _FIRST else None

    def _quotes(self, named: ListingName, now_ns: int) -> Iterator[Message]:
        view, market, now = self._venue.market(named.instrument_id), market_of(named), ms(now_ns)
        head, lower, last = {"E": now, "s": named.symbol}, named.symbol.lower(), text(view.last_price)
        top = {"u": self._books.last(named.instrument_id), "s": named.symbol, **_top(view)}
        yield market, f"{lower}@bookTicker", top if market is SPOT else {"e": "bookTicker", "E": now, "T": now, **top}
        if market is USDM:
            rates = {"p": last, "ap": last, "i": last, "P": last, "r": "0.00010000", "T": now + _FUNDING_MS}
            message = {"e": "markPriceUpdate", **head, **rates}
            yield from ((market, f"{lower}@{kind}", message) for kind in ("markPrice", "markPrice@1s"))
        row = _day(view, market, now)
        day = head | {key: row[name] for key, name in _TICKER.items() if name in row}
        yield market, f"{lower}@ticker", {"e": "24hrTicker", **day}
        yield market, f"{lower}@miniTicker", {"e": "24hrMiniTicker"} | {key: day[key] for key in "Escohlvq"}

    def _trades(self, named: ListingName, now_ns: int) -> Iterator[Message]:
        view, market = self._venue.market(named.instrument_id), market_of(named)
        if not self._traded.look(view) or not view.last_quantity:
            return
        number = self._traded.count[named.instrument_id]
        maker = view.last_price <= (best(view.bids)[0] or view.last_price)
        both = {"E": ms(now_ns), "s": named.symbol, **worths(p=view.last_price, q=view.last_quantity)}
        both |= {"T": ms(view.last_trade_ts), "m": maker}
        numbers = dict.fromkeys("afl", number)
        yield market, f"{named.symbol.lower()}@aggTrade", {"e": "aggTrade", **both, **numbers}
        yield market, f"{named.symbol.lower()}@trade", {"e": "trade", **both, "t": number}

    def _sync(self, named: ListingName, now_ns: int) -> None:
        """Number what changed in a book since somebody looked, and keep it for those who follow."""
        view, spot = self._venue.market(named.instrument_id), market_of(named) is SPOT
        sides = (("bids", view.bids), ("asks", view.asks))
        book = {side: {price: size for price, size, _ in levels} for side, levels in sides}
        change = self._books.update(named.instrument_id, book, by_level=spot)
        if change is None:
            return
        bids, asks = ([[text(price), text(size)] for price, size in change.levels[side].items()] for side, _ in sides)
        message = {"e": "depthUpdate", "E": ms(now_ns), "s": named.symbol, "U": change.first, "u": change.last}
        message |= {} if spot else {"T": ms(now_ns), "pu": change.previous}
        self._unsent.append((named.instrument_id, message | {"b": bids, "a": asks}))


def market_of(named: ListingName) -> Market:
    return MARKETS[named.exchange]


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
    (bid, bid_size), (ask, ask_size) = best(view.bids), best(view.asks)
    return worths(b=bid, B=bid_size, a=ask, A=ask_size)


def _best(view: MarketView) -> dict[str, Any]:
    return {_BEST[key]: value for key, value in _top(view).items()}


def _day(view: MarketView, market: Market, now_ms: int) -> dict[str, Any]:
    """Write a row of the last day; spot tells the best prices beside it, futures do not."""
    change = view.last_price - view.close
    prices = worths(
        priceChange=change,
        weightedAvgPrice=view.average_price,
        prevClosePrice=view.close,
        lastPrice=view.last_price,
        lastQty=view.last_quantity,
        openPrice=view.open,
        highPrice=view.high,
        lowPrice=view.low,
        volume=view.volume,
        quoteVolume=view.turnover,
    )
    times = {"openTime": now_ms - 86_400_000, "closeTime": now_ms, "firstId": 0, "lastId": 0, "count": 1}
    percent = {"priceChangePercent": f"{change / view.close * 100:.3f}"}
    return (_best(view) if market is SPOT else {}) | prices | percent | times
