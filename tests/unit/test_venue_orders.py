from __future__ import annotations

from decimal import Decimal as D
from itertools import pairwise

import pytest

from dragoman.emulator.venue.types import EventKind, VenueRejectError
from dragoman.errors import ErrorKind
from dragoman.model import OrderStatus, OrderType, Pending, Side, TimeInForce
from reference.venue_kit import LATENCY, SHARE, limit, make, put, quiet_venue, settle, statuses

BUY, SELL = Side.BUY, Side.SELL
ACCEPTED, OPEN, PARTIAL, FILLED = (
    OrderStatus.ACCEPTED,
    OrderStatus.OPEN,
    OrderStatus.PARTIALLY_FILLED,
    OrderStatus.FILLED,
)
CANCELED, REJECTED, EXPIRED = OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.EXPIRED
WAITING, TRIGGERED = OrderStatus.TRIGGER_PENDING, OrderStatus.TRIGGERED


def test_each_stage_takes_one_latency():
    venue = quiet_venue()
    venue.place_external(SHARE, SELL, D(5), D("100"))
    order_id = venue.submit("A", limit(BUY, 5, "100"), venue.now_ns)
    start = venue.now_ns
    seen = []
    for _ in range(3):
        seen.append(venue.order("A", order_id).status)
        venue.advance(venue.now_ns + LATENCY)
    assert seen == [ACCEPTED, OPEN, FILLED]
    assert [state.ts_updated - start for state in venue.history("A", order_id)] == [0, LATENCY, 2 * LATENCY]
    assert [state.version for state in venue.history("A", order_id)] == [1, 2, 3]


def test_submitting_alone_moves_nothing():
    venue = quiet_venue()
    venue.place_external(SHARE, SELL, D(5), D("100"))
    order_id = venue.submit("A", limit(BUY, 5, "100"), venue.now_ns)
    venue.advance(venue.now_ns + LATENCY - 1)
    state = venue.order("A", order_id)
    assert (state.status, state.exchange_order_id, state.ts_exchange) == (ACCEPTED, None, None)


def test_limit_order_trades_at_the_resting_price_and_the_rest_waits():
    venue = quiet_venue()
    venue.place_external(SHARE, SELL, D(3), D("99.50"))
    venue.place_external(SHARE, SELL, D(3), D("100"))
    venue.place_external(SHARE, SELL, D(3), D("100.05"))
    order_id = put(venue, limit(BUY, 10, "100"))
    state = venue.order("A", order_id)
    assert (state.status, state.filled_quantity, state.average_price) == (PARTIAL, 6, D("99.75"))
    assert venue.market(SHARE).bids == ((D("100"), D(4), 1),)
    venue.place_external(SHARE, SELL, D(4), D("99"))
    state = venue.order("A", order_id)
    assert (state.status, state.filled_quantity, state.remaining) == (FILLED, 10, 0)
    assert state.average_price == D("99.85")
    assert statuses(venue, order_id) == [ACCEPTED, OPEN, PARTIAL, FILLED]


def test_fill_events_carry_the_fill_and_the_state_of_that_moment():
    venue = quiet_venue()
    venue.place_external(SHARE, SELL, D(2), D("99"))
    venue.place_external(SHARE, SELL, D(2), D("100"))
    put(venue, limit(BUY, 4, "100"))
    events = venue.events("A", 0)
    assert [event.kind for event in events] == [EventKind.ORDER, EventKind.ORDER, EventKind.FILL, EventKind.FILL]
    assert [event.order.filled_quantity for event in events] == [0, 0, 2, 4]
    assert [event.fill.price for event in events[2:]] == [D("99"), D("100")]
    assert venue.events("A", events[1].sequence) == events[2:]
    assert venue.events("A", events[-1].sequence) == ()


def test_ioc_cancels_what_it_cannot_trade():
    venue = quiet_venue()
    venue.place_external(SHARE, SELL, D(3), D("100"))
    order_id = put(venue, limit(BUY, 10, "100", time_in_force=TimeInForce.IOC))
    state = venue.order("A", order_id)
    assert (state.status, state.filled_quantity, state.canceled_quantity) == (CANCELED, 3, 7)
    assert venue.market(SHARE).bids == ()


def test_market_order_sweeps_and_drops_the_rest():
    venue = quiet_venue()
    venue.place_external(SHARE, SELL, D(3), D("100"))
    venue.place_external(SHARE, SELL, D(3), D("105"))
    order_id = put(venue, make(BUY, 10, OrderType.MARKET))
    state = venue.order("A", order_id)
    assert (state.status, state.filled_quantity, state.average_price) == (CANCELED, 6, D("102.5"))
    assert "no opposite order" in state.reject_text


@pytest.mark.parametrize(
    ("side", "percent", "price"),
    [(BUY, "2", "102.00"), (SELL, "2", "97.05"), (BUY, "0.07", "100.05"), (BUY, "50", "110.00"), (SELL, "50", "90.00")],
)
def test_protection_turns_a_market_order_into_a_limit_inside_the_band(side, percent, price):
    venue = quiet_venue()
    venue.place_external(SHARE, SELL, D(1), D("100"))
    venue.place_external(SHARE, BUY, D(1), D("99"))
    order_id = venue.submit("A", make(side, 5, OrderType.MARKET, protection=D(percent)), venue.now_ns)
    order = venue.order("A", order_id).order
    assert (order.order_type, order.price, order.protection) == (OrderType.LIMIT, D(price), D(percent))
    settle(venue)
    assert venue.order("A", order_id).status is PARTIAL  # the rest waits, as a limit order does


def test_protected_stop_becomes_a_stop_limit_measured_from_its_trigger():
    venue = quiet_venue()
    stop = make(SELL, 5, OrderType.STOP_MARKET, trigger_price=D("95"), protection=D(2))
    order = venue.order("A", venue.submit("A", stop, venue.now_ns)).order
    assert (order.order_type, order.price) == (OrderType.STOP_LIMIT, D("93.10"))


@pytest.mark.parametrize(("side", "before", "at"), [(BUY, "101.95", "102"), (SELL, "98.05", "98")])
def test_stop_waits_for_the_last_price(side, before, at):
    venue = quiet_venue()
    stop = make(side, 5, OrderType.STOP_MARKET, trigger_price=D(at))
    order_id = put(venue, stop)
    venue.set_price(SHARE, D(before))
    settle(venue)
    assert venue.order("A", order_id).status is WAITING
    venue.set_price(SHARE, D(at))
    venue.place_external(SHARE, side.opposite, D(5), D(at))
    settle(venue)
    assert statuses(venue, order_id) == [ACCEPTED, WAITING, TRIGGERED, OPEN, FILLED]
    gaps = [state.ts_updated for state in venue.history("A", order_id)]
    assert [late - early for early, late in pairwise(gaps[2:])] == [LATENCY, LATENCY]


def test_stop_that_was_passed_already_triggers_on_arrival():
    venue = quiet_venue()
    venue.set_price(SHARE, D("103"))
    order_id = put(venue, make(BUY, 5, OrderType.STOP_LIMIT, trigger_price=D("102"), price=D("104")))
    assert statuses(venue, order_id) == [ACCEPTED, WAITING, TRIGGERED, OPEN]
    assert venue.market(SHARE).bids == ((D("104"), D(5), 1),)


def test_own_orders_do_not_trade_with_each_other():
    venue = quiet_venue()
    put(venue, limit(SELL, 5, "100"))
    order_id = put(venue, limit(BUY, 5, "100"))
    state = venue.order("A", order_id)
    assert (state.status, state.filled_quantity) == (CANCELED, 0)
    assert "same account" in state.reject_text
    assert venue.fills("A") == ()


def test_two_accounts_trade_and_share_the_trade_id():
    venue = quiet_venue("A", "B")
    sell = put(venue, limit(SELL, 5, "100"), "A")
    buy = put(venue, limit(BUY, 5, "101"), "B")
    (sold,), (bought,) = venue.fills("A", sell), venue.fills("B", buy)
    assert (sold.trade_id, sold.price) == (bought.trade_id, D("100"))
    (trade,) = venue.trades()
    assert (trade.buy_order, trade.sell_order) == (buy, sell)


def queue_of_two(venue):
    return [put(venue, limit(BUY, 10, "100"), account) for account in ("A", "B")]


def test_shrinking_keeps_the_place_in_the_queue():
    venue = quiet_venue("A", "B")
    first, _ = queue_of_two(venue)
    venue.modify("A", first, venue.now_ns, quantity=D(4))
    settle(venue)
    venue.place_external(SHARE, SELL, D(5), D("100"))
    assert (venue.order("A", first).status, len(venue.fills("B"))) == (FILLED, 1)


@pytest.mark.parametrize("change", [{"quantity": D(11)}, {"price": D("100.05")}])
def test_growing_or_repricing_loses_the_place(change):
    venue = quiet_venue("A", "B")
    first, second = queue_of_two(venue)
    venue.modify("A", first, venue.now_ns, **change)
    settle(venue)
    venue.modify("A", first, venue.now_ns, price=D("100"))
    settle(venue)
    venue.place_external(SHARE, SELL, D(10), D("100"))
    assert venue.order("B", second).status is FILLED
    assert venue.order("A", first).filled_quantity == 0


def test_modify_shows_as_pending_until_the_exchange_has_it():
    venue = quiet_venue()
    order_id = put(venue, limit(BUY, 10, "99"))
    venue.modify("A", order_id, venue.now_ns, price=D("98"))
    state = venue.order("A", order_id)
    assert (state.status, state.pending, state.order.price) == (OPEN, Pending.MODIFY, D("99"))
    settle(venue)
    state = venue.order("A", order_id)
    assert (state.status, state.pending, state.order.price, state.modified) == (OPEN, Pending.NONE, D("98"), True)


def test_repriced_order_trades_where_it_crosses():
    venue = quiet_venue()
    venue.place_external(SHARE, SELL, D(4), D("101"))
    order_id = put(venue, limit(BUY, 10, "99"))
    venue.modify("A", order_id, venue.now_ns, price=D("101"))
    settle(venue)
    assert (venue.order("A", order_id).status, venue.order("A", order_id).filled_quantity) == (PARTIAL, 4)


def test_fill_that_overtakes_a_modify_stands():
    venue = quiet_venue()
    order_id = put(venue, limit(BUY, 10, "99"))
    venue.modify("A", order_id, venue.now_ns, quantity=D(5))
    venue.place_external(SHARE, SELL, D(8), D("99"))
    settle(venue)
    state = venue.order("A", order_id)
    assert (state.filled_quantity, state.order.quantity, state.pending, state.modified) == (8, 10, Pending.NONE, False)
    assert state.status is PARTIAL


def test_quantity_changed_to_what_is_filled_completes_the_order():
    venue = quiet_venue()
    order_id = put(venue, limit(BUY, 10, "99"))
    venue.place_external(SHARE, SELL, D(4), D("99"))
    venue.modify("A", order_id, venue.now_ns, quantity=D(4))
    settle(venue)
    state = venue.order("A", order_id)
    assert (state.status, state.order.quantity, state.remaining) == (FILLED, 4, 0)
    assert venue.market(SHARE).bids == ()


def test_quantity_below_filled_is_refused_at_once():
    venue = quiet_venue()
    order_id = put(venue, limit(BUY, 10, "99"))
    venue.place_external(SHARE, SELL, D(4), D("99"))
    with pytest.raises(VenueRejectError, match=r"below what order .* filled: 4") as error:
        venue.modify("A", order_id, venue.now_ns, quantity=D(3))
    assert error.value.kind is ErrorKind.INVALID_QUANTITY
    assert venue.order("A", order_id).pending is Pending.NONE


def test_type_changes_move_an_order_between_book_and_trigger():
    venue = quiet_venue()
    order_id = put(venue, limit(BUY, 10, "99"))
    venue.modify("A", order_id, venue.now_ns, order_type=OrderType.STOP_LIMIT, trigger_price=D("104"), price=D("105"))
    settle(venue)
    assert venue.order("A", order_id).status is WAITING
    assert venue.market(SHARE).bids == ()
    venue.modify("A", order_id, venue.now_ns, order_type=OrderType.LIMIT, price=D("98"))
    settle(venue)
    assert venue.order("A", order_id).status is OPEN
    assert venue.order("A", order_id).order.trigger_price is None
    assert venue.market(SHARE).bids == ((D("98"), D(10), 1),)


def test_trigger_set_on_a_resting_order_takes_it_out_of_the_book():
    venue = quiet_venue()
    order_id = put(venue, limit(BUY, 10, "99"))
    venue.modify("A", order_id, venue.now_ns, order_type=OrderType.STOP_LIMIT, trigger_price=D("99"))
    settle(venue)
    assert statuses(venue, order_id) == [ACCEPTED, OPEN, WAITING, TRIGGERED, OPEN]  # the last price, 100, is past it


def test_trigger_cannot_change_after_it_was_passed():
    venue = quiet_venue()
    order_id = put(venue, make(BUY, 5, OrderType.STOP_LIMIT, trigger_price=D("102"), price=D("104")))
    venue.set_price(SHARE, D("102"))
    settle(venue)
    with pytest.raises(VenueRejectError) as error:
        venue.modify("A", order_id, venue.now_ns, trigger_price=D("103"))
    assert error.value.kind is ErrorKind.TOO_LATE_TO_MODIFY_OR_CANCEL
    venue.modify("A", order_id, venue.now_ns, price=D("103"))
    settle(venue)
    assert venue.market(SHARE).bids == ((D("103"), D(5), 1),)


def test_trigger_that_overtakes_a_new_trigger_stands():
    venue = quiet_venue()
    order_id = put(venue, make(BUY, 5, OrderType.STOP_LIMIT, trigger_price=D("102"), price=D("104")))
    venue.set_price(SHARE, D("102"))
    venue.advance(venue.now_ns + LATENCY // 2)
    venue.modify("A", order_id, venue.now_ns, trigger_price=D("103"))
    settle(venue)
    state = venue.order("A", order_id)
    assert (state.status, state.order.trigger_price, state.pending) == (OPEN, D("102"), Pending.NONE)


def test_cancel_is_pending_first_and_takes_the_rest():
    venue = quiet_venue()
    order_id = put(venue, limit(BUY, 10, "99"))
    venue.place_external(SHARE, SELL, D(4), D("99"))
    venue.cancel("A", order_id, venue.now_ns)
    assert venue.order("A", order_id).pending is Pending.CANCEL
    settle(venue)
    state = venue.order("A", order_id)
    assert (state.status, state.pending, state.filled_quantity, state.canceled_quantity) == (CANCELED, "NONE", 4, 6)
    assert venue.market(SHARE).bids == ()


def test_fill_that_overtakes_a_cancel_stands():
    venue = quiet_venue()
    order_id = put(venue, limit(BUY, 10, "99"))
    venue.cancel("A", order_id, venue.now_ns)
    venue.place_external(SHARE, SELL, D(10), D("99"))
    settle(venue)
    state = venue.order("A", order_id)
    assert (state.status, state.pending, state.canceled_quantity) == (FILLED, Pending.NONE, 0)


def test_order_can_be_canceled_before_it_reaches_the_exchange():
    venue = quiet_venue()
    venue.place_external(SHARE, SELL, D(5), D("100"))
    order_id = venue.submit("A", limit(BUY, 5, "100"), venue.now_ns)
    venue.cancel("A", order_id, venue.now_ns)
    settle(venue)
    assert statuses(venue, order_id) == [ACCEPTED, OPEN, CANCELED]


def test_finished_and_unknown_orders_refuse_requests():
    venue = quiet_venue()
    order_id = put(venue, limit(BUY, 10, "99"))
    venue.cancel("A", order_id, venue.now_ns)
    with pytest.raises(VenueRejectError, match="cancelled already"):
        venue.cancel("A", order_id, venue.now_ns)
    with pytest.raises(VenueRejectError, match="while a cancel is in flight"):
        venue.modify("A", order_id, venue.now_ns, price=D("98"))
    settle(venue)
    for request in (venue.cancel, venue.modify):
        with pytest.raises(VenueRejectError, match="CANCELED already") as error:
            request("A", order_id, venue.now_ns)
        assert error.value.kind is ErrorKind.TOO_LATE_TO_MODIFY_OR_CANCEL
        with pytest.raises(VenueRejectError) as error:
            request("A", "nowhere", venue.now_ns)
        assert error.value.kind is ErrorKind.ORDER_NOT_FOUND


def test_halted_instrument_rejects_after_the_queue():
    venue = quiet_venue()
    venue.halt(SHARE)
    order_id = put(venue, limit(BUY, 10, "99"))
    state = venue.order("A", order_id)
    assert statuses(venue, order_id) == [ACCEPTED, REJECTED]
    assert (state.reject_kind, state.exchange_order_id) == (ErrorKind.MARKET_CLOSED, None)
    assert (state.filled_quantity, state.canceled_quantity) == (0, 0)
    assert "halted" in state.reject_text


def test_halt_keeps_resting_orders_refuses_changes_and_allows_cancels():
    venue = quiet_venue()
    order_id = put(venue, limit(BUY, 10, "99"))
    venue.halt(SHARE)
    venue.modify("A", order_id, venue.now_ns, price=D("98"))
    settle(venue)
    state = venue.order("A", order_id)
    assert (state.status, state.order.price, state.modified, state.pending) == (OPEN, D("99"), False, Pending.NONE)
    venue.cancel("A", order_id, venue.now_ns)
    settle(venue)
    assert venue.order("A", order_id).status is CANCELED


def test_order_caught_by_a_halt_on_its_way_trades_when_trading_goes_on():
    venue = quiet_venue()
    venue.place_external(SHARE, SELL, D(10), D("99"))
    order_id = venue.submit("A", limit(BUY, 10, "99"), venue.now_ns)
    venue.advance(venue.now_ns + LATENCY)
    venue.halt(SHARE)
    settle(venue)
    assert venue.order("A", order_id).status is OPEN
    venue.resume(SHARE)
    settle(venue)
    assert venue.order("A", order_id).status is FILLED


def test_day_orders_expire_when_the_day_rolls():
    venue = quiet_venue()
    order_id = put(venue, limit(BUY, 10, "99"))
    queued = venue.submit("A", limit(BUY, 10, "99"), venue.now_ns)
    venue.place_external(SHARE, SELL, D(4), D("99"))
    venue.roll_day(venue.now_ns)
    settle(venue)
    state = venue.order("A", order_id)
    assert (state.status, state.filled_quantity, state.canceled_quantity) == (EXPIRED, 4, 6)
    assert venue.order("A", queued).status is EXPIRED
    assert venue.market(SHARE).bids == ()


def test_states_that_were_handed_out_do_not_change():
    venue = quiet_venue()
    order_id = venue.submit("A", limit(BUY, 10, "99"), venue.now_ns)
    early, listed = venue.order("A", order_id), venue.orders("A")[0]
    settle(venue)
    assert early.status is listed.status is ACCEPTED
    early.status = FILLED
    assert venue.order("A", order_id).status is OPEN
