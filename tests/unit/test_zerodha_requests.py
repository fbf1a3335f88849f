"""What leaves for varieties, conversion, candles, margins, GTTs and alerts, and what is refused before it does."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from dragoman.adapters.zerodha.adapter import _place_form

from dragoman import model
from dragoman.errors import DecodeError, UsageError
from dragoman.model import OrderType, Product, Side, Variety
from dragoman.plugin import All, Part, spans
from fixtures.zerodha.account import ADAPTER, NOON, context, run

D = Decimal
CTX = context()
INFY = CTX.instruments.get("NSE:INFY")
FUTURE = CTX.instruments.by_broker_token("13238786")
IST = timezone(timedelta(hours=5, minutes=30))
OK = {"status": "success", "data": True}
CHANGED = {"status": "success", "data": {"order_id": "2"}}
ORDER_REPLY = {"status": "success", "data": {"order_id": "1"}}


def order(**changes):
    given = {
        "instrument_id": "NSE:INFY",
        "side": Side.BUY,
        "quantity": D(10),
        "order_type": OrderType.LIMIT,
        "price": D(1500),
    }
    return model.OrderRequest(**(given | changes))


def form_of(request, instrument=INFY):
    driven = run(ADAPTER.place(ADAPTER.check_order(request, instrument), instrument, CTX), [ORDER_REPLY])
    return driven.requests[0].path, dict(driven.requests[0].form)


def test_the_exchanges_algo_id_and_the_percent_of_protection_are_sent_as_given():
    form = form_of(order(order_type=OrderType.MARKET, price=None, algo_id="A-77", market_protection=D("1.50")))[1]
    assert (form["algo_id"], form["market_protection"]) == ("A-77", "1.50")
    form = form_of(order(order_type=OrderType.MARKET, price=None))[1]
    assert form["market_protection"] == "-1"
    assert "algo_id" not in form
    assert "market_protection" not in form_of(order())[1]


@pytest.mark.parametrize("quantity", [D(1), D("1E+3")])
@pytest.mark.parametrize("price", [None, D("1500.05"), D("0.050"), D("1.5E+3"), D("1E-9")])
@pytest.mark.parametrize(
    "further",
    [
        {},
        {"tag": ""},
        {"tag": "abc"},
        {"wire_id": ""},
        {"algo_id": "A-77"},
        {"trigger_price": D(1490)},
        {"display_quantity": D(5)},
        {"time_in_force": model.TimeInForce.IOC, "side": Side.SELL, "product": Product.INTRADAY},
        {"order_type": OrderType.STOP_LIMIT},
        {"order_type": OrderType.MARKET},
        {"variety": Variety.AMO},
        {"extras": {"another": {"slices": 2}}},
    ],
)
def test_the_form_of_a_plain_limit_order_is_that_of_any_other(quantity, price, further):
    asked = order(**({"quantity": quantity, "price": price, "wire_id": "0123456789AB"} | further))
    driven = run(ADAPTER.place(asked, INFY, CTX), [ORDER_REPLY])
    assert driven.requests[0].form == _place_form(asked, INFY, {})


@pytest.mark.parametrize("quantity", ["1.5", "NaN", "-1.5"])
def test_a_fraction_is_refused_before_it_leaves(quantity):
    with pytest.raises((UsageError, ArithmeticError, ValueError)):
        run(ADAPTER.place(order(quantity=D(quantity), wire_id="0123456789AB"), INFY, CTX), [])


@pytest.mark.parametrize("exchange", sorted(ADAPTER.capabilities.segments))
def test_what_an_order_may_be_does_not_depend_on_its_tag(exchange):
    instrument = replace(INFY, exchange=exchange)

    def refusal(asked):
        try:
            return ADAPTER.check_order(asked, instrument) is asked
        except UsageError as error:
            return str(error), error.remedy

    offered = ADAPTER.capabilities
    found = []
    for product, validity in itertools.product(sorted(Product), sorted(offered.time_in_force)):
        asked = order(product=product, time_in_force=validity)
        found.append(refusal(asked))
        assert refusal(replace(asked, tag="abc")) == found[-1]
    assert True in found
    assert any(one is not True for one in found)


def test_an_order_id_that_is_no_plain_word_is_quoted_in_the_path():
    known = model.Order(instrument_id="NSE:INFY", side=Side.BUY, quantity=D(1), order_id="a/b c", variety=Variety.AMO)
    cancelled = {"status": "success", "data": {"order_id": "a/b c"}}
    driven = run(ADAPTER.cancel(known, CTX), [cancelled])
    assert driven.requests[0].path == "/orders/amo/a%2Fb%20c"
    assert driven.result.order_id == "a/b c"
    with pytest.raises(DecodeError, match="expected 'a/b c'"):
        run(ADAPTER.cancel(known, CTX), [CHANGED])


# --- varieties -------------------------------------------------------------------------------------------------------


def test_an_iceberg_shows_one_leg_at_a_time():
    path, form = form_of(order(variety=Variety.ICEBERG, quantity=D(1000), display_quantity=D(300)))
    assert path == "/orders/iceberg"
    assert (form["quantity"], form["iceberg_legs"], form["iceberg_quantity"]) == ("1000", "4", "300")
    assert "disclosed_quantity" not in form


def test_an_iceberg_may_be_a_derivative():
    form = form_of(
        order(variety=Variety.ICEBERG, product=Product.CARRY, quantity=D(100), display_quantity=D(50)), FUTURE
    )[1]
    assert form["iceberg_legs"] == "2"


def test_a_cover_order_carries_the_trigger_of_its_second_leg():
    cover = order(variety=Variety.COVER, product=Product.INTRADAY, extras={"zerodha": {"cover_trigger": "1480.5"}})
    path, form = form_of(cover)
    assert path == "/orders/co"
    assert (form["trigger_price"], form["price"], form["product"]) == ("1480.5", "1500", "MIS")


def test_an_auction_order_names_its_auction():
    path, form = form_of(order(variety=Variety.AUCTION, side=Side.SELL, extras={"zerodha": {"auction_number": 20}}))
    assert (path, form["auction_number"]) == ("/orders/auction", "20")


def test_an_after_market_order_has_its_own_path():
    assert form_of(order(variety=Variety.AMO))[0] == "/orders/amo"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"variety": Variety.ICEBERG}, "0 legs"),
        ({"variety": Variety.ICEBERG, "display_quantity": D(10)}, "1 legs"),
        ({"variety": Variety.ICEBERG, "quantity": D(510), "display_quantity": D(10)}, "51 legs"),
        ({"variety": Variety.AUCTION}, "AUCTION order needs extras auction_number"),
        ({"extras": {"zerodha": {"auction_number": 1}}}, "REGULAR order takes no extras auction_number"),
        ({"variety": Variety.COVER, "product": Product.INTRADAY}, "COVER order needs extras cover_trigger"),
        ({"variety": Variety.COVER, "extras": {"zerodha": {"cover_trigger": 1}}}, "cannot be DELIVERY"),
        (
            {"variety": Variety.COVER, "product": Product.INTRADAY, "extras": {"zerodha": {"cover_trigger": "x"}}},
            "not a price",
        ),
        (
            {"variety": Variety.COVER, "product": Product.INTRADAY, "extras": {"zerodha": {"cover_trigger": "NaN"}}},
            "cover_trigger NaN",
        ),
    ],
)
def test_a_variety_without_what_belongs_to_it_is_refused(changes, named):
    with pytest.raises(UsageError, match=named):
        ADAPTER.check_order(order(**changes), INFY)


def test_of_a_cover_order_only_prices_change_and_the_second_leg_names_its_parent():
    leg = model.Order(
        instrument_id="NSE:INFY",
        side=Side.SELL,
        quantity=D(1),
        order_id="2",
        parent_order_id="1",
        variety=Variety.COVER,
        order_type=OrderType.STOP_MARKET,
    )
    driven = run(ADAPTER.modify(leg, model.OrderChange(trigger_price=D("1470")), INFY, CTX), [CHANGED])
    assert driven.requests[0].path == "/orders/co/2"
    assert driven.requests[0].form == (("trigger_price", "1470"), ("parent_order_id", "1"))
    with pytest.raises(UsageError, match="only the prices"):
        run(ADAPTER.modify(leg, model.OrderChange(quantity=D(2)), INFY, CTX), [])


# --- conversion ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "carried", "quantity", "part", "side"),
    [
        (5, 0, 5, "day", "BUY"),
        (5, 5, 5, "overnight", "BUY"),
        (5, 2, 3, "day", "BUY"),
        (-5, -4, 3, "overnight", "SELL"),
        (-5, 3, 5, "day", "SELL"),  # carried long, sold through zero today
    ],
)
def test_conversion_says_which_part_it_takes(held, carried, quantity, part, side):
    position = model.Position(
        instrument_id="NSE:INFY", product=Product.INTRADAY, quantity=D(held), overnight_quantity=D(carried)
    )
    driven = run(ADAPTER.convert(position, D(quantity), Product.DELIVERY, INFY, CTX), [OK])
    assert dict(driven.requests[0].form) == {
        "exchange": "NSE",
        "tradingsymbol": "INFY",
        "transaction_type": side,
        "position_type": part,
        "quantity": str(quantity),
        "old_product": "MIS",
        "new_product": "CNC",
    }
    assert driven.requests[0].mutates


@pytest.mark.parametrize(("carried", "quantity", "named"), [(2, 4, "partly from today"), (0, 6, "at most 5|position")])
def test_conversion_of_more_than_a_part_is_refused(carried, quantity, named):
    position = model.Position(
        instrument_id="NSE:INFY", product=Product.INTRADAY, quantity=D(5), overnight_quantity=D(carried)
    )
    with pytest.raises(UsageError, match=named):
        run(ADAPTER.convert(position, D(quantity), Product.DELIVERY, INFY, CTX), [])


# --- candles ---------------------------------------------------------------------------------------------------------


def candle_reply(*moments):
    rows = [[f"{moment:%Y-%m-%dT%H:%M:%S%z}", 1.5, 2, 1, 1.75, 10] for moment in moments]
    return {"status": "success", "data": {"candles": rows}}


def test_a_long_history_is_split_merged_and_reported_as_it_comes():
    start = datetime(2025, 1, 1, tzinfo=IST)
    days = [start + timedelta(days=n) for n in (0, 60, 61, 130, 200)]
    replies = [
        candle_reply(days[0], days[1]),
        candle_reply(days[1], days[2]),
        candle_reply(days[3]),
        candle_reply(days[4]),
    ]
    driven = run(ADAPTER.candles(INFY, "1m", start, start + timedelta(days=200), CTX), replies)
    asked = [dict(request.query) for request in driven.requests]
    assert [(one["from"], one["to"]) for one in asked] == [
        ("2025-01-01 00:00:00", "2025-03-02 00:00:00"),
        ("2025-03-02 00:00:01", "2025-05-01 00:00:01"),
        ("2025-05-01 00:00:02", "2025-06-30 00:00:02"),
        ("2025-06-30 00:00:03", "2025-07-20 00:00:00"),
    ]
    assert {request.meter for request in driven.requests} == {"candles"}
    assert [(part.done, part.total) for part in driven.effects if isinstance(part, Part)] == [(3, 4), (4, 4)]
    assert [len(one.requests) for one in driven.effects if isinstance(one, All)] == [3, 1]
    assert [one.ts_open for one in driven.result] == [int(day.timestamp()) * 10**9 for day in days]
    assert driven.rows == driven.result


def test_times_are_asked_for_in_indian_time_and_open_interest_for_derivatives():
    moment = datetime(2025, 12, 31, 3, 45, tzinfo=UTC)
    driven = run(ADAPTER.candles(FUTURE, "1d", moment, moment, CTX, continuous=True), [candle_reply()])
    assert driven.requests[0].path == f"/instruments/historical/{FUTURE.broker_token}/day"
    assert dict(driven.requests[0].query) == {
        "from": "2025-12-31 09:15:00",
        "to": "2025-12-31 09:15:00",
        "continuous": "1",
        "oi": "1",
    }
    assert driven.result == []


def test_the_candle_under_way_is_not_closed():
    now = datetime.fromtimestamp(NOON / 1e9, IST)
    replies = [candle_reply(now - timedelta(minutes=10), now - timedelta(minutes=2))]
    found = run(ADAPTER.candles(INFY, "5m", now - timedelta(hours=1), now, CTX), replies).result
    assert [one.is_closed for one in found] == [True, False]


@pytest.mark.parametrize(
    ("interval", "start", "end", "more", "named"),
    [
        ("2m", datetime(2025, 1, 1, tzinfo=IST), datetime(2025, 1, 2, tzinfo=IST), {}, "no candles of '2m'"),
        ("1m", datetime(2025, 1, 1), datetime(2025, 1, 2), {}, "time zone"),  # noqa: DTZ001 (that is the mistake)
        ("1m", datetime(2025, 1, 2, tzinfo=IST), datetime(2025, 1, 1, tzinfo=IST), {}, "candles from"),
        ("1d", datetime(2025, 1, 1, tzinfo=IST), datetime(2025, 1, 2, tzinfo=IST), {"continuous": True}, "futures"),
    ],
)
def test_candles_that_are_not_there_are_refused(interval, start, end, more, named):
    with pytest.raises(UsageError) as caught:
        run(ADAPTER.candles(INFY, interval, start, end, CTX, **more), [])
    assert named in f"{caught.value} {caught.value.remedy}"


@pytest.mark.parametrize("row", [["2025-01-01T09:15:00+0530", 1], [None, 1, 1, 1, 1, 1], "text", 5])
def test_a_candle_of_the_wrong_shape_is_a_decode_error(row):
    start = datetime(2025, 1, 1, tzinfo=IST)
    reply = {"status": "success", "data": {"candles": [row]}}
    with pytest.raises(DecodeError, match="candles"):
        run(ADAPTER.candles(INFY, "1m", start, start, CTX), [reply])


def test_spans_cover_everything_once():
    start = datetime(2025, 1, 1, tzinfo=UTC)
    found = spans(start, start + timedelta(days=10), timedelta(days=3))
    assert found[0][0] == start
    assert found[-1][1] == start + timedelta(days=10)
    for (_, last), (first, _) in itertools.pairwise(found):
        assert first - last == timedelta(seconds=1)
    with pytest.raises(ValueError, match="before start"):
        spans(start, start - timedelta(1), timedelta(1))
    with pytest.raises(ValueError, match="longest"):
        spans(start, start, timedelta(0))


# --- margins ---------------------------------------------------------------------------------------------------------


def test_margin_items_leave_as_documented():
    driven = run(ADAPTER.order_margin([order(trigger_price=None)], CTX), [{"status": "success", "data": []}])
    request = driven.requests[0]
    assert (request.method, request.path, request.mutates) == ("POST", "/margins/orders", False)
    assert request.json == [
        {
            "exchange": "NSE",
            "tradingsymbol": "INFY",
            "transaction_type": "BUY",
            "variety": "regular",
            "product": "CNC",
            "order_type": "LIMIT",
            "quantity": 10,
            "price": 1500.0,
            "trigger_price": 0.0,
        }
    ]


def test_a_basket_says_whether_positions_count():
    empty = {"total": 0}
    reply = {"status": "success", "data": {"initial": empty, "final": empty, "orders": []}}
    driven = run(ADAPTER.basket_margin([order()], CTX, consider_positions=False), [reply])
    assert driven.requests[0].query == (("consider_positions", "false"),)
    assert (driven.result.final.total, driven.result.charges) == (0, None)


def test_an_empty_list_and_an_unknown_instrument_are_refused():
    with pytest.raises(UsageError, match="1 to 200"):
        run(ADAPTER.order_margin([], CTX), [])
    with pytest.raises(UsageError, match="master"):
        run(ADAPTER.order_margin([order(instrument_id="NSE:NOSUCH")], CTX), [])


# --- GTT and alerts --------------------------------------------------------------------------------------------------


def leg(trigger, price, side=Side.SELL):
    return model.GttLeg(trigger_price=D(trigger), side=side, quantity=D(2), price=D(price))


def gtt(*legs, last="1500"):
    return model.GttRequest(instrument_id="NSE:INFY", legs=legs, last_price=D(last))


def test_a_two_leg_gtt_leaves_as_two_json_texts():
    driven = run(
        ADAPTER.gtt_place(gtt(leg("1400.05", "1399.5"), leg("1600", "1601")), INFY, CTX),
        [{"status": "success", "data": {"trigger_id": 7}}],
    )
    form = dict(driven.requests[0].form)
    assert (driven.result, form["type"]) == ("7", "two-leg")
    assert json.loads(form["condition"]) == {
        "exchange": "NSE",
        "tradingsymbol": "INFY",
        "trigger_values": [1400.05, 1600.0],
        "last_price": 1500.0,
    }
    first, second = json.loads(form["orders"])
    assert first == {
        "exchange": "NSE",
        "tradingsymbol": "INFY",
        "transaction_type": "SELL",
        "quantity": 2,
        "order_type": "LIMIT",
        "product": "CNC",
        "price": 1399.5,
    }
    assert second["price"] == 1601.0
    assert driven.requests[0].mutates


@pytest.mark.parametrize(
    ("request_", "instrument", "named"),
    [
        (gtt(), INFY, "triggers"),
        (gtt(leg(1600, 1), leg(1400, 1)), INFY, "triggers 1600, 1400"),
        (gtt(leg(1400, 1), leg(1600, 1), last="1700"), INFY, "not between the triggers"),
        (gtt(leg(1500, 1)), INFY, "the market's price"),
        (gtt(replace(leg(1400, 1), order_type=OrderType.MARKET)), INFY, "LIMIT orders"),
        (gtt(replace(leg(1400, 1), quantity=D("1.5"))), INFY, "whole number"),
        (gtt(leg(1400, 1)), CTX.instruments.by_broker_token("58424839"), "GTTs on MCX"),
    ],
)
def test_a_gtt_the_broker_would_refuse_is_refused_here(request_, instrument, named):
    with pytest.raises(UsageError, match=named):
        run(ADAPTER.gtt_place(request_, instrument, CTX), [])


ALERT = model.AlertRequest(name="high", instrument_id="NSE:INFY", operator=">=", value=D("1600.5"))
ALERT_REPLY = {
    "status": "success",
    "data": {
        "uuid": "u",
        "name": "high",
        "status": "enabled",
        "operator": ">=",
        "lhs_exchange": "NSE",
        "lhs_tradingsymbol": "INFY",
        "lhs_attribute": "LastTradedPrice",
        "rhs_type": "instrument",
        "rhs_exchange": "NSE",
        "rhs_tradingsymbol": "INFY",
        "rhs_attribute": "ClosePrice",
    },
}


def test_an_alert_leaves_as_a_form_and_may_compare_two_instruments():
    driven = run(ADAPTER.alert_create(ALERT, CTX), [ALERT_REPLY])
    assert dict(driven.requests[0].form) == {
        "name": "high",
        "type": "simple",
        "lhs_exchange": "NSE",
        "lhs_tradingsymbol": "INFY",
        "lhs_attribute": "LastTradedPrice",
        "operator": ">=",
        "rhs_type": "constant",
        "rhs_constant": "1600.5",
    }
    assert (driven.result.other_instrument_id, driven.result.other_attribute) == ("NSE:INFY", "close")
    other = replace(ALERT, value=None, other_instrument_id="NSE:INFY", other_attribute="close")
    form = dict(run(ADAPTER.alert_modify("a/b", other, CTX), [ALERT_REPLY]).requests[0].form)
    assert (form["rhs_type"], form["rhs_attribute"]) == ("instrument", "ClosePrice")
    assert "rhs_constant" not in form


def test_an_alert_that_places_orders_carries_its_basket():
    driven = run(ADAPTER.alert_create(replace(ALERT, orders=(order(tag="t"),)), CTX), [ALERT_REPLY])
    form = dict(driven.requests[0].form)
    (item,) = json.loads(form["basket"])["items"]
    assert form["type"] == "ato"
    assert (item["tradingsymbol"], item["params"]["quantity"], item["params"]["tags"]) == ("INFY", 10, ["t"])


def test_alerts_are_deleted_by_name():
    driven = run(ADAPTER.alert_delete(["u", "v"], CTX), [{"status": "success", "data": None}])
    assert (driven.requests[0].path, driven.requests[0].query) == ("/alerts", (("uuid", "u"), ("uuid", "v")))


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        (replace(ALERT, operator="!="), "operator"),
        (replace(ALERT, value=None), "compares with"),
        (replace(ALERT, other_instrument_id="NSE:INFY"), "compares with"),
        (replace(ALERT, attribute="mood"), "mood"),
        (replace(ALERT, instrument_id="NSE:NOSUCH"), "master"),
    ],
)
def test_an_alert_the_broker_would_refuse_is_refused_here(request_, named):
    with pytest.raises(UsageError, match=named):
        run(ADAPTER.alert_create(request_, CTX), [])


def test_authorisation_needs_an_isin_and_deleting_no_alert_is_a_mistake():
    with pytest.raises(UsageError, match="ISIN"):
        run(ADAPTER.authorise_holdings([model.Holding(instrument_id="NSE:INFY", quantity=D(1))], CTX), [])
    with pytest.raises(UsageError, match="no alert"):
        run(ADAPTER.alert_delete([], CTX), [])


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"null", b'{"order_id":"1"}'])
def test_a_postback_of_the_wrong_shape_is_a_decode_error(body):
    with pytest.raises(DecodeError):
        ADAPTER.postback(body, CTX)
