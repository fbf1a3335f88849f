"""Orders of which nobody knows what became of them, and whether anything was missed."""

from __future__ import annotations

from decimal import Decimal

from dragoman.model import OrderStatus, Origin, Pending
from dragoman.testing.conformance.grammar import step
from dragoman.testing.conformance.stage import Stage


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
