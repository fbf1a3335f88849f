"""Margins, live: what the broker says, what changed since, and how far off that may be."""

from dragoman.portfolio.margin.monitor import MarginMonitor
from dragoman.portfolio.margin.segment import Record
from dragoman.portfolio.margin.state import PositionRow, Positions
from dragoman.portfolio.margin.watching import MarginQueue

__all__ = ["MarginMonitor", "MarginQueue", "PositionRow", "Positions", "Record"]
