"""What the core writes for the journal is, byte for byte, what Python would have written."""

from __future__ import annotations

import gc
import itertools
import weakref
from dataclasses import replace
from decimal import Decimal
from hashlib import blake2b

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman._core import JournalQueue, PlainWriter, PlainWriters, crc32c, journal_record, plain_object
from dragoman.model import Fill, OrderRequest, OrderType, Side
from dragoman.orders.journal.codec import plain_json, to_plain
from dragoman.orders.journal.format import RECORD, Kind, record_length
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
    with pytest.raises(TypeError, match="names and values in turn"):
        plain_json()


def test_a_class_gets_its_writer_once():
    asked = []

    def make(kind):
        asked.append(kind)
        return PlainWriter(kind, (("side", False, None, 2, None),), orjson.dumps)

    writers = PlainWriters(make)
    assert [writers.write(REQUEST) for _ in range(2)] == [b'{"side":"BUY"}'] * 2
    assert asked == [OrderRequest]
    with pytest.raises(TypeError, match="found a int, expected a PlainWriter"):
        PlainWriters(lambda kind: 7).write(REQUEST)
    with pytest.raises(ZeroDivisionError):
        PlainWriters(lambda kind: 1 // 0).write(REQUEST)
    with pytest.raises(TypeError, match="expected a dataclass"):
        plain_json(7)


class File:
    """A chunk in memory; `fails` is raised by the next call of that name."""

    def __init__(self, size):
        self.size, self.data, self.calls = size, bytearray(size), []
        self.fails = {}

    def write(self, offset, data):
        self.calls.append("write")
        self.data[offset : offset + len(data)] = data
        if "write" in self.fails:
            raise self.fails.pop("write")

    def sync(self):
        self.calls.append("sync")
        if "sync" in self.fails:
            raise self.fails.pop("sync")


RUN = b"7Q1M9"


def queue_of(payloads, *, size=4096, end=64, edge=None, limit=100, longest=1000):
    """Return a queue with these payloads, numbered from 8 on, and the file it goes to."""
    clock = itertools.count(1000)
    queue, file = JournalQueue(3, RUN, 7, bytes(16), limit, longest, lambda: next(clock)), File(size)
    queue.enter(file, end, size if edge is None else edge)
    for payload in payloads:
        queue.put(Kind.INTENT, payload)
    return queue, file


def expected(told, previous=bytes(16), room=10**9):
    """Return the records of (kind, payload, sequence, time) that fit, one made after another, and the last hash."""
    data = b""
    for kind, payload, sequence, time_ns in told:
        if len(data) + record_length(payload) > room:
            break
        record, previous = journal_record(kind, payload, sequence, time_ns, 3, RUN, previous)
        data += record
    return data, previous


def told_of(payloads):
    return [(Kind.INTENT, payload, 8 + at, 1000 + at) for at, payload in enumerate(payloads)]


PAYLOADS = st.lists(st.binary(max_size=40), max_size=6)


@given(PAYLOADS, PAYLOADS, st.integers(64, 700), st.binary(max_size=64))
def test_as_many_records_are_taken_as_there_is_room_for(payloads, later, end, head):
    queue, _ = queue_of(payloads, size=700, end=end)
    data, last = expected(told_of(payloads), room=700 - end - len(head))
    assert queue.blocked == bool(payloads and end + record_length(payloads[0]) > 700)
    assert queue.take(head) == (head + data if data else b"")
    assert queue.hash == last
    assert queue.end == end + (len(head + data) if data else 0)
    for payload in later:  # meanwhile
        queue.put(Kind.INTENT, payload)
    both = told_of(payloads + later)
    assert queue.entries() == [(number, kind, time_ns, payload) for kind, payload, number, time_ns in both]
    assert queue.durable == 7
    queue.settle()
    left = queue.entries()
    assert queue.durable == (left[0][0] - 1 if left else queue.sequence)
    assert len(queue) == len(left)
    assert queue.sequence == 7 + len(both)
    assert queue.first == ((left[0][0], left[0][2]) if left else None)
    queue.enter(File(4096), 0, 4096)
    assert queue.take(b"") == expected(both[len(both) - len(left) :], last)[0]


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=6), st.integers(64, 700))
def test_all_is_written_and_synced_where_that_stays_below_the_edge(payloads, edge):
    queue, file = queue_of(payloads, edge=edge)
    data, last = expected(told_of(payloads))
    if queue.write():
        assert 64 + len(data) < edge
        assert file.data == bytes(64) + data + bytes(file.size - 64 - len(data))
        assert file.calls == ["write", "sync"]
        assert (queue.durable, len(queue), queue.hash, queue.end) == (queue.sequence, 0, last, 64 + len(data))
    else:
        assert 64 + len(data) >= edge
        assert not any(file.data)
        assert (queue.durable, len(queue), queue.hash, queue.end) == (7, len(payloads), bytes(16), 64)


@pytest.mark.parametrize("call", ["write", "sync"])
def test_what_could_not_be_written_waits_as_before(call):
    queue, file = queue_of([b"{}", b"[]"])
    file.fails[call] = OSError("no")
    with pytest.raises(OSError, match="no"):
        queue.write()
    assert (queue.durable, len(queue), queue.hash, queue.end) == (7, 2, bytes(16), 64)
    assert queue.write()
    data, last = expected(told_of([b"{}", b"[]"]))
    assert file.data[64 : 64 + len(data)] == data
    assert queue.hash == last


def test_nothing_is_written_while_something_is_on_its_way():
    queue, file = queue_of([b"{}"])
    assert queue.take(b"")
    queue.put(Kind.REPLY, b"{}")
    assert not queue.write()
    queue.settle()
    assert queue.write()
    assert not queue.write()
    assert file.calls == ["write", "sync"]


def test_what_a_clock_or_a_file_raises_is_passed_on():
    def no_time():
        raise RuntimeError("no time")

    queue = JournalQueue(3, RUN, 7, bytes(16), 10, 10, no_time)
    with pytest.raises(RuntimeError, match="no time"):
        queue.put(1, b"{}")
    assert (len(queue), queue.sequence) == (0, 7)
    with pytest.raises(AttributeError):
        queue.enter(object(), 0, 0)


@given(PAYLOADS, st.dictionaries(st.integers(5, 16), st.binary(max_size=90), max_size=8), st.booleans())
def test_records_that_wait_can_become_others(payloads, changes, away):
    queue, _ = queue_of(payloads)
    if away and payloads:
        queue.take(b"")
        queue.put(Kind.REPLY, b"x")
    before = queue.entries()
    queue.replace(Kind.REFUSED, changes)
    start = queue.first[0] if len(queue) else 1 << 60
    assert queue.entries() == [
        (number, Kind.REFUSED, time_ns, changes[number]) if number >= start and number in changes else entry
        for entry in before
        for number, _, time_ns, _ in [entry]
    ]
    for number in range(6, 16):
        assert queue.entries(number) == [entry for entry in queue.entries() if entry[0] >= number]


def test_a_queue_takes_no_more_than_it_may():
    queue, _ = queue_of([], limit=2, longest=5)
    assert queue.put(Kind.INTENT, b"123456") == 0
    assert queue.put(Kind.INTENT, {"a": 1}) == 0
    assert [queue.put(Kind.INTENT, b"12345") for _ in range(3)] == [8, 9, 0]
    assert queue.take(b"")
    assert queue.put(Kind.INTENT, b"") == 10
    assert len(queue.entries()) == 3
    queue.clear()
    assert queue.entries() == []
    assert queue.durable == 7
    assert queue.put(Kind.INTENT, b"") == 11
    queue.shut()
    assert queue.put(Kind.INTENT, b"") == 0


def test_a_burst_is_written_whole():
    payloads = [bytes([at % 256]) * (at % 900) for at in range(3000)]
    queue, file = queue_of(payloads, size=1 << 22, limit=3000)
    assert queue.write()
    data, last = expected(told_of(payloads))
    assert file.data[64 : 64 + len(data)] == data
    assert queue.put(Kind.INTENT, b"{}") == 8 + len(payloads)
    assert queue.take(b"") == expected([(Kind.INTENT, b"{}", 8 + len(payloads), 4000)], last)[0]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({0: 2**32}, ValueError),
        ({1: b"four"}, ValueError),
        ({1: "7Q1M9"}, TypeError),
        ({3: b"short"}, ValueError),
        ({4: -1}, ValueError),
        ({5: -1}, ValueError),
    ],
    ids=str,
)
def test_a_queue_that_cannot_be_is_refused(wrong, error):
    told = [3, RUN, 7, bytes(16), 1, 1, int]
    for at, value in wrong.items():
        told[at] = value
    with pytest.raises(error):
        JournalQueue(*told)


def test_what_no_record_can_hold_is_refused():
    queue, file = queue_of([b"{}"])
    for kind, error in ((1 << 16, ValueError), (-1, ValueError), ("1", TypeError)):
        with pytest.raises(error):
            queue.put(kind, b"{}")
        with pytest.raises(error):
            queue.replace(kind, {})
    for payloads, error in (
        ({"8": b""}, TypeError),
        ({8: "x"}, TypeError),
        ([], TypeError),
        ({-1: b""}, OverflowError),
    ):
        with pytest.raises(error):
            queue.replace(Kind.REFUSED, payloads)
    with pytest.raises(ValueError, match="a chunk of 4096 bytes"):
        queue.enter(file, 4097, 4096)
    with pytest.raises(OverflowError):
        queue.enter(file, 0, -1)
    assert queue.entries() == [(8, Kind.INTENT, 1000, b"{}")]


def test_a_queue_can_be_collected_with_what_it_holds():
    class Clock(list):
        def wall_ns(self):
            return 1

    clock = Clock()
    clock.append(JournalQueue(3, RUN, 7, bytes(16), 10, 10, clock.wall_ns))
    gone = weakref.ref(clock)
    del clock
    gc.collect()
    assert gone() is None


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


def test_a_file_that_asks_for_a_write_from_inside_its_own_is_refused():
    refused = []

    class Again(File):
        def sync(self):
            for ask in (queue.write, lambda: queue.take(b"")):
                with pytest.raises(RuntimeError, match="inside its own"):
                    ask()
                refused.append(queue.end)

    queue = JournalQueue(3, RUN, 7, bytes(16), 10, 1000, lambda: 1)
    queue.enter(Again(1 << 12), 0, 1 << 11)
    queue.put(1, b"{}")
    assert queue.write()
    assert refused == [0, 0]
    assert (queue.durable, len(queue)) == (queue.sequence, 0)
