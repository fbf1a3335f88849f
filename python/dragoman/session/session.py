"""One authenticated account: its login and what it lends to everything above."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

from dragoman.errors import AuthRequired, DragomanError, ErrorKind, UsageError
from dragoman.model import Notice
from dragoman.plugin import Adapter, Credential, Endpoint, Flow, Session
from dragoman.runtime.base import Runtime
from dragoman.runtime.watchdog import Stall
from dragoman.session.brokertime import BrokerClock, expiry_ns
from dragoman.session.calendar import TradingCalendar
from dragoman.session.connection import FeedConnection
from dragoman.session.context import SessionContext
from dragoman.session.driver import AskHuman, FlowDriver, OnProgress, OnRows
from dragoman.session.exchange_days import packaged
from dragoman.session.fanout import Fanout
from dragoman.session.keeper import SessionKeeper
from dragoman.session.leases import SocketLeases
from dragoman.session.limiter import Limiter
from dragoman.session.login import LoginRedirect, OpenUrl
from dragoman.session.logins import PROBE_S, Logins
from dragoman.session.metrics import Metrics
from dragoman.session.profiles import Profile
from dragoman.session.secrets import Secret, as_secret, guard_logging
from dragoman.session.sender import BeforeSend, Sender, SenderHooks
from dragoman.session.shards import ShardedStream
from dragoman.session.streams import Stream, StreamEvent
from dragoman.session.tokens import TokenCache, default_state_dir, file_name
from dragoman.transport.base import HttpOptions, HttpTransport, WebSocket, WsHandler, WsOptions

if TYPE_CHECKING:
    from dragoman._core import Batch

T = TypeVar("T")
_NS: Final = 1_000_000_000
_CLOSE_S: Final = 5.0
_REFUSED_FOR_NS: Final = 300 * _NS
"""How long a token that the broker refused is left alone."""
_log = logging.getLogger("dragoman.session")


class AccountSession:
    """One account at one broker, logged in.

    Parameters
    ----------
    runtime : Runtime
    adapter : Adapter
    profile : Profile
    read_only : bool
        Makes every request that changes something a UsageError.
    access_token : str or Secret, optional
        Of a login made elsewhere. Without it: the token kept from the last run, else a login.
    state_dir : str, optional
        Where tokens and nonces are kept; see `default_state_dir`.
    may_log_in : bool
        False makes AuthRequired of a login, before any of its credentials is fetched.
    open_url, prompt : callable, optional
        How to reach the human; see `LoginRedirect` and `FlowDriver`.
    http, tls : optional
        A transport and a TLS context in place of our own; for tests.

    Attributes
    ----------
    runtime, adapter, profile, ctx, limiter, sockets, driver, sender, clock
    owner : Owner
        Says where the session may be used: in its process, on the loop that started it.
    calendar : TradingCalendar
        Says when the adapter's exchanges trade, and whether ticks are to be expected now.
    expires_ns : int or None
        When the session ends, by the broker's clock.
    connection_class : type of FeedConnection
        What streams make their connections of; a recorder puts its own here before they start.
    stalls : int
        Times a handler blocked the I/O loop long enough to be named.
    metrics : Metrics
    """

    def __init__(
        self,
        runtime: Runtime,
        adapter: Adapter,
        profile: Profile,
        *,
        read_only: bool = False,
        access_token: str | Secret | None = None,
        state_dir: str | None = None,
        may_log_in: bool = True,
        open_url: OpenUrl | None = None,
        prompt: AskHuman | None = None,
        http: HttpTransport | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.runtime = runtime
        self.adapter = adapter
        self.profile = profile
        self.read_only = read_only
        days = packaged() + profile.days
        self.calendar = TradingCalendar(adapter.hours, adapter.session.time_zone, lambda: self.clock.now_ns, days)
        self.expires_ns: int | None = None
        self.connection_class: type[FeedConnection] = FeedConnection
        self._token = None if access_token is None else as_secret(access_token)
        self._tls = tls
        self._prompt = prompt
        self.state_dir = state_dir = state_dir or default_state_dir(runtime)
        self.mono_ns = runtime.clock.mono_ns
        self.clock = BrokerClock(runtime.clock)
        self.ctx = SessionContext(runtime, profile, self.clock, state_dir)
        self.limiter = Limiter(
            runtime,
            adapter.limits,
            broker=adapter.name,
            time_zone=adapter.session.time_zone,
            wall_ns=self.clock.read,
        )
        self.sockets = SocketLeases(adapter.name, lambda: self.limiter.shared)
        self._http = http or self._own_http()
        hooks = SenderHooks(self.check_alive, self.auth_failed, self._socket)
        self.metrics = Metrics(adapter.name, lambda: self.ctx.account)
        self.sender = Sender(runtime, adapter, self.ctx, self._http, self.limiter, self.clock, hooks, self.metrics)
        self.driver = FlowDriver(runtime, self.sender, self.clock, broker=adapter.name)
        self.owner = self.driver.owner
        cache = TokenCache(runtime, state_dir, adapter.name, profile.name, profile.environment)
        rules = adapter.session
        self._redirect = LoginRedirect(
            runtime,
            broker=adapter.name,
            port=profile.redirect_port or rules.redirect_port,
            path=rules.redirect_path,
            open_url=open_url,
            prompt=prompt,
        )
        self._logins = Logins(
            runtime,
            adapter,
            profile,
            self.ctx,
            self.driver,
            cache,
            may_log_in=may_log_in,
            prompt=prompt,
            redirect=self._redirect,
        )
        self._events: Fanout[StreamEvent | DragomanError] = Fanout("session")
        self._streams: list[ShardedStream] = []
        self._over: AuthRequired | None = None
        self._held: Session | None = None
        self._refused = ("", 0)  # a token, and when (monotonic)
        self._doubtful = False
        self._keeper = SessionKeeper(self, f"{cache.path}.lock")
        self._unwatch: Callable[[], None] = lambda: None
        self.stalls = 0

    def __repr__(self) -> str:
        access = "read-only" if self.read_only else "trading"
        return f"<AccountSession {self.profile} account={self.ctx.account or 'not logged in'} {access}>"

    def _own_http(self) -> HttpTransport:
        from dragoman.transport.http import HttpClient

        egress = self.profile.egress
        return HttpClient(
            self.runtime, HttpOptions(source_address=egress.source_address, proxy=egress.proxy), tls=self._tls
        )

    @property
    def environment(self) -> str:
        return self.profile.environment

    @property
    def broker(self) -> str:
        return self.adapter.name

    @property
    def account(self) -> str:
        """The broker's name of the account; empty before the login."""
        return self.ctx.account

    # -- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Log in: with the token given, else the one kept, else through the broker's login.

        Raises
        ------
        UsageError
            The profile lacks something, or the login is of another account than the profile names.
        AuthRequired
            The token given is not accepted, or nobody finished the login.
        """
        self.owner.bind()
        guard_logging()
        await self._logins.resolve(_always)
        if self._token is not None:
            session = await self._logins.of_token(self._token)
        else:
            # Limits are shared from the first request on, or many short-lived processes would overrun them together.
            session = await self._logins.kept(self._share) or await self._logins.anew()
        await self._adopt(session)
        self._keeper.start()
        self._unwatch = self.runtime.watch_loop(self._on_lag, self._on_stall)

    async def login(self) -> None:
        """Log in anew, also over a session that stands; streams that had ended for want of it begin again."""
        await self._adopt(await self._logins.anew())
        self._keeper.start()  # a logout had ended it
        await self.restart_streams()

    async def logout(self) -> None:
        """End the session at the broker and forget its token; one that is over already is only forgotten.

        No other is fetched or taken over afterwards, until `login`.
        """
        await self._keeper.close()
        try:
            await self.driver.run(self.adapter.logout(self.ctx), timeout_s=PROBE_S)
        except AuthRequired:
            _log.info("%s: the session was over before the logout", self.profile)
        finally:
            await self._logins.forget()
            self._over = AuthRequired(
                f"{self.adapter.name}: logged out", broker=self.adapter.name, remedy="log in again"
            )
            self.ctx.drop()
            self._held, self._doubtful = None, False

    async def close(self) -> None:
        """Close streams and connections within five seconds, also with a dead peer. The token stays valid and kept."""
        self.owner.check("close")
        self._unwatch()
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._keeper.close()
                if self._streams:
                    await asyncio.gather(*(stream.close() for stream in self._streams))
                await self.driver.close(timeout_s=_CLOSE_S / 2)
                await self._http.close()
        except TimeoutError:
            _log.warning("%r did not close within %g s; what was left is cut off", self, _CLOSE_S)
        self._events.close()

    # -- use ---------------------------------------------------------------------------------------------------------

    async def run(
        self,
        flow: Flow[T],
        *,
        timeout_s: float = 10.0,
        on_rows: OnRows | None = None,
        on_progress: OnProgress | None = None,
        before_send: BeforeSend | None = None,
    ) -> T:
        """Drive one of the adapter's flows; see `FlowDriver.run`."""
        return await self.driver.run(
            flow,
            timeout_s=timeout_s,
            on_rows=on_rows,
            on_progress=on_progress,
            prompt=self._prompt,
            redirect=self._redirect,
            before_send=before_send,
            allow_mutates=not self.read_only,
        )

    def check_mutable(self) -> None:
        """Raise UsageError in a read-only session."""
        if self.read_only:
            raise UsageError(
                f"{self.profile}: this session is read-only",
                broker=self.adapter.name,
                remedy="connect with read_only=False",
            )

    def stream(
        self,
        name: str,
        on_batch: Callable[[Batch], object],
        on_event: Callable[[StreamEvent], object],
        *,
        lazy: bool = False,
    ) -> ShardedStream:
        """Make a supervised stream; `ShardedStream.start` begins it, closing the session closes it."""
        stream = ShardedStream(self, name, on_batch, on_event, lazy=lazy)
        self._streams.append(stream)
        return stream

    def on_event(self, callback: Callable[[StreamEvent | DragomanError], object]) -> Callable[[], None]:
        """Call back for what concerns the session itself: expiry ahead, its end, renewals. Returns what ends it."""
        return self._events.add(callback)

    def announce(self, event: StreamEvent | DragomanError) -> None:
        """Tell everybody who listens to the session's events."""
        self._events.publish(event)

    def latencies(self) -> dict[str, dict[str, float]]:
        """Return round trips by meter: count, mean_us, p50_us ... p99.99_us, max_us."""
        return self.metrics.round_trips()

    # -- the loop it runs on -----------------------------------------------------------------------------------------

    def _on_lag(self, lag_ns: int) -> None:
        self.metrics.loop_lag.record(lag_ns)

    def _on_stall(self, stall: Stall) -> None:
        """A handler blocked the loop: say which, and believe no stream that may have lost frames meanwhile."""
        self.stalls += 1
        text = f"the I/O loop stood still for {stall.seconds:.2f} s in {stall.handler}"
        self._events.publish(Notice("warning", text, code="LOOP_STALLED"))
        for stream in self._streams:
            stream.loop_stalled(stall.seconds, text)

    # -- lent to streams and sender ----------------------------------------------------------------------------------

    async def connect_ws(self, endpoint: Endpoint, handler: WsHandler, options: WsOptions) -> WebSocket:
        """Open a WebSocket of this account."""
        from dragoman.transport.websocket import connect_ws

        return await connect_ws(
            self.runtime,
            endpoint.url,
            handler,
            options=options,
            headers=endpoint.headers,
            subprotocol=endpoint.subprotocol,
            tls=self._tls,
        )

    def auth_failed(self, error: AuthRequired, generation: int) -> None:
        """Take note that the broker no longer accepts the session of login number `generation`.

        From now on requests are refused here, with zero bytes sent, until there is a new session; one is fetched at
        once where that needs no human. Brokers also refuse good tokens, while a server of theirs starts again: the
        keeper asks again about this one, ever more rarely.
        """
        if generation != self.ctx.generation or self._over is not None:
            return  # about a token that was replaced since, or known already
        if error.kind not in (ErrorKind.AUTH_EXPIRED, ErrorKind.AUTH_INVALID):
            return  # the session stands; this call, or this address, is not allowed
        self._over = AuthRequired(
            str(error.args[0]),  # without its remedy, which follows
            kind=error.kind,
            code=error.code,
            text=error.text,
            broker=self.adapter.name,
            remedy="log in again",
        )
        self._doubtful = True
        self._events.publish(self._over)
        self._keeper.session_ended()

    def check_alive(self) -> None:
        """Raise AuthRequired where the session is over and nobody has logged in since."""
        if self._over is not None:
            over = self._over
            raise AuthRequired(
                f"{self.profile}: the session is over; nothing was sent",
                kind=over.kind,
                code=over.code,
                text=over.text,
                broker=self.adapter.name,
                remedy="log in again",
            )
        if self.expires_ns is not None and self.clock.read() >= self.expires_ns:
            raise AuthRequired(
                f"{self.profile}: the session ended by the broker's rules; nothing was sent",
                kind=ErrorKind.AUTH_EXPIRED,
                broker=self.adapter.name,
                remedy="log in again",
            )

    def _socket(self, name: str) -> Stream | None:
        found = (stream.primary for stream in self._streams if name in ("", stream.name))
        return next((stream for stream in found if stream.ready), None)

    # -- logging in --------------------------------------------------------------------------------------------------

    async def prepare_postbacks(self) -> None:
        """Fetch the credentials that prove postbacks, where no login has fetched them; raises UsageError."""
        await self._logins.resolve(lambda credential: credential.proves_postbacks)

    async def _adopt(self, session: Session) -> None:
        """Make a session the one in force, and keep it for the next run."""
        if self.profile.account is not None and session.account != self.profile.account:
            raise UsageError(
                f"{self.profile} is for account {self.profile.account}, the login is of {session.account}",
                broker=self.adapter.name,
                remedy="log in with the account of the profile, or use another profile",
            )
        await self._share(session)
        by_rules = expiry_ns(self.adapter.session, self.clock.now_ns)
        ends = session.expires_ns if session.expires_ns is not None else by_rules
        self.ctx.adopt(session)
        self.expires_ns = ends
        self._over = None
        self._doubtful = False
        self._held = kept = Session(session.access_token, session.account, session.values, ends, session.secrets)
        await self._logins.keep(kept)

    async def _share(self, session: Session) -> None:
        """Count what the session's account spends in the file of all processes that do."""
        parts = [self.adapter.name, self.environment, session.account]
        if self.environment == "emulator":  # each emulator counts for itself
            parts += sorted({str(urlsplit(root).port) for root in self.profile.hosts.values()})
        await self.limiter.share(f"{self.state_dir}/limits/{file_name(*parts)}.rates")

    # -- lent to the keeper ------------------------------------------------------------------------------------------

    @property
    def over(self) -> AuthRequired | None:
        """Why nothing is sent any more; None while the session stands."""
        return self._over

    def end(self, error: AuthRequired) -> None:
        """Refuse requests from here on, with zero bytes sent, until there is a new session."""
        self._over = error
        self._doubtful = False
        self._events.publish(error)

    async def renew(self) -> None:
        """Fetch a new session without a human, as the broker allows. Errors as `start`."""
        await self._adopt(await self._logins.renewed())

    async def take_over_token(self) -> bool:
        """Adopt the session that another process of this host has fetched meanwhile; False where there is none."""
        found = await self._logins.stored()
        if found is None or not self.ctx.differs(found):
            return False
        token, refused_ns = self._refused
        now_ns = self.runtime.clock.mono_ns()
        if found.access_token == token and now_ns - refused_ns < _REFUSED_FOR_NS:
            return False
        try:
            session = await self._logins.of_token(Secret(found.access_token))
        except AuthRequired:
            self._refused = (found.access_token, now_ns)  # a broker that says no is not hammered
            return False
        except UsageError as error:
            if error.kind is not ErrorKind.NOT_SUPPORTED:
                raise
            session = found
        await self._adopt(session if session.account == found.account else found)
        return True

    @property
    def doubtful(self) -> bool:
        """Whether the session is over by a single reply of the broker, not by its rules: it may have been an error."""
        return self._doubtful and self._over is not None

    async def ask_again(self) -> bool:
        """Ask the broker once more about the token it has refused; True where the session goes on with it."""
        held, over = self._held, self._over
        if held is None or not self.doubtful:
            return False
        try:
            await self._logins.of_token(Secret(held.access_token))
        except AuthRequired:
            return False
        except UsageError as error:
            if error.kind is not ErrorKind.NOT_SUPPORTED:
                raise
            return False  # the broker has no way to ask
        if self._over is not over or self._held is not held:
            return False  # somebody has logged in, or out, meanwhile
        # As a login of its own: replies that are still on their way are about the time before.
        self.ctx.adopt(held)
        self._over = None
        self._doubtful = False
        return True

    async def restart_streams(self) -> None:
        """Begin the streams again that had ended for want of a session."""
        for stream in self._streams:
            if stream.state == "fatal" and isinstance(stream.error, AuthRequired):
                try:
                    await stream.restart()
                except DragomanError as error:
                    self._events.publish(error)


def _always(credential: Credential) -> bool:
    return credential.needed_for == "always"
