"""Small listings and a quiet venue for tests of the simulated exchange."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal as D

import pytest

from dragoman.emulator.venue import Venue
from dragoman.emulator.venue.types import Listing, VenueOrder, VenueRejectError
from dragoman.errors import ErrorKind
from dragoman.model import (
    AssetClass,
    CanonicalId,
    Instrument,
    InstrumentType,
    OptionType,
    OrderStatus,
    OrderType,
    Product,
    Segment,
    Side,
)

START = 1_764_060_300_000_000_000  # 2025-11-25, 14:15 in India
LATENCY = 5_000_000
SHARE, FUTURE, CALL = "NSE:INFY", "NFO:INFY@20251230", "NFO:INFY@20251230-100CE"

_COMMON = {"broker_symbol": "", "broker_token": "1"}
SHARE_LISTING = Listing(
    instrument=Instrument(
        instrument_id=SHARE,
        symbol="INFY",
        exchange="NSE",
        asset_class=AssetClass.EQUITY,
        instrument_type=InstrumentType.SPOT,
        tick_size=D("0.05"),
        freeze_quantity=D(5000),
        **_COMMON,
    ),
    reference=D("100.00"),
    margin_rate={Product.DELIVERY: D(1), Product.INTRADAY: D("0.2")},
)
_FUTURE_ID = CanonicalId.parse(FUTURE)
FUTURE_LISTING = Listing(
    instrument=Instrument(
        instrument_id=FUTURE,
        symbol="INFY",
        exchange="NFO",
        asset_class=AssetClass.EQUITY,
        instrument_type=InstrumentType.FUTURE,
        tick_size=D("0.05"),
        lot_size=D(50),
        multiplier=D(2),
        expiry=_FUTURE_ID.expiry,
        **_COMMON,
    ),
    reference=D("100.00"),
    segment=Segment.FO,
    margin_rate={Product.CARRY: D("0.15"), Product.INTRADAY: D("0.15")},
    oi=1000,
)
CALL_LISTING = replace(
    FUTURE_LISTING,
    instrument=replace(
        FUTURE_LISTING.instrument,
        instrument_id=CALL,
        instrument_type=InstrumentType.OPTION,
        strike=D(100),
        option_type=OptionType.CALL,
        expiry=date(2025, 12, 30),
        multiplier=D(1),
    ),
    reference=D("4.00"),
    band=D("0.60"),
)


def quiet_venue(*accounts: str, cash: D = D(1_000_000)) -> Venue:
    """Return a venue without a crowd, with a share, a future, an option and the accounts ("A" by default)."""
    venue = Venue(1, START, latency_ns=LATENCY, quiet=True)
    for listing in (SHARE_LISTING, FUTURE_LISTING, CALL_LISTING):
        venue.list(listing)
    for account in accounts or ("A",):
        venue.open_account(account, {Segment.EQUITY: cash})
    return venue


def limit(side: Side, quantity: int, price: str, instrument_id: str = SHARE, **fields: object) -> VenueOrder:
    """Return a limit order; a share's product is INTRADAY, a derivative's CARRY."""
    return make(side, quantity, OrderType.LIMIT, instrument_id, price=D(price), **fields)


def make(side: Side, quantity: int, order_type: OrderType, instrument_id: str = SHARE, **fields: object) -> VenueOrder:
    product = Product.INTRADAY if instrument_id == SHARE else Product.CARRY
    return VenueOrder(
        **{
            "instrument_id": instrument_id,
            "side": side,
            "quantity": D(quantity),
            "order_type": order_type,
            "product": product,
        }
        | fields
    )


def settle(venue: Venue) -> None:
    """Let everything that is queued happen: no stage chain is longer than ten latencies."""
    venue.advance(venue.now_ns + 10 * LATENCY)


def put(venue: Venue, order: VenueOrder, account: str = "A") -> str:
    """Submit an order and let it reach the book."""
    order_id = venue.submit(account, order, venue.now_ns)
    settle(venue)
    return order_id


def statuses(venue: Venue, order_id: str, account: str = "A") -> list[OrderStatus]:
    """Return the statuses an order went through, repeats left out."""
    seen: list[OrderStatus] = []
    for state in venue.history(account, order_id):
        if not seen or seen[-1] is not state.status:
            seen.append(state.status)
    return seen


def refused(venue: Venue, order: VenueOrder, account: str = "A") -> tuple[ErrorKind, str]:
    """Submit an order that must be refused; return kind and text, and check that nothing is left of it."""
    before = venue.orders(account), venue.funds(account), venue.events(account, 0)
    with pytest.raises(VenueRejectError) as error:
        venue.submit(account, order, venue.now_ns)
    assert (venue.orders(account), venue.funds(account), venue.events(account, 0)) == before
    return error.value.kind, error.value.text
