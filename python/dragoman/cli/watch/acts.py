"""What the keys of the live screen do to an account. Each tells what became of it in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dragoman.cli.watch.rows import OrderRow, PositionRow
from dragoman.errors import UsageError

if TYPE_CHECKING:
    from dragoman.client import Client

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def check_trading(trading: bool) -> None:
    """Refuse to act on a screen that only looks.

    Raises
    ------
    UsageError
    """
    if not trading:
        raise UsageError("this screen is read-only", remedy="start it with --trade to act")


async def cancel(client: Client, row: OrderRow, timeout_s: float) -> str:
    """Cancel a working order.

    Raises
    ------
    UsageError
        It is over.
    DragomanError
        As `Client.cancel`.
    """
    if not row.working:
        raise UsageError(f"order {row.order_id or row.client_order_id} is {row.status}: there is nothing to cancel")
    order = await client.cancel(row.client_order_id, timeout_s=timeout_s)
    word = order.pending.value.lower() + " sent" if not order.status.terminal else str(order.status)
    return f"order {order.order_id or order.client_order_id}: {word}"


async def flatten(client: Client, row: PositionRow, timeout_s: float) -> str:
    """Exit a position, whole, by the one way anything exits; return once that has ended.

    Raises
    ------
    UsageError
        It is flat, or the session is read-only.
    AccountBusy
        Another process writes to this account.
    """
    if not row.quantity:
        raise UsageError(f"{row.instrument_id} {row.product} is flat: there is nothing to exit")
    client.session.check_mutable()
    await client.orders_service.ensure_writer()
    name = f"WATCH{_short(client.session.runtime.clock.wall_ns() // 1000)}"
    exiting = client.rules.exits.reduce(row.key, None, "flattened on the live screen", name=name, timeout_s=timeout_s)
    report = await exiting
    word = "FAILED: " if report.failed else ""
    return f"{row.instrument_id} {row.product}: {word}{report.filled:f} of {report.wanted:f} exited, {report.reason}"


async def kill(client: Client, *, flatten_too: bool, timeout_s: float) -> str:
    """Engage the kill switch; see `Client.kill`."""
    state = await client.kill("engaged on the live screen", flatten=flatten_too, timeout_s=timeout_s)
    left = len(state.working) + len(state.unknown)
    words = f"{left} orders still to be cancelled" if left else "nothing works any more"
    if state.flatten:
        words += ", positions are closed" if state.flattened else ", positions are still being closed"
    return f"KILLED: no new order leaves, {words}"


def _short(number: int) -> str:
    """Return a number in as few characters as names allow."""
    text = ""
    while number:
        number, rest = divmod(number, 36)
        text = _DIGITS[rest] + text
    return text
