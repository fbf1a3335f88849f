"""Binance spot and USD-M futures: tables, sessions, errors.

References
----------
The venue's documentation as dated in `words`; sources of single facts are in README.md and codes.toml.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from dragoman.plugin import (
    YES,
    Capabilities,
    ChargesTable,
    Context,
    Credential,
    Download,
    ErrorEffect,
    ErrorKind,
    Failure,
    Flow,
    RateLimit,
    Reply,
    Request,
    Scope,
    Session,
    SessionRules,
    TradingHours,
    Window,
    model,
    no,
)
from dragoman.plugin.keys import KeySession
from dragoman.plugin.refusals import SHOWN, json_or_none, number_in

from .account import AccountFlows
from .changes import ChangeFlows
from .feed import FuturesDepth, FuturesTrades, FuturesUser, SpotMarket, SpotUser
from .fields import WIRE_ID_LENGTH
from .master import parser
from .requests import markets_of, read, signed
from .words import CODES, MARKETS, RECORDS, SPOT, USDM

_T = model.OrderType
_CONDITIONAL: Final = (_T.STOP_MARKET, _T.STOP_LIMIT, _T.MARKET_IF_TOUCHED, _T.LIMIT_IF_TOUCHED)
_TRAILING: Final = (_T.TRAILING_STOP_MARKET, _T.TRAILING_STOP_LIMIT)

CAPABILITIES: Final = Capabilities(
    order_types=frozenset((_T.MARKET, _T.LIMIT, *_CONDITIONAL, *_TRAILING)),
    products=frozenset((model.Product.CASH, model.Product.MARGIN)),
    time_in_force=frozenset(
        (model.TimeInForce.GTC, model.TimeInForce.IOC, model.TimeInForce.FOK, model.TimeInForce.GTD)
    ),
    varieties=frozenset((model.Variety.REGULAR,)),
    segments=frozenset(MARKETS),
    modes=frozenset((model.Mode.LTP, model.Mode.QUOTE, model.Mode.FULL)),
    depth_levels=(1000,),
    quantity_unit=dict.fromkeys(MARKETS, model.QuantityUnit.UNITS),
    features={
        **dict.fromkeys(("place", "modify", "cancel", "order_history", "trades", "order_stream", "positions"), YES),
        **dict.fromkeys(("margins", "holdings", "quotes", "depth", "candles", "profile", "balances"), YES),
        "convert": no("spot and futures are wallets of their own; a position has one product"),
        "order_margin": no("the venue has no calculator; margin is notional over leverage"),
        "gtt": no("conditional orders are orders here: place STOP_... or ..._IF_TOUCHED"),
        "bracket": no("order lists (OCO, OTO) are not built in this version of the adapter"),
        "basket": no("batch orders are not built in this version of the adapter; orders go one by one"),
        "slice": no("the venue does not split orders"),
    },
    modify_keeps_id=False,
    replace_restarts_fills=True,
    wire_id_carrier="newClientOrderId",
    wire_id_length=WIRE_ID_LENGTH,
    market_orders="native",
    # 1024 streams a connection, at most three of them for an instrument.
    max_instruments_per_socket=340,
    max_sockets=32,
    order_fields=frozenset(
        "post_only reduce_only position_side expire_time_ns self_trade_prevention trailing_offset"
        " trailing_offset_type".split()
    ),
    reasons={
        "DELIVERY": "spot orders are CASH here, futures orders MARGIN",
        "INTRADAY": "spot orders are CASH here, futures orders MARGIN",
        "CARRY": "spot orders are CASH here, futures orders MARGIN",
        "MTF": "margin trading of spot pairs is not built in this version of the adapter",
        "DAY": "the venue has no trading days: use GTC",
        "AT_THE_OPEN": "the venue has no opening",
        "AT_THE_CLOSE": "the venue has no closing",
        "ICEBERG": "give display_quantity on a REGULAR spot order",
        "AMO": "the venue never closes",
        "deep": "FULL carries the whole book that the venue sends",
        "notional": "an order of ours needs a quantity",
        "leverage": "leverage is a setting of a symbol, not of an order: set it at the venue",
        "extended_hours": "the venue never closes",
        "algo_id": "the venue has none",
    },
)

_SOURCE: Final = "protocol page section 6"
_C: Final = Window.CALENDAR
LIMITS: Final = (
    RateLimit("spot", 6000, "1m", Scope.IP, _C, reserve=200, source=_SOURCE),
    RateLimit("usdm", 2400, "1m", Scope.IP, _C, reserve=100, source=_SOURCE),
    # Samples of the documentation; the venue counts unfilled orders, so this is never more than it allows.
    RateLimit("spot_orders", 50, "10s", Scope.ACCOUNT, _C, reserve=5, source=_SOURCE),
    RateLimit("spot_orders", 160_000, "1d", Scope.ACCOUNT, _C, reserve=1000, source=_SOURCE),
    RateLimit("usdm_orders", 300, "10s", Scope.ACCOUNT, _C, reserve=30, source=_SOURCE),
    RateLimit("usdm_orders", 1200, "1m", Scope.ACCOUNT, _C, reserve=100, source=_SOURCE),
    RateLimit("usdm_orders", 9999, scope=Scope.ORDER, source="protocol page section 3.3: modifications of an order"),
    RateLimit("default", 100, "1s", Scope.IP, source="nothing of this adapter spends it"),
)
_NO_ANSWER: Final = 408
_SERVER: Final = 500
_COUNTED: Final = (
    ("x-mbx-used-weight-1m", "{}/1m"),
    ("x-mbx-order-count-10s", "{}_orders/10s"),
    ("x-mbx-order-count-1m", "{}_orders/1m"),
    ("x-mbx-order-count-1d", "{}_orders/1d"),
)


class BinanceAdapter(KeySession, ChangeFlows, AccountFlows):
    """Spot and USD-M futures of one account."""

    contract = 1
    name = "binance"
    title = "Binance (spot, USD-M futures)"
    hosts = {
        "live": {
            "rest": "https://api.binance.com",
            "futures": "https://fapi.binance.com",
            "ws": "wss://stream.binance.com:9443",
            "ws_api": "wss://ws-api.binance.com:443/ws-api/v3",
            "futures_ws": "wss://fstream.binance.com",
        },
        "sandbox": {
            "rest": "https://demo-api.binance.com",
            "futures": "https://demo-fapi.binance.com",
            "ws": "wss://demo-stream.binance.com",
            "ws_api": "wss://demo-ws-api.binance.com/ws-api/v3",
            "futures_ws": "wss://demo-fstream.binance.com",
        },
        "emulator": {},
    }
    credentials = (
        Credential("api_key", secret=False, needed_for="always", meaning="the API key"),
        Credential(
            "api_secret",
            needed_for="always",
            meaning="its HMAC secret, or the Ed25519 (or RSA) private key in PEM whose public half is registered",
        ),
    )
    capabilities = CAPABILITIES
    limits = LIMITS
    # An order is refused recvWindow (5 s) after its timestamp, and the backend gives up after 10 s.
    session = SessionRules(time_zone="UTC", refresh="none", queue_time_s=20.0, settle_s=2.0)
    hours = (TradingHours(weekdays=frozenset(range(7))),)
    codes = CODES
    charges_table = ChargesTable.load(__package__)
    feeds = (SpotMarket, FuturesTrades, FuturesDepth, SpotUser, FuturesUser)
    emulator = "dragoman.adapters.binance.emulator:make"

    # -- pure functions ----------------------------------------------------------------------------------------------

    def authorize(self, request: Request, body: bytes, ctx: Context) -> Request:
        return signed(request, ctx) if request.auth else request

    def classify(self, reply: Reply, request: Request) -> Failure | None:
        body = json_or_none(reply)
        status, found = reply.status, body
        if request.via == "socket" and isinstance(body, Mapping):
            status, found = int(body["status"]), body.get("error", body)
        if 200 <= status < 300 and body is not None:
            return None
        code, text = f"HTTP {status}", ""
        if isinstance(found, Mapping) and type(found.get("code")) is int:
            code, text = str(found["code"]), str(found.get("msg") or "")
        failure = self._meaning(code, text, status, request)
        ambiguous = request.mutates and (status == _NO_ANSWER or status >= _SERVER)
        if ambiguous and failure.effect is ErrorEffect.NONE and failure.kind is not ErrorKind.MAINTENANCE:
            # Whatever its number says: that nothing was processed is documented of MAINTENANCE only.
            failure = self._meaning(f"HTTP {status}", "", status, request)
        text = text or reply.text[:SHOWN]
        message = f"{code}: {text}" if text else code
        return replace(failure, code=code, text=text, message=message, retry_after_s=number_in(reply, "retry-after"))

    def _meaning(self, code: str, text: str, status: int, request: Request) -> Failure:
        """Look a code up, for futures under their own rows first."""
        for market in (f"{USDM.meter}/", "") if request.host == USDM.host else ("",):
            failure = self.codes.classify(
                code=market + code, text=market + text, status=status, mutates=request.mutates
            )
            if failure.kind is not ErrorKind.UNMAPPED:
                break
        return failure

    def usage(self, reply: Reply, request: Request) -> Mapping[str, int]:
        if request.via == "socket" or request.path.endswith("/ticker/bookTicker"):
            return {}  # the header of this one is wrong
        meter = USDM.meter if request.host == USDM.host else SPOT.meter
        counts = ((name.format(meter), number_in(reply, header)) for header, name in _COUNTED)
        return {name: count for name, count in counts if count is not None}

    def correlate(self, message: Any) -> str | None:
        found = RECORDS.loads(message)
        return found["id"] if isinstance(found, Mapping) and isinstance(found.get("id"), str) else None

    def order_defaults(self, instrument: model.Instrument) -> Mapping[str, Any]:
        return {"time_in_force": model.TimeInForce.GTC, "product": MARKETS[instrument.exchange].product}

    # -- session -----------------------------------------------------------------------------------------------------

    def login(self, ctx: Context) -> Flow[Session]:
        """There is nothing to log in to: the key is tried on the account it belongs to."""
        futures_only = SPOT.exchange not in markets_of(ctx)
        path = "/fapi/v3/balance" if futures_only else "/account"
        query = () if futures_only else (("omitZeroBalances", "true"),)
        market, weight = (USDM, 5) if futures_only else (SPOT, 20)
        reply = yield signed(read(market, path, weight, query, auth=False), ctx)
        with RECORDS.reading("account"):
            token = _fingerprint(ctx)
            account = token if futures_only else str(RECORDS.loads(reply.body)["uid"])
            return Session(token, account, {"key": token}, secrets=frozenset())

    def import_token(self, token: str, ctx: Context) -> Flow[Session]:
        if token != _fingerprint(ctx):
            what = "there are no access tokens; what was kept is of another key"
            raise RECORDS.denied(what, "log in with api_key and api_secret")
        return (yield from self.login(ctx))

    def instruments(self, ctx: Context) -> Flow[int]:
        rows = 0
        for exchange in sorted(markets_of(ctx)):
            market = MARKETS[exchange]
            weight = 20 if market is SPOT else 1
            request = read(market, "/exchangeInfo", weight, auth=False, timeout_s=60.0)
            rows += (yield Download(request, parser(market))).rows
        return rows


def _fingerprint(ctx: Context) -> str:
    """Name the key without showing it: what stands for the session where other brokers have a token."""
    key = ctx.credentials["api_key"].reveal()
    return f"key-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
