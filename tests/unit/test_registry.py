"""Plugins are found by entry point; one that cannot be used names its distribution and hurts no other."""

from __future__ import annotations

import sys
import textwrap

import pytest

from dragoman.cli.brokers import describe
from dragoman.errors import UsageError
from dragoman.plugin import Adapter
from dragoman.plugin.capabilities import FEATURES, MORE_FEATURES
from dragoman.plugin.cross_check import FLOWS
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
    "has a feed that is none": (GOOD + "        feeds = (5,)\n", "feeds[0] is 5, expected a subclass of Feed"),
    "has a limit that is none": (GOOD + "        limits = ('fast',)\n", "limits[0] is str, expected RateLimit"),
    "cannot be made": (GOOD + "        def __init__(self, needed): pass\n", "cannot be made: TypeError"),
}


TABLES = """
    from dataclasses import replace
    from dragoman.adapters.zerodha import ZerodhaAdapter
    from dragoman.adapters.zerodha.feed import STREAM, Ticker
    from dragoman.plugin import Adapter, Field, RateLimit, Scope, no

    OURS = ZerodhaAdapter.capabilities
    LAYOUTS = STREAM.layouts

    class Made(ZerodhaAdapter):
        contract = 1
        name = "{name}"
"""
FEED = """
    class Other(Ticker):
        {{0}}

    Made.feeds = (Other,)
"""


def feed(line: str) -> str:
    return TABLES + FEED.replace("{{0}}", line)


CONTRADICTIONS = {
    "layout does not compile": (
        feed("layouts = replace(STREAM, layouts=(replace(LAYOUTS[1], size=4),))"),
        "feeds.Other.layouts: stream 'zerodha-ticker': layout 'ltp': field 'last_price': found offset 4",
    ),
    "layouts are something else": (feed("layouts = 5"), "feeds.Other.layouts is int, expected a PackedStream"),
    "layouts carry a mode that is not offered": (
        TABLES + "        capabilities = replace(OURS, modes=OURS.modes - {{'ltp'}})\n",
        "feeds.Ticker.layouts carries mode ltp, expected those of capabilities.modes: full, quote",
    ),
    "layouts carry other depth": (
        TABLES + "        capabilities = replace(OURS, depth_levels=(20,))\n",
        "feeds.Ticker.layouts.full carries 5 levels, expected one of capabilities.depth_levels: 20",
    ),
    "modes without a feed": (
        TABLES + "        feeds = ()\n",
        "capabilities.modes is full, ltp, quote, expected a feed of kind 'market'",
    ),
    "order stream without a feed": (
        feed("carries_orders = False"),
        "capabilities.features['order_stream'] is offered, expected a feed that carries orders",
    ),
    "a feed of orders that nothing offers": (
        TABLES
        + "        capabilities = replace(OURS, features=dict(OURS.features) | {{'order_stream': no('none')}})\n",
        "capabilities.features['order_stream'] is not offered, expected no such feed",
    ),
    "two feeds of a kind": (
        TABLES + "\n    Made.feeds = (Ticker, Ticker)\n",
        "feeds: 2 streams named 'market', expected one",
    ),
    "feature without its flow": (
        TABLES + "        alert_history = Adapter.alert_history\n",
        "capabilities.features['alerts'] is offered, expected the adapter to define alert_history",
    ),
    "orders without a book": (TABLES + "        orders = Adapter.orders\n", "orders is not defined"),
    "refresh without its flow": (
        TABLES + "        session = replace(ZerodhaAdapter.session, refresh='token')\n",
        "session.refresh is 'token', expected the adapter to define refresh",
    ),
    "segment without a unit": (
        TABLES + "        capabilities = replace(OURS, quantity_unit={{}})\n",
        "capabilities.quantity_unit lacks BCD, BFO, BSE, CDS, MCX, NFO, NSE",
    ),
    "no default meter": (
        TABLES + "        limits = (RateLimit('orders', 10, '1s'),)\n",
        "limits name the meters orders, expected 'default' too",
    ),
    "a period nobody reads": (
        TABLES + "        limits = (RateLimit('default', 10, 'second'),)\n",
        "limits: default: period 'second': expected a whole number",
    ),
    "a limit without a period": (
        TABLES + "        limits = (RateLimit('default', 10),)\n",
        "limits: default of scope account has per '', expected a period",
    ),
    "an order's limit with a period": (
        TABLES + "        limits = (RateLimit('default', 25, '1s', Scope.ORDER),)\n",
        "limits: default of scope order has per '1s', expected none",
    ),
    "a reserve of everything": (
        TABLES + "        limits = (RateLimit('default', 10, '1s', reserve=10),)\n",
        "has count 10 and reserve 10, expected a count of at least 1 and a reserve below it",
    ),
}
BAD |= CONTRADICTIONS


def test_all_contradictions_are_named_at_once(install):
    install(
        "bad-broker", "badbroker", TABLES + "        feeds = ()\n        limits = (RateLimit('orders', 0, '1s'),)\n"
    )
    with pytest.raises(PluginError, match=r"limits name the meters.*count 0.*capabilities\.modes.*order_stream") as one:
        load_adapter("badbroker")
    assert "contradict" in str(one.value.remedy)


def test_every_feature_with_a_flow_is_known_to_the_cross_check():
    for feature, flows in FLOWS.items():
        assert feature in FEATURES | MORE_FEATURES
        assert all(callable(getattr(Adapter, name)) for name in flows)
    without = {"order_stream", "bracket", "slice"}  # no flow of their own: a feed, or ways to place
    assert set(FLOWS) == (FEATURES | MORE_FEATURES) - without


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
