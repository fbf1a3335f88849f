"""Packed messages: the framing, then each packet field by field."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any, Final

from dragoman.plugin import Field, Levels, PackedLayout, PackedStream
from dragoman.plugin.layout import Part, Scale, Schema, SideFlag
from dragoman.testing.explain.notes import Note, uncovered

_FORMATS: Final = dict(zip("i8 u8 i16 u16 i32 u32 i64 u64 f32 f64".split(), "bBhHiIqQfd", strict=True))
_UNITS: Final = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def explain_packed(stream: PackedStream, data: bytes) -> list[Note]:
    """Explain one frame."""
    return _Packed(stream, data).run()


def moment(ns: int) -> str:
    """Return ns since the epoch as ISO 8601 in UTC; the number where no calendar reaches it."""
    try:
        return (_EPOCH + timedelta(microseconds=ns // 1000)).isoformat().replace("+00:00", "Z")
    except OverflowError:
        return f"{ns} ns"


class _Packed:
    def __init__(self, stream: PackedStream, data: bytes) -> None:
        self.stream = stream
        self.data = data
        self.order = ">" if stream.byte_order == "big" else "<"
        self.topics: dict[int, tuple[Schema, int]] = {}

    def run(self) -> list[Note]:
        """Return notes on the whole frame."""
        stream, data = self.stream, self.data
        if len(data) < stream.framing.min_frame:
            return [Note(0, len(data), "heartbeat", data.hex())]
        if stream.data_when is not None:
            part, values = stream.data_when
            if not self._fits(part, 0, len(data)) or self._part(part, 0) not in values:
                return [Note(0, len(data), "control, whole: data_when does not hold", data.hex())]
        notes = list(self._head())
        for start, end, name in self._packets(notes):
            notes += self._packet(start, end) if name == "" else [Note(start, end, name, data[start:end].hex())]
        return sorted([*notes, *uncovered(data, notes)], key=lambda note: (note.start, note.end))

    def _head(self) -> Iterator[Note]:
        stream = self.stream
        named = (("count of packets", stream.framing.count), ("message number", stream.message_number))
        for name, part in named:
            if part is not None and self._fits(part, 0, len(self.data)):
                yield self._note(part, 0, name)

    def _packets(self, notes: list[Note]) -> Iterator[tuple[int, int, str]]:
        """Yield start and end of each packet; a third word says what is wrong with the rest."""
        framing, size = self.stream.framing, len(self.data)
        at = framing.header
        if framing.how == "single":
            yield 0, size, ""
            return
        left = self._part(framing.count, 0) if framing.count is not None else size
        while left > 0 and at < size:
            left -= 1
            if framing.length is not None:
                width = _width(framing.length)
                if at + width > size:
                    yield at, size, "cut off within a length"
                    return
                length = int(self._raw(framing.length, at))
                notes.append(Note(at, at + width, "length of the packet", str(length)))
                at += width
            elif framing.length_at is not None:
                if not self._fits(framing.length_at, at, size):
                    yield at, size, "cut off before its length"
                    return
                length = self._part(framing.length_at, at)
                notes.append(self._note(framing.length_at, at, "length of the packet"))
            else:
                length = self._own_size(at)
            if length <= 0 or at + length > size:
                yield at, size, f"cut off: {size - at} bytes are left of a packet of {length}"
                return
            yield at, at + length, ""
            at += length

    def _own_size(self, at: int) -> int:
        """Return the size of a record that says it itself, by its layout."""
        layout = self._select(at, len(self.data), exact=False)
        if layout is None:
            return len(self.data) - at
        if layout.define is None and (layout.refer is None or layout.refer.vector is None):
            return layout.size
        return max((note.end for note in self._topic(layout, at, len(self.data))), default=at) - at

    # -- packets -----------------------------------------------------------------------------------------------------

    def _select(self, start: int, end: int, *, exact: bool) -> PackedLayout | None:
        stream, size = self.stream, end - start
        code = stream.select.code
        if code is not None:
            if not self._fits(code, start, end):
                return None
            value = self._part(code, start)
            same = [layout for layout in stream.layouts if layout.code == value]
        else:
            same = [layout for layout in stream.layouts if layout.size == size and not layout.grows]
            grown = sorted((one for one in stream.layouts if one.grows and one.size <= size), key=lambda one: -one.size)
            same = same or grown
        for layout in sorted(same, key=lambda one: one.when is None):
            if layout.when is None:
                return layout
            part, wanted = layout.when
            if self._fits(part, start, end) and self._part(part, start) in (wanted, *layout.when_in):
                return layout
        return None

    def _packet(self, start: int, end: int) -> Iterator[Note]:
        layout = self._select(start, end, exact=True)
        if layout is None:
            yield Note(start, end, "a packet of a type no layout has", self.data[start:end].hex())
            return
        found = [self._named(layout, note) for note in self._notes(layout, start, end)]
        yield from found
        yield from uncovered(self.data, found, layout.name, start, end)

    @staticmethod
    def _named(layout: PackedLayout, note: Note) -> Note:
        return Note(note.start, note.end, note.name, note.raw, note.value, layout.name)

    def _notes(self, layout: PackedLayout, start: int, end: int) -> Iterator[Note]:
        if layout.control:
            yield Note(start, end, "control, for the feed", self.data[start:end].hex())
            return
        if self.stream.select.code is not None:
            yield self._note(self.stream.select.code, start, "type of the packet")
        if layout.when is not None:
            yield self._note(layout.when[0], start, "what tells it from others of its size")
        if layout.define is not None or (layout.refer is not None and layout.refer.vector is not None):
            yield from self._topic(layout, start, end)
            return
        divisor = self._divisor(layout.scale, start)
        if layout.refer is not None:
            yield self._note(layout.refer.topic, start, "topic")
            divisor = self.topics.get(self._part(layout.refer.topic, start), (None, divisor))[1]
        for part in layout.key.parts if layout.key is not None else ():
            yield self._note(part, start, "key")
        for scaling in (layout.scale.part, layout.scale.precision, layout.scale.multiplier):
            if scaling is not None:
                yield self._note(scaling, start, "scale")
        for field in layout.fields:
            yield from self._field(field, start, end, divisor)
        for table in layout.levels:
            yield from self._levels(table, start, end, divisor)

    def _field(self, field: Field, base: int, end: int, divisor: int, name: str = "") -> Iterator[Note]:
        start = base + field.offset
        stop = start + _width(field.type)
        if stop > end:
            return
        raw = self._raw(field.type, start)
        yield Note(start, stop, name or field.to, str(raw), _value(field, raw, divisor))

    def _levels(self, table: Levels, base: int, end: int, divisor: int) -> Iterator[Note]:
        if isinstance(table.rows, Part):
            yield self._note(table.rows, base, f"rows of the {_side(table)} side")
            rows = self._part(table.rows, base)
        else:
            rows = table.max_rows if table.rows == "rest" else table.rows
        columns = (("price", table.price), ("quantity", table.quantity), ("orders", table.orders))
        for row in range(min(rows, table.max_rows)):
            for name, column in columns:
                if column is None:
                    continue
                start = base + column.offset + row * (column.stride or table.stride)
                stop = start + _width(column.type)
                if stop > end:
                    return
                raw = self._raw(column.type, start)
                by = (divisor if table.scaled else table.divisor) if name == "price" else 1
                value = _scaled(raw, by, table.digits if name == "price" else None)
                yield Note(start, stop, f"{_side(table)}[{row}].{name}", str(raw), value)

    # -- topics ------------------------------------------------------------------------------------------------------

    def _topic(self, layout: PackedLayout, start: int, end: int) -> Iterator[Note]:
        spec = layout.define or layout.refer
        assert spec is not None
        vector = spec.vector
        assert vector is not None
        yield self._note(spec.topic, start, "topic")
        topic, base, after, name = self._part(spec.topic, start), start, start, b""
        if layout.define is not None:
            length = self._part(layout.define.name_length, start)
            yield self._note(layout.define.name_length, start, "length of the name")
            first = start + layout.define.name_offset
            after = first + length
            name = self.data[first:after]
            yield Note(first, after, "name of the topic", repr(name.decode("utf-8", "replace")))
            base = after if vector.after_name else start
        if not self._fits(vector.count, base, end):
            return
        count, width = self._part(vector.count, base), _width(vector.type)
        yield self._note(vector.count, base, "count of values")
        at = max(base + _end(vector.count), after)
        tail = at + count * width
        schema, divisor = self.topics.get(topic, (None, 1))
        if layout.define is not None:
            fitting = sorted(self.stream.schemas, key=lambda one: -len(one.prefix))
            schema = next((one for one in fitting if name.startswith(one.prefix.encode())), None)
            divisor = self._product(layout.define.precision, layout.define.multiplier, tail)
            if schema is not None:
                self.topics[topic] = (schema, divisor)
        yield from self._vector(schema, divisor, at, min(tail, end), width, vector.type)
        if layout.define is not None:
            yield from self._tail(layout, tail, end)

    def _vector(self, schema: Schema | None, divisor: int, at: int, end: int, width: int, wire: str) -> Iterator[Note]:
        if schema is None:
            for number, start in enumerate(range(at, end, width)):
                yield Note(
                    start, start + width, f"value {number} of a topic nobody defined", str(self._raw(wire, start))
                )
            return
        found = [note for field in schema.fields for note in self._field(field, at, end, divisor)]
        found += [note for table in schema.levels for note in self._levels(table, at, end, divisor)]
        yield from found

    def _tail(self, layout: PackedLayout, tail: int, end: int) -> Iterator[Note]:
        assert layout.define is not None
        for name, part in (("precision", layout.define.precision), ("multiplier", layout.define.multiplier)):
            if part is not None and self._fits(part, tail, end):
                yield self._note(part, tail, f"scale: {name}")
        at = tail + layout.define.tail_size
        for _ in range(layout.define.tail_texts):
            if at >= end:
                return
            stop = at + 1 + self.data[at]
            yield Note(at, at + 1, "length of a text", str(self.data[at]))
            yield Note(at + 1, min(stop, end), "text", repr(self.data[at + 1 : stop].decode("utf-8", "replace")))
            at = stop

    # -- numbers -----------------------------------------------------------------------------------------------------

    def _fits(self, part: Part, base: int, end: int) -> bool:
        return base + _end(part) <= end

    def _raw(self, wire: str, at: int) -> Any:
        if wire.startswith("digits"):
            return self.data[at : at + _width(wire)].split(b"\0")[0].decode("ascii", "replace").strip()
        return struct.unpack_from(self.order + _FORMATS[wire], self.data, at)[0]

    def _part(self, part: Part, base: int) -> int:
        raw = self._raw(part.type, base + part.offset)
        number = int(raw) if not isinstance(raw, str) or raw.isdigit() else 0
        return (number & part.mask) << part.shift

    def _note(self, part: Part, base: int, name: str) -> Note:
        start = base + part.offset
        value = self._part(part, base) if part.shift or part.mask != 0xFFFF_FFFF_FFFF_FFFF else None
        return Note(start, start + _width(part.type), name, str(self._raw(part.type, start)), value)

    def _divisor(self, scale: Scale, base: int) -> int:
        if scale.how == "by_part" and scale.part is not None:
            return dict(scale.table).get(self._part(scale.part, base) & 0xFF, scale.divisor)
        if scale.how == "from_fields":
            return self._product(scale.precision, scale.multiplier, base)
        return scale.divisor

    def _product(self, precision: Part | None, multiplier: Part | None, base: int) -> int:
        found = 1
        if precision is not None and self._fits(precision, base, len(self.data)):
            found = 10 ** (self._part(precision, base) & 0x1F)
        if multiplier is not None and self._fits(multiplier, base, len(self.data)):
            found *= self._part(multiplier, base) or 1
        return found


def _width(wire: str) -> int:
    return int(wire[7:-1]) if wire.startswith("digits") else struct.calcsize(_FORMATS[wire])


def _end(part: Part) -> int:
    return part.offset + _width(part.type)


def _side(table: Levels) -> str:
    return f"side by {table.side.type}" if isinstance(table.side, SideFlag) else table.side


def _value(field: Field, raw: Any, divisor: int) -> Any:
    if raw in (field.absent, field.unchanged) and not isinstance(raw, str):
        return "absent" if raw == field.absent else "as before"
    if field.unit is not None and not isinstance(raw, str):
        return moment(int(Fraction(raw) * _UNITS[field.unit]) + field.shift_s * 10**9)
    return _scaled(raw, divisor if field.scaled else field.divisor, field.digits)


def _scaled(raw: Any, divisor: int, digits: int | None) -> Any:
    if isinstance(raw, str) or (isinstance(raw, float) and not math.isfinite(raw)):
        return raw
    if digits is not None:
        return round(float(raw), digits)
    return raw if divisor == 1 else float(Fraction(raw) / divisor)
