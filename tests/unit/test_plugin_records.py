"""What adapters share in reading records and writing requests."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import time
from decimal import Decimal

import pytest

from dragoman.errors import AuthRequired, DecodeError, ErrorKind, UsageError
from dragoman.model import Order, OrderChange, OrderRequest, OrderStatus, OrderType, Position, Product, Side
from dragoman.plugin import EnumMap, Request
from dragoman.plugin.records import Records
from dragoman.plugin.values import (
    IST,
    day_start,
    float_at,
    given,
    local_ns,
    needed,
    next_time_ns,
    nonzero,
    number,
    pairs,
    plain,
    rfc3339,
    rfc3339_ns,
    side_of,
    text_or_none,
    wire_tag,
)
from dragoman.testing.drive import ScriptedContext, drive

RECORDS = Records("examplebroker")
NOON = 1_767_252_600_000_000_000  # 2026-01-01 13:00 IST


@pytest.mark.parametrize(
    "encoding", ["", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32-be", "utf-32-le"]
)
@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1.50, "b": [1, {"c": null}]}',
        "[]",
        '"é\ud800"',
        "5",
        " \t[1]\r\n",
        "\ufeff{}",
        "{}\x0b",
        "{} {}",
        '{"a": 1',
        '{"a": NaN}',
        "NaN",
        "-0.0",
        "",
        "[" * 100_000,
    ],
)
def test_json_reads_as_the_standard_library_reads_it(text, encoding):
    given = text.encode(encoding, "surrogatepass") if encoding else text
    try:
        expected = json.loads(given, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        with pytest.raises(DecodeError, match=re.escape(f"{type(error).__name__} {error}")):
            RECORDS.loads(given)
    else:
        if "NaN" in text:
            with pytest.raises(DecodeError, match="NaN is not a number"):
                RECORDS.loads(given)
        else:
            assert repr(RECORDS.loads(given)) == repr(expected)


def test_numbers_stay_the_decimals_of_the_wire():
    row = RECORDS.loads('{"price": 101.050, "count": 3, "text": "7.5", "none": null, "empty": ""}')
    assert str(row["price"]) == "101.050"
    assert [number(row[name]) for name in ("count", "text", "none", "empty")] == [3, Decimal("7.5"), 0, 0]
    assert (given(row, "none"), given(row, "empty"), given(row, "missing"), given(row, "count")) == (
        None,
        None,
        None,
        3,
    )
    assert (nonzero({"price": 0}, "price"), float_at(row, "price"), float_at(row, "none")) == (None, 101.05, None)
    assert (text_or_none(""), text_or_none(7)) == (None, "7")


@pytest.mark.parametrize("value", [True, [], "NaN", "Infinity", float("inf"), "ten"])
def test_what_is_no_number_is_refused(value):
    with pytest.raises((TypeError, ValueError, ArithmeticError)):
        number(value)


@pytest.mark.parametrize("text", ["{", b"\xff", "[NaN]", "[" * 100_000])
def test_what_is_no_json_is_a_decode_error_of_the_broker(text):
    with pytest.raises(DecodeError, match="examplebroker: not JSON"):
        RECORDS.loads(text)


def test_a_record_of_the_wrong_shape_is_one_error_that_names_the_place():
    with (
        pytest.raises(DecodeError, match="examplebroker: order is not as documented: KeyError") as caught,
        RECORDS.reading("order"),
    ):
        raise KeyError("status")
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(UsageError), RECORDS.reading("order"):
        raise RECORDS.refused("no", "try another")
    with pytest.raises(DecodeError, match="found dict, expected a list"):
        RECORDS.as_rows("orders", {})
    with pytest.raises(DecodeError, match="orders: rows: found nothing, expected a list"):
        RECORDS.as_rows("orders", {"rows": None}, "rows")
    assert RECORDS.as_rows("orders", {"rows": []}, "rows") == []


@pytest.mark.parametrize("told", [None, "", 7, 7.0, True, "78", ["77"]])
def test_only_the_id_that_was_asked_about_confirms_a_change(told):
    with pytest.raises(DecodeError, match="expected '77'"):
        RECORDS.confirmed("order reply", told, "77")
    assert RECORDS.confirmed("order reply", "77", "77") == RECORDS.confirmed("order reply", 77, "77") == "77"


def test_a_fraction_is_no_quantity():
    assert RECORDS.whole(Decimal("10.0")) == 10
    with pytest.raises(UsageError) as refusal:
        RECORDS.whole(Decimal("10.5"))
    assert refusal.value.kind is ErrorKind.INVALID_QUANTITY


def test_times_without_a_zone_are_the_brokers():
    assert local_ns("2026-01-01 13:00:00", IST) == NOON == local_ns("2026-01-01T07:30:00+00:00", IST)
    assert local_ns("", IST) is None
    assert next_time_ns(NOON, time(3, 30), IST) - NOON == (14 * 60 + 30) * 60 * 10**9
    assert next_time_ns(NOON, time(13, 0), IST) - NOON == 86_400 * 10**9


def test_a_users_tag_follows_the_wire_id_where_all_of_it_fits():
    assert wire_tag("0000100001AB", "mean7", 20) == "0000100001ABmean7"
    assert wire_tag("0000100001AB", "mean reversion", 40) == "0000100001AB"
    assert wire_tag("0000100001AB", "123456789", 20) == "0000100001AB"
    assert wire_tag("", None, 20) is None
    assert (plain(Decimal("1E+3")), plain(None)) == ("1000", None)
    assert pairs(price="1", trigger=None) == (("price", "1"),)


def test_times_keep_nine_digits_and_their_offset():
    assert rfc3339_ns("2021-02-22T15:51:45.335689322Z") == 1_614_009_105_335_689_322
    assert rfc3339_ns("2022-04-19T13:45:04.981350886-04:00") == 1_650_390_304_981_350_886
    assert rfc3339_ns("2021-02-22T15:51:45Z") == 1_614_009_105_000_000_000
    assert rfc3339_ns("") is rfc3339_ns(None) is None
    for wrong in ("2021-02-22T15:51:45", "yesterday"):
        with pytest.raises(ValueError, match=wrong):
            rfc3339_ns(wrong)


@pytest.mark.parametrize("row", [{}, {"price": None}, {"price": ""}, {"price": "ten"}])
def test_a_price_nobody_told_is_no_price_of_0(row):
    with pytest.raises(DecodeError, match="fill is not as documented"), RECORDS.reading("fill"):
        needed(row, "price")
    assert needed({"price": "0.0"}, "price") == 0


# -- what adapters refuse and ask alike --------------------------------------------------------------------------------


ORDER = OrderRequest(instrument_id="NSE:X", side=Side.BUY, quantity=Decimal(1), product=Product.MTF)


def test_a_product_or_an_extra_that_the_broker_lacks_is_refused():
    RECORDS.check_product(ORDER, (Product.MTF,), "NSE")
    with pytest.raises(UsageError, match="NSE takes no MTF orders"):
        RECORDS.check_product(ORDER, (Product.INTRADAY,), "NSE")
    given_ = replace(ORDER, extras={"examplebroker": {"slice": True}, "other": {"x": 1}})
    assert RECORDS.extras(given_, ("slice",)) == {"slice": True}
    assert RECORDS.extras(ORDER, ()) == {}
    for extras, expected in (({"x": 1}, "unknown extras"), (5, "expected a mapping")):
        with pytest.raises(UsageError, match=expected):
            RECORDS.extras(replace(ORDER, extras={"examplebroker": extras}), ("slice",))


def test_the_first_rule_that_holds_is_what_is_refused():
    RECORDS.check((False, "a", "x"), (None, "b", "y"), (0, "c", "z"))
    with pytest.raises(UsageError, match="examplebroker: b") as caught:
        RECORDS.check((False, "a", "x"), (1, "b", "y"), (True, "c", "z"), kind=ErrorKind.INVALID_QUANTITY)
    assert (caught.value.remedy, caught.value.kind) == ("y", ErrorKind.INVALID_QUANTITY)


def test_a_value_that_a_place_does_not_offer_is_refused_with_those_it_does():
    RECORDS.check_offered("option", "order_type", "LIMIT", {"LIMIT", "MARKET"})
    with pytest.raises(UsageError, match="option orders take no order_type STOP_LIMIT") as caught:
        RECORDS.check_offered("option", "order_type", "STOP_LIMIT", {"MARKET", "LIMIT"})
    assert (caught.value.remedy, caught.value.kind) == ("use one of LIMIT, MARKET", ErrorKind.NOT_SUPPORTED)


def test_a_fixed_field_may_be_repeated_and_not_changed():
    order = Order(
        broker="x",
        account_id="A",
        instrument_id="X:Y",
        side=Side.BUY,
        quantity=Decimal(1),
        order_type=OrderType.LIMIT,
        status=OrderStatus.OPEN,
    )
    RECORDS.check_fixed(order, OrderChange(order_type=OrderType.LIMIT, price=Decimal(2)), "order_type")
    with pytest.raises(UsageError, match="order_type of an order cannot be changed"):
        RECORDS.check_fixed(order, OrderChange(order_type=OrderType.MARKET), "quantity", "order_type")


def test_a_credential_that_the_profile_lacks_is_named_before_a_byte_is_sent():
    ctx = ScriptedContext(credentials={"key": "K"})
    assert RECORDS.credentials(ctx, "key", remedy="give it") == ("K",)
    with pytest.raises(AuthRequired, match="names no secret") as caught:
        RECORDS.credentials(ctx, "key", "secret", remedy="give it")
    assert (caught.value.kind, caught.value.remedy) == (ErrorKind.AUTH_INVALID, "give it")


def test_a_side_has_to_be_known():
    words = EnumMap[Side | None]({"buy": Side.BUY, "sell": Side.SELL}, unknown=None)
    assert side_of(words, "sell") is Side.SELL
    for word in ("BUY", None, 1):
        with pytest.raises(ValueError, match="buy, sell"):
            side_of(words, word)


def test_days_begin_in_their_zone_and_times_are_written_in_whole_seconds():
    assert day_start(NOON, IST).isoformat() == "2026-01-01T00:00:00+05:30"
    assert rfc3339(NOON + 999_999_999) == "2026-01-01T07:30:00Z"


def test_at_most_the_whole_position_is_converted():
    position = Position(instrument_id="NSE:X", product=Product.INTRADAY, quantity=Decimal(-5))
    RECORDS.check_conversion(position, Decimal(5))
    for quantity in (Decimal(0), Decimal(6), Decimal(-1)):
        with pytest.raises(UsageError, match="convert at most 5"):
            RECORDS.check_conversion(position, quantity)


def test_what_is_not_in_the_master_or_not_logged_in_is_said_before_a_byte():
    with pytest.raises(UsageError, match="NSE:X is not in the instrument master"):
        RECORDS.instrument("NSE:X", ScriptedContext())
    with pytest.raises(AuthRequired, match="GET /orders needs a session"):
        RECORDS.token(Request(path="/orders"), ScriptedContext())
    assert RECORDS.token(Request(), ScriptedContext(login={"access_token": "t"})) == "t"


def test_a_login_page_is_asked_with_what_its_address_has_already():
    flow = RECORDS.login_code("https://broker.invalid/login?v=3", {"client": "me"}, "code")
    driven = drive(flow, [{"code": "abc"}])
    assert driven.result == "abc"
    assert driven.effects[0].url == "https://broker.invalid/login?v=3&client=me"
    with pytest.raises(AuthRequired, match="sent back error, expected code"):
        drive(RECORDS.login_code("https://broker.invalid/login", {}, "code"), [{"error": "denied"}])
