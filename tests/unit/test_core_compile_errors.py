"""What cannot be decoded is refused when it is compiled, with its place, what was found and what was expected."""

import dataclasses

import pytest

from dragoman._core import compile_packed
from dragoman.plugin import (
    Column,
    Define,
    Field,
    Framing,
    Key,
    Levels,
    PackedLayout,
    PackedStream,
    Refer,
    Scale,
    Schema,
    Select,
    SideFlag,
    Vector,
)
from dragoman.plugin import WirePart as Part

KEY = Key(Part("u32", 0))
PRICE = Field("last_price", "i32", 4)


def layout(name="quote", size=8, key=KEY, fields=(PRICE,), levels=(), **more):
    return PackedLayout(name, size, key, fields, levels, **more)


def stream(*layouts, framing=None, select=None, name="s", byte_order="big", **more):
    return PackedStream(
        name, byte_order, framing or Framing.single(), select or Select.by_length(), layouts=layouts, **more
    )


def levels(**changes):
    table = Levels("bid", 1, Column("i32", 4), Column("u32", 8), stride=8)
    return dataclasses.replace(table, **changes)


def deep(table, **more):
    return stream(layout(size=20, fields=(), levels=(table,), **more))


CODE = Select.by_code(Part("u8", 0))
COUNTED = Framing.counted(count=Part("u16", 0), header=2, length="u16")
VECTOR = Vector(Part("u8", 3))
DEFINE = Define(
    topic=Part("u16", 1), name_length=Part("u8", 3), name_offset=4, vector=Vector(Part("u8", 0), after_name=True)
)
SCHEMA = Schema("scrip", "sf", (Field("volume", "i32", 0),))


def topics(*layouts, schemas=(SCHEMA,)):
    framing = Framing.counted(count=Part("u16", 0), header=2, length=None)
    return stream(*layouts, framing=framing, select=CODE, schemas=schemas)


DEFINING = layout("define", 0, None, (), code=1, define=DEFINE)

CASES = {
    "unknown slot": (stream(layout(fields=(Field("price", "i32", 4),))), "field 'price': found slot 'price'"),
    "slot set twice": (stream(layout(fields=(PRICE, PRICE))), "field 'last_price': found the slot set twice"),
    "unknown wire type": (stream(layout(fields=(Field("oi", "i24", 4),))), "field 'oi': found type 'i24'"),
    "digits as a value": (stream(layout(fields=(Field("oi", "digits[4]", 4),))), "found type 'digits[4]'"),
    "offset past the end": (stream(layout(fields=(Field("oi", "u32", 5),))), "found offset 5 and 4 bytes"),
    "negative offset": (stream(layout(fields=(Field("oi", "u32", -1),))), "found offset -1"),
    "divisor zero": (stream(layout(fields=(Field("oi", "u32", 4, divisor=0),))), "found divisor 0"),
    "divisor negative": (stream(layout(scale=Scale.fixed(-100))), "scale: found divisor -100"),
    "divisor inexact": (stream(layout(scale=Scale.fixed(2**53 + 1))), "found divisor 9007199254740993"),
    "scaled by nothing": (
        stream(layout(fields=(Field("oi", "u32", 4, scaled=True),), scale=Scale.fixed(1))),
        "field 'oi': found scaled, and the layout has no scale",
    ),
    "scaled twice": (stream(layout(fields=(Field("oi", "u32", 4, scaled=True, divisor=10),))), "one of the two"),
    "digits on an integer": (stream(layout(fields=(Field("oi", "u32", 4, digits=2),))), "found digits on type 'u32'"),
    "too many digits": (stream(layout(fields=(Field("oi", "f32", 4, digits=16),))), "found digits 16"),
    "time without unit": (stream(layout(fields=(Field("ts_event", "u32", 4),))), "found no unit"),
    "time of unknown unit": (stream(layout(fields=(Field("ts_event", "u32", 4, unit="h"),))), "found unit 'h'"),
    "time as float": (stream(layout(fields=(Field("ts_event", "f32", 4, unit="s"),))), "expected an integer type"),
    "unit on a price": (stream(layout(fields=(Field("oi", "u32", 4, unit="s"),))), "it is not a time"),
    "sequence with a scale": (stream(layout(fields=(Field("sequence", "u32", 4, divisor=10),))), "it is an integer"),
    "sentinel of another type": (
        stream(layout(fields=(Field("oi", "i32", 4, absent=2**31),))),
        "found absent 2147483648",
    ),
    "unchanged without merge": (stream(layout(fields=(Field("oi", "u32", 4, unchanged=0),))), "expected merge=True"),
    "no fields": (stream(layout(fields=())), "found no fields and no levels"),
    "no key": (stream(layout(key=None)), "key: found no key"),
    "key past the end": (stream(layout(key=Key(Part("u32", 5)))), "key: found offset 5"),
    "key as float": (stream(layout(key=Key(Part("f32", 0)))), "key: found type 'f32'"),
    "digits of no width": (stream(layout(key=Key(Part("digits[0]", 0)))), "found type 'digits[0]'"),
    "shift too far": (stream(layout(key=Key(Part("u32", 0, shift=64)))), "found shift 64"),
    "mask of nothing": (stream(layout(key=Key(Part("u32", 0, mask=0)))), "found mask 0"),
    "size zero": (stream(layout(size=0)), "found size 0"),
    "same length twice": (stream(layout("a"), layout("b")), "layout 'b': found the selector of layout 'a'"),
    "same name twice": (stream(layout(), layout(size=9)), "layout 'quote': found the name"),
    "same code twice": (
        stream(layout("a", code=1), layout("b", code=1), select=CODE),
        "layout 'b': found the selector of layout 'a'",
    ),
    "overlapping conditions": (
        stream(layout("a", when=(Part("u8", 0), 1)), layout("b", when=(Part("u8", 0), 2), when_in=(1,))),
        "layout 'b': found `when` value 1 of layout 'a' too",
    ),
    "condition that cannot hold": (stream(layout(when=(Part("u8", 0), 256))), "when: found value 256"),
    "values without condition": (stream(layout(when_in=(1,))), "found when_in without when"),
    "code in a stream by length": (stream(layout(code=1)), "found code 1"),
    "no code in a stream by code": (stream(layout(), select=CODE), "found no code"),
    "code that cannot be": (stream(layout(code=256), select=CODE), "code: found value 256"),
    "code beyond the packet": (stream(layout(code=1), select=Select.by_code(Part("u8", 9))), "at least 10 bytes"),
    "count outside the header": (
        stream(layout(), framing=Framing.counted(count=Part("u32", 0), header=2, length="u16")),
        "framing: count: found offset 0 and 4 bytes",
    ),
    "lengthless by length": (
        stream(layout(), framing=Framing.counted(count=Part("u16", 0), header=2, length=None)),
        "found packets without a length",
    ),
    "growing without a length": (
        stream(layout(code=1, grows=True), framing=Framing.back_to_back(), select=CODE),
        "found grows in a stream without lengths",
    ),
    "unknown byte order": (stream(layout(), byte_order="middle"), "found byte_order 'middle'"),
    "empty stream": (stream(), "found 0 layouts"),
    "nameless stream": (stream(layout(), name=""), "found an empty name"),
    "data of no value": (stream(layout(), data_when=(Part("u8", 0), ())), "data_when: found no values"),
    "unknown kind": (stream(layout(kind="tick")), "found kind 'tick'"),
    "unknown mode": (stream(layout(mode="deep")), "found mode 'deep'"),
    "unknown flag": (stream(layout(flags=("fast",))), "found flag 'fast'"),
    "control with fields": (stream(layout(control=True)), "in a control layout"),
    "scale table beyond a byte": (
        stream(layout(scale=Scale.by_part(Part("u32", 0), {256: 10}, default=1))),
        "found table entry for 256",
    ),
    "scale of a table entry": (
        stream(layout(scale=Scale.by_part(Part("u32", 0), {3: 0}, default=1))),
        "scale: found divisor 0",
    ),
    "scale from nothing": (stream(layout(scale=Scale.from_fields())), "neither precision nor multiplier"),
    "topic scale without topic": (stream(layout(scale=Scale.topic())), "found how 'topic'"),
    "rows past the end": (deep(levels(rows=3)), "price: found offset 4 and 20 bytes"),
    "no rows": (deep(levels(rows=0)), "levels[0]: found rows 0"),
    "rows without stride": (deep(levels(rows=2, stride=0)), "price: found stride 0"),
    "open table in a fixed packet": (deep(levels(rows="rest")), "expected grows=True"),
    "rows of another word": (deep(levels(rows="all"), grows=True), "found rows 'all'"),
    "unknown side": (deep(levels(side="buy")), "found side 'buy'"),
    "side flag of one value": (deep(levels(side=SideFlag("u8", 4, 1, 1))), "found a side flag of 1 for both sides"),
    "orders as float": (deep(levels(orders=Column("f32", 12))), "orders: found type 'f32'"),
    "padding of another word": (deep(levels(empty="null")), "found empty 'null'"),
    "levels of a trade": (deep(levels(), kind="trade"), "found levels in a trade or status"),
    "levels that keep rows": (deep(levels(unchanged=0)), "only the tables of a topic's schema"),
    "levels scaled twice": (deep(levels(scaled=True, divisor=10)), "expected one of them"),
    "levels scaled by nothing": (deep(levels(scaled=True)), "levels[0]: found scaled, and the layout has no scale"),
    "refer without define": (
        topics(layout("update", 0, None, (), code=2, refer=Refer(Part("u16", 1), VECTOR))),
        "layout 'update': found refer in a stream that defines no topics",
    ),
    "define without schemas": (topics(DEFINING, schemas=()), "found define without schemas"),
    "key in a topic record": (topics(dataclasses.replace(DEFINING, key=KEY)), "found a key in a topic record"),
    "fields beside a vector": (topics(dataclasses.replace(DEFINING, fields=(PRICE,))), "beside a vector"),
    "sized vector record": (topics(dataclasses.replace(DEFINING, size=9)), "expected size 0"),
    "precision outside the tail": (
        topics(dataclasses.replace(DEFINING, define=dataclasses.replace(DEFINE, precision=Part("u8", 0)))),
        "precision: found offset 0 and 1 bytes",
    ),
    "schema between positions": (
        topics(DEFINING, schemas=(Schema("scrip", "sf", (Field("oi", "i32", 2),)),)),
        "schema 'scrip': field 'oi': found type 'i32' at offset 2",
    ),
    "schema of another width": (
        topics(DEFINING, schemas=(Schema("scrip", "sf", (Field("oi", "i64", 8),)),)),
        "a type of 4 bytes",
    ),
    "schema of nothing": (topics(DEFINING, schemas=(Schema("scrip", "sf", ()),)), "found no fields and no levels"),
    "two schemas of a prefix": (
        topics(DEFINING, schemas=(SCHEMA, dataclasses.replace(SCHEMA, name="other"))),
        "schema 'other': found prefix 'sf'",
    ),
    "schemas without topics": (stream(layout(), schemas=(SCHEMA,)), "a stream without topic values"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_is_refused_with_its_place(case):
    refused, said = CASES[case]
    with pytest.raises(ValueError, match=r"found .*, expected ") as error:
        refused.compile()
    assert said in str(error.value)
    assert f"stream '{refused.name}'" in str(error.value)


def test_the_cases_differ_from_streams_that_compile():
    assert stream(layout()).compile().packets == ("quote",)
    assert deep(levels()).compile().packets == ("quote",)
    assert topics(DEFINING).compile().packets == ("define",)
    assert stream(layout(), framing=COUNTED).compile().packets == ("quote",)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("name",), "packed stream: key 'name'"),
        (("framing", "header"), "stream 's': framing: key 'header'"),
        (("layouts", 0, "size"), "stream 's': layouts[0] 'quote': key 'size'"),
        (("layouts", 0, "fields", 0, "offset"), "layouts[0] 'quote': fields[0] 'last_price': key 'offset'"),
        (("layouts", 0, "key", "parts", 0, "mask"), "key: parts[0]: key 'mask'"),
    ],
)
def test_missing_keys_are_named_with_their_path(path, place):
    spec = stream(layout()).spec()
    node = spec
    for step in path[:-1]:
        node = node[step]
    del node[path[-1]]
    with pytest.raises(ValueError, match="is missing") as error:
        compile_packed(spec)
    assert place in str(error.value)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("size", "8", "size: found '8', expected an int"),
        ("size", True, "size: found True, expected an int"),
        ("size", 2**64, "expected an int of 64 bits"),
        ("grows", 1, "grows: found 1, expected True or False"),
        ("fields", None, "fields: found None, expected a tuple"),
        ("scale", (), "scale: found (), expected a mapping"),
        ("when", (1, 2, 3), "when: found (1, 2, 3), expected a pair"),
    ],
)
def test_values_of_another_type_are_named_with_their_path(key, value, said):
    spec = stream(layout()).spec()
    spec["layouts"][0][key] = value
    with pytest.raises(ValueError, match="expected") as error:
        compile_packed(spec)
    assert said in str(error.value)


def test_what_is_no_mapping_is_refused():
    with pytest.raises(ValueError, match="expected a mapping"):
        compile_packed(7)
