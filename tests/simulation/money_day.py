"""A day of trading with rules armed, at any adapter's emulator, in memory: money against the venue's own ledger.

To what a margin day does it adds stops, trailing stops, targets, ladders and a margin floor on whatever is held, price
moves that reach them, orders placed elsewhere, and faults on orders and streams. The ledger is the judge, of money and
of every exit.

Run more of it, from the root of the repository (``make soak``)::

    PYTHONPATH=tests python -m simulation.money_day --seeds 20
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from dragoman.emulator.fault_spec import parse_faults
from dragoman.emulator.venue.types import VenueOrder, VenueRejectError
from dragoman.errors import ErrorKind
from dragoman.model import Instrument, LivePosition, OrderType, Product, Side
from dragoman.model.rules import RuleEvent, RuleStatus
from dragoman.portfolio import Discrepancy
from dragoman.rules import Level, MarginFloor, Oco, Rung, ScaleOut, Send, StopLoss, TakeProfit, TrailingStop
from simulation.margin_day import BROKERS, Day, live_through

D = Decimal
_MOST_RULES: Final = 12
_SEND: Final = Send(tries=50)


class MoneyDay(Day):
    """A day's trading at one broker with rules armed.

    Attributes
    ----------
    fired : Counter
        Firings by the rule's kind.
    elsewhere : int
        Orders placed by another terminal of the account.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.fired: Counter[str] = Counter()
        self.elsewhere = 0
        self.armed: Counter[str] = Counter()
        self.compared: list[Discrepancy] = []
        self.client.on_event(self._on_event)

    def _on_event(self, event: object) -> None:
        if isinstance(event, RuleEvent) and event.status is RuleStatus.FIRED and event.state is not None:
            self.fired[event.state.rule.kind] += 1

    # -- what happens ------------------------------------------------------------------------------------------------

    async def _build_up(self) -> None:
        await super()._build_up()
        for segment, margin in self.client.margin.now().items():
            if margin.net and margin.used.total:
                below = round(margin.net - margin.net * D("0.002"), 2)
                await self._try(self.client.rules.add(MarginFloor(segment=segment, below=below, most=40)))
                self.armed["MarginFloor"] += 1

    async def _act(self) -> None:
        roll = self.random.random()
        held = [row for row in self.client.portfolio.live.rows() if row.quantity]
        armed = [one for one in self.client.rules.list() if one.rule.kind != "MarginFloor"]
        if held and roll < 0.3 and len(armed) < _MOST_RULES:
            await self._arm(self.random.choice(held))
        elif armed and roll < 0.34:
            await self.client.rules.cancel(self.random.choice(armed).rule_id)
        elif held and roll < 0.4:
            self._trade_elsewhere(self.random.choice(held))
        elif roll < 0.5:
            self._jump()
        else:
            await super()._act()

    async def _place(self, instrument: Instrument, product: Product | None, signed: Decimal, *, through: bool) -> None:
        """Place an order, unless an exit of the same position is on its way: two hands would sell the same thing."""
        running = {one.key[0] for one in self.client.rules.exits.running()}
        if instrument.instrument_id not in running:
            await super()._place(instrument, product, signed, through=through)

    async def _arm(self, row: LivePosition) -> None:
        """Guard a position with a rule of any kind, near enough to be reached."""
        dice = self.random
        last = self.venue.market(row.instrument_id).last_price
        sign = 1 if row.quantity > 0 else -1
        near, far = (D(dice.randint(10, 80)) / 10_000 for _ in range(2))
        tick = self.client.instrument(row.instrument_id).tick_size

        def at(share: Decimal) -> Decimal:
            return max(tick, last * (1 + share * sign) // tick * tick)

        place = {"instrument_id": row.instrument_id, "product": row.product, "send": _SEND}
        lot = self.client.instrument(row.instrument_id).lot_size
        part = abs(row.quantity) / dice.choice((1, 1, 2, 3)) // lot * lot
        share = {"quantity": part} if part and dice.random() < 0.5 else {}
        kind = dice.choice(("stop", "target", "trail", "pair", "ladder"))
        if kind == "stop":
            rule: Any = StopLoss(**place, **share, price=at(-near))
        elif kind == "target":
            rule = TakeProfit(**place, **share, price=at(near))
        elif kind == "trail":
            rule = TrailingStop(**place, **share, percent=max(D("0.1"), near * 100))
        elif kind == "pair":
            rule = Oco(**place, **share, stop=Level(price=at(-near)), target=Level(price=at(far)))
        else:
            steps = (Rung(level=Level(price=at(near)), fraction=D("0.5")), Rung(level=Level(price=at(near + far))))
            rule = ScaleOut(**place, rungs=steps)
        await self.client.rules.add(rule)
        self.armed[rule.kind] += 1

    def _trade_elsewhere(self, row: LivePosition) -> None:
        """Let another terminal of the same account add to a position."""
        instrument = self.client.instrument(row.instrument_id)
        side = Side.BUY if row.quantity > 0 else Side.SELL
        lot = max(instrument.lot_size, D(1)) if self.broker.whole else instrument.lot_size
        quantity = max(lot, abs(row.quantity) / 4 // lot * lot)
        order = VenueOrder(
            instrument_id=row.instrument_id,
            side=side,
            quantity=quantity,
            order_type=OrderType.LIMIT,
            product=Product.DELIVERY if row.product is Product.CASH else row.product,
            price=self._price(instrument, side, through=True),
        )
        try:
            self.venue.submit(self.account, order, self.runtime.clock.wall_ns())
        except VenueRejectError as error:
            if error.kind is ErrorKind.INSUFFICIENT_MARGIN:
                return  # the other terminal has no more money than we
            raise
        self.elsewhere += 1

    def _jump(self) -> None:
        """Move every price by up to a percent at once; some exits then meet a thin book."""
        for instrument, _ in self.choices:
            view, tick = self.venue.market(instrument.instrument_id), instrument.tick_size
            reference = self.venue.listing(instrument.instrument_id).reference
            moved = view.last_price * (1 + D(self.random.randint(-100, 100)) / 10_000)
            moved = min(max(moved, reference * D("0.95")), reference * D("1.05"))
            self.venue.set_price(instrument.instrument_id, max(tick, moved // tick * tick))

    def _break_something(self) -> None:
        """Fail as a margin day does, or on the way of orders and their streams."""
        if self.random.random() < 0.4:
            super()._break_something()
            return
        placing = self.broker.placing
        spec = self.random.choice(
            (
                f"drop_reply@{placing}*2",
                f"reset_request@{placing}*2",
                f"http:503@{placing}*2",
                f"late_http:502@{placing}*1",
                "reset_socket*2;refuse_upgrade:503*2",
                "drop_frames=0.2",
                "dup_frames=0.3",
            )
        )
        self.host.faults.clear()
        for fault in parse_faults(spec):
            self.host.faults.add(fault)
        self.faults += 1

    async def rest(self) -> None:
        """Disarm every rule, let what fired come to its end, cancel what works."""
        self.host.faults.clear()
        await self.runtime.sleep(60)
        for state in self.client.rules.list():
            await self._try(self.client.rules.cancel(state.rule_id))
        for _ in range(60):
            if not self.client.rules.exits.running():
                break
            await self.runtime.sleep(5)
        await super().rest()
        self.compared = await self.client.check_positions()

    # -- what came of it ---------------------------------------------------------------------------------------------

    def differences(self) -> list[str]:
        """Return everything in which the venue's ledger, as it counts itself, does not agree."""
        found = [*super().differences(), *self._money(), *self._exits(), *self._orders()]
        return found + [f"compared with the broker: {one}" for one in self.compared if "quantity" in one.field]

    def _money(self) -> list[str]:
        """Profit taken to the last digit, and the margin of every segment."""
        found = []
        for theirs in self.venue.positions(self.account):
            if self.venue.listing(theirs.instrument_id).settles_at_once:
                continue
            row = self.client.portfolio.live.row((theirs.instrument_id, theirs.product, "NET"))
            gained = row.realised_pnl if row is not None else D(0)
            if gained is None or abs(Fraction(gained) - Fraction(theirs.realised)) > Fraction(1, 10**7):
                found.append(f"{theirs.instrument_id}: {gained} realised here, {theirs.realised} there")
        now, funds = self.client.margin.now(), self.venue.funds(self.account)
        for segment, pools in self.broker.segments.items():
            there = sum(funds[one].net for one in pools if one in funds)
            if now[segment].stale or abs(now[segment].net - there) > D("0.01"):
                found.append(f"{segment}: {now[segment].net} usable here, {there} there, stale: {now[segment].stale}")
        return found

    def _exits(self) -> list[str]:
        """Walk through the venue's fills: an exit only ever takes what is there, and no more than its rule says."""
        store, emulator = self.client.orders_service.store, self.host.emulator
        ours = {order_id: order.client_order_id for order in store for order_id in order.order_ids}
        rules = {one.rule_id: one for one in self.client.rules.list(everything=True)}
        held: Counter[tuple[str, Product]] = Counter()
        taken: Counter[str] = Counter()
        found = []
        for fill in self.venue.fills(self.account):
            key = fill.instrument_id, fill.product
            name = ours.get(emulator.order_name(fill.order_id), "")
            before = D(held[key])
            in_kind = fill.fee_asset == self.venue.listing(fill.instrument_id).instrument.name
            held[key] += fill.quantity * fill.side.sign - (fill.fee if in_kind else 0)  # type: ignore[assignment]
            rule_id = name.partition(".")[0]
            if rule_id in rules and name != rule_id:
                taken[rule_id] += fill.quantity  # type: ignore[assignment]
                if before * fill.side.sign >= 0 or abs(before) < fill.quantity:
                    found.append(f"exit {name} {fill.side} {fill.quantity} of {key[0]}, which was {before}")
        for rule_id, state in rules.items():
            if state.exited != taken[rule_id]:
                found.append(f"rule {rule_id} says {state.exited} exited, the venue {taken[rule_id]}")
            if state.quantity is not None and state.rule.kind != "MarginFloor" and taken[rule_id] > state.quantity:
                found.append(f"rule {rule_id} exited {taken[rule_id]} of {state.quantity}")
            if state.rule.kind in ("StopLoss", "TakeProfit", "TrailingStop", "Oco") and state.firing > 1:
                found.append(f"rule {rule_id} fired {state.firing} times")
            if not state.status.terminal:
                found.append(f"rule {rule_id} is {state.status}: {state.reason}")
        return found

    def _orders(self) -> list[str]:
        """Every order, here and there."""
        store, emulator = self.client.orders_service.store, self.host.emulator
        ours = {order.order_id: order.filled_quantity for order in store if order.order_id}
        left = {name for order in store for name in order.order_ids if name != order.order_id}
        theirs = {emulator.order_name(one.order_id): one.filled_quantity for one in self.venue.orders(self.account)}
        theirs = {name: filled for name, filled in theirs.items() if name not in left or filled}
        found = [f"order {order.client_order_id} has no proven outcome" for order in store.unknown]
        return found + [
            f"order {name}: {ours.get(name)} filled here, {theirs.get(name)} there"
            for name in sorted(ours.keys() | theirs.keys())
            if ours.get(name) != theirs.get(name)
        ]


def main() -> int:
    parser = argparse.ArgumentParser(description="Live through days with rules armed, and count the money.")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--broker", choices=sorted(BROKERS), action="append")
    options = parser.parse_args()
    failed = 0
    for name in options.broker or sorted(BROKERS):
        for seed in range(options.first, options.first + options.seeds):
            began = time.monotonic()

            def look(day: Day) -> list[str]:
                assert isinstance(day, MoneyDay)
                fired = sum(day.fired.values())
                print(f"{day.placed} orders, {fired} firings, {day.faults} faults", end="")
                return day.differences()

            print(f"{name} {seed}: ", end="", flush=True)
            found = live_through(name, seed=seed, steps=options.steps, check=look, kind=MoneyDay)
            print(f", {time.monotonic() - began:.1f} s", *found, sep="\n  ")
            failed += bool(found)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
