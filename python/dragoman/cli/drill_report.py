"""The crash drill's tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich.console import Console

from dragoman.cli.output import fitted, money, number, print_json, text

WIDTH = 100
_LEGS = (
    text("leg"),
    text("part"),
    text("instrument"),
    text("product"),
    number("quantity"),
    money("entered at", 1, "price"),
    money("realised"),
)
_EVENTS = (
    number("s", 1, "time"),
    text("event"),
    text("leg"),
    number("level"),
    number("price"),
    number("size", 2, "quantity"),
    text("order"),
    number("left"),
    money("realised"),
    number("used"),
)
_PROOF = (text("what"), text("found"), text("agrees"))
_BROKERS = (
    text("broker"),
    number("events"),
    number("ticks", 1),
    number("orders"),
    number("firings"),
    money("realised"),
    text("sums agree"),
)


def show_drill(result: Mapping[str, Any]) -> None:
    """Print one broker's drill: its positions, what happened, and the sums; nothing wider than 100 columns."""
    console = _console()
    title = f"{result['broker']}: what is held, and what guards it"
    console.print(fitted(console, title, _LEGS, result["legs"]))
    for name, why in result["left_out"].items():
        console.print(f"left out: {name}: {why}", style="dim", highlight=False)
    title = "What happened (level and price: of the leg, or of the usable margin; used: margin in use)"
    console.print(fitted(console, title, _EVENTS, map(_event, result["events"])))
    rows = [row | {"agrees": "yes" if row["agrees"] else "NO"} for row in result["proof"]["lines"]]
    console.print(fitted(console, "The sums", _PROOF, rows))
    for difference in result["proof"]["differences"]:
        console.print(f"[red]{difference}[/]", highlight=False)


def show_drills(results: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Print every broker's drill, and one line for each; or all of it as one JSON document."""
    agrees = all(result["proof"]["agrees"] for result in results)
    if as_json:
        print_json(results[0] if len(results) == 1 else {"brokers": list(results), "agrees": agrees})
        return
    for result in results:
        show_drill(result)
    if len(results) > 1:
        console = _console()
        rows = [
            {
                "broker": one["broker"],
                "events": len(one["events"]),
                "ticks": one["ticks"],
                "orders": one["orders"],
                "firings": sum(one["firings"].values()),
                "realised": one["realised"],
                "sums agree": "yes" if one["proof"]["agrees"] else "NO",
            }
            for one in results
        ]
        console.print(fitted(console, "One crash, every broker (each emulated on loopback)", _BROKERS, rows))


def _console() -> Console:
    """Return where to print: as wide as the terminal, 100 columns at most, and so many where there is none."""
    console = Console()
    return Console(width=min(WIDTH, console.width) if console.is_terminal else WIDTH)


def _event(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event with numbers short enough for a table."""
    blank = dict.fromkeys(("level", "price", "quantity", "order"))
    return {
        **blank,
        **row,
        "level": _short(row.get("level")),
        "price": _short(row.get("price")),
        "quantity": _plain(row.get("quantity")),
        "left": _plain(row["left"]),
        "realised": round(row["realised"], 2),
        "used": f"{round(row['used']):d}",
    }


def _short(value: Decimal | None) -> str:
    """Return a price with as many digits as a table has room for; a large one has no hundredths."""
    if value is None:
        return ""
    return f"{round(value):d}" if value >= 100_000 else f"{round(value, 2):f}" if value >= 1 else f"{value:f}"


def _plain(value: Decimal | None) -> str:
    return "" if value is None else f"{value.normalize():f}"
