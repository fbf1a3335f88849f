"""The official `fyers-apiv3` package, unmodified, against ``dragoman emulate fyers``."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from judges.court import HERE, Verdict, assertions_by_check

SCRIPT = "fyers_session.py"
CHECKS = re.findall(r"^@check\ndef (\w+)\(", (HERE / SCRIPT).read_text(), re.MULTILINE)
TUNNELLED = ("api-t1.fyers.in", "public.fyers.in", "socket.fyers.in")

_SMART = "smart orders and exits are programs at the broker, which the adapter does not offer"
_PAST = "reports of past days: an emulated account begins today"
_UNUSED = "the adapter has no use for it"
_INSIDE = "called by the SDK"
NOT_CALLED = {
    **{
        f"FyersModel.{name}": _SMART
        for name in (
            "activate_deactivate_smartexit_trigger",
            "attach_position_legs",
            "cancel_smart_order",
            "create_smart_order_limit",
            "create_smart_order_sip",
            "create_smart_order_step",
            "create_smart_order_trail",
            "create_smartexit_trigger",
            "get_smartexit_triggers",
            "modify_smart_order",
            "pause_smart_order",
            "resume_smart_order",
            "smart_orderbook_with_filter",
            "update_smartexit_trigger",
        )
    },
    **{
        f"FyersModel.{name}": _PAST
        for name in (
            "charges_history",
            "expiry_dates",
            "fno_historical_data",
            "history_underlying_symbols",
            "ledger_history",
            "orderhistory",
            "realised_profit_history",
            "tax_pnl_history",
            "tradehistory",
        )
    },
    **{
        f"FyersModel.{name}": _UNUSED
        for name in (
            "create_alert",
            "delete_alert",
            "futures_chain",
            "get_alert",
            "optionchain",
            "place_multileg_order",
            "screeners_candlestick",
            "screeners_config",
            "screeners_query",
            "screeners_technical",
            "toggle_alert",
            "update_alert",
        )
    },
    "FyersModel.generate_data_token": "a third party's data, which needs that party's package",
    "FyersModel.quotes_v2": "asks the same page as quotes",
    "FyersModel.close": "of asynchronous use only",
    "SessionModel.get_hash": _INSIDE,
    **{
        f"FyersDataSocket.{name}": _INSIDE
        for name in (
            "On_error",
            "On_message",
            "access_token_to_hsmtoken",
            "add_message",
            "infinite_loop",
            "on_close",
            "on_open",
        )
    },
    **{
        f"FyersOrderSocket.{name}": _INSIDE
        for name in (
            "On_error",
            "infinite_loop",
            "on_close",
            "on_general",
            "on_open",
            "on_order",
            "on_positions",
            "on_trades",
        )
    },
    **{
        f"FyersTbtSocket.{name}": _INSIDE
        for name in ("On_error", "infinite_loop", "on_close", "on_depth_update", "on_error_message", "on_open")
    },
    **{
        f"{kind}.{name}": "joins threads for seconds; the process ends them"
        for kind in ("FyersDataSocket", "FyersOrderSocket", "FyersTbtSocket")
        for name in ("close_connection", "keep_running")
    },
    **{f"{kind}.stop_running": _UNUSED for kind in ("FyersOrderSocket", "FyersTbtSocket")},
    **{f"{kind}.is_connected": "told by its messages" for kind in ("FyersDataSocket", "FyersTbtSocket")},
}

pytestmark = [pytest.mark.judge, pytest.mark.slow]


@pytest.fixture(scope="module")
def verdict(judge: Callable[..., Verdict]) -> Verdict:
    # Its depth socket imports protobuf, which the package does not ask for.
    return judge("fyers", SCRIPT, "fyers-apiv3-3.2.0", "fyers-apiv3==3.2.0", "protobuf==5.29.5", tunnelled=TUNNELLED)


@pytest.mark.parametrize("name", CHECKS)
def test_the_fyers_sdk_says(verdict: Verdict, name: str) -> None:
    found = verdict.checks.get(name)
    assert found is not None, f"the session ended before {name}:\n{verdict.output[-3000:]}"
    assert found["ok"], found["detail"]


def test_the_fyers_session_runs_exactly_the_listed_checks(verdict: Verdict) -> None:
    assert list(verdict.checks) == CHECKS
    assert len(CHECKS) >= 35


def test_fyers_sdk_methods_not_called_are_listed_with_a_reason(
    verdict: Verdict, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(f"{face}.{name}", called) for face, name, called in verdict.tables["methods"]]
    with capsys.disabled():
        print(f"\nfyers-apiv3 3.2.0: {sum(called for _, called in rows)} of {len(rows)} methods called")
        for name, called in rows:
            print(f"  {name:<55} {'called' if called else NOT_CALLED.get(name, 'NOT CALLED')}")
    assert {name for name, called in rows if not called} == set(NOT_CALLED)


def test_every_fyers_rest_method_is_held_to_values(verdict: Verdict) -> None:
    """A method counts the assertions of the checks that call it; one that is merely called has none."""
    counts = assertions_by_check(SCRIPT, CHECKS)
    held = {
        name: sum(counts.get(check, 0) for check in set(checks)) for name, checks in verdict.tables["calls"].items()
    }
    assert {name: count for name, count in held.items() if count < 1} == {}


def test_no_call_of_the_fyers_sdk_went_to_a_host_that_is_not_mapped(verdict: Verdict) -> None:
    assert verdict.tables["strayed"] == []
    assert set(verdict.tables["tunnelled hosts"]) == {f"{host}:443" for host in TUNNELLED}


def test_the_fyers_emulator_saw_no_error_of_ours(verdict: Verdict) -> None:
    host = verdict.tables["host"]
    assert host["upgrades"] >= 3
    wrong = ("emulator_errors", "bad_requests", "protocol_faults", "slow_readers")
    assert {name: host[name] for name in wrong} == dict.fromkeys(wrong, 0)
