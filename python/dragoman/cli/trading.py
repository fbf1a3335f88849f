"""Commands that trade: place, modify, cancel.

Each tells what became of the request in one of four words: *confirmed*, *rejected*, *not sent*, or *UNKNOWN*. Where the
answer was lost the broker's own book is read a few times before it is called UNKNOWN, and nobody is ever told to send
an order again whose outcome is not known.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import typer

from dragoman.checks import choice
from dragoman.checks.inputs import exact
from dragoman.cli import terminal
from dragoman.cli.account import Account
from dragoman.cli.exits import Status, status_of
from dragoman.cli.look import find_order
from dragoman.cli.output import amount, order_kind, plain, print_json
from dragoman.cli.usual import product_of, validity_of
from dragoman.errors import DragomanError, OutcomeUnknown, StaleData, UsageError
from dragoman.model import Order, OrderStatus, OrderType, Pending, Product, Side, TimeInForce, Variety
from dragoman.runtime.base import Runtime
from dragoman.session.secrets import redact

if TYPE_CHECKING:
    from dragoman.client import Client

_SETTLE_S = 3.0
_LOOKS_S = (0.2, 1.0, 2.0)
_ON_ITS_WAY = (OrderStatus.CREATED, OrderStatus.SUBMITTED, OrderStatus.ACCEPTED)
_WORDED: Final[Mapping[str, type[StrEnum]]] = {
    "order_type": OrderType,
    "product": Product,
    "time_in_force": TimeInForce,
    "variety": Variety,
}
_WORDS = {Status.OK: "confirmed", Status.REJECTED: "rejected", Status.UNKNOWN: "UNKNOWN"}


def type_of(price: str | None, trigger: str | None) -> str:
    """Return the order type that the prices given mean."""
    if trigger is not None:
        return "STOP_MARKET" if price is None else "STOP_LIMIT"
    return "MARKET" if price is None else "LIMIT"


def whole(name: str, value: str) -> int:
    """Return a whole number as it was typed. Raises UsageError."""
    number = exact(name, value)
    if number != number.to_integral_value():
        raise UsageError(f"{name} {value!r} is not a whole number")
    return int(number)


def place(
    at: Account,
    side: str,
    quantity: str | None,
    instrument: str,
    terms: Mapping[str, Any],
    *,
    yes: bool,
    wait: float,
    allow_stale: bool,
) -> None:
    """Place one order and tell its outcome.

    Raises
    ------
    UsageError
        A word of it is wrong: nobody is asked about such an order.
    """
    terms = _worded(at, side, quantity, instrument, terms)
    amount = f"{terms['lots']} lots" if quantity is None else quantity
    prices = [
        str(terms[name]) if name == "price" else f"trigger {terms[name]}"
        for name in ("price", "trigger_price")
        if terms.get(name) is not None
    ]
    words = [side.upper(), amount, instrument, str(terms["order_type"]).upper(), *prices]
    more = [
        str(terms[name]).upper()
        for name, usual in (("product", "DELIVERY"), ("time_in_force", "DAY"), ("variety", "REGULAR"))
        if str(terms[name]).upper() != usual
    ]
    go_ahead(at, " ".join(("place", *words, *more)), yes=yes)

    # What is not to rest in the book is over in a moment, and its end is worth that moment.
    rests = "MARKET" not in words[3] and str(terms["time_in_force"]).upper() != "IOC"

    def done(order: Order) -> bool:
        return order.status.terminal or (rests and order.status not in _ON_ITS_WAY)

    async def act(client: Client) -> tuple[Order, DragomanError | None]:
        sent = client.place(instrument, side, quantity, **terms, timeout_s=at.timeout, allow_stale=allow_stale)
        return await _outcome(client, sent, done, wait)

    order, error = at.ask(act, trading=True, streams=True)
    refused = error is None and order.status in (OrderStatus.REJECTED, OrderStatus.DENIED)
    tell(at, "place", order, error, (order.reject.text if order.reject else "by the broker") if refused else "")


def _worded(at: Account, side: str, quantity: str | None, instrument: str, terms: Mapping[str, Any]) -> dict[str, Any]:
    """Return the terms with what is usual where nothing was said, and with words that there are."""
    try:
        choice(Side, "side", side)
        if quantity is not None:
            exact("quantity", quantity)
    except UsageError as error:
        if ":" not in f"{side} {quantity}":  # no instrument stands in their places
            raise
        raise UsageError(str(error.args[0]), remedy="write it as: dragoman place BUY 10 NSE:INFY") from None
    found = dict(terms)
    found["product"] = terms["product"] or product_of(at.adapter, instrument)
    found["time_in_force"] = terms["time_in_force"] or validity_of(at.adapter)
    for name, kind in _WORDED.items():
        found[name] = choice(kind, name, found[name]).value
    return found


def modify(at: Account, name: str, changes: Mapping[str, Any], *, yes: bool, allow_stale: bool) -> None:
    """Change a working order and tell the outcome."""
    asked = {key: value for key, value in changes.items() if value is not None}
    if not asked:
        raise UsageError("nothing to change was named", remedy="give --price, --quantity or another term")
    go_ahead(at, f"modify order {name}: {', '.join(f'{k} {v}' for k, v in asked.items())}", yes=yes)

    async def act(client: Client) -> tuple[Order, DragomanError | None]:
        order = find_order(client, name)
        sent = client.modify(order, **asked, timeout_s=at.timeout, allow_stale=allow_stale)
        return await _outcome(client, sent, _at_rest, 0.0, order)

    order, error = at.ask(act, trading=True, streams=True)
    tell(at, "modify", order, error, "" if error else _unchanged(order, asked))


def cancel(at: Account, name: str, *, yes: bool) -> None:
    """Cancel a working order and tell the outcome."""
    go_ahead(at, f"cancel order {name}", yes=yes)

    async def act(client: Client) -> tuple[Order, DragomanError | None]:
        order = find_order(client, name)
        return await _outcome(client, client.cancel(order, timeout_s=at.timeout), _at_rest, 0.0, order)

    order, error = at.ask(act, trading=True, streams=True)
    late = error is None and order.status.terminal and order.status is not OrderStatus.CANCELED
    tell(at, "cancel", order, error, f"the order was {order.status} before the cancel reached it" if late else "")


def go_ahead(at: Account, what: str, *, yes: bool) -> None:
    """Ask the human whether to do it, naming environment and account; return only if so.

    Raises
    ------
    UsageError
        Nobody can be asked.
    typer.Exit
        The answer is no.
    """
    if yes:
        return

    async def named(runtime: Runtime) -> str:
        profile = await at.load(runtime)
        kept = await runtime.in_worker(at.kept, runtime, profile)
        account = f" ({kept.account})" if kept is not None else ""
        return f"{profile.environment.upper()} {profile.name}@{profile.broker}{account}"

    if not terminal.confirm(f"{at.perform(named)} {what}?"):
        print("dragoman: nothing was sent", file=sys.stderr)
        raise typer.Exit(Status.NO)


# -- the outcome -------------------------------------------------------------------------------------------------------


def _at_rest(order: Order) -> bool:
    return order.pending is Pending.NONE or order.status.terminal


async def _outcome(
    client: Client,
    sent: Awaitable[Order],
    settled: Callable[[Order], bool],
    wait_s: float,
    known: Order | None = None,
) -> tuple[Order, DragomanError | None]:
    """Await a request about an order, and then what became of the order.

    Returns
    -------
    tuple of Order and DragomanError or None
        The order as it is known now, and what was wrong.

    Raises
    ------
    DragomanError
        Nothing is known of an order: it was refused before it was entered anywhere.
    """
    task = asyncio.ensure_future(sent)
    error: DragomanError | None = None
    order = known
    try:
        order = await _uninterrupted(task)
    except OutcomeUnknown as unknown:
        error = unknown
        order = await _look(client, unknown.client_order_id or (known.client_order_id if known else ""), settled)
        if order is not None and settled(order) and order.status is not OrderStatus.UNKNOWN:
            error = None
    except UsageError:
        raise  # the call was wrong: there is no outcome to tell
    except DragomanError as refused:
        found = client.order(refused.client_order_id) if refused.client_order_id else known
        if found is None:
            raise
        return found, refused
    if order is None:
        raise error or UsageError("the order is not known")
    if error is None:
        until, patience = (lambda one: one.status.terminal, wait_s) if wait_s else (settled, _SETTLE_S)
        try:
            order = await client.wait_order(order, until, timeout_s=patience)
        except StaleData:
            order = client.order(order) or order  # it is confirmed all the same; its status says how far it is
    return order, error


async def _uninterrupted(task: asyncio.Future[Order]) -> Order:
    """Await a request that is on its way through an interruption: its outcome is worth the wait."""
    try:
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            told = "dragoman: it is on its way; waiting for the answer (Ctrl-C again leaves)"
            print(told, file=sys.stderr, flush=True)
            return await task
    except (asyncio.CancelledError, KeyboardInterrupt):  # the second may strike anywhere in here
        left = "dragoman: UNKNOWN: it may have been carried out. Do not send it again; `dragoman orders` tells"
        print(left, file=sys.stderr, flush=True)
        raise


async def _look(client: Client, name: str, settled: Callable[[Order], bool]) -> Order | None:
    """Read the broker's book until it shows what became of the order, a few times."""
    for pause in _LOOKS_S:
        await client.session.runtime.sleep(pause)
        try:
            await client.orders_service.refresh(timeout_s=5.0)
        except DragomanError:
            continue  # the next look may succeed; if none does the outcome stays unknown, which is what is said
        order = client.order(name)
        if order is not None and order.status is not OrderStatus.UNKNOWN and settled(order):
            return order
    return client.order(name)


def _unchanged(order: Order, asked: Mapping[str, Any]) -> str:
    """Return what of a change that was taken did not come about; nothing where it is still on its way."""
    if order.pending is not Pending.NONE:
        return ""
    for name in ("price", "trigger_price", "quantity"):
        found = getattr(order, name)
        if name in asked and found is not None and found != exact(name, asked[name]):
            return f"the order is {order.status} with {name.replace('_', ' ')} {amount(found)}"
    return ""


def tell(at: Account, act: str, order: Order, error: DragomanError | None, refused: str = "") -> None:
    """Print the outcome and end with its exit status; `refused` is why what the broker took came to nothing."""
    status = Status.REJECTED if refused else Status.OK if error is None else status_of(error)
    advice = _advice(at, act, order, status)
    if at.as_json:
        print_json(
            {
                "outcome": _word(status).lower().replace(" ", "_"),
                "act": act,
                "order": order,
                "reason": refused or None,
                "error": error_row(error) if error is not None else None,
                "advice": advice or None,
            }
        )
    else:
        reason = redact(str(error)) if error is not None else refused
        print(f"{_word(status)}: {order_words(order)}{f': {reason}' if reason else ''}")
        if advice:
            print(advice)
    raise typer.Exit(status)


def _word(status: Status) -> str:
    return _WORDS.get(status, "not sent")


def _advice(at: Account, act: str, order: Order, status: Status) -> str:
    if status is not Status.UNKNOWN:
        return ""
    if act == "place":
        return (
            f"It may be live. Do not place it again. `{at.spelled('orders')}` finds it by its wire id {order.wire_id}"
            " if it arrived; if it is not there, look at the broker's own screen before you do anything."
        )
    return (
        f"The {act} may have been carried out. `{at.spelled(f'orders {order.order_id}')}` tells; do nothing more about"
        " this order before it does."
    )


def order_words(order: Order) -> str:
    """Return an order in one line."""
    price = amount(order.price if order.price is not None else order.trigger_price)
    words = (
        order.order_id or order.client_order_id,
        order.side.value,
        f"{order.quantity:f}",
        order.instrument_id,
        order_kind(order),
        price,
        order.status.value,
        "" if order.pending is Pending.NONE else f"({order.pending.value} pending)",
    )
    average = f" at {amount(order.average_price)}" if order.average_price else ""
    return " ".join(word for word in words if word) + f", filled {order.filled_quantity:f}{average}"


def error_row(error: DragomanError) -> dict[str, Any]:
    """Return an error as JSON shows it."""
    names = ("kind", "effect", "retry", "retry_after_s", "code", "text", "remedy", "client_order_id")
    return {"message": error.args[0] if error.args else "", **{name: plain(getattr(error, name)) for name in names}}
