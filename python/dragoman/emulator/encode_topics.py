"""The other direction of topic layouts: records that define a topic, and those that refer to it by its id.

The vectors' positions, the scale's place and the heads come from the very layouts an adapter decodes with. Which id a
topic has, and what its last vector was, is the socket's to remember.

Example
-------
>>> encoder = TopicEncoder(stream)                                                               # doctest: +SKIP
>>> vector = encoder.vector(b"sf|nse_cm|3045", {"last_price": Decimal("1068.45")}, 100)          # doctest: +SKIP
>>> frame = encoder.define("snapshot", 5, b"sf|nse_cm|3045", vector, precision=2, texts=(b"nse_cm",))  # doctest: +SKIP
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from dragoman.plugin.layout import Field, PackedLayout, PackedStream, Part, Schema

Vector = tuple[int, ...]
_CODES: Final = {"u8": "B", "u16": "H", "u32": "I", "i32": "i", "u64": "Q"}
_TIMES: Final = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


class TopicEncoder:
    """Writes the records of one topic stream whose values are 32-bit integers with a hole for what is not told."""

    def __init__(self, stream: PackedStream) -> None:
        self._stream = stream
        self._order = ">" if stream.byte_order == "big" else "<"
        self._layouts = {layout.name: layout for layout in stream.layouts}
        self.hole = next(one.define.vector.unchanged or 0 for one in stream.layouts if one.define is not None)

    def schema(self, topic: bytes) -> Schema:
        """Return the schema of a topic's name. Raises LookupError where no prefix fits."""
        return next(one for one in self._stream.schemas if topic.startswith(one.prefix.encode()))

    def vector(self, topic: bytes, values: Mapping[str, Any], divisor: int) -> Vector:
        """Return a topic's values by position.

        Parameters
        ----------
        values : mapping
            As `StreamEncoder.packet` takes them; what is missing or None is a hole.
        divisor : int
            The topic's scale.

        Raises
        ------
        ValueError
            Where a value does not fit 32 bits.
        """
        found: dict[int, int] = {}
        schema = self.schema(topic)
        for item in schema.fields:
            value = values.get(item.to)
            if value is not None:
                found[item.offset // 4] = _raw(item, value, divisor)
        for table in schema.levels:
            rows = list(values.get(f"{table.side}s") or ())
            for row in range(int(str(table.rows))):
                cells = rows[row] if row < len(rows) else (0, 0, 0)
                for column, value, scale in zip(
                    (table.price, table.quantity, table.orders), cells, (divisor, 1, 1), strict=True
                ):
                    if column is not None:
                        at = column.offset + row * (column.stride or table.stride)
                        found[at // 4] = round(Decimal(value) * scale)
        vector = tuple(found.get(at, self.hole) for at in range(max(found, default=-1) + 1))
        if any(not -(2**31) <= value < 2**32 for value in vector):
            raise ValueError(f"{self._stream.name}.{schema.name}: {vector} does not fit 32 bits")
        return tuple(value - 2**32 if value >= 2**31 else value for value in vector)

    def changes(self, before: Vector, after: Vector) -> Vector:
        """Return `after` with holes where it is as `before`."""
        return tuple(self.hole if at < len(before) and before[at] == value else value for at, value in enumerate(after))

    def define(
        self, name: str, topic_id: int, topic: bytes, vector: Vector, *, precision: int, texts: Sequence[bytes] = ()
    ) -> bytes:
        """Return the record that binds an id to a topic, with a multiplier of 1."""
        layout = self._layouts[name]
        how = layout.define
        assert how is not None
        head = self._head(layout, how.topic, topic_id, how.name_offset)
        self._put(head, how.name_length, len(topic))
        tail = bytearray(how.tail_size)
        for part, value in ((how.multiplier, 1), (how.precision, precision)):
            if part is not None:
                self._put(tail, part, value)
        written = b"".join(bytes((len(text),)) + text for text in texts[: how.tail_texts])
        return bytes(head) + topic + self._vector(how.vector.count, vector) + bytes(tail) + written

    def update(self, name: str, topic_id: int, vector: Vector) -> bytes:
        """Return a record that refers to a topic and tells a vector."""
        layout = self._layouts[name]
        assert layout.refer is not None
        assert layout.refer.vector is not None
        count = layout.refer.vector.count
        head = self._head(layout, layout.refer.topic, topic_id, count.offset)
        return bytes(head) + self._vector(Part(count.type, 0), vector)

    def lite(self, name: str, topic_id: int, values: Mapping[str, Any], divisor: int) -> bytes:
        """Return a record of a fixed size that refers to a topic."""
        layout = self._layouts[name]
        assert layout.refer is not None
        out = self._head(layout, layout.refer.topic, topic_id, layout.size)
        for item in layout.fields:
            struct.pack_into(self._order + _CODES[item.type], out, item.offset, _raw(item, values[item.to], divisor))
        return bytes(out)

    def _head(self, layout: PackedLayout, topic: Part, topic_id: int, size: int) -> bytearray:
        out = bytearray(size)
        code = self._stream.select.code
        if code is not None and layout.code is not None:
            self._put(out, code, layout.code)
        self._put(out, topic, topic_id)
        return out

    def _put(self, out: bytearray, part: Part, value: int) -> None:
        struct.pack_into(self._order + _CODES[part.type], out, part.offset, value)

    def _vector(self, count: Part, vector: Vector) -> bytes:
        head = struct.pack(self._order + _CODES[count.type], len(vector))
        return head + struct.pack(f"{self._order}{len(vector)}i", *vector)


def _raw(item: Field, value: Any, divisor: int) -> int:
    if item.unit is not None:
        return int(value) // _TIMES[item.unit]
    return round(Decimal(str(value)) * (divisor if item.scaled else item.divisor))
