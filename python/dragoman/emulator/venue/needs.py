"""What orders would tie up if they were placed: the rule of `margin`, asked without placing anything."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from dragoman.emulator.venue.accounts import Account
from dragoman.emulator.venue.margin import NOTHING, Requirement, Terms, to_decimal
from dragoman.emulator.venue.market import Market
from dragoman.emulator.venue.risk import Ticket, refuse
from dragoman.emulator.venue.types import OrderNeed
from dragoman.errors import ErrorKind
from dragoman.model import Product

Wanted = tuple[Market, Ticket]


def needs(account: Account, wanted: Sequence[Wanted], *, positions: bool) -> tuple[Sequence[OrderNeed], Decimal]:
    """Return what each order needs alone, and all of them together beside what `account` holds."""
    alone = [_alone(market, ticket) for market, ticket in wanted]
    groups: dict[tuple[str, Product], list[Wanted]] = {}
    for market, ticket in wanted:
        groups.setdefault((market.instrument_id, ticket.order.product), []).append((market, ticket))
    together = sum((_group(account, key, group, positions) for key, group in groups.items()), NOTHING)
    return alone, to_decimal(together)


def _terms(market: Market, product: Product) -> Terms:
    if product not in market.listing.margin_rate:
        refuse(ErrorKind.NOT_SUPPORTED, f"product {product} is not offered for {market.instrument_id}")
    return Terms.of(market, product)


def _alone(market: Market, ticket: Ticket) -> OrderNeed:
    terms = _terms(market, ticket.order.product)
    signed = ticket.sign * ticket.lots
    need = to_decimal(terms.held(signed, Fraction(signed * ticket.reserve)))
    if terms.delivery:
        return OrderNeed(delivery=need)
    return OrderNeed(premium=need) if terms.paid and signed > 0 else OrderNeed(pledge=need)


def _group(account: Account, key: tuple[str, Product], group: Sequence[Wanted], positions: bool) -> Fraction:
    """Return what a group adds: orders of one instrument and product net against each other, unlike open orders."""
    terms = _terms(group[0][0], key[1])
    held = account.positions.get(key) if positions else None
    lots, cost = (held.lots, held.cost) if held else (0, NOTHING)
    before: Requirement = terms.require(lots, cost, (), ())
    for _, ticket in group:
        closing = min(ticket.lots, max(0, -ticket.sign * lots))
        if closing:
            cost -= cost * closing / abs(lots)
        lots += ticket.sign * ticket.lots
        cost += ticket.sign * (ticket.lots - closing) * ticket.reserve
    return max(terms.held(lots, Fraction(cost)) - before.used, NOTHING)
