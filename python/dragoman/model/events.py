"""What a client's streams report besides ticks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from dragoman.model.order import Fill, Order


@dataclass(frozen=True, slots=True)
class OrderUpdate:
    """An order changed. `order` is the whole view after it.

    `fills` are those this update brought; `replaced` are trade ids of synthetic fills that they make void.
    """

    order: Order
    fills: tuple[Fill, ...] = ()
    replaced: tuple[str, ...] = ()
    source: Literal["stream", "poll", "reply", "local"] = "stream"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the broker said that is not data: an announcement, an error text, an unknown message type."""

    level: Literal["info", "warning", "error"]
    text: str
    code: str | None = None
    raw: Any = None


@dataclass(frozen=True, slots=True)
class StreamState:
    """A stream's life: connecting, ready, stale, waiting (before another try), fatal, closed."""

    stream: str
    state: Literal["connecting", "ready", "stale", "waiting", "fatal", "closed"]
    reason: str = ""
    attempt: int = 0
    ts: int = 0
    shard: int = 1
    """Which of the stream's sockets, from 1."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Nothing was seen of a stream between two wall-clock times; what it carried in between is not known from it."""

    stream: str
    start_ns: int
    end_ns: int
    reason: str
    shard: int = 1
    """Which of the stream's sockets, from 1: the others saw everything."""
