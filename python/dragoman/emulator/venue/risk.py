"""Checks before the queue: what the risk layer refuses at once, before an order exists.

The order of the checks is the order of the questions: is there such an instrument, may this account trade it, is the
order well formed (type, quantity, price), is it covered (holdings, margin). Each refusal is a `VenueRejectError` with
a text that names what was found and what was expected.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import NoReturn

from dragoman.emulator.venue.accounts import Account
from dragoman.emulator.venue.margin import NOTHING, to_decimal
from dragoman.emulator.venue.market import Market
from dragoman.emulator.venue.types import VenueOrder, VenueRejectError
from dragoman.errors import ErrorKind
from dragoman.model import OrderType, Product, Side, TimeInForce, Variety

IST = timezone(timedelta(hours=5, minutes=30))
TOUCHED = frozenset((OrderType.MARKET_IF_TOUCHED, OrderType.LIMIT_IF_TOUCHED))
"""Orders that wait for a better price, where stops wait for a worse one."""
_TYPES = TOUCHED | {OrderType.MARKET, OrderType.LIMIT, OrderType.STOP_MARKET, OrderType.STOP_LIMIT}
_VALIDITIES = frozenset((TimeInForce.DAY, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK))
_MOST_LOTS = 10**18  # a lot may be a billionth of a share


@dataclass(frozen=True, slots=True)
class Ticket:
    """An order in whole ticks and lots, as the book takes it. `reserve` is the price its margin counts at."""

    order: VenueOrder
    sign: int
    lots: int
    ticks: int | None
    trigger: int | None
    reserve: int


def refuse(kind: ErrorKind, text: str) -> NoReturn:
    raise VenueRejectError(kind, text)


def check_tradable(account: Account, market: Market, product: Product, now_ns: int) -> None:
    """Refuse an instrument, segment or product this account cannot trade now."""
    listing, instrument = market.listing, market.listing.instrument
    name = market.instrument_id
    if not market.tradable:
        refuse(ErrorKind.INSTRUMENT_NOT_TRADABLE, f"{name} is not tradable")
    if instrument.expiry is not None and exchange_date(now_ns) > instrument.expiry:
        refuse(ErrorKind.INSTRUMENT_NOT_TRADABLE, f"{name} expired on {instrument.expiry}")
    if product not in listing.margin_rate:
        offered = ", ".join(sorted(listing.margin_rate)) or "none"
        refuse(ErrorKind.NOT_SUPPORTED, f"product {product} is not offered for {name}; offered: {offered}")
    if account.pool(listing.segment) is None:
        refuse(ErrorKind.PERMISSION_DENIED, f"segment {listing.segment} is not enabled for account {account.name}")


def exchange_date(now_ns: int) -> date:
    """Return the date in exchange time."""
    return datetime.fromtimestamp(now_ns // 1_000_000_000, IST).date()


def ticket(market: Market, order: VenueOrder) -> Ticket:
    """Check the form of an order and write it in ticks and lots.

    A market order with protection becomes a limit order at the best opposite price (the last price where there is
    none) plus or minus that percentage; a stop market order with protection becomes a stop limit order, measured from
    its trigger. The limit is rounded inwards to the tick and kept inside the circuit band.
    """
    if order.order_type not in _TYPES:
        refuse(ErrorKind.NOT_SUPPORTED, f"order type {order.order_type} is not supported")
    if order.time_in_force not in _VALIDITIES:
        refuse(ErrorKind.NOT_SUPPORTED, f"validity {order.time_in_force} is not supported; use DAY, GTC, IOC or FOK")
    if order.variety is not Variety.REGULAR:
        refuse(ErrorKind.NOT_SUPPORTED, f"variety {order.variety} is not supported")
    sign = order.side.sign
    lots = whole_lots(market, order.quantity)
    shown = order.display_quantity
    if shown is not None and not (shown.is_finite() and 0 <= shown <= order.quantity):
        refuse(ErrorKind.INVALID_QUANTITY, f"disclosed quantity {shown} is outside 0 to {order.quantity}")
    trigger = whole_ticks(market, order.trigger_price, "trigger price") if order.order_type.has_trigger else None
    ticks = whole_ticks(market, order.price, "price") if order.order_type.has_price else None
    reference = trigger if trigger is not None else market.book.best(-sign)
    if reference is None:
        reference = market.last
    if order.protection and ticks is None:
        ticks = _protected(market, sign, reference, order.protection)
        kind = OrderType.LIMIT if trigger is None else OrderType.STOP_LIMIT
        order = replace(order, order_type=kind, price=market.price(ticks))
    stops = market.listing.ordered_stops and order.order_type not in TOUCHED
    if ticks is not None and trigger is not None and stops and sign * ticks < sign * trigger:
        side, other = ("above", "at or above") if sign > 0 else ("below", "at or below")
        refuse(
            ErrorKind.BAD_REQUEST,
            f"trigger price {order.trigger_price} of a stop {order.side} order is {side} its price {order.price}; "
            f"the price must be {other} the trigger",
        )
    price = None if ticks is None else market.price(ticks)
    stop = None if trigger is None else market.price(trigger)
    order = replace(order, price=price, trigger_price=stop)
    return Ticket(order, sign, lots, ticks, trigger, reference if ticks is None else ticks)


def check_cover(account: Account, market: Market, wanted: Ticket, *, replacing: str | None = None) -> None:
    """Refuse an order that holdings or margin do not cover.

    Parameters
    ----------
    replacing : str, optional
        The open order that `wanted` changes; its own reservation is what the change is compared with.
    """
    held = account.held(market, wanted.order.product)
    old = held.orders.get(replacing) if replacing else None
    filled = old.filled_lots if old else 0
    lots = wanted.lots - filled
    if held.terms.delivery and wanted.order.side is Side.SELL:
        free = account.sellable(market) + (old.reserved_lots if old else 0)
        if lots > free:
            refuse(
                ErrorKind.INSUFFICIENT_HOLDINGS,
                f"Insufficient holdings of {market.instrument_id}: {market.quantity(max(free, 0))} free to sell, "
                f"{market.quantity(lots)} wanted",
            )
        return
    if wanted.order.product is Product.MTF and wanted.order.side is Side.SELL:
        selling = sum(order.reserved_lots for order in held.orders.values() if order.sign < 0 and order is not old)
        free = max(held.lots - selling, 0)
        if lots > free:  # what was bought on margin funding may be sold, but nothing short
            refuse(
                ErrorKind.INSUFFICIENT_HOLDINGS,
                f"Insufficient margin-funded holdings of {market.instrument_id}: {market.quantity(free)} free to sell, "
                f"{market.quantity(lots)} wanted",
            )
    orders: dict[int, list[tuple[int, int]]] = {1: [], -1: []}
    for order in held.orders.values():
        if order is old:
            orders[order.sign].append((max(lots, order.reserved_lots), max(wanted.reserve, order.reserved_ticks)))
        else:
            orders[order.sign].append((order.reserved_lots, order.reserved_ticks))
    if old is None:
        orders[wanted.sign].append((lots, wanted.reserve))
    needed = held.terms.require(held.lots, held.cost, orders[1], orders[-1]).blocked - held.need.blocked
    pool = account.pool(market.listing.segment)
    assert pool is not None
    if needed > 0 and needed > (free_money := pool.net):
        refuse(
            ErrorKind.INSUFFICIENT_MARGIN,
            f"Insufficient funds in {pool.segment}: required {_money(to_decimal(needed))}, "
            f"available {_money(to_decimal(max(free_money, NOTHING)))}",
        )


def whole_lots(market: Market, quantity: Decimal) -> int:
    """Return a quantity in lots, or refuse one that is not whole lots or above the freeze quantity."""
    lots = market.to_lots(quantity) if quantity.is_finite() and abs(quantity) <= _MOST_LOTS * market.lot else None
    if lots is None or lots <= 0:
        refuse(
            ErrorKind.INVALID_QUANTITY,
            f"quantity {quantity} of {market.instrument_id} is not a positive multiple of the lot size {market.lot}",
        )
    freeze = market.listing.instrument.freeze_quantity
    if freeze is not None and quantity > freeze:
        text = f"quantity {quantity} of {market.instrument_id} is above the freeze quantity {freeze}"
        refuse(ErrorKind.FREEZE_QTY_EXCEEDED, text)
    return lots


def whole_ticks(market: Market, price: Decimal | None, what: str) -> int:
    """Return a price in ticks, or refuse one that is absent, out of the band or off the grid."""
    if price is None or not price.is_finite() or price <= 0:
        refuse(ErrorKind.BAD_REQUEST, f"{what} is {price}, expected a positive number")
    low, high = market.price(market.low_limit), market.price(market.high_limit)
    if not low <= price <= high:
        refuse(
            ErrorKind.PRICE_OUT_OF_BAND,
            f"{what} {price} of {market.instrument_id} is outside the circuit limits {low} to {high}",
        )
    ticks = market.to_ticks(price)
    if ticks is None:
        refuse(
            ErrorKind.INVALID_PRICE_TICK,
            f"{what} {price} of {market.instrument_id} is not a multiple of the tick size {market.tick}",
        )
    return ticks


def _protected(market: Market, sign: int, reference: int, percent: Decimal) -> int:
    if not percent.is_finite() or not 0 < percent <= 100:
        refuse(ErrorKind.BAD_REQUEST, f"market protection is {percent} percent, expected above 0 and at most 100")
    # Rounded inwards: protection never allows a worse price than it says, but always the reference itself.
    scaled = int(percent * 10**6)
    reach = reference * scaled // 10**8
    return min(max(reference + sign * reach, market.low_limit), market.high_limit)


def _money(value: Decimal) -> str:
    return f"{value:.2f}"
