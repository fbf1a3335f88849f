"""Live positions, rule by rule."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from dragoman._core import Marks
from dragoman.errors import UsageError
from dragoman.market import InstrumentMaster
from dragoman.model import (
    Adjustment,
    AdjustmentKind,
    AssetClass,
    Fill,
    Instrument,
    InstrumentType,
    Order,
    OrderUpdate,
    Position,
    PriceBasis,
    Product,
    QuantityUnit,
    Side,
)
from dragoman.orders.journal.codec import to_plain
from dragoman.plugin.charges import ChargeRow, ChargesTable
from dragoman.portfolio import Discrepancy, PositionBook
from dragoman.portfolio.changes import enter
from dragoman.portfolio.days import TradingDays
from dragoman.portfolio.marking import Marking

NS = 1_000_000_000
NINE = 1_767_583_800 * NS  # 2026-01-05 09:00 in Kolkata
DAY = 86_400 * NS
INFY, NIFTY, COIN = "NSE:INFY", "NFO:NIFTY@20260127", "XC:BTC/USD=PERP"
INTRADAY, DELIVERY, CARRY = Product.INTRADAY, Product.DELIVERY, Product.CARRY
ORDER = Order(instrument_id=INFY, side=Side.BUY, quantity=Decimal(1))
D = Decimal


def listed(name: str, kind: InstrumentType = InstrumentType.SPOT, **more) -> Instrument:
    exchange, symbol = name.split(":")
    terms = {"asset_class": AssetClass.EQUITY, "broker_symbol": symbol, "broker_token": symbol} | more
    return Instrument(instrument_id=name, symbol=symbol, exchange=exchange, instrument_type=kind, **terms)


class Desk:
    """A book with its clock, its marks and what it said."""

    def __init__(self, **options) -> None:
        self.now = NINE
        self.master = InstrumentMaster()
        coin = listed(COIN, InstrumentType.PERP, currency="USD", multiplier=D("0.001"))
        self.master.add([listed(INFY), listed(NIFTY, InstrumentType.FUTURE), coin])
        self.marks = Marks()
        self.alerts = []
        self.marking = Marking(self.marks, lambda: self.now)
        days = TradingDays("Asia/Kolkata", lambda: self.now)
        self.book = PositionBook(self.master, days, self.marking, self.alerts.append, **options)
        self.number = 0

    def fill(self, side: str, quantity: str | int, price: str | int, **more) -> Fill:
        self.number += 1
        terms = {"trade_id": f"{self.number}", "order_id": "O", "instrument_id": INFY, "product": INTRADAY}
        terms |= {"exchange": "NSE", "ts_event": self.now} | more
        return Fill(side=Side(side), quantity=D(quantity), price=D(price), **terms)

    def tell(self, *fills: Fill, replaced: tuple[str, ...] = ()) -> None:
        self.book.on_update(OrderUpdate(ORDER, fills, replaced))

    def trade(self, side: str, quantity: str | int, price: str | int, **more) -> Fill:
        fill = self.fill(side, quantity, price, **more)
        self.now += NS
        self.tell(fill)
        return fill

    def mark(self, price: float, name: str = INFY) -> None:
        self.marks.mark(self.master.handle(self.master.get(name)), price, self.now)

    def row(self, name: str = INFY, product: Product | None = None):
        return self.book.row(name, product)


def position(quantity: int, **more) -> Position:
    terms = {"instrument_id": INFY, "product": CARRY, "overnight_quantity": D(quantity)} | more
    return Position(quantity=D(quantity), **terms)


def adjustment(kind: str, **more) -> Adjustment:
    terms = {"adjustment_id": f"{kind}-1", "instrument_id": INFY, "ts_event": NINE + 3600 * NS} | more
    return Adjustment(kind=AdjustmentKind(kind), **terms)


# -- fills -------------------------------------------------------------------------------------------------------------


def test_fills_make_a_position_at_average_cost_and_first_in_first_out():
    desk = Desk()
    for side, quantity, price in (("BUY", 10, 100), ("BUY", 10, 110), ("SELL", 5, 120)):
        desk.trade(side, quantity, price)
    desk.mark(121.5)
    row = desk.row()
    assert (row.quantity, row.average_price, row.fifo_average_price) == (15, 105, D("106.666666666667"))
    assert (row.realised_pnl, row.fifo_realised_pnl) == (75, 100)
    assert (row.unrealised_pnl, row.fifo_unrealised_pnl) == (D("247.5"), D("222.5"))
    assert (row.last_price, row.value, row.m2m) == (D("121.5"), D("1822.5"), D("322.5"))
    assert (row.day_buy_quantity, row.day_buy_price, row.day_buy_value) == (20, 105, 2100)
    assert (row.day_sell_quantity, row.day_sell_price, row.day_sell_value) == (5, 120, 600)
    assert (row.average_price_basis, row.stale) == (PriceBasis.FILLS, False)


def test_a_fill_through_zero_closes_all_there_is_and_opens_the_rest():
    desk = Desk()
    desk.trade("BUY", 10, 100)
    desk.trade("SELL", 15, 104)
    row = desk.row()
    assert (row.quantity, row.average_price, row.realised_pnl) == (-5, 104, 40)
    desk.trade("BUY", 5, 100)
    assert (desk.row().quantity, desk.row().average_price, desk.row().realised_pnl) == (0, None, 60)


def test_a_repeated_fill_counts_once_and_fills_of_one_time_are_in_order_of_their_numbers():
    desk = Desk()
    nine, ten = (desk.fill("BUY", 1, price, trade_id=number) for number, price in (("9", 100), ("10", 200)))
    desk.tell(ten, nine, ten)
    desk.tell(nine)
    desk.trade("SELL", 1, 150)
    assert desk.row().fifo_realised_pnl == 50  # 9 was first, though "10" < "9"
    assert desk.book.counters["repeated"] == 2


def test_a_fill_told_late_is_counted_where_it_belongs():
    early, desk = Desk(), Desk()
    fills = [early.trade(*terms) for terms in (("BUY", 4, 100), ("SELL", 6, 110), ("BUY", 2, 90))]
    for fill in reversed(fills):
        desk.tell(fill)
    assert desk.row() == early.row()
    assert early.row().realised_pnl == 80


def test_a_synthetic_fill_is_replaced_exactly():
    desk = Desk()
    synthetic = desk.fill("BUY", 10, "100.5", trade_id="SYN-O-0-10", is_synthetic=True)
    desk.tell(synthetic)
    assert desk.row().average_price == D("100.5")
    desk.tell(desk.fill("BUY", 4, 100), replaced=("SYN-O-0-10",))
    assert (desk.row().quantity, desk.row().average_price, desk.book.counters["replaced"]) == (4, 100, 1)
    desk.tell(replaced=("never told",))
    assert (desk.row().quantity, desk.book.counters["unknown_synthetic"]) == (4, 1)


@pytest.mark.parametrize("late", [False, True])
def test_a_correction_takes_the_place_of_a_fill_and_a_bust_undoes_it(late):
    desk = Desk()
    wrong, other = desk.fill("BUY", 10, 100, trade_id="A"), desk.fill("BUY", 1, 50, trade_id="B")
    right = desk.fill("BUY", 8, 101, trade_id="C", correction_of="A")
    bust = desk.fill("BUY", 0, 50, trade_id="D", correction_of="B")
    for fill in (right, bust, wrong, other) if late else (wrong, other, right, bust):
        desk.tell(fill)
    assert (desk.row().quantity, desk.row().average_price) == (8, 101)
    assert [fill.trade_id for fill in desk.book._counted.counting(0)].count("A") == 0


def test_of_two_corrections_of_one_fill_the_newest_counts():
    desk = Desk()
    desk.trade("BUY", 100, 10, trade_id="T1")
    for units, name in ((90, "T2"), (80, "T3")):
        desk.tell(desk.fill("BUY", units, 10, trade_id=name, correction_of="T1"))
    assert desk.row().quantity == 80


def test_a_correction_of_what_the_book_began_with_is_told_and_not_counted_on_top():
    desk = Desk()
    desk.trade("BUY", 100, 10, trade_id="T1", product=CARRY)
    for _ in range(3):
        desk.now += DAY
        desk.book.rows()
    desk.tell(desk.fill("BUY", 90, 10, trade_id="T2", correction_of="T1", product=CARRY))
    assert desk.row(product=CARRY).quantity == 100
    assert [alert.code for alert in desk.alerts] == ["NOT_APPLIED"]


def test_the_multiplier_and_the_currency_are_the_instruments():
    desk = Desk()
    desk.trade("BUY", "0.5", "60000.10", instrument_id=COIN, product=Product.MARGIN)
    desk.trade("SELL", "0.2", "61000.10", instrument_id=COIN, product=Product.MARGIN)
    row = desk.row(COIN)
    assert (row.realised_pnl, row.currency, row.multiplier) == (D("0.2"), "USD", D("0.001"))
    assert set(desk.book.totals()) == {"USD"}


def test_a_fill_of_an_unknown_instrument_counts_and_is_told_once():
    desk = Desk()
    desk.trade("BUY", 3, 10, instrument_id="NSE:NEW")
    desk.trade("BUY", 3, 20, instrument_id="NSE:NEW")
    row = desk.row("NSE:NEW")
    assert (row.quantity, row.average_price, row.multiplier) == (6, 15, 1)
    assert [alert.code for alert in desk.alerts] == ["UNKNOWN_INSTRUMENT"]
    assert desk.book.counters["unknown_instrument"] == 2


def test_fills_that_are_not_in_units_are_marked_so():
    desk = Desk()
    desk.trade("BUY", 3, 10, quantity_unit=QuantityUnit.LOTS)
    assert desk.row().quantity_unit is QuantityUnit.LOTS
    assert [alert.code for alert in desk.alerts] == ["NOT_IN_UNITS"]


@pytest.mark.logs("a position listener raised")
def test_listeners_hear_of_what_changed_and_one_that_raises_hurts_nobody(caplog):
    desk, heard = Desk(), []

    def broken(key):
        raise RuntimeError("mine")

    desk.book.listen(broken)
    end = desk.book.listen(heard.append)
    desk.trade("BUY", 1, 10)
    end()
    desk.trade("BUY", 1, 10)
    assert heard == [(INFY, INTRADAY, "NET")]
    assert desk.book.counters["listener_errors"] == 2
    assert "a position listener raised" in caplog.text


# -- the opening -------------------------------------------------------------------------------------------------------


def test_the_day_begins_with_the_brokers_overnight_part_and_its_average():
    desk = Desk()
    held = position(50, average_price=D("95.5"), close_price=D(98), last_price=D(99), day_buy_quantity=D(0))
    assert desk.book.seed([held], [], NINE) == []
    row = desk.row()
    assert (row.overnight_quantity, row.overnight_price, row.average_price_basis) == (50, D("95.5"), PriceBasis.BROKER)
    assert (row.realised_pnl, row.unrealised_pnl, row.m2m) == (0, 175, 50)
    assert (row.close_source, row.complete_as_of) == ("the broker's positions", NINE)
    assert row.opening_source == "the broker's overnight quantity"
    desk.trade("SELL", 60, 100, product=CARRY)
    assert (desk.row().quantity, desk.row().realised_pnl, desk.row().average_price) == (-10, 225, 100)


def test_todays_fills_known_before_the_positions_were_read_count_once():
    desk = Desk()
    first = desk.trade("BUY", 10, 100, product=CARRY)
    again = position(30, overnight_quantity=D(20), day_buy_quantity=D(10), buy_quantity=D(30), buy_value=D(2900))
    assert desk.book.seed([again], [first], desk.now) == []
    row = desk.row()
    assert (row.quantity, row.overnight_quantity, row.day_buy_quantity) == (30, 20, 10)
    assert (row.overnight_price, row.average_price_basis) == (95, PriceBasis.DERIVED)  # (2900 - 1000) / 20


def test_a_broker_that_tells_no_day_quantities_has_its_net_less_our_fills_as_opening():
    desk = Desk()
    first = desk.trade("BUY", 10, 100, product=CARRY)
    desk.book.seed([position(30, overnight_quantity=D(0), average_price=D(90))], [first], desk.now)
    row = desk.row()
    assert (row.overnight_quantity, row.opening_source) == (20, "the broker's net less our fills")
    assert (row.overnight_price, row.average_price) == (85, 90)  # so that both together average 90


def test_a_fill_that_the_broker_counts_and_nobody_told_is_late_and_no_part_of_the_opening():
    desk = Desk()
    more = position(30, overnight_quantity=D(20), day_buy_quantity=D(10), day_sell_quantity=D(0), average_price=D(90))
    assert desk.book.seed([more], [], NINE) == []
    assert desk.row().quantity == 20
    assert [one.field for one in desk.book.compare([more])] == ["day_buy_quantity", "quantity"]
    desk.trade("BUY", 10, 95, product=CARRY)
    assert desk.row().quantity == 30


def test_units_converted_before_the_opening_are_told_with_both_sides_and_the_net_believed():
    desk = Desk()
    first = desk.trade("BUY", 10, 100)
    left = position(4, product=INTRADAY, overnight_quantity=D(0), day_buy_quantity=D(4), average_price=D(100))
    moved = replace(left, product=CARRY, quantity=D(6), day_buy_quantity=D(6))
    found = desk.book.seed([left, moved], [first], desk.now)
    assert found == [
        Discrepancy(INFY, INTRADAY, "NET", "overnight_quantity", D(-6), D(0)),
        Discrepancy(INFY, CARRY, "NET", "overnight_quantity", D(6), D(0)),
    ]
    assert [row.quantity for row in desk.book.rows()] == [6, 4]
    assert [(alert.code, alert.subject) for alert in desk.alerts] == [("OPENING_DIFFERS", one) for one in found]


def test_what_nobody_knows_the_cost_of_has_no_profit_until_it_is_gone():
    desk = Desk()
    desk.book.seed([position(10, day_buy_quantity=D(0), last_price=D(50))], [], NINE)
    row = desk.row()
    assert (row.average_price, row.unrealised_pnl, row.realised_pnl, row.value) == (None, None, 0, 500)
    desk.trade("SELL", 4, 60, product=CARRY)
    assert desk.row().realised_pnl is None
    desk.trade("SELL", 8, 60, product=CARRY)
    assert (desk.row().quantity, desk.row().average_price, desk.row().realised_pnl) == (-2, 60, None)
    assert desk.book.totals()["INR"].unknown == (INFY,)


def test_a_fill_older_than_the_opening_is_part_of_it():
    desk = Desk()
    desk.book.seed([position(10, average_price=D(50), day_buy_quantity=D(0))], [], NINE)
    desk.tell(desk.fill("BUY", 10, 50, product=CARRY, ts_event=NINE - DAY))
    assert (desk.row().quantity, desk.book.counters["before_opening"]) == (10, 1)


# -- days --------------------------------------------------------------------------------------------------------------


def test_at_the_day_roll_what_is_held_is_carried_over_and_the_close_stays_explicit():
    desk = Desk()
    desk.trade("BUY", 10, 100, product=CARRY)
    desk.trade("SELL", 4, 103, product=CARRY)
    desk.mark(105)
    assert desk.row().realised_pnl == 12
    desk.now += DAY
    row = desk.row()
    assert (row.overnight_quantity, row.day_buy_quantity, row.realised_pnl) == (6, 0, 0)
    assert (row.average_price, row.close_price, row.close_source) == (100, 105, "the last mark before 2026-01-06")
    assert (row.stale, row.m2m, row.unrealised_pnl) == (True, 0, 30)
    desk.book.roll("2026-01-06", {INFY: D("104.5")})
    assert (desk.row().m2m, desk.row().close_source) == (3, "given")


def test_a_fill_of_yesterday_told_today_goes_before_the_roll_and_of_longer_ago_into_the_opening():
    desk = Desk()
    desk.trade("BUY", 10, 100, product=CARRY)
    late = desk.fill("BUY", 5, 106, product=CARRY)
    desk.now += DAY
    assert desk.row().overnight_quantity == 10
    desk.tell(late)
    assert (desk.row().overnight_quantity, desk.row().average_price) == (15, 102)
    desk.now += DAY
    desk.tell(replace(late, trade_id="x"))
    assert (desk.row().quantity, desk.book.counters["before_opening"]) == (15, 1)


def test_deliveries_leave_for_the_holdings_when_the_day_ends():
    desk = Desk(delivered=lambda instrument, product: product is DELIVERY)
    desk.trade("BUY", 10, 100, product=DELIVERY)
    desk.trade("BUY", 2, 100)
    desk.now += DAY
    assert [(row.product, row.quantity) for row in desk.book.rows()] == [(INTRADAY, 2)]


def test_a_flat_position_is_gone_the_next_day():
    desk = Desk()
    desk.trade("BUY", 10, 100)
    desk.trade("SELL", 10, 101)
    assert len(desk.book.rows()) == 1
    desk.now += DAY
    assert desk.book.rows() == []


# -- conversions and adjustments ---------------------------------------------------------------------------------------


def test_a_conversion_moves_units_at_what_they_cost_and_realises_nothing():
    desk = Desk()
    for quantity, price in ((10, 100), (10, 110)):
        desk.trade("BUY", quantity, price)
    desk.book.converted((INFY, INTRADAY, "NET"), DELIVERY, D(5), overnight=False)
    old, new = desk.row(INFY, INTRADAY), desk.row(INFY, DELIVERY)
    assert (old.quantity, old.average_price, old.fifo_average_price) == (15, 105, D("103.333333333333"))
    assert (new.quantity, new.average_price, new.fifo_average_price) == (5, 105, 110)  # of today: the newest lots
    assert (old.realised_pnl, new.realised_pnl, new.day_buy_quantity, old.day_buy_quantity) == (0, 0, 5, 15)


def test_a_carried_over_part_is_converted_as_such():
    desk = Desk()
    desk.book.seed([position(10, average_price=D(90), day_buy_quantity=D(0))], [], NINE)
    desk.trade("BUY", 10, 100, product=CARRY)
    desk.book.converted((INFY, CARRY, "NET"), INTRADAY, D(4), overnight=True)
    old, new = desk.row(INFY, CARRY), desk.row(INFY, INTRADAY)
    assert (old.overnight_quantity, old.day_buy_quantity, old.quantity) == (6, 10, 16)
    assert (new.overnight_quantity, new.overnight_price, new.average_price) == (4, 90, 95)
    assert new.fifo_average_price == 90


def test_a_conversion_of_more_than_there_is_moves_what_there_is_and_says_so():
    desk = Desk()
    desk.trade("BUY", 3, 100)
    desk.book.converted((INFY, INTRADAY, "NET"), CARRY, D(5), overnight=False)
    assert (desk.row(INFY, INTRADAY).quantity, desk.row(INFY, CARRY).quantity) == (0, 3)
    assert [alert.code for alert in desk.alerts] == ["NOT_APPLIED"]


def test_a_split_and_a_bonus_change_units_and_no_money():
    desk = Desk()
    desk.trade("BUY", 10, 100)
    desk.book.adjust(adjustment("SPLIT", numerator=D(5), denominator=D(1)))
    assert (desk.row().quantity, desk.row().average_price, desk.row().day_buy_value) == (50, 20, 1000)
    desk.book.adjust(adjustment("BONUS", numerator=D(1), denominator=D(4)))
    assert (desk.row().quantity, desk.row().average_price) == (D("62.5"), 16)


def test_a_split_that_leaves_a_fraction_without_end_is_refused_and_told():
    desk = Desk()
    desk.trade("BUY", 10, 100)
    desk.book.adjust(adjustment("SPLIT", numerator=D(1), denominator=D(3)))
    assert desk.row().quantity == 10
    assert [alert.code for alert in desk.alerts] == ["NOT_APPLIED"]


def test_a_split_divides_a_close_of_our_own():
    desk = Desk()
    desk.trade("BUY", 10, 100, product=CARRY)
    desk.mark(110)
    desk.now += DAY
    desk.book.adjust(adjustment("SPLIT", numerator=D(2), ts_event=desk.now))
    desk.mark(56)
    assert (desk.row().close_price, desk.row().m2m) == (55, 20)


def test_an_expiry_closes_at_the_settlement_price():
    desk = Desk()
    desk.book.seed([position(-75, instrument_id=NIFTY, average_price=D(120), close_price=D(100))], [], NINE)
    desk.book.adjust(adjustment("EXPIRY", instrument_id=NIFTY, price=D("80.5")))
    row = desk.row(NIFTY)
    assert (row.quantity, row.realised_pnl, row.m2m) == (0, D("2962.5"), D("1462.5"))
    assert row.day_buy_quantity == 0


def test_an_assignment_is_two_legs():
    desk = Desk()
    desk.trade("SELL", 75, 40, instrument_id=NIFTY, product=CARRY)
    option = adjustment("ASSIGNMENT", adjustment_id="a", instrument_id=NIFTY, product=CARRY, quantity=D(75))
    desk.book.adjust(option)
    desk.book.adjust(adjustment("ASSIGNMENT", adjustment_id="b", product=CARRY, quantity=D(75), price=D(1500)))
    assert (desk.row(NIFTY).quantity, desk.row(NIFTY).realised_pnl) == (0, 3000)
    assert (desk.row().quantity, desk.row().average_price) == (75, 1500)


def test_dividends_are_income_and_shorts_pay_them():
    desk = Desk()
    desk.trade("BUY", 10, 100)
    desk.trade("SELL", 4, 100, product=CARRY)
    desk.book.adjust(adjustment("DIVIDEND", price=D("1.5")))
    assert (desk.row(INFY, INTRADAY).income, desk.row(INFY, CARRY).income) == (15, -6)
    assert (desk.row(INFY, INTRADAY).realised_pnl, desk.book.totals()["INR"].income) == (0, 9)


def test_transfers_change_the_position_and_realise_nothing():
    desk = Desk()
    into = adjustment("TRANSFER_IN", product=CARRY, quantity=D(10), price=D(90))
    desk.book.adjust(into)
    desk.book.adjust(adjustment("TRANSFER_OUT", product=CARRY, quantity=D(4)))
    assert (desk.row().quantity, desk.row().average_price, desk.row().realised_pnl) == (6, 90, 0)
    desk.book.adjust(into)  # the same again counts once
    assert desk.row().quantity == 6
    with pytest.raises(UsageError, match="was another one"):
        desk.book.adjust(replace(into, quantity=D(11)))


def test_an_external_trade_counts_as_a_trade_of_the_day():
    desk = Desk()
    desk.trade("BUY", 10, 100)
    desk.book.adjust(adjustment("EXTERNAL", product=INTRADAY, quantity=D(-10), price=D(101)))
    assert (desk.row().quantity, desk.row().realised_pnl, desk.row().day_sell_quantity) == (0, 10, 10)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (adjustment("DIVIDEND"), "has no price"),
        (adjustment("TRANSFER_IN", quantity=D(1)), "has no product"),
        (adjustment("EXTERNAL", product=INTRADAY, quantity=D(0), price=D(1)), "quantity is 0"),
        (adjustment("SPLIT", numerator=D(0)), "no ratio"),
        (adjustment("EXPIRY", price=D(-1)), "below 0"),
        (adjustment("SPLIT", adjustment_id=""), "adjustment_id is empty"),
        ("SPLIT", "is no Adjustment"),
    ],
)
def test_an_adjustment_that_does_not_say_enough_is_refused(wrong, says):
    desk = Desk()
    with pytest.raises(UsageError, match=says):
        desk.book.adjust(wrong)


# -- marks -------------------------------------------------------------------------------------------------------------


def test_a_mark_is_stale_when_it_is_old_when_its_stream_broke_and_when_there_is_none():
    desk = Desk()
    desk.trade("BUY", 10, 100)
    assert (desk.row().stale, desk.row().unrealised_pnl, desk.row().m2m) == (True, None, None)
    desk.mark(101)
    assert not desk.row().stale
    desk.now += NS
    desk.marking.interrupted([desk.master.handle(desk.master.get(INFY))])
    assert (desk.row().stale, desk.row().unrealised_pnl) == (True, 10)
    desk.now += NS
    desk.mark(102)
    assert not desk.row().stale
    desk.now += desk.marking.max_age_ns + 1
    assert desk.row().stale
    assert desk.book.totals()["INR"].stale == (INFY,)


def test_native_rows_follow_the_book_and_flat_ones_leave():
    desk = Desk()
    desk.trade("BUY", 10, 100)
    desk.trade("SELL", 4, 100, instrument_id=NIFTY)
    desk.mark(103)
    desk.mark(90, NIFTY)
    group = desk.marking.group("INR")
    assert (len(desk.marks), desk.marks.total(group)) == (2, 70.0)
    desk.trade("SELL", 10, 103)
    assert (len(desk.marks), desk.marks.total(group)) == (1, 40.0)
    assert float(desk.book.totals()["INR"].unrealised) == desk.marks.total(group)
    desk.trade("BUY", 1, 100)
    assert desk.marking.slot((INFY, INTRADAY, "NET")) is not None


def test_an_instrument_in_several_products_needs_the_product_named():
    desk = Desk()
    desk.trade("BUY", 1, 100)
    desk.trade("BUY", 1, 100, product=CARRY)
    with pytest.raises(UsageError, match="held as CARRY, INTRADAY"):
        desk.row()
    assert desk.row(INFY, CARRY).quantity == 1
    assert desk.book.row("NSE:NOTHING") is None
    assert desk.book.row((INFY, DELIVERY, "NET")) is None


# -- the broker's side -------------------------------------------------------------------------------------------------


def test_equal_numbers_at_either_way_of_counting_are_no_difference():
    desk = Desk()
    for side, quantity, price in (("BUY", 10, 100), ("BUY", 10, 110), ("SELL", 5, 120)):
        desk.trade(side, quantity, price, product=CARRY)
    told = position(15, overnight_quantity=D(0), day_buy_quantity=D(20), day_sell_quantity=D(5))
    at_average = replace(told, average_price=D(105), realised_pnl=D(75))
    fifo = replace(told, average_price=D("106.67"), realised_pnl=D("100.00"))
    assert desk.book.compare([at_average]) == desk.book.compare([fifo]) == desk.book.compare([told]) == []


def test_every_difference_has_both_sides_and_changes_nothing():
    desk = Desk()
    desk.trade("BUY", 10, 100, product=CARRY)
    told = position(10, overnight_quantity=D(0), day_buy_quantity=D(10), average_price=D("100.02"), realised_pnl=D(3))
    assert desk.book.compare([told]) == [
        Discrepancy(INFY, CARRY, "NET", "average_price", D(100), D("100.02")),
        Discrepancy(INFY, CARRY, "NET", "realised_pnl", D(0), D(3)),
    ]
    assert desk.book.compare([]) == [Discrepancy(INFY, CARRY, "NET", "quantity", D(10), D(0))]
    assert desk.book.compare([replace(told, quantity=D(11), day_buy_quantity=D(11))]) == [
        Discrepancy(INFY, CARRY, "NET", "day_buy_quantity", D(10), D(11)),
        Discrepancy(INFY, CARRY, "NET", "quantity", D(10), D(11)),
    ]
    assert desk.row().quantity == 10


# -- commission in the coin that is traded ----------------------------------------------------------------------------

PAIR = "XC:BTC/USDT"
CASH = Product.CASH


def spot_desk() -> Desk:
    rates = ChargesTable(
        rows=(ChargeRow(charge="brokerage", source="a test", as_of=date(2026, 1, 1), rate=D("0.001")),), currency=""
    )
    desk = Desk(charges=rates)
    desk.master.add([listed(PAIR, currency="USDT", lot_size=D("0.001"))])
    return desk


def test_a_commission_in_the_coin_bought_makes_the_position_what_can_be_sold():
    desk = spot_desk()
    bought = {"instrument_id": PAIR, "product": CASH, "exchange": "XC"}
    desk.trade("BUY", 1, 50_000, fee=D("0.001"), fee_currency="BTC", **bought)
    desk.mark(51_000, PAIR)
    row = desk.row(PAIR)
    assert (row.quantity, row.fee_quantity, row.day_buy_quantity) == (D("0.999"), D("0.001"), 1)
    assert desk.book.quantity((PAIR, CASH, "NET")) == D("0.999")
    # What the coins cost is what was paid for a coin: the commission is a charge and in no profit.
    assert (row.average_price, row.fifo_average_price, row.charges) == (50_000, 50_000, 50)
    assert (row.realised_pnl, row.unrealised_pnl, row.m2m) == (0, 999, 999)
    assert desk.book.day_made()["USDT"].profit == 999
    desk.trade("SELL", "0.999", 51_000, fee=D("50.949"), fee_currency="USDT", **bought)
    row = desk.row(PAIR)
    assert (row.quantity, row.realised_pnl, row.m2m, row.charges) == (0, 999, 999, D("100.949"))


def test_a_sale_charged_in_the_coin_sold_takes_more_out_of_the_position_than_was_sold():
    desk = spot_desk()
    desk.trade("BUY", 2, 100, instrument_id=PAIR, product=CASH)
    desk.trade("SELL", 1, 110, instrument_id=PAIR, product=CASH, fee=D("0.5"), fee_currency="BTC")
    row = desk.row(PAIR)
    assert (row.quantity, row.day_sell_quantity, row.realised_pnl) == (D("0.5"), 1, 15)
    assert row.charges == D("55.2")  # two coins bought by the table, half a coin at the price of the sale


def test_a_commission_in_a_third_coin_or_in_the_money_leaves_the_position_whole():
    desk = spot_desk()
    desk.trade("BUY", 1, 50_000, instrument_id=PAIR, product=CASH, fee=D("0.06"), fee_currency="BNB")
    desk.trade("BUY", 1, 50_000, instrument_id=PAIR, product=CASH, fee=D(50), fee_currency="USDT")
    row, totals = desk.row(PAIR), desk.book.totals()
    assert (row.quantity, row.fee_quantity) == (2, 0)
    assert (row.charges, row.charges_elsewhere) == (50, (("BNB", D("0.06")),))
    assert (totals["USDT"].charges, totals["USDT"].unknown_charges) == (50, ())
    assert (totals["BNB"].charges, totals["BNB"].positions) == (D("0.06"), 0)


def test_a_corrected_and_a_taken_back_fill_give_their_commission_back():
    desk = spot_desk()
    bought = {"instrument_id": PAIR, "product": CASH, "fee": D("0.001"), "fee_currency": "BTC"}
    first = desk.trade("BUY", 1, 50_000, **bought)
    desk.trade("BUY", 0, 50_000, correction_of=first.trade_id, **bought)
    assert desk.row(PAIR) is None
    rough = desk.trade("BUY", 1, 50_000, instrument_id=PAIR, product=CASH, is_synthetic=True)
    assert desk.row(PAIR).quantity == 1
    desk.tell(desk.fill("BUY", 1, 50_000, **bought), replaced=(rough.trade_id,))
    assert (desk.row(PAIR).quantity, desk.row(PAIR).fee_quantity) == (D("0.999"), D("0.001"))


def test_charges_that_nobody_knows_are_named_and_not_taken_for_nothing():
    shares = frozenset((InstrumentType.SPOT,))
    row = ChargeRow(charge="brokerage", source="a test", as_of=date(2026, 1, 1), types=shares, rate=D("0.01"))
    desk = Desk(charges=ChargesTable(rows=(row,), currency="INR"))
    desk.trade("BUY", 1, 100)
    assert desk.book.totals()["INR"].unknown_charges == ()
    desk.trade("BUY", 75, 40, instrument_id=NIFTY, product=CARRY)
    total = desk.book.totals()["INR"]
    assert (total.charges, total.unknown_charges) == (1, (NIFTY,))
    bare = Desk()
    bare.trade("BUY", 1, 100)
    assert bare.book.totals()["INR"].unknown_charges == (INFY,)


# -- corrections of what nobody has told ------------------------------------------------------------------------------


def carried(quantity: int, **more) -> Position:
    """A position of the morning, of a broker that tells the day's trades apart."""
    days = {"day_buy_quantity": D(0), "day_sell_quantity": D(0)}
    return position(quantity, average_price=D(100), **(days | more))


def test_a_correction_of_yesterdays_trade_neither_enlarges_nor_turns_the_position():
    asked = []
    desk = Desk(doubted=lambda: asked.append(desk.now))
    desk.book.seed([carried(100)], [], NINE)
    for side, quantity in (("BUY", 90), ("SELL", 300), ("BUY", 0)):
        terms = {"correction_of": "T0", "product": CARRY}
        desk.trade(side, quantity, 100, trade_id=f"C{quantity}", **terms)
        assert (desk.row().quantity, desk.row().day_buy_quantity, desk.row().day_sell_quantity) == (100, 0, 0)
    assert [alert.code for alert in desk.alerts] == ["NOT_APPLIED"] * 3
    assert "corrects trade T0 of NSE:INFY, which nobody has told" in desk.alerts[0].text
    assert len(asked) == 3
    desk.book.seed([carried(90)], [], desk.now)  # what the broker says then
    assert desk.row().quantity == 90


@pytest.mark.parametrize("apart", [True, False])
def test_a_correction_counts_once_its_trade_is_told_unless_the_opening_has_it(apart):
    desk = Desk()
    terms = {"product": CARRY, "order_id": "O"}
    desk.trade("BUY", 8, 100, trade_id="C", correction_of="T1", **terms)
    now = carried(8 if not apart else 0) if not apart else carried(0)
    if not apart:
        now = replace(now, overnight_quantity=D(0), day_buy_quantity=None, day_sell_quantity=None)
    desk.book.seed([now], [], desk.now)
    assert desk.row() is None if apart else desk.row().quantity == 8
    desk.trade("BUY", 10, 100, trade_id="T1", **terms)
    assert (desk.row().quantity, desk.row().average_price) == (8, 100)


def test_of_corrections_told_before_their_trade_the_newest_counts_and_those_of_corrections_too():
    desk = Desk()
    for name, old, units in (("C1", "T1", 90), ("C2", "T1", 80), ("C3", "C2", 70)):
        desk.trade("BUY", units, 10, trade_id=name, correction_of=old)
        assert desk.row() is None
    assert list(desk.book._counted.counting(0)) == []
    desk.trade("BUY", 100, 10, trade_id="T1")
    assert desk.row().quantity == 70
    assert [fill.trade_id for fill in desk.book._counted.counting(0)] == ["C3"]


def test_a_trade_corrected_under_its_own_id_waits_for_the_first_word_of_it():
    desk = Desk()
    desk.book.seed([carried(100)], [], NINE)
    desk.trade("BUY", 80, 10, trade_id="T1", correction_of="T1", product=CARRY)
    assert desk.row().quantity == 100
    desk.trade("BUY", 90, 10, trade_id="T1", product=CARRY)  # told late: it was of today
    assert desk.row().quantity == 180


def test_a_bust_of_what_was_folded_into_the_beginning_is_told():
    asked = []
    desk = Desk(doubted=lambda: asked.append(1))
    desk.trade("BUY", 100, 10, trade_id="T1", product=CARRY)
    for _ in range(3):
        desk.now += DAY
        desk.book.rows()
    desk.trade("BUY", 0, 10, trade_id="B", correction_of="T1", product=CARRY)
    assert (desk.row().quantity, [alert.code for alert in desk.alerts], asked) == (100, ["NOT_APPLIED"], [1])


def test_what_the_broker_lists_nowhere_begins_the_day_anew_with_what_was_counted():
    desk = spot_desk()
    bought = {"instrument_id": PAIR, "product": CASH, "fee": D("0.001"), "fee_currency": "BTC"}
    desk.trade("BUY", 1, 50_000, **bought)
    desk.now += DAY
    desk.book.seed([], [desk.fill("BUY", 1, 60_000, **bought)], desk.now, keep=(CASH,))
    row = desk.row(PAIR)
    assert (row.quantity, row.overnight_quantity, row.overnight_price) == (D("1.998"), D("0.999"), 50_000)
    assert (row.day_buy_quantity, row.fee_quantity) == (1, D("0.001"))
    desk.book.seed([], [], desk.now)
    assert desk.row(PAIR).quantity == D("0.999")


# -- splits that the broker's positions may have already ---------------------------------------------------------------

EX = NINE - 2 * 3600 * NS


def split(**more) -> Adjustment:
    return adjustment("SPLIT", **({"numerator": D(2), "ts_event": EX} | more))


@pytest.mark.parametrize("kind", ["SPLIT", "BONUS"])
def test_a_split_from_before_positions_were_read_needs_to_say_since_when_they_have_it(kind):
    desk = Desk()
    desk.book.seed([carried(200)], [], NINE)
    given = adjustment(kind, numerator=D(2), ts_event=EX)
    with pytest.raises(UsageError, match="whether they have it already is not known") as wrong:
        desk.book.adjust(given)
    assert "say as_of" in wrong.value.remedy
    assert (desk.row().quantity, desk.book.adjusted(given)) == (200, False)
    with pytest.raises(UsageError, match="before it counts"):
        desk.book.adjust(replace(given, as_of=EX - 1))


def test_a_split_that_the_positions_read_have_multiplies_nothing():
    desk = Desk()
    desk.book.seed([carried(200)], [], NINE)
    desk.book.adjust(split(as_of=EX))
    desk.book.adjust(split(as_of=EX))
    assert (desk.row().quantity, desk.row().average_price, desk.row().close_price) == (200, 100, None)
    desk.book.seed([carried(200)], [], NINE + NS)
    assert desk.row().quantity == 200
    assert desk.alerts == []


def test_a_split_that_the_broker_shows_later_multiplies_once():
    desk = Desk()
    desk.book.seed([carried(100)], [], NINE)
    desk.book.adjust(split(as_of=NINE + 3600 * NS))
    assert (desk.row().quantity, desk.row().average_price) == (200, 50)
    desk.now += 2 * 3600 * NS
    desk.book.seed([carried(200)], [], desk.now)  # by then it shows it
    assert desk.row().quantity == 200


@pytest.mark.parametrize(
    ("told", "quantity", "alerts"),
    [
        (carried(200), 200, ["NOT_APPLIED"]),  # shown everywhere, or nowhere: taken as it stands
        (replace(carried(200), overnight_quantity=D(100)), 200, []),  # shown in the net alone
        (replace(carried(190), overnight_quantity=D(100), day_sell_quantity=D(10)), 200, []),
    ],
)
def test_a_split_of_an_earlier_run_is_not_made_twice(told, quantity, alerts):
    desk = Desk()
    desk.book.adjust(split(), restored=True)
    desk.book.seed([told], [], NINE)
    assert (desk.row().quantity, [alert.code for alert in desk.alerts]) == (quantity, alerts)


def test_a_split_that_another_process_wrote_down_is_told_where_it_may_be_in_the_positions():
    desk = Desk()
    desk.book.seed([carried(200)], [], NINE)
    assert enter(desk.book, [{"what": "adjustment", "adjustment": to_plain(split())}]) == 1
    assert (desk.row().quantity, [alert.code for alert in desk.alerts]) == (200, ["NOT_APPLIED"])
    assert "taken for what can be sold, and not multiplied here" in desk.alerts[0].text


def test_the_price_that_came_with_a_position_is_stale_a_minute_after_it_was_read():
    desk = Desk()
    desk.book.seed([carried(100, last_price=D(110))], [], NINE)
    assert (desk.row().last_price, desk.row().stale) == (110, False)
    desk.now = NINE + 61 * NS
    assert (desk.row().last_price, desk.row().stale) == (110, True)


@pytest.mark.parametrize(
    ("carries", "bought", "quantity", "counts"),
    [
        (100, 8, 108, True),  # the broker's day has the correction: its trade was of today
        (90, 0, 90, False),  # it has not: what it carried over is another amount
        (100, 3, 100, False),  # neither: nobody knows yet
    ],
)
def test_the_brokers_day_says_whether_a_correction_is_of_today(carries, bought, quantity, counts):
    desk = Desk()
    desk.book.seed([carried(100)], [], NINE)
    desk.trade("BUY", 8, 100, trade_id="C", correction_of="T1", product=CARRY)
    read = carried(carries, day_buy_quantity=D(bought))
    desk.book.seed([replace(read, quantity=D(carries + bought))], [], desk.now)
    assert (desk.row().quantity, desk.row().day_buy_quantity) == (quantity, 8 if counts else 0)
    yesterday = {"trade_id": "T1", "product": CARRY, "ts_event": NINE - DAY}
    desk.tell(desk.fill("BUY", 10, 100, **yesterday))  # told after all: it is no trade of today
    assert desk.row().quantity == quantity
