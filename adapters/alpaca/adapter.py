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
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

from dragoman.plugin import (
    YES,
    Capabilities,
    Context,
    Credential,
    ErrorKind,
    Failure,
    Flow,
    Lane,
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
from dragoman.plugin.records import Row, plain, text_or_none

from . import master
from .feed import CryptoFeed, OptionFeed, StockFeed, TradeUpdates
from .market import MarketFlows
from .words import (
    CODES,
    CRYPTO,
    ORDER_TYPE,
    SIDE,
    TIME_IN_FORCE,
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
ID_LENGTH: Final = 48
"""The documents name 48 in one place and 128 in another: what fits both."""
KEYS: Final = "the key pair"
"""Stands for an access token in a session of static keys, which has none."""
PAGE: Final = 500
FILLS_PAGE: Final = 100
MOST_PAGES: Final = 200
EXTRAS: Final = frozenset(("order_class", "take_profit", "stop_loss", "position_intent"))
"""Keys of ``extras["alpaca"]``; `take_profit` has ``limit_price``, `stop_loss` ``stop_price`` and ``limit_price``."""
_LEGS: Final = {"take_profit": {"limit_price"}, "stop_loss": {"stop_price", "limit_price"}}
_CENT: Final = Decimal("0.01")
_MILL: Final = Decimal("0.0001")

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


class AlpacaAdapter(MarketFlows):
    """Orders, positions and market data of one Alpaca account."""

    contract = 1
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
        code, text = f"HTTP {reply.status}", reply.text[:200]
        if isinstance(body, Mapping) and "message" in body:
            code, text = str(body.get("code") or code), str(body["message"])
        after = reply.headers.get("x-ratelimit-reset", "")
        left_s = int(after) - reply.ts_recv / 1e9 if after.isascii() and after.isdigit() and reply.ts_recv else None
        for word in (code, f"HTTP {reply.status}"):
            # A code nobody has listed means what its status means.
            failure = self.codes.classify(
                code=word,
                text=text,
                status=reply.status,
                mutates=request.mutates,
                retry_after_s=max(left_s, 0.0) if left_s is not None and reply.status == 429 else None,
            )
            if failure.kind is not ErrorKind.UNMAPPED:
                break
        return replace(failure, code=code, message=f"{code}: {text}" if text else code)

    def usage(self, reply: Reply, request: Request) -> Mapping[str, int]:
        limit, left = (reply.headers.get(f"x-ratelimit-{name}", "") for name in ("limit", "remaining"))
        if request.host != "rest" or not (limit.isdecimal() and left.isdecimal()):
            return {}
        return {"default/1m": max(0, int(limit) - int(left))}

    def order_defaults(self, instrument: model.Instrument) -> Mapping[str, Any]:
        return {"time_in_force": F.GTC} if instrument.exchange == CRYPTO else {}

    def check_order(self, order: model.OrderRequest, instrument: model.Instrument) -> model.OrderRequest:
        kind = "crypto" if instrument.exchange == CRYPTO else "option" if instrument.option_type else "equity"
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
            _check_penny(price, kind)
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
        _check_legs(order, kind)
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

    def modify(
        self, order: model.Order, change: model.OrderChange, instrument: model.Instrument, ctx: Context
    ) -> Flow[model.Outcome]:
        """The new order counts from 0: it is given what is left, also where only a price changes."""
        fixed = ("order_type", "display_quantity", "market_protection")
        stuck = [
            name
            for name in fixed
            if getattr(change, name) is not None and getattr(change, name) != getattr(order, name, None)
        ]
        if stuck:
            raise refused(f"{stuck[0]} of an order cannot be changed", "cancel it and place another")
        kind = "crypto" if instrument.exchange == CRYPTO else "option" if instrument.option_type else "equity"
        for price in filter(None, (change.price, change.trigger_price)):
            _check_penny(price, kind)
        total = change.quantity or (order.quantity if order.filled_quantity else None)
        fields = {
            "qty": plain(None if total is None else total - order.filled_quantity),
            "limit_price": plain(change.price),
            "stop_price": plain(change.trigger_price),
            "time_in_force": TIME_IN_FORCE.write(change.time_in_force) if change.time_in_force else None,
            "trail": plain(change.extras.get(self.name, {}).get("trail")),
            "client_order_id": client_id(order.wire_id, None, ctx) if order.wire_id else None,
        }
        reply = yield Request(
            method="PATCH",
            path=_path(order.order_id),
            json={name: value for name, value in fields.items() if value is not None},
            mutates=True,
        )
        with reading("replace reply"):
            row = loads(reply.body)
            return model.Outcome.accepted(str(row["id"]), replaces=str(row.get("replaces") or order.order_id), raw=row)

    def cancel(self, order: model.Order, ctx: Context) -> Flow[model.Outcome]:
        yield Request(method="DELETE", path=_path(order.order_id), mutates=True, lane=Lane.RISK)
        return model.Outcome.accepted(order.order_id)

    def order(self, order_id: str, ctx: Context) -> Flow[list[model.Order]]:
        """The ids of the order's chain, oldest first: the broker keeps no other history."""
        found: list[model.Order] = []
        at: str | None = order_id
        while at is not None and len(found) < MOST_PAGES:
            row = loads((yield Request(path=_path(at))).body)
            found.append(read_order(row, ctx))
            at = text_or_none(row.get("replaces"))
        return found[::-1]

    def orders(self, ctx: Context) -> Flow[list[model.Order]]:
        """Every order that is open, whenever it was placed, and all of the day's."""
        rows = yield from _orders({"status": "open"})
        rows |= yield from _orders({"status": "all", "after": midnight(ctx.now_ns, NEW_YORK).isoformat()})
        return read_orders(rows.values(), ctx)

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


def _path(order_id: str) -> str:
    return f"/v2/orders/{quote(order_id, safe='')}"


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


def _before(text: str) -> str:
    moment = datetime.fromisoformat(text)
    return moment.replace(microsecond=max(0, moment.microsecond - 1)).isoformat()


def client_id(wire_id: str, tag: str | None, ctx: Context) -> str:
    """Return a client_order_id of ours: our wire id, the time so that no later run repeats it, the tag if it fits."""
    name = f"{wire_id}-{ctx.now_ns // 1_000_000:x}"
    whole = f"{name}-{tag}" if tag and tag.isascii() and tag.replace("-", "").replace("_", "").isalnum() else name
    return whole if len(whole) <= ID_LENGTH else name


def order_body(order: model.OrderRequest, instrument: model.Instrument, ctx: Context) -> dict[str, Any]:
    """Return the JSON of an order; numbers are text, so that every digit arrives."""
    extras = order.extras.get("alpaca", {})
    legs = {name: {key: str(value) for key, value in extras[name].items()} for name in _LEGS if name in extras}
    offset = order.trailing_offset
    basis = order.trailing_offset_type == "BASIS_POINTS"
    fields = {
        "symbol": instrument.broker_symbol,
        "qty": None if order.notional is not None else plain(order.quantity),
        "notional": plain(order.notional),
        "side": SIDE.write(order.side),
        "type": ORDER_TYPE.write(order.order_type),
        "time_in_force": TIME_IN_FORCE.write(order.time_in_force),
        "limit_price": plain(order.price),
        "stop_price": plain(order.trigger_price),
        "trail_price": None if offset is None or basis else plain(offset),
        "trail_percent": plain(offset / 100) if offset is not None and basis else None,
        "extended_hours": True if order.extended_hours else None,
        "order_class": extras.get("order_class") or ("bracket" if order.variety is model.Variety.BRACKET else None),
        "position_intent": extras.get("position_intent"),
        "client_order_id": client_id(order.wire_id, order.tag, ctx) if order.wire_id else None,
        **legs,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _check_penny(price: Decimal, kind: str) -> None:
    """Refuse more decimals than the market takes: two from a dollar on, four below."""
    step = _CENT if price >= 1 else _MILL
    if kind != "crypto" and price % step:
        low = price // step * step
        raise refused(
            f"price {price} has more decimals than the market takes",
            f"nearest valid: {low} or {low + step}",
            kind=ErrorKind.INVALID_PRICE_TICK,
        )


def _check_legs(order: model.OrderRequest, kind: str) -> None:
    extras = order.extras.get("alpaca", {})
    if not isinstance(extras, Mapping) or set(extras) - EXTRAS:
        raise refused(f"extras['alpaca'] is {extras!r}", f"known: {', '.join(sorted(EXTRAS))}")
    bracket = order.variety is model.Variety.BRACKET
    order_class = extras.get("order_class", "bracket" if bracket else "simple")
    given = [name for name in _LEGS if name in extras]
    wanted = {"bracket": (2, 2), "oco": (1, 2), "oto": (1, 1), "simple": (0, 0)}.get(str(order_class))
    if wanted is None or bracket is (order_class == "simple"):
        raise refused(
            f"order_class {order_class!r} of a {order.variety} order", "use bracket, oco or oto, variety BRACKET"
        )
    if not wanted[0] <= len(given) <= wanted[1]:
        raise refused(
            f"a {order_class} order with {', '.join(given) or 'no legs'}", "give take_profit, stop_loss or both"
        )
    if given and (kind != "equity" or order.extended_hours or order.time_in_force not in (F.DAY, F.GTC)):
        raise refused(f"{order_class} orders are of shares, DAY or GTC, in regular hours", "leave the legs out")
    for name in given:
        leg = extras[name]
        if (
            not isinstance(leg, Mapping)
            or set(leg) - _LEGS[name]
            or ("stop_price" in _LEGS[name] and "stop_price" not in leg)
        ):
            raise refused(f"{name} is {leg!r}", f"give {' and '.join(sorted(_LEGS[name]))}")
        for price in leg.values():
            _check_penny(Decimal(str(price)), kind)
