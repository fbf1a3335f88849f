"""Which account a command speaks to, and the session it speaks through."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, get_args
from zoneinfo import ZoneInfo

from dragoman.cli.profiles import profiles_of
from dragoman.connecting import connect
from dragoman.errors import AuthRequired, DragomanError, NotSent, UsageError
from dragoman.plugin import Adapter
from dragoman.plugin.registry import load_adapter, plugins
from dragoman.runtime.base import Runtime
from dragoman.runtime.loops import run
from dragoman.runtime.real import RealRuntime
from dragoman.session import emulators
from dragoman.session.logins import NO_SESSION
from dragoman.session.profiles import Environment, Profile, load_profile
from dragoman.session.tokens import TokenCache, default_state_dir

if TYPE_CHECKING:
    from dragoman.client import Client
    from dragoman.plugin import Session

T = TypeVar("T")


@dataclass(frozen=True)
class Account:
    """The options that say which account is meant.

    Attributes
    ----------
    broker, profile, environment : str or None
        As given on the command line.
    timeout : float
        Seconds for each request.
    as_json : bool
    broker_assumed : bool
        The broker comes from the environment: one that the command names goes before it.
    """

    broker: str | None = None
    profile: str | None = None
    environment: str | None = None
    timeout: float = 10.0
    as_json: bool = False
    broker_assumed: bool = False

    def __post_init__(self) -> None:
        if self.environment and self.environment not in get_args(Environment):
            raise UsageError(
                f"environment {self.environment!r} is unknown", remedy=f"use one of {', '.join(get_args(Environment))}"
            )

    def named(self, broker: str | None) -> Account:
        """Return the same with a broker that was named besides the options; None changes nothing.

        Raises
        ------
        UsageError
            The options name another one.
        """
        if broker is None:
            return self
        if self.broker is not None and self.broker != broker and not self.broker_assumed:
            raise UsageError(f"two brokers are named: {broker} and {self.broker}", remedy="name one")
        return replace(self, broker=broker, broker_assumed=False)

    @cached_property
    def adapter(self) -> Adapter:
        """The adapter named; else the only one that is installed, or that has such a profile or emulator."""
        if self.broker is not None:
            return load_adapter(self.broker)
        found = sorted(plugins())
        if len(found) > 1:
            found = self._likely(found) or found
        if len(found) != 1:
            raise UsageError(
                f"several brokers can be meant: {', '.join(found)}" if found else "no adapter is installed",
                remedy="name one with --broker" if found else "install one, see `dragoman brokers`",
            )
        return load_adapter(found[0])

    def _likely(self, brokers: list[str]) -> list[str]:
        """Return those with an emulator of the profile's name, where one is meant, else those with such a profile."""
        if self.environment == "emulator":
            runtime = RealRuntime()
            try:
                running = [name for name in brokers if emulators.find(runtime, name, self.name) is not None]
            finally:
                runtime.close()
            if running:
                return running
        return [name for name in brokers if self.name in profiles_of(name)]

    @property
    def name(self) -> str:
        """The profile's name."""
        return self.profile or (emulators.DEFAULT_NAME if self.environment == "emulator" else "main")

    @property
    def zone(self) -> ZoneInfo:
        """The exchange's time zone, in which tables show times."""
        return ZoneInfo(self.adapter.session.time_zone)

    def overrides(self, runtime: Runtime) -> dict[str, Any] | None:
        """Return what a running emulator says of itself, where one is meant."""
        if self.environment != "emulator":
            return None
        return emulators.served(runtime, self.adapter, self.name)

    async def load(self, runtime: Runtime) -> Profile:
        """Read the profile.

        Raises
        ------
        UsageError
            There is none of that name, or it is wrong.
        """
        return await load_profile(
            runtime, self.adapter, self.name, environment=self.environment, overrides=self.overrides(runtime)
        )

    def cache(self, runtime: Runtime, profile: Profile) -> TokenCache:
        """Return where the session of this account is kept between runs."""
        return TokenCache(runtime, default_state_dir(runtime), profile.broker, profile.name, profile.environment)

    def kept(self, runtime: Runtime, profile: Profile) -> Session | None:
        """Return the session kept from an earlier login, whatever the broker thinks of it by now."""
        return self.cache(runtime, profile).load(runtime.clock.wall_ns(), account=profile.account)

    # -- running -----------------------------------------------------------------------------------------------------

    def perform(self, work: Callable[[Runtime], Awaitable[T]]) -> T:
        """Run a coroutine on a runtime of its own and return what it returns."""

        async def performed(runtime: Runtime) -> T:
            return await work(runtime)

        runtime = RealRuntime()
        try:
            return run(performed(runtime))
        finally:
            runtime.close()

    def ask(
        self,
        work: Callable[[Client], Awaitable[T]],
        *,
        trading: bool = False,
        streams: bool = False,
        instruments: bool = True,
        orders: bool | None = None,
    ) -> T:
        """Run a coroutine with a client of the account; the session is read-only unless the command trades.

        Today's orders and trades are read where the command trades, unless `orders` says otherwise.

        Raises
        ------
        AuthRequired
            Nobody is logged in: commands other than ``login`` never ask for it.
        """

        async def asked(runtime: Runtime) -> T:
            profile = await self.load(runtime)
            connecting = connect(
                self.adapter,
                self.name,
                environment=self.environment,
                read_only=not trading,
                load_instruments=instruments,
                load_orders=trading if orders is None else orders,
                streams=streams,
                overrides=self.overrides(runtime),
                may_log_in=False,
                runtime=runtime,
            )
            try:
                async with connecting as client:
                    if instruments:
                        await runtime.in_worker(keep_names, runtime, profile, client)
                    return await work(client)
            except NotSent as error:
                raise self._unreachable(profile, error) from error
            except AuthRequired as error:
                if error.code != NO_SESSION:
                    raise
                raise self._not_logged_in(profile) from error

        return self.perform(asked)

    def _not_logged_in(self, profile: Profile) -> AuthRequired:
        return AuthRequired(
            f"{profile}: there is no session, or the broker has ended it",
            broker=profile.broker,
            remedy=f"run: {self.spelled('login')}",
        )

    def _unreachable(self, profile: Profile, error: DragomanError) -> DragomanError:
        if profile.environment != "emulator" or error.remedy.startswith("run "):
            return error
        return NotSent(
            str(error.args[0]), broker=profile.broker, remedy=f"is `dragoman emulate {profile.broker}` still running?"
        )

    def spelled(self, command: str) -> str:
        """Return how to type another command, its arguments included, for the same account."""
        words = ["dragoman", command]
        for option, value in (("-b", self.broker), ("-p", self.profile), ("-e", self.environment)):
            words += [option, value] if value is not None else []
        return " ".join(words)


def keep_names(runtime: Runtime, profile: Profile, client: Client) -> None:
    """Keep the names of the instruments, for completion; see `dragoman.cli.completion`."""
    from dragoman.cli.completion import names_path

    path = names_path(default_state_dir(runtime), profile.broker, profile.environment)
    day = runtime.clock.wall_ns() // 86_400_000_000_000
    mark = f"{day} {len(client.instruments)}"
    try:
        if runtime.disk.exists(path) and runtime.disk.read(path).partition(b"\n")[0] == mark.encode():
            return
        ids = sorted(instrument.instrument_id for instrument in client.instruments)
        runtime.disk.write_atomic(path, "\n".join((mark, *ids)).encode())
    except OSError as error:
        import logging

        logging.getLogger("dragoman.cli").info("names for completion are not kept: %s", error)
