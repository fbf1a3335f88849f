"""Instrument masters that are one JSON array, plain or gzipped, of any size: objects are read as their bytes arrive.

The array may be the whole document, or stand under a key of it. A document may also be an object whose values are the
rows.
"""

from __future__ import annotations

import codecs
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any, Final

from dragoman.errors import DecodeError
from dragoman.model import Instrument
from dragoman.plugin.effects import Skipped
from dragoman.plugin.values import Row

MAX_ROW: Final = 64 * 1024
MAX_SKIPPED: Final = 20
MAX_SKIPPED_SHARE: Final = 0.01
_PIECE: Final = 1 << 20
_EITHER: Final = zlib.MAX_WBITS | 32  # gzip or zlib, as the header says
_GZIP: Final = b"\x1f\x8b"
_BETWEEN: Final = " \t\r\n,"
_LONGEST_LEAD: Final = 256
_KEY: Final = re.compile(r'"(?:[^"\\]|\\.)*"\s*:\s*(?=\S)')


class JsonRows:
    """Turn an array of objects into instruments as it arrives, cut anywhere. A `PushParser`.

    At most one unfinished row is held, never more than `MAX_ROW` characters, and at most a mebibyte of what a gzipped
    body inflates to.

    Parameters
    ----------
    broker : str
        In whose name errors are raised.
    read : callable
        One object, its decimals exact -> the instrument, or None of a kind that is left out.
    under : str, optional
        The key of the document that holds the array, where the document is an object. What stands before and after it
        is not looked at, beyond that its first use as a key with an array counts.
    keyed : bool
        The document is an object, its values the rows; their keys are not looked at.

    Raises
    ------
    DecodeError
        From `feed` and `close`: no gzip, not UTF-8, no array of objects, an end inside of it, or more odd rows than a
        master ever had. A single row that cannot be read is left out as `Skipped`.
    """

    def __init__(
        self, broker: str, read: Callable[[Row], Instrument | None], *, under: str = "", keyed: bool = False
    ) -> None:
        self._broker = broker
        self._opens, self._closes = "{}" if keyed else "[]"
        self._keyed = keyed
        self._read = read
        self._lead = re.compile(rf'"{re.escape(under)}"\s*:\s*(?=\[)') if under else None
        self._inflate: Any = None
        self._started = False
        self._decode = codecs.getincrementaldecoder("utf-8-sig")()
        self._json = json.JSONDecoder(parse_float=Decimal)
        self._rest = ""
        self._state = "before"
        self._row = 0
        self._skipped = 0

    def feed(self, data: bytes) -> Iterable[Instrument | Skipped]:
        found: list[Instrument | Skipped] = []
        for piece in self._inflated(data):
            found += self._rows(piece, final=False)
        return found

    def close(self) -> Iterable[Instrument | Skipped]:
        if self._inflate is not None and not self._inflate.eof:
            raise self._error("the gzipped body ends early")
        found = list(self._rows(b"", final=True))
        if self._state != "after":
            raise self._error("the body is empty" if self._state == "before" else "the body ends inside the array")
        return found

    def _inflated(self, data: bytes) -> Iterator[bytes]:
        if not self._started and data:
            self._started = True
            # Told by the first byte: 0x1f begins no JSON.
            self._inflate = zlib.decompressobj(_EITHER) if data[:1] == _GZIP[:1] else None
        if self._inflate is None:
            yield data
            return
        while data and not self._inflate.eof:
            try:
                piece = self._inflate.decompress(data, _PIECE)
            except zlib.error as error:
                raise self._error(f"not gzip: {error}") from error
            data = self._inflate.unconsumed_tail
            yield piece

    def _rows(self, data: bytes, *, final: bool) -> Iterator[Instrument | Skipped]:
        try:
            text = self._rest + self._decode.decode(data, final)
        except UnicodeDecodeError as error:
            raise self._error(f"byte {error.object[error.start]:#04x} is not UTF-8") from error
        at, size = 0, len(text)
        if self._lead is not None and self._state != "inside":
            lead = self._lead.search(text) if self._state == "before" else None
            if lead is None:
                # Enough of the end to find a key that was cut.
                self._rest = text[-_LONGEST_LEAD:] if self._state == "before" else ""
                return
            at = lead.end()
        while True:
            while at < size and text[at] in _BETWEEN:
                at += 1
            if at == size:
                break
            if self._state == "before":
                if text[at] != self._opens:
                    what = "object" if self._keyed else "array"
                    raise self._error(f"found {text[at : at + 40]!r}, expected a JSON {what}")
                self._state, at = "inside", at + 1
                continue
            if self._state == "after":
                if self._lead is not None:
                    at = size
                    break
                raise self._error(f"found {text[at : at + 40]!r} after the array")
            if text[at] == self._closes:
                self._state, at = "after", at + 1
                continue
            key = _KEY.match(text, at) if self._keyed else None
            if self._keyed and key is None and size - at < _LONGEST_LEAD:
                break
            start = key.end() if key is not None else at
            if text[start] != "{":
                raise self._error(f"found {text[start : start + 40]!r}, expected an object")
            try:
                row, at = self._json.raw_decode(text, start)
            except (ValueError, RecursionError):
                if size - at > MAX_ROW:
                    raise self._error(f"a row is longer than {MAX_ROW} characters, or is no JSON") from None
                break
            self._row += 1
            yield from self._instrument(row)
        self._rest = text[at:]

    def _instrument(self, row: Row) -> Iterator[Instrument | Skipped]:
        try:
            found = self._read(row)
        except (ValueError, ArithmeticError, LookupError, TypeError, AttributeError) as error:
            self._skipped += 1
            reason = f"{type(error).__name__} {error}"
            # A hundred thousand good rows must not be lost for one odd; many odd ones are another format.
            if self._skipped > max(MAX_SKIPPED, self._row * MAX_SKIPPED_SHARE):
                raise self._error(f"{reason}; {self._skipped} of {self._row} rows cannot be read") from error
            yield Skipped(f"row {self._row}", reason)
            return
        if found is not None:
            yield found

    def _error(self, what: str) -> DecodeError:
        return DecodeError(
            f"{self._broker}: instrument master, row {self._row}: {what}",
            broker=self._broker,
            remedy="download it again; if it stays so, the broker changed its format",
        )
