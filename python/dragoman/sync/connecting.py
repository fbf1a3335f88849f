"""`connect` for code without an event loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import dragoman.connecting
from dragoman.checks import RiskLimits
from dragoman.client import Client as AsyncClient
from dragoman.plugin import Adapter
from dragoman.runtime.io_thread import shared_io_thread
from dragoman.sync.client import Client
from dragoman.sync.engine import Engine
from dragoman.sync.human import asker, attended, visitor


def connect(
    broker: str | Adapter,
    profile: str = "main",
    *,
    environment: str | None = None,
    read_only: bool = False,
    access_token: str | None = None,
    load_instruments: bool = True,
    load_orders: bool = True,
    cache_instruments: bool | None = None,
    streams: bool = True,
    journal: bool = True,
    risk: RiskLimits | None = None,
    overrides: Mapping[str, Any] | None = None,
    state_dir: str | None = None,
    may_log_in: bool = True,
    open_url: Callable[[str], object] | None = None,
    prompt: Callable[[str, str, bool], str] | None = None,
) -> Client:
    """Connect to an account at a broker and wait until it is ready.

    Parameters
    ----------
    broker, profile, environment, read_only, access_token, state_dir, may_log_in
        As `dragoman.connect` has them.
    load_instruments, load_orders, cache_instruments, streams, journal, risk, overrides
        As `dragoman.connect` has them.
    open_url, prompt : callable, optional
        How a login asks the human: open a page; type something, given what kind it is, a text to show and whether it
        is secret. They run on the calling thread, while it waits, and may block: here, and in `client.session.login`. A
        session that a human must renew while nobody waits is announced as an event, `AuthRequired`.

    Returns
    -------
    Client
        Connected; use it as a context manager, or `close` it. What is open when the process ends is closed then.

    Raises
    ------
    UsageError
        Unknown broker or profile, a missing credential, an environment nobody named; a call on the I/O thread.
    AuthRequired
        A human must log in and nobody was there to ask.
    """
    dragoman.connecting.check_arguments(**locals())
    io = shared_io_thread()
    made: list[AsyncClient] = []

    async def start() -> AsyncClient:
        client = await dragoman.connecting.connect(
            broker,
            profile,
            environment=environment,
            read_only=read_only,
            access_token=access_token,
            load_instruments=load_instruments,
            load_orders=load_orders,
            cache_instruments=cache_instruments,
            streams=streams,
            journal=journal,
            risk=risk,
            overrides=overrides,
            state_dir=state_dir,
            may_log_in=may_log_in,
            open_url=None if open_url is None else visitor(open_url),
            prompt=None if prompt is None else asker(prompt),
        )
        made.append(client)
        return client

    try:
        client = io.attend(attended(start), f"connect to {broker if isinstance(broker, str) else broker.name}")
    except BaseException:
        for unused in made:  # interrupted when it had just been made
            io.call(unused.close, "close")
        raise
    return Client(Engine(io, client))
