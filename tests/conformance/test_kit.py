"""The kit itself: scenarios that cannot be read say where and why, differences must be true, what lacks is named."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from dragoman.adapters.zerodha.adapter import ZerodhaAdapter
from typer.testing import CliRunner

from conformance import faulty
from dragoman.cli.app import app
from dragoman.errors import UsageError
from dragoman.plugin import no
from dragoman.plugin.registry import load_adapter, plugins
from dragoman.testing.conformance import (
    DifferenceError,
    ScenarioError,
    differences_of,
    load_scenarios,
    read_differences,
    read_scenario,
    run,
)
from dragoman.testing.conformance.differences import check
from dragoman.testing.conformance.grammar import VERBS
from dragoman.testing.conformance.needs import MORE
from dragoman.testing.conformance.report import as_rows, steps_page, table

HEAD = "scenario: something\n\n"


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("connect\n", 1, "scenario: what it claims"),
        (HEAD, 1, "at least one"),
        (HEAD + "conect\n", 3, "expected connect"),
        (HEAD + "connect\nexpect o1 OPENED\n", 4, "OPENED"),
        (HEAD + "connect\nplace o1 BUY ten A MARKET\n", 4, "a number"),
        (HEAD + "connect\nplace o1 BUY 1 Z MARKET\n", 4, "one of A, B, C"),
        (HEAD + "connect\nplace o1 BUY 1 A LIMIT at 5%%\n", 4, "a price such as"),
        (HEAD + "connect\nplace o1 BUY 1 A LIMIT at -5% wit 3\n", 4, "terms at, trigger"),
        (HEAD + "connect\nclose fails with NONSENSE\n", 4, "kinds of errors"),
        (HEAD + "connect\nwait 3\n", 4, "a duration"),
        ("scenario: one\nallows: everything\nconnect\n", 2, "everything"),
        ("scenario: one\nruns: on the moon\nconnect\n", 2, "on loopback too"),
    ],
)
def test_a_scenario_that_cannot_be_read_names_file_line_and_what_was_expected(text, line, expected):
    with pytest.raises(ScenarioError, match=re.escape(f"scenario orders/mine, line {line}: ")) as caught:
        read_scenario(text, "orders/mine")
    assert expected in str(caught.value)


def test_remarks_blanks_and_capitals_are_read_as_a_human_reads_them():
    read = read_scenario("# why\nscenario: one\nneeds: place ,  quotes\n\n  connect  \n# then\nclose", "orders/mine")
    assert (read.title, read.needs) == ("one", ("place", "quotes"))
    assert [(step.text, step.number) for step in read.steps] == [("connect", 5), ("close", 7)]


def test_an_unknown_need_is_an_error_not_a_skip():
    with pytest.raises(UsageError, match="need 'plaice' is not known"):
        run("zerodha", read_scenario("scenario: one\nneeds: plaice\nconnect", "orders/mine"))


def test_what_a_broker_lacks_is_said_in_the_adapters_own_words():
    class Less(ZerodhaAdapter):
        capabilities = replace(
            ZerodhaAdapter.capabilities, features={**ZerodhaAdapter.capabilities.features, "candles": no("none kept")}
        )

    result = run(Less(), "data/candles")
    assert (result.status, result.detail) == ("not offered", "candles: none kept")
    assert run("zerodha", "orders/gtc").detail.startswith("GTC: orders live for the day")


def test_an_adapter_without_an_emulator_is_not_offered():
    class Bare(ZerodhaAdapter):
        emulator = ""

    assert run(Bare(), "session/connect").detail == "it ships no emulator"


def test_a_step_that_fails_names_its_line_what_was_found_and_what_was_expected():
    result = run("zerodha", read_scenario("scenario: one\nconnect\nexpect 3 logins", "session/mine"))
    assert (result.status, result.line, result.step) == ("failed", 3, "expect 3 logins")
    assert result.detail == "1 logins, expected 3"
    assert not result.ok
    assert "session/mine line 3 (expect 3 logins): failed" in str(result)


def test_an_error_nobody_expected_fails_and_an_expected_one_that_does_not_come_fails():
    odd = read_scenario("scenario: one\nconnect\nsubscribe to nothing there is", "data/mine")
    assert "INSTRUMENT_NOT_FOUND" in run("zerodha", odd).detail
    even = read_scenario("scenario: one\nconnect\nread orders fails with RATE_LIMITED", "orders/mine")
    assert run("zerodha", even).detail == "it succeeded, expected RATE_LIMITED"


# -- differences -------------------------------------------------------------------------------------------------------

LINE = "expect o1 OPEN filled 0 remaining 10 price -5% quantity 10"


def declared(scenario: str = "orders/limit_rests", **more: str):
    given = {"line": LINE, "instead": "expect o1 ACCEPTED", "reason": "it says so", "source": "page 3"} | more
    rows = "\n".join(f"{key} = '''{value}'''" for key, value in {"scenario": scenario, **given}.items() if value != "-")
    return read_differences(f"[[difference]]\n{rows}\n", "here")


def test_a_declared_difference_replaces_the_line_and_is_told():
    instead = "expect o1 ACCEPTED filled 0\nexpect the venue has 1 orders"
    like = "expect o1 like the venue's"
    rows = declared(instead=instead) + declared(line=like, instead="expect o1 was never REJECTED")
    result = run(faulty.wrong_status_map(), "orders/limit_rests", differences=rows)
    assert (result.status, result.detail) == ("differs", "it says so; it says so")
    assert "differs" in table([result])


def test_a_difference_that_no_longer_occurs_fails():
    result = run(ZerodhaAdapter(), "orders/limit_rests", differences=declared())
    assert (result.status, result.step) == ("failed", LINE)
    assert "the declared difference is gone" in result.detail


def test_what_stands_instead_must_hold():
    result = run(faulty.wrong_status_map(), "orders/limit_rests", differences=declared(instead="expect o1 FILLED"))
    assert result.status == "failed"


def test_a_scenario_that_cannot_hold_must_fail_as_declared():
    whole = declared(line="-", instead="-", fails="is ACCEPTED")
    assert run(faulty.wrong_status_map(), "orders/limit_rests", differences=whole).status == "differs"
    assert "is gone" in run(ZerodhaAdapter(), "orders/limit_rests", differences=whole).detail
    other = declared(line="-", instead="-", fails="something else")
    assert run(faulty.wrong_status_map(), "orders/limit_rests", differences=other).status == "failed"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"reason": "-"}, "no reason"),
        ({"source": "-"}, "no source"),
        ({"line": "-"}, "either line"),
        ({"fails": "x"}, "either line"),
        ({"because": "x"}, "keys because"),
        ({"instead": "expct nothing"}, "line 1 of instead"),
        ({"instead": ""}, "both or neither"),
        ({"line": "-", "fails": "x"}, "both or neither"),
    ],
)
def test_a_difference_that_cannot_be_read_says_which_and_why(more, expected):
    with pytest.raises(UsageError, match=expected):
        declared(**more)


def test_a_difference_must_name_a_scenario_and_a_line_that_exist():
    with pytest.raises(DifferenceError, match="no scenario 'orders/nowhere'"):
        check(declared("orders/nowhere"), load_scenarios(), "here")
    with pytest.raises(DifferenceError, match="has no line 'close'"):
        check(declared(line="close"), load_scenarios(), "here")
    with pytest.raises(DifferenceError, match="here: "):
        read_differences("[[difference", "here")


def test_a_row_that_does_not_fit_its_scenario_fails_that_scenario_and_hurts_no_other():
    rows = declared(line="close")
    assert "has no line 'close'" in run(ZerodhaAdapter(), "orders/limit_rests", differences=rows).detail
    assert run(ZerodhaAdapter(), "orders/cancel", differences=rows).ok


@pytest.mark.parametrize("name", sorted(plugins()))
def test_what_is_declared_beside_each_installed_adapter_fits_the_scenarios(name):
    check(differences_of(load_adapter(name)), load_scenarios(), name)


# -- the rest ----------------------------------------------------------------------------------------------------------


def test_the_table_counts_and_gives_reasons():
    results = [run("zerodha", name) for name in ("orders/limit_rests", "orders/gtc")]
    shown = table(results)
    assert "zerodha: 1 passed, 0 differ, 1 not offered, 0 failed" in shown
    assert "zerodha does not offer orders/gtc: GTC: orders live for the day" in shown
    assert [row["status"] for row in as_rows(results)] == ["passed", "not offered"]


def test_the_same_seed_gives_the_same_result_and_another_seed_another_market():
    assert run("zerodha", "orders/partial_fill", seed=3) == run("zerodha", "orders/partial_fill", seed=3)


def test_every_step_is_used_and_the_page_describes_them_and_every_need(pytestconfig):
    page = (pytestconfig.rootpath / "docs" / "conformance.md").read_text()
    assert steps_page() in page, "the last part of docs/conformance.md is what `dragoman conformance --steps` prints"
    steps = [step for one in load_scenarios().values() for step in one.steps]
    steps += [step.arguments["what"] for step in steps if "what" in step.arguments]
    used = {step.verb.pattern for step in steps}
    spare = {verb.pattern for verb in VERBS} - used
    assert spare == set(), f"steps that no scenario uses: {sorted(spare)}"
    for need in MORE:
        assert f"`{need}`" in page


def test_the_command_prints_the_table_and_fails_with_a_scenario():
    runner = CliRunner()
    done = runner.invoke(app, ["conformance", "zerodha", "-k", "orders/limit_rests"])
    assert (done.exit_code, "1 passed" in done.stdout) == (0, True)
    rows = json.loads(runner.invoke(app, ["conformance", "zerodha", "-k", "orders/gtc", "--json"]).stdout)
    assert [(row["scenario"], row["status"]) for row in rows] == [("orders/gtc", "not offered")]
    assert "orders/partial_fill" in runner.invoke(app, ["conformance", "--list"]).stdout
    assert runner.invoke(app, ["conformance", "zerodha", "-k", "nothing of that name"]).exit_code != 0
    assert runner.invoke(app, ["conformance", "nobody"]).exit_code != 0
