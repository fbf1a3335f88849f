"""Laws of the simulated exchange, for all sequences of requests.

The book is compared with a list that is searched from end to end, and the money with exact fractions worked out again
from the fills and the open orders.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from decimal import Decimal as D
from fractions import Fraction
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.emulator.venue import Venue
from dragoman.emulator.venue.margin import to_decimal
from dragoman.emulator.venue.matching import Book
from dragoman.emulator.venue.types import EventKind, VenueOrder, VenueRejectError
from dragoman.model import OrderStatus, OrderType, Pending, Product, Segment, Side, TimeInForce
from reference.ledger import Deal, Rule, cash_flow, stand
from reference.matcher import ListBook
from reference.venue_kit import CALL, CALL_LISTING, FUTURE, FUTURE_LISTING, LATENCY, SHARE, SHARE_LISTING, START

ACCOUNTS = ("A", "B")
LISTINGS = {SHARE: SHARE_LISTING, FUTURE: FUTURE_LISTING, CALL: CALL_LISTING}
CENTRE = {SHARE: 2000, FUTURE: 2000, CALL: 80}  # ticks of 0.05
TICK = D("0.05")

signs = st.sampled_from((1, -1))


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), signs, st.one_of(st.none(), st.integers(95, 105)), st.integers(1, 20)),
            st.tuples(st.just("remove"), st.integers(0, 30), st.none(), st.none()),
            st.tuples(st.just("reduce"), st.integers(0, 30), st.none(), st.integers(1, 20)),
        ),
        max_size=60,
    )
)
@settings(max_examples=300, deadline=None)
def test_book_trades_like_a_list_searched_from_end_to_end(actions):
    book, oracle = Book(), ListBook()
    resting, numbers = {}, {}
    for action, first, price, quantity in actions:
        if action == "add":
            hits, left, _ = book.match(first, price, quantity)
            expected, number = oracle.add(first, price, quantity)
            assert [(numbers[hit.resting.key], hit.resting.price, hit.quantity) for hit in hits] == expected
            assert (left > 0 and price is not None) == (number > 0)
            if number:
                resting[number] = book.add(first, price, left)
                numbers[resting[number].key] = number
        elif (found := resting.get(first)) is not None and found.quantity:
            if action == "remove":
                book.remove(found)
                oracle.remove(first)
            elif quantity <= found.quantity:
                book.reduce(found, quantity)
                next(w for w in oracle.waiting if w.number == first).quantity = quantity
        for sign in (1, -1):
            assert [(level[0], level[1]) for level in book.levels(sign)] == oracle.side(sign)
            assert book.volume(sign) == sum(lots for _, lots in oracle.side(sign))
        bid, ask = book.best(1), book.best(-1)
        assert bid is None or ask is None or bid < ask
    assert book.outsiders == len(oracle.waiting)


advances = st.sampled_from((0, 1, LATENCY // 2, LATENCY, 3 * LATENCY, 3 * LATENCY, 250_000_000))
submits = st.tuples(
    st.just("submit"),
    st.sampled_from(ACCOUNTS),
    st.sampled_from((SHARE, SHARE, SHARE, FUTURE, CALL)),
    st.sampled_from(Side),
    st.sampled_from((*(OrderType.LIMIT,) * 4, OrderType.MARKET, OrderType.STOP_LIMIT, OrderType.STOP_MARKET)),
    st.integers(1, 12),
    st.integers(-4, 4),
    st.sampled_from((TimeInForce.DAY, TimeInForce.DAY, TimeInForce.DAY, TimeInForce.IOC)),
    st.sampled_from((None, None, D(1))),
    st.sampled_from((Product.INTRADAY, Product.INTRADAY, Product.DELIVERY)),
    advances,
)
modifies = st.tuples(
    st.just("modify"),
    st.sampled_from(ACCOUNTS),
    st.integers(0, 5),
    st.one_of(st.none(), st.integers(1, 15)),
    st.one_of(st.none(), st.integers(-4, 4)),
    st.sampled_from((None, None, None, OrderType.LIMIT, OrderType.MARKET, OrderType.STOP_LIMIT)),
    advances,
)
cancels = st.tuples(st.just("cancel"), st.sampled_from(ACCOUNTS), st.integers(0, 5), advances)
prices = st.tuples(st.just("price"), st.sampled_from((SHARE, SHARE, FUTURE, CALL)), st.integers(-6, 6), advances)
outsiders = st.tuples(
    st.just("external"),
    st.sampled_from((SHARE, SHARE, FUTURE, CALL)),
    st.sampled_from(Side),
    st.integers(1, 10),
    st.integers(-4, 4),
    advances,
)
halts = st.tuples(st.just("halt"), st.sampled_from((SHARE, FUTURE)), st.integers(0, 3), advances)
rolls = st.tuples(st.just("roll"), advances)
# A request is drawn by its weight: mostly orders, now and then a halt or a new day.
kinds = (*("submit",) * 12, *("external",) * 5, *("modify",) * 4, *("cancel",) * 2, *("price",) * 3, "halt", "roll")
request = st.sampled_from(kinds).flatmap(
    {
        "submit": submits,
        "external": outsiders,
        "modify": modifies,
        "cancel": cancels,
        "price": prices,
        "halt": halts,
        "roll": rolls,
    }.__getitem__
)
requests = st.integers(10, 40).flatmap(lambda size: st.lists(request, min_size=size, max_size=size))


def make_venue(quiet: bool, cash: int) -> Venue:
    venue = Venue(11, START, latency_ns=LATENCY, step_ns=50_000_000, activity=1, quiet=quiet)
    for listing in LISTINGS.values():
        venue.list(replace(listing, depth_quantity=listing.instrument.lot_size * 6))
    for account in ACCOUNTS:
        venue.open_account(account, {Segment.EQUITY: D(cash)})
        venue.set_holding(account, SHARE, D(10), D("90.05"))
    return venue


def price_of(instrument_id: str, offset: int) -> D:
    return (CENTRE[instrument_id] + offset) * TICK


def pick(venue: Venue, account: str, number: int):
    """Return a recent order of the account, working ones first."""
    orders = [state for state in venue.orders(account) if not state.status.terminal] or venue.orders(account)
    return orders[-1 - number % len(orders)] if orders else None


def perform(venue: Venue, request: tuple) -> None:
    """Make one request, let its time pass; a refusal is an answer like any other."""
    *request, pause = request
    with suppress(VenueRejectError):
        ask(venue, request)
    venue.advance(venue.now_ns + pause)


def ask(venue: Venue, request: list) -> None:
    match request:
        case "submit", account, instrument_id, side, order_type, lots, offset, validity, protection, product:
            order = VenueOrder(
                instrument_id=instrument_id,
                side=side,
                quantity=lots * LISTINGS[instrument_id].instrument.lot_size,
                order_type=order_type,
                product=product if instrument_id == SHARE else Product.CARRY,
                price=price_of(instrument_id, offset + side.sign),
                trigger_price=price_of(instrument_id, offset),
                time_in_force=validity,
                protection=protection,
            )
            venue.submit(account, order, venue.now_ns)
        case "modify", account, number, lots, offset, order_type:
            state = pick(venue, account, number)
            if state is None:
                return
            lot = LISTINGS[state.order.instrument_id].instrument.lot_size
            price = None if offset is None else price_of(state.order.instrument_id, offset)
            venue.modify(
                account,
                state.order_id,
                venue.now_ns,
                quantity=None if lots is None else lots * lot,
                price=price,
                trigger_price=None if price is None else price - state.order.side.sign * TICK,
                order_type=order_type,
            )
        case "cancel", account, number:
            state = pick(venue, account, number)
            if state is not None:
                venue.cancel(account, state.order_id, venue.now_ns)
        case "price", instrument_id, offset:
            venue.set_price(instrument_id, price_of(instrument_id, offset))
        case "external", instrument_id, side, lots, offset:
            quantity = lots * LISTINGS[instrument_id].instrument.lot_size
            venue.place_external(instrument_id, side, quantity, price_of(instrument_id, offset))
        case "halt", instrument_id, halted:
            (venue.resume if halted else venue.halt)(instrument_id)
        case ("roll",):
            venue.roll_day(venue.now_ns)


class Watch:
    """What an outside observer knows: the fills, and since which of them the current day runs."""

    def __init__(self, cash: int) -> None:
        self.opening = {account: Fraction(cash) for account in ACCOUNTS}
        self.settled = dict.fromkeys(ACCOUNTS, 0)
        self.holdings = dict.fromkeys(ACCOUNTS, 10)

    def deals(self, venue, account, key, first=0, last=None):
        return [
            Deal(fill.side.sign * Fraction(fill.quantity), Fraction(fill.price))
            for fill in venue.fills(account)[first:last]
            if (fill.instrument_id, fill.product) == key
        ]

    def standing(self, venue, account, key):
        first = self.settled[account] if key[1] is Product.DELIVERY else 0
        return stand(self.deals(venue, account, key, first))

    def realised_before(self, venue, account, key):
        """Profit of the days that are settled, which is in the cash already."""
        if key[1] is Product.DELIVERY:
            return Fraction(0)
        return stand(self.deals(venue, account, key, 0, self.settled[account])).realised

    def roll(self, venue: Venue) -> None:
        """Follow a day roll; called before it."""
        for account in ACCOUNTS:
            for key in keys(venue, account):
                multiplier = Fraction(LISTINGS[key[0]].instrument.multiplier)
                standing = self.standing(venue, account, key)
                self.opening[account] += (standing.realised - self.realised_before(venue, account, key)) * multiplier
                if key[1] is Product.DELIVERY:
                    self.opening[account] -= standing.cost * multiplier
                    self.holdings[account] += int(standing.quantity)
            self.settled[account] = len(venue.fills(account))


def keys(venue, account):
    return {(fill.instrument_id, fill.product) for fill in venue.fills(account)} | {
        (state.order.instrument_id, state.order.product) for state in venue.orders(account)
    }


def check_orders(venue: Venue, account: str) -> None:
    fills = venue.fills(account)
    for state in venue.orders(account):
        mine = [fill for fill in fills if fill.order_id == state.order_id]
        assert sum(fill.quantity for fill in mine) == state.filled_quantity
        assert 0 <= state.filled_quantity <= state.order.quantity
        assert state.remaining >= 0
        assert (state.remaining == 0) == (state.status.terminal and state.status is not OrderStatus.REJECTED)
        if mine:
            value = sum(Fraction(fill.quantity) * Fraction(fill.price) for fill in mine)
            assert state.average_price == to_decimal(value / Fraction(state.filled_quantity))
        if state.status.terminal:
            assert state.pending is Pending.NONE
        if state.status is OrderStatus.FILLED:
            assert state.filled_quantity == state.order.quantity
        history = venue.history(account, state.order_id)
        assert history[-1] == state
        assert [version.version for version in history] == list(range(1, len(history) + 1))
        for before, after in pairwise(history):
            assert after.filled_quantity >= before.filled_quantity
            assert after.ts_updated >= before.ts_updated
            assert not before.status.terminal
            if after.filled_quantity > before.filled_quantity and after.order.price is not None:
                fill = next(f for f in mine if f.ts == after.ts_updated)
                assert state.order.side.sign * fill.price <= state.order.side.sign * after.order.price


def check_money(venue: Venue, account: str, watch: Watch) -> None:
    used = blocked = realised = at_risk = Fraction(0)
    positions = {(p.instrument_id, p.product): p for p in venue.positions(account)}
    for key in keys(venue, account):
        listing = LISTINGS[key[0]]
        multiplier = Fraction(listing.instrument.multiplier)
        standing = watch.standing(venue, account, key)
        held = positions.get(key)
        assert (held.quantity if held else 0) == standing.quantity
        realised_today = (standing.realised - watch.realised_before(venue, account, key)) * multiplier
        last = Fraction(venue.market(key[0]).last_price)
        unrealised = (standing.quantity * last - standing.cost) * multiplier
        assert cash_flow(
            watch.deals(venue, account, key, watch.settled[account] if key[1] is Product.DELIVERY else 0)
        ) == (standing.realised - standing.cost)
        if held:
            assert held.realised == to_decimal(realised_today)
            assert held.unrealised == to_decimal(unrealised)
        delivery = key[1] is Product.DELIVERY
        strike = listing.instrument.strike
        rule = Rule(
            Fraction(listing.margin_rate[key[1]]), multiplier, delivery, None if strike is None else Fraction(strike)
        )
        if not delivery and not (strike is not None and standing.quantity > 0):
            at_risk += unrealised
        tied, more = rule.requirement(standing, open_orders(venue, account, key))
        used, blocked, realised = used + tied, blocked + more, realised + realised_today
    funds = venue.funds(account)[Segment.EQUITY]
    assert funds.opening == to_decimal(watch.opening[account])
    assert (funds.used, funds.blocked) == (to_decimal(used), to_decimal(blocked))
    assert (funds.realised, funds.unrealised) == (to_decimal(realised), to_decimal(at_risk))
    assert funds.blocked >= 0
    if all(state.status.terminal for state in venue.orders(account)):
        assert funds.blocked == 0
    holdings = {holding.instrument_id: holding.quantity for holding in venue.holdings(account)}
    assert holdings == ({SHARE: watch.holdings[account]} if watch.holdings[account] else {})
    delivery = positions.get((SHARE, Product.DELIVERY))
    assert watch.holdings[account] + (delivery.quantity if delivery else 0) >= 0


def open_orders(venue, account, key):
    """Return the working orders as the margin rule counts them; one without a limit at what the venue took for it."""
    found = []
    for order in venue._account(account).orders.values():
        state = order.state
        if (state.order.instrument_id, state.order.product) != key or state.status.terminal:
            continue
        price, quantity = state.order.price, state.remaining
        if price is None:
            price = state.order.trigger_price
        counted = order.reserved_ticks * TICK
        if state.pending is Pending.NONE and price is not None:
            assert counted == price
            assert order.reserved_lots * order.market.lot == quantity
        if order.change is not None:
            quantity = order.reserved_lots * order.market.lot
            assert quantity >= state.remaining
        found.append(Deal(state.order.side.sign * Fraction(quantity), Fraction(counted)))
    return found


def check_tape(venue: Venue) -> None:
    """Every fill of an account has one other side on the tape, at the same price and size."""
    fills = {(fill.trade_id, fill.order_id): fill for account in ACCOUNTS for fill in venue.fills(account)}
    sides = {}
    for trade in venue.trades():
        lot = LISTINGS[trade.instrument_id].instrument.lot_size
        assert trade.buy_order != trade.sell_order
        for side, order_id in ((Side.BUY, trade.buy_order), (Side.SELL, trade.sell_order)):
            if order_id is not None:
                fill = sides[trade.trade_id, order_id] = fills[trade.trade_id, order_id]
                assert (fill.side, fill.quantity, fill.price) == (side, trade.lots * lot, trade.ticks * TICK)
    assert sides == fills


def check_events(venue: Venue, account: str) -> None:
    events = venue.events(account, 0)
    assert [event.sequence for event in events] == sorted({event.sequence for event in events})
    assert [event.fill for event in events if event.kind is EventKind.FILL] == list(venue.fills(account))
    latest = {event.order.order_id: event.order for event in events}
    assert latest == {state.order_id: state for state in venue.orders(account)}


def check_books(venue: Venue) -> None:
    for instrument_id in LISTINGS:
        view = venue.market(instrument_id)
        assert not view.bids or not view.asks or view.bids[0][0] < view.asks[0][0]


@given(requests=requests, quiet=st.booleans(), cash=st.sampled_from((1_500, 20_000, 10_000_000)))
@settings(max_examples=250, deadline=None)
def test_orders_positions_and_money_agree_with_the_fills(requests, quiet, cash):
    venue, watch = make_venue(quiet, cash), Watch(cash)
    for request in requests:
        if request[0] == "roll":
            watch.roll(venue)
        perform(venue, request)
        for account in ACCOUNTS:
            check_money(venue, account, watch)
    for account in ACCOUNTS:
        check_orders(venue, account)
        check_events(venue, account)
        assert venue.ledger(account)["problems"] == []
    check_tape(venue)
    check_books(venue)


@given(requests=requests)
@settings(max_examples=40, deadline=None)
def test_same_requests_give_the_same_venue(requests):
    first, second = make_venue(False, 20_000), make_venue(False, 20_000)
    for request in requests:
        for venue in (first, second):
            perform(venue, request)
        for instrument_id in LISTINGS if len(first.trades()) % 2 else ():
            first.market(instrument_id)  # looking at one of them makes no difference
    for account in ACCOUNTS:
        assert first.events(account, 0) == second.events(account, 0)
        assert first.funds(account) == second.funds(account)
    assert [first.market(name) for name in LISTINGS] == [second.market(name) for name in LISTINGS]
