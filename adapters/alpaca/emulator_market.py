"""Market data over REST: bars, trades, quotes, snapshots and books of the three kinds of instruments."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from dragoman.emulator.parts import (
    ALWAYS,
    DAY,
    MINUTE,
    Bar,
    Form,
    History,
    HttpAnswer,
    HttpCall,
    VenueProtocol,
    json_answer,
    page,
    rfc3339,
)

from .emulator_words import AlpacaError, Asset, Assets, Tape, bar_row

NEW_YORK: Final = ZoneInfo("America/New_York")
_FRAME: Final = re.compile(r"(\d{1,2})(Min|T|Hour|H|Day|D|Week|W)", re.IGNORECASE)
_SPANS: Final = {"M": 60, "T": 60, "H": 3600, "D": 86_400, "W": 604_800}
_MOST: Final = 10_000
_LONGEST: Final = timedelta(days=366 * 6)
Item = tuple[str, dict[str, Any]]


class MarketDesk:
    """Answers what clients ask about markets.

    Parameters
    ----------
    seed : int
        What the past is drawn from.
    """

    def __init__(self, venue: VenueProtocol, assets: Assets, seed: int) -> None:
        self._venue = venue
        self._assets = assets
        self._seed = seed

    def past(self, call: HttpCall, now_ns: int, what: str, symbol: str | None = None) -> HttpAnswer:
        """Answer bars, trades or quotes of a stretch of time, in pages over all symbols."""
        query = Form(dict(call.query))
        names = [symbol] if symbol else query.text("symbols").split(",")
        limit = min(query.integer("limit", 1000), _MOST)
        AlpacaError.when(limit < 1, "40010001", "limit must be larger than 0")
        now = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC)
        first = query.moment("start", UTC) if query.get("start") else now.replace(hour=0, minute=0, second=0)
        last = min(query.moment("end", UTC) if query.get("end") else now, now)
        skip = query.integer("page_token", 0)
        frame = query.text("timeframe") if what == "bars" else "1Min"
        items, token = page(self._every(sorted(names), what, frame, first, last), skip, limit)
        found: dict[str, list[dict[str, Any]]] = {}
        for name, row in items:
            found.setdefault(name, []).append(row)
        rows: Any = found.get(symbol, []) if symbol else found
        alone = {"symbol": symbol} if symbol else {}
        return json_answer({what: rows, "next_page_token": token} | alone)

    def _every(self, names: Sequence[str], what: str, frame: str, first: datetime, last: datetime) -> Iterable[Item]:
        match = _FRAME.fullmatch(frame)
        if match is None:
            raise AlpacaError("40010001", f"invalid timeframe: {frame}")
        length = timedelta(seconds=int(match[1]) * _SPANS[match[2][0].upper()])
        make: Callable[[Bar], dict[str, Any]] = {"bars": bar_row, "trades": _print_of, "quotes": _quote_of}[what]
        for name in names:
            asset = self._assets.find(name)
            if asset is None or first > last:
                continue  # an unknown symbol is missing from the answer
            one, zone = asset.instrument, UTC if asset.kind == "crypto" else NEW_YORK
            history = History(self._seed, one.instrument_id, asset.listing.reference, one.tick_size, ALWAYS)
            history.check(first, last, _LONGEST)
            begin, end = first.astimezone(zone), last.astimezone(zone)
            yield from ((name, make(bar)) for bar in history.bars(begin, end, length))

    def snapshots(self, call: HttpCall, now_ns: int, kind: str, symbol: str | None = None) -> HttpAnswer:
        names = [symbol] if symbol else Form(dict(call.query)).text("symbols").split(",")
        found = {asset.symbol: self.snapshot(asset, now_ns) for asset in self._asked(names)}
        if symbol is not None:
            return json_answer(next(iter(found.values()), {}) | {"symbol": symbol})
        return json_answer(found if kind == "stocks" else {"snapshots": found, "next_page_token": None})

    def chain(self, call: HttpCall, now_ns: int, underlying: str) -> HttpAnswer:
        """Answer the snapshots of all options on a share."""
        options = [one for one in self._assets.all if one.kind == "us_option" and one.root == underlying]
        found = {asset.symbol: self.snapshot(asset, now_ns) for asset in options}
        return json_answer({"snapshots": found, "next_page_token": None})

    def snapshot(self, asset: Asset, now_ns: int) -> dict[str, Any]:
        market = self._venue.market(asset.instrument_id)
        today = now_ns // DAY * DAY
        day = Tape.day(market, today)
        minute = day | {"t": now_ns // MINUTE * MINUTE}
        before = day | dict.fromkeys("ohlc", float(market.close)) | {"t": today - DAY}
        parts = {"latestTrade": Tape.trade(asset, market), "latestQuote": Tape.quote(asset, market)}
        if asset.kind != "us_option":
            parts |= {"minuteBar": minute, "dailyBar": day, "prevDailyBar": before}
        return {name: _dated(part) for name, part in parts.items()}

    def latest(self, call: HttpCall, now_ns: int, what: str, symbol: str | None = None) -> HttpAnswer:
        names = [symbol] if symbol else Form(dict(call.query)).text("symbols").split(",")
        found: dict[str, Any] = {}
        for asset in self._asked(names):
            market = self._venue.market(asset.instrument_id)
            parts = {
                "trades": Tape.trade(asset, market),
                "quotes": Tape.quote(asset, market),
                "bars": Tape.day(market, now_ns // MINUTE * MINUTE),
                "orderbooks": {"t": market.ts} | levels(Tape.book(market)),
            }
            found[asset.symbol] = _dated(parts[what])
        if symbol is not None:
            return json_answer({"symbol": symbol, what.removesuffix("s"): found.get(symbol)})
        return json_answer({what: found})

    def _asked(self, names: Iterable[str]) -> list[Asset]:
        return [asset for name in names if (asset := self._assets.find(name))]


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
