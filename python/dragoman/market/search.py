"""Find instruments by what a human types: words in any order, parts of words, and misspelt ones.

Every instrument has one line of words: its symbols, its name, expiry, strike and kind. A query's words must all be in
that line, as parts of words at least; better matches come first. A word that is in no line at all is taken for the
known words most like it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache
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
    """The lines of one master, one for each row; never changed.

    Parameters
    ----------
    lines : sequence of str
        As `search_line` makes them.
    row : callable
        Returns the instrument of a row.
    roots : callable
        Returns, for each row, the underlying of a derivative, and None for all else.
    """

    def __init__(
        self, lines: Sequence[str], row: Callable[[int], Instrument], roots: Callable[[], Iterable[str | None]]
    ) -> None:
        self.lines = lines
        self._row = row
        self._roots = roots
        self._vocabulary: set[str] | None = None

    def find(self, query: str, limit: int, keep: Callable[[Instrument], bool]) -> list[Instrument]:
        """Return the best matches that `keep` allows, best first."""
        words = query.upper().replace(",", " ").split()
        if not words or limit < 1:
            return []
        lines = self.lines
        left: Sequence[int] = range(len(lines))
        choices = []
        for word in words:
            having = [at for at in left if word in lines[at]]
            options = [word]
            if not having and not any(word in line for line in lines):
                options = self._like(word)
                having = [at for at in left if any(option in lines[at] for option in options)]
            left = having
            choices.append(options)
        kept = [(lines[at], row) for at in left if keep(row := self._row(at))]
        if len(kept) > _SCORED:  # one letter was typed: the shortest lines are the likeliest
            kept = sorted(kept, key=lambda pair: len(pair[0]))[:_SCORED]
        kept.sort(key=lambda pair: (-_score(pair[0], choices), _order(pair[1])))
        return [instrument for _, instrument in kept[:limit]]

    def _like(self, word: str) -> list[str]:
        """Return known words that `word` may be a misspelling of."""
        if self._vocabulary is None:
            known: set[str] = set()
            for line, root in zip(self.lines, self._roots(), strict=True):
                if root is None:
                    known.update(line.split())
                else:
                    known.add(root)
            self._vocabulary = {part for part in known if part and not part.isdigit()}
        near = [known for known in self._vocabulary if abs(len(known) - len(word)) <= 3]
        same = [known for known in near if known[0] == word[0]]
        # Comparing letters is what costs, and the first one is seldom wrong.
        return difflib.get_close_matches(word, same, _GUESSES, _CUTOFF) or difflib.get_close_matches(
            word, near, _GUESSES, _CUTOFF
        )


def search_line(i: Instrument) -> str:
    """Return the words of an instrument, upper case."""
    kind = _KIND_WORDS.get(i.instrument_type) or str(i.instrument_type)
    line = (
        f"{i.symbol} {i.instrument_id} {i.exchange}:{i.broker_symbol} {i.broker_symbol} {i.name} {i.isin or ''}"
        f" {i.underlying or ''} {kind} {'' if i.tradable else 'INDEX'}"
    )
    if i.expiry is not None:
        line = f"{line} {_expiry_words(i.expiry)}"
    if i.strike is not None:
        line = f"{line} {_strike_words(i.strike)}"
    if i.option_type is not None:
        line = f"{line} {_OPTION_WORDS[i.option_type]}"
    return line.upper()


@lru_cache(maxsize=4096)
def _expiry_words(expiry: date) -> str:
    return expiry.strftime("%d%b%Y %d-%b-%Y %d %b %Y %Y-%m-%d")


@lru_cache(maxsize=16_384)
def _strike_words(strike: Decimal) -> str:
    return f"{strike.normalize():f}"


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
