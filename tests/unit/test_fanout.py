"""What may listen, and what is refused before it is missed."""

from __future__ import annotations

import gc

import pytest

from dragoman.errors import UsageError
from dragoman.session.fanout import Fanout


async def coroutine(event):
    raise AssertionError("nobody awaits this")


@pytest.mark.parametrize(("handler", "found"), [(coroutine, "a coroutine function"), (None, "NoneType"), ("x", "str")])
def test_what_could_never_be_called_is_refused_at_once(handler, found):
    fanout: Fanout[int] = Fanout("order")
    with pytest.raises(UsageError, match=found):
        fanout.add(handler)
    fanout.publish(1)
    assert fanout.handler_errors == 0


def test_what_was_published_before_anybody_listened_goes_to_the_first_who_does():
    for listen in ("call back", "iterate"):
        fanout: Fanout[int] = Fanout("client", lambda event: event % 2 == 0)
        for event in range(2000):
            fanout.publish(event)
        got: list[int] = []
        if listen == "call back":
            fanout.add(got.append)
        else:
            first = fanout.iterate()
            assert first.waiting == 256
        fanout.publish(7)
        fanout.add(got.append)
        fanout.publish(8)
        assert got == ([*range(0, 512, 2), 7, 8, 8] if listen == "call back" else [8])


def test_whoever_publishes_hears_when_nobody_follows_any_more():
    fanout: Fanout[int] = Fanout("order")
    heard: list[bool] = []
    fanout.changed = lambda: heard.append(fanout.followed)
    remove = fanout.add(lambda event: None)
    remove()
    assert heard == [True, False]
    following = fanout.iterate()
    assert heard.pop()
    del following  # nobody reads it any more: it goes with the next event
    gc.collect()
    fanout.publish(1)
    assert (heard, fanout.followed) == ([True, False, False], False)
