"""One segment's margin between readings, with the error it may have, and what a reading says about both.

With ``Δ`` for what changed since the last reading::

    used.total = told + Δrequirement - Δprofit        (the last only where the broker counts it there)
    net        = told - leverage x (Δrequirement - Δprofit)

The requirement is `rule` at the middle of each rate's interval; profit is what was realised, plus the unrealised of all
positions together where that is a loss. The bound adds up: the half-widths of the rates of what changed, all of what an
order ties up of which nobody knows whether the broker has it, how far marks may lie from the broker's, and what earlier
bounds were short of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from dragoman.model import Instrument, Margin, MarginAvailable, Source
from dragoman.plugin import MarginTerms
from dragoman.portfolio.margin.rates import RateBook, changes_of
from dragoman.portfolio.margin.rule import ZERO, Group
from dragoman.portfolio.margin.state import Snapshot, State
from dragoman.portfolio.margin.tally import Sums, Tally, differing
from dragoman.portfolio.net import PositionKey

_CENT: Final = Decimal("0.01")
_ROUNDED: Final = Decimal("0.05")  # of two readings and their difference, each to the cent
_KEPT: Final = Decimal("0.9")
_WIDER: Final = Decimal("1.25")
_NOTHING: Final = Decimal("0.005")
_FUNDS: Final = ("opening_balance", "intraday_payin", "adhoc")
_COLLATERAL: Final = ("collateral_cash", "collateral_pledged")


@dataclass(frozen=True, slots=True)
class Projected:
    """What a margin came to by what is known. `bound` is None where something has no price to count at.

    `grown` is the requirement's part, `profit` that of profit and loss; `width` and `drift` are their bounds.
    """

    net: Decimal | None
    used: Decimal | None
    blocked: Decimal | None
    premium: Decimal | None
    delivery: Decimal | None
    bound: Decimal | None
    grown: Decimal
    profit: Decimal
    width: Decimal
    drift: Decimal
    unsure: Decimal


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a reading compares with the projection of the moment it is of.

    Attributes
    ----------
    error : Decimal
        The larger of the differences of `net` and `used.total`.
    bound : Decimal or None
        What the projection had said of its error.
    state : State
        What the broker had seen when it answered, of all that was known around that time.
    clear : bool
        Whether no other moment would explain the reading as well.
    """

    error: Decimal
    bound: Decimal | None
    state: State
    projected: Projected
    clear: bool = True

    @property
    def held(self) -> bool:
        return self.bound is None or self.error <= self.bound


class Projection:
    """One segment between two readings.

    Parameters
    ----------
    told : Margin
    state : State
        Of this segment, as the broker had seen it.
    """

    def __init__(
        self,
        told: Margin,
        state: State,
        rates: RateBook,
        terms: MarginTerms,
        instrument: Callable[[PositionKey], Instrument | None],
        slack: Decimal = ZERO,
        mine: Callable[[PositionKey], bool] = lambda key: True,
    ) -> None:
        self.told = told
        self.state = state
        self.slack = slack
        self._rates = rates
        self._terms = terms
        self._instrument = instrument
        self._leverage = told.leverage or Decimal(1)
        self._mine = mine
        self._tally = Tally(state, rates, instrument, mine)

    @property
    def drifting(self) -> bool:
        """Whether marks move what was told."""
        return bool(self._tally.drift)

    def forget(self) -> None:
        """Count anew with the next state: positions draw on other segments than they did."""
        self._tally = Tally(self.state, self._rates, self._instrument, self._mine)

    def project(self, state: State) -> Projected:
        """Count the margin from the last reading and what is known now; what did not change costs nothing."""
        told, sums = self.told, self._tally.move(state)
        profit, drift = self._profit(sums)
        in_used = profit if self._terms.profit_in_used else ZERO
        grown, width = self._within(+sums.grown, sums.width + sums.unsure)
        error = self._leverage * (width + drift) + self.slack
        return Projected(
            net=_plus(told.net, self._leverage * (profit - grown)),
            used=_plus(told.used.total, grown - in_used),
            blocked=_plus(told.blocked, sums.blocked),
            premium=_plus(told.used.option_premium, sums.premium),
            delivery=_plus(told.used.delivery, sums.delivery),
            bound=error + _ROUNDED if self._tally.priced else None,
            grown=grown,
            profit=profit,
            width=width - sums.unsure,
            drift=drift,
            unsure=+sums.unsure,
        )

    def margin(self, state: State, ts: int, *, stale: bool) -> Margin:
        """Return the margin as it is now: the broker's own where nothing has changed since."""
        found, told = self.project(state), self.told
        parts = (told.net, told.used.total, told.blocked, told.used.option_premium, told.used.delivery)
        pairs = zip(parts, (found.net, found.used, found.blocked, found.premium, found.delivery), strict=True)
        if not found.unsure and all(old is None or new is None or abs(new - old) < _NOTHING for old, new in pairs):
            bound = ZERO if found.bound == _ROUNDED else _cents(found.bound)
            return replace(told, error_bound=bound, stale=stale)
        return replace(
            told,
            net=_cents(found.net),
            blocked=_cents(found.blocked),
            used=replace(
                told.used,
                total=_cents(found.used),
                option_premium=_cents(found.premium),
                delivery=_cents(found.delivery),
            ),
            source=Source.PROJECTED,
            error_bound=_cents(found.bound),
            stale=stale,
            ts_event=ts,
        )

    def judge(self, told: Margin, states: Sequence[State]) -> Verdict:
        """Compare a reading with what was projected for the moments it may be of, and return the nearest.

        Money that was paid in or out, or credited, meanwhile is the broker's to tell: it is no error.
        """
        paid, out = _funds(told, self.told), _payout(told, self.told)
        out_used = out if self._terms.profit_in_used else ZERO
        verdicts: list[Verdict] = []
        for state in states:
            found = self.project(state)
            errors = [
                abs(theirs - ours)
                for theirs, ours in (
                    (told.net, _plus(found.net, paid - out)),
                    (told.used.total, _plus(found.used, out_used)),
                )
                if theirs is not None and ours is not None
            ]
            verdicts.append(Verdict(max(errors, default=ZERO), found.bound, state, found))
        held = [one for one in verdicts if one.held]
        if not held:
            return min(verdicts, key=lambda one: one.error - (one.bound or ZERO))
        best = min(held, key=lambda one: one.error)
        others = {_grouped(one.state): one.state for one in held if one.state is not best.state}
        return replace(best, clear=all(_same_groups(state, best.state, self._mine) for state in others.values()))

    def learn(self, told: Margin, verdict: Verdict) -> None:
        """Let the rates learn from a reading: what the requirement really grew by."""
        found = verdict.projected
        if found.bound is None or found.unsure or not verdict.clear:
            return
        noise = _ROUNDED + self.slack
        if told.used.total is not None and self.told.used.total is not None:
            grown = told.used.total - self.told.used.total
            if self._terms.profit_in_used:
                grown += found.profit - _payout(told, self.told)
                noise += found.drift
        elif told.net is not None and self.told.net is not None:
            fallen = self.told.net + _funds(told, self.told) - _payout(told, self.told) - told.net
            grown, noise = fallen / self._leverage + found.profit, noise + found.drift
        else:
            return
        before, now = _groups(self.state, self._mine), _groups(verdict.state, self._mine)
        found_by = _found(before.keys() | now.keys(), self._instrument)
        changes = changes_of(before, now, self._rates, found_by)
        if changes:
            self._rates.learn(changes, grown, noise)

    def slack_after(self, verdict: Verdict) -> Decimal:
        """Return what to add to bounds from here on: more where one was broken, ever less where they hold."""
        if verdict.bound is None or verdict.held:
            kept = self.slack * _KEPT
            return kept if kept > _CENT else ZERO
        return (verdict.error - (verdict.bound - self.slack)) * _WIDER

    def _within(self, grown: Decimal, width: Decimal) -> tuple[Decimal, Decimal]:
        """Cut what the requirement may have grown by to what leaves it at 0 or above; return its middle and reach.

        That is done where its middle would leave less. Where rates are guessed, or an order was counted that the
        reading had not seen, less may be left than nothing: no broker's requirement is. Where even the most it may have
        grown by would leave less, something else is wrong, and it may be as far off as that.
        """
        told = self.told.used.total
        if told is None or self._terms.profit_in_used or told + grown >= 0:
            return grown, width
        most = told + grown + width + self.slack
        if most <= 0:
            return -told, max(width, -told - grown)
        return most / 2 - told, most / 2

    def _profit(self, sums: Sums) -> tuple[Decimal, Decimal]:
        """Return how profit and loss changed what is free, and by how much marks may make that another."""
        before, drift_before = +sums.before, +self._tally.drift
        told = self.told.used.m2m_unrealised
        if told is not None and abs(told - before) <= drift_before:
            before, drift_before = told, ZERO  # counted as we do, at the broker's own marks
        now = +sums.now
        change = min(now, ZERO) - min(before, ZERO)
        return sums.realised + change, _reach(before, drift_before) + _reach(now, +sums.drift)


def _groups(state: State, mine: Callable[[PositionKey], bool]) -> dict[PositionKey, Group]:
    return {key: held.group for key, held in state.items() if mine(key)}


def _grouped(state: State) -> int:
    """Return a number that states have in common only if they differ in marks and profits at most."""
    return state.grouped if isinstance(state, Snapshot) else -id(state)


def _same_groups(one: State, other: State, mine: Callable[[PositionKey], bool]) -> bool:
    """Whether two states differ in marks and profits at most."""
    if _grouped(one) == _grouped(other):
        return True
    for key in differing(one, other):
        first, second = one.get(key), other.get(key)
        if (first is None or second is None or first.group != second.group) and mine(key):
            return False
    return True


def _reach(profit: Decimal, drift: Decimal) -> Decimal:
    """Return by how much the loss in `profit` may be another, when `profit` may be off by `drift`."""
    loss = min(profit, ZERO)
    return max(abs(min(profit - drift, ZERO) - loss), abs(min(profit + drift, ZERO) - loss))


def _found(
    keys: set[PositionKey], instrument: Callable[[PositionKey], Instrument | None]
) -> Mapping[PositionKey, Instrument | None]:
    return {key: instrument(key) for key in keys}


def _plus(told: Decimal | None, change: Decimal) -> Decimal | None:
    return None if told is None else told + change


def _cents(value: Decimal | None) -> Decimal | None:
    return None if value is None else value.quantize(_CENT)


def _funds(new: Margin, old: Margin) -> Decimal:
    """Return by how much the account's own money grew by the broker's word, parts that it does not tell left out."""
    grown = ZERO
    names = [*_FUNDS, *(_COLLATERAL if _both(new.available, old.available, _COLLATERAL) else ("collateral",))]
    for name in names:
        theirs, before = getattr(new.available, name), getattr(old.available, name)
        if theirs is not None and before is not None:
            grown += theirs - before
    return grown


def _payout(new: Margin, old: Margin) -> Decimal:
    """Return what the account holder took out meanwhile, by the broker's word."""
    out, before = new.used.payout, old.used.payout
    return ZERO if out is None or before is None else out - before


def _both(new: MarginAvailable, old: MarginAvailable, names: Sequence[str]) -> bool:
    return all(getattr(one, name) is not None for one in (new, old) for name in names)
