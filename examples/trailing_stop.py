"""Buy, let a trailing stop follow the price, and see it sell when the price falls back.

Run it alone, or against a broker that is served elsewhere::

    python examples/trailing_stop.py
    dragoman emulate zerodha > served.json &
    python examples/trailing_stop.py served.json
"""

from __future__ import annotations

import asyncio
import sys

from emulated import connected

from dragoman import Client
from dragoman.model import RuleEvent, RuleState
from dragoman.rules import TrailingStop

NAME = "NSE:INFY"


def tell(event: RuleEvent) -> None:
    """Print what happened to a rule."""
    levels = "" if event.state is None else ", ".join(str(level) for level in event.state.levels)
    print(f"{event.status:9} {levels and 'at ' + levels:12} {event.reason}")


async def guard(client: Client, seconds: float) -> RuleState:
    """Arm a trailing stop a few ticks below the price, and wait until it has sold; return what became of it."""
    over = asyncio.Event()

    def hear(event: RuleEvent) -> None:
        tell(event)
        if event.status.terminal:
            over.set()

    client.rules.on_rule(hear)
    state = await client.rules.add(TrailingStop(instrument_id=NAME, product="INTRADAY", ticks=3))
    print(state.statement)
    try:
        async with asyncio.timeout(seconds):
            await over.wait()
    except TimeoutError:
        await client.rules.cancel(state.rule_id)
    return client.rules.get(state.rule_id)


async def main(served: str | None = None, seconds: float = 60.0) -> RuleState:
    """Open a position, guard it, and return what became of the rule."""
    async with connected("zerodha", served) as client:
        order = await client.place(NAME, "BUY", 10, product="INTRADAY")
        order = await client.wait_order(order)
        print(f"bought {order.filled_quantity} at {order.average_price}")
        state = await guard(client, seconds)
        row = client.portfolio.live.row(NAME, product="INTRADAY")
        print(f"{state.status}: {state.exited} sold, {row.realised_pnl if row else 0} made or lost")
    return state


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
