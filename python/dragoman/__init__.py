"""One order, position, margin and market-data model, spoken to every broker in its own language.

Start with `connect`. Names load when they are first used: importing the package costs nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dragoman import frames, sync
    from dragoman.checks import RiskLimits
    from dragoman.client import Client
    from dragoman.connecting import connect
    from dragoman.errors import (
        AccountBusy,
        AuthRequired,
        DecodeError,
        DragomanError,
        NotSent,
        OutcomeUnknown,
        Rejected,
        StaleData,
        Throttled,
        UsageError,
    )
    from dragoman.runtime.loops import run

__version__ = "0.1.0"

_WHERE = {
    "Client": "dragoman.client",
    "RiskLimits": "dragoman.checks",
    "connect": "dragoman.connecting",
    "run": "dragoman.runtime.loops",
    **dict.fromkeys(
        "AccountBusy AuthRequired DecodeError DragomanError NotSent OutcomeUnknown Rejected StaleData Throttled"
        " UsageError".split(),
        "dragoman.errors",
    ),
}

_MODULES = ("frames", "sync")

__all__ = [
    "AccountBusy",
    "AuthRequired",
    "Client",
    "DecodeError",
    "DragomanError",
    "NotSent",
    "OutcomeUnknown",
    "Rejected",
    "RiskLimits",
    "StaleData",
    "Throttled",
    "UsageError",
    "__version__",
    "connect",
    "frames",
    "run",
    "sync",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    if name in _MODULES:
        return import_module(f"dragoman.{name}")
    raise AttributeError(f"module 'dragoman' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
