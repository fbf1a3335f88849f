"""Words of the simulated exchange: what it lists, takes, answers and remembers.

Money and quantities are `Decimal`, in the exchange's own units (shares, contracts x lot). Times are ns UTC and come
from the caller; randomness comes from one seed. The venue knows nothing of any broker's protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from dragoman.errors import ErrorKind
from dragoman.model import Instrument, OrderStatus, OrderType, Pending, Product, Segment, Side, TimeInForce, Variety

if TYPE_CHECKING:
    from dragoman.emulator.venue.recorded import RecordedMove

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """An instrument on the venue, with what the simulation needs to trade it.

    Attributes
    ----------
    reference : Decimal
        Previous close: where the random walk starts, the middle of the circuit band.
    band : Decimal
        Circuit limits at reference x (1 -+ band).
    volatility : float
        Standard deviation of one market step, as a fraction of price.
    margin_rate : dict of Product to Decimal
        Fraction of value blocked per product (1 for delivery, less for intraday and derivatives); a product that is
        not there is refused.
    depth_levels, depth_quantity
        Shape of the market makers' book.
    grain : Decimal, optional
        What the makers and the crowd trade multiples of, where a lot is a small fraction; the lot otherwise.
    margined : bool
        Of markets without products: DELIVERY is bought and sold short at its `margin_rate` and carried as a position.
    oi : int
        Open interest at the start of the day, for derivatives.
    ordered_stops : bool
        The limit of a stop order has to lie at its trigger or beyond, as Indian exchanges want it.
    settles_at_once : bool
        Delivery orders are settled trade by trade: what was bought is held, what was sold is paid, without waiting for
        the day's end.
    """

    instrument: Instrument
    reference: Decimal
    segment: Segment = Segment.EQUITY
    band: Decimal = Decimal("0.10")
    volatility: float = 0.0004
    margin_rate: dict[Product, Decimal] = field(default_factory=dict)
    depth_levels: int = 5
    depth_quantity: Decimal = Decimal(100)
    grain: Decimal | None = None
    margined: bool = False
    oi: int = 0
    ordered_stops: bool = True
    settles_at_once: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueOrder:
    """What an account submits."""

    instrument_id: str
    side: Side
    quantity: Decimal
    order_type: OrderType
    product: Product
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    variety: Variety = Variety.REGULAR
    display_quantity: Decimal | None = None
    protection: Decimal | None = None  # percent; a MARKET order becomes a LIMIT at best opposite price -+ this
    tag: str | None = None
    post_only: bool = False  # canceled where it would trade on arrival
    not_before: int = 0
    """ns UTC before which it does not leave for the exchange: an order given while markets are closed."""
    extra: dict[str, object] = field(default_factory=dict)


class VenueRejectError(Exception):
    """Refused before it became an order: nothing is in any book."""

    def __init__(self, kind: ErrorKind, text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text


@dataclass(slots=True, kw_only=True)
class OrderState:
    """One order as the venue knows it; `VenueProtocol.history` keeps a copy of each state it went through."""

    order_id: str
    account: str
    order: VenueOrder
    status: OrderStatus
    pending: Pending = Pending.NONE
    exchange_order_id: str | None = None
    filled_quantity: Decimal = ZERO
    canceled_quantity: Decimal = ZERO
    average_price: Decimal = ZERO
    reject_kind: ErrorKind | None = None
    reject_text: str | None = None
    version: int = 0
    modified: bool = False
    ts_created: int = 0
    ts_exchange: int | None = None
    ts_updated: int = 0

    @property
    def remaining(self) -> Decimal:
        return self.order.quantity - self.filled_quantity - self.canceled_quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueFill:
    trade_id: str
    order_id: str
    exchange_order_id: str
    account: str
    instrument_id: str
    side: Side
    product: Product
    quantity: Decimal
    price: Decimal
    ts: int
    maker: bool = False
    fee: Decimal = ZERO
    fee_asset: str = ""


@dataclass(slots=True, kw_only=True)
class VenuePosition:
    """Net and day parts of one (account, instrument, product), exact. Values are price x quantity x multiplier."""

    instrument_id: str
    product: Product
    overnight_quantity: Decimal = ZERO
    overnight_price: Decimal = ZERO
    day_buy_quantity: Decimal = ZERO
    day_buy_value: Decimal = ZERO
    day_sell_quantity: Decimal = ZERO
    day_sell_value: Decimal = ZERO
    average_price: Decimal = ZERO  # of the net quantity, moving average cost; 0 when flat
    realised: Decimal = ZERO  # today's, at average cost
    unrealised: Decimal = ZERO  # of the net quantity at the last price

    @property
    def quantity(self) -> Decimal:
        return self.overnight_quantity + self.day_buy_quantity - self.day_sell_quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueHolding:
    """Securities of the account. What was sold out of them today is still in `quantity`.

    Of `quantity`, `t1_quantity` was bought on the day before and is not delivered yet, and `pledged_quantity` secures
    margin: the one may be sold, the other not.
    """

    instrument_id: str
    quantity: Decimal
    average_price: Decimal
    t1_quantity: Decimal = ZERO
    pledged_quantity: Decimal = ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderNeed:
    """What an order would tie up: `premium` is paid for options, `delivery` for securities, `pledge` only secured."""

    premium: Decimal = ZERO
    delivery: Decimal = ZERO
    pledge: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        return self.premium + self.delivery + self.pledge


@dataclass(slots=True, kw_only=True)
class VenueFunds:
    """One account's money in one segment; `blocked` is by open orders, `used` by positions.

    `used_premium` and `used_delivery` are parts of `used`. `unrealised` counts the positions whose loss comes out of
    free money: not delivery, not long options, which are paid in full.
    """

    segment: Segment
    opening: Decimal
    payin: Decimal = ZERO
    collateral_cash: Decimal = ZERO
    collateral_pledged: Decimal = ZERO
    blocked: Decimal = ZERO
    used: Decimal = ZERO
    used_premium: Decimal = ZERO
    used_delivery: Decimal = ZERO
    realised: Decimal = ZERO
    fees: Decimal = ZERO
    unrealised: Decimal = ZERO

    @property
    def net(self) -> Decimal:
        """Usable margin."""
        return (
            self.opening
            + self.payin
            + self.collateral_cash
            + self.collateral_pledged
            + self.realised
            - self.fees
            + min(self.unrealised, ZERO)
            - self.blocked
            - self.used
        )


@dataclass(slots=True, kw_only=True)
class MarketView:
    """The market of one instrument now."""

    instrument_id: str
    last_price: Decimal
    last_quantity: Decimal
    last_trade_ts: int
    average_price: Decimal
    volume: Decimal
    turnover: Decimal
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal  # previous close
    oi: int
    oi_high: int
    oi_low: int
    band_low: Decimal
    band_high: Decimal
    bids: Sequence[tuple[Decimal, Decimal, int]]  # price, quantity, orders; best first
    asks: Sequence[tuple[Decimal, Decimal, int]]
    total_buy_quantity: Decimal
    total_sell_quantity: Decimal
    ts: int


class EventKind(StrEnum):
    ORDER = "ORDER"
    FILL = "FILL"


@dataclass(frozen=True, slots=True)
class VenueEvent:
    """Something that happened to an account's order, in the order it happened; `order` is a copy of the state then."""

    kind: EventKind
    sequence: int
    order: OrderState
    fill: VenueFill | None = None


class VenueProtocol(Protocol):
    """The exchange, its accounts and its ledger.

    An order walks ACCEPTED -> (OPEN | TRIGGER_PENDING) -> ... one `latency` apart, as `advance` moves time: submitting
    only puts it into the queue, so a reply never implies a fate. Checks before the queue (unknown instrument, tick,
    lot, band, product, margin, holdings) raise `VenueRejectError`; risk checks after it end in REJECTED with a text.
    """

    def list(self, listing: Listing) -> None: ...

    def listings(self) -> Sequence[Listing]: ...

    def listing(self, instrument_id: str) -> Listing | None: ...

    def open_account(self, account: str, funds: dict[Segment, Decimal]) -> None: ...

    def play(self, moves: Sequence[RecordedMove], *, speed: float = 1.0) -> tuple[str, ...]: ...

    def advance(self, now_ns: int) -> None:
        """Move the market and every queue to `now_ns`; deterministic in the seed and the sequence of calls."""
        ...

    def submit(self, account: str, order: VenueOrder, now_ns: int) -> str:
        """Queue an order; return its broker order id."""
        ...

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
        """Queue a change; what the exchange makes of it shows in the order. Raises VenueRejectError where it is plain
        at once (no such order, already terminal, below filled quantity, off tick)."""
        ...

    def cancel(self, account: str, order_id: str, now_ns: int) -> None: ...

    def order(self, account: str, order_id: str) -> OrderState | None: ...

    def orders(self, account: str) -> Sequence[OrderState]: ...

    def history(self, account: str, order_id: str) -> Sequence[OrderState]: ...

    def fills(self, account: str, order_id: str | None = None) -> Sequence[VenueFill]: ...

    def positions(self, account: str) -> Sequence[VenuePosition]: ...

    def holdings(self, account: str) -> Sequence[VenueHolding]: ...

    def convert(
        self, account: str, instrument_id: str, old: Product, new: Product, quantity: Decimal, *, overnight: bool
    ) -> None:
        """Move part of a position to another product at its average cost: today's part, or what was carried over."""
        ...

    def needs(
        self, account: str, orders: Sequence[VenueOrder], *, positions: bool = True
    ) -> tuple[Sequence[OrderNeed], Decimal]:
        """Return what each order would need alone, and all together beside what is held, if positions count."""
        ...

    def funds(self, account: str) -> dict[Segment, VenueFunds]:
        """Per segment, marked at the last prices."""
        ...

    def ledger(self, account: str) -> dict[str, object]:
        """Recount the account from its fills: what orders, positions and money must agree with."""
        ...

    def market(self, instrument_id: str) -> MarketView: ...

    def changed(self, since: int) -> tuple[int, Sequence[str]]:
        """Return a cursor and the instruments whose market changed after the cursor `since` (0: all)."""
        ...

    def events(self, account: str, since: int) -> Sequence[VenueEvent]:
        """Return the account's events after sequence `since`, oldest first."""
        ...
