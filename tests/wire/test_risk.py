"""Limits in front of a real account: what is refused costs nothing, and what the checks compare with is kept up."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from dragoman import RiskLimits
from dragoman.errors import ErrorKind, OutcomeUnknown, Rejected, UsageError
from dragoman.model import GttLeg, GttRequest, OrderRequest, OrderStatus, Position, Product, Segment, Side
from wire.trading import INFY, SBIN, USER_ID, play

D = Decimal


def limited(scenario, *, streamed=True, **limits):
    async def with_prices(world):
        if streamed:
            world.client.subscribe([INFY, SBIN])
            price = world.client._guard.price
            await world.until(lambda: price(world.client.instrument(INFY)) is not None, 10)
        await world.until(lambda: world.client.portfolio.live.seeded, 10)
        await scenario(world)

    play(with_prices, risk=RiskLimits(**limits))


async def buy(world, quantity=10, **more):
    """Place a limit order that rests in the book."""
    terms = {"order_type": "LIMIT", "price": world.price(), "product": "INTRADAY"} | more
    return await world.client.place(INFY, "BUY", quantity, **terms)


async def refused(world, code, **more):
    """Place an order that a check refuses: nothing is sent, entered or written."""
    requests, entered = world.requests, len(world.store)
    with pytest.raises(Rejected) as found:
        await buy(world, **more)
    assert found.value.code == code, str(found.value)
    assert (world.requests, len(world.store)) == (requests, entered)
    return found.value


async def sell(world):
    """Sell what `hold` bought."""
    price = world.price(-10)
    order = await world.client.place(INFY, "SELL", 10, product="INTRADAY", order_type="LIMIT", price=price)
    world.venue.place_external(INFY, Side.BUY, D(30_000), price)
    return await world.client.wait_order(order)


async def hold(world):
    """Buy at the market's price and wait until the position knows."""
    order = await world.rest()
    world.sell_into(order.price, 30_000)
    await world.client.wait_order(order)
    await world.until(lambda: world.client.portfolio.live.row(INFY), 5)


def test_without_limits_the_order_path_asks_nobody():
    async def scenario(world):
        service = world.client.orders_service
        assert (world.client.risk, service.admit, service.amender.admit) == (None, None, None)

    play(scenario)
    play(scenario, risk=RiskLimits())


def test_an_order_beyond_a_limit_costs_nothing_and_one_within_passes():
    async def scenario(world):
        error = await refused(world, "max_order_value", price=world.price(-20))
        assert error.broker == "zerodha"
        assert "nothing was sent" in str(error)
        order = await world.client.place(SBIN, "BUY", 1, product="INTRADAY", market_protection=5)
        assert order.order_id

    limited(scenario, max_order_value=5000)


def test_a_price_far_from_the_stream_s_last_is_refused_and_without_a_stream_any_is():
    async def scenario(world):
        error = await refused(world, "price_band_percent", price=world.price(-4000))
        assert error.kind is ErrorKind.PRICE_OUT_OF_BAND
        await world.rest()

    async def blind(world):
        error = await refused(world, "price_band_percent")
        assert "the last price of NSE:INFY is not known" in str(error)

    limited(scenario, price_band_percent=3)
    limited(blind, streamed=False, price_band_percent=3)


def test_positions_and_working_orders_are_followed_and_what_reduces_passes():
    async def scenario(world):
        await hold(world)
        await refused(world, "max_position")
        resting = await world.client.place(
            INFY, "BUY", 5, product="INTRADAY", order_type="LIMIT", price=world.price(-20)
        )
        with pytest.raises(Rejected, match="could come to 16"):
            await world.client.place(INFY, "BUY", 1, product="INTRADAY", order_type="LIMIT", price=world.price(-20))
        await world.client.cancel(resting)
        await world.client.wait_order(resting)
        await world.client.place(INFY, "BUY", 1, product="INTRADAY", order_type="LIMIT", price=world.price(-20))
        assert (await sell(world)).status is OrderStatus.FILLED

    limited(scenario, max_position=15)


def test_a_change_beyond_a_limit_is_refused_and_one_that_lowers_risk_is_not():
    async def scenario(world):
        order = await world.rest()
        await world.client.wait_order(order, lambda one: one.status is OrderStatus.OPEN)
        requests = world.requests
        for more in ({"quantity": 11}, {"quantity": 11, "price": world.price(-19)}):
            with pytest.raises(Rejected, match="max_order_quantity"):
                await world.client.modify(order, **more)
        assert world.requests == requests
        await world.client.modify(order, quantity=9, price=world.price(-21))

    limited(scenario, max_order_quantity=10)


def test_orders_that_wait_for_a_fresh_view_are_checked_when_it_is_there():
    async def scenario(world):
        await world.cut()
        waiting = [asyncio.ensure_future(world.rest()) for _ in range(4)]
        await world.runtime.sleep(0.1)
        world.heal()
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert [getattr(one, "code", "") for one in ended].count("max_open_orders") == 2
        assert len(world.live) == 2

    limited(scenario, streamed=False, max_open_orders=2)


def test_orders_of_unknown_outcome_count_as_working():
    async def scenario(world):
        world.fault("drop_frames;http:503@GET /orders;drop_reply@POST /orders*1")
        with pytest.raises(OutcomeUnknown):
            await world.rest(timeout_s=1.0)
        await refused(world, "max_open_orders", allow_unknown=True, allow_stale=True)
        world.heal()

    limited(scenario, streamed=False, max_open_orders=1)


def test_the_day_s_loss_stops_what_opens_and_lets_out():
    async def scenario(world):
        await hold(world)
        live = world.client.portfolio.live
        for side in (Side.SELL, Side.BUY):  # somebody trades lower: 10 units lose 2 each
            world.venue.place_external(INFY, side, D(30_000), world.price(-60))
        await world.until(lambda: live.totals()["INR"].unrealised <= -20, 10)
        await world.runtime.sleep(1)
        await refused(world, "max_daily_loss")
        assert (await sell(world)).filled_quantity == 10

    limited(scenario, max_daily_loss=20)


@pytest.mark.parametrize("after_charges", [True, False])
def test_the_day_s_loss_counts_charges_unless_told_otherwise(after_charges):
    async def scenario(world):
        await hold(world)
        live = world.client.portfolio.live
        for side in (Side.SELL, Side.BUY):
            world.venue.place_external(INFY, side, D(30_000), world.price(-60))
        await world.until(lambda: live.totals()["INR"].unrealised <= -20, 10)
        lost, charged = -live.day_made()["INR"].profit, live.day_charges()["INR"]
        assert charged > 1
        world.client.set_risk(RiskLimits(max_daily_loss=lost + charged / 2, loss_after_charges=after_charges))
        if after_charges:
            await refused(world, "max_daily_loss")
        else:
            await world.rest()

    limited(scenario)


def carry(world, *, cost, close):
    """Have the day begin with 10 units that cost `cost` ticks off the reference and closed at `close` of them."""
    position = Position(
        instrument_id=INFY,
        product=Product.DELIVERY,
        quantity=D(10),
        overnight_quantity=D(10),
        average_price=world.price(cost),
        close_price=None if close is None else world.price(close),
    )
    world.client.portfolio.live.seed([position], [], world.runtime.clock.wall_ns())


def test_the_day_s_loss_of_what_was_carried_over_is_counted_from_the_previous_close():
    async def scenario(world):
        world.venue.set_price(INFY, world.price(0))
        await world.runtime.sleep(1)
        carry(world, cost=0, close=None)
        await world.runtime.sleep(1)
        error = await refused(world, "max_daily_loss")
        assert "the previous close of NSE:INFY" in str(error)
        assert "roll" in error.remedy
        live = world.client.portfolio.live
        live.roll(live.day, {INFY: world.price(0)})
        await world.runtime.sleep(1)
        await world.rest()
        carry(world, cost=400, close=-40)  # 400 lost since it was bought, and 40 gained today
        await world.rest()
        carry(world, cost=-400, close=60)  # 400 gained since it was bought, and 60 lost today
        await world.runtime.sleep(1)
        error = await refused(world, "max_daily_loss")
        assert "the day's loss is 60" in str(error)

    limited(scenario, max_daily_loss=20)


def test_exposure_counts_what_rests_and_what_is_held_in_instruments_that_nobody_streams():
    async def scenario(world):
        await hold(world)
        for name, resting in ((SBIN, 1), (INFY, 2)):
            tick = world.venue.listing(name).instrument.tick_size
            price = world.venue.listing(name).reference // tick * tick - 20 * tick
            await world.client.place(name, "BUY", 1, product="INTRADAY", order_type="LIMIT", price=price)
            assert world.client._guard.checks.exposure.orders == resting
        total = world.client._guard.checks.exposure.total
        assert total > 11 * world.price(-20)
        left = 30_000 - total
        await refused(world, "max_exposure", quantity=int(left / world.price(-20)) + 1)
        await buy(world, quantity=int(left / world.price(-20)) - 1)

    limited(scenario, streamed=False, max_exposure=30_000)


def test_an_order_that_the_broker_slices_counts_once():
    async def scenario(world):
        freeze = int(world.venue.listing(INFY).instrument.freeze_quantity)
        world.venue.pay_in(USER_ID, Segment.EQUITY, D(10) ** 10)
        terms = {"price": world.price(-300), "extras": {"zerodha": {"autoslice": True}}}
        await buy(world, quantity=3 * freeze, **terms)
        await world.until(lambda: len(world.store) == 4)
        await world.runtime.sleep(1)
        world.client.set_risk(RiskLimits(max_position=4 * freeze))  # what it finds when it begins counts alike
        await refused(world, "max_position", quantity=freeze + 1, **terms)
        await buy(world, quantity=freeze, **terms)

    limited(scenario, streamed=False, max_position=4 * 10**6)


def test_a_basket_that_was_refused_can_be_asked_for_again_at_once():
    async def scenario(world):
        def legs(many):
            price = world.price(-20)
            terms = {"product": "INTRADAY", "order_type": "LIMIT", "price": price, "side": Side.BUY}
            return [OrderRequest(instrument_id=INFY, quantity=D(one), **terms) for one in (1, many)]

        with pytest.raises(Rejected, match="max_order_quantity"):
            await world.client.place_many(legs(11))
        orders = await world.client.place_many(legs(10))
        assert [order.quantity for order in orders] == [1, 10]
        with pytest.raises(Rejected, match="orders_per_minute"):
            await buy(world, quantity=3)

    limited(scenario, streamed=False, max_order_quantity=10, duplicate_window_ms=60_000, orders_per_minute=2)


def test_margin_that_is_not_there_is_refused_before_the_broker_does():
    async def scenario(world):
        await world.client.margin.ready()
        await world.rest()
        there = next(iter(world.client.margin.now().values())).net
        many = int(there / world.price()) * 10
        with pytest.raises(Rejected, match="needs a margin of") as found:
            await world.client.place(INFY, "BUY", many, product="DELIVERY", order_type="LIMIT", price=world.price(-20))
        assert found.value.kind is ErrorKind.INSUFFICIENT_MARGIN

    limited(scenario, check_margin=True)


def test_limits_come_from_the_profile_too_and_the_argument_wins():
    async def scenario(world):
        assert world.client.risk == RiskLimits(max_open_orders=1)

    play(scenario, risk=RiskLimits(max_open_orders=1))

    async def of_profile(world):
        from dragoman.connecting import connect

        session = world.client.session
        overrides = {
            "hosts": dict(session.profile.hosts),
            "credentials": {name: world.emulator.credentials[name] for name in ("api_key", "api_secret")},
            "redirect_port": session.profile.redirect_port,
            "risk": {"max_order_value": 5, "restricted": ["MCX:"]},
        }
        options = {
            "environment": "emulator",
            "overrides": overrides,
            "state_dir": "/state",
            "may_log_in": False,
            "runtime": world.runtime,
        }
        await world.runtime.sleep(2)
        async with connect(type(session.adapter)(), "test", **options) as client:
            assert client.risk == RiskLimits(max_order_value=5, restricted=["MCX:"])
        await world.runtime.sleep(2)
        async with connect(type(session.adapter)(), "test", risk=RiskLimits(max_open_orders=3), **options) as client:
            assert client.risk == RiskLimits(max_open_orders=3)
        overrides["risk"] = {"max_order_valu": 5}
        with pytest.raises(UsageError, match="unknown limits max_order_valu"):
            await connect(type(session.adapter)(), "test", **options)

    play(of_profile)


def test_other_limits_hold_from_the_next_order_on_and_know_what_works():
    async def scenario(world):
        await world.rest()
        world.client.set_risk(RiskLimits(max_open_orders=1))
        await refused(world, "max_open_orders")
        world.client.set_risk(None)
        await world.rest()
        with pytest.raises(UsageError, match="expected RiskLimits"):
            world.client.set_risk({"max_open_orders": 1})

    play(scenario)


def test_triggers_are_checked_leg_by_leg():
    async def scenario(world):
        price = world.price(-200)
        leg = GttLeg(trigger_price=price, side=Side.BUY, quantity=D(11), price=price)
        request = GttRequest(instrument_id=INFY, legs=(leg,), last_price=world.price(0))
        requests = world.requests
        with pytest.raises(Rejected, match="max_order_quantity"):
            await world.client.place_gtt(request)
        assert world.requests == requests

    limited(scenario, streamed=False, max_order_quantity=10)


def test_a_burst_is_held_to_its_rate():
    async def scenario(world):
        ended = await asyncio.gather(*(world.rest() for _ in range(8)), return_exceptions=True)
        assert sum(getattr(one, "code", "") == "orders_per_second" for one in ended) == 5
        await world.runtime.sleep(1)
        await world.rest()

    limited(scenario, streamed=False, orders_per_second=3)
