"""How prices, quantities and times look to people, wherever they look."""

from __future__ import annotations

from datetime import timedelta, timezone
from decimal import Decimal

import pytest

from dragoman.cli.output import amount
from dragoman.cli.watch.cells import exact_price, units
from dragoman.model.figures import clock, counted, priced
from dragoman.report.cells import money, quantity

IST = timezone(timedelta(hours=5, minutes=30))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1521.2333333", "1,521.2333"),
        ("1234567", "1,234,567.00"),
        ("97.5", "97.50"),
        ("0.0025", "0.0025"),
        ("-3.125", "-3.125"),
        ("1.23001", "1.23"),
        ("0", "0.00"),
    ],
)
def test_a_price_has_two_to_four_digits_and_the_same_ones_in_every_place(value, text):
    assert priced(Decimal(value)) == exact_price(Decimal(value)) == money(value) == text
    assert amount(Decimal(value)) == text.replace(",", "")


@pytest.mark.parametrize(("value", "text"), [("1200", "1,200"), ("0.10", "0.1"), ("0.00000001", "0.00000001")])
def test_a_quantity_keeps_all_its_digits_and_no_zeros_behind_them(value, text):
    assert counted(Decimal(value)) == units(Decimal(value)) == quantity(value) == text


def test_what_is_no_number_is_no_reason_to_fail():
    assert (exact_price(None), money(None), amount(None), amount(Decimal("NaN"))) == ("", "", "", "")
    assert money("Infinity") == "Infinity"


def test_a_time_of_day_is_of_the_zone_that_is_asked_for():
    ns = (6 * 3600 + 7 * 60 + 8) * 10**9 + 999_999_999
    assert (clock(ns), clock(ns, IST), clock(ns, IST, seconds=False)) == ("06:07:08", "11:37:08", "11:37")
