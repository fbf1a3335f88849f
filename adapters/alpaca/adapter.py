"""Alpaca: Trading API v2, REST and tables.

References
----------
The vendor's OpenAPI descriptions and documentation pages, its Python, Go and C# SDKs; sources of single facts are in
README.md and codes.toml.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from dragoman.plugin import (
    YES,
    All,
    Capabilities,
    ChargesTable,
    Context,
    Credential,
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
    model,
    no,
)
from dragoman.plugin.parts import (
    NEW_YORK,
    SUCCESS,
    US,
    US_HOURS,
    KeySession,
    Pairs,
    Row,
    after_last,
    day_start,
    failure_of,
    fetch,
    fetch_rows,
    json_or_none,
    moment_ns,
    number_in,
    pages,
    pairs,
    rfc3339,
    rfc3339_ns,
    text_or_none,
)

from . import master
from .changes import ChangeFlows, order_path, read_row
from .feed import CryptoFeed, OptionFeed, StockFeed, TradeUpdates
from .fields import ID_LENGTH, check_terms, order_body
from .market import MarketFlows
from .words import (
    CODES,
    CRYPTO,
    RECORDS,
    STOCKS,
    key_pair,
    loads,
    oauth_token,
    read_fill,
    read_margin,
    read_order,
    read_orders,
    read_position,
    reading,
)

KEYS: Final = "the key pair"
"""Stands for an access token in a session of static keys, which has none."""
PAGE: Final = 500
FILLS_PAGE: Final = 100
MOST_LINKS: Final = 200
"""Ids of one chain."""

_PAGE: Final = "page"
_SERVER: Final = 500
_GONE: Final = frozenset(("40410000",))
_ACCOUNT: Final = Request(path="/v2/account")
_PLACE: Final = Request(method="POST", path="/v2/orders", mutates=True)
_NO_SUCH: Final = "the broker has no such order type"

CAPABILITIES: Final = Capabilities(
    order_types=STOCKS.order_types,
    products=frozenset((model.Product.DELIVERY,)),
    time_in_force=STOCKS.times_in_force,
    varieties=frozenset((model.Variety.REGULAR, model.Variety.BRACKET)),
    segments=frozenset((US, CRYPTO)),
    modes=frozenset((model.Mode.LTP, model.Mode.QUOTE, model.Mode.FULL)),
    depth_levels=(1,),
    quantity_unit={US: model.QuantityUnit.UNITS, CRYPTO: model.QuantityUnit.UNITS},
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


class AlpacaAdapter(KeySession, ChangeFlows, MarketFlows):
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
        US_HOURS,
        TradingHours(frozenset((CRYPTO,)), weekdays=frozenset(range(7))),
    )
    codes = CODES
    charges_table = ChargesTable.load(__package__)
    feeds = (StockFeed, CryptoFeed, OptionFeed, TradeUpdates)
    authorizes_by_login = True
    emulator = "dragoman.adapters.alpaca.emulator:make"

    # -- pure functions ----------------------------------------------------------------------------------------------

    def authorize(self, request: Request, body: bytes, ctx: Context) -> Request:
        if not request.auth:
            return request
        token = oauth_token(ctx)
        shown = _headers(key_pair(ctx)) if token is None else _bearer(token)
        return request.but(headers=(*request.headers, *shown))

    def classify(self, reply: Reply, request: Request) -> Failure | None:
        if reply.status in SUCCESS:
            return None
        body, status = json_or_none(reply), f"HTTP {reply.status}"
        told = isinstance(body, Mapping) and "message" in body
        code, text = (str(body.get("code") or status), str(body["message"])) if told else (status, "")
        # A code nobody has listed means what its status means. A page in front of an order means nothing, below 500.
        words = (code, status) if told or not request.mutates or reply.status >= _SERVER else (_PAGE,)
        at_s = number_in(reply, "x-ratelimit-reset") if reply.status == 429 and reply.ts_recv else None
        left_s = None if at_s is None else max(at_s - reply.ts_recv / 1e9, 0.0)
        return failure_of(self.codes, reply, request, words, text, code=code, retry_after_s=left_s)

    def usage(self, reply: Reply, request: Request) -> Mapping[str, int]:
        limit, left = (number_in(reply, f"x-ratelimit-{name}") for name in ("limit", "remaining"))
        if request.host != "rest" or limit is None or left is None:
            return {}
        return {"default/1m": max(0, limit - left)}

    def order_defaults(self, instrument: model.Instrument) -> Mapping[str, Any]:
        return {"time_in_force": model.TimeInForce.GTC} if instrument.exchange == CRYPTO else {}

    def check_order(self, order: model.OrderRequest, instrument: model.Instrument) -> model.OrderRequest:
        check_terms(order, instrument)
        return order

    # -- session -----------------------------------------------------------------------------------------------------

    def login(self, ctx: Context) -> Flow[Session]:
        return (yield from _session(_headers(key_pair(ctx)), {"access_token": KEYS}, frozenset()))

    def import_token(self, token: str, ctx: Context) -> Flow[Session]:
        if token == KEYS:
            return (yield from self.login(ctx))
        values = {"access_token": token, "oauth_token": token}
        return (yield from _session(_bearer(token), values, frozenset(values)))

    def instruments(self, ctx: Context) -> Flow[int]:
        return master.instruments(ctx)

    # -- orders ------------------------------------------------------------------------------------------------------

    def place(
        self, order: model.OrderRequest, instrument: model.Instrument, ctx: Context
    ) -> Flow[model.Outcome | list[model.Outcome]]:
        row = yield from fetch(RECORDS, _PLACE.but(json=order_body(order, instrument, ctx)))
        with reading("order reply"):
            legs = [model.Outcome.accepted(str(leg["id"]), raw=leg) for leg in row.get("legs") or ()]
            if not legs:
                return model.Outcome.accepted(str(row["id"]), raw=row)
            return model.Outcome.parent(str(row["id"]), tuple(legs), raw=row)

    def order(self, order_id: str, ctx: Context) -> Flow[list[model.Order]]:
        """The ids of the order's chain, oldest first: the broker keeps no other history."""
        found: list[model.Order] = []
        at: str | None = order_id
        while at is not None and len(found) < MOST_LINKS:
            row = yield from read_row(at)
            found.append(read_order(row, ctx))
            at = text_or_none(row.get("replaces"))
        return found[::-1]

    def orders(self, ctx: Context) -> Flow[list[model.Order]]:
        """Every order that is open, whenever it was placed, all of the day's, and what else is thought to work.

        An order of an earlier day that ended is in neither list of the broker: it is asked for by its id.
        """
        today = moment_ns(day_start(ctx.now_ns, NEW_YORK))
        working = [one for one in ctx.orders if one.status.working]
        # One that has no id yet is found in a list only, however long ago it was sent.
        since = min([today, *(one.ts_submitted for one in working if not one.order_id and one.ts_submitted)])
        rows = yield from _orders("open")
        rows |= yield from _orders("all", rfc3339(since))
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
        since = day_start(ctx.now_ns, NEW_YORK).isoformat()
        query = pairs(after=since, direction="asc", page_size=str(FILLS_PAGE))
        request = Request(path="/v2/account/activities/FILL", query=query)
        rows = yield from pages(RECORDS, request, after_last("page_token", "id", FILLS_PAGE))
        fills = [read_fill(row, ctx) for row in rows]
        chain = next((one.order_ids for one in ctx.orders if order_id in one.order_ids), (order_id,))
        return fills if order_id is None else [fill for fill in fills if fill.order_id in chain]

    # -- account -----------------------------------------------------------------------------------------------------

    def positions(self, ctx: Context) -> Flow[list[model.Position]]:
        rows = yield from fetch_rows(RECORDS, Request(path="/v2/positions"))
        fills = (yield from self.trades(ctx)) if rows else []
        return [read_position(row, fills, ctx) for row in rows]

    def margins(self, ctx: Context) -> Flow[list[model.Margin]]:
        return [read_margin((yield from fetch(RECORDS, _ACCOUNT)), ctx)]

    def profile(self, ctx: Context) -> Flow[model.Profile]:
        row = yield from fetch(RECORDS, _ACCOUNT)
        with reading("account"):
            return model.Profile(
                account_id=str(row["account_number"]),
                broker=self.name,
                type=str(row.get("status") or ""),
                exchanges=("us_equity", *(("us_option",) if row.get("options_trading_level") else ()), "crypto"),
                products=(model.Product.DELIVERY,),
                order_types=tuple(sorted(CAPABILITIES.order_types)),
                raw=row,
            )


def _headers(pair: tuple[str, ...]) -> Pairs:
    return (("APCA-API-KEY-ID", pair[0]), ("APCA-API-SECRET-KEY", pair[1]))


def _bearer(token: str) -> Pairs:
    return (("Authorization", f"Bearer {token}"),)


def _session(headers: Pairs, values: Mapping[str, str], secrets: frozenset[str]) -> Flow[Session]:
    """Ask whose keys or token the headers show."""
    number = yield from fetch(RECORDS, _ACCOUNT.but(headers=headers, auth=False), "account_number")
    return Session(values["access_token"], str(number), values, secrets=secrets)


def _orders(status: str, after: str | None = None) -> Flow[dict[str, Row]]:
    """Read a list of orders to its end, by id, oldest first."""
    query = pairs(status=status, limit=str(PAGE), direction="asc", nested="false", after=after)
    request = Request(path="/v2/orders", query=query)
    rows = yield from pages(RECORDS, request, after_last("after", "submitted_at", PAGE, _before))
    with reading("orders"):
        return {str(row["id"]): row for row in rows}


def _before(text: str) -> str:
    """Return a moment just before: orders of one moment may lie on both sides of a page's end."""
    moment = datetime.fromisoformat(text)
    return moment.replace(microsecond=max(0, moment.microsecond - 1)).isoformat()
