"""The account's instruments: one canonical id each, found by any name the broker has for them."""

from __future__ import annotations

import difflib
import heapq
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from html import escape
from typing import Any, Literal

from dragoman._core import intern_instrument
from dragoman.checks import choice, count, day, text
from dragoman.errors import ErrorKind, UsageError
from dragoman.market.chain import OptionChain
from dragoman.market.master_columns import Columns, encode
from dragoman.market.master_rows import Rows
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

    Every lookup raises `UsageError` for an argument that can be no name of the kind it takes.

    A master read from a file (see `dragoman.market.master_cache`) answers as the one that was written, and builds each
    `Instrument` when it is first returned.

    Attributes
    ----------
    conflicts, skipped : list
        Rows refused, and rows that could not be read; at most a thousand of each. The counts count them all.
    source : {"", "download", "cache"}
        Where the rows came from.
    """

    def __init__(self) -> None:
        self._by_handle: dict[int, Instrument] = {}
        self._clear()

    def _clear(self) -> None:
        self._rows = Rows()
        self.conflicts: list[MasterConflict] = []
        self.conflict_count = 0
        self.skipped: list[Skipped] = []
        self.skipped_count = 0
        self.source: Literal["", "download", "cache"] = ""

    @property
    def edition(self) -> tuple[object, int]:
        """What is equal as long as the rows are the same ones, for whoever keeps something of them."""
        return self._rows, len(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Instrument]:
        rows = self._rows
        return map(rows.row, range(len(rows)))

    def __contains__(self, instrument_id: object) -> bool:
        return instrument_id in self._rows.ids

    def add(self, rows: Iterable[Instrument | Skipped]) -> None:
        """Take rows of a master; a later row never replaces an earlier one. Unreadable ones are kept in `skipped`."""
        table = self._rows
        known, ids, symbols, tokens = table.rows, table.ids, table.symbols, table.tokens
        table.changed()
        for row in rows:
            if isinstance(row, Skipped):
                self.skipped_count += 1
                if len(self.skipped) < _KEPT:
                    self.skipped.append(row)
                continue
            if not isinstance(row, Instrument):
                raise _no_instrument("a row of the master", row)
            symbol_key, token = (row.exchange, row.broker_symbol), row.broker_token
            if row.instrument_id in ids or token in tokens or symbol_key in symbols:
                self._refuse(row)
                continue
            at = len(known)
            known.append(row)
            ids[row.instrument_id] = at
            if symbol_key[1]:
                symbols[symbol_key] = at
            if token:
                tokens[token] = at

    def _refuse(self, row: Instrument) -> None:
        for what, name, holder in (
            ("canonical id", row.instrument_id, self.get(row.instrument_id)),
            ("broker token", row.broker_token, self.by_broker_token(row.broker_token)),
            (
                "broker symbol",
                f"{row.exchange}:{row.broker_symbol}",
                self.by_broker_symbol(row.exchange, row.broker_symbol),
            ),
        ):
            if holder is not None:
                if holder != row:
                    self.conflict_count += 1
                    if len(self.conflicts) < _KEPT:
                        self.conflicts.append(MasterConflict(what, name, holder, row))
                return

    def become(self, other: InstrumentMaster) -> None:
        """Take over the rows of a complete new master, all at once; instruments of the old one are unknown then."""
        if not isinstance(other, InstrumentMaster):
            raise UsageError(f"other {other!r} is no InstrumentMaster", remedy="give the master that was loaded")
        self._rows = other._rows
        self.conflicts, self.conflict_count = other.conflicts, other.conflict_count
        self.skipped, self.skipped_count = other.skipped, other.skipped_count
        self.source = other.source
        other._clear()

    def get(self, instrument_id: str) -> Instrument | None:
        rows = self._rows
        try:
            at = rows.ids.get(instrument_id)
        except TypeError:
            at = None  # it is of a kind that nothing is found by, and is told so below
        if at is None:
            text("instrument_id", instrument_id)
            return None
        return rows.rows[at] or rows.row(at)

    def by_broker_symbol(self, exchange: str, broker_symbol: str) -> Instrument | None:
        at = self._rows.symbols.get((text("exchange", exchange), text("broker_symbol", broker_symbol)))
        return None if at is None else self._rows.row(at)

    def by_broker_token(self, broker_token: str) -> Instrument | None:
        at = self._rows.tokens.get(text("broker_token", broker_token))
        return None if at is None else self._rows.row(at)

    def by_exchange_token(self, exchange: str, exchange_token: str) -> Instrument | None:
        """Return the instrument with the exchange's own number; None where it is unknown or not unique."""
        at = self._rows.exchange_tokens.get((text("exchange", exchange), text("exchange_token", exchange_token)))
        return None if at is None else self._rows.row(at)

    def by_handle(self, handle: int) -> Instrument | None:
        return self._by_handle.get(count("handle", handle))

    def handle(self, instrument: Instrument) -> int:
        """Return the native handle of an instrument, for streams and books."""
        if not isinstance(instrument, Instrument):
            raise _no_instrument("instrument", instrument)
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
                f"an instrument is named by text, not by {type(name).__name__} {name!r:.60}",
                kind=ErrorKind.INSTRUMENT_NOT_FOUND,
                remedy="give one here; `quotes` and `subscribe` take several"
                if isinstance(name, Collection)
                else "give its canonical id, or the Instrument itself",
            )
        found = self.get(name)
        if found is None and ":" in name:
            exchange, _, symbol = name.partition(":")
            found = self.by_broker_symbol(exchange, symbol)
        if found is not None:
            return found
        near = self.nearest(name)
        raise UsageError(
            f"unknown instrument {name!r} among {len(self)} of this account",
            kind=ErrorKind.INSTRUMENT_NOT_FOUND,
            remedy=f"nearest: {', '.join(near)}" if near else self._where_to_look(),
        )

    def _where_to_look(self) -> str:
        if not len(self):
            return "load the instruments first: connect with load_instruments=True"
        return "check venue and symbol; `client.instruments.search` and `dragoman instruments` find words"

    def resolve_all(self, names: str | Instrument | Iterable[str | Instrument]) -> list[Instrument]:
        """Return the instruments behind one name or several; errors as `resolve`."""
        if isinstance(names, (str, Instrument)) or not isinstance(names, Iterable):
            names = (names,)  # whatever it is, `resolve` says what it wants instead
        return [self.resolve(name) for name in names]

    def nearest(self, name: str, limit: int = 5) -> list[str]:
        """Return the ids most like `name`: same venue first, then any."""
        limit = count("limit", limit)
        if limit == 0:
            return []
        venue, _, symbol = text("name", name).upper().rpartition(":")
        everywhere = sorted((key.partition(":")[2], key) for key in self._rows.ids)
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
                for known, key in likely:
                    by_symbol.setdefault(known, []).append(key)
                found = difflib.get_close_matches(symbol, by_symbol, limit, 0.5)
                if found:
                    return [key for known in found for key in by_symbol[known]][:limit]
        return []

    def option_chain(self, underlying: str, expiry: date | str | None = None) -> OptionChain:
        """Return calls and puts of one expiry (the nearest listed one by default) by strike.

        Parameters
        ----------
        underlying : str
            Its name, or ``VENUE:NAME`` where several venues list options on it.
        expiry : date or str, optional
            Text as ``"2026-12-24"``.

        Raises
        ------
        UsageError
            Where there is no option of that underlying, or none of that expiry; names the expiries there are. Where
            several venues list them; names the venues.
        """
        options = self._listed(underlying, InstrumentType.OPTION, "options")
        expiries = sorted({i.expiry for i in options if i.expiry is not None})
        chosen = expiries[0] if expiry is None else day("expiry", expiry)
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
        venue, _, name = text("underlying", underlying).rpartition(":")
        listed = map(self._rows.row, self._rows.derivatives.get(name, ()))
        rows = [i for i in listed if i.instrument_type is kind]
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
            near = difflib.get_close_matches(name, self._rows.derivatives, 5, 0.4)
            hint = f"listed on {', '.join(venues)}" if venues else f"nearest underlyings: {', '.join(near)}"
            raise UsageError(
                f"no {what} on {underlying!r}",
                kind=ErrorKind.INSTRUMENT_NOT_FOUND,
                remedy=hint if venues or near else self._where_to_look(),
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
        kind = None if instrument_type is None else choice(InstrumentType, "instrument_type", instrument_type)
        if exchange is not None:
            text("exchange", exchange)
        return self._rows.search.find(
            text("query", query),
            count("limit", limit),
            lambda i: (exchange is None or i.exchange == exchange) and (kind is None or i.instrument_type is kind),
        )

    # -- kept in a file ----------------------------------------------------------------------------------------------

    def stored(self) -> tuple[dict[str, Any], list[bytes]]:
        """Return what `restored` makes this master of again: a table of JSON values, and pieces of data.

        Raises
        ------
        NotStorableError
            A value of some row would not come back as it is.
        """
        # Taken together and first: this runs in a worker, and the loop may put a newer master in force meanwhile.
        rows, conflicts = self._rows, self.conflicts
        built = map(rows.row, range(len(rows)))
        table, pieces = encode([*built, *(conflict.refused for conflict in conflicts)], rows.search.lines)
        table |= {
            "count": len(rows),
            "conflicts": [(one.what, one.name, rows.ids[one.kept.instrument_id]) for one in conflicts],
            "conflict_count": self.conflict_count,
            "skipped": [(one.where, one.reason) for one in self.skipped],
            "skipped_count": self.skipped_count,
        }
        return table, pieces

    @classmethod
    def restored(cls, table: Mapping[str, Any], data: memoryview) -> InstrumentMaster:
        """Return the master that was stored; ValueError, KeyError or TypeError where the parts do not fit together."""
        count, columns = int(table["count"]), Columns(table, data)
        conflicts = table["conflicts"]
        if columns.rows != count + len(conflicts):
            raise ValueError(f"{columns.rows} rows, expected {count} and {len(conflicts)} refused ones")
        made = cls()
        made._rows = rows = Rows(columns, count)
        made.conflicts = [
            MasterConflict(what, name, rows.row(kept), columns.row(count + at))
            for at, (what, name, kept) in enumerate(conflicts)
        ]
        made.conflict_count = int(table["conflict_count"])
        made.skipped = [Skipped(where, reason) for where, reason in table["skipped"]]
        made.skipped_count = int(table["skipped_count"])
        if len(rows.ids) != count:
            raise ValueError(f"{len(rows.ids)} different ids in {count} rows")
        return made

    def __repr__(self) -> str:
        return f"<InstrumentMaster {len(self)} instruments, {self.conflict_count} conflicts>"

    def _repr_html_(self) -> str:
        counts = Counter(zip(self._rows.values("exchange"), self._rows.values("instrument_type"), strict=True))
        rows = "".join(
            f"<tr><td>{escape(e)}</td><td>{escape(t.value)}</td><td>{n}</td></tr>"
            for (e, t), n in sorted(counts.items())
        )
        head = "<tr><th>exchange</th><th>kind</th><th>instruments</th></tr>"
        return f"<table><caption>{escape(repr(self))}</caption>{head}{rows}</table>"


def _venue(instrument: Instrument) -> str:
    return instrument.instrument_id.partition(":")[0]


def _no_instrument(what: str, found: object) -> UsageError:
    return UsageError(
        f"{what} is {type(found).__name__} {found!r}, expected an Instrument",
        remedy="instrument(name) gives the one of that name",
    )
