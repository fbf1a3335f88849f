"""``dragoman rules``: what is armed stays armed between commands, and what becomes of it is told."""

from __future__ import annotations

import json

import pytest

from dragoman.cli.rules import rule_of
from dragoman.errors import UsageError
from wire.shell import Shell

ABOUT = ("NSE:INFY", "--product", "INTRADAY")


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    shell = Shell(tmp_path_factory.mktemp("shell"), columns=160)
    with shell.emulator():
        assert shell("login").status == 0
        assert shell("place", "BUY", 10, "NSE:INFY", "--product", "INTRADAY", "--yes", "--wait", "5").status == 0
        yield shell


def listed(shell, *options):
    return {one["rule_id"]: one["status"] for one in shell("rules", "list", *options, "--json").json}


def test_a_rule_is_asked_for_armed_listed_run_and_cancelled(shell):
    ran = shell("rules", "add", "stop", *ABOUT, "--price", "700", "--name", "low", typed="y\n")
    assert (ran.status, ran.out) == (2, "")
    assert "--yes" in ran.line
    ran = shell("rules", "add", "stop", *ABOUT, "--price", "700", "--name", "low", "--yes")
    assert ran.status == 0, ran.err
    assert "low StopLoss NSE:INFY is ARMED" in ran.out
    assert "Nothing guards the position while no process runs" in ran.out
    assert "dragoman rules run" in ran.out
    assert listed(shell) == {"low": "ARMED"}
    assert "StopLoss" in shell("rules", "list").out
    ran = shell("rules", "run", "--seconds", "1", "--json")
    assert ran.status == 0
    told = [(line["status"], line["reason"]) for line in map(json.loads, ran.out.splitlines())]
    assert told == [("ARMED", "added")]  # once, although the rule comes back from an earlier run
    assert shell("rules", "cancel", "low", "--yes").status == 0
    assert listed(shell) == {}
    assert listed(shell, "--all") == {"low": "CANCELED"}
    again = shell("rules", "add", "stop", *ABOUT, "--price", "700", "--name", "low", "--yes")
    assert again.status == 2
    assert "was used before" in again.line


def test_a_rule_beyond_the_market_exits_once_the_rules_run(shell):
    ran = shell(
        "rules", "add", "stop", *ABOUT, "--price", "9000", "--quantity", "4", "--name", "part", "--yes", "--json"
    )
    assert ran.json["rule"]["quantity"] == "4"
    ran = shell("rules", "run", "--seconds", "6", "--json")
    told = [line["status"] for line in map(json.loads, ran.out.splitlines()) if line["rule_id"] == "part"]
    assert told[-1] == "DONE", ran.out
    (held,) = [one for one in shell("positions", "--json").json if one["instrument_id"] == "NSE:INFY"]
    assert float(held["quantity"]) == 6


@pytest.mark.parametrize(
    ("terms", "warned"),
    [
        (("stop", "--price", "9000"), True),
        (("stop", "--price", "700"), False),
        (("target", "--price", "700"), True),
        (("target", "--price", "9000"), False),
        (("pair", "--stop", "700", "--target", "800"), True),
        (("pair", "--stop", "700", "--target", "9000"), False),
        (("trail", "--percent", "90"), False),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_level_that_the_market_is_beyond_is_warned_of_and_can_be_taken_back(shell, terms, warned):
    kind, *levels = terms
    ran = shell("rules", "add", kind, *ABOUT, *levels, "--yes", "--json")
    rule_id = ran.json["rule"]["rule_id"]
    try:
        assert ran.status == 0
        assert ("beyond it already" in ran.err) is warned
        assert (f"dragoman rules cancel {rule_id}" in ran.err) is warned
    finally:
        assert shell("rules", "cancel", rule_id, "--yes").status == 0


def test_a_clock_is_armed_for_its_next_time(shell):
    ran = shell("rules", "add", "time", *ABOUT, "--at", "15:15", "--yes", "--json")
    assert ran.json["rule"]["due_ns"] > 0
    assert shell("rules", "cancel", ran.json["rule"]["rule_id"], "--yes").status == 0


@pytest.mark.parametrize(
    ("kind", "terms", "says"),
    [
        ("guess", {}, "use one of stop"),
        ("pair", {"stop": "1"}, "--target"),
        ("stop", {"price": "x"}, "price"),
        ("time", {"at": "15:00", "price": "5"}, "takes no --price"),
        ("stop", {"price": "5", "product": "HOUSE"}, "product"),
        ("trail", {}, "no level is named .*--price, --percent or --ticks"),
        ("stop", {"price": "5", "percent": "1"}, "2 levels are named"),
        ("time", {}, "give --at"),
    ],
)
def test_what_was_typed_wrongly_is_refused_by_name(kind, terms, says):
    with pytest.raises(UsageError, match=says):
        rule_of(kind, "NSE:INFY", terms)
