"""Rules and limits that cannot be: refused where they are written down, naming what was meant or what there is."""

from __future__ import annotations

import inspect
import math
from dataclasses import replace
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman import RiskLimits
from dragoman.checks.pretrade import PreTrade
from dragoman.errors import UsageError
from dragoman.model import Product
from dragoman.rules import (
    Bracket,
    DailyLoss,
    Level,
    MarginFloor,
    Oco,
    OnStale,
    Rung,
    ScaleOut,
    Send,
    StopLoss,
    TakeProfit,
    TimeExit,
    TrailingStop,
)
from dragoman.rules.model import KINDS

INFY = {"instrument_id": "NSE:INFY", "product": "INTRADAY"}
LEGS = {"stop": Level(ticks=1), "target": Level(ticks=2)}
NEEDED = {
    Oco: LEGS,
    Bracket: LEGS | {"entry": "e"},
    ScaleOut: {"rungs": (Rung(level=Level(ticks=1)),)},
    DailyLoss: {"limit": 1},
    MarginFloor: {"segment": "EQUITY"},
}


def make(kind, **terms):
    about = {} if kind in (MarginFloor, DailyLoss, Level, Send, Rung) else INFY
    return kind(**about | NEEDED.get(kind, {}) | terms)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: StopLoss(**INFY, prise=1), "has no prise .did you mean price\\?"),
        (lambda: TrailingStop(**INFY, percnt=1), "did you mean percent\\?"),
        (lambda: MarginFloor(segment="EQUTY", below=1), "did you mean EQUITY\\?"),
        (lambda: StopLoss(instrument_id="NSE:INFY", product="INTRADY", price=1), "did you mean INTRADAY\\?"),
        (lambda: StopLoss(**INFY, price=1, on_stale="HOLT"), "did you mean HOLD\\?"),
        (lambda: StopLoss(**INFY, price=1, source="las"), "did you mean last\\? use one of last, mark, mid"),
        (lambda: StopLoss(**INFY, price=1, where="brokr"), "did you mean broker\\?"),
        (lambda: StopLoss(**INFY, price=1, position_side="SHRT"), "did you mean SHORT\\?"),
        (lambda: DailyLoss(limit=1, act="flaten"), "did you mean flatten\\?"),
        (lambda: Send(order_type="MARKT"), "did you mean MARKET\\?"),
        (lambda: Send(clears="mine"), "use one of ours, all, none"),
        (lambda: RiskLimits(max_ordr_value=1), "did you mean max_order_value\\?"),
        (lambda: RiskLimits(when_unknown="refus"), "did you mean refuse\\?"),
        (lambda: RiskLimits.of({"max_opn_orders": 1}), "did you mean max_open_orders\\?"),
        (lambda: StopLoss("NSE:INFY"), "by name alone .write StopLoss.instrument_id="),
        (lambda: RiskLimits(1000), "by name alone"),
        (lambda: StopLoss(price=1), "lacks instrument_id, product"),
        (lambda: Bracket(**INFY, **LEGS), "lacks entry"),
        (lambda: StopLoss(**INFY, price="cheap"), "StopLoss.price 'cheap' is not a number"),
        (lambda: StopLoss(**INFY, price=[1]), "not a number"),
        (lambda: StopLoss(**INFY, ticks=1.5), "a whole number"),
        (lambda: StopLoss(**INFY, price=1, poll="no"), "expected True or False"),
        (lambda: StopLoss(**INFY, price=1, stale_after_s="soon"), "not a number"),
        (lambda: StopLoss(**INFY, price=1, send={"tries": 3}), "make a dragoman.rules.Send"),
        (lambda: StopLoss(instrument_id=5, product="INTRADAY", price=1), "expected text"),
        (lambda: Oco(**INFY, stop=1480, target=Level(ticks=1)), "expected a Level"),
        (lambda: ScaleOut(**INFY, rungs=Level(ticks=1)), "expected a tuple"),
        (lambda: ScaleOut(**INFY, rungs=[{"fraction": 1}]), "expected a Rung"),
        (lambda: TimeExit(**INFY, at=1515), "expected text"),
        (lambda: PreTrade({"max_order_value": 1}, None, None), "are no RiskLimits"),
    ],
)
def test_what_cannot_be_is_refused_with_what_was_meant(wrong, says):
    with pytest.raises(UsageError, match=says) as told:
        wrong()
    assert told.value.remedy


PLACES = [
    (kind, name)
    for kind, names in {
        Level: ("price", "percent", "ticks"),
        Rung: ("r", "quantity", "fraction"),
        Send: ("protection", "reprice_s", "tries"),
        StopLoss: ("price", "percent", "ticks", "quantity", "reference", "stale_after_s"),
        TakeProfit: ("price", "percent", "ticks"),
        TrailingStop: ("price", "percent", "ticks", "start"),
        ScaleOut: ("risk",),
        MarginFloor: ("utilisation", "fraction", "most"),
        DailyLoss: ("limit",),
    }.items()
    for name in names
]


@pytest.mark.parametrize(("kind", "name"), PLACES)
@pytest.mark.parametrize("value", [0, -1, "-0.5", math.nan, math.inf, -math.inf, D("NaN"), D("sNaN"), "inf", True])
def test_no_level_is_nothing_negative_or_endless(kind, name, value):
    with pytest.raises(UsageError, match=rf"{kind.__name__}\.{name}") as told:
        make(kind, **{name: value})
    assert told.value.remedy


@pytest.mark.parametrize("name", ["offset_percent", "late_s", "before_close_s", "pause_s"])
@pytest.mark.parametrize("value", [-1, math.nan, math.inf])
def test_a_span_may_be_nothing_and_not_less(name, value):
    kind = next(one for one in (Send, TimeExit, MarginFloor) if name in one.__dataclass_fields__)
    assert getattr(make(kind, **{name: 0}), name) == 0
    with pytest.raises(UsageError, match=name):
        make(kind, **{name: value})


LIMITS = ["max_order_value", "max_position", "max_daily_loss", "price_band_percent", "orders_per_second"]


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, "many", [1], D("sNaN"), True])
def test_no_limit_is_nothing_negative_or_endless(name, value):
    with pytest.raises(UsageError, match=name):
        RiskLimits(**{name: value})
    with pytest.raises(UsageError):
        RiskLimits(quantity_by_instrument={"NSE:": value})


def test_what_is_written_kindly_is_read_exactly():
    rule = StopLoss(instrument_id="NSE:INFY", product="intraday", price="1480.05", on_stale="exit", stale_after_s=5)
    assert (rule.product, rule.price, rule.on_stale, rule.stale_after_s) == (
        Product.INTRADAY,
        D("1480.05"),
        OnStale.EXIT,
        5.0,
    )
    assert type(rule.stale_after_s) is float
    assert Rung(level=Level(percent=0.1), fraction=0.5).level.percent == D("0.1")


@pytest.mark.parametrize("kind", KINDS.values())
def test_a_constructor_still_says_what_it_takes(kind):
    assert set(inspect.signature(kind).parameters) == set(kind.__dataclass_fields__)
    one = make(kind)
    assert replace(one, rule_id="x").rule_id == "x"
    assert replace(one) == one


@given(
    kind=st.sampled_from([*KINDS.values(), Level, Send, Rung, RiskLimits]),
    value=st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.decimals(), st.binary(),
        st.lists(st.integers()), st.dictionaries(st.text(), st.integers()), st.just(object()),
    ),
    data=st.data(),
)  # fmt: skip
def test_any_value_in_any_place_is_taken_or_refused_by_name(kind, value, data):
    name = data.draw(st.sampled_from(sorted(kind.__dataclass_fields__)))
    made, refused = None, None
    try:
        made = kind(**{name: value}) if kind is RiskLimits else make(kind, **{name: value})
    except UsageError as error:
        refused = error
    if refused is None:
        assert repr(made)
    else:
        assert name in str(refused)
        assert refused.remedy
