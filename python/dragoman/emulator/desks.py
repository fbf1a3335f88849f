"""What the counters of a broker share: one account of a venue, under the broker's names and in its words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, Generic, TypeVar

from dragoman.emulator.app_emulator import AppSession
from dragoman.emulator.fees import Fees, fees
from dragoman.emulator.forms import Form
from dragoman.emulator.history import History, candle
from dragoman.emulator.listed import Listed
from dragoman.emulator.refusals import ApiError
from dragoman.emulator.resting_view import RestingView
from dragoman.emulator.statuses import StatusWords
from dragoman.emulator.sums import Worth, securities, worth
from dragoman.emulator.triggers import Leg, Resting, TriggerBook
from dragoman.emulator.updates import MarketChanges, OrderChanges
from dragoman.emulator.venue.types import OrderNeed, OrderState, VenueEvent, VenueOrder, VenueProtocol
from dragoman.emulator.views import FundsView, HoldingView, NeedView, OrderView, PositionView, QuoteView, TradeView
from dragoman.model import Product, Segment
from dragoman.plugin import ChargesTable

TableT = TypeVar("TableT", bound=Listed[Any])


class Desk(Generic[TableT]):
    """One account, as views that rows are written from.

    Class attributes
    ----------------
    errors : type of ApiError
    statuses : StatusWords
    """

    errors: ClassVar[type[ApiError]]
    statuses: ClassVar[StatusWords]

    def __init__(self, venue: VenueProtocol, names: TableT, account: str, seed: int = 1) -> None:
        self.venue, self.names, self.account, self.seed = venue, names, account, seed

    def past(self, named: Any) -> History:
        """Return the past of an instrument, drawn from the seed."""
        return History.of(self.seed, named.listing)

    def candles(
        self,
        named: Any,
        stretch: tuple[datetime, datetime],
        length: tuple[timedelta, timedelta],
        start: Callable[[datetime], object],
        now_ns: int,
        *,
        oi: bool,
    ) -> list[list[object]]:
        """Return the candles of one request as rows, none of the future.

        Parameters
        ----------
        stretch : (datetime, datetime)
            First and last.
        length : (timedelta, timedelta)
            Of one candle, and of the longest stretch.
        start : callable
            Writes when a candle opens.
        oi : bool
            Whether open interest is told.

        Raises
        ------
        StretchError
        """
        bars = self.past(named).stretch(*stretch, *length, now_ns)
        return [candle(bar, start(bar.start), oi=oi) for bar in bars]

    def worth(self) -> Worth:
        """Return all holdings together."""
        return worth(securities(self.venue, self.account))

    def order(self, state: OrderState, status: str | None = None) -> OrderView[Any]:
        """Return a state of an order under a status, by default the one it is shown under in the book."""
        named = self.names.by_id[state.order.instrument_id]
        return OrderView(state, status or self.statuses.now(state), named, self.account)

    def orders(self) -> list[OrderView[Any]]:
        return [self.order(state) for state in self.venue.orders(self.account)]

    def life(self, order_id: str) -> list[OrderView[Any]]:
        """Return every status an order was shown under."""
        states = self.statuses.history(self.venue.history(self.account, order_id))
        return [self.order(state, status) for state, status in states]

    def between(self, before: OrderState | None, after: OrderState) -> list[OrderView[Any]]:
        """Return what is shown of an order from one state to the next."""
        return [self.order(after, status) for status in self.statuses.between(before, after)]

    def trades(self, order_id: str | None = None) -> list[TradeView[Any]]:
        """Return the fills of an order, or of all."""
        book = {state.order_id: state for state in self.venue.orders(self.account)}
        fills = self.venue.fills(self.account, order_id)
        return [TradeView(fill, book[fill.order_id], self.names.by_id[fill.instrument_id]) for fill in fills]

    def positions(self, *, net: bool = True) -> list[PositionView[Any]]:
        """Return all positions, those that are closed too."""
        return [
            PositionView(one, self.venue.market(one.instrument_id), self.names.by_id[one.instrument_id], net=net)
            for one in self.venue.positions(self.account)
        ]

    def holdings(self) -> list[HoldingView[Any]]:
        held = securities(self.venue, self.account)
        return [HoldingView(one, self.names.by_id[one.holding.instrument_id]) for one in held]

    def funds(self, segment: Segment | None = None) -> FundsView:
        """Return the money of a segment, or of all together."""
        found = self.venue.funds(self.account)
        return FundsView(*(one for name, one in found.items() if segment in (None, name)))

    def quote(self, named: Any) -> QuoteView[Any]:
        return QuoteView(self.venue.market(named.instrument_id), named)

    def reckon(self, words: Any, forms: list[Form], *, positions: bool = True) -> tuple[list[NeedView[Any]], OrderNeed]:
        """Read orders that are not placed, and return what each would need, and all together."""
        named = [self.names.of(form) for form in forms]
        orders = [words.terms(form, one) for form, one in zip(forms, named, strict=True)]
        needs, together = self.needs(orders, positions=positions)
        return [NeedView(*row) for row in zip(forms, named, orders, needs, strict=True)], together

    def needs(self, orders: list[VenueOrder], *, positions: bool = True) -> tuple[list[OrderNeed], OrderNeed]:
        """Return what each order would need, and all together. Raises the broker's error of what the venue refuses."""
        with self.errors.refusing(self.names.by_id[orders[0].instrument_id]):
            each, together = self.venue.needs(self.account, orders, positions=positions)
        return list(each), OrderNeed(pledge=together)

    def fee(self, words: Any, form: Form, named: Any, price: Decimal, table: ChargesTable, now_ns: int) -> Fees:
        """Return what an order of a form costs at a price by the rates of the day. Raises FieldError.

        An order without a product is one that is delivered.
        """
        product = words.product_of(form, named) if form.get(words.product) else Product.DELIVERY
        units, side = named.units(form.integer(words.quantity)), words.side_of(form)
        turnover = units * price * named.instrument.multiplier
        return fees(table, named.instrument, product, side, units, turnover, table.day(now_ns))

    def move(self, named: Any, old: Product, new: Product, size: Decimal, *, overnight: bool) -> None:
        """Move a position, or part of it, to another product. Raises the broker's error."""
        with self.errors.refusing(named):
            self.venue.convert(self.account, named.instrument_id, old, new, size, overnight=overnight)


class TriggerDesk(Desk[TableT]):
    """Instructions that rest at the broker until a price is reached.

    Class attributes
    ----------------
    first : int
        Number of the first one.
    life_ns : int
    refusals : mapping of exception type to tuple
        What the broker says of `LookupError`, where there is none, and `ValueError`: wrong terms, or it is over.
    """

    first: ClassVar[int] = 1
    life_ns: ClassVar[int]
    refusals: ClassVar[Mapping[type[Exception], tuple[Any, ...]]]

    def __init__(self, venue: VenueProtocol, names: TableT, account: str) -> None:
        super().__init__(venue, names, account)
        self.book = TriggerBook(venue, account, self.life_ns, first=self.first)

    def shown(self, rest: Resting) -> RestingView[Any]:
        """Return an instruction as rows are written from it."""
        named = self.names.by_id[rest.instrument_id]
        return RestingView(rest, named, self.account, self.venue.market(rest.instrument_id))

    def since(self, ns: int) -> list[RestingView[Any]]:
        """Return what is active or was changed after `ns`, oldest first."""
        return [self.shown(rest) for rest in self.book.since(ns)]

    def act(
        self, method: str, number: int | None, read: Callable[[Resting | None], tuple[list[Leg], Decimal]], now_ns: int
    ) -> Resting:
        """Place, read (GET), change or delete an instruction.

        Parameters
        ----------
        read : callable
            The instruction as it is (None: a new one) -> its legs as they are asked for, and the price they lie around.
        """
        with self.errors.turning(self.refusals):
            if number is None:
                return self.book.place(*read(None), now_ns)
            if method == "GET":
                return self.book.get(number)
            rest = self.book.active(number)
            if method == "DELETE":
                self.book.delete(rest, now_ns)
            else:
                self.book.change(rest, *read(rest), now_ns)
            return rest


class StreamDesk(Desk[TableT]):
    """What the sockets of an app are told of: markets and orders, each change once.

    Parameters
    ----------
    session : AppSession
        Whose tokens open sockets; they end when those die.
    """

    def __init__(self, venue: VenueProtocol, names: TableT, session: AppSession) -> None:
        super().__init__(venue, names, session.user_id)
        self.session = session
        self._markets = MarketChanges(venue)
        self._orders = OrderChanges(venue, session.user_id)

    def dead(self, now_ns: int) -> Callable[[str], bool]:
        """Return whether a token is dead now."""
        return lambda token: self.session.dead(token, now_ns)

    def changed(self) -> Iterator[int]:
        """Yield the tokens of the instruments whose market changed since the last call."""
        return (self.names.by_id[name].token for name in self._markets.fresh() if name in self.names.by_id)

    def updates(self) -> Iterator[tuple[VenueEvent, Iterable[OrderView[Any]]]]:
        """Yield each of the account's events since the last call, and what is shown of the order."""
        for before, event in self._orders.events():
            yield event, self.between(before, event.order)
