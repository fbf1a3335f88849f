"""Terms of triggers, baskets and margins meet the checks of an order: ours before the wire, and the emulator's."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from dragoman.client import Client
from dragoman.errors import Rejected, UsageError
from dragoman.model import AlertRequest, GttLeg, GttRequest, OrderRequest, OrderType, Product, Side
from wire.test_account_services import session

D = Decimal
LEG = GttLeg(trigger_price=D(700), side=Side.SELL, quantity=D(10), price=D(699))
GTT = GttRequest(instrument_id="NSE:SBIN", legs=(LEG,), last_price=D(800))
ORDER = OrderRequest(
    instrument_id="NSE:SBIN", side=Side.BUY, quantity=D(1), order_type=OrderType.LIMIT, price=D(800), tag=None
)

WRONG: dict[str, tuple[GttRequest, str]] = {
    "trigger off the tick": (replace(GTT, legs=(replace(LEG, trigger_price=D("700.013")),)), "off the tick"),
    "price off the tick": (replace(GTT, legs=(replace(LEG, price=D("699.017")),)), "off the tick"),
    "no quantity": (replace(GTT, legs=(replace(LEG, quantity=D(0)),)), "not a quantity"),
    "negative quantity": (replace(GTT, legs=(replace(LEG, quantity=D(-5)),)), "not a quantity"),
    "negative trigger": (replace(GTT, legs=(replace(LEG, trigger_price=D(-1)),)), "not a price"),
    "trigger that is no number": (replace(GTT, legs=(replace(LEG, trigger_price=D("NaN")),)), "trigger"),
    "price beyond all bounds": (replace(GTT, legs=(replace(LEG, price=D("Infinity")),)), "price"),
    "no last price": (replace(GTT, last_price=D(0)), "last_price"),
    "last price that is no number": (replace(GTT, last_price=D("NaN")), "last_price"),
    "index": (replace(GTT, instrument_id="NSE:NIFTY_50=INDEX"), "cannot be traded"),
    "product of other segments": (replace(GTT, legs=(replace(LEG, product=Product.CARRY),)), "CARRY"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_trigger_no_order_could_follow_is_refused_before_the_wire(name: str) -> None:
    request, said = WRONG[name]

    async def scenario(client: Client) -> None:
        gtt_id = await client.place_gtt(GTT)
        sent = client.session.sender.counters.requests
        with pytest.raises(UsageError, match=said):
            await client.place_gtt(request)
        with pytest.raises(UsageError, match=said):
            await client.modify_gtt(gtt_id, request)
        assert client.session.sender.counters.requests == sent

    session(scenario)


@pytest.mark.parametrize(
    ("term", "said"),
    [
        ({"price": D("800.013")}, "off the tick"),
        ({"quantity": D(0)}, "not a quantity"),
        ({"quantity": D("NaN")}, "quantity"),
        ({"instrument_id": "NSE:NIFTY_50=INDEX"}, "cannot be traded"),
        ({"price": None}, "needs a price"),
    ],
)
def test_baskets_and_margins_take_only_orders_that_could_be_placed(term: dict[str, Any], said: str) -> None:
    wrong = replace(ORDER, **term)

    async def scenario(client: Client) -> None:
        alert = AlertRequest(name="dip", instrument_id="NSE:INFY", operator="<=", value=D(1), orders=(wrong,))
        account = client.account
        sent = client.session.sender.counters.requests
        with pytest.raises(UsageError, match=said):
            await client.order_margin([wrong])
        with pytest.raises(UsageError, match=said):
            await client.basket_margin([ORDER, wrong])
        with pytest.raises(UsageError, match=said):
            await account.create_alert(alert)
        with pytest.raises(UsageError, match=said):
            await account.modify_alert("a-1", alert)
        assert client.session.sender.counters.requests == sent

    session(scenario)


def test_a_trigger_may_lie_beyond_the_bands_of_today() -> None:
    async def scenario(client: Client) -> None:
        far = replace(LEG, trigger_price=D(100), price=D(99))
        assert await client.place_gtt(replace(GTT, legs=(far,)))

    session(scenario)


@pytest.mark.parametrize(
    "terms",
    [
        {"trigger_price": D("700.013")},
        {"price": D("699.017")},
        {"quantity": D(0)},
        {"trigger_price": D(-1)},
    ],
)
def test_the_emulator_refuses_such_a_trigger_of_any_client(terms: dict[str, Any]) -> None:
    async def scenario(client: Client) -> None:
        adapter, ctx = client.session.adapter, client.session.ctx
        wrong = replace(GTT, legs=(replace(LEG, **terms),))
        with pytest.raises(Rejected, match="Trigger was invalid"):
            await client.session.run(adapter.gtt_place(wrong, client.instrument("NSE:SBIN"), ctx))
        gtt_id = await client.place_gtt(GTT)
        with pytest.raises(Rejected, match="Trigger was invalid"):
            await client.session.run(adapter.gtt_modify(gtt_id, wrong, client.instrument("NSE:SBIN"), ctx))
        assert len(await client.gtts()) == 1

    session(scenario)


def test_the_emulator_refuses_a_basket_of_any_client_that_could_not_be_placed() -> None:
    async def scenario(client: Client) -> None:
        wrong = replace(ORDER, price=D("800.013"))
        alert = AlertRequest(name="dip", instrument_id="NSE:INFY", operator="<=", value=D(1), orders=(wrong,))
        with pytest.raises(Rejected, match="Alert was invalid"):
            await client.session.run(client.session.adapter.alert_create(alert, client.session.ctx))

    session(scenario)


def test_the_emulator_refuses_a_trigger_on_an_index() -> None:
    async def scenario(client: Client) -> None:
        index = client.instrument("NSE:NIFTY_50=INDEX")
        with pytest.raises(Rejected):
            await client.session.run(client.session.adapter.gtt_place(GTT, index, client.session.ctx))

    session(scenario)
