"""Sessions of one account count together: in a file below the state folder, from the login on."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

import pytest

from dragoman.emulator.host import EmulatorHost
from dragoman.errors import UsageError
from dragoman.plugin import RateLimit
from dragoman.session.profiles import load_profile
from dragoman.session.session import AccountSession
from reference.session_toys import TOKEN, ToyAdapter, ToyBroker, ToyFeed, get
from wire.worlds import run_in


class Toy(ToyAdapter):
    limits = (RateLimit("default", 50, "1h"), RateLimit("orders", 50, "1h"))


class OtherToy(ToyAdapter):
    limits = (RateLimit("default", 40, "1h"), RateLimit("orders", 50, "1h"))


async def session_at(host, roots, runtime, folder, adapter):
    overrides = {
        "hosts": {"rest": roots.rest, "ws": roots.ws, "login": roots.login},
        "credentials": host.emulator.credentials,
    }
    profile = await load_profile(runtime, adapter, environment="emulator", overrides=overrides)
    return AccountSession(runtime, adapter, profile, state_dir=folder, access_token=TOKEN)


def test_two_sessions_of_one_account_spend_one_count(tmp_path):
    async def scenario(runtime):
        host = EmulatorHost(ToyBroker(), runtime)
        roots = await host.start()
        sessions = [await session_at(host, roots, runtime, str(tmp_path), Toy()) for _ in range(2)]
        try:
            await asyncio.gather(*(session.start() for session in sessions))
            used = sessions[0].limiter.state()["default/1h"]["used"]
            await sessions[0].run(get())
            await sessions[1].run(get())
            assert [s.limiter.state()["default/1h"]["used"] for s in sessions] == [used + 2, used + 2]
            assert used == 2  # both asked whose token it is before they knew which file to count in
            (name,) = os.listdir(tmp_path / "limits")
            assert name.startswith("toy.emulator.")
            other = await session_at(host, roots, runtime, str(tmp_path), OtherToy())
            with pytest.raises(UsageError, match=r"counts 'default/1h 50 per .*expected 'default/1h 40 per .*remove"):
                await other.start()
            await other.close()
        finally:
            for session in sessions:
                await session.close()
            await host.close()

    run_in("real", scenario)


def test_two_sessions_of_one_account_share_its_sockets(tmp_path):
    async def scenario(runtime):
        host = EmulatorHost(ToyBroker(), runtime)
        roots = await host.start()
        sessions = [await session_at(host, roots, runtime, str(tmp_path), Toy()) for _ in range(2)]
        try:
            for session in sessions:
                await session.start()
            one, two = (session.stream("market", ignore, ignore) for session in sessions)
            await one.start()
            with pytest.raises(UsageError, match=r"all sockets the broker allows \(1\) are held: 1 by this process"):
                await two.start()
            assert host.emulator.upgrades == 1
            await one.close()
            await two.start()
            assert two.ready
            await sessions[1].close()  # and with the session its sockets
            assert sessions[0].sockets.holders() == {}
        finally:
            for session in sessions:
                await session.close()
            await host.close()

    run_in("real", scenario)


def test_a_stream_of_orders_only_leases_its_socket_too(tmp_path):
    class Orders(ToyFeed):
        kind = "orders"

    class Both(Toy):
        feeds = (ToyFeed, Orders)
        capabilities = replace(Toy.capabilities, max_sockets=2)

    async def scenario(runtime):
        host = EmulatorHost(ToyBroker(), runtime)
        roots = await host.start()
        session = await session_at(host, roots, runtime, str(tmp_path), Both())
        try:
            await session.start()
            for kind in ("market", "orders"):
                await session.stream(kind, ignore, ignore).start()
            assert session.sockets.holders() == {os.getpid(): 2}
            with pytest.raises(UsageError, match=r"broker allows \(2\) are held"):
                session.sockets.take(2)
        finally:
            await session.close()
            await host.close()

    run_in("real", scenario)


def ignore(_):
    """Take what comes, and do nothing with it."""
