"""The other direction of a packed layout: values into the bytes a broker would send.

An emulator that encodes from the very layouts its adapter decodes with states each offset once. Where the two could
agree on a mistake, captured frames pin both (tests/wire).

Example
-------
>>> encoder = StreamEncoder(stream)
>>> encoder.frame([encoder.packet("quote", {"key": 408065, "last_price": Decimal("1573.15"), "volume": 1175986})])
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from dragoman.emulator.venue.types import MarketView
from dragoman.plugin.layout import Field, Levels, PackedLayout, PackedStream, Part, Scale

_CODES = {"i8": "b", "u8": "B", "i16": "h", "u16": "H", "i32": "i", "u32": "I", "i64": "q", "u64": "Q"}
_FLOATS = {"f32": "f", "f64": "d"}
_TIMES = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}

Level = tuple[Decimal | float | int, Decimal | float | int, int]
"""Price, quantity, orders."""


class StreamEncoder:
    """Writes the packets and frames of one `PackedStream`.

    Layouts that define or refer to topics, carry their own precision or grow with what they hold are refused: an
    emulator of such a broker needs an encoder that keeps the topic table.
    """

    def __init__(self, stream: PackedStream) -> None:
        self.stream = stream
        self._order = ">" if stream.byte_order == "big" else "<"
        self._layouts = {layout.name: layout for layout in stream.layouts}

    def packet(self, name: str, values: Mapping[str, Any]) -> bytes:
        """Return one packet.

        Parameters
        ----------
        name : str
            The layout's name.
        values : mapping
            ``key`` (int); record slots by name (prices and quantities, exact or float; times in ns UTC); ``bids`` and
            ``asks`` as levels, best first. What is missing or None is written as the field's `absent` value, else 0.

        Raises
        ------
        ValueError
            If the layout is unknown or cannot be encoded, or a value does not fit its field.
        """
        layout = self._layouts.get(name)
        if layout is None:
            raise ValueError(f"{self.stream.name}: no layout {name!r}, expected one of {', '.join(self._layouts)}")
        if layout.define or layout.refer or layout.grows or layout.control or layout.size <= 0:
            raise ValueError(f"{self.stream.name}.{name}: only layouts of a fixed size can be encoded")
        out = bytearray(layout.size)
        if layout.key is not None:
            self._put_key(out, layout, int(values["key"]))
        if layout.code is not None and self.stream.select.code is not None:
            self._put_part(out, layout, "code", self.stream.select.code, layout.code)
        if layout.when is not None:
            self._put_part(out, layout, "when", *layout.when)
        divisor = self._divisor(layout.scale, out, name)
        for item in layout.fields:
            self._put(out, layout, item.to, item.type, item.offset, _raw_field(item, values.get(item.to), divisor))
        for table in layout.levels:
            self._put_levels(out, layout, table, values, divisor)
        return bytes(out)

    def frame(self, packets: Sequence[bytes]) -> bytes:
        """Return the message that carries `packets`.

        Raises
        ------
        ValueError
            If the framing holds one packet only and there are more, or none.
        """
        framing = self.stream.framing
        if framing.how == "single":
            if len(packets) != 1:
                raise ValueError(f"{self.stream.name}: a frame is one packet, found {len(packets)}")
            return packets[0]
        head = bytearray(framing.header)
        if framing.count is not None:
            struct.pack_into(self._order + _CODES[framing.count.type], head, framing.count.offset, len(packets))
        if framing.how == "back_to_back" or framing.length is None:
            return bytes(head) + b"".join(self._measured(packet) for packet in packets)
        length = struct.Struct(self._order + _CODES[framing.length])
        return bytes(head) + b"".join(length.pack(len(packet)) + packet for packet in packets)

    def _measured(self, packet: bytes) -> bytes:
        part = self.stream.framing.length_at
        if part is None:
            return packet
        out = bytearray(packet)
        struct.pack_into(self._order + _CODES[part.type], out, part.offset, len(packet))
        return bytes(out)

    def _divisor(self, scale: Scale, out: bytearray, name: str) -> int:
        if scale.how == "fixed":
            return scale.divisor
        if scale.how != "by_part" or scale.part is None:
            raise ValueError(f"{self.stream.name}.{name}: scale {scale.how!r} cannot be encoded")
        part = scale.part
        (value,) = struct.unpack_from(self._order + _CODES[part.type], out, part.offset)
        return dict(scale.table).get((value & part.mask) & 0xFF, scale.divisor)

    def _put_key(self, out: bytearray, layout: PackedLayout, key: int) -> None:
        assert layout.key is not None
        left = key
        for part in layout.key.parts:
            fits = part.mask & _widest(part.type)
            self._put(out, layout, "key", part.type, part.offset, (key >> part.shift) & fits)
            left &= ~(fits << part.shift)
        if left:
            raise ValueError(f"{self.stream.name}.{layout.name}.key: {key} has bits that no part of the key holds")

    def _put_part(self, out: bytearray, layout: PackedLayout, what: str, part: Part, value: int) -> None:
        self._put(out, layout, what, part.type, part.offset, (value >> part.shift) & part.mask)

    def _put(self, out: bytearray, layout: PackedLayout, what: str, wire: str, offset: int, value: int | float) -> None:
        try:
            if wire in _FLOATS:
                struct.pack_into(self._order + _FLOATS[wire], out, offset, value)
            elif wire in _CODES:
                struct.pack_into(self._order + _CODES[wire], out, offset, int(value))
            else:  # digits[n]
                size = int(wire.removeprefix("digits[").removesuffix("]"))
                out[offset : offset + size] = str(int(value)).encode().ljust(size, b"\0")
        except (struct.error, OverflowError) as error:
            place = f"{self.stream.name}.{layout.name}.{what}"
            raise ValueError(f"{place}: {value} does not fit {wire} at offset {offset}") from error

    def _put_levels(
        self, out: bytearray, layout: PackedLayout, table: Levels, values: Mapping[str, Any], divisor: int
    ) -> None:
        count = table.rows if isinstance(table.side, str) and isinstance(table.rows, int) else None
        if count is None:
            raise ValueError(f"{self.stream.name}.{layout.name}: only depth tables of fixed rows and side are encoded")
        rows: Iterable[Level] = values.get(f"{table.side}s") or ()
        scale = divisor if table.scaled else table.divisor
        for row, (price, quantity, orders) in zip(range(count), rows, strict=False):
            cells = [
                (table.price, _mantissa(price, scale, table.price.type)),
                (table.quantity, _mantissa(quantity, 1, table.quantity.type)),
            ]
            if table.orders is not None:
                cells.append((table.orders, orders))
            for column, value in cells:
                offset = column.offset + row * (column.stride or table.stride)
                self._put(out, layout, f"{table.side}[{row}]", column.type, offset, value)


def market_values(market: MarketView, unit: Decimal = Decimal(1), *, most: int = 2**32 - 1) -> dict[str, Any]:
    """Return a market under the names of the record's slots, as `StreamEncoder.packet` takes them.

    Parameters
    ----------
    unit : Decimal
        Venue units in one of what the broker's wire counts (`ListingName.unit`).
    most : int
        What the widest count of the wire holds; larger totals stay there.
    """

    def count(value: Decimal | int) -> Decimal:
        return min(value / unit, Decimal(most))

    return {
        "last_price": market.last_price,
        "open": market.open,
        "high": market.high,
        "low": market.low,
        "previous_close": market.close,
        "ts_event": market.ts,
        "last_trade_time": market.last_trade_ts,
        "average_price": market.average_price,
        "last_quantity": count(market.last_quantity),
        "volume": count(market.volume),
        "total_buy_quantity": count(market.total_buy_quantity),
        "total_sell_quantity": count(market.total_sell_quantity),
        "oi": int(count(market.oi)),
        "oi_high": int(count(market.oi_high)),
        "oi_low": int(count(market.oi_low)),
        "bids": [(price, quantity / unit, orders) for price, quantity, orders in market.bids],
        "asks": [(price, quantity / unit, orders) for price, quantity, orders in market.asks],
    }


def _widest(wire: str) -> int:
    """Return the bits a wire type holds; ASCII digits hold 63, as keys do."""
    return (1 << (struct.calcsize("=" + _CODES[wire]) * 8)) - 1 if wire in _CODES else 2**63 - 1


def _raw_field(item: Field, value: Any, divisor: int) -> int | float:
    if value is None:
        return item.absent if item.absent is not None else 0
    if item.unit is not None:
        return (int(value) - item.shift_s * 1_000_000_000) // _TIMES[item.unit]
    return _mantissa(value, divisor if item.scaled else item.divisor, item.type)


def _mantissa(value: Decimal | float | int, divisor: int, wire: str) -> int | float:
    if wire in _FLOATS:
        return float(value) * divisor
    # By way of the shortest decimal, so that a float64 near 1573.15 is written as the 1573.15 it stands for.
    exact = value if isinstance(value, Decimal) else Decimal(str(value))
    return round(exact * divisor)
