"""A shell for the command's tests: an emulator served by ``dragoman emulate``, and commands aimed at it."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from typer.testing import CliRunner

from dragoman.cli.app import app

PROGRAM = [sys.executable, "-c", "from dragoman.cli import main; main()"]


class Ran:
    """What a command came to."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def line(self) -> str:
        """The one line on standard error."""
        assert self.err.startswith("dragoman: "), self.err
        assert self.err.count("\n") == 1, self.err
        return self.err


class Shell:
    """Runs commands with an environment of their own, in this process or as real ones."""

    def __init__(self, folder: pathlib.Path, columns: int = 80, **more: str) -> None:
        self.folder = folder
        self.env = {
            "DRAGOMAN_STATE": str(folder / "state"),
            "DRAGOMAN_CONFIG": str(folder / "profiles.toml"),
            "DRAGOMAN_ENVIRONMENT": "emulator",
            "COLUMNS": str(columns),
            "TERM": "dumb",
            **more,
        }

    def profiles(self, text: str) -> None:
        path = self.folder / "profiles.toml"
        path.write_text(text)
        path.chmod(0o600)

    def __call__(self, *arguments: object, typed: str | None = None, **env: str) -> Ran:
        """Run a command in this process, without a terminal."""
        result = CliRunner().invoke(app, [str(one) for one in arguments], input=typed, env=self.env | env)
        return Ran(result.exit_code, result.stdout, result.stderr)

    def start(self, *arguments: object, **options: Any) -> subprocess.Popen[str]:
        """Start a real process."""
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        return subprocess.Popen(
            [*PROGRAM, *map(str, arguments)], text=True, env=os.environ | self.env, start_new_session=True, **streams
        )

    def process(self, *arguments: object, typed: str | None = None) -> Ran:
        """Run a real process to its end."""
        with self.start(*arguments, stdin=subprocess.PIPE) as process:
            out, err = process.communicate(typed, timeout=60)
        return Ran(process.returncode, out, err)

    def terminal(self, *arguments: object, typed: str | Callable[[str], str] | None, asks: str = "[y/N]") -> Ran:
        """Run a real process whose input and messages are a terminal; type once it has asked, or press Ctrl-C."""
        ours, theirs = pty.openpty()
        try:
            with self.start(*arguments, stdin=theirs, stderr=theirs) as process:
                os.close(theirs)
                shown = b""
                while asks.encode() not in shown:
                    shown += os.read(ours, 4096)
                if typed is None:
                    process.send_signal(signal.SIGINT)
                else:
                    os.write(ours, (typed if isinstance(typed, str) else typed(shown.decode())).encode())
                out, _ = process.communicate(timeout=60)
                with contextlib.suppress(OSError):  # a terminal without anybody on the other side
                    while more := os.read(ours, 4096):
                        shown += more
            return Ran(process.returncode, out, shown.decode().replace("\r\n", "\n"))
        finally:
            os.close(ours)

    @contextlib.contextmanager
    def emulator(self, *options: str) -> Iterator[dict[str, Any]]:
        """Serve an emulator; yield the line it prints."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        process = self.start("emulate", "zerodha", "--redirect-port", port, *options)
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
            process.communicate(timeout=20)

    def until(self, *arguments: object, holds: Any, tries: int = 40) -> Ran:
        """Repeat a command until `holds` does for what it came to."""
        for _ in range(tries):
            ran = self(*arguments)
            if holds(ran):
                return ran
            time.sleep(0.1)
        raise AssertionError(f"{arguments} never came to it: {ran.status} {ran.out} {ran.err}")
