"""Zerodha: Kite Connect 3, REST and tables.

References
----------
Kite Connect 3 documentation (user, orders, portfolio, market quotes, exceptions), the official Python, Go and
JavaScript SDKs and kiteconnect-mocks; sources of single facts are in README.md and codes.toml.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import time
from decimal import ROUND_CEILING, Decimal
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from dragoman.plugin import (
    YES,
    All,
    Capabilities,
    ChargesTable,
    Context,
    Credential,
    Download,
    ErrorKind,
    Failure,
    Flow,
    Lane,
    RateLimit,
    Redirect,
    Reply,
    Request,
    Scope,
    Session,
    SessionRules,
    UsageError,
    Window,
    copied,
    errors,
    model,
    no,
)
from dragoman.plugin.indian import INDIAN_HOURS
from dragoman.plugin.parts import (
    CASH_PRODUCTS,
    CONTRACT_PRODUCTS,
    IST,
    PROTECTED,
    SHARES,
    SUCCESS,
    TAKEN,
    Pairs,
    QuotedDepth,
    changed,
    check_protection,
    digits,
    failure_of,
    json_or_none,
    needed,
    pairs,
    plain,
    session_of,
)
from dragoman.plugin.records import MISREAD

from . import words
from .candles import CandleFlows
from .feed import Ticker
from .forms import data, rows, written
from .gtt import TriggerFlows
from .master import InstrumentParser
from .money import MoneyFlows
from .words import CODES, ORDER_TYPE, PRODUCT, RECORDS, SIDE, VALIDITY, VARIETY, loads, reading, refused

TAG_LENGTH: Final = 20
USER_TAG_LENGTH: Final = 8
"""What our order id of 12 characters leaves of the wire's tag."""
SECOND_SHARE: Final = 9
"""Orders a second outside the reserve. An autosliced order becomes several, each counted, so it spends them all."""
QUOTE_PATHS: Final = {
    model.Mode.LTP: ("/quote/ltp", 1000),
    model.Mode.QUOTE: ("/quote/ohlc", 1000),
    model.Mode.FULL: ("/quote", 500),
}
EXTRAS: Final = frozenset(("autoslice", "auction_number", "cover_trigger"))
"""Keys of ``extras["zerodha"]``: ask the broker to slice; the auction to sell in; the second leg's trigger."""
ICEBERG_LEGS: Final = (2, 50)
_KINDS: Final = (("POST", "/session/", "session"), ("PUT", "/orders/", "change"), ("DELETE", "/orders/", "change"))
"""Requests whose errors mean something of their own: the code table has them as ``session/...`` and ``change/...``."""
_PRODUCTS: Final = {
    **dict.fromkeys(SHARES, CASH_PRODUCTS),
    **dict.fromkeys(("NFO", "BFO", "CDS", "BCD", "MCX"), CONTRACT_PRODUCTS),
}
_UNIT_OPEN: Final = (
    "the documents leave open whether quantities here count units or lots: confirm it with the broker and set"
    " settings.quantity_unit in the profile; lots are then converted by the instrument's lot_size"
)

_PLACE: Final = {
    variety: Request(method="POST", path=f"/orders/{word}", mutates=True, meter="orders")
    for variety, word in VARIETY.outward.items()
}
_SIDE: Final = {side: ("transaction_type", word) for side, word in SIDE.outward.items()}
_PRODUCT: Final = {product: ("product", word) for product, word in PRODUCT.outward.items()}
_ORDER_TYPE: Final = {order_type: ("order_type", word) for order_type, word in ORDER_TYPE.outward.items()}
_VALIDITY: Final = {validity: ("validity", word) for validity, word in VALIDITY.outward.items()}
_LIMIT: Final = model.OrderType.LIMIT
_LIMITED: Final = _ORDER_TYPE[_LIMIT]
_NONE: Final[Mapping[str, Any]] = {}
_MODIFY: Final = Request(method="PUT", mutates=True, meter="orders")
_CANCEL: Final = Request(method="DELETE", mutates=True, meter="orders", lane=Lane.RISK)
_ORDER_PATHS: Final = {variety: f"/orders/{word}/" for variety, word in VARIETY.outward.items()}

CAPABILITIES: Final = Capabilities(
    order_types=frozenset(
        (model.OrderType.MARKET, model.OrderType.LIMIT, model.OrderType.STOP_LIMIT, model.OrderType.STOP_MARKET)
    ),
    products=frozenset((model.Product.DELIVERY, model.Product.INTRADAY, model.Product.CARRY, model.Product.MTF)),
    time_in_force=frozenset((model.TimeInForce.DAY, model.TimeInForce.IOC)),
    varieties=frozenset(
        (
            model.Variety.REGULAR,
            model.Variety.AMO,
            model.Variety.ICEBERG,
            model.Variety.COVER,
            model.Variety.AUCTION,
        )
    ),
    segments=frozenset(("NSE", "BSE", "NFO", "BFO", "CDS", "BCD", "MCX")),
    modes=frozenset((model.Mode.LTP, model.Mode.QUOTE, model.Mode.FULL)),
    depth_levels=(5,),
    quantity_unit={
        **dict.fromkeys(("NSE", "BSE", "NFO", "BFO"), model.QuantityUnit.UNITS),
        **dict.fromkeys(("CDS", "BCD", "MCX"), model.QuantityUnit.UNVERIFIED),
    },
    features={
        **dict.fromkeys(
            ("place", "modify", "cancel", "order_history", "trades", "order_stream", "positions", "margins"), YES
        ),
        **dict.fromkeys(("quotes", "depth", "holdings", "convert", "order_margin", "candles", "gtt", "slice"), YES),
        **dict.fromkeys(("profile", "basket_margin", "charges", "trigger_range", "auctions"), YES),
        **dict.fromkeys(("alerts", "authorise_holdings", "holdings_summary", "postback"), YES),
        "bracket": no("withdrawn by the broker"),
        "basket": no("the broker's basket is a page for a human; orders go one by one"),
    },
    modify_keeps_id=True,
    wire_id_carrier="tag",
    wire_id_length=TAG_LENGTH,
    market_orders="protected",
    max_instruments_per_socket=3000,
    max_sockets=3,
    order_fields=frozenset(("algo_id",)),
    reasons={
        "MARKET_IF_TOUCHED": "the broker has no such order type",
        "LIMIT_IF_TOUCHED": "the broker has no such order type",
        "TRAILING_STOP_MARKET": "the broker has no such order type",
        "TRAILING_STOP_LIMIT": "the broker has no such order type",
        "GTC": "orders live for the day; the broker's GTT triggers are not orders",
        "GTD": "the broker's TTL counts minutes within the day; not built yet in this version of the adapter",
        "FOK": "the broker has DAY, IOC and TTL only",
        "AT_THE_OPEN": "the broker has DAY, IOC and TTL only",
        "AT_THE_CLOSE": "the broker has DAY, IOC and TTL only",
        "MARGIN": "the broker's products are CNC, MIS, NRML and MTF",
        "BRACKET": "withdrawn by the broker",
        "CASH": "the broker calls it delivery: use DELIVERY",
        "NCO": "listed in the dump, but the broker documents no orders for it",
        "CDS": _UNIT_OPEN,
        "BCD": _UNIT_OPEN,
        "MCX": _UNIT_OPEN,
    },
)

_USUAL: Final = frozenset(
    (product, validity, model.Variety.REGULAR, exchange)
    for exchange, products in _PRODUCTS.items()
    for product in products
    for validity in CAPABILITIES.time_in_force
    if exchange != "MCX" or validity is not model.TimeInForce.IOC
)
"""What an order can be, with nothing further that could not fit."""

# Every token dies then, whenever it was made.
_SESSION: Final[dict[str, Any]] = {
    "account": "user_id",
    "dies_at": time(6),
    "zone": IST,
    "secrets": ("public_token", "enctoken", "refresh_token"),
}
_SOURCE: Final = "documentation, exceptions: rate limits; kite.trade/forum/discussion/16217"
LIMITS: Final = (
    # The broker counts orders by the seconds of its own clock (forum 15350), so a calendar second is the exact shape.
    RateLimit("orders", 10, "1s", Scope.ACCOUNT, Window.CALENDAR, reserve=10 - SECOND_SHARE, source=_SOURCE),
    # Nothing says how minutes are cut: no 60 seconds with more than 400 satisfies every reading.
    RateLimit("orders", 400, "1m", Scope.ACCOUNT, Window.ROLLING, reserve=20, source=_SOURCE),
    RateLimit("orders", 5000, "1d", Scope.ACCOUNT, Window.CALENDAR, reserve=100, source=_SOURCE),
    # Counted where a request names its order: modifications do.
    RateLimit("orders", 25, scope=Scope.ORDER, source="documentation, orders: modifications per order"),
    RateLimit("quote", 1, "1s", Scope.KEY, source=_SOURCE),
    RateLimit("candles", 3, "1s", Scope.KEY, source=_SOURCE),
    RateLimit("default", 10, "1s", Scope.KEY, source=_SOURCE),
)


class ZerodhaAdapter(MoneyFlows, CandleFlows, TriggerFlows, QuotedDepth):
    """Orders, portfolio and market data of one Zerodha account."""

    contract = 1
    name = "zerodha"
    title = "Zerodha (Kite Connect 3)"
    hosts = {
        "live": {
            "rest": "https://api.kite.trade",
            "ws": "wss://ws.kite.trade",
            "login": "https://kite.zerodha.com/connect/login",
        },
        "emulator": {},
    }
    headers = (("X-Kite-Version", "3"),)
    credentials = (
        Credential("api_key", secret=False, needed_for="always", meaning="the app's key on developers.kite.trade"),
        Credential(
            "api_secret",
            meaning="the app's secret; signs the exchange of the request token, and the broker's postbacks",
            proves_postbacks=True,
        ),
    )
    capabilities = CAPABILITIES
    limits = LIMITS
    session = SessionRules(
        time_zone="Asia/Kolkata",
        expires_at=time(6),
        refresh="none",
        static_ip="orders",
        redirect_port=5010,
        instruments_at=time(8, 30),
    )
    hours = INDIAN_HOURS
    codes = CODES
    charges_table = ChargesTable.load(__package__)
    feeds = (Ticker,)
    authorizes_by_login = True
    emulator = "dragoman.adapters.zerodha.emulator:make"

    # -- pure functions ----------------------------------------------------------------------------------------------

    def authorize(self, request: Request, body: bytes, ctx: Context) -> Request:
        if not request.auth:
            return request
        key, access = ctx.credentials["api_key"].reveal(), RECORDS.token(request, ctx)
        if request.method == "DELETE" and request.path == "/session/token":
            request = replace(request, query=(("api_key", key), ("access_token", access)))
        return request.but(headers=(*request.headers, ("Authorization", f"token {key}:{access}")))

    def classify(self, reply: Reply, request: Request) -> Failure | None:
        try:
            body = reply.json
            good = reply.status in SUCCESS and body["status"] == "success" and "data" in body
        except (errors.DecodeError, LookupError, TypeError):
            good = False  # no envelope
        return None if good else self._meaning(reply, request)

    def _meaning(self, reply: Reply, request: Request) -> Failure | None:
        """Return what a reply means that is no success in Kite's envelope."""
        if request.note == "csv" and reply.status in SUCCESS:
            return None
        body, code, text = json_or_none(reply), f"HTTP {reply.status}", ""
        if isinstance(body, dict):
            told = body.get("error_type")
            if isinstance(told, str) and told:
                code, text = told, str(body.get("message") or "")
        # As this kind of request gets it, then as any does.
        kind = next(
            (word for way, path, word in _KINDS if (request.method, request.path[: len(path)]) == (way, path)), ""
        )
        kind = "upgrade" if request.note == "upgrade" else kind
        words = (f"{kind}/{code}", code) if kind else (code,)
        return failure_of(self.codes, reply, request, words, text or reply.text[:200], code=code)

    def check_order(self, order: model.OrderRequest, instrument: model.Instrument) -> model.OrderRequest:
        if (
            (order.product, order.time_in_force, order.variety, instrument.exchange) in _USUAL
            and not order.tag
            and order.extras == {}
            and order.market_protection is None
            and order.display_quantity is None
        ):
            return order
        tag = order.tag
        if tag and not (len(tag) <= USER_TAG_LENGTH and tag.isascii() and tag.isalnum()):
            raise refused(
                f"the wire cannot carry tag {tag!r} beside our order id",
                f"give at most {USER_TAG_LENGTH} ASCII letters and digits, or put the name into client_order_id",
            )
        check_protection(RECORDS, order.order_type, order.market_protection)
        iceberg = order.variety is model.Variety.ICEBERG
        if order.display_quantity is not None and not iceberg and instrument.exchange not in SHARES:
            raise refused(f"display_quantity is for shares only, not {instrument.exchange}", "leave it out")
        if order.time_in_force is model.TimeInForce.IOC and instrument.exchange == "MCX":
            raise refused("MCX takes no IOC orders from algos", "use DAY")
        RECORDS.check_product(order, _PRODUCTS[instrument.exchange], instrument.exchange)
        _check_variety(order, RECORDS.extras(order, EXTRAS))
        return order

    # -- session -----------------------------------------------------------------------------------------------------

    def login(self, ctx: Context) -> Flow[Session]:
        key, secret = ctx.credentials["api_key"].reveal(), ctx.credentials["api_secret"].reveal()
        state = ctx.random_bytes(16).hex()
        page = urlsplit(ctx.hosts["login"])
        # The page echoes redirect_params on the redirect: that is how our state gets through it.
        asked = {"v": "3", "api_key": key, "redirect_params": urlencode({"state": state})}
        url = page._replace(query=urlencode(dict(parse_qsl(page.query)) | asked)).geturl()
        answer = yield Redirect(url, expect=(("state", state),))
        if answer.get("state") != state:
            raise errors.AuthRequired(
                "zerodha: the redirect does not carry this login's state: it belongs to another login",
                kind=ErrorKind.AUTH_INVALID,
                broker=self.name,
                remedy="start the login again and use the page it opens",
            )
        request_token = answer.get("request_token", "")
        if answer.get("status", "success") != "success" or not request_token:
            raise errors.AuthRequired(
                f"zerodha: the login page reports {answer.get('status', 'no request token')!r}",
                kind=ErrorKind.AUTH_INVALID,
                broker=self.name,
                remedy="log in again",
            )
        checksum = hashlib.sha256(f"{key}{request_token}{secret}".encode()).hexdigest()
        form = (("api_key", key), ("request_token", request_token), ("checksum", checksum))
        reply = yield Request(method="POST", path="/session/token", form=form, mutates=True, auth=False)
        with reading("session"):
            return session_of(reply.json["data"], str(reply.json["data"]["access_token"]), ctx, **_SESSION)

    def import_token(self, token: str, ctx: Context) -> Flow[Session]:
        header = ("Authorization", f"token {ctx.credentials['api_key'].reveal()}:{token}")
        reply = yield Request(path="/user/profile", headers=(header,), auth=False)
        with reading("profile"):
            return session_of(reply.json["data"], token, ctx, **_SESSION)

    def logout(self, ctx: Context) -> Flow[None]:
        # A token that is already dead is as good as logged out.
        dead = frozenset(("TokenException",))
        yield Request(method="DELETE", path="/session/token", mutates=True, answers=dead)

    def instruments(self, ctx: Context) -> Flow[int]:
        done = yield Download(Request(path="/instruments", note="csv", timeout_s=60.0), InstrumentParser())
        return int(done.rows)

    # -- orders ------------------------------------------------------------------------------------------------------

    def place(
        self, order: model.OrderRequest, instrument: model.Instrument, ctx: Context
    ) -> Flow[model.Outcome | list[model.Outcome]]:
        quantity, price = f"{order.quantity!s}", f"{order.price!s}"
        if (
            order.order_type is _LIMIT
            and order.price is not None
            and order.trigger_price is None
            and order.display_quantity is None
            and order.algo_id is None
            and order.wire_id
            and not order.tag
            and not order.extras
            and quantity.isdigit()
            and "E" not in price
        ):
            # A limit and nothing further, as most orders are: the form that `_place_form` makes of it, in one step.
            reply = yield _PLACE[order.variety].but(
                form=(
                    ("exchange", instrument.exchange),
                    ("tradingsymbol", instrument.broker_symbol),
                    _SIDE[order.side],
                    ("quantity", quantity),
                    _PRODUCT[order.product],
                    _LIMITED,
                    ("price", price),
                    _VALIDITY[order.time_in_force],
                    ("tag", order.wire_id),
                )
            )
        else:
            extras = order.extras.get(self.name, _NONE) if order.extras else _NONE
            reply = yield _PLACE[order.variety].but(
                form=_place_form(order, instrument, extras),
                cost=SECOND_SHARE if extras.get("autoslice") else 1,
            )
        try:
            data = (reply.parsed or reply.json)["data"]
            order_id = data["order_id"]
            if isinstance(order_id, str) and order_id.isdigit() and "children" not in data:
                return copied(TAKEN, order_id=order_id, raw=data)
            order_id, children = _order_id(data), data.get("children")
            if not children:
                return model.Outcome.accepted(order_id, raw=data)
            return model.Outcome.parent(order_id, tuple(map(self._child, children)), raw=data)
        except errors.DragomanError:
            raise
        except MISREAD as error:
            raise RECORDS.misread("order reply", error) from error

    def _child(self, child: Mapping[str, Any]) -> model.Outcome:
        if "error" not in child:
            return model.Outcome.accepted(_order_id(child), raw=child)
        error = child["error"]
        failure = self.codes.classify(
            code=str(error.get("error_type") or ""),
            text=str(error.get("message") or ""),
            status=int(error.get("code") or 0),
            mutates=True,
        )
        return failure.outcome(raw=child)

    def modify(
        self, order: model.Order, change: model.OrderChange, instrument: model.Instrument, ctx: Context
    ) -> Flow[model.Outcome]:
        form = _change_form(order, change)
        if order.variety is model.Variety.COVER:
            # Cover orders take prices only; the second leg names its parent.
            prices = tuple(pair for pair in form if pair[0] in ("price", "trigger_price"))
            if not prices:
                raise refused("of a cover order only the prices can be changed", "give price or trigger_price")
            form = prices + pairs(parent_order_id=order.parent_order_id)
        reply = yield _MODIFY.but(path=_order_path(order), form=form, limit_key=order.order_id)
        return changed(RECORDS, reply, order)

    def cancel(self, order: model.Order, ctx: Context) -> Flow[model.Outcome]:
        request = _CANCEL.but(path=_order_path(order))
        if order.variety is model.Variety.COVER:
            request = request.but(query=pairs(parent_order_id=order.parent_order_id))
        reply = yield request
        return changed(RECORDS, reply, order)

    def order(self, order_id: str, ctx: Context) -> Flow[list[model.Order]]:
        found = yield from rows(f"/orders/{quote(order_id, safe='')}")
        return [words.read_order(row, ctx) for row in found]

    def orders(self, ctx: Context) -> Flow[list[model.Order]]:
        found = yield from rows("/orders")
        return [words.read_order(row, ctx) for row in found]

    def trades(self, ctx: Context, order_id: str | None = None) -> Flow[list[model.Fill]]:
        found = yield from rows(f"/orders/{quote(order_id, safe='')}/trades" if order_id else "/trades")
        return [words.read_fill(row, ctx) for row in found]

    def postback(self, body: bytes, ctx: Context) -> model.Order:
        row = loads(body)
        with reading("postback"):
            told = f"{row['order_id']}{row['order_timestamp']}{ctx.credentials['api_secret'].reveal()}"
            found = str(row["checksum"])
        if not hmac.compare_digest(hashlib.sha256(told.encode()).hexdigest().encode(), found.encode()):
            raise errors.DecodeError(
                f"zerodha: the checksum of the postback of order {row['order_id']} is wrong",
                broker=self.name,
                remedy="drop it: it was not written for this app's api_secret",
            )
        return words.read_order(row, ctx)

    def trigger_ranges(
        self, instruments: Sequence[model.Instrument], side: model.Side, ctx: Context
    ) -> Flow[list[model.TriggerRange]]:
        asked = {f"{item.exchange}:{item.broker_symbol}": item for item in instruments}
        path = f"/instruments/trigger_range/{SIDE.write(side).lower()}"
        found = yield from data(path, tuple(("i", key) for key in asked))
        with reading("trigger range"):
            return [
                model.TriggerRange(
                    instrument_id=item.instrument_id,
                    lower=needed(found[key], "lower"),
                    upper=needed(found[key], "upper"),
                )
                for key, item in asked.items()
                if found.get(key)
            ]

    # -- quotes ------------------------------------------------------------------------------------------------------

    def quotes(
        self, instruments: Sequence[model.Instrument], mode: model.Mode, ctx: Context
    ) -> Flow[list[model.Quote]]:
        path, batch = QUOTE_PATHS[mode]
        asked = {f"{item.exchange}:{item.broker_symbol}": item for item in instruments}
        keys = list(asked)
        replies = yield All(
            [
                Request(path=path, query=tuple(("i", key) for key in keys[at : at + batch]), meter="quote")
                for at in range(0, len(keys), batch)
            ]
        )
        with reading("quotes"):
            found = {key: row for reply in replies for key, row in reply.json["data"].items() if row}
            return [words.read_quote(found[key], item, mode) for key, item in asked.items() if key in found]


def _order_path(order: model.Order) -> str:
    path, name = _ORDER_PATHS.get(order.variety), order.order_id
    if path is None:
        raise UsageError(
            f"zerodha: order {name} has variety {order.variety}, and its path needs one",
            broker="zerodha",
            remedy="load the order from the book first",
        )
    return path + (name if name.isascii() and name.isalnum() else quote(name, safe=""))


def _check_variety(order: model.OrderRequest, extras: Mapping[str, Any]) -> None:
    """Refuse a variety without what belongs to it, and what belongs to another variety."""
    for name, variety in (("auction_number", model.Variety.AUCTION), ("cover_trigger", model.Variety.COVER)):
        if (name in extras) != (order.variety is variety):
            verb = "needs" if order.variety is variety else "takes no"
            raise refused(
                f"a {order.variety} order {verb} extras {name}",
                f"{'give' if verb == 'needs' else 'leave out'} extras={{'zerodha': {{'{name}': ...}}}}",
            )
    if order.variety is model.Variety.ICEBERG:
        least, most = ICEBERG_LEGS
        legs = _legs(order)
        if not least <= legs <= most:
            raise refused(
                f"an iceberg of {order.quantity} showing {order.display_quantity} has {legs} legs",
                f"choose display_quantity so that it has {least} to {most}",
                kind=ErrorKind.INVALID_QUANTITY,
            )
    if order.variety is model.Variety.COVER:
        if order.order_type not in (model.OrderType.MARKET, model.OrderType.LIMIT):
            raise refused(f"a cover order cannot be {order.order_type}", "use MARKET or LIMIT")
        if order.product is not model.Product.INTRADAY:
            raise refused(f"a cover order cannot be {order.product}", "use INTRADAY")
        if not _decimal(extras["cover_trigger"]) > 0:
            raise refused(
                f"cover_trigger {extras['cover_trigger']}", "give the price at which the second leg sells out"
            )


def _legs(order: model.OrderRequest) -> int:
    """Return how many orders an iceberg becomes: the last one takes the rest."""
    shown = order.display_quantity
    return int((order.quantity / shown).to_integral_value(ROUND_CEILING)) if shown else 0


def _decimal(value: Any) -> Decimal:
    try:
        found = Decimal(str(value))
    except ArithmeticError as error:
        raise refused(f"{value!r} is not a price", "give a number") from error
    return found if found.is_finite() else Decimal(0)


def _place_form(order: model.OrderRequest, instrument: model.Instrument, extras: Mapping[str, Any]) -> Pairs:
    shown, trigger = order.display_quantity, order.trigger_price
    if extras and extras.get("cover_trigger") is not None:
        trigger = _decimal(extras["cover_trigger"])
    form = [
        ("exchange", instrument.exchange),
        ("tradingsymbol", instrument.broker_symbol),
        _SIDE[order.side],
        ("quantity", written(order.quantity)),
        _PRODUCT[order.product],
        _ORDER_TYPE[order.order_type],
    ]
    if order.price is not None:
        form.append(("price", digits(order.price)))
    if trigger is not None:
        form.append(("trigger_price", digits(trigger)))
    form.append(_VALIDITY[order.time_in_force])
    if shown is not None and order.variety is not model.Variety.ICEBERG:
        form.append(("disclosed_quantity", written(shown)))
    if order.order_type in PROTECTED:
        form.append(("market_protection", _protection(order.market_protection)))
    if shown is not None and order.variety is model.Variety.ICEBERG:
        form += ("iceberg_legs", str(_legs(order))), ("iceberg_quantity", written(shown))
    if extras:
        if extras.get("auction_number") is not None:
            form.append(("auction_number", str(extras["auction_number"])))
        if extras.get("autoslice"):
            form.append(("autoslice", "true"))
    if order.wire_id or order.tag:
        form.append(("tag", wire_tag(order)))
    if order.algo_id is not None:
        form.append(("algo_id", order.algo_id))
    return tuple(form)


def _change_form(order: model.Order, change: model.OrderChange) -> Pairs:
    form = []
    if change.order_type is not None:
        form.append(("order_type", ORDER_TYPE.write(change.order_type)))
    if change.quantity is not None:
        form.append(("quantity", written(change.quantity)))
    if change.price is not None:
        form.append(("price", digits(change.price)))
    if change.trigger_price is not None:
        form.append(("trigger_price", digits(change.trigger_price)))
    if change.time_in_force is not None:
        form.append(("validity", VALIDITY.write(change.time_in_force)))
    if change.display_quantity is not None:
        form.append(("disclosed_quantity", written(change.display_quantity)))
    if (change.order_type or order.order_type) in PROTECTED:
        # Left out it would be none, which is refused; what the order has is repeated.
        percent = order.market_protection if change.market_protection is None else change.market_protection
        form.append(("market_protection", _protection(percent)))
    return tuple(form)


def wire_tag(order: model.OrderRequest) -> str:
    """Return what goes into `tag`: our wire id, then the user's tag, which `check_order` has found to fit."""
    return order.wire_id + (order.tag or "")


def _protection(percent: Decimal | None) -> str:
    """Return the wire's market_protection: -1 leaves the percent to the broker, leaving it out means a refusal."""
    return "-1" if percent is None else plain(percent) or "-1"


def _order_id(data: Mapping[str, Any]) -> str:
    """Return the order id of a reply. One without it says nothing that could be relied on: the outcome is open."""
    value = data["order_id"]
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"order_id is {value!r}")
    return value
