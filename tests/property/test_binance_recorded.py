"""Recorded futures traffic through the feed's layouts and the native books: whole, and with every kind of line fault.

No gap stands in the recording, so each fault is made here: every depth line after the bridge, but each symbol's last,
is dropped, repeated, and swapped with the next one of its symbol. The book must notice, and be right again once it got
the snapshot that the test serves as the venue would.
"""

from __future__ import annotations

import json
from decimal import Decimal
from functools import cache
from itertools import pairwise

import pytest
from dragoman.adapters.binance.feed import FuturesDepth

from dragoman._core import Books, Decoder, intern_instrument

DELTAS = 764
SYNC = FuturesDepth.sync


class Truth:
    """One symbol's book as plain Python keeps it: decimals, and the numbers that messages carry."""

    def __init__(self, row):
        self.number = row["lastUpdateId"]
        self.sides = {side: {Decimal(p): Decimal(q) for p, q in row[side]} for side in ("bids", "asks")}

    def apply(self, event):
        for side, key in (("bids", "b"), ("asks", "a")):
            for price, quantity in event[key]:
                if Decimal(quantity):
                    self.sides[side][Decimal(price)] = Decimal(quantity)
                else:
                    self.sides[side].pop(Decimal(price), None)
        self.number = event["u"]

    def rows(self, side):
        prices = sorted(self.sides[side], reverse=side == "bids")
        return [(float(price), float(self.sides[side][price]), 0) for price in prices]


def messages(path):
    """Return (time, frame, message) of every line that was received."""
    found = []
    for line in path.read_text().splitlines():
        stamp, _, frame = line.partition(": ")
        if frame.startswith("{"):
            found.append((float(stamp), frame.encode(), json.loads(frame)))
    return found


def snapshots(path):
    """Return symbol -> (time, reply) of the recorded depth requests."""
    found = {}
    for line in path.read_text().splitlines():
        url, _, rest = line.partition(" -> ")
        if "/depth?symbol=" in url:
            stamp, _, body = rest.partition(": ")
            body = body.partition(" header: ")[0]
            found[url.partition("symbol=")[2].partition("&")[0]] = (float(stamp), json.loads(body))
    return found


@cache
def recording(folder):
    lines = messages(folder / "recordings" / "BINANCE_FUTURES.ws.1.0")
    depth = [one for one in lines if one[2].get("data", {}).get("e") == "depthUpdate"]
    return lines, depth, snapshots(folder / "recordings" / "BINANCE_FUTURES.http.0.0")


def feed_of(symbols):
    decoder, books, handles = Decoder(FuturesDepth.layouts.compile()), Books(), {}
    for symbol in symbols:
        handle = handles[symbol] = intern_instrument(f"RECORDED:{symbol}=PERP")
        decoder.bind_text(symbol.encode(), handle)
        books.follow(handle, rule=SYNC.rule, hold=SYNC.hold)
    return decoder, books, handles


def levels(book, side):
    return [tuple(level)[:2] for level in getattr(book.snapshot(), side)]


def assert_equal(book, truth):
    for side in ("bids", "asks"):
        assert levels(book, side) == [row[:2] for row in truth.rows(side)]
    assert book.sequence == truth.number


def test_the_recording_has_no_gap_and_every_level_is_that_of_decimals(real_data):
    lines, depth, replies = recording(real_data)
    assert len(depth) == DELTAS
    decoder, books, handles = feed_of(replies)
    truths, waiting, bridged, compared = {}, {symbol: [] for symbol in replies}, {}, 0
    due = sorted((stamp, symbol) for symbol, (stamp, _) in replies.items())
    for stamp, frame, message in lines:
        while due and due[0][0] <= stamp:
            symbol = due.pop(0)[1]
            truth = truths[symbol] = Truth(replies[symbol][1])
            held = [event for event in waiting[symbol] if event["u"] >= truth.number]
            bridged[symbol] = not held or held[0]["U"] <= truth.number <= held[0]["u"]
            serve(books, handles[symbol], (truth.number, truth.rows("bids"), truth.rows("asks")))
            for event in held:
                truth.apply(event)
        books.apply(decoder.decode(frame, int(stamp * 1e9)))
        data = message.get("data", {})
        if data.get("e") == "depthUpdate":
            symbol = data["s"]
            if symbol not in truths:
                waiting[symbol].append(data)
                continue
            if data["u"] < truths[symbol].number:
                continue
            truths[symbol].apply(data)
            if not books.book(handles[symbol]).stale:
                assert_equal(books.book(handles[symbol]), truths[symbol])
                compared += 1
    assert books.gaps == 0
    assert all(bridged.values())
    assert decoder.counters["malformed"] == decoder.counters["rejected_values"] == 0
    assert not any(books.book(handle).stale for handle in handles.values())
    assert compared > DELTAS - 60


@cache
def after_the_bridge(folder):
    """Return symbol -> (the depth lines that follow its recorded snapshot, the book's states).

    State n is what the venue's book is before line n: its number, its bids and its asks.
    """
    _, depth, replies = recording(folder)
    found = {}
    for symbol, (_, row) in replies.items():
        mine = [one for one in depth if one[2]["data"]["s"] == symbol and one[2]["data"]["u"] >= row["lastUpdateId"]]
        assert all(one["data"]["pu"] == before["data"]["u"] for (_, _, before), (_, _, one) in pairwise(mine))
        truth = Truth(row)
        states = [(truth.number, truth.rows("bids"), truth.rows("asks"))]
        for _, _, message in mine:
            truth.apply(message["data"])
            states.append((truth.number, truth.rows("bids"), truth.rows("asks")))
        found[symbol] = (mine, states)
    return found


def order_of(fault, at, count):
    """Return the numbers of the lines as they arrive, from `at` on."""
    rest = list(range(at, count))
    if fault == "drop":
        return rest[1:]
    if fault == "repeat":
        return [at, *rest]
    return [at + 1, at, *rest[2:]]


def serve(books, handle, state):
    number, bids, asks = state
    return books.snapshot(handle, bids, asks, sequence=number, ts_recv=1)


def played(symbol, mine, states, fault, at, late):
    """Play the lines from `at` on with one fault; return the books, the book, and what was counted line by line."""
    decoder, books, handles = feed_of([symbol])
    handle = handles[symbol]
    books.apply(decoder.decode(mine[at - 1][1], 1))  # a book that starts wants a snapshot when its first delta comes
    assert books.take_wanting() == (handle,)
    assert serve(books, handle, states[at])
    published, seen, before = at, [], books.duplicates
    for number in order_of(fault, at, len(mine)):
        published = max(published, number + 1)
        books.apply(decoder.decode(mine[number][1], 1))
        seen.append((books.gaps, books.duplicates - before))
        for wanted in books.take_wanting():
            assert books.book(wanted).stale
            # The venue's answer may be a moment younger than the line that showed the gap.
            serve(books, wanted, states[min(published + late, len(mine))])
    return books, books.book(handle), seen


@pytest.mark.parametrize("fault", ["drop", "repeat", "swap"])
@pytest.mark.parametrize("late", [False, True], ids=["at once", "a moment later"])
def test_every_fault_of_a_depth_line_is_noticed_and_healed(real_data, fault, late):
    runs = 0
    for symbol, (mine, states) in after_the_bridge(real_data).items():
        for at in range(1, len(mine) - 1):
            books, book, seen = played(symbol, mine, states, fault, at, late)
            runs += 1
            if fault == "repeat":
                assert seen[1:] == [(0, 1)] * len(seen[1:]), (symbol, at)
            else:
                assert books.gaps == 1, (symbol, at)
                assert seen[0] == (1, 0), "noticed with the first line that comes out of turn"
                assert books.healed == 1
            assert not book.stale, (symbol, at)
            number, bids, asks = states[-1]
            assert book.sequence == number
            assert [tuple(level) for level in book.snapshot().bids] == bids, (symbol, at)
            assert [tuple(level) for level in book.snapshot().asks] == asks, (symbol, at)
    assert runs > 700
