"""The instrument dump: CSV in pieces on one side, unified instruments on the other."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from decimal import Decimal
from functools import lru_cache
from operator import itemgetter
from typing import Final

from dragoman.plugin import Skipped, copied, errors, model

COLUMNS: Final = (
    "instrument_token",
    "exchange_token",
    "tradingsymbol",
    "name",
    "last_price",
    "expiry",
    "strike",
    "tick_size",
    "lot_size",
    "instrument_type",
    "segment",
    "exchange",
)
MAX_ROW: Final = 64 * 1024
MAX_SKIPPED: Final = 20
MAX_SKIPPED_SHARE: Final = 0.01

_SERIES: Final = re.compile(
    # Two characters after a dash are a series only where NSE has one of that name: trade-to-trade and surveillance
    # (B*), small and medium enterprises (S*), trusts, bonds and debentures (G*, N*, Y*, Z*), preference shares,
    # warrants. Everything else (BAJAJ-AUTO, MCDOWELL-N, NAM-INDIA) is part of the name.
    r"(?P<symbol>.+)-(?P<series>B[ELTZ]|S[MTZG]|IV|IT|IL|RR|MF|ME|T0|TB|G[BS]|[NYZ][0-9A-Z]|[DEPWX][1-9])"
)
_DEBT_SERIES: Final = re.compile(r"G[BS]|SG|TB|[NYZ][0-9A-Z]")
_INDEX_ROOTS: Final = frozenset("NIFTY BANKNIFTY FINNIFTY MIDCPNIFTY NIFTYNXT50 SENSEX BANKEX SENSEX50".split())
_CONTRACT: Final = re.compile(r"(?P<root>.+?)\d\d(?:[A-Z]{3}|[1-9OND]\d\d)(?:\d+(?:\.\d+)?(?:CE|PE)|FUT)")
_ASSET_CLASS: Final = {
    "CDS": model.AssetClass.CURRENCY,
    "BCD": model.AssetClass.CURRENCY,
    "MCX": model.AssetClass.COMMODITY,
    "NCO": model.AssetClass.COMMODITY,
}
_CONTRACTS: Final = frozenset(("FUT", "CE", "PE"))
_FUTURE: Final = model.InstrumentType.FUTURE
_OPTION: Final = model.InstrumentType.OPTION
_ONE: Final = Decimal(1)
_RIGHTS: Final = {"CE": model.OptionType.CALL, "PE": model.OptionType.PUT}

_SYMBOL: Final = COLUMNS.index("tradingsymbol")

decimal = lru_cache(maxsize=4096)(Decimal)
"""Ticks, lots and strikes repeat: a few thousand values over a hundred thousand rows. So do expiries."""


class InstrumentParser:
    """Turn the dump into instruments as it arrives, cut anywhere.

    Columns are found by name. At most one unfinished row is held, and never more than `MAX_ROW` characters.

    Raises
    ------
    DecodeError
        From `feed` and `close`: not UTF-8, not CSV, a column missing, the end inside a quoted field, or more odd rows
        than a dump ever had; the message names the row. A single row that cannot be read is left out as `Skipped`.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._rest = ""
        self._columns: Callable[[list[str]], tuple[str, ...]] | None = None
        self._width = 0
        self._row = 0
        self._skipped = 0

    def feed(self, data: bytes) -> Iterable[model.Instrument | Skipped]:
        return self._instruments(self._lines(self._decode(data, final=False)))

    def close(self) -> Iterable[model.Instrument | Skipped]:
        lines = self._lines(self._decode(b"", final=True))
        last, self._rest = self._rest, ""
        if last.count('"') % 2:
            raise self._error("the body ends inside a quoted field")
        found = self._instruments([*lines, last] if last.strip() else lines)
        if self._columns is None:
            raise self._error("the body is empty: no header line")
        return found

    def _decode(self, data: bytes, *, final: bool) -> str:
        try:
            return self._decoder.decode(data, final)
        except UnicodeDecodeError as error:
            raise self._error(f"byte {error.object[error.start]:#04x} is not UTF-8") from error

    def _lines(self, text: str) -> list[str]:
        """Return the rows that `text` completes: line breaks inside quotes do not end one."""
        pieces = (self._rest + text).split("\n")
        rows: list[str] = []
        open_row = ""
        for piece in pieces[:-1]:
            open_row = f"{open_row}\n{piece}" if open_row else piece
            if open_row.count('"') % 2 == 0:
                rows.append(open_row.removesuffix("\r"))
                open_row = ""
        self._rest = f"{open_row}\n{pieces[-1]}" if open_row else pieces[-1]
        if len(self._rest) > MAX_ROW:
            raise self._error(f"a row is longer than {MAX_ROW} characters")
        return rows

    def _instruments(self, lines: list[str]) -> list[model.Instrument | Skipped]:
        try:
            return list(self._read(csv.reader(lines, strict=True)))
        except csv.Error as error:
            raise self._error(str(error)) from error

    def _read(self, rows: Iterator[list[str]]) -> Iterator[model.Instrument | Skipped]:
        for row in rows:
            self._row += 1
            if not row:
                continue
            if self._columns is None:
                self._columns = self._header(row)
                continue
            if len(row) != self._width:
                yield self._skip(f"{len(row)} columns, expected {self._width}")
                continue
            values = self._columns(row)
            try:
                yield read_instrument(*values)
            except (ValueError, ArithmeticError, KeyError) as error:
                yield self._skip(f"{values[_SYMBOL]!r}: {error or type(error).__name__}")

    def _skip(self, reason: str) -> Skipped:
        """Leave out one odd row: a hundred thousand good ones must not be lost for it. Many are another format."""
        self._skipped += 1
        if self._skipped > max(MAX_SKIPPED, self._row * MAX_SKIPPED_SHARE):
            raise self._error(f"{reason}; {self._skipped} of {self._row} rows cannot be read")
        return Skipped(f"row {self._row}", reason)

    def _header(self, row: list[str]) -> Callable[[list[str]], tuple[str, ...]]:
        """Return what picks the columns of a row, in the order of `COLUMNS`."""
        names = [name.strip().removeprefix("\ufeff") for name in row]
        missing = [name for name in COLUMNS if name not in names]
        if missing:
            raise self._error(f"no column {', '.join(missing)}; found {', '.join(names)[:200]}")
        self._width = len(row)
        return itemgetter(*(names.index(name) for name in COLUMNS))

    def _error(self, what: str) -> errors.DecodeError:
        return errors.DecodeError(
            f"zerodha: instrument dump, row {self._row}: {what}",
            broker="zerodha",
            remedy="download it again; if it stays so, the broker changed its format",
        )


def read_instrument(
    instrument_token: str,
    exchange_token: str,
    symbol: str,
    name: str,
    last_price: str,
    expiry: str,
    strike: str,
    tick_size: str,
    lot_size: str,
    kind: str,
    segment: str,
    exchange: str,
) -> model.Instrument:
    """Turn one row of the dump, its values in the order of `COLUMNS`, into an instrument under its canonical id.

    Raises
    ------
    ValueError, ArithmeticError, KeyError
        Where a value is not what its column holds.
    """
    token = str(int(instrument_token))
    if not symbol or not exchange:
        raise ValueError("tradingsymbol or exchange is empty")
    lot, tick = decimal(lot_size or "0"), decimal(tick_size or "0")
    if not (lot >= 0 and tick >= 0):
        raise ValueError(f"lot size {lot} or tick size {tick} is negative")
    if kind in _CONTRACTS and segment != "INDICES":
        listed = _listed(exchange, name.strip() or _root(symbol), expiry, kind, segment, tick, lot)
        ident, price = listed.instrument_id, None
        if kind != "FUT":
            price, tail = _strike(strike, kind)
            ident = f"{ident}-{tail}"
        return copied(
            listed,
            instrument_id=ident,
            symbol=symbol,
            broker_symbol=symbol,
            broker_token=token,
            exchange_token=exchange_token,
            name=name,
            strike=price,
            extra={},
        )
    cash, asset_class, instrument_type = _cash(exchange, symbol, kind, segment)
    return model.Instrument(
        instrument_id=str(cash),
        symbol=cash.symbol,
        exchange=exchange,
        asset_class=asset_class,
        instrument_type=instrument_type,
        broker_symbol=symbol,
        broker_token=token,
        exchange_token=exchange_token,
        name=name,
        segment=segment,
        series=cash.series,
        tick_size=tick,
        lot_size=lot or _ONE,
        tradable=instrument_type is not model.InstrumentType.INDEX,
    )


@lru_cache(maxsize=16_384)
def _listed(
    exchange: str, root: str, expiry: str, kind: str, segment: str, tick: Decimal, lot: Decimal
) -> model.Instrument:
    """Return what all contracts of one kind, underlying and expiry share, under the canonical id of the future."""
    asset_class = _ASSET_CLASS.get(exchange, model.AssetClass.EQUITY)
    if asset_class is model.AssetClass.EQUITY and root in _INDEX_ROOTS:
        asset_class = model.AssetClass.INDEX
    ident = model.CanonicalId(exchange, root, model.IdKind.FUTURE, expiry=date.fromisoformat(expiry))
    return model.Instrument(
        instrument_id=str(ident),
        symbol="",
        exchange=exchange,
        asset_class=asset_class,
        instrument_type=_FUTURE if kind == "FUT" else _OPTION,
        broker_symbol="",
        broker_token="",
        segment=segment,
        underlying=ident.symbol,
        expiry=ident.expiry,
        option_type=_RIGHTS.get(kind),
        tick_size=tick,
        lot_size=lot or _ONE,
    )


@lru_cache(maxsize=16_384)
def _strike(strike: str, kind: str) -> tuple[Decimal, str]:
    """Return the strike, and how a canonical id ends with it."""
    price = decimal(strike)
    whole = model.CanonicalId("X", "X", model.IdKind.OPTION, expiry=date.min, strike=price, option_type=_RIGHTS[kind])
    return price, str(whole).partition("-")[2]


def _cash(
    exchange: str, symbol: str, kind: str, segment: str
) -> tuple[model.CanonicalId, model.AssetClass, model.InstrumentType]:
    if segment == "INDICES":
        ident = model.CanonicalId(exchange, symbol, model.IdKind.INDEX)
        return ident, model.AssetClass.INDEX, model.InstrumentType.INDEX
    if kind != "EQ":
        # A kind that was not there when this was written: listed under its own symbol, never taken for a share.
        return model.CanonicalId(exchange, symbol), model.AssetClass.UNKNOWN, model.InstrumentType.UNKNOWN
    series = _SERIES.fullmatch(symbol) if exchange == "NSE" else None
    if series is None:
        return model.CanonicalId(exchange, symbol), model.AssetClass.EQUITY, model.InstrumentType.SPOT
    ident = model.CanonicalId(exchange, series["symbol"], model.IdKind.SERIES, series=series["series"])
    if _DEBT_SERIES.fullmatch(series["series"]):
        return ident, model.AssetClass.DEBT, model.InstrumentType.BOND
    return ident, model.AssetClass.EQUITY, model.InstrumentType.SPOT


def _root(symbol: str) -> str:
    """Return the underlying in a contract's symbol: some dumps leave the name column of derivatives empty."""
    contract = _CONTRACT.fullmatch(symbol)
    return contract["root"] if contract else symbol
