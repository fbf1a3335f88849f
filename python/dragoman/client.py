"""The handle of one account at one broker, in the unified model. `dragoman.connect` makes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import fields as dataclass_fields
from decimal import Decimal, InvalidOperation
from types import TracebackType
from typing import Any

from dragoman._core import Batch, Book, Tick
from dragoman.checks import WireUnits
from dragoman.errors import DragomanError, UsageError
from dragoman.market import InstrumentMaster, MarketData
from dragoman.model import (
    Fill,
    Gap,
    Instrument,
    Margin,
    Mode,
    Notice,
    Order,
    OrderChange,
    OrderRequest,
    OrderType,
    OrderUpdate,
    Position,
    Product,
    Quote,
    Segment,
    Side,
    StreamState,
    TimeInForce,
    Variety,
)
from dragoman.orders import OrderService
from dragoman.plugin import Fatal, FillSeen, OrderSeen, Raw, Want
from dragoman.portfolio import Discrepancy, Portfolio
from dragoman.session.fanout import Fanout
from dragoman.session.session import AccountSession
from dragoman.session.streams import Stream

Number = Decimal | int | str | float
Event = StreamState | Gap | Notice | Raw | DragomanError

_REQUEST_FIELDS = frozenset(item.name for item in dataclass_fields(OrderRequest))


class Client:
    """One account, live: instruments, market data, orders, positions, margins.

    Use it as an async context manager::

        async with dragoman.connect("examplebroker", profile="main") as client:
            quote = await client.quotes("NSE:INFY")
            order = await client.place("NSE:INFY", "BUY", 1, order_type="LIMIT", price="1500.05")

    All methods belong to the loop that entered the context.
    """

    def __init__(self, session: AccountSession, *, load_instruments: bool = True, streams: bool = True) -> None:
        self.session = session
        self.instruments = InstrumentMaster()
        self._load_instruments = load_instruments
        self._streams_wanted = streams
        self._streams: dict[str, Stream] = {}
        self._started = False
        self.events: Fanout[Event] = Fanout("client")
        units = WireUnits(session.adapter, session.profile.settings)
        session.ctx.instruments = self.instruments
        self.market = MarketData(session, self.instruments)
        self.orders_service = OrderService(session, self.instruments, units)
        self.portfolio = Portfolio(session, self.instruments, units, self.orders_service)

    def __repr__(self) -> str:
        return f"<dragoman.Client {self.session!r}>"

    # -- life --------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Client:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Log in, load the instrument master, open the streams and read today's orders."""
        self.session.on_event(self._on_event)
        try:
            await self.session.start()
            if self._load_instruments:
                await self.load_instruments()
            if self._streams_wanted:
                await self._open_streams()
            await self.orders_service.refresh()
            self._started = True
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close streams and connections; bounded, also with a dead peer. Working orders stay working."""
        for stream in self._streams.values():
            await stream.close()
        self._streams.clear()
        self.market.close()
        self.orders_service.updates.close()
        self.events.close()
        await self.session.close()

    async def load_instruments(self, *, timeout_s: float = 120.0) -> int:
        """Download the broker's instrument master and return how many instruments it has."""
        session = self.session
        await session.run(session.adapter.instruments(session.ctx), timeout_s=timeout_s, on_rows=self.instruments.add)
        return len(self.instruments)

    async def _open_streams(self) -> None:
        adapter = self.session.adapter
        kinds = ["market"]
        if adapter.capabilities.features["order_stream"] and not any(
            feed.kind == "market" and feed.carries_orders for feed in adapter.feeds
        ):
            kinds.append("orders")
        for kind in kinds:
            stream = self.session.stream(kind, on_batch=self._on_batch, on_event=self._on_event)
            self._streams[kind] = stream
            await stream.start()
        self.market.apply = self._apply_wants

    # -- from the streams --------------------------------------------------------------------------------------------

    def _apply_wants(self, add: Sequence[Want], drop: Sequence[Want]) -> None:
        stream = self._streams["market"]
        stream.subscribe(add)
        stream.unsubscribe(drop)

    def _on_batch(self, batch: Batch) -> None:
        self.market.on_batch(batch)

    def _carries_orders(self, stream: str) -> bool:
        return stream == "orders" or "orders" not in self._streams

    def _on_event(self, event: Any) -> None:
        match event:
            case OrderSeen() | FillSeen():
                self.orders_service.on_stream(event)
            case Fatal(error):
                self.events.publish(error)
            case Gap(stream=name, reason=reason):
                if name == "market":
                    self.market.on_gap()
                if self._carries_orders(name):
                    self.orders_service.mark_stale(reason)
                self.events.publish(event)
            case StreamState(stream=name, state="ready", attempt=attempt) if self._carries_orders(name):
                self.events.publish(event)
                if self._started and (attempt or self.orders_service.stale):
                    self.session.runtime.spawn(self._reread(), name="orders after gap")
            case _:
                self.events.publish(event)

    async def _reread(self) -> None:
        """Read orders after an interruption; a failure leaves them stale, and is reported."""
        try:
            await self.orders_service.refresh()
        except DragomanError as error:
            self.events.publish(error)

    def on_event(self, callback: Callable[[Event], object]) -> Callable[[], None]:
        """Call back for stream states, gaps, notices and errors; returns what ends it."""
        return self.events.add(callback)

    # -- market data -------------------------------------------------------------------------------------------------

    def instrument(self, name: str | Instrument) -> Instrument:
        """Return an instrument by canonical id or ``EXCHANGE:BROKER_SYMBOL``; an unknown one names the nearest."""
        return self.instruments.resolve(name)

    async def quotes(
        self,
        names: str | Instrument | Iterable[str | Instrument],
        mode: Mode | str = Mode.FULL,
        *,
        timeout_s: float = 10.0,
    ) -> dict[str, Quote]:
        """Return quotes by canonical id; see `MarketData.quotes`."""
        return await self.market.quotes(names, Mode(mode), timeout_s=timeout_s)

    async def quote(self, name: str | Instrument, *, timeout_s: float = 10.0) -> Quote:
        """Return one full quote with depth."""
        instrument = self.instruments.resolve(name)
        found = await self.market.quotes(instrument, Mode.FULL, timeout_s=timeout_s)
        if instrument.instrument_id not in found:
            raise UsageError(
                f"the broker has no quote of {instrument.instrument_id}", remedy="it may have expired or never traded"
            )
        return found[instrument.instrument_id]

    async def ltp(
        self, names: str | Instrument | Iterable[str | Instrument], *, timeout_s: float = 10.0
    ) -> dict[str, float | None]:
        """Return last prices by canonical id."""
        found = await self.market.quotes(names, Mode.LTP, timeout_s=timeout_s)
        return {name: quote.last_price for name, quote in found.items()}

    def subscribe(
        self, names: str | Instrument | Iterable[str | Instrument], mode: Mode | str = Mode.QUOTE
    ) -> list[Instrument]:
        """Stream instruments; see `MarketData.subscribe`."""
        return self.market.subscribe(names, Mode(mode))

    def unsubscribe(self, names: str | Instrument | Iterable[str | Instrument]) -> None:
        self.market.unsubscribe(names)

    def on_batch(self, callback: Callable[[Batch], object]) -> Callable[[], None]:
        """Call back inline with each native batch: the fast path. It must return at once; returns what ends it."""
        return self.market.batches.add(callback)

    def ticks(self) -> AsyncIterator[Tick]:
        """Yield ticks of everything subscribed, conflated per instrument where the consumer is slow."""
        return self.market.ticks()

    def book(self, name: str | Instrument) -> Book:
        """Return the live book of an instrument."""
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
        time_in_force: TimeInForce | str = TimeInForce.DAY,
        product: Product | str = Product.DELIVERY,
        variety: Variety | str = Variety.REGULAR,
        market_protection: Number | None = None,
        display_quantity: Number | None = None,
        tag: str | None = None,
        client_order_id: str = "",
        timeout_s: float = 10.0,
        allow_stale: bool = False,
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
        market_protection : number, optional
            Percent; left out, the broker's automatic protection is asked for where it has one.
        allow_stale : bool
            Place although the order stream is interrupted.
        **more
            Further fields of `OrderRequest`.

        Raises
        ------
        UsageError
            Refused here with the nearest valid value; zero bytes were sent.
        Rejected, NotSent, Throttled, StaleData
            Nothing is live.
        OutcomeUnknown
            It may be live; look before acting, never place it again.
        """
        unknown = set(more) - _REQUEST_FIELDS
        if unknown:
            raise UsageError(f"place takes no {', '.join(sorted(unknown))}")
        found = self.instruments.resolve(instrument)
        if (quantity is None) == (lots is None):
            raise UsageError("give quantity or lots, one of them")
        units = found.lot_size * lots if lots is not None else _decimal("quantity", quantity)
        request = OrderRequest(
            instrument_id=found.instrument_id,
            side=_choice(Side, "side", side),
            quantity=units,
            order_type=_choice(OrderType, "order_type", order_type),
            price=_maybe("price", price),
            trigger_price=_maybe("trigger_price", trigger_price),
            time_in_force=_choice(TimeInForce, "time_in_force", time_in_force),
            product=_choice(Product, "product", product),
            variety=_choice(Variety, "variety", variety),
            market_protection=_maybe("market_protection", market_protection),
            display_quantity=_maybe("display_quantity", display_quantity),
            tag=tag,
            client_order_id=client_order_id,
            **more,
        )
        return await self.orders_service.place(request, timeout_s=timeout_s, allow_stale=allow_stale)

    async def modify(
        self,
        order: Order | str,
        *,
        quantity: Number | None = None,
        price: Number | None = None,
        trigger_price: Number | None = None,
        order_type: OrderType | str | None = None,
        time_in_force: TimeInForce | str | None = None,
        timeout_s: float = 10.0,
    ) -> Order:
        """Change a working order; `quantity` is the new total. Errors as `place`."""
        change = OrderChange(
            quantity=_maybe("quantity", quantity),
            price=_maybe("price", price),
            trigger_price=_maybe("trigger_price", trigger_price),
            order_type=_choice(OrderType, "order_type", order_type) if order_type else None,
            time_in_force=_choice(TimeInForce, "time_in_force", time_in_force) if time_in_force else None,
        )
        return await self.orders_service.modify(order, change, timeout_s=timeout_s)

    async def cancel(self, order: Order | str, *, timeout_s: float = 10.0) -> Order:
        """Cancel a working order. Errors as `place`."""
        return await self.orders_service.cancel(order, timeout_s=timeout_s)

    async def orders(self, *, refresh: bool = True) -> list[Order]:
        """Return today's orders, read from the broker unless `refresh` is False."""
        if refresh:
            await self.orders_service.refresh()
        return list(self.orders_service.store)

    def order(self, name: str) -> Order | None:
        """Return an order as it is known now, by client order id, broker id or wire id."""
        return self.orders_service.store.get(name)

    async def order_history(self, order: Order | str) -> list[Order]:
        """Return the states an order went through, oldest first."""
        return await self.orders_service.history(order)

    async def trades(self, order: Order | str | None = None) -> list[Fill]:
        """Return today's fills, of one order or all."""
        return await self.orders_service.trades(order)

    async def wait_order(
        self, order: Order | str, until: Callable[[Order], bool] | None = None, *, timeout_s: float = 10.0
    ) -> Order:
        """Return the order once `until` holds (by default: once it is finished); StaleData if it does not in time."""
        return await self.orders_service.wait(order, until or (lambda o: o.status.terminal), timeout_s=timeout_s)

    def on_order(self, callback: Callable[[OrderUpdate], object]) -> Callable[[], None]:
        """Call back after every order change; returns what ends it."""
        return self.orders_service.updates.add(callback)

    def order_updates(self) -> AsyncIterator[OrderUpdate]:
        """Yield every order update from now on; none is dropped."""
        return self.orders_service.follow()

    # -- money -------------------------------------------------------------------------------------------------------

    async def positions(self) -> list[Position]:
        """Return net positions with P&L as the broker counts it."""
        return await self.portfolio.positions()

    async def margins(self) -> dict[Segment, Margin]:
        """Return margins by segment."""
        return await self.portfolio.margins()

    async def check_positions(self) -> list[Discrepancy]:
        """Return where positions differ from the sum of today's fills; empty at rest when all is well."""
        return await self.portfolio.check()

    # -- looking -----------------------------------------------------------------------------------------------------

    @property
    def streams(self) -> dict[str, Stream]:
        return dict(self._streams)

    def counters(self) -> dict[str, Any]:
        """Return what was counted: streams, orders, books, limits, handler errors."""
        store = self.orders_service.store
        return {
            "streams": {name: stream.counters for name, stream in self._streams.items()},
            "orders": dict(store.counters) | {"open": len(store.open), "unknown": len(store.unknown)},
            "unknown_words": dict(store.unknown_words),
            "books": {"count": len(self.market.books), "gaps": self.market.books.gaps},
            "ticks": self.market.ticks_seen,
            "conflated": self.market.conflated,
            "handler_errors": self.events.handler_errors
            + self.market.batches.handler_errors
            + self.orders_service.updates.handler_errors,
            "limits": self.session.limiter.state(),
            "master_conflicts": len(self.instruments.conflicts),
        }


def _decimal(name: str, value: Number | None) -> Decimal:
    try:
        number = Decimal(repr(value) if isinstance(value, float) else str(value).strip())
    except InvalidOperation:
        raise UsageError(f"{name} {value!r} is not a number") from None
    if isinstance(value, bool) or not number.is_finite():
        raise UsageError(f"{name} {value!r} is not a number")
    return number


def _maybe(name: str, value: Number | None) -> Decimal | None:
    return None if value is None else _decimal(name, value)


def _choice(kind: Any, name: str, value: object) -> Any:
    try:
        return kind(value.upper() if isinstance(value, str) else value)
    except ValueError:
        offered = ", ".join(item.value for item in kind)
        raise UsageError(f"{name} {value!r} is unknown", remedy=f"use one of {offered}") from None
