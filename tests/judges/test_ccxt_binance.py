"""`ccxt`, unmodified, REST and WebSocket halves, against ``dragoman emulate binance``."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable

import pytest

from judges.court import HERE, Verdict

SCRIPT = "ccxt_binance_session.py"
CHECKS = re.findall(r"^@check\n(?:async )?def (\w+)\(", (HERE / SCRIPT).read_text(), re.MULTILINE)
SCOPE = """
load_markets fetch_time fetch_ticker fetch_tickers fetch_bids_asks fetch_order_book fetch_ohlcv fetch_trades
fetch_funding_rate fetch_balance create_order create_market_buy_order_with_cost edit_order cancel_order
cancel_all_orders fetch_order fetch_orders fetch_open_orders fetch_closed_orders fetch_my_trades fetch_order_trades
fetch_positions fetch_positions_risk fetch_position_mode set_position_mode
watch_order_book watch_trades watch_ticker watch_bids_asks watch_mark_price watch_orders watch_my_trades watch_balance
create_order_ws edit_order_ws cancel_order_ws fetch_order_ws fetch_open_orders_ws fetch_balance_ws fetch_my_trades_ws
""".split()
"""Every method of the library that the product's scope needs: REST, market streams, user streams, orders by socket."""
NOT_CALLED = {
    "watch_ohlcv": "the emulator streams no candles; the adapter subscribes none",
    "watch_positions": "positions are read by request here; ACCOUNT_UPDATE is sent and arrives as a notice",
    "create_orders": "batch orders are not built",
    "set_leverage, set_margin_mode": "account settings are not in the product's scope",
    "transfers, deposits, withdrawals, loans, options, COIN-M, margin": "not in the product's scope",
}

pytestmark = [pytest.mark.judge, pytest.mark.slow]


@pytest.fixture(scope="module")
def verdict(judge: Callable[..., Verdict]) -> Verdict:
    return judge("binance", SCRIPT, "ccxt-4.5.90", "ccxt==4.5.90")


@pytest.mark.parametrize("name", CHECKS)
def test_the_library_says(verdict: Verdict, name: str) -> None:
    found = verdict.checks.get(name)
    assert found is not None, f"the session ended before {name}:\n{verdict.output[-3000:]}"
    assert found["ok"], found["detail"]


def test_the_session_runs_exactly_the_listed_checks(verdict: Verdict) -> None:
    assert sorted(verdict.checks) == sorted(CHECKS)
    assert len(CHECKS) >= 30


def assertions_by_check() -> dict[str, int]:
    """Count what each check holds the library's answers to: its own assertions, and refusals of one stated kind."""
    counts: dict[str, int] = {}
    for node in ast.parse((HERE / SCRIPT).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in CHECKS:
            parts = list(ast.walk(node))
            refusals = sum(
                isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id == "refused"
                for part in parts
            )
            counts[node.name] = sum(isinstance(part, ast.Assert) for part in parts) + refusals
    return counts


def test_every_method_in_scope_is_held_to_values(verdict: Verdict, capsys: pytest.CaptureFixture[str]) -> None:
    counts = assertions_by_check()
    held = {name: sum(counts.get(one, 0) for one in checks) for name, checks in verdict.tables["calls"].items()}
    with capsys.disabled():
        print(f"\nccxt 4.5.90: {sum(name in held for name in SCOPE)} of {len(SCOPE)} methods in scope called")
        for name in SCOPE:
            print(
                f"  {name:<36} {held.get(name, 0):>4} assertions in {len(verdict.tables['calls'].get(name, ()))} checks"
            )
        for name, reason in NOT_CALLED.items():
            print(f"  {name:<36} not called: {reason}")
    assert {name: held.get(name, 0) for name in SCOPE if held.get(name, 0) < 1} == {}


def test_the_host_saw_no_error_of_ours(verdict: Verdict) -> None:
    host = verdict.tables["host"]
    assert host["upgrades"] >= 6
    names = ("emulator_errors", "bad_requests", "protocol_faults", "slow_readers")
    assert {name: host[name] for name in names} == dict.fromkeys(names, 0)
