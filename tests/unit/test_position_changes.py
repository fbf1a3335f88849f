"""Adjustments and conversions as a journal has them: entered once, whatever else it says."""

from __future__ import annotations

import logging
from decimal import Decimal

import pytest

from dragoman.orders.journal import Kind, Record
from dragoman.orders.journal.codec import to_plain
from dragoman.orders.recovery import recover
from dragoman.portfolio.adjust import Converted
from dragoman.portfolio.changes import enter
from unit.test_position_book import CARRY, DAY, INFY, INTRADAY, NINE, NS, Desk, adjustment, position

D = Decimal


def conversion(quantity: int, **more) -> Converted:
    terms = {"conversion_id": "run-1", "instrument_id": INFY, "product": INTRADAY, "to_product": CARRY}
    terms |= {"quantity": D(quantity), "overnight": False, "ts_event": NINE + 3600 * NS} | more
    return Converted(**terms)


def adjusted(kind: str, **more) -> dict:
    return {"what": "adjustment", "adjustment": to_plain(adjustment(kind, **more))}


def moved(quantity: int, **more) -> dict:
    return {"what": "conversion", "conversion": to_plain(conversion(quantity, **more))}


def record(number: int, payload: object, kind: Kind = Kind.CONTROL) -> Record:
    return Record(kind, NINE + number, 1, number, "run", payload)


def test_what_was_written_counts_once_however_often_it_is_read():
    desk, written = Desk(), [moved(4), adjusted("TRANSFER_IN", product=CARRY, quantity=D(2), price=D(90))]
    desk.trade("BUY", 10, 100)
    desk.now = NINE + 7200 * NS
    assert [enter(desk.book, written), enter(desk.book, written)] == [2, 0]
    assert (desk.row(INFY, INTRADAY).quantity, desk.row(INFY, CARRY).quantity) == (6, 6)
    assert desk.alerts == []


def test_what_was_written_before_the_fills_are_known_waits_for_them():
    desk = Desk()
    assert enter(desk.book, [moved(4)]) == 1
    assert desk.alerts == []  # nothing is known yet of what it is about
    fill = desk.fill("BUY", 10, 100)
    rows = [
        position(6, product=INTRADAY, overnight_quantity=D(0), day_buy_quantity=D(6)),
        position(4, overnight_quantity=D(0), day_buy_quantity=D(4)),
    ]
    assert desk.book.seed(rows, [fill], NINE + 7200 * NS) == []
    assert (desk.row(INFY, INTRADAY).quantity, desk.row(INFY, CARRY).quantity) == (6, 4)
    assert desk.alerts == []


def test_what_cannot_be_applied_is_told_once_the_opening_is_known():
    desk = Desk()
    enter(desk.book, [moved(4)])
    desk.book.seed([], [desk.fill("BUY", 3, 100)], NINE + 7200 * NS)
    assert [alert.code for alert in desk.alerts] == ["NOT_APPLIED"]


def test_a_conversion_that_the_opening_has_seen_already_is_no_second_one():
    desk = Desk()
    rows = [
        position(6, product=INTRADAY, overnight_quantity=D(0), day_buy_quantity=D(6)),
        position(4, overnight_quantity=D(0), day_buy_quantity=D(4)),
    ]
    desk.book.seed(rows, [desk.fill("BUY", 10, 100)], NINE + 7200 * NS)
    before = desk.book.rows()
    assert enter(desk.book, [moved(4)]) == 0
    assert desk.book.rows() == before


@pytest.mark.parametrize("overnight", [True, False])
def test_what_was_converted_on_an_earlier_day_is_in_what_the_day_began_with(overnight):
    desk = Desk()
    desk.now = NINE + DAY
    desk.book.seed([position(10, average_price=D(90), day_buy_quantity=D(0))], [], desk.now)
    assert enter(desk.book, [moved(4, overnight=overnight), adjusted("SPLIT", numerator=D(2))]) == 0
    assert desk.row().quantity == 10


def test_a_carried_over_part_that_was_converted_is_not_moved_again():
    desk = Desk()
    enter(desk.book, [moved(4, product=CARRY, to_product=INTRADAY, overnight=True)])
    rows = [position(6, day_buy_quantity=D(0)), position(4, product=INTRADAY, day_buy_quantity=D(0))]
    assert desk.book.seed(rows, [], NINE + 7200 * NS) == []
    assert {row.product: row.overnight_quantity for row in desk.book.rows()} == {CARRY: 6, INTRADAY: 4}
    assert desk.alerts == []


@pytest.mark.logs
def test_records_that_are_damaged_or_of_a_later_version_are_left_out_with_a_word(caplog):
    desk = Desk()
    desk.trade("BUY", 10, 100)
    desk.now = NINE + 7200 * NS
    wrong = [
        {"what": "adjustment"},
        {"what": "adjustment", "adjustment": "SPLIT"},
        adjusted("SPLIT", numerator=D(0)),
        {"what": "adjustment", "adjustment": adjusted("SPLIT")["adjustment"] | {"kind": "MERGER"}},
        {"what": "conversion", "conversion": {"quantity": "4"}},
        {"what": "conversion", "conversion": moved(4)["conversion"] | {"quantity": "four"}},
    ]
    later = moved(4)
    later["conversion"]["reason"] = "of a later version"
    with caplog.at_level(logging.WARNING, logger="dragoman.portfolio"):
        assert enter(desk.book, [*wrong, later]) == 1
    assert len(caplog.records) == len(wrong)
    assert (desk.row(INFY, INTRADAY).quantity, desk.row(INFY, CARRY).quantity) == (6, 4)


def test_a_journal_yields_its_changes_in_order_and_nothing_else_of_the_account():
    written = [moved(1), {"what": "money", "day": "2026-01-05"}, adjusted("EXPIRY"), {"what": "kill switch"}]
    found = recover([record(number, one) for number, one in enumerate(written, 1)], "examplebroker")
    assert found.changes == [written[0], written[2]]
    assert found.unreadable == 0
