"""What a client offers of the account: positions, margins, holdings, history, instructions that wait."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from dragoman.checks import Moment, Number
from dragoman.client_parts import ClientParts
from dragoman.model import (
    Balance,
    BasketMargin,
    Candle,
    Charges,
    Fill,
    Gtt,
    GttRequest,
    Holding,
    Instrument,
    Margin,
    OrderMargin,
    OrderRequest,
    Position,
    Product,
    Profile,
    Segment,
)
from dragoman.portfolio import Discrepancy


class AccountMethods(ClientParts):
    """The account's money and what it owns. `portfolio` and `account` do the work; `account` has more."""

    async def positions(self, *, timeout_s: float = 10.0) -> list[Position]:
        """Return net positions with P&L as the broker counts it."""
        self._check("positions")
        return await self.portfolio.positions(timeout_s=timeout_s)

    async def margins(self, *, timeout_s: float = 10.0) -> dict[Segment, Margin]:
        """Return margins by segment."""
        self._check("margins")
        return await self.portfolio.margins(timeout_s=timeout_s)

    async def check_positions(self, *, timeout_s: float = 10.0) -> list[Discrepancy]:
        """Return where positions differ from the sum of today's fills; empty at rest when all is well."""
        self._check("check_positions")
        return await self.portfolio.check(timeout_s=timeout_s)

    async def profile(self, *, timeout_s: float = 10.0) -> Profile:
        """Return who the account belongs to and what it is enabled for."""
        self._check("profile")
        return await self.account.profile(timeout_s=timeout_s)

    async def holdings(self, *, timeout_s: float = 10.0) -> list[Holding]:
        """Return securities held."""
        self._check("holdings")
        return await self.account.holdings(timeout_s=timeout_s)

    async def balances(self, *, timeout_s: float = 10.0) -> list[Balance]:
        """Return the assets of the account's wallet, where the broker keeps one."""
        self._check("balances")
        return await self.account.balances(timeout_s=timeout_s)

    async def convert(
        self, position: Position, product: Product | str, quantity: Number | None = None, *, timeout_s: float = 10.0
    ) -> None:
        """Convert a position, or part of it, to another product; see `AccountServices.convert`."""
        self._check("convert")
        await self.account.convert(position, product, quantity, timeout_s=timeout_s)

    async def candles(
        self,
        name: str | Instrument,
        interval: str,
        start: Moment,
        end: Moment,
        *,
        continuous: bool = False,
        on_rows: Callable[[Sequence[Candle]], object] | None = None,
        on_progress: Callable[[int | None, int | None], object] | None = None,
        timeout_s: float = 600.0,
    ) -> list[Candle]:
        """Return candles, oldest first; see `AccountServices.candles`."""
        self._check("candles")
        return await self.account.candles(
            name,
            interval,
            start,
            end,
            continuous=continuous,
            on_rows=on_rows,
            on_progress=on_progress,
            timeout_s=timeout_s,
        )

    async def order_margin(self, orders: Iterable[OrderRequest], *, timeout_s: float = 10.0) -> list[OrderMargin]:
        """Return what each order would need."""
        self._check("order_margin")
        return await self.account.order_margin(orders, timeout_s=timeout_s)

    async def basket_margin(
        self, orders: Iterable[OrderRequest], *, consider_positions: bool = True, timeout_s: float = 10.0
    ) -> BasketMargin:
        """Return what the orders would need together."""
        self._check("basket_margin")
        return await self.account.basket_margin(orders, consider_positions=consider_positions, timeout_s=timeout_s)

    async def charges(self, fills: Iterable[Fill], *, timeout_s: float = 10.0) -> list[Charges]:
        """Return taxes and fees of fills."""
        self._check("charges")
        return await self.account.charges(fills, timeout_s=timeout_s)

    async def gtts(self, *, timeout_s: float = 10.0) -> list[Gtt]:
        """Return the account's good-till-triggered instructions."""
        self._check("gtts")
        return await self.account.gtts(timeout_s=timeout_s)

    async def place_gtt(self, request: GttRequest, *, timeout_s: float = 10.0) -> str:
        """Place a trigger; return its id. Errors as `place`."""
        self._check("place_gtt")
        return await self.account.place_gtt(request, timeout_s=timeout_s)

    async def modify_gtt(self, gtt_id: str, request: GttRequest, *, timeout_s: float = 10.0) -> str:
        """Replace all terms of a trigger."""
        self._check("modify_gtt")
        return await self.account.modify_gtt(gtt_id, request, timeout_s=timeout_s)

    async def delete_gtt(self, gtt_id: str, *, timeout_s: float = 10.0) -> str:
        """Delete a trigger."""
        self._check("delete_gtt")
        return await self.account.delete_gtt(gtt_id, timeout_s=timeout_s)
