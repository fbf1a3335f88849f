"""Orders of exits: priced, named and placed; and what follows where they are refused.

Slices that one step sends, and that are refused for the same reason, are one refusal: the exit was tried once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from dragoman.errors import AuthRequired, DragomanError, ErrorKind
from dragoman.market import MarketData
from dragoman.model import Order, OrderStatus, Product, Side
from dragoman.orders import OrderService
from dragoman.rules.clearing import Clearing
from dragoman.rules.exit import Exit, Refusal
from dragoman.rules.refusals import UNREACHED, UNREACHED_S, Act, after
from dragoman.rules.requests import exit_request, limit_price, must_be_limit, worth_too_little
from dragoman.rules.working import ZERO
from dragoman.session.secrets import redact
from dragoman.session.session import AccountSession

if TYPE_CHECKING:
    from dragoman.rules.exits import Exits

_QUOTE_S: Final = 2.0
_ABOUT: Final = Decimal("1.1")  # the market has moved since the refusal
_TOO_LITTLE: Final = (ErrorKind.INSUFFICIENT_MARGIN, ErrorKind.INSUFFICIENT_HOLDINGS)
_log = logging.getLogger("dragoman.rules")


class Sending:
    """Sends the orders of the exits of one account, and judges how they ended.

    Parameters
    ----------
    session : AccountSession
    orders : OrderService
    market : MarketData
        Asked for a price where a LIMIT order needs one.
    clearing : Clearing
    exits : Exits
        Plans what is left, and ends what cannot go on.
    price_of : callable
        Returns the last price of an instrument's canonical id where a stream has told one.
    """

    def __init__(
        self,
        session: AccountSession,
        orders: OrderService,
        market: MarketData,
        clearing: Clearing,
        exits: Exits,
        price_of: Callable[[str], Decimal | None],
    ) -> None:
        self._session = session
        self._orders = orders
        self._store = orders.store
        self._market = market
        self._clearing = clearing
        self._exits = exits
        self._price_of = price_of
        self._fetched: dict[str, Decimal] = {}

    # -- on their way ------------------------------------------------------------------------------------------------

    def send(self, one: Exit, pieces: list[Decimal]) -> None:
        """Place pieces of an exit; where a price is needed first, once it is known."""
        if one.patience is not None:
            one.patience.cancel()
            one.patience = None
        try:
            self._session.check_alive()
        except AuthRequired as error:  # no order is made of it: nothing could be sent
            self._exits.pause(one, UNREACHED_S)
            self._unreached(one, error.kind, redact(str(error)))
            return
        price: Decimal | None = None
        as_limit = one.as_limit or must_be_limit(one.send, self._session.adapter)
        if as_limit:
            last = self._price_of(one.key[0]) or self._fetched.pop(one.key[0], None)
            if last is None:
                self._exits.pause(one, None)
                self._session.runtime.spawn(self._fetch(one), name=f"price for exit {one.name}")
                return
            price = limit_price(last, one.side, one.send, one.instrument)
        one.steps.append(max(pieces))
        for piece in pieces:
            if one.done or one.stopped or one.paused is not None:
                return  # the piece before was refused
            self._place(one, piece, price)

    def _place(self, one: Exit, quantity: Decimal, price: Decimal | None) -> None:
        number = len(one.orders) + 1
        while self._exits.taken(name := f"{one.name}.{number}"):
            number += 1
        request = exit_request(one, name, quantity, price, self._session.adapter)
        one.orders.append(name)
        one.entering[name] = quantity
        one.step_of[name] = step = len(one.steps)
        self._clearing.owners[name] = one
        try:
            placing = self._orders.placing(request, one.instrument, one.timeout_s, True, True, exits=True)
        except DragomanError as error:
            self._placed(one, name, step, quantity, error)
            return
        task: asyncio.Future[Order] = asyncio.ensure_future(placing)
        if self._store.get(name) is not None:
            del one.entering[name]
        task.add_done_callback(lambda ended: self._placed(one, name, step, quantity, _error_of(ended)))
        if price is not None:
            self._clearing.watch(one, name)
        if one.changed is not None:
            one.changed(one)

    def _placed(self, one: Exit, name: str, step: int, quantity: Decimal, error: BaseException | None) -> None:
        """Take note of how placing one order ended; what became of the order itself the store says."""
        one.entering.pop(name, None)
        if isinstance(error, DragomanError):
            one.retry_after[name] = error.retry_after_s
        if self._store.get(name) is None and error is not None and not one.done:
            # It was refused before it was an order: its name is free, and nothing was sent.
            if name in one.orders:
                one.orders.remove(name)
            kind = error.kind if isinstance(error, DragomanError) else ErrorKind.UNMAPPED
            wait_s = getattr(error, "retry_after_s", None)
            self._refused(one, Refusal(kind, str(error), step, max(quantity, one.largest(step)), wait_s))
        self._exits.touch(one.key)

    async def _fetch(self, one: Exit) -> None:
        """Ask for a price that a limit order needs."""
        name, problem = one.key[0], "the broker has none"
        try:
            quotes = await self._market.quotes(name, "ltp", timeout_s=_QUOTE_S)
            price = quotes[name].last_price if name in quotes else None
            if price is not None and price > 0:
                self._fetched[name] = Decimal(repr(price))
                self._exits.go_on(one)
                return
        except DragomanError as error:
            problem = str(error)
        one.paused = None
        if not one.done:
            one.steps.append(ZERO)
            text = f"no price for a limit order: {problem}"
            self._refused(one, Refusal(ErrorKind.STALE_DATA, text, len(one.steps), ZERO))

    # -- refusals ----------------------------------------------------------------------------------------------------

    def judge(self, one: Exit) -> None:
        """Look at its orders that have ended since, and decide what follows."""
        for order in one.known:
            name = order.client_order_id
            if name in one.judged or not order.status.terminal:
                continue
            one.judged.add(name)
            if order.filled_quantity > 0:
                one.refusals = 0
            if order.status is OrderStatus.FILLED or name in one.retracted:
                continue
            kind = order.reject.kind if order.reject is not None else ErrorKind.EXCHANGE_REJECTED
            text = order.reject.text if order.reject is not None else order.status_text or f"it is {order.status}"
            if order.filled_quantity == 0 or order.status is not OrderStatus.CANCELED:
                # Those of an earlier run that are of one size were slices of one step, as far as anybody knows.
                step = one.step_of.get(name, order.quantity)
                size = max(order.quantity, one.largest(step))
                self._refused(one, Refusal(kind, text, step, size, one.retry_after.get(name)))
            if one.done:
                return

    def _refused(self, one: Exit, refusal: Refusal) -> None:
        if one.stopped:
            return
        kind, first = refusal.kind, one.counts(refusal)
        step = after(kind, max(one.refusals + first, 1), retry_after_s=refusal.retry_after_s)
        one.refusals += first and step.counts
        said = redact(refusal.text)
        _log.warning("exit %s was refused (%s): %s", one.name, kind, said)
        if not first and step.act is not Act.STOP:
            return  # what follows from it follows already
        if kind in _TOO_LITTLE and one.key[1] is Product.CASH and one.side is Side.SELL and not one.comparisons:
            self._exits.ask(one)  # a commission that nobody has told of yet may have made the wallet smaller
            return
        if kind is ErrorKind.FREEZE_QTY_EXCEEDED or step.act is Act.SMALLER:
            if not one.halve(refusal.largest):
                self._exits.end(one, f"{kind}: one lot is refused as well: {said}", failed=True)
                return
        elif step.act is Act.LIMIT:
            if one.as_limit or must_be_limit(one.send, self._session.adapter):
                self._exits.end(one, f"{kind}, also as a limit order: {said}", failed=True)
                return
            one.as_limit = True
        if kind is ErrorKind.INVALID_QUANTITY and not one.working and self._worthless(one):
            words = f"done but for dust: {one.wanted - one.filled} is too little for an order: {said}"
            self._exits.end(one, words, failed=False)
            return
        if step.act is Act.STOP or one.refusals >= one.send.tries:
            times = f"refused {one.refusals} times, the last time " if one.refusals > 1 else ""
            self._exits.end(one, f"{times}{kind}: {said}", failed=True)
            return
        if step.wait_s:
            self._exits.pause(one, step.wait_s)
        self._exits.touch(one.key)
        if kind in UNREACHED:
            self._unreached(one, kind, said)

    def _unreached(self, one: Exit, kind: ErrorKind, said: str) -> None:
        """Tell, once for each reason, that an exit waits for the broker."""
        if one.unreached is kind:
            return
        one.unreached, one.waits_for = kind, f"the broker cannot be asked ({kind}): {said}"
        if one.changed is not None:
            one.changed(one)

    def _worthless(self, one: Exit) -> bool:
        """Whether what is left of an exit is worth less than the market takes in one order, or about that."""
        prices = [order.average_price for order in one.known if order.average_price]
        price = self._price_of(one.key[0]) or min(prices, default=None)
        return price is not None and worth_too_little(one.instrument, one.wanted - one.filled, price / _ABOUT)


def _error_of(ended: asyncio.Future[Any]) -> BaseException | None:
    return asyncio.CancelledError() if ended.cancelled() else ended.exception()
