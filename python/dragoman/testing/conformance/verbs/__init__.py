"""The steps of scenarios, by what they are about; importing them registers them."""

from dragoman.testing.conformance.verbs import (
    account,
    acts,
    doubt,
    faults,
    fills,
    known,
    market,
    orders,
    processes,
    session,
)

__all__ = ["account", "acts", "doubt", "faults", "fills", "known", "market", "orders", "processes", "session"]
