"""The model's values as what JSON knows, for people and programs that read them.

Money and quantities are text, so that no digit is lost; a time is ISO 8601 in UTC, and the same name with ``_ns`` is
the integer of ns it was made from; the broker's raw words are left out. (The journal has a form of its own, which comes
back exactly: `dragoman.orders.journal.codec`.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

from dragoman.model.shown import is_time

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIMES = frozenset(("expires",))


def iso(ns: int) -> str:
    """Return ns since the epoch as ISO 8601 in UTC, to the microsecond."""
    return (_EPOCH + timedelta(microseconds=ns // 1000)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def plain(value: Any) -> Any:
    """Return a model value as what JSON knows."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, date):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return _mapped({field.name: getattr(value, field.name) for field in fields(value) if field.repr})
    if isinstance(value, Mapping):
        return _mapped(value)
    if hasattr(value, "_asdict"):
        return _mapped(value._asdict())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(one) for one in value]
    return value


def _mapped(values: Mapping[Any, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = str(key.value if isinstance(key, Enum) else key)
        if (is_time(name) or name in _TIMES) and isinstance(value, int):
            name = name.removesuffix("_ns")
            found[name], found[f"{name}_ns"] = iso(value), value
        else:
            found[name] = plain(value)
    return found
