"""Options that many commands share, and how a command gets them.

`account_command` adds them to a command whose first parameter is an `Account`::

    @account_command(app)
    def margins(at: Account) -> None: ...

The command line then has ``--broker``, ``--profile``, ``--environment``, ``--timeout`` and ``--json`` besides the
command's own parameters.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Annotated, Any

import typer

from dragoman.cli.completion import broker_names, environments, instrument_ids, profile_names

BrokerOption = Annotated[
    str | None,
    typer.Option(
        "--broker",
        "-b",
        envvar="DRAGOMAN_BROKER",
        help="Installed adapter; may be left out where only one can be meant.",
        autocompletion=broker_names,
    ),
]
ProfileOption = Annotated[
    str | None,
    typer.Option(
        "--profile",
        "-p",
        envvar="DRAGOMAN_PROFILE",
        help="Table of the profiles file: main, unless said.",
        autocompletion=profile_names,
    ),
]
EnvironmentOption = Annotated[
    str | None,
    typer.Option(
        "--environment",
        "-e",
        envvar="DRAGOMAN_ENVIRONMENT",
        help="live, sandbox or emulator, where the profile does not say; emulator finds a running `dragoman emulate`.",
        autocompletion=environments,
    ),
]
TimeoutOption = Annotated[
    float, typer.Option("--timeout", min=0.1, max=3600, help="Seconds that each request to the broker may take.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before trading.")]
ProductWord = Annotated[
    str | None,
    typer.Option(
        "--product",
        help="DELIVERY, INTRADAY, CARRY, MTF, CASH, MARGIN; DELIVERY unless said, or what the broker has for it.",
    ),
]
Name = Annotated[
    str,
    typer.Argument(
        help="Canonical id such as NSE:INFY, or EXCHANGE:SYMBOL as the broker has it.", autocompletion=instrument_ids
    ),
]
Names = Annotated[
    list[str],
    typer.Argument(help="Canonical ids such as NSE:INFY.", autocompletion=instrument_ids),
]

_SHARED: tuple[tuple[str, Any, Any], ...] = (
    ("broker", BrokerOption, None),
    ("profile", ProfileOption, None),
    ("environment", EnvironmentOption, None),
    ("timeout", TimeoutOption, 10.0),
    ("as_json", AsJson, False),
)

Command = Callable[..., None]
_CONTEXT = "invocation"
"""The parameter through which typer says where options came from."""


def account_command(
    app: typer.Typer, name: str | None = None, *, panel: str | None = None
) -> Callable[[Command], Command]:
    """Make a function a command that speaks to an account; its first parameter takes the `Account`."""

    def register(work: Command) -> Command:
        hints = typing.get_type_hints(work, localns={"Account": object}, include_extras=True)
        own = list(inspect.signature(work).parameters.values())[1:]
        shared = [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
            for key, kind, default in _SHARED
        ]

        @wraps(work)
        def command(**given: Any) -> None:
            from dragoman.cli.account import Account

            source = given.pop(_CONTEXT).get_parameter_source("broker")
            at = Account(**{key: given.pop(key) for key, _, _ in _SHARED})
            work(replace(at, broker_assumed=source is not None and source.name == "ENVIRONMENT"), **given)

        parameters = [
            inspect.Parameter(_CONTEXT, inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context),
            *(one.replace(annotation=hints[one.name], kind=inspect.Parameter.KEYWORD_ONLY) for one in own),
            *shared,
        ]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        del command.__wrapped__  # typer looks through it, at the function without them
        app.command(name, rich_help_panel=panel)(command)
        return work

    return register
