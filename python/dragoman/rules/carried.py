"""In which mode a broker's stream carries the price that a rule watches, read from the layouts of its messages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Final

from dragoman.errors import ErrorKind, UsageError
from dragoman.model import Instrument, InstrumentType, Mode
from dragoman.plugin import Adapter, JsonLevels, Levels, ProtoLevels
from dragoman.plugin.layout_protobuf import ProtoColumns

RANK: Final = {mode: rank for rank, mode in enumerate((Mode.LTP, Mode.QUOTE, Mode.FULL, Mode.DEEP))}
_NAMED: Final = {"mark": frozenset(("mark_price",)), "mid": frozenset(("bid_price",))}
_BOTH_SIDES: Final = (Levels, JsonLevels, ProtoLevels, ProtoColumns)


def mode_for(adapter: Adapter, instrument: Instrument, source: str) -> Mode:
    """Return the least mode in which an instrument's stream tells a price.

    Parameters
    ----------
    adapter : Adapter
    instrument : Instrument
    source : {"last", "mark", "mid"}

    Raises
    ------
    UsageError
        It is told in none.
    """
    offered = sorted(adapter.capabilities.modes, key=RANK.__getitem__)
    if source == "mid" and instrument.instrument_type is InstrumentType.INDEX:
        offered = []  # nobody bids for it
    elif source == "last":
        return offered[0] if offered else Mode.QUOTE
    for mode in offered:
        layouts = [
            feed.layouts
            for feed in adapter.feeds
            if feed.kind != "orders" and feed.layouts is not None and feed.serves(instrument, mode)
        ]
        if any(RANK[found] <= RANK[mode] for found in _within(layouts, source)):
            return mode
    raise UsageError(
        f"{adapter.name} streams no {source} price of {instrument.instrument_id}",
        kind=ErrorKind.NOT_SUPPORTED,
        remedy='use source="last"; nothing was armed',
    )


def _within(node: object, source: str, mode: Mode = Mode.QUOTE, *, delta: bool = False) -> Iterator[Mode]:
    """Yield the mode of each message below a part of a layout that tells a price."""
    if isinstance(node, (tuple, list)):
        for one in node:
            yield from _within(one, source, mode, delta=delta)
        return
    if not is_dataclass(node):
        if isinstance(node, str) and node in _NAMED[source]:
            yield mode
        return
    if isinstance(node, _BOTH_SIDES):
        if source == "mid" and not delta:  # what has changed of a book is not its best
            yield mode
        return
    told = getattr(getattr(node, "shape", None) or node, "mode", "none")
    if told in RANK:
        mode = Mode(told)
    for one in fields(node):
        yield from _within(getattr(node, one.name), source, mode, delta=delta or _is_delta(node))


def _is_delta(node: object) -> bool:
    return getattr(node, "kind", "") == "depth_delta"
