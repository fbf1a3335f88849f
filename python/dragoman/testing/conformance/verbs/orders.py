"""Placing, changing, cancelling and following orders, compared with the venue's truth."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any, Final

from dragoman.emulator.venue.types import VenueOrder
from dragoman.errors import DragomanError, Effect, UsageError
from dragoman.model import OrderStatus, OrderType, Side, TimeInForce
from dragoman.testing.conformance.grammar import Price, step
from dragoman.testing.conformance.stage import MismatchError, Stage

_SENT: Final = frozenset(("price", "trigger_price"))
_QUEUE_S: Final = 0.05
"""An order is reported open a moment before it waits in the book."""
_STEPS: Final = frozenset(("quantity", "display_quantity"))


def _terms(stage: Stage, of: str, terms: Mapping[str, Any]) -> dict[str, Any]:
    """Return terms as the client takes them: prices and quantities of the role's instrument."""
    return {
        name: stage.price(value, of) if name in _SENT else stage.quantity(value, of) if name in _STEPS else value
        for name, value in terms.items()
    }


async def _place(
    stage: Stage, order: str, side: Side, quantity: Decimal, of: str, kind: OrderType, terms: Mapping[str, Any]
) -> None:
    given: dict[str, Any] = {"product": stage.cast.product(of), "timeout_s": 5.0} | _terms(stage, of, terms)
    before = {state.order_id for state in stage.venue_orders()}
    known = stage.wanted.get(order)
    stage.wanted[order] = {
        "instrument": stage.id_of(of),
        "side": side,
        "quantity": stage.quantity(quantity, of),
        "order_type": kind,
        **given,
    }
    try:
        await stage.client.place(
            stage.id_of(of), side, stage.quantity(quantity, of), order_type=kind, client_order_id=order, **given
        )
    except UsageError:
        if known is not None:
            stage.wanted[order] = known  # what was asked for first is what there is
        raise
    finally:
        stage.claim(order, before)


@step("place <order:name> <side:side> <quantity:number> <of:role> <kind:type>")
async def place(stage: Stage, order: str, side: Side, quantity: Decimal, of: str, kind: OrderType) -> None:
    """Place an order; the product is the broker's usual one."""
    await _place(stage, order, side, quantity, of, kind, {})


@step("place <order:name> <side:side> <quantity:number> <of:role> <kind:type> <terms:terms>")
async def place_with(
    stage: Stage, order: str, side: Side, quantity: Decimal, of: str, kind: OrderType, terms: Mapping[str, Any]
) -> None:
    """Place an order with terms: at, trigger, validity, product, variety, tag, display, protection, within."""
    await _place(stage, order, side, quantity, of, kind, terms)


@step("place <order:name> for more money than there is of <of:role>")
async def place_too_much(stage: Stage, order: str, of: str) -> None:
    """Place a limit order that needs twice the account's money, whatever the product lends."""
    listing = stage.cast.listing(of)
    money = max(pool.net for pool in stage.venue.funds(stage.account).values())
    rate = min(listing.margin_rate.values(), default=Decimal(1))
    unit = stage.cast.unit(of)
    steps = (2 * money / rate / (unit * listing.reference)).quantize(Decimal(1), ROUND_CEILING)
    await _place(stage, order, Side.BUY, steps, of, OrderType.LIMIT, {"price": Price("-1%", percent=Decimal(-1))})


@step("place <order:name> of a broken lot of <of:role>")
async def place_broken(stage: Stage, order: str, of: str) -> None:
    """Place a limit order of half a lot too much."""
    lot = stage.cast.instrument(of).lot_size
    quantity = stage.cast.unit(of) + lot / 2
    await stage.client.place(
        stage.id_of(of),
        Side.BUY,
        quantity,
        order_type=OrderType.LIMIT,
        price=stage.cast.price(of, Decimal(-2), 0),
        client_order_id=order,
        product=stage.cast.product(of),
    )


@step("place <order:name> off the tick of <of:role>")
async def place_off_tick(stage: Stage, order: str, of: str) -> None:
    """Place a limit order at a price between two ticks."""
    instrument = stage.cast.instrument(of)
    await stage.client.place(
        stage.id_of(of),
        Side.BUY,
        stage.cast.unit(of),
        order_type=OrderType.LIMIT,
        price=stage.cast.price(of, Decimal(-2), 0) + instrument.tick_size / 2,
        client_order_id=order,
        product=stage.cast.product(of),
    )


@step("modify <order:name> <terms:terms>")
async def modify(stage: Stage, order: str, terms: Mapping[str, Any]) -> None:
    """Change a working order: at, trigger, quantity (the new total), type, validity."""
    of = stage.role_of(order)
    before = {state.order_id for state in stage.venue_orders()}
    changes = _terms(stage, of, terms)
    try:
        await stage.client.modify(stage.order(order), **changes)
        stage.wanted.setdefault(order, {}).update(changes)
    except DragomanError as error:
        if error.effect is not Effect.NONE:
            stage.wanted.setdefault(order, {}).update(changes)
        raise
    finally:
        stage.claim(order, before)


@step("cancel <order:name>")
async def cancel(stage: Stage, order: str) -> None:
    """Cancel an order."""
    await stage.client.cancel(stage.order(order), timeout_s=5.0)


@step("read orders")
async def read_orders(stage: Stage) -> None:
    """Read today's orders from the broker."""
    stage.asked["orders"] = await stage.client.orders()


# -- the other side --------------------------------------------------------------------------------------------------


@step("venue trades <quantity:number> with <order:name>")
async def venue_trades(stage: Stage, quantity: Decimal, order: str) -> None:
    """Let the market come to a resting limit order and so much trade with it."""
    await stage.runtime.sleep(_QUEUE_S)
    stage.venue.advance(stage.runtime.clock.wall_ns())
    state = stage.venue_order(order)
    name, price, of = state.order.instrument_id, state.order.price, stage.cast.role_of(state.order.instrument_id)
    if price is None:
        raise MismatchError(f"{order} is a {state.order.order_type} order without a price to trade at")
    wanted = stage.quantity(quantity, of)
    filled = state.filled_quantity
    if state.order.side is Side.BUY:
        stage.venue.set_price(name, price, quantity=wanted)
    else:
        listing = stage.venue.listing(name)
        assert listing is not None
        # One tick below, or the makers' bids around the price would trade with all that is left of it.
        stage.venue.set_price(name, price - listing.instrument.tick_size)
        stage.venue.place_external(name, Side.BUY, wanted, price)
    if (traded := stage.venue_order(order).filled_quantity - filled) != wanted:
        raise MismatchError(f"{traded} traded with {order} at the venue, expected {wanted}")


@step("venue cancels <order:name>")
async def venue_cancels(stage: Stage, order: str) -> None:
    """Let the broker's side cancel an order."""
    stage.venue.cancel(stage.account, stage.venue_order(order).order_id, stage.runtime.clock.wall_ns())


@step("another terminal places <order:name> <side:side> <quantity:number> <of:role> at <price:price>")
async def elsewhere(stage: Stage, order: str, side: Side, quantity: Decimal, of: str, price: Price) -> None:
    """Let somebody else with the same account place a limit order."""
    before = {state.order_id for state in stage.venue_orders()}
    offered = stage.adapter.capabilities.time_in_force
    wanted = VenueOrder(
        instrument_id=stage.id_of(of),
        side=side,
        quantity=stage.quantity(quantity, of),
        order_type=OrderType.LIMIT,
        product=stage.at_venue(stage.id_of(of), stage.cast.product(of)),
        price=stage.price(price, of),
        time_in_force=TimeInForce.DAY if TimeInForce.DAY in offered else TimeInForce.GTC,
    )
    stage.venue.submit(stage.account, wanted, stage.runtime.clock.wall_ns())
    stage.claim(order, before)


@step("another terminal changes <order:name> to <price:price>")
async def changed_elsewhere(stage: Stage, order: str, price: Price) -> None:
    """Let somebody else with the same account change the price of an order."""
    state = stage.venue_order(order)
    wanted = stage.price(price, stage.cast.role_of(state.order.instrument_id))
    stage.venue.modify(stage.account, state.order_id, stage.runtime.clock.wall_ns(), price=wanted)
    stage.wanted.get(order, {}).update(price=wanted)


@step("expect the venue has <count:count> orders")
async def venue_has(stage: Stage, count: int) -> None:
    """How many orders of the account the venue has ever got: a request that was sent twice shows here."""
    if (found := len(stage.venue_orders())) != count:
        raise MismatchError(f"the venue has {found} orders, expected {count}")


@step("expect the venue has <order:name> <status:status>")
async def venue_status(stage: Stage, order: str, status: tuple[OrderStatus, ...]) -> None:
    """The venue's own status of an order."""

    def look() -> str:
        found = stage.venue_order(order).status
        return "" if found in status else f"{order} is {found} at the venue, expected {'|'.join(status)}"

    await stage.until(look)
