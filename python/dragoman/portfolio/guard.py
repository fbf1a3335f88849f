"""Puts the pre-trade checks in front of an account's orders, and feeds them what they compare with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final, Protocol

from dragoman.checks.pretrade import PreTrade
from dragoman.checks.risk import RiskLimits
from dragoman.checks.risk_exposure import Exposure
from dragoman.checks.sources import Sources
from dragoman.market import InstrumentMaster
from dragoman.model import Instrument, OrderRequest
from dragoman.orders import OrderService
from dragoman.portfolio.book import PositionBook
from dragoman.portfolio.net import PositionKey
from dragoman.portfolio.rows import DayMade, lacks
from dragoman.session.session import AccountSession

_PROFIT_NS: Final = 250_000_000
"""How long a sum of all positions' profit holds: it is asked for with every order."""
_ZERO: Final = Decimal(0)


class Margin(Protocol):
    """Knows margins; see `dragoman.checks.sources.Sources`."""

    def __call__(self, request: OrderRequest, instrument: Instrument) -> tuple[Decimal, Decimal] | None:
        """Return what an order needs and what is there, which it takes; None where either is not known."""
        ...

    def give_back(self, name: str) -> None:
        """Give back what was taken for an order that never left."""
        ...


class Guard:
    """The limits of one account, in force while there are any; without them the order path is not touched.

    Parameters
    ----------
    session : AccountSession
    master : InstrumentMaster
    orders : OrderService
    live : PositionBook

    Attributes
    ----------
    checks : PreTrade or None
        What is asked before each order.
    margin : Margin or None
        Set by whoever knows margins.
    """

    def __init__(
        self, session: AccountSession, master: InstrumentMaster, orders: OrderService, live: PositionBook
    ) -> None:
        self._session = session
        self._master = master
        self._orders = orders
        self._live = live
        self._mono_ns = session.runtime.clock.mono_ns
        self._ends: list[Callable[[], object]] = []
        self._followed: set[int] = set()
        self._profit: Decimal | None = None
        self._lacks = ""
        self._profit_ns = -_PROFIT_NS
        self.checks: PreTrade | None = None
        self.margin: Margin | None = None

    @property
    def limits(self) -> RiskLimits | None:
        """The limits in force."""
        return None if self.checks is None else self.checks.limits

    def set(self, limits: RiskLimits | None) -> None:
        """Put limits in force from the next order on, instead of those before; None checks nothing any more."""
        for end in self._ends:
            end()
        self._ends.clear()
        amender = self._orders.amender
        self.checks = self._orders.admit = self._orders.admit_triggered = amender.admit = None
        self._profit_ns = self._mono_ns() - _PROFIT_NS
        if limits is None or limits.empty:
            return
        exposure = Exposure(self._master.get, self.price, self._notional)
        for order in self._orders.store:
            exposure.see(order)
        self.checks = PreTrade(limits, exposure, self._sources(), broker=self._session.adapter.name)
        for key in self._live.keys():  # noqa: SIM118 - it is no mapping
            self._hold(exposure, key)
        self._ends.append(self._orders.store.listen(self.checks.on_order))
        self._ends.append(self._live.listen(lambda key: self._hold(exposure, key)))
        self._orders.admit, amender.admit = self.checks.check, self.checks.check_change
        self._orders.admit_triggered = self.checks.check_triggered

    def follow(self, instruments: Iterable[Instrument]) -> None:
        """Keep the last price of instruments that are streamed from here on: for limits, and for the journal."""
        for instrument in instruments:
            self._follow(self._master.handle(instrument))

    def _follow(self, handle: int) -> None:
        if handle not in self._followed:
            self._followed.add(handle)
            self._live.marking.follow(handle)

    def price(self, instrument: Instrument) -> Decimal | None:
        """Return the last price a stream told; None where it is old, or from before a gap."""
        handle = self._master.handle(instrument)
        price, _, stale = self._live.marking.read(handle)
        if stale:
            self._follow(handle)
            return None
        return price

    def _sources(self) -> Sources:
        calendar = self._session.calendar
        return replace(
            Sources(self._mono_ns),
            price=lambda instrument: self.price(instrument),
            profit=self.day_profit,
            profit_lacks=lambda: self._lacks,
            margin=lambda request, instrument: None if self.margin is None else self.margin(request, instrument),
            give_back=lambda name: None if self.margin is None else self.margin.give_back(name),
            open_for_s=lambda instrument: calendar.open_for_s((instrument.exchange,)),
            knows_day=lambda instrument: calendar.knows_today(instrument.exchange),
            positions=lambda: self._live.seeded,
        )

    def _hold(self, exposure: Exposure, key: PositionKey) -> None:
        """Take a position in; one instrument may be held in several products, and on both sides."""
        row = self._live.row(key)
        exposure.hold(
            key[0],
            _ZERO if row is None else row.quantity,
            product=key[1],
            position_side=key[2],
            price=None if row is None else row.last_price or row.average_price,
        )

    def _notional(self, name: str) -> Decimal | None:
        """Return the money an order of ours was placed for."""
        intent = self._orders.intents.get(name)
        return None if intent is None else intent.request.notional

    def day_profit(self) -> Decimal | None:
        """Return what the day made in the currency where that is least; None where it is not known of a position.

        Charges are taken off, as far as they are known, unless the limits say otherwise.
        """
        now = self._mono_ns()
        if now - self._profit_ns >= _PROFIT_NS:
            made = self._live.day_made()
            self._profit_ns = now
            known = not any(one.unmarked or one.unclosed for one in made.values())
            lacking = "" if known else lacks(made.values())
            self._lacks = f"{lacking}, without which the day's profit cannot be told," if lacking else ""
            self._profit = None if self._lacks else self._least(made)
        return self._profit

    def _least(self, made: Mapping[str, DayMade]) -> Decimal:
        limits = self.limits
        charged = self._live.day_charges() if limits is not None and limits.loss_after_charges else {}
        if len(made) == 1 and charged.keys() <= made.keys():  # an account has one currency, nearly always
            ((currency, one),) = made.items()
            return one.profit - charged.get(currency, _ZERO)
        profits = {currency: one.profit for currency, one in made.items()}
        return min((profits.get(one, _ZERO) - charged.get(one, _ZERO) for one in {*profits, *charged}), default=_ZERO)
