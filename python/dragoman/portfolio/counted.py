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

    A correction of a trade that nobody has told waits, and does not count: that trade may be part of what the day began
    with, and then the whole of it on top would be wrong. It counts once the trade is told.

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
        self._waiting: set[Named] = set()  # corrected, and not told
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
        own = fill.correction_of == fill.trade_id  # corrected under its own id
        if known is not None and (not own or known.fill.correction_of == fill.trade_id):
            self.repeated += 1
            return (known if fill.correction_of is None and self._has_come(named) else None), None
        earlier = self._latest.get(named)
        self._real[key] = trade
        self._latest[named] = key
        self.fills += 1
        void, waits = known, False
        if own:
            if void is None and earlier is not None:
                void = self._real[earlier]
            waits = void is None
            self._waiting.update((named,) if waits else ())
        elif fill.correction_of is not None:
            void, waits = self._correct((fill.exchange, fill.order_id, fill.correction_of), key)
        self.corrected += void is not None
        if not own and self._has_come(named):
            return (None if waits else self._real[self._newest(named)]), void
        return (None if waits or named in self._void else trade), void

    def _correct(self, old: Named, key: tuple[str, Named]) -> tuple[Trade | None, bool]:
        """Take note that a trade is corrected; return the one that counts no more, and whether the new one waits."""
        held = {self._newest(named)[1] for named in self._waiting}
        told = old in self._latest and old not in held
        void = self._real[self._latest[old]] if told and old not in self._void else None
        self._void.add(old)
        heir = self._heirs.get(old)
        if heir is not None and heir[1] not in self._void:  # corrected before: the newest word counts
            void = self._real[heir] if told else None
            self._void.add(heir[1])
        self._heirs[old] = key
        if old not in self._latest:
            self._waiting.add(old)
        return void, not told

    def _has_come(self, named: Named) -> bool:
        """Whether a trade was waited for; it is not any more."""
        if named not in self._waiting:
            return False
        self._waiting.discard(named)
        self.corrected += 1
        return True

    def _newest(self, named: Named) -> tuple[str, Named]:
        """Return what a trade was corrected to in the end."""
        while named in self._heirs:
            named = self._heirs[named][1]
        return self._latest[named]

    def waits(self, fill: Fill) -> bool:
        """Whether a fill corrects a trade that nobody has told."""
        return fill.correction_of is not None and (fill.exchange, fill.order_id, fill.correction_of) in self._waiting

    def held(self) -> list[Fill]:
        """Return the corrections that wait, the newest of each trade."""
        return [self._real[self._newest(named)].fill for named in self._waiting]

    def settle(self, of_today: Callable[[Fill], bool | None]) -> list[Trade]:
        """Wait no longer where it is known what a correction that waits is of; return those that count now.

        Parameters
        ----------
        of_today : callable
            True of one of today's trades, which counts from now on; False of one that is part of what the day began
            with, and does not, nor the trade; None where that is not known.
        """
        found: list[Trade] = []
        for named in list(self._waiting):
            trade = self._real[self._newest(named)]
            known = of_today(trade.fill)
            if known is None:
                continue
            self._waiting.discard(named)
            self._void.add(named)
            if known:
                self.corrected += 1
                found.append(trade)
            else:
                self._void.add(self._newest(named)[1])
        return found

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
        held = {self._newest(named) for named in self._waiting}
        for key, trade in self._real.items():
            if trade.place[0] >= since and key[1] not in self._void and key not in held:
                yield trade.fill
