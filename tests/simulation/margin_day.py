"""A trading day of one client with its margin watched, against any adapter's emulator, in memory.

Orders are placed through the book, beside it, changed, cancelled and filled in parts; prices move; replies fail, come
late or are lost, and streams break. What the broker says of the margin is compared with what was projected, each time.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from dragoman.connecting import connect
from dragoman.emulator.fault_spec import parse_faults
from dragoman.errors import DragomanError
from dragoman.model import Instrument, InstrumentType, MarginAlert, Order, OrderType, Product, Segment, Side
from dragoman.plugin.registry import load_adapter
from dragoman.portfolio.margin.segment import Record
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.session.secrets import as_secret
from dragoman.testing.emulated import browser, emulated

_CENT: Final = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Market:
    """What is traded: instruments of an exchange and kind, in a product, about `worth` of money at a time."""

    exchange: str
    kind: InstrumentType
    product: Product | None
    worth: int
    count: int = 2
    short: bool = True


INDIAN: Final = (
    Market("NSE", InstrumentType.SPOT, Product.INTRADAY, 60_000, count=3),
    Market("NSE", InstrumentType.SPOT, Product.DELIVERY, 30_000, short=False),
    Market("NFO", InstrumentType.FUTURE, Product.CARRY, 1),
    Market("NFO", InstrumentType.OPTION, Product.CARRY, 1),
)


@dataclass(frozen=True, slots=True)
class Broker:
    """One adapter's day.

    Attributes
    ----------
    margins : str
        The request that reads the margin, as fault rules match it.
    segments : dict
        Of the client's margin, to the venue's own.
    """

    name: str
    markets: Sequence[Market]
    margins: str
    placing: str
    segments: dict[Segment, tuple[Segment, ...]]
    whole: bool = False


BROKERS: Final = {
    one.name: one
    for one in (
        Broker("zerodha", INDIAN, "GET /user/margins", "POST /orders", {Segment.EQUITY: (Segment.EQUITY,)}),
        Broker("upstox", INDIAN, "GET /v3/user", "POST /v3/order", {Segment.ALL: (Segment.EQUITY, Segment.COMMODITY)}),
        Broker("fyers", INDIAN, "GET /api/v3/funds", "POST /api/v3/orders", {Segment.EQUITY: (Segment.EQUITY,)}),
        Broker(
            "alpaca",
            (Market("US", InstrumentType.SPOT, None, 5_000, count=3),),
            "GET /v2/account",
            "POST /v2/orders",
            {Segment.ALL: (Segment.ALL,)},
            whole=True,
        ),
        Broker(
            "binance",
            (
                Market("BINANCE", InstrumentType.SPOT, None, 3_000, short=False),
                Market("BINANCEUSDM", InstrumentType.PERP, None, 5_000),
            ),
            "GET /api/v3/account",
            "POST /api/v3/order",
            {Segment.ALL: (Segment.ALL,), Segment.FO: (Segment.FO,)},
        ),
    )
}


class Day:
    """A day's trading at one broker; `live` plays it."""

    def __init__(self, runtime: VirtualRuntime, host: Any, client: Any, broker: Broker, seed: int) -> None:
        self.runtime, self.host, self.client, self.broker = runtime, host, client, broker
        self.venue = host.emulator.venue
        self.account = next(iter(self.venue._accounts))
        self.random = random.Random(seed)
        self.alerts: list[MarginAlert] = []
        self.refused: list[str] = []
        self.faults = 0
        self.placed = 0
        client.on_event(lambda event: self.alerts.append(event) if isinstance(event, MarginAlert) else None)
        self.began = self._owned()
        self.choices = [(found, market) for market in broker.markets for found in self._listed(market)]

    def _owned(self) -> dict[str, Decimal]:
        return {one.instrument_id: one.quantity for one in self.venue.holdings(self.account)}

    def _listed(self, market: Market) -> list[Instrument]:
        """Return instruments of a market, the most liquid first."""
        found = [
            one
            for one in self.client.instruments
            if one.exchange == market.exchange
            and one.instrument_type is market.kind
            and one.tradable
            and one.currency in ("INR", "USD", "USDT")
        ]
        return found[: market.count]

    # -- life --------------------------------------------------------------------------------------------------------

    async def live(self, steps: int, pause_s: float) -> None:
        """Act, let prices move, and wait, so many times; then bring everything to rest and close what is open."""
        client = self.client
        names = [one.instrument_id for one, _ in self.choices]
        client.subscribe(names, "quote" if self.broker.name != "binance" else "ltp")
        await client.margin.ready()
        await self._build_up()
        for step in range(steps):
            self._move_prices()
            if step % 12 == 11:
                self._break_something()
            await self._try(self._act())
            await self.runtime.sleep(self.random.uniform(0.2, 2 * pause_s))
        await self.rest()

    async def _build_up(self) -> None:
        """Buy some of everything that is bought on margin or paid, as an account has that trades."""
        for instrument, market in self.choices:
            if market.kind is not InstrumentType.OPTION:
                size = 3 * self._size(instrument, market)
                await self._try(self._place(instrument, market.product, size, through=True))
                await self.runtime.sleep(2)

    async def _try(self, act: Awaitable[object]) -> None:
        """Do something that the broker, or a fault, may refuse."""
        try:
            await act
        except DragomanError as error:
            self.refused.append(str(error))

    async def rest(self) -> None:
        """Cancel what works, and wait until nothing moves."""
        self.host.faults.clear()
        for _ in range(5):
            for order in list(self.client.orders_service.store.open):
                await self._try(self.client.cancel(order))
            await self.runtime.sleep(12)
            if not self.client.orders_service.store.open:
                break
        await self.client.orders()
        await self.runtime.sleep(70)

    # -- what happens ------------------------------------------------------------------------------------------------

    def _move_prices(self) -> None:
        for instrument, _ in self.choices:
            view = self.venue.market(instrument.instrument_id)
            tick = self.venue.listing(instrument.instrument_id).instrument.tick_size
            step = max(tick, view.last_price * Decimal("0.0006"))
            moved = view.last_price + step * self.random.choice((-2, -1, -1, 0, 0, 1, 1, 2))
            reference = self.venue.listing(instrument.instrument_id).reference
            moved = min(max(moved, reference * Decimal("0.95")), reference * Decimal("1.05"))
            self.venue.set_price(instrument.instrument_id, max(tick, moved // tick * tick))

    def _break_something(self) -> None:
        broker = self.broker
        spec = self.random.choice(
            (
                f"http:503@{broker.margins}*2",
                f"reset_reply@{broker.margins}*1",
                "reset_socket*1",
                f"drop_reply@{broker.placing}*1",
                f"delay=400ms@{broker.margins}*2",
                "delay=150ms",
            )
        )
        self.host.faults.clear()
        for fault in parse_faults(spec):
            self.host.faults.add(fault)
        self.faults += 1

    async def _act(self) -> None:
        working = list(self.client.orders_service.store.open)
        held = [row for row in self.client.portfolio.live.rows() if row.quantity]
        roll = self.random.random()
        if working and (roll < 0.25 or len(working) > 5):
            await self.client.cancel(self.random.choice(working))
        elif working and roll < 0.4:
            await self._change(self.random.choice(working))
        elif held and (roll < 0.6 or len(held) > 4):
            row = self.random.choice(held)
            instrument = self.client.instrument(row.instrument_id)
            part = row.quantity / self.random.choice((1, 2, 2, 3, 4))
            await self._place(instrument, row.product, -part, through=True)
        else:
            instrument, market = self.random.choice(self.choices)
            sign = -1 if market.short and self.random.random() < 0.4 else 1
            await self._place(instrument, market.product, sign * self._size(instrument, market), through=roll < 0.85)

    def _size(self, instrument: Instrument, market: Market) -> Decimal:
        price = self.venue.market(instrument.instrument_id).last_price * instrument.multiplier
        return max(instrument.lot_size, Decimal(self.random.randint(1, 3) * market.worth) / price)

    async def _place(self, instrument: Instrument, product: Product | None, signed: Decimal, *, through: bool) -> None:
        side, lot = Side.BUY if signed > 0 else Side.SELL, instrument.lot_size
        lot = max(lot, Decimal(1)) if self.broker.whole else lot
        quantity = max(lot, abs(signed) // lot * lot)
        kinds = self.client.session.adapter.capabilities.order_types
        terms: dict[str, Any] = {"order_type": "LIMIT", "price": self._price(instrument, side, through=through)}
        if not through and OrderType.STOP_LIMIT in kinds and self.random.random() < 0.2:
            beyond = self._price(instrument, side, through=True)
            terms = {"order_type": "STOP_LIMIT", "price": beyond, "trigger_price": beyond}
        if product is not None:
            terms["product"] = product
        order = await self.client.place(instrument, side, quantity, **terms)
        self.placed += 1
        if self.random.random() < 0.5:
            await self.client.wait_order(order, lambda one: one.status != "SUBMITTED", timeout_s=20)

    def _price(self, instrument: Instrument, side: Side, *, through: bool) -> Decimal:
        last, tick = self.venue.market(instrument.instrument_id).last_price, instrument.tick_size
        away = max(3 * tick, last * Decimal("0.004"))
        return max(tick, (last + (away if through == (side is Side.BUY) else -away)) // tick * tick)

    async def _change(self, order: Order) -> None:
        if order.price is None or order.order_type is not OrderType.LIMIT:
            return
        instrument = self.client.instrument(order.instrument_id)
        price = self._price(instrument, order.side, through=self.random.random() < 0.4)
        if price != order.price:
            await self.client.modify(order, price=price)

    # -- what came of it ---------------------------------------------------------------------------------------------

    def records(self) -> list[Record]:
        """Return how each reading compared with what was projected."""
        return [record for segment in self.broker.segments for record in self.client.margin.records(segment)]

    def differences(self) -> list[str]:
        """Return where positions and profit taken are not the venue's own, at rest."""
        ours = {(row.instrument_id, row.product): row for row in self.client.portfolio.live.rows()}
        ledger, owned = self.venue.ledger(self.account), self._owned()
        found = list(ledger["problems"])
        for theirs in self.venue.positions(self.account):
            wallet = self.venue.listing(theirs.instrument_id).settles_at_once
            row = ours.pop((theirs.instrument_id, Product.CASH if wallet else theirs.product), None)
            quantity = theirs.overnight_quantity + theirs.day_buy_quantity - theirs.day_sell_quantity
            if wallet:  # what there is more of than in the morning, whatever was traded and charged
                name = theirs.instrument_id
                quantity = owned.get(name, Decimal(0)) - self.began.get(name, Decimal(0))
                charged = ledger["fees"].get(self.venue.listing(name).instrument.name, Decimal(0))
                if ledger["holdings"].get(name, Decimal(0)) - charged != quantity:
                    found.append(f"{name}: the wallet grew by {quantity}, its fills by another amount")
            had, gained = (row.quantity, row.realised_pnl) if row is not None else (Decimal(0), Decimal(0))
            # What is settled trade by trade is a holding at the venue, which realises nothing.
            gain_differs = not wallet and (gained is None or abs(gained - theirs.realised) > _CENT)
            if had != quantity or gain_differs:
                found.append(f"{theirs.instrument_id}: {had} gained {gained}, not {quantity} and {theirs.realised}")
        return found + [f"{name} is no position" for name, row in ours.items() if row.quantity]


def live_through(
    name: str,
    *,
    seed: int = 7,
    steps: int = 150,
    pause_s: float = 6.0,
    check: Callable[[Day], Any],
    kind: type[Day] = Day,
) -> Any:
    """Live through a day at a broker, and return what `check` makes of it while the client is still connected."""
    broker = BROKERS[name]

    async def run(runtime: VirtualRuntime) -> Any:
        adapter = load_adapter(name)
        async with emulated(runtime, adapter, seed=seed) as (host, overrides):
            host.emulator.venue.calm()
            secrets = {key: as_secret(value) for key, value in overrides["credentials"].items()}
            if adapter.session.refresh == "none" and name in ("alpaca", "binance"):
                overrides.pop("redirect_port", None)
            connecting = connect(
                adapter,
                "test",
                environment="emulator",
                overrides=overrides | {"credentials": secrets},
                state_dir="/state",
                open_url=browser(runtime),
                runtime=runtime,
            )
            async with asyncio.timeout(36_000), connecting as client:
                day = kind(runtime, host, client, broker, seed)
                await day.live(steps, pause_s)
                return check(day)

    with VirtualRuntime(seed=seed) as runtime:
        return runtime.run(run(runtime))
