"""What changes positions without a fill, in the journal: for a run that comes after, and a process that only looks."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from dragoman.checks import record
from dragoman.errors import DragomanError, UsageError
from dragoman.model import Adjustment, OrderAlert, Product
from dragoman.orders import OrderService
from dragoman.orders.journal import Kind, read_journal
from dragoman.orders.journal.codec import from_plain, to_plain
from dragoman.orders.recovery import POSITION_CHANGES
from dragoman.portfolio.adjust import Converted, check_adjustment
from dragoman.portfolio.book import PositionBook
from dragoman.portfolio.net import PositionKey
from dragoman.runtime.base import Disk
from dragoman.session.session import AccountSession

_ADJUSTMENT, _CONVERSION = POSITION_CHANGES
_LOOKED_BACK_NS: Final = 10 * 86_400 * 1_000_000_000
_log = logging.getLogger("dragoman.portfolio")


class PositionChanges:
    """Adjustments and conversions of one account: written down, told to the live positions, and taken up again.

    Parameters
    ----------
    session : AccountSession
    orders : OrderService
        Has the journal, where this process writes it.
    live : PositionBook
    """

    def __init__(self, session: AccountSession, orders: OrderService, live: PositionBook) -> None:
        self._session, self._orders, self._live = session, orders, live
        self._number = 0
        orders.succession.on_changes = self._came_back

    async def adjust(self, adjustment: Adjustment) -> None:
        """Apply an adjustment, once it is durable; see `Portfolio.adjust`."""
        adjustment = record("adjustment", adjustment, Adjustment)
        check_adjustment(adjustment)
        await self._orders.ensure_writer()
        if self._live.adjusted(adjustment):
            return
        self._live.in_opening(adjustment)
        await self._orders.recorder.durable_control(_ADJUSTMENT, {_ADJUSTMENT: to_plain(adjustment)})
        self._live.adjust(adjustment)

    async def convert(
        self, key: PositionKey, product: Product, quantity: Decimal, *, overnight: bool, ts: int | None = None
    ) -> None:
        """Enter a conversion of another terminal, once it is durable; see `Portfolio.converted`."""
        await self._orders.ensure_writer()
        one = self._conversion(key, product, quantity, overnight, ts)
        await self._orders.recorder.durable_control(_CONVERSION, {_CONVERSION: to_plain(one)})
        self._live.move(one)

    async def converted(self, key: PositionKey, product: Product, quantity: Decimal, *, overnight: bool) -> None:
        """Enter a conversion that the broker has just made, and return once it is durable.

        It counts also where it cannot be written down, which is told: the broker has made it already.
        """
        one = self._conversion(key, product, quantity, overnight, None)
        self._live.move(one)
        try:
            await self._orders.recorder.durable_control(_CONVERSION, {_CONVERSION: to_plain(one)})
        except DragomanError as error:
            text = (
                f"the conversion of {abs(quantity)} {key[0]} to {product} was made and could not be written down: "
                f"{error}; a restart today tells it as OPENING_DIFFERS"
            )
            self._orders.alerts.publish(OrderAlert("UNJOURNALED", text, subject=error, ts=self._session.ctx.now_ns))

    async def read(self) -> bool:
        """Take over what the process that writes has written since; whether something was new. Does nothing there."""
        if not self._session.read_only and self._orders.writer.ready:
            return False
        runtime, folder = self._session.runtime, self._orders.writer.folder
        since = runtime.clock.wall_ns() - _LOOKED_BACK_NS
        try:
            found = await runtime.in_worker(read_changes, runtime.disk, folder, since)
        except OSError as error:
            _log.warning("the journal beside this process cannot be read for conversions and adjustments: %s", error)
            return False
        return enter(self._live, found) > 0

    def _came_back(self) -> None:
        """Take up what earlier runs of this account left."""
        enter(self._live, self._orders.succession.changes)

    def _conversion(
        self, key: PositionKey, product: Product, quantity: Decimal, overnight: bool, ts: int | None
    ) -> Converted:
        self._number += 1
        journal = self._orders.recorder.journal
        run = f"{journal.journal_id}-" if journal is not None else ""
        return Converted(
            conversion_id=f"{run}{self._number:09d}",
            instrument_id=key[0],
            product=key[1],
            position_side=key[2],
            to_product=product,
            quantity=quantity,
            overnight=overnight,
            ts_event=self._session.ctx.now_ns if ts is None else ts,
        )


def enter(live: PositionBook, plain: Iterable[Mapping[str, Any]]) -> int:
    """Tell live positions what a journal says that they do not know; return how much of it was new.

    Only what is of the trading day, or of a later one: the rest is in what the broker says the day began with. What
    nobody can read is told of and left out.
    """
    new = 0
    for entry in plain:
        try:
            if entry["what"] == _ADJUSTMENT:
                new += _adjust(live, from_plain(Adjustment, entry[_ADJUSTMENT]))
            elif entry["what"] == _CONVERSION:
                new += live.move(from_plain(Converted, entry[_CONVERSION]), restored=True)
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, UsageError) as error:
            _log.warning("a change of a position in the journal cannot be read, and is left out: %r", error)
    return new


def _adjust(live: PositionBook, adjustment: Adjustment) -> bool:
    check_adjustment(adjustment)
    if not live.is_of_today(adjustment.ts_event) or live.adjusted(adjustment):
        return False
    live.adjust(adjustment, restored=True)
    return True


def read_changes(disk: Disk, folder: str, since_ns: int = 0) -> list[dict[str, Any]]:
    """Return what a journal says changed positions, read beside whoever writes it. Blocking."""
    return [
        entry.payload
        for entry in read_journal(disk, folder, since_ns=since_ns)
        if entry.kind is Kind.CONTROL and entry.payload.get("what") in POSITION_CHANGES
    ]
