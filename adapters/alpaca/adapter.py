"""Alpaca: Trading API v2, REST and tables.

References
----------
The vendor's OpenAPI descriptions and documentation pages, its Python, Go and C# SDKs; sources of single facts are in
README.md and codes.toml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, time
from typing import Any, Final
from zoneinfo import ZoneInfo

from dragoman.plugin import (
    YES,
    All,
    Capabilities,
    Context,
    Credential,
    ErrorKind,
    Failure,
    Flow,
    MarginTerms,
    RateLimit,
    Reply,
    Request,
    Scope,
    Session,
    SessionRules,
    TradingHours,
    errors,
    model,
    no,
)
from dragoman.plugin.records import Row, moment_ns, rfc3339_ns, text_or_none

from . import master
from .changes import ChangeFlows, order_path
from .feed import CryptoFeed, OptionFeed, StockFeed, TradeUpdates
from .fields import ID_LENGTH, check_legs, check_penny, kind_of, order_body
from .market import MarketFlows
from .words import (
    CODES,
    CRYPTO,
    as_rows,
    loads,
    midnight,
    read_fill,
    read_margin,
    read_order,
    read_orders,
    read_position,
    reading,
    refused,
)

NEW_YORK: Final = ZoneInfo("America/New_York")
KEYS: Final = "the key pair"
"""Stands for an access token in a session of static keys, which has none."""
PAGE: Final = 500
FILLS_PAGE: Final = 100
MOST_PAGES: Final = 200

T, F = model.OrderType, model.TimeInForce
_RULES: Final = {
    "equity": (
        frozenset((T.MARKET, T.LIMIT, T.STOP_MARKET, T.STOP_LIMIT, T.TRAILING_STOP_MARKET)),
        frozenset((F.DAY, F.GTC, F.IOC, F.FOK, F.AT_THE_OPEN, F.AT_THE_CLOSE)),
    ),
    "option": (frozenset((T.MARKET, T.LIMIT, T.STOP_MARKET, T.STOP_LIMIT)), frozenset((F.DAY,))),
    "crypto": (frozenset((T.MARKET, T.LIMIT, T.STOP_LIMIT)), frozenset((F.GTC, F.IOC, F.FOK))),
}
"""Order types and times in force by kind of instrument (documentation, orders; FOK of crypto in one example only)."""
_PAGE: Final = "page"
_SERVER: Final = 500
_SHOWN: Final = 200
"""Characters of a body that is not the broker's own which an error shows."""
_GONE: Final = frozenset(("40410000",))
_SECOND: Final = 1_000_000_000
_NO_SUCH: Final = "the broker has no such order type"

CAPABILITIES: Final = Capabilities(
    order_types=_RULES["equity"][0],
    products=frozenset((model.Product.DELIVERY,)),
    time_in_force=_RULES["equity"][1],
    varieties=frozenset((model.Variety.REGULAR, model.Variety.BRACKET)),
    segments=frozenset(("US", CRYPTO)),
    modes=frozenset((model.Mode.LTP, model.Mode.QUOTE, model.Mode.FULL)),
    depth_levels=(1,),
    quantity_unit={"US": model.QuantityUnit.UNITS, CRYPTO: model.QuantityUnit.UNITS},
    features={
        **dict.fromkeys("place modify cancel order_history trades order_stream positions margins".split(), YES),
        **dict.fromkeys("quotes depth candles profile bracket".split(), YES),
        "holdings": no("the broker keeps one list: what is held is in positions"),
        "convert": no("the account has no products"),
        "order_margin": no("the broker tells what an order needs only by refusing it"),
        "gtt": no("orders may be good till canceled, and brackets carry their own exits"),
        "basket": no("multi-leg option orders are one order of several instruments, which the model does not have yet"),
        "slice": no("the broker slices nothing"),
    },
    modify_keeps_id=False,
    replace_restarts_fills=True,
    wire_id_carrier="client_order_id",
    wire_id_length=ID_LENGTH,
    market_orders="native",
    max_instruments_per_socket=10_000,
    max_sockets=4,
    order_fields=frozenset(("notional", "extended_hours", "trailing_offset", "trailing_offset_type")),
    reasons={
        **dict.fromkeys(("MARKET_IF_TOUCHED", "LIMIT_IF_TOUCHED", "TRAILING_STOP_LIMIT"), _NO_SUCH),
        "GTD": "the broker's orders live for a day or until canceled (90 days)",
        **dict.fromkeys(
            ("INTRADAY", "CARRY", "MTF", "MARGIN", "CASH", "COVER"), "the account has no products: use DELIVERY"
        ),
        "AMO": "a DAY order given while the market is closed waits for it to open",
        "ICEBERG": "the trading API has no display quantity (its advanced instructions are the Broker API's)",
        "AUCTION": "use time_in_force AT_THE_OPEN or AT_THE_CLOSE",
        "COVER": "use variety BRACKET, or extras order_class oto",
        "deep": "whole books of pairs come in mode full; equities have no second level",
        "post_only": "the broker has no such instruction",
        "reduce_only": "the broker has no such instruction; extras position_intent says so of options",
    },
)

_SOURCE: Final = "support page on 200 calls a minute; response headers X-Ratelimit-*"
LIMITS: Final = (
    RateLimit("default", 200, "1m", Scope.ACCOUNT, reserve=20, source=_SOURCE),
    RateLimit("data", 200, "1m", Scope.ACCOUNT, source="market data plans: Basic; 10,000 on Algo Trader Plus"),
)


class AlpacaAdapter(ChangeFlows, MarketFlows):
    """Orders, positions and market data of one Alpaca account."""

    contract = 1
    margin_terms = MarginTerms(delivery_margined=True)
    name = "alpaca"
    title = "Alpaca (Trading API v2)"
    hosts = {
        "live": {
            "rest": "https://api.alpaca.markets",
            "ws": "wss://api.alpaca.markets/stream",
            "data": "https://data.alpaca.markets",
            "data_ws": "wss://stream.data.alpaca.markets",
        },
        # Paper trading. Its keys are good for the live market data.
        "sandbox": {
            "rest": "https://paper-api.alpaca.markets",
            "ws": "wss://paper-api.alpaca.markets/stream",
            "data": "https://data.alpaca.markets",
            "data_ws": "wss://stream.data.alpaca.markets",
        },
        "emulator": {},
    }
    headers = (("Accept", "application/json"),)
    credentials = (
        Credential("api_key", secret=False, needed_for="always", meaning="the key id; paper keys are others than live"),
        Credential("api_secret", needed_for="always", meaning="the secret key, shown once when the pair is made"),
    )
    capabilities = CAPABILITIES
    limits = LIMITS
    session = SessionRules(time_zone="America/New_York", refresh="relogin")
    hours = (
        TradingHours(frozenset(("US",)), time(9, 30), time(16)),
        TradingHours(frozenset((CRYPTO,)), weekdays=frozenset(range(7))),
    )
    codes = CODES
    feeds = (StockFeed, CryptoFeed, OptionFeed, TradeUpdates)
    emulator = "dragoman.adapters.alpaca.emulator:make"

    # -- pure functions ----------------------------------------------------------------------------------------------

    def authorize(self, request: Request, body: bytes, ctx: Context) -> Request:
        if not request.auth:
            return request
        token = ctx.login.get("oauth_token")
        if token is not None:
            return request.but(headers=(*request.headers, _bearer(token.reveal())))
        return request.but(headers=(*request.headers, *_key_pair(ctx)))

    def classify(self, reply: Reply, request: Request) -> Failure | None:
        if 200 <= reply.status < 300:
            return None
        try:
            body = reply.json
        except errors.DecodeError:
            body = None
        status = f"HTTP {reply.status}"
        told = isinstance(body, Mapping) and "message" in body
        code, text = (str(body.get("code") or status), str(body["message"])) if told else (status, "")
        # A code nobody has listed means what its status means. A page in front of an order means nothing, below 500.
        words = (code, status) if told or not request.mutates or reply.status >= _SERVER else (_PAGE,)
        after = reply.headers.get("x-ratelimit-reset", "")
        left_s = int(after) - reply.ts_recv / 1e9 if after.isascii() and after.isdigit() and reply.ts_recv else None
        for word in words:
            failure = self.codes.classify(
                code=word,
                text=text,
                status=reply.status,
                mutates=request.mutates,
                retry_after_s=max(left_s, 0.0) if left_s is not None and reply.status == 429 else None,
            )
            if failure.kind is not ErrorKind.UNMAPPED:
                break
        text = text or reply.text[:_SHOWN]
        return replace(failure, code=code, text=text, message=f"{code}: {text}" if text else code)

    def usage(self, reply: Reply, request: Request) -> Mapping[str, int]:
        limit, left = (reply.headers.get(f"x-ratelimit-{name}", "") for name in ("limit", "remaining"))
        if request.host != "rest" or not (limit.isdecimal() and left.isdecimal()):
            return {}
        return {"default/1m": max(0, int(limit) - int(left))}

    def order_defaults(self, instrument: model.Instrument) -> Mapping[str, Any]:
        return {"time_in_force": F.GTC} if instrument.exchange == CRYPTO else {}

    def check_order(self, order: model.OrderRequest, instrument: model.Instrument) -> model.OrderRequest:
        kind = kind_of(instrument)
        types, times = _RULES[kind]
        for what, value, taken in (
            ("order_type", order.order_type, types),
            ("time_in_force", order.time_in_force, times),
        ):
            if value not in taken:
                offered = ", ".join(sorted(taken))
                raise refused(
                    f"{kind} orders take no {what} {value}", f"use one of {offered}", kind=ErrorKind.NOT_SUPPORTED
                )
        for price in filter(None, (order.price, order.trigger_price)):
            check_penny(price, kind)
        fraction = order.notional is not None or order.quantity % 1 != 0
        if kind == "equity" and fraction and order.time_in_force is not F.DAY:
            raise refused("fractions and notional orders are DAY orders", "use time_in_force DAY, or whole shares")
        if order.extended_hours and (order.order_type is not T.LIMIT or order.time_in_force is not F.DAY):
            raise refused(
                "extended hours take LIMIT orders of the DAY only", "change them, or leave extended_hours out"
            )
        trails = order.order_type is T.TRAILING_STOP_MARKET
        if trails and (order.trailing_offset_type not in ("PRICE", "BASIS_POINTS") or not order.trailing_offset):
            raise refused(
                "a trailing stop needs an offset in PRICE or BASIS_POINTS", "give trailing_offset and its type"
            )
        if not trails and (order.trailing_offset or order.trailing_offset_type):
            raise refused(f"a {order.order_type} order trails nothing", "use TRAILING_STOP_MARKET")
        check_legs(order, kind)
        return order

    # -- session -----------------------------------------------------------------------------------------------------

    def login(self, ctx: Context) -> Flow[Session]:
        reply = yield Request(path="/v2/account", headers=_key_pair(ctx), auth=False)
        with reading("account"):
            return Session(KEYS, str(reply.json["account_number"]), {"access_token": KEYS}, secrets=frozenset())

    def import_token(self, token: str, ctx: Context) -> Flow[Session]:
        if token == KEYS:
            return (yield from self.login(ctx))
        reply = yield Request(path="/v2/account", headers=(_bearer(token),), auth=False)
        with reading("account"):
            values = {"access_token": token, "oauth_token": token}
            return Session(token, str(reply.json["account_number"]), values, secrets=frozenset(values))

    def logout(self, ctx: Context) -> Flow[None]:
        """Nothing to end: key pairs and OAuth tokens live until they are revoked on the broker's pages."""
        yield from ()

    def instruments(self, ctx: Context) -> Flow[int]:
        return master.instruments(ctx)

    # -- orders ------------------------------------------------------------------------------------------------------

    def place(
        self, order: model.OrderRequest, instrument: model.Instrument, ctx: Context
    ) -> Flow[model.Outcome | list[model.Outcome]]:
        reply = yield Request(method="POST", path="/v2/orders", json=order_body(order, instrument, ctx), mutates=True)
        with reading("order reply"):
            row = loads(reply.body)
            legs = row.get("legs") or ()
            if not legs:
                return model.Outcome.accepted(str(row["id"]), raw=row)
            children = (model.Outcome.accepted(str(leg["id"]), raw=leg) for leg in legs)
            return model.Outcome.parent(str(row["id"]), tuple(children), raw=row)

    def order(self, order_id: str, ctx: Context) -> Flow[list[model.Order]]:
        """The ids of the order's chain, oldest first: the broker keeps no other history."""
        found: list[model.Order] = []
        at: str | None = order_id
        while at is not None and len(found) < MOST_PAGES:
            row = loads((yield Request(path=order_path(at))).body)
            found.append(read_order(row, ctx))
            at = text_or_none(row.get("replaces"))
        return found[::-1]

    def orders(self, ctx: Context) -> Flow[list[model.Order]]:
        """Every order that is open, whenever it was placed, all of the day's, and what else is thought to work.

        An order of an earlier day that ended is in neither list of the broker: it is asked for by its id.
        """
        today = moment_ns(midnight(ctx.now_ns, NEW_YORK))
        working = [one for one in ctx.orders if one.status.working]
        # One that has no id yet is found in a list only, however long ago it was sent.
        since = min([today, *(one.ts_submitted for one in working if not one.order_id and one.ts_submitted)])
        rows = yield from _orders({"status": "open"})
        rows |= yield from _orders({"status": "all", "after": _iso(since)})
        missing = [one.order_id for one in working if one.order_id and rows.keys().isdisjoint(one.order_ids)]
        while missing:
            replies = yield All([Request(path=order_path(one), answers=_GONE) for one in missing])
            found = [loads(reply.body) for reply in replies if reply.code is None]
            with reading("order"):
                rows |= {str(row["id"]): row for row in found}
                heirs = (text_or_none(row.get("replaced_by")) for row in found)
                missing = [one for one in heirs if one is not None and one not in rows]
        with reading("orders"):
            # Oldest first: what an id filled counts before its successor is looked at.
            found = sorted(rows.values(), key=lambda row: rfc3339_ns(row.get("submitted_at")) or 0)
        return read_orders(found, ctx)

    def trades(self, ctx: Context, order_id: str | None = None) -> Flow[list[model.Fill]]:
        query = (
            ("after", midnight(ctx.now_ns, NEW_YORK).isoformat()),
            ("direction", "asc"),
            ("page_size", str(FILLS_PAGE)),
        )
        fills: list[model.Fill] = []
        token = ""
        for _ in range(MOST_PAGES):
            more = (("page_token", token),) if token else ()
            reply = yield Request(path="/v2/account/activities/FILL", query=query + more)
            rows = as_rows("activities", loads(reply.body))
            fills += [read_fill(row, ctx) for row in rows]
            if len(rows) < FILLS_PAGE:
                break
            with reading("activity"):
                token = str(rows[-1]["id"])
        if order_id is None:
            return fills
        chain = next((one.order_ids for one in ctx.orders if order_id in one.order_ids), (order_id,))
        return [fill for fill in fills if fill.order_id in chain]

    # -- account -----------------------------------------------------------------------------------------------------

    def positions(self, ctx: Context) -> Flow[list[model.Position]]:
        reply = yield Request(path="/v2/positions")
        rows = as_rows("positions", loads(reply.body))
        fills = (yield from self.trades(ctx)) if rows else []
        return [read_position(row, fills, ctx) for row in rows]

    def margins(self, ctx: Context) -> Flow[list[model.Margin]]:
        reply = yield Request(path="/v2/account")
        return [read_margin(loads(reply.body), ctx)]

    def profile(self, ctx: Context) -> Flow[model.Profile]:
        reply = yield Request(path="/v2/account")
        with reading("account"):
            row = loads(reply.body)
            return model.Profile(
                account_id=str(row["account_number"]),
                broker=self.name,
                type=str(row.get("status") or ""),
                exchanges=("us_equity", *(("us_option",) if row.get("options_trading_level") else ()), "crypto"),
                products=(model.Product.DELIVERY,),
                order_types=tuple(sorted(CAPABILITIES.order_types)),
                raw=row,
            )


def _key_pair(ctx: Context) -> tuple[tuple[str, str], ...]:
    names = (("APCA-API-KEY-ID", "api_key"), ("APCA-API-SECRET-KEY", "api_secret"))
    missing = [name for _, name in names if name not in ctx.credentials]
    if missing:
        raise errors.AuthRequired(
            f"alpaca: the profile names no {missing[0]}",
            kind=ErrorKind.AUTH_INVALID,
            broker="alpaca",
            remedy="give the key pair of this environment: paper and live have different ones",
        )
    return tuple((header, ctx.credentials[name].reveal()) for header, name in names)


def _bearer(token: str) -> tuple[str, str]:
    return "Authorization", f"Bearer {token}"


def _orders(query: Mapping[str, str]) -> Flow[dict[str, Row]]:
    """Read a list of orders to its end, by id, oldest first."""
    found: dict[str, Row] = {}
    after = query.get("after")
    for _ in range(MOST_PAGES):
        pairs = {**query, "limit": str(PAGE), "direction": "asc", "nested": "false"} | (
            {"after": after} if after else {}
        )
        rows = as_rows("orders", loads((yield Request(path="/v2/orders", query=tuple(pairs.items()))).body))
        with reading("orders"):
            fresh = {str(row["id"]): row for row in rows}
            done = len(rows) < PAGE or fresh.keys() <= found.keys()
            # Orders of one moment may lie on both sides of a page's end.
            after = None if done else _before(str(rows[-1]["submitted_at"]))
        found |= fresh
        if done:
            break
    return found


def _iso(ns: int) -> str:
    return datetime.fromtimestamp(ns // _SECOND, NEW_YORK).isoformat()


def _before(text: str) -> str:
    moment = datetime.fromisoformat(text)
    return moment.replace(microsecond=max(0, moment.microsecond - 1)).isoformat()
