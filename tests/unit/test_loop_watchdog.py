"""The watchdog of event loops: it measures lag, and names what blocks a loop while it still does."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import types
from functools import partial

import pytest

from dragoman.runtime.loops import run
from dragoman.runtime.real import RealRuntime
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.runtime.watchdog import LoopWatchdog, watch_loop
from dragoman.session.fanout import Fanout

PATIENCE_S = 20.0


class Heard(logging.Handler):
    """Keeps what is logged, and sets an event at the first record."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.said = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self.said.set()


@pytest.fixture
def heard():
    handler = Heard()
    logging.getLogger("dragoman.watchdog").addHandler(handler)
    yield handler
    logging.getLogger("dragoman.watchdog").removeHandler(handler)


@pytest.mark.logs  # the warning that names the handler
def test_a_handler_that_blocks_is_named_while_it_blocks(heard):
    async def scenario():
        stalls, lags, over = [], [], asyncio.Event()
        watchdog = LoopWatchdog(asyncio.get_running_loop(), beat_s=0.01, late_s=0.03)
        end = watchdog.add(lags.append, lambda stall: (stalls.append(stall), over.set()))

        def blocking_strategy(event) -> None:
            assert heard.said.wait(PATIENCE_S)  # it returns only once it has been named

        fanout = Fanout("test")
        fanout.add(blocking_strategy)
        asyncio.get_running_loop().call_soon(fanout.publish, 1)
        async with asyncio.timeout(PATIENCE_S):
            await over.wait()
        end()
        return stalls, lags

    stalls, lags = run(scenario())
    assert "blocking_strategy" in stalls[0].handler
    assert "test_loop_watchdog" in stalls[0].handler
    assert stalls[0].seconds >= 0.03
    assert max(lags) >= 30_000_000
    assert "blocking_strategy" in heard.lines[0]


def test_a_loop_that_answers_is_measured_and_nobody_is_blamed():
    async def scenario():
        stalls, enough, lags = [], asyncio.Event(), []

        def lag(ns: int) -> None:
            lags.append(ns)
            if len(lags) == 3:
                enough.set()

        watchdog = LoopWatchdog(asyncio.get_running_loop(), beat_s=0.001, late_s=PATIENCE_S)
        end = watchdog.add(lag, stalls.append)
        async with asyncio.timeout(PATIENCE_S):
            await enough.wait()
        end()
        assert watchdog.ended
        return stalls, lags

    stalls, lags = run(scenario())
    assert stalls == []
    assert all(ns >= 0 for ns in lags)


def test_all_listeners_of_a_loop_share_one_thread_and_the_last_ends_it():
    def watchdogs() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name == "dragoman-watchdog"}

    async def scenario():
        before = watchdogs()
        ends = [RealRuntime().watch_loop(lambda lag: None, lambda stall: None) for _ in range(3)]
        assert len(watchdogs() - before) == 1
        for end in ends:
            end()
        other = watch_loop(lambda lag: None, lambda stall: None)  # a new one, the first has ended
        other()

    run(scenario())


def test_a_virtual_loop_is_never_late():
    with VirtualRuntime(seed=1) as runtime:

        async def scenario():
            end = runtime.watch_loop(lambda lag: pytest.fail("late"), lambda stall: pytest.fail("stalled"))
            await runtime.sleep(3600)
            end()

        runtime.run(scenario())


COMMAND = """
async def job():
    watched(asyncio.get_running_loop())
    format_everything()
    await over()

def format_everything():
    block()

def main():
    run(job())
"""


@pytest.mark.logs  # the warning that names our own code
def test_our_own_code_is_named_and_not_the_program_around_its_loop(heard):
    over, ends = asyncio.Event(), []

    def watched(loop: asyncio.AbstractEventLoop) -> None:
        watchdog = LoopWatchdog(loop, beat_s=0.01, late_s=0.03)
        ends.append(watchdog.add(lambda lag: None, lambda stall: over.set()))

    async def until_over() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await over.wait()
        ends[0]()

    ours = {"__name__": "dragoman.cli.output", "asyncio": asyncio, "run": run, "watched": watched, "over": until_over}
    ours["block"] = partial(heard.said.wait, PATIENCE_S)
    exec(COMMAND, ours)
    # A command is ours, runs somebody else's framework, and that runs our loop.
    framework = {"__name__": "typer.main", "command": ours["main"]}
    exec("def call(): command()", framework)
    program = {"__name__": "dragoman.cli", "call": framework["call"]}
    exec("def program(): call()", program)
    program["program"]()
    assert heard.lines
    assert "dragoman.cli.output.format_everything" in heard.lines[0]


@pytest.mark.logs  # the warning that names what is imported
def test_an_import_is_named_by_who_imports_and_not_by_the_import_system(heard, tmp_path, monkeypatch):
    (tmp_path / "slow_to_load.py").write_text("import heard_here\nheard_here.wait()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    waiting = types.ModuleType("heard_here")
    waiting.wait = partial(heard.said.wait, PATIENCE_S)
    monkeypatch.setitem(sys.modules, "heard_here", waiting)
    monkeypatch.delitem(sys.modules, "slow_to_load", raising=False)

    async def scenario():
        over = asyncio.Event()
        watchdog = LoopWatchdog(asyncio.get_running_loop(), beat_s=0.01, late_s=0.03)
        end = watchdog.add(lambda lag: None, lambda stall: over.set())
        ours = {"__name__": "dragoman.somewhere"}
        exec("def load():\n    import slow_to_load", ours)
        asyncio.get_running_loop().call_soon(ours["load"])
        async with asyncio.timeout(PATIENCE_S):
            await over.wait()
        end()

    run(scenario())
    assert "slow_to_load" in heard.lines[0]
    assert "importlib" not in heard.lines[0]
