"""``dragoman decode``: captured bytes to unified ticks, one JSON object a line."""

from __future__ import annotations

import base64 as b64
import binascii
import dataclasses
import sys
from pathlib import Path
from typing import Any

import orjson

from dragoman._core import Batch, Decoder
from dragoman.errors import DecodeError, UsageError
from dragoman.plugin import Framing, PackedStream
from dragoman.plugin.feed import StreamLayouts
from dragoman.plugin.registry import load_adapter
from dragoman.runtime.real import RealRuntime

INDEX = 1 << 4
"""The flag of a record whose value is an index, as ``record.hpp`` has it."""


def read_bytes(*, base64: Path | None, hex_: Path | None, raw: Path | None) -> bytes:
    """Read the one file that was named.

    Raises
    ------
    UsageError
        None or several were named, the file is not there, or it is not what its option says.
    """
    given = [path for path in (base64, hex_, raw) if path is not None]
    if len(given) != 1:
        raise UsageError("name one file, with --base64, --hex or --raw")
    try:
        data = RealRuntime().disk.read(str(given[0]))
    except OSError as error:
        raise UsageError(f"{given[0]}: {error.strerror}") from error
    try:
        if base64 is not None:
            return b64.b64decode(b"".join(data.split()), validate=True)
        if hex_ is not None:
            return binascii.unhexlify(b"".join(data.split()))
    except binascii.Error as error:
        raise UsageError(f"{given[0]} is not {'base64' if base64 else 'hexadecimal'} text: {error}") from error
    return data


def decode_bytes(stream: StreamLayouts, data: bytes) -> tuple[Batch, bool]:
    """Decode a frame or, where it is none, one bare packet; return the batch and whether it was bare.

    Raises
    ------
    DecodeError
        The bytes are neither.
    """
    batch = Decoder(stream.compile()).decode(data)
    if not isinstance(stream, PackedStream):
        return batch, False
    if (len(batch) and not batch.errors) or len(data) < stream.framing.min_frame:
        return batch, False  # a frame that short is a heartbeat
    bare = dataclasses.replace(stream, framing=Framing.single(), data_when=None, message_number=None)
    alone = Decoder(bare.compile()).decode(data)
    if len(alone) and not alone.errors:
        return alone, True
    if len(batch) or batch.control or not data:
        return batch, False
    sizes = ", ".join(f"{layout.size} ({layout.name})" for layout in stream.layouts)
    raise DecodeError(f"{len(data)} bytes are neither a frame of stream {stream.name!r} nor a packet of {sizes} bytes")


def tick_objects(batch: Batch, packets: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the records of a batch as plain objects: present fields only, depth as lists of levels.

    `key` is the broker's own number of the instrument: without a master nothing else names it.
    """
    rows = []
    for index, tick in enumerate(batch):
        row = {
            "packet": packets[tick.layout],
            "key": tick.key,
            "kind": tick.kind,
            "mode": tick.mode,
            "tradable": not tick.flags & INDEX,
            **tick.as_dict(),
        }
        bids, asks = batch.levels(index)
        if bids or asks:
            row["depth"] = {
                side: [{"price": price, "quantity": quantity, "orders": orders} for price, quantity, orders in levels]
                for side, levels in (("bids", bids), ("asks", asks))
            }
        rows.append(row)
    return rows


def decode_file(broker: str, *, base64: Path | None, hex_: Path | None, raw: Path | None, feed: str) -> None:
    data = read_bytes(base64=base64, hex_=hex_, raw=raw)
    if not data:
        raise UsageError(f"{base64 or hex_ or raw} is empty", remedy="name a file with a captured frame")
    stream = load_adapter(broker).feed(feed).layouts
    if stream is None:
        raise UsageError(f"{broker}: the {feed} stream carries no binary data")
    batch, bare = decode_bytes(stream, data)
    if bare:
        print("dragoman: read as one bare packet", file=sys.stderr)
    for row in tick_objects(batch, stream.compile().packets):
        print(orjson.dumps(row).decode())
    if batch.errors:
        raise DecodeError(f"{batch.errors} packets of the frame could not be read", remedy="the rest is printed above")
