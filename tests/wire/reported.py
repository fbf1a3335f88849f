"""A trading day with a bit of everything, and the report of it from the journal it left."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from dragoman.errors import DragomanError
from dragoman.model import OrderStatus
from dragoman.model.rules import RuleStatus
from dragoman.orders.journal import read_journal, verify_journal
from dragoman.report import day_report
from dragoman.rules import StopLoss
from wire.ruled import LONG, hold, move
from wire.trading import INFY, SBIN

HOSTILE = "</script><script>alert('x')</script>&\u2028"


def journal_of(world):
    return list(read_journal(world.runtime.disk, world.client.orders_service.writer.folder))


def report_of(world, **more):
    adapter, now = world.client.session.adapter, world.runtime.clock.wall_ns()
    folder = world.client.orders_service.writer.folder
    damage = verify_journal(world.runtime.disk, folder).damage
    return day_report(journal_of(world), adapter, now_ns=now, damage=damage, **more)


async def a_day(world, more=None):
    """Fills, partials, rejects, a lost reply, a rule that fires, and the kill switch; `more` once something is held."""
    client = world.client
    client.subscribe([INFY, SBIN])
    await client.margin.ready()
    price = await hold(world, 100)
    if more is not None:
        await more()
    await move(world, 5)
    await client.place(INFY, "BUY", 20, product="INTRADAY", client_order_id="at market")
    best = (await client.quote(INFY)).asks[0]
    terms = {"order_type": "LIMIT", "price": D(str(best.price)), "product": "INTRADAY"}
    resting = await client.place(INFY, "BUY", int(best.quantity) + 10, client_order_id="part", **terms)
    await client.wait_order(resting, lambda one: one.status is OrderStatus.PARTIALLY_FILLED)
    await client.modify(resting, price=world.price(-25))
    await client.wait_order(resting, lambda one: one.price == world.price(-25))
    with pytest.raises(DragomanError):
        await client.place(INFY, "BUY", 10, order_type="LIMIT", price=world.price(40_000), product="INTRADAY")
    world.fault("drop_frames;drop_reply@POST /orders*1")
    with pytest.raises(DragomanError):
        await world.rest(client_order_id="lost", timeout_s=2.0)
    await client.wait_order("lost", lambda one: bool(one.order_id), timeout_s=30)
    world.heal()
    await world.runtime.sleep(5)
    rule = await client.rules.add(StopLoss(**LONG, price=price - 1))
    await move(world, -60, depth=5000)
    await world.until(lambda: client.rules.get(rule.rule_id).status is RuleStatus.DONE)
    await client.kill(HOSTILE)
    await world.runtime.sleep(3)
    return rule
