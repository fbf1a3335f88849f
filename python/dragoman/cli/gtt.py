"""``dragoman gtt``: triggers that rest at the broker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import typer

from dragoman.checks import choice
from dragoman.checks.inputs import exact
from dragoman.cli.account import Account
from dragoman.cli.exits import Status, status_of
from dragoman.cli.output import amount, cell, moment, money, number, print_json, show, text
from dragoman.cli.trading import error_row, go_ahead
from dragoman.errors import AuthRequired, DragomanError, OutcomeUnknown, UsageError
from dragoman.model import Gtt, GttLeg, GttRequest, GttStatus, Product, Side
from dragoman.session.secrets import redact

if TYPE_CHECKING:
    from dragoman.client import Client

_COLUMNS = (
    text("id"),
    text("instrument"),
    text("side"),
    number("quantity"),
    money("trigger"),
    money("price", 1),
    text("status"),
    text("product", 3),
    text("expires", 4),
)
_DONE = {"place": "placed", "modify": "modified", "delete": "deleted"}


def listed(at: Account, *, everything: bool) -> None:
    """Print triggers; finished ones only where `everything` is wanted."""

    async def read(client: Client) -> list[Gtt]:
        found = await client.account.gtts(timeout_s=at.timeout)
        return [one for one in found if one.status is GttStatus.ACTIVE or everything]

    found = at.ask(read)
    if at.as_json:
        print_json(found)
        return
    rows = [
        {
            "id": one.gtt_id if i == 0 else "",
            "instrument": one.instrument_id if i == 0 else "or",
            "side": leg.side,
            "quantity": leg.quantity,
            "trigger": leg.trigger_price,
            "price": leg.price,
            "product": leg.product,
            "status": one.status if i == 0 else "",
            "expires": moment(one.ts_expires, at.zone)[:10] if i == 0 else "",
        }
        for one in found
        for i, leg in enumerate(one.legs)
    ]
    show("Triggers", _COLUMNS, rows)


def legs_of(side: str, quantity: str, triggers: Sequence[str], prices: Sequence[str], product: str) -> list[GttLeg]:
    """Make one leg, or two with the lower trigger first, of what was typed.

    Raises
    ------
    UsageError
        Triggers and prices do not go together.
    """
    if len(triggers) not in (1, 2) or len(prices) != len(triggers):
        raise UsageError(
            f"{len(triggers)} triggers and {len(prices)} prices are named",
            remedy="give both once, or both twice",
        )
    made = [
        GttLeg(
            trigger_price=exact("trigger", trigger),
            side=choice(Side, "side", side),
            quantity=exact("quantity", quantity),
            price=exact("price", price),
            product=choice(Product, "product", product),
        )
        for trigger, price in zip(triggers, prices, strict=True)
    ]
    return sorted(made, key=lambda leg: leg.trigger_price)


def _words(legs: Sequence[GttLeg], instrument: str) -> str:
    each = " or ".join(f"at {amount(leg.trigger_price)} for {amount(leg.price)}" for leg in legs)
    return f"{legs[0].side} {cell(legs[0].quantity)} {instrument} {legs[0].product} {each}"


async def _last_price(client: Client, instrument: str, given: str | None) -> Decimal:
    if given is not None:
        return exact("last price", given)
    price = (await client.quote(instrument)).last_price
    if price is None:
        raise UsageError(f"{instrument} has no last price", remedy="give --last-price")
    return exact("last price", price)


def place(
    at: Account,
    instrument: str,
    side: str,
    quantity: str,
    triggers: Sequence[str],
    prices: Sequence[str],
    *,
    product: str,
    last_price: str | None,
    yes: bool,
) -> None:
    """Place a trigger with one leg or two."""
    legs = legs_of(side, quantity, triggers, prices, product)
    go_ahead(at, f"place trigger: {_words(legs, instrument)}", yes=yes)

    async def act(client: Client) -> str:
        found = client.instrument(instrument)
        last = await _last_price(client, instrument, last_price)
        request = GttRequest(instrument_id=found.instrument_id, legs=tuple(legs), last_price=last)
        return await client.account.place_gtt(request, timeout_s=at.timeout)

    _tell(at, "place", "", act)


def modify(
    at: Account,
    gtt_id: str,
    *,
    quantity: str | None,
    triggers: Sequence[str],
    prices: Sequence[str],
    last_price: str | None,
    yes: bool,
) -> None:
    """Replace terms of a trigger; what is not named stays as it is."""
    if quantity is None and not triggers and not prices:
        raise UsageError("nothing to change was named", remedy="give --trigger, --price or --quantity")
    named = ", ".join(
        f"{name} {value}"
        for name, value in (("trigger", " ".join(triggers)), ("price", " ".join(prices)), ("quantity", quantity))
        if value
    )
    go_ahead(at, f"modify trigger {gtt_id}: {named}", yes=yes)

    async def act(client: Client) -> str:
        now = await client.account.gtt(gtt_id, timeout_s=at.timeout)
        for what, given in (("triggers", triggers), ("prices", prices)):
            if given and len(given) != len(now.legs):
                raise UsageError(f"the trigger has {len(now.legs)} legs; {what} named: {len(given)}", remedy="name all")
        legs = [
            replace(
                leg,
                result=None,
                trigger_price=exact("trigger", triggers[i]) if triggers else leg.trigger_price,
                price=exact("price", prices[i]) if prices else leg.price,
                quantity=leg.quantity if quantity is None else exact("quantity", quantity),
            )
            for i, leg in enumerate(now.legs)
        ]
        last = await _last_price(client, now.instrument_id, last_price)
        request = GttRequest(instrument_id=now.instrument_id, legs=tuple(legs), last_price=last)
        return await client.account.modify_gtt(gtt_id, request, timeout_s=at.timeout)

    _tell(at, "modify", gtt_id, act)


def delete(at: Account, gtt_id: str, *, yes: bool) -> None:
    """Delete a trigger."""
    go_ahead(at, f"delete trigger {gtt_id}", yes=yes)

    async def act(client: Client) -> str:
        return await client.account.delete_gtt(gtt_id, timeout_s=at.timeout)

    _tell(at, "delete", gtt_id, act)


def _tell(at: Account, act: str, gtt_id: str, work: Callable[[Client], Awaitable[str]]) -> None:
    """Perform it, print the outcome and end with its exit status."""
    error: DragomanError | None = None
    try:
        gtt_id = at.ask(work, trading=True, orders=False) or gtt_id
    except (UsageError, AuthRequired):
        raise
    except DragomanError as refused:
        error = refused
    status = Status.OK if error is None else status_of(error)
    word = {Status.OK: "confirmed", Status.REJECTED: "rejected", Status.UNKNOWN: "UNKNOWN"}.get(status, "not sent")
    advice = (
        f"It may have been done. `{at.spelled('gtt list')}` shows the triggers there are; look before you do anything,"
        f" and do not {act} it again on a guess."
        if isinstance(error, OutcomeUnknown)
        else ""
    )
    if at.as_json:
        told: dict[str, Any] = {"outcome": word.lower().replace(" ", "_"), "act": act, "gtt_id": gtt_id or None}
        print_json(told | {"error": None if error is None else error_row(error), "advice": advice or None})
    else:
        about = f"trigger {gtt_id}" if gtt_id else "trigger"
        print(f"{word}: {about} {_DONE[act]}" if error is None else f"{word}: {act} {about}: {redact(str(error))}")
        if advice:
            print(advice)
    raise typer.Exit(status)
