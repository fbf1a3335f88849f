"""Zerodha, through Kite Connect 3."""

from .adapter import ZerodhaAdapter

__all__ = ["ZerodhaAdapter"]
