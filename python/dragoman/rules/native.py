"""Rules that live at the broker: its own triggers, or a stop order that rests there, where it has them.

What is at the broker is written down before it is asked for and again once its id is known, so that a next run finds
it. It is withdrawn when its position is gone: a trigger that rests on would open one the other way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Final

from dragoman.errors import DragomanError, ErrorKind, Rejected, UsageError
from dragoman.model import Gtt, GttLeg, GttRequest, GttStatus, Instrument, Order, OrderRequest, OrderType, Side
from dragoman.orders import OrderService
from dragoman.plugin import Adapter
from dragoman.portfolio import AccountServices
from dragoman.portfolio.net import PositionKey
from dragoman.rules.model import Bracket, Oco, PriceRule, Rule, StopLoss, TakeProfit, TrailingStop
from dragoman.rules.requests import exit_terms, limit_price
from dragoman.rules.terms import Leg, on_tick
from dragoman.rules.tracked import Tracked
from dragoman.session.secrets import redact

_WITHDRAW_S: Final = 3.0
_AT_MARKET: Final = Decimal(0)  # a trigger's MARKET order has no price
_log = logging.getLogger("dragoman.rules")
_ORDERS: Final = "order "
_STOPS: Final = {StopLoss: OrderType.STOP_MARKET, TrailingStop: OrderType.TRAILING_STOP_MARKET}
_LIVE: Final = (GttStatus.ACTIVE, GttStatus.TRIGGERED)
_OVER: Final = (GttStatus.CANCELED, GttStatus.DELETED, GttStatus.EXPIRED, GttStatus.REJECTED, GttStatus.DISABLED)


class NativeRules:
    """Places, finds and withdraws what stands for rules at the broker.

    Parameters
    ----------
    adapter : Adapter
    account : AccountServices
    orders : OrderService
    """

    def __init__(self, adapter: Adapter, account: AccountServices, orders: OrderService) -> None:
        self._adapter = adapter
        self._account = account
        self._orders = orders

    def kind_of(self, rule: Rule) -> str:
        """Return what a rule would be at this broker.

        Raises
        ------
        UsageError
            The broker has nothing of the kind, with its reason.
        """
        can, broker = self._adapter.capabilities, self._adapter.name
        trailing = isinstance(rule, TrailingStop) or (isinstance(rule, Oco) and rule.trailing)
        if isinstance(rule, StopLoss | TakeProfit | Oco) and not isinstance(rule, Bracket) and not trailing:
            support = can.features.get("gtt")
            if support:
                return "a trigger"
            reason = support.reason if support is not None else "it has no triggers"
        elif isinstance(rule, TrailingStop):
            reason = can.reasons.get(OrderType.TRAILING_STOP_MARKET.value, "it has no trailing orders")
        else:
            reason = f"a {rule.kind} is more than its triggers can say"
        wanted = _STOPS.get(type(rule))
        if wanted is not None and wanted in can.order_types:
            return f"a {wanted} order"
        raise UsageError(
            f"{broker} cannot keep a {rule.kind}: {reason}",
            kind=ErrorKind.NOT_SUPPORTED,
            broker=broker,
            remedy='use where="local"; nothing was armed',
        )

    async def place(
        self, tracked: Tracked, instrument: Instrument, size: Decimal, last: Decimal, timeout_s: float
    ) -> str:
        """Ask the broker to keep a rule; return what it calls it. Errors as `place_gtt`, or as `place`."""
        rule = tracked.rule
        assert isinstance(rule, PriceRule)
        quantity = _whole_lots(size, instrument) if rule.quantity is None else rule.quantity
        if self.kind_of(rule) != "a trigger":
            return await self._place_stop(tracked, instrument, quantity, timeout_s)
        kinds = (rule.send.order_type, OrderType.LIMIT, OrderType.MARKET)
        refused: UsageError | None = None
        for kind in dict.fromkeys(kinds):  # brokers' triggers take one of them, or both
            request = _gtt(tracked, instrument, quantity, last, kind)
            try:
                return await self._account.place_gtt(request, timeout_s=timeout_s)
            except UsageError as error:  # zero bytes were sent
                refused = error
        assert refused is not None
        raise refused

    async def _place_stop(self, tracked: Tracked, instrument: Instrument, quantity: Decimal, timeout_s: float) -> str:
        rule, leg = tracked.rule, tracked.legs[0]
        assert isinstance(rule, PriceRule)
        assert tracked.side is not None
        name = self._name(tracked)
        request = OrderRequest(
            instrument_id=instrument.instrument_id,
            side=tracked.side,
            quantity=quantity,
            order_type=_STOPS[type(rule)],
            product=rule.product,
            position_side=rule.position_side,
            client_order_id=name,
            trigger_price=None if leg.trails else leg.level,
            trailing_offset=_offset(leg),
            trailing_offset_type=None if not leg.trails else "BASIS_POINTS" if leg.percent else "PRICE",
            **exit_terms(instrument, rule.position_side, self._adapter),
        )
        await self._orders.placing(request, instrument, timeout_s, True, True, exits=True)
        return f"{_ORDERS}{name}"

    async def find(self, tracked: Tracked, others: Collection[str], among: Collection[GttStatus] = _LIVE) -> list[str]:
        """Return what stands for a rule at the broker, of which nobody knows what the broker calls it.

        Parameters
        ----------
        tracked : Tracked
        others : collection of str
            What stands for other rules.
        among : collection of GttStatus, optional
            Of triggers; left out, those that wait and those that have fired.
        """
        name = self._name(tracked)
        if self._orders.store.get(name) is not None:
            return [f"{_ORDERS}{name}"]
        return [one for one in await self.alike(tracked, among) if one not in tracked.strangers and one not in others]

    async def alike(
        self, tracked: Tracked, among: Collection[GttStatus] = _LIVE, *, timeout_s: float = 10.0
    ) -> list[str]:
        """Return the broker's triggers that look like a rule: same instrument, side and levels."""
        if self.kind_of(tracked.rule) != "a trigger" or tracked.key is None:
            return []
        levels = sorted(leg.level for leg in tracked.legs)
        return [
            one.gtt_id
            for one in await self._account.gtts(timeout_s=timeout_s)
            if one.instrument_id == tracked.key[0]
            and one.status in among
            and sorted(leg.trigger_price for leg in one.legs) == levels
            and all(leg.side is tracked.side for leg in one.legs)
        ]

    def _name(self, tracked: Tracked) -> str:
        return f"{tracked.rule_id}.broker.1"

    async def fate(self, tracked: Tracked) -> tuple[str, str]:
        """Return how what stands for a rule is: "working", "fired", or "over", and in the broker's words."""
        order = self._order(tracked)
        if order is not None:
            word = "working" if not order.status.terminal else "fired" if order.filled_quantity else "over"
            return word, f"order {order.order_id or order.client_order_id} is {order.status}"
        gtt: Gtt | None = next((one for one in await self._account.gtts() if one.gtt_id == tracked.broker_id), None)
        if gtt is None or gtt.status in _OVER:
            return "over", f"the broker's trigger {tracked.broker_id} is {gtt.status if gtt else 'gone'}"
        if gtt.status is GttStatus.TRIGGERED:
            return "fired", f"the broker's trigger {tracked.broker_id} has fired"
        return "working", f"the broker's trigger {tracked.broker_id} is {gtt.status}"

    async def withdraw(self, tracked: Tracked) -> None:
        """Take what stands for a rule from the broker. Errors as `cancel`, or as `delete_gtt`."""
        order = self._order(tracked)
        if order is None:
            await self._account.delete_gtt(tracked.broker_id)
        elif not order.status.terminal:
            await self._orders.cancel(order)

    async def delete(self, gtt_id: str) -> None:
        """Take a trigger from the broker. Errors as `delete_gtt`."""
        await self._account.delete_gtt(gtt_id)

    async def withdraw_all(self, rules: Sequence[Tracked]) -> None:
        """Withdraw what would exit more than is left once others have exited; waits three seconds at most."""

        async def one(tracked: Tracked) -> None:
            try:
                await self.withdraw(tracked)
            except DragomanError as error:
                _log.warning("rule %s is not withdrawn from the broker: %s", tracked.rule_id, redact(str(error)))

        tasks = [asyncio.ensure_future(one(tracked)) for tracked in rules]
        await asyncio.wait(tasks, timeout=_WITHDRAW_S)

    def _order(self, tracked: Tracked) -> Order | None:
        if not tracked.broker_id.startswith(_ORDERS):
            return None
        name = tracked.broker_id.removeprefix(_ORDERS)
        found = self._orders.store.get(name)
        if found is None:
            raise Rejected(f"nothing is known of order {name}", kind=ErrorKind.ORDER_NOT_FOUND)
        return found


def in_the_way(rules: Sequence[Tracked], key: PositionKey, side: Side) -> list[Tracked]:
    """Return the rules at the broker, by its triggers, that exit the same position."""
    return [
        rule
        for rule in rules
        if rule.broker_id
        and not rule.broker_id.startswith(_ORDERS)  # an order counts as one, and is seen
        and not rule.status.terminal
        and rule.key == key
        and rule.side is side
    ]


def _whole_lots(size: Decimal, instrument: Instrument) -> Decimal:
    """Return what an order can hold of a position: commissions in the coin bought leave less than a lot beside it."""
    lot = instrument.lot_size
    if lot and size < lot:
        raise UsageError(
            f"{instrument.instrument_id}: the position of {size} is less than a lot of {lot}",
            kind=ErrorKind.INVALID_QUANTITY,
            remedy="no order can close it; nothing was armed",
        )
    return size // lot * lot if lot else size


def _gtt(
    tracked: Tracked, instrument: Instrument, quantity: Decimal, last: Decimal, order_type: OrderType
) -> GttRequest:
    rule, side = tracked.rule, tracked.side
    assert isinstance(rule, PriceRule)
    assert side is not None
    at_market = order_type is OrderType.MARKET
    legs = [
        GttLeg(
            trigger_price=leg.level,
            side=side,
            quantity=quantity,
            price=_AT_MARKET if at_market else limit_price(leg.level, side, rule.send, instrument),
            order_type=order_type,
            product=rule.product,
        )
        for leg in sorted(tracked.legs, key=lambda leg: leg.level)
    ]
    return GttRequest(instrument_id=instrument.instrument_id, legs=tuple(legs), last_price=last)


def _offset(leg: Leg) -> Decimal | None:
    """Return a trailing distance as orders have it: basis points, or money in whole ticks, never more than asked."""
    if leg.trail is None:
        return None
    if leg.percent:
        return leg.trail * 100
    return max(on_tick(leg.trail, leg.step, down=True), leg.step) if leg.step else leg.trail
