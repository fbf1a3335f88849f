"""What a client is made of, and how its parts hear of each other. Its methods stand in the modules beside this one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dragoman.checks import RiskLimits, WireUnits, flag
from dragoman.client_streams import ClientStreams
from dragoman.errors import DragomanError
from dragoman.market import InstrumentMaster, MarketData, MasterCache
from dragoman.market.loading import MasterLoader
from dragoman.model import (
    BookGap,
    Gap,
    KillEvent,
    MarginAlert,
    Notice,
    OrderAlert,
    PositionAlert,
    RuleEvent,
    StreamState,
)
from dragoman.orders import OrderService
from dragoman.orders.reconciler import Reconciler
from dragoman.plugin import Adapter, Fatal, FillSeen, MarginSeen, OrderSeen, QuoteSeen, Raw
from dragoman.portfolio import AccountServices, Portfolio
from dragoman.portfolio.guard import Guard
from dragoman.portfolio.margin.monitor import MarginMonitor
from dragoman.portfolio.margin.room import MarginRoom
from dragoman.portfolio.sampling import MoneySampler
from dragoman.rules.wiring import rule_book
from dragoman.session.fanout import Fanout, Timing
from dragoman.session.session import AccountSession

Event = (
    StreamState
    | Gap
    | BookGap
    | Notice
    | OrderAlert
    | PositionAlert
    | MarginAlert
    | RuleEvent
    | KillEvent
    | Raw
    | DragomanError
)

_TOLD_LATER = (OrderAlert, PositionAlert, MarginAlert, RuleEvent, KillEvent, Notice, DragomanError)


class ClientParts:
    """The parts of one account's client, wired together, and the news that pass between them."""

    def __init__(
        self,
        session: AccountSession,
        *,
        load_instruments: bool = True,
        load_orders: bool = True,
        streams: bool = True,
        cache: MasterCache | None = None,
        journal: bool = False,
        risk: RiskLimits | None = None,
        release: Callable[[], None] = lambda: None,
    ) -> None:
        self.session = session
        self._check = session.owner.check
        self._has_defaults = type(session.adapter).order_defaults is not Adapter.order_defaults
        self.instruments = InstrumentMaster()
        self._load_instruments = flag("load_instruments", load_instruments)
        self._orders_wanted = flag("load_orders", load_orders)
        self._with_streams = flag("streams", streams)
        self._release = release
        self._started = False
        self._closing: asyncio.Task[None] | None = None
        # What a start finds is told before anybody can listen.
        self.events: Fanout[Event] = Fanout("client", lambda event: isinstance(event, _TOLD_LATER))
        self._master = MasterLoader(session, self.instruments, cache, self.events.publish)
        units = WireUnits(session.adapter, session.profile.settings)
        session.ctx.instruments = self.instruments
        self.market = MarketData(session, self.instruments)
        self.market.gaps.add(self.events.publish)
        self._streams = ClientStreams(session, self.market, self._on_event)
        self.orders_service = OrderService(session, self.instruments, units, self._streams.following, journal=journal)
        self.orders_service.alerts.add(self.events.publish)
        self.orders_service.kills.add(self.events.publish)
        self.portfolio = Portfolio(session, self.instruments, units, self.orders_service, self.events.publish)
        self.portfolio.live.marking.hang_on(self.market.on_batch)
        self.orders_service.recorder.mark = self.portfolio.live.marking.fresh
        self._guard = Guard(session, self.instruments, self.orders_service, self.portfolio.live)
        self._guard.set(risk)
        self._reconciler: Reconciler | None = None
        self._measure()
        self.account = AccountServices(session, self.instruments, units, self.orders_service, self.portfolio.changes)
        self.margin = MarginMonitor(
            session, self.instruments, self.orders_service, self.portfolio, self.account, self.events.publish
        )
        self._samples = MoneySampler(
            session.runtime, self.instruments, self.orders_service, self.portfolio.live, self.margin
        )
        self._guard.margin = MarginRoom(self.margin, session.runtime.clock.mono_ns, self._guard.price)
        self.rules = rule_book(
            session,
            self.instruments,
            self.market,
            self.orders_service,
            self.portfolio.live,
            self.events.publish,
            self.account,
            streaming=self._streams.delivers,
            margins=lambda: self.margin.now(),
            hurry=self.margin.hurry,
            begin=self.portfolio.begin,
        )
        self.rules.exits.compare = self.portfolio.check
        self.margin.changed = self.rules.on_margin

    async def _need_orders(self, timeout_s: float) -> None:
        """Read today's orders where the client was connected without them and this is the first call to need one."""
        if not self._orders_wanted:
            await self.orders_service.refresh(timeout_s=timeout_s)
            self.portfolio.start(self.events.publish)
            self._orders_wanted = True
            self._audit()
            self._catch_up()  # a stream may have been interrupted meanwhile

    def _audit(self) -> None:
        """Read orders, trades and positions in the background from here on, now that somebody cares for them."""
        if self._reconciler is not None:
            return
        self._reconciler = Reconciler(
            self.session,
            self.orders_service.reader,
            self.orders_service.alerts.publish,
            self._streams.distrust,
            self.portfolio.differences,
            streaming=bool(self._streams.carrying_orders),
        )
        self._reconciler.start()

    def _on_event(self, event: Any) -> None:
        match event:
            case OrderSeen() | FillSeen():
                self.orders_service.on_stream(event)
                return
            case QuoteSeen(quote):
                self.market.on_quote(quote)
                return
            case MarginSeen():
                self.margin.on_push(event)
                return
            case Fatal(error):
                event = error
            case Gap(stream=name, reason=reason, shard=shard):
                if self._streams.open[name].kind != "orders":
                    unseen = self._streams.open[name].wanted_on(shard)
                    self.market.on_gap(unseen)
                    handles = [self.instruments.handle(want.instrument) for want in unseen]
                    self.portfolio.live.marking.interrupted(handles)
                if name in self._streams.carrying_orders and shard == 1:
                    self.orders_service.mark_stale(reason or "the order stream was interrupted")
                    self._catch_up()  # at once where the connection stands: messages were left out of it
            case StreamState(stream=name, state="ready", shard=shard) if self._streams.open[name].kind != "orders":
                self.market.on_ready(self._streams.open[name].wanted_on(shard))
                self._orders_ready(name, shard)
            case StreamState(stream=name, state="ready", shard=shard):
                self._orders_ready(name, shard)
        self.events.publish(event)

    def _orders_ready(self, name: str, shard: int) -> None:
        if shard == 1 and name in self._streams.carrying_orders:
            # Whatever was read before updates flow again may have missed some.
            self.orders_service.mark_stale("the order stream has just connected")
            self._catch_up()

    def _catch_up(self) -> None:
        if self._started and self._orders_wanted and self.orders_service.stale and self._streams.following():
            self.orders_service.reread(self.events.publish)

    def _counts(self) -> dict[str, Any]:
        store, audit = self.orders_service.store, self._reconciler
        return {
            "streams": {name: stream.counters for name, stream in self._streams.open.items()},
            "orders": dict(store.counters) | {"open": len(store.open), "unknown": len(store.unknown)},
            "journal": self._journal_counts(),
            "audit": {"readings": audit.audits, "missed": audit.missed} if audit is not None else {},
            "margin": self.margin.counts(),
            "rules": self.rules.counts(),
            "unknown_words": dict(store.unknown_words),
            "unconverted": self.account.unconverted,
            "books": {"count": len(self.market.books), "gaps": self.market.books.gaps},
            "ticks": self.market.ticks_seen,
            "conflated": self.market.conflated,
            "handler_errors": self.events.handler_errors
            + self.market.batches.handler_errors
            + self.orders_service.updates.handler_errors,
            "limits": self.session.limiter.state(),
            "master_conflicts": self.instruments.conflict_count,
            "master_skipped": self.instruments.skipped_count,
        }

    def _journal_counts(self) -> dict[str, Any]:
        """Return who writes, and what is wrong with what was written; empty where nothing is written."""
        writer = self.orders_service.writer
        if not writer.enabled:
            return {}
        journal, busy = writer.journal, writer.busy
        if journal is None:
            return {"writes": False, "failed": False, "writer_pid": 0 if busy is None else busy.pid}
        return {
            "writes": journal.failed is None,
            "failed": journal.failed is not None,
            "writer_pid": 0,
            "damage": len(journal.damage),
            "known_damage": len(journal.known_damage),
            "unreadable": journal.unreadable,
            "unwritten": journal.unwritten,
            "dropped": journal.dropped,
        }

    def _journal_state(self) -> str:
        counts = self._journal_counts()
        if not counts:
            return ""
        if counts["failed"]:
            return "not writing: the journal failed"
        if not counts["writes"]:
            pid = counts["writer_pid"]
            return f"not writing: process {pid} is" if pid else "not writing"
        wrong = ", ".join(f"{counts[what]} {what}" for what in ("damage", "unreadable", "unwritten") if counts[what])
        return f"writing, journal: {wrong}" if wrong else "writing"

    def _measure(self) -> None:
        metrics, clock = self.session.metrics, self.session.runtime.clock
        metrics.read_from(self._counted)
        timing = Timing(clock.mono_ns, clock.wall_ns, metrics.handler)
        self.market.batches.measure(replace(timing, age=metrics.frame_to_handler))
        self.orders_service.updates.measure(timing)
        self.events.measure(timing)

    def _counted(self) -> dict[str, Any]:
        self.session.owner.check_process("metrics")
        limiter = self.session.limiter
        return self._counts() | {
            "throttled": limiter.throttled,
            "penalties": limiter.penalties,
            "uncounted": limiter.uncounted,
            "requests": self.session.sender.counters.requests,
            "request_failures": dict(self.session.sender.counters.failures),
            "sockets_held": self.session.sockets.own,
            "loop_stalls": self.session.stalls,
        }
