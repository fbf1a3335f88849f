"""The durable record of what we are about to ask of a broker, and of everything learnt about it.

Theory: a `commit` is durable before it is answered, so an order whose intent was committed is never forgotten. One
write and one `fdatasync` on a thread of its own carry all that waits; what is committed meanwhile goes together with
the next, so that the cost of a sync is shared and never queued for. Records get their hashes when they are written, not
before: a record that was refused leaves no trace in the chain of those that were not.

Two things can be wrong with the disk. It is *full*: the next chunk cannot be made; commits are refused, nothing was
written, and the journal goes on by itself once there is space. Or it *failed*: a write or a sync did not succeed, so
nobody knows what is on it; that is final for this process, because a later sync that succeeds would prove nothing.
"""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import orjson

from dragoman._core import JournalQueue
from dragoman.errors import DragomanError, Retry, UsageError
from dragoman.orders.journal.format import (
    DEFAULT_CHUNK,
    HEADER_SIZE,
    RECORD_SIZE,
    SMALLEST_CHUNK,
    Kind,
    Record,
    encode_payload,
)
from dragoman.orders.journal.index import named
from dragoman.orders.journal.opening import Epoch, begin_epoch, cannot_write, slow_disk
from dragoman.orders.journal.scan import Chunk, Damage, Scan
from dragoman.orders.journal.tail import Batch, Tail
from dragoman.orders.journal.words import cleaned
from dragoman.runtime.base import DiskFile, Runtime

_HEALS = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM))
_HELD = 10_000
_ENDED = OSError(errno.ECANCELED, "it was closed before its disk had answered")
_MARGIN = 64  # what `Kind.REFUSED` says around a payload
_LOOK_AGAIN_S = 1.0
_PATIENCE_S = 5.0
_SLOW_S = 2.0


class Journal:
    """The journal of one account, open for writing. Made by `open`; belongs to the loop it was opened on.

    Attributes
    ----------
    folder : str
    epoch : int
        Which opening this is, from 1.
    journal_id : str
        Name of this run: the head of the wire ids it mints, never used by an earlier run of this journal.
    journal_ids : frozenset of str
        All it ever had, this one included: a wire id that begins with one of them is ours.
    damage : tuple of Damage
        What this opening was the first to find: reconcile everything before trusting the records.
    known_damage : tuple of Damage
        What an earlier one had found already.
    clean : bool
        The run before this one closed properly, and nothing is newly damaged.
    last_ns : int
        Wall clock of the newest record before this run, 0 where there is none: what happened since then is unknown.
    unreadable : int
        How many records of earlier runs are whole and say nothing that could be read: counted by whoever reads them.
    failed : DragomanError or None
        Why nothing can be written any more; see `on_failed`.
    on_failed : callable or None
        Told once, on the loop, when the journal fails.
    on_slow : callable or None
        Told, on the loop, of each write that has taken two seconds and goes on: what it holds up is not sent.
    """

    def __init__(
        self, runtime: Runtime, folder: str, epoch: Epoch, *, chunk_size: int, flush_s: float, held_limit: int
    ) -> None:
        self.folder = folder
        self.epoch = epoch.number
        self.journal_id = epoch.journal_id
        self.journal_ids = epoch.scan.journal_ids | {epoch.journal_id}
        self.damage: tuple[Damage, ...] = tuple(one for one in epoch.damage if not one.known)
        self.known_damage: tuple[Damage, ...] = tuple(one for one in epoch.damage if one.known)
        self.clean = not self.damage and epoch.scan.kind in (0, Kind.CLOSE)
        self.last_ns = epoch.scan.time_ns
        self.unreadable = 0
        self.failed: DragomanError | None = None
        self.on_failed: Callable[[DragomanError], object] | None = None
        self.on_slow: Callable[[DragomanError], object] | None = None
        self.dropped = 0
        self._runtime = runtime
        self._disk = runtime.disk
        self._now_ns = runtime.clock.wall_ns
        self._loop = asyncio.get_running_loop()
        self._lane = runtime.lane(f"dragoman-journal-{epoch.journal_id}")
        self._lock = epoch.lock
        self._chunks: list[Chunk] = epoch.scan.chunks
        self._chunk_size = chunk_size
        self._longest = (chunk_size - HEADER_SIZE - RECORD_SIZE - _MARGIN) // 8 * 8
        self._flush_s = flush_s
        self._held_limit = held_limit
        self._queue = JournalQueue(
            epoch.number,
            epoch.journal_id.encode(),
            epoch.sequence,
            epoch.hash,
            held_limit,
            self._longest,
            runtime.clock.wall_ns,
        )
        self._tail = Tail(runtime.disk, folder, epoch, chunk_size, self._queue)
        self._preparing = False
        self._obstacle: BaseException | None = None
        self._cause: BaseException = OSError()
        self._writing = False
        self._urgent = False
        self._held: deque[tuple[int, int, int, bytes]] = deque()
        self._waiters: deque[tuple[int, asyncio.Future[None], bool]] = deque()  # the last: for a record of its own
        self._timer: asyncio.TimerHandle | None = None
        self._handed_over_s = 0.0
        self._told_slow = False
        self._watch: asyncio.TimerHandle | None = None
        self._closed = False
        self._idle = False
        self._closing: asyncio.Task[bool] | None = None

    @classmethod
    async def open(
        cls,
        runtime: Runtime,
        folder: str,
        *,
        broker: str,
        environment: str,
        account: str,
        chunk_size: int = DEFAULT_CHUNK,
        flush_s: float = 0.05,
        held_limit: int = _HELD,
    ) -> Journal:
        """Take the writer's lock, verify every record there is, and begin an epoch durably.

        Parameters
        ----------
        runtime : Runtime
        folder : str
            See `dragoman.orders.journal.journal_folder`.
        broker, environment, account : str
            Whose journal it is; one folder is never two accounts'.
        chunk_size : int
            Bytes of each new chunk, a multiple of 8.
        flush_s : float
            The longest an appended record waits for a commit to take it along.
        held_limit : int
            How many records are kept in memory while the disk takes none.

        Raises
        ------
        AccountBusy
            Another process, or another handle of this one, has it open; says which.
        UsageError
            The folder is another account's, or of a later version.
        Rejected
            The disk does not let it be written (kind LOCAL_DENIED).
        """
        if chunk_size < SMALLEST_CHUNK or chunk_size % 8:
            raise UsageError(f"chunk_size is {chunk_size}, expected a multiple of 8 of at least {SMALLEST_CHUNK}")

        def begin() -> Epoch:
            return begin_epoch(
                runtime.disk,
                folder,
                about={"broker": broker, "environment": environment, "account": account},
                entropy=lambda: runtime.random_bytes(4),
                now_ns=runtime.clock.wall_ns,
                chunk_size=chunk_size,
            )

        work = asyncio.ensure_future(runtime.in_worker(begin))
        try:
            epoch = await asyncio.shield(work)
        except asyncio.CancelledError:
            work.add_done_callback(_abandoned)
            raise
        return cls(runtime, folder, epoch, chunk_size=chunk_size, flush_s=flush_s, held_limit=held_limit)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "failed" if self.failed else "full" if self.full else "open"
        return f"Journal({self.folder!r}, epoch={self.epoch}, journal_id={self.journal_id!r}, {state})"

    # -- reading -----------------------------------------------------------------------------------------------------

    def replay(self, since_ns: int = 0) -> Iterator[Record]:
        """Yield the records of earlier epochs, oldest first, from `since_ns` of their wall clock on.

        It reads the disk, so call it from a worker (or use `recent`) where the loop must not wait. Chunks that hold
        nothing so new are not read. Damaged records are left out; `damage` names them.
        """
        for chunk in self._chunks:
            if chunk.newest_ns < since_ns or not chunk.records:
                continue
            sequence, previous = chunk.before
            scan = Scan(sequence=sequence, previous=previous)
            for raw in scan.chunk(chunk.number, self._disk.read(f"{self.folder}/{chunk.name}")):
                if raw.epoch < self.epoch and raw.time_ns >= since_ns:
                    yield raw.read()

    async def recent(self, since_ns: int = 0) -> list[Record]:
        """Return what `replay` yields, read by a worker."""
        return await self._runtime.in_worker(lambda: list(self.replay(since_ns)))

    async def named(self, name: str) -> list[Record]:
        """Return every record about the order of a client order id, oldest first, this epoch's durable ones included.

        However long ago it was: by the index beside the log, which is brought up to date first, by a worker.

        Raises
        ------
        OSError
            The log cannot be read, or the index not written.
        """
        return await self._runtime.in_worker(named, self._disk, self.folder, name)

    # -- writing -----------------------------------------------------------------------------------------------------

    def append(self, kind: Kind, payload: Mapping[str, Any] | bytes) -> int:
        """Take a record that nobody waits for: durable with the next commit, or within `flush_s`.

        Parameters
        ----------
        kind : Kind
        payload : mapping or bytes
            Plain values, whose free text is cleaned of secrets unless it is an intent's; or a JSON object as it is to
            be written, without free text.

        Returns
        -------
        int
            Its sequence; 0 where the disk takes nothing and as many records as memory may hold wait already.

        Raises
        ------
        UsageError
            The payload is no plain JSON object, or too large for a chunk, or the journal is closed.
        """
        sequence = self._queue.put(kind, payload)
        if not sequence:
            sequence = self._put(kind, payload)
            if not sequence or self.failed is not None:
                return sequence
        if self._timer is None and not self._writing:
            self._set_timer(self._flush_s)
        return sequence

    def commit(self, kind: Kind, payload: Mapping[str, Any] | bytes) -> asyncio.Future[None] | None:
        """Take a record and everything appended before it; they are durable when the future is done.

        Returns
        -------
        Future or None
            Cancelling it changes nothing. None where the record is durable already, on a disk that is instant.

        Raises
        ------
        Rejected
            Here or by the future, kind LOCAL_DENIED: the record is not durable, so what it announces must not be done.
            With ``retry`` BACKOFF the disk is full and may have space again; with NEVER the journal has failed.
        UsageError
            As `append`.
        """
        queue = self._queue
        sequence = queue.put(kind, payload)
        if not sequence:
            sequence = self._put(kind, payload)
            if not sequence or self.failed is not None:
                raise self._refusal()
        if self._disk.instant and not self._writing:
            try:
                if queue.write():  # what becomes of most
                    if self._waiters:
                        self._settled()
                        self._urgent = False
                    return None
            except OSError as error:
                self._fail(error)
            self._write_now()
            if queue.durable >= sequence:
                return None
            if self.failed is None:
                self._refuse((sequence,))
            raise self._refusal()
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append((sequence, future, True))
        self._urgent = True
        if not self._writing:
            self._write()
        return future

    def flush(self) -> asyncio.Future[None] | None:
        """Make durable what was appended so far; None where it is already.

        Raises
        ------
        Rejected
            As `commit`.
        """
        if self.failed is not None:
            raise self._refusal()
        if self._disk.instant and not self._writing:
            self._write_now()
        if self.failed is not None or self.full:
            raise self._refusal()
        sequence = self._queue.sequence
        if self._queue.durable >= sequence:
            return None
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append((sequence, future, False))
        self._urgent = True
        if not self._writing:
            self._write()
        return future

    @property
    def unwritten(self) -> int:
        """Records that exist in memory only: they wait for space, or the journal failed before they were durable."""
        return len(self._held) + (len(self._queue) if self.full else 0)

    @property
    def full(self) -> bool:
        """Whether the disk has no space for the next chunk, and this one none for what waits."""
        return self._obstacle is not None and self.failed is None and self._tail.blocked

    @property
    def durable(self) -> int:
        """Sequence up to which everything is durable."""
        return self._queue.durable

    async def close(self, *, patience_s: float = _PATIENCE_S) -> bool:
        """Write that the epoch ended, and let go of the lock; at most `patience_s` long.

        Returns
        -------
        bool
            Whether all was written. Where it was not, the next opening is not `clean`. The lock stays with a write
            that never returned: it could still reach the disk.
        """
        if self._closing is None:
            self._closing = self._runtime.spawn(self._close(patience_s), name=f"close journal {self.journal_id}")
            self._closing.add_done_callback(self._let_go)  # also where the loop ends before it has begun
        # Whoever gives up waiting does not leave the account locked.
        return await asyncio.shield(self._closing)

    async def _close(self, patience_s: float) -> bool:
        try:
            return await self._say_closed(patience_s)
        finally:
            self._shut()
            for timer in (self._timer, self._watch):
                if timer is not None:
                    timer.cancel()
            self._idle = await self._lane.close(patience_s=patience_s)
            self._refuse_waiters()

    def _let_go(self, _: asyncio.Task[bool]) -> None:
        self._shut()
        if self._idle or not self._writing:
            self._tail.close()
            self._lock.release()

    def _shut(self) -> None:
        self._closed = True
        self._queue.shut()

    async def _say_closed(self, patience_s: float) -> bool:
        if self.failed is not None:
            return False
        try:
            done = self.commit(Kind.CLOSE, {"dropped": self.dropped} if self.dropped else {})
            if done is not None:
                async with asyncio.timeout(patience_s):
                    await done
        except (DragomanError, TimeoutError):
            return False
        return True

    # -- how it is done ----------------------------------------------------------------------------------------------

    def _put(self, kind: Kind, payload: Mapping[str, Any] | bytes) -> int:
        """Take a record that the queue left to us; 0 where neither the disk nor memory has space for it."""
        data = self._as_bytes(kind, payload)
        if self.failed is not None:
            return self._hold((0, kind, self._now_ns(), data))
        sequence = self._queue.put(kind, data)
        if not sequence:
            self.dropped += 1
        return sequence

    def _as_bytes(self, kind: Kind, payload: Mapping[str, Any] | bytes) -> bytes:
        if self._closed:
            raise UsageError(f"journal {self.folder} is closed", remedy="connect again")
        try:
            if isinstance(payload, bytes):
                data = payload
            else:
                # An intent holds what the caller gave, in names and numbers: it stands on the order path as it is.
                data = encode_payload(payload if kind is Kind.INTENT else cleaned(payload))
        except TypeError as error:
            raise UsageError(
                f"journal {self.folder}: a {kind.name} record is not plain JSON: {error}",
                remedy="make values plain with dragoman.orders.journal.codec",
            ) from error
        if len(data) > self._longest:
            raise UsageError(
                f"journal {self.folder}: a {kind.name} record of {len(data)} bytes does not fit into a chunk of"
                f" {self._chunk_size}",
                remedy="open the journal with a larger chunk_size",
            )
        return data

    def _on_timer(self) -> None:
        self._timer = None
        if not self._writing and self._queue and self.failed is None:
            self._write()

    def _set_timer(self, seconds: float) -> None:
        if self._timer is None and not self._closed:
            self._timer = self._loop.call_later(seconds, self._on_timer)

    def _write(self) -> None:
        """Hand what waits to the lane; on an instant disk write it here."""
        if self._disk.instant:
            self._write_now()
            return
        batch = self._batch()
        if batch.segments:
            self._handed_over_s = self._loop.time()
            self._told_slow = False
            if self._watch is None:
                self._watch = self._loop.call_later(_SLOW_S, self._look_at_the_lane)
            self._lane.submit(batch.perform, self._on_written)
        if self._queue.at_edge and not self._preparing and self._wants_chunk():
            # Away from the lane: a commit must not wait for megabytes of zeros.
            self._preparing = True
            work = asyncio.ensure_future(self._runtime.in_worker(self._tail.make_next))
            work.add_done_callback(self._on_prepared)

    def _look_at_the_lane(self) -> None:
        """Tell of a write that takes long. One timer serves all writes of its time."""
        self._watch = None
        if not self._writing or self._told_slow or self._closed:
            return
        left = self._handed_over_s + _SLOW_S - self._loop.time()
        if left > 0:
            self._watch = self._loop.call_later(left, self._look_at_the_lane)
            return
        self._told_slow = True
        if self.on_slow is not None:
            self.on_slow(slow_disk(self.folder, _SLOW_S))

    def _write_now(self) -> None:
        queue, tail, blocked = self._queue, self._tail, False
        while queue and self.failed is None and not blocked:
            batch = self._batch()
            if batch.segments:
                try:
                    batch.perform()
                except OSError as error:
                    self._settle(error)
                else:
                    self._settle(None)
            if not queue and not tail.nearly_full:
                return
            self._make_chunk_now()
            blocked = tail.blocked

    def _make_chunk_now(self) -> None:
        """Make the next chunk where it is wanted, on an instant disk."""
        if self.failed is None and self._wants_chunk():
            try:
                self._prepared(self._tail.make_next(), None)
            except OSError as error:
                self._prepared(None, error)

    def _batch(self) -> Batch:
        # A timer is left to fire and to look whether anything waits: with orders in a row it is set once in a while.
        batch = self._tail.take()
        self._urgent = bool(self._queue)
        if batch.segments:
            self._writing = True
        return batch

    def _on_written(self, _: None, error: BaseException | None) -> None:
        """Take note of what the lane did, and hand it what came meanwhile."""
        self._settle(error)
        if self._queue and self.failed is None and not self._closed:
            if self._urgent or self._disk.instant:
                self._write()
            else:
                self._set_timer(self._flush_s)

    def _settle(self, error: BaseException | None) -> None:
        self._writing = False
        if error is not None:
            self._fail(error)
            return
        self._queue.settle()
        if self._waiters:
            self._settled()

    def _settled(self) -> None:
        """Tell those who wait for what is durable by now."""
        waiters, durable = self._waiters, self._queue.durable
        while waiters and waiters[0][0] <= durable:
            _, future, _ = waiters.popleft()
            if not future.done():
                future.set_result(None)

    # -- the next chunk ----------------------------------------------------------------------------------------------

    def _wants_chunk(self) -> bool:
        ahead = self._tail.nearly_full and self._obstacle is None
        return ahead or self._tail.blocked

    def _on_prepared(self, work: asyncio.Future[tuple[int, DiskFile]]) -> None:
        self._preparing = False
        if work.cancelled():
            self._prepared(None, OSError(errno.EIO, "the work was cancelled"))
        elif (error := work.exception()) is not None:
            self._prepared(None, error)
        else:
            self._prepared(work.result(), None)
            # After the end the chunk was not kept, and what waits would ask for the next at once.
            if self._queue and not self._writing and self.failed is None and not self._closed:
                self._write()

    def _prepared(self, made: tuple[int, DiskFile] | None, error: BaseException | None) -> None:
        if made is not None:
            if self._closed or self.failed is not None:
                made[1].close()
            else:
                self._tail.follow_with(made)
                self._obstacle = None
            if self._timer is not None:
                self._timer.cancel()  # it may be the one that looks for space, far away
                self._timer = None
            return
        self._obstacle = error
        if self._writing or not self._tail.blocked:
            return  # not needed yet; it is tried again once it is
        if not (isinstance(error, OSError) and error.errno in _HEALS):
            assert error is not None
            self._fail(error)
            return
        self._refuse([sequence for sequence, _, committed in self._waiters if committed])
        self._fail_waiters()
        self._set_timer(_LOOK_AGAIN_S)

    # -- what could not be written -----------------------------------------------------------------------------------

    def _refuse(self, sequences: Collection[int]) -> None:
        """Turn records that were committed in vain into ones that say so, for when there is space again."""
        if not sequences:
            return
        wanted = frozenset(sequences)
        said = {
            sequence: encode_payload({"kind": Kind(kind).name, "payload": orjson.Fragment(payload)})
            for sequence, kind, _, payload in self._queue.entries(min(wanted))
            if sequence in wanted
        }
        self._queue.replace(Kind.REFUSED, said)

    def _refusal(self) -> DragomanError:
        """Return a new error, so that each caller's has a traceback of its own."""
        if self.failed is not None:
            return cannot_write(self.folder, self._cause, doing="written")
        error = cannot_write(self.folder, self._obstacle or OSError(errno.ENOSPC, "too much waits"), doing="extended")
        error.retry = Retry.BACKOFF
        error.remedy = "make space on its disk; the journal goes on by itself, and nothing was sent"
        return error

    def _fail(self, error: BaseException) -> None:
        self._cause = error
        self.failed = cannot_write(self.folder, error, doing="written")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._queue.shut()
        for entry in self._queue.entries():
            self._hold(entry)
        self._queue.clear()
        self._fail_waiters()
        if self.on_failed is not None:
            self.on_failed(self.failed)

    def _fail_waiters(self) -> None:
        for _, future, _ in self._waiters:
            if not future.done():
                _refused(future, self._refusal())
        self._waiters.clear()

    def _refuse_waiters(self) -> None:
        """Answer whoever waits for a record that the end of the journal has overtaken."""
        for _, future, _ in self._waiters:
            if not future.done():
                _refused(future, cannot_write(self.folder, _ENDED, doing="written"))
        self._waiters.clear()

    def _hold(self, entry: tuple[int, int, int, bytes]) -> int:
        """Keep a record (number, kind, time, payload) that no disk will take; return a number for it, 0 if dropped."""
        if len(self._held) >= self._held_limit:
            self.dropped += 1
            return 0
        self._held.append(entry)
        return entry[0] or self._queue.sequence + len(self._held)


def _refused(future: asyncio.Future[None], error: DragomanError) -> None:
    future.set_exception(error)
    future.exception()  # its caller may be gone; that the journal refuses is told by `failed` and `on_failed`, too


def _abandoned(work: asyncio.Future[Epoch]) -> None:
    """Close what was opened for a caller that is gone."""
    if not work.cancelled() and work.exception() is None:
        epoch = work.result()
        epoch.file.close()
        epoch.lock.release()
