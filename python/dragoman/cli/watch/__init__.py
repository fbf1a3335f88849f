"""``dragoman watch``: a live terminal screen over one account.

`model` makes rows of a client and knows no terminal; `cells` and `drawn` make text of rows; `panes` and `screen` put
it on a terminal with `textual`, which the extra ``watch`` brings and nothing else needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from dragoman.errors import ErrorKind, UsageError

if TYPE_CHECKING:
    import asyncio

    from dragoman.cli.account import Account
    from dragoman.client import Client


def watch(at: Account, names: Sequence[str], *, trade: bool) -> None:
    """Show the live screen until it is left.

    Parameters
    ----------
    at : Account
    names : sequence of str
        Instruments to follow; a first one without a colon is the broker.
    trade : bool
        Whether keys may cancel, flatten and kill; else the session is read-only.

    Raises
    ------
    UsageError
        `textual` is not installed, nobody sits at a terminal, or two brokers are named.
    """
    check_textual()
    check_terminal(at)
    names = list(names)
    if names and ":" not in names[0]:
        at = at.named(names.pop(0))

    from dragoman.cli.watch.model import WatchModel  # not on the loop: they load `textual`
    from dragoman.cli.watch.screen import WatchApp

    async def show(client: Client) -> None:
        model = WatchModel(client, names, trading=trade)
        try:
            model.open()
            app = WatchApp(model, zone=at.zone, timeout_s=at.timeout)
            await app.run_async()
            _pass_on()
            await _finish(app.acts, at.timeout)
        finally:
            await model.close()
        if app.failure is not None:
            raise app.failure

    at.ask(show, trading=trade, streams=True, orders=True)


def check_textual() -> None:
    """Raise UsageError where `textual` is not installed."""
    if find_spec("textual") is None:
        raise UsageError(
            "the live screen needs the package textual, which is not installed",
            kind=ErrorKind.USAGE,
            remedy="run: pip install 'dragoman[watch]'",
        )


def check_terminal(at: Account) -> None:
    """Raise UsageError where there is no terminal to draw on, or JSON was asked for."""
    import sys

    if at.as_json:
        raise UsageError("a screen is not JSON", remedy="for programs: dragoman ticks, orders and positions --json")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("the live screen needs a terminal", remedy="run it where somebody can look at it")


def _pass_on() -> None:
    """Raise the cancellation that `textual` has ended for, and kept to itself: SIGTERM ends the command with it."""
    import asyncio

    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _finish(acts: set[asyncio.Task[None]], timeout_s: float) -> None:
    """Wait for what keys have begun: a request on its way is not given up because somebody pressed another key."""
    import asyncio

    if acts:
        await asyncio.wait(acts, timeout=timeout_s)
