"""``dragoman conformance``: the scenarios, the table of adapters across them."""

from __future__ import annotations

import logging
import sys
import tempfile

import orjson

from dragoman.errors import UsageError
from dragoman.plugin import Adapter
from dragoman.plugin.registry import PluginError, plugins
from dragoman.testing.conformance import Result, Scenario, load_scenarios, run
from dragoman.testing.conformance.report import as_rows, table
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


def play_all(brokers: list[str], only: str, *, loopback: bool, seed: int, as_json: bool) -> int:
    """Play scenarios against adapters, print the table, return the exit status."""
    scenarios = [one for one in chosen(only) if one.loopback or only or not loopback]
    results: list[Result] = []
    # What the scenarios provoke is warned of, as it should be; here it would hide the table.
    logging.getLogger("dragoman").addHandler(logging.NullHandler())
    logging.getLogger("dragoman").propagate = False
    with tempfile.TemporaryDirectory(prefix="dragoman-") as folder:
        for adapter in _adapters(brokers):
            for scenario in scenarios:
                if sys.stderr.isatty():
                    print(f"\r\033[K{adapter.name} {scenario.name}", end="", file=sys.stderr)
                where: Where = "loopback" if loopback else "memory"
                state = f"{folder}/{adapter.name}-{len(results)}"
                results.append(run(adapter, scenario, where=where, seed=seed, state_dir=state))
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    if as_json:
        print(orjson.dumps(as_rows(results), option=orjson.OPT_INDENT_2).decode())
    else:
        print(table(results))
    return 0 if all(result.ok for result in results) else 1


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
