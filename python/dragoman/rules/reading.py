"""Rules as the journal has them: for a run that comes after, and for a process that only looks."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from dragoman.orders.journal import Kind, read_journal
from dragoman.orders.recovery import take_rule
from dragoman.rules.statement import statement_of
from dragoman.rules.tracked import Tracked
from dragoman.runtime.base import Disk

_log = logging.getLogger("dragoman.rules")


def restored(plain: Mapping[str, Mapping[str, Any]]) -> dict[str, Tracked]:
    """Return the rules that the journal's records come to, by name; those nobody can read are told of and left out."""
    found: dict[str, Tracked] = {}
    for name, data in plain.items():
        try:
            found[name] = rule = Tracked.of(data)
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            _log.error("rule %s in the journal cannot be read, and guards nothing: %r", name, error)
            continue
        rule.statement = statement_of(rule.rule, durable=True)
    return found


def read_rules(disk: Disk, folder: str) -> dict[str, dict[str, Any]]:
    """Return what a journal says of rules, read beside whoever writes it. Blocking."""
    found: dict[str, dict[str, Any]] = {}
    for entry in read_journal(disk, folder):
        if entry.kind is Kind.RULE:
            take_rule(found, entry.payload)
        elif entry.kind is Kind.DECISION:
            for rule in entry.payload.get("rules", ()):
                take_rule(found, rule)
    return found
