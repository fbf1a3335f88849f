"""Exits at a spot market that takes its commission out of the coin bought: what can be sold is sold, and no more."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from dragoman._core import intern_instrument
from dragoman.errors import ErrorKind
from dragoman.model import Adjustment, AdjustmentKind, KillEvent, Product
from dragoman.model.rules import RuleStatus
from dragoman.rules import Bracket, Level, StopLoss
from wire.binance_world import PAIR, S, play

D = Decimal
KEY = (PAIR, Product.CASH, "NET")
DUST = D("0.00000766")
"""What a commission of 0.001 leaves of 0.01234 coins below the lot of 0.00001."""


async def bought(here, quantity="0.01234"):
    order = await here.client.place(PAIR, "BUY", quantity)
    await here.until(order, S.FILLED)
    return here.client.portfolio.live


async def wallet(here):
    return {one.asset: one.total for one in await here.client.balances()}["BTC"]


def sent(here):
    """The venue's sell orders, as (quantity, filled)."""
    orders = here.venue.orders(here.emulator.account)
    return [(one.order.quantity, one.filled_quantity) for one in orders if one.order.side == "SELL"]


def test_an_exit_of_all_sells_what_the_commission_left_in_one_order():
    async def scenario(here):
        live = await bought(here, "1")
        report = await here.client.rules.exits.reduce(KEY, None, "test", name="all")
        assert (report.failed, report.filled, report.reason) == (False, D("0.999"), "done")
        assert sent(here) == [(D("0.999"), D("0.999"))]
        assert (live.quantity(KEY), await wallet(here)) == (0, 2)

    play(scenario)


def test_an_exit_leaves_what_is_less_than_a_lot_names_it_and_is_done():
    async def scenario(here):
        live = await bought(here)
        report = await here.client.rules.exits.reduce(KEY, None, "test", name="all")
        assert (report.failed, report.filled) == (False, D("0.01232"))
        assert report.reason == f"done but for dust: what is left, {DUST}, is less than a lot of 0.00001"
        assert sent(here) == [(D("0.01232"), D("0.01232"))]
        assert live.quantity(KEY) == DUST == await wallet(here) - 2
        again = await here.client.rules.exits.reduce(KEY, None, "test", name="dust")
        assert (again.failed, again.filled, len(sent(here))) == (False, 0, 1)
        assert f"dust: what is left, {DUST}" in again.reason

    play(scenario)


@pytest.mark.logs("the exit fails, or is refused, as it should")
def test_an_exit_of_less_than_a_lot_of_a_larger_position_is_no_dust():
    async def scenario(here):
        await bought(here)
        report = await here.client.rules.exits.reduce(KEY, D("0.000005"), "test", name="little")
        assert (report.failed, report.filled, sent(here)) == (True, 0, [])

    play(scenario)


def test_a_stop_of_what_was_ordered_is_refused_for_more_than_is_held_and_one_of_all_is_done():
    async def scenario(here):
        live = await bought(here)
        beyond = here.price(10)
        with pytest.raises(Exception, match=f"the position is {live.quantity(KEY)}") as refused:
            await here.client.rules.add(
                StopLoss(instrument_id=PAIR, product="CASH", quantity=D("0.01234"), price=beyond)
            )
        assert refused.value.kind is ErrorKind.INVALID_QUANTITY
        state = await here.client.rules.add(StopLoss(instrument_id=PAIR, product="CASH", price=beyond))
        async with asyncio.timeout(30):
            while not here.client.rules.get(state.rule_id).status.terminal:
                await here.runtime.sleep(0.1)
        now = here.client.rules.get(state.rule_id)
        assert (now.status, now.exited) == (RuleStatus.DONE, D("0.01232"))
        assert str(DUST) in now.reason

    play(scenario)


def test_a_kill_that_closes_positions_says_what_dust_is_left():
    async def scenario(here):
        await bought(here)
        await here.client.kill("test", flatten=True)
        async with asyncio.timeout(60):
            while not any(isinstance(one, KillEvent) and one.code == "FLATTENED" for one in here.events):
                await here.runtime.sleep(0.5)
        (told,) = [one for one in here.events if isinstance(one, KillEvent) and one.code == "FLATTENED"]
        assert told.text == f"no position is left but dust, too little for an order each: {PAIR} CASH {DUST}"
        assert await wallet(here) - 2 == DUST

    play(scenario)


def test_one_odd_price_makes_no_dust_of_a_position():
    async def scenario(here):
        live = await bought(here)
        live.marking.polled(intern_instrument(PAIR), D("0.01"), here.runtime.clock.wall_ns())
        assert live.mark(PAIR)[0] == D("0.01")
        assert list(here.client.rules.flatten._positions.keys()) == [KEY]
        await here.client.kill("test", flatten=True)
        async with asyncio.timeout(60):
            while not any(isinstance(one, KillEvent) and one.code == "FLATTENED" for one in here.events):
                await here.runtime.sleep(0.5)
        assert await wallet(here) - 2 == DUST

    play(scenario)


@pytest.mark.logs("the exit fails, or is refused, as it should")
def test_what_is_left_below_the_least_worth_of_an_order_is_dust_too():
    async def scenario(here):
        live = await bought(here, "0.01")
        least = D("0.00004")  # a lot or more, and worth less than five USDT
        short = here.client.rules.exits.reduce(KEY, live.quantity(KEY) - least, "test", name="most")
        assert not (await short).failed
        report = await here.client.rules.exits.reduce(KEY, None, "test", name="rest")
        assert report.failed  # nothing was ever sold, and no price is known: somebody has to look
        here.client.subscribe([PAIR])
        await here.runtime.sleep(2)
        here.venue.set_price(PAIR, here.price(0.1))
        await here.runtime.sleep(2)
        again = await here.client.rules.exits.reduce(KEY, None, "test", name="again")
        assert (again.failed, "is too little for an order" in again.reason) == (False, True)
        assert here.client.rules.flatten.held() == ()
        await here.until(await here.client.place(PAIR, "BUY", "0.001"), S.FILLED)
        submit, refused = here.venue.submit, []

        def halved(account, order, now_ns):
            """Let the whole of it trade but for what is worth too little, as a thin book does."""
            if not refused and order.side == "SELL":
                refused.append(order.quantity)
                order = replace(order, quantity=order.quantity - least)
            return submit(account, order, now_ns)

        here.venue.submit = halved
        report = await here.client.rules.exits.reduce(KEY, None, "test", name="thin")
        assert refused
        assert not report.failed
        assert report.wanted - report.filled == live.quantity(KEY)
        assert f"done but for dust: {report.wanted - report.filled} is too little for an order" in report.reason

    play(scenario)


# -- a wallet that is not what fills say -------------------------------------------------------------------------------


def own(here, coins):
    here.venue.set_holding(here.emulator.account, PAIR, D(coins), D(90_000))


@pytest.mark.logs("the difference is told")
def test_a_wallet_that_lost_coins_is_told_with_both_sides():
    async def scenario(here):
        await bought(here, "0.1")
        assert await here.client.check_positions() == []
        own(here, "1.0999")  # one was withdrawn
        (found,) = await here.client.check_positions()
        assert (found.instrument_id, found.field, found.ours, found.broker) == (
            PAIR,
            "quantity",
            D("0.0999"),
            D("-0.9001"),
        )
        await here.runtime.sleep(150)
        (told,) = [one for one in here.events if getattr(one, "code", "") == "POSITION_DIFFERS"]
        assert told.subject == found
        report = await here.client.rules.exits.reduce(KEY, None, "test", name="all")
        assert (report.failed, report.filled) == (False, D("0.0999"))  # there are coins enough to sell

    play(scenario)


@pytest.mark.logs("the exit leaves what the wallet lacks, and says so")
def test_an_exit_sells_no_more_than_the_wallet_has():
    async def scenario(here):
        await here.client.portfolio.begin()
        live = await bought(here, "0.1")
        own(here, "0.05")
        await here.client.check_positions()
        assert live.off(KEY) == D("-0.0499")
        report = await here.client.rules.exits.reduce(KEY, None, "test", name="all")
        assert (report.failed, report.filled) == (True, D("0.05"))
        assert "are counted and the broker has said otherwise" in report.reason
        assert sent(here) == [(D("0.05"), D("0.05"))]

    play(scenario)


def test_a_deposit_that_is_adjusted_is_no_difference():
    async def scenario(here):
        await here.client.portfolio.begin()
        await bought(here, "0.1")
        own(here, "5.0999")
        ((ours, broker),) = [(one.ours, one.broker) for one in await here.client.check_positions()]
        assert broker - ours == 3
        now = here.runtime.clock.wall_ns()
        came = Adjustment(
            adjustment_id="deposit 1",
            kind=AdjustmentKind.TRANSFER_IN,
            instrument_id=PAIR,
            product=Product.CASH,
            quantity=D(3),
            ts_event=now,
        )
        await here.client.portfolio.adjust(came)
        assert await here.client.check_positions() == []

    play(scenario)


@pytest.mark.logs("the first order is refused, and the exit leaves what the wallet lacks")
def test_an_order_for_more_than_the_wallet_has_is_followed_by_one_for_what_it_has():
    async def scenario(here):
        await here.client.portfolio.begin()
        await bought(here, "0.1")
        own(here, "0.05")
        report = await here.client.rules.exits.reduce(KEY, None, "test", name="all")
        assert sent(here) == [(D("0.05"), D("0.05"))]
        assert (report.filled, len(report.orders)) == (D("0.05"), 2)

    play(scenario)


def test_a_bracket_sells_what_its_entry_left_and_none_of_what_was_there():
    async def scenario(here):
        live = await bought(here, "1")
        entry = await here.client.place(PAIR, "BUY", "0.5", client_order_id="entry")
        await here.until(entry, S.FILLED)
        levels = {"stop": Level(price=here.price(10)), "target": Level(price=here.price(15))}
        state = await here.client.rules.add(Bracket(instrument_id=PAIR, product="CASH", entry="entry", **levels))
        async with asyncio.timeout(30):
            while not here.client.rules.get(state.rule_id).status.terminal:
                await here.runtime.sleep(0.1)
        assert here.client.rules.get(state.rule_id).exited == D("0.4995")
        assert live.quantity(KEY) == D("0.999") == await wallet(here) - 2

    play(scenario)
