"""What a capture holds: every frame both ways, no secret; and replaying it gives the books that the client had."""

from __future__ import annotations

import asyncio
import json

import pytest
from dragoman.adapters.binance import BinanceAdapter
from dragoman.adapters.zerodha.adapter import ZerodhaAdapter

from dragoman.client import Client
from dragoman.errors import DecodeError, UsageError
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.session.profiles import load_profile
from dragoman.session.secrets import Secret, as_secret
from dragoman.session.session import AccountSession
from dragoman.testing.capture import Capture
from dragoman.testing.emulated import browser, emulated
from dragoman.testing.recording import read_recording
from dragoman.testing.replay import replay

NAMES = ["NSE:INFY", "NSE:SBIN"]


def captured(seconds: float = 2.0, order: bool = True):
    """Record a short session at the emulator; return the file, what was secret, and the last tops."""

    async def record(runtime):
        lines: list[bytes] = []
        async with asyncio.timeout(600), emulated(runtime, "zerodha") as (_, overrides):
            adapter = ZerodhaAdapter()
            profile = await load_profile(runtime, adapter, "test", environment="emulator", overrides=overrides)
            session = AccountSession(runtime, adapter, profile, state_dir="/state", open_url=browser(runtime))
            capture = Capture(session, lines.append)
            async with Client(session) as client:
                capture.instruments([client.instrument(name) for name in NAMES])
                client.subscribe(NAMES, "full")
                if order:
                    await client.place("NSE:INFY", "BUY", 1, order_type="MARKET", product="INTRADAY", tag="mine")
                await runtime.sleep(seconds)
                tops = {name: client.book(name).snapshot(1) for name in NAMES}
                secrets = {value.reveal() for value in session.ctx.login.values() if isinstance(value, Secret)}
                secrets.add(session.ctx.credentials["api_secret"].reveal())
            capture.end()
        return b"".join(lines), secrets, tops

    with VirtualRuntime(seed=7) as runtime:
        return runtime.run(record(runtime))


def test_frames_both_ways_are_kept_with_their_times_and_the_content_is_whole():
    data, _, _ = captured()
    head, *rows, end = [json.loads(line) for line in data.splitlines()]
    assert (head["capture"], head["broker"], head["environment"]) == (1, "zerodha", "emulator")
    assert [row["instrument"]["instrument_id"] for row in rows if "instrument" in row] == NAMES
    assert any('"subscribe"' in row.get("out", "") for row in rows)
    assert any("in64" in row for row in rows)
    assert any('"order"' in row.get("in", "") for row in rows)
    times = [row["ts"] for row in rows]
    assert times == sorted(times)
    assert times[0] >= head["began"]
    recording = read_recording(data, "a file")
    assert recording.whole is True
    assert end["frames"] == len(recording.frames)


def test_no_credential_and_no_token_is_in_the_file():
    data, secrets, _ = captured()
    assert len(secrets) >= 2
    for secret in secrets:
        assert secret.encode() not in data


def test_a_signed_request_over_a_socket_is_not_in_the_file():
    async def record(runtime):
        lines: list[bytes] = []
        adapter = BinanceAdapter()
        async with asyncio.timeout(600), emulated(runtime, adapter) as (host, overrides):
            host.emulator.venue.calm()
            secrets = {name: as_secret(value) for name, value in overrides["credentials"].items()}
            overrides = overrides | {"settings": {"orders_via": "socket"}, "credentials": secrets}
            profile = await load_profile(runtime, adapter, "test", environment="emulator", overrides=overrides)
            session = AccountSession(runtime, adapter, profile, state_dir="/state", open_url=browser(runtime))
            capture = Capture(session, lines.append)
            async with Client(session) as client:
                price = host.emulator.venue.market("BINANCE:BTC/USDT").last_price * 9 // 10
                order = await client.place("BINANCE:BTC/USDT", "BUY", "0.1", order_type="LIMIT", price=price)
                await client.cancel(order)
                await runtime.sleep(1)
            capture.end()
            assert host.counters.messages > 2
        return [json.loads(line) for line in b"".join(lines).splitlines()]

    with VirtualRuntime(seed=7) as runtime:
        rows = runtime.run(record(runtime))
    sent = [row["out"] for row in rows if "out" in row]
    assert len(sent) > 2
    assert not any(word in frame for frame in sent for word in ("signature", "apiKey", "order.place"))
    assert any("executionReport" in row.get("in", "") for row in rows)


def test_a_secret_within_a_frame_is_hidden_whatever_the_frame_is():
    async def record(runtime):
        lines: list[bytes] = []
        async with emulated(runtime, "zerodha") as (_, overrides):
            adapter = ZerodhaAdapter()
            profile = await load_profile(runtime, adapter, "test", environment="emulator", overrides=overrides)
            session = AccountSession(runtime, adapter, profile, state_dir="/state", open_url=browser(runtime))
            capture = Capture(session, lines.append)
            async with Client(session, streams=False):
                token = session.ctx.login["access_token"].reveal()
                capture.writer.frame(1, "market", 1, f"auth {token}", sent=True)
                capture.writer.frame(2, "market", 1, b"\x00\xff" + token.encode() + b"\xfe", sent=False)
                capture.writer.closed(3, "market", 1, f"for {token}")
        return b"".join(lines), token

    with VirtualRuntime(seed=7) as runtime:
        data, token = runtime.run(record(runtime))
    first, second = read_recording(data, "a file").frames
    assert (first.data, second.data) == (b"auth ***", b"\x00\xff***\xfe")
    assert token.encode() not in data


def test_replaying_a_capture_ends_with_the_books_the_client_had():
    data, _, tops = captured()
    found = replay(ZerodhaAdapter(), read_recording(data, "a file"))
    assert (found.feed, found.errors, found.unbound, found.crossed) == ("market", 0, 0, 0)
    assert found.ticks > 4
    assert found.levels >= 10 * found.ticks - 10
    seen = {top.instrument_id: (top.bid_price, top.bid_quantity, top.ask_price, top.ask_quantity) for top in found.tops}
    for name, top in tops.items():
        assert seen[name] == (*top.bids[0][:2], *top.asks[0][:2])


def test_a_changed_capture_is_known_and_a_broken_line_is_named():
    data, _, _ = captured(order=False)
    changed = data.replace(b'"environment":"emulator"', b'"environment":"Emulator"')
    assert read_recording(changed, "a file").whole is False
    with pytest.raises(DecodeError, match="a file, line 2: "):
        read_recording(data.splitlines(keepends=True)[0] + b"{not json\n", "a file")
    with pytest.raises(DecodeError, match="version 2, this reads 1"):
        read_recording(b'{"capture":2,"broker":"x"}\n', "a file")


def test_a_stream_that_is_not_there_is_a_usage_error():
    data, _, _ = captured(order=False)
    with pytest.raises(UsageError, match="deep"):
        replay(ZerodhaAdapter(), read_recording(data, "a file"), feed="deep")
