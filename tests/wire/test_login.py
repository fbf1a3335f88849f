"""Logging in: the one-shot listener takes exactly this login's redirect, and a session comes of it."""

from __future__ import annotations

import asyncio
import logging
import urllib.request
from contextlib import asynccontextmanager

import pytest

from dragoman.emulator.host import EmulatorHost
from dragoman.errors import AuthRequired, ErrorKind, UsageError
from dragoman.plugin import Redirect
from dragoman.runtime.loops import run
from dragoman.runtime.real import RealRuntime
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.session.login import LoginRedirect
from dragoman.session.profiles import load_profile
from dragoman.session.session import AccountSession
from dragoman.transport.base import Origin, WireRequest
from dragoman.transport.http import HttpClient
from reference.session_toys import REDIRECT_PORT, TOKEN, ToyAdapter, ToyBroker, get, post
from wire.worlds import both, run_in

URL = "https://broker.example/login?key=k"


class Browser:
    """Sends raw bytes to the listener and returns what it answers."""

    def __init__(self, runtime, port):
        self.runtime = runtime
        self.port = port

    async def raw(self, data: bytes) -> bytes:
        received = bytearray()
        gone = asyncio.get_running_loop().create_future()

        class Peer(asyncio.Protocol):
            def data_received(self, data):
                received.extend(data)

            def connection_lost(self, exc):
                gone.done() or gone.set_result(None)

        transport, _ = await self.runtime.net.connect(Peer, "127.0.0.1", self.port, timeout=5)
        transport.write(data)
        await gone
        return bytes(received)

    async def get(self, target: str, host: str = "", method: str = "GET") -> int:
        host = host or f"127.0.0.1:{self.port}"
        answer = await self.raw(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n".encode())
        return int(answer.split(b" ")[1])


async def free_port(runtime) -> int:
    listener = await runtime.net.listen(asyncio.Protocol, "127.0.0.1", 0)
    await listener.close()
    return listener.port


def login_with(world, visits, *, effect=None, timeout_s=30.0):
    """Run one redirect; `visits(browser, state)` plays the browser once the page is open."""

    async def scenario(runtime):
        port = await free_port(runtime)
        browser = Browser(runtime, port)
        played = []

        async def open_url(url):
            played.append(runtime.spawn(visits(browser, url.rpartition("state=")[2]), name="browser"))

        redirect = LoginRedirect(
            runtime, broker="toy", port=port, path="/back", open_url=open_url, prompt=None, timeout_s=timeout_s
        )
        try:
            return await redirect(effect or Redirect(URL, state_param="state"))
        finally:
            for task in played:
                await task
            with pytest.raises(OSError):  # nothing listens any more
                await runtime.net.connect(asyncio.Protocol, "127.0.0.1", port, timeout=1)

    return run_in(world, scenario)


@both
def test_the_redirect_of_this_login_is_taken_and_everything_else_is_not(world):
    seen = []

    async def visits(browser, state):
        seen.append(await browser.get(f"/favicon.ico?state={state}"))
        seen.append(await browser.get("/back?code=evil&state=wrong"))
        seen.append(await browser.get("/back?code=evil"))
        seen.append(await browser.get(f"/back?code=evil&code=good&state={state}"))
        seen.append(await browser.get(f"/back?code=evil&state={state}", host="attacker.example"))
        seen.append(await browser.get(f"/back?code=evil&state={state}", method="POST"))
        seen.append(await browser.get(f"/back?code=good&state={state}"))

    answer = login_with(world, visits)
    assert seen == [400] * 6 + [200]
    assert answer["code"] == "good"
    assert len(answer["state"]) == 48


@both
def test_bytes_that_are_no_request_are_answered_and_the_wait_goes_on(world):
    async def visits(browser, state):
        for junk in (b"\x16\x03\x01\r\n\r\n", b"GET\r\n\r\n", b"GET /back\xff HTTP/1.1\r\n\r\n", b"x" * 20_000):
            assert b" 400 " in (await browser.raw(junk)).split(b"\r\n")[0] + b" "
        assert await browser.get(f"/back?code=good&state={state}") == 200

    assert login_with(world, visits)["code"] == "good"


def test_a_head_that_arrives_in_pieces_is_one_request():
    async def visits(browser, state):
        done = asyncio.get_running_loop().create_future()

        class Slow(asyncio.Protocol):
            def connection_lost(self, exc):
                done.set_result(None)

        transport, _ = await browser.runtime.net.connect(Slow, "127.0.0.1", browser.port, timeout=5)
        head = f"GET /back?code=good&state={state} HTTP/1.1\r\nhost: localhost:{browser.port}\r\n\r\n".encode()
        for byte in head:
            transport.write(bytes((byte,)))
            await browser.runtime.sleep(0.001)
        await done

    assert login_with("virtual", visits)["code"] == "good"


def test_pairs_an_adapter_expects_are_checked_too():
    async def visits(browser, _):
        assert await browser.get("/back?code=evil&state=mine2") == 400
        assert await browser.get("/back?code=good&state=mine") == 200

    effect = Redirect(f"{URL}&params=state%3Dmine", expect=(("state", "mine"),))
    assert login_with("virtual", visits, effect=effect)["code"] == "good"


def test_nobody_coming_ends_the_wait_and_frees_the_port():
    async def visits(browser, state):
        assert await browser.get("/back?state=wrong") == 400

    with pytest.raises(AuthRequired, match="30 s") as raised:
        login_with("virtual", visits)
    assert raised.value.kind is ErrorKind.AUTH_INVALID


def test_a_taken_port_is_said_with_its_remedy():
    with VirtualRuntime() as runtime:

        async def main():
            await runtime.net.listen(asyncio.Protocol, "127.0.0.1", 5077)
            redirect = LoginRedirect(runtime, broker="toy", port=5077, path="/", open_url=print, prompt=None)
            with pytest.raises(UsageError, match="5077"):
                await redirect(Redirect(URL))

        runtime.run(main())


def paste(*answers):
    asked = []
    with VirtualRuntime() as runtime:

        def prompt(kind, text, secret):
            asked.append((kind, text, secret))
            state = asked[0][1].partition("state=")[2].partition(" ")[0]
            return answers[len(asked) - 1].format(state=state)

        redirect = LoginRedirect(runtime, broker="toy", port=5078, path="/back", open_url=None, prompt=prompt)
        return runtime.run(redirect(Redirect(URL, state_param="state"))), asked


def test_without_a_browser_the_redirected_address_is_pasted():
    answer, asked = paste(
        "no idea", "http://127.0.0.1:5078/back?code=c&state=x", " http://127.0.0.1/back?code=c&state={state}\n"
    )
    assert answer["code"] == "c"
    assert asked[0][0] == "text"
    assert URL in asked[0][1]
    assert len(asked) == 3


def test_three_wrong_pastes_end_the_login():
    with pytest.raises(AuthRequired):
        paste("a", "http://[", "b")


def test_nobody_to_ask_is_a_usage_error():
    with VirtualRuntime() as runtime:
        redirect = LoginRedirect(runtime, broker="toy", port=5078, path="/", open_url=None, prompt=None)
        with pytest.raises(UsageError, match="access_token"):
            runtime.run(redirect(Redirect(URL)))


# -- a whole session over the net --------------------------------------------------------------------------------------


@asynccontextmanager
async def toy_session(runtime, broker=None, *, start=True, adapter=None, credentials=None, poll_s=0.5, **more):
    """A session of the toy account at a toy broker over the runtime's net."""
    host = EmulatorHost(broker or ToyBroker(), runtime, poll_interval_s=poll_s)
    roots = await host.start()
    overrides = {
        "hosts": {"rest": roots.rest, "ws": roots.ws, "login": roots.login},
        "credentials": credentials or dict(host.emulator.credentials),
    }
    adapter = adapter or ToyAdapter()
    profile = await load_profile(runtime, adapter, environment="emulator", overrides=overrides)
    http = HttpClient(runtime)
    opened = []

    async def open_url(url):
        """A browser that follows the page's redirect to the listener."""
        opened.append(url)
        origin = Origin("http", "127.0.0.1", host.port)
        target = url.removeprefix(str(origin))
        page = await http.send(origin, lambda: WireRequest("GET", target, ()), timeout_s=5)
        back = Origin("http", "127.0.0.1", REDIRECT_PORT)
        target = page.headers["location"].removeprefix(str(back))
        reply = await http.send(back, lambda: WireRequest("GET", target, ()), timeout_s=5)
        assert reply.status == 200

    session = AccountSession(runtime, adapter, profile, state_dir="/state", open_url=open_url, **more)
    session.opened, session.open_url = opened, open_url  # what the tests look at
    try:
        if start:
            await session.start()
        yield session
    finally:
        await session.close()
        await http.close()
        await host.close()


def virtual(scenario, *, seed=5):
    with VirtualRuntime(seed=seed) as runtime:
        runtime.env["HOME"] = "/home/me"
        return runtime.run(scenario(runtime))


def test_a_login_through_page_and_listener_makes_a_session_that_is_kept():
    async def scenario(runtime):
        broker = ToyBroker()
        async with toy_session(runtime, broker) as session:
            assert (session.ctx.account, session.environment) == ("AC1", "emulator")
            assert session.ctx.login["access_token"].reveal() == TOKEN
            assert (await session.run(get()))["ok"]
            assert len(session.opened) == 1
        async with toy_session(runtime, broker) as session:
            assert session.opened == []  # the kept token was good
            assert session.ctx.login["feed"].reveal() == "emu_feed"
            assert await session.run(post()) == "1"
        broker.tokens.clear()
        broker.tokens.add("emu_other")
        async with toy_session(runtime, broker, start=False) as session:
            await session.start()
            with pytest.raises(AuthRequired):  # the page still hands out the dead token
                await session.run(get())
            assert len(session.opened) == 1

    virtual(scenario)


def test_a_token_of_another_login_is_accepted_without_a_page():
    async def scenario(runtime):
        async with toy_session(runtime, access_token=TOKEN, credentials={"api_key": "emu_key"}) as session:
            assert session.opened == []
            assert session.ctx.account == "AC1"
            assert "emu_token" not in repr(session)
        with pytest.raises(AuthRequired):
            async with toy_session(runtime, access_token="emu_wrong"):
                pass

    virtual(scenario)


def test_credentials_of_the_login_are_fetched_only_for_a_login():
    async def scenario(runtime):
        refs = {"api_key": {"env": "KEY"}, "api_secret": {"env": "SECRET"}}
        runtime.env["KEY"] = "emu_key"
        async with toy_session(runtime, access_token=TOKEN, credentials=refs) as session:
            assert list(session.ctx.credentials) == ["api_key"]
        runtime.disk.files.clear()
        with pytest.raises(UsageError, match="SECRET"):
            async with toy_session(runtime, credentials=refs):
                pass

    virtual(scenario)


def test_a_login_of_another_account_than_the_profiles_is_refused():
    async def scenario(runtime):
        async with toy_session(runtime, start=False) as session:
            object.__setattr__(session.profile, "account", "AC9")
            with pytest.raises(UsageError, match="AC9"):
                await session.start()

    virtual(scenario)


def test_read_only_logs_in_and_reads_but_changes_nothing():
    async def scenario(runtime):
        broker = ToyBroker()
        async with toy_session(runtime, broker, read_only=True) as session:
            assert (await session.run(get()))["ok"]
            with pytest.raises(UsageError, match="read-only"):
                await session.run(post())
            with pytest.raises(UsageError, match="read-only"):
                session.check_mutable()
            assert "read-only" in repr(session)
        assert broker.placed == 0

    virtual(scenario)


def test_after_its_end_by_the_brokers_clock_nothing_is_sent_and_the_user_was_warned():
    async def scenario(runtime):
        broker = ToyBroker()
        events = []
        async with toy_session(runtime, broker, poll_s=600.0) as session:
            session.on_event(events.append)
            left = (session.expires_ns - session.ctx.now_ns) / 1e9
            assert 20 * 3600 < left < 21 * 3600  # 09:15 to 06:00
            await runtime.sleep(left - 1000)
            assert events == []
            await runtime.sleep(200)
            assert [event.level for event in events] == ["warning"]
            await runtime.sleep(900)
            assert isinstance(events[-1], AuthRequired)
            before = len(broker.calls)
            with pytest.raises(AuthRequired, match="nothing was sent"):
                await session.run(get())
            assert len(broker.calls) == before
            assert len(events) == 2
            await session.login()
            assert (await session.run(get()))["ok"]

    virtual(scenario)


def test_once_the_broker_says_the_token_is_dead_nobody_sends_it_again():
    async def scenario(runtime):
        broker = ToyBroker()
        events = []
        async with toy_session(runtime, broker) as session:
            session.on_event(events.append)
            broker.tokens.clear()
            results = await asyncio.gather(*(session.run(get()) for _ in range(5)), return_exceptions=True)
            assert {type(result) for result in results} == {AuthRequired}
            before = len(broker.calls)
            for flow in (get(), post()):
                with pytest.raises(AuthRequired):
                    await session.run(flow)
            assert len(broker.calls) == before
            assert len(events) == 1
            broker.tokens.add(TOKEN)
            await session.login()
            assert await session.run(post()) == "1"

    virtual(scenario)


def test_where_no_human_is_needed_a_dead_session_is_renewed_once():
    class Renewing(ToyAdapter):
        def __init__(self):
            super().__init__()
            self.session = ToyAdapter.session.__class__(
                time_zone="UTC", life_s=1000.0, refresh="relogin", redirect_port=REDIRECT_PORT, redirect_path="/back"
            )

    async def scenario(runtime):
        broker = ToyBroker()
        async with toy_session(runtime, broker, adapter=Renewing()) as session:
            await runtime.sleep(950)
            assert len(session.opened) == 2  # renewed ahead of its end
            broker.tokens.clear()
            results = await asyncio.gather(*(session.run(get()) for _ in range(20)), return_exceptions=True)
            assert all(isinstance(result, AuthRequired) for result in results)
            broker.tokens.add(TOKEN)
            await runtime.sleep(5)
            assert len(session.opened) == 3
            assert (await session.run(get()))["ok"]

    virtual(scenario)


def test_logout_ends_the_session_here_and_there():
    async def scenario(runtime):
        broker = ToyBroker()
        async with toy_session(runtime, broker) as session:
            await session.logout()
            assert broker.calls[-1].method == "DELETE"
            assert not any("tokens" in name for name in runtime.disk.files)
            with pytest.raises(AuthRequired):
                await session.run(get())

    virtual(scenario)


def test_the_same_seed_gives_the_same_run():
    def trace():
        with VirtualRuntime(seed=9) as runtime:

            async def scenario():
                async with toy_session(runtime) as session:
                    await session.run(post())

            runtime.run(scenario())
            return runtime.trace_hash()

    assert trace() == trace()


@pytest.mark.logs  # it logs the secrets itself, to see them redacted
def test_no_secret_reaches_logs_errors_or_reprs_of_a_whole_session(caplog):
    canaries = {"api_key": "canary-key-1", "api_secret": "canary-secret-2"}

    async def scenario(runtime):
        runtime.env.update(KEY=canaries["api_key"], SECRET=canaries["api_secret"])
        broker = ToyBroker()
        refs = {"api_key": {"env": "KEY"}, "api_secret": {"env": "SECRET"}}
        shown = []
        async with toy_session(runtime, broker, credentials=refs, start=False) as session:
            with pytest.raises(AuthRequired) as raised:
                await session.start()  # this broker does not know the secret
            shown += [str(raised.value), repr(vars(raised.value)), repr(raised.value.__cause__)]
            shown += [repr(session), repr(session.ctx), repr(session.profile), repr(session.ctx.credentials)]
            logging.getLogger("dragoman.test").error("%s", session.ctx.credentials["api_secret"].reveal())
        assert any("secret=canary-secret-2" in call.body.decode() for call in broker.calls)
        return shown

    with caplog.at_level(logging.DEBUG):
        shown = virtual(scenario)
    assert "canary" not in caplog.text
    assert "canary" not in "\n".join(shown)
    assert "***" in caplog.text


def test_a_plain_function_that_waits_for_the_page_does_not_block_the_listener():
    """Text browsers do, and so does anybody who fetches the page with a blocking client."""

    async def scenario(runtime):
        def fetch(url):
            with urllib.request.urlopen("http://127.0.0.1:5079/back?state=s&code=1", timeout=5) as page:
                page.read()

        redirect = LoginRedirect(
            runtime, broker="toy", port=5079, path="/back", open_url=fetch, prompt=None, timeout_s=5
        )
        return await redirect(Redirect("http://127.0.0.1:1/login", expect=(("state", "s"),)))

    assert run(scenario(RealRuntime()))["code"] == "1"
