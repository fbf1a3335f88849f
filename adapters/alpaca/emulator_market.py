"""Market data over REST: bars, trades, quotes, snapshots and books of the three kinds of instruments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from dragoman.emulator.parts import (
    ALWAYS,
    DAY,
    MINUTE,
    Bar,
    Form,
    History,
    SpanBar,
    TopView,
    TradingDays,
    VenueProtocol,
    gathered,
    page,
    rfc3339,
    write,
)

from .emulator_words import BAR, PAST, QUOTE, TRADE, AlpacaError, Asset, Assets, book_of, levels

NEW_YORK: Final = TradingDays(ZoneInfo("America/New_York"), time(9, 30), time(16))
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
        asked = sorted(self._asked(query, symbol).items())
        limit, skip = min(query.integer("limit", 1000), _MOST), query.integer("page_token", 0)
        AlpacaError.when(limit < 1, "40010001", "limit must be larger than 0")
        now = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC)
        first = query.moment("start", UTC, now.replace(hour=0, minute=0, second=0))
        last = min(query.moment("end", UTC, now), now)
        bars = self._bars(asked, query.text("timeframe") if what == "bars" else "1Min", first, last)
        rows, token = page(bars, skip, limit)
        found = gathered((name, write(PAST[what], bar)) for name, bar in rows)
        told = {what: found.get(symbol, []), "symbol": symbol} if symbol else {what: found}
        return told | {"next_page_token": token}

    def _bars(
        self, asked: list[tuple[str, Asset]], frame: str, first: datetime, last: datetime
    ) -> Iterator[tuple[str, Bar]]:
        match = AlpacaError.found(_FRAME.fullmatch(frame), "40010001", f"invalid timeframe: {frame}")
        length = timedelta(seconds=int(match[1]) * _SPANS[match[2][0].upper()])
        for name, asset in asked if first <= last else ():
            history = History.of(self._seed, asset.listing, ALWAYS)
            history.check(first, last, _LONGEST)
            begin, end = (at.astimezone(UTC if asset.kind == "crypto" else NEW_YORK.zone) for at in (first, last))
            yield from ((name, bar) for bar in history.bars(begin, end, length))

    def snapshots(self, query: Form, now_ns: int, kind: str, symbol: str | None = None) -> Any:
        found = {asset.symbol: self._snapshot(asset, now_ns) for asset in self._asked(query, symbol).values()}
        if symbol is not None:
            return found.get(symbol, {}) | {"symbol": symbol}
        return found if kind == "v2/stocks" else {"snapshots": found, "next_page_token": None}

    def chain(self, query: Form, now_ns: int, kind: str, underlying: str) -> Any:
        """Return the snapshots of all options on a share."""
        options = [one for one in self._assets.all if one.kind == "us_option" and one.root == underlying]
        return {"snapshots": {one.symbol: self._snapshot(one, now_ns) for one in options}, "next_page_token": None}

    def latest(self, query: Form, now_ns: int, what: str, kind: str = "", symbol: str | None = None) -> Any:
        asked = self._asked(query, symbol).values()
        found = {asset.symbol: _dated(self._now(asset, now_ns)[what]) for asset in asked}
        return {"symbol": symbol, what.removesuffix("s"): found.get(symbol)} if symbol else {what: found}

    def _snapshot(self, asset: Asset, now_ns: int) -> dict[str, Any]:
        now, market, today = self._now(asset, now_ns), self._venue.market(asset.instrument_id), now_ns // DAY * DAY
        parts = {"latestTrade": now["trades"], "latestQuote": now["quotes"]}
        if asset.kind != "us_option":
            day = write(BAR, SpanBar(market, today))
            before = day | dict.fromkeys("ohlc", float(market.close)) | {"t": today - DAY}
            parts |= {"minuteBar": now["bars"], "dailyBar": day, "prevDailyBar": before}
        return {name: _dated(part) for name, part in parts.items()}

    def _now(self, asset: Asset, now_ns: int) -> dict[str, dict[str, Any]]:
        market = self._venue.market(asset.instrument_id)
        top = TopView(market, asset)
        return {
            "trades": write(TRADE[asset.kind], top),
            "quotes": write(QUOTE[asset.kind], top),
            "bars": write(BAR, SpanBar(market, now_ns // MINUTE * MINUTE)),
            "orderbooks": {"t": market.ts} | levels(book_of(market)),
        }

    def _asked(self, query: Form, symbol: str | None) -> Mapping[str, Asset]:
        """Return what is known of the symbols asked for: an unknown one is missing from an answer."""
        asked = symbol or query.text("symbols")
        return {name: asset for name in asked.split(",") if (asset := self._assets.find(name))}


def _dated(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"t": rfc3339(row["t"])}
