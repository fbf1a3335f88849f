"""Requests signed with a key's secret over their own fields: what is wrong with one, and keys to sign with.

Example
-------
>>> keys = SignedKey("emu_key", "emu_secret")
>>> keys.known("other"), keys.fault("a=1", {"signature": "no"}, 0)
(False, <Fault.SIGNATURE: 'signature'>)
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dragoman.plugin.signing import hmac_sha256_hex, is_pem, sign_pem

_MS = 1_000_000
_ED25519_HEAD = bytes.fromhex("302e020100300506032b657004220420")
"""How an Ed25519 key of 32 bytes begins in PKCS #8."""


class Fault(StrEnum):
    """What a signed request lacks."""

    SIGNATURE = "signature"
    MALFORMED = "malformed"
    TIME = "time"


@dataclass(slots=True)
class SignedKey:
    """One key of a user's.

    Attributes
    ----------
    secret : str
        Of HMAC-SHA256, or a private key in PEM.
    window_ms, ahead_ms : int
        How old a request may be where it does not say itself (``recvWindow``), and how far ahead of the broker's clock.
    revoked : bool
        Whether its owner deleted it.
    """

    key: str
    secret: str
    window_ms: int = 5000
    ahead_ms: int = 1000
    revoked: bool = False

    def known(self, key: str) -> bool:
        """Whether this key is meant, and still lives."""
        return not self.revoked and hmac.compare_digest(key.encode(), self.key.encode())

    def fault(self, payload: str, fields: Mapping[str, Any], now_ns: int) -> Fault | None:
        """Return the first thing wrong with a request, None where nothing is.

        Parameters
        ----------
        payload : str
            What was signed: see `unsigned` and `sorted_pairs`.
        fields : mapping
            ``signature``, ``timestamp`` in ms, ``recvWindow`` in ms where given.
        """
        wanted = sign_pem(self.secret, payload) if is_pem(self.secret) else hmac_sha256_hex(self.secret, payload)
        if not hmac.compare_digest(wanted.encode(), str(fields.get("signature", "")).encode()):
            return Fault.SIGNATURE
        sent, window = str(fields.get("timestamp", "")), str(fields.get("recvWindow", self.window_ms))
        if not sent.isdecimal() or not window.isdecimal():
            return Fault.MALFORMED
        now = now_ns // _MS
        return None if now - int(window) <= int(sent) < now + self.ahead_ms else Fault.TIME


def unsigned(*parts: str) -> str:
    """Join encoded queries and forms as they came, without their ``signature``."""
    return "".join("&".join(one for one in part.split("&") if not one.startswith("signature=")) for part in parts)


def sorted_pairs(params: Mapping[str, Any]) -> str:
    """Write the parameters of a JSON request as pairs sorted by name, without ``signature``; truth in small letters."""
    words = {name: str(value).lower() if isinstance(value, bool) else value for name, value in params.items()}
    return "&".join(f"{name}={words[name]}" for name in sorted(words) if name != "signature")


def seeded_ed25519(seed: int) -> str:
    """Return a private Ed25519 key in PEM: the same for the same seed, and for emulators only."""
    body = _ED25519_HEAD + hashlib.sha256(f"emulator {seed}".encode()).digest()
    return f"-----BEGIN PRIVATE KEY-----\n{base64.b64encode(body).decode()}\n-----END PRIVATE KEY-----\n"
