"""The real runtime: files that are never half written, sockets, threads and programs of this machine."""

from __future__ import annotations

import asyncio
import os
import ssl
import stat
import sys
import threading

import pytest

from dragoman.runtime import loops
from dragoman.runtime.real import RealRuntime
from dragoman.runtime.real_disk import RealDisk

HOST = "127.0.0.1"


@pytest.fixture
def runtime():
    runtime = RealRuntime()
    yield runtime
    runtime.close()


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    """Run a coroutine on either loop."""
    if request.param == "asyncio":
        return asyncio.run
    pytest.importorskip("uvloop")
    return loops.run


def test_uvloop_is_chosen_where_it_is_installed():
    pytest.importorskip("uvloop")

    async def main():
        return type(asyncio.get_running_loop()).__module__

    assert loops.run(main()).startswith("uvloop")


def test_without_uvloop_asyncio_serves(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvloop", None)

    async def main():
        return type(asyncio.get_running_loop()).__module__

    assert loops.run(main()).startswith("asyncio")


def test_clocks_tell_ns_and_the_monotonic_one_never_falls(runtime):
    readings = [runtime.clock.mono_ns() for _ in range(1000)]
    assert readings == sorted(readings)
    assert runtime.clock.wall_ns() > 1_700_000_000_000_000_000
    assert (runtime.name, runtime.virtual) == ("real", False)


def test_random_bytes_differ(runtime):
    assert len(runtime.random_bytes(32)) == 32
    assert runtime.random_bytes(32) != runtime.random_bytes(32)


def test_a_file_is_written_private_and_whole(tmp_path):
    disk = RealDisk()
    path = str(tmp_path / "new" / "token")
    disk.write_atomic(path, b"first")
    disk.write_atomic(path, b"second")
    assert disk.read(path) == b"second"
    assert disk.mode(path) == 0o600
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert disk.listdir(str(tmp_path / "new")) == ["token"]
    disk.write_atomic(path, b"x", mode=0o640)
    assert disk.mode(path) == 0o640


def test_the_file_is_synced_before_it_is_renamed_and_its_folder_after(tmp_path, monkeypatch):
    calls = []
    real_fsync, real_replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append(stat.S_ISDIR(os.fstat(fd).st_mode)), real_fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("rename"), real_replace(a, b)))
    RealDisk().write_atomic(str(tmp_path / "f"), b"x")
    assert calls == [False, "rename", True]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_no_temporary_one(tmp_path, monkeypatch, step):
    disk = RealDisk()
    path = str(tmp_path / "f")
    disk.write_atomic(path, b"old")

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space"):
        disk.write_atomic(path, b"new")
    monkeypatch.undo()
    assert disk.read(path) == b"old"
    assert disk.listdir(str(tmp_path)) == ["f"]


def test_the_disk_removes_lists_and_misses(tmp_path):
    disk = RealDisk()
    path = str(tmp_path / "f")
    assert not disk.exists(path)
    assert disk.listdir(str(tmp_path / "none")) == []
    disk.remove(path)
    disk.write_atomic(path, b"x")
    assert disk.exists(path)
    disk.remove(path)
    with pytest.raises(FileNotFoundError):
        disk.read(path)
    with pytest.raises(FileNotFoundError):
        disk.mode(path)


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


class Collect(asyncio.Protocol):
    def __init__(self):
        self.data = b""
        self.news = asyncio.Event()
        self.lost = asyncio.Event()

    def data_received(self, data):
        self.data += data
        self.news.set()

    def connection_lost(self, exc):
        self.lost.set()


def test_bytes_travel_over_loopback_and_the_port_is_free_after_closing(runtime, run):
    async def main():
        listener = await runtime.net.listen(Echo, HOST, 0)
        transport, protocol = await runtime.net.connect(Collect, "localhost", listener.port, local_addr=HOST, timeout=5)
        assert transport.get_extra_info("sockname")[0] == HOST
        assert not runtime.net.readable(transport)()
        transport.write(b"hello")
        async with asyncio.timeout(5):
            while protocol.data != b"hello":
                protocol.news.clear()
                await protocol.news.wait()
        port = listener.port
        await listener.close()
        again = await runtime.net.listen(Echo, HOST, port)
        await again.close()
        with pytest.raises(ConnectionRefusedError):
            await runtime.net.connect(Collect, HOST, port, timeout=5)
        transport.close()
        await protocol.lost.wait()
        assert runtime.net.readable(transport)()

    run(main())


def test_unread_bytes_are_seen_without_reading_them(runtime, run):
    async def main():
        servers = []

        class Greeter(asyncio.Protocol):
            def connection_made(self, transport):
                servers.append(transport)

        listener = await runtime.net.listen(Greeter, HOST, 0)
        transport, protocol = await runtime.net.connect(Collect, HOST, listener.port, timeout=5)
        transport.pause_reading()
        while not servers:
            await runtime.sleep(0.001)
        assert not runtime.net.readable(transport)()
        servers[0].close()
        async with asyncio.timeout(5):
            while not runtime.net.readable(transport)():
                await runtime.sleep(0.001)
        assert not protocol.lost.is_set()
        transport.resume_reading()
        await protocol.lost.wait()
        await listener.close()

    run(main())


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "bad\0host", "no such host"])
def test_a_host_that_cannot_be_one_is_an_os_error(runtime, run, host):
    async def main():
        with pytest.raises(OSError):
            await runtime.net.connect(Collect, host, 80, timeout=5)

    run(main())


def test_a_connect_has_a_deadline(runtime, run):
    async def main():
        listener = await runtime.net.listen(Collect, HOST, 0)  # speaks no TLS, so the handshake never ends
        with pytest.raises(TimeoutError, match=f"no connection to {HOST}:{listener.port} within"):
            await runtime.net.connect(Collect, HOST, listener.port, tls=ssl.create_default_context(), timeout=0.05)
        await listener.close()

    run(main())


def test_workers_run_beside_the_loop(runtime, run):
    async def main():
        here = threading.get_ident()
        there = await runtime.in_worker(threading.get_ident)
        with pytest.raises(ZeroDivisionError):
            await runtime.in_worker(divmod, 1, 0)
        return here != there

    assert run(main())


def test_spawned_tasks_are_kept_until_done(runtime, run):
    async def main():
        task = runtime.spawn(runtime.sleep(0), name="napper")
        assert task in runtime._tasks
        await task
        await runtime.sleep(0)
        return task.get_name(), len(runtime._tasks)

    assert run(main()) == ("napper", 0)


def test_environment_is_that_of_the_process(runtime, monkeypatch):
    monkeypatch.setenv("DRAGOMAN_TEST", "x")
    assert runtime.environ("DRAGOMAN_TEST") == "x"
    assert runtime.environ("DRAGOMAN_ABSENT") is None


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def test_a_command_gives_its_output_without_the_last_newline_and_sees_no_shell(runtime, run):
    async def main():
        assert await runtime.run_command(python("print('a b'); print()"), timeout=20) == "a b\n"
        assert await runtime.run_command([*python("import sys; print(sys.argv[1])"), "$A;*"], timeout=20) == "$A;*"

    run(main())


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("print('top-secret'); raise SystemExit(3)", "ended with status 3"),
        ("import sys; sys.stdout.buffer.write(b'top-secret \\xff')", "not UTF-8"),
    ],
)
def test_a_command_that_fails_shows_none_of_its_output(runtime, run, program, message):
    async def main():
        with pytest.raises(OSError, match=message) as caught:
            await runtime.run_command(python(program), timeout=20)
        assert "top-secret" not in str(caught.value)

    run(main())


def test_a_command_that_does_not_exist_is_an_os_error(runtime, run):
    async def main():
        with pytest.raises(OSError):
            await runtime.run_command(["/no/such/program"], timeout=5)

    run(main())


def test_a_command_that_does_not_finish_is_a_timeout(runtime, run):
    async def main():
        with pytest.raises(TimeoutError, match="did not finish"):
            await runtime.run_command(python("import time; time.sleep(600)"), timeout=0.05)

    run(main())


def test_a_command_is_stopped_with_all_it_started(runtime, run, tmp_path):
    pid_file = tmp_path / "pid"
    child = f"import os, time; open({str(pid_file)!r}, 'w').write(f'{{os.getpid()}}.'); time.sleep(600)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"

    async def main():
        command = asyncio.ensure_future(runtime.run_command(python(parent), timeout=60))
        async with asyncio.timeout(20):
            while not (pid_file.exists() and pid_file.read_text().endswith(".")):
                await runtime.sleep(0.01)
            command.cancel()
            with pytest.raises(asyncio.CancelledError):
                await command
            while running(int(pid_file.read_text()[:-1])):
                await runtime.sleep(0.01)

    run(main())


def running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
