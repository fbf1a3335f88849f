"""From a request to the order it becomes, and from a refusal to its error."""

from __future__ import annotations

from decimal import Decimal

from dragoman._core import copied, taking
from dragoman.checks import identifier, text
from dragoman.errors import KIND_CLASS, DragomanError, ErrorKind, OutcomeUnknown, Rejected, Retry, UsageError
from dragoman.model import Instrument, Order, OrderRequest, OrderStatus, Origin, Reject, Side
from dragoman.orders.store import EXTERNAL_PREFIX

_SUBMITTED = Order(instrument_id="", side=Side.BUY, quantity=Decimal(0), status=OrderStatus.SUBMITTED, origin=Origin.US)
_ASKED = (
    "instrument_id",
    "side",
    "quantity",
    "order_type",
    "client_order_id",
    "wire_id",
    "account_id",
    "price",
    "trigger_price",
    "time_in_force",
    "product",
    "variety",
    "position_side",
    "display_quantity",
    "market_protection",
    "tag",
)
"""What an order has from its request."""


def check_name(client_order_id: str) -> None:
    """Refuse names that the store gives itself: ``EXT-...`` to orders of others, ``.../2`` to slices.

    Raises
    ------
    UsageError
    """
    if text("client_order_id", client_order_id).startswith(EXTERNAL_PREFIX) or "/" in client_order_id:
        raise UsageError(
            f"client_order_id {client_order_id!r}: names with a slash or beginning with {EXTERNAL_PREFIX} are taken",
            remedy="choose another",
        )


def name_of(order: Order | str) -> str:
    """Return what an order is looked up by: of an order its own name, of text or a number the id that it is.

    Raises
    ------
    UsageError
        It is none of them.
    """
    return identifier("order", (order.client_order_id or order.order_id) if isinstance(order, Order) else order)


def used_before(client_order_id: str) -> UsageError:
    return UsageError(
        f"client_order_id {client_order_id!r} was used before",
        kind=ErrorKind.DUPLICATE_ORDER,
        remedy="choose another, or ask for that order",
        client_order_id=client_order_id,
    )


def change_under_way(order: Order, broker: str, *, in_doubt: bool) -> UsageError:
    """Return the error to raise for a change of an order while the one before it is not settled."""
    state = "nobody knows what became of" if in_doubt else "there is no answer yet to"
    return UsageError(
        f"{broker}: {state} the last change of order {order.order_id}, and two at once may arrive in either order",
        kind=ErrorKind.LOCAL_DENIED,
        retry=Retry.RESOLVE_FIRST,
        broker=broker,
        remedy="orders() reads what the order is now" if in_doubt else "await the first change, then ask for the next",
        client_order_id=order.client_order_id,
    )


def named(
    request: OrderRequest, instrument: Instrument, client_order_id: str, wire_id: str, account: str
) -> OrderRequest:
    """Return the request under its names."""
    return copied(
        request,
        instrument_id=instrument.instrument_id,
        client_order_id=client_order_id,
        wire_id=wire_id,
        account_id=account,
        side=request.side if type(request.side) is Side else Side(request.side),
    )


def order_of(request: OrderRequest, broker: str, ts: int) -> Order:
    """Return the order a request is before anybody answered."""
    return taking(
        _SUBMITTED,
        request,
        _ASKED,
        broker=broker,
        remaining_quantity=request.quantity,
        ts_created=ts,
        ts_submitted=ts,
    )


def reject_of(error: DragomanError) -> Reject:
    """Return what an error says, to be kept with the order."""
    return Reject(error.kind, error.text or str(error), error.code, error.effect, error.retry, remedy=error.remedy)


def refusal(reject: Reject | None, broker: str, name: str) -> DragomanError:
    """Return the error to raise for a refusal that came as an outcome."""
    if reject is None:
        return Rejected(f"{broker}: refused without a reason", broker=broker, client_order_id=name)
    cls = KIND_CLASS[reject.kind]
    if cls is OutcomeUnknown:
        cls = Rejected  # the words are new to us, the refusal is not in doubt
    return cls(
        f"{broker}: {reject.text}",
        kind=reject.kind,
        code=reject.code,
        text=reject.text,
        effect=reject.effect,
        retry=reject.retry,
        remedy=reject.remedy,
        broker=broker,
        client_order_id=name,
    )


def unknown(broker: str, what: str, name: str) -> OutcomeUnknown:
    """Return the error to raise for an outcome nobody knows."""
    return OutcomeUnknown(
        f"{broker}: it is not known what became of {what}",
        broker=broker,
        remedy="look at orders(); never send it again",
        client_order_id=name,
    )
