"""Runs recorded traffic through an adapter's layouts and the books, without a session.

Each message is decoded by the feed's compiled layouts, as in a session, and applied to books that follow the feed's
`BookSync`. Where that rule fetches snapshots, they are served from the recording, each when its time has come.
Instruments of a plain recording are not named anywhere, so they are found in the messages and named after the broker:
``EXAMPLEBROKER:BTCUSDT``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import orjson

from dragoman._core import Batch, Books, Decoder, instrument_name, intern_instrument
from dragoman.errors import UsageError
from dragoman.model import AssetClass, Instrument, InstrumentType, Mode
from dragoman.plugin import Adapter, BookSync, Feed, JsonStream
from dragoman.testing.drive import ScriptedContext, drive
from dragoman.testing.recording import Frame, Recording, Snapshot, pieces

_PROBED: Final = 500


@dataclass(slots=True)
class Top:
    """Best prices of a book at the end."""

    instrument_id: str
    bid_price: float | None
    bid_quantity: float | None
    ask_price: float | None
    ask_quantity: float | None
    stale: bool
    updates: int
    gaps: int


@dataclass(slots=True)
class Replayed:
    """What came of a recording.

    Attributes
    ----------
    feed : str
        The stream whose layouts read it.
    frames, messages, ticks, levels, control : int
        Frames; records and control messages together; records; level changes; control messages alone.
    errors : int
        Messages, or parts, that could not be read.
    gaps, healed, duplicates, ignored, held, overflowed, snapshots : int
        Of the books; `snapshots` were served.
    crossed : int
        Frames after which some book that they touched was crossed, while live.
    unbound : int
        Records of instruments nobody named.
    ns_per_message : float
        Decoding and applying, of a second pass that does nothing else.
    tops : list of Top
    """

    feed: str
    frames: int = 0
    messages: int = 0
    ticks: int = 0
    levels: int = 0
    control: int = 0
    errors: int = 0
    gaps: int = 0
    healed: int = 0
    duplicates: int = 0
    ignored: int = 0
    held: int = 0
    overflowed: int = 0
    snapshots: int = 0
    crossed: int = 0
    unbound: int = 0
    ns_per_message: float = 0.0
    tops: list[Top] = field(default_factory=list)


def replay(
    adapter: Adapter,
    recording: Recording,
    *,
    feed: str = "",
    mono_ns: Callable[[], int] | None = None,
    on_batch: Callable[[Batch, Books], object] | None = None,
) -> Replayed:
    """Replay a recording.

    Parameters
    ----------
    adapter : Adapter
    recording : Recording
    feed : str
        Stream whose layouts to use; by default the one the recording names, or else the one that reads most of it.
    mono_ns : callable, optional
        A clock: with it, a second pass is timed.
    on_batch : callable, optional
        Sees every batch, and the books after it.

    Raises
    ------
    UsageError
        No stream of the adapter reads the recording, or there is none of that name.
    """
    run = _Run(adapter, recording, _feed(adapter, recording, feed))
    found = run.once(on_batch)
    if mono_ns is not None and found.frames:
        run.prepare()
        found.ns_per_message = run.fast(mono_ns) / max(1, found.messages)
    return found


def named_instruments(adapter: Adapter, recording: Recording, *, feed: str = "") -> list[Instrument]:
    """Return the instruments of a recording; those of a plain one as its messages name them. Raises as `replay`."""
    return [one for one, _ in _Run(adapter, recording, _feed(adapter, recording, feed)).instruments]


def read_by(feed: type[Feed], frames: Iterable[Frame]) -> int:
    """Return how many records a feed's layouts find in frames."""
    if feed.layouts is None:
        return 0
    layout = feed.layouts.compile()
    decoder, count = Decoder(layout), 0
    for frame in frames:
        if layout.reads_text or not frame.text:
            count += len(decoder.decode(frame.data))
    return count


def _feed(adapter: Adapter, recording: Recording, name: str) -> type[Feed]:
    named = [feed for feed in adapter.feeds if feed.kind != "orders" and feed.layouts is not None]
    if name:
        return adapter.feed_class(name)
    streams = {frame.stream for frame in recording.frames}
    if len(streams) == 1 and (only := streams.pop()):
        return adapter.feed_class(only)
    probe = list(pieces(recording))[:_PROBED]
    counted = [(read_by(feed, probe), feed) for feed in named]
    most = max((count for count, _ in counted), default=0)
    if not most:
        names = ", ".join(feed.stream() for feed in named) or "none"
        raise UsageError(f"no stream of {adapter.name} reads this recording", remedy=f"its streams: {names}")
    best = [feed for count, feed in counted if count == most]
    # Of streams with the same layouts the one that keeps books whole is meant.
    return next((feed for feed in best if feed.sync != BookSync()), best[0])


class _Run:
    def __init__(self, adapter: Adapter, recording: Recording, feed: type[Feed]) -> None:
        self._adapter = adapter
        self._feed = feed
        self._sync = feed.sync
        assert feed.layouts is not None
        self._layout = feed.layouts.compile()
        stream = feed.stream()
        self._frames = [
            frame
            for frame in pieces(recording)
            if frame.stream in ("", stream) and (self._layout.reads_text or not frame.text)
        ]
        self.instruments = list(self._named(recording))
        self._handles = {one.instrument_id: intern_instrument(one.instrument_id) for one, _ in self.instruments}
        self._snapshots = self._served(recording)
        self.prepare()

    def prepare(self) -> None:
        """Begin anew: new decoder, new books."""
        self._decoder = Decoder(self._layout)
        self._books = Books(rule=self._sync.rule)
        for instrument, keys in self.instruments:
            handle = self._handles[instrument.instrument_id]
            self._books.follow(handle, rule=self._sync.rule, hold=self._sync.hold)
            for key in keys:
                if isinstance(key, bytes):
                    self._decoder.bind_text(key, handle)
                else:
                    self._decoder.bind(key, handle)
        self._wanting: dict[int, int] = {}
        self._used: set[int] = set()
        self.served = 0

    # -- instruments -------------------------------------------------------------------------------------------------

    def _named(self, recording: Recording) -> Iterator[tuple[Instrument, tuple[int | bytes, ...]]]:
        feed = self._feed()
        if recording.instruments:
            for row in recording.instruments:
                instrument = _instrument(row)
                yield instrument, tuple(feed.keys(instrument))
            return
        for key in self._keys():
            text = key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
            yield self._guess(text), (key,)

    def _keys(self) -> Iterator[int | bytes]:
        """Yield what names instruments in the messages, each once."""
        seen: dict[int | bytes, None] = {}
        if isinstance(self._feed.layouts, JsonStream):
            for frame in self._frames:
                seen.update((key, None) for key in json_keys(self._feed.layouts, frame.data))
        else:
            decoder = Decoder(self._layout)
            for frame in self._frames:
                seen.update((tick.key, None) for tick in decoder.decode(frame.data))
        return iter(seen)

    def _guess(self, symbol: str) -> Instrument:
        """Return an instrument of that symbol on the segment that the stream serves."""
        name = f"{self._adapter.name.upper()}:{symbol.upper()}"
        made = Instrument(
            instrument_id=name,
            symbol=symbol,
            exchange="",
            asset_class=AssetClass.UNKNOWN,
            instrument_type=InstrumentType.UNKNOWN,
            broker_symbol=symbol,
            broker_token=symbol,
        )
        for segment in sorted(self._adapter.capabilities.segments):
            found = dataclasses.replace(made, exchange=segment)
            if self._feed.serves(found, Mode.FULL):
                return found
        return made

    # -- snapshots ---------------------------------------------------------------------------------------------------

    def _served(self, recording: Recording) -> dict[int, list[Snapshot]]:
        found: dict[int, list[Snapshot]] = {handle: [] for handle in self._handles.values()}
        by_symbol = {one.broker_symbol.casefold(): one for one, _ in self.instruments}
        for snapshot in recording.snapshots:
            if snapshot.url:
                values = [value.casefold() for _, value in parse_qsl(urlsplit(snapshot.url).query)]
                instrument = next((by_symbol[value] for value in values if value in by_symbol), None)
                if instrument is None:
                    continue
                snapshot = self._read(instrument, snapshot)
            if snapshot.instrument_id in self._handles:
                found[self._handles[snapshot.instrument_id]].append(snapshot)
        return found

    def _read(self, instrument: Instrument, snapshot: Snapshot) -> Snapshot:
        """Have the adapter's own depth flow read a recorded reply."""
        ctx = ScriptedContext(instruments=[instrument])
        quote = drive(self._adapter.depth(instrument, ctx), [snapshot.body]).result
        return Snapshot(snapshot.ts, instrument.instrument_id, quote.sequence, quote.bids, quote.asks)

    def _heal(self, ts: int) -> None:
        """Serve the snapshots that are wanted and whose time has come."""
        if self._books.wanting:
            for handle in self._books.take_wanting():
                self._wanting[handle] = ts
        for handle, since in list(self._wanting.items()):
            offered = [one for one in self._snapshots.get(handle, ()) if id(one) not in self._used]
            later = [one for one in offered if one.ts >= since]
            chosen = later[0] if later else offered[-1] if offered else None
            if chosen is None or chosen.ts > ts:
                continue
            self._used.add(id(chosen))
            self.served += 1
            del self._wanting[handle]
            self._books.snapshot(handle, chosen.bids, chosen.asks, sequence=chosen.sequence, ts_recv=chosen.ts)
            if self._books.wanting:
                self._wanting.update((again, ts) for again in self._books.take_wanting())

    # -- passes ------------------------------------------------------------------------------------------------------

    def once(self, on_batch: Callable[[Batch, Books], object] | None) -> Replayed:
        """Replay and count everything."""
        found = Replayed(self._feed.stream(), frames=len(self._frames))
        decoder, books = self._decoder, self._books
        touched: set[int] = set()
        for frame in self._frames:
            batch = decoder.decode(frame.data, frame.ts)
            books.apply(batch)
            self._heal(frame.ts)
            found.ticks += len(batch)
            found.control += len(batch.control)
            found.errors += batch.errors
            found.levels += len(batch.level_ops)
            touched.clear()
            touched.update(tick.instrument for tick in batch if tick.instrument >= 0)
            found.crossed += any(books.book(one).crossed and not books.book(one).stale for one in touched)
            if on_batch is not None:
                on_batch(batch, books)
        if self._frames:
            self._heal(self._frames[-1].ts)
        found.messages = found.ticks + found.control
        found.snapshots = self.served
        for name in ("gaps", "healed", "duplicates", "ignored", "held", "overflowed", "unbound"):
            setattr(found, name, getattr(books, name))
        found.tops = [top for handle in self._handles.values() if (top := self._top(handle)).updates]
        return found

    def _top(self, handle: int) -> Top:
        book = self._books.book(handle)
        best = (book.bid_price, book.bid_quantity, book.ask_price, book.ask_quantity)
        return Top(instrument_name(handle), *best, book.stale, book.updates, book.gaps)

    def fast(self, mono_ns: Callable[[], int]) -> int:
        """Replay and do nothing else; return the ns it took, without the snapshots."""
        decode, apply, books = self._decoder.decode, self._books.apply, self._books
        healing, began = 0, mono_ns()
        for frame in self._frames:
            apply(decode(frame.data, frame.ts))
            if books.wanting or self._wanting:
                before = mono_ns()
                self._heal(frame.ts)
                healing += mono_ns() - before
        return mono_ns() - began - healing


def _instrument(row: Mapping[str, str]) -> Instrument:
    return Instrument(
        instrument_id=row["instrument_id"],
        symbol=row["symbol"],
        exchange=row["exchange"],
        asset_class=AssetClass(row["asset_class"]),
        instrument_type=InstrumentType(row["instrument_type"]),
        broker_symbol=row["broker_symbol"],
        broker_token=row["broker_token"],
        exchange_token=row.get("exchange_token", ""),
    )


def json_keys(stream: JsonStream, data: bytes) -> Iterator[int | bytes]:
    """Yield the keys of instruments in one JSON frame, as the layouts' `JsonKey` builds them."""
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError:
        return
    for part in message if isinstance(message, list) and not stream.positional else (message,):
        for layout in stream.layouts:
            if layout.key is None:
                continue
            inner = at_path(part, layout.at) if layout.at is not None else part
            values = [at_path(inner, path) for path in layout.key.paths]
            texts = [str(value) for value in values if isinstance(value, (str, int)) and not isinstance(value, bool)]
            if len(texts) != len(values) or not texts:
                continue
            if layout.key.until:
                texts = [_until(text, layout.key.until) for text in texts]
            yield int(texts[0]) if layout.key.number else layout.key.join.join(texts).encode()


def _until(text: str, stops: str) -> str:
    ends = [at for stop in stops if (at := text.find(stop)) >= 0]
    return text[: min(ends)] if ends else text


def at_path(value: Any, path: Any) -> Any:
    """Return what stands at a path of keys and positions joined by dots; None where nothing does."""
    for step in str(path).split("."):
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list) and step.lstrip("-").isdigit() and -len(value) <= int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


__all__ = ["Replayed", "Top", "at_path", "json_keys", "named_instruments", "read_by", "replay"]
