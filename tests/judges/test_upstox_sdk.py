"""The official `upstox-python-sdk` package, unmodified, against ``dragoman emulate upstox``."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from judges.court import HERE, Verdict, assertions_by_check

SCRIPT = "upstox_session.py"
CHECKS = re.findall(r"^@check\ndef (\w+)\(", (HERE / SCRIPT).read_text(), re.MULTILINE)
TUNNELLED = ("api.upstox.com",)

_MONEY_OUT = "payments are out of scope"
_UNUSED = "the adapter has no use for it"
_OLD = "switched off or deprecated by the broker; version 3 is called"
_REDIRECT = "answers with a redirect to a socket, which no HTTP client can follow; the streamers do"
NOT_CALLED = {
    "LoginApi.authorize": "a page for a browser: the SDK would follow its redirect and lose the code",
    **{f"UserApi.{name}_payout": _MONEY_OUT for name in ("cancel", "initiate", "modify")},
    **{f"UserApi.get_{name}": _MONEY_OUT for name in ("payin_history", "payout_history", "payout_modes")},
    "LoginApi.init_token_request_for_indie_user": _UNUSED,
    **{
        f"UserApi.{name}": _UNUSED
        for name in ("get_kill_switch", "update_kill_switch", "get_user_ips", "update_user_ip")
    },
    **{f"MarketQuoteApi.{name}": _OLD for name in ("get_market_quote_ohlc", "ltp")},
    **{f"WebsocketApi.{name}": _OLD for name in ("get_market_data_feed", "get_market_data_feed_authorize")},
    **{f"WebsocketApi.{name}": _REDIRECT for name in ("get_market_data_feed_v3", "get_portfolio_stream_feed")},
    "WebsocketApi.get_websocket_parameters": "called by the SDK",
    **{
        f"{kind}.{name}": "called by the SDK"
        for kind in ("MarketDataStreamerV3", "PortfolioDataStreamer")
        for name in ("emit", "handle_close", "handle_error", "handle_message", "handle_open", "launch_auto_reconnect")
    },
    "MarketDataStreamerV3.clear_subscriptions": "forgets without telling the server",
    "MarketDataStreamerV3.is_invalid_mode": "called by the SDK",
    "MarketDataStreamerV3.subscribe_to_initial_keys": "called by the SDK",
    "MarketDataStreamerV3.decode_protobuf": "called by the SDK",
    "PortfolioDataStreamer.disconnect": "the server ends this one",
}

pytestmark = [pytest.mark.judge, pytest.mark.slow]


@pytest.fixture(scope="module")
def verdict(judge: Callable[..., Verdict]) -> Verdict:
    requirement = "upstox-python-sdk==2.30.0"
    return judge("upstox", SCRIPT, "upstox-python-sdk-2.30.0", requirement, tunnelled=TUNNELLED)


@pytest.mark.parametrize("name", CHECKS)
def test_the_upstox_sdk_says(verdict: Verdict, name: str) -> None:
    found = verdict.checks.get(name)
    assert found is not None, f"the session ended before {name}:\n{verdict.output[-3000:]}"
    assert found["ok"], found["detail"]


def test_the_upstox_session_runs_exactly_the_listed_checks(verdict: Verdict) -> None:
    assert list(verdict.checks) == CHECKS
    assert len(CHECKS) >= 35


def test_upstox_sdk_methods_not_called_are_listed_with_a_reason(
    verdict: Verdict, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(f"{face}.{name}", called) for face, name, called in verdict.tables["methods"]]
    with capsys.disabled():
        print(f"\nupstox-python-sdk 2.30.0: {sum(called for _, called in rows)} of {len(rows)} methods called")
        for name, called in rows:
            print(f"  {name:<55} {'called' if called else NOT_CALLED.get(name, 'NOT CALLED')}")
    assert {name for name, called in rows if not called} == set(NOT_CALLED)


def test_every_upstox_rest_method_is_held_to_values(verdict: Verdict) -> None:
    """A method counts the assertions of the checks that call it; one that is merely called has none."""
    counts = assertions_by_check(SCRIPT, CHECKS)
    held = {
        name: sum(counts.get(check, 0) for check in set(checks)) for name, checks in verdict.tables["calls"].items()
    }
    assert {name: count for name, count in held.items() if count < 2} == {}


def test_no_call_went_to_a_host_that_is_not_mapped(verdict: Verdict) -> None:
    assert verdict.tables["strayed"] == []
    assert set(verdict.tables["tunnelled hosts"]) == {"api.upstox.com:443"}


def test_the_upstox_emulator_saw_no_error_of_ours(verdict: Verdict) -> None:
    host = verdict.tables["host"]
    assert host["upgrades"] >= 3
    wrong = ("emulator_errors", "bad_requests", "protocol_faults", "slow_readers")
    assert {name: host[name] for name in wrong} == dict.fromkeys(wrong, 0)
