"""Writes down about once a minute what the account is worth: margins, profit, and what positions began the day with.

A journal of orders alone cannot tell what margins were, nor at which prices positions stood: nobody can ask for that
later. So the process that writes the journal keeps a sample, as ``Kind.CONTROL``, whenever something has changed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, NamedTuple, Protocol

from dragoman.errors import UsageError
from dragoman.market import InstrumentMaster
from dragoman.model import LivePosition, Margin, OrderUpdate, Segment
from dragoman.orders import OrderService
from dragoman.orders.journal.codec import to_plain
from dragoman.portfolio.book import PositionBook
from dragoman.portfolio.net import PositionKey
from dragoman.runtime.base import Runtime

MONEY: Final = "money"
"""What the record says it is."""
_EVERY_S: Final = 60.0
log = logging.getLogger("dragoman.portfolio")
_WHEN: Final[dict[str, Any]] = {"ts_event": None, "ts_polled": None, "ts_recv": None, "account_id": "", "broker": ""}


class Margins(Protocol):
    """What the sampler needs of the margin monitor."""

    polled: Callable[[], object]

    @property
    def known(self) -> dict[Segment, Margin]: ...


class _Plain(NamedTuple):
    """What is written of one row; the same as long as that is."""

    row: LivePosition
    mark: list[Any]
    terms: dict[str, str]
    opening: dict[str, Any] | None


class MoneySampler:
    """Samples of one account. It begins with the first order, position or margin there is.

    Parameters
    ----------
    runtime : Runtime
    instruments : InstrumentMaster
    orders : OrderService
        Has the journal, where this process writes it; where not, nothing is sampled.
    positions : PositionBook
    margins : Margins
        A reading brings a sample, too.

    Attributes
    ----------
    written : int
        Samples so far.
    """

    def __init__(
        self,
        runtime: Runtime,
        instruments: InstrumentMaster,
        orders: OrderService,
        positions: PositionBook,
        margins: Margins,
    ) -> None:
        self._runtime = runtime
        self._instruments = instruments
        self._orders = orders
        self._positions = positions
        self._margins = margins
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._run = ""
        self._last: dict[str, Any] = {}
        self._rows: dict[PositionKey, _Plain] = {}
        self.written = 0
        if orders.writer.enabled:
            self._ends = (
                positions.listen(lambda key: self._begin()),
                orders.store.listen(self._on_order, first_steps=False),
            )
            margins.polled = self._on_poll

    async def close(self) -> None:
        """Take the last sample, and no more."""
        if self._closed:
            return
        if self._task is not None:
            self.sample()
        self._closed = True
        if self._orders.writer.enabled:
            for end in self._ends:
                end()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def sample(self) -> bool:
        """Write down what changed since the last sample; False where that is nothing, or nobody writes."""
        journal = self._orders.recorder.journal
        if journal is None or journal.failed is not None:
            return False
        if journal.journal_id != self._run:
            self._run, self._last = journal.journal_id, {}
        found = self._found()
        news = {name: value for name, value in found.items() if value != self._last.get(name, {})}
        if not news:
            return False
        self._last = found
        try:
            self._orders.recorder.control(MONEY, news)
        except UsageError as error:
            log.warning("what the account is worth is not kept: %s", error)  # more than the journal takes at once
            return False
        self.written += 1
        return True

    def _on_order(self, update: OrderUpdate) -> None:
        self._begin()

    def _on_poll(self) -> None:
        self._begin()
        self.sample()

    def _begin(self) -> None:
        if self._task is None and not self._closed:
            self._task = self._runtime.spawn(self._go_on(), name="money samples")

    async def _go_on(self) -> None:
        while True:
            await self._runtime.sleep(_EVERY_S)
            self.sample()

    # -- what --------------------------------------------------------------------------------------------------------

    def _found(self) -> dict[str, Any]:
        """Return what there is to tell."""
        known, plain = self._rows, []
        self._rows = {}
        for row in self._positions.rows():
            key: PositionKey = (row.instrument_id, row.product, row.position_side)
            one = known.get(key)
            if one is None or one.row is not row:
                one = _Plain(row, _mark(row), self._terms(row), _opening(row) if row.overnight_quantity else None)
            self._rows[key] = one
            plain.append(one)
        margins = {segment.value: _margin(one) for segment, one in self._margins.known.items()}
        found: dict[str, Any] = {
            "day": self._positions.day,
            "margins": margins,
            "pnl": {currency: to_plain(one) for currency, one in self._positions.totals().items()},
            "marks": {one.row.instrument_id: one.mark for one in plain},
            "terms": {one.row.instrument_id: one.terms for one in plain},
        }
        if self._positions.seeded:
            found["opening"] = [one.opening for one in plain if one.opening is not None]
        return found

    def _terms(self, row: LivePosition) -> dict[str, str]:
        """Return what money needs to know of an instrument: a journal is read also where no master is."""
        instrument = self._instruments.get(row.instrument_id)
        terms = {"currency": row.currency, "multiplier": str(row.multiplier)}
        if instrument is not None:
            terms |= {
                "exchange": instrument.exchange,
                "instrument_type": instrument.instrument_type.value,
                "asset_class": instrument.asset_class.value,
            }
        return terms


def _margin(margin: Margin) -> dict[str, Any]:
    return to_plain(replace(margin, **_WHEN))


def _mark(row: LivePosition) -> list[Any]:
    """Return the last price, when it came, and the previous close."""
    last, close = (None if one is None else str(one) for one in (row.last_price, row.close_price))
    return [last, row.ts_mark, close]


def _opening(row: LivePosition) -> dict[str, Any]:
    return {
        "instrument_id": row.instrument_id,
        "product": row.product.value,
        "position_side": row.position_side,
        "quantity": str(row.overnight_quantity),
        "price": None if row.overnight_price is None else str(row.overnight_price),
    }
