"""Money, positions, market data on request and histories."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from dragoman.plugin import Adapter, All, Context, Flow, Reply, Request, model
from dragoman.plugin.parts import (
    Row,
    batches,
    check_stretch,
    float_at,
    given,
    history,
    moment_ns,
    needed,
    number,
    pairs,
    spans,
)

from .requests import ask, markets_of, read
from .words import MARKETS, PLATFORM, RECORDS, SPOT, USDM, Market, levels, ms, read_position

SNAPSHOT: Final = 1000
_SNAPSHOT_WEIGHT: Final = {"s": 50, "u": 20}
_SHOWN: Final = 20
_BATCH: Final = 20
_CANDLES: Final = {"s": (1000, 2), "u": (1500, 10)}
"""Most candles of a request, and its weight."""
_AT_ONCE: Final = 4
_LENGTHS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_INTERVALS: Final = tuple("1s 1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1w".split())
refused = RECORDS.refused


class AccountFlows(Adapter):
    """The account's and the market data's part of the adapter."""

    # -- money and positions -----------------------------------------------------------------------------------------

    def balances(self, ctx: Context) -> Flow[list[model.Balance]]:
        """Assets of the spot wallet."""
        if SPOT.exchange not in markets_of(ctx):
            return []
        rows = yield from _wallet()
        with RECORDS.reading("balances"):
            return [
                model.Balance(
                    asset=str(row["asset"]),
                    total=needed(row, "free") + needed(row, "locked"),
                    free=needed(row, "free"),
                    locked=needed(row, "locked"),
                    account_id=ctx.account,
                    ts_event=ctx.now_ns,
                )
                for row in rows
            ]

    def holdings(self, ctx: Context) -> Flow[list[model.Holding]]:
        """Assets of the spot wallet but the cash, each as the pair that trades it for cash."""
        found, cash = (yield from self.balances(ctx)), cash_of(ctx)
        return [
            model.Holding(
                broker=RECORDS.broker,
                account_id=ctx.account,
                instrument_id=_pair(one.asset, cash, ctx),
                quantity=one.total,
                product=SPOT.product,
            )
            for one in found
            if one.asset != cash and one.total
        ]

    def margins(self, ctx: Context) -> Flow[list[model.Margin]]:
        """Cash of the spot wallet as segment ALL, the futures wallet as segment FO."""
        chosen, found = markets_of(ctx), []
        if SPOT.exchange in chosen:
            cash = cash_of(ctx)
            row = next((one for one in (yield from self.balances(ctx)) if one.asset == cash), None)
            free, locked = (row.free, row.locked) if row else (Decimal(0), Decimal(0))
            found.append(spot_margin(free, locked, ctx, ctx.now_ns))
        if USDM.exchange in chosen:
            row = yield from ask(read(USDM, "/fapi/v3/account", 5), "futures account")
            found.append(_futures_margin(row, ctx))
        return found

    def positions(self, ctx: Context) -> Flow[list[model.Position]]:
        """Of the futures account, both sides of an instrument apart in hedge mode; spot has holdings."""
        if USDM.exchange not in markets_of(ctx):
            return []
        rows = RECORDS.as_rows("positionRisk", (yield from ask(read(USDM, "/fapi/v3/positionRisk", 5), "positions")))
        return [one for one in (read_position(row, ctx) for row in rows) if one.quantity]

    def profile(self, ctx: Context) -> Flow[model.Profile]:
        chosen = markets_of(ctx)
        if SPOT.exchange not in chosen:
            row = yield from ask(read(USDM, "/accountConfig", 5), "account")
            kind = "USDM"
        else:
            row = yield from ask(read(SPOT, "/account", 20, (("omitZeroBalances", "true"),)), "account")
            kind = str(row.get("accountType") or "")
        return model.Profile(
            broker=RECORDS.broker,
            account_id=ctx.account,
            type=kind,
            exchanges=tuple(sorted(chosen)),
            products=tuple(MARKETS[name].product for name in sorted(chosen)),
            raw=row,
        )

    # -- quotes ------------------------------------------------------------------------------------------------------

    def quotes(
        self, instruments: Sequence[model.Instrument], mode: model.Mode, ctx: Context
    ) -> Flow[list[model.Quote]]:
        """Last prices; in QUOTE best bid and ask beside them; in FULL twenty levels."""
        prices: dict[tuple[str, str], Row] = {}
        tops: dict[tuple[str, str], Row] = {}
        for exchange, market in MARKETS.items():
            symbols = [one.broker_symbol for one in instruments if one.exchange == exchange]
            for found, path in ((prices, "/ticker/price"), (tops, "/ticker/bookTicker")):
                if found is prices or mode is model.Mode.QUOTE:
                    replies = yield All(_tickers(market, path, symbols))
                    with RECORDS.reading(path):
                        rows = [row for reply in replies for row in _listed(RECORDS.loads(reply.body))]
                        found |= {(exchange, str(row["symbol"])): row for row in rows}
        books: dict[tuple[str, str], Row] = {}
        if mode.has_depth:
            asked = [_depth(MARKETS[one.exchange], one.broker_symbol, _SHOWN) for one in instruments]
            for one, reply in zip(instruments, (yield All(asked)), strict=True):
                books[one.exchange, one.broker_symbol] = RECORDS.loads(reply.body)
        keys = [(one, (one.exchange, one.broker_symbol)) for one in instruments]
        with RECORDS.reading("quotes"):
            return [
                _quote(one, mode, prices[key], tops.get(key, {}), books.get(key, {}))
                for one, key in keys
                if key in prices
            ]

    def depth(self, instrument: model.Instrument, ctx: Context) -> Flow[model.Quote]:
        """The book as a snapshot that deltas follow: `Quote.sequence` is its ``lastUpdateId``."""
        row = yield from ask(_depth(MARKETS[instrument.exchange], instrument.broker_symbol, SNAPSHOT), "depth")
        with RECORDS.reading("depth"):
            if "lastUpdateId" not in row:
                raise RECORDS.unlisted(instrument)
            return _quote(instrument, model.Mode.FULL, {}, {}, row)

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
        market = MARKETS[instrument.exchange]
        if interval not in _INTERVALS or (interval == "1s" and market is USDM):
            raise refused(f"there are no candles of {interval!r}", f"use one of {', '.join(_INTERVALS)}; 1s spot only")
        RECORDS.check((continuous, "there are no continuous series", "leave continuous out"))
        check_stretch(RECORDS, start, end)
        length = timedelta(**{_LENGTHS[interval[-1]]: int(interval[:-1])})
        most, weight = _CANDLES[market.letter]
        pieces = spans(start, end, length * (most - 1), step=timedelta(milliseconds=1))
        asked = []
        for first, last in pieces:
            times = (moment_ns(first) // 1_000_000, moment_ns(last) // 1_000_000)
            query = pairs(startTime=str(times[0]), endTime=str(times[1]), limit=str(most))
            query = (("symbol", instrument.broker_symbol), ("interval", interval), *query)
            asked.append(read(market, "/klines", weight, query, auth=False))

        def rows(reply: Reply) -> Iterator[model.Candle]:
            return (_candle(row, instrument, interval, ctx) for row in RECORDS.loads(reply.body))

        return (yield from history(RECORDS, asked, rows, at_once=_AT_ONCE))


def cash_of(ctx: Context) -> str:
    """Return the asset that counts as cash: ``settings.cash_asset``, USDT unless the profile says otherwise."""
    return str(ctx.settings.get("cash_asset", "USDT"))


def spot_margin(free: Decimal, locked: Decimal, ctx: Context, ts: int | None) -> model.Margin:
    """Return the cash of the spot wallet as a margin."""
    return model.Margin(
        broker=RECORDS.broker,
        account_id=ctx.account,
        segment=model.Segment.ALL,
        net=free,
        available=model.MarginAvailable(cash=free, live_balance=free + locked),
        used=model.MarginUsed(total=locked),
        blocked=locked,
        currency=cash_of(ctx),
        ts_event=ts,
    )


def _wallet() -> Flow[list[Any]]:
    row = yield from ask(read(SPOT, "/account", 20, (("omitZeroBalances", "true"),)), "account")
    with RECORDS.reading("account"):
        return RECORDS.as_rows("balances", row["balances"])


def _pair(asset: str, cash: str, ctx: Context) -> str:
    found = ctx.instruments.by_broker_symbol(SPOT.exchange, f"{asset}{cash}")
    return found.instrument_id if found else str(model.CanonicalId(PLATFORM, asset))


def _futures_margin(row: Row, ctx: Context) -> model.Margin:
    with RECORDS.reading("futures account"):
        return model.Margin(
            broker=RECORDS.broker,
            account_id=ctx.account,
            segment=model.Segment.FO,
            net=given(row, "availableBalance"),
            available=model.MarginAvailable(
                cash=given(row, "availableBalance"), live_balance=given(row, "totalWalletBalance")
            ),
            used=model.MarginUsed(
                total=given(row, "totalInitialMargin"), m2m_unrealised=given(row, "totalUnrealizedProfit")
            ),
            blocked=given(row, "totalOpenOrderInitialMargin"),
            initial=given(row, "totalInitialMargin"),
            maintenance=given(row, "totalMaintMargin"),
            currency=cash_of(ctx),
            ts_event=ctx.now_ns,
            raw=row,
        )


def _tickers(market: Market, path: str, symbols: Sequence[str]) -> list[Request]:
    """Return requests for a ticker of many symbols: spot takes lists, futures one symbol or all."""
    if not symbols:
        return []
    if len(symbols) == 1:
        return [read(market, path, 2, (("symbol", symbols[0]),), auth=False)]
    if market is USDM:
        return [read(market, path, 5, auth=False)]
    return [
        read(market, path, 4, (("symbols", json.dumps(list(batch), separators=(",", ":"))),), auth=False)
        for batch in batches(symbols, _BATCH)
    ]


def _depth(market: Market, symbol: str, limit: int) -> Request:
    weight = _SNAPSHOT_WEIGHT[market.letter] if limit == SNAPSHOT else 5
    return read(market, "/depth", weight, (("symbol", symbol), ("limit", str(limit))), auth=False)


def _listed(found: Any) -> Iterable[Row]:
    return found if isinstance(found, list) else [found]


def _quote(instrument: model.Instrument, mode: model.Mode, price: Row, top: Row, book: Row) -> model.Quote:
    bids, asks = levels(book.get("bids") or ()), levels(book.get("asks") or ())
    if top:
        bids = levels([(top["bidPrice"], top["bidQty"])])
        asks = levels([(top["askPrice"], top["askQty"])])
    sequence = book.get("lastUpdateId")
    return model.Quote(
        instrument_id=instrument.instrument_id,
        mode=mode,
        last_price=float_at(price, "price"),
        bids=bids,
        asks=asks,
        sequence=None if sequence is None else int(sequence),
        ts_event=ms(book.get("E") or price.get("time")),
        raw=book or price,
    )


def _candle(row: Any, instrument: model.Instrument, interval: str, ctx: Context) -> model.Candle:
    volume = float(row[5])
    return model.Candle(
        instrument_id=instrument.instrument_id,
        interval=interval,
        ts_open=int(row[0]) * 1_000_000,
        open=float(row[1]),
        high=float(row[2]),
        low=float(row[3]),
        close=float(row[4]),
        volume=volume,
        trades=int(row[8]),
        vwap=float(number(row[7]) / number(row[5])) if volume else None,
        is_closed=int(row[6]) * 1_000_000 < ctx.now_ns,
        source=RECORDS.broker,
    )
