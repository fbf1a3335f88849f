"""What every judge needs: the official SDK in an environment of its own, our emulator in a process of its own.

Nothing of ours is importable in the SDK's environment and nothing of the SDK's in ours, so they meet on the wire only.
"""

from __future__ import annotations

import ast
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
ENVIRONMENTS = ROOT / ".judges"
INSTALL_TIMEOUT_S = 400
START_TIMEOUT_S = 30
SESSION_TIMEOUT_S = 240
OFFLINE = (
    "NewConnectionError",
    "NameResolutionError",
    "Temporary failure in name resolution",
    "Network is unreachable",
    "ConnectTimeoutError",
    "ProxyError",
    "Connection refused",
)


@dataclass
class Verdict:
    """What an SDK script found: its checks by name, and the tables it reports beside them."""

    checks: dict[str, dict[str, Any]] = field(default_factory=dict)
    tables: dict[str, Any] = field(default_factory=dict)
    output: str = ""


def make_environment(name: str, *requirements: str) -> pathlib.Path:
    """Return the Python of an environment that holds exactly `requirements`, made at the first call.

    It is cached under `.judges/` by name, which carries the version; one that was not finished is made anew.
    """
    home = ENVIRONMENTS / name
    python = home / "bin" / "python"
    stamp = home / ".complete"
    wanted = "\n".join((sys.version, *requirements))
    if stamp.is_file() and stamp.read_text() == wanted and python.exists():
        return python
    shutil.rmtree(home, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(home)], f"cannot make {home.name}")
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements]
    _run(install, f"pip cannot install {' '.join(requirements)}")
    stamp.write_text(wanted)
    return python


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
    if done.returncode == 0:
        return
    said = done.stdout + done.stderr
    last = said.strip().splitlines()[-1] if said.strip() else f"exit code {done.returncode}"
    if any(word in said for word in OFFLINE):
        pytest.skip(f"{what}: no network ({last})")
    pytest.fail(f"{what}:\n{said}")


class EmulatorProcess:
    """``dragoman emulate BROKER`` on a free port.

    Attributes
    ----------
    where : dict
        The line it prints: rest, ws, login, credentials.
    """

    def __init__(self, broker: str, *options: str) -> None:
        command = [sys.executable, "-m", "dragoman", "emulate", broker, "--port", "0", *options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], START_TIMEOUT_S)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            self._process.kill()
            _, said = self._process.communicate()
            pytest.fail(f"dragoman emulate {broker} did not start within {START_TIMEOUT_S} s:\n{said}")
        self.where: dict[str, Any] = json.loads(line)

    def stop(self) -> dict[str, int]:
        """Interrupt it; return the host's counters, which it prints last."""
        self._process.send_signal(signal.SIGINT)
        try:
            _, said = self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            _, said = self._process.communicate()
            pytest.fail(f"the emulator did not stop when interrupted:\n{said}")
        assert self._process.returncode == 0, said
        counters: dict[str, int] = json.loads(said.strip().splitlines()[-1].removeprefix("dragoman: "))
        return counters


def play(
    python: pathlib.Path, script: str, where: dict[str, Any], cwd: pathlib.Path, variables: dict[str, str] | None = None
) -> Verdict:
    """Run an SDK script against an emulator, with further environment `variables`; read the JSON lines it prints.

    Only loopback is open to it, see `guarded`; what it looked up or called beside that is the table ``strayed``.
    """
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(cwd),  # some SDKs write logs and caches
        "TZ": "Asia/Kolkata",  # and take naive local times for Indian ones
        "no_proxy": "127.0.0.1,localhost",
        **(variables or {}),
    }
    strayed = cwd / "strayed.txt"
    guarded = [str(HERE / "guarded.py"), str(strayed), str(HERE / script)]
    command = [str(python), "-I", "-u", *guarded, json.dumps(where)]
    try:
        done = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=SESSION_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as late:
        said = b"".join(filter(None, (late.stdout, late.stderr))).decode("utf-8", "replace")
        pytest.fail(f"{script} did not end within {SESSION_TIMEOUT_S} s:\n{said[-4000:]}")
    verdict = Verdict(output=done.stdout + done.stderr)
    verdict.tables["strayed"] = strayed.read_text().splitlines() if strayed.exists() else ["the guard did not stand"]
    for line in done.stdout.splitlines():
        if line.startswith('{"check"'):
            said = json.loads(line)
            assert said["check"] not in verdict.checks, f"{script} ran {said['check']} twice"
            verdict.checks[said["check"]] = said
        elif line.startswith('{"table"'):
            said = json.loads(line)
            verdict.tables[said["table"]] = said["rows"]
    assert done.returncode == 0, f"{script} ended with {done.returncode}:\n{verdict.output[-4000:]}"
    return verdict


def assertions_by_check(script: str, checks: list[str]) -> dict[str, int]:
    """Count what each check of a script holds the SDK's answers to: assertions, and refusals of one stated kind."""
    counts: dict[str, int] = {}
    for node in ast.parse((HERE / script).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in checks:
            parts = list(ast.walk(node))
            refusals = [
                part
                for part in parts
                if isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id == "refused"
            ]
            counts[node.name] = sum(isinstance(part, ast.Assert) for part in parts) + len(refusals)
    return counts
