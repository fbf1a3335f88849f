"""Every installed adapter plays every scenario in memory, and those marked for it over real sockets."""

from __future__ import annotations

import pytest

from dragoman.plugin.registry import PluginError, plugins
from dragoman.testing.conformance import load_scenarios, run

SCENARIOS = load_scenarios()


def adapters():
    """Installed adapters that ship an emulator; one that does not load is somebody else's failing test."""
    for name, plugin in sorted(plugins().items()):
        try:
            adapter = plugin.load()
        except PluginError:
            continue
        if adapter.emulator:
            yield name


ADAPTERS = list(adapters())


@pytest.mark.logs  # scenarios provoke what is to be warned of
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_the_scenario_holds_in_memory_or_its_difference_is_declared(adapter, scenario):
    result = run(adapter, scenario)
    assert result.ok, str(result)


@pytest.mark.logs  # as above
@pytest.mark.parametrize("scenario", [name for name, one in SCENARIOS.items() if one.loopback])
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_the_scenario_holds_over_real_sockets(adapter, scenario, tmp_path):
    result = run(adapter, scenario, where="loopback", state_dir=str(tmp_path))
    assert result.ok, str(result)


def test_there_are_scenarios_of_each_sort_and_every_title_is_a_claim_of_its_own():
    assert len(SCENARIOS) >= 80
    assert {name.split("/")[0] for name in SCENARIOS} == {"data", "orders", "session"}
    titles = [one.title for one in SCENARIOS.values()]
    assert len(set(titles)) == len(titles)
