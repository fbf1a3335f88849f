"""The watch list and the ladder: which instruments are followed, and what their streams say of them.

Last prices are the native marks and depth is the native book, so following an instrument costs nothing for each tick.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from dragoman.cli.watch.rows import Ladder, Level, PriceRow
from dragoman.model import Instrument, Mode
from dragoman.plugin import Want

if TYPE_CHECKING:
    from dragoman._core import Book
    from dragoman.client import Client

_NS: Final = 1_000_000_000
MOST: Final = 50
"""So many instruments are followed by themselves; those that were named always are."""
_QUIET_S: Final = 1.0


def decimals_of(instrument: Instrument | None) -> int:
    """Return how many digits prices of an instrument have after the point: those of its tick, at least two."""
    tick = None if instrument is None else instrument.tick_size
    return max(2, -int(tick.normalize().as_tuple().exponent)) if tick else 2


def silent(age_s: float | None, limit_s: float) -> bool:
    """Whether a socket has been silent for longer than its stream's limit allows; 0: it has none."""
    return age_s is not None and limit_s > 0 and age_s > limit_s + _QUIET_S


class Prices:
    """Instruments that are followed, one of which is chosen: that one has depth.

    Parameters
    ----------
    client : Client

    Attributes
    ----------
    names : list of str
        Canonical ids, in the order of the list.
    chosen : int
        Position of the chosen one; without meaning while the list is empty.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._marking = client.portfolio.live.marking
        modes = client.session.adapter.capabilities.modes
        self._deep = next((mode for mode in (Mode.FULL, Mode.DEEP) if mode in modes), None)
        self._plain = next((mode for mode in (Mode.QUOTE, Mode.LTP) if mode in modes), self._deep)
        self._closes: dict[str, float] = {}
        self._live: list[Mapping[str, Want]] = []
        self._silent: list[tuple[float, Mapping[str, Want]]] = []
        self.names: list[str] = []
        self.chosen = 0

    # -- what is followed --------------------------------------------------------------------------------------------

    def add(self, names: Iterable[str | Instrument]) -> list[str]:
        """Follow more instruments; return the ids of those that are new.

        Raises
        ------
        UsageError
            One is unknown, or the stream has no room for it.
        """
        found = [self._client.instrument(name) for name in names]
        fresh = list({one.instrument_id: one for one in found if one.instrument_id not in self.names}.values())
        if not fresh:
            return []
        if self._plain is not None and self._client.market.apply is not None:
            wanted = [one for one in fresh if one.instrument_id not in self._client.market.subscribed]
            self._client.subscribe(wanted, self._plain)
        for one in fresh:
            self._marking.follow(self._client.instruments.handle(one))
        was_empty = not self.names
        self.names += [one.instrument_id for one in fresh]
        if was_empty:
            self.choose(0)
        return [one.instrument_id for one in fresh]

    def choose(self, position: int) -> None:
        """Put another instrument on the ladder; beyond the end the list begins again."""
        if not self.names:
            return
        self.chosen = position % len(self.names)
        name = self.names[self.chosen]
        had = self._client.market.subscribed.get(name)
        if self._deep is None or self._client.market.apply is None or (had is not None and had.has_depth):
            return
        self._client.subscribe(name, self._deep)

    @property
    def name(self) -> str:
        """The chosen instrument's id; "" while nothing is followed."""
        return self.names[self.chosen] if self.names else ""

    async def read_closes(self, names: Sequence[str]) -> None:
        """Ask for what the changes are counted from: one request, where the broker has quotes."""
        can = self._client.session.adapter.capabilities
        if names and can.features["quotes"]:
            found = await self._client.quotes(names, Mode.FULL if Mode.FULL in can.modes else Mode.QUOTE)
            closes = {name: quote.previous_close for name, quote in found.items()}
            self._closes.update((name, close) for name, close in closes.items() if close)

    # -- what is shown -----------------------------------------------------------------------------------------------

    def look(self) -> None:
        """See which sockets bring what they should: connected, subscribed, and heard of lately."""
        self._silent, self._live = [], []
        for stream in self._client.streams.values():
            limit = stream.feed_class.stall.any_frame_s
            for shard in stream.shards:
                if stream.kind == "orders" or not shard.ready:
                    continue
                age = shard.counters["frame_age_s"]
                if silent(age, limit):
                    self._silent.append((age, shard.wanted))
                else:
                    self._live.append(shard.wanted)

    def delivering(self, name: str) -> bool:
        """Whether a stream brought an instrument when `look` did."""
        return any(name in wanted for wanted in self._live)

    def rows(self, now: int) -> list[PriceRow]:
        """Return the watch list as it is at `now`, ns UTC."""
        return [self._row(name, now) for name in self.names]

    def _row(self, name: str, now: int) -> PriceRow:
        instrument = self._client.instruments.get(name)
        if instrument is None:  # a new master no longer has it
            return PriceRow(name, None, None, None, stale=True)
        last, ts, stale = self._marking.read(self._client.instruments.handle(instrument))
        close = self._closes.get(name)
        change = None if last is None or not close else (float(last) / close - 1) * 100
        age = None if ts is None else max(0, now - ts) // _NS
        stale = stale or not self.delivering(name)
        return PriceRow(name, last, change, age, stale, decimals_of(instrument))

    def ladder(self, levels: int, now: int) -> Ladder:
        """Return the chosen instrument's depth, at most `levels` of each side."""
        name = self.name
        instrument = self._client.instruments.get(name) if name else None
        if instrument is None:
            return Ladder(name, why="nothing is followed" if not name else "it is not in the instrument master")
        book = self._client.book(instrument)
        last, _, _ = self._marking.read(self._client.instruments.handle(instrument))
        why = self._wrong(name, book)
        return Ladder(
            name,
            _side(book, "bid", levels),
            _side(book, "ask", levels),
            None if last is None else float(last),
            decimals_of(instrument),
            stale=bool(why),
            why=why,
            age_s=max(0, now - book.ts_recv) / _NS if book.updates else None,
        )

    def _wrong(self, name: str, book: Book) -> str:
        """Return why the book is not to be believed, "" where it is."""
        if self._deep is None:
            return "the broker streams no depth"
        carrying = [stream for stream in self._client.streams.values() if stream.kind != "orders"]
        for stream in carrying:
            asked = any(name in shard.wanted for shard in stream.shards)
            if asked and not stream.delivers(name):
                return f"the {stream.name} stream is {stream.state}"
        for age, wanted in self._silent:
            if name in wanted:
                return f"nothing was heard for {age:.0f} s"
        if book.gapped:
            return "a message was missed"
        if not book.updates:
            return "no depth yet"
        if book.stale:
            return "no depth since the stream came back"
        return "the best bid is above the best ask" if book.crossed else ""


def _side(book: Book, side: str, levels: int) -> tuple[Level, ...]:
    found = (book.level(side, index) for index in range(min(levels, book.depth(side))))
    return tuple(level for level in found if level is not None)
