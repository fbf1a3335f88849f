"""The fixture that plays an SDK's script once and hands its verdict round."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from judges.court import EmulatorProcess, Verdict, make_environment, play


@pytest.fixture(scope="session")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Verdict]:
    """Play a script once per session and hand its verdict to every test that asks."""
    played: dict[str, Verdict] = {}

    def run(broker: str, script: str, environment: str, *requirements: str) -> Verdict:
        if script not in played:
            python = make_environment(environment, *requirements)
            emulator = EmulatorProcess(broker, "--seed", "7")
            try:
                verdict = play(python, script, emulator.where, tmp_path_factory.mktemp("judge"))
            finally:
                counters = emulator.stop()
            verdict.tables["host"] = counters
            played[script] = verdict
        return played[script]

    return run
