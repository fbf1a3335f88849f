"""The demo's tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table


def show(result: Mapping[str, Any], *, as_json: bool) -> None:
    """Print the result as tables, or as one JSON document."""
    if as_json:
        options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
        print(orjson.dumps(result, default=_plain, option=options).decode())
        return
    console = Console()
    stream = result["stream"]
    console.print(
        f"[bold]{result['broker']}[/] ({result['environment']}) account {result['account']}:"
        f" {result['instruments']} instruments, {stream['subscribed']} streamed, {stream['ticking']} ticking,"
        f" {stream['frames']} frames, {stream['ticks']} ticks, {stream['books']} books"
    )
    console.print(_orders(result["orders"]))
    console.print(_table("Positions", result["positions"]))
    console.print(_table("Margins", ({"segment": name, **row} for name, row in result["margins"].items())))
    console.print(_table("Limits", _limits(result["counters"]["limits"])))
    console.print(
        _table(
            "Latency (client and emulator share this process)",
            ({"what": name, **row} for name, row in result["latency"].items()),
        )
    )
    proof = result["proof"]
    for difference in proof["differences"]:
        console.print(f"[red]{difference}[/]")
    verdict = "[green]all agree" if proof["agrees"] else "[red]they differ"
    console.print(
        f"{proof['orders']} orders, {proof['fills']} fills, {proof['positions']} positions: ours, the broker's and the"
        f" exchange's own ledger: {verdict}[/]"
    )


def _orders(rows: Iterable[Mapping[str, Any]]) -> Table:
    table = Table(title="Orders", title_justify="left")
    for column in ("act", "outcome", "instrument", "filled", "average", "life"):
        table.add_column(column, overflow="fold")
    for row in rows:
        detail = " > ".join(_shortened(row["life"])) or row.get("text", "")
        filled = f"{row['filled']} of {row['quantity']}" if "filled" in row else ""
        outcome = row.get("kind") or row["outcome"]
        average = row.get("average_price")
        table.add_row(row["act"], str(outcome), row.get("instrument", ""), filled, _cell(average), detail)
    return table


def _shortened(life: Iterable[str]) -> list[str]:
    """Fold repeats of one status into ``STATUS x3``."""
    folded: list[tuple[str, int]] = []
    for status in life:
        if folded and folded[-1][0] == status:
            folded[-1] = (status, folded[-1][1] + 1)
        else:
            folded.append((status, 1))
    return [status if count == 1 else f"{status} x{count}" for status, count in folded]


def _limits(state: Mapping[str, Any]) -> list[dict[str, Any]]:
    shown = ("count", "used", "left", "reserve_left")
    return [
        {"meter": name, **{key: row[key] for key in shown if key in row}}
        for name, row in state.items()
        if isinstance(row, Mapping)
    ]


def _table(title: str, rows: Iterable[Mapping[str, Any]]) -> Table:
    listed = list(rows)
    table = Table(title=title, title_justify="left")
    columns = list(dict.fromkeys(key for row in listed for key in row))
    for column in columns:
        table.add_column(column.replace("_", " "), justify="left" if column == columns[0] else "right")
    for row in listed:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    return table


def _cell(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value:.2f}" if value % 1 else f"{value:f}"
    return "" if value is None else str(value)


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    return str(value)
