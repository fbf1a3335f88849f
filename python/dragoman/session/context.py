"""What the session shows to an adapter's pure functions: the plugin's `Context`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final, cast

import orjson

from dragoman.errors import UsageError
from dragoman.model import Instrument, Order
from dragoman.plugin import InstrumentLookup, Session
from dragoman.runtime.base import Runtime
from dragoman.session.brokertime import BrokerClock
from dragoman.session.profiles import Profile
from dragoman.session.secrets import Secret
from dragoman.session.tokens import file_name

_NONCES_AHEAD: Final = 10_000_000_000


class NoInstruments:
    """The instrument lookup before a master is loaded: it knows none."""

    def get(self, instrument_id: str) -> Instrument | None:
        return None

    def by_broker_symbol(self, exchange: str, broker_symbol: str) -> Instrument | None:
        return None

    def by_broker_token(self, broker_token: str) -> Instrument | None:
        return None

    def by_handle(self, handle: int) -> Instrument | None:
        return None


class Credentials(Mapping[str, Secret]):
    """Credentials by name; asking for one the profile lacks says how to add it."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._found: dict[str, Secret] = {}

    def add(self, name: str, secret: Secret) -> None:
        self._found[name] = secret

    def __getitem__(self, name: str) -> Secret:
        try:
            return self._found[name]
        except KeyError:
            raise UsageError(
                f"{self._profile}: credential {name} is missing",
                broker=self._profile.broker,
                remedy=f"add credentials.{name} to the profile, by reference",
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self._found

    def get(self, name: str, default: Any = None) -> Any:
        return self._found.get(name, default)

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def __repr__(self) -> str:
        return f"Credentials({', '.join(sorted(self._found))})"


class Nonces:
    """Strictly rising numbers, also across restarts and clock steps.

    Numbers are ns of wall time where that rises, one more than the last where it does not. What the file holds is a
    bound above every number given out so far, moved ahead in big steps: one write serves thousands of numbers, and
    after a crash counting goes on above the bound.
    """

    def __init__(self, runtime: Runtime, path: str) -> None:
        self._runtime = runtime
        self._path = path
        self._last = 0
        self._bound = 0

    def next(self) -> int:
        if not self._bound:
            self._last = self._bound = self._read()
        number = max(self._last + 1, self._runtime.clock.wall_ns())
        if number >= self._bound:
            bound = number + _NONCES_AHEAD
            self._runtime.disk.write_atomic(self._path, orjson.dumps({"bound": bound}))
            self._bound = bound
        self._last = number
        return number

    def _read(self) -> int:
        if not self._runtime.disk.exists(self._path):
            return 1
        try:
            bound = orjson.loads(self._runtime.disk.read(self._path))["bound"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise UsageError(
                f"{self._path} is damaged, so the next nonce is not known",
                remedy="remove the file once the clock of this machine is right",
            ) from error
        return int(bound)


class SessionContext:
    """`dragoman.plugin.Context` of one account session. Read-only for adapters; the session sets the rest.

    Attributes
    ----------
    account : str
    credentials : Credentials
    login : mapping
        What the login flow returned, secrets wrapped; ``access_token`` is always there after a login.
    instruments : InstrumentLookup
        Set by whoever loads the master.
    known_orders : callable
        Returns every order known; set by whoever keeps them.
    generation : int
        Counts logins: a reply to a request of an older one says nothing about the token in force.
    """

    def __init__(self, runtime: Runtime, profile: Profile, clock: BrokerClock, state_dir: str) -> None:
        self._runtime = runtime
        self._profile = profile
        self._clock = clock
        self._credentials = Credentials(profile)
        self._login: Mapping[str, Any] = MappingProxyType({})
        self._account = profile.account or ""
        name = file_name(profile.broker, profile.name, profile.environment)
        self._nonces = Nonces(runtime, f"{state_dir}/nonces/{name}.json")
        self.instruments: InstrumentLookup = NoInstruments()
        self.known_orders: Callable[[], Sequence[Order]] = tuple
        self.generation = 0

    @property
    def now_ns(self) -> int:
        """Wall clock, ns UTC, corrected by the measured offset to the broker's (see `BrokerClock`)."""
        return self._clock.now_ns

    @property
    def environment(self) -> str:
        return self._profile.environment

    # Read for every request, so by getters that run no bytecode.
    hosts = cast(Mapping[str, str], property(attrgetter("_profile.hosts")))
    account = cast(str, property(attrgetter("_account")))
    credentials = cast(Credentials, property(attrgetter("_credentials")))
    login = cast(Mapping[str, Any], property(attrgetter("_login")))

    @property
    def orders(self) -> Sequence[Order]:
        return self.known_orders()

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._profile.settings

    def nonce(self) -> int:
        """Return a number above every earlier one of this profile."""
        return self._nonces.next()

    def random_bytes(self, n: int) -> bytes:
        return self._runtime.random_bytes(n)

    def adopt(self, session: Session) -> None:
        """Make a session the one in force."""
        values = {**session.values, "access_token": session.access_token}
        secret = session.secrets | {"access_token"}
        self._login = MappingProxyType(
            {
                name: Secret(value) if name in secret and isinstance(value, str) else value
                for name, value in values.items()
            }
        )
        self._account = session.account
        self.generation += 1

    def differs(self, session: Session) -> bool:
        """Whether a session has another token than the one in force."""
        held = self._login.get("access_token")
        return not isinstance(held, Secret) or held.reveal() != session.access_token

    def drop(self) -> None:
        """Forget the session in force."""
        self._login = MappingProxyType({})
        self.generation += 1

    def __repr__(self) -> str:
        return f"SessionContext({self._profile}, account={self.account!r})"
