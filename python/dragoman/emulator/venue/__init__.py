"""The simulated exchange: listings, price-time matching, accounts, margin, and a seeded crowd that trades."""

from dragoman.emulator.venue.ready import FUNDS, default_venue
from dragoman.emulator.venue.universe import default_universe
from dragoman.emulator.venue.venue import Venue

__all__ = ["FUNDS", "Venue", "default_universe", "default_venue"]
