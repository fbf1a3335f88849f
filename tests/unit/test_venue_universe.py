from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal as D

import pytest

from dragoman.emulator.venue import Venue, default_universe
from dragoman.emulator.venue.expiry import currency_expiry, last_tuesday, next_months, working_day
from dragoman.emulator.venue.universe import cash_tick, premium
from dragoman.model import CanonicalId, IdKind, InstrumentType, OptionType, Product, Segment

START = int(datetime(2026, 12, 1, 3, 45, tzinfo=UTC).timestamp()) * 10**9
LISTINGS = default_universe(START)
BY_ID = {listing.instrument.instrument_id: listing for listing in LISTINGS}


def test_ids_are_canonical_and_every_token_is_used_once():
    assert len(BY_ID) == len(LISTINGS) >= 260
    for instrument_id in BY_ID:
        assert str(CanonicalId.parse(instrument_id)) == instrument_id
    tokens = Counter((listing.instrument.exchange, listing.instrument.exchange_token) for listing in LISTINGS)
    assert set(tokens.values()) == {1}
    symbols = Counter((listing.instrument.exchange, listing.instrument.broker_symbol) for listing in LISTINGS)
    assert set(symbols.values()) == {1}


def test_all_kinds_of_instruments_are_there():
    venues = Counter(listing.instrument.exchange for listing in LISTINGS)
    assert set(venues) == {"NSE", "BSE", "NFO", "CDS", "BCD", "MCX"}
    assert venues["NSE"] >= 150
    for name in (
        "NSE:RELIANCE",
        "NSE:M&M",
        "NSE:BAJAJ-AUTO",
        "NSE:CENTRALBK+BE",
        "NSE:NIFTY_50=INDEX",
        "NFO:NIFTY@20261229",
        "CDS:USDINR@20261229",
        "MCX:CRUDEOIL@20261218",
    ):
        assert name in BY_ID
    kinds = Counter(listing.instrument.instrument_type for listing in LISTINGS)
    assert kinds[InstrumentType.INDEX] == 5
    assert kinds[InstrumentType.OPTION] > 80
    assert any(
        listing.instrument.strike % 1
        for listing in LISTINGS
        if listing.instrument.name == "TATASTEEL" and listing.instrument.strike
    )


def test_instruments_agree_with_their_ids():
    for instrument_id, listing in BY_ID.items():
        identity, instrument = CanonicalId.parse(instrument_id), listing.instrument
        assert identity.venue == instrument.exchange
        assert (identity.expiry, identity.strike, identity.option_type) == (
            instrument.expiry,
            instrument.strike,
            instrument.option_type,
        )
        assert instrument.tradable == (identity.kind is not IdKind.INDEX)
        if identity.kind is IdKind.SERIES:
            assert instrument.series == identity.series
            assert set(listing.margin_rate) == {Product.DELIVERY}


def test_prices_ticks_and_lots_fit_together():
    for listing in LISTINGS:
        instrument = listing.instrument
        assert listing.reference > 0
        if not instrument.tradable:
            continue
        assert not listing.reference % instrument.tick_size
        assert listing.margin_rate
        assert instrument.freeze_quantity is None or instrument.freeze_quantity >= instrument.lot_size
        assert listing.depth_quantity >= instrument.lot_size
        assert instrument.multiplier == 1
    assert BY_ID["CDS:USDINR@20261229"].instrument.tick_size == D("0.0025")
    assert BY_ID["MCX:CRUDEOIL@20261218"].instrument.lot_size == 100
    assert BY_ID["MCX:CRUDEOIL@20261218"].segment is Segment.COMMODITY


def test_expiries_are_ahead_and_options_of_one_expiry_come_in_pairs():
    pairs: dict[tuple[str, str, date, D], set[OptionType]] = {}
    for listing in LISTINGS:
        instrument = listing.instrument
        if instrument.expiry is None:
            continue
        assert instrument.expiry >= date(2026, 12, 1)
        if instrument.strike is not None:
            key = (instrument.exchange, instrument.name, instrument.expiry, instrument.strike)
            pairs.setdefault(key, set()).add(instrument.option_type)
    assert set(map(frozenset, pairs.values())) == {frozenset(OptionType)}


def test_seed_varies_prices_but_not_what_is_listed():
    other = default_universe(START, seed=2)
    assert default_universe(START) == LISTINGS
    first = {
        listing.instrument.instrument_id: listing.reference for listing in LISTINGS if listing.instrument.expiry is None
    }
    second = {
        listing.instrument.instrument_id: listing.reference for listing in other if listing.instrument.expiry is None
    }
    assert first.keys() == second.keys()
    assert first != second
    assert first["NSE:M&M"] == BY_ID["NSE:M&M"].reference


def test_whole_universe_can_be_listed_on_any_day_of_the_year():
    for day in range(0, 366, 13):
        venue = Venue(1, START + day * 86_400 * 10**9)
        for listing in default_universe(venue.now_ns):
            venue.list(listing)
        assert len(venue.listings()) >= 260


@pytest.mark.parametrize(
    ("expiry", "expected"),
    [
        (last_tuesday(2026, 12), date(2026, 12, 29)),
        (last_tuesday(2026, 2), date(2026, 2, 24)),
        (currency_expiry(2026, 12), date(2026, 12, 29)),
        (currency_expiry(2026, 5), date(2026, 5, 27)),  # the 31st is a Sunday, so the 29th is the last working day
        (working_day(19, 2026, 12), date(2026, 12, 18)),
        (working_day(18, 2026, 12), date(2026, 12, 18)),
    ],
)
def test_expiry_rules(expiry, expected):
    assert expiry == expected


def test_months_start_with_today_and_cross_the_year():
    assert next_months(date(2026, 11, 24), last_tuesday, 3) == [
        date(2026, 11, 24),
        date(2026, 12, 29),
        date(2027, 1, 26),
    ]


@pytest.mark.parametrize(
    ("price", "tick"),
    [("249.99", "0.01"), ("250", "0.05"), ("1000", "0.1"), ("5000", "0.5"), ("10000", "1"), ("20000", "5")],
)
def test_tick_grows_with_the_price(price, tick):
    assert cash_tick(D(price)) == D(tick)


def test_call_and_put_differ_by_intrinsic_value():
    call = premium(D(105), D(100), 0.1, 0.3, OptionType.CALL)
    put = premium(D(105), D(100), 0.1, 0.3, OptionType.PUT)
    assert abs(call - put - 5) <= D("0.0002")
    assert call > 5
    assert put > 0
