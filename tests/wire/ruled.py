"""A world with a position and rules that watch it."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

from dragoman.model import Side
from wire.trading import INFY

KEY = (INFY, "INTRADAY", "NET")
LONG = {"instrument_id": INFY, "product": "INTRADAY"}


async def hold(world, quantity: int = 100, instrument: str = INFY) -> Any:
    """Open a position at the reference price, and let the market stand there; return the price."""
    price = world.price(0)
    world.venue.set_price(instrument, price)
    side = Side.BUY if quantity > 0 else Side.SELL
    world.venue.place_external(instrument, side.opposite, D(abs(quantity)), price)
    terms = {"order_type": "LIMIT", "price": price, "product": "INTRADAY"}
    order = await world.client.place(instrument, side, abs(quantity), **terms)
    order = await world.client.wait_order(order)
    assert order.filled_quantity == abs(quantity), order
    await world.until(lambda: held(world) == quantity)
    return price


def held(world, client=None) -> D:
    row = (client or world.client).portfolio.live.row(KEY)
    return D(0) if row is None else row.quantity


def venue_held(world) -> D:
    """What the venue says the account holds."""
    found = [p for p in world.venue.positions(world.account) if p.instrument_id == INFY]
    return sum((p.quantity for p in found), D(0))


def exits_at_venue(world) -> list[Any]:
    """The venue's orders of the account that were sent to exit: all but the first, which opened the position."""
    return world.live[1:]


async def move(world, ticks: int, *, depth: int = 1000) -> D:
    """Let the market trade so many ticks away from the reference, with buyers and sellers there."""
    price = world.price(ticks)
    world.venue.set_price(INFY, price)
    tick = world.venue.listing(INFY).instrument.tick_size
    world.venue.place_external(INFY, Side.BUY, D(depth), price - tick)
    world.venue.place_external(INFY, Side.SELL, D(depth), price + tick)
    await world.runtime.sleep(0.1)
    return price
