"""The demo's tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console

from dragoman.cli.output import Column, fitted, money, number, print_json, text

_ORDERS = (
    text("act"),
    text("outcome"),
    text("instrument", 2),
    number("filled", 1),
    money("average", 1),
    text("why", 3),
)
_BROKERS = (
    text("broker"),
    number("instruments", 3),
    number("ticks", 1),
    number("books", 4),
    number("orders"),
    number("fills"),
    number("positions", 2),
    number("place p50 us", 1, "place"),
    text("books agree"),
)
_LIVES = (text("act"), text("life, in the broker's words", key="life"))
_POSITIONS = (
    text("instrument"),
    text("product", 2),
    number("quantity"),
    money("average", 1, "average_price"),
    money("last", 3, "last_price"),
    money("realised", 4, "realised_pnl"),
    money("unrealised", 4, "unrealised_pnl"),
    money("pnl"),
)
_MARGINS = (
    text("segment"),
    money("usable", key="net"),
    money("used"),
    money("cash", 1),
    money("collateral", 2),
    money("span", 3),
    money("exposure", 3),
)
_LIMITS = (
    text("meter"),
    number("count"),
    number("used"),
    number("left"),
    number("reserve left", 1, "reserve_left"),
)
_LATENCY = (
    text("what"),
    number("count", 1),
    number("p50 us", key="p50_us"),
    number("p99 us", key="p99_us"),
    number("max us", 1, "max_us"),
)


def show(result: Mapping[str, Any], *, as_json: bool) -> None:
    """Print the result as tables, or as one JSON document."""
    if as_json:
        print_json(result)
        return
    console = Console()
    stream = result["stream"]
    console.print(
        f"[bold]{result['broker']}[/] ({result['environment']}) account {result['account']}:"
        f" {result['instruments']} instruments, {stream['subscribed']} streamed, {stream['ticking']} ticking,"
        f" {stream['frames']} frames, {stream['ticks']} ticks, {stream['books']} books"
    )
    if result["recorded"]:
        console.print(f"the recording moves {', '.join(result['recorded'])}")

    def table(title: str, columns: tuple[Column, ...], rows: Iterable[Any]) -> None:
        console.print(fitted(console, title, columns, rows))

    table("Orders", _ORDERS, map(_order_row, result["orders"]))
    lives = ({"act": row["act"], "life": " > ".join(_shortened(row["life"]))} for row in result["orders"])
    table("Their lives", _LIVES, (row for row in lives if row["life"]))
    table("Positions", _POSITIONS, result["positions"])
    table("Margins", _MARGINS, ({"segment": name, **row} for name, row in result["margins"].items()))
    limits = result["counters"]["limits"]
    table("Limits", _LIMITS, ({"meter": name, **row} for name, row in limits.items() if isinstance(row, Mapping)))
    latencies = ({"what": name, **row} for name, row in result["latency"].items())
    table("Latency (client and emulator share this process)", _LATENCY, latencies)
    proof = result["proof"]
    for difference in proof["differences"]:
        console.print(f"[red]{difference}[/]")
    verdict = "[green]all agree" if proof["agrees"] else "[red]they differ"
    console.print(
        f"{proof['orders']} orders, {proof['fills']} fills, {proof['positions']} positions: ours, the broker's and the"
        f" exchange's own ledger: {verdict}[/]"
    )


def show_all(results: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Print what every broker made of the same strategy, or all results as one JSON document."""
    if as_json:
        print_json({"brokers": results, "agrees": all(result["proof"]["agrees"] for result in results)})
        return
    console = Console()
    rows = [
        {
            "broker": result["broker"],
            "instruments": result["instruments"],
            "ticks": result["stream"]["ticks"],
            "books": result["stream"]["books"],
            "orders": result["proof"]["orders"],
            "fills": result["proof"]["fills"],
            "positions": result["proof"]["positions"],
            "place": result["latency"]["place to accepted"]["p50_us"],
            "books agree": "yes" if result["proof"]["agrees"] else "NO",
        }
        for result in results
    ]
    console.print(fitted(console, "One strategy, every broker (each emulated on loopback)", _BROKERS, rows))
    acts: dict[str, dict[str, Any]] = {}
    for result in results:
        for row in result["orders"]:
            acts.setdefault(row["act"], {"act": row["act"]})[result["broker"]] = _word(row)
    columns = (text("act"), *(text(result["broker"]) for result in results))
    console.print(fitted(console, "What became of each order", columns, acts.values()))
    for result in results:
        for difference in result["proof"]["differences"]:
            console.print(f"[red]{result['broker']}: {difference}[/]")


def _word(row: Mapping[str, Any]) -> str:
    """Return an outcome in a word short enough for a column of each broker."""
    return str(row.get("kind") or row["outcome"]).replace("_", " ").lower()


def _order_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "act": row["act"],
        "outcome": str(row.get("kind") or row["outcome"]),
        "instrument": row.get("instrument", ""),
        "filled": f"{row['filled']} of {row['quantity']}" if "filled" in row else "",
        "average": row.get("average_price"),
        "why": row.get("text", ""),
    }


def _shortened(life: Iterable[str]) -> list[str]:
    """Fold repeats of one status into ``STATUS x3``."""
    folded: list[tuple[str, int]] = []
    for status in life:
        if folded and folded[-1][0] == status:
            folded[-1] = (status, folded[-1][1] + 1)
        else:
            folded.append((status, 1))
    return [status if count == 1 else f"{status} x{count}" for status, count in folded]
