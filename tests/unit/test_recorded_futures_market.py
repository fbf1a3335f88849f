"""The recorded futures market, played on a venue."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal as D
from pathlib import Path

import pytest

from dragoman.cli.capture import read_file
from dragoman.cli.demo import demo
from dragoman.emulator.venue import Venue
from dragoman.emulator.venue.recorded import RecordedMarket
from dragoman.emulator.venue.types import Listing
from dragoman.emulator.venue.universe_crypto import recorded_listings
from dragoman.errors import UsageError
from dragoman.model import AssetClass, Instrument, InstrumentType
from dragoman.plugin.registry import load_adapter
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.testing.recorded_market import recorded_markets, recorded_moves
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


def test_a_recording_tells_symbol_market_tick_step_and_price():
    found = recorded_markets(load_adapter("binance"), read_recording(MADE, "made"), feed="usdm")
    assert found == [RecordedMarket("SUSHIUSDT", "BINANCEUSDM", D("0.001"), D(1), D("7.61"))]


def test_what_is_quoted_in_another_currency_is_not_listed():
    pair = RecordedMarket("SUSHIBTC", "BINANCE", D("0.00001"), D(1), D("0.0001"))
    perp = replace(pair, symbol="SUSHIUSDT", exchange="BINANCEUSDM")
    (listing,) = recorded_listings("BINANCE", (pair, perp), quote="USDT", perpetuals="BINANCEUSDM")
    assert listing.instrument.instrument_id == SUSHI.instrument_id
    assert listing.instrument.tick_size == D("0.00001")
    (pair,) = recorded_listings("ALPACA", (replace(pair, symbol="ABC/USD", exchange="ALPACA"),), quote="USD")
    assert pair.instrument.instrument_id == "ALPACA:ABC/USD"


def play_demo(path: Path):
    runtime = VirtualRuntime(seed=5)
    return runtime.run(demo(runtime, "binance", seconds=3.0, seed=5, state_dir="/state", market=path))


def test_demo_lists_the_coins_of_a_recording_and_proves_its_books(tmp_path):
    path = tmp_path / "made.ws.1.0"
    path.write_bytes(MADE)
    result = play_demo(path)
    assert result["recorded"] == [SUSHI.instrument_id]
    assert result["proof"]["agrees"]


def test_demo_plays_the_real_recording():
    path = real_recording()
    result = play_demo(path)
    assert set(result["recorded"]) == {f"BINANCE:{coin}/USDT=PERP" for coin in ("SUSHI", "AKRO", "KEEP", "CTK")}
    assert result["proof"]["agrees"]


def real_recording() -> Path:
    found = [Path(up) / "shared/data/recordings/BINANCE_FUTURES.ws.1.0" for up in Path(__file__).resolve().parents]
    path = next((one for one in found if one.exists()), None)
    if path is None:
        pytest.skip("the recorded futures traffic is not here")
    return path


def test_real_recording_ends_on_its_own_top():
    path = real_recording()
    moves = recorded_moves(load_adapter("binance"), read_file(path), [SUSHI])
    view = played(moves).market(SUSHI.instrument_id)
    assert (view.bids[0][:2], view.asks[0][:2]) == ((D("7.612"), 303), (D("7.616"), 267))
    assert len(view.bids) == len(view.asks) == 20
