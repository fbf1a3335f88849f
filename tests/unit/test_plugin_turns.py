"""Long readings in pieces, with a turn for the loop between."""

from __future__ import annotations

import pytest

from dragoman.plugin import Wait, in_turns


def test_a_long_reading_gives_the_loop_a_turn_after_every_piece():
    made = []

    def rows():
        for at in range(7):
            made.append(at)
            yield at

    flow = in_turns(rows(), 3)
    turns = [(next(flow), len(made)), (next(flow), len(made))]
    assert turns == [(Wait(reason="a turn for the loop"), 3), (Wait(reason="a turn for the loop"), 6)]
    with pytest.raises(StopIteration) as end:
        next(flow)
    assert end.value.value == list(range(7))


def test_a_short_reading_takes_no_turn():
    with pytest.raises(StopIteration) as end:
        next(in_turns(iter("ab"), 3))
    assert end.value.value == ["a", "b"]
