"""The recorded futures market, played on a venue."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal as D
from pathlib import Path

import pytest

from dragoman.cli.capture import read_file
from dragoman.emulator.venue import Venue
from dragoman.emulator.venue.types import Listing
from dragoman.errors import UsageError
from dragoman.model import AssetClass, Instrument, InstrumentType
from dragoman.plugin.registry import load_adapter
from dragoman.testing.recorded_market import recorded_moves
from dragoman.testing.recording import read_recording
from reference.venue_kit import START

SUSHI = Instrument(
    instrument_id="BINANCE:SUSHI/USDT=PERP",
    symbol="SUSHI",
    exchange="BINANCEUSDM",
    asset_class=AssetClass.CRYPTO,
    instrument_type=InstrumentType.PERP,
    tick_size=D("0.001"),
    lot_size=D(1),
    broker_symbol="SUSHIUSDT",
    broker_token="SUSHIUSDT",
)
MADE = b"""\
1.0: {"stream":"x","data":{"e":"bookTicker","u":1,"s":"SUSHIUSDT","b":"7.610","B":"2","a":"7.612","A":"3","E":1000}}
2.0: {"stream":"x","data":{"e":"aggTrade","s":"SUSHIUSDT","p":"7.612","q":"4","T":2000,"E":2000,"m":false}}
"""


def played(moves) -> Venue:
    venue = Venue(3, START)
    venue.list(Listing(instrument=SUSHI, reference=D("0.642"), volatility=0.0001))
    assert venue.play(moves) == (SUSHI.instrument_id,)
    venue.advance(START + moves[-1].ts - moves[0].ts)
    return venue


def test_messages_become_tops_and_trades():
    moves = recorded_moves(load_adapter("binance"), read_recording(MADE, "made"), [SUSHI], feed="usdm")
    view = played(moves).market(SUSHI.instrument_id)
    assert (view.bids[0][:2], view.asks[0][:2]) == ((D("7.610"), 2), (D("7.612"), 3))
    assert (view.last_price, view.last_quantity) == (D("7.612"), 4)


def test_recording_of_other_instruments_is_refused():
    other = replace(SUSHI, instrument_id="BINANCE:ETH/USDT=PERP", broker_symbol="ETHUSDT", broker_token="ETHUSDT")
    with pytest.raises(UsageError, match="names no instrument"):
        recorded_moves(load_adapter("binance"), read_recording(MADE, "made"), [other], feed="usdm")


def test_real_recording_ends_on_its_own_top():
    found = [Path(up) / "shared/data/recordings/BINANCE_FUTURES.ws.1.0" for up in Path(__file__).resolve().parents]
    path = next((one for one in found if one.exists()), None)
    if path is None:
        pytest.skip("the recorded futures traffic is not here")
    moves = recorded_moves(load_adapter("binance"), read_file(path), [SUSHI])
    view = played(moves).market(SUSHI.instrument_id)
    assert (view.bids[0][:2], view.asks[0][:2]) == ((D("7.612"), 303), (D("7.616"), 267))
    assert len(view.bids) == len(view.asks) == 20
