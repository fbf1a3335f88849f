"""``dragoman doctor``: everything a trading day needs, examined from this machine.

It reads: nothing is placed, no login is begun, and nobody but the broker is asked unless a service is named that tells
this machine's address.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import typer

from dragoman.cli.account import Account
from dragoman.cli.doctor_account import account_findings, adapter_findings, calendar_finding, credential_findings
from dragoman.cli.doctor_egress import egress_finding
from dragoman.cli.doctor_network import Line, clock_finding, latency_finding, tls_findings
from dragoman.cli.exits import Status
from dragoman.cli.findings import Finding, Level, fail, ok, said
from dragoman.cli.output import print_json
from dragoman.errors import DragomanError
from dragoman.runtime.base import Runtime
from dragoman.session.secrets import redact

if TYPE_CHECKING:
    from rich.console import Console

_MARKS = {Level.OK: "[green]ok[/]", Level.WARN: "[yellow]warn[/]", Level.FAIL: "[red]FAIL[/]"}


def doctor(at: Account, *, ip_echo: str | None) -> None:
    """Examine and print; exit status 1 if something fails."""
    from rich.console import Console

    found: list[Finding] = []
    console = None if at.as_json else Console()

    async def look(runtime: Runtime) -> None:
        async for finding in examine(at, runtime, ip_echo=ip_echo):
            found.append(finding)
            if console is not None:
                _print(console, finding)

    at.perform(look)
    failed = [finding for finding in found if finding.level is Level.FAIL]
    if console is None:
        print_json({"ok": not failed, "broker": at.adapter.name, "profile": at.name, "findings": found})
    else:
        warned = sum(finding.level is Level.WARN for finding in found)
        console.print(f"\n{len(found)} checks, {len(failed)} failed, {warned} to look at", highlight=False)
    if failed:
        raise typer.Exit(Status.NO)


async def examine(at: Account, runtime: Runtime, *, ip_echo: str | None = None) -> AsyncIterator[Finding]:
    """Yield findings as they are made, the most basic ones first.

    Parameters
    ----------
    at : Account
    runtime : Runtime
    ip_echo : str, optional
        URL of a service that answers with the caller's address.
    """
    try:
        profile = await at.load(runtime)
    except DragomanError as error:
        yield fail("profile", "PROFILE_UNUSABLE", said(error), error.remedy)
        return
    yield ok("profile", "PROFILE_READ", f"{profile}", environment=profile.environment)
    for finding in await credential_findings(at.adapter, profile, runtime):
        yield finding
    async with Line(runtime, profile) as line:
        for finding in await tls_findings(line):
            yield finding
        trips = await line.measure(at.timeout)
        yield latency_finding(line, trips)
        yield clock_finding(trips)
        yield await egress_finding(line, at.adapter, ip_echo, at.timeout)
    for finding in await account_findings(at, profile, runtime):
        yield finding
    yield calendar_finding(at.adapter, profile, runtime.clock.wall_ns())
    for finding in adapter_findings(at.adapter, profile):
        yield finding


def _print(console: Console, finding: Finding) -> None:
    from rich.markup import escape
    from rich.table import Table

    row = Table.grid(padding=(0, 1, 0, 0))
    row.add_column(width=4, no_wrap=True)
    row.add_column(overflow="fold")
    row.add_row(_MARKS[finding.level], f"[bold]{finding.check.replace('_', ' ')}[/]: {escape(redact(finding.found))}")
    if finding.remedy:
        row.add_row("", f"-> {escape(redact(finding.remedy))}")
    console.print(row, highlight=False)
