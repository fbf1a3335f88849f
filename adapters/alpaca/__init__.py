"""Alpaca: Trading API v2 and Market Data v2."""

from .adapter import AlpacaAdapter

__all__ = ["AlpacaAdapter"]
