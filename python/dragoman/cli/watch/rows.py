"""What the panes of the live screen show, as values: numbers as the client has them, nothing formatted.

Each row that hangs on data from outside says whether it is `stale`; whoever shows it marks that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from dragoman.model import OrderStatus, Pending, Product, RuleStatus, Segment, Side, Source
from dragoman.portfolio.net import PositionKey

Level = tuple[float, float, int]
"""Price, quantity, orders."""
Weight = Literal["info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Heading:
    """Whose screen it is. `killed` is the reason orders are stopped for, "" while they are not."""

    environment: str
    profile: str
    broker: str
    account: str
    trading: bool
    killed: str
    ts: int


@dataclass(frozen=True, slots=True)
class Ladder:
    """Depth of the chosen instrument, best level first. `why` says what is wrong with it, "" if nothing is."""

    instrument_id: str
    bids: Sequence[Level] = ()
    asks: Sequence[Level] = ()
    last: float | None = None
    decimals: int = 2
    stale: bool = True
    why: str = ""
    age_s: float | None = None


@dataclass(frozen=True, slots=True)
class PriceRow:
    """One instrument of the watch list. `change` is in percent of the previous close."""

    instrument_id: str
    last: Decimal | None
    change: float | None
    age_s: float | None
    stale: bool
    decimals: int = 2


@dataclass(frozen=True, slots=True)
class OrderRow:
    """One order and where it is in its life.

    `kind` is its type in words; `age_s` counts from when it was made to its end, or to now.
    """

    client_order_id: str
    order_id: str
    ts: int | None
    instrument_id: str
    side: Side
    quantity: Decimal
    filled: Decimal
    kind: str
    price: Decimal | None
    trigger_price: Decimal | None
    average: Decimal | None
    status: OrderStatus
    pending: Pending
    why: str
    age_s: int | None
    working: bool


@dataclass(frozen=True, slots=True)
class PositionRow:
    """One position, as `client.portfolio.live` has it."""

    key: PositionKey
    instrument_id: str
    product: Product
    quantity: Decimal
    average: Decimal | None
    mark: Decimal | None
    realised: Decimal | None
    unrealised: Decimal | None
    value: Decimal | None
    currency: str
    stale: bool


@dataclass(frozen=True, slots=True)
class TotalRow:
    """Profit in one currency; `unknown` and `stale` count positions whose numbers are missing, or old."""

    currency: str
    realised: Decimal
    unrealised: Decimal
    charges: Decimal
    positions: int
    unknown: int
    stale: int

    @property
    def total(self) -> Decimal:
        return self.realised + self.unrealised


@dataclass(frozen=True, slots=True)
class MarginRow:
    """Margin of one segment. `utilisation` is a share from 0 to 1."""

    segment: Segment
    utilisation: Decimal | None
    used: Decimal | None
    usable: Decimal | None
    source: Source
    error_bound: Decimal | None
    currency: str
    age_s: int | None
    stale: bool


@dataclass(frozen=True, slots=True)
class RuleRow:
    """One rule; `stale` while what it watches is."""

    rule_id: str
    kind: str
    instrument_id: str
    status: RuleStatus
    levels: tuple[Decimal, ...]
    quantity: Decimal | None
    exited: Decimal
    reason: str
    statement: str
    stale: bool


@dataclass(frozen=True, slots=True)
class LaneRow:
    """One rate limit: how much is used of its count, what only exits may still take, who waits."""

    name: str
    used: int
    count: int
    reserve_left: int
    waiting: int
    penalty_s: int


@dataclass(frozen=True, slots=True)
class StreamRow:
    """One socket of a stream."""

    name: str
    shard: int
    state: str
    age_s: int | None
    gaps: int
    reconnects: int
    instruments: int
    why: str
    stale: bool


@dataclass(frozen=True, slots=True)
class AlertRow:
    """Something that was told; `times` in a row."""

    ts: int
    weight: Weight
    what: str
    text: str
    times: int = 1
