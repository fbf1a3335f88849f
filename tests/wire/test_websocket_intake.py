"""A handler with a native intake, on real sockets: whole binary messages go straight into it, all others as ever."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from dragoman._core import Books, Decoder, FrameCounts, Handout, Intake
from dragoman.plugin.registry import load_adapter
from dragoman.runtime.loops import run
from dragoman.runtime.real import RealRuntime
from dragoman.runtime.watchdog import LoopWatchdog
from dragoman.transport.base import WsOptions
from dragoman.transport.websocket import connect_ws
from unit.test_core_intake import LTP
from wire.ws_server import Recorder, WsServer


class WithIntake(Recorder):
    """Notes each binary message that came the long way in `slow`, too."""

    def __init__(self, runtime, *, fail_on="", on_batch=None) -> None:
        super().__init__(fail_on)
        self.slow: list[bytes] = []
        decoder = Decoder(load_adapter("zerodha").feed("market").layouts.compile()) if on_batch else None
        self.intake = Intake(
            decoder,
            FrameCounts(),
            on_batch=on_batch or len,
            on_error=self.kept.append,
            beside=lambda data, _batch, ts_recv: super(WithIntake, self).on_binary(data, ts_recv),
            mono_ns=runtime.clock.mono_ns,
            wall_ns=runtime.clock.wall_ns,
        )

    def on_binary(self, data, ts_recv) -> None:
        self.slow.append(bytes(data))
        self.intake.take(data, ts_recv, 1)


def play(scenario, *, options=None, **more):
    async def main():
        runtime = RealRuntime()
        handler = WithIntake(runtime, **more)
        async with WsServer(runtime) as server:
            ws = await connect_ws(runtime, server.url, handler, options=options)
            try:
                async with asyncio.timeout(20):
                    await scenario(server.link, ws, handler)
            finally:
                server.link.transport.abort()
                await ws.close()
        runtime.close()

    run(main())


def test_messages_keep_their_order_whichever_way_they_go():
    async def scenario(link, _ws, handler):
        link.send(2, b"whole")
        link.send(1, b"text")
        link.send(2, b"two ", fin=False)
        link.send(9, b"ping")
        link.send(0, b"parts")
        link.send(2, b"")
        found = await handler.until(4)
        assert found == [("binary", b"whole"), ("text", "text"), ("binary", b"two parts"), ("binary", b"")]
        assert handler.slow == [b"two parts"]
        assert await link.frame(10) == b"ping"

    play(scenario)


def test_a_binary_frame_inside_a_fragmented_message_closes_as_ever():
    async def scenario(link, _ws, handler):
        link.send(2, b"begun", fin=False)
        link.send(2, b"not its end")
        assert (await handler.closed())[0] == 1002
        assert handler.events == [("closed", 1002, handler.events[-1][2])]

    play(scenario)


def test_a_message_beyond_the_cap_closes_as_ever():
    async def scenario(link, _ws, handler):
        link.send(2, b"x" * 200)
        link.send(2, b"x" * 201)
        assert (await handler.closed())[0] == 1009
        assert handler.events[0] == ("binary", b"x" * 200)

    play(scenario, options=WsOptions(max_message_bytes=200))


def test_nothing_is_taken_once_the_connection_closes():
    async def scenario(link, ws, handler):
        link.send(2, b"before")
        await handler.until(1)
        closing = asyncio.ensure_future(ws.close())
        await link.frame(8)
        link.send(2, b"after")
        link.send(8, b"\x03\xe8")
        await closing
        assert [event[0] for event in handler.events] == ["binary", "closed"]

    play(scenario)


@pytest.mark.logs  # the log line is what it is about
def test_a_failing_handler_is_counted_and_logged_without_its_text(caplog):
    async def scenario(link, ws, handler):
        for _ in range(5):
            link.send(2, b"secret payload")
        await handler.until(5)
        assert ws.handler_errors == 5
        assert ws.open

    with caplog.at_level(logging.DEBUG, logger="dragoman"):
        play(scenario, fail_on="binary")
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "WithIntake.on_binary raised ValueError" in record.getMessage()
    assert "secret" not in record.getMessage()


@pytest.mark.logs  # the warning that names the handler
def test_a_handler_that_blocks_is_named_though_no_frame_of_ours_is_around_it():
    seen, handout = [], Handout(Books(), mono_ns=int, wall_ns=int, failed=print)
    said = threading.Event()

    class Heard(logging.Handler):
        def emit(self, record) -> None:
            said.set()

    heard = Heard()
    logging.getLogger("dragoman.watchdog").addHandler(heard)

    def blocking_strategy(_batch) -> None:
        assert said.wait(20)  # it returns only once it has been named

    handout.handlers = (blocking_strategy,)

    async def scenario(link, _ws, handler):
        over = asyncio.Event()
        watchdog = LoopWatchdog(asyncio.get_running_loop(), beat_s=0.01, late_s=0.03)
        end = watchdog.add(lambda ns: None, lambda stall: (seen.append(stall), over.set()))
        link.send(2, LTP)
        await over.wait()
        end()
        assert handler.slow == []

    try:
        play(scenario, on_batch=handout)
    finally:
        logging.getLogger("dragoman.watchdog").removeHandler(heard)
    assert "blocking_strategy" in seen[0].handler
