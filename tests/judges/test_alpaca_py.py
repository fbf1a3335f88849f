"""The official `alpaca-py` package, unmodified, against ``dragoman emulate alpaca``."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable

import pytest

from judges.court import HERE, Verdict

SCRIPT = "alpaca_session.py"
CHECKS = re.findall(r"^@check\ndef (\w+)\(", (HERE / SCRIPT).read_text(), re.MULTILINE)

_WATCHLISTS = "watchlists are lists kept for a human, no part of trading"
_CORRECTED = "the venue corrects no bars of minutes"
_TRANSPORT = "the SDK's own transport, called by its other methods"
NOT_CALLED = {
    "get_corporate_announcement_by_id": "corporate actions are left out",
    "get_corporate_announcements": "corporate actions are left out",
    "exercise_options_position": "exercising is left out: the venue expires no options yet",
    "get_option_exchange_codes": "a table of names",
    **dict.fromkeys(
        ("create_watchlist", "delete_watchlist_by_id", "get_watchlist_by_id", "get_watchlists"), _WATCHLISTS
    ),
    **dict.fromkeys(
        ("add_asset_to_watchlist_by_id", "remove_asset_from_watchlist_by_id", "update_watchlist_by_id"), _WATCHLISTS
    ),
    **dict.fromkeys(("get", "post", "put", "patch", "delete", "response_wrapper"), _TRANSPORT),
    **dict.fromkeys(("subscribe_updated_bars", "unsubscribe_updated_bars"), _CORRECTED),
    **dict.fromkeys(("register_trade_cancels", "register_trade_corrections"), "the venue corrects no trades"),
    **dict.fromkeys(("subscribe_trading_statuses", "unsubscribe_trading_statuses"), "the venue tells no halts here"),
    **dict.fromkeys(("close", "stop_ws"), "called by stop"),
}

pytestmark = [pytest.mark.judge, pytest.mark.slow]


@pytest.fixture(scope="module")
def verdict(judge: Callable[..., Verdict]) -> Verdict:
    return judge("alpaca", SCRIPT, "alpaca-py-0.44.0", "alpaca-py==0.44.0")


@pytest.mark.parametrize("name", CHECKS)
def test_alpaca_py_says(verdict: Verdict, name: str) -> None:
    found = verdict.checks.get(name)
    assert found is not None, f"the session ended before {name}:\n{verdict.output[-3000:]}"
    assert found["ok"], found["detail"]


def test_the_session_runs_exactly_the_listed_checks(verdict: Verdict) -> None:
    assert list(verdict.checks) == CHECKS
    assert len(CHECKS) > 30


def test_no_call_left_this_machine(verdict: Verdict) -> None:
    assert verdict.tables["strayed"] == []


def test_sdk_methods_not_called_are_listed_with_a_reason(verdict: Verdict, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(f"{face}.{name}", name, called) for face, name, called in verdict.tables["methods"]]
    with capsys.disabled():
        print(f"\nalpaca-py 0.44.0: {sum(called for *_, called in rows)} of {len(rows)} methods called")
        for whole, name, called in rows:
            print(f"  {whole:<60} {'called' if called else NOT_CALLED.get(name, 'NOT CALLED')}")
    assert {name for _, name, called in rows if not called} - set(NOT_CALLED) == set()
    assert set(NOT_CALLED) - {name for _, name, called in rows if not called} == set()


def assertions_by_check() -> dict[str, int]:
    """Count what each check holds the SDK's answers to: its own assertions, and refusals of one stated kind."""
    counts: dict[str, int] = {}
    for node in ast.parse((HERE / SCRIPT).read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name in CHECKS:
            parts = list(ast.walk(node))
            calls = [part for part in parts if isinstance(part, ast.Call) and isinstance(part.func, ast.Name)]
            refusals = sum(part.func.id == "refused" for part in calls if isinstance(part.func, ast.Name))
            counts[node.name] = sum(isinstance(part, ast.Assert) for part in parts) + refusals
    return counts


def test_every_method_that_is_called_is_held_to_values(verdict: Verdict) -> None:
    counts = assertions_by_check()
    called = {name: set(checks) for name, checks in verdict.tables["calls"].items()}
    held = {name: sum(counts.get(check, 0) for check in checks) for name, checks in called.items()}
    assert {name: count for name, count in held.items() if count < 2} == {}


def test_the_host_saw_no_error_of_ours(verdict: Verdict) -> None:
    host = verdict.tables["host"]
    assert host["upgrades"] >= 5
    assert [host[name] for name in ("emulator_errors", "bad_requests", "protocol_faults", "slow_readers")] == [0] * 4
