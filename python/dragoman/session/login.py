"""The human's part of a login: a browser page, and the redirect that comes back.

A one-shot listener on the loopback address waits for the redirect to the registered URL. It takes nothing else: another
path, another state, another host name in the ``Host`` header (a page that rebinds its name to this machine) or another
method is answered 400, and the wait goes on. Where no browser can reach this machine, the human pastes the URL that the
browser was sent to, and the same checks hold.
"""

from __future__ import annotations

import asyncio
import hmac
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import parse_qsl, quote, urlsplit

from dragoman.errors import AuthRequired, DragomanError, ErrorKind, NotSent, UsageError
from dragoman.plugin import Redirect
from dragoman.runtime.base import Runtime
from dragoman.session.driver import AskHuman

OpenUrl = Callable[[str], object]
"""Shows a login page to the human; may be async. What it returns is not looked at."""

_HOST: Final = "127.0.0.1"
_LONGEST_HEAD: Final = 16 * 1024
_PASTES: Final = 3

_DONE = "<!doctype html><meta charset=utf-8><title>Logged in</title><p>Logged in. You can close this page."
_NOT_OURS = "<!doctype html><meta charset=utf-8><title>Not this login</title><p>This is not the login waited for."


@dataclass(frozen=True, slots=True)
class _Expected:
    """What the redirect must look like."""

    path: str
    pairs: tuple[tuple[str, str], ...]

    def match(self, target: str) -> dict[str, str] | None:
        """Return the query of `target` if it is the redirect waited for."""
        parts = urlsplit(target)
        if (parts.path or "/") != self.path:
            return None
        pairs = parse_qsl(parts.query, keep_blank_values=True, max_num_fields=64)
        query = dict(pairs)
        if len(query) != len(pairs):
            return None  # a name given twice is read differently by different readers
        for name, value in self.pairs:
            if not hmac.compare_digest(query.get(name, "").encode(), value.encode()):
                return None
        return query


class LoginRedirect:
    """Performs `Redirect` effects.

    Parameters
    ----------
    runtime : Runtime
    broker : str
    port, path
        The registered redirect URL is ``http://127.0.0.1:<port><path>``.
    open_url : callable or None
        Shows the page. None: the human is prompted with the URL and pastes the redirected one.
    prompt : callable or None
    timeout_s : float
        How long a human may take.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        broker: str,
        port: int,
        path: str,
        open_url: OpenUrl | None,
        prompt: AskHuman | None,
        timeout_s: float = 180.0,
    ) -> None:
        self._runtime = runtime
        self._broker = broker
        self._port = port
        self._path = path
        self._open_url = open_url
        self._prompt = prompt
        self._timeout_s = timeout_s

    async def __call__(self, effect: Redirect) -> dict[str, str]:
        """Send the human to the page and return the query of the redirect.

        Raises
        ------
        UsageError
            Nobody can be asked, or the port is taken.
        AuthRequired
            Nobody finished the login in time.
        """
        url, expected = self._prepared(effect)
        if self._open_url is not None:
            return await self._listen(url, expected, self._open_url)
        if self._prompt is not None:
            return await self._paste(url, expected, self._prompt)
        raise UsageError(
            f"{self._broker}: logging in takes a human at a browser, and there is no way to reach one",
            broker=self._broker,
            remedy="give open_url= or prompt= when connecting, or access_token= of a login made elsewhere",
        )

    def _prepared(self, effect: Redirect) -> tuple[str, _Expected]:
        pairs = effect.expect
        url = effect.url
        if effect.state_param is not None:
            state = self._runtime.random_bytes(24).hex()
            url += f"{'&' if '?' in url else '?'}{quote(effect.state_param, safe='')}={state}"
            pairs = (*pairs, (effect.state_param, state))
        return url, _Expected(self._path, tuple(pairs))

    # -- listening ---------------------------------------------------------------------------------------------------

    async def _listen(self, url: str, expected: _Expected, open_url: OpenUrl) -> dict[str, str]:
        found: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        browsers: list[_Once] = []

        def accept() -> _Once:
            browsers.append(_Once(expected, self._port, found))
            return browsers[-1]

        try:
            listener = await self._runtime.net.listen(accept, _HOST, self._port)
        except OSError as error:
            raise UsageError(
                f"{self._broker}: port {self._port} for the login redirect cannot be had: {error.strerror or error}",
                broker=self._broker,
                remedy="end what uses it, or register another redirect URL and set redirect_port",
            ) from error
        try:
            async with asyncio.timeout(self._timeout_s):
                # A plain function may wait for the page, and the page for this loop: it goes to a worker.
                here = inspect.iscoroutinefunction(open_url)
                opened = open_url(url) if here else await self._runtime.in_worker(open_url, url)
                if inspect.isawaitable(opened):
                    await opened
                return await found
        except TimeoutError:
            raise AuthRequired(
                f"{self._broker}: nobody finished the login within {self._timeout_s:g} s",
                kind=ErrorKind.AUTH_INVALID,
                broker=self._broker,
                remedy=f"log in again; the registered redirect URL must be http://{_HOST}:{self._port}{self._path}",
            ) from None
        except DragomanError:
            raise
        except OSError as error:
            cause = error.strerror or type(error).__name__
            raise NotSent(
                f"{self._broker}: the login page cannot be opened: {cause}",
                broker=self._broker,
                remedy=f"check the api key and that http://{_HOST}:{self._port}{self._path} is the registered redirect",
            ) from error
        finally:
            await listener.close()
            for browser in browsers:
                browser.close()

    # -- pasting -----------------------------------------------------------------------------------------------------

    async def _paste(self, url: str, expected: _Expected, prompt: AskHuman) -> dict[str, str]:
        text = f"Open {url} , log in, and paste the address the browser ends up at"
        for _ in range(_PASTES):
            answer = prompt("text", text, False)
            pasted = await answer if inspect.isawaitable(answer) else answer
            try:
                query = expected.match(pasted.strip())
            except ValueError:
                query = None
            if query is not None:
                return query
            text = "That is not the address this login leads to. Paste the whole address of the last page"
        raise AuthRequired(
            f"{self._broker}: none of {_PASTES} pasted addresses belongs to this login",
            kind=ErrorKind.AUTH_INVALID,
            broker=self._broker,
            remedy="log in again and paste the address of the page the broker leads to, with its query",
        )


class _Once(asyncio.Protocol):
    """One browser connection: reads the head of one request, answers, closes."""

    def __init__(self, expected: _Expected, port: int, found: asyncio.Future[dict[str, str]]) -> None:
        self._expected = expected
        self._hosts = tuple(f"{name}:{port}".encode() for name in (_HOST, "localhost"))
        self._found = found
        self._head = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, not a check: uvloop's transports are none by inheritance.
        self._transport = cast(asyncio.Transport, transport)

    def close(self) -> None:
        """Close once everything written is out: browsers open connections ahead that they never use."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._head += data
        head, complete, _ = self._head.partition(b"\r\n\r\n")
        if not complete and len(self._head) <= _LONGEST_HEAD:
            return
        query = self._read(head) if complete else None
        if query is None or self._found.done():
            self._answer("400 Bad Request", _NOT_OURS)
            return
        self._answer("200 OK", _DONE)
        self._found.set_result(query)

    def _read(self, head: bytes) -> dict[str, str] | None:
        first, *lines = head.split(b"\r\n")
        words = first.split(b" ")
        if len(words) != 3 or words[0] != b"GET" or not words[2].startswith(b"HTTP/1."):
            return None
        hosts = [line.split(b":", 1)[1].strip() for line in lines if line.lower().startswith(b"host:")]
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return None
        try:
            return self._expected.match(words[1].decode("ascii"))
        except ValueError:  # not ASCII, not a URL, too many fields
            return None

    def _answer(self, status: str, page: str) -> None:
        if self._transport is None:
            return
        body = page.encode()
        self._transport.write(
            f"HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
            "Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n"
            "Content-Security-Policy: default-src 'none'\r\nConnection: close\r\n\r\n".encode()
            + body
        )
        self._transport.close()
