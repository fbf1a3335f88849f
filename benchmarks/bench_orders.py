"""What does an order cost, from the call to the broker's answer, and where do the microseconds go?"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

from benchmarks import peers
from benchmarks.bench_journal import Bare
from benchmarks.measure import Finding, Timing, Value, alternate_async, faster, share
from benchmarks.stage import Child
from benchmarks.steps import steps
from dragoman.checks import check_request, order_request
from dragoman.client import Client
from dragoman.connecting import connect
from dragoman.plugin import Adapter
from dragoman.plugin.registry import load_adapter
from dragoman.runtime.loops import new_event_loop
from dragoman.runtime.real import RealRuntime
from dragoman.runtime.real_disk import RealDisk
from dragoman.sync import connect as blocking_connect
from dragoman.transport.base import Origin, WireRequest
from dragoman.transport.http import HttpClient
from dragoman.transport.http_encode import RequestEncoder

TITLE = "Placing orders"
METHOD = (
    "A process of its own answers everyone on loopback: a plain epoll loop in C++, with replies made before, so that"
    " little of what is timed is the server's. The bare row sends the same bytes through"
    " asyncio streams and reads the reply by its length; ours writes them through the HTTP client, which frames, checks"
    " and times. `place` is whole: checks, limits counted in the file all processes share (set so high that nobody"
    " waits), authorisation, write, reply, the order's new state; the journal is on a disk in memory. It is timed"
    " with this process and the server on one CPU, for the SDK as for ours, and again with both left to the scheduler:"
    " there, on an idle machine, each write of either side also wakes a halted CPU. With the"
    " journal on a disk, the other side places an order with the journal in memory and then does one bare append and"
    " `fdatasync` of as many bytes on the same disk. The SDK's `place_order` returns the id;"
    " the blocking face is for information: two threads hand the order over."
    " Before anything is timed, the form fields that the server got from both are compared. The phases are medians of"
    " the client's own histograms."
)
BARE_GOAL, SDK_GOAL, DISK_GOAL = 1.3, 12.0, 1.3
INTENT = 400
"""Bytes of an intent's record."""
PLENTY = 10**5
BODY = b"exchange=NSE&tradingsymbol=INFY&transaction_type=BUY&quantity=1&product=CNC&order_type=LIMIT&price=1500.05"
TAG = "0123456789AB"
ORDER: dict[str, Any] = {
    "instrument": "NSE:INFY",
    "side": "BUY",
    "quantity": 1,
    "order_type": "LIMIT",
    "price": "1500.05",
    "product": "DELIVERY",
}

Call = Callable[[], Awaitable[bytes]]


class MemoryFile:
    """A file of zeros in memory."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._data = bytearray(size)

    def read(self, offset: int, n: int) -> bytes:
        return bytes(self._data[offset : offset + n])

    def write(self, offset: int, data: bytes | bytearray) -> None:
        self._data[offset : offset + len(data)] = data

    def sync(self) -> None:
        """Nothing is ever lost."""

    def close(self) -> None:
        """Nothing is open."""


class MemoryDisk(RealDisk):
    """The real disk but for files of fixed size, the journal's: those are in memory, and durable at once."""

    instant = True

    def open(self, path: str, *, size: int) -> MemoryFile:
        return MemoryFile(size)


class InMemory(RealRuntime):
    """The real runtime with its journal in memory: what an order costs without a disk."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = MemoryDisk()


def roomy() -> Adapter:
    """Return the adapter with limits that nobody reaches: the same number of them, in the same windows."""
    kind = type(load_adapter("zerodha"))
    limits = tuple(replace(limit, count=PLENTY) for limit in kind.limits)
    made: Adapter = type(kind.__name__, (kind,), {"limits": limits})()
    return made


def account(port: int, folder: str) -> dict[str, Any]:
    """Return how to connect to the taker."""
    return {
        "environment": "emulator",
        "overrides": {
            "hosts": dict.fromkeys(("rest", "ws", "login"), f"http://127.0.0.1:{port}"),
            "credentials": {"api_key": "emu_key", "api_secret": "emu_secret"},
            "account": "EMU001",
        },
        "state_dir": folder,
        "streams": False,
        "access_token": "emu_token",
    }


def sdk(root: str) -> Callable[[], Any]:
    peers.add("kiteconnect==5.2.2")
    from kiteconnect import KiteConnect  # type: ignore[import-not-found]

    kite = KiteConnect(api_key="emu_key", access_token="emu_token", root=root)
    return lambda: kite.place_order(
        variety="regular",
        exchange="NSE",
        tradingsymbol="INFY",
        transaction_type="BUY",
        quantity=1,
        product="CNC",
        order_type="LIMIT",
        price=1500.05,
        validity="DAY",
        tag=TAG,
    )


async def bare(port: int, data: bytes) -> Call:
    """Return what sends `data` through asyncio streams and reads one reply."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def exchange() -> bytes:
        writer.write(data)
        head = await reader.readuntil(b"\r\n\r\n")
        at = head.index(b"Content-Length: ") + 16
        return await reader.readexactly(int(head[at : head.index(b"\r", at)]))

    return exchange


async def sent(port: int, count: int) -> list[bytes]:
    """Return the last requests the server got, as they came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /sent HTTP/1.1\r\nHost: x\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    size = int(head.partition(b"Content-Length: ")[2].partition(b"\r")[0])
    kept = [bytes.fromhex(line.decode()) for line in (await reader.readexactly(size)).splitlines()]
    writer.close()
    return kept[-count:]


def form(request: bytes) -> dict[str, Any]:
    """Return the fields of a form; the tag is each side's own, and the SDK repeats the variety of the path."""
    fields: dict[str, Any] = dict(parse_qsl(request.partition(b"\r\n\r\n")[2].decode()))
    assert request.startswith(b"POST /orders/regular ")
    assert len(fields.pop("tag")) == len(TAG)
    assert fields.pop("variety", "regular") == "regular"
    return {**fields, "price": float(fields["price"])}


async def compare_exchange(port: int) -> Finding:
    """(a): the HTTP client against bare streams."""
    runtime = RealRuntime()
    http, origin = HttpClient(runtime), Origin("http", "127.0.0.1", port)
    headers = (("X-Kite-Version", "3"), ("Content-Type", "application/x-www-form-urlencoded"))
    request = WireRequest("POST", "/orders/regular", (*headers, ("Authorization", "token emu_key:emu_token")), BODY)
    prebuilt = RequestEncoder(origin, "dragoman").encode(request)

    async def ours() -> bytes:
        return (await http.send(origin, lambda: request, timeout_s=5.0)).body

    theirs = await bare(port, prebuilt)
    replies = [json.loads(await call())["status"] for call in (ours, theirs)]
    heads = [one.partition(b"\r\n\r\n") for one in await sent(port, 2)]
    assert replies == ["success", "success"]
    assert heads[0][2] == heads[1][2] == BODY
    assert len(heads[0][0].splitlines()) == len(heads[1][0].splitlines())
    timings = await alternate_async(ours, theirs, rounds=21, calls=200)
    await http.close()
    runtime.close()
    return share("HTTP exchange, p50", timings[0], "bare asyncio streams", timings[1], BARE_GOAL)


async def compare_place(taker: Child, port: int, folder: str) -> list[Finding]:
    """(b): `Client.place` against the SDK on one CPU, where its time goes there, and on any."""
    async with connect(roomy(), "bench", **account(port, folder), runtime=InMemory()) as client:
        assert client.orders_service.recorder.journal is not None, "there is no journal"
        assert client.session.limiter.path is not None, "the limits are not shared"
        place_order = sdk(f"http://127.0.0.1:{port}")

        async def ours() -> object:
            return await client.place(**ORDER)

        async def theirs() -> object:
            return place_order()

        order, order_id = await ours(), await theirs()
        assert getattr(order, "order_id", "")[:6] == str(order_id)[:6]
        forms = [form(one) for one in await sent(port, 2)]
        assert forms[0] == forms[1], forms
        rows: list[Finding] = []
        with taker.beside_us():
            client.metrics.reset()
            timings = await alternate_async(ours, theirs, rounds=15, calls=150)
            rows.append(faster("place an order, p50", timings[0], "official SDK", timings[1], SDK_GOAL))
            rows += phases(client, timings[0])
            frames, bytecodes = await steps(ours)
            rows += [Value("Python in it: frames", frames, ""), Value("Python in it: bytecodes", bytecodes, "")]
        timings = await alternate_async(ours, theirs, rounds=15, calls=150)
        return [*rows, faster("the same, the server on any CPU", timings[0], "official SDK", timings[1])]


async def compare_journal(port: int, folder: str) -> list[Finding]:
    """(c): the same with the journal on a disk, beside the order without one and a bare durable append."""
    on_disk = connect(roomy(), "disk", **account(port, f"{folder}/disk"))
    in_memory = connect(roomy(), "memory", **account(port, f"{folder}/memory"), runtime=InMemory())
    async with on_disk as durable, in_memory as plain:
        bare = Bare(RealRuntime().disk, folder, INTENT)

        async def ours() -> object:
            return await durable.place(**ORDER)

        async def both() -> object:
            order = await plain.place(**ORDER)
            await bare.append()
            return order

        async def alone() -> object:
            return await plain.place(**ORDER)

        orders = [await ours(), await both()]
        assert all(getattr(order, "order_id", "") for order in orders)
        with_journal, summed, without = await alternate_async(ours, both, alone, rounds=15, calls=60)
        bare.close()
        return [
            share("place, journal on a disk, p50", with_journal, "in memory, and a bare append", summed, DISK_GOAL),
            Value("of that sum: the order alone", without.median_ns / 1000, "us"),
            Value("checks and entering before the limiter, CPU", pre_trade_us(plain), "us"),
        ]


def pre_trade_us(client: Client) -> float:
    """Return the processor time from the call to where limits are asked: reading the words, checks, units, names."""
    service, adapter = client.orders_service, client.session.adapter
    instrument = client.instruments.resolve(ORDER["instrument"])
    terms = {name: ORDER[name] for name in ("order_type", "price", "product")}
    best, calls = float("inf"), 2000
    for _ in range(5):
        started = time.process_time_ns()
        for _ in range(calls):
            request = order_request(instrument, ORDER["side"], ORDER["quantity"], None, terms)
            check_request(request, instrument, adapter)
            request = adapter.check_order(request, instrument)
            service._units.to_wire(request, instrument)
        best = min(best, (time.process_time_ns() - started) / calls)
    return best / 1000


async def compare_blocking(port: int, folder: str) -> Finding:
    """The same from a thread without a loop, as scripts call it."""
    place_order = sdk(f"http://127.0.0.1:{port}")
    with blocking_connect(roomy(), "blocking", **account(port, folder)) as client:

        async def ours() -> object:
            return client.place(**ORDER)

        async def theirs() -> object:
            return place_order()

        timings = await alternate_async(ours, theirs, rounds=9, calls=100)
    return faster("place an order from the blocking face, p50", timings[0], "official SDK", timings[1])


def phases(client: Client, whole: Timing) -> list[Finding]:
    """Return where the time of an order went: medians, so they need not add up to the last digit."""
    found = {name: client.metrics.phase("orders", name).quantile(0.5) or 0 for name in ("limiter", "connection")}
    wire, request = (client.metrics.phase("orders", name).quantile(0.5) or 0 for name in ("first_byte", "whole"))
    around = whole.median_ns - request
    rest = request - wire - found["limiter"] - found["connection"]
    named = {
        "checks, entering the order, and its new state": around,
        "limits, in the shared file": found["limiter"],
        "taking a connection": found["connection"],
        "authorising, encoding, parsing the reply": rest,
        "write to first byte: the kernel and the server": wire,
    }
    return [Value(f"of it: {name}", ns / 1000, "us") for name, ns in named.items()]


async def measure(taker: Child, port: int) -> list[Finding]:
    with tempfile.TemporaryDirectory() as folder:
        return [
            await compare_exchange(port),
            *await compare_place(taker, port, folder),
            *await compare_journal(port, folder),
            await compare_blocking(port, folder),
        ]


def run() -> list[Finding]:
    """Compare, then time."""
    taker = Child("benchmarks.taker")
    try:
        port = int(taker.line())
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(measure(taker, port))
    finally:
        taker.end()
