"""The commands that read an account, and those that begin and end its session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dragoman.cli.options import Name, Names, account_command

if TYPE_CHECKING:
    from dragoman.cli.account import Account

SESSION, MARKET, BOOKS = "Session", "Market", "Account"


def add_to(app: typer.Typer) -> None:
    """Add the commands to an application."""

    @account_command(app, panel=SESSION)
    def login(
        at: Account,
        paste: Annotated[
            bool, typer.Option("--paste", help="Type or paste here what the login page leads to: no browser, no port.")
        ] = False,
        force: Annotated[bool, typer.Option("--force", help="Log in anew although a session stands.")] = False,
        token_stdin: Annotated[
            bool, typer.Option("--token-stdin", help="Take the access token of a login made elsewhere.")
        ] = False,
    ) -> None:
        """Log in; the token is kept until the broker ends it."""
        from dragoman.cli import session

        session.login(at, paste=paste, force=force, token_from_stdin=token_stdin)

    @account_command(app, panel=SESSION)
    def logout(at: Account) -> None:
        """End the session at the broker and forget its token."""
        from dragoman.cli import session

        session.logout(at)

    @account_command(app, panel=SESSION)
    def doctor(
        at: Account,
        ip_echo: Annotated[
            str | None,
            typer.Option(help="https URL of a service that answers with one's address; none is asked otherwise."),
        ] = None,
    ) -> None:
        """Examine everything a trading day needs; exit status 1 if something fails."""
        from dragoman.cli.doctor import doctor

        doctor(at, ip_echo=ip_echo)

    @account_command(app, panel=MARKET)
    def instruments(
        at: Account,
        words: Annotated[
            list[str] | None, typer.Argument(help="What to look for: symbol, name, strike, expiry, call, fut ...")
        ] = None,
        limit: Annotated[int, typer.Option(min=1, help="How many to print.")] = 20,
        exchange: Annotated[str | None, typer.Option(help="Of this exchange segment only, such as NFO.")] = None,
        kind: Annotated[
            str | None, typer.Option("--type", help="SPOT, ETF, INDEX, FUTURE, OPTION, PERP or BOND only.")
        ] = None,
    ) -> None:
        """Find instruments; misspelt words find the nearest."""
        from dragoman.cli import look

        look.instruments(at, words or (), limit=limit, exchange=exchange, kind=kind)

    @account_command(app, panel=MARKET)
    def quote(at: Account, names: Names) -> None:
        """Print quotes, of one instrument with its depth."""
        from dragoman.cli import look

        look.quote(at, names)

    @account_command(app, panel=MARKET)
    def ticks(
        at: Account,
        names: Names,
        mode: Annotated[str, typer.Option(help="ltp, quote or full.")] = "full",
        count: Annotated[int | None, typer.Option(min=1, help="End after so many ticks.")] = None,
        seconds: Annotated[float | None, typer.Option(min=0.1, help="End after so long.")] = None,
    ) -> None:
        """Print the stream, one line a tick, until Ctrl-C."""
        from dragoman.cli.ticks import ticks

        ticks(at, names, mode=mode, count=count, seconds=seconds)

    @account_command(app, panel=MARKET)
    def candles(
        at: Account,
        name: Name,
        interval: Annotated[str, typer.Option("--interval", "-i", help="A number and a unit: 1m, 15m, 1h, 1d.")] = "1d",
        start: Annotated[
            str | None, typer.Option("--from", help="Date or time, the exchange's; by default 30 days ago, or one.")
        ] = None,
        end: Annotated[str | None, typer.Option("--to", help="Date or time; by default now.")] = None,
        continuous: Annotated[
            bool, typer.Option("--continuous", help="Join the expired contracts of a future.")
        ] = False,
    ) -> None:
        """Print candles, oldest first."""
        from dragoman.cli import look

        look.candles(at, name, interval=interval, start=start, end=end, continuous=continuous)

    @account_command(app, panel=BOOKS)
    def orders(
        at: Account,
        ids: Annotated[list[str] | None, typer.Argument(help="Order ids: each with its life and its fills.")] = None,
        only_open: Annotated[bool, typer.Option("--open", help="Working orders only.")] = False,
    ) -> None:
        """Print today's orders, or one order with its life."""
        from dragoman.cli import look

        look.orders(at, ids or (), only_open=only_open)

    @account_command(app, panel=BOOKS)
    def positions(
        at: Account, everything: Annotated[bool, typer.Option("--all", help="Also those that are flat.")] = False
    ) -> None:
        """Print net positions and their P&L."""
        from dragoman.cli import look

        look.positions(at, everything=everything)

    @account_command(app, panel=BOOKS)
    def holdings(at: Account) -> None:
        """Print securities held."""
        from dragoman.cli import look

        look.holdings(at)

    @account_command(app, panel=BOOKS)
    def margins(at: Account) -> None:
        """Print margins by segment."""
        from dragoman.cli import look

        look.margins(at)
