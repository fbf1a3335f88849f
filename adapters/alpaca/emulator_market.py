"""Market data over REST: bars, trades, quotes, snapshots and books of the three kinds of instruments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from dragoman.emulator.parts import ALWAYS, DAY, MINUTE, Bar, Form, History, VenueProtocol, page, rfc3339

from .emulator_words import AlpacaError, Asset, Assets, Tape, bar_row

NEW_YORK: Final = ZoneInfo("America/New_York")
_FRAME: Final = re.compile(r"(\d{1,2})(Min|T|Hour|H|Day|D|Week|W)", re.IGNORECASE)
_SPANS: Final = {"M": 60, "T": 60, "H": 3600, "D": 86_400, "W": 604_800}
_MOST: Final = 10_000
_LONGEST: Final = timedelta(days=366 * 6)


class MarketDesk:
    """Answers what clients ask about markets. Every method takes the query of a call and returns JSON.

    Parameters
    ----------
    seed : int
        What the past is drawn from.
    """

    def __init__(self, venue: VenueProtocol, assets: Assets, seed: int) -> None:
        self._venue, self._assets, self._seed = venue, assets, seed

    def past(self, query: Form, now_ns: int, what: str, kind: str = "", symbol: str | None = None) -> Any:
        """Return bars, trades or quotes of a stretch of time, in pages over all symbols."""
        names = [symbol] if symbol else query.text("symbols").split(",")
        limit, skip = min(query.integer("limit", 1000), _MOST), query.integer("page_token", 0)
        AlpacaError.when(limit < 1, "40010001", "limit must be larger than 0")
        now = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC)
        first = query.moment("start", UTC, now.replace(hour=0, minute=0, second=0))
        last = min(query.moment("end", UTC, now), now)
        frame = query.text("timeframe") if what == "bars" else "1Min"
        bars, token = page(self._bars(sorted(names), frame, first, last), skip, limit)
        write = {"bars": bar_row, "trades": _print_of, "quotes": _quote_of}[what]
        found: dict[str, list[dict[str, Any]]] = {}
        for name, bar in bars:
            found.setdefault(name, []).append(write(bar))
        if symbol:
            return {what: found.get(symbol, []), "next_page_token": token, "symbol": symbol}
        return {what: found, "next_page_token": token}

    def _bars(self, names: Sequence[str], frame: str, first: datetime, last: datetime) -> Iterator[tuple[str, Bar]]:
        match = AlpacaError.found(_FRAME.fullmatch(frame), "40010001", f"invalid timeframe: {frame}")
        length = timedelta(seconds=int(match[1]) * _SPANS[match[2][0].upper()])
        for name, asset in self._asked(names).items() if first <= last else ():
            zone = UTC if asset.kind == "crypto" else NEW_YORK
            history = History.of(self._seed, asset.listing, ALWAYS)
            history.check(first, last, _LONGEST)
            bars = history.bars(first.astimezone(zone), last.astimezone(zone), length)
            yield from ((name, bar) for bar in bars)

    def snapshots(self, query: Form, now_ns: int, kind: str, symbol: str | None = None) -> Any:
        names = [symbol] if symbol else query.text("symbols").split(",")
        found = {asset.symbol: self._snapshot(asset, now_ns) for asset in self._asked(names).values()}
        if symbol is not None:
            return found.get(symbol, {}) | {"symbol": symbol}
        return found if kind == "v2/stocks" else {"snapshots": found, "next_page_token": None}

    def chain(self, query: Form, now_ns: int, kind: str, underlying: str) -> Any:
        """Return the snapshots of all options on a share."""
        options = [one for one in self._assets.all if one.kind == "us_option" and one.root == underlying]
        return {"snapshots": {one.symbol: self._snapshot(one, now_ns) for one in options}, "next_page_token": None}

    def _snapshot(self, asset: Asset, now_ns: int) -> dict[str, Any]:
        market, today = self._venue.market(asset.instrument_id), now_ns // DAY * DAY
        day = Tape.day(market, today)
        parts = {"latestTrade": Tape.trade(asset, market), "latestQuote": Tape.quote(asset, market)}
        if asset.kind != "us_option":
            before = day | dict.fromkeys("ohlc", float(market.close)) | {"t": today - DAY}
            minute = day | {"t": now_ns // MINUTE * MINUTE}
            parts |= {"minuteBar": minute, "dailyBar": day, "prevDailyBar": before}
        return {name: _dated(part) for name, part in parts.items()}

    def latest(self, query: Form, now_ns: int, what: str, kind: str = "", symbol: str | None = None) -> Any:
        names = [symbol] if symbol else query.text("symbols").split(",")
        found = {asset.symbol: self._latest(asset, now_ns)[what] for asset in self._asked(names).values()}
        return {"symbol": symbol, what.removesuffix("s"): found.get(symbol)} if symbol else {what: found}

    def _latest(self, asset: Asset, now_ns: int) -> dict[str, dict[str, Any]]:
        market = self._venue.market(asset.instrument_id)
        parts = {
            "trades": Tape.trade(asset, market),
            "quotes": Tape.quote(asset, market),
            "bars": Tape.day(market, now_ns // MINUTE * MINUTE),
            "orderbooks": {"t": market.ts} | levels(Tape.book(market)),
        }
        return {name: _dated(part) for name, part in parts.items()}

    def _asked(self, names: Sequence[str]) -> dict[str, Asset]:
        """Return what is known of `names`: an unknown symbol is missing from an answer."""
        return {name: asset for name in names if (asset := self._assets.find(name))}


def levels(book: Mapping[str, Mapping[float, float]]) -> dict[str, Any]:
    """Write the sides of a book as rows."""
    return {side: [{"p": price, "s": size} for price, size in rows.items()] for side, rows in book.items()}


def _dated(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"t": rfc3339(row["t"])}


def _print_of(bar: Bar) -> dict[str, Any]:
    row = bar_row(bar)
    return {"t": row["t"], "x": "V", "p": row["c"], "s": max(1, row["v"] // 100), "i": row["v"], "c": ["@"], "z": "C"}


def _quote_of(bar: Bar) -> dict[str, Any]:
    row = bar_row(bar)
    sizes = {"bs": 1, "as": 1}
    return {"t": row["t"], "bx": "V", "bp": row["l"], "ax": "V", "ap": row["h"], "c": ["R"], "z": "C"} | sizes
