"""The handle of one account at one broker, in the unified model. `dragoman.connect` makes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from html import escape
from types import TracebackType
from typing import Any

from dragoman._core import Batch, Book, Tick
from dragoman.checks import (
    Moment,
    Number,
    RiskLimits,
    WireUnits,
    flag,
    function,
    identifier,
    order_change,
    order_request,
    plain_request,
    seconds,
    several,
    text,
)
from dragoman.errors import DragomanError, ErrorKind, Rejected, UsageError
from dragoman.market import InstrumentMaster, MarketData, MasterCache
from dragoman.model import (
    Balance,
    BasketMargin,
    BookGap,
    Candle,
    Charges,
    Fill,
    Gap,
    Gtt,
    GttRequest,
    Holding,
    Instrument,
    KillEvent,
    KillState,
    Margin,
    MarginAlert,
    Mode,
    Notice,
    Order,
    OrderAlert,
    OrderMargin,
    OrderRequest,
    OrderType,
    OrderUpdate,
    Position,
    PositionAlert,
    Product,
    Profile,
    Quote,
    RuleEvent,
    Segment,
    Side,
    StreamState,
    TimeInForce,
    Variety,
)
from dragoman.orders import OrderService, name_of
from dragoman.orders.reconciler import Reconciler
from dragoman.plugin import Adapter, Fatal, FillSeen, MarginSeen, OrderSeen, QuoteSeen, Raw, Want
from dragoman.portfolio import AccountServices, Discrepancy, Portfolio
from dragoman.portfolio.guard import Guard
from dragoman.portfolio.margin.monitor import MarginMonitor
from dragoman.portfolio.margin.room import MarginRoom
from dragoman.portfolio.sampling import MoneySampler
from dragoman.rules.wiring import rule_book
from dragoman.runtime.process import process_id
from dragoman.session.backoff import patiently
from dragoman.session.fanout import Fanout, Timing
from dragoman.session.metrics import Metrics
from dragoman.session.session import AccountSession
from dragoman.session.shards import ShardedStream

_KEEP_S = 5.0

Event = (
    StreamState
    | Gap
    | BookGap
    | Notice
    | OrderAlert
    | PositionAlert
    | MarginAlert
    | RuleEvent
    | KillEvent
    | Raw
    | DragomanError
)

_TOLD_LATER = (OrderAlert, PositionAlert, MarginAlert, RuleEvent, KillEvent, Notice, DragomanError)


class Client:
    """One account, live: instruments, market data, orders, positions, margins.

    Use it as an async context manager::

        async with dragoman.connect("examplebroker", profile="main") as client:
            quote = await client.quotes("NSE:INFY")
            order = await client.place("NSE:INFY", "BUY", 1, order_type="LIMIT", price="1500.05")

    All methods belong to the loop that entered the context: on another thread or loop, and after a fork, each raises
    `UsageError` before it does anything. `instruments` and `metrics` may be looked at from any thread of the process.
    """

    def __init__(
        self,
        session: AccountSession,
        *,
        load_instruments: bool = True,
        load_orders: bool = True,
        streams: bool = True,
        cache: MasterCache | None = None,
        journal: bool = False,
        risk: RiskLimits | None = None,
        release: Callable[[], None] = lambda: None,
    ) -> None:
        self.session = session
        self._check = session.owner.check
        self._has_defaults = type(session.adapter).order_defaults is not Adapter.order_defaults
        self.instruments = InstrumentMaster()
        self._load_instruments = flag("load_instruments", load_instruments)
        self._orders_wanted = flag("load_orders", load_orders)
        self._cache = cache
        self._keeping: asyncio.Task[None] | None = None
        self._with_streams = flag("streams", streams)
        self._order_streams: tuple[str, ...] = ()
        self._release = release
        self._streams: dict[str, ShardedStream] = {}
        self._started = False
        self._closing: asyncio.Task[None] | None = None
        # What a start finds is told before anybody can listen.
        self.events: Fanout[Event] = Fanout("client", lambda event: isinstance(event, _TOLD_LATER))
        units = WireUnits(session.adapter, session.profile.settings)
        session.ctx.instruments = self.instruments
        self.market = MarketData(session, self.instruments)
        self.market.gaps.add(self.events.publish)
        self.orders_service = OrderService(session, self.instruments, units, self._following, journal=journal)
        self.orders_service.alerts.add(self.events.publish)
        self.orders_service.kills.add(self.events.publish)
        self.portfolio = Portfolio(session, self.instruments, units, self.orders_service, self.events.publish)
        self.portfolio.live.marking.hang_on(self.market.on_batch)
        self.orders_service.recorder.mark = self.portfolio.live.marking.fresh
        self._guard = Guard(session, self.instruments, self.orders_service, self.portfolio.live)
        self._guard.set(risk)
        self._reconciler: Reconciler | None = None
        self._measure()
        self.account = AccountServices(session, self.instruments, units, self.orders_service, self.portfolio.changes)
        self.margin = MarginMonitor(
            session, self.instruments, self.orders_service, self.portfolio, self.account, self.events.publish
        )
        self._samples = MoneySampler(
            session.runtime, self.instruments, self.orders_service, self.portfolio.live, self.margin
        )
        self._guard.margin = MarginRoom(self.margin, session.runtime.clock.mono_ns, self._guard.price)
        self.rules = rule_book(
            session,
            self.instruments,
            self.market,
            self.orders_service,
            self.portfolio.live,
            self.events.publish,
            self.account,
            streaming=self._streaming,
            margins=lambda: self.margin.now(),
            hurry=self.margin.hurry,
            begin=self.portfolio.begin,
        )
        self.rules.exits.compare = self.portfolio.check

    def __repr__(self) -> str:
        switch = self.orders_service.switch
        words = ("KILLED" if switch is not None and switch.engaged else "", self._journal_state())
        return f"<dragoman.Client {' '.join(filter(None, (repr(self.session), *words)))}>"

    # -- life --------------------------------------------------------------------------------------------------------

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
                await self._open_streams()
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
            if self._keeping is not None:
                steps.push_async_callback(asyncio.wait, (self._keeping,), timeout=_KEEP_S)
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
        cached, timeout_s = flag("cached", cached), seconds("timeout_s", timeout_s)
        session, cache = self.session, self._cache
        if cached and cache is not None:
            with session.runtime.garbage_kept():
                found = await session.runtime.in_worker(cache.load, session.ctx.now_ns)
            if found.master is not None:
                self.instruments.become(found.master)
                return len(self.instruments)
            if found.problem:
                self.events.publish(Notice("warning", found.problem, "MASTER_CACHE"))
        fresh, as_of = InstrumentMaster(), session.ctx.now_ns
        with session.runtime.garbage_kept():
            await session.run(session.adapter.instruments(session.ctx), timeout_s=timeout_s, on_rows=fresh.add)
        fresh.source = "download"
        self.instruments.become(fresh)
        if cache is not None:
            self._keeping = session.runtime.spawn(self._keep(cache, as_of), name="keep the instrument master")
        return len(self.instruments)

    async def _keep(self, cache: MasterCache, as_of: int) -> None:
        """Write the master for later runs; nothing waits for it, and nothing fails because of it."""
        try:
            await self.session.runtime.in_worker(cache.save, self.instruments, as_of)
        except OSError as error:
            self.events.publish(Notice("warning", f"the instrument master is not kept: {error}", "MASTER_CACHE"))

    def _audit(self) -> None:
        """Read orders, trades and positions in the background from here on, now that somebody cares for them."""
        if self._reconciler is not None:
            return
        self._reconciler = Reconciler(
            self.session,
            self.orders_service.reader,
            self.orders_service.alerts.publish,
            self._distrust,
            self.portfolio.differences,
            streaming=bool(self._order_streams),
        )
        self._reconciler.start()

    def _distrust(self, reason: str) -> None:
        """Begin the order streams anew: they left something out, and nobody knows what else."""
        for name in self._order_streams:
            self._streams[name].primary.distrust(reason)

    # -- from the streams --------------------------------------------------------------------------------------------

    async def _open_streams(self) -> None:
        """Open the first market stream and all that carry orders; the others wait for an instrument."""
        feeds = [feed for feed in self.session.adapter.feeds if feed.enabled(self.session.ctx)]
        streams_orders = bool(self.session.adapter.capabilities.features["order_stream"])
        carrying = [feed for feed in feeds if feed.kind == "orders" or feed.carries_orders] if streams_orders else []
        self._order_streams = tuple(feed.stream() for feed in carrying)
        first = next((feed for feed in feeds if feed.kind == "market"), None)
        for feed in feeds:
            if feed.kind == "orders" and feed not in carrying:
                continue
            stream = self.session.stream(
                feed.stream(), self.market.on_batch, self._on_event, lazy=feed is not first and feed not in carrying
            )
            self._streams[feed.stream()] = stream
            await stream.start()
        if first is not None:
            self.market.apply = self._apply_wants

    def _apply_wants(self, add: Sequence[Want], drop: Sequence[Want]) -> None:
        """Subscribe each instrument on the streams that serve it in its mode, and end it on those that do not."""
        streams = [stream for stream in self._streams.values() if stream.kind != "orders"]
        adds: dict[str, list[Want]] = {stream.name: [] for stream in streams}
        drops = {stream.name: [want for want in drop if stream.carries(want)] for stream in streams}
        for want in add:
            serving: dict[str, str] = {}
            for stream in streams:
                if stream.kind not in serving and stream.feed_class.serves(want.instrument, want.mode):
                    serving[stream.kind] = stream.name
                    adds[stream.name].append(want)
                elif stream.carries(want):
                    drops[stream.name].append(want)
            if not serving:
                broker = self.session.adapter.name
                raise UsageError(
                    f"{broker}: no stream carries {want.instrument.instrument_id} in mode {want.mode}",
                    kind=ErrorKind.NOT_SUPPORTED,
                    broker=broker,
                    remedy="another mode may be streamed; nothing was sent",
                )
        for stream in streams:
            stream.check_room(adds[stream.name])
        for stream in streams:
            if adds[stream.name]:
                stream.subscribe(adds[stream.name])
            if drops[stream.name]:
                stream.unsubscribe(drops[stream.name])

    def _following(self) -> bool:
        return all(name in self._streams and self._streams[name].primary.ready for name in self._order_streams)

    def _streaming(self, instrument_id: str) -> bool:
        """Whether the socket that carries an instrument stands."""
        return any(stream.delivers(instrument_id) for stream in self._streams.values() if stream.kind != "orders")

    def _on_event(self, event: Any) -> None:
        match event:
            case OrderSeen() | FillSeen():
                self.orders_service.on_stream(event)
                return
            case QuoteSeen(quote):
                self.market.on_quote(quote)
                return
            case MarginSeen():
                self.margin.on_push(event)
                return
            case Fatal(error):
                event = error
            case Gap(stream=name, reason=reason, shard=shard):
                if self._streams[name].kind != "orders":
                    unseen = self._streams[name].wanted_on(shard)
                    self.market.on_gap(unseen)
                    handles = [self.instruments.handle(want.instrument) for want in unseen]
                    self.portfolio.live.marking.interrupted(handles)
                if name in self._order_streams and shard == 1:
                    self.orders_service.mark_stale(reason or "the order stream was interrupted")
                    self._catch_up()  # at once where the connection stands: messages were left out of it
            case StreamState(stream=name, state="ready", shard=shard) if self._streams[name].kind != "orders":
                self.market.on_ready(self._streams[name].wanted_on(shard))
                self._orders_ready(name, shard)
            case StreamState(stream=name, state="ready", shard=shard):
                self._orders_ready(name, shard)
        self.events.publish(event)

    def _orders_ready(self, name: str, shard: int) -> None:
        if shard == 1 and name in self._order_streams:
            # Whatever was read before updates flow again may have missed some.
            self.orders_service.mark_stale("the order stream has just connected")
            self._catch_up()

    def _catch_up(self) -> None:
        if self._started and self._orders_wanted and self.orders_service.stale and self._following():
            self.orders_service.reread(self.events.publish)

    async def _need_orders(self, timeout_s: float) -> None:
        """Read today's orders where the client was connected without them and this is the first call to need one."""
        if not self._orders_wanted:
            await self.orders_service.refresh(timeout_s=timeout_s)
            self.portfolio.start(self.events.publish)
            self._orders_wanted = True
            self._audit()
            self._catch_up()  # a stream may have been interrupted meanwhile

    def on_event(self, callback: Callable[[Event], object]) -> Callable[[], None]:
        """Call back for stream states, gaps, notices and errors; returns what ends it.

        The first one to listen is told at once what was said before anybody could: alerts, notices and errors of the
        start.
        """
        self._check("on_event")
        return self.events.add(callback)

    # -- market data -------------------------------------------------------------------------------------------------

    def instrument(self, name: str | Instrument) -> Instrument:
        """Return an instrument by canonical id or ``EXCHANGE:BROKER_SYMBOL``; an unknown one names the nearest."""
        self._check("instrument")
        return self.instruments.resolve(name)

    async def quotes(
        self,
        names: str | Instrument | Iterable[str | Instrument],
        mode: Mode | str = Mode.FULL,
        *,
        timeout_s: float = 10.0,
    ) -> dict[str, Quote]:
        """Return quotes by canonical id; see `MarketData.quotes`."""
        self._check("quotes")
        return await self.market.quotes(names, mode, timeout_s=timeout_s)

    async def quote(self, name: str | Instrument, *, timeout_s: float = 10.0) -> Quote:
        """Return one full quote with depth."""
        self._check("quote")
        timeout_s = seconds("timeout_s", timeout_s)
        instrument = self.instruments.resolve(name)
        found = await self.market.quotes(instrument, Mode.FULL, timeout_s=timeout_s)
        if instrument.instrument_id not in found:
            raise Rejected(
                f"the broker has no quote of {instrument.instrument_id}",
                kind=ErrorKind.INSTRUMENT_NOT_FOUND,
                broker=self.session.adapter.name,
                remedy="it may have expired or never traded",
            )
        return found[instrument.instrument_id]

    async def ltp(
        self, names: str | Instrument | Iterable[str | Instrument], *, timeout_s: float = 10.0
    ) -> dict[str, float | None]:
        """Return last prices by canonical id."""
        self._check("ltp")
        found = await self.market.quotes(names, Mode.LTP, timeout_s=timeout_s)
        return {name: quote.last_price for name, quote in found.items()}

    def subscribe(
        self, names: str | Instrument | Iterable[str | Instrument], mode: Mode | str = Mode.QUOTE
    ) -> list[Instrument]:
        """Stream instruments; see `MarketData.subscribe`."""
        self._check("subscribe")
        found = self.market.subscribe(names, mode)
        self._guard.follow(found)
        return found

    def unsubscribe(self, names: str | Instrument | Iterable[str | Instrument]) -> None:
        self._check("unsubscribe")
        self.market.unsubscribe(names)

    def on_batch(self, callback: Callable[[Batch], object]) -> Callable[[], None]:
        """Call back inline with each native batch: the fast path. It must return at once; returns what ends it."""
        self._check("on_batch")
        return self.market.batches.add(callback)

    def ticks(self) -> AsyncIterator[Tick]:
        """Yield ticks of everything subscribed, conflated per instrument and kind where the consumer is slow."""
        self._check("ticks")
        return self.market.ticks()

    def book(self, name: str | Instrument) -> Book:
        """Return the live book of an instrument."""
        self._check("book")
        return self.market.book(name)

    # -- orders ------------------------------------------------------------------------------------------------------

    async def place(
        self,
        instrument: str | Instrument,
        side: Side | str,
        quantity: Number | None = None,
        *,
        lots: int | None = None,
        order_type: OrderType | str = OrderType.MARKET,
        price: Number | None = None,
        trigger_price: Number | None = None,
        time_in_force: TimeInForce | str | None = None,
        product: Product | str | None = None,
        variety: Variety | str = Variety.REGULAR,
        market_protection: Number | None = None,
        display_quantity: Number | None = None,
        tag: str | None = None,
        client_order_id: str = "",
        timeout_s: float = 10.0,
        allow_stale: bool = False,
        allow_unknown: bool = False,
        **more: Any,
    ) -> Order:
        """Place an order; return it once the broker has taken it. Its fate comes with updates: see `wait_order`.

        Parameters
        ----------
        instrument : str or Instrument
        side : {"BUY", "SELL"}
        quantity : number
            Units of the thing priced; or give `lots`.
        price, trigger_price : number
            Exact: a float counts as the shortest decimal that prints it.
        time_in_force, product : str, optional
            Left out, the broker's plain ones for the instrument (`Adapter.order_defaults`): DAY and DELIVERY unless
            its market has other words.
        market_protection : number, optional
            Percent; left out, the broker's automatic protection is asked for where it has one.
        client_order_id : str
            Your name of the order, good for one order ever: asking again under it returns what became of the first.
        allow_stale : bool
            Place although the order stream is interrupted.
        allow_unknown : bool
            Place although nobody knows what became of another order of the same instrument and side.
        **more
            Further fields of `OrderRequest`.

        Raises
        ------
        UsageError
            Refused here with the nearest valid value; zero bytes were sent.
        Rejected, NotSent, Throttled, StaleData
            Nothing is live. `error.retry` says whether and when to try again: a broker's 429 did leave, and a daily
            limit ends the day.
        OutcomeUnknown
            It may be live; look before acting, never place it again.
        """
        self._check("place")
        flag("allow_unknown", allow_unknown)
        found = self.instruments.get(instrument) if type(instrument) is str else None
        if found is None:
            found = self.instruments.resolve(instrument)
        if self._has_defaults and not (time_in_force and product):
            defaults = self.session.adapter.order_defaults(found)
            time_in_force = time_in_force or defaults.get("time_in_force")
            product = product or defaults.get("product")
        request = None
        if lots is market_protection is display_quantity is trigger_price is tag is None and not client_order_id:
            request = plain_request(found, side, quantity, order_type, price, time_in_force, product, variety, more)
        if request is None:
            terms = more | {
                "order_type": order_type,
                "price": price,
                "trigger_price": trigger_price,
                "time_in_force": time_in_force,
                "product": product,
                "variety": variety,
                "market_protection": market_protection,
                "display_quantity": display_quantity,
                "tag": tag,
                "client_order_id": client_order_id,
            }
            request = order_request(found, side, quantity, lots, terms)
        if not flag("allow_stale", allow_stale) and not self._orders_wanted:
            await self._need_orders(timeout_s)
        elif self._reconciler is None:
            self._audit()
        return await self.orders_service.placing(request, found, timeout_s, allow_stale, allow_unknown)

    async def place_many(
        self,
        orders: Iterable[OrderRequest],
        *,
        timeout_s: float = 10.0,
        allow_stale: bool = False,
        allow_unknown: bool = False,
    ) -> list[Order]:
        """Place several orders; return them as they are once each has an outcome, in the order asked for.

        Where the broker takes several with one request (feature ``basket``) they go in as few as it takes, else each
        by itself, all at once. They are not all or nothing: look at each order's `status` and `reject`. REJECTED and
        DENIED ones are not live, UNKNOWN ones may be and are being looked for; see `wait_order`. Under a
        `client_order_id` that was used before nothing is sent: that order is returned as it is.

        Parameters
        ----------
        orders : iterable of OrderRequest
        timeout_s, allow_stale, allow_unknown
            As `place` has them.

        Raises
        ------
        UsageError, Rejected, StaleData, AccountBusy
            Refused here, naming the order; zero bytes of any were sent. Those before it are DENIED, and their names
            are used.
        """
        self._check("place_many")
        wanted = several("orders", orders, OrderRequest)
        legs = [(request, self.instruments.resolve(request.instrument_id)) for request in wanted]
        stale_too, beside = flag("allow_stale", allow_stale), flag("allow_unknown", allow_unknown)
        timeout_s = seconds("timeout_s", timeout_s)
        if not stale_too:
            await self._need_orders(timeout_s)
        if self._reconciler is None:
            self._audit()
        return await self.orders_service.place_many(
            legs, timeout_s=timeout_s, allow_stale=stale_too, allow_unknown=beside
        )

    async def modify(
        self,
        order: Order | str,
        *,
        lots: int | None = None,
        timeout_s: float = 10.0,
        allow_stale: bool = False,
        **changes: Any,
    ) -> Order:
        """Change a working order: errors as `place`.

        Parameters
        ----------
        order : Order or str
        lots : int, optional
            The new total in lots, instead of `quantity`.
        **changes
            Fields of `OrderChange`: `quantity` (the new total), `price`, `trigger_price`, `order_type`,
            `time_in_force`, `display_quantity`, `market_protection`.

        Returns
        -------
        Order
            With `pending` MODIFY until the broker has confirmed it.
        """
        self._check("modify")
        name = name_of(order)
        await self._need_orders(timeout_s)
        known = self.orders_service.store.get(name)
        instrument = None if known is None else self.instruments.get(known.instrument_id)
        change, stale_too = order_change(instrument, lots, changes), flag("allow_stale", allow_stale)
        return await self.orders_service.modify(order, change, timeout_s=timeout_s, allow_stale=stale_too)

    async def cancel(self, order: Order | str, *, timeout_s: float = 10.0) -> Order:
        """Cancel a working order. Errors as `place`; an order that is known is cancelled without any reading."""
        self._check("cancel")
        if self.orders_service.store.get(name_of(order)) is None:
            await self._need_orders(timeout_s)
        return await self.orders_service.cancel(order, timeout_s=timeout_s)

    def resolve_order(self, order: Order | str, order_id: str | None) -> Order:
        """Say what became of an order that nobody could tell (see `OrderAlert`, ``UNRESOLVED``).

        Parameters
        ----------
        order : Order or str
        order_id : str or None
            What the broker calls it; None where you have seen that it never arrived.
        """
        self._check("resolve_order")
        broker_id = None if order_id is None else identifier("order_id", order_id)
        return self.orders_service.resolve(name_of(order), broker_id)

    async def orders(self, *, refresh: bool = True, timeout_s: float = 15.0) -> list[Order]:
        """Return today's orders, read from the broker unless `refresh` is False; then as they are known now."""
        self._check("orders")
        timeout_s = seconds("timeout_s", timeout_s)
        if flag("refresh", refresh):
            await self.orders_service.refresh(timeout_s=timeout_s)
            self.portfolio.start(self.events.publish)
            self._orders_wanted = True
            self._audit()
        return list(self.orders_service.store)

    def order(self, name: Order | str) -> Order | None:
        """Return an order as it is known now, by client order id, broker id or wire id, or by an earlier view of it."""
        self._check("order")
        return self.orders_service.store.get(name_of(name))

    async def order_history(self, order: Order | str, *, timeout_s: float = 10.0) -> list[Order]:
        """Return the states an order went through, oldest first."""
        self._check("order_history")
        await self._need_orders(timeout_s)
        return await self.orders_service.history(order, timeout_s=timeout_s)

    async def trades(self, order: Order | str | None = None, *, timeout_s: float = 10.0) -> list[Fill]:
        """Return today's fills, of one order or all."""
        self._check("trades")
        if order is not None:
            await self._need_orders(timeout_s)
        return await self.orders_service.trades(order, timeout_s=timeout_s)

    async def wait_order(
        self, order: Order | str, until: Callable[[Order], bool] | None = None, *, timeout_s: float = 10.0
    ) -> Order:
        """Return the order once `until` holds (by default: once it is finished); StaleData if it does not in time."""
        self._check("wait_order")
        await self._need_orders(timeout_s)
        held: Callable[[Order], bool] = (lambda one: one.status.terminal) if until is None else until
        return await self.orders_service.wait(order, held, timeout_s=timeout_s)

    def on_order(self, callback: Callable[[OrderUpdate], object]) -> Callable[[], None]:
        """Call back after every order change; returns what ends it."""
        self._check("on_order")
        return self.orders_service.updates.add(callback)

    def order_updates(self) -> AsyncIterator[OrderUpdate]:
        """Yield every order update from now on; none is dropped."""
        self._check("order_updates")
        return self.orders_service.follow()

    # -- stopping ----------------------------------------------------------------------------------------------------

    async def kill(self, reason: str = "", *, flatten: bool = False, timeout_s: float = 5.0) -> KillState:
        """Stop all new orders of the account, in every process of this host, and cancel all that work.

        It is durable before this returns, and holds until `release`, over restarts too. Cancels and exits pass. What
        still works after `timeout_s`, and which positions are left, is in the state returned; cancelling and closing go
        on for as long as this client is open, and `events` tell of it.

        Parameters
        ----------
        reason : str
            Shown wherever an order is refused.
        flatten : bool
            Close all positions too, once what worked is cancelled.
        timeout_s : float

        Raises
        ------
        Rejected
            Orders are stopped and being cancelled, but a restart may not find them so: the disk failed.
        """
        self._check("kill")
        self.session.check_mutable()
        why = text("reason", reason) if reason else ""
        who = f"process {process_id()}"
        flatten, timeout_s = flag("flatten", flatten), seconds("timeout_s", timeout_s)
        return await self.orders_service.stopping.kill(who, why, flatten=flatten, timeout_s=timeout_s)

    async def release(self, token: str | None = None, *, timeout_s: float = 5.0) -> str | None:
        """Release the kill switch, in two steps: without a token it returns one, with that it lets orders leave again.

        The token is good for this engagement only: where somebody engages the switch anew in between, it stays engaged.

        Raises
        ------
        UsageError
            The switch is not engaged, or the token is of another engagement.
        """
        self._check("release")
        self.session.check_mutable()
        given = None if token is None else text("token", token)
        stopping = self.orders_service.stopping
        return await stopping.release(given, f"process {process_id()}", seconds("timeout_s", timeout_s))

    @property
    def risk(self) -> RiskLimits | None:
        """What every order is checked against before it is sent; None where nothing is limited."""
        self._check("risk")
        return self._guard.limits

    def set_risk(self, limits: RiskLimits | None) -> None:
        """Check orders against other limits, from the next one on; None for none."""
        self._check("set_risk")
        if limits is not None and not isinstance(limits, RiskLimits):
            raise UsageError(f"limits is of type {type(limits).__name__}, expected RiskLimits or None")
        self._guard.set(limits)
        self._guard.follow(self.instruments.resolve(name) for name in self.market.subscribed)

    @property
    def killed(self) -> KillState:
        """Whether new orders are stopped, since when and why."""
        self._check("killed")
        return self.orders_service.stopping.state()

    # -- money -------------------------------------------------------------------------------------------------------

    async def positions(self, *, timeout_s: float = 10.0) -> list[Position]:
        """Return net positions with P&L as the broker counts it."""
        self._check("positions")
        return await self.portfolio.positions(timeout_s=timeout_s)

    async def margins(self, *, timeout_s: float = 10.0) -> dict[Segment, Margin]:
        """Return margins by segment."""
        self._check("margins")
        return await self.portfolio.margins(timeout_s=timeout_s)

    async def check_positions(self, *, timeout_s: float = 10.0) -> list[Discrepancy]:
        """Return where positions differ from the sum of today's fills; empty at rest when all is well."""
        self._check("check_positions")
        return await self.portfolio.check(timeout_s=timeout_s)

    # -- looking -----------------------------------------------------------------------------------------------------

    @property
    def streams(self) -> dict[str, ShardedStream]:
        """The open streams by kind; `ShardedStream.shards` has the sockets of one."""
        self._check("streams")
        return dict(self._streams)

    def counters(self) -> dict[str, Any]:
        """Return what was counted: streams, orders, books, limits, handler errors."""
        self._check("counters")
        return self._counts()

    def _counts(self) -> dict[str, Any]:
        store, audit = self.orders_service.store, self._reconciler
        return {
            "streams": {name: stream.counters for name, stream in self._streams.items()},
            "orders": dict(store.counters) | {"open": len(store.open), "unknown": len(store.unknown)},
            "journal": self._journal_counts(),
            "audit": {"readings": audit.audits, "missed": audit.missed} if audit is not None else {},
            "margin": self.margin.counts(),
            "rules": self.rules.counts(),
            "unknown_words": dict(store.unknown_words),
            "unconverted": self.account.unconverted,
            "books": {"count": len(self.market.books), "gaps": self.market.books.gaps},
            "ticks": self.market.ticks_seen,
            "conflated": self.market.conflated,
            "handler_errors": self.events.handler_errors
            + self.market.batches.handler_errors
            + self.orders_service.updates.handler_errors,
            "limits": self.session.limiter.state(),
            "master_conflicts": self.instruments.conflict_count,
            "master_skipped": self.instruments.skipped_count,
        }

    def _journal_counts(self) -> dict[str, Any]:
        """Return who writes, and what is wrong with what was written; empty where nothing is written."""
        writer = self.orders_service.writer
        if not writer.enabled:
            return {}
        journal, busy = writer.journal, writer.busy
        if journal is None:
            return {"writes": False, "failed": False, "writer_pid": 0 if busy is None else busy.pid}
        return {
            "writes": journal.failed is None,
            "failed": journal.failed is not None,
            "writer_pid": 0,
            "damage": len(journal.damage),
            "known_damage": len(journal.known_damage),
            "unreadable": journal.unreadable,
            "unwritten": journal.unwritten,
            "dropped": journal.dropped,
        }

    def _journal_state(self) -> str:
        counts = self._journal_counts()
        if not counts:
            return ""
        if counts["failed"]:
            return "not writing: the journal failed"
        if not counts["writes"]:
            pid = counts["writer_pid"]
            return f"not writing: process {pid} is" if pid else "not writing"
        wrong = ", ".join(f"{counts[what]} {what}" for what in ("damage", "unreadable", "unwritten") if counts[what])
        return f"writing, journal: {wrong}" if wrong else "writing"

    # -- the rest of the account; `account` has all of it ------------------------------------------------------------

    async def profile(self, *, timeout_s: float = 10.0) -> Profile:
        """Return who the account belongs to and what it is enabled for."""
        self._check("profile")
        return await self.account.profile(timeout_s=timeout_s)

    async def holdings(self, *, timeout_s: float = 10.0) -> list[Holding]:
        """Return securities held."""
        self._check("holdings")
        return await self.account.holdings(timeout_s=timeout_s)

    async def balances(self, *, timeout_s: float = 10.0) -> list[Balance]:
        """Return the assets of the account's wallet, where the broker keeps one."""
        self._check("balances")
        return await self.account.balances(timeout_s=timeout_s)

    async def convert(
        self, position: Position, product: Product | str, quantity: Number | None = None, *, timeout_s: float = 10.0
    ) -> None:
        """Convert a position, or part of it, to another product; see `AccountServices.convert`."""
        self._check("convert")
        await self.account.convert(position, product, quantity, timeout_s=timeout_s)

    async def candles(
        self,
        name: str | Instrument,
        interval: str,
        start: Moment,
        end: Moment,
        *,
        continuous: bool = False,
        on_rows: Callable[[Sequence[Candle]], object] | None = None,
        on_progress: Callable[[int | None, int | None], object] | None = None,
        timeout_s: float = 600.0,
    ) -> list[Candle]:
        """Return candles, oldest first; see `AccountServices.candles`."""
        self._check("candles")
        return await self.account.candles(
            name,
            interval,
            start,
            end,
            continuous=continuous,
            on_rows=on_rows,
            on_progress=on_progress,
            timeout_s=timeout_s,
        )

    async def order_margin(self, orders: Iterable[OrderRequest], *, timeout_s: float = 10.0) -> list[OrderMargin]:
        """Return what each order would need."""
        self._check("order_margin")
        return await self.account.order_margin(orders, timeout_s=timeout_s)

    async def basket_margin(
        self, orders: Iterable[OrderRequest], *, consider_positions: bool = True, timeout_s: float = 10.0
    ) -> BasketMargin:
        """Return what the orders would need together."""
        self._check("basket_margin")
        return await self.account.basket_margin(orders, consider_positions=consider_positions, timeout_s=timeout_s)

    async def charges(self, fills: Iterable[Fill], *, timeout_s: float = 10.0) -> list[Charges]:
        """Return taxes and fees of fills."""
        self._check("charges")
        return await self.account.charges(fills, timeout_s=timeout_s)

    async def gtts(self, *, timeout_s: float = 10.0) -> list[Gtt]:
        """Return the account's good-till-triggered instructions."""
        self._check("gtts")
        return await self.account.gtts(timeout_s=timeout_s)

    async def place_gtt(self, request: GttRequest, *, timeout_s: float = 10.0) -> str:
        """Place a trigger; return its id. Errors as `place`."""
        self._check("place_gtt")
        return await self.account.place_gtt(request, timeout_s=timeout_s)

    async def modify_gtt(self, gtt_id: str, request: GttRequest, *, timeout_s: float = 10.0) -> str:
        """Replace all terms of a trigger."""
        self._check("modify_gtt")
        return await self.account.modify_gtt(gtt_id, request, timeout_s=timeout_s)

    async def delete_gtt(self, gtt_id: str, *, timeout_s: float = 10.0) -> str:
        """Delete a trigger."""
        self._check("delete_gtt")
        return await self.account.delete_gtt(gtt_id, timeout_s=timeout_s)

    # -- more market data --------------------------------------------------------------------------------------------

    def on_tick(self, callback: Callable[[Tick], object]) -> Callable[[], None]:
        """Call back inline with each tick as a value. It must return at once; returns what ends it."""
        self._check("on_tick")
        function("callback", callback)

        def each_of(batch: Batch) -> None:
            for tick in batch:
                callback(tick)

        # So that a handler that raises is logged under its own name.
        each_of.__qualname__ = getattr(callback, "__qualname__", type(callback).__name__)
        return self.market.batches.add(each_of)

    # -- measuring ---------------------------------------------------------------------------------------------------

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
            **{f"{name} stream": stream.state for name, stream in self._streams.items()},
            "orders": f"{len(store)}, {len(store.open)} open, {len(store.unknown)} of unknown outcome",
        }
        cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in rows.items())
        return f"<table><caption>dragoman.Client</caption>{cells}</table>"

    def _measure(self) -> None:
        metrics, clock = self.session.metrics, self.session.runtime.clock
        metrics.read_from(self._counted)
        timing = Timing(clock.mono_ns, clock.wall_ns, metrics.handler)
        self.market.batches.measure(replace(timing, age=metrics.frame_to_handler))
        self.orders_service.updates.measure(timing)
        self.events.measure(timing)

    def _counted(self) -> dict[str, Any]:
        self.session.owner.check_process("metrics")
        limiter = self.session.limiter
        return self._counts() | {
            "throttled": limiter.throttled,
            "penalties": limiter.penalties,
            "uncounted": limiter.uncounted,
            "requests": self.session.sender.counters.requests,
            "request_failures": dict(self.session.sender.counters.failures),
            "sockets_held": self.session.sockets.own,
            "loop_stalls": self.session.stalls,
        }
