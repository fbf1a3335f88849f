"""Instructions that rest at the broker and are not orders: price triggers that place orders, and alerts."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from dragoman.model.enums import OrderType, Product, Side
from dragoman.model.order import OrderRequest


class GttType(StrEnum):
    """SINGLE has one trigger and one order; TWO_LEG two, of which the first that fires ends the other."""

    SINGLE = "SINGLE"
    TWO_LEG = "TWO_LEG"


class GttStatus(StrEnum):
    ACTIVE = "ACTIVE"
    TRIGGERED = "TRIGGERED"
    DISABLED = "DISABLED"
    EXPIRED = "EXPIRED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    DELETED = "DELETED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class GttResult:
    """What the broker made of a leg whose trigger was reached. TRIGGERED does not mean that an order exists.

    Attributes
    ----------
    order_id : str or None
        The order, None where none came of it.
    status : str
        The broker's word for the order's fate.
    reason : str or None
        Why no order came of it.
    trigger_price : Decimal or None
        Last price at which it fired.
    """

    order_id: str | None
    status: str = ""
    reason: str | None = None
    trigger_price: Decimal | None = None
    ts_triggered: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GttLeg:
    """One trigger of a GTT and the order it places. Prices exact, quantities in units."""

    trigger_price: Decimal
    side: Side
    quantity: Decimal
    price: Decimal
    order_type: OrderType = OrderType.LIMIT
    product: Product = Product.DELIVERY
    result: GttResult | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GttRequest:
    """A trigger to place: one leg, or two of which the lower trigger comes first.

    Attributes
    ----------
    last_price : Decimal
        The market when it is placed: brokers tell from it on which side of the market each trigger lies.
    """

    instrument_id: str
    legs: tuple[GttLeg, ...]
    last_price: Decimal

    @property
    def type(self) -> GttType:
        return GttType.SINGLE if len(self.legs) == 1 else GttType.TWO_LEG


@dataclass(frozen=True, slots=True, kw_only=True)
class Gtt:
    """A good-till-triggered instruction as the broker holds it. Times are ns UTC."""

    gtt_id: str
    instrument_id: str
    type: GttType
    status: GttStatus
    raw_status: str
    legs: tuple[GttLeg, ...]
    last_price: Decimal | None = None
    parent_id: str | None = None
    account_id: str = ""
    broker: str = ""
    ts_created: int | None = None
    ts_updated: int | None = None
    ts_expires: int | None = None
    raw: Any = field(default=None, compare=False, repr=False)


class AlertStatus(StrEnum):
    ENABLED = "ENABLED"
    DISABLED = "DISABLED"
    DELETED = "DELETED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRequest:
    """A condition to watch: `attribute` of one instrument against a value, or against another instrument.

    Attributes
    ----------
    operator : str
        One of ``<= >= < > ==``.
    attribute, other_attribute : str
        ``last_price high low open close last_quantity average_price volume oi buy_quantity sell_quantity``; a broker
        may know fewer.
    orders : tuple of OrderRequest
        What to place when it fires; empty only tells.
    """

    name: str
    instrument_id: str
    operator: str
    value: Decimal | None = None
    attribute: str = "last_price"
    other_instrument_id: str | None = None
    other_attribute: str = "last_price"
    orders: tuple[OrderRequest, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert as the broker holds it; fields as `AlertRequest`. `count` is how often it fired."""

    alert_id: str
    name: str
    instrument_id: str
    operator: str
    value: Decimal | None = None
    attribute: str = "last_price"
    other_instrument_id: str | None = None
    other_attribute: str | None = None
    status: AlertStatus = AlertStatus.UNKNOWN
    raw_status: str = ""
    disabled_reason: str | None = None
    places_orders: bool = False
    count: int = 0
    account_id: str = ""
    broker: str = ""
    ts_created: int | None = None
    ts_updated: int | None = None
    raw: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertEvent:
    """One time an alert fired: the condition in the broker's words and the market it saw (`last_prices`)."""

    alert_id: str
    condition: str
    last_prices: tuple[tuple[str, Decimal], ...] = ()
    ts_event: int | None = None
    raw: Any = field(default=None, compare=False, repr=False)
