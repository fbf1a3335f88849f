"""Commands and their options; the work is in the modules beside this one, imported when a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dragoman.cli import app_account, app_author, app_journal, app_rules, app_trading
from dragoman.cli.completion import broker_names
from dragoman.cli.group import Commands
from dragoman.cli.options import AsJson

app = typer.Typer(
    name="dragoman",
    cls=Commands,
    help="One order, position, margin and market-data model, spoken to every broker.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app_account.add_to(app)
app_trading.add_to(app)
app_rules.add_to(app)
app_journal.add_to(app)
app_author.add_to(app)

Broker = Annotated[
    str, typer.Argument(help="Name of an installed adapter, see `dragoman brokers`.", autocompletion=broker_names)
]
TOOLS = "Brokers and emulators"


@app.command(rich_help_panel=TOOLS)
def brokers(as_json: AsJson = False) -> None:
    """List the installed adapters and what each broker offers."""
    from dragoman.cli.brokers import show_brokers

    show_brokers(as_json=as_json)


@app.command(rich_help_panel=TOOLS)
def decode(
    broker: Broker,
    base64: Annotated[Path | None, typer.Option(help="File of base64 text.")] = None,
    hex_: Annotated[Path | None, typer.Option("--hex", help="File of hexadecimal text.")] = None,
    raw: Annotated[Path | None, typer.Option(help="File of raw bytes.")] = None,
    feed: Annotated[str, typer.Option(help="Kind of stream the bytes come from.")] = "market",
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines: what it prints anyway.")] = False,
) -> None:
    """Decode a captured frame, or one bare packet, to unified ticks as JSON lines."""
    from dragoman.cli.decode import decode_file

    decode_file(broker, base64=base64, hex_=hex_, raw=raw, feed=feed)


@app.command(rich_help_panel=TOOLS)
def emulate(
    broker: Broker,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 picks a free one.")] = 0,
    seed: Annotated[int, typer.Option(help="Same seed, same market.")] = 1,
    tick_rate: Annotated[float, typer.Option(min=0.01, max=1000, help="Ticks a second and instrument, at most.")] = 5.0,
    faults: Annotated[str, typer.Option(help="What goes wrong, see `dragoman.emulator.faults`.")] = "",
    redirect_port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port of the redirect URL registered for the app.")
    ] = 5010,
    name: Annotated[
        str, typer.Option(help="Name other commands find it by: `--environment emulator --profile NAME`.")
    ] = "emulator",
    market: Annotated[
        Path | None,
        typer.Option(help="Recorded traffic (see `dragoman replay`) that moves the market."),
    ] = None,
    speed: Annotated[float, typer.Option(min=0.01, max=1000, help="Recorded seconds that pass in one.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line: what it prints anyway.")] = False,
) -> None:
    """Serve a broker's protocol on loopback until interrupted; prints one JSON line saying where and with what.

    Other commands on this machine find it with --environment emulator.
    """
    from dragoman.cli.emulate import serve

    serve(
        broker,
        port=port,
        seed=seed,
        tick_rate=tick_rate,
        faults=faults,
        redirect_port=redirect_port,
        name=name,
        market=market,
        speed=speed,
    )


@app.command(rich_help_panel=TOOLS)
def demo(
    broker: Annotated[
        str, typer.Option(help="Adapter to show, or all: the same strategy with each.", autocompletion=broker_names)
    ] = "all",
    seconds: Annotated[float, typer.Option(min=0, max=86_400, help="How long to stream and trade, with each.")] = 5.0,
    seed: Annotated[int, typer.Option(help="Same seed, same market.")] = 7,
    market: Annotated[
        Path | None, typer.Option(help="Recorded traffic (see `dragoman replay`) that moves the market.")
    ] = None,
    speed: Annotated[float, typer.Option(min=0.01, max=1000, help="Recorded seconds that pass in one.")] = 1.0,
    drill: Annotated[
        bool, typer.Option("--drill", help="Instead: the market falls, rules and the kill switch act.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run the main job against an emulated broker; exit 0 only if every book agrees with the exchange's ledger."""
    if drill:
        from dragoman.cli.drill import run_drill

        raise typer.Exit(run_drill(broker, seed=seed, as_json=as_json, market=market))
    from dragoman.cli.demo import run_demo

    raise typer.Exit(run_demo(broker, seconds=seconds, seed=seed, as_json=as_json, market=market, speed=speed))
