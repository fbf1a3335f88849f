"""``dragoman report``: one trading day of an account as a page, or as its numbers, from the journal. Reads only."""

from __future__ import annotations

from pathlib import Path

from dragoman.cli.account import Account
from dragoman.cli.journal import folder_of
from dragoman.cli.output import print_json
from dragoman.errors import UsageError
from dragoman.orders.journal import read_journal, verify_journal
from dragoman.plugin import Adapter
from dragoman.plugin.registry import load_adapter
from dragoman.report import day_report, numbers, render
from dragoman.runtime.real import RealRuntime


def report(at: Account, broker: str | None, *, day: str | None, folder: Path | None, file: Path | None) -> None:
    """Write the page and say where it is; with ``--json`` print its numbers instead.

    Raises
    ------
    UsageError
        There is no such journal, it cannot be read, or has no record of that day; or the file cannot be written.
    """
    at = at.named(broker)
    where = folder_of(at, folder)
    runtime = RealRuntime()
    try:
        scan = verify_journal(runtime.disk, where)
        adapter = _adapter(at, where, scan.opened)
        now_ns = runtime.clock.wall_ns()
        found = day_report(read_journal(runtime.disk, where), adapter, now_ns=now_ns, day=day, damage=scan.damage)
    except OSError as error:
        remedy = "see who may read it, and the disk's health"
        raise UsageError(f"journal {where} cannot be read: {error}", remedy=remedy) from error
    finally:
        runtime.close()
    if at.as_json and file is None:
        print_json(numbers(found))
        return
    target = file or Path(f"report-{found.broker}-{found.day}.html")
    _write(target, render(found))
    if at.as_json:
        print_json({"file": str(target), "day": found.day})
    else:
        print(f"the report of {found.day} is in {target}")


def _adapter(at: Account, where: str, opened: dict[str, object] | None) -> Adapter:
    """Return the adapter whose journal it is: a copy of it need not lie where that broker's journals do."""
    broker = str((opened or {}).get("broker") or at.broker or "")
    if not broker:
        raise UsageError(f"journal {where} does not say whose it is", remedy="name the broker")
    return load_adapter(broker)


def _write(file: Path, text: str) -> None:
    beside = file.with_name(f".{file.name}.part")
    try:
        beside.touch(mode=0o600)
        beside.write_text(text, "utf-8")
        beside.replace(file)
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}", remedy="give another with --file") from error
    finally:
        beside.unlink(missing_ok=True)
