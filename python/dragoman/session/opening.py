"""Opening one connection of a stream: the handshake, our introduction, and the broker's yes or no."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from dragoman.errors import AuthRequired, DragomanError, ErrorKind, NotSent, UsageError
from dragoman.plugin import Endpoint, Failure, Reply, Request
from dragoman.session.connection import FeedConnection
from dragoman.session.wire import check_root
from dragoman.transport.base import HandshakeRefusedError, WsOptions

if TYPE_CHECKING:
    from dragoman.session.session import AccountSession

CONNECT_S: Final = 20.0
"""How long whatever a feed asks of the broker for a connection may take."""
_READY_S: Final = 10.0


class FatalError(Exception):
    """Carries a feed's `Fatal` out of a connection, whatever class its error has."""

    def __init__(self, error: DragomanError) -> None:
        super().__init__(str(error))
        self.error = error


async def open_connection(session: AccountSession, name: str, connection: FeedConnection) -> None:
    """Connect, introduce ourselves, and wait until the broker takes it.

    Parameters
    ----------
    session : AccountSession
    name : str
        The stream's, for messages.
    connection : FeedConnection

    Raises
    ------
    NotSent
        It did not come about, this time.
    UsageError, AuthRequired, FatalError
        Trying again would not help. The session knows what concerns its token.
    DragomanError
        What the broker answers in place of an upgrade.
    """
    adapter, feed = session.adapter, connection.feed
    if feed.channel != "websocket":
        raise UsageError(
            f"{adapter.name}: the {name} stream runs over {feed.channel}, which is not built yet",
            kind=ErrorKind.NOT_SUPPORTED,
            broker=adapter.name,
        )
    connection.generation = session.ctx.generation
    connection.counters.connects += 1
    endpoint: Endpoint = await session.driver.run(feed.connect(session.ctx), timeout_s=CONNECT_S, read_tries=1)
    check_root(f"{adapter.name} {name} stream", endpoint.url, session.environment)
    options = WsOptions(
        ping_interval_s=feed.stall.ping_s,
        source_address=session.profile.egress.source_address,
        proxy=session.profile.egress.proxy,
    )
    try:
        ws = await session.connect_ws(endpoint, connection, options)
    except HandshakeRefusedError as refused:
        error = _refusal(session, endpoint, refused.reply)
        if isinstance(error, AuthRequired):
            session.auth_failed(error, connection.generation)
        raise error from None
    except DragomanError:
        raise
    except OSError as error:
        found = error.strerror or type(error).__name__
        raise NotSent(f"{adapter.name}: the {name} stream cannot connect: {found}", broker=adapter.name) from error
    connection.attach(ws)
    connection.send(feed.opened(session.ctx))
    if feed.authenticates_in_band:
        await _accepted(session, name, connection)


async def _accepted(session: AccountSession, name: str, connection: FeedConnection) -> None:
    broker = session.adapter.name
    waiting = session.runtime.spawn(connection.ready.wait(), name=f"{broker} {name} acceptance")
    try:
        await asyncio.wait((waiting, connection.ended), timeout=_READY_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    raise_fatal(session, connection)
    if connection.ready.is_set() and not connection.ended.done():
        return
    found = connection.ended.result() if connection.ended.done() else f"silence for {_READY_S:g} s"
    raise NotSent(f"{broker}: the {name} stream was not accepted: {found}", broker=broker)


def raise_fatal(session: AccountSession, connection: FeedConnection) -> None:
    """Raise FatalError where reconnecting would not help; the session hears what concerns its token."""
    error = connection.fatal
    if error is None:
        return
    if isinstance(error, AuthRequired):
        session.auth_failed(error, connection.generation)
    raise FatalError(error)


def _refusal(session: AccountSession, endpoint: Endpoint, reply: Reply) -> DragomanError:
    """Say what it means that the server did not upgrade the connection."""
    request = Request(path=urlsplit(endpoint.url).path or "/", host="ws", note="upgrade")
    failure = session.sender.classify(reply, request)
    if failure is None:
        failure = Failure(ErrorKind.BAD_RESPONSE, f"status {reply.status} instead of an upgrade", str(reply.status))
    error = session.sender.error(request, failure, reply)
    if reply.status in (401, 403) and not isinstance(error, AuthRequired):
        # Whatever the words are: asking again with the same token would be hammering.
        error = AuthRequired(
            str(error),
            kind=ErrorKind.AUTH_INVALID,
            code=error.code,
            text=error.text,
            broker=session.adapter.name,
            remedy="log in again",
        )
    return error
