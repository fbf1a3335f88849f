"""How long until a master of a hundred thousand instruments can be searched: downloaded, and from the cache?"""

from __future__ import annotations

import asyncio
import gc
import gzip
import os
import pathlib
import tempfile
import time
from typing import Any

from benchmarks import peers
from benchmarks.masters import dump
from benchmarks.measure import Effort, Finding, Timing, Value, faster, timing
from benchmarks.stage import Child
from dragoman.client import Client
from dragoman.connecting import connect
from dragoman.market import InstrumentMaster
from dragoman.plugin.registry import load_adapter
from dragoman.runtime.loops import new_event_loop

TITLE = "Instrument master"
METHOD = (
    "A generated dump in the broker's own format, gzipped as the broker sends it, from a process of its own on"
    " loopback. Cold is download, parse, names and search index, until the first search has its answer; cached is the"
    " same from the file another client of the day has left. Before anything is timed, the cached master is compared"
    " with the fresh one, row by row, and the rows with those of the SDK's `instruments()`, which downloads and parses"
    " the same dump into dicts and indexes nothing."
)
ROWS = 100_000
COLD_S, CACHED_S = 1.5, 0.3
QUERY = "nifty 24800 ce dec"


def sdk(root: str) -> Any:
    peers.add("kiteconnect==5.2.2")
    from kiteconnect import KiteConnect  # type: ignore[import-not-found]

    return KiteConnect(api_key="emu_key", access_token="emu_token", root=root, timeout=60)


async def ready(client: Client, *, cached: bool) -> float:
    """Return how many ns it took until the master had answered a search."""
    started = time.perf_counter_ns()
    await client.load_instruments(cached=cached)
    found = client.instruments.search(QUERY)
    took = time.perf_counter_ns() - started
    assert client.instruments.source == ("cache" if cached else "download")
    assert len(client.instruments) == ROWS
    assert found
    return took


def check_rows(client: Client, theirs: list[dict[str, Any]]) -> None:
    """Fail unless every row has what the SDK read."""
    assert len(client.instruments) == len(theirs) == ROWS
    for ours, row in zip(client.instruments, theirs, strict=True):
        assert ours.broker_symbol == row["tradingsymbol"]
        assert ours.broker_token == str(row["instrument_token"])
        assert (ours.exchange, ours.name, ours.expiry) == (row["exchange"], row["name"], row["expiry"] or None)
        assert (float(ours.strike or 0), float(ours.tick_size)) == (row["strike"], row["tick_size"])
        assert ours.lot_size == (row["lot_size"] or 1)


async def measure(port: int, folder: str) -> list[Finding]:
    root = f"http://127.0.0.1:{port}"
    overrides = {
        "hosts": dict.fromkeys(("rest", "ws", "login"), root),
        "credentials": {"api_key": "emu_key", "api_secret": "emu_secret"},
        "account": "EMU001",
    }
    kite = sdk(root)
    async with connect(
        load_adapter("zerodha"),
        "bench",
        environment="emulator",
        overrides=overrides,
        state_dir=folder,
        streams=False,
        access_token="emu_token",
        cache_instruments=True,
    ) as client:
        await client.load_instruments()
        started = time.perf_counter_ns()
        theirs = kite.instruments()
        peer = timing([float(time.perf_counter_ns() - started)])
        check_rows(client, theirs)
        del theirs
        fresh = list(client.instruments)
        masters = pathlib.Path(folder, "masters")
        await kept(masters)
        await client.load_instruments(cached=True)
        assert list(client.instruments) == fresh
        del fresh
        cold, cached = [], []
        for _ in range(Effort.rounds(7)):
            client.instruments.become(InstrumentMaster())  # cold is the start of a process, with no master yet
            gc.collect()
            cold.append(await ready(client, cached=False))
            await asyncio.sleep(1.5)  # the file is written meanwhile
            cached.append(await ready(client, cached=True))
        size = sum(map(os.path.getsize, files(masters)))
    ours, cache = timing(cold), timing(cached)
    return [
        _value("cold: downloaded until searchable", ours, COLD_S),
        _value("cached: from the file until searchable", cache, CACHED_S),
        faster("cold, index included", timing([ours.median_ns]), "official SDK, dicts only, once", peer),
        faster("cached", timing([cache.median_ns]), "official SDK, dicts only, once", peer),
        Value("size of the file", size / 2**20, "MiB", note=f"{size / ROWS:.0f} bytes an instrument"),
    ]


def files(folder: pathlib.Path) -> list[pathlib.Path]:
    return list(folder.glob("*.master"))


async def kept(folder: pathlib.Path) -> None:
    """Return once the client has written its file."""
    for _ in range(200):
        if files(folder):
            return
        await asyncio.sleep(0.05)
    raise RuntimeError("the master was not kept within ten seconds")


def _value(question: str, found: Timing, goal_s: float) -> Value:
    return Value(
        f"{question}, {ROWS:,} rows", found.median_ns / 1e9, "s", goal_s, found.low_ns / 1e9, found.high_ns / 1e9
    )


def run() -> list[Finding]:
    """Compare, then time."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "instruments.csv.gz")
        path.write_bytes(gzip.compress(dump(ROWS), 6))
        taker = Child("benchmarks.taker", str(path))
        try:
            port = int(taker.line())
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                return runner.run(measure(port, f"{folder}/state"))
        finally:
            taker.end()
