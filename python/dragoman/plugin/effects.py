"""What a flow may ask for, and what it gets back.

A flow is a generator: it yields effects and returns a unified value. The session drives it against the network, the
simulator against a venue, a unit test against a list of replies (`dragoman.testing.drive`). A flow never sees a reply
that means failure, except under a code it named in `Request.answers`; anything else is thrown into it as the typed
error.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeAlias, TypeVar, cast

from dragoman._core import copying
from dragoman.errors import DecodeError

T = TypeVar("T")
Row = TypeVar("Row", covariant=True)

Pairs: TypeAlias = tuple[tuple[str, str], ...]


class Lane(IntEnum):
    """Whose budget a request spends: RISK is kept for cancels and risk-reducing exits."""

    NORMAL = 0
    RISK = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to the broker. Its repr leaves out everything that may carry a secret.

    Parameters
    ----------
    method, path : str
        `path` is relative to `host`.
    host : str
        Name of a host of the environment (``"rest"`` unless said otherwise); `url` overrides both, for single-use URLs.
    query, form : pairs
        Percent-encoded by the transport. At most one of `form`, `json`, `body`.
    mutates : bool
        Whether it can change something at the broker. Such a request is never sent twice.
    meter : str
        Name of the limits it spends (`RateLimit.meter`), `cost` of them each.
    lane : Lane
    limit_key : str, optional
        What a per-order meter counts by (the order id).
    via : {"http", "socket"}
        Over the socket of the feed `socket`, the reply is matched by the id in `correlation`.
    answers : frozenset of str
        Broker codes that are answers, not failures, to this request.
    timeout_s : float
        Upper bound; the caller's deadline may be nearer.
    """

    method: str = "GET"
    path: str = "/"
    host: str = "rest"
    url: str | None = field(default=None, repr=False)
    query: Pairs = field(default=(), repr=False)
    headers: Pairs = field(default=(), repr=False)
    form: Pairs | None = field(default=None, repr=False)
    json: Any = field(default=None, repr=False)
    body: bytes | None = field(default=None, repr=False)
    mutates: bool = False
    meter: str = "default"
    cost: int = 1
    lane: Lane = Lane.NORMAL
    limit_key: str | None = None
    via: Literal["http", "socket"] = "http"
    socket: str = ""
    correlation: str | None = None
    answers: frozenset[str] = frozenset()
    timeout_s: float = 10.0
    auth: bool = True
    note: Any = field(default=None, compare=False, repr=False)

    if TYPE_CHECKING:

        def but(self, **changes: Any) -> Request:
            """Return a copy with `changes`."""
            ...

    else:
        but = copying


def _first_loads(data: bytes) -> Any:
    global _loads
    from orjson import loads as _loads  # here: what only writes adapters, or reads none, does without

    return _loads(data)


_loads: Callable[[bytes], Any] = _first_loads


@dataclass(slots=True)
class Reply:
    """What came back: a whole reply. `json` parses once; it raises DecodeError for bytes that are not JSON.

    Header names are lower case; repeated ones are joined by ``, ``. `ts_recv` is ns UTC. Monotonic times say when the
    request was written, and when the reply's first and last byte came; 0 where nobody measured.

    `parsed` is what `json` has read already, None before that: ``reply.parsed or reply.json`` is the quick way to it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    ts_recv: int = 0
    code: str | None = None
    parsed: Any = field(default=None, repr=False)
    mono_sent_ns: int = field(default=0, compare=False, repr=False)
    mono_first_ns: int = field(default=0, compare=False, repr=False)
    mono_recv_ns: int = field(default=0, compare=False, repr=False)

    @property
    def json(self) -> Any:
        if self.parsed is None:
            try:
                self.parsed = _loads(self.body)
            except ValueError as error:
                found = self.headers.get("content-type", "no content type")
                raise DecodeError(
                    f"reply {self.status} is not JSON: {found}, {len(self.body)} bytes",
                    text=self.body[:200].decode("utf-8", "replace"),
                ) from error
        return self.parsed

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class PushParser(Protocol[Row]):
    """Finds rows in a body that arrives in pieces; holds at most one unfinished row."""

    def feed(self, data: bytes) -> Iterable[Row]: ...

    def close(self) -> Iterable[Row]:
        """Return rows left at the end; raise DecodeError if the body broke off inside one."""
        ...


@dataclass(frozen=True, slots=True)
class All:
    """Several requests at once, in bounded concurrency under the same limits. Result: replies in order."""

    requests: Sequence[Request]


@dataclass(frozen=True, slots=True)
class Download(Generic[Row]):
    """A large body, parsed as it arrives; its rows go to the caller like those of `Part`. Result: `Downloaded`."""

    request: Request
    parser: PushParser[Row]


@dataclass(frozen=True, slots=True)
class Skipped:
    """Stands in a download for a row that could not be read: counted and shown, never dropped silently."""

    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class Downloaded:
    rows: int
    bytes: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Part(Generic[Row]):
    """Rows for the caller at once, with progress where it is known. Result: None."""

    rows: Sequence[Row]
    done: int | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Let time pass: `seconds`, or until a broker wall-clock time. Result: None."""

    seconds: float = 0.0
    until_ns: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Prompt:
    """Ask the human. Result: what was typed; a `secret` prompt echoes nothing."""

    kind: Literal["totp", "password", "pin", "text"]
    text: str
    secret: bool = True


@dataclass(frozen=True, slots=True)
class Redirect:
    """Send the human to a login page. Result: the query of the redirect to the registered URL, as a dict.

    `state_param` names the query parameter that carries our one-time state through the broker's page and back. Where
    the broker carries it in a way of its own, the adapter puts it into `url` itself and names in `expect` the pairs
    that the redirect's query must hold: any other request to the listener is not ours, and the wait goes on.
    """

    url: str
    state_param: str | None = None
    expect: Pairs = field(default=(), repr=False)


Effect: TypeAlias = Request | All | Download[Any] | Part[Any] | Wait | Prompt | Redirect
Flow: TypeAlias = Generator[Effect, Any, T]


def urgent(flow: Flow[T]) -> Flow[T]:
    """Return `flow` with every request that changes something in the lane kept for what lowers risk."""
    answer: Any = None
    error: BaseException | None = None
    while True:
        try:
            effect = flow.send(answer) if error is None else flow.throw(error)
        except StopIteration as end:
            return cast(T, end.value)
        if isinstance(effect, Request) and effect.mutates:
            effect = effect.but(lane=Lane.RISK)
        answer, error = None, None
        try:
            answer = yield effect
        except GeneratorExit:
            flow.close()
            raise
        except BaseException as thrown:  # noqa: BLE001 - the flow's to handle
            error = thrown
