"""Checks before the wire: pure functions that refuse an order while zero bytes have been sent."""

from dragoman.checks.arguments import Moment, count, day, function, moment, span
from dragoman.checks.grid import check_price, check_quantity
from dragoman.checks.inputs import (
    LONGEST_S,
    Number,
    choice,
    exact,
    flag,
    identifier,
    order_change,
    order_request,
    plain_request,
    record,
    seconds,
    several,
    text,
)
from dragoman.checks.request import check_change, check_request, check_triggered, lowers_risk, order_gate
from dragoman.checks.risk import RiskLimits
from dragoman.checks.units import WireUnits

__all__ = [
    "LONGEST_S",
    "Moment",
    "Number",
    "RiskLimits",
    "WireUnits",
    "check_change",
    "check_price",
    "check_quantity",
    "check_request",
    "check_triggered",
    "choice",
    "count",
    "day",
    "exact",
    "flag",
    "function",
    "identifier",
    "lowers_risk",
    "moment",
    "order_change",
    "order_gate",
    "order_request",
    "plain_request",
    "record",
    "seconds",
    "several",
    "span",
    "text",
]
