"""Changes of Alpaca orders while they fill, readings of what the lists leave out, and replies that prove nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from dragoman.adapters.alpaca import adapter as alpaca

from dragoman.emulator.contract import HttpAnswer
from dragoman.emulator.forms import Form
from dragoman.errors import Effect, ErrorKind, OutcomeUnknown, Rejected, UsageError
from dragoman.model import OrderStatus, Pending
from wire.alpaca_world import AAPL, play

S = OrderStatus
JSON = (("Content-Type", "application/json"),)


def venue_order(w):
    (only,) = w.venue.orders(w.emulator.account)
    return only.status, only.order.quantity, only.filled_quantity


async def on_top(w, quantity=100):
    """Place the best bid, which the next seller meets first."""
    price = w.venue.market(AAPL).bids[0][0] + Decimal("0.01")
    order = await w.client.place(AAPL, "BUY", quantity, order_type="LIMIT", price=price)
    order = await w.client.wait_order(order, lambda one: one.status is S.OPEN)
    await w.runtime.sleep(0.1)
    return order


def deaf(w):
    """Hold back every frame until the returned function is called."""
    frames, held, hearing = w.emulator.frames, [], []

    def due(now_ns):
        held.extend(frames(now_ns))
        if not hearing:
            return ()
        told, held[:] = list(held), []
        return told

    w.emulator.frames = due
    return lambda: hearing.append(True)


def answering(w, method, *answers):
    """Answer the next calls of a method; None lets the emulator answer."""
    handle, left = w.emulator.handle, list(answers)

    def handled(call, now_ns):
        if call.method != method or not left:
            return handle(call, now_ns)
        answer = left.pop(0)
        return handle(call, now_ns) if answer is None else answer

    w.emulator.handle = handled


@pytest.mark.parametrize(("change", "total"), [({}, 100), ({"quantity": 120}, 120), ({"quantity": 60}, 60)])
def test_what_fills_while_a_change_is_on_its_way_is_not_bought_once_more(change, total):
    async def scenario(w):
        order = await on_top(w)
        hear = deaf(w)
        w.sell_into(order.price, 40)
        await w.client.modify(order, price=w.price(-5), **change)
        await w.runtime.sleep(1)
        assert venue_order(w) == (S.PARTIALLY_FILLED, total, 40)
        hear()
        found = await w.client.wait_order(order, lambda one: (one.quantity, one.price) == (total, w.price(-5)))
        assert (found.status, found.filled_quantity, found.remaining_quantity) == (S.PARTIALLY_FILLED, 40, total - 40)
        await w.client.orders()
        assert w.client.order(order.client_order_id).quantity == total
        assert len(w.store) == 1

    play(scenario)


def test_an_order_that_filled_to_its_new_quantity_meanwhile_is_ended():
    async def scenario(w):
        order = await on_top(w)
        hear = deaf(w)
        w.sell_into(order.price, 40)
        await w.client.modify(order, quantity=40, price=w.price(-5))
        hear()
        ended = await w.client.wait_order(order)
        assert (ended.status, ended.filled_quantity) == (S.CANCELED, 40)
        assert venue_order(w)[2] == 40

    play(scenario)


def test_a_change_too_large_that_cannot_be_corrected_is_told():
    async def scenario(w):
        order = await on_top(w)
        deaf(w)
        w.sell_into(order.price, 40)
        refusal = json.dumps({"code": 42210000, "message": "cannot replace order"}).encode()
        answering(w, "PATCH", None, HttpAnswer(422, JSON, refusal))
        with pytest.raises(Rejected, match="too large by the 40 that filled meanwhile") as caught:
            await w.client.modify(order, price=w.price(-5))
        assert caught.value.effect is Effect.APPLIED
        await w.client.orders()
        found = w.client.order(order.client_order_id)
        assert (found.quantity, found.filled_quantity, found.order_ids[0]) == (140, 40, order.order_id)

    play(scenario)


def test_a_quantity_that_is_filled_already_is_refused_with_nothing_changed():
    async def scenario(w):
        order = await on_top(w)
        w.sell_into(order.price, 40)
        part = await w.client.wait_order(order, lambda one: one.filled_quantity == 40)
        with pytest.raises(UsageError, match="already filled"):
            await w.client.modify(part, quantity=40)
        assert venue_order(w) == (S.PARTIALLY_FILLED, 100, 40)

    play(scenario)


def test_the_emulated_broker_takes_the_first_quantity_once_more():
    async def scenario(w):
        order = await on_top(w)
        w.sell_into(order.price, 40)
        await w.client.wait_order(order, lambda one: one.filled_quantity == 40)
        row = w.emulator.orders.replace(
            Form({"limit_price": str(w.price(-5))}), w.runtime.clock.wall_ns(), order.order_id
        )
        assert row["qty"] == "100"
        await w.until(lambda: venue_order(w)[1] == 140)

    play(scenario)


def test_an_order_of_an_earlier_day_that_ended_unheard_is_asked_for(monkeypatch):
    async def scenario(w):
        orders = [await w.rest(10, time_in_force="GTC") for _ in range(2)]
        await w.runtime.sleep(5)
        cut = datetime.fromtimestamp(w.runtime.clock.wall_ns() / 1e9, UTC)
        monkeypatch.setattr(alpaca, "day_start", lambda now_ns, zone: cut)  # both were placed before today
        deaf(w)
        await w.client._reconciler.close()  # or it would find them before they are asked for
        gone, changed = (w.emulator.orders.get(one.order_id) for one in orders)
        w.emulator.orders.withdraw(gone, w.runtime.clock.wall_ns())
        w.emulator.orders.replace(
            Form({"limit_price": str(w.price(-5))}), w.runtime.clock.wall_ns(), changed.link.order_id
        )
        await w.runtime.sleep(2)
        w.emulator.orders.withdraw(changed, w.runtime.clock.wall_ns())
        await w.runtime.sleep(2)
        assert [w.client.order(one.client_order_id).status for one in orders] == [S.OPEN, S.OPEN]
        await w.client.orders()
        assert [w.client.order(one.client_order_id).status for one in orders] == [S.CANCELED, S.CANCELED]
        assert not w.client.orders_service.stale

    play(scenario)


def test_an_order_nobody_knows_any_more_does_not_spoil_the_reading():
    async def scenario(w):
        order = await w.rest(10)
        w.store.see(order.but(order_id="gone", order_ids=("gone",), tag=None, tags=()), "poll")
        assert {one.order_id for one in await w.client.orders()} == {"gone", order.order_id}

    play(scenario)


@pytest.mark.parametrize("body", [b"<html>login</html>", b'{"code":42210000,"message":"x"}', b"", b"{}"])
def test_a_cancel_is_taken_only_where_the_broker_says_so_without_a_word(body):
    async def scenario(w):
        order = await w.rest(10)
        deaf(w)
        answering(w, "DELETE", HttpAnswer(200, JSON, body))
        with pytest.raises(OutcomeUnknown):
            await w.client.cancel(order)
        assert w.client.order(order.client_order_id).pending is Pending.CANCEL

    play(scenario)


@pytest.mark.parametrize("status", [200, 400, 403, 404, 422, 429, 499, 500, 502, 503, 504])
def test_an_order_behind_a_page_is_never_taken_for_refused(status):
    async def scenario(w):
        deaf(w)
        handle = w.emulator.handle

        def handled(call, now_ns):
            told = handle(call, now_ns)
            page = HttpAnswer(status, (("Content-Type", "text/html"),), b"<html>insufficient buying power</html>")
            return page if call.method == "POST" else told

        w.emulator.handle = handled
        with pytest.raises(OutcomeUnknown) as caught:
            await w.client.place(
                AAPL, "BUY", 10, order_type="LIMIT", price=w.price(-3), client_order_id="mine", allow_stale=True
            )
        assert caught.value.kind in (ErrorKind.BAD_RESPONSE, ErrorKind.SERVER_5XX)
        assert w.client.order("mine").status is S.UNKNOWN
        w.emulator.handle = handle
        await w.runtime.sleep(61)  # a 429 closes the meter for its minute
        await w.client.orders(timeout_s=120)
        assert w.client.order("mine").status is S.OPEN

    play(scenario)


def test_a_stop_limit_may_lie_on_either_side_of_its_trigger():
    async def scenario(w):
        order = await w.client.place(
            AAPL, "BUY", 10, order_type="STOP_LIMIT", trigger_price=w.price(3), price=w.price(-1)
        )
        await w.client.wait_order(order, lambda one: one.status is S.TRIGGER_PENDING)

    play(scenario)
