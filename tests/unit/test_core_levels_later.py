"""Levels of a frame wait for the handlers, and nobody who looks can tell."""

from __future__ import annotations

import struct

import pytest

from dragoman._core import Books, Decoder, FrameCounts, Handout, Intake, intern_instrument
from dragoman.plugin.registry import load_adapter

TOKENS = tuple(range(257, 257 + 256 * 40, 256))
EMPTY, ONE_SIDED, SHORT = 3, 7, 11
"""Where in a frame a packet has no depth at all, no asks, and none to have."""


def packet(at: int, token: int, price: int) -> bytes:
    if at == SHORT:
        return struct.pack(">Ii", token, price)
    body = struct.pack(">I15i", token, price, 7, price, 100, 1, 1, price, price, price, price, 0, at, 0, 0, 0)
    for side in (-5, 5):
        for level in range(1, 6):
            there = at != EMPTY and not (at == ONE_SIDED and side == 5)
            body += struct.pack(">iiHxx", 9 + level, price + side * level, level) if there else bytes(12)
    return body


def frame(price: int = 10_000) -> bytes:
    packets = [packet(at, token, price + 100 * at) for at, token in enumerate(TOKENS)]
    return struct.pack(">H", len(packets)) + b"".join(struct.pack(">H", len(one)) + one for one in packets)


def decoder() -> Decoder:
    made = Decoder(load_adapter("zerodha").feed("market").layouts.compile())
    for token in TOKENS:
        made.bind(token, intern_instrument(f"NSE:LATER{token}"))
    return made


class Stream:
    """A connection whose handler does what it is given, and fails loudly."""

    def __init__(self, handler) -> None:
        self.books, failures = Books(), []
        self.handout = Handout(
            self.books, mono_ns=int, wall_ns=int, failed=lambda _handler, error: failures.append(error)
        )
        self.handout.handlers = (handler,)
        self.failures = failures
        self.intake = Intake(
            decoder(),
            FrameCounts(),
            on_batch=self.handout,
            on_error=failures.append,
            beside=print,
            mono_ns=int,
            wall_ns=int,
        )

    def take(self, data: bytes | bytearray) -> None:
        self.intake.take(data, 5, 0)
        assert self.failures == []


def everything(batch):
    depth = [batch.levels(at) for at in range(len(batch))]
    return (batch.records.tobytes(), batch.level_ops.tobytes(), depth, list(batch), repr(batch))


LOOKS = {
    "levels": lambda batch: [batch.levels(at) for at in range(len(batch))],
    "level_ops": lambda batch: batch.level_ops.tobytes(),
    "records": lambda batch: batch.records.tobytes(),
    "ticks": list,
    "ticks of a cursor": lambda batch: [row.tick() for row in batch.cursor()],
    "rows": lambda batch: list(batch.rows(("instrument", "bid_price", "bid_quantity", "ask_price", "oi"))),
    "table": lambda batch: batch.table(("bid_price", "ask_quantity")).tobytes(),
    "presence": lambda batch: [(row.present, row.changed) for row in batch.cursor()],
    "repr": repr,
    "length": len,
    "books of its own": lambda batch: Books().apply(batch),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
def test_a_handler_sees_what_a_decoder_reads_at_once(look):
    seen = []
    stream = Stream(lambda batch: seen.append((look(batch), everything(batch))))
    for price in (10_000, 20_000):
        stream.take(frame(price))
        whole = decoder().decode(frame(price), 5)
        assert seen.pop() == (look(whole), everything(whole))


def test_a_batch_that_is_kept_is_whole_when_its_frame_is_gone():
    kept = []
    stream = Stream(kept.append)
    data = bytearray(frame())
    stream.take(data)
    data[:] = bytes(len(data))
    stream.take(frame(30_000))
    assert [everything(batch) for batch in kept] == [
        everything(decoder().decode(frame(), 5)),
        everything(decoder().decode(frame(30_000), 5)),
    ]


def test_books_are_the_same_whether_a_handler_looks_or_not():
    books = [Stream(lambda _batch: None), Stream(lambda batch: batch.levels(0))]
    book = books[1].books.book(intern_instrument(f"NSE:LATER{TOKENS[0]}"))
    books.append(Stream(lambda _batch: book.updates))
    expected = Books()
    for price in (10_000, 12_345):
        for stream in books:
            stream.take(frame(price))
        expected.apply(decoder().decode(frame(price), 5))
    for token in TOKENS:
        instrument = intern_instrument(f"NSE:LATER{token}")
        snapshots = {stream.books.book(instrument).snapshot() for stream in books}
        assert snapshots == {expected.book(instrument).snapshot()}


def test_a_frame_inside_the_handler_of_another_spoils_neither():
    seen = []

    def nesting(batch) -> None:
        if batch.ts_recv == 5:
            stream.intake.take(frame(50_000), 6, 0)
        seen.append(everything(batch))

    stream = Stream(nesting)
    stream.take(frame())
    assert seen == [everything(decoder().decode(frame(50_000), 6)), everything(decoder().decode(frame(), 5))]
    book = stream.books.book(intern_instrument(f"NSE:LATER{TOKENS[0]}"))
    assert (book.bid_price, book.updates) == (499.95, 2)


def test_a_handler_that_closes_the_client_leaves_its_batch_whole():
    kept = []

    def closing(batch) -> None:
        stream.handout.closed = True
        kept.append(batch)

    stream = Stream(closing)
    stream.take(frame())
    assert everything(kept[0]) == everything(decoder().decode(frame(), 5))
