"""Which handler answers a call: method and path pattern, with 404 and 405 told apart."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from dragoman.emulator.contract import HttpAnswer, HttpCall

RuleT = TypeVar("RuleT")
Handler = Callable[..., HttpAnswer]


@dataclass(frozen=True, slots=True)
class Route(Generic[RuleT]):
    """One row of a routing table.

    Attributes
    ----------
    path : str
        Regular expression of the whole path; named groups become keyword arguments of `handler`.
    handler : callable
        Called with (call, now_ns, **groups).
    rule : object
        What the emulator checks before: its own limits, whether a token is asked for.
    """

    method: str
    path: str
    handler: Handler
    rule: RuleT


class NoRouteError(Exception):
    """Nothing answers this call; `status` is 404 where the path is unknown, 405 where only the method is."""

    def __init__(self, status: int) -> None:
        super().__init__(f"no route: {status}")
        self.status = status


class Router(Generic[RuleT]):
    """A routing table; the first row that matches answers. A slash at the path's end does not count."""

    def __init__(self, routes: Iterable[Route[RuleT]]) -> None:
        self._rows = [(re.compile(route.path), route) for route in routes]

    def find(self, call: HttpCall) -> tuple[Route[RuleT], Mapping[str, str | None]]:
        """Return the route of a call and the groups of its path.

        Raises
        ------
        NoRouteError
        """
        path = call.path.rstrip("/") or "/"
        status = 404
        for pattern, route in self._rows:
            match = pattern.fullmatch(path)
            if match is None:
                continue
            if route.method == call.method:
                return route, match.groupdict()
            status = 405
        raise NoRouteError(status)
