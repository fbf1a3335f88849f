"""Rules that watch positions and make them smaller: stops, targets, ladders, clocks, margin and loss limits."""

from dragoman.rules.exit import ExitReport
from dragoman.rules.model import (
    Bracket,
    DailyLoss,
    Level,
    MarginFloor,
    Oco,
    OnStale,
    Rule,
    Rung,
    ScaleOut,
    Send,
    StopLoss,
    TakeProfit,
    TimeExit,
    TrailingStop,
)

__all__ = [
    "Bracket",
    "DailyLoss",
    "ExitReport",
    "Level",
    "MarginFloor",
    "Oco",
    "OnStale",
    "Rule",
    "Rung",
    "ScaleOut",
    "Send",
    "StopLoss",
    "TakeProfit",
    "TimeExit",
    "TrailingStop",
]
