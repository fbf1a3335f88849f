"""The commands about rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dragoman.cli.app_trading import TRADING, Instrument
from dragoman.cli.options import ProductWord, Yes, account_command

if TYPE_CHECKING:
    from dragoman.cli.account import Account

RuleId = Annotated[str, typer.Argument(help="Id of the rule, see `dragoman rules list`.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to an application."""
    rules = typer.Typer(help="Rules that watch positions and make them smaller.", no_args_is_help=True)
    _add_rules(rules)
    app.add_typer(rules, name="rules", rich_help_panel=TRADING)


def _add_rules(app: typer.Typer) -> None:
    @account_command(app, "list")
    def listed(
        at: Account, everything: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False
    ) -> None:
        """Print the account's rules, whichever process they live in."""
        from dragoman.cli import rules

        rules.listed(at, everything=everything)

    @account_command(app)
    def add(
        at: Account,
        kind: Annotated[str, typer.Argument(help="stop, target, trail, pair or time.")],
        instrument: Instrument,
        price: Annotated[str | None, typer.Option(help="The level; of a trail the distance.")] = None,
        percent: Annotated[str | None, typer.Option(help="Instead: so far from the average price.")] = None,
        ticks: Annotated[str | None, typer.Option(help="Instead: so many ticks from the average price.")] = None,
        stop: Annotated[str | None, typer.Option(help="Of a pair: the stop's price.")] = None,
        target: Annotated[str | None, typer.Option(help="Of a pair: the target's price.")] = None,
        when: Annotated[str | None, typer.Option("--at", help="Of a time: HH:MM, exchange time.")] = None,
        quantity: Annotated[str | None, typer.Option(help="Units at most; the whole position otherwise.")] = None,
        product: ProductWord = None,
        name: Annotated[str | None, typer.Option(help="Your name of it, used once ever.")] = None,
        broker_keeps: Annotated[bool, typer.Option("--at-broker", help="The broker's own trigger watches.")] = False,
        yes: Yes = False,
    ) -> None:
        """Arm a rule on a position: `rules add stop NSE:INFY --price 1480`. Says what happens if processes die."""
        from dragoman.cli import rules

        terms = {
            "price": price,
            "percent": percent,
            "ticks": ticks,
            "stop": stop,
            "target": target,
            "at": when,
            "quantity": quantity,
            "product": product,
            "name": name,
            "where": "broker" if broker_keeps else None,
        }
        rules.add(at, kind, instrument, terms, yes=yes)

    @account_command(app)
    def cancel(at: Account, rule: RuleId, yes: Yes = False) -> None:
        """End a rule; it does not come back."""
        from dragoman.cli import rules

        rules.cancel(at, rule, yes=yes)

    @account_command(app)
    def run(
        at: Account,
        seconds: Annotated[float | None, typer.Option(min=0, max=864_000, help="Stop after so long.")] = None,
    ) -> None:
        """Watch the account's rules until interrupted: they act while this runs."""
        from dragoman.cli import rules

        rules.run(at, seconds=seconds)
