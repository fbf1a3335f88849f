"""Every figure of a day's report, from journals written by hand whose answers are known."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from decimal import Decimal as D
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest

from dragoman.errors import ErrorKind, UsageError
from dragoman.model import Fill, Margin, Order, OrderRequest, OrderStatus, Pending, PnL, Product, Reject, Segment, Side
from dragoman.model.margins import MarginUsed
from dragoman.orders.journal import Damage, Kind, Record
from dragoman.orders.journal.codec import to_plain
from dragoman.report import day_report, numbers, render
from dragoman.report.figures import latency
from dragoman.session.secrets import Secret

NS, MS = 1_000_000_000, 1_000_000
NINE = 1_767_583_800 * NS  # 2026-01-05 09:00 in Kolkata
DAY, INFY, FUTURE = "2026-01-05", "NSE:INFY", "NFO:NIFTY@20260127"
S = OrderStatus
ADAPTER = SimpleNamespace(name="examplebroker", session=SimpleNamespace(time_zone="Asia/Kolkata"), charges_table=None)
TERMS = {"currency": "INR", "multiplier": "1", "exchange": "NSE", "instrument_type": "SPOT", "asset_class": "EQUITY"}


class Pen:
    """Writes records, a ms apart."""

    def __init__(self, now: int = NINE) -> None:
        self.now, self.epoch, self.records = now, 1, []
        self.open()

    def write(self, kind, payload, after=MS):
        self.now += after
        self.records.append(Record(kind, self.now, self.epoch, len(self.records) + 1, "AAAAA", payload))

    def open(self):
        self.write(Kind.OPEN, {"broker": "examplebroker", "environment": "live", "account": "AB1"})

    def restart(self):
        self.epoch += 1
        self.open()

    def intent(self, name, side="BUY", quantity=10, mark=None, after=MS, instrument=INFY, **more):
        request = OrderRequest(
            instrument_id=instrument, side=Side(side), quantity=D(quantity), client_order_id=name,
            product=Product.INTRADAY, **more,
        )  # fmt: skip
        entry = {"op": "place", "name": name, "at": self.now, "request": to_plain(request)}
        self.write(Kind.INTENT, entry | ({} if mark is None else {"mark": mark}), after)
        return Order(
            instrument_id=instrument, side=Side(side), quantity=D(quantity), client_order_id=name, order_id=f"7{name}",
            order_ids=(f"7{name}",), product=Product.INTRADAY, price=request.price,
            trigger_price=request.trigger_price, order_type=request.order_type,
        )  # fmt: skip

    def accepted(self, name, after=MS):
        told = {"op": "place", "name": name, "effect": "ACCEPTED", "order_id": f"7{name}", "at": self.now}
        self.write(Kind.REPLY, told, after)

    def order(self, order, status, *fills, kind=Kind.STREAM, after=MS, replaced=(), **changes):
        entry = {"order": to_plain(order.but(status=status, **changes)), "fills": [to_plain(one) for one in fills]}
        self.write(kind, entry | {"replaced": list(replaced)}, after)

    def fill(self, order, quantity, price, number, **more):
        terms = {"instrument_id": order.instrument_id, "side": order.side, "product": order.product, "exchange": "NSE"}
        return Fill(
            trade_id=str(number), order_id=order.order_id, quantity=D(quantity), price=D(price),
            client_order_id=order.client_order_id, **(terms | {"ts_event": self.now} | more),
        )  # fmt: skip

    def filled(self, name, side, quantity, price, number, **more):
        order = self.intent(name, side, quantity, **more)
        self.accepted(name)
        self.order(order, S.FILLED, self.fill(order, quantity, price, number), filled_quantity=D(quantity))
        return order

    def report(self, day=DAY, **more):
        return day_report(self.records, ADAPTER, now_ns=self.now + NS, day=day, **more)


# -- orders and their times --------------------------------------------------------------------------------------------


def test_an_order_is_shown_as_it_was_last_known_with_its_life():
    pen = Pen()
    order = pen.intent("a", price=D(100))
    pen.accepted("a", after=3 * MS)
    pen.order(order, S.OPEN, after=2 * MS)
    pen.order(order, S.PARTIALLY_FILLED, pen.fill(order, 4, 100, 1), filled_quantity=D(4), average_price=D(100))
    (line,) = pen.report().orders
    assert (line.status, line.filled_quantity, line.average_price, line.price) == (S.PARTIALLY_FILLED, 4, 100, 100)
    assert line.ts_reply - line.ts_intent == 3 * MS
    assert line.ts_stream - line.ts_intent == 5 * MS
    assert [(step.source, step.what) for step in line.life] == [
        ("INTENT", "place"),
        ("REPLY", "place: ACCEPTED"),
        ("STREAM", "OPEN at 100"),
        ("STREAM", "PARTIALLY_FILLED 4 of 10"),
    ]


def test_an_order_seen_before_anybody_knew_whose_it_is_is_one_order():
    pen = Pen()
    order = pen.intent("a")
    pen.order(order.but(client_order_id="EXT-7a"), S.OPEN, after=2 * MS)
    pen.accepted("a", after=2 * MS)
    pen.order(order, S.OPEN)
    (line,) = pen.report().orders
    assert line.name == "a"
    assert line.ts_stream - line.ts_intent == 2 * MS
    assert [step.source for step in line.life] == ["INTENT", "STREAM", "REPLY", "STREAM"]


def test_an_order_of_the_day_before_that_works_on_is_of_the_day_and_one_that_ended_is_not():
    pen = Pen(NINE - 86_400 * NS)
    working, ended = pen.intent("works"), pen.intent("ended")
    pen.order(working, S.OPEN)
    pen.order(ended, S.CANCELED)
    pen.now = NINE
    pen.order(working, S.CANCELED)
    assert [(line.name, line.status) for line in pen.report().orders] == [("works", S.CANCELED)]
    assert pen.report().orders[0].ts_intent is None
    assert [line.name for line in pen.report("2026-01-04").orders] == ["works", "ended"]
    assert [line.status for line in pen.report("2026-01-04").orders] == [S.OPEN, S.CANCELED]


def test_percentiles_are_nearest_ranks_and_absent_where_too_few_can_tell():
    found = latency("place", "reply", range(200, 0, -1))
    assert (found.count, found.least, found.p50, found.p90, found.p99, found.greatest) == (200, 1, 100, 180, 198, 200)
    few = latency("place", "reply", [5, 3])
    assert (few.p50, few.p90, few.p99, few.greatest) == (3, None, None, 5)
    assert latency("place", "reply", [7]).p50 == 7
    assert found.curve[-1] == (1.0, 200)


def test_latencies_are_told_apart_by_act_and_a_lost_reply_is_none():
    pen = Pen()
    order = pen.intent("a")
    pen.accepted("a", after=4 * MS)
    pen.write(Kind.INTENT, {"op": "cancel", "name": "a", "order_id": "7a", "at": 1})
    pen.write(Kind.REPLY, {"op": "cancel", "name": "a", "effect": "ACCEPTED"}, after=6 * MS)
    lost = pen.intent("lost")
    pen.order(lost, S.UNKNOWN, kind=Kind.REPLY, after=99 * MS, order_id="", order_ids=())
    pen.order(order, S.CANCELED)
    found = {(one.act, one.until): (one.count, one.p50) for one in pen.report().latencies}
    assert found == {
        ("place", "reply"): (1, 4 * MS),
        ("cancel", "reply"): (1, 6 * MS),
        ("place", "first stream event"): (1, (4 + 1 + 6 + 1 + 99 + 1) * MS),
    }


# -- prices ------------------------------------------------------------------------------------------------------------


def test_slippage_is_against_the_mark_the_limit_and_the_trigger_and_worse_is_above_zero():
    pen = Pen()
    order = pen.intent("buy", quantity=10, price=D("101"), trigger_price=D("99"), mark=100.0)
    pen.order(order, S.PARTIALLY_FILLED, pen.fill(order, 4, "100.5", 1), filled_quantity=D(4))
    pen.order(order, S.FILLED, pen.fill(order, 6, "101", 2), filled_quantity=D(10))
    pen.filled("sell", "SELL", 10, "100", 3, mark=100.1)
    bought, sold = pen.report().slippage
    assert (bought.average_price, bought.mark, bought.by_mark, bought.cost) == (D("100.8"), 100, D("0.8"), 8)
    assert (bought.by_limit, bought.by_trigger, bought.basis_points) == (D("-0.2"), D("1.8"), 80)
    assert (sold.by_mark, sold.cost, sold.limit, sold.by_limit) == (D("0.1"), 1, None, None)


def test_a_limit_counts_as_it_was_when_it_filled():
    pen = Pen()
    order = pen.intent("a", quantity=10, price=D(100))
    pen.order(order, S.PARTIALLY_FILLED, pen.fill(order, 5, 99, 1), filled_quantity=D(5))
    pen.order(order, S.FILLED, pen.fill(order, 5, 99, 2), filled_quantity=D(10), price=D(98))
    (one,) = pen.report().slippage
    assert (one.limit, one.by_limit, one.mark, one.by_mark) == (99, 0, None, None)


@pytest.mark.parametrize("mark", [0, -5.0, "100", None, True, [1]])
def test_a_mark_that_is_no_price_is_none(mark):
    pen = Pen()
    pen.filled("a", "BUY", 1, 100, 1)
    pen.records[1].payload["mark"] = mark
    assert pen.report().orders[0].mark is None


# -- fills and positions -----------------------------------------------------------------------------------------------


def test_realised_profit_is_counted_by_the_position_book_at_the_instruments_multiplier():
    pen = Pen()
    pen.filled("a", "BUY", 10, 100, 1)
    pen.filled("b", "SELL", 4, 103, 2)
    pen.filled("f", "SELL", 2, 50, 3, instrument=FUTURE)
    pen.filled("g", "BUY", 2, 49, 4, instrument=FUTURE)
    terms = {INFY: TERMS, FUTURE: TERMS | {"multiplier": "25", "exchange": "NFO", "instrument_type": "FUTURE"}}
    marks = {INFY: ["104", pen.now, "98"], FUTURE: [None, None, None]}
    pen.write(Kind.CONTROL, {"what": "money", "day": DAY, "terms": terms, "marks": marks, "opening": []})
    report = pen.report()
    future, infy = report.positions
    assert (infy.quantity, infy.realised_pnl, infy.unrealised_pnl, infy.close_price) == (6, 12, 24, 98)
    assert (future.quantity, future.realised_pnl) == (0, 50)
    (total,) = report.totals
    assert (total.realised, total.unrealised) == (62, 24)
    assert [(one.currency, one.realised) for one in report.realised] == [
        ("INR", 0),
        ("INR", 12),
        ("INR", 12),
        ("INR", 62),
    ]
    assert report.opening_known
    assert report.notes == ()


def test_what_the_day_began_with_is_taken_from_the_journal():
    pen = Pen()
    opening = [{"instrument_id": INFY, "product": "INTRADAY", "position_side": "NET", "quantity": "10", "price": "90"}]
    pen.write(Kind.CONTROL, {"what": "money", "day": DAY, "terms": {INFY: TERMS}, "opening": opening})
    pen.filled("a", "SELL", 4, 100, 1)
    (row,) = pen.report().positions
    assert (row.overnight_quantity, row.overnight_price, row.quantity, row.realised_pnl) == (10, 90, 6, 40)


def test_fills_count_once_and_one_that_stood_for_others_leaves():
    pen = Pen()
    order = pen.intent("a")
    whole = pen.fill(order, 10, 100, "guess", is_synthetic=True)
    pen.order(order, S.FILLED, whole, filled_quantity=D(10))
    parts = [pen.fill(order, 6, 100, 1), pen.fill(order, 4, 101, 2)]
    pen.order(order, S.FILLED, *parts, replaced=["guess"], filled_quantity=D(10))
    pen.order(order, S.FILLED, parts[0], kind=Kind.POLL, filled_quantity=D(10))
    assert [(one.trade_id, one.quantity, one.price) for one in pen.report().fills] == [("1", 6, 100), ("2", 4, 101)]


def test_a_fill_told_on_the_next_day_is_of_its_own_day():
    pen = Pen()
    order = pen.intent("a")
    late = pen.fill(order, 10, 100, 1)
    pen.now += 86_400 * NS
    pen.restart()
    pen.order(order, S.FILLED, late, kind=Kind.POLL, filled_quantity=D(10))
    assert [one.trade_id for one in pen.report().fills] == ["1"]
    assert pen.report().orders[0].status is S.UNKNOWN, "nobody knew on that day"
    assert pen.report("2026-01-06").fills == ()


# -- refusals and doubts -----------------------------------------------------------------------------------------------


def test_refusals_are_counted_by_kind_and_code():
    pen = Pen()
    funds = Reject(ErrorKind.INSUFFICIENT_MARGIN, "too little", "RMS1")
    for name in ("a", "b"):
        pen.order(pen.intent(name), S.REJECTED, kind=Kind.REPLY, reject=funds, order_id="", order_ids=())
    pen.intent("c")
    pen.accepted("c")
    pen.write(Kind.INTENT, {"op": "modify", "name": "c", "order_id": "7c", "at": 1, "change": {}})
    refused = {"op": "modify", "name": "c", "effect": "NONE", "kind": "PRICE_OUT_OF_BAND", "text": "no", "code": "17"}
    pen.write(Kind.REPLY, refused)
    report = pen.report()
    assert [(one.kind, one.code, one.count, one.text) for one in report.rejects] == [
        ("INSUFFICIENT_MARGIN", "RMS1", 2, "too little"),
        ("PRICE_OUT_OF_BAND", "17", 1, "no"),
    ]
    assert [(one.name, one.act, one.instrument_id) for one in report.rejections] == [
        ("a", "place", INFY),
        ("b", "place", INFY),
        ("c", "modify", INFY),
    ]


def test_an_unknown_outcome_says_how_it_was_resolved():
    pen = Pen()
    found, lost, still = (pen.intent(name) for name in ("found", "lost", "still"))
    for order in (found, lost, still):
        pen.order(order, S.UNKNOWN, kind=Kind.REPLY, order_id="", order_ids=())
    pen.order(found, S.OPEN, kind=Kind.POLL)
    pen.write(Kind.DECISION, {"what": "never arrived", "name": "lost", "why": "two readings", "at": pen.now})
    never = Reject(ErrorKind.NEVER_ARRIVED, "it never arrived")
    pen.order(lost, S.REJECTED, kind=Kind.REPLY, reject=never, order_id="", order_ids=())
    by_name = {one.name: one for one in pen.report().unknowns}
    assert by_name["found"].how == "told by a reading"
    assert by_name["found"].status == "OPEN"
    assert by_name["lost"].how == "it never arrived: two readings"
    assert (by_name["still"].ts_closed, by_name["still"].status) == (None, "UNKNOWN")


def test_an_intent_that_a_crash_left_alone_is_in_doubt_until_something_is_told():
    pen = Pen()
    order = pen.intent("alone")
    pen.restart()
    pen.order(order, S.OPEN, kind=Kind.POLL, after=5 * MS)
    (doubt,) = pen.report().unknowns
    assert (doubt.name, doubt.how, doubt.ts_closed - doubt.ts_recv) == ("alone", "told by a reading", 6 * MS)


def test_a_change_of_unknown_outcome_is_in_doubt_until_nothing_is_asked_any_more():
    pen = Pen()
    order = pen.intent("a")
    pen.order(order, S.OPEN)
    pen.write(Kind.INTENT, {"op": "cancel", "name": "a", "order_id": "7a", "at": 1})
    pen.write(Kind.REPLY, {"op": "cancel", "name": "a", "effect": "UNKNOWN", "kind": "TIMEOUT", "text": "late"})
    pen.order(order, S.OPEN, pending=Pending.CANCEL)
    assert [one.ts_closed for one in pen.report().unknowns] == [None]
    pen.order(order, S.CANCELED)
    (doubt,) = pen.report().unknowns
    assert (doubt.act, doubt.how, doubt.status) == ("cancel", "told by the order stream", "CANCELED")


# -- rules, the switch, money ------------------------------------------------------------------------------------------


def test_rules_say_when_they_fired_and_the_switch_who_and_why():
    pen = Pen()
    state = {"status": "ARMED", "reason": "", "key": [INFY, "INTRADAY", "NET"], "exited": "0", "orders": []}
    pen.write(Kind.RULE, {"name": "R1", "what": "armed", "state": state, "rule_kind": "StopLoss", "rule": {}})
    pen.write(Kind.RULE, {"name": "R1", "what": "fired", "state": state | {"status": "FIRED", "reason": "reached"}})
    fired = pen.now
    done = state | {"status": "DONE", "exited": "100", "orders": ["R1.1.1"], "reason": "100 exited"}
    pen.write(Kind.RULE, {"name": "R1", "what": "done", "over": True, "state": done})
    switch = {"what": "kill switch", "engaged": True, "who": "me", "why": "enough", "flatten": True, "at": pen.now}
    for _ in range(2):
        pen.write(Kind.CONTROL, switch)
    report = pen.report()
    (rule,), (kill,) = report.rules, report.kills
    assert (rule.kind, rule.instrument_id, rule.status, rule.ts_fired) == ("StopLoss", INFY, "DONE", (fired,))
    assert (rule.exited, rule.orders, rule.reason) == (100, ("R1.1.1",), "100 exited")
    assert (kill.engaged, kill.who, kill.why, kill.flatten) == (True, "me", "enough", True)


def test_money_samples_tell_what_changed_and_end_with_the_run():
    pen = Pen()
    margin = Margin(segment=Segment.EQUITY, net=D("900.5"), used=MarginUsed(total=D(100)))
    pnl = PnL(currency="INR", realised=D(5))
    pen.write(Kind.CONTROL, {"what": "money", "day": DAY, "margins": {"EQUITY": to_plain(margin)}, "pnl": {}})
    pen.write(Kind.CONTROL, {"what": "money", "pnl": {"INR": to_plain(pnl)}})
    pen.restart()
    pen.write(Kind.CONTROL, {"what": "money", "pnl": {"INR": to_plain(replace(pnl, realised=D(6)))}})
    first, second, third = pen.report().money
    assert (first.margins, first.pnl) == ((margin,), ())
    assert (second.margins, second.pnl) == ((margin,), (pnl,))
    assert (third.margins, third.pnl[0].realised) == ((), 6)


# -- the page ----------------------------------------------------------------------------------------------------------


class Balance(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.loaded = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "br"):
            self.open.append(tag)
        self.loaded += [
            value for name, value in attrs if name in ("src", "href", "action") and not value.startswith("#")
        ]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        pass


def test_the_page_is_well_formed_loads_nothing_and_holds_hostile_text():
    evil = "</script><script>alert(1)</script><img src=https://evil/>\"'&"
    pen = Pen()
    pen.filled("a", "BUY", 10, 100, 1, mark=99.0, tag=evil)
    reject = Reject(ErrorKind.BAD_REQUEST, evil, evil)
    pen.order(pen.intent(evil, instrument=evil), S.REJECTED, kind=Kind.REPLY, reject=reject)
    pen.write(Kind.CONTROL, {"what": "kill switch", "engaged": True, "who": evil, "why": evil, "at": pen.now})
    page = render(pen.report(damage=[Damage(evil, 0, 1, evil, 3)]))
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    assert balance.loaded == []
    assert not re.search(r"<link|<img|@import|url\(", page)
    assert page.lower().count("<script") == 1
    for drawing in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        assert "nan" not in ET.tostring(ET.fromstring(drawing), "unicode").lower()


def test_a_secret_in_an_old_record_is_not_shown():
    secret = Secret("hunter2hunter2")
    pen = Pen()
    why = "it said hunter2hunter2 again"
    pen.order(pen.intent("a"), S.REJECTED, kind=Kind.REPLY, reject=Reject(ErrorKind.BAD_REQUEST, why))
    pen.write(Kind.DECISION, {"what": "escalated", "name": "a", "why": why})
    assert secret
    assert "hunter2" not in render(pen.report())


def test_a_day_without_records_names_those_there_are():
    pen = Pen()
    with pytest.raises(UsageError, match=f"there are {DAY}"):
        pen.report("2026-01-06")
    with pytest.raises(UsageError, match="no date"):
        pen.report("yesterday")
    with pytest.raises(UsageError, match="no records"):
        day_report([], ADAPTER, now_ns=NINE)


def test_numbers_lose_no_digit():
    pen = Pen()
    pen.filled("a", "BUY", "0.00000001", "61234.123456789", 1, mark=61234.5)
    (row,) = numbers(pen.report())["fills"]
    assert (row["quantity"], row["price"], row["mark"]) == ("0.00000001", "61234.123456789", "61234.5")


def test_conversions_move_units_to_another_product_once():
    def converted(name, quantity, ts, **more):
        moved = {"conversion_id": name, "instrument_id": INFY, "product": "INTRADAY", "to_product": "DELIVERY"}
        return {"what": "conversion", "conversion": moved | {"quantity": quantity, "ts_event": ts} | more}

    pen = Pen()
    opening = [{"instrument_id": INFY, "product": "INTRADAY", "position_side": "NET", "quantity": "10", "price": "90"}]
    pen.write(Kind.CONTROL, converted("1", "3", pen.now, overnight=True))
    pen.write(Kind.CONTROL, {"what": "money", "day": DAY, "terms": {INFY: TERMS}, "opening": opening})
    pen.write(Kind.CONTROL, converted("2", "4", pen.now + 1, overnight=True))
    rows = {row.product: row.quantity for row in pen.report().positions}
    assert rows == {"INTRADAY": 6, "DELIVERY": 4}, "what was kept after the first has it already"
