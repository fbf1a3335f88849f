"""Order truth: identity, the state machine, fills counted once, and the service that places, changes and cancels."""

from dragoman.orders.fills import FillLedger
from dragoman.orders.identity import IdMint, read_wire_id
from dragoman.orders.requests import name_of
from dragoman.orders.service import OrderService
from dragoman.orders.state import Verdict, allowed, merge
from dragoman.orders.store import OrderStore

__all__ = [
    "FillLedger",
    "IdMint",
    "OrderService",
    "OrderStore",
    "Verdict",
    "allowed",
    "merge",
    "name_of",
    "read_wire_id",
]
