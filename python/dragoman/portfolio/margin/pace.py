"""How often the margin is read: within a share of the broker's limits, faster while something moves."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, Final, TypeVar

from dragoman.plugin import All, RateLimit, Request

T = TypeVar("T")

SHARE: Final = 0.2
"""Of what a meter grants beside its reserve: more of it margin readings never spend."""
_NS: Final = 1_000_000_000
_NEAR_S: Final = 2.0
_WORKING_S: Final = 5.0
_HOLDING_S: Final = 15.0
_RESTING_S: Final = 60.0
_CROWDED: Final = 0.5


class Pace:
    """The rate of one account's margin readings.

    Parameters
    ----------
    limits : sequence of RateLimit
        The broker's.
    """

    def __init__(self, limits: Sequence[RateLimit]) -> None:
        self._limits = tuple(limits)
        self.spent: Mapping[str, int] = {"default": 1}
        """What one reading spends, by meter."""

    @property
    def floor_s(self) -> float:
        """The shortest time between two readings that keeps them within their share."""
        found = [
            self.spent[limit.meter] * limit.period_ns / _NS / (SHARE * max(1, limit.count - limit.reserve))
            for limit in self._limits
            if limit.meter in self.spent and limit.period_ns
        ]
        return max(found, default=0.0)

    def interval_s(self, *, near: bool, working: bool, holding: bool, is_open: bool) -> float | None:
        """Return how long after a reading the next one is due; None for not at all.

        Parameters
        ----------
        near : bool
            Whether a value is close to a threshold, or in doubt.
        working, holding : bool
            Whether orders are open, and whether positions are that move with the market.
        is_open : bool
            Whether any market of the broker trades.
        """
        if not is_open and not near:
            return None
        wanted = _NEAR_S if near else _WORKING_S if working else _HOLDING_S if holding else _RESTING_S
        return max(wanted, self.floor_s)

    def crowded(self, state: Mapping[str, Mapping[str, int]]) -> bool:
        """Whether others need the meters: somebody waits for one, or half of what it grants is gone."""
        for limit in self._limits:
            now = state.get(limit.name)
            if limit.meter not in self.spent or now is None:
                continue
            mine = SHARE * limit.count
            if now.get("waiting", 0) or now["used"] - mine >= _CROWDED * limit.count:
                return True
        return False


def metered(flow: Generator[Any, Any, T], spent: dict[str, int]) -> Generator[Any, Any, T]:
    """Run an adapter's flow as it is, and note what its requests cost, by meter."""
    effect = next_of(flow, None)
    while True:
        if isinstance(effect, _Done):
            return effect.value  # type: ignore[no-any-return]
        for request in effect.requests if isinstance(effect, All) else (effect,):
            if isinstance(request, Request):
                spent[request.meter] = spent.get(request.meter, 0) + request.cost
        try:
            answer = yield effect
        except Exception as error:  # noqa: BLE001 - the flow's own to handle
            effect = next_of(flow, None, error)
        else:
            effect = next_of(flow, answer)


class _Done:
    def __init__(self, value: Any) -> None:
        self.value = value


def next_of(flow: Generator[Any, Any, Any], answer: Any, error: Exception | None = None) -> Any:
    """Return the flow's next effect, or a `_Done` with what it returned."""
    try:
        return flow.send(answer) if error is None else flow.throw(error)
    except StopIteration as end:
        return _Done(end.value)
