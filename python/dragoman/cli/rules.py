"""``dragoman rules``: what watches positions, and what became of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import typer

from dragoman.checks import choice
from dragoman.checks.inputs import exact
from dragoman.cli.account import Account
from dragoman.cli.exits import Status, status_of
from dragoman.cli.output import amount, cell, clock, money, number, plain, print_json, print_line, show, text
from dragoman.cli.trading import error_row, go_ahead
from dragoman.cli.usual import product_of
from dragoman.errors import AccountBusy, AuthRequired, DragomanError, UsageError
from dragoman.model import Product, RuleEvent, RuleState, Side
from dragoman.rules import Level, Oco, Rule, StopLoss, TakeProfit, TimeExit, TrailingStop
from dragoman.rules.model import PriceRule
from dragoman.session.secrets import redact

if TYPE_CHECKING:
    from dragoman.client import Client

_COLUMNS = (
    text("id"),
    text("rule"),
    text("instrument"),
    text("status"),
    text("exits", 1),
    money("at"),
    number("quantity", 2),
    number("exited", 2),
    text("reason", 3),
)
KINDS: dict[str, type[Rule]] = {
    "stop": StopLoss,
    "target": TakeProfit,
    "trail": TrailingStop,
    "pair": Oco,
    "time": TimeExit,
}
"""What can be added here; the rest takes a program."""


def listed(at: Account, *, everything: bool) -> None:
    """Print the rules of the account, whichever process they live in."""

    async def read(client: Client) -> list[RuleState]:
        return [one for one in await client.rules.read() if everything or not one.status.terminal]

    found = at.ask(read, instruments=False)
    if at.as_json:
        print_json([_row(one) for one in found])
        return
    show("Rules", _COLUMNS, [_cells(one) for one in found], empty="no rules")


def rule_of(kind: str, instrument: str, terms: Mapping[str, str | None]) -> Rule:
    """Make a rule of what was typed.

    Raises
    ------
    UsageError
        There is no such kind, or it lacks what it needs.
    """
    if kind not in KINDS:
        raise UsageError(f"there is no rule {kind!r}", remedy=f"use one of {', '.join(KINDS)}")
    given = {name: value for name, value in terms.items() if value is not None}
    about: dict[str, Any] = {
        "instrument_id": instrument,
        "product": choice(Product, "product", given.pop("product", "DELIVERY")),
        "rule_id": given.pop("name", ""),
        "where": given.pop("where", "local"),
    }
    if "quantity" in given:
        about["quantity"] = exact("quantity", given.pop("quantity"))
    if kind == "time":
        if "at" not in given:
            raise UsageError("a time rule acts at a time, and none is named", remedy="give --at as HH:MM")
        about["at"] = given.pop("at")
    elif kind == "pair":
        for name in ("stop", "target"):
            if name not in given:
                raise UsageError("a pair has a stop and a target", remedy="give --stop and --target as prices")
            about[name] = Level(price=exact(name, given.pop(name)))
    else:
        for name in ("price", "percent"):
            if name in given:
                about[name] = exact(name, given.pop(name))
        if "ticks" in given:
            about["ticks"] = int(exact("ticks", given.pop("ticks")))
        levels = [name for name in ("price", "percent", "ticks") if name in about]
        if len(levels) != 1:
            named = f"{len(levels)} levels are named" if levels else "no level is named"
            raise UsageError(f"a {kind} acts at one level, and {named}", remedy="give --price, --percent or --ticks")
    if given:
        options = ", ".join(f"--{name}" for name in given)
        raise UsageError(f"a {kind} takes no {options}", remedy="leave it out")
    return KINDS[kind](**about)


def add(at: Account, kind: str, instrument: str, terms: Mapping[str, str | None], *, yes: bool) -> None:
    """Arm a rule: at the broker, or for the process that runs the account's rules."""
    product = terms.get("product") or product_of(at.adapter, instrument).value
    rule = rule_of(kind, instrument, {**terms, "product": product})
    said = " ".join(f"{name} {value}" for name, value in terms.items() if value is not None)
    go_ahead(at, f"arm rule: {kind} for {instrument} {said}", yes=yes)
    beyond: list[str] = []

    async def arm(client: Client) -> RuleState:
        state = await client.rules.add(rule, timeout_s=at.timeout)
        beyond.extend(await _beyond(client, state))
        return state

    _tell(at, "add", arm, beyond)


async def _beyond(client: Client, state: RuleState) -> list[str]:
    """Return a warning where the market is beyond a level already, as behind a mistyped price."""
    rule, sells = state.rule, state.side is Side.SELL
    ends = {StopLoss: (sells,), TakeProfit: (not sells,), Oco: (sells, not sells)}.get(type(rule))
    if ends is None or len(ends) != len(state.levels) or state.broker_id or not isinstance(rule, PriceRule):
        return []
    try:
        last = (await client.quote(rule.instrument_id)).last_price
    except DragomanError:
        return []  # the rule is armed; that nobody told a price is no reason to say it is not
    if last is None:
        return []
    price = Decimal(repr(last))
    if not any(price <= level if below else price >= level for below, level in zip(ends, state.levels, strict=True)):
        return []
    act = f"dragoman rules cancel {state.rule_id}"
    return [f"{rule.instrument_id} is at {amount(price)}, beyond it already: it fires once rules run. Not meant? {act}"]


def cancel(at: Account, rule_id: str, *, yes: bool) -> None:
    """End a rule."""
    go_ahead(at, f"cancel rule {rule_id}", yes=yes)
    _tell(at, "cancel", lambda client: client.rules.cancel(rule_id))


def run(at: Account, *, seconds: float | None) -> None:
    """Watch the account's rules until interrupted, and print what happens to them."""

    async def watch(client: Client) -> None:
        if client.rules.busy is not None:
            raise client.rules.busy
        events: asyncio.Queue[RuleEvent] = asyncio.Queue()
        client.rules.on_rule(events.put_nowait)
        shown = {state.rule_id: state for state in client.rules.list()}
        for state in shown.values():
            _print(at, state, None)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    event = await events.get()
                    if event.state is not None and not _repeats(event, shown.pop(event.rule_id, None)):
                        _print(at, event.state, event)

    at.ask(watch, trading=True, streams=True)


def _repeats(event: RuleEvent, shown: RuleState | None) -> bool:
    """Whether it says that a rule is taken up again, as which it was listed a moment ago."""
    if shown is None or event.state is None:
        return False
    return event.state.ts == shown.ts and event.status is shown.status and event.reason.endswith(shown.reason)


def _print(at: Account, state: RuleState, event: RuleEvent | None) -> None:
    if at.as_json:
        print_line({"event": "rule", **_row(state)})
        return
    words = state.reason if event is None else event.reason
    levels = ", ".join(amount(level) for level in state.levels)
    where = f" at {levels}" if levels else ""
    print(f"{clock(state.ts, at.zone)} {state.rule_id} {_name(state)} {state.status}{where}: {words}", flush=True)


def _name(state: RuleState) -> str:
    return f"{state.rule.kind} {getattr(state.rule, 'instrument_id', '')}".strip()


def _cells(state: RuleState) -> dict[str, Any]:
    return {
        "id": state.rule_id,
        "rule": state.rule.kind,
        "instrument": getattr(state.rule, "instrument_id", ""),
        "status": state.status,
        "exits": state.side or "",
        "at": " ".join(amount(level) for level in state.levels),
        "quantity": "all" if state.quantity is None else cell(state.quantity),
        "exited": state.exited,
        "reason": state.reason,
    }


def _row(state: RuleState) -> dict[str, Any]:
    found = plain(state)
    return {**found, "kind": state.rule.kind, "rule": plain(state.rule)}


def _tell(at: Account, act: str, work: Callable[[Client], Awaitable[RuleState]], warnings: Sequence[str] = ()) -> None:
    """Perform it, print the outcome and end with its exit status; `warnings` may fill meanwhile."""
    error: DragomanError | None = None
    state: RuleState | None = None
    try:
        state = at.ask(work, trading=True)
    except (UsageError, AuthRequired, AccountBusy):
        raise
    except DragomanError as refused:
        error = refused
    for warning in warnings:
        print(f"dragoman: {warning}", file=sys.stderr)
    status = Status.OK if error is None else status_of(error)
    if at.as_json:
        told: dict[str, Any] = {"act": act, "rule": None if state is None else _row(state)}
        print_json(told | {"error": None if error is None else error_row(error)})
    elif state is None:
        print(f"{act} failed: {redact(str(error))}")
    else:
        print(f"{state.rule_id} {_name(state)} is {state.status}")
        if act == "add":
            print(state.statement)
            if not state.broker_id:
                print(f"It acts while a process runs the rules: {at.spelled('rules run')}")
    raise typer.Exit(status)
