"""The JSON engine's meaning in plain Python: `json`, `Decimal` and `datetime`, no speed, nothing shared with the core.

Merged layouts are left out; everything else a `JsonLayout` can say is read from its description.
"""

from __future__ import annotations

import datetime
import json
import re
from decimal import Decimal
from fractions import Fraction
from math import isfinite

NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
WHOLE = re.compile(r"-?[0-9]+", re.ASCII)
EPOCH = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?", re.ASCII)
RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
MOST = 2**63 - 1
MISSING = object()


class Literal(str):
    """A number as it is written."""


class Moment(int):
    """A time in ns, of an encoding that has times."""


class Broken(Exception):
    pass


class Refused(Exception):
    """A value that cannot be read."""


def refuse_constant(name):
    raise Broken(name)


def depth_of(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max((depth_of(item) for item in inner), default=0)


def parse(frame: bytes):
    try:
        value = json.loads(
            frame.decode("utf-8", "surrogateescape"),
            parse_float=Literal,
            parse_int=Literal,
            parse_constant=refuse_constant,
        )
    except (ValueError, RecursionError) as error:
        raise Broken(str(error)) from None
    if depth_of(value) > 64:
        raise Broken("nests too deeply")
    return value


def walk(value, steps):
    for step in steps:
        if isinstance(step, str) and isinstance(value, dict):
            value = value.get(step, MISSING)
        elif isinstance(step, int) and isinstance(value, list) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return MISSING
    return value


def is_text(value):
    return isinstance(value, str) and not isinstance(value, Literal)


def parts(value):
    """Return sign, digits from the first that is not 0, and decimals; all as written."""
    text = str(value)
    mantissa = re.split("[eE]", text)[0].lstrip("-")
    whole, _, fraction = mantissa.partition(".")
    return (whole + fraction).lstrip("0"), len(fraction)


def number(value, divisor=1):
    if isinstance(value, float):
        return value / divisor if divisor != 1 else value
    if isinstance(value, int) and not isinstance(value, bool | Moment):
        return float(Fraction(value, divisor))
    if not isinstance(value, str) or not NUMBER.fullmatch(value):
        raise Refused(value)
    digits, _ = parts(value)
    if divisor != 1 and digits[19:].strip("0"):
        raise Refused(value)
    if divisor == 1:
        found = float(value)
    else:
        exponent = len(str(divisor)) - 1
        mantissa, _, shift = value.lower().partition("e")
        found = float(f"{mantissa}e{int(shift or 0) - exponent}")
    if not isfinite(found) or (found == 0.0 and digits.strip("0")):
        raise Refused(value)
    return found


def whole(value):
    if isinstance(value, int) and not isinstance(value, bool | Moment):
        found = value
    elif isinstance(value, str) and WHOLE.fullmatch(value):
        found = int(value) if len(value) < 4000 else MOST + 1
    else:
        raise Refused(value)
    if abs(found) > MOST:
        raise Refused(value)
    return found


def fits(ns):
    if not -MOST <= ns <= MOST:
        raise Refused(ns)
    return ns


def rfc3339(value):
    match = RFC3339.fullmatch(value) if is_text(value) else None
    if not match:
        raise Refused(value)
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    if hour > 23 or minute > 59 or second > 60 or int(match[9] or 0) > 23 or int(match[10] or 0) > 59:
        raise Refused(value)
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    try:  # the calendar repeats every 400 years; datetime has no year 0
        days = (datetime.date(2000 if year == 0 else year, month, day) - datetime.date(1970, 1, 1)).days
    except ValueError:
        raise Refused(value) from None
    assert leap or (month, day) != (2, 29)
    days -= 730485 if year == 0 else 0
    offset = int(match[9] or 0) * 3600 + int(match[10] or 0) * 60
    offset = -offset if match[8] == "-" else offset
    seconds = days * 86400 + hour * 3600 + minute * 60 + second - offset
    return fits(seconds * 10**9 + int((match[7] or "0").ljust(9, "0")))


def when(value, unit):
    if isinstance(value, Moment):
        return fits(int(value))
    if unit == "rfc3339":
        return rfc3339(value)
    if isinstance(value, int) and not isinstance(value, bool):
        whole(value)
        return fits(value * UNITS[unit])
    match = EPOCH.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise Refused(value)
    whole(match[2][-4000:] if not match[2].strip("0") else match[2])
    places = len(str(UNITS[unit])) - 1
    ns = int(match[2]) * UNITS[unit] + int((match[3] or "").ljust(places, "0")[:places] or 0)
    return fits(-ns if match[1] else ns)


def level_number(value, exact, divisor=1):
    """Return the float64 and its decimals, 255 where unknown."""
    if isinstance(value, float):
        if not isfinite(value):
            raise Refused(value)
        return number(value, divisor), 255
    if isinstance(value, int) and not isinstance(value, bool | Moment):
        value = Literal(value)
    if not isinstance(value, str) or not NUMBER.fullmatch(value):
        raise Refused(value)
    digits, decimals = parts(value)
    plain = "e" not in value.lower() and not re.match(r"-?0[0-9]", value) and len(digits) <= 19 and decimals <= 254
    if plain and len(digits.strip("0")) <= 15:
        # Digits between the first and the last that is not 0 are what float64 must tell apart.
        found = number(value, divisor)
        return found, decimals if divisor == 1 else 255
    if exact:
        raise Refused(value)
    return number(value, divisor), 255


class Reference:
    """Decodes frames of one stream; `bound` maps texts and ints to instruments."""

    def __init__(self, stream):
        self.stream = stream
        self.spec = stream.spec()

    def decode(self, frame, value=MISSING):
        """Return records, control messages and how many values were refused.

        Raises
        ------
        Broken
        """
        self.records, self.control, self.rejected, self.errors = [], [], 0, 0
        if value is MISSING:
            if frame.decode("utf-8", "replace") in self.stream.plain:
                return self.records, [frame.decode()], 0
            value = parse(frame)
        if isinstance(value, list) and not self.stream.positional:
            for item in value:
                self.message(item)
        else:
            self.message(value)
        return self.records, self.control, self.rejected

    def message(self, value):
        self.process([(value, None)], list(enumerate(self.spec["layouts"])), 0)

    @staticmethod
    def scopes_of(layout):
        if layout["each"] is None:
            return []
        steps = ((layout["at"] or {"steps": ()})["steps"]) + layout["each"]["steps"]
        found, part = [], ()
        for step in (*steps, "*"):
            if step == "*":
                found.append(part)
                part = ()
            else:
                part = (*part, step)
        return found

    def process(self, chain, layouts, depth):
        for index, layout in layouts:
            scopes = self.scopes_of(layout)
            if not all(self.holds(one, layout, chain, len(scopes)) for one in layout["when"]):
                continue
            if len(scopes) > depth:
                same = [(i, x) for i, x in layouts if self.scopes_of(x)[: depth + 1] == scopes[: depth + 1]]
                container = walk(chain[-1][0], scopes[depth])
                if isinstance(container, dict):
                    entries = [(item, key) for key, item in container.items()]
                elif isinstance(container, list):
                    entries = [(item, None) for item in container]
                else:
                    break
                for entry in entries:
                    self.process([*chain, entry], same, depth + 1)
                return
            if not layout["control"]:
                self.emit(index, layout, chain)
                return
            break
        self.control.append(chain[-1][0])

    def at(self, path, layout, chain, depth):
        """Return what stands at a path, or None where its scope is deeper than `chain`."""
        level = 0 if path["up"] < 0 else depth - path["up"]
        if level >= len(chain):
            return None
        value, key = chain[level]
        if path["steps"] == ("@key",):
            return MISSING if key is None else key
        if path["steps"] == ("@value",):
            return value
        prefix = layout["at"]["steps"] if path["up"] == 0 and layout["at"] and layout["each"] is None else ()
        return walk(value, prefix + path["steps"])

    def holds(self, condition, layout, chain, depth):
        found = []
        for path in condition["paths"]:
            level = 0 if path["up"] < 0 else depth - path["up"]
            if level >= len(chain):
                return True  # judged further in
            found.append(self.at(path, layout, chain, depth))
        if condition["how"] == "equals":
            return any(self.equals(value, wanted) for value in found for wanted in condition["values"])
        there = any(value is not MISSING and value is not None for value in found)
        return there == (condition["how"] == "has")

    @staticmethod
    def equals(value, wanted):
        if isinstance(wanted, bool):
            return value is wanted
        if isinstance(wanted, int):
            return (isinstance(value, Literal) or type(value) is int) and str(value) == str(wanted)
        return is_text(value) and value == wanted

    def key(self, layout, chain, depth):
        spec = layout["key"]
        values = [self.at(path, layout, chain, depth) for path in spec["paths"]]
        if spec["number"]:
            return whole(values[0])
        texts = []
        for value in values:
            if type(value) is int:
                value = str(value)
            if not isinstance(value, str):
                raise Refused(value)
            texts.append(re.split("[" + re.escape(spec["until"]) + "]", value)[0] if spec["until"] else str(value))
        joined = spec["join"].join(texts)
        if not joined:
            raise Refused(joined)
        try:
            return joined.encode()
        except UnicodeEncodeError:
            raise Refused(joined) from None

    def emit(self, index, layout, chain):
        depth = len(self.scopes_of(layout))
        record = {"layout": index, "key": None, "fields": {}, "levels": [], "kind": layout["kind"], "flags": set()}
        if layout["key"] is not None:
            try:
                record["key"] = self.key(layout, chain, depth)
            except Refused:
                self.errors += 1
                return
        for field in layout["fields"]:
            value = self.at(field["path"], layout, chain, depth)
            written = str(value) if isinstance(value, str) or type(value) is int else None
            if value is MISSING or value is None or (is_text(value) and value == "") or written in field["absent"]:
                continue
            try:
                record["fields"][field["to"]] = self.field(field, value)
            except Refused:
                self.rejected += 1
        if layout["levels"]:
            self.levels(record, layout, chain, depth)
        aggressor = layout["aggressor"]
        if aggressor is not None:
            value = self.at(aggressor["path"], layout, chain, depth)
            for flag in ("buyer", "seller"):
                if any(self.equals(value, wanted) for wanted in aggressor[flag]):
                    record["flags"].add(flag)
                    break
        self.records.append(record)

    @staticmethod
    def field(field, value):
        if field["to"] in ("ts_event", "last_trade_time"):
            return fits(when(value, field["unit"]) + field["shift_s"] * 10**9)
        if field["to"] in ("sequence", "prev_sequence"):
            return fits(whole(value) + field["add"])
        found = number(value, field["divisor"])
        if not isfinite(found):
            raise Refused(value)
        return found

    def levels(self, record, layout, chain, depth):
        snapshot = layout["kind"] != "depth_delta"
        if layout["snapshot_when"] is not None:
            snapshot = self.holds(layout["snapshot_when"], layout, chain, depth)
            record["kind"] = "depth_snapshot" if snapshot else "depth_delta"
        there = False
        found = []
        for one in sorted(layout["levels"], key=lambda one: one["side"] == "ask"):
            rows = self.at(one["path"], layout, chain, depth)
            if not isinstance(rows, list):
                self.rejected += rows is not MISSING and rows is not None
                continue
            there = True
            for row in rows:
                try:
                    found.append(self.level(one, row))
                except Refused:
                    self.rejected += 1
        if there or not snapshot:
            record["flags"] |= {"depth", "snapshot"} if snapshot else {"depth"}
        if snapshot:
            found = [level for level in found if level[1] != 0.0]
            found.sort(key=lambda level: level[3] == "ask")
            for side, level in (("bid", None), ("ask", None)):
                level = next((level for level in found if level[3] == side), None)
                for name, at in (("price", 0), ("quantity", 1)):
                    if level is not None and there:
                        record["fields"].setdefault(f"{side}_{name}", level[at])
        record["levels"] = [
            (*level, "add" if snapshot else "remove" if level[1] == 0.0 else "update") for level in found
        ]

    def level(self, one, row):
        objects = isinstance(one["price"], str)
        if not isinstance(row, dict if objects else list):
            raise Refused(row)
        side = one["side"]
        if side == "row":
            said = walk(row, (one["side_at"],))
            if not isinstance(said, str):
                raise Refused(row)
            side = "bid" if said in one["bid"] else "ask" if said in one["ask"] else None
            if side is None:
                raise Refused(row)
        price, price_decimals = level_number(walk(row, (one["price"],)), one["exact"], one["divisor"])
        quantity, quantity_decimals = level_number(walk(row, (one["quantity"],)), one["exact"])
        orders = 0 if one["orders"] is None else walk(row, (one["orders"],))
        if orders is MISSING or orders is None:
            orders = 0
        elif one["orders"] is not None:
            try:
                orders = whole(orders)
                if not 0 <= orders < 2**32:
                    raise Refused(orders)
            except Refused:
                self.rejected += 1
                orders = 0
        return price, quantity, orders, side, price_decimals, quantity_decimals


def written(value: float, decimals: int) -> str:
    """Write a level's number again, digit for digit: the shortest decimal of the float, to so many places."""
    return f"{Decimal(repr(value)):.{decimals}f}"
