"""Quotes, books and candles: three kinds of instruments, each with paths and words of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from dragoman.plugin import Adapter, All, Context, ErrorKind, Flow, Part, Rejected, Request, model
from dragoman.plugin.records import Row, float_at, rfc3339_ns

from .words import CRYPTO, reading, refused

BATCH: Final = 100
"""Symbols of one request: the most that option snapshots take; others name no limit."""
PAGE: Final = 10_000
_UNITS: Final = {"m": ("Min", 60, 59), "h": ("Hour", 3600, 23), "d": ("Day", 86_400, 1), "w": ("Week", 604_800, 1)}
_BOOKS: Final = "/v1beta3/crypto/us/latest/orderbooks"


@dataclass(frozen=True, slots=True)
class Kind:
    """Where the data of one kind of instruments is, and which setting names its source."""

    root: str
    setting: str = ""
    default: str = ""

    def source(self, ctx: Context) -> tuple[tuple[str, str], ...]:
        return (("feed", str(ctx.settings.get(self.setting, self.default))),) if self.setting else ()


STOCKS: Final = Kind("/v2/stocks", "stock_feed", "iex")
OPTIONS: Final = Kind("/v1beta1/options", "option_feed", "indicative")
PAIRS: Final = Kind("/v1beta3/crypto/us")


def kind_of(instrument: model.Instrument) -> Kind:
    """Return the kind of an instrument."""
    if instrument.exchange == CRYPTO:
        return PAIRS
    return STOCKS if instrument.option_type is None else OPTIONS


class MarketFlows(Adapter):
    """The market data's part of the adapter."""

    def quotes(
        self, instruments: Sequence[model.Instrument], mode: model.Mode, ctx: Context
    ) -> Flow[list[model.Quote]]:
        groups: dict[Kind, list[str]] = {}
        for item in instruments:
            groups.setdefault(kind_of(item), []).append(item.broker_symbol)
        requests = [
            _data(f"{kind.root}/snapshots", (("symbols", ",".join(names[at : at + BATCH])), *kind.source(ctx)))
            for kind, names in groups.items()
            for at in range(0, len(names), BATCH)
        ]
        pairs = groups.get(PAIRS, [])
        if mode.has_depth:
            requests += [
                _data(_BOOKS, (("symbols", ",".join(pairs[at : at + BATCH])),)) for at in range(0, len(pairs), BATCH)
            ]
        replies = yield All(requests)
        found: dict[str, Row] = {}
        books: dict[str, Row] = {}
        with reading("snapshots"):
            for request, reply in zip(requests, replies, strict=True):
                body = reply.json
                if request.path == _BOOKS:
                    books |= body["orderbooks"]
                else:
                    found |= body.get("snapshots", body)
            return [
                read_snapshot(found[item.broker_symbol], books.get(item.broker_symbol), item, mode)
                for item in instruments
                if found.get(item.broker_symbol)
            ]

    def depth(self, instrument: model.Instrument, ctx: Context) -> Flow[model.Quote]:
        quotes = yield from self.quotes([instrument], model.Mode.FULL, ctx)
        if not quotes:
            raise Rejected(
                f"alpaca: no data for {instrument.instrument_id}",
                kind=ErrorKind.INSTRUMENT_NOT_FOUND,
                broker="alpaca",
                remedy="it may never have traded in this feed, or have expired",
            )
        return quotes[0]

    def candles(
        self,
        instrument: model.Instrument,
        interval: str,
        start: datetime,
        end: datetime,
        ctx: Context,
        *,
        continuous: bool = False,
    ) -> Flow[list[model.Candle]]:
        word, length = _timeframe(interval)
        if start.tzinfo is None or end.tzinfo is None or end < start:
            raise refused(f"candles from {start} to {end}", "give times with a time zone, the earlier first")
        if continuous:
            raise refused("continuous series are of futures, and there are none", "leave continuous out")
        kind = kind_of(instrument)
        query: tuple[tuple[str, str], ...] = (
            ("symbols", instrument.broker_symbol),
            ("timeframe", word),
            ("start", _iso(start)),
            ("end", _iso(end)),
            ("limit", str(PAGE)),
            ("sort", "asc"),
            *((*kind.source(ctx), ("adjustment", "raw")) if kind is STOCKS else ()),
        )
        found: list[model.Candle] = []
        token: str | None = ""
        while token is not None:
            reply = yield _data(f"{kind.root}/bars", query + ((("page_token", token),) if token else ()))
            with reading("bars"):
                rows = (reply.json.get("bars") or {}).get(instrument.broker_symbol) or ()
                fresh = [_candle(row, instrument, interval, length, ctx) for row in rows]
                token = reply.json.get("next_page_token") or None
            found += fresh
            yield Part(fresh)
        return found


def _data(path: str, query: tuple[tuple[str, str], ...]) -> Request:
    return Request(path=path, host="data", query=query, meter="data")


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _timeframe(interval: str) -> tuple[str, timedelta]:
    number, unit = interval[:-1], interval[-1:]
    word, seconds, most = _UNITS.get(unit, ("", 0, 0))
    if not (number.isascii() and number.isdigit() and 0 < int(number) <= most):
        raise refused(f"there are no candles of {interval!r}", "use 1m to 59m, 1h to 23h, 1d or 1w")
    return f"{int(number)}{word}", timedelta(seconds=int(number) * seconds)


def _candle(row: Row, instrument: model.Instrument, interval: str, length: timedelta, ctx: Context) -> model.Candle:
    ts = rfc3339_ns(row["t"])
    if ts is None:
        raise ValueError("a bar without a time")
    return model.Candle(
        instrument_id=instrument.instrument_id,
        interval=interval,
        ts_open=ts,
        open=float(row["o"]),
        high=float(row["h"]),
        low=float(row["l"]),
        close=float(row["c"]),
        volume=float_at(row, "v"),
        trades=int(row["n"]) if row.get("n") is not None else None,
        vwap=float_at(row, "vw"),
        is_closed=ts + int(length.total_seconds()) * 1_000_000_000 <= ctx.now_ns,
        source="alpaca",
    )


def read_snapshot(row: Row, book: Row | None, instrument: model.Instrument, mode: model.Mode) -> model.Quote:
    """Read a snapshot, with the whole book of a pair where it was asked for."""
    with reading(f"snapshot of {instrument.broker_symbol}"):
        trade, quote = row.get("latestTrade") or {}, row.get("latestQuote") or {}
        day, before = row.get("dailyBar") or {}, row.get("prevDailyBar") or {}
        sides: list[list[tuple[Any, Any]]] = [[(quote.get(f"{side}p"), quote.get(f"{side}s"))] for side in "ba"]
        if book is not None:
            sides = [[(level["p"], level["s"]) for level in book.get(side) or ()] for side in "ba"]
        times = [ns for part in (trade, quote) if (ns := rfc3339_ns(part.get("t")))]
        return model.Quote(
            instrument_id=instrument.instrument_id,
            mode=mode,
            last_price=float_at(trade, "p"),
            last_quantity=float_at(trade, "s"),
            average_price=float_at(day, "vw"),
            volume=float_at(day, "v"),
            open=float_at(day, "o"),
            high=float_at(day, "h"),
            low=float_at(day, "l"),
            previous_close=float_at(before, "c"),
            bids=_levels(sides[0], -1),
            asks=_levels(sides[1], 1),
            last_trade_time=rfc3339_ns(trade.get("t")),
            ts_event=max(times, default=None),
            raw=row,
        )


def _levels(rows: Iterable[tuple[Any, Any]], sign: int) -> tuple[model.DepthLevel, ...]:
    levels = [model.DepthLevel(float(price), float(size or 0), 0) for price, size in rows if price and size]
    return tuple(sorted(levels, key=lambda level: sign * level.price))
