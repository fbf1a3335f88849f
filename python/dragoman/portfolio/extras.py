"""What an account may ask its broker beside orders: holdings, conversion, margins before the fact, triggers, alerts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TypeVar
from zoneinfo import ZoneInfo

from dragoman.checks import (
    Moment,
    Number,
    WireUnits,
    check_quantity,
    check_request,
    check_triggered,
    choice,
    exact,
    flag,
    function,
    identifier,
    record,
    seconds,
    several,
    span,
    text,
)
from dragoman.errors import ErrorKind, UsageError
from dragoman.market import InstrumentMaster
from dragoman.model import (
    Alert,
    AlertEvent,
    AlertRequest,
    Balance,
    BasketMargin,
    Candle,
    Charges,
    Fill,
    Gtt,
    GttRequest,
    Holding,
    HoldingsAuthorisation,
    HoldingsSummary,
    Instrument,
    Order,
    OrderMargin,
    OrderRequest,
    Position,
    Product,
    Profile,
    Side,
    TriggerRange,
)
from dragoman.orders import OrderService
from dragoman.plugin import Adapter, Flow
from dragoman.portfolio.changes import PositionChanges
from dragoman.portfolio.opening import from_overnight
from dragoman.session.session import AccountSession

T = TypeVar("T")
Named = str | Instrument
Progress = Callable[[int | None, int | None], object]
Rows = Callable[[Sequence[Candle]], object]


class AccountServices:
    """Runs the adapter's flows that are not orders, in units and by canonical names.

    Every method raises UsageError with the adapter's reason where the broker does not offer it, and for an argument
    that cannot be read: nothing was done or sent then. Values of the model are read as `place` reads its arguments,
    so ints and text stand for exact numbers, and words for choices.
    """

    def __init__(
        self,
        session: AccountSession,
        master: InstrumentMaster,
        units: WireUnits,
        orders: OrderService,
        changes: PositionChanges | None = None,
    ) -> None:
        self._session = session
        self._orders = orders
        self._changes = changes
        self._master = master
        self._units = units

    @property
    def unconverted(self) -> dict[str, int]:
        """Reports by segment whose quantities could not be converted to units and are marked so."""
        return dict(self._units.unconverted)

    @property
    def _adapter(self) -> Adapter:
        return self._session.adapter

    async def _ask(
        self, feature: str, flow: Flow[T], timeout_s: float, *, mutates: bool = False, trades: bool = False
    ) -> T:
        timeout_s = seconds("timeout_s", timeout_s)
        self._adapter.capabilities.require(feature, self._adapter.name)
        if mutates:
            self._session.check_mutable()
            await self._orders.ensure_writer()
        if trades:  # what makes the broker place orders some day is stopped as orders are
            self._orders.check_running("the trigger was refused")
            return await self._session.run(flow, timeout_s=timeout_s, before_send=self._orders.check_leaving)
        return await self._session.run(flow, timeout_s=timeout_s)

    async def profile(self, *, timeout_s: float = 10.0) -> Profile:
        """Return who the account belongs to and what it is enabled for."""
        return await self._ask("profile", self._adapter.profile(self._session.ctx), timeout_s)

    # -- holdings and positions --------------------------------------------------------------------------------------

    async def holdings(self, *, timeout_s: float = 10.0) -> list[Holding]:
        """Return securities held; see `Holding` for what each quantity counts."""
        return await self._ask("holdings", self._adapter.holdings(self._session.ctx), timeout_s)

    async def balances(self, *, timeout_s: float = 10.0) -> list[Balance]:
        """Return the assets of the account's wallet."""
        return await self._ask("balances", self._adapter.balances(self._session.ctx), timeout_s)

    async def holdings_summary(self, *, timeout_s: float = 10.0) -> HoldingsSummary:
        """Return all holdings together, as the broker adds them up."""
        return await self._ask("holdings_summary", self._adapter.holdings_summary(self._session.ctx), timeout_s)

    async def auctions(self, *, timeout_s: float = 10.0) -> list[Holding]:
        """Return holdings that may be offered in today's auction."""
        return await self._ask("auctions", self._adapter.auctions(self._session.ctx), timeout_s)

    async def authorise_holdings(
        self, holdings: Iterable[Holding] = (), *, timeout_s: float = 10.0
    ) -> HoldingsAuthorisation:
        """Start the depository's authorisation of a sale; the account holder ends it at the URL returned."""
        wanted = several("holdings", holdings, Holding)
        return await self._ask(
            "authorise_holdings",
            self._adapter.authorise_holdings(wanted, self._session.ctx),
            timeout_s,
            mutates=True,
        )

    async def convert(
        self,
        position: Position,
        product: Product | str,
        quantity: Number | None = None,
        *,
        timeout_s: float = 10.0,
    ) -> None:
        """Convert a position, or `quantity` units of it, to another product.

        The positions are read first: the broker converts today's part and the one carried over apart, and a position
        that has changed since is refused.

        Raises
        ------
        UsageError
            No such position now, or more than it holds.
        OutcomeUnknown
            It may have been converted: read positions() before acting.
        """
        self._adapter.capabilities.require("convert", self._adapter.name)
        self._session.check_mutable()
        timeout_s, position = seconds("timeout_s", timeout_s), record("position", position, Position)
        product = choice(Product, "product", product)
        self._offered(product)
        instrument = self._master.resolve(position.instrument_id)
        units = abs(position.quantity) if quantity is None else exact("quantity", quantity)
        check_quantity("quantity", units, replace(instrument, freeze_quantity=None))
        wire = self._wire(instrument, Side.BUY, units)
        await self._orders.ensure_writer()
        held = await self._session.run(self._adapter.positions(self._session.ctx), timeout_s=timeout_s)
        same = [row for row in held if (row.instrument_id, row.product) == (position.instrument_id, position.product)]
        if not same or same[0].quantity * position.quantity <= 0:
            raise UsageError(
                f"there is no {position.product} position of {position.quantity} in {position.instrument_id} now",
                kind=ErrorKind.BAD_REQUEST,
                broker=self._adapter.name,
                remedy="read positions() again",
            )
        flow = self._adapter.convert(same[0], wire, product, instrument, self._session.ctx)
        await self._session.run(flow, timeout_s=timeout_s)
        if self._changes is not None:
            key = (position.instrument_id, position.product, position.position_side)
            signed = units if same[0].quantity > 0 else -units
            await self._changes.converted(key, product, signed, overnight=from_overnight(same[0], wire))

    # -- before the fact ---------------------------------------------------------------------------------------------

    async def order_margin(self, orders: Iterable[OrderRequest], *, timeout_s: float = 10.0) -> list[OrderMargin]:
        """Return what each order would need, beside what the account holds now."""
        wanted = [self._checked(order) for order in several("orders", orders, OrderRequest)]
        return await self._ask("order_margin", self._adapter.order_margin(wanted, self._session.ctx), timeout_s)

    async def basket_margin(
        self, orders: Iterable[OrderRequest], *, consider_positions: bool = True, timeout_s: float = 10.0
    ) -> BasketMargin:
        """Return what the orders would need together, hedges counted."""
        wanted = [self._checked(order) for order in several("orders", orders, OrderRequest)]
        return await self._ask(
            "basket_margin",
            self._adapter.basket_margin(
                wanted, self._session.ctx, consider_positions=flag("consider_positions", consider_positions)
            ),
            timeout_s,
        )

    async def charges(self, fills: Iterable[Fill], *, timeout_s: float = 10.0) -> list[Charges]:
        """Return taxes and fees of fills, in their order."""
        wanted = []
        for fill in several("fills", fills, Fill):
            instrument = self._master.resolve(fill.instrument_id)
            self._offered(fill.product)
            wanted.append(replace(fill, quantity=self._wire(instrument, fill.side, fill.quantity)))
        return await self._ask("charges", self._adapter.charges(wanted, self._session.ctx), timeout_s)

    async def trigger_ranges(
        self, names: Named | Iterable[Named], side: Side | str, *, timeout_s: float = 10.0
    ) -> dict[str, TriggerRange]:
        """Return by canonical id between which prices the trigger of a cover order may lie."""
        wanted, towards = self._master.resolve_all(names), choice(Side, "side", side)
        flow = self._adapter.trigger_ranges(wanted, towards, self._session.ctx)
        found = await self._ask("trigger_range", flow, timeout_s)
        return {one.instrument_id: one for one in found}

    def _checked(self, order: OrderRequest) -> OrderRequest:
        """Return an order that is not placed now, as the broker counts it; refused where `place` would refuse it."""
        instrument = self._master.resolve(order.instrument_id)
        order = replace(order, instrument_id=instrument.instrument_id)
        check_request(order, instrument, self._adapter)
        return self._units.to_wire(self._adapter.check_order(order, instrument), instrument)

    def _offered(self, product: Product) -> None:
        """Refuse a product that the broker has no word for."""
        can = self._adapter.capabilities
        can.require_value("product", product, frozenset(can.products), self._adapter.name)

    def _wire(self, instrument: Instrument, side: Side, quantity: Decimal) -> Decimal:
        """Return a quantity as the broker counts it."""
        asked = OrderRequest(instrument_id=instrument.instrument_id, side=side, quantity=quantity)
        return self._units.to_wire(asked, instrument).quantity

    # -- history -----------------------------------------------------------------------------------------------------

    async def candles(
        self,
        name: Named,
        interval: str,
        start: Moment,
        end: Moment,
        *,
        continuous: bool = False,
        on_rows: Rows | None = None,
        on_progress: Progress | None = None,
        timeout_s: float = 600.0,
    ) -> list[Candle]:
        """Return candles from `start` to `end`, oldest first, in as many requests as it takes.

        Parameters
        ----------
        interval : str
            A number and a unit: ``"1m"``, ``"15m"``, ``"1h"``, ``"1d"``.
        start, end : datetime, date or str
            A datetime with its time zone, or a date: then the whole of that day at the exchange, so that one date as
            both is one day. Text is either in ISO 8601.
        continuous : bool
            Join the expired contracts of a future.
        on_rows, on_progress : callable, optional
            Take candles as they come, and (requests done, requests in all).
        """
        session, adapter = self._session, self._adapter
        adapter.capabilities.require("candles", adapter.name)
        timeout_s, instrument = seconds("timeout_s", timeout_s), self._master.resolve(name)
        first, last = span(start, end, ZoneInfo(adapter.session.time_zone))
        for what, callback in (("on_rows", on_rows), ("on_progress", on_progress)):
            if callback is not None:
                function(what, callback)
        joined = flag("continuous", continuous)
        flow = adapter.candles(instrument, text("interval", interval), first, last, session.ctx, continuous=joined)
        return await session.run(flow, timeout_s=timeout_s, on_rows=on_rows, on_progress=on_progress)

    async def postback(self, body: bytes | str, *, timeout_s: float = 10.0) -> Order:
        """Read an order update that the broker posted to a URL of yours, after proof that the broker wrote it.

        Parameters
        ----------
        body : bytes or str
            The request's, as it came.
        timeout_s : float
            For a secret that a command or a keyring has to bring first.

        Raises
        ------
        DecodeError
            For a body that somebody else wrote, or of another shape: answer the request with 4xx and drop it.
        UsageError
            The secret that proves it cannot be had; after a start with a kept token the first postback fetches it.
        """
        self._adapter.capabilities.require("postback", self._adapter.name)
        timeout_s = seconds("timeout_s", timeout_s)
        if not isinstance(body, (bytes, bytearray, memoryview, str)):
            raise UsageError(
                f"body {body!r} is no body of a request, which is bytes",
                broker=self._adapter.name,
                remedy="pass on what the broker posted, before anything has parsed it",
            )
        posted = text("body", body).encode() if isinstance(body, str) else bytes(body)
        try:
            async with asyncio.timeout(timeout_s):
                await self._session.prepare_postbacks()
        except TimeoutError:
            raise UsageError(
                f"the secret that proves postbacks did not come within {timeout_s:g} s",
                broker=self._adapter.name,
                remedy="see what the profile's reference runs or reads",
            ) from None
        order = self._adapter.postback(posted, self._session.ctx)
        return self._units.from_wire(order, self._master.get(order.instrument_id))

    # -- triggers and alerts -----------------------------------------------------------------------------------------

    async def gtts(self, *, timeout_s: float = 10.0) -> list[Gtt]:
        """Return the account's good-till-triggered instructions, finished ones for as long as the broker keeps them."""
        return await self._ask("gtt", self._adapter.gtts(self._session.ctx), timeout_s)

    async def gtt(self, gtt_id: str, *, timeout_s: float = 10.0) -> Gtt:
        """Return one of them."""
        flow = self._adapter.gtt(identifier("gtt_id", gtt_id), self._session.ctx)
        return await self._ask("gtt", flow, timeout_s)

    async def place_gtt(self, request: GttRequest, *, timeout_s: float = 10.0) -> str:
        """Place a trigger; return its id. After OutcomeUnknown look at gtts() before placing it again."""
        found, request = self._triggered(request)
        return await self._ask(
            "gtt", self._adapter.gtt_place(request, found, self._session.ctx), timeout_s, mutates=True, trades=True
        )

    async def modify_gtt(self, gtt_id: str, request: GttRequest, *, timeout_s: float = 10.0) -> str:
        """Replace all terms of a trigger."""
        found, request = self._triggered(request)
        flow = self._adapter.gtt_modify(identifier("gtt_id", gtt_id), request, found, self._session.ctx)
        return await self._ask("gtt", flow, timeout_s, mutates=True, trades=True)

    async def delete_gtt(self, gtt_id: str, *, timeout_s: float = 10.0) -> str:
        """Delete a trigger."""
        flow = self._adapter.gtt_delete(identifier("gtt_id", gtt_id), self._session.ctx)
        return await self._ask("gtt", flow, timeout_s, mutates=True)

    def _triggered(self, request: GttRequest) -> tuple[Instrument, GttRequest]:
        """Return the instrument and the request with quantities as the broker counts them."""
        request = record("request", request, GttRequest)
        found = self._master.resolve(request.instrument_id)
        legs = []
        for leg in request.legs:
            asked = OrderRequest(
                instrument_id=found.instrument_id,
                side=leg.side,
                quantity=leg.quantity,
                # A leg always carries a price; 0 is none, for an order that has none.
                price=leg.price if leg.price or leg.order_type.has_price else None,
                order_type=leg.order_type,
                product=leg.product,
            )
            counted = self._units.to_wire(asked, found)
            check_triggered(asked, leg.trigger_price, found, self._adapter)
            self._adapter.check_order(asked, found)
            if self._orders.admit_triggered is not None:
                self._orders.admit_triggered(asked, found)
            legs.append(replace(leg, quantity=counted.quantity))
        last = request.last_price
        if last <= 0:
            raise UsageError(f"last_price {last} is not a price", kind=ErrorKind.BAD_REQUEST, remedy="read quote()")
        return found, replace(request, instrument_id=found.instrument_id, legs=tuple(legs), last_price=last)

    async def alerts(self, *, timeout_s: float = 10.0) -> list[Alert]:
        """Return the account's alerts."""
        return await self._ask("alerts", self._adapter.alerts(self._session.ctx), timeout_s)

    async def create_alert(self, request: AlertRequest, *, timeout_s: float = 10.0) -> Alert:
        """Create an alert and return it as the broker holds it."""
        wanted = self._alerted(request)
        flow = self._adapter.alert_create(wanted, self._session.ctx)
        return await self._ask("alerts", flow, timeout_s, mutates=True, trades=bool(wanted.orders))

    async def modify_alert(self, alert_id: str, request: AlertRequest, *, timeout_s: float = 10.0) -> Alert:
        """Replace all terms of an alert."""
        wanted = self._alerted(request)
        flow = self._adapter.alert_modify(identifier("alert_id", alert_id), wanted, self._session.ctx)
        return await self._ask("alerts", flow, timeout_s, mutates=True, trades=bool(wanted.orders))

    async def delete_alerts(self, alert_ids: Iterable[str], *, timeout_s: float = 10.0) -> None:
        """Delete alerts by id."""
        names = [alert_ids] if isinstance(alert_ids, (str, int)) else alert_ids
        if not isinstance(names, Iterable) or not (names := [identifier("alert_ids", name) for name in names]):
            raise UsageError(f"alert_ids {alert_ids!r} names no alert", remedy="give a list of ids; alerts() has them")
        flow = self._adapter.alert_delete(names, self._session.ctx)
        await self._ask("alerts", flow, timeout_s, mutates=True)

    async def alert_history(self, alert_id: str, *, timeout_s: float = 10.0) -> list[AlertEvent]:
        """Return when an alert fired."""
        flow = self._adapter.alert_history(identifier("alert_id", alert_id), self._session.ctx)
        return await self._ask("alerts", flow, timeout_s)

    def _alerted(self, request: AlertRequest) -> AlertRequest:
        """Return the request with its instruments known and its orders as the broker counts them."""
        request = record("request", request, AlertRequest)
        for name in (request.instrument_id, request.other_instrument_id):
            if name is not None:
                self._master.resolve(name)
        return replace(request, orders=tuple(self._checked(order) for order in request.orders))
