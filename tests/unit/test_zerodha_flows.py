"""Flows with scripted replies: what leaves, byte for byte where it matters, and what comes back."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from urllib.parse import parse_qsl, urlsplit

import pytest
from dragoman.adapters.zerodha import ZerodhaAdapter
from dragoman.adapters.zerodha.adapter import TAG_LENGTH, USER_TAG_LENGTH
from dragoman.adapters.zerodha.words import ORDER_TYPE, PRODUCT, SIDE, VALIDITY, VARIETY

from dragoman.errors import (
    AuthRequired,
    DecodeError,
    Effect,
    ErrorKind,
    OutcomeUnknown,
    Rejected,
    StaleData,
    UsageError,
)
from dragoman.model import (
    Instrument,
    Mode,
    Order,
    OrderChange,
    OrderRequest,
    OrderStatus,
    OrderType,
    Product,
    QuantityUnit,
    Segment,
    Side,
    TimeInForce,
    Variety,
)
from dragoman.orders.identity import WIRE_ID_LENGTH
from dragoman.plugin import Lane, Request, Scope
from dragoman.testing import ScriptError, reply
from fixtures.zerodha.account import ADAPTER, HERE, body, context, run

D = Decimal
CTX = context()
INFY = CTX.instruments.get("NSE:INFY")
CHANGED = {"status": "success", "data": {"order_id": "77"}}
ORDER_REPLY = {"status": "success", "data": {"order_id": "151220000000000"}}
IST_SIX = 1_767_313_800_000_000_000  # 2026-01-02 06:00 IST


def order(**changes):
    given = {"instrument_id": "NSE:INFY", "side": Side.BUY, "quantity": D(10), "wire_id": "0000100001AB"}
    return OrderRequest(**(given | changes))


def working(**changes):
    given = {
        "instrument_id": "NSE:INFY",
        "side": Side.BUY,
        "quantity": D(10),
        "order_id": "77",
        "order_type": OrderType.LIMIT,
        "status": OrderStatus.OPEN,
        "variety": Variety.REGULAR,
    }
    return Order(**(given | changes))


def placed(request):
    """The form a request was placed with, and the request."""
    driven = run(ADAPTER.place(ADAPTER.check_order(request, INFY), INFY, CTX), [ORDER_REPLY])
    return dict(driven.requests[0].form), driven


# --- session ---------------------------------------------------------------------------------------------------------


def login(answer, *replies, **changes):
    ctx = context(login={}, **changes)
    return run(ADAPTER.login(ctx), [answer, *replies], ctx)


def with_state(**query):
    def answer(redirect):
        asked = dict(parse_qsl(urlsplit(redirect.url).query))
        return {**dict(parse_qsl(asked["redirect_params"])), **query}

    return answer


def test_login_sends_the_human_to_the_page_and_exchanges_the_request_token():
    driven = login(with_state(request_token="request_token", action="login", status="success"), body("session"))
    redirect, exchange = driven.effects
    asked = dict(parse_qsl(urlsplit(redirect.url).query))
    assert redirect.url.startswith("https://kite.zerodha.com/connect/login?")
    assert (asked["v"], asked["api_key"]) == ("3", "api_key")
    assert redirect.expect == (("state", asked["redirect_params"].removeprefix("state=")),)
    assert (exchange.method, exchange.path, exchange.mutates, exchange.auth) == ("POST", "/session/token", True, False)
    assert dict(exchange.form) == {
        "api_key": "api_key",
        "request_token": "request_token",
        # the digest the protocol page gives for these three words
        "checksum": "ff6a6d3d60c9d974df906ba6f787ac38300cfa68b41801b486ea1007e52e8942",
    }
    session = driven.result
    assert (session.access_token, session.account, session.expires_ns) == ("fresh", "AB1234", IST_SIX)
    assert session.secrets == {"access_token", "public_token", "enctoken"}
    assert session.values["products"] == ["CNC", "MIS"]
    assert "fresh" not in repr(session)


def test_a_page_with_a_query_of_its_own_keeps_it():
    driven = login(
        with_state(request_token="t"), body("session"), hosts={"login": "http://127.0.0.1:1/connect?mode=auto"}
    )
    assert driven.effects[0].url.startswith("http://127.0.0.1:1/connect?mode=auto&v=3&")


@pytest.mark.parametrize(
    "answer",
    [
        {"request_token": "t", "status": "success", "state": "another login's"},
        {"request_token": "t", "status": "success"},
        with_state(request_token="t", status="cancelled"),
        with_state(status="success"),
    ],
)
def test_a_redirect_of_another_login_or_without_a_token_ends_in_auth_required_and_no_request(answer):
    with pytest.raises(AuthRequired) as caught:
        login(answer)
    assert caught.value.kind is ErrorKind.AUTH_INVALID


def test_a_used_request_token_is_not_an_expired_session():
    error = {"status": "error", "error_type": "TokenException", "message": "Token is invalid or has expired."}
    with pytest.raises(AuthRequired) as caught:
        login(with_state(request_token="t"), reply(error, status=403))
    assert (caught.value.kind, caught.value.retry) == (ErrorKind.AUTH_INVALID, "USER_ACTION")


@pytest.mark.parametrize(
    ("now", "expires"),
    [
        (IST_SIX - 1_000_000_000, IST_SIX),
        (IST_SIX, IST_SIX + 86_400_000_000_000),
        (IST_SIX - 6 * 3_600_000_000_000, IST_SIX),
    ],
)
def test_every_token_dies_at_the_next_six_in_the_morning_of_india(now, expires):
    assert login(with_state(request_token="t"), body("session"), now_ns=now).result.expires_ns == expires


def test_an_imported_token_is_asked_whose_it_is():
    driven = run(ADAPTER.import_token("given", CTX), [body("profile")])
    assert driven.requests[0].path == "/user/profile"
    assert dict(driven.requests[0].headers) == {"Authorization": "token api_key:given"}
    assert "given" not in repr(driven.requests[0])
    session = driven.result
    assert (session.access_token, session.account, session.expires_ns) == ("given", "AB1234", IST_SIX)


def test_logout_names_the_token_and_a_dead_one_is_as_good():
    dead = {"status": "error", "error_type": "TokenException", "message": "x"}
    for answer in ({"status": "success", "data": True}, reply(dead, status=403)):
        (request,) = run(ADAPTER.logout(CTX), [answer]).requests
        assert (request.method, request.path) == ("DELETE", "/session/token")
        assert dict(request.query) == {"api_key": "api_key", "access_token": "tok/en"}


def test_every_request_carries_key_and_token_and_none_leaves_without_a_session():
    (request,) = run(ADAPTER.orders(CTX), [{"status": "success", "data": []}]).requests
    assert request.headers == (("Authorization", "token api_key:tok/en"),)
    assert ADAPTER.headers == (("X-Kite-Version", "3"),)
    with pytest.raises(AuthRequired, match="needs a session"):
        ADAPTER.authorize(Request(), b"", context(login={}))


# --- orders ----------------------------------------------------------------------------------------------------------


def test_a_limit_order_leaves_as_the_documented_form():
    form, driven = placed(order(order_type=OrderType.LIMIT, price=D("1500.05"), tag="strat"))
    assert form == {
        "exchange": "NSE",
        "tradingsymbol": "INFY",
        "transaction_type": "BUY",
        "quantity": "10",
        "product": "CNC",
        "order_type": "LIMIT",
        "price": "1500.05",
        "validity": "DAY",
        "tag": "0000100001ABstrat",
    }
    (request,) = driven.requests
    assert (request.method, request.path) == ("POST", "/orders/regular")
    assert (request.mutates, request.meter, request.cost, request.lane) == (True, "orders", 1, Lane.NORMAL)
    assert (driven.result.effect, driven.result.order_id) == ("ACCEPTED", "151220000000000")


def test_a_market_order_always_asks_for_protection():
    assert placed(order())[0]["market_protection"] == "-1"
    assert placed(order(market_protection=D("2.5")))[0]["market_protection"] == "2.5"
    form, _ = placed(order(order_type=OrderType.STOP_MARKET, trigger_price=D("1490")))
    assert (form["order_type"], form["market_protection"], form["trigger_price"]) == ("SL-M", "-1", "1490")
    assert "price" not in form


def test_a_stop_limit_order_has_both_prices_and_no_protection():
    form, _ = placed(order(order_type=OrderType.STOP_LIMIT, price=D("1.10"), trigger_price=D("1")))
    assert (form["order_type"], form["price"], form["trigger_price"]) == ("SL", "1.10", "1")
    assert "market_protection" not in form


def test_exponents_and_fractions_never_reach_the_wire():
    form, _ = placed(order(quantity=D("1E+2"), order_type=OrderType.LIMIT, price=D("15E+2")))
    assert (form["quantity"], form["price"]) == ("100", "1500")
    with pytest.raises(UsageError, match=r"1\.5 is not a whole number"):
        placed(order(quantity=D("1.5")))


@pytest.mark.parametrize("tag", [None, "", "x", "strat123"])
def test_the_users_tag_follows_the_wire_id(tag):
    assert placed(order(tag=tag))[0]["tag"] == "0000100001AB" + (tag or "")
    assert len(placed(order(tag=tag))[0]["tag"]) <= ADAPTER.capabilities.wire_id_length


@pytest.mark.parametrize("tag", ["strat1234", "a" * 30, "my tag", "é"])
def test_a_tag_that_the_wire_cannot_carry_is_refused(tag):
    with pytest.raises(UsageError, match=r"cannot carry tag.*at most 8"):
        ADAPTER.check_order(order(tag=tag), INFY)


def test_the_users_tag_has_what_the_wire_id_leaves():
    assert USER_TAG_LENGTH == TAG_LENGTH - WIRE_ID_LENGTH


def test_an_autosliced_order_is_a_parent_whose_children_have_their_own_fate():
    request = order(extras={"zerodha": {"autoslice": True}})
    driven = run(ADAPTER.place(request, INFY, CTX), [body("autoslice")])
    assert dict(driven.requests[0].form)["autoslice"] == "true"
    per_second = next(limit for limit in ADAPTER.limits if limit.meter == "orders" and limit.per == "1s")
    assert driven.requests[0].cost == per_second.count - per_second.reserve
    outcome = driven.result
    assert (outcome.effect, outcome.order_id) == ("PARTIAL", "1914227164488687616")
    assert [child.effect for child in outcome.children] == ["ACCEPTED", "REJECTED", "ACCEPTED"]
    assert [child.order_id for child in outcome.children] == ["1914227164534824960", None, "1914227164681625600"]
    reject = outcome.children[1].reject
    assert (reject.kind, reject.code) == (ErrorKind.INSUFFICIENT_MARGIN, "MarginException")
    assert "228365.92" in reject.text


def test_a_slice_that_failed_in_an_unknown_way_stays_unknown():
    data = {"order_id": "1", "children": [{"error": {"code": 502, "error_type": "DataException", "message": "?"}}]}
    outcome = run(ADAPTER.place(order(), INFY, CTX), [{"status": "success", "data": data}]).result
    assert outcome.children[0].effect == "UNKNOWN"


@pytest.mark.parametrize("data", [{}, {"order_id": None}, {"order_id": ""}, {"order_id": {"a": 1}}, {"order_id": True}])
def test_a_success_without_an_order_id_is_an_unknown_effect(data):
    answer = {"status": "success", "data": data}
    change = OrderChange(price=D("1501"))
    for flow in (
        ADAPTER.place(order(), INFY, CTX),
        ADAPTER.modify(working(), change, INFY, CTX),
        ADAPTER.cancel(working(), CTX),
    ):
        with pytest.raises(DecodeError) as caught:
            run(flow, [answer])
        assert caught.value.effect is Effect.UNKNOWN


def test_an_order_id_sent_as_a_number_is_the_same_id():
    answer = {"status": "success", "data": {"order_id": 1914227164488687616}}
    assert run(ADAPTER.place(order(), INFY, CTX), [answer]).result.order_id == "1914227164488687616"


def test_modify_sends_only_what_changes_and_counts_against_the_order():
    change = OrderChange(price=D("1501"), quantity=D(20), time_in_force=TimeInForce.IOC)
    (request,) = run(ADAPTER.modify(working(), change, INFY, CTX), [CHANGED]).requests
    assert (request.method, request.path) == ("PUT", "/orders/regular/77")
    assert dict(request.form) == {"quantity": "20", "price": "1501", "validity": "IOC"}
    assert (request.limit_key, request.mutates, request.meter) == ("77", True, "orders")
    assert any(limit.scope is Scope.ORDER and limit.count == 25 for limit in ADAPTER.limits)


def test_modify_into_or_of_a_market_order_keeps_its_protection():
    into = OrderChange(order_type=OrderType.MARKET)
    of = OrderChange(trigger_price=D("5"))
    for known, change in ((working(), into), (working(order_type=OrderType.STOP_MARKET), of)):
        (request,) = run(ADAPTER.modify(known, change, INFY, CTX), [CHANGED]).requests
        assert dict(request.form)["market_protection"] == "-1"
    protected = working(order_type=OrderType.STOP_MARKET, market_protection=D("5.00"))
    (request,) = run(ADAPTER.modify(protected, of, INFY, CTX), [CHANGED]).requests
    assert dict(request.form)["market_protection"] == "5.00"


def test_cancel_takes_the_risk_lane_and_a_cover_order_names_its_parent():
    (request,) = run(ADAPTER.cancel(working(), CTX), [CHANGED]).requests
    assert (request.method, request.path, request.query) == ("DELETE", "/orders/regular/77", ())
    assert (request.lane, request.mutates, request.limit_key) == (Lane.RISK, True, None)
    cover = working(variety=Variety.COVER, parent_order_id="76")
    (request,) = run(ADAPTER.cancel(cover, CTX), [CHANGED]).requests
    assert (request.path, request.query) == ("/orders/co/77", (("parent_order_id", "76"),))


def test_an_order_of_unknown_variety_is_refused_before_the_wire():
    with pytest.raises(UsageError, match="variety UNKNOWN"):
        run(ADAPTER.cancel(working(variety=Variety.UNKNOWN), CTX), [])


@pytest.mark.parametrize(
    ("request_", "instrument", "named"),
    [
        (order(market_protection=D(0)), INFY, "not within 0 to 100"),
        (order(market_protection=D(101)), INFY, "not within 0 to 100"),
        (order(order_type=OrderType.LIMIT, price=D(1), market_protection=D(1)), INFY, "takes no market_protection"),
        (
            order(time_in_force=TimeInForce.IOC, product=Product.CARRY),
            CTX.instruments.by_broker_token("58424839"),
            "MCX takes no IOC",
        ),
        (order(display_quantity=D(1)), CTX.instruments.by_broker_token("13238786"), "for shares only"),
        (order(extras={"zerodha": {"iceberg_legs": 5}}), INFY, "unknown extras"),
        (order(extras={"zerodha": 5}), INFY, "expected a mapping"),
        (order(product=Product.CARRY), INFY, "NSE takes no CARRY"),
        (order(product=Product.DELIVERY), CTX.instruments.by_broker_token("13238786"), "takes no DELIVERY"),
    ],
)
def test_what_the_broker_would_refuse_is_refused_with_zero_bytes_sent(request_, instrument, named):
    with pytest.raises(UsageError, match=named):
        ADAPTER.check_order(request_, instrument)


def test_other_brokers_extras_are_not_ours_to_judge():
    assert ADAPTER.check_order(order(extras={"other": {"x": 1}}), INFY).extras == {"other": {"x": 1}}


def test_orders_history_and_trades_come_from_their_paths():
    rows = {"status": "success", "data": [body("order")["data"]]}
    driven = run(ADAPTER.orders(CTX), [rows])
    assert (driven.requests[0].path, driven.result[0].order_id) == ("/orders", "260101000000001")
    assert run(ADAPTER.order("7/7", CTX), [rows]).requests[0].path == "/orders/7%2F7"
    fills = {"status": "success", "data": [body("trade")["data"]]}
    assert run(ADAPTER.trades(CTX), [fills]).requests[0].path == "/trades"
    driven = run(ADAPTER.trades(CTX, "77"), [fills])
    assert (driven.requests[0].path, driven.result[0].price) == ("/orders/77/trades", D("1500.05"))


def test_the_effect_of_a_failure_depends_on_whether_the_request_mutates():
    html = reply(status=502, body=b"<html>Bad Gateway</html>")
    with pytest.raises(OutcomeUnknown) as caught:
        run(ADAPTER.place(order(), INFY, CTX), [html])
    assert (caught.value.effect, caught.value.retry) == (Effect.UNKNOWN, "RESOLVE_FIRST")
    with pytest.raises(StaleData) as read:
        run(ADAPTER.orders(CTX), [html])
    assert (read.value.effect, read.value.retry) == (Effect.NONE, "BACKOFF")


@pytest.mark.parametrize("data", [{}, None, 5, [5], [{"status": "OPEN"}]])
def test_a_book_of_the_wrong_shape_is_a_decode_error(data):
    with pytest.raises(DecodeError):
        run(ADAPTER.orders(CTX), [{"status": "success", "data": data}])


# --- portfolio, quotes, master ---------------------------------------------------------------------------------------


def test_positions_are_the_net_list():
    data = {"net": [body("position")["data"]], "day": [body("position")["data"]] * 2}
    driven = run(ADAPTER.positions(CTX), [{"status": "success", "data": data}])
    assert driven.requests[0].path == "/portfolio/positions"
    assert [item.quantity for item in driven.result] == [-4]


def test_margins_come_per_segment_and_one_new_to_us_does_not_hide_the_others():
    data = body("margins")["data"] | {"crypto": {}}
    driven = run(ADAPTER.margins(CTX), [{"status": "success", "data": data}])
    assert driven.requests[0].path == "/user/margins"
    assert [item.segment for item in driven.result] == [Segment.EQUITY, Segment.COMMODITY]
    assert driven.result[0].net == D("99725.05000000002")


@pytest.mark.parametrize(
    ("mode", "path", "sizes"),
    [
        (Mode.LTP, "/quote/ltp", [1000, 1000, 1]),
        (Mode.QUOTE, "/quote/ohlc", [1000, 1000, 1]),
        (Mode.FULL, "/quote", [500, 500, 500, 500, 1]),
    ],
)
def test_quotes_go_out_in_the_brokers_batches(mode, path, sizes):
    many = [replace(INFY, instrument_id=f"NSE:S{n}", broker_symbol=f"S{n}") for n in range(2001)]

    def answer(request):
        keys = [value for name, value in request.query if name == "i"]
        return {"status": "success", "data": {key: {"last_price": 1.0} for key in keys}}

    driven = run(ADAPTER.quotes(many, mode, CTX), [answer] * len(sizes))
    assert [len(request.query) for request in driven.requests] == sizes
    assert {(request.path, request.meter) for request in driven.requests} == {(path, "quote")}
    assert [quote.instrument_id for quote in driven.result] == [item.instrument_id for item in many]


def test_symbols_the_broker_leaves_out_are_missing_from_the_result():
    gone = replace(INFY, instrument_id="NSE:GONE", broker_symbol="GONE")
    answer = {"status": "success", "data": {"NSE:INFY": body("quote")["data"], "NSE:NULL": None}}
    result = run(ADAPTER.quotes([gone, INFY], Mode.FULL, CTX), [answer]).result
    assert [quote.instrument_id for quote in result] == ["NSE:INFY"]
    with pytest.raises(Rejected) as caught:
        run(ADAPTER.depth(gone, CTX), [answer])
    assert caught.value.kind is ErrorKind.INSTRUMENT_NOT_FOUND
    assert run(ADAPTER.depth(INFY, CTX), [answer]).result.bids == ((1412.9, 7, 1),)


def test_no_instruments_means_no_request():
    assert run(ADAPTER.quotes([], Mode.LTP, CTX), []).result == []


def test_the_master_is_streamed_and_counted():
    csv = (HERE / "instruments.csv").read_bytes()
    driven = run(ADAPTER.instruments(CTX), [[csv[:100], csv[100:]]])
    assert driven.result == len(driven.rows) == 15
    assert isinstance(driven.rows[0], Instrument)
    denied = {"status": "error", "error_type": "TokenException", "message": "x"}
    with pytest.raises(AuthRequired):
        run(ADAPTER.instruments(CTX), [reply(denied, status=403)])


# --- tables ----------------------------------------------------------------------------------------------------------


def test_everything_the_capabilities_offer_can_be_written():
    can = ADAPTER.capabilities
    assert {ORDER_TYPE.write(value) for value in can.order_types} == {"MARKET", "LIMIT", "SL", "SL-M"}
    assert {PRODUCT.write(value) for value in can.products} == {"CNC", "MIS", "NRML", "MTF"}
    assert {VALIDITY.write(value) for value in can.time_in_force} == {"DAY", "IOC"}
    assert {VARIETY.write(value) for value in can.varieties} == {"regular", "amo", "iceberg", "co", "auction"}
    assert {SIDE.write(value) for value in Side} == {"BUY", "SELL"}


def test_every_value_that_is_not_offered_has_its_reason():
    can = ADAPTER.capabilities
    offered = can.order_types | can.products | can.time_in_force | can.varieties
    every = [*OrderType, *Product, *TimeInForce, *Variety]
    missing = [value for value in every if value not in offered and str(value) not in {"UNKNOWN", *can.reasons}]
    assert missing == []


def test_maps_are_total_both_ways():
    for table in (ORDER_TYPE, PRODUCT, VALIDITY, VARIETY):
        for word, value in table.inward.items():
            assert table.write(value) == word
        assert table.read("a word nobody has seen") == table.unknown
        assert table.read(None) == table.unknown


def test_quantity_units_are_open_exactly_where_the_documents_leave_them_open():
    units = ADAPTER.capabilities.quantity_unit
    assert set(units) == ADAPTER.capabilities.segments
    unverified = {segment for segment, unit in units.items() if unit is QuantityUnit.UNVERIFIED}
    assert unverified == {"CDS", "BCD", "MCX"} <= set(ADAPTER.capabilities.reasons)


def test_what_the_broker_lacks_says_so():
    with pytest.raises(UsageError, match="does not offer"):
        ADAPTER.refresh(CTX)


def test_every_limit_names_its_source_and_the_order_meters_keep_a_reserve():
    assert all(limit.source for limit in ZerodhaAdapter.limits)
    orders = [limit for limit in ZerodhaAdapter.limits if limit.meter == "orders" and limit.per]
    assert {(limit.per, limit.count) for limit in orders} == {("1s", 10), ("1m", 400), ("1d", 5000)}
    assert all(0 < limit.reserve < limit.count for limit in orders)


def test_a_script_that_does_not_fit_the_flow_fails_the_test():
    with pytest.raises(ScriptError, match="1 answers left"):
        run(ADAPTER.orders(CTX), [{"status": "success", "data": []}, {}])
    with pytest.raises(ScriptError, match="no answer left"):
        run(ADAPTER.orders(CTX), [])


def test_margin_used_against_collateral_is_a_part_of_what_is_used():
    data = body("margins")["data"]
    data["equity"]["utilised"] |= {"liquid_collateral": 1500.5, "stock_collateral": 2500}
    data["equity"]["available"] |= {"collateral": 9000}
    (margin, _) = run(ADAPTER.margins(CTX), [{"status": "success", "data": data}]).result
    assert (margin.used.collateral_cash, margin.used.collateral_pledged) == (Decimal("1500.5"), 2500)
    assert (margin.available.collateral, margin.available.collateral_pledged) == (9000, None)
