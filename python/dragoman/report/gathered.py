"""What a journal tells of one day, gathered: what every part of a report is made of."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from dragoman.model import Fill
from dragoman.orders.recovery import Recovered
from dragoman.report.model import KillLine, Rejection, RuleLine, Step, Unknown


@dataclass(slots=True)
class Act:
    """Something that was asked of the broker; when, and when it was answered and first told of by a stream."""

    name: str
    what: str
    ts: int
    mark: Decimal | None = None
    exits: bool = False
    ts_reply: int | None = None
    ts_stream: int | None = None


@dataclass(slots=True)
class Known:
    """What an order said when a fill of it was told."""

    limit: Decimal | None
    trigger: Decimal | None


@dataclass(slots=True)
class Gathered:
    """Everything the report is made of."""

    days: Counter[str] = field(default_factory=Counter)
    records: int = 0
    unreadable: int = 0
    opened: dict[str, Any] = field(default_factory=dict)
    recovered: Recovered = field(default_factory=Recovered)
    names: dict[str, None] = field(default_factory=dict)
    placed: dict[str, Act] = field(default_factory=dict)
    amended: list[Act] = field(default_factory=list)
    steps: dict[str, list[Step]] = field(default_factory=dict)
    refused: list[Rejection] = field(default_factory=list)
    rejected_at: dict[str, int] = field(default_factory=dict)
    unknowns: list[Unknown] = field(default_factory=list)
    rules: list[RuleLine] = field(default_factory=list)
    kills: list[KillLine] = field(default_factory=list)
    money: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    worth: dict[str, Any] = field(default_factory=dict)
    opening: tuple[int, list[Any]] | None = None
    terms: dict[str, dict[str, str]] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    known: dict[tuple[str, str, str], Known] = field(default_factory=dict)
