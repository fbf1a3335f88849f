"""Price on the tick grid, quantity on the lot grid: refused with the nearest valid values, never rounded silently."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from dragoman.errors import ErrorKind, UsageError
from dragoman.model import Instrument

_MOST_DIGITS = 15


def check_price(name: str, price: Decimal, instrument: Instrument) -> None:
    """Refuse a price that is not a positive multiple of the tick, or lies outside the instrument's band.

    Raises
    ------
    UsageError
        Kind INVALID_PRICE_TICK or PRICE_OUT_OF_BAND, naming the nearest valid prices.
    """
    tick = instrument.tick_size
    signed = instrument.asset_class == "COMMODITY"
    low, high = instrument.price_band_low, instrument.price_band_high
    if (
        price.is_finite()
        and price.adjusted() <= _MOST_DIGITS
        and (signed or price > 0)
        and not (tick and price % tick)
        and (low is None or price >= low)
        and (high is None or price <= high)
    ):
        return
    where = f"{instrument.instrument_id}: {name} {price}"
    if not _is_sane(price) or (price <= 0 and not signed):
        raise UsageError(f"{where} is not a price", kind=ErrorKind.INVALID_PRICE_TICK, remedy="give a positive price")
    if tick and price % tick:
        below, above = _around(price, tick)
        raise UsageError(
            f"{where} is off the tick of {tick}",
            kind=ErrorKind.INVALID_PRICE_TICK,
            remedy=f"nearest valid: {below} or {above}" if below > 0 or signed else f"nearest valid: {above}",
        )
    raise UsageError(
        f"{where} is outside the day's band {low} to {high}",
        kind=ErrorKind.PRICE_OUT_OF_BAND,
        remedy=f"nearest valid: {low if low is not None and price < low else high}",
    )


def check_quantity(name: str, quantity: Decimal, instrument: Instrument, *, freeze: bool = True) -> None:
    """Refuse a quantity that is not a positive multiple of the lot, or (with `freeze`) above the freeze quantity.

    Raises
    ------
    UsageError
        Kind INVALID_QUANTITY or FREEZE_QTY_EXCEEDED, naming the nearest valid quantities.
    """
    lot, most = instrument.lot_size, instrument.freeze_quantity if freeze else None
    if (
        quantity.is_finite()
        and quantity.adjusted() <= _MOST_DIGITS
        and quantity > 0
        and not (lot and quantity % lot)
        and (most is None or quantity <= most)
    ):
        return
    where = f"{instrument.instrument_id}: {name} {quantity}"
    if quantity.is_finite() and not _is_sane(quantity):
        raise UsageError(
            f"{where} is too large: no market counts beyond 10^{_MOST_DIGITS}",
            kind=ErrorKind.INVALID_QUANTITY,
            remedy=f"give a multiple of {lot}",
        )
    if not quantity.is_finite() or quantity <= 0:
        raise UsageError(
            f"{where} is not a quantity", kind=ErrorKind.INVALID_QUANTITY, remedy=f"give a multiple of {lot} above 0"
        )
    if lot and quantity % lot:
        below, above = _around(quantity, lot)
        nearest = f"{below} or {above}" if below > 0 else f"{above}"
        raise UsageError(
            f"{where} is not a multiple of the lot of {lot}",
            kind=ErrorKind.INVALID_QUANTITY,
            remedy=f"nearest valid: {nearest}",
        )
    raise UsageError(
        f"{where} is above the exchange's freeze quantity of {most}",
        kind=ErrorKind.FREEZE_QTY_EXCEEDED,
        remedy=f"split it into orders of at most {most}",
    )


def _is_sane(value: Decimal) -> bool:
    """Whether a number is one that exact arithmetic on a grid can hold: no market counts beyond 10^15."""
    return value.is_finite() and value.adjusted() <= _MOST_DIGITS


def _around(value: Decimal, step: Decimal) -> tuple[Decimal, Decimal]:
    steps = value / step
    below = steps.to_integral_value(ROUND_FLOOR) * step
    above = steps.to_integral_value(ROUND_CEILING) * step
    return below, above
