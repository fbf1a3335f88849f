"""Upstox: Developer API v2 and v3, REST and tables.

References
----------
Documentation of the Developer API (mirrored in marketcalls/broker-api-docs), the official Python SDK 2.30.0; sources
of single facts are in README.md and codes.toml.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import time
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from dragoman.plugin import (
    YES,
    All,
    Capabilities,
    Context,
    Credential,
    Download,
    Failure,
    Flow,
    Lane,
    RateLimit,
    Redirect,
    Rejected,
    Reply,
    Request,
    Scope,
    Session,
    SessionRules,
    errors,
    model,
    no,
)
from dragoman.plugin.indian import INDIAN_HOURS, SHARES
from dragoman.plugin.jwt_claims import jwt_expiry_ns
from dragoman.plugin.records import IST, json_number, next_time_ns, pairs, wire_tag

from . import words
from .candles import CandleFlows
from .feed import DeepFeed, MarketFeed, PortfolioFeed
from .gtt import TriggerFlows
from .master import PATH, parser
from .money import MoneyFlows
from .quotes import read_quote
from .words import CODES, ORDER_TYPE, PRODUCT, RECORDS, SIDE, VALIDITY, loads, reading, refused, whole

TAG_LENGTH: Final = 40
MOST_KEYS: Final = 500
MOST_PROTECTION: Final = 25
SECOND_SHARE: Final = 9
"""Orders a second outside the reserve. A sliced order becomes several, each counted, so it spends them all."""
QUOTE_PATHS: Final = {
    model.Mode.LTP: ("/v3/market-quote/ltp", ()),
    model.Mode.QUOTE: ("/v3/market-quote/ohlc", (("interval", "1d"),)),
    model.Mode.FULL: ("/v2/market-quote/quotes", ()),
}
_MARKET: Final = (model.OrderType.MARKET, model.OrderType.STOP_MARKET)
_PRODUCTS: Final = {
    **dict.fromkeys(SHARES, frozenset((model.Product.DELIVERY, model.Product.INTRADAY, model.Product.MTF))),
    **dict.fromkeys(("NFO", "BFO", "CDS", "BCD", "NCO"), frozenset((model.Product.CARRY, model.Product.INTRADAY))),
}
_UNIT_OPEN: Final = (
    "the documents say both units and lots for quantities here: confirm it with the broker and set"
    " settings.quantity_unit in the profile; lots are then converted by the instrument's lot_size"
)
_NO_SUCH_TYPE: Final = "the broker's order types are MARKET, LIMIT, SL and SL-M"
_NO_SUCH_VALIDITY: Final = "the broker's validities are DAY and IOC"

CAPABILITIES: Final = Capabilities(
    order_types=frozenset(ORDER_TYPE.inward.values()),
    products=frozenset((model.Product.DELIVERY, model.Product.INTRADAY, model.Product.CARRY, model.Product.MTF)),
    time_in_force=frozenset(VALIDITY.inward.values()),
    varieties=frozenset((model.Variety.REGULAR, model.Variety.AMO)),
    segments=frozenset(("NSE", "BSE", "NFO", "BFO", "CDS", "BCD", "NCO")),
    modes=frozenset(model.Mode),
    depth_levels=(5, 30),
    quantity_unit={
        **dict.fromkeys(("NSE", "BSE", "NFO", "BFO"), model.QuantityUnit.UNITS),
        **dict.fromkeys(("CDS", "BCD", "MCX", "NCO"), model.QuantityUnit.UNVERIFIED),
    },
    features={
        **dict.fromkeys(("place", "modify", "cancel", "order_history", "trades", "order_stream", "slice"), YES),
        **dict.fromkeys(("positions", "holdings", "convert", "margins", "order_margin", "basket_margin"), YES),
        **dict.fromkeys(("quotes", "depth", "candles", "gtt", "charges", "profile"), YES),
        "bracket": no("withdrawn; a GTT of the broker's type MULTIPLE has target and stop, and is no order"),
        "basket": no("the broker's multi-order call takes ten orders; orders leave one by one, each with its journal"),
        "postback": no("the broker's webhooks carry no signature: nothing proves who wrote one"),
        "alerts": no("the broker has none"),
        "auctions": no("the broker has no interface to auctions"),
        "authorise_holdings": no("the broker's own pages only"),
        "holdings_summary": no("the broker adds nothing up"),
        "trigger_range": no("the broker has no cover orders any more"),
    },
    modify_keeps_id=True,
    wire_id_carrier="tag",
    wire_id_length=TAG_LENGTH,
    market_orders="protected",
    # With modes mixed on a socket 1500 keys may be full; the account may have two sockets, five on the Plus plan.
    max_instruments_per_socket=1500,
    max_sockets=2,
    order_fields=frozenset(("algo_id",)),
    reasons={
        **dict.fromkeys(("MARKET_IF_TOUCHED", "LIMIT_IF_TOUCHED"), _NO_SUCH_TYPE),
        **dict.fromkeys(("TRAILING_STOP_MARKET", "TRAILING_STOP_LIMIT"), _NO_SUCH_TYPE),
        **dict.fromkeys(("GTC", "GTD", "FOK", "AT_THE_OPEN", "AT_THE_CLOSE"), _NO_SUCH_VALIDITY),
        "MARGIN": "the broker's products are I, D and MTF",
        "CASH": "the broker calls it delivery: use DELIVERY",
        "COVER": "withdrawn with the old order interface",
        "BRACKET": "withdrawn with the old order interface",
        "ICEBERG": "the broker has none; display_quantity discloses a part of an order",
        "AUCTION": "the broker has no interface to auctions",
        "MCX": "the broker refuses its orders over the API (UDAPI1161)",
        **dict.fromkeys(("CDS", "BCD", "NCO"), _UNIT_OPEN),
    },
)

_SOURCE: Final = "documentation, rate limiting: per interface and user"


def _limits(meter: str, per_second: int, reserve: tuple[int, int, int]) -> tuple[RateLimit, ...]:
    spans = (("1s", per_second), ("1m", 500), ("30m", 2000))
    return tuple(
        RateLimit(meter, count, per, Scope.ACCOUNT, reserve=kept, source=_SOURCE)
        for (per, count), kept in zip(spans, reserve, strict=True)
    )


class UpstoxAdapter(MoneyFlows, CandleFlows, TriggerFlows):
    """Orders, portfolio and market data of one Upstox account."""

    contract = 1
    name = "upstox"
    title = "Upstox (Developer API v3)"
    hosts = {
        "live": {
            "rest": "https://api.upstox.com",
            "order": "https://api-hft.upstox.com",
            "assets": "https://assets.upstox.com",
            "login": "https://api.upstox.com/v2/login/authorization/dialog",
        },
        "emulator": {},
    }
    headers = (("Accept", "application/json"),)
    credentials = (
        Credential("client_id", secret=False, meaning="the app's API key"),
        Credential("client_secret", meaning="the app's API secret"),
        Credential("redirect_uri", secret=False, meaning="as registered with the app, to the last character"),
    )
    capabilities = CAPABILITIES
    # Orders of an algo registered with the exchange may come 50 a second; nothing tells here whether it is.
    limits = (*_limits("orders", 10, (10 - SECOND_SHARE, 20, 50)), *_limits("default", 50, (0, 0, 0)))
    session = SessionRules(
        time_zone="Asia/Kolkata",
        expires_at=time(3, 30),
        refresh="none",
        static_ip="orders",
        instruments_at=time(6, 15),
    )
    hours = INDIAN_HOURS
    codes = CODES
    feeds = (MarketFeed, DeepFeed, PortfolioFeed)
    emulator = "dragoman.adapters.upstox.emulator:make"

    # -- pure functions ----------------------------------------------------------------------------------------------

    def authorize(self, request: Request, body: bytes, ctx: Context) -> Request:
        if not request.auth:
            return request
        token = ctx.login.get("access_token")
        if token is None:
            raise errors.AuthRequired(
                f"upstox: {request.method} {request.path} needs a session",
                broker=self.name,
                remedy="log in or import an access token",
            )
        headers = [("Authorization", f"Bearer {token.reveal()}")]
        algo = ctx.settings.get("algo_name")
        if algo and request.meter == "orders" and not any(name == "X-Algo-Name" for name, _ in request.headers):
            headers.append(("X-Algo-Name", str(algo)))
        return replace(request, headers=(*request.headers, *headers))

    def classify(self, reply: Reply, request: Request) -> Failure | None:
        good = 200 <= reply.status < 300
        if good and request.note == "file":
            return None
        try:
            body = reply.json
        except errors.DecodeError:
            body = None
        code, text = f"HTTP {reply.status}", reply.text[:200]
        if isinstance(body, Mapping):
            # The reply to a login is the only one without an envelope.
            if good and (body.get("status") == "success" or (request.note == "token" and body.get("access_token"))):
                return None
            found = [item for item in body.get("errors") or () if isinstance(item, Mapping)]
            if found:
                code = str(found[0].get("error_code") or found[0].get("errorCode") or code)
                text = "; ".join(str(item.get("message") or "") for item in found)
        # A server's failure leaves open what was done, whatever it says.
        looked_up = code if reply.status < 500 else f"HTTP {reply.status}"
        failure = self.codes.classify(code=looked_up, text=text, status=reply.status, mutates=request.mutates)
        return replace(failure, code=code, message=f"{code}: {text}" if text else code)

    def check_order(self, order: model.OrderRequest, instrument: model.Instrument) -> model.OrderRequest:
        _check_protection(order.order_type, order.market_protection)
        if order.product not in _PRODUCTS[instrument.exchange]:
            offered = ", ".join(sorted(_PRODUCTS[instrument.exchange]))
            raise refused(f"{instrument.exchange} takes no {order.product} orders", f"use one of {offered}")
        shown = order.display_quantity
        if shown is not None and shown * 10 < order.quantity:
            raise refused(f"display_quantity {shown} is below a tenth of {order.quantity}", "show at least a tenth")
        extras = order.extras.get(self.name, {})
        if not isinstance(extras, Mapping) or set(extras) - {"slice"}:
            raise refused(f"extras['upstox'] is {extras!r}", "known: slice, which is true or false")
        return order

    @classmethod
    def slices(cls, order: model.OrderRequest) -> bool:
        extras = order.extras.get(cls.name, {})
        return isinstance(extras, Mapping) and bool(extras.get("slice"))

    # -- session -----------------------------------------------------------------------------------------------------

    def login(self, ctx: Context) -> Flow[Session]:
        client, uri = ctx.credentials["client_id"].reveal(), ctx.credentials["redirect_uri"].reveal()
        page = urlsplit(ctx.hosts["login"])
        asked = {"response_type": "code", "client_id": client, "redirect_uri": uri}
        answer = yield Redirect(
            page._replace(query=urlencode(dict(parse_qsl(page.query)) | asked)).geturl(), state_param="state"
        )
        code = answer.get("code", "")
        if not code:
            raise errors.AuthRequired(
                f"upstox: the login page sent back {', '.join(sorted(answer)) or 'nothing'}, expected a code",
                kind=errors.ErrorKind.AUTH_INVALID,
                broker=self.name,
                remedy="log in again",
            )
        form = pairs(
            code=code,
            client_id=client,
            client_secret=ctx.credentials["client_secret"].reveal(),
            redirect_uri=uri,
            grant_type="authorization_code",
        )
        path = "/v2/login/authorization/token"
        reply = yield Request(method="POST", path=path, form=form, mutates=True, auth=False, note="token")
        with reading("token"):
            return _session(reply.json, str(reply.json["access_token"]), ctx)

    def import_token(self, token: str, ctx: Context) -> Flow[Session]:
        header = ("Authorization", f"Bearer {token}")
        reply = yield Request(path="/v2/user/profile", headers=(header,), auth=False)
        with reading("profile"):
            return _session(reply.json["data"], token, ctx)

    def logout(self, ctx: Context) -> Flow[None]:
        # A token that is already dead is as good as logged out.
        yield Request(method="DELETE", path="/v2/logout", mutates=True, answers=frozenset(("UDAPI100050", "HTTP 401")))

    def instruments(self, ctx: Context) -> Flow[int]:
        # The files are public: the token stays at home.
        request = Request(host="assets", path=PATH, auth=False, note="file", timeout_s=120.0)
        done = yield Download(request, parser())
        return int(done.rows)

    # -- orders ------------------------------------------------------------------------------------------------------

    def place(
        self, order: model.OrderRequest, instrument: model.Instrument, ctx: Context
    ) -> Flow[model.Outcome | list[model.Outcome]]:
        slices = self.slices(order)
        body = {
            "quantity": whole(order.quantity),
            "product": PRODUCT.write(order.product),
            "validity": VALIDITY.write(order.time_in_force),
            "price": json_number(order.price),
            "instrument_token": instrument.broker_token,
            "order_type": ORDER_TYPE.write(order.order_type),
            "transaction_type": SIDE.write(order.side),
            "disclosed_quantity": whole(order.display_quantity) if order.display_quantity else 0,
            "trigger_price": json_number(order.trigger_price),
            "is_amo": order.variety is model.Variety.AMO,
            "slice": slices,
        } | _protection(order.order_type, order.market_protection)
        tag = wire_tag(order.wire_id, order.tag, TAG_LENGTH)
        reply = yield Request(
            method="POST",
            host="order",
            path="/v3/order/place",
            headers=pairs(**{"X-Algo-Name": order.algo_id}),
            json=body | ({"tag": tag} if tag else {}),
            mutates=True,
            meter="orders",
            cost=SECOND_SHARE if slices else 1,
        )
        with reading("order reply"):
            found = reply.json["data"]
            ids = RECORDS.as_rows("order reply", found, "order_ids")
            placed = [model.Outcome.accepted(order_id, raw=found) for order_id in ids]
            if not placed:
                raise ValueError("order_ids is empty")
            return placed[0] if len(placed) == 1 else model.Outcome.parent(None, tuple(placed), raw=found)

    def modify(
        self, order: model.Order, change: model.OrderChange, instrument: model.Instrument, ctx: Context
    ) -> Flow[model.Outcome]:
        # All terms must be given, also those that stay; an order taken over from the book has them.
        order_type = change.order_type or order.order_type
        validity = change.time_in_force or order.time_in_force
        if order_type not in ORDER_TYPE.outward or validity not in VALIDITY.outward:
            raise refused(
                f"order {order.order_id} is {order_type} {validity}, and a change must repeat both",
                "load the order from the book first",
            )
        percent = _kept_protection(order, change, order_type)
        price = change.price if change.price is not None else order.price
        trigger = change.trigger_price if change.trigger_price is not None else order.trigger_price
        body: dict[str, Any] = {
            "order_id": order.order_id,
            "validity": VALIDITY.write(validity),
            "order_type": ORDER_TYPE.write(order_type),
            "price": json_number(price if order_type.has_price else None),
            "trigger_price": json_number(trigger if order_type.has_trigger else None),
        } | _protection(order_type, percent)
        if change.quantity is not None:
            body["quantity"] = whole(change.quantity)
        if change.display_quantity is not None:
            body["disclosed_quantity"] = whole(change.display_quantity)
        reply = yield Request(
            method="PUT", host="order", path="/v3/order/modify", json=body, mutates=True, meter="orders"
        )
        return _done(reply, order)

    def cancel(self, order: model.Order, ctx: Context) -> Flow[model.Outcome]:
        reply = yield Request(
            method="DELETE",
            host="order",
            path="/v3/order/cancel",
            query=(("order_id", order.order_id),),
            mutates=True,
            meter="orders",
            lane=Lane.RISK,
        )
        return _done(reply, order)

    def order(self, order_id: str, ctx: Context) -> Flow[list[model.Order]]:
        found = yield from _rows("/v2/order/history", (("order_id", order_id),))
        return [words.read_order(row, ctx) for row in found]

    def orders(self, ctx: Context) -> Flow[list[model.Order]]:
        return [words.read_order(row, ctx) for row in (yield from _rows("/v2/order/retrieve-all"))]

    def trades(self, ctx: Context, order_id: str | None = None) -> Flow[list[model.Fill]]:
        path = "/v2/order/trades" if order_id else "/v2/order/trades/get-trades-for-day"
        return [words.read_fill(row, ctx) for row in (yield from _rows(path, pairs(order_id=order_id)))]

    # -- quotes ------------------------------------------------------------------------------------------------------

    def quotes(
        self, instruments: Sequence[model.Instrument], mode: model.Mode, ctx: Context
    ) -> Flow[list[model.Quote]]:
        if mode not in QUOTE_PATHS:
            raise refused(f"there are no quotes in mode {mode}", "30 levels are streamed only; use mode full")
        path, query = QUOTE_PATHS[mode]
        keys = [item.broker_token for item in instruments]
        replies = yield All(
            [
                Request(path=path, query=(("instrument_key", ",".join(keys[at : at + MOST_KEYS])), *query))
                for at in range(0, len(keys), MOST_KEYS)
            ]
        )
        with reading("quotes"):
            # Replies are keyed by another spelling of the instrument: its token inside joins them.
            found = {row["instrument_token"]: row for reply in replies for row in reply.json["data"].values() if row}
            return [
                read_quote(found[item.broker_token], item, mode) for item in instruments if item.broker_token in found
            ]

    def depth(self, instrument: model.Instrument, ctx: Context) -> Flow[model.Quote]:
        quotes = yield from self.quotes([instrument], model.Mode.FULL, ctx)
        if not quotes:
            raise Rejected(
                f"upstox: no quote for {instrument.instrument_id}: the broker leaves out what it does not list",
                kind=errors.ErrorKind.INSTRUMENT_NOT_FOUND,
                broker=self.name,
                remedy="load today's instrument master: the contract expired or was renamed",
            )
        return quotes[0]


def _rows(path: str, query: tuple[tuple[str, str], ...] = ()) -> Flow[list[Any]]:
    reply = yield Request(path=path, query=query)
    with reading(path):
        return RECORDS.as_rows(path, loads(reply.body), "data")


def _done(reply: Reply, order: model.Order) -> model.Outcome:
    """Read the reply to a change or cancel, which names the order. Raises DecodeError."""
    with reading("order reply"):
        found = reply.json["data"]
        return model.Outcome.accepted(RECORDS.confirmed("order reply", found["order_id"], order.order_id), raw=found)


def _session(found: Mapping[str, Any], token: str, ctx: Context) -> Session:
    values = {key: value for key, value in found.items() if value not in (None, "")} | {"access_token": token}
    secrets = frozenset(("access_token", "extended_token")) & set(values)
    # Analytics tokens live a year, and say so.
    expires = jwt_expiry_ns(token) or next_time_ns(ctx.now_ns, time(3, 30), IST)
    return Session(token, str(found["user_id"]), values, expires_ns=expires, secrets=secrets)


def _kept_protection(order: model.Order, change: model.OrderChange, order_type: model.OrderType) -> Decimal | None:
    """Return the protection that a change must repeat: one that names none is protected by the broker's own percent.

    Of our own order that had none the broker's is kept; of one that was placed elsewhere nobody tells the percent.
    """
    _check_protection(order_type, change.market_protection)
    if change.market_protection is not None or order_type not in _MARKET:
        return change.market_protection
    if order.market_protection is None and order.order_type in _MARKET and order.origin is not model.Origin.US:
        raise refused(
            f"order {order.order_id} is {order.order_type} and was placed elsewhere: a change would replace the market"
            " protection it has, which the book does not tell",
            "give market_protection with the change",
        )
    return order.market_protection


def _check_protection(order_type: model.OrderType, percent: Any) -> None:
    if percent is None:
        return
    if order_type not in _MARKET:
        raise refused(f"a {order_type} order takes no market_protection", "leave it out")
    if percent != int(percent) or not 1 <= percent <= MOST_PROTECTION:
        raise refused(
            f"market_protection {percent} is not a whole percent from 1 to {MOST_PROTECTION}",
            "leave it out for automatic protection",
        )


def _protection(order_type: model.OrderType, percent: Any) -> dict[str, int]:
    """Return the wire's market_protection: -1 leaves the percent to the broker; without it the order is refused."""
    return {"market_protection": -1 if percent is None else int(percent)} if order_type in _MARKET else {}
