"""The fixture that plays an SDK's script once and hands its verdict round."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from judges.court import EmulatorProcess, Verdict, make_environment, play
from judges.tunnel import Tunnel


@pytest.fixture(scope="session")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Verdict]:
    """Play a script once per session and hand its verdict to every test that asks."""
    played: dict[str, Verdict] = {}

    def run(broker: str, script: str, environment: str, *requirements: str, tunnelled: tuple[str, ...] = ()) -> Verdict:
        if script not in played:
            python = make_environment(environment, *requirements)
            emulator = EmulatorProcess(broker, "--seed", "7")
            folder = tmp_path_factory.mktemp("judge")
            port = urlsplit(emulator.where["rest"]).port
            assert port is not None
            try:
                if tunnelled:
                    with Tunnel(dict.fromkeys(tunnelled, port), folder) as tunnel:
                        verdict = play(python, script, emulator.where, folder, tunnel.variables)
                    verdict.tables["strayed"] += tunnel.refused
                    verdict.tables["tunnelled hosts"] = tunnel.opened
                else:
                    verdict = play(python, script, emulator.where, folder)
            finally:
                counters = emulator.stop()
            verdict.tables["host"] = counters
            if verdict.tables["strayed"]:
                pytest.fail(f"{script} called what is not mapped: {', '.join(verdict.tables['strayed'])}")
            played[script] = verdict
        return played[script]

    return run
