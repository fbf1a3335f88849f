"""The account's instruments: one canonical id each, found by any name the broker has for them."""

from __future__ import annotations

import difflib
import heapq
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from html import escape

from dragoman._core import intern_instrument
from dragoman.errors import ErrorKind, UsageError
from dragoman.market.chain import OptionChain
from dragoman.market.search import SearchIndex
from dragoman.model import Instrument, InstrumentType
from dragoman.plugin import Skipped


@dataclass(frozen=True, slots=True)
class MasterConflict:
    """Two rows of one master that claim the same name; the first keeps it, neither is guessed at."""

    what: str
    name: str
    kept: Instrument
    refused: Instrument


_KEPT = 1000
_LIKELY = 500


class InstrumentMaster:
    """Instruments by canonical id, broker symbol, broker token, exchange token and native handle.

    Rows arrive in pieces while the master downloads (`add`). A row that would take a name another row has is refused
    and listed in `conflicts`: an ambiguous name is an error, never a guess. Exchange tokens are the exception, because
    exchanges number shares and indices apart: one that two rows have finds neither.
    """

    def __init__(self) -> None:
        self._by_handle: dict[int, Instrument] = {}
        self._index: tuple[dict[str, Instrument], SearchIndex] | None = None
        self._clear()

    def _clear(self) -> None:
        self._by_id: dict[str, Instrument] = {}
        self._by_symbol: dict[tuple[str, str], Instrument] = {}
        self._by_token: dict[str, Instrument] = {}
        self._by_exchange_token: dict[tuple[str, str], Instrument | None] = {}
        self._derivatives: dict[str, list[Instrument]] = {}
        self.conflicts: list[MasterConflict] = []
        self.conflict_count = 0
        self.skipped: list[Skipped] = []
        self.skipped_count = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Instrument]:
        return iter(self._by_id.values())

    def __contains__(self, instrument_id: object) -> bool:
        return instrument_id in self._by_id

    def add(self, rows: Iterable[Instrument | Skipped]) -> None:
        """Take rows of a master; a later row never replaces an earlier one. Unreadable ones are kept in `skipped`."""
        for row in rows:
            if isinstance(row, Skipped):
                self.skipped_count += 1
                if len(self.skipped) < _KEPT:
                    self.skipped.append(row)
                continue
            symbol_key, exchange_key = (row.exchange, row.broker_symbol), (row.exchange, row.exchange_token)
            for what, name, holder in (
                ("canonical id", row.instrument_id, self._by_id.get(row.instrument_id)),
                ("broker token", row.broker_token, self._by_token.get(row.broker_token)),
                ("broker symbol", f"{row.exchange}:{row.broker_symbol}", self._by_symbol.get(symbol_key)),
            ):
                if holder is not None:
                    if holder != row:
                        self._conflict(MasterConflict(what, name, holder, row))
                    break
            else:
                self._by_id[row.instrument_id] = row
                if row.broker_symbol:
                    self._by_symbol[symbol_key] = row
                if row.broker_token:
                    self._by_token[row.broker_token] = row
                if row.exchange_token:
                    ambiguous = exchange_key in self._by_exchange_token
                    self._by_exchange_token[exchange_key] = None if ambiguous else row
                if row.underlying and row.expiry:
                    self._derivatives.setdefault(row.underlying, []).append(row)

    def _conflict(self, conflict: MasterConflict) -> None:
        self.conflict_count += 1
        if len(self.conflicts) < _KEPT:
            self.conflicts.append(conflict)

    def become(self, other: InstrumentMaster) -> None:
        """Take over the rows of a complete new master, all at once; instruments of the old one are unknown then."""
        self._by_id, self._by_symbol, self._by_token = other._by_id, other._by_symbol, other._by_token
        self._by_exchange_token, self._derivatives = other._by_exchange_token, other._derivatives
        self.conflicts, self.conflict_count = other.conflicts, other.conflict_count
        self.skipped, self.skipped_count = other.skipped, other.skipped_count
        other._clear()

    def get(self, instrument_id: str) -> Instrument | None:
        return self._by_id.get(instrument_id)

    def by_broker_symbol(self, exchange: str, broker_symbol: str) -> Instrument | None:
        return self._by_symbol.get((exchange, broker_symbol))

    def by_broker_token(self, broker_token: str) -> Instrument | None:
        return self._by_token.get(broker_token)

    def by_exchange_token(self, exchange: str, exchange_token: str) -> Instrument | None:
        """Return the instrument with the exchange's own number; None where it is unknown or not unique."""
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
        if not isinstance(name, str):
            raise UsageError(
                f"an instrument is named by text, not by {type(name).__name__} {name!r}",
                kind=ErrorKind.INSTRUMENT_NOT_FOUND,
                remedy="give its canonical id, or the Instrument itself",
            )
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
        venue, _, symbol = name.upper().rpartition(":")
        everywhere = sorted((key.partition(":")[2], key) for key in self._by_id)
        here = [pair for pair in everywhere if pair[1].startswith(f"{venue}:")] if venue else []
        for pool in (here, everywhere):
            # Comparing sequences costs a thousand times a look at the letters, and the loop waits meanwhile: first
            # those that begin most alike, its neighbours in the alphabet; then those as long.
            at = bisect_left(pool, (symbol, ""))
            for likely in (
                pool[max(0, at - _LIKELY // 2) : at + _LIKELY // 2],
                heapq.nsmallest(_LIKELY, pool, key=lambda pair: abs(len(pair[0]) - len(symbol))),
            ):
                by_symbol: dict[str, list[str]] = {}
                for text, key in likely:
                    by_symbol.setdefault(text, []).append(key)
                found = difflib.get_close_matches(symbol, by_symbol, limit, 0.5)
                if found:
                    return [key for text in found for key in by_symbol[text]][:limit]
        return []

    def option_chain(self, underlying: str, expiry: date | None = None) -> OptionChain:
        """Return calls and puts of one expiry (the nearest listed one by default) by strike.

        Parameters
        ----------
        underlying : str
            Its name, or ``VENUE:NAME`` where several venues list options on it.
        expiry : date, optional

        Raises
        ------
        UsageError
            Where there is no option of that underlying, or none of that expiry; names the expiries there are. Where
            several venues list them; names the venues.
        """
        options = self._listed(underlying, InstrumentType.OPTION, "options")
        expiries = sorted({i.expiry for i in options if i.expiry is not None})
        chosen = expiry or expiries[0]
        if chosen not in expiries:
            raise UsageError(
                f"{underlying} has no options expiring {chosen}",
                kind=ErrorKind.INSTRUMENT_NOT_FOUND,
                remedy=f"listed: {', '.join(str(day) for day in expiries[:12])}",
            )
        return OptionChain.of(underlying, chosen, [i for i in options if i.expiry == chosen])

    def futures(self, underlying: str) -> list[Instrument]:
        """Return the futures of an underlying, nearest expiry first; parameter and errors as `option_chain`."""
        return sorted(
            self._listed(underlying, InstrumentType.FUTURE, "futures"),
            key=lambda i: (i.expiry or date.max, i.instrument_id),
        )

    def _listed(self, underlying: str, kind: InstrumentType, what: str) -> list[Instrument]:
        venue, _, name = underlying.rpartition(":")
        rows = [i for i in self._derivatives.get(name, ()) if i.instrument_type is kind]
        venues = sorted({_venue(i) for i in rows})
        if venue:
            rows = [i for i in rows if _venue(i) == venue]
        elif len(venues) > 1:
            raise UsageError(
                f"{what} on {name!r} are listed on {' and '.join(venues)}",
                kind=ErrorKind.INSTRUMENT_NOT_FOUND,
                remedy=f"name one: {', '.join(f'{one}:{name}' for one in venues)}",
            )
        if not rows:
            near = difflib.get_close_matches(name, self._derivatives, 5, 0.4)
            hint = f"listed on {', '.join(venues)}" if venues else f"nearest underlyings: {', '.join(near)}"
            raise UsageError(
                f"no {what} on {underlying!r}",
                kind=ErrorKind.INSTRUMENT_NOT_FOUND,
                remedy=hint if venues or near else "load the instruments first",
            )
        return rows

    # -- for humans --------------------------------------------------------------------------------------------------

    def search(
        self,
        query: str,
        *,
        limit: int = 10,
        exchange: str | None = None,
        instrument_type: InstrumentType | str | None = None,
    ) -> list[Instrument]:
        """Return the instruments that a human's words mean, best match first.

        Parameters
        ----------
        query : str
            Words in any order, or parts of them: symbol, name, underlying, strike, expiry, ``call`` or ``fut``. A word
            that no instrument has is taken for those most like it. ``"nifty 24800 ce dec"``, ``"relaince"``.
        limit : int
        exchange : str, optional
            Of this exchange segment only.
        instrument_type : InstrumentType or str, optional
            Of this kind only.
        """
        kind = None if instrument_type is None else InstrumentType(instrument_type)
        index = self._index
        if index is None or index[0] is not self._by_id or len(index[1]) != len(self):
            index = self._index = (self._by_id, SearchIndex(self))
        return index[1].find(
            query,
            limit,
            lambda i: (exchange is None or i.exchange == exchange) and (kind is None or i.instrument_type is kind),
        )

    def __repr__(self) -> str:
        return f"<InstrumentMaster {len(self)} instruments, {self.conflict_count} conflicts>"

    def _repr_html_(self) -> str:
        counts = Counter((i.exchange, i.instrument_type.value) for i in self)
        rows = "".join(
            f"<tr><td>{escape(e)}</td><td>{escape(t)}</td><td>{n}</td></tr>" for (e, t), n in sorted(counts.items())
        )
        head = "<tr><th>exchange</th><th>kind</th><th>instruments</th></tr>"
        return f"<table><caption>{escape(repr(self))}</caption>{head}{rows}</table>"


def _venue(instrument: Instrument) -> str:
    return instrument.instrument_id.partition(":")[0]
