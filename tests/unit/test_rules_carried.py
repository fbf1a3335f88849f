"""In which mode a stream carries a price, as the layouts of real adapters have it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dragoman.adapters.alpaca.adapter import AlpacaAdapter
from dragoman.adapters.binance.adapter import BinanceAdapter
from dragoman.adapters.upstox.adapter import UpstoxAdapter
from dragoman.adapters.zerodha.adapter import ZerodhaAdapter

from dragoman.errors import ErrorKind, UsageError
from dragoman.model import Instrument, InstrumentType, Mode
from dragoman.rules.carried import mode_for

SHARE = Instrument(
    instrument_id="X:A",
    symbol="A",
    asset_class="EQUITY",
    broker_symbol="A",
    broker_token="1",
    exchange="X",
    instrument_type=InstrumentType.SPOT,
)


@pytest.mark.parametrize(
    ("adapter", "exchange", "source", "mode"),
    [
        (ZerodhaAdapter, "NSE", "last", Mode.LTP),
        (ZerodhaAdapter, "NSE", "mid", Mode.FULL),
        (UpstoxAdapter, "NSE", "mid", Mode.QUOTE),
        (AlpacaAdapter, "NASDAQ", "mid", Mode.QUOTE),
        (BinanceAdapter, "BINANCE", "mid", Mode.QUOTE),
        (BinanceAdapter, "BINANCEUSDM", "mid", Mode.QUOTE),
        (BinanceAdapter, "BINANCEUSDM", "mark", Mode.LTP),
    ],
)
def test_the_least_mode_that_carries_a_price_is_found(adapter, exchange, source, mode):
    assert mode_for(adapter(), replace(SHARE, exchange=exchange), source) is mode


@pytest.mark.parametrize(
    ("adapter", "exchange", "source", "kind"),
    [
        (ZerodhaAdapter, "NSE", "mark", InstrumentType.SPOT),
        (BinanceAdapter, "BINANCE", "mark", InstrumentType.SPOT),
        (ZerodhaAdapter, "NSE", "mid", InstrumentType.INDEX),
    ],
)
def test_a_price_that_is_streamed_in_no_mode_is_refused(adapter, exchange, source, kind):
    with pytest.raises(UsageError, match=f"streams no {source} price") as caught:
        mode_for(adapter(), replace(SHARE, exchange=exchange, instrument_type=kind), source)
    assert caught.value.kind is ErrorKind.NOT_SUPPORTED
