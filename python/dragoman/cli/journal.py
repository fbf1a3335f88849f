"""``dragoman journal``: what this machine asked of a broker and learnt about it. Reads only; needs no session."""

from __future__ import annotations

import csv
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import typer

from dragoman.cli.account import Account
from dragoman.cli.exits import Status
from dragoman.cli.output import cell, iso, number, print_json, print_line, show, text
from dragoman.errors import DragomanError, UsageError
from dragoman.orders.journal import Kind, Record, journal_folder, open_index, read_journal, verify_journal
from dragoman.orders.journal.reading import facts_of
from dragoman.runtime.base import Runtime
from dragoman.runtime.real import RealRuntime
from dragoman.session.tokens import default_state_dir, file_name

_SHOWN = (
    number("sequence"),
    text("time"),
    text("kind"),
    text("what", 3),
    text("order", 1),
    text("instrument", 2),
    text("side", 5),
    number("quantity", 5),
    number("price", 6),
    text("status", 4),
)
_EXPORTED = (
    ("sequence", int),
    ("time_ns", int),
    ("epoch", int),
    ("run", str),
    ("kind", str),
    ("client_order_id", str),
    ("what", str),
    ("order_id", str),
    ("instrument_id", str),
    ("side", str),
    ("quantity", str),
    ("price", str),
    ("status", str),
    ("payload", str),
)
_ROWS = 20_000


# -- which journal -----------------------------------------------------------------------------------------------------


def folder_of(at: Account, given: Path | None) -> str:
    """Return the journal's folder: the one given, the account's, or the only one that the options fit.

    Raises
    ------
    UsageError
        There is none, or several could be meant; names them.
    """
    if given is not None:
        if not given.is_dir():
            raise UsageError(f"{given} is no folder", remedy="give the folder that holds the .journal files")
        return str(given)

    async def look(runtime: Runtime) -> tuple[str, str | None]:
        return default_state_dir(runtime), await _exact(at, runtime)

    state, exact = at.perform(look)
    if exact is not None and Path(exact).is_dir():
        return exact
    named = [None if part is None else file_name(part) for part in (at.broker, at.environment)]
    base = Path(state, "journal")
    found = sorted(path for path in base.glob("*") if path.is_dir() and _fits(path.name.split("."), named))
    if len(found) == 1:
        return str(found[0])
    if found:
        raise UsageError(
            f"{len(found)} journals can be meant: {', '.join(path.name for path in found)}",
            remedy=f"name the account with --broker, --profile and --environment, or give --folder {base}/NAME",
        )
    raise UsageError(f"there is no such journal below {base}", remedy="one begins with the first order of an account")


async def _exact(at: Account, runtime: Runtime) -> str | None:
    """Return where the journal of the account would be; None where the options do not lead to an account."""
    try:
        profile = await at.load(runtime)
    except DragomanError:
        return None  # a journal outlives its profile
    kept = at.kept(runtime, profile)
    account = profile.account or (kept.account if kept is not None else None)
    if account is None:
        return None
    state, hosts = default_state_dir(runtime), profile.hosts.values()
    return journal_folder(state, profile.broker, profile.environment, account, hosts=hosts)


def _fits(parts: list[str], named: list[str | None]) -> bool:
    return all(wanted is None or found == wanted for found, wanted in zip(parts, named, strict=False))


# -- commands ----------------------------------------------------------------------------------------------------------


def verify(at: Account, folder: Path | None) -> None:
    """Check every byte and say what is there; exit status 1 where damage was found that no opening has met yet."""
    where = folder_of(at, folder)
    disk = RealRuntime().disk
    try:
        scan = verify_journal(disk, where)
    except OSError as error:
        raise _unreadable(where, error) from error
    writer = disk.holder(f"{where}/writer.lock")
    new = [one for one in scan.damage if not one.known]
    if at.as_json:
        print_json(
            {
                "folder": where,
                "chunks": len(scan.chunks),
                "bytes": sum(chunk.size for chunk in scan.chunks),
                "records": scan.records,
                "epochs": len(scan.epochs),
                "account": _account(scan.opened),
                "writer": writer,
                "ended": scan.kind == Kind.CLOSE,
                "sound": not new,
                "damage": [_damage_row(one) for one in scan.damage],
            }
        )
    else:
        rows = [
            {
                "chunk": chunk.name,
                "records": chunk.records,
                "first": chunk.first_sequence or "",
                "last": chunk.last_sequence or "",
                "used": f"{chunk.end / chunk.size:.0%}" if chunk.size else "",
                "newest": iso(chunk.newest_ns)[:19] + "Z" if chunk.newest_ns else "",
                "state": "damaged" if chunk.damaged else "" if chunk.records else "made ahead",
            }
            for chunk in scan.chunks
        ]
        columns = (text("chunk"), number("records"), number("first", 2), number("last", 2), number("used", 3))
        show(f"Journal {where}", (*columns, text("newest", 1), text("state")), rows, empty="the journal is empty")
        print(f"{scan.records} records of {len(scan.epochs)} epochs; {_state(scan.kind, writer)}")
        for one in scan.damage:
            print(f"{'known damage' if one.known else 'DAMAGE'}: {one}")
        print("every byte is as it was written" if not scan.damage else "sound apart from that" if not new else "")
    raise typer.Exit(Status.NO if new else Status.OK)


def _damage_row(one: Any) -> dict[str, Any]:
    names = ("file", "offset", "length", "what", "after", "lost", "digest", "known")
    return {name: getattr(one, name) for name in names}


def _account(opened: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if opened is None else {key: opened.get(key) for key in ("broker", "environment", "account")}


def _state(kind: int, writer: Any) -> str:
    if writer is not None:
        return f"process {writer.pid} on {writer.host or 'this machine'} writes it"
    return "the last epoch ended properly" if kind == Kind.CLOSE else "the last epoch was cut off"


def show_records(at: Account, folder: Path | None, *, order: str | None, limit: int) -> None:
    """Print the newest records, or all there are about one order."""
    where = folder_of(at, folder)
    disk = RealRuntime().disk
    records: list[Record] = []
    if order is None:
        records.extend(deque(_records(disk, where), maxlen=limit))
    else:
        # A broker's id is not in the intent, so whatever was given leads to the order's name first.
        names = {order} | {facts_of(one.payload).name for one in _records(disk, where) if order in _names(one)}
        names.discard("")
        records.extend(one for one in _records(disk, where) if names & _names(one))
    if at.as_json:
        for record in records:
            print_line(_row(record) | {"payload": record.payload})
        return
    rows = []
    for record in records:
        facts = facts_of(record.payload)
        rows.append(
            {
                "sequence": record.sequence,
                "time": iso(record.time_ns)[:23].replace("T", " "),
                "kind": record.kind.name,
                "what": facts.what,
                "order": facts.name or facts.order_id,
                "instrument": facts.instrument_id,
                "side": facts.side,
                "quantity": facts.quantity,
                "price": facts.price,
                "status": facts.status,
            }
        )
    show("Records", _SHOWN, rows, empty="no such records")


def _names(record: Record) -> set[str]:
    facts = facts_of(record.payload)
    order = record.payload.get("order") or record.payload.get("request") or {}
    return {facts.name, facts.order_id, str(order.get("wire_id", "")), *map(str, order.get("order_ids", ()))} - {""}


def sql(at: Account, folder: Path | None, query: str) -> None:
    """Answer a question from the index, which is brought up to date first."""
    where = folder_of(at, folder)
    try:
        index = open_index(RealRuntime().disk, where)
    except OSError as error:
        raise _unreadable(where, error) from error
    try:
        cursor = index.execute(query)
        names = [column[0] for column in cursor.description or ()]
        if at.as_json:
            for row in cursor:
                print_line(dict(zip(names, row, strict=True)))
            return
        columns = [text(name, key=str(i)) for i, name in enumerate(names)]
        rows = [{str(i): value for i, value in enumerate(row)} for row in cursor]
        show("Answer", columns, rows, empty="no rows", fields=True)
    except sqlite3.Error as error:
        remedy = "there are records, orders, fills and decisions; columns: select * from pragma_table_info('orders')"
        raise UsageError(f"the question cannot be answered: {error}", remedy=remedy) from error
    finally:
        index.close()


def export(at: Account, folder: Path | None, file: Path, *, form: str | None, since: datetime | None) -> None:
    """Write every record into a file, one row each; however long the journal is, a part of it is in memory."""
    where = folder_of(at, folder)
    form = form or file.suffix.removeprefix(".").lower()
    writers: dict[str, Callable[[Path, Iterator[dict[str, Any]]], int]] = {"csv": _to_csv, "parquet": _to_parquet}
    if form not in writers:
        raise UsageError(f"{file} does not say its form", remedy="name it .csv or .parquet, or give --csv or --parquet")
    since_ns = 0 if since is None else int(since.timestamp() * 1e9)
    disk = RealRuntime().disk
    beside = file.with_name(f".{file.name}.part")
    try:
        rows = writers[form](beside, map(_row, _records(disk, where, since_ns)))
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)
    if at.as_json:
        print_json({"file": str(file), "rows": rows, "form": form})
    else:
        print(f"{rows} records are in {file}")


def _to_csv(path: Path, rows: Iterator[dict[str, Any]]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        path.chmod(0o600)
        writer = csv.DictWriter(file, ["time", *(name for name, _ in _EXPORTED)])
        writer.writeheader()
        for row in rows:
            writer.writerow({"time": iso(row["time_ns"])} | {name: cell(value) for name, value in row.items()})
            count += 1
    return count


def _to_parquet(path: Path, rows: Iterator[dict[str, Any]]) -> int:
    try:
        import pyarrow as pa  # type: ignore[import-untyped]
        import pyarrow.parquet as pq  # type: ignore[import-untyped]
    except ImportError:
        raise UsageError("Parquet needs pyarrow", remedy="install dragoman[frames], or export to .csv") from None
    kinds = {int: pa.int64(), str: pa.string()}
    fields = [pa.field("time", pa.timestamp("ns", tz="UTC"))] + [pa.field(n, kinds[kind]) for n, kind in _EXPORTED]
    schema = pa.schema(fields)
    count = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        path.chmod(0o600)
        waiting: list[dict[str, Any]] = []
        for row in rows:
            waiting.append({"time": row["time_ns"]} | row)
            count += 1
            if len(waiting) == _ROWS:
                writer.write_table(pa.Table.from_pylist(waiting, schema))
                waiting.clear()
        writer.write_table(pa.Table.from_pylist(waiting, schema))
    return count


def _row(record: Record) -> dict[str, Any]:
    facts = facts_of(record.payload)
    return {
        "sequence": record.sequence,
        "time_ns": record.time_ns,
        "epoch": record.epoch,
        "run": record.journal_id,
        "kind": record.kind.name,
        "client_order_id": facts.name,
        "what": facts.what,
        "order_id": facts.order_id,
        "instrument_id": facts.instrument_id,
        "side": facts.side,
        "quantity": facts.quantity,
        "price": facts.price,
        "status": facts.status,
        "payload": orjson.dumps(record.payload).decode(),
    }


def _records(disk: Any, folder: str, since_ns: int = 0) -> Iterator[Record]:
    try:
        yield from read_journal(disk, folder, since_ns=since_ns)
    except OSError as error:
        raise _unreadable(folder, error) from error


def _unreadable(folder: str, error: OSError) -> UsageError:
    return UsageError(f"journal {folder} cannot be read: {error}", remedy="see who may read it, and the disk's health")
