"""Changes of orders. Each makes a new order that counts its fills from 0, so it is given what is left of the whole.

What fills while a change is on its way counts for the order that is replaced and is missing in what the new one was
given: the order as a whole is then too large by it. So a change is looked at once the broker has made it, and what is
too much is taken away by a second one.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final
from urllib.parse import quote

from dragoman.plugin import Adapter, Context, ErrorEffect, ErrorKind, Flow, Lane, Request, Wait, errors, model
from dragoman.plugin.records import Row, needed, plain, text_or_none

from .fields import check_penny, client_id, kind_of
from .words import TIME_IN_FORCE, loads, reading, refused, refused_change, reject_of

_FIXED: Final = ("order_type", "display_quantity", "market_protection")
_LOOKS: Final = 4
"""At the order that is replaced, until the broker has made the change."""
_FIRST_LOOK_S: Final = 0.1
_CORRECTIONS: Final = 3
_NO_TERMS: Final[Mapping[str, str | None]] = {}


class ChangeFlows(Adapter):
    """How orders are changed and canceled."""

    def modify(
        self, order: model.Order, change: model.OrderChange, instrument: model.Instrument, ctx: Context
    ) -> Flow[model.Outcome]:
        stuck = [
            name
            for name in _FIXED
            if getattr(change, name) is not None and getattr(change, name) != getattr(order, name, None)
        ]
        if stuck:
            raise refused(f"{stuck[0]} of an order cannot be changed", "cancel it and place another")
        for price in filter(None, (change.price, change.trigger_price)):
            check_penny(price, kind_of(instrument))
        last = order.raw if isinstance(order.raw, Mapping) and order.raw.get("id") == order.order_id else None
        row: Row = last or loads((yield Request(path=order_path(order.order_id))).body)
        with reading("order"):
            given, filled = None if row.get("notional") else needed(row, "qty"), needed(row, "filled_qty")
        if change.quantity is not None and given is None:
            raise refused("an order for an amount of money has no quantity to change", "cancel it and place another")
        # What the ids before this one have filled.
        others = order.filled_quantity if last is None else order.quantity - (filled if given is None else given)
        total = change.quantity or others + (given or 0)
        assumed = max(order.filled_quantity - others, filled)
        if change.quantity is not None and total <= others + assumed:
            raise refused(
                f"quantity {total} is not above the {others + assumed} already filled",
                "cancel the order to stop what is left of it",
                kind=ErrorKind.INVALID_QUANTITY,
            )
        left = None if given is None or (change.quantity is None and not others + assumed) else total - others - assumed
        terms = {
            "limit_price": plain(change.price),
            "stop_price": plain(change.trigger_price),
            "time_in_force": TIME_IN_FORCE.write(change.time_in_force) if change.time_in_force else None,
            "trail": plain(change.extras.get(self.name, {}).get("trail")),
        }
        made, body = yield from _change(order, order.order_id, left, terms, ctx)
        if given is not None:
            return (yield from _corrected(order, made, total - others, assumed, body, ctx))
        return model.Outcome.accepted(made, replaces=order.order_id, raw=body)

    def cancel(self, order: model.Order, ctx: Context) -> Flow[model.Outcome]:
        yield from _cancel(order.order_id)
        return model.Outcome.accepted(order.order_id)


def order_path(order_id: str) -> str:
    return f"/v2/orders/{quote(order_id, safe='')}"


def _cancel(order_id: str) -> Flow[None]:
    reply = yield Request(method="DELETE", path=order_path(order_id), mutates=True, lane=Lane.RISK)
    with reading("cancel reply"):
        if reply.status != 204:
            raise ValueError(f"status is {reply.status}, expected 204: a cancel that was taken has no body")


def _change(
    order: model.Order, order_id: str, quantity: Decimal | None, terms: Mapping[str, str | None], ctx: Context
) -> Flow[tuple[str, Row]]:
    """Ask for a change of one id; return the id it makes, and its record."""
    fields = {
        "qty": plain(quantity),
        **terms,
        "client_order_id": client_id(order.wire_id, None, ctx) if order.wire_id else None,
    }
    body = {name: value for name, value in fields.items() if value is not None}
    reply = yield Request(method="PATCH", path=order_path(order_id), json=body, mutates=True)
    with reading("replace reply"):
        row = loads(reply.body)
        made = text_or_none(row["id"])
        if made is None or text_or_none(row.get("replaces")) not in (None, order_id):
            raise ValueError(f"order {row['id']} replaces {row.get('replaces')}, expected {order_id}")
        return made, row


def _corrected(
    order: model.Order, made: str, wanted: Decimal, assumed: Decimal, body: Row, ctx: Context
) -> Flow[model.Outcome]:
    """Take away what filled while the change was on its way, and end with the id that is in force.

    Parameters
    ----------
    wanted : Decimal
        What the replaced id and all after it are to fill together.
    assumed : Decimal
        What of it the replaced id had filled as far as it was known.
    """
    before, missed = order.order_id, Decimal(0)
    for _ in range(_CORRECTIONS):
        row = yield from _settled(before, made)
        if row is not None and refused_change(row):
            return model.Outcome.rejected(reject_of(row), raw=row) if not missed else _too_large(order, missed, None)
        with reading("order"):
            filled = assumed if row is None else needed(row, "filled_qty")
        if filled <= assumed:
            return model.Outcome.accepted(made, replaces=order.order_id, raw=body)
        missed = filled - assumed
        wanted -= filled
        try:
            if wanted <= 0:
                yield from _cancel(made)
                return model.Outcome.accepted(made, replaces=order.order_id, raw=body)
            before, assumed = made, Decimal(0)
            made, body = yield from _change(order, made, wanted, _NO_TERMS, ctx)
        except errors.DragomanError as error:
            if error.effect is ErrorEffect.UNKNOWN:
                raise
            return _too_large(order, missed, error)
    return _too_large(order, missed, None)


def _settled(before: str, made: str) -> Flow[Row | None]:
    """Return the record that says what a change came to: of the replaced id, or of the new one that was rejected.

    None where nobody says so in time. The change was taken all the same, and its reports show what it came to.
    """
    for look in range(_LOOKS):
        try:
            row: Row = loads((yield Request(path=order_path(before))).body)
            with reading("order"):
                if row["status"] == "replaced":
                    return row
                if look and row["status"] != "pending_replace":
                    row = loads((yield Request(path=order_path(made))).body)
                    if refused_change(row):
                        return row
            yield Wait(_FIRST_LOOK_S * 2**look, reason="the broker has not made the change yet")
        except errors.DragomanError:
            return None
    return None


def _too_large(order: model.Order, missed: Decimal, error: errors.DragomanError | None) -> model.Outcome:
    """Say that the change was made, and that what filled meanwhile could not be taken from it any more."""
    why = f": {error}" if error is not None else ""
    reject = model.Reject(
        ErrorKind.TOO_LATE_TO_MODIFY_OR_CANCEL,
        f"the change of order {order.order_id} was made, and is too large by the {missed} that filled meanwhile{why}",
        None if error is None else error.code,
        ErrorEffect.APPLIED,
        remedy="read the order; reduce or cancel what is left of it",
    )
    return model.Outcome.rejected(reject)
