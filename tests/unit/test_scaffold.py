"""A generated adapter package loads, works against its own emulator, and its tests fail only where work is left."""

from __future__ import annotations

import ast
import sys
import tomllib

import pytest
from typer.testing import CliRunner

from dragoman.cli.app import app
from dragoman.errors import UsageError
from dragoman.plugin.registry import load_adapter
from dragoman.testing.conformance import load_scenarios, run
from dragoman.testing.scaffold import WORK, left, new_adapter


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Generate a package, and install it as far as an import and an entry point go."""
    root = tmp_path / "generated"
    done = CliRunner().invoke(app, ["new-adapter", "my_broker", str(root)])
    assert done.exit_code == 0, done.output
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    info = tmp_path / "site" / "dragoman_my_broker-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    entries = "".join(f"{k} = {v}\n" for k, v in project["entry-points"]["dragoman.adapters"].items())
    (info / "entry_points.txt").write_text(f"[dragoman.adapters]\n{entries}")
    monkeypatch.syspath_prepend(str(root))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield root
    for name in [name for name in sys.modules if name.partition(".")[0] == "dragoman_my_broker"]:
        del sys.modules[name]


def test_it_loads_and_its_tables_agree(package):
    adapter = load_adapter("my_broker")
    assert (type(adapter).__name__, adapter.title) == ("MyBrokerAdapter", "My Broker")


@pytest.mark.logs  # scenarios provoke what is to be warned of
def test_every_scenario_holds_or_is_not_offered_yet(package):
    adapter = load_adapter("my_broker")
    results = [run(adapter, scenario) for scenario in load_scenarios().values()]
    assert [str(result) for result in results if not result.ok] == []
    passed = {result.scenario for result in results if result.status == "passed"}
    assert {"session/connect", "session/instruments", "session/drop", "data/ltp"} <= passed
    offered = {result.scenario: result.detail for result in results if result.status == "not offered"}
    assert offered["orders/limit_rests"] == "place: not written yet"


def test_each_thing_left_says_what_to_do_and_nothing_else_fails(package):
    todo = left(load_adapter("my_broker"))
    assert set(todo) == set(WORK)
    assert "place" in todo["feature place"]
    assert "api.my_broker.example" in todo["hosts"]
    assert left(load_adapter("zerodha")) == {}


def test_the_generated_test_runs_one_check_for_each_thing_to_do(package):
    text = (package / "tests" / "test_my_broker_adapter.py").read_text()
    assert 'parametrize("task", WORK)' in text
    assert "load_scenarios()" in text


def test_every_generated_python_file_is_sound_and_within_the_house_width(package):
    for path in package.rglob("*.py"):
        ast.parse(path.read_text())
        assert all(len(line) <= 120 for line in path.read_text().splitlines()), path
    assert "$" not in "".join(path.read_text() for path in package.rglob("*.py"))


@pytest.mark.parametrize("name", ["", "My", "9lives", "a-b", "x", "a" * 40, "../up"])
def test_a_name_that_cannot_be_one_is_refused(name):
    with pytest.raises(UsageError, match="expected 2 to 31 lower case"):
        new_adapter(name)


def test_a_name_that_is_taken_and_a_folder_that_holds_something_are_refused(tmp_path):
    runner = CliRunner()
    assert runner.invoke(app, ["new-adapter", "zerodha", str(tmp_path / "new")]).exit_code != 0
    (tmp_path / "mine").write_text("x")
    assert runner.invoke(app, ["new-adapter", "my_broker", str(tmp_path)]).exit_code != 0
    assert not (tmp_path / "pyproject.toml").exists()
