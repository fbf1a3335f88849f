"""The native way of a batch: books, then handlers that cannot hurt each other, all of it timed."""

from __future__ import annotations

import gc
import time
import weakref

import pytest

from dragoman._core import Books, Decoder, Handout, Histogram, intern_instrument
from dragoman.plugin.registry import load_adapter
from reference.book import Message
from reference.depth_stream import DepthFeed
from unit.test_core_table import batch


class Hands:
    """A handout under a clock that stands still unless it is told to move; calls are noted in `calls`."""

    def __init__(self) -> None:
        self.mono, self.wall = 1000, 5000
        self.calls: list[object] = []
        self.failures: list[tuple[object, Exception]] = []
        self.books = Books()
        self.handout = Handout(
            self.books,
            mono_ns=lambda: self.mono,
            wall_ns=lambda: self.wall,
            failed=lambda handler, error: self.failures.append((handler, error)),
        )

    def noting(self, name: str, takes_ns: int = 0):
        def handler(_batch) -> None:
            self.mono += takes_ns
            self.calls.append(name)

        return handler


def full(price=10_000):
    decoder = Decoder(load_adapter("zerodha").feed("market").layouts.compile())
    decoder.bind(257, intern_instrument("NSE:HANDOUT"))
    words = [price, 7, price, 100, 1, 1, price, price, price, price, 0, 0, 0, 0, 0]
    packet = (257).to_bytes(4, "big") + b"".join(word.to_bytes(4, "big") for word in words)
    for side in (-5, 5):
        for at in range(1, 6):
            packet += (9).to_bytes(4, "big") + (price + side * at).to_bytes(4, "big") + b"\0\1\0\0"
    return decoder.decode(b"\0\1" + len(packet).to_bytes(2, "big") + packet, 4000)


def test_books_come_first_then_what_goes_beside_then_handlers_then_queues():
    hands = Hands()
    book = hands.books.book(intern_instrument("NSE:HANDOUT"))
    hands.handout.aside = lambda batch: hands.calls.append(book.bid_price)
    hands.handout.after = hands.noting("after")
    hands.handout.handlers = (hands.noting("first"), hands.noting("second"))
    hands.handout(full())
    assert hands.calls == [99.95, "first", "second", "after"]
    assert hands.handout.ticks == 1


def test_each_call_and_the_age_at_the_first_are_measured():
    hands = Hands()
    took, age = Histogram(), Histogram()
    hands.handout.took, hands.handout.age = took, age
    hands.handout.handlers = (hands.noting("a", 30), hands.noting("b", 50))
    hands.handout(full())
    assert (took.count, took.minimum, took.maximum) == (2, 30, 50)
    assert (age.count, age.maximum) == (1, 1000)  # of wall time, since `ts_recv`
    hands.handout.handlers = ()
    hands.handout(full())
    assert (took.count, age.count) == (2, 1)  # nobody listens: nothing is measured


def test_a_handler_that_raises_is_told_with_its_error_and_the_others_are_called():
    hands = Hands()
    took = hands.handout.took = Histogram()

    def broken(_batch):
        raise ValueError("mine")

    hands.handout.handlers = (broken, hands.noting("next"))
    hands.handout.after = hands.noting("after")
    hands.handout(full())
    ((handler, error),) = hands.failures
    assert handler is broken
    assert repr(error) == "ValueError('mine')"
    assert error.__traceback__.tb_frame.f_code is broken.__code__
    assert (hands.calls, took.count) == (["next", "after"], 2)


def test_what_is_no_exception_of_a_handler_reaches_whoever_runs_the_loop():
    hands = Hands()

    def stopping(_batch):
        raise KeyboardInterrupt

    hands.handout.handlers = (stopping, hands.noting("next"))
    with pytest.raises(KeyboardInterrupt):
        hands.handout(full())
    assert (hands.calls, hands.failures) == ([], [])


def test_handlers_that_come_and_go_during_a_batch_count_from_the_next():
    hands = Hands()

    def once(_batch):
        hands.calls.append("once")
        hands.handout.handlers = (hands.noting("new"),)
        hands.handout.took = None

    hands.handout.took = Histogram()
    hands.handout.handlers = (once, hands.noting("old"))
    hands.handout(full())
    hands.handout(full())
    assert hands.calls == ["once", "old", "new"]


def test_a_handler_may_hand_in_a_batch_of_its_own():
    hands = Hands()
    other = batch(100)

    def nesting(given):
        hands.calls.append(len(given))
        if given is not other:
            hands.handout(other)

    hands.handout.handlers = (nesting,)
    hands.handout(batch(100, 200))
    assert hands.calls == [2, 1]


def test_once_closed_nothing_is_handed_out():
    hands = Hands()
    hands.handout.handlers = (hands.noting("late"),)
    hands.handout.closed = True
    hands.handout(full())
    assert (hands.calls, hands.handout.ticks, len(hands.books)) == ([], 0, 0)


def test_a_book_that_a_handler_looks_at_knows_the_batch():
    hands = Hands()
    instrument = intern_instrument("NSE:HANDOUT")
    book, seen = hands.books.book(instrument), []
    looks = [
        lambda: book.bid_price,
        lambda: book.snapshot().bids[0][0],
        lambda: book.updates,
        lambda: hands.books.book(instrument).ask_price,
        lambda: hands.books.rejected_levels,
    ]
    for at, look in enumerate(looks):
        hands.handout.handlers = (lambda _batch, look=look: seen.append(look()),)
        hands.handout(full(10_000 + 100 * at))
    assert seen == [99.95, 100.95, 3, 103.05, 0]


def test_books_that_nobody_looks_at_know_the_batch_once_it_was_handed_out():
    hands = Hands()
    book = hands.books.book(intern_instrument("NSE:HANDOUT"))
    hands.handout.handlers = (hands.noting("seen"),)
    hands.handout(full())
    hands.handout(full(10_100))
    assert (book.bid_price, book.ask_price, book.updates, book.stale) == (100.95, 101.05, 2, False)


def test_a_book_marked_stale_by_a_handler_stays_so():
    hands = Hands()
    instrument = intern_instrument("NSE:HANDOUT")
    book = hands.books.book(instrument)
    hands.handout.handlers = (lambda _batch: hands.books.mark_stale(instrument),)
    hands.handout(full())
    assert (book.stale, book.bid_price) == (True, 99.95)


def test_books_know_the_batch_where_a_handler_stops_the_loop():
    hands = Hands()
    book = hands.books.book(intern_instrument("NSE:HANDOUT"))

    def stopping(_batch):
        raise KeyboardInterrupt

    hands.handout.handlers = (stopping,)
    with pytest.raises(KeyboardInterrupt):
        hands.handout(full())
    assert book.bid_price == 99.95


def test_batches_inside_each_other_reach_the_books_in_order():
    hands = Hands()
    book, inner, seen = hands.books.book(intern_instrument("NSE:HANDOUT")), full(20_000), []

    def nesting(given):
        if given is not inner:
            hands.handout(inner)
            seen.append((book.bid_price, book.updates))

    hands.handout.handlers = (nesting,)
    hands.handout(full())
    assert (seen, book.bid_price, book.updates) == ([(199.95, 2)], 199.95, 2)


def test_a_book_that_can_break_is_told_of_before_the_handlers():
    hands, feed = Hands(), DepthFeed()
    instrument = feed.handles[0]
    hands.books.follow(instrument, rule="plain", hold=True)
    hands.handout.broken = lambda _batch: hands.calls.append("broken")
    hands.handout.handlers = (hands.noting("handler"),)
    hands.handout(feed.batch([Message([("bid", 100.0, 1.0, 1)], sequence=7)]))  # to be laid over a snapshot
    assert hands.calls == ["broken", "handler"]
    assert hands.books.take_wanting() == (instrument,)


@pytest.mark.parametrize("where", ["aside", "after"])
def test_an_error_beside_the_handlers_comes_back(where):
    hands = Hands()

    def broken(_batch):
        raise LookupError

    setattr(hands.handout, where, broken)
    with pytest.raises(LookupError):
        hands.handout(full())
    assert hands.failures == []


def test_a_clock_that_raises_is_not_swallowed():
    handout = Handout(Books(), mono_ns=lambda: 1 // 0, wall_ns=time.time_ns, failed=print)
    handout.took, handout.handlers = Histogram(), (len,)
    with pytest.raises(ZeroDivisionError):
        handout(full())


@pytest.mark.parametrize("name", ["handlers", "took", "age"])
def test_what_cannot_be_called_or_counted_is_refused(name):
    with pytest.raises(TypeError, match="expected"):
        setattr(Hands().handout, name, [len])


@pytest.mark.parametrize("arguments", [(), (1,), (b"", b"")])
def test_only_a_batch_is_taken(arguments):
    with pytest.raises(TypeError, match="Batch"):
        Hands().handout(*arguments)


def test_a_handout_that_is_held_by_its_handlers_only_is_collected():
    class Strategy:
        def __init__(self, handout) -> None:
            self.handout = handout
            handout.handlers = (self.on_batch,)

        def on_batch(self, _batch) -> None: ...

    strategy = Strategy(Hands().handout)
    gone = weakref.ref(strategy)
    del strategy
    gc.collect()
    assert gone() is None
