"""Packed binary layouts: a broker's wire messages written down as data, compiled once, decoded natively.

A `PackedStream` describes every binary message of one stream: how a frame falls into packets (`framing`), how a packet
says its type (`select`), and for each type a `PackedLayout`. Offsets are bytes from the start of the packet (or of the
`Vector`), prices are integer mantissas *divided* by a power of ten, so that a price is the float64 nearest to the
decimal on the wire.

Example
-------
>>> quote = PackedLayout("quote", size=16, key=Key(Part("u32", 0)), scale=Scale.fixed(100), fields=(
...     Field("last_price", "i32", 4, scaled=True),
...     Field("last_quantity", "u32", 8),
...     Field("ts_event", "u32", 12, unit="s"),
... ))
>>> stream = PackedStream("example", "big", Framing.single(), Select.by_length(), layouts=(quote,))
>>> layout = stream.compile()
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from dragoman._core import Layout

WireType = str
"""``i8 u8 i16 u16 i32 u32 i64 u64 f32 f64``; keys and names also ``digits[n]``: ASCII decimal, NUL or blank padded."""

TimeUnit = Literal["s", "ms", "us", "ns"]


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a key or a discriminator: ``((value & mask) << shift)``; parts of one key are OR-ed."""

    type: WireType
    offset: int
    shift: int = 0
    mask: int = 0xFFFF_FFFF_FFFF_FFFF


@dataclass(frozen=True, slots=True)
class Key:
    """Where the instrument's key stands. Several parts compose one 63-bit key (segment code and token)."""

    parts: tuple[Part, ...]

    def __init__(self, *parts: Part) -> None:
        object.__setattr__(self, "parts", parts)


@dataclass(frozen=True, slots=True)
class Scale:
    """The divisor of a layout's scaled fields.

    Use `fixed`, `by_part` (a table over one byte of the packet, such as a segment code), `from_fields` (multiplier and
    decimal precision in the packet itself) or `topic` (those that the topic's `define` record carried).
    """

    how: Literal["fixed", "by_part", "from_fields", "topic"]
    divisor: int = 1
    part: Part | None = None
    table: tuple[tuple[int, int], ...] = ()
    precision: Part | None = None
    multiplier: Part | None = None

    @classmethod
    def fixed(cls, divisor: int) -> Scale:
        return cls("fixed", divisor)

    @classmethod
    def by_part(cls, part: Part, table: Mapping[int, int], default: int) -> Scale:
        """Choose by the low 8 bits of `part`: ``table[value]``, otherwise `default`."""
        return cls("by_part", default, part=part, table=tuple(sorted(table.items())))

    @classmethod
    def from_fields(cls, *, precision: Part | None = None, multiplier: Part | None = None) -> Scale:
        """Divide by ``10**precision * multiplier``, both read from the packet; 0 multiplier counts as malformed."""
        return cls("from_fields", precision=precision, multiplier=multiplier)

    @classmethod
    def topic(cls) -> Scale:
        return cls("topic")


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a packet.

    Parameters
    ----------
    to : str
        A record slot (`dragoman._core.FIELDS`) or ``ts_event``, ``last_trade_time``, ``sequence``, ``prev_sequence``.
    type : WireType
    offset : int
    scaled : bool
        Divide by the layout's `scale`.
    divisor : int
        The field's own divisor instead.
    unit : {"s", "ms", "us", "ns"}
        For times; arithmetic is checked, a time that does not fit int64 ns is counted and absent.
    shift_s : int
        Added to a time after scaling to ns, for brokers that send local wall clock as if it were UTC.
    digits : int, optional
        Decimal digits a float32/64 is rounded to: the value becomes the float64 nearest to that decimal.
    absent : int, optional
        Raw value that means "not there" (0 for "no trade yet").
    unchanged : int, optional
        Raw value that means "as before" in a merged layout.
    """

    to: str
    type: WireType
    offset: int
    scaled: bool = False
    divisor: int = 1
    unit: TimeUnit | None = None
    shift_s: int = 0
    digits: int | None = None
    absent: int | None = None
    unchanged: int | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a depth table: first row at `offset`, further rows every `stride` bytes."""

    type: WireType
    offset: int
    stride: int = 0


@dataclass(frozen=True, slots=True)
class SideFlag:
    """Each row says its side: raw value `bid` or `ask`, at `offset` in every row."""

    type: WireType
    offset: int
    bid: int
    ask: int


@dataclass(frozen=True, slots=True)
class Levels:
    """A table of depth rows. Two blocks are two tables; bid and ask side by side in a row are two tables of one stride.

    Parameters
    ----------
    side : "bid", "ask" or SideFlag
    rows : int, Part or "rest"
        Rows in the table: fixed, read from the packet, or as many as fit before the packet's end. Rows promised
        beyond the packet's end are malformed.
    stride : int
        Bytes from one row to the next, for columns that give none.
    max_rows : int
        For counted tables: more are malformed.
    empty : "zero" or "none"
        "zero": a row whose price and quantity are both 0 is padding and makes no level.
    scaled, divisor, digits
        As `Field`, for the price.
    """

    side: Literal["bid", "ask"] | SideFlag
    rows: int | Part | Literal["rest"]
    price: Column
    quantity: Column
    orders: Column | None = None
    stride: int = 0
    max_rows: int = 1024
    empty: Literal["zero", "none"] = "zero"
    scaled: bool = False
    divisor: int = 1
    digits: int | None = None
    unchanged: int | None = None


@dataclass(frozen=True, slots=True)
class Schema:
    """What the positions of a topic's value vector mean; chosen by the prefix of the topic's name."""

    name: str
    prefix: str
    fields: tuple[Field, ...]  # offset = 4 * position for i32 vectors
    levels: tuple[Levels, ...] = ()
    kind: Literal["quote", "trade", "depth_snapshot", "depth_delta", "status"] = "quote"
    mode: Literal["none", "ltp", "quote", "full"] = "quote"
    flags: tuple[Literal["index"], ...] = ()


@dataclass(frozen=True, slots=True)
class Vector:
    """Counted values at the end of a topic record: a count byte(s), then as many values of one type.

    A vector shorter than a schema leaves the rest unchanged (absent when defining); extra values are ignored.
    """

    count: Part  # relative to the record, or to the end of the name where `after_name`
    type: WireType = "i32"
    unchanged: int | None = None
    after_name: bool = False


@dataclass(frozen=True, slots=True)
class Define:
    """This record binds a topic id to an instrument (by name), a schema and a scale.

    Layout of such a record: fixed head with `topic` and `name_length`, the name, the vector, then a tail of fixed
    fields (offsets from the vector's end) and `tail_texts` texts, each with one length byte.
    """

    topic: Part
    name_length: Part
    name_offset: int
    vector: Vector
    precision: Part | None = None  # offsets from the vector's end
    multiplier: Part | None = None
    tail_size: int = 0
    tail_texts: int = 0


@dataclass(frozen=True, slots=True)
class Refer:
    """This record's instrument, schema and scale come from its topic id.

    Without a `vector` the layout's own fields apply (a lite update), scaled by the topic's scale.
    """

    topic: Part
    vector: Vector | None = None


@dataclass(frozen=True, slots=True)
class PackedLayout:
    """One packet type.

    Parameters
    ----------
    name : str
    size : int
        Exact bytes of the packet, or the least where `grows`; 0 for `define`/`refer` records with a vector.
    code : int, optional
        The discriminator's value, where the stream selects by code.
    key : Key, optional
        Not for `define`/`refer` records.
    kind, mode, flags
        Constants of the record. `snapshot` is implied for depth in a quote or a depth_snapshot.
    merge : bool
        Deliver the instrument's last record of this stream with this packet's fields laid over it; `changed` tells
        which came now.
    control : bool
        Hand the packet's byte range to the feed instead of decoding it.
    """

    name: str
    size: int
    key: Key | None = None
    fields: tuple[Field, ...] = ()
    levels: tuple[Levels, ...] = ()
    scale: Scale = Scale("fixed", 1)
    code: int | None = None
    kind: Literal["quote", "trade", "depth_snapshot", "depth_delta", "status"] = "quote"
    mode: Literal["none", "ltp", "quote", "full"] = "none"
    flags: tuple[Literal["index"], ...] = ()
    grows: bool = False
    merge: bool = False
    control: bool = False
    define: Define | None = None
    refer: Refer | None = None
    when: tuple[Part, int] | None = None
    """A second condition (part, value): layouts of one size or code told apart by a byte; those with it go first."""
    when_in: tuple[int, ...] = ()
    """Further values that satisfy `when`."""


@dataclass(frozen=True, slots=True)
class Framing:
    """How a frame falls into packets.

    ``single``: the frame is one packet. ``counted``: a count, then each packet behind a length (which does not count
    itself) - or, with no length, self-delimiting records. ``back_to_back``: packets follow one another, each carrying
    its own length (which counts the whole packet) or having the size of its layout.
    """

    how: Literal["single", "counted", "back_to_back"]
    header: int = 0
    count: Part | None = None
    length: WireType | None = None
    length_at: Part | None = None
    min_frame: int = 0

    @classmethod
    def single(cls) -> Framing:
        return cls("single")

    @classmethod
    def counted(cls, *, count: Part, header: int, length: WireType | None, min_frame: int = 0) -> Framing:
        """`header` bytes from the frame's start to the first length or record. A frame shorter than `min_frame` is a
        heartbeat: counted, no error."""
        return cls("counted", header=header, count=count, length=length, min_frame=min_frame)

    @classmethod
    def back_to_back(cls, *, length_at: Part | None = None, header: int = 0) -> Framing:
        return cls("back_to_back", header=header, length_at=length_at)


@dataclass(frozen=True, slots=True)
class Select:
    """How a packet says its type: by its length, or by a code in it."""

    how: Literal["length", "code"]
    code: Part | None = None

    @classmethod
    def by_length(cls) -> Select:
        return cls("length")

    @classmethod
    def by_code(cls, part: Part) -> Select:
        return cls("code", part)


@dataclass(frozen=True, slots=True)
class PackedStream:
    """Every binary message of one stream.

    Parameters
    ----------
    data_when : (Part, tuple of int), optional
        A frame is data only where this part has one of these values; any other frame is control, whole.
    message_number : Part, optional
        Number of the message, for acknowledgements: `Decoder.count`.
    schemas : tuple of Schema
        For topic streams.
    """

    name: str
    byte_order: Literal["big", "little"]
    framing: Framing
    select: Select
    layouts: tuple[PackedLayout, ...]
    data_when: tuple[Part, tuple[int, ...]] | None = None
    message_number: Part | None = None
    schemas: tuple[Schema, ...] = field(default=())

    def spec(self) -> dict[str, Any]:
        """Return the description as plain dicts and tuples: what `dragoman._core.compile_packed` takes."""
        return dataclasses.asdict(self)

    def compile(self) -> Layout:
        """Return the compiled layout, the same object at every call.

        Raises
        ------
        ValueError
            Names the layout and the field that cannot be, what was found and what was expected.
        """
        return _compile(self)


@cache
def _compile(stream: PackedStream) -> Layout:
    from dragoman._core import compile_packed

    return compile_packed(stream.spec())
