"""Whether the margin an order needs is there, fast enough to be asked before every order.

The projection of the margin is read a few times a second. What orders that were let through since then need is taken
from it at once, at the most each can need: an order is refused rather than two let through for the same money.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from dragoman.model import Instrument, Margin, OrderRequest, Segment
from dragoman.portfolio.margin.monitor import MarginMonitor
from dragoman.portfolio.margin.rule import ZERO, segment_of

_HOLDS_NS: Final = 250_000_000


class MarginRoom:
    """Answers what an order needs and what is there; see `dragoman.checks.sources.Sources`.

    Parameters
    ----------
    monitor : MarginMonitor
    mono_ns : callable
    price : callable
        Returns the last price of an instrument, or None.
    """

    def __init__(
        self, monitor: MarginMonitor, mono_ns: Callable[[], int], price: Callable[[Instrument], Decimal | None]
    ) -> None:
        self._monitor = monitor
        self._mono_ns = mono_ns
        self._price = price
        self._held: dict[Segment, Margin] = {}
        self._read_ns = -_HOLDS_NS
        self._taken: dict[Segment, Decimal] = {}
        self._by_order: dict[str, tuple[Segment, Decimal]] = {}

    def __call__(self, request: OrderRequest, instrument: Instrument) -> tuple[Decimal, Decimal] | None:
        """Return what the order may need and what is there; None where either is not known."""
        now = self._mono_ns()
        if now - self._read_ns >= _HOLDS_NS:
            self._held, self._read_ns = self._monitor.now(), now
            self._taken.clear()
            self._by_order.clear()
        segment = segment_of(instrument, self._held)
        price = request.price if request.price is not None else self._price(instrument)
        if segment is None or price is None:
            return None
        margin = self._held[segment]
        if margin.net is None or margin.stale:
            return None
        if request.notional is not None:
            needed = request.notional
        else:
            needed = self._monitor.needed(request, instrument, price) * (margin.leverage or 1)
        taken = self._taken.get(segment, ZERO)
        there = margin.net - (margin.error_bound or ZERO) - taken
        if needed <= there:
            self._taken[segment] = taken + needed
            if request.client_order_id:
                self._by_order[request.client_order_id] = segment, needed
        return needed, there

    def give_back(self, name: str) -> None:
        """Give back what was taken for an order that never left."""
        taken = self._by_order.pop(name, None)
        if taken is not None:
            segment, needed = taken
            self._taken[segment] -= needed
