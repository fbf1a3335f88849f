"""Who an account belongs to and what it may trade, as the broker says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dragoman.model.enums import OrderType, Product


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The account holder and what the account is enabled for.

    Attributes
    ----------
    exchanges : tuple of str
        Segments enabled, in the broker's words.
    products, order_types
        Those with a unified name; the broker's own list is in `raw`.
    """

    account_id: str
    broker: str = ""
    name: str = ""
    short_name: str = ""
    email: str = ""
    type: str = ""
    exchanges: tuple[str, ...] = ()
    products: tuple[Product, ...] = ()
    order_types: tuple[OrderType, ...] = ()
    raw: Any = field(default=None, compare=False, repr=False)
