"""Recorded traffic: the format `dragoman capture` writes, and the plain lines that others record.

Our format is JSON lines. The first is the head, the last the end; times are wall clock, ns UTC::

    {"capture": 1, "broker": "examplebroker", "environment": "live", "began": 1767254400000000000}
    {"ts": ..., "instrument": {"instrument_id": "NSE:INFY", "exchange": "NSE", "broker_symbol": "INFY", ...}}
    {"ts": ..., "stream": "market", "socket": 1, "open": true}
    {"ts": ..., "stream": "market", "socket": 1, "out": "{\\"a\\":\\"subscribe\\",\\"v\\":[408065]}"}
    {"ts": ..., "stream": "market", "socket": 1, "in64": "AAEACAAGOgEAAGZW"}
    {"ts": ..., "snapshot": "NSE:INFY", "sequence": 17, "bids": [[1500.0, 10, 2]], "asks": [[1500.05, 5, 1]]}
    {"ts": ..., "stream": "market", "socket": 1, "close": "closed with 1006"}
    {"end": 1767254460000000000, "frames": 2, "sha256": "..."}

``in`` and ``out`` hold text frames, ``in64`` and ``out64`` binary ones in base64. ``sha256`` is over every byte before
the last line. Secrets are replaced by ``***`` before a line is written.

Plain lines are ``<unix time>: <frame>``; lines that tell of connections (``<->``) and of sent frames (``<-``) are left
out. Beside such a file, replies to requests may lie in a twin whose name has ``.http`` for ``.ws``, as
``<url> -> <unix time>: <body>``.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import orjson

from dragoman.errors import DecodeError

VERSION: Final = 1
_TIME: Final = re.compile(rb"\d{1,12}(\.\d{1,12})?")
_INSTRUMENT: Final = ("instrument_id", "symbol", "exchange", "asset_class", "instrument_type")
_KEPT: Final = (*_INSTRUMENT, "broker_symbol", "broker_token", "exchange_token")


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame that came (`sent` False) or left; text frames are UTF-8."""

    ts: int
    data: bytes
    text: bool
    stream: str = ""
    socket: int = 0
    sent: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A book as it was fetched: levels of ours, or the reply `body` to `url` as the venue wrote it."""

    ts: int
    instrument_id: str = ""
    sequence: int | None = None
    bids: tuple[tuple[float, ...], ...] = ()
    asks: tuple[tuple[float, ...], ...] = ()
    url: str = ""
    body: bytes = b""


@dataclass(slots=True)
class Recording:
    """What a file holds.

    Attributes
    ----------
    frames, snapshots : list
        In order of time.
    instruments : list of dict
        Those that were subscribed, as `instrument_row` writes them; empty in plain files.
    whole : bool or None
        Whether the content is what its hash says; None where there is none.
    """

    broker: str = ""
    frames: list[Frame] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    instruments: list[dict[str, Any]] = field(default_factory=list)
    whole: bool | None = None


def instrument_row(instrument: Any) -> dict[str, str]:
    """Return what replaying needs to know of an instrument."""
    return {name: str(getattr(instrument, name)) for name in _KEPT}


def read_recording(data: bytes, name: str, http: bytes = b"") -> Recording:
    """Read a recording of either format.

    Parameters
    ----------
    data : bytes
    name : str
        Of the file, for messages.
    http : bytes
        The twin with replies, of a plain recording.

    Raises
    ------
    DecodeError
        Naming file, line, what was found and what was expected.
    """
    if data.startswith(b'{"capture":'):
        return _ours(data, name)
    found = Recording()
    for number, line in enumerate(data.splitlines(), 1):
        head, colon, body = line.partition(b": ")
        if not line.strip() or b"<-" in head:
            continue
        if not colon:
            raise _bad(name, number, "no ': '", "'<unix time>: <frame>'")
        found.frames.append(Frame(_seconds(head, name, number), body, text=True))
    for number, line in enumerate(http.splitlines(), 1):
        url, arrow, rest = line.partition(b" -> ")
        time, colon, body = rest.partition(b": ")
        if not line.strip():
            continue
        if not arrow or not colon:
            raise _bad(f"the .http twin of {name}", number, "no ' -> ' or ': '", "'<url> -> <unix time>: <body>'")
        stamp = _seconds(time, name, number)
        found.snapshots.append(Snapshot(stamp, url=url.decode("utf-8", "replace"), body=body))
    return found


def _ours(data: bytes, name: str) -> Recording:
    found, start = Recording(), 0
    for number, line in enumerate(data.splitlines(keepends=True), 1):
        try:
            row = orjson.loads(line)
            _take(found, row, data[:start])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise _bad(name, number, f"{type(error).__name__}: {error}", "a line of a capture, version 1") from None
        start += len(line)
    return found


def _take(found: Recording, row: Mapping[str, Any], before: bytes) -> None:
    if "capture" in row:
        if row["capture"] != VERSION:
            raise ValueError(f"version {row['capture']}, this reads {VERSION}")
        found.broker = str(row["broker"])
    elif "end" in row:
        found.whole = hashlib.sha256(before).hexdigest() == row["sha256"]
    elif "instrument" in row:
        found.instruments.append(dict(row["instrument"]))
    elif "snapshot" in row:
        bids, asks = (tuple(tuple(float(x) for x in level) for level in row[side]) for side in ("bids", "asks"))
        found.snapshots.append(Snapshot(int(row["ts"]), row["snapshot"], row.get("sequence"), bids, asks))
    else:
        for key in ("in", "out", "in64", "out64"):
            if key in row:
                text = not key.endswith("64")
                raw = row[key].encode() if text else base64.b64decode(row[key], validate=True)
                sent = key.startswith("out")
                found.frames.append(Frame(int(row["ts"]), raw, text, row["stream"], int(row["socket"]), sent))


def _seconds(text: bytes, name: str, number: int) -> int:
    if _TIME.fullmatch(text.strip()) is None:
        raise _bad(name, number, f"time {text[:30]!r}", "seconds since the epoch")
    return int(Decimal(text.decode().strip()) * 1_000_000_000)


def _bad(name: str, number: int, found: str, expected: str) -> DecodeError:
    return DecodeError(f"{name}, line {number}: {found}, expected {expected}")


class Writer:
    """Writes a capture line by line.

    Parameters
    ----------
    write : callable
        Takes bytes.
    scrub : callable
        Takes secrets out of a text; applied to every text and, as latin-1, to every binary frame.
    """

    def __init__(
        self,
        write: Callable[[bytes], object],
        scrub: Callable[[str], str],
        *,
        broker: str,
        environment: str,
        began: int,
    ) -> None:
        self._write = write
        self._scrub = scrub
        self._hash = hashlib.sha256()
        self._closed = False
        self.frames = 0
        self._line({"capture": VERSION, "broker": broker, "environment": environment, "began": began})

    def instrument(self, ts: int, row: Mapping[str, str]) -> None:
        """Note an instrument that is subscribed."""
        self._line({"ts": ts, "instrument": dict(row)})

    def opened(self, ts: int, stream: str, socket: int) -> None:
        """Note a connection; not its URL, which may hold tokens."""
        self._line({"ts": ts, "stream": stream, "socket": socket, "open": True})

    def closed(self, ts: int, stream: str, socket: int, reason: str) -> None:
        """Note the end of a connection."""
        self._line({"ts": ts, "stream": stream, "socket": socket, "close": self._scrub(reason)})

    def frame(self, ts: int, stream: str, socket: int, data: str | bytes, *, sent: bool) -> None:
        """Note a frame, its secrets replaced."""
        self.frames += 1
        way = "out" if sent else "in"
        if isinstance(data, str):
            content = {way: self._scrub(data)}
        else:
            plain = self._scrub(data.decode("latin-1")).encode("latin-1")
            content = {f"{way}64": base64.b64encode(plain).decode()}
        self._line({"ts": ts, "stream": stream, "socket": socket, **content})

    def snapshot(self, ts: int, instrument_id: str, sequence: int | None, bids: Any, asks: Any) -> None:
        """Note a book that was fetched."""
        sides = {"bids": [list(level) for level in bids], "asks": [list(level) for level in asks]}
        self._line({"ts": ts, "snapshot": instrument_id, "sequence": sequence, **sides})

    def end(self, ts: int) -> str:
        """Write the last line; return the hash of all before it. Further lines are dropped."""
        digest = self._hash.hexdigest()
        self._line({"end": ts, "frames": self.frames, "sha256": digest})
        self._closed = True
        return digest

    def _line(self, row: Mapping[str, Any]) -> None:
        if not self._closed:
            line = orjson.dumps(row) + b"\n"
            self._hash.update(line)
            self._write(line)


def pieces(recording: Recording) -> Iterator[Frame]:
    """Yield the frames that came, in order."""
    return (frame for frame in recording.frames if not frame.sent)
