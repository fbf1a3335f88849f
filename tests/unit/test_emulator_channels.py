"""Channels of symbols: what is wanted, what is due at the pace, and what changed in a book."""

from __future__ import annotations

from dragoman.emulator.channels import Listener, book_changes


def listening(**channels):
    listener = Listener()
    listener.wanted = listener.asked(channels, more=True)
    return listener


def test_subscriptions_add_up_and_are_taken_back():
    listener = listening(trades=["A"], quotes=["*"])
    assert listener.wants("trades", "A")
    assert listener.wants("quotes", "Z")
    assert not listener.wants("trades", "Z")
    assert listener.asked({"trades": ["A", "B"]}, more=False) == {"trades": set(), "quotes": {"*"}}
    assert listener.wanted["trades"] == {"A"}


def test_what_changed_is_due_once_and_at_the_pace():
    listener = listening(trades=["A", "B"])
    listener.changed(["B", "Z", "A", "B"])
    assert listener.due(10, 5) == ["B", "A"]
    listener.changed(["A"])
    assert listener.due(14, 5) == []
    assert listener.due(15, 5) == ["A"]
    assert listener.due(30, 5) == []


def test_the_same_is_told_once_until_it_is_asked_for_again():
    listener = listening(trades=["A"])
    assert [listener.news("trades", "A", seen) for seen in (1, 1, 2)] == [True, False, True]
    listener.refresh({"trades": ["A"]}, ["A"])
    assert listener.news("trades", "A", 2)
    assert listener.due(0, 5) == ["A"]
    assert not listener.news("quotes", "A", 1)


def test_a_book_is_told_whole_and_then_by_its_changes():
    listener = listening(books=["A"])
    first, second = {"b": {1.0: 5.0, 2.0: 6.0}}, {"b": {2.0: 7.0, 3.0: 1.0}}
    assert listener.book("books", "A", first) == (True, first)
    assert listener.book("books", "A", first) is None
    assert listener.book("books", "A", second) == (False, {"b": {1.0: 0.0, 2.0: 7.0, 3.0: 1.0}})
    assert book_changes(second, second) == {"b": {}}
