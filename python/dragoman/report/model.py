"""What a report of a day says: plain numbers, each in one place, from which tables and plots are drawn.

Times are ns UTC. Whatever costs is positive: an order that bought dearer, or sold cheaper, than it is compared with.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from dragoman.model import Charges, LivePosition, Margin, OrderStatus, OrderType, PnL, Product, Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that was learnt of an order, or done with it; `source` is the journal's word for how."""

    ts_recv: int
    source: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLine:
    """One order that something was known of on the day, as it was known at the end of it.

    Attributes
    ----------
    name, order_id : str
        Ours (`client_order_id`), and the broker's.
    asked_type : OrderType
        MARKET where the broker works a protected order at the market as a LIMIT, which `order_type` says.
    exits : bool
        It was sent only to make a position smaller.
    ts_intent, ts_reply, ts_stream : int or None
        When its intent was written down, an answer came, and a stream told of it first; None where that was not on
        this day, or never.
    mark : Decimal or None
        The price known when it was sent; None where there was none, or it was old.
    reject_kind, reject_code, reject_text : str
        Why it was refused; "" where it was not.
    life : tuple of Step
    """

    name: str
    order_id: str
    instrument_id: str
    side: Side
    quantity: Decimal
    order_type: OrderType
    asked_type: OrderType
    product: Product
    status: OrderStatus
    origin: str
    price: Decimal | None
    trigger_price: Decimal | None
    filled_quantity: Decimal
    remaining_quantity: Decimal
    average_price: Decimal | None
    exits: bool
    mark: Decimal | None
    ts_intent: int | None
    ts_reply: int | None
    ts_stream: int | None
    reject_kind: str
    reject_code: str
    reject_text: str
    life: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FillLine:
    """One fill that counts. `limit` and `trigger` are those its order had then."""

    ts_event: int
    trade_id: str
    order_id: str
    name: str
    instrument_id: str
    side: Side
    product: Product
    quantity: Decimal
    price: Decimal
    mark: Decimal | None
    limit: Decimal | None
    trigger: Decimal | None
    is_synthetic: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Slippage:
    """What the fills of one order cost against prices known before, per unit and in money.

    Attributes
    ----------
    average_price : Decimal
        Of these fills.
    mark, limit, trigger : Decimal or None
        The price known when the order was sent; those it named, weighted where they changed between fills.
    by_mark, by_limit, by_trigger : Decimal or None
        Per unit; above 0 is worse.
    basis_points : Decimal or None
        `by_mark` of `mark`.
    cost : Decimal or None
        `by_mark` in money.
    """

    name: str
    instrument_id: str
    side: Side
    quantity: Decimal
    average_price: Decimal
    mark: Decimal | None
    limit: Decimal | None
    trigger: Decimal | None
    by_mark: Decimal | None
    by_limit: Decimal | None
    by_trigger: Decimal | None
    basis_points: Decimal | None
    cost: Decimal | None
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """How long something took, in ns, from the times of the journal's records.

    Attributes
    ----------
    act : str
        place, modify or cancel.
    until : str
        reply or first stream event.
    p50, p90, p99 : int or None
        Nearest rank; None where there are too few to tell.
    curve : tuple of (float, int)
        Share of all, and the time within which it was done.
    """

    act: str
    until: str
    count: int
    least: int
    p50: int
    p90: int | None
    p99: int | None
    greatest: int
    curve: tuple[tuple[float, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """One refusal: of an order (`act` place), or of a change or cancel."""

    ts_recv: int
    name: str
    act: str
    instrument_id: str
    kind: str
    code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejections:
    """Refusals of one kind and code."""

    kind: str
    code: str
    count: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """An act of which nobody knew what became of it, and how that ended; open where `ts_closed` is None."""

    name: str
    act: str
    ts_recv: int
    ts_closed: int | None
    how: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleLine:
    """One rule that the day's records tell of; `ts_fired` is when it fired, once for each time."""

    rule_id: str
    kind: str
    instrument_id: str
    status: str
    reason: str
    ts_fired: tuple[int, ...]
    exited: Decimal
    orders: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KillLine:
    """The kill switch was engaged, or released."""

    ts_event: int
    engaged: bool
    who: str
    why: str
    flatten: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyLine:
    """What the account was worth at one moment."""

    ts_recv: int
    margins: tuple[Margin, ...]
    pnl: tuple[PnL, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Realised:
    """What the day had realised in one currency after a fill."""

    ts_event: int
    currency: str
    realised: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class DayReport:
    """One trading day of one account.

    Attributes
    ----------
    day : str
        Date at the exchange.
    time_zone : str
        The exchange's, IANA name.
    ts_start, ts_end : int
        The day, from its first ns up to the first of the next.
    ts_recv : int
        Up to when the report tells: the end of the day, or when it was made.
    records, unreadable : int
        Records of the day, and those of the journal that nobody can read.
    opening_known : bool
        Whether the journal says what positions the day began with; where not, positions are the day's fills alone.
    positions : tuple of LivePosition
        Counted anew from the fills, at the last marks that were kept.
    realised : tuple of Realised
        After each fill.
    charges : tuple of Charges
        By instrument, by the adapter's table.
    notes : tuple of str
        What the numbers rest on, where that is not all there should be.
    """

    day: str
    time_zone: str
    broker: str
    environment: str
    account_id: str
    ts_start: int
    ts_end: int
    ts_recv: int
    records: int
    unreadable: int
    opening_known: bool
    orders: tuple[OrderLine, ...]
    fills: tuple[FillLine, ...]
    slippage: tuple[Slippage, ...]
    latencies: tuple[Latency, ...]
    rejects: tuple[Rejections, ...]
    rejections: tuple[Rejection, ...]
    unknowns: tuple[Unknown, ...]
    rules: tuple[RuleLine, ...]
    kills: tuple[KillLine, ...]
    money: tuple[MoneyLine, ...]
    positions: tuple[LivePosition, ...]
    totals: tuple[PnL, ...]
    realised: tuple[Realised, ...]
    charges: tuple[Charges, ...]
    damage: tuple[str, ...]
    notes: tuple[str, ...]
