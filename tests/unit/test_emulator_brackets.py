"""Entries and what protects them, on a quiet venue; days joined to weeks and months."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from dragoman.emulator.brackets import BracketBook, Fate, Part
from dragoman.emulator.history import Bar, joined
from dragoman.emulator.venue import FUNDS, Venue, default_universe
from dragoman.emulator.venue.types import VenueOrder
from dragoman.model import OrderType, Product, Side

D, NOW, S = Decimal, 1_790_000_000_000_000_000, 1_000_000_000
INFY = "NSE:INFY"


class World:
    def __init__(self):
        self.now = NOW
        self.venue = Venue(7, NOW, quiet=True)
        self.venue.list(next(one for one in default_universe(NOW) if one.instrument.instrument_id == INFY))
        self.venue.open_account("A", dict(FUNDS))
        self.book = BracketBook(self.venue, "A", 3600 * S)
        self.last = self.venue.market(INFY).last_price

    def part(self, ticks, side=Side.BUY, **changes):
        order = VenueOrder(
            instrument_id=INFY,
            side=side,
            quantity=D(5),
            order_type=OrderType.MARKET,
            product=Product.INTRADAY,
            protection=D(5),
        )
        return Part(self.last + ticks, order, **changes)

    def trade(self, ticks, quantity=5):
        """Let others trade at a price, and leave as much on the offer."""
        self.venue.place_external(INFY, Side.BUY, D(quantity), self.last + ticks)
        self.venue.place_external(INFY, Side.SELL, D(quantity), self.last + ticks)

    def offer(self, side, ticks, quantity=5):
        self.venue.place_external(INFY, side, D(quantity), self.last + ticks)

    def go(self):
        for _ in range(20):
            self.now += S
            self.venue.advance(self.now)
            self.book.poll(self.now)

    def fates(self, bracket):
        return [self.book.fate(bracket, part) for part in bracket.parts]


def test_an_entry_at_once_is_followed_by_a_target_and_a_stop_of_which_one_fires():
    world = World()
    world.offer(Side.SELL, 0)
    parts = [world.part(0, at_once=True), world.part(20, Side.SELL), world.part(-20, Side.SELL)]
    bracket = world.book.place("B1", parts, world.now)
    assert world.fates(bracket) == [Fate.ORDERED, Fate.PENDING, Fate.PENDING]
    world.go()
    assert world.fates(bracket) == [Fate.DONE, Fate.WAITING, Fate.WAITING]
    world.trade(20)
    world.offer(Side.BUY, 20)
    world.go()
    assert world.fates(bracket) == [Fate.DONE, Fate.DONE, Fate.CANCELED]


def test_an_entry_waits_is_changed_and_ended():
    world = World()
    bracket = world.book.place("B1", [world.part(-10)], world.now)
    assert world.fates(bracket) == [Fate.WAITING]
    world.book.change(bracket, [world.part(-30)], world.now)
    world.trade(-10)
    world.go()
    assert world.fates(bracket) == [Fate.WAITING]
    world.book.cancel(world.book.get("B1"), world.now)
    assert world.fates(bracket) == [Fate.CANCELED]
    with pytest.raises(ValueError, match="does not wait"):
        world.book.change(bracket, [world.part(-5)], world.now)
    with pytest.raises(LookupError):
        world.book.get("B2")


def test_an_instruction_that_cannot_be_is_not_kept():
    world = World()
    with pytest.raises(ValueError, match="triggers"):
        world.book.place("B1", [world.part(0)], world.now)
    assert world.book.all() == ()


def test_exits_on_the_wrong_side_fail_with_their_reason():
    world = World()
    world.offer(Side.SELL, 0)
    parts = [world.part(0, at_once=True), world.part(20, Side.SELL), world.part(10, Side.SELL)]
    bracket = world.book.place("B1", parts, world.now)
    world.go()
    assert world.fates(bracket) == [Fate.DONE, Fate.FAILED, Fate.FAILED]
    assert "not around" in bracket.parts[1].refusal


def test_an_instruction_expires():
    world = World()
    bracket = world.book.place("B1", [world.part(-10)], world.now)
    world.now += 3600 * S
    world.go()
    assert world.fates(bracket) == [Fate.EXPIRED]


@pytest.mark.parametrize(("monthly", "starts"), [(False, [29, 5]), (True, [1, 1])])
def test_days_join_to_weeks_and_months(monthly, starts):
    first = datetime(2025, 12, 30, tzinfo=UTC)
    days = [
        Bar(first + timedelta(days=at), D(10 + at), D(20 + at), D(5 + at), D(11 + at), 100, at)
        for at in range(0, 10, 2)
    ]
    bars = joined(days, monthly=monthly)
    assert [one.start.day for one in bars][:2] == starts
    assert sum(one.volume for one in bars) == 500
    assert (bars[0].open, bars[-1].close, bars[-1].oi) == (D(10), D(19), 8)
    assert max(one.high for one in bars) == D(28)
