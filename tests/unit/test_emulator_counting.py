"""The parts every emulator shares: limits on the broker's calendar, and its routing table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.emulator.contract import HttpAnswer, HttpCall
from dragoman.emulator.counting import DAY, SECOND, CalendarCounter, Meter, MeterFullError
from dragoman.emulator.routes import NoRouteError, Route, Router

FAST = Meter("fast", 3)
DAILY = Meter("daily", 5, DAY)


@given(st.lists(st.integers(0, 3 * SECOND), max_size=40))
def test_no_calendar_second_holds_more_than_its_count(times: list[int]) -> None:
    counter, taken = CalendarCounter(), []
    for now in sorted(times):
        full = len([then for then in taken if then // SECOND == now // SECOND]) == 3
        try:
            counter.take([FAST], now)
        except MeterFullError:
            assert full
        else:
            assert not full
            taken.append(now)


def test_a_full_meter_leaves_the_others_as_they_were() -> None:
    counter = CalendarCounter()
    for _ in range(3):
        counter.take([FAST, DAILY], 0)
    with pytest.raises(MeterFullError, match="fast: more than 3 in 1 s") as refused:
        counter.take([DAILY, FAST], 0)
    assert refused.value.meter is FAST
    counter.take([DAILY, FAST], SECOND)
    counter.take([DAILY, FAST], SECOND)
    with pytest.raises(MeterFullError, match="daily"):
        counter.take([DAILY, FAST], SECOND)


def test_days_turn_in_the_broker_s_zone() -> None:
    counter, evening = CalendarCounter(offset_ns=19_800 * SECOND), DAY - 19_800 * SECOND
    for _ in range(5):
        counter.take([DAILY], evening - 1)
    with pytest.raises(MeterFullError):
        counter.take([DAILY], evening - 1)
    counter.take([DAILY], evening)


def call(method: str, path: str) -> HttpCall:
    return HttpCall(method, path, (), {}, b"")


def test_routes_tell_unknown_paths_from_unknown_methods() -> None:
    def answer(call: HttpCall, now_ns: int, **groups: str | None) -> HttpAnswer:
        return HttpAnswer(200)

    rows = [Route("GET", "/a", answer, 1), Route("POST", r"/a(?:/(?P<name>\w+))?", answer, 2)]
    router: Router[int] = Router(rows)
    assert router.find(call("GET", "/a/")) == (rows[0], {})
    assert router.find(call("POST", "/a")) == (rows[1], {"name": None})
    assert router.find(call("POST", "/a/b")) == (rows[1], {"name": "b"})
    for method, path, status in (("PUT", "/a", 405), ("GET", "/a/b", 405), ("GET", "/", 404), ("GET", "/ab", 404)):
        with pytest.raises(NoRouteError) as refused:
            router.find(call(method, path))
        assert refused.value.status == status
