"""Random accounts: the rule is the exchange's, no error is beyond its bound, and no rate is learnt wrong."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from dragoman.emulator.venue.margin import Terms
from dragoman.model import Margin, MarginUsed, Product, Segment
from dragoman.plugin import MarginTerms
from dragoman.portfolio.margin.projection import Projection
from dragoman.portfolio.margin.rates import Change, RateBook
from dragoman.portfolio.margin.rule import Group, Kind, Working
from dragoman.portfolio.margin.segment import SegmentMargin
from dragoman.portfolio.margin.state import Held
from dragoman.portfolio.margin.thresholds import Threshold

D = Decimal
NAMES = ("NSE:A", "NSE:B", "NSE:C")
KEYS = [(name, Product.CARRY, "NET") for name in NAMES]

quantities = st.integers(-50, 50).map(D)
prices = st.integers(1, 5000).map(D)
workings = st.builds(Working, st.sampled_from((1, -1)), st.integers(1, 50).map(D), prices)
rates = st.integers(1, 100).map(lambda share: D(share) / 100)


@st.composite
def groups(draw, kinds=tuple(Kind)):
    kind = draw(st.sampled_from(kinds))
    quantity = D(0) if kind is Kind.WALLET else draw(quantities)
    return Group(kind, quantity, draw(prices) if quantity else D(0), D(1), tuple(draw(st.lists(workings, max_size=4))))


def venue_terms(kind: Kind, rate: Decimal) -> Terms:
    """Return the exchange's terms for the same line of the rule; a wallet's lines never are positions there."""
    share = Fraction(rate)
    match kind:
        case Kind.PAID:
            return Terms(Fraction(1), share, Fraction(0), Fraction(0), paid=True, delivery=True)
        case Kind.PREMIUM:
            return Terms(Fraction(1), Fraction(1), Fraction(0), share, paid=True, delivery=False)
    return Terms(Fraction(1), share, share, Fraction(0), paid=False, delivery=False)


@given(groups(kinds=(Kind.PAID, Kind.PREMIUM, Kind.PLEDGED)), rates)
def test_the_rule_is_the_emulated_exchanges(group, rate):
    sides = {sign: [(int(o.quantity), int(o.price)) for o in group.orders if o.sign == sign] for sign in (1, -1)}
    theirs = venue_terms(group.kind, rate).require(
        int(group.quantity), Fraction(group.quantity * group.price), sides[1], sides[-1]
    )
    ours = group.need(rate)
    assert (Fraction(ours.used), Fraction(ours.blocked)) == (theirs.used, theirs.blocked)


@given(groups(), rates, rates)
def test_nothing_is_negative_and_a_higher_rate_never_ties_up_less(group, one, other):
    low, high = sorted((one, other))
    assert 0 <= group.need(low).used <= group.need(high).used
    assert group.need(low).blocked >= 0
    assert group.need(low).total <= group.need(high).total
    if not group.orders:
        assert group.need(high).blocked == 0


def held(state):
    return {key: Held(group) for key, group in state.items()}


accounts = st.lists(st.fixed_dictionaries({key: groups(kinds=(Kind.PLEDGED,)) for key in KEYS}), min_size=2, max_size=8)


@given(accounts, st.tuples(rates, rates, rates))
def test_every_reading_lies_within_the_bound_whatever_the_brokers_rates(states, hidden):
    true = dict(zip(KEYS, hidden, strict=True))

    def told(state):
        tied = sum((group.need(true[key]).total for key, group in state.items()), D(0))
        return Margin(segment=Segment.EQUITY, net=D(10**8) - tied, used=MarginUsed(total=tied))

    book = RateBook()
    keeper = SegmentMargin(book, MarginTerms(), lambda key: None)
    keeper.take(told(states[0]), [held(states[0])], 0, "monday", blind=False)
    for number, state in enumerate(states[1:], 1):
        keeper.take(told(state), [held(state)], number * 10**9, "monday", blind=False)
    assert keeper.counters["bound_broken"] == keeper.counters["doubted"] == book.contradicted == 0
    for record in keeper.records:
        assert record.error <= record.bound
    for key, rate in true.items():
        found = book.get(key, Group(Kind.PLEDGED), None)
        assert found.low <= rate <= found.high


@given(accounts, st.tuples(rates, rates, rates))
def test_between_readings_the_projection_is_within_its_bound_too(states, hidden):
    true = dict(zip(KEYS, hidden, strict=True))

    def tied(state):
        return sum((group.need(true[key]).total for key, group in state.items()), D(0))

    first = states[0]
    base = Margin(segment=Segment.EQUITY, net=D(10**8) - tied(first), used=MarginUsed(total=tied(first)))
    projection = Projection(base, held(first), RateBook(), MarginTerms(), lambda key: None)
    for state in states[1:]:
        now = projection.project(held(state))
        assert abs(now.used - tied(state)) <= now.bound
        assert abs(now.net - (D(10**8) - tied(state))) <= now.bound
        assert now.net + now.used == D(10**8)


@given(st.lists(st.tuples(st.sampled_from(KEYS), groups(kinds=(Kind.PLEDGED,)), groups(kinds=(Kind.PLEDGED,))),
                max_size=3, unique_by=lambda one: one[0]), st.tuples(rates, rates, rates))  # fmt: skip
def test_learning_only_ever_narrows_and_keeps_the_truth(changes, hidden):
    true, book = dict(zip(KEYS, hidden, strict=True)), RateBook()
    made = [Change(key, before, now, book.get(key, now, None)) for key, before, now in changes]
    grown = sum((change.at(true[change.key]) for change in made), D(0))
    book.learn(made, grown, D("0.05"))
    for change in made:
        found = book.get(change.key, change.now, None)
        assert change.rate.low <= found.low <= true[change.key] <= found.high <= change.rate.high * D("1.01")


@given(st.lists(st.integers(0, 200).map(D), max_size=60), st.integers(0, 50).map(D))
def test_between_two_alerts_of_a_threshold_the_value_was_back_beyond_the_hysteresis(nets, back):
    one = Threshold(Segment.EQUITY, "BELOW", D(100), back)
    since: list[Decimal] | None = None
    for at, net in enumerate(nets):
        alert = one.look(Margin(segment=Segment.EQUITY, net=net, error_bound=D(0)), at, 0)
        if alert is not None:
            assert net < 100
            assert since is None or max(since) >= 100 + back
            since = []
        elif since is not None:
            since.append(net)
        elif net < 100:
            raise AssertionError(f"the first time below, at {net}, was not told")
