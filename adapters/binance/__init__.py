"""Binance: spot and USD-M futures."""

from .adapter import BinanceAdapter

__all__ = ["BinanceAdapter"]
