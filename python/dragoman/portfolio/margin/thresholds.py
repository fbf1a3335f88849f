"""Limits of a margin that are told once when they are crossed, and again only after a way back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal

from dragoman.checks import Number, exact
from dragoman.errors import ErrorKind, UsageError
from dragoman.model import Margin, MarginAlert, Segment
from dragoman.portfolio.margin.rule import ZERO

MINUTE_NS: Final = 60_000_000_000
_MAYBE_NS: Final = 5_000_000_000
_NEAR: Final = Decimal("0.1")
_PART_BACK: Final = Decimal("0.02")
_SHARE_BACK: Final = Decimal("0.02")
_FALL_BACK: Final = Decimal("0.2")

Code = Literal["BELOW", "UTILISATION", "FALLING"]


@dataclass(slots=True, eq=False)
class Threshold:
    """One limit of one segment.

    Attributes
    ----------
    code : str
        ``BELOW``: `net` under `level`. ``UTILISATION``: above `level`, a share. ``FALLING``: `net` lost more than
        `level` within the last minute.
    hysteresis : Decimal
        How far back the value has to come before it is told again.
    crossed : bool
        Whether it was told, and the way back is not over.
    """

    segment: Segment
    code: Code
    level: Decimal
    hysteresis: Decimal
    name: str = ""
    callback: Callable[[MarginAlert], object] | None = None
    crossed: bool = False
    _maybe_ns: int | None = None
    _fallen: deque[tuple[int, Decimal]] = field(default_factory=deque)

    @classmethod
    def default_hysteresis(cls, code: Code, level: Decimal) -> Decimal:
        """Return the way back where nobody said one: 2 % of the money, two points of the share, a fifth of the fall."""
        if code == "UTILISATION":
            return _SHARE_BACK
        return abs(level) * (_PART_BACK if code == "BELOW" else _FALL_BACK)

    def value(self, margin: Margin, now_ns: int) -> Decimal | None:
        """Return what is compared with the level now; None where the broker does not tell what it takes."""
        if self.code == "UTILISATION":
            return margin.utilisation
        if margin.net is None or self.code == "BELOW":
            return margin.net
        seen = self._fallen
        while seen and now_ns - seen[0][0] > MINUTE_NS:
            seen.popleft()
        while seen and seen[-1][1] <= margin.net:  # a higher value later makes a lower one before it irrelevant
            seen.pop()
        seen.append((now_ns, margin.net))
        return seen[0][1] - margin.net

    def look(self, margin: Margin, now_ns: int, wall_ns: int) -> MarginAlert | None:
        """Return the alert of a crossing that was not told yet.

        A stale margin crosses nothing: what it says may be long over. One whose error bound reaches across the level is
        waited for, because a reading is on its way; what it says then, or still says after five seconds, counts.
        """
        if margin.stale:
            return None
        value = self.value(margin, now_ns)
        if value is None:
            return None
        beyond = value - self.level if self.code != "BELOW" else self.level - value
        unsure = self._unsure(margin)
        if self.crossed:
            self.crossed = beyond + (unsure or ZERO) > -self.hysteresis
            return None
        if beyond <= ZERO:
            self._maybe_ns = None
            return None
        if unsure is None or beyond <= unsure:
            if self._maybe_ns is None:
                self._maybe_ns = now_ns
            if now_ns - self._maybe_ns < _MAYBE_NS:
                return None
        self._maybe_ns = None
        self.crossed = True
        return MarginAlert(self.code, self._text(margin, value), margin, self.name, self.level, value, wall_ns)

    def _unsure(self, margin: Margin) -> Decimal | None:
        """Return how far the value may be off by the margin's error bound; None where there is none."""
        bound = margin.error_bound
        if bound is None or self.code != "UTILISATION":
            return bound
        whole = (margin.net or ZERO) + (margin.used.total or ZERO)
        return bound / whole if whole > 0 else None

    def near(self, margin: Margin) -> bool:
        """Whether the value is so close to the level that it should be looked at more often."""
        if self.crossed or self._maybe_ns is not None:
            return True
        if self.code == "FALLING":
            return False
        value = margin.utilisation if self.code == "UTILISATION" else margin.net
        if value is None:
            return False
        return abs(value - self.level) <= max(abs(self.level), abs(value)) * _NEAR

    def _text(self, margin: Margin, value: Decimal) -> str:
        named = f"{self.name}: " if self.name else ""
        if self.code == "UTILISATION":
            return f"{named}{value:.1%} of {margin.segment} is used, above {self.level:.1%}"
        if self.code == "FALLING":
            return (
                f"{named}{margin.segment} lost {value:.2f} {margin.currency} within a minute, more than {self.level:f}"
            )
        return f"{named}{value:.2f} {margin.currency} of {margin.segment} can be used, below {self.level:f}"


def limit_of(
    below: Number | None, utilisation_above: Number | None, falling_faster: Number | None
) -> tuple[Code, Decimal]:
    """Return the one limit that is given.

    Raises
    ------
    UsageError
        None is, or several, or one that no margin can cross.
    """
    named: dict[str, tuple[Code, Number | None]] = {
        "below": ("BELOW", below),
        "utilisation_above": ("UTILISATION", utilisation_above),
        "falling_faster": ("FALLING", falling_faster),
    }
    given = {name: (code, exact(name, value)) for name, (code, value) in named.items() if value is not None}
    if len(given) != 1:
        raise UsageError(
            f"threshold: {len(given)} limits are given, expected one of {', '.join(named)}",
            kind=ErrorKind.USAGE,
            remedy="make one threshold for each",
        )
    ((name, (code, level)),) = given.items()
    if name == "utilisation_above" and not 0 <= level < 1:
        raise UsageError(f"utilisation_above {level} is no share", remedy="give it from 0 to 1: 0.8 for 80 %")
    if name == "falling_faster" and level <= 0:
        raise UsageError(f"falling_faster {level} is no loss", remedy="give the money lost in a minute, above 0")
    return code, level
