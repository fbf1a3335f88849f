"""The orders of an account whose broker gives each change an id of its own, with exits that wait for an entry.

`LinkedOrders` sends and changes them, releases the legs of what was filled, ends what excludes each other, moves
trailing stops, and tells of everything once (`LinkedOrders.tell`). Words and records are the broker's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Generic

from dragoman.emulator.links import Chain, Link, NameT, Phase, Told
from dragoman.emulator.venue.types import (
    ZERO,
    OrderState,
    VenueEvent,
    VenueFill,
    VenueProtocol,
    VenueRejectError,
)
from dragoman.model import OrderStatus, Pending


class LinkedOrders(Generic[NameT]):
    """Base of a broker's order desk: all orders of one account."""

    def __init__(self, venue: VenueProtocol, account: str) -> None:
        self._venue = venue
        self._account = account
        self._seen = 0
        self._before: dict[str, OrderState] = {}
        self._chains: dict[str, Chain[NameT]] = {}  # by every id
        self._by_client: dict[str, Chain[NameT]] = {}
        self._by_venue: dict[str, Chain[NameT]] = {}

    # -- what a broker says ------------------------------------------------------------------------------------------

    def tell(
        self, told: Told, chain: Chain[NameT], link: Link, state: OrderState, fill: VenueFill | None = None
    ) -> None:
        """Hear what happened to one of the ids of an order; `fill` with `Told.FILLED`."""
        raise TypeError(f"{type(self).__name__} does not define tell")

    def adopt(self, state: OrderState) -> Chain[NameT]:
        """Return a chain for an order that was placed past this interface, as by another terminal of the account."""
        raise TypeError(f"{type(self).__name__} does not define adopt")

    # -- what there is -----------------------------------------------------------------------------------------------

    def all(self) -> Sequence[Chain[NameT]]:
        """Return every order, oldest first."""
        return list(dict.fromkeys(self._chains.values()))

    def get(self, order_id: str) -> Chain[NameT]:
        """Return an order by any of its ids. Raises LookupError."""
        return self._chains[order_id]

    def by_client(self, name: str) -> tuple[Chain[NameT], Link]:
        """Return an order and which of its ids the client gave this name. Raises LookupError."""
        chain = self._by_client[name]
        return chain, next(link for link in chain.every if link.client_order_id == name)

    def taken(self, name: str) -> bool:
        """Say whether a client used this name before."""
        return name in self._by_client

    def state(self, chain: Chain[NameT]) -> OrderState:
        """Return how an order stands, of one that is held or never came to the exchange what stands in for it."""
        state = chain.fate or self._venue.order(self._account, chain.venue_id)
        if state is None:
            raise LookupError(f"order {chain.link.order_id} is not at the exchange")
        return state

    def idle(self, chain: Chain[NameT]) -> bool:
        """Say whether an order lives and nothing is under way with it."""
        state = self.state(chain)
        return not state.status.terminal and state.pending is Pending.NONE

    def held(self, instrument_id: str) -> Decimal:
        """Return the signed position in an instrument."""
        found = (one.quantity for one in self._venue.positions(self._account) if one.instrument_id == instrument_id)
        return sum(found, ZERO)

    def fills(self, chain: Chain[NameT], link: Link, state: OrderState) -> Iterator[tuple[VenueFill, Decimal]]:
        """Yield the fills of an id up to a state, each with what the id had filled with it."""
        if not chain.venue_id or link.phase in (Phase.ASKED, Phase.REFUSED):
            return
        total, most = ZERO, state.filled_quantity if link.top is None else min(link.top, state.filled_quantity)
        for fill in self._venue.fills(self._account, chain.venue_id):
            total += fill.quantity
            if link.base < total <= most:
                yield fill, total - link.base

    def every_fill(self) -> list[tuple[VenueFill, Chain[NameT], Link, Decimal, Decimal]]:
        """Return all fills, oldest first: with the id each is shown under, what that had filled, and what was left."""
        found = []
        for chain in self.all():
            state = self.state(chain)
            for link in chain.links:
                size = (link.top or state.order.quantity) - link.base
                rows = self.fills(chain, link, state)
                found += [(fill, chain, link, total, max(size - total, ZERO)) for fill, total in rows]
        return sorted(found, key=lambda row: (row[0].ts, row[0].trade_id))

    def named(self, venue_id: str) -> str:
        """Return the id in force of an order of the exchange."""
        return self._by_venue[venue_id].link.order_id

    def named_fill(self, wanted: VenueFill) -> tuple[str, Decimal]:
        """Return under which id a fill of the exchange is shown, and what that id had filled with it."""
        chain = self._by_venue[wanted.order_id]
        state = self.state(chain)
        for link in chain.links:
            for fill, total in self.fills(chain, link, state):
                if fill.trade_id == wanted.trade_id:
                    return link.order_id, total
        raise LookupError(f"fill {wanted.trade_id} is shown under no id")

    # -- requests ----------------------------------------------------------------------------------------------------

    def send(self, chain: Chain[NameT], exits: Sequence[Chain[NameT]], now_ns: int, *, exclusive: bool = False) -> None:
        """Queue an order and keep its exits.

        Parameters
        ----------
        exclusive : bool
            The exits do not wait for a fill of `chain`: they go at once, and whichever trades ends the others.

        Raises
        ------
        VenueRejectError
            Then none of them is in any book.
        """
        chain.venue_id = self._venue.submit(self._account, chain.order, now_ns)
        self._by_venue[chain.venue_id] = chain
        self._keep(chain)
        for leg in exits:
            self._keep(leg)
            leg.siblings = [one for one in (chain, *exits) if one is not leg and (exclusive or one is not chain)]
            if exclusive:
                chain.siblings.append(leg)
                self._release(leg, now_ns)
            else:
                leg.parent = chain
                chain.legs.append(leg)

    def hold(self, chain: Chain[NameT], now_ns: int) -> Chain[NameT]:
        """Make an order one that is not at the exchange yet."""
        chain.fate = OrderState(
            order_id="", account=self._account, order=chain.order, status=OrderStatus.ACCEPTED, ts_created=now_ns
        )
        chain.link.phase = Phase.HELD
        return chain

    def change(self, chain: Chain[NameT], order_id: str, name: str, now_ns: int, **changes: Any) -> Link:
        """Queue a change under a new id, which is in force once the exchange has made it.

        Parameters
        ----------
        name : str
            The client's name of it.
        changes
            As `VenueProtocol.modify` takes them; a quantity counts from 0 under the new id.

        Raises
        ------
        VenueRejectError
        """
        filled = self.state(chain).filled_quantity
        if "quantity" in changes:
            changes["quantity"] += filled
        terms = replace(self.state(chain).order, **changes)
        self._venue.modify(self._account, chain.venue_id, now_ns, **changes)
        chain.waiting = Link(order_id, name, now_ns, Phase.ASKED, replaces=chain.link, base=filled, terms=terms)
        self._chains[order_id] = self._by_client[name] = chain
        return chain.waiting

    def withdraw(self, chain: Chain[NameT], now_ns: int) -> None:
        """Cancel an order; one that is held ends at once. Raises VenueRejectError."""
        if chain.fate is not None:
            self._end(chain, chain.fate, OrderStatus.CANCELED, now_ns)
        else:
            self._venue.cancel(self._account, chain.venue_id, now_ns)

    # -- time --------------------------------------------------------------------------------------------------------

    def poll(self, now_ns: int) -> None:
        """Move what trails, tell what happened at the exchange, and do what follows from it."""
        for chain in self.all():
            self._pull(chain, now_ns)
        for event in self._venue.events(self._account, self._seen):
            self._seen = event.sequence
            state = event.order
            chain = self._by_venue.get(state.order_id) or self._adopted(state)
            before = self._before.get(state.order_id)
            self._before[state.order_id] = state
            self._hear(chain, before, event)
            if state.status.terminal:
                self._follow(chain, state, now_ns)

    def _keep(self, chain: Chain[NameT]) -> None:
        self._chains[chain.link.order_id] = self._by_client[chain.link.client_order_id] = chain

    def _adopted(self, state: OrderState) -> Chain[NameT]:
        chain = self.adopt(state)
        chain.venue_id = state.order_id
        self._by_venue[state.order_id] = chain
        self._keep(chain)
        return chain

    def _pull(self, chain: Chain[NameT], now_ns: int) -> None:
        if chain.trail is None or not chain.venue_id:
            return
        state, side = self.state(chain), chain.order.side
        waits = state.status is OrderStatus.TRIGGER_PENDING and state.pending is Pending.NONE
        if waits and chain.trail.moved(side, self._venue.market(chain.order.instrument_id).last_price):
            self._venue.modify(self._account, chain.venue_id, now_ns, trigger_price=chain.trail.trigger(side))

    def _release(self, leg: Chain[NameT], now_ns: int) -> None:
        """Send an exit to the exchange; what it refuses ends the exit."""
        assert leg.fate is not None
        leg.link.phase = Phase.IN_FORCE
        try:
            leg.venue_id = self._venue.submit(self._account, leg.order, now_ns)
        except VenueRejectError as refused:
            self._end(leg, leg.fate, OrderStatus.REJECTED, now_ns, refused.text)
            return
        leg.fate = None
        self._by_venue[leg.venue_id] = leg

    def _end(self, chain: Chain[NameT], fate: OrderState, status: OrderStatus, now_ns: int, why: str = "") -> None:
        chain.link.phase = Phase.IN_FORCE
        fate.status, fate.ts_updated, fate.reject_text = status, now_ns, why or None
        self.tell(Told.ENDED, chain, chain.link, fate)

    def _follow(self, chain: Chain[NameT], state: OrderState, now_ns: int) -> None:
        """Do what the end of an order asks for: release its exits, or end what it was one of."""
        if state.status is OrderStatus.FILLED:
            for leg in filter(self.idle, chain.legs):
                self._release(leg, now_ns)
        ending = list(chain.siblings) if state.filled_quantity else []
        ending += chain.legs if state.status is not OrderStatus.FILLED else []
        for other in filter(self.idle, ending):
            self.withdraw(other, now_ns)

    def _hear(self, chain: Chain[NameT], before: OrderState | None, event: VenueEvent) -> None:
        after, fresh, link = event.order, chain.waiting, chain.link
        was = before.pending if before else Pending.NONE
        if before is None:
            self.tell(Told.RECEIVED, chain, link, after)
        if event.fill is not None:
            self.tell(Told.FILLED, chain, link, after, event.fill)
        elif after.status.terminal:
            self.tell(Told.ENDED, chain, link, after)
        if fresh and before and was is Pending.MODIFY and after.pending is not Pending.MODIFY:
            self._changed(chain, fresh, before, after)
        elif after.pending is Pending.MODIFY and was is Pending.NONE and fresh is not None:
            self.tell(Told.CHANGING, chain, link, after)
        elif after.pending is Pending.CANCEL and was is not Pending.CANCEL:
            self.tell(Told.CANCELING, chain, link, after)
        elif before is not None and before.status is OrderStatus.ACCEPTED and after.status in _WORKING:
            self.tell(Told.WORKING, chain, link, after)

    def _changed(self, chain: Chain[NameT], fresh: Link, before: OrderState, after: OrderState) -> None:
        """End a change: the new id is in force, or it was refused and the old one is."""
        old, chain.waiting = chain.link, None
        if after.order == before.order or after.status.terminal:
            fresh.phase, fresh.ended = Phase.REFUSED, after.ts_updated
            self.tell(Told.CHANGE_REFUSED, chain, old, after)
            self.tell(Told.REFUSED, chain, fresh, after)
            chain.links.insert(-1, fresh)
            return
        old.phase, old.terms, old.ended = Phase.REPLACED, before.order, after.ts_updated
        old.top, old.replaced_by = after.filled_quantity, fresh
        fresh.phase, fresh.terms, fresh.base = Phase.IN_FORCE, None, after.filled_quantity
        chain.links.append(fresh)
        self.tell(Told.CHANGED, chain, old, after)
        self.tell(Told.WORKING, chain, fresh, after)


_WORKING = (OrderStatus.OPEN, OrderStatus.TRIGGER_PENDING)
