"""Subscriptions of a connection: only what changes is said, and nothing is said twice."""

from __future__ import annotations

from dragoman.plugin.subscriptions import Subscriptions


def test_a_change_of_topics_leaves_the_old_ones_and_joins_the_new_ones_only():
    held = Subscriptions[str]()
    assert held.change([("X", ["x/trade", "x/depth"]), ("Y", ["y/trade"])], []) == (
        [],
        ["x/trade", "x/depth", "y/trade"],
    )
    assert held.change([("X", ["x/trade", "x/quote"])], []) == (["x/depth"], ["x/quote"])
    assert held.topics() == ["y/trade", "x/trade", "x/quote"]


def test_what_is_wanted_again_says_nothing_and_what_is_not_held_is_nothing_to_leave():
    held = Subscriptions[tuple[str, int]]()
    held.change([("X", [("x", 1)])], [])
    assert held.change([("X", [("x", 1)])], ["Z"]) == ([], [])
    assert held.change([], ["X"]) == ([("x", 1)], [])
    assert held.topics() == []


def test_a_key_dropped_and_wanted_at_once_is_left_and_joined_anew():
    held = Subscriptions[str]()
    held.change([("X", ["x"])], [])
    assert held.change([("X", ["x"])], ["X"]) == (["x"], ["x"])
