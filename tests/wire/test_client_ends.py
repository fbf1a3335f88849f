"""The first and the last moment of a client: what it finds is told, and what it holds is let go of."""

from __future__ import annotations

import asyncio

import pytest

from dragoman.errors import ErrorKind, NotSent, StaleData
from dragoman.model import Notice, OrderAlert, OrderStatus
from dragoman.orders.journal.format import chunk_name
from wire.test_order_restart import again
from wire.trading import play

S = OrderStatus


def flip_a_bit(world, folder):
    """Damage one record in the middle of the journal."""
    path = f"{folder}/{chunk_name(1)}"
    data = bytearray(world.runtime.disk.read(path))
    data[data.find(b'"mine"') + 1] ^= 1
    world.runtime.disk.write_atomic(path, bytes(data))


@pytest.mark.logs  # of the records the damage makes useless
def test_what_a_start_finds_reaches_the_first_listener():
    async def scenario(world):
        await world.rest(client_order_id="mine")
        folder = world.client.orders_service.writer.folder
        await world.client.close()
        flip_a_bit(world, folder)
        async with again(world) as client:
            await world.runtime.sleep(1)
            heard, late = [], []
            client.on_event(heard.append)
            client.on_event(late.append)
            assert "JOURNAL_DAMAGED" in [event.code for event in heard if isinstance(event, OrderAlert)]
            assert late == [], "nobody is told twice"
            assert client.counters()["journal"]["damage"] == 1
            assert "1 damage" in repr(client)
            assert "1 damage" in client._repr_html_()

    play(scenario)


def test_an_iterator_that_comes_first_begins_with_what_the_start_found():
    async def scenario(world):
        async with again(world) as second:
            first = await anext(second.events.iterate())
            assert isinstance(first, Notice)
            assert first.code == ErrorKind.ACCOUNT_BUSY

    play(scenario)


def test_a_client_shows_who_writes():
    async def scenario(world):
        assert world.client.counters()["journal"]["writes"]
        assert "writing" in repr(world.client)
        async with again(world) as second:
            counts = second.counters()["journal"]
            assert not counts["writes"]
            assert f"process {counts['writer_pid']} is" in repr(second)
            assert "not writing" in second._repr_html_()
            await world.runtime.sleep(2)  # on a virtual clock clients do not share their limits
        async with again(world, read_only=True) as reader:
            assert reader.counters()["journal"] == {}

    play(scenario)


def test_a_cancelled_close_goes_on_and_lets_go_of_the_account():
    async def scenario(world):
        client = world.client
        world.runtime.disk.latency_s = 0.2
        closing = asyncio.ensure_future(client.close())
        await world.runtime.sleep(0.1)
        closing.cancel()
        await asyncio.wait((closing,))
        assert closing.cancelled()
        await client.close()
        folder = client.orders_service.writer.folder
        assert world.runtime.disk.holder(f"{folder}/writer.lock") is None
        world.runtime.disk.latency_s = 0.0
        async with again(world) as second:
            assert second.counters()["journal"]["writes"]

    play(scenario)


@pytest.mark.parametrize("broken", ["session", "orders_service", "_reconciler"])
def test_a_step_of_closing_that_raises_does_not_keep_the_account(broken, monkeypatch):
    async def scenario(world):
        client = world.client
        held = getattr(client, broken)
        name = "pause" if broken == "orders_service" else "close"
        step = getattr(held, name)

        async def raises():
            monkeypatch.setattr(held, name, step)
            await step()
            raise RuntimeError("a defect")

        monkeypatch.setattr(held, name, raises)
        folder = client.orders_service.writer.folder
        with pytest.raises(RuntimeError, match="a defect"):
            await client.close()
        assert world.runtime.disk.holder(f"{folder}/writer.lock") is None
        client._closing = None  # so that the world can close it once more

    play(scenario)


def test_an_order_that_is_known_is_cancelled_though_nothing_can_be_read():
    async def scenario(world):
        await world.rest(client_order_id="mine")
        await world.client.close()
        world.fault("http:503@GET /orders")
        async with again(world, load_orders=False) as client:
            await client.cancel("mine")
            await world.until(lambda: [order.status for order in world.live] == [S.CANCELED])
            with pytest.raises(StaleData):
                await client.cancel("not known", timeout_s=1.0)

    play(scenario)


def test_a_disk_that_hangs_holds_no_order_longer_than_its_deadline():
    async def scenario(world):
        world.runtime.disk.latency_s = 1000.0
        before = world.runtime.clock.mono_ns()
        with pytest.raises(NotSent, match="journal"):
            await world.rest(client_order_id="mine", timeout_s=3.0)
        assert world.runtime.clock.mono_ns() - before < 4_000_000_000
        assert world.client.order("mine").status is S.DENIED
        assert world.live == []

    play(scenario)
