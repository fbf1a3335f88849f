"""Asks the broker's margin calculator for the rates that are not known yet, a few at a time."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Final

from dragoman.errors import DragomanError
from dragoman.model import Instrument, OrderMargin, OrderRequest, OrderType, Side
from dragoman.portfolio.margin.rates import RateBook, RateOrigin, per_unit
from dragoman.portfolio.margin.rule import Group, Kind
from dragoman.portfolio.margin.state import State
from dragoman.portfolio.margin.tally import differing
from dragoman.portfolio.net import PositionKey

_NS: Final = 1_000_000_000
_MOST: Final = 10
_PAUSE_NS: Final = _NS
_HOLDS_NS: Final = 1800 * _NS
_AGAIN_NS: Final = 60 * _NS
_log = logging.getLogger("dragoman.portfolio")

Calculate = Callable[[Sequence[OrderRequest]], Awaitable[list[OrderMargin]]]


class Calculator:
    """What `rates` asks the broker.

    Parameters
    ----------
    calculate : callable
        The broker's calculator, which costs a request.
    """

    def __init__(
        self, rates: RateBook, calculate: Calculate, instrument: Callable[[PositionKey], Instrument | None]
    ) -> None:
        self._rates, self._calculate, self._instrument = rates, calculate, instrument
        self._asked: dict[PositionKey, int] = {}
        self._last_ns: int | None = None
        self._looked_ns: int | None = None
        self._looked: State = {}
        self.asked = self.failures = 0

    def wanted(self, state: State, now: int) -> list[tuple[PositionKey, OrderRequest]]:
        """Return what to ask now: rates that are guesses, and answers that are old.

        All positions are looked at once a second; in between only what changed since.
        """
        if self._last_ns is not None and now - self._last_ns < _PAUSE_NS:
            return []
        everything = self._looked_ns is None or now - self._looked_ns >= _PAUSE_NS
        keys = state.keys() if everything else differing(self._looked, state)
        self._looked = state
        if everything:
            self._looked_ns = now
        found = []
        for key in keys:
            held = state.get(key)
            if held is None:
                continue
            group = held.group
            asked = self._asked.get(key)
            if asked is not None and now - asked < _AGAIN_NS:
                continue
            told = self._rates.asked_ns(key)
            known = self._rates.origin(key) is not RateOrigin.NOTIONAL
            if group.kind.fixed or (known and (told is None or now - told < _HOLDS_NS)):
                continue
            request = self._request(key, group)
            if request is not None:
                found.append((key, request))
        return found[:_MOST]

    async def ask(self, wanted: Sequence[tuple[PositionKey, OrderRequest]], now: int) -> None:
        """Ask for them; what does not come is asked for again in a minute."""
        self._last_ns = now
        self._asked.update((key, now) for key, _ in wanted)
        self.asked += len(wanted)
        try:
            answers = await self._calculate([request for _, request in wanted])
        except DragomanError as error:
            self.failures += 1
            _log.debug("the margin calculator did not answer: %s", error)
            return
        for (key, request), answer in zip(wanted, answers, strict=False):
            instrument = self._instrument(key)
            if instrument is None or request.price is None or not answer.total.is_finite():
                continue
            kind = Kind.PREMIUM if request.side is Side.SELL and instrument.strike is not None else Kind.PLEDGED
            rate = per_unit(kind, answer.total, request.quantity, request.price, instrument.multiplier)
            if rate is not None:
                self._rates.told(key, rate, now)

    def _request(self, key: PositionKey, group: Group) -> OrderRequest | None:
        """Return the order to ask about: more of the position, or the first open order."""
        instrument = self._instrument(key)
        opening = next((order for order in group.orders if order.sure and order.price > 0), None)
        if instrument is None or (opening is None and not group.quantity):
            return None
        sign = 1 if group.quantity > 0 else -1
        units, price = abs(group.quantity), group.price
        if opening is not None and (not group.quantity or opening.sign == sign):
            sign, units, price = opening.sign, opening.quantity, opening.price
        if group.kind is Kind.PREMIUM and sign > 0:
            return None
        price, units = _on_grid(price, instrument.tick_size), _sized(units, instrument)
        if price <= 0 or units <= 0:
            return None
        return OrderRequest(
            instrument_id=key[0],
            side=Side.BUY if sign > 0 else Side.SELL,
            quantity=units,
            order_type=OrderType.LIMIT,
            price=price,
            product=key[1],
            position_side=key[2],
        )


def _on_grid(price: Decimal, tick: Decimal) -> Decimal:
    return price // tick * tick if tick else price


def _sized(units: Decimal, instrument: Instrument) -> Decimal:
    """Return as many units as may be asked about in one order."""
    most = instrument.freeze_quantity
    units = units if most is None else min(units, most)
    lot = instrument.lot_size
    return max(lot, units // lot * lot) if lot else units
