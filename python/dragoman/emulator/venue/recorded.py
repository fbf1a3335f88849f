"""A market that happens again: moves of a recording, each when its time has come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dragoman.emulator.venue.exchange import Exchange
    from dragoman.emulator.venue.market import Market

Levels = tuple[tuple[Decimal, Decimal], ...]


@dataclass(frozen=True, slots=True)
class RecordedMove:
    """What one message said of an instrument: its book (empty: nothing) and a trade, as (price, quantity)."""

    ts: int
    instrument_id: str
    bids: Levels = ()
    asks: Levels = ()
    trade: tuple[Decimal, Decimal] | None = None


@dataclass(frozen=True, slots=True)
class RecordedMarket:
    """What a recording tells of an instrument: enough to list it.

    Attributes
    ----------
    symbol, exchange : str
        As the broker names them.
    tick, step : Decimal
        The finest its prices and quantities are written in.
    price : Decimal
        The first one.
    """

    symbol: str
    exchange: str
    tick: Decimal
    step: Decimal
    price: Decimal


class Playback:
    """Moves of a recording on an exchange.

    Recorded prices are put on the nearest tick, quantities on whole lots, at least one.
    """

    def __init__(self, exchange: Exchange, moves: Sequence[RecordedMove], start_ns: int, speed: float) -> None:
        if not speed > 0:
            raise ValueError(f"speed is {speed}, expected above 0")
        self._exchange = exchange
        self._moves = sorted(
            (move for move in moves if move.instrument_id in exchange.markets), key=lambda move: move.ts
        )
        self._at = 0
        self._start = start_ns
        self._speed = speed
        self.driven: tuple[str, ...] = tuple(dict.fromkeys(move.instrument_id for move in self._moves))
        fresh = set(self.driven)
        for move in self._moves:
            if move.instrument_id in fresh:
                fresh.discard(move.instrument_id)
                market = exchange.markets[move.instrument_id]
                level = move.trade or (move.bids or move.asks)[0]
                exchange.hand_over(market, _ticks(market, level[0]), start_ns)

    @property
    def due(self) -> int | None:
        """When the next move comes; None where none is left."""
        if self._at == len(self._moves):
            return None
        passed = self._moves[self._at].ts - self._moves[0].ts
        return self._start + int(passed / self._speed)

    def run_next(self, ts: int) -> None:
        """Make the next move."""
        move = self._moves[self._at]
        self._at += 1
        market = self._exchange.markets[move.instrument_id]
        if market.halted:
            return
        if move.bids or move.asks:
            wanted: dict[tuple[int, int], tuple[int, int]] = {}
            for sign, side in ((1, move.bids), (-1, move.asks)):
                for price, quantity in side:
                    wanted[sign, _ticks(market, price)] = (_lots(market, quantity), 1)
            market.recorded = wanted
            market.stale = True
        if move.trade is not None:
            price, quantity = move.trade
            self._exchange.print_recorded(market, _ticks(market, price), _lots(market, quantity), ts)
        self._exchange.requote(market, ts)
        self._exchange.touch(market)


def _ticks(market: Market, price: Decimal) -> int:
    return max(1, int((price / market.tick).to_integral_value(ROUND_HALF_UP)))


def _lots(market: Market, quantity: Decimal) -> int:
    return max(1, int(quantity / market.lot))
