"""The broker's positions beside ours: every difference with both sides, nothing overwritten."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from dragoman.model import LivePosition, Position
from dragoman.portfolio.money import exact, size
from dragoman.portfolio.net import Discrepancy, PositionKey

_CENT = Decimal("0.01")


def differences(positions: Iterable[Position], rows: Iterable[LivePosition]) -> list[Discrepancy]:
    """Return where two views of the same account differ.

    Quantities must be equal. Average prices and realised profits may differ by one unit of the broker's last digit, of
    two digits at least, for brokers round; and they are right where they are right first in first out or at average
    cost, for brokers count either way. What one side does not know is not compared, neither is what the broker leaves
    out because it is flat.
    """
    ours = {(one.instrument_id, one.product, one.position_side): one for one in rows}
    found: list[Discrepancy] = []
    seen: set[PositionKey] = set()
    for theirs in positions:
        key: PositionKey = (theirs.instrument_id, theirs.product, theirs.position_side)
        seen.add(key)
        mine = ours.get(key) or LivePosition(
            instrument_id=key[0], product=key[1], position_side=key[2], quantity=Decimal(0)
        )
        pairs = (
            ("day_buy_quantity", mine.day_buy_quantity, theirs.day_buy_quantity),
            ("day_sell_quantity", mine.day_sell_quantity, theirs.day_sell_quantity),
            ("quantity", mine.quantity, theirs.quantity),
        )
        wrong = [Discrepancy(*key, name, one, two) for name, one, two in pairs if two is not None and one != two]
        if not wrong:
            wrong = _money(key, mine, theirs)
        found += wrong
    found += [
        Discrepancy(*key, "quantity", one.quantity, Decimal(0))
        for key, one in ours.items()
        if key not in seen and one.quantity
    ]
    return found


def _money(key: PositionKey, mine: LivePosition, theirs: Position) -> list[Discrepancy]:
    found = []
    if theirs.quantity and theirs.average_price is not None and mine.average_price is not None:
        either = (mine.average_price, mine.fifo_average_price)
        if not _agrees(either, theirs.average_price):
            found.append(Discrepancy(*key, "average_price", mine.average_price, theirs.average_price))
    if theirs.realised_pnl is not None and mine.realised_pnl is not None:
        either = (mine.realised_pnl, mine.fifo_realised_pnl)
        if not _agrees(either, theirs.realised_pnl):
            found.append(Discrepancy(*key, "realised_pnl", mine.realised_pnl, theirs.realised_pnl))
    return found


def _agrees(ours: Iterable[Decimal | None], theirs: Decimal) -> bool:
    exponent = theirs.as_tuple().exponent
    unit = min(_CENT, Decimal(1).scaleb(exponent)) if isinstance(exponent, int) else _CENT
    return any(one is not None and size(exact(one) - exact(theirs)) <= exact(unit) for one in ours)


def both_sides(one: Discrepancy) -> str:
    """Return a difference in words."""
    return f"{one.instrument_id} {one.product}: {one.field} is {one.broker} at the broker, {one.ours} by fills"
