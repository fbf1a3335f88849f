"""What a client offers of orders: placing, changing, looking at them, and stopping all of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from dragoman.checks import (
    Number,
    RiskLimits,
    flag,
    identifier,
    order_change,
    order_request,
    plain_request,
    seconds,
    several,
    text,
)
from dragoman.client_parts import ClientParts
from dragoman.errors import UsageError
from dragoman.model import (
    Fill,
    Instrument,
    KillState,
    Order,
    OrderRequest,
    OrderType,
    OrderUpdate,
    Product,
    Side,
    TimeInForce,
    Variety,
)
from dragoman.orders import name_of
from dragoman.runtime.process import process_id


class OrderMethods(ClientParts):
    """Orders and the kill switch; `OrderService` does the work."""

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
        if allow_unknown is not False:
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
        if allow_stale is not False:
            flag("allow_stale", allow_stale)
        if not allow_stale and not self._orders_wanted:
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
