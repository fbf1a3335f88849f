"""Peers come from the judges' environments: pinned, unmodified, never installed beside us."""

from __future__ import annotations

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def add(requirement: str) -> None:
    """Make a package importable behind our own, from an environment of its own that is made at the first call.

    Parameters
    ----------
    requirement : str
        Pinned, such as ``package==1.2.3``; the judge of the same pin shares the environment.
    """
    if str(ROOT / "tests") not in sys.path:
        sys.path.append(str(ROOT / "tests"))
    from judges.court import make_environment

    python = make_environment(requirement.replace("==", "-"), requirement)
    (packages,) = python.parent.parent.glob("lib/python*/site-packages")
    if str(packages) not in sys.path:
        sys.path.append(str(packages))
