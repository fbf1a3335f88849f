"""Which contracts a filter lets through; rows in pages; days in forms."""

from __future__ import annotations

from datetime import date

import pytest

from dragoman.emulator.contracts import ContractFilter
from dragoman.emulator.forms import FieldError, Form
from dragoman.emulator.listed import ListingName
from dragoman.emulator.paging import page
from dragoman.emulator.venue.us import us_venue
from dragoman.model import OptionType

LISTED = [ListingName(one, 0, "") for one in us_venue(1, 1_790_000_000_000_000_000, "CRYPTO", "A").listings()]


def test_a_filter_without_terms_gives_every_option_and_nothing_else():
    found = list(ContractFilter().of(LISTED))
    assert found == [one for one in LISTED if one.instrument.option_type]
    assert 0 < len(found) < len(LISTED)


def test_a_filter_narrows_by_each_of_its_terms_ends_included():
    one = next(ContractFilter(right=OptionType.PUT).of(LISTED))
    expiry, strike = one.instrument.expiry, one.instrument.strike
    exact = ContractFilter({one.root}, OptionType.PUT, expiry, expiry, strike, strike)
    assert list(exact.of(LISTED)) == [one]
    assert not list(ContractFilter({"NONE"}).of(LISTED))


def test_pages_end_without_a_token():
    assert page(iter(range(4)), 0, 2) == ([0, 1], "2")
    assert page(iter(range(4)), 2, 2) == ([2, 3], None)
    assert page(iter(range(4)), 9, 2) == ([], None)


def test_a_day_is_read_or_refused():
    form = Form({"day": "2026-09-21", "wrong": "21/09"})
    assert (form.day("day"), form.day("none")) == (date(2026, 9, 21), None)
    with pytest.raises(FieldError, match="yyyy-mm-dd"):
        form.day("wrong")
