"""What trades cost: tables of rates, per order, and the brokers' own calculators."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from dragoman.model import AssetClass, Fill, Instrument, InstrumentType, Liquidity, Product, Side
from dragoman.plugin import ChargesTable
from dragoman.plugin.charges import _row
from dragoman.plugin.registry import load_adapter
from dragoman.portfolio import charges as charging
from dragoman.portfolio.charges import Charging, charges_of
from wire.trading import INFY, play

D = Decimal
STOCK = Instrument("NSE:INFY", "INFY", "NSE", AssetClass.EQUITY, InstrumentType.SPOT, "INFY", "1")
ADAPTERS = ("zerodha", "upstox", "fyers", "alpaca", "binance")


def fill(side: str, quantity: str, price: str, **more) -> Fill:
    terms = {"trade_id": "1", "order_id": "1", "instrument_id": "NSE:INFY", "product": Product.INTRADAY} | more
    return Fill(side=Side(side), quantity=D(quantity), price=D(price), **terms)


def table(*rows: dict, currency: str = "INR") -> ChargesTable:
    given = {"source": "a test", "as_of": date(2026, 1, 1)}
    return ChargesTable(tuple(_row("here", given | row) for row in rows), currency)


CAPPED = {"charge": "brokerage", "rate": "0.0003", "at_most": "20"}


def test_a_cap_counts_per_order_and_not_per_fill():
    rates = table(CAPPED)
    whole = [fill("BUY", "100", "400"), fill("BUY", "100", "600", trade_id="2")]
    assert charges_of(rates, STOCK, whole).brokerage == 20
    assert charges_of(rates, STOCK, [whole[0], replace(whole[1], order_id="2")]).brokerage == 30


def test_fills_that_come_and_go_cost_what_those_left_cost_by_themselves():
    rates = load_adapter("zerodha").charges_table
    fills = [
        fill("BUY" if at % 3 else "SELL", str(1 + at), f"{400 + at * 7}.05", trade_id=str(at), order_id=str(at // 3))
        for at in range(30)
    ]
    kept = Charging(rates, STOCK)
    for at, one in enumerate(fills):
        kept.count(one)
        assert kept.charges() == charges_of(rates, STOCK, fills[: at + 1])
    for at in range(29):
        kept.count(fills[at], -1)
        assert kept.charges() == charges_of(rates, STOCK, fills[at + 1 :])
        assert kept.total() == kept.charges().total


def test_a_fill_that_makes_charges_unknown_makes_them_known_by_leaving():
    kept = Charging(table(CAPPED | {"sides": ["BUY"]}), STOCK)
    kept.count(fill("BUY", "1", "1000"))
    sale = fill("SELL", "1", "1000", order_id="2")
    kept.count(sale)
    assert kept.total() is None
    kept.count(sale, -1)
    assert kept.total() == D("0.3")


def test_another_fill_has_only_its_own_order_counted_again(monkeypatch):
    counted, count = [], charging._order
    monkeypatch.setattr(charging, "_order", lambda rows, traded: counted.append(traded) or count(rows, traded))
    kept = Charging(table(CAPPED), STOCK)
    for at in range(200):
        kept.count(fill("BUY", "1", "1000", order_id=str(at)))
        kept.total()
    assert len(counted) == 200


def test_taxes_on_charges_come_last_whatever_the_order_of_rows():
    gst = {"charge": "gst", "rate": "0.18", "on": ["brokerage", "exchange_fee"]}
    found = charges_of(
        table(gst, {"charge": "exchange_fee", "rate": "0.00003"}, CAPPED), STOCK, [fill("BUY", "1", "1000")]
    )
    assert (found.brokerage, found.exchange_fee, found.gst) == (D("0.3"), D("0.03"), D("0.0594"))
    assert found.total == D("0.3894")


def test_a_fee_by_unit_is_rounded_up_to_the_cent_and_capped():
    taf = {"charge": "regulator_fee", "per_unit": "0.000166", "at_most": "8.30", "round_up": "0.01", "sides": ["SELL"]}
    rates = table(taf, {"charge": "brokerage"}, currency="USD")
    assert charges_of(rates, STOCK, [fill("SELL", "1", "10")]).total == D("0.01")
    assert charges_of(rates, STOCK, [fill("SELL", "1000", "10")]).total == D("0.17")
    assert charges_of(rates, STOCK, [fill("SELL", "100000", "10")]).total == D("8.3")
    assert charges_of(rates, STOCK, [fill("BUY", "1000", "10")]).total == 0


def test_the_first_row_that_fits_counts_and_makers_pay_as_makers():
    rates = table(
        {"charge": "brokerage", "rate": "0.0002", "liquidity": ["MAKER"]}, {"charge": "brokerage", "rate": "0.0005"}
    )
    trades = [fill("BUY", "1", "1000", liquidity=Liquidity.MAKER), fill("BUY", "1", "1000", liquidity=Liquidity.TAKER)]
    assert charges_of(rates, STOCK, trades[:1]).total == D("0.2")
    assert charges_of(rates, STOCK, trades).total == D("0.7")


def test_a_fill_that_tells_its_fee_counts_with_it_and_one_in_another_currency_beside_the_rest():
    told = fill("BUY", "1", "1000", fee=D("0.123"), fee_currency="INR")
    assert charges_of(table(CAPPED), STOCK, [told]).total == D("0.123")
    both = charges_of(table(CAPPED), STOCK, [told, replace(told, fee=D("0.004"), fee_currency="BNB")])
    assert (both.total, both.elsewhere) == (D("0.123"), (("BNB", D("0.004")),))
    kept = Charging(table(CAPPED), STOCK)
    foreign = replace(told, fee_currency="BNB")
    kept.count(foreign)
    kept.count(foreign, -1)
    assert (kept.total(), kept.elsewhere()) == (0, ())


def test_a_fee_in_the_coin_that_was_traded_is_worth_what_the_trade_paid_for_it():
    pair = replace(STOCK, instrument_id="XC:BTC/USDT", currency="USDT", multiplier=D(1))
    bought = fill("BUY", "2", "50000", instrument_id="XC:BTC/USDT", fee=D("0.002"), fee_currency="BTC")
    sold = replace(bought, side=Side.SELL, fee=D(50), fee_currency="USDT")
    rates = table(CAPPED, currency="")
    assert charges_of(rates, pair, [bought]).brokerage == 100
    assert charges_of(rates, pair, [bought, sold]).total == 150
    # The same letters are no coin of the trade where a stock is meant, nor of a perpetual, which holds none.
    for name in ("XC:BTC", "XC:BTC/USDT=PERP"):
        other = replace(pair, instrument_id=name)
        found = charges_of(rates, other, [replace(bought, instrument_id=name)])
        assert (found.total, found.elsewhere) == (0, (("BTC", D("0.002")),))


def test_what_no_row_is_for_is_unknown_and_not_free():
    futures = table(CAPPED | {"types": ["FUTURE"]})
    assert charges_of(futures, STOCK, [fill("BUY", "1", "1")]) is None


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"charge": "tip"}, "'tip' is none of"),
        ({"charge": "gst", "rate": 0.18}, "expected a number in quotes"),
        ({"charge": "gst", "sides": ["HOLD"]}, "sides has"),
        ({"charge": "gst", "rates": "1"}, "no fields of a charge"),
        ({"charge": "gst", "source": ""}, "source is missing"),
        ({"charge": "gst", "as_of": "2026"}, "expected a date"),
        ({"charge": "gst", "since": "2026"}, "since is '2026', expected a date"),
        ({"charge": "depository_fee", "per_debit": 1}, "expected a number in quotes"),
    ],
)
def test_a_wrong_row_is_refused_by_name(wrong, says):
    with pytest.raises(ValueError, match=says):
        table(wrong)


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_row_of_an_adapter_has_a_source_that_is_not_ours_and_its_day(name):
    rows = load_adapter(name).charges_table.rows
    assert rows
    for row in rows:
        assert row.as_of.year >= 2026
        assert len(row.source) > 20
        assert not re.search(r"emulator|dragoman|\.py|unverified", row.source), row.source


def test_rows_in_force_on_other_days_do_not_count():
    days = {"since": date(2026, 4, 1), "until": date(2026, 4, 30)}
    rates = table({"charge": "brokerage", "rate": "0.01"} | days, {"charge": "brokerage", "rate": "0.02"})
    for day, brokerage in ((31, 20), (31 + 1, 10), (31 + 30, 10), (31 + 31, 20)):
        when = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp() + (day - 1) * 86_400) * 10**9
        assert charges_of(rates, STOCK, [fill("BUY", "1", "1000", ts_event=when)]).brokerage == brokerage


def test_the_day_of_a_trade_is_that_of_the_tables_zone():
    late = int(datetime(2026, 3, 31, 20, 0, tzinfo=UTC).timestamp()) * 10**9  # already April in India
    rates = table({"charge": "brokerage", "rate": "0.01", "since": date(2026, 4, 1)}, CAPPED)
    one = fill("BUY", "1", "1000", ts_event=late)
    assert charges_of(rates, STOCK, [one]).brokerage == D("0.3")
    assert charges_of(replace(rates, time_zone="Asia/Kolkata"), STOCK, [one]).brokerage == 10


def test_a_table_that_lacks_a_charge_it_needs_knows_nothing_of_the_trade():
    lacking = replace(table(CAPPED), needs=frozenset(("brokerage", "exchange_fee")))
    assert charges_of(lacking, STOCK, [fill("BUY", "1", "1000")]) is None


def test_what_is_charged_once_a_day_counts_where_more_was_sold_than_bought():
    flat = {"charge": "depository_fee", "per_debit": "15.34", "sides": ["SELL"], "products": ["DELIVERY"]}
    kept = Charging(table(flat, {"charge": "brokerage"}), STOCK)
    sales = [fill("SELL", "5", "100", order_id=str(at), product=Product.DELIVERY) for at in range(3)]
    for one in sales:
        kept.count(one)
        assert (kept.total(), kept.charges().depository_fee) == (D("15.34"), D("15.34"))
    kept.count(fill("BUY", "14", "100", order_id="9", product=Product.DELIVERY))
    assert kept.total() == D("15.34")
    kept.count(fill("BUY", "1", "100", order_id="10", product=Product.DELIVERY))
    assert kept.total() == 0
    kept.count(fill("SELL", "5", "100", order_id="11", product=Product.INTRADAY))
    assert kept.total() == 0


def test_what_is_unverified_is_handed_on_by_name_and_once():
    doubtful = {"charge": "exchange_fee", "rate": "0.1", "name": "fee", "unverified": "read nowhere"}
    trades = [fill("BUY", "1", "100"), fill("BUY", "1", "100", order_id="2")]
    assert charges_of(table(doubtful, CAPPED), STOCK, trades).unverified == ("fee: read nowhere",)
    assert charges_of(table(CAPPED), STOCK, trades).unverified == ()


def test_a_table_may_include_what_is_the_same_at_every_broker():
    shared = load_adapter("zerodha").charges_table
    assert {row.source for row in shared.rows} & {row.source for row in load_adapter("fyers").charges_table.rows}
    assert (shared.time_zone, "exchange_fee" in shared.needs) == ("Asia/Kolkata", True)


FUTURE = replace(STOCK, exchange="NFO", instrument_type=InstrumentType.FUTURE, expiry=date(2026, 1, 27))
GOLD = replace(FUTURE, exchange="MCX", multiplier=D(100))


def test_an_intraday_sale_costs_what_is_counted_by_hand():
    found = charges_of(load_adapter("zerodha").charges_table, STOCK, [fill("SELL", "3", "1500.05")])
    turnover = D("4500.15")
    assert found.transaction_tax == round(turnover * D("0.00025"), 8)
    assert found.brokerage == round(turnover * D("0.0003"), 8)
    # 18 % of 1.350045 + exchange 0.00307 % = 0.138154605 + 0.00450015 = 1.492699755
    assert found.gst == D("0.26868596")
    # 1.1250375 + 1.350045 + 0.138154605 + 0.00450015 + 0.2686859559
    assert (found.total, found.transaction_tax_type) == (D("2.88642321"), "stt")


@pytest.mark.parametrize("name", ["zerodha", "upstox", "fyers"])
def test_commodities_pay_their_tax_when_sold_and_currencies_none(name):
    rates = load_adapter(name).charges_table
    sold, bought = (charges_of(rates, GOLD, [fill(side, "5", "2210.95")]) for side in ("SELL", "BUY"))
    assert (sold.transaction_tax, sold.transaction_tax_type) == (D("110.5475"), "ctt")
    assert bought.transaction_tax == 0
    for exchange in ("CDS", "BCD"):
        found = charges_of(rates, replace(GOLD, exchange=exchange), [fill("SELL", "5", "2210.95")])
        assert (found.transaction_tax, found.transaction_tax_type) == (0, "")
        assert found.exchange_fee > 0


def test_the_charges_of_a_live_position_are_what_the_broker_answers():
    async def scenario(world):
        order = await world.rest()
        world.sell_into(world.price(), 10)
        await world.client.wait_order(order.client_order_id)
        (told,) = await world.client.charges(await world.client.trades())
        row = world.client.portfolio.live.row(INFY)
        stamp = world.price() * 10 * D("0.00003")
        assert told.stamp_duty == round(stamp)  # the one line that the broker tells in rupees
        assert row.charges > 0
        assert abs(row.charges - stamp - (told.total - told.stamp_duty)) < D("0.0001")  # its answer is a float
        live = world.client.portfolio.live
        assert live.totals()["INR"].charges == row.charges
        parts = live.charges((INFY, Product.INTRADAY, "NET"))
        assert (parts.total, parts.stamp_duty, parts.unverified) == (row.charges, stamp, ())
        assert live.charges((INFY, Product.DELIVERY, "NET")).total == 0
        assert live.charges(("NSE:NONE", Product.DELIVERY, "NET")) is None

    play(scenario)
