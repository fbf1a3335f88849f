"""The documents on charges and calendars say what the data say."""

from __future__ import annotations

import re
from pathlib import Path

from dragoman.plugin.registry import load_adapter
from dragoman.session.exchange_days import ExchangeDays, packaged

DOCS = Path(__file__).parents[2] / "docs"
BROKERS = ("zerodha", "upstox", "fyers", "alpaca", "binance")


def table(name: str, heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading."""
    part = (DOCS / name).read_text("utf-8").split(heading, 1)[1].split("\n## ", 1)[0]
    rows = [line for line in part.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_every_rate_that_no_document_confirms_is_listed_and_no_other():
    doubts: dict[tuple[str, ...], list[str]] = {}
    for broker in BROKERS:
        for row in load_adapter(broker).charges_table.rows:
            if row.unverified:
                of = ", ".join(sorted(row.exchanges | row.types | row.products | row.sides)) or "all"
                doubts.setdefault((row.name or row.charge, of, row.unverified, row.source), []).append(broker)
    listed = {tuple(cells[1:]): cells[0] for cells in table("charges.md", "## What no document confirms")}
    assert listed == {cells: ", ".join(brokers) for cells, brokers in doubts.items()}


def test_the_covered_years_are_those_of_the_files():
    told = {}
    for _, exchanges, years in table("calendar.md", "# When exchanges trade"):
        told |= dict.fromkeys(exchanges.split(", "), frozenset(map(int, years.split(", "))))
    assert told == dict(packaged().years)


def test_the_calendar_of_the_document_is_read():
    blocks = re.findall(r"```toml\n(.*?)```", (DOCS / "calendar.md").read_text("utf-8"), re.S)
    (own,) = [block for block in blocks if block.startswith("exchanges")]
    days = ExchangeDays.read(own, "calendar.md")
    assert days.years["NSE"] == {2027}
    assert {row.state for row in days.rows.values()} == {"closed", "open"}
