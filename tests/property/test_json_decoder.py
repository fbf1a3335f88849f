"""Native decode of JSON and MessagePack equals the plain-Python reference, whatever the bytes.

Messages of the shapes that venues use are written with any key order, white space and escapes, then damaged.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman._core import FIELDS, Decoder, intern_instrument
from dragoman.plugin import JsonField, JsonLayout, JsonLevels, JsonStream
from reference.json_decoder import Broken, Literal, Moment, Reference, rfc3339, written
from reference.json_streams import CHANGES, MIXED, NESTED, POSITIONAL, WRAPPED

FLAGS = {"depth": 1, "snapshot": 2, "buyer": 32, "seller": 64}
INTEGERS = ("ts_event", "last_trade_time", "sequence", "prev_sequence")
ACTIONS = ("add", "update", "remove", "clear")
STREAMS = (WRAPPED, MIXED, POSITIONAL, NESTED, CHANGES)


def native(batch):
    found = []
    for row in batch.records:
        fields = {name: float(row[name]) for at, name in enumerate(FIELDS) if row["present"] >> at & 1}
        fields |= {name: int(row[name]) for at, name in enumerate(INTEGERS) if row["present"] >> (24 + at) & 1}
        ops = batch.level_ops[row["level_begin"] : row["level_begin"] + row["level_count"]]
        levels = [
            (
                float(x["price"]),
                float(x["quantity"]),
                int(x["orders"]),
                ("bid", "ask")[x["side"]],
                int(x["price_decimals"]),
                int(x["quantity_decimals"]),
                ACTIONS[x["action"]],
            )
            for x in ops
        ]
        flags = {name for name, bit in FLAGS.items() if row["flags"] & bit}
        found.append((int(row["layout"]), fields, levels, flags))
        assert row["changed"] == row["present"]
    return found


def compare(stream, frame, value=None):
    """Decode both ways; every record, level, control message, refusal and rejection must agree."""
    decoder = Decoder(stream.compile())
    reference = Reference(stream)
    batch = decoder.decode(frame, 5)
    counters = decoder.counters
    try:
        records, control, rejected = reference.decode(frame) if value is None else reference.decode(frame, value)
    except Broken:
        assert len(batch) == 0
        assert batch.errors == 1
        assert not batch.control
        assert counters["truncated"] + counters["malformed"] == 1
        return batch
    assert batch.errors == reference.errors == counters["malformed"]
    assert counters["rejected_values"] == rejected
    assert native(batch) == [
        (record["layout"], record["fields"], record["levels"], record["flags"]) for record in records
    ]
    assert [tick.kind for tick in batch] == [record["kind"] for record in records]
    assert len(batch.control) == len(control)
    for (start, end), said in zip(batch.control, control, strict=True):
        if stream.encoding == "json" and frame[start:end].decode("utf-8", "replace") not in stream.plain:
            assert json.loads(
                frame[start:end].decode("utf-8", "surrogateescape"), parse_float=Literal, parse_int=Literal
            ) == (said)
    keys = {record["key"] for record in records if record["key"] is not None}
    for number, key in enumerate(sorted(keys, key=str)):
        handle = intern_instrument(f"X:{number}")
        (decoder.bind if isinstance(key, int) else decoder.bind_text)(key, handle)
    again = decoder.decode(frame, 5)
    assert all(row["instrument"] >= 0 for row, record in zip(again.records, records, strict=True) if record["key"])
    return batch


# --- writing messages in any way ------------------------------------------------------------------------------------


def write_text(text, dice):
    out = []
    for char in text:
        roll = dice.random()
        if char in '"\\' or ord(char) < 0x20:
            out.append(json.dumps(char)[1:-1])
        elif roll < 0.05 and ord(char) < 0x10000:
            out.append(f"\\u{ord(char):04{dice.choice('xX')}}")
        elif char == "/" and roll < 0.5:
            out.append("\\/")
        elif ord(char) >= 0x10000 and roll < 0.5:
            out.append(json.dumps(char)[1:-1])
        else:
            out.append(char)
    return '"' + "".join(out) + '"'


def write(value, dice):
    space = "".join(dice.choices(" \t\r\n", k=dice.choice((0, 0, 0, 1, 3)))) if dice.random() < 0.3 else ""
    if isinstance(value, dict):
        items = list(value.items())
        dice.shuffle(items)
        body = ",".join(f"{space}{write_text(key, dice)}{space}:{write(item, dice)}" for key, item in items)
        return f"{space}{{{body}{space}}}{space}"
    if isinstance(value, list):
        return f"{space}[{','.join(write(item, dice) for item in value)}{space}]{space}"
    if isinstance(value, Literal):
        return f"{space}{value}{space}"
    if isinstance(value, str):
        return space + write_text(value, dice) + space
    return space + json.dumps(value) + space


digits = st.integers(0, 10**9).map(str)
decimals = st.from_regex(r"-?(0|[1-9][0-9]{0,9})(\.[0-9]{1,9})?", fullmatch=True)
wild = st.from_regex(r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
literals = st.one_of(decimals, decimals, wild).map(Literal)
odd_texts = st.one_of(
    st.sampled_from(["", "-1", "007", "1.", ".5", "+1", "1e", "NaN", " 1", "0x1", "é", "😀"]), st.text()
)
texts = st.one_of(decimals, decimals, wild, odd_texts)
numbers = st.one_of(literals, texts)
junk = st.recursive(
    st.one_of(st.none(), st.booleans(), literals, st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=6,
)
anything = st.one_of(numbers, numbers, numbers, junk)
names = st.sampled_from(["BTCUSDT", "X", "NSE|22", "é/😀", "a-very-long-name-of-an-instrument"])
times = st.one_of(
    st.datetimes().map(lambda at: at.isoformat() + "Z"),
    st.from_regex(
        r"20[0-9]{2}-0[1-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]\.[0-9]{1,10}(Z|[+-][01][0-9]:30)",
        fullmatch=True,
    ),
    st.integers(0, 2**62).map(str).map(Literal),
    st.from_regex(r"1[0-9]{9}\.[0-9]{1,12}", fullmatch=True),
    anything,
)
pair = st.one_of(
    st.tuples(decimals, decimals).map(list), st.tuples(numbers, numbers).map(list), st.lists(anything, max_size=4)
)
pairs = st.one_of(st.lists(pair, max_size=5), st.lists(pair, max_size=5), anything)


def some(always, **maybe):
    return st.fixed_dictionaries(always, optional=maybe)


def rows_of(**parts):
    return st.one_of(st.lists(st.one_of(some({}, **parts), some(parts), junk), max_size=4), anything)


depth = some({"e": st.just("depthUpdate"), "s": names}, E=times, u=numbers, U=numbers, b=pairs, a=pairs, other=junk)
ticker = some({"e": st.sampled_from(["bookTicker", "kline"])}, b=anything, B=anything, a=anything, A=anything, T=times)
trade = some(
    {"e": st.just("aggTrade"), "s": names, "x": names},
    p=anything,
    q=numbers,
    m=st.sampled_from([True, False, "B", Literal("1"), Literal("0"), None]),
)
wrapped = st.one_of(
    some({"data": st.one_of(depth, ticker, trade)}, stream=st.one_of(names, st.just("btcusdt@depth@100ms"), anything)),
    some({}, result=junk, error=junk, id=junk),
)
quote = some({"T": st.just("q"), "S": names}, bp=numbers, bs=numbers, ap=anything, t=times)
book = some(
    {"T": st.just("o"), "S": names},
    r=st.one_of(st.booleans(), junk),
    b=rows_of(p=numbers, s=numbers, x=junk),
    a=rows_of(p=numbers, s=numbers, n=anything),
)
numbered = some({"T": st.sampled_from([Literal("7"), Literal("8"), Literal("9"), "7"])}, k=anything)
mixed = st.one_of(st.lists(st.one_of(quote, book, numbered, junk), max_size=4), quote, book)
fills = st.lists(st.one_of(st.tuples(decimals, decimals, times, st.sampled_from("bsx")).map(list), junk), max_size=3)
sides = some({}, a=pairs, b=pairs, c=texts)
positional = st.one_of(
    st.tuples(literals, sides, st.just("book-10"), names).map(list),
    st.tuples(literals, some({}, a=pairs), some({}, b=pairs, c=texts), st.just("book-10"), names).map(list),
    st.tuples(literals, some({}, **{"as": pairs, "bs": pairs}), st.just("book-10"), names).map(list),
    st.tuples(literals, fills, st.just("trade"), names).map(list),
    junk,
)
update = some({"price_level": texts, "new_quantity": texts}, side=st.sampled_from(["bid", "offer", "ask", "?"]))
event = some(
    {},
    type=st.sampled_from(["snapshot", "update"]),
    product_id=names,
    updates=st.lists(st.one_of(update, junk), max_size=4),
    trades=st.lists(
        some({}, product_id=names, price=numbers, size=texts, time=times, side=st.sampled_from(["BUY", "SELL"])),
        max_size=3,
    ),
)
nested = some(
    {"channel": st.sampled_from(["l2_data", "market_trades", "mids", "status"])},
    events=st.one_of(st.lists(st.one_of(event, junk), max_size=3), junk),
    mids=st.dictionaries(names, anything, max_size=3),
    timestamp=times,
    sequence_num=numbers,
)
changes = some(
    {"type": st.sampled_from(["l2update", "snapshot", "ticker"]), "product_id": names},
    changes=st.lists(
        st.one_of(st.tuples(st.sampled_from(["buy", "sell", ""]), texts, texts).map(list), junk), max_size=4
    ),
    bids=pairs,
    asks=pairs,
    price=texts,
    best_bid=numbers,
    best_ask=anything,
    time=times,
)
messages = st.one_of(
    st.tuples(st.just(WRAPPED), wrapped),
    st.tuples(st.just(MIXED), mixed),
    st.tuples(st.just(POSITIONAL), positional),
    st.tuples(st.just(NESTED), nested),
    st.tuples(st.just(CHANGES), changes),
)


@settings(max_examples=1200)
@given(messages, st.integers())
def test_any_spelling_of_a_message_decodes_as_the_reference_reads_it(message, seed):
    stream, value = message
    compare(stream, write(value, random.Random(seed)).encode("utf-8", "surrogatepass"))


@settings(max_examples=400)
@given(messages, st.integers(), st.data())
def test_damaged_frames_are_accepted_exactly_when_they_are_still_json(message, seed, data):
    stream, value = message
    frame = bytearray(write(value, random.Random(seed)).encode("utf-8", "surrogatepass"))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, max(0, len(frame) - 1)))
        match data.draw(st.sampled_from(["cut", "flip", "insert", "tail"])):
            case "cut":
                del frame[at:]
            case "flip" if frame:
                frame[at] ^= 1 << data.draw(st.integers(0, 7))
            case "insert":
                frame.insert(at, data.draw(st.sampled_from(b'"\\{}[],:0 \x00\xff')))
            case _:
                frame += data.draw(st.binary(max_size=2))
    pairs = []
    with contextlib.suppress(ValueError):
        json.loads(frame.decode("utf-8", "surrogateescape"), object_pairs_hook=lambda found: pairs.append(found) or {})
    if any(len({key for key, _ in found}) != len(found) for found in pairs) and stream is NESTED:
        return  # equal keys of a map that `each` goes through: every entry is a record
    compare(stream, bytes(frame))


def plainly(value, comma, colon):
    """Write a value in the order and style of one sender."""
    match value:
        case Literal():
            return str(value)
        case dict():
            return "{" + comma.join(f"{json.dumps(k)}{colon}{plainly(v, comma, colon)}" for k, v in value.items()) + "}"
        case list():
            return "[" + comma.join(plainly(one, comma, colon) for one in value) + "]"
    return json.dumps(value, ensure_ascii=False)


wrong = st.tuples(st.floats(0, 1, exclude_max=True), st.sampled_from(b'0123456789-.e"\\ ,}ntq\x00\xff'))
several = st.one_of(
    *(
        st.tuples(st.just(stream), st.lists(kind, min_size=1, max_size=3))
        for stream, kind in ((WRAPPED, wrapped), (MIXED, mixed), (POSITIONAL, positional), (NESTED, nested))
    )
)


@settings(max_examples=300)
@given(
    several,
    st.sampled_from([(",", ":"), (", ", ": ")]),
    st.lists(st.tuples(st.integers(0, 2), st.lists(wrong, max_size=2)), min_size=4, max_size=12),
)
def test_what_a_decoder_saw_before_changes_nothing(kinds, style, frames):
    stream, values = kinds
    known = [plainly(value, *style).encode("utf-8", "surrogatepass") for value in values]
    lived = Decoder(stream.compile())
    for which, changes in frames:
        frame = bytearray(known[which % len(known)])
        for share, byte in changes:
            frame[int(share * len(frame))] = byte
        fresh, before = Decoder(stream.compile()), dict(lived.counters)
        ours, theirs = lived.decode(bytes(frame), 5), fresh.decode(bytes(frame), 5)
        assert native(ours) == native(theirs), frame
        assert ours.records.tobytes() == theirs.records.tobytes()
        assert ours.control == theirs.control
        counted = {name: value - before[name] for name, value in lived.counters.items()}
        assert counted == {**fresh.counters, "blocks_held": counted["blocks_held"]}


@pytest.mark.parametrize(
    ("value", "good"),
    [
        ('["R"]', True),
        ('["@","I"]', True),
        ('["@","I","T","4"]', True),
        ("true", True),
        ("[]", True),
        ('"R"', True),
        ('"long enough to be another size"', True),
        ("7", True),
        ('["R"', False),
        ('["R"]]', False),
        ('["R",]', False),
        ('["@" "I"]', False),
        ('["@","I"],"T","4"]', False),
        ("truee", False),
        ("tru", False),
        ('"R', False),
    ],
)
@pytest.mark.parametrize("usual", ['["R"]', '["@","I"]', "true", '"R"', "[]"])
def test_a_value_nobody_reads_is_checked_though_the_same_came_before(usual, value, good):
    def frame(stranger):
        return f'{{"p":1,"c":{stranger},"q":2}}'.encode()

    layout = JsonLayout("quote", fields=(JsonField("bid_price", "p"), JsonField("ask_price", "q")))
    decoder = Decoder(JsonStream("s", layouts=(layout,)).compile())
    for _ in range(3):
        assert len(decoder.decode(frame(usual), 5)) == 1
    assert len(decoder.decode(frame(value), 5)) == good
    assert len(decoder.decode(frame(usual), 5)) == 1


@given(st.binary(max_size=64), st.sampled_from(STREAMS))
def test_any_bytes_give_records_or_a_counted_error(frame, stream):
    compare(stream, frame)


LEVELS = JsonStream("levels", layouts=(JsonLayout("book", kind="depth_delta", levels=(JsonLevels("bid", "b"),)),))


@settings(max_examples=600)
@given(st.lists(st.tuples(st.one_of(decimals, wild), decimals), max_size=6), st.booleans())
def test_written_digits_of_a_level_regenerate_exactly(rows, literal):
    kind = Literal if literal else str
    frame = write({"b": [[kind(price), kind(quantity)] for price, quantity in rows]}, random.Random(0)).encode()
    decoder = Decoder(LEVELS.compile())
    batch = decoder.decode(frame)
    back = [
        (
            written(float(x["price"]), int(x["price_decimals"])),
            written(float(x["quantity"]), int(x["quantity_decimals"])),
        )
        for x in batch.level_ops
    ]
    kept = iter(back)
    pending = next(kept, None)
    for row in rows:
        if row == pending:
            pending = next(kept, None)
        else:  # refused: only what no float64 and decimals can write again
            significant = [part.lstrip("-").replace(".", "").lstrip("0").rstrip("0") for part in row]
            assert (
                any("e" in part.lower() for part in row)
                or any(len(part) > 15 for part in significant)
                or any(len(part.replace(".", "").lstrip("-0")) > 19 for part in row)
            )
    assert pending is None
    assert decoder.counters["rejected_values"] == len(rows) - len(back)


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_every_nanosecond_of_int64_reads_back_from_rfc3339(ns):
    seconds, rest = divmod(ns, 10**9)
    day, second = divmod(seconds, 86400)
    date = datetime.date(1970, 1, 1) + datetime.timedelta(days=day)
    text = f"{date.isoformat()}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.{rest:09}Z"
    assert rfc3339(text) == ns
    stream = JsonStream("time", layouts=(JsonLayout("t", fields=(JsonField("ts_event", "t", unit="rfc3339"),)),))
    batch = Decoder(stream.compile()).decode(json.dumps({"t": text}).encode())
    assert int(batch.records["ts_event"][0]) == ns


# --- MessagePack ----------------------------------------------------------------------------------------------------


def pack(value, dice):
    """Write a value as MessagePack, in any of the widths that hold it."""
    if value is None or isinstance(value, bool):
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, Moment):
        seconds, nanos = divmod(value, 10**9)
        if nanos == 0 and 0 <= seconds < 2**32 and dice.random() < 0.5:
            return struct.pack(">BbI", 0xD6, -1, seconds)
        if 0 <= seconds < 2**34 and dice.random() < 0.5:
            return struct.pack(">BbQ", 0xD7, -1, nanos << 34 | seconds)
        return struct.pack(">BBbIq", 0xC7, 12, -1, nanos, seconds)
    if isinstance(value, int):
        forms = [(">BB", 0xCC, 0, 2**8), (">BH", 0xCD, 0, 2**16), (">BI", 0xCE, 0, 2**32), (">BQ", 0xCF, 0, 2**64)]
        forms += [(f">B{c}", 0xD0 + i, -(2 ** (8 * 2**i - 1)), 2 ** (8 * 2**i - 1)) for i, c in enumerate("bhiq")]
        found = [struct.pack(form, head, value) for form, head, low, high in forms if low <= value < high]
        found += [struct.pack(">b", value)] if -32 <= value < 128 else []
        return dice.choice(found)
    if isinstance(value, float):
        return struct.pack(">Bd", 0xCB, value)
    if isinstance(value, str):
        raw = value.encode("utf-8", "surrogatepass")
        heads = [
            struct.pack(">BI", 0xDB, len(raw)),
            struct.pack(">BH", 0xDA, len(raw)),
            struct.pack(">BI", 0xC6, len(raw)),
        ]
        heads += [bytes([0xA0 | len(raw)])] if len(raw) < 32 else []
        heads += [struct.pack(">BB", 0xD9, len(raw))] if len(raw) < 256 else []
        return dice.choice(heads) + raw
    items = list(value.items()) if isinstance(value, dict) else value
    heads = [struct.pack(">BH", 0xDE if isinstance(value, dict) else 0xDC, len(items))]
    heads += [bytes([(0x80 if isinstance(value, dict) else 0x90) | len(items)])] if len(items) < 16 else []
    if isinstance(value, dict):
        dice.shuffle(items)
        return dice.choice(heads) + b"".join(pack(key, dice) + pack(item, dice) for key, item in items)
    return dice.choice(heads) + b"".join(pack(item, dice) for item in items)


def typed(value):
    """Turn literals into ints and floats, which is what MessagePack has, and texts that are times into moments."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    if isinstance(value, Literal):
        if value.lstrip("-").isdecimal() and -(2**63) <= int(value) < 2**64:
            return int(value)
        return float(value)
    return value


moments = st.integers(-(2**63) * 2, 2**63 * 2).map(Moment)
packed_mixed = st.lists(
    st.one_of(quote, book, numbered, some({"T": st.just("q"), "S": names}, bp=numbers, t=moments)), max_size=4
)
PACKED = JsonStream("packed", MIXED.layouts, encoding="msgpack")


@settings(max_examples=600)
@given(packed_mixed, st.integers())
def test_messagepack_in_any_widths_decodes_as_the_reference_reads_it(value, seed):
    value = typed(value)
    compare(PACKED, pack(value, random.Random(seed)), value)


@given(packed_mixed, st.integers(), st.data())
def test_truncated_messagepack_delivers_nothing(value, seed, data):
    frame = pack(typed(value), random.Random(seed))
    batch = Decoder(PACKED.compile()).decode(frame[: data.draw(st.integers(0, len(frame) - 1))])
    assert len(batch) == 0
    assert batch.errors == 1


@given(st.binary(max_size=64))
def test_any_bytes_are_messagepack_or_a_counted_error(frame):
    decoder = Decoder(PACKED.compile())
    decoder.decode(frame)
    assert decoder.counters["frames"] == 1


@pytest.mark.parametrize("shape", [b"[", b'{"a":', b"[[", b'[{"a":['])
def test_deep_nesting_is_refused_without_recursion(shape):
    batch = Decoder(MIXED.compile()).decode(shape * 200_000)
    assert batch.errors == 1
