"""Any records give a report or a typed error, and the report a page: nothing that a disk holds may hide a day."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.errors import DragomanError
from dragoman.orders.journal import Kind, Record
from dragoman.report import day_report, render

NINE = 1_767_583_800 * 10**9  # 2026-01-05 09:00 in Kolkata
ADAPTER = SimpleNamespace(name="examplebroker", session=SimpleNamespace(time_zone="Asia/Kolkata"), charges_table=None)

WORDS = st.sampled_from(
    "a place cancel money BUY OPEN FILLED UNKNOWN ACCEPTED INR NSE:INFY 10 NaN -1 1e400 Infinity STREAM EQUITY INTRADAY"
    " NET fired 2026-01-05".split()
)
NUMBERS = st.one_of(st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False))
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=8), WORDS)
NAMES = st.sampled_from(
    "op name at effect order_id order request fills replaced what why carried rules rule state key status exited orders"
    " mark exit engaged day margins pnl marks terms opening instrument_id side quantity price trade_id client_order_id"
    " product position_side order_ids ts_event realised segment net reject kind text code pending".split()
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=6)),
    max_leaves=12,
)
FIELDS = {"instrument_id": "NSE:INFY", "side": "BUY", "quantity": "10", "client_order_id": "a", "order_id": "7"}
FILL = {"trade_id": "1", "order_id": "7", "instrument_id": "NSE:INFY", "side": "BUY", "quantity": "1", "price": "100"}


def nearly(fields):
    """Return objects that are right but for a field or two."""
    return st.dictionaries(NAMES, VALUES, max_size=2).map(lambda wrong: fields | wrong)


ORDERS = nearly(FIELDS | {"order_ids": ["7"], "status": "PARTIALLY_FILLED", "filled_quantity": "1"})
PAYLOADS = st.one_of(
    VALUES,
    st.dictionaries(NAMES, VALUES, max_size=6),
    nearly({"op": "place", "name": "a", "at": 1, "mark": 99.5, "request": FIELDS}),
    nearly({"op": "cancel", "name": "a", "effect": "NONE"}),
    st.builds(lambda order, fill: {"order": order, "fills": [fill]}, ORDERS, nearly(FILL)),
    st.builds(lambda order: {"what": "carried", "name": "", "carried": [{"order": order}]}, ORDERS),
    nearly({"what": "money", "day": "2026-01-05", "pnl": {"INR": {"currency": "INR"}}, "opening": []}),
    nearly({"name": "R", "what": "fired", "state": {"status": "FIRED", "key": ["NSE:INFY", "INTRADAY", "NET"]}}),
    nearly({"what": "kill switch", "engaged": True}),
)
RECORDS = st.builds(
    Record,
    kind=st.one_of(st.sampled_from(list(Kind)), st.integers(0, 2**16 - 1).map(Kind)),
    time_ns=st.one_of(st.integers(NINE, NINE + 10**12), st.integers(-(2**63), 2**63 - 1)),
    epoch=st.integers(0, 3),
    sequence=st.integers(1, 100),
    journal_id=st.just("AAAAA"),
    payload=PAYLOADS,
)


@pytest.mark.logs  # recovery says which records it cannot read
@given(records=st.lists(RECORDS, max_size=8))
def test_any_records_give_a_report_or_a_typed_error(records):
    try:
        report = day_report(records, ADAPTER, now_ns=NINE + 10**12, day="2026-01-05")
    except DragomanError as error:
        refused = error.remedy
    else:
        assert report.records >= 1
        assert render(report).endswith("</html>\n")
        return
    assert refused
