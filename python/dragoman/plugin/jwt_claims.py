"""What a JSON web token says of itself. Its signature is the broker's to check: nothing is decided by it here.

Example
-------
>>> jwt_claims("e30.eyJleHAiOjE3MDAwMDAwMDB9.x")
{'exp': 1700000000}
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any


def jwt_claims(token: str) -> Mapping[str, Any]:
    """Return the claims of a token, none where it is no JSON web token."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def jwt_expiry_ns(token: str) -> int | None:
    """Return when a token says it dies, ns UTC; None where it does not."""
    expires = jwt_claims(token).get("exp")
    return int(expires * 1_000_000_000) if isinstance(expires, int | float) and 0 < expires < 1e10 else None
