"""A small exchange with accounts: the other side of every emulator.

`Venue` puts the parts together and is their only public face: `exchange` (markets and trades), `orders` (the life of
orders), `accounts` and `margin` (money), `risk` (checks). It asks nobody for the time and draws from one seed, so the
same calls give the same everything.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from dragoman.emulator.venue import risk
from dragoman.emulator.venue.accounts import Account, HeldHolding
from dragoman.emulator.venue.commission import Commission
from dragoman.emulator.venue.exchange import Exchange, Tape
from dragoman.emulator.venue.ledger import recount
from dragoman.emulator.venue.live_order import LiveOrder
from dragoman.emulator.venue.market import Market
from dragoman.emulator.venue.needs import needs
from dragoman.emulator.venue.orders import Desk
from dragoman.emulator.venue.recorded import Playback, RecordedMove
from dragoman.emulator.venue.types import (
    ZERO,
    Listing,
    MarketView,
    OrderNeed,
    OrderState,
    VenueEvent,
    VenueFill,
    VenueFunds,
    VenueHolding,
    VenueOrder,
    VenuePosition,
)
from dragoman.errors import ErrorKind
from dragoman.model import OrderType, Pending, Product, Segment, Side, TimeInForce

_MOST_STEPS = (
    200  # market steps of one `advance`; a longer gap is jumped over, so that a long sleep costs no hour of walking
)


class Venue:
    """A simulated exchange; implements `VenueProtocol`.

    Parameters
    ----------
    seed : int
        What all randomness comes from.
    start_ns : int
        Time of the first moment, ns UTC.
    latency_ns : int
        Time between two stages of an order's life.
    step_ns : int
        Time between two steps of the simulated crowd.
    activity : float
        Part of the instruments that moves at each step, in (0, 1].
    quiet : bool
        No market makers and no crowd: only what callers place is in the books.
    commissions : mapping, optional
        What trades cost, by exchange segment; where none is named, nothing.

    Notes
    -----
    A listing with ``volatility=0`` keeps its makers' quotes where they are and prints no trades of its own.
    Times that callers pass may stand still but not fall: an earlier time counts as the latest one seen.
    """

    def __init__(
        self,
        seed: int,
        start_ns: int,
        *,
        latency_ns: int = 5_000_000,
        step_ns: int = 100_000_000,
        activity: float = 0.25,
        quiet: bool = False,
        commissions: Mapping[str, Commission] | None = None,
    ) -> None:
        if latency_ns < 0 or step_ns <= 0:
            raise ValueError(f"latency_ns is {latency_ns} and step_ns {step_ns}, expected at least 0 and above 0")
        self._now = start_ns
        self._step_ns = step_ns
        self._next_step = start_ns + step_ns
        self._exchange = Exchange(seed, quiet=quiet, activity=activity)
        self._desk = Desk(self._exchange, latency_ns, commissions or {})
        self._exchange.trader = self._desk
        self._accounts: dict[str, Account] = {}
        self._order_ids = 0
        self._playback: Playback | None = None

    # --- listings and time ----------------------------------------------------------------------------------------

    @property
    def now_ns(self) -> int:
        """The latest moment the venue has reached, ns UTC."""
        return self._now

    def list(self, listing: Listing) -> None:
        """List an instrument. Raises ValueError where its id is listed already."""
        self._exchange.add(listing, self._now)

    def listings(self) -> Sequence[Listing]:
        return tuple(market.listing for market in self._exchange)

    def listing(self, instrument_id: str) -> Listing | None:
        market = self._exchange.markets.get(instrument_id)
        return market.listing if market else None

    def advance(self, now_ns: int) -> None:
        """Move the market and every queue to `now_ns`, in order of time.

        At most 200 steps of the crowd are made at once: those of a longer gap before them are left out.
        """
        now = max(now_ns, self._now)
        missed = (now - self._next_step) // self._step_ns - _MOST_STEPS
        if not self._exchange.moves:
            missed += _MOST_STEPS + 1
        if missed > 0:
            self._next_step += missed * self._step_ns
        while True:
            due = self._desk.due
            recorded = self._playback.due if self._playback is not None else None
            if (
                self._playback is not None
                and recorded is not None
                and recorded <= min(now, self._next_step)
                and (due is None or recorded < due)
            ):
                self._now = max(self._now, recorded)
                self._playback.run_next(self._now)
            elif due is not None and due <= min(now, self._next_step):
                self._now = due
                self._desk.run_next()
            elif self._next_step <= now:
                self._now = self._next_step
                self._next_step += self._step_ns
                self._exchange.step(self._now)
            else:
                break
        self._now = now

    def roll_day(self, now_ns: int) -> None:
        """Start a new day.

        Working orders end EXPIRED; deliveries become holdings, paid for or credited; other positions are carried at
        average cost; realised profit becomes cash; each market's last price becomes its previous close.
        """
        self.advance(now_ns)
        for account in self._accounts.values():
            for order in account.orders.values():
                if not order.state.status.terminal:
                    self._desk.expire(order, self._now)
            account.roll_day()
        self._exchange.roll_day(self._now)

    # --- accounts -------------------------------------------------------------------------------------------------

    def open_account(self, account: str, funds: dict[Segment, Decimal]) -> None:
        """Open an account.

        Parameters
        ----------
        funds : dict of Segment to Decimal
            Opening cash. An instrument trades on the pool of its own segment, else on ALL, else on EQUITY.
        """
        if account in self._accounts:
            raise ValueError(f"account {account} is open already")
        self._accounts[account] = Account(account, funds)

    def pay_in(self, account: str, segment: Segment, amount: Decimal) -> None:
        """Add money to a pool during the day. Raises KeyError where the account has no such pool."""
        self._account(account).pools[segment].payin += Fraction(amount)

    def pay_fees_with(self, account: str, instrument_id: str | None) -> None:
        """Have an account's commissions come out of what it holds of a coin, named by its pair; None: no longer."""
        self._account(account).fee_coin = None if instrument_id is None else self._market(instrument_id)

    def set_holding(
        self,
        account: str,
        instrument_id: str,
        quantity: Decimal,
        average_price: Decimal,
        *,
        t1_quantity: Decimal = ZERO,
        pledged_quantity: Decimal = ZERO,
    ) -> None:
        """Put securities into an account; some may still be on their way, some pledged.

        Raises
        ------
        ValueError
            Where a quantity is not whole lots, or the parts are more than the whole.
        """
        market = self._market(instrument_id)
        lots, t1_lots, pledged = (market.to_lots(one) for one in (quantity, t1_quantity, pledged_quantity))
        if lots is None or t1_lots is None or pledged is None or min(lots, t1_lots, pledged) < 0:
            raise ValueError(f"{instrument_id}: {quantity} is not a multiple of the lot size {market.lot}")
        if t1_lots + pledged > lots:
            raise ValueError(f"{instrument_id}: {t1_quantity} and {pledged_quantity} are more than {quantity}")
        holdings = self._account(account).holdings
        holdings.pop(instrument_id, None)
        if lots:
            holdings[instrument_id] = HeldHolding(
                market, lots, lots * Fraction(average_price) / Fraction(market.tick), t1_lots, pledged
            )

    def convert(
        self, account: str, instrument_id: str, old: Product, new: Product, quantity: Decimal, *, overnight: bool
    ) -> None:
        """Move part of a position to another product at its average cost.

        Raises
        ------
        VenueRejectError
            No such product, more than that part of the position holds, or too little money for it.
        """
        owner, market = self._account(account), self._market(instrument_id)
        risk.check_tradable(owner, market, new, self._now)
        source = owner.positions.get((instrument_id, old))
        lots = risk.whole_lots(market, quantity)
        part = 0 if source is None else source.overnight_lots
        free = part if overnight or source is None else source.lots - part
        sign = 1 if free > 0 else -1
        if old is new or source is None or lots > abs(free) or lots > abs(source.lots) or sign * source.lots <= 0:
            when = "carried over" if overnight else "of today"
            risk.refuse(ErrorKind.INVALID_QUANTITY, f"{quantity} of {instrument_id} {when} cannot be converted")
        target = owner.positions.get((instrument_id, new))
        if overnight and target is not None and sign * target.lots < 0:
            risk.refuse(ErrorKind.BAD_REQUEST, f"{instrument_id} is held the other way round as {new}: close one first")
        if new is Product.DELIVERY and sign < 0 and lots > owner.sellable(market):
            risk.refuse(ErrorKind.INSUFFICIENT_HOLDINGS, f"Insufficient holdings of {instrument_id} to deliver")
        if not owner.convert(market, old, new, sign * lots, overnight=overnight):
            risk.refuse(ErrorKind.INSUFFICIENT_MARGIN, f"Insufficient funds to hold {instrument_id} as {new}")

    def needs(
        self, account: str, orders: Sequence[VenueOrder], *, positions: bool = True
    ) -> tuple[Sequence[OrderNeed], Decimal]:
        """Return what each order would need alone, and all together.

        Together, orders of one instrument and product offset each other, and (`positions`) what is held already.

        Raises
        ------
        VenueRejectError
            Where an order is not well formed.
        """
        return needs(self._account(account), [self._wanted(order) for order in orders], positions=positions)

    def _wanted(self, order: VenueOrder) -> tuple[Market, risk.Ticket]:
        market = self._market(order.instrument_id)
        self._exchange.refresh(market, self._now)
        return market, risk.ticket(market, order)

    def positions(self, account: str) -> Sequence[VenuePosition]:
        """Return what is held, came overnight or traded today."""
        return tuple(
            held.view()
            for held in self._account(account).positions.values()
            if held.lots or held.overnight_lots or held.buy_lots or held.sell_lots
        )

    def holdings(self, account: str) -> Sequence[VenueHolding]:
        return tuple(holding.view() for holding in self._account(account).holdings.values())

    def funds(self, account: str) -> dict[Segment, VenueFunds]:
        return {segment: pool.view() for segment, pool in self._account(account).pools.items()}

    def ledger(self, account: str) -> dict[str, object]:
        """Recount the account from its fills; see `dragoman.emulator.venue.ledger.recount`."""
        return recount(self._account(account), self._exchange.tape)

    # --- orders ---------------------------------------------------------------------------------------------------

    def submit(self, account: str, order: VenueOrder, now_ns: int) -> str:
        """Check an order and queue it.

        Returns
        -------
        str
            The broker's order id.

        Raises
        ------
        VenueRejectError
            Instrument, product, segment, type, quantity, price, holdings or margin refused it; no order exists.
        """
        self.advance(now_ns)
        owner = self._account(account)
        market = self._market(order.instrument_id)
        risk.check_tradable(owner, market, order.product, self._now)
        self._exchange.refresh(market, self._now)
        ticket = risk.ticket(market, order)
        risk.check_cover(owner, market, ticket)
        self._order_ids += 1
        order_id = f"{risk.exchange_date(self._now):%y%m%d}{self._order_ids:09d}"
        self._desk.submit(owner, market, ticket, order_id, self._now)
        return order_id

    def modify(
        self,
        account: str,
        order_id: str,
        now_ns: int,
        *,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
        trigger_price: Decimal | None = None,
        order_type: OrderType | None = None,
        time_in_force: TimeInForce | None = None,
        display_quantity: Decimal | None = None,
        protection: Decimal | None = None,
    ) -> None:
        """Check a change and queue it; `quantity` is the new total. What is None stays.

        Raises
        ------
        VenueRejectError
            No such order, one that is finished or has a request in flight, or a change that would be refused as a new
            order. The order is as it was.
        """
        self.advance(now_ns)
        live = self._working(account, order_id)
        state = live.state
        if state.pending is not Pending.NONE:
            text = f"order {order_id} cannot be modified while a {state.pending.lower()} is in flight"
            risk.refuse(ErrorKind.TOO_LATE_TO_MODIFY_OR_CANCEL, text)
        old = state.order
        wanted = replace(
            old,
            quantity=old.quantity if quantity is None else quantity,
            price=old.price if price is None else price,
            trigger_price=old.trigger_price if trigger_price is None else trigger_price,
            order_type=order_type or old.order_type,
            time_in_force=time_in_force or old.time_in_force,
            display_quantity=old.display_quantity if display_quantity is None else display_quantity,
            protection=old.protection if protection is None else protection,
        )
        self._exchange.refresh(live.market, self._now)
        ticket = risk.ticket(live.market, wanted)
        if ticket.lots < live.filled_lots:
            text = f"quantity {ticket.order.quantity} is below what order {order_id} filled: {state.filled_quantity}"
            risk.refuse(ErrorKind.INVALID_QUANTITY, text)
        if live.too_late(ticket):
            risk.refuse(ErrorKind.TOO_LATE_TO_MODIFY_OR_CANCEL, f"order {order_id} has triggered or traded already")
        risk.check_cover(live.account, live.market, ticket, replacing=order_id)
        self._desk.modify(live, ticket, self._now)

    def cancel(self, account: str, order_id: str, now_ns: int) -> None:
        """Queue a cancel; a fill that comes first stands.

        Raises
        ------
        VenueRejectError
            No such order, or one that is finished or being cancelled.
        """
        self.advance(now_ns)
        live = self._working(account, order_id)
        if live.state.pending is Pending.CANCEL:
            risk.refuse(ErrorKind.TOO_LATE_TO_MODIFY_OR_CANCEL, f"order {order_id} is being cancelled already")
        self._desk.cancel(live, self._now)

    def order(self, account: str, order_id: str) -> OrderState | None:
        live = self._account(account).orders.get(order_id)
        return replace(live.state) if live else None

    def orders(self, account: str) -> Sequence[OrderState]:
        return tuple(replace(live.state) for live in self._account(account).orders.values())

    def history(self, account: str, order_id: str) -> Sequence[OrderState]:
        live = self._account(account).orders.get(order_id)
        return tuple(live.history) if live else ()

    def fills(self, account: str, order_id: str | None = None) -> Sequence[VenueFill]:
        fills = self._account(account).fills
        return tuple(fills) if order_id is None else tuple(fill for fill in fills if fill.order_id == order_id)

    def events(self, account: str, since: int) -> Sequence[VenueEvent]:
        events = self._account(account).events
        return tuple(events[bisect_right(events, since, key=lambda event: event.sequence) :])

    # --- markets --------------------------------------------------------------------------------------------------

    def market(self, instrument_id: str) -> MarketView:
        """Return the market now.

        Raises
        ------
        VenueRejectError
            INSTRUMENT_NOT_FOUND.
        """
        market = self._market(instrument_id)
        self._exchange.refresh(market, self._now)
        return market.view(self._now)

    def changed(self, since: int) -> tuple[int, Sequence[str]]:
        return self._exchange.changed(since)

    def trades(self) -> Sequence[Tape]:
        """Return every trade in which an account took part: both sides, so that each fill has its counterparty."""
        return tuple(self._exchange.tape)

    # --- levers for tests and demonstrations ----------------------------------------------------------------------

    def calm(self) -> None:
        """Send the simulated crowd home: from now on markets move only by what callers do. The makers stay."""
        self._exchange.calm()

    def play(self, moves: Sequence[RecordedMove], *, speed: float = 1.0) -> tuple[str, ...]:
        """Let recorded moves drive their instruments from now on; return which. Others go on as before.

        The day of each begins at its first recorded price. After the last move its market stands still.
        """
        self._playback = Playback(self._exchange, moves, self._now, speed)
        return self._playback.driven

    def set_price(self, instrument_id: str, price: Decimal, *, quantity: Decimal | None = None) -> None:
        """Move a market to `price` now.

        Orders the price passes through are filled at their own prices. Then `quantity` (default: one lot) trades at
        `price`, first with orders that wait exactly there, and the makers quote around it.

        Raises
        ------
        VenueRejectError
            Price off tick or out of the band, quantity off lot, market halted.
        """
        market = self._running(instrument_id)
        ticks = risk.whole_ticks(market, price, "price")
        self._exchange.set_price(market, ticks, self._lots(market, quantity), self._now)

    def place_external(self, instrument_id: str, side: Side, quantity: Decimal, price: Decimal | None = None) -> int:
        """Enter an outside participant's order into the book now; it trades at once where it can.

        Parameters
        ----------
        price : Decimal, optional
            Limit; without one the order sweeps and what is left is dropped.

        Returns
        -------
        int
            Number for `cancel_external`.
        """
        market = self._running(instrument_id)
        ticks = None if price is None else risk.whole_ticks(market, price, "price")
        return self._exchange.place_external(market, side.sign, self._lots(market, quantity), ticks, self._now)

    def cancel_external(self, number: int) -> Decimal:
        """Take an outside order off the book; return the quantity that was still there."""
        return self._exchange.cancel_external(number)

    def halt(self, instrument_id: str) -> None:
        """Stop trading: new orders end REJECTED, resting ones wait, changes are refused, cancels work."""
        market = self._market(instrument_id)
        market.halted = True

    def resume(self, instrument_id: str) -> None:
        """Let trading in an instrument go on."""
        market = self._market(instrument_id)
        market.halted = False
        self._desk.resumed(market, self._now)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _account(self, account: str) -> Account:
        found = self._accounts.get(account)
        if found is None:
            risk.refuse(ErrorKind.PERMISSION_DENIED, f"there is no account {account!r}")
        return found

    def _market(self, instrument_id: str) -> Market:
        found = self._exchange.markets.get(instrument_id)
        if found is None:
            risk.refuse(ErrorKind.INSTRUMENT_NOT_FOUND, f"there is no instrument {instrument_id!r}")
        return found

    def _running(self, instrument_id: str) -> Market:
        market = self._market(instrument_id)
        if market.halted:
            risk.refuse(ErrorKind.MARKET_CLOSED, f"trading in {instrument_id} is halted")
        return market

    def _working(self, account: str, order_id: str) -> LiveOrder:
        live = self._account(account).orders.get(order_id)
        if live is None:
            risk.refuse(ErrorKind.ORDER_NOT_FOUND, f"there is no order {order_id!r} in account {account}")
        if live.state.status.terminal:
            text = f"order {order_id} is {live.state.status} already"
            risk.refuse(ErrorKind.TOO_LATE_TO_MODIFY_OR_CANCEL, text)
        return live

    @staticmethod
    def _lots(market: Market, quantity: Decimal | None) -> int:
        return 1 if quantity is None else risk.whole_lots(market, quantity)
