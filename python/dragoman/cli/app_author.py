"""The commands for those who write or examine an adapter."""

from __future__ import annotations

from typing import Annotated

import typer

from dragoman.cli.completion import broker_names
from dragoman.cli.options import AsJson

AUTHORS = "Writing an adapter"


def add_to(app: typer.Typer) -> None:
    """Add the commands to an application."""

    @app.command(rich_help_panel=AUTHORS)
    def conformance(
        brokers: Annotated[
            list[str] | None,
            typer.Argument(help="Installed adapters; all that ship an emulator.", autocompletion=broker_names),
        ] = None,
        only: Annotated[
            str, typer.Option("--only", "-k", help="Scenarios whose name contains this, such as orders/ or book.")
        ] = "",
        loopback: Annotated[
            bool, typer.Option("--loopback", help="Over real sockets; without --only those marked for it.")
        ] = False,
        seed: Annotated[int, typer.Option(help="Same seed, same market.")] = 7,
        show_list: Annotated[bool, typer.Option("--list", help="Print the scenarios and play none.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Play the conformance scenarios against adapters and their emulators; exit status 1 if one fails."""
        from dragoman.cli import conformance as work

        if show_list:
            work.show_list(only, as_json=as_json)
            return
        raise typer.Exit(work.play_all(brokers or [], only, loopback=loopback, seed=seed, as_json=as_json))
