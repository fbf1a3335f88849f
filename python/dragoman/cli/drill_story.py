"""The crash drill's story: positions are built and guarded, the market falls, rules act, the kill switch ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from dragoman._core import Batch
from dragoman.cli.drill_legs import BULK, HELD, LADDER, TRAIL, Leg, legs_of
from dragoman.cli.drill_market import FallingMarket
from dragoman.client import Client
from dragoman.emulator.venue import Venue
from dragoman.errors import StaleData, UsageError
from dragoman.model import KillEvent, Margin, OrderType, OrderUpdate, Segment
from dragoman.model.rules import RuleEvent, RuleStatus
from dragoman.portfolio.margin.rule import segment_of
from dragoman.rules import Level, MarginFloor, Rung, ScaleOut, TrailingStop
from dragoman.runtime.base import Runtime

D = Decimal
S = RuleStatus
TRAIL_PERCENT: Final = D("1.5")
RUNGS: Final = ((D("1.5"), D("0.4")), (D("2.5"), D("0.3")), (D("3.5"), D("0.3")))
RISE: Final = (D("1.004"), D("1.008"))
FALL: Final = (D("1.002"), D("0.996"), D("0.990"), D("0.9840"), D("0.9740"), D("0.9640"))
FLOOR_AT: Final = D("0.955")
STEP: Final = D("0.008")
LOWEST: Final = D("0.925")
_BULK_SHARE: Final = D("0.3")
_SMALL_SHARE: Final = D("0.002")
_LEAST: Final = D("0.0001")
_PATIENCE_S: Final = 10.0
_FLOOR_S: Final = 1.5
_STEPS: Final = 3
_KILL_WORDS: Final = {"ENGAGED": "killed", "CANCELLED": "none works", "FLATTENED": "closed"}


class Drill:
    """One run of the drill on a connected client.

    Parameters
    ----------
    client : Client
    runtime : Runtime
    venue : Venue
        The simulated exchange, whose prices the drill moves.
    seed : int

    Attributes
    ----------
    rows : list of dict
        What happened, in order: time, event, leg, level, price, quantity, order, left, realised, used.
    ticks : int
    missed : list of str
        What should have happened and did not.
    left_out : dict
        Instruments that cannot be traded here, and why.
    margins : list of (str, dict, dict, dict)
        When margins were read: what the broker said, what was known live, and what the exchange has.
    """

    def __init__(self, client: Client, runtime: Runtime, venue: Venue, seed: int) -> None:
        self.client = client
        self.runtime = runtime
        self.legs = legs_of(client)
        self.venue = venue
        self.market = FallingMarket(venue, self.legs, seed)
        self.rows: list[dict[str, Any]] = []
        self.missed: list[str] = []
        self.left_out: dict[str, str] = {}
        self.margins: list[tuple[str, dict[Segment, Margin], dict[Segment, Margin], dict[Segment, Any]]] = []
        self.working: list[str] = []
        self.fired: dict[str, int] = {}
        self._guards: dict[str, str] = {}
        self._shown: set[str] = set()
        self._began_ns = runtime.clock.mono_ns()
        self._at = D(1)
        self.ticks = 0

    # -- the acts ----------------------------------------------------------------------------------------------------

    async def play(self) -> None:
        """Build, guard, fall, kill."""
        client = self.client
        ends = [client.on_order(self._on_order), client.on_event(self._on_event), client.on_batch(self._on_batch)]
        client.subscribe([leg.instrument for leg in self.legs], "ltp")
        await self._wait(client.portfolio.begin, "the positions the day begins with")
        await client.margin.ready()
        await self._build()
        await self._guard()
        await self._read("built")
        for share in RISE:
            await self._move(share, "rises")
        for share in FALL:
            await self._move(share, "falls")
        self._expect("trail", 1)
        self._expect("ladder", len(RUNGS))
        share = FALL[-1]
        while not self.fired.get("floor") and share > LOWEST:
            share -= STEP
            await self._move(share, "falls", steps=1)
            await self._until(lambda: bool(self.fired.get("floor")), _FLOOR_S)
        await self._quiet()
        self._expect("floor", 1)
        await self._read("reduced")
        await self._move(share - STEP, "falls")
        await self._kill()
        await self._read("flat")
        for end in ends:
            end()

    async def _build(self) -> None:
        """Open the large positions, look what margin they take, and open the small ones by that measure."""
        bulk = [leg for leg in self.legs if leg.part == BULK]
        small = [leg for leg in self.legs if leg.part != BULK]
        usable = {leg.label: self._usable(leg) for leg in self.legs}
        for leg in bulk:
            await self._open(leg, usable[leg.label] * _BULK_SHARE)
        worth = sum((leg.quantity * self.market.price(leg) * leg.instrument.multiplier for leg in bulk), D(0))
        before = usable[bulk[0].label]
        rate = max((before - self._net(await self.client.margins(), bulk[0])) / worth, D("0.01"))
        for leg in small:
            try:
                await self._open(leg, usable[leg.label] * _SMALL_SHARE / rate)
            except UsageError as error:  # refused here, before a byte left
                if leg.part != HELD:
                    raise
                self.left_out[leg.key[0]] = str(error)
                self.legs.remove(leg)
        await self._step(D(1))

    async def _open(self, leg: Leg, worth: Decimal) -> None:
        quantity = leg.sized(worth, self.market.price(leg))
        leg.quantity = quantity
        self.market.move(D(1))
        leg.opened = f"open{leg.label}"
        order = await self.client.place(
            leg.instrument,
            leg.side,
            quantity,
            order_type=OrderType.MARKET,
            product=leg.product,
            client_order_id=leg.opened,
        )
        order = await self.client.wait_order(order, timeout_s=_PATIENCE_S)
        leg.quantity, leg.price = order.filled_quantity, order.average_price

    async def _guard(self) -> None:
        """Arm a trailing stop, a ladder and a margin floor; leave two orders in the book for the kill switch."""
        client = self.client
        (trail,) = (leg for leg in self.legs if leg.part == TRAIL)
        (ladder,) = (leg for leg in self.legs if leg.part == LADDER)
        stop = await client.rules.add(
            TrailingStop(rule_id="trail", instrument_id=trail.key[0], product=trail.product, percent=TRAIL_PERCENT)
        )
        self._row("armed", trail, level=stop.levels[0], order="trail")
        rungs = tuple(Rung(level=Level(percent=percent), fraction=part) for percent, part in RUNGS)
        steps = await client.rules.add(
            ScaleOut(rule_id="ladder", instrument_id=ladder.key[0], product=ladder.product, rungs=rungs)
        )
        self._guards = {"trail": trail.label, "ladder": ladder.label}
        for level in steps.levels:
            self._row("armed", ladder, level=level, order="ladder")
        for leg in (self.legs[1], trail):
            tick = leg.instrument.tick_size
            price = max(self.market.price(leg) * D("0.905"), self._lowest(leg)) // tick * tick + tick
            name = f"rest{leg.label}"
            order = await client.place(
                leg.instrument,
                leg.side,
                leg.sized(D(0), price),
                order_type=OrderType.LIMIT,
                price=price,
                product=leg.product,
                client_order_id=name,
            )
            await client.wait_order(order, lambda one: one.is_open and bool(one.order_id), timeout_s=_PATIENCE_S)
            self.working.append(name)
            self._row("rests", leg, level=price, quantity=order.quantity, order=name)
        await self._quiet()
        bulk = [leg for leg in self.legs if leg.part == BULK]
        margins = await client.margins()
        segment = segment_of(bulk[0].instrument, margins)
        assert segment is not None
        net = self._net(margins, bulk[0])
        lost = sum((leg.quantity * self.market.price(leg) * leg.instrument.multiplier for leg in bulk), D(0))
        below = round(net - lost * (1 - FLOOR_AT))
        await client.rules.add(MarginFloor(rule_id="floor", segment=segment, below=D(below), pause_s=1.0))
        self._row("armed", None, level=D(below), price=net, order="floor")

    async def _move(self, share: Decimal, word: str, *, steps: int = _STEPS) -> None:
        """Move the market there in small steps; each is waited for, and for everything that comes of it."""
        self._row(f"{word} {(share - 1) * 100:+.1f}%", None)
        began, self._at = self._at, share
        for step in range(1, steps + 1):
            await self._step(began + (share - began) * step / steps)

    async def _step(self, share: Decimal) -> None:
        began = self.runtime.clock.wall_ns()
        self.market.move(share)
        held = [leg for leg in self.legs if self._is_open(leg)]

        def marked(leg: Leg) -> bool:
            # A broker that conflates sends no tick for a price that came back to what it had sent.
            price, ts, _ = self.client.portfolio.live.mark(leg.key[0])
            return (ts or 0) >= began or price == self.market.price(leg)

        def all_marked() -> bool:
            return all(map(marked, held))

        if not await self._until(all_marked, _PATIENCE_S):
            self.missed.append(f"market at {share}: no tick of some leg within {_PATIENCE_S:g} s")
        await self._quiet()

    async def _kill(self) -> None:
        """Stop the account; its orders are cancelled and its positions closed."""
        await self.client.kill("the drill ends here", flatten=True)

        def over() -> bool:
            return not any(map(self._is_open, self.legs)) and not self.client.orders_service.store.open

        if not await self._until(over, 2 * _PATIENCE_S):
            self.missed.append("the kill switch left positions or orders")
        await self._quiet()

    async def _read(self, when: str) -> None:
        """Read the margins while nothing moves, beside what is known live and what the exchange has."""
        await self.client.margin.ready()
        await self._until(lambda: not any(one.stale for one in self.client.margin.now().values()), _PATIENCE_S)
        told, exchange = await self.client.margins(), self.venue.funds(self.client.session.ctx.account)

        def live_is_told() -> bool:
            live = self.client.margin.now()
            return all(live[segment].net == one.net for segment, one in told.items())

        await self._until(live_is_told, _PATIENCE_S)
        self._row(f"read, {when}", None)
        self.margins.append((when, told, self.client.margin.now(), exchange))

    # -- what is told ------------------------------------------------------------------------------------------------

    def _on_batch(self, batch: Batch) -> None:
        self.ticks += len(batch)

    def _on_order(self, update: OrderUpdate) -> None:
        order = update.order
        name = order.client_order_id
        if not order.status.terminal or name in self._shown:
            return
        self._shown.add(name)
        leg = next((one for one in self.legs if one.key[:2] == (order.instrument_id, order.product)), None)
        if order.filled_quantity:
            word = "bought" if order.side == "BUY" else "sold"
            asyncio.get_running_loop().call_soon(
                lambda: self._row(word, leg, price=order.average_price, quantity=order.filled_quantity, order=name)
            )
        else:
            self._row(str(order.status).lower(), leg, quantity=order.quantity, order=name)

    def _on_event(self, event: Any) -> None:
        if isinstance(event, KillEvent):
            self._row(_KILL_WORDS.get(event.code, event.code.lower()), None)
        if not isinstance(event, RuleEvent):
            return
        if event.status is S.FIRED:
            self.fired[event.rule_id] = self.fired.get(event.rule_id, 0) + 1
            tracked = self.client.rules.engine.rules[event.rule_id]
            level = next((leg.level for leg in reversed(tracked.legs) if leg.fired), None)
            if isinstance(tracked.rule, ScaleOut):
                level = [leg.level for leg in tracked.legs if leg.fired][-1]
            guarded = next((leg for leg in self.legs if leg.label == self._guards.get(event.rule_id)), None)
            if guarded is None:
                assert isinstance(tracked.rule, MarginFloor)
                level, price = tracked.rule.below, self.client.margin.now()[tracked.rule.segment].net
            else:
                price = self.client.portfolio.live.mark(guarded.key[0])[0]
            self._row("fires", guarded, level=level, price=price, order=event.rule_id)
        elif event.status in (S.FAILED, S.SUSPENDED):
            self._row(event.status.lower(), None, order=event.rule_id)
            self.missed.append(f"rule {event.rule_id} is {event.status}: {event.reason}")

    def _row(self, event: str, leg: Leg | None, **more: Any) -> None:
        if leg is not None and "order" in more:
            place = ".".join(leg.key).replace("/", "_")
            more["order"] = more["order"].replace(place, leg.label)
        live = self.client.portfolio.live
        elapsed = (self.runtime.clock.mono_ns() - self._began_ns) / 1e9
        used = [one.used.total for one in self.client.margin.now().values() if one.used.total is not None]
        self.rows.append(
            {
                "time": round(elapsed, 1),
                "event": event,
                "leg": "" if leg is None else leg.label,
                "left": None if leg is None else self._left(leg),
                "realised": sum((one.realised for one in live.totals().values()), D(0)),
                "used": sum(used, D(0)),
            }
            | more
        )

    # -- looking -----------------------------------------------------------------------------------------------------

    def _left(self, leg: Leg) -> Decimal:
        row = self.client.portfolio.live.row(leg.key)
        return D(0) if row is None else row.quantity

    def _is_open(self, leg: Leg) -> bool:
        """Whether there is more left of a leg than dust."""
        return abs(self._left(leg)) >= leg.instrument.lot_size

    def _net(self, margins: dict[Segment, Margin], leg: Leg) -> Decimal:
        segment = segment_of(leg.instrument, margins)
        assert segment is not None
        return margins[segment].net or D(0)

    def _usable(self, leg: Leg) -> Decimal:
        return self._net(self.client.margin.now(), leg)

    def _lowest(self, leg: Leg) -> Decimal:
        return self.venue.market(leg.instrument.instrument_id).band_low

    def _expect(self, rule_id: str, firings: int) -> None:
        found = self.fired.get(rule_id, 0)
        if found != firings:
            self.missed.append(f"rule {rule_id} fired {found} times, expected {firings}")

    async def _wait(self, attempt: Callable[[], Any], what: str) -> None:
        for _ in range(20):
            if await attempt():
                return
            await self.runtime.sleep(0.5)
        raise StaleData(f"{what} could not be read within 10 s")

    async def _quiet(self) -> None:
        """Wait until no exit runs and nothing works but what rests on purpose."""
        store = self.client.orders_service.store

        def over() -> bool:
            working = {order.client_order_id for order in store.open} - set(self.working)
            return not working and not self.client.rules.exits.running() and not store.unknown

        if not await self._until(over, 2 * _PATIENCE_S):
            names = ", ".join(order.client_order_id for order in store.open)
            self.missed.append(f"these still work after {2 * _PATIENCE_S:g} s: {names}")
        await self.runtime.sleep(0.05)

    async def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        ends = self.runtime.clock.mono_ns() + int(seconds * 1e9)
        while not condition():
            if self.runtime.clock.mono_ns() > ends:
                return False
            await self.runtime.sleep(0.02)
        return True
