"""Shared fixtures: where the real data lies, and that stray log lines fail a test."""

from __future__ import annotations

import pathlib

import pytest
from hypothesis import settings

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
