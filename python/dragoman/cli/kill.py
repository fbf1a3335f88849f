"""``dragoman kill``: stop an account's new orders, cancel what works, and let it go again.

The switch is set before anything is asked of the network: with a broker that cannot be reached, or a session that is
over, no process of this host places an order any more. Then what works is cancelled and, where that is asked for,
positions are closed: by the process that writes to the account, where there is one, else from here.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from dragoman.checks.kill import KillSwitch
from dragoman.cli.account import Account
from dragoman.cli.exits import Status
from dragoman.cli.output import cell, moment, print_json
from dragoman.errors import AuthRequired, DragomanError, UsageError
from dragoman.model import KillState
from dragoman.orders.stopping import switch_path
from dragoman.runtime.base import Runtime
from dragoman.runtime.process import process_id
from dragoman.session.secrets import redact
from dragoman.session.tokens import default_state_dir

if TYPE_CHECKING:
    from dragoman.client import Client

_WHO = "dragoman kill, process {}"


def kill(at: Account, broker: str | None, reason: str, *, flatten: bool) -> None:
    """Engage the switch, cancel what works, close positions if asked to, and tell what came of it.

    Status 1 while something works or a position is left that is to be closed.
    """
    at = at.named(broker)
    problem = at.perform(lambda runtime: _engage(at, runtime, reason, flatten=flatten))
    if problem is not None:
        print(f"dragoman: {redact(problem)}", file=sys.stderr)

    async def act(client: Client) -> tuple[KillState, str]:
        state = await client.orders_service.stopping.see_through(at.timeout)
        return state, "" if state.flatten else await _left_open(client)

    try:
        state, held = at.ask(act, trading=True, streams=True)
    except DragomanError:
        stopped = "new orders are stopped; " if problem is None else ""
        closed = " nor positions closed" if flatten else ""
        print(f"dragoman: {stopped}what works could not be cancelled{closed} from here:", file=sys.stderr)
        raise
    _show(at, state, held)
    if state.flatten and not state.flattened:
        left = f"still open: {', '.join(state.positions)}" if state.positions else "nobody knows which are left"
        print(f"dragoman: not all positions are closed, {left}", file=sys.stderr)
    if state.working or state.unknown or problem is not None or (state.flatten and not state.flattened):
        raise typer.Exit(Status.NO)


async def _left_open(client: Client) -> str:
    """Return in words which positions a kill leaves open that was not asked to close any."""
    try:
        held = [one for one in await client.positions() if one.quantity]
    except DragomanError as error:
        return f"not known: {error}"
    if not held:
        return "none is open"
    named = ", ".join(f"{one.instrument_id} {one.product} {cell(one.quantity)}" for one in held)
    return f"left open: {named} (--flatten closes them)"


def release(at: Account, broker: str | None, account: str | None, *, yes: bool = False) -> None:
    """Release the switch, once the account was typed.

    Raises
    ------
    UsageError
        The switch is not engaged, or what was typed is not its account.
    """
    at = at.named(broker)
    if yes and account is None:
        raise UsageError(
            "--yes alone does not release the kill switch",
            remedy="name what is released: --account ACCOUNT; the switch stays as it is",
        )

    def ask(name: str, state: KillState) -> str:
        _show(at, state)
        return account if account is not None else str(typer.prompt(f"Type the account ({name}) to let orders leave"))

    async def released(runtime: Runtime) -> KillState:
        name, switch = await _open(at, runtime)
        try:
            token = switch.token()
            if ask(name, switch.state()).strip() != name:
                raise UsageError(f"that is not the account {name}", remedy="the kill switch stays engaged")
            switch.release(token, who=_WHO.format(process_id()), ts=runtime.clock.wall_ns())
            return switch.state()
        finally:
            switch.close()

    _show(at, at.perform(released))


async def _engage(at: Account, runtime: Runtime, reason: str, *, flatten: bool) -> str | None:
    """Stop new orders; return what is wrong with that, None where it is durable."""
    _, switch = await _open(at, runtime)
    before = switch.state()
    mark, now = switch.stop(runtime.random_bytes(8)), runtime.clock.wall_ns()
    who, flatten = _WHO.format(process_id()), flatten or (before.engaged and before.flatten)
    try:
        switch.engage(mark, who=who, why=reason, ts=now, flatten=flatten, epoch=before.epoch + 1)
    except OSError as error:
        return str(switch.not_durable(error))
    finally:
        switch.close()
    return None


async def _open(at: Account, runtime: Runtime) -> tuple[str, KillSwitch]:
    """Return the account's name and its switch, without asking the broker."""
    profile = await at.load(runtime)
    kept = at.kept(runtime, profile)
    account = profile.account or (kept.account if kept is not None else "")
    if not account:
        raise AuthRequired(
            f"{profile}: nobody knows the account's name, because there was no login yet",
            broker=profile.broker,
            remedy=f"run: {at.spelled('login')}, or write `account` into the profile",
        )
    path = switch_path(default_state_dir(runtime), profile, account)
    return account, KillSwitch.open(runtime.disk, path, broker=profile.broker)


def _show(at: Account, state: KillState, held: str = "") -> None:
    if at.as_json:
        print_json(state)
        return
    word = "engaged: no new order leaves" if state.engaged else "released: orders may leave"
    if state.engaged and not state.durable:
        word = "engaged, and not written down: see the messages"
    print(f"kill switch {word}")
    for name, text in (
        ("by", state.who),
        ("reason", state.why),
        ("since", moment(state.ts_changed, at.zone)),
        ("damage", state.damage),
        ("still working", ", ".join(state.working)),
        ("outcome unknown", ", ".join(state.unknown)),
        ("positions left", ", ".join(state.positions)),
        ("positions", "all closed" if state.flattened else held),
    ):
        if text:
            print(f"  {name}: {redact(text)}")
