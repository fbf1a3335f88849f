"""Recorded traffic as the market of a venue: what a recording says of prices, books and trades happens there again.

The recording is read by the adapter's own layouts and books, as `dragoman.testing.replay` does. Instruments match by
the keys that name them in the messages; those the recording does not name keep the venue's own walk. What the venue
does not list can be listed first, with the ticks and steps the recording is written in (`recorded_markets`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from dragoman._core import Batch, Books, Tick, instrument_name
from dragoman.client import Client
from dragoman.emulator.venue.recorded import RecordedMarket, RecordedMove
from dragoman.emulator.venue.types import VenueProtocol
from dragoman.errors import UsageError
from dragoman.model import Instrument
from dragoman.plugin import Adapter
from dragoman.testing.recording import Recording, instrument_row
from dragoman.testing.replay import named_instruments, replay

__all__ = ["LEVELS", "drive_market", "recorded_markets", "recorded_moves"]

LEVELS = 20
"""How many levels a side of a recorded book becomes the venue's."""


def recorded_moves(
    adapter: Adapter, recording: Recording, instruments: Iterable[Instrument], *, feed: str = ""
) -> list[RecordedMove]:
    """Return what happened to instruments in a recording, in order of time.

    Parameters
    ----------
    adapter : Adapter
        Whose layouts read the recording.
    recording : Recording
    instruments : iterable of Instrument
        Of the adapter's master: their keys find them in the messages.
    feed : str
        Stream whose layouts to use; found by trying, see `replay`.

    Raises
    ------
    UsageError
        No stream of the adapter reads the recording, or none of the instruments is in it.
    """
    rows = [instrument_row(one) for one in instruments]
    moves: list[RecordedMove] = []
    told: dict[int, tuple[float | None, ...]] = {}

    def take(batch: Batch, books: Books) -> None:
        found = (_move(tick, books, told) for tick in batch if tick.instrument >= 0)
        moves.extend(move for move in found if move is not None)

    replay(adapter, replace(recording, instruments=rows), feed=feed, on_batch=take)
    if not moves:
        raise UsageError(
            f"the recording names no instrument that the emulated {adapter.name} lists",
            remedy="record instruments that it lists: `dragoman instruments` finds them",
        )
    return moves


def recorded_markets(adapter: Adapter, recording: Recording, *, feed: str = "") -> list[RecordedMarket]:
    """Return what a recording tells of its instruments: for `Emulator.list_recorded`. Raises as `recorded_moves`."""
    instruments = named_instruments(adapter, recording, feed=feed)
    moves: dict[str, list[RecordedMove]] = {}
    for move in recorded_moves(adapter, recording, instruments, feed=feed):
        moves.setdefault(move.instrument_id, []).append(move)
    return [_market(one, moves[one.instrument_id]) for one in instruments if one.instrument_id in moves]


def _market(instrument: Instrument, moves: Iterable[RecordedMove]) -> RecordedMarket:
    levels = [level for move in moves for level in (*((move.trade,) if move.trade else ()), *move.bids, *move.asks)]
    tick, step = (_finest(column) for column in zip(*levels, strict=True))
    return RecordedMarket(instrument.broker_symbol, instrument.exchange, tick, step, levels[0][0])


def _finest(values: Iterable[Decimal]) -> Decimal:
    """Return the unit of the last digit that any of the values has, 1 where all are whole."""
    digits = (int(value.normalize().as_tuple().exponent) for value in values)
    return Decimal(1).scaleb(min(0, *digits))


async def drive_market(
    client: Client, adapter: Adapter, venue: VenueProtocol, recording: Recording, *, speed: float = 1.0
) -> tuple[str, ...]:
    """Let a recording drive a venue from now on; return the instruments it drives.

    Parameters
    ----------
    client : Client
        Connected to the venue's emulator: its master tells the keys of the venue's instruments.
    speed : float
        How many recorded seconds pass in one; 1 is the recorded pace.
    """
    # What the adapter does not know, no message of its streams can name.
    found = (client.instruments.get(listing.instrument.instrument_id) for listing in venue.listings())
    listed = [one for one in found if one is not None]
    return venue.play(recorded_moves(adapter, recording, listed), speed=speed)


def _move(tick: Tick, books: Books, told: dict[int, tuple[float | None, ...]]) -> RecordedMove | None:
    book = books.book(tick.instrument)
    bids: tuple[tuple[Decimal, Decimal], ...] = ()
    asks: tuple[tuple[Decimal, Decimal], ...] = ()
    if book.updates and not book.stale and not book.crossed:
        depth = book.snapshot(LEVELS)
        bids, asks = (
            tuple((_exact(level[0]), _exact(level[1])) for level in side) for side in (depth.bids, depth.asks)
        )
    elif tick.bid_price and tick.ask_price and tick.bid_price < tick.ask_price:
        bids = ((_exact(tick.bid_price), _exact(tick.bid_quantity or 0)),)
        asks = ((_exact(tick.ask_price), _exact(tick.ask_quantity or 0)),)
    trade = None
    if tick.last_price:
        said = (tick.last_price, tick.last_quantity, tick.volume)
        if tick.kind == "trade" or told.get(tick.instrument) != said:
            trade = (_exact(tick.last_price), _exact(tick.last_quantity or 0))
        told[tick.instrument] = said
    if not bids and not asks and trade is None:
        return None
    return RecordedMove(tick.ts_recv, instrument_name(tick.instrument), bids, asks, trade)


def _exact(value: float) -> Decimal:
    return Decimal(repr(value))
