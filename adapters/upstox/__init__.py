"""Upstox, through its Developer API v2 and v3."""

from .adapter import UpstoxAdapter

__all__ = ["UpstoxAdapter"]
