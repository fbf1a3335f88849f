"""A recount of an account from its fills: the proof that orders, positions and trades tell one story."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from dragoman.emulator.venue.accounts import Account
from dragoman.emulator.venue.exchange import Tape
from dragoman.emulator.venue.market import Market
from dragoman.emulator.venue.types import ZERO
from dragoman.model import Product


def recount(account: Account, tape: Sequence[Tape]) -> dict[str, object]:
    """Recount an account from its first fill on, without looking at its running totals until the end.

    Returns
    -------
    dict
        ``orders``: order_id, instrument_id, side, status, quantity, filled_quantity, canceled_quantity, average_price.
        ``fills``: trade_id, order_id, instrument_id, side, product, quantity, price, fee, fee_asset, counterparty (an
        order id, or None for an outside participant).
        ``positions``: per instrument and product of what is not settled into holdings: quantity, buy_quantity,
        buy_value, sell_quantity, sell_value, all since the account was opened.
        ``holdings``: change of each holding by settled fills; what commissions took of it is in ``fees``.
        ``cash_flow``: money received less money paid by all fills, commissions in another coin left out.
        ``fees``: commissions of all fills, by asset.
        ``problems``: what does not agree, in words; empty when the books are right.
    """
    problems: list[str] = []
    other = {(trade.trade_id, trade.buy_order): trade.sell_order for trade in tape}
    other |= {(trade.trade_id, trade.sell_order): trade.buy_order for trade in tape}
    filled: dict[str, Decimal] = {}
    sums: dict[tuple[str, Product], list[Decimal]] = {}
    settled: dict[str, Decimal] = {}
    fills: list[dict[str, object]] = []
    cash = ZERO
    fees: dict[str, Decimal] = {}
    for number, fill in enumerate(account.fills):
        order = account.orders[fill.order_id]
        value = fill.quantity * fill.price * order.market.listing.instrument.multiplier
        cash -= fill.side.sign * value
        if fill.fee:
            fees[fill.fee_asset] = fees.get(fill.fee_asset, ZERO) + fill.fee
            cash -= fill.fee if fill.fee_asset == order.market.listing.instrument.currency else ZERO
        filled[fill.order_id] = filled.get(fill.order_id, ZERO) + fill.quantity
        settled_now = number < account.settled_fills or order.market.listing.settles_at_once
        if settled_now and _delivered(order.market, fill.product):
            change = fill.side.sign * fill.quantity
            settled[fill.instrument_id] = settled.get(fill.instrument_id, ZERO) + change
        else:
            entry = sums.setdefault((fill.instrument_id, fill.product), [ZERO, ZERO, ZERO, ZERO])
            at = 0 if fill.side.sign > 0 else 2
            entry[at] += fill.quantity
            entry[at + 1] += value
        if (fill.trade_id, fill.order_id) not in other:
            problems.append(f"fill {fill.trade_id} of order {fill.order_id} is not on the tape")
        fills.append(
            {
                "trade_id": fill.trade_id,
                "order_id": fill.order_id,
                "instrument_id": fill.instrument_id,
                "side": fill.side.value,
                "product": fill.product.value,
                "quantity": fill.quantity,
                "price": fill.price,
                "fee": fill.fee,
                "fee_asset": fill.fee_asset,
                "counterparty": other.get((fill.trade_id, fill.order_id)),
            }
        )
    for number, (market, old, new, lots, value) in enumerate(account.conversions):
        instrument_id, size = market.instrument_id, market.quantity(lots)
        gone = number < account.settled_conversions
        for product, moved, money in ((old, -size, -value), (new, size, value)):
            if gone and _delivered(market, product):
                settled[instrument_id] = settled.get(instrument_id, ZERO) + moved
                continue
            entry = sums.setdefault((instrument_id, product), [ZERO, ZERO, ZERO, ZERO])
            at = 0 if lots > 0 else 2
            entry[at] += moved if lots > 0 else -moved
            entry[at + 1] += money if lots > 0 else -money
    orders: list[dict[str, object]] = []
    for order in account.orders.values():
        state = order.state
        if filled.get(state.order_id, ZERO) != state.filled_quantity:
            found = filled.get(state.order_id, ZERO)
            problems.append(f"order {state.order_id} says {state.filled_quantity} filled, its fills say {found}")
        orders.append(
            {
                "order_id": state.order_id,
                "instrument_id": state.order.instrument_id,
                "side": state.order.side.value,
                "status": state.status.value,
                "quantity": state.order.quantity,
                "filled_quantity": state.filled_quantity,
                "canceled_quantity": state.canceled_quantity,
                "average_price": state.average_price,
            }
        )
    positions: list[dict[str, object]] = []
    for (instrument_id, product), (bought, buy_value, sold, sell_value) in sums.items():
        held = account.positions.get((instrument_id, product))
        stands = held.market.quantity(held.lots) if held else ZERO
        if stands != bought - sold:
            problems.append(f"position {instrument_id} {product} is {stands}, its fills sum to {bought - sold}")
        positions.append(
            {
                "instrument_id": instrument_id,
                "product": product.value,
                "quantity": bought - sold,
                "buy_quantity": bought,
                "buy_value": buy_value,
                "sell_quantity": sold,
                "sell_value": sell_value,
            }
        )
    problems += [
        f"position {key[0]} {key[1]} has no fills"
        for key, held in account.positions.items()
        if held.lots and key not in sums
    ]
    return {
        "account": account.name,
        "orders": orders,
        "fills": fills,
        "positions": positions,
        "holdings": settled,
        "cash_flow": cash,
        "fees": fees,
        "problems": problems,
    }


def _delivered(market: Market, product: Product) -> bool:
    """Whether a position in it becomes a holding when the day ends."""
    return product is Product.DELIVERY and not market.listing.margined
