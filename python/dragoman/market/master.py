"""The account's instruments: one canonical id each, found by any name the broker has for them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

from dragoman._core import intern_instrument
from dragoman.errors import ErrorKind, UsageError
from dragoman.market.chain import OptionChain
from dragoman.model import Instrument, InstrumentType


@dataclass(frozen=True, slots=True)
class MasterConflict:
    """Two rows of one master that claim the same name; the first keeps it, neither is guessed at."""

    what: str
    name: str
    kept: Instrument
    refused: Instrument


class InstrumentMaster:
    """Instruments by canonical id, broker symbol, broker token, exchange token and native handle.

    Rows arrive in pieces while the master downloads (`add`). A row that would take a name another row has is refused
    and listed in `conflicts`: an ambiguous name is an error, never a guess.
    """

    def __init__(self) -> None:
        self._by_id: dict[str, Instrument] = {}
        self._by_symbol: dict[tuple[str, str], Instrument] = {}
        self._by_token: dict[str, Instrument] = {}
        self._by_exchange_token: dict[tuple[str, str], Instrument] = {}
        self._by_handle: dict[int, Instrument] = {}
        self._derivatives: dict[str, list[Instrument]] = {}
        self.conflicts: list[MasterConflict] = []

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Instrument]:
        return iter(self._by_id.values())

    def __contains__(self, instrument_id: object) -> bool:
        return instrument_id in self._by_id

    def add(self, rows: Iterable[Instrument]) -> None:
        """Take rows of a master; a later row never replaces an earlier one."""
        for row in rows:
            symbol_key, exchange_key = (row.exchange, row.broker_symbol), (row.exchange, row.exchange_token)
            for what, name, holder in (
                ("canonical id", row.instrument_id, self._by_id.get(row.instrument_id)),
                ("broker token", row.broker_token, self._by_token.get(row.broker_token)),
                ("broker symbol", f"{row.exchange}:{row.broker_symbol}", self._by_symbol.get(symbol_key)),
            ):
                if holder is not None:
                    self.conflicts.append(MasterConflict(what, name, holder, row))
                    break
            else:
                self._by_id[row.instrument_id] = row
                self._by_symbol[symbol_key] = row
                self._by_token[row.broker_token] = row
                if row.exchange_token:
                    self._by_exchange_token.setdefault(exchange_key, row)
                if row.underlying and row.expiry:
                    self._derivatives.setdefault(row.underlying, []).append(row)

    def get(self, instrument_id: str) -> Instrument | None:
        return self._by_id.get(instrument_id)

    def by_broker_symbol(self, exchange: str, broker_symbol: str) -> Instrument | None:
        return self._by_symbol.get((exchange, broker_symbol))

    def by_broker_token(self, broker_token: str) -> Instrument | None:
        return self._by_token.get(broker_token)

    def by_exchange_token(self, exchange: str, exchange_token: str) -> Instrument | None:
        return self._by_exchange_token.get((exchange, exchange_token))

    def by_handle(self, handle: int) -> Instrument | None:
        return self._by_handle.get(handle)

    def handle(self, instrument: Instrument) -> int:
        """Return the native handle of an instrument, for streams and books."""
        handle = intern_instrument(instrument.instrument_id)
        self._by_handle[handle] = instrument
        return handle

    def resolve(self, name: str | Instrument) -> Instrument:
        """Return the instrument of a canonical id, or of ``EXCHANGE:BROKER_SYMBOL``.

        Raises
        ------
        UsageError
            Kind INSTRUMENT_NOT_FOUND, naming the nearest ids. Zero bytes were sent.
        """
        if isinstance(name, Instrument):
            name = name.instrument_id
        found = self._by_id.get(name)
        if found is None and ":" in name:
            exchange, _, symbol = name.partition(":")
            found = self._by_symbol.get((exchange, symbol))
        if found is not None:
            return found
        near = self.nearest(name)
        raise UsageError(
            f"unknown instrument {name!r} among {len(self)} of this account",
            kind=ErrorKind.INSTRUMENT_NOT_FOUND,
            remedy=f"nearest: {', '.join(near)}" if near else "load the instruments first, or check the venue",
        )

    def nearest(self, name: str, limit: int = 5) -> list[str]:
        """Return the ids most like `name`: same venue first, then any."""
        wanted = name.upper()
        venue, _, symbol = wanted.rpartition(":")
        same_venue = [key for key in self._by_id if key.startswith(f"{venue}:")] if venue else []
        for pool in (same_venue, list(self._by_id)):
            # The sequence matcher costs far more than a slice: let it see only names that begin alike, if any do.
            head = symbol[:2]
            likely = [key for key in pool if key.partition(":")[2].startswith(head)] or pool[:20_000]
            found = difflib.get_close_matches(wanted if venue else f"NSE:{symbol}", likely, limit, 0.5)
            if found:
                return found
        return []

    def option_chain(self, underlying: str, expiry: date | None = None) -> OptionChain:
        """Return calls and puts of one expiry (the nearest listed one by default) by strike.

        Raises
        ------
        UsageError
            Where there is no option of that underlying, or none of that expiry; names the expiries there are.
        """
        options = [i for i in self._derivatives.get(underlying, ()) if i.instrument_type is InstrumentType.OPTION]
        expiries = sorted({i.expiry for i in options if i.expiry is not None})
        if not expiries:
            near = difflib.get_close_matches(underlying, self._derivatives, 5, 0.4)
            raise UsageError(
                f"no options on {underlying!r}",
                kind=ErrorKind.INSTRUMENT_NOT_FOUND,
                remedy=f"nearest underlyings: {', '.join(near)}" if near else "load the instruments first",
            )
        chosen = expiry or expiries[0]
        if chosen not in expiries:
            raise UsageError(
                f"{underlying} has no options expiring {chosen}",
                kind=ErrorKind.INSTRUMENT_NOT_FOUND,
                remedy=f"listed: {', '.join(str(day) for day in expiries[:12])}",
            )
        return OptionChain.of(underlying, chosen, [i for i in options if i.expiry == chosen])

    def futures(self, underlying: str) -> list[Instrument]:
        """Return the futures of an underlying, nearest expiry first."""
        rows = [i for i in self._derivatives.get(underlying, ()) if i.instrument_type is InstrumentType.FUTURE]
        return sorted(rows, key=lambda i: i.expiry or date.max)
