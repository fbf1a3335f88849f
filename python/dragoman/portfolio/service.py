"""Positions and margins of one account, read from the broker."""

from __future__ import annotations

from dragoman.checks import WireUnits, seconds
from dragoman.errors import UsageError
from dragoman.market import InstrumentMaster
from dragoman.model import Margin, Position, Product, Segment
from dragoman.orders import OrderService
from dragoman.portfolio.net import Discrepancy, NetPosition, PositionKey, compare, net_positions
from dragoman.session.session import AccountSession


class _Margins(dict[Segment, Margin]):
    """Margins by segment. A wrong word is answered with the right ones."""

    def __missing__(self, key: object) -> Margin:
        held = ", ".join(f"Segment.{segment.name} or {segment.value!r}" for segment in self) or "none"
        raise UsageError(f"margins: there is no segment {key!r}", remedy=f"this account has {held}")


class Portfolio:
    """Reads positions and margins and checks positions against the sum of fills."""

    def __init__(
        self, session: AccountSession, master: InstrumentMaster, units: WireUnits, orders: OrderService
    ) -> None:
        self._session = session
        self._master = master
        self._units = units
        self._orders = orders

    async def positions(self, *, timeout_s: float = 10.0) -> list[Position]:
        """Return net positions, quantities in units."""
        session = self._session
        rows = await session.run(session.adapter.positions(session.ctx), timeout_s=seconds("timeout_s", timeout_s))
        return [self._units.from_wire(row, self._master.get(row.instrument_id)) for row in rows]

    async def margins(self, *, timeout_s: float = 10.0) -> dict[Segment, Margin]:
        """Return margins by segment; asking the result for a segment that is not there is a UsageError."""
        session = self._session
        rows = await session.run(session.adapter.margins(session.ctx), timeout_s=seconds("timeout_s", timeout_s))
        return _Margins({row.segment: row for row in rows})

    async def check(self, *, timeout_s: float = 10.0) -> list[Discrepancy]:
        """Read orders, trades and positions and return where positions differ from the sum of today's fills.

        Meaningful at rest: an order that fills between the readings shows as a difference that the next call no longer
        has.
        """
        await self._orders.refresh(timeout_s=timeout_s)
        return await self.differences(timeout_s=timeout_s)

    async def differences(self, *, timeout_s: float = 10.0) -> list[Discrepancy]:
        """The same, with orders and trades as they are known: only positions are read."""
        positions = await self.positions(timeout_s=timeout_s)
        today = self._orders.store.fills.of_day(self._session.ctx.now_ns)
        return compare(positions, self.of_positions(net_positions(today)))

    def of_positions(self, nets: dict[PositionKey, NetPosition]) -> dict[PositionKey, NetPosition]:
        """Leave out what was bought or sold for cash where the broker keeps a wallet: it is a balance, no position."""
        if not self._session.adapter.capabilities.features.get("balances"):
            return nets
        return {key: net for key, net in nets.items() if key[1] is not Product.CASH}
