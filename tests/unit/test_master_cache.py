"""The cache of instrument masters: whose day it is, and what is never believed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, time
from decimal import Decimal

import pytest

from dragoman.connecting import connect
from dragoman.emulator.host import EmulatorHost
from dragoman.market import InstrumentMaster, MasterCache
from dragoman.market.master_cache import master_day
from dragoman.model import AssetClass, Instrument, InstrumentType, Notice
from dragoman.plugin import SessionRules
from dragoman.plugin.registry import load_adapter
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.testing.emulated import browser, free_port

HOSTS = {"rest": "https://api.example.com"}
NOW = int(datetime(2026, 12, 1, 6, 0, tzinfo=UTC).timestamp()) * 10**9
DAY_NS = 86_400 * 10**9


def row(symbol="INFY", token="1", **more):
    return Instrument(f"NSE:{symbol}", symbol, "NSE", AssetClass.EQUITY, InstrumentType.SPOT, symbol, token, **more)


def master(*rows):
    made = InstrumentMaster()
    made.add(rows or [row(), row("SBIN", "2", tick_size=Decimal("0.05"))])
    return made


@pytest.fixture
def runtime():
    with VirtualRuntime(seed=1) as made:
        yield made


def cache(runtime, environment="live", hosts=HOSTS):
    return MasterCache(runtime, "/state/masters", load_adapter("zerodha"), environment, hosts)


@pytest.mark.parametrize(
    ("utc", "rules", "day"),
    [
        ("2026-12-01T03:00", {"instruments_at": time(8, 30)}, "2026-12-01"),
        ("2026-12-01T02:59", {"instruments_at": time(8, 30)}, "2026-11-30"),
        ("2026-12-01T00:29", {"expires_at": time(6)}, "2026-11-30"),
        ("2026-12-01T00:30", {"expires_at": time(6)}, "2026-12-01"),
        ("2026-11-30T18:30", {}, "2026-12-01"),
    ],
)
def test_the_day_of_a_master_begins_when_the_broker_says(utc, rules, day):
    now = int(datetime.fromisoformat(utc).replace(tzinfo=UTC).timestamp()) * 10**9
    assert master_day(SessionRules(time_zone="Asia/Kolkata", **rules), now) == day


def test_what_was_saved_is_found_on_the_same_day_only_and_older_days_go(runtime):
    kept = cache(runtime)
    assert kept.load(NOW).master is None
    assert kept.save(master(), NOW)
    found = kept.load(NOW + 3600 * 10**9)
    assert (found.problem, list(found.master), found.master.source) == ("", list(master()), "cache")
    assert kept.load(NOW + DAY_NS).master is None
    kept.save(master(row("TCS", "3")), NOW + DAY_NS)
    assert runtime.disk.listdir("/state/masters") == [kept.path(NOW + DAY_NS).rpartition("/")[2]]
    assert runtime.disk.mode(kept.path(NOW + DAY_NS)) == 0o600


def test_environments_and_hosts_do_not_share_a_master(runtime):
    kept = cache(runtime)
    kept.save(master(), NOW)
    others = [cache(runtime, "sandbox"), cache(runtime, hosts={"rest": "https://test.example.com"})]
    assert [other.load(NOW).master for other in others] == [None, None]
    for other in others:
        other.save(master(row("TCS", "3")), NOW)
    assert list(kept.load(NOW).master) == list(master())


@pytest.mark.logs
@pytest.mark.parametrize("at", [0, 9, 20, 45, 60, 400, -1])
def test_one_changed_byte_is_noticed_wherever_it_is(runtime, caplog, at):
    kept = cache(runtime)
    kept.save(master(), NOW)
    data = bytearray(runtime.disk.read(kept.path(NOW)))
    data[at] ^= 1
    runtime.disk.write_atomic(kept.path(NOW), bytes(data))
    found = kept.load(NOW)
    assert found.master is None
    assert kept.path(NOW) in found.problem
    assert found.problem in caplog.text


@pytest.mark.logs
@pytest.mark.parametrize("size", [0, 10, 48, 49, 500])
def test_a_file_cut_short_is_not_used(runtime, size, caplog):
    kept = cache(runtime)
    kept.save(master(), NOW)
    runtime.disk.write_atomic(kept.path(NOW), runtime.disk.read(kept.path(NOW))[:size])
    found = kept.load(NOW)
    assert found.master is None
    assert "is not used" in caplog.text


@pytest.mark.logs
def test_a_file_of_somebody_else_is_not_used(runtime, caplog):
    kept, other = cache(runtime), cache(runtime, "sandbox")
    other.save(master(), NOW)
    theirs = runtime.disk.read(other.path(NOW))
    runtime.disk.write_atomic(kept.path(NOW), theirs)
    assert "of environment 'sandbox', expected 'live'" in kept.load(NOW).problem
    kept.save(master(), NOW)
    runtime.disk.write_atomic(kept.path(NOW), runtime.disk.read(kept.path(NOW)), mode=0o622)
    assert "others may write" in kept.load(NOW).problem
    assert caplog.records


@pytest.mark.logs
def test_a_master_that_would_come_back_changed_is_not_kept(runtime, caplog):
    kept = cache(runtime)
    assert not kept.save(master(row(extra={"limit": Decimal(1)})), NOW)
    assert not kept.save(master(row(extra={"pair": (1, 2)})), NOW)
    assert kept.load(NOW).problem == ""
    assert "not kept" in caplog.text


def play(scenario):
    """Run a scenario that may connect several times to one emulator, on one disk."""

    async def run(runtime):
        from dragoman.adapters.zerodha.emulator import make

        port = await free_port(runtime)
        emulator = make(7, runtime.clock.wall_ns(), redirect_port=port)
        host = EmulatorHost(emulator, runtime)
        roots = await host.start()
        overrides = {
            "hosts": {"rest": roots.rest, "ws": roots.ws, "login": roots.login},
            "credentials": {name: emulator.credentials[name] for name in ("api_key", "api_secret")},
            "redirect_port": port,
        }

        def client(**options):
            return connect(
                load_adapter("zerodha"),
                "test",
                environment="emulator",
                overrides=overrides,
                state_dir="/state",
                open_url=browser(runtime),
                runtime=runtime,
                **options,
            )

        try:
            await scenario(runtime, client)
        finally:
            await host.close()

    with VirtualRuntime(seed=7) as runtime:
        runtime.run(run(runtime))


def test_the_second_client_of_the_day_takes_the_master_from_the_cache():
    async def scenario(runtime, client):
        async with client(cache_instruments=True) as first:
            assert first.instruments.source == "download"
            rows = list(first.instruments)
        await runtime.sleep(3)  # the broker counts both clients' requests together
        async with client(cache_instruments=True) as second:
            assert second.instruments.source == "cache"
            assert list(second.instruments) == rows
            order = await second.place(
                "NSE:INFY", "BUY", 1, order_type="LIMIT", price="1400", product="INTRADAY", timeout_s=5
            )
            assert order.order_id
            assert await second.load_instruments() == len(rows)
            assert second.instruments.source == "download"
        await runtime.sleep(3)
        async with client() as third:  # an emulator's master is not kept unless it is asked for
            assert third.instruments.source == "download"

    play(scenario)


@pytest.mark.logs
def test_a_damaged_cache_is_reported_and_downloaded_again(caplog):
    async def scenario(runtime, client):
        async with client(cache_instruments=True):
            await runtime.sleep(3)
        (name,) = runtime.disk.listdir("/state/masters")
        runtime.disk.write_atomic(f"/state/masters/{name}", b"DRGMNMST and no more")
        connecting = client(cache_instruments=True)
        async with connecting as second:
            assert second.instruments.source == "download"
            await asyncio.sleep(1)
            seen = []
            second.on_event(seen.append)
            runtime.disk.write_atomic(f"/state/masters/{name}", b"again")
            await second.load_instruments(cached=True)
            # The first is of the start, kept for whoever listens first.
            assert [event.code for event in seen if isinstance(event, Notice)] == ["MASTER_CACHE", "MASTER_CACHE"]
        await runtime.sleep(3)
        async with client(cache_instruments=True) as third:
            assert third.instruments.source == "cache"

    play(scenario)
    assert caplog.text.count("is not used") == 2
