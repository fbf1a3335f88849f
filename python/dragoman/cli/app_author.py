"""The commands for those who write or examine an adapter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dragoman.cli.completion import broker_names
from dragoman.cli.group import Commands
from dragoman.cli.options import AsJson, account_command

if TYPE_CHECKING:
    from dragoman.cli.account import Account

Broker = Annotated[
    str, typer.Argument(help="Name of an installed adapter, see `dragoman brokers`.", autocompletion=broker_names)
]
AUTHORS = "Writing an adapter"


def add_to(app: typer.Typer) -> None:
    """Add the commands to an application."""

    @app.command("new-adapter", rich_help_panel=AUTHORS)
    def new_adapter(
        name: Annotated[str, typer.Argument(help="What users will call the broker: lower case.")],
        folder: Annotated[Path | None, typer.Argument(help="A new folder; dragoman-NAME by default.")] = None,
    ) -> None:
        """Write a new adapter package that works against its own emulator, with tests that say what is left to do."""
        from dragoman.cli.new_adapter import write

        root = write(name, folder)
        print(f"{root}: install it with `pip install -e {root}`, then run its tests; README.md says where to begin")

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
        show_steps: Annotated[bool, typer.Option("--steps", help="Print the steps they are written in.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Play the conformance scenarios against adapters and their emulators; exit status 1 if one fails."""
        from dragoman.cli import conformance as work

        if show_steps:
            work.show_steps()
            return
        if show_list:
            work.show_list(only, as_json=as_json)
            return
        raise typer.Exit(work.play_all(brokers or [], only, loopback=loopback, seed=seed, as_json=as_json))

    layout = typer.Typer(help="Look at how messages are described.", no_args_is_help=True, cls=Commands)
    app.add_typer(layout, name="layout", rich_help_panel=AUTHORS)

    @layout.command()
    def explain(
        broker: Broker,
        message: Annotated[str, typer.Argument(help="A file with one message, hexadecimal digits, or JSON text.")],
        feed: Annotated[str, typer.Option(help="Stream the message came on.")] = "market",
        as_json: AsJson = False,
    ) -> None:
        """Show what each byte, or each path, of a captured message is to an adapter's layouts."""
        from dragoman.cli.explain import explain_message

        explain_message(broker, message, feed=feed, as_json=as_json)

    @account_command(app, panel=AUTHORS)
    def capture(
        at: Account,
        names: Annotated[list[str] | None, typer.Argument(help="Instruments to stream, such as NSE:INFY.")] = None,
        mode: Annotated[str, typer.Option(help="ltp, quote, full or deep; full where there is such a mode.")] = "",
        out: Annotated[Path | None, typer.Option(help="A new file; <broker>.capture.jsonl by default.")] = None,
        seconds: Annotated[float, typer.Option(min=0.1, max=86_400, help="How long to record.")] = 60.0,
    ) -> None:
        """Record an account's streams, frames both ways, without secrets; `dragoman replay` reads the file."""
        from dragoman.cli import capture as work

        work.capture(at, list(names or []), mode=mode, out=out, seconds=seconds)

    @app.command(rich_help_panel=AUTHORS)
    def replay(
        broker: Broker,
        file: Annotated[Path, typer.Argument(help="A capture, or lines of `<unix time>: <frame>`.")],
        feed: Annotated[str, typer.Option(help="Stream whose layouts to use; found by trying.")] = "",
        as_json: AsJson = False,
    ) -> None:
        """Run recorded traffic through an adapter's layouts and the books; count, time, and show the final tops."""
        from dragoman.cli.capture import replay_file

        raise typer.Exit(replay_file(broker, file, feed=feed, as_json=as_json))
