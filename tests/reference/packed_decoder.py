"""A plain-Python decoder of packed streams: what the native one must equal, written for reading, not for speed.

It interprets the description (`PackedStream`) directly, with exact rational arithmetic, and shares nothing with the
core but the description's documented meaning.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from fractions import Fraction
from math import isfinite

FORMATS = dict(zip("i8 u8 i16 u16 i32 u32 i64 u64 f32 f64".split(), "bBhHiIqQfd", strict=True))
UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
TIMES = ("ts_event", "last_trade_time")
INTEGERS = (*TIMES, "sequence", "prev_sequence")
MODES = ("none", "ltp", "quote", "full")
INT64 = range(-(2**63), 2**63)
ABSENT = object()
KEPT = object()


class TruncatedError(Exception):
    """The packet ends too early."""


class MalformedError(Exception):
    """Something in the packet cannot be."""


@dataclass
class Record:
    layout: int
    key: int | None
    kind: str
    mode: str
    source: int
    flags: set = field(default_factory=set)
    values: dict = field(default_factory=dict)
    ints: dict = field(default_factory=dict)
    changed: set = field(default_factory=set)
    levels: list = field(default_factory=list)  # (side, action, price, quantity, orders)
    instrument: int = -1

    @property
    def present(self):
        return set(self.values) | set(self.ints)

    def times(self):
        return {name: value for name, value in self.ints.items() if name in TIMES}

    def side(self, side):
        return [level[2:] for level in self.levels if level[0] == side and level[1] != "clear"]

    @property
    def bids(self):
        return self.side("bid")

    @property
    def asks(self):
        return self.side("ask")


@dataclass
class Topic:
    name: bytes
    schema: object
    divisor: int
    cells: dict = field(default_factory=dict)  # position -> bytes last told
    last: Record | None = None


class ReferenceDecoder:
    def __init__(self, stream):
        self.stream = stream
        self.order = ">" if stream.byte_order == "big" else "<"
        self.bindings = {}
        self.names = {}
        self.topics = {}
        self.merged = {}
        self.control = []
        self.errors = 0
        self.message_number = 0
        self.counters = dict.fromkeys(
            "frames packets records unknown_packets truncated malformed unbound undefined_topics rejected_values"
            " control".split(),
            0,
        )

    # --- frames ------------------------------------------------------------------------------------------------------

    def decode(self, frame):
        """Return the records of a frame; `errors` and `control` are those of this frame."""
        framing = self.stream.framing
        self.control, self.errors, self.records = [], 0, []
        self.counters["frames"] += 1
        if len(frame) < framing.min_frame:
            return []
        if self.stream.data_when is not None:
            part, values = self.stream.data_when
            if len(frame) < end_of(part) or self.part(part, frame) not in values:
                self.counters["control"] += 1
                self.control.append((0, len(frame)))
                return []
        number = self.stream.message_number
        if len(frame) < framing.header or (number is not None and len(frame) < end_of(number)):
            self.error("truncated")
            return []
        if number is not None:
            self.message_number = self.part(number, frame)
        getattr(self, framing.how)(frame, framing)
        if self.records:
            self.records[-1].flags.add("last")
        self.counters["records"] += len(self.records)
        return self.records

    def single(self, frame, framing):
        self.packet(frame, 0, len(frame), exact=True)

    def counted(self, frame, framing):
        at = framing.header
        for _ in range(self.part(framing.count, frame)):
            if framing.length is None:
                if at >= len(frame):
                    return self.error("truncated")
                used = self.packet(frame, at, len(frame), exact=False)
                if used == 0:
                    return None
                at += used
                continue
            width = width_of(framing.length)
            if len(frame) - at < width:
                return self.error("truncated")
            length = unsigned(self.raw(framing.length, frame, at))
            at += width
            if length > len(frame) - at:
                return self.error("truncated")
            self.packet(frame, at, at + length, exact=True)
            at += length
        if at != len(frame):
            self.error("malformed")
        return None

    def back_to_back(self, frame, framing):
        at = framing.header
        while at < len(frame):
            if framing.length_at is None:
                used = self.packet(frame, at, len(frame), exact=False)
                if used == 0:
                    return None
                at += used
                continue
            if len(frame) - at < end_of(framing.length_at):
                return self.error("truncated")
            length = self.part(framing.length_at, frame[at:])
            if length < end_of(framing.length_at):
                return self.error("malformed")
            if length > len(frame) - at:
                return self.error("truncated")
            self.packet(frame, at, at + length, exact=True)
            at += length
        return None

    def error(self, what):
        self.counters[what] += 1
        self.errors += 1

    # --- packets -----------------------------------------------------------------------------------------------------

    def packet(self, frame, start, end, *, exact):
        """Decode one packet and return its size; 0 where nobody can tell where the next one starts."""
        self.counters["packets"] += 1
        packet = frame[start:end]
        given_up = len(packet) if exact else 0
        if self.stream.select.code is not None and len(packet) < end_of(self.stream.select.code):
            self.error("truncated")
            return given_up
        index = self.select(packet)
        if index is None:
            self.error("unknown_packets")
            self.control.append((start, end))
            return given_up
        layout = self.stream.layouts[index]
        try:
            if layout.define or (layout.refer and layout.refer.vector):
                used = self.topic_record(layout, index, packet, start)
                return len(packet) if exact else used
            if len(packet) < layout.size and not (layout.control and exact):
                raise TruncatedError
            if not exact:
                packet = packet[: layout.size]
            if layout.control:
                self.counters["control"] += 1
                self.control.append((start, start + len(packet)))
                return len(packet)
            if len(packet) > layout.size and not layout.grows:
                raise MalformedError
            self.plain(layout, index, packet, start)
        except TruncatedError:
            self.error("truncated")
            return given_up
        except MalformedError:
            self.error("malformed")
        return len(packet)

    def select(self, packet):
        layouts = list(enumerate(self.stream.layouts))
        if self.stream.select.how == "code":
            code = self.part(self.stream.select.code, packet)
            same = [(i, item) for i, item in layouts if item.code == code]
        else:
            same = [(i, item) for i, item in layouts if item.size == len(packet) and not item.grows]
            if not same:
                grown = [(i, item) for i, item in layouts if item.grows and item.size <= len(packet)]
                same = sorted(grown, key=lambda pair: -pair[1].size)
        same.sort(key=lambda pair: (-pair[1].size if pair[1].grows else 0, pair[1].when is None))
        for i, item in same:
            if item.when is None:
                return i
            part, value = item.when
            if len(packet) >= end_of(part) and self.part(part, packet) in (value, *item.when_in):
                return i
        return None

    def plain(self, layout, index, packet, source):
        topic = None
        if layout.refer:
            key = signed(self.part(layout.refer.topic, packet))
            topic = self.topics.get(key)
            if topic is None or topic.schema is None:
                self.counters["undefined_topics"] += 1
                return
            divisor = topic.divisor if layout.scale.how == "topic" else layout.scale.divisor
            last = topic.last if layout.merge else None
        else:
            divisor = self.divisor(layout.scale, packet)
            key = self.key(layout.key, packet) if layout.key else None
            last = self.merged.get(key) if layout.merge and layout.key else None
        record = Record(index, key, layout.kind, layout.mode, source, set(layout.flags))
        own = {item.to for item in layout.fields}
        top = self.levels(record, layout.levels, own, divisor, lambda wire, at: self.raw(wire, packet, at), packet)
        self.lay_over(record, {item.to: self.value(item, packet, divisor) for item in layout.fields} | top, last)
        if topic is not None:
            record.instrument = self.names.get(topic.name, -1)
            record.flags |= set(topic.schema.flags)
        elif layout.key:
            record.instrument = self.bindings.get(key, -1)
        if layout.key or topic is not None:
            self.counters["unbound"] += record.instrument == -1
        if layout.merge:
            if topic is not None:
                topic.last = record
            elif layout.key:
                self.merged[key] = record
        self.records.append(record)

    def lay_over(self, record, read, last):
        """Give `record` the values read, and what `last` had where nothing was read or "as before" was."""
        kept = {name for name, value in read.items() if value is KEPT}
        came = {name: value for name, value in read.items() if value is not KEPT and value is not ABSENT}
        record.changed = set(came)
        if last is not None:
            spoken = set(read) - kept
            record.values = {name: value for name, value in last.values.items() if name not in spoken}
            record.ints = {name: value for name, value in last.ints.items() if name not in spoken}
            record.mode = max(record.mode, last.mode, key=MODES.index)
            record.flags.add("merged")
        for name, value in came.items():
            (record.ints if name in INTEGERS else record.values)[name] = value

    # --- topics ------------------------------------------------------------------------------------------------------

    def topic_record(self, layout, index, packet, source):
        spec = layout.define or layout.refer
        vector, name, base, name_end = spec.vector, b"", 0, 0
        if layout.define:
            head = max(end_of(spec.topic), end_of(spec.name_length), spec.name_offset)
            if not vector.after_name:
                head = max(head, end_of(vector.count))
            if len(packet) < head:
                raise TruncatedError
            name_end = spec.name_offset + self.part(spec.name_length, packet)
            if name_end > len(packet):
                raise TruncatedError
            name = packet[spec.name_offset : name_end]
            base = name_end if vector.after_name else 0
        elif len(packet) < end_of(spec.topic):
            raise TruncatedError
        if len(packet) - base < end_of(vector.count):
            raise TruncatedError
        count, width = self.part(vector.count, packet[base:]), width_of(vector.type)
        start = max(base + end_of(vector.count), name_end)
        end = start + count * width
        if end > len(packet):
            raise TruncatedError
        cells = [packet[at : at + width] for at in range(start, end, width)]
        key = signed(self.part(spec.topic, packet))
        if not layout.define:
            topic = self.topics.get(key)
            if topic is None or topic.schema is None:
                self.counters["undefined_topics"] += 1
            else:
                self.vector(layout, index, topic, key, cells, source + start, define=False)
            return end
        tail = end
        end += spec.tail_size
        if end > len(packet):
            raise TruncatedError
        for _ in range(spec.tail_texts):
            if end >= len(packet) or end + 1 + packet[end] > len(packet):
                raise TruncatedError
            end += 1 + packet[end]
        divisor = layout.scale.divisor
        if spec.precision or spec.multiplier:
            try:
                divisor = self.product(spec.precision, spec.multiplier, packet[tail:])
            except MalformedError:
                self.error("malformed")  # the record's end is known all the same
                return end
        schemas = sorted(self.stream.schemas, key=lambda schema: -len(schema.prefix))
        schema = next((item for item in schemas if name.startswith(item.prefix.encode())), None)
        topic = self.topics[key] = Topic(name, schema, divisor)
        if schema is None:
            self.counters["undefined_topics"] += 1
        else:
            self.vector(layout, index, topic, key, cells, source + start, define=True)
        return end

    def vector(self, layout, index, topic, key, cells, source, *, define):
        schema, vector = topic.schema, (layout.define or layout.refer).vector
        width = width_of(vector.type)
        sentinels = {item.offset // width: item.unchanged for item in schema.fields if item.unchanged is not None}
        for table in schema.levels:
            if table.unchanged is not None:
                for column in filter(None, (table.price, table.quantity, table.orders)):
                    for row in range(table.rows):
                        sentinels[(column.offset + row * (column.stride or table.stride)) // width] = table.unchanged
        told = {
            at: cell
            for at, cell in enumerate(cells)
            if self.raw(vector.type, cell, 0) not in (sentinels.get(at), vector.unchanged)
        }
        last = topic.last if layout.merge and not define else None
        keeps = layout.merge or define
        if keeps:
            topic.cells |= told
        known = topic.cells if keeps else told

        def level_cell(wire, at):
            cell = known.get(at // width)
            return None if cell is None else self.raw(wire, cell, 0)

        record = Record(index, key, schema.kind, schema.mode, source, set(schema.flags))
        record.instrument = self.names.get(topic.name, -1)
        read = {
            item.to: self.treat(item, self.raw(item.type, told[item.offset // width], 0), topic.divisor)
            for item in schema.fields
            if item.offset // width in told
        }
        own = {item.to for item in schema.fields}
        top = self.levels(record, schema.levels, own, topic.divisor, level_cell, None)
        self.lay_over(record, read | top, last)
        record.changed -= {slot for slot in top if last and last.values.get(slot) == record.values.get(slot)}
        self.counters["unbound"] += record.instrument == -1
        if keeps:
            topic.last = record
        self.records.append(record)

    # --- levels ------------------------------------------------------------------------------------------------------

    def levels(self, record, tables, own, divisor, cell, packet):
        """Read the depth tables, all bids, then all asks; `cell` gives a wire value, None where it is not known.

        Returns the top of book for the slots that no field sets.
        """
        if not tables:
            return {}
        record.flags.add("depth")
        told = {side for table in tables for side in sides_of(table)}
        if record.kind == "depth_snapshot" and len(told) == 1:
            # One side is told: it is replaced, the other stands.
            record.levels.append((*told, "clear", 0.0, 0.0, 0))
        elif record.kind != "depth_delta":
            record.flags.add("snapshot")
        counts = [self.rows(table, packet) for table in tables]
        for side in ("bid", "ask"):
            for table, rows in zip(tables, counts, strict=True):
                if side in sides_of(table):
                    self.table(record, table, rows, side, divisor, cell)
        top = {}
        for side in told if record.kind != "depth_delta" else ():
            price, quantity, _ = next(iter(record.side(side)), (ABSENT, ABSENT, 0))
            top |= {f"{side}_price": price, f"{side}_quantity": quantity}
        return {slot: value for slot, value in top.items() if slot not in own}

    def rows(self, table, packet):
        if isinstance(table.rows, int):
            return table.rows
        fit = []
        for column in columns_of(table):
            stride = column.stride or table.stride
            room = len(packet) - column.offset - width_of(column.type)
            fit.append(0 if room < 0 else room // stride + 1)
        if table.rows == "rest":
            return min(fit)
        promised = self.part(table.rows, packet)
        if promised > table.max_rows or promised > min(fit):
            raise MalformedError
        return promised

    def table(self, record, table, rows, side, divisor, cell):
        def at(column, row):
            return cell(column.type, column.offset + row * (column.stride or table.stride))

        for row in range(rows):
            if not isinstance(table.side, str):
                flag = cell(table.side.type, table.side.offset + row * table.stride)
                if flag not in (table.side.bid, table.side.ask):
                    self.counters["rejected_values"] += side == "bid"
                    continue
                if flag != getattr(table.side, side):
                    continue
            mantissa, quantity = at(table.price, row), at(table.quantity, row)
            if mantissa is None or quantity is None:
                continue
            orders = (at(table.orders, row) if table.orders else 0) or 0
            if not 0 <= signed(orders) <= 0xFFFF_FFFF:
                self.counters["rejected_values"] += 1
                orders = 0
            price = scaled(mantissa, divisor if table.scaled else table.divisor, table.digits)
            if price is None or not isfinite(quantity):
                self.counters["rejected_values"] += 1
                continue
            if table.empty == "zero" and price == 0 and quantity == 0:
                continue
            action = "add" if record.kind != "depth_delta" else "remove" if quantity == 0 else "update"
            record.levels.append((side, action, price, float(quantity) + 0.0, orders))

    # --- values ------------------------------------------------------------------------------------------------------

    def raw(self, wire, data, at):
        """Return the wire value as Python has it."""
        return struct.unpack_from(self.order + FORMATS[wire], data, at)[0]

    def part(self, part, data):
        return ((unsigned(self.raw(part.type, data, part.offset)) & part.mask) << part.shift) & (2**64 - 1)

    def key(self, key, packet):
        bits = 0
        for part in key.parts:
            if part.type.startswith("digits"):
                width = width_of(part.type)
                text = packet[part.offset : part.offset + width].split(b"\0")[0].strip(b" ")
                if not text or len(text) > 18 or not all(48 <= byte <= 57 for byte in text):
                    raise MalformedError
                bits |= (int(text) & part.mask) << part.shift
            else:
                bits |= self.part(part, packet)
        return signed(bits & (2**64 - 1))

    def divisor(self, scale, packet):
        if scale.how == "by_part":
            return dict(scale.table).get(self.part(scale.part, packet) & 0xFF, scale.divisor)
        if scale.how == "from_fields":
            return self.product(scale.precision, scale.multiplier, packet)
        return scale.divisor

    def product(self, precision, multiplier, data):
        digits = self.part(precision, data) if precision else 0
        times = self.part(multiplier, data) if multiplier else 1
        if digits > 18 or times == 0:
            raise MalformedError
        divisor = times * 10**digits
        if divisor >= 2**62 or int(float(divisor)) != divisor:
            raise MalformedError
        return divisor

    def value(self, item, packet, divisor):
        raw = self.raw(item.type, packet, item.offset)
        return KEPT if item.unchanged is not None and raw == item.unchanged else self.treat(item, raw, divisor)

    def treat(self, item, raw, divisor):
        """Turn a field's wire value into the record's, or ABSENT."""
        if item.absent is not None and raw == item.absent:
            return ABSENT
        if item.to in INTEGERS:
            value = raw
            if item.to in TIMES and raw in INT64:
                value = raw * UNITS[item.unit]
                value = value + item.shift_s * 10**9 if value in INT64 else None
            if value is None or value not in INT64 or value == INT64[0]:
                self.counters["rejected_values"] += 1
                return ABSENT
            return value
        number = scaled(raw, divisor if item.scaled else item.divisor, item.digits)
        if number is None:
            self.counters["rejected_values"] += 1
            return ABSENT
        return number


def scaled(raw, divisor, digits):
    """Return the float64 nearest to raw / divisor, or to `raw` written with `digits` digits; None if not finite."""
    if isinstance(raw, int):
        return float(Fraction(raw, divisor))
    if not isfinite(raw):
        return None
    if digits is not None:
        return float(Fraction(round(Fraction(raw) * 10**digits), 10**digits))
    return raw / divisor + 0.0


def width_of(wire):
    return int(wire[7:-1]) if wire.startswith("digits") else struct.calcsize("=" + FORMATS[wire])


def end_of(part):
    return part.offset + width_of(part.type)


def sides_of(table):
    return (table.side,) if isinstance(table.side, str) else ("bid", "ask")


def columns_of(table):
    columns = [table.price, table.quantity]
    if table.orders:
        columns.append(table.orders)
    if not isinstance(table.side, str):
        columns.append(type(table.price)(table.side.type, table.side.offset))
    return columns


def unsigned(value):
    return value & (2**64 - 1)


def signed(value):
    return value - 2**64 if value >= 2**63 else value
