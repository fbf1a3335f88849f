"""What may listen, and what is refused before it is missed."""

from __future__ import annotations

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
