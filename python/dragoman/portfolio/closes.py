"""Previous closes: what a day's profit on carried-over units counts from."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from dragoman.model import Adjustment, AdjustmentKind
from dragoman.portfolio.money import exact, price, ratio

_OURS: Final = "the last mark"


class Closes:
    """The previous close of each instrument, and who said it."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[Decimal, str]] = {}

    def get(self, instrument_id: str) -> tuple[Decimal, str] | None:
        """Return a close and its source; None where nobody has said one."""
        return self._held.get(instrument_id)

    def price(self, instrument_id: str) -> Decimal | None:
        """Return a close."""
        found = self._held.get(instrument_id)
        return None if found is None else found[0]

    def told(self, instrument_id: str, close: Decimal, source: str) -> None:
        """Take what somebody says."""
        self._held[instrument_id] = close, source

    def marked(self, instrument_id: str, mark: Decimal, day: str) -> None:
        """Take the last mark before a day, until somebody says better."""
        self._held[instrument_id] = mark, f"{_OURS} before {day}"

    def scale(self, one: Adjustment) -> None:
        """Divide a close of our own, as a split or a bonus does; the broker's is of the new units already."""
        close, source = self._held.get(one.instrument_id, (None, ""))
        if close is None or not source.startswith(_OURS):
            return
        factor = ratio(exact(one.numerator), exact(one.denominator))
        if one.kind is AdjustmentKind.BONUS:
            factor += 1
        elif one.kind is not AdjustmentKind.SPLIT:
            return
        self._held[one.instrument_id] = price(ratio(exact(close), factor)), source
