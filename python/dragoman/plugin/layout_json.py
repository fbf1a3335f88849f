"""JSON and MessagePack layouts: a broker's text messages written down as data, compiled once, decoded natively.

A `JsonStream` lists the messages of one stream as `JsonLayout`s. The first layout whose conditions (`when`) hold is the
message's layout; the conditions may look at any path, before or after the data. What no layout matches goes to the feed
as control, byte for byte.

Paths
-----
Steps joined by dots: a key of an object (``"data.s"``), or a position in an array (``"1.b"``, ``"-1"`` counts from the
end). A tuple of steps says the same and allows keys that hold dots: ``("data", "a.b")``.

A path starts at the layout's own place: the message, or where `at` or `each` lead. A leading ``/`` starts at the
message instead, a leading ``../`` one `each` further out. ``"@key"`` is the key of a map entry that `each` goes
through, ``"@value"`` the element itself, where it is a number or a text.

Example
-------
>>> depth = JsonLayout("depth", when=(JsonWhen.equals("e", "depthUpdate"),), key=JsonKey("s"), kind="depth_delta",
...     fields=(
...         JsonField("ts_event", "E", unit="ms"),
...         JsonField("sequence", "u"),
...         JsonField("prev_sequence", "U", add=-1),
...     ),
...     levels=(JsonLevels("bid", "b"), JsonLevels("ask", "a")))
>>> layout = JsonStream("example", layouts=(depth,)).compile()
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from dragoman._core import Layout

Path: TypeAlias = str | tuple[str | int, ...]
"""Where a value stands; see the module's text."""

Value: TypeAlias = str | int | bool
"""What a value is compared with: text, an integer literal, or true and false. Each equals only its own kind."""

JsonUnit = Literal["s", "ms", "us", "ns", "rfc3339"]


def _path(path: Path) -> dict[str, Any]:
    """Return a path as the core reads it: how many scopes out (-1: the message), and the steps."""
    up = 0
    if isinstance(path, str):
        text = path
        if text.startswith("/"):
            up, text = -1, text[1:]
        while text.startswith("../"):
            up, text = up + 1, text[3:]
        parts = text.split(".") if text else []
        steps = tuple(int(part) if part.removeprefix("-").isdecimal() else part for part in parts)
    else:
        leads = path[:1] == ("/",) or path[:1] == ("..",)
        up = 0 if not leads else -1 if path[0] == "/" else 1
        steps = path[1:] if leads else path
    if not steps:
        raise ValueError(f"path {path!r} names nothing; expected keys and positions joined by dots")
    return {"up": up, "steps": steps}


def _paths(paths: tuple[Path, ...]) -> tuple[dict[str, Any], ...]:
    return tuple(_path(path) for path in paths)


@dataclass(frozen=True, slots=True)
class JsonWhen:
    """A condition on one message (or element): use `equals`, `has` or `absent`.

    Several paths are alternatives: one that holds is enough (for `absent`: none may be there).
    """

    how: Literal["equals", "has", "absent"]
    paths: tuple[Path, ...]
    values: tuple[Value, ...] = ()

    @classmethod
    def equals(cls, path: Path, *values: Value) -> JsonWhen:
        """The value at `path` is one of `values`: text, an integer, or a bool."""
        return cls("equals", (path,), values)

    @classmethod
    def has(cls, *paths: Path) -> JsonWhen:
        """Something other than null stands at one of `paths`."""
        return cls("has", paths)

    @classmethod
    def absent(cls, *paths: Path) -> JsonWhen:
        """Nothing, or null, stands at any of `paths`."""
        return cls("absent", paths)

    def spec(self) -> dict[str, Any]:
        return {"how": self.how, "paths": _paths(self.paths), "values": self.values}


@dataclass(frozen=True, slots=True)
class JsonKey:
    """What names the instrument.

    Parameters
    ----------
    *paths : Path
        One text or number, or several joined by `join` (``JsonKey("e", "tk", join="|")`` is ``NSE|22``). Bound with
        `Feed.keys` as bytes; upper and lower case as the wire has them.
    join : str
    until : str, optional
        Only the part before the first of these characters: ``until="@"`` makes ``btcusdt`` of ``btcusdt@depth``. Cut
        from each of the texts, before they are joined.
    number : bool
        The one value is an integer (a literal, or text of one): bound with `Feed.keys` as int.

    A message without its key, or whose key is not valid UTF-8, counts as malformed.
    """

    paths: tuple[Path, ...]
    join: str
    until: str | None
    number: bool

    def __init__(self, *paths: Path, join: str = "", until: str | None = None, number: bool = False) -> None:
        object.__setattr__(self, "paths", paths)
        object.__setattr__(self, "join", join)
        object.__setattr__(self, "until", until)
        object.__setattr__(self, "number", number)

    def spec(self) -> dict[str, Any]:
        return {"paths": _paths(self.paths), "join": self.join, "until": self.until, "number": self.number}


@dataclass(frozen=True, slots=True)
class JsonField:
    """One value of a record.

    Numbers may be literals or text. A value is the float64 nearest to the decimal on the wire. Missing, null, ``""``
    and what `absent` lists are absent; what cannot be read (another type, beyond float64 or int64) is absent and
    counted in `rejected_values`.

    Parameters
    ----------
    to : str
        A record slot (`dragoman._core.FIELDS`) or ``ts_event``, ``last_trade_time``, ``sequence``, ``prev_sequence``.
    path : Path
    divisor : int
        A power of ten.
    unit : {"s", "ms", "us", "ns", "rfc3339"}, optional
        For times, required there. Epoch times may be integers or decimals (digits beyond the nanosecond are cut), as
        literal or text. ``rfc3339``: with offset or Z, up to 9 digits of a second. MessagePack's own timestamps are
        read under any unit.
    shift_s : int
        Added to a time, for brokers that send local wall clock as if it were UTC.
    add : int
        Added to a sequence: where a message covers a range U..u, ``JsonField("prev_sequence", "U", add=-1)``.
    absent : tuple of str
        Texts or literals, as written, that mean "not there".
    """

    to: str
    path: Path
    divisor: int = 1
    unit: JsonUnit | None = None
    shift_s: int = 0
    add: int = 0
    absent: tuple[str, ...] = ()

    def spec(self) -> dict[str, Any]:
        return {
            "to": self.to,
            "path": _path(self.path),
            "divisor": self.divisor,
            "unit": self.unit,
            "shift_s": self.shift_s,
            "add": self.add,
            "absent": self.absent,
        }


@dataclass(frozen=True, slots=True)
class JsonAggressor:
    """Who took the trade's liquidity: the value at `path` is one of `buyer` or one of `seller`, otherwise unknown."""

    path: Path
    buyer: tuple[Value, ...]
    seller: tuple[Value, ...]

    def spec(self) -> dict[str, Any]:
        return {"path": _path(self.path), "buyer": self.buyer, "seller": self.seller}


@dataclass(frozen=True, slots=True)
class JsonSide:
    """Each row says its side, at the position or under the key `at`."""

    at: int | str
    bid: tuple[str, ...]
    ask: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JsonRow:
    """One level in fields of its own (``bp1``, ``bq1``, ``bo1``): the row of a `JsonLevels` that has `rows`."""

    price: Path
    quantity: Path
    orders: Path | None = None

    def spec(self) -> dict[str, Any]:
        return {
            "price": _path(self.price),
            "quantity": _path(self.quantity),
            "orders": None if self.orders is None else _path(self.orders),
        }


@dataclass(frozen=True, slots=True)
class JsonLevels:
    """Levels of one side, or of both where each row says its side.

    Parameters
    ----------
    side : "bid", "ask" or JsonSide
    path : Path, optional
        An array of rows. Rows are arrays (further elements are ignored) or objects. Two entries may name one side: all
        that are there bind at the message's end.
    price, quantity, orders : int or str
        Position or key in a row.
    rows : tuple of JsonRow
        Instead of `path`: levels in numbered fields, best first. Rows without a positive price are left out. In a
        merged layout the rows are merged field by field and delivered whole.
    divisor : int
        Of the price; a power of ten. The written digits are unknown (255) where it is not 1.
    exact : bool
        True: a price or quantity that `price_decimals` / `quantity_decimals` cannot write again exactly (more than 15
        significant digits, exponents, leading zeros) is refused: its row is left out and `rejected_values` counts it.
        False: such a value is the float64 nearest to it, its decimals are 255. A MessagePack float has no written
        digits and is taken with decimals 255 either way.

    Quantity 0 removes the level in a delta; in a snapshot such rows are left out.
    """

    side: Literal["bid", "ask"] | JsonSide
    path: Path | None = None
    price: int | str = 0
    quantity: int | str = 1
    orders: int | str | None = None
    rows: tuple[JsonRow, ...] = ()
    divisor: int = 1
    exact: bool = True

    def spec(self) -> dict[str, Any]:
        side = self.side
        return {
            "side": side if isinstance(side, str) else "row",
            "side_at": side.at if isinstance(side, JsonSide) else None,
            "bid": side.bid if isinstance(side, JsonSide) else (),
            "ask": side.ask if isinstance(side, JsonSide) else (),
            "path": None if self.path is None else _path(self.path),
            "price": self.price,
            "quantity": self.quantity,
            "orders": self.orders,
            "rows": tuple(row.spec() for row in self.rows),
            "divisor": self.divisor,
            "exact": self.exact,
        }


@dataclass(frozen=True, slots=True)
class JsonLayout:
    """One kind of message.

    Parameters
    ----------
    name : str
    when : tuple of JsonWhen
        All must hold; none: every message fits.
    key : JsonKey, optional
    fields, levels, aggressor
    at : Path, optional
        Where paths start: ``at="data"`` for messages wrapped as ``{"stream": ..., "data": {...}}``.
    each : Path, optional
        An array or map below the message: one record per element or entry. ``"*"`` as a step goes through one more:
        ``"events.*.trades"`` makes a record of each trade of each event. The first layout whose message-level
        conditions hold says which path is gone through; each element takes the first layout of that path that fits.
    kind, mode, flags
        Constants of the record. With levels, ``depth_snapshot`` and ``quote`` replace the book, ``depth_delta`` changes
        it.
    snapshot_when : JsonWhen, optional
        Where one layout carries both: a snapshot when this holds, a delta otherwise (kind ``depth_snapshot`` or
        ``depth_delta``).
    merge : bool
        Deliver the instrument's last record of the merged layouts with this message's fields laid over it; `changed`
        tells which came now.
    base : bool
        With `merge`: a full image, which forgets what came before.
    control : bool
        Hand the message to the feed.
    """

    name: str
    when: tuple[JsonWhen, ...] = ()
    key: JsonKey | None = None
    fields: tuple[JsonField, ...] = ()
    levels: tuple[JsonLevels, ...] = ()
    aggressor: JsonAggressor | None = None
    at: Path | None = None
    each: Path | None = None
    kind: Literal["quote", "trade", "depth_snapshot", "depth_delta", "status"] = "quote"
    mode: Literal["none", "ltp", "quote", "full"] = "none"
    flags: tuple[Literal["index"], ...] = ()
    snapshot_when: JsonWhen | None = None
    merge: bool = False
    base: bool = False
    control: bool = False

    def spec(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "when": tuple(when.spec() for when in self.when),
            "key": None if self.key is None else self.key.spec(),
            "fields": tuple(field.spec() for field in self.fields),
            "levels": tuple(levels.spec() for levels in self.levels),
            "aggressor": None if self.aggressor is None else self.aggressor.spec(),
            "at": None if self.at is None else _path(self.at),
            "each": None if self.each is None else _path(self.each),
            "kind": self.kind,
            "mode": self.mode,
            "flags": self.flags,
            "snapshot_when": None if self.snapshot_when is None else self.snapshot_when.spec(),
            "merge": self.merge,
            "base": self.base,
            "control": self.control,
        }


@dataclass(frozen=True, slots=True)
class JsonStream:
    """Every message of one stream of JSON or MessagePack.

    A frame is one message, or an array of messages of any kinds. Key order and white space are free, of equal keys the
    last counts, at most 64 levels may nest. A frame that is not valid JSON (or MessagePack), or has something after its
    end, is counted as truncated or malformed and delivers nothing.

    Parameters
    ----------
    name : str
    layouts : tuple of JsonLayout
        The first that fits a message is its layout; messages that fit none are control.
    encoding : "json" or "msgpack"
    positional : bool
        A frame that is an array is one message whose parts have positions, not an array of messages.
    plain : tuple of str
        Whole frames that are no JSON and mean no harm (``"pong"``): control.
    """

    name: str
    layouts: tuple[JsonLayout, ...]
    encoding: Literal["json", "msgpack"] = "json"
    positional: bool = False
    plain: tuple[str, ...] = ()

    def spec(self) -> dict[str, Any]:
        """Return the description as plain dicts and tuples: what `dragoman._core.compile_json` takes."""
        return {
            "name": self.name,
            "encoding": self.encoding,
            "positional": self.positional,
            "plain": self.plain,
            "layouts": tuple(layout.spec() for layout in self.layouts),
        }

    def compile(self) -> Layout:
        """Return the compiled layout, the same object at every call.

        Raises
        ------
        ValueError
            Names the layout and the field that cannot be, what was found and what was expected.
        """
        return _compile(self)


@cache
def _compile(stream: JsonStream) -> Layout:
    from dragoman._core import compile_json

    return compile_json(stream.spec())
