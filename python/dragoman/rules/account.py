"""Margin floors and loss limits at work: looked at when what they hang on changes, and once a second in any case.

A loss limit has the native marks watch how far the sum of unrealised profits may still fall; it looks again when that
is crossed, and when a fill has changed a position. A margin floor looks when a margin was read, pushed or projected.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Final

from dragoman.errors import DragomanError, UsageError
from dragoman.model import Instrument, Margin, Segment
from dragoman.model.rules import RuleStatus
from dragoman.portfolio.margin.rule import segment_of
from dragoman.portfolio.net import PositionKey
from dragoman.portfolio.rows import lacks
from dragoman.rules.engine import Engine
from dragoman.rules.guards import Plan, crossed, doubtful, key_of, planned
from dragoman.rules.model import DailyLoss, MarginFloor
from dragoman.rules.positions import ZERO, Positions
from dragoman.rules.terms import exit_side
from dragoman.rules.tracked import Planned, Tracked
from dragoman.runtime.base import Runtime
from dragoman.session.secrets import redact

_S = RuleStatus
_NS: Final = 1_000_000_000
_ASK_S: Final = 2
_CLOSES_S: Final = 10
_DOUBT_S: Final = 10
"""The longest that a floor waits for a reading of the margin that leaves no doubt."""
_log = logging.getLogger("dragoman.rules")

Kill = Callable[[str, str, bool], Awaitable[object]]


class AccountRules:
    """Fires the rules about the whole account.

    Parameters
    ----------
    runtime : Runtime
    engine : Engine
    positions : Positions
    margins : callable
        Returns the margins as they are now, by segment.
    instrument_of : callable
        Returns the instrument of a canonical id; None where the master does not have it.
    kill : callable
        Engages the kill switch: takes who, why, and whether positions are closed.
    hurry : callable
        Brings the next reading of the margins forward.

    Attributes
    ----------
    plans : dict of str to Plan
        The user's own ways to make positions smaller, by name.
    """

    def __init__(
        self,
        runtime: Runtime,
        engine: Engine,
        positions: Positions,
        margins: Callable[[], Mapping[Segment, Margin]],
        instrument_of: Callable[[str], Instrument | None],
        kill: Kill,
        hurry: Callable[[], object] = lambda: None,
    ) -> None:
        self._runtime = runtime
        self._engine = engine
        self._positions = positions
        self._margins = margins
        self._instrument_of = instrument_of
        self._kill = kill
        self._hurry = hurry
        self.plans: dict[str, Plan] = {}
        self._asked_ns = -(2**62)
        self._hurried_ns = self._closes_ns = -(2**62)
        self._doubted_ns: dict[str, int] = {}
        self._strange: set[str] = set()
        self._watching: dict[str, Tracked] = {}
        self._below: dict[str, float] = {}  # unrealised profit at which each loss limit is reached
        self._seen: Mapping[Segment, Margin] = {}
        self._was_unknown = not positions.ready
        self._due: asyncio.Handle | None = None
        self._changed: set[str] = set()  # rules that are to be looked at
        engine.of_account = self._enter
        self._end = positions.listen(self._on_position)

    def close(self) -> None:
        """Look no more."""
        self._end()
        if self._due is not None:
            self._due.cancel()

    def look(self, rule: Tracked) -> None:
        """Fire a rule whose limit is crossed; say of one that cannot tell that it cannot."""
        if isinstance(rule.rule, MarginFloor):
            self._seen = self._margins()
            self._floor(rule, rule.rule, self._seen)
        elif isinstance(rule.rule, DailyLoss):
            self._loss(rule, rule.rule)

    # -- when to look ------------------------------------------------------------------------------------------------

    def crossed(self) -> None:
        """Look at the loss limits whose marks have fallen so far; called by the hand-out, after the marks."""
        for currency in self._positions.crossed():
            for rule, _ in self._limits(currency):
                self._engine.looking.look_now(rule, self.look)

    def on_margin(self, margin: Margin) -> None:
        """Look at the floors of a segment whose margin has changed, once whoever tells of it has told all."""
        self._seen = {**self._seen, margin.segment: margin}
        self._soon(rule for rule, terms in self._floors() if terms.segment is margin.segment)

    def _on_position(self, key: PositionKey) -> None:
        self._soon(self._live() if self._was_unknown else (rule for rule, _ in self._limits()))
        self._was_unknown = not self._positions.ready

    def _enter(self, rule: Tracked) -> None:
        if not rule.status.terminal:
            self._watching[rule.rule_id] = rule
            if self._positions.ready:  # else they tell when they are
                self._soon([rule])

    def _limits(self, currency: str = "") -> list[tuple[Tracked, DailyLoss]]:
        """Return the loss limits that are not over, of one currency or of all."""
        found = [(rule, rule.rule) for rule in self._live() if isinstance(rule.rule, DailyLoss)]
        return [(rule, terms) for rule, terms in found if not currency or terms.currency == currency]

    def margins(self) -> Mapping[Segment, Margin]:
        """Return the margins as they are now; empty before the first reading."""
        return self._margins()

    def _floors(self) -> list[tuple[Tracked, MarginFloor]]:
        return [(rule, rule.rule) for rule in self._live() if isinstance(rule.rule, MarginFloor)]

    def _live(self) -> list[Tracked]:
        if not self._watching:
            return []
        for name in [name for name, rule in self._watching.items() if rule.status.terminal]:
            del self._watching[name]
            self._below.pop(name, None)
        return list(self._watching.values())

    def _soon(self, rules: Iterable[Tracked]) -> None:
        self._changed.update(rule.rule_id for rule in rules)
        if self._changed and self._due is None and not self._engine.closed:
            self._due = asyncio.get_running_loop().call_soon(self._look_at_changed)

    def _look_at_changed(self) -> None:
        self._due = None
        changed, self._changed = self._changed, set()
        for rule in self._live():
            if rule.rule_id in changed:
                self._engine.looking.look_now(rule, self._look_again)

    def _look_again(self, rule: Tracked) -> None:
        """Look at what was told: asking for a margin tells it again."""
        if isinstance(rule.rule, MarginFloor) and self._seen:
            self._floor(rule, rule.rule, self._seen)
        else:
            self.look(rule)

    def _watch(self, rule: Tracked, terms: DailyLoss, room: Decimal) -> None:
        """Have the marks tell when the nearest of the loss limits in a currency is reached."""
        self._below[rule.rule_id] = self._positions.unrealised(terms.currency) - float(room)
        same = [one.rule_id for one, _ in self._limits(terms.currency) if one.status.watching]
        nearest = max(self._below[name] for name in (rule.rule_id, *same) if name in self._below)
        self._positions.watch(terms.currency, nearest)

    # -- what they see -----------------------------------------------------------------------------------------------

    def _known(self, rule: Tracked, doubt: str) -> bool:
        """Suspend a rule that cannot tell, and arm it again once it can."""
        if doubt and rule.status is _S.ARMED:
            self._engine.settle(rule, _S.SUSPENDED, doubt)
        elif not doubt and rule.status is _S.SUSPENDED:
            self._engine.settle(rule, _S.ARMED, "it can tell again")
        return not doubt

    def _floor(self, rule: Tracked, terms: MarginFloor, margins: Mapping[Segment, Margin]) -> None:
        margin = margins.get(terms.segment)
        if margin is None or margin.stale:
            self._doubted_ns.pop(rule.rule_id, None)
        if margin is None:
            self._known(rule, f"the margin of {terms.segment} is not known")
            return
        doubt = f"the margin of {terms.segment} is stale" if margin.stale else ""
        if not self._known(rule, doubt or ("" if self._positions.ready else "positions are not known")):
            return
        self._mark([name for name in self._positions.old() if self._is_of(name, terms.segment, margins)])
        now = self._runtime.clock.mono_ns()
        words = crossed(terms, margin)
        if now < rule.pause_until_ns or not self._certain(rule, terms, margin, words, now) or not words:
            return
        closable = set(self._positions.keys())
        rows = [row for row in self._positions.rows() if key_of(row) in closable]
        known = self._instruments(rule, [row.instrument_id for row in rows if row.quantity])
        rows = [
            row
            for row in rows
            if row.instrument_id in known and segment_of(known[row.instrument_id], margins) is terms.segment
        ]
        try:
            taken = planned(terms, rows, margin, self.plans, known.__getitem__)
        except DragomanError as error:
            self._known(rule, redact(str(error)))
            return
        except Exception as error:  # noqa: BLE001 - the user's plan; it must not stop the other rules
            self._known(rule, redact(f"plan {terms.by!r} raised {type(error).__name__}: {error}"))
            return
        if not taken:
            return  # nothing is held there: what uses the margin is no position
        if rule.firing >= terms.most:
            self._engine.settle(rule, _S.FAILED, f"{words}, after {rule.firing} firings: somebody has to look")
            return
        rule.pause_until_ns = now + int(terms.pause_s * _NS)
        firing = rule.firing + 1
        plans = [
            Planned(f"{rule.rule_id}.{firing}.{number}", key_of(row), exit_side(row.quantity), quantity)
            for number, (row, quantity) in enumerate(taken, 1)
        ]
        self._engine.fire_plans(rule, words, plans)

    def _certain(self, rule: Tracked, terms: MarginFloor, margin: Margin, words: str, now: int) -> bool:
        """Whether a floor may go by a margin; where it may be wrong, a reading is asked for, and waited for a while."""
        unsure = doubtful(terms, margin)
        if unsure and now >= self._hurried_ns + _ASK_S * _NS:
            self._hurried_ns = now
            self._hurry()
        if not words or not unsure:
            self._doubted_ns.pop(rule.rule_id, None)
            return not unsure
        if rule.rule_id not in self._doubted_ns:
            self._doubted_ns[rule.rule_id] = now
            off = "nobody can say how far" if margin.error_bound is None else f"by {margin.error_bound}"
            self._engine.tell(rule, f"{words}, but that is projected and may be off, {off}: the broker is asked first")
        if now - self._doubted_ns[rule.rule_id] < _DOUBT_S * _NS:
            return False
        del self._doubted_ns[rule.rule_id]
        return True

    def _is_of(self, name: str, segment: Segment, margins: Mapping[Segment, Margin]) -> bool:
        instrument = self._instrument_of(name)
        return instrument is not None and segment_of(instrument, margins) is segment

    def _instruments(self, rule: Tracked, names: Sequence[str]) -> dict[str, Instrument]:
        """Return the instruments of positions; one that the master lacks is told of once, and left out."""
        found = {name: self._instrument_of(name) for name in names}
        for name in (one for one, instrument in found.items() if instrument is None):
            if name not in self._strange:
                self._strange.add(name)
                words = f"{name} is not in the instrument master: no rule about the account counts or exits it"
                _log.warning("%s", words)
                self._engine.tell(rule, words)
        return {name: instrument for name, instrument in found.items() if instrument is not None}

    def _loss(self, rule: Tracked, terms: DailyLoss) -> None:
        if not self._known(rule, "" if self._positions.ready else "positions are not known"):
            return
        found = self._positions.day_made(terms.currency)
        if found is None:
            return
        if found.unmarked:
            self._mark(sorted({*found.unmarked}))
        if found.unclosed:
            self._close(sorted({*found.unclosed}))
        lacking = lacks((found,))
        if not self._known(rule, f"the day's loss cannot be told: {lacking} is not known" if lacking else ""):
            return
        charged = self._positions.day_charges(terms.currency) if terms.after_charges else ZERO
        loss = charged - found.profit
        if loss < terms.limit:
            self._watch(rule, terms, terms.limit - loss)
            return
        if self._runtime.clock.mono_ns() < rule.pause_until_ns:
            return
        words = f"the day's loss is {loss} {terms.currency}, the limit {terms.limit}"
        words += f"; {charged} of it are charges" if charged else ""
        if terms.act != "flatten":
            self._engine.settle(rule, _S.FIRED, words)
            closes = terms.act == "both"
            self._runtime.spawn(self._stop(rule, words, closes), name=f"{rule.rule_id} stops the account")
            return
        firing = rule.firing + 1
        plans = [
            Planned(f"{rule.rule_id}.{firing}.{number}", key, exit_side(quantity), abs(quantity))
            for number, key in enumerate(sorted(self._positions.keys()), 1)
            if (quantity := self._positions.quantity(key))
        ]
        if plans:
            self._engine.fire_plans(rule, words, plans)

    def _mark(self, names: Sequence[str]) -> None:
        """See to it that positions have prices: by the stream, and by a quote until that tells one."""
        watch, now = self._engine.watch, self._runtime.clock.mono_ns()
        if not names or now < self._asked_ns + _ASK_S * _NS:
            return
        self._asked_ns = now
        instruments = [one for name in names if (one := self._instrument_of(name)) is not None]
        for instrument in instruments:
            with suppress(UsageError):  # no room on the stream: quotes it is
                watch.follow(instrument)
        self._runtime.spawn(self._ask(instruments), name="mark positions")

    def _close(self, names: Sequence[str]) -> None:
        """Ask quotes for previous closes that the broker's positions did not tell."""
        now = self._runtime.clock.mono_ns()
        if now < self._closes_ns + _CLOSES_S * _NS:
            return
        self._closes_ns = now
        instruments = [one for name in names if (one := self._instrument_of(name)) is not None]
        self._runtime.spawn(self._ask_closes(instruments), name="previous closes")

    async def _ask_closes(self, instruments: Sequence[Instrument]) -> None:
        self._positions.closed(await self._engine.watch.closes(instruments))

    async def _ask(self, instruments: Sequence[Instrument]) -> None:
        for name, price in (await self._engine.watch.prices(instruments)).items():
            self._positions.polled(name, price)

    async def _stop(self, rule: Tracked, why: str, closes: bool) -> None:
        try:
            await self._kill(f"rule {rule.rule_id}", why, closes)
        except DragomanError as error:
            self._engine.settle(rule, _S.FAILED, f"{why}; the account could not be stopped: {redact(str(error))}")
        else:
            also = " and positions are being closed" if closes else ""
            self._engine.settle(rule, _S.DONE, f"{why}; the kill switch is engaged{also}")
