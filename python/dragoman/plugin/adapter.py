"""The adapter contract: one class of tables, pure functions and flows for each broker.

An adapter never opens a socket, reads a clock, sleeps, resends, logs a secret or keeps mutable state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from typing import Any, ClassVar, Literal, NoReturn

from dragoman.errors import ErrorKind, UsageError
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
    Margin,
    Mode,
    Order,
    OrderChange,
    OrderMargin,
    OrderRequest,
    Outcome,
    Position,
    Product,
    Profile,
    Quote,
    Side,
    TriggerRange,
)
from dragoman.plugin.capabilities import Capabilities
from dragoman.plugin.charges import ChargesTable
from dragoman.plugin.codes import CodeTable, Failure
from dragoman.plugin.context import Context
from dragoman.plugin.effects import Flow, Reply, Request
from dragoman.plugin.feed import Feed
from dragoman.plugin.limits import RateLimit
from dragoman.plugin.margins import MarginTerms

CONTRACT = 1


@dataclass(frozen=True, slots=True)
class Credential:
    """Something the profile must hold for this broker.

    Attributes
    ----------
    needed_for : {"login", "always"}
        `login`: fetched when a login begins, and not where a kept token makes one needless.
    proves_postbacks : bool
        `Adapter.postback` needs it too: then it is fetched at the first postback, if no login has fetched it.
    """

    name: str
    secret: bool = True
    needed_for: Literal["login", "always"] = "login"
    meaning: str = ""
    proves_postbacks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRules:
    """How long a session lives, and what ends it.

    Attributes
    ----------
    time_zone : str
        IANA name; all times of day here are in it.
    expires_at : time or None
        Time of day at which every token dies; None where `life_s` or the login reply says.
    refresh : {"none", "token", "relogin"}
        `none`: a human must log in again. `token`: `Adapter.refresh` renews it. `relogin`: `Adapter.login` can run
        unattended.
    static_ip : {"none", "orders", "all"}
        Which calls the broker takes from the registered address only.
    redirect_port, redirect_path
        Where the one-shot login listener waits unless the profile says otherwise.
    queue_time_s : float
        Longest time an order may sit unseen at the broker: absence means nothing earlier.
    settle_s : float
        Quiet time after which positions and fills are at rest.
    instruments_at : time or None
        Time of day from which the broker's instrument master of that day is out; None where its day begins when tokens
        die, or at midnight.
    """

    time_zone: str
    expires_at: time | None = None
    life_s: float | None = None
    refresh: Literal["none", "token", "relogin"] = "none"
    static_ip: Literal["none", "orders", "all"] = "none"
    redirect_port: int = 5010
    redirect_path: str = "/"
    queue_time_s: float = 60.0
    settle_s: float = 5.0
    instruments_at: time | None = None


@dataclass(frozen=True, slots=True)
class TradingHours:
    """When exchanges trade, as a rule. Holidays and dated hours are of exchanges: see `dragoman.session.exchange_days`.

    Attributes
    ----------
    exchanges : frozenset of str
        As instruments name them; empty for all.
    opens, closes : time
        In the session's time zone; equal ones mean around the clock.
    weekdays : frozenset of int
        0 is Monday.
    """

    exchanges: frozenset[str] = frozenset()
    opens: time = time(0)
    closes: time = time(0)
    weekdays: frozenset[int] = frozenset(range(5))


@dataclass(frozen=True, slots=True)
class Session:
    """What `login` returns: the access token, when it dies, who it is for, and whatever later requests need.

    `values` become `Context.login`; those named in `secrets` are wrapped before anything else sees them.
    """

    access_token: str
    account: str
    values: Mapping[str, Any]
    expires_ns: int | None = None
    secrets: frozenset[str] = frozenset(("access_token",))

    def __repr__(self) -> str:
        return f"Session(account={self.account!r}, expires_ns={self.expires_ns})"


class Adapter:
    """Base of all adapters. Tables are class attributes; flows a broker lacks stay undefined and raise its reason."""

    contract: ClassVar[int] = CONTRACT
    name: ClassVar[str]
    title: ClassVar[str]
    hours: ClassVar[Sequence[TradingHours]] = ()
    """When ticks are to be expected; without them a market stream is judged by its heartbeats alone."""
    hosts: ClassVar[Mapping[str, Mapping[str, str]]]
    """Environment -> host name -> root. ``emulator`` roots are filled in by whoever started the emulator."""
    headers: ClassVar[tuple[tuple[str, str], ...]] = ()
    credentials: ClassVar[tuple[Credential, ...]]
    capabilities: ClassVar[Capabilities]
    limits: ClassVar[tuple[RateLimit, ...]]
    session: ClassVar[SessionRules]
    codes: ClassVar[CodeTable]
    charges_table: ClassVar[ChargesTable | None] = None
    """What trades cost, where somebody has written that down."""
    feeds: ClassVar[tuple[type[Feed], ...]]
    authorizes_by_login: ClassVar[bool] = False
    """What `authorize` adds depends on the login, the credentials and the request's method, path, query, headers, meter
    and `auth` alone: nothing of its body, no time, no nonce. It is then kept for as long as the login is in force."""
    margin_terms: ClassVar[MarginTerms] = MarginTerms()
    """What the figures of `margins` count."""
    emulator: ClassVar[str] = ""
    """``package.module:factory`` of the broker's side, loaded only when asked for. ``factory(seed, now_ns, **options)``
    returns a `dragoman.emulator.contract.Emulator` on a fresh venue."""

    # -- pure functions ----------------------------------------------------------------------------------------------

    def authorize(self, request: Request, body: bytes, ctx: Context) -> Request:
        """Return the request as it leaves: headers, signature, nonce. `body` holds the bytes of its form or JSON.

        A nonce or signature that must stand inside the body goes into the returned request's form or JSON, which is
        then written again: sign those bytes (``urllib.parse.urlencode`` of a form gives them).
        """
        return request

    def classify(self, reply: Reply, request: Request) -> Failure | None:
        """Return None where the reply is a success, otherwise what it means, by the code table."""
        raise TypeError(f"{type(self).__name__} does not define classify")

    def order_defaults(self, instrument: Instrument) -> Mapping[str, Any]:
        """Return what an order in `instrument` has where its caller names none: ``time_in_force``, ``product``.

        What is missing here is that of `OrderRequest`, which a market without trading days or deliveries has no word
        for.
        """
        return {}

    def usage(self, reply: Reply, request: Request) -> Mapping[str, int]:
        """Return what the broker says is used of a limit now, by the limit's name (``"orders/10s"``).

        Others may share a limit with us (an address, a key): the limiter counts at least as much as the broker does.
        Asked of every reply, read or refused.
        """
        return {}

    def check_order(self, order: OrderRequest, instrument: Instrument) -> OrderRequest:
        """Return the order as it will be sent, or raise UsageError for what this broker refuses: zero bytes sent.

        A change of meaning (a protected MARKET order) must be visible in the returned request.
        """
        return order

    @classmethod
    def slices(cls, order: OrderRequest) -> bool:
        """Whether the broker cuts this order into parts below the freeze quantity: then it may lie above."""
        return False

    def correlate(self, message: Any) -> str | None:
        """Return the correlation id in a socket message, where requests go over sockets."""
        return None

    # -- flows -------------------------------------------------------------------------------------------------------

    def login(self, ctx: Context) -> Flow[Session]:
        self._no("login")

    def import_token(self, token: str, ctx: Context) -> Flow[Session]:
        """Make a session of an access token that was obtained elsewhere, asking the broker whose it is."""
        self._no("import_token")

    def refresh(self, ctx: Context) -> Flow[Session]:
        self._no("refresh")

    def logout(self, ctx: Context) -> Flow[None]:
        self._no("logout")

    def instruments(self, ctx: Context) -> Flow[int]:
        """Download the master; its `Instrument` rows leave through `Download`/`Part`. Returns how many."""
        self._no("instruments")

    def place(self, order: OrderRequest, instrument: Instrument, ctx: Context) -> Flow[Outcome | list[Outcome]]:
        self._no("place")

    def modify(self, order: Order, change: OrderChange, instrument: Instrument, ctx: Context) -> Flow[Outcome]:
        self._no("modify")

    def cancel(self, order: Order, ctx: Context) -> Flow[Outcome]:
        self._no("cancel")

    def place_many(self, legs: Sequence[tuple[OrderRequest, Instrument]], ctx: Context) -> Flow[list[Outcome]]:
        """Place several orders with one request; an outcome for each, in their order.

        At most `Capabilities.most_in_basket` of them. Each has a fate of its own: the broker may take some of them, and
        a leg that its reply does not name is UNKNOWN.
        """
        self._no("basket")

    def cancel_many(self, ctx: Context, *, exchange: str | None = None, tag: str | None = None) -> Flow[list[Outcome]]:
        """Cancel all orders of the account that work, also those placed elsewhere; an outcome for each with its id.

        `exchange` or `tag` narrow them. Nothing to cancel is an empty list.
        """
        self._no("cancel_many")

    def exit_all(self, ctx: Context, *, exchange: str | None = None, tag: str | None = None) -> Flow[list[Outcome]]:
        """Close all positions of the account at the market; an outcome for each, with the id of the closing order.

        `exchange` or `tag` (of the orders that made them) narrow them. Nothing to close is an empty list.
        """
        self._no("exit_all")

    def order(self, order_id: str, ctx: Context) -> Flow[list[Order]]:
        """The order's states, oldest first; the last is now."""
        self._no("order_history")

    def orders(self, ctx: Context) -> Flow[list[Order]]:
        self._no("orders")

    def trades(self, ctx: Context, order_id: str | None = None) -> Flow[list[Fill]]:
        self._no("trades")

    def positions(self, ctx: Context) -> Flow[list[Position]]:
        self._no("positions")

    def holdings(self, ctx: Context) -> Flow[list[Holding]]:
        self._no("holdings")

    def balances(self, ctx: Context) -> Flow[list[Balance]]:
        """Assets of a wallet, where the broker keeps one: each with what is free and what orders hold."""
        self._no("balances")

    def holdings_summary(self, ctx: Context) -> Flow[HoldingsSummary]:
        """All holdings together, in the broker's own sums."""
        self._no("holdings_summary")

    def convert(
        self, position: Position, quantity: Decimal, product: Product, instrument: Instrument, ctx: Context
    ) -> Flow[None]:
        self._no("convert")

    def margins(self, ctx: Context) -> Flow[list[Margin]]:
        self._no("margins")

    def order_margin(self, orders: Sequence[OrderRequest], ctx: Context) -> Flow[list[OrderMargin]]:
        self._no("order_margin")

    def basket_margin(
        self, orders: Sequence[OrderRequest], ctx: Context, *, consider_positions: bool = True
    ) -> Flow[BasketMargin]:
        self._no("basket_margin")

    def charges(self, fills: Sequence[Fill], ctx: Context) -> Flow[list[Charges]]:
        """Taxes and fees of executions, in their order."""
        self._no("charges")

    def profile(self, ctx: Context) -> Flow[Profile]:
        self._no("profile")

    def auctions(self, ctx: Context) -> Flow[list[Holding]]:
        """Holdings that may be offered in today's auction, each with its `auction_number`."""
        self._no("auctions")

    def authorise_holdings(self, holdings: Sequence[Holding], ctx: Context) -> Flow[HoldingsAuthorisation]:
        """Start the depository's authorisation of a sale; the human ends it at the URL. Empty: all holdings."""
        self._no("authorise_holdings")

    def gtts(self, ctx: Context) -> Flow[list[Gtt]]:
        self._no("gtt")

    def gtt(self, gtt_id: str, ctx: Context) -> Flow[Gtt]:
        self._no("gtt")

    def gtt_place(self, request: GttRequest, instrument: Instrument, ctx: Context) -> Flow[str]:
        """Returns the id of the trigger."""
        self._no("gtt")

    def gtt_modify(self, gtt_id: str, request: GttRequest, instrument: Instrument, ctx: Context) -> Flow[str]:
        self._no("gtt")

    def gtt_delete(self, gtt_id: str, ctx: Context) -> Flow[str]:
        self._no("gtt")

    def alerts(self, ctx: Context, alert_id: str | None = None) -> Flow[list[Alert]]:
        self._no("alerts")

    def alert_create(self, request: AlertRequest, ctx: Context) -> Flow[Alert]:
        self._no("alerts")

    def alert_modify(self, alert_id: str, request: AlertRequest, ctx: Context) -> Flow[Alert]:
        self._no("alerts")

    def alert_delete(self, alert_ids: Sequence[str], ctx: Context) -> Flow[None]:
        self._no("alerts")

    def alert_history(self, alert_id: str, ctx: Context) -> Flow[list[AlertEvent]]:
        self._no("alerts")

    def trigger_ranges(self, instruments: Sequence[Instrument], side: Side, ctx: Context) -> Flow[list[TriggerRange]]:
        """Between which prices the trigger of a cover order may lie; instruments the broker left out are missing."""
        self._no("trigger_range")

    def quotes(self, instruments: Sequence[Instrument], mode: Mode, ctx: Context) -> Flow[list[Quote]]:
        """Quotes in the broker's batches. Instruments the broker left out are missing from the result."""
        self._no("quotes")

    def depth(self, instrument: Instrument, ctx: Context) -> Flow[Quote]:
        self._no("depth")

    def candles(
        self,
        instrument: Instrument,
        interval: str,
        start: datetime,
        end: datetime,
        ctx: Context,
        *,
        continuous: bool = False,
    ) -> Flow[list[Candle]]:
        """Candles of ``[start, end]``, oldest first, however many requests that takes; parts leave as they come.

        `interval` is a number and one of ``s m h d w`` (``"1m"``, ``"15m"``, ``"1d"``); `continuous` joins the series
        of a future's expired contracts. `start` and `end` carry a time zone.
        """
        self._no("candles")

    def postback(self, body: bytes, ctx: Context) -> Order:
        """Read an order update the broker posted to the user's own URL, after proof that the broker wrote it.

        Raises
        ------
        DecodeError
            Where the proof is wrong or missing, or the body is of another shape: drop it.
        """
        self._no("postback")

    def feed(self, name: str) -> Feed:
        """Make the per-connection object of the stream `name`, or of the first of that kind."""
        return self.feed_class(name)()

    def feed_class(self, name: str) -> type[Feed]:
        """Return the feed of the stream `name`, or the first of that kind (market, depth, orders)."""
        for cls in self.feeds:
            if cls.stream() == name:
                return cls
        for cls in self.feeds:
            if cls.kind == name or (name == "orders" and cls.carries_orders):
                return cls
        self._no(f"{name} stream")

    def _no(self, what: str) -> NoReturn:
        support = self.capabilities.features.get(what)
        reason = support.reason if support is not None else ""
        reason = reason or "the adapter does not define it"
        raise UsageError(f"{self.name} does not offer {what}: {reason}", kind=ErrorKind.NOT_SUPPORTED, broker=self.name)


__all__ = ["CONTRACT", "Adapter", "Credential", "Session", "SessionRules"]
