"""The native core: layouts, decoders, batches, books, rate limits. It knows no broker by name.

Times are int ns (UTC for wall clocks), prices and quantities float64, ids int. Objects here belong to the thread
that runs the I/O loop; `Tick` and `BookSnapshot` are values and may go anywhere.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Final, Self, TypeVar, final

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

_T = TypeVar("_T")

FIELDS: Final[tuple[str, ...]]
"""Names of the float64 slots of a record, in storage order; bit i of a mask is ``FIELDS[i]``."""
ABSENT_INT: Final[int]
"""What an absent integer holds in arrays: the minimum of int64."""
KINDS: Final[tuple[str, ...]]
MODES: Final[tuple[str, ...]]

# --- instruments ----------------------------------------------------------------------------------------------------

def intern_instrument(instrument_id: str, /) -> int:
    """Return the dense handle of a canonical id, making one the first time.

    Handles start at 0, only grow and are never reused in a process.
    """

def instrument_name(handle: int) -> str:
    """Return the canonical id behind a handle.

    Raises
    ------
    IndexError
        If no instrument has this handle.
    """

def instrument_count() -> int: ...

# --- values ---------------------------------------------------------------------------------------------------------

def alike(value: object, other: object, names: tuple[str, ...], /) -> bool:
    """Whether two values of one slotted dataclass agree in these fields; False where they are of two classes."""

def copied(value: _T, /, **changes: Any) -> _T:
    """Return a copy of a frozen, slotted dataclass value with `changes`: the order path's `dataclasses.replace`.

    Raises
    ------
    TypeError
        For a change that names no field, or a value that is no dataclass of slots alone (or has a ``__post_init__``,
        which a copy would not run).
    """

# --- checksums ------------------------------------------------------------------------------------------------------

CRC32C_IN_HARDWARE: Final[bool]
"""Whether `crc32c` runs on an instruction of this processor."""

def crc32c(data: Buffer, seed: int = 0, /) -> int:
    """Return the CRC-32C (Castagnoli) of bytes; `seed` is that of the bytes before them.

    Raises
    ------
    OverflowError
        If the seed is not in 0 to 2^32 - 1.
    """

def crc32c_tables(data: Buffer, seed: int = 0, /) -> int:
    """Return what `crc32c` does, without the processor's instruction; for tests."""

def journal_record(
    kind: int, payload: bytes, sequence: int, time_ns: int, epoch: int, run: bytes, previous: bytes, /
) -> tuple[bytes, bytes]:
    """Return a record of a journal, as ``dragoman.orders.journal.format`` lays it out, and its hash.

    Raises
    ------
    ValueError
        If `kind` takes more than 16 bits, `epoch` more than 32, or `run` has not 5 bytes and `previous` 16.
    OverflowError
        If `sequence` is negative or takes more than 64 bits, or `time_ns` more than 63.
    """

@final
class JournalQueue:
    """The records of a journal that wait to be written, numbered in their order, and where they go.

    Records get the hash of the one before and their checksum when they are written or taken, not before. ``len()`` is
    how many wait; those that were taken are on their way, and kept until `settle`.

    Parameters
    ----------
    epoch, run, sequence, previous
        As `journal_record`: of the records, and of the last one on the disk, which is durable.
    limit : int
        How many may wait.
    longest : int
        Bytes of the longest payload.
    wall_ns : callable
        The clock, ns UTC.

    Attributes
    ----------
    sequence : int
        The number given last.
    durable : int
        The number up to which all is written.
    hash : bytes
        Of the last record that was written or taken.
    first : tuple of int and int, or None
        Number and time of the record that waits first.
    end : int
        Where in the chunk the next record goes.
    blocked : bool
        What waits first has no room in the chunk.
    at_edge : bool
        So it is, or the chunk is used up to its edge.
    """

    def __new__(
        cls,
        epoch: int,
        run: bytes,
        sequence: int,
        previous: bytes,
        limit: int,
        longest: int,
        wall_ns: Callable[[], int],
        /,
    ) -> Self: ...
    def __len__(self) -> int: ...
    @property
    def sequence(self) -> int: ...
    @property
    def durable(self) -> int: ...
    @property
    def hash(self) -> bytes: ...
    @property
    def first(self) -> tuple[int, int] | None: ...
    @property
    def end(self) -> int: ...
    @property
    def blocked(self) -> bool: ...
    @property
    def at_edge(self) -> bool: ...
    def enter(self, file: Any, end: int, edge: int, /) -> None:
        """Go on in a chunk, a `DiskFile`, at `end`; `write` leaves it alone from `edge` on.

        Raises
        ------
        ValueError
            One of them is beyond the size of the file.
        """
    def put(self, kind: int, payload: object, /) -> int:
        """Let a record wait, of this moment, and return its number; it is durable once `durable` says so.

        0 where it was not taken: the payload is not bytes or too long, as many as may wait do, or the queue is shut.

        Raises
        ------
        ValueError
            If `kind` takes more than 16 bits.
        """
    def write(self) -> bool:
        """Write and sync all that waits; False, and nothing done, where it reaches the edge or something is on its way.

        What the file raises is passed on: all waits as before then, and nobody knows what is on the disk.
        """
    def take(self, head: bytes, /) -> bytes:
        """Return the records that have room in the chunk, after `head`, which has to go before the first; or nothing.

        They are on their way from now on, and taken for written at `end`.
        """
    def settle(self) -> None:
        """Forget what is on its way: it is durable."""
    def entries(self, since: int = 0, /) -> list[tuple[int, int, int, bytes]]:
        """Return number, kind, time and payload of what is on its way and of what waits, from a number on."""
    def replace(self, kind: int, payloads: dict[int, bytes], /) -> None:
        """Give records that wait another kind and payload, by their numbers; others are passed over."""
    def clear(self) -> None:
        """Forget all that waits or is on its way; numbers go on where they are."""
    def shut(self) -> None:
        """Take no more."""

def plain_object(dump: Callable[[Any], bytes], /, *pairs: Any) -> bytes:
    """Return names and values, given in turn, as a JSON object; `dump` as `PlainWriter` has it."""

class PlainWriter:
    """Writes values of one class, a frozen and slotted dataclass, as JSON objects of what differs from its defaults."""

    def __new__(
        cls, kind: type, parts: tuple[tuple[str, bool, Any, int, Any], ...], dump: Callable[[Any], bytes], /
    ) -> Self:
        """Make one for a class.

        Parameters
        ----------
        kind : type
        parts : tuple of tuple
            Of each field that is written: its name; whether it has a default, and which; 0 where JSON has what it
            holds as it is, 1 where its text stands for it, 2 where the value of a member does, 3 where what the last
            part, a callable, returns does.
        dump : callable
            Writes what is no plain text, number or truth.
        """

    def write(self, value: Any, /, *around: Any) -> bytes:
        """Return a value of that class as JSON; within an object of the names and values `around` it, where given.

        Those end with the name that the value has there.

        Raises
        ------
        TypeError
            It is of another class; or what a conversion or `dump` raises.
        """

@final
class PlainWriters:
    """The `PlainWriter` of every class, made by a callable when the first value of its class comes."""

    def __new__(cls, make: Callable[[type], PlainWriter], /) -> Self: ...
    def write(self, value: Any, /, *around: Any) -> bytes:
        """Return a value as JSON, as `PlainWriter.write` does; and raise what making its writer raises."""

def blake2b_16(data: Buffer) -> bytes:
    """Return the BLAKE2b hash of bytes, 16 bytes long, without a key (RFC 7693)."""

def journal_run(
    chunk: Buffer, offset: int, sequence: int, previous: bytes, epoch: int, stop_kind: int
) -> tuple[int, int, bytes, int, int, int]:
    """Step over records of a journal for as long as each is whole and follows the one before.

    Stops before the first that does not, is of another epoch or of kind `stop_kind`, whatever is wrong with it;
    ``dragoman.orders.journal.format`` has the layout.

    Parameters
    ----------
    chunk : buffer of bytes
    offset : int
        Of the first record.
    sequence, previous : int, bytes
        Number and hash of the record before it.
    epoch, stop_kind : int

    Returns
    -------
    offset, sequence, hash : int, int, bytes
        Where it stopped, and number and hash of the last record.
    newest_ns, count, kind : int
        Latest time of any of them (0 without one), how many there were, and the kind of the last.

    Raises
    ------
    ValueError
        If the hash has not 16 bytes, or the buffer is not one row of bytes.
    """

def taking(value: _T, other: object, names: tuple[str, ...], /, **changes: Any) -> _T:
    """Return a copy of `value` that has the fields `names` from `other`, and `changes`; errors as `copied`."""

copying: Any
"""`copied` as a method: what a class of such values calls ``but``."""

@final
class IdMint:
    """Makes wire ids: unique within the run by sequence, across runs by the run's name.

    Parameters
    ----------
    run : str
        Names the run, 5 letters; see `dragoman.orders.identity.journal_id_of`.
    last : int
        The number of the id before the first.
    """

    def __new__(cls, run: str, last: int = 0, /) -> IdMint: ...
    def wire_id(self) -> str:
        """Return the next wire id."""

@final
class Guard:
    """Tells in one step whether a handle is used in its process, on its thread, and while its loop runs.

    Parameters
    ----------
    closer : callable
        Asked, with what `check` was given, where it is not: returns, or raises.
    """

    def __new__(cls, closer: Callable[[str], object], /) -> Guard: ...
    def bind(self, running: Callable[[], bool], /) -> None:
        """Belong to this thread from now on, while `running` says True."""
    def check(self, what: str, /) -> None:
        """Return where all is as it should be."""

class OffsetClock:
    """A wall clock, and what is added to it; see `dragoman.session.brokertime.BrokerClock`.

    Parameters
    ----------
    wall_ns : callable
        The clock below. The machine's own is read without a call.
    threshold_ns : int
        The offset is 0 unless the median of at least three samples is beyond it, either way.
    samples : int
        How many are kept.
    read_date : callable
        Turns the text of a date into ns UTC, or None where it is none.
    """

    offset_ns: Final[int]
    def __init__(
        self, wall_ns: Callable[[], int], threshold_ns: int, samples: int, read_date: Callable[[str], int | None], /
    ) -> None: ...
    def read(self) -> int:
        """Return the broker's wall clock, ns UTC."""
    @property
    def now_ns(self) -> int:
        """What `read` returns."""
    @property
    def measured_ns(self) -> int | None:
        """Median offset as measured, whether it is applied or not; None before the first sample."""
    def observe(self, date: str | None, sent_wall_ns: int, received_wall_ns: int, /) -> None:
        """Take one sample; a missing or unreadable date, or one that is a century away, is none."""

class Turnstile:
    """The plain case of taking room for a request, for a class above that deals with every other.

    Parameters
    ----------
    mono_ns, wall_ns : callable
        Its clocks; those of the machine, and an `OffsetClock`, are read without a call.
    request : type
        The class of requests, with `meter`, `cost`, `lane` and `limit_key`.
    grant : object
        A grant of nothing; `take` returns copies with `plan`, `lane`, `native` and `mono_ns`.
    """

    def __init__(
        self, mono_ns: Callable[[], int], wall_ns: Callable[[], int], request: type, grant: object, /
    ) -> None: ...
    def take(self, request: Any, /) -> Any:
        """Return a grant where the request's plan is open and its counts have room, None where they have none.

        In every other case it returns what ``self.take_closer(request)`` does.
        """
    def _let_pass(self, meter: str, cost: int, lane: int, plan: int, native: object, /) -> None:
        """Let such requests pass as long as this limiter has room by this plan."""
    def _shut(self) -> None:
        """Let nothing pass any more."""
    def _set_local(self, from_ns: int, until_ns: int, offset_ns: int, /) -> None:
        """Add this to the wall clock while it is within; beyond it nothing passes."""

@final
class RequestReader:
    """Reads what a user wrote of a plain order.

    Parameters
    ----------
    request, instrument : type
        Their classes; an instrument of another is left to Python.
    meaning : callable
        Returns the request that a side, order type, time in force, product and variety say, and nothing more.
    exact : callable
        Reads a number by its name that is neither int, str, Decimal nor a common float.
    refusals : tuple of exception types
        Raised by these, or by Decimal, they make it return None.
    """

    def __new__(
        cls,
        request: type,
        instrument: type,
        meaning: Callable[..., object],
        exact: Callable[[str, Any], object],
        refusals: tuple[type[Exception], ...],
        /,
    ) -> Self: ...
    def read(
        self,
        instrument: object,
        side: object,
        quantity: object,
        order_type: object,
        price: object,
        time_in_force: object,
        product: object,
        variety: object,
        more: Mapping[str, Any],
        /,
    ) -> Any:
        """Return the request, or None where Python has to look closer: there are more terms, or one is refused."""

@final
class OrderGate:
    """Says yes to the orders that `dragoman.checks.check_request` would find nothing against, nearly all of them.

    Its no decides nothing: it may be said to orders that pass those checks.
    """

    def __new__(
        cls,
        plain: object,
        instrument: type,
        further: tuple[str, ...],
        sets: tuple[frozenset[Any], ...],
        /,
    ) -> Self:
        """Make one of an adapter.

        Parameters
        ----------
        plain : OrderRequest
            One that says nothing further.
        instrument : type
            The class of instruments.
        further : tuple of str
            Fields in which an order must be as `plain`.
        sets : tuple of frozenset
            The order types, products, times in force, varieties and segments there are; the order types that have a
            price, and those that have a trigger.
        """

    def admits(self, order: object, instrument: object, /) -> bool: ...

# --- http -----------------------------------------------------------------------------------------------------------

@final
class HttpExchange:
    """One exchange after the other on a connection: requests out, plain replies in.

    Parameters
    ----------
    mono_ns, wall_ns : callable
    reply : dataclass
        An empty reply, which every reply is a copy of.
    finished : callable
        Called once a plain reply is read, before whoever waits is told of it.
    otherwise : callable
        Called with bytes that are no whole, plain reply, or that nobody waits for.
    max_header_bytes, max_body_bytes : int
    """

    def __new__(
        cls,
        mono_ns: Callable[[], int],
        wall_ns: Callable[[], int],
        reply: object,
        finished: Callable[[], object],
        otherwise: Callable[[bytes], object],
        max_header_bytes: int,
        max_body_bytes: int,
        /,
    ) -> HttpExchange: ...

    on_end: Callable[[Any], object] | None
    plain: bool
    @property
    def sent_ns(self) -> int: ...
    def carry(
        self,
        write: Callable[[bytes], object],
        head: bytes,
        body: bytes | None,
        on_end: Callable[[Any], object],
        plain: bool,
        /,
    ) -> None:
        """Write a request in one piece; its reply, if it is plain, is handed to `on_end`."""
    def data_received(self, data: bytes, /) -> object:
        """Take what arrived."""
    def close(self) -> None:
        """Let go of whoever is called; what still arrives is dropped."""

def plain_reply(data: bytes, max_header_bytes: int, max_body_bytes: int, /) -> tuple[int, dict[str, str], bytes] | None:
    """Return status, headers (names in lower case) and body of a reply that is whole and plain; None for any other.

    Plain is: HTTP/1.1, status 200 to 599 except those that never have a body, each header once and on a line of its
    own, exactly the body that its length announces, no encodings, a connection that is kept. None says nothing about
    what the bytes are.
    """

def plain_form(pairs: tuple[tuple[str, str], ...], /) -> bytes | None:
    """Return what ``urllib.parse.urlencode`` makes of a form in which nothing needs encoding; None for any other."""

# --- layouts --------------------------------------------------------------------------------------------------------

@final
class Layout:
    """A compiled, immutable description of a stream's wire messages; shared by all decoders made from it."""

    @property
    def name(self) -> str: ...
    @property
    def packets(self) -> tuple[str, ...]:
        """Names of the packet layouts; ``Tick.layout`` and the array field ``layout`` index this."""
    @property
    def counts_messages(self) -> bool:
        """Whether the stream numbers its messages for acknowledgement (`Decoder.count`)."""
    @property
    def reads_text(self) -> bool:
        """Whether text frames are messages of this layout, decoded as their UTF-8 bytes."""

def compile_packed(spec: Mapping[str, Any]) -> Layout:
    """Compile what `dragoman.plugin.PackedStream.spec` returns.

    Everything is checked here, so that decoding needs no check of the layout: offsets inside sizes, known slots and
    wire types, no slot set twice, divisors positive and exact in float64, selectors distinct.

    Raises
    ------
    ValueError
        Names the stream, the layout, the field, what was found and what was expected.

    Notes
    -----
    Where a quote or depth snapshot has levels and no field of its own for ``bid_price``, ``bid_quantity``,
    ``ask_price`` or ``ask_quantity``, the first level of that side fills it; an empty side leaves it absent.

    A ``depth_snapshot`` with tables of one side only replaces that side: its level operations begin with a ``clear``
    and the record is not flagged as a snapshot. Rows of a ``depth_delta`` update, with quantity 0 they remove.
    Levels keep the order of the wire, bids before asks.
    """

def compile_json(spec: Mapping[str, Any]) -> Layout:
    """Compile what `dragoman.plugin.JsonStream.spec` returns.

    Raises
    ------
    ValueError
        Names the stream, the layout, the field, what was found and what was expected.

    Notes
    -----
    Levels keep the order of the message; those of a snapshot are delivered bids before asks. Tops of book are filled
    from a snapshot's first levels as `compile_packed` fills them.
    """

def compile_protobuf(spec: Mapping[str, Any]) -> Layout:
    """Compile what `dragoman.plugin.ProtoStream.spec` returns.

    Raises
    ------
    ValueError
        Names the stream, the message, the field, what was found and what was expected.

    Notes
    -----
    A message is delivered whole or not at all: where one byte of a frame cannot be read, the frame gives no record, is
    counted in ``truncated`` or ``malformed`` and changes nothing that is remembered. Groups, varints beyond 64 bits,
    keys of type ``string`` that are not UTF-8 and two variants of a oneof in one record are malformed; unknown fields
    and known numbers with another wire type are skipped.

    Levels fill the top of the book as in `compile_packed`. A message that tells one side only replaces that side: its
    level operations begin with a ``clear``, and the record is not flagged as a snapshot.
    """

# --- decode ---------------------------------------------------------------------------------------------------------

@final
class Decoder:
    """The mutable half of a layout: one per connection, never shared, dropped with the connection.

    Parameters
    ----------
    max_blocks : int
        Blocks kept for use again, 1 to 1024; frames beyond them get fresh ones.

    Notes
    -----
    What a sender can make it remember is bounded: 32768 topics (names of at most 1024 bytes) and 65536 merged records.
    Beyond that updates are delivered unmerged, or skipped where their topic is not known, and counted in
    ``table_full``. A merged record has the mode of the richest packet laid into it; its levels are the last packet's.
    """

    def __new__(cls, layout: Layout, *, max_blocks: int = 8) -> Self: ...
    def bind(self, key: int, instrument: int) -> None:
        """Say which instrument handle a wire key means. Unbound keys decode with instrument -1 and are counted.

        Raises
        ------
        ValueError
            If no instrument has this handle (`intern_instrument` makes them).
        """
    def bind_text(self, text: bytes, instrument: int) -> None:
        """The same for streams whose `define` records carry a text name; topics defined already are bound too."""
    def unbind(self, key: int) -> None:
        """Forget a key; one that was never bound is no error."""
    def unbind_text(self, text: bytes) -> None: ...
    def decode(self, frame: bytes | bytearray | memoryview, ts_recv: int = 0, /) -> Batch:
        """Decode one frame. Never raises for any bytes: what cannot be read is counted in `counters`.

        The returned batch is the decoder's own and is filled again by the next call, unless the caller still holds
        it or a view of it: then the next call takes another block, and the held one stays as it was.
        """
    @property
    def count(self) -> int:
        """Number of the last message, where the layout counts messages; otherwise the frames seen."""
    @property
    def counters(self) -> dict[str, int]:
        """Counts since the decoder was made, and the blocks others hold now.

        ``frames``, ``packets``, ``records``; ``unknown_packets`` (no layout matches), ``truncated``, ``malformed``
        (lengths, counts, keys or scales that cannot be), ``unbound``, ``undefined_topics``, ``rejected_values`` (NaN,
        infinite, a time or number beyond int64, a level row of no side), ``control``, ``table_full``, ``blocks_held``.
        """

@final
class Batch:
    """The records of one frame and their levels. Iterating makes `Tick` values; `cursor` makes none."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Tick: ...
    def __iter__(self) -> Iterator[Tick]: ...
    def cursor(self) -> Cursor:
        """One row object that moves over the records; it and its values raise after `Cursor.close`."""
    def levels(
        self, index: int, /
    ) -> tuple[tuple[tuple[float, float, int], ...], tuple[tuple[float, float, int], ...]]:
        """Return (bids, asks) of record `index`, each level (price, quantity, orders), best first.

        Raises
        ------
        IndexError
            If there is no such record; negative indices count from the end.
        """
    def table(self, names: tuple[str, ...], /) -> npt.NDArray[np.float64]:
        """Copy fields of all records into one array: the fastest way to read a frame of many ticks.

        Parameters
        ----------
        names : tuple of str
            Names from `FIELDS`, one for each column. Keep the tuple: the same one is not looked up again.

        Returns
        -------
        (n, len(names)) float64 array
            The caller's own; NaN where a record lacks a field.

        Raises
        ------
        ValueError
            For a name that is no field.
        """
    def rows(self, names: tuple[str, ...], /) -> Iterator[tuple[Any, ...]]:
        """Iterate over what is wanted of each record, as tuples: the fastest way to read a frame row by row.

        >>> for instrument, price, bid in batch.rows(("instrument_id", "last_price", "bid_price")):  # doctest: +SKIP

        Parameters
        ----------
        names : tuple of str
            At most 64 of `FIELDS` and of ``instrument``, ``instrument_id``, ``key``, ``kind``, ``mode``, ``ts_recv``,
            ``ts_event``, ``last_trade_time``, ``sequence``, ``prev_sequence``. Keep the tuple: the same one is not
            looked up again.

        Returns
        -------
        iterator of tuple
            Values as `Tick` has them, None where a record lacks one. It holds the batch, the tuples hold nothing.

        Raises
        ------
        ValueError
            For a name that is none of these, or too many.
        """
    def __arrow_c_schema__(self) -> object: ...
    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        """Copy the batch into Arrow columns, for any library that reads the Arrow PyCapsule interface.

        One native columnar copy, so not for every tick. Absent values are null; `levels` is a list of structs (side,
        action, price, quantity, orders), null where the record carries no depth.
        """
    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The same as a stream of one record batch."""
    @property
    def records(self) -> npt.NDArray[np.void]:
        """(n,) structured array over the records, without a copy, read-only. Holds the block while alive."""
    @property
    def level_ops(self) -> npt.NDArray[np.void]:
        """(m,) structured array over the level operations, without a copy, read-only."""
    @property
    def control(self) -> tuple[tuple[int, int], ...]:
        """(start, end) byte ranges of messages declared control or matched by no layout of the stream's data."""
    @property
    def errors(self) -> int:
        """Packets of this frame that could not be read: truncated, malformed or of unknown type."""
    @property
    def ts_recv(self) -> int: ...

@final
class Cursor:
    """A moving row: attributes as `Tick`, valid until `close`. Iterate it: each step yields the cursor itself.

    It keeps its batch from being filled again until it is closed. Used when closed, before the first step or after
    the last, it raises `dragoman.errors.UsageError`.
    """

    def __iter__(self) -> Cursor: ...
    def __next__(self) -> Cursor: ...
    instrument: int
    instrument_id: str | None
    key: int
    kind: str
    mode: str
    ts_recv: int
    ts_event: int | None
    last_trade_time: int | None
    sequence: int | None
    prev_sequence: int | None
    present: int
    changed: int
    flags: int
    layout: int
    last_price: float | None
    last_quantity: float | None
    average_price: float | None
    volume: float | None
    total_buy_quantity: float | None
    total_sell_quantity: float | None
    open: float | None
    high: float | None
    low: float | None
    previous_close: float | None
    oi: float | None
    oi_high: float | None
    oi_low: float | None
    bid_price: float | None
    bid_quantity: float | None
    ask_price: float | None
    ask_quantity: float | None
    price_band_low: float | None
    price_band_high: float | None
    session_close: float | None
    volume_24h: float | None
    mark_price: float | None
    index_price: float | None
    turnover: float | None
    def close(self) -> None: ...
    def tick(self) -> Tick:
        """Copy the row into a value that may be kept."""

@final
class Tick:
    """One record, copied: immutable, hashable by content, picklable, no garbage-collector cost.

    Absent floats read as ``None`` from attributes (NaN in arrays), absent times as ``None``.
    """

    instrument: int
    instrument_id: str | None
    key: int
    kind: str
    mode: str
    ts_recv: int
    ts_event: int | None
    last_trade_time: int | None
    sequence: int | None
    prev_sequence: int | None
    present: int
    changed: int
    flags: int
    layout: int
    last_price: float | None
    last_quantity: float | None
    average_price: float | None
    volume: float | None
    total_buy_quantity: float | None
    total_sell_quantity: float | None
    open: float | None
    high: float | None
    low: float | None
    previous_close: float | None
    oi: float | None
    oi_high: float | None
    oi_low: float | None
    bid_price: float | None
    bid_quantity: float | None
    ask_price: float | None
    ask_quantity: float | None
    price_band_low: float | None
    price_band_high: float | None
    session_close: float | None
    volume_24h: float | None
    mark_price: float | None
    index_price: float | None
    turnover: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return the present fields only, in storage order: the integers with a presence bit, then `FIELDS`."""
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by content and canonical id: another process finds the instrument under its own handle."""

RECORD_DTYPE: Final[list[tuple[str, str]]]
LEVEL_DTYPE: Final[list[tuple[str, str]]]

# --- money against prices -------------------------------------------------------------------------------------------

@final
class Marks:
    """Positions marked to ticks: P&L of rows and of groups of them, moved by whole batches natively.

    A price becomes a mark only if money may hang on it. Absent, zero, negative, infinite, NaN and absurd (above 1e15)
    prices never do, nor does a tick whose `ts_event` is earlier than that of the newest mark of its instrument (one
    without `ts_event` cannot be), nor what a merged record repeats without its message having carried it, nor the mid
    of a book that is crossed or has one side. All of that is counted in `counters`.

    Parameters
    ----------
    max_age_ns : int
        How long ago a mark may have come before `stale` says so; 0: for ever.
    source : {"last", "mark", "mid"}
        The price marked to: `last_price`, `mark_price`, or the middle of `bid_price` and `ask_price`.

    Notes
    -----
    A tick costs its instrument's look-up by handle and, where the price is another than before, the rows of that
    instrument. Marking allocates nothing. ``len()`` is the number of positions.
    """

    def __new__(cls, max_age_ns: int = 0, source: str = "last") -> Self: ...
    def set(
        self,
        slot: int,
        instrument: int,
        quantity: float,
        average: float,
        multiplier: float = 1.0,
        close: float = ...,
        group: int = 0,
    ) -> None:
        """Put a position into a slot, in place of what was there. The instrument keeps the mark it has.

        Parameters
        ----------
        slot : int
            The caller's own small number, 0 to 2**20 - 1; memory goes up to the highest one used.
        instrument : int
            A handle of `intern_instrument`.
        quantity : float
            Signed: short positions are negative.
        average : float
            Average price; NaN where no basis is known, then the row has no P&L and counts as `missing`.
        multiplier : float
            Money per price and quantity.
        close : float
            The price that `day` counts from, NaN (the default) where unknown.
        group : int
            Whose `total` it belongs to; any number. One that nobody used begins at 0.

        Raises
        ------
        ValueError
            For a number that is infinite or beyond 1e15, a NaN where none may be, or a slot out of range.
        IndexError
            If no instrument has this handle.
        """
    def remove(self, slot: int, /) -> None:
        """Take a position out.

        Raises
        ------
        KeyError
            If the slot holds none; so do `unrealised`, `day` and `value`.
        """
    def apply(self, batch: Batch, /) -> int:
        """Mark the positions of a batch's instruments; return how many have another mark than before the batch.

        A `Handout` does this with each batch.
        """
    def mark(self, instrument: int, price: float, ts: int) -> bool:
        """Mark an instrument to a price that was polled at `ts` (ns UTC of our clock); return whether it was taken.

        It is refused, and counted, where it is no usable price or was polled before the newest mark came. Ticks that
        come later are taken after it whatever their `ts_event` is. An instrument without positions is remembered.
        """
    def price(self, instrument: int, /) -> float:
        """Return the mark of an instrument, NaN without one. Only instruments that had a position or `mark` have one.

        Raises
        ------
        IndexError
            If no instrument has this handle; so do `time` and `stale`.
        """
    def time(self, instrument: int, /) -> int:
        """Return when the newest usable price came (ns UTC: `ts_recv`, or a poll's time); `ABSENT_INT` without one."""
    def stale(self, instrument: int, now_ns: int) -> bool:
        """Return whether there is no mark, or no usable price came within `max_age_ns` before `now_ns`."""
    def unrealised(self, slot: int, /) -> float:
        """Return (mark - average) * quantity * multiplier; NaN where the mark or the average is unknown."""
    def day(self, slot: int, /) -> float:
        """Return (mark - close) * quantity * multiplier; NaN where the mark or the close is unknown."""
    def value(self, slot: int, /) -> float:
        """Return mark * quantity * multiplier, negative of short positions; NaN without a mark."""
    def total(self, group: int, /) -> float:
        """Return the sum of `unrealised` over the rows of a group that have one; 0.0 without any.

        It is kept with twice the digits of a float, so it does not drift from the sum of its rows.
        """
    def missing(self, group: int, /) -> int:
        """Return how many rows of a group have no P&L, which `total` leaves out."""
    def watch(self, group: int, below: float) -> None:
        """Have `crossed` name the group once, when its total is at or below a number.

        The total is looked at now, after each batch and after each change of a row, never half way through a batch.
        Watching a group again replaces the number and arms it anew.
        """
    def unwatch(self, group: int, /) -> bool:
        """Stop watching; return whether the group was watched and had not crossed yet."""
    def crossed(self) -> tuple[int, ...]:
        """Return the watched groups that crossed since this was last called, in the order in which they did."""
    def touched(self) -> tuple[int, ...]:
        """Return the slots that were set or marked to another price since this was last called, each once.

        They stand in the order of their first change; those removed since are left out.
        """
    def __len__(self) -> int: ...
    @property
    def source(self) -> str: ...
    @property
    def max_age_ns(self) -> int: ...
    @property
    def counters(self) -> dict[str, int]:
        """Prices of instruments in use, by what became of them.

        ``used``, ``ignored_absent``, ``ignored_zero`` (0 or negative), ``ignored_infinite`` (NaN, infinite, above
        1e15), ``ignored_one_sided``, ``ignored_crossed``, ``ignored_repeated`` (of a merged record whose message did
        not carry it), ``ignored_old``, ``ignored_delayed`` (of `Triggers`), ``ignored_unbound`` (records of no known
        instrument) and ``ahead``: used, but with a `ts_event` more than ten seconds after its arrival, which was not
        believed, since it would shut out every tick after it.
        """

@final
@final
class FreshMarks:
    """The marks that are good for money at this moment.

    Parameters
    ----------
    marks : Marks
    wall_ns : callable
        Our clock, ns UTC.
    max_age_ns : int
        A mark that came longer ago is stale.
    interrupted : dict of int to int
        When the streams of instruments, by handle, left something out last (ns UTC): a mark must have come after that.
        It is read at each call.
    """

    def __new__(
        cls, marks: Marks, wall_ns: Callable[[], int], max_age_ns: int, interrupted: dict[int, int], /
    ) -> Self: ...
    def price(self, instrument_id: str, /) -> float | None:
        """Return the mark of an instrument; None where there is none, or it is stale.

        Raises
        ------
        ValueError
            The id is empty.
        """

class Triggers:
    """Price levels that are waited for, fixed ones and ones that trail; each fires once and is then disarmed.

    What is no price in `Marks` fires nothing here and moves no level, and is counted alike; ticks are compared with
    the newest usable one of the same instrument and source.

    Parameters
    ----------
    max_delay_ns : int
        Ticks whose `ts_event` lies further before their `ts_recv`, as of a broker's snapshot of an earlier state, fire
        nothing and are counted in ``ignored_delayed``; 0: all count.

    Notes
    -----
    A tick between the nearest levels of its instrument costs two comparisons, whatever the number of triggers; one
    that betters the best price costs a step for each trailing one of that instrument. Nothing is allocated unless one
    fires. ``len()`` is the number armed; ``id in triggers`` says whether one is.
    """

    def __new__(cls, *, max_delay_ns: int = 0) -> Self: ...
    def arm(
        self,
        id: int,
        instrument: int,
        kind: str,
        level: float,
        *,
        trail: float = ...,
        source: str = "last",
        after_ns: int = 0,
        percent: bool = False,
        step: float = 0.0,
    ) -> None:
        """Arm a trigger, in place of the one that has this id, if any.

        Where the price is beyond its level already, it fires with the next usable tick.

        Parameters
        ----------
        id : int
            The caller's own, 64 bits.
        instrument : int
            A handle of `intern_instrument`.
        kind : {"below", "above", "trail_below", "trail_above"}
            Fires at price <= level; at price >= level; the same with a level that follows the highest price, `trail`
            below it, and only rises; with one that follows the lowest, `trail` above it, and only falls.
        level : float
            The price. Of a trailing one where it starts, which it never goes back behind; NaN: it starts with the
            first price.
        trail : float
            Distance of a trailing level from the best price since arming, above 0.
        source : {"last", "mark", "mid"}
            The price looked at, as in `Marks`.
        after_ns : int
            Ticks with an earlier `ts_recv` (ns UTC) neither fire it nor move it.
        percent : bool
            Whether `trail` is in percent of the best price.
        step : float
            A trailing level lies on whole multiples of it, such as of a tick size, on the side where the price reaches
            it earlier, and at least one away from the best price; 0: anywhere.

        Raises
        ------
        ValueError
            For a kind or source there is not, a fixed level that is not above 0, a trailing one without a distance, a
            number that is infinite or beyond 1e15.
        IndexError
            If no instrument has this handle.
        """
    def disarm(self, id: int, /) -> bool:
        """Disarm a trigger; return whether one was armed under this id."""
    def level(self, id: int, /) -> float:
        """Return where the level is now; NaN of a trailing one that has seen no price.

        Raises
        ------
        KeyError
            If nothing is armed under this id, which is so once it fired; so do `best` and `seen_ns`.
        """
    def best(self, id: int, /) -> float:
        """Return the best price a trailing trigger has seen since it was armed; NaN before the first, and of others."""
    def seen_ns(self, id: int, /) -> int:
        """Return when the newest usable price of its instrument and source came; `ABSENT_INT` where none did.

        Prices from before it was armed count, where another trigger waited for them too.
        """
    def apply(self, batch: Batch, /) -> tuple[int, ...]:
        """Look at every tick of a batch; return the ids that fired, in its order and, of one tick, in that of arming.

        A `Handout` does this with each batch.
        """
    def fire_at(self, instrument: int, price: float, ts: int, *, source: str = "last") -> tuple[int, ...]:
        """Do the same for one price that was polled at `ts` (ns UTC of our clock).

        It is not looked at where a usable price came later than `ts`. It never makes a later tick an old one.
        """
    def fired(self) -> tuple[tuple[int, float, float, int | None, int], ...]:
        """Return what the last `apply` or `fire_at` fired: id, price, level, and the tick's `ts_event` and `ts_recv`.

        A polled price has no `ts_event`.
        """
    def __len__(self) -> int: ...
    def __contains__(self, id: int, /) -> bool: ...
    @property
    def max_delay_ns(self) -> int: ...
    @property
    def counters(self) -> dict[str, int]:
        """Prices of instruments and sources that a trigger was ever armed on, as in `Marks.counters`."""

# --- intake ---------------------------------------------------------------------------------------------------------

class FrameCounts:
    """What every frame of a stream counts, over all its connections. Times are monotonic; 0 before the first."""

    frames: int
    bytes: int
    messages: int
    last_frame_ns: int
    last_data_ns: int

@final
class Handout:
    """Hands each batch to the books, the marks, the triggers and then to inline handlers.

    Books that no message can break take it when somebody looks at one of them, or behind the handlers; nobody who asks
    them can tell. The native half of `dragoman.market.MarketData`.

    Parameters
    ----------
    books : Books
    mono_ns, wall_ns : callable
        The runtime's clocks. The machine's own (`time.monotonic_ns`, `time.time_ns`) are read natively.
    failed : callable
        Takes a handler and the `Exception` it raised; the next handler is called all the same. What is no `Exception`
        comes back to whoever handed the batch in.

    Attributes
    ----------
    handlers : tuple of callable
        Called with each batch, in this order. A change counts from the next batch on.
    broken : callable or None
        Called with a batch that left a gap in a book, or a book that wants a snapshot.
    aside, after : callable or None
        Called with each batch before the handlers, and behind them.
    marks, triggers : Marks or None
        Take each batch before anything of Python sees it.
    moved : callable or None
        Called with the ids of the triggers that a batch fired; with none where groups crossed (`Marks.crossed`), then
        with each batch until it asks which. An `Exception` of it goes to `failed`; the batch goes on all the same.
    took, age : Histogram or None
        ns of each call of a handler, and ns since the frame's arrival when the first one is about to be called.
    ticks : int
        Records handed out.
    closed : bool
        Whether batches are dropped.
    """

    handlers: tuple[Callable[[Batch], object], ...]
    marks: Marks | None
    triggers: Triggers | None
    moved: Callable[[tuple[int, ...]], object] | None
    broken: Callable[[Batch], object] | None
    aside: Callable[[Batch], object] | None
    after: Callable[[Batch], object] | None
    took: Histogram | None
    age: Histogram | None
    closed: bool
    def __new__(
        cls,
        books: Books,
        *,
        mono_ns: Callable[[], int],
        wall_ns: Callable[[], int],
        failed: Callable[[Any, Exception], object],
    ) -> Self: ...
    def __call__(self, batch: Batch, /) -> None: ...
    @property
    def ticks(self) -> int: ...

@final
class Intake:
    """Takes the frames of one connection: counts, times and decodes them and hands the batches on.

    Parameters
    ----------
    decoder : Decoder or None
        None where all frames are messages for Python.
    counts : FrameCounts
    on_batch : callable
        Takes each `Batch` that has records; a `Handout` is entered without Python.
    on_error : callable
        Takes what `on_batch` raised, if it is an `Exception`.
    beside : callable
        Takes (frame, batch, ts_recv) where the frame holds control messages, where there is no decoder (batch None),
        and always where messages are `numbered`. The frame is valid during the call only.
    mono_ns, wall_ns : callable
        As for `Handout`.

    Attributes
    ----------
    last_frame_ns, last_data_ns : int
        When the last frame, and the last one with records, came: monotonic, at first when this was made.
    last_frame_wall_ns, frame_before_wall_ns : int
        When the last two frames came.
    deaf : bool
        Whether frames are dropped uncounted.
    at_rest : bool
        Whether the wire may come straight here, past its slow path.
    """

    last_frame_ns: int
    last_data_ns: int
    last_frame_wall_ns: int
    frame_before_wall_ns: int
    deaf: bool
    at_rest: bool
    def __new__(
        cls,
        decoder: Decoder | None,
        counts: FrameCounts,
        *,
        on_batch: Callable[[Batch], object],
        on_error: Callable[[Exception], object],
        beside: Callable[[bytes | memoryview, Batch | None, int], object],
        mono_ns: Callable[[], int],
        wall_ns: Callable[[], int],
        numbered: bool = False,
    ) -> Self: ...
    def take(self, frame: bytes | bytearray | memoryview, ts_recv: int, mono_ns: int, /) -> None:
        """Take one frame that came at these times, wall and monotonic."""
    def tap(
        self, slow: Callable[[Any, Any], object], complain: Callable[[Exception], object], *, max_bytes: int
    ) -> Callable[[Any, Any], None]:
        """Return what a WebSocket library may call with (transport, frame) for each frame.

        A whole binary message of at most `max_bytes` is taken while `at_rest`; any other frame, and every one of a
        type whose memory is not known, goes to `slow`. `complain` gets an `Exception` that comes out of taking one.
        """

# --- sequence numbers -----------------------------------------------------------------------------------------------

@final
class Verdict(Enum):
    FOLLOWS = 0
    DUPLICATE = 1
    GAP = 2

@final
class SequenceGuard:
    """Says whether a numbered message follows the last one. Books hold one each; this face is for tests and set-up."""

    def __init__(self) -> None: ...
    @property
    def last(self) -> int:
        """Number of the last message that followed, or of the snapshot; 0 before any."""
    def reset(self, last: int) -> None:
        """Continue from a snapshot with this number."""
    def adopt(self) -> None:
        """Take the next message's number as it comes: the snapshot before it carried none."""
    def check(self, expected: int, last: int) -> Verdict:
        """Judge a message that says it follows number `expected` and ends on number `last`.

        One that overlaps the last number and ends after it follows: levels carry absolute quantities. A gap changes
        nothing; `reset` or `adopt` heals it.
        """

# --- books ----------------------------------------------------------------------------------------------------------

@final
class Book:
    """Live depth of one instrument, consistent between batches; made by `Books`, which it keeps alive.

    A book nothing was heard of yet is empty and stale.
    """

    @property
    def instrument(self) -> int: ...
    @property
    def instrument_id(self) -> str: ...
    @property
    def bid_price(self) -> float | None: ...
    @property
    def bid_quantity(self) -> float | None: ...
    @property
    def ask_price(self) -> float | None: ...
    @property
    def ask_quantity(self) -> float | None: ...
    @property
    def mid(self) -> float | None: ...
    @property
    def microprice(self) -> float | None: ...
    @property
    def spread(self) -> float | None: ...
    @property
    def stale(self) -> bool:
        """Whether the levels may be old: nothing heard yet, stream gone, or `gapped`. Only a snapshot ends it."""
    @property
    def crossed(self) -> bool:
        """Whether the best bid is above the best ask."""
    @property
    def locked(self) -> bool:
        """Whether the best bid equals the best ask."""
    @property
    def gapped(self) -> bool:
        """Whether a sequence gap was found and no snapshot has come since; implies `stale`."""
    @property
    def sequence(self) -> int | None:
        """Number of the last record applied."""
    @property
    def ts_event(self) -> int | None: ...
    @property
    def ts_recv(self) -> int: ...
    @property
    def updates(self) -> int:
        """Records applied so far."""
    @property
    def gaps(self) -> int:
        """Breaks found in this book's numbering."""
    @property
    def broken_since(self) -> int | None:
        """``ts_recv`` of the record that showed the book is not whole; None while it is."""
    @property
    def broken_ns(self) -> int:
        """Time it was not whole, in ns, of the spans that a snapshot has ended."""
    def depth(self, side: str, /) -> int:
        """Return the number of levels on ``"bid"`` or ``"ask"``."""
    def level(self, side: str, index: int, /) -> tuple[float, float, int] | None:
        """Return (price, quantity, orders) of a level, 0 being the best; None where there is none."""
    def update(self, side: str, price: float, quantity: float, orders: int = 0, /) -> tuple[float | None, float | None]:
        """Put one level by hand, quantity 0 removing it, and return the best (bid, ask) after it.

        For books fed from elsewhere; a stream's own deltas go through `Books.apply`. No number is checked or kept.

        Raises
        ------
        ValueError
            A price that is not finite and positive, or a quantity that is not finite and at least 0.
        """
    def vwap(self, side: str, quantity: float, /) -> float | None:
        """Average price to take `quantity` from that side, ``"ask"`` to buy; None where the book holds less."""
    def imbalance(self, levels: int = 1) -> float | None:
        """(bid - ask) / (bid + ask) quantity of the first `levels`, in [-1, 1]; None for an empty book."""
    def snapshot(self, levels: int = 0) -> BookSnapshot:
        """Copy the first `levels` of each side (0: all) into a value."""

@final
class BookSnapshot:
    """Depth at one moment: immutable, hashable by content, picklable.

    Levels are (price, quantity, orders), best first. `instrument` is a handle, or a canonical id, which is what pickles
    carry because handles are each process's own.
    """

    def __new__(
        cls,
        instrument: int | str,
        bids: Iterable[Sequence[float]],
        asks: Iterable[Sequence[float]],
        sequence: int | None = None,
        ts_event: int | None = None,
        ts_recv: int = 0,
        stale: bool = False,
        crossed: bool = False,
    ) -> BookSnapshot: ...
    @property
    def instrument(self) -> int: ...
    @property
    def instrument_id(self) -> str: ...
    @property
    def bids(self) -> tuple[tuple[float, float, int], ...]: ...
    @property
    def asks(self) -> tuple[tuple[float, float, int], ...]: ...
    @property
    def sequence(self) -> int | None: ...
    @property
    def ts_event(self) -> int | None: ...
    @property
    def ts_recv(self) -> int: ...
    @property
    def stale(self) -> bool: ...
    @property
    def crossed(self) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Books:
    """All books of one connection. `apply` takes a whole batch in one call.

    Parameters
    ----------
    max_levels : int
        Levels kept a side; further ones are cut off the worst end (0: unlimited).
    rule : {"none", "plain", "ranged", "linked"}
        How the venue numbers messages: plain (n, n+1), ranged (first..last starts right after the previous last),
        linked (each names its predecessor). A break marks the book gapped and stale until a snapshot comes.

    Notes
    -----
    A snapshot replaces both sides, whatever the order of its levels; an empty one leaves an empty, live book. In a
    delta, quantity 0 removes. Deltas for a stale book are ignored. Where messages are numbered, a live book drops a
    snapshot older than itself; after one without a number the next message's number is taken as it comes.
    """

    def __new__(cls, *, max_levels: int = 0, rule: str = "none") -> Books: ...
    def apply(self, batch: Batch, /) -> int:
        """Apply every depth record of `batch`; return how many books changed, newly gapped ones included."""
    def book(self, instrument: int, /) -> Book:
        """Return the live book of an instrument handle, made if there is none.

        Raises
        ------
        IndexError
            If no instrument has this handle.
        """
    def follow(self, instrument: int, *, rule: str = "none", hold: bool = False) -> None:
        """Say how one instrument's book is kept whole, where that differs from the `rule` of all.

        Parameters
        ----------
        hold : bool
            The snapshot is fetched and not streamed: deltas without a base are held (8192 at most), the instrument is
            listed by `take_wanting`, and `snapshot` applies those that follow it.
        """
    def snapshot(
        self,
        instrument: int,
        bids: Iterable[Sequence[float]],
        asks: Iterable[Sequence[float]],
        *,
        sequence: int | None = None,
        ts_event: int | None = None,
        ts_recv: int = 0,
    ) -> bool:
        """Apply a fetched snapshot, then the held deltas that follow it; return whether the book is live now.

        Levels are (price, quantity, orders), best first. `sequence` is the last message the snapshot contains. One
        that the held deltas do not follow leaves the book gapped, and wanting another.

        Raises
        ------
        IndexError
            If no instrument has this handle.
        ValueError
            A level has fewer than two values.
        """
    def take_wanting(self) -> tuple[int, ...]:
        """Return the instruments whose snapshot must be fetched: each once for every need."""
    @property
    def wanting(self) -> bool:
        """Whether `take_wanting` has any."""
    @property
    def held(self) -> int:
        """Deltas kept until a snapshot came."""
    @property
    def overflowed(self) -> int:
        """Held deltas let go because too many had gathered."""
    @property
    def healed(self) -> int:
        """Times a snapshot made a broken book live again."""
    def mark_stale(self, instrument: int = -1) -> None:
        """Mark one book, or all of them (-1), stale: the stream is gone or broken. A snapshot ends it."""
    @property
    def gaps(self) -> int:
        """Breaks in the numbering found so far."""
    @property
    def duplicates(self) -> int:
        """Records dropped because the book already had them, older snapshots included."""
    @property
    def rejected_levels(self) -> int:
        """Levels never stored: price not finite and positive, or quantity not finite and at least 0."""
    @property
    def ignored(self) -> int:
        """Deltas that met a stale book."""
    @property
    def unbound(self) -> int:
        """Depth records whose key is bound to no instrument."""
    @property
    def gapped(self) -> tuple[int, ...]:
        """Instruments whose book waits for a snapshot after a gap."""
    def __len__(self) -> int: ...

# --- rate limits ----------------------------------------------------------------------------------------------------

@final
class RateLimiter:
    """Several meters of one scope, taken together or not at all.

    Parameters
    ----------
    meters : sequence of (name, count, period_ns, window, reserve)
        `window` is ``"bucket"`` (refills steadily), ``"rolling"`` (never more than `count` in any half-open span of
        `period_ns`) or ``"calendar"`` (starts afresh on the wall clock). `reserve` of `count` is kept for lane 1.
    calendar_offset_ns : int
        Added to the wall clock before calendar windows are cut at multiples of `period_ns`: the UTC offset of the
        server's day, ``19_800 * 10**9`` for UTC+05:30.

    Raises
    ------
    ValueError
        Names the meter, what was found and what was expected.

    Notes
    -----
    Lane 0 has ``count - reserve`` as a budget of its own, lane 1 whatever of `count` is left. When the wall clock steps
    back, grants go on counting towards the later calendar window, and at most `count` fit into any rolling period until
    the clock has caught up or a period has passed.
    """

    def __new__(
        cls, meters: Iterable[tuple[str, int, int, str, int]], *, calendar_offset_ns: int = 0
    ) -> RateLimiter: ...
    def plan(self, costs: Iterable[tuple[str, int]], /) -> int:
        """Register a combination of (meter, cost) and return its id for `try_acquire`.

        Raises
        ------
        ValueError
            For an unknown meter, or a cost that is not in 1..count.

        Notes
        -----
        A meter named twice costs the sum. Equal combinations share one id.
        """
    def try_acquire(self, mono_ns: int, wall_ns: int, plan: int, lane: int = 0, /) -> int:
        """Take all meters of `plan`, or none.

        Returns
        -------
        int
            0 when taken, otherwise ns after which it succeeds if nothing else is taken meanwhile.

        Raises
        ------
        ValueError
            For an unknown plan or lane, a time out of range, or on lane 0 a cost above ``count - reserve``.
        """
    def penalise(self, meter: str, until_mono_ns: int) -> None:
        """Refuse this meter on both lanes until then, after a 429 or Retry-After. A later end already set stays."""
    def refund(self, plan: int, granted_mono_ns: int, lane: int = 0, /) -> None:
        """Give back, once, what `try_acquire` took at `granted_mono_ns` for a request that was never sent.

        The time says which grant it was: without it a late refund would hand out room that newer grants hold. What the
        grant no longer weighs (it left its window, the bucket has refilled since) is not given back.
        """
    def state(self, mono_ns: int, wall_ns: int) -> dict[str, dict[str, int]]:
        """Return for each meter: count, used, left, reserve_left, reset_ns, penalty_ns.

        `left` is what lane 0 could take now, `reserve_left` what lane 1 could take beyond that, `reset_ns` the time
        until the whole count can be taken at once, `penalty_ns` what is left of a penalty.
        """

# --- metrics --------------------------------------------------------------------------------------------------------

@final
class SharedRateLimiter:
    """A `RateLimiter` whose counts lie in a file that every process counts in. Linux only.

    Parameters
    ----------
    path : str
        Made with mode 0600 where it is absent, its missing folders with 0700.
    meters, calendar_offset_ns
        As for `RateLimiter`; every process gives the same meters.
    mono_ns, wall_ns : int
        Now.
    boot_id : str, optional
        Names this run of the machine; as the kernel says by default.

    Raises
    ------
    OSError
        The file system refuses.
    RuntimeError
        The file is of another version, counts other meters, is damaged or open to others. It is left as it is, because
        emptying it would hand out again what was spent; an empty file is a new one.
    ValueError
        As for `RateLimiter`.

    Notes
    -----
    After a restart of the machine, meters of up to a minute count as full at its start; longer ones keep their grants,
    dated by the wall clock. Every method raises RuntimeError after a fork, and where a dead process left what cannot be
    undone; TimeoutError where a stopped process holds the lock. Monotonic times are those of the machine's one clock.
    """

    def __new__(
        cls,
        path: str,
        meters: Iterable[tuple[str, int, int, str, int]],
        mono_ns: int,
        wall_ns: int,
        *,
        calendar_offset_ns: int = 0,
        boot_id: str = "",
    ) -> SharedRateLimiter: ...
    @property
    def path(self) -> str: ...
    @property
    def recoveries(self) -> int:
        """How often a dead holder's lock was taken over, and what it had half done undone, since the file was made."""
    def plan(self, costs: Iterable[tuple[str, int]], /) -> int:
        """As `RateLimiter.plan`; ids are this handle's own."""
    def try_acquire(self, mono_ns: int, wall_ns: int, plan: int, lane: int = 0, arrival_ns: int = -1, /) -> int:
        """As `RateLimiter.try_acquire`, in turn with all who wait.

        Parameters
        ----------
        arrival_ns : int, optional
            When the caller came. A refusal leaves a ticket, or renews it, behind which later arrivals of the same or a
            lower lane wait, for any meter they share; a grant removes it. It lapses unless renewed within a second.
            Without it the caller stands behind all who wait, and leaves no ticket.

        Returns
        -------
        int
            0 when taken, otherwise ns after which to ask again.
        """
    def leave(self, plan: int, lane: int = 0, /) -> None:
        """Remove this handle's ticket for the meters of `plan`: nobody waits here any more."""
    def penalise(self, meter: str, until_mono_ns: int) -> None:
        """As `RateLimiter.penalise`, for all processes."""
    def refund(self, plan: int, granted_mono_ns: int, lane: int = 0, /) -> None:
        """As `RateLimiter.refund`."""
    def state(self, mono_ns: int, wall_ns: int) -> dict[str, dict[str, int]]:
        """As `RateLimiter.state`."""
    def lease(self, most: int, /) -> int | None:
        """Take one of `most` (0 to 64) leases of the file and return its number; None where living processes hold all.

        It is freed with this handle, and taken back from a process that died. Reads ``/proc``.
        """
    def release(self, number: int, /) -> None:
        """Give a lease of this handle back; a number that is not its own is left alone."""
    def lease_holders(self) -> dict[int, int]:
        """Return how many leases each living process holds, by process id."""

def record_spans(histograms: tuple[Histogram, ...], /, *times: int) -> None:
    """Record a span of time in each histogram: for each of them when it began and when it ended."""

class Histogram:
    """Counts of durations (int, usually ns) in fixed memory: about 37 KB, for one value or a billion.

    Values from 0 to ``2**42 - 1`` are told apart within 1%; larger ones count as that. Negative ones, which a stepped
    clock can make, are counted in `rejected` only.
    """

    def __new__(cls) -> Histogram: ...
    def record(self, value: int, /) -> None:
        """Count one value. Allocates nothing."""
    def quantile(self, share: float, /) -> int | None:
        """Return the value that the share (0 to 1) of all values does not exceed, within 1%; None where it is empty."""
    def cumulative(self, bounds: Sequence[int], /) -> list[int]:
        """Return how many values are at most each of the rising bounds; a bucket that a bound cuts counts as above."""
    def merge(self, other: Histogram, /) -> None:
        """Add the counts of another one."""
    def reset(self) -> None: ...
    def __len__(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def rejected(self) -> int: ...
    @property
    def total(self) -> int:
        """Sum of all values."""
    @property
    def minimum(self) -> int:
        """Exact; 0 where it is empty."""
    @property
    def maximum(self) -> int:
        """Exact up to ``2**42 - 1``; 0 where it is empty."""
    @property
    def nbytes(self) -> int:
        """Memory of this object."""
