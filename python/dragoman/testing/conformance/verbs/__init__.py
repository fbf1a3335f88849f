"""The steps of scenarios, by what they are about; importing them registers them."""

from dragoman.testing.conformance.verbs import account, acts, faults, market, orders, processes, session

__all__ = ["account", "acts", "faults", "market", "orders", "processes", "session"]
