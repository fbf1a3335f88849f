"""Rules about the whole account: what they take from which position, worked out from live positions and margins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_CEILING, Decimal
from typing import Final, TypeAlias

from dragoman.errors import UsageError
from dragoman.model import Instrument, LivePosition, Margin, Segment, Source
from dragoman.portfolio.net import PositionKey
from dragoman.rules.model import DailyLoss, MarginFloor

LARGEST_LOSER: Final = "largest_loser"
PRO_RATA: Final = "pro_rata"
ZERO: Final = Decimal(0)

Plan: TypeAlias = Callable[[Sequence[LivePosition], Margin], Mapping[PositionKey, Decimal]]
"""Takes the positions of a segment and its margin; returns how much is to be exited of which, in units above 0."""


def key_of(row: LivePosition) -> PositionKey:
    return (row.instrument_id, row.product, row.position_side)


def check_floor(rule: MarginFloor, plans: Mapping[str, Plan], margins: Mapping[Segment, Margin]) -> None:
    """Refuse a margin floor that cannot be; `margins` are those told so far.

    Raises
    ------
    UsageError
    """
    if (rule.below is None) is (rule.utilisation is None):
        raise UsageError("MarginFloor has below and utilisation, or none of them", remedy="give one; nothing was armed")
    if rule.utilisation is not None and not 0 < rule.utilisation <= 1:
        raise UsageError(f"utilisation is {rule.utilisation}", remedy="give more than 0, at most 1")
    if not 0 < rule.fraction <= 1:
        raise UsageError(f"fraction is {rule.fraction}", remedy="give more than 0, at most 1")
    if margins and rule.segment not in margins:
        raise UsageError(
            f"the broker tells no margin of segment {rule.segment}",
            remedy=f"use one of {', '.join(sorted(margins))}; nothing was armed",
        )
    if rule.by not in (LARGEST_LOSER, PRO_RATA, *plans):
        known = ", ".join((LARGEST_LOSER, PRO_RATA, *plans))
        raise UsageError(
            f"there is no plan {rule.by!r}", remedy=f"use one of {known}, or add yours with rules.plan(name, function)"
        )


def check_loss(rule: DailyLoss) -> None:
    """Refuse a daily limit that is none.

    Raises
    ------
    UsageError
    """
    if rule.limit <= 0:
        raise UsageError(f"DailyLoss of {rule.limit}", remedy="give the loss as a number above 0; nothing was armed")


def crossed(rule: MarginFloor, margin: Margin) -> str:
    """Return how a margin is beyond a floor, in words; empty where it is not, or the broker does not say."""
    if rule.below is not None:
        if margin.net is None or margin.net >= rule.below:
            return ""
        return f"usable margin of {margin.segment} is {margin.net}, below {rule.below}"
    found = margin.utilisation
    if found is None or rule.utilisation is None or found <= rule.utilisation:
        return ""
    return f"{found:.1%} of the margin of {margin.segment} is used, above {rule.utilisation:.1%}"


def doubtful(rule: MarginFloor, margin: Margin) -> bool:
    """Whether a projected margin may be off so far that it could lie on the other side of a floor."""
    bound = margin.error_bound
    if bound is None:
        return margin.source is Source.PROJECTED
    if rule.below is not None:
        return bool(bound) and margin.net is not None and abs(margin.net - rule.below) <= bound
    if rule.utilisation is None or margin.utilisation is None or not bound:
        return False
    whole = (margin.net or ZERO) + (margin.used.total or ZERO)
    return whole <= 0 or abs(margin.utilisation - rule.utilisation) <= bound / whole


def planned(
    rule: MarginFloor,
    rows: Sequence[LivePosition],
    margin: Margin,
    plans: Mapping[str, Plan],
    instrument_of: Callable[[str], Instrument],
) -> list[tuple[LivePosition, Decimal]]:
    """Return what a margin floor takes from which position, in whole lots, never more than there is.

    Parameters
    ----------
    rule : MarginFloor
    rows : sequence of LivePosition
        Those whose margin it is.
    margin : Margin
    plans : mapping of str to Plan
    instrument_of : callable

    Raises
    ------
    UsageError
        The rule names a plan that this process does not have.
    """
    held = [row for row in rows if row.quantity]
    if rule.by == LARGEST_LOSER:
        wanted = _largest_loser(held)
    elif rule.by == PRO_RATA:
        wanted = {key_of(row): abs(row.quantity) * rule.fraction for row in held}
    elif rule.by in plans:
        wanted = dict(plans[rule.by](held, margin))
    else:
        raise UsageError(f"plan {rule.by!r} is not known to this process", remedy="name it again with rules.plan()")
    found = []
    for row in held:
        quantity = wanted.get(key_of(row), ZERO)
        if quantity > 0:
            lot = instrument_of(row.instrument_id).lot_size or Decimal(1)
            # Upwards: a lot too much ends the shortage sooner than one too few.
            whole = (quantity / lot).to_integral_value(ROUND_CEILING) * lot
            found.append((row, min(whole, abs(row.quantity))))
    return found


def _largest_loser(rows: Sequence[LivePosition]) -> dict[PositionKey, Decimal]:
    """Return all of the position that has lost most; where no mark is known, of the largest by value."""
    known = [row for row in rows if row.unrealised_pnl is not None]
    if known:
        worst = min(known, key=lambda row: (row.unrealised_pnl or ZERO, row.instrument_id))
    elif rows:
        worst = max(rows, key=lambda row: (abs(row.value or ZERO), row.instrument_id))
    else:
        return {}
    return {key_of(worst): abs(worst.quantity)}
