"""Positions and margins: live from fills and marks, and the broker's numbers that they must agree with."""

from dragoman.portfolio.book import PositionBook
from dragoman.portfolio.extras import AccountServices
from dragoman.portfolio.net import Discrepancy, NetPosition, PositionKey, compare, net_positions
from dragoman.portfolio.service import Portfolio

__all__ = [
    "AccountServices",
    "Discrepancy",
    "NetPosition",
    "Portfolio",
    "PositionBook",
    "PositionKey",
    "compare",
    "net_positions",
]
