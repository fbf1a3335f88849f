"""A prompt future wakes its task within `set_result`, and is in all else what any future is."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from dragoman.runtime.loops import new_event_loop
from dragoman.runtime.prompt_future import PromptFuture

LOOPS = [asyncio.new_event_loop, new_event_loop]


def run(main, factory=new_event_loop):
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())


async def turn():
    await asyncio.sleep(0)


@pytest.mark.parametrize("factory", LOOPS)
def test_a_task_goes_on_within_set_result(factory):
    async def main():
        loop, seen = asyncio.get_running_loop(), []
        future = PromptFuture(loop=loop)

        async def wait():
            seen.append(await future)

        def settle():
            future.set_result(7)
            seen.append("settled")

        task = asyncio.ensure_future(wait())
        await turn()
        loop.call_soon(settle)
        await task
        return seen

    assert run(main, factory) == [7, "settled"]


def test_an_exception_is_raised_where_it_is_awaited():
    async def main():
        loop, seen = asyncio.get_running_loop(), []
        future = PromptFuture(loop=loop)

        async def wait():
            with pytest.raises(ValueError, match="refused"):
                await future
            seen.append("raised")

        def settle():
            future.set_exception(ValueError("refused"))
            seen.append("settled")

        task = asyncio.ensure_future(wait())
        await turn()
        loop.call_soon(settle)
        await task
        return seen

    assert run(main) == ["raised", "settled"]


def test_settled_by_another_task_it_wakes_in_the_next_turn():
    async def main():
        seen = []
        future = PromptFuture(loop=asyncio.get_running_loop())

        async def wait():
            seen.append(await future)

        task = asyncio.ensure_future(wait())
        await turn()
        future.set_result(7)  # a task runs: this one
        seen.append("settled")
        await task
        return seen

    assert run(main) == ["settled", 7]


def test_one_that_is_done_is_not_waited_for():
    async def main():
        future = PromptFuture(loop=asyncio.get_running_loop())
        future.set_result(7)
        return await future

    assert run(main) == 7


def test_a_cancelled_task_cancels_it_and_wakes_once():
    async def main():
        future = PromptFuture(loop=asyncio.get_running_loop())

        async def wait():
            await future

        task = asyncio.ensure_future(wait())
        await turn()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return future.cancelled()

    assert run(main)


def test_the_task_goes_on_in_its_own_context_and_is_the_current_one():
    name = contextvars.ContextVar("name", default="none")

    async def main():
        loop = asyncio.get_running_loop()
        future = PromptFuture(loop=loop)

        async def wait():
            name.set("mine")
            await future
            return name.get(), asyncio.current_task()

        task = asyncio.ensure_future(wait())
        await turn()
        loop.call_soon(future.set_result, None)
        return await task == ("mine", task) and name.get() == "none"

    assert run(main)


def test_a_deadline_and_a_group_wait_for_it_as_for_any():
    async def main():
        loop = asyncio.get_running_loop()
        early, late = PromptFuture(loop=loop), PromptFuture(loop=loop)
        loop.call_later(0.001, early.set_result, 1)
        found = await asyncio.gather(asyncio.wait_for(early, 5), asyncio.shield(early))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await late
        return found, late.cancelled()

    assert run(main) == ([1, 1], True)


def test_a_callback_that_was_removed_is_not_called():
    async def main():
        loop, seen = asyncio.get_running_loop(), []
        future = PromptFuture(loop=loop)
        for context in (None, contextvars.copy_context()):
            future.add_done_callback(seen.append, context=context)
        removed = future.remove_done_callback(seen.append)
        future.set_result(1)
        await turn()
        return removed, seen

    assert run(main) == (2, [])


@pytest.mark.parametrize("factory", LOOPS)
def test_an_exit_ends_the_loop_and_spares_whoever_settled_it(factory):
    settled, tasks = [], []

    async def main():
        loop = asyncio.get_running_loop()
        future = PromptFuture(loop=loop)

        async def leave():
            await future
            raise SystemExit(3)

        def settle():
            future.set_result(None)
            settled.append(True)

        tasks.append(asyncio.ensure_future(leave()))
        await turn()
        loop.call_soon(settle)
        await asyncio.wait(tasks)
        await asyncio.sleep(5)

    with pytest.raises(SystemExit):
        run(main, factory)
    assert settled == [True]
    assert isinstance(tasks[0].exception(), SystemExit)
