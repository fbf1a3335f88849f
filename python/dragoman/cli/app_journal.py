"""The commands that read the journal."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dragoman.cli.completion import broker_names
from dragoman.cli.group import Commands
from dragoman.cli.options import account_command

if TYPE_CHECKING:
    from dragoman.cli.account import Account

Folder = Annotated[
    Path | None, typer.Option("--folder", help="The journal's folder, where the options do not lead to it.")
]
Broker = Annotated[str | None, typer.Argument(metavar="[BROKER]", help="As --broker.", autocompletion=broker_names)]


def add_to(app: typer.Typer) -> None:
    """Add ``journal`` and its commands to an application."""
    journal = typer.Typer(
        help="Read the durable record of orders: it is only read, also while another process writes it.",
        no_args_is_help=True,
        cls=Commands,
    )
    app.add_typer(journal, name="journal", rich_help_panel="Account")

    @account_command(app, panel="Account")
    def report(
        at: Account,
        name: Broker = None,
        day: Annotated[
            str | None, typer.Option("--day", metavar="YYYY-MM-DD", help="Date at the exchange; today, unless said.")
        ] = None,
        file: Annotated[
            Path | None,
            typer.Option("--file", help="Page to write; report-BROKER-DAY.html unless said.", dir_okay=False),
        ] = None,
        folder: Folder = None,
    ) -> None:
        """Write one trading day as a page: orders, fills, slippage, latency, rejects, margin, profit."""
        from dragoman.cli import report

        report.report(at, name, day=day, folder=folder, file=file)

    @account_command(journal)
    def verify(at: Account, name: Broker = None, folder: Folder = None) -> None:
        """Check every byte; exit status 1 where damage was found that no opening has met yet."""
        from dragoman.cli import journal

        journal.verify(at.named(name), folder)

    @account_command(journal)
    def show(
        at: Account,
        name: Broker = None,
        order: Annotated[
            str | None, typer.Option("--order", help="All there is about this order: its name, wire id or broker's id.")
        ] = None,
        limit: Annotated[int, typer.Option(min=1, help="How many of the newest records.")] = 50,
        folder: Folder = None,
    ) -> None:
        """Print the newest records, or the life of one order."""
        from dragoman.cli import journal

        journal.show_records(at.named(name), folder, order=order, limit=limit)

    @account_command(journal)
    def sql(
        at: Account,
        query: Annotated[str, typer.Argument(help="SELECT over the tables records, orders, fills, decisions.")],
        name: Broker = None,
        folder: Folder = None,
    ) -> None:
        """Ask the index a question in SQL."""
        from dragoman.cli import journal

        journal.sql(at.named(name), folder, query)

    @account_command(journal)
    def export(
        at: Account,
        file: Annotated[Path, typer.Argument(help="File to write; .csv or .parquet.", dir_okay=False)],
        name: Broker = None,
        csv: Annotated[bool, typer.Option("--csv", help="CSV, whatever the file is called.")] = False,
        parquet: Annotated[bool, typer.Option("--parquet", help="Parquet, whatever the file is called.")] = False,
        since: Annotated[datetime | None, typer.Option(help="Only from this time (UTC) on.")] = None,
        folder: Folder = None,
    ) -> None:
        """Write the audit trail, one row for each record."""
        from datetime import UTC

        from dragoman.cli import journal
        from dragoman.errors import UsageError

        if csv and parquet:
            raise UsageError("--csv and --parquet together", remedy="give one")
        form = "csv" if csv else "parquet" if parquet else None
        if since is not None and since.tzinfo is None:
            since = since.replace(tzinfo=UTC)
        journal.export(at.named(name), folder, file, form=form, since=since)
