"""An SQLite index of a journal, for questions. Never the truth: it is made from the log, and made anew at will.

It lies beside the log and is brought up to date by reading what was added since. It remembers the last record it took;
where the log no longer has that one, or the index cannot be read, it is made anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import orjson

from dragoman.orders.journal.format import Kind, Record, record_hash
from dragoman.orders.journal.reading import facts_of, read_raw
from dragoman.orders.journal.scan import Raw, Scan
from dragoman.runtime.base import Disk

if TYPE_CHECKING:
    import sqlite3

FILE = "index.sqlite"
_VERSION = 1
_BATCH = 5_000

_SCHEMA = """
CREATE TABLE mark (version INTEGER, chunk INTEGER, before INTEGER, before_hash BLOB, sequence INTEGER, digest TEXT);
CREATE TABLE records (
    sequence INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, time TEXT NOT NULL, epoch INTEGER NOT NULL,
    run TEXT NOT NULL, kind TEXT NOT NULL, name TEXT, what TEXT, payload TEXT NOT NULL);
CREATE INDEX records_by_name ON records (name) WHERE name IS NOT NULL;
CREATE INDEX records_by_time ON records (time_ns);
CREATE TABLE orders (
    name TEXT PRIMARY KEY, wire_id TEXT, order_id TEXT, instrument_id TEXT, side TEXT, quantity TEXT, order_type TEXT,
    price TEXT, product TEXT, status TEXT, filled_quantity TEXT, average_price TEXT, asked_ns INTEGER,
    changed_ns INTEGER, sequence INTEGER);
CREATE INDEX orders_by_order_id ON orders (order_id);
CREATE TABLE fills (
    trade_id TEXT, order_id TEXT, name TEXT, instrument_id TEXT, side TEXT, quantity TEXT, price TEXT,
    is_synthetic INTEGER, time_ns INTEGER, sequence INTEGER, PRIMARY KEY (order_id, trade_id)) WITHOUT ROWID;
CREATE TABLE decisions (sequence INTEGER PRIMARY KEY, time_ns INTEGER, name TEXT, what TEXT, payload TEXT);
"""
_ORDER: tuple[str, ...] = (
    "wire_id",
    "order_id",
    "instrument_id",
    "side",
    "quantity",
    "order_type",
    "price",
    "product",
    "status",
)
_ORDER += ("filled_quantity", "average_price")
_TOLD = ", ".join(f"{name} = coalesce(excluded.{name}, orders.{name})" for name in _ORDER)
_PUT_ORDER = (
    f"INSERT INTO orders (name, {', '.join(_ORDER)}, asked_ns, changed_ns, sequence)"  # noqa: S608 (names of ours)
    f" VALUES (?{', ?' * (len(_ORDER) + 3)}) ON CONFLICT (name) DO UPDATE SET {_TOLD},"
    " asked_ns = coalesce(orders.asked_ns, excluded.asked_ns), changed_ns = excluded.changed_ns,"
    " sequence = excluded.sequence"
)
_PUT_FILL = "INSERT OR REPLACE INTO fills VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_TIME = "strftime('%Y-%m-%dT%H:%M:%f', ?/1000000000.0, 'unixepoch') || 'Z'"


def open_index(disk: Disk, folder: str) -> sqlite3.Connection:
    """Bring the index of a journal up to date and return it, fit for reading only. Blocking.

    Tables: ``records`` (sequence, time_ns, time, epoch, run, kind, name, what, payload), ``orders`` (one row for each
    client order id), ``fills``, ``decisions``. Quantities and prices are exact decimals as text.

    Raises
    ------
    OSError
        The journal cannot be read, or the index not written.
    """
    update_index(disk, folder)
    return disk.database(f"{folder}/{FILE}", read_only=True)


def update_index(disk: Disk, folder: str) -> int:
    """Add to the index what the journal has beyond it; return how many records those were."""
    import sqlite3

    path = f"{folder}/{FILE}"
    try:
        return _update(disk, folder, disk.database(path))
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and "lock" in str(error):
            raise OSError(f"the index {path} is in use: {error}") from error
    # It is damaged. Nothing is lost with it.
    for name in (path, f"{path}-journal", f"{path}-wal", f"{path}-shm"):
        disk.remove(name)
    try:
        return _update(disk, folder, disk.database(path))
    except sqlite3.DatabaseError as error:
        raise OSError(f"the index {path} cannot be written: {error}") from error


def named(disk: Disk, folder: str, name: str) -> list[Record]:
    """Return every record about the order of that client order id, oldest first, whenever it was written."""
    index = open_index(disk, folder)
    try:
        rows = index.execute(
            "SELECT kind, time_ns, epoch, sequence, run, payload FROM records WHERE name = ? ORDER BY sequence", (name,)
        ).fetchall()
    finally:
        index.close()
    return [
        Record(_kind(kind), time_ns, epoch, sequence, run, orjson.loads(payload))
        for kind, time_ns, epoch, sequence, run, payload in rows
    ]


def _kind(name: str) -> Kind:
    return Kind[name] if name in Kind.__members__ else Kind(int(name.removeprefix("KIND_")))


def _update(disk: Disk, folder: str, index: sqlite3.Connection) -> int:
    try:
        index.execute("PRAGMA synchronous = OFF")  # what a crash spoils is made anew
        with index:
            index.execute("BEGIN IMMEDIATE")
            mark = _mark(index)
            if mark is not None and not _still_there(disk, folder, mark):
                mark = None
            if mark is None:
                _begin_anew(index)
            return _add(disk, folder, index, mark)
    finally:
        index.close()


def _mark(index: sqlite3.Connection) -> tuple[int, int, bytes, int, str] | None:
    """Return where the index ends: chunk, what the scan had before it, last sequence and the digest of its payload."""
    tables = {row[0] for row in index.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "mark" not in tables:
        return None
    row = index.execute("SELECT version, chunk, before, before_hash, sequence, digest FROM mark").fetchone()
    return None if row is None or row[0] != _VERSION else tuple(row[1:])


def _still_there(disk: Disk, folder: str, mark: tuple[int, int, bytes, int, str]) -> bool:
    chunk, before, before_hash, sequence, digest = mark
    scan = Scan(sequence=before, previous=before_hash)
    for raw in read_raw(disk, folder, scan, first=chunk):
        if raw.sequence == sequence:
            return _digest(raw) == digest
        if raw.sequence > sequence:
            return False
    return False


def _digest(raw: Raw) -> str:
    return f"{raw.time_ns}/{raw.epoch}/{raw.kind}/{raw.run.decode()}/{record_hash(raw.payload).hex()}"


def _begin_anew(index: sqlite3.Connection) -> None:
    for (table,) in index.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        index.execute(f'DROP TABLE "{table}"')
    for statement in _SCHEMA.split(";"):
        if statement.strip():
            index.execute(statement)


def _add(disk: Disk, folder: str, index: sqlite3.Connection, mark: tuple[int, int, bytes, int, str] | None) -> int:
    chunk, before, before_hash, sequence, _ = mark or (1, 0, bytes(16), 0, "")
    scan = Scan(sequence=before, previous=before_hash)
    rows: list[tuple[Any, ...]] = []
    added, last = 0, None
    for raw in read_raw(disk, folder, scan, first=chunk):
        if raw.sequence <= sequence:
            continue
        added, last = added + 1, raw
        here = scan.chunks[-1]
        rows.append(_row(index, raw))
        if len(rows) >= _BATCH:
            _put_rows(index, rows)
    _put_rows(index, rows)
    if last is not None:
        index.execute("DELETE FROM mark")
        index.execute(
            "INSERT INTO mark VALUES (?, ?, ?, ?, ?, ?)",
            (_VERSION, here.number, here.before[0], here.before[1], last.sequence, _digest(last)),
        )
    return added


def _put_rows(index: sqlite3.Connection, rows: list[tuple[Any, ...]]) -> None:
    index.executemany(f"INSERT INTO records VALUES (?, ?, {_TIME}, ?, ?, ?, ?, ?, ?)", rows)  # noqa: S608 (no input)
    rows.clear()


def _row(index: sqlite3.Connection, raw: Raw) -> tuple[Any, ...]:
    """Put a record's order, fills and decision where they belong, and return its own row."""
    text = bytes(raw.payload).decode()
    payload = orjson.loads(text)
    facts = facts_of(payload)
    kind = Kind(raw.kind)
    if kind is Kind.INTENT and isinstance(payload.get("request"), dict):
        _put_order(index, raw, facts.name, payload["request"] | {"status": "SUBMITTED"}, asked_ns=raw.time_ns)
    elif isinstance(payload.get("order"), dict):
        _put_order(index, raw, facts.name, payload["order"], asked_ns=None)
    for trade_id in payload.get("replaced", ()):
        index.execute("DELETE FROM fills WHERE trade_id = ? AND name = ?", (trade_id, facts.name))
    for fill in payload.get("fills", ()):
        _put_fill(index, raw, facts.name, fill)
    if kind is Kind.DECISION:
        index.execute(
            "INSERT INTO decisions VALUES (?, ?, ?, ?, ?)", (raw.sequence, raw.time_ns, facts.name, facts.what, text)
        )
    return (
        raw.sequence,
        raw.time_ns,
        raw.time_ns,
        raw.epoch,
        raw.run.decode(),
        kind.name,
        facts.name or None,
        facts.what or None,
        text,
    )


def _put_order(index: sqlite3.Connection, raw: Raw, name: str, order: dict[str, Any], *, asked_ns: int | None) -> None:
    if name:
        told: Iterable[Any] = (order.get(field) for field in _ORDER)
        index.execute(_PUT_ORDER, (name, *told, asked_ns, raw.time_ns, raw.sequence))


def _put_fill(index: sqlite3.Connection, raw: Raw, name: str, fill: dict[str, Any]) -> None:
    index.execute(
        _PUT_FILL,
        (
            fill.get("trade_id"),
            fill.get("order_id", ""),
            name,
            fill.get("instrument_id"),
            fill.get("side"),
            fill.get("quantity"),
            fill.get("price"),
            bool(fill.get("is_synthetic", False)),
            fill.get("ts_event") or raw.time_ns,
            raw.sequence,
        ),
    )
