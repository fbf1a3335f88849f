"""Placing, changing, cancelling and following orders, compared with the venue's truth."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any, Final

from dragoman.emulator.venue.types import OrderState, VenueOrder
from dragoman.errors import DragomanError, Effect, UsageError
from dragoman.model import Fill, Order, OrderStatus, OrderType, Origin, Pending, Product, Side, TimeInForce
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


# -- what the client knows -------------------------------------------------------------------------------------------


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


# -- fills -----------------------------------------------------------------------------------------------------------


@step("expect trades of <order:name> like the venue's")
async def expect_trades(stage: Stage, order: str) -> None:
    """The broker's list of an order's executions has the venue's: side, quantity, price, each once."""
    fills = await stage.client.trades(stage.order(order))
    _compare(order, fills, stage)


@step("expect fills of <order:name> like the venue's")
async def expect_fills(stage: Stage, order: str) -> None:
    """The fills the client has booked add up to the venue's, in quantity and in value."""

    def look() -> str:
        booked = _booked(stage, order)
        truth = stage.venue.fills(stage.account, stage.venue_order(order).order_id)
        quantity = sum((one.quantity for one in truth), Decimal(0))
        value = sum((one.quantity * one.price for one in truth), Decimal(0))
        ours = sum((one.quantity for one in booked), Decimal(0))
        worth = sum((one.quantity * one.price for one in booked), Decimal(0))
        if ours != quantity or any(one.side is not truth[0].side for one in booked):
            return f"fills of {order} are {ours} {booked}, the venue has {quantity}"
        return "" if abs(worth - value) <= abs(value) * Decimal("0.00001") else f"worth {worth}, the venue has {value}"

    await stage.until(look)


def _booked(stage: Stage, name: str) -> list[Fill]:
    """Return what the updates brought, less what later ones made void."""
    found: dict[str, Fill] = {}
    for update in stage.watch.updates:
        if update.order.client_order_id == stage.order(name).client_order_id:
            for void in update.replaced:
                found.pop(void, None)
            found.update((fill.trade_id, fill) for fill in update.fills)
    return list(found.values())


def _compare(name: str, fills: list[Fill], stage: Stage) -> None:
    state = stage.venue_order(name)
    truth = sorted((one.quantity, one.price, one.side) for one in stage.venue.fills(stage.account, state.order_id))
    found = sorted((one.quantity, one.price, one.side) for one in fills)
    if found != truth:
        raise MismatchError(f"trades of {name} are {found}, the venue has {truth}")
    if len({one.trade_id for one in fills}) != len(fills):
        raise MismatchError(f"trade ids of {name} repeat: {[one.trade_id for one in fills]}")
    for one in fills:
        if stage.at_venue(one.instrument_id, one.product) not in (state.order.product, Product.UNKNOWN):
            raise MismatchError(f"product of a trade of {name} is {one.product}, the venue has {state.order.product}")


@step("expect trade times of <order:name> of now")
async def expect_trade_times(stage: Stage, order: str) -> None:
    """The executions' times at the exchange are now, to a few seconds."""
    now = stage.runtime.clock.wall_ns()
    for fill in await stage.client.trades(stage.order(order)):
        if fill.ts_event is None or abs(fill.ts_event - now) > 10_000_000_000:
            away = "absent" if fill.ts_event is None else f"{(fill.ts_event - now) / 1e9:+.1f} s from now"
            raise MismatchError(f"the time of trade {fill.trade_id} is {away}")


@step("expect times of <order:name> of now")
async def expect_order_times(stage: Stage, order: str) -> None:
    """The order's own times are now, to a few seconds."""
    found, now = stage.order(order), stage.runtime.clock.wall_ns()
    for field in ("ts_created", "ts_event"):
        time = getattr(found, field)
        if time is not None and abs(time - now) > 60_000_000_000:
            raise MismatchError(f"{field} of {order} is {(time - now) / 1e9:+.1f} s from now")
    if found.ts_created is None and found.ts_event is None:
        raise MismatchError(f"{order} has no time of the broker")


# -- orders in doubt -------------------------------------------------------------------------------------------------


@step("<order:name> is the newest order of the venue")
async def is_newest(stage: Stage, order: str) -> None:
    """Name the order that the venue got last: one that came out of a queue."""
    stage.claim(order, set())


@step("place <order:name> again")
async def place_again(stage: Stage, order: str) -> None:
    """Ask once more for the same order under the same name."""
    given = dict(stage.wanted[order])
    await stage.client.place(
        given.pop("instrument"), given.pop("side"), given.pop("quantity"), client_order_id=order, **given
    )


@step("resolve <order:name> as lost")
async def resolve_lost(stage: Stage, order: str) -> None:
    """Say that an order of unknown outcome never arrived, as a user who has looked at the broker."""
    stage.client.resolve_order(order, None)


@step("resolve <order:name> as the venue's")
async def resolve_found(stage: Stage, order: str) -> None:
    """Say which of the broker's orders it is."""
    stage.client.resolve_order(order, stage.broker_id(order))


@step("expect nothing in doubt")
async def expect_no_doubt(stage: Stage) -> None:
    """Within two minutes no order is of unknown outcome, and no change or cancel without one."""

    def look() -> str:
        doubted = [
            f"{order.client_order_id} is {order.status} {order.pending}"
            for order in stage.client.orders_service.store
            if order.status is OrderStatus.UNKNOWN or (order.pending is not Pending.NONE and order.status.working)
        ]
        return "; ".join(doubted)

    await stage.until(look, 12 * stage.patience_s)


@step("expect <order:name> is ours")
async def expect_ours(stage: Stage, order: str) -> None:
    """The client knows it as one of its own, whichever run has placed it."""

    def look() -> str:
        found = stage.find(order)
        return "" if found is not None and found.origin is Origin.US else f"{order} is {found!r}"

    await stage.until(look)


@step("expect the fills kept of <order:name> like the venue's")
async def expect_kept(stage: Stage, order: str) -> None:
    """The fills that the client keeps, whichever run has booked them, are the venue's, each once."""

    def look() -> str:
        name = stage.order(order).client_order_id
        kept = sorted((one.quantity, one.price) for one in stage.client.orders_service.store.fills.of(name))
        truth = sorted(
            (one.quantity, one.price) for one in stage.venue.fills(stage.account, stage.venue_order(order).order_id)
        )
        if sum((one for one, _ in kept), Decimal(0)) != sum((one for one, _ in truth), Decimal(0)):
            return f"fills kept of {order} are {kept}, the venue has {truth}"
        return ""

    await stage.until(look)


@step("expect the orders complete as of the last <time:seconds>")
async def expect_complete(stage: Stage, time: float) -> None:
    """How long ago everything was read, at most, by the broker's clock."""

    def look() -> str:
        as_of = stage.client.orders_service.complete_as_of
        if as_of is None:
            return "nothing has been read"
        age_s = (stage.runtime.clock.wall_ns() - as_of) / 1e9
        return "" if age_s <= time else f"the last reading is of {age_s:.0f} s ago"

    await stage.until(look)


@step("expect the orders stale")
async def expect_stale(stage: Stage) -> None:
    """The client says that it may have missed something."""
    await stage.until(lambda: "" if stage.client.orders_service.stale else "they are fresh")


@step("expect the orders fresh")
async def expect_fresh(stage: Stage) -> None:
    """The client says that it has missed nothing."""
    await stage.until(lambda: "they are stale" if stage.client.orders_service.stale else "", 3 * stage.patience_s)
