"""Every order of an account as it is known now, whoever reported it last."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, KeysView, Mapping
from dataclasses import replace
from decimal import Decimal
from itertools import takewhile
from typing import Any, Literal

from dragoman._core import copied
from dragoman.model import Fill, Order, OrderStatus, OrderUpdate, Origin, Outcome, Pending, Reject, Side
from dragoman.model.order import is_order_id
from dragoman.orders.chained import ChainFills
from dragoman.orders.fills import FillLedger
from dragoman.orders.identity import read_wire_id, run_of
from dragoman.orders.slices import child_of, rolled_up
from dragoman.orders.state import UNTOLD, Asked, Merge, Verdict, fills_of, merge, seen_again, unchanged, with_fills

Source = Literal["stream", "poll", "reply", "local"]

log = logging.getLogger("dragoman.orders")

_Listener = Callable[[OrderUpdate], None]
_Listeners = tuple[_Listener, ...]

EXTERNAL_PREFIX = "EXT-"
_WORDS_KEPT = 1000
_SUBMITTED = OrderStatus.SUBMITTED
_ACCEPTED = OrderStatus.ACCEPTED
_UPDATE = OrderUpdate(Order(instrument_id="", side=Side.BUY, quantity=Decimal(0)))
_STATUS = {
    "ACCEPTED": OrderStatus.ACCEPTED,
    "PARTIAL": OrderStatus.ACCEPTED,
    "REJECTED": OrderStatus.REJECTED,
    "UNKNOWN": OrderStatus.UNKNOWN,
}


class Listening:
    """One listener of a store; calling this ends it."""

    __slots__ = ("_changed", "_first_steps", "ended", "listener")

    def __init__(self, listener: _Listener, first_steps: bool, changed: Callable[[], None]) -> None:
        self.listener = listener
        self.ended = False
        self._first_steps = first_steps
        self._changed = changed

    def __call__(self) -> None:
        self.ended = True
        self._changed()

    @property
    def first_steps(self) -> bool:
        """Whether it is told of first steps, too, see `OrderStore.listen`; may be set at any time."""
        return self._first_steps

    @first_steps.setter
    def first_steps(self, wanted: bool) -> None:
        if wanted is not self._first_steps:
            self._first_steps = wanted
            self._changed()


class OrderStore:
    """Merges reports into views and says what changed.

    An order is owned by its `client_order_id`; one first seen at the broker gets ``EXT-<order id>``. Reports find their
    order by broker id, or by the wire id in its tag when the reply that would have told the id is still missing. Where
    a report was faster than the reply and carried no tag, the reply's id joins the two.

    A report may name the chain its id stands in, oldest first, in `Order.order_ids`; where its own id is not the last
    of them, that id was left behind. What it says then is about the id, and only its fills are the order's.

    Parameters
    ----------
    trading_day : callable
        See `FillLedger`.
    fills_restart : bool
        Each id of a replace chain counts its own fills, see `Capabilities.replace_restarts_fills`.

    Attributes
    ----------
    wire_ids : view of str
        Those of all orders of ours, also of those whose intent is lost.
    journal_ids : frozenset of str
        Names of our runs: an order whose tag has a wire id of one of them is ours, even where its intent is lost.
    on_taken : callable
        Told of each order of ours that the broker plainly took, before the listeners of first steps are.
    recalled : int
        How often a retired order was listed again, behind those entered before.
    """

    def __init__(self, trading_day: Callable[[int | None], str], *, fills_restart: bool = False) -> None:
        self._chains = ChainFills() if fills_restart else None
        self._orders: dict[str, Order] = {}
        self._retired: dict[str, Order] = {}
        self._by_order_id: dict[str, str] = {}
        self._by_wire_id: dict[str, str] = {}
        self.wire_ids: KeysView[str] = self._by_wire_id.keys()
        self._renamed: dict[str, str] = {}  # names we gave to orders before we knew whose they are
        self._left_behind: set[str] = set()  # broker ids that a replace has ended
        self._provisional: set[str] = set()
        self._asked: dict[str, Asked] = {}
        self._readings = 0
        self._children: dict[str, list[str]] = {}
        self._reported: set[str] = set()  # parents that the broker itself reports
        self._orphans: dict[str, list[Fill]] = {}
        self.journal_ids: frozenset[str] = frozenset()
        self.on_taken: Callable[[Order], object] = lambda order: None
        self.recalled = 0
        self._listening: list[Listening] = []
        self._listeners: _Listeners = ()  # replaced whole: telling needs no copy
        self._step_listeners: _Listeners = ()  # those of them told of first steps, too
        self.fills = FillLedger(trading_day)
        self.counters: dict[str, int] = {verdict.value: 0 for verdict in Verdict}
        self.counters.update(
            unknown_status=0,
            fill_conflicts=0,
            external=0,
            adopted=0,
            joined=0,
            id_conflicts=0,
            no_id=0,
            listener_errors=0,
            unreadable=0,
        )
        self.unknown_words: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._orders)

    def __iter__(self) -> Iterator[Order]:
        return iter(tuple(self._orders.values()))

    def newest_first(self) -> Iterator[Order]:
        """Go through what is listed, beginning with the order entered last: for whoever stops early."""
        return reversed(self._orders.values())

    def views(self) -> dict[str, Order]:
        """Return all orders as they are now by their names, retired ones included."""
        return self._retired | self._orders

    def get(self, name: str) -> Order | None:
        """Return an order by client order id, any of its broker ids, or its wire id."""
        if name in self._orders:
            return self._orders[name]
        # Asked for each new order, which none of them knows.
        if name in self._by_order_id or name in self._by_wire_id or name in self._retired or name in self._renamed:
            return self._known_as(name)
        return None

    def _known_as(self, name: str) -> Order | None:
        owner = name if name in self._retired else None
        owner = owner or self._renamed.get(name) or self._by_order_id.get(name) or self._by_wire_id.get(name)
        return self._orders.get(owner) or self._retired.get(owner) if owner else None

    def listen(self, listener: _Listener, *, first_steps: bool = True) -> Listening:
        """Call `listener` after every change; call what it returns to end that.

        Listeners are told in the order in which they began. One that raises is counted, and hurts nobody.

        Parameters
        ----------
        listener : callable
        first_steps : bool
            Also when an order of ours is entered, and when the broker plainly takes it. Neither fills anything, and
            whoever places waits until all are told: who needs that only at times sets `Listening.first_steps` then.
        """
        listening = Listening(listener, first_steps, self._relisten)
        self._listening.append(listening)
        self._relisten()
        return listening

    def _relisten(self) -> None:
        self._listening = [one for one in self._listening if not one.ended]
        self._listeners = tuple(one.listener for one in self._listening)
        self._step_listeners = tuple(one.listener for one in self._listening if one.first_steps)

    # -- our own acts ------------------------------------------------------------------------------------------------

    def create(self, order: Order) -> Order:
        """Enter an order of ours before anything is sent."""
        name, wire_id = order.client_order_id, order.wire_id
        self._orders[name] = order
        if wire_id:
            self._by_wire_id[wire_id] = name
        if self._step_listeners:
            self._tell_to(self._step_listeners, copied(_UPDATE, order=order, source="local"))
        return order

    def restore(self, order: Order, fills: Iterable[Fill]) -> None:
        """Enter an order as the journal of an earlier run has it.

        Nobody is told, unless it was seen at the broker before anybody knew that it is ours: then the two become one.
        """
        name = order.client_order_id
        holders = [self._by_order_id.get(order_id, name) for order_id in order.order_ids]
        self._orders[name] = order
        if order.wire_id:
            self._by_wire_id[order.wire_id] = name
        for order_id in order.order_ids:
            self._by_order_id[order_id] = name
        self._left_behind.update(order.order_ids[:-1])
        if order.origin is Origin.EXTERNAL:
            self._provisional.add(name)
        parent, slash, _ = name.rpartition("/")
        if slash and parent in self._orders:
            self._children.setdefault(parent, []).append(name)
        for fill in fills:
            self.fills.add(fill, name)
        self.fills.report(order, name)
        for holder in holders:
            if holder in self._provisional and holder in self._orders and holder != name:
                self._orders[name] = self._absorb(holder, self._orders[name])
                self._tell(OrderUpdate(self._orders[name], source="poll"))

    def expire(self, client_order_id: str, ts: int) -> Order:
        """Record that an order's day is over: it works no more, and nobody tells how it ended."""
        known = self._orders[client_order_id]
        order = known.but(
            status=OrderStatus.EXPIRED,
            status_is_firm=False,
            pending=Pending.NONE,
            status_text="its day is over; no report tells how it ended",
            ts_closed=ts,
            remaining_quantity=known.quantity * 0,
        )
        self._orders[client_order_id] = order
        self._tell(OrderUpdate(order, source="local"))
        return order

    def retire(self, client_order_id: str) -> None:
        """Leave a finished order of an earlier day out of what is listed. By its names it is found for ever."""
        self._retired[client_order_id] = self._orders.pop(client_order_id)

    def _recall(self, owner: str) -> None:
        """List an order again that was retired: somebody reports it."""
        if owner in self._retired:
            self._orders[owner] = self._retired.pop(owner)
            self.recalled += 1

    def settle(self, client_order_id: str, outcome: Outcome, ts: int) -> Order:
        """Apply the outcome of placing. A stream may have been faster: then only the id is new."""
        orders, order_id = self._orders, outcome.order_id
        known = orders[client_order_id]
        if (
            outcome.effect == "ACCEPTED"
            and known.status is _SUBMITTED
            and order_id.__class__ is str
            and (order_id.isdigit() or is_order_id(order_id))
            and not known.order_ids
            and not outcome.children
            and not self._orphans
            and order_id not in self._by_order_id
            and client_order_id not in self._children
        ):
            # What becomes of most: taken, and nobody has told anything of it before. The same as below, in one step.
            self._by_order_id[order_id] = client_order_id
            orders[client_order_id] = known = copied(
                known,
                order_id=order_id,
                order_ids=(order_id,),
                status=_ACCEPTED,
                status_is_firm=False,
                reject=outcome.reject,
                ts_recv=ts,
                ts_accepted=ts,
            )
            try:
                self.on_taken(known)
            except Exception:  # noqa: BLE001 - `_raised` logs it
                self._raised()
            if self._step_listeners:
                self._tell_to(self._step_listeners, copied(_UPDATE, order=known, source="reply"))
            return orders[client_order_id]
        if order_id:
            known = self._bind_ours(known, order_id)
        status = _STATUS[outcome.effect]
        if known.status in (OrderStatus.SUBMITTED, OrderStatus.UNKNOWN) and known.status is not status:
            over = status.terminal
            known = known.but(
                status=status,
                status_is_firm=False,  # no report has named it: any that comes is believed
                reject=outcome.reject,
                ts_recv=ts,
                ts_accepted=ts if status is OrderStatus.ACCEPTED else known.ts_accepted,
                ts_closed=ts if over else known.ts_closed,
                remaining_quantity=known.quantity * 0 if over else known.remaining_quantity,
            )
        self._orders[client_order_id] = known
        self._tell(OrderUpdate(known, source="reply"))
        if not outcome.children and not self._orphans and client_order_id not in self._children:
            return self._orders[client_order_id]
        for index, leg in enumerate(outcome.children, 1):
            name = f"{client_order_id}/{index}"
            self.create(child_of(known, name))
            self._children.setdefault(client_order_id, []).append(name)
            self.settle(name, leg, ts)
        self._roll_up(client_order_id, "reply")
        self._adopt_orphans(client_order_id)
        return self._orders[client_order_id]

    def deny(self, client_order_id: str, reject: Reject, ts: int) -> Order:
        """Record that the order never left this machine."""
        known = self._orders[client_order_id]
        order = known.but(status=OrderStatus.DENIED, reject=reject, ts_closed=ts, remaining_quantity=known.quantity * 0)
        self._orders[client_order_id] = order
        self._tell(OrderUpdate(order, source="local"))
        return order

    def mark(self, client_order_id: str, pending: Pending) -> Order:
        """Set what is in flight beside the firm status; a finished order has nothing in flight."""
        order = self._orders[client_order_id]
        if order.pending is not pending and not (order.status.terminal and pending is not Pending.NONE):
            order = order.but(pending=pending)
            self._orders[client_order_id] = order
            self._tell(OrderUpdate(order, source="local"))
        return order

    def mark_unjournaled(self, client_order_id: str) -> None:
        """Say of an order that something about it left without having been written down first."""
        self._orders[client_order_id] = order = self._orders[client_order_id].but(unjournaled=True)
        self._tell(OrderUpdate(order, source="local"))

    def most_left(self, order: Order) -> Decimal:
        """Return how much of an order may still fill; one that is being made larger may be that already."""
        if order.status.terminal:
            return Decimal(0)
        asked = self._asked.get(order.client_order_id) if order.pending is not Pending.NONE else None
        wanted = asked.terms.get("quantity") if asked is not None else None
        most = order.quantity if wanted is None else max(order.quantity, wanted)
        return max(most - order.filled_quantity, Decimal(0))

    def ask(self, client_order_id: str, pending: Pending, terms: Mapping[str, Any] | None = None) -> Callable[[], None]:
        """Note what is being asked of an order; returns what takes it back, for when nothing came of it.

        Parameters
        ----------
        client_order_id : str
        pending : Pending
        terms : mapping, optional
            What a change asks for, of `dragoman.orders.state.TERMS` and `UNTOLD`.
        """
        before, asked = self._orders[client_order_id].pending, self._asked.get(client_order_id)
        # A cancel leaves the terms asked for before it: reports from before that change may still come.
        told = None if terms is None else {name: value for name, value in terms.items() if name not in UNTOLD}
        untold = {name: value for name, value in (terms or {}).items() if name in UNTOLD}
        ours = Asked(told if told is not None else asked.terms if asked else {}, untold)
        self._asked[client_order_id] = ours
        self.mark(client_order_id, pending)

        def take_back() -> None:
            known = self._orders[client_order_id]
            if known.pending is not pending or self._asked.get(client_order_id, ours).terms is not ours.terms:
                return
            self._asked.pop(client_order_id, None)
            if asked is not None and before is not Pending.NONE:
                self._asked[client_order_id] = asked
            self.mark(client_order_id, before)

        return take_back

    def answered(self, client_order_id: str) -> None:
        """Note that the broker has taken what was asked: a reading that begins from here on shows what came of it."""
        asked = self._asked.get(client_order_id)
        if asked is not None:
            self._asked[client_order_id] = replace(asked, untold={}, answered_at=self._readings)
            if asked.untold:
                self._orders[client_order_id] = self._orders[client_order_id].but(**asked.untold)

    def begin_reading(self) -> int:
        """Return the number of a full reading that begins now, for `see`."""
        self._readings += 1
        return self._readings

    def rename(self, client_order_id: str, order_id: str, replaces: str) -> Order:
        """Record that a replace gave an order of ours a new broker id and left `replaces` behind."""
        order = self._orders[client_order_id]
        if replaces not in order.order_ids:
            self.counters["id_conflicts"] += 1
            log.warning("%s replaces order %s, which is not %s", order_id, replaces, client_order_id)
            return order
        order = self._bind_ours(order, order_id)
        if order_id in order.order_ids and order_id != replaces:
            self._left_behind.add(replaces)
        self._tell(OrderUpdate(order, source="reply"))
        self._adopt_orphans(client_order_id)
        return self._orders[client_order_id]

    # -- the broker's reports ----------------------------------------------------------------------------------------

    def see(self, seen: Order, source: Source, reading: int | None = None) -> Verdict:
        """Merge one report of an order; `reading` is the number of the full reading it is part of."""
        if seen.status is OrderStatus.UNKNOWN:
            self._count_unknown(seen.raw_status)
        if not is_order_id(seen.order_id):
            seen = seen.but(order_id="", order_ids=())
        owner = self._owner(seen)
        if owner is None:
            self.counters["no_id"] += 1
            log.warning("a report of %s has neither an order id nor our tag", seen.instrument_id)
            return Verdict.REFUSED
        if self._chains is not None:
            seen = self._chains.whole(owner, seen)
        self._recall(owner)
        known = self._orders.get(owner)
        if known is None:
            verdict, merged = Verdict.APPLIED, self._first_seen(seen, owner)
        else:
            result = self._merge(known, seen, reading)
            verdict, merged = result.verdict, result.order
            if not merged.order_id and is_order_id(
                seen.order_id
            ):  # a status nobody has mapped, of an order whose reply is still missing
                merged = merged.but(order_id=seen.order_id, order_ids=(seen.order_id,))
        if seen.order_id:
            self._by_order_id[seen.order_id] = owner
            self._link(seen, owner)
        self._orders[owner] = merged
        if owner in self._children:
            self._reported.add(owner)
        self.counters[verdict.value] += 1
        change = self.fills.report(merged, owner)
        self.counters["fill_conflicts"] += change.refused is not None
        if known is None or not unchanged(known, merged) or change.added or change.replaced:
            self._tell(OrderUpdate(merged, change.added, change.replaced, source))
        self._adopt_orphans(owner)
        self._roll_up_parent_of(owner, source)
        return verdict

    def see_fill(self, fill: Fill, source: Source) -> None:
        """Count one itemised fill; one whose order is not known yet waits for it."""
        owner = self._by_order_id.get(fill.order_id)
        if owner is None:
            self._orphans.setdefault(fill.order_id, []).append(fill)
            return
        self._recall(owner)
        fill = replace(fill, client_order_id=owner)
        change = self.fills.add(fill, owner)
        self.counters["fill_conflicts"] += change.refused is not None
        if not change.added and not change.replaced:
            return
        order = with_fills(self._orders[owner], fill, self.fills.of(owner))
        self._orders[owner] = order
        self._tell(OrderUpdate(order, change.added, change.replaced, source))
        self._roll_up_parent_of(owner, source)

    @property
    def orphan_fills(self) -> tuple[Fill, ...]:
        """Fills of orders nobody has reported yet."""
        return tuple(fill for fills in self._orphans.values() for fill in fills)

    @property
    def open(self) -> tuple[Order, ...]:
        return tuple(order for order in self if order.is_open)

    @property
    def unknown(self) -> tuple[Order, ...]:
        """Orders that may be live and whose outcome nobody has proven yet."""
        return tuple(order for order in self if order.status is OrderStatus.UNKNOWN)

    def children(self, client_order_id: str) -> tuple[str, ...]:
        """Return the names of the orders the broker split this one into."""
        return tuple(self._children.get(client_order_id, ()))

    def reported(self, client_order_id: str) -> bool:
        """Whether the broker itself reports an order that it split."""
        return client_order_id in self._reported

    # -- whose report it is ------------------------------------------------------------------------------------------

    def _merge(self, known: Order, seen: Order, reading: int | None) -> Merge:
        name = known.client_order_id
        succeeded = bool(seen.order_ids) and seen.order_ids[-1] != seen.order_id
        if succeeded or (seen.order_id in self._left_behind and seen.status.terminal):
            # What ended is the id, not the order.
            told = fills_of(known, seen)
            return Merge(told, Verdict.STALE if told is known else Verdict.APPLIED)
        asked = self._asked.get(name)
        taken_at = asked.answered_at if asked else None
        after = reading is not None and taken_at is not None and reading > taken_at
        if after and seen.order_id in self._left_behind and seen.status_is_firm and seen.pending is Pending.NONE:
            # Read after the broker took the change, and it works on under the old id: the change was refused later.
            self._left_behind.discard(seen.order_id)
            self._asked.pop(name, None)
            return Merge(seen_again(known, seen), Verdict.APPLIED)
        result = merge(known, seen, asked, settles=after)
        if asked is None or result.verdict is Verdict.STALE:
            return result
        if result.order.status.terminal or (
            known.pending is Pending.NONE and (result.order.ts_event or 0) > (known.ts_event or 0)
        ):
            del self._asked[name]
        elif known.pending is seen.pending is not Pending.NONE:
            self._asked[name] = replace(asked, shown=True)
        return result

    def _owner(self, seen: Order) -> str | None:
        """Return the name of the order a report is about, an order nobody knows yet included; None for no order."""
        for order_id in (seen.order_id, *seen.order_ids):
            owner = self._by_order_id.get(order_id)
            if owner is not None:
                return owner
        wire_id = read_wire_id(seen.tag) or next(filter(None, map(read_wire_id, seen.tags)), None)
        ours = self._by_wire_id.get(wire_id) if wire_id else None
        external = f"{EXTERNAL_PREFIX}{seen.order_id}"
        if ours is None and wire_id is not None and run_of(wire_id) in self.journal_ids and seen.order_id:
            return wire_id  # ours, and its intent was lost with a damaged journal
        if ours is None:
            return external if seen.order_id else None
        if seen.parent_order_id and seen.parent_order_id != seen.order_id:
            return f"{ours}/{seen.order_id}"  # a slice of ours, reported before the reply that would have told its id
        known = self._orders.get(ours) or self._retired[ours]
        if not known.order_id or known.pending is Pending.MODIFY:
            return ours
        # Two orders at the broker for one intent of ours, or somebody repeated our order with its tag.
        self.counters["id_conflicts"] += 1
        log.warning("order %s carries the tag of %s, which is order %s", seen.order_id, ours, known.order_id)
        return external

    def _link(self, seen: Order, owner: str) -> None:
        """Learn the other ids of the chain a report's id stands in."""
        for order_id in seen.order_ids[:-1]:
            self._left_behind.add(order_id)
        for order_id in seen.order_ids:
            self._by_order_id.setdefault(order_id, owner)

    def _first_seen(self, seen: Order, owner: str) -> Order:
        self._provisional.add(owner)
        parent = None if owner.startswith(EXTERNAL_PREFIX) else self._orders.get(owner.rpartition("/")[0])
        if parent is None and not owner.startswith(EXTERNAL_PREFIX):
            self.counters["adopted"] += 1
            self._by_wire_id[owner] = owner
            self._provisional.discard(owner)
            return seen.but(client_order_id=owner, wire_id=owner, order_ids=(seen.order_id,), origin=Origin.US)
        if parent is None:
            self.counters["external"] += 1
            ids = (*takewhile(lambda one: one != seen.order_id, seen.order_ids), seen.order_id)
            return seen.but(client_order_id=owner, order_ids=ids, origin=Origin.EXTERNAL)
        if not parent.order_id and seen.parent_order_id:
            self._bind_ours(parent, seen.parent_order_id)
        self._children.setdefault(parent.client_order_id, []).append(owner)
        return seen.but(client_order_id=owner, order_ids=(seen.order_id,), origin=Origin.US, tag=parent.tag)

    def _bind_ours(self, known: Order, order_id: str) -> Order:
        """Give an order of ours its broker id, and take over what was reported under that id before."""
        name = known.client_order_id
        if not is_order_id(order_id):
            self.counters["no_id"] += 1
            log.warning("the broker gave %s the id %r, which is none", name, order_id)
            return known
        holder = self._by_order_id.get(order_id)
        if holder is not None and holder != name and holder not in self._provisional:
            self.counters["id_conflicts"] += 1
            log.warning("the broker gave id %s of order %s to %s as well", order_id, holder, name)
            return known
        ids = known.order_ids if order_id in known.order_ids else (*known.order_ids, order_id)
        known = known.but(order_id=order_id, order_ids=ids)
        self._by_order_id[order_id] = name
        self._orders[name] = known
        return known if holder is None or holder == name else self._absorb(holder, known)

    def _absorb(self, holder: str, known: Order) -> Order:
        """Take over what was reported under the name we gave an order before we knew that it is this one."""
        name, seen = known.client_order_id, self._orders.pop(holder)
        self._provisional.discard(holder)
        self._renamed[holder] = name
        for siblings in self._children.values():
            if holder in siblings:
                siblings.remove(holder)
        change = self.fills.move(holder, name)
        self.counters["joined"] += 1
        self.counters["external"] -= seen.origin is Origin.EXTERNAL
        for other in seen.order_ids:
            self._by_order_id[other] = name
        self._orders[name] = known = self._merge(known, seen, None).order
        if change.added or change.replaced:
            self._tell(OrderUpdate(known, change.added, change.replaced, "local"))
        return known

    def _roll_up_parent_of(self, owner: str, source: Source) -> None:
        parent, slash, _ = owner.rpartition("/")
        if slash and owner in self._children.get(parent, ()):
            self._roll_up(parent, source)

    def _roll_up(self, parent: str, source: Source) -> None:
        """Show a parent that has no record of its own at the broker as what its children come to."""
        names = self._children.get(parent)
        if not names or parent in self._reported:
            return
        known = self._orders[parent]
        order = rolled_up(known, [self._orders[name] for name in names])
        if order != known:
            self._orders[parent] = order
            self._tell(OrderUpdate(order, source=source))

    def _adopt_orphans(self, owner: str) -> None:
        for order_id in self._orders[owner].order_ids:
            for fill in self._orphans.pop(order_id, ()):
                self.see_fill(fill, "poll")

    def _count_unknown(self, word: str) -> None:
        self.counters["unknown_status"] += 1
        if word in self.unknown_words or len(self.unknown_words) < _WORDS_KEPT:
            self.unknown_words[word] = self.unknown_words.get(word, 0) + 1

    def _tell(self, update: OrderUpdate) -> None:
        self._tell_to(self._listeners, update)

    def _tell_to(self, listeners: _Listeners, update: OrderUpdate) -> None:
        for listener in listeners:
            try:
                listener(update)
            except Exception:  # noqa: BLE001 - `_raised` logs it
                self._raised()

    def _raised(self) -> None:
        self.counters["listener_errors"] += 1
        log.exception("an order listener raised")
