"""Whatever is repeated, reordered or only counted by the broker: each unit filled is counted once."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from dragoman.model import Fill, Order, OrderStatus, Side
from dragoman.orders.fills import FillChange, FillLedger

DAY = 86_400_000_000_000


def fill(number: int, quantity: int, price: str = "10.05", ts: int = 1) -> Fill:
    return Fill(
        trade_id=f"T{number}",
        order_id="1",
        instrument_id="NSE:INFY",
        side=Side.BUY,
        quantity=Decimal(quantity),
        price=Decimal(price),
        exchange="NSE",
        ts_event=ts,
    )


def report(filled: int, average: Decimal | None) -> Order:
    return Order(
        instrument_id="NSE:INFY",
        side=Side.BUY,
        quantity=Decimal(1000),
        status=OrderStatus.OPEN,
        order_id="1",
        filled_quantity=Decimal(filled),
        average_price=average,
    )


def ledger() -> FillLedger:
    return FillLedger(lambda ts: str((ts or 0) // DAY))


@st.composite
def scripts(draw):
    """Fills of one order, and every event about them: each fill at least once, cumulative reports, in any order."""
    quantities = draw(st.lists(st.integers(1, 40), min_size=1, max_size=7))
    prices = draw(st.lists(st.integers(900, 1100), min_size=len(quantities), max_size=len(quantities)))
    fills = [fill(i, q, str(Decimal(p) / 20)) for i, (q, p) in enumerate(zip(quantities, prices, strict=True))]
    events: list[Fill | Order] = list(fills)
    done, value = Decimal(0), Decimal(0)
    for item in fills:
        done += item.quantity
        value += item.quantity * item.price
        events.append(report(int(done), value / done))
    events += draw(st.lists(st.sampled_from(events), max_size=6))
    return fills, draw(st.permutations(events))


@given(scripts())
def test_fills_count_once_in_any_order_and_synthetic_ones_end_void(script):
    fills, events = script
    book = ledger()
    live: dict[str, Fill] = {}
    for event in events:
        change = book.add(event, "me") if isinstance(event, Fill) else book.report(event, "me")
        for name in change.replaced:
            del live[name]
        for added in change.added:
            assert added.trade_id not in live
            live[added.trade_id] = added
        assert list(live.values()) == [] or sum(f.quantity for f in live.values()) == sum(
            f.quantity for f in book.of("me")
        )
    assert set(live) == {f.trade_id for f in fills}
    assert sum(Fraction(f.quantity) * Fraction(f.price) for f in book.of("me")) == sum(
        Fraction(f.quantity) * Fraction(f.price) for f in fills
    )


def test_a_count_without_fills_is_one_synthetic_fill_at_the_implied_price():
    book = ledger()
    book.add(fill(1, 4, "10"), "me")
    change = book.report(report(10, Decimal("10.6")), "me")
    assert [(f.quantity, f.price, f.is_synthetic) for f in change.added] == [(Decimal(6), Decimal("11"), True)]
    change = book.add(fill(2, 6, "11"), "me")
    assert [f.trade_id for f in change.added] == ["T2"]
    assert len(change.replaced) == 1
    assert sum(f.quantity for f in book.of("me")) == 10


def test_the_same_trade_number_on_another_day_is_another_fill():
    book = ledger()
    book.add(fill(1, 4), "me")
    assert book.add(fill(1, 4, ts=DAY + 1), "me").added
    assert sum(f.quantity for f in book.all()) == 8


def test_a_trade_that_changes_its_numbers_is_refused_and_named():
    book = ledger()
    book.add(fill(1, 4), "me")
    change = book.add(fill(1, 5), "me")
    assert not change.added
    assert "T1" in (change.refused or "")
    assert sum(f.quantity for f in book.all()) == 4


def test_a_fill_whose_price_comes_second_counts_from_then_on():
    book = ledger()
    assert book.report(report(10, None), "me").added == ()
    change = book.report(report(10, Decimal(100)), "me")
    assert [(f.quantity, f.price) for f in change.added] == [(10, 100)]
    assert book.all() == change.added
    assert book.report(report(10, Decimal(100)), "me") == book.report(report(10, None), "me") == FillChange()


def test_a_corrected_average_prices_the_synthetic_fill_anew():
    book = ledger()
    (first,) = book.report(report(10, Decimal(100)), "me").added
    change = book.report(report(10, Decimal(101)), "me")
    assert change.replaced == (first.trade_id,)
    assert [(f.quantity, f.price) for f in book.of("me")] == [(10, 101)]
    assert book.of("me")[0].trade_id != first.trade_id
    book.add(fill(1, 10, "101"), "me")
    assert book.report(report(10, Decimal(99)), "me") == FillChange()  # itemised fills say it better


def test_the_fills_of_a_day_are_those_of_that_trading_day():
    book = ledger()
    book.add(fill(1, 4), "me")
    book.add(fill(2, 6, ts=DAY + 1), "me")
    assert [f.trade_id for f in book.of_day(DAY + 5)] == ["T2"]
    assert [f.trade_id for f in book.of_day(5)] == ["T1"]


def told(book: FillLedger, live: dict[str, Fill], change: FillChange) -> None:
    for name in change.replaced:
        del live[name]
    live.update((fill.trade_id, fill) for fill in change.added)


@given(scripts(), st.data())
def test_joining_two_names_of_an_order_tells_what_becomes_of_synthetic_fills(script, data):
    _, events = script
    book, live = ledger(), {}
    for event in events:
        if isinstance(event, Fill):
            told(book, live, book.add(event, "EXT-1"))
        elif data.draw(st.booleans()):
            told(book, live, book.report(event, "EXT-1"))
        else:  # found by our tag alone, before the reply told the id
            told(book, live, book.report(replace(event, order_id=""), "me"))
    synthetic = {name for name, one in live.items() if one.is_synthetic}
    told(book, live, book.move("EXT-1", "me"))
    assert {one.trade_id for one in book.of("me")} == set(live)
    assert len({name for name in live if live[name].is_synthetic}) <= min(1, len(synthetic))


@given(scripts(), st.data())
def test_a_corrected_fill_counts_as_corrected_in_whatever_order_it_is_told(script, data):
    fills, events = script
    old = data.draw(st.sampled_from(fills))
    new = data.draw(st.sampled_from([Decimal(0), old.quantity, old.quantity + 3]))
    correction = replace(old, trade_id="C", correction_of=old.trade_id, quantity=new)
    book = ledger()
    for event in data.draw(st.permutations([*(one for one in events if isinstance(one, Fill)), correction])):
        book.add(event, "me")
    assert sum(one.quantity for one in book.of("me")) == sum(one.quantity for one in fills) - old.quantity + new
    assert old.trade_id not in {one.trade_id for one in book.of("me")}


def test_a_bust_is_not_undone_by_a_count_that_does_not_know_of_it():
    book = ledger()
    book.report(report(10, Decimal(10)), "me")
    book.add(fill(1, 10, "10"), "me")
    book.add(replace(fill(2, 0, "10"), correction_of="T1"), "me")
    assert sum(one.quantity for one in book.of("me")) == 0
    assert book.report(report(10, Decimal(10)), "me") == FillChange()
    assert book.add(fill(3, 4, "11"), "me").added
    assert sum(one.quantity for one in book.of("me")) == 4
