"""The sockets of one kind of stream: as many as its instruments need, each kept alive by itself.

An instrument is put on the first socket with room and stays there; a change of its mode goes there, too. A further
socket is opened when the others are full and closed a while after its last instrument left. What happens to one - a
loss, a gap, a new connection - concerns its own instruments only, and events say which `shard` they are about.

Order updates of an account come over every socket of a broker that has them on its market stream. Those of the first
socket count, which always stands; the copies are dropped and counted, because two sockets promise no common order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from dragoman.errors import DragomanError, UsageError
from dragoman.plugin import FillSeen, MarginSeen, OrderSeen, Reply, Want
from dragoman.session.streams import State, Stream, StreamEvent

if TYPE_CHECKING:
    from dragoman._core import Batch
    from dragoman.session.session import AccountSession

_IDLE_S: Final = 60.0
"""How long an extra socket stays open without an instrument; a strategy that rolls its list should not reconnect."""
_WORST_FIRST: Final[tuple[State, ...]] = ("fatal", "stale", "waiting", "connecting", "ready", "closed")


class ShardedStream:
    """A stream of an account over one or more sockets. Made by `AccountSession.stream`.

    Parameters
    ----------
    session : AccountSession
    name : str
        `Feed.stream`; the kind is the feed's.
    on_batch : callable
        Takes each native `Batch` inline; it must return at once.
    on_event : callable
        Takes feed events, `StreamState` and `Gap`, inline.
    lazy : bool
        Open the first socket only once an instrument is wanted.

    Attributes
    ----------
    primary : Stream
        The first socket: open all along unless `lazy`, it carries order updates and requests.
    repeated_orders : int
        Order updates that came over another socket and were dropped as copies.
    """

    def __init__(
        self,
        session: AccountSession,
        name: str,
        on_batch: Callable[[Batch], object],
        on_event: Callable[[StreamEvent], object],
        *,
        lazy: bool = False,
    ) -> None:
        self.name = name
        self.feed_class = feed = session.adapter.feed_class(name)
        self.kind = feed.kind
        can = session.adapter.capabilities
        self._most = can.max_instruments_per_socket if feed.max_instruments is None else feed.max_instruments
        self._most_sockets = can.max_sockets if feed.max_sockets is None else feed.max_sockets
        self._session = session
        self._adapter = session.adapter
        self._on_batch = on_batch
        self._on_event = on_event
        self._running = False
        self._lazy = lazy
        # An instrument that was dropped comes back to its socket: ticks on their way meet no other ones.
        self._homes: dict[str, int] = {}
        self._idle: dict[int, asyncio.Task[None]] = {}
        self.repeated_orders = 0
        self.primary = Stream(session, name, 1, on_batch, on_event)
        self._shards = [self.primary]

    def __repr__(self) -> str:
        sockets = sum(shard.open for shard in self._shards)
        count = sum(len(shard.wanted) for shard in self._shards)
        return (
            f"<ShardedStream {self._adapter.name}/{self.name} {self.state}, {count} instruments on {sockets} sockets>"
        )

    # -- life --------------------------------------------------------------------------------------------------------

    async def start(self, *, timeout_s: float = 15.0) -> None:
        """Open what is needed, and wait until it is ready or `timeout_s` is over; then it goes on trying.

        Raises
        ------
        UsageError
            The account's processes hold all sockets the broker allows.
        DragomanError
            What ended the stream for good: a dead token, an address the broker refuses.
        """
        self._running = True
        due = self._needed()
        for shard in due:
            shard.begin()
        ends = await asyncio.gather(*(shard.start(timeout_s=timeout_s) for shard in due), return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                raise end

    async def restart(self, *, timeout_s: float = 15.0) -> None:
        """Begin again what had ended for good, with all subscriptions; a living socket is left alone."""
        await self.start(timeout_s=timeout_s)

    async def close(self) -> None:
        """End all sockets; bounded, also with a dead peer."""
        self._running = False
        for task in self._idle.values():
            task.cancel()
        self._idle.clear()
        await asyncio.gather(*(shard.close() for shard in self._shards))

    def loop_stalled(self, seconds: float, reason: str) -> None:
        """Give up connections where our own loop stood still for longer than the broker's heartbeat."""
        for shard in self._shards:
            shard.loop_stalled(seconds, reason)

    # -- what is wanted ----------------------------------------------------------------------------------------------

    def subscribe(self, wants: Iterable[Want]) -> None:
        """Ask for instruments; one that is there already changes its mode, or nothing.

        Raises
        ------
        UsageError
            More instruments than the sockets of a key carry, or a further socket is needed and other processes hold
            them all. Nothing changed, zero bytes were sent.
        """
        self._session.owner.check("subscribe")
        latest = {want.instrument.instrument_id: want for want in wants}
        per_shard: dict[int, list[Want]] = {}
        fresh: list[Want] = []
        for name, want in latest.items():
            at = self._at(name)
            if at is None:
                fresh.append(want)
            elif at.wanted[name].mode is not want.mode:
                per_shard.setdefault(at.shard, []).append(want)
        self._check_room(len(fresh))
        self._place(fresh, per_shard)
        opening = self._lease([self._of(number) for number in sorted(per_shard)])
        try:
            made = [(self._of(number), add, self._of(number).frames(add, ())) for number, add in per_shard.items()]
        except BaseException:
            for shard in opening:
                shard.release()
            raise
        for shard, add, frames in made:
            shard.change(add, (), frames)
            self._homes.update((want.instrument.instrument_id, shard.shard) for want in add)
            if (waiting := self._idle.pop(shard.shard, None)) is not None:
                waiting.cancel()
        for shard in opening:
            shard.begin()

    def unsubscribe(self, wants: Iterable[Want]) -> None:
        """Drop instruments; one that is not there is no error. An extra socket without any closes after a while."""
        self._session.owner.check("unsubscribe")
        per_shard: dict[int, list[Want]] = {}
        for name in dict.fromkeys(want.instrument.instrument_id for want in wants):
            if (at := self._at(name)) is not None:
                per_shard.setdefault(at.shard, []).append(at.wanted[name])
        made = [(self._of(number), drop, self._of(number).frames((), drop)) for number, drop in per_shard.items()]
        for shard, drop, frames in made:
            shard.change((), drop, frames)
            if (
                (shard is not self.primary or self._lazy)
                and not shard.wanted
                and shard.open
                and shard.shard not in self._idle
            ):
                self._idle[shard.shard] = self._session.runtime.spawn(
                    self._close_idle(shard), name=f"{self._adapter.name} {self.name} idle socket {shard.shard}"
                )

    @property
    def wanted(self) -> dict[str, Want]:
        """What is asked for, by canonical id; it survives reconnecting."""
        return {name: want for shard in self._shards for name, want in shard.wanted.items()}

    def wanted_on(self, shard: int) -> Sequence[Want]:
        """Return what is asked for on one socket."""
        return tuple(self._of(shard).wanted.values()) if 1 <= shard <= len(self._shards) else ()

    def _needed(self) -> list[Stream]:
        return [shard for shard in self._shards if shard.wanted or (shard is self.primary and not self._lazy)]

    def _of(self, number: int) -> Stream:
        return self._shards[number - 1]

    def _at(self, name: str) -> Stream | None:
        """Return the socket that carries an instrument now."""
        home = self._homes.get(name)
        if home is None or name not in self._of(home).wanted:
            return None
        return self._of(home)

    def carries(self, want: Want) -> bool:
        """Whether the instrument is asked for on one of the sockets."""
        return self._at(want.instrument.instrument_id) is not None

    def delivers(self, instrument_id: str) -> bool:
        """Whether an instrument is asked for on one of the sockets, and that one is connected and subscribed."""
        at = self._at(instrument_id)
        return at is not None and at.ready

    def check_room(self, wants: Iterable[Want]) -> None:
        """Raise UsageError where the sockets of a key do not carry these too."""
        names = {want.instrument.instrument_id for want in wants}
        self._check_room(sum(self._at(name) is None for name in names))

    def _check_room(self, more: int) -> None:
        total = sum(len(shard.wanted) for shard in self._shards) + more
        most = self._most * self._most_sockets
        if more and total > most:
            raise UsageError(
                f"{self._adapter.name}: {total} instruments on the {self.name} stream, a socket carries {self._most}"
                f" and a key has {self._most_sockets}: {most} in all",
                broker=self._adapter.name,
                remedy=f"unsubscribe {total - most} first; nothing was sent",
            )

    def _place(self, fresh: Sequence[Want], into: dict[int, list[Want]]) -> None:
        """Choose a socket for each new instrument: its last one, else the first with room. There is room for all."""
        most = self._most
        room = {shard.shard: most - len(shard.wanted) for shard in self._shards}
        # Those that are open already go first: no socket is opened while another has room.
        order = sorted(room, key=lambda number: (self._running and not self._of(number).open, number))
        for want in fresh:
            number = self._homes.get(want.instrument.instrument_id, 0)
            if room.get(number, 0) <= 0 or (self._running and not self._of(number).open):
                while order and room[order[0]] <= 0:
                    del order[0]
                if not order:
                    added = Stream(self._session, self.name, len(self._shards) + 1, self._on_batch, self._from_extra)
                    self._shards.append(added)
                    room[added.shard] = most
                    order.append(added.shard)
                number = order[0]
            room[number] -= 1
            into.setdefault(number, []).append(want)

    def _lease(self, needed: Sequence[Stream]) -> list[Stream]:
        """Make sure of those sockets that must be opened, all or none, and return them.

        One that ended for good waits for `restart`: what ended it ended the others, too.
        """
        opening = [shard for shard in needed if self._running and not shard.open and shard.state != "fatal"]
        for count, shard in enumerate(opening):
            try:
                shard.lease()
            except DragomanError:
                for leased in opening[:count]:
                    leased.release()
                raise
        return opening

    async def _close_idle(self, shard: Stream) -> None:
        await self._session.runtime.sleep(_IDLE_S)
        del self._idle[shard.shard]
        await shard.close()

    # -- from the sockets --------------------------------------------------------------------------------------------

    def _from_extra(self, event: StreamEvent) -> None:
        if isinstance(event, (OrderSeen, FillSeen)):
            self.repeated_orders += 1
        elif not isinstance(event, MarginSeen):  # the first socket has told it
            self._on_event(event)

    async def exchange(self, correlation: str, make: Callable[[], str | bytes], timeout_s: float) -> Reply:
        """Send a request over the first socket; see `FeedConnection.exchange`."""
        return await self.primary.exchange(correlation, make, timeout_s)

    # -- looking -----------------------------------------------------------------------------------------------------

    @property
    def shards(self) -> tuple[Stream, ...]:
        """Every socket there was, by number; those closed again keep their counts."""
        return tuple(self._shards)

    @property
    def ready(self) -> bool:
        """Whether every socket that is needed is connected and subscribed."""
        return all(shard.ready for shard in self._needed())

    @property
    def state(self) -> State:
        """The worst state among the sockets that are needed."""
        states = {shard.state for shard in self._needed()}
        return next((state for state in _WORST_FIRST if state in states), "closed")

    @property
    def error(self) -> DragomanError | None:
        """What ended one of the sockets for good."""
        return next((shard.error for shard in self._shards if shard.error is not None), None)

    @property
    def counters(self) -> dict[str, Any]:
        """What was counted: sums over the sockets, the least ages, and each socket's own under ``shards``.

        Those are found by number as text, because that is what JSON allows.
        """
        each = {str(shard.shard): shard.counters for shard in self._shards}
        total: dict[str, Any] = {"decoder": {}, "shards": each, "repeated_orders": self.repeated_orders}
        for found in each.values():
            for name, count in found["decoder"].items():
                total["decoder"][name] = total["decoder"].get(name, 0) + count
            for name, value in found.items():
                if name.endswith("_age_s"):
                    ages = (age for age in (value, total.get(name)) if age is not None)
                    total[name] = min(ages, default=None)
                elif name != "decoder":
                    total[name] = total.get(name, 0) + value
        return total | {"ready": int(self.ready)}
