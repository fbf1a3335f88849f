"""The sum of what the day made is that of the positions looked at one by one, and does not look at them."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal

import pytest

from dragoman._core import intern_instrument
from dragoman.model import InstrumentType, Position, Product
from dragoman.portfolio import rows
from unit.test_position_book import CARRY, COIN, INFY, NIFTY, NS, Desk, adjustment, listed

D = Decimal
DAY = 86_400 * NS
OTHERS = tuple(f"NSE:S{at}" for at in range(6))


def desk_of_many() -> Desk:
    desk = Desk()
    desk.master.add([listed(name) for name in OTHERS])
    return desk


def mark(desk: Desk, price: float, name: str) -> None:
    desk.marks.mark(intern_instrument(name), price, desk.now)  # also of one that the master does not know


def assert_same(desk: Desk) -> None:
    wanted, found = rows.day_made(desk.book.rows()), desk.book.day_made()
    assert found.keys() == wanted.keys()
    for currency, one in wanted.items():
        assert abs(found[currency].profit - one.profit) <= D("0.0001"), currency
        assert set(found[currency].unmarked) == set(one.unmarked)
        assert set(found[currency].unclosed) == set(one.unclosed)


@pytest.mark.parametrize("seed", range(8))
def test_after_whatever_happens_the_sum_is_that_of_the_rows(seed):
    chance, desk = random.Random(seed), desk_of_many()
    names = [INFY, NIFTY, COIN, *OTHERS, "NSE:NOBODY"]
    for step in range(150):
        name = chance.choice(names)
        match chance.randrange(12):
            case 0 | 1 | 2 | 3 | 4 | 5:
                price = f"{chance.randrange(1, 4000)}.{chance.randrange(20) * 5:02}"
                product = chance.choice([Product.INTRADAY, CARRY])
                desk.trade(
                    chance.choice(["BUY", "SELL"]), chance.randrange(1, 9), price, instrument_id=name, product=product
                )
            case 6 | 7 | 8:
                mark(desk, chance.randrange(1, 80_000) / 20, name)
            case 9:
                desk.now += chance.choice([NS, 30 * NS, 70 * NS])
            case 10 if step % 3 == 0:
                desk.now += DAY
            case _:
                desk.book.marking.interrupted([intern_instrument(name)])
        assert_same(desk)


def carried(name: str, average: str | None, close: str | None) -> Position:
    return Position(
        instrument_id=name,
        product=CARRY,
        quantity=D(10),
        overnight_quantity=D(10),
        average_price=None if average is None else D(average),
        close_price=None if close is None else D(close),
        day_buy_quantity=D(0),
        day_sell_quantity=D(0),
        last_price=D(110),
    )


def test_positions_of_unknown_cost_or_close_are_summed_and_named_as_the_rows_say():
    desk = desk_of_many()
    held = [carried(OTHERS[0], None, "100"), carried(OTHERS[1], "50", None), carried(OTHERS[2], "90", "105")]
    desk.book.seed(held, [], desk.now)
    assert_same(desk)
    made = desk.book.day_made()["INR"]
    assert made.profit == 10 * 10 + 10 * 5  # from the close on; what the entry was is another matter
    assert made.unclosed == (OTHERS[1],)
    desk.book.roll("2026-01-06", {OTHERS[1]: D(100)})
    assert_same(desk)


def test_an_instrument_that_the_master_learns_counts_in_its_own_currency_from_then_on():
    desk = desk_of_many()
    desk.trade("BUY", 2, 100, instrument_id="XC:NEW")
    mark(desk, 101, "XC:NEW")
    assert desk.book.day_made()["INR"].profit == 2
    desk.master.add([listed("XC:NEW", InstrumentType.FUTURE, currency="USDT", multiplier=D(5))])
    assert desk.book.day_made()["USDT"].profit == 10
    assert_same(desk)


def test_a_split_changes_the_close_of_what_is_held_on_both_sides():
    desk = desk_of_many()
    for side, units in (("BUY", 10), ("SELL", 4)):
        desk.trade(side, units, 100, instrument_id=NIFTY, product=CARRY, position_side="LONG" if units > 4 else "SHORT")
    desk.mark(100, NIFTY)
    desk.now += DAY
    desk.book.rows()
    desk.book.adjust(
        adjustment("SPLIT", instrument_id=NIFTY, position_side="LONG", numerator=2, denominator=1, ts_event=desk.now)
    )
    assert_same(desk)


def test_no_position_is_looked_at_for_the_sum(monkeypatch):
    desk = desk_of_many()
    for name in OTHERS:
        desk.trade("BUY", 3, 10, instrument_id=name)
        desk.mark(11, name)
    assert desk.book.day_made()["INR"].profit == 18
    monkeypatch.setattr(desk.book._view, "shown", None)
    desk.mark(12, OTHERS[0])
    assert desk.book.day_made()["INR"].profit == 21


def test_ever_fewer_counts_of_long_ago_are_kept_and_a_late_fill_is_exact_all_the_same():
    late, early = desk_of_many(), desk_of_many()
    first = late.fill("BUY", 7, "99.95")
    early.tell(replace(first, trade_id="first"))
    for desk in (late, early):
        for at in range(1500):
            desk.trade("SELL" if at % 5 == 4 else "BUY", 1 + at % 3, f"{100 + at % 7}.05", trade_id=str(at + 10))
        desk.row()
    kept = late.book._lines[INFY, "NET"]._kept
    assert len(kept) <= 12
    assert sum(len(lots.lots) for _, kept_rows in kept for lots in kept_rows.values()) <= 12 * 1500
    late.tell(replace(first, trade_id="first"))
    ours, theirs = late.row(), early.row()
    assert (ours.quantity, ours.average_price, ours.realised_pnl, ours.fifo_realised_pnl, ours.day_buy_value) == (
        theirs.quantity,
        theirs.average_price,
        theirs.realised_pnl,
        theirs.fifo_realised_pnl,
        theirs.day_buy_value,
    )
