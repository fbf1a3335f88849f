"""Requests to bytes, refusing whatever would put a line of its own into the head."""

from __future__ import annotations

import re
from functools import lru_cache

from dragoman.errors import UsageError
from dragoman.transport.base import Origin, WireRequest

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(r"[\x21-\x7e]+")
_HOST = re.compile(r"[0-9A-Za-z._:%\-\[\]]+")

# The client frames the message itself: a second word on it would let a server see two requests where we sent one.
_FRAMING = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade", "expect"}
)
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})


@lru_cache(maxsize=1024)
def _checked_name(name: str) -> str:
    """Return the header name in lower case, once it is known to be one that may be sent."""
    if not _TOKEN.fullmatch(name):
        raise UsageError(f"{name!r} is not a header name", remedy="letters, digits and dashes only")
    lower = name.lower()
    if lower in _FRAMING:
        raise UsageError(f"the header {name} is set by the HTTP client and cannot be given")
    return lower


@lru_cache(maxsize=64)
def _checked_method(method: str) -> str:
    if not _TOKEN.fullmatch(method):
        raise UsageError(f"{method!r} is not an HTTP method")
    return method


class RequestEncoder:
    """Writes requests to one origin.

    Parameters
    ----------
    origin : Origin
    user_agent : str
        Sent unless a request names its own.
    """

    def __init__(self, origin: Origin, user_agent: str) -> None:
        if not _HOST.fullmatch(origin.host):
            raise UsageError(f"{origin.host!r} is not a host name")
        if not user_agent.isprintable() or not user_agent.isascii():
            raise UsageError("the user agent must be printable ASCII")
        self._host = f"Host: {origin.authority}\r\n"
        self._agent = f"User-Agent: {user_agent}\r\n"
        self._fixed = f"{self._host}{self._agent}Accept-Encoding: gzip\r\n"

    def encode(self, request: WireRequest) -> bytes:
        """Return head and body in one piece.

        Raises
        ------
        UsageError
            As `head`.
        """
        head, body = self.head(request), body_of(request)
        return head + b"\r\n" if body is None else b"%sContent-Length: %d\r\n\r\n%s" % (head, len(body), body)

    def head(self, request: WireRequest) -> bytes:
        """Return the head up to where the length of the body stands; it is kept with the request.

        Raises
        ------
        UsageError
            If method, target, a header name or a value could not be sent as it stands; values are never shown.
        """
        if not request.head:
            # Orders in a row are copies of one request: the head that was checked goes with them.
            object.__setattr__(request, "head", self._checked_head(request))
        return request.head

    def _checked_head(self, request: WireRequest) -> bytes:
        target = request.target
        if not _TARGET.fullmatch(target):
            raise UsageError(
                f"the request target of {_checked_method(request.method)} holds a blank, a control character or "
                "something that is not ASCII",
                remedy="percent-encode it",
            )
        lines = [f"{_checked_method(request.method)} {target} HTTP/1.1\r\n", self._fixed]
        for name, value in request.headers:
            lower = _checked_name(name)
            if lower == "user-agent" or lower == "accept-encoding":
                lines[1] = self._fixed_without(request)
            lines.append(f"{name}: {value}\r\n")
        breaks = lines[1].count("\n") + len(lines) - 1
        head = "".join(lines)
        if head.count("\n") != breaks or head.count("\r") != breaks or "\0" in head:
            raise UsageError(f"the header {_injected(request)} holds a line break or a NUL")
        try:
            return head.encode("latin-1")
        except UnicodeEncodeError:
            raise UsageError("a header value holds characters outside Latin-1", remedy="percent-encode it") from None

    def _fixed_without(self, request: WireRequest) -> str:
        """Return our own headers less those the request brings itself."""
        given = {name.lower() for name, _ in request.headers}
        agent = "" if "user-agent" in given else self._agent
        encoding = "" if "accept-encoding" in given else "Accept-Encoding: gzip\r\n"
        return f"{self._host}{agent}{encoding}"


def body_of(request: WireRequest) -> bytes | None:
    """Return what follows the head, None where nothing does and no length is told."""
    return request.body if request.body or request.method in _BODY_METHODS else None


def _injected(request: WireRequest) -> str:
    return next(name for name, value in request.headers if re.search(r"[\r\n\0]", value))


def label(request: WireRequest) -> str:
    """Name a request in an error: method and path, without its query."""
    return f"{request.method} {request.target.partition('?')[0]}"
