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
from typing import TYPE_CHECKING, Any

import dragoman as library
from benchmarks.bench_orders import InMemory, roomy
from benchmarks.frames import TOKENS, master
from benchmarks.money import holdings, walks
from benchmarks.stage import Child
from dragoman._core import Marks, Triggers
from dragoman.model import Notice
from dragoman.runtime.loops import run
from dragoman.runtime.real import RealRuntime
from dragoman.transport.http_conn import HttpConnection

if TYPE_CHECKING:
    from benchmarks.consumers import Tally


class Written:
    """Notes when the bytes of orders have left, for as long as some are due.

    A loop may write what a transport is given at the end of its turn; what it is asked to call soon it calls in the
    next one, so then the bytes have certainly left.
    """

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._read_ns: list[int] = []
        self._send = HttpConnection.send

    def watch(self) -> None:
        """Have every connection tell of what it sends."""
        written = self

        def send(connection: HttpConnection, *args: Any, **options: Any) -> None:
            written._send(connection, *args, **options)
            if written._read_ns and connection._request is not None and connection._request.method == "POST":
                asyncio.get_running_loop().call_soon(written.left)

        HttpConnection.send = send  # type: ignore[assignment, method-assign]

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


def stops(tally: Tally, port: int, path: str, instruments: int, *, on_disk: bool) -> None:
    """Run the client; a rule that fired is armed again, so that it fires with the next fall."""
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
            handles = [client.instruments.handle(client.instruments.resolve(name)) for name in names]
            marks, triggers = Marks(), Triggers()
            refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            for slot, (one, handle) in enumerate(zip(book, handles, strict=True)):
                one.enter(slot, handle, marks)
                one.arm(slot, handle, triggers)

            def moved(fired: tuple[int, ...]) -> None:
                for slot, price, _, _, read_ns in triggers.fired():
                    written.due(read_ns)
                    order = client.place(
                        instrument=names[slot],
                        side="SELL",
                        quantity=int(book[slot].quantity),
                        order_type="LIMIT",
                        price=f"{price:.2f}",
                        product="DELIVERY",
                    )
                    task = asyncio.get_running_loop().create_task(order)
                    tasks.add(task)
                    task.add_done_callback(finished)
                for slot in fired:
                    book[slot].arm(slot, handles[slot], triggers)

            def finished(task: asyncio.Task[Any]) -> None:
                tasks.discard(task)
                error = task.exception()
                if error is not None and not refused.done():
                    refused.set_exception(error)

            written.watch()
            handout = client.market.on_batch
            handout.marks, handout.triggers, handout.moved = marks, triggers, moved
            print("ready", flush=True)
            await refused

    run(main())
