"""Which parts of a margin each broker tells: the table of docs/margin.md, held against every emulator."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dragoman.connecting import connect
from dragoman.model import Segment
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.session.secrets import as_secret
from dragoman.testing.emulated import browser, emulated

PAGE = Path(__file__).parents[2] / "docs" / "margin.md"


def table() -> dict[str, dict[str, str]]:
    """Return what the page says: broker (and segment) -> part -> word."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    start = next(at for at, line in enumerate(lines) if line.startswith("| part |"))
    head = [cell.strip() for cell in lines[start].strip("|").split("|")]
    found: dict[str, dict[str, str]] = {name: {} for name in head[1:]}
    for line in lines[start + 2 :]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not cells[0].startswith("`"):
            break
        for name, cell in zip(head[1:], cells[1:], strict=True):
            found[name][cells[0].strip("`")] = cell
    return found


async def margins(runtime, broker):
    async with emulated(runtime, broker) as (_, overrides):
        secrets = {name: as_secret(value) for name, value in overrides["credentials"].items()}
        connecting = connect(
            broker,
            "test",
            environment="emulator",
            overrides=overrides | {"credentials": secrets},
            state_dir="/state",
            runtime=runtime,
            open_url=browser(runtime),
            load_instruments=False,
            load_orders=False,
            streams=False,
        )
        async with asyncio.timeout(600), connecting as client:
            return await client.margins()


def told(margin, part: str) -> bool:
    found = margin
    for name in part.split("."):
        found = getattr(found, name)
    return found is not None


@pytest.mark.parametrize("column", table())
def test_the_parts_that_the_page_names_are_told_and_no_others(column):
    broker, _, segment = column.partition(" ")
    with VirtualRuntime(seed=7) as runtime:
        found = runtime.run(margins(runtime, broker))
    margin = found[Segment(segment)] if segment else next(iter(found.values()))
    says = table()[column]
    assert {part for part, word in says.items() if not word.startswith("no")} == {
        part for part in says if told(margin, part)
    }
