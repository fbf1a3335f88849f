"""What trades cost: an adapter's table of rates applied to orders, exactly.

A rate counts per order: a flat fee and a cap do, and brokers charge by executed order. So an estimate of a position is
the sum over the day's orders, each by the rates of its own day, and what is charged once for all of them. Each part is
exact and rounded for showing alone (half to even, 8 digits), but for what a row says is rounded up. What a statement
rounds over the whole day (a tax to the nearest rupee, a fee up to a cent) is not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from dragoman.model import Charges, Fill, Instrument, Liquidity, Product, Side
from dragoman.plugin import ChargeRow, ChargesTable
from dragoman.plugin.charges import Charge
from dragoman.portfolio.in_kind import charged_units
from dragoman.portfolio.money import Exact, exact, money

Parts = dict[str, Exact]
_Kind = tuple[Product, Side, Liquidity, date]
_OrderKey = tuple[str, Product, Side, Liquidity, date]
_FIELDS = ("transaction_tax", "exchange_fee", "regulator_fee", "brokerage", "stamp_duty", "depository_fee", "gst")
_WITHIN = {"protection_fund": "exchange_fee", "clearing_fee": "exchange_fee"}


@dataclass(frozen=True, slots=True)
class _Term:
    """A row in exact numbers."""

    charge: Charge
    rate: Exact
    per_unit: Exact
    per_order: Exact
    at_most: Exact | None
    step: Exact | None
    on: frozenset[str]


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
        self._rows: dict[_Kind, dict[Charge, ChargeRow]] = {}
        self._terms: dict[_Kind, list[_Term]] = {}
        self._net: dict[tuple[Product, date], Exact] = {}
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
        day = self._table.day(fill.ts_recv if fill.ts_event is None else fill.ts_event)
        key: _OrderKey = (fill.order_id, fill.product, fill.side, fill.liquidity, day)
        one = self._orders.setdefault(key, _Traded())
        units = times * exact(fill.quantity)
        left = self._net.get((fill.product, day), 0) + (units if fill.side is Side.BUY else -units)
        self._net[fill.product, day] = left
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
        return None if self._unknown else money(sum(self._sums.values(), self._told + self._debits()))

    def charges(self) -> Charges | None:
        """Return what it comes to; None where the table has nothing for some of the fills."""
        self._settle()
        if self._unknown:
            return None
        sums: Parts = {}
        beside: Parts = {"brokerage": self._told, "depository_fee": self._debits()}
        for name, amount in (*self._sums.items(), *((name, amount) for name, amount in beside.items() if amount)):
            field_name = _WITHIN.get(name, name)
            sums[field_name] = sums.get(field_name, 0) + amount
        names = [name for name, orders in self._named.items() if orders]
        shown: dict[str, Decimal] = {name: money(sums[name]) for name in _FIELDS if name in sums}
        used = [row for kind in dict.fromkeys(key[1:] for key in self._orders) for row in self._rows[kind].values()]
        doubts = dict.fromkeys(f"{row.name or row.charge}: {row.unverified}" for row in used if row.unverified)
        return Charges(
            total=money(sum(sums.values(), 0)),
            unverified=tuple(doubts),
            as_of=min((row.as_of for row in used), default=None),
            instrument_id=self.instrument.instrument_id,
            currency=self.currency,
            transaction_tax_type=names[0] if len(names) == 1 else "",
            elsewhere=self.elsewhere(),
            **shown,
        )

    def _debits(self) -> Exact:
        """Return what is charged once where more was sold than bought on a day."""
        amount: Exact = 0
        for (product, day), units in self._net.items():
            if units < 0:
                row = self._rows_of((product, Side.SELL, Liquidity.NONE, day)).get("depository_fee")
                amount += 0 if row is None else exact(row.per_debit)
        return amount

    def _rows_of(self, kind: _Kind) -> dict[Charge, ChargeRow]:
        rows = self._rows.get(kind)
        if rows is None:
            rows = self._rows[kind] = self._table.rows_for(self.instrument, *kind)
            self._terms[kind] = _terms(rows.values())
        return rows

    def _settle(self) -> None:
        """Count again the orders that changed, and no others."""
        for key in self._dirty:
            one = self._orders[key]
            rows = self._rows_of(key[1:])
            self._add(one.parts, -1)
            was, is_counted = one.counted, bool(one.fills)
            one.counted = is_counted
            one.parts = _order(self._terms[key[1:]], one) if is_counted else {}
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

    A fill that says its own fee counts with that as its brokerage: as it stands where it is in the same currency, at
    the price of the trade where it is in the coin traded, and beside the rest (`Charges.elsewhere`) in any other.
    """
    charging = Charging(table, instrument)
    for fill in fills:
        charging.count(fill)
    return charging.charges()


def _terms(rows: Iterable[ChargeRow]) -> list[_Term]:
    """Return rows as exact numbers; taxes on other parts come last, and what is charged once a day is none of them."""
    found = [
        _Term(
            row.charge,
            exact(row.rate),
            exact(row.per_unit),
            exact(row.per_order),
            None if row.at_most is None else exact(row.at_most),
            None if row.round_up is None else exact(row.round_up),
            row.on,
        )
        for row in rows
        if not row.per_debit
    ]
    return sorted(found, key=lambda one: bool(one.on))


def _order(terms: Iterable[_Term], traded: _Traded) -> Parts:
    """Return the parts of one order's charges."""
    parts: Parts = {}
    for one in terms:
        base = sum((parts.get(name, 0) for name in one.on), 0) if one.on else traded.turnover
        amount = one.rate * base if one.rate else 0
        if one.per_unit:
            amount += one.per_unit * traded.units
        if one.per_order:
            amount += one.per_order
        if one.at_most is not None:
            amount = min(amount, one.at_most)
        if one.step is not None:
            amount = -(-amount // one.step) * one.step
        parts[one.charge] = amount
    return parts
