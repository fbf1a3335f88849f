"""``dragoman capture`` and ``dragoman replay``: record what a broker streams, and run a recording again."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

from dragoman.cli.account import Account
from dragoman.cli.output import print_json
from dragoman.client import Client
from dragoman.errors import UsageError
from dragoman.model import Instrument, Mode, Quote
from dragoman.plugin.registry import load_adapter
from dragoman.runtime.base import Runtime
from dragoman.runtime.real import RealRuntime
from dragoman.session.session import AccountSession
from dragoman.testing.capture import Capture, noting
from dragoman.testing.recording import Recording, read_recording
from dragoman.testing.replay import Replayed, replay


def capture(at: Account, names: list[str], *, mode: str, out: Path | None, seconds: float) -> None:
    """Record the streams of an account into a file, and say what is in it."""
    target = out or Path(f"{at.adapter.name}.capture.jsonl")
    with _create(target) as file:
        made = at.perform(lambda runtime: _record(runtime, at, names, mode, file, seconds))
    told = {"file": str(target), "frames": made.writer.frames, "sha256": made.digest}
    if at.as_json:
        print_json(told)
    else:
        print(f"{told['file']}: {told['frames']} frames, sha256 {told['sha256']}")


def _create(target: Path) -> BinaryIO:
    try:
        return os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except FileExistsError:
        raise UsageError(f"{target} is there already", remedy="name another file with --out") from None
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror}") from error


class _Recording(Capture):
    digest = ""


async def _record(
    runtime: Runtime, at: Account, names: list[str], mode: str, file: BinaryIO, seconds: float
) -> _Recording:
    captures: list[_Recording] = []

    def note(instrument: Instrument, quote: Quote) -> None:
        captures[0].fetched(instrument, quote)

    profile = await at.load(runtime)
    session = AccountSession(runtime, noting(at.adapter, note), profile, read_only=True, may_log_in=False)
    captures.append(made := _Recording(session, file.write))
    async with Client(session) as client:
        wanted = [client.instrument(name) for name in names]
        made.instruments(wanted)
        if wanted:
            offered = at.adapter.capabilities.modes
            chosen = Mode(mode) if mode else Mode.FULL if Mode.FULL in offered else min(offered)
            client.subscribe(wanted, chosen)
        await runtime.sleep(seconds)
    made.digest = made.end()
    return made


# -- replay ------------------------------------------------------------------------------------------------------------


def read_file(path: Path) -> Recording:
    """Read a recording, and its twin with replies where there is one.

    Raises
    ------
    UsageError
        The file is not there.
    DecodeError
        It is no recording.
    """
    disk = RealRuntime().disk
    try:
        data = disk.read(str(path))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    twin = _twin(path)
    return read_recording(data, path.name, disk.read(str(twin)) if twin is not None else b"")


def _twin(path: Path) -> Path | None:
    """Return the file with the replies: the same name, ``.http`` for ``.ws``, whatever number follows."""
    head, dot, _ = path.name.rpartition(".ws")
    found = sorted(path.parent.glob(f"{head}.http*")) if dot else []
    return found[0] if found else None


def replay_file(broker: str, path: Path, *, feed: str, as_json: bool) -> int:
    """Replay a file, print what came of it, return the exit status: 1 where it is damaged."""
    recording = read_file(path)
    if not recording.frames:
        raise UsageError(f"{path} holds no frames")
    adapter = load_adapter(broker)
    if recording.broker and recording.broker != broker:
        raise UsageError(f"{path} was captured at {recording.broker}, not at {broker}")
    found = replay(adapter, recording, feed=feed, mono_ns=RealRuntime().clock.mono_ns)
    if as_json:
        print_json({**asdict(found), "whole": recording.whole})
    else:
        _show(found)
        if recording.whole is False:
            print("the content is not what its hash says: it was changed or cut off")
    return 1 if recording.whole is False else 0


def _show(found: Replayed) -> None:
    for name, value in asdict(found).items():
        if name == "ns_per_message":
            print(f"{'ns per message'.ljust(16)} {value:.0f}")
        elif name != "tops":
            print(f"{name.ljust(16)} {value}")
    for top in found.tops:
        state = "stale" if top.stale else "live"
        bid, ask = f"{top.bid_quantity:g} at {top.bid_price!r}" if top.bid_price else "-", "-"
        if top.ask_price:
            ask = f"{top.ask_quantity:g} at {top.ask_price!r}"
        print(f"{top.instrument_id}  {bid} / {ask}  {state}, {top.updates} updates, {top.gaps} gaps")
