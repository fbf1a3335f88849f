"""How long to wait before the next try."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_DOUBLINGS: Final = 16


class Backoff:
    """Exponential, with jitter: uniform between half of a bound and the bound, which doubles up to `cap_s`.

    Jitter spreads a crowd of clients that lost the same server at the same time. The half that is not left to chance
    bounds how often one client knocks: with the values here at most 34 times in ten minutes, whatever the dice say.
    """

    def __init__(self, uniform: Callable[[float, float], float], *, base_s: float = 0.5, cap_s: float = 45.0) -> None:
        self._uniform = uniform
        self._base_s = base_s
        self._cap_s = cap_s
        self.attempt = 0

    def next(self) -> float:
        """Count a try and return the seconds to wait before it."""
        bound = min(self._cap_s, self._base_s * 2 ** min(self.attempt, _DOUBLINGS))
        self.attempt += 1
        return self._uniform(bound / 2, bound)

    def reset(self) -> None:
        self.attempt = 0
