"""From what a rule says to the prices it watches: pure arithmetic on the position as it is when the rule is added.

A level that is worked out lies on the tick, rounded to the side on which it is reached earlier: a stop never fires
later than was asked for. So does a trailing one wherever it moves, at least a tick away from the best price.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any, Final, Literal

from dragoman.errors import ErrorKind, UsageError
from dragoman.model import Instrument, Side
from dragoman.rules.model import Level, Oco, PriceRule, Rung, ScaleOut, StopLoss, TakeProfit, TrailingStop

Way = Literal["below", "above", "trail_below", "trail_above"]
ZERO: Final = Decimal(0)
_HUNDRED: Final = Decimal(100)
_MOST: Final = Decimal(10) ** 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One price that a rule watches, and how much exits when it is reached.

    Attributes
    ----------
    number : int
        From 1; which firing of the rule it is.
    way : {"below", "above", "trail_below", "trail_above"}
        Fires at a price at or below the level, or at or above it; the trailing ones move their level with the price.
    level : Decimal
    trail : Decimal, optional
        Distance of a trailing one; of the price's percent, where `percent`.
    step : Decimal, optional
        The tick that a trailing level lies on.
    quantity : Decimal, optional
        None for all there is.
    what : str
        In words: stop, target, rung 1.
    seen : Decimal, optional
        The best price a trailing one has seen, as it was noted last.
    """

    number: int
    way: Way
    level: Decimal
    trail: Decimal | None = None
    percent: bool = False
    step: Decimal | None = None
    quantity: Decimal | None = None
    what: str = "stop"
    fired: bool = False
    seen: Decimal | None = None

    @property
    def trails(self) -> bool:
        return self.trail is not None

    @property
    def best(self) -> Decimal | None:
        """The best price a trailing level stands for."""
        if self.trail is None or self.seen is not None:
            return self.seen
        away = self.trail / _HUNDRED if self.percent else self.trail
        if self.way == "trail_below":
            return self.level / (1 - away) if self.percent else self.level + away
        return self.level / (1 + away) if self.percent else self.level - away

    def on_step(self, level: Decimal) -> Decimal:
        """Return a level on the tick, where it is reached no later."""
        return level if not self.step else on_tick(level, self.step, down=self.way == "trail_above")

    def tighter(self, level: Decimal) -> bool:
        """Whether another level lies closer than this one's: the only direction in which a trailing one moves."""
        return level > self.level if self.way == "trail_below" else level < self.level


def on_tick(price: Decimal, tick: Decimal, *, down: bool) -> Decimal:
    """Return the multiple of a tick at a price, or next to it on one side."""
    return (price / tick).to_integral_value(ROUND_FLOOR if down else ROUND_CEILING) * tick


def exit_side(position: Decimal) -> Side:
    """Return the side that makes a position smaller."""
    return Side.SELL if position > 0 else Side.BUY


def needs_reference(rule: PriceRule) -> bool:
    """Whether a rule counts from the price of entry."""
    if isinstance(rule, TrailingStop):
        return False
    if isinstance(rule, ScaleOut):
        return any(one.r is not None or one.level is None or one.level.price is None for one in rule.rungs)
    if isinstance(rule, Oco):
        return rule.target.price is None or (rule.stop.price is None and not rule.trailing)
    assert isinstance(rule, StopLoss | TakeProfit)
    return rule.price is None


def legs_of(
    rule: PriceRule,
    side: Side,
    instrument: Instrument,
    *,
    size: Decimal,
    reference: Decimal | None = None,
    last: Decimal | None = None,
) -> tuple[Leg, ...]:
    """Return the prices a rule watches.

    Parameters
    ----------
    rule : PriceRule
    side : Side
        Of its exits.
    instrument : Instrument
    size : Decimal
        How large the position is, above 0.
    reference : Decimal, optional
        What percentages and ticks count from.
    last : Decimal, optional
        The price now: where a trailing stop begins.

    Raises
    ------
    UsageError
        The terms contradict themselves, or say more than the position has; nothing was armed.
    """
    at = _At(rule, side, instrument, reference)
    most = size if rule.quantity is None else rule.quantity
    if isinstance(rule, ScaleOut):
        return _ladder(rule, at, most)
    if isinstance(rule, TrailingStop):
        return (_trailing(1, rule.level, rule.start, last, at, rule.quantity),)
    if isinstance(rule, Oco):
        if rule.trailing:
            stop = _trailing(1, rule.stop, None, last, at, rule.quantity)
        else:
            stop = Leg(number=1, way=at.losing, level=at.losing_level(rule.stop), quantity=rule.quantity)
        target = at.winning_level(rule.target)
        if (target <= stop.level) is (side is Side.SELL) or target == stop.level:
            raise at.wrong(f"the target {target} and the stop {stop.level} are the wrong way round", "swap them")
        return stop, Leg(number=2, way=at.winning, level=target, quantity=rule.quantity, what="target")
    if isinstance(rule, StopLoss):
        return (Leg(number=1, way=at.losing, level=at.losing_level(rule.level), quantity=rule.quantity),)
    assert isinstance(rule, TakeProfit)
    level = at.winning_level(rule.level)
    return (Leg(number=1, way=at.winning, level=level, quantity=rule.quantity, what="target"),)


def split(size: Decimal, parts: Sequence[tuple[Decimal | None, Decimal | None]], lot: Decimal) -> list[Decimal]:
    """Share a size out to rungs of (quantity, fraction), each in whole lots; the last takes whatever is left.

    Raises
    ------
    UsageError
        The rungs before the last take all of it, or more; or one of them is less than a lot.
    """
    unit, shares, left = lot or Decimal(1), [], size
    for number, (quantity, fraction) in enumerate(parts[:-1], 1):
        asked = quantity if quantity is not None else size * (fraction or ZERO)
        share = asked if not lot and quantity is not None else asked // unit * unit
        if share <= 0:
            raise UsageError(f"rung {number} takes {asked} of {size}: less than a lot of {unit}", remedy="use fewer")
        shares.append(share)
        left -= share
    if left <= 0:
        raise UsageError(
            f"the rungs before the last take {size - left} of {size}",
            kind=ErrorKind.INVALID_QUANTITY,
            remedy="leave something for the last: it takes the rest",
        )
    return [*shares, left]


class _At:
    """Where levels lie for one position."""

    def __init__(self, rule: PriceRule, side: Side, instrument: Instrument, reference: Decimal | None) -> None:
        self._name = f"{rule.kind} of {instrument.instrument_id}"
        self._long = side is Side.SELL
        self.tick = instrument.tick_size
        self.lot = instrument.lot_size
        self._reference = reference
        self.losing: Way = "below" if self._long else "above"
        self.winning: Way = "above" if self._long else "below"

    def wrong(self, what: str, remedy: str) -> UsageError:
        return UsageError(f"{self._name}: {what}", remedy=f"{remedy}; nothing was armed")

    def losing_level(self, level: Level) -> Decimal:
        return self._level(level, -1 if self._long else 1)

    def winning_level(self, level: Level) -> Decimal:
        return self._level(level, 1 if self._long else -1)

    def winning_by(self, away: Decimal) -> Decimal:
        return self._place(away, 1 if self._long else -1)

    def distance(self, level: Level) -> tuple[Decimal, bool]:
        """Return a trailing distance, and whether it is percent."""
        given = self._one(level)
        if level.percent is not None and given >= _HUNDRED:
            raise self.wrong(f"a distance of {given} percent", "give less than 100")
        return (given * self._tick(), False) if level.ticks is not None else (given, level.percent is not None)

    def below(self, price: Decimal, trail: Decimal, percent: bool) -> Decimal:
        """Return where a trailing level should lie that has just seen its best price."""
        away = max(price * trail / _HUNDRED if percent else trail, self.tick)
        return price - away if self._long else price + away

    @property
    def trailing(self) -> Way:
        return "trail_below" if self._long else "trail_above"

    def _level(self, level: Level, sign: int) -> Decimal:
        given = self._one(level)
        if level.price is not None:
            return given
        if level.ticks is not None:
            return self._place(given * self._tick(), sign)
        if self._reference is None:
            raise self._no_reference()
        return self._place(self._reference * given / _HUNDRED, sign)

    def _place(self, away: Decimal, sign: int) -> Decimal:
        if self._reference is None:
            raise self._no_reference()
        level = self._reference + sign * away
        if self.tick:
            # To the side on which the price reaches it earlier.
            level = on_tick(level, self.tick, down=sign > 0)
        if level <= 0:
            raise self.wrong(f"{away} away from {self._reference} is no price", "give less")
        return level

    def _one(self, level: Level) -> Decimal:
        given = [value for value in (level.price, level.percent, level.ticks) if value is not None]
        if len(given) != 1 or not Decimal(given[0]).is_finite() or not 0 < given[0] <= _MOST:
            raise self.wrong(
                f"a level of price {level.price}, percent {level.percent}, ticks {level.ticks}",
                "give exactly one of the three, above 0 and what any market counts",
            )
        return Decimal(given[0])

    def _tick(self) -> Decimal:
        if not self.tick:
            raise self.wrong("the broker gives no tick size", "say it as a price or in percent")
        return self.tick

    def _no_reference(self) -> UsageError:
        return self.wrong("nothing says what it counts from", "give reference=, or a price")


def _trailing(
    number: int, distance: Level, start: Decimal | None, last: Decimal | None, at: _At, quantity: Decimal | None
) -> Leg:
    trail, percent = at.distance(distance)
    seen = None
    if start is None:
        if last is None:
            raise at.wrong("there is no price yet to trail from", "give start=")
        start = at.below(last, trail, percent)
        seen = last
    step = at.tick or None
    terms: dict[str, Any] = {"trail": trail, "percent": percent, "step": step, "seen": seen}
    leg = Leg(number=number, way=at.trailing, level=start, quantity=quantity, **terms)
    leg = replace(leg, level=leg.on_step(start))
    if leg.level <= 0:
        raise at.wrong(f"it would begin at {leg.level}", "give a smaller distance")
    return leg


def _ladder(rule: ScaleOut, at: _At, size: Decimal) -> tuple[Leg, ...]:
    if not rule.rungs:
        raise at.wrong("it has no rungs", "give rungs=(Rung(...), ...)")
    for number, rung in enumerate(rule.rungs, 1):
        _check_rung(rung, number, at, last=number == len(rule.rungs))
    total = sum((one.fraction for one in rule.rungs if one.fraction is not None), ZERO)
    if total > 1:
        raise at.wrong(f"fractions add up to {total}", "they may take 1 in all")
    levels = []
    for rung in rule.rungs:
        if rung.level is not None:
            levels.append(at.winning_level(rung.level))
            continue
        if rule.risk is None or rule.risk <= 0 or rung.r is None or rung.r <= 0:
            raise at.wrong(f"a rung at {rung.r} R, and R is {rule.risk}", "give risk= and r= above 0")
        levels.append(at.winning_by(rung.r * rule.risk))
    rising = at.winning == "above"
    if sorted(set(levels), reverse=not rising) != levels:
        raise at.wrong(f"rungs at {', '.join(map(str, levels))}", "give the nearest first, each once")
    shares = split(size, [(one.quantity, one.fraction) for one in rule.rungs], at.lot)
    return tuple(
        Leg(number=number, way=at.winning, level=level, quantity=share, what=f"rung {number}")
        for number, (level, share) in enumerate(zip(levels, shares, strict=True), 1)
    )


def _check_rung(rung: Rung, number: int, at: _At, *, last: bool) -> None:
    if (rung.level is None) is (rung.r is None):
        raise at.wrong(f"rung {number} has level {rung.level} and r {rung.r}", "give one of them")
    if rung.quantity is not None and rung.fraction is not None:
        raise at.wrong(f"rung {number} has a quantity and a fraction", "give one of them")
    if rung.quantity is None and rung.fraction is None and not last:
        raise at.wrong(f"rung {number} says not how much", "give quantity= or fraction=; only the last takes the rest")
    if rung.fraction is not None and not 0 < rung.fraction <= 1:
        raise at.wrong(f"rung {number} takes a fraction of {rung.fraction}", "give more than 0, at most 1")
    if rung.quantity is not None and (rung.quantity <= 0 or (at.lot and rung.quantity % at.lot)):
        raise at.wrong(f"rung {number} takes {rung.quantity}", f"give a multiple of {at.lot}")
