"""One instrument's market: its book, its market makers' ladder, its statistics of the day.

A market maker quotes a few levels on both sides of a fair price that walks at random. The ladder is a pure function
of (salt, epoch, fair price). While nobody but the makers has an order in the book, a step of the market therefore
only moves numbers; the ladder is built when somebody looks or trades (`Exchange.refresh`). Reading changes nothing
that happens later.

Prices are whole ticks and quantities whole lots; `Decimal` appears only in what callers see.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from dragoman.emulator.venue.matching import Book, Resting
from dragoman.emulator.venue.rng import MASK, mix64, salt
from dragoman.emulator.venue.types import ZERO, Listing, MarketView

if TYPE_CHECKING:
    from dragoman.emulator.venue.live_order import LiveOrder

FINE = 10  # the fair price carries this many binary digits below the tick
_DEFAULT_TICK = Decimal("0.01")  # grid of instruments that name no tick: indices
_STEP_SD = 2.83  # standard deviation of the 32-bit coin count that drives the walk
_PULL = 13  # the walk returns to its centre by a 2**-13 part of the distance at each step


class Market:
    """State of one listing. Everything named ``*_ticks`` or ``lots`` is a whole number."""

    __slots__ = (
        "_grain",
        "_salt",
        "_spacing",
        "_typical",
        "_view",
        "_view_key",
        "book",
        "centre",
        "changed",
        "close",
        "epoch",
        "fair",
        "half",
        "halted",
        "high",
        "high_limit",
        "index",
        "instrument_id",
        "last",
        "last_lots",
        "last_ts",
        "listing",
        "lot",
        "low",
        "low_limit",
        "makers",
        "oi",
        "oi_high",
        "oi_low",
        "open",
        "quiet",
        "recorded",
        "sigma",
        "stale",
        "stops",
        "tick",
        "tradable",
        "turnover",
        "volume",
        "waiting",
    )

    def __init__(self, listing: Listing, index: int, seed: int, now_ns: int, *, quiet: bool) -> None:
        instrument = listing.instrument
        self.listing = listing
        self.instrument_id = instrument.instrument_id
        self.index = index
        self.tradable = instrument.tradable
        self.tick = instrument.tick_size or _DEFAULT_TICK
        self.lot = instrument.lot_size or Decimal(1)
        self.book: Book[LiveOrder] = Book()
        self.makers: dict[tuple[int, int], Resting[LiveOrder]] = {}
        self.stops: dict[str, LiveOrder] = {}
        self.waiting: dict[str, LiveOrder] = {}  # came to the book during a halt
        self.quiet = quiet
        self.recorded: dict[tuple[int, int], tuple[int, int]] | None = None  # stands for the makers' ladder
        self.halted = False
        self.stale = True
        self.changed = 0
        self.epoch = 0
        self._salt = salt(seed, self.instrument_id)
        self._view: MarketView | None = None
        self._view_key = (-1, -1)
        self.oi = self.oi_high = self.oi_low = listing.oi
        reference = int(listing.reference / self.tick + Decimal("0.5"))
        if reference < 1:
            raise ValueError(f"{self.instrument_id}: reference {listing.reference} is below one tick ({self.tick})")
        self.half = max(0, reference // 12000)
        self._spacing = max(1, self.half)
        self._grain = max(1, int((listing.grain or self.lot) / self.lot))
        self._typical = max(1, int(listing.depth_quantity / self.lot) // self._grain)
        self.close = self.last = self.open = self.high = self.low = reference
        self.last_lots = self.volume = self.turnover = 0
        self.last_ts = now_ns
        self.low_limit = self.high_limit = reference
        self.fair = self.centre = _middle(reference)
        self.sigma = 0
        self._new_day(reference, now_ns)
        if not quiet and listing.volatility > 0:
            self._opening()

    # --- the face -------------------------------------------------------------------------------------------------

    def price(self, ticks: int) -> Decimal:
        return ticks * self.tick

    def quantity(self, lots: int) -> Decimal:
        return lots * self.lot

    def to_ticks(self, price: Decimal) -> int | None:
        """Return `price` in ticks, None where it is not on the grid."""
        ticks, rest = divmod(price, self.tick)
        return None if rest else int(ticks)

    def to_lots(self, quantity: Decimal) -> int | None:
        """Return `quantity` in lots, None where it is not a multiple of the lot size."""
        lots, rest = divmod(quantity, self.lot)
        return None if rest else int(lots)

    def view(self, now_ns: int) -> MarketView:
        """Return the market as callers see it; the book must be fresh."""
        key = (self.changed, self.epoch)
        if self._view is not None and self._view_key == key:
            if self._view.ts != now_ns:
                self._view = replace(self._view, ts=now_ns)
            return self._view
        tick, lot, book = self.tick, self.lot, self.book
        deep = self._grain * self._typical * (60 + (mix64(self._salt ^ self.epoch) & 63)) if self.makers else 0
        skew = deep * ((self._salt >> 20) & 31) // 64
        self._view_key = key
        self._view = MarketView(
            instrument_id=self.instrument_id,
            last_price=self.last * tick,
            last_quantity=self.last_lots * lot,
            last_trade_ts=self.last_ts,
            average_price=self._average(),
            volume=self.volume * lot,
            turnover=self.turnover * tick * lot * self.listing.instrument.multiplier,
            open=self.open * tick,
            high=self.high * tick,
            low=self.low * tick,
            close=self.close * tick,
            oi=self.oi,
            oi_high=self.oi_high,
            oi_low=self.oi_low,
            band_low=self.low_limit * tick,
            band_high=self.high_limit * tick,
            bids=tuple((price * tick, lots * lot, orders) for price, lots, orders in book.levels(1)),
            asks=tuple((price * tick, lots * lot, orders) for price, lots, orders in book.levels(-1)),
            total_buy_quantity=(book.volume(1) + deep) * lot,
            total_sell_quantity=(book.volume(-1) + deep - skew) * lot,
            ts=now_ns,
        )
        return self._view

    # --- what moves it --------------------------------------------------------------------------------------------

    def walk(self, bits: int) -> None:
        """Move the fair price by one step, within the circuit band; the ladder has to be built again."""
        coins = (bits & 0xFFFFFFFF).bit_count() - 16
        fair = self.fair + coins * self.sigma - ((self.fair - self.centre) >> _PULL)
        self.fair = min(max(fair, self.low_limit << FINE), self.high_limit << FINE)
        self.epoch += 1
        self.stale = True

    def traded(self, ticks: int, lots: int, ts: int) -> None:
        """Count one print."""
        self.last = ticks
        self.last_lots = lots
        self.last_ts = ts
        self.volume += lots
        self.turnover += ticks * lots
        if ticks > self.high:
            self.high = ticks
        elif ticks < self.low:
            self.low = ticks

    def quoted(self, sign: int) -> int | None:
        """Return the makers' best price on a side; None beyond the circuit band."""
        if sign > 0:
            ticks = (self.fair >> FINE) - self.half
            return ticks if ticks >= self.low_limit else None
        ticks = (self.fair >> FINE) + 1 + self.half
        return ticks if ticks <= self.high_limit else None

    def ladder(self) -> dict[tuple[int, int], tuple[int, int]]:
        """Return what the makers want to quote now: (sign, ticks) to (lots, orders)."""
        if self.recorded is not None:
            inside = (place for place in self.recorded if self.low_limit <= place[1] <= self.high_limit)
            return {place: self.recorded[place] for place in inside}
        wanted: dict[tuple[int, int], tuple[int, int]] = {}
        if self.quiet or not self.tradable:
            return wanted
        root = (self._salt + self.epoch * 0x9E3779B97F4A7C15) & MASK
        for sign in (1, -1):
            ticks = self.quoted(sign)
            for level in range(self.listing.depth_levels):
                if ticks is None or not self.low_limit <= ticks <= self.high_limit:
                    break
                bits = mix64(root + (level << 1) + (sign > 0))
                lots = max(1, self._typical * (level + 1) * (32 + (bits & 127)) >> 7)
                wanted[sign, ticks] = (lots * self._grain, min(lots, 1 + (bits >> 8 & 15) + level))
                ticks -= sign * (1 + (bits >> 16) % self._spacing)
        return wanted

    def print_lots(self, bits: int) -> int:
        """Return the size of a simulated participant's trade."""
        return (1 + (self._typical * (bits & 127) >> 7)) * self._grain

    def shift(self, ticks: int) -> None:
        """Put the fair price, and what it returns to, at `ticks`."""
        self.fair = self.centre = _middle(ticks)
        self.epoch += 1
        self.stale = True

    def begin_at(self, ticks: int, now_ns: int) -> None:
        """Start a day around a price that somebody else decides, with no quotes until there are some."""
        self.recorded = {}
        self._new_day(ticks, now_ns)
        self.epoch += 1
        self.stale = True

    def roll_day(self, now_ns: int) -> None:
        """Start a new day: the last price becomes the previous close, the statistics start again."""
        self._new_day(self.last, now_ns)
        self.oi_high = self.oi_low = self.oi
        self.epoch += 1
        self.stale = True

    # --- inside ---------------------------------------------------------------------------------------------------

    def _new_day(self, reference: int, now_ns: int) -> None:
        margin = int(reference * self.listing.band)
        self.close = reference
        self.low_limit, self.high_limit = max(1, reference - margin), reference + max(1, margin)
        self.fair = self.centre = _middle(reference)
        self.sigma = int((reference << FINE) * self.listing.volatility / _STEP_SD)
        if self.listing.volatility > 0:
            self.sigma = max(1, self.sigma)
        self.last = self.open = self.high = self.low = reference
        self.last_lots = self.volume = self.turnover = 0
        self.last_ts = now_ns

    def _opening(self) -> None:
        """Give the day a past: a gap at the open, a range and a volume, as a market has that is already running."""
        bits = mix64(self._salt ^ 0xA0B1C2)
        reach = max(2, (self.sigma << 6) >> FINE)
        self.open = self._within(self.close + bits % (2 * reach + 1) - reach)
        self.last = self._within(self.open + (bits >> 16) % (reach + 1) - reach // 2)
        self.high = self._within(max(self.open, self.last) + (bits >> 32) % reach)
        self.low = self._within(min(self.open, self.last) - (bits >> 40) % reach)
        self.fair = self.centre = _middle(self.last)
        if self.tradable:
            self.last_lots = self.print_lots(bits >> 8)
            self.volume = self._grain * self._typical * (500 + (bits >> 24) % 4000)
            self.turnover = self.volume * (self.open + self.last + self.high + self.low) // 4
        if self.oi:
            self.oi_high, self.oi_low = self.oi + self.oi // 50, self.oi - self.oi // 80

    def _within(self, ticks: int) -> int:
        return min(max(ticks, self.low_limit), self.high_limit)

    def _average(self) -> Decimal:
        if not self.volume:
            return ZERO
        average = self.turnover * self.tick / self.volume
        return average.quantize(Decimal("0.0001"))


def _middle(ticks: int) -> int:
    """Return the fair price between a bid at `ticks` and an ask one tick above."""
    return (ticks << FINE) + (1 << FINE - 1)
