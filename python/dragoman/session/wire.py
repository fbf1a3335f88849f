"""From a `Request` to final bytes: roots and their rules, request targets, bodies, headers.

Percent-encoding, once for all adapters: forms as HTML does it (blank is ``+``), queries with ``%20``, both over UTF-8
and with nothing but unreserved characters left as they are; so ``urllib.parse.urlencode`` in an adapter that signs its
query gives the bytes that leave. JSON is compact.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

import orjson

from dragoman._core import plain_form
from dragoman.errors import UsageError
from dragoman.plugin import Request
from dragoman.plugin.effects import Pairs
from dragoman.transport.base import Origin, WireRequest

FORM: Final = "application/x-www-form-urlencoded"
_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_PLAIN: Final = ("http", "ws")
_PLAIN_PATH: Final = re.compile(r"[A-Za-z0-9_.~/-]*").fullmatch
_PATH_SAFE: Final = "/%:@!$&'()*+,;=~-._"


def check_root(where: str, url: str, environment: str) -> None:
    """Refuse a root that is not TLS, unless it is a literal loopback address in environment emulator.

    Raises
    ------
    UsageError
        Zero bytes were sent. The message holds scheme and host, never the rest of the URL.
    """
    origin = origin_of(where, url)
    if origin.tls:
        return
    if environment != "emulator":
        raise UsageError(f"{where}: {origin} is not encrypted", remedy=f"use {origin.scheme}s in {environment}")
    if not _is_loopback(origin.host):
        raise UsageError(
            f"{where}: {origin} is not encrypted and {origin.host} is not a literal loopback address",
            remedy="use 127.0.0.1 or [::1]",
        )


def origin_of(where: str, url: str) -> Origin:
    """Return scheme, host and port of a URL; UsageError where it is none that we speak."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UsageError(f"{where}: not a URL") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise UsageError(f"{where}: expected http, https, ws or wss and a host, found {parts.scheme or 'no scheme'}")
    if parts.username is not None or parts.password is not None:
        raise UsageError(f"{where}: a URL must not carry a user name or password")
    return Origin(parts.scheme, parts.hostname, port or _PORTS[parts.scheme])


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def body_of(request: Request) -> tuple[bytes, str | None]:
    """Return the final body and its content type.

    Raises
    ------
    UsageError
        For more than one kind of body, or JSON that cannot be written.
    """
    if request.form is not None and request.json is None and request.body is None:
        plain = plain_form(request.form)  # nothing in most forms needs encoding
        if plain is None:
            plain = urlencode(request.form).encode("ascii")
        return plain, FORM
    given = [name for name in ("form", "json", "body") if getattr(request, name) is not None]
    if len(given) > 1:
        raise UsageError(f"{request.method} {request.path}: {' and '.join(given)} given, expected one of them")
    if request.json is not None:
        try:
            return orjson.dumps(request.json), "application/json"
        except TypeError as error:
            raise UsageError(f"{request.method} {request.path}: the body is not JSON: {error}") from error
    return request.body or b"", None


def target_of(root: str, request: Request) -> str:
    """Return path and query as they stand in the request line."""
    if request.url is not None:
        parts = urlsplit(request.url)
        path, query = parts.path or "/", parts.query
    else:
        path, query = _base(root) + request.path.lstrip("/"), ""
        if not request.query and _PLAIN_PATH(path):
            return path
    if request.query:
        added = urlencode(request.query, quote_via=quote, safe="")
        query = f"{query}&{added}" if query else added
    path = quote(path, safe=_PATH_SAFE)
    return f"{path}?{query}" if query else path


@lru_cache(maxsize=256)
def _base(root: str) -> str:
    """Return the path of a root, up to where a request's own begins."""
    return urlsplit(root).path.rstrip("/") + "/"


def wire_request(
    root: str, request: Request, body: bytes, content_type: str | None, headers: tuple[tuple[str, str], ...]
) -> WireRequest:
    """Assemble an authorized request: the adapter's own headers first, the request's after them.

    Whether each may be sent as it stands is the transport's to check.
    """
    own = request.headers
    ahead = _ahead(headers, content_type, tuple([name for name, _ in own]))
    return WireRequest(request.method, target_of(root, request), (*ahead, *own), body)


@lru_cache(maxsize=256)
def _ahead(headers: Pairs, content_type: str | None, own: tuple[str, ...]) -> Pairs:
    """Return what stands before a request's own headers. Only their names are kept here: their values are secrets."""
    given = frozenset(name.lower() for name in own)
    ahead = tuple(pair for pair in headers if pair[0].lower() not in given)
    if content_type is not None and "content-type" not in given:
        ahead += (("Content-Type", content_type),)
    return ahead
