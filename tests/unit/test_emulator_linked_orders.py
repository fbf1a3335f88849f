"""Orders under a row of ids, their exits and trailing triggers, on a quiet venue."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from dragoman.emulator.linked_orders import LinkedOrders
from dragoman.emulator.links import Chain, Link, Phase, Told, Trail
from dragoman.emulator.venue import FUNDS, Venue, default_universe
from dragoman.emulator.venue.types import VenueOrder, VenueRejectError
from dragoman.model import OrderStatus, OrderType, Product, Side

D, S = Decimal, 1_000_000_000
NOW = int(datetime(2026, 9, 21, 5, tzinfo=UTC).timestamp()) * S
INFY = "NSE:INFY"


class Desk(LinkedOrders[str]):
    def __init__(self, venue):
        super().__init__(venue, "A")
        self.heard = []

    def tell(self, told, chain, link, state, fill=None):
        self.heard.append((told, link.order_id))

    def adopt(self, state):
        return Chain(INFY, state.order, {}, [Link("adopted", "theirs", state.ts_created)])


class World:
    def __init__(self):
        self.now = NOW
        self.venue = Venue(7, NOW, quiet=True)
        self.venue.list(next(one for one in default_universe(NOW) if one.instrument.instrument_id == INFY))
        self.venue.open_account("A", dict(FUNDS))
        self.desk = Desk(self.venue)
        self.last = self.venue.market(INFY).last_price

    def chain(self, name, ticks, side=Side.BUY, kind=OrderType.LIMIT, quantity=5):
        order = VenueOrder(
            instrument_id=INFY,
            side=side,
            quantity=D(quantity),
            order_type=kind,
            product=Product.INTRADAY,
            price=self.last + ticks if kind.has_price else None,
            trigger_price=self.last + ticks if kind.has_trigger else None,
        )
        return Chain(INFY, order, {}, [Link(name, f"my {name}", self.now)])

    def exits(self):
        target, stop = self.chain("target", 10, Side.SELL), self.chain("stop", -10, Side.SELL, OrderType.STOP_MARKET)
        return [self.desk.hold(one, self.now) for one in (target, stop)]

    def offer(self, side, ticks, quantity=5):
        self.venue.place_external(INFY, side, D(quantity), self.last + ticks)
        self.go()

    def trade(self, ticks):
        self.venue.place_external(INFY, Side.BUY, D(1), self.last + ticks)
        self.venue.place_external(INFY, Side.SELL, D(1), self.last + ticks)
        self.go()

    def go(self):
        for _ in range(20):
            self.now += S
            self.venue.advance(self.now)
            self.desk.poll(self.now)

    def statuses(self, *chains):
        return [self.desk.state(chain).status for chain in chains]


def test_a_change_makes_an_id_that_counts_its_fills_from_zero():
    world = World()
    chain = world.chain("first", 0)
    world.desk.send(chain, [], world.now)
    world.go()
    world.offer(Side.SELL, 0, quantity=2)
    asked = world.desk.change(chain, "second", "mine too", world.now, quantity=D(4))
    assert (asked.phase, asked.terms.quantity, chain.link.order_id) == (Phase.ASKED, 6, "first")
    world.go()
    first, second = chain.links
    assert (first.phase, first.top, first.terms.quantity, first.replaced_by) == (Phase.REPLACED, 2, 5, second)
    assert (second.phase, second.base, second.terms) == (Phase.IN_FORCE, 2, None)
    world.offer(Side.SELL, 0, quantity=4)
    rows = [(link.order_id, fill.quantity, total, left) for fill, _, link, total, left in world.desk.every_fill()]
    assert rows == [("first", 2, 2, 0), ("second", 4, 4, 0)]
    last = world.desk.every_fill()[-1][0]
    assert world.desk.named_fill(last) == ("second", 4)
    assert world.desk.named(chain.venue_id) == "second"
    assert world.desk.get("first") is world.desk.get("second") is chain
    assert world.desk.by_client("mine too") == (chain, second)
    assert world.desk.heard == [
        (Told.RECEIVED, "first"),
        (Told.WORKING, "first"),
        (Told.FILLED, "first"),
        (Told.CHANGING, "first"),
        (Told.CHANGED, "first"),
        (Told.WORKING, "second"),
        (Told.FILLED, "second"),
    ]


def test_a_change_that_comes_too_late_is_told_as_refused():
    world = World()
    chain = world.chain("first", 0)
    world.desk.send(chain, [], world.now)
    world.go()
    world.desk.change(chain, "second", "mine too", world.now, price=world.last - 5)
    world.venue.place_external(INFY, Side.SELL, D(5), world.last)
    world.go()
    assert world.statuses(chain) == [OrderStatus.FILLED]
    assert chain.link.order_id == "first"
    assert chain.find("second").phase is Phase.REFUSED
    assert (Told.CHANGE_REFUSED, "first") in world.desk.heard
    assert (Told.REFUSED, "second") in world.desk.heard
    assert [link.order_id for *_, link, _, _ in world.desk.every_fill()] == ["first"]


def test_exits_wait_for_the_entry_and_the_first_to_trade_ends_the_other():
    world = World()
    entry, (target, stop) = world.chain("entry", 0), world.exits()
    world.desk.send(entry, [target, stop], world.now)
    world.go()
    assert [one.link.phase for one in (target, stop)] == [Phase.HELD, Phase.HELD]
    assert target.parent is entry
    world.offer(Side.SELL, 0)
    assert world.statuses(entry, target, stop) == [OrderStatus.FILLED, OrderStatus.OPEN, OrderStatus.TRIGGER_PENDING]
    world.offer(Side.BUY, 10)
    assert world.statuses(target, stop) == [OrderStatus.FILLED, OrderStatus.CANCELED]
    assert world.desk.held(INFY) == 0


def test_a_held_exit_that_was_withdrawn_is_not_sent_when_the_entry_fills():
    world = World()
    entry, (target, stop) = world.chain("entry", 0), world.exits()
    world.desk.send(entry, [target, stop], world.now)
    world.desk.withdraw(target, world.now)
    assert (Told.ENDED, "target") in world.desk.heard
    world.go()
    world.offer(Side.SELL, 0)
    assert world.statuses(target, stop) == [OrderStatus.CANCELED, OrderStatus.TRIGGER_PENDING]
    assert not target.venue_id


def test_an_entry_that_ends_unfilled_ends_its_exits():
    world = World()
    entry, (target, stop) = world.chain("entry", -5), world.exits()
    world.desk.send(entry, [target, stop], world.now)
    world.go()
    world.desk.withdraw(entry, world.now)
    world.go()
    assert world.statuses(entry, target, stop) == [OrderStatus.CANCELED] * 3


def test_exclusive_orders_go_at_once_and_end_each_other():
    world = World()
    target = world.chain("target", 10, Side.SELL)
    stop = world.desk.hold(world.chain("stop", -10, Side.SELL, OrderType.STOP_MARKET), world.now)
    world.desk.send(target, [stop], world.now, exclusive=True)
    world.go()
    assert world.statuses(target, stop) == [OrderStatus.OPEN, OrderStatus.TRIGGER_PENDING]
    assert not target.legs
    world.offer(Side.BUY, 10)
    assert world.statuses(target, stop) == [OrderStatus.FILLED, OrderStatus.CANCELED]


def test_an_entry_the_venue_refuses_is_in_no_book():
    world = World()
    with pytest.raises(VenueRejectError):
        world.desk.send(world.chain("entry", D("0.001")), world.exits(), world.now)
    assert world.desk.all() == []


def test_an_order_of_another_terminal_is_adopted():
    world = World()
    venue_id = world.venue.submit("A", world.chain("other", -5).order, world.now)
    world.go()
    assert world.desk.named(venue_id) == "adopted"
    assert world.desk.taken("theirs")


def test_a_trailing_stop_follows_the_market_one_way_only():
    world = World()
    stop = world.chain("stop", -10, Side.SELL, OrderType.STOP_MARKET)
    stop.trail = Trail(world.last, D("0.05"), offset=D(10))
    world.desk.send(stop, [], world.now)
    world.go()
    world.trade(4)
    assert world.desk.state(stop).order.trigger_price == world.last - 6
    world.trade(-2)
    assert world.desk.state(stop).order.trigger_price == world.last - 6
    assert stop.trail.best == world.last + 4


@pytest.mark.parametrize(("side", "expected"), [(Side.SELL, "99.00"), (Side.BUY, "101.00")])
def test_a_trail_by_percent_stays_on_the_losing_side(side, expected):
    assert Trail(D(100), D("0.05"), percent=D(1)).trigger(side) == D(expected)


def test_a_name_that_is_none_of_an_orders_ids_is_an_error():
    with pytest.raises(LookupError, match="other is no id of order mine"):
        World().chain("mine", 0).find("other")
