"""Whole sessions at the Binance emulator, in memory: order lives, conditional orders, both ways to send, lost keys."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from dragoman.adapters.binance import BinanceAdapter

from dragoman.connecting import connect
from dragoman.emulator.counting import MINUTE, Meter
from dragoman.emulator.fault_spec import parse_faults
from dragoman.errors import AuthRequired, OutcomeUnknown, Rejected, UsageError
from dragoman.model import Mode, OrderType, OrderUpdate, Pending, PositionAlert
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.session.secrets import as_secret
from dragoman.testing.emulated import emulated
from wire.binance_world import PAIR, PERP, S, play

VIAS = pytest.mark.parametrize("via", ["rest", "socket"])
KEYS = pytest.mark.parametrize("key_type", ["hmac", "ed25519"])


@VIAS
@KEYS
def test_an_order_is_placed_replaced_reduced_and_canceled(via, key_type):
    async def scenario(here):
        order = await here.rest()
        changed = await here.client.modify(order, price=here.price(-4))
        assert changed.order_id != order.order_id
        assert changed.order_ids == (order.order_id, changed.order_id)
        moved = await here.client.wait_order(changed, lambda one: one.pending is Pending.NONE, timeout_s=10)
        assert (moved.status, moved.price) == (S.OPEN, here.price(-4))
        await here.client.modify(moved, quantity="0.04")
        smaller = await here.client.wait_order(moved, lambda one: one.quantity == Decimal("0.04"), timeout_s=10)
        assert (smaller.order_id, smaller.client_order_id) == (moved.order_id, order.client_order_id)
        await here.client.cancel(smaller)
        assert (await here.until(order, S.CANCELED)).order_id == moved.order_id
        assert here.client.orders_service.store.counters["external"] == 0
        sent = here.host.counters.messages
        return sent

    messages = play(scenario, settings={"orders_via": via}, key_type=key_type)
    assert (messages > 4) is (via == "socket")


def test_a_resting_order_fills_in_parts_with_every_trade_once():
    async def scenario(here):
        order = await here.rest()
        here.venue.set_price(PAIR, order.price, quantity=Decimal("0.04"))
        part = await here.until(order, S.PARTIALLY_FILLED)
        assert (part.filled_quantity, part.average_price) == (Decimal("0.04"), order.price)
        with pytest.raises(UsageError, match="partly filled"):
            await here.client.modify(part, price=here.price(-4))
        here.venue.set_price(PAIR, order.price, quantity=Decimal("0.06"))
        await here.until(order, S.FILLED)
        fills = await here.client.trades(order)
        assert sum(fill.quantity for fill in fills) == Decimal("0.1")
        assert [fill.trade_id for fill in fills] == [fill.trade_id for fill in here.venue.fills(here.emulator.account)]
        assert not any(fill.is_synthetic for fill in here.client.orders_service.store.fills.of_day(fills[0].ts_event))

    play(scenario)


def test_a_conditional_futures_order_keeps_its_id_when_it_triggers():
    async def scenario(here):
        opened = await here.client.place(PERP, "BUY", "0.1")
        await here.until(opened, S.FILLED)
        stop = await here.client.place(
            PERP, "SELL", "0.1", order_type="STOP_MARKET", trigger_price=here.price(-2, PERP)
        )
        waiting = await here.until(stop, S.TRIGGER_PENDING)
        assert waiting.order_id.startswith("a:BTCUSDT:")
        here.venue.set_price(PERP, here.price(-3, PERP))
        done = await here.until(stop, S.FILLED)
        assert (done.order_id, done.order_type) == (waiting.order_id, OrderType.STOP_MARKET)
        assert done.exchange_order_id not in (None, waiting.order_id.rpartition(":")[2])
        assert [one.order_id for one in await here.client.orders() if one.is_open] == []
        assert [one.order_id for one in await here.client.trades(done)] == [done.order_id]
        assert here.client.orders_service.store.counters["external"] == 0
        assert await here.client.positions() == []

    play(scenario)


def test_a_hedged_account_shows_both_sides_apart():
    async def scenario(here):
        for side, position_side in (("BUY", "LONG"), ("SELL", "SHORT")):
            order = await here.client.place(PERP, side, "0.1", position_side=position_side)
            await here.until(order, S.FILLED)
        found = {one.position_side: one.quantity for one in await here.client.positions()}
        assert found == {"LONG": Decimal("0.1"), "SHORT": Decimal("-0.1")}

    play(scenario, hedge=True)


def test_an_order_whose_reply_is_lost_is_found_by_our_id():
    async def scenario(here):
        for fault in parse_faults("refuse_upgrade:503;reset_socket*3;reset_reply*1"):
            here.host.faults.add(fault)
        with pytest.raises(OutcomeUnknown):
            await here.client.place(
                PAIR, "BUY", "0.1", order_type="LIMIT", price=here.price(-3), client_order_id="mine", allow_stale=True
            )
        here.host.faults.clear()
        await here.client.orders()
        found = here.client.order("mine")
        assert (found.status, found.order_id) == (
            S.OPEN,
            f"s:BTCUSDT:{int(here.venue.orders(here.emulator.account)[0].order_id)}",
        )

    play(scenario)


def test_a_refusal_is_typed_and_leaves_nothing():
    async def scenario(here):
        with pytest.raises(Rejected, match="insufficient balance") as caught:
            await here.client.place(PAIR, "SELL", "50", order_type="LIMIT", price=here.price(3))
        assert caught.value.code == "-2010"
        with pytest.raises(UsageError, match="worth less than 5 USDT"):
            await here.client.place(PAIR, "BUY", "0.00001", order_type="LIMIT", price=here.price(-3))
        assert here.venue.orders(here.emulator.account) == ()

    play(scenario)


@pytest.mark.logs  # the session says that it is over
def test_a_revoked_key_ends_the_session_with_zero_bytes_sent_after():
    async def scenario(here):
        here.emulator.revoke()
        with pytest.raises(AuthRequired):
            await here.client.margins()
        before = here.host.counters.requests
        with pytest.raises(AuthRequired, match="nothing was sent"):
            await here.client.positions()
        assert here.host.counters.requests == before

    play(scenario)


def test_listen_keys_are_prolonged_and_made_anew_when_they_run_out():
    async def scenario(here):
        first = here.emulator._listen_key.token, here.emulator._listen_key.dies_ns
        await here.runtime.sleep(1900)
        key, dies = here.emulator._listen_key.token, here.emulator._listen_key.dies_ns
        assert (key, dies > first[1]) == (first[0], True)
        here.emulator._listen_key.end()
        await here.runtime.sleep(60)
        assert here.client.streams["usdm-user"].ready
        assert here.emulator._listen_key.token not in ("", key)
        order = await here.client.place(PERP, "BUY", "0.1")
        await here.until(order, S.FILLED)

    play(scenario)


def test_both_markets_stream_each_on_its_own_sockets():
    async def scenario(here):
        here.client.subscribe([PAIR, PERP], Mode.FULL)
        await here.runtime.sleep(3)
        for instrument in (PAIR, PERP):
            here.venue.set_price(instrument, here.price(1, instrument))
        await here.runtime.sleep(1)
        for instrument in (PAIR, PERP):
            book, market = here.client.book(instrument), here.venue.market(instrument)
            assert not book.stale
            assert [tuple(level)[:2] for level in book.snapshot().bids] == [
                (float(price), float(size)) for price, size, _ in market.bids
            ]
        assert {name for name, stream in here.client.streams.items() if stream.ready} == {
            "spot",
            "usdm",
            "usdm-depth",
            "spot-user",
            "usdm-user",
        }

    play(scenario)


def test_an_account_of_one_market_opens_nothing_of_the_other():
    async def scenario(here):
        assert set(here.client.streams) == {"usdm", "usdm-depth", "usdm-user"}
        assert {one.exchange for one in here.client.instruments} == {"BINANCEUSDM"}
        assert await here.client.holdings() == []

    play(scenario, settings={"markets": "usdm"})


def test_weights_the_venue_counts_are_counted_here():
    async def scenario(here):
        here.emulator._counter.spend(Meter("s", 6000, MINUTE), 3000, here.runtime.clock.wall_ns())
        await here.client.profile()
        assert here.client.session.limiter.state()["spot/1m"]["used"] >= 3020

    play(scenario)


def test_what_is_bought_for_cash_is_a_balance_and_no_missing_position():
    async def scenario(here):
        order = await here.client.place(PAIR, "BUY", "0.1")
        await here.until(order, S.FILLED)
        assert await here.client.check_positions() == []
        owned = {one.asset: one.total for one in await here.client.balances()}
        assert owned["BTC"] == Decimal("2.0999")  # less the commission, which is charged in the coin bought
        held = {one.instrument_id: one.quantity for one in await here.client.holdings()}
        assert held[PAIR] == Decimal("2.0999")

    play(scenario)


# -- commissions -------------------------------------------------------------------------------------------------------


def fees_of(fills, instrument):
    return {(fill.trade_id, fill.fee, fill.fee_currency) for fill in fills if fill.instrument_id == instrument}


def test_commissions_are_the_same_in_stream_and_reading_and_the_position_is_what_the_wallet_has():
    async def scenario(here):
        bought = await here.client.place(PAIR, "BUY", "0.01234")
        await here.until(bought, S.FILLED)
        shorted = await here.client.place(PERP, "SELL", "0.1")
        await here.until(shorted, S.FILLED)
        streamed = here.client.orders_service.store.fills.all()
        assert not any(fill.is_synthetic for fill in streamed)
        for instrument, asset, rate in ((PAIR, "BTC", "0.001"), (PERP, "USDT", "0.0005")):
            mine = [fill for fill in streamed if fill.instrument_id == instrument]
            coins = asset == "BTC"
            assert [(fill.fee, fill.fee_currency) for fill in mine] == [
                (fill.quantity * (1 if coins else fill.price) * Decimal(rate), asset) for fill in mine
            ]
            assert fees_of(await here.client.trades(), instrument) == fees_of(mine, instrument)
        row = here.client.portfolio.live.row(PAIR)
        wallet = {one.asset: one.total for one in await here.client.balances()}
        assert (row.quantity, row.fee_quantity) == (Decimal("0.01232766"), Decimal("0.00001234"))
        assert wallet["BTC"] - 2 == row.quantity
        sold = await here.client.place(PAIR, "SELL", "0.01232")
        await here.until(sold, S.FILLED)
        wallet = {one.asset: one.total for one in await here.client.balances()}
        assert wallet["BTC"] - 2 == here.client.portfolio.live.row(PAIR).quantity == Decimal("0.00000766")
        paid = sum(fill.side.sign * fill.quantity * fill.price for fill in await here.client.trades(sold))
        fees = sum(fill.fee for fill in await here.client.trades(sold))
        assert {fill.fee_currency for fill in await here.client.trades(sold)} == {"USDT"}
        spent = sum(fill.quantity * fill.price for fill in await here.client.trades(bought))
        assert wallet["USDT"] == 1_000_000 - spent - paid - fees

    play(scenario)


def test_an_account_that_pays_commissions_in_the_venues_coin_holds_all_it_bought():
    async def scenario(here):
        order = await here.client.place(PAIR, "BUY", "0.1")
        await here.until(order, S.FILLED)
        (fill, *more) = await here.client.trades(order)
        fees = sum(one.fee for one in (fill, *more))
        assert {one.fee_currency for one in (fill, *more)} == {"BNB"}
        row, totals = here.client.portfolio.live.row(PAIR), here.client.portfolio.live.totals()
        assert (row.quantity, row.fee_quantity, row.charges) == (Decimal("0.1"), 0, 0)
        assert row.charges_elsewhere == (("BNB", fees),)
        assert totals["BNB"].charges == fees
        wallet = {one.asset: one.total for one in await here.client.balances()}
        assert wallet["BNB"] == 5 - fees

    play(scenario, fee_coins="5")


def test_a_correction_of_a_trade_nobody_told_has_the_positions_read_anew():
    async def scenario(here):
        await here.client.portfolio.begin()
        order = await here.client.place(PERP, "BUY", "0.1")
        await here.until(order, S.FILLED)
        live = here.client.portfolio.live
        began, held = live.complete_as_of, live.row(PERP).quantity
        (fill, *_) = await here.client.trades(order)
        strange = replace(fill, trade_id="C1", correction_of="of yesterday", quantity=Decimal(5))
        live.on_update(OrderUpdate(order, (strange,)))
        assert live.row(PERP).quantity == held
        (told,) = [one for one in here.events if isinstance(one, PositionAlert)]
        assert (told.code, told.subject) == ("NOT_APPLIED", strange)
        await here.runtime.sleep(30)
        assert live.complete_as_of > began
        assert live.row(PERP).quantity == held == Decimal("0.1")
        assert await here.client.check_positions() == []

    play(scenario)


def test_a_client_that_comes_after_counts_the_commission_of_what_was_bought_before():
    async def run(runtime):
        async with emulated(runtime, BinanceAdapter()) as (host, overrides):
            host.emulator.venue.calm()
            secrets = {name: as_secret(value) for name, value in overrides["credentials"].items()}
            chosen = overrides | {"credentials": secrets}
            for number in range(2):
                terms = {"environment": "emulator", "overrides": chosen, "state_dir": "/state", "runtime": runtime}
                async with connect(BinanceAdapter(), "test", **terms) as client:
                    if not number:
                        order = await client.wait_order(await client.place(PAIR, "BUY", "0.1"))
                        assert order.filled_quantity == Decimal("0.1")
                    await client.portfolio.begin()
                    row = client.portfolio.live.row(PAIR)
                    assert (row.quantity, row.fee_quantity) == (Decimal("0.0999"), Decimal("0.0001"))
                    assert await client.check_positions() == []

    with VirtualRuntime(seed=1) as runtime:
        runtime.run(run(runtime))
