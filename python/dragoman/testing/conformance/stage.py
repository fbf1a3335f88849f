"""Where a scenario plays: an emulator on a venue that holds still, its host, and a real client of the adapter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from dragoman.client import Client
from dragoman.connecting import connect
from dragoman.emulator.contract import Emulator
from dragoman.emulator.fault_spec import parse_faults
from dragoman.emulator.host import EmulatorHost
from dragoman.emulator.venue import Venue
from dragoman.emulator.venue.types import MarketView, OrderState
from dragoman.errors import UsageError
from dragoman.model import Order, Origin, Product
from dragoman.plugin import Adapter
from dragoman.plugin.registry import emulator_factory
from dragoman.runtime.base import Runtime
from dragoman.session.secrets import Secret
from dragoman.testing.conformance.cast import Cast
from dragoman.testing.conformance.grammar import Price
from dragoman.testing.conformance.watch import LogWatch, Watch
from dragoman.testing.emulated import browser, free_port, overrides_of, roots_line
from dragoman.testing.process import ProcessRuntime

PATIENCE_S: Final = 10.0
"""How long an expectation waits to come true."""


class MismatchError(AssertionError):
    """What was expected did not happen; the message says what was found."""


@dataclass(slots=True)
class Running:
    """A client and what it has of the machine."""

    client: Client
    process: ProcessRuntime
    unfollow: Callable[[], None]


class Stage:
    """What the steps of one scenario work on.

    One client is acted with, the newest as a rule; a second one may stand beside it.

    Attributes
    ----------
    runtime, adapter, emulator, host, venue
    account : str
        The venue's account that the emulator trades for.
    watch : Watch
    logs : LogWatch
    wanted : dict of str to dict
        What each order was last asked to be.
    asked : dict of str to object
        Results that later steps look at: quotes, candles, margins...
    logins : int
        How often a human was asked to log in.
    human : bool
        Whether somebody answers who is asked to log in.
    meanwhile : list of asyncio.Task
        Steps that began and may not have ended.
    journal_size : int or None
        Of the first file of the next journal, in bytes.
    """

    def __init__(
        self,
        runtime: Runtime,
        adapter: Adapter,
        host: EmulatorHost,
        overrides: dict[str, Any],
        state_dir: str,
        logs: LogWatch,
        patience_s: float,
    ) -> None:
        self.runtime = runtime
        self.adapter = adapter
        self.host = host
        self.emulator: Emulator = host.emulator
        self.venue = _venue_of(host.emulator)
        self.account = _account_of(host.emulator)
        self.watch = Watch()
        self.logs = logs
        self.asked: dict[str, Any] = {}
        self.logins = 0
        self.patience_s = patience_s
        self._overrides = overrides
        self._state_dir = state_dir
        self.human = True
        self.meanwhile: list[asyncio.Task[None]] = []
        self.journal_size: int | None = None
        self._acting: Running | None = None
        self._other: Running | None = None
        self._cast: Cast | None = None
        self._held = {holding.instrument_id for holding in self.venue.holdings(self.account)}
        self.wanted: dict[str, dict[str, Any]] = {}
        self._venue_ids: dict[str, str] = {}
        self._wire_ids: dict[str, str] = {}
        self._secrets: set[str] = set()
        self._browser = browser(runtime)

    # -- the client --------------------------------------------------------------------------------------------------

    @property
    def client(self) -> Client:
        """The client that is acted with."""
        return self._running.client

    @property
    def process(self) -> ProcessRuntime:
        """What that client has of the machine."""
        return self._running.process

    @property
    def _running(self) -> Running:
        if self._acting is None:
            raise UsageError("nobody is connected", remedy="begin the scenario with connect")
        return self._acting

    @property
    def _client(self) -> Client | None:
        return None if self._acting is None else self._acting.client

    @property
    def connected(self) -> bool:
        return self._acting is not None

    async def connect(self, *, beside: bool = False, wrong_by_s: float = 0.0, **options: Any) -> None:
        """Connect a client, logging in as a human would; the one before is closed.

        Parameters
        ----------
        beside : bool
            The one before stays, as another process; see `swap`.
        wrong_by_s : float
            How far ahead the wall clock of the new client's machine is.
        **options
            Of `dragoman.connect`.
        """
        if beside:
            self.swap()
        await self.close()
        self._keep_secrets()
        if type(self.adapter).login is Adapter.login and "access_token" in self.emulator.credentials:
            options.setdefault("access_token", self.emulator.credentials["access_token"])
        process = ProcessRuntime(self.runtime)
        process.clock.offset_ns = round(wrong_by_s * 1e9)
        process.disk.next_size, self.journal_size = self.journal_size, None
        client = await connect(
            self.adapter,
            "conformance",
            environment="emulator",
            overrides=self._overrides,
            state_dir=self._state_dir,
            open_url=self._visit,
            prompt=self._answer,
            runtime=process,
            **options,
        )
        self._acting = Running(client, process, self.watch.follow(client))
        self._keep_secrets()
        if options.get("load_instruments", True):
            self._cast = Cast(self.adapter, self.venue.listings(), client.instruments, self._held)

    def swap(self) -> None:
        """Act with the other client from now on, if there is one, and leave this one beside it."""
        self._keep_secrets()
        self._acting, self._other = self._other, self._acting

    async def close(self) -> None:
        """Close the client that is acted with, if there is one."""
        if (running := self._part()) is not None:
            await running.client.close()

    async def kill(self) -> None:
        """End that client as ``kill -9`` ends a process."""
        if (running := self._part()) is not None:
            running.unfollow()
            await running.process.kill()

    async def close_all(self) -> None:
        """Close every client."""
        for task in self.meanwhile:
            task.cancel()
        await self.close()
        self.swap()
        await self.close()

    def _part(self) -> Running | None:
        """Act with no client from now on; return the one that was acted with."""
        self._keep_secrets()
        running, self._acting = self._acting, None
        if running is not None:
            for order in running.client.orders_service.store:
                self._wire_ids.setdefault(order.client_order_id, order.wire_id)
        return running

    async def _visit(self, url: str) -> None:
        self.logins += 1
        if not self.human:
            raise OSError("nobody is there to log in")
        await self._browser(url)

    async def _answer(self, kind: str, text: str, secret: bool) -> str:
        self.logins += 1
        if not self.human:
            raise OSError("nobody is there to log in")
        return self.emulator.credentials.get(kind, "")

    # -- names -------------------------------------------------------------------------------------------------------

    @property
    def cast(self) -> Cast:
        if self._cast is None:
            raise UsageError("no instruments are known yet", remedy="begin the scenario with connect")
        return self._cast

    def id_of(self, role: str) -> str:
        """Return the canonical id of who plays a role."""
        return self.cast.listing(role).instrument.instrument_id

    def market(self, role: str) -> MarketView:
        """Return the venue's market of a role, now."""
        return self.venue.market(self.id_of(role))

    def price(self, price: Price, role: str) -> Decimal:
        """Return what a price of a scenario means for a role."""
        if price.plain is not None:
            return price.plain
        if price.order:
            found = self.order(price.order).price
            if found is None:
                raise MismatchError(f"{price.order} has no price")
            return found
        if price.text == "market":
            return self.market(role).last_price
        return self.cast.price(role, price.percent, price.ticks)

    def quantity(self, steps: Decimal, role: str) -> Decimal:
        """Return what a number of steps means for a role."""
        return steps * self.cast.unit(role)

    def at_venue(self, instrument_id: str, product: Product) -> Product:
        """Return what the venue calls a product: its own word for an instrument that it trades in one way only."""
        listing = self.venue.listing(instrument_id)
        rates = () if listing is None else tuple(listing.margin_rate)
        return rates[0] if product not in rates and len(rates) == 1 else product

    # -- orders on both sides ----------------------------------------------------------------------------------------

    def find(self, name: str) -> Order | None:
        """Return the client's view of an order."""
        client, wire = self.client, self._wire_ids.get(name)
        found = client.order(name) or (client.order(wire) if wire else None)
        if found is not None or name not in self._venue_ids:
            return found
        state = self.venue_order(name)
        fits = [
            one
            for one in client.orders_service.store
            if one.origin is Origin.EXTERNAL
            and (one.instrument_id, one.side, one.quantity)
            == (state.order.instrument_id, state.order.side, state.order.quantity)
        ]
        return fits[0] if len(fits) == 1 else None

    def order(self, name: str) -> Order:
        """Return the client's view of an order that must be known."""
        found = self.find(name)
        if found is None:
            raise MismatchError(f"the client knows no order {name}")
        return found

    def role_of(self, name: str) -> str:
        """Return the role whose instrument an order trades."""
        return self.cast.role_of(self.order(name).instrument_id)

    def venue_orders(self) -> list[OrderState]:
        """Return the venue's orders of the account, oldest first."""
        return list(self.venue.orders(self.account))

    def claim(self, name: str, before: set[str]) -> None:
        """Bind a name to the order that the venue has got since `before`, if there is one."""
        fresh = [state.order_id for state in self.venue_orders() if state.order_id not in before]
        if fresh:
            self._venue_ids[name] = fresh[-1]

    def venue_order(self, name: str) -> OrderState:
        """Return the venue's truth about an order."""
        state = self.venue.order(self.account, self._venue_ids[name]) if name in self._venue_ids else None
        if state is None:
            raise MismatchError(f"the venue has no order {name}")
        return state

    def broker_id(self, name: str) -> str:
        """Return what the broker calls an order of the venue."""
        return self.emulator.order_name(self.venue_order(name).order_id)

    # -- faults ------------------------------------------------------------------------------------------------------

    def fault(self, spec: str) -> None:
        """Add what goes wrong from now on; see `dragoman.emulator.faults`."""
        for fault in parse_faults(spec):
            self.host.faults.add(fault)

    # -- time --------------------------------------------------------------------------------------------------------

    async def until(self, look: Callable[[], str], patience_s: float | None = None) -> None:
        """Wait until `look` finds nothing wrong (returns "").

        Raises
        ------
        MismatchError
            What it found last.
        """
        mono = self.runtime.clock.mono_ns
        ends = mono() + int((self.patience_s if patience_s is None else patience_s) * 1e9)
        while wrong := look():
            if mono() >= ends:
                raise MismatchError(wrong)
            await self.runtime.sleep(0.01)

    # -- secrets -----------------------------------------------------------------------------------------------------

    def _keep_secrets(self) -> None:
        """Note every secret of the account, also those a login has brought."""
        given = self.emulator.credentials
        self._secrets.update(given[one.name] for one in self.adapter.credentials if one.secret and one.name in given)
        if self._client is not None:
            values = self._client.session.ctx.login.values()
            self._secrets.update(value.reveal() for value in values if isinstance(value, Secret))

    @property
    def secrets(self) -> set[str]:
        """Every secret the account has had."""
        self._keep_secrets()
        return set(self._secrets)

    def shown(self) -> Iterator[tuple[str, Callable[[], str]]]:
        """Yield everything a user may get to see, with where it stands."""
        for line in self.logs.lines:
            yield f"a log line of {line.split(':')[0]}", lambda line=line: line  # type: ignore[misc]
        for error in self.watch.errors:
            yield f"a {type(error).__name__}", lambda error=error: f"{error} {error!r} {vars(error)!r}"  # type: ignore[misc]
        for event in self.watch.events:
            yield f"an event {type(event).__name__}", lambda event=event: f"{event} {event!r}"  # type: ignore[misc]
        for update in self.watch.updates:
            yield "an order update", lambda update=update: repr(update)  # type: ignore[misc]
        if self._client is not None:
            client = self._client
            yield "repr of the client", lambda: f"{client!r} {client.session!r} {client.session.ctx!r}"
            yield "the client's page", client._repr_html_
            yield "the counters", lambda: repr(client.counters())


def _venue_of(emulator: Emulator) -> Venue:
    if not isinstance(emulator.venue, Venue):
        raise UsageError(f"the {emulator.name} emulator's venue is {type(emulator.venue).__name__}, expected Venue")
    return emulator.venue


def _account_of(emulator: Emulator) -> str:
    account = getattr(emulator, "account", None)
    if not isinstance(account, str):
        raise UsageError(
            f"the {emulator.name} emulator does not say which account of its venue it trades for",
            remedy="give it an attribute `account`, as dragoman.emulator.rest.RestEmulator has",
        )
    return account


@asynccontextmanager
async def staged(
    runtime: Runtime, adapter: Adapter, *, state_dir: str, seed: int = 7, patience_s: float = PATIENCE_S
) -> AsyncIterator[Stage]:
    """Serve the adapter's emulator, its market calm, while the context lasts."""
    port = await free_port(runtime)
    emulator: Emulator = emulator_factory(adapter)(seed, runtime.clock.wall_ns(), redirect_port=port)
    venue = _venue_of(emulator)
    venue.calm()
    host = EmulatorHost(emulator, runtime)
    with LogWatch() as logs:
        roots = await host.start()
        try:
            overrides = overrides_of(roots_line(roots, emulator), adapter) | {"redirect_port": port}
            stage = Stage(runtime, adapter, host, overrides, state_dir, logs, patience_s)
            try:
                yield stage
            finally:
                await stage.close_all()
        finally:
            await host.close()
