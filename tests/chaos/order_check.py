"""Prove, from the system calls of a real client, that every intent is on the disk before a byte of it leaves.

``python -m chaos.order_check [BROKER...]`` (``make order-check``) runs a client at each broker's emulator under
``strace -f -yy`` and reads the trace: for the wire id of every order, the write to the journal that carries it, an
``fdatasync`` of that file that began after that write had returned, and returned 0, before the first write or send of
any kind, to anything but the journal, that carries it.
"""

from __future__ import annotations

import asyncio
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from dragoman.errors import DragomanError
from dragoman.plugin.registry import load_adapter
from dragoman.runtime.loops import run
from dragoman.runtime.real import RealRuntime
from dragoman.testing.conformance.stage import Stage, staged

BROKERS = ("alpaca", "binance", "fyers", "upstox", "zerodha")
ORDERS = 20
SYNCS = ("fdatasync", "fsync")
WRITES = ("write", "writev", "pwrite64", "pwritev", "pwritev2", "sendto", "sendmsg", "sendmmsg", "sendfile", "splice")
TESTS = pathlib.Path(__file__).parent.parent
NO_STRACE = "strace is not installed: the order of system calls is not checked"

_CHUNK = re.compile(r"/\.?\d{8}\.journal(\.\w+\.tmp)?$")  # the name it was made under stays in what strace shows
_LINE = re.compile(r"(?P<pid>\d+) +(?P<rest>.*)")
_BEGUN = re.compile(r"(?P<call>\w+)\((?P<fd>\d+)(?:<(?P<target>.*?)>(?:\(deleted\))?)?(?P<more>[,) ].*)", re.DOTALL)
_RESUMED = re.compile(r"<\.\.\. (?P<call>\w+) resumed>(?P<more>.*)", re.DOTALL)
_RESULT = re.compile(r"\) += (?P<result>-?\d+)[^\"]*$")


@dataclass(slots=True)
class Call:
    """One system call.

    Attributes
    ----------
    began, ended : int
        Lines of the trace.
    target : str
        The file or the socket, as ``-yy`` names it.
    result : int or None
        None where it never returned.
    """

    name: str
    target: str
    text: str
    began: int
    ended: int | None = None
    result: int | None = None

    @property
    def in_journal(self) -> bool:
        return _CHUNK.search(self.target) is not None


def calls(trace: Iterable[str]) -> Iterator[Call]:
    """Read a trace of ``strace -f -yy``; those that never returned come last."""
    open_calls: dict[str, Call] = {}
    for number, line in enumerate(trace):
        found = _LINE.match(line)
        if found is None:
            continue
        pid, rest = found["pid"], found["rest"]
        if resumed := _RESUMED.match(rest):
            call = open_calls.pop(pid, None)
            if call is None or call.name != resumed["call"]:
                raise ValueError(f"line {number + 1} of the trace goes on with what nothing began")
            call.text += resumed["more"]
        elif begun := _BEGUN.match(rest):
            call = Call(begun["call"], begun["target"] or "", begun["more"], number)
            if rest.rstrip().endswith("<unfinished ...>"):
                open_calls[pid] = call
                continue
        else:
            continue
        result = _RESULT.search(call.text.rstrip())
        call.ended, call.result = number, int(result["result"]) if result else None
        yield call
    yield from open_calls.values()


def unproven(trace: Iterable[str], wire_ids: Iterable[str]) -> list[str]:
    """Return, for each wire id that left before its intent was durable, or is not proven not to have, what was seen."""
    made = list(calls(trace))
    syncs = [call for call in made if call.name in SYNCS and call.result == 0]
    writes = [call for call in made if call.name in WRITES]
    found = []
    for wire_id in wire_ids:
        carrying = [call for call in writes if wire_id in call.text]
        written = [call for call in carrying if call.in_journal and call.ended is not None and (call.result or 0) > 0]
        left = min((call.began for call in carrying if not call.in_journal), default=None)
        if left is None:
            found.append(f"{wire_id} never left")
        elif not written:
            found.append(f"{wire_id} left in line {left + 1} and was never written down")
        elif not any(
            sync.target == write.target and write.ended < sync.began and sync.ended < left
            for write in written
            for sync in syncs
        ):
            lines = ", ".join(str(call.ended + 1) for call in written)
            found.append(f"{wire_id} left in line {left + 1}; written in {lines}, and not durable before it left")
    return found


# -- under strace ------------------------------------------------------------------------------------------------------


async def trade(broker: str, folder: str) -> list[str]:
    """Place orders one after the other, then several at once; return their wire ids."""
    runtime = RealRuntime()
    async with staged(runtime, load_adapter(broker), state_dir=folder) as stage:
        await stage.connect()
        for number in range(ORDERS // 2):
            await _place(stage, number)
        await asyncio.gather(*(_place(stage, number) for number in range(ORDERS // 2, ORDERS)))
        found = [order.wire_id for order in stage.client.orders_service.store if order.wire_id]
        await stage.close()
    runtime.close()
    return found


async def _place(stage: Stage, number: int) -> None:
    cast = stage.cast
    terms = {"order_type": "LIMIT", "price": cast.price("A", Decimal(-4), -number), "product": cast.product("A")}
    try:
        await stage.client.place(stage.id_of("A"), "BUY", cast.unit("A"), **terms, client_order_id=f"mine-{number}")
    except DragomanError as error:
        raise SystemExit(f"order {number} was not taken: {error}") from error


def traced(broker: str) -> tuple[list[str], list[str]]:
    """Let a client trade under strace; return the trace and the wire ids of its orders."""
    with tempfile.TemporaryDirectory() as folder:
        trace = f"{folder}/trace"
        options = ["-f", "-yy", "-qq", "-s", "262144", "-e", f"trace={','.join((*SYNCS, *WRITES))}", "-o", trace]
        command = ["strace", *options, sys.executable, "-m", "chaos.order_check", "--trade", broker, f"{folder}/state"]
        ran = subprocess.run(
            command, capture_output=True, text=True, cwd=TESTS, env=os.environ | {"PYTHONPATH": str(TESTS)}, timeout=120
        )
        if ran.returncode:
            raise RuntimeError(f"{broker}: the client ended with {ran.returncode}: {ran.stderr[-2000:]}")
        return pathlib.Path(trace).read_text(errors="replace").splitlines(), ran.stdout.split()


def main(arguments: list[str]) -> int:
    """Check the brokers named, or all; return the exit status."""
    if arguments[:1] == ["--trade"]:
        print(*run(trade(arguments[1], arguments[2])))
        return 0
    if shutil.which("strace") is None:
        print(f"skipped: {NO_STRACE}")
        return 0
    status = 0
    for broker in arguments or BROKERS:
        trace, wire_ids = traced(broker)
        wrong = unproven(trace, wire_ids)
        status = status or int(bool(wrong) or len(wire_ids) < ORDERS)
        proven = len(wire_ids) - len(wrong)
        print(f"{broker}: {proven} of {len(wire_ids)} intents durable before the first byte that carries their wire id")
        print(*(f"  {line}" for line in wrong), sep="\n", end="\n" if wrong else "")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
