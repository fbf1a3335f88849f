"""Positions as the sum of fills, exactly, and where the broker says something else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from dragoman.model import Fill, Position, Product

ZERO = Decimal(0)
PositionKey = tuple[str, Product, Literal["NET", "LONG", "SHORT"]]
"""Instrument, product, and the side where an account keeps both sides of an instrument apart (else NET)."""


@dataclass(slots=True)
class NetPosition:
    """Running sums of one instrument and product. Values are price x quantity: times the multiplier they are money."""

    instrument_id: str
    product: Product
    position_side: Literal["NET", "LONG", "SHORT"] = "NET"
    opening_quantity: Decimal = ZERO
    buy_quantity: Decimal = ZERO
    buy_value: Decimal = ZERO
    sell_quantity: Decimal = ZERO
    sell_value: Decimal = ZERO

    @property
    def quantity(self) -> Decimal:
        return self.opening_quantity + self.buy_quantity - self.sell_quantity

    @property
    def day_cash(self) -> Decimal:
        """What the day's trading took in (+) or paid out (-), as a value."""
        return self.sell_value - self.buy_value


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """The broker's position and the sum of fills differ. Neither is overwritten by the other."""

    instrument_id: str
    product: Product
    position_side: str
    field: str
    ours: Decimal
    broker: Decimal


def net_positions(
    fills: Iterable[Fill], opening: Mapping[PositionKey, Decimal] | None = None
) -> dict[PositionKey, NetPosition]:
    """Sum fills by position, from opening quantities."""
    nets = {key: NetPosition(*key, opening_quantity=quantity) for key, quantity in (opening or {}).items()}
    for fill in fills:
        key = (fill.instrument_id, fill.product, fill.position_side)
        net = nets.setdefault(key, NetPosition(*key))
        if fill.side == "BUY":
            net.buy_quantity += fill.quantity
            net.buy_value += fill.quantity * fill.price
        else:
            net.sell_quantity += fill.quantity
            net.sell_value += fill.quantity * fill.price
    return nets


def compare(positions: Iterable[Position], nets: Mapping[PositionKey, NetPosition]) -> list[Discrepancy]:
    """Return where the broker's positions and the sums of fills differ, in net or day quantities.

    Notes
    -----
    Overnight quantities are the broker's: what is compared is the day's own buying and selling, and that overnight plus
    day is the net the broker shows. Day quantities the broker does not tell (None) are not compared.
    """
    found: list[Discrepancy] = []
    seen: set[PositionKey] = set()
    for position in positions:
        key: PositionKey = (position.instrument_id, position.product, position.position_side)
        seen.add(key)
        net = nets.get(key) or NetPosition(*key)
        pairs = (
            ("day_buy_quantity", net.buy_quantity, position.day_buy_quantity),
            ("day_sell_quantity", net.sell_quantity, position.day_sell_quantity),
            ("quantity", position.overnight_quantity + net.buy_quantity - net.sell_quantity, position.quantity),
        )
        found += [
            Discrepancy(*key, name, ours, theirs)
            for name, ours, theirs in pairs
            if theirs is not None and ours != theirs
        ]
    for key, net in nets.items():
        if key not in seen and net.quantity:  # brokers may leave out what was closed within the day
            found.append(Discrepancy(*key, "quantity", net.quantity, ZERO))
    return found
