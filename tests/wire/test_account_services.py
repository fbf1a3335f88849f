"""The account's services through a whole session in memory: client, limiter, wire, emulator, on the virtual clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from dragoman.client import Client
from dragoman.connecting import connect
from dragoman.emulator.contract import HttpAnswer, HttpCall
from dragoman.emulator.host import EmulatorHost
from dragoman.errors import AuthRequired, DecodeError, Rejected, UsageError
from dragoman.model import (
    AlertRequest,
    GttLeg,
    GttRequest,
    GttStatus,
    OrderRequest,
    OrderType,
    Product,
    QuantityUnit,
    Segment,
    Side,
)
from dragoman.plugin.registry import load_adapter
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.testing.emulated import browser, free_port
from wire.echo_broker import EchoBroker

IST = timezone(timedelta(hours=5, minutes=30))
D = Decimal


def session(
    scenario: Callable[[Client], Awaitable[Any]],
    emulated: dict[str, Any] | None = None,
    *,
    start: str = "login",
    **options: Any,
) -> Any:
    """Run `scenario` in a session against the emulator, in memory: after a login, or with the token of an earlier one.

    `start` is ``login``, ``kept`` (the token comes from the state directory) or ``given`` (as `access_token`).
    """

    async def play(runtime: VirtualRuntime) -> Any:
        from dragoman.adapters.zerodha.emulator import make

        port = await free_port(runtime)
        emulator = make(7, runtime.clock.wall_ns(), redirect_port=port, **(emulated or {}))
        host = EmulatorHost(emulator, runtime)
        roots = await host.start()
        overrides = {
            "hosts": {"rest": roots.rest, "ws": roots.ws, "login": roots.login},
            "credentials": {name: emulator.credentials[name] for name in ("api_key", "api_secret")},
            "redirect_port": port,
        }
        common = {"environment": "emulator", "overrides": overrides, "runtime": runtime, "state_dir": "/state"}
        human = {"open_url": browser(runtime)}
        try:
            if start != "login":
                async with connect(load_adapter("zerodha"), "test", **common, **human) as first:
                    token = first.session.ctx.login["access_token"].reveal()
                human = {"access_token": token} if start == "given" else {}
            async with connect(load_adapter("zerodha"), "test", **common, **human, **options) as client:
                return await scenario(client)
        finally:
            await host.close()

    with VirtualRuntime(seed=7) as runtime:
        return runtime.run(play(runtime))


def test_holdings_profile_and_conversion() -> None:
    async def scenario(client: Client) -> None:
        (holding,) = await client.holdings()
        assert (holding.instrument_id, holding.quantity, holding.t1_quantity) == ("NSE:SBIN", 60, 10)
        assert (await client.profile()).account_id == holding.account_id
        order = await client.place("NSE:INFY", "BUY", 5, product="INTRADAY")
        await client.wait_order(order)
        (position,) = await client.positions()
        await client.convert(position, "DELIVERY", 2)
        found = {one.product: one.quantity for one in await client.positions()}
        assert found == {Product.INTRADAY: 3, Product.DELIVERY: 2}
        await client.convert(position, Product.DELIVERY, 3)
        with pytest.raises(UsageError, match="no INTRADAY position"):
            await client.convert(position, Product.DELIVERY)
        fills = await client.trades()
        assert all(one.total > 0 for one in await client.charges(fills))

    session(scenario)


def test_candles_report_progress_and_come_merged() -> None:
    async def scenario(client: Client) -> None:
        progress: list[tuple[int | None, int | None]] = []
        end = datetime.fromtimestamp(client.session.ctx.now_ns / 1e9, IST)
        start = end - timedelta(days=1700)
        found = await client.candles(
            "NSE:INFY", "1h", start, end, on_progress=lambda done, total: progress.append((done, total))
        )
        assert progress == [(3, 5), (5, 5)]
        stamps = [one.ts_open for one in found]
        assert stamps == sorted(set(stamps))
        assert len(found) > 7000

    session(scenario)


def test_margins_before_the_fact_and_triggers() -> None:
    async def scenario(client: Client) -> None:
        last = D(str((await client.ltp("NSE:INFY"))["NSE:INFY"]))
        order = OrderRequest(
            instrument_id="NSE:INFY", side=Side.BUY, quantity=D(10), order_type=OrderType.LIMIT, price=last
        )
        (alone,) = await client.order_margin([order])
        assert alone.total == last * 10
        assert (await client.basket_margin([order, order])).final.total == last * 20
        leg = GttLeg(trigger_price=last - 50, side=Side.BUY, quantity=D(1), price=last - 49)
        request = GttRequest(instrument_id="NSE:INFY", legs=(leg,), last_price=last)
        name = await client.place_gtt(request)
        assert await client.modify_gtt(name, request) == name
        assert [one.status for one in await client.gtts()] == [GttStatus.ACTIVE]
        assert await client.delete_gtt(name) == name
        assert (await client.account.gtt(name)).status is GttStatus.DELETED
        ranges = await client.account.trigger_ranges(["NSE:INFY"], "BUY")
        assert ranges["NSE:INFY"].upper < last
        assert len(await client.account.auctions()) == 1
        authorised = await client.account.authorise_holdings(await client.holdings())
        assert authorised.request_id in authorised.url

    session(scenario)


def test_a_read_only_session_sends_none_of_it() -> None:
    async def scenario(client: Client) -> None:
        leg = GttLeg(trigger_price=D(1), side=Side.BUY, quantity=D(1), price=D(1))
        request = GttRequest(instrument_id="NSE:INFY", legs=(leg,), last_price=D(2))
        with pytest.raises(UsageError, match="read-only"):
            await client.place_gtt(request)
        with pytest.raises(UsageError, match="read-only"):
            await client.account.authorise_holdings()
        assert await client.gtts() == []

    session(scenario, read_only=True)


def test_lots_that_are_not_verified_are_refused_before_the_wire() -> None:
    async def scenario(client: Client) -> None:
        future = next(one for one in client.instruments if one.exchange == "MCX" and one.expiry)
        leg = GttLeg(trigger_price=D(1), side=Side.BUY, quantity=future.lot_size, price=D(1))
        request = GttRequest(instrument_id=future.instrument_id, legs=(leg,), last_price=D(2))
        with pytest.raises(UsageError, match="not verified"):
            await client.place_gtt(request)

    session(scenario)


def changing_alerts(client: Client) -> list[Awaitable[Any]]:
    wanted = AlertRequest(name="high", instrument_id="NSE:INFY", operator=">=", value=D(2000))
    account = client.account
    return [account.create_alert(wanted), account.modify_alert("a-1", wanted), account.delete_alerts(["a-1"])]


def test_alerts_live_from_creation_to_history() -> None:
    async def scenario(client: Client) -> None:
        account = client.account
        above = AlertRequest(name="high", instrument_id="NSE:INFY", operator=">=", value=D(2000))
        made = await account.create_alert(above)
        assert await account.alerts() == [made]
        met = await account.modify_alert(made.alert_id, replace(above, name="met", value=D(1)))
        assert (met.alert_id, met.name) == (made.alert_id, "met")
        await client.session.runtime.sleep(0.1)
        (event,) = await account.alert_history(made.alert_id)
        assert event.condition == 'LastTradedPrice("NSE:INFY") >= 1'
        await account.delete_alerts([made.alert_id])
        assert await account.alerts() == []

    session(scenario)


def test_an_alert_that_is_refused_is_typed_and_the_session_stands() -> None:
    async def scenario(client: Client) -> None:
        create, *others = changing_alerts(client)
        await create
        for act in others:
            with pytest.raises(Rejected, match="not found"):
                await act
        assert await client.positions() == []

    session(scenario)


def test_the_summary_of_holdings_agrees_with_them() -> None:
    async def scenario(client: Client) -> None:
        (holding,) = await client.holdings()
        total = await client.account.holdings_summary()
        assert total.invested == holding.average_price * 100
        assert total.pnl == total.current_value - total.invested

    session(scenario)


@pytest.mark.parametrize("start", ["login", "kept", "given"])
def test_postbacks_reach_a_server_of_the_users_and_are_proved(start: str) -> None:
    class Server(EchoBroker):
        """The user's own, at the registered URL."""

        def handle(self, call: HttpCall, now_ns: int) -> HttpAnswer:
            self.calls.append(call)
            return HttpAnswer(204)

    async def scenario(client: Client) -> None:
        runtime, server = client.session.runtime, Server()
        host = EmulatorHost(server, runtime, port=7777)
        await host.start()
        order = await client.place("NSE:INFY", "BUY", 5, product="INTRADAY")
        await client.wait_order(order)
        await runtime.sleep(1)
        await host.close()
        told = [await client.account.postback(call.body) for call in server.calls]
        assert [one.raw_status for one in told][-1] == "COMPLETE"
        assert {(one.order_id, one.quantity, one.quantity_unit) for one in told} == {
            (told[0].order_id, 5, QuantityUnit.UNITS)
        }
        with pytest.raises(DecodeError, match="checksum"):
            await client.account.postback(server.calls[0].body.replace(b"2026", b"2025"))

    session(scenario, {"postback_url": "http://127.0.0.1:7777/"}, start=start)


def test_margins_answer_a_wrong_word_with_the_right_ones() -> None:
    async def scenario(client: Client) -> None:
        margins = await client.margins()
        assert margins["EQUITY"] is margins[Segment.EQUITY]
        with pytest.raises(UsageError, match=r"no segment 'equity'.*Segment.EQUITY or 'EQUITY'"):
            margins["equity"]
        assert margins.get("equity") is None
        assert "equity" not in margins

    session(scenario)


def test_a_read_only_session_changes_no_alert():
    async def scenario(client: Client) -> None:
        for act in changing_alerts(client):
            with pytest.raises(UsageError, match="read-only"):
                await act

    session(scenario, read_only=True)


def test_where_no_login_may_begin_no_credential_of_a_login_is_fetched() -> None:
    async def start(client: Client) -> None:
        runtime = client.session.runtime
        overrides = {
            "hosts": dict(client.session.profile.hosts),
            "credentials": {"api_key": "emu_key", "api_secret": {"command": ["/no/such/program"]}},
        }
        again = connect(
            load_adapter("zerodha"),
            "other",
            environment="emulator",
            overrides=overrides,
            state_dir="/elsewhere",
            may_log_in=False,
            runtime=runtime,
        )
        with pytest.raises(AuthRequired, match="no login may begin"):
            await again

    session(start)
