"""Terms of an order that is not placed yet: what a broker refuses when an instruction is made, not when it fires."""

from __future__ import annotations

from decimal import Decimal

from dragoman.emulator.venue.types import VenueOrder, VenueProtocol


def check_terms(venue: VenueProtocol, order: VenueOrder, trigger: Decimal | None = None) -> None:
    """Refuse an order that the venue could never take, whenever it came; `trigger` is the price that brings it.

    The day's price band is left to the day on which it fires.

    Raises
    ------
    ValueError
        Naming the term.
    """
    listing = venue.listing(order.instrument_id)
    if listing is None or not listing.instrument.tradable:
        raise ValueError(f"{order.instrument_id} cannot be traded")
    instrument = listing.instrument
    lot, freeze, tick = instrument.lot_size or Decimal(1), instrument.freeze_quantity, instrument.tick_size
    if order.quantity <= 0 or order.quantity % lot:
        raise ValueError(f"quantity {order.quantity} is not a positive multiple of {lot}")
    if freeze is not None and order.quantity > freeze:
        raise ValueError(f"quantity {order.quantity} is above the freeze quantity {freeze}")
    for name, price in (("trigger", trigger), ("price", order.price), ("trigger price", order.trigger_price)):
        if price is not None and (price <= 0 or (tick and price % tick)):
            raise ValueError(f"{name} {price} is not a positive multiple of the tick {tick}")
