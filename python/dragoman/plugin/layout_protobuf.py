"""Protobuf layouts: a broker's messages written down as field numbers, compiled once, decoded natively.

A `ProtoStream` is the tree of its root message. What is not named is skipped, as a protobuf reader must. Members of a
message are values (`ProtoValue`, `ProtoConstant`), keys (`ProtoKey`), depth (`ProtoLevels`, `ProtoColumns`), nested
messages (`ProtoSub`) and messages that each make a record (`ProtoRecords`). A map is a repeated message whose key is
field 1 and whose value is field 2, here as on the wire. A variant of a oneof is a `ProtoSub` with a `shape` of its own.

Example
-------
>>> trade = (ProtoValue(1, "double", "last_price"), ProtoValue(2, "int64", "last_trade_time", unit="ms"))
>>> quote = (ProtoSub(1, trade), ProtoLevels(2, bid=ProtoSide(ProtoColumn(1, "double"), ProtoColumn(2, "int64"))))
>>> stream = ProtoStream("example", merge=True, members=(
...     ProtoRecords(2, (  # map<string, Feed>
...         ProtoKey(1, "string"),
...         ProtoSub(2, (
...             ProtoSub(1, trade, shape=ProtoShape("ltp", mode="ltp")),
...             ProtoSub(2, quote, shape=ProtoShape("full", mode="full")),
...         )),
...     )),
...     ProtoValue(3, "int64", "ts_event", unit="ms"),  # of the message, so of each of its records
... ))
>>> layout = stream.compile()
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from dragoman._core import Layout

ProtoType: TypeAlias = Literal[
    "double",
    "float",
    "int32",
    "int64",
    "uint32",
    "uint64",
    "sint32",
    "sint64",
    "fixed32",
    "fixed64",
    "sfixed32",
    "sfixed64",
    "bool",
    "enum",
    "string",
    "bytes",
    "decimal",
]
"""The scalar types of proto3, and ``decimal``: a string that holds a number as text, of at most 15 digits.

``string`` and ``bytes`` only for keys and conditions.
"""

ProtoUnit = Literal["s", "ms", "us", "ns", "epoch"]
"""Unit of a time; ``epoch`` tells s, ms, us and ns apart by magnitude (below 1e11, 1e14, 1e17, or more)."""


@dataclass(frozen=True, slots=True)
class ProtoShape:
    """Constants of the records a message (a variant of a oneof, mostly) makes.

    Records of one stream may have several shapes; `name` is what ``Layout.packets`` lists and ``Tick.layout`` indexes.
    """

    name: str
    kind: Literal["quote", "trade", "depth_snapshot", "depth_delta", "status"] = "quote"
    mode: Literal["none", "ltp", "quote", "full"] = "none"
    flags: tuple[Literal["index"], ...] = ()


@dataclass(frozen=True, slots=True)
class ProtoOnly:
    """A condition on the message it stands at: its own field `number` has one of `values`.

    A field that is not there has proto3's default: 0 or the empty string. The field may stand anywhere in the message.
    """

    number: int
    type: ProtoType
    values: tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class ProtoValue:
    """One scalar field that goes into the record.

    Parameters
    ----------
    number : int
        Field number, 1 to 536,870,911.
    to : str
        A record slot (`dragoman._core.FIELDS`) or ``ts_event``, ``last_trade_time``, ``sequence``, ``prev_sequence``.
    divisor : int
        For integer mantissas: a price in hundredths has 100.
    unit : {"s", "ms", "us", "ns", "epoch"}
        For times, from integers or doubles; arithmetic is checked, what does not fit int64 ns is counted and absent.
    shift_s : int
        Added to a time, for brokers that send local wall clock as if it were UTC.
    digits : int, optional
        Decimal digits a double or float is rounded to: the float64 nearest to that decimal.
    absent : int, optional
        Wire value that means "not there".
    default : int, optional
        What a missing field means where its message came (proto3 leaves zeros out): 0 mostly. A wire value: it is
        divided and scaled like any other. Without it a missing field is absent, and in a merged stream as before.
    """

    number: int
    type: ProtoType
    to: str
    divisor: int = 1
    unit: ProtoUnit | None = None
    shift_s: int = 0
    digits: int | None = None
    absent: int | None = None
    default: int | None = None
    what: Literal["value"] = field(default="value", init=False, repr=False)


@dataclass(frozen=True, slots=True)
class ProtoConstant:
    """A value that its message implies by being there."""

    to: str
    value: float
    what: Literal["constant"] = field(default="constant", init=False, repr=False)


@dataclass(frozen=True, slots=True)
class ProtoKey:
    """The instrument's key, or a part of it; stands in the message that makes the record, or in a `ProtoSub` of it.

    One text is the key itself (`Feed.keys` gives bytes). Integers are OR-ed as ``(value & mask) << shift`` (`Feed.keys`
    gives that int). Where texts and integers meet, or several texts, the key is the text of all parts joined by ``|``
    in the order written here, integers in decimal: ``b"1|0|2885"``. A part that is missing on the wire is 0 or empty.
    """

    number: int
    type: ProtoType
    shift: int = 0
    mask: int = 0x7FFF_FFFF_FFFF_FFFF
    what: Literal["key"] = field(default="key", init=False, repr=False)


@dataclass(frozen=True, slots=True)
class ProtoColumn:
    """One number of a depth row, by field number, or by the path that leads to it (``(2, 1)`` in a map entry)."""

    number: int | tuple[int, ...]
    type: ProtoType
    divisor: int = 1
    digits: int | None = None


@dataclass(frozen=True, slots=True)
class ProtoSide:
    """The columns of one side. A column missing on the wire is 0."""

    price: ProtoColumn
    quantity: ProtoColumn
    orders: ProtoColumn | None = None


@dataclass(frozen=True, slots=True)
class ProtoLevels:
    """A repeated message of depth rows: a row holds a bid, an ask, or one of each side by side.

    The message that holds the rows says the whole of each side it names: without rows that side is empty. (In a
    ``depth_delta`` the rows are updates; quantity 0 removes.)

    Parameters
    ----------
    max_rows : int
        Rows a side may have in one record, at most 65536; more are malformed.
    empty : "zero" or "none"
        "zero": a side of a row whose price and quantity are both 0 is padding and makes no level.
    sort : bool
        Order each side best first by price, for maps, whose entries come in any order.
    position : ProtoColumn, optional
        Which place of its side a row is for, from 0, the best: the row changes what it tells of that place, and all
        other places stay as they were. Rows without it, or with one from `max_rows` on, say nothing; a place whose
        quantity is 0 is empty. Every record carries the whole book: as a ``depth_delta`` that empties it first, or,
        where a `ProtoRestart` says so, as a ``depth_snapshot``. For merged streams.
    """

    number: int
    bid: ProtoSide | None = None
    ask: ProtoSide | None = None
    max_rows: int = 1024
    empty: Literal["zero", "none"] = "zero"
    sort: bool = False
    position: ProtoColumn | None = None
    what: Literal["levels"] = field(default="levels", init=False, repr=False)


@dataclass(frozen=True, slots=True)
class ProtoColumns:
    """Depth as parallel lists: repeated scalars, packed or not, of prices, quantities and perhaps orders.

    Lists of unequal length are malformed.
    """

    side: Literal["bid", "ask"]
    price: ProtoColumn
    quantity: ProtoColumn
    orders: ProtoColumn | None = None
    max_rows: int = 1024
    empty: Literal["zero", "none"] = "zero"
    sort: bool = False
    what: Literal["columns"] = field(default="columns", init=False, repr=False)


@dataclass(frozen=True, slots=True)
class ProtoControl:
    """A field that is no market data, or that no record slot can hold (a message of greeks, say).

    Where it comes, bytes go to `Feed.on_control` beside the records, if there are any: those of the record's message
    (tag and length left off) where it stands in one, so that its instrument is told, and otherwise of the field
    itself. `dragoman.plugin.read_protobuf` reads them. Each costs a call into Python, so name only what somebody reads.
    """

    number: int
    what: Literal["control"] = field(default="control", init=False, repr=False)


@dataclass(frozen=True, slots=True)
class ProtoRestart:
    """A bool: the places of the record's book (`ProtoLevels.position`) are forgotten before its rows are laid in."""

    number: int
    what: Literal["restart"] = field(default="restart", init=False, repr=False)


@dataclass(frozen=True, slots=True)
class ProtoSub:
    """A nested message whose values belong to the same record; repeated ones are laid over one another.

    Parameters
    ----------
    members : tuple
    shape : ProtoShape, optional
        What the record becomes where this message is in it. Two different shapes in one record are malformed: they are
        variants of a oneof.
    only_if : ProtoOnly, optional
        Without a match the message is read past. Such a message holds values, constants and nested messages only.
    """

    number: int
    members: tuple[ProtoMember, ...]
    shape: ProtoShape | None = None
    only_if: ProtoOnly | None = None
    what: Literal["sub"] = field(default="sub", init=False, repr=False)


@dataclass(frozen=True, slots=True)
class ProtoRecords:
    """A repeated message, or a map, each of which makes one record.

    Values of the messages around it (a time stamp of the whole) go into each record that has none of its own.

    Parameters
    ----------
    shape : ProtoShape, optional
        Unless a nested message says otherwise. A record for which nothing says a shape is of an unknown type: it is
        counted and handed to `Feed.on_control`.
    """

    number: int
    members: tuple[ProtoMember, ...]
    shape: ProtoShape | None = None
    what: Literal["records"] = field(default="records", init=False, repr=False)


ProtoMember: TypeAlias = (
    ProtoValue
    | ProtoConstant
    | ProtoKey
    | ProtoLevels
    | ProtoColumns
    | ProtoControl
    | ProtoRestart
    | ProtoSub
    | ProtoRecords
)


@dataclass(frozen=True, slots=True)
class ProtoStream:
    """Every protobuf message of one stream: a frame is one root message.

    Parameters
    ----------
    members : tuple
        Members of the root message. Without a `ProtoRecords` in them the root itself makes one record.
    shape : ProtoShape, optional
        Of the root's own record.
    control_when : ProtoOnly, optional
        A frame that meets it is control, whole.
    merge : bool
        Deliver the instrument's last record of this stream with this message's fields laid over it; ``changed`` tells
        which came now. Levels are never merged: a record without depth of its own carries none.
    merge_shapes : bool
        Whether a record is laid over one of another shape too. False where the shape is the mode subscribed: a lesser
        mode than before must not show what only the greater one told.
    max_records : int
        Records a frame may hold, at most 65536; more are malformed.
    """

    name: str
    members: tuple[ProtoMember, ...]
    shape: ProtoShape | None = None
    control_when: ProtoOnly | None = None
    merge: bool = False
    merge_shapes: bool = True
    max_records: int = 16384

    def spec(self) -> dict[str, Any]:
        """Return the description as plain dicts and tuples: what `dragoman._core.compile_protobuf` takes."""
        return dataclasses.asdict(self)

    def compile(self) -> Layout:
        """Return the compiled layout, the same object at every call.

        Raises
        ------
        ValueError
            Names the message and the field that cannot be, what was found and what was expected.
        """
        return _compile(self)


@cache
def _compile(stream: ProtoStream) -> Layout:
    from dragoman._core import compile_protobuf

    return compile_protobuf(stream.spec())
