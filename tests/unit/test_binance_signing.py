"""Signatures: the venue's published vectors, percent-encoding first, and requests over sockets."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote

import pytest
from cryptography.hazmat.primitives import serialization
from dragoman.adapters.binance import BinanceAdapter
from dragoman.adapters.binance.emulator import make
from dragoman.adapters.binance.requests import KEY_ONLY, act, read, signed_params
from dragoman.adapters.binance.words import SPOT, USDM

from dragoman.plugin import Request
from dragoman.plugin.signing import hmac_sha256_hex
from dragoman.session.wire import body_of, target_of
from dragoman.testing import ScriptedContext

ADAPTER = BinanceAdapter()
SPOT_SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
SPOT_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
USDM_SECRET = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
WIDE = "１２３４５６"


def context(secret=SPOT_SECRET, now_ms=1499827319559, **settings):
    settings = {"recv_window_ms": 5000} | settings
    return ScriptedContext(
        credentials={"api_key": SPOT_KEY, "api_secret": secret}, settings=settings, now_ns=now_ms * 1_000_000
    )


def order(symbol, quantity="1", price="0.1"):
    fields = {"symbol": symbol, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
    return tuple((fields | {"quantity": quantity, "price": price}).items())


@pytest.mark.parametrize(
    ("symbol", "signature"),
    [
        ("LTCBTC", "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"),
        (WIDE, "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3"),
    ],
)
def test_spot_orders_are_signed_as_the_venue_publishes(symbol, signature):
    request = act(SPOT, "POST", "/order", order(symbol), context())
    final = ADAPTER.authorize(request, b"", context())
    assert dict(final.headers)["X-MBX-APIKEY"] == SPOT_KEY
    body = body_of(final)[0].decode()
    assert body.startswith(f"symbol={quote(symbol)}&side=BUY&type=LIMIT")
    assert body.endswith(f"&recvWindow=5000&timestamp=1499827319559&signature={signature}")


def test_futures_orders_are_signed_as_the_venue_publishes():
    payload = (
        "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000"
        "&timestamp=1591702613943"
    )
    ctx = context(USDM_SECRET, 1591702613943)
    fields = tuple(pair for pair in parse_qsl(payload) if pair[0] not in ("recvWindow", "timestamp"))
    final = ADAPTER.authorize(act(USDM, "POST", "/order", fields, ctx), b"", ctx)
    expected = "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"
    assert body_of(final)[0].decode() == f"{payload}&signature={expected}"


def test_socket_requests_are_signed_sorted_and_not_encoded():
    ctx = context(now_ms=1645423376532, recv_window_ms=100)
    fields = {"symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "timeInForce": "GTC"}
    found = signed_params(fields | {"quantity": "0.01000000", "price": "52000.00"}, ctx)
    assert found["signature"] == "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24"
    assert (found["apiKey"], found["timestamp"]) == (SPOT_KEY, 1645423376532)


def test_a_read_signs_the_bytes_of_its_query():
    ctx = context()
    final = ADAPTER.authorize(read(SPOT, "/order", 4, (("symbol", WIDE), ("origClientOrderId", "a b"))), b"", ctx)
    query = target_of("https://api.example", final).partition("?")[2]
    payload, _, signature = query.partition("&signature=")
    assert payload.startswith(f"symbol={quote(WIDE)}&origClientOrderId=a%20b&recvWindow=5000&timestamp=")
    assert signature == hmac_sha256_hex(SPOT_SECRET, payload)


def test_listen_keys_show_the_key_and_sign_nothing():
    final = ADAPTER.authorize(Request(method="POST", path="/fapi/v1/listenKey", note=KEY_ONLY), b"", context())
    assert dict(final.headers) == {"X-MBX-APIKEY": SPOT_KEY}
    assert (final.query, final.form) == ((), None)


def test_ed25519_signatures_verify_with_the_public_key():
    import base64

    pem = make(7, 1_767_254_400_000_000_000, key_type="ed25519").credentials["api_secret"]
    public = serialization.load_pem_private_key(pem.encode(), None).public_key()
    ctx = context(pem)
    final = ADAPTER.authorize(read(SPOT, "/account", 20), b"", ctx)
    payload, _, signature = target_of("https://api.example", final).partition("?")[2].partition("&signature=")
    assert "%" in signature
    assert "+" not in signature
    public.verify(base64.b64decode(dict(final.query)["signature"]), payload.encode())
