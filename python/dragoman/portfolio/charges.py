"""What trades cost: an adapter's table of rates applied to orders, exactly.

A rate counts per order: a flat fee and a cap do, and brokers charge by executed order. So an estimate of a position is
the sum over the day's orders. Each part is exact and rounded for showing alone (half to even, 8 digits), but for what
a row says is rounded up. What a contract note rounds over the whole day (a tax to the nearest rupee) is not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from dragoman.model import Charges, Fill, Instrument, Liquidity, Product, Side
from dragoman.plugin import ChargeRow, ChargesTable
from dragoman.plugin.charges import Charge
from dragoman.portfolio.in_kind import charged_units
from dragoman.portfolio.money import Exact, exact, money

Parts = dict[str, Exact]
_OrderKey = tuple[str, Product, Side, Liquidity]
_FIELDS = ("transaction_tax", "exchange_fee", "regulator_fee", "brokerage", "stamp_duty", "gst")


@dataclass(slots=True)
class _Traded:
    """What one order traded as maker, taker or either, and what that costs by the fills counted so far."""

    turnover: Exact = 0
    units: Exact = 0
    fills: int = 0
    counted: bool = False
    parts: Parts = field(default_factory=dict)


class Charging:
    """What fills of one instrument cost together, kept up as fills come and go: each costs what its own order does.

    Parameters
    ----------
    table : ChargesTable
    instrument : Instrument
    """

    def __init__(self, table: ChargesTable, instrument: Instrument) -> None:
        self.currency = table.currency or instrument.currency
        self._table = table
        self.instrument = instrument
        self._multiplier = exact(instrument.multiplier)
        self._rows: dict[tuple[Product, Side, Liquidity], dict[Charge, ChargeRow]] = {}
        self._orders: dict[_OrderKey, _Traded] = {}
        self._dirty: set[_OrderKey] = set()
        self._sums: Parts = {}
        self._named: dict[str, int] = {}
        self._told: Exact = 0
        self._elsewhere: dict[str, Exact] = {}
        self._unknown = 0

    def count(self, fill: Fill, times: int = 1) -> None:
        """Take a fill in; -1 times takes it out again."""
        if fill.fee is not None:
            self._tell(fill, fill.fee, times)
            return
        key: _OrderKey = (fill.order_id, fill.product, fill.side, fill.liquidity)
        one = self._orders.setdefault(key, _Traded())
        units = times * exact(fill.quantity)
        one.fills += times
        one.units += units
        one.turnover += units * exact(fill.price) * self._multiplier
        self._dirty.add(key)

    def _tell(self, fill: Fill, fee: Decimal, times: int) -> None:
        """Count a fee that a fill tells: one in the coin it traded at the price it traded at."""
        units = charged_units(fill)
        if units:
            self._told += times * units * exact(fill.price) * self._multiplier
        elif fill.fee_currency in (None, "", self.currency) or not fee:
            self._told += times * exact(fee)
        else:
            name = fill.fee_currency or ""
            self._elsewhere[name] = self._elsewhere.get(name, 0) + times * exact(fee)

    def elsewhere(self) -> tuple[tuple[str, Decimal], ...]:
        """Return fees told in other currencies, by currency; they are in no other number."""
        return tuple((name, money(amount)) for name, amount in sorted(self._elsewhere.items()) if amount)

    def total(self) -> Decimal | None:
        """Return the sum of all charges, as `charges` does."""
        self._settle()
        return None if self._unknown else money(sum(self._sums.values(), self._told))

    def charges(self) -> Charges | None:
        """Return what it comes to; None where the table has nothing for some of the fills."""
        self._settle()
        if self._unknown:
            return None
        sums = dict(self._sums)
        if self._told:
            sums["brokerage"] = sums.get("brokerage", 0) + self._told
        names = [name for name, orders in self._named.items() if orders]
        shown: dict[str, Decimal] = {name: money(sums[name]) for name in _FIELDS if name in sums}
        return Charges(
            total=money(sum(sums.values(), 0)),
            instrument_id=self.instrument.instrument_id,
            currency=self.currency,
            transaction_tax_type=names[0] if len(names) == 1 else "",
            elsewhere=self.elsewhere(),
            **shown,
        )

    def _settle(self) -> None:
        """Count again the orders that changed, and no others."""
        for key in self._dirty:
            one = self._orders[key]
            rows = self._rows.get(key[1:])
            if rows is None:
                rows = self._rows[key[1:]] = self._table.rows_for(self.instrument, *key[1:])
            self._add(one.parts, -1)
            was, is_counted = one.counted, bool(one.fills)
            one.counted = is_counted
            one.parts = _order(rows.values(), one) if is_counted else {}
            self._add(one.parts, 1)
            change = int(is_counted) - int(was)
            if not rows:
                self._unknown += change
            elif "transaction_tax" in rows:
                name = rows["transaction_tax"].name
                self._named[name] = self._named.get(name, 0) + change
            if not is_counted:
                del self._orders[key]
        self._dirty.clear()

    def _add(self, parts: Parts, times: int) -> None:
        for name, amount in parts.items():
            self._sums[name] = self._sums.get(name, 0) + times * amount


def charges_of(table: ChargesTable, instrument: Instrument, fills: Iterable[Fill]) -> Charges | None:
    """Return what fills of one instrument cost together; None where the table has nothing for some of them.

    A fill that says its own fee counts with that as its brokerage: as it stands where it is in the same currency, at the
    price of the trade where it is in the coin traded, and beside the rest (`Charges.elsewhere`) in any other.
    """
    charging = Charging(table, instrument)
    for fill in fills:
        charging.count(fill)
    return charging.charges()


def _order(rows: Iterable[ChargeRow], traded: _Traded) -> Parts:
    """Return the parts of one order's charges; taxes on other parts come last."""
    parts: Parts = {}
    for row in sorted(rows, key=lambda one: bool(one.on)):
        base = sum((parts.get(name, 0) for name in row.on), 0) if row.on else traded.turnover
        amount = exact(row.rate) * base + exact(row.per_unit) * traded.units + exact(row.per_order)
        if row.at_most is not None:
            amount = min(amount, exact(row.at_most))
        if row.round_up is not None:
            step = exact(row.round_up)
            amount = -(-amount // step) * step
        parts[row.charge] = amount
    return parts
