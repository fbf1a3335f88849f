"""Pre-trade checks: what each refuses, by how much, and what it lets pass."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from dragoman.checks import RiskLimits
from dragoman.checks.pretrade import PreTrade
from dragoman.checks.risk_exposure import Exposure
from dragoman.checks.sources import Sources
from dragoman.errors import Effect, ErrorKind, Rejected, Retry, UsageError
from dragoman.model import (
    AssetClass,
    Instrument,
    InstrumentType,
    Margin,
    Order,
    OrderChange,
    OrderRequest,
    OrderStatus,
    OrderType,
    OrderUpdate,
    Pending,
    Product,
    Segment,
    Side,
)
from dragoman.portfolio.margin.room import MarginRoom

D = Decimal


def instrument(name="NSE:INFY", **more):
    exchange, _, symbol = name.partition(":")
    terms = {"multiplier": D(1)} | more
    return Instrument(
        name, symbol, exchange, AssetClass.EQUITY, InstrumentType.SPOT, symbol, "1", tick_size=D("0.05"), **terms
    )


INFY = instrument()
SBIN = instrument("NSE:SBIN")
FUTURE = instrument("NFO:INFY26JANFUT", underlying="NSE:INFY", multiplier=D(2))


class Desk:
    """An account as the checks see it."""

    def __init__(self, **limits):
        self.now = 10**12
        self.prices = {"NSE:INFY": D(1500), "NSE:SBIN": D(800), "NFO:INFY26JANFUT": D(1500)}
        self.profit = D(0)
        self.margin = None
        self.open = 60.0
        self.known = True
        self.day_known = True
        self.orders = 0
        all_of = {one.instrument_id: one for one in (INFY, SBIN, FUTURE)}
        self.money = {}
        self.given_back = []
        self.exposure = Exposure(all_of.get, self.price, self.money.get)
        sources = Sources(
            lambda: self.now,
            price=self.price,
            profit=lambda: self.profit,
            margin=lambda request, instrument: self.margin,
            give_back=self.given_back.append,
            open_for_s=lambda instrument: self.open,
            knows_day=lambda instrument: self.day_known,
            positions=lambda: self.known,
        )
        self.checks = PreTrade(RiskLimits(**limits), self.exposure, sources, broker="examplebroker")

    def price(self, instrument):
        return self.prices.get(instrument.instrument_id)

    def ask(self, side, quantity, price=None, of=INFY, **more):
        kind = OrderType.MARKET if price is None else OrderType.LIMIT
        request = OrderRequest(
            instrument_id=of.instrument_id,
            side=Side(side),
            quantity=D(quantity),
            order_type=more.pop("order_type", kind),
            price=None if price is None else D(price),
            **more,
        )
        self.checks.check(request, of)
        return request

    def enter(self, side, quantity, price=None, of=INFY, **more):
        """Place an order that passes and works from then on."""
        request = self.ask(side, quantity, price, of)
        return self.works(request, **more)

    def works(self, request, **more):
        self.orders += 1
        order = self.order(request, f"o{self.orders}", **({"status": OrderStatus.OPEN} | more))
        self.exposure.on_order(OrderUpdate(order))
        return order

    def order(self, request, name, **more):
        return Order(
            instrument_id=request.instrument_id,
            side=request.side,
            quantity=request.quantity,
            price=request.price,
            product=request.product,
            position_side=request.position_side,
            client_order_id=name,
            **({"status": OrderStatus.SUBMITTED} | more),
        )

    def refuses(self, check, *order, kind=ErrorKind.LOCAL_DENIED, **more):
        with pytest.raises(Rejected) as refused:
            self.ask(*order, **more)
        error = refused.value
        assert (error.code, error.kind, error.effect, error.broker) == (check, kind, Effect.NONE, "examplebroker")
        assert "nothing was sent" in error.remedy
        return error


def test_an_order_is_refused_above_its_value_and_taken_at_it():
    desk = Desk(max_order_value="150005")
    desk.ask("BUY", 100, "1500.05")
    assert "150006.35" in str(desk.refuses("max_order_value", "BUY", 130, "1153.895"))


def test_a_market_order_is_worth_the_last_price_times_the_multiplier():
    desk = Desk(max_order_value=30_000)
    desk.ask("BUY", 10, of=FUTURE)
    desk.refuses("max_order_value", "BUY", 11, of=FUTURE)


def test_the_quantity_is_limited_by_the_longest_pattern():
    desk = Desk(max_order_quantity=100, quantity_by_instrument={"NSE:": 50, "NSE:INFY": 20})
    desk.ask("BUY", 20)
    desk.ask("BUY", 50, of=SBIN)
    desk.ask("BUY", 100, of=FUTURE)
    desk.refuses("max_order_quantity", "BUY", 21, kind=ErrorKind.INVALID_QUANTITY)
    desk.refuses("max_order_quantity", "BUY", 51, of=SBIN, kind=ErrorKind.INVALID_QUANTITY)
    desk.refuses("max_order_quantity", "BUY", 101, of=FUTURE, kind=ErrorKind.INVALID_QUANTITY)


@pytest.mark.parametrize("price", ["1425", "1575", "1500"])
def test_a_price_inside_the_band_passes(price):
    Desk(price_band_percent=5).ask("BUY", 1, price)


@pytest.mark.parametrize("price", ["1424.95", "1575.05", "15000"])
def test_a_price_outside_the_band_is_refused_with_its_edges(price):
    error = Desk(price_band_percent=5).refuses("price_band_percent", "SELL", 1, price, kind=ErrorKind.PRICE_OUT_OF_BAND)
    assert "1425 to 1575" in error.remedy


def test_the_trigger_of_a_stop_has_to_lie_in_the_band_too():
    desk = Desk(price_band_percent=5)
    terms = {"order_type": OrderType.STOP_LIMIT, "trigger_price": D(1000)}
    desk.refuses("price_band_percent", "SELL", 1, "1490", kind=ErrorKind.PRICE_OUT_OF_BAND, **terms)


def test_what_cannot_be_known_is_refused_by_name_or_passes_where_that_was_asked_for():
    desk = Desk(price_band_percent=5)
    desk.prices.clear()
    error = desk.refuses("price_band_percent", "BUY", 1, "1500")
    assert "the last price of NSE:INFY is not known" in str(error)
    lenient = Desk(price_band_percent=5, max_order_value=1, max_daily_loss=1, check_margin=True, when_unknown="pass")
    lenient.prices.clear()
    lenient.profit = None
    lenient.ask("BUY", 1)


def test_open_orders_are_counted_on_their_way_unknown_and_working_and_not_when_finished():
    desk = Desk(max_open_orders=3, max_open_orders_per_instrument=2)
    desk.enter("BUY", 1, status=OrderStatus.SUBMITTED)
    first = desk.enter("BUY", 2, status=OrderStatus.UNKNOWN)
    desk.refuses("max_open_orders_per_instrument", "BUY", 1)
    desk.enter("BUY", 1, of=SBIN)
    desk.refuses("max_open_orders", "BUY", 1, of=SBIN)
    desk.exposure.on_order(OrderUpdate(first.but(status=OrderStatus.CANCELED)))
    desk.ask("BUY", 1)


def test_a_position_counts_what_works_on_the_same_side():
    desk = Desk(max_position=100)
    desk.exposure.hold("NSE:INFY", D(40))
    desk.enter("BUY", 50)
    desk.ask("BUY", 10)
    desk.refuses("max_position", "BUY", 11)
    desk.ask("SELL", 40)
    desk.refuses("max_position", "SELL", 141)


def test_fills_move_from_what_works_into_the_position_and_are_counted_once():
    desk = Desk(max_position=100)
    order = desk.enter("BUY", 60)
    desk.exposure.on_order(OrderUpdate(order.but(filled_quantity=D(25))))
    desk.exposure.hold("NSE:INFY", D(25))
    desk.ask("BUY", 40)
    desk.refuses("max_position", "BUY", 41)


def test_an_order_that_only_reduces_passes_caps_and_the_day_s_loss_and_one_that_flips_does_not():
    desk = Desk(max_position=10, max_exposure=1000, max_daily_loss=500)
    desk.exposure.hold("NSE:INFY", D(100))
    desk.profit = D(-600)
    desk.ask("SELL", 100)
    desk.refuses("max_daily_loss", "SELL", 101)
    desk.works(desk.ask("SELL", 70))
    desk.ask("SELL", 30)
    desk.refuses("max_daily_loss", "SELL", 31)


def test_exposure_is_capped_for_an_instrument_its_underlying_and_the_account():
    desk = Desk(max_exposure_per_instrument=150_000, max_exposure_per_underlying=200_000, max_exposure=250_000)
    desk.enter("BUY", 100)
    desk.refuses("max_exposure_per_instrument", "BUY", 1)
    desk.ask("BUY", 16, of=FUTURE)
    desk.refuses("max_exposure_per_underlying", "SELL", 17, of=FUTURE)
    desk.enter("SELL", 120, of=SBIN)
    desk.ask("BUY", 1, of=FUTURE)
    desk.refuses("max_exposure", "BUY", 2, of=FUTURE)


def test_the_day_s_loss_stops_what_opens_from_the_limit_on():
    desk = Desk(max_daily_loss=500)
    desk.profit = D("-499.99")
    desk.ask("BUY", 1)
    desk.profit = D(-500)
    desk.refuses("max_daily_loss", "BUY", 1)
    desk.profit = None
    assert "the day's profit is not known" in str(desk.refuses("max_daily_loss", "BUY", 1))


def test_positions_that_nobody_knows_refuse_what_hangs_on_them():
    desk = Desk(max_position=10)
    desk.known = False
    assert "what the account holds" in str(desk.refuses("position", "BUY", 1))


def test_the_margin_an_order_needs_has_to_be_there():
    desk = Desk(check_margin=True)
    desk.margin = (D(100), D(100))
    desk.ask("BUY", 1)
    desk.margin = (D("100.01"), D(100))
    desk.refuses("check_margin", "BUY", 1, kind=ErrorKind.INSUFFICIENT_MARGIN)
    desk.margin = None
    assert "is not known" in str(desk.refuses("check_margin", "BUY", 1))


def test_an_order_for_money_counts_in_units_at_the_last_price():
    desk = Desk(max_position=10)
    desk.ask("BUY", 0, notional=D(15_000))
    desk.refuses("max_position", "BUY", 0, notional=D(15_001))
    desk.prices.clear()
    desk.refuses("max_position", "BUY", 0, notional=D(1))


def test_an_order_that_reduces_needs_no_margin():
    desk = Desk(check_margin=True)
    desk.exposure.hold("NSE:INFY", D(10))
    desk.ask("SELL", 10)
    desk.refuses("check_margin", "SELL", 11)


def test_a_closed_exchange_takes_no_orders():
    desk = Desk(market_hours=True)
    desk.open = None
    desk.refuses("market_hours", "BUY", 1, kind=ErrorKind.MARKET_CLOSED)


def test_on_a_day_nobody_has_told_of_orders_go_as_whatever_is_not_known():
    desk, passing = Desk(market_hours=True), Desk(market_hours=True, when_unknown="pass")
    for one in (desk, passing):
        one.day_known = False
    assert "whether NSE trades today is not known" in str(desk.refuses("market_hours", "BUY", 1))
    passing.open = None  # by the hours of the week, which prove nothing
    passing.ask("BUY", 1)


def test_restricted_and_allowed_instruments_go_by_the_beginning_of_their_ids():
    desk = Desk(restricted=["NSE:SB"], allowed=["NSE:"])
    desk.ask("BUY", 1)
    assert "'NSE:SB'" in str(desk.refuses("restricted", "BUY", 1, of=SBIN))
    assert "not among what is allowed" in str(desk.refuses("restricted", "BUY", 1, of=FUTURE))


def test_the_same_order_within_the_window_is_a_duplicate_and_other_terms_are_not():
    desk = Desk(duplicate_window_ms=1000)
    desk.ask("BUY", 1, "1500")
    desk.now += 999_000_000
    error = desk.refuses("duplicate_window_ms", "BUY", 1, "1500", kind=ErrorKind.DUPLICATE_ORDER)
    assert error.retry is Retry.AFTER
    assert error.retry_after_s == pytest.approx(0.001)
    for other in (("SELL", 1, "1500"), ("BUY", 2, "1500"), ("BUY", 1, "1500.05"), ("BUY", 1)):
        desk.ask(*other)
    desk.now += 1_000_000
    desk.ask("BUY", 1, "1500")


def test_rates_roll_and_tell_how_long_to_wait():
    desk = Desk(orders_per_second=2, orders_per_minute=3)
    desk.ask("BUY", 1)
    desk.now += 400_000_000
    desk.ask("BUY", 1)
    assert desk.refuses("orders_per_second", "BUY", 1).retry_after_s == pytest.approx(0.6)
    desk.now += 600_000_000
    desk.ask("BUY", 1)
    desk.now += 2_000_000_000
    assert desk.refuses("orders_per_minute", "BUY", 1).retry_after_s == pytest.approx(57)


def test_a_change_on_its_way_counts_until_it_is_over():
    desk = Desk(max_position=100)
    order = desk.enter("BUY", 10, "1500")
    desk.checks.check_change(order, OrderChange(quantity=D(90)), INFY)
    desk.exposure.on_order(OrderUpdate(order.but(pending=Pending.MODIFY)))
    desk.refuses("max_position", "BUY", 11)
    desk.exposure.on_order(OrderUpdate(order.but(pending=Pending.NONE)))
    desk.ask("BUY", 90)


def test_what_is_refused_counts_neither_as_a_duplicate_nor_for_the_rate():
    desk = Desk(max_order_quantity=10, orders_per_second=1, duplicate_window_ms=1000)
    for _ in range(5):
        desk.refuses("max_order_quantity", "BUY", 11, kind=ErrorKind.INVALID_QUANTITY)
    desk.ask("BUY", 10)
    assert desk.checks.refused == {"max_order_quantity": 5}


def test_a_change_is_checked_as_the_order_it_makes_and_not_as_a_second_one():
    desk = Desk(max_order_value=150_000, price_band_percent=5, max_position=100)
    order = desk.enter("BUY", 90, "1500")
    desk.checks.check_change(order, OrderChange(quantity=D(100)), INFY)
    for change in (OrderChange(quantity=D(101)), OrderChange(price=D(1600))):
        with pytest.raises(Rejected):
            desk.checks.check_change(order, change, INFY)


@pytest.mark.parametrize(
    ("limits", "names"),
    [
        ({"max_order_value": 0}, "max_order_value"),
        ({"max_order_value": "much"}, "max_order_value"),
        ({"max_order_value": True}, "max_order_value"),
        ({"max_open_orders": 1.5}, "max_open_orders"),
        ({"orders_per_second": 0}, "orders_per_second"),
        ({"restricted": "NSE:"}, "restricted"),
        ({"allowed": [3]}, "allowed"),
        ({"quantity_by_instrument": {"NSE:": -1}}, "quantity_by_instrument"),
        ({"quantity_by_instrument": [1]}, "quantity_by_instrument"),
        ({"when_unknown": "hope"}, "when_unknown"),
        ({"check_margin": 1}, "check_margin"),
        ({"max_ordr_value": 1}, "max_ordr_value"),
    ],
)
def test_a_wrong_limit_of_a_profile_is_refused_by_name(limits, names):
    with pytest.raises(UsageError, match=names):
        RiskLimits.of(limits)


def test_limits_without_a_limit_are_empty():
    assert RiskLimits().empty
    assert RiskLimits(when_unknown="pass").empty
    assert not RiskLimits(market_hours=True).empty


def test_without_a_stream_an_instrument_counts_at_the_worst_price_there_is():
    desk = Desk(max_exposure=100_000)
    desk.prices.clear()
    desk.enter("BUY", 50, "1000")
    desk.enter("SELL", 10, "1500")
    desk.exposure.hold("NSE:SBIN", D(-10), price=D(500))
    assert desk.exposure.total == 50 * 1500 + 10 * 500
    assert "could come to 107000" in str(desk.refuses("max_exposure", "BUY", 18, "1500"))
    desk.ask("BUY", 60, "500", of=SBIN)
    desk.refuses("max_exposure", "BUY", 61, "500", of=SBIN)


def test_an_instrument_that_nobody_can_value_makes_the_account_s_exposure_unknown_until_a_price_comes():
    desk = Desk(max_exposure=100_000, max_exposure_per_underlying=100_000)
    desk.prices.clear()
    desk.exposure.hold("NSE:SBIN", D(10))
    assert "what NSE:SBIN is worth is not known" in str(desk.refuses("max_exposure", "BUY", 1, "1500"))
    desk.prices["NSE:SBIN"] = D(800)
    desk.ask("BUY", 61, "1500")
    desk.refuses("max_exposure_per_underlying", "BUY", 67, "1500")
    lenient = Desk(max_exposure=100_000, when_unknown="pass")
    lenient.prices.clear()
    lenient.exposure.hold("NSE:SBIN", D(10))
    lenient.ask("BUY", 66, "1500")
    lenient.refuses("max_exposure", "BUY", 67, "1500")


def test_a_price_that_left_with_its_order_does_not_count():
    desk = Desk(max_exposure=200_000)
    desk.prices.clear()
    fat = desk.enter("BUY", 1, "90000")
    desk.enter("BUY", 1, "1500")
    assert desk.exposure.total == 180_000
    desk.exposure.on_order(OrderUpdate(fat.but(status=OrderStatus.CANCELED)))
    assert desk.exposure.total == 1500


def split(desk, quantity=300, slices=3):
    """An order that the broker split; what it and its children are reported as."""
    parent = desk.enter("BUY", quantity, "1500")
    children = [
        parent.but(
            client_order_id=f"{parent.client_order_id}/{at}",
            order_id=f"{at}",
            order_ids=(f"{at}",),
            quantity=D(quantity // slices),
        )
        for at in range(1, slices + 1)
    ]
    for child in children:
        desk.exposure.on_order(OrderUpdate(child))
    return parent, children


def test_an_order_that_the_broker_split_counts_once():
    desk = Desk(max_position=400, max_open_orders=2)
    parent, children = split(desk)
    stake = desk.exposure.stake("NSE:INFY")
    assert (stake.buys, desk.exposure.orders) == (300, 1)
    desk.ask("BUY", 100)
    desk.refuses("max_position", "BUY", 101)
    desk.exposure.on_order(OrderUpdate(children[0].but(filled_quantity=D(100), status=OrderStatus.FILLED)))
    desk.exposure.on_order(OrderUpdate(parent.but(filled_quantity=D(100))))
    assert stake.buys == 200
    for child in children[1:]:
        desk.exposure.on_order(OrderUpdate(child.but(status=OrderStatus.CANCELED)))
    desk.exposure.on_order(OrderUpdate(parent.but(status=OrderStatus.CANCELED)))
    assert (stake.buys, desk.exposure.orders) == (0, 0)


def test_children_count_where_their_parent_does_not():
    desk = Desk(max_position=400)
    parent, children = split(desk)
    stake = desk.exposure.stake("NSE:INFY")
    desk.exposure.on_order(OrderUpdate(parent.but(status=OrderStatus.CANCELED)))
    assert (stake.buys, stake.orders) == (300, 3)
    desk.exposure.on_order(OrderUpdate(parent))  # a child told first, then the order it is of
    assert (stake.buys, stake.orders) == (300, 1)
    # A child seen by its number before it had its name is the same order.
    renamed = children[0].but(client_order_id=f"{parent.client_order_id}/9")
    desk.exposure.on_order(OrderUpdate(renamed))
    desk.exposure.on_order(OrderUpdate(parent.but(status=OrderStatus.CANCELED)))
    assert (stake.buys, stake.orders) == (300, 3)


def test_a_child_that_was_made_larger_counts_in_its_parent():
    desk = Desk(max_position=400)
    parent, children = split(desk)
    desk.exposure.on_order(OrderUpdate(children[0].but(quantity=D(180))))
    assert desk.exposure.stake("NSE:INFY").buys == 380
    desk.exposure.on_order(OrderUpdate(parent.but(raw_status="open")))
    desk.refuses("max_position", "BUY", 21)


def test_what_reduces_a_position_still_does_beside_an_order_that_was_split():
    desk = Desk(max_daily_loss=500)
    desk.profit = D(-500)
    desk.exposure.hold("NSE:INFY", D(-600))
    split(desk)
    desk.ask("BUY", 300)
    desk.refuses("max_daily_loss", "BUY", 301)


def for_money(desk, notional, **more):
    request = desk.ask("BUY", 0, notional=D(notional))
    desk.money[f"o{desk.orders + 1}"] = D(notional)
    return desk.works(request, **more)


def test_an_order_for_money_counts_with_its_units_while_it_works():
    desk = Desk(max_position=10, max_exposure=20_000)
    order = for_money(desk, 9000)
    assert (desk.exposure.stake("NSE:INFY").buys, desk.exposure.total) == (6, 9000)
    desk.refuses("max_position", "BUY", 0, notional=D(6001))
    # The broker counts its quantity as what has filled.
    desk.exposure.on_order(OrderUpdate(order.but(quantity=D(2), filled_quantity=D(2))))
    desk.exposure.hold("NSE:INFY", D(2))
    assert desk.exposure.total == 9000
    desk.exposure.on_order(OrderUpdate(order.but(status=OrderStatus.CANCELED)))
    assert desk.exposure.total == 3000


def test_an_order_for_money_without_a_price_counts_with_its_money_and_its_units_are_unknown():
    desk = Desk(max_exposure=20_000, max_daily_loss=500)
    desk.prices.clear()
    order = for_money(desk, 9000)
    assert desk.exposure.total == 9000
    for_money(desk, 11_000)
    desk.refuses("max_exposure", "BUY", 0, notional=D(1))
    desk.checks.limits = RiskLimits(max_position=100)
    assert "how many units of NSE:INFY" in str(desk.refuses("max_position", "BUY", 1, "1500"))
    desk.exposure.hold("NSE:INFY", D(-10), price=D(1000))
    desk.checks.limits = RiskLimits(max_daily_loss=500)
    desk.profit = D(-500)
    desk.refuses("max_daily_loss", "BUY", 1)  # the one for money may close all of it
    desk.exposure.on_order(OrderUpdate(order.but(status=OrderStatus.REJECTED)))
    assert desk.exposure.total == 21_000


def test_somebody_else_s_order_for_money_makes_the_exposure_unknown():
    desk = Desk(max_exposure=20_000)
    order = desk.works(OrderRequest(instrument_id="NSE:SBIN", side=Side.BUY, quantity=D(0)))
    assert "what NSE:SBIN is worth" in str(desk.refuses("max_exposure", "BUY", 1))
    assert "how much money works in NSE:SBIN" in str(desk.refuses("max_exposure", "BUY", 1, of=SBIN))
    desk.exposure.on_order(OrderUpdate(order.but(status=OrderStatus.FILLED, quantity=D(1), filled_quantity=D(1))))
    desk.ask("BUY", 1)


def test_what_reduces_is_judged_by_the_product_and_the_side_that_an_order_is_of():
    desk = Desk(max_daily_loss=500, check_margin=True)
    desk.profit = D(-500)
    desk.exposure.hold("NSE:INFY", D(100), product=Product.DELIVERY)
    desk.ask("SELL", 100, product=Product.DELIVERY)
    desk.refuses("max_daily_loss", "SELL", 100, product=Product.INTRADAY)
    desk.exposure.hold("NSE:SBIN", D(50), position_side="LONG")
    desk.exposure.hold("NSE:SBIN", D(-20), position_side="SHORT")
    desk.ask("SELL", 50, of=SBIN, position_side="LONG")
    desk.ask("BUY", 20, of=SBIN, position_side="SHORT")
    desk.refuses("max_daily_loss", "SELL", 1, of=SBIN, position_side="SHORT")
    desk.refuses("max_daily_loss", "BUY", 1, of=SBIN, position_side="LONG")
    # An order whose product nobody could read may be of any of them.
    desk.works(OrderRequest(instrument_id="NSE:INFY", side=Side.SELL, quantity=D(60), product=Product.UNKNOWN))
    desk.ask("SELL", 40, product=Product.DELIVERY)
    desk.refuses("max_daily_loss", "SELL", 41, product=Product.DELIVERY)


def test_an_order_that_never_left_is_in_no_window():
    desk = Desk(duplicate_window_ms=60_000, orders_per_second=2, orders_per_minute=2, check_margin=True)
    desk.margin = (D(1), D(1))
    first = desk.ask("BUY", 1, client_order_id="o1")
    desk.ask("BUY", 2, client_order_id="o2")
    desk.refuses("orders_per_second", "BUY", 3)
    order = desk.order(first, "o1")
    desk.checks.on_order(OrderUpdate(order))
    desk.checks.on_order(OrderUpdate(order.but(status=OrderStatus.DENIED)))
    assert desk.given_back == ["o1"]
    desk.now += 1
    desk.ask("BUY", 1, client_order_id="o3")
    desk.refuses("orders_per_second", "BUY", 4)


def test_an_order_that_the_broker_refused_stays_in_its_windows():
    desk = Desk(duplicate_window_ms=60_000)
    order = desk.order(desk.ask("BUY", 1, client_order_id="o1"), "o1")
    desk.checks.on_order(OrderUpdate(order.but(status=OrderStatus.REJECTED)))
    desk.refuses("duplicate_window_ms", "BUY", 1, kind=ErrorKind.DUPLICATE_ORDER)


class Margins:
    """A margin that one reading tells of."""

    def __init__(self, net):
        self.net = D(net)

    def now(self):
        return {Segment.EQUITY: Margin(segment=Segment.EQUITY, net=self.net, error_bound=D(0))}

    def needed(self, request, instrument, price):
        return price * request.quantity


def test_margin_is_taken_by_what_passes_every_check_and_given_back_by_what_never_left():
    desk = Desk(duplicate_window_ms=60_000, check_margin=True)
    room = MarginRoom(Margins(100_000), lambda: 10**12, desk.price)
    desk.checks.sources = replace(desk.checks.sources, margin=room, give_back=room.give_back)
    first = desk.ask("BUY", 30, "1000", client_order_id="o1")
    for _ in range(3):
        desk.refuses("duplicate_window_ms", "BUY", 30, "1000", kind=ErrorKind.DUPLICATE_ORDER)
    desk.ask("BUY", 70, "1000", client_order_id="o2")
    desk.refuses("check_margin", "BUY", 1, "1000", kind=ErrorKind.INSUFFICIENT_MARGIN)
    desk.checks.on_order(OrderUpdate(desk.order(first, "o1").but(status=OrderStatus.DENIED)))
    desk.ask("BUY", 29, "1000")
    desk.refuses("check_margin", "BUY", 2, "1000", kind=ErrorKind.INSUFFICIENT_MARGIN)
