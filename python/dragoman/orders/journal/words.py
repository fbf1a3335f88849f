"""Keep secrets out of the journal without touching what it is for.

A broker's message may quote a token back. Numbers and ids must stay as they are, though: a PIN of four digits stands in
many an order id by chance, and a journal that had it replaced would be wrong. So only free text is cleaned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dragoman.session.secrets import redact

TEXTS: Final = frozenset({"text", "status_text", "message", "error", "remedy", "why", "reason"})
"""Names whose values are always words of somebody."""
NAMES: Final = frozenset({"tag", "tags", "name", "client_order_id"})
"""Names whose values identify something, whatever they look like."""


def cleaned(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return a payload with the secrets in its free text replaced: what has such a name, or a blank in it."""
    found: dict[str, Any] = {}
    for name, value in payload.items():
        kind = type(value)
        if kind is str:
            if name in TEXTS or (" " in value and name not in NAMES):
                value = redact(value)
        elif kind is dict:
            value = cleaned(value)
        elif kind is list or kind is tuple:
            value = [_one(name, one) for one in value]
        found[name] = value
    return found


def _one(name: str, value: Any) -> Any:
    if isinstance(value, str | list | tuple | dict):
        return cleaned({name: value})[name]
    return value
