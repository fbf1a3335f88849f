from __future__ import annotations

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


def test_other_peoples_tags_are_not_ours():
    assert read_wire_id(None) is None
    assert read_wire_id("") is None
    assert read_wire_id("autoslice:1234567") is None
    assert read_wire_id("mktp:2.00") is None
