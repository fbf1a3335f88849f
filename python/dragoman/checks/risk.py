"""The limits an account trades under, as its owner set them. All are optional; one that is not set checks nothing.

In the profiles file they stand in a table of the profile::

    [examplebroker.main.risk]
    max_order_value = 500000
    max_order_quantity = 5000
    quantity_by_instrument = { "NFO:" = 1800, "NSE:INFY" = 1000 }
    price_band_percent = 5
    restricted = ["MCX:", "NSE:IDEA"]
    orders_per_second = 5
    max_daily_loss = 25000
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

from dragoman.checks.constructors import checked
from dragoman.checks.nearest import nearest
from dragoman.errors import UsageError

Unknown = Literal["refuse", "pass"]
_NUMBERS: Final = (
    "max_order_value",
    "max_order_quantity",
    "price_band_percent",
    "max_exposure",
    "max_exposure_per_instrument",
    "max_exposure_per_underlying",
    "max_position",
    "max_daily_loss",
)
_COUNTS: Final = ("max_open_orders", "max_open_orders_per_instrument", "orders_per_second", "orders_per_minute")
_MAPS: Final = ("quantity_by_instrument", "position_by_instrument")
_FLAGS: Final = ("check_margin", "market_hours", "loss_after_charges")
_MOST: Final = 100_000


@checked({}, read=False)
@dataclass(frozen=True, slots=True, kw_only=True)
class RiskLimits:
    """What an order is refused for before a byte of it is sent.

    Numbers may be given as ints, text or `Decimal`; a float counts as the shortest decimal that prints it. Patterns are
    the beginnings of canonical ids: ``NSE:`` is all of an exchange, ``NSE:INFY`` that instrument and any whose id
    begins so; of several that fit the longest counts. An order that can only make a position of its product smaller
    passes `max_position`, `position_by_instrument`, the exposures, `max_daily_loss` and `check_margin`.

    Attributes
    ----------
    max_order_value : Decimal, optional
        Price x quantity x multiplier, in the instrument's currency. Without a price of its own an order counts at the
        last price.
    max_order_quantity : Decimal, optional
        Units of the thing priced.
    quantity_by_instrument : mapping of str to Decimal
        The same by pattern, instead of `max_order_quantity`.
    price_band_percent : Decimal, optional
        How far a price, or the trigger of a stop, may lie from the last price, on either side.
    max_open_orders, max_open_orders_per_instrument : int, optional
        Orders that work, are on their way, or of which nobody knows whether they are live, the new one included.
    max_position : Decimal, optional
        The largest absolute position in one instrument, if all its working orders filled; in units.
    position_by_instrument : mapping of str to Decimal
        The same by pattern, instead of `max_position`.
    max_exposure, max_exposure_per_instrument, max_exposure_per_underlying : Decimal, optional
        The largest value of positions in the account, an instrument, an underlying, whatever their side, if all working
        orders of the worse side filled. Instruments are counted at the price known when they last changed; without a
        stream at the highest of what their orders and positions tell.
    duplicate_window_ms : int, optional
        An order with the terms of another one is refused for so long after it.
    restricted : tuple of str
        Patterns that may not be traded.
    allowed : tuple of str, optional
        Where given, only these may be.
    orders_per_second, orders_per_minute : int, optional
        New orders of this process, in any second and minute.
    max_daily_loss : Decimal, optional
        The day's loss in any currency, from which on nothing is opened any more; what was carried over counts from the
        previous close on.
    loss_after_charges : bool
        Whether that loss includes the day's charges, as far as they are known.
    check_margin : bool
        Whether the margin an order needs must be there.
    market_hours : bool
        Whether the exchange must be open.
    when_unknown : {"refuse", "pass"}
        What becomes of an order when a check lacks what it needs: a price, a position, a margin.
    """

    max_order_value: Decimal | None = None
    max_order_quantity: Decimal | None = None
    quantity_by_instrument: Mapping[str, Decimal] = field(default_factory=dict)
    price_band_percent: Decimal | None = None
    max_open_orders: int | None = None
    max_open_orders_per_instrument: int | None = None
    max_position: Decimal | None = None
    position_by_instrument: Mapping[str, Decimal] = field(default_factory=dict)
    max_exposure: Decimal | None = None
    max_exposure_per_instrument: Decimal | None = None
    max_exposure_per_underlying: Decimal | None = None
    duplicate_window_ms: int | None = None
    restricted: tuple[str, ...] = ()
    allowed: tuple[str, ...] | None = None
    orders_per_second: int | None = None
    orders_per_minute: int | None = None
    max_daily_loss: Decimal | None = None
    loss_after_charges: bool = True
    check_margin: bool = False
    market_hours: bool = False
    when_unknown: Unknown = "refuse"

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        for name in _NUMBERS:
            if getattr(self, name) is not None:
                put(name, _number(name, getattr(self, name)))
        for name in _COUNTS:
            if getattr(self, name) is not None:
                _count(name, getattr(self, name), _MOST)
        if self.duplicate_window_ms is not None:
            _count("duplicate_window_ms", self.duplicate_window_ms, 86_400_000)
        for name in _MAPS:
            given = getattr(self, name)
            if not isinstance(given, Mapping):
                raise _wrong(name, given, "a table of patterns and numbers")
            put(name, MappingProxyType({_pattern(name, key): _number(name, value) for key, value in given.items()}))
        put("restricted", _patterns("restricted", self.restricted))
        if self.allowed is not None:
            put("allowed", _patterns("allowed", self.allowed))
        for name in _FLAGS:
            if not isinstance(getattr(self, name), bool):
                raise _wrong(name, getattr(self, name), "true or false")
        if self.when_unknown not in ("refuse", "pass"):
            near = nearest(self.when_unknown, get_args(Unknown))
            raise _wrong("when_unknown", self.when_unknown, '"refuse" or "pass"', near)

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> RiskLimits:
        """Return the limits of a profile's table.

        Raises
        ------
        UsageError
            Names the field, what was found and what was expected.
        """
        known = [one.name for one in fields(cls)]
        unknown = sorted(set(map(str, table)) - set(known))
        if unknown:
            raise UsageError(
                f"risk: unknown limits {', '.join(unknown)}",
                remedy=f"{nearest(unknown[0], known)}known are {', '.join(known)}",
            )
        return cls(**table)

    @property
    def empty(self) -> bool:
        """Whether nothing is limited."""
        return replace(self, when_unknown="refuse", loss_after_charges=True) == RiskLimits()


def longest(patterns: Mapping[str, Decimal], instrument_id: str) -> Decimal | None:
    """Return the value of the longest pattern an id begins with; None where none fits."""
    found, length = None, -1
    for pattern, value in patterns.items():
        if len(pattern) > length and instrument_id.startswith(pattern):
            found, length = value, len(pattern)
    return found


def _number(name: str, value: Any) -> Decimal:
    try:
        if isinstance(value, bool):
            raise TypeError
        number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    except (TypeError, ValueError, InvalidOperation):
        raise _wrong(name, value, "a number above 0") from None
    if not number.is_finite() or number <= 0 or abs(number.adjusted()) > 15:
        raise _wrong(name, value, "a number above 0")
    return number


def _count(name: str, value: Any, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
        raise _wrong(name, value, f"a whole number from 1 to {most}")


def _pattern(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _wrong(name, value, 'the beginning of a canonical id, such as "NSE:"')
    return value.strip()


def _patterns(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, (str, Mapping)) or not hasattr(value, "__iter__"):
        raise _wrong(name, value, "a list of the beginnings of canonical ids")
    return tuple(_pattern(name, one) for one in value)


def _wrong(name: str, value: Any, expected: str, near: str = "") -> UsageError:
    return UsageError(
        f"risk: {name} is {value!r:.60}, expected {expected}", remedy=f"{near}correct it, or leave it out"
    )
