from __future__ import annotations

from dataclasses import replace
from decimal import Decimal as D

import pytest

from dragoman.emulator.venue import Venue, default_universe
from dragoman.emulator.venue.types import VenueRejectError
from dragoman.errors import ErrorKind
from dragoman.model import InstrumentType, OrderStatus, Segment, Side
from reference.venue_kit import FUTURE_LISTING, LATENCY, SHARE, SHARE_LISTING, START, limit, put, quiet_venue, settle

BUY, SELL = Side.BUY, Side.SELL
STEP = 100_000_000
UNIVERSE = default_universe(START)
INDEX = "NSE:NIFTY_50=INDEX"


def busy_venue(seed=3, listings=(SHARE_LISTING, FUTURE_LISTING), **options) -> Venue:
    venue = Venue(seed, START, latency_ns=LATENCY, step_ns=STEP, **({"activity": 1} | options))
    for listing in listings:
        venue.list(listing)
    venue.open_account("A", {Segment.EQUITY: D(10_000_000)})
    return venue


def picture(venue: Venue):
    return [venue.market(listing.instrument.instrument_id) for listing in venue.listings()]


def trade_a_little(venue: Venue):
    for number in range(12):
        view = venue.market(SHARE)
        side = (BUY, SELL)[number % 2]
        levels = view.bids if side is BUY else view.asks
        order_id = venue.submit("A", limit(side, 7, str(levels[number % 3][0])), venue.now_ns)
        venue.advance(venue.now_ns + STEP * (1 + number % 3) + number)
        if not venue.order("A", order_id).status.terminal:
            venue.cancel("A", order_id, venue.now_ns)
    venue.advance(venue.now_ns + STEP)
    return venue


def test_same_seed_and_calls_give_the_same_everything():
    first, second = trade_a_little(busy_venue()), trade_a_little(busy_venue())
    assert first.events("A", 0) == second.events("A", 0)
    assert any(event.fill for event in first.events("A", 0))
    assert picture(first) == picture(second)
    assert first.funds("A") == second.funds("A")
    assert first.changed(0) == second.changed(0)


def test_another_seed_gives_another_market():
    first, second = busy_venue(1), busy_venue(2)
    for venue in (first, second):
        venue.advance(START + 10 * STEP)
    assert picture(first) != picture(second)


def test_looking_at_the_market_does_not_change_it():
    watched, unwatched = busy_venue(), busy_venue()
    for number in range(1, 30):
        watched.advance(START + number * STEP)
        picture(watched)
        unwatched.advance(START + number * STEP)
    assert picture(trade_a_little(watched)) == picture(trade_a_little(unwatched))


def test_size_of_the_advances_does_not_matter():
    fine, coarse = busy_venue(), busy_venue()
    for venue in (fine, coarse):
        venue.submit("A", limit(BUY, 50, "100"), START)
    for number in range(1, 101):
        fine.advance(START + number * STEP // 5)
    coarse.advance(START + 20 * STEP)
    assert picture(fine) == picture(coarse)
    assert fine.events("A", 0) == coarse.events("A", 0)


def test_time_that_falls_counts_as_the_latest_seen():
    venue = quiet_venue()
    venue.advance(START + 1000)
    order_id = venue.submit("A", limit(BUY, 1, "99"), START)
    assert venue.order("A", order_id).ts_created == venue.now_ns == START + 1000


def test_long_sleep_is_jumped_over():
    venue = busy_venue()
    before = venue.market(SHARE).volume
    venue.advance(START + 10**9 * 86_400)
    assert venue.now_ns == START + 10**9 * 86_400
    steps = venue.market(SHARE).volume - before
    assert 0 < steps < 200 * 2 * 110  # two hundred steps of at most about a typical quantity per instrument
    assert venue.market(SHARE).last_trade_ts > START + 10**9 * 86_380


def test_a_running_market_keeps_its_shape():
    venue = Venue(5, START, step_ns=STEP, activity=1)
    for listing in UNIVERSE:
        venue.list(listing)
    before = {view.instrument_id: view for view in picture(venue)}
    for number in range(1, 16):
        venue.advance(START + number * 4 * STEP)
        for listing, view in zip(UNIVERSE, picture(venue), strict=True):
            tick = listing.instrument.tick_size or D("0.01")
            assert view.band_low <= view.low <= min(view.open, view.last_price)
            assert max(view.open, view.last_price) <= view.high <= view.band_high
            assert view.low <= view.last_price <= view.high
            bids, asks = [level[0] for level in view.bids], [level[0] for level in view.asks]
            assert bids == sorted(set(bids), reverse=True)
            assert asks == sorted(set(asks))
            assert not bids or not asks or bids[0] < asks[0]
            assert all(not price % tick and view.band_low <= price <= view.band_high for price in bids + asks)
            if listing.instrument.tradable:
                assert bids or asks
                assert view.low - tick <= view.average_price <= view.high + tick
                assert view.total_buy_quantity >= sum(level[1] for level in view.bids)
                assert view.total_sell_quantity >= sum(level[1] for level in view.asks)
                for _, quantity, orders in (*view.bids, *view.asks):
                    assert not quantity % listing.instrument.lot_size
                    assert 1 <= orders <= quantity / listing.instrument.lot_size
    after = {view.instrument_id: view for view in picture(venue)}
    moved = [name for name in after if after[name].last_price != before[name].last_price]
    grew = [name for name in after if after[name].volume > before[name].volume]
    assert len(moved) > len(UNIVERSE) * 0.8
    assert len(grew) > len(UNIVERSE) * 0.9
    assert any(after[name].oi != before[name].oi for name in after)


def test_indices_walk_without_a_book_or_volume():
    venue = Venue(5, START, step_ns=STEP, activity=1)
    index = next(listing for listing in UNIVERSE if listing.instrument.instrument_id == INDEX)
    venue.list(index)
    levels = set()
    for number in range(1, 40):
        venue.advance(START + number * STEP)
        view = venue.market(INDEX)
        levels.add(view.last_price)
        assert (view.bids, view.asks, view.volume, view.last_quantity) == ((), (), 0, 0)
    assert len(levels) > 20


def test_index_cannot_be_traded():
    venue = busy_venue(listings=UNIVERSE[:1])
    with pytest.raises(VenueRejectError) as error:
        venue.submit("A", limit(BUY, 1, "26000", INDEX), START)
    assert error.value.kind is ErrorKind.INSTRUMENT_NOT_TRADABLE


def test_only_a_part_of_the_market_moves_at_each_step():
    venue = Venue(5, START, step_ns=STEP, activity=0.25)
    for listing in UNIVERSE:
        venue.list(listing)
    cursor, everything = venue.changed(0)
    assert set(everything) == {listing.instrument.instrument_id for listing in UNIVERSE}
    venue.advance(START + STEP)
    later, moved = venue.changed(cursor)
    assert len(UNIVERSE) * 0.15 < len(moved) <= len(UNIVERSE) * 0.25
    assert len(set(moved)) == len(moved)
    assert venue.changed(later) == (later, [])


def test_changes_of_the_book_are_seen_through_the_cursor():
    venue = quiet_venue()
    cursor, _ = venue.changed(0)
    order_id = put(venue, limit(BUY, 1, "99"))
    cursor, moved = venue.changed(cursor)
    assert moved == [SHARE]
    venue.cancel("A", order_id, venue.now_ns)
    assert venue.changed(cursor)[1] == []
    settle(venue)
    assert venue.changed(cursor)[1] == [SHARE]


def test_resting_orders_of_accounts_trade_with_the_crowd():
    venue = busy_venue()
    order_id = put(venue, limit(BUY, 40, str(venue.market(SHARE).bids[0][0])))
    for _ in range(400):
        venue.advance(venue.now_ns + STEP)
        if venue.order("A", order_id).status is OrderStatus.FILLED:
            break
    assert venue.order("A", order_id).status is OrderStatus.FILLED
    assert sum(fill.quantity for fill in venue.fills("A", order_id)) == 40
    assert venue.fills("A", order_id)[0].ts > START + 3 * LATENCY  # not on arrival: it had to wait its turn


def test_crowd_trades_with_the_account_that_is_first_in_the_queue():
    venue = busy_venue(listings=[replace(SHARE_LISTING, volatility=1e-9)])
    best = venue.market(SHARE).bids[0][0]
    order_id = put(venue, limit(BUY, 3, str(best)))
    for _ in range(60):  # the makers' sizes change at each step; those that grow go behind
        venue.advance(venue.now_ns + STEP)
    assert venue.order("A", order_id).status is OrderStatus.FILLED
    assert venue.market(SHARE).bids[0][0] == best  # nobody moved the price to get there


def test_makers_stand_still_without_volatility_and_fill_up_after_a_move():
    venue = busy_venue(listings=[replace(SHARE_LISTING, volatility=0)])
    first = venue.market(SHARE)
    venue.advance(START + 50 * STEP)
    assert venue.market(SHARE).asks == first.asks
    assert venue.market(SHARE).volume == 0
    price, quantity, _ = first.asks[0]
    order_id = put(venue, limit(BUY, int(quantity), str(price)))
    assert venue.order("A", order_id).status is OrderStatus.FILLED
    assert venue.market(SHARE).asks == first.asks[1:]
    venue.set_price(SHARE, D("102"))
    view = venue.market(SHARE)
    assert len(view.asks) == len(view.bids) == 5
    assert view.bids[0][0] <= 102 < view.asks[0][0]


def test_set_price_fills_what_it_passes_and_then_what_waits_there():
    venue = quiet_venue("A", "B")
    passed = put(venue, limit(BUY, 30, "99"))
    there = put(venue, limit(BUY, 30, "98"), "B")
    below = put(venue, limit(BUY, 30, "97.95"), "B")
    venue.set_price(SHARE, D("98"), quantity=D(10))
    assert [fill.price for fill in venue.fills("A", passed)] == [99]
    assert venue.order("A", passed).status is OrderStatus.FILLED
    assert venue.order("B", there).filled_quantity == 10
    assert venue.order("B", below).filled_quantity == 0
    view = venue.market(SHARE)
    assert (view.last_price, view.last_quantity, view.volume, view.low) == (98, 10, 40, 98)


def test_set_price_is_bound_by_the_rules_of_the_market():
    venue = quiet_venue()
    for price, kind in (
        ("98.01", ErrorKind.INVALID_PRICE_TICK),
        ("120", ErrorKind.PRICE_OUT_OF_BAND),
    ):
        with pytest.raises(VenueRejectError) as error:
            venue.set_price(SHARE, D(price))
        assert error.value.kind is kind
    venue.halt(SHARE)
    with pytest.raises(VenueRejectError) as error:
        venue.set_price(SHARE, D("98"))
    assert error.value.kind is ErrorKind.MARKET_CLOSED


def test_halted_market_stands_still():
    venue = busy_venue()
    venue.halt(SHARE)
    before = venue.market(SHARE)
    venue.advance(START + 20 * STEP)
    assert venue.market(SHARE) == replace(before, ts=venue.now_ns)
    venue.resume(SHARE)
    venue.advance(START + 40 * STEP)
    assert venue.market(SHARE) != replace(before, ts=venue.now_ns)


def test_external_order_can_be_taken_back():
    venue = quiet_venue()
    number = venue.place_external(SHARE, SELL, D(10), D("101"))
    venue.place_external(SHARE, BUY, D(4), D("101"))
    assert venue.market(SHARE).asks == ((101, 6, 1),)
    assert venue.cancel_external(number) == 6
    assert venue.cancel_external(number) == 0
    assert venue.market(SHARE).asks == ()


def test_market_at_its_upper_limit_has_no_sellers_beyond_it():
    venue = busy_venue()
    venue.set_price(SHARE, D("110"))
    view = venue.market(SHARE)
    assert view.asks == ()
    assert view.bids[0][0] == 110


def test_new_day_starts_from_the_last_price():
    venue = busy_venue()
    venue.set_price(SHARE, D("104"))
    venue.roll_day(START + 86_400 * 10**9)
    view = venue.market(SHARE)
    assert (view.close, view.open, view.high, view.low, view.volume) == (view.last_price,) * 4 + (0,)
    assert view.band_low == (view.close * D("0.9") / D("0.05")).to_integral_value(rounding="ROUND_CEILING") * D("0.05")


def test_listing_twice_and_unknown_instruments_are_errors():
    venue = quiet_venue()
    with pytest.raises(ValueError, match=f"{SHARE} is listed already"):
        venue.list(SHARE_LISTING)
    with pytest.raises(ValueError, match="below one tick"):
        venue.list(
            replace(SHARE_LISTING, instrument=replace(SHARE_LISTING.instrument, instrument_id="NSE:X"), reference=D(0))
        )
    assert venue.listing(SHARE) is SHARE_LISTING
    assert venue.listing("NSE:X") is None
    with pytest.raises(VenueRejectError) as error:
        venue.market("NSE:X")
    assert error.value.kind is ErrorKind.INSTRUMENT_NOT_FOUND


def test_contracts_show_open_interest():
    venue = busy_venue()
    assert FUTURE_LISTING.instrument.instrument_type is InstrumentType.FUTURE
    view = venue.market(FUTURE_LISTING.instrument.instrument_id)
    assert view.oi_low <= view.oi <= view.oi_high
    assert venue.market(SHARE).oi == 0
