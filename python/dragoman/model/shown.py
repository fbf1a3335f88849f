"""How values look where somebody looks at them: a notebook, a rich terminal, an interactive prompt.

What a value does not have is left out. Times, which are ns since the epoch, read as UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from html import escape
from typing import Any, Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Printer(Protocol):
    """What an interactive prompt hands to ``_repr_pretty_``."""

    def text(self, text: str) -> object: ...


class Shown:
    """Mixin of the model's values. A subclass is a dataclass."""

    __slots__ = ()

    def __rich_repr__(self) -> Iterator[tuple[str, Any]]:
        yield from told(self)

    def _repr_pretty_(self, printer: Printer, cycle: bool) -> None:
        inner = ", ".join(f"{name}={shown(name, value)}" for name, value in told(self))
        printer.text(f"{type(self).__name__}({inner})")

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th><td>{escape(shown(name, value))}</td></tr>"
            for name, value in told(self)
        )
        return f"<table><caption>{escape(type(self).__name__)}</caption>{rows}</table>"


def told(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield name and value of the fields that say something: not the broker's raw words, not what is as by default."""
    for field in fields(value):
        found = getattr(value, field.name)
        if field.repr and found is not None and found != _default(field) and found != ():
            yield field.name, found


def _default(field: Field[Any]) -> Any:
    if field.default is not MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not MISSING else MISSING


def is_time(name: str) -> bool:
    """Whether a field of that name holds ns since the epoch."""
    return name.startswith("ts_") or name in ("complete_as_of", "last_trade_time", "expire_time_ns")


def shown(name: str, value: Any) -> str:
    """Return the text of a field for human eyes."""
    if value is None:
        return ""
    if is_time(name) and isinstance(value, int):
        return (_EPOCH + timedelta(microseconds=value // 1000)).isoformat(sep=" ", timespec="milliseconds")
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, tuple):
        return ", ".join(shown("", one) for one in value)
    return str(value)
