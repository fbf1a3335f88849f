"""A number a broker did not send is never 0 where it is a price, a quantity or an amount held."""

from __future__ import annotations

import pytest
from dragoman.adapters.alpaca import words as alpaca
from dragoman.adapters.binance import BinanceAdapter
from dragoman.adapters.binance import words as binance
from dragoman.adapters.fyers import words as fyers
from dragoman.adapters.upstox import words as upstox
from dragoman.adapters.zerodha import words as zerodha

from dragoman.errors import DecodeError
from dragoman.testing import ScriptedContext, drive

CTX = ScriptedContext(credentials={"api_key": "k", "api_secret": "s"}, settings={"markets": "usdm"})
FILLS = {
    "alpaca": (
        lambda row: alpaca.read_fill(row, CTX),
        {"order_id": "o", "symbol": "AAPL", "cum_qty": "1", "side": "buy", "transaction_time": "2019-08-01T05:19:55Z"},
        ("qty", "price"),
    ),
    "binance": (
        lambda row: binance.read_fill(binance.SPOT, row, "s:BTCUSDT:2", CTX),
        {"symbol": "BTCUSDT", "id": 1, "orderId": 2, "time": 1, "isBuyer": True, "isMaker": False},
        ("qty", "price"),
    ),
    "fyers": (
        lambda row: fyers.read_fill(row, CTX),
        {
            "tradeNumber": "1",
            "orderNumber": "2",
            "symbol": "NSE:SBIN-EQ",
            "exchange": 10,
            "segment": 10,
            "side": 1,
            "productType": "CNC",
            "orderDateTime": "",
        },
        ("tradedQty", "tradePrice"),
    ),
    "upstox": (
        lambda row: upstox.read_fill(row, CTX),
        {
            "trade_id": "1",
            "order_id": "2",
            "exchange": "NSE",
            "trading_symbol": "X-EQ",
            "transaction_type": "BUY",
            "product": "D",
        },
        ("quantity", "average_price"),
    ),
    "zerodha": (
        lambda row: zerodha.read_fill(row, CTX),
        {
            "trade_id": "1",
            "order_id": "2",
            "exchange": "NSE",
            "tradingsymbol": "SBIN",
            "transaction_type": "BUY",
            "product": "CNC",
        },
        ("quantity", "average_price"),
    ),
}


@pytest.mark.parametrize("broker", FILLS)
@pytest.mark.parametrize("value", [None, ""])
def test_a_fill_without_its_price_or_quantity_is_no_fill(broker, value):
    read, row, (quantity, price) = FILLS[broker]
    whole = read({**row, quantity: "3", price: "7.5"})
    assert (whole.quantity, str(whole.price)) == (3, "7.5")
    for missing in (quantity, price):
        with pytest.raises(DecodeError, match=missing):
            read({**row, quantity: "3", price: "7.5", missing: value})


def test_a_futures_position_without_its_amount_does_not_disappear():
    row = {"symbol": "BTCUSDT", "positionSide": "BOTH", "entryPrice": "1"}
    adapter = BinanceAdapter()

    def positions(*amounts):
        rows = [row | {"positionAmt": amount} for amount in amounts]
        return drive(adapter.positions(CTX), [rows], adapter=adapter, ctx=CTX).result

    assert [one.quantity for one in positions("0", "-2")] == [-2]
    with pytest.raises(DecodeError, match="positionAmt"):
        positions("0", None)
