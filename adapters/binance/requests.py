"""How requests are made and signed: the query of reads and cancels, the form of everything that creates or changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, quote_plus, urlencode

from dragoman.plugin import Context, Flow, Lane, Reply, Request, errors
from dragoman.plugin.parts import Pairs, hmac_sha256_hex, is_pem, pairs, sign_pem

from .words import RECORDS, Market

KEY_HEADER: Final = "X-MBX-APIKEY"
USER_STREAM: Final = "spot-user"
"""Name of the stream whose socket also carries requests."""
KEY_ONLY: Final = "key"
"""Note of requests that show the key and are not signed."""
REPLACING: Final = "rpl-"
"""Begins the client id of a cancel that is half of a replacement (``cancelNewClientOrderId``: name unverified)."""
_IN_FORM: Final = ("POST", "PUT")
_ACT: Final = Request(mutates=True)


def sign(payload: str, ctx: Context) -> str:
    """Sign text with the account's secret: HMAC-SHA256 in hex, or a private key's signature in base64."""
    secret = ctx.credentials["api_secret"].reveal()
    return sign_pem(secret, payload) if is_pem(secret) else hmac_sha256_hex(secret, payload)


def _stamp(ctx: Context) -> Pairs:
    window = ctx.settings.get("recv_window_ms")
    return pairs(recvWindow=None if window is None else str(window), timestamp=str(ctx.now_ns // 1_000_000))


def signed(request: Request, ctx: Context) -> Request:
    """Return a request with time, key and signature; over a socket they stand in its parameters."""
    key = ctx.credentials["api_key"].reveal()
    if request.via == "socket":
        return request.but(json={**request.json, "params": signed_params(request.json["params"], ctx)})
    request = request.but(headers=(*request.headers, (KEY_HEADER, key)))
    if request.note == KEY_ONLY:
        return request
    if request.method in _IN_FORM:
        form = (*(request.form or ()), *_stamp(ctx))
        # The bytes that are signed are those that leave: percent-encoded, in this order.
        return request.but(form=(*form, ("signature", sign(urlencode(form, quote_via=quote_plus), ctx))))
    query = (*request.query, *_stamp(ctx))
    payload = urlencode(query, quote_via=quote, safe="")
    return request.but(query=(*query, ("signature", sign(payload, ctx))))


def signed_params(params: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """Return the parameters of a request over the WebSocket interface: signed sorted by name, not encoded."""
    found = {**params, **dict(_stamp(ctx)), "apiKey": ctx.credentials["api_key"].reveal()}
    payload = "&".join(f"{name}={found[name]}" for name in sorted(found))
    return found | {"timestamp": int(found["timestamp"]), "signature": sign(payload, ctx)}


def read(market: Market, path: str, weight: int, query: Pairs = (), **more: Any) -> Request:
    """Return a read of a market's interface; `path` is below its root unless it is whole."""
    path = path if path.startswith("/fapi/") else market.root + path
    return Request(path=path, host=market.host, query=query, meter=market.meter, cost=weight, **more)


def act(market: Market, method: str, path: str, fields: Pairs, ctx: Context, *, call: str = "", **more: Any) -> Request:
    """Return a request about an order; `call` names it on the WebSocket interface, where the profile wants that."""
    request = _ACT.but(method=method, path=market.root + path, host=market.host, meter=market.orders_meter)
    if more:
        request = request.but(**more)
    if method == "DELETE":
        request = request.but(lane=Lane.RISK)
    if call and ctx.settings.get("orders_via", "rest") == "socket":
        name = ctx.random_bytes(8).hex()
        message = {"id": name, "method": call, "params": dict(fields)}
        return request.but(
            method="SEND", path=call, host="rest", via="socket", socket=USER_STREAM, correlation=name, json=message
        )
    return request.but(form=fields) if method in _IN_FORM else request.but(query=fields)


def result(reply: Reply, request: Request) -> Any:
    """Return what a reply holds, decimals exact, whichever way it came."""
    found = RECORDS.loads(reply.body)
    return found["result"] if request.via == "socket" else found


def ask(request: Request, what: str) -> Flow[Any]:
    """Send a request and return what its reply holds."""
    reply = yield request
    with RECORDS.reading(what):
        return result(reply, request)


def markets_of(ctx: Context) -> frozenset[str]:
    """Return the exchanges the profile's ``settings.markets`` names: ``spot``, ``usdm``, or both. Raises UsageError."""
    word = ctx.settings.get("markets", "both")
    chosen = {"spot": ("BINANCE",), "usdm": ("BINANCEUSDM",), "both": ("BINANCE", "BINANCEUSDM")}.get(str(word))
    if chosen is None:
        raise errors.UsageError(
            f"binance: settings.markets is {word!r}", broker="binance", remedy="use spot, usdm or both"
        )
    return frozenset(chosen)
