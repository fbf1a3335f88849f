"""Orders: what is asked for, what became of it, and each fill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal

from dragoman._core import copied, copying
from dragoman.errors import Effect, ErrorKind, Retry
from dragoman.model.enums import (
    Liquidity,
    OrderStatus,
    OrderType,
    Origin,
    Pending,
    PriceBasis,
    Product,
    QuantityUnit,
    Side,
    TimeInForce,
    Variety,
)
from dragoman.model.shown import Shown

ZERO = Decimal(0)
NO_EXTRAS: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest(Shown):
    """An order to place. Quantities are units of the thing priced, prices exact decimals.

    Attributes
    ----------
    client_order_id : str
        Ours, unique for the life of the journal; minted by the client where the caller gives none.
    market_protection : Decimal or None
        Percent a market order may move through the book; None asks for the broker's own automatic protection.
    deadline_ns : int or None
        Runtime monotonic ns: drop instead of sending later.
    extras : mapping
        Broker-namespaced, for example ``{"examplebroker": {"slices": 5}}``; an adapter reads its own key only.
    """

    instrument_id: str
    side: Side
    quantity: Decimal
    order_type: OrderType = OrderType.MARKET
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    product: Product = Product.DELIVERY
    variety: Variety = Variety.REGULAR
    client_order_id: str = ""
    wire_id: str = ""
    account_id: str = ""
    notional: Decimal | None = None
    display_quantity: Decimal | None = None
    market_protection: Decimal | None = None
    trailing_offset: Decimal | None = None
    trailing_offset_type: Literal["PRICE", "BASIS_POINTS", "TICKS"] | None = None
    expire_time_ns: int | None = None
    position_side: Literal["NET", "LONG", "SHORT"] = "NET"
    post_only: bool = False
    reduce_only: bool = False
    extended_hours: bool = False
    leverage: Decimal | None = None
    self_trade_prevention: str | None = None
    tag: str | None = None
    algo_id: str | None = None
    on_late: Literal["keep", "cancel"] = "keep"
    deadline_ns: int | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderChange:
    """What to change on a working order; None leaves a field as it is. `quantity` is the new total."""

    quantity: Decimal | None = None
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    order_type: OrderType | None = None
    time_in_force: TimeInForce | None = None
    display_quantity: Decimal | None = None
    market_protection: Decimal | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reject:
    """Why an order, or a request about one, was refused."""

    kind: ErrorKind
    text: str
    code: str | None = None
    effect: Effect = Effect.NONE
    retry: Retry = Retry.NEVER
    remedy: str = ""


_NO_IDS = frozenset(("", "None", "null"))


def is_order_id(value: object) -> bool:
    """Whether `value` can be a broker's order id: text that names something, also not an absent value as text."""
    return isinstance(value, str) and value.strip() not in _NO_IDS


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one leg of a mutating request came to.

    A flow returns one, or a list in request order; a request answered with several orders returns a parent whose
    `children` each have their own outcome and whose `effect` is ``"PARTIAL"`` where they differ.
    """

    effect: Literal["ACCEPTED", "REJECTED", "UNKNOWN", "PARTIAL"]
    order_id: str | None = None
    reject: Reject | None = None
    replaces: str | None = None
    children: tuple[Outcome, ...] = ()
    raw: Any = field(default=None, compare=False, repr=False)

    @classmethod
    def accepted(cls, order_id: str, *, replaces: str | None = None, raw: Any = None) -> Outcome:
        """The broker took it; `replaces` names the id a replace chain left behind.

        Raises
        ------
        ValueError
            `order_id` is no id. Raised in a flow it makes the outcome unknown: the broker may have taken the order.
        """
        if not isinstance(order_id, str) or order_id.strip() in _NO_IDS:  # as `is_order_id`
            raise ValueError(f"order_id is {order_id!r}, expected the broker's id as text")
        return copied(_TAKEN, order_id=order_id, replaces=replaces, raw=raw)

    @classmethod
    def rejected(cls, reject: Reject, *, raw: Any = None) -> Outcome:
        return cls("REJECTED", reject=reject, raw=raw)

    @classmethod
    def unknown(cls, reject: Reject) -> Outcome:
        return cls("UNKNOWN", reject=reject)

    @classmethod
    def parent(cls, order_id: str | None, children: tuple[Outcome, ...], *, raw: Any = None) -> Outcome:
        """Fold children into one: their common effect, or PARTIAL."""
        effects = {child.effect for child in children}
        effect = effects.pop() if len(effects) == 1 else "PARTIAL"
        return cls(effect, order_id, children=children, raw=raw)


_TAKEN = Outcome("ACCEPTED")
_ASKED: Final = {OrderType.LIMIT: OrderType.MARKET, OrderType.STOP_LIMIT: OrderType.STOP_MARKET}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order(Shown):
    """One order as it is known now: an immutable view, replaced when more is learnt.

    `order_id` is the broker's current id, `order_ids` every one it ever had. `status` is the last firm status,
    `pending` what is in flight beside it. Times are ns UTC.

    `status_is_firm` says whether a report of the broker named this status. An adapter sets it False where the broker's
    word tells only what is in flight, or that something changed: `status` is then the adapter's guess, which counts
    only until a report has named one. It is False as well for what was concluded from a reply alone.

    `unjournaled` says that a cancel of it left although it could not be written down first: after a restart nobody
    knows of that.

    `quantity_unit` says what the quantities count: UNITS, unless they could not be converted. LOTS: the instrument is
    missing from the master. UNVERIFIED: the broker's documents leave the segment open, see `settings.quantity_unit`.
    """

    instrument_id: str
    side: Side
    quantity: Decimal
    order_type: OrderType = OrderType.UNKNOWN
    status: OrderStatus = OrderStatus.UNKNOWN
    status_is_firm: bool = True
    raw_status: str = ""
    pending: Pending = Pending.NONE
    order_id: str = ""
    order_ids: tuple[str, ...] = ()
    exchange_order_id: str | None = None
    parent_order_id: str | None = None
    client_order_id: str = ""
    wire_id: str = ""
    broker: str = ""
    account_id: str = ""
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.UNKNOWN
    product: Product = Product.UNKNOWN
    variety: Variety = Variety.UNKNOWN
    position_side: Literal["NET", "LONG", "SHORT"] = "NET"
    display_quantity: Decimal | None = None
    market_protection: Decimal | None = None
    filled_quantity: Decimal = ZERO
    remaining_quantity: Decimal = ZERO
    canceled_quantity: Decimal = ZERO
    average_price: Decimal | None = None
    average_price_basis: PriceBasis = PriceBasis.BROKER
    last_price: Decimal | None = None
    last_quantity: Decimal | None = None
    reject: Reject | None = None
    status_text: str | None = None
    tag: str | None = None
    tags: tuple[str, ...] = ()
    version: int | None = None
    modified: bool = False
    origin: Origin = Origin.EXTERNAL
    placed_by: str = ""
    ts_created: int | None = None
    ts_submitted: int | None = None
    ts_accepted: int | None = None
    ts_triggered: int | None = None
    ts_event: int | None = None
    ts_recv: int | None = None
    ts_closed: int | None = None
    complete_as_of: int | None = None
    quantity_unit: QuantityUnit = QuantityUnit.UNITS
    unjournaled: bool = False
    raw: Any = field(default=None, compare=False, repr=False)

    @property
    def is_open(self) -> bool:
        return self.status.working

    @property
    def asked_type(self) -> OrderType:
        """What was asked for: brokers that protect an order at the market work it, and tell it, as one with a limit."""
        return self.order_type if self.market_protection is None else _ASKED.get(self.order_type, self.order_type)

    if TYPE_CHECKING:

        def but(self, **changes: Any) -> Order:
            """Return a copy with `changes`."""
            ...

    else:
        but = copying


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill(Shown):
    """One execution. A synthetic one stands for quantity the broker counts but has not itemised yet.

    `quantity_unit` as in `Order`.
    """

    trade_id: str
    order_id: str
    instrument_id: str
    side: Side
    quantity: Decimal
    price: Decimal
    client_order_id: str = ""
    exchange_order_id: str | None = None
    product: Product = Product.UNKNOWN
    position_side: Literal["NET", "LONG", "SHORT"] = "NET"
    exchange: str = ""
    broker: str = ""
    account_id: str = ""
    liquidity: Liquidity = Liquidity.NONE
    fee: Decimal | None = None
    fee_currency: str | None = None
    ts_event: int | None = None
    ts_recv: int | None = None
    is_synthetic: bool = False
    correction_of: str | None = None
    quantity_unit: QuantityUnit = QuantityUnit.UNITS
    raw: Any = field(default=None, compare=False, repr=False)
