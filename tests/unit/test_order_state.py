"""The transition table of the order state machine, and what each rule of merging does."""

from __future__ import annotations

import itertools
from decimal import Decimal

import pytest

from dragoman.model import Order, OrderStatus, Origin, Pending, Side
from dragoman.orders.state import Verdict, allowed, merge

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
    assert result.order.filled_quantity == 6
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


def test_a_report_from_before_the_modify_leaves_it_pending():
    known = order(S.OPEN, ts=20, price=Decimal(5), pending=Pending.MODIFY)
    assert merge(known, order(S.OPEN, ts=20, price=Decimal(5), placed_by="x")).order.pending is Pending.MODIFY
    assert merge(known, order(S.OPEN, ts=21, price=Decimal(6))).order.pending is Pending.NONE


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
}


@pytest.mark.parametrize("life", LIVES)
@pytest.mark.parametrize("clock", ["rising", "one second"])
def test_any_order_of_arrival_ends_in_the_same_state(life, clock):
    step = 1 if clock == "rising" else 0
    reports = [order(status, filled, ts=100 + i * step) for i, (status, filled) in enumerate(LIVES[life])]
    for arrival in itertools.permutations(reports):
        known = order(S.SUBMITTED)
        for seen in arrival:
            known = merge(known, seen).order
        assert (known.status, known.filled_quantity) == (reports[-1].status, reports[-1].filled_quantity)


def test_merging_a_report_twice_is_merging_it_once():
    for old, new in itertools.product(S, S):
        once = merge(order(old, ts=5), order(new, 2, ts=6)).order
        assert merge(once, order(new, 2, ts=6)).order == once
