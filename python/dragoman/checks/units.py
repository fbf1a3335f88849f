"""Units of the thing priced on our side, whatever the broker counts on the wire: converted here and nowhere else.

A segment whose unit the broker's documents leave open refuses orders until the profile's settings name it
(``quantity_unit = {MCX = "LOTS"}``): a wrong guess would be an order many times too large. What such a segment reports
is then passed on as the wire has it, marked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeVar

from dragoman.errors import ErrorKind, UsageError
from dragoman.model import Fill, Instrument, Order, OrderChange, OrderRequest, Position, QuantityUnit
from dragoman.plugin import Adapter

R = TypeVar("R", Order, Fill, Position)

_QUANTITIES: dict[type, tuple[str, ...]] = {
    OrderRequest: ("quantity", "display_quantity"),
    OrderChange: ("quantity", "display_quantity"),
    Order: (
        "quantity",
        "display_quantity",
        "filled_quantity",
        "remaining_quantity",
        "canceled_quantity",
        "last_quantity",
    ),
    Fill: ("quantity",),
    Position: (
        "quantity",
        "overnight_quantity",
        "buy_quantity",
        "sell_quantity",
        "day_buy_quantity",
        "day_sell_quantity",
    ),
}


class WireUnits:
    """Quantities of one account, both ways.

    Parameters
    ----------
    adapter : Adapter
    settings : mapping
        The profile's; its ``quantity_unit`` table settles what the adapter marks UNVERIFIED, and only that.

    Attributes
    ----------
    same : frozenset of str
        Segments whose quantities are units on the wire, too: there `to_wire` returns what it is given.
    unconverted : dict of str to int
        Reports by segment whose quantities stayed as the wire has them.
    """

    def __init__(self, adapter: Adapter, settings: Mapping[str, Any]) -> None:
        self._broker = adapter.name
        self.unconverted: dict[str, int] = {}
        self._units = dict(adapter.capabilities.quantity_unit)
        given = settings.get("quantity_unit", {})
        if not isinstance(given, Mapping):
            raise UsageError(
                f"{self._broker}: settings.quantity_unit is {given!r}, expected a table of segments",
                remedy='write quantity_unit = {SEGMENT = "LOTS"}',
            )
        for segment, word in given.items():
            if self._units.get(segment) is not QuantityUnit.UNVERIFIED:
                raise UsageError(
                    f"{self._broker}: quantity_unit of {segment} is not open: it is {self._units.get(segment)}",
                    remedy="remove it from the profile's settings",
                )
            if word not in (QuantityUnit.UNITS, QuantityUnit.LOTS):
                raise UsageError(f"{self._broker}: quantity_unit of {segment} is {word!r}, expected UNITS or LOTS")
            self._units[segment] = QuantityUnit(word)
        self.same = frozenset(segment for segment, unit in self._units.items() if unit is QuantityUnit.UNITS)

    def unit(self, instrument: Instrument) -> QuantityUnit:
        return self._units.get(instrument.exchange, QuantityUnit.UNVERIFIED)

    def to_wire(self, value: OrderRequest, instrument: Instrument) -> OrderRequest:
        """Return the request with quantities as the broker counts them.

        Raises
        ------
        UsageError
            Where the unit is unverified, or the conversion would not be exact.
        """
        if instrument.exchange in self.same:
            return value
        return _scaled(value, self._divisor(instrument), divide=True)

    def change_to_wire(self, value: OrderChange, instrument: Instrument) -> OrderChange:
        """As `to_wire`, for a change."""
        return _scaled(value, self._divisor(instrument), divide=True)

    def from_wire(self, value: R, instrument: Instrument | None) -> R:
        """Return what the broker reported, in units; as it came, and marked so, where that cannot be.

        A report is never dropped for it: an order that is not seen is worse than one whose quantity reads
        ``quantity_unit=LOTS`` (its instrument is missing from the master) or ``UNVERIFIED`` (nobody has said what the
        segment counts). `unconverted` counts them by segment.
        """
        segment = instrument.exchange if instrument else value.instrument_id.partition(":")[0]
        unit = self._units.get(segment, QuantityUnit.UNVERIFIED)
        if unit is QuantityUnit.UNITS:
            return value
        if unit is QuantityUnit.LOTS and instrument is not None and instrument.lot_size:
            return _scaled(value, instrument.lot_size, divide=False)
        self.unconverted[segment] = self.unconverted.get(segment, 0) + 1
        return replace(value, quantity_unit=unit)

    def _divisor(self, instrument: Instrument) -> Decimal:
        match self.unit(instrument):
            case QuantityUnit.UNITS:
                return Decimal(1)
            case QuantityUnit.LOTS if instrument.lot_size > 0:
                return instrument.lot_size
            case QuantityUnit.LOTS:
                raise UsageError(
                    f"{self._broker}: {instrument.instrument_id} has no lot size, and its quantities count lots",
                    kind=ErrorKind.NOT_SUPPORTED,
                    broker=self._broker,
                )
        segment = instrument.exchange
        raise UsageError(
            f"{self._broker}: it is not verified whether {segment} quantities count units or lots on the wire",
            kind=ErrorKind.NOT_SUPPORTED,
            broker=self._broker,
            remedy=f"ask the broker, then set settings.quantity_unit.{segment} to UNITS or LOTS in the profile",
        )


V = TypeVar("V", OrderRequest, OrderChange, Order, Fill, Position)


def _scaled(value: V, lot: Decimal, *, divide: bool) -> V:
    if lot == 1:
        return value
    changes: dict[str, Any] = {}
    for name in _QUANTITIES[type(value)]:
        quantity = getattr(value, name)
        if quantity is None:
            continue
        if divide and quantity % lot:
            raise UsageError(
                f"{name} {quantity} is not a whole number of lots of {lot}", kind=ErrorKind.INVALID_QUANTITY
            )
        changes[name] = quantity // lot if divide else quantity * lot
    if isinstance(value, Position):
        # The broker's multiplier counts from its own quantity to money; what the lot explains is no longer in it.
        changes["multiplier"] = value.multiplier / lot
    return replace(value, **changes)
