"""Which handler answers a call: method and path pattern, with 404 and 405 told apart."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from dragoman.emulator.bodies import json_answer
from dragoman.emulator.contract import HttpAnswer, HttpCall
from dragoman.emulator.counting import CalendarCounter, Meter, MeterFullError
from dragoman.emulator.forms import Form
from dragoman.emulator.rows import Table, write

RuleT = TypeVar("RuleT")
Handler = Callable[..., HttpAnswer]


def replying(work: Callable[..., Any], read: Callable[[HttpCall], Form] = Form.asked) -> Handler:
    """Make a handler of a function of (fields, now_ns, **groups) that returns the JSON of a reply, or an answer."""

    def handle(call: HttpCall, now_ns: int, **groups: str | None) -> HttpAnswer:
        found = work(read(call), now_ns, **groups)
        return found if isinstance(found, HttpAnswer) else json_answer(found)

    return handle


def refusing(error: type[Exception], *words: Any) -> Handler:
    """Make a handler that raises the error of these arguments, whatever is asked."""

    def handle(call: HttpCall, now_ns: int, **groups: str | None) -> HttpAnswer:
        raise error(*words)

    return handle


def listing(
    answer: Callable[[Any], HttpAnswer], row: Table | Callable[[Any], Any], source: Callable[..., Iterable[Any]]
) -> Handler:
    """Make a handler that answers with a list: a row of each record of `source`.

    Parameters
    ----------
    answer : callable
        Puts the list in the broker's envelope.
    row : table or callable
        How a record is written.
    source : callable
        Takes the groups of the path by name.
    """

    def handle(call: HttpCall, now_ns: int, **groups: str | None) -> HttpAnswer:
        found = source(**groups)
        return answer([row(one) if callable(row) else write(row, one) for one in found])

    return handle


def telling(
    answer: Callable[[Any], HttpAnswer], source: Callable[..., Any], row: Table | Callable[[Any], Any] | None = None
) -> Handler:
    """Make a handler that answers with what `source` returns for the groups of the path, as a `row` of it if given."""

    def handle(call: HttpCall, now_ns: int, **groups: str | None) -> HttpAnswer:
        found = source(**groups)
        return answer(found if row is None else row(found) if callable(row) else write(row, found))

    return handle


def matching(rows: Iterable[Mapping[str, Any]], query: Mapping[str, str], fields: Mapping[str, str]) -> list[Any]:
    """Return the rows that have what a query asks for; `fields` are the query's names of keys."""
    asked = {key: query[name] for name, key in fields.items() if name in query}
    return [row for row in rows if all(row[key] == value for key, value in asked.items())]


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


class Metered(Protocol):
    """A rule that names what a call is counted on."""

    @property
    def meters(self) -> tuple[Meter, ...]: ...


MeteredT = TypeVar("MeteredT", bound=Metered)


class Gate(Generic[MeteredT]):
    """Finds the handler of a call and counts the call on its rule's meters.

    Parameters
    ----------
    refuse : callable
        Makes the broker's error of a status (404, 405 or 429) and, for 429, the full meter.
    """

    def __init__(
        self,
        routes: Iterable[Route[MeteredT]],
        counter: CalendarCounter,
        refuse: Callable[[int, Meter | None], Exception],
    ) -> None:
        self._router = Router(routes)
        self._counter = counter
        self._refuse = refuse

    def admit(self, call: HttpCall, now_ns: int) -> tuple[Route[MeteredT], Mapping[str, str | None]]:
        """Return the route and the groups of its path; raise what `refuse` makes where there is none."""
        try:
            route, groups = self._router.find(call)
            self._counter.take(route.rule.meters, now_ns)
        except NoRouteError as missing:
            raise self._refuse(missing.status, None) from missing
        except MeterFullError as full:
            raise self._refuse(429, full.meter) from full
        return route, groups
