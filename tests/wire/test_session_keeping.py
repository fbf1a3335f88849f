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


def test_a_login_made_elsewhere_is_found_within_a_minute_and_until_then_nothing_is_sent():
    async def scenario(runtime):
        broker = Rotating()
        async with toy_session(runtime, broker, poll_s=60.0) as session:
            broker.tokens.clear()
            with pytest.raises(AuthRequired):
                await works(session)
            before = len(broker.calls)
            await runtime.sleep(3600)
            assert len(broker.calls) == before
            async with another(runtime, session, ToyAdapter()):
                pass  # a human logs in, in another process
            await runtime.sleep(60)
            assert await works(session)

    virtual(scenario)


def test_a_token_file_that_the_broker_refuses_is_tried_once():
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
            assert len(broker.refused) <= before + 1

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
