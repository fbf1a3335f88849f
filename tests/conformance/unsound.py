"""The library with one planted bug each, of the sorts that cost money: what the order path promises, taken away."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import count
from typing import Any

from dragoman.errors import DragomanError
from dragoman.model import Outcome
from dragoman.orders import intents, recorder, recovery, resolver, service, succession, writer
from dragoman.orders.fills import FillLedger
from dragoman.orders.freshness import Freshness
from dragoman.orders.reading import OrderReader
from dragoman.orders.reconciler import Reconciler
from dragoman.plugin import Request
from dragoman.session import backoff, keeper, sender


def error_taken_for_a_reject(patch: Any) -> None:
    """What may be live is called refused."""
    patch.setattr(Outcome, "unknown", staticmethod(Outcome.rejected))


def sent_again_after_an_error(patch: Any) -> None:
    """An act whose reply was bad is sent a second time."""
    once = sender.Sender.send

    async def twice(self: Any, request: Request, deadline_ns: int, before_send: Any = None, begun: Any = None) -> Any:
        try:
            return await once(self, request, deadline_ns, before_send, begun)
        except DragomanError:
            if not request.mutates:
                raise
            return await once(self, request, deadline_ns, before_send)

    patch.setattr(sender.Sender, "begin", lambda self, request, *_: self._flight(request))  # nothing goes a shorter way
    patch.setattr(sender.Sender, "send", twice)


def no_fence(patch: Any) -> None:
    """Beside an order of unknown outcome another one of its kind is placed."""
    patch.setattr(intents.Intents, "check_fence", lambda self, *_: None)


def names_are_not_looked_up(patch: Any) -> None:
    """Whoever asks again under a name does not get what became of the first."""
    begin = intents.Intents.__init__

    def forgetful(self: Any, *arguments: Any) -> None:
        begin(self, *arguments)
        self.get = lambda name: None

    patch.setattr(intents.Intents, "__init__", forgetful)


def other_terms_are_not_seen(patch: Any) -> None:
    """Other terms under a name that is taken are taken for the same."""
    patch.setattr(intents.Intents, "check_same", lambda self, *_: None)


def absence_is_proof_at_once(patch: Any) -> None:
    """An order is taken for lost as soon as a reading does not show it."""

    def judge(self: Any, doubt: Any, as_of: int) -> None:
        if doubt.intent.name in self._doubts:
            self._take_for_lost(doubt, "one reading does not show it")

    patch.setattr(resolver.Resolver, "_judge", judge)


def nobody_looks(patch: Any) -> None:
    """What became of an order in doubt is never asked."""
    patch.setattr(resolver.Resolver, "wake", lambda self: None)


def lost_is_forgotten(patch: Any) -> None:
    """An order that was taken for lost may turn up without anybody being told."""
    patch.setattr(resolver.Resolver, "_turned_up", lambda self, order: None)


def late_is_never_cancelled(patch: Any) -> None:
    """An order that turns up late stays, whatever its request asked for."""
    patch.setattr(service.OrderService, "_cancel_late", lambda self, order: None)


def changes_in_doubt_are_believed(patch: Any) -> None:
    """A change or cancel without an answer is never looked after."""
    patch.setattr(OrderReader, "doubt", lambda self, *_: None)


def fills_are_not_told_apart(patch: Any) -> None:
    """A fill that is told twice counts twice."""
    once, tellings = FillLedger.add, count()

    def add(self: Any, fill: Any, owner: str) -> Any:
        return once(self, replace(fill, trade_id=f"{fill.trade_id}/{next(tellings)}"), owner)

    patch.setattr(FillLedger, "add", add)


def sent_before_it_is_durable(patch: Any) -> None:
    """An intent is written down some time after its order was sent."""
    durably = recorder.Recorder.place

    def later(self: Any, *about: Any) -> None:
        asyncio.get_running_loop().call_later(1.0, durably, self, *about)

    patch.setattr(recorder.Recorder, "place", later)


def sent_though_the_disk_failed(patch: Any) -> None:
    """A journal that cannot be written is not minded."""
    patch.setattr(recorder.Recorder, "place", lambda self, *_: None)


def cancels_wait_for_the_disk(patch: Any) -> None:
    """A cancel that cannot be written down is not sent."""

    def unwritten(self: Any, order: Any, entry: Any, error: Exception) -> None:
        raise error

    patch.setattr(recorder.Recorder, "_sent_unwritten", unwritten)


def restart_forgets_intents(patch: Any) -> None:
    """The next run begins with nothing."""
    patch.setattr(succession, "recover", lambda records, broker: recovery.Recovered())


def restart_forgets_changes(patch: Any) -> None:
    """The next run knows the orders, and not what was being done to them."""
    patch.setattr(succession, "recover", _without("changing"))


def restart_forgets_what_was_lost(patch: Any) -> None:
    """The next run does not watch for orders that were taken for lost."""
    patch.setattr(succession, "recover", _without("lost"))


def _without(part: str) -> Any:
    def forgetful(records: Any, broker: str) -> Any:
        found = recovery.recover(records, broker)
        getattr(found, part).clear()
        return found

    return forgetful


def two_writers(patch: Any) -> None:
    """Nobody asks who writes to the account."""
    patch.setattr(writer.Writer, "ready", True)


def never_stale(patch: Any) -> None:
    """A stream that is down is no reason to wait."""
    patch.setattr(Freshness, "stale", property(lambda self: False, lambda self, stale: None), raising=False)


def no_audit(patch: Any) -> None:
    """What the stream leaves out stays missed."""
    patch.setattr(Reconciler, "start", lambda self: None)


def no_backoff(patch: Any) -> None:
    """A broker that is away is asked a hundred times a second."""
    patch.setattr(backoff.Backoff, "next", lambda self: 0.01)


def other_logins_are_not_found(patch: Any) -> None:
    """A login that another process has made is not looked for."""

    async def look(self: Any) -> None:
        return None

    patch.setattr(keeper.SessionKeeper, "_look_for_token", look)
