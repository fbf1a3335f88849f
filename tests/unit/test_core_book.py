"""What a book says in the cases a reader would ask about, one by one."""

from __future__ import annotations

import gc
import pickle

import pytest

from dragoman._core import Book, Books, BookSnapshot, intern_instrument
from reference.book import Message
from reference.depth_stream import DepthFeed

BIDS = [("bid", 100.0, 10.0, 2), ("bid", 99.95, 20.0, 3), ("bid", 99.9, 30.0, 1)]
ASKS = [("ask", 100.05, 30.0, 4), ("ask", 100.1, 20.0, 1), ("ask", 100.15, 50.0, 9)]


@pytest.fixture
def feed():
    return DepthFeed()


@pytest.fixture
def books():
    return Books()


def loaded(books, feed, levels=(*BIDS, *ASKS), **numbers):
    books.apply(feed.batch([Message(list(levels), snapshot=True, **numbers)], ts_recv=7, ts_event=5))
    return books.book(feed.handles[0])


def test_a_snapshot_fills_both_sides_best_first(books, feed):
    book = loaded(books, feed)
    assert (book.bid_price, book.bid_quantity, book.ask_price, book.ask_quantity) == (100.0, 10.0, 100.05, 30.0)
    assert [book.level("bid", i) for i in range(4)] == [*(level[1:] for level in BIDS), None]
    assert [book.level("ask", i) for i in range(4)] == [*(level[1:] for level in ASKS), None]
    assert (book.depth("bid"), book.depth("ask"), book.updates) == (3, 3, 1)
    assert (book.stale, book.gapped, book.crossed, book.locked) == (False, False, False, False)
    assert (book.ts_event, book.ts_recv, book.sequence) == (5, 7, None)
    assert book.instrument == feed.handles[0]
    assert book.instrument_id == "TEST:BOOK0"
    assert repr(book) == "<Book TEST:BOOK0, 3 bids, 3 asks>"


def test_prices_between_the_sides(books, feed):
    book = loaded(books, feed)
    assert book.mid == pytest.approx(100.025)
    assert book.spread == pytest.approx(0.05)
    assert book.microprice == pytest.approx((100.0 * 30 + 100.05 * 10) / 40)
    assert book.imbalance() == (10 - 30) / 40
    assert book.imbalance(levels=2) == (30 - 50) / 80


def test_vwap_walks_the_side_that_is_taken(books, feed):
    book = loaded(books, feed)
    assert book.vwap("ask", 30) == 100.05
    assert book.vwap("ask", 40) == pytest.approx((30 * 100.05 + 10 * 100.1) / 40)
    assert book.vwap("bid", 60) == pytest.approx((10 * 100.0 + 20 * 99.95 + 30 * 99.9) / 60)
    assert book.vwap("bid", 60.5) is None


def test_a_delta_sets_replaces_and_removes(books, feed):
    book = loaded(books, feed)
    changed = books.apply(
        feed.batch([Message([("bid", 100.0, 0.0, 0), ("bid", 99.95, 5.0, 1), ("bid", 99.92, 7.0, 2)])])
    )
    assert changed == 1
    assert book.snapshot().bids == ((99.95, 5.0, 1), (99.92, 7.0, 2), (99.9, 30.0, 1))
    assert book.snapshot().asks == tuple(level[1:] for level in ASKS)


def test_an_update_deep_in_a_long_side_finds_its_place(books, feed):
    book = loaded(books, feed, [("ask", 100 + i / 20, 1.0, 1) for i in range(1000)])
    books.apply(feed.batch([Message([("ask", 100 + i / 20, 2.0, 1) for i in range(0, 1000, 7)])]))
    books.apply(feed.batch([Message([("ask", 100 + i / 20, 0.0, 0) for i in range(3, 1000, 7)])]))
    books.apply(feed.batch([Message([("ask", 99.95, 3.0, 1), ("ask", 100.425, 3.0, 1)])]))
    assert book.level("ask", 0) == (99.95, 3.0, 1)
    assert book.level("ask", 9)[0] == 100.425
    books.apply(feed.batch([Message([("ask", 99.95, 0.0, 0), ("ask", 100.425, 0.0, 0)])]))
    prices = [level[0] for level in book.snapshot().asks]
    assert prices == sorted(100 + i / 20 for i in range(1000) if i % 7 != 3)
    assert all(level[1] == (2.0 if round((level[0] - 100) * 20) % 7 == 0 else 1.0) for level in book.snapshot().asks)


def test_an_empty_snapshot_empties_the_book_and_leaves_it_live(books, feed):
    book = loaded(books, feed)
    loaded(books, feed, [])
    assert (book.bid_price, book.ask_quantity, book.mid, book.spread, book.microprice) == (None,) * 5
    assert (book.imbalance(), book.vwap("ask", 1), book.level("bid", 0)) == (None, None, None)
    assert (book.stale, book.crossed, book.depth("bid")) == (False, False, 0)


def test_a_one_sided_book_has_no_price_between_but_an_imbalance(books, feed):
    book = loaded(books, feed, BIDS)
    assert (book.mid, book.spread, book.microprice, book.ask_price) == (None,) * 4
    assert (book.bid_price, book.imbalance(), book.crossed) == (100.0, 1.0, False)


def test_the_last_of_equal_prices_in_a_snapshot_wins(books, feed):
    book = loaded(books, feed, [("bid", 5.0, 1.0, 1), ("bid", 6.0, 2.0, 1), ("bid", 5.0, 3.0, 2), ("bid", 6.0, 0.0, 0)])
    assert book.snapshot().bids == ((5.0, 3.0, 2),)


def test_the_last_of_equal_prices_wins_in_a_long_jumbled_snapshot_too(books, feed):
    book = loaded(books, feed, [("ask", 1.0 + i * 7 % 5, 1.0 + i, i) for i in range(200)])
    assert book.snapshot().asks == tuple((1.0 + i * 7 % 5, 1.0 + i, i) for i in (195, 198, 196, 199, 197))


def test_levels_without_a_positive_price_are_counted_and_never_stored(books, feed):
    book = loaded(
        books, feed, [("bid", 0.0, 5.0, 1), ("bid", -1.0, 5.0, 1), ("ask", 3.0, -2.0, 1), ("ask", 4.0, 1.0, 1)]
    )
    assert (book.depth("bid"), book.depth("ask"), books.rejected_levels) == (0, 1, 3)


def test_max_levels_cuts_the_worst_after_the_batch(feed):
    books = Books(max_levels=2)
    book = loaded(books, feed)
    assert [level[0] for level in book.snapshot().bids] == [100.0, 99.95]
    assert [level[0] for level in book.snapshot().asks] == [100.05, 100.1]
    # Within one batch the removal of the best comes before the cut, so the new level stays.
    books.apply(feed.batch([Message([("bid", 99.0, 1.0, 1)]), Message([("bid", 100.0, 0.0, 0)])]))
    assert [level[0] for level in book.snapshot().bids] == [99.95, 99.0]


def test_crossed_and_locked_are_told_apart(books, feed):
    book = loaded(books, feed, [("bid", 5.0, 1.0, 1), ("ask", 5.0, 1.0, 1)])
    assert (book.crossed, book.locked) == (False, True)
    loaded(books, feed, [("bid", 5.05, 1.0, 1), ("ask", 5.0, 1.0, 1)])
    assert (book.crossed, book.locked) == (True, False)
    assert book.snapshot().crossed


def test_a_book_nothing_was_heard_of_is_stale_and_empty(books, feed):
    book = books.book(feed.handles[1])
    assert (book.stale, book.gapped, book.bid_price, book.updates, book.ts_recv) == (True, False, None, 0, 0)
    assert (book.ts_event, book.sequence, len(books)) == (None, None, 1)


def test_a_stream_of_deltas_alone_makes_a_live_book_where_nothing_is_numbered(books, feed):
    books.apply(feed.batch([Message(BIDS)]))
    assert books.book(feed.handles[0]).stale is False


def test_marking_stale_keeps_the_levels_until_a_snapshot(books, feed):
    book, other = loaded(books, feed), books.book(feed.handles[1])
    books.apply(feed.batch([Message(BIDS, snapshot=True, instrument=1)]))
    books.mark_stale(feed.handles[1])
    assert (book.stale, other.stale) == (False, True)
    books.mark_stale()
    assert (book.stale, book.bid_price, book.snapshot().stale) == (True, 100.0, True)
    assert books.apply(feed.batch([Message([("bid", 101.0, 1.0, 1)])])) == 0
    assert (book.bid_price, books.ignored) == (100.0, 1)
    loaded(books, feed)
    assert (book.stale, other.stale) == (False, True)


def test_a_gap_waits_for_a_snapshot_and_says_who_waits(feed):
    books = Books(rule="plain")
    book = loaded(books, feed, sequence=5)
    assert books.apply(feed.batch([Message([("bid", 100.0, 1.0, 1)], sequence=7)])) == 1
    assert (book.gapped, book.stale, book.sequence, book.bid_quantity) == (True, True, 5, 10.0)
    assert (books.gaps, books.gapped) == (1, (feed.handles[0],))
    assert "gapped" in repr(book)
    books.mark_stale()
    assert book.gapped
    assert books.apply(feed.batch([Message([("bid", 100.0, 1.0, 1)], sequence=6)])) == 0
    assert (books.ignored, books.gaps) == (1, 1)
    loaded(books, feed, sequence=9)
    assert (book.gapped, book.stale, books.gapped) == (False, False, ())


def test_a_numbered_delta_without_its_number_is_a_gap(feed):
    for rule in ("plain", "ranged", "linked"):
        books = Books(rule=rule)
        loaded(books, feed, sequence=5)
        books.apply(feed.batch([Message([("bid", 100.0, 1.0, 1)])]))
        assert books.gaps == 1


def test_a_snapshot_older_than_a_live_book_is_dropped(feed):
    books = Books(rule="plain")
    book = loaded(books, feed, sequence=5)
    books.apply(feed.batch([Message([], snapshot=True, sequence=4)]))
    assert (book.depth("bid"), books.duplicates, book.sequence) == (3, 1, 5)
    books.mark_stale()  # a new connection may count from the start again
    books.apply(feed.batch([Message([], snapshot=True, sequence=4)]))
    assert (book.depth("bid"), book.sequence) == (0, 4)


def test_records_of_unbound_instruments_are_counted_only(books, feed):
    assert books.apply(feed.batch([Message(BIDS, snapshot=True, instrument=99)])) == 0
    assert (len(books), books.unbound) == (0, 1)


def test_a_book_outlives_the_name_of_its_books(feed):
    books = Books()
    book = loaded(books, feed)
    books.mark_stale()
    del books
    gc.collect()
    assert (book.stale, book.bid_price, book.vwap("ask", 1)) == (True, 100.0, 100.05)


def test_a_snapshot_is_a_value(books, feed):
    book = loaded(books, feed, sequence=3)
    first, top = book.snapshot(), book.snapshot(levels=1)
    assert (first.instrument, first.instrument_id) == (feed.handles[0], "TEST:BOOK0")
    assert (first.sequence, first.ts_event, first.ts_recv, first.stale, first.crossed) == (3, 5, 7, False, False)
    assert (top.bids, top.asks) == ((BIDS[0][1:],), (ASKS[0][1:],))
    assert first == book.snapshot() != top
    assert hash(first) == hash(book.snapshot())
    assert pickle.loads(pickle.dumps(first)) == first
    assert first != (first.bids, first.asks)
    with pytest.raises((AttributeError, TypeError)):
        first.bids = ()
    loaded(books, feed, [])
    assert first.bids == tuple(level[1:] for level in BIDS)


def test_a_snapshot_can_be_made_by_hand_from_an_id_or_a_handle(feed):
    bids, asks = [[1, 2, 3]], ()
    made = BookSnapshot("TEST:BOOK0", bids, asks, stale=True)
    assert made == BookSnapshot(feed.handles[0], ((1.0, 2.0, 3),), asks, None, None, 0, True)
    assert (made.sequence, made.ts_event) == (None, None)
    assert "stale=True" in repr(made)
    with pytest.raises(TypeError, match=r"a level is \(price, quantity, orders\)"):
        BookSnapshot("TEST:BOOK0", [(1.0, 2.0)], ())
    with pytest.raises(IndexError, match="no instrument has handle"):
        BookSnapshot(10**8, (), ())


def test_wrong_arguments_are_named_with_what_was_expected(books, feed):
    book = loaded(books, feed)
    with pytest.raises(ValueError, match=r"side is 'buy', expected 'bid' or 'ask'"):
        book.level("buy", 0)
    with pytest.raises(TypeError, match=r"side is 0, expected 'bid' or 'ask'"):
        book.depth(0)
    with pytest.raises(ValueError, match=r"level index is -1"):
        book.level("bid", -1)
    for quantity in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"vwap quantity is .*, expected a finite number above 0"):
            book.vwap("bid", quantity)
    with pytest.raises(ValueError, match=r"levels is 0, expected at least 1"):
        book.imbalance(0)
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'depth', expected levels"):
        book.snapshot(depth=3)
    with pytest.raises(ValueError, match=r"rule is 'strict', expected none, plain, ranged or linked"):
        Books(rule="strict")
    with pytest.raises(ValueError, match=r"max_levels is -1"):
        Books(max_levels=-1)
    with pytest.raises(IndexError, match=r"no instrument has handle"):
        books.book(10**8)
    with pytest.raises(TypeError, match="Batch"):
        books.apply([])
    with pytest.raises(TypeError):
        Book()


def test_marking_a_book_that_does_not_exist_stale_makes_none(books):
    books.mark_stale(intern_instrument("TEST:NEVER"))
    assert len(books) == 0


def test_level_put_by_hand_returns_the_top_after_it():
    book = Books().book(intern_instrument("TEST:BYHAND"))
    assert book.update("bid", 10.0, 5.0) == (10.0, None)
    assert not book.stale
    assert book.update("ask", 11.0, 2.0, 3) == (10.0, 11.0)
    assert book.update("bid", 10.5, 1.0) == (10.5, 11.0)
    assert book.update("bid", 10.5, 0.0) == (10.0, 11.0)
    assert book.level("ask", 0) == (11.0, 2.0, 3)
    for price, quantity in ((0.0, 1.0), (float("nan"), 1.0), (1.0, -1.0), (1.0, float("inf"))):
        with pytest.raises(ValueError, match="expected a finite price above 0"):
            book.update("bid", price, quantity)
    with pytest.raises(TypeError, match="side, price, quantity"):
        book.update("bid", 1.0)


def test_broken_book_is_not_healed_by_hand():
    books = Books()
    book = books.book(intern_instrument("TEST:BYHAND2"))
    book.update("bid", 10.0, 5.0)
    books.mark_stale()
    book.update("bid", 11.0, 5.0)
    assert book.stale
