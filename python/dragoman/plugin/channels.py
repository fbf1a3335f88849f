"""Market streams on which instruments are subscribed to channels by their symbols: trades, quotes, books.

A mode is a set of channels; a change of mode leaves some and joins others, which needs to be known of each connection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, TypeAlias

from dragoman.model import Instrument, Mode
from dragoman.plugin.feed import Feed, Want

Channels: TypeAlias = dict[str, list[str]]
"""Symbols by channel."""


class ChannelFeed(Feed):
    """A market stream of channels.

    Class attributes
    ----------------
    channels : mapping of Mode to names
        What a mode is made of; a mode that is missing is not served.
    """

    channels: ClassVar[Mapping[Mode, tuple[str, ...]]]

    def __init__(self) -> None:
        self._joined: dict[str, tuple[str, ...]] = {}

    @classmethod
    def serves(cls, instrument: Instrument, mode: Mode) -> bool:
        return mode in cls.channels

    def keys(self, instrument: Instrument) -> Sequence[int | bytes]:
        return (instrument.broker_symbol.encode(),)

    def moved(self, add: Sequence[Want], drop: Sequence[Want]) -> tuple[Channels, Channels]:
        """Return what to leave and what to join so that `add` and `drop` come true, and take it as done."""
        less: Channels = {}
        more: Channels = {}
        for wish, channels in [(one, ()) for one in drop] + [(one, self.channels[one.mode]) for one in add]:
            symbol = wish.instrument.broker_symbol
            had = self._joined.pop(symbol, ())
            for found, names, others in ((less, had, channels), (more, channels, had)):
                for channel in names:
                    if channel not in others:
                        found.setdefault(channel, []).append(symbol)
            if channels:
                self._joined[symbol] = channels
        return less, more
