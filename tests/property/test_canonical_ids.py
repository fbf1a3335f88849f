from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.errors import UsageError
from dragoman.model import CanonicalId, IdKind, OptionType
from dragoman.model.ids import escape, unescape

VENUES = st.sampled_from(["NSE", "BSE", "NFO", "CDS", "MCX", "US", "PLATFORM"])
SYMBOLS = st.text(
    st.characters(codec="ascii", categories=("Lu", "Nd", "Po", "Pd", "Sm", "Pc"), include_characters=" "), min_size=1
).filter(lambda s: (s == s.strip() and s.isupper()) or (s.strip() == s and s.upper() == s and s != ""))


@st.composite
def ids(draw):
    kind = draw(st.sampled_from(IdKind))
    more = {}
    if kind is IdKind.SERIES:
        more["series"] = draw(st.sampled_from(["BE", "BL", "GS", "SM"]))
    if kind in (IdKind.PAIR, IdKind.PERP):
        more["quote"] = draw(st.sampled_from(["USDT", "INR", "BTC"]))
    if kind in (IdKind.FUTURE, IdKind.OPTION):
        more["expiry"] = draw(st.dates(date(2000, 1, 1), date(2099, 12, 31)))
    if kind is IdKind.OPTION:
        more["strike"] = Decimal(draw(st.integers(1, 10**8))) / draw(st.sampled_from([1, 2, 4, 100, 10000]))
        more["option_type"] = draw(st.sampled_from(OptionType))
    return CanonicalId(draw(VENUES), draw(SYMBOLS), kind, **more)


@given(ids())
def test_parse_reads_what_str_writes(name):
    text = str(name)
    assert CanonicalId.parse(text) == name
    assert str(CanonicalId.parse(text)) == text
    assert " " not in text


@given(SYMBOLS)
def test_escaping_is_reversible(symbol):
    assert unescape(escape(symbol)) == symbol


@pytest.mark.parametrize(
    "text",
    [
        "NSE:BAJAJ-AUTO",
        "NSE:M&M",
        "NSE:NIFTY_50=INDEX",
        "NFO:NIFTY@20261224",
        "NFO:NIFTY@20261224-24800CE",
        "CDS:USDINR@20261229-84.25PE",
        "NSE:CENTRALBK+BE",
        "KOINEX:BTC/USDT=PERP",
    ],
)
def test_documented_examples_are_canonical(text):
    assert str(CanonicalId.parse(text)) == text


@given(st.text(max_size=40))
def test_any_text_is_an_id_or_a_usage_error(text):
    try:
        parsed = CanonicalId.parse(text)
    except UsageError:
        return
    assert CanonicalId.parse(str(parsed)) == parsed


@pytest.mark.parametrize(
    "text", ["INFY", "NSE:", "NFO:NIFTY@20261331", "NFO:NIFTY@20261224-CE", "nse:INFY", "NSE:IN FY"]
)
def test_what_is_no_id_is_refused(text):
    with pytest.raises(UsageError):
        CanonicalId.parse(text)
