"""Exits under attack: refused halfway, left behind by the market, in each other's way."""

from __future__ import annotations

import asyncio
from decimal import Decimal as D

import pytest

from dragoman.emulator.venue.types import VenueRejectError
from dragoman.errors import ErrorKind
from dragoman.model import Adjustment, AdjustmentKind, Fill, OrderUpdate, Product, Side
from dragoman.model.rules import RuleStatus as S
from dragoman.rules import Bracket, DailyLoss, Level, Rung, ScaleOut, Send, StopLoss
from dragoman.rules.tracked import Tracked
from wire.ruled import LONG, exits_at_venue, held, hold, move, venue_held
from wire.test_order_restart import again
from wire.trading import INFY, SBIN, play

pytestmark = [pytest.mark.logs]


def drop(world, ticks: int = -40) -> None:
    """Let the market stand elsewhere with nobody there, and fire what the first rule watches."""
    world.venue.set_price(INFY, world.price(ticks))
    rule = next(iter(world.client.rules.engine.working))
    world.client.rules.engine.fire_leg(rule, rule.waiting[0])


def refuse_sells(world, kind: ErrorKind, after: int = 0, instrument: str = INFY) -> list[D]:
    """Let the venue refuse orders to sell, all but the first so many; return what was asked of it."""
    submit, asked = world.venue.submit, []

    def refuse(account, order, now):
        if order.side is Side.SELL and order.instrument_id == instrument:
            asked.append(order.quantity)
            if len(asked) > after:
                raise VenueRejectError(kind, "no")
        return submit(account, order, now)

    world.venue.submit = refuse
    return asked


def freeze(world, monkeypatch, quantity: int) -> None:
    found = world.client.instrument(INFY)
    object.__setattr__(found, "freeze_quantity", D(quantity))
    monkeypatch.setattr(world.client.instruments, "resolve", lambda name: found)
    monkeypatch.setattr(world.client.instruments, "resolve_all", lambda name: [found])


@pytest.mark.parametrize("kind", [ErrorKind.PERMISSION_DENIED, ErrorKind.INSUFFICIENT_HOLDINGS])
def test_refused_for_good_while_a_slice_works_is_not_sent_again(kind, monkeypatch):
    async def scenario(world):
        rules, price = world.client.rules, await hold(world, 100)
        freeze(world, monkeypatch, 50)
        await rules.add(
            StopLoss(**LONG, rule_id="s", price=price - 1, send=Send(order_type="LIMIT", reprice_s=20, tries=3))
        )
        asked = refuse_sells(world, kind, after=1)
        drop(world)
        await world.runtime.sleep(10)
        assert (len(asked), rules.get("s").status) == (2, S.EXITING)  # the slice that rests may still fill
        await world.runtime.sleep(20)
        assert len(asked) == 2
        assert rules.get("s").status is S.FAILED
        assert kind in rules.get("s").reason
        assert [order.status for order in exits_at_venue(world)][:1] == ["CANCELED"]
        return held(world)

    assert play(scenario) == 100


LIMIT = Send(order_type="LIMIT", reprice_s=5)


def test_limit_exit_is_repriced_although_its_first_cancels_fail():
    async def scenario(world):
        price = await hold(world, 100)
        await world.client.rules.add(StopLoss(**LONG, price=price - 1, send=LIMIT))
        world.fault("http:503@DELETE /orders*2")
        drop(world)
        await world.runtime.sleep(2)
        await move(world, -300)
        await world.runtime.sleep(40)
        return held(world), len(exits_at_venue(world))

    assert play(scenario) == (0, 2)


def test_limit_exit_of_an_earlier_run_is_repriced():
    async def scenario(world):
        price = await hold(world, 100)
        await world.client.rules.add(StopLoss(**LONG, rule_id="s", price=price - 1, send=LIMIT))
        drop(world)
        await world.runtime.sleep(2)
        await world.client.close()
        await move(world, -300)
        async with again(world) as client:
            await world.until(lambda: client.rules.get("s").status is S.DONE)
        return venue_held(world), len(exits_at_venue(world))

    assert play(scenario) == (0, 2)


def test_kill_takes_over_from_a_rules_exit_that_rests():
    async def scenario(world):
        rules, price = world.client.rules, await hold(world, 100)
        await rules.add(StopLoss(**LONG, rule_id="s", price=price - 1, send=Send(order_type="LIMIT", reprice_s=86400)))
        drop(world)
        await world.runtime.sleep(1)
        await move(world, -300)
        await world.client.kill("now", flatten=True)
        await world.until(lambda: held(world) == 0)
        await world.runtime.sleep(1)
        assert rules.get("s").status is S.DONE
        assert "took over" in rules.get("s").reason
        return venue_held(world), [order.status for order in exits_at_venue(world)]

    assert play(scenario) == (0, ["CANCELED", "FILLED"])


async def hold_two(world):
    """Hold 100 of one instrument and 10 of another; return the price of the other."""
    await hold(world, 100)
    price = world.venue.listing(SBIN).reference
    world.venue.set_price(SBIN, price)
    world.venue.place_external(SBIN, Side.SELL, D(10), price)
    terms = {"order_type": "LIMIT", "price": price, "product": "INTRADAY"}
    await world.client.wait_order(await world.client.place(SBIN, "BUY", 10, **terms))
    world.client.subscribe([INFY, SBIN])
    return price


async def lose(world, rule_id: str) -> None:
    """Let the market fall until a rule has fired."""
    rules = world.client.rules
    for _ in range(40):
        await move(world, -60)
        if rules.get(rule_id).firing:
            return
        await world.runtime.sleep(0.5)
    raise AssertionError(rules.get(rule_id))


def test_exit_that_fails_leaves_the_others_of_its_rule_alone():
    async def scenario(world):
        rules, price = world.client.rules, await hold_two(world)
        await rules.add(DailyLoss(rule_id="dl", limit=D(100), act="flatten"))
        submit, asked = world.venue.submit, refuse_sells(world, ErrorKind.PERMISSION_DENIED)
        await lose(world, "dl")
        await world.runtime.sleep(3)
        state = rules.get("dl")
        assert state.status in (S.EXITING, S.ARMED), state
        assert "PERMISSION_DENIED" in state.reason
        assert len(asked) == 1
        world.venue.place_external(SBIN, Side.BUY, D(100), price)
        await world.runtime.sleep(1)
        assert SBIN not in {row.instrument_id for row in world.client.portfolio.live.rows() if row.quantity}
        world.venue.submit = submit
        for _ in range(60):  # it tries again what has failed
            await move(world, -60)
            await world.runtime.sleep(0.5)
        return held(world), rules.get("dl").status

    assert play(scenario) == (0, S.ARMED)


def test_failed_exit_of_several_is_remembered_by_the_next_run():
    rule = Tracked("r", StopLoss(instrument_id=INFY, product=Product.INTRADAY, price=D(1)))
    rule.problems.append("SBIN: no permission")
    assert Tracked.of(rule.record("exiting", terms=True)).problems == ["SBIN: no permission"]


def test_last_rung_of_a_ladder_takes_what_one_that_failed_has_left():
    async def scenario(world):
        rules = world.client.rules
        await hold(world, 100)
        rungs = (Rung(level=Level(ticks=20), quantity=D(50)), Rung(level=Level(ticks=60), quantity=D(50)))
        await rules.add(ScaleOut(**LONG, rule_id="l", rungs=rungs))
        submit, _ = world.venue.submit, refuse_sells(world, ErrorKind.PERMISSION_DENIED)
        drop(world, 20)
        await world.runtime.sleep(3)
        assert rules.get("l").status is S.ARMED
        assert "PERMISSION_DENIED" in rules.get("l").reason
        world.venue.submit = submit
        await move(world, 60)
        await world.runtime.sleep(3)
        return held(world), rules.get("l").status, rules.get("l").exited

    assert play(scenario) == (0, S.DONE, 100)


def test_a_rule_whose_exit_goes_wrong_stops_none_that_fired_with_it(monkeypatch):
    async def scenario(world):
        rules, price = world.client.rules, await hold(world, 100)
        for name in ("a", "b"):
            await rules.add(StopLoss(**LONG, rule_id=name, price=price - 1, quantity=50))
        reduce = rules.exits.reduce

        def broken(key, quantity, why, *, name, **more):
            if name.startswith("a."):
                raise RuntimeError("a defect")
            return reduce(key, quantity, why, name=name, **more)

        monkeypatch.setattr(rules.exits, "reduce", broken)
        await move(world, -40)
        await world.until(lambda: rules.get("b").status.terminal)
        assert "a defect" in rules.get("a").reason
        return rules.get("a").status, rules.get("b").status, held(world)

    assert play(scenario) == (S.FAILED, S.DONE, 50)


def test_order_that_is_being_made_larger_counts_as_large():
    async def scenario(world):
        price = await hold(world, 100)
        far = {"order_type": "LIMIT", "price": world.price(300), "product": "INTRADAY"}
        await world.client.place(INFY, "SELL", 10, **far, client_order_id="target")
        await world.runtime.sleep(1)
        await world.client.rules.add(StopLoss(**LONG, price=price - 1, send=Send(clears="none")))
        world.fault("hold=3s@PUT /orders*1")
        changing = asyncio.ensure_future(world.client.modify("target", quantity=100))
        await world.runtime.sleep(0.5)
        await move(world, -40)
        await world.runtime.sleep(10)
        await asyncio.gather(changing, return_exceptions=True)  # nobody tells in time what came of it
        return held(world), len(exits_at_venue(world))

    assert play(scenario) == (100, 1)


def test_kill_does_not_buy_back_what_was_sold_out_of_holdings():
    async def scenario(world):
        await hold(world, 100)
        now, order = world.runtime.clock.wall_ns(), next(iter(world.store))
        terms = {"instrument_id": INFY, "product": Product.DELIVERY, "exchange": "NSE", "ts_event": now}
        sold = Fill(side=Side.SELL, quantity=D(10), price=D(1500), trade_id="x1", order_id="o1", **terms)
        world.client.portfolio.live.on_update(OrderUpdate(order, (sold,), ()))
        await move(world, 0)
        await world.client.kill("now", flatten=True)
        await world.until(lambda: "FLATTENED" in [getattr(one, "code", "") for one in world.events])
        return [(one.order.side, one.order.product, one.order.quantity) for one in exits_at_venue(world)]

    assert play(scenario) == [("SELL", "INTRADAY", 100)]


@pytest.mark.parametrize("refusals", [0, 2])
def test_bracket_that_fires_ends_its_entry_and_exits_what_that_fills_meanwhile(refusals):
    async def scenario(world):
        rules, price = world.client.rules, world.price(0)
        world.venue.set_price(INFY, price)
        world.venue.place_external(INFY, Side.SELL, D(40), price)
        terms = {"order_type": "LIMIT", "price": price, "product": "INTRADAY", "client_order_id": "entry"}
        await world.client.place(INFY, "BUY", 100, **terms)
        await world.until(lambda: held(world) == 40)
        await rules.add(Bracket(**LONG, rule_id="b", entry="entry", stop=Level(ticks=20), target=Level(ticks=500)))
        await world.until(lambda: rules.get("b").levels)
        if refusals:
            world.fault(f"http:503@DELETE /orders*{refusals}")
        drop(world, -30)
        await move(world, -30)
        await world.until(lambda: rules.get("b").status is S.DONE)
        filled = world.client.order("entry").filled_quantity
        assert world.client.order("entry").status in ("CANCELED", "FILLED")
        return held(world), venue_held(world), rules.get("b").exited == filled

    assert play(scenario) == (0, 0, True)


def miscount(world, quantity: int) -> None:
    """Let a position be counted larger than the broker has it."""
    world.client.portfolio.live.adjust(
        Adjustment(
            adjustment_id="x",
            kind=AdjustmentKind.EXTERNAL,
            instrument_id=INFY,
            product=Product.INTRADAY,
            quantity=D(quantity),
            price=D(1500),
            ts_event=world.runtime.clock.wall_ns(),
            source="t",
        )
    )


def test_exit_takes_no_more_than_the_broker_has_while_counts_differ():
    async def scenario(world):
        rules, price = world.client.rules, await hold(world, 100)
        miscount(world, 50)
        await rules.add(StopLoss(**LONG, rule_id="s", price=price - 1, send=Send(tries=2)))
        assert await world.client.check_positions()
        await move(world, -40)
        await world.until(lambda: rules.get("s").status.terminal)
        assert rules.get("s").status is S.FAILED
        assert "the broker has said otherwise" in rules.get("s").reason
        return venue_held(world), [one.order.quantity for one in exits_at_venue(world)]

    assert play(scenario) == (0, [100])


def test_exit_takes_all_once_a_difference_has_gone():
    async def scenario(world):
        rules, price = world.client.rules, await hold(world, 100)
        await rules.add(StopLoss(**LONG, rule_id="s", price=price - 1))
        rows = await world.client.positions()
        world.client.portfolio.live.compare([row for row in rows if row.instrument_id != INFY])  # it lagged
        await move(world, -40)
        await world.until(lambda: rules.get("s").status.terminal)
        return rules.get("s").status, venue_held(world), len(exits_at_venue(world))

    assert play(scenario) == (S.DONE, 0, 1)


@pytest.mark.parametrize("kind", [ErrorKind.EXCHANGE_REJECTED, ErrorKind.PRICE_OUT_OF_BAND])
def test_slices_that_are_refused_at_once_are_one_try(kind, monkeypatch):
    async def scenario(world):
        rules, price = world.client.rules, await hold(world, 100)
        freeze(world, monkeypatch, 10)
        await rules.add(StopLoss(**LONG, rule_id="s", price=price - 1, send=Send(tries=2)))
        submit, asked = world.venue.submit, refuse_sells(world, kind)
        await move(world, -40)
        await world.until(lambda: len(asked) == 10)
        assert rules.get("s").status is S.EXITING
        world.venue.submit = submit
        await move(world, -40)
        await world.until(lambda: rules.get("s").status.terminal)
        return rules.get("s").status, held(world), len(asked)

    assert play(scenario) == (S.DONE, 0, 10)


def test_each_time_that_slices_are_refused_is_one_more_try(monkeypatch):
    async def scenario(world):
        rules, price = world.client.rules, await hold(world, 50)
        freeze(world, monkeypatch, 10)
        await rules.add(StopLoss(**LONG, rule_id="s", price=price - 1, send=Send(tries=3)))
        asked = refuse_sells(world, ErrorKind.EXCHANGE_REJECTED)
        await move(world, -40)
        await world.until(lambda: rules.get("s").status.terminal)
        assert "refused 3 times" in rules.get("s").reason
        return rules.get("s").status, len(asked)

    assert play(scenario) == (S.FAILED, 15)


def test_a_remainder_of_one_lot_that_is_refused_with_larger_slices_ends_nothing(monkeypatch):
    async def scenario(world):
        rules, price = world.client.rules, await hold(world, 21)
        freeze(world, monkeypatch, 10)
        await rules.add(StopLoss(**LONG, rule_id="s", price=price - 1))
        submit, asked = world.venue.submit, refuse_sells(world, ErrorKind.INSUFFICIENT_MARGIN)
        await move(world, -40)
        await world.until(lambda: len(asked) == 3)
        world.venue.submit = submit
        await move(world, -40)
        await world.until(lambda: rules.get("s").status.terminal)
        quantities = [one.order.quantity for one in exits_at_venue(world)]
        return rules.get("s").status, held(world), asked, quantities

    assert play(scenario) == (S.DONE, 0, [10, 10, 1], [5, 5, 5, 5, 1])
