"""The rows of the live screen, made from a client; nothing here knows a terminal.

Orders and positions are looked at again when they change, positions also when their mark does, so that a refresh costs
what changed and not what there is. Margins are taken as the monitor tells them.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from operator import is_not
from typing import TYPE_CHECKING, Any, Final

from dragoman.cli.output import order_kind
from dragoman.cli.watch.prices import MOST, Prices, silent
from dragoman.cli.watch.rows import (
    AlertRow,
    Heading,
    LaneRow,
    MarginRow,
    OrderRow,
    PositionRow,
    RuleRow,
    StreamRow,
    TotalRow,
    Weight,
)
from dragoman.cli.watch.told import alert_of, printable
from dragoman.errors import DragomanError
from dragoman.model import LivePosition, Margin, Order, OrderUpdate, RuleStatus, Segment
from dragoman.portfolio.net import PositionKey

if TYPE_CHECKING:
    from dragoman.client import Client

_NS: Final = 1_000_000_000
_ALERTS: Final = 500
_RULES_S: Final = 5.0


class WatchModel:
    """What a screen over one connected client shows.

    Parameters
    ----------
    client : Client
    names : iterable of str
        Instruments to follow; those of positions and working orders are followed as well.
    trading : bool
        Whether the screen may trade.

    Attributes
    ----------
    prices : Prices
        The watch list and the ladder.
    problem : str
        Why margins cannot be shown, "" where they can.
    """

    def __init__(self, client: Client, names: Iterable[str] = (), *, trading: bool = False) -> None:
        self.client = client
        self.trading = trading
        self.prices = Prices(client)
        self.problem = ""
        self._names = tuple(names)
        self._clock = client.session.runtime.clock
        self._store = client.orders_service.store
        self._book = client.portfolio.live
        self._orders: dict[str, OrderRow] = {}
        self._dirty_orders: set[str] = set()
        self._rows: list[LivePosition] = []
        self._totals: tuple[TotalRow, ...] = ()
        self._margins: dict[Segment, Margin] = {}
        self._alerts: deque[AlertRow] = deque(maxlen=_ALERTS)
        self._refused: set[str] = set()
        self._ends: list[Callable[[], object]] = []
        self._tasks: list[asyncio.Task[None]] = []

    # -- life --------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Begin to follow the client.

        Raises
        ------
        UsageError
            An instrument that was named is unknown, or the stream has no room for it.
        """
        client = self.client
        self._ends += [
            client.on_event(self._on_event),
            client.on_order(self._on_order),
        ]
        self._take_all()
        self.prices.add(self._names)
        self._follow_traded()
        self.prices.look()
        spawn = client.session.runtime.spawn
        self._tasks.append(spawn(self._follow_closes(list(self.prices.names)), name="watch: previous closes"))
        self._tasks.append(spawn(self._follow_rules(), name="watch: rules"))
        feature = client.session.adapter.capabilities.features["margins"]
        if feature:
            self._tasks.append(spawn(self._follow_margins(), name="watch: margins"))
        else:
            self.problem = feature.reason or "the broker tells no margins"

    async def close(self) -> None:
        """Follow it no more; the client stays open."""
        for end in self._ends:
            end()
        self._ends.clear()
        tasks, self._tasks = [task for task in self._tasks if not task.done()], []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    @property
    def now(self) -> int:
        """Our clock, ns UTC."""
        return self._clock.wall_ns()

    def refresh(self) -> None:
        """Look at what changed since the last time."""
        self.prices.look()
        self._take_orders()
        changed = self._take_positions()
        if changed:
            self._follow_traded()
            self._count()

    # -- account and alerts ------------------------------------------------------------------------------------------

    def heading(self) -> Heading:
        """Return whose screen it is."""
        session, killed = self.client.session, self.client.killed
        why = printable(f"{killed.why or 'no reason given'} ({killed.who})") if killed.engaged else ""
        profile = session.profile
        return Heading(
            profile.environment, profile.name, profile.broker, session.ctx.account, self.trading, why, self.now
        )

    def alerts(self) -> list[AlertRow]:
        """Return what was told, newest first."""
        return list(reversed(self._alerts))

    def tell(self, weight: Weight, what: str, text: str) -> None:
        """Put something of our own among the alerts."""
        self._put(AlertRow(self.now, weight, what, printable(text)))

    def _on_event(self, event: Any) -> None:
        row = alert_of(event, self.now)
        if row is not None:
            self._put(row)

    def _put(self, row: AlertRow) -> None:
        last = self._alerts[-1] if self._alerts else None
        if last is not None and (last.what, last.text) == (row.what, row.text):
            self._alerts[-1] = replace(row, times=last.times + 1)
        else:
            self._alerts.append(row)

    # -- orders ------------------------------------------------------------------------------------------------------

    def orders(self) -> list[OrderRow]:
        """Return all orders, in the order they became known; ages are of now."""
        now = self.now
        return [
            replace(row, age_s=_age(row.ts, now)) if row.working and row.ts is not None else row
            for row in self._orders.values()
        ]

    @property
    def orders_stale(self) -> bool:
        """Whether order updates may be missing."""
        return self.client.orders_service.stale

    def _on_order(self, update: OrderUpdate) -> None:
        self._dirty_orders.add(update.order.client_order_id)

    def _take_all(self) -> None:
        self._orders = {order.client_order_id: _order_row(order) for order in self._store}
        self._dirty_orders.clear()
        self._take_positions()
        self._count()

    def _take_orders(self) -> None:
        dirty, self._dirty_orders = self._dirty_orders, set()
        for name in dirty:
            order = self._store.get(name)
            if order is not None and order.client_order_id == name:
                self._orders[name] = _order_row(order)
        if len(self._orders) != len(self._store):  # two turned out to be one, or a reading brought some untold
            self._orders = {order.client_order_id: _order_row(order) for order in self._store}
        if dirty:
            self._follow_traded()

    # -- positions ---------------------------------------------------------------------------------------------------

    def positions(self) -> list[PositionRow]:
        """Return the day's positions, flat ones that traded included, by instrument and product."""
        return [_position_row(row, stale=self._stale(row)) for row in self._rows]

    def totals(self) -> Sequence[TotalRow]:
        """Return profit by currency."""
        stale = Counter(row.currency for row in self._rows if self._stale(row))
        return [replace(one, stale=stale[one.currency]) for one in self._totals]

    def _stale(self, row: LivePosition) -> bool:
        """Whether a position's mark is old; so is one whose socket has fallen silent, before the mark's own limit."""
        name = row.instrument_id
        return row.stale or (bool(row.quantity) and name in self.prices.names and not self.prices.delivering(name))

    def _take_positions(self) -> bool:
        """Look at the positions; return whether any of them, or its mark, changed: each is the same row otherwise."""
        before, self._rows = self._rows, self._book.rows()
        return len(before) != len(self._rows) or any(map(is_not, before, self._rows))

    def _count(self) -> None:
        self._totals = tuple(
            TotalRow(
                currency=currency,
                realised=one.realised,
                unrealised=one.unrealised,
                charges=one.charges,
                positions=one.positions,
                unknown=len(one.unknown),
                stale=0,
            )
            for currency, one in sorted(self._book.totals().items())
        )

    def _follow_traded(self) -> None:
        """Follow the instruments of positions and working orders, as far as there is room."""
        traded = [row.instrument_id for row in self._rows if row.quantity]
        traded += [row.instrument_id for row in self._orders.values() if row.working]
        for name in dict.fromkeys(traded):
            if name in self.prices.names or name in self._refused or len(self.prices.names) >= MOST:
                continue
            try:
                self.prices.add([name])
            except DragomanError as error:
                self._refused.add(name)
                self.tell("warning", "watch", f"{name} is not followed: {error}")

    # -- money and rules ---------------------------------------------------------------------------------------------

    def margins(self) -> list[MarginRow]:
        """Return the margins, by segment."""
        return [_margin_row(margin, self.now) for _, margin in sorted(self._margins.items())]

    async def _follow_margins(self) -> None:
        async for margin in self.client.margin.watch():
            self._margins[margin.segment] = margin

    def rules(self) -> list[RuleRow]:
        """Return the rules that are not over, and those that failed."""
        known = self.client.rules.list(everything=True)
        return [_rule_row(rule) for rule in known if not rule.status.terminal or rule.status is RuleStatus.FAILED]

    async def _follow_rules(self) -> None:
        """Read the rules that another process keeps, now and then."""
        while True:
            try:
                await self.client.rules.read()
            except (DragomanError, OSError) as error:
                self.tell("warning", "rules", f"they cannot be read: {error}")
            await self.client.session.runtime.sleep(_RULES_S)

    async def _follow_closes(self, names: list[str]) -> None:
        try:
            await self.prices.read_closes(names)
        except DragomanError as error:
            self.tell("warning", "watch", f"previous closes are not known: {error}")

    # -- machinery ---------------------------------------------------------------------------------------------------

    def lanes(self) -> list[LaneRow]:
        """Return the rate limits."""
        return [
            LaneRow(
                name=name,
                used=one["used"],
                count=one["count"],
                reserve_left=one["reserve_left"],
                waiting=one["waiting"],
                penalty_s=one["penalty_ns"] // _NS,
            )
            for name, one in self.client.session.limiter.state().items()
        ]

    def streams(self) -> list[StreamRow]:
        """Return every socket of every stream."""
        found = []
        for name, stream in self.client.streams.items():
            limit = stream.feed_class.stall.any_frame_s
            for shard in stream.shards:
                counts = shard.counters
                age = counts["frame_age_s"]
                quiet = shard.state == "ready" and silent(age, limit)
                found.append(
                    StreamRow(
                        name=name,
                        shard=shard.shard,
                        state="silent" if quiet else shard.state,
                        age_s=None if age is None else int(age),
                        gaps=counts["gaps"],
                        reconnects=counts["reconnects"],
                        instruments=counts["instruments"],
                        why=printable(str(shard.error)) if shard.error is not None else "",
                        stale=quiet or shard.state not in ("ready", "closed"),
                    )
                )
        return found


def _age(ts: int, now: int) -> int:
    return max(0, now - ts) // _NS


def _order_row(order: Order) -> OrderRow:
    began = order.ts_created or order.ts_submitted or order.ts_accepted or order.ts_event or order.ts_recv
    ended = order.ts_closed or order.ts_event or order.ts_recv
    age = None if began is None or ended is None or order.is_open else _age(began, ended)
    reject = order.reject
    return OrderRow(
        client_order_id=order.client_order_id,
        order_id=order.order_id,
        ts=began,
        instrument_id=order.instrument_id,
        side=order.side,
        quantity=order.quantity,
        filled=order.filled_quantity,
        kind=order_kind(order),
        price=order.price,
        trigger_price=order.trigger_price,
        average=order.average_price,
        status=order.status,
        pending=order.pending,
        why=printable(f"{reject.kind}: {reject.text}" if reject is not None else order.status_text or ""),
        age_s=age,
        working=order.is_open,
    )


def _position_row(one: LivePosition, *, stale: bool) -> PositionRow:
    key: PositionKey = (one.instrument_id, one.product, one.position_side)
    return PositionRow(
        key=key,
        instrument_id=one.instrument_id,
        product=one.product,
        quantity=one.quantity,
        average=one.average_price,
        mark=one.last_price,
        realised=one.realised_pnl,
        unrealised=one.unrealised_pnl,
        value=one.value,
        currency=one.currency,
        stale=stale,
    )


def _margin_row(one: Margin, now: int) -> MarginRow:
    return MarginRow(
        segment=one.segment,
        utilisation=one.utilisation,
        used=one.used.total,
        usable=one.net,
        source=one.source,
        error_bound=one.error_bound,
        currency=one.currency,
        age_s=None if one.ts_polled is None else _age(one.ts_polled, now),
        stale=one.stale,
    )


def _rule_row(one: Any) -> RuleRow:
    terms = one.rule
    return RuleRow(
        rule_id=one.rule_id,
        kind=getattr(terms, "kind", type(terms).__name__),
        instrument_id=getattr(terms, "instrument_id", "") or str(getattr(terms, "segment", "") or ""),
        status=one.status,
        levels=one.levels,
        quantity=one.quantity,
        exited=one.exited,
        reason=printable(one.reason),
        statement=one.statement,
        stale=one.status is RuleStatus.SUSPENDED,
    )
