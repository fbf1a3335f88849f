"""What an adapter's pure functions may look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from dragoman.model import Instrument, Order


class SecretValue(Protocol):
    """A value that refuses to be shown; `reveal` is the only way to it."""

    def reveal(self) -> str: ...


class InstrumentLookup(Protocol):
    """The account's instrument master."""

    def get(self, instrument_id: str) -> Instrument | None: ...

    def by_broker_symbol(self, exchange: str, broker_symbol: str) -> Instrument | None: ...

    def by_broker_token(self, broker_token: str) -> Instrument | None: ...

    def by_handle(self, handle: int) -> Instrument | None: ...


class Context(Protocol):
    """Read-only. Clocks, nonces and randomness come from here, so that an adapter can sign without owning any."""

    @property
    def now_ns(self) -> int:
        """Wall clock, ns UTC, corrected by the measured offset to the broker's."""
        ...

    @property
    def environment(self) -> str: ...

    @property
    def hosts(self) -> Mapping[str, str]:
        """Roots by name, of the environment in force."""
        ...

    @property
    def account(self) -> str: ...

    @property
    def credentials(self) -> Mapping[str, SecretValue]: ...

    @property
    def login(self) -> Mapping[str, Any]:
        """What the login flow returned: tokens are `SecretValue`, the rest plain."""
        ...

    @property
    def instruments(self) -> InstrumentLookup: ...

    @property
    def orders(self) -> Sequence[Order]:
        """Every order the session knows of, as last reported; empty before the first.

        For brokers that list only what is open, or answer by instrument only: what else to ask about.
        """
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """The profile's plain settings, such as a quantity unit the user confirmed."""
        ...

    def nonce(self) -> int:
        """Return a number above every earlier one of this key, on this host."""
        ...

    def random_bytes(self, n: int) -> bytes: ...
