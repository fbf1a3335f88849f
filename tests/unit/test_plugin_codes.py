"""A broker's words for our values, both ways."""

from __future__ import annotations

import pytest

from dragoman.errors import ErrorKind, UsageError
from dragoman.model import TimeInForce
from dragoman.plugin import EnumMap

TIMES = EnumMap({"GTC": TimeInForce.GTC, "GTX": TimeInForce.GTC}, unknown=TimeInForce.UNKNOWN)


def test_a_value_without_a_word_is_refused_by_name():
    assert TIMES.write(TIMES.read("GTX")) == "GTC"
    with pytest.raises(UsageError, match=r"TimeInForce UNKNOWN is nothing this broker takes.*it takes GTC") as caught:
        TIMES.write(TIMES.read("RPI"))
    assert caught.value.kind is ErrorKind.NOT_SUPPORTED
