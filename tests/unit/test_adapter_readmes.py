"""What the adapters' documents show can be used as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dragoman.plugin.registry import load_adapter
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.session.profiles import load_profile

PATH = "/cfg/profiles.toml"
READMES = sorted((Path(__file__).parents[2] / "adapters").glob("*/README.md"))
BLOCKS = [
    pytest.param(readme.parent.name, block, id=f"{readme.parent.name}-{number}")
    for readme in READMES
    for number, block in enumerate(
        re.findall(r"^```toml\n(.*?)^```", readme.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    )
]


@pytest.mark.parametrize(("broker", "block"), BLOCKS)
def test_a_profile_shown_is_a_profile(broker, block):
    runtime = VirtualRuntime()
    runtime.env["DRAGOMAN_CONFIG"] = PATH
    runtime.disk.write_atomic(PATH, block.encode(), mode=0o600)
    adapter = load_adapter(broker)
    with runtime:
        profile = runtime.run(load_profile(runtime, adapter, "main"))
    needed = {one.name for one in adapter.credentials if one.needed_for == "always"}
    assert needed <= set(profile.credentials)


def test_every_adapter_shows_one():
    assert {broker for broker, _ in (param.values for param in BLOCKS)} >= {"alpaca", "binance", "fyers", "upstox"}
