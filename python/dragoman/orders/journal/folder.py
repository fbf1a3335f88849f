"""Where an account's journal lies."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from dragoman.session.tokens import file_name


def journal_folder(state_dir: str, broker: str, environment: str, account: str, *, hosts: Iterable[str] = ()) -> str:
    """Return the folder of an account's journal.

    Parameters
    ----------
    state_dir : str
        See `dragoman.session.profiles`.
    broker, environment, account : str
    hosts : iterable of str
        Roots of the hosts in use. Each emulator has books of its own, so there its ports are part of the name.
    """
    parts = [broker, environment, account]
    if environment == "emulator":
        parts += sorted({str(urlsplit(root).port) for root in hosts})
    return f"{state_dir}/journal/{file_name(*parts)}"
