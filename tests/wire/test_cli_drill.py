"""The crash drill: its story at every broker on the virtual clock, and that it finds sums that do not agree."""

from __future__ import annotations

from decimal import Decimal

import pytest

from dragoman.cli import drill as command
from dragoman.cli.demo import with_emulator
from dragoman.cli.drill_proof import prove
from dragoman.cli.drill_report import WIDTH, show_drills
from dragoman.errors import UsageError
from dragoman.runtime.virtual import VirtualRuntime


def drilled(broker, seed=7):
    with VirtualRuntime(seed=seed) as runtime:
        return runtime.run(command.drill(runtime, broker, seed=seed, state_dir="/state"))


@pytest.mark.parametrize("broker", with_emulator())
def test_a_crash_fires_every_rule_and_every_sum_agrees(broker, capsys):
    result = drilled(broker)
    assert result["proof"] == {"agrees": True, "lines": result["proof"]["lines"], "differences": []}
    assert result["firings"] == {"trail": 1, "ladder": 3, "floor": 1}
    assert result["realised"] < 0
    events = [row["event"] for row in result["events"]]
    assert [events.count(word) for word in ("killed", "none works", "closed")] == [1, 1, 1]
    # A commission in the coin bought leaves less than a lot behind, which nobody can sell.
    dust = Decimal("0.00001") if broker == "binance" else Decimal(0)
    assert all(row["left"] == 0 or 0 < row["left"] < dust for row in result["events"][-3:] if row["leg"])
    show_drills([result], as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert sum("yes" in line for line in lines) == len(result["proof"]["lines"])


def test_the_same_seed_tells_the_same_story():
    one, two = drilled("zerodha"), drilled("zerodha")
    assert one["events"] == two["events"]
    assert drilled("zerodha", seed=8)["realised"] != one["realised"]


def test_an_exchange_with_another_ledger_is_found(monkeypatch):
    def tampered(drill, host):
        account = drill.venue._accounts[drill.client.session.ctx.account]
        held = account.positions[drill.legs[0].key[0], drill.legs[0].product]
        held.realised += 1
        next(iter(account.pools.values())).realised += 100
        account.fills[-1] = account.fills[0]
        drill.margins[-1] = (*drill.margins[-1][:3], drill.venue.funds(account.name))
        return prove(drill, host)

    monkeypatch.setattr(command, "prove", tampered)
    result = drilled("zerodha")
    assert not result["proof"]["agrees"]
    wrong = {row["what"] for row in result["proof"]["lines"] if not row["agrees"]}
    assert wrong >= {
        "the exchange's own books",
        "the sum of exits is each position",
        "realised P&L is the exchange's",
        "usable margin is the exchange's",
    }


def test_a_drill_takes_no_recording(tmp_path):
    with pytest.raises(UsageError, match="moves the market itself"):
        command.run_drill("zerodha", seed=7, as_json=False, market=tmp_path)
