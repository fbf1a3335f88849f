"""Positions and margins of one account, read from the broker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Final

from dragoman._core import Marks
from dragoman.checks import Number, WireUnits, choice, exact, flag, seconds
from dragoman.errors import DragomanError, ErrorKind, UsageError
from dragoman.market import InstrumentMaster
from dragoman.model import (
    Adjustment,
    Balance,
    Instrument,
    InstrumentType,
    LiveHolding,
    LivePosition,
    Margin,
    Position,
    PositionAlert,
    Product,
    Segment,
)
from dragoman.orders import OrderService
from dragoman.plugin import Adapter
from dragoman.portfolio.book import PositionBook
from dragoman.portfolio.changes import PositionChanges
from dragoman.portfolio.days import TradingDays
from dragoman.portfolio.holdings import haircut_of, live_holding
from dragoman.portfolio.marking import Marking
from dragoman.portfolio.net import Discrepancy, NetPosition, PositionKey, compare, net_positions
from dragoman.portfolio.wallets import Wallets, held_in_wallets
from dragoman.session.secrets import redact
from dragoman.session.session import AccountSession


class Margins(dict[Segment, Margin]):
    """Margins by segment. A wrong word is answered with the right ones."""

    def __missing__(self, key: object) -> Margin:
        held = ", ".join(f"Segment.{segment.name} or {segment.value!r}" for segment in self) or "none"
        raise UsageError(f"margins: there is no segment {key!r}", remedy=f"this account has {held}")


_log = logging.getLogger("dragoman.portfolio")
_SOON_S: Final = 1.0
_LONGEST_S: Final = 60.0
_TRIES: Final = 3
_READ_S: Final = 10.0
_DELIVERED: Final = frozenset((InstrumentType.SPOT, InstrumentType.ETF, InstrumentType.BOND))


def becomes_holding(adapter: Adapter, instrument: Instrument, product: Product) -> bool:
    """Whether what is held of it over night becomes a holding, which is a list of its own at this broker."""
    kept_apart = bool(adapter.capabilities.features.get("holdings"))
    return kept_apart and product is Product.DELIVERY and instrument.instrument_type in _DELIVERED


def _quantities(rows: Iterable[LivePosition]) -> dict[str, Decimal]:
    return {row.instrument_id: row.quantity for row in rows}


class Portfolio:
    """Reads positions and margins, keeps positions live, and checks them against the broker's.

    Attributes
    ----------
    live : PositionBook
        The positions as the fills make them.
    changes : PositionChanges
        Writes down what changes them without a fill.
    """

    def __init__(
        self,
        session: AccountSession,
        master: InstrumentMaster,
        units: WireUnits,
        orders: OrderService,
        alert: Callable[[PositionAlert], object] = lambda alert: None,
    ) -> None:
        self._session = session
        self._master = master
        self._units = units
        self._orders = orders
        wall_ns = session.runtime.clock.wall_ns
        self.live = PositionBook(
            master,
            TradingDays(session.adapter.session.time_zone, lambda: session.ctx.now_ns),
            Marking(Marks(), wall_ns),
            alert,
            delivered=self._delivered,
            charges=session.adapter.charges_table,
            broker=session.adapter.name,
            account=lambda: session.ctx.account,
            doubted=self._begin_anew,
        )
        self.changes = PositionChanges(session, orders, self.live)
        self._wallets = Wallets()
        self._beginning: asyncio.Task[None] | None = None
        self._anew: asyncio.Task[None] | None = None
        orders.store.listen(self.live.on_update, first_steps=False)

    def _delivered(self, instrument: Instrument, product: Product) -> bool:
        return becomes_holding(self._session.adapter, instrument, product)

    def start(self, on_error: Callable[[DragomanError], object]) -> None:
        """Read what the live positions begin the day with, in the background and a moment from now.

        A start reads a lot at once already, and brokers count by the second. Whoever cannot wait awaits `begin`.
        """
        if not self.live.seeded:  # until then positions are the day's fills: all of them, also an earlier run's
            self.live.recall(self._orders.store.fills.of_day(None))
        offered = bool(self._session.adapter.capabilities.features.get("positions"))
        if offered and self._beginning is None and not self.live.seeded:
            runtime, name = self._session.runtime, self._session.adapter.name
            self._beginning = runtime.spawn(self._begin_soon(on_error), name=f"{name} live positions")

    async def _begin_soon(self, on_error: Callable[[DragomanError], object]) -> None:
        wait_s = _SOON_S
        while not self.live.seeded:
            await self._session.runtime.sleep(wait_s)
            if not self._orders.stale and not await self.begin(on_error):
                wait_s = min(2 * wait_s, _LONGEST_S)

    async def close(self) -> None:
        """End the reading in the background."""
        for task in (self._beginning, self._anew):
            if task is not None and not task.done():
                task.cancel()
                await asyncio.wait((task,))
        self._beginning = self._anew = None

    def _begin_anew(self) -> None:
        """Read positions again and begin the day with them, a moment from now: what is told now may come in parts."""
        offered = bool(self._session.adapter.capabilities.features.get("positions"))
        if offered and (self._anew is None or self._anew.done()):
            runtime, name = self._session.runtime, self._session.adapter.name
            self._anew = runtime.spawn(self._read_anew(), name=f"{name} positions anew")

    async def _read_anew(self) -> None:
        wait_s = max(_SOON_S, self._session.adapter.session.settle_s)
        while True:
            await self._session.runtime.sleep(wait_s)
            try:
                await self.changes.read()
                as_of, rows = await self._opening(_READ_S)
            except DragomanError as error:
                wait_s = min(2 * wait_s, _LONGEST_S)
                _log.warning("%s: positions cannot be read anew: %s", self._session.adapter.name, redact(str(error)))
                continue
            self.live.seed(rows, self._orders.store.fills.of_day(as_of), as_of, keep=self._in_wallets)
            return

    async def begin(
        self, on_error: Callable[[DragomanError], object] = lambda error: None, *, timeout_s: float = 10.0
    ) -> bool:
        """Read what the live positions begin the day with, once orders and trades are known; False if that fails.

        Until it succeeds they are the sum of the fills alone (`LivePosition.complete_as_of` is None), and it is tried
        again in the background. Once it has, nothing is read.
        """
        if self.live.seeded:
            return True
        if not self._session.adapter.capabilities.features.get("positions"):
            return False
        try:
            await self.changes.read()
            as_of, rows = await self._opening(timeout_s)
        except DragomanError as error:
            on_error(error)
            return False
        if not self.live.seeded:
            self.live.seed(rows, self._orders.store.fills.of_day(as_of), as_of)
        try:
            await self._begin_wallets(timeout_s)
        except DragomanError as error:
            on_error(error)  # the first comparison begins with what there is then
        return True

    async def _begin_wallets(self, timeout_s: float) -> None:
        """Read balances where positions are such, at a moment at which no fill came."""
        for _ in range(_TRIES):
            if self._wallets.begun or not self._in_wallets:
                return
            rows = held_in_wallets(self.live.rows())
            balances = await self._balances(timeout_s)
            if _quantities(rows) == _quantities(held_in_wallets(self.live.rows())):
                self._wallets.begin(balances, rows)

    async def _balances(self, timeout_s: float) -> list[Balance]:
        session = self._session
        return await session.run(session.adapter.balances(session.ctx), timeout_s=seconds("timeout_s", timeout_s))

    async def _opening(self, timeout_s: float) -> tuple[int, list[Position]]:
        """Read positions for the opening; where they tell nothing of the day's trades, between two equal sets of fills.

        There the opening is the net less the fills, and a fill that the stream left out would become part of it.
        """
        as_of = self._session.ctx.now_ns
        rows = await self.positions(timeout_s=timeout_s)
        for _ in range(_TRIES):
            if all(row.day_buy_quantity is not None for row in rows):
                break
            await self._orders.refresh(timeout_s=timeout_s)
            known, as_of = self._orders.store.fills.all(), self._session.ctx.now_ns
            rows = await self.positions(timeout_s=timeout_s)
            if self._orders.store.fills.all() == known:
                break
        return as_of, rows

    async def adjust(self, adjustment: Adjustment) -> None:
        """Change live positions by what no fill explains; one told before (by its id) changes nothing.

        Where a journal is open it is durable before this returns, and there again after a restart. Processes that only
        read the account find it there.

        Raises
        ------
        UsageError
            It lacks what its kind needs, or its id names another one; or it is a split or bonus, positions were read
            since it took effect, and it does not say `as_of`.
        AccountBusy
            Another process writes to this account: say it there.
        Rejected
            It cannot be written down, so it does not count.
        """
        await self.changes.adjust(adjustment)

    async def converted(
        self,
        key: PositionKey,
        product: Product | str,
        quantity: Number,
        *,
        overnight: bool,
        ts: int | None = None,
    ) -> None:
        """Tell of a conversion that was made elsewhere; what `Client.convert` does is known already.

        Parameters
        ----------
        key : PositionKey
            Instrument, product and side, as `live.keys()` has them; words in place of members will do.
        product : Product or str
            What the units belong to now.
        quantity : number
            Signed as the position.
        overnight : bool
            Whether they were carried over, not traded today.
        ts : int, optional
            When, ns UTC; left out: now.

        Raises
        ------
        UsageError, AccountBusy, Rejected
            As `adjust`; also where there can be no such position, or no such quantity of it.
        """
        wanted, units = choice(Product, "product", product), exact("quantity", quantity)
        held, instrument = self._key(key)
        if instrument.lot_size and units % instrument.lot_size:
            name, lot = instrument.instrument_id, instrument.lot_size
            raise UsageError(
                f"quantity {units} of {name} is not a whole number of lots of {lot}",
                kind=ErrorKind.INVALID_QUANTITY,
            )
        await self.changes.convert(held, wanted, units, overnight=flag("overnight", overnight), ts=ts)

    def _key(self, key: PositionKey) -> tuple[PositionKey, Instrument]:
        """Read the key of a position as somebody wrote it. Raises UsageError."""
        if not isinstance(key, tuple) or len(key) != 3 or key[2] not in ("NET", "LONG", "SHORT"):
            raise UsageError(
                f"key {key!r} names no position", remedy="give (instrument id, product, 'NET'), as live.keys() has it"
            )
        instrument = self._master.resolve(key[0])
        return (instrument.instrument_id, choice(Product, "key[1]", key[1]), key[2]), instrument

    async def positions(self, *, timeout_s: float = 10.0) -> list[Position]:
        """Return net positions, quantities in units."""
        session = self._session
        rows = await session.run(session.adapter.positions(session.ctx), timeout_s=seconds("timeout_s", timeout_s))
        return [self._units.from_wire(row, self._master.get(row.instrument_id)) for row in rows]

    async def holdings(
        self, *, haircuts: Mapping[str, Decimal] | None = None, timeout_s: float = 10.0
    ) -> list[LiveHolding]:
        """Return holdings at the newest marks of their instruments: value, profit, what can be sold, collateral.

        Parameters
        ----------
        haircuts : mapping, optional
            Fractions in [0, 1] by instrument, ISIN or collateral type; what has none has no collateral value here.
        timeout_s : float
        """
        session = self._session
        features = session.adapter.capabilities.features
        session.adapter.capabilities.require("holdings", session.adapter.name)
        rows = await session.run(session.adapter.holdings(session.ctx), timeout_s=seconds("timeout_s", timeout_s))
        return [
            live_holding(
                row,
                self.live.mark(row.instrument_id),
                haircut=haircut_of(row, haircuts or {}),
                needs_authorisation=bool(features.get("authorise_holdings")),
            )
            for row in rows
        ]

    async def margins(self, *, timeout_s: float = 10.0) -> dict[Segment, Margin]:
        """Return margins by segment; asking the result for a segment that is not there is a UsageError."""
        session = self._session
        rows = await session.run(session.adapter.margins(session.ctx), timeout_s=seconds("timeout_s", timeout_s))
        return Margins({row.segment: row for row in rows})

    async def check(self, *, timeout_s: float = 10.0) -> list[Discrepancy]:
        """Read orders, trades and positions and return where positions differ from the sum of today's fills.

        Meaningful at rest: an order that fills between the readings shows as a difference that the next call no longer
        has.
        """
        await self._orders.refresh(timeout_s=timeout_s)
        return await self.differences(timeout_s=timeout_s)

    async def differences(self, *, timeout_s: float = 10.0) -> list[Discrepancy]:
        """The same, with orders and trades as they are known: only positions are read, and balances that are such.

        Once the live positions have their opening they are what is compared, conversions, adjustments, average prices
        and realised profits included. Before that it is the sums of the day's fills, and the opening is read here.
        """
        as_of = self._session.ctx.now_ns
        positions = await self.positions(timeout_s=timeout_s)
        self._orphans()
        if self.live.seeded:
            await self.changes.read()  # another process may have converted, or been told of, something meanwhile
            found = self.live.compare(positions, skip=self._in_wallets)
            return found + await self._look_at_wallets(timeout_s)
        today = self._orders.store.fills.of_day(as_of)
        found = compare(positions, self.of_positions(net_positions(today)))
        if not self._orders.stale and all(row.day_buy_quantity is not None for row in positions):
            self.live.seed(positions, today, as_of)
            await self._begin_wallets(timeout_s)
        return found

    async def _look_at_wallets(self, timeout_s: float) -> list[Discrepancy]:
        """Compare balances with positions that are such; read only where there is one."""
        if not self._in_wallets or not held_in_wallets(self.live.rows()):
            return []
        if not self._wallets.begun:
            await self._begin_wallets(timeout_s)
            return []
        balances = await self._balances(timeout_s)
        seen = self._wallets.look(balances, self.live.rows())
        self.live.short(seen.short)
        return list(seen.differing)

    def _orphans(self) -> None:
        """Say which fills wait for an order nobody has reported."""
        for fill in self._orders.store.orphan_fills:
            self.live.orphan(fill)

    @property
    def _in_wallets(self) -> tuple[Product, ...]:
        """Products that are balances and no positions at this broker."""
        return (Product.CASH,) if self._session.adapter.capabilities.features.get("balances") else ()

    def of_positions(self, nets: dict[PositionKey, NetPosition]) -> dict[PositionKey, NetPosition]:
        """Leave out what was bought or sold for cash where the broker keeps a wallet: it is a balance, no position."""
        wallets = self._in_wallets
        return {key: net for key, net in nets.items() if key[1] not in wallets} if wallets else nets
