"""The rows of the live screen: what a client says, number by number, and marked where it is not of now."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from dragoman.cli.watch import acts
from dragoman.cli.watch.arrange import MOST, order_ways, position_ways
from dragoman.cli.watch.cells import exact_price, figure, units
from dragoman.cli.watch.model import WatchModel
from dragoman.cli.watch.told import alert_of, printable
from dragoman.errors import UsageError
from dragoman.model import (
    Gap,
    KillEvent,
    KillState,
    MarginAlert,
    Notice,
    OrderStatus,
    RuleEvent,
    RuleStatus,
    Side,
    StreamState,
)
from dragoman.plugin import Raw
from dragoman.rules import StopLoss
from wire.ruled import LONG, hold, move
from wire.test_order_restart import again
from wire.trading import INFY, SBIN, play


def looking(scenario, *, names=(), **options):
    """Run `scenario(world, model)` with a model that follows `names`."""

    async def run(world):
        model = WatchModel(world.client, names, trading=True)
        model.open()
        try:
            return await scenario(world, model)
        finally:
            await model.close()

    return play(run, **options)


# -- what the client says ----------------------------------------------------------------------------------------------


def test_positions_and_totals_are_the_clients_own_at_every_price():
    async def scenario(world, model):
        bought = await hold(world, 100)
        seen = set()
        for ticks in (5, -12):
            await move(world, ticks)
            model.refresh()
            live = world.client.portfolio.live
            (row,), (mine,) = live.rows(), model.positions()
            assert (mine.quantity, mine.average, mine.mark) == (row.quantity, row.average_price, row.last_price)
            assert (mine.realised, mine.unrealised, mine.value) == (row.realised_pnl, row.unrealised_pnl, row.value)
            assert (mine.stale, mine.currency) == (row.stale, row.currency)
            (total,), pnl = model.totals(), live.totals()["INR"]
            assert (total.realised, total.unrealised, total.charges) == (pnl.realised, pnl.unrealised, pnl.charges)
            assert total.total == pnl.realised + pnl.unrealised
            assert mine.unrealised == 100 * (mine.mark - bought)
            seen.add(mine.unrealised)
        assert len(seen) == 2

    looking(scenario)


def test_orders_show_their_life_from_open_to_cancelled():
    async def scenario(world, model):
        order = await world.rest()
        await world.runtime.sleep(7)
        model.refresh()
        (row,) = model.orders()
        assert (row.order_id, row.status, row.filled, row.quantity) == (order.order_id, OrderStatus.OPEN, 0, 10)
        assert (row.working, row.age_s, row.price) == (True, 7, world.price())
        await acts.cancel(world.client, row, 5.0)
        await world.client.wait_order(order)
        await world.runtime.sleep(20)
        model.refresh()
        (row,) = model.orders()
        assert (row.status, row.working) == (OrderStatus.CANCELED, False)
        assert row.age_s in (6, 7)  # its end is told in whole seconds
        with pytest.raises(UsageError, match="nothing to cancel"):
            await acts.cancel(world.client, row, 5.0)

    looking(scenario)


def test_a_rejected_order_says_why():
    async def scenario(world, model):
        with pytest.raises(Exception, match="freeze"):
            await world.client.place(INFY, "BUY", 10_000_000, order_type="LIMIT", price=world.price())
        model.refresh()
        (row,) = model.orders()
        assert row.status is OrderStatus.REJECTED
        assert "FREEZE_QTY_EXCEEDED" in row.why
        assert "freeze quantity" in row.why

    looking(scenario)


def test_orders_placed_elsewhere_are_shown_too():
    async def scenario(world, model):
        name = world.place_elsewhere()
        await world.until(lambda: world.store.get(name) is not None)
        model.refresh()
        assert [(row.order_id, row.quantity) for row in model.orders()] == [(name, D(3))]
        assert INFY in model.prices.names

    looking(scenario)


def test_margins_are_the_monitors_with_source_bound_and_age():
    async def scenario(world, model):
        await hold(world, 100)
        await world.client.margin.ready()
        await world.runtime.sleep(5)
        now = world.client.margin.now()
        rows = {row.segment: row for row in model.margins()}
        assert rows.keys() == now.keys()
        for segment, margin in now.items():
            row = rows[segment]
            assert (row.utilisation, row.used, row.usable) == (margin.utilisation, margin.used.total, margin.net)
            assert (row.source, row.error_bound, row.stale) == (margin.source, margin.error_bound, margin.stale)
            assert row.age_s == (model.now - margin.ts_polled) // 1_000_000_000

    looking(scenario)


def test_rules_are_shown_with_what_they_fire_at_and_failed_ones_stay():
    async def scenario(world, model):
        price = await hold(world, 100)
        await move(world, 0)
        state = await world.client.rules.add(StopLoss(**LONG, ticks=40))
        tick = world.venue.listing(INFY).instrument.tick_size
        (row,) = model.rules()
        assert (row.rule_id, row.kind, row.instrument_id, row.status) == (state.rule_id, "StopLoss", INFY, "ARMED")
        assert row.levels == (price - 40 * tick,)
        await world.client.rules.cancel(state.rule_id)
        assert model.rules() == []

    looking(scenario)


def test_a_screen_that_only_looks_shows_orders_positions_and_rules_of_the_process_that_trades():
    async def run(world):
        await hold(world, 100)
        await world.rest()
        state = await world.client.rules.add(StopLoss(**LONG, ticks=40))
        async with again(world, read_only=True) as client:
            model = WatchModel(client)
            model.open()
            await world.until(model.rules)
            model.refresh()
            assert [(row.rule_id, row.status) for row in model.rules()] == [(state.rule_id, RuleStatus.ARMED)]
            assert {(row.status, row.filled) for row in model.orders()} == {("FILLED", 100), ("OPEN", 0)}
            assert [row.quantity for row in model.positions()] == [100]
            await model.close()

    play(run)


def test_limits_and_streams_are_those_of_the_session():
    async def scenario(world, model):
        await world.rest()
        state = world.client.session.limiter.state()
        assert {row.name: (row.used, row.count) for row in model.lanes()} == {
            name: (one["used"], one["count"]) for name, one in state.items()
        }
        (row,) = model.streams()
        assert (row.name, row.state, row.stale, row.gaps) == ("market", "ready", False, 0)

    looking(scenario)


# -- prices and the ladder ---------------------------------------------------------------------------------------------


def test_the_ladder_is_the_clients_book_and_goes_from_one_instrument_to_the_next():
    async def scenario(world, model):
        await move(world, 3)
        assert model.prices.name == SBIN
        model.prices.choose(1)
        await world.runtime.sleep(1)
        await move(world, 5)
        shown = model.prices.ladder(5, model.now)
        book = world.client.book(INFY)
        assert shown.instrument_id == INFY
        assert (shown.stale, shown.why) == (False, "")
        assert shown.bids == tuple(book.level("bid", at) for at in range(min(5, book.depth("bid"))))
        assert shown.asks[0] == (float(world.price(6)), 1000.0, 1)
        model.prices.choose(2)
        assert model.prices.name == SBIN

    looking(scenario, names=[SBIN, INFY])


def test_last_prices_and_changes_follow_the_market():
    async def scenario(world, model):
        await world.runtime.sleep(2)
        close = (await world.client.quote(INFY)).previous_close
        price = await move(world, 30)
        model.refresh()
        (row,) = model.prices.rows(model.now)
        assert (row.last, row.stale, row.age_s) == (price, False, 0)
        assert row.change == pytest.approx((float(price) / close - 1) * 100)

    looking(scenario, names=[INFY])


def test_an_unknown_instrument_is_refused_and_nothing_is_followed():
    async def run(world):
        model = WatchModel(world.client, ["NSE:NOTHING"])
        with pytest.raises(UsageError, match="NOTHING"):
            model.open()
        await model.close()
        assert model.prices.names == []

    play(run)


# -- stale -------------------------------------------------------------------------------------------------------------


def test_a_dead_stream_marks_prices_ladder_positions_and_totals_until_data_come_again():
    async def scenario(world, model):
        await hold(world, 100)
        model.refresh()
        await move(world, 5)
        model.refresh()
        assert not any(row.stale for row in (*model.positions(), *model.prices.rows(model.now)))
        await world.cut()
        model.refresh()
        (price,), (position,), (total,) = model.prices.rows(model.now), model.positions(), model.totals()
        ladder = model.prices.ladder(5, model.now)
        assert (price.stale, position.stale, total.stale) == (True, True, 1)
        assert ladder.stale
        assert "stream is" in ladder.why
        assert model.streams()[0].stale
        assert model.orders_stale
        assert {row.what for row in model.alerts()} >= {"stream", "gap"}
        world.heal()
        await world.until(lambda: world.client.streams["market"].ready and not world.client.orders_service.stale)
        await move(world, 7)
        await world.runtime.sleep(1)
        model.refresh()
        assert not model.positions()[0].stale
        assert model.totals()[0].stale == 0
        assert not model.prices.ladder(5, model.now).stale

    looking(scenario)


def test_a_socket_that_falls_silent_marks_its_numbers_before_anybody_has_noticed_otherwise():
    async def scenario(world, model):
        await hold(world, 100)
        await move(world, 5)
        model.refresh()
        assert not model.positions()[0].stale
        stream = world.client.streams["market"]
        stall = stream.feed_class.stall
        # As the watchdog would find it, were it slower than the screen.
        heard = world.client.session.runtime.clock.mono_ns() - int((stall.any_frame_s + 2) * 1e9)
        stream.primary._counters.last_frame_ns = heard
        model.refresh()
        assert model.positions()[0].stale
        assert model.prices.rows(model.now)[0].stale
        assert model.prices.ladder(5, model.now).why.startswith("nothing was heard for")
        assert model.streams()[0].state == "silent"

    looking(scenario)


def test_a_price_of_long_ago_is_stale_although_the_stream_stands():
    async def scenario(world, model):
        await move(world, 5)
        await world.runtime.sleep(90)
        model.refresh()
        (row,) = model.prices.rows(model.now)
        assert row.stale
        assert row.age_s > 60
        assert world.client.streams["market"].ready

    looking(scenario, names=[INFY])


# -- cost --------------------------------------------------------------------------------------------------------------


def test_a_refresh_looks_again_only_at_what_changed():
    async def scenario(world, model):
        await hold(world, 100)
        await world.rest()
        await move(world, 1)
        model.refresh()
        asked = []
        book = world.client.portfolio.live
        row, get = book.row, world.store.get
        book.row = lambda *a: asked.append("position") or row(*a)
        world.store.get = lambda *a: asked.append("order") or get(*a)
        try:
            for _ in range(10):
                model.refresh()
            assert asked == []
            model._on_order(world.updates[-1])
            model.refresh()
            assert asked == ["order"]
        finally:
            del book.row, world.store.get

    looking(scenario)


def test_a_thousand_orders_show_the_working_ones_first_and_count_the_others():
    async def scenario(world, model):
        order = await world.rest()
        model.refresh()
        (row,) = model.orders()
        from dataclasses import replace

        over = [replace(row, client_order_id=f"O{n}", working=False, ts=row.ts + n) for n in range(1, 1000)]
        ways = order_ways()
        shown = ways.rows([*over, row])
        assert len(shown) == MOST
        assert shown[0].client_order_id == order.client_order_id
        assert shown[1].client_order_id == "O999"
        assert ways.words(len(shown), 1000) == "200 of 1000, all, by life"
        assert ways.next_filter() == "working"
        assert ways.rows([*over, row]) == [row]

    looking(scenario)


def test_positions_can_be_sorted_by_what_they_lose():
    async def scenario(world, model):
        await hold(world, 100)
        model.refresh()
        from dataclasses import replace

        (row,) = model.positions()
        rows = [replace(row, unrealised=value) for value in (D(5), D(-7), None, D(0))]
        ways = position_ways()
        assert ways.next_sort() == "worst first"
        assert [one.unrealised for one in ways.rows(rows)] == [None, D(-7), D(0), D(5)]

    looking(scenario)


# -- what is told ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "weight", "what", "words"),
    [
        (StreamState("market", "fatal", "the token died"), "error", "stream", "market 1 fatal: the token died"),
        (StreamState("market", "ready"), "info", "stream", "market 1 ready"),
        (Gap("market", 0, 2_500_000_000, "reconnected"), "warning", "gap", "market 1: 2.5 s not seen: reconnected"),
        (Notice("info", "closes at 15:30"), "info", "notice", "closes at 15:30"),
        (RuleEvent("R1", RuleStatus.FAILED, RuleStatus.FIRED, "no"), "error", "rule", "R1 FAILED: no"),
        (KillEvent("ENGAGED", "stopped", KillState()), "error", "kill", "ENGAGED: stopped"),
        (MarginAlert("BELOW", "low", None), "warning", "margin", "BELOW: low"),
        (UsageError("bad call"), "error", "error", "bad call"),
    ],
)
def test_events_become_alerts_that_say_how_grave_they_are(event, weight, what, words):
    row = alert_of(event, 5)
    assert (row.ts, row.weight, row.what, row.text) == (5, weight, what, words)


def test_what_is_told_again_at_once_is_counted_and_what_says_nothing_is_left_out():
    async def scenario(world, model):
        for _ in range(3):
            world.client.events.publish(Notice("info", "hello"))
        world.client.events.publish(Raw("market", b"x"))
        assert [(row.text, row.times) for row in model.alerts()[:1]] == [("hello", 3)]

    looking(scenario)


def test_text_of_others_cannot_steer_the_terminal():
    assert printable("sold\x1b[2J out\nnow\x07") == "sold [2J out now"


def test_who_is_shown_and_why_orders_are_stopped():
    async def scenario(world, model):
        head = model.heading()
        assert (head.environment, head.profile, head.broker) == ("emulator", "test", world.client.session.adapter.name)
        assert (head.account, head.trading, head.killed) == (world.client.session.ctx.account, True, "")
        await acts.kill(world.client, flatten_too=False, timeout_s=5.0)
        assert model.heading().killed.startswith("engaged on the live screen (process ")

    looking(scenario)


def test_flatten_exits_exactly_what_is_held():
    async def scenario(world, model):
        price = await hold(world, 100)
        await move(world, 0)
        model.refresh()
        world.venue.place_external(INFY, Side.BUY, D(500), price)
        said = await acts.flatten(world.client, model.positions()[0], 5.0)
        assert "100 of 100 exited" in said
        model.refresh()
        (row,) = model.positions()
        assert row.quantity == 0
        with pytest.raises(UsageError, match="is flat"):
            await acts.flatten(world.client, row, 5.0)

    looking(scenario)


def test_a_screen_that_looks_does_not_act():
    with pytest.raises(UsageError, match="read-only") as caught:
        acts.check_trading(False)
    assert "--trade" in caught.value.remedy
    acts.check_trading(True)


# -- numbers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (figure(D("-1234.5"), sign=True), "-1,234.50"),
        (figure(1234.5, stale=True), "1,234.50?"),
        (figure(None, stale=True), ""),
        (units(D("1000")), "1,000"),
        (units(0.25), "0.25"),
        (units(D("1E+3")), "1,000"),
        (exact_price(D("1521.2333333")), "1,521.2333"),
        (exact_price(D("97.5")), "97.50"),
    ],
)
def test_numbers_keep_what_matters(shown, text):
    assert shown == text
