"""The broker's limits, as data. The engine counts them per account, in the shape of each window."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    ACCOUNT = "account"
    KEY = "key"
    IP = "ip"
    CONNECTION = "connection"
    ORDER = "order"


class Window(StrEnum):
    BUCKET = "bucket"
    CALENDAR = "calendar"
    ROLLING = "rolling"


_UNITS = {"ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000, "d": 86_400_000_000_000}


def period_ns(text: str) -> int:
    """Read ``"1s"``, ``"1m"``, ``"1d"``.

    Raises
    ------
    ValueError
        For anything else.
    """
    for unit in ("ms", "s", "m", "h", "d"):
        head = text.removesuffix(unit)
        if head != text and head.isdigit():
            return int(head) * _UNITS[unit]
    raise ValueError(f"period {text!r}: expected a whole number and one of ms, s, m, h, d")


@dataclass(frozen=True, slots=True)
class RateLimit:
    """`count` requests of `meter` per `per`.

    Parameters
    ----------
    meter : str
        What requests name. Several limits may share a meter: all are taken together, or none.
    scope : Scope
        Who shares the count. `Scope.ORDER` counts for the life of one order and needs no `per`.
    window : Window
        BUCKET refills steadily; CALENDAR starts afresh at each multiple of `per` on the broker's clock; ROLLING never
        allows more than `count` in any span of `per`.
    reserve : int
        Of `count`, kept for cancels and risk-reducing exits.
    """

    meter: str
    count: int
    per: str = ""
    scope: Scope = Scope.ACCOUNT
    window: Window = Window.ROLLING
    reserve: int = 0
    source: str = ""

    @property
    def name(self) -> str:
        return f"{self.meter}/{self.per or self.scope}"

    @property
    def period_ns(self) -> int:
        return period_ns(self.per) if self.per else 0
