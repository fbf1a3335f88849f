"""FYERS, through its API v3."""

from .adapter import FyersAdapter

__all__ = ["FyersAdapter"]
