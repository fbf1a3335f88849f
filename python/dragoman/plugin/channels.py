"""Market streams on which instruments are subscribed to channels by their symbols: trades, quotes, books."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, TypeAlias

from dragoman.model import Instrument, Mode
from dragoman.plugin.feed import Feed, Want
from dragoman.plugin.subscriptions import Subscriptions

Topic: TypeAlias = tuple[str, str]
"""A channel and a symbol."""


class ChannelFeed(Feed):
    """A market stream of channels.

    Class attributes
    ----------------
    channels : mapping of Mode to names
        What a mode is made of; a mode that is missing is not served.
    """

    channels: ClassVar[Mapping[Mode, tuple[str, ...]]]

    def __init__(self) -> None:
        self._subscriptions = Subscriptions[Topic]()

    @classmethod
    def serves(cls, instrument: Instrument, mode: Mode) -> bool:
        return mode in cls.channels

    def keys(self, instrument: Instrument) -> Sequence[int | bytes]:
        return (instrument.broker_symbol.encode(),)

    def moved(self, add: Iterable[Want], drop: Iterable[Want]) -> tuple[list[Topic], list[Topic]]:
        """Return what to leave and what to join so that `add` and `drop` come true, and take it as done."""
        wanted = ((one.instrument.broker_symbol, one.mode) for one in add)
        return self._subscriptions.change(
            ((symbol, [(channel, symbol) for channel in self.channels[mode]]) for symbol, mode in wanted),
            (one.instrument.broker_symbol for one in drop),
        )


def by_channel(topics: Iterable[Topic]) -> dict[str, list[str]]:
    """Return the symbols of each channel."""
    found: dict[str, list[str]] = {}
    for channel, symbol in topics:
        found.setdefault(channel, []).append(symbol)
    return found
