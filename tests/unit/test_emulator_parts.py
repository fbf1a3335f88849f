"""What every emulator may use: forms, fees, history, triggers, chains, conversion and needs of the venue."""

from __future__ import annotations

import contextlib
import itertools
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.emulator.bodies import rfc3339, shortest
from dragoman.emulator.chains import pieces
from dragoman.emulator.conflated import ConflatedSockets
from dragoman.emulator.contract import HttpAnswer, HttpCall
from dragoman.emulator.counting import SECOND
from dragoman.emulator.fees import fees
from dragoman.emulator.forms import FieldError, Form, records
from dragoman.emulator.history import History, Sessions, StretchError
from dragoman.emulator.routes import replying
from dragoman.emulator.triggers import Leg, TriggerBook
from dragoman.emulator.venue.types import VenueOrder, VenueRejectError
from dragoman.errors import ErrorKind
from dragoman.model import OrderStatus, OrderType, Product, Side
from dragoman.plugin import ChargesTable
from dragoman.plugin.charges import _row
from reference.venue_kit import FUTURE, SHARE, SHARE_LISTING, limit, put, quiet_venue, settle

D = Decimal
BUY, SELL = Side.BUY, Side.SELL


# --- forms -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (lambda form: form.integer("a"), "1.5"),
        (lambda form: form.integer("a"), "-1"),
        (lambda form: form.integer("a"), None),
        (lambda form: form.number("a"), "dear"),
        (lambda form: form.number("a"), "NaN"),
        (lambda form: form.number("a"), "1e10"),
        (lambda form: form.choice("a", ("x",)), "y"),
        (lambda form: form.text("a"), ""),
        (lambda form: form.record("a", dict), "[]"),
        (lambda form: form.record("a", list), "[" * 100_000),
        (lambda form: form.moment("a", UTC), "yesterday"),
        (lambda form: form.time_ns("a"), "yesterday"),
    ],
)
def test_a_wrong_field_is_named(read, value):
    with pytest.raises(FieldError, match="`a`"):
        read(Form({"a": value}))


def test_right_fields_are_read_exactly():
    form = Form({"n": "12", "d": "1.10", "zero": "0", "t": "2026-01-01 10:00:00", "j": '{"x": 1.10}', "none": None})
    assert (form.integer("n"), form.number("d"), form.nonzero("zero"), form.nonzero("none")) == (
        12,
        D("1.10"),
        None,
        None,
    )
    assert form.moment("t", UTC) == datetime(2026, 1, 1, 10, tzinfo=UTC)
    assert str(form.record("j", dict)["x"]) == "1.10"
    assert (form.integer("gone", 3), form.choice("gone", ("x",), "x")) == (3, "x")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-01-01T08:00:00.5Z", "1767254400.5"),
        ("2026-01-01T10:00:00 02:00", "1767254400"),
        ("2026-01-01T08:00:00", "1767254400"),
        ("2026-01-01", "1767225600"),
        ("", None),
    ],
)
def test_times_of_a_query_are_read_in_utc_with_their_plus_or_without(text, seconds):
    assert Form({"a": text}).time_ns("a") == (seconds and D(seconds) * 10**9)


def test_lists_optional_numbers_and_default_times_of_a_query():
    form, then = Form({"names": "a,,b", "n": "0"}), datetime(2026, 1, 1, tzinfo=UTC)
    assert (form.listed("names"), form.listed("gone")) == (["a", "b"], [])
    assert (form.optional("n"), form.optional("gone")) == (D(0), None)
    assert form.moment("gone", UTC, then) == then


def test_a_call_asks_with_its_body_or_else_its_query():
    call = HttpCall("POST", "/", (("a", "1"),), {}, b'{"a": 2}')
    answer = replying(lambda form, now_ns, more: {"a": form.text("a"), "more": more})
    assert json.loads(answer(call, 0, more="x").body) == {"a": "2", "more": "x"}
    assert json.loads(answer(replace(call, body=b""), 0, more="x").body) == {"a": "1", "more": "x"}
    assert replying(lambda form, now_ns: HttpAnswer(204))(call, 0) == HttpAnswer(204)


@given(st.binary(max_size=40))
def test_any_body_is_records_or_a_field_error(body):
    with contextlib.suppress(FieldError):
        assert records(body)


# --- fees, slices, history -------------------------------------------------------------------------------------------


def test_fees_add_up_and_brokerage_is_capped():
    rows = (
        {"charge": "transaction_tax", "name": "tax", "rate": "0.001", "sides": ["BUY"]},
        {"charge": "transaction_tax", "name": "tax", "rate": "0.002"},
        {"charge": "exchange_fee", "rate": "0.0001"},
        {"charge": "clearing_fee", "per_unit": "0.5"},
        {"charge": "regulator_fee", "rate": "0.00001"},
        {"charge": "stamp_duty", "rate": "0.0002", "sides": ["BUY"]},
        {"charge": "brokerage", "rate": "0.0003", "at_most": "20"},
        {"charge": "gst", "rate": "0.18", "on": ["brokerage", "exchange_fee", "clearing_fee", "regulator_fee"]},
    )
    day = date(2026, 1, 5)
    table = ChargesTable(tuple(_row("here", {"source": "a test", "as_of": day} | row) for row in rows), "INR")
    share = SHARE_LISTING.instrument
    buy = fees(table, share, Product.DELIVERY, Side.BUY, D(4), D(1_000_000), day)
    sell = fees(table, share, Product.DELIVERY, Side.SELL, D(2), D(1_000), day)
    assert (buy.tax, buy.tax_name, buy.stamp, buy.brokerage, buy.exchange) == (1000, "tax", 200, 20, 102)
    assert (sell.tax, sell.stamp, sell.brokerage) == (2, 0, D("0.3"))
    assert buy.service_tax == D("0.18") * (20 + 100 + 2 + 10)
    assert buy.total == 1000 + 200 + 20 + 102 + 10 + buy.service_tax


@given(st.integers(1, 500), st.integers(1, 100))
def test_pieces_add_up_and_none_is_too_large(total, largest):
    parts = list(pieces(D(total), D(largest)))
    assert sum(parts) == total
    assert max(parts) <= largest
    assert all(part == largest for part in parts[:-1])


def test_history_is_the_same_however_it_is_asked_for():
    made = [History(3, "X", D(100), D("0.05"), Sessions(555, 930)) for _ in range(2)]
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 20, tzinfo=UTC)
    whole = list(made[0].bars(start, end, timedelta(minutes=30)))
    late = list(made[1].bars(datetime(2026, 1, 12, tzinfo=UTC), end, timedelta(minutes=30)))
    assert whole[-len(late) :] == late
    assert {bar.start.weekday() for bar in whole} == {0, 1, 2, 3, 4}
    for before, after in itertools.pairwise(whole):
        if after.start - before.start == timedelta(minutes=30):
            assert before.close == after.open
    assert all(bar.low <= bar.open <= bar.high and bar.open % D("0.05") == 0 for bar in whole)
    assert History(4, "X", D(100), D("0.05"), Sessions(555, 930)).price(start) != made[0].price(start)
    with pytest.raises(StretchError):
        History.check(end, start, timedelta(1))


# --- sockets ---------------------------------------------------------------------------------------------------------


def test_a_socket_gets_the_latest_packet_at_its_pace_and_a_heartbeat_when_silent():
    sockets = ConflatedSockets(
        SECOND // 2, lambda key, mode: f"{key}{mode};".encode(), b"".join, per_frame=2, heartbeat=b"-"
    )
    sockets.open(1, "t", 0)
    client = sockets.get(1)
    assert sockets.subscribe(client, (7, 8, 9), "q", 3)
    assert not sockets.subscribe(client, (10,), "q", 3)
    assert [push.data for push in sockets.poll(0, (), tuple)] == [b"7q;8q;", b"9q;"]
    assert sockets.poll(SECOND // 4, (), lambda: (7, 99)) == []
    sockets.set_mode(client, (8, 99), "f")
    sockets.unsubscribe(client, (9,))
    assert [push.data for push in sockets.poll(SECOND, ("hello",), tuple)] == ["hello", b"7q;8f;"]
    assert [push.data for push in sockets.poll(2 * SECOND, (), tuple)] == [b"-"]
    sockets.drop(lambda token: token == "t")
    assert [push.close_code for push in sockets.poll(3 * SECOND, (), tuple)] == [1000]
    assert len(sockets) == 0


# --- triggers --------------------------------------------------------------------------------------------------------


def leg(trigger, side=BUY):
    return Leg(
        D(trigger),
        VenueOrder(
            instrument_id=SHARE,
            side=side,
            quantity=D(1),
            order_type=OrderType.LIMIT,
            product=Product.INTRADAY,
            price=D(trigger),
        ),
    )


def test_a_trigger_fires_from_its_own_side_once_and_expires():
    venue = quiet_venue()
    placed = []
    book = TriggerBook(venue, "A", 10 * SECOND, on_order=placed.append)
    last, now = venue.market(SHARE).last_price, venue.now_ns
    above, below = book.place([leg(last + 1)], last, now), book.place([leg(last - 2)], last, now)
    book.poll(now)
    assert (above.status, below.status) == ("active", "active")
    venue.set_price(SHARE, last + 1)
    book.poll(now)
    book.poll(now)
    assert (above.status, above.legs[0].fired_at, placed) == ("triggered", last + 1, [above.legs[0].order_id])
    book.poll(now + 10 * SECOND)
    assert below.status == "expired"
    with pytest.raises(ValueError, match="expired already"):
        book.active(below.number)
    with pytest.raises(LookupError):
        book.get(99)
    assert book.since(now) == [below]


@pytest.mark.parametrize("triggers", [(), (100,), (90, 95), (110, 90), (90, 100), (1, 2, 3)])
def test_triggers_on_no_side_of_the_market_are_refused(triggers):
    with pytest.raises(ValueError, match="trigger"):
        TriggerBook(quiet_venue(), "A", 1).place([leg(one) for one in triggers], D(100), 0)


# --- what the venue does beside orders -------------------------------------------------------------------------------


def bought(venue, quantity, price="100", **fields):
    venue.place_external(SHARE, SELL, D(quantity), D(price))
    return put(venue, limit(BUY, quantity, price, **fields))


def held(venue, product):
    return next((one for one in venue.positions("A") if one.product is product), None)


def test_conversion_moves_a_part_at_its_average_cost_and_the_recount_agrees():
    venue = quiet_venue()
    bought(venue, 10, "100")
    bought(venue, 10, "101")
    net = venue.funds("A")[next(iter(venue.funds("A")))].net
    venue.convert("A", SHARE, Product.INTRADAY, Product.DELIVERY, D(8), overnight=False)
    left, moved = held(venue, Product.INTRADAY), held(venue, Product.DELIVERY)
    assert (left.quantity, moved.quantity) == (12, 8)
    assert left.average_price == moved.average_price == D("100.5")
    assert left.day_buy_value + moved.day_buy_value == 2010
    assert net - next(iter(venue.funds("A").values())).net == D("0.8") * 8 * D("100.5")  # paid in full now
    assert venue.ledger("A")["problems"] == []
    venue.roll_day(venue.now_ns)
    assert venue.ledger("A")["problems"] == []
    (holding,) = venue.holdings("A")
    assert (holding.quantity, holding.t1_quantity) == (8, 8)
    venue.roll_day(venue.now_ns)
    assert venue.holdings("A")[0].t1_quantity == 0


def test_what_was_carried_over_is_converted_apart():
    venue = quiet_venue()
    bought(venue, 10)
    venue.roll_day(venue.now_ns)
    bought(venue, 5)
    with pytest.raises(VenueRejectError, match="cannot be converted"):
        venue.convert("A", SHARE, Product.INTRADAY, Product.DELIVERY, D(6), overnight=False)
    venue.convert("A", SHARE, Product.INTRADAY, Product.DELIVERY, D(10), overnight=True)
    assert (held(venue, Product.INTRADAY).quantity, held(venue, Product.DELIVERY).overnight_quantity) == (5, 10)
    assert venue.ledger("A")["problems"] == []


@pytest.mark.parametrize(
    ("old", "new", "quantity", "kind"),
    [
        (Product.INTRADAY, Product.INTRADAY, 1, ErrorKind.INVALID_QUANTITY),
        (Product.INTRADAY, Product.DELIVERY, 101, ErrorKind.INVALID_QUANTITY),
        (Product.DELIVERY, Product.INTRADAY, 1, ErrorKind.INVALID_QUANTITY),
        (Product.INTRADAY, Product.CARRY, 1, ErrorKind.NOT_SUPPORTED),
        (Product.INTRADAY, Product.DELIVERY, 100, ErrorKind.INSUFFICIENT_MARGIN),
    ],
)
def test_a_refused_conversion_changes_nothing(old, new, quantity, kind):
    venue = quiet_venue(cash=D(3000))
    bought(venue, 100)
    before = venue.positions("A"), venue.funds("A")
    with pytest.raises(VenueRejectError) as refused:
        venue.convert("A", SHARE, old, new, D(quantity), overnight=False)
    assert refused.value.kind is kind
    assert ([one for one in venue.positions("A") if one.quantity], venue.funds("A")) == (list(before[0]), before[1])


def test_a_short_cannot_become_a_delivery_without_holdings():
    venue = quiet_venue()
    venue.place_external(SHARE, BUY, D(10), D(100))
    put(venue, limit(SELL, 10, "100"))
    with pytest.raises(VenueRejectError) as refused:
        venue.convert("A", SHARE, Product.INTRADAY, Product.DELIVERY, D(10), overnight=False)
    assert refused.value.kind is ErrorKind.INSUFFICIENT_HOLDINGS
    venue.set_holding("A", SHARE, D(10), D(90))
    venue.convert("A", SHARE, Product.INTRADAY, Product.DELIVERY, D(10), overnight=False)
    assert held(venue, Product.DELIVERY).quantity == -10
    assert venue.ledger("A")["problems"] == []


def test_pledged_holdings_cannot_be_sold_and_parts_fit_the_whole():
    venue = quiet_venue()
    venue.set_holding("A", SHARE, D(10), D(90), t1_quantity=D(2), pledged_quantity=D(5))
    with pytest.raises(VenueRejectError, match="5 free to sell"):
        venue.submit("A", limit(SELL, 6, "100", product=Product.DELIVERY), venue.now_ns)
    put(venue, limit(SELL, 5, "100", product=Product.DELIVERY))
    with pytest.raises(ValueError, match="more than"):
        venue.set_holding("A", SHARE, D(10), D(90), t1_quantity=D(6), pledged_quantity=D(5))


def test_needs_are_what_placing_blocks_and_offsets_count_once():
    venue = quiet_venue()
    orders = [limit(BUY, 50, "100", FUTURE), limit(SELL, 50, "100", FUTURE)]
    alone, together = venue.needs("A", orders)
    assert [one.total for one in alone] == [1500, 1500]
    assert together == 0
    before = next(iter(venue.funds("A").values())).net
    put(venue, orders[0])
    assert before - next(iter(venue.funds("A").values())).net == alone[0].total
    with pytest.raises(VenueRejectError, match="not offered"):
        venue.needs("A", [limit(BUY, 50, "100", FUTURE, product=Product.DELIVERY)])


def test_an_order_that_waits_for_the_opening_can_be_changed_and_canceled_meanwhile():
    venue = quiet_venue()
    opens = venue.now_ns + 10 * SECOND
    first, second = (venue.submit("A", limit(BUY, 5, "99", not_before=opens), venue.now_ns) for _ in range(2))
    venue.modify("A", first, venue.now_ns, price=D(98))
    venue.cancel("A", second, venue.now_ns)
    settle(venue)
    assert (venue.order("A", first).status, venue.order("A", first).order.price) == (OrderStatus.ACCEPTED, 98)
    assert venue.order("A", second).status is OrderStatus.CANCELED
    venue.advance(opens + SECOND)
    assert venue.order("A", first).status is OrderStatus.OPEN


def test_times_have_nine_digits_and_numbers_no_more_than_they_need():
    assert rfc3339(1_614_009_105_335_689_322) == "2021-02-22T15:51:45.335689322Z"
    assert rfc3339(None) is shortest(None) is None
    numbers = ("1.500", "10", "0.000000001", "100.00", "-5.0")
    assert [shortest(Decimal(one)) for one in numbers] == ["1.5", "10", "0.000000001", "100", "-5"]
