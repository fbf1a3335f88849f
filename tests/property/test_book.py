"""Laws of the native books, against plain dicts. Every message travels through the real decoder."""

from __future__ import annotations

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from dragoman._core import Books
from reference.book import Message, OracleBook
from reference.depth_stream import DepthFeed

INSTRUMENTS = 3
FEED = DepthFeed(bound=INSTRUMENTS)
SIDES = ("bid", "ask")
RULES = ("none", "plain", "ranged", "linked")

# Few prices, so that they meet; some that no book may hold; decimals that float64 cannot write exactly.
PRICES = st.one_of(st.integers(1, 25).map(lambda n: n / 10), st.sampled_from([0.0, -1.0, -0.05, 1e300]))
QUANTITIES = st.one_of(st.integers(0, 9).map(float), st.sampled_from([0.5, -1.0, 1e-9]))
LEVELS = st.lists(st.tuples(st.sampled_from(SIDES), PRICES, QUANTITIES, st.integers(0, 2**32 - 1)), max_size=30)


def as_decoded(levels):
    """The order the decoder hands levels on: bids, then asks."""
    return sorted(levels, key=lambda level: level[0] == "ask")


def message(sequences=None):
    sequences = st.none() if sequences is None else sequences
    return st.builds(
        Message,
        levels=LEVELS.map(as_decoded),
        snapshot=st.booleans(),
        sequence=sequences,
        prev_sequence=sequences,
        instrument=st.integers(0, INSTRUMENTS),  # one more than is bound
    )


def pair(rule="none", max_levels=0):
    return Books(max_levels=max_levels, rule=rule), [OracleBook(rule, max_levels) for _ in range(INSTRUMENTS)]


def assert_equal(books, oracles):
    for handle, oracle in zip(FEED.handles, oracles, strict=True):
        book = books.book(handle)
        snapshot = book.snapshot()
        assert snapshot.bids == oracle.levels("bid")
        assert snapshot.asks == oracle.levels("ask")
        assert (book.stale, book.gapped) == (oracle.stale, oracle.gapped)
        assert (book.sequence, book.updates) == (oracle.sequence, oracle.updates)
        for side in SIDES:
            assert book.depth(side) == len(oracle.levels(side))
            for quantity in (0.5, 3.0, 40.0):
                assert book.vwap(side, quantity) == oracle.vwap(side, quantity)
        for levels in (1, 3, 100):
            assert book.imbalance(levels) == oracle.imbalance(levels)
    for counter in ("gaps", "duplicates", "ignored", "rejected_levels"):
        assert getattr(books, counter) == sum(getattr(oracle, counter) for oracle in oracles)
    gapped = {handle for handle, oracle in zip(FEED.handles, oracles, strict=True) if oracle.gapped}
    assert set(books.gapped) == gapped


@given(
    batches=st.lists(st.lists(message(st.none() | st.integers(1, 12)), max_size=6), max_size=8),
    rule=st.sampled_from(RULES),
    max_levels=st.sampled_from([0, 1, 3]),
    breaks=st.sets(st.integers(0, 7)),
)
def test_any_batches_give_the_books_that_dicts_would(batches, rule, max_levels, breaks):
    books, oracles = pair(rule, max_levels)
    for i, batch in enumerate(batches):
        unbound = books.unbound
        seen = [(oracle.updates, oracle.gaps) for oracle in oracles]
        changed = books.apply(FEED.batch(batch))
        for each in batch:
            if each.instrument < INSTRUMENTS:
                oracles[each.instrument].apply(each)
        for oracle in oracles:
            oracle.truncate()
        assert changed == sum((o.updates, o.gaps) != before for o, before in zip(oracles, seen, strict=True))
        assert books.unbound - unbound == sum(each.instrument == INSTRUMENTS for each in batch)
        assert_equal(books, oracles)
        if i in breaks:
            books.mark_stale()
            for oracle in oracles:
                oracle.mark_stale()
            assert_equal(books, oracles)


@given(batches=st.lists(st.lists(message(), max_size=6), max_size=8))
def test_bids_fall_and_asks_rise(batches):
    books = Books()
    for batch in batches:
        books.apply(FEED.batch(batch))
        for handle in FEED.handles:
            snapshot = books.book(handle).snapshot()
            bids, asks = ([level[0] for level in side] for side in (snapshot.bids, snapshot.asks))
            assert all(a > b for a, b in itertools.pairwise(bids))
            assert all(a < b for a, b in itertools.pairwise(asks))
            assert all(price > 0 and quantity > 0 for price, quantity, _ in snapshot.bids + snapshot.asks)


@given(
    levels=st.lists(
        st.tuples(st.sampled_from(SIDES), st.integers(1, 10**6), st.integers(1, 99).map(float), st.integers(0, 9)),
        unique_by=lambda level: level[:2],
        max_size=60,
    ),
    order=st.randoms(use_true_random=False),
)
def test_any_order_of_a_snapshots_levels_gives_the_same_book(levels, order):
    levels = [(side, ticks / 20, quantity, orders) for side, ticks, quantity, orders in levels]
    shuffled = list(levels)
    order.shuffle(shuffled)
    snapshots = []
    for given_order in (levels, shuffled):
        books = Books()
        books.apply(FEED.batch([Message(given_order, snapshot=True)]))
        snapshots.append(books.book(FEED.handles[0]).snapshot())
    assert snapshots[0] == snapshots[1]


@given(
    first=LEVELS.map(as_decoded),
    deltas=st.lists(LEVELS.map(as_decoded), max_size=5),
)
def test_a_snapshot_of_a_book_rebuilds_it(first, deltas):
    books, again = Books(), Books()
    books.apply(FEED.batch([Message(first, snapshot=True), *map(Message, deltas)]))
    whole = books.book(FEED.handles[0]).snapshot()
    levels = [("bid", *level) for level in whole.bids] + [("ask", *level) for level in whole.asks]
    again.apply(FEED.batch([Message(levels, snapshot=True)]))
    assert again.book(FEED.handles[0]).snapshot() == whole


def numbered(rule, steps):
    """A stream after snapshot number 10: each message covers as many numbers as its step says."""
    last = 10
    for step in steps:
        step = 1 if rule == "plain" else step
        yield Message([("bid", 1.0, float(step), 1)], sequence=last + step, prev_sequence=last)
        last += step


@given(
    rule=st.sampled_from(["plain", "ranged", "linked"]),
    steps=st.lists(st.integers(1, 5), min_size=1, max_size=12),
    split=st.integers(1, 5),
    lost=st.data(),
)
def test_one_lost_message_is_one_gap_by_every_rule(rule, steps, split, lost):
    messages = list(numbered(rule, steps))
    dropped = lost.draw(st.integers(0, len(messages) - 1))
    arrived = [m for i, m in enumerate(messages) if i != dropped]
    books = Books(rule=rule)
    book = books.book(FEED.handles[0])
    books.apply(FEED.batch([Message([("bid", 1.0, 1.0, 1)], snapshot=True, sequence=10)]))
    for start in range(0, len(arrived), split):
        books.apply(FEED.batch(arrived[start : start + split]))
    noticed = dropped < len(messages) - 1
    assert (books.gaps, book.gapped, book.stale) == (int(noticed), noticed, noticed)
    assert book.depth("bid") == 1
    assert book.sequence == (messages[dropped - 1].sequence if dropped else 10)
    books.apply(FEED.batch([Message([("bid", 2.0, 1.0, 1)], snapshot=True, sequence=messages[-1].sequence)]))
    assert (book.gapped, book.stale, book.bid_price) == (False, False, 2.0)
    assert books.gapped == ()


@given(
    rule=st.sampled_from(["plain", "ranged", "linked"]),
    steps=st.lists(st.integers(1, 5), min_size=1, max_size=12),
    again=st.data(),
)
def test_messages_that_come_twice_change_nothing(rule, steps, again):
    messages = list(numbered(rule, steps))
    copies = [m for m in messages for _ in range(again.draw(st.integers(1, 3)))]
    books = Books(rule=rule)
    books.apply(FEED.batch([Message([], snapshot=True, sequence=10), *copies]))
    book = books.book(FEED.handles[0])
    linked_or_new = len(copies) - len(messages)
    assert (books.gaps, books.duplicates) == (0, linked_or_new)
    assert book.updates == 1 + len(messages)
    assert book.level("bid", 0) == (1.0, messages[-1].levels[0][2], 1)


@given(seed=st.integers(0, 2**32), spread=st.sampled_from([3, 60, 4000]))
def test_deep_books_find_every_level(seed, spread):
    dice = random.Random(seed)
    book, levels = Books().book(FEED.handles[0]), {"bid": {}, "ask": {}}
    for _ in range(3000):
        side, price, quantity = dice.choice(SIDES), float(1 + dice.randrange(spread)), float(dice.randrange(3))
        book.update(side, price, quantity)
        if quantity:
            levels[side][price] = quantity
        else:
            levels[side].pop(price, None)
    shot = book.snapshot()
    assert [(p, q) for p, q, _ in shot.bids] == sorted(levels["bid"].items(), reverse=True)
    assert [(p, q) for p, q, _ in shot.asks] == sorted(levels["ask"].items())
