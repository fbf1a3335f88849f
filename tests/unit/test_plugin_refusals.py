"""Replies that are no success: the first word the table knows, the code they are named by, when to ask again."""

from __future__ import annotations

import pytest

from dragoman.errors import ErrorKind
from dragoman.plugin import Request
from dragoman.plugin.codes import Code, CodeTable
from dragoman.plugin.refusals import SHOWN, SUCCESS, failure_of, json_or_none, number_in
from dragoman.testing.drive import reply

CODES = CodeTable(
    (
        Code("orders/9", ErrorKind.RISK_REJECTED, "of orders", "page"),
        Code("9", ErrorKind.BAD_REQUEST, "of anything", "page"),
    )
)
ASK = Request(path="/orders")


def read(words, text="", code="9", **more):
    return failure_of(CODES, reply({}, status=400), ASK, words, text, code=code, **more)


def test_the_first_word_that_the_table_knows_counts():
    assert read(("orders/9", "9")).kind is ErrorKind.RISK_REJECTED
    assert read(("quotes/9", "9")).kind is ErrorKind.BAD_REQUEST
    assert read(("quotes/8", "8")).kind is ErrorKind.UNMAPPED


def test_a_failure_is_named_by_its_code_whatever_was_looked_up():
    found = read(("orders/9",), "not today")
    assert (found.code, found.text, found.message) == ("9", "not today", "9: not today")


def test_the_beginning_of_a_body_is_shown_where_the_broker_says_nothing():
    page = reply(body=b"<html>" + b"x" * 500, status=502)
    found = failure_of(CODES, page, ASK, ("HTTP 502",), "", code="HTTP 502")
    assert found.text.startswith("<html>")
    assert len(found.text) == SHOWN


def test_when_to_ask_again_stands_in_the_header_unless_the_adapter_knows_better():
    told = reply({}, status=429, headers={"retry-after": "7"})
    assert failure_of(CODES, told, ASK, ("9",), "", code="9").retry_after_s == 7
    assert failure_of(CODES, told, ASK, ("9",), "", code="9", retry_after_s=0.5).retry_after_s == 0.5


@pytest.mark.parametrize(("text", "number"), [("12", 12), ("", None), ("soon", None), ("-1", None), ("²", None)])
def test_only_whole_numbers_are_numbers_of_a_header(text, number):
    assert number_in(reply({}, headers={"x-left": text}), "x-left") == number


def test_a_body_that_is_no_json_reads_as_none():
    assert json_or_none(reply({"a": 1})) == {"a": 1}
    assert json_or_none(reply(body=b"<html>")) is None
    assert [status in SUCCESS for status in (199, 200, 299, 300)] == [False, True, True, False]


def test_a_reply_is_parsed_once_and_keeps_what_it_held():
    told = reply({"a": [1]})
    assert told.parsed is None
    assert told.json == {"a": [1]}
    assert told.parsed is told.json
