"""Explanations agree with what the native decoder makes of the same bytes, and leave no byte unmentioned."""

from __future__ import annotations

import json
import pathlib

import pytest
from dragoman.adapters.alpaca.feed import OPTION_STREAM
from dragoman.adapters.binance.feed import FUTURES_STREAM
from dragoman.adapters.upstox.feed import MarketFeed
from dragoman.adapters.zerodha.feed import STREAM
from typer.testing import CliRunner

from dragoman._core import Decoder
from dragoman.cli.app import app
from dragoman.errors import DecodeError, UsageError
from dragoman.plugin import JsonField, JsonKey, JsonLayout, JsonLevels, JsonStream, JsonWhen
from dragoman.plugin.messagepack import Moment, pack_messagepack
from dragoman.testing.explain import explain, hexdump

FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures"
VECTORS = json.loads((FIXTURES / "zerodha" / "vectors.json").read_text())


def told(notes):
    return {note.name: note.value for note in notes if note.covered and note.value is not None}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda one: one["case"])
def test_a_packed_frame_is_explained_with_the_values_the_decoder_finds(vector):
    data = bytes.fromhex(vector["hex"])
    notes = explain(STREAM, data)
    ticks = list(Decoder(STREAM.compile()).decode(data))
    if len(ticks) == 1:
        values = told(notes)
        for name, value in ticks[0].as_dict().items():
            if name in values and not isinstance(values[name], str):
                assert values[name] == value, name
        assert {"last_price"} <= set(values)
    covered = sorted((note.start, note.end) for note in notes)
    assert covered[0][0] == 0 if data else True
    reached = 0
    for start, end in covered:
        assert start <= reached, f"bytes {reached} to {start} are not mentioned"
        reached = max(reached, end)
    assert reached == len(data)


def test_levels_are_explained_row_by_row_and_uncovered_bytes_are_named():
    full = next(one for one in VECTORS if len(one["hex"]) == 2 * (4 + 184))
    notes = explain(STREAM, bytes.fromhex(full["hex"]))
    names = [note.name for note in notes]
    assert {"bid[0].price", "bid[4].orders", "ask[0].quantity"} <= set(names)
    assert any(not note.covered for note in notes)  # two bytes of padding in each row
    shown = "\n".join(hexdump(bytes.fromhex(full["hex"]), notes))
    assert "-- full --" in shown
    assert "(no field covers this)" in shown


@pytest.mark.parametrize("cut", [1, 3, 5, 9, 20])
def test_a_frame_that_is_cut_off_is_explained_as_far_as_it_goes(cut):
    data = bytes.fromhex(VECTORS[0]["hex"])[:cut]
    notes = explain(STREAM, data)
    assert max(note.end for note in notes) == len(data)


def test_a_json_message_shows_path_text_slot_and_value_and_what_nothing_reads():
    message = (
        '{"stream":"x","data":{"e":"depthUpdate","E":1626992741000,"s":"ABC","U":4,"u":7,"pu":3,'
        '"b":[["7.610","6"]],"a":[["7.70","1.50"]],"x":null}}'
    )
    notes = {note.path: note for note in explain(FUTURES_STREAM, message.encode())}
    assert (notes["data.u"].name, notes["data.u"].value) == ("sequence", "7")
    assert (notes["data.b.0.0"].name, notes["data.b.0.0"].raw, notes["data.b.0.0"].value) == (
        "bid[0].price",
        '"7.610"',
        "7.61",
    )
    assert notes["data.s"].name == "key"
    assert notes["data.e"].name == "condition"
    assert not notes["stream"].covered
    assert not notes["data.x"].covered


def test_a_messagepack_message_shows_paths_values_and_times():
    row = {"T": "t", "S": "A", "p": 1.5, "s": 3, "t": Moment(1_767_254_400_000_000_001), "n": -1, "y": b"\x01"}
    notes = {note.path: note for note in explain(OPTION_STREAM, pack_messagepack([row]))}
    assert (notes["0.p"].name, notes["0.p"].raw, notes["0.p"].value) == ("last_price", "1.5", "1.5")
    assert (notes["0.t"].name, notes["0.t"].raw) == (
        "ts_event and last_trade_time",
        "2026-01-01T08:00:00.000000001Z",
    )
    assert notes["0.T"].name == "condition"
    assert (notes["0.y"].raw, notes["0.y"].covered, notes["0.n"].raw) == ("bytes 01", False, "-1")
    with pytest.raises(DecodeError, match="not MessagePack"):
        explain(OPTION_STREAM, b"{}")


def test_elements_of_an_array_each_have_their_layout():
    stream = JsonStream(
        "toy",
        layouts=(
            JsonLayout(
                "trade",
                when=(JsonWhen.equals("t", 1),),
                each="rows",
                key=JsonKey("../s"),
                fields=(JsonField("last_price", "p"),),
            ),
            JsonLayout(
                "book", when=(JsonWhen.has("b"),), each="rows", key=JsonKey("../s"), levels=(JsonLevels("bid", "b"),)
            ),
        ),
    )
    data = b'{"s":"A","rows":[{"t":1,"p":1.50},{"b":[[2,3]]},{"q":1}]}'
    notes = {note.path: note for note in explain(stream, data)}
    assert (notes["rows.0.p"].packet, notes["rows.0.p"].name, notes["rows.0.p"].raw) == ("trade", "last_price", "1.50")
    assert (notes["rows.1.b.0.0"].packet, notes["rows.1.b.0.0"].name) == ("book", "bid[0].price")
    assert not notes["rows.2.q"].covered


def test_an_array_frame_is_several_messages():
    stream = JsonStream("toy", layouts=(JsonLayout("trade", key=JsonKey("s"), fields=(JsonField("last_price", "p"),)),))
    notes = {note.path: note for note in explain(stream, b'[{"s":"A","p":1},{"s":"B","p":2}]')}
    assert (notes["0.p"].value, notes["1.p"].value) == ("1.0", "2.0")


def proto(*fields: tuple[int, bytes | int]) -> bytes:
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += bytes([number << 3]) + varint(value)
        else:
            out += bytes([number << 3 | 2]) + varint(len(value)) + value
    return out


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def test_a_protobuf_message_shows_paths_of_numbers_and_the_decoders_values():
    import struct

    stream = MarketFeed.layouts
    price = bytes([1 << 3 | 1]) + struct.pack("<d", 101.25)
    feed = proto((1, price + proto((2, 1740729552723))))
    frame = proto((1, 1), (2, proto((1, b"NSE_EQ|X"), (2, feed))), (3, 1740729566039), (9, 5))
    notes = explain(stream, frame)
    named = {note.name: note for note in notes}
    assert (named["last_price"].path, named["last_price"].value) == ("2.2.1.1", 101.25)
    assert named["key"].value == "NSE_EQ|X"
    assert named["last_trade_time"].value.startswith("2025-02-28T")
    assert [note.path for note in notes if not note.covered][-1] == "9"
    (tick,) = Decoder(stream.compile()).decode(frame)
    assert tick.last_price == named["last_price"].value


@pytest.mark.parametrize("data", [b"\x0a\xff", b"\x0b", b"\xff" * 11])
def test_what_is_no_protobuf_says_where_it_breaks(data):
    with pytest.raises(DecodeError, match=r"byte [01]: "):
        explain(MarketFeed.layouts, data)


def test_what_is_no_json_or_no_description_is_refused():
    with pytest.raises(DecodeError, match="not JSON"):
        explain(FUTURES_STREAM, b"{")
    with pytest.raises(UsageError, match="object"):
        explain(object(), b"")  # type: ignore[arg-type]


# -- the command -------------------------------------------------------------------------------------------------------


def ran(*words: str):
    return CliRunner().invoke(app, ["layout", "explain", *words])


def test_the_command_takes_digits_files_and_text(tmp_path):
    digits = VECTORS[0]["hex"]
    typed = ran("zerodha", digits)
    assert typed.exit_code == 0, typed.output
    assert "last_price" in typed.stdout
    file = tmp_path / "frame.hex"
    file.write_text(digits)
    assert ran("zerodha", str(file)).stdout == typed.stdout
    raw = tmp_path / "frame.bin"
    raw.write_bytes(bytes.fromhex(digits))
    assert ran("zerodha", str(raw)).stdout == typed.stdout
    rows = json.loads(ran("zerodha", digits, "--json").stdout)
    assert {"start", "end", "name", "raw", "value"} <= set(rows[0])
    shown = ran("binance", '{"e":"aggTrade","s":"A","p":"1.0"}', "--feed", "usdm").stdout
    assert "no field covers" in shown
    packed = pack_messagepack([{"T": "t", "S": "AAPL260117C00150000", "p": 2.5}]).hex()
    assert "last_price = 2.5" in ran("alpaca", packed, "--feed", "options").stdout


def test_the_command_refuses_what_is_no_message():
    assert ran("zerodha", "nonsense!").exit_code != 0
    assert ran("zerodha", "abc").exit_code != 0
