"""Exact numbers inside, decimals at the edge.

Quantities and prices come in as `Decimal` and are counted as whole numbers or fractions: no sum, product or average
loses anything. `Decimal` is made only where somebody looks, and only there is rounded: half to even, prices at
`PRICE_PLACES` and money at `MONEY_PLACES` digits after the point, quantities never.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Final

Exact = int | Fraction

PRICE_PLACES: Final = 12
MONEY_PLACES: Final = 8
QUANTITY_PLACES: Final = 18
COST_PLACES: Final = 60
COST_BITS: Final = 512


def exact(value: Decimal | int) -> Exact:
    """Return a decimal as a number that loses nothing: whole where it is whole."""
    if isinstance(value, int):
        return value
    numerator, denominator = value.as_integer_ratio()
    return numerator if denominator == 1 else Fraction(numerator, denominator)


def size(value: Exact) -> Exact:
    """Return `value` without its sign."""
    return value if value >= 0 else -value


def ratio(part: Exact, whole: Exact) -> Exact:
    """Divide exactly."""
    found = Fraction(part, whole)
    return found.numerator if found.denominator == 1 else found


def bounded(value: Exact) -> Exact:
    """Return what a position cost, with at most `COST_PLACES` digits after the point once its fraction has become long.

    Each sale out of a position that is never flat puts another factor into the denominator of the average: after a
    year of them it would have a million digits. From `COST_BITS` bits on it is rounded, by less than 10^-60; no number
    that is shown has more than 12 digits after the point.
    """
    if isinstance(value, int) or value.denominator.bit_length() <= COST_BITS:
        return value
    return ratio(round(value * 10**COST_PLACES), 10**COST_PLACES)


def total(values: Iterable[Exact]) -> Exact:
    """Add up."""
    return sum(values, 0)


def rounded(value: Exact, places: int) -> Decimal:
    """Return the shortest decimal of `value`, rounded half to even at `places` digits after the point."""
    if isinstance(value, int):
        return Decimal(value)
    scaled = round(value * 10**places)
    while places and scaled % 10 == 0:
        scaled, places = scaled // 10, places - 1
    return Decimal(f"{scaled}E-{places}") if places else Decimal(scaled)


def money(value: Exact) -> Decimal:
    """Return an amount of money for showing."""
    return rounded(value, MONEY_PLACES)


def price(value: Exact) -> Decimal:
    """Return a price for showing."""
    return rounded(value, PRICE_PLACES)


def quantity(value: Exact) -> Decimal:
    """Return a quantity, which is never rounded.

    Raises
    ------
    ValueError
        It has no finite decimal of `QUANTITY_PLACES` digits.
    """
    found = rounded(value, QUANTITY_PLACES)
    if found.as_integer_ratio() != value.as_integer_ratio():
        raise ValueError(f"quantity {value} has more than {QUANTITY_PLACES} digits after the point")
    return found


def has_digits(value: Exact) -> bool:
    """Whether `value` can be a quantity: a decimal of at most `QUANTITY_PLACES` digits after the point."""
    return (value * 10**QUANTITY_PLACES).denominator == 1
