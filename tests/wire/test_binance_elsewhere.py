"""Orders of another terminal at a broker that lists what is open alone: their fills tell of them."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from dragoman.emulator.fault_spec import parse_faults
from dragoman.emulator.venue.types import VenueOrder
from dragoman.model import OrderStatus as S
from dragoman.model import OrderType, Product, Side
from wire.binance_world import PAIR, play

KEY = (PAIR, Product.CASH, "NET")


def sold_elsewhere(here, quantity: str) -> None:
    """Let another terminal of the account sell at once, into buyers who stand there."""
    price = here.price(0)
    here.venue.set_price(PAIR, price)
    here.venue.place_external(PAIR, Side.BUY, D(10), price)
    order = VenueOrder(
        instrument_id=PAIR,
        side=Side.SELL,
        quantity=D(quantity),
        order_type=OrderType.LIMIT,
        product=Product.DELIVERY,
        price=here.price(-1),
    )
    here.venue.submit(here.emulator.account, order, here.runtime.clock.wall_ns())


def test_an_order_that_filled_elsewhere_while_the_stream_was_down_is_found_by_its_fills():
    async def scenario(here):
        client = here.client
        await here.until(await client.place(PAIR, "BUY", "0.1"), S.FILLED)
        await here.runtime.sleep(3)
        held = client.portfolio.live.quantity(KEY)
        for fault in parse_faults("refuse_upgrade:503;reset_socket*3"):
            here.host.faults.add(fault)
        await here.runtime.sleep(1)
        sold_elsewhere(here, "0.04")
        here.host.faults.clear()
        await client.orders()
        assert not client.orders_service.store.orphan_fills
        assert client.portfolio.live.quantity(KEY) == held - D("0.04")
        assert any(order.side is Side.SELL and order.status is S.FILLED for order in client.orders_service.store)

    play(scenario)


@pytest.mark.logs("the order cannot be read for a while")
def test_an_outage_uses_up_none_of_the_tries_for_such_an_order():
    async def scenario(here):
        client = here.client
        await here.until(await client.place(PAIR, "BUY", "0.1"), S.FILLED)
        await here.runtime.sleep(3)
        held = client.portfolio.live.quantity(KEY)
        for fault in parse_faults("refuse_upgrade:503;reset_socket*3;http:503@GET /api/v3/order*1000"):
            here.host.faults.add(fault)
        await here.runtime.sleep(1)
        sold_elsewhere(here, "0.04")
        for _ in range(5):
            await client.orders()
        assert client.orders_service.store.orphan_fills
        here.host.faults.clear()
        await client.orders()
        assert not client.orders_service.store.orphan_fills
        assert client.portfolio.live.quantity(KEY) == held - D("0.04")

    play(scenario)
