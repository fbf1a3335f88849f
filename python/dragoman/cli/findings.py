"""What ``dragoman doctor`` finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from dragoman.errors import DragomanError


class Level(StrEnum):
    """FAIL keeps orders or data from flowing; WARN will, or may, or could not be found out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was examined.

    Attributes
    ----------
    check : str
        What was examined: ``profile``, ``credentials``, ``token``, ``tls``, ``latency``, ``clock``, ``egress``,
        ``account``, ``limits``, ``kill_switch``, ``market_protection``, ``algo_id``, ``quantity_unit``.
    code : str
        What it came to, in a word that programs can rely on.
    found : str
        The same in a sentence.
    remedy : str
        What to do; empty where nothing is to be done.
    values : mapping
        What was measured.
    """

    check: str
    level: Level
    code: str
    found: str
    remedy: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


def said(error: DragomanError) -> str:
    """Return an error's message without its remedy, which a finding has beside it."""
    return str(error.args[0]) if error.args else type(error).__name__


def ok(check: str, code: str, found: str, **values: Any) -> Finding:
    """Return a finding that asks for nothing."""
    return Finding(check, Level.OK, code, found, "", values)


def warn(check: str, code: str, found: str, remedy: str, **values: Any) -> Finding:
    """Return a finding to look at."""
    return Finding(check, Level.WARN, code, found, remedy, values)


def fail(check: str, code: str, found: str, remedy: str, **values: Any) -> Finding:
    """Return a finding that keeps the account from working."""
    return Finding(check, Level.FAIL, code, found, remedy, values)
