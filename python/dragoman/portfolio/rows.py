"""From exact counts to what is shown: every number of a live position, and the sums by currency."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from dragoman.model import Instrument, LivePosition, PnL, PriceBasis, Product, QuantityUnit
from dragoman.portfolio.lots import Lots
from dragoman.portfolio.marked import Terms, decimal_of
from dragoman.portfolio.money import Exact, exact, money, price, quantity, ratio
from dragoman.portfolio.net import PositionKey
from dragoman.portfolio.opening import Opening

_NAMED: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a position needs to be shown, beside its count."""

    broker: str
    account_id: str
    currency: str
    key: PositionKey = ("", Product.UNKNOWN, "NET")
    instrument: Instrument | None = None
    opening: Opening | None = None
    close: tuple[Decimal, str] | None = None
    mark: tuple[Decimal | None, int | None, bool] = (None, None, True)
    unit: QuantityUnit = QuantityUnit.UNITS
    charges: Decimal | None = None
    elsewhere: tuple[tuple[str, Decimal], ...] = ()
    ts_event: int | None = None
    complete_as_of: int | None = None


def shown(facts: Facts, lots: Lots) -> tuple[LivePosition, Terms]:
    """Return a position as everybody sees it, and what marks it anew."""
    instrument, opening = facts.instrument, facts.opening
    multiplier = instrument.multiplier if instrument is not None else Decimal(1)
    times = exact(multiplier)
    last, ts_mark, stale = facts.mark
    close, close_source = facts.close or (None, "")
    terms, mark = Terms(lots, close, times), None if last is None else last.as_integer_ratio()
    position = LivePosition(
        instrument_id=facts.key[0],
        product=facts.key[1],
        position_side=facts.key[2],
        quantity=quantity(lots.quantity),
        account_id=facts.account_id,
        broker=facts.broker,
        overnight_quantity=quantity(lots.overnight_quantity),
        overnight_price=None if lots.blank else _each(lots.overnight_cost, lots.overnight_quantity),
        day_buy_quantity=quantity(lots.bought),
        day_buy_price=_each(lots.bought_value, lots.bought),
        day_buy_value=money(lots.bought_value * times),
        day_sell_quantity=quantity(lots.sold),
        day_sell_price=_each(lots.sold_value, lots.sold),
        day_sell_value=money(lots.sold_value * times),
        average_price=None if lots.blank else _each(lots.cost, lots.quantity),
        average_price_basis=_basis(lots, opening),
        fifo_average_price=None if lots.blank else _each(lots.fifo_cost, lots.quantity),
        realised_pnl=None if lots.realised_blank else money(lots.realised * times),
        fifo_realised_pnl=None if lots.realised_blank else money(lots.fifo_realised * times),
        unrealised_pnl=decimal_of(terms.unrealised(mark)),
        fifo_unrealised_pnl=decimal_of(terms.fifo_unrealised(mark)),
        last_price=last,
        close_price=close,
        close_source=close_source,
        m2m=decimal_of(terms.m2m(mark)),
        value=decimal_of(terms.value(mark)),
        income=money(lots.income * times),
        fee_quantity=quantity(lots.charged),
        charges=facts.charges,
        charges_elsewhere=facts.elsewhere,
        currency=(instrument.currency if instrument is not None else "") or facts.currency,
        multiplier=multiplier,
        ts_event=facts.ts_event,
        ts_mark=ts_mark,
        stale=stale and terms.held,  # nothing hangs on the mark of what is flat
        opening_source=opening.source if opening is not None and lots.overnight_quantity else "",
        complete_as_of=facts.complete_as_of,
        quantity_unit=facts.unit,
    )
    return position, terms


def _each(value: Exact, units: Exact) -> Decimal | None:
    return price(ratio(value, units)) if units else None


def _basis(lots: Lots, opening: Opening | None) -> PriceBasis:
    """Return what the average rests on: the opening's basis while any of it is held."""
    if opening is not None and lots.overnight_quantity:
        return opening.basis
    return PriceBasis.FILLS


@dataclass(frozen=True, slots=True)
class DayMade:
    """What a day made in one currency: the sum of the positions' `m2m`.

    Attributes
    ----------
    profit : Decimal
        Of what is known; a loss is below 0.
    unmarked : tuple of str
        Instruments without a price, or with one that is old.
    unclosed : tuple of str
        Instruments that were carried over without anybody saying the previous close.
    """

    profit: Decimal
    unmarked: tuple[str, ...] = ()
    unclosed: tuple[str, ...] = ()


def day_made(rows: Iterable[LivePosition]) -> dict[str, DayMade]:
    """Add up by currency what the day made, and name what that lacks."""
    found: dict[str, list[LivePosition]] = {}
    for one in rows:
        found.setdefault(one.currency, []).append(one)
    return {
        currency: DayMade(
            _sum(one.m2m for one in held),
            tuple(one.instrument_id for one in held if one.quantity and (one.stale or one.last_price is None)),
            tuple(one.instrument_id for one in held if one.overnight_quantity and one.close_price is None),
        )
        for currency, held in found.items()
    }


def lacks(made: Iterable[DayMade]) -> str:
    """Return in words what a day's profit cannot be told without; empty where nothing lacks."""
    found = tuple(made)
    lacking = (
        ("a new price", sorted({name for one in found for name in one.unmarked})),
        ("the previous close", sorted({name for one in found for name in one.unclosed})),
    )
    return " and ".join(f"{what} of {', '.join(names[:_NAMED])}" for what, names in lacking if names)


def totals(rows: Iterable[LivePosition]) -> dict[str, PnL]:
    """Add positions up by currency; what one does not know is named and left out.

    Fees that were charged in another currency than the position's are among the charges of that one.
    """
    found: dict[str, list[LivePosition]] = {}
    elsewhere: dict[str, list[Decimal]] = {}
    for one in rows:
        found.setdefault(one.currency, []).append(one)
        for currency, fees in one.charges_elsewhere:
            elsewhere.setdefault(currency, []).append(fees)
    names = ("realised_pnl", "unrealised_pnl", "m2m", "value")
    return {
        currency: PnL(
            currency=currency,
            realised=_sum(one.realised_pnl for one in held),
            unrealised=_sum(one.unrealised_pnl for one in held),
            m2m=_sum(one.m2m for one in held),
            income=_sum(one.income for one in held),
            charges=_sum((*(one.charges for one in held), *elsewhere.get(currency, ()))),
            value=_sum(one.value for one in held),
            positions=sum(bool(one.quantity) for one in held),
            unknown=tuple(one.instrument_id for one in held if any(getattr(one, name) is None for name in names)),
            unknown_charges=tuple(one.instrument_id for one in held if one.charges is None and _traded(one)),
            stale=tuple(one.instrument_id for one in held if one.stale),
        )
        for currency in (*found, *(elsewhere.keys() - found.keys()))
        for held in (found.get(currency, []),)
    }


def _traded(one: LivePosition) -> bool:
    return bool(one.day_buy_quantity or one.day_sell_quantity)


def _sum(values: Iterable[Decimal | None]) -> Decimal:
    return money(sum((exact(value) for value in values if value is not None), 0))
