"""A client that holds 1,000 positions and as many rules, and sends an order for each rule that a tick fires.

A consumer of the player (see `benchmarks.consumers`): its ticks come from the player, its orders go to a taker of its
own. It reports when each order was written, and how long that was after the tick was read from the socket.
"""

from __future__ import annotations

import asyncio
import gzip
import pathlib
import tempfile
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import dragoman as library
from benchmarks.bench_orders import InMemory, roomy
from benchmarks.frames import TOKENS, master
from benchmarks.money import Holding, holdings, walks
from benchmarks.stage import Child
from dragoman.model import Notice, OrderType, Position, Product
from dragoman.model.rules import RuleEvent, RuleStatus
from dragoman.rules import Send, StopLoss
from dragoman.runtime.loops import run
from dragoman.runtime.real import RealRuntime
from dragoman.transport.http_conn import HttpConnection

if TYPE_CHECKING:
    from benchmarks.consumers import Tally


LIMIT = Send(order_type=OrderType.LIMIT, reprice_s=3600.0)


class Written:
    """Notes when the bytes of orders have left, for as long as some are due.

    A loop may write what a transport is given at the end of its turn; what it is asked to call soon it calls in the
    next one, so then the bytes have certainly left.
    """

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._read_ns: list[int] = []
        self._carry = HttpConnection.carry

    def watch(self) -> None:
        """Have every connection tell of what it sends."""
        written = self

        def carry(connection: HttpConnection, *args: Any) -> None:
            written._carry(connection, *args)
            if written._read_ns and connection._request is not None and connection._request.method == "POST":
                asyncio.get_running_loop().call_soon(written.left)

        HttpConnection.carry = carry  # type: ignore[assignment, method-assign]

    def due(self, read_ns: int) -> None:
        """Expect an order for a tick that was read at this time of the wall clock."""
        self._read_ns.append(read_ns)

    def left(self) -> None:
        self._tally.spans.append(time.time_ns() - self._read_ns.pop(0))
        self._tally.ends.append(time.monotonic_ns())

    def told(self, word: str) -> None:
        """Obey the player, but report only once all that is due has left."""
        if word == "report" and self._read_ns:
            asyncio.get_running_loop().call_later(0.01, self.told, word)
        else:
            self._tally.told(word)


def held(name: str, one: Holding) -> Position:
    """Return a position that outlasts every stop that takes one of it."""
    quantity = Decimal(1_000_000)
    average = round(Decimal(one.average), 2)
    return Position(
        instrument_id=name,
        product=Product.DELIVERY,
        quantity=quantity,
        overnight_quantity=quantity,
        average_price=average,
    )


def stops(tally: Tally, port: int, path: str, instruments: int, *, on_disk: bool) -> None:
    """Run the client; a position whose stop fired is guarded anew, so that it exits with the next fall."""
    written = Written(tally)
    tasks: set[asyncio.Task[Any]] = set()

    async def main() -> None:
        with tempfile.TemporaryDirectory() as folder:
            listed = pathlib.Path(folder) / "master.gz"
            listed.write_bytes(gzip.compress(master(instruments), 1))
            taker = Child("benchmarks.taker", str(listed))
            orders = f"http://127.0.0.1:{taker.line()}"
            client = await library.connect(
                roomy(),
                "stops",
                environment="emulator",
                overrides={
                    "hosts": {"rest": orders, "ws": f"ws://127.0.0.1:{port}/{path}", "login": orders},
                    "credentials": {"api_key": "emu_key", "api_secret": "emu_secret"},
                    "account": "EMU001",
                },
                access_token="emu_token",
                state_dir=f"{folder}/state",
                runtime=RealRuntime() if on_disk else InMemory(),
            )
            names = [f"NSE:T{token}" for token in TOKENS[:instruments]]
            client.subscribe(names, "full")
            client.on_event(lambda event: written.told(event.text) if isinstance(event, Notice) else None)
            book = holdings(0.2, walks(0)[0])
            client.portfolio.live.seed(
                [held(name, one) for name, one in zip(names, book, strict=True)], (), time.time_ns()
            )
            ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            guards: dict[str, StopLoss] = {}

            async def guard(rule: StopLoss) -> None:
                guards[(await client.rules.add(rule)).rule_id] = rule

            def again(event: RuleEvent) -> None:
                """Guard the same position anew, once its order has left."""
                if event.status is RuleStatus.EXITING:
                    task = asyncio.get_running_loop().create_task(guard(guards.pop(event.rule_id)))
                    tasks.add(task)
                    task.add_done_callback(finished)
                elif event.status in (RuleStatus.FAILED, RuleStatus.SUSPENDED) and not ended.done():
                    ended.set_exception(RuntimeError(f"rule {event.rule_id} is {event.status}: {event.reason}"))

            def finished(task: asyncio.Task[Any]) -> None:
                tasks.discard(task)
                error = task.exception()
                if error is not None and not ended.done():
                    ended.set_exception(error)

            for name, one in zip(names, book, strict=True):
                level = round(Decimal(one.level), 1)
                await guard(
                    StopLoss(instrument_id=name, product=Product.DELIVERY, price=level, quantity=Decimal(1), send=LIMIT)
                )
            handout = client.market.on_batch
            triggers, moved = handout.triggers, handout.moved
            assert triggers is not None
            assert moved is not None
            assert len(triggers) == instruments

            def timed(fired: tuple[int, ...]) -> None:
                for row in triggers.fired():
                    written.due(row[-1])
                moved(fired)

            handout.moved = timed
            client.rules.on_rule(again)
            written.watch()
            print("ready", flush=True)
            await ended

    run(main())
