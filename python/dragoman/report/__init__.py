"""One trading day of one account, from its journal: numbers, and a page that shows them."""

from dragoman.report.day import day_report
from dragoman.report.model import DayReport
from dragoman.report.page import numbers, render

__all__ = ["DayReport", "day_report", "numbers", "render"]
