"""What the tests of sessions through `ccxt` share: one version of it, each check a test, every method in scope held."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from judges.court import HERE, Verdict, assertions_by_check

VERSION = "4.5.90"
OURS = ("emulator_errors", "bad_requests", "protocol_faults", "slow_readers")
"""Counters of the host that only a mistake of the emulator raises."""


@dataclass(frozen=True)
class CcxtCase:
    """One broker's session.

    Attributes
    ----------
    scope : str
        Every method of the library that the product's scope needs.
    least_sockets : int
    not_called : dict
        Methods outside of it, and why.
    """

    broker: str
    scope: str
    least_sockets: int
    not_called: dict[str, str] = field(default_factory=dict)

    @property
    def script(self) -> str:
        return f"ccxt_{self.broker}_session.py"

    @property
    def checks(self) -> list[str]:
        return re.findall(r"^@check\n(?:async )?def (\w+)\(", (HERE / self.script).read_text(), re.MULTILINE)

    def play(self, judge: Callable[..., Verdict]) -> Verdict:
        return judge(self.broker, self.script, f"ccxt-{VERSION}", f"ccxt=={VERSION}")

    def held(self, verdict: Verdict) -> dict[str, int]:
        """Return how many assertions hold each method in scope to values, over all checks that call it."""
        counts, calls = assertions_by_check(self.script, self.checks), verdict.tables["calls"]
        return {name: sum(counts.get(one, 0) for one in calls.get(name, ())) for name in self.scope.split()}

    def report(self, verdict: Verdict) -> str:
        held = self.held(verdict)
        lines = [
            f"\nccxt {VERSION} ({self.broker}): {sum(map(bool, held.values()))} of {len(held)} methods in scope held"
        ]
        lines += [f"  {name:<36} {count:>4} assertions" for name, count in held.items()]
        lines += [f"  {name:<36} not called: {reason}" for name, reason in self.not_called.items()]
        return "\n".join(lines)

    def holds(self, verdict: Verdict, name: str) -> None:
        """Assert that a check ran and passed."""
        found = verdict.checks.get(name)
        assert found is not None, f"the session ended before {name}:\n{verdict.output[-3000:]}"
        assert found["ok"], found["detail"]

    def served(self, verdict: Verdict) -> None:
        """Assert that the emulator served it over sockets too, without a mistake of its own."""
        host = verdict.tables["host"]
        assert host["upgrades"] >= self.least_sockets
        assert {name: host[name] for name in OURS} == dict.fromkeys(OURS, 0)
