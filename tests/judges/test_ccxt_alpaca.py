"""`ccxt`, unmodified, REST and WebSocket halves, against ``dragoman emulate alpaca``."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from judges.court import HERE, Verdict

SCRIPT = "ccxt_alpaca_session.py"
CHECKS = re.findall(r"^@check\n(?:async )?def (\w+)\(", (HERE / SCRIPT).read_text(), re.MULTILINE)
SCOPE = """
load_markets fetch_time fetch_ticker fetch_tickers fetch_order_book fetch_ohlcv fetch_trades fetch_balance create_order
edit_order cancel_order cancel_all_orders fetch_order fetch_orders fetch_open_orders fetch_closed_orders fetch_my_trades
watch_order_book watch_ticker watch_trades watch_orders watch_my_trades
""".split()
"""Every method of the library that the product's scope needs. Candles of minutes are not streamed here."""

pytestmark = [pytest.mark.judge, pytest.mark.slow]


@pytest.fixture(scope="module")
def verdict(judge: Callable[..., Verdict]) -> Verdict:
    return judge("alpaca", SCRIPT, "ccxt-4.5.90", "ccxt==4.5.90")


@pytest.mark.parametrize("name", CHECKS)
def test_ccxt_says_of_alpaca(verdict: Verdict, name: str) -> None:
    found = verdict.checks.get(name)
    assert found is not None, f"the session ended before {name}:\n{verdict.output[-3000:]}"
    assert found["ok"], found["detail"]


def test_the_ccxt_session_runs_exactly_the_listed_checks(verdict: Verdict) -> None:
    assert sorted(verdict.checks) == sorted(CHECKS)


def test_every_ccxt_method_in_scope_is_called(verdict: Verdict, capsys: pytest.CaptureFixture[str]) -> None:
    called = verdict.tables["calls"]
    with capsys.disabled():
        print(
            f"\nccxt 4.5.90 (alpaca): {sum(name in called for name in SCOPE)} of {len(SCOPE)} methods in scope called"
        )
    assert [name for name in SCOPE if name not in called] == []


def test_the_host_saw_no_error_of_ours_with_ccxt(verdict: Verdict) -> None:
    host = verdict.tables["host"]
    assert host["upgrades"] >= 2
    assert [host[name] for name in ("emulator_errors", "bad_requests", "protocol_faults")] == [0] * 3
