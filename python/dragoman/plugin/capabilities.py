"""What a broker can do, and for every "no" the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from dragoman.errors import ErrorKind, UsageError
from dragoman.model import Mode, OrderType, Product, QuantityUnit, TimeInForce, Variety

Verdict = Literal["YES", "NO", "UNVERIFIED"]


@dataclass(frozen=True, slots=True)
class Support:
    """Yes, no with its reason, or unverified (the protocol page could not settle it)."""

    verdict: Verdict
    reason: str = ""

    def __bool__(self) -> bool:
        return self.verdict == "YES"


YES = Support("YES")


def no(reason: str) -> Support:
    return Support("NO", reason)


def unverified(reason: str) -> Support:
    return Support("UNVERIFIED", reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """An adapter's table. What is not listed in `order_types`, `products`, ... is a no; `reasons` says why.

    Attributes
    ----------
    features : mapping of str to Support
        ``place modify cancel order_history trades order_stream positions holdings convert margins order_margin quotes
        depth candles gtt bracket basket slice``: every name must be there. Those of `MORE_FEATURES` may be left out: a
        broker without them has nothing to say about them.
    reasons : mapping of str to str
        For a value missing above (``"STOP_MARKET"``, ``"FOK"``), why.
    quantity_unit : mapping of exchange segment to QuantityUnit
    replace_restarts_fills : bool
        Where a change gives an order a new id: that id counts its fills from 0, and its quantity is what was left.
    wire_id_carrier : str
        The field that carries our wire id, `wire_id_length` its room.
    order_fields : frozenset of str
        Fields of `OrderRequest` beyond the common ones that `place` puts on the wire (``"post_only"``, ``"algo_id"``);
        the rest are refused where they are given, for the reason in `reasons`.
    most_in_basket : int
        Orders that `Adapter.place_many` takes at once, where the feature ``basket`` is offered.
    market_orders : {"native", "protected", "refused"}
        What becomes of MARKET orders; `protected` ones carry the broker's price protection.
    """

    order_types: frozenset[OrderType]
    products: frozenset[Product]
    time_in_force: frozenset[TimeInForce]
    varieties: frozenset[Variety]
    segments: frozenset[str]
    modes: frozenset[Mode]
    depth_levels: tuple[int, ...]
    quantity_unit: Mapping[str, QuantityUnit]
    features: Mapping[str, Support]
    modify_keeps_id: bool
    wire_id_carrier: str
    wire_id_length: int
    market_orders: Literal["native", "protected", "refused"]
    max_instruments_per_socket: int
    max_sockets: int
    order_fields: frozenset[str] = frozenset()
    most_in_basket: int = 0
    replace_restarts_fills: bool = False
    reasons: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        missing = FEATURES - set(self.features)
        unknown = set(self.features) - FEATURES - MORE_FEATURES
        if missing or unknown:
            raise ValueError(f"capabilities: missing features {sorted(missing)}, unknown features {sorted(unknown)}")
        for name, support in self.features.items():
            if not support and not support.reason:
                raise ValueError(f"capabilities: {name} is {support.verdict} without a reason")

    def require(self, feature: str, broker: str) -> None:
        """Raise UsageError with the adapter's reason unless `feature` is supported."""
        support = self.features.get(feature) or no("the adapter does not define it")
        if not support:
            raise UsageError(
                f"{broker} does not offer {feature}: {support.reason}", kind=ErrorKind.NOT_SUPPORTED, broker=broker
            )

    def require_value(self, what: str, value: object, offered: frozenset[object], broker: str) -> None:
        """Raise UsageError with the adapter's reason unless `value` is among `offered`."""
        if value not in offered:
            reason = self.reasons.get(str(value), "the broker does not offer it")
            names = ", ".join(sorted(str(item) for item in offered))
            raise UsageError(
                f"{broker}: {what} {value} is not available: {reason}",
                kind=ErrorKind.NOT_SUPPORTED,
                broker=broker,
                remedy=f"use one of {names}",
            )


FEATURES = frozenset(
    "place modify cancel order_history trades order_stream positions holdings convert margins order_margin quotes"
    " depth candles gtt bracket basket slice".split()
)
MORE_FEATURES = frozenset(
    "profile balances basket_margin charges trigger_range alerts auctions authorise_holdings holdings_summary"
    " postback cancel_many exit_all".split()
)
