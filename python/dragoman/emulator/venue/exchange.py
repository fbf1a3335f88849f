"""The trading floor: all markets, what moves them, and what happens when two orders meet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

from dragoman.emulator.venue.market import FINE, Market
from dragoman.emulator.venue.matching import Resting
from dragoman.emulator.venue.rng import Rng
from dragoman.emulator.venue.types import ZERO, Listing

if TYPE_CHECKING:
    from dragoman.emulator.venue.live_order import LiveOrder


class Trader(Protocol):
    """Who hears of trades and prices: the order desk."""

    def filled(self, order: LiveOrder, ticks: int, lots: int, trade_id: str, ts: int, *, maker: bool) -> None:
        """An account's order traded; a maker's waited in the book."""

    def priced(self, market: Market, ts: int) -> None:
        """The last price of a market that holds stop orders changed."""


@dataclass(frozen=True, slots=True)
class Tape:
    """A trade in which an account took part. An order id is None where the side was an outside participant."""

    trade_id: str
    instrument_id: str
    buy_order: str | None
    sell_order: str | None
    lots: int
    ticks: int
    ts: int


class Exchange:
    """Markets by canonical id, moved by one seeded stream.

    Parameters
    ----------
    quiet : bool
        No market makers and no simulated participants: the books hold what callers put there.
    activity : float
        Part of the instruments that moves at each step, in (0, 1].
    """

    def __init__(self, seed: int, *, quiet: bool, activity: float) -> None:
        if not 0 < activity <= 1:
            raise ValueError(f"activity is {activity}, expected a part in (0, 1]")
        self.markets: dict[str, Market] = {}
        self.tape: list[Tape] = []
        self.trader: Trader
        self._rng = Rng(seed)
        self._seed = seed
        self._quiet = quiet
        self._activity = activity
        self._moving: list[Market] = []
        self._changes = 0
        self._changed: dict[str, Market] = {}
        self._trades = 0
        self._externals = 0
        self._external: dict[int, tuple[Market, Resting[LiveOrder]]] = {}

    def add(self, listing: Listing, now_ns: int) -> Market:
        """List an instrument. Raises ValueError where it is listed already."""
        instrument_id = listing.instrument.instrument_id
        if instrument_id in self.markets:
            raise ValueError(f"{instrument_id} is listed already")
        market = Market(listing, len(self.markets), self._seed, now_ns, quiet=self._quiet)
        self.markets[instrument_id] = market
        if not self._quiet and listing.volatility > 0:
            self._moving.append(market)
        self.touch(market)
        return market

    @property
    def moves(self) -> bool:
        """Whether any market moves on its own."""
        return bool(self._moving)

    def calm(self) -> None:
        """Send the simulated crowd home: markets move only where callers move them. The makers' quotes stay."""
        self._moving.clear()

    def hand_over(self, market: Market, ticks: int, ts: int) -> None:
        """Take a market from the crowd: a recording moves it from now on, beginning at `ticks`."""
        if market in self._moving:
            self._moving.remove(market)
        market.begin_at(ticks, ts)
        self.requote(market, ts)
        self.touch(market)

    def print_recorded(self, market: Market, ticks: int, lots: int, ts: int) -> None:
        """Let a recorded trade happen: it trades with accounts' orders at its price or better, then with nobody."""
        left = lots
        if market.book.outsiders:
            for maker in market.makers.values():
                market.book.remove(maker)
            market.makers.clear()
            for sign in (1, -1):
                left, _ = self.aggress(market, sign, ticks, left, ts)
        if left:
            self._print(market, ticks, left, ts)

    # --- change tracking ------------------------------------------------------------------------------------------

    def touch(self, market: Market) -> None:
        """Note that `market` changed; the dict stays in order of change."""
        self._changes += 1
        market.changed = self._changes
        self._changed.pop(market.instrument_id, None)
        self._changed[market.instrument_id] = market

    def changed(self, since: int) -> tuple[int, list[str]]:
        """Return the newest cursor and what changed after `since`, in order of change."""
        found = []
        for market in reversed(self._changed.values()):
            if market.changed <= since:
                break
            found.append(market.instrument_id)
        found.reverse()
        return self._changes, found

    # --- the simulated crowd --------------------------------------------------------------------------------------

    def step(self, ts: int) -> None:
        """Move a seeded part of the markets once."""
        moving, bits_of = self._moving, self._rng.bits
        count = len(moving)
        for _ in range(max(1, int(count * self._activity)) if count else 0):
            bits = bits_of()
            market = moving[(bits >> 32) * count >> 32]
            if not market.halted:
                self._move(market, bits, bits_of(), ts)

    def _move(self, market: Market, walk: int, crowd: int, ts: int) -> None:
        market.walk(walk)
        if not market.tradable:
            market.traded(market.fair >> FINE, 0, ts)
            self.touch(market)
            return
        if market.book.outsiders:
            self.requote(market, ts)
        if crowd & 3:  # three steps of four see a trade
            sign = 1 if crowd & 4 else -1
            lots = market.print_lots(crowd >> 8)
            if market.oi:
                market.oi = max(1, market.oi + (crowd >> 24 & 7) * int(market.lot) * (1 if crowd >> 32 & 1 else -1))
                market.oi_high, market.oi_low = max(market.oi_high, market.oi), min(market.oi_low, market.oi)
            if market.book.outsiders:
                best = market.book.best(-sign)
                if best is not None:
                    self.aggress(market, sign, best, lots, ts)
            elif (ticks := market.quoted(-sign)) is not None:
                self._print(market, ticks, lots, ts)
        self.touch(market)

    def refresh(self, market: Market, ts: int) -> None:
        """Bring the makers' quotes into the book where the market moved since."""
        if market.stale:
            self.requote(market, ts)

    def requote(self, market: Market, ts: int) -> None:
        """Move the makers' orders to their new ladder.

        A quote that only shrinks keeps its place in the queue; one that grows or is new goes to the back, and trades
        first where it meets somebody's order.
        """
        market.stale = False
        book, makers, wanted = market.book, market.makers, market.ladder()
        for place in [place for place in makers if place not in wanted]:
            book.remove(makers.pop(place))
        for (sign, ticks), (lots, orders) in wanted.items():
            held = makers.get((sign, ticks))
            if held is not None:
                if lots <= held.quantity:
                    book.reduce(held, lots)
                    held.orders = orders
                    continue
                book.remove(held)
                del makers[sign, ticks]
            left = self.aggress(market, sign, ticks, lots, ts)[0] if book.outsiders else lots
            if left:
                makers[sign, ticks] = book.add(sign, ticks, left, orders=min(orders, left), maker=True)

    # --- trades ---------------------------------------------------------------------------------------------------

    def aggress(
        self, market: Market, sign: int, limit: int | None, lots: int, ts: int, order: LiveOrder | None = None
    ) -> tuple[int, bool]:
        """Trade an incoming order against the book.

        Returns
        -------
        left : int
            Lots not traded.
        self_trade : bool
            Whether it stopped in front of the same account's own order.
        """
        account = None if order is None else order.account.name
        hits, left, self_trade = market.book.match(sign, limit, lots, account)
        for resting, traded in hits:
            ticks = resting.price
            passive = resting.owner
            self._print(market, ticks, traded, ts)
            if order is None and passive is None:
                continue
            self._trades += 1
            trade_id = f"{70000000 + self._trades}"
            active_id = order.state.order_id if order else None
            passive_id = passive.state.order_id if passive else None
            buyer, seller = (active_id, passive_id) if sign > 0 else (passive_id, active_id)
            self.tape.append(Tape(trade_id, market.instrument_id, buyer, seller, traded, ticks, ts))
            if passive is not None:
                self.trader.filled(passive, ticks, traded, trade_id, ts, maker=True)
            if order is not None:
                self.trader.filled(order, ticks, traded, trade_id, ts, maker=False)
        if hits:
            self.touch(market)
        return left, self_trade

    def _print(self, market: Market, ticks: int, lots: int, ts: int) -> None:
        market.traded(ticks, lots, ts)
        if market.stops:
            self.trader.priced(market, ts)

    # --- levers for tests and demonstrations ----------------------------------------------------------------------

    def set_price(self, market: Market, ticks: int, lots: int, ts: int) -> None:
        """Trade everything the price passes through, print `lots` at `ticks`, and let the makers quote around it."""
        for maker in market.makers.values():
            market.book.remove(maker)
        market.makers.clear()
        for sign in (1, -1):
            # An outsider who buys takes the asks below the new price, one who sells the bids above it.
            beyond = ticks - sign
            self.aggress(market, sign, beyond, market.book.volume(-sign, beyond), ts)
        market.shift(ticks)
        left = lots
        if market.tradable:
            for sign in (1, -1):
                left, _ = self.aggress(market, sign, ticks, left, ts)
        if left or market.last != ticks:
            self._print(market, ticks, left if market.tradable else 0, ts)
        self.requote(market, ts)
        self.touch(market)

    def place_external(self, market: Market, sign: int, lots: int, ticks: int | None, ts: int) -> int:
        """Enter an outside participant's order; return its number. What a market order cannot trade is dropped."""
        self.refresh(market, ts)
        left, _ = self.aggress(market, sign, ticks, lots, ts)
        self._externals += 1
        number = self._externals
        if left and ticks is not None:
            self._external[number] = (market, market.book.add(sign, ticks, left))
            self.touch(market)
        return number

    def cancel_external(self, number: int) -> Decimal:
        """Take an outside order off the book; return the quantity that was still there."""
        found = self._external.pop(number, None)
        if found is None:
            return ZERO
        market, resting = found
        left = market.quantity(resting.quantity)
        market.book.remove(resting)
        self.touch(market)
        return left

    def roll_day(self, now_ns: int) -> None:
        """Start a new day in every market; outside orders are gone with the old one."""
        for market, resting in self._external.values():
            market.book.remove(resting)
        self._external.clear()
        for market in self.markets.values():
            market.roll_day(now_ns)
            self.touch(market)

    def __iter__(self) -> Iterator[Market]:
        return iter(self.markets.values())
