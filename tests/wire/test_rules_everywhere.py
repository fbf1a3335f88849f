"""The same stop at every broker: watched here, and resting there in whatever form the broker has one."""

from __future__ import annotations

import asyncio

import pytest

from dragoman.model.rules import RuleStatus as S
from dragoman.rules import Level, Oco, StopLoss, TrailingStop
from dragoman.testing import emulated

STOCK, COIN, PERP = "NSE:INFY", "BINANCE:BTC/USDT", "BINANCE:BTC/USDT=PERP"
PLACES = [
    ("zerodha", STOCK),
    ("upstox", STOCK),
    ("fyers", STOCK),
    ("alpaca", "US:AAPL"),
    ("binance", COIN),
    ("binance", PERP),
]
WITHIN_S = 20.0


async def until(client, condition):
    changed = asyncio.Event()
    ends = [client.rules.on_rule(lambda _: changed.set()), client.on_order(lambda _: changed.set())]
    ends.append(client.portfolio.live.listen(lambda _: changed.set()))
    try:
        async with asyncio.timeout(WITHIN_S):
            while not condition():
                await changed.wait()
                changed.clear()
    finally:
        for end in ends:
            end()


def at(broker, name, scenario, tmp_path):
    async def run():
        async with emulated.connected(broker, None, state_dir=str(tmp_path)) as client:
            size = max(client.instrument(name).lot_size, 1)
            order = await client.wait_order(await client.place(name, "BUY", size))
            await until(client, lambda: client.portfolio.live.keys())
            row = client.portfolio.live.row(name)
            await scenario(client, {"instrument_id": name, "product": row.product}, order)

    asyncio.run(run())


@pytest.mark.parametrize(("broker", "name"), PLACES)
def test_a_stop_that_is_watched_here_sells_all_there_is(broker, name, tmp_path):
    async def scenario(client, about, order):
        tick = client.instrument(name).tick_size or 1
        beyond = order.average_price * 2 // tick * tick
        row = client.portfolio.live.row(name)
        assert row.quantity + row.fee_quantity == order.filled_quantity  # less a commission in the coin bought
        state = await client.rules.add(StopLoss(**about, price=beyond))
        await until(client, lambda: client.rules.get(state.rule_id).status.terminal)
        now = client.rules.get(state.rule_id)
        assert (now.status, now.exited) == (S.DONE, row.quantity), now.reason
        assert client.portfolio.live.keys() == []

    at(broker, name, scenario, tmp_path)


@pytest.mark.parametrize(
    ("broker", "name", "make", "words"),
    [
        ("zerodha", STOCK, lambda about: StopLoss(**about, percent=5), "a trigger"),
        ("upstox", STOCK, lambda about: StopLoss(**about, percent=5), "a trigger"),
        ("fyers", STOCK, lambda about: Oco(**about, stop=Level(percent=5), target=Level(percent=5)), "a trigger"),
        ("alpaca", "US:AAPL", lambda about: StopLoss(**about, percent=5), "a STOP_MARKET order"),
        ("alpaca", "US:AAPL", lambda about: TrailingStop(**about, percent=5), "a TRAILING_STOP_MARKET order"),
        ("binance", PERP, lambda about: StopLoss(**about, percent=5), "a STOP_MARKET order"),
    ],
)
def test_a_rule_rests_at_the_broker_and_is_taken_back(broker, name, make, words, tmp_path):
    async def scenario(client, about, order):
        state = await client.rules.add(make({**about, "where": "broker"}))
        assert words in state.statement
        assert state.broker_id
        ended = await client.rules.cancel(state.rule_id)
        assert ended.status is S.CANCELED
        await until(client, lambda: not client.orders_service.store.open)
        if client.session.adapter.capabilities.features["gtt"]:
            assert all(one.status != "ACTIVE" for one in await client.gtts())

    at(broker, name, scenario, tmp_path)


def test_a_stop_at_the_broker_takes_the_whole_lots_that_a_commission_has_left(tmp_path):
    async def run():
        async with emulated.connected("binance", None, state_dir=str(tmp_path)) as client:
            lot = client.instrument(COIN).lot_size
            await client.wait_order(await client.place(COIN, "BUY", lot * 1234))
            await until(client, lambda: client.portfolio.live.keys())
            row = client.portfolio.live.row(COIN)
            assert row.quantity % lot, "the commission leaves no whole lots"
            state = await client.rules.add(StopLoss(instrument_id=COIN, product=row.product, percent=5, where="broker"))
            order = client.order(state.broker_id.removeprefix("order "))
            assert order.quantity == row.quantity // lot * lot

    asyncio.run(run())
