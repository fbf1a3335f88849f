"""The life of orders.

::

    submit          +latency                +latency                trades, at any later time
    ACCEPTED  --->  OPEN              --->  in the book   --->  PARTIALLY_FILLED ...  FILLED
              --->  TRIGGER_PENDING   ...   last price reaches the trigger
                    TRIGGERED         --->  OPEN          --->  in the book
              --->  REJECTED (halted)

    modify    pending=MODIFY   --->  changed, or refused and as it was
    cancel    pending=CANCEL   --->  CANCELED, or FILLED where the fill was first

Every arrow is one latency. Only the trades of one moment, and the rest of an IOC or market order that is cancelled
after them, share a time. Each change is a new version: it is appended to the order's history and to the account's
events (kind FILL where a trade caused it, ORDER otherwise).

A modification that only shrinks the quantity keeps the place in the queue; any other goes through the gate again,
behind what is waiting, one latency later. An order that would trade with another of its own account is stopped there
and the rest of the incoming one is cancelled, as exchanges do to prevent self-trades.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from functools import partial

from dragoman.emulator.venue.accounts import Account
from dragoman.emulator.venue.commission import NOT_CHARGED, Commission, commission_of
from dragoman.emulator.venue.exchange import Exchange
from dragoman.emulator.venue.live_order import LiveOrder
from dragoman.emulator.venue.margin import to_decimal
from dragoman.emulator.venue.market import Market
from dragoman.emulator.venue.risk import TOUCHED, Ticket
from dragoman.emulator.venue.types import EventKind, OrderState, VenueEvent, VenueFill
from dragoman.errors import ErrorKind
from dragoman.model import OrderStatus, Pending, TimeInForce

Step = Callable[[int], None]


class Desk:
    """Takes orders, keeps the queue of what is due, and writes down what became of them.

    Parameters
    ----------
    exchange : Exchange
    latency_ns : int
    commissions : mapping
        What trades cost, by exchange segment; where none is named, nothing.
    """

    def __init__(self, exchange: Exchange, latency_ns: int, commissions: Mapping[str, Commission]) -> None:
        self._exchange = exchange
        self._latency = latency_ns
        self._commissions = commissions
        self._queue: list[tuple[int, int, Step]] = []
        self._scheduled = 0
        self._sequence = 0
        self._exchange_ids = 0

    # --- requests -------------------------------------------------------------------------------------------------

    def submit(self, account: Account, market: Market, ticket: Ticket, order_id: str, ts: int) -> None:
        """Queue a checked order."""
        state = OrderState(
            order_id=order_id, account=account.name, order=ticket.order, status=OrderStatus.ACCEPTED, ts_created=ts
        )
        order = LiveOrder(account, market, ticket, state)
        account.orders[order_id] = order
        held = account.held(market, ticket.order.product)
        held.orders[order_id] = order
        account.settle(held)
        self._record(order, ts)
        self._later(max(ts, ticket.order.not_before), partial(self._arrive, order))

    def modify(self, order: LiveOrder, ticket: Ticket, ts: int) -> None:
        """Queue a checked change; its margin is blocked at once, beside the order's own."""
        order.change = ticket
        order.state.pending = Pending.MODIFY
        self._settle(order)
        self._record(order, ts)
        self._later(ts, partial(self._apply_change, order, ticket))

    def cancel(self, order: LiveOrder, ts: int) -> None:
        """Queue a cancel."""
        order.state.pending = Pending.CANCEL
        self._record(order, ts)
        self._later(ts, partial(self._apply_cancel, order))

    def expire(self, order: LiveOrder, ts: int) -> None:
        """End a working order with its day, unless it is good till canceled."""
        if order.state.order.time_in_force is TimeInForce.GTC:
            return
        self._close(order, OrderStatus.EXPIRED, ts, "the day ended")

    # --- the queue ------------------------------------------------------------------------------------------------

    @property
    def due(self) -> int | None:
        """When the next queued step is due."""
        return self._queue[0][0] if self._queue else None

    def run_next(self) -> None:
        """Do the next queued step, at its time."""
        ts, _, step = heapq.heappop(self._queue)
        step(ts)

    def _later(self, ts: int, step: Step) -> None:
        self._scheduled += 1
        heapq.heappush(self._queue, (ts + self._latency, self._scheduled, step))

    def _next(self, order: LiveOrder, ts: int, step: Callable[[LiveOrder, int], None]) -> None:
        """Schedule a step that a later change or end of the order makes void."""
        order.turn += 1
        turn = order.turn

        def run(due: int) -> None:
            if order.turn == turn and not order.state.status.terminal:
                step(order, due)

        self._later(ts, run)

    # --- steps ----------------------------------------------------------------------------------------------------

    def _arrive(self, order: LiveOrder, ts: int) -> None:
        if order.state.status.terminal:
            return
        if order.market.halted:
            order.state.reject_kind = ErrorKind.MARKET_CLOSED
            self._close(order, OrderStatus.REJECTED, ts, f"trading in {order.market.instrument_id} is halted")
            return
        self._exchange_ids += 1
        order.state.exchange_order_id = f"{1100000000000000 + self._exchange_ids}"
        order.state.ts_exchange = ts
        self._stage(order, ts)

    def _stage(self, order: LiveOrder, ts: int) -> None:
        """Let an order that reached the exchange wait for its trigger or for its turn at the book."""
        if order.triggered:
            self._open(order, ts)
            return
        order.state.status = OrderStatus.TRIGGER_PENDING
        order.turn += 1
        self._record(order, ts)
        if self._reached(order):
            self._next(order, ts, self._trigger)
        else:
            order.market.stops[order.state.order_id] = order

    def _trigger(self, order: LiveOrder, ts: int) -> None:
        order.triggered = True
        order.state.status = OrderStatus.TRIGGERED
        self._record(order, ts)
        self._next(order, ts, self._open)

    def _open(self, order: LiveOrder, ts: int) -> None:
        order.state.status = OrderStatus.PARTIALLY_FILLED if order.filled_lots else OrderStatus.OPEN
        self._record(order, ts)
        self._next(order, ts, self._enter)

    def _enter(self, order: LiveOrder, ts: int) -> None:
        """Trade with the book; let the rest wait there, or cancel it."""
        market, exchange, state = order.market, self._exchange, order.state
        if market.halted:
            market.waiting[state.order_id] = order
            return
        exchange.refresh(market, ts)
        if state.order.post_only and market.book.volume(-order.sign, order.ticks):
            self._close(order, OrderStatus.CANCELED, ts, "it would have traded on arrival, and is post-only")
            return
        whole = state.order.time_in_force is TimeInForce.FOK
        if whole and market.book.volume(-order.sign, order.ticks) < order.left:
            self._close(order, OrderStatus.CANCELED, ts, "fill or kill")
            return
        _, self_trade = exchange.aggress(market, order.sign, order.ticks, order.left, ts, order)
        if state.status.terminal:
            return
        if self_trade:
            self._close(order, OrderStatus.CANCELED, ts, "stopped in front of an order of the same account")
        elif order.ticks is None:
            self._close(order, OrderStatus.CANCELED, ts, "no opposite order is left for a market order")
        elif state.order.time_in_force is TimeInForce.IOC:
            self._close(order, OrderStatus.CANCELED, ts, "immediate or cancel")
        else:
            order.resting = market.book.add(
                order.sign, order.ticks, order.left, account=order.account.name, owner=order
            )
            exchange.touch(market)

    def _apply_change(self, order: LiveOrder, ticket: Ticket, ts: int) -> None:
        state = order.state
        if state.status.terminal:
            return
        order.change = None
        if state.pending is Pending.MODIFY:
            state.pending = Pending.NONE
        if order.market.halted or ticket.lots < order.filled_lots or order.too_late(ticket):
            self._settle(order)
            self._record(order, ts)  # as it was: the exchange refused
            return
        shrinks = order.resting is not None and ticket.lots <= order.lots and ticket.ticks == order.ticks
        shrinks = shrinks and ticket.trigger == order.trigger
        shrinks = shrinks and ticket.order.time_in_force is state.order.time_in_force
        state.modified = True
        order.take(ticket)
        if order.left == 0:
            self._withdraw(order)
            self._close(order, OrderStatus.FILLED, ts, None)
        elif state.ts_exchange is None:  # still waits for the market to open
            self._settle(order)
            self._record(order, ts)
        elif shrinks:
            assert order.resting is not None
            order.market.book.reduce(order.resting, order.left)
            self._exchange.touch(order.market)
            self._settle(order)
            self._record(order, ts)
        else:
            self._withdraw(order)
            self._settle(order)
            self._stage(order, ts)

    def _apply_cancel(self, order: LiveOrder, ts: int) -> None:
        if not order.state.status.terminal:
            self._close(order, OrderStatus.CANCELED, ts, None)

    # --- what the exchange reports --------------------------------------------------------------------------------

    def filled(self, order: LiveOrder, ticks: int, lots: int, trade_id: str, ts: int, *, maker: bool) -> None:
        """Book a trade of an account's order, and take its commission."""
        state, market, account = order.state, order.market, order.account
        rates, charged = self._commissions.get(market.listing.instrument.exchange), NOT_CHARGED
        if rates is not None:
            charged = commission_of(rates, account, market, lots, ticks, buys=order.sign > 0, maker=maker)
        order.filled_lots += lots
        order.filled_value += lots * ticks
        state.filled_quantity = market.quantity(order.filled_lots)
        state.average_price = to_decimal(Fraction(order.filled_value, order.filled_lots) * Fraction(market.tick))
        done = order.left == 0
        state.status = OrderStatus.FILLED if done else OrderStatus.PARTIALLY_FILLED
        fill = VenueFill(
            trade_id=trade_id,
            order_id=state.order_id,
            exchange_order_id=state.exchange_order_id or "",
            account=account.name,
            instrument_id=market.instrument_id,
            side=state.order.side,
            product=state.order.product,
            quantity=market.quantity(lots),
            price=market.price(ticks),
            ts=ts,
            maker=maker,
            fee=charged.amount,
            fee_asset=charged.asset,
        )
        account.fills.append(fill)
        if done:
            self._finish(order)
        account.apply_fill(order, lots, ticks)
        if charged.amount:
            account.charge(market, charged)
        self._record(order, ts, fill)

    def priced(self, market: Market, ts: int) -> None:
        """Send the stop orders on their way that the last price reached."""
        for order in [order for order in market.stops.values() if self._reached(order)]:
            del market.stops[order.state.order_id]
            self._next(order, ts, self._trigger)

    def resumed(self, market: Market, ts: int) -> None:
        """Let the orders go on that came to the book while it was halted, in their order."""
        for order in list(market.waiting.values()):
            self._next(order, ts, self._enter)
        market.waiting.clear()

    # --- inside ---------------------------------------------------------------------------------------------------

    def _reached(self, order: LiveOrder) -> bool:
        assert order.trigger is not None
        towards = -order.sign if order.state.order.order_type in TOUCHED else order.sign
        return towards * order.market.last >= towards * order.trigger

    def _withdraw(self, order: LiveOrder) -> None:
        """Take an order out of the book or the stops, and void its scheduled steps."""
        order.turn += 1
        order.market.stops.pop(order.state.order_id, None)
        order.market.waiting.pop(order.state.order_id, None)
        if order.resting is not None:
            order.market.book.remove(order.resting)
            order.resting = None
            self._exchange.touch(order.market)

    def _finish(self, order: LiveOrder) -> None:
        """Free what a finished order held."""
        self._withdraw(order)
        order.state.pending = Pending.NONE
        held = order.account.held(order.market, order.state.order.product)
        held.orders.pop(order.state.order_id, None)

    def _close(self, order: LiveOrder, status: OrderStatus, ts: int, text: str | None) -> None:
        state = order.state
        state.status = status
        if status is not OrderStatus.REJECTED:  # nothing of a rejected order was there to cancel
            state.canceled_quantity = order.market.quantity(order.left)
        state.reject_text = text
        self._finish(order)
        self._settle(order)
        self._record(order, ts)

    def _settle(self, order: LiveOrder) -> None:
        order.account.settle(order.account.held(order.market, order.state.order.product))

    def _record(self, order: LiveOrder, ts: int, fill: VenueFill | None = None) -> None:
        state = order.state
        state.version += 1
        state.ts_updated = ts
        copy = replace(state)
        order.history.append(copy)
        self._sequence += 1
        kind = EventKind.ORDER if fill is None else EventKind.FILL
        order.account.events.append(VenueEvent(kind, self._sequence, copy, fill))
