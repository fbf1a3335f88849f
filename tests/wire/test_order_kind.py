"""A protected order at the market is worked as one with a limit: views say both what was asked for and what it is."""

from __future__ import annotations

from datetime import UTC
from decimal import Decimal as D

from dragoman.cli.look import order_row
from dragoman.cli.trading import order_words
from dragoman.cli.watch.cells import order_columns
from dragoman.cli.watch.model import WatchModel
from dragoman.model import Order, OrderStatus, OrderType, Side
from wire.trading import INFY, play


def test_every_view_of_a_protected_market_order_says_market():
    async def scenario(world):
        client = world.client
        placed = await client.place(INFY, "BUY", 1, order_type="MARKET", product="INTRADAY")
        await world.runtime.sleep(5)
        (told,) = [one for one in await client.orders() if one.client_order_id == placed.client_order_id]
        assert (told.order_type, told.market_protection) == (OrderType.LIMIT, D("0.50"))  # as the broker's book has it
        assert told.asked_type is OrderType.MARKET
        assert order_row(told, UTC)["type"] == "MARKET as LIMIT"
        assert f"{INFY} MARKET as LIMIT " in order_words(told)
        model = WatchModel(client, (), trading=False)
        model.open()
        try:
            (row,) = model.orders()
        finally:
            await model.close()
        cells = [column.of(row).text for column in order_columns(UTC, lambda: False)]
        assert "MARKET as LIMIT" in cells

    play(scenario)


def test_an_order_without_protection_is_what_it_is():
    plain = Order(
        instrument_id=INFY,
        side=Side.BUY,
        quantity=D(1),
        order_type=OrderType.LIMIT,
        status=OrderStatus.OPEN,
        price=D(9),
    )
    assert (plain.asked_type, order_row(plain, UTC)["type"]) == (OrderType.LIMIT, "LIMIT")
    stop = plain.but(order_type=OrderType.STOP_LIMIT, market_protection=D(2))
    assert order_row(stop, UTC)["type"] == "STOP_MARKET as STOP_LIMIT"
    kept = plain.but(order_type=OrderType.MARKET, market_protection=D(2))  # a broker that tells what it was given
    assert order_row(kept, UTC)["type"] == "MARKET"
