"""What the core writes for the journal is, byte for byte, what Python would have written."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from hashlib import blake2b

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman._core import PlainWriter, crc32c, journal_record, journal_records, plain_object
from dragoman.model import Fill, OrderRequest, OrderType, Side
from dragoman.orders.journal.codec import plain_json, to_plain
from dragoman.orders.journal.format import RECORD, Kind, record_length
from dragoman.orders.journal.tail import Entry
from property.test_journal_codec import CLASSES, values

REQUEST = OrderRequest(instrument_id="NSE:INFY", side=Side.BUY, quantity=Decimal(1))
WORDS = st.text(alphabet=st.characters(codec="utf-8"), max_size=8) | st.sampled_from(['"', "\\", "\n", "\x7f", "é", ""])


def written(value):
    return plain_json(value)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_a_value_is_written_as_its_plain_form_would_be(kind):
    @settings(max_examples=60, deadline=None)
    @given(values(kind))
    def check(value):
        assert written(value) == orjson.dumps(to_plain(value))

    check()


@given(WORDS, st.none() | st.integers(-(2**63), 2**63 - 1), st.none() | st.decimals())
def test_words_and_numbers_are_written_as_json_has_them(text, number, price):
    request = replace(REQUEST, tag=text, client_order_id=text, expire_time_ns=number, price=price)
    assert written(request) == orjson.dumps(to_plain(request))


@pytest.mark.parametrize(
    "changes",
    [
        {"order_type": "LIMIT"},
        {"post_only": 1},
        {"post_only": 0},
        {"quantity": Decimal("1.0")},
        {"expire_time_ns": 2**63},
        {"tag": 7},
        {"price": "7"},
        {"price": 1.5},
        {"leverage": True},
        {"extras": {"a": {"b": (Decimal(1), 2)}}},
        {"position_side": "LONG", "order_type": OrderType.LIMIT},
    ],
    ids=str,
)
def test_what_a_field_does_not_say_is_treated_alike(changes):
    request = replace(REQUEST, **changes)
    try:
        expected = orjson.dumps(to_plain(request))
    except (AttributeError, TypeError) as error:
        with pytest.raises(type(error)):
            written(request)
    else:
        assert written(request) == expected


def test_what_json_does_not_know_is_refused():
    with pytest.raises(TypeError, match="surrogates"):
        written(replace(REQUEST, tag="\ud800"))
    with pytest.raises(TypeError, match="no plain form"):
        written(replace(REQUEST, extras={"a": object()}))
    with pytest.raises(TypeError, match="no value of the model"):
        plain_json(3)


def test_a_writer_takes_values_of_its_class_alone():
    writer = PlainWriter(Fill, (("trade_id", True, "", 0, None),), orjson.dumps)
    with pytest.raises(TypeError, match="found a OrderRequest, expected a Fill"):
        writer.write(REQUEST)
    with pytest.raises(TypeError, match="no field 'trade'"):
        PlainWriter(Fill, (("trade", True, "", 0, None),), orjson.dumps)
    with pytest.raises(ValueError, match="expected 0 to 3"):
        PlainWriter(Fill, (("trade_id", True, "", 4, None),), orjson.dumps)


@given(WORDS, st.integers(), st.none() | st.booleans() | st.floats(allow_nan=False))
def test_an_object_around_a_value_is_written_as_json_has_it(text, number, other):
    pairs = {"name": text, "at": number, text + "?": other}
    flat = [one for pair in pairs.items() for one in pair]
    try:
        expected = orjson.dumps(pairs)
    except TypeError:  # wider than JSON's numbers
        with pytest.raises(TypeError):
            plain_object(orjson.dumps, *flat)
        return
    assert plain_object(orjson.dumps, *flat) == expected
    assert plain_json(REQUEST, *flat, "request") == orjson.dumps(pairs | {"request": to_plain(REQUEST)})


def test_a_name_without_its_value_is_refused():
    with pytest.raises(TypeError, match="names and values in turn"):
        plain_object(orjson.dumps, "name")
    with pytest.raises(TypeError, match="names and values in turn"):
        plain_json(REQUEST, "name", 1)


def entries(payloads):
    made = [Entry(Kind.INTENT, payload, 7 + at) for at, payload in enumerate(payloads)]
    for at, one in enumerate(made, 1):
        one.sequence = at
    return made


@given(st.lists(st.binary(max_size=40), max_size=6), st.integers(-10, 700))
def test_as_many_records_are_made_as_there_is_room_for(payloads, room):
    data, last, expected = b"", bytes(16), 0
    for one in entries(payloads):
        if len(data) + record_length(one.payload) > room:
            break
        record, last = journal_record(one.kind, one.payload, one.sequence, one.time_ns, 3, b"7Q1M9", last)
        data, expected = data + record, expected + 1
    assert journal_records(entries(payloads), room, 3, b"7Q1M9", bytes(16)) == (data, last, expected)


def test_entries_that_no_record_can_hold_are_refused():
    (entry,) = entries([b"{}"])
    for name, wrong, error in (
        ("sequence", -1, ValueError),
        ("payload", "{}", TypeError),
        ("kind", 1 << 16, ValueError),
        ("time_ns", 1 << 63, OverflowError),
    ):
        (entry,) = entries([b"{}"])
        setattr(entry, name, wrong)
        with pytest.raises(error):
            journal_records([entry], 1000, 3, b"7Q1M9", bytes(16))
    with pytest.raises(ValueError, match="run has 5 bytes"):
        journal_records([], 1000, 3, b"7Q", bytes(16))


@given(
    st.integers(0, 2**16 - 1),
    st.binary(max_size=300),
    st.integers(0, 2**64 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**32 - 1),
    st.binary(min_size=5, max_size=5),
    st.binary(min_size=16, max_size=16),
)
def test_a_record_has_the_documented_layout(kind, payload, sequence, time_ns, epoch, run, previous):
    record, digest = journal_record(kind, payload, sequence, time_ns, epoch, run, previous)
    rest = RECORD.pack(0, len(payload), sequence, time_ns, epoch, kind, run, previous)[4:]
    rest += payload + bytes(-len(payload) % 8)
    assert record == crc32c(rest).to_bytes(4, "little") + rest
    assert digest == blake2b(record, digest_size=16).digest()


@pytest.mark.parametrize(
    ("at", "wrong", "error"),
    [
        (0, 2**16, ValueError),
        (1, "{}", TypeError),
        (2, -1, OverflowError),
        (3, 2**63, OverflowError),
        (4, 2**32, ValueError),
        (5, b"four", ValueError),
        (6, b"short", ValueError),
    ],
)
def test_a_record_that_cannot_be_is_refused(at, wrong, error):
    told = [2, b"{}", 1, 1, 1, b"7Q1M9", bytes(16)]
    told[at] = wrong
    with pytest.raises(error):
        journal_record(*told)
