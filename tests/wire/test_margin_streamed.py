"""Margins that the broker pushes: taken as readings are, before anything is asked."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from dragoman.model import Margin, MarginAlert, MarginAvailable, MarginUsed, Segment, Side, Source
from dragoman.model import OrderStatus as S
from dragoman.plugin import MarginSeen
from wire.binance_world import PAIR, PERP, play

D = Decimal


def funds(here, segment=Segment.ALL):
    return here.venue.funds(here.emulator.account)[segment]


def polls(here) -> int:
    return here.client.margin.counters()["polls"]


async def filled(here, instrument=PAIR, side="BUY", quantity="0.1"):
    """Trade at the last price with somebody who takes the other side."""
    price = here.price(0, instrument)
    order = await here.client.place(instrument, side, quantity, order_type="LIMIT", price=price)
    here.venue.place_external(instrument, Side.SELL if side == "BUY" else Side.BUY, D(quantity), price)
    await here.until(order, S.FILLED)


def test_a_fill_changes_the_streamed_margin_before_any_reading():
    async def scenario(here):
        before = (await here.client.margin.ready())[Segment.ALL]
        assert before.source is Source.POLLED
        asked = polls(here)
        await filled(here)
        await here.runtime.sleep(0.35)
        now = here.client.margin.now()[Segment.ALL]
        assert polls(here) == asked
        assert (now.source, now.net, now.error_bound) == (Source.STREAMED, funds(here).net, 0)
        assert now.net < before.net
        assert now.ts_polled > before.ts_polled
        assert here.client.margin.counters()["bound_broken"] == 0
        assert [event for event in here.events if isinstance(event, MarginAlert)] == []

    play(scenario)


def test_an_order_that_blocks_money_is_streamed_and_its_end_as_well():
    async def scenario(here):
        await here.client.margin.ready()
        order = await here.rest()
        await here.runtime.sleep(0.35)
        now = here.client.margin.now()[Segment.ALL]
        assert (now.source, now.blocked) == (Source.STREAMED, funds(here).blocked)
        assert now.blocked > 0
        await here.client.cancel(order)
        await here.until(order, S.CANCELED)
        await here.runtime.sleep(0.35)
        now = here.client.margin.now()[Segment.ALL]
        assert (now.source, now.blocked, now.net) == (Source.STREAMED, 0, funds(here).net)

    play(scenario)


def test_what_a_push_leaves_out_stays_as_it_was_projected():
    async def scenario(here):
        await here.client.margin.ready()
        await filled(here, PERP)
        await filled(here, PERP, "SELL")
        await here.runtime.sleep(0.35)
        now = here.client.margin.now()[Segment.FO]
        venue = funds(here, Segment.FO)
        assert venue.fees > 0
        # The wallet was told, commissions taken out of it.
        assert now.available.live_balance == venue.opening + venue.payin + venue.realised - venue.fees
        assert now.net is not None
        assert abs(now.net - venue.net) <= now.error_bound

    play(scenario)


def test_money_that_came_in_by_a_push_is_no_leap_at_the_next_reading():
    async def scenario(here):
        before = (await here.client.margin.ready())[Segment.FO]
        here.venue.pay_in(here.emulator.account, Segment.FO, D(500))
        wallet = MarginAvailable(live_balance=before.available.live_balance + 500)
        told = Margin(segment=Segment.FO, net=None, available=wallet, ts_event=before.ts_event + 1)
        here.client.margin.on_push(MarginSeen(told, paid=D(500)))
        await here.runtime.sleep(0.35)
        now = here.client.margin.now()[Segment.FO]
        assert (now.source, now.net, now.available.live_balance) == (
            Source.STREAMED,
            before.net + 500,
            wallet.live_balance,
        )
        assert polls(here) == 1
        await here.runtime.sleep(70)
        assert polls(here) > 1
        assert here.client.margin.now()[Segment.FO].net == before.net + 500
        counters = here.client.margin.counters()
        assert (counters["doubted"], counters["bound_broken"]) == (0, 0)

    play(scenario)


def test_a_push_that_cannot_be_true_is_doubted_as_a_reading_is():
    async def scenario(here):
        before = (await here.client.margin.ready())[Segment.ALL]
        wrong = replace(before, net=before.net * 9, used=MarginUsed(total=D(-1)), ts_event=before.ts_event + 1)
        here.client.margin.on_push(MarginSeen(wrong))
        await here.runtime.sleep(0.35)
        now = here.client.margin.now()[Segment.ALL]
        assert (now.net, now.stale) == (before.net, True)
        assert [event.code for event in here.events if isinstance(event, MarginAlert)] == ["DOUBTFUL", "STALE"]

    play(scenario)


def test_a_push_older_than_the_last_reading_is_passed_over():
    async def scenario(here):
        before = (await here.client.margin.ready())[Segment.ALL]
        late = replace(before, net=before.net - 1, ts_event=before.ts_event - 1)
        here.client.margin.on_push(MarginSeen(late))
        await here.runtime.sleep(0.35)
        assert here.client.margin.now()[Segment.ALL].net == before.net
        assert here.client.margin.counters()["passed_over"] == 1

    play(scenario)


def test_nobody_wants_a_push_before_margins_are_asked_for():
    async def scenario(here):
        await here.rest()
        await here.runtime.sleep(1)
        assert here.client.margin.counters()["pushes"] == 0
        assert polls(here) == 0

    play(scenario)
