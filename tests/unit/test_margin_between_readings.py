"""Margins between readings: the rule, the rates, the projection, and what is believed of a reading."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from dragoman.model import (
    AssetClass,
    Instrument,
    InstrumentType,
    Margin,
    MarginAvailable,
    MarginUsed,
    Product,
    Segment,
    Source,
)
from dragoman.plugin import MarginTerms, RateLimit, Request
from dragoman.portfolio.margin.pace import Pace, metered
from dragoman.portfolio.margin.projection import Projection
from dragoman.portfolio.margin.rates import Change, Rate, RateBook, RateOrigin
from dragoman.portfolio.margin.rule import Group, Kind, Working, kind_of, segment_of
from dragoman.portfolio.margin.sanity import contradictions, unusable
from dragoman.portfolio.margin.schedule import Schedule
from dragoman.portfolio.margin.segment import SegmentMargin
from dragoman.portfolio.margin.state import Held
from dragoman.portfolio.margin.thresholds import MINUTE_NS, Threshold

D = Decimal
KEY = ("NSE:INFY", Product.INTRADAY, "NET")
OTHER = ("NSE:TCS", Product.INTRADAY, "NET")
S = 1_000_000_000


def instrument(name="NSE:INFY", kind=InstrumentType.SPOT, asset=AssetClass.EQUITY, **more):
    terms = {"symbol": "X", "exchange": "NSE", "broker_symbol": "X", "broker_token": "1"} | more
    return Instrument(instrument_id=name, asset_class=asset, instrument_type=kind, **terms)


def margin(net=1000, used=0, segment=Segment.EQUITY, **more):
    total, more = None if used is None else D(used), {"error_bound": D(0)} | more
    return Margin(segment=segment, net=None if net is None else D(net), used=MarginUsed(total=total), **more)


def pledged(quantity=0, price=0, *orders):
    return Group(Kind.PLEDGED, D(quantity), D(price), orders=tuple(orders))


def order(sign, quantity, price, *, sure=True):
    return Working(sign, D(quantity), D(price), sure)


def state(group, key=KEY, **more):
    return {key: Held(group, **more)}


def projection(told, before, rates=None, *, slack=0, **terms):
    return Projection(told, before, rates or known(), MarginTerms(**terms), lambda key: None, D(slack))


def known(rate="0.2", key=KEY):
    rates = RateBook()
    rates.told(key, D(rate), 0)
    return rates


# -- the rule ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "used", "blocked"),
    [
        (pledged(10, 100), 200, 0),
        (pledged(-10, 100), 200, 0),
        (pledged(10, 100, order(-1, 10, 110)), 200, 0),
        (pledged(10, 100, order(-1, 25, 100)), 200, 100),
        (pledged(0, 0, order(1, 10, 100), order(-1, 5, 100)), 0, 200),
        (pledged(10, 100, order(1, 10, 90), order(-1, 10, 120)), 200, 180),
        (Group(Kind.PAID, D(10), D(100), orders=(order(1, 5, 100),)), 200, 100),
        (Group(Kind.PAID, D(-10), D(100), orders=(order(-1, 5, 100),)), 0, 0),
        (Group(Kind.PREMIUM, D(10), D(7)), 70, 0),
        (Group(Kind.PREMIUM, D(-10), D(7)), 2, 0),
        (Group(Kind.PREMIUM, D(10), D(7), orders=(order(-1, 15, 7),)), 70, 0),
        (Group(Kind.WALLET, orders=(order(1, 10, 100), order(-1, 10, 100))), 0, 1000),
    ],
)
def test_a_group_ties_up_the_worst_of_what_its_orders_may_come_to(group, used, blocked):
    need = group.need(D("0.2"))
    assert (need.used, need.blocked) == (used, blocked)


@pytest.mark.parametrize(
    ("found", "product", "terms", "kind"),
    [
        (instrument(), Product.DELIVERY, MarginTerms(), Kind.PAID),
        (instrument(), Product.DELIVERY, MarginTerms(delivery_margined=True), Kind.PLEDGED),
        (instrument(), Product.INTRADAY, MarginTerms(), Kind.PLEDGED),
        (instrument(kind=InstrumentType.OPTION), Product.CARRY, MarginTerms(), Kind.PREMIUM),
        (instrument(kind=InstrumentType.FUTURE), Product.DELIVERY, MarginTerms(), Kind.PLEDGED),
        (instrument(), Product.CASH, MarginTerms(), Kind.WALLET),
        (None, Product.DELIVERY, MarginTerms(), Kind.PLEDGED),
    ],
)
def test_instrument_and_product_say_by_which_line_a_position_counts(found, product, terms, kind):
    assert kind_of(found, product, terms) is kind


def test_an_instrument_draws_on_its_own_segment_or_on_the_one_for_all():
    equity, commodity = margin(), margin(segment=Segment.COMMODITY)
    held = {Segment.EQUITY: equity, Segment.COMMODITY: commodity}
    future = instrument(kind=InstrumentType.FUTURE)
    gold = instrument(kind=InstrumentType.FUTURE, asset=AssetClass.COMMODITY)
    assert segment_of(future, held) is Segment.EQUITY
    assert segment_of(gold, held) is Segment.COMMODITY
    assert segment_of(gold, {Segment.ALL: equity}) is Segment.ALL
    assert segment_of(instrument(currency="USD"), held) is None
    assert segment_of(None, {Segment.COMMODITY: commodity}) is None


# -- rates -------------------------------------------------------------------------------------------------------------


def test_what_nobody_has_told_is_a_guess_as_wide_as_the_notional():
    rate = RateBook().get(KEY, pledged(10, 100), None)
    assert (rate.low, rate.high, rate.origin) == (0, 1, RateOrigin.NOTIONAL)
    short = Group(Kind.PREMIUM, D(-10), D(7))
    assert RateBook().get(KEY, short, instrument(strike=D(500))).high == 500


def test_a_reading_narrows_the_rate_of_the_one_thing_that_changed():
    rates = RateBook()
    change = Change(KEY, pledged(), pledged(10, 100), rates.get(KEY, pledged(), None))
    rates.learn([change], D(200), D("0.05"))
    found = rates.get(KEY, pledged(), None)
    assert found.origin is RateOrigin.LEARNT
    assert found.low <= D("0.2") <= found.high
    assert found.high - found.low < D("0.01")


def test_of_two_changes_each_rate_keeps_all_that_the_other_leaves_it():
    rates = RateBook()
    rates.told(OTHER, D("0.5"), 0)
    changes = [
        Change(KEY, pledged(), pledged(10, 100), rates.get(KEY, pledged(), None)),
        Change(OTHER, pledged(), pledged(10, 100), rates.get(OTHER, pledged(), None)),
    ]
    rates.learn(changes, D(700), D(0))  # 0.2 and 0.5
    found = rates.get(KEY, pledged(), None)
    assert found.low <= D("0.2") <= found.high
    assert found.high - found.low <= D("0.0101")


def test_a_reading_that_contradicts_a_rate_replaces_it():
    rates = known("0.2")
    change = Change(KEY, pledged(), pledged(10, 100), rates.get(KEY, pledged(), None))
    rates.learn([change], D(400), D(0))
    found = rates.get(KEY, pledged(), None)
    assert rates.contradicted == 1
    assert found.low < D("0.4") < found.high


def test_a_change_of_a_prices_last_digit_teaches_no_rate():
    rates = known("0.2")
    before, now = pledged(39, "3071.24"), pledged(39, "3071.27")
    rates.learn([Change(KEY, before, now, rates.get(KEY, now, None))], D(0), D("0.05"))
    assert rates.get(KEY, now, None).origin is RateOrigin.CALCULATOR
    assert rates.contradicted == 0


# -- the projection ----------------------------------------------------------------------------------------------------


def test_what_the_broker_told_stands_until_something_changes():
    told = margin(1000, 50)
    now = projection(told, state(pledged(10, 100))).margin(state(pledged(10, 100)), 5, stale=False)
    assert (now.net, now.used.total, now.source, now.error_bound) == (1000, 50, Source.POLLED, 0)


def test_a_new_order_blocks_what_its_rate_says_with_the_rates_error():
    now = projection(margin(1000, 0, blocked=D(0)), {}).margin(state(pledged(0, 0, order(1, 10, 100))), 5, stale=False)
    assert (now.net, now.used.total, now.blocked, now.source) == (800, 200, 200, Source.PROJECTED)
    assert D(2) <= now.error_bound <= D("2.1")  # one percent of 200


def test_a_fill_at_the_limit_moves_what_was_blocked_to_what_is_used():
    before = state(pledged(0, 0, order(1, 10, 100)))
    now = projection(margin(800, 200, blocked=D(200)), before).margin(state(pledged(10, 100)), 5, stale=False)
    assert (now.net, now.used.total, now.blocked) == (800, 200, 0)


def test_all_of_an_order_nobody_is_sure_of_is_in_the_bound():
    now = projection(margin(1000, 0), {}).margin(state(pledged(0, 0, order(1, 10, 100, sure=False))), 5, stale=False)
    assert now.net == 800
    assert now.error_bound >= 200


def test_parts_that_the_broker_does_not_tell_stay_absent():
    now = projection(margin(1000, None), {}).margin(state(pledged(0, 0, order(1, 10, 100))), 5, stale=False)
    assert (now.net, now.used.total, now.blocked, now.used.option_premium) == (800, None, None, None)
    assert projection(margin(None, 5), {}).project(state(pledged(10, 100))).net is None


@pytest.mark.parametrize(("in_used", "used"), [(False, 200), (True, 250)])
def test_a_loss_lowers_what_is_free_and_a_profit_on_paper_does_not_raise_it(in_used, used):
    before = state(pledged(10, 100), unrealised=D(0))
    base = projection(margin(800, 200), before, profit_in_used=in_used)
    assert base.project(state(pledged(10, 100), unrealised=D(70))).net == 800
    fallen = base.project(state(pledged(10, 100), unrealised=D(-50)))
    assert (fallen.net, fallen.used) == (750, used)


def test_realised_profit_is_free_at_once():
    before = state(pledged(10, 100), unrealised=D(0))
    now = projection(margin(800, 200), before).project(state(pledged(), realised=D(30)))
    assert now.net == 800 + 200 + 30


def test_the_brokers_loan_multiplies_what_changes():
    told = replace(margin(4000, 0), leverage=D(4))
    assert projection(told, {}, known("1")).project(state(pledged(10, 100))).net == 0


def test_the_drift_of_marks_is_in_the_bound():
    before = state(pledged(10, 100), unrealised=D(-20), drift=D(3))
    found = projection(margin(800, 200), before).project(state(pledged(10, 100), unrealised=D(-25), drift=D(4)))
    assert found.drift == 7


def test_a_loss_by_the_brokers_own_marks_has_no_drift():
    told = replace(margin(780, 200), used=MarginUsed(total=D(200), m2m_unrealised=D(-21)))
    before = state(pledged(10, 100), unrealised=D(-20), drift=D(3))
    found = projection(told, before).project(state(pledged(10, 100), unrealised=D(-25), drift=D(4)))
    assert (found.drift, found.profit) == (4, -4)


def test_a_position_without_a_mark_says_nothing_of_profit_and_all_of_its_drift():
    before = state(pledged(10, 100), unrealised=None, drift=D(15))
    found = projection(margin(800, 200), before).project(state(pledged(10, 100), unrealised=D(-40), drift=D(2)))
    assert found.profit == 0
    assert found.drift >= 40


def test_what_has_no_price_has_no_bound():
    assert projection(margin(), {}).project(state(pledged(), priced=False)).bound is None


def test_a_reading_is_of_the_moment_it_fits_best():
    before, after = {}, state(pledged(0, 0, order(1, 10, 100)))
    base = projection(margin(1000, 0), before)
    assert base.judge(margin(1000, 0), [before, after]).state is before
    verdict = base.judge(margin(800, 200), [before, after])
    assert verdict.state is after
    assert verdict.held
    assert verdict.clear


def test_money_paid_in_is_no_error():
    told = replace(margin(1000), available=MarginAvailable(opening_balance=D(1000), intraday_payin=D(0)))
    fresh = replace(margin(1500), available=MarginAvailable(opening_balance=D(1000), intraday_payin=D(500)))
    assert projection(told, {}).judge(fresh, [{}]).error == 0


@pytest.mark.parametrize(("in_used", "used"), [(False, 0), (True, 300)])
def test_money_taken_out_is_no_error(in_used, used):
    told = replace(margin(1000), used=MarginUsed(total=D(0), payout=D(0)))
    fresh = replace(margin(700), used=MarginUsed(total=D(used), payout=D(300)))
    assert projection(told, {}, profit_in_used=in_used).judge(fresh, [{}]).error == 0


def test_bounds_grow_after_one_was_broken_and_shrink_while_they_hold():
    base = projection(margin(1000), {})
    broken = base.judge(margin(900), [{}])
    assert not broken.held
    slack = base.slack_after(broken)
    assert slack > 100
    wider = projection(margin(900), {}, slack=slack)
    assert wider.project({}).bound > 100
    assert wider.slack_after(wider.judge(margin(900), [{}])) < slack


# -- what is believed --------------------------------------------------------------------------------------------------


class Keeper:
    """A segment that takes readings a second and a half apart."""

    def __init__(self, **terms):
        self.segment = SegmentMargin(known(), MarginTerms(**terms), lambda key: None)
        self.now = 0

    def take(self, told, *states, blind=False, day="monday"):
        self.now += 3 * S // 2
        said = self.segment.take(told, states or ({},), self.now, day, blind=blind)
        return [code for code, _, _ in said]

    @property
    def net(self):
        return self.segment.projection.told.net


def test_a_leap_is_believed_once_the_broker_stays_with_it():
    keeper = Keeper()
    keeper.take(margin(1000))
    assert keeper.take(margin(100)) == ["DOUBTFUL"]
    assert keeper.segment.doubtful
    for _ in range(6):
        assert keeper.take(margin(100)) == []
        assert keeper.net == 1000
    assert keeper.take(margin(100)) == ["DIFFERS"]
    assert keeper.net == 100
    assert keeper.segment.counters["bound_broken"] == 1
    assert not keeper.segment.doubtful


def test_a_leap_that_a_later_fill_explains_breaks_no_bound():
    keeper = Keeper()
    keeper.take(margin(1000))
    keeper.take(margin(800, 200))
    assert keeper.take(margin(800, 200), state(pledged(10, 100))) == []
    assert keeper.segment.counters["explained_late"] == 1
    assert keeper.segment.counters["bound_broken"] == 0


@pytest.mark.parametrize(
    "wrong",
    [
        margin(1000, -5),
        replace(margin(1000), used=MarginUsed(total=D(5), span=D(-1))),
        replace(margin(1000), blocked=D(-1)),
        replace(margin(9000), available=MarginAvailable(opening_balance=D(1000), collateral=D(500))),
    ],
)
def test_numbers_that_contradict_each_other_leave_the_ones_before_in_force(wrong):
    keeper = Keeper()
    keeper.take(margin(1000))
    assert keeper.take(wrong) == ["DOUBTFUL"]
    assert keeper.net == 1000
    assert keeper.segment.doubtful
    assert keeper.take(margin(1000)) == []
    assert not keeper.segment.doubtful


def test_a_first_reading_that_contradicts_itself_is_shown_and_doubted():
    keeper = Keeper()
    assert keeper.take(margin(1000, -5)) == ["DOUBTFUL"]
    assert keeper.net == 1000
    assert keeper.segment.doubtful


def test_a_margin_without_numbers_is_never_believed():
    keeper = Keeper()
    keeper.take(margin(1000))
    for _ in range(20):
        keeper.take(margin("NaN"))
    assert keeper.net == 1000
    assert keeper.segment.counters["unusable"] == 20


def test_nothing_is_judged_over_night_or_while_orders_are_stale():
    keeper = Keeper()
    keeper.take(margin(1000))
    assert keeper.take(margin(500), day="tuesday") == []
    assert keeper.take(margin(900), blind=True, day="tuesday") == []
    assert keeper.net == 900
    assert keeper.segment.counters["judged"] == 0


@pytest.mark.parametrize(
    "fine",
    [
        margin(-200, 300),
        margin(None, None),
        replace(margin(1200, 300), available=MarginAvailable(opening_balance=D(1000))),
        replace(margin(4000), leverage=D(4), available=MarginAvailable(cash=D(1000))),
    ],
)
def test_losses_profits_loans_and_absent_parts_contradict_nothing(fine):
    assert contradictions(fine, MarginTerms()) == ""
    assert unusable(fine) == ""


def test_a_profit_counted_in_what_is_used_may_make_it_negative():
    assert contradictions(margin(1000, -5), MarginTerms(profit_in_used=True)) == ""
    assert contradictions(margin(1000, -5), MarginTerms()) == "used.total is -5"


# -- thresholds --------------------------------------------------------------------------------------------------------


def crossings(one, nets, *, seconds=1, used=0):
    return [one.look(margin(net, used), at * seconds * S, 0) is not None for at, net in enumerate(nets)]


def test_a_threshold_is_told_once_and_again_after_its_hysteresis():
    one = Threshold(Segment.EQUITY, "BELOW", D(100), D(10))
    assert crossings(one, [120, 99, 98, 105, 99, 109, 110, 111, 99]) == [
        False, True, False, False, False, False, False, False, True,
    ]  # fmt: skip


def test_utilisation_is_a_share_of_used_and_usable():
    one = Threshold(Segment.EQUITY, "UTILISATION", D("0.8"), D("0.1"))
    assert crossings(one, [30, 20, 19, 30, 20], used=80) == [False, False, True, False, False]
    assert crossings(one, [60, 10], used=80) == [False, True]


def test_a_fall_counts_from_the_highest_of_the_last_minute():
    one = Threshold(Segment.EQUITY, "FALLING", D(50), D(10))
    assert crossings(one, [100, 90, 80, 49, 48], seconds=15) == [False, False, False, True, False]
    slow = Threshold(Segment.EQUITY, "FALLING", D(50), D(10))
    assert not any(crossings(slow, [100, 80, 60, 40, 20, 0], seconds=MINUTE_NS // S))


def test_a_crossing_within_the_error_bound_waits_for_the_next_reading():
    one = Threshold(Segment.EQUITY, "BELOW", D(100), D(10))
    unsure = margin(90, error_bound=D(30))
    assert one.look(unsure, 0, 0) is None
    assert one.near(unsure)
    assert one.look(margin(110), S, 0) is None  # it was none
    assert one.look(unsure, 2 * S, 0) is None
    assert one.look(margin(90), 3 * S, 0) is not None


def test_a_crossing_that_nobody_confirms_is_told_after_a_while():
    one = Threshold(Segment.EQUITY, "BELOW", D(100), D(10))
    for error_bound in (D(30), None):
        one.crossed = False
        assert one.look(margin(90, error_bound=error_bound), 0, 0) is None
        assert one.look(margin(90, error_bound=error_bound), 4 * S, 0) is None
        assert one.look(margin(90, error_bound=error_bound), 5 * S, 0) is not None


def test_a_margin_far_beyond_its_error_bound_crosses_at_once():
    one = Threshold(Segment.EQUITY, "UTILISATION", D("0.5"), D(0))
    assert one.look(margin(10, 90, error_bound=D(20)), 0, 0) is not None


def test_a_stale_margin_crosses_nothing():
    one = Threshold(Segment.EQUITY, "BELOW", D(100), D(10))
    assert one.look(replace(margin(50), stale=True), 0, 0) is None
    assert not one.crossed
    assert one.look(margin(50), 0, 0) is not None


def test_a_margin_without_net_crosses_nothing():
    assert Threshold(Segment.EQUITY, "BELOW", D(100), D(10)).look(margin(None, 5), 0, 0) is None
    assert Threshold(Segment.EQUITY, "UTILISATION", D("0.5"), D(0)).look(margin(5, None), 0, 0) is None


# -- pace --------------------------------------------------------------------------------------------------------------


def test_readings_keep_to_their_share_of_every_limit_of_their_meters():
    pace = Pace((RateLimit("default", 10, "1s"), RateLimit("default", 200, "1m", reserve=20), RateLimit("x", 1, "1m")))
    assert pace.floor_s == pytest.approx(60 / 36)
    pace.spent = {"default": 4}
    assert pace.floor_s == pytest.approx(4 * 60 / 36)


def test_the_pace_is_faster_the_more_is_at_stake_and_nothing_is_read_out_of_hours():
    pace = Pace(())
    rates = [
        pace.interval_s(near=near, working=working, holding=holding, is_open=True)
        for near, working, holding in ((True, True, True), (False, True, True), (False, False, True), (False,) * 3)
    ]
    assert rates == sorted(rates)
    assert len(set(rates)) == 4
    assert pace.interval_s(near=False, working=True, holding=True, is_open=False) is None


def test_readings_give_way_where_somebody_waits_or_half_is_spent():
    pace = Pace((RateLimit("default", 100, "1m"),))
    assert not pace.crowded({"default/1m": {"used": 60, "count": 100, "waiting": 0}})  # 20 may be our own
    assert pace.crowded({"default/1m": {"used": 71, "count": 100, "waiting": 0}})
    assert pace.crowded({"default/1m": {"used": 0, "count": 100, "waiting": 1}})


def due(schedule, **terms):
    found = schedule.due_ns(**({"interval_s": 60.0, "floor_s": 0.0, "doubt": False} | terms))
    return None if found is None else found / S


def asked_at(seconds):
    schedule = Schedule()
    schedule.asked(int(seconds * S))
    schedule.looked()
    schedule.answered()
    return schedule


def test_the_first_reading_is_due_at_once_and_the_next_after_the_interval():
    assert due(Schedule()) == 0
    assert due(asked_at(5)) == 65
    assert due(asked_at(5), interval_s=None) is None


def test_a_change_brings_a_reading_forward_to_when_it_is_quiet_or_three_seconds_on():
    schedule = asked_at(0)
    for tenth in range(100, 200):
        schedule.changed(tenth * S // 10)
        assert due(schedule) == min(tenth / 10 + 0.5, 13)
    schedule.looked()
    assert due(schedule) == 60
    assert due(schedule, interval_s=None) is None


def test_no_reading_comes_sooner_than_its_share_of_the_limits_allows():
    schedule = asked_at(0)
    schedule.changed(S)
    assert due(schedule, floor_s=8.0) == 8
    assert due(schedule, floor_s=8.0, doubt=True) == 8


def test_a_failure_doubles_the_pause_or_takes_the_brokers_word_for_it():
    schedule = asked_at(0)
    pauses = []
    for _ in range(8):
        schedule.failed(0)
        pauses.append(due(schedule))
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60]
    schedule.failed(0, at_least_s=300)
    assert due(schedule) == 300


def test_a_reading_gives_way_for_a_while_and_is_made_all_the_same():
    schedule, now, waited = asked_at(0), 0, 0
    while schedule.gives_way(now, crowded=True, in_flight=False):
        now += S
        waited += 1
    assert waited == schedule.put_off == 30
    assert not asked_at(0).gives_way(0, crowded=False, in_flight=False)
    assert asked_at(0).gives_way(0, crowded=False, in_flight=True)


def test_a_metered_flow_does_what_the_flow_does():
    def flow():
        try:
            first = yield Request(path="/a", meter="spot", cost=5)
        except ValueError:
            first = "failed"
        second = yield Request(path="/b", meter="spot", cost=2)
        return first, second

    for failing in (False, True):
        spent: dict[str, int] = {}
        running = metered(flow(), spent)
        next(running)
        running.throw(ValueError()) if failing else running.send("one")
        with pytest.raises(StopIteration) as end:
            running.send("two")
        assert end.value.value == ("failed" if failing else "one", "two")
        assert spent == {"spot": 7}


def test_a_rate_has_probes_over_its_whole_interval():
    rate = Rate(D(1), D(2), RateOrigin.NOTIONAL)
    assert rate.probes()[0] == 1
    assert rate.probes()[-1] == 2
    assert Rate(D(1), D(1), RateOrigin.RULE).probes() == (1,)


# -- what is used is never less than nothing ---------------------------------------------------------------------------


def test_an_exit_at_a_rate_nobody_knows_leaves_what_is_used_at_nothing_or_above():
    before = state(pledged(10, 500), unrealised=D(0))
    base = projection(margin(800, 250), before, RateBook())
    found = base.project({})
    # Half the notional of 5,000 is the guess, and 2,250 too much: between 0 and 250 are used now.
    assert (found.used, found.net, found.bound) == (125, 800 + 125, 125 + D("0.05"))
    held = base.margin({}, 5, stale=False)
    assert (held.used.total, held.net, held.error_bound) == (125, 925, D("125.05"))


def test_an_order_that_the_reading_had_not_seen_takes_nothing_out_of_what_is_used_when_it_ends():
    before = state(pledged(0, 0, order(1, 10, 100)), unrealised=D(0))
    found = projection(margin(1000, 0), before).project({})
    assert (found.used, found.net) == (0, 1000)
    assert found.bound >= 198  # what the order would have tied up: somewhere it is


@pytest.mark.parametrize("rate", ["0.05", "0.2", "1"])
def test_whatever_the_rate_is_the_bound_of_an_exit_holds(rate):
    value, rest = D(5000), D(3000)
    before = state(pledged(10, 500), unrealised=D(0)) | {OTHER: Held(pledged(30, 100))}
    used = (value + rest) * D(rate)
    base = projection(margin(10_000, used), before, RateBook())
    for left, quantity in ((value / 2, 5), (D(0), 0)):
        now = {KEY: Held(pledged(quantity, 500))} | {OTHER: before[OTHER]}
        found, truth = base.project(now), (left + rest) * D(rate)
        assert found.used >= 0
        assert abs(found.used - truth) <= found.bound
        assert abs(found.net - (10_000 + used - truth)) <= found.bound
