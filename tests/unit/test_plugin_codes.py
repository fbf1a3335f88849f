"""A broker's words for our values, both ways."""

from __future__ import annotations

import pytest

from dragoman.errors import Effect, ErrorKind, UsageError
from dragoman.model import TimeInForce
from dragoman.plugin import CodeTable, EnumMap, Failure
from dragoman.plugin.codes import Code

TIMES = EnumMap({"GTC": TimeInForce.GTC, "GTX": TimeInForce.GTC}, unknown=TimeInForce.UNKNOWN)


def test_a_value_without_a_word_is_refused_by_name():
    assert TIMES.write(TIMES.read("GTX")) == "GTC"
    with pytest.raises(UsageError, match=r"TimeInForce UNKNOWN is nothing this broker takes.*it takes GTC") as caught:
        TIMES.write(TIMES.read("RPI"))
    assert caught.value.kind is ErrorKind.NOT_SUPPORTED


def test_a_failure_of_one_order_is_refused_or_open():
    nothing = Failure(ErrorKind.BAD_REQUEST, "9: no", "9", "no").outcome("7", raw={"code": 9})
    assert (nothing.effect, nothing.order_id, nothing.reject.text, nothing.raw) == ("REJECTED", "7", "no", {"code": 9})
    late = Failure(ErrorKind.TIMEOUT, "9: late", "9").outcome()
    assert (late.effect, late.reject.text, late.reject.effect) == ("UNKNOWN", "9: late", Effect.UNKNOWN)


def test_a_rejected_order_of_the_book_is_rejected_whatever_its_words_are():
    row = Code("no funds", ErrorKind.INSUFFICIENT_MARGIN, "m", "s", match="contains", on="text", effect=Effect.UNKNOWN)
    table = CodeTable((row,))
    known, new = table.rejection("There are No Funds"), table.rejection(None)
    assert (known.kind, known.effect) == (ErrorKind.INSUFFICIENT_MARGIN, Effect.NONE)
    assert (new.kind, new.text, new.effect) == (ErrorKind.UNMAPPED, "no reason given", Effect.NONE)
