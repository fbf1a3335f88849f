"""What flows of several brokers share: replies, sessions, files, protection of market orders, candles by spans."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

import pytest

from dragoman.errors import DecodeError, UsageError
from dragoman.model import (
    AssetClass,
    Gtt,
    GttStatus,
    GttType,
    Instrument,
    InstrumentType,
    Order,
    OrderChange,
    OrderType,
    Origin,
    Outcome,
    Side,
)
from dragoman.plugin import Request, spans
from dragoman.plugin.candle_flows import DAY, Interval, SpanCandles, midnight
from dragoman.plugin.protection import check_protection, kept_protection, wire_protection
from dragoman.plugin.records import Records
from dragoman.plugin.replies import (
    FILE,
    at_once,
    changed,
    fetch,
    fetch_rows,
    public_file,
    resting_rule,
    session_of,
    together,
)
from dragoman.plugin.values import IST
from dragoman.testing.drive import ScriptedContext, drive, reply

RECORDS = Records("examplebroker")
CTX = ScriptedContext()
GET = Request(path="/x")
ORDER = Order(instrument_id="NSE:X", side=Side.BUY, quantity=Decimal(1), order_id="1", order_type=OrderType.MARKET)


def test_a_reply_is_fetched_with_its_decimals_and_must_have_its_key():
    body = b'{"data": {"price": 1.10}}'
    found = drive(fetch(RECORDS, GET, "data"), [reply(body=body)], ctx=CTX).result
    assert str(found["price"]) == "1.10"
    assert drive(fetch(RECORDS, GET), [reply(body=body)], ctx=CTX).result == {"data": found}
    for wrong in (b"{}", b"[1]"):
        with pytest.raises(DecodeError, match="/x"):
            drive(fetch(RECORDS, GET, "data"), [reply(body=wrong)], ctx=CTX)


def test_a_list_that_is_missing_is_not_an_empty_one():
    assert drive(fetch_rows(RECORDS, GET, "data"), [reply({"data": []})], ctx=CTX).result == []
    with pytest.raises(DecodeError, match="expected a list"):
        drive(fetch_rows(RECORDS, GET, "data"), [reply({})], ctx=CTX)


def test_one_order_is_itself_several_have_a_parent_and_none_is_an_error():
    one, other = Outcome.accepted("1"), Outcome.accepted("2")
    assert together([one]) is one
    assert together([one, other]).children == (one, other)
    with pytest.raises(ValueError, match="no order"):
        together([])


def test_a_change_is_confirmed_by_the_orders_own_id_only():
    assert changed(RECORDS, reply({"data": {"order_id": "1"}}), ORDER).order_id == "1"
    for data in ({"order_id": "2"}, {}, None):
        with pytest.raises(DecodeError):
            changed(RECORDS, reply({"data": data}), ORDER)


def test_so_many_orders_at_once_and_no_more():
    RECORDS.check(at_once(1, 2), at_once(2, 2))
    for count in (0, 3):
        with pytest.raises(UsageError, match=f"{count} orders at once, expected 1 to 2"):
            RECORDS.check(at_once(count, 2))


def test_a_rule_is_found_by_its_id():
    rule = Gtt(
        gtt_id="7", instrument_id="NSE:X", type=GttType.SINGLE, status=GttStatus.ACTIVE, raw_status="on", legs=()
    )
    assert resting_rule(RECORDS, [rule], "7") is rule
    with pytest.raises(UsageError, match="there is no GTT 8"):
        resting_rule(RECORDS, [rule], "8")


def test_a_public_file_is_asked_for_without_the_token():
    asked = public_file("/master.gz")
    assert (asked.auth, asked.host, asked.note) == (False, "assets", FILE)


def test_a_session_dies_when_its_token_says_or_at_the_brokers_hour():
    told = {"user": "AB", "enc": "s", "name": "", "x": None}
    how = {"account": "user", "dies_at": time(6), "zone": IST, "secrets": ("enc", "other")}
    found = session_of(told, "opaque", CTX, more={"key": "k"}, **how)
    assert (found.account, dict(found.values)) == (
        "AB",
        {"user": "AB", "enc": "s", "key": "k", "access_token": "opaque"},
    )
    assert found.secrets == {"enc", "access_token"}
    dies = datetime.fromtimestamp(found.expires_ns / 1e9, IST)
    assert (dies.hour, dies.minute, found.expires_ns > CTX.now_ns) == (6, 0, True)
    claims = base64.urlsafe_b64encode(json.dumps({"exp": 1_900_000_000}).encode()).decode().rstrip("=")
    assert session_of(told, f"h.{claims}.s", CTX, **how).expires_ns == 1_900_000_000 * 10**9
    with pytest.raises(LookupError):
        session_of({}, "opaque", CTX, **how)


@pytest.mark.parametrize(
    ("kind", "percent", "whole"),
    [
        (OrderType.LIMIT, "1", False),
        (OrderType.MARKET, "0", False),
        (OrderType.MARKET, "26", False),
        (OrderType.MARKET, "1.5", True),
        (OrderType.STOP_MARKET, "0.5", True),
    ],
)
def test_a_protection_that_the_broker_does_not_take_is_refused(kind, percent, whole):
    with pytest.raises(UsageError, match="market_protection"):
        check_protection(RECORDS, kind, Decimal(percent), most=25, whole=whole)


def test_a_protection_is_written_for_market_orders_only_and_is_automatic_where_none_is_given():
    for percent in (None, Decimal("0.5"), Decimal(25)):
        check_protection(RECORDS, OrderType.MARKET, percent, most=25)
    assert wire_protection(OrderType.MARKET, None) == {"market_protection": -1}
    assert wire_protection(OrderType.STOP_MARKET, Decimal(3)) == {"market_protection": 3}
    assert wire_protection(OrderType.LIMIT, None) == {}


def test_a_change_repeats_the_protection_an_order_has_and_never_invents_one():
    ours, theirs = replace(ORDER, origin=Origin.US), replace(ORDER, origin=Origin.EXTERNAL)
    assert kept_protection(RECORDS, ours, OrderChange()) is None
    assert kept_protection(RECORDS, replace(theirs, market_protection=Decimal(2)), OrderChange()) == 2
    assert kept_protection(RECORDS, theirs, OrderChange(market_protection=Decimal(4))) == 4
    assert kept_protection(RECORDS, theirs, OrderChange(order_type=OrderType.LIMIT)) is None
    with pytest.raises(UsageError, match="placed elsewhere"):
        kept_protection(RECORDS, theirs, OrderChange())


SHARE = Instrument(
    instrument_id="NSE:X",
    symbol="X",
    exchange="NSE",
    asset_class=AssetClass.EQUITY,
    instrument_type=InstrumentType.SPOT,
    broker_symbol="X",
    broker_token="1",
)


class Broker(SpanCandles):
    name = "examplebroker"
    intervals = {"1m": Interval("minute", timedelta(minutes=1), timedelta(days=2)), "1d": Interval("day", DAY)}
    intervals_told = "1m or 1d"
    candle_zone = IST

    def candle_requests(self, asked, ctx):
        longest = asked.interval.longest or timedelta(days=4000)
        return [
            Request(path=f"/{asked.interval.word}/{since:%d}-{until:%d}")
            for since, until in spans(asked.first, asked.last, longest, step=DAY)
        ]

    def candle_opens(self, stamp, interval):
        return int(datetime.fromisoformat(stamp).timestamp()) * 10**9


def asked(interval, start, end, *replies, **more):
    told = [{"data": {"candles": [[stamp, 1, 1, 1, 1, 1] for stamp in stamps]}} for stamps in replies]
    return drive(Broker().candles(SHARE, interval, start, end, CTX, **more), told, ctx=CTX)


def test_days_are_asked_for_whole_and_what_lies_beyond_the_stretch_is_left_out():
    start, end = datetime(2026, 1, 5, 10, tzinfo=IST), datetime(2026, 1, 6, 10, tzinfo=IST)
    stamps = [f"2026-01-0{day}T00:00:00+05:30" for day in (4, 5, 6, 7)]
    driven = asked("1d", start, end, stamps)
    assert [request.path for request in driven.requests] == ["/day/05-06"]
    assert [datetime.fromtimestamp(one.ts_open / 1e9, IST).day for one in driven.result] == [5, 6]


def test_a_long_stretch_is_several_requests_and_each_candle_comes_once():
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 4, tzinfo=UTC)
    driven = asked("1m", start, end, ["2026-01-01T06:00:00+05:30"], ["2026-01-01T06:00:00+05:30"])
    assert (len(driven.requests), len(driven.result)) == (2, 1)
    assert driven.result[0].source == "examplebroker"


@pytest.mark.parametrize(
    ("interval", "more", "words"), [("2m", {}, "use 1m or 1d"), ("1d", {"continuous": True}, "continuous")]
)
def test_what_the_broker_has_not_is_refused_before_a_byte(interval, more, words):
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(UsageError) as error:
        asked(interval, moment, moment, **more)
    assert words in f"{error.value} {error.value.remedy}"


def test_midnight_is_the_brokers_own():
    assert midnight(datetime(2026, 1, 1, 20, tzinfo=UTC), IST) == datetime(2026, 1, 2, tzinfo=IST)
