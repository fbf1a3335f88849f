"""A venue on which a crypto platform's pairs and perpetuals are listed, with a funded account."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from dragoman.emulator.venue.universe_crypto import crypto_universe
from dragoman.emulator.venue.venue import Venue
from dragoman.model import Segment

WALLETS: Final = {Segment.ALL: Decimal(1_000_000), Segment.FO: Decimal(500_000)}
HELD: Final = {"BTC": Decimal(2), "ETH": Decimal(20)}
"""What a funded account owns to begin with."""


def crypto_venue(
    platform: str, seed: int, now_ns: int, account: str, *, quote: str, perpetuals: str = "", **options: Any
) -> Venue:
    """Return a venue of a platform's listings, and a funded account that owns some coins.

    Orders are matched in the instant they come, as such platforms' replies tell.

    Parameters
    ----------
    quote, perpetuals : str
        See `crypto_universe`.
    options
        Further parameters of `Venue`.
    """
    venue = Venue(seed, now_ns, **({"latency_ns": 0} | options))
    for listing in crypto_universe(platform, seed=seed, quote=quote, perpetuals=perpetuals):
        venue.list(listing)
    venue.open_account(account, dict(WALLETS))
    for name, quantity in HELD.items():
        listed = venue.listing(f"{platform}:{name}/{quote}")
        if listed is not None:
            venue.set_holding(account, listed.instrument.instrument_id, quantity, listed.reference)
    return venue
