"""What the demo does: stream many instruments, and trade through every kind of order life."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Collection
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from dragoman._core import Batch
from dragoman.client import Client
from dragoman.errors import DragomanError, StaleData
from dragoman.model import Instrument, InstrumentType, Mode, Order, OrderStatus, OrderType, Product, TimeInForce
from dragoman.runtime.base import Runtime

STREAMED = 240
FULL = 20
QUOTED = 140
S = OrderStatus


class Latencies:
    """Durations in ns, the last hundred thousand of them; percentiles on request."""

    def __init__(self) -> None:
        self._kept: deque[int] = deque(maxlen=100_000)
        self._count = 0

    def add(self, ns: int) -> None:
        self._kept.append(ns)
        self._count += 1

    def summary(self) -> dict[str, float | int]:
        """Return the count of all, and p50, p99, max in microseconds of those kept."""
        if not self._kept:
            return {"count": 0}
        ordered = sorted(self._kept)

        def at(share: float) -> float:
            return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] / 1000, 1)

        return {"count": self._count, "p50_us": at(0.5), "p99_us": at(0.99), "max_us": at(1.0)}


class Story:
    """One run of the demonstration on a connected client; instruments named `first` are streamed whatever there is."""

    def __init__(self, client: Client, runtime: Runtime, *, first: Collection[str] = ()) -> None:
        self.client = client
        self.first = first
        self.runtime = runtime
        self.to_handler = Latencies()
        self.round_trip = Latencies()
        self.frames = self.ticks = self.levels = 0
        self.seen: set[int] = set()
        self.acts: list[dict[str, Any]] = []
        offered = client.session.adapter.capabilities.products
        self.product = Product.INTRADAY if Product.INTRADAY in offered else sorted(offered)[0]

    # -- the stream --------------------------------------------------------------------------------------------------

    def _on_batch(self, batch: Batch) -> None:
        self.to_handler.add(self.runtime.clock.wall_ns() - batch.ts_recv)
        self.frames += 1
        self.ticks += len(batch)
        cursor = batch.cursor()
        for row in cursor:
            self.seen.add(row.instrument)
        cursor.close()

    def choose(self) -> list[Instrument]:
        """Return instruments of every kind the broker lists, cash before indices, and those named before the rest."""
        everything = sorted(self.client.instruments, key=lambda one: one.instrument_id not in self.first)
        cash = [i for i in everything if i.tradable and i.instrument_type is InstrumentType.SPOT]
        indices = [i for i in everything if not i.tradable]
        rest = [i for i in everything if i.tradable and i.instrument_type is not InstrumentType.SPOT]
        return [*cash[:FULL], *indices, *cash[FULL:], *rest][:STREAMED]

    async def play(self, seconds: float) -> None:
        """Stream and trade for about `seconds`."""
        started = self.runtime.clock.mono_ns()
        self.client.on_batch(self._on_batch)
        chosen = self.choose()
        self.client.subscribe(chosen[:FULL], Mode.FULL)
        self.client.subscribe(chosen[FULL : FULL + QUOTED], Mode.QUOTE)
        self.client.subscribe(chosen[FULL + QUOTED :], Mode.LTP)
        await self._first_books(chosen[:FULL])
        await self.trade([i for i in chosen[:FULL] if i.tradable])
        left = seconds - (self.runtime.clock.mono_ns() - started) / 1e9
        if left > 0:
            await self.runtime.sleep(left)

    async def _first_books(self, instruments: list[Instrument]) -> None:
        books = [self.client.book(i) for i in instruments if i.tradable]
        ends = self.runtime.clock.mono_ns() + 15_000_000_000
        while waiting := [book for book in books if book.bid_price is None or book.ask_price is None]:
            if self.runtime.clock.mono_ns() > ends:
                raise StaleData(f"{len(waiting)} of {len(books)} books are still empty after 15 s of streaming")
            await self.runtime.sleep(0.05)

    # -- trading -----------------------------------------------------------------------------------------------------

    async def trade(self, instruments: list[Instrument]) -> None:
        """Walk orders through their lives, one kind after another."""
        a, b, c, d = instruments[:4]
        bought = await self._act("market buy", lambda: self._market(a, "BUY", 20))
        await self._act("resting limit, changed, canceled", lambda: self._rest_change_cancel(b))
        await self._act("limit through several levels", lambda: self._sweep(c))
        await self._act("immediate or cancel, no match", lambda: self._ioc(d))
        if bought is not None:
            await self._act("protective stop, canceled", lambda: self._stop(a))
            await self._act("market sell of half", lambda: self._market(a, "SELL", 10))
        await self._act("more than the money allows", lambda: self._too_large(b))
        await self._act("price off the tick", lambda: self._off_tick(b))
        await self._act("unknown symbol", lambda: self._place("NSE:NOSUCHNAME", "BUY", 1))

    async def _act(self, name: str, work: Callable[[], Awaitable[Order]]) -> Order | None:
        row: dict[str, Any] = {"act": name}
        self.acts.append(row)
        try:
            order = await work()
        except StaleData:
            raise
        except DragomanError as error:
            row |= {
                "outcome": type(error).__name__,
                "kind": error.kind,
                "effect": error.effect,
                "text": str(error),
                "client_order_id": error.client_order_id,
            }
            return None
        row |= {"outcome": order.status, "order_id": order.order_id, "client_order_id": order.client_order_id}
        return order

    async def _place(self, instrument: Instrument | str, side: str, quantity: Any, **terms: Any) -> Order:
        before = self.runtime.clock.mono_ns()
        order = await self.client.place(instrument, side, quantity, product=self.product, **terms)
        self.round_trip.add(self.runtime.clock.mono_ns() - before)
        return order

    async def _finished(self, order: Order) -> Order:
        return await self.client.wait_order(order, timeout_s=15)

    def _unit(self, instrument: Instrument) -> Decimal:
        """Return a quantity that is worth trading: a lot, one share where they are split, or the price of a meal."""
        lot, bid = instrument.lot_size, self.client.book(instrument).bid_price
        if lot >= 1 or bid is None:
            return lot
        price = Decimal(repr(bid))
        return Decimal(1) if price < 1000 else (20 / (price * lot)).to_integral_value(ROUND_CEILING) * lot

    async def _market(self, instrument: Instrument, side: str, lots: int) -> Order:
        quantity = self._unit(instrument) * lots
        return await self._finished(await self._place(instrument, side, quantity, order_type=OrderType.MARKET))

    async def _rest_change_cancel(self, instrument: Instrument) -> Order:
        low = _grid(instrument, self.client.book(instrument).bid_price, -40)
        order = await self._place(
            instrument, "BUY", self._unit(instrument) * 5, order_type=OrderType.LIMIT, price=low, tag="demo"
        )
        await self.client.wait_order(order, lambda o: o.status is S.OPEN)
        await self.client.modify(order, price=low + instrument.tick_size * 5)
        await self.client.wait_order(order, lambda o: o.price == low + instrument.tick_size * 5 and o.status is S.OPEN)
        await self.client.cancel(order)
        return await self._finished(order)

    async def _sweep(self, instrument: Instrument) -> Order:
        asks = self.client.book(instrument).snapshot(2).asks
        quantity = Decimal(str(sum(level[1] for level in asks))) + self._unit(instrument) * 3
        price = _grid(instrument, asks[-1][0], 0)
        order = await self._place(
            instrument, "BUY", quantity - quantity % instrument.lot_size, order_type=OrderType.LIMIT, price=price
        )
        order = await self.client.wait_order(order, lambda o: o.filled_quantity > 0 or o.status.terminal)
        if order.is_open:
            try:
                await self.client.cancel(order)
            except DragomanError:
                # It may have filled in between; what it came to is read below.
                order = await self._finished(order)
        return await self._finished(order)

    async def _ioc(self, instrument: Instrument) -> Order:
        price = _grid(instrument, self.client.book(instrument).bid_price, -60)
        order = await self._place(
            instrument,
            "BUY",
            self._unit(instrument),
            order_type=OrderType.LIMIT,
            price=price,
            time_in_force=TimeInForce.IOC,
        )
        return await self._finished(order)

    async def _stop(self, instrument: Instrument) -> Order:
        trigger = _grid(instrument, self.client.book(instrument).bid_price, -80)
        order = await self._place(
            instrument,
            "SELL",
            self._unit(instrument) * 10,
            order_type=OrderType.STOP_LIMIT,
            trigger_price=trigger,
            price=trigger - instrument.tick_size * 4,
        )
        await self.client.wait_order(order, lambda o: o.status is S.TRIGGER_PENDING)
        await self.client.cancel(order)
        return await self._finished(order)

    async def _too_large(self, instrument: Instrument) -> Order:
        price = _grid(instrument, self.client.book(instrument).bid_price, 0)
        usable = sum((m.net for m in (await self.client.margins()).values() if m.net is not None), Decimal(0))
        lots = (usable * 8 / price / instrument.lot_size).to_integral_value(ROUND_FLOOR)  # beyond any leverage here
        quantity = lots * instrument.lot_size
        return await self._place(instrument, "BUY", quantity, order_type=OrderType.LIMIT, price=price)

    async def _off_tick(self, instrument: Instrument) -> Order:
        price = _grid(instrument, self.client.book(instrument).bid_price, 0) + instrument.tick_size / 2
        return await self._place(instrument, "BUY", self._unit(instrument), order_type=OrderType.LIMIT, price=price)

    # -- looking back ------------------------------------------------------------------------------------------------

    async def result(self) -> dict[str, Any]:
        """Return what was seen: the stream, each order's life, positions, margins, limits, latencies."""
        client = self.client
        lives = []
        for act in self.acts:
            order = client.order(act["client_order_id"]) if act.get("client_order_id") else None
            if order is None or not order.order_id:
                lives.append(act | {"life": []})
                continue
            states = await client.order_history(order)
            life = [state.raw_status for state in states]
            lives.append(
                act
                | {
                    "instrument": order.instrument_id,
                    "side": order.side,
                    "quantity": order.quantity,
                    "filled": order.filled_quantity,
                    "average_price": order.average_price,
                    "status": order.status,
                    "life": life,
                }
            )
        positions = await client.positions()
        margins = await client.margins()
        return {
            "account": client.session.ctx.account,
            "broker": client.session.adapter.name,
            "environment": client.session.environment,
            "instruments": len(client.instruments),
            "stream": {
                "subscribed": len(client.market.subscribed),
                "ticking": len(self.seen - {-1}),
                "frames": self.frames,
                "ticks": self.ticks,
                "books": len(client.market.books),
            },
            "orders": lives,
            "positions": [
                {
                    "instrument": p.instrument_id,
                    "product": p.product,
                    "quantity": p.quantity,
                    "average_price": p.average_price,
                    "last_price": p.last_price,
                    "realised_pnl": p.realised_pnl,
                    "unrealised_pnl": p.unrealised_pnl,
                    "pnl": p.pnl,
                }
                for p in positions
            ],
            "margins": {
                str(segment): {
                    "net": m.net,
                    "cash": m.available.cash,
                    "used": m.used.total,
                    "span": m.used.span,
                    "exposure": m.used.exposure,
                    "collateral": m.available.collateral,
                }
                for segment, m in margins.items()
            },
            "latency": {"frame to handler": self.to_handler.summary(), "place to accepted": self.round_trip.summary()},
            "counters": client.counters(),
        }


def _grid(instrument: Instrument, price: float | None, ticks: int) -> Decimal:
    """Return the tick at or below `price`, moved by `ticks`."""
    if price is None:
        raise StaleData(f"{instrument.instrument_id} has no price on that side")
    tick = instrument.tick_size
    return (Decimal(repr(price)) / tick).to_integral_value(ROUND_FLOOR) * tick + tick * ticks
