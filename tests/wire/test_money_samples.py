"""Samples of what an account is worth, and the price known when an order was sent, in the journal."""

from __future__ import annotations

from decimal import Decimal as D

from dragoman.orders.journal import Kind, open_index, read_journal
from dragoman.orders.journal.reading import facts_of
from wire.ruled import hold, move
from wire.trading import INFY, play


def records(world, kind):
    folder = world.client.orders_service.writer.folder
    return [one.payload for one in read_journal(world.runtime.disk, folder) if one.kind is kind]


def samples(world):
    return [payload for payload in records(world, Kind.CONTROL) if payload["what"] == "money"]


def test_what_the_account_is_worth_is_kept_about_once_a_minute_and_only_where_it_changed():
    async def scenario(world):
        assert samples(world) == [], "nothing is held, and nothing was asked for"
        world.client.subscribe(INFY)
        await hold(world, 100)
        await world.runtime.sleep(61)
        await move(world, 10)
        await world.runtime.sleep(60)
        world.client.orders_service.recorder.journal.flush()
        first, second = samples(world)[:2]
        assert first["terms"][INFY]["currency"] == "INR"
        assert first["opening"] == []
        assert set(second) == {"what", "pnl", "marks"}, "the rest is as it was"
        live = world.client.portfolio.live.totals()["INR"]
        assert second["pnl"]["INR"]["unrealised"] == str(live.unrealised)
        await world.runtime.sleep(130)  # the mark grows old, which is told once
        written = world.client._samples.written
        await world.runtime.sleep(200)
        assert world.client._samples.written == written

    play(scenario, poll_interval_s=0.2)


def test_each_reading_of_the_margin_brings_a_sample():
    async def scenario(world):
        margins = await world.client.margin.ready()
        world.client.orders_service.recorder.journal.flush()
        (found,) = samples(world)
        assert {name: one.get("net") for name, one in found["margins"].items()} == {
            segment.value: str(margin.net) for segment, margin in margins.items()
        }

    play(scenario)


def test_a_sample_is_no_order_to_the_index_and_says_its_sums_where_records_are_shown():
    async def scenario(world):
        await hold(world, 100)
        world.client._samples.sample()
        world.client.orders_service.recorder.journal.flush()
        index = open_index(world.runtime.disk, world.client.orders_service.writer.folder)
        try:
            assert index.execute("SELECT count(*) FROM orders").fetchone() == (1,)
            rows = index.execute("SELECT kind, name, what FROM records WHERE what = 'money'").fetchall()
        finally:
            index.close()
        assert rows == [("CONTROL", None, "money")]
        facts = facts_of(samples(world)[-1])
        assert (facts.what, facts.name) == ("money", "")
        assert facts.status.startswith("INR ")

    play(scenario)


def test_an_intent_has_the_price_known_when_it_was_sent_and_none_that_is_old():
    async def scenario(world):
        client = world.client
        await world.rest(client_order_id="before")
        client.subscribe(INFY)
        price = await move(world, 3)
        await world.until(lambda: client.portfolio.live.marking.fresh(INFY) is not None)
        await world.rest(client_order_id="after", price=world.price(-30))
        world.fault("drop_frames")
        await world.runtime.sleep(62)
        world.heal()
        await world.rest(client_order_id="later", price=world.price(-40), allow_stale=True)
        client.orders_service.recorder.journal.flush()
        marks = {one["name"]: one.get("mark") for one in records(world, Kind.INTENT)}
        assert marks["before"] is None
        assert D(repr(marks["after"])) == price
        assert marks["later"] is None, "it is over a minute old"

    play(scenario, poll_interval_s=0.2)
