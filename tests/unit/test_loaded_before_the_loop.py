"""What streams need is loaded before anything waits for their loop: an import holds up every handler."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, sys, tempfile
import dragoman

async def main(folder):
    overrides = {
        "hosts": dict.fromkeys(("rest", "ws", "login"), "http://127.0.0.1:9"),
        "credentials": {"api_key": "emu_api_key", "api_secret": "emu_api_secret"},
    }
    named = {"environment": "emulator", "access_token": "token", "overrides": overrides, "state_dir": folder}
    try:
        await dragoman.connect("zerodha", "toy", streams=sys.argv[1] == "streams", **named)
    except dragoman.NotSent:  # nobody answers there, so that no stream was opened
        print(*(name for name in ("websocket", "ws_picows") if f"dragoman.transport.{name}" in sys.modules))

with tempfile.TemporaryDirectory() as folder:
    asyncio.run(main(folder))
"""


@pytest.mark.parametrize(("asked", "loaded"), [("streams", ["websocket", "ws_picows"]), ("none", [])])
def test_what_streams_need_is_loaded_before_anybody_is_asked_anything(asked, loaded):
    command = [sys.executable, "-c", PROGRAM, asked]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert done.stdout.split() == loaded
