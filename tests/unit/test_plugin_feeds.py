"""What feeds of several brokers share: beats, renewals after a loss, frames of fields, fields of packed layouts."""

from __future__ import annotations

import pytest

from dragoman.errors import DecodeError
from dragoman.plugin.beats import BeatingFeed
from dragoman.plugin.field_frames import bits_field, bits_of, fields_of, frame, names_field, names_of
from dragoman.plugin.packed_fields import count, price, seconds
from dragoman.plugin.records import Records
from dragoman.plugin.renewal import Renewal
from dragoman.testing.drive import ScriptedContext

CTX = ScriptedContext()
SECOND = 10**9


class Stream(BeatingFeed):
    beat = "ping"


def test_a_beat_leaves_each_ten_seconds_and_the_time_counts_from_the_last_one():
    feed = Stream()
    assert [one.data for one in feed.tick(100 * SECOND, CTX)] == ["ping"]
    assert feed.tick(109 * SECOND, CTX) == ()
    assert [one.data for one in feed.tick(110 * SECOND, CTX)] == ["ping"]
    feed.beaten(115 * SECOND)
    assert feed.tick(124 * SECOND, CTX) == ()


def test_nothing_is_renewed_unless_something_was_lost():
    assert not Renewal[str](10).due(0)


def test_a_loss_renews_at_once_but_not_twice_within_the_least_time():
    renewal = Renewal[str](10)
    renewal.lost()
    assert renewal.due(100)
    renewal.lost()
    assert not renewal.due(109)
    assert renewal.due(110)


def test_a_renewal_nobody_answers_is_repeated_and_one_that_is_answered_is_not():
    renewal = Renewal[str](10)
    renewal.lost()
    assert renewal.due(0)
    renewal.left(["x", "y"])
    assert renewal.due(10)
    assert renewal.answered(good=True) == ("x", "y")
    assert not renewal.due(20)


def test_answers_are_of_the_oldest_request_and_a_refusal_trusts_nothing():
    renewal = Renewal[str](10)
    renewal.left(["x"])
    renewal.left(["y"])
    assert renewal.answered(good=True) == ("x",)
    assert not renewal.due(0)
    assert renewal.answered(good=False) == ()
    assert renewal.due(0)
    assert renewal.answered(good=True) == ()


def test_fields_are_numbered_from_one_and_read_back():
    made = frame(4, b"ab", b"")
    assert made.hex() == "000a0402010002616202" + "0000"
    assert fields_of(made) == (4, {1: b"ab", 2: b""})
    for cut in (*range(3), *range(4, len(made))):
        with pytest.raises(ValueError, match="bytes"):
            fields_of(made[:cut])


def test_names_and_channels_are_values_of_fields():
    assert names_of(names_field([b"a", b"bc"])) == [b"a", b"bc"]
    with pytest.raises(ValueError, match="2 topics"):
        names_of(names_field([b"a", b"bc"])[:-1])
    assert bits_of(bits_field((1, 63, 11))) == [1, 11, 63]


def test_fields_of_packed_layouts_say_how_they_are_read():
    assert (price("last_price", 4).scaled, price("last_price", 4).type) == (True, "i32")
    assert (count("volume", 8).type, count("volume", 8).offset, count("volume", 8).scaled) == ("u32", 8, False)
    assert (seconds("ts_event", 12, "i32").type, seconds("ts_event", 12).unit, seconds("ts_event", 12).absent) == (
        "i32",
        "s",
        0,
    )


def test_a_message_is_an_object_with_text_under_its_keys():
    records = Records("examplebroker")
    assert records.message('{"type": "x", "n": 1.10}', "type")["type"] == "x"
    for frame_ in ("[]", "{}", '{"type": 1}', "nothing"):
        with pytest.raises(DecodeError, match="examplebroker"):
            records.message(frame_, "type")
