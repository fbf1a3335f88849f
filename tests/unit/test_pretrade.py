"""Pre-trade checks: what each refuses, by how much, and what it lets pass."""

from __future__ import annotations

from decimal import Decimal

import pytest

from dragoman.checks import RiskLimits
from dragoman.checks.pretrade import PreTrade, Sources
from dragoman.checks.risk_exposure import Exposure
from dragoman.errors import Effect, ErrorKind, Rejected, Retry, UsageError
from dragoman.model import (
    AssetClass,
    Instrument,
    InstrumentType,
    Order,
    OrderChange,
    OrderRequest,
    OrderStatus,
    OrderType,
    OrderUpdate,
    Pending,
    Side,
)

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
        self.orders = 0
        all_of = {one.instrument_id: one for one in (INFY, SBIN, FUTURE)}
        self.exposure = Exposure(all_of.get, self.price)
        sources = Sources(
            lambda: self.now,
            price=self.price,
            profit=lambda: self.profit,
            margin=lambda request, instrument: self.margin,
            open_for_s=lambda instrument: self.open,
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
        order = Order(
            instrument_id=request.instrument_id,
            side=request.side,
            quantity=request.quantity,
            price=request.price,
            client_order_id=f"o{self.orders}",
            **({"status": OrderStatus.OPEN} | more),
        )
        self.exposure.on_order(OrderUpdate(order))
        return order

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
