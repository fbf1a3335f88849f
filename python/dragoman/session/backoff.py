"""How long to wait before the next try."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from dragoman.errors import Retry, Throttled

T = TypeVar("T")

_DOUBLINGS: Final = 16
_MOMENT_S: Final = 1.0


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


async def patiently(
    call: Callable[[], Awaitable[T]], sleep: Callable[[float], Awaitable[None]], *, tries: int = 3
) -> T:
    """Await `call()`; where the broker throttles it and says for how long, once more after that, `tries` times in all.

    For what a start reads: runs that follow each other at once share the broker's limits, and none should fail for it.
    """
    for _ in range(tries - 1):
        try:
            return await call()
        except Throttled as error:
            if error.retry is Retry.NEVER:
                raise
            await sleep(error.retry_after_s or _MOMENT_S)
    return await call()
