"""Place, change, cancel and follow orders: the order path above the session.

Every order is entered in the store before anything is sent, so a lost reply leaves an order of state UNKNOWN that a
stream, a poll or the user can find again. Cancelling a caller detaches it: the operation goes on to its outcome.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from dragoman._core import copied
from dragoman.checks import LONGEST_S, WireUnits, check_request, order_gate, seconds
from dragoman.checks.kill import RELEASED_AT, KillSwitch
from dragoman.errors import DragomanError, Effect, ErrorKind, Rejected, StaleData, UsageError
from dragoman.market import InstrumentMaster
from dragoman.model import (
    Fill,
    Instrument,
    KillEvent,
    Order,
    OrderAlert,
    OrderChange,
    OrderRequest,
    OrderStatus,
    OrderUpdate,
    Outcome,
    Side,
)
from dragoman.orders.amending import Amender
from dragoman.orders.baskets import Baskets, Entered, Leg, in_leg
from dragoman.orders.freshness import Freshness
from dragoman.orders.identity import IdMint, journal_id_of
from dragoman.orders.intents import Intent, Intents
from dragoman.orders.reading import OrderReader
from dragoman.orders.recorder import Recorder
from dragoman.orders.requests import (
    check_name,
    name_of,
    named,
    order_of,
    refusal,
    reject_of,
    unknown,
    used_before,
)
from dragoman.orders.resolver import Resolver
from dragoman.orders.sending import Placing, Sending
from dragoman.orders.stopping import Stopping
from dragoman.orders.store import OrderStore
from dragoman.orders.succession import Succession, outcome_unknown
from dragoman.orders.waiting import wait_until
from dragoman.orders.writer import Writer
from dragoman.plugin import Adapter, FillSeen, OrderSeen, Request, urgent
from dragoman.session.fanout import Fanout, Subscription
from dragoman.session.session import AccountSession

_NS = 1_000_000_000
_EXIT_RECALL_S = 0.2


class OrderService:
    """Orders of one account.

    Parameters
    ----------
    session : AccountSession
    master : InstrumentMaster
    units : WireUnits
    following : callable, optional
        Whether order updates reach us now; without it they are only ever read.
    journal : bool
        Whether intents are made durable before they are sent, and one process at a time may send them.
    """

    def __init__(
        self,
        session: AccountSession,
        master: InstrumentMaster,
        units: WireUnits,
        following: Callable[[], bool] = lambda: True,
        *,
        journal: bool = False,
    ) -> None:
        self._session = session
        self._master = master
        self._units = units
        # An order's times are the broker's, also those that we tell before it does.
        self._mono_ns, self._wall_ns = session.runtime.clock.mono_ns, session.clock.read
        self._gate = order_gate(session.adapter)
        self._mint = IdMint(journal_id_of(session.runtime.random_bytes(4)))
        self._freshness = Freshness(session.adapter.name, following)
        self.reader = self._reader = OrderReader(session, master, units, self._freshness)
        self.store: OrderStore = self._reader.store
        session.ctx.known_orders = lambda: tuple(self.store)
        self.updates: Fanout[OrderUpdate] = Fanout("order")
        self.alerts: Fanout[OrderAlert] = Fanout("order alert")
        alert = self.alerts.publish
        self.intents = Intents(lambda: self.store.unknown)
        self.recorder = recorder = Recorder(lambda: session.ctx.now_ns, alert, self.intents.get)
        self.writer = Writer(session, enabled=journal)
        recorder.required = self.writer.enabled
        recorder.on_unwritten, recorder.known = self.store.mark_unjournaled, self.store.get
        self.resolver = Resolver(session, self._reader, self.intents, recorder, alert, self._cancel_late)
        self.succession = self._succession = Succession(
            session,
            self.writer,
            self._reader,
            self.intents,
            recorder,
            self.resolver,
            alert,
            self._mint_with,
        )
        self.amender = self._amender = Amender(
            session, master, units, self._reader, self._freshness, recorder, lambda: self.resolver.wake()
        )
        if self.writer.enabled:
            # First written down, then told. Of one that is entered its intent says all, once that is written.
            self.store.on_taken = recorder.taken
            self.store.listen(recorder.learnt, first_steps=False)
        publishing = self.store.listen(self.updates.publish, first_steps=False)

        def followed() -> None:
            publishing.first_steps = self.updates.followed

        self.updates.changed = followed
        self._new_names: set[str] = set()
        self._baskets = Baskets(
            session, recorder, self.store.get, self._settle_leg, self._unplaced, self._launch, self._answered
        )
        self.kills: Fanout[KillEvent] = Fanout("kill switch")
        self.switch: KillSwitch | None = None
        self.stopping = Stopping(
            session,
            self.store,
            self.intents,
            recorder,
            cancel=self.cancel,
            refresh=lambda: self.refresh(timeout_s=5.0),
            take_over=self.ensure_writer,
            writes=lambda: self.writer.ready,
            tell=self.kills.publish,
        )
        self.admit: Callable[[OrderRequest, Instrument], object] | None = None
        """Asked before anything is entered or sent; what it raises refuses the order. Exits are not asked about."""
        self.admit_triggered: Callable[[OrderRequest, Instrument], object] | None = None
        """The same for an order that a trigger at the broker shall place."""

    @property
    def _adapter(self) -> Adapter:
        return self._session.adapter

    # -- freshness ---------------------------------------------------------------------------------------------------

    @property
    def complete_as_of(self) -> int | None:
        """Broker time (ns UTC) up to which every order and fill is known; None before the first reading."""
        return self._reader.complete_as_of

    @property
    def stale(self) -> bool:
        """Whether updates may have been missed since the last full reading."""
        return self._freshness.stale

    def mark_stale(self, reason: str) -> None:
        """Say that updates may have been missed; new orders wait until `refresh` has run."""
        self._freshness.interrupted(reason)

    async def refresh(self, *, timeout_s: float = 15.0) -> None:
        """Read all of today's orders and trades and merge them; afterwards views are complete as of the reading."""
        await self._reader.refresh(seconds("timeout_s", timeout_s))

    def reread(self, on_error: Callable[[DragomanError], object]) -> None:
        """Read everything in the background until nothing is missing; tries again for as long as that takes."""
        self._reader.reread(on_error)

    # -- the right to write ------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Become the account's writer where nobody else is, and take over what an earlier run left.

        Where another process is, this one reads; it becomes the writer at its first act after the other is gone.
        """
        await self.stopping.open()
        self.switch = self._amender.switch = self.stopping.switch
        self._baskets.leaving = None if self.switch is None else self.switch.check
        if not self.writer.ready:
            await self._succession.begin()
        if self.writer.ready:
            self.stopping.resume()

    async def ensure_writer(self) -> None:
        """Become the account's writer, where this process is not: before anything is asked that changes something.

        Raises
        ------
        AccountBusy
            Another process is; it names that.
        """
        if not self.writer.ready:
            await self._may_write()

    async def _may_write(self) -> None:
        """Take over from a writer that is gone; else AccountBusy. New orders wait for a reading, cancels do not."""
        await self._succession.take_over()
        self._freshness.interrupted("the account was just taken over")
        self.reread(self._session.announce)
        self.stopping.resume()

    def _mint_with(self, mint: IdMint) -> None:
        self._mint = mint

    # -- acts --------------------------------------------------------------------------------------------------------

    async def place(
        self,
        request: OrderRequest,
        *,
        timeout_s: float = 10.0,
        allow_stale: bool = False,
        allow_unknown: bool = False,
    ) -> Order:
        """Place an order and return it once the broker has taken it.

        Under a `client_order_id` that was used before nothing is placed: what became of the first is returned or
        raised, and other terms under it are a `UsageError`. While an order of the same instrument and side is of
        unknown outcome a new one is refused, unless `allow_unknown`.

        Raises
        ------
        UsageError
            Refused here; zero bytes were sent.
        Rejected
            The broker refused; nothing is live.
        NotSent, StaleData
            It never left; the order, where it was entered already, is DENIED.
        AccountBusy
            Another process writes to this account; zero bytes were sent.
        Throttled
            Nothing is live. Our own copy of a limit refused it before it left (DENIED), or the broker did (REJECTED).
            `error.retry` says whether to try again: not on the same day after DAILY_LIMIT_REACHED.
        OutcomeUnknown
            It may be live. The order stays in the store as UNKNOWN until it is found; never place it again. Where the
            stream has told already what became of it, that is returned instead.
        """
        instrument = self._master.get(request.instrument_id) or self._master.resolve(request.instrument_id)
        return await self.placing(request, instrument, timeout_s, allow_stale, allow_unknown)

    def placing(
        self,
        request: OrderRequest,
        instrument: Instrument,
        timeout_s: float,
        allow_stale: bool,
        allow_unknown: bool = False,
        exits: bool = False,
    ) -> Awaitable[Order]:
        """Place an order, as `place`, from here on: what is returned tells how it ends.

        It is checked, entered and written before this returns, where nothing has to be waited for. Its errors come from
        here or, from the moment it is entered, when it is awaited.

        One that `exits` can only make a position smaller, which its caller has seen to. Like a cancel it passes
        whatever holds other orders back: checks, fences, stale views, the limits' share of the others, and a journal
        that has failed.
        """
        session, adapter = self._session, self._session.adapter
        if session.read_only:
            session.check_mutable()
        if type(timeout_s) is not float or not 0 <= timeout_s <= LONGEST_S:
            timeout_s = seconds("timeout_s", timeout_s)
        if self.writer.journal is None and not self.writer.ready:
            return self._place_later(request, instrument, timeout_s, allow_stale, allow_unknown, exits)
        ends_ns = self._mono_ns() + int(timeout_s * _NS)
        if not self._gate.admits(request, instrument):
            check_request(request, instrument, adapter)
        request = adapter.check_order(request, instrument)
        if request.client_order_id or exits or type(request.side) is not Side:
            return self._placing_named(request, instrument, timeout_s, ends_ns, allow_stale, allow_unknown, exits)
        intents = self.intents
        name = self._mint.wire_id()
        # Minted this moment, so nobody's yet, unless it was guessed, or this run goes on twice.
        if intents.get(name) is not None or name in self.store.wire_ids:
            raise used_before(name)
        instrument_id = instrument.instrument_id
        request = copied(
            request,
            instrument_id=instrument_id,
            client_order_id=name,
            wire_id=name,
            account_id=session.ctx.account,
        )
        if self.resolver.fences and not allow_unknown:
            intents.check_fence(instrument_id, request.side, adapter.name)
        units = self._units
        wire_request = request if instrument.exchange in units.same else units.to_wire(request, instrument)
        if not allow_stale and self._freshness.stale:
            return self._placing_fresh(request, wire_request, instrument, timeout_s, ends_ns, allow_unknown)
        # As `_check_admitted` and `_place_now`, in one step with the rest: every order waits for this.
        switch = self.switch
        if switch is not None and (marks := switch.marks)[0] != marks[RELEASED_AT]:
            raise switch.refusal("the order was refused")
        if self.admit is not None:
            self.admit(request, instrument)
        intent = intents.enter(name, request)
        self.store.create(order_of(request, adapter.name, self._wall_ns()))
        flow = adapter.place(wire_request, instrument, session.ctx)
        return Placing(session, flow, self._placed, intent, ends_ns, self.recorder, switch).start()

    def _placing_named(
        self,
        request: OrderRequest,
        instrument: Instrument,
        timeout_s: float,
        ends_ns: int,
        allow_stale: bool,
        allow_unknown: bool,
        exits: bool,
    ) -> Awaitable[Order]:
        """Go on as `placing` with an order whose name was given, or that only makes a position smaller."""
        adapter, name, wire_id = self._adapter, request.client_order_id, self._mint.wire_id()
        if name:
            check_name(name)
            if self.intents.older is not None and self.intents.get(name) is None and name not in self._new_names:
                return self._place_named(request, instrument, timeout_s, allow_stale, allow_unknown, exits)
        request = named(request, instrument, name or wire_id, wire_id, self._session.ctx.account)
        name = request.client_order_id
        if (known := self.intents.get(name)) is not None:
            self.intents.check_same(known, request)
            return self._again(known, timeout_s)
        if self.store.get(name) is not None:
            raise used_before(name)
        if exits:
            wire_request = self._units.to_wire(request, instrument)
            intent = self.intents.add(Intent(request, exits=True))
            return self._place_now(intent, wire_request, instrument, ends_ns, exits=True)
        if self.resolver.fences and not allow_unknown:
            self.intents.check_fence(request.instrument_id, request.side, adapter.name)
        wire_request = self._units.to_wire(request, instrument)
        if not allow_stale and self._freshness.stale:
            return self._placing_fresh(request, wire_request, instrument, timeout_s, ends_ns, allow_unknown)
        self._check_admitted(request, instrument)
        return self._place_now(self.intents.add(Intent(request)), wire_request, instrument, ends_ns)

    def _placing_fresh(
        self,
        request: OrderRequest,
        wire_request: OrderRequest,
        instrument: Instrument,
        timeout_s: float,
        ends_ns: int,
        allow_unknown: bool,
    ) -> Awaitable[Order]:
        self.check_running("the order was refused")
        intent = self.intents.add(Intent(request))
        return self._place_fresh(intent, wire_request, instrument, timeout_s, ends_ns, allow_unknown)

    def _check_admitted(self, request: OrderRequest, instrument: Instrument) -> None:
        """Refuse a new order that the kill switch or the checks hold back; one that passes is entered at once.

        Between the two nothing may be waited for: the next order is checked against what is entered.
        """
        switch = self.switch
        if switch is not None and (marks := switch.marks)[0] != marks[RELEASED_AT]:
            raise switch.refusal("the order was refused")
        if self.admit is not None:
            self.admit(request, instrument)

    async def _place_later(
        self,
        request: OrderRequest,
        instrument: Instrument,
        timeout_s: float,
        allow_stale: bool,
        allow_unknown: bool,
        exits: bool,
    ) -> Order:
        await self._may_write()
        return await self.placing(request, instrument, timeout_s, allow_stale, allow_unknown, exits)

    async def _place_named(
        self,
        request: OrderRequest,
        instrument: Instrument,
        timeout_s: float,
        allow_stale: bool,
        allow_unknown: bool,
        exits: bool,
    ) -> Order:
        """Place under a name that nobody has used lately; long ago, only the journal's index can tell."""
        name = request.client_order_id
        if not await self._recalled(name, timeout_s, exits=exits):
            self._new_names.add(name)
        try:
            return await self.placing(request, instrument, timeout_s, allow_stale, allow_unknown, exits)
        finally:
            self._new_names.discard(name)

    async def _recalled(self, name: str, timeout_s: float, *, exits: bool = False) -> bool:
        """Enter what the journal has of a name from long ago; False where it has nothing.

        An exit does not wait for a disk that is slow or broken: its name is younger than all that only the index knows.
        """
        try:
            async with asyncio.timeout(min(timeout_s, _EXIT_RECALL_S) if exits else timeout_s):
                return await self._succession.recall(name)
        except (OSError, TimeoutError) as error:
            if exits:
                return False
            raise Rejected(
                f"{self._adapter.name}: nobody can tell whether {name!r} was used before: {error}",
                kind=ErrorKind.LOCAL_DENIED,
                broker=self._adapter.name,
                remedy="look at the journal's folder, or leave client_order_id out; nothing was sent",
            ) from error

    async def _place_fresh(
        self,
        intent: Intent,
        wire_request: OrderRequest,
        instrument: Instrument,
        timeout_s: float,
        ends_ns: int,
        allow_unknown: bool,
    ) -> Order:
        request = intent.request
        try:
            self._session.check_alive()  # without a session no reading can make it fresh
            await self._freshness.wait(timeout_s)
            if self.resolver.fences and not allow_unknown:  # also what became so while this waited
                self.intents.check_fence(request.instrument_id, request.side, self._adapter.name)
            self._check_admitted(request, instrument)
        except BaseException:
            self.intents.drop(intent.name)
            raise
        return await self._place_now(intent, wire_request, instrument, ends_ns)

    def _place_now(
        self,
        intent: Intent,
        wire_request: OrderRequest,
        instrument: Instrument,
        ends_ns: int,
        *,
        exits: bool = False,
    ) -> asyncio.Future[Order]:
        self.store.create(order_of(intent.request, self._session.adapter.name, self._wall_ns()))
        return self._launch(intent, wire_request, instrument, ends_ns, exits=exits)

    def _launch(
        self,
        intent: Intent,
        wire_request: OrderRequest,
        instrument: Instrument,
        ends_ns: int,
        *,
        exits: bool = False,
    ) -> asyncio.Future[Order]:
        """Send an order that was entered."""
        session, switch = self._session, self.switch
        flow = session.adapter.place(wire_request, instrument, session.ctx)
        if exits:
            return Placing(session, urgent(flow), self._placed, intent, ends_ns, self.recorder, exits=True).start()
        # Cancelling whoever awaits it ends that wait and nothing else.
        return Placing(session, flow, self._placed, intent, ends_ns, self.recorder, switch).start()

    async def _again(self, intent: Intent, timeout_s: float) -> Order:
        """Return, or raise, what became of an order that is asked for a second time."""
        name = intent.name
        if self.store.get(name) is None:
            raise used_before(name)  # it waits for the order stream, see `Freshness`
        try:
            known = await self.wait(name, lambda order: order.status is not OrderStatus.SUBMITTED, timeout_s=timeout_s)
        except StaleData as error:
            # It is on its way: that nothing is live is the one thing that must not be said.
            raise unknown(self._adapter.name, f"order {name}, which has no answer yet", name) from error
        if known.status in (OrderStatus.REJECTED, OrderStatus.DENIED):
            raise refusal(known.reject, self._adapter.name, name)
        if outcome_unknown(known):
            raise unknown(self._adapter.name, f"order {name}", name)
        return known

    def _placed(self, sending: Sending[Order], outcome: Outcome | list[Outcome], error: BaseException | None) -> Order:
        """Record what became of a new order."""
        name = sending.name
        if error is not None:
            return self._placed_not(name, sending, error)
        if isinstance(outcome, list):
            outcome = outcome[0] if len(outcome) == 1 else Outcome.parent(None, tuple(outcome))
        order = self.store.settle(name, outcome, self._wall_ns())
        status = order.status
        if status is OrderStatus.ACCEPTED:
            return order
        if outcome.effect == "REJECTED" and status is OrderStatus.REJECTED:
            raise refusal(outcome.reject or order.reject, self._adapter.name, name)
        if status is OrderStatus.UNKNOWN:
            self._look_for(order)
            raise unknown(self._adapter.name, f"order {name}", name)
        return order

    def _placed_not(self, name: str, sending: Sending[Order], error: BaseException) -> Order:
        if not isinstance(error, DragomanError):
            self._unplaced(name, sending.interrupted(error), sending)
            raise error
        error.client_order_id = name
        known = self._unplaced(name, error, sending)
        if known.status is OrderStatus.REJECTED and error.effect is not Effect.NONE:
            raise refusal(known.reject, self._adapter.name, name) from error
        if known.status in (OrderStatus.UNKNOWN, OrderStatus.REJECTED, OrderStatus.DENIED):
            raise error
        return known  # the reply was lost, but the broker's own report has come meanwhile

    def _unplaced(self, name: str, error: DragomanError, sending: Sending[Order]) -> Order:
        """Record why placing did not end with an outcome."""
        now = self._wall_ns()
        reject = reject_of(error)
        if not sending.left(error):
            return self.store.deny(name, reject, now)
        if error.effect is Effect.NONE:
            return self.store.settle(name, Outcome.rejected(reject), now)
        self.resolver.brace(True)  # whoever is told of it first may want to place another at once
        try:
            known = self.store.settle(name, Outcome.unknown(reject), now)
            self._look_for(known)
        finally:
            self.resolver.brace(False)
        return known

    # -- several at once ---------------------------------------------------------------------------------------------

    async def place_many(
        self,
        legs: Sequence[Leg],
        *,
        timeout_s: float = 10.0,
        allow_stale: bool = False,
        allow_unknown: bool = False,
    ) -> list[Order]:
        """Place several orders and return them as they are then, in order; see `Client.place_many`."""
        self._session.check_mutable()
        timeout_s = seconds("timeout_s", timeout_s)
        ends_ns = self._mono_ns() + int(timeout_s * _NS)
        await self.ensure_writer()
        names: set[str] = set()
        for at, (request, instrument) in enumerate(legs):
            try:
                await self._look_over(request, instrument, names, ends_ns)
            except DragomanError as error:
                raise in_leg(at, error) from error
        if not allow_stale and self._freshness.stale:
            self._session.check_alive()
            await self._freshness.wait(self._left_s(ends_ns))
        return await self._baskets.place(self._enter_all(legs, allow_unknown=allow_unknown), ends_ns)

    def _left_s(self, ends_ns: int) -> float:
        return max(ends_ns - self._mono_ns(), 0) / _NS

    async def _look_over(self, request: OrderRequest, instrument: Instrument, names: set[str], ends_ns: int) -> None:
        """Refuse a leg that can be refused before any is entered."""
        check_request(request, instrument, self._adapter)
        self._adapter.check_order(request, instrument)
        name = request.client_order_id
        if not name:
            return
        check_name(name)
        if name in names:
            raise used_before(name)
        names.add(name)
        if self.intents.get(name) is None and self.intents.older is not None:
            await self._recalled(name, self._left_s(ends_ns))

    def _enter_all(self, legs: Sequence[Leg], *, allow_unknown: bool) -> list[Entered]:
        """Enter every leg, as `placing` does one, so that what each is checked against counts those before it."""
        entered: list[Entered] = []
        for at, (request, instrument) in enumerate(legs):
            try:
                entered.append(self._enter(request, instrument, allow_unknown=allow_unknown))
            except DragomanError as error:
                now = self._wall_ns()
                for one in entered:
                    if one.new:
                        self.store.deny(one.intent.name, reject_of(error), now)
                raise in_leg(at, error) from error
        return entered

    def _enter(self, request: OrderRequest, instrument: Instrument, *, allow_unknown: bool) -> Entered:
        request = self._adapter.check_order(request, instrument)
        wire_id = self._mint.wire_id()
        name = request.client_order_id or wire_id
        request = named(request, instrument, name, wire_id, self._session.ctx.account)
        known = self.intents.get(name)
        if known is not None:
            self.intents.check_same(known, request)
            if self.store.get(name) is None:
                raise used_before(name)  # another call holds it, and waits with it
            return Entered(known, request, instrument, new=False)
        if self.store.get(name) is not None:
            raise used_before(name)
        if self.resolver.fences and not allow_unknown:
            self.intents.check_fence(request.instrument_id, request.side, self._adapter.name)
        wire_request = self._units.to_wire(request, instrument)
        self._check_admitted(request, instrument)
        intent = self.intents.add(Intent(request))
        self.store.create(order_of(request, self._adapter.name, self._wall_ns()))
        return Entered(intent, wire_request, instrument)

    async def _answered(self, name: str, ends_ns: int) -> Order:
        """Return an order as it is once it has an answer, or as it is when the caller's time is over."""
        try:
            return await self.wait(
                name, lambda order: order.status is not OrderStatus.SUBMITTED, timeout_s=self._left_s(ends_ns)
            )
        except StaleData:
            return self._known(name)

    def _settle_leg(self, name: str, outcome: Outcome) -> Order:
        known = self.store.settle(name, outcome, self._wall_ns())
        if known.status is OrderStatus.UNKNOWN:
            self._look_for(known)
        return known

    def _look_for(self, known: Order) -> None:
        intent = self.intents.get(known.client_order_id)
        if intent is not None and outcome_unknown(known):
            self.resolver.watch(intent)

    async def modify(
        self, order: Order | str, change: OrderChange, *, timeout_s: float = 10.0, allow_stale: bool = False
    ) -> Order:
        """Ask for a change; returns when the broker has taken the request, with `pending` MODIFY until it is done.

        One change at a time: while another of the same order has no answer, or nobody knows what became of it, this is
        a `UsageError` with zero bytes sent. Two on the way at once may arrive in either order.
        """
        self._session.check_mutable()
        timeout_s = seconds("timeout_s", timeout_s)
        await self.ensure_writer()
        return await self._amender.modify(self._addressable(order), change, timeout_s, allow_stale)

    async def cancel(self, order: Order | str, *, timeout_s: float = 10.0) -> Order:
        """Ask for a cancel; returns when the broker has taken the request. Never waits for a stale stream."""
        self._session.check_mutable()
        timeout_s = seconds("timeout_s", timeout_s)
        self._adapter.capabilities.require("cancel", self._adapter.name)
        await self.ensure_writer()
        return await self._amender.cancel(self._addressable(order), timeout_s)

    def check_running(self, what: str) -> None:
        """Refuse what could lead to a new order while the kill switch is engaged.

        Raises
        ------
        Rejected
        """
        if self.switch is not None and self.switch.engaged:
            raise self.switch.refusal(what)

    def check_leaving(self, request: Request) -> None:
        """The same for a request on its way: raises NotSent."""
        if self.switch is not None:
            self.switch.check(request)

    def resolve(self, name: str, order_id: str | None) -> Order:
        """Say what became of an order that nobody can tell: the broker's id of it, or None where it never arrived."""
        return self.resolver.settle_by_hand(name, order_id)

    def _cancel_late(self, order: Order) -> None:
        """Cancel an order that turned up late, as its request asked."""

        async def cancel() -> None:
            try:
                await self.cancel(order)
            except DragomanError as error:
                text = f"order {order.client_order_id} turned up late and could not be cancelled: {error}"
                known = self.store.get(order.client_order_id)
                self.alerts.publish(OrderAlert("UNRESOLVED", text, known, ts=self._wall_ns()))

        self._session.runtime.spawn(cancel(), name=f"cancel {order.client_order_id}, which came late")

    # -- reading -----------------------------------------------------------------------------------------------------

    async def history(self, order: Order | str, *, timeout_s: float = 10.0) -> list[Order]:
        """Return the states an order went through, oldest first, and merge the last one."""
        return await self._reader.history(self._identified(order), seconds("timeout_s", timeout_s))

    async def trades(self, order: Order | str | None = None, *, timeout_s: float = 10.0) -> list[Fill]:
        """Return today's fills, of one order or all, and count each once."""
        known = None if order is None else self._identified(order)
        return await self._reader.trades(known, seconds("timeout_s", timeout_s))

    async def wait(self, order: Order | str, until: Callable[[Order], bool], *, timeout_s: float) -> Order:
        """Return the order once `until` holds for it; what `until` raises, this raises.

        Raises
        ------
        StaleData
            If it does not within `timeout_s`; the message says what the order is.
        """
        name = self._known(order).client_order_id
        return await wait_until(self.store, self.updates, name, until, timeout_s=timeout_s, broker=self._adapter.name)

    def follow(self) -> Subscription[OrderUpdate]:
        """Return an iterator over every order update from this call on; none is dropped."""
        return self.updates.iterate()

    def on_stream(self, event: OrderSeen | FillSeen) -> None:
        """Take what an order stream reported."""
        self._reader.on_stream(event)

    async def pause(self) -> None:
        """End what runs in the background: the search for orders of unknown outcome, and readings after a gap."""
        await self.stopping.pause()
        await self.resolver.close()
        await self._reader.close()

    async def close(self) -> None:
        """End all iterators. The session has ended all acts already, and their outcomes are recorded."""
        try:
            await self.pause()
            await self._succession.close()
        finally:
            self.updates.close()
            self.alerts.close()
            self.kills.close()
            await self.stopping.close()
            await self.writer.close()  # last, and whatever came before: the lock must not outlive the client

    # -- helpers -----------------------------------------------------------------------------------------------------

    def _known(self, order: Order | str) -> Order:
        name = name_of(order)
        found = self.store.get(name)
        if found is None:
            raise UsageError(
                f"unknown order {name!r}",
                kind=ErrorKind.ORDER_NOT_FOUND,
                remedy="orders() reads those placed elsewhere",
            )
        return found

    def _identified(self, order: Order | str) -> Order:
        """Return an order the broker can be asked about: one with the broker's id."""
        known = self._known(order)
        if not known.order_id:
            raise UsageError(
                f"order {known.client_order_id} is {known.status} and has no broker id",
                kind=ErrorKind.ORDER_NOT_FOUND,
                remedy="it never left" if known.status.terminal else "orders() looks for it at the broker",
                client_order_id=known.client_order_id,
            )
        return known

    def _addressable(self, order: Order | str) -> Order:
        """Return an order that can be changed by its id: not one that the broker split into others."""
        known = self._identified(order)
        children = self.store.children(known.client_order_id)
        if children and not self.store.reported(known.client_order_id):
            raise UsageError(
                f"order {known.order_id} is split into {len(children)} orders at the broker",
                remedy=f"act on those: {', '.join(children[:10])}",
                client_order_id=known.client_order_id,
            )
        return known
