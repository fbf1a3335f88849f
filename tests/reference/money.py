"""Plain-Python twins of the native marks and triggers, and a made-up feed that prices reach them through."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from dragoman._core import ABSENT_INT, Batch, Decoder, intern_instrument
from dragoman.plugin.layout import Field, Framing, Key, PackedLayout, PackedStream, Part, Select

_PACKET = struct.Struct("<IIqdddd")
_NEVER = -1
MOST_AHEAD_NS = 10_000_000_000

STREAM = PackedStream(
    "prices",
    "little",
    Framing.back_to_back(length_at=Part("u32", 0)),
    Select.by_length(),
    layouts=(
        PackedLayout(
            "prices",
            _PACKET.size,
            Key(Part("u32", 4)),
            (
                Field("ts_event", "i64", 8, unit="ns", absent=_NEVER),
                Field("last_price", "f64", 16),
                Field("mark_price", "f64", 24),
                Field("bid_price", "f64", 32),
                Field("ask_price", "f64", 40),
            ),
            kind="quote",
            mode="full",
        ),
    ),
)


@dataclass(frozen=True)
class PriceTick:
    """One record of the feed; a price that is None or no number is absent."""

    instrument: int | None
    last: float | None = None
    mark: float | None = None
    bid: float | None = None
    ask: float | None = None
    ts_event: int | None = None

    def source(self, name: str) -> tuple[float | None, ...]:
        return (self.bid, self.ask) if name == "mid" else (getattr(self, name),)


class PriceFeed:
    """Batches of prices, through the real decoder; `handles` are its instruments, None stands for an unbound one."""

    def __init__(self, bound: int) -> None:
        self._decoder = Decoder(STREAM.compile())
        self.handles = [intern_instrument(f"TEST:PRICE{number}") for number in range(bound)]
        self._keys = {handle: number for number, handle in enumerate(self.handles)}
        for number, handle in enumerate(self.handles):
            self._decoder.bind(number, handle)

    def ticks(self, ticks: Iterable[PriceTick], ts_recv: int = 0) -> Batch:
        frame = b"".join(
            _PACKET.pack(
                _PACKET.size,
                9999 if tick.instrument is None else self._keys[tick.instrument],
                _NEVER if tick.ts_event is None else tick.ts_event,
                *(math.nan if price is None else price for price in (tick.last, tick.mark, tick.bid, tick.ask)),
            )
            for tick in ticks
        )
        return self._decoder.decode(frame, ts_recv)

    def batch(
        self, rows: Iterable[tuple[int | None, float] | tuple[int | None, float, int]], ts_recv: int = 0
    ) -> Batch:
        """Rows of (instrument, last price[, ts_event])."""
        return self.ticks(
            (PriceTick(row[0], row[1], ts_event=row[2] if len(row) > 2 else None) for row in rows), ts_recv
        )

    def tops(self, rows: Iterable[tuple[int, float | None, float | None]]) -> Batch:
        """Rows of (instrument, bid, ask)."""
        return self.ticks(PriceTick(handle, bid=bid, ask=ask) for handle, bid, ask in rows)


def usable(prices: tuple[float | None, ...]) -> tuple[float | None, str]:
    """The price that one or two sides make, and the counter of why there is none."""
    told = [price for price in prices if price is not None and math.isfinite(price)]
    if len(told) != len(prices):
        return None, "ignored_one_sided" if told else "ignored_absent"
    for price in told:
        if abs(price) > 1e15:
            return None, "ignored_infinite"
        if price <= 0:
            return None, "ignored_zero"
    if len(told) == 2 and told[0] > told[1]:
        return None, "ignored_crossed"
    return sum(told) / len(told), "used"


def polled(price: float, clock: Clock, ts: int) -> str:
    """What becomes of a price from a poll: the counter of it."""
    why = usable((price,))[1] if math.isfinite(price) else "ignored_infinite"
    return why if why != "used" or clock.poll(ts) else "ignored_old"


@dataclass
class Clock:
    """Which price comes after which, of one instrument and source."""

    ts_event: int | None = None
    ts_recv: int = ABSENT_INT

    def tick(self, ts_event: int | None, ts_recv: int) -> bool:
        if ts_event is not None:
            if self.ts_event is not None and ts_event < self.ts_event:
                return False
            if not (ts_recv > 0 and ts_event - ts_recv > MOST_AHEAD_NS):
                self.ts_event = ts_event
        self.ts_recv = ts_recv
        return True

    def poll(self, ts: int) -> bool:
        if ts < self.ts_recv:
            return False
        self.ts_recv = ts
        return True


@dataclass
class Row:
    instrument: int
    quantity: float
    average: float
    multiplier: float
    close: float
    group: int


@dataclass
class PlainMarks:
    """`Marks`, summing everything anew whenever it is asked."""

    source: str = "last"
    rows: dict[int, Row] = field(default_factory=dict)
    prices: dict[int, float] = field(default_factory=dict)
    clocks: dict[int, Clock] = field(default_factory=dict)
    watched: dict[int, float] = field(default_factory=dict)
    crossed: list[int] = field(default_factory=list)
    touched: list[int] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)

    def set(self, slot: int, row: Row) -> None:
        self.rows[slot] = row
        self.clocks.setdefault(row.instrument, Clock())
        self._touch(slot)
        self._settle()

    def remove(self, slot: int) -> None:
        del self.rows[slot]
        self._settle()

    def watch(self, group: int, below: float) -> None:
        self.watched[group] = below
        self._settle()

    def apply(self, ticks: Iterable[PriceTick], ts_recv: int) -> int:
        changed: set[int] = set()
        for tick in ticks:
            if tick.instrument is None:
                self._count("ignored_unbound")
            if tick.instrument not in self.clocks:
                continue
            price, why = usable(tick.source(self.source))
            if price is not None and not self.clocks[tick.instrument].tick(tick.ts_event, ts_recv):
                price, why = None, "ignored_old"
            self._count(why)
            if price is not None:
                changed |= self._price(tick.instrument, price)
        self._settle()
        return len(changed)

    def mark(self, instrument: int, price: float, ts: int) -> bool:
        clock = self.clocks.setdefault(instrument, Clock())
        why = polled(price, clock, ts)
        self._count(why)
        if why != "used":
            return False
        self._price(instrument, price)
        self._settle()
        return True

    def _price(self, instrument: int, price: float) -> set[int]:
        if self.prices.get(instrument) == price:
            return set()
        self.prices[instrument] = price
        moved = {slot for slot, row in self.rows.items() if row.instrument == instrument}
        for slot in moved:
            self._touch(slot)
        return moved

    def unrealised(self, slot: int) -> float:
        row = self.rows[slot]
        return (self.prices.get(row.instrument, math.nan) - row.average) * row.quantity * row.multiplier

    def parts(self, group: int) -> list[float]:
        """The P&L of a group's rows that have one."""
        all_of_it = [self.unrealised(slot) for slot, row in self.rows.items() if row.group == group]
        return [part for part in all_of_it if not math.isnan(part)]

    def missing(self, group: int) -> int:
        return sum(row.group == group for row in self.rows.values()) - len(self.parts(group))

    def take_touched(self) -> set[int]:
        taken = {slot for slot in self.touched if slot in self.rows}
        self.touched.clear()
        return taken

    def _touch(self, slot: int) -> None:
        if slot not in self.touched:
            self.touched.append(slot)

    def _settle(self) -> None:
        for group, below in list(self.watched.items()):
            if math.fsum(self.parts(group)) <= below:
                del self.watched[group]
                self.crossed.append(group)

    def _count(self, why: str) -> None:
        self.counters[why] = self.counters.get(why, 0) + 1


@dataclass
class Trigger:
    instrument: int
    kind: str
    level: float
    trail: float = math.nan
    source: str = "last"
    after_ns: int = 0
    percent: bool = False
    step: float = 0.0
    best: float = math.nan

    @property
    def falls(self) -> bool:
        """Whether it is a low price that fires it."""
        return self.kind.endswith("below")

    def take(self, price: float) -> bool:
        """Move with a price, and say whether it fires."""
        sign = 1.0 if self.falls else -1.0
        if self.kind.startswith("trail") and not sign * price <= sign * self.best:
            self.best = price
            distance = max(price * (self.trail / 100.0) if self.percent else self.trail, self.step)
            wanted = self._on_step(price - sign * distance)
            if not sign * wanted <= sign * self.level:
                self.level = wanted
        return sign * price <= sign * self.level

    def _on_step(self, level: float) -> float:
        """Return the multiple of the step that a price reaches no later; what is off one by rounding alone is on it."""
        if not self.step:
            return level
        step = Decimal(repr(self.step))
        steps = Decimal(level) / step
        count = steps.to_integral_value()
        if abs(steps - count) >= Decimal("1e-6"):
            count = steps.to_integral_value(ROUND_CEILING if self.falls else ROUND_FLOOR)
        return float(count * step)


@dataclass
class PlainTriggers:
    """`Triggers`, asking every one of them at every price."""

    max_delay_ns: int = 0
    armed: dict[int, Trigger] = field(default_factory=dict)
    clocks: dict[tuple[int, str], Clock] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)

    def arm(self, identity: int, trigger: Trigger) -> None:
        self.armed.pop(identity, None)  # armed anew, it is the youngest
        self.armed[identity] = trigger
        self.clocks.setdefault((trigger.instrument, trigger.source), Clock())

    def apply(self, ticks: Iterable[PriceTick], ts_recv: int) -> list[int]:
        fired: list[int] = []
        for tick in ticks:
            if tick.instrument is None:
                self._count("ignored_unbound")
            now: set[int] = set()
            for source in ("last", "mark", "mid"):
                clock = self.clocks.get((tick.instrument, source)) if tick.instrument is not None else None
                if clock is None:
                    continue
                price, why = usable(tick.source(source))
                behind = ts_recv - tick.ts_event if tick.ts_event is not None and ts_recv > 0 else 0
                if price is not None and 0 < self.max_delay_ns < behind:
                    price, why = None, "ignored_delayed"
                if price is not None and not clock.tick(tick.ts_event, ts_recv):
                    price, why = None, "ignored_old"
                self._count(why)
                if price is not None and tick.instrument is not None:
                    now |= self._reached(tick.instrument, source, price, ts_recv)
            fired += self._take(now)
        return fired

    def fire_at(self, instrument: int, price: float, ts: int, source: str) -> list[int]:
        clock = self.clocks.get((instrument, source))
        why = polled(price, clock, ts) if clock is not None else None
        if why is not None:
            self._count(why)
        if why != "used":
            return []
        return self._take(self._reached(instrument, source, price, ts))

    def _reached(self, instrument: int, source: str, price: float, ts_recv: int) -> set[int]:
        concerned = [
            (identity, one)
            for identity, one in self.armed.items()
            if (one.instrument, one.source) == (instrument, source)
        ]
        for _, one in concerned:
            if one.after_ns <= ts_recv:
                one.after_ns = 0  # once it counts prices it goes on, should our clock step back
        return {identity for identity, one in concerned if not one.after_ns and one.take(price)}

    def _take(self, now: set[int]) -> list[int]:
        ordered = [identity for identity in self.armed if identity in now]
        for identity in ordered:
            del self.armed[identity]
        return ordered

    def _count(self, why: str) -> None:
        self.counters[why] = self.counters.get(why, 0) + 1
