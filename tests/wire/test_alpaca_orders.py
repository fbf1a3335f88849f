"""Whole trading sessions with Alpaca's adapter against its emulator: chains, money, legs, lost replies."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from dragoman.adapters.alpaca.adapter import AlpacaAdapter

from dragoman.connecting import connect
from dragoman.errors import Effect, ErrorKind, OutcomeUnknown, Rejected, UsageError
from dragoman.model import OrderStatus, Pending
from dragoman.orders.identity import read_wire_id
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.testing.emulated import emulated
from wire.alpaca_world import AAPL, BTC, play

S = OrderStatus


def test_an_order_changed_twice_and_filled_on_its_last_id_is_one_order():
    async def scenario(w):
        order = await w.rest(100)
        for percent in (-3, -4):
            before = order.order_id
            await w.client.modify(order, price=w.price(percent))
            order = await w.client.wait_order(
                order, lambda one, at=percent: one.price == w.price(at) and one.pending is Pending.NONE
            )
            assert order.order_id != before
        w.venue.set_price(AAPL, w.price(-5))
        order = await w.client.wait_order(order, timeout_s=10)
        await w.client.orders()
        assert (order.status, order.filled_quantity, order.average_price) == (S.FILLED, 100, w.price(-4))
        assert len(w.store) == 1
        assert len(order.order_ids) == 3
        assert len(w.venue.orders("emu_PA0001")) == 1
        assert all(w.client.order(one).client_order_id == order.client_order_id for one in order.order_ids)
        assert sum(fill.quantity for fill in w.store.fills.all()) == 100
        assert "CANCELED" not in {update.order.status for update in w.updates}
        assert (await w.client.check_positions()) == []

    play(scenario)


def test_a_change_after_a_part_was_filled_asks_for_the_rest_only():
    async def scenario(w):
        top = w.venue.market(AAPL).bids[0][0] + Decimal("0.01")
        order = await w.client.place(AAPL, "BUY", 100, order_type="LIMIT", price=top)
        order = await w.client.wait_order(order, lambda one: one.status is S.OPEN)
        await w.runtime.sleep(0.1)
        w.sell_into(top, 30)
        filled = await w.client.wait_order(order, lambda one: one.filled_quantity == 30)
        await w.client.modify(filled, price=w.price(-5))
        changed = await w.client.wait_order(
            filled, lambda one: one.price == w.price(-5) and one.pending is Pending.NONE
        )
        assert (changed.quantity, changed.filled_quantity, changed.status) == (100, 30, S.PARTIALLY_FILLED)
        chain = w.emulator.orders._chains[changed.order_id]
        assert w.emulator.orders.row(chain, chain.link)["qty"] == "70"
        again = await w.client.modify(changed, quantity=150)
        again = await w.client.wait_order(again, lambda one: one.quantity == 150 and one.pending is Pending.NONE)
        assert w.venue.orders("emu_PA0001")[0].order.quantity == 150
        await w.client.cancel(again)
        ended = await w.client.wait_order(again, timeout_s=10)
        assert (ended.status, ended.filled_quantity, len(w.store)) == (S.CANCELED, 30, 1)

    play(scenario)


def test_a_change_the_exchange_refuses_leaves_the_order_under_its_old_id():
    async def scenario(w):
        order = await w.rest(100)
        changing = asyncio.create_task(w.client.modify(order, price=w.price(-3)))
        await w.until(lambda: w.emulator.orders._chains[order.order_id].waiting)
        w.venue.halt(AAPL)
        with pytest.raises(Rejected) as caught:
            await changing
        assert (caught.value.kind, caught.value.effect) == (ErrorKind.EXCHANGE_REJECTED, Effect.NONE)
        found = await w.client.wait_order(order, lambda one: one.pending is Pending.NONE, timeout_s=30)
        assert (found.order_id, found.price, found.status) == (order.order_id, order.price, S.OPEN)
        w.venue.resume(AAPL)
        await w.client.cancel(found)
        assert (await w.client.wait_order(found, timeout_s=10)).status is S.CANCELED

    play(scenario)


def test_client_ids_carry_the_wire_id_and_are_never_used_twice():
    async def scenario(w):
        order = await w.rest(1, tag="alpha")
        name = w.venue.orders("emu_PA0001")[0].order.tag
        assert read_wire_id(name) == order.wire_id
        assert name.endswith("-alpha")
        assert len(name) <= 48
        await w.client.modify(order, price=w.price(-3))
        changed = await w.client.wait_order(order, lambda one: one.price == w.price(-3) and one.pending is Pending.NONE)
        assert changed.tag == "alpha"
        links = w.emulator.orders._chains[changed.order_id].links
        assert len({link.client_order_id for link in links}) == 2
        assert {read_wire_id(link.client_order_id) for link in links} == {order.wire_id}

    play(scenario)


def test_a_lost_reply_is_found_by_its_client_id():
    async def scenario(w):
        w.fault("delay_frames=3s;reset_reply@POST /v2/orders*1")
        with pytest.raises(OutcomeUnknown):
            await w.client.place(AAPL, "BUY", 1, order_type="LIMIT", price=w.price(-2))
        assert len(w.store.unknown) == 1
        await w.runtime.sleep(0.1)
        await w.client.orders()
        (order,) = w.store
        assert (order.status, order.origin, len(w.venue.orders("emu_PA0001"))) == (S.OPEN, "US", 1)

    play(scenario)


def test_an_amount_of_money_buys_a_fraction():
    async def scenario(w):
        order = await w.client.place(AAPL, "BUY", notional="1000")
        filled = await w.client.wait_order(order, timeout_s=10)
        assert filled.status is S.FILLED
        assert filled.quantity == filled.filled_quantity
        assert filled.quantity % 1 != 0
        assert abs(filled.quantity * filled.average_price - 1000) < 5
        assert (await w.client.check_positions()) == []

    play(scenario)


def test_a_bracket_is_a_parent_with_two_exits_of_which_one_ends_the_other():
    async def scenario(w):
        extras = {
            "alpaca": {
                "take_profit": {"limit_price": w.price(3)},
                "stop_loss": {"stop_price": w.price(-3)},
            }
        }
        order = await w.client.place(AAPL, "BUY", 5, variety="BRACKET", extras=extras)
        await w.client.wait_order(order, lambda one: one.status is S.FILLED)
        profit, loss = (w.client.order(name) for name in w.store.children(order.client_order_id))
        await w.until(lambda: w.client.order(profit.order_id).status is S.OPEN)
        profit, loss = w.client.order(profit.order_id), w.client.order(loss.order_id)
        assert [(one.side, one.quantity, one.status) for one in (profit, loss)] == [
            ("SELL", 5, S.OPEN),
            ("SELL", 5, S.TRIGGER_PENDING),
        ]
        w.venue.set_price(AAPL, w.price(4))
        await w.until(lambda: w.client.order(loss.order_id).status is S.CANCELED)
        assert w.client.order(profit.order_id).status is S.FILLED
        assert await w.client.positions() == []

    play(scenario)


def test_a_trailing_stop_follows_the_best_price():
    async def scenario(w):
        await w.client.wait_order(await w.client.place(AAPL, "BUY", 5), timeout_s=10)
        order = await w.client.place(
            AAPL, "SELL", 5, order_type="TRAILING_STOP_MARKET", trailing_offset=2, trailing_offset_type="PRICE"
        )
        waiting = await w.client.wait_order(order, lambda one: one.status is S.TRIGGER_PENDING)
        w.venue.set_price(AAPL, w.price(5))
        await w.runtime.sleep(1)
        w.venue.set_price(AAPL, w.price(5) - 3)
        filled = await w.client.wait_order(waiting, timeout_s=10)
        assert filled.status is S.FILLED
        assert filled.average_price > w.price(2)

    play(scenario)


def test_pairs_are_good_till_canceled_and_not_sold_short():
    async def scenario(w):
        bought = await w.client.wait_order(await w.client.place(BTC, "BUY", "0.01"), timeout_s=10)
        assert (bought.status, bought.time_in_force) == (S.FILLED, "GTC")
        with pytest.raises(Rejected) as caught:
            await w.client.place(BTC, "SELL", "1")
        assert caught.value.kind is ErrorKind.INSUFFICIENT_HOLDINGS
        (position,) = await w.client.positions()
        assert (position.instrument_id, position.quantity, position.currency) == (BTC, Decimal("0.01"), "USD")
        assert (await w.client.check_positions()) == []

    play(scenario)


def test_options_count_contracts_of_a_hundred_shares():
    async def scenario(w):
        contract = next(one for one in w.client.instruments if one.option_type)
        assert (contract.multiplier, contract.lot_size) == (100, 1)
        filled = await w.client.wait_order(await w.client.place(contract, "BUY", 2), timeout_s=10)
        (position,) = await w.client.positions()
        assert (position.quantity, position.multiplier) == (2, 100)
        assert position.day_buy_value == filled.average_price * 200

    play(scenario, settings={"option_underlyings": ["AAPL"]})


@pytest.mark.parametrize(
    ("name", "terms", "kind"),
    [
        (AAPL, {"quantity": "0.5", "time_in_force": "GTC"}, ErrorKind.BAD_REQUEST),
        (AAPL, {"quantity": 1, "extended_hours": True}, ErrorKind.BAD_REQUEST),
        (AAPL, {"quantity": 1, "order_type": "TRAILING_STOP_MARKET"}, ErrorKind.BAD_REQUEST),
        (AAPL, {"quantity": 1, "trailing_offset": 2, "trailing_offset_type": "PRICE"}, ErrorKind.BAD_REQUEST),
        (AAPL, {"quantity": 1, "variety": "BRACKET"}, ErrorKind.BAD_REQUEST),
        (AAPL, {"quantity": 1, "extras": {"alpaca": {"legs": 2}}}, ErrorKind.BAD_REQUEST),
        (AAPL, {"quantity": 1, "time_in_force": "GTD"}, ErrorKind.NOT_SUPPORTED),
        (BTC, {"quantity": 1, "time_in_force": "DAY"}, ErrorKind.NOT_SUPPORTED),
        (BTC, {"quantity": 1, "order_type": "STOP_MARKET", "trigger_price": 100000}, ErrorKind.NOT_SUPPORTED),
    ],
)
def test_what_the_broker_refuses_is_refused_with_no_byte_sent(name, terms, kind):
    async def scenario(w):
        before = w.host.counters.requests
        with pytest.raises(UsageError) as caught:
            await w.client.place(name, "BUY", **terms)
        assert caught.value.kind is kind
        assert w.host.counters.requests == before

    play(scenario)


def test_extended_hours_reach_the_broker():
    async def scenario(w):
        order = await w.rest(1, extended_hours=True)
        chain = w.emulator.orders._chains[order.order_id]
        assert w.emulator.orders.row(chain, chain.link)["extended_hours"] is True

    play(scenario)


def test_a_session_of_an_oauth_token_trades():
    async def run(runtime):
        async with emulated(runtime, AlpacaAdapter()) as (host, overrides):
            token = host.emulator.credentials["oauth_token"]
            connecting = connect(
                AlpacaAdapter(),
                "test",
                environment="emulator",
                overrides={"hosts": overrides["hosts"]},
                state_dir="/state",
                access_token=token,
                runtime=runtime,
            )
            async with connecting as client:
                client.subscribe(AAPL)
                order = await client.place(AAPL, "BUY", 1)
                return (await client.wait_order(order, timeout_s=10)).status

    with VirtualRuntime(seed=7) as runtime:
        assert runtime.run(run(runtime)) is S.FILLED
