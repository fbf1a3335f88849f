"""What a rule that watches a position is now, and what is told when that changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from dragoman.model.enums import Side
from dragoman.model.shown import Shown


class RuleStatus(StrEnum):
    """How far a rule has got.

    Attributes
    ----------
    ARMED
        It watches.
    SUSPENDED
        What it watches is stale: it cannot fire until data come again.
    FIRED
        Its condition held; the exit is about to be sent.
    EXITING
        Exits work, or are looked for.
    DONE, CANCELED, FAILED
        It is over. FAILED needs somebody: what it should have sold, or bought back, is still there.
    """

    ARMED = "ARMED"
    SUSPENDED = "SUSPENDED"
    FIRED = "FIRED"
    EXITING = "EXITING"
    DONE = "DONE"
    CANCELED = "CANCELED"
    FAILED = "FAILED"

    @property
    def terminal(self) -> bool:
        return self in _OVER

    @property
    def watching(self) -> bool:
        """Whether it has not fired yet, or may fire again."""
        return self in (RuleStatus.ARMED, RuleStatus.SUSPENDED)


_OVER = frozenset((RuleStatus.DONE, RuleStatus.CANCELED, RuleStatus.FAILED))


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleState(Shown):
    """One rule as it is known now.

    Attributes
    ----------
    rule : object
        Its terms: one of `dragoman.rules`.
    status : RuleStatus
    reason : str
        Why it is that.
    statement : str
        Where it lives, and what happens to it if this process dies.
    side : Side or None
        Of its exits; None where that differs from position to position.
    levels : tuple of Decimal
        Prices at which it fires, those that are still to come; of a trailing stop as it was written down last.
    best : Decimal or None
        Of a trailing stop: the best price seen.
    quantity : Decimal or None
        How much it takes in all, None for whatever there is.
    exited : Decimal
        How much its exits have filled.
    firing : int
        How often it has fired.
    orders : tuple of str
        Names (`client_order_id`) of its exits so far.
    broker_id : str
        Of the broker's own trigger, where it lives there.
    due_ns : int or None
        When it acts by the clock, ns UTC.
    durable : bool
        Whether it is written down, so that a next run goes on with it.
    ts : int
        Wall clock of the last change, ns UTC.
    """

    rule_id: str
    rule: Any
    status: RuleStatus
    reason: str = ""
    statement: str = ""
    side: Side | None = None
    levels: tuple[Decimal, ...] = ()
    best: Decimal | None = None
    quantity: Decimal | None = None
    exited: Decimal = Decimal(0)
    firing: int = 0
    orders: tuple[str, ...] = ()
    broker_id: str = ""
    due_ns: int | None = None
    durable: bool = False
    ts: int = 0


@dataclass(frozen=True, slots=True)
class RuleEvent:
    """A rule changed.

    Attributes
    ----------
    rule_id : str
    status, before : RuleStatus
        `before` is None for a rule that was just added, or came back from an earlier run.
    reason : str
    state : RuleState
        The whole of it, after the change.
    ts : int
        Wall clock, ns UTC.
    """

    rule_id: str
    status: RuleStatus
    before: RuleStatus | None
    reason: str = ""
    state: RuleState | None = field(default=None, compare=False)
    ts: int = 0
