"""Requests with ids over a socket, answered on it, and the session of a socket that asks for its user's events.

A client names a method and an id; the answer carries the id back. A socket either logs on once, or signs every request.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Any


@dataclass(frozen=True, slots=True)
class SocketRequest:
    """One request; `params` is as the client gave it, None where it gave none."""

    id: Any
    method: str
    params: Any

    @property
    def named(self) -> dict[str, Any]:
        """The parameters that have names; none where it is no object."""
        return self.params if isinstance(self.params, dict) else {}

    @property
    def listed(self) -> list[str]:
        """The parameters as a list of words; none where it is no list."""
        return [str(one) for one in self.params] if isinstance(self.params, list) else []


def read_request(data: str | bytes) -> SocketRequest | None:
    """Return the request in a message, None where there is none."""
    try:
        message = json.loads(data)
        return SocketRequest(message.get("id"), str(message["method"]), message.get("params"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


class SessionAct(StrEnum):
    """What a method does to the session of its socket."""

    LOG_ON = auto()
    LOG_OFF = auto()
    SHOW = auto()
    LISTEN = auto()
    """Ask for the user's events, over a socket that logged on or with a signature."""
    SILENCE = auto()


@dataclass(slots=True)
class SignedSession:
    """What one socket may do.

    Attributes
    ----------
    key : str
        Under which it logged on, empty where it did not.
    listening : bool
        Whether it hears the user's events.
    """

    key: str = ""
    listening: bool = False

    def admit(self, params: Mapping[str, Any], check: Callable[[Mapping[str, Any]], None], *, signed: bool) -> None:
        """Let a request pass; `check` raises where its signature is wrong, and a `signed` one always has one."""
        if signed or not self.key or "signature" in params:
            check(params)

    def act(
        self, act: SessionAct, params: Mapping[str, Any], check: Callable[[Mapping[str, Any]], None]
    ) -> SignedSession:
        """Do what a method does to the session, and return it."""
        if act in (SessionAct.LOG_ON, SessionAct.LISTEN):
            self.admit(params, check, signed=act is SessionAct.LOG_ON)
        if act is SessionAct.LOG_ON:
            self.key = str(params.get("apiKey"))
        elif act is SessionAct.LOG_OFF:
            self.key = ""
        elif act is not SessionAct.SHOW:
            self.listening = act is SessionAct.LISTEN
        return self


class NamedStreams:
    """Which named streams one socket hears.

    Parameters
    ----------
    names : sequence of str
        Those its address names.
    most : int
    """

    def __init__(self, names: Sequence[str] = (), most: int = 1024) -> None:
        self.names = dict.fromkeys(filter(None, names))
        self._most = most

    def wrong(self, request: SocketRequest, exists: Callable[[str], bool]) -> str | None:
        """Return the name, or the method, a request is refused for; None where it is not."""
        unknown = [one for one in request.listed if not exists(one)]
        if request.method not in ("SUBSCRIBE", "UNSUBSCRIBE") or len(self.names) + len(request.listed) > self._most:
            unknown = request.listed or [request.method]
        return unknown[0] if unknown else None

    def take(self, request: SocketRequest) -> Sequence[str]:
        """Subscribe or unsubscribe; return the names that were subscribed."""
        if request.method == "SUBSCRIBE":
            self.names |= dict.fromkeys(request.listed)
            return request.listed
        for one in request.listed:
            self.names.pop(one, None)
        return ()
