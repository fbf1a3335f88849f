"""Changes at brokers whose every change makes a new order that counts its fills from 0, so is given what is left.

What fills while a change is on its way counts for the id that is replaced and is missing in what the new one was given:
the order as a whole is then too large by it. So a change is looked at once the broker has made it, and what is too much
is taken away by a further one, or by a cancel where nothing is left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, Final

from dragoman.errors import DragomanError, Effect, ErrorKind
from dragoman.model import Order, OrderChange, Outcome, Reject
from dragoman.plugin.effects import Flow, Wait
from dragoman.plugin.records import Records

LOOKS: Final = 4
"""At the id that is replaced, until the broker has made the change."""
FIRST_LOOK_S: Final = 0.1
CORRECTIONS: Final = 3


class Stage(Enum):
    """What a record says of its id: it works or has ended, a change of it is on its way, it was replaced, or it is a
    change that was refused."""

    ITSELF = "itself"
    CHANGING = "changing"
    REPLACED = "replaced"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Seen:
    """A look at one id; `reject` says why a change was refused."""

    stage: Stage
    filled: Decimal
    reject: Reject | None = None
    raw: Any = None


@dataclass(frozen=True, slots=True)
class Steps:
    """The broker's requests about one id.

    Attributes
    ----------
    change : callable
        Asks for a change of an id, to a quantity, or of its terms alone (None); returns the new id and its record. It
        is called with the terms that were asked for once, and without them for corrections (`first`).
    cancel : callable
    look : callable
        Reads an id.
    """

    change: Callable[[str, Decimal | None, bool], Flow[tuple[str, Any]]]
    cancel: Callable[[str], Flow[None]]
    look: Callable[[str], Flow[Seen]]


def replaced(
    records: Records, order: Order, change: OrderChange, given: Decimal, filled: Decimal, others: Decimal, steps: Steps
) -> Flow[Outcome]:
    """Change an order, and end with the id that is in force; use it with ``yield from``.

    Parameters
    ----------
    order : Order
        The whole, as last reported.
    given, filled : Decimal
        What its latest id is to fill, and has filled as far as its record says.
    others : Decimal
        What the ids before have filled.

    Raises
    ------
    UsageError
        No more than what is filled already is asked for; zero bytes were sent.
    """
    total = change.quantity or others + given
    assumed = max(order.filled_quantity - others, filled)
    records.check(
        (
            change.quantity is not None and total <= others + assumed,
            f"quantity {total} is not above the {others + assumed} already filled",
            "cancel the order to stop what is left of it",
        ),
        kind=ErrorKind.INVALID_QUANTITY,
    )
    untouched = change.quantity is None and not others + assumed
    made, body = yield from steps.change(order.order_id, None if untouched else total - others - assumed, True)
    return (yield from _corrected(order, made, total - others, assumed, body, steps))


def _corrected(order: Order, made: str, wanted: Decimal, assumed: Decimal, body: Any, steps: Steps) -> Flow[Outcome]:
    """Take away what filled while the change was on its way.

    Parameters
    ----------
    wanted : Decimal
        What the replaced id and all after it are to fill together.
    assumed : Decimal
        What of it the replaced id had filled as far as it was known.
    """
    before, missed = order.order_id, Decimal(0)
    for _ in range(CORRECTIONS):
        seen = yield from _settled(before, made, steps)
        if seen is not None and seen.reject is not None:
            return Outcome.rejected(seen.reject, raw=seen.raw) if not missed else _too_large(order, missed, None)
        if seen is None or seen.filled <= assumed:
            return Outcome.accepted(made, replaces=order.order_id, raw=body)
        missed = seen.filled - assumed
        wanted -= seen.filled
        try:
            if wanted <= 0:
                yield from steps.cancel(made)
                return Outcome.accepted(made, replaces=order.order_id, raw=body)
            before, assumed = made, Decimal(0)
            made, body = yield from steps.change(made, wanted, False)
        except DragomanError as error:
            if error.effect is Effect.UNKNOWN:
                raise
            return _too_large(order, missed, error)
    return _too_large(order, missed, None)


def _settled(before: str, made: str, steps: Steps) -> Flow[Seen | None]:
    """Return the look that says what a change came to: at the replaced id, or at the new one that was refused.

    None where nobody says so in time. The change was taken all the same, and its reports show what it came to.
    """
    for look in range(LOOKS):
        try:
            seen = yield from steps.look(before)
            if seen.stage is Stage.REPLACED:
                return seen
            if look and seen.stage is not Stage.CHANGING:
                seen = yield from steps.look(made)
                if seen.stage is Stage.REFUSED:
                    return seen
            yield Wait(FIRST_LOOK_S * 2**look, reason="the broker has not made the change yet")
        except DragomanError:
            return None
    return None


def _too_large(order: Order, missed: Decimal, error: DragomanError | None) -> Outcome:
    """Say that the change was made, and that what filled meanwhile could not be taken from it any more."""
    why = f": {error}" if error is not None else ""
    reject = Reject(
        ErrorKind.TOO_LATE_TO_MODIFY_OR_CANCEL,
        f"the change of order {order.order_id} was made, and is too large by the {missed} that filled meanwhile{why}",
        None if error is None else error.code,
        Effect.APPLIED,
        remedy="read the order; reduce or cancel what is left of it",
    )
    return Outcome.rejected(reject)
