"""Decoding of a `ProtoStream` in plain Python: slow, obvious, and independent of the native engine."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from fractions import Fraction

from dragoman._core import FIELDS

INTEGERS = ("ts_event", "last_trade_time", "sequence", "prev_sequence")
FIXED = {"double": ("<d", 1), "fixed64": ("<Q", 1), "sfixed64": ("<q", 1)}
FIXED |= {"float": ("<f", 5), "fixed32": ("<I", 5), "sfixed32": ("<i", 5)}
UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


class BrokenMessage(Exception):
    pass


@dataclass
class Item:
    number: int
    wire: int
    value: int | bytes
    begin: int
    end: int


def varint(data, at):
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise BrokenMessage
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            if value >= 2**64:
                break
            return value, at
    raise BrokenMessage


def items(data, base=0):
    """Split a message into its fields; `begin` and `end` count from the start of the frame."""
    found, at = [], 0
    while at < len(data):
        tag, at = varint(data, at)
        if tag < 8 or tag >= 2**32:
            raise BrokenMessage
        begin = at
        if tag & 7 == 0:
            value, at = varint(data, at)
        elif tag & 7 in (1, 2, 5):
            size, begin = varint(data, at) if tag & 7 == 2 else ({1: 8, 5: 4}[tag & 7], at)
            at = begin + size
            if at > len(data):
                raise BrokenMessage
            value = data[begin:at]
        else:
            raise BrokenMessage
        found.append(Item(tag >> 3, tag & 7, value, base + begin, base + at))
    return found


def wire_of(kind):
    return FIXED[kind][1] if kind in FIXED else 2 if kind in ("string", "bytes", "decimal") else 0


def number_of(kind, raw):
    """The number a field holds; None for text that is none."""
    if kind in FIXED:
        return struct.unpack(FIXED[kind][0], raw)[0]
    if kind == "decimal":
        text = raw.decode("latin-1")
        body = text.removeprefix("-")
        whole, _, rest = body.partition(".")
        if not body.isascii() or not (whole + rest).isdigit() or len(rest) > 22:
            return None
        return float(text) + 0.0 if len((whole + rest).lstrip("0")) <= 15 else None
    low = raw & 0xFFFF_FFFF
    if kind in ("int32", "enum"):
        return low - 2**32 if low >= 2**31 else low
    if kind == "uint32":
        return low
    if kind == "bool":
        return int(raw != 0)
    if kind == "sint32":
        return low >> 1 if low % 2 == 0 else -(low >> 1) - 1
    if kind == "sint64":
        return raw >> 1 if raw % 2 == 0 else -(raw >> 1) - 1
    return raw - 2**64 if kind == "int64" and raw >= 2**63 else raw


def as_float(number, divisor, digits):
    if number is None or not math.isfinite(number):
        return None
    if digits is not None:
        return float(f"{number:.{digits}f}") + 0.0
    if isinstance(number, int):
        return float(Fraction(number, divisor)) + 0.0
    return number / divisor + 0.0


def as_time(number, unit, shift_s):
    if not math.isfinite(number) or (abs(number) >= 9e18 and isinstance(number, float)):
        return None
    if unit == "epoch":
        unit = next(
            (name for name, most in (("s", 1e11), ("ms", 1e14), ("us", 1e17)) if abs(float(number)) < most), "ns"
        )
    whole = int(number)
    rest = round((number - whole) * float(UNITS[unit])) if isinstance(number, float) else 0
    return whole * UNITS[unit] + rest + shift_s * 10**9


@dataclass
class Made:
    values: dict = field(default_factory=dict)
    gone: set = field(default_factory=set)
    shape: object = None
    variant: object = None
    control: bool = False
    sides: set = field(default_factory=set)
    rows: dict = field(default_factory=lambda: {"bid": [], "ask": []})
    lists: dict = field(default_factory=dict)
    sorts: set = field(default_factory=set)
    keys: dict = field(default_factory=dict)
    begin: int = 0
    end: int = 0


class ReferenceDecoder:
    def __init__(self, stream):
        self.stream = stream
        self.bound = {}
        self.last = {}
        self.shapes = []
        self.key_parts = []
        self.nested_records = False
        self.survey(stream)
        self.counters = dict.fromkeys(
            "frames packets records unknown_packets broken unbound rejected_values control".split(), 0
        )

    def survey(self, node):
        if getattr(node, "shape", None) is not None and node.shape.name not in self.shapes:
            self.shapes.append(node.shape.name)
        for member in node.members:
            self.nested_records |= member.what == "records"
            if member.what == "key":
                self.key_parts.append(member)
            if member.what in ("sub", "records"):
                self.survey(member)

    def decode(self, frame):
        self.control, self.errors = [], 0
        self.counters["frames"] += 1
        self.made, self.rejected, self.packets = [], 0, 0
        try:
            if self.stream.control_when is not None and self.meets(self.stream.control_when, items(frame)):
                self.counters["control"] += 1
                self.control = [(0, len(frame))]
                return []
            shared = Made()
            if self.nested_records:
                self.message(self.stream.members, frame, 0, shared, None)
            else:
                self.record(self.stream, frame, 0)
            ready = [self.finish(made) for made in self.made]
        except BrokenMessage:
            self.counters["broken"] += 1
            self.control, self.errors = [], 1
            return []
        self.counters["packets"] += self.packets
        self.counters["rejected_values"] += self.rejected
        self.counters["control"] += sum(made.control and shape is not None for made, shape, *_ in ready) + self.asides()
        records = [self.deliver(*each, shared) for each in ready if each[1] is not None]
        self.errors = len(ready) - len(records)
        self.counters["unknown_packets"] += self.errors
        self.counters["records"] += len(records)
        if records:
            records[-1]["flags"] |= 4
        return records

    def asides(self):
        ranges = {(made.begin, made.end) for made in self.made}
        return sum(span not in ranges for span in self.control)

    def meets(self, only, found):
        value = "" if only.type in ("string", "bytes") else 0
        for item in found:
            if item.number == only.number and item.wire == wire_of(only.type):
                value = item.value.decode("utf-8", "replace") if item.wire == 2 else number_of(only.type, item.value)
        return value in only.values

    def record(self, node, data, base):
        self.packets += 1
        if len([made for made in self.made if (made.variant or made.shape)]) >= self.stream.max_records:
            raise BrokenMessage
        made = Made(shape=node.shape, begin=base, end=base + len(data))
        self.message(node.members, data, base, made, made)
        self.made.append(made)
        if made.control or not (made.variant or made.shape):
            self.control.append((made.begin, made.end))

    def message(self, members, data, base, to, made):
        for member in members:
            if member.what in ("levels", "columns") and made is not None:
                made.sides |= (
                    {member.side}
                    if member.what == "columns"
                    else {side for side in ("bid", "ask") if getattr(member, side) is not None}
                )
        for item in items(data, base):
            for member in members:
                self.member(member, item, to, made)
        for member in members:
            if getattr(member, "to", None) in {None} | set(to.values) | to.gone:
                continue
            if member.what == "constant":
                to.values[member.to] = float(member.value)
            elif member.default is not None:
                to.values[member.to] = as_float(member.default, member.divisor, None)

    def member(self, member, item, to, made):
        if member.what == "constant":
            return
        if member.what == "columns":
            for name in ("price", "quantity", "orders"):
                self.column(member, name, item, made)
            return
        if item.number != member.number:
            return
        if member.what == "control":
            if made is not None:
                made.control = True
            else:
                self.control.append((item.begin, item.end))
        elif member.what in ("value", "key"):
            if item.wire == wire_of(member.type):
                self.value(member, item, to) if member.what == "value" else made.keys.__setitem__(
                    id(member), item.value
                )
        elif item.wire == 2:
            if member.what == "records":
                self.record(member, item.value, item.begin)
            elif member.what == "levels":
                self.row(member, item.value, made)
            elif member.only_if is None or self.meets(member.only_if, items(item.value)):
                if member.shape is not None:
                    if made.variant is not None and made.variant.name != member.shape.name:
                        raise BrokenMessage
                    made.variant = member.shape
                self.message(member.members, item.value, item.begin, to, made)

    def value(self, member, item, to):
        number = number_of(member.type, item.value)
        if (member.type == "decimal" and item.value == b"") or (member.absent is not None and number == member.absent):
            found = None
        else:
            if member.to in INTEGERS[:2]:
                found = as_time(number, member.unit, member.shift_s)
            elif member.to in INTEGERS:
                found = number
            else:
                found = as_float(number, member.divisor, member.digits)
            if member.to in INTEGERS and found is not None and not -(2**63) < found < 2**63:
                found = None
            self.rejected += found is None
        to.values.pop(member.to, None)
        if found is None:
            to.gone.add(member.to)
        else:
            to.gone.discard(member.to)
            to.values[member.to] = found

    def cell(self, column, raw):
        if column.type == "decimal" and raw == b"":
            return 0.0
        return as_float(number_of(column.type, raw), column.divisor, column.digits)

    def row(self, member, data, made):
        for side in ("bid", "ask"):
            columns = getattr(member, side)
            if columns is None:
                continue
            found = []
            for column in (columns.price, columns.quantity, columns.orders):
                value = 0.0
                if column is not None:
                    path = column.number if isinstance(column.number, tuple) else (column.number,)
                    for raw in self.walk(path, column.type, data):
                        value = self.cell(column, raw)
                found.append(value)
            self.level(member, side, found, made)

    def walk(self, path, kind, data):
        for item in items(data):
            if item.number != path[0]:
                continue
            if len(path) > 1 and item.wire == 2:
                yield from self.walk(path[1:], kind, item.value)
            elif len(path) == 1 and item.wire == wire_of(kind):
                yield item.value

    def column(self, member, name, item, made):
        column = getattr(member, name)
        if column is None or item.number != column.number:
            return
        lists = made.lists.setdefault(member.side, (member, {"price": [], "quantity": [], "orders": []}))[1]
        if item.wire == wire_of(column.type):
            lists[name].append(self.cell(column, item.value))
        elif item.wire == 2:
            data, at = item.value, 0
            while at < len(data):
                if column.type in FIXED:
                    size = struct.calcsize(FIXED[column.type][0])
                    raw, at = data[at : at + size], at + size
                    if len(raw) < size:
                        raise BrokenMessage
                else:
                    raw, at = varint(data, at)
                lists[name].append(self.cell(column, raw))
        if len(lists[name]) > member.max_rows:
            raise BrokenMessage

    def level(self, member, side, found, made):
        price, quantity, orders = found
        if not 0 <= orders <= 2**32 - 1:
            self.rejected += 1
            orders = 0
        if price is None or quantity is None:
            self.rejected += 1
        elif member.empty == "none" or price or quantity:
            made.rows[side].append((price, quantity, int(orders)))
            if member.sort:
                made.sorts.add(side)
            if len(made.rows[side]) > member.max_rows:
                raise BrokenMessage

    def finish(self, made):
        """Close a record: its lists, its levels and its key. Anything wrong here breaks the whole message."""
        shape = made.variant or made.shape
        if shape is None:
            return made, None, [], None
        for side, (member, lists) in made.lists.items():
            count = len(lists["price"])
            if len(lists["quantity"]) != count or len(lists["orders"]) not in (0, count):
                raise BrokenMessage
            for at in range(count):
                orders = lists["orders"][at] if lists["orders"] else 0
                self.level(member, side, (lists["price"][at], lists["quantity"][at], orders), made)
        levels = []
        for side in ("bid", "ask"):
            rows = made.rows[side]
            if side in made.sorts:
                rows = sorted(rows, key=lambda row: (-row[0] if side == "bid" else row[0], -row[1], -row[2]))
            levels += [(side, *row) for row in rows]
        key = None
        if self.key_parts:
            parts = []
            for part in self.key_parts:
                text = part.type in ("string", "bytes")
                nothing = b"" if text else bytes(8 if wire_of(part.type) == 1 else 4) if part.type in FIXED else 0
                raw = made.keys.get(id(part), nothing)
                if not text:
                    raw = (number_of(part.type, raw) & part.mask) << part.shift
                parts.append(raw)
            if all(isinstance(part, int) for part in parts):
                key = 0
                for part in parts:
                    key |= part
            else:
                key = b"|".join(part if isinstance(part, bytes) else b"%d" % part for part in parts)
                if key not in self.bound and key not in self.last:
                    for part, raw in zip(self.key_parts, parts, strict=True):
                        try:
                            if part.type == "string":
                                raw.decode()
                        except UnicodeDecodeError:
                            raise BrokenMessage from None
        return made, shape, levels, key

    def deliver(self, made, shape, levels, key, shared):
        flags = 16 if "index" in shape.flags else 0
        delta = shape.kind == "depth_delta"
        if made.sides:
            flags |= 1 | (2 if len(made.sides) == 2 and not delta else 0)
            if not delta:
                for side in sorted(made.sides):
                    first = next((level for level in levels if level[0] == side), None)
                    for at, name in enumerate((f"{side}_price", f"{side}_quantity")):
                        if name not in made.values and name not in made.gone:
                            made.gone.add(name) if first is None else made.values.__setitem__(name, first[1 + at])
        ops = [
            (side, "add" if not delta else "update" if quantity else "remove", price, quantity, orders)
            for side, price, quantity, orders in levels
        ]
        if len(made.sides) == 1 and not delta:
            ops.insert(0, (*made.sides, "clear", 0.0, 0.0, 0))
        values = {name: value for name, value in shared.values.items() if name not in made.gone} | made.values
        changed, mode = set(values), shape.mode
        instrument = self.bound.get(key, -1)
        self.counters["unbound"] += key is not None and instrument < 0
        if self.stream.merge:
            if key in self.last and (self.stream.merge_shapes or self.last[key][2] == shape.name):
                before, old, _ = self.last[key]
                values = {name: value for name, value in before.items() if name not in made.gone} | values
                modes = ("none", "ltp", "quote", "full")
                mode = max(mode, old, key=modes.index)
                flags |= 8
            self.last[key] = values, mode, shape.name
        return {
            "kind": shape.kind,
            "mode": mode,
            "flags": flags,
            "layout": self.shapes.index(shape.name),
            "source": made.begin,
            "instrument": instrument,
            "changed": changed,
            "values": {name: value for name, value in values.items() if name in FIELDS},
            "ints": {name: value for name, value in values.items() if name in INTEGERS},
            "levels": ops,
        }


__all__ = ["INTEGERS", "BrokenMessage", "ReferenceDecoder", "items"]
