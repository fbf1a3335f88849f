"""What a broker's margin figures count, where brokers differ."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MarginTerms:
    """How to read an account's `Margin`.

    Attributes
    ----------
    profit_in_used : bool
        The day's profit lowers `used.total`, and its loss raises it, so that it adds up to the funds with `net`.
    delivery_margined : bool
        DELIVERY is the only product: what is bought or sold short in it is a position with a margin of its own, not a
        purchase that is paid in full or a sale out of holdings.
    """

    profit_in_used: bool = False
    delivery_margined: bool = False
