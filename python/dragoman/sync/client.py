"""The blocking client; `dragoman.sync.connect` makes it. Its types stand in ``client.pyi``, made by `sync.stubs`."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, NoReturn

from dragoman._core import Batch, Tick
from dragoman.client import Client as AsyncClient
from dragoman.market import InstrumentMaster
from dragoman.model import OrderUpdate
from dragoman.portfolio import AccountServices
from dragoman.runtime.dispatch import Mailbox
from dragoman.sync.bridge import mirror
from dragoman.sync.engine import Engine
from dragoman.sync.iterators import Following, put_ticks

PARTS: Final = {
    "session": "logout, metrics, streams and counters()",
    "market": "quotes, subscribe, ticks, on_batch and book",
    "orders_service": "place, modify, cancel, orders, trades and wait_order",
    "portfolio": "positions, margins and check_positions",
    "events": "on_event",
}
"""What an asynchronous client is put together from, and what does its work here: the parts belong to the I/O thread."""


@mirror(AccountServices)
class BlockingAccount:
    """What an account may ask beside orders: the methods of `dragoman.portfolio.AccountServices`, blocking.

    `Client.account` is one. Callbacks of `candles` run on the I/O thread and must return at once.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __repr__(self) -> str:
        return f"<account of {self._engine.name}>"

    @property
    def _source(self) -> AccountServices:
        return self._engine.client.account


@mirror(AsyncClient)
class Client:
    """One account, live, for code without an event loop: the methods of `dragoman.Client`, blocking.

    Use it as a context manager::

        with dragoman.sync.connect("examplebroker", profile="main") as client:
            quote = client.quote("NSE:INFY")
            order = client.place("NSE:INFY", "BUY", 1, order_type="LIMIT", price="1500.05")

    Notes
    -----
    Methods may be called from any thread, handlers included, but the I/O thread: there, after a fork and after
    `close` they raise `UsageError` before doing anything. Interrupting a call stops the waiting, not what was begun.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._account = BlockingAccount(engine)

    def __repr__(self) -> str:
        state = "closed" if self._engine.closed else "blocking"
        return f"<dragoman.sync.Client {self._engine.client.session!r} {state}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the account, its streams, its orders."""
        return repr(self) if self.closed else self._engine.run(self._engine.client._repr_html_, "show")

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close streams and connections; bounded, also with a dead peer. Working orders stay working.

        Queued handlers get what waits for them, for five seconds at most; iterators end; closing twice is nothing.
        """
        self._engine.close()

    @property
    def closed(self) -> bool:
        return self._engine.closed

    @property
    def instruments(self) -> InstrumentMaster:
        """The account's instruments, to be looked up from any thread."""
        return self._engine.client.instruments

    @property
    def account(self) -> BlockingAccount:
        """The rest of the account: alerts, auctions, authorisation of holdings, trigger ranges, postbacks and more."""
        return self._account

    @property
    def _source(self) -> AsyncClient:
        return self._engine.client

    def __getattr__(self, name: str) -> NoReturn:
        if name in PARTS:
            raise AttributeError(f"{name!r} belongs to the I/O thread; the blocking client has {PARTS[name]} instead")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def on_batch(self, callback: Callable[[Batch], object]) -> Callable[[], None]:
        """Call back with each native batch, always inline on the I/O thread: the fast path.

        It must return at once and may call nothing that blocks; a queued handler of ticks is `on_tick`. Returns what
        ends it.
        """
        engine = self._engine
        return engine.register(engine.client.on_batch, callback, "on_batch", inline=True)

    def on_tick(self, callback: Callable[[Tick], object], *, inline: bool = False) -> Callable[[], None]:
        """Call back with ticks, queued: the newest of each instrument where the handler is slower than the stream.

        Parameters
        ----------
        callback : callable
        inline : bool
            Run it on the I/O thread with every single tick; it must return at once then.
        """
        return self._engine.register_ticks(callback, inline=inline)

    def ticks(self) -> Following[Tick]:
        """Iterate over ticks of everything subscribed, conflated per instrument where the consumer is slow."""
        return self._engine.follow(self._engine.client.on_batch, "ticks", put_ticks)

    def order_updates(self) -> Following[OrderUpdate]:
        """Iterate over every order update from now on; none is dropped."""
        return self._engine.follow(self._engine.client.on_order, "order_updates", Mailbox.put)

    def counters(self) -> dict[str, Any]:
        """Return what was counted: streams, orders, books, limits, handler errors, and the queued handlers'."""
        engine = self._engine
        found = engine.run(engine.client.counters, "counters")
        found["handler_errors"] += engine.handler_errors
        dispatcher = engine.dispatcher
        found["queued"] = {
            "waiting": dispatcher.waiting,
            "handled": dispatcher.handled,
            "conflated": dispatcher.conflated,
            "detached": engine.io.detached,
        }
        return found
