"""What a client tells on its events, as rows of the alert pane."""

from __future__ import annotations

from typing import Any, Final

from dragoman.cli.watch.rows import AlertRow, Weight
from dragoman.errors import DragomanError
from dragoman.model import (
    BookGap,
    Gap,
    KillEvent,
    MarginAlert,
    Notice,
    OrderAlert,
    PositionAlert,
    RuleEvent,
    RuleStatus,
    StreamState,
)
from dragoman.session.secrets import redact

_SEVERE: Final = frozenset(
    ("UNRESOLVED", "JOURNAL_FAILED", "JOURNAL_DAMAGED", "ENGAGED", "NOT_FLATTENED", "NOT_DURABLE", "WORKING")
)
_HARMLESS: Final = frozenset(("RESOLVED", "ADOPTED", "CANCELLED", "FLATTENED", "RELEASED"))


def printable(text: str) -> str:
    """Return text of others as one line that a terminal can be given: secrets, and what is no character, left out."""
    return "".join(char if char.isprintable() else " " for char in redact(text)).strip()


def alert_of(event: Any, now: int) -> AlertRow | None:
    """Return how an event of a client is shown; None for one that says nothing by itself.

    Parameters
    ----------
    event : object
        See `dragoman.client.Event`.
    now : int
        Wall clock, ns UTC, for events that carry no time.
    """
    ts = getattr(event, "ts", 0) or now
    weight: Weight
    match event:
        case StreamState(stream=name, state=state, reason=reason, shard=shard):
            weight = "error" if state == "fatal" else "warning" if state in ("stale", "waiting") else "info"
            words = f"{name} {shard} {state}{': ' if reason else ''}{reason}"
            return AlertRow(ts, weight, "stream", printable(words))
        case Gap(stream=name, start_ns=start, end_ns=end, reason=reason, shard=shard):
            seconds = (end - start) / 1_000_000_000
            return AlertRow(ts, "warning", "gap", printable(f"{name} {shard}: {seconds:.1f} s not seen: {reason}"))
        case BookGap(instrument_id=name, state=state):
            return AlertRow(ts, "warning" if state == "broken" else "info", "book", f"{name} is {state}")
        case Notice(level=level, text=text):
            return AlertRow(ts, level, "notice", printable(text))
        case RuleEvent(rule_id=rule, status=status, reason=reason):
            weight = "error" if status is RuleStatus.FAILED else "info"
            weight = "warning" if status in (RuleStatus.SUSPENDED, RuleStatus.FIRED) else weight
            return AlertRow(ts, weight, "rule", printable(f"{rule} {status}: {reason}"))
        case OrderAlert(code=code, text=text):
            return AlertRow(ts, _weight(code), "order", printable(f"{code}: {text}"))
        case PositionAlert(code=code, text=text):
            return AlertRow(ts, _weight(code), "position", printable(f"{code}: {text}"))
        case MarginAlert(code=code, text=text):
            return AlertRow(ts, _weight(code), "margin", printable(f"{code}: {text}"))
        case KillEvent(code=code, text=text):
            return AlertRow(ts, _weight(code), "kill", printable(f"{code}: {text}"))
        case DragomanError():
            return AlertRow(ts, "error", "error", printable(str(event)))
    return None


def _weight(code: str) -> Weight:
    return "error" if code in _SEVERE else "info" if code in _HARMLESS else "warning"
