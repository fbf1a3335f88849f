"""The broker's positions beside ours: every difference with both sides, nothing overwritten."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from dragoman.model import LivePosition, Position
from dragoman.portfolio.money import exact, price, ratio, size
from dragoman.portfolio.money import money as shown
from dragoman.portfolio.net import Discrepancy, PositionKey

_CENT: Final = Decimal("0.01")
_NOISE: Final = Decimal("1e-10")
ZERO: Final = Decimal(0)


def differences(positions: Iterable[Position], rows: Iterable[LivePosition]) -> list[Discrepancy]:
    """Return where two views of the same account differ.

    Quantities must be equal. Average prices and realised profits may differ by one unit of the broker's last digit, of
    two digits at least, for brokers round. They are right where they are right at average cost, first in first out, or
    with all the day's buying matched against all its selling, for brokers count in each of these ways; where a broker
    shows realised profit as part of the unrealised one, both are compared together, at its price. What one side does
    not know is not compared, neither is what the broker leaves out because it is flat.
    """
    ours = {(one.instrument_id, one.product, one.position_side): one for one in rows}
    found: list[Discrepancy] = []
    seen: set[PositionKey] = set()
    for theirs in positions:
        key: PositionKey = (theirs.instrument_id, theirs.product, theirs.position_side)
        seen.add(key)
        mine = ours.get(key) or LivePosition(instrument_id=key[0], product=key[1], position_side=key[2], quantity=ZERO)
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
        Discrepancy(*key, "quantity", one.quantity, ZERO)
        for key, one in ours.items()
        if key not in seen and one.quantity
    ]
    return found


def _money(key: PositionKey, mine: LivePosition, theirs: Position) -> list[Discrepancy]:
    average, realised = _matched(mine)
    if _unsplit(theirs):
        total, told = _at(mine, theirs.last_price), theirs.pnl
        wrong = total is not None and told is not None and not _agrees((total,), told)
        return [Discrepancy(*key, "pnl", total, told)] if wrong and total is not None and told is not None else []
    quoted = theirs.average_price if theirs.quantity else None
    triples = (
        ("average_price", (mine.average_price, mine.fifo_average_price, average), quoted),
        ("realised_pnl", (mine.realised_pnl, mine.fifo_realised_pnl, realised), theirs.realised_pnl),
    )
    return [
        Discrepancy(*key, name, ours[0], told)
        for name, ours, told in triples
        if told is not None and ours[0] is not None and not _agrees(ours, told)
    ]


def _unsplit(theirs: Position) -> bool:
    """Whether the broker shows all profit as unrealised, today's realised one included."""
    return theirs.realised_pnl == 0 and theirs.pnl is not None and theirs.pnl == theirs.unrealised_pnl


def _at(mine: LivePosition, last: Decimal | None) -> Decimal | None:
    """Return all profit of today and of what is held, at a price."""
    if mine.realised_pnl is None or (mine.quantity and (last is None or mine.average_price is None)):
        return None
    gain = exact(mine.quantity) * (exact(last or ZERO) - exact(mine.average_price or ZERO)) * exact(mine.multiplier)
    return shown(exact(mine.realised_pnl) + gain)


def _matched(mine: LivePosition) -> tuple[Decimal | None, Decimal | None]:
    """Return average price and realised profit where all that was bought is matched with all that was sold."""
    carried = mine.overnight_quantity
    if (carried and mine.overnight_price is None) or mine.fee_quantity:  # no broker is known to match such
        return None, None
    times = exact(mine.multiplier)
    value = size(exact(carried)) * exact(mine.overnight_price or ZERO)
    bought, sold = exact(mine.day_buy_quantity), exact(mine.day_sell_quantity)
    paid, got = ratio(exact(mine.day_buy_value), times), ratio(exact(mine.day_sell_value), times)
    if carried > 0:
        bought, paid = bought + exact(carried), paid + value
    else:
        sold, got = sold - exact(carried), got + value
    buy, sell = (ratio(money, units) if units else None for money, units in ((paid, bought), (got, sold)))
    average = buy if mine.quantity > 0 else sell
    both = ZERO if buy is None or sell is None else shown(min(bought, sold) * (sell - buy) * times)
    return None if average is None else price(average), both


def _agrees(ours: Iterable[Decimal | None], theirs: Decimal) -> bool:
    """Whether one of our numbers is theirs, as far as theirs was rounded; digits that only a float has are noise."""
    exponent = theirs.as_tuple().exponent
    unit = min(_CENT, Decimal(1).scaleb(exponent)) if isinstance(exponent, int) else _CENT
    unit = max(unit, _NOISE, abs(theirs) * _NOISE)
    return any(one is not None and size(exact(one) - exact(theirs)) <= exact(unit) for one in ours)


def both_sides(one: Discrepancy) -> str:
    """Return a difference in words."""
    return f"{one.instrument_id} {one.product}: {one.field} is {one.broker} at the broker, {one.ours} by fills"
