"""A venue of US shares, options on a few of them, and pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from dragoman.emulator.venue.universe_crypto import crypto_universe
from dragoman.emulator.venue.universe_us import us_universe
from dragoman.emulator.venue.venue import Venue
from dragoman.model import Segment

FUNDS: Mapping[Segment, Decimal] = {Segment.ALL: Decimal(1_000_000)}


def us_venue(
    seed: int, now_ns: int, pairs: str, account: str, accounts: Mapping[str, Mapping[Segment, Decimal]] | None = None
) -> Venue:
    """Return a venue on which `us_universe` is listed, and pairs against dollars.

    Parameters
    ----------
    pairs : str
        The exchange that pairs are listed under. What is bought of them stays a position.
    account : str
        Opened with `FUNDS`.
    accounts : mapping of str to funds, optional
        What to open instead.
    """
    venue = Venue(seed, now_ns)
    for listing in us_universe(now_ns, seed=seed):
        venue.list(listing)
    for listing in crypto_universe(pairs, seed=seed, quote="USD"):
        venue.list(replace(listing, margined=True, settles_at_once=False))
    for name, funds in (accounts or {account: FUNDS}).items():
        venue.open_account(name, dict(funds))
    return venue
