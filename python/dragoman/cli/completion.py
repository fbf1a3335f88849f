"""What the shell may complete: brokers, profiles, environments, and instruments of the last master that was loaded.

Called on every press of the key, so nothing here imports an adapter, opens a connection or parses a master: the names
of the instruments lie in a sorted text file that other commands leave behind.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

_MOST = 200


def broker_names(incomplete: str) -> list[str]:
    """Return the adapters that are installed."""
    return _starting(_brokers(), incomplete)


def profile_names(incomplete: str) -> list[str]:
    """Return the profiles of all brokers, and the names of emulators that run here."""
    from dragoman.cli.profiles import profiles_of

    found = {name for broker in _brokers() for name in profiles_of(broker)}
    folder = _state_dir()
    if folder is not None:
        found |= {path.stem.rpartition(".")[2] for path in folder.glob("emulators/*.json")}
    return _starting(found, incomplete)


def environments(incomplete: str) -> list[str]:
    """Return the environments there are."""
    return _starting(("live", "sandbox", "emulator"), incomplete)


def instrument_ids(incomplete: str) -> list[str]:
    """Return canonical ids that begin so, the first two hundred."""
    folder = _state_dir()
    if folder is None:
        return []
    already, wanted = _typed(incomplete)
    found: set[str] = set()
    for path in sorted(folder.glob("names/*.txt")):
        try:
            _, _, text = path.read_text("utf-8").partition("\n")
        except (OSError, UnicodeDecodeError):
            continue  # completion has nobody to complain to; the command itself will
        lines = re.finditer(rf"^{re.escape(wanted.upper())}.*$", text, re.MULTILINE)
        for line in lines:
            found.add(line[0][len(already) :])
            if len(found) >= _MOST:
                break
    return sorted(found)


def names_path(state_dir: str, broker: str, environment: str) -> str:
    """Return the file with the names of a broker's instruments: a line that dates it, then sorted ids."""
    return f"{state_dir}/names/{broker}.{environment}.txt"


def _typed(incomplete: str) -> tuple[str, str]:
    """Return what of a name the shell takes for earlier words, and the name as typed so far.

    Bash ends words at colons: of ``NSE:IN`` it asks for ``IN`` alone, and wants only the rest back.
    """
    words = os.environ.get("COMP_WORDS", "").split(" ") if "bash" in os.environ.get("_DRAGOMAN_COMPLETE", "") else []
    at = int(os.environ.get("COMP_CWORD", "0") or 0)
    if 0 < at - 1 < len(words) and words[at - 1] == ":":
        venue = f"{words[at - 2].upper()}:"
        return venue, venue + incomplete
    if 0 < at < len(words) and words[at] == ":":
        venue = f"{words[at - 1].upper()}:"
        return venue, venue
    return "", incomplete


def _starting(words: Iterable[str], incomplete: str) -> list[str]:
    return sorted(word for word in words if word.startswith(incomplete))


def _brokers() -> list[str]:
    from importlib.metadata import entry_points

    return [entry.name for entry in entry_points(group="dragoman.adapters")]


def _state_dir() -> Path | None:
    for name, rest in (("DRAGOMAN_STATE", ""), ("XDG_STATE_HOME", "dragoman"), ("HOME", ".local/state/dragoman")):
        if base := os.environ.get(name):
            return Path(base, rest)
    return None
