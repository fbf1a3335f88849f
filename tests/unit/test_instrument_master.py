"""The master: every name of an instrument finds it or nothing, and never another one."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from dragoman.errors import ErrorKind, UsageError
from dragoman.market import InstrumentMaster
from dragoman.model import AssetClass, Instrument, InstrumentType, OptionType
from dragoman.plugin import Skipped

NEAR, FAR = date(2026, 12, 24), date(2026, 12, 31)


def share(symbol: str = "INFY", token: str = "1", venue: str = "NSE", **more) -> Instrument:
    return Instrument(
        **{
            "instrument_id": f"{venue}:{symbol}",
            "symbol": symbol,
            "exchange": venue,
            "asset_class": AssetClass.EQUITY,
            "instrument_type": InstrumentType.SPOT,
            "broker_symbol": symbol,
            "broker_token": token,
        }
        | more
    )


def option(strike: str, right: OptionType, expiry: date = NEAR, venue: str = "NFO", root: str = "NIFTY") -> Instrument:
    side = "CE" if right is OptionType.CALL else "PE"
    name = f"{root}@{expiry:%Y%m%d}-{strike}{side}"
    return share(
        name,
        f"{venue}{name}",
        venue,
        instrument_type=InstrumentType.OPTION,
        underlying=root,
        expiry=expiry,
        strike=Decimal(strike),
        option_type=right,
    )


def future(expiry: date, venue: str = "NFO", root: str = "NIFTY") -> Instrument:
    name = f"{root}@{expiry:%Y%m%d}"
    return share(name, f"{venue}{name}", venue, instrument_type=InstrumentType.FUTURE, underlying=root, expiry=expiry)


def master(*rows: Instrument | Skipped) -> InstrumentMaster:
    made = InstrumentMaster()
    made.add(rows)
    return made


CHAIN = [
    option(strike, right, day) for strike in ("24800", "24850", "24900") for right in OptionType for day in (NEAR,)
]


def test_every_name_of_an_instrument_finds_it():
    infy = share(exchange_token="1594", broker_symbol="INFY-EQ")
    known = master(infy, share("SBIN", "2"))
    assert known.get("NSE:INFY") is known.resolve("NSE:INFY") is known.resolve(infy) is infy
    assert known.resolve("NSE:INFY-EQ") is known.by_broker_symbol("NSE", "INFY-EQ") is infy
    assert known.by_broker_token("1") is known.by_exchange_token("NSE", "1594") is infy
    assert known.by_handle(known.handle(infy)) is infy
    assert "NSE:INFY" in known
    assert len(known) == 2
    assert next(iter(known)) is infy


def test_what_is_not_there_is_none_or_named_with_its_nearest():
    known = master(share(), share("SBIN", "2"), share("INFY", "3", "BSE"))
    assert known.by_broker_token("9") is known.by_exchange_token("NSE", "1") is known.get("NSE:TCS") is None
    with pytest.raises(UsageError) as caught:
        known.resolve("NSE:INFI")
    assert caught.value.kind is ErrorKind.INSTRUMENT_NOT_FOUND
    assert caught.value.remedy.startswith("nearest: NSE:INFY")
    assert known.nearest("infy", 2) == ["BSE:INFY", "NSE:INFY"]
    assert known.nearest("NFO:SBIM", 1) == ["NSE:SBIN"]
    assert known.nearest("NSE:YNFY", 1) == ["NSE:INFY"]
    assert known.nearest("??????") == []
    with pytest.raises(UsageError, match="load the instruments first"):
        InstrumentMaster().resolve("NSE:INFY")
    with pytest.raises(UsageError, match=r"check venue and symbol; `client.instruments.search`"):
        known.resolve("??????")


def test_several_names_where_one_is_taken_are_told_what_takes_several():
    with pytest.raises(UsageError, match=r"not by list .*`quotes` and `subscribe` take several") as caught:
        master(share()).resolve(["NSE:INFY"] * 1000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("second", "what"),
    [
        (share("INFY", "2", broker_symbol="OTHER"), "canonical id"),
        (share("SBIN", "1"), "broker token"),
        (share("SBIN", "2", broker_symbol="INFY"), "broker symbol"),
    ],
)
def test_a_row_that_takes_anothers_name_is_refused_and_listed(second, what):
    first = share()
    known = master(first, second)
    assert list(known) == [first]
    (conflict,) = known.conflicts
    assert (conflict.what, conflict.kept, conflict.refused) == (what, first, second)
    assert known.conflict_count == 1


def test_a_row_that_stands_there_twice_is_no_conflict():
    assert master(share(), share()).conflict_count == 0


def test_conflicts_of_a_broken_master_are_counted_and_some_are_kept():
    known = master(share(), *(share("INFY", str(token)) for token in range(2, 2002)))
    assert known.conflict_count == 2000
    assert len(known.conflicts) == 1000


def test_rows_that_could_not_be_read_are_counted_and_some_are_kept():
    known = InstrumentMaster()
    fresh = master(share(), *(Skipped(f"row {n}", "lot size is 'x'") for n in range(1001)))
    known.become(fresh)
    assert (len(known), known.skipped_count, len(known.skipped)) == (1, 1001, 1000)
    assert known.skipped[0] == Skipped("row 0", "lot size is 'x'")
    assert fresh.skipped_count == 0


def test_an_exchange_token_of_two_rows_finds_neither():
    known = master(share(exchange_token="1001"), share("NIFTY_50=INDEX", "2", exchange_token="1001"))
    assert len(known) == 2
    assert known.by_exchange_token("NSE", "1001") is None
    assert known.conflict_count == 0


def test_brokers_without_tokens_or_symbols_of_their_own_have_no_conflicts():
    known = master(share("AAPL", ""), share("MSFT", ""), share("TSLA", "", broker_symbol=""))
    assert len(known) == 3
    assert known.conflict_count == 0
    assert known.by_broker_token("") is None


def test_a_new_master_replaces_the_old_one_whole_and_handles_stay():
    known = master(share(), *CHAIN)
    handle = known.handle(known.resolve("NSE:INFY"))
    fresh = master(share(lot_size=Decimal(2)), share("NEW", "9"))
    known.become(fresh)
    assert {row.instrument_id for row in known} == {"NSE:INFY", "NSE:NEW"}
    assert known.resolve("NSE:INFY").lot_size == 2
    assert known.handle(known.resolve("NSE:INFY")) == handle
    with pytest.raises(UsageError):
        known.option_chain("NIFTY")
    fresh.add([share("LATER", "10")])
    assert "NSE:LATER" not in known


def test_a_chain_is_calls_and_puts_by_strike_of_the_nearest_expiry():
    known = master(*CHAIN, option("24800", OptionType.CALL, FAR), option("25000", OptionType.PUT, NEAR))
    chain = known.option_chain("NIFTY")
    assert (chain.underlying, chain.expiry, len(chain)) == ("NIFTY", NEAR, 4)
    assert [row.strike for row in chain] == [24800, 24850, 24900, 25000]
    assert all(row.call.option_type is OptionType.CALL for row in chain.rows[:3])
    assert (chain.rows[3].call, chain.rows[3].put.strike) == (None, 25000)
    assert chain.nearest(24874.9).strike == 24850
    assert chain.nearest(Decimal("24875")).strike == 24850  # the lower of two that are as near
    assert len(chain.instruments) == 7
    assert len(known.option_chain("NIFTY", FAR)) == 1


def test_a_chain_that_is_not_there_names_what_is():
    known = master(*CHAIN)
    with pytest.raises(UsageError, match="2026-12-24"):
        known.option_chain("NIFTY", date(2027, 1, 1))
    with pytest.raises(UsageError, match="nearest underlyings: NIFTY"):
        known.option_chain("NIFTI")
    with pytest.raises(UsageError, match="no futures"):
        known.futures("NIFTY")


def test_an_underlying_of_two_venues_must_be_named_with_its_venue():
    known = master(
        *(option("85", right, NEAR, venue, "USDINR") for right in OptionType for venue in ("CDS", "BCD")),
        future(FAR, "CDS", "USDINR"),
    )
    with pytest.raises(UsageError, match="CDS:USDINR") as caught:
        known.option_chain("USDINR")
    assert "BCD and CDS" in str(caught.value)
    assert {i.exchange for i in known.option_chain("CDS:USDINR").instruments} == {"CDS"}
    assert known.futures("USDINR") == known.futures("CDS:USDINR")  # only one venue lists those
    with pytest.raises(UsageError, match="listed on CDS"):
        known.futures("BCD:USDINR")


def test_futures_come_nearest_first():
    assert [i.expiry for i in master(future(FAR), future(NEAR)).futures("NIFTY")] == [NEAR, FAR]
