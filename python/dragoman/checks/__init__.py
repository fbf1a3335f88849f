"""Checks before the wire: pure functions that refuse an order while zero bytes have been sent."""

from dragoman.checks.grid import check_price, check_quantity
from dragoman.checks.inputs import Number, choice, exact, order_change, order_request, plain_request
from dragoman.checks.request import check_change, check_request, check_triggered, order_gate
from dragoman.checks.units import WireUnits

__all__ = [
    "Number",
    "WireUnits",
    "check_change",
    "check_price",
    "check_quantity",
    "check_request",
    "check_triggered",
    "choice",
    "exact",
    "order_change",
    "order_gate",
    "order_request",
    "plain_request",
]
