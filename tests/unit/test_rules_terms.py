"""What a rule's terms come to: levels, distances, ladders, times; and what is refused, with what to do."""

from __future__ import annotations

from datetime import UTC, datetime, time
from decimal import Decimal as D
from zoneinfo import ZoneInfo

import pytest

from dragoman.errors import UsageError
from dragoman.model import (
    AssetClass,
    Instrument,
    InstrumentType,
    LivePosition,
    Margin,
    MarginUsed,
    OrderType,
    Segment,
    Side,
)
from dragoman.plugin import TradingHours
from dragoman.rules import (
    Level,
    MarginFloor,
    Oco,
    Rung,
    ScaleOut,
    Send,
    StopLoss,
    TimeExit,
    TrailingStop,
)
from dragoman.rules.clock import due_ns
from dragoman.rules.guards import check_floor, crossed, planned
from dragoman.rules.native import _offset
from dragoman.rules.requests import limit_price
from dragoman.rules.statement import statement_of
from dragoman.rules.terms import legs_of
from dragoman.session.calendar import TradingCalendar
from dragoman.session.exchange_days import ExchangeDays

IST = ZoneInfo("Asia/Kolkata")
ABOUT = {"instrument_id": "NSE:INFY", "product": "INTRADAY"}


def infy(**more):
    return Instrument(
        "NSE:INFY",
        "INFY",
        "NSE",
        AssetClass.EQUITY,
        InstrumentType.SPOT,
        "INFY",
        "1",
        **{"tick_size": D("0.05")} | more,
    )


def legs(rule, *, side=Side.SELL, size=100, reference=D(1000), last=D(1000)):
    return legs_of(rule, side, infy(), size=D(size), reference=reference, last=last)


@pytest.mark.parametrize(
    ("rule", "side", "expected"),
    [
        (StopLoss(**ABOUT, price=D(990)), Side.SELL, [("below", "990")]),
        (StopLoss(**ABOUT, ticks=10), Side.SELL, [("below", "999.50")]),
        (StopLoss(**ABOUT, ticks=10), Side.BUY, [("above", "1000.50")]),
        (TrailingStop(**ABOUT, price=D(5)), Side.SELL, [("trail_below", "995")]),
        (TrailingStop(**ABOUT, percent=D(1)), Side.BUY, [("trail_above", "1010")]),
        (TrailingStop(**ABOUT, ticks=20, start=D(980)), Side.SELL, [("trail_below", "980")]),
        (
            Oco(**ABOUT, stop=Level(ticks=20), target=Level(percent=D(1))),
            Side.SELL,
            [("below", "999"), ("above", "1010")],
        ),
        (
            Oco(**ABOUT, stop=Level(price=D(3)), target=Level(price=D(1010)), trailing=True),
            Side.SELL,
            [("trail_below", "997"), ("above", "1010")],
        ),
    ],
)
def test_levels_lie_where_the_position_loses_or_wins(rule, side, expected):
    assert [(leg.way, leg.level) for leg in legs(rule, side=side)] == [(way, D(level)) for way, level in expected]


def test_a_trailing_leg_knows_its_best_price_and_only_comes_closer():
    (leg,) = legs(TrailingStop(**ABOUT, percent=D(2)))
    assert leg.best == 1000
    assert leg.tighter(D(981))
    assert not leg.tighter(D(979))
    (leg,) = legs(TrailingStop(**ABOUT, price=D(5)), side=Side.BUY)
    assert (leg.best, leg.tighter(D(1004)), leg.tighter(D(1006))) == (1000, True, False)


def test_rungs_may_be_told_in_multiples_of_the_risk():
    rungs = (Rung(r=D(1), quantity=D(30)), Rung(r=D(2), fraction=D("0.5")), Rung(r=D(3)))
    found = legs(ScaleOut(**ABOUT, risk=D(4), rungs=rungs))
    assert [(leg.level, leg.quantity) for leg in found] == [(1004, 30), (1008, 50), (1012, 20)]


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (StopLoss(**ABOUT), "exactly one of the three"),
        (StopLoss(**ABOUT, price=D(1), ticks=1), "exactly one of the three"),
        (StopLoss(**ABOUT, percent=D(100)), "is no price"),
        (TrailingStop(**ABOUT, percent=D(100)), "less than 100"),
        (TrailingStop(**ABOUT, price=D(2000)), "smaller distance"),
        (Oco(**ABOUT, stop=Level(price=D(1010)), target=Level(price=D(990))), "wrong way round"),
        (ScaleOut(**ABOUT, rungs=()), "no rungs"),
        (ScaleOut(**ABOUT, rungs=(Rung(level=Level(ticks=1)), Rung(level=Level(ticks=2)))), "how much"),
        (ScaleOut(**ABOUT, rungs=(Rung(r=D(1)),)), "give risk="),
        (ScaleOut(**ABOUT, rungs=(Rung(level=Level(ticks=2), fraction=D(1)), Rung(level=Level(ticks=3)))), "the rest"),
        (
            ScaleOut(**ABOUT, rungs=(Rung(level=Level(ticks=9), quantity=D(1)), Rung(level=Level(ticks=3)))),
            "nearest first",
        ),
    ],
)
def test_terms_that_cannot_be_are_refused_with_what_to_do(rule, says):
    with pytest.raises(UsageError, match=says):
        legs(rule)


def test_without_a_reference_or_a_price_a_distance_is_refused():
    with pytest.raises(UsageError, match="give reference="):
        legs(StopLoss(**ABOUT, ticks=1), reference=None)
    with pytest.raises(UsageError, match="give start="):
        legs(TrailingStop(**ABOUT, ticks=1), last=None)


# -- the clock ---------------------------------------------------------------------------------------------------------

NSE = TradingHours(frozenset(("NSE",)), time(9, 15), time(15, 30))
NIGHT = TradingHours(frozenset(("GLOBEX",)), time(18), time(17), frozenset((6, 0, 1, 2, 3)))


def ns(*when):
    return int(datetime(*when, tzinfo=IST).timestamp()) * 10**9


def at(now, hours=None, days=None):
    """Return a calendar at a time; of exchanges without holidays unless told."""
    return TradingCalendar([NSE, NIGHT] if hours is None else hours, str(IST), lambda: ns(*now), days or ExchangeDays())


@pytest.mark.parametrize(
    ("rule", "now", "expected"),
    [
        ({"at": "15:15"}, (2026, 1, 5, 10, 0), (2026, 1, 5, 15, 15)),
        ({"at": "15:15:30"}, (2026, 1, 5, 15, 16), (2026, 1, 6, 15, 15, 30)),
        ({"at": "15:15"}, (2026, 1, 9, 16, 0), (2026, 1, 12, 15, 15)),  # over the weekend
        ({"at": "15:15"}, (2026, 1, 10, 10, 0), (2026, 1, 12, 15, 15)),
        ({"at": "09:15"}, (2026, 1, 5, 9, 15), (2026, 1, 6, 9, 15)),
        ({"before_close_s": 300.0}, (2026, 1, 5, 10, 0), (2026, 1, 5, 15, 25)),
        ({"before_close_s": 300.0}, (2026, 1, 9, 15, 26), (2026, 1, 12, 15, 25)),  # a Friday's is over
    ],
)
def test_a_time_is_the_next_one_in_the_exchanges_zone(rule, now, expected):
    assert due_ns(TimeExit(**ABOUT, **rule), "NSE", at(now)) == ns(*expected)


@pytest.mark.parametrize("clock", ["09:00", "15:30", "23:00"])
def test_a_time_at_which_the_exchange_is_closed_every_day_is_refused(clock):
    with pytest.raises(UsageError, match="closed at"):
        due_ns(TimeExit(**ABOUT, at=clock), "NSE", at((2026, 1, 5, 10, 0)))


def test_a_night_session_has_times_on_the_morning_after_its_last_day():
    rule = TimeExit(**ABOUT, at="03:00")  # Thursday's session ends on Friday; then it is Monday's early morning
    assert due_ns(rule, "GLOBEX", at((2026, 1, 8, 20, 0))) == ns(2026, 1, 9, 3, 0)
    assert due_ns(rule, "GLOBEX", at((2026, 1, 9, 20, 0))) == ns(2026, 1, 12, 3, 0)


@pytest.mark.parametrize("hours", [[], [NIGHT], [TradingHours(weekdays=frozenset(range(7)))]])
def test_where_no_hours_are_told_or_it_never_closes_every_day_is_as_good(hours):
    due = due_ns(TimeExit(**ABOUT, at="15:15"), "NSE", at((2026, 1, 9, 16, 0), hours))
    assert due == ns(2026, 1, 10, 15, 15)


def test_a_session_past_midnight_closes_the_day_after():
    rule = TimeExit(**ABOUT, before_close_s=60.0)
    assert due_ns(rule, "GLOBEX", at((2026, 1, 5, 20, 0))) == ns(2026, 1, 6, 16, 59)
    assert datetime.fromtimestamp(ns(2026, 1, 6, 16, 59) / 1e9, UTC).hour == 11


@pytest.mark.parametrize("terms", [{}, {"at": "25:00"}, {"at": "noon"}, {"at": "15:00", "before_close_s": 1.0}])
def test_no_time_or_two_are_refused(terms):
    with pytest.raises(UsageError):
        due_ns(TimeExit(**ABOUT, **terms), "NSE", at((2026, 1, 5, 10, 0)))


def test_an_exchange_that_never_closes_has_nothing_before_its_close():
    with pytest.raises(UsageError, match="no close"):
        due_ns(TimeExit(**ABOUT, before_close_s=60.0), "CRYPTO", at((2026, 1, 5, 10, 0)))
    endless = [TradingHours(frozenset(("CRYPTO",)), weekdays=frozenset(range(7)))]
    with pytest.raises(UsageError, match="no close"):
        due_ns(TimeExit(**ABOUT, before_close_s=60.0), "CRYPTO", at((2026, 1, 5, 10, 0), endless))


HOLIDAYS = ExchangeDays.read(
    """
exchanges = ["NSE"]
years = [2026]
source = "a test"
as_of = 2026-01-01
[[hours]]
since = 2026-02-02
opens = 09:15:00
auction = 15:15:00
closes = 15:35:00
[[day]]
date = 2026-01-26
name = "Republic Day"
[[day]]
date = 2026-02-01
name = "a Sunday with a session"
sessions = [[10:00:00, 11:00:00]]
""",
    "here",
)


@pytest.mark.parametrize(
    ("rule", "now", "expected"),
    [
        ({"at": "15:15"}, (2026, 1, 23, 16, 0), (2026, 1, 27, 15, 15)),  # Friday evening, and Monday is a holiday
        ({"before_close_s": 300.0}, (2026, 1, 24, 10, 0), (2026, 1, 27, 15, 25)),
        ({"before_close_s": 300.0}, (2026, 1, 30, 16, 0), (2026, 2, 1, 10, 55)),
        ({"at": "15:15"}, (2026, 1, 30, 16, 0), (2026, 2, 2, 15, 15)),  # not in the Sunday's hour
        ({"before_close_s": 300.0}, (2026, 2, 2, 10, 0), (2026, 2, 2, 15, 10)),  # before the auction
    ],
)
def test_a_rule_waits_over_holidays_and_keeps_to_special_sessions(rule, now, expected):
    assert due_ns(TimeExit(**ABOUT, **rule), "NSE", at(now, days=HOLIDAYS)) == ns(*expected)


# -- prices, margins, words --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "price"), [(Side.SELL, "994.95"), (Side.BUY, "1005.05")])
def test_a_limit_reaches_through_the_market_on_the_tick(side, price):
    send = Send(order_type=OrderType.LIMIT, offset_percent=D("0.503"))
    assert limit_price(D(1000), side, send, infy()) == D(price)


def test_a_limit_stays_within_the_days_band():
    band = infy(price_band_low=D(998), price_band_high=D(1002))
    assert limit_price(D(1000), Side.SELL, Send(), band) == 998
    assert limit_price(D(1000), Side.BUY, Send(), band) == 1002


def row(name, quantity, pnl):
    return LivePosition(instrument_id=name, product="INTRADAY", quantity=D(quantity), unrealised_pnl=pnl)


ROWS = [row("A", 100, D(-50)), row("B", -30, D(-400)), row("C", 10, None), row("D", 0, D(-9000))]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("largest_loser", {"B": 30}),
        ("pro_rata", {"A": 25, "B": 8, "C": 3}),
        ("mine", {"A": 100}),
    ],
)
def test_a_margin_floor_takes_whole_lots_and_never_more_than_there_is(by, expected):
    plans = {"mine": lambda rows, margin: {("A", "INTRADAY", "NET"): D(1000), ("Z", "INTRADAY", "NET"): D(1)}}
    rule = MarginFloor(segment=Segment.EQUITY, below=D(1), by=by)
    found = planned(rule, ROWS, Margin(segment=Segment.EQUITY, net=D(0)), plans, lambda name: infy(lot_size=D(1)))
    assert {one.instrument_id: quantity for one, quantity in found} == expected


def test_a_margin_that_the_broker_does_not_tell_crosses_nothing():
    rule = MarginFloor(segment=Segment.EQUITY, below=D(100))
    assert crossed(rule, Margin(segment=Segment.EQUITY, net=None)) == ""
    assert crossed(rule, Margin(segment=Segment.EQUITY, net=D(100))) == ""
    assert "below 100" in crossed(rule, Margin(segment=Segment.EQUITY, net=D("99.99")))
    rule = MarginFloor(segment=Segment.EQUITY, utilisation=D("0.8"))
    used = Margin(segment=Segment.EQUITY, net=D(10), used=MarginUsed(total=D(90)))
    assert "90.0%" in crossed(rule, used)


@pytest.mark.parametrize("terms", [{}, {"below": D(1), "utilisation": D("0.5")}, {"below": D(1), "by": "guess"}])
def test_a_margin_floor_that_says_too_little_or_too_much_is_refused(terms):
    with pytest.raises(UsageError):
        check_floor(MarginFloor(segment=Segment.EQUITY, **terms), {}, {})


def test_a_margin_floor_of_a_segment_that_the_broker_does_not_tell_is_refused_by_those_it_does():
    rule = MarginFloor(segment=Segment.EQUITY, below=D(1))
    check_floor(rule, {}, {})  # nothing was read yet
    with pytest.raises(UsageError, match="no margin of segment EQUITY") as refused:
        check_floor(rule, {}, {Segment.ALL: Margin(segment=Segment.ALL, net=D(1))})
    assert "ALL" in refused.value.remedy


def test_every_rule_says_what_happens_when_its_process_dies():
    stop = StopLoss(**ABOUT, price=D(1))
    assert "nothing guards the position" in statement_of(stop, durable=False)
    assert "never moves away" in statement_of(TrailingStop(**ABOUT, ticks=1), durable=True)
    assert "rests at the broker as a trigger" in statement_of(stop, durable=True, at_broker="a trigger")


@pytest.mark.parametrize(
    ("rule", "side", "last", "level"),
    [
        (TrailingStop(**ABOUT, percent=D("0.7")), Side.SELL, "1489.35", "1478.95"),  # 1478.92455
        (TrailingStop(**ABOUT, percent=D("0.7")), Side.BUY, "1489.35", "1499.75"),  # 1499.77545
        (TrailingStop(**ABOUT, price=D("0.33")), Side.SELL, "1000", "999.70"),
        (TrailingStop(**ABOUT, percent=D("0.001")), Side.SELL, "1000", "999.95"),  # a tick at least
        (TrailingStop(**ABOUT, percent=D("0.001")), Side.BUY, "1000", "1000.05"),
        (TrailingStop(**ABOUT, percent=D(1), start=D("980.01")), Side.SELL, "1000", "980.05"),
    ],
)
def test_a_trailing_level_lies_on_the_tick_at_least_one_away(rule, side, last, level):
    (leg,) = legs(rule, side=side, last=D(last))
    assert leg.level == D(level)


def test_a_trailing_order_at_the_broker_trails_by_whole_ticks_and_no_further_than_asked():
    (leg,) = legs(TrailingStop(**ABOUT, price=D("0.33")))
    assert _offset(leg) == D("0.30")
    (leg,) = legs(TrailingStop(**ABOUT, price=D("0.01")))
    assert _offset(leg) == D("0.05")
    (leg,) = legs(TrailingStop(**ABOUT, percent=D("0.7")))
    assert _offset(leg) == 70
