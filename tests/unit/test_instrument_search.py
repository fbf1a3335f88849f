"""Finding instruments by a human's words."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from dragoman.market import InstrumentMaster
from dragoman.model import AssetClass, Instrument, InstrumentType, OptionType


def cash(symbol: str, name: str, exchange: str = "NSE") -> Instrument:
    return Instrument(
        f"{exchange}:{symbol}", symbol, exchange, AssetClass.EQUITY, InstrumentType.SPOT, symbol, "", name=name
    )


def option(root: str, expiry: date, strike: str, kind: OptionType) -> Instrument:
    code = "CE" if kind is OptionType.CALL else "PE"
    return Instrument(
        f"NFO:{root}@{expiry:%Y%m%d}-{strike}{code}",
        f"{root}{expiry:%y%b}{strike}{code}".upper(),
        "NFO",
        AssetClass.EQUITY,
        InstrumentType.OPTION,
        f"{root}{expiry:%y%b}{strike}{code}".upper(),
        "",
        underlying=root,
        expiry=expiry,
        strike=Decimal(strike),
        option_type=kind,
    )


NOV, DEC = date(2026, 11, 26), date(2026, 12, 24)


@pytest.fixture
def master():
    found = InstrumentMaster()
    found.add(
        [
            cash("RELIANCE", "RELIANCE INDUSTRIES"),
            cash("RELIANCE", "RELIANCE INDUSTRIES", "BSE"),
            cash("RELINFRA", "RELIANCE INFRASTRUCTURE"),
            cash("INFY", "INFOSYS"),
            cash("INFIBEAM", "INFIBEAM AVENUES"),
            cash("M&M", "MAHINDRA & MAHINDRA"),
            *(
                option("NIFTY", day, strike, kind)
                for day in (DEC, NOV)
                for strike in ("24700", "24800")
                for kind in OptionType
            ),
        ]
    )
    return found


def ids(found: list[Instrument]) -> list[str]:
    return [instrument.instrument_id for instrument in found]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("INFY", "NSE:INFY"),
        ("infosys", "NSE:INFY"),
        ("info", "NSE:INFY"),
        ("industries reliance nse", "NSE:RELIANCE"),
        ("bse:reliance", "BSE:RELIANCE"),
        ("m&m", "NSE:M&M"),
        ("mahindra", "NSE:M&M"),
        ("nifty 24800 ce dec", "NFO:NIFTY@20261224-24800CE"),
        ("dec 24800 call nifty", "NFO:NIFTY@20261224-24800CE"),
        ("nifty put 24700", "NFO:NIFTY@20261126-24700PE"),
        ("nifty 2026-12-24 24700 pe", "NFO:NIFTY@20261224-24700PE"),
    ],
)
def test_words_in_any_order_find_what_is_meant(master, query, first):
    assert ids(master.search(query))[0] == first


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("relaince", "NSE:RELIANCE"),
        ("infosis", "NSE:INFY"),
        ("mahindar", "NSE:M&M"),
        ("nfity 24800 ce", "NFO:NIFTY@20261126-24800CE"),
    ],
)
def test_misspelt_words_are_taken_for_the_nearest(master, query, first):
    assert first in ids(master.search(query))[:2]


def test_the_exact_symbol_comes_before_longer_ones_and_other_venues_follow(master):
    assert set(ids(master.search("reliance"))[:2]) == {"NSE:RELIANCE", "BSE:RELIANCE"}
    assert ids(master.search("reliance"))[2] == "NSE:RELINFRA"


def test_filters_and_limit_hold(master):
    assert ids(master.search("reliance", exchange="BSE")) == ["BSE:RELIANCE"]
    assert all(i.instrument_type is InstrumentType.OPTION for i in master.search("n", instrument_type="OPTION"))
    assert len(master.search("nifty", limit=3)) == 3
    assert master.search("") == []
    assert master.search("nifty", limit=0) == []
    assert master.search("zzzzqqqq") == []


def test_words_that_do_not_go_together_find_nothing(master):
    assert master.search("infosys 24800") == []


def test_a_new_master_is_searched_anew(master):
    assert master.search("tcs") == []
    master.add([cash("TCS", "TATA CONSULTANCY SERVICES")])
    assert ids(master.search("tcs")) == ["NSE:TCS"]
    fresh = InstrumentMaster()
    fresh.add([cash("WIPRO", "WIPRO")])
    master.become(fresh)
    assert ids(master.search("wipro")) == ["NSE:WIPRO"]
    assert master.search("infy") == []


def test_a_master_shows_how_much_it_holds(master):
    assert repr(master) == "<InstrumentMaster 14 instruments, 0 conflicts>"
    assert "<td>NFO</td><td>OPTION</td><td>8</td>" in master._repr_html_()
