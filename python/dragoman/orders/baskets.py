"""Several orders placed together: by one request where the broker has one, each with a fate of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from dragoman.errors import DragomanError, UsageError
from dragoman.model import Instrument, Order, OrderRequest, Outcome
from dragoman.orders.intents import Intent
from dragoman.orders.recorder import Recorder
from dragoman.orders.sending import Sending
from dragoman.plugin import Request
from dragoman.session.session import AccountSession

Leg = tuple[OrderRequest, Instrument]

_UNTOLD: Final = Outcome("UNKNOWN")


@dataclass(frozen=True, slots=True)
class Entered:
    """A leg in the books, before anything of it was sent.

    Attributes
    ----------
    intent : Intent
    wire : OrderRequest
        The order as the broker counts it.
    instrument : Instrument
    new : bool
        False: its name was used before, for this very order, which is not sent again.
    """

    intent: Intent
    wire: OrderRequest
    instrument: Instrument
    new: bool = True


class _Launch(Protocol):
    def __call__(
        self, intent: Intent, wire_request: OrderRequest, instrument: Instrument, ends_ns: int
    ) -> asyncio.Future[Order]: ...


class Baskets:
    """Sends entered legs.

    Parameters
    ----------
    session : AccountSession
    recorder : Recorder
    known : callable
        Finds the order of a name.
    settle : callable
        Records a leg's outcome; returns its order.
    unplaced : callable
        Records that a request, or its reply, was lost; returns a leg's order.
    launch : callable
        Sends one leg by itself.
    answered : callable
        Returns an order whose name was used before as it is once it has an answer, or when the time is over.
    """

    def __init__(
        self,
        session: AccountSession,
        recorder: Recorder,
        known: Callable[[str], Order | None],
        settle: Callable[[str, Outcome], Order],
        unplaced: Callable[[str, DragomanError, Sending[Any]], Order],
        launch: _Launch,
        answered: Callable[[str, int], Awaitable[Order]],
    ) -> None:
        self._session = session
        self._recorder = recorder
        self._known = known
        self._settle = settle
        self._unplaced = unplaced
        self._launch = launch
        self._answered = answered
        self.leaving: Callable[[Request], object] | None = None
        """Asked before a request leaves, see `Sending`."""

    async def place(self, legs: Sequence[Entered], ends_ns: int) -> list[Order]:
        """Send the new legs and return all as they are then, in order.

        Parameters
        ----------
        legs : sequence of Entered
        ends_ns : int
            Monotonic ns: the caller's deadline.
        """
        # Cancelling the caller ends its wait and nothing else: what was entered is sent.
        fresh = [leg for leg in legs if leg.new]
        sent = self._session.runtime.spawn(self._send(fresh, ends_ns), name=f"place {len(fresh)} orders")
        found = await asyncio.shield(sent)
        for leg in legs:
            if not leg.new:
                found[leg.intent.name] = await self._answered(leg.intent.name, ends_ns)
        return [found[leg.intent.name] for leg in legs]

    async def _send(self, legs: Sequence[Entered], ends_ns: int) -> dict[str, Order]:
        capabilities = self._session.adapter.capabilities
        found: dict[str, Order] = {}
        # What is to be dropped at a time of its own goes by itself: it must not take others with it.
        together = [leg for leg in legs if leg.wire.deadline_ns is None] if capabilities.features.get("basket") else []
        if len(together) < 2:
            together = []
        names = {leg.intent.name for leg in together}
        alone = [leg for leg in legs if leg.intent.name not in names]
        flights = [self._launch(leg.intent, leg.wire, leg.instrument, ends_ns) for leg in alone]
        for chunk in _chunks(together, max(capabilities.most_in_basket, 1)):
            found |= await self._request(chunk, ends_ns)
        for leg, ended in zip(alone, await asyncio.gather(*flights, return_exceptions=True), strict=True):
            if isinstance(ended, BaseException) and not isinstance(ended, DragomanError):
                raise ended
            order = self._known(leg.intent.name) if isinstance(ended, BaseException) else ended
            assert order is not None  # it was entered
            found[leg.intent.name] = order
        return found

    async def _request(self, legs: Sequence[Entered], ends_ns: int) -> dict[str, Order]:
        """Place up to as many as the broker takes at once. All intents are durable before the first byte."""
        names = [leg.intent.name for leg in legs]

        def finish(sending: Sending[dict[str, Order]], outcomes: Any, error: BaseException | None) -> dict[str, Order]:
            if error is None:
                told = [*outcomes[: len(names)], *(_UNTOLD for _ in names[len(outcomes) :])]
                return {name: self._settle(name, outcome) for name, outcome in zip(names, told, strict=True)}
            known = error if isinstance(error, DragomanError) else sending.interrupted(error)
            orders = {name: self._unplaced(name, known, sending) for name in names}
            if known is not error:
                raise error
            return orders

        flow = self._session.adapter.place_many([(leg.wire, leg.instrument) for leg in legs], self._session.ctx)
        sending: Sending[dict[str, Order]] = Sending(
            self._session,
            flow,
            finish,
            ", ".join(names),
            "place",
            ends_ns,
            before_send=lambda request: self._write_down([leg.intent for leg in legs]),
            leaving=self.leaving,
        )
        return await sending.start()

    def _write_down(self, intents: Iterable[Intent]) -> Awaitable[object] | None:
        sent_ns, mono_ns = self._session.ctx.now_ns, self._session.runtime.clock.mono_ns()
        durable = []
        for intent in intents:
            intent.sent_ns, intent.sent_mono_ns = sent_ns, mono_ns
            durable.append(self._recorder.place(intent.request, sent_ns))
        waits = [one for one in durable if one is not None]
        return _all(waits) if waits else None


async def _all(waits: Sequence[Awaitable[object]]) -> None:
    """Return once every intent is durable; each is awaited, also after one failed, so that no failure goes unheard."""
    failed: BaseException | None = None
    for one in waits:
        try:
            await one
        except DragomanError as error:
            failed = failed or error
    if failed is not None:
        raise failed


def _chunks(legs: Sequence[Entered], most: int) -> Iterable[Sequence[Entered]]:
    for at in range(0, len(legs), most):
        yield legs[at : at + most]


def in_leg(at: int, error: DragomanError) -> DragomanError:
    """Return the error of one leg as that of the basket, of which nothing was sent."""
    if isinstance(error, UsageError):
        return UsageError(
            f"orders[{at}]: {error.args[0]}",
            kind=error.kind,
            broker=error.broker,
            retry=error.retry,
            remedy=error.remedy or "nothing of the basket was sent",
            client_order_id=error.client_order_id,
        )
    error.add_note(f"it is orders[{at}] of the basket, of which nothing was sent")
    return error
