"""Bars of the minutes that a market lives through, made of looks at it.

Example
-------
A look at 09:30:05 and one at 09:30:50 make the bar of 09:30; it has ended at 09:31:00.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from dragoman.emulator.counting import MINUTE
from dragoman.emulator.updates import MarketChanges, Prints
from dragoman.emulator.venue.types import ZERO, MarketView, VenueProtocol


@dataclass(slots=True)
class MinuteBar:
    """One minute from `start_ns`, UTC; `value` is the money that changed hands, `trades` the looks that found some."""

    start_ns: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal = ZERO
    value: Decimal = ZERO
    trades: int = 0

    @property
    def average_price(self) -> Decimal:
        return self.value / self.volume if self.volume else self.close


class MinuteBars:
    """The minutes of all markets of an exchange, by canonical id. What traded before the first look is in none."""

    def __init__(self) -> None:
        self._now: dict[str, MinuteBar] = {}
        self._prints = Prints()
        self.ended: dict[str, MinuteBar] = {}
        """The last whole minute of each market that has one."""

    def look(self, market: MarketView, now_ns: int) -> None:
        """Take what traded since the last look into the minute of `now_ns`; call `turn` first."""
        name, price, traded = market.instrument_id, market.last_price, self._prints.look(market)
        if not traded:
            return
        bar = self._now.setdefault(name, MinuteBar(now_ns // MINUTE * MINUTE, price, price, price, price))
        bar.high, bar.low, bar.close = max(bar.high, price), min(bar.low, price), price
        bar.volume += traded
        bar.value += traded * price
        bar.trades += 1

    def turn(self, now_ns: int) -> Iterator[str]:
        """End the minutes that are over; yield whose."""
        over = [name for name, bar in self._now.items() if now_ns >= bar.start_ns + MINUTE]
        for name in over:
            self.ended[name] = self._now.pop(name)
            yield name


class MinuteChanges:
    """The markets of a venue that changed, or whose minute ended."""

    def __init__(self, venue: VenueProtocol) -> None:
        self._venue, self._markets, self._minutes = venue, MarketChanges(venue), MinuteBars()

    def take(self, now_ns: int) -> list[str]:
        """Return their canonical ids since the last call, each once, ended minutes first."""
        ended, fresh = list(self._minutes.turn(now_ns)), self._markets.fresh()
        for name in fresh:
            self._minutes.look(self._venue.market(name), now_ns)
        return list(dict.fromkeys((*ended, *fresh)))

    def minute(self, instrument_id: str) -> MinuteBar | None:
        """Return the last whole minute of a market."""
        return self._minutes.ended.get(instrument_id)
