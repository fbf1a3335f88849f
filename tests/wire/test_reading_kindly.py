"""What people write is read where it can mean one thing only, and refused with what to write where it cannot."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from dragoman.checks import LONGEST_S, moment, seconds
from dragoman.client import Client
from dragoman.errors import StaleData, UsageError
from dragoman.model import GttLeg, GttRequest, OrderRequest, Product, Side
from wire.trading import INFY, World, play

IST = timezone(timedelta(hours=5, minutes=30))
TODAY = date(2026, 1, 5)


def scene(scenario: Callable[[World], Awaitable[Any]], **options: Any) -> Any:
    return play(scenario, **options)


@pytest.mark.parametrize("written", [10, 10.0, "10", Decimal(10), 0, 0.5, LONGEST_S])
def test_a_timeout_is_any_number_of_seconds(written: Any) -> None:
    assert seconds("timeout_s", written) == float(written)


@pytest.mark.parametrize("written", [None, "soon", float("nan"), float("inf"), -1, -0.1, True, LONGEST_S + 1])
def test_a_timeout_that_is_none_is_refused_with_what_to_give(written: Any) -> None:
    with pytest.raises(UsageError, match="timeout_s") as caught:
        seconds("timeout_s", written)
    assert "such as 10.0" in caught.value.remedy


def test_ints_and_words_do_in_values_of_the_model() -> None:
    async def scenario(world: World) -> None:
        price = int(world.price(-200))
        leg: Any = GttLeg(trigger_price=price, side="buy", quantity=10, price=price)  # type: ignore[arg-type]
        request = GttRequest(instrument_id=INFY, legs=[leg], last_price=int(world.price(0)))  # type: ignore[arg-type]
        gtt_id = await world.client.place_gtt(request)
        (kept,) = (await world.client.account.gtt(gtt_id)).legs
        assert (kept.quantity, kept.price, kept.side) == (Decimal(10), Decimal(price), Side.BUY)
        order: Any = OrderRequest(
            instrument_id=INFY,
            side="BUY",
            quantity=10,
            price="1500",
            order_type="limit",  # type: ignore[arg-type]
        )
        (alone,) = await world.client.order_margin(order)
        assert alone.total == 15_000
        assert await world.client.delete_gtt(int(gtt_id)) == gtt_id

    scene(scenario)


def test_a_refusal_names_the_field_and_what_to_write() -> None:
    async def scenario(world: World) -> None:
        client, sent = world.client, world.requests
        leg: Any = GttLeg(trigger_price=Decimal(1), side=Side.BUY, quantity="many", price=Decimal(1))  # type: ignore[arg-type]
        request = GttRequest(instrument_id=INFY, legs=(leg,), last_price=Decimal(2))
        cases: list[tuple[Awaitable[Any], str]] = [
            (client.place_gtt(request), r"request\.legs\[0\]\.quantity 'many' is not a number"),
            (client.place(INFY, "BUY", 1, tag=5), "tag 5 is an int, expected text"),  # type: ignore[arg-type]
            (client.place(INFY, "BUY", 1, extras="x"), "extras 'x' is a str, expected a mapping"),
            (client.place(INFY, "BUY", 1, allow_stale="no"), "expected True or False"),  # type: ignore[arg-type]
            (client.account.trigger_ranges([INFY], "LONG"), "side 'LONG' is unknown.*BUY, SELL"),
            (client.account.gtt(""), "gtt_id '' names nothing"),
            (client.account.delete_alerts([]), "names no alert"),
            (client.account.authorise_holdings([INFY]), r"holdings\[0\] 'NSE:INFY' is a str, expected a Holding"),  # type: ignore[list-item]
            (client.account.postback(None), "bytes"),  # type: ignore[arg-type]
            (client.cancel(5), "unknown order '5'"),  # type: ignore[arg-type]
            (client.cancel(5.5), "expected an id"),  # type: ignore[arg-type]
        ]
        for call, said in cases:
            with pytest.raises(UsageError, match=said) as caught:
                await call
            assert caught.value.remedy
        assert world.requests == sent
        assert len(world.store) == 0

    scene(scenario)


def test_a_brokers_own_word_for_a_product_is_answered_with_ours() -> None:
    async def scenario(world: World) -> None:
        order = await world.rest()
        world.sell_into(order.price, 10)
        await world.client.wait_order(order)
        (position,) = await world.client.positions()
        with pytest.raises(UsageError, match=r"product 'CNC' is unknown.*DELIVERY"):
            await world.client.convert(position, "CNC")
        with pytest.raises(UsageError, match=r"product MARGIN is not available.*CARRY, DELIVERY, INTRADAY, MTF"):
            await world.client.convert(position, Product.MARGIN)

    scene(scenario)


# -- times -------------------------------------------------------------------------------------------------------------


def test_a_date_is_the_whole_day_at_the_exchange() -> None:
    from zoneinfo import ZoneInfo

    zone = ZoneInfo("Asia/Kolkata")
    day = date(2026, 11, 20)
    assert moment("start", day, zone) == datetime(2026, 11, 20, tzinfo=IST)
    assert moment("end", day, zone, end=True) == datetime(2026, 11, 20, 23, 59, 59, tzinfo=IST)
    assert moment("end", "2026-11-20", zone, end=True) == moment("end", day, zone, end=True)
    assert moment("start", "2026-11-20T09:15+05:30", zone) == datetime(2026, 11, 20, 9, 15, tzinfo=IST)
    exact = datetime(2026, 11, 20, 1, tzinfo=UTC)
    assert moment("end", exact, zone, end=True) is exact


def test_candles_of_one_date_are_those_of_that_day() -> None:
    async def scenario(world: World) -> None:
        client: Client = world.client
        day = datetime.fromtimestamp(client.session.ctx.now_ns / 1e9, IST).date() - timedelta(days=7)
        while day.weekday() > 4:
            day -= timedelta(days=1)
        found = await client.candles(INFY, "1h", day, day)
        assert found
        assert {datetime.fromtimestamp(one.ts_open / 1e9, IST).date() for one in found} == {day}
        assert await client.candles(INFY, "1h", day.isoformat(), day.isoformat()) == found

    scene(scenario)


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        (TODAY, datetime.max.replace(tzinfo=UTC), "years"),
        (datetime(2026, 1, 5, tzinfo=UTC).replace(tzinfo=None), TODAY, "no time zone"),
        ("yesterday", TODAY, "no time"),
        (5, TODAY, "no time"),
        (TODAY, date(2026, 1, 4), "before the start"),
    ],
)
def test_times_that_cannot_be_are_refused_with_zero_bytes(start: Any, end: Any, said: str) -> None:
    async def scenario(world: World) -> None:
        sent = world.requests
        with pytest.raises(UsageError, match=said):
            await world.client.candles(INFY, "1d", start, end)
        assert world.requests == sent

    scene(scenario)


# -- without the orders ------------------------------------------------------------------------------------------------


def test_without_the_orders_they_are_not_asked_for_until_a_call_needs_one() -> None:
    async def scenario(world: World) -> None:
        client = world.client
        name = world.place_elsewhere()
        before = world.requests
        await client.quote(INFY)
        await client.positions()
        await client.margins()
        await client.session.runtime.sleep(30)
        assert world.requests == before + 3
        assert client.orders_service.stale
        order = await client.cancel(name)
        assert order.order_id == name
        assert not client.orders_service.stale

    scene(scenario, load_orders=False, streams=False)


@pytest.mark.parametrize("act", ["place", "order_history", "wait_order", "modify"])
def test_the_first_act_on_an_order_reads_them_first(act: str) -> None:
    async def scenario(world: World) -> None:
        client, name = world.client, world.place_elsewhere()
        calls: dict[str, Callable[[], Awaitable[Any]]] = {
            "place": lambda: world.rest(),
            "order_history": lambda: client.order_history(name),
            "wait_order": lambda: client.wait_order(name, lambda order: not order.status.terminal),
            "modify": lambda: client.modify(name, quantity=4),
        }
        assert client.orders_service.complete_as_of is None
        await calls[act]()
        assert client.orders_service.complete_as_of is not None
        assert client.order(name) is not None

    scene(scenario, load_orders=False)


def test_an_order_that_may_be_placed_on_stale_knowledge_reads_nothing_first() -> None:
    async def scenario(world: World) -> None:
        await world.rest(allow_stale=True)
        assert world.client.orders_service.complete_as_of is None

    scene(scenario, load_orders=False, streams=False)


def test_a_stale_order_stream_still_holds_up_new_orders_once_they_are_wanted() -> None:
    async def scenario(world: World) -> None:
        await world.rest()
        await world.cut()
        with pytest.raises(StaleData):
            await world.rest(timeout_s=0.5)
        world.heal()
        await world.until(lambda: not world.client.orders_service.stale)
        await world.rest()

    scene(scenario, load_orders=False)
