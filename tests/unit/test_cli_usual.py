"""What an order is where its command does not say, also at a broker without DELIVERY or trading days."""

from __future__ import annotations

import pytest

from dragoman.cli.usual import product_of, validity_of
from dragoman.plugin.registry import load_adapter, plugins


@pytest.mark.parametrize(
    ("broker", "instrument", "product", "validity"),
    [
        ("zerodha", "NSE:INFY", "DELIVERY", "DAY"),
        ("zerodha", "NFO:NIFTY@20261224", "DELIVERY", "DAY"),
        ("alpaca", "US:AAPL", "DELIVERY", "DAY"),
        ("binance", "BINANCE:BTC/USDT", "CASH", "GTC"),
        ("binance", "BINANCE:BTC/USDT=PERP", "MARGIN", "GTC"),
        ("binance", "BTCUSDT", "CASH", "GTC"),
    ],
)
def test_an_order_is_for_delivery_and_the_day_or_what_comes_nearest(broker, instrument, product, validity):
    adapter = load_adapter(broker)
    assert (product_of(adapter, instrument), validity_of(adapter)) == (product, validity)


@pytest.mark.parametrize("broker", sorted(plugins()))
def test_every_broker_offers_what_is_usual_at_it(broker):
    adapter = load_adapter(broker)
    assert product_of(adapter, "X:Y") in adapter.capabilities.products
    assert validity_of(adapter) in adapter.capabilities.time_in_force
