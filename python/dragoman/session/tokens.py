"""Sessions kept between runs, so that one login a day is enough."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from dragoman.errors import UsageError
from dragoman.plugin import Session
from dragoman.runtime.base import Runtime

_VERSION: Final = 1
_log = logging.getLogger("dragoman.session")


def default_state_dir(runtime: Runtime) -> str:
    """Return ``$DRAGOMAN_STATE``, else ``$XDG_STATE_HOME/dragoman``, else ``~/.local/state/dragoman``.

    Raises
    ------
    UsageError
        None of them is set: tokens are not put wherever the process happens to stand.
    """
    if named := runtime.environ("DRAGOMAN_STATE"):
        return named
    if base := runtime.environ("XDG_STATE_HOME"):
        return f"{base}/dragoman"
    if home := runtime.environ("HOME"):
        return f"{home}/.local/state/dragoman"
    raise UsageError(
        "HOME is not set, so there is no place for tokens", remedy="set HOME or DRAGOMAN_STATE, or pass state_dir"
    )


def file_name(*parts: str) -> str:
    """Return a file name made of `parts`, whatever characters they hold; different parts give different names."""
    return ".".join(re.sub(r"[^A-Za-z0-9-]", lambda m: f"_{ord(m[0]):x}_", part) for part in parts)


class TokenCache:
    """One file (0600) for each broker, profile and environment, replaced atomically. Blocking: call from a worker.

    A file that is damaged, of another version, readable by others, or over, is removed and counts as absent: the
    remedy is the same, a new login.
    """

    def __init__(self, runtime: Runtime, state_dir: str, broker: str, profile: str, environment: str) -> None:
        self._disk = runtime.disk
        self._key = {"broker": broker, "profile": profile, "environment": environment}
        self.path = f"{state_dir}/tokens/{file_name(broker, profile, environment)}.json"

    def __repr__(self) -> str:
        return f"TokenCache({self.path!r})"

    def load(self, now_ns: int, *, account: str | None = None) -> Session | None:
        """Return the session that is still alive at `now_ns` of the broker's clock.

        Parameters
        ----------
        account : str, optional
            A session of another account is left alone and not returned.
        """
        if not self._disk.exists(self.path):
            return None
        if self._disk.mode(self.path) & 0o077:
            self._discard("others could read it; log out at the broker to make its token void")
            return None
        try:
            document = orjson.loads(self._disk.read(self.path))
            session = _read(document, self._key)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            self._discard("it is damaged")
            return None
        if session.expires_ns is not None and now_ns >= session.expires_ns:
            self._discard("its session is over")
            return None
        return None if account is not None and session.account != account else session

    def save(self, session: Session) -> bool:
        """Keep a session; False where its values would not come back as they are."""
        document = {
            "version": _VERSION,
            **self._key,
            "account": session.account,
            "expires_ns": session.expires_ns,
            "access_token": session.access_token,
            "values": dict(session.values),
            "secrets": sorted(session.secrets),
        }
        try:
            data = orjson.dumps(document)
        except TypeError:
            _log.warning("the session's values are not JSON; it is not kept for the next run")
            return False
        if orjson.loads(data)["values"] != document["values"]:
            _log.warning("the session's values would come back changed; it is not kept for the next run")
            return False
        self._disk.write_atomic(self.path, data, mode=0o600)
        return True

    def delete(self) -> None:
        """Forget the session."""
        self._disk.remove(self.path)

    def _discard(self, reason: str) -> None:
        _log.info("token file %s discarded: %s", self.path, reason)
        self._disk.remove(self.path)


def _read(document: Any, key: Mapping[str, str]) -> Session:
    if document["version"] != _VERSION or any(document[name] != value for name, value in key.items()):
        raise ValueError("another version or owner")
    expires, values, secrets = document["expires_ns"], document["values"], document["secrets"]
    token, account = document["access_token"], document["account"]
    if not isinstance(token, str) or not isinstance(account, str) or not isinstance(values, dict):
        raise TypeError("fields of wrong types")
    if not (expires is None or isinstance(expires, int)):
        raise TypeError("expires_ns is not a number")
    return Session(token, account, values, expires, frozenset(map(str, secrets)))
