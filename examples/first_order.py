"""Buy at the bid, follow the order, move it once, and leave with nothing open.

Run it alone, or against a broker that is served elsewhere::

    python examples/first_order.py
    dragoman emulate zerodha > served.json &
    python examples/first_order.py served.json
"""

from __future__ import annotations

import asyncio
import sys
from decimal import Decimal

from emulated import connected

from dragoman import Client, DragomanError, OutcomeUnknown
from dragoman.errors import ErrorKind
from dragoman.model import Order, Pending

NAME = "NSE:INFY"


def told(order: Order) -> str:
    """Return an update in words: ours of its state, and the broker's own."""
    return f"{order.status:>16}  filled {order.filled_quantity} at {order.price}  {order.raw_status}"


async def best_bid(client: Client) -> Decimal:
    """Return the best bid, once the book is there."""
    client.subscribe(NAME, "full")
    book = client.book(NAME)
    async for _ in client.ticks():
        if not book.stale and book.bid_price is not None:
            break
    return Decimal(repr(book.bid_price))


async def buy(client: Client, price: Decimal) -> Order:
    """Place a limit order and return it as it ended."""
    try:
        order = await client.place(NAME, "BUY", 10, order_type="LIMIT", price=price, product="INTRADAY", tag="first")
    except OutcomeUnknown as error:
        # It may be live. Nothing is sent again: the broker's own book says what became of it.
        await client.orders()
        found = client.order(error.client_order_id or "")
        if found is None:
            raise
        order = found
    order = await client.wait_order(order, lambda o: o.status.terminal or o.status == "OPEN" or o.filled_quantity > 0)
    tick = client.instrument(NAME).tick_size
    try:
        if order.is_open:
            await client.modify(order, price=price + tick)
            await client.wait_order(order, lambda o: o.status.terminal or o.pending is Pending.NONE)
            await client.cancel(order)
    except DragomanError as error:
        if error.kind is not ErrorKind.TOO_LATE_TO_MODIFY_OR_CANCEL:
            raise
        print(f"too late: {error}")  # it filled in between
    return await client.wait_order(order)


async def main(served: str | None = None) -> Order:
    async with connected("zerodha", served) as client:
        client.on_order(lambda update: print(told(update.order)))
        order = await buy(client, await best_bid(client))
        print(f"{order.status}: {order.filled_quantity} of {order.quantity} at {order.average_price or '-'}")
        for position in await client.positions():
            print(f"{position.instrument_id} {position.product}: {position.quantity}, P&L {position.pnl}")
        return order


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:2]))
    except DragomanError as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from None
