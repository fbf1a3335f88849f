"""The blocking client; `dragoman.sync.connect` makes it. Its types stand in ``client.pyi``, made by `sync.stubs`."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Generic, NoReturn, TypeVar

from dragoman._core import Batch, Tick
from dragoman.checks import Number
from dragoman.client import Client as AsyncClient
from dragoman.client import Event
from dragoman.market import InstrumentMaster, MarketData
from dragoman.model import BookGap, MarginAlert, OrderUpdate, Segment
from dragoman.portfolio import AccountServices
from dragoman.portfolio.margin.monitor import MarginMonitor
from dragoman.rules.book import RuleBook
from dragoman.runtime.dispatch import Mailbox
from dragoman.session.fanout import Fanout
from dragoman.session.session import AccountSession
from dragoman.sync.bridge import MARGIN, MARKET, RULES, SESSION, mirror
from dragoman.sync.engine import Engine
from dragoman.sync.iterators import Following, put_ticks

E = TypeVar("E")

PARTS: Final = {
    "orders_service": "place, modify, cancel, orders, trades and wait_order",
    "portfolio": "positions, margins and check_positions",
}
"""Parts of an asynchronous client that stay on the I/O thread, and what does their work here."""


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


class BlockingEvents(Generic[E]):
    """Events of one kind, for code without an event loop: a `dragoman.session.fanout.Fanout`, blocking.

    `Client.events` and `BlockingMarket.gaps` are some.
    """

    def __init__(self, engine: Engine, find: Callable[[], Fanout[E]], what: str) -> None:
        self._engine = engine
        self._find = find
        self._what = what

    def __repr__(self) -> str:
        return f"<{self._what} of {self._engine.name}>"

    def add(self, callback: Callable[[E], object], *, inline: bool = False) -> Callable[[], None]:
        """Call back with each event from now on, queued, or with `inline` on the I/O thread; returns what ends it."""
        return self._engine.register(self._source.add, callback, self._what, inline=inline)

    def iterate(self) -> Following[E]:
        """Iterate over every event from now on; none is dropped."""
        return self._engine.follow(self._source.add, self._what, Mailbox.put)

    @property
    def published(self) -> int:
        """Events there were so far."""
        return self._engine.run(lambda: self._source.published, self._what)

    @property
    def _source(self) -> Fanout[E]:
        return self._find()


@mirror(MarketData, MARKET)
class BlockingMarket:
    """Quotes, ticks and books of one account: the methods of `dragoman.market.MarketData`, blocking.

    `Client.market` is one. Batches are handed out by `Client.on_batch`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._gaps = BlockingEvents(engine, lambda: engine.client.market.gaps, "book gaps")

    def __repr__(self) -> str:
        return f"<market data of {self._engine.name}>"

    def ticks(self) -> Following[Tick]:
        """Iterate over ticks of everything subscribed, conflated per instrument where the consumer is slow."""
        return self._engine.follow(self._engine.client.on_batch, "ticks", put_ticks)

    @property
    def gaps(self) -> BlockingEvents[BookGap]:
        """Told of each book that lost its way, and of why."""
        return self._gaps

    @property
    def _source(self) -> MarketData:
        return self._engine.client.market


@mirror(MarginMonitor, MARGIN)
class BlockingMargin:
    """Margins between readings and at them: the methods of `dragoman.portfolio.margin.MarginMonitor`, blocking.

    `Client.margin` is one.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __repr__(self) -> str:
        return f"<margin of {self._engine.name}>"

    def threshold(
        self,
        segment: Segment | str,
        *,
        below: Number | None = None,
        utilisation_above: Number | None = None,
        falling_faster: Number | None = None,
        hysteresis: Number | None = None,
        name: str = "",
        callback: Callable[[MarginAlert], object] | None = None,
    ) -> Callable[[], None]:
        """Tell when a margin crosses a limit, see `MarginMonitor.threshold`; returns what ends it.

        `callback` runs on the I/O thread and must return at once; `Client.on_event` queues the same alerts.
        """

        def add(call: Callable[[MarginAlert], object]) -> Callable[[], None]:
            return self._source.threshold(
                segment,
                below=below,
                utilisation_above=utilisation_above,
                falling_faster=falling_faster,
                hysteresis=hysteresis,
                name=name,
                callback=None if callback is None else call,
            )

        return self._engine.register(add, callback or _unheard, "margin.threshold", inline=True)

    @property
    def _source(self) -> MarginMonitor:
        return self._engine.client.margin


def _unheard(alert: MarginAlert) -> None:
    """Stand for a callback that was not given."""


@mirror(RuleBook, RULES)
class BlockingRules:
    """Rules that watch positions: the methods of `dragoman.rules.book.RuleBook`, blocking.

    `Client.rules` is one. Plans run on the I/O thread and must return at once.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __repr__(self) -> str:
        return f"<rules of {self._engine.name}>"

    @property
    def _source(self) -> RuleBook:
        return self._engine.client.rules


@mirror(AccountSession, SESSION)
class BlockingSession:
    """The login behind a client: what `dragoman.session.session.AccountSession` tells and does, blocking.

    `Client.session` is one.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __repr__(self) -> str:
        return f"<session of {self._engine.name}>"

    def login(self) -> None:
        """Log in anew, also over a session that stands; streams that had ended for want of it begin again.

        `open_url` and `prompt`, as `connect` got them, run on the calling thread meanwhile and may block.
        """
        self._engine.attend(self._source.login, "session.login")

    @property
    def profile(self) -> str:
        """The profile's name."""
        return self._engine.run(lambda: self._source.profile.name, "session.profile")

    @property
    def read_only(self) -> bool:
        """Whether every mutating call is a UsageError."""
        return self._engine.run(lambda: self._source.read_only, "session.read_only")

    @property
    def expires_ns(self) -> int | None:
        """When the session ends, by the broker's clock: ns UTC, or None where it does not say."""
        return self._engine.run(lambda: self._source.expires_ns, "session.expires_ns")

    @property
    def stalls(self) -> int:
        """Times a handler blocked the I/O loop long enough to be named."""
        return self._engine.run(lambda: self._source.stalls, "session.stalls")

    @property
    def _source(self) -> AccountSession:
        return self._engine.client.session


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
        self._session = BlockingSession(engine)
        self._market = BlockingMarket(engine)
        self._rules = BlockingRules(engine)
        self._margin = BlockingMargin(engine)
        self._events: BlockingEvents[Event] = BlockingEvents(engine, lambda: engine.client.events, "events")

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
    def session(self) -> BlockingSession:
        """The login behind this client: `login`, `logout`, until when it lasts, whose it is."""
        return self._session

    @property
    def market(self) -> BlockingMarket:
        """Quotes, subscriptions, ticks and books; this client has them as methods too."""
        return self._market

    @property
    def margin(self) -> BlockingMargin:
        """Margins as they are now, watched, and limits that tell when they are crossed."""
        return self._margin

    @property
    def rules(self) -> BlockingRules:
        """Rules that watch positions and make them smaller."""
        return self._rules

    @property
    def events(self) -> BlockingEvents[Event]:
        """Stream states, gaps, notices and errors, as `on_event` tells them, and to be iterated over."""
        return self._events

    @property
    def _source(self) -> AsyncClient:
        return self._engine.client

    def __getattr__(self, name: str) -> NoReturn:
        if name in PARTS:
            raise AttributeError(f"{name!r} stays on the I/O thread; the blocking client has {PARTS[name]} instead")
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
