"""Upstox: Developer API v2 and v3, REST and tables.

References
----------
Documentation of the Developer API (mirrored in marketcalls/broker-api-docs), the official Python SDK 2.30.0; sources
of single facts are in README.md and codes.toml.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    RateLimit,
    Reply,
    Request,
    Scope,
    Session,
    SessionRules,
    model,
    no,
)
from dragoman.plugin.parts import (
    FILE,
    INDIAN_HOURS,
    IST,
    SUCCESS,
    failure_of,
    json_or_none,
    master_of,
    pairs,
    public_file,
    session_of,
)

from .feed import DeepFeed, MarketFeed, PortfolioFeed
from .gtt import TriggerFlows
from .market import MarketFlows
from .master import PATH, parser
from .money import MoneyFlows
from .orders import MOST_AT_ONCE, SECOND_SHARE, SEVERAL, TAG_LENGTH, OrderFlows, code_of
from .words import CODES, ORDER_TYPE, RECORDS, VALIDITY, reading

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
        **dict.fromkeys(("basket", "cancel_many", "exit_all"), YES),
        **dict.fromkeys(("positions", "holdings", "convert", "margins", "order_margin", "basket_margin"), YES),
        **dict.fromkeys(("quotes", "depth", "candles", "gtt", "charges", "profile"), YES),
        "bracket": no("withdrawn; a GTT of the broker's type MULTIPLE has target and stop, and is no order"),
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
    most_in_basket=MOST_AT_ONCE,
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

# Analytics tokens live a year, and say so.
_SESSION: Final[dict[str, Any]] = {
    "account": "user_id",
    "dies_at": time(3, 30),
    "zone": IST,
    "secrets": ("extended_token",),
}
_SOURCE: Final = "documentation, rate limiting: per interface and user"


def _limits(meter: str, per_second: int, reserve: tuple[int, int, int]) -> tuple[RateLimit, ...]:
    spans = (("1s", per_second), ("1m", 500), ("30m", 2000))
    return tuple(
        RateLimit(meter, count, per, Scope.ACCOUNT, reserve=kept, source=_SOURCE)
        for (per, count), kept in zip(spans, reserve, strict=True)
    )


class UpstoxAdapter(OrderFlows, MoneyFlows, MarketFlows, TriggerFlows):
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
    charges_table = ChargesTable.load(__package__)
    feeds = (MarketFeed, DeepFeed, PortfolioFeed)
    authorizes_by_login = True
    emulator = "dragoman.adapters.upstox.emulator:make"

    # -- pure functions ----------------------------------------------------------------------------------------------

    def authorize(self, request: Request, body: bytes, ctx: Context) -> Request:
        if not request.auth:
            return request
        headers = [("Authorization", f"Bearer {RECORDS.token(request, ctx)}")]
        algo = ctx.settings.get("algo_name")
        if algo and request.meter == "orders" and not any(name == "X-Algo-Name" for name, _ in request.headers):
            headers.append(("X-Algo-Name", str(algo)))
        return request.but(headers=(*request.headers, *headers))

    def classify(self, reply: Reply, request: Request) -> Failure | None:
        good = reply.status in SUCCESS
        if good and request.note == FILE:
            return None
        body, code, texts = json_or_none(reply), f"HTTP {reply.status}", []
        if isinstance(body, dict):
            # A request of several orders tells beside the whole what became of each.
            if request.note is SEVERAL and reply.status in (200, 207, 400) and isinstance(body.get("summary"), Mapping):
                return None
            # The reply to a login is the only one without an envelope.
            if good and (body.get("status") == "success" or (request.note == "token" and body.get("access_token"))):
                return None
            found = [item for item in body.get("errors") or () if isinstance(item, Mapping)]
            code = next(filter(None, map(code_of, found[:1])), code)
            texts = [str(item.get("message") or "") for item in found]
        # A server's failure leaves open what was done, whatever it says.
        looked_up = code if reply.status < 500 else f"HTTP {reply.status}"
        return failure_of(self.codes, reply, request, (looked_up,), "; ".join(texts or [reply.text[:200]]), code=code)

    # -- session -----------------------------------------------------------------------------------------------------

    def login(self, ctx: Context) -> Flow[Session]:
        client, uri = ctx.credentials["client_id"].reveal(), ctx.credentials["redirect_uri"].reveal()
        asked = {"response_type": "code", "client_id": client, "redirect_uri": uri}
        code = yield from RECORDS.login_code(ctx.hosts["login"], asked, "code")
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
            return session_of(reply.json, str(reply.json["access_token"]), ctx, **_SESSION)

    def import_token(self, token: str, ctx: Context) -> Flow[Session]:
        header = ("Authorization", f"Bearer {token}")
        reply = yield Request(path="/v2/user/profile", headers=(header,), auth=False)
        with reading("profile"):
            return session_of(reply.json["data"], token, ctx, **_SESSION)

    def logout(self, ctx: Context) -> Flow[None]:
        # A token that is already dead is as good as logged out.
        yield Request(method="DELETE", path="/v2/logout", mutates=True, answers=frozenset(("UDAPI100050", "HTTP 401")))

    def instruments(self, ctx: Context) -> Flow[int]:
        return (yield from master_of(public_file(PATH), parser()))
