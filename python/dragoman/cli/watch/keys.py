"""The keys of the live screen, and the help that lists them."""

from __future__ import annotations

from typing import Final, NamedTuple


class Key(NamedTuple):
    """One key: what it is called in the footer, and what the help says of it."""

    key: str
    action: str
    word: str
    help: str
    trades: bool = False


KEYS: Final = (
    Key("c", "cancel", "Cancel", "cancel the order that is selected", trades=True),
    Key("x", "flatten", "Flatten", "exit the position that is selected, whole", trades=True),
    Key("K", "kill", "KILL", "stop all new orders and cancel what works", trades=True),
    Key("n", "choose(1)", "Next", "put the next instrument on the ladder"),
    Key("p", "choose(-1)", "Prev", "put the previous one there; Enter in the watch list, the selected one"),
    Key("f", "filter", "Filter", "show other rows of the pane in focus: orders, positions"),
    Key("s", "sort", "Sort", "sort the pane in focus otherwise"),
    Key("tab", "app.focus_next", "Pane", "go to the next pane; arrows select a row"),
    Key("question_mark", "help", "Help", "this"),
    Key("q", "quit", "Quit", "leave; orders and rules stay as they are"),
)

_LEGEND: Final = """\
A number that ends in ? is stale: its stream is not connected, has fallen silent, or has left something out since.
PROJECTED margins are counted between the broker's readings, and off by at most what stands behind ±.
Of a limit, +n is what is kept for cancels and exits beyond what other requests may use.
A rule that this process does not keep is read from the journal every few seconds."""


def help_text(trading: bool) -> str:
    """Return what the help shows."""
    lines = []
    for one in KEYS:
        name = {"question_mark": "?"}.get(one.key, one.key)
        note = "" if trading or not one.trades else "  (with --trade)"
        lines.append(f"  {name:<5} {one.help}{note}")
    return "\n".join((*lines, "", _LEGEND))
