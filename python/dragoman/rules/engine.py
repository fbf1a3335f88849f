"""What makes rules act: prices and clocks fire them, exits carry them out, the journal keeps how far they got.

FIRED is put into the journal before its exit is planned. The exit's own intent is made durable before its first byte
leaves, and everything put into the journal before it with it: so a firing is durable before its exit leaves, at the
price of one sync for both. The exit's orders are named after rule and firing. A next run that finds the firing goes on
with those names, and a name is one order for ever: there is exactly one exit, wherever the process was killed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from dragoman.errors import DragomanError
from dragoman.model import Instrument, Product
from dragoman.model.rules import RuleEvent, RuleStatus
from dragoman.orders.recorder import Recorder
from dragoman.portfolio.net import PositionKey
from dragoman.rules.brackets import Brackets
from dragoman.rules.exit import Exit
from dragoman.rules.exits import Exits
from dragoman.rules.looking import Looking
from dragoman.rules.model import Bracket, PriceRule, ScaleOut
from dragoman.rules.positions import Positions
from dragoman.rules.terms import Leg, exit_side
from dragoman.rules.tracked import Planned, Tracked
from dragoman.rules.watch import Watch
from dragoman.rules.working import ZERO
from dragoman.runtime.base import Runtime
from dragoman.session.secrets import redact

_S = RuleStatus
_NS: Final = 1_000_000_000
_FIRST_S: Final = 5.0
_LONGEST_S: Final = 300.0
_log = logging.getLogger("dragoman.rules")


class Engine:
    """The rules of one account that live in this process.

    Parameters
    ----------
    runtime : Runtime
    recorder : Recorder
    exits : Exits
    positions : Positions
    resolve : callable
        Returns the instrument of a canonical id.
    publish : callable
        Gets each `RuleEvent`.

    Attributes
    ----------
    rules : dict of str to Tracked
        All that were added, or came back; those that are over as well.
    watch : Watch
        Set by whoever makes both.
    brackets : Brackets
        Likewise.
    orphaned : callable
        Told of a rule at the broker whose position is gone.
    of_account : callable
        Told of each rule about the whole account that begins to watch.
    looking : Looking
        What is done now and then.
    closed : bool
    """

    watch: Watch
    brackets: Brackets

    def __init__(
        self,
        runtime: Runtime,
        recorder: Recorder,
        exits: Exits,
        positions: Positions,
        resolve: Callable[[str], Instrument],
        publish: Callable[[RuleEvent], object],
    ) -> None:
        self._runtime = runtime
        self._now_ns = runtime.clock.wall_ns
        self._recorder = recorder
        self._exits = exits
        self._positions = positions
        self._resolve = resolve
        self._publish = publish
        self.rules: dict[str, Tracked] = {}
        self.orphaned: Callable[[Tracked], object] = lambda rule: None
        self.of_account: Callable[[Tracked], object] = lambda rule: None
        self.looking = Looking(runtime, self)
        self._numbers: dict[int, tuple[Tracked, int]] = {}
        self._armed: dict[tuple[str, int], int] = {}
        self._next = 0
        self._plans: dict[str, Tracked] = {}
        self._by_key: dict[PositionKey, list[Tracked]] = {}
        self._dirty: set[PositionKey] = set()
        self._due: asyncio.Handle | None = None
        self.closed = False
        self._end = positions.listen(self._on_position)

    # -- entering ----------------------------------------------------------------------------------------------------

    def enter(self, rule: Tracked) -> None:
        """Take a rule that is written down; from here on it acts."""
        self.rules[rule.rule_id] = rule
        rule.since_ns = self._now_ns()
        if rule.key is not None and not rule.status.terminal:
            self._by_key.setdefault(rule.key, []).append(rule)
        if isinstance(rule.rule, Bracket) and not rule.status.terminal:
            self.brackets.enter(rule)
        for plan in tuple(rule.plans):
            self._run(rule, plan)
        if not rule.status.terminal:
            for leg in rule.waiting:
                self.arm(rule, leg)
            self.looking.wake()
        if rule.key is None:
            self.of_account(rule)
        elif rule.status.watching:
            self._on_position(rule.key)

    def arm(self, rule: Tracked, leg: Leg) -> None:
        """Watch one of its prices."""
        if rule.rule.where == "broker":
            return  # it watches
        assert isinstance(rule.rule, PriceRule)
        self._next += 1
        number = self._next
        self._numbers[number] = rule, leg.number
        self._armed[rule.rule_id, leg.number] = number
        self.watch.arm(number, self._resolve(rule.rule.instrument_id), leg, rule.rule.source)

    def void(self, rule: Tracked, *, but: int = 0) -> None:
        """Watch none of its prices any more."""
        for leg in rule.void(but=but):
            self._disarm(rule, leg.number)

    def _disarm(self, rule: Tracked, leg_number: int) -> None:
        number = self._armed.pop((rule.rule_id, leg_number), None)
        if number is not None:
            self._numbers.pop(number, None)
            self.watch.disarm(number)

    def numbers(self, rule: Tracked) -> list[int]:
        """Return the triggers of a rule that are armed."""
        return [n for leg in rule.waiting if (n := self._armed.get((rule.rule_id, leg.number))) is not None]

    def number_of(self, rule: Tracked, leg: Leg) -> int | None:
        """Return the trigger of one leg; None where none is armed."""
        return self._armed.get((rule.rule_id, leg.number))

    # -- firing ------------------------------------------------------------------------------------------------------

    def moved(self, fired: Sequence[int]) -> None:
        """Take the numbers of triggers that fired, in the order of the prices; one that goes wrong stops no other."""
        for number in fired:
            known = self._numbers.pop(number, None)
            if known is None:
                continue
            rule, leg_number = known
            self._armed.pop((rule.rule_id, leg_number), None)
            try:
                self._reached(rule, leg_number, number)
            except Exception as error:  # noqa: BLE001 - whatever it is, what fired with it fires
                words = f"it fired, and its exit failed: {type(error).__name__}: {redact(str(error))}"
                _log.exception("rule %s: %s", rule.rule_id, words)
                if not rule.status.terminal:
                    self.void(rule)
                    self.settle(rule, _S.FAILED, words)

    def _reached(self, rule: Tracked, leg_number: int, number: int) -> None:
        level = self.watch.took(number)
        leg = rule.leg(leg_number)
        if level is not None and leg.trails and leg.tighter(level):
            rule.put(leg := replace(leg, level=level))
        if not leg.fired and not rule.status.terminal:
            self.fire_leg(rule, leg)

    def fire_leg(self, rule: Tracked, leg: Leg) -> None:
        """Exit what one of its prices stands for."""
        if not isinstance(rule.rule, ScaleOut):
            self.void(rule, but=leg.number)  # one fires, once
        rule.put(replace(leg, fired=True))
        self.fire(rule, f"{leg.what} at {leg.level} was reached", str(leg.number), self._share(rule, leg))

    def _share(self, rule: Tracked, leg: Leg) -> Decimal | None:
        """Return how much a leg takes; the last rung takes the rest."""
        if isinstance(rule.rule, ScaleOut) and not rule.waiting:
            total = sum((one.quantity for one in rule.legs if one.quantity is not None), ZERO)
            return total - rule.exited - sum((plan.wanted for plan in rule.plans), ZERO)
        return leg.quantity

    def fire(self, rule: Tracked, reason: str, word: str, share: Decimal | None) -> None:
        """Fire a rule about one position.

        Parameters
        ----------
        rule : Tracked
        reason : str
        word : str
            Tells this firing's orders from those of others.
        share : Decimal, optional
            How much of the position, at most.
        """
        assert rule.key is not None
        held = self._positions.quantity(rule.key)
        if not held or exit_side(held) is not rule.side:
            self.void(rule)
            if not rule.plans and not self.brackets.may_come(rule):
                self.settle(rule, _S.CANCELED if rule.status.watching else _S.DONE, _gone(held))
            return
        if isinstance(rule.rule, Bracket):
            share = self.brackets.share(rule, share)
        wanted = abs(held) if share is None else min(share, abs(held))
        if wanted <= 0:
            return
        name = f"{rule.rule_id}.{word}"
        plan = Planned(name, rule.key, exit_side(held), wanted)
        self.fire_plans(rule, reason, [plan], whole=share is None)
        if isinstance(rule.rule, Bracket):
            self.brackets.over(rule)

    def fire_plans(self, rule: Tracked, reason: str, plans: list[Planned], *, whole: bool = False) -> None:
        """Fire a rule: put it into the journal, then begin its exits."""
        rule.firing += 1
        rule.plans.extend(plans)
        self.settle(rule, _S.FIRED, reason)
        for plan in plans:
            self._run(rule, plan, whole=whole)

    def _run(self, rule: Tracked, plan: Planned, *, whole: bool = False) -> None:
        """Begin an exit, or go on with one of an earlier run."""
        self._plans[plan.name] = rule
        wanted = None if whole else plan.wanted
        try:
            plan.running = self._exits.reduce(
                plan.key,
                wanted,
                f"{rule.rule.kind} {rule.rule_id}: {rule.reason}",
                name=plan.name,
                side=plan.side,
                send=rule.rule.send,
                changed=self._exit_changed,
            )
        except DragomanError as error:
            self._plans.pop(plan.name, None)
            rule.plans.remove(plan)
            self._failed(rule, plan.key, redact(str(error)))
            self.go_on(rule, "")

    def _exit_changed(self, one: Exit) -> None:
        rule = self._plans.get(one.name)
        if rule is None or self.closed or rule.status.terminal:
            return
        report = one.report
        if report is None:
            if one.waits_for:
                self.settle_again(rule, f"an exit waits: {one.waits_for}")
                one.waits_for = ""
            elif rule.status is _S.FIRED:
                self.settle(rule, _S.EXITING, rule.reason)
            return
        del self._plans[one.name]
        rule.take(report)
        if report.failed:
            self._failed(rule, one.key, f"{report.reason}; {report.filled} of {report.wanted} exited")
        self.go_on(rule, report.reason)

    def _failed(self, rule: Tracked, key: PositionKey, reason: str) -> None:
        """Note an exit that has failed; the other ones of its rule go on."""
        words = reason if rule.key is not None else f"{key[0]} {key[1]}: {reason}"
        rule.problems.append(words)
        _log.error("an exit of rule %s has failed: %s", rule.rule_id, words)
        if rule.plans:
            self.settle_again(rule, f"an exit has failed, others go on: {words}")

    def go_on(self, rule: Tracked, reason: str) -> None:
        """Let a rule take its next step once none of its exits runs."""
        if rule.plans or rule.status.terminal:
            return
        problem = "; ".join(rule.problems)
        if rule.key is None:
            self._watch_on(rule, problem)
            return
        held = self._positions.quantity(rule.key)
        if rule.waiting and held and exit_side(held) is rule.side:
            self.settle(rule, _S.ARMED, f"{problem or f'{rule.exited} exited'}; it watches on")
            return
        if not problem and self.brackets.late(rule):
            return
        self.void(rule)
        owed = sum((leg.quantity or ZERO for leg in rule.legs), ZERO) if isinstance(rule.rule, ScaleOut) else None
        if problem and (owed is None or rule.exited < owed):  # the last rung takes what those before it left
            self.settle(rule, _S.FAILED, problem)
        elif rule.status.watching:  # a bracket that fired on nothing
            self.settle(rule, _S.CANCELED, _gone(held))
        else:
            self.settle(rule, _S.DONE, reason if reason != "done" else f"{rule.exited} exited")

    def _watch_on(self, rule: Tracked, problem: str) -> None:
        """Arm a rule about the account again; after a failure it waits longer each time before it tries again."""
        if not problem:
            rule.failures = 0
            self.settle(rule, _S.ARMED, "exited; it watches on")
            return
        wait_s = min(_FIRST_S * 2.0 ** min(rule.failures, 16), _LONGEST_S)
        rule.failures += 1
        rule.problems.clear()
        rule.pause_until_ns = max(rule.pause_until_ns, self._runtime.clock.mono_ns() + int(wait_s * _NS))
        self.settle(rule, _S.ARMED, f"{problem}; it watches on, and tries again after {wait_s:.0f} s")

    # -- telling -----------------------------------------------------------------------------------------------------

    def settle(self, rule: Tracked, status: RuleStatus, reason: str) -> None:
        """Let a rule take a step, write it down, and tell of it."""
        event = rule.turn(status, reason, self._now_ns())
        self._recorder.rule(rule.record(status.value.lower()))
        level = logging.ERROR if status is _S.FAILED else logging.INFO
        _log.log(level, "rule %s is %s: %s", rule.rule_id, status, reason)
        self._publish(event)
        if status.watching:
            self.looking.wake()
        elif status.terminal and isinstance(rule.rule, Bracket):
            self.brackets.over(rule)

    def settle_again(self, rule: Tracked, reason: str) -> None:
        """Write down, and tell, that a rule has changed without taking a step."""
        rule.reason, rule.ts = reason, self._now_ns()
        self.write(rule, rule.status.value.lower())
        self.tell(rule, reason)

    def write(self, rule: Tracked, what: str) -> None:
        """Put a rule, as it is now, into the journal."""
        self._recorder.rule(rule.record(what))

    def tell(self, rule: Tracked, reason: str) -> None:
        """Tell something of a rule that takes no step."""
        self._publish(RuleEvent(rule.rule_id, rule.status, rule.status, reason, rule.state(), self._now_ns()))

    # -- positions ---------------------------------------------------------------------------------------------------

    def _on_position(self, key: PositionKey) -> None:
        self._dirty.add(key)
        if self._due is None and not self.closed:
            self._due = asyncio.get_running_loop().call_soon(self._check_positions)

    def _check_positions(self) -> None:
        """End the rules whose position is gone: they must not guard the next one of that name."""
        self._due = None
        dirty, self._dirty = self._dirty, set()
        if not self._positions.ready:
            return
        for key in dirty:
            self.check_position(key)

    def check_position(self, key: PositionKey) -> None:
        """The same for one position, which is known."""
        rules = self._by_key.get(key)
        if not rules:
            return
        held = self._positions.quantity(key)
        for rule in tuple(rules):
            if rule.status.terminal:
                rules.remove(rule)
            if not rule.status.watching:
                continue
            if held and exit_side(held) is rule.side:
                self.brackets.held(rule)
            elif not self.brackets.may_come(rule):
                self.void(rule)
                if rule.rule.where == "broker":
                    self.orphaned(rule)
                else:
                    ends = key[1] is Product.DELIVERY and not held
                    self.settle(rule, _S.CANCELED, _gone(held) + (_DELIVERED if ends else ""))

    @property
    def working(self) -> Iterable[Tracked]:
        """Rules that are not over."""
        return [rule for rule in self.rules.values() if not rule.status.terminal]

    async def close(self) -> None:
        """Act no more. What rests at the broker rests on, and a next run goes on with the rest."""
        self.closed = True
        self._end()
        if self._due is not None:
            self._due.cancel()
        await self.looking.close()
        for number in tuple(self._numbers):
            self.watch.disarm(number)
        self._exits.close()


_DELIVERED: Final = ": sold, or a holding now that its day is over, which rules do not guard"


def _gone(held: Decimal) -> str:
    return f"the position it guards has turned to {held}" if held else "the position it guards is gone"
