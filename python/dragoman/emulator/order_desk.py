"""Requests for orders: fields in a broker's words turned into venue orders, placed, changed and canceled.

A broker's desk says how its fields are called (`OrderWords`), adds its own checks (`OrderDesk.check`) and answers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any, ClassVar

from dragoman.emulator.chains import Chains, Follow, slices
from dragoman.emulator.desks import Desk, TableT
from dragoman.emulator.forms import Form
from dragoman.emulator.listed import ListingName
from dragoman.emulator.refusals import ApiError
from dragoman.emulator.stops import passed
from dragoman.emulator.venue.types import OrderState, VenueOrder, VenuePosition, VenueProtocol, VenueRejectError
from dragoman.emulator.views import OrderView, TradeView
from dragoman.model import OrderType, Product, Side, TimeInForce

BUY_SELL: Mapping[str, Side] = MappingProxyType({"BUY": Side.BUY, "SELL": Side.SELL})
MARKET_TYPES = (OrderType.MARKET, OrderType.STOP_MARKET)


@dataclass(frozen=True, kw_only=True)
class OrderWords:
    """How a broker's requests name an order's terms.

    Attributes
    ----------
    sides, types, products, validities : mapping
        The words that are taken -> what they mean.
    default_validity : str, optional
        Taken where none is given.
    keeps_at_zero : collection of str
        Fields of a change that say "as it is" with a 0.
    fixed : collection of str
        Fields that a change does not look at.
    """

    types: Mapping[str, OrderType]
    products: Mapping[str, Product]
    validities: Mapping[str, TimeInForce]
    sides: Mapping[str, Side] = field(default_factory=lambda: BUY_SELL)
    side: str = "transaction_type"
    type: str = "order_type"
    product: str = "product"
    validity: str = "validity"
    quantity: str = "quantity"
    disclosed: str = "disclosed_quantity"
    price: str = "price"
    trigger: str = "trigger_price"
    tag: str = "tag"
    default_validity: str | None = None
    keeps_at_zero: Collection[str] = ()
    fixed: Collection[str] = ()

    def side_of(self, form: Form) -> Side:
        return self.sides[form.choice(self.side, self.sides)]

    def product_of(self, form: Form, named: ListingName, field: str | None = None) -> Product:
        """Read a product, by default from the field of orders."""
        return self.products[form.choice(field or self.product, self.products)]

    def products_of(self, form: Form, named: ListingName, *fields: str) -> list[Product]:
        """Read several products, each from a field of its own: of a position that moves from one to the other."""
        return [self.product_of(form, named, field) for field in fields]

    def terms(self, form: Form, named: ListingName) -> VenueOrder:
        """Read an order that is not placed: of a calculator, a trigger, an alert. Raises FieldError."""
        kind = self.types[form.choice(self.type, self.types)]
        return VenueOrder(
            instrument_id=named.instrument_id,
            side=self.side_of(form),
            quantity=named.units(form.integer(self.quantity)),
            order_type=kind,
            product=self.product_of(form, named),
            price=form.number(self.price) if kind.has_price else None,
            trigger_price=form.number(self.trigger) if kind.has_trigger else None,
        )

    def order(self, form: Form, named: ListingName) -> VenueOrder:
        """Read an order with all its terms. Raises FieldError."""
        validity = self.validities[form.choice(self.validity, self.validities, default=self.default_validity)]
        shown = form.integer(self.disclosed, default=0)
        display = named.units(shown) if shown else None
        tag = form.get(self.tag)
        return replace(self.terms(form, named), time_in_force=validity, display_quantity=display, tag=tag)

    def changes(self, form: Form, order: VenueOrder, named: ListingName) -> dict[str, Any]:
        """Read what a request changes of `order`, as `VenueProtocol.modify` takes it. Raises FieldError."""
        form = Form({name: form.raw(name) for name in form.names if name not in self.fixed})
        told = form.get(self.type)
        kind = self.types[form.choice(self.type, self.types)] if told else None
        after, validity = kind or order.order_type, form.get(self.validity)
        return {
            "quantity": self._units(form, self.quantity, named),
            "price": self._price(form, self.price) if after.has_price else None,
            "trigger_price": self._price(form, self.trigger) if after.has_trigger else None,
            "order_type": kind,
            "time_in_force": self.validities[form.choice(self.validity, self.validities)] if validity else None,
            "display_quantity": self._units(form, self.disclosed, named),
        }

    def _units(self, form: Form, field: str, named: ListingName) -> Decimal | None:
        given = form.integer(field) if form.get(field) else None
        return None if given is None or (not given and field in self.keeps_at_zero) else named.units(given)

    def _price(self, form: Form, field: str) -> Decimal | None:
        if not form.get(field):
            return None
        return form.nonzero(field) if field in self.keeps_at_zero else form.number(field)


class OrderDesk(Desk[TableT]):
    """Order requests of one account.

    Class attributes
    ----------------
    words : OrderWords
    unknown : tuple
        The broker's error of an order that is not in the book: word and text.
    wrong_side : tuple
        Of a stop on the wrong side of the market; ``{side}``, ``{trigger}``, ``{last}`` and ``{beyond}``
        (lower or higher) stand for its terms.
    most_changes : tuple
        How many changes an order takes, None for any number; then the broker's error of one more: word and text.

    Attributes
    ----------
    chains : Chains
        What follows orders that become several; moved by its `poll`.
    """

    words: ClassVar[OrderWords]
    unknown: ClassVar[tuple[str, str]]
    wrong_side: ClassVar[tuple[str, str]]
    most_changes: ClassVar[tuple[Any, ...]] = (None,)

    def __init__(self, venue: VenueProtocol, names: TableT, account: str, seed: int = 1) -> None:
        super().__init__(venue, names, account, seed)
        self.chains = Chains(venue, account)
        self._changes: dict[str, int] = {}

    # -- what a broker says ------------------------------------------------------------------------------------------

    def check(self, form: Form, named: Any) -> None:
        """Raise the broker's error where an order breaks a rule of its own."""

    def protection(self, form: Form, named: Any) -> Decimal | None:
        """Return the percent an order at the market (`MARKET_TYPES`) may move, None where there is no such limit."""
        return None

    def moved_protection(self, form: Form, before: OrderType, after: OrderType, named: Any) -> Decimal | None:
        """Return the percent that a change leaves an order at the market, None where it stays as it was."""
        return self.protection(form, named) if after is not before else None

    def missing(self, order_id: str) -> ApiError:
        """Return the error of an order that is not in the book."""
        return self.errors(*self.unknown)

    def misplaced(self, side: Side, trigger: Decimal, last: Decimal) -> ApiError:
        """Return the error of a stop on the wrong side of the market."""
        word, text = self.wrong_side
        beyond = "lower" if side is Side.BUY else "higher"
        return self.errors(word, text.format(side=side.lower(), trigger=trigger, last=last, beyond=beyond))

    # -- requests ----------------------------------------------------------------------------------------------------

    def read(self, form: Form) -> tuple[Any, VenueOrder]:
        """Return the instrument and the order of a request. Raises FieldError and the broker's errors."""
        named = self.names.of(form)
        self.check(form, named)
        order = self.words.order(form, named)
        if order.order_type in MARKET_TYPES:
            order = replace(order, protection=self.protection(form, named))
        self._check_trigger(order, order.trigger_price)
        return named, order

    def submit(self, named: Any, order: VenueOrder, now_ns: int, *, sliced: bool = False) -> list[str | ApiError]:
        """Queue an order; `sliced`, one above the freeze quantity in parts, each with an id or an error of its own.

        Raises
        ------
        ApiError
            Where it is one order, and refused.
        """
        freeze = named.instrument.freeze_quantity
        if sliced and freeze and order.quantity > freeze:
            fates = slices(self.venue, self.account, order, freeze, named.instrument.lot_size, now_ns)
            return [self.errors.of(one, named) if isinstance(one, VenueRejectError) else one for one in fates]
        with self.errors.refusing(named):
            return [self.venue.submit(self.account, order, now_ns)]

    def begin(self, named: Any, order: VenueOrder, follow: Follow, now_ns: int) -> str:
        """Queue an order that others follow; return its id. Raises the broker's error where it is refused."""
        with self.errors.refusing(named):
            return self.chains.start(order, follow, now_ns)

    def submitted(self, named: Any, order: VenueOrder, now_ns: int, *, sliced: bool = False) -> list[str]:
        """Queue an order as `submit` does; return the ids of what was taken. Raises ApiError where the first is not."""
        fates = self.submit(named, order, now_ns, sliced=sliced)
        if isinstance(fates[0], ApiError):
            raise fates[0]
        return [one for one in fates if isinstance(one, str)]

    def find(self, order_id: str) -> OrderState:
        """Return an order of the book. Raises the broker's error where there is none."""
        state = self.venue.order(self.account, order_id)
        if state is None:
            raise self.missing(order_id)
        return state

    def life(self, order_id: str) -> list[OrderView[Any]]:
        return super().life(self.find(order_id).order_id)

    def trades(self, order_id: str | None = None) -> list[TradeView[Any]]:
        return super().trades(order_id and self.find(order_id).order_id)

    def change(self, state: OrderState, form: Form, now_ns: int) -> str:
        """Queue what a form changes of an order; return its id."""
        named, kind = self.names.by_id[state.order.instrument_id], state.order.order_type
        most, *over = self.most_changes
        made = self._changes.get(state.order_id, 0)
        self.errors.when(most is not None and made >= most, *over)
        told = self.words.changes(form, state.order, named)
        after = told["order_type"] or kind
        moved = self.moved_protection(form, kind, after, named) if after in MARKET_TYPES else None
        if told["trigger_price"] != state.order.trigger_price:
            self._check_trigger(state.order, told["trigger_price"])
        with self.errors.refusing(named):
            self.venue.modify(self.account, state.order_id, now_ns, **told, protection=moved)
        self._changes[state.order_id] = made + 1
        return state.order_id

    def end(self, state: OrderState, now_ns: int) -> str:
        """Queue the cancellation of an order; return its id."""
        with self.errors.refusing(self.names.by_id[state.order.instrument_id]):
            self.venue.cancel(self.account, state.order_id, now_ns)
        return state.order_id

    def leave(self, position: VenuePosition, now_ns: int, protection: Decimal | None = None) -> str:
        """Queue the market order that closes a position; return its id."""
        order = VenueOrder(
            instrument_id=position.instrument_id,
            side=Side.SELL if position.quantity > 0 else Side.BUY,
            quantity=abs(position.quantity),
            order_type=OrderType.MARKET,
            product=position.product,
            protection=protection,
        )
        with self.errors.refusing(self.names.by_id[position.instrument_id]):
            return self.venue.submit(self.account, order, now_ns)

    def _check_trigger(self, order: VenueOrder, trigger: Decimal | None) -> None:
        market = self.venue.market(order.instrument_id)
        if trigger is not None and passed(order.side, trigger, market):
            raise self.misplaced(order.side, trigger, market.last_price)
