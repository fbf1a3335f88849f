"""Plugins are found by entry point; one that cannot be used names its distribution and hurts no other."""

from __future__ import annotations

import sys
import textwrap

import pytest

from dragoman.cli.brokers import describe
from dragoman.errors import UsageError
from dragoman.plugin import Adapter
from dragoman.plugin.registry import PluginError, emulator_factory, load_adapter, plugins

GOOD = """
    from dragoman.adapters.zerodha import ZerodhaAdapter

    class Made(ZerodhaAdapter):
        contract = 1
        name = "{name}"
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a distribution with one adapter module on the path: ``install(dist, name, source)``."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(dist: str, name: str, source: str, *, attribute: str = "Made", entry: str | None = None) -> None:
        module = f"plugin_of_{dist.replace('-', '_')}"
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source).format(name=name))
        info = tmp_path / f"{dist.replace('-', '_')}-2.5.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: 2.5\n")
        target = f"{module}:{attribute}"
        (info / "entry_points.txt").write_text(f"[dragoman.adapters]\n{entry or name} = {target}\n")
        monkeypatch.delitem(sys.modules, module, raising=False)

    return make


def test_an_adapter_of_another_distribution_loads_by_its_name(install):
    install("good-broker", "goodbroker", GOOD)
    adapter = load_adapter("goodbroker")
    assert (adapter.name, type(adapter).__name__) == ("goodbroker", "Made")
    assert describe(plugins()["goodbroker"])["distribution"] == "good-broker 2.5"


BAD = {
    "raises at import": ("raise ZeroDivisionError('oops')", "ZeroDivisionError: oops"),
    "leaves at import": ("raise SystemExit(3)", "SystemExit: 3"),
    "lacks the class": ("x = 1", "AttributeError"),
    "imports what is not there": ("import no_such_module_anywhere", "ModuleNotFoundError"),
    "is no class": ("Made = 5", "not a subclass"),
    "is no adapter": ("class Made: contract = 1", "not a subclass"),
    "speaks another contract": (GOOD.replace("contract = 1", "contract = 2"), "speaks contract 2, this is contract 1"),
    "does not say its contract": (
        "from dragoman.plugin import Adapter\nclass Made(Adapter): name = '{name}'",
        "does not say which contract",
    ),
    "has another name": (GOOD.replace('"{name}"', '"other"'), "calls itself 'other'"),
    "has no name": (
        "from dragoman.plugin import Adapter\nclass Made(Adapter): contract = 1",
        "calls itself None",
    ),
    "lacks its tables": (
        "from dragoman.plugin import Adapter\nclass Made(Adapter):\n  contract = 1\n  name = '{name}'",
        "title is NoneType, expected str",
    ),
    "has a table of the wrong kind": (GOOD + "        capabilities = {{}}\n", "capabilities is dict, expected Capab"),
    "cannot be made": (GOOD + "        def __init__(self, needed): pass\n", "cannot be made: TypeError"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_plugin_that_cannot_be_used_names_its_distribution_and_hurts_no_other(case, install):
    source, expected = BAD[case]
    install("bad-broker", "badbroker", source)
    with pytest.raises(PluginError) as caught:
        load_adapter("badbroker")
    assert "bad-broker 2.5" in str(caught.value)
    assert expected in str(caught.value)
    assert load_adapter("zerodha").name == "zerodha"
    row = describe(plugins()["badbroker"])
    assert (row["loads"], row["distribution"]) == (False, "bad-broker 2.5")
    assert expected in row["error"]


def test_a_name_that_two_distributions_offer_loads_from_neither_and_the_others_load(install):
    install("one-broker", "twin", GOOD)
    install("two-broker", "twin", GOOD)
    with pytest.raises(PluginError) as caught:
        load_adapter("twin")
    assert "one-broker" in str(caught.value)
    assert "two-broker" in str(caught.value)
    assert load_adapter("zerodha").name == "zerodha"


def test_an_unknown_broker_names_the_nearest():
    with pytest.raises(UsageError, match="zerodha"):
        load_adapter("zerodah")
    with pytest.raises(UsageError, match=r"installed: .*zerodha"):
        load_adapter("nothing like it")


def test_listing_imports_nothing(install):
    install("lazy-broker", "lazybroker", "raise ZeroDivisionError")
    assert "lazybroker" in plugins()
    assert "plugin_of_lazy_broker" not in sys.modules


@pytest.mark.parametrize("target", ["no.such.module:make", "json:no_such_thing", "json"])
def test_an_emulator_that_does_not_load_is_a_typed_error(target):
    adapter = load_adapter("zerodha")
    adapter.emulator = target
    with pytest.raises(PluginError, match="does not load"):
        emulator_factory(adapter)


def test_an_adapter_without_an_emulator_says_so():
    class Plain(Adapter):
        name = "plain"

    with pytest.raises(UsageError, match="ships no emulator"):
        emulator_factory(Plain())
