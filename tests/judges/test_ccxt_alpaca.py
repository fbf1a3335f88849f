"""`ccxt`, unmodified, REST and WebSocket halves, against ``dragoman emulate alpaca``."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from judges.ccxt_court import CcxtCase
from judges.court import Verdict

CASE = CcxtCase(
    "alpaca",
    """
load_markets fetch_time fetch_ticker fetch_tickers fetch_order_book fetch_ohlcv fetch_trades fetch_balance create_order
edit_order cancel_order cancel_all_orders fetch_order fetch_orders fetch_open_orders fetch_closed_orders fetch_my_trades
watch_order_book watch_ticker watch_trades watch_orders watch_my_trades
""",
    least_sockets=2,
    not_called={
        "watch_ohlcv": "the library watches bars of minutes; the session holds those it fetches",
    },
)

pytestmark = [pytest.mark.judge, pytest.mark.slow]


@pytest.fixture(scope="module")
def verdict(judge: Callable[..., Verdict]) -> Verdict:
    return CASE.play(judge)


@pytest.mark.parametrize("name", CASE.checks)
def test_ccxt_says_of_alpaca(verdict: Verdict, name: str) -> None:
    CASE.holds(verdict, name)


def test_the_ccxt_session_at_alpaca_runs_exactly_the_listed_checks(verdict: Verdict) -> None:
    assert sorted(verdict.checks) == sorted(CASE.checks)


def test_every_ccxt_method_for_alpaca_is_held_to_values(verdict: Verdict, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(CASE.report(verdict))
    assert [name for name, count in CASE.held(verdict).items() if not count] == []


def test_the_emulator_of_alpaca_serves_ccxt_without_a_mistake(verdict: Verdict) -> None:
    CASE.served(verdict)
