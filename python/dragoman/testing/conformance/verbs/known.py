"""What the client knows of orders, compared with the venue's truth."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from dragoman.emulator.venue.types import OrderState
from dragoman.model import Order, OrderStatus, Origin
from dragoman.testing.conformance.grammar import step
from dragoman.testing.conformance.stage import MismatchError, Stage


@step("expect <order:name> <status:status>")
async def expect_status(stage: Stage, order: str, status: tuple[OrderStatus, ...]) -> None:
    """An order comes to a status (several joined by | are as good)."""
    await _expect(stage, order, status, {})


@step("expect <order:name> <status:status> <facts:facts>")
async def expect_facts(stage: Stage, order: str, status: tuple[OrderStatus, ...], facts: Mapping[str, Any]) -> None:
    """The same, with values: filled, remaining, canceled, average, price, quantity, reject, pending, tag."""
    await _expect(stage, order, status, facts)


async def _expect(stage: Stage, name: str, status: tuple[OrderStatus, ...], facts: Mapping[str, Any]) -> None:
    def look() -> str:
        order = stage.find(name)
        if order is None:
            return f"the client knows no order {name}"
        if order.status not in status:
            return f"{name} is {order.status} ({order.raw_status!r}), expected {'|'.join(status)}"
        return _unlike(stage, name, order, facts)

    await stage.until(look)


def _unlike(stage: Stage, name: str, order: Order, facts: Mapping[str, Any]) -> str:
    of = stage.cast.role_of(order.instrument_id)
    found: Any
    expected: Any
    for fact, wanted in facts.items():
        if fact == "reject":
            found = order.reject.kind if order.reject else None
            if found not in wanted:
                return f"{name} was refused with {order.reject!r}, expected {'|'.join(wanted)}"
            continue
        if fact in ("price", "average"):
            found = order.price if fact == "price" else order.average_price
            expected = stage.price(wanted, of)
        elif fact in ("pending", "tag"):
            found, expected = getattr(order, fact), wanted
        else:
            found = getattr(order, fact if fact == "quantity" else f"{fact}_quantity")
            expected = stage.quantity(wanted, of)
        if found != expected:
            return f"{fact} of {name} is {found}, expected {expected}"
    return ""


@step("expect <order:name> went <path:statuses>")
async def expect_path(stage: Stage, order: str, path: tuple[OrderStatus, ...]) -> None:
    """It was reported in these statuses, in this order; others may stand between."""

    def look() -> str:
        seen = iter(stage.watch.statuses(order))
        if all(status in seen for status in path):
            return ""
        went = " ".join(stage.watch.statuses(order)) or "nowhere"
        return f"{order} went {went}, expected {' '.join(path)} in this order"

    await stage.until(look)


@step("expect <order:name> was never <status:status>")
async def expect_never(stage: Stage, order: str, status: tuple[OrderStatus, ...]) -> None:
    """It was never reported in such a status."""
    if found := [one for one in stage.watch.statuses(order) if one in status]:
        raise MismatchError(f"{order} was {found[0]}")


@step("expect <order:name> unknown to the client")
async def expect_unknown(stage: Stage, order: str) -> None:
    """The client has no such order: nothing was ever sent."""
    if stage.find(order) is not None:
        raise MismatchError(f"the client knows {stage.find(order)!r}")


@step("expect <order:name> is external")
async def expect_external(stage: Stage, order: str) -> None:
    """The client knows it, and that it is not its own."""

    def look() -> str:
        found = stage.find(order)
        return "" if found is not None and found.origin is Origin.EXTERNAL else f"{order} is {found!r}"

    await stage.until(look)


@step("expect <order:name> like the venue's")
async def expect_like(stage: Stage, order: str) -> None:
    """The venue has what was asked for; terms, status, quantities and average price here are the venue's."""

    def look() -> str:
        found = stage.find(order)
        if found is None:
            return f"the client knows no order {order}"
        state = stage.venue_order(order)
        wanted = dict(stage.wanted.get(order, {}))
        if "product" in wanted:
            wanted["product"] = stage.at_venue(state.order.instrument_id, wanted["product"])
        seen = found.but(product=stage.at_venue(state.order.instrument_id, found.product))
        return _unasked(order, wanted, state) or unlike(order, seen, state)

    await stage.until(look)


def _unasked(name: str, wanted: Mapping[str, Any], state: OrderState) -> str:
    """Return the first term that the venue has otherwise than it was asked for."""
    for field in ("side", "quantity", "price", "trigger_price", "product", "time_in_force"):
        asked, truth = wanted.get(field), getattr(state.order, field)
        if asked is not None and asked != truth:
            return f"{field} of {name} at the venue is {truth}, asked for was {asked}"
    return ""


def unlike(name: str, found: Order, state: OrderState) -> str:
    """Return the first thing in which an order is not the venue's."""
    truth = state.order
    pairs: dict[str, tuple[Any, Any]] = {
        "instrument_id": (found.instrument_id, truth.instrument_id),
        "side": (found.side, truth.side),
        "status": (found.status, state.status),
        "quantity": (found.quantity, truth.quantity),
        "filled_quantity": (found.filled_quantity, state.filled_quantity),
        "product": (found.product, truth.product),
        "time_in_force": (found.time_in_force, truth.time_in_force),
    }
    if not state.status.terminal:
        pairs["remaining_quantity"] = (found.remaining_quantity, state.remaining)
    if not truth.protection:  # a protected order is shown as what was asked for, or as what it became
        pairs["order_type"] = (found.order_type, truth.order_type)
    if truth.order_type.has_price and not truth.protection:
        pairs["price"] = (found.price, truth.price)
    if truth.trigger_price is not None:
        pairs["trigger_price"] = (found.trigger_price, truth.trigger_price)
    for field, (ours, theirs) in pairs.items():
        if ours != theirs:
            return f"{field} of {name} is {ours}, the venue has {theirs}"
    if state.filled_quantity:
        ours, theirs = found.average_price, state.average_price
        if ours is None or abs(ours - theirs) > abs(theirs) * Decimal("0.00001"):
            return f"average_price of {name} is {ours}, the venue has {theirs}"
    return ""


@step("expect every order like the venue's")
async def expect_all(stage: Stage) -> None:
    """The broker's list has the venue's orders, each once, with their statuses and quantities."""
    listed = await stage.client.orders()
    truth = sorted((state.status, state.order.quantity, state.filled_quantity) for state in stage.venue_orders())
    found = sorted((one.status, one.quantity, one.filled_quantity) for one in listed if one.order_id)
    if found != truth:
        raise MismatchError(f"the list says {found}, the venue {truth}")


@step("expect history of <order:name> ends <status:status>")
async def expect_history(stage: Stage, order: str, status: tuple[OrderStatus, ...]) -> None:
    """The broker's history of an order, oldest first, ends in a status."""
    states = await stage.client.order_history(stage.order(order))
    if not states or states[-1].status not in status:
        raise MismatchError(f"the history is {[one.status for one in states]}, expected {'|'.join(status)} at its end")
