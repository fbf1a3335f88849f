"""At every broker with an emulator: a day of trading by one client, and its live positions equal the venue's ledger."""

from __future__ import annotations

import asyncio
import random
from decimal import Decimal

import pytest

from dragoman.connecting import connect
from dragoman.emulator.fault_spec import parse_faults
from dragoman.model import InstrumentType, OrderType, Product, Side
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.testing.emulated import browser, emulated

D = Decimal
BROKERS = ("alpaca", "binance", "fyers", "upstox", "zerodha")
KINDS = (InstrumentType.PERP, InstrumentType.SPOT)


def candidates(client, venue):
    """Instruments that are positions, and no balances of a wallet, with the product they are traded in."""
    for kind in KINDS:
        for listing in venue.listings():
            found = client.instruments.get(listing.instrument.instrument_id)
            if listing.instrument.instrument_type is not kind or found is None or not found.tradable:
                continue
            adapter = client.session.adapter
            plain = Product.INTRADAY if Product.INTRADAY in adapter.capabilities.products else Product.DELIVERY
            product = adapter.order_defaults(found).get("product", plain)
            if product is not Product.CASH and not found.instrument_id.endswith("=INDEX"):
                yield listing, found, Product(product)


def whole(listing) -> Decimal:
    """A size that is worth enough for every broker's smallest order."""
    lot = listing.instrument.lot_size or D(1)
    return max(lot, D(200) / listing.reference // lot * lot + lot)


def ledger(venue, account):
    return {
        (one.instrument_id, one.product): (
            one.overnight_quantity + one.day_buy_quantity - one.day_sell_quantity,
            one.day_buy_quantity,
            one.day_sell_quantity,
            round(one.average_price, 8),
            round(one.realised, 8),
        )
        for one in venue.positions(account)
        if one.day_buy_quantity or one.day_sell_quantity
    }


def live(client):
    return {
        (one.instrument_id, one.product): (
            one.quantity,
            one.day_buy_quantity,
            one.day_sell_quantity,
            D(0) if one.average_price is None else round(one.average_price, 8),
            one.realised_pnl,
        )
        for one in client.portfolio.live.rows()
    }


async def day(runtime, broker: str, seed: int):
    dice = random.Random(seed)
    async with emulated(runtime, broker, seed=seed) as (host, overrides):
        venue = host.emulator.venue
        venue.calm()
        account = host.emulator.account
        async with connect(
            broker,
            "test",
            environment="emulator",
            overrides=overrides,
            state_dir="/state",
            open_url=browser(runtime),
            runtime=runtime,
        ) as client:
            await client.portfolio.begin()
            traded = [one for _, one in zip(range(2), candidates(client, venue), strict=False)]
            for number in range(14):
                listing, instrument, product = dice.choice(traded)
                units = whole(listing) * dice.choice((1, 2, 3))
                held = client.portfolio.live.row(instrument, product)
                closing = held is not None and held.quantity > 0 and dice.random() < 0.5
                side = Side.SELL if closing else Side.BUY
                units = min(units, held.quantity) if closing else units
                tick = instrument.tick_size or D("0.01")
                # Better than any other: what is offered fills it first, whoever comes next the rest.
                last = venue.market(instrument.instrument_id).last_price
                price = (last // tick + side.sign * dice.randint(40, 60)) * tick
                order = await client.place(
                    instrument, side, units, order_type=OrderType.LIMIT, price=price, product=product, allow_stale=True
                )
                if number in (4, 9):
                    for fault in parse_faults("reset_socket*1"):
                        host.faults.add(fault)
                for size in (1, 4, 40, 400, 4000):  # whoever offers more is served first
                    if all(state.status.terminal for state in venue.orders(account)):
                        break
                    venue.place_external(instrument.instrument_id, side.opposite, units * size, price)
                    await runtime.sleep(1)
                await client.wait_order(order.client_order_id, timeout_s=300)
                host.faults.clear()
                await runtime.sleep(3)
            async with asyncio.timeout(120):
                while live(client) != ledger(venue, account):
                    await runtime.sleep(1)
            await runtime.sleep(10)
            assert await client.check_positions() == []
            return live(client)


@pytest.mark.parametrize("broker", BROKERS)
def test_a_days_positions_and_realised_profit_are_the_venues(broker):
    async def run(runtime):
        async with asyncio.timeout(7200):
            return await day(runtime, broker, 11)

    with VirtualRuntime(seed=11) as runtime:
        found = runtime.run(run(runtime))
    assert found
    assert any(one[-1] for one in found.values())
