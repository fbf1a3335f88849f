"""The demo's verdict: our orders, fills and positions against the simulated exchange's own ledger."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from dragoman.client import Client
from dragoman.emulator.contract import Emulator
from dragoman.emulator.host import EmulatorHost
from dragoman.emulator.venue.types import OrderState
from dragoman.model import OrderStatus, Product
from dragoman.portfolio import net_positions

ZERO = Decimal(0)
_NOTHING = (OrderStatus.CANCELED, ZERO)


async def prove(client: Client, emulator: Emulator, host: EmulatorHost) -> dict[str, Any]:
    """Compare three books of everything: ours, the broker's answers, the exchange's ledger.

    Returns
    -------
    dict
        ``agrees``, how many orders, fills and positions there were, and every difference in words.
    """
    discrepancies = await client.check_positions()
    positions = await client.positions()
    account, venue, store = client.session.ctx.account, emulator.venue, client.orders_service.store
    exchange = list(venue.orders(account))
    ours = {order.order_id: (order.status, order.filled_quantity) for order in store if order.order_id}
    theirs = {emulator.order_name(state.order_id): (_unified(state), state.filled_quantity) for state in exchange}
    # A change may leave an order behind: one of ours had that number, and at the exchange it ended without a fill.
    left_behind = {name for order in store for name in order.order_ids if name != order.order_id}
    theirs = {name: seen for name, seen in theirs.items() if name not in left_behind or seen != _NOTHING}
    for name, (status, filled) in ours.items():
        # To some brokers what is left of an immediate order expires; the exchange has one word for both.
        if status is OrderStatus.EXPIRED and theirs.get(name) == (OrderStatus.CANCELED, filled):
            theirs[name] = (status, filled)
    differences = _differ("order", ours, theirs)

    fills = {(fill.order_id, fill.trade_id): (fill.quantity, fill.price, fill.fee or 0) for fill in store.fills.all()}
    venue_fills = {emulator.fill_name(fill): (fill.quantity, fill.price, fill.fee) for fill in venue.fills(account)}
    differences += _differ("fill", fills, venue_fills)

    nets = client.portfolio.of_positions(net_positions(store.fills.all()))
    by_fills = {(key[0], key[1]): net.quantity for key, net in nets.items() if net.quantity}  # one side each
    by_broker = {(p.instrument_id, p.product): p.quantity for p in positions if p.quantity}
    wallet = bool(client.session.adapter.capabilities.features.get("balances"))
    by_exchange = {
        (p.instrument_id, p.product): p.quantity
        for p in venue.positions(account)
        if p.quantity and not (wallet and p.product is Product.DELIVERY)
    }
    differences += _differ("position by fills", by_fills, by_exchange)
    differences += _differ("position by the broker", by_broker, by_exchange)
    differences += [f"{d.instrument_id} {d.field}: {d.ours} by fills, {d.broker} by the broker" for d in discrepancies]

    differences += [f"order {order.client_order_id} has no proven outcome" for order in store.unknown]
    differences += [f"fill {fill.trade_id} belongs to no order" for fill in store.orphan_fills]
    counters = client.counters()
    if counters["handler_errors"]:
        differences.append(f"{counters['handler_errors']} handlers raised")
    if host.counters.emulator_errors:
        differences.append(f"the emulator raised {host.counters.emulator_errors} times")
    return {
        "agrees": not differences,
        "orders": len(exchange),
        "fills": len(venue_fills),
        "positions": len(by_exchange),
        "differences": differences,
    }


def _differ(what: str, here: Mapping[Any, Any], there: Mapping[Any, Any]) -> list[str]:
    names = sorted(here.keys() | there.keys(), key=str)
    return [
        f"{what} {name}: {here.get(name, 'nothing')} here, {there.get(name, 'nothing')} at the exchange"
        for name in names
        if here.get(name) != there.get(name)
    ]


def _unified(state: OrderState) -> OrderStatus:
    """The exchange's OPEN with something filled is PARTIALLY_FILLED in the unified model."""
    if state.status is OrderStatus.OPEN and state.filled_quantity:
        return OrderStatus.PARTIALLY_FILLED
    return state.status
