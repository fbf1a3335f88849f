"""Adjustments and conversions: what each kind needs, and which were told already."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, Literal

from dragoman.errors import ErrorKind, UsageError
from dragoman.model import Adjustment, AdjustmentKind, Position, Product
from dragoman.portfolio.money import exact, ratio

_K = AdjustmentKind
_NEEDS: Final = {
    _K.SPLIT: (),
    _K.BONUS: (),
    _K.DIVIDEND: ("price",),
    _K.EXPIRY: (),
    _K.ASSIGNMENT: ("product", "quantity"),
    _K.TRANSFER_IN: ("product", "quantity"),
    _K.TRANSFER_OUT: ("product", "quantity"),
    _K.EXTERNAL: ("product", "quantity", "price"),
}
SCALING: Final = (_K.SPLIT, _K.BONUS)
"""What multiplies positions: once too often where the broker has done so already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """Units of a position that were moved to another product at what they cost.

    Attributes
    ----------
    conversion_id : str
        Unique: one told twice counts once.
    quantity : Decimal
        Signed as the position.
    overnight : bool
        What was carried over was converted, not what was traded today.
    ts_event : int
        ns UTC.
    """

    conversion_id: str
    instrument_id: str
    product: Product
    to_product: Product
    quantity: Decimal
    overnight: bool
    ts_event: int
    position_side: Literal["NET", "LONG", "SHORT"] = "NET"


class Told:
    """The adjustments and conversions that a book was told."""

    def __init__(self) -> None:
        self._adjustments: dict[str, Adjustment] = {}
        self._conversions: set[str] = set()
        self._number = 0

    def number(self) -> str:
        """Return a name for a conversion that was given none."""
        self._number += 1
        return f"{self._number:09d}"

    def adjusted(self, one: Adjustment) -> bool:
        """Whether an adjustment was told before; who said so may have been worded otherwise.

        Raises
        ------
        UsageError
            Its id names another one.
        """
        before = self._adjustments.get(one.adjustment_id)
        if before is None:
            return False
        if replace(before, source="") != replace(one, source=""):
            raise _wrong(
                f"adjustment {one.adjustment_id} was another one: {before!r}", "give each adjustment an id of its own"
            )
        return True

    def adjust(self, one: Adjustment) -> None:
        """Remember an adjustment."""
        self._adjustments[one.adjustment_id] = one

    def convert(self, one: Converted) -> bool:
        """Remember a conversion; False where it was told before."""
        if one.conversion_id in self._conversions:
            return False
        self._conversions.add(one.conversion_id)
        return True


def check_adjustment(one: Adjustment) -> None:
    """Refuse an adjustment that does not say what its kind needs.

    Raises
    ------
    UsageError
    """
    if not isinstance(one, Adjustment):
        raise _wrong(f"{one!r} is no Adjustment", "import it from dragoman.model")
    if not one.adjustment_id:
        raise _wrong("adjustment_id is empty", "give an id: the same adjustment twice counts once")
    for name in _NEEDS[one.kind]:
        if getattr(one, name) is None:
            raise _wrong(f"{one.kind} of {one.instrument_id} has no {name}", f"say {name}")
    if one.quantity is not None and not one.quantity:
        raise _wrong(f"{one.kind} of {one.instrument_id}: quantity is 0", "give signed units")
    if one.price is not None and one.price < 0:
        raise _wrong(f"{one.kind} of {one.instrument_id}: price {one.price} is below 0", "give what a unit is worth")
    if one.as_of is not None and one.as_of < one.ts_event:
        raise _wrong(
            f"{one.kind} of {one.instrument_id}: they have it as of {one.as_of}, before it counts: {one.ts_event}",
            "say from when on the broker's positions have it, at ts_event or later",
        )
    if one.numerator <= 0 or one.denominator <= 0:
        given = f"{one.numerator}:{one.denominator}"
        raise _wrong(f"{one.kind} of {one.instrument_id}: {given} is no ratio", "give two positive numbers")


def in_opening(one: Adjustment, read: int | None) -> bool:
    """Whether positions that were read at `read` (ns UTC; None: not at all) have a split or bonus in them already.

    Raises
    ------
    UsageError
        They were read when it had taken effect, and nobody says whether the broker had followed by then.
    """
    if one.kind not in SCALING or read is None or one.ts_event > read:
        return False
    if one.as_of is None:
        raise _wrong(
            f"{one.kind} of {one.instrument_id} counts from {one.ts_event}, and the broker's positions were read at "
            f"{read}, after that: whether they have it already is not known",
            "say as_of: from when on the broker's positions have it (before that they are multiplied here)",
        )
    return one.as_of <= read


def followed_by_net_alone(one: Adjustment, position: Position) -> bool:
    """Whether a broker multiplied a position's net by a split or bonus, and not what it says it began the day with."""
    if position.day_buy_quantity is None or position.day_sell_quantity is None or not position.overnight_quantity:
        return False
    traded = exact(position.day_buy_quantity) - exact(position.day_sell_quantity)
    carried, net = exact(position.overnight_quantity), exact(position.quantity)
    factor = ratio(exact(one.numerator), exact(one.denominator)) + (one.kind is _K.BONUS)
    return carried + traded != net == carried * factor + traded


def _wrong(what: str, remedy: str) -> UsageError:
    return UsageError(what, kind=ErrorKind.BAD_REQUEST, remedy=remedy)
