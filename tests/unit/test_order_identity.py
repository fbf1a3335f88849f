from __future__ import annotations

from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.orders.identity import ALPHABET, WIRE_ID_LENGTH, IdMint, journal_id_of, read_wire_id


@given(entropy=st.binary(min_size=4, max_size=8), tail=st.text("abc:-", max_size=8))
def test_a_wire_id_is_read_back_from_the_tag_it_begins(entropy, tail):
    mint = IdMint(journal_id_of(entropy))
    ids = [mint.wire_id() for _ in range(50)]
    assert len(set(ids)) == 50
    assert all(len(name) == WIRE_ID_LENGTH and read_wire_id(name + tail) == name for name in ids)


@given(
    entropy=st.binary(min_size=4, max_size=4),
    place=st.integers(0, WIRE_ID_LENGTH - 1),
    letter=st.sampled_from(ALPHABET),
)
def test_one_changed_letter_is_never_one_of_ours(entropy, place, letter):
    name = IdMint(journal_id_of(entropy)).wire_id()
    changed = name[:place] + letter + name[place + 1 :]
    assert (read_wire_id(changed) is None) == (changed != name)


@given(number=st.integers(1, 2**60))
def test_a_wire_id_counts_in_letters_and_checks_both_halves(number):
    letters = "".join(ALPHABET[number >> shift & 31] for shift in (20, 15, 10, 5, 0))
    head = f"0ABCZ{letters}"
    check = crc32(head.encode())
    assert IdMint("0ABCZ", number - 1).wire_id() == f"{head}{ALPHABET[check >> 5 & 31]}{ALPHABET[check & 31]}"


@pytest.mark.parametrize("run", ["", "ABCD", "ABCDEF", "ABCD\xe9"])
def test_a_run_of_another_form_makes_no_wire_id(run):
    with pytest.raises(ValueError, match="5 letters"):
        IdMint(run)


def test_other_peoples_tags_are_not_ours():
    assert read_wire_id(None) is None
    assert read_wire_id("") is None
    assert read_wire_id("autoslice:1234567") is None
    assert read_wire_id("mktp:2.00") is None
