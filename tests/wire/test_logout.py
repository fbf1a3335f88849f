"""Logging out, on both faces."""

from __future__ import annotations

import pytest

from dragoman.errors import AuthRequired
from wire.test_sync_face import broker, tradable  # noqa: F401 - a fixture
from wire.trading import INFY, World, play


def test_after_a_logout_nothing_is_sent_until_the_next_login():
    async def scenario(world: World) -> None:
        here = world.client
        assert world.runtime.disk.listdir("/state/tokens")
        await here.logout()
        assert world.runtime.disk.listdir("/state/tokens") == []
        sent = world.requests
        with pytest.raises(AuthRequired, match="the session is over"):
            await here.quote(INFY)
        with pytest.raises(AuthRequired):
            await here.place(INFY, "BUY", 1)
        assert world.requests == sent
        await here.session.login()
        assert (await here.quote(INFY)).instrument_id == INFY
        await world.until(lambda: here.streams["market"].ready)

    play(scenario)


def test_the_blocking_face_logs_out(broker, tmp_path):  # noqa: F811 - the fixture
    with broker.connect(tmp_path) as client:
        client.logout()
        with pytest.raises(AuthRequired, match="the session is over"):
            client.margins()
    with broker.connect(tmp_path) as client:
        assert client.quote(tradable(client)).last_price
