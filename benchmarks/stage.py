"""The player and its consumers as processes, and what one play tells of a consumer."""

from __future__ import annotations

import json
import os
import pathlib
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
PATIENCE_S = 120.0
CHUNK = 16
"""Frames a write, flat out: so that the player is never what is waited for."""


@dataclass(frozen=True, slots=True)
class Play:
    """One play to one consumer.

    Attributes
    ----------
    frames, ticks : int
    sum : float
        Of everything the handler read, where it was asked to add it up: two that read the same bytes have the same.
    cpu_ns : int
        Processor time of the whole process, user and system, from before the first frame to after the last handler.
    wall_ns : int
        From the first frame to the report after the last.
    latencies : list of int
        ns from before a frame was written to the end of its handler; only of paced plays.
    spans : list of int
        ns of whatever else the consumer times by itself; most time nothing.
    """

    frames: int
    ticks: int
    sum: float
    cpu_ns: int
    wall_ns: int
    latencies: list[int]
    spans: list[int]


class Child:
    """A process of ours that talks in lines."""

    def __init__(self, module: str, *arguments: str) -> None:
        command = [sys.executable, "-m", module, *arguments]
        self.name = " ".join(command[2:])
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._read = b""

    def line(self) -> str:
        """Return the next line it prints.

        Raises
        ------
        RuntimeError
            It ended, or says nothing for two minutes.
        """
        assert self._process.stdout is not None
        out = self._process.stdout.fileno()
        while b"\n" not in self._read:
            ready, _, _ = select.select([out], [], [], PATIENCE_S)
            piece = os.read(out, 1 << 20) if ready else b""
            if not piece:
                state = f"ended with {self._process.wait()}" if ready else f"said nothing for {PATIENCE_S:g} s"
                raise RuntimeError(f"{self.name} {state}; what it wrote to standard error is above")
            self._read += piece
        line, _, self._read = self._read.partition(b"\n")
        return line.decode()

    def tell(self, order: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()

    def cpu_ns(self) -> int:
        """Return the processor time of all its threads: Linux names the clock of process p ``~p << 3 | 2``."""
        return time.clock_gettime_ns((~self._process.pid << 3) | 2)

    @contextmanager
    def beside_us(self) -> Iterator[None]:
        """Keep this thread and the process on one CPU meanwhile, where the system lets them be kept.

        What is timed then is what both execute. On two CPUs of a virtual machine each message also wakes a CPU that
        was halted, which is the hypervisor's time, and differs from machine to machine.
        """
        if not hasattr(os, "sched_setaffinity"):
            yield
            return
        allowed, pid = os.sched_getaffinity(0), self._process.pid
        theirs = os.sched_getaffinity(pid)
        for one in (0, pid):
            os.sched_setaffinity(one, {max(allowed)})
        try:
            yield
        finally:
            os.sched_setaffinity(0, allowed)
            os.sched_setaffinity(pid, theirs)

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


class Stage:
    """A player, and whoever listens to it; a context manager that ends them all."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="dragoman-bench-")
        self._player = Child("benchmarks.player", self._folder.name)
        self._consumers: dict[str, tuple[Child, list[str]]] = {}
        self._marks: dict[str, str] = {}
        self._port = str(json.loads(self._player.line())["port"])

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in (*(child for child, _ in self._consumers.values()), self._player):
            child.end()
        self._folder.cleanup()

    def frames(self, name: str, frames: Sequence[bytes]) -> None:
        """Give the player a set of frames."""
        data = b"".join(len(one).to_bytes(4, "big") + one for one in frames)
        (pathlib.Path(self._folder.name) / name).write_bytes(data)

    def consumer(self, kind: str, *, instruments: int, sockets: int = 1, name: str = "") -> None:
        """Start a consumer and wait until it is subscribed."""
        name = name or kind
        paths = [f"{name}{at}" for at in range(sockets)]
        child = Child("benchmarks.consumers", kind, self._port, ",".join(paths), str(instruments))
        self._consumers[name] = child, paths
        # What each hands to its user at once: the SDK would log an error first, and ours look for the order.
        self._marks[name] = "order" if kind == "kiteconnect" else "error"
        assert child.line() == "ready"

    def dismiss(self, name: str) -> None:
        """End a consumer."""
        self._consumers.pop(name)[0].end()

    def play(
        self, name: str, frames: str, count: int, gap_s: float = 0.0, *, chunk: int = CHUNK, check: bool = False
    ) -> Play:
        """Send `count` frames to each socket of a consumer, `gap_s` apart or as fast as it reads them.

        Without a gap they are written `chunk` at a time. With `check` its handler adds up what it reads; otherwise it
        only reads.
        """
        child, paths = self._consumers[name]
        word = "check" if check else "pace" if gap_s > 0 else "begin"
        cpu = child.cpu_ns()
        self._player.tell(
            {
                "peers": paths,
                "frames": frames,
                "count": count,
                "gap_s": gap_s,
                "chunk": chunk,
                "word": word,
                "mark": self._marks[name],
            }
        )
        last = [json.loads(child.line()) for _ in paths][-1]
        cpu, ended = child.cpu_ns() - cpu, time.monotonic_ns()
        played = json.loads(self._player.line())
        expected = count * len(paths)
        assert last["frames"] == expected, f"{name} handled {last['frames']} of {expected} frames"
        latencies = [end - begin for begin, end in zip(played["stamps"], last["ends"], strict=True)]
        return Play(last["frames"], last["ticks"], last["sum"], cpu, ended - played["began"], latencies, last["spans"])
