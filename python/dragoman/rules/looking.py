"""What is done about rules now and then: trailing levels noted, the age of prices judged, clocks looked at."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from dragoman.model.rules import RuleStatus
from dragoman.rules.model import OnStale, PriceRule, ScaleOut
from dragoman.rules.tracked import Tracked
from dragoman.rules.working import ZERO
from dragoman.runtime.base import Runtime
from dragoman.session.secrets import redact

if TYPE_CHECKING:
    from dragoman.rules.engine import Engine

_S = RuleStatus
_LOOK_S: Final = 1.0
_POLL_AFTER_S: Final = 5.0
_log = logging.getLogger("dragoman.rules")


class Looking:
    """Looks at the rules of an engine about once a second, for as long as any of them watches.

    Attributes
    ----------
    each : list of callables
        Called with every rule that watches.
    """

    def __init__(self, runtime: Runtime, engine: Engine) -> None:
        self._runtime = runtime
        self._engine = engine
        self._looking: asyncio.Task[None] | None = None
        self.each: list[Callable[[Tracked], object]] = []
        self._raised: dict[str, str] = {}

    def wake(self) -> None:
        if (self._looking is None or self._looking.done()) and not self._engine.closed:
            self._looking = self._runtime.spawn(self._look_on(), name="watch the rules")

    async def _look_on(self) -> None:
        while any(rule.status.watching for rule in self._engine.rules.values()) and not self._engine.closed:
            await self._runtime.sleep(_LOOK_S)
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001 - it is looked on, whatever it was
                _log.exception("rules could not be looked at: %s", redact(str(error)))

    async def look(self) -> None:
        """Note how far trailing levels have moved, judge how old prices are, and do what the clock says."""
        self._engine.watch.keep()
        watching = [rule for rule in self._engine.rules.values() if rule.status.watching]
        broken: dict[str, str] = {}
        for rule in watching:  # the clock and the account first: they do not wait for quotes
            for each in self.each:
                if rule.status.watching:
                    with self._alone(rule, broken):
                        each(rule)
        wanting: list[int] = []
        for rule in watching:
            with self._alone(rule, broken):
                wanting += self._unpriced(rule)
        if wanting:
            await self._engine.watch.poll(wanting)
        for rule in watching:
            with self._alone(rule, broken):
                self._judge_age(rule)
        self._raised = broken

    def look_now(self, rule: Tracked, look: Callable[[Tracked], object]) -> None:
        """Look at one rule between times, because something has changed."""
        if rule.status.watching and not self._engine.closed:
            with self._alone(rule, self._raised):
                look(rule)

    @contextmanager
    def _alone(self, rule: Tracked, broken: dict[str, str]) -> Iterator[None]:
        """Keep what goes wrong with one rule from all others; it is told of when it begins."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, the other rules go on
            words = f"it could not be looked at: {type(error).__name__}: {redact(str(error))}"
            if self._raised.get(rule.rule_id) != words and broken.get(rule.rule_id) != words:
                _log.exception("rule %s: %s", rule.rule_id, words)
                self._engine.tell(rule, words)
            broken[rule.rule_id] = words

    def _unpriced(self, rule: Tracked) -> list[int]:
        """Note how far its level has moved; return those of its triggers whose price is to be asked for."""
        self.note_trail(rule)
        numbers = self._engine.numbers(rule)
        return numbers if numbers and self._wants_poll(rule, *self._age(numbers)) else []

    def _judge_age(self, rule: Tracked) -> None:
        numbers = self._engine.numbers(rule)
        if numbers and rule.status.watching:
            self._judge(rule, *self._age(numbers))

    def note_trail(self, rule: Tracked) -> None:
        """Write down where a trailing level lies, if it came closer."""
        for leg in rule.legs:
            if leg.fired or leg.trail is None:
                continue
            number = self._engine.number_of(rule, leg)
            level = None if number is None else self._engine.watch.level(number)
            if level is not None and leg.tighter(level):
                rule.put(replace(leg, level=level, seen=None if number is None else self._engine.watch.best(number)))
                rule.ts = self._runtime.clock.wall_ns()
                self._engine.write(rule, "trail")

    def _age(self, numbers: list[int]) -> tuple[float, bool]:
        """Return for how long the triggers of one instrument have had no price, and whether its stream is gone."""
        return max(self._engine.watch.silent_s(one) for one in numbers), self._engine.watch.interrupted(numbers[0])

    def _wants_poll(self, rule: Tracked, silent: float, gone: bool) -> bool:
        terms = rule.rule
        assert isinstance(terms, PriceRule)
        return terms.poll and (gone or silent >= min(_POLL_AFTER_S, terms.stale_after_s / 2))

    def _judge(self, rule: Tracked, silent: float, gone: bool) -> None:
        terms = rule.rule
        assert isinstance(terms, PriceRule)
        if silent <= terms.stale_after_s and not (gone and not terms.poll):
            rule.told_stale = False
            if rule.status is _S.SUSPENDED:
                self._engine.settle(rule, _S.ARMED, "prices are back")
            return
        if rule.told_stale:
            return
        rule.told_stale = True
        reason = f"no usable price of {terms.instrument_id} for {silent:.0f} s"
        if gone:
            reason += "; the stream is gone"
        if terms.on_stale is OnStale.EXIT:
            self._fire_all(rule, f"stale: {reason}")
        elif terms.on_stale is OnStale.HOLD:
            self._engine.settle(rule, _S.SUSPENDED, reason)
        else:
            self._engine.tell(rule, reason)

    def _fire_all(self, rule: Tracked, reason: str) -> None:
        """Exit all that a rule still stands for: of a ladder the sum of its rungs, of others what one of them takes."""
        shares = [leg.quantity for leg in rule.waiting]
        self._engine.void(rule)
        share = None if not shares or None in shares else sum((one for one in shares if one is not None), ZERO)
        if not isinstance(rule.rule, ScaleOut) and shares:
            share = shares[0]
        self._engine.fire(rule, reason, "stale", share)

    async def close(self) -> None:
        """Look no more."""
        task, self._looking = self._looking, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait((task,))
