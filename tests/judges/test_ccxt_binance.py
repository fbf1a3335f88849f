"""`ccxt`, unmodified, REST and WebSocket halves, against ``dragoman emulate binance``."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from judges.ccxt_court import CcxtCase
from judges.court import Verdict

CASE = CcxtCase(
    "binance",
    """
load_markets fetch_time fetch_ticker fetch_tickers fetch_bids_asks fetch_order_book fetch_ohlcv fetch_trades
fetch_funding_rate fetch_balance create_order create_market_buy_order_with_cost edit_order cancel_order
cancel_all_orders fetch_order fetch_orders fetch_open_orders fetch_closed_orders fetch_my_trades fetch_order_trades
fetch_positions fetch_positions_risk fetch_position_mode set_position_mode
watch_order_book watch_trades watch_ticker watch_bids_asks watch_mark_price watch_orders watch_my_trades watch_balance
create_order_ws edit_order_ws cancel_order_ws fetch_order_ws fetch_open_orders_ws fetch_balance_ws fetch_my_trades_ws
""",
    least_sockets=6,
    not_called={
        "watch_ohlcv": "the emulator streams no candles; the adapter subscribes none",
        "watch_positions": "positions are read by request here; of ACCOUNT_UPDATE the adapter takes the wallet",
        "create_orders": "batch orders are not built",
        "set_leverage, set_margin_mode": "account settings are not in the product's scope",
        "transfers, deposits, withdrawals, loans, options, COIN-M, margin": "not in the product's scope",
    },
)

pytestmark = [pytest.mark.judge, pytest.mark.slow]


@pytest.fixture(scope="module")
def verdict(judge: Callable[..., Verdict]) -> Verdict:
    return CASE.play(judge)


@pytest.mark.parametrize("name", CASE.checks)
def test_ccxt_says_of_binance(verdict: Verdict, name: str) -> None:
    CASE.holds(verdict, name)


def test_the_ccxt_session_at_binance_runs_exactly_the_listed_checks(verdict: Verdict) -> None:
    assert sorted(verdict.checks) == sorted(CASE.checks)


def test_every_ccxt_method_for_binance_is_held_to_values(verdict: Verdict, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(CASE.report(verdict))
    assert [name for name, count in CASE.held(verdict).items() if not count] == []


def test_the_emulator_of_binance_serves_ccxt_without_a_mistake(verdict: Verdict) -> None:
    CASE.served(verdict)
