"""The handle of one account at one broker, in the unified model. `dragoman.connect` makes it.

`Client` is the one public class; its methods stand by what they are about in `client_market`, `client_orders` and
`client_account`, and what they work on in `client_parts`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from html import escape
from types import TracebackType
from typing import Any

from dragoman.checks import flag, seconds
from dragoman.client_account import AccountMethods
from dragoman.client_market import MarketMethods
from dragoman.client_orders import OrderMethods
from dragoman.client_parts import Event
from dragoman.session.backoff import patiently
from dragoman.session.metrics import Metrics

__all__ = ["Client", "Event"]


class Client(MarketMethods, OrderMethods, AccountMethods):
    """One account, live: instruments, market data, orders, positions, margins.

    Use it as an async context manager::

        async with dragoman.connect("examplebroker", profile="main") as client:
            quote = await client.quotes("NSE:INFY")
            order = await client.place("NSE:INFY", "BUY", 1, order_type="LIMIT", price="1500.05")

    All methods belong to the loop that entered the context: on another thread or loop, and after a fork, each raises
    `UsageError` before it does anything. `instruments` and `metrics` may be looked at from any thread of the process.
    """

    def __repr__(self) -> str:
        switch = self.orders_service.switch
        words = ("KILLED" if switch is not None and switch.engaged else "", self._journal_state())
        return f"<dragoman.Client {' '.join(filter(None, (repr(self.session), *words)))}>"

    async def __aenter__(self) -> Client:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Log in, load the instrument master, open the streams and read today's orders, as far as they are wanted."""
        self.session.on_event(self._on_event)
        try:
            await self.session.start()
            await self.orders_service.open()
            if self._load_instruments:
                await self.load_instruments(cached=True)
            if self._with_streams:
                await self._streams.start()
            if self._orders_wanted:
                await patiently(self.orders_service.refresh, self.session.runtime.sleep)
                self.portfolio.start(self.events.publish)
            self._started = True
            self._catch_up()
            if self._orders_wanted or self.orders_service.store.open:
                self._audit()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close streams and connections; bounded, also with a dead peer. Working orders stay working.

        What was sent and is not answered yet is waited for, a few seconds; then it is UNKNOWN. All iterators end.
        Cancelling whoever waits for it does not stop it: the account is let go of all the same. A second call waits for
        the first.
        """
        self._check("close")
        if self._closing is None or self._closing.cancelled():
            self._closing = self.session.runtime.spawn(self._close(), name="close the client")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        # Entered last, done first; each is done whatever the others raise.
        async with AsyncExitStack() as steps:
            steps.callback(self._release)
            steps.callback(self.events.close)
            steps.push_async_callback(self._master.close)
            steps.push_async_callback(self.orders_service.close)
            steps.push_async_callback(self.portfolio.close)
            steps.push_async_callback(self.session.close)
            steps.push_async_callback(self.orders_service.pause)
            if self._reconciler is not None:
                steps.push_async_callback(self._reconciler.close)
            steps.push_async_callback(self.margin.close)
            steps.callback(self.market.close)
            steps.push_async_callback(self._samples.close)
            steps.push_async_callback(self.rules.close)

    async def logout(self) -> None:
        """End the session at the broker and forget its token: nothing can use it from here on, in no process.

        From then on calls raise `AuthRequired`, with zero bytes sent: close the client, and connect again. Working
        orders stay working. `close` without it keeps the session for the next run.
        """
        self._check("logout")
        await self.session.logout()

    async def load_instruments(self, *, cached: bool = False, timeout_s: float = 120.0) -> int:
        """Download the broker's instrument master and return how many instruments it has.

        The instruments known so far stay in force until the new master is complete.

        Parameters
        ----------
        cached : bool
            Take today's from this host's cache where it is there and whole.
        timeout_s : float
        """
        self._check("load_instruments")
        return await self._master.load(cached=flag("cached", cached), timeout_s=seconds("timeout_s", timeout_s))

    def on_event(self, callback: Callable[[Event], object]) -> Callable[[], None]:
        """Call back for stream states, gaps, notices and errors; returns what ends it.

        The first one to listen is told at once what was said before anybody could: alerts, notices and errors of the
        start.
        """
        self._check("on_event")
        return self.events.add(callback)

    def counters(self) -> dict[str, Any]:
        """Return what was counted: streams, orders, books, limits, handler errors."""
        self._check("counters")
        return self._counts()

    @property
    def metrics(self) -> Metrics:
        """What is measured: latencies, counts, and both as Prometheus text. Any thread may look."""
        self.session.owner.check_process("metrics")
        return self.session.metrics

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the account, its streams, its orders."""
        store = self.orders_service.store
        rows = {
            "session": repr(self.session),
            "journal": self._journal_state() or "none",
            **({"kill switch": "engaged"} if self.orders_service.stopping.state().engaged else {}),
            "instruments": str(len(self.instruments)),
            **{f"{name} stream": stream.state for name, stream in self._streams.open.items()},
            "orders": f"{len(store)}, {len(store.open)} open, {len(store.unknown)} of unknown outcome",
        }
        cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in rows.items())
        return f"<table><caption>dragoman.Client</caption>{cells}</table>"
