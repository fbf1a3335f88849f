"""A whole session in memory: log in, stream, trade, read the books, on the virtual clock and from one seed."""

from __future__ import annotations

import pytest

from dragoman.cli.demo import demo
from dragoman.runtime.virtual import VirtualRuntime


def session(seed: int):
    runtime = VirtualRuntime(seed=seed)
    result = runtime.run(demo(runtime, "zerodha", seconds=20.0, seed=seed, state_dir="/state"))
    return result, runtime.trace_hash()


@pytest.fixture(scope="module")
def played():
    return session(7)


def test_every_book_agrees_with_the_exchange(played):
    result, _ = played
    assert result["proof"]["differences"] == []
    assert result["proof"]["agrees"]
    assert result["proof"]["fills"] > 0
    assert result["stream"]["ticking"] >= 200


def test_each_act_ends_as_it_should(played):
    acts = {row["act"]: row for row in played[0]["orders"]}
    assert acts["market buy"]["status"] == "FILLED"
    assert acts["resting limit, changed, canceled"]["status"] == "CANCELED"
    assert acts["limit through several levels"]["filled"] > 0
    assert acts["immediate or cancel, no match"]["status"] == "CANCELED"
    assert acts["protective stop, canceled"]["status"] == "CANCELED"
    assert acts["market sell of half"]["status"] == "FILLED"
    assert acts["more than the money allows"]["kind"] == "INSUFFICIENT_MARGIN"
    assert acts["price off the tick"]["kind"] == "INVALID_PRICE_TICK"
    assert acts["unknown symbol"]["kind"] == "INSTRUMENT_NOT_FOUND"


def test_the_same_seed_is_the_same_run(played):
    again, trace = session(7)
    assert trace == played[1]
    assert again["orders"] == played[0]["orders"]
    assert again["proof"] == played[0]["proof"]
