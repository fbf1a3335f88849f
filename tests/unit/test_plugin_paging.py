"""Lists in pages: by a token the page tells, by the last row, to their end."""

from __future__ import annotations

import pytest

from dragoman.errors import DecodeError
from dragoman.plugin import Part, Request
from dragoman.plugin.paging import MOST_PAGES, after_last, by_token, pages
from dragoman.plugin.records import Records
from dragoman.plugin.spans import batches
from dragoman.testing.drive import drive

RECORDS = Records("examplebroker")
ASK = Request(path="/list", query=(("limit", "2"), ("after", "0")))


def test_pages_follow_the_token_each_tells_until_none_does():
    told = [{"rows": [1, 2], "next": "t1"}, {"rows": [3], "next": None}]
    run = drive(pages(RECORDS, ASK, by_token("next", "token"), key="rows"), told)
    assert run.result == [1, 2, 3]
    assert [dict(one.query).get("token") for one in run.requests] == [None, "t1"]
    assert all(dict(one.query)["limit"] == "2" for one in run.requests)


def test_pages_begin_after_the_last_row_of_the_one_before_until_one_is_short():
    told = [[{"id": 1}, {"id": 2}], [{"id": 3}]]
    run = drive(pages(RECORDS, ASK, after_last("after", "id", 2)), told)
    assert [row["id"] for row in run.result] == [1, 2, 3]
    assert [dict(one.query)["after"] for one in run.requests] == ["0", "2"]
    assert len(run.requests[1].query) == len(ASK.query)


def test_a_page_that_would_be_asked_for_once_more_is_the_last():
    told = [[{"id": 5}, {"id": 5}]] * 2
    assert len(drive(pages(RECORDS, ASK, after_last("after", "id", 2)), told).result) == 4


def test_rows_are_read_as_the_adapter_reads_them_and_told_page_by_page():
    flow = pages(RECORDS, ASK, by_token("next", "token"), read=lambda reply: [reply.json["n"] * 10], tell=True)
    run = drive(flow, [{"n": 1, "next": "t"}, {"n": 2}])
    assert run.result == [10, 20]
    assert [list(one.rows) for one in run.effects if isinstance(one, Part)] == [[10], [20]]


@pytest.mark.parametrize("page", [{"other": []}, {"rows": None}, [], "<html>"])
def test_a_page_without_its_list_is_not_an_empty_one(page):
    with pytest.raises(DecodeError, match="examplebroker"):
        drive(pages(RECORDS, ASK, by_token("next", "token"), key="rows"), [page])


def test_pages_without_an_end_are_an_error():
    told = [{"rows": [1], "next": f"t{number}"} for number in range(MOST_PAGES)]
    with pytest.raises(DecodeError, match="no end"):
        drive(pages(RECORDS, ASK, by_token("next", "token"), key="rows"), told)


def test_a_list_is_cut_into_batches_and_nothing_into_none():
    assert [list(part) for part in batches([1, 2, 3], 2)] == [[1, 2], [3]]
    assert list(batches([], 2)) == []
