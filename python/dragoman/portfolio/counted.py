"""Which fills count: each once, corrected ones not, synthetic ones until they are taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dragoman.model import Fill
from dragoman.portfolio.timeline import Trade

Named = tuple[str, str, str]
"""Exchange, order id, trade id."""


class Counted:
    """The fills a book has been told, by identity.

    A fill's identity is its trading day, exchange, order id and trade id. A correction names the trade it replaces, of
    the same exchange and order on whatever day; that trade does not count from then on, also where it is told later. A
    correction of quantity 0 is a bust.

    Parameters
    ----------
    day_of : callable
        Time (ns UTC) to the name of the trading day.

    Attributes
    ----------
    fills, repeated, corrected, replaced, unknown_synthetic : int
    """

    def __init__(self, day_of: Callable[[int], str]) -> None:
        self._day_of = day_of
        self._real: dict[tuple[str, Named], Trade] = {}
        self._latest: dict[Named, tuple[str, Named]] = {}
        self._synthetic: dict[str, Trade] = {}
        self._void: set[Named] = set()
        self._heirs: dict[Named, tuple[str, Named]] = {}
        self.fills = self.repeated = self.corrected = self.replaced = self.unknown_synthetic = 0

    def take(self, fill: Fill, ts: int) -> tuple[Trade | None, Trade | None]:
        """Take a fill of time `ts`; return the trade that counts from now on, and the one that does not any more."""
        trade = Trade.of(fill, ts)
        if fill.is_synthetic:
            if fill.trade_id in self._synthetic:
                self.repeated += 1
                return None, None
            self._synthetic[fill.trade_id] = trade
            self.fills += 1
            return trade, None
        named: Named = (fill.exchange, fill.order_id, fill.trade_id)
        key = (self._day_of(ts), named)
        known = self._real.get(key)
        again = fill.correction_of == fill.trade_id  # corrected under its own id
        if known is not None and (not again or known.fill.correction_of == fill.trade_id):
            self.repeated += 1
            return None, None
        self._real[key] = trade
        self._latest[named] = key
        self.fills += 1
        void: Trade | None = known
        if fill.correction_of is not None and not again:
            old: Named = (fill.exchange, fill.order_id, fill.correction_of)
            void = self._real[self._latest[old]] if old in self._latest and old not in self._void else None
            self._void.add(old)
            heir = self._heirs.get(old)
            if heir is not None and heir[1] not in self._void:  # corrected before: the newest word counts
                void = self._real[heir]
                self._void.add(heir[1])
            self._heirs[old] = key
        self.corrected += void is not None
        return (None if named in self._void else trade), void

    def take_back(self, trade_id: str) -> Trade | None:
        """Return the synthetic fill of that id, which counts no more; None where none is known."""
        trade = self._synthetic.pop(trade_id, None)
        if trade is None:
            self.unknown_synthetic += 1
        else:
            self.replaced += 1
        return trade

    def counting(self, since: int) -> Iterator[Fill]:
        """Yield the fills that count and happened at `since` or later."""
        for trade in self._synthetic.values():
            if trade.place[0] >= since:
                yield trade.fill
        for key, trade in self._real.items():
            if trade.place[0] >= since and key[1] not in self._void:
                yield trade.fill
