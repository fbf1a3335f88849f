"""HTTP replies of the emulator host as bytes, right and wrong ones."""

from __future__ import annotations

import gzip
import zlib
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from dragoman.emulator.contract import HttpAnswer

GZIP_FROM = 1024
_BLOCK = bytes(1 << 20)
_HTML = b"<html><head><title>%d %s</title></head><body><center><h1>%d %s</h1></center></body></html>\r\n"


def plain(status: int, text: str) -> HttpAnswer:
    """Make a plain-text answer of the host's own."""
    return HttpAnswer(status, (("Content-Type", "text/plain; charset=utf-8"),), text.encode())


def html(status: int) -> HttpAnswer:
    """Make the page a proxy in front of a broker answers with."""
    phrase = reason(status).encode()
    return HttpAnswer(status, (("Content-Type", "text/html"),), _HTML % (status, phrase, status, phrase))


def bomb(size: int) -> HttpAnswer:
    """Make a small gzip body that inflates to `size` zero bytes."""
    return HttpAnswer(200, (("Content-Type", "application/json"), ("Content-Encoding", "gzip")), _zeros(size))


def reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def compress(answer: HttpAnswer) -> HttpAnswer:
    """Return the answer gzipped, where it is long enough to be worth it and not encoded already."""
    if len(answer.body) <= GZIP_FROM or any(name.lower() == "content-encoding" for name, _ in answer.headers):
        return answer
    # mtime 0: the same answer is the same bytes in every run.
    body = gzip.compress(answer.body, compresslevel=5, mtime=0)
    return HttpAnswer(answer.status, (*answer.headers, ("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")), body)


def head(answer: HttpAnswer, now_ns: int, *, keep_alive: bool, length: int | None) -> bytes:
    """Write status line and headers; `length` None leaves Content-Length out (a status that has no body)."""
    lines = [f"HTTP/1.1 {answer.status} {reason(answer.status)}"]
    given = {name.lower() for name, _ in answer.headers}
    lines += [f"{name}: {value}" for name, value in answer.headers if name.lower() != "content-length"]
    if "date" not in given:
        lines.append(f"Date: {formatdate(now_ns // 1_000_000_000, usegmt=True)}")
    if length is not None:
        lines.append(f"Content-Length: {length}")
    lines.append(f"Connection: {'keep-alive' if keep_alive else 'close'}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def has_body(method: str, status: int) -> bool:
    return method != "HEAD" and status >= 200 and status not in (204, 304)


@lru_cache(maxsize=4)
def _zeros(size: int) -> bytes:
    # 1 is the fastest level, and zeros shrink a thousandfold at any.
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    parts = [packer.compress(_BLOCK) for _ in range(size // len(_BLOCK))]
    parts.append(packer.compress(bytes(size % len(_BLOCK))))
    return b"".join(parts) + packer.flush()
