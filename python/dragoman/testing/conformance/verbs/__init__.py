"""The steps of scenarios, by what they are about; importing them registers them."""

from dragoman.testing.conformance.verbs import account, faults, market, orders, session

__all__ = ["account", "faults", "market", "orders", "session"]
