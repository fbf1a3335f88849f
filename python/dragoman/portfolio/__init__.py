"""Positions and margins: the broker's numbers, and the sum of fills they must agree with."""

from dragoman.portfolio.extras import AccountServices
from dragoman.portfolio.net import Discrepancy, NetPosition, compare, net_positions
from dragoman.portfolio.service import Portfolio

__all__ = ["AccountServices", "Discrepancy", "NetPosition", "Portfolio", "compare", "net_positions"]
