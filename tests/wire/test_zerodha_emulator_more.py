"""The adapter and the emulator meet, without a host: what is not a plain order, both directions."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from dragoman.adapters.zerodha import ZerodhaAdapter
from dragoman.adapters.zerodha.emulator import API_KEY, API_SECRET, USER_ID, make
from dragoman.adapters.zerodha.master import InstrumentParser

from dragoman import model
from dragoman.emulator.contract import HttpCall
from dragoman.emulator.counting import SECOND
from dragoman.errors import AuthRequired, DragomanError, ErrorKind, error_for
from dragoman.model import OrderType, Product, Side, Variety
from dragoman.plugin import All, Part, Reply, Request
from dragoman.session.wire import body_of
from dragoman.testing import ScriptedContext
from wire.test_zerodha_emulator import START, Caller

D = Decimal
ADAPTER = ZerodhaAdapter()
IST = timezone(timedelta(hours=5, minutes=30))


class Desk(Caller):
    """The adapter of a logged-in account, its flows answered by the emulator on the same clock."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.login()
        parser = InstrumentParser()
        rows = [*parser.feed(self("GET", "/instruments")[1]), *parser.close()]
        self.by_id = {item.instrument_id: item for item in rows}
        self.ctx = ScriptedContext(
            credentials={"api_key": API_KEY, "api_secret": API_SECRET},
            login={"access_token": self.token},
            hosts={"login": "http://127.0.0.1:1/connect/login?v=3"},
            account=USER_ID,
            now_ns=self.now,
        )
        self.ctx.instruments.get = self.by_id.get  # type: ignore[method-assign]
        keys = {(item.exchange, item.broker_symbol): item for item in rows}
        self.ctx.instruments.by_broker_symbol = lambda *key: keys.get(key)  # type: ignore[method-assign]
        self.parts: list[Part[Any]] = []

    def send(self, request: Request) -> Reply:
        self.now += SECOND // 5
        self.ctx.now_ns = self.now
        body, kind = body_of(request)
        request = ADAPTER.authorize(request, body, self.ctx)
        headers = {name.lower(): value for name, value in request.headers} | {"content-type": kind or ""}
        call = HttpCall(request.method, request.path, request.query, headers, body)
        answer = self.emulator.handle(call, self.now)
        reply = Reply(answer.status, dict(answer.headers), answer.body)
        failure = ADAPTER.classify(reply, request)
        if failure is not None:
            raise error_for(
                failure.kind, failure.message, mutates=request.mutates, effect=failure.effect, code=failure.code
            )
        return reply

    def ask(self, flow: Any) -> Any:
        result: Any = None
        try:
            while True:
                effect = flow.send(result)
                if isinstance(effect, Request):
                    result = self.send(effect)
                elif isinstance(effect, All):
                    self.now += SECOND
                    result = [self.send(request) for request in effect.requests]
                else:
                    self.parts.append(effect)
                    result = None
        except StopIteration as end:
            return end.value

    def order(self, **changes: Any) -> model.Outcome:
        given: dict[str, Any] = {
            "instrument_id": "NSE:INFY",
            "side": Side.BUY,
            "quantity": D(1),
            "product": Product.INTRADAY,
        }
        request = model.OrderRequest(**(given | changes))
        instrument = self.by_id[request.instrument_id]
        return self.ask(ADAPTER.place(ADAPTER.check_order(request, instrument), instrument, self.ctx))

    def book(self) -> dict[str, model.Order]:
        return {one.order_id: one for one in self.ask(ADAPTER.orders(self.ctx))}

    def last(self, name: str = "NSE:INFY") -> Decimal:
        return self.emulator.venue.market(name).last_price

    def near(self, factor: str, name: str = "NSE:INFY") -> Decimal:
        tick = self.by_id[name].tick_size
        return round(self.last(name) * D(factor) / tick) * tick


@pytest.fixture
def desk() -> Desk:
    return Desk()


# --- portfolio -------------------------------------------------------------------------------------------------------


def test_holdings_show_what_is_settled_on_its_way_pledged_and_sold(desk: Desk) -> None:
    venue: Any = desk.emulator.venue
    venue.set_holding(USER_ID, "NSE:INFY", D(100), D(1400), t1_quantity=D(10), pledged_quantity=D(30))
    desk.order(side=Side.SELL, quantity=D(20), product=Product.DELIVERY)
    desk.run(1)
    first, holding = desk.ask(ADAPTER.holdings(desk.ctx))
    assert (first.instrument_id, first.quantity, first.t1_quantity, first.pledged_quantity) == ("NSE:SBIN", 60, 10, 30)
    assert (holding.quantity, holding.t1_quantity, holding.pledged_quantity, holding.used_quantity) == (40, 10, 30, 20)
    assert (holding.settled_quantity, holding.average_price) == (90, 1400)
    assert holding.isin
    status, body = desk("GET", "/portfolio/holdings/compact")
    assert (status, body["data"][1]["quantity"]) == (200, 40)
    with pytest.raises(DragomanError, match="Insufficient holdings"):
        desk.order(side=Side.SELL, quantity=D(51), product=Product.DELIVERY)  # 30 of the 80 left are pledged
    _, offered = desk.ask(ADAPTER.auctions(desk.ctx))
    sold = desk.order(
        side=Side.SELL,
        variety=Variety.AUCTION,
        product=Product.DELIVERY,
        order_type=OrderType.LIMIT,
        price=desk.near("1.05"),
        extras={"zerodha": {"auction_number": offered.auction_number}},
    )
    order = desk.book()[sold.order_id]
    assert (order.variety, order.raw["auction_number"]) == (Variety.AUCTION, offered.auction_number)
    authorised = desk.ask(ADAPTER.authorise_holdings([holding], desk.ctx))
    assert authorised.url.endswith(f"/connect/portfolio/authorise/holdings/{API_KEY}/{authorised.request_id}")


def test_a_position_is_converted_and_the_ledger_still_agrees(desk: Desk) -> None:
    desk.order(quantity=D(5))
    desk.run(1)
    (before,) = desk.ask(ADAPTER.positions(desk.ctx))
    infy = desk.by_id["NSE:INFY"]
    desk.ask(ADAPTER.convert(before, D(3), Product.DELIVERY, infy, desk.ctx))
    found = {one.product: one for one in desk.ask(ADAPTER.positions(desk.ctx))}
    assert {product: one.quantity for product, one in found.items()} == {Product.INTRADAY: 2, Product.DELIVERY: 3}
    assert found[Product.DELIVERY].average_price == pytest.approx(before.average_price)
    assert desk.emulator.ledger()["problems"] == []
    with pytest.raises(DragomanError) as refused:
        desk.ask(ADAPTER.convert(before, D(5), Product.DELIVERY, infy, desk.ctx))
    assert "cannot be converted" in str(refused.value)


def test_profile_names_the_account(desk: Desk) -> None:
    profile = desk.ask(ADAPTER.profile(desk.ctx))
    assert (profile.account_id, "NSE" in profile.exchanges) == (USER_ID, True)
    assert Product.DELIVERY in profile.products


# --- before the fact -------------------------------------------------------------------------------------------------


def limit(**changes: Any) -> model.OrderRequest:
    given = {
        "instrument_id": "NSE:INFY",
        "side": Side.BUY,
        "quantity": D(10),
        "order_type": OrderType.LIMIT,
        "price": D(1500),
        "product": Product.DELIVERY,
    }
    return model.OrderRequest(**(given | changes))


def test_margin_asked_for_is_the_margin_that_is_blocked(desk: Desk) -> None:
    price = desk.near("0.97")
    (asked,) = desk.ask(ADAPTER.order_margin([limit(price=price)], desk.ctx))
    before = desk.ask(ADAPTER.margins(desk.ctx))[0].net
    desk.order(quantity=D(10), product=Product.DELIVERY, order_type=OrderType.LIMIT, price=price)
    desk.run(1)
    assert before - desk.ask(ADAPTER.margins(desk.ctx))[0].net == asked.total == price * 10
    assert (asked.var, asked.span) == (asked.total, 0)
    assert asked.detail.transaction_tax_type == "stt"
    assert asked.charges == asked.detail.total > 0


def test_a_basket_nets_what_offsets_and_counts_positions_when_asked(desk: Desk) -> None:
    price = desk.near("1")
    both = [limit(product=Product.INTRADAY, price=price), limit(product=Product.INTRADAY, price=price, side=Side.SELL)]
    basket = desk.ask(ADAPTER.basket_margin(both, desk.ctx))
    assert basket.final.total == 0
    assert basket.initial.total == sum(one.total for one in basket.orders) > 0
    desk.order(quantity=D(10))
    desk.run(1)
    closing = [limit(product=Product.INTRADAY, price=price, side=Side.SELL)]
    assert desk.ask(ADAPTER.basket_margin(closing, desk.ctx)).final.total == 0
    alone = desk.ask(ADAPTER.basket_margin(closing, desk.ctx, consider_positions=False))
    assert alone.final.total > 0


def test_charges_add_up(desk: Desk) -> None:
    desk.order(quantity=D(10))
    desk.run(1)
    fills = desk.ask(ADAPTER.trades(desk.ctx))
    for charges in desk.ask(ADAPTER.charges(fills, desk.ctx)):
        parts = (
            charges.transaction_tax,
            charges.exchange_fee,
            charges.regulator_fee,
            charges.brokerage,
            charges.stamp_duty,
            charges.gst,
        )
        assert float(sum(parts)) == pytest.approx(float(charges.total))
        assert 0 < charges.brokerage <= 20


def test_calculators_refuse_what_is_no_list_of_orders(desk: Desk) -> None:
    for body in (b"", b"{}", b"[]", b"[1]", b'[{"exchange":"NSE"}]'):
        for path in ("/margins/orders", "/margins/basket", "/charges/orders"):
            desk.now += SECOND
            headers = {"authorization": f"token {API_KEY}:{desk.token}"}
            answer = desk.emulator.handle(HttpCall("POST", path, (), headers, body), desk.now)
            assert (answer.status, json.loads(answer.body)["error_type"]) == (400, "InputException")


def test_trigger_ranges_lie_on_the_losing_side(desk: Desk) -> None:
    infy = desk.by_id["NSE:INFY"]
    (buy,) = desk.ask(ADAPTER.trigger_ranges([infy], Side.BUY, desk.ctx))
    (sell,) = desk.ask(ADAPTER.trigger_ranges([infy], Side.SELL, desk.ctx))
    assert buy.lower < buy.upper < desk.last() < sell.lower < sell.upper


# --- candles ---------------------------------------------------------------------------------------------------------


def candles(desk: Desk, interval: str, start: datetime, end: datetime) -> list[model.Candle]:
    return desk.ask(ADAPTER.candles(desk.by_id["NSE:INFY"], interval, start, end, desk.ctx))


def test_candles_of_a_long_history_join_without_gap_or_repeat(desk: Desk) -> None:
    start = datetime(2026, 1, 1, tzinfo=IST)
    whole = candles(desk, "1h", start, start + timedelta(days=900 // 3))
    pieces = candles(desk, "1h", start, start + timedelta(days=100)) + candles(
        desk, "1h", start + timedelta(days=100, seconds=1), start + timedelta(days=300)
    )
    assert whole == pieces
    assert len({one.ts_open for one in whole}) == len(whole)
    for before, after in itertools.pairwise(whole):
        assert before.ts_open < after.ts_open
        if after.ts_open - before.ts_open == 3600 * SECOND:
            assert before.close == after.open
    for one in whole:
        assert one.low <= min(one.open, one.close) <= max(one.open, one.close) <= one.high


def test_day_candles_agree_with_the_minutes_of_the_day(desk: Desk) -> None:
    day = datetime(2026, 11, 19, tzinfo=IST)
    (whole,) = candles(desk, "1d", day, day)
    minutes = candles(desk, "1m", day, day + timedelta(hours=20))
    assert len(minutes) == 375
    assert (whole.open, whole.close) == (minutes[0].open, minutes[-1].close)


def test_a_span_above_the_limit_and_the_future_give_nothing(desk: Desk) -> None:
    token = desk.by_id["NSE:INFY"].broker_token
    query = [("from", "2026-01-01 00:00:00"), ("to", "2026-03-03 00:00:00")]
    status, body = desk("GET", f"/instruments/historical/{token}/minute", query=query)
    assert (status, "max limit" in body["message"]) == (400, True)
    tomorrow = datetime.fromtimestamp(desk.now / 1e9, UTC) + timedelta(days=1)
    assert candles(desk, "1m", tomorrow, tomorrow + timedelta(hours=1)) == []


# --- GTT -------------------------------------------------------------------------------------------------------------


def gtt(desk: Desk, *factors: str, side: Side = Side.BUY, price: str = "1.02") -> model.GttRequest:
    legs = tuple(
        model.GttLeg(trigger_price=desk.near(one), side=side, quantity=D(1), price=desk.near(price)) for one in factors
    )
    return model.GttRequest(instrument_id="NSE:INFY", legs=legs, last_price=desk.last())


def test_a_gtt_rests_changes_fires_and_its_order_is_in_the_book(desk: Desk) -> None:
    infy = desk.by_id["NSE:INFY"]
    name = desk.ask(ADAPTER.gtt_place(gtt(desk, "0.95"), infy, desk.ctx))
    resting = desk.ask(ADAPTER.gtt(name, desk.ctx))
    assert (resting.status, resting.type, resting.legs[0].result) == ("ACTIVE", "SINGLE", None)
    assert desk.ask(ADAPTER.gtt_modify(name, gtt(desk, "0.98"), infy, desk.ctx)) == name
    assert desk.ask(ADAPTER.gtt(name, desk.ctx)).legs[0].trigger_price == desk.near("0.98")
    trigger = desk.ask(ADAPTER.gtt(name, desk.ctx)).legs[0].trigger_price
    desk.emulator.venue.set_price("NSE:INFY", trigger)  # type: ignore[attr-defined]
    desk.run(1)
    (fired,) = desk.ask(ADAPTER.gtts(desk.ctx))
    result = fired.legs[0].result
    assert (fired.status, result.status, result.reason) == ("TRIGGERED", "success", None)
    assert desk.book()[result.order_id].status is model.OrderStatus.FILLED
    with pytest.raises(DragomanError, match="triggered already"):
        desk.ask(ADAPTER.gtt_delete(name, desk.ctx))


def test_of_two_legs_the_first_that_fires_ends_the_other(desk: Desk) -> None:
    infy = desk.by_id["NSE:INFY"]
    name = desk.ask(ADAPTER.gtt_place(gtt(desk, "0.96", "1.03", side=Side.SELL, price="0.99"), infy, desk.ctx))
    desk.emulator.venue.set_price("NSE:INFY", desk.near("1.04"))  # type: ignore[attr-defined]
    desk.run(1)
    fired = desk.ask(ADAPTER.gtt(name, desk.ctx))
    assert [leg.result is not None for leg in fired.legs] == [False, True]
    # Triggered, and still no order: delivery is sold that nobody holds.
    assert (fired.legs[1].result.order_id, fired.legs[1].result.status) == (None, "failed")
    assert "Insufficient holdings" in fired.legs[1].result.reason
    desk.emulator.venue.set_price("NSE:INFY", desk.near("0.93"))  # type: ignore[attr-defined]
    desk.run(1)
    assert desk.ask(ADAPTER.gtt(name, desk.ctx)) == fired


def test_a_deleted_gtt_does_not_fire_and_an_unknown_one_is_not_found(desk: Desk) -> None:
    name = desk.ask(ADAPTER.gtt_place(gtt(desk, "0.98"), desk.by_id["NSE:INFY"], desk.ctx))
    assert desk.ask(ADAPTER.gtt_delete(name, desk.ctx)) == name
    desk.emulator.venue.set_price("NSE:INFY", desk.near("0.97"))  # type: ignore[attr-defined]
    desk.run(1)
    assert [one.status for one in desk.ask(ADAPTER.gtts(desk.ctx))] == ["DELETED"]
    assert desk.book() == {}
    desk.now += 8 * 86_400 * SECOND
    desk.login()
    desk.ctx.login["access_token"] = type(desk.ctx.login["access_token"])(desk.token)  # type: ignore[index]
    assert desk.ask(ADAPTER.gtts(desk.ctx)) == []  # shown for a week
    with pytest.raises(DragomanError, match="not found"):
        desk.ask(ADAPTER.gtt("9", desk.ctx))


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "three-leg"},
        {"condition": "{"},
        {"condition": "[]"},
        {"condition": json.dumps({"exchange": "NSE", "tradingsymbol": "INFY", "trigger_values": [1, 2]})},
        {"condition": json.dumps({"exchange": "NSE", "tradingsymbol": "NOSUCH", "trigger_values": [1]})},
        {"orders": "[]"},
        {"orders": "[{}]"},
    ],
)
def test_a_malformed_gtt_is_an_input_exception(desk: Desk, changes: dict[str, str]) -> None:
    condition = {"exchange": "NSE", "tradingsymbol": "INFY", "trigger_values": [1000], "last_price": 1500}
    leg = {
        "exchange": "NSE",
        "tradingsymbol": "INFY",
        "transaction_type": "BUY",
        "quantity": 1,
        "order_type": "LIMIT",
        "product": "CNC",
        "price": 1000,
    }
    form = {"type": "single", "condition": json.dumps(condition), "orders": json.dumps([leg])}
    assert desk("POST", "/gtt/triggers", form)[0] == 200
    assert desk.refused("POST", "/gtt/triggers", form | changes) == (400, "InputException")


# --- orders that become several --------------------------------------------------------------------------------------


def test_an_iceberg_shows_leg_after_leg(desk: Desk) -> None:
    desk.order(variety=Variety.ICEBERG, quantity=D(25), display_quantity=D(10))
    desk.run(3)
    legs = list(desk.book().values())
    assert [leg.quantity for leg in legs] == [10, 10, 5]
    assert {leg.status for leg in legs} == {model.OrderStatus.FILLED}
    assert [leg.raw["meta"]["iceberg"]["remaining_quantity"] for leg in legs] == [15, 5, 0]
    assert {leg.variety for leg in legs} == {Variety.ICEBERG}
    assert all("icebergord" in leg.tags for leg in legs)


def test_a_canceled_leg_ends_the_iceberg(desk: Desk) -> None:
    first = desk.order(
        variety=Variety.ICEBERG,
        quantity=D(25),
        display_quantity=D(10),
        order_type=OrderType.LIMIT,
        price=desk.near("0.95"),
    )
    desk.run(1)
    desk.ask(ADAPTER.cancel(desk.book()[first.order_id], desk.ctx))
    desk.run(1)
    assert [one.status for one in desk.book().values()] == [model.OrderStatus.CANCELED]


def test_a_cover_order_gets_its_stop_once_it_is_filled(desk: Desk) -> None:
    trigger = desk.near("0.97")
    entry = desk.order(variety=Variety.COVER, extras={"zerodha": {"cover_trigger": trigger}})
    desk.run(1)
    first, second = desk.book().values()
    assert (first.order_id, first.status) == (entry.order_id, model.OrderStatus.FILLED)
    assert (second.parent_order_id, second.side, second.trigger_price) == (entry.order_id, Side.SELL, trigger)
    assert (second.status, second.variety) == (model.OrderStatus.TRIGGER_PENDING, Variety.COVER)
    lower = desk.near("0.96")
    change = model.OrderChange(trigger_price=lower)
    desk.ask(ADAPTER.modify(second, change, desk.by_id["NSE:INFY"], desk.ctx))
    desk.run(1)
    assert desk.book()[second.order_id].trigger_price == lower
    desk.ask(ADAPTER.cancel(desk.book()[second.order_id], desk.ctx))
    desk.run(1)
    assert desk.book()[second.order_id].status is model.OrderStatus.CANCELED
    assert len(desk.book()) == 2


def test_a_cover_order_on_the_wrong_side_is_refused(desk: Desk) -> None:
    with pytest.raises(DragomanError, match="trigger_price"):
        desk.order(
            variety=Variety.COVER,
            order_type=OrderType.LIMIT,
            price=desk.near("0.99"),
            extras={"zerodha": {"cover_trigger": desk.near("1.01")}},
        )


def test_an_after_market_order_waits_and_may_be_changed_meanwhile(desk: Desk) -> None:
    placed = desk.order(variety=Variety.AMO, order_type=OrderType.LIMIT, price=desk.near("0.95"))
    waiting = desk.book()[placed.order_id]
    assert (waiting.raw_status, waiting.status) == ("AMO REQ RECEIVED", model.OrderStatus.ACCEPTED)
    price = desk.near("1.01")
    desk.ask(ADAPTER.modify(waiting, model.OrderChange(price=price), desk.by_id["NSE:INFY"], desk.ctx))
    desk.run(1)
    changed = desk.book()[placed.order_id]
    assert (changed.raw_status, changed.price) == ("AMO REQ RECEIVED", price)
    desk.run(4)
    assert desk.book()[placed.order_id].status is model.OrderStatus.FILLED


def test_slices_each_have_a_fate_of_their_own(desk: Desk) -> None:
    instrument = desk.by_id["NSE:INFY"]
    freeze = desk.emulator.venue.listing("NSE:INFY").instrument.freeze_quantity
    price = desk.near("0.95")
    money = desk.ask(ADAPTER.margins(desk.ctx))[0].net
    desk.emulator.venue.pay_in(USER_ID, model.Segment.EQUITY, freeze * price * 2 - money + 5000)  # type: ignore[attr-defined]
    outcome = desk.order(
        quantity=freeze * 3 - 1,
        product=Product.DELIVERY,
        order_type=OrderType.LIMIT,
        price=price,
        extras={"zerodha": {"autoslice": True}},
    )
    assert (outcome.effect, [child.effect for child in outcome.children]) == (
        "PARTIAL",
        ["ACCEPTED", "ACCEPTED", "REJECTED"],
    )
    assert outcome.children[2].reject.kind is ErrorKind.INSUFFICIENT_MARGIN
    desk.run(1)
    assert {one.parent_order_id for one in desk.book().values()} == {outcome.order_id}
    small = desk.order(quantity=D(1), extras={"zerodha": {"autoslice": True}})
    assert (small.effect, small.children) == ("ACCEPTED", ())
    with pytest.raises(DragomanError, match="freeze"):
        desk.ask(ADAPTER.place(limit(quantity=freeze + 1, price=price), instrument, desk.ctx))


def test_slices_of_a_derivative_are_whole_lots(desk: Desk) -> None:
    far = max(
        (item for item in desk.by_id.values() if item.instrument_id.startswith("NFO:NIFTY@") and item.strike),
        key=lambda item: item.strike,
    )
    outcome = desk.order(
        instrument_id=far.instrument_id,
        quantity=far.lot_size * 40,
        product=Product.CARRY,
        order_type=OrderType.LIMIT,
        price=desk.near("0.9", far.instrument_id),
        extras={"zerodha": {"autoslice": True}},
    )
    assert [child.effect for child in outcome.children] == ["ACCEPTED", "ACCEPTED"]
    quantities = [one.quantity for one in desk.book().values()]
    assert sum(quantities) == far.lot_size * 40
    assert all(quantity % far.lot_size == 0 for quantity in quantities)


# --- who may ---------------------------------------------------------------------------------------------------------


def test_orders_and_triggers_come_from_the_registered_address_only() -> None:
    desk = Desk(emulator=make(7, START, allowed_ips=("10.0.0.1",)))
    with pytest.raises(AuthRequired) as refused:
        desk.order()
    assert refused.value.kind is ErrorKind.IP_NOT_ALLOWED
    with pytest.raises(AuthRequired):
        desk.ask(ADAPTER.gtt_place(gtt(desk, "0.95"), desk.by_id["NSE:INFY"], desk.ctx))
    assert desk.ask(ADAPTER.gtts(desk.ctx)) == []
    assert desk.ask(ADAPTER.holdings(desk.ctx))


def test_logout_ends_the_session(desk: Desk) -> None:
    desk.ask(ADAPTER.logout(desk.ctx))
    with pytest.raises(AuthRequired):
        desk.ask(ADAPTER.profile(desk.ctx))


# --- alerts ----------------------------------------------------------------------------------------------------------


def alert(desk: Desk, factor: str, operator: str = ">=", **more: Any) -> model.AlertRequest:
    given: dict[str, Any] = {
        "name": "mine",
        "instrument_id": "NSE:INFY",
        "operator": operator,
        "value": desk.near(factor),
    }
    return model.AlertRequest(**(given | more))


def test_an_alert_fires_when_it_becomes_true_and_again_after_it_was_false(desk: Desk) -> None:
    high, low = alert(desk, "1.05"), alert(desk, "0.95")
    made = desk.ask(ADAPTER.alert_create(high, desk.ctx))
    assert (made.status, made.value, made.count) == (model.AlertStatus.ENABLED, high.value, 0)
    desk.run(1)
    assert desk.ask(ADAPTER.alert_history(made.alert_id, desk.ctx)) == []
    changed = desk.ask(ADAPTER.alert_modify(made.alert_id, low, desk.ctx))
    assert (changed.alert_id, changed.value) == (made.alert_id, low.value)
    desk.run(1)  # the market stays above: it fires once, however often it is looked at
    (event,) = desk.ask(ADAPTER.alert_history(made.alert_id, desk.ctx))
    assert event.condition == f'LastTradedPrice("NSE:INFY") >= {float(low.value or 0)}'
    assert event.last_prices[0][0] == "NSE:INFY"
    assert low.value is not None
    assert event.last_prices[0][1] >= low.value
    (held,) = desk.ask(ADAPTER.alerts(desk.ctx))
    assert (held.count, held.status) == (1, model.AlertStatus.ENABLED)
    assert held == desk.ask(ADAPTER.alerts(desk.ctx, held.alert_id))[0]


def test_an_alert_on_an_index_compares_with_another_instrument(desk: Desk) -> None:
    wanted = alert(
        desk,
        "1",
        "<",
        value=None,
        instrument_id="NSE:INFY",
        attribute="volume",
        other_instrument_id="NSE:NIFTY_50=INDEX",
        other_attribute="high",
    )
    made = desk.ask(ADAPTER.alert_create(wanted, desk.ctx))
    assert (made.attribute, made.other_instrument_id, made.other_attribute) == ("volume", "NSE:NIFTY_50=INDEX", "high")
    assert made.raw["rhs_exchange"] == "INDICES"
    index = alert(desk, "1", ">", instrument_id="NSE:NIFTY_50=INDEX", value=D(1))
    fired = desk.ask(ADAPTER.alert_create(index, desk.ctx))
    desk.run(1)
    (event,) = desk.ask(ADAPTER.alert_history(fired.alert_id, desk.ctx))
    assert event.condition == 'LastTradedPrice("INDICES:NIFTY 50") > 1'


def test_an_alert_that_places_orders_fires_once_and_is_over(desk: Desk) -> None:
    order = limit(quantity=D(2), price=desk.near("1.01"), product=Product.INTRADAY)
    dear = limit(quantity=D(9_000), price=desk.near("1.01"))
    made = desk.ask(ADAPTER.alert_create(alert(desk, "0.95", orders=(order, dear)), desk.ctx))
    assert made.places_orders
    desk.run(1)
    placed = [one for one in desk.book().values() if one.quantity == 2]
    assert [(one.side, one.product, one.status) for one in placed] == [
        (Side.BUY, Product.INTRADAY, model.OrderStatus.FILLED)
    ]
    (event,) = desk.ask(ADAPTER.alert_history(made.alert_id, desk.ctx))
    fates = event.raw["order_meta"]
    assert fates[0] == {"order_id": placed[0].order_id, "error": ""}
    assert (fates[1]["order_id"], "Insufficient funds" in fates[1]["error"]) == ("", True)
    (over,) = desk.ask(ADAPTER.alerts(desk.ctx))
    assert (over.status, over.disabled_reason) == (model.AlertStatus.DISABLED, "the orders were placed")


def test_deleted_alerts_are_gone_all_or_none(desk: Desk) -> None:
    first, second = (desk.ask(ADAPTER.alert_create(alert(desk, "1.05"), desk.ctx)) for _ in range(2))
    with pytest.raises(DragomanError, match="not found"):
        desk.ask(ADAPTER.alert_delete([first.alert_id, "nobody"], desk.ctx))
    assert len(desk.ask(ADAPTER.alerts(desk.ctx))) == 2
    desk.ask(ADAPTER.alert_delete([first.alert_id], desk.ctx))
    assert [one.alert_id for one in desk.ask(ADAPTER.alerts(desk.ctx))] == [second.alert_id]
    for flow in (
        ADAPTER.alerts(desk.ctx, first.alert_id),
        ADAPTER.alert_history(first.alert_id, desk.ctx),
        ADAPTER.alert_modify(first.alert_id, alert(desk, "1"), desk.ctx),
    ):
        with pytest.raises(DragomanError, match="not found"):
            desk.ask(flow)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("type", "loud"),
        ("operator", "!="),
        ("lhs_tradingsymbol", "NOSUCH"),
        ("lhs_attribute", "Mood"),
        ("lhs_exchange", "INDICES"),
        ("rhs_type", "opinion"),
        ("rhs_constant", "dear"),
        ("name", ""),
    ],
)
def test_an_alert_with_a_wrong_field_is_refused_by_its_name(desk: Desk, field: str, value: str) -> None:
    form = {
        "name": "n",
        "type": "simple",
        "lhs_exchange": "NSE",
        "lhs_tradingsymbol": "INFY",
        "lhs_attribute": "LastTradedPrice",
        "operator": ">=",
        "rhs_type": "constant",
        "rhs_constant": "1500",
    }
    assert desk("POST", "/alerts", form)[0] == 200
    status, body = desk("POST", "/alerts", form | {field: value})
    assert (status, body["error_type"]) == (400, "InputException")
    assert f"`{'lhs_tradingsymbol' if field == 'lhs_exchange' else field}`" in body["message"]
    assert desk("POST", "/alerts", form | {"type": "ato", "basket": '{"items": []}'})[0] == 400
    assert desk("DELETE", "/alerts")[0] == 400


def test_the_algo_id_of_an_order_reaches_the_broker(desk: Desk) -> None:
    tagged, plain = desk.order(algo_id="A-77"), desk.order()
    kept = {state.order_id: state.order.extra["algo_id"] for state in desk.emulator.venue.orders(USER_ID)}
    assert kept == {tagged.order_id: "A-77", plain.order_id: None}


# --- margin funding --------------------------------------------------------------------------------------------------


def test_shares_bought_on_margin_funding_are_a_position_today_and_a_holding_tomorrow(desk: Desk) -> None:
    desk.order(quantity=D(10), product=Product.MTF)
    desk.run(1)
    (position,) = desk.ask(ADAPTER.positions(desk.ctx))
    assert (position.product, position.quantity, position.raw["product"]) == (Product.MTF, 10, "MTF")
    with pytest.raises(DragomanError, match="Insufficient margin-funded holdings"):
        desk.order(side=Side.SELL, quantity=D(11), product=Product.MTF)
    price = position.average_price
    assert [one.instrument_id for one in desk.ask(ADAPTER.holdings(desk.ctx))] == ["NSE:SBIN"]
    venue: Any = desk.emulator.venue
    venue.roll_day(desk.now)
    desk.order(side=Side.SELL, quantity=D(4), product=Product.MTF)
    desk.run(1)
    _, held = desk.ask(ADAPTER.holdings(desk.ctx))
    assert (held.instrument_id, held.quantity) == ("NSE:INFY", 0)
    assert held.mtf is not None
    assert (held.mtf.quantity, held.mtf.used_quantity) == (10, 4)
    assert held.mtf.average_price == pytest.approx(price)
    assert held.mtf.initial_margin == pytest.approx(price * 10 * D("0.30"))
    assert desk.emulator.ledger()["problems"] == []


def test_the_summary_adds_up_what_the_holdings_say(desk: Desk) -> None:
    venue: Any = desk.emulator.venue
    venue.set_holding(USER_ID, "NSE:INFY", D(10), D(1400))
    total, held = desk.ask(ADAPTER.holdings_summary(desk.ctx)), venue.holdings(USER_ID)
    markets = [venue.market(one.instrument_id) for one in held]
    assert total.invested == sum(one.quantity * one.average_price for one in held) == 94_000
    assert total.pnl == total.current_value - total.invested
    now = sum(one.quantity * market.last_price for one, market in zip(held, markets, strict=True))
    before = sum(one.quantity * market.close for one, market in zip(held, markets, strict=True))
    assert float(total.day_change_percent) == pytest.approx(float((now - before) / before * 100), abs=0.05)
    assert float(total.pnl_percent) == pytest.approx(float(total.pnl / total.invested * 100))


# --- stops on the wrong side -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "right", "wrong"), [(Side.BUY, "1.02", "0.98"), (Side.SELL, "0.98", "1.02")])
def test_a_stop_on_the_wrong_side_of_the_market_is_refused(desk: Desk, side: Side, right: str, wrong: str) -> None:
    stop: dict[str, Any] = {"side": side, "order_type": OrderType.STOP_MARKET}
    with pytest.raises(DragomanError, match=f"Trigger price for stoploss {side.lower()} orders"):
        desk.order(**stop, trigger_price=desk.near(wrong))
    order_id = desk.order(**stop, trigger_price=desk.near(right)).order_id
    desk.run(1)
    held = desk.book()[order_id]
    assert held.status is model.OrderStatus.TRIGGER_PENDING
    change = model.OrderChange(trigger_price=desk.near(wrong))
    with pytest.raises(DragomanError, match="Trigger price"):
        desk.ask(ADAPTER.modify(held, change, desk.by_id["NSE:INFY"], desk.ctx))
    assert len(desk.book()) == 1


# --- postbacks -------------------------------------------------------------------------------------------------------


def test_postbacks_tell_the_ends_and_changes_of_orders_with_a_checksum_the_adapter_proves() -> None:
    desk = Desk(emulator=make(7, START, postback_url="http://127.0.0.1:5555/kite?x=1"))
    filled = desk.order(quantity=D(3)).order_id
    resting = desk.order(order_type=OrderType.LIMIT, price=desk.near("0.95"), quantity=D(5)).order_id
    desk.run(1)
    held = desk.book()[resting]
    desk.ask(ADAPTER.modify(held, model.OrderChange(quantity=D(4)), desk.by_id["NSE:INFY"], desk.ctx))
    desk.run(1)
    desk.ask(ADAPTER.cancel(held, desk.ctx))
    desk.run(1)
    posts = desk.emulator.posts()
    assert {post.url for post in posts} == {"http://127.0.0.1:5555/kite?x=1"}
    told = [ADAPTER.postback(post.body, desk.ctx) for post in posts]
    assert [one.raw_status for one in told if one.order_id == filled][-1] == "COMPLETE"
    assert [one.raw_status for one in told if one.order_id == resting] == ["UPDATE", "CANCELLED"]
    last = json.loads(posts[-1].body)
    assert (last["unfilled_quantity"], last["app_id"], last["user_id"]) == (4, 1234, USER_ID)
    assert desk.emulator.posts() == []
    forged = posts[-1].body.replace(b'"order_id": "', b'"order_id": "9')
    with pytest.raises(DragomanError, match="checksum"):
        ADAPTER.postback(forged, desk.ctx)


def test_without_a_url_nothing_is_posted_and_no_other_host_is_reached(desk: Desk) -> None:
    desk.order()
    desk.run(1)
    assert desk.emulator.posts() == []
    for url in ("https://127.0.0.1/", "http://example.com/", "http://localhost/", "nonsense"):
        with pytest.raises(DragomanError, match="loopback"):
            make(7, START, postback_url=url)


def test_the_full_profile_has_what_the_short_one_leaves_out(desk: Desk) -> None:
    short, full = (desk("GET", path)[1]["data"] for path in ("/user/profile", "/user/profile/full"))
    assert {"bank_accounts", "dp_ids", "pan", "twofa_type"} <= set(full) - set(short)
    assert full["user_id"] == short["user_id"] == USER_ID


def test_mutual_funds_are_refused_with_their_reason(desk: Desk) -> None:
    status, body = desk("GET", "/mf/orders")
    assert (status, body["error_type"], "permission" in body["message"]) == (403, "PermissionException", True)
