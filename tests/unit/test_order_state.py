"""The transition table of the order state machine, and what each rule of merging does."""

from __future__ import annotations

import itertools
from decimal import Decimal

import pytest

from dragoman.model import Order, OrderStatus, Origin, Pending, Side
from dragoman.orders.state import Asked, Merge, Verdict, allowed, merge

S = OrderStatus

# Rows and columns of the published table (docs/semantics.md); PENDING_* rows are flags here, tested below.
SHORT = {
    "DEN": S.DENIED, "SUB": S.SUBMITTED, "UNK": S.UNKNOWN, "ACC": S.ACCEPTED, "OPN": S.OPEN, "TPD": S.TRIGGER_PENDING,
    "TRG": S.TRIGGERED, "PRT": S.PARTIALLY_FILLED, "FIL": S.FILLED, "CAN": S.CANCELED, "REJ": S.REJECTED,
    "EXP": S.EXPIRED, "CRE": S.CREATED,
}  # fmt: skip
TABLE = """
    DEN SUB UNK ACC OPN TPD TRG PRT FIL CAN REJ EXP
CRE  x   x   x   x   x   x   x   x   x   x   x   x
SUB  x   .   x   x   x   x   x   x   x   x   x   x
UNK  .   .   .   x   x   x   x   x   x   x   x   x
ACC  .   .   .   .   x   x   x   x   x   x   x   x
OPN  .   .   .   .   .   x   .   x   x   x   x   x
TPD  .   .   .   .   x   .   x   x   x   x   x   x
TRG  .   .   .   .   x   .   .   x   x   x   x   x
PRT  .   .   .   .   .   .   .   x   x   x   L   x
CAN  .   .   .   .   L   .   .   L   L   .   .   .
EXP  .   .   .   .   L   .   .   L   L   .   .   .
REJ  .   .   .   L   L   L   .   L   L   .   .   .
FIL  .   .   .   .   .   .   .   .   .   .   .   .
DEN  .   .   .   .   .   .   .   .   .   .   .   .
"""


def rows():
    lines = TABLE.strip().splitlines()
    columns = lines[0].split()
    for line in lines[1:]:
        name, *marks = line.split()
        yield from ((SHORT[name], SHORT[column], mark) for column, mark in zip(columns, marks, strict=True))


@pytest.mark.parametrize(("old", "new", "mark"), list(rows()))
def test_transition_table(old, new, mark):
    if old is new:
        assert allowed(old, new) is Verdict.SAME
    else:
        assert allowed(old, new) is {"x": Verdict.APPLIED, "L": Verdict.LATE, ".": Verdict.REFUSED}[mark]


def order(status=S.OPEN, filled=0, ts=None, version=None, **more) -> Order:
    quantity = Decimal(10)
    return Order(
        instrument_id="NSE:INFY",
        side=Side.BUY,
        quantity=quantity,
        status=status,
        raw_status=str(status),
        order_id="1",
        order_ids=("1",),
        filled_quantity=Decimal(filled),
        remaining_quantity=quantity - filled,
        ts_event=ts,
        version=version,
        **more,
    )


def test_an_older_report_never_undoes_a_newer_one():
    known = order(S.PARTIALLY_FILLED, 4, ts=20)
    assert merge(known, order(S.OPEN, 0, ts=10)).verdict is Verdict.STALE
    assert merge(known, order(S.OPEN, 0, ts=20)).order is known
    assert merge(order(S.OPEN, version=7), order(S.ACCEPTED, version=6)).verdict is Verdict.STALE


def test_cumulative_fill_never_falls_and_more_fill_is_believed_whatever_the_status():
    known = order(S.CANCELED, 4, ts=20)
    result = merge(known, order(S.PARTIALLY_FILLED, 6, ts=15))
    assert (result.order.status, result.order.filled_quantity) == (S.CANCELED, 6)
    assert result.verdict is Verdict.LATE
    assert merge(order(S.FILLED, 10, ts=20), order(S.PARTIALLY_FILLED, 6, ts=30)).verdict is Verdict.STALE


def test_an_unknown_status_text_keeps_the_firm_status_and_shows_the_text():
    known = order(S.OPEN, ts=20)
    result = merge(known, order(S.UNKNOWN, ts=30).but(raw_status="SOMETHING NEW"))
    assert result.verdict is Verdict.REFUSED
    assert (result.order.status, result.order.raw_status) == (S.OPEN, "SOMETHING NEW")


def test_a_finished_order_does_not_come_back_in_the_same_second():
    known = order(S.CANCELED, ts=20)
    assert merge(known, order(S.OPEN, ts=20)).verdict is Verdict.STALE
    assert merge(known, order(S.OPEN, ts=25)).verdict is Verdict.LATE


def test_identity_of_ours_survives_every_report():
    known = order(S.SUBMITTED).but(client_order_id="mine", wire_id="W", tag="alpha", origin=Origin.US, ts_submitted=5)
    merged = merge(known, order(S.OPEN, ts=9).but(tag="W")).order
    assert (merged.client_order_id, merged.wire_id, merged.tag, merged.origin) == ("mine", "W", "alpha", Origin.US)
    assert merged.ts_submitted == 5


def test_a_failed_cancel_returns_to_the_last_firm_status():
    known = order(S.OPEN, ts=20, pending=Pending.CANCEL).but(raw_status="CANCEL PENDING")
    merged = merge(known, order(S.OPEN, ts=21).but(raw_status="OPEN")).order
    assert (merged.status, merged.pending) == (S.OPEN, Pending.NONE)


LATE_CELLS = [(old, new) for old, new, mark in rows() if mark == "L"]


@pytest.mark.parametrize(("old", "new"), LATE_CELLS)
def test_a_later_report_of_the_broker_overrules_what_it_said_before(old, new):
    filled = 10 if new is S.FILLED else 4
    known = order(old, 4, ts=20, canceled_quantity=Decimal(6), ts_closed=20)
    result = merge(known, order(new, filled, ts=21))
    assert (result.verdict, result.order.status) == (Verdict.LATE, new)
    assert result.order.ts_closed == (20 if new.terminal else None)
    assert result.order.canceled_quantity == 0


@pytest.mark.parametrize(("old", "new"), [cell for cell in LATE_CELLS if not cell[1].terminal])
@pytest.mark.parametrize("ts", [None, 20])
def test_without_a_later_stamp_no_finished_order_comes_back(old, new, ts):
    known = order(old, 4, ts=ts)
    assert merge(known, order(new, 4, ts=ts)) == Merge(known, Verdict.STALE)
    more = merge(known, order(new, 5, ts=ts))
    assert (more.verdict, more.order.status, more.order.filled_quantity) == (Verdict.LATE, old, 5)


@pytest.mark.parametrize("new", [S.ACCEPTED, S.OPEN, S.TRIGGER_PENDING, S.PARTIALLY_FILLED, S.FILLED])
@pytest.mark.parametrize("ts", [None, 20])
@pytest.mark.parametrize("firm", [True, False])
def test_an_order_taken_for_refused_comes_back_by_any_report(new, ts, firm):
    known = order(S.REJECTED, status_is_firm=False, ts_closed=5)
    filled = {S.PARTIALLY_FILLED: 4, S.FILLED: 10}.get(new, 0)
    result = merge(known, order(new, filled, ts=ts, status_is_firm=firm))
    assert (result.verdict, result.order.status, result.order.filled_quantity) == (Verdict.LATE, new, filled)
    assert (result.order.ts_closed is None) == (new is not S.FILLED)


def test_a_late_fill_is_before_the_end_and_takes_from_what_was_canceled():
    known = order(S.CANCELED, ts=20, canceled_quantity=Decimal(10), ts_closed=20).but(remaining_quantity=Decimal(0))
    part = merge(known, order(S.PARTIALLY_FILLED, 4, ts=20)).order
    assert (part.status, part.filled_quantity, part.canceled_quantity) == (S.CANCELED, 4, 6)
    assert (part.remaining_quantity, part.is_open) == (0, False)
    whole = merge(part, order(S.PARTIALLY_FILLED, 10, ts=20)).order
    assert (whole.status, whole.canceled_quantity, whole.ts_closed) == (S.FILLED, 0, 20)


def test_an_end_told_without_the_fills_before_it_is_the_end():
    known = order(S.PARTIALLY_FILLED, 4, ts=20, average_price=Decimal(7))
    merged = merge(
        known, order(S.CANCELED, ts=20, canceled_quantity=Decimal(10)).but(remaining_quantity=Decimal(0))
    ).order
    assert (merged.status, merged.filled_quantity, merged.average_price) == (S.CANCELED, 4, 7)
    assert (merged.canceled_quantity, merged.remaining_quantity) == (6, 0)


def test_a_late_fill_takes_nothing_else_from_its_report():
    known = order(S.OPEN, ts=20, price=Decimal(101))
    merged = merge(known, order(S.PARTIALLY_FILLED, 4, ts=15, price=Decimal(100))).order
    assert (merged.status, merged.filled_quantity, merged.remaining_quantity) == (S.PARTIALLY_FILLED, 4, 6)
    assert (merged.price, merged.ts_event) == (101, 20)


def test_a_fill_under_a_status_nobody_has_mapped_counts():
    seen = order(S.UNKNOWN, 4, ts=30, average_price=Decimal(7)).but(raw_status="SOMETHING NEW")
    merged = merge(order(S.OPEN, ts=20), seen).order
    assert (merged.status, merged.raw_status) == (S.PARTIALLY_FILLED, "SOMETHING NEW")
    assert (merged.filled_quantity, merged.remaining_quantity, merged.average_price) == (4, 6, 7)
    assert merge(merged, seen.but(filled_quantity=Decimal(10))).order.status is S.FILLED
    ended = merge(order(S.CANCELED, ts=20), seen).order
    assert (ended.status, ended.filled_quantity) == (S.CANCELED, 4)


def guess(status, filled=0, ts=None, pending=Pending.NONE, **more):
    return order(status, filled, ts, status_is_firm=False, pending=pending, **more)


def test_a_word_without_a_status_keeps_the_one_that_is_known():
    triggered = order(S.OPEN, ts=20)
    canceling = merge(triggered, guess(S.TRIGGER_PENDING, ts=21, pending=Pending.CANCEL)).order
    assert (canceling.status, canceling.pending, canceling.status_is_firm) == (S.OPEN, Pending.CANCEL, True)
    filling = merge(canceling, guess(S.PARTIALLY_FILLED, 4, ts=22)).order
    assert (filling.status, filling.filled_quantity) == (S.PARTIALLY_FILLED, 4)


def test_a_word_without_a_status_revives_no_finished_order():
    known = order(S.CANCELED, ts=20)
    assert merge(known, guess(S.OPEN, ts=30)) == Merge(known, Verdict.STALE)
    late = merge(known, guess(S.PARTIALLY_FILLED, 4, ts=30)).order
    assert (late.status, late.filled_quantity, late.remaining_quantity) == (S.CANCELED, 4, 0)


@pytest.mark.parametrize("ts", [20, 21])
def test_a_guess_counts_only_until_a_report_names_the_status(ts):
    first = merge(order(S.SUBMITTED), guess(S.OPEN, ts=20)).order
    assert (first.status, first.status_is_firm) == (S.OPEN, False)
    named = merge(first, order(S.TRIGGER_PENDING, ts=ts)).order
    assert (named.status, named.status_is_firm) == (S.TRIGGER_PENDING, True)


MODIFYING = {"price": Decimal(100), "pending": Pending.MODIFY}
ASKED = Asked({"price": Decimal(101)})


def priced(price, status=S.OPEN, ts=20, **more):
    return order(status, more.pop("filled", 0), ts, price=Decimal(price), **more)


def test_a_report_from_before_the_modify_leaves_it_pending():
    known = order(S.OPEN, ts=20, **MODIFYING)
    for ts in (20, 21):
        assert merge(known, priced(100, ts=ts, placed_by="x"), ASKED).order.pending is Pending.MODIFY
    assert merge(known, priced(101), ASKED).order.pending is Pending.NONE
    assert merge(known, priced("100.95", ts=21), ASKED).order.pending is Pending.NONE  # done, not quite as asked
    assert merge(known, priced("100.95"), ASKED).order.pending is Pending.MODIFY
    assert merge(known, priced(100, ts=21), Asked(ASKED.terms, shown=True)).order.pending is Pending.NONE


@pytest.mark.parametrize("pending", [Pending.MODIFY, Pending.CANCEL])
def test_a_reading_from_after_the_request_settles_what_it_shows_with_nothing_in_flight(pending):
    known = order(S.OPEN, ts=20, price=Decimal(100), pending=pending)
    for ts in (20, 21):
        seen = priced(100, ts=ts)
        assert merge(known, seen, ASKED, settles=True).order.pending is Pending.NONE
        assert merge(known, seen.but(pending=pending), ASKED, settles=True).order.pending is pending
        assert merge(known, seen, ASKED).order.pending is pending
    assert merge(known, priced(100, ts=19), ASKED, settles=True).order is known


def test_a_change_into_a_stop_is_believed_within_the_second():
    asked = Asked({"trigger_price": Decimal(105)})
    known = order(S.OPEN, ts=20, **MODIFYING)
    stop = priced(100, S.TRIGGER_PENDING, trigger_price=Decimal(105))
    merged = merge(known, stop, asked)
    assert (merged.verdict, merged.order.status, merged.order.pending) == (
        Verdict.APPLIED,
        S.TRIGGER_PENDING,
        Pending.NONE,
    )
    assert merge(known.but(pending=Pending.NONE), stop, asked).verdict is Verdict.STALE
    rounded = stop.but(trigger_price=Decimal(104))
    assert merge(known, rounded, asked).verdict is Verdict.STALE
    assert merge(known, rounded, asked, settles=True).order.status is S.TRIGGER_PENDING


def test_no_report_of_the_same_second_undoes_the_change_that_was_asked_for():
    known = priced(101)
    for seen in (priced(100), priced(100, pending=Pending.MODIFY), guess(S.OPEN, ts=20, price=Decimal(100))):
        assert merge(known, seen, ASKED) == Merge(known, Verdict.STALE)
    assert merge(known, priced(101, pending=Pending.MODIFY), ASKED).order is known
    filled = merge(known, priced(100, S.PARTIALLY_FILLED, filled=4), ASKED).order
    assert (filled.price, filled.filled_quantity) == (101, 4)
    ended = merge(known, priced(100, S.CANCELED), ASKED).order
    assert (ended.price, ended.status) == (101, S.CANCELED)
    assert merge(known, priced(99, ts=21), ASKED).order.price == 99


def test_a_cancel_of_ours_is_not_hidden_by_an_earlier_change():
    known = order(S.OPEN, ts=20, pending=Pending.CANCEL)
    seen = order(S.OPEN, ts=21, pending=Pending.MODIFY)
    assert merge(known, seen, Asked()).order.pending is Pending.CANCEL
    assert merge(known, seen, Asked(shown=True)).order.pending is Pending.MODIFY


def test_a_reading_that_tells_nothing_new_only_makes_the_view_fresher():
    known = order(S.OPEN, ts=20, complete_as_of=1, ts_recv=1)
    result = merge(known, order(S.OPEN, ts=20, complete_as_of=9, ts_recv=9))
    assert result == Merge(known.but(complete_as_of=9, ts_recv=9), Verdict.SAME)


def test_every_terminal_status_clears_what_was_pending():
    for status in (S.FILLED, S.CANCELED, S.REJECTED, S.EXPIRED):
        filled = 10 if status is S.FILLED else 0
        merged = merge(order(S.OPEN, ts=1, pending=Pending.CANCEL), order(status, filled, ts=2)).order
        assert merged.pending is Pending.NONE
        assert merged.ts_closed == 2


LIVES = {
    "filled": [(S.ACCEPTED, 0), (S.OPEN, 0), (S.PARTIALLY_FILLED, 3), (S.PARTIALLY_FILLED, 7), (S.FILLED, 10)],
    "canceled after a partial": [(S.ACCEPTED, 0), (S.OPEN, 0), (S.PARTIALLY_FILLED, 3), (S.CANCELED, 3)],
    "stop": [
        (S.ACCEPTED, 0),
        (S.TRIGGER_PENDING, 0),
        (S.TRIGGERED, 0),
        (S.OPEN, 0),
        (S.PARTIALLY_FILLED, 1),
        (S.FILLED, 10),
    ],
    "rejected": [(S.ACCEPTED, 0), (S.REJECTED, 0)],
    "rejected after a partial": [(S.OPEN, 0), (S.PARTIALLY_FILLED, 3), (S.REJECTED, 3)],
    "canceled, told without its fills": [(S.OPEN, 0), (S.PARTIALLY_FILLED, 3), (S.CANCELED, 0)],
    "expired": [(S.ACCEPTED, 0), (S.TRIGGER_PENDING, 0), (S.EXPIRED, 0)],
}


@pytest.mark.parametrize("life", LIVES)
@pytest.mark.parametrize("clock", ["rising", "one second", "none"])
def test_any_order_of_arrival_ends_in_the_same_state(life, clock):
    stamp = {"rising": lambda i: 100 + i, "one second": lambda i: 100, "none": lambda i: None}[clock]
    reports = [order(status, filled, ts=stamp(i)) for i, (status, filled) in enumerate(LIVES[life])]
    most = max(report.filled_quantity for report in reports)
    for arrival in itertools.permutations(reports):
        known, fills = order(S.SUBMITTED), []
        for seen in arrival:
            known = merge(known, seen).order
            fills.append(known.filled_quantity)
        assert (known.status, known.filled_quantity) == (reports[-1].status, most)
        assert fills == sorted(fills)


@pytest.mark.parametrize("clock", ["rising", "one second"])
@pytest.mark.parametrize("doubled", range(5))
def test_a_change_of_ours_ends_the_same_in_any_order_of_arrival(clock, doubled):
    step = 1 if clock == "rising" else 0
    frames = [
        priced(100),
        guess(S.OPEN, price=Decimal(100), pending=Pending.MODIFY),
        priced(101, S.TRIGGER_PENDING),
        guess(S.TRIGGER_PENDING, price=Decimal(101)),
    ]
    reports = [frame.but(ts_event=100 + i * step) for i, frame in enumerate(frames)]
    reports += reports[doubled : doubled + 1]
    for arrival in itertools.permutations(reports):
        known = priced(100, ts=100, pending=Pending.MODIFY)
        for seen in arrival:
            known = merge(known, seen, ASKED).order
        assert (known.price, known.pending) == (101, Pending.NONE)
        assert clock == "rising" or known.status is S.TRIGGER_PENDING
        # A word without a status of its own may have overtaken the report that names it: the next reading tells.
        known = merge(known, priced(101, S.TRIGGER_PENDING, ts=reports[3].ts_event), ASKED).order
        assert (known.price, known.status, known.pending) == (101, S.TRIGGER_PENDING, Pending.NONE)


@pytest.mark.parametrize("ts", [4, 5, 6, None])
@pytest.mark.parametrize("asked", [None, Asked({"quantity": Decimal(10)}), Asked(answered_at=1)])
def test_merging_a_report_twice_is_merging_it_once(ts, asked):
    for old, new, firm, filled in itertools.product(S, S, (True, False), (0, 2, 3, 10)):
        known = order(old, 2, ts=5, pending=Pending.NONE if old.terminal else Pending.CANCEL)
        seen = order(new, filled, ts=ts, status_is_firm=firm)
        once = merge(known, seen, asked).order
        assert merge(once, seen, asked).order == once
        assert once.filled_quantity == max(filled, 2)
