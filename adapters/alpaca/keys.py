"""What opens the account: its key pair, or the OAuth token of a session that was imported."""

from __future__ import annotations

from typing import Final

from dragoman.plugin import Context

from .words import RECORDS

OTHER_PAIR: Final = "give the key pair of this environment: paper and live have different ones"


def oauth_token(ctx: Context) -> str | None:
    token = ctx.login.get("oauth_token")
    return None if token is None else str(token.reveal())


def key_pair(ctx: Context) -> tuple[str, str]:
    """Return the id of the key and its secret. Raises AuthRequired where the profile names one of them not."""
    for name in ("api_key", "api_secret"):
        if name not in ctx.credentials:
            raise RECORDS.denied(f"the profile names no {name}", OTHER_PAIR)
    return ctx.credentials["api_key"].reveal(), ctx.credentials["api_secret"].reveal()
