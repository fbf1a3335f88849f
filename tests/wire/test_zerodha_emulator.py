"""The Kite Connect emulator, without a host: calls and frames in, answers and frames out, on a clock of our own.

Vectors are those of the protocol page, section 10: complete frames that the official Python parser reads as stated.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from dragoman.adapters.zerodha import emulator_ticks
from dragoman.adapters.zerodha.emulator import API_KEY, API_SECRET, USER_ID, ZerodhaEmulator, make
from dragoman.adapters.zerodha.emulator_names import Named
from dragoman.adapters.zerodha.emulator_words import POSITION
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.emulator.contract import HttpCall, Push
from dragoman.emulator.counting import MINUTE, SECOND
from dragoman.emulator.rows import write
from dragoman.emulator.venue import Venue
from dragoman.emulator.venue.types import Listing, MarketView, VenuePosition
from dragoman.emulator.views import PositionView
from dragoman.model import AssetClass, Instrument, InstrumentType, Product

START = int(datetime(2026, 11, 23, 4, 30, tzinfo=UTC).timestamp()) * SECOND  # 10:00 in India, a Monday


class Caller:
    """A client of one emulator, and its clock."""

    def __init__(self, emulator: ZerodhaEmulator | None = None, **options: Any) -> None:
        self.now = START
        self.emulator = emulator or make(7, START, **options)
        self.token = ""

    def __call__(
        self, method: str, path: str, form: dict[str, Any] | None = None, query: list[tuple[str, str]] | None = None
    ) -> tuple[int, Any]:
        headers = {"authorization": f"token {API_KEY}:{self.token}"} if self.token else {}
        body = urlencode(form or {}).encode()
        answer = self.emulator.handle(HttpCall(method, path, tuple(query or ()), headers, body), self.now)
        kind = dict(answer.headers).get("Content-Type")
        if kind == "application/json":
            return answer.status, json.loads(answer.body)
        return answer.status, dict(answer.headers).get("Location") or answer.body

    def request_token(self) -> str:
        _, location = self("GET", "/connect/login", query=[("v", "3"), ("api_key", API_KEY)])
        return parse_qs(urlsplit(location).query)["request_token"][0]

    def login(self) -> Caller:
        token = self.request_token()
        checksum = hashlib.sha256(f"{API_KEY}{token}{API_SECRET}".encode()).hexdigest()
        form = {"api_key": API_KEY, "request_token": token, "checksum": checksum}
        status, body = self("POST", "/session/token", form)
        assert status == 200, body
        self.token = body["data"]["access_token"]
        return self

    def refused(self, *call: Any, **more: Any) -> tuple[int, str]:
        status, body = self(*call, **more)
        assert body["status"] == "error"
        assert body["data"] is None
        return status, body["error_type"]

    def place(self, **changes: Any) -> tuple[int, Any]:
        order = {
            "exchange": "NSE",
            "tradingsymbol": "INFY",
            "transaction_type": "BUY",
            "quantity": 1,
            "product": "MIS",
            "order_type": "MARKET",
            "market_protection": 2,
        }
        return self("POST", "/orders/regular", order | changes)

    def run(self, seconds: float) -> list[Push]:
        pushes: list[Push] = []
        end = self.now + int(seconds * SECOND)
        while self.now < end:
            self.now = min(self.now + SECOND // 50, end)
            pushes += self.emulator.poll(self.now)
        return pushes

    def open(self, socket: int) -> int:
        """Open a ticker; return the status of the refusal, 101 where there is none."""
        query = (("api_key", API_KEY), ("access_token", self.token))
        answer = self.emulator.open_socket(HttpCall("GET", "/", query, {}, b""), socket, self.now)
        return 101 if answer is None else answer.status

    def tell(self, socket: int, action: str, value: Any) -> list[Push]:
        return list(self.emulator.on_message(socket, json.dumps({"a": action, "v": value}), self.now))


@pytest.fixture
def caller() -> Caller:
    return Caller().login()


def binary(pushes: list[Push], socket: int = 1) -> list[bytes]:
    return [push.data for push in pushes if push.socket == socket and isinstance(push.data, bytes) and push.data]


def packets(frame: bytes) -> list[bytes]:
    count, at, found = int.from_bytes(frame[:2], "big"), 2, []
    for _ in range(count):
        length = int.from_bytes(frame[at : at + 2], "big")
        found.append(frame[at + 2 : at + 2 + length])
        at += 2 + length
    assert at == len(frame)
    return found


# --- frames ----------------------------------------------------------------------------------------------------------


def named(token: int) -> Named:
    exchange = {1: "NSE", 3: "CDS", 6: "BCD", 7: "MCX", 9: "NSE"}[token & 0xFF]
    kind = InstrumentType.INDEX if token & 0xFF == 9 else InstrumentType.SPOT
    instrument = Instrument("X:Y", "Y", exchange, AssetClass.UNKNOWN, kind, "Y", str(token))
    return Named(Listing(instrument=instrument, reference=Decimal(1)), token, "Y")


def market(**values: Any) -> MarketView:
    number = {
        name: Decimal(0)
        for name in (
            "last_price last_quantity average_price volume turnover open high low close band_low band_high"
            " total_buy_quantity total_sell_quantity"
        ).split()
    }
    other: dict[str, Any] = {"last_trade_ts": 0, "oi": 0, "oi_high": 0, "oi_low": 0, "bids": (), "asks": (), "ts": 0}
    given = {key: Decimal(value) if isinstance(value, str) else value for key, value in values.items()}
    return MarketView(instrument_id="X:Y", **(number | other | given))


INDEX = market(last_price="24801.25", high="24850", low="24700.5", open="24710", close="24650", ts=1753327800 * SECOND)
QUOTE = market(
    last_price="1573.15",
    last_quantity="1",
    average_price="1570.33",
    volume="1175986",
    total_buy_quantity="256511",
    total_sell_quantity="360503",
    open="1569.15",
    high="1575",
    low="1561.05",
    close="1567.8",
)
VECTORS = (
    ("ltp", [(408065, market(last_price="1573.70"))], "0001000800063a01000266ba"),
    ("ltp", [(412419, market(last_price="83.1225"))], "0001000800064b03318b7ca8"),
    ("ltp", [(412422, market(last_price="83.1225"))], "0001000800064b06000caef9"),
    ("quote", [(256265, INDEX)], "0001001c0003e9090025d7fd0025eb080025b0a20025b45800259ce800003b15"),
    ("full", [(256265, INDEX)], "000100200003e9090025d7fd0025eb080025b0a20025b45800259ce800003b156881a8b8"),
    (
        "ltp",
        [(408065, market(last_price="1573.70")), (58424839, market(last_price="4852.00"))],
        "0002000800063a01000266ba0008037b7e0700076750",
    ),
    (
        "quote",
        [(408065, QUOTE)],
        "0001002c00063a010002668300000001000265690011f1b20003e9ff00058037000264f30002673c000261c90002646c",
    ),
)


@pytest.mark.parametrize(("mode", "rows", "expected"), VECTORS, ids=range(len(VECTORS)))
def test_frames_are_the_documented_ones(caller: Caller, mode: str, rows: Any, expected: str) -> None:
    ticker = caller.emulator.ticker
    frame = ticker.frame([ticker.packet(named(token), view, mode) for token, view in rows])
    assert frame.hex() == expected


def test_full_packet_equals_the_captured_one(caller: Caller, real_data: Any) -> None:
    captured = base64.b64decode((real_data / "kite-mocks" / "ticker_full.packet").read_text())
    told = json.loads((real_data / "kite-mocks" / "ticker_full.json").read_text(), parse_float=Decimal)

    def seconds(name: str) -> int:
        return int(datetime.fromisoformat(told[name]).timestamp()) * SECOND

    levels = {
        side: [(Decimal(row["price"]), row["quantity"], row["orders"]) for row in told["depth"][side]]
        for side in ("buy", "sell")
    }
    view = market(
        **{name: Decimal(told["ohlc"][name]) for name in ("open", "high", "low", "close")},
        last_price=told["last_price"],
        last_quantity=Decimal(told["last_quantity"]),
        average_price=told["average_price"],
        volume=Decimal(told["volume"]),
        total_buy_quantity=Decimal(told["buy_quantity"]),
        total_sell_quantity=Decimal(told["sell_quantity"]),
        last_trade_ts=seconds("last_trade_time"),
        ts=seconds("timestamp"),
        bids=levels["buy"],
        asks=levels["sell"],
    )
    assert caller.emulator.ticker.packet(named(408065), view, "full") == captured


def test_price_below_zero_is_written_signed(caller: Caller) -> None:
    packet = caller.emulator.ticker.packet(named(58424839), market(last_price="-37"), "ltp")
    assert packet[4:].hex() == "fffff18c"


# --- session ---------------------------------------------------------------------------------------------------------


def test_checksum_is_the_documented_one() -> None:
    emulator = make(1, START, api_key="api_key", api_secret="api_secret")
    emulator.session.tokens.remember("request_token", START + 1)
    checksum = "ff6a6d3d60c9d974df906ba6f787ac38300cfa68b41801b486ea1007e52e8942"
    form = urlencode({"api_key": "api_key", "request_token": "request_token", "checksum": checksum}).encode()
    assert emulator.handle(HttpCall("POST", "/session/token", (), {}, form), START).status == 200


@pytest.mark.parametrize(
    ("issued", "dies"),
    [("2026-11-23 05:59:59", "2026-11-23 06:00"), ("2026-11-23 06:00:00", "2026-11-24 06:00")],
)
def test_tokens_live_until_six_in_india(issued: str, dies: str) -> None:
    def ns(text: str) -> int:
        return int(datetime.fromisoformat(f"{text}+05:30").timestamp()) * SECOND

    assert make(7, START).session.tokens.expiry(ns(issued)) == ns(dies)


def test_token_death_refuses_calls_and_ends_sockets(caller: Caller) -> None:
    assert caller.open(1) == 101
    caller.now = caller.emulator.session.tokens.expiry(START) - SECOND
    assert caller("GET", "/user/profile")[0] == 200
    caller.now += SECOND
    assert caller.refused("GET", "/user/profile") == (403, "TokenException")
    assert [push.socket for push in caller.run(0.1) if push.close_code] == [1]
    assert caller.open(2) == 403


def test_expire_tokens_ends_the_session_now(caller: Caller) -> None:
    caller.emulator.expire_tokens()
    assert caller.refused("GET", "/user/profile") == (403, "TokenException")
    assert caller.login()("GET", "/user/profile")[0] == 200


def test_request_token_lives_a_few_minutes() -> None:
    caller = Caller()
    token = caller.request_token()
    caller.now += 10 * MINUTE
    checksum = hashlib.sha256(f"{API_KEY}{token}{API_SECRET}".encode()).hexdigest()
    form = {"api_key": API_KEY, "request_token": token, "checksum": checksum}
    assert caller.refused("POST", "/session/token", form) == (403, "TokenException")


@pytest.mark.parametrize("header", ["", "Bearer x", f"token {API_KEY}", f"token {API_KEY}:", f"token other:{API_KEY}"])
def test_other_authorization_headers_are_refused(caller: Caller, header: str) -> None:
    call = HttpCall("GET", "/user/profile", (), {"authorization": header}, b"")
    assert caller.emulator.handle(call, START).status == 403


def test_registered_redirect_url_keeps_its_own_query() -> None:
    caller = Caller(redirect_url="http://127.0.0.1:6001/back?app=1")
    _, location = caller("GET", "/connect/login", query=[("v", "3"), ("api_key", API_KEY)])
    assert location.startswith("http://127.0.0.1:6001/back?app=1&action=login")


# --- limits ----------------------------------------------------------------------------------------------------------


def test_limits_count_on_the_calendar_second(caller: Caller) -> None:
    caller.now = START + 10 * SECOND - SECOND // 100
    for _ in range(10):
        assert caller("GET", "/user/profile")[0] == 200
    assert caller.refused("GET", "/user/profile") == (429, "NetworkException")
    caller.now += SECOND // 100  # the next second begins: ten more at once
    for _ in range(10):
        assert caller("GET", "/user/profile")[0] == 200
    assert caller.refused("GET", "/user/profile") == (429, "NetworkException")


def test_each_class_has_its_own_count(caller: Caller) -> None:
    caller.now += 5 * SECOND
    ask = [("i", "NSE:INFY")]
    assert caller("GET", "/quote", query=ask)[0] == 200
    assert caller.refused("GET", "/quote/ltp", query=ask) == (429, "NetworkException")
    for _ in range(3):
        assert caller.refused("GET", "/instruments/historical/408065/minute") == (400, "InputException")
    assert caller.refused("GET", "/instruments/historical/408065/minute") == (429, "NetworkException")
    assert caller("GET", "/orders")[0] == 200
    for _ in range(10):
        assert caller.refused("DELETE", "/orders/regular/1") == (400, "InputException")
    assert caller.refused("DELETE", "/orders/regular/1") == (429, "NetworkException")


def test_four_hundred_orders_fill_a_minute_and_five_thousand_a_day() -> None:
    caller = Caller(ZerodhaEmulator(Venue(1, START, quiet=True), accounts={USER_ID: {}})).login()

    def send() -> tuple[int, str]:
        return caller.refused("DELETE", "/orders/regular/1")

    sent = 0
    caller.now = START + MINUTE
    for number in range(400):
        caller.now = START + MINUTE + number // 10 * SECOND
        assert send() == (400, "InputException")
        sent += 1
    caller.now = START + MINUTE + 59 * SECOND
    assert send() == (429, "NetworkException")
    caller.now += MINUTE
    while sent < 5000:
        caller.now += SECOND // 5  # 300 a minute
        assert send() == (400, "InputException")
        sent += 1
    caller.now += MINUTE
    status, body = caller("DELETE", "/orders/regular/1")
    assert (status, body["message"]) == (429, "Maximum allowed orders per day exceeded.")


# --- routes ----------------------------------------------------------------------------------------------------------


def test_unknown_routes_and_methods_are_told_apart(caller: Caller) -> None:
    assert caller.refused("GET", "/nowhere") == (404, "GeneralException")
    assert caller.refused("PATCH", "/orders") == (405, "GeneralException")
    assert caller.refused("POST", "/instruments") == (405, "GeneralException")


def test_orders_from_an_unregistered_address_are_refused() -> None:
    caller = Caller(allowed_ips=("10.0.0.1",)).login()
    status, body = caller.place()
    assert (status, body["error_type"]) == (403, "PermissionException")
    assert caller("GET", "/orders")[1]["data"] == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [(403, "TokenException"), (429, "NetworkException"), (500, "GeneralException"), (502, "DataException"),
     (503, "NetworkException"), (504, "DataException")],
)  # fmt: skip
def test_faults_answer_in_the_broker_s_words(caller: Caller, status: int, kind: str) -> None:
    answer = caller.emulator.error_answer(status, HttpCall("GET", "/orders", (), {}, b""))
    assert (answer.status, json.loads(answer.body)["error_type"]) == (status, kind)


METHODS = st.sampled_from(["GET", "POST", "PUT", "DELETE"])
PATHS = st.one_of(
    st.text(max_size=20).map("/".__add__),
    st.sampled_from(
        "/connect/login /session/token /orders /orders/regular /orders/regular/1 /orders/amo /trades /quote /quote/ltp"
        " /instruments /instruments/NSE /user/margins/equity /portfolio/positions /portfolio/holdings".split()
    ),
)
FIELDS = st.sampled_from(
    "exchange tradingsymbol transaction_type quantity product order_type price trigger_price validity tag i"
    " disclosed_quantity market_protection api_key request_token checksum access_token redirect_params v".split()
)
VALUES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        "NSE MCX INFY BUY SELL MIS CNC MARKET LIMIT SL SL-M IOC 1 -1 0 1e400 NaN 1520.5 0x1 9999999".split()
    ),
)


@settings(max_examples=300, deadline=None)
@given(METHODS, PATHS, st.lists(st.tuples(FIELDS, VALUES), max_size=10), st.binary(max_size=20))
def test_any_call_gets_an_answer(method: str, path: str, fields: list[tuple[str, str]], rest: bytes) -> None:
    caller = SHARED
    caller.now += SECOND  # the limits are another test's
    body = urlencode(fields).encode() + rest
    headers = {"authorization": f"token {API_KEY}:{caller.token}"}
    answer = caller.emulator.handle(HttpCall(method, path, tuple(fields), headers, body), caller.now)
    assert 200 <= answer.status < 500
    if dict(answer.headers).get("Content-Type") == "application/json":
        assert json.loads(answer.body)["status"] in ("success", "error")


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.text(max_size=40),
        st.binary(max_size=40),
        st.recursive(st.one_of(st.none(), st.integers(), st.text(max_size=8)), st.lists, max_leaves=5).map(
            lambda value: json.dumps({"a": "mode", "v": value})
        ),
    )
)
def test_any_message_is_taken_or_refused_with_a_text(message: str | bytes) -> None:
    if SHARED.emulator.ticker.sockets.get(1) is None:
        SHARED.login()
        assert SHARED.open(1) == 101
    for push in SHARED.emulator.on_message(1, message, SHARED.now):
        assert json.loads(push.data)["type"] == "error"


SHARED = Caller().login()


# --- orders ----------------------------------------------------------------------------------------------------------


def contract(caller: Caller, exchange: str) -> dict[str, str]:
    status, body = caller("GET", f"/instruments/{exchange}")
    assert status == 200
    rows = csv.DictReader(io.StringIO(body.decode()))
    return next(row for row in rows if row["instrument_type"] == "FUT" and row["expiry"] > "2026-11-24")


@pytest.mark.parametrize(("exchange", "in_lots"), [("NFO", False), ("CDS", True), ("BCD", True), ("MCX", True)])
def test_one_lot_is_one_lot_in_the_ledger(caller: Caller, exchange: str, in_lots: bool) -> None:
    row = contract(caller, exchange)
    lot = int(row["lot_size"])
    quantity = 1 if in_lots else lot
    status, body = caller.place(
        exchange=exchange, tradingsymbol=row["tradingsymbol"], product="NRML", quantity=quantity
    )
    assert status == 200, body
    caller.run(0.5)
    (fills,) = ([fill["quantity"] for fill in caller.emulator.ledger()["fills"]],)
    assert sum(fills) == lot
    (order,) = caller("GET", "/orders")[1]["data"]
    assert (order["quantity"], order["filled_quantity"]) == (quantity, quantity)
    (position,) = caller("GET", "/portfolio/positions")[1]["data"]["net"]
    assert position["quantity"] * position["multiplier"] == lot
    assert sum(trade["quantity"] for trade in caller("GET", "/trades")[1]["data"]) == quantity


def test_ledger_agrees_with_the_books_after_a_session(caller: Caller) -> None:
    for number in range(8):
        caller.run(0.3)
        side = "BUY" if number % 3 else "SELL"
        assert caller.place(transaction_type=side, quantity=10 + number)[0] == 200
    caller.run(1)
    ledger = caller.emulator.ledger()
    assert ledger["problems"] == []
    (position,) = caller("GET", "/portfolio/positions")[1]["data"]["net"]
    (booked,) = ledger["positions"]
    assert position["quantity"] == booked["quantity"]
    assert position["buy_value"] == pytest.approx(float(booked["buy_value"]))
    assert position["sell_value"] == pytest.approx(float(booked["sell_value"]))


def test_partial_fill_is_open_in_the_book_and_update_on_the_ticker(caller: Caller) -> None:
    assert caller.open(1) == 101
    _, body = caller("GET", "/quote", query=[("i", "NSE:INFY")])
    depth = body["data"]["NSE:INFY"]["depth"]["sell"]
    caller.run(0.02)
    best = depth[0]
    _, placed = caller.place(
        order_type="LIMIT", price=best["price"], quantity=best["quantity"] + 50, market_protection=""
    )
    pushes = caller.run(0.05)
    orders = [json.loads(push.data)["data"] for push in pushes if isinstance(push.data, str)]
    words = [order["status"] for order in orders if order["order_id"] == placed["data"]["order_id"]]
    assert words[:4] == ["PUT ORDER REQ RECEIVED", "VALIDATION PENDING", "OPEN PENDING", "OPEN"]
    assert words[4:] and set(words[4:]) == {"UPDATE"}  # noqa: PT018 (one claim: updates, and nothing else)
    assert orders[-1]["filled_quantity"] + orders[-1]["pending_quantity"] == orders[-1]["quantity"]
    (row,) = caller("GET", "/orders")[1]["data"]
    assert (row["status"], row["filled_quantity"] > 0) == ("OPEN", True)


def test_orders_are_pushed_to_every_socket(caller: Caller) -> None:
    assert [caller.open(socket) for socket in (1, 2)] == [101, 101]
    caller.place()
    pushes = caller.run(0.5)
    first, second = (
        [push.data for push in pushes if push.socket == socket and isinstance(push.data, str)] for socket in (1, 2)
    )
    assert first == second
    assert len(first) >= 5


@pytest.mark.parametrize(
    ("name", "answer"),
    [("orders", "/orders"), ("trades", "/trades"), ("positions", "/portfolio/positions"), ("margins", "/user/margins"),
     ("profile", "/user/profile"), ("quote", "/quote")],
)  # fmt: skip
def test_bodies_have_the_fields_of_the_official_mocks(caller: Caller, real_data: Any, name: str, answer: str) -> None:
    caller.place(tag="mock")
    caller.run(0.5)
    _, body = caller("GET", answer, query=[("i", "NSE:INFY")])
    official = json.loads((real_data / "kite-mocks" / f"{name}.json").read_text())
    assert fields(official["data"]) <= fields(body["data"])


def fields(value: Any, path: str = "") -> set[str]:
    """Paths of a body's fields; list items share one path, all instruments another, and metadata does not count."""
    if isinstance(value, list):
        return set().union(*(fields(item, f"{path}[]") for item in value))
    if isinstance(value, dict):
        inner = {"*" if ":" in key else key: item for key, item in value.items()}
        return set().union(*(fields(item, f"{path}.{key}") for key, item in inner.items() if ".meta" not in path))
    return {path}


def test_positions_follow_the_official_example(real_data: Any) -> None:
    """GOLDGUINEA: three carried at 23057, one bought and four sold today, so the day list shows it short."""
    official = json.loads((real_data / "kite-mocks" / "positions.json").read_text())["data"]
    position = VenuePosition(
        instrument_id="MCX:GOLDGUINEA@20171229",
        product=Product.CARRY,
        overnight_quantity=Decimal(3),
        overnight_price=Decimal(23057),
        day_buy_quantity=Decimal(1),
        day_buy_value=Decimal(23388),
        day_sell_quantity=Decimal(4),
        day_sell_value=Decimal(93360),
    )
    gold = Named(named(53505799).listing, 53505799, "GOLDGUINEA17DECFUT", lots=True)
    view = market(last_price="23355", close="23232")
    for which in ("net", "day"):
        expected = next(row for row in official[which] if row["tradingsymbol"] == "GOLDGUINEA17DECFUT")
        row = write(POSITION, PositionView(position, view, gold, net=which == "net"))
        assert row == expected


# --- the ticker ------------------------------------------------------------------------------------------------------


def test_upgrades_are_refused_as_the_broker_does(caller: Caller) -> None:
    def upgrade(path: str, **query: str) -> int:
        call = HttpCall("GET", path, tuple(query.items()), {}, b"")
        answer = caller.emulator.open_socket(call, 9, caller.now)
        assert answer is not None
        return answer.status

    assert upgrade("/") == 400
    assert upgrade("/", api_key=API_KEY) == 400
    assert upgrade("/", api_key=API_KEY, access_token="wrong") == 403
    assert upgrade("/", api_key="other", access_token=caller.token) == 403
    assert upgrade("/elsewhere", api_key=API_KEY, access_token=caller.token) == 404
    assert [caller.open(socket) for socket in range(4)] == [101, 101, 101, 429]
    caller.emulator.on_close(1)
    assert caller.open(5) == 101


def test_idle_sockets_hear_a_heartbeat_each_second(caller: Caller) -> None:
    caller.open(1)
    assert binary(caller.run(5.5)) == [b"\x00"] * 5


def test_ticks_keep_the_rate_and_carry_what_changed(caller: Caller) -> None:
    tokens = [named.token for named in caller.emulator.names.all]
    caller.open(1)
    caller.tell(1, "subscribe", tokens)
    frames = binary(caller.run(0.02))
    assert sorted(int.from_bytes(packet[:4], "big") for frame in frames for packet in packets(frame)) == sorted(tokens)
    later = [packet for frame in binary(caller.run(10)) for packet in packets(frame)]
    counts: dict[bytes, int] = {}
    for packet in later:
        counts[packet[:4]] = counts.get(packet[:4], 0) + 1
    assert len(counts) == len(tokens)
    assert max(counts.values()) <= 10 * 5
    assert {len(packet) for packet in later} == {28, 44}


def test_mode_of_an_instrument_not_subscribed_is_ignored(caller: Caller) -> None:
    caller.open(1)
    assert caller.tell(1, "mode", ["full", [408065]]) == []
    assert caller.tell(1, "subscribe", [1, 2, 3]) == []  # nor does the broker complain about unknown tokens
    assert binary(caller.run(0.5)) == []


def test_more_instruments_than_a_socket_may_have_are_refused(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    assert emulator_ticks.MOST_INSTRUMENTS == 3000
    monkeypatch.setattr(emulator_ticks, "MOST_INSTRUMENTS", 2)
    tokens = [named.token for named in caller.emulator.names.all[:3]]
    caller.open(1)
    (push,) = caller.tell(1, "subscribe", tokens)
    assert json.loads(push.data)["type"] == "error"
    assert caller.tell(1, "subscribe", tokens[:2]) == []
    (push,) = caller.tell(1, "subscribe", tokens)
    assert "2" in json.loads(push.data)["data"]


def test_same_seed_gives_the_same_session() -> None:
    def session(seed: int) -> list[Push]:
        caller = Caller(make(seed, START)).login()
        caller.open(1)
        caller.tell(1, "subscribe", [named.token for named in caller.emulator.names.all])
        caller.place(quantity=100)
        return caller.run(2)

    assert session(3) == session(3)
    assert session(3) != session(4)


def test_credentials_are_marked_as_the_emulator_s(caller: Caller) -> None:
    secrets = [value for name, value in caller.emulator.credentials.items() if name != "redirect_url"]
    assert all(value.startswith("emu_") for value in [*secrets, caller.token, USER_ID])
