"""Laws of rules that do not act alone: a bracket and its entry, a rule and its trigger at the broker."""

from __future__ import annotations

import asyncio
import os
from decimal import Decimal as D

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dragoman.errors import NotSent, OutcomeUnknown, Rejected
from dragoman.model import Side
from dragoman.model.rules import RuleStatus as S
from dragoman.rules import Bracket, Level, StopLoss
from wire.ruled import LONG, held, hold, move, venue_held
from wire.test_order_restart import again
from wire.test_rules_restart import Kill
from wire.trading import INFY, play

pytestmark = [pytest.mark.logs]

FEW = settings(
    max_examples=int(os.environ.get("RULE_EXAMPLES", "8")),
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow],
)
ACTS = st.one_of(
    st.tuples(st.just("fill"), st.sampled_from((5, 20, 45))),
    st.tuples(st.just("sell"), st.sampled_from((10, 200))),
    st.tuples(st.just("move"), st.sampled_from((-8, 6, 25))),
    st.tuples(st.just("fault"), st.sampled_from((1, 3))),
    st.tuples(st.just("wait"), st.sampled_from((1, 4))),
)


async def act(world, what, much) -> None:
    if what == "fill":
        world.venue.place_external(INFY, Side.SELL, D(much), world.price(0))
    elif what == "move":
        await move(world, much)
    elif what == "fault":
        world.fault(f"http:503@DELETE /orders*{much}")
    elif what == "wait":
        await world.runtime.sleep(much)
    elif held(world) > 0:
        quantity = min(D(much), held(world))
        bid = world.price(2)
        world.venue.place_external(INFY, Side.BUY, quantity, bid)
        terms = {"order_type": "LIMIT", "price": bid, "product": "INTRADAY"}
        await world.client.place(INFY, "SELL", quantity, **terms)
    await world.runtime.sleep(0.3)


@FEW
@given(acts=st.lists(ACTS, max_size=6), ends=st.sampled_from(("stop", "cancel entry", "cancel bracket")))
def test_nothing_that_an_entry_fills_is_left_unguarded(acts, ends):
    async def scenario(world):
        rules = world.client.rules
        world.venue.set_price(INFY, world.price(0))
        terms = {"order_type": "LIMIT", "price": world.price(0), "product": "INTRADAY", "client_order_id": "entry"}
        await world.client.place(INFY, "BUY", 100, **terms)
        await rules.add(Bracket(**LONG, rule_id="b", entry="entry", stop=Level(ticks=30), target=Level(ticks=300)))
        for what, much in acts:
            await act(world, what, much)
        before = rules.get("b").status
        if ends == "cancel entry" and not world.client.order("entry").status.terminal:
            world.heal()
            await world.client.cancel("entry")
        elif ends == "cancel bracket" and not before.terminal:
            await rules.cancel("b")
        await world.runtime.sleep(6)
        if ends == "cancel bracket" or rules.get("b").status.terminal:
            await world.runtime.sleep(6)
            assert world.client.order("entry").status.terminal
        left = held(world)
        for _ in range(4):
            await move(world, -60)
            await world.runtime.sleep(2)
        assert rules.get("b").status.terminal or not held(world)
        assert world.client.order("entry").status.terminal
        owner = ends == "cancel bracket" and not before.terminal
        assert venue_held(world) == (left if owner and rules.get("b").status is S.CANCELED else 0)

    play(scenario)


@FEW
@given(
    hold_s=st.sampled_from((0, 1, 8, 15, 45, 75, 130)),
    lost=st.booleans(),
    killed_s=st.sampled_from((None, None, 0.5, 5, 20, 70)),
)
def test_the_broker_has_a_rule_once_whatever_becomes_of_the_answer_and_of_the_process(hold_s, lost, killed_s):
    async def scenario(world):
        price = await hold(world, 100)
        await move(world, 0)
        await world.until(lambda: world.client.portfolio.live.seeded)
        if hold_s:
            world.fault(f"hold={hold_s}s@POST /gtt*1")
        elif lost:
            world.fault("drop_reply@POST /gtt*1")
        rule = StopLoss(**LONG, price=price - 20, where="broker", rule_id="s")
        adding = world.runtime.spawn(world.client.rules.add(rule), name="add")
        client = world.client
        if killed_s is None:
            try:
                await adding
            except (OutcomeUnknown, NotSent, Rejected):
                assert hold_s or lost
        else:
            await world.runtime.sleep(killed_s)
            Kill.end(world)
            adding.cancel()
            await asyncio.wait([adding])
            client = await again(world)
        await world.runtime.sleep(220)
        active = [one.gtt_id for one in await client.gtts() if one.status == "ACTIVE"]
        known = [(one.status, one.broker_id) for one in client.rules.list()]
        if killed_s is not None and not known:
            assert active == []  # it was killed before it had written anything down
        else:
            assert known == [(S.ARMED, active[0])], active
            assert len(active) == 1
        if client is not world.client:
            await client.close()

    play(scenario)
