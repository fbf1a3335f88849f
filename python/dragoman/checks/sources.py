"""What the checks of an order go by: what it would be, and where they learn what they compare with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from dragoman.model import Instrument, OrderRequest, Product

_ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the checks learn what they compare with. Each must answer at once; None says that it is not known.

    Attributes
    ----------
    mono_ns : callable
    price : callable
        The last price of an instrument.
    profit : callable
        The day's profit: what was carried over counts from the previous close on. A loss is below 0.
    profit_lacks : callable
        Where the profit is not known, what is not, in words.
    margin : callable
        What a request needs and what is there, as two numbers. Where it is enough, it is taken.
    give_back : callable
        Told the name of an order that never left: the margin that was taken for it is there again.
    open_for_s : callable
        For how long an instrument's exchange has been open; None while it is closed.
    knows_day : callable
        Whether it is known at all if that exchange trades today.
    positions : callable
        Whether positions are known at all.
    """

    mono_ns: Callable[[], int]
    price: Callable[[Instrument], Decimal | None] = lambda instrument: None
    profit: Callable[[], Decimal | None] = lambda: None
    profit_lacks: Callable[[], str] = lambda: "the day's profit"
    margin: Callable[[OrderRequest, Instrument], tuple[Decimal, Decimal] | None] = lambda request, instrument: None
    give_back: Callable[[str], object] = lambda name: None
    open_for_s: Callable[[Instrument], float | None] = lambda instrument: 0.0
    knows_day: Callable[[Instrument], bool] = lambda instrument: True
    positions: Callable[[], bool] = lambda: True


@dataclass(slots=True)  # not frozen: it is made for every order, and lives as long as its check
class Terms:
    """What an order, or a changed one, would be."""

    instrument: Instrument
    buys: bool
    quantity: Decimal
    price: Decimal | None
    trigger: Decimal | None
    product: Product
    position_side: str
    notional: Decimal | None = None
    instead_of: Decimal = _ZERO  # units of the same order that are counted as working already
    money: Decimal = _ZERO  # what it is for, where nobody knows how many units that is
