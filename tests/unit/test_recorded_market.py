"""A recording drives a venue's market."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from dragoman.emulator.venue import Venue
from dragoman.emulator.venue.recorded import RecordedMove
from dragoman.model import OrderStatus, Segment, Side
from reference.venue_kit import FUTURE_LISTING, SHARE, SHARE_LISTING, START, limit

S = 1_000_000_000
FIRST = RecordedMove(7 * S, SHARE, ((D("900.00"), D(5)),), ((D("900.10"), D(6)),))
SECOND = RecordedMove(9 * S, SHARE, ((D("901.00"), D(7)),), ((D("901.10"), D(8)),))
PRINT = RecordedMove(10 * S, SHARE, trade=(D("895.00"), D(50)))


def venue_of(*moves: RecordedMove, speed: float = 1.0) -> Venue:
    venue = Venue(3, START, latency_ns=0, activity=1)
    venue.list(SHARE_LISTING)
    venue.list(FUTURE_LISTING)
    venue.open_account("A", {Segment.EQUITY: D(10_000_000)})
    assert venue.play(moves, speed=speed) == (SHARE,)
    return venue


def top(venue: Venue):
    view = venue.market(SHARE)
    return view.bids[0][:2], view.asks[0][:2]


def test_recorded_book_becomes_the_market_at_its_time():
    venue = venue_of(FIRST, SECOND)
    venue.advance(START + S)
    assert top(venue) == ((D("900.00"), D(5)), (D("900.10"), D(6)))
    venue.advance(START + 2 * S)
    assert top(venue) == ((D("901.00"), D(7)), (D("901.10"), D(8)))


def test_speed_shortens_the_waits():
    venue = venue_of(FIRST, SECOND, speed=4.0)
    venue.advance(START + S // 2)
    assert top(venue)[0] == (D("901.00"), D(7))


def test_unrecorded_instruments_keep_their_walk():
    venue = venue_of(FIRST, SECOND)
    future = FUTURE_LISTING.instrument.instrument_id
    before = venue.market(future)
    venue.advance(START + 5 * S)
    assert venue.market(future).volume > before.volume


def test_recorded_trade_through_an_order_fills_it_and_the_book_stays():
    venue = venue_of(FIRST, SECOND, PRINT)
    venue.advance(START + S)
    order = venue.submit("A", limit(Side.BUY, 20, "896.00"), venue.now_ns)
    venue.advance(START + 3 * S)
    assert venue.order("A", order).status is OrderStatus.FILLED
    assert venue.market(SHARE).last_price == D("895.00")
    assert top(venue)[1] == (D("901.10"), D(8))


def test_speed_of_nothing_is_refused():
    with pytest.raises(ValueError, match="above 0"):
        venue_of(FIRST, speed=0)
