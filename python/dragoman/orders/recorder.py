"""What the order path writes into the journal: intents before they are sent, then everything that is learnt."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, Final

import orjson

from dragoman._core import plain_object
from dragoman.errors import DragomanError, ErrorKind, NotSent, Rejected, UsageError
from dragoman.model import Order, OrderAlert, OrderChange, OrderRequest, OrderStatus, OrderUpdate, Pending
from dragoman.orders.intents import Intent
from dragoman.orders.journal import Journal, Kind
from dragoman.orders.journal.codec import plain_json, to_plain

_CANCEL_WAITS_S: Final = 0.5
_log = logging.getLogger("dragoman.orders")
_INTENT: Final = Kind.INTENT
_REPLY: Final = Kind.REPLY
_KINDS: Final = {"stream": Kind.STREAM, "poll": Kind.POLL, "reply": Kind.REPLY, "local": Kind.DECISION}


class Recorder:
    """Writes for one account; without a journal it writes nothing, and says that all is durable.

    Parameters
    ----------
    now_ns : callable
        The broker's clock.
    alert : callable
    intent : callable, optional
        Finds the intent of a name.

    Attributes
    ----------
    journal : Journal or None
    required : bool
        Nothing may be sent without a journal.
    on_unwritten : callable
        Told of an order whose cancel, or exit, leaves without having been written down.
    known : callable
        Finds the order of a name.
    mark : callable
        Returns the price known of an instrument at this moment, None where there is none or it is old: it is kept with
        the intent, for whoever asks later what an order had cost.
    """

    def __init__(
        self,
        now_ns: Callable[[], int],
        alert: Callable[[OrderAlert], object],
        intent: Callable[[str], Intent | None] = lambda name: None,
    ) -> None:
        self._now_ns = now_ns
        self._alert = alert
        self._intent = intent
        self.journal: Journal | None = None
        self.required = False
        self.on_unwritten: Callable[[str], object] = lambda name: None
        self.known: Callable[[str], Order | None] = lambda name: None
        self.mark: Callable[[str], float | None] = lambda instrument_id: None

    # -- before the first byte ---------------------------------------------------------------------------------------

    def place(self, request: OrderRequest, sent_ns: int) -> Awaitable[object] | None:
        """Make the intent of a new order durable; what comes back, unless None, is awaited before anything is sent."""
        if self.journal is None:
            self._check_required()
            return None
        name, mark = request.client_order_id, self.mark(request.instrument_id)
        try:
            if mark is None:
                entry = plain_json(request, "op", "place", "name", name, "at", sent_ns, "request")
            else:
                entry = plain_json(request, "op", "place", "name", name, "at", sent_ns, "mark", mark, "request")
        except TypeError as error:
            raise UsageError(
                f"order {name!r} cannot be written down: {error}", remedy="give text and numbers", client_order_id=name
            ) from error
        return self.journal.commit(_INTENT, entry)

    def exit(self, request: OrderRequest, sent_ns: int) -> Awaitable[object] | None:
        """Make the intent of an order durable that only makes a position smaller. It is sent also where that fails."""
        if self.journal is None:
            self._check_required()
            return None
        name = request.client_order_id
        entry = {"op": "place", "name": name, "at": sent_ns, "exit": True, "request": to_plain(request)}
        if (mark := self.mark(request.instrument_id)) is not None:
            entry["mark"] = mark
        return self._commit_or_send(name, "exit", entry)

    def amend(self, pending: Pending, order: Order, change: OrderChange | None) -> Awaitable[object] | None:
        """Make the intent of a change or cancel durable. A cancel is sent also where that fails."""
        if self.journal is None:
            self._check_required()
            return None
        entry: dict[str, Any] = {
            "op": pending.value.lower(),
            "name": order.client_order_id,
            "order_id": order.order_id,
            "at": self._now_ns(),
        }
        if change is not None:
            entry["change"] = to_plain(change)
        if pending is not Pending.CANCEL:
            return self.journal.commit(Kind.INTENT, entry)
        return self._commit_or_send(order.client_order_id, "cancel", entry)

    def _check_required(self) -> None:
        if self.required:
            raise Rejected(
                "the journal is not open, so nothing may be sent",
                kind=ErrorKind.LOCAL_DENIED,
                remedy="connect again; nothing was sent",
            )

    def _commit_or_send(self, name: str, act: str, entry: dict[str, Any]) -> Awaitable[object] | None:
        assert self.journal is not None
        try:
            durable = self.journal.commit(Kind.INTENT, entry)
        except DragomanError as error:
            self._sent_unwritten(name, act, entry, error)
            return None
        return None if durable is None else self._or_unwritten(durable, name, act, entry)

    async def _or_unwritten(self, durable: Awaitable[object], name: str, act: str, entry: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(_CANCEL_WAITS_S):
                await asyncio.shield(durable)
        except DragomanError as error:
            self._sent_unwritten(name, act, entry, error)
        except TimeoutError:
            late = NotSent("the disk does not answer", kind=ErrorKind.LOCAL_DENIED)
            self._sent_unwritten(name, act, entry, late)

    def _sent_unwritten(self, name: str, act: str, entry: dict[str, Any], error: DragomanError) -> None:
        """What only lowers risk goes out, is kept in memory, and is written when the disk returns."""
        assert self.journal is not None
        self.journal.append(Kind.INTENT, entry | {"unjournaled": True})
        self.on_unwritten(name)
        text = f"the {act} of order {name} is being sent though it could not be written down first: {error}"
        self._alert(OrderAlert("UNJOURNALED", text, self.known(name), ts=self._now_ns()))

    # -- what is learnt ----------------------------------------------------------------------------------------------

    def learnt(self, update: OrderUpdate) -> None:
        """Write down how an order looks after a change; durable with the next intent, or shortly after."""
        journal, order = self.journal, update.order
        if journal is None:
            return
        if not update.fills:
            if order.status is OrderStatus.SUBMITTED and update.source == "local":
                return  # its intent says all of it, once that is written
            if update.source == "reply" and order.status is OrderStatus.ACCEPTED and len(order.order_ids) == 1:
                self.taken(order)
                return
        entry: dict[str, Any] = {"order": to_plain(order)}
        if order.status is OrderStatus.DENIED and (intent := self._intent(order.client_order_id)) is not None:
            entry |= {"request": to_plain(intent.request), "at": 0}  # no intent of it was written
        if update.fills:
            entry["fills"] = [to_plain(fill) for fill in update.fills]
        if update.replaced:
            entry["replaced"] = list(update.replaced)
        journal.append(_KINDS[update.source], entry)

    def taken(self, order: Order) -> None:
        """Write down, in short, what becomes of most: the broker has taken an order, and nothing else is told of it."""
        journal = self.journal
        if journal is not None:
            name, order_id, at = order.client_order_id, order.order_id, order.ts_accepted
            told = plain_object(
                orjson.dumps, "op", "place", "name", name, "effect", "ACCEPTED", "order_id", order_id, "at", at
            )
            journal.append(_REPLY, told)

    def answered(self, pending: Pending, name: str, effect: str, error: DragomanError | None = None) -> None:
        """Write down what the broker answered to a change or cancel."""
        if self.journal is None:
            return
        entry: dict[str, Any] = {"op": pending.value.lower(), "name": name, "effect": effect}
        if error is not None:
            entry |= {"kind": error.kind.value, "text": error.text or str(error.args[0])}
            if error.code is not None:
                entry["code"] = error.code
        self.journal.append(Kind.REPLY, entry)

    def carry(self, orders: Iterable[Order], rules: Collection[Mapping[str, Any]] = ()) -> None:
        """Write down once more what is known of orders and rules that work on, in one record: all counts, or none."""
        if self.journal is None:
            return
        entries = []
        for order in orders:
            entry: dict[str, Any] = {"order": to_plain(order)}
            intent = self._intent(order.client_order_id)
            if intent is not None:
                entry |= {"request": to_plain(intent.request), "at": intent.sent_ns}
            entries.append(entry)
        try:
            carried: dict[str, Any] = {"what": "carried", "name": "", "carried": entries}
            if rules:
                carried["rules"] = [dict(rule) for rule in rules]
            self.journal.append(Kind.DECISION, carried)
        except UsageError as error:
            _log.warning("what works is not carried on, a next start reads more: %s", error)

    def control(self, what: str, details: Mapping[str, Any]) -> None:
        """Write down what is of the whole account; durable with the next intent, or shortly after."""
        if self.journal is not None:
            self.journal.append(Kind.CONTROL, {"what": what, **details})

    def rule(self, entry: Mapping[str, Any]) -> None:
        """Write down how far a rule got: durable with the next intent, or shortly after."""
        if self.journal is not None:
            self.journal.append(Kind.RULE, entry)

    async def durable_rule(self, entry: Mapping[str, Any]) -> bool:
        """Write down how far a rule got, and return once that is durable; False where there is no journal.

        Raises
        ------
        Rejected
            It cannot be written.
        """
        return await self._durable(Kind.RULE, entry)

    async def durable_control(self, what: str, details: Mapping[str, Any]) -> bool:
        """Write down what is of the whole account, and return once that is durable; False where there is no journal.

        Raises
        ------
        Rejected
            It cannot be written.
        """
        return await self._durable(Kind.CONTROL, {"what": what, **details})

    async def _durable(self, kind: Kind, entry: Mapping[str, Any]) -> bool:
        if self.journal is None:
            self._check_required()
            return False
        durable = self.journal.commit(kind, entry)
        if durable is not None:
            await durable
        return True

    def decided(self, what: str, name: str, **details: object) -> None:
        """Write down what was concluded about an order, and why."""
        if self.journal is not None:
            self.journal.append(Kind.DECISION, {"what": what, "name": name, **details})
