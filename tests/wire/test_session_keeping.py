"""Sessions over days and in several processes: one renews, all go on, and nobody hammers the broker."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from dragoman.errors import AuthRequired
from dragoman.session.session import AccountSession
from reference.session_toys import TOKEN, ToyAdapter, ToyBroker, get
from wire.test_login import toy_session, virtual

NS = 1_000_000_000
DAY_S = 86_400.0


class Rotating(ToyBroker):
    """Every login makes the token of the login before void."""

    def __init__(self):
        super().__init__()
        self.logins = 0
        self.refused = []

    def handle(self, call, now_ns):
        if (call.method, call.path) == ("POST", "/login"):
            answer = super().handle(call, now_ns)
            self.logins += 1
            token = f"emu_token_{self.logins}"
            self.tokens = {token}
            return replace(answer, body=answer.body.replace(TOKEN.encode(), token.encode()))
        answer = super().handle(call, now_ns)
        if answer.status == 403:
            self.refused.append(now_ns)
        return answer


class Renewing(ToyAdapter):
    """Logs in without a human, also ahead of the end."""

    session = replace(ToyAdapter.session, expires_at=None, life_s=3600.0, refresh="relogin")


@asynccontextmanager
async def another(runtime, first, adapter):
    """A second session of the same profile, as another process of the host has it."""
    session = AccountSession(runtime, adapter, first.profile, state_dir="/state", open_url=first.open_url)
    try:
        await session.start()
        yield session
    finally:
        await session.close()


async def works(session):
    return (await session.run(get()))["ok"]


def test_two_processes_renew_once_and_both_go_on():
    async def scenario(runtime):
        broker = Rotating()
        async with (
            toy_session(runtime, broker, adapter=Renewing(), poll_s=60.0) as one,
            another(runtime, one, Renewing()) as other,
        ):
            assert broker.logins == 1
            for day in range(1, 11):
                await runtime.sleep(3600)
                assert await works(one)
                assert await works(other)
                assert broker.logins == 1 + day
            assert broker.refused == []

    virtual(scenario)


def test_fifty_requests_that_meet_a_dead_token_make_one_login():
    async def scenario(runtime):
        broker = Rotating()
        async with toy_session(runtime, broker, adapter=Renewing(), poll_s=60.0) as session:
            broker.tokens.clear()
            results = await asyncio.gather(*(session.run(get()) for _ in range(50)), return_exceptions=True)
            assert {type(result) for result in results} == {AuthRequired}
            await runtime.sleep(5)
            assert broker.logins == 2
            assert await works(session)

    virtual(scenario)


def test_a_login_made_elsewhere_is_found_within_a_minute_and_until_then_only_the_token_is_asked_about():
    async def scenario(runtime):
        broker = Rotating()
        async with toy_session(runtime, broker, poll_s=60.0) as session:
            broker.tokens.clear()
            with pytest.raises(AuthRequired):
                await works(session)
            before = len(broker.calls)
            await runtime.sleep(3600)
            asked = broker.calls[before:]
            assert {(call.method, call.path) for call in asked} == {("GET", "/me")}
            assert len(asked) <= 15, "after 10 s, a minute, then every five minutes"
            async with another(runtime, session, ToyAdapter()):
                pass  # a human logs in, in another process
            await runtime.sleep(60)
            assert await works(session)

    virtual(scenario)


def test_a_token_file_that_the_broker_refuses_is_tried_every_five_minutes():
    async def scenario(runtime):
        broker = Rotating()
        async with toy_session(runtime, broker, poll_s=60.0) as session:
            async with another(runtime, session, ToyAdapter()) as other:
                await other.login()
                broker.tokens.clear()
            with pytest.raises(AuthRequired):
                await works(session)
            before = len(broker.refused)
            await runtime.sleep(3600)
            # Each is about one of two tokens, the one held and the one in the file: neither is tried every minute.
            assert len(broker.refused) <= before + 30

    virtual(scenario)


@pytest.mark.parametrize("adapter", [ToyAdapter, Renewing])
def test_a_refusal_that_was_not_meant_ends_the_session_for_seconds(adapter):
    async def scenario(runtime):
        broker = ToyBroker()
        async with toy_session(runtime, broker, adapter=adapter()) as session:
            tokens = set(broker.tokens)
            broker.tokens.clear()  # a server of the broker starts again
            with pytest.raises(AuthRequired):
                await works(session)
            broker.tokens |= tokens
            await runtime.sleep(25)
            assert await works(session)
            assert len(session.opened) == 1 + (adapter is Renewing)

    virtual(scenario)


def test_a_token_that_is_good_for_questions_only_is_not_asked_about_all_the_time():
    class Fickle(ToyBroker):
        def handle(self, call, now_ns):
            if call.path == "/orders":
                self.tokens.clear()
            elif call.path == "/me":
                self.tokens.add(TOKEN)
            return super().handle(call, now_ns)

    async def scenario(runtime):
        broker = Fickle()
        async with toy_session(runtime, broker, poll_s=60.0) as session:
            for _ in range(3600):
                with pytest.raises(AuthRequired):
                    await works(session)
                await runtime.sleep(1)
            assert 3 <= len([call for call in broker.calls if call.path == "/me"]) <= 60

    virtual(scenario)


@pytest.mark.parametrize("adapter", [ToyAdapter, Renewing])
def test_after_a_logout_no_token_is_fetched_or_taken_over_until_somebody_logs_in(adapter):
    async def scenario(runtime):
        broker = Rotating()
        async with toy_session(runtime, broker, adapter=adapter(), poll_s=600.0) as session:
            await session.logout()
            async with another(runtime, session, ToyAdapter()):
                pass
            before = len(broker.calls)
            await runtime.sleep(2 * DAY_S)
            with pytest.raises(AuthRequired, match="the session is over"):
                await works(session)
            assert len(broker.calls) == before
            await session.login()
            assert await works(session)
            broker.tokens.clear()
            with pytest.raises(AuthRequired):
                await works(session)
            if adapter is ToyAdapter:
                async with another(runtime, session, ToyAdapter()):
                    pass
            await runtime.sleep(60)
            assert await works(session), "it is watched over again"

    virtual(scenario)


@pytest.mark.parametrize("adapter", [ToyAdapter, Renewing])
def test_thirty_days_without_a_restart(adapter):
    """Where a human logs in each morning, and where none is needed."""

    async def scenario(runtime):
        broker = Rotating()
        async with toy_session(runtime, broker, adapter=adapter(), poll_s=3600.0) as session:
            for _ in range(30):
                await runtime.sleep(DAY_S)
                if adapter is ToyAdapter:
                    with pytest.raises(AuthRequired, match="nothing was sent"):
                        await works(session)
                    async with another(runtime, session, ToyAdapter()):
                        pass
                    await runtime.sleep(60)
                assert await works(session)
            assert broker.refused == []

    virtual(scenario)
