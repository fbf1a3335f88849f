"""The virtual net, disk and clock: byte streams that behave like sockets, and break on demand."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.errors import UsageError
from dragoman.runtime.virtual import MONDAY_MORNING_NS, VirtualRuntime
from dragoman.runtime.virtual_disk import VirtualDisk
from dragoman.runtime.virtual_net import LinkFault
from dragoman.runtime.virtual_stream import Link

HOST = "127.0.0.1"


class Recorder(asyncio.Protocol):
    """Writes down everything that happens to it."""

    def __init__(self, *, keep_half_open: bool = False) -> None:
        self.events: list[object] = []
        self.data = bytearray()
        self.pieces = 0
        self.keep_half_open = keep_half_open

    def connection_made(self, transport):
        self.transport = transport
        self.events.append("made")

    def data_received(self, data):
        self.data += data
        self.pieces += 1

    def eof_received(self):
        self.events.append("eof")
        return self.keep_half_open

    def pause_writing(self):
        self.events.append("pause")

    def resume_writing(self):
        self.events.append("resume")

    def connection_lost(self, exc):
        self.events.append(("lost", type(exc)))


def with_pair(scenario, *, seed=0, fault: LinkFault | None = None, **server_options):
    """Run `scenario(runtime, client, server, link)` on a fresh connection."""
    runtime = VirtualRuntime(seed)

    async def main():
        server = Recorder(**server_options)
        listener = await runtime.net.listen(lambda: server, HOST, 0)
        if fault is not None:
            runtime.net.faults.add(fault)
        _, client = await runtime.net.connect(Recorder, HOST, listener.port, timeout=5)
        await runtime.sleep(1)
        return await scenario(runtime, client, server, runtime.net.links[0])

    with runtime:
        result = runtime.run(main())
    assert runtime.loop.unhandled == []
    return result


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.binary(max_size=3000), max_size=8))
def test_bytes_arrive_in_order_however_they_are_cut(seed, writes):
    async def scenario(runtime, client, server, link):
        for data in writes:
            client.transport.write(data)
            server.transport.write(data[::-1])
        await runtime.sleep(1)
        assert bytes(server.data) == b"".join(writes)
        assert bytes(client.data) == b"".join(data[::-1] for data in writes)

    with_pair(scenario, seed=seed)


def test_writes_are_cut_and_joined():
    async def scenario(runtime, client, server, link):
        for _ in range(50):
            client.transport.write(bytes(100))
        await runtime.sleep(1)
        return server.pieces

    pieces = {with_pair(scenario, seed=seed) for seed in range(10)}
    assert len(pieces) > 1
    assert min(pieces) != 50


def test_whole_chunking_hands_over_each_write_as_it_is():
    async def scenario(runtime, client, server, link):
        runtime.net.shape.chunking = "whole"
        for _ in range(50):
            client.transport.write(bytes(100))
        await runtime.sleep(1)
        return server.pieces

    assert with_pair(scenario) == 50


def test_latency_lies_within_its_bounds():
    async def scenario(runtime, client, server, link):
        runtime.net.shape.latency_s = (2.0, 3.0)
        client.transport.write(b"x")
        await runtime.sleep(1.9)
        assert not server.data
        await runtime.sleep(1.2)
        assert server.data

    with_pair(scenario)


def test_closing_flushes_then_ends_both_sides():
    async def scenario(runtime, client, server, link):
        client.transport.write(bytes(1_000_000))
        client.transport.close()
        client.transport.write(b"ignored")
        assert client.transport.is_closing()
        await runtime.sleep(1)
        assert len(server.data) == 1_000_000
        assert server.events == ["made", "eof", ("lost", type(None))]
        assert client.events[-1] == ("lost", type(None))
        assert not link.open

    with_pair(scenario)


def test_half_closing_leaves_the_other_direction_open():
    async def scenario(runtime, client, server, link):
        assert client.transport.can_write_eof()
        client.transport.write(b"question")
        client.transport.write_eof()
        await runtime.sleep(1)
        assert server.events == ["made", "eof"]
        with pytest.raises(RuntimeError, match="after write_eof"):
            client.transport.write(b"more")
        server.transport.write(b"answer")
        await runtime.sleep(1)
        assert client.data == b"answer"
        server.transport.close()
        await runtime.sleep(1)
        assert client.events == ["made", "eof", ("lost", type(None))]

    with_pair(scenario, keep_half_open=True)


def test_aborting_drops_the_buffer_and_ends_the_other_side():
    async def scenario(runtime, client, server, link):
        server.transport.pause_reading()
        client.transport.write(bytes(1_000_000))
        client.transport.abort()
        server.transport.resume_reading()
        await runtime.sleep(1)
        assert len(server.data) < 1_000_000
        assert client.events[-1] == ("lost", type(None))
        assert server.events[-1][0] == "lost"

    with_pair(scenario)


def test_a_reader_that_pauses_stops_the_writer_at_its_water_mark():
    async def scenario(runtime, client, server, link):
        server.transport.pause_reading()
        assert not server.transport.is_reading()
        client.transport.write(bytes(1_000_000))
        assert client.events == ["made", "pause"]
        await runtime.sleep(1)
        assert not server.data
        assert client.transport.get_write_buffer_size() > 64 * 1024
        server.transport.resume_reading()
        await runtime.sleep(1)
        assert len(server.data) == 1_000_000
        assert client.events == ["made", "pause", "resume"]

    with_pair(scenario)


def test_water_marks_are_settable_and_checked():
    async def scenario(runtime, client, server, link):
        client.transport.set_write_buffer_limits(high=8)
        assert client.transport.get_write_buffer_limits() == (2, 8)
        with pytest.raises(ValueError, match="high >= low"):
            client.transport.set_write_buffer_limits(high=1, low=2)

    with_pair(scenario)


def test_closing_with_unread_bytes_resets_the_peer_as_a_socket_does():
    async def scenario(runtime, client, server, link):
        server.transport.pause_reading()
        client.transport.write(b"unread")
        await runtime.sleep(1)
        server.transport.close()
        await runtime.sleep(1)
        assert client.events[-1] == ("lost", ConnectionResetError)

    with_pair(scenario)


def test_writing_to_a_peer_that_has_gone_is_answered_with_a_reset():
    async def scenario(runtime, client, server, link):
        client.keep_half_open = True
        server.transport.close()
        await runtime.sleep(1)
        client.transport.write(b"into the void")
        await runtime.sleep(1)
        assert client.events == ["made", "eof", ("lost", ConnectionResetError)]

    with_pair(scenario)


def test_a_protocol_that_raises_ends_its_connection_and_is_reported():
    runtime = VirtualRuntime()

    class Broken(Recorder):
        def data_received(self, data):
            raise ValueError("broken")

    async def main():
        server = Broken()
        listener = await runtime.net.listen(lambda: server, HOST, 0)
        transport, client = await runtime.net.connect(Recorder, HOST, listener.port, timeout=5)
        transport.write(b"x")
        await runtime.sleep(1)
        return client.events, server.events

    runtime.loop.set_exception_handler(lambda loop, context: None)
    client, server = runtime.run(main())
    assert client[-1] == ("lost", ConnectionResetError)
    assert server[-1] == ("lost", ValueError)
    assert [type(context["exception"]) for context in runtime.loop.unhandled] == [ValueError]


def test_addresses_are_told():
    async def scenario(runtime, client, server, link):
        assert client.transport.get_extra_info("peername") == server.transport.get_extra_info("sockname")
        assert client.transport.get_extra_info("sockname") == server.transport.get_extra_info("peername") == link.client
        assert client.transport.get_extra_info("ssl_object") is None

    with_pair(scenario)


@pytest.mark.parametrize("n", [0, 1, 99, 100])
def test_a_reset_after_n_bytes_delivers_exactly_n(n):
    async def scenario(runtime, client, server, link):
        client.transport.write(bytes(100))
        await runtime.sleep(1)
        assert len(server.data) == n
        lost = n < 100
        assert (server.events[-1] == ("lost", ConnectionResetError)) == lost
        assert (client.events[-1] == ("lost", ConnectionResetError)) == lost

    for seed in range(5):
        with_pair(scenario, seed=seed, fault=LinkFault(reset_to_server_after=n))


@pytest.mark.parametrize("n", [0, 50])
def test_a_muted_direction_swallows_bytes_and_ends_while_the_other_goes_on(n):
    async def scenario(runtime, client, server, link):
        server.transport.write(bytes(100))
        client.transport.write(b"heard")
        await runtime.sleep(1)
        server.transport.close()
        await runtime.sleep(1)
        assert len(client.data) == n
        assert server.data == b"heard"
        assert client.events == ["made"]

    with_pair(scenario, fault=LinkFault(mute_to_client_after=n))


def test_a_muted_direction_fills_the_writer_up():
    async def scenario(runtime, client, server, link):
        for _ in range(10):
            client.transport.write(bytes(100_000))
            await runtime.sleep(1)
        assert "pause" in client.events
        assert "resume" not in client.events

    with_pair(scenario, fault=LinkFault(mute_to_server_after=0))


def test_a_vanished_peer_leaves_both_sides_believing():
    async def scenario(runtime, client, server, link):
        link.vanish()
        client.transport.write(b"x")
        server.transport.close()
        await runtime.sleep(3600)
        assert client.events == ["made"]
        assert not server.data

    with_pair(scenario)


def test_a_reset_now_hits_both_sides_and_drops_what_is_under_way():
    async def scenario(runtime, client, server, link):
        client.transport.write(b"under way")
        link.reset()
        await runtime.sleep(1)
        assert not server.data
        assert client.events[-1] == server.events[-1] == ("lost", ConnectionResetError)

    with_pair(scenario)


def test_a_delay_slows_the_connect_and_both_directions():
    runtime = VirtualRuntime()

    async def main():
        server = Recorder()
        listener = await runtime.net.listen(lambda: server, HOST, 0)
        runtime.net.faults.add(LinkFault(delay_s=5))
        started = runtime.clock.mono_ns()
        transport, _ = await runtime.net.connect(Recorder, HOST, listener.port, timeout=20)
        assert runtime.clock.mono_ns() - started >= 10_000_000_000
        transport.write(b"x")
        await runtime.sleep(4.9)
        assert not server.data
        await runtime.sleep(0.2)
        assert server.data

    runtime.run(main())


def test_a_hook_sees_each_link_before_its_first_byte():
    runtime = VirtualRuntime()
    seen: list[Link] = []

    async def main():
        listener = await runtime.net.listen(Recorder, HOST, 0)
        runtime.net.faults.on_link = seen.append
        for _ in range(2):
            await runtime.net.connect(Recorder, HOST, listener.port, timeout=5)
        runtime.net.faults.heal()
        await runtime.net.connect(Recorder, HOST, listener.port, timeout=5)

    runtime.run(main())
    assert [link.number for link in seen] == [1, 2]
    assert len(runtime.net.links) == 3


def connect_error(prepare, host=HOST, port=7, timeout=2.0, tls=None):
    runtime = VirtualRuntime()

    async def main():
        listener = await runtime.net.listen(Recorder, HOST, 9)
        prepare(runtime.net)
        try:
            await runtime.net.connect(Recorder, host, port, timeout=timeout, tls=tls)
        except (OSError, UsageError) as error:
            return error
        finally:
            await listener.close()

    return runtime.run(main())


def test_connects_fail_as_sockets_do():
    assert isinstance(connect_error(lambda net: None), ConnectionRefusedError)
    assert isinstance(connect_error(lambda net: net.faults.add(LinkFault(refuse=True)), port=9), ConnectionRefusedError)
    assert isinstance(connect_error(lambda net: net.faults.add(LinkFault(hang=True)), port=9), TimeoutError)
    assert isinstance(connect_error(lambda net: None, host="unknown.example"), socket.gaierror)
    assert connect_error(lambda net: net.faults.add(LinkFault(refuse=True), host="other"), port=9) is None
    assert connect_error(lambda net: net.resolve.update({"api.example": HOST}), host="api.example", port=9) is None
    assert isinstance(connect_error(lambda net: None, port=9, tls=ssl.create_default_context()), UsageError)


def test_a_port_is_taken_once_and_free_after_closing():
    runtime = VirtualRuntime()

    async def main():
        listener = await runtime.net.listen(Recorder, HOST, 80)
        with pytest.raises(OSError, match=str(errno.EADDRINUSE)):
            await runtime.net.listen(Recorder, HOST, 80)
        await listener.close()
        with pytest.raises(ConnectionRefusedError):
            await runtime.net.connect(Recorder, HOST, 80, timeout=1)
        anywhere = await runtime.net.listen(Recorder, "0.0.0.0", 80)
        await runtime.net.connect(Recorder, "10.1.2.3", 80, timeout=1)
        await anywhere.close()

    runtime.run(main())


# Clock, disk, the rest


def test_the_wall_clock_steps_and_drifts_and_the_monotonic_one_does_not():
    runtime = VirtualRuntime()
    clock = runtime.clock

    async def main():
        assert clock.wall_ns() == MONDAY_MORNING_NS
        start = clock.mono_ns()
        assert start > 0
        clock.drift(ppm=500_000)
        await runtime.sleep(10)
        assert clock.wall_ns() == MONDAY_MORNING_NS + 15_000_000_000
        clock.step(-3600)
        assert clock.wall_ns() == MONDAY_MORNING_NS + 15_000_000_000 - 3_600_000_000_000
        clock.drift(ppm=0)
        clock.set_wall_ns(5)
        await runtime.sleep(1)
        assert clock.wall_ns() == 1_000_000_005
        assert clock.mono_ns() - start == 11_000_000_000

    runtime.run(main())


def test_the_start_time_can_be_given():
    assert VirtualRuntime(1, start_wall_ns=42).clock.wall_ns() == 42


def test_randomness_comes_from_the_seed():
    first, same, other = VirtualRuntime(1), VirtualRuntime(1), VirtualRuntime(2)
    assert first.random_bytes(16) == same.random_bytes(16) != other.random_bytes(16)
    assert first.random.random() == same.random.random() != other.random.random()


def test_the_disk_outlives_a_run():
    runtime = VirtualRuntime()

    async def write():
        await runtime.in_worker(runtime.disk.write_atomic, "/state/token", b"abc")

    async def read():
        return await runtime.in_worker(runtime.disk.read, "/state/../state/token")

    runtime.run(write())
    assert runtime.run(read()) == b"abc"
    assert runtime.disk.mode("/state/token") == 0o600


def test_the_disk_lists_removes_and_misses():
    disk = VirtualDisk()
    disk.write_atomic("/a/x", b"1", mode=0o644)
    disk.write_atomic("/a/b/y", b"2")
    assert disk.listdir("/a") == ["b", "x"]
    assert disk.listdir("/") == ["a"]
    assert disk.listdir("/none") == []
    assert disk.exists("/a")
    assert disk.exists("/a/x")
    assert disk.mode("/a/x") == 0o644
    disk.remove("/a/x")
    disk.remove("/a/x")
    assert not disk.exists("/a/x")
    with pytest.raises(FileNotFoundError):
        disk.read("/a/x")
    with pytest.raises(FileNotFoundError):
        disk.mode("/a/x")


def test_a_failed_write_leaves_the_old_bytes():
    disk = VirtualDisk()
    disk.write_atomic("/f", b"old")
    disk.fail(errno.ENOSPC, path="/f", times=2)
    disk.write_atomic("/other", b"fine")
    for _ in range(2):
        with pytest.raises(OSError, match="No space") as caught:
            disk.write_atomic("/f", b"new")
        assert caught.value.errno == errno.ENOSPC
    assert disk.read("/f") == b"old"
    disk.write_atomic("/f", b"new")
    assert (disk.read("/f"), disk.writes) == (b"new", 3)


def test_every_disk_operation_can_fail_until_healed():
    disk = VirtualDisk()
    disk.write_atomic("/f", b"x")
    for operation, call in (
        ("read", lambda: disk.read("/f")),
        ("read", lambda: disk.mode("/f")),
        ("remove", lambda: disk.remove("/f")),
        ("list", lambda: disk.listdir("/")),
        ("write", lambda: disk.write_atomic("/f", b"y")),
    ):
        disk.fail(errno.EIO, operation=operation, times=-1)
        for _ in range(3):
            with pytest.raises(OSError, match="Input/output"):
                call()
        disk.heal()
        call()
        disk.write_atomic("/f", b"x")
    with pytest.raises(ValueError, match="operation"):
        disk.fail(operation="rename")


def test_environment_and_commands_come_from_tables():
    runtime = VirtualRuntime()
    runtime.env["KEY"] = "value"
    runtime.commands[("pass", "show", "x")] = "secret\n"

    async def main():
        assert runtime.environ("KEY") == "value"
        assert runtime.environ("PATH") is None
        assert await runtime.run_command(["pass", "show", "x"], timeout=1) == "secret"
        with pytest.raises(OSError, match="not in the table"):
            await runtime.run_command(["pass"], timeout=1)

    runtime.run(main())


def test_spawned_tasks_are_kept_alive_and_forgotten_when_done():
    runtime = VirtualRuntime()

    async def main():
        task = runtime.spawn(runtime.sleep(1), name="napper")
        assert task.get_name() == "napper"
        assert task in runtime._spawned
        await task
        await runtime.sleep(0)
        assert not runtime._spawned

    runtime.run(main())
