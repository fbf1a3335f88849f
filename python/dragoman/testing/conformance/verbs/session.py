"""Connecting, logging in, the end of a session, streams, events, counters, secrets."""

from __future__ import annotations

import operator
from typing import Any, Final

from dragoman.errors import DragomanError
from dragoman.model import StreamState
from dragoman.testing.conformance.grammar import step
from dragoman.testing.conformance.stage import MismatchError, Stage
from dragoman.testing.conformance.watch import leaks

_COMPARE: Final = {"=": operator.eq, ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le}


@step("connect")
async def connect(stage: Stage) -> None:
    """Connect a client, logging in as a human would; the one before is closed."""
    await stage.connect()


@step("connect read only")
async def connect_read_only(stage: Stage) -> None:
    """Connect a client that may change nothing."""
    await stage.connect(read_only=True)


@step("connect without streams")
async def connect_without_streams(stage: Stage) -> None:
    """Connect a client that opens no streams."""
    await stage.connect(streams=False)


@step("connect with a token of nobody")
async def connect_with_bad_token(stage: Stage) -> None:
    """Connect with an access token the broker never gave."""
    await stage.connect(access_token="emu_a_token_of_nobody")  # noqa: S106 - made up


@step("connect with the token of before")
async def connect_with_token(stage: Stage) -> None:
    """Connect with the access token that the client before had, and no login."""
    token = stage.client.session.ctx.login["access_token"].reveal()
    await stage.connect(access_token=token)


@step("close")
async def close(stage: Stage) -> None:
    """Close the client; its token stays valid."""
    await stage.close()


@step("log out")
async def log_out(stage: Stage) -> None:
    """End the session at the broker."""
    await stage.client.session.logout()


@step("log in again")
async def log_in_again(stage: Stage) -> None:
    """Log in anew with the client that stands."""
    await stage.client.session.login()


@step("the broker ends every session")
async def expire(stage: Stage) -> None:
    """Let every token die at the broker, as it does in the morning."""
    stage.emulator.expire_tokens()


@step("expect <count:count> logins")
async def expect_logins(stage: Stage, count: int) -> None:
    """How often a human was asked to log in so far."""
    if stage.logins != count:
        raise MismatchError(f"{stage.logins} logins, expected {count}")


@step("expect the account of the emulator")
async def expect_account(stage: Stage) -> None:
    """The session names the account it is for."""
    found = stage.client.session.ctx.account
    if not found:
        raise MismatchError("the session names no account")
    if stage.adapter.capabilities.features.get("profile"):
        profile = await stage.client.profile()
        if profile.account_id != found:
            raise MismatchError(f"the profile is of account {profile.account_id!r}, the session of {found!r}")


@step("expect the streams ready")
async def expect_ready(stage: Stage) -> None:
    """Every stream that is open carries data."""

    def look() -> str:
        down = [f"{name} is {one.state}" for name, one in stage.client.streams.items() if one.shards and not one.ready]
        return "; ".join(down)

    await stage.until(look, 6 * stage.patience_s)


@step("expect the streams down")
async def expect_down(stage: Stage) -> None:
    """No stream that has, or wants, a socket carries data."""
    streams = stage.client.streams
    await stage.until(
        lambda: "; ".join(
            f"{name} is ready" for name, one in streams.items() if one.ready and any(shard.open for shard in one.shards)
        )
    )


@step("expect streams were <state:word>")
async def expect_state(stage: Stage, state: str) -> None:
    """Some stream reported a state: ready, stale, waiting, fatal..."""

    def look() -> str:
        seen = [event.state for event in stage.watch.events if isinstance(event, StreamState)]
        return "" if state in seen else f"streams were {', '.join(seen) or 'silent'}, expected {state} among them"

    await stage.until(look, 3 * stage.patience_s)


def _named(event: Any, kind: str) -> bool:
    words = {type(event).__name__, str(getattr(event, "kind", "")), str(getattr(event, "code", ""))}
    return kind in words


@step("expect event <kind:word>")
async def expect_event(stage: Stage, kind: str) -> None:
    """An event came, by its class (Gap, Notice...), kind or code."""

    def look() -> str:
        seen = sorted({type(one).__name__ for one in stage.watch.events})
        return "" if any(_named(one, kind) for one in stage.watch.events) else f"no {kind}, only {', '.join(seen)}"

    await stage.until(look, 3 * stage.patience_s)


@step("expect no event <kind:word>")
async def expect_no_event(stage: Stage, kind: str) -> None:
    """No such event came so far."""
    found = [one for one in stage.watch.events if _named(one, kind)]
    if found:
        raise MismatchError(f"{len(found)} events {kind}, the first: {found[0]!r}")


@step("expect counter <path:word> <sign:word> <count:count>")
async def expect_counter(stage: Stage, path: str, sign: str, count: int) -> None:
    """Compare a counter of the client, by its path in `Client.counters`; ``*`` adds up all of a level."""

    def look() -> str:
        found = _added(stage.client.counters(), path.split("."))
        return "" if _COMPARE[sign](found, count) else f"{path} is {found}, expected {sign} {count}"

    if sign not in _COMPARE:
        raise MismatchError(f"{sign} compares nothing, expected one of {', '.join(_COMPARE)}")
    await stage.until(look)


def _added(values: Any, path: list[str]) -> int:
    if not path:
        return int(values) if isinstance(values, int | float) else 0
    if not isinstance(values, dict):
        return 0
    if path[0] == "*":
        return sum(_added(value, path[1:]) for value in values.values())
    return _added(values.get(path[0], 0), path[1:])


@step("expect no secret is shown")
async def expect_no_secret(stage: Stage) -> None:
    """No credential and no token stands in a log line, an error, an event, an order or a repr."""
    found = leaks(stage.secrets, stage.shown())
    if found:
        raise MismatchError(f"a secret of the account stands in {', '.join(sorted(set(found)))}")


@step("expect an error that says what to do")
async def expect_remedy(stage: Stage) -> None:
    """The last error has a remedy, or names what was expected."""
    error = stage.watch.errors[-1] if stage.watch.errors else None
    if not isinstance(error, DragomanError):
        raise MismatchError("no step has failed so far")
    if not error.remedy and "expected" not in str(error):
        raise MismatchError(f"{error!r} says neither what was expected nor what to do")


@step("expect instruments like the venue's")
async def expect_instruments(stage: Stage) -> None:
    """The master agrees with the venue on type, tick, lot, expiry, strike and right of every instrument it has."""
    master, known = stage.client.instruments, 0
    for listing in stage.venue.listings():
        truth = listing.instrument
        ours = master.get(truth.instrument_id)
        if ours is None:
            continue
        known += 1
        for field in ("instrument_type", "expiry", "strike", "option_type", "tick_size", "lot_size", "exchange"):
            found, expected = getattr(ours, field), getattr(truth, field)
            if found != expected and not (field == "tick_size" and not ours.tradable):
                raise MismatchError(f"{field} of {truth.instrument_id} is {found}, the venue has {expected}")
    if not known:
        raise MismatchError("the master has no instrument of the venue")


@step("expect at least <count:count> instruments")
async def expect_count(stage: Stage, count: int) -> None:
    """How many instruments the client knows."""
    if len(stage.client.instruments) < count:
        raise MismatchError(f"{len(stage.client.instruments)} instruments, expected at least {count}")


@step("load instruments")
async def load_instruments(stage: Stage) -> None:
    """Download the instrument master again."""
    await stage.client.load_instruments()


@step("wait <time:seconds>")
async def wait(stage: Stage, time: float) -> None:
    """Let time pass."""
    await stage.runtime.sleep(time)
