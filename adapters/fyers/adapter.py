"""FYERS: API v3, REST and tables.

References
----------
Documentation of API v3 (public copies of it), the official Python SDK 3.2.0 and the official Go SDK; sources of single
facts are in README.md and codes.toml.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import time
from typing import Any, Final

from dragoman.plugin import (
    YES,
    Capabilities,
    ChargesTable,
    Context,
    Credential,
    Failure,
    Flow,
    Lane,
    RateLimit,
    Reply,
    Request,
    Session,
    SessionRules,
    errors,
    model,
    no,
)
from dragoman.plugin.parts import (
    CASH_PRODUCTS,
    CONTRACT_PRODUCTS,
    FILE,
    INDIAN_HOURS,
    IST,
    SHARES,
    SUCCESS,
    at_once,
    failure_of,
    fetch,
    json_number,
    json_or_none,
    jwt_claims,
    master_of,
    public_file,
    session_of,
    together,
    wire_tag,
)

from . import words
from .feed import DeepFeed, MarketFeed, OrderFeed
from .gtt import TriggerFlows
from .market import MarketFlows
from .master import FILES, INDEX_NAMES, parser, path_of
from .money import MoneyFlows
from .words import CODES, ORDER_TYPE, RECORDS, VALIDITY, authorization, order_terms, reading, rows, whole

TAG_LENGTH: Final = 30
MOST_AT_ONCE: Final = 10
NO_ACKNOWLEDGEMENT: Final = "201"
MODIFIED, CANCELLED = 1102, 1103
"""What the broker answers when it has taken a change or a cancel; whatever else it says leaves the outcome open."""
REFUSALS: Final = frozenset(("-99", "-50"))
"""Codes under which a body may still carry the id of an order that was made and then refused."""
SECOND_SHARE: Final = 9
"""Requests a second outside the reserve. A sliced order becomes several, each counted (unverified): it spends them."""
_BOOK: Final = "/api/v3/orders"
_PLACE: Final = Request(method="POST", mutates=True, answers=REFUSALS | {NO_ACKNOWLEDGEMENT})
_NO_ORDER_YET: Final = "the broker queued the order and told no id yet: its tag finds it in the order book"
_PRODUCTS: Final = {
    **dict.fromkeys(SHARES, CASH_PRODUCTS),
    **dict.fromkeys(("NFO", "BFO", "CDS", "BCD", "MCX", "NCO"), CONTRACT_PRODUCTS),
}
_LEGS: Final = "its legs are offsets in points, which an order of ours has no fields for"
_UNIT_OPEN: Final = (
    "the documents call quantities units and then say multiple of 1 where a lot is larger: confirm with the broker"
    " whether it counts lots and set settings.quantity_unit in the profile"
)
_NO_SUCH_TYPE: Final = "the broker's order types are limit, market, stop-market and stop-limit"
_NO_SUCH_VALIDITY: Final = "the broker's validities are DAY and IOC"

CAPABILITIES: Final = Capabilities(
    order_types=frozenset(ORDER_TYPE.inward.values()),
    products=frozenset((model.Product.DELIVERY, model.Product.INTRADAY, model.Product.CARRY, model.Product.MTF)),
    time_in_force=frozenset(VALIDITY.inward.values()),
    varieties=frozenset((model.Variety.REGULAR, model.Variety.AMO)),
    segments=frozenset(words.VENUE.values()),
    modes=frozenset(model.Mode),
    depth_levels=(5, 50),
    quantity_unit={
        **dict.fromkeys(("NSE", "BSE", "NFO", "BFO"), model.QuantityUnit.UNITS),
        **dict.fromkeys(("CDS", "BCD", "MCX", "NCO"), model.QuantityUnit.UNVERIFIED),
    },
    features={
        **dict.fromkeys(("place", "modify", "cancel", "trades", "order_stream", "slice", "profile"), YES),
        **dict.fromkeys(("positions", "holdings", "convert", "margins", "order_margin"), YES),
        **dict.fromkeys(("quotes", "depth", "candles", "gtt", "holdings_summary"), YES),
        "order_history": YES,
        "bracket": no(_LEGS),
        "basket": YES,
        "basket_margin": no("the margin call tells one number for all orders, and no part of it"),
        "charges": no("the broker's interface tells charges of past days only"),
        "postback": no("the broker's webhooks carry no documented signature: nothing proves who wrote one"),
        "alerts": no("the broker's alerts only notify its own apps; a GTT places orders"),
        "auctions": no("the broker has no interface to auctions"),
        "authorise_holdings": no("the electronic authorisation is an interface of the withdrawn version 2"),
        "trigger_range": no("the broker tells no ranges"),
    },
    modify_keeps_id=True,
    wire_id_carrier="orderTag",
    wire_id_length=TAG_LENGTH,
    market_orders="native",
    most_in_basket=MOST_AT_ONCE,
    # 5000 topics a socket; an instrument in mode full takes two of them.
    max_instruments_per_socket=2500,
    max_sockets=1,
    reasons={
        **dict.fromkeys(("MARKET_IF_TOUCHED", "LIMIT_IF_TOUCHED"), _NO_SUCH_TYPE),
        **dict.fromkeys(("TRAILING_STOP_MARKET", "TRAILING_STOP_LIMIT"), _NO_SUCH_TYPE),
        **dict.fromkeys(("GTC", "GTD", "FOK", "AT_THE_OPEN", "AT_THE_CLOSE"), _NO_SUCH_VALIDITY),
        "MARGIN": "the broker's word MARGIN carries contracts: use CARRY",
        "CASH": "the broker calls it CNC: use DELIVERY",
        "COVER": _LEGS,
        "BRACKET": _LEGS,
        "ICEBERG": "the broker has none; display_quantity discloses a part of an order",
        "AUCTION": "the broker has no interface to auctions",
        **dict.fromkeys(("CDS", "BCD", "MCX", "NCO"), _UNIT_OPEN),
    },
)
_SOURCE: Final = "documentation, rate limits: all interfaces together, orders included"


class FyersAdapter(MoneyFlows, MarketFlows, TriggerFlows):
    """Orders, portfolio and market data of one FYERS account."""

    contract = 1
    name = "fyers"
    title = "FYERS (API v3)"
    hosts = {
        "live": {
            "rest": "https://api-t1.fyers.in",
            "assets": "https://public.fyers.in",
            "ws": "wss://socket.fyers.in",
            "login": "https://api-t1.fyers.in/api/v3/generate-authcode",
        },
        "emulator": {},
    }
    headers = (("version", "3"), ("Accept", "application/json"))
    credentials = (
        Credential("app_id", secret=False, needed_for="always", meaning="the app's id: letters, digits and -100"),
        Credential("app_secret", meaning="the app's secret"),
        Credential("redirect_uri", secret=False, meaning="as registered with the app, to the last character"),
    )
    capabilities = CAPABILITIES
    limits = (
        RateLimit("default", 10, "1s", reserve=10 - SECOND_SHARE, source=_SOURCE),
        RateLimit("default", 200, "1m", reserve=20, source=_SOURCE),
        RateLimit("default", 100_000, "1d", reserve=500, source=_SOURCE),
    )
    session = SessionRules(
        time_zone="Asia/Kolkata", refresh="none", static_ip="orders", instruments_at=time(8, 30), queue_time_s=60.0
    )
    hours = INDIAN_HOURS
    codes = CODES
    charges_table = ChargesTable.load(__package__)
    feeds = (MarketFeed, DeepFeed, OrderFeed)
    authorizes_by_login = True
    emulator = "dragoman.adapters.fyers.emulator:make"

    # -- pure functions ----------------------------------------------------------------------------------------------

    def authorize(self, request: Request, body: bytes, ctx: Context) -> Request:
        if not request.auth:
            return request
        return request.but(headers=(*request.headers, authorization(ctx, RECORDS.token(request, ctx))))

    def classify(self, reply: Reply, request: Request) -> Failure | None:
        good = reply.status in SUCCESS
        if good and request.note == FILE:
            return None
        body, code, text = json_or_none(reply), f"HTTP {reply.status}", reply.text[:200]
        if isinstance(body, dict):
            word, found = body.get("s"), body.get("code")
            if (
                good
                and (word == "ok" or (word == "no_data" and found in (None, 200)))
                # 201 calls itself a success: the exchange has said nothing yet.
                and not (request.mutates and str(found) == NO_ACKNOWLEDGEMENT)
            ):
                return None
            code, text = code if found is None else str(found), str(body.get("message") or "")
        # A server's failure leaves open what was done, whatever it says.
        looked_up = code if reply.status < 500 else f"HTTP {reply.status}"
        failure = failure_of(self.codes, reply, request, (looked_up,), text, code=code)
        # What the order system refuses has one code; its words are those of the book.
        row = self.codes.find(code="rejected", text=text, status=0, mutates=True) if looked_up in REFUSALS else None
        if row is None:
            return failure
        return replace(failure, kind=row.kind, effect=row.effect, retry=row.retry, remedy=row.remedy)

    def check_order(self, order: model.OrderRequest, instrument: model.Instrument) -> model.OrderRequest:
        RECORDS.check_product(order, _PRODUCTS[instrument.exchange], instrument.exchange)
        sliced = RECORDS.extras(order, ("slice", "queued")).get("slice")
        place, discloses = instrument.exchange, order.display_quantity is not None
        RECORDS.check(
            (discloses and place not in SHARES, f"{place} discloses no part of an order", "leave display_quantity out"),
            (sliced and place not in ("NSE", "NFO", "BFO"), f"{place} orders are not sliced", "leave slice out"),
        )
        return order

    # -- session -----------------------------------------------------------------------------------------------------

    def login(self, ctx: Context) -> Flow[Session]:
        app, uri = ctx.credentials["app_id"].reveal(), ctx.credentials["redirect_uri"].reveal()
        asked = {"client_id": app, "redirect_uri": uri, "response_type": "code"}
        code = yield from RECORDS.login_code(ctx.hosts["login"], asked, "auth_code")
        proof = hashlib.sha256(f"{app}:{ctx.credentials['app_secret'].reveal()}".encode()).hexdigest()
        body = {"grant_type": "authorization_code", "appIdHash": proof, "code": code}
        request = Request(method="POST", path="/api/v3/validate-authcode", json=body, mutates=True, auth=False)
        return (yield from self.import_token(str((yield from fetch(RECORDS, request, "access_token"))), ctx))

    def import_token(self, token: str, ctx: Context) -> Flow[Session]:
        token = token.rpartition(":")[2]  # as the broker's SDK takes it, behind the app's id
        request = Request(path="/api/v3/profile", headers=(authorization(ctx, token),), auth=False)
        found = yield from fetch(RECORDS, request, "data")
        with reading("profile"):
            # Without the key there is no market feed, and everything else works.
            key = {"hsm_key": str(jwt_claims(token).get("hsm_key") or "")}
            return session_of(found, token, ctx, account="fy_id", dies_at=time(3), zone=IST, more=key, secrets=key)

    def logout(self, ctx: Context) -> Flow[None]:
        # A token that is already dead is as good as logged out.
        yield Request(
            method="POST", path="/api/v3/logout", mutates=True, answers=frozenset(("-8", "-15", "-16", "-17"))
        )

    def instruments(self, ctx: Context) -> Flow[int]:
        names = yield from fetch(RECORDS, public_file(INDEX_NAMES))
        with reading("index names"):
            names = {str(symbol): str(name) for symbol, name in names.items()}
        rows = 0
        for name in FILES:
            rows += yield from master_of(public_file(path_of(name)), parser(names))
        return rows

    # -- orders ------------------------------------------------------------------------------------------------------

    def place(
        self, order: model.OrderRequest, instrument: model.Instrument, ctx: Context
    ) -> Flow[model.Outcome | list[model.Outcome]]:
        extras = order.extras.get(self.name, {})
        slices, queued = bool(extras.get("slice")), bool(extras.get("queued"))
        reply = yield _PLACE.but(
            path=f"/api/v3/orders/{'async' if queued else 'sync'}",
            json=_fields(order, instrument) | ({"isSliceOrder": True} if slices else {}),
            cost=SECOND_SHARE if slices else 1,
        )
        with reading("order reply"):
            found = reply.parsed or reply.json
            return (
                self._outcome(found, reply.status)
                if "data" not in found
                else together(self._outcomes(found), raw=found)
            )

    def place_many(
        self, legs: Sequence[tuple[model.OrderRequest, model.Instrument]], ctx: Context
    ) -> Flow[list[model.Outcome]]:
        extras = any(order.extras.get(self.name) for order, _ in legs)
        RECORDS.check(
            at_once(len(legs), MOST_AT_ONCE),
            (extras, "slice and queued are not for one of several orders", "place it by itself"),
        )
        reply = yield Request(
            method="POST",
            path="/api/v3/multi-order/sync",
            json=[_fields(order, instrument) for order, instrument in legs],
            mutates=True,
            cost=min(len(legs), SECOND_SHARE),
        )
        with reading("reply to several orders"):
            # They are told in the order of the request, under no name.
            return [outcome for _, outcome in zip(legs, self._outcomes(reply.json), strict=True)]

    def _outcomes(self, found: Mapping[str, Any]) -> list[model.Outcome]:
        return [self._outcome(item["body"], int(item["statusCode"])) for item in found["data"]]

    def _outcome(self, body: Mapping[str, Any], status: int) -> model.Outcome:
        """Read one order's part of a reply. A refusal may carry the id of the order it is about."""
        order_id = str(body.get("id") or "") or None
        if status in SUCCESS and body.get("s") == "ok" and order_id and str(body.get("code")) != NO_ACKNOWLEDGEMENT:
            return model.Outcome.accepted(order_id, raw=body)
        failure = self.classify(Reply(status, {}, b"", parsed=body), Request(method="POST", mutates=True))
        if failure is not None:
            return failure.outcome(order_id, raw=body)
        if order_id is not None:
            return model.Outcome.accepted(order_id, raw=body)
        open_ = model.Reject(errors.ErrorKind.MAYBE_SENT, _NO_ORDER_YET, str(body["code"]), errors.Effect.UNKNOWN)
        return model.Outcome("UNKNOWN", reject=open_, raw=body)

    def modify(
        self, order: model.Order, change: model.OrderChange, instrument: model.Instrument, ctx: Context
    ) -> Flow[model.Outcome]:
        RECORDS.check_fixed(order, change, "time_in_force")
        kind = None if change.order_type is None else int(ORDER_TYPE.write(change.order_type))
        prices = {"limitPrice": change.price, "stopPrice": change.trigger_price}
        sizes = {"qty": change.quantity, "disclosedQty": change.display_quantity}
        body: dict[str, Any] = {"id": order.order_id} | ({} if kind is None else {"type": kind})
        body |= {name: json_number(price) for name, price in prices.items() if price is not None}
        body |= {name: whole(size) for name, size in sizes.items() if size is not None}
        return (yield from self._sent("PATCH", body, MODIFIED))

    def cancel(self, order: model.Order, ctx: Context) -> Flow[model.Outcome]:
        return (yield from self._sent("DELETE", {"id": order.order_id}, CANCELLED, Lane.RISK))

    def _sent(self, method: str, body: Mapping[str, Any], code: int, lane: Lane = Lane.NORMAL) -> Flow[model.Outcome]:
        reply = yield Request(method=method, path="/api/v3/orders/sync", json=body, mutates=True, lane=lane)
        return model.Outcome.accepted(words.done(reply.json, code, body["id"]), raw=reply.json)

    def order(self, order_id: str, ctx: Context) -> Flow[list[model.Order]]:
        # The broker keeps no history of an order: its one state is now.
        found = yield from rows(_BOOK, "orderBook", (("id", order_id),))
        return [words.read_order(row, ctx) for row in found]

    def orders(self, ctx: Context) -> Flow[list[model.Order]]:
        return [words.read_order(row, ctx) for row in (yield from rows(_BOOK, "orderBook"))]

    def trades(self, ctx: Context, order_id: str | None = None) -> Flow[list[model.Fill]]:
        fills = [words.read_fill(row, ctx) for row in (yield from rows("/api/v3/tradebook", "tradeBook"))]
        return fills if order_id is None else [fill for fill in fills if fill.order_id == order_id]


def _fields(order: model.OrderRequest, instrument: model.Instrument) -> dict[str, Any]:
    """Write an order as one request, or one of several, carries it."""
    tag = wire_tag(order.wire_id, order.tag, TAG_LENGTH)
    return order_terms(order, instrument) | {
        "disclosedQty": whole(order.display_quantity) if order.display_quantity else 0,
        "validity": VALIDITY.write(order.time_in_force),
        "offlineOrder": order.variety is model.Variety.AMO,
        **({"orderTag": tag} if tag else {}),
    }
