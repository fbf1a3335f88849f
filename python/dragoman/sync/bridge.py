"""Make a blocking class of an asynchronous one: one mechanism for every method, from its signature.

| in the asynchronous class | in the blocking one |
|---|---|
| ``async def`` | runs on the I/O thread; the caller waits |
| ``def ... -> AsyncIterator[T]`` | ``Iterator[T]`` |
| ``def on_...(callback)`` | the callback is queued, or inline where asked |
| any other ``def``, property | runs on the I/O thread at once |

`dragoman.sync.stubs` writes the same table as types, for checkers and editors.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from typing import Any, Final, Literal, TypeVar

from dragoman.checks import seconds
from dragoman.sync.engine import Engine

C = TypeVar("C", bound=type)

Shape = Literal["call", "iterator", "handler", "plain", "property"]

OWN: Final = frozenset({"start", "close"})
"""Methods whose blocking twin is written by hand: a client's life is not one call."""
SESSION: Final = frozenset({"account", "broker", "environment", "latencies", "logout", "on_event"})
MARGIN: Final = frozenset({"counters", "now", "ready", "records", "watch"})
MARKET: Final = frozenset({"book", "quotes", "resolve", "subscribe", "subscribed", "ticks_seen", "unsubscribe"})
RULES: Final = frozenset({"add", "cancel", "get", "list", "on_rule", "plan", "read"})
"""What the blocking session, margin, market data and rules take from the asynchronous ones as it is."""
_GRACE_S: Final = 5.0
"""How long after its own deadline a call may keep its caller waiting before the I/O thread counts as blocked."""


def members(source: type, only: Collection[str] | None = None) -> dict[str, Shape]:
    """Return the public members of an asynchronous class (those named in `only`), and how each becomes blocking."""
    found: dict[str, Shape] = {}
    for name, member in inspect.getmembers_static(source):
        if name.startswith("_") or (name in OWN if only is None else name not in only):
            continue
        if isinstance(member, property):
            found[name] = "property"
        elif inspect.iscoroutinefunction(member):
            found[name] = "call"
        elif inspect.isfunction(member):
            returns = str(member.__annotations__.get("return", ""))
            if returns.startswith(("AsyncIterator", "AsyncGenerator")):
                found[name] = "iterator"
            elif name.startswith("on_") and returns.startswith("Callable"):
                found[name] = "handler"
            else:
                found[name] = "plain"
    return found


def mirror(source: type, only: Collection[str] | None = None) -> Callable[[C], C]:
    """Give a class the blocking twin of every public member of `source` that it does not define itself.

    The class has two attributes: ``_engine``, the `Engine` that makes the calls, and ``_source``, the instance of
    `source` they are made on. With `only` it gets the twins of those.
    """

    def decorate(cls: C) -> C:
        for name, shape in members(source, only).items():
            if name not in vars(cls):
                setattr(cls, name, _TWINS[shape](name, inspect.getattr_static(source, name)))
        return cls

    return decorate


def _call(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    parameters = inspect.signature(method).parameters
    default = parameters["timeout_s"].default if "timeout_s" in parameters else None

    @functools.wraps(method)
    def twin(self: Any, *args: Any, **kwargs: Any) -> Any:
        engine: Engine = self._engine
        # Read here already: the wait for the outcome ends by it too.
        patience_s = None if default is None else seconds("timeout_s", kwargs.get("timeout_s", default)) + _GRACE_S
        return engine.call(lambda: method(self._source, *args, **kwargs), name, patience_s)

    return _signed(twin, method)


def _plain(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def twin(self: Any, *args: Any, **kwargs: Any) -> Any:
        engine: Engine = self._engine
        return engine.run(lambda: method(self._source, *args, **kwargs), name)

    return _signed(twin, method)


def _property(name: str, member: property) -> property:
    read = member.fget
    if read is None:
        raise TypeError(f"property {name} cannot be read")

    def twin(self: Any) -> Any:
        engine: Engine = self._engine
        return engine.run(lambda: read(self._source), name)

    return property(twin, doc=member.__doc__)


def _iterator(name: str, method: Callable[..., AsyncIterator[Any]]) -> Callable[..., Iterator[Any]]:
    @functools.wraps(method)
    def twin(self: Any, *args: Any, **kwargs: Any) -> Any:
        engine: Engine = self._engine
        source = engine.run(lambda: method(self._source, *args, **kwargs), name)
        return engine.iterate(source, name)

    return _signed(twin, method, returns=lambda text: text.removeprefix("Async"))


def _handler(name: str, method: Callable[..., Callable[[], None]]) -> Callable[..., Callable[[], None]]:
    @functools.wraps(method)
    def twin(self: Any, callback: Callable[[Any], object], *, inline: bool = False) -> Callable[[], None]:
        engine: Engine = self._engine
        return engine.register(lambda call: method(self._source, call), callback, name, inline=inline)

    inline = inspect.Parameter("inline", inspect.Parameter.KEYWORD_ONLY, default=False, annotation="bool")
    return _signed(twin, method, extra=inline)


def _signed(
    twin: Callable[..., Any],
    method: Callable[..., Any],
    *,
    returns: Callable[[str], str] = lambda text: text,
    extra: inspect.Parameter | None = None,
) -> Callable[..., Any]:
    """Give a twin the signature it stands for; `functools.wraps` alone would show an awaitable as what it returns."""
    signature = inspect.signature(method)
    parameters = [*signature.parameters.values(), *([extra] if extra else [])]
    returned = returns(str(signature.return_annotation))
    twin.__signature__ = signature.replace(parameters=parameters, return_annotation=returned)  # type: ignore[attr-defined]
    twin.__annotations__ = {p.name: p.annotation for p in parameters if p.name != "self"} | {"return": returned}
    del twin.__wrapped__  # type: ignore[attr-defined]
    return twin


_TWINS: Final[dict[Shape, Callable[[str, Any], Any]]] = {
    "call": _call,
    "iterator": _iterator,
    "handler": _handler,
    "plain": _plain,
    "property": _property,
}
