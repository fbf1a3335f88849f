"""``dragoman ticks``: what the stream says, one line an event."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dragoman.cli.account import Account
from dragoman.cli.output import amount, cell, clock, iso, print_line
from dragoman.errors import DragomanError
from dragoman.model import Gap, Notice, StreamState
from dragoman.model.shown import is_time

if TYPE_CHECKING:
    from dragoman._core import Tick
    from dragoman.client import Client

_HEAD = ("time", "instrument", "last", "qty", "bid", "ask", "volume")
_WIDTHS = (8, 20, 10, 7, 10, 10, 9)


def ticks(at: Account, names: Sequence[str], *, mode: str, count: int | None, seconds: float | None) -> None:
    """Print ticks until interrupted, or until there were enough."""

    async def follow(client: Client) -> None:
        events: asyncio.Queue[Any] = asyncio.Queue()
        client.on_event(events.put_nowait)
        source = client.ticks()
        client.subscribe(names, mode)
        if not at.as_json:
            print(_line(_HEAD), flush=True)
        try:
            async with asyncio.timeout(seconds) as limit:
                await _pump(at, client, source, events, count)
        except TimeoutError:
            if not limit.expired():
                raise

    at.ask(follow, streams=True)


async def _pump(at: Account, client: Client, source: Any, events: asyncio.Queue[Any], count: int | None) -> None:
    """Print ticks and events as they come; what ends the stream is raised."""
    zone = at.zone
    printed = 0
    tick, event = asyncio.ensure_future(anext(source)), asyncio.ensure_future(events.get())
    try:
        while count is None or printed < count:
            done, _ = await asyncio.wait((tick, event), return_when=asyncio.FIRST_COMPLETED)
            if event in done:
                _tell(at, client, event.result())
                event = asyncio.ensure_future(events.get())
            if tick in done:
                try:
                    value = tick.result()
                except StopAsyncIteration:
                    return
                _print_tick(at, client, value, zone)
                printed += 1
                tick = asyncio.ensure_future(anext(source))
    finally:
        tick.cancel()
        event.cancel()
        await asyncio.wait((tick, event))


def _print_tick(at: Account, client: Client, tick: Tick, zone: Any) -> None:
    instrument = client.instruments.by_handle(tick.instrument)
    name = instrument.instrument_id if instrument is not None else f"key {tick.key}"
    if at.as_json:
        row: dict[str, Any] = {"event": "tick", "instrument_id": name, "mode": tick.mode}
        for key, value in tick.as_dict().items():
            if is_time(key):
                row[key], row[f"{key}_ns"] = iso(value), value
            else:
                row[key] = value
        print_line(row)
        return
    shown = (
        amount(tick.last_price),
        cell(tick.last_quantity),
        amount(tick.bid_price),
        amount(tick.ask_price),
        cell(tick.volume),
    )
    print(_line((clock(tick.ts_event or tick.ts_recv, zone), name, *shown)), flush=True)


def _line(cells: Sequence[str]) -> str:
    first, second, *rest = cells
    numbers = (text.rjust(width) for text, width in zip(rest, _WIDTHS[2:], strict=True))
    return " ".join((first.ljust(_WIDTHS[0]), second.ljust(_WIDTHS[1]), *numbers)).rstrip()


def _tell(at: Account, client: Client, event: Any) -> None:
    """Print an event of the stream; raise an error that ended it."""
    if isinstance(event, DragomanError):
        if any(stream.state == "fatal" for stream in client.streams.values()):
            raise event
        said: dict[str, str | None] = {"event": "error", "kind": event.kind, "text": str(event)}
    elif isinstance(event, StreamState):
        said = {"event": "stream", "stream": event.stream, "state": event.state, "reason": event.reason}
    elif isinstance(event, Gap):
        said = {"event": "gap", "stream": event.stream, "reason": event.reason}
    elif isinstance(event, Notice):
        said = {"event": "notice", "level": event.level, "text": event.text, "code": event.code}
    else:
        return
    if at.as_json:
        print_line(said)
    elif said["event"] != "stream" or said["state"] != "ready":
        words = [str(value) for key, value in said.items() if key != "event" and value]
        print(f"dragoman: {said['event']}: {', '.join(words)}", file=sys.stderr, flush=True)
