"""What is kept of rows and totals is what counting all of it anew gives, whatever happened in whatever order."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal

import pytest

from dragoman._core import intern_instrument
from dragoman.model import LivePosition, Position, Product
from dragoman.portfolio.rows import totals
from unit.test_position_book import CARRY, COIN, DELIVERY, INFY, INTRADAY, NIFTY, NS, Desk, adjustment, listed

D = Decimal
DAY = 86_400 * NS
NAMES = (INFY, NIFTY, COIN, "NSE:A", "NSE:B", "NSE:C", "NSE:NOBODY")
PRODUCTS = (INTRADAY, CARRY, DELIVERY)


class Account(Desk):
    """A desk whose name changes, and whose book is asked both ways."""

    def __init__(self) -> None:
        self.name = ""
        super().__init__(account=lambda: self.name, delivered=lambda instrument, product: product is DELIVERY)
        self.master.add([listed(name) for name in ("NSE:A", "NSE:B", "NSE:C")])

    def anew(self) -> list[LivePosition]:
        """Return the rows as they are when nothing is kept."""
        view, lines = self.book._view, self.book._lines
        found = [view.shown(key, lots)[0] for key, lots in lines.all() if not lots.empty]
        return sorted(found, key=lambda one: (one.instrument_id, one.product, one.position_side))

    def check(self) -> None:
        sums, rows = self.book.totals(), self.book.rows()
        anew = self.anew()
        assert sums == totals(anew)
        assert rows == anew
        assert all(row.account_id == self.name for row in rows)
        for row in anew:
            assert self.book.row((row.instrument_id, row.product, row.position_side)) == row

    def price(self, name: str, price: float) -> None:
        self.marks.mark(intern_instrument(name), price, self.now)


def opening(chance: random.Random) -> list[Position]:
    return [
        Position(
            instrument_id=name,
            product=CARRY,
            quantity=D(units),
            overnight_quantity=D(units),
            average_price=chance.choice([None, D("90.35")]),
            close_price=chance.choice([None, D("95.1")]),
            day_buy_quantity=D(0),
            day_sell_quantity=D(0),
            last_price=chance.choice([None, D(94)]),
        )
        for name in NAMES[:4]
        if (units := chance.randrange(-20, 20))
    ]


def something(desk: Account, chance: random.Random, told: list) -> None:
    """Let one thing happen that changes a row, or all of them."""
    book, name, product = desk.book, chance.choice(NAMES), chance.choice(PRODUCTS)
    price = f"{chance.randrange(1, 4000)}.{chance.randrange(20) * 5:02}"
    match chance.randrange(20):
        case 0 | 1 | 2 | 3 | 4:
            told.append(
                desk.trade(
                    chance.choice(["BUY", "SELL"]),
                    chance.randrange(1, 9),
                    price,
                    instrument_id=name,
                    product=product,
                    **chance.choice([{}, {}, {"fee": D("0.7"), "fee_currency": "BNB"}]),
                )
            )
        case 5:  # told late
            desk.tell(
                desk.fill("BUY", 3, price, instrument_id=name, product=product, ts_event=desk.now - 7 * NS),
            )
        case 6 if told:
            wrong = chance.choice(told)
            terms = {"correction_of": wrong.trade_id, "instrument_id": wrong.instrument_id, "product": wrong.product}
            desk.tell(desk.fill(wrong.side, chance.choice(["0", "2"]), price, ts_event=wrong.ts_event, **terms))
        case 7:
            desk.tell(
                desk.fill("BUY", 4, price, trade_id=f"SYN-{name}", is_synthetic=True, instrument_id=name),
                replaced=(f"SYN-{chance.choice(NAMES)}",),
            )
        case 8:
            key = (name, product, "NET")
            units, overnight = D(chance.randrange(-6, 7) or 1), chance.random() < 0.3
            book.converted(key, chance.choice(PRODUCTS), units, overnight=overnight, ts=desk.now - chance.randrange(9))
        case 9:
            kind = chance.choice(["SPLIT", "BONUS", "DIVIDEND", "EXPIRY", "TRANSFER_OUT"])
            desk.number += 1
            more = {"product": product, "quantity": D(3)} if kind == "TRANSFER_OUT" else {"numerator": D(2)}
            told_of = {
                "adjustment_id": f"{kind}{desk.number}",
                "instrument_id": name,
                "ts_event": desk.now,
                "price": D(5),
            }
            told_of |= {"as_of": desk.now + NS} if kind in ("SPLIT", "BONUS") else {}
            book.adjust(adjustment(kind, **told_of | more))
        case 10 | 11 | 12 | 13:
            desk.price(name, chance.randrange(1, 80_000) / 20)
        case 14:
            desk.now += chance.choice([NS, 30 * NS, 70 * NS])
        case 15 if chance.random() < 0.3:
            desk.now += DAY
            told.clear()
        case 16:
            book.marking.interrupted([intern_instrument(name)])
        case 17:
            book.closed({name: D(price)}, "somebody")
        case 18 if chance.random() < 0.2:
            desk.name += "x"
        case 19 if chance.random() < 0.1:
            book.seed(opening(chance), [], desk.now)
            told.clear()


@pytest.mark.parametrize("seed", range(18))
def test_what_is_kept_is_what_counting_anew_gives(seed):
    chance, desk, told = random.Random(seed), Account(), []
    desk.book.seed(opening(chance), [], desk.now)
    often = chance.choice((0.1, 0.6, 1.0))
    for _ in range(180):
        something(desk, chance, told)
        if chance.random() < often:
            desk.check()
    if seed % 3 == 0:
        desk.master.add([listed("NSE:NOBODY", currency="USD", multiplier=D(7))])
    desk.check()


def test_a_row_that_nothing_happened_to_is_the_very_same():
    desk = Account()
    for name in NAMES[:5]:
        desk.trade("BUY", 2, 10, instrument_id=name)
        desk.price(name, 11)
    before = desk.book.rows()
    desk.trade("SELL", 1, 12, instrument_id=INFY)
    desk.price(NIFTY, 12.5)
    after = desk.book.rows()
    assert {one.instrument_id for one, other in zip(before, after, strict=True) if one is not other} == {INFY, NIFTY}
    assert desk.book.rows()[0] is after[0]


def test_a_list_of_rows_is_the_callers_own():
    desk = Account()
    desk.trade("BUY", 2, 10)
    desk.book.rows().clear()
    assert len(desk.book.rows()) == 1


def test_a_product_that_a_late_fill_gave_more_to_convert_is_marked_and_told_of():
    desk = Account()
    desk.trade("BUY", 4, 100)
    late = desk.fill("BUY", 6, 100)
    desk.now += NS
    desk.book.converted((INFY, INTRADAY, "NET"), CARRY, D(10), overnight=False, ts=desk.now)
    desk.mark(110)
    told: list = []
    desk.book.listen(told.append)
    desk.tell(replace(late, ts_event=late.ts_event))
    assert desk.row(product=Product.CARRY).quantity == 10
    assert (INFY, CARRY, "NET") in told
    assert desk.marking.unrealised((INFY, CARRY, "NET")) == 100
    assert desk.marking.total("INR") == 100


def test_units_that_leave_whole_leave_the_marks_too():
    desk = Account()
    desk.book.seed([Position(instrument_id=INFY, product=CARRY, quantity=D(5), overnight_quantity=D(5),
                             average_price=D(90))], [], desk.now)  # fmt: skip
    desk.mark(100)
    assert desk.marking.total("INR") == 50
    desk.book.adjust(adjustment("TRANSFER_OUT", product=CARRY, quantity=D(5), ts_event=desk.now))
    assert (desk.book.rows(), desk.marking.total("INR")) == ([], 0)
