"""What only real sockets have: TLS, picows' log, and event loops to choose from."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import ssl
import subprocess
import sys

import pytest
import trustme

from dragoman.emulator.contract import Push
from dragoman.emulator.host import EmulatorHost
from dragoman.errors import NotSent, UsageError
from dragoman.runtime.real import RealRuntime
from dragoman.transport.base import WsOptions
from dragoman.transport.tls import client_context
from dragoman.transport.websocket import connect_ws
from wire.echo_broker import EchoBroker
from wire.worlds import run_in
from wire.ws_server import Recorder


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def server_context(authority, *names, version=None, **details):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **details).configure_cert(context)
    if version is not None:
        context.minimum_version, context.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED, version
    return context


@contextlib.asynccontextmanager
async def secure_host(runtime, context):
    host = EmulatorHost(EchoBroker(), runtime, tls=context)
    roots = await host.start()
    try:
        yield host, roots
    finally:
        await host.close()
    assert host.counters.emulator_errors == 0


@pytest.fixture
def trusting(authority, tmp_path):
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return client_context(str(path))


@pytest.mark.parametrize("make_loop", [None, asyncio.new_event_loop], ids=["fast-loop", "asyncio"])
@pytest.mark.parametrize("tls", [True, False], ids=["wss", "ws"])
def test_messages_pass_over_tls_and_plain_on_every_loop(authority, trusting, make_loop, tls):
    async def scenario(runtime):
        context = server_context(authority, "127.0.0.1") if tls else None
        async with secure_host(runtime, context) as (_, roots):
            assert roots.ws.startswith("wss://" if tls else "ws://")
            handler = Recorder()
            ws = await connect_ws(runtime, roots.ws, handler, tls=trusting if tls else None)
            ws.send_binary(b"\x00\x01" * 100_000)
            ws.send_text("after")
            assert await handler.until(2) == [("binary", b"\x00\x01" * 100_000), ("text", "after")]
            await ws.close()
            assert handler.events[-1] == ("closed", 1000, "")

    if make_loop is None:
        run_in("real", scenario)
        return
    runtime = RealRuntime()
    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(scenario(runtime))
    runtime.close()


@pytest.mark.parametrize("case", ["unknown authority", "other host", "expired", "TLS 1.1"])
def test_a_server_that_cannot_be_trusted_gets_no_byte_of_the_upgrade(authority, trusting, case, recwarn):
    # recwarn: asking for TLS 1.1 is deprecated, which is the point
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    contexts = {
        "unknown authority": lambda: server_context(trustme.CA(), "127.0.0.1"),
        "other host": lambda: server_context(authority, "broker.invalid"),
        "expired": lambda: server_context(authority, "127.0.0.1", not_after=past),
        "TLS 1.1": lambda: server_context(authority, "127.0.0.1", version=ssl.TLSVersion.TLSv1_1),
    }

    async def scenario(runtime):
        async with secure_host(runtime, contexts[case]()) as (host, roots):
            with pytest.raises(NotSent, match=r"^no (TLS )?connection to wss") as refused:
                await connect_ws(runtime, roots.ws + "?token=emu_secret", Recorder(), tls=trusting)
            assert "secret" not in f"{refused.value!s} {refused.value.__cause__!r}"
            assert host.counters.requests == 0
            assert host.emulator.sockets == {}

    run_in("real", scenario)


def test_a_context_that_does_not_verify_is_refused():
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE

    async def scenario(runtime):
        with pytest.raises(UsageError, match="does not verify"):
            await connect_ws(runtime, "wss://127.0.0.1:1/", Recorder(), tls=blind)

    run_in("real", scenario)


@pytest.mark.parametrize("host", ["example.com", "10.0.0.1", "localhost", "[2001:db8::1]"])
def test_plain_websockets_go_to_literal_loopback_addresses_only(host):
    async def scenario(runtime):
        with pytest.raises(UsageError, match="expected wss"):
            await connect_ws(runtime, f"ws://{host}:1/", Recorder())

    run_in("real", scenario)


def test_a_log_at_its_lowest_level_holds_no_token(caplog):
    async def scenario(runtime):
        async with secure_host(runtime, None) as (host, roots):
            handler = Recorder()
            url = f"{roots.ws}?token=emu_canary"
            headers = [("Authorization", "emu_canary")]
            ws = await connect_ws(
                runtime, url, handler, headers=headers, options=WsOptions(ping_interval_s=0.01, max_frame_bytes=1000)
            )
            ws.send_text("emu_canary")
            await handler.until(2)
            host.emulator.outbox.append(Push(1, bytes(2000)))
            assert (await handler.closed())[0] == 1009

    with caplog.at_level(1):
        logging.getLogger("picows").setLevel(1)
        try:
            run_in("real", scenario)
        finally:
            logging.getLogger("picows").setLevel(logging.NOTSET)
    assert "canary" not in caplog.text


def test_neither_the_package_nor_the_client_loads_picows_before_a_real_socket_needs_it():
    code = "import sys, dragoman, dragoman.transport.websocket; print('picows' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
