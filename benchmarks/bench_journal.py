"""What does a durable record cost beside a bare append to the same disk, and how fast is a journal read back?"""

from __future__ import annotations

import asyncio
import os
import pathlib
import tempfile
import time
from decimal import Decimal
from typing import Any

from benchmarks.measure import Effort, Finding, Timing, Value, alternate, alternate_async, share, timing
from dragoman.model import Fill, Order, OrderRequest, OrderStatus, OrderType, Product, Side
from dragoman.orders.journal import Journal, Kind, verify_journal
from dragoman.orders.journal.codec import from_plain, to_plain
from dragoman.orders.journal.format import NO_HASH, encode_payload, encode_record, record_hash
from dragoman.runtime.base import Disk
from dragoman.runtime.loops import new_event_loop
from dragoman.runtime.real import RealRuntime
from dragoman.runtime.virtual import VirtualRuntime

TITLE = "The journal"
METHOD = (
    "One record of an order's intent, as the order path writes it. The bare side writes as many bytes with `pwrite`"
    " into a file of zeros of the same size on the same disk and calls `fdatasync`, in the thread that waits for it;"
    " ours goes through checksum, hash and the journal's own thread, and wakes the loop. They alternate, so that the"
    " disk's moods meet both. Grouped: 32 callers commit at once. The rows without a disk are processor time alone."
    " Before anything is timed, what was written is read back and compared."
)
GOAL = 1.3  # of a bare append; the order path's own share is measured with the orders
CODEC_GOAL_US = 6.0
GROUP = 32
CHUNK = 4 * 1024 * 1024
REQUEST = OrderRequest(
    instrument_id="NFO:NIFTY@20261224-24800CE",
    side=Side.BUY,
    quantity=Decimal(75),
    order_type=OrderType.LIMIT,
    price=Decimal("112.35"),
    product=Product.INTRADAY,
    client_order_id="7Q1M9-00042",
    wire_id="7Q1M900042XY",
    account_id="AB1234",
)
WHOSE: dict[str, Any] = {"broker": "examplebroker", "environment": "emulator", "account": "AB1234"}


def intent() -> dict[str, Any]:
    return {"op": "place", "name": REQUEST.client_order_id, "at": 1, "request": to_plain(REQUEST)}


def event() -> dict[str, Any]:
    terms: dict[str, Any] = {"instrument_id": REQUEST.instrument_id, "side": Side.BUY, "quantity": Decimal(75)}
    order = Order(**terms, order_id="240101150012345", client_order_id="7Q1M9-00042", status=OrderStatus.FILLED)
    fill = Fill(**terms, trade_id="7001", order_id="240101150012345", price=Decimal("112.30"))
    return {"order": to_plain(order), "fills": [to_plain(fill)]}


class Bare:
    """Appends to a file of zeros and syncs it."""

    def __init__(self, disk: Disk, folder: str, size: int) -> None:
        disk.open(f"{folder}/bare", size=16 * CHUNK).close()
        self._descriptor = os.open(f"{folder}/bare", os.O_RDWR)
        self._data = b"x" * size
        self._at = 0

    async def append(self) -> None:
        os.pwrite(self._descriptor, self._data, self._at)
        os.fdatasync(self._descriptor)
        self._at = (self._at + len(self._data)) % (15 * CHUNK)

    def close(self) -> None:
        os.close(self._descriptor)


async def commits(runtime: RealRuntime, folder: str) -> tuple[list[Timing], Timing, int]:
    """Time commits beside bare appends, and commits in groups; return how many records that wrote as well."""
    journal = await Journal.open(runtime, f"{folder}/journal", **WHOSE)
    size = len(
        encode_record(2, encode_payload(intent()), sequence=1, time_ns=1, epoch=1, run=b"7Q1M9", previous=NO_HASH)
    )
    bare = Bare(runtime.disk, folder, size)

    async def commit() -> None:
        done = journal.commit(Kind.INTENT, intent())
        if done is not None:
            await done

    sides = await alternate_async(commit, bare.append, rounds=15, calls=100)
    groups = []
    for _ in range(Effort.rounds(15)):
        started = time.perf_counter_ns()
        await asyncio.gather(*(commit() for _ in range(GROUP)))
        groups.append((time.perf_counter_ns() - started) / GROUP)
    written = journal.durable
    assert await journal.close()
    bare.close()
    return sides, timing(groups), written


def scanning(disk: Disk, folder: str, records: int) -> float:
    """Return how many records a second a verification reads, the best of a few."""
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        scan = verify_journal(disk, folder)
        best = min(best, time.perf_counter() - started)
        assert scan.records == records
        assert not scan.damage
    return records / best


def check_alike(folder: str, runtime: RealRuntime) -> None:
    """Fail unless what was committed is read back."""

    async def main() -> None:
        journal = await Journal.open(runtime, folder, **WHOSE)
        await asyncio.gather(*filter(None, [journal.commit(Kind.INTENT, intent()), journal.flush()]))
        await journal.close()
        again = await Journal.open(runtime, folder, **WHOSE)
        (found,) = [one for one in again.replay() if one.kind is Kind.INTENT]
        assert found.payload == intent()
        assert from_plain(OrderRequest, found.payload["request"]) == REQUEST
        await again.close()

    asyncio.run(main())


def many(runtime: RealRuntime, folder: str, count: int) -> int:
    """Write a long journal; return how many records it has."""

    async def main() -> int:
        journal = await Journal.open(runtime, folder, **WHOSE, held_limit=count + 1)
        each = event()
        for number in range(count):
            journal.append(Kind.STREAM, each)
            if number % 5_000 == 4_999 and (done := journal.flush()) is not None:
                await done
        await journal.close()
        return count + 2

    return asyncio.run(main())


def in_memory() -> Timing:
    """Return what a commit costs the processor: on a disk without a disk."""

    async def main(runtime: VirtualRuntime) -> Timing:
        journal = await Journal.open(runtime, "/journal", **WHOSE, chunk_size=64 * CHUNK)
        payload = intent()
        (found,) = alternate(lambda: journal.commit(Kind.INTENT, payload), round_ms=10.0)
        await journal.close()
        return found

    with VirtualRuntime() as runtime:
        return runtime.run(main(runtime))


def run() -> list[Finding]:
    """Read back, then time."""
    runtime = RealRuntime()
    rows: list[Finding] = []
    try:
        with tempfile.TemporaryDirectory(dir=pathlib.Path(__file__).parent) as folder:
            check_alike(f"{folder}/alike", runtime)
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                (ours, bare), grouped, _ = runner.run(commits(runtime, folder))
            rows.append(share("a record, durable", ours, "bare append and fdatasync", bare, GOAL))
            rows.append(Value(f"a record of {GROUP} committed together", grouped.median_ns / 1000, "us"))
            count = Effort.count(200_000)
            records = many(runtime, f"{folder}/long", count)
            rate = scanning(runtime.disk, f"{folder}/long", records)
            rows.append(Value("verifying, per record", 1e6 / rate, "us", note=f"{rate:,.0f} records a second"))
    finally:
        runtime.close()
    coded, made = alternate(lambda: to_plain(REQUEST), lambda: from_plain(OrderRequest, to_plain(REQUEST)))
    rows.append(Value("an order request as JSON values", coded.median_ns / 1000, "us", CODEC_GOAL_US))
    rows.append(Value("and back", (made.median_ns - coded.median_ns) / 1000, "us"))
    rows.append(Value("a commit without its disk", in_memory().median_ns / 1000, "us"))
    payload = encode_payload(intent())
    record = encode_record(2, payload, sequence=1, time_ns=1, epoch=1, run=b"7Q1M9", previous=NO_HASH)
    packed, hashed = alternate(
        lambda: encode_record(2, payload, sequence=1, time_ns=1, epoch=1, run=b"7Q1M9", previous=NO_HASH),
        lambda: record_hash(record),
    )
    rows.append(Value("of that: frame and checksum", packed.median_ns / 1000, "us"))
    rows.append(Value("of that: hash", hashed.median_ns / 1000, "us"))
    return rows
