"""What was asked for under each name, so that asking twice never places twice.

A name is good for one order for as long as its journal lives. Asking again under it with the same terms returns what
became of the first; with other terms it is refused. An order whose fate is not known fences its instrument and side:
another one beside it could be the second half of a double.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Final

from dragoman._core import copied
from dragoman.errors import ErrorKind, Retry, UsageError
from dragoman.model import Order, OrderRequest, Side
from dragoman.orders.journal import Record

_NAMES: Final = frozenset({"client_order_id", "wire_id", "account_id", "deadline_ns"})
_TERMS: Final = tuple(field.name for field in fields(OrderRequest) if field.name not in _NAMES)


@dataclass(slots=True, eq=False)
class Intent:
    """One order of ours, from the moment it was asked for.

    Attributes
    ----------
    request : OrderRequest
        Under its names.
    sent_ns : int
        Broker's clock just before the first byte; 0 while nothing was sent.
    sent_mono_ns : int
        The same, monotonic; 0 for one that an earlier run has sent.
    exits : bool
        It only makes a position smaller.
    """

    request: OrderRequest
    sent_ns: int = 0
    sent_mono_ns: int = 0
    exits: bool = False

    @property
    def name(self) -> str:
        return self.request.client_order_id


_NEW: Final = Intent(OrderRequest(instrument_id="", side=Side.BUY, quantity=Decimal(0)))


class Intents:
    """The intents of one account, by name.

    Parameters
    ----------
    unknown : callable
        Returns the orders that may be live without anybody knowing.

    Attributes
    ----------
    get : callable
        Finds the intent of a name.
    older : callable or None
        Finds what the journal has of a name from before the time that was read back; None where there is no such time.
    """

    def __init__(self, unknown: Callable[[], tuple[Order, ...]]) -> None:
        self._intents: dict[str, Intent] = {}
        self.get: Callable[[str], Intent | None] = self._intents.get
        self._unknown = unknown
        self.older: Callable[[str], Awaitable[list[Record]]] | None = None

    def __iter__(self) -> Iterator[Intent]:
        return iter(tuple(self._intents.values()))

    def add(self, intent: Intent) -> Intent:
        """Keep an intent; its name is taken from here on."""
        self._intents[intent.request.client_order_id] = intent
        return intent

    def enter(self, name: str, request: OrderRequest) -> Intent:
        """Keep the intent of a request that goes under `name`; it is taken from here on."""
        intent = self._intents[name] = copied(_NEW, request=request)
        return intent

    def drop(self, name: str) -> None:
        """Forget an intent that came to nothing before it was an order: its name is free."""
        self._intents.pop(name, None)

    def check_same(self, intent: Intent, request: OrderRequest) -> None:
        """Refuse other terms under a name that is taken.

        Raises
        ------
        UsageError
            Naming the fields that differ.
        """
        known = intent.request
        other = [name for name in _TERMS if getattr(known, name) != getattr(request, name)]
        if other:
            said = ", ".join(f"{name} was {getattr(known, name)!s}, is {getattr(request, name)!s}" for name in other)
            raise UsageError(
                f"client_order_id {intent.name!r} was used before, for another order: {said}",
                kind=ErrorKind.DUPLICATE_ORDER,
                remedy="choose another id, or ask for that order",
                client_order_id=intent.name,
            )

    def check_fence(self, instrument_id: str, side: Side, broker: str) -> None:
        """Refuse a new order beside one of the same instrument and side that may be live.

        Raises
        ------
        UsageError
            With `retry` RESOLVE_FIRST, naming the order.
        """
        for order in self._unknown():
            if order.instrument_id == instrument_id and order.side is side and not order.order_id:
                raise UsageError(
                    f"{broker}: nobody knows yet what became of order {order.client_order_id}, also {side} of"
                    f" {instrument_id}: another beside it could double it",
                    kind=ErrorKind.LOCAL_DENIED,
                    retry=Retry.RESOLVE_FIRST,
                    broker=broker,
                    remedy="wait until it is resolved (it is being looked for), or pass allow_unknown=True",
                    client_order_id=order.client_order_id,
                )
