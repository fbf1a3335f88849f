"""A trading day of one client against the emulator, in memory, on the virtual clock.

Hours in which it trades alternate with hours in which it does not. In both there are ticks, polls, reconnects and
faults; only trading adds orders. So an hour without trading has to end exactly as it began.

Run it for longer, or with more ticks, from the root of the repository (``make soak``)::

    PYTHONPATH=tests python -m simulation.trading_day --hours 24 --ticks 20
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
import tracemalloc
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from dragoman.model import Pending, Side
from dragoman.runtime.virtual import VirtualRuntime
from simulation.gauges import Reading, complaints, take
from wire.trading import INFY, World, world

HOUR_S: Final = 3600
POLL_S: Final = 600
SETTLE_S: Final = 120  # before a mark: longer than idle connections are kept
WARM_UP_HOURS: Final = 2  # one that trades and one that does not
LISTED: Final = 60
STREAMED: Final = 10
ENOUGH: Final = Decimal(10)


@dataclass(slots=True)
class Plan:
    """How much happens.

    Attributes
    ----------
    hours : int
    ticks_a_minute : float
        Price moves of each streamed instrument.
    orders_an_hour : int
        In the hours that trade.
    traced_hours : int
        How many of the last ones run under tracemalloc, which makes them four times as slow.
    """

    hours: int = 8
    ticks_a_minute: float = 1.0
    orders_an_hour: int = 12
    traced_hours: int = 3


class Day:
    """One client's day.

    Attributes
    ----------
    marks : list of Reading
        One at the end of each hour from the warm-up on.
    """

    def __init__(self, here: World, plan: Plan) -> None:
        self.here = here
        self.client = here.client
        self.plan = plan
        self.marks: list[Reading] = []
        self.names = [i.instrument_id for i in self.client.instruments if i.tradable][:STREAMED]
        self.filled = 0
        self._wobble = 0

    async def live(self) -> None:
        """Live through the plan's hours."""
        self.client.subscribe(self.names, "full")
        for name in self.names:
            self.client.book(name)
        for hour in range(self.plan.hours):
            if hour == self.plan.hours - self.plan.traced_hours:
                tracemalloc.start()
            await self._hour(hour)
            self._forget()
            if hour >= WARM_UP_HOURS - 1:
                self.marks.append(take(self.client))
            self.client._audit()

    async def _hour(self, hour: int) -> None:
        trades = hour % 2 == 0
        for poll in range(HOUR_S // POLL_S):
            await self._market(POLL_S)
            await self._look()
            match poll:
                case 1:
                    await self._use_iterators()
                case 2:
                    await self._break_the_stream()
                case 3:
                    await self._fail_some_reads()
                case 4:
                    await self._change_subscriptions()
                case 5 if hour % 4 == 3:
                    await self.client.session.login()
            if trades:
                for number in range(self.plan.orders_an_hour * POLL_S // HOUR_S):
                    await self._trade(self.names[(poll + number) % STREAMED], poll * 2 + number)
        assert await self.client.check_positions() == []
        # Its readings would keep a connection in use, or not, by the second in which a mark falls.
        await self.client._reconciler.close()
        await self._market(SETTLE_S)

    async def _market(self, seconds: float) -> None:
        """Let every streamed price move, so many times a minute."""
        pause = 60 / self.plan.ticks_a_minute
        for _ in range(int(seconds / pause)):
            self._wobble += 1
            for name in self.names:
                self.here.venue.set_price(name, self._price(name, self._wobble % 5))
            await self.here.runtime.sleep(pause)

    def _price(self, name: str, ticks: int) -> Decimal:
        listing = self.here.venue.listing(name)
        tick = listing.instrument.tick_size
        return listing.reference // tick * tick + ticks * tick

    # -- what a strategy does now and then -----------------------------------------------------------------------------

    async def _look(self) -> None:
        """Read everything there is to read."""
        client = self.client
        await client.orders()
        await client.trades()
        await client.positions()
        await client.margins()
        await client.holdings()
        await client.profile()
        await client.gtts()
        assert len(await client.quotes(self.names)) == STREAMED
        end = datetime.fromtimestamp(self.here.runtime.clock.wall_ns() / 1e9, UTC)
        await client.candles(INFY, "5m", end - timedelta(hours=1), end)
        assert client._repr_html_()

    async def _use_iterators(self) -> None:
        """Iterate over ticks, batches and order updates for a while, and leave off in the middle."""
        seen: list[int] = []
        stop = self.client.on_batch(lambda batch: seen.append(len(batch.records)))
        updates = self.client.order_updates()
        moving = asyncio.ensure_future(self._market(60))
        async with aclosing(self.client.ticks()) as ticks:
            async for tick in ticks:
                seen.append(tick.instrument)
                if len(seen) > STREAMED:
                    break
        await moving
        abandoned = self.client.ticks()  # nobody reads it, and nobody ends it
        await self._market(20)
        del abandoned
        stop()
        await updates.aclose()  # type: ignore[attr-defined]
        assert seen

    async def _break_the_stream(self) -> None:
        await self.here.cut()
        await self.here.runtime.sleep(5)
        self.here.heal()
        await self.here.until(lambda: self.client.streams["market"].ready)

    async def _fail_some_reads(self) -> None:
        """Let reads meet a broker that fails, answers nonsense and breaks connections: they are tried again."""
        self.here.fault("http:503@GET /orders*1;html:502@GET /portfolio*1;reset_reply@GET /user*1;delay=50ms")
        await self._look()
        self.here.heal()

    async def _change_subscriptions(self) -> None:
        client, some = self.client, self.names[:5]
        client.subscribe(some, "ltp")
        await self._market(20)
        client.unsubscribe(some)
        await self._market(20)
        client.subscribe(some, "full")
        await self._market(20)

    # -- orders --------------------------------------------------------------------------------------------------------

    async def _trade(self, name: str, number: int) -> None:
        """Place an order, change it, and let it end in one of four ways."""
        client, venue = self.client, self.here.venue
        terms = {"order_type": "LIMIT", "product": "INTRADAY", "price": self._price(name, -20)}
        if number % 4 == 3:
            self.here.fault("drop_reply@POST /orders*1")  # the stream proves that the order arrived
        order = await client.place(name, "BUY", ENOUGH, **terms)
        await client.wait_order(order, lambda o: o.status == "OPEN")
        await client.modify(order, price=self._price(name, -19))
        await client.wait_order(order, lambda o: o.price == self._price(name, -19) and o.pending is Pending.NONE)
        match number % 4:
            case 1:
                venue.place_external(name, Side.SELL, ENOUGH, self._price(name, -19))
                await client.wait_order(order)
                await self._sell(name)
                self.filled += 1
            case 2:
                venue.place_external(name, Side.SELL, ENOUGH / 2, self._price(name, -19))
                await client.wait_order(order, lambda o: o.filled_quantity > 0)
                await client.cancel(order)
                await client.wait_order(order)
            case _:
                await client.cancel(order)
                await client.wait_order(order)

    async def _sell(self, name: str) -> None:
        venue, price = self.here.venue, self._price(name, 20)
        order = await self.client.place(name, "SELL", ENOUGH, order_type="LIMIT", product="INTRADAY", price=price)
        venue.place_external(name, Side.BUY, ENOUGH, price)
        await self.client.wait_order(order)

    def _forget(self) -> None:
        """Let go of what only the test keeps: the virtual net's list of all links, the world's lists of events."""
        self.here.runtime.net.links.clear()
        self.here.updates.clear()
        self.here.events.clear()


def live_through(plan: Plan, *, before: Callable[[Day], object] = lambda day: None) -> Day:
    """Run a day and return it; `before` is called with it once the client is connected."""

    async def run(runtime: VirtualRuntime) -> Day:
        async with world(runtime, most=LISTED, poll_interval_s=3.0) as here:
            day = Day(here, plan)
            before(day)
            await day.live()
            return day

    try:
        with VirtualRuntime(seed=7) as runtime:
            return runtime.run(run(runtime))
    finally:
        tracemalloc.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description="Live through trading days and look for growth.")
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--ticks", type=float, default=20.0, help="a minute, of each instrument")
    parser.add_argument("--orders", type=int, default=60, help="an hour, in the hours that trade")
    options = parser.parse_args()
    began = time.monotonic()
    day = live_through(Plan(options.hours, options.ticks, options.orders, traced_hours=options.hours))
    for hour, mark in enumerate(day.marks, WARM_UP_HOURS):
        print(f"hour {hour}: {mark}")
    found = complaints(day.marks)
    ticks = day.client.market.ticks_seen
    print(f"{ticks} ticks, {day.marks[-1].orders} orders, {time.monotonic() - began:.0f} s of machine time")
    print("\n".join(found) or "flat")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
