"""The guard accepts every unbroken stream and notices every lost message."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from dragoman._core import SequenceGuard, Verdict

STEPS = st.lists(st.integers(1, 5), min_size=1, max_size=30)


def messages_of(start: int, steps: list[int]) -> list[tuple[int, int]]:
    """(follows, ends on) of a stream that continues from `start`."""
    ends = list(itertools.accumulate(steps, initial=start))
    return list(itertools.pairwise(ends))


@given(steps=STEPS, start=st.integers(-(2**62), 2**62))
def test_an_unbroken_stream_follows_its_snapshot(steps, start):
    guard = SequenceGuard()
    guard.reset(start)
    messages = messages_of(start, steps)
    assert {guard.check(*m) for m in messages} == {Verdict.FOLLOWS}
    assert guard.last == messages[-1][1]


@given(steps=STEPS, lost=st.data())
def test_a_dropped_message_is_a_gap(steps, lost):
    messages = messages_of(0, steps)
    dropped = lost.draw(st.integers(0, len(messages) - 1))
    guard = SequenceGuard()
    verdicts = [guard.check(*m) for i, m in enumerate(messages) if i != dropped]
    assert (Verdict.GAP in verdicts) == (dropped < len(messages) - 1)


@given(steps=STEPS, again=st.data())
def test_a_repeated_message_is_a_duplicate_and_changes_nothing(steps, again):
    messages = messages_of(0, steps)
    guard = SequenceGuard()
    for message in messages:
        assert guard.check(*message) is Verdict.FOLLOWS
    old = again.draw(st.sampled_from(messages))
    assert guard.check(*old) is Verdict.DUPLICATE
    assert guard.last == messages[-1][1]


@given(steps=STEPS, snapshot=st.data())
def test_a_snapshot_inside_a_range_is_continued(steps, snapshot):
    messages = messages_of(0, steps)
    last = messages[-1][1]
    guard = SequenceGuard()
    guard.reset(snapshot.draw(st.integers(0, last - 1)))
    verdicts = [guard.check(*m) for m in messages]
    assert Verdict.GAP not in verdicts
    assert guard.last == last


@given(steps=STEPS, start=st.integers(0, 1000))
def test_after_a_snapshot_without_a_number_the_next_message_is_adopted_and_then_guarded(steps, start):
    messages = messages_of(start, steps)
    guard = SequenceGuard()
    guard.adopt()
    assert {guard.check(*m) for m in messages} == {Verdict.FOLLOWS}
    assert guard.check(guard.last + 1, guard.last + 2) is Verdict.GAP


def test_a_linked_venue_may_restart_its_numbers():
    guard = SequenceGuard()
    guard.reset(15)
    assert guard.check(15, 3) is Verdict.FOLLOWS
    assert guard.check(3, 5) is Verdict.FOLLOWS
