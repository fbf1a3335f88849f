"""Orders against the market they come to: a stop's trigger, a limit that may only rest, money turned into lots."""

from __future__ import annotations

from decimal import Decimal

from dragoman.emulator.bodies import best
from dragoman.emulator.venue.types import MarketView
from dragoman.model import Side


def passed(side: Side, trigger: Decimal, market: MarketView) -> bool:
    """Say whether the last price is at or beyond a stop's trigger: it would not wait, it would trade at once.

    A stop that buys waits above the last price, one that sells below it. A venue takes both kinds, as exchanges do;
    brokers mostly refuse the wrong side before the order leaves them.
    """
    return side.sign * trigger <= side.sign * market.last_price


def crosses(side: Side, price: Decimal, market: MarketView) -> bool:
    """Say whether a limit order would trade on arrival, which one that may only rest is refused for."""
    facing = market.asks if side is Side.BUY else market.bids
    return bool(facing) and side.sign * price >= side.sign * facing[0][0]


def lots_for(money: Decimal, side: Side, market: MarketView, lot: Decimal) -> Decimal:
    """Return the whole lots that money is worth, at the best price that an order meets or else the last one."""
    price, _ = best(market.asks if side is Side.BUY else market.bids)
    return money / (price or market.last_price) // lot * lot
