"""Positions, holdings, margins, conversions, charges, compared with the venue's ledger."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from dragoman.model import Margin, OrderRequest, OrderType, Product, Segment, Side
from dragoman.testing.conformance.grammar import Price, step
from dragoman.testing.conformance.stage import MismatchError, Stage

_CENT = Decimal("0.01")


@step("account holds <quantity:number> <of:role> bought at <price:price>")
async def holds(stage: Stage, quantity: Decimal, of: str, price: Price) -> None:
    """Put securities into the account, as if bought on an earlier day."""
    stage.venue.set_holding(stage.account, stage.id_of(of), stage.quantity(quantity, of), stage.price(price, of))


@step("expect position <of:role> <quantity:number>")
async def expect_position(stage: Stage, of: str, quantity: Decimal) -> None:
    """The net position of an instrument, in steps; below 0 it is short."""
    name, wanted = stage.id_of(of), stage.quantity(quantity, of)
    found = sum((one.quantity for one in await stage.client.positions() if one.instrument_id == name), Decimal(0))
    if found != wanted:
        raise MismatchError(f"the position of {of} ({name}) is {found}, expected {wanted}")


@step("expect positions like the venue's")
async def expect_positions(stage: Stage) -> None:
    """Every position: product, quantity, average price, and what was bought and sold today."""
    truth = {(one.instrument_id, one.product): one for one in stage.venue.positions(stage.account)}
    rows = await stage.client.positions()
    found = {(one.instrument_id, stage.at_venue(one.instrument_id, one.product)): one for one in rows}
    flat = {key for key, one in truth.items() if not one.quantity}
    if set(truth) - flat - set(found) or set(found) - set(truth):
        raise MismatchError(f"positions are {sorted(found)}, the venue has {sorted(truth)}")
    for key, one in found.items():
        theirs = truth[key]
        if one.quantity != theirs.quantity:
            raise MismatchError(f"the position {key} is {one.quantity}, the venue has {theirs.quantity}")
        average = one.average_price
        if theirs.quantity and average is not None and abs(average - theirs.average_price) > _CENT:
            raise MismatchError(f"average_price of {key} is {average}, the venue has {theirs.average_price}")
        for ours, quantity in (
            (one.day_buy_quantity, theirs.day_buy_quantity),
            (one.day_sell_quantity, theirs.day_sell_quantity),
        ):
            if ours and ours != quantity:
                raise MismatchError(f"today's quantity of {key} is {ours}, the venue has {quantity}")


@step("expect positions add up")
async def expect_sums(stage: Stage) -> None:
    """Positions are the sum of the fills the client has seen."""
    await stage.client.orders()
    found = await stage.client.check_positions()
    if found:
        raise MismatchError(f"{found[0]!r}")


@step("expect holdings like the venue's")
async def expect_holdings(stage: Stage) -> None:
    """Every holding: its whole quantity, and its average price."""
    truth = {one.instrument_id: one for one in stage.venue.holdings(stage.account)}
    found = {one.instrument_id: one for one in await stage.client.holdings() if _whole(one)}
    if set(found) != set(truth):
        raise MismatchError(f"holdings are {sorted(found)}, the venue has {sorted(truth)}")
    for name, one in found.items():
        if _whole(one) != truth[name].quantity:
            raise MismatchError(f"the holding of {name} is {_whole(one)}, the venue has {truth[name].quantity}")
        average = one.average_price
        if average is not None and abs(average - truth[name].average_price) > _CENT:
            raise MismatchError(f"average_price of {name} is {average}, the venue has {truth[name].average_price}")


def _whole(holding: Any) -> Decimal:
    """Return settled, undelivered and pledged parts together."""
    whole: Decimal = holding.quantity + holding.t1_quantity + holding.pledged_quantity
    return whole


@step("expect margins like the venue's")
async def expect_margins(stage: Stage) -> None:
    """What can be used, by segment, to the cent."""
    found, truth = await stage.client.margins(), stage.venue.funds(stage.account)
    pairs = _pairs(found, truth)
    if not pairs:
        raise MismatchError(f"margins of {sorted(found)}, the venue has {sorted(truth)}")
    for segment, ours, theirs in pairs:
        if ours is None or abs(ours - theirs) > _CENT:
            raise MismatchError(f"net of {segment} is {ours}, the venue has {theirs}")


def _pairs(found: Mapping[Segment, Margin], truth: Mapping[Segment, Any]) -> list[tuple[str, Decimal | None, Decimal]]:
    if len(found) == len(truth) == 1:
        (ours,), (theirs,) = found.values(), truth.values()
        return [("the account", ours.net, theirs.net)]
    if set(found) == {Segment.ALL} and Segment.ALL not in truth:
        whole = sum((theirs.net for theirs in truth.values()), Decimal(0))
        return [("all segments", found[Segment.ALL].net, whole)]
    if list(found) == [Segment.ALL]:
        return [("all segments", found[Segment.ALL].net, sum((one.net for one in truth.values()), Decimal(0)))]
    return [(str(name), found[name].net, truth[name].net) for name in found if name in truth]


@step("note the margins")
async def note_margins(stage: Stage) -> None:
    """Remember what can be used."""
    stage.asked["margins"] = await _free(stage)


@step("expect less margin than noted")
async def expect_less(stage: Stage) -> None:
    """Less can be used than before: an order or a position ties it up."""
    before, now = stage.asked["margins"], await _free(stage)
    if not now < before:
        raise MismatchError(f"{now} can be used, {before} before")


@step("expect as much margin as noted")
async def expect_same(stage: Stage) -> None:
    """As much can be used as before."""
    before, now = stage.asked["margins"], await _free(stage)
    if abs(now - before) > _CENT:
        raise MismatchError(f"{now} can be used, {before} before")


async def _free(stage: Stage) -> Decimal:
    nets = [one.net for one in (await stage.client.margins()).values() if one.net is not None]
    if not nets:
        raise MismatchError("no margin has a net")
    return sum(nets, Decimal(0))


@step("convert <quantity:number> <of:role> to <product:word>")
async def convert(stage: Stage, quantity: Decimal, of: str, product: str) -> None:
    """Convert part of a position to another product."""
    name = stage.id_of(of)
    found = [one for one in await stage.client.positions() if one.instrument_id == name]
    if not found:
        raise MismatchError(f"there is no position in {of}")
    await stage.client.convert(found[0], Product(product), stage.quantity(quantity, of))


@step("expect an order of <quantity:number> <of:role> at <price:price> needs margin")
async def expect_needs(stage: Stage, quantity: Decimal, of: str, price: Price) -> None:
    """What an order would tie up is above 0, and twice the quantity ties up twice as much."""
    once, twice = [
        (await stage.client.order_margin([_wish(stage, quantity * times, of, price)]))[0].total for times in (1, 2)
    ]
    if once is None or twice is None or once <= 0:
        raise MismatchError(f"an order needs {once}, expected more than 0")
    if abs(twice - 2 * once) > 2 * _CENT:
        raise MismatchError(f"an order needs {once}, twice as much {twice}")


def _wish(stage: Stage, quantity: Decimal, of: str, price: Price) -> OrderRequest:
    return OrderRequest(
        instrument_id=stage.id_of(of),
        side=Side.BUY,
        quantity=stage.quantity(quantity, of),
        order_type=OrderType.LIMIT,
        price=stage.price(price, of),
        product=stage.cast.product(of),
    )


@step("expect charges of <order:name>")
async def expect_charges(stage: Stage, order: str) -> None:
    """The taxes and fees of its executions are above 0 and add up."""
    fills = await stage.client.trades(stage.order(order))
    for one in await stage.client.charges(fills):
        if one.total is None or one.total <= 0:
            raise MismatchError(f"the charges are {one!r}, expected a total above 0")


@step("expect fees on the trades of <order:name>")
async def expect_fees(stage: Stage, order: str) -> None:
    """Each execution carries its fee."""
    for fill in await stage.client.trades(stage.order(order)):
        if fill.fee is None or not fill.fee_currency:
            raise MismatchError(f"trade {fill.trade_id} carries no fee, or does not say in what currency")
