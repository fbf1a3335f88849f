"""Adjustments: what each kind needs."""

from __future__ import annotations

from typing import Final

from dragoman.errors import ErrorKind, UsageError
from dragoman.model import Adjustment, AdjustmentKind

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
    if one.numerator <= 0 or one.denominator <= 0:
        given = f"{one.numerator}:{one.denominator}"
        raise _wrong(f"{one.kind} of {one.instrument_id}: {given} is no ratio", "give two positive numbers")


def _wrong(what: str, remedy: str) -> UsageError:
    return UsageError(what, kind=ErrorKind.BAD_REQUEST, remedy=remedy)
