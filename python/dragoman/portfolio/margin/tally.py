"""What changed in the margin's state since a reading, kept as it changes: no position is counted twice.

Theory. Everything a projection adds up is a sum over positions, and what one position adds depends on how it was at the
reading, how it is now, and its rate. So a state that differs from the one before in three positions costs three
subtractions and three additions. They are made in so many digits that nothing is rounded: whichever way the sums came
to where they are, they are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Final

from dragoman.model import Instrument
from dragoman.portfolio.margin.rates import Change, Rate, RateBook
from dragoman.portfolio.margin.rule import ZERO, Group, Kind
from dragoman.portfolio.margin.state import Held, Snapshot, State
from dragoman.portfolio.net import PositionKey

_EXACT: Final = Context(prec=400)
_NOTHING: Final = Held(Group(Kind.PLEDGED))
_plus, _minus = _EXACT.add, _EXACT.subtract


@dataclass(slots=True)
class Sums:
    """What positions add up to.

    Attributes
    ----------
    grown, width : Decimal
        By how much the requirement grew, and how far the broker's rates may make that another.
    blocked, premium, delivery : Decimal
        Parts of `grown`.
    unsure : Decimal
        What is tied up by orders of which nobody knows whether the broker has them, or had at the reading, and what
        trades may have been charged.
    realised : Decimal
        Profit taken since the reading.
    before, now : Decimal
        Profit on paper of the positions that had a mark at both moments.
    drift : Decimal
        By how much marks may make `now` another.
    """

    grown: Decimal = ZERO
    width: Decimal = ZERO
    blocked: Decimal = ZERO
    premium: Decimal = ZERO
    delivery: Decimal = ZERO
    unsure: Decimal = ZERO
    realised: Decimal = ZERO
    before: Decimal = ZERO
    now: Decimal = ZERO
    drift: Decimal = ZERO


Added = list[tuple[str, Decimal]]


@dataclass(slots=True)
class _Part:
    """What one position adds, and the rates that was counted with."""

    added: Added
    change: Rate | None
    unsure: Rate | None
    unpriced: bool


class Tally:
    """The sums of one segment from a reading on.

    Parameters
    ----------
    base : State
        As the broker had seen it.
    rates : RateBook
    instrument : callable
    mine : callable
        Whether a position draws on the segment's money.

    Attributes
    ----------
    sums : Sums
    gain, drift : Decimal
        Profit on paper at the reading, and how far marks may lie from the broker's.
    """

    def __init__(
        self,
        base: State,
        rates: RateBook,
        instrument: Callable[[PositionKey], Instrument | None],
        mine: Callable[[PositionKey], bool],
    ) -> None:
        self._base, self._rates, self._instrument, self._mine = base, rates, instrument, mine
        self._state = base
        self._edition = rates.edition
        self._parts: dict[PositionKey, _Part] = {}
        self._unpriced = self._base_unpriced = 0
        self.sums = Sums()
        self.gain = self.drift = ZERO
        for key, held in base.items():
            if not mine(key):
                continue
            self._base_unpriced += not held.priced
            self.drift = _plus(self.drift, held.drift)
            if held.unrealised is not None:
                self.gain = _plus(self.gain, held.unrealised)
            if held.group.sure() is not held.group or held.owing:
                self._put(key, held)
        self.sums.before, self.sums.now = _plus(self.sums.before, self.gain), _plus(self.sums.now, self.gain)
        self.sums.drift = _plus(self.sums.drift, self.drift)

    @property
    def priced(self) -> bool:
        """Whether all that counts has a price to count at."""
        return not self._base_unpriced and not self._unpriced

    def move(self, state: State) -> Sums:
        """Bring the sums to another state; those of now are returned."""
        keys = differing(self._state, state)
        self._state = state
        for key in keys:
            if self._mine(key):
                self._put(key, state.get(key))
        if self._edition != self._rates.edition:
            self._edition = self._rates.edition
            self._rate_again()
        return self.sums

    def _rate_again(self) -> None:
        """Count again what was counted with a rate that is another now."""
        for key, part in list(self._parts.items()):
            held = self._state.get(key)
            if (part.change is not None and self._rate(key, held) != part.change) or (
                part.unsure is not None and self._rate(key, held) != part.unsure
            ):
                self._put(key, held)

    def _rate(self, key: PositionKey, held: Held | None) -> Rate:
        return self._rate_of(key, (held or self._base[key]).group)

    def _rate_of(self, key: PositionKey, group: Group) -> Rate:
        return self._rates.get(key, group, self._instrument(key))

    def _put(self, key: PositionKey, held: Held | None) -> None:
        """Take in how a position is now; None where it is gone."""
        old = self._parts.pop(key, None)
        if old is not None:
            self._unpriced -= old.unpriced
            self._add(old.added, _minus)
        base = self._base.get(key)
        added: Added = []
        changed = None
        if base is not held:
            changed = self._changed(key, base, held, added)
            self._profit(base, held, added)
        unsure = self._doubt(key, base, held, added)
        if base is held and not added:
            return
        unpriced = base is not held and held is not None and not held.priced
        self._parts[key] = _Part(added, changed, unsure, unpriced)
        self._unpriced += unpriced
        self._add(added, _plus)

    def _add(self, added: Added, way: Callable[[Decimal, Decimal], Decimal]) -> None:
        sums = self.sums
        for name, amount in added:
            if amount:
                setattr(sums, name, way(getattr(sums, name), amount))

    def _changed(self, key: PositionKey, base: Held | None, held: Held | None, added: Added) -> Rate | None:
        """Add what the requirement grew by; return the rate of it, None where the position is the same."""
        some = held or base
        assert some is not None  # it was or is there
        empty = Group(some.group.kind)
        before, now = base.group if base is not None else empty, held.group if held is not None else empty
        if base is not None and held is not None and (before is now or before == now):
            return None
        rate = self._rate_of(key, some.group)
        old, new = before.need(rate.point), now.need(rate.point)
        grown = new.total - old.total
        if rate.low != rate.high:
            least, most = Change(key, before, now, rate).reach()
            added.append(("width", max(most - grown, grown - least)))
        added += [("grown", grown), ("blocked", new.blocked - old.blocked)]
        if now.kind is Kind.PREMIUM:
            added.append(("premium", _long(now.quantity, new.used) - _long(before.quantity, old.used)))
        if now.kind is Kind.PAID:
            added.append(("delivery", new.used - old.used))
        return rate

    def _doubt(self, key: PositionKey, base: Held | None, held: Held | None, added: Added) -> Rate | None:
        """Add what the broker may have, and what it may have had at the reading; return the rate where there is one."""
        found, more = None, ZERO
        for one in (held, base):
            if one is None:
                continue
            more += one.owing
            sure = one.group.sure()
            if sure is not one.group:
                found = self._rate_of(key, one.group)
                more += one.group.need(found.point).total - sure.need(found.point).total
        if more:
            added.append(("unsure", more))
        return found

    @staticmethod
    def _profit(base: Held | None, held: Held | None, added: Added) -> None:
        """Add how its profit changed, and by how much marks may make that another."""
        was, now = base or _NOTHING, held or _NOTHING
        drift = now.drift - was.drift
        if was.unrealised is None or now.unrealised is None:
            # Of only one of the two moments: what it says is an error, not a change.
            gain = ZERO if was.unrealised is None else -was.unrealised
            added += [("now", gain), ("before", gain)]
            drift += abs(was.unrealised or ZERO) + abs(now.unrealised or ZERO)
        else:
            added.append(("now", now.unrealised - was.unrealised))
        added += [("realised", now.realised - was.realised), ("drift", drift)]


def differing(old: State, new: State) -> Collection[PositionKey]:
    """Return the positions of which one state has another `Held` than the other; quickly where one made the other."""
    if old is new:
        return ()
    if isinstance(old, Snapshot) and isinstance(new, Snapshot) and new.made_of == old.number:
        return new.changed
    get = old.get
    found = [key for key, held in new.items() if get(key) is not held]
    if len(old) + sum(key not in old for key in found) != len(new):
        found += [key for key in old if key not in new]
    return found


def _long(quantity: Decimal, used: Decimal) -> Decimal:
    return used if quantity > 0 else ZERO
