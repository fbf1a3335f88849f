"""Whether what is known of the orders is all there is to know."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from dragoman.errors import StaleData

FRESH_WAIT_S = 2.0


class Freshness:
    """Stale from an interruption until the orders were read whole, from the broker, after it.

    Parameters
    ----------
    broker : str
        For messages.
    following : callable
        Whether updates reach us now. A reading made while they do not is old at once.

    Attributes
    ----------
    stale : bool
    """

    def __init__(self, broker: str, following: Callable[[], bool]) -> None:
        self._broker = broker
        self.following = following
        self._fresh = asyncio.Event()
        self.stale = True  # what the event says, for those who do not wait
        self._reason = "orders have not been read yet"
        self._interruptions = 0

    @property
    def reason(self) -> str:
        """Why it is stale; empty where it is not."""
        return self._reason

    def interrupted(self, reason: str) -> None:
        """Updates may have been missed."""
        self._interruptions += 1
        self._reason = reason
        self._now_stale()

    def begin(self) -> int:
        """Return what `read` wants back after a reading that begins now."""
        return self._interruptions

    def read(self, begun: int) -> bool:
        """Everything was read; return whether that makes it fresh: nothing was missed since the reading began."""
        if begun != self._interruptions:
            return False
        if not self.following():
            self._reason = self._reason or "the order stream is not connected"
            self._now_stale()
            return False
        self._reason, self.stale = "", False
        self._fresh.set()
        return True

    def _now_stale(self) -> None:
        self.stale = True
        self._fresh.clear()

    async def wait(self, timeout_s: float) -> None:
        """Return once it is fresh.

        Raises
        ------
        StaleData
            It is not within `timeout_s`, or two seconds where that is shorter. Zero bytes were sent.
        """
        if self._fresh.is_set():
            return
        try:
            async with asyncio.timeout(min(timeout_s, FRESH_WAIT_S)):
                await self._fresh.wait()
        except TimeoutError:
            raise StaleData(
                f"{self._broker}: orders are stale: {self._reason}",
                broker=self._broker,
                remedy="wait for the order stream, read orders(), or pass allow_stale=True",
            ) from None
