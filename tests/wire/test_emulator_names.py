"""The names of running emulators: the first to take one keeps it while it runs."""

from __future__ import annotations

import signal
import subprocess

from wire.shell import Shell


def test_a_second_emulator_does_not_take_the_name_of_a_living_one(tmp_path):
    shell = Shell(tmp_path)
    with shell.emulator("--name", "toy") as first:
        second = shell.start("emulate", "zerodha", "--name", "toy", "--redirect-port", "5019")
        assert second.stdout is not None
        assert first["rest"] not in second.stdout.readline()  # it serves, to whoever reads its line
        assert shell("login", "--profile", "toy").status == 0
        second.terminate()
        _, said = second.communicate(timeout=20)
        assert first["rest"] in said
        assert "--name" in said
        assert shell("quote", "NSE:INFY", "--profile", "toy").status == 0
    assert "no emulator" in shell("login", "--broker", "zerodha", "--profile", "toy").line


def test_the_name_of_one_that_was_killed_is_free(tmp_path):
    shell = Shell(tmp_path)
    killed = shell.start("emulate", "zerodha", "--name", "toy", "--redirect-port", "5020", stderr=subprocess.DEVNULL)
    assert killed.stdout is not None
    assert killed.stdout.readline()
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=20)
    with shell.emulator("--name", "toy") as second:
        assert second["rest"] in (tmp_path / "state/emulators/zerodha.toy.json").read_text()
        assert shell("login", "--profile", "toy").status == 0
