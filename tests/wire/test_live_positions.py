"""Live positions of a client that trades against an emulator: equal to the venue's ledger, whatever the wire does."""

from __future__ import annotations

import errno
from decimal import Decimal
from fractions import Fraction

import pytest

from dragoman.cli.demo import browser
from dragoman.errors import AccountBusy, Rejected, UsageError
from dragoman.model import (
    Adjustment,
    AdjustmentKind,
    InstrumentType,
    OrderAlert,
    PositionAlert,
    PriceBasis,
    Product,
    Side,
)
from dragoman.model import OrderStatus as S
from dragoman.portfolio.changes import read_changes
from wire.test_order_restart import again
from wire.trading import INFY, SBIN, play

D, FUTURE = Decimal, InstrumentType.FUTURE
DAY_NS = 86_400 * 1_000_000_000


def ledger(world) -> dict[tuple[str, str], tuple]:
    """What the venue has counted: net, bought, sold, realised, of the day; flat rows that did nothing left out."""
    return {
        (one.instrument_id, one.product): (
            one.overnight_quantity + one.day_buy_quantity - one.day_sell_quantity,
            one.day_buy_quantity,
            one.day_sell_quantity,
            one.day_buy_value,
            one.day_sell_value,
            one.average_price,
            one.realised,
        )
        for one in world.venue.positions(world.account)
        if one.overnight_quantity or one.day_buy_quantity or one.day_sell_quantity
    }


def live(world, client=None) -> dict[tuple[str, str], tuple]:
    """The same of the book."""
    return {
        (one.instrument_id, one.product): (
            one.quantity,
            one.day_buy_quantity,
            one.day_sell_quantity,
            one.day_buy_value,
            one.day_sell_value,
            D(0) if one.average_price is None else round(one.average_price, 8),
            one.realised_pnl,
        )
        for one in (client or world.client).portfolio.live.rows()
    }


async def trade(world, side: str, quantity: int, *, name: str = INFY, product: str = "INTRADAY", ticks: int = 0):
    """Place a limit order that somebody takes the other side of, in two parts."""
    listing = world.venue.listing(name)
    tick = listing.instrument.tick_size
    price = listing.reference // tick * tick + ticks * tick
    other = Side.SELL if side == "BUY" else Side.BUY
    order = await world.client.place(name, side, quantity, order_type="LIMIT", price=price, product=product)
    if quantity > 1:
        world.venue.place_external(name, other, D(1), price)
        await world.runtime.sleep(0.1)
    world.venue.place_external(name, other, D(quantity - (quantity > 1)), price)
    return order


async def settled(world, *orders):
    """Wait until all is told, and at rest."""
    for order in orders:
        await world.client.wait_order(order.client_order_id, timeout_s=120)
    await world.until(lambda: live(world) == ledger(world), timeout_s=120)


def test_the_book_equals_the_venues_ledger_after_partial_fills_and_reversals():
    async def scenario(world):
        heard = []
        world.client.portfolio.live.listen(heard.append)
        script = [("BUY", 10, 5), ("SELL", 4, 9), ("SELL", 9, -3), ("BUY", 3, 0), ("BUY", 7, 2)]
        orders = [await trade(world, side, quantity, ticks=ticks) for side, quantity, ticks in script]
        orders.append(await trade(world, "SELL", 5, name=SBIN, ticks=1))
        await settled(world, *orders)
        assert set(heard) == {(INFY, Product.INTRADAY, "NET"), (SBIN, Product.INTRADAY, "NET")}
        assert await world.client.check_positions() == []
        assert live(world)[SBIN, "INTRADAY"][0] == -5
        row = world.client.portfolio.live.row(INFY)
        assert row.average_price_basis is PriceBasis.FILLS
        assert world.client.portfolio.live.totals()["INR"].realised == sum(one[-1] for one in live(world).values())
        assert [event for event in world.events if isinstance(event, PositionAlert)] == []

    play(scenario)


@pytest.mark.parametrize("lost", ["drop_frames", "cut"])
def test_fills_that_the_stream_lost_come_by_readings_and_count_once(lost):
    async def scenario(world):
        first = await trade(world, "BUY", 10)
        await settled(world, first)
        if lost == "cut":
            await world.cut()
        else:
            world.fault("drop_frames")
        price = world.price(0)
        order = await world.client.place(
            INFY, "SELL", 25, order_type="LIMIT", price=price, product="INTRADAY", allow_stale=True
        )
        world.venue.place_external(INFY, Side.BUY, D(25), price)
        await world.runtime.sleep(1)
        assert live(world) != ledger(world)
        world.heal()
        await settled(world, order)
        book = world.client.portfolio.live
        assert book.row(INFY).quantity == -15
        fills = world.store.fills.all()
        assert book.counters["fills"] - book.counters["replaced"] == len(fills)
        assert await world.client.check_positions() == []

    play(scenario)


def test_the_next_run_begins_with_what_the_broker_holds_and_the_days_fills():
    async def scenario(world):
        orders = [await trade(world, "BUY", 10), await trade(world, "SELL", 4, ticks=6)]
        await settled(world, *orders)
        await world.client.trades()  # so that the journal has each of them, and the next run hears of none anew
        before = world.client.portfolio.live.row(INFY)
        await world.client.close()
        async with again(world) as client:
            assert not client.portfolio.live.seeded  # it begins by itself a moment after the start
            assert client.portfolio.live.quantity((INFY, orders[0].product, "NET")) == 6  # the day's fills till then
            assert await client.portfolio.begin()
            book = client.portfolio.live
            now = book.row(INFY)
            assert (now.quantity, now.realised_pnl, now.average_price) == (6, before.realised_pnl, before.average_price)
            assert now.overnight_quantity == 0

    play(scenario)


def test_a_carried_over_position_is_the_opening_and_its_cost_the_brokers():
    async def scenario(world):
        await settled(world, await trade(world, "BUY", 10, product="INTRADAY"))
        bought = world.client.portfolio.live.row(INFY).average_price
        await world.client.close()
        await world.runtime.sleep(24 * 3600)
        world.venue.roll_day(world.runtime.clock.wall_ns())
        async with again(world, may_log_in=True, open_url=browser(world.runtime)) as client:
            await world.until(lambda: client.portfolio.live.seeded)
            row = client.portfolio.live.row(INFY)
            assert (row.quantity, row.overnight_quantity, row.day_buy_quantity) == (10, 10, 0)
            assert (row.average_price, row.average_price_basis, row.realised_pnl) == (bought, PriceBasis.BROKER, 0)
            assert row.opening_source == "the broker's overnight quantity"
            assert row.close_source == "the broker's positions"
            assert await client.check_positions() == []

    play(scenario, poll_interval_s=30, lasts_s=3 * 86_400)


def test_a_conversion_moves_the_position_at_its_cost_as_the_venue_does():
    async def scenario(world):
        assert await world.client.portfolio.begin()
        orders = [await trade(world, "BUY", 10), await trade(world, "BUY", 5, ticks=7)]
        await settled(world, *orders)
        (held,) = await world.client.positions()
        await world.client.convert(held, "DELIVERY", 6)
        await world.until(lambda: live(world) == ledger(world))
        assert live(world)[INFY, "DELIVERY"][0] == 6
        assert await world.client.check_positions() == []

    play(scenario)


def elsewhere(world, quantity, *, overnight=False):
    """Convert at another terminal."""
    world.venue.convert(world.account, INFY, Product.INTRADAY, Product.DELIVERY, D(quantity), overnight=overnight)


def adjustment(world, **more) -> Adjustment:
    """Three units that came in by a transfer; the venue is told of them as of a trade of another terminal."""
    terms = {
        "adjustment_id": "transfer 17",
        "kind": AdjustmentKind.EXTERNAL,
        "instrument_id": INFY,
        "product": Product.INTRADAY,
        "quantity": D(3),
        "price": D(1500),
        "ts_event": world.runtime.clock.wall_ns(),
    }
    return Adjustment(**terms | more)


def said(client) -> list:
    """What a client says of its positions, from now on."""
    told = []
    client.on_event(lambda event: told.append(event) if isinstance(event, PositionAlert | OrderAlert) else None)
    return told


@pytest.mark.parametrize("runs", [1, 2])
def test_a_conversion_of_an_earlier_run_is_known_and_counts_once(runs):
    async def scenario(world):
        assert await world.client.portfolio.begin()
        await settled(world, await trade(world, "BUY", 10), await trade(world, "BUY", 5, ticks=7))
        (held,) = await world.client.positions()
        await world.client.convert(held, "DELIVERY", 6)
        before = live(world)
        await world.client.close()
        for _ in range(runs):
            await world.runtime.sleep(3)  # the venue counts requests
            async with again(world) as client:
                told = said(client)
                assert await client.portfolio.begin()
                assert live(world, client) == before == ledger(world)
                assert await client.check_positions() == []
                assert told == []

    play(scenario)


def test_a_conversion_of_what_was_carried_over_is_part_of_what_the_broker_says_the_day_began_with():
    async def scenario(world):
        await settled(world, await trade(world, "BUY", 10))
        await world.client.close()
        await world.runtime.sleep(24 * 3600)
        world.venue.roll_day(world.runtime.clock.wall_ns())
        opened = {"may_log_in": True, "open_url": browser(world.runtime)}
        async with again(world, **opened) as client:
            assert await client.portfolio.begin()
            (held,) = await client.positions()
            await client.convert(held, "DELIVERY", 6)
            carried = {row.product: row.overnight_quantity for row in client.portfolio.live.rows()}
            assert carried == {Product.INTRADAY: 4, Product.DELIVERY: 6}
        async with again(world) as client:
            told = said(client)
            assert await client.portfolio.begin()
            assert {row.product: row.overnight_quantity for row in client.portfolio.live.rows()} == carried
            assert await client.check_positions() == []
            assert told == []

    play(scenario, poll_interval_s=30, lasts_s=3 * 86_400)


def test_an_adjustment_is_there_again_after_a_restart_and_not_the_day_after():
    async def scenario(world):
        await settled(world, await trade(world, "BUY", 10))
        assert await world.client.portfolio.begin()
        one = adjustment(world)
        await world.client.portfolio.adjust(one)
        await world.client.portfolio.adjust(one)
        before = world.client.portfolio.live.row(INFY)
        assert before.quantity == 13
        await world.client.close()
        for _ in range(2):
            async with again(world) as client:
                assert await client.portfolio.begin()
                await client.portfolio.adjust(one)  # known already
                row = client.portfolio.live.row(INFY)
                assert (row.quantity, row.average_price) == (13, before.average_price)
                with pytest.raises(UsageError, match="was another one"):
                    await client.portfolio.adjust(adjustment(world, quantity=D(4)))
        await world.runtime.sleep(24 * 3600)
        world.venue.roll_day(world.runtime.clock.wall_ns())
        async with again(world, may_log_in=True, open_url=browser(world.runtime)) as client:
            assert await client.portfolio.begin()
            assert client.portfolio.live.row(INFY).quantity == 10  # as the broker says it began

    play(scenario, poll_interval_s=30, lasts_s=3 * 86_400)


def test_an_adjustment_is_durable_before_it_counts():
    async def scenario(world):
        disk, folder = world.runtime.disk, world.client.orders_service.writer.folder
        seen = []
        world.client.portfolio.live.listen(lambda key: seen.append(read_changes(disk, folder)))
        await world.client.portfolio.adjust(adjustment(world))
        assert [[change["what"] for change in found] for found in seen] == [["adjustment"]]

    play(scenario)


def test_an_adjustment_that_cannot_be_written_down_does_not_count_and_a_conversion_does():
    async def scenario(world):
        await settled(world, await trade(world, "BUY", 10))
        assert await world.client.portfolio.begin()
        told = said(world.client)
        (held,) = await world.client.positions()
        world.runtime.disk.fail(errno.EIO)
        with pytest.raises(Rejected):
            await world.client.portfolio.adjust(adjustment(world))
        assert live(world) == ledger(world)
        await world.client.convert(held, "DELIVERY", 6)  # the broker has made it, whatever the disk does
        await world.until(lambda: live(world) == ledger(world))
        assert "UNJOURNALED" in {alert.code for alert in told}

    play(scenario)


def test_a_second_process_reads_what_the_first_has_converted_and_adjusted():
    async def scenario(world):
        await settled(world, await trade(world, "BUY", 10))
        assert await world.client.portfolio.begin()
        (held,) = await world.client.positions()
        await world.client.convert(held, "DELIVERY", 2)
        async with again(world) as other:
            told = said(other)
            assert await other.portfolio.begin()
            assert live(world, other) == live(world) == ledger(world)
            (held,) = [row for row in await world.client.positions() if row.product is Product.INTRADAY]
            await world.client.convert(held, "DELIVERY", 3)
            await world.runtime.sleep(3)
            assert await other.check_positions() == []
            assert live(world, other) == live(world) == ledger(world)
            await world.client.portfolio.adjust(adjustment(world))
            await world.runtime.sleep(3)
            assert len(await other.check_positions()) == len(await world.client.check_positions()) > 0
            assert live(world, other) == live(world)
            with pytest.raises(AccountBusy):
                await other.portfolio.adjust(adjustment(world, adjustment_id="mine"))
            assert [alert.code for alert in told if isinstance(alert, PositionAlert)] == []

    play(scenario)


def test_a_conversion_of_another_terminal_is_told_once_for_all_runs():
    async def scenario(world):
        await settled(world, await trade(world, "BUY", 10))
        assert await world.client.portfolio.begin()
        elsewhere(world, 6)
        assert await world.client.check_positions() != []
        await world.client.portfolio.converted((INFY, "intraday", "NET"), "DELIVERY", 6, overnight=False)  # type: ignore[arg-type]
        assert await world.client.check_positions() == []
        await world.client.close()
        async with again(world) as client:
            told = said(client)
            assert await client.portfolio.begin()
            assert live(world, client) == ledger(world)
            assert told == []

    play(scenario)


@pytest.mark.parametrize(
    ("key", "quantity", "text"),
    [
        ((INFY, "SOMETIMES", "NET"), 6, "key.1."),
        ((INFY, Product.INTRADAY), 6, "live.keys"),
        ((INFY, Product.INTRADAY, "FLAT"), 6, "live.keys"),
        (INFY, 6, "live.keys"),
        (("NSE:NOTHING", Product.INTRADAY, "NET"), 6, "NOTHING"),
        ((INFY, Product.INTRADAY, "NET"), "10.5", "whole number of lots"),
    ],
)
def test_a_conversion_of_what_cannot_be_is_refused(key, quantity, text):
    async def scenario(world):
        with pytest.raises(UsageError, match=text):
            await world.client.portfolio.converted(key, "DELIVERY", quantity, overnight=False)

    play(scenario)


def test_a_conversion_of_before_the_start_is_part_of_the_opening_and_told():
    async def scenario(world):
        await settled(world, await trade(world, "BUY", 10))
        await world.client.close()
        elsewhere(world, 6)
        async with again(world) as client:
            told = []
            client.on_event(told.append)
            await world.until(lambda: client.portfolio.live.seeded)
            rows = {row.product: row.quantity for row in client.portfolio.live.rows()}
            assert rows == {Product.INTRADAY: 4, Product.DELIVERY: 6}
            alerts = [event for event in told if isinstance(event, PositionAlert)]
            assert {alert.code for alert in alerts} == {"OPENING_DIFFERS"}
            assert {(one.subject.product, one.subject.ours, one.subject.broker) for one in alerts} == {
                (Product.INTRADAY, -6, 0),
                (Product.DELIVERY, 6, 0),
            }

    play(scenario)


def test_ticks_mark_positions_and_a_cut_stream_makes_them_stale():
    async def scenario(world):
        await settled(world, await trade(world, "BUY", 10))
        book = world.client.portfolio.live
        world.client.subscribe(INFY, "ltp")
        world.venue.set_price(INFY, world.price(8))
        await world.until(lambda: book.row(INFY).last_price == world.price(8))
        row = book.row(INFY)
        (venue,) = world.venue.positions(world.account)
        assert (row.stale, row.unrealised_pnl) == (False, venue.unrealised)
        assert Fraction(row.value) == Fraction(world.price(8)) * 10
        await world.cut()
        assert book.row(INFY).stale
        world.heal()
        world.venue.set_price(INFY, world.price(12))
        await world.until(lambda: not book.row(INFY).stale)
        assert book.row(INFY).last_price == world.price(12)

    play(scenario)


def test_a_trade_of_another_terminal_enters_with_its_order():
    async def scenario(world):
        world.place_elsewhere()
        world.sell_into(world.price(), 3)
        await world.until(lambda: live(world) == ledger(world) != {})
        assert live(world)[INFY, "INTRADAY"][0] == 3

    play(scenario)


def test_a_difference_to_the_broker_is_an_event_with_both_sides_and_changes_nothing():
    async def scenario(world):
        await settled(world, await trade(world, "BUY", 10))
        book = world.client.portfolio.live
        book.adjust(
            Adjustment(
                adjustment_id="a mistake",
                kind=AdjustmentKind.TRANSFER_IN,
                instrument_id=INFY,
                product=Product.INTRADAY,
                quantity=D(2),
                price=D(1500),
                ts_event=world.runtime.clock.wall_ns(),
            )
        )
        await world.until(lambda: any(isinstance(event, OrderAlert) for event in world.events), timeout_s=300)
        (alert,) = [event for event in world.events if isinstance(event, OrderAlert)]
        assert alert.code == "POSITION_DIFFERS"
        assert (alert.subject.field, alert.subject.ours, alert.subject.broker) == ("quantity", 12, 10)
        assert book.row(INFY).quantity == 12

    play(scenario)


def test_futures_count_in_units_with_their_own_product():
    async def scenario(world):
        listed = [one.instrument for one in world.venue.listings() if one.instrument.exchange == "NFO"]
        future = min((one for one in listed if one.instrument_type is FUTURE), key=lambda one: one.instrument_id)
        lot = int(future.lot_size)
        listing = world.venue.listing(future.instrument_id)
        price = listing.reference // future.tick_size * future.tick_size
        order = await world.client.place(
            future.instrument_id, "SELL", 2 * lot, order_type="LIMIT", price=price, product="CARRY"
        )
        world.venue.place_external(future.instrument_id, Side.BUY, D(2 * lot), price)
        assert (await world.client.wait_order(order.client_order_id)).status is S.FILLED
        await world.until(lambda: live(world) == ledger(world))
        row = world.client.portfolio.live.row(future.instrument_id)
        assert (row.quantity, row.product, row.multiplier) == (-2 * lot, Product.CARRY, future.multiplier)

    play(scenario, kinds=(FUTURE,))
