"""Shared fixtures: where the real data lies, and that stray log lines fail a test."""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Iterator

import pytest
from hypothesis import settings

from dragoman.session import secrets

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"

# How long an example takes says nothing on a machine that is busy with other things.
settings.register_profile("dragoman", deadline=None)
settings.load_profile("dragoman")


@pytest.fixture(scope="session")
def real_data() -> pathlib.Path:
    """Folder of recorded and official sample data; tests that need it are skipped where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"no real data beside this clone ({DATA.name}/ is kept elsewhere); our own fixtures still run")
    return DATA


@pytest.fixture(autouse=True)
def no_secret_of_another_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let no test's revealed secrets outlive it: some are ordinary words, which a later test's output may hold."""
    yield
    secrets._live.clear()
    secrets._faded.clear()
    secrets._stale = True


WATCHED = ("dragoman", "picows", "asyncio")


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "dragoman.watchdog":
            return  # that the loop stood still for a while says nothing on a machine that is busy with other things
        self.lines.append(f"{record.levelname} {record.name}: {record.getMessage()}")


@pytest.fixture(autouse=True)
def no_stray_logs(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test during which something warned, unless it is marked ``logs``, with the reason beside the mark."""
    collector = _Collector()
    for name in WATCHED:
        logging.getLogger(name).addHandler(collector)
    try:
        yield
    finally:
        for name in WATCHED:
            logging.getLogger(name).removeHandler(collector)
    if collector.lines and request.node.get_closest_marker("logs") is None:
        pytest.fail("logged without the mark `logs`:\n" + "\n".join(collector.lines[:10]), pytrace=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many of a broker's own sample bodies went through its adapter."""
    bodies: dict[str, set[str]] = {}
    for report in terminalreporter.stats.get("passed", ()):
        for name, body in report.user_properties:
            if name.endswith(" body"):
                bodies.setdefault(name.removesuffix(" body"), set()).add(str(body))
    for name, passed in bodies.items():
        terminalreporter.write_line(f"{name}: {len(passed)} sample bodies went through the adapter")
