"""The virtual loop: order, timers, determinism, and what it says when a program hangs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pathlib
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dragoman.runtime.virtual import VirtualRuntime
from dragoman.runtime.virtual_loop import DeadlockError, LivelockError, Trace, VirtualLoop


def run(coro, seed=0):
    with VirtualRuntime(seed) as runtime:
        return runtime.run(coro)


@given(st.lists(st.integers(0, 5), max_size=30))
def test_timers_fire_in_order_of_time_then_of_setting(delays):
    loop = VirtualLoop()
    fired = []
    for number, delay in enumerate(delays):
        loop.call_later(delay, fired.append, (delay, number))
    loop.run_forever()
    assert fired == sorted(fired)
    assert len(fired) == len(delays)


def test_callbacks_run_first_in_first_out_and_later_ones_in_the_next_round():
    loop = VirtualLoop()
    seen = []

    def first():
        seen.append("first")
        loop.call_soon(seen.append, "from first")

    loop.call_soon(first)
    loop.call_soon(seen.append, "second")
    loop.call_later(0, seen.append, "timer of now")
    loop.run_forever()
    assert seen == ["first", "second", "timer of now", "from first"]


@given(st.floats(0, 1e8), st.floats(0, 1e6))
@example(65159297.2722763, 788723.3511355132)  # rounds down
def test_a_timer_never_fires_before_its_time(start, delay):
    loop = VirtualLoop(start_mono_ns=round(start * 1e9))
    due = loop.time() + delay
    seen = []
    loop.call_at(due, lambda: seen.append(loop.time()))
    loop.run_forever()
    assert seen[0] >= due
    assert seen[0] - due < 1e-6


def test_time_passes_only_by_waiting():
    async def main():
        loop = asyncio.get_running_loop()
        start = loop.time()
        for _ in range(1000):
            await asyncio.sleep(0)
        assert loop.time() == start
        await asyncio.sleep(86_400)
        return loop.time() - start

    assert run(main()) == 86_400


def test_a_cancelled_timer_does_not_fire_nor_hold_time():
    loop = VirtualLoop()
    handles = [loop.call_later(1000, pytest.fail, "cancelled") for _ in range(500)]
    loop.call_later(1, lambda: [handle.cancel() for handle in handles])
    start = loop.time()
    loop.run_forever()
    assert loop.time() - start == 1


def test_timers_cancelled_by_the_thousand_are_not_kept():
    loop = VirtualLoop()
    for _ in range(10_000):
        loop.call_later(1000, pytest.fail, "cancelled").cancel()
    assert len(loop._timers) < 200


def test_a_timer_cancelled_in_the_round_it_is_due_does_not_fire():
    loop = VirtualLoop()
    second = []
    loop.call_later(1, lambda: second[0].cancel())
    second.append(loop.call_later(1, pytest.fail, "cancelled"))
    loop.run_forever()


def test_asyncio_primitives_work():
    async def main():
        queue: asyncio.Queue[int] = asyncio.Queue(maxsize=2)

        async def produce():
            for i in range(10):
                await queue.put(i)
                await asyncio.sleep(0.5)

        producer = asyncio.create_task(produce())
        got = [await queue.get() for _ in range(10)]
        await producer
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await asyncio.Event().wait()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 3)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asyncio.sleep(i, result=i)) for i in (3, 1, 2)]
        done, pending = await asyncio.wait({asyncio.create_task(asyncio.sleep(i)) for i in (1, 9)}, timeout=5)
        gathered = await asyncio.gather(asyncio.sleep(2, "a"), asyncio.sleep(1, "b"))
        return got, [task.result() for task in tasks], len(done), len(pending), gathered

    assert run(main()) == (list(range(10)), [3, 1, 2], 1, 1, ["a", "b"])


def test_work_for_a_thread_runs_inline_and_its_result_comes_a_step_later():
    async def main():
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(None, lambda: 7)
        assert not future.done()
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(None, lambda: 1 / 0)
        return await future

    assert run(main()) == 7


def test_a_deadlock_is_reported_with_every_waiting_task_and_its_place():
    async def waits_for_ever():
        await asyncio.Event().wait()

    async def main():
        await asyncio.create_task(waits_for_ever(), name="the-waiter")

    with pytest.raises(DeadlockError) as caught:
        run(main())
    text = str(caught.value)
    assert "main: " in text
    assert "the-waiter: " in text
    assert "waits_for_ever (test_virtual_loop.py:" in text
    assert "Event.wait (locks.py:" in text


def test_a_livelock_is_reported():
    loop = VirtualLoop(max_steps=1000)

    def again():
        loop.call_soon(again)

    again()
    with pytest.raises(LivelockError, match="again"):
        loop.run_forever()


def test_a_busy_program_that_waits_is_no_livelock():
    loop = VirtualLoop(max_steps=1000)

    async def main():
        for _ in range(5000):
            await asyncio.sleep(1e-9)

    loop.run_until_complete(main())


def test_what_a_run_leaves_behind_is_cancelled_oldest_first():
    ended = []

    async def leftover(name):
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append(name)

    async def main():
        for name in "abc":
            asyncio.create_task(leftover(name), name=name)  # noqa: RUF006 (left behind on purpose)
        await asyncio.sleep(0)

    run(main())
    assert ended == ["a", "b", "c"]


def test_suspended_generators_are_closed_at_the_end_of_a_run():
    closed = []

    async def numbers():
        try:
            for i in range(10):
                yield i
        finally:
            await asyncio.sleep(1)
            closed.append(True)

    generators = []

    async def main():
        generators.append(numbers())
        return await anext(generators[0])

    assert run(main()) == 0
    assert closed == [True]


def test_an_exception_in_a_callback_goes_to_the_handler_and_the_loop_runs_on():
    loop = VirtualLoop()
    seen = []
    loop.set_exception_handler(lambda _, context: seen.append(context["exception"]))
    loop.call_soon(lambda: 1 / 0)
    loop.call_soon(seen.append, "next")
    loop.run_forever()
    assert isinstance(seen[0], ZeroDivisionError)
    assert seen[1] == "next"
    assert loop.unhandled[0]["exception"] is seen[0]


@pytest.mark.logs  # the log line is what it is about
def test_without_a_handler_an_exception_is_logged(caplog):
    loop = VirtualLoop()
    loop.call_soon(lambda: 1 / 0)
    with caplog.at_level(logging.ERROR, logger="asyncio"):
        loop.run_forever()
    assert [record.name for record in caplog.records] == ["asyncio"]
    assert caplog.records[0].exc_info is not None


def test_run_for_stops_at_its_end_and_keeps_what_is_later():
    loop = VirtualLoop()
    seen = []
    for delay in (1, 2, 3):
        loop.call_later(delay, seen.append, delay)
    start = loop.time()
    loop.run_for(2.5)
    assert (seen, loop.time() - start) == ([1, 2], 2.5)
    loop.run_for(1)
    assert seen == [1, 2, 3]


def test_the_machine_is_out_of_reach():
    async def main():
        loop = asyncio.get_running_loop()
        for call in (loop.create_connection, loop.create_server, loop.getaddrinfo, loop.subprocess_exec):
            with pytest.raises(NotImplementedError, match="use the runtime's net"):
                call("x")

    run(main())


def test_a_loop_does_not_run_inside_another():
    async def main():
        other = VirtualLoop()
        with pytest.raises(RuntimeError, match="another loop is running"):
            other.run_forever()

    run(main())


def test_stop_before_the_result_is_an_error():
    loop = VirtualLoop()
    loop.call_soon(loop.stop)
    with pytest.raises(RuntimeError, match="stopped before"):
        loop.run_until_complete(loop.create_future())


def test_a_closed_loop_takes_nothing():
    loop = VirtualLoop()
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop.call_soon(print)


def workload(runtime: VirtualRuntime):
    """Tasks in sets, random waits, cancellations and traffic: everything that could depend on addresses."""

    class Echo(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.transport.write(data)

    class Sink(asyncio.Protocol):
        def data_received(self, data):
            sizes.append(len(data))

    sizes: list[int] = []

    async def work(i):
        with contextlib.suppress(asyncio.CancelledError):
            for _ in range(3):
                await runtime.sleep(runtime.random.random())

    async def main():
        listener = await runtime.net.listen(Echo, "127.0.0.1", 0)
        transport, _ = await runtime.net.connect(Sink, "127.0.0.1", listener.port, timeout=5)
        tasks = {asyncio.create_task(work(i)) for i in range(50)}
        transport.write(runtime.random_bytes(5000))
        while tasks:
            _, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in list(tasks)[:2]:
                task.cancel()
        with contextlib.suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                for i in range(20):
                    group.create_task(work(i))
                group.create_task(fail())
        return sizes

    async def fail():
        await runtime.sleep(0.5)
        raise ValueError

    return runtime.run(main())


def test_the_same_seed_gives_the_same_trace_and_another_seed_another():
    traces = []
    for seed in (1, 1, 2):
        with VirtualRuntime(seed) as runtime:
            sizes = workload(runtime)
            traces.append((runtime.trace_hash(), sizes, runtime.clock.mono_ns()))
    assert traces[0] == traces[1]
    assert traces[0][0] != traces[2][0]
    assert sum(traces[0][1]) == 5000


@pytest.mark.parametrize("kind", ["futures", "tasks"])
def test_a_set_of_futures_or_tasks_has_the_same_order_wherever_they_lie_in_memory(kind):
    orders = []
    kept = []
    for run_number in range(4):
        loop = VirtualLoop()
        things = []
        for number in range(200):
            kept.append([object() for _ in range((number * run_number) % 7)])
            things.append(loop.create_future() if kind == "futures" else loop.create_task(asyncio.sleep(0)))
        kept.append(things)  # or the next run would find the same places in memory free
        orders.append([things.index(thing) for thing in set(things)])
        loop.run_until_complete(asyncio.wait_for(asyncio.sleep(1), 2))
    assert orders == [orders[0]] * 4


def test_the_trace_is_the_same_in_another_process_with_another_hash_seed():
    program = (
        "import sys; sys.path[:0] = [{tests!r}, {unit!r}]\n"
        "from dragoman.runtime.virtual import VirtualRuntime\n"
        "from test_virtual_loop import workload\n"
        "r = VirtualRuntime(5); junk = [object() for _ in range({junk})]; workload(r); print(r.trace_hash())"
    )
    unit = pathlib.Path(__file__).parent
    hashes = set()
    for seed in ("1", "2"):
        text = program.format(tests=str(unit.parents[1] / "python"), unit=str(unit), junk=int(seed) * 1000)
        result = subprocess.run(
            [sys.executable, "-c", text], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        )
        hashes.add(result.stdout)
    assert len(hashes) == 1


def test_a_kept_trace_shows_where_two_runs_part():
    first, second = Trace(keep=True), Trace(keep=True)
    for trace, event in ((first, "a"), (second, "b")):
        trace.add(1, "same")
        trace.add(2, event)
    assert first.lines == ["1 same", "2 a"]
    assert second.lines == ["1 same", "2 b"]
    assert first.hexdigest() != second.hexdigest()
