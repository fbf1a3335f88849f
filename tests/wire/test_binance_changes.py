"""Changes of Binance orders at the emulator: what a replacement keeps, what it is refused, and what is not known."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from dragoman.emulator.contract import HttpAnswer
from dragoman.errors import Effect, ErrorKind, OutcomeUnknown, Rejected, UsageError
from dragoman.model import OrderType, Pending, TimeInForce
from wire.binance_world import PAIR, PERP, S, play

JSON = (("Content-Type", "application/json"),)


def venue_orders(here):
    return here.venue.orders(here.emulator.account)


def answering(here, path, answer):
    """Let the venue act on calls of a path, and answer something else."""
    handle = here.emulator.handle

    def handled(call, now_ns):
        told = handle(call, now_ns)
        return answer if call.path.endswith(path) and call.method != "GET" else told

    here.emulator.handle = handled


def deaf(here):
    """Hold back every frame until the returned function is called."""
    frames, held, open_ = here.emulator.frames, [], []

    def due(now_ns):
        held.extend(frames(now_ns))
        if not open_:
            return ()
        told, held[:] = list(held), []
        return told

    here.emulator.frames = due
    return lambda: open_.append(True)


def test_a_change_before_any_report_keeps_the_order_post_only_and_its_prevention():
    async def scenario(here):
        hear = deaf(here)
        order = await here.client.place(
            PAIR,
            "BUY",
            "0.1",
            order_type="LIMIT",
            price=here.price(-1),
            post_only=True,
            self_trade_prevention="EXPIRE_BOTH",
        )
        assert order.raw is None
        await here.client.modify(order, price=here.price(-2))
        first, second = venue_orders(here)
        assert (first.status, second.status) == (S.CANCELED, S.OPEN)
        assert second.order.post_only
        assert second.order.extra["prevention"] == "EXPIRE_BOTH"
        hear()
        moved = await here.client.wait_order(order, lambda one: one.pending is Pending.NONE, timeout_s=10)
        assert (moved.status, moved.price) == (S.OPEN, here.price(-2))
        again = await here.client.modify(moved, price=here.price(-3))
        await here.until(again, S.OPEN)
        last = venue_orders(here)[-1]
        assert (last.order.post_only, last.order.extra["prevention"]) == (True, "EXPIRE_BOTH")

    play(scenario)


@pytest.mark.parametrize(
    "change",
    [{"order_type": "MARKET"}, {"time_in_force": "IOC"}, {"order_type": "STOP_LIMIT", "trigger_price": 1}],
)
def test_a_change_that_would_lose_post_only_is_refused_with_nothing_changed(change):
    async def scenario(here):
        order = await here.rest(post_only=True)
        if "trigger_price" in change:
            change["trigger_price"] = here.price(2)
        with pytest.raises(UsageError, match="post_only"):
            await here.client.modify(order, **change)
        assert [one.status for one in venue_orders(here)] == [S.OPEN]

    play(scenario)


def test_a_fill_on_the_way_of_a_change_leaves_the_order_as_it_is():
    async def scenario(here):
        order = await here.rest(quantity="1")
        hear = deaf(here)
        here.venue.set_price(PAIR, order.price, quantity=Decimal("0.4"))
        with pytest.raises(Rejected, match="cancel restrictions") as caught:
            await here.client.modify(order, price=here.price(-4))
        assert (caught.value.effect, caught.value.kind) == (Effect.NONE, ErrorKind.TOO_LATE_TO_MODIFY_OR_CANCEL)
        hear()
        part = await here.until(order, S.PARTIALLY_FILLED)
        assert (part.quantity, part.filled_quantity, part.remaining_quantity) == (
            Decimal(1),
            Decimal("0.4"),
            Decimal("0.6"),
        )
        assert [(one.status, one.filled_quantity) for one in venue_orders(here)] == [
            (S.PARTIALLY_FILLED, Decimal("0.4"))
        ]

    play(scenario)


def test_a_stop_limit_that_has_triggered_is_replaced_by_the_limit_order_it_is():
    async def scenario(here):
        order = await here.client.place(
            PAIR, "BUY", "0.1", order_type="STOP_LIMIT", trigger_price=here.price(2), price=here.price(-1)
        )
        await here.until(order, S.TRIGGER_PENDING)
        waiting = await here.client.modify(order, price=here.price(-2))
        waiting = await here.client.wait_order(waiting, lambda one: one.pending is Pending.NONE, timeout_s=10)
        assert (waiting.status, waiting.order_type) == (S.TRIGGER_PENDING, OrderType.STOP_LIMIT)
        here.venue.set_price(PAIR, here.price(3))
        live = await here.until(waiting, S.OPEN)
        with pytest.raises(UsageError, match="has triggered"):
            await here.client.modify(live, trigger_price=here.price(5))
        moved = await here.client.modify(live, price=live.price - here.venue.listing(PAIR).instrument.tick_size)
        moved = await here.client.wait_order(moved, lambda one: one.pending is Pending.NONE, timeout_s=10)
        assert (moved.status, moved.order_type) == (S.OPEN, OrderType.LIMIT)
        assert [one.status for one in venue_orders(here)] == [S.CANCELED, S.CANCELED, S.OPEN]

    play(scenario)


def test_a_change_below_the_least_worth_is_refused_before_the_order_is_canceled():
    async def scenario(here):
        order = await here.rest()
        with pytest.raises(UsageError, match="worth less than"):
            await here.client.modify(order, price=here.price(-4), quantity="0.00004")
        assert [one.status for one in venue_orders(here)] == [S.OPEN]

    play(scenario)


def test_a_time_in_force_nobody_here_knows_is_not_repeated_and_not_replaced():
    async def scenario(here):
        order = await here.rest()
        store = here.client.orders_service.store
        store._orders[order.client_order_id] = store.get(order.client_order_id).but(time_in_force=TimeInForce.UNKNOWN)
        with pytest.raises(UsageError, match="time in force that is not known"):
            await here.client.modify(order.client_order_id, price=here.price(-4))
        assert [one.status for one in venue_orders(here)] == [S.OPEN]

    play(scenario)


HALVES = {
    "the new half is not known": (
        409,
        -2021,
        {
            "cancelResult": "SUCCESS",
            "newOrderResult": "FAILURE",
            "cancelResponse": {},
            "newOrderResponse": {"code": -1007, "msg": "Timeout waiting for response from backend server."},
        },
    ),
    "the cancel is not known": (
        400,
        -2022,
        {
            "cancelResult": "FAILURE",
            "newOrderResult": "NOT_ATTEMPTED",
            "cancelResponse": {"code": -1006, "msg": "An unexpected response was received from the message bus."},
            "newOrderResponse": None,
        },
    ),
    "the halves are missing": (409, -2021, None),
    "the halves say something else": (
        409,
        -2021,
        {
            "cancelResult": "FAILURE",
            "newOrderResult": "SUCCESS",
            "cancelResponse": {"code": -2011, "msg": "Unknown order sent."},
            "newOrderResponse": {"symbol": "BTCUSDT", "orderId": 99},
        },
    ),
    "a number nobody knows": (
        400,
        -2022,
        {
            "cancelResult": "FAILURE",
            "newOrderResult": "NOT_ATTEMPTED",
            "cancelResponse": {"code": -9999, "msg": "New."},
            "newOrderResponse": None,
        },
    ),
}


@pytest.mark.parametrize("case", HALVES)
def test_a_replacement_of_which_a_half_is_not_proven_is_an_unknown_outcome_that_reading_settles(case):
    status, code, data = HALVES[case]
    body = {"code": code, "msg": "Order cancel-replace failed."} | ({} if data is None else {"data": data})

    async def scenario(here):
        order = await here.rest()
        hear = deaf(here)
        answering(here, "/cancelReplace", HttpAnswer(status, JSON, json.dumps(body).encode()))
        with pytest.raises(OutcomeUnknown, match="never send it again"):
            await here.client.modify(order, price=here.price(-4))
        doubtful = here.client.order(order.client_order_id)
        assert (doubtful.status, doubtful.pending) == (S.OPEN, Pending.MODIFY)
        await here.client.orders()
        found = here.client.order(order.client_order_id)
        assert (found.status, found.price) == (S.OPEN, here.price(-4))
        assert found.order_ids == (order.order_id, found.order_id)
        hear()
        await here.runtime.sleep(1)
        after = here.client.order(order.client_order_id)
        assert (after.status, after.order_id) == (S.OPEN, found.order_id)
        assert here.client.orders_service.store.counters["external"] == 0

    play(scenario)


def test_a_replacement_that_filled_before_it_was_found_is_the_same_order():
    async def scenario(here):
        order = await here.rest()
        deaf(here)
        answering(here, "/cancelReplace", HttpAnswer(502, (("Content-Type", "text/html"),), b"<html>"))
        with pytest.raises(OutcomeUnknown):
            await here.client.modify(order, price=here.price(-2))
        here.venue.set_price(PAIR, here.price(-2), quantity=Decimal("0.1"))
        await here.client.orders()
        done = here.client.order(order.client_order_id)
        assert (done.status, done.filled_quantity, done.order_ids[0]) == (S.FILLED, Decimal("0.1"), order.order_id)
        assert here.client.orders_service.store.counters["id_conflicts"] == 0

    play(scenario)


BODIES = [b'{"code":-2011,"msg":"Unknown order sent."}', b"[]", b'"ok"', b"{}", b"1", b"null"]


@pytest.mark.parametrize("instrument", [PAIR, PERP])
@pytest.mark.parametrize("body", BODIES)
def test_a_cancel_is_taken_only_where_the_reply_names_the_order(instrument, body):
    async def scenario(here):
        order = await here.rest(instrument)
        deaf(here)
        answering(here, "/order", HttpAnswer(200, JSON, body))
        with pytest.raises(OutcomeUnknown):
            await here.client.cancel(order)
        assert here.client.order(order.client_order_id).pending is Pending.CANCEL

    play(scenario)


@pytest.mark.parametrize("body", [*BODIES, b'{"algoId":1,"code":"200"}', b'{"algoId":"$","code":"500"}'])
def test_a_cancel_of_a_conditional_order_wants_its_own_number_and_code(body):
    async def scenario(here):
        order = await here.client.place(PERP, "BUY", "0.1", order_type="STOP_MARKET", trigger_price=here.price(3, PERP))
        await here.until(order, S.TRIGGER_PENDING)
        deaf(here)
        told = body.replace(b'"$"', order.order_id.rpartition(":")[2].encode())
        answering(here, "/algoOrder", HttpAnswer(200, JSON, told))
        with pytest.raises(OutcomeUnknown):
            await here.client.cancel(order)

    play(scenario)


PAGE = b"<html>\r\n<head><title>503 Service Unavailable</title></head>\r\n<body>503 Service Unavailable</body></html>"


@pytest.mark.parametrize("instrument", [PAIR, PERP])
@pytest.mark.parametrize("status", [500, 502, 503, 504, 403, 499])
def test_an_order_behind_a_page_is_never_taken_for_refused(instrument, status):
    async def scenario(here):
        deaf(here)
        seen = []
        here.client.on_order(lambda update: seen.append(update.order.status))
        answering(here, "/order", HttpAnswer(status, (("Content-Type", "text/html"),), PAGE))
        with pytest.raises(OutcomeUnknown):
            await here.client.place(
                instrument, "BUY", "0.1", order_type="LIMIT", price=here.price(-3, instrument), client_order_id="mine"
            )
        assert here.client.order("mine").status is S.UNKNOWN
        await here.client.orders()
        assert here.client.order("mine").status is S.OPEN
        assert S.REJECTED not in seen

    play(scenario)


def test_orders_good_till_a_date_end_at_it():
    async def scenario(here):
        until = here.runtime.clock.wall_ns() + 700 * 10**9
        order = await here.rest(PERP, time_in_force="GTD", expire_time_ns=until)
        assert venue_orders(here)[0].order.extra["until"] == until // 10**9 * 1000
        assert order.time_in_force is TimeInForce.GTD
        await here.runtime.sleep(690)
        assert here.client.order(order.client_order_id).status is S.OPEN
        await here.runtime.sleep(15)
        assert here.client.order(order.client_order_id).status is S.EXPIRED

    play(scenario)


@pytest.mark.parametrize("terms", [{"time_in_force": "GTD"}, {"self_trade_prevention": "EXPIRE_TAKER"}])
def test_a_conditional_order_does_not_lose_what_its_service_does_not_take(terms):
    async def scenario(here):
        if "time_in_force" in terms:
            terms["expire_time_ns"] = here.runtime.clock.wall_ns() + 3600 * 10**9
        with pytest.raises(UsageError, match="conditional orders takes no"):
            await here.client.place(
                PERP,
                "BUY",
                "0.1",
                order_type="STOP_LIMIT",
                trigger_price=here.price(3, PERP),
                price=here.price(4, PERP),
                **terms,
            )

    play(scenario)
