"""What somebody may have meant by a word that is none."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

_ALIKE: Final = 0.6


def nearest(word: object, offered: Iterable[str]) -> str:
    """Return ``did you mean X? `` for the word that is most alike, to stand before what is offered; empty for none."""
    if not isinstance(word, str):
        return ""
    names = {name.casefold(): name for name in offered}
    found = get_close_matches(word.strip().casefold(), names, n=1, cutoff=_ALIKE)
    return f"did you mean {names[found[0]]}? " if found else ""
