"""Instrument masters kept on disk for the day, shared by all clients and processes of a host.

One file for each broker, environment and set of hosts; it is replaced whole, and says what it is: format, broker,
trading day, how many rows, a digest of everything. A file that is damaged, of another format or of somebody else's
making is never used: it is reported, and the master is downloaded again.
"""

from __future__ import annotations

import hashlib
import logging
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson

from dragoman.market.master import InstrumentMaster
from dragoman.market.master_columns import SCHEMA, NotStorableError
from dragoman.plugin import Adapter, SessionRules
from dragoman.runtime.base import Runtime
from dragoman.session.tokens import file_name

MAGIC: Final = b"DRGMNMST"
VERSION: Final = 1
_HEAD: Final = struct.Struct("<8sI32sI")  # magic, version, SHA-256 of the rest, length of the table
_NS: Final = 1_000_000_000
_OTHERS_WRITE: Final = 0o022
_log = logging.getLogger("dragoman.market")


def master_day(rules: SessionRules, now_ns: int) -> str:
    """Return the trading day whose master is in force, ``YYYY-MM-DD``.

    Parameters
    ----------
    rules : SessionRules
        `instruments_at`, else `expires_at`, else midnight, in its time zone, begins the day.
    now_ns : int
        Broker time, ns UTC.
    """
    begins = rules.instruments_at or rules.expires_at or time()
    local = datetime.fromtimestamp(now_ns / _NS, UTC).astimezone(ZoneInfo(rules.time_zone))
    day = local.date() if local.time() >= begins else local.date() - timedelta(days=1)
    return day.isoformat()


@dataclass(frozen=True, slots=True)
class Found:
    """What a look into the cache brought: the master, or why a file that is there is not used ("" where none is)."""

    master: InstrumentMaster | None = None
    problem: str = ""


class MasterCache:
    """The file of one broker's master. Its methods block: call them from a worker.

    Parameters
    ----------
    runtime : Runtime
    folder : str
        Where the files are.
    adapter : Adapter
    environment : str
    hosts : mapping
        Masters of different hosts are kept apart.
    """

    def __init__(
        self, runtime: Runtime, folder: str, adapter: Adapter, environment: str, hosts: Mapping[str, str]
    ) -> None:
        self._disk = runtime.disk
        self._rules = adapter.session
        kind = type(adapter)
        self._key: dict[str, Any] = {
            "broker": adapter.name,
            "environment": environment,
            "hosts": dict(sorted(hosts.items())),
            "adapter": f"{kind.__module__}.{kind.__qualname__}",
            "contract": adapter.contract,
            "schema": SCHEMA,
        }
        roots = hashlib.sha256(orjson.dumps(self._key["hosts"])).hexdigest()[:12]
        self._folder = folder
        self._prefix = file_name(adapter.name, environment, roots)

    def path(self, now_ns: int) -> str:
        """Return where the master in force at `now_ns` (broker time) is kept."""
        return f"{self._folder}/{self._prefix}.{master_day(self._rules, now_ns)}.master"

    def load(self, now_ns: int) -> Found:
        """Return the master in force at `now_ns`, if it is there and whole."""
        path = self.path(now_ns)
        if not self._disk.exists(path):
            return Found()
        try:
            return Found(self._read(path, master_day(self._rules, now_ns)))
        except (OSError, ValueError, KeyError, TypeError, IndexError, ArithmeticError) as error:
            problem = f"instrument master {path} is not used: {error or type(error).__name__}"
            _log.warning("%s", problem)
            return Found(None, problem)

    def save(self, master: InstrumentMaster, now_ns: int) -> bool:
        """Keep a master, and remove those of other days; False where it would not come back as it is."""
        day, path = master_day(self._rules, now_ns), self.path(now_ns)
        try:
            table, pieces = master.stored()
        except NotStorableError as error:
            _log.warning("the instrument master of %s is not kept for the next run: %s", self._key["broker"], error)
            return False
        head = orjson.dumps({**self._key, "day": day, **table})
        digest = hashlib.sha256(head)
        for piece in pieces:
            digest.update(piece)
        self._disk.write_atomic(
            path, b"".join((_HEAD.pack(MAGIC, VERSION, digest.digest(), len(head)), head, *pieces)), mode=0o600
        )
        for name in self._disk.listdir(self._folder):
            old = f"{self._folder}/{name}"
            if name.startswith(f"{self._prefix}.") and name.endswith(".master") and old != path:
                self._disk.remove(old)
        return True

    def _read(self, path: str, day: str) -> InstrumentMaster:
        if self._disk.mode(path) & _OTHERS_WRITE:
            raise ValueError("others may write to it")
        data = memoryview(self._disk.read(path))
        if len(data) < _HEAD.size:
            raise ValueError(f"{len(data)} bytes are no master")
        magic, version, digest, length = _HEAD.unpack_from(data)
        if (magic, version) != (MAGIC, VERSION):
            raise ValueError(f"it begins with {magic!r} version {version}, expected {MAGIC!r} version {VERSION}")
        rest = data[_HEAD.size :]
        if hashlib.sha256(rest).digest() != digest:
            raise ValueError("its digest does not fit: it is damaged")
        table = orjson.loads(rest[:length])
        for name, expected in (*self._key.items(), ("day", day)):
            if table[name] != expected:
                raise ValueError(f"it is of {name} {table[name]!r}, expected {expected!r}")
        master = InstrumentMaster.restored(table, rest[length:])
        master.source = "cache"
        return master
