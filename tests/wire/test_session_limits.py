"""Sessions of one account count together: in a file below the state folder, from the login on."""

from __future__ import annotations

import asyncio
import os

import pytest

from dragoman.emulator.host import EmulatorHost
from dragoman.errors import UsageError
from dragoman.plugin import RateLimit
from dragoman.session.profiles import load_profile
from dragoman.session.session import AccountSession
from reference.session_toys import TOKEN, ToyAdapter, ToyBroker, get
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
