"""A login that fails shows no secret: not in a message, and not in a frame whose locals a tool would print."""

from __future__ import annotations

import asyncio

import pytest

from dragoman.connecting import connect
from dragoman.emulator.contract import HttpAnswer
from dragoman.emulator.fault_spec import parse_faults
from dragoman.emulator.host import EmulatorHost
from dragoman.errors import AuthRequired, DragomanError, UsageError
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.session.secrets import Secret, forget_locals
from dragoman.testing.emulated import browser
from reference.session_toys import REDIRECT_PORT, ToyAdapter, ToyBroker

# Not an emulator's, so that nothing is exempt.
KEY, SECRET, CODE, TOKEN = "key-7f3a91c2", "secret-b84d02e6", "code-55aa13fe", "token-9911aabb"
SECRETS = (KEY, SECRET, CODE, TOKEN)


class Broker(ToyBroker):
    """The toy broker with secrets of its own, and a say in how its login answers."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = {TOKEN}
        self.login: HttpAnswer | None = None

    def handle(self, call, now_ns):
        if call.path == "/page":
            state = dict(call.query)["state"]
            return HttpAnswer(302, (("Location", f"http://127.0.0.1:{REDIRECT_PORT}/back?code={CODE}&state={state}"),))
        if (call.method, call.path) == ("POST", "/login"):
            assert SECRET.encode() in call.body
            assert CODE.encode() in call.body
            return self.login or answer(200, f'{{"ok": true, "token": "{TOKEN}"}}')
        return super().handle(call, now_ns)


def answer(status: int, body: str) -> HttpAnswer:
    return HttpAnswer(status, (("Content-Type", "application/json"),), body.encode())


async def refused(runtime, broker, faults="", **options) -> BaseException:
    """Connect, and return what it raised."""
    runtime.env |= {"KEY": KEY, "SECRET": SECRET}
    host = EmulatorHost(broker, runtime, poll_interval_s=1.0)
    roots = await host.start()
    for fault in parse_faults(faults):
        host.faults.add(fault)
    overrides = {
        "hosts": {"rest": roots.rest, "ws": roots.ws, "login": roots.login},
        "credentials": {"api_key": {"env": "KEY"}, "api_secret": {"env": "SECRET"}},
    } | options.pop("overrides", {})
    options = {"open_url": browser(runtime), "load_instruments": False} | options
    try:
        with pytest.raises(DragomanError) as caught:
            async with connect(
                ToyAdapter(), environment="emulator", overrides=overrides, state_dir="/s", runtime=runtime, **options
            ):
                raise AssertionError("the login went through")
        return caught.value
    finally:
        await host.close()


def shown(error: BaseException):
    """Yield (where, text) of all that a report of an exception with its local variables would show."""
    waiting, seen = [error], set()
    while waiting:
        found = waiting.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        yield type(found).__name__, f"{found!r} {found} {found.args} {vars(found)}"
        waiting += (found.__cause__, found.__context__)
        trace = found.__traceback__
        while trace is not None:
            frame = trace.tb_frame
            if frame.f_code.co_filename != __file__:  # ours knows the secrets
                for name, value in frame.f_locals.items():
                    yield f"{frame.f_code.co_qualname}: {name}", repr(value)
            trace = trace.tb_next


def leaks(error: BaseException) -> list[str]:
    return [where for where, text in shown(error) if any(secret in text for secret in SECRETS)]


async def nobody(url: str) -> None:
    """Open no page."""


async def wrong(kind: str, text: str, secret: bool) -> str:
    return f"http://127.0.0.1:{REDIRECT_PORT}/elsewhere?code={CODE}"


STAGES = {
    "nobody finishes the login": ({"open_url": nobody}, "", None),
    "wrong addresses are pasted": ({"open_url": None, "prompt": wrong}, "", None),
    "nobody can be asked": ({"open_url": None}, "", None),
    "the login is refused": ({}, "", answer(403, f'{{"error": "bad", "text": "{SECRET} is wrong"}}')),
    "the reply has no token": ({}, "", answer(200, f'{{"ok": true, "echo": "{CODE}"}}')),
    "the reply is no JSON": ({}, "", answer(200, f"<p>{SECRET}")),
    "the reply is lost": ({}, "reset_mid_reply@POST /login", None),
    "the broker fails": ({}, "http:503@POST /login", None),
    "the broker does not answer": ({}, "drop_reply@POST /login", None),
    "a given token is refused": ({"access_token": "bad" + TOKEN}, "", None),
    "the account is another one": ({"overrides": {"account": "AC9"}}, "", None),
    "the stream is refused": ({}, "refuse_upgrade:403", None),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_failed_login_shows_no_secret(stage):
    options, faults, said = STAGES[stage]
    broker = Broker()
    broker.login = said
    with VirtualRuntime(seed=3) as runtime:
        error = runtime.run(refused(runtime, broker, faults, **options))
    assert leaks(error) == []


def test_a_secret_file_that_is_no_text_shows_nothing_of_itself():
    async def scenario(runtime):
        runtime.disk.write_atomic("/secret", SECRET.encode() + b"\xff", mode=0o600)
        credentials = {"api_key": {"env": "KEY"}, "api_secret": {"file": "/secret"}}
        return await refused(runtime, Broker(), overrides={"credentials": credentials})

    with VirtualRuntime(seed=3) as runtime:
        error = runtime.run(scenario(runtime))
    assert isinstance(error, UsageError)
    assert leaks(error) == []


def test_the_walk_over_frames_would_find_a_secret():
    def reveal(secret: Secret) -> None:
        plain = secret.reveal()
        raise AuthRequired(f"{len(plain)} letters")

    code = reveal.__code__.replace(co_filename="elsewhere.py")
    reveal.__code__ = code
    with pytest.raises(AuthRequired) as caught:
        reveal(Secret(SECRET))
    assert [where.rpartition(" ")[2] for where in leaks(caught.value)] == ["plain"]
    forget_locals(caught.value)
    assert leaks(caught.value) == []


def test_forgetting_reaches_causes_contexts_and_groups_and_ends_on_a_cycle():
    def fail(value: str) -> None:
        raise ValueError

    fail.__code__ = fail.__code__.replace(co_filename="elsewhere.py")
    errors = []
    for _ in range(3):
        with pytest.raises(ValueError) as caught:
            fail(SECRET)
        errors.append(caught.value)
    top, cause, inner = errors
    top.__cause__, cause.__context__ = cause, top
    top.__context__ = ExceptionGroup("several", [inner])
    forget_locals(top)
    assert [leaks(error) for error in errors] == [[], [], []]


def test_a_frame_that_still_runs_keeps_its_locals():
    async def scenario():
        kept = "mine"
        try:
            raise ValueError
        except ValueError as error:
            forget_locals(error)
        await asyncio.sleep(0)
        return kept

    assert asyncio.run(scenario()) == "mine"
