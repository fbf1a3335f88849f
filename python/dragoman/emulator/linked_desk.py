"""What requests for linked orders share: ids and clients' names, exits, what may be sold, records, what is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, ClassVar, TypeVar

from dragoman.emulator.link_view import LinkView
from dragoman.emulator.linked_orders import LinkedOrders
from dragoman.emulator.links import Chain, Link, Trail
from dragoman.emulator.listed import ListingName
from dragoman.emulator.lookup import Lookup
from dragoman.emulator.refusals import ApiError
from dragoman.emulator.rows import Table, write
from dragoman.emulator.unit_views import StakeView
from dragoman.emulator.venue.types import ZERO, OrderState, VenueOrder, VenueProtocol
from dragoman.model import OrderType, Side

NamedT = TypeVar("NamedT", bound=ListingName)


@dataclass(frozen=True, slots=True)
class ClientNames:
    """What a client may call an order: so many letters, once; the broker's errors (word, text) otherwise."""

    longest: int
    long: tuple[str, str]
    twice: tuple[str, str]


class LinkedDesk(LinkedOrders[NamedT]):
    """Base of a broker's requests.

    Class attributes
    ----------------
    errors : type of ApiError
    table : Table
        The record of an order, over `LinkView`.
    unknown : tuple
        The broker's error of an order that is not there: word and text, with ``{}`` for its id.
    no_stake, no_trail : tuple
        Of a position that is not there, and of a stop that trails by nothing, or twice: word and text.
    client_names : ClientNames

    Parameters
    ----------
    names : Lookup
    seed : int
        What ids are made from.
    """

    errors: ClassVar[type[ApiError]]
    table: ClassVar[Table]
    unknown: ClassVar[tuple[str, str]]
    no_stake: ClassVar[tuple[str, str]]
    no_trail: ClassVar[tuple[str, str]]
    client_names: ClassVar[ClientNames]

    def __init__(self, venue: VenueProtocol, names: Lookup[NamedT], account: str, seed: int) -> None:
        super().__init__(venue, account)
        self.venue, self.names, self.account, self.seed = venue, names, account, seed
        self._made = 0
        self._news: list[tuple[str, Mapping[str, Any]]] = []

    def identity(self, number: int) -> str:
        """Return the `number`-th id, from 1."""
        raise TypeError(f"{type(self).__name__} does not define identity")

    def new_id(self) -> str:
        self._made += 1
        return self.identity(self._made)

    def client_name(self, given: str | None) -> str:
        """Return what a client calls an order, or an id. Raises the broker's error where that name may not be."""
        name, rules = given or self.new_id(), self.client_names
        self.errors.check((len(name) > rules.longest, *rules.long), (self.taken(name), *rules.twice))
        return name

    def known(self, order_id: str) -> Chain[NamedT]:
        """Return an order by any of its ids. Raises the broker's error where there is none."""
        word, text = self.unknown
        with self.errors.turning({LookupError: (word, text.format(order_id))}):
            return self.get(order_id)

    def current(self, chain: Chain[NamedT], order_id: str) -> bool:
        """Say whether an id is the one in force of an order that lives, with nothing under way."""
        return chain.link.order_id == order_id and self.idle(chain)

    def withdraw_all(self, now_ns: int) -> Sequence[Chain[NamedT]]:
        """Cancel everything; return what lives, whether or not it can be canceled now."""
        living = [chain for chain in self.all() if not self.state(chain).status.terminal]
        for chain in filter(self.idle, living):
            self.withdraw(chain, now_ns)
        return living

    def between(self, after: int, until: int, *, newest_first: bool) -> list[tuple[Chain[NamedT], Link]]:
        """Return every id that was made between two times, ns UTC, by time."""
        found = [(chain, link) for chain in self.all() for link in chain.every if after < link.created < until]
        return sorted(found, key=lambda one: one[1].created, reverse=newest_first)

    # -- orders ------------------------------------------------------------------------------------------------------

    def chain(
        self,
        named: NamedT,
        order: VenueOrder,
        kept: dict[str, Any],
        name: str | None,
        now_ns: int,
        trail: Trail | None = None,
    ) -> Chain[NamedT]:
        """Make an order under its first id and the client's name of it, which may not be in use."""
        return Chain(named, order, kept, [Link(self.new_id(), self.client_name(name), now_ns)], trail=trail)

    def exit(
        self,
        parent: Chain[NamedT],
        side: Side,
        kind: OrderType,
        price: Decimal | None,
        trigger: Decimal | None,
        kept: dict[str, Any],
        now_ns: int,
    ) -> Chain[NamedT]:
        """Make an order that is held: for the quantity, the product and the time of its parent."""
        order = replace(
            parent.order,
            side=side,
            order_type=kind,
            price=price if kind.has_price else None,
            trigger_price=trigger if kind.has_trigger else None,
            tag=None,
            not_before=0,
        )
        link = Link(self.new_id(), self.new_id(), now_ns)
        return self.hold(Chain(parent.named, order, parent.fields | kept, [link]), now_ns)

    def free(self, named: NamedT, side: Side) -> Decimal:
        """Return how much of a position may still be traded away on a side, beside the orders that do so already."""
        same = [self.state(chain) for chain in self.all() if chain.named is named and chain.venue_id]
        working = sum((one.remaining for one in same if not one.status.terminal and one.order.side is side), ZERO)
        return max(-side.sign * self.held(named.instrument_id) - working, ZERO)

    def stakes(self) -> list[StakeView[NamedT]]:
        """Return all positions that are open."""
        return [
            StakeView(one, self.venue.market(one.instrument_id), self.names.by_id[one.instrument_id])
            for one in self.venue.positions(self.account)
            if one.quantity
        ]

    def stake(self, name: str) -> StakeView[NamedT]:
        """Return the position in what a name stands for. Raises the broker's error where there is none."""
        named = self.names.get(name)
        found = next((one for one in self.stakes() if one.named is named), None)
        return self.errors.found(found, *self.no_stake)

    def trail(self, named: NamedT, offset: Decimal | None, percent: Decimal | None) -> Trail:
        """Return what trails the market from now on, by one of both. Raises the broker's error otherwise."""
        self.errors.when((offset is None) == (percent is None), *self.no_trail)
        return Trail(self.venue.market(named.instrument_id).last_price, named.instrument.tick_size, offset, percent)

    def row(
        self, chain: Chain[NamedT], link: Link, *, state: OrderState | None = None, nested: bool = False
    ) -> dict[str, Any]:
        """Write an order under one of its ids, by default as it is now."""
        return write(self.table, LinkView(self, chain, link, state, nested=nested))

    # -- what is told ------------------------------------------------------------------------------------------------

    def note(self, word: str, record: Mapping[str, Any]) -> None:
        """Remember an event to be told."""
        self._news.append((word, record))

    def take_told(self) -> list[tuple[str, Mapping[str, Any]]]:
        """Return the events since the last call."""
        told, self._news = self._news, []
        return told
