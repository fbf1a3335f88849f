"""Where the examples trade: an emulated broker, in this process or served by ``dragoman emulate``."""

from __future__ import annotations

import json
import pathlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import dragoman
from dragoman.testing import emulated


@asynccontextmanager
async def connected(broker: str, served: str | None = None) -> AsyncIterator[dragoman.Client]:
    """Connect to the emulator of a broker.

    Parameters
    ----------
    broker : str
    served : str, optional
        File with the line that ``dragoman emulate`` printed; without it an emulator is started here.
    """
    line = None if served is None else _line(served)
    # A real account needs none of this: dragoman.connect("zerodha", profile="main").
    with tempfile.TemporaryDirectory() as state_dir:
        async with emulated.connected(broker, line, state_dir=state_dir) as client:
            yield client


def _line(served: str) -> dict[str, Any]:
    """Return what ``dragoman emulate`` wrote."""
    found: dict[str, Any] = json.loads(pathlib.Path(served).read_text())
    return found
