"""The official `kiteconnect` package, unmodified, against ``dragoman emulate zerodha``."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from judges.court import HERE, Verdict, assertions_by_check

SCRIPT = "kiteconnect_session.py"
CHECKS = re.findall(r"^@check\ndef (\w+)\(", (HERE / SCRIPT).read_text(), re.MULTILINE)

NOT_CALLED = {
    "KiteConnect.place_mf_order": "mutual funds are out of scope; their reads are shown to be refused",
    "KiteConnect.cancel_mf_order": "mutual funds",
    "KiteConnect.place_mf_sip": "mutual funds",
    "KiteConnect.modify_mf_sip": "mutual funds",
    "KiteConnect.cancel_mf_sip": "mutual funds",
    "KiteConnect.mf_instruments": "mutual funds",
    "KiteTicker.stop": "stops the reactor of the whole process",
    "KiteTicker.stop_retry": "called by close",
}

pytestmark = [pytest.mark.judge, pytest.mark.slow]


@pytest.fixture(scope="module")
def verdict(judge: Callable[..., Verdict]) -> Verdict:
    return judge("zerodha", SCRIPT, "kiteconnect-5.2.2", "kiteconnect==5.2.2")


@pytest.mark.parametrize("name", CHECKS)
def test_the_sdk_says(verdict: Verdict, name: str) -> None:
    found = verdict.checks.get(name)
    assert found is not None, f"the session ended before {name}:\n{verdict.output[-3000:]}"
    assert found["ok"], found["detail"]


def test_the_session_runs_exactly_the_listed_checks(verdict: Verdict) -> None:
    assert list(verdict.checks) == CHECKS
    assert len(CHECKS) > 50


def test_sdk_methods_not_called_are_listed_with_a_reason(verdict: Verdict, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(f"{face}.{name}", called) for face, name, called in verdict.tables["methods"]]
    with capsys.disabled():
        print(f"\nkiteconnect 5.2.2: {sum(called for _, called in rows)} of {len(rows)} methods called")
        for name, called in rows:
            print(f"  {name:<45} {'called' if called else NOT_CALLED.get(name, 'NOT CALLED')}")
    assert {name for name, called in rows if not called} == set(NOT_CALLED)


def test_every_rest_method_is_held_to_values(verdict: Verdict, capsys: pytest.CaptureFixture[str]) -> None:
    """A method counts the assertions of the checks that call it; one that is merely called has none."""
    counts = assertions_by_check(SCRIPT, CHECKS)
    called = {name: set(checks) for name, checks in verdict.tables["calls"].items()}
    held = {name: sum(counts.get(check, 0) for check in checks) for name, checks in called.items()}
    wanted = {name for face, name, was in verdict.tables["methods"] if face == "KiteConnect" and was}
    with capsys.disabled():
        print()
        for name in sorted(wanted):
            print(f"  {name:<30} {held.get(name, 0):>4} assertions in {len(called.get(name, ()))} checks")
    mutual_funds = {name for name in wanted if name.startswith("mf_")}  # shown to be refused, no more
    assert {name: held.get(name, 0) for name in wanted - mutual_funds if held.get(name, 0) < 2} == {}


def test_the_host_saw_no_error_of_ours(verdict: Verdict) -> None:
    host = verdict.tables["host"]
    assert host["upgrades"] >= 3
    assert {name: host[name] for name in ("emulator_errors", "bad_requests", "protocol_faults", "slow_readers")} == {
        "emulator_errors": 0,
        "bad_requests": 0,
        "protocol_faults": 0,
        "slow_readers": 0,
    }
