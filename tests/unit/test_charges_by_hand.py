"""What trades cost, worked out by hand from published rates, and as brokers' own replies and notes say it.

No number here was computed by this project: each line of a sum stands beside what it adds up to. Where a figure is
published (a reply of a broker, a contract note, a list of worked examples) the test says so.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from dragoman.model import AssetClass, Fill, Instrument, InstrumentType, Liquidity, Product, Side
from dragoman.plugin.registry import load_adapter
from dragoman.portfolio.charges import charges_of

D = Decimal
NOVEMBER = date(2026, 11, 2)
DELIVERY, INTRADAY, CARRY = Product.DELIVERY, Product.INTRADAY, Product.CARRY


def listed(exchange: str, kind: str = "SPOT", multiplier: str = "1", currency: str = "INR") -> Instrument:
    name = f"{exchange}:X"
    return Instrument(
        name,
        "X",
        exchange,
        AssetClass.EQUITY,
        InstrumentType(kind),
        "X",
        "1",
        multiplier=D(multiplier),
        currency=currency,
    )


NSE, FUTURE, OPTION = listed("NSE"), listed("NFO", "FUTURE"), listed("NFO", "OPTION")


def cost(broker, instrument, *trades, product=DELIVERY, on=NOVEMBER, **more):
    """Return what `trades` of (side, quantity, price) cost, each an order of its own."""
    noon = int(datetime(on.year, on.month, on.day, 6, tzinfo=UTC).timestamp()) * 10**9
    fills = [
        Fill(
            trade_id=str(at),
            order_id=str(at),
            instrument_id=instrument.instrument_id,
            side=Side(side),
            quantity=D(quantity),
            price=D(price),
            product=product,
            ts_event=noon,
            **more,
        )
        for at, (side, quantity, price) in enumerate(trades)
    ]
    return charges_of(load_adapter(broker).charges_table, instrument, fills)


# --- recorded: what a broker's own calculator answered ----------------------------------------------------------------


@pytest.fixture
def recorded(real_data):
    folder = real_data / "kite-mocks"
    if not folder.is_dir():
        pytest.skip("no kite-mocks beside this clone")
    return lambda name: json.loads((folder / name).read_text())["data"]


KINDS = {"SBIN": NSE, "GOLDPETAL23JULFUT": listed("MCX", "FUTURE"), "NIFTY2371317900PE": OPTION}


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_recorded_contract_note_is_ours_line_by_line(recorded, at):
    row = recorded("virtual_contract_note.json")[at]
    told = row["charges"]
    trade = (row["transaction_type"], row["quantity"], str(row["price"]))
    product = DELIVERY if row["product"] == "CNC" else CARRY
    ours = cost("zerodha", KINDS[row["tradingsymbol"]], trade, product=product, on=date(2023, 7, 12))
    assert (ours.transaction_tax, ours.transaction_tax_type) == (
        D(str(told["transaction_tax"])),
        told["transaction_tax_type"],
    )
    assert ours.exchange_fee == D(str(told["exchange_turnover_charge"]))
    assert ours.regulator_fee == D(str(told["sebi_turnover_charge"]))
    assert ours.brokerage == D(str(told["brokerage"]))
    assert ours.gst == round(D(str(told["gst"]["total"])), 8)
    # The reply tells stamp duty in whole rupees: of 560 at 0.015 % 0.084, of 150 at 0.003 % 0.0045; a sale pays none.
    stamp = {"SBIN": D("0.084"), "NIFTY2371317900PE": D("0.0045")}.get(row["tradingsymbol"])
    assert (ours.stamp_duty, told["stamp_duty"]) == (stamp, 0)
    assert ours.total == round(D(str(told["total"])), 8) + (stamp or 0)


@pytest.mark.parametrize(("at", "turnover"), [(0, "2673.75"), (1, "521.25")])
def test_a_recorded_margin_reply_leaves_the_protection_fund_out_and_is_ours_otherwise(recorded, at, turnover):
    told = recorded("basket_margins.json")["orders"][at]["charges"]
    ours = cost("zerodha", OPTION, ("SELL" if at == 0 else "BUY", "1", turnover), product=CARRY, on=date(2023, 7, 12))
    assert ours.transaction_tax == round(D(str(told["transaction_tax"])), 8)
    assert ours.exchange_fee - D(turnover) * D("0.000005") == D(str(told["exchange_turnover_charge"]))
    assert ours.regulator_fee == round(D(str(told["sebi_turnover_charge"])), 8)
    assert ours.brokerage == 20
    assert abs(ours.gst - D(str(told["gst"]["total"]))) < D("0.00000001")  # the reply is a float


def test_before_its_rates_begin_a_table_says_unknown_and_not_less():
    # `order_margins.json` is of 2022 (0.00345 % for NSE, a paisa of brokerage): rates that no list read here has.
    assert cost("zerodha", NSE, ("BUY", "1", "1498"), on=date(2022, 6, 1)) is None


def test_a_contract_note_of_june_2024_is_ours_but_for_its_rounding():
    # Published note: one lot of 15 BANKNIFTY futures sold at 48,480.00, turnover 727,200.
    ours = cost("zerodha", FUTURE, ("SELL", "15", "48480"), product=CARRY, on=date(2024, 6, 25))
    assert ours.brokerage == 20
    assert ours.transaction_tax == D("90.9")  # 0.0125 %; the note has whole rupees: 91.00
    assert ours.exchange_fee == D("14.39856")  # 0.00188 % is 13.67136, and 10 per crore 0.7272; the note: 14.40
    assert ours.regulator_fee == D("0.7272")  # 10 per crore; the note: 0.73
    assert ours.gst == D("6.3226368")  # 18 % of 20 + 14.39856 + 0.7272 = 35.12576; the note: 3.16 and 3.16
    assert ours.stamp_duty is None
    assert ours.total == D("132.3483968")  # the note: 91.00 + 20.00 + 14.40 + 0.73 + 6.32 = 132.45


# --- India, at the rates of November 2026 -----------------------------------------------------------------------------

ROUND_TRIP = (("BUY", "100", "100"), ("SELL", "100", "102"))  # 10,000 and 10,200: 20,200
LOT = (("BUY", "75", "22000"), ("SELL", "75", "22100"))  # 1,650,000 and 1,657,500: 3,307,500
PREMIUM = (("BUY", "1100", "90"), ("SELL", "1100", "100"))  # 99,000 and 110,000: 209,000


def test_shares_of_a_day_at_zerodha():
    ours = cost("zerodha", NSE, *ROUND_TRIP, product=INTRADAY)
    assert ours.brokerage == D("6.06")  # 0.03 %: 3.00 and 3.06
    assert ours.transaction_tax == D("2.55")  # 0.025 % of 10,200
    assert ours.exchange_fee == D("0.62014")  # 0.00307 % of 20,200: 306.99 and 0.01 per crore
    assert ours.regulator_fee == D("0.0202")
    assert ours.stamp_duty == D("0.3")  # 0.003 % of 10,000
    assert ours.gst == D("1.2060612")  # 18 % of 6.06 + 0.62014 + 0.0202 = 6.70034
    assert ours.total == D("10.7564012")  # published: 10.76
    assert (ours.unverified, ours.as_of) == ((), date(2026, 10, 8))


def test_shares_bought_for_delivery_and_sold_out_of_holdings_at_zerodha():
    bought = cost("zerodha", NSE, ("BUY", "100", "100"))
    # tax 10 + exchange 0.307 + regulator 0.01 + stamp 1.5 + GST 18 % of 0.317 = 0.05706, and no brokerage
    assert (bought.brokerage, bought.total, bought.depository_fee) == (0, D("11.87406"), None)
    sold = cost("zerodha", NSE, ("SELL", "60", "102"), ("SELL", "40", "102"))
    # 10,200: tax 10.2 + exchange 0.31314 + regulator 0.0102 + GST 18 % of 0.32334 = 0.0582012;
    # and once 3.5 + 9.5 with 2.34 GST
    assert (sold.depository_fee, sold.total) == (D("15.34"), D("25.9215412"))
    both = cost("zerodha", NSE, *ROUND_TRIP)  # what came and went on one day leaves no depository
    assert (both.depository_fee, both.transaction_tax) == (None, D("20.2"))


def test_shares_on_borrowed_money_at_zerodha():
    # Published: 1,000 shares bought at 1,000 and sold at 1,050 pay 20 of brokerage each way.
    ours = cost("zerodha", NSE, ("BUY", "1000", "1000"), ("SELL", "1000", "1050"), product=Product.MTF)
    assert (ours.brokerage, ours.unverified) == (40, ())
    assert cost("zerodha", NSE, ("BUY", "1", "1000"), product=Product.MTF).brokerage == 3


def test_shares_at_bse_pay_its_own_rate():
    ours = cost("zerodha", listed("BSE"), ("BUY", "100", "100"), product=INTRADAY)
    assert ours.exchange_fee == D("0.375")  # 0.00375 %


def test_a_lot_of_futures_at_zerodha():
    ours = cost("zerodha", FUTURE, *LOT, product=CARRY)
    assert ours.brokerage == 40  # 0.03 % is 495 and 497.25: capped
    assert ours.transaction_tax == D("828.75")  # 0.05 % of 1,657,500
    assert ours.exchange_fee == D("60.52725")  # 0.00183 %
    assert ours.regulator_fee == D("3.3075")
    assert ours.stamp_duty == 33  # 0.002 % of 1,650,000
    assert ours.gst == D("18.690255")  # 18 % of 40 + 60.52725 + 3.3075 = 103.83475
    assert ours.total == D("984.275005")  # published with the tax in whole rupees, 829: 984.53


def test_options_at_zerodha_on_both_exchanges():
    ours = cost("zerodha", OPTION, *PREMIUM, product=CARRY)
    # 40 + tax 0.15 % of 110,000 = 165 + exchange 0.03553 % = 74.2577 + 0.209 + stamp 2.97
    # + GST 18 % of 114.4667 = 20.604006
    assert ours.total == D("303.040706")  # published: 303.04
    other = cost("zerodha", listed("BFO", "OPTION"), ("BUY", "1000", "90"), ("SELL", "1000", "100"), product=CARRY)
    # 190,000: 40 + 150 + exchange 0.0325 % = 61.75 + 0.19 + stamp 2.7 + 18 % of 101.94 = 18.3492
    assert other.total == D("272.9892")  # published: 272.99
    assert cost("zerodha", OPTION, ("BUY", "100", "0.05"), product=CARRY).brokerage == 20  # flat, whatever the premium


def test_futures_at_bse_pay_no_exchange_charge():
    ours = cost("zerodha", listed("BFO", "FUTURE"), ("BUY", "300", "100"), ("SELL", "300", "100"), product=CARRY)
    # brokerage 9 + 9, tax 15, regulator 0.06, stamp 0.6, GST 18 % of 18.06 = 3.2508
    assert (ours.exchange_fee, ours.total) == (0, D("36.9108"))  # published: 36.91


def test_commodities_at_zerodha():
    ours = cost("zerodha", listed("MCX", "FUTURE", "100"), ("SELL", "5", "2210.95"), product=CARRY)
    # 1,105,475: 20 + tax 0.01 % = 110.5475 + exchange 0.0021 % = 23.214975 + 1.105475 + 18 % of 44.32045 = 7.977681
    assert (ours.transaction_tax_type, ours.total) == ("ctt", D("162.845631"))
    option = cost("zerodha", listed("MCX", "OPTION"), ("SELL", "1000", "100"), product=CARRY)
    # 100,000: 20 + tax 0.05 % = 50 + exchange 0.0418 % = 41.8 + 0.1 + 18 % of 61.9 = 11.142
    assert option.total == D("123.042")


def test_currencies_at_zerodha_pay_no_tax():
    ours = cost("zerodha", listed("CDS", "FUTURE", "1000"), ("BUY", "1", "84.25"), product=CARRY)
    # 84,250: 20 (0.03 % is 25.275) + exchange 0.00035 % = 0.294875 + 0.08425 + stamp 0.0001 % = 0.08425
    # + GST 18 % of 20.379125 = 3.6682425
    assert (ours.transaction_tax, ours.transaction_tax_type, ours.total) == (0, "", D("24.1316175"))
    option = cost("zerodha", listed("CDS", "OPTION", "1000"), ("SELL", "10", "0.5"), product=CARRY)
    # 5,000: 20 + exchange 0.0311 % = 1.555 + 0.005 + GST 18 % of 21.56 = 3.8808
    assert option.total == D("25.4408")


def test_upstox():
    day = cost("upstox", NSE, *ROUND_TRIP, product=INTRADAY)
    # brokerage 0.1 %: 20.2 + tax 2.55 + exchange 0.62014 + 0.0202 + stamp 0.3 + GST 18 % of 20.84034 = 3.7512612
    assert day.total == D("27.4416012")  # published: 27.44
    bought = cost("upstox", NSE, ("BUY", "100", "100"))
    # brokerage 20 + tax 10 + exchange 0.307 + 0.01 + stamp 1.5 + GST 18 % of 20.317 = 3.65706
    assert bought.total == D("35.47406")
    sold = cost("upstox", NSE, ("SELL", "100", "102"))
    # 20 + 10.2 + 0.31314 + 0.0102 + GST 18 % of 20.32334 = 3.6582012, and 20 for the depository with 3.6 GST
    assert sold.total == D("57.7815412")
    assert "dp, with gst: differs by the account's plan" in sold.unverified
    small = cost("upstox", FUTURE, ("BUY", "300", "100"), ("SELL", "300", "100"), product=CARRY)
    # brokerage 0.05 %: 30 + tax 15 + exchange 1.098 + 0.06 + stamp 0.6 + GST 18 % of 31.158 = 5.60844
    assert small.total == D("52.36644")  # published: 52.37
    assert cost("upstox", OPTION, *PREMIUM, product=CARRY).total == D("303.040706")  # published: 303.04
    gold = cost("upstox", listed("MCX", "FUTURE", "100"), ("SELL", "5", "2210.95"), product=CARRY)
    assert gold.total == D("162.845631")  # brokerage 0.05 % is capped at 20 as well: as at Zerodha
    assert cost("upstox", listed("CDS", "FUTURE", "1000"), ("BUY", "1", "84.25"), product=CARRY).total == D(
        "24.1316175"
    )


def test_fyers_adds_what_its_clearing_member_takes_and_no_gst_on_the_regulator():
    bought = cost("fyers", NSE, ("BUY", "100", "100"))
    # brokerage 20 (0.3 % is 30) + tax 10 + exchange 0.307 + 0.01 + stamp 1.5 + GST 18 % of 20.307 = 3.65526
    assert bought.total == D("35.47226")
    day = cost("fyers", NSE, *ROUND_TRIP, product=INTRADAY)
    # 6.06 + 2.55 + 0.62014 + 0.0202 + 0.3 + GST 18 % of 6.68014 = 1.2024252
    assert day.total == D("10.7527652")
    lot = cost("fyers", FUTURE, *LOT, product=CARRY)
    # 40 + 828.75 + exchange 60.52725 + clearing 0.0005 % = 16.5375 + 3.3075 + 33 + GST 18 % of 117.06475 = 21.071655
    assert (lot.exchange_fee, lot.total) == (D("77.06475"), D("1003.193905"))
    premium = cost("fyers", OPTION, *PREMIUM, product=CARRY)
    # 40 + 165 + 74.2577 + clearing 0.009 % = 18.81 + 0.209 + 2.97 + GST 18 % of 133.0677 = 23.952186
    assert premium.total == D("325.198886")
    gold = cost("fyers", listed("MCX", "FUTURE", "100"), ("SELL", "5", "2210.95"), product=CARRY)
    # 20 + 110.5475 + 23.214975 + clearing 0.0018 % = 19.89855 + 1.105475 + GST 18 % of 63.113525 = 11.3604345
    assert gold.total == D("186.1269345")
    dollar = cost("fyers", listed("CDS", "FUTURE", "1000"), ("BUY", "1", "84.25"), product=CARRY)
    # 20 + 0.294875 + clearing 0.0005 % = 0.42125 + 0.08425 + 0.08425 + GST 18 % of 20.716125 = 3.7289025
    assert dollar.total == D("24.6135275")
    assert dollar.unverified == (
        "clearing_fee: the newer list has no line for this segment",
        "exchange_fee: the protection fund, 0.05 per lakh in older lists, is not counted",
    )


def test_the_fund_of_nse_took_what_fyers_says_before_march_2026():
    # Published: a turnover of 410,000 pays 0.41 at 10 rupees per crore; the exchange took 0.00297 %: 12.177.
    ours = cost("fyers", NSE, ("BUY", "100", "4100"), product=INTRADAY, on=date(2025, 6, 2))
    assert ours.exchange_fee == D("12.587")


@pytest.mark.parametrize(
    ("day", "future", "option"),
    [
        ("2024-09-30", "12.5", "62.5"),
        ("2024-10-01", "20", "100"),
        ("2026-03-31", "20", "100"),
        ("2026-04-01", "50", "150"),
    ],
)
def test_the_tax_is_that_of_the_day_of_the_trade(day, future, option):
    for instrument, expected in ((FUTURE, future), (OPTION, option)):
        found = cost("zerodha", instrument, ("SELL", "1000", "100"), product=CARRY, on=date.fromisoformat(day))
        assert found.transaction_tax == D(expected)


# --- the United States, and coins -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "total"),
    [
        ("2026-11-02", "0.209"),  # 20.60 per million of 10,000 = 0.206, no TAF in the last quarter, CAT 0.003
        ("2026-06-01", "0.404"),  # 0.206 + TAF 0.195 + CAT 0.003
        ("2026-03-02", "0.195"),  # no SEC fee before 4 April, no CAT before May
    ],
)
def test_a_sale_of_1000_us_shares_at_10_dollars(day, total):
    shares = listed("US", currency="USD")
    assert cost("alpaca", shares, ("SELL", "1000", "10"), on=date.fromisoformat(day)).total == D(total)
    assert cost("alpaca", shares, ("BUY", "1000", "10")).total == D("0.003")


def test_ten_us_options_sold_at_2_dollars():
    ours = cost("alpaca", listed("US", "OPTION", "100", "USD"), ("SELL", "10", "2"))
    # 20.60 per million of 2,000 = 0.0412, no TAF; ORF and CAT 0.02715 and OCC 0.025 a contract: 0.2715 and 0.25
    assert (ours.transaction_tax, ours.regulator_fee, ours.exchange_fee) == (D("0.0412"), 0, D("0.5215"))
    assert ours.total == D("0.5627")
    assert len(ours.unverified) == 2


def test_the_activity_fee_of_a_large_sale_is_capped():
    ours = cost("alpaca", listed("US", currency="USD"), ("SELL", "100000", "10"), on=date(2026, 6, 1))
    assert ours.regulator_fee == D("9.79")  # 0.000195 of 100,000 shares is 19.5


def test_coins_pay_makers_and_takers_rates():
    pair = listed("BINANCE", currency="USDT")
    assert cost("binance", pair, ("BUY", "0.5", "50000")).total == 25  # 0.1 %
    perpetual = listed("BINANCE", "PERP", currency="USDT")
    taker = cost("binance", perpetual, ("BUY", "0.02", "50000"), liquidity=Liquidity.TAKER)
    maker = cost("binance", perpetual, ("BUY", "0.02", "50000"), liquidity=Liquidity.MAKER)
    assert (taker.total, maker.total) == (D("0.5"), D("0.2"))  # published, of 1,000 USDT
    dollars = listed("ALPACA", currency="USD")
    assert cost("alpaca", dollars, ("BUY", "1", "1000"), liquidity=Liquidity.MAKER).total == D("1.5")
    assert cost("alpaca", dollars, ("BUY", "1", "1000")).total == D("2.5")
