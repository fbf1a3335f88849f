"""``dragoman conformance``: the scenarios, the table of adapters across them."""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Iterator

import orjson

from dragoman.errors import UsageError
from dragoman.plugin import Adapter
from dragoman.plugin.registry import PluginError, plugins
from dragoman.testing.conformance import Result, Scenario, load_scenarios, run
from dragoman.testing.conformance.report import as_rows, steps_page, table
from dragoman.testing.conformance.runner import Where


def chosen(only: str) -> list[Scenario]:
    """Return the scenarios whose name contains a text.

    Raises
    ------
    UsageError
        None does.
    """
    found = [scenario for name, scenario in load_scenarios().items() if only in name]
    if not found:
        raise UsageError(f"no scenario has {only!r} in its name", remedy="dragoman conformance --list names all")
    return found


def show_list(only: str, *, as_json: bool) -> None:
    """Print name, title and needs of scenarios."""
    rows = [{"name": one.name, "title": one.title, "needs": list(one.needs)} for one in chosen(only)]
    if as_json:
        print(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
        return
    wide = max(len(one.name) for one in chosen(only))
    for one in chosen(only):
        print(f"{one.name.ljust(wide)}  {one.title}")


def show_steps() -> None:
    """Print every step with its meaning."""
    print(steps_page())


def play_all(brokers: list[str], only: str, *, loopback: bool, seed: int, as_json: bool) -> int:
    """Play scenarios against adapters, print the table, return the exit status."""
    scenarios = [one for one in chosen(only) if one.loopback or only or not loopback]
    log = logging.getLogger("dragoman")
    before = log.propagate, list(log.handlers)
    # What the scenarios provoke is warned of, as it should be; here it would hide the table.
    log.propagate, log.handlers = False, [logging.NullHandler()]
    try:
        with tempfile.TemporaryDirectory(prefix="dragoman-") as folder:
            results = list(_played(_adapters(brokers), scenarios, folder, loopback=loopback, seed=seed))
    finally:
        log.propagate, log.handlers = before
    if as_json:
        print(orjson.dumps(as_rows(results), option=orjson.OPT_INDENT_2).decode())
    else:
        print(table(results))
    return 0 if all(result.ok for result in results) else 1


def _played(
    adapters: list[Adapter], scenarios: list[Scenario], folder: str, *, loopback: bool, seed: int
) -> Iterator[Result]:
    shows = sys.stderr.isatty()
    where: Where = "loopback" if loopback else "memory"
    for adapter in adapters:
        for number, scenario in enumerate(scenarios):
            if shows:
                print(f"\r\033[K{adapter.name} {scenario.name}", end="", file=sys.stderr)
            state = f"{folder}/{adapter.name}-{number}"
            yield run(adapter, scenario, where=where, seed=seed, state_dir=state)
    if shows:
        print("\r\033[K", end="", file=sys.stderr)


def _adapters(brokers: list[str]) -> list[Adapter]:
    """Load those named, or all installed that ship an emulator; one that does not load hurts only who names it."""
    found = []
    available = plugins()
    for name in brokers or sorted(available):
        if name not in available:
            raise UsageError(f"no adapter for broker {name!r}", remedy=f"installed: {', '.join(sorted(available))}")
        try:
            adapter = available[name].load()
        except PluginError as error:
            if brokers:
                raise
            print(f"dragoman: left out: {error}", file=sys.stderr)
            continue
        if adapter.emulator:
            found.append(adapter)
        elif brokers:
            raise UsageError(f"{name} ships no emulator", remedy="the kit plays against an adapter's own emulator")
    return found
