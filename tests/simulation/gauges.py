"""What a process holds at a mark, and whether it grew from mark to mark.

A leak shows as growth that nothing explains. Two kinds of gauge tell it: *counts* (descriptors, tasks, timers, native
handles, histograms) which must read the same at every mark, and *amounts* (bytes, objects) which may grow by so much a
mark, for the machine's own noise, and by so much an order, because a day's orders are kept for the day.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import sys
import tracemalloc
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from dragoman._core import instrument_count
from dragoman.client import Client

KIB: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a process held at one mark.

    Attributes
    ----------
    descriptors, tasks, timers : int
        Open files and sockets; asyncio tasks; timers that are set.
    instruments, books, blocks_held : int
        Native handles ever given out; live books; decoder blocks that views keep.
    histograms, metric_lines, counters : int
        Of `client.metrics`, and how many values `client.counters()` has.
    listeners : int
        Callbacks and iterators registered with the client.
    waiting : int
        Requests that stand in the limiter's lines.
    orders, fills : int
        In the order store and its ledger.
    blocks, objects : int
        Memory blocks that Python's allocator has handed out; objects that the collector knows.
    traced : int or None
        Bytes allocated by Python code since tracing began; None where tracemalloc is off.
    native, resident : int
        Bytes handed out by malloc, and resident bytes, both without tracemalloc's own.
    """

    descriptors: int
    tasks: int
    timers: int
    instruments: int
    books: int
    blocks_held: int
    histograms: int
    metric_lines: int
    counters: int
    listeners: int
    waiting: int
    orders: int
    fills: int
    blocks: int
    objects: int
    traced: int | None
    native: int
    resident: int


SAME: Final = (
    *("descriptors", "tasks", "timers", "instruments", "books", "blocks_held"),
    *("histograms", "metric_lines", "counters", "listeners", "waiting"),
)
"""Gauges that read the same at every mark."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much an amount may grow from one mark to the next."""

    a_mark: int
    an_order: int


GROWTH: Final = {
    "blocks": Allowance(250, 200),
    "objects": Allowance(20, 40),
    "traced": Allowance(32 * KIB, 16 * KIB),
    "native": Allowance(64 * KIB, 24 * KIB),
    "resident": Allowance(4096 * KIB, 48 * KIB),
}
"""Amounts. The interpreter itself takes some 100 blocks in an hour now and then (code it specialises, its caches); what
is resident moves in steps of an allocator's arenas, so only a lot of it says anything."""


def take(client: Client) -> Reading:
    """Read all gauges of a client and of its process, from inside its loop."""
    gc.collect()
    store, market, metrics = client.orders_service.store, client.market, client.metrics
    counters = client.counters()
    fanouts = (market.batches, client.orders_service.updates, client.events)
    return Reading(
        descriptors=len(os.listdir("/proc/self/fd")),
        tasks=len(asyncio.all_tasks()),
        timers=_timers(),
        instruments=instrument_count(),
        books=len(market.books),
        blocks_held=counters["streams"]["market"]["decoder"]["blocks_held"],
        histograms=len(metrics.latencies()),
        metric_lines=metrics.prometheus().count("\n"),
        counters=_leaves(counters),
        listeners=sum(len(fanout._callbacks) + fanout.subscriptions for fanout in fanouts),
        waiting=sum(limit["waiting"] for limit in counters["limits"].values()),
        orders=len(store),
        fills=len(store.fills.all()),
        blocks=sys.getallocatedblocks(),
        objects=len(gc.get_objects()),
        traced=tracemalloc.get_traced_memory()[0] if tracemalloc.is_tracing() else None,
        native=_malloced() - tracemalloc.get_tracemalloc_memory(),
        resident=_resident() - tracemalloc.get_tracemalloc_memory(),
    )


def complaints(marks: Sequence[Reading], growth: dict[str, Allowance] = GROWTH) -> list[str]:
    """Return, in words, everything that grew from mark to mark and should not have; an empty list is a clean run.

    Parameters
    ----------
    marks : sequence of Reading
        At least two; the first is taken once everything is warm.
    """
    if len(marks) < 2:
        raise ValueError(f"{len(marks)} marks, expected at least 2")
    first, found = asdict(marks[0]), []
    for number, (before, now) in enumerate(zip(map(asdict, marks), map(asdict, marks[1:]), strict=False), 1):
        found += [
            f"mark {number}: {name} is {now[name]}, was {first[name]}" for name in SAME if now[name] != first[name]
        ]
        new_orders = now["orders"] - before["orders"]
        tracing_began = before["traced"] is None and now["traced"] is not None
        for name, allowed in growth.items():
            if before[name] is None or now[name] is None or (name == "native" and tracing_began):
                continue  # tracing takes memory of its own
            grown = now[name] - before[name]
            most = allowed.a_mark + allowed.an_order * new_orders
            if grown > most:
                found.append(f"mark {number}: {name} grew by {grown}, {new_orders} new orders explain {most}")
        if not new_orders and now["fills"] != before["fills"]:
            found.append(f"mark {number}: fills went from {before['fills']} to {now['fills']} without an order")
    return found


def _timers() -> int:
    """Return how many timers the running loop has set; those cancelled are on their way out."""
    timers: list[Any] = getattr(asyncio.get_running_loop(), "_timers", [])
    return sum(not handle.cancelled() for *_, handle in timers)


def _leaves(value: Any) -> int:
    return sum(map(_leaves, value.values())) if isinstance(value, dict) else 1


def _resident() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class _MallInfo(ctypes.Structure):
    """glibc's ``struct mallinfo2``: all sizes in bytes."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    ]


def _malloced() -> int:
    """Return the bytes that malloc has handed out; 0 where the C library does not tell."""
    mallinfo2 = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo2 is None:
        return 0
    mallinfo2.restype = _MallInfo
    info = mallinfo2()
    return int(info.uordblks + info.hblkhd)
