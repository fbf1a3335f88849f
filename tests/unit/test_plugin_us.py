"""Instruments of US exchanges, and the day's trades: the same at every broker."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from dragoman.errors import ErrorKind, UsageError
from dragoman.model import Fill, OptionType, Side
from dragoman.plugin.records import Records
from dragoman.plugin.traded import Traded
from dragoman.plugin.us import check_penny, us_id, us_option

D = Decimal
RECORDS = Records("examplebroker")


@pytest.mark.parametrize(
    ("symbol", "canonical"),
    [
        ("AAPL", "US:AAPL"),
        ("BRK.B", "US:BRK.B"),
        ("AAPL240621C00190000", "US:AAPL@20240621-190CE"),
        ("SPY261218P00650500", "US:SPY@20261218-650.5PE"),
        ("F     240621C00012000", "US:F@20240621-12CE"),
    ],
)
def test_symbols_are_shares_or_read_as_options(symbol, canonical):
    assert str(us_id(symbol)) == canonical


def test_an_option_is_named_by_its_terms():
    assert str(us_option("SPY", date(2026, 12, 18), D("650.5"), OptionType.PUT)) == "US:SPY@20261218-650.5PE"


@pytest.mark.parametrize("price", ["1", "1.01", "0.9999", "0.0001", "250.10"])
def test_prices_on_the_grid_pass(price):
    check_penny(RECORDS, D(price))


@pytest.mark.parametrize(("price", "nearest"), [("1.001", "1.00 or 1.01"), ("0.99999", "0.9999 or 1.0000")])
def test_prices_between_the_grid_are_refused_with_their_neighbours(price, nearest):
    with pytest.raises(UsageError, match="more decimals") as caught:
        check_penny(RECORDS, D(price))
    assert caught.value.kind is ErrorKind.INVALID_PRICE_TICK
    assert nearest in caught.value.remedy


def test_a_day_is_the_sum_of_its_fills_on_a_side():
    def fill(side, quantity, price):
        terms = {"broker": "x", "account_id": "A", "order_id": "1", "instrument_id": "US:X", "exchange": "US"}
        return Fill(**terms, trade_id=f"{side}{price}", side=side, quantity=D(quantity), price=D(price))

    fills = [fill(Side.BUY, 10, "5"), fill(Side.BUY, 30, "7"), fill(Side.SELL, 4, "9")]
    bought = Traded.of(fills, Side.BUY)
    assert (bought.quantity, bought.worth, bought.price) == (40, 260, D("6.5"))
    assert Traded.of(fills, Side.SELL).price == 9
    assert Traded.of([], Side.SELL).price == 0
