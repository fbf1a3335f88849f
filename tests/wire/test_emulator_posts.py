"""What an emulator posts to its user's own server: delivered by the host, in order, each tried once."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from dragoman.emulator.contract import HttpAnswer, Post
from dragoman.emulator.host import EmulatorHost
from wire.echo_broker import EchoBroker
from wire.worlds import both, run_in


class Poster(EchoBroker):
    """Posts what a test gives it."""

    def __init__(self) -> None:
        super().__init__()
        self.due: list[Post] = []

    def posts(self):
        due, self.due = self.due, []
        return due


class Receiver(EchoBroker):
    """The user's server; answers what `status` says."""

    status = 200

    def handle(self, call, now_ns):
        self.calls.append(call)
        return HttpAnswer(self.status, (), b"")


async def until(runtime, question):
    async with asyncio.timeout(10):
        while not question():
            await runtime.sleep(0.01)


@both
def test_posts_reach_the_registered_server_in_their_order(world):
    async def scenario(runtime):
        receiver, poster = Receiver(), Poster()
        there, here = EmulatorHost(receiver, runtime), EmulatorHost(poster, runtime)
        await there.start()
        await here.start()
        url = f"http://127.0.0.1:{there.port}/postback?from=broker"
        headers = (("Content-Type", "application/json"),)
        poster.due = [Post(url, headers, json.dumps({"n": n}).encode()) for n in range(20)]
        await until(runtime, lambda: len(receiver.calls) == 20)
        await until(runtime, lambda: here.counters.posts == 20)
        assert [json.loads(call.body)["n"] for call in receiver.calls] == list(range(20))
        first = receiver.calls[0]
        assert (first.method, first.path, first.query) == ("POST", "/postback", (("from", "broker"),))
        assert first.headers["content-type"] == "application/json"
        await here.close()
        await there.close()
        assert (here.counters.posts_failed, here.counters.emulator_errors) == (0, 0)

    run_in(world, scenario)


@pytest.mark.logs
@both
def test_posts_that_are_not_taken_are_counted_and_the_next_goes_on(world, caplog):
    async def scenario(runtime):
        receiver, poster = Receiver(), Poster()
        there, here = EmulatorHost(receiver, runtime), EmulatorHost(poster, runtime)
        await there.start()
        await here.start()
        receiver.status = 500
        poster.due = [
            Post("http://127.0.0.1:9/", (), b"nobody listens"),
            Post("http://192.0.2.1/", (), b"not loopback"),
            Post(f"http://127.0.0.1:{there.port}/", (), b"refused"),
        ]
        await until(runtime, lambda: here.counters.posts_failed == 3)
        receiver.status = 204
        poster.due = [Post(f"http://127.0.0.1:{there.port}/", (), b"taken")]
        await until(runtime, lambda: here.counters.posts == 1)
        assert [call.body for call in receiver.calls] == [b"refused", b"taken"]
        await here.close()
        await there.close()

    with caplog.at_level(logging.WARNING, "dragoman.emulator.host"):
        run_in(world, scenario)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 3
    assert "expected http:// and a loopback address" in said[1]
    assert "answered 500" in said[2]


@pytest.mark.logs
def test_a_closing_host_drops_what_it_has_not_posted():
    async def scenario(runtime):
        poster = Poster()
        here = EmulatorHost(poster, runtime)
        await here.start()
        poster.due = [Post("http://127.0.0.1:9/", (), b"x")]
        await runtime.sleep(0.03)
        await here.close()
        assert here.counters.posts == 0

    run_in("virtual", scenario)


def test_an_emulator_that_posts_nothing_costs_no_connection():
    async def scenario(runtime):
        here = EmulatorHost(EchoBroker(), runtime)
        await here.start()
        await runtime.sleep(1)
        await here.close()
        assert (here.counters.posts, here.counters.posts_failed) == (0, 0)

    run_in("virtual", scenario)
