"""What one order may use in its life: requests that a broker counts by the order they are about.

Each process counts alone, and need not count with others: one process writes an account's orders.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from dragoman.errors import ErrorKind, Retry, Throttled
from dragoman.plugin import RateLimit, Request

_ORDERS_KEPT: Final = 100_000


class OrderLimits:
    """The limits of a single order, by meter, and what each order has used of them.

    Parameters
    ----------
    broker : str
        For messages.
    """

    def __init__(self, broker: str) -> None:
        self._broker = broker
        self._by_meter: dict[str, list[RateLimit]] = {}
        self._used: OrderedDict[tuple[str, str], int] = OrderedDict()

    def __contains__(self, meter: object) -> bool:
        return meter in self._by_meter

    def add(self, limit: RateLimit) -> None:
        """Count by this limit, too."""
        self._by_meter.setdefault(limit.meter, []).append(limit)

    def take(self, request: Request) -> tuple[str, ...]:
        """Take what a request uses of its order's limits; return what was taken, for `give_back`.

        Raises
        ------
        Throttled
            They are used up, for good. Nothing was taken.
        """
        if request.limit_key is None or request.meter not in self._by_meter:
            return ()
        key = (request.meter, request.limit_key)
        used = self._used.get(key, 0)
        for limit in self._by_meter[request.meter]:
            if used + request.cost > limit.count:
                raise Throttled(
                    f"{self._broker}: order {request.limit_key} used {used} of {limit.count} requests of {limit.meter}",
                    kind=ErrorKind.DAILY_LIMIT_REACHED,
                    retry=Retry.NEVER,
                    broker=self._broker or None,
                    remedy="cancel the order and place another",
                )
        self._used[key] = used + request.cost
        self._used.move_to_end(key)
        if len(self._used) > _ORDERS_KEPT:
            self._used.popitem(last=False)
        return (*key, str(request.cost))

    def give_back(self, taken: tuple[str, ...]) -> None:
        """Give back what a request took that never left."""
        if taken:
            meter, key, cost = taken
            self._used[meter, key] = max(0, self._used.get((meter, key), 0) - int(cost))
