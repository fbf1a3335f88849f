"""Laws of rules for all price paths: they never exit more than there is, never turn a position, and fire once."""

from __future__ import annotations

import os
from collections import Counter
from decimal import Decimal as D

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dragoman.checks import record
from dragoman.emulator.venue.types import VenueRejectError
from dragoman.errors import ErrorKind, UsageError
from dragoman.model import AssetClass, Instrument, InstrumentType, OrderStatus, Side
from dragoman.model.rules import RuleStatus as S
from dragoman.orders.journal.codec import from_plain, to_plain
from dragoman.rules import Level, Oco, Rung, ScaleOut, Send, StopLoss, TakeProfit, TrailingStop
from dragoman.rules.exit import Exit
from dragoman.rules.refusals import Act, after
from dragoman.rules.terms import Leg, legs_of, split
from dragoman.rules.tracked import ALLOWED, Tracked
from wire.ruled import KEY, LONG, hold, venue_held
from wire.trading import INFY, play

TICK = D("0.1")
EXAMPLES = int(os.environ.get("RULE_PATHS", "40"))
ticks = st.integers(5, 60)
quantities = st.one_of(st.none(), st.integers(1, 120).map(D))


@st.composite
def ladders(draw):
    rungs = sorted(draw(st.lists(ticks, min_size=2, max_size=4, unique=True)))
    shares = [Rung(level=Level(ticks=one), fraction=D(1) / (len(rungs) + draw(st.integers(0, 3)))) for one in rungs]
    return "ladder", {"rungs": (*shares[:-1], Rung(level=shares[-1].level))}


rules = st.one_of(
    st.tuples(st.just("stop"), st.fixed_dictionaries({"ticks": ticks, "quantity": quantities})),
    st.tuples(st.just("target"), st.fixed_dictionaries({"ticks": ticks, "quantity": quantities})),
    st.tuples(st.just("trail"), st.fixed_dictionaries({"ticks": ticks, "quantity": quantities})),
    st.tuples(st.just("pair"), st.tuples(ticks, ticks).map(lambda two: {"stop": two[0], "target": two[1]})),
    ladders(),
)
paths = st.lists(st.tuples(st.integers(-70, 70), st.integers(3, 200)), min_size=2, max_size=9)
troubles = st.lists(
    st.sampled_from((None, None, None, "reject", "drop_reply@POST /orders*1", "reset_request@POST /orders*1", "cut")),
    min_size=9,
    max_size=9,
)


def made(kind, terms, sign):
    if kind == "pair":
        terms = {"stop": Level(ticks=terms["stop"]), "target": Level(ticks=terms["target"])}
    if terms.get("quantity") is not None:
        terms = terms | {"quantity": min(terms["quantity"], D(100))}
    send = Send(order_type="LIMIT", reprice_s=1.0, tries=50)
    classes = {"stop": StopLoss, "target": TakeProfit, "trail": TrailingStop, "pair": Oco, "ladder": ScaleOut}
    return classes[kind](**LONG, **terms, send=send)


def least_held(world, sign):
    """Return the smallest the position ever was since it was opened, in its own direction, fill by fill."""
    held, found = D(0), None
    for fill in world.venue.fills(world.account):
        held += fill.quantity if fill.side is Side.BUY else -fill.quantity
        if found is not None or held == 100 * sign:
            found = held * sign if found is None else min(found, held * sign)
    return found


def refuse_once(world):
    submit = world.venue.submit

    def refused(*args, **more):
        world.venue.submit = submit
        raise VenueRejectError(ErrorKind.RISK_REJECTED, "no")

    world.venue.submit = refused


async def play_out(world, chosen, path, trouble, sign):
    client, levels = world.client, {}
    await hold(world, 100 * sign)
    added = []
    for kind, terms in chosen:
        try:
            added.append(await client.rules.add(made(kind, terms, sign)))
        except UsageError:
            assert kind == "ladder", "only its rungs may be less than a lot"
    for (to, depth), what in zip(path, trouble, strict=False):
        if what == "reject":
            refuse_once(world)
        elif what == "cut":
            world.fault("reset_socket*1")
        elif what is not None:
            world.fault(what)
        price = world.price(to)
        world.venue.set_price(INFY, price)
        world.venue.place_external(INFY, Side.BUY, D(depth), price)
        world.venue.place_external(INFY, Side.SELL, D(depth), price + TICK)
        await world.runtime.sleep(1.2)
        for state in added:
            now = client.rules.get(state.rule_id)
            if state.rule.kind == "TrailingStop" and now.levels:
                was = levels.get(state.rule_id)
                closer = (now.levels[0] - was) * sign if was is not None else 0
                assert closer >= 0, "a trail moved away"
                levels[state.rule_id] = now.levels[0]
    world.heal()
    refused = getattr(world.venue.submit, "__name__", "") == "refused"
    if refused:
        world.venue.submit = type(world.venue).submit.__get__(world.venue)
    for _ in range(100):  # until what fired has exited: there are buyers and sellers now
        price = world.price(path[-1][0])
        world.venue.place_external(INFY, Side.BUY, D(500), price - 3 * TICK)
        world.venue.place_external(INFY, Side.SELL, D(500), price + 3 * TICK)
        await world.runtime.sleep(3)
        if not client.rules.exits.running():
            break
    assert least_held(world, sign) >= 0, "a position was turned"
    states = [client.rules.get(state.rule_id) for state in added]
    assert not client.rules.exits.running()
    for state in states:
        assert state.status in (S.ARMED, S.DONE, S.CANCELED), state
        if state.rule.kind in ("StopLoss", "TakeProfit", "TrailingStop", "Oco"):
            assert state.firing <= 1
        if state.rule.quantity is not None:
            assert state.exited <= state.rule.quantity
    left = abs(venue_held(world))
    assert sum(state.exited for state in states) == 100 - left
    row = client.portfolio.live.row(KEY)
    assert (D(0) if row is None else row.quantity * sign) == left
    working = Counter(order.status for order in world.live)
    assert not any(working[status] for status in OrderStatus if status.working)
    alone = [state for state in states if state.rule.kind == "ScaleOut"]
    if len(states) == 1 and alone and alone[0].status is S.DONE:
        assert alone[0].exited == 100, "the rungs add up to the position"


@pytest.mark.logs  # refusals and cuts are warned of
@given(
    chosen=st.lists(rules, min_size=1, max_size=4),
    path=paths,
    trouble=troubles,
    sign=st.sampled_from((1, -1)),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_prices_do_no_rule_exits_more_than_there_is(chosen, path, trouble, sign, seed):
    few = {"kinds": (InstrumentType.SPOT,), "most": 40}
    play(lambda world: play_out(world, chosen, path, trouble, sign), seed=seed, **few)


# -- without a world ---------------------------------------------------------------------------------------------------


def instrument(lot=1, tick="0.05", freeze=None):
    return Instrument(
        INFY, "INFY", "NSE", AssetClass.EQUITY, InstrumentType.SPOT, "INFY", "1",
        tick_size=D(tick), lot_size=D(lot), freeze_quantity=freeze,
    )  # fmt: skip


@given(size=st.integers(1, 5000), lot=st.sampled_from((1, 5, 75)), shares=st.lists(st.integers(1, 100), max_size=5))
@example(size=100, lot=1, shares=[33, 33])
def test_rungs_add_up_to_the_position_in_whole_lots(size, lot, shares):
    size *= lot
    parts = [(None, D(share) / 100) for share in shares] + [(None, None)]
    try:
        found = split(D(size), parts, D(lot))
    except UsageError:
        cut = [D(size) * share // lot * lot for _, share in parts[:-1]]
        assert any(one <= 0 for one in cut) or sum(cut) >= size
        return
    assert sum(found) == size
    assert all(one > 0 and one % lot == 0 for one in found)


@given(
    amount=st.integers(0, 20_000),
    lot=st.sampled_from((1, 15, 75)),
    freeze=st.one_of(st.none(), st.integers(1, 4000)),
    most=st.integers(1, 10),
)
def test_pieces_are_whole_lots_within_the_freeze_quantity_and_never_more_than_asked(amount, lot, freeze, most):
    one = Exit.__new__(Exit)
    one.instrument = instrument(lot=lot, freeze=None if freeze is None else D(max(freeze, lot)))
    one.piece = None
    pieces = one.pieces(D(amount), most)
    assert sum(pieces) <= amount
    assert all(piece > 0 and piece % lot == 0 for piece in pieces)
    assert freeze is None or all(piece <= max(freeze, lot) for piece in pieces)
    assert len(pieces) == most or sum(pieces) == amount // lot * lot


@given(side=st.sampled_from(Side), reference=st.integers(1000, 90_000), away=st.integers(1, 900))
def test_a_level_that_is_worked_out_is_reached_no_later_than_was_asked(side, reference, away):
    entry, percent = D(reference) / 20, D(away) / 100
    terms = {"instrument_id": INFY, "product": "INTRADAY", "percent": percent}
    exact = entry * percent / 100
    (stop,) = legs_of(StopLoss(**terms), side, instrument(), size=D(1), reference=entry)
    (target,) = legs_of(TakeProfit(**terms), side, instrument(), size=D(1), reference=entry)
    sign = 1 if side is Side.SELL else -1
    assert 0 <= (stop.level - (entry - sign * exact)) * sign < D("0.05")
    assert 0 <= (entry + sign * exact - target.level) * sign < D("0.05")
    assert stop.level % D("0.05") == target.level % D("0.05") == 0


TICKS = st.sampled_from(("0.05", "0.01", "0.0005", "0.25", "1", "5", "0.15"))


@given(
    side=st.sampled_from(Side),
    price=st.integers(1000, 90_000),
    away=st.integers(1, 4000),
    tick=TICKS,
    what=st.sampled_from(("percent", "price", "ticks")),
    last=st.booleans(),
)
def test_a_trailing_level_lies_on_the_tick_where_it_is_reached_no_later(side, price, away, tick, what, last):
    step, sign = D(tick), 1 if side is Side.SELL else -1
    seen = price * step if last else price * step + step / 2  # the middle of a book lies between ticks
    given = away if what == "ticks" else D(away) / 100
    distance = {"percent": seen * D(away) / 10_000, "price": D(away) / 100, "ticks": away * step}[what]
    terms = {"instrument_id": INFY, "product": "INTRADAY", what: given}
    if sign * (seen - distance) <= step:
        return
    (leg,) = legs_of(TrailingStop(**terms), side, instrument(tick=tick), size=D(1), last=seen)
    assert leg.level % step == 0
    assert (leg.best, leg.step) == (seen, step)
    assert sign * (seen - leg.level) > 0
    assert 0 <= sign * (leg.level - (seen - sign * max(distance, step))) < step
    assert from_plain(Leg, to_plain(leg)) == leg


@given(price=st.integers(1000, 90_000), away=st.integers(1, 900), rise=st.integers(0, 5000), side=st.sampled_from(Side))
def test_a_level_that_trailed_in_floats_is_shown_on_the_tick(price, away, rise, side):
    tick, percent = D("0.05"), D(away) / 100
    terms = {"instrument_id": INFY, "product": "INTRADAY", "percent": percent}
    (leg,) = legs_of(TrailingStop(**terms), side, instrument(), size=D(1), last=price * tick)
    sign = 1 if side is Side.SELL else -1
    best = (price + sign * min(rise, price - 1)) * tick
    exact = best - sign * best * percent / 100
    shown = leg.on_step(D(repr(float(exact))))
    assert shown % tick == 0
    assert 0 <= sign * (shown - exact) < tick


@given(chosen=rules, sign=st.sampled_from((1, -1)))
def test_what_the_journal_keeps_of_a_rule_is_all_of_it(chosen, sign):
    rule = made(*chosen, sign)
    rule = record("rule", rule, type(rule))
    tracked = Tracked("R1", rule, key=KEY, side=Side.SELL if sign > 0 else Side.BUY, firing=2, exited=D("1.50"))
    try:
        tracked.legs = list(legs_of(rule, tracked.side, instrument(), size=D(100), reference=D(1500), last=D(1500)))
    except UsageError:
        assert chosen[0] == "ladder"
    back = Tracked.of(tracked.record("armed", terms=True))
    assert (back.rule, back.legs, back.key, back.side) == (tracked.rule, tracked.legs, tracked.key, tracked.side)
    assert back.state().levels == tracked.state().levels
    assert (back.firing, back.exited) == (2, D("1.50"))


@given(st.lists(st.sampled_from(S), max_size=12))
def test_a_rule_that_is_over_takes_no_further_step(steps):
    rule, over = Tracked("R1", StopLoss(**LONG, price=D(1))), False
    for step in steps:
        before = rule.status
        if step in ALLOWED[before]:
            assert not over
            event = rule.turn(step, "because", 1)
            assert (event.before, event.status) == (before, step)
        else:
            with pytest.raises(ValueError, match="cannot turn"):
                rule.turn(step, "because", 1)
        over = over or rule.status.terminal


@given(kind=st.sampled_from(ErrorKind), tries=st.integers(1, 12))
def test_every_refusal_has_an_answer_and_pauses_are_bounded(kind, tries):
    step = after(kind, tries)
    assert 0 <= step.wait_s <= 8
    if step.act is Act.AGAIN and kind is not ErrorKind.NEVER_ARRIVED:
        assert step.wait_s > 0, "a refusal must not be hammered"
