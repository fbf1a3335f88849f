"""A book fed over a bad line, with its snapshots fetched, is right whenever it says it is live."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman._core import Books
from reference.book import Message
from reference.depth_stream import DepthFeed

FEED = DepthFeed(bound=1)
HANDLE = FEED.handles[0]
RULES = ("plain", "ranged", "linked")


@dataclass
class Venue:
    """The true book at every message number, and the messages as the venue numbers them."""

    rule: str
    states: dict[int, dict[tuple[str, float], float]] = field(default_factory=lambda: {0: {}})
    messages: list[Message] = field(default_factory=list)
    last: int = 0

    def publish(self, changes: list[tuple[str, float, float]], jump: int) -> None:
        """Number a message: by one, over a range, or with a jump that only the link to the one before explains."""
        step = 1 if self.rule == "plain" else jump
        number = self.last + step
        state = dict(self.states[self.last])
        for side, price, quantity in changes:
            if quantity:
                state[side, price] = quantity
            else:
                state.pop((side, price), None)
        self.states[number] = state
        levels = [(side, price, quantity, 1) for side, price, quantity in sorted(changes, key=lambda c: c[0] == "ask")]
        self.messages.append(Message(levels, sequence=number, prev_sequence=self.last))
        self.last = number

    def rows(self, number: int, side: str) -> list[tuple[float, float, int]]:
        state = self.states[number]
        prices = sorted((price for s, price in state if s == side), reverse=side == "bid")
        return [(price, state[side, price], 1) for price in prices]


CHANGES = st.lists(
    st.tuples(st.sampled_from(("bid", "ask")), st.integers(1, 9).map(float), st.integers(0, 3).map(float)),
    max_size=4,
    unique_by=lambda change: change[:2],
)
LINE = st.sampled_from(("deliver", "deliver", "deliver", "drop", "twice", "late"))


def assert_true(books, venue):
    book = books.book(HANDLE)
    if book.stale:
        return False
    assert [tuple(level) for level in book.snapshot().bids] == venue.rows(book.sequence, "bid")
    assert [tuple(level) for level in book.snapshot().asks] == venue.rows(book.sequence, "ask")
    return True


def fetch(books, venue, number):
    """What a session does when a book wants a snapshot, and gets the venue's state at `number`."""
    assert books.take_wanting() == (HANDLE,)
    assert books.take_wanting() == (), "each need is told once"
    return books.snapshot(HANDLE, venue.rows(number, "bid"), venue.rows(number, "ask"), sequence=number, ts_recv=1)


@given(
    rule=st.sampled_from(RULES),
    flow=st.lists(st.tuples(CHANGES, st.integers(1, 5), LINE, st.integers(0, 6)), min_size=1, max_size=40),
)
def test_live_book_always_equals_the_venue_at_its_number(rule, flow):
    books, venue = Books(), Venue(rule)
    books.follow(HANDLE, rule=rule, hold=True)
    late: list[Message] = []
    for changes, jump, fate, age in flow:
        venue.publish(changes, jump)
        message = venue.messages[-1]
        arriving = {"deliver": [message], "drop": [], "twice": [message, message], "late": []}[fate]
        arriving += [] if fate == "late" else late
        late = [message] if fate == "late" else []
        for each in arriving:
            books.apply(FEED.batch([each]))
            assert_true(books, venue)
        if books.wanting:  # a snapshot of some moment of the last few messages
            numbers = [0, *(m.sequence for m in venue.messages)]
            fetch(books, venue, numbers[max(0, len(numbers) - 1 - age)])
            assert_true(books, venue)
    # Whatever happened, one more message and a snapshot that contains it make the book live.
    venue.publish([], 1)
    books.apply(FEED.batch([venue.messages[-1]]))
    if books.wanting:
        assert fetch(books, venue, venue.last)
    assert assert_true(books, venue)
    assert books.book(HANDLE).sequence == venue.last


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("fault", ["drop", "twice", "swap"])
def test_each_fault_of_the_line_is_seen_and_one_snapshot_heals_it(rule, fault):
    for at in range(1, 8):
        books, venue = Books(), Venue(rule)
        books.follow(HANDLE, rule=rule, hold=True)
        for n in range(10):
            venue.publish([("bid", float(n % 4 + 1), float(n + 1))], 3)
        line = list(venue.messages)
        line[at : at + 1] = {"drop": [], "twice": [line[at]] * 2, "swap": [line[at + 1], line[at]]}[fault]
        if fault == "swap":
            del line[at + 2]
        books.snapshot(HANDLE, [], [], sequence=0)
        for message in line:
            books.apply(FEED.batch([message], ts_recv=message.sequence))
        book = books.book(HANDLE)
        if fault == "twice":
            assert (books.duplicates, books.gaps, book.stale) == (1, 0, False)
        else:
            assert (books.gaps, book.gaps, book.gapped) == (1, 1, True)
            assert book.broken_since is not None
            assert fetch(books, venue, venue.last)
            assert (books.healed, book.broken_since) == (1, None)
        assert_true(books, venue)
        assert book.sequence == venue.last


def test_held_deltas_are_bounded_and_the_book_still_heals():
    books, venue = Books(), Venue("linked")
    books.follow(HANDLE, rule="linked", hold=True)
    for n in range(8192 + 10):
        venue.publish([("ask", float(n % 5 + 1), 1.0)], 1)
        books.apply(FEED.batch([venue.messages[-1]]))
    assert books.overflowed == 8192
    assert fetch(books, venue, 5) is False, "what would follow an old snapshot was let go"
    assert fetch(books, venue, venue.last - 3)
    assert assert_true(books, venue)
    assert books.book(HANDLE).sequence == venue.last


def test_stream_that_came_back_starts_over_from_a_new_snapshot():
    books, venue = Books(), Venue("ranged")
    books.follow(HANDLE, rule="ranged", hold=True)
    books.snapshot(HANDLE, [], [], sequence=0, ts_recv=5)
    venue.publish([("bid", 1.0, 1.0)], 2)
    books.apply(FEED.batch([venue.messages[-1]]))
    books.mark_stale(HANDLE)
    venue.publish([("bid", 2.0, 1.0)], 2)  # lost
    venue.publish([("bid", 3.0, 1.0)], 2)
    books.apply(FEED.batch([venue.messages[-1]], ts_recv=9))
    assert books.book(HANDLE).stale
    assert fetch(books, venue, venue.last)
    assert assert_true(books, venue)
