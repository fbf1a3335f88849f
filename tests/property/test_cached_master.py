"""A master taken from the cache answers every question as the one that was written."""

from __future__ import annotations

import dataclasses
from datetime import date
from decimal import Decimal

import orjson
from hypothesis import given
from hypothesis import strategies as st

from dragoman.errors import UsageError
from dragoman.market import InstrumentMaster
from dragoman.model import AssetClass, Instrument, InstrumentType, OptionType
from dragoman.plugin import Skipped

VENUES = ("NSE", "NFO")
NAMES = st.text(st.sampled_from('ABE-&."\\\n\0é€😀'), max_size=4)
DAYS = st.sampled_from([date(2026, 12, 24), date(2026, 12, 31), date(2027, 1, 28)])
DECIMALS = st.sampled_from(["0", "0.05", "0.050", "1", "1E+2", "24800"]).map(Decimal)
DETAILS = st.sampled_from([{}, {"note": "x"}, {"levels": [1, 2.5, None]}])


@st.composite
def instruments(draw):
    venue, number = draw(st.sampled_from(VENUES)), draw(st.integers(0, 12))
    kind = draw(st.sampled_from(InstrumentType))
    derivative = kind in (InstrumentType.FUTURE, InstrumentType.OPTION)
    option = kind is InstrumentType.OPTION
    return Instrument(
        instrument_id=f"{venue}:S{number}",
        symbol=f"S{number}",
        exchange=venue,
        asset_class=draw(st.sampled_from(AssetClass)),
        instrument_type=kind,
        broker_symbol=draw(st.sampled_from(["", f"S{number}", f"T{number // 2}"])),
        broker_token=draw(st.sampled_from(["", str(number), str(number // 2)])),
        exchange_token=draw(st.sampled_from(["", str(number // 3)])),
        name=draw(NAMES),
        isin=draw(st.none() | NAMES),
        underlying=draw(st.sampled_from(["NIFTY", "INFY"])) if derivative else None,
        expiry=draw(DAYS) if derivative else None,
        strike=draw(DECIMALS) if option else None,
        option_type=draw(st.sampled_from(OptionType)) if option else None,
        tick_size=draw(DECIMALS),
        lot_size=draw(DECIMALS),
        freeze_quantity=draw(st.none() | DECIMALS),
        tradable=draw(st.booleans()),
        extra=draw(DETAILS),
    )


SKIPPED = st.builds(Skipped, st.just("row 3"), NAMES)
ROWS = st.lists(st.one_of(instruments(), instruments(), SKIPPED), max_size=30)


def stored_and_restored(master):
    table, pieces = master.stored()
    return InstrumentMaster.restored(orjson.loads(orjson.dumps(table)), memoryview(b"".join(pieces)))


def fields(instrument):
    """Every field, as text too: equal decimals may be written differently."""
    if instrument is None:
        return None
    return [(item.name, repr(getattr(instrument, item.name))) for item in dataclasses.fields(instrument)]


def attempt(call):
    try:
        return call()
    except UsageError as error:
        return str(error)


def answers(master):
    """What a master says to all that can be asked of it."""
    yield len(master), master.skipped_count, master.skipped, master.conflict_count, repr(master), master._repr_html_()
    yield [(c.what, c.name, fields(c.kept), fields(c.refused)) for c in master.conflicts]
    for venue in VENUES:
        for number in range(13):
            yield fields(master.get(f"{venue}:S{number}")), f"{venue}:S{number}" in master
            for symbol in (f"S{number}", f"T{number}"):
                yield fields(master.by_broker_symbol(venue, symbol))
                yield attempt(lambda name=f"{venue}:{symbol}": master.resolve(name).instrument_id)
            yield fields(master.by_exchange_token(venue, str(number)))
    for number in range(13):
        yield fields(master.by_broker_token(str(number)))
    yield master.by_broker_token(""), master.by_broker_symbol("NSE", ""), master.by_exchange_token("NSE", "")
    for underlying in ("NIFTY", "INFY", "NSE:NIFTY", "NIFTI"):
        yield attempt(lambda name=underlying: [i.instrument_id for i in master.option_chain(name).instruments])
        yield attempt(lambda name=underlying: [i.instrument_id for i in master.futures(name)])
    for query in ("s1", "nifty ce", "24800 put", "dec 2026", "s1 spto", "nfty", "é", ""):
        yield [i.instrument_id for i in master.search(query, limit=50)]
    yield [i.instrument_id for i in master.search("s", exchange="NFO", instrument_type=InstrumentType.OPTION)]
    yield [fields(row) for row in master]


@given(rows=ROWS, more=ROWS)
def test_a_cached_master_answers_every_question_as_the_fresh_one(rows, more):
    fresh = InstrumentMaster()
    fresh.add(rows)
    cached = stored_and_restored(fresh)
    assert list(answers(cached)) == list(answers(fresh))
    # Asked again, and after rows have come on top, nothing is different either.
    for master in (fresh, cached):
        master.add(more)
    assert list(answers(cached)) == list(answers(fresh))
    assert list(answers(stored_and_restored(cached))) == list(answers(fresh))


@given(rows=ROWS)
def test_an_instrument_is_built_once_and_its_details_are_its_own(rows):
    fresh = InstrumentMaster()
    fresh.add(rows)
    cached = stored_and_restored(fresh)
    assert all(cached.get(row.instrument_id) is row for row in cached)
    assert len({id(row.extra) for row in cached}) == len(cached)
