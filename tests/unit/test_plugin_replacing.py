"""Changes that make a new order counting from 0: what fills meanwhile is taken away again, or told."""

from __future__ import annotations

from decimal import Decimal

import pytest

from dragoman.errors import Effect, ErrorKind, OutcomeUnknown, Rejected, UsageError
from dragoman.model import Order, OrderChange, OrderStatus, OrderType, Reject, Side
from dragoman.plugin import Request, Wait
from dragoman.plugin.records import Records
from dragoman.plugin.replacing import CORRECTIONS, LOOKS, Seen, Stage, Steps, replaced

D = Decimal
RECORDS = Records("examplebroker")
REFUSAL = Reject(ErrorKind.EXCHANGE_REJECTED, "no")


class Broker:
    """The broker's side as a script: what each look sees, and what is asked of it."""

    def __init__(self, *looks, failing=()):
        self.looks, self.failing = list(looks), dict(failing)
        self.asked = []

    def change(self, order_id, quantity, first):
        yield Request(path="/change")
        self.asked.append((order_id, quantity, first))
        if len(self.asked) in self.failing:
            raise self.failing[len(self.asked)]
        return f"{order_id}+", {"made": len(self.asked)}

    def cancel(self, order_id):
        yield Request(path="/cancel")
        self.asked.append((order_id, "cancel"))

    def look(self, order_id):
        yield Request(path="/look")
        seen = self.looks.pop(0)
        if isinstance(seen, Exception):
            raise seen
        return seen

    @property
    def steps(self):
        return Steps(self.change, self.cancel, self.look)


def run(flow):
    """Drive a flow whose effects have no results; return its result and the waits it asked for."""
    waits = []
    try:
        effect = next(flow)
        while True:
            if isinstance(effect, Wait):
                waits.append(effect.seconds)
            effect = flow.send(None)
    except StopIteration as end:
        return end.value, waits


def order(quantity=100, filled=0):
    return Order(
        broker="examplebroker",
        account_id="A",
        instrument_id="US:X",
        side=Side.BUY,
        quantity=D(quantity),
        order_type=OrderType.LIMIT,
        status=OrderStatus.OPEN,
        order_id="1",
        filled_quantity=D(filled),
    )


def change(broker, *, quantity=None, of=None, given=100, filled=0, others=0):
    wanted = OrderChange(quantity=None if quantity is None else D(quantity))
    return run(replaced(RECORDS, of or order(), wanted, D(given), D(filled), D(others), broker.steps))


def seen(stage, filled=0, reject=None):
    return Seen(stage, D(filled), reject)


def test_an_untouched_order_is_changed_without_a_quantity():
    broker = Broker(seen(Stage.REPLACED))
    outcome, waits = change(broker)
    assert (outcome.effect, outcome.order_id, outcome.replaces) == ("ACCEPTED", "1+", "1")
    assert (broker.asked, waits) == ([("1", None, True)], [])


def test_what_has_filled_is_left_out_of_what_the_new_order_is_given():
    broker = Broker(seen(Stage.REPLACED, 10))
    outcome, _ = change(broker, quantity=120, of=order(filled=40), given=70, filled=10, others=30)
    assert outcome.effect == "ACCEPTED"
    assert broker.asked == [("1", D(80), True)]


def test_no_more_than_what_is_filled_is_refused_with_nothing_sent():
    broker = Broker()
    with pytest.raises(UsageError, match="not above the 40 already filled") as caught:
        change(broker, quantity=40, of=order(filled=40), filled=40)
    assert caught.value.kind is ErrorKind.INVALID_QUANTITY
    assert broker.asked == []


def test_what_fills_meanwhile_is_taken_away_by_a_change_without_terms():
    broker = Broker(seen(Stage.REPLACED, 25), seen(Stage.REPLACED, 0))
    outcome, _ = change(broker)
    assert (outcome.order_id, outcome.replaces, outcome.raw) == ("1++", "1", {"made": 2})
    assert broker.asked == [("1", None, True), ("1+", D(75), False)]


def test_an_order_filled_to_its_new_quantity_meanwhile_is_canceled():
    broker = Broker(seen(Stage.REPLACED, 60))
    outcome, _ = change(broker, quantity=50)
    assert outcome.effect == "ACCEPTED"
    assert broker.asked == [("1", D(50), True), ("1+", "cancel")]


def test_a_change_is_looked_at_until_the_broker_made_it_ever_later():
    broker = Broker(*[seen(Stage.CHANGING)] * 2, seen(Stage.REPLACED))
    assert change(broker)[1] == [0.1, 0.2]
    nobody = Broker(*[seen(Stage.CHANGING)] * LOOKS)
    outcome, waits = change(nobody)
    assert (outcome.effect, len(waits), nobody.looks) == ("ACCEPTED", LOOKS, [])


def test_a_change_that_was_refused_after_it_was_taken_is_a_refusal():
    broker = Broker(seen(Stage.CHANGING), seen(Stage.ITSELF), seen(Stage.REFUSED, reject=REFUSAL))
    outcome, _ = change(broker)
    assert (outcome.effect, outcome.reject) == ("REJECTED", REFUSAL)


def test_a_correction_that_is_refused_says_that_the_change_was_made_and_is_too_large():
    refusal = Rejected("too late", kind=ErrorKind.TOO_LATE_TO_MODIFY_OR_CANCEL, effect=Effect.NONE)
    outcome, _ = change(Broker(seen(Stage.REPLACED, 25), failing={2: refusal}))
    assert (outcome.effect, outcome.reject.effect) == ("REJECTED", Effect.APPLIED)
    assert "too large by the 25 that filled meanwhile: too late" in outcome.reject.text


def test_a_correction_whose_fate_is_open_is_open():
    lost = OutcomeUnknown("no reply", kind=ErrorKind.TIMEOUT)
    with pytest.raises(OutcomeUnknown, match="no reply"):
        change(Broker(seen(Stage.REPLACED, 25), failing={2: lost}))


def test_an_order_that_fills_during_every_correction_is_told_in_the_end():
    broker = Broker(*[seen(Stage.REPLACED, 5)] * CORRECTIONS)
    outcome, _ = change(broker)
    assert outcome.reject.effect is Effect.APPLIED
    assert len(broker.asked) == 1 + CORRECTIONS


def test_a_look_that_fails_leaves_the_change_taken():
    outcome, _ = change(Broker(Rejected("busy", kind=ErrorKind.RATE_LIMITED)))
    assert outcome.effect == "ACCEPTED"
