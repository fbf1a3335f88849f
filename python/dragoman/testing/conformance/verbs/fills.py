"""Trades and fills of orders, and the times of both, compared with the venue's."""

from __future__ import annotations

from decimal import Decimal

from dragoman.model import Fill, Product
from dragoman.testing.conformance.grammar import step
from dragoman.testing.conformance.stage import MismatchError, Stage


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
