"""Margin rates, each as an interval that holds the broker's: from its calculator, learnt from readings, or a guess.

What is unconfirmed at a moment counts at the middle of the interval, and its half-width is the error that may come of
it. A reading of the margin says what all changes since the one before came to; each rate's interval is cut to what the
others leave of that. An interval that readings contradict is thrown away for what they say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from dragoman.model import Instrument
from dragoman.portfolio.margin.rule import ZERO, Group, Kind
from dragoman.portfolio.net import PositionKey

_ONE: Final = Decimal(1)
_TWO: Final = Decimal(2)
_CALCULATED: Final = Decimal("0.01")  # by how much an order's own margin may differ from what was calculated
_LEARNT: Final = Decimal("0.005")  # nothing is known better: brokers publish rates anew several times a day
_TELLING: Final = Decimal("0.02")
_CONTRADICTED: Final = Decimal("0.05")
_PROBES: Final = (ZERO, Decimal("0.25"), Decimal("0.5"), Decimal("0.75"), _ONE)


class RateOrigin(StrEnum):
    """Where a rate comes from, best first."""

    RULE = "RULE"
    LEARNT = "LEARNT"
    CALCULATOR = "CALCULATOR"
    NOTIONAL = "NOTIONAL"


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate of `rule`: the broker's lies between `low` and `high`; `asked_ns` is when the calculator told it."""

    low: Decimal
    high: Decimal
    origin: RateOrigin
    asked_ns: int | None = None

    @property
    def point(self) -> Decimal:
        return (self.low + self.high) / _TWO

    @classmethod
    def about(cls, point: Decimal, share: Decimal, origin: RateOrigin, asked_ns: int | None = None) -> Rate:
        return cls(point * (_ONE - share), point * (_ONE + share), origin, asked_ns)

    def probes(self) -> tuple[Decimal, ...]:
        """Return rates over the whole interval, its ends among them."""
        if self.low == self.high:
            return (self.low,)
        return tuple(self.low + (self.high - self.low) * part for part in _PROBES)


_EXACT: Final = Rate(_ONE, _ONE, RateOrigin.RULE)


@dataclass(frozen=True, slots=True)
class Change:
    """A group before and now: what is not confirmed by the last reading."""

    key: PositionKey
    before: Group
    now: Group
    rate: Rate

    def at(self, rate: Decimal) -> Decimal:
        """Return by how much the requirement grew, at this rate."""
        return self.now.need(rate).total - self.before.need(rate).total

    @property
    def telling(self) -> bool:
        """Whether it is large enough beside what is held to say something of the rate, not of a price's last digit."""
        least, most, _ = self.span()
        whole = max(group.need(self.rate.high).total for group in (self.before, self.now))
        width = self.rate.high - self.rate.low
        return bool(width) and (most - least) * self.rate.high >= whole * width * _TELLING

    def span(self) -> tuple[Decimal, Decimal, Decimal]:
        """Return the least it may have grown by, the most, and what it is taken for."""
        return *self.reach(), self.at(self.rate.point)

    def reach(self) -> tuple[Decimal, Decimal]:
        """Return the least and the most it may have grown by."""
        rate = self.rate
        straight = not self.now.orders and not self.before.orders  # its ends are the least and the most
        grown = [self.at(one) for one in ((rate.low, rate.high) if straight else rate.probes())]
        return min(grown), max(grown)


class RateBook:
    """The rates of one account.

    Attributes
    ----------
    contradicted : int
        Readings that no rate in an interval explains.
    edition : int
        Another one as soon as any rate is.
    """

    def __init__(self) -> None:
        self._rates: dict[PositionKey, Rate] = {}
        self.contradicted = 0
        self.edition = 0

    def get(self, key: PositionKey, group: Group, instrument: Instrument | None) -> Rate:
        """Return the rate of a group; what nobody has told is a guess as wide as the notional."""
        if group.kind.fixed:
            return _EXACT
        known = self._rates.get(key)
        if known is not None:
            return known
        if group.kind is Kind.PREMIUM:
            strike = None if instrument is None else instrument.strike
            prices = [order.price for order in group.orders] + [group.price]
            return Rate(ZERO, strike if strike is not None else max(prices), RateOrigin.NOTIONAL)
        return Rate(ZERO, _ONE, RateOrigin.NOTIONAL)

    def origin(self, key: PositionKey) -> RateOrigin:
        known = self._rates.get(key)
        return RateOrigin.NOTIONAL if known is None else known.origin

    def asked_ns(self, key: PositionKey) -> int | None:
        known = self._rates.get(key)
        return None if known is None else known.asked_ns

    def told(self, key: PositionKey, rate: Decimal, now_ns: int) -> None:
        """Take what the broker's calculator says. One that readings have taught and that agrees stays as narrow."""
        fresh = Rate.about(rate, _CALCULATED, RateOrigin.CALCULATOR, now_ns)
        known = self._rates.get(key)
        if known is not None and known.origin is RateOrigin.LEARNT and fresh.low <= known.point <= fresh.high:
            fresh = Rate(known.low, known.high, RateOrigin.LEARNT, now_ns)
        self._keep(key, fresh)

    def _keep(self, key: PositionKey, rate: Rate) -> None:
        self.edition += 1
        self._rates[key] = rate

    def learn(self, changes: Sequence[Change], grown: Decimal, noise: Decimal) -> None:
        """Cut the intervals to what a reading leaves of them.

        Parameters
        ----------
        changes : sequence of Change
            All that changed between two readings.
        grown : Decimal
            By how much the broker's own requirement grew meanwhile.
        noise : Decimal
            How far that may be off for reasons that no rate has.
        """
        spans = {change.key: change.span() for change in changes}
        least = sum((span[0] for span in spans.values()), ZERO)
        most = sum((span[1] for span in spans.values()), ZERO)
        if grown + noise < least or grown - noise > most:
            if any(change.telling for change in changes):
                self.contradicted += 1
                self._forget(changes, grown, noise)
            return
        for change in changes:
            if not change.telling:
                continue
            low, high, _ = spans[change.key]
            room = (grown - noise - (most - high), grown + noise - (least - low))
            cut = _solved(change, room)
            if cut is not None:
                self._keep(change.key, cut)

    def _forget(self, changes: Sequence[Change], grown: Decimal, noise: Decimal) -> None:
        """Take what a reading says against all intervals: exact where one rate changed, otherwise all are guesses."""
        open_ones = [change for change in changes if change.telling]
        fixed = sum((change.span()[2] for change in changes if not change.telling), ZERO)
        if len(open_ones) == 1:
            change = open_ones[0]
            low, high = change.at(change.rate.low), change.at(change.rate.high)
            if low != high and change.rate.low != change.rate.high:
                slope = (high - low) / (change.rate.high - change.rate.low)
                point = change.rate.low + (grown - fixed - low) / slope
                if point > 0:
                    share = max(_CONTRADICTED, abs(noise / slope) / point)
                    self._keep(change.key, Rate.about(point, min(share, _ONE), RateOrigin.LEARNT))
                    return
        self.edition += 1
        for change in open_ones:
            self._rates.pop(change.key, None)


def _solved(change: Change, room: tuple[Decimal, Decimal]) -> Rate | None:
    """Return the part of a rate's interval whose growth lies in `room`; None where that says nothing of it."""
    rate = change.rate
    width = rate.high - rate.low
    if not width:
        return None
    at_low, at_high = change.at(rate.low), change.at(rate.high)
    slope = (at_high - at_low) / width
    straight = abs(change.at(rate.point) - (at_low + at_high) / _TWO) <= abs(at_high - at_low) * Decimal("1e-9")
    if not slope or not straight:
        return None
    ends = sorted(rate.low + (grown - at_low) / slope for grown in room)
    low, high = max(rate.low, ends[0]), min(rate.high, ends[1])
    if high - low >= width * Decimal("0.95"):
        return None
    middle = (low + high) / _TWO
    least = middle * _LEARNT
    if (high - low) / _TWO < least:
        low, high = middle - least, middle + least
    return Rate(low, high, RateOrigin.LEARNT, rate.asked_ns)


def per_unit(kind: Kind, total: Decimal, quantity: Decimal, price: Decimal, multiplier: Decimal) -> Decimal | None:
    """Return the rate that an order's calculated margin comes to; None for one that tells nothing."""
    units = quantity * multiplier
    value = units if kind is Kind.PREMIUM else units * price
    return total / value if total > 0 and value > 0 else None


def changes_of(
    before: Mapping[PositionKey, Group],
    now: Mapping[PositionKey, Group],
    rates: RateBook,
    instruments: Mapping[PositionKey, Instrument | None],
) -> list[Change]:
    """Return the groups that differ."""
    found = []
    for key in before.keys() | now.keys():
        old, new = before.get(key), now.get(key)
        if old is new or old == new:
            continue
        some = new or old
        assert some is not None  # it is a key of one of them
        empty = Group(some.kind)
        rate = rates.get(key, some, instruments.get(key))
        found.append(Change(key, old or empty, new or empty, rate))
    return found
