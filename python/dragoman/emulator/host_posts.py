"""Deliver what the broker's side posts to its user's own server: one after the other, each tried once."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections import deque
from collections.abc import Iterable
from typing import Protocol
from urllib.parse import urlsplit

from dragoman.emulator.contract import Post
from dragoman.errors import DragomanError, UsageError
from dragoman.runtime.base import Runtime
from dragoman.transport.base import Origin, WireRequest
from dragoman.transport.http import HttpClient

_log = logging.getLogger("dragoman.emulator.host")
_TIMEOUT_S = 5.0
_MOST_WAITING = 10_000


class Counters(Protocol):
    posts: int
    posts_failed: int


class PostOffice:
    """Posts in the order they came. A server that is not there, or answers no 2xx, is counted and logged.

    Parameters
    ----------
    runtime : Runtime
    counters : Counters
        ``posts`` counts what was delivered, ``posts_failed`` what was not.
    """

    def __init__(self, runtime: Runtime, counters: Counters) -> None:
        self._runtime = runtime
        self._counters = counters
        self._client: HttpClient | None = None
        self._waiting: deque[Post] = deque()
        self._task: asyncio.Task[None] | None = None

    def send(self, posts: Iterable[Post]) -> None:
        """Queue posts; those above ten thousand undelivered ones fail at once."""
        for post in posts:
            if len(self._waiting) >= _MOST_WAITING:
                self._failed(post, "too many are waiting")
            else:
                self._waiting.append(post)
        if self._waiting and (self._task is None or self._task.done()):
            self._task = self._runtime.spawn(self._deliver(), name="emulator posts")

    async def close(self) -> None:
        """Drop what is still waiting."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        if self._client is not None:
            await self._client.close()

    async def _deliver(self) -> None:
        self._client = self._client or HttpClient(self._runtime)
        while self._waiting:
            post = self._waiting.popleft()
            try:
                origin, request = _request(post)
                reply = await self._client.send(origin, lambda request=request: request, timeout_s=_TIMEOUT_S)  # type: ignore[misc]
            except DragomanError as error:
                self._failed(post, str(error))
                continue
            if 200 <= reply.status < 300:
                self._counters.posts += 1
            else:
                self._failed(post, f"answered {reply.status}")

    def _failed(self, post: Post, why: str) -> None:
        self._counters.posts_failed += 1
        _log.warning("post to %s was not taken: %s", post.url, why)


def _request(post: Post) -> tuple[Origin, WireRequest]:
    parts = urlsplit(post.url)
    host = parts.hostname or ""
    if parts.scheme != "http" or not ipaddress.ip_address(host).is_loopback:
        raise UsageError(f"emulator host: post to {post.url!r}, expected http:// and a loopback address")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Origin("http", host, parts.port or 80), WireRequest("POST", target, post.headers, post.body)
