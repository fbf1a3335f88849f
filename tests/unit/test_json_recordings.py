"""Recorded traffic of real venues decodes to what an independent reading with `decimal` finds."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from decimal import Decimal

from dragoman._core import Decoder
from dragoman.plugin import JsonKey, JsonLayout, JsonLevels, JsonStream, JsonWhen
from reference.json_decoder import Reference, written
from reference.json_streams import CHANGES, POSITIONAL, WRAPPED


def frames_of(path):
    """Yield the received frames of a recording: `<unix time>: <json>` lines."""
    for line in path.read_text().splitlines():
        stamp, _, body = line.partition(": ")
        if stamp.replace(".", "").isdecimal():
            yield body.encode()


def rows_of(batch, record):
    begin = int(record["level_begin"])
    return batch.level_ops[begin : begin + int(record["level_count"])]


def texts_of(rows, side):
    return [
        [
            written(float(row["price"]), int(row["price_decimals"])),
            written(float(row["quantity"]), int(row["quantity_decimals"])),
        ]
        for row in rows
        if row["side"] == side
    ]


def test_every_futures_level_equals_an_independent_decimal_decode(real_data):
    decoder = Decoder(WRAPPED.compile())
    kinds = Counter()
    for frame in frames_of(real_data / "recordings" / "BINANCE_FUTURES.ws.1.0"):
        batch = decoder.decode(frame)
        data = json.loads(frame)["data"]
        kinds[data["e"]] += 1
        if data["e"] != "depthUpdate":
            continue
        assert batch.errors == 0
        (record,) = batch.records
        rows = rows_of(batch, record)
        assert texts_of(rows, 0) == data["b"]
        assert texts_of(rows, 1) == data["a"]
        wanted = [(float(Decimal(price)), float(Decimal(quantity))) for price, quantity in data["b"] + data["a"]]
        assert [(float(row["price"]), float(row["quantity"])) for row in rows] == wanted
        assert (record["sequence"], record["prev_sequence"]) == (data["u"], data["U"] - 1)
        assert record["ts_event"] == data["E"] * 1_000_000
    assert kinds["depthUpdate"] == 764
    assert decoder.counters["truncated"] == 0


def test_positional_books_keep_the_digits_that_their_checksums_are_made_of(real_data):
    decoder = Decoder(POSITIONAL.compile())
    messages = levels = 0
    for frame in frames_of(real_data / "recordings" / "KRAKEN.ws.50.0"):
        batch = decoder.decode(frame)
        value = json.loads(frame)
        if isinstance(value, dict):
            assert len(batch) == 0
            assert batch.control
            continue
        maps = [part for part in value[1:-2] if isinstance(part, dict)]
        bids = [row[:2] for part in maps for name in ("bs", "b") for row in part.get(name, [])]
        asks = [row[:2] for part in maps for name in ("as", "a") for row in part.get(name, [])]
        (record,) = batch.records
        rows = rows_of(batch, record)
        assert texts_of(rows, 0) == bids
        assert texts_of(rows, 1) == asks
        messages += 1
        levels += len(rows)
    assert messages > 4000
    assert levels > 10_000
    assert decoder.counters["rejected_values"] == 0


def test_changes_with_a_side_in_each_row_decode_as_the_reference_reads_them(real_data):
    decoder, reference = Decoder(CHANGES.compile()), Reference(CHANGES)
    kinds = Counter()
    for frame in frames_of(real_data / "recordings" / "COINBASE.ws.28.0"):
        records, control, _ = reference.decode(frame)
        batch = decoder.decode(frame)
        assert len(batch) == len(records)
        assert len(batch.control) == len(control)
        for row, record in zip(batch.records, records, strict=True):
            ops = rows_of(batch, row)
            found = [(float(x["price"]), float(x["quantity"]), int(x["price_decimals"])) for x in ops]
            assert found == [(level[0], level[1], level[4]) for level in record["levels"]]
            assert record["fields"].get("ts_event", row["ts_event"]) == row["ts_event"]
            kinds[record["kind"]] += 1
    assert kinds["depth_delta"] > 9000
    assert kinds["depth_snapshot"] == 10
    assert decoder.counters["malformed"] == decoder.counters["truncated"] == 0


OBJECTS = JsonStream(
    "objects",
    layouts=(
        JsonLayout(
            "book",
            when=(JsonWhen.equals("/channel", "book"),),
            each="data",
            key=JsonKey("symbol"),
            kind="depth_delta",
            snapshot_when=JsonWhen.equals("/type", "snapshot"),
            levels=(JsonLevels("bid", "bids", "price", "qty"), JsonLevels("ask", "asks", "price", "qty")),
        ),
    ),
)


def test_levels_as_objects_keep_the_digits_of_their_checksum():
    price = ("45283.5", "45283.4", "45282.1")
    asks = ("45285.2", "45286.4", "45286.6")
    rows = {
        "bids": ",".join(f'{{"price":{p},"qty":0.{n}0000000}}' for n, p in enumerate(price, 1)),
        "asks": ",".join(f'{{"qty":0.00{n}00000,"price":{p}}}' for n, p in enumerate(asks, 1)),
    }
    data = f'{{"symbol":"BTC/USD","bids":[{rows["bids"]}],"asks":[{rows["asks"]}],"checksum":1}}'
    frame = f'{{"data":[{data}],"type":"snapshot","channel":"book"}}'.encode()
    batch = Decoder(OBJECTS.compile()).decode(frame)
    (record,) = batch.records
    levels = rows_of(batch, record)
    digits = "".join(
        text.replace(".", "").lstrip("0") for side in (1, 0) for row in texts_of(levels, side) for text in row
    )
    wanted = "".join(f"{p.replace('.', '')}{n}00000" for n, p in enumerate(asks, 1))
    wanted += "".join(f"{p.replace('.', '')}{n}0000000" for n, p in enumerate(price, 1))
    assert zlib.crc32(digits.encode()) == zlib.crc32(wanted.encode())


def raw_messages(text):
    """Yield each message of the document as it is written in it: the snapshot, then the updates."""
    scan, at = json.JSONDecoder().raw_decode, text.index("{", text.index('"init"'))
    _, end = scan(text, at)
    yield text[at:end].encode()
    at = text.index("[", text.index('"updates"')) + 1
    while (at := text.find("{", at)) >= 0:
        _, end = scan(text, at)
        yield text[at:end].encode()
        at = end


def test_a_recorded_book_of_objects_has_the_checksum_of_each_of_its_messages(real_data):
    decoder, sides, checked = Decoder(OBJECTS.compile()), ({}, {}), 0
    for frame in raw_messages((real_data / "recordings" / "kraken-v2-book10.json").read_text()):
        batch = decoder.decode(frame)
        (record,) = batch.records
        for row in rows_of(batch, record):
            sides[row["side"]][float(row["price"])] = float(row["quantity"])
        bids, asks = (sorted((one for one in side if side[one]), reverse=at == 0) for at, side in enumerate(sides))
        best = ((1, asks[:10]), (0, bids[:10]))
        for at, prices in best:  # what falls out of the ten levels is not deleted by a message
            kept = {price: sides[at][price] for price in prices}
            sides[at].clear()
            sides[at].update(kept)
        # The file has lost the zeros at the end of its numbers; the venue writes one and eight digits.
        texts = (f"{price:.1f} {sides[at][price]:.8f}" for at, prices in best for price in prices)
        digits = "".join(text.replace(".", "").lstrip("0") for pair in texts for text in pair.split())
        assert zlib.crc32(digits.encode()) == json.loads(frame)["data"][0]["checksum"]
        checked += 1
    assert checked == 510
    assert decoder.counters["rejected_values"] == 0
