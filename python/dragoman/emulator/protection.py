"""How far a market order may move before it stops: the percent a client gives, or the broker's own by price."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from dragoman.emulator.forms import FieldError, Form

Bands = Sequence[tuple[Decimal | None, Decimal]]
"""(prices below this, percent), in order; None stands for the rest."""


def automatic(price: Decimal, bands: Bands) -> Decimal:
    """Return the broker's own percent at a price."""
    return next(percent for below, percent in bands if below is None or price < below)


def asked_protection(form: Form, name: str, price: Decimal, bands: Bands) -> Decimal:
    """Return the percent a form asks for in field `name`; -1 leaves it to the broker.

    Raises
    ------
    FieldError
        Where it is missing or 0, or none within 100 percent.
    """
    given = form.number(name, default=Decimal(0))
    if given == 0:
        raise FieldError(f"Orders at the market without `{name}` are not allowed.")
    if given == -1:
        return automatic(price, bands)
    if not 0 < given <= 100:
        raise FieldError(f"Invalid `{name}`. It should be -1, or above 0 up to 100.")
    return given
