"""A launched flow ends as one that is run, needs no task while only the broker is waited for, and is told of once."""

from __future__ import annotations

import asyncio

import pytest

from dragoman.errors import DragomanError, NotSent, OutcomeUnknown, Rejected, StaleData, UsageError
from dragoman.plugin import Request, Wait
from dragoman.runtime.virtual import VirtualRuntime
from reference.session_toys import OK, Rig, get, post

REFUSED = (400, {"error": "margin", "message": "no funds"})
NS = 1_000_000_000


class Counting:
    """A runtime that notes the tasks made through it."""

    def __init__(self, runtime, tasks):
        self._runtime = runtime
        self._tasks = tasks

    def spawn(self, coro, *, name):
        self._tasks.append(name)
        return self._runtime.spawn(coro, name=name)

    def __getattr__(self, name):
        return getattr(self._runtime, name)


class Told:
    """What `launch` told, and the tasks it made."""

    def __init__(self, rig, *, warm=True):
        self.rig = rig
        rig.http.lines = warm
        self.outcomes = []
        self.tasks = []
        self.first = asyncio.Event()
        rig.driver._runtime = Counting(rig.runtime, self.tasks)

    def launch(self, flow, timeout_s=10, **more):
        def on_outcome(value, error):
            self.outcomes.append((value, error))
            self.first.set()

        self.rig.driver.launch(
            flow, on_outcome, deadline_ns=self.rig.runtime.clock.mono_ns() + int(timeout_s * NS), **more
        )

    @property
    def only(self):
        ((value, error),) = self.outcomes
        return value if error is None else error


def play(flow, steps, *, warm=True, **more):
    with VirtualRuntime(seed=1) as runtime:
        rig = Rig(runtime, steps)
        told = Told(rig, warm=warm)

        async def main():
            told.launch(flow(), **more)
            await told.first.wait()
            await runtime.sleep(0.1)

        runtime.run(main())
        return told


def two_requests():
    first = yield from post()
    second = yield from post(path="/second")
    return [first, second]


def wait_first():
    yield Wait(0.5)
    return (yield from post())


def catches():
    try:
        return (yield from post())
    except Rejected:
        return (yield from post(path="/again"))


def broken():
    reply = yield Request(method="POST", path="/orders", mutates=True, meter="orders")
    return reply.json["nothing of that name"]


def nothing():
    return 7
    yield


@pytest.mark.parametrize(
    ("flow", "steps"),
    [
        (post, [OK]),
        (post, [REFUSED]),
        (post, ["lost"]),
        (post, ["timeout"]),
        (post, [(500, b"<html>")]),
        (two_requests, [OK, OK]),
        (two_requests, [OK, REFUSED]),
        (catches, [REFUSED, OK]),
        (broken, [OK]),
        (wait_first, [OK]),
        (get, [OK]),
        (nothing, []),
    ],
)
def test_a_launched_flow_ends_as_one_that_is_run(flow, steps):
    def plain(rig, value):
        used = {name: limit["used"] for name, limit in rig.limiter.state().items()}
        if isinstance(value, DragomanError):
            return type(value), str(value), value.kind, value.effect, used, len(rig.http.sent)
        return value, used, len(rig.http.sent)

    with VirtualRuntime(seed=1) as runtime:
        rig = Rig(runtime, steps)

        async def main():
            try:
                value = await rig.run(flow())
            except DragomanError as error:
                value = error
            await runtime.sleep(0.1)
            return plain(rig, value)

        expected = runtime.run(main())
    for warm in (True, False):
        told = play(flow, steps, warm=warm)
        assert plain(told.rig, told.only) == expected
        assert not told.rig.driver.flying


@pytest.mark.parametrize("steps", [[OK], [REFUSED], ["lost"]])
def test_no_task_is_made_where_only_the_reply_is_waited_for(steps):
    told = play(post, steps)
    assert told.tasks == []
    assert len(told.outcomes) == 1
    assert told.rig.http.freed == 1


def test_a_task_takes_over_where_no_connection_is_warm():
    told = play(post, [OK], warm=False)
    assert told.only == "1"
    assert len(told.tasks) == 1


def test_a_task_takes_over_where_the_limit_is_used_up():
    with VirtualRuntime(seed=1) as runtime:
        rig = Rig(runtime, [OK] * 6)
        told = Told(rig)

        async def main():
            for _ in range(6):
                told.launch(post())
            while len(told.outcomes) < 6:
                await runtime.sleep(0.1)

        runtime.run(main())
        assert [error for _, error in told.outcomes if error is not None] == []
        assert len([name for name in told.tasks if "post" in name]) == 4
        assert len(rig.http.sent) == 6


def test_the_journal_is_written_before_the_bytes_and_may_be_waited_for():
    for waits in (False, True):
        with VirtualRuntime(seed=1) as runtime:
            rig = Rig(runtime, [OK])
            told = Told(rig)
            order = []

            async def later(rig=rig, runtime=runtime, order=order):
                await runtime.sleep(0.1)
                order.append(len(rig.http.sent))

            def journal(request, waits=waits, later=later, order=order, rig=rig):
                if waits:
                    return later()
                order.append(len(rig.http.sent))
                return None

            async def main(told=told, journal=journal, runtime=runtime):
                told.launch(post(), before_send=journal)
                await told.first.wait()
                await runtime.sleep(0.1)

            runtime.run(main())
            assert told.only == "1"
            assert order == [0]
            assert len(told.tasks) == waits
            assert rig.limiter.state()["orders/1s"]["used"] == 1


def test_a_failed_journal_sends_nothing_and_gives_back_what_it_took():
    def journal(request):
        raise StaleData("disk full")

    told = play(post, [OK], before_send=journal)
    assert type(told.only) is StaleData
    assert told.rig.http.sent == []
    assert told.rig.http.freed == 1
    assert told.rig.limiter.state()["orders/1s"]["used"] == 0


def test_a_deadline_that_has_passed_sends_nothing():
    told = play(post, [OK], timeout_s=0)
    assert isinstance(told.only, NotSent)
    assert told.rig.http.sent == []
    assert told.rig.limiter.state()["orders/1s"]["used"] == 0


def test_a_read_only_launch_refuses_what_changes_something():
    told = play(post, [OK], allow_mutates=False)
    assert isinstance(told.only, UsageError)
    assert told.rig.http.sent == []


@pytest.mark.parametrize("warm", [True, False])
def test_closing_lets_what_was_sent_find_its_outcome_and_refuses_what_is_new(warm):
    with VirtualRuntime() as runtime:
        rig = Rig(runtime, [OK])
        told = Told(rig, warm=warm)

        async def main():
            told.launch(post())
            await runtime.sleep(0.005)
            await rig.driver.close()
            assert told.only == "1"
            told.launch(post())
            assert isinstance(told.outcomes[1][1], NotSent)

        runtime.run(main())


@pytest.mark.parametrize("warm", [True, False])
def test_closing_does_not_wait_for_ever_and_says_the_outcome_is_unknown(warm):
    with VirtualRuntime() as runtime:
        late = asyncio.Event()

        async def answer():
            await late.wait()
            return OK

        rig = Rig(runtime, [answer])
        told = Told(rig, warm=warm)

        async def main():
            told.launch(post(), timeout_s=60)
            await runtime.sleep(0.1)
            before = runtime.clock.mono_ns()
            await rig.driver.close(timeout_s=2)
            assert runtime.clock.mono_ns() - before <= 2_100_000_000
            assert isinstance(told.only, OutcomeUnknown)
            assert rig.http.abandoned == warm
            late.set()  # the reply comes all the same: it is told to nobody
            await runtime.sleep(0.1)
            assert len(told.outcomes) == 1

        runtime.run(main())


def test_a_defect_of_the_adapter_reaches_whoever_launched():
    def defective():
        raise RuntimeError("a defect")
        yield

    told = play(defective, [])
    assert isinstance(told.only, RuntimeError)
