"""A broker in a process of its own: ``python -m chaos.broker_worker SEED``. It outlives every trader, and keeps books.

Says where it is served, as ``dragoman emulate`` does, with the prices of what it lists. Then it answers lines: ``calm``
ends all faults and lets the market stand still, ``ledger`` prints every order request it ever received and every order
it has. It ends with its input.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from itertools import islice
from typing import Any
from urllib.parse import parse_qs

from dragoman.adapters.zerodha.emulator import USER_ID, ZerodhaEmulator

from dragoman.emulator.contract import HttpCall
from dragoman.emulator.fault_spec import parse_faults
from dragoman.emulator.faults import Faults, Plan
from dragoman.emulator.host import EmulatorHost
from dragoman.emulator.venue import Venue, default_universe
from dragoman.model import InstrumentType, Segment
from dragoman.runtime.loops import run
from dragoman.runtime.real import RealRuntime
from dragoman.testing.emulated import free_port, roots_line

LISTED = 8
RICH = {Segment.EQUITY: Decimal(10) ** 13}
WEATHER = ";".join(
    (
        "delay=10ms@POST /orders&p=0.4",
        "delay_reply=25ms@POST /orders&p=0.5",
        "delay_reply=25ms@DELETE /orders&p=0.5",
        "delay_reply=25ms@PUT /orders&p=0.5",
        "reset_reply@POST /orders&p=0.03",
        "late_http:502@POST /orders&p=0.03",
        "drop_reply@POST /orders&p=0.03",
        "reset_request@POST /orders&p=0.02",
        "drop_request@POST /orders&p=0.02",
        "http:500@POST /orders&p=0.02",
        "reset_reply@DELETE /orders&p=0.05",
        "reset_request@PUT /orders&p=0.05",
    )
)


class Unlimited(ZerodhaEmulator):
    """Counts no limits: it is the traders that set the pace."""

    def serve(self, routes: Iterable[Any], moving: Any = ()) -> None:
        super().serve([replace(route, rule=replace(route.rule, meters=())) for route in routes], moving)


class Bookkeeper(EmulatorHost):
    """Writes down every request to place an order, whatever becomes of it."""

    received: list[str]

    def plan(self, call: HttpCall, *, upgrade: bool) -> Plan:
        if call.method == "POST" and call.path.startswith("/orders/"):
            self.received += parse_qs(call.body.decode())["tag"]
        return super().plan(call, upgrade=upgrade)

    def books(self) -> dict[str, Any]:
        emulator = self.emulator
        return {
            "received": self.received,
            "orders": [
                {
                    "order_id": emulator.order_name(state.order_id),
                    "wire_id": state.order.tag,
                    "status": state.status.value,
                    "filled": str(state.filled_quantity),
                }
                for state in emulator.venue.orders(USER_ID)
            ],
            "errors": self.counters.emulator_errors,
        }


async def serve(seed: int) -> None:
    runtime = RealRuntime()
    now = runtime.clock.wall_ns()
    venue = Venue(seed, now)
    shares = (one for one in default_universe(now, seed=seed) if one.instrument.instrument_type is InstrumentType.SPOT)
    listed = list(islice((one for one in shares if one.instrument.exchange == "NSE"), LISTED))
    for listing in listed:
        venue.list(listing)
    redirect = f"http://127.0.0.1:{await free_port(runtime)}/"
    emulator = Unlimited(venue, seed=seed, accounts={USER_ID: RICH}, redirect_url=redirect)
    host = Bookkeeper(emulator, runtime, faults=Faults(parse_faults(WEATHER), seed=seed))
    host.received = []
    roots = await host.start()
    line = roots_line(roots, emulator)
    prices = [[one.instrument.instrument_id, str(one.reference), str(one.instrument.tick_size)] for one in listed]
    print(json.dumps(line | {"prices": prices}), flush=True)
    while word := (await runtime.in_worker(sys.stdin.readline)).strip():
        if word == "calm":
            host.faults.clear()
            venue.calm()  # no order fills between the last trader's reading and the ledger
            print("calm", flush=True)
        elif word == "ledger":
            print(json.dumps(host.books()), flush=True)
    await host.close()
    runtime.close()


if __name__ == "__main__":
    run(serve(int(sys.argv[1])))
