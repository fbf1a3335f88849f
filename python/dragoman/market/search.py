"""Find instruments by what a human types: words in any order, parts of words, and misspelt ones.

Every instrument has one line of words: its symbols, its name, expiry, strike and kind. A query's words must all be in
that line, as parts of words at least; better matches come first. A word that is in no line at all is taken for the
known words most like it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Final

from dragoman.model import Instrument, InstrumentType, OptionType

_KIND_WORDS: Final = {
    InstrumentType.SPOT: "SPOT CASH",
    InstrumentType.FUTURE: "FUT FUTURE",
    InstrumentType.OPTION: "OPT OPTION",
}
_OPTION_WORDS: Final = {OptionType.CALL: "CE CALL", OptionType.PUT: "PE PUT"}
_GUESSES: Final = 5
_CUTOFF: Final = 0.6
_SCORED: Final = 20_000


class SearchIndex:
    """The lines of one master. Built once, in about a microsecond an instrument and word; never changed."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self._rows = [(_line(instrument), instrument) for instrument in instruments]
        self._vocabulary: set[str] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, query: str, limit: int, keep: Callable[[Instrument], bool]) -> list[Instrument]:
        """Return the best matches that `keep` allows, best first."""
        words = query.upper().replace(",", " ").split()
        if not words or limit < 1:
            return []
        rows, choices = self._rows, []
        for word in words:
            left = [row for row in rows if word in row[0]]
            options = [word]
            if not left and not any(word in row[0] for row in self._rows):
                options = self._like(word)
                left = [row for row in rows if any(option in row[0] for option in options)]
            rows = left
            choices.append(options)
        kept = [row for row in rows if keep(row[1])]
        if len(kept) > _SCORED:  # one letter was typed: the shortest lines are the likeliest
            kept = sorted(kept, key=lambda row: len(row[0]))[:_SCORED]
        kept.sort(key=lambda row: (-_score(row[0], choices), _order(row[1])))
        return [instrument for _, instrument in kept[:limit]]

    def _like(self, word: str) -> list[str]:
        """Return known words that `word` may be a misspelling of."""
        if self._vocabulary is None:
            self._vocabulary = {
                part
                for line, instrument in self._rows
                for part in (line.split() if instrument.expiry is None else (instrument.underlying or "",))
                if part and not part.isdigit()
            }
        near = [known for known in self._vocabulary if abs(len(known) - len(word)) <= 3]
        same = [known for known in near if known[0] == word[0]]
        # Comparing letters is what costs, and the first one is seldom wrong.
        return difflib.get_close_matches(word, same, _GUESSES, _CUTOFF) or difflib.get_close_matches(
            word, near, _GUESSES, _CUTOFF
        )


def _line(instrument: Instrument) -> str:
    parts = [
        instrument.symbol,
        instrument.instrument_id,
        f"{instrument.exchange}:{instrument.broker_symbol}",
        instrument.broker_symbol,
        instrument.name,
        instrument.isin or "",
        instrument.underlying or "",
        _KIND_WORDS.get(instrument.instrument_type, str(instrument.instrument_type)),
        "" if instrument.tradable else "INDEX",
    ]
    if instrument.expiry is not None:
        parts.append(instrument.expiry.strftime("%d%b%Y %d-%b-%Y %d %b %Y %Y-%m-%d"))
    if instrument.strike is not None:
        parts.append(f"{instrument.strike.normalize():f}")
    if instrument.option_type is not None:
        parts.append(_OPTION_WORDS[instrument.option_type])
    return " ".join(parts).upper()


def _score(line: str, choices: list[list[str]]) -> int:
    words = line.split()
    return sum(max(_closeness(words, option) - 5 * rank for rank, option in enumerate(options)) for options in choices)


def _closeness(words: list[str], word: str) -> int:
    if words[0] == word:
        return 100
    if word in words:
        return 80
    if words[0].startswith(word):
        return 60
    if any(known.startswith(word) for known in words):
        return 40
    return 20 if any(word in known for known in words) else 0


def _order(instrument: Instrument) -> tuple[bool, str, int, int, str]:
    """Order equals: what has no expiry first, then the nearest, then the shortest name."""
    expiry = "" if instrument.expiry is None else instrument.expiry.isoformat()
    return (
        instrument.expiry is not None,
        expiry,
        instrument.instrument_type is InstrumentType.OPTION,
        len(instrument.symbol),
        instrument.instrument_id,
    )
