"""Wait until an order is what the caller waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from dragoman.checks import function, seconds
from dragoman.errors import StaleData
from dragoman.model import Order, OrderUpdate
from dragoman.orders.store import OrderStore
from dragoman.session.fanout import Fanout


async def wait_until(
    store: OrderStore,
    updates: Fanout[OrderUpdate],
    name: str,
    until: Callable[[Order], bool],
    *,
    timeout_s: float,
    broker: str,
) -> Order:
    """Return the order `name`, which is in the store, once `until` holds for it; what `until` raises, this raises.

    Raises
    ------
    UsageError
        `timeout_s` is no finite number: nothing waits for ever. `until` cannot be called.
    StaleData
        If it does not within `timeout_s`; the message says what the order is.
    """
    timeout_s = seconds("timeout_s", timeout_s)
    function("until", until)
    done: asyncio.Future[Order] = asyncio.get_running_loop().create_future()

    def current() -> Order:
        found = store.get(name)
        if found is None:
            raise LookupError(f"order {name} is gone from the store")
        return found

    def look(update: OrderUpdate) -> None:
        # Its name may have changed since: an order of others that proved to be ours.
        if done.done() or update.order.client_order_id != current().client_order_id:
            return
        try:
            if until(update.order):
                done.set_result(update.order)
        except Exception as error:  # noqa: BLE001 - the caller's code; it gets back what it raised
            done.set_exception(error)

    if until(now := current()):
        return now
    remove = updates.add(look)
    try:
        async with asyncio.timeout(timeout_s) as limit:
            return await done
    except TimeoutError:
        if not limit.expired():
            raise  # the caller's own
        now = current()
        raise StaleData(
            f"order {now.order_id or name} is {now.status} ({now.filled_quantity} of {now.quantity} filled) after"
            f" {timeout_s:g} s of waiting",
            broker=broker,
            remedy="wait longer, or read orders() if the stream may be dead",
            client_order_id=name,
        ) from None
    finally:
        remove()
