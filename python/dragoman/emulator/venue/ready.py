"""A venue to start with: the default universe, and one account with money and some shares."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from dragoman.emulator.venue.universe import default_universe
from dragoman.emulator.venue.venue import Venue
from dragoman.model import Segment

FUNDS: Mapping[Segment, Decimal] = {Segment.EQUITY: Decimal(2_000_000), Segment.COMMODITY: Decimal(1_000_000)}


def default_venue(
    seed: int, now_ns: int, account: str, accounts: Mapping[str, Mapping[Segment, Decimal]] | None = None
) -> Venue:
    """Return a venue on which `default_universe` is listed.

    Parameters
    ----------
    account : str
        Opened with `FUNDS` and 100 shares of ``NSE:SBIN``, of which 10 are not delivered yet and 30 pledged.
    accounts : mapping of str to funds, optional
        Opened instead, without shares.
    """
    venue = Venue(seed, now_ns)
    for listing in default_universe(now_ns, seed=seed):
        venue.list(listing)
    for name, funds in (accounts or {account: FUNDS}).items():
        venue.open_account(name, dict(funds))
    if accounts is None:
        parts = {"t1_quantity": Decimal(10), "pledged_quantity": Decimal(30)}
        venue.set_holding(account, "NSE:SBIN", Decimal(100), Decimal(800), **parts)
    return venue
