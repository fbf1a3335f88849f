"""Brokers whose sessions are keys that their owner keeps: there is nothing to log in to, and nothing to end."""

from __future__ import annotations

from dragoman.plugin.adapter import Adapter
from dragoman.plugin.context import Context
from dragoman.plugin.effects import Flow


class KeySession(Adapter):
    """The session's part of an adapter whose keys and tokens live until they are revoked on the broker's pages."""

    def logout(self, ctx: Context) -> Flow[None]:
        """Ask nothing of the broker: what is kept here is forgotten by the session."""
        yield from ()
