from __future__ import annotations

import pytest

from dragoman.emulator.venue.matching import Book


def test_better_price_trades_before_earlier_arrival():
    book = Book()
    early = book.add(-1, 101, 5)
    cheap = book.add(-1, 100, 5)
    hits, left, _ = book.match(1, 101, 7)
    assert [(hit.resting, hit.quantity) for hit in hits] == [(cheap, 5), (early, 2)]
    assert left == 0
    assert book.levels(-1) == [(101, 3, 1)]


def test_earlier_arrival_trades_first_at_one_price():
    book = Book()
    first, second = book.add(1, 100, 5), book.add(1, 100, 5)
    hits, _, _ = book.match(-1, 100, 6)
    assert [(hit.resting, hit.quantity) for hit in hits] == [(first, 5), (second, 1)]


def test_limit_stops_the_sweep_and_the_rest_is_left():
    book = Book()
    book.add(-1, 100, 5)
    book.add(-1, 102, 5)
    hits, left, _ = book.match(1, 101, 8)
    assert [hit.quantity for hit in hits] == [5]
    assert left == 3
    assert book.best(-1) == 102


def test_without_limit_everything_trades():
    book = Book()
    book.add(1, 100, 5)
    book.add(1, 50, 5)
    hits, left, _ = book.match(-1, None, 12)
    assert [(hit.resting.price, hit.quantity) for hit in hits] == [(100, 5), (50, 5)]
    assert left == 2
    assert book.best(1) is None


def test_matching_stops_in_front_of_the_same_account():
    book = Book()
    book.add(-1, 100, 5, account="B")
    own = book.add(-1, 101, 5, account="A")
    book.add(-1, 102, 5, account="B")
    hits, left, self_trade = book.match(1, 105, 20, "A")
    assert [hit.quantity for hit in hits] == [5]
    assert (left, self_trade, own.quantity) == (15, True, 5)


def test_reduced_order_keeps_its_place():
    book = Book()
    first, second = book.add(1, 100, 5), book.add(1, 100, 5)
    book.reduce(first, 2)
    hits, _, _ = book.match(-1, 100, 3)
    assert [(hit.resting, hit.quantity) for hit in hits] == [(first, 2), (second, 1)]
    with pytest.raises(ValueError, match="cannot reduce 4 lots to 6"):
        book.reduce(second, 6)


def test_removed_order_is_gone_and_its_level_with_it():
    book = Book()
    resting = book.add(1, 100, 5)
    book.remove(resting)
    book.remove(resting)
    assert book.best(1) is None
    assert book.levels(1) == []
    assert book.outsiders == 0


def test_volume_counts_a_limit_and_better():
    book = Book()
    for price in (99, 100, 101):
        book.add(1, price, 10)
        book.add(-1, price + 5, 1, maker=True)
    assert book.volume(1) == 30
    assert book.volume(1, 100) == 20
    assert book.volume(-1, 105) == 2
    assert book.outsiders == 3
