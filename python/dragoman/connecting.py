"""`connect`: from a broker's name and a profile to a client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any

from dragoman.checks import RiskLimits, flag, text
from dragoman.client import Client
from dragoman.errors import UsageError
from dragoman.market import MasterCache
from dragoman.plugin import Adapter
from dragoman.plugin.registry import load_adapter
from dragoman.runtime.base import Runtime
from dragoman.session.secrets import Secret, as_secret

if TYPE_CHECKING:
    from dragoman.session.session import AccountSession

_STREAMS = ("dragoman.transport.websocket", "dragoman.transport.ws_picows")
"""What the first stream would load, which takes long enough to hold up a loop that others wait for already."""


class Connecting:
    """What `connect` returns: enter it, or await it, to get the `Client`."""

    def __init__(self, make: Callable[[], Awaitable[Client]]) -> None:
        self._make = make
        self._client: Client | None = None

    def __await__(self) -> Generator[Any, None, Client]:
        return self._start().__await__()

    async def _start(self) -> Client:
        client = await self._make()
        await client.start()
        return client

    async def __aenter__(self) -> Client:
        self._client = await self._start()
        return self._client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.close()


def connect(
    broker: str | Adapter,
    profile: str = "main",
    *,
    environment: str | None = None,
    read_only: bool = False,
    access_token: str | None = None,
    load_instruments: bool = True,
    load_orders: bool = True,
    cache_instruments: bool | None = None,
    streams: bool = True,
    journal: bool = True,
    risk: RiskLimits | None = None,
    overrides: Mapping[str, Any] | None = None,
    state_dir: str | None = None,
    may_log_in: bool = True,
    open_url: Callable[[str], object] | None = None,
    prompt: Callable[[str, str, bool], Awaitable[str]] | None = None,
    runtime: Runtime | None = None,
) -> Connecting:
    """Connect to an account at a broker.

    Parameters
    ----------
    broker : str or Adapter
        Name of an installed adapter, see ``dragoman brokers``.
    profile : str
        Table of the profiles file; it names credentials by reference, the environment and plain settings.
    environment : {"live", "sandbox", "emulator"}, optional
        Must agree with the profile where both say one; one of them has to.
    read_only : bool
        Every mutating call is a `UsageError`.
    access_token : str, optional
        A token your own login already made: no login runs.
    load_instruments, load_orders, streams : bool
        Leave out the instrument master, today's orders and trades, or the streams, for a quick read. Orders that were
        left out are read by the first call that needs one.
    cache_instruments : bool, optional
        Whether the day's instrument master is kept below `state_dir` and taken from there; by default everywhere but in
        environment "emulator", where every venue has instruments of its own.
    journal : bool
        Whether every order is written down, durably, before it is sent, below `state_dir`: so that nothing is lost or
        doubled when this process ends, and one process at a time places orders. Without it none of that is promised.
    risk : RiskLimits, optional
        What every order is checked against before it is sent, instead of the profile's ``risk`` table.
    overrides : mapping, optional
        Laid over the profile: ``credentials``, ``hosts``, ``settings``, ``egress``, ``redirect_port``, ``risk``; with
        it no profile file is needed.
    state_dir : str, optional
        Where tokens are kept; by default ``$DRAGOMAN_STATE`` or ``~/.local/state/dragoman``.
    may_log_in : bool
        Whether a login may begin where no kept token serves; False raises AuthRequired instead, and no credential that
        only a login needs is fetched.
    open_url, prompt : callables, optional
        How a login asks the human: open a page, type a secret; either may be a coroutine function. Without them a login
        that needs one raises.
    runtime : Runtime, optional
        The real one by default.

    Returns
    -------
    Connecting
        ``async with connect(...) as client`` or ``client = await connect(...)``.

    Raises
    ------
    UsageError
        On entering: unknown broker or profile, a missing credential, an environment nobody named.
        Also where a human must log in and neither `open_url` nor `prompt` says how to ask one.
        Also where other processes hold all sockets the broker allows; it names them, and `streams=False` needs none.
    AuthRequired
        On entering: nobody finished the login, or the token given is not accepted.
    """

    check_arguments(**locals())
    token = None if access_token is None else as_secret(access_token)

    async def make() -> Client:
        from dragoman.runtime.real import RealRuntime
        from dragoman.session.profiles import load_profile
        from dragoman.session.session import AccountSession

        at, release = runtime, _nothing
        if at is None:
            at = real = RealRuntime()
            release = real.close
        try:
            if streams and not at.virtual:
                for module in _STREAMS:
                    import_module(module)
            adapter = load_adapter(broker) if isinstance(broker, str) else broker
            chosen = await load_profile(at, adapter, profile, environment=environment, overrides=overrides)
            session = AccountSession(
                at,
                adapter,
                chosen,
                read_only=read_only,
                access_token=token,
                state_dir=state_dir,
                may_log_in=may_log_in,
                open_url=open_url,
                prompt=prompt,
            )
            keeps = chosen.environment != "emulator" if cache_instruments is None else cache_instruments
            return Client(
                session,
                load_instruments=load_instruments,
                load_orders=load_orders,
                streams=streams,
                cache=_master_cache(at, session) if keeps else None,
                journal=journal,
                risk=risk if risk is not None or not chosen.risk else RiskLimits.of(chosen.risk),
                release=release,
            )
        except BaseException:
            release()
            raise

    return Connecting(make)


def check_arguments(**given: Any) -> None:
    """Refuse arguments of `connect` that cannot be, before anything is done.

    Raises
    ------
    UsageError
        Naming the argument, and never showing what stands for a secret.
    """
    if not isinstance(given["broker"], (str, Adapter)):
        raise UsageError(
            f"broker {given['broker']!r} is no broker", remedy="give the name of an adapter: `dragoman brokers`"
        )
    text("profile", given["profile"])
    for name in ("environment", "state_dir"):
        if given[name] is not None:
            text(name, given[name])
    for name in ("read_only", "load_instruments", "load_orders", "streams", "may_log_in"):
        flag(name, given[name])
    if given["cache_instruments"] is not None:
        flag("cache_instruments", given["cache_instruments"])
    expected: tuple[tuple[str, bool, str], ...] = (
        ("access_token", isinstance(given["access_token"], (str, Secret)), "text"),
        ("risk", isinstance(given["risk"], RiskLimits), "RiskLimits"),
        ("overrides", isinstance(given["overrides"], Mapping), "a mapping"),
        ("open_url", callable(given["open_url"]), "a callable that takes the URL"),
        ("prompt", callable(given["prompt"]), "a callable that takes kind, text and whether it is secret"),
    )
    for name, fits, what in expected:
        if given[name] is not None and not fits:
            raise UsageError(
                f"{name} is of type {type(given[name]).__name__}, expected {what}",
                remedy=f"leave {name} out, or fix it",
            )


def _master_cache(runtime: Runtime, session: AccountSession) -> MasterCache:
    folder, profile = f"{session.state_dir}/masters", session.profile
    return MasterCache(runtime, folder, session.adapter, profile.environment, profile.hosts)


def _nothing() -> None:
    """Release nothing: the caller's runtime is the caller's to close."""
