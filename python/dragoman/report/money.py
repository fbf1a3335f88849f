"""The money of a day: positions and profit counted anew by the position book, margins as they were kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from dragoman._core import Marks, intern_instrument
from dragoman.market import InstrumentMaster
from dragoman.model import (
    Adjustment,
    AdjustmentKind,
    AssetClass,
    Fill,
    Instrument,
    InstrumentType,
    LivePosition,
    Margin,
    Order,
    OrderUpdate,
    PnL,
    PositionAlert,
    Product,
)
from dragoman.orders.journal.codec import from_plain
from dragoman.plugin import ChargesTable
from dragoman.portfolio.book import PositionBook
from dragoman.portfolio.changes import enter
from dragoman.portfolio.days import TradingDays
from dragoman.portfolio.marking import Marking
from dragoman.portfolio.rows import totals
from dragoman.report.model import MoneyLine, Realised
from dragoman.report.sound import UNREADABLE

_SOURCE: Final = "the journal"


@dataclass(slots=True)
class Counted:
    """What the day's fills come to."""

    positions: tuple[LivePosition, ...] = ()
    totals: tuple[PnL, ...] = ()
    realised: tuple[Realised, ...] = ()
    notes: list[str] = field(default_factory=list)


def master_of(
    terms: dict[str, dict[str, str]], known: InstrumentMaster | None, names: Iterable[str]
) -> InstrumentMaster:
    """Return the instruments of the day, as the journal has their terms, else as `known` has them."""
    master = InstrumentMaster()
    found = []
    for name in names:
        one = _instrument(name, terms.get(name, {})) or (known.get(name) if known is not None else None)
        if one is not None:
            found.append(one)
    master.add(found)
    return master


def _instrument(name: str, terms: dict[str, str]) -> Instrument | None:
    if "instrument_type" not in terms:
        return None
    try:
        return Instrument(
            instrument_id=name,
            symbol=name.partition(":")[2] or name,
            exchange=terms["exchange"],
            asset_class=AssetClass(terms["asset_class"]),
            instrument_type=InstrumentType(terms["instrument_type"]),
            broker_symbol=name,
            broker_token=name,
            currency=terms["currency"],
            multiplier=Decimal(terms["multiplier"]),
        )
    except UNREADABLE:
        return None


def count(
    fills: Iterable[Fill],
    began: Iterable[Any],
    changes: Iterable[Mapping[str, Any]],
    worth: Mapping[str, Any],
    master: InstrumentMaster,
    days: TradingDays,
    start_ns: int,
    *,
    broker: str,
    account: str,
    charges: ChargesTable | None = None,
) -> Counted:
    """Have a position book count the day.

    Parameters
    ----------
    fills : iterable of Fill
        Those that count, in their order.
    began : iterable
        What the day began with, as it was kept.
    changes : iterable of mapping
        Adjustments and conversions, as the journal has them.
    worth : mapping
        The last sample: the last marks.
    master : InstrumentMaster
    days : TradingDays
        Its clock stands at the end of what is counted.
    start_ns : int
        When the day began.
    broker, account : str
    charges : ChargesTable, optional
    """
    found = Counted()
    seen: dict[str, None] = {}

    def note(alert: PositionAlert) -> None:
        seen[alert.text] = None

    marking = Marking(Marks(), days.now_ns)
    book = PositionBook(master, days, marking, note, broker=broker, account=lambda: account, charges=charges)
    realised: dict[str, dict[Any, Decimal]] = {}
    curve = []
    closes: dict[str, Decimal] = {}
    for opening in _openings(began, start_ns, found.notes):
        book.adjust(opening)
    enter(book, changes)
    for fill in fills:
        book.on_update(OrderUpdate(_ORDER, (fill,)))
        key = (fill.instrument_id, fill.product, fill.position_side)
        row = book.row(key)
        if row is not None and row.realised_pnl is not None:
            parts = realised.setdefault(row.currency, {})
            parts[key] = row.realised_pnl
            assert fill.ts_event is not None
            curve.append((fill.ts_event, row.currency, sum(parts.values(), Decimal(0))))
    marks = worth.get("marks")
    for name, told in (marks if isinstance(marks, dict) else {}).items():
        try:
            last, ts, close = told
            if last is not None:
                marking.polled(intern_instrument(name), Decimal(last), ts)
            if close is not None:
                closes[name] = Decimal(close)
        except UNREADABLE:
            found.notes.append(f"the last mark of {name} cannot be read")
    book.roll(book.day, closes)
    rows = book.rows()
    found.positions, found.totals = tuple(rows), tuple(totals(rows).values())
    found.realised = tuple(Realised(ts_event=ts, currency=name, realised=total) for ts, name, total in curve)
    found.notes.extend(seen)
    return found


_ORDER: Final = from_plain(Order, {"instrument_id": "", "side": "BUY", "quantity": "0"})


def changed_after(changes: Iterable[Mapping[str, Any]], kept_ns: int) -> Iterator[Mapping[str, Any]]:
    """Yield what changed positions after what the day began with was kept, and moves of the day's own units.

    What was done to carried-over units before that is in what was kept.
    """
    for one in changes:
        inner = one.get(str(one.get("what")))
        if not isinstance(inner, dict):
            continue
        ts, own = inner.get("ts_event"), one.get("what") == "conversion" and not inner.get("overnight")
        if isinstance(ts, int) and (ts >= kept_ns or own):
            yield one


def _openings(began: Iterable[Any], start_ns: int, notes: list[str]) -> Iterator[Adjustment]:
    """Yield what was carried over, as units that come in as the day begins, at what they cost."""
    for at, one in enumerate(began):
        try:
            yield Adjustment(
                adjustment_id=f"opening {at}",
                kind=AdjustmentKind.TRANSFER_IN,
                instrument_id=one["instrument_id"],
                ts_event=start_ns,
                product=Product(one["product"]),
                position_side=one["position_side"],
                quantity=Decimal(one["quantity"]),
                price=None if one["price"] is None else Decimal(one["price"]),
                source=_SOURCE,
            )
        except UNREADABLE:
            notes.append("what one position began the day with cannot be read")


def samples(found: Iterable[tuple[int, dict[str, Any]]], notes: list[str]) -> tuple[MoneyLine, ...]:
    """Return what was kept of margins and profit; what cannot be read is named once and left out."""
    lines, unread = [], 0
    for ts, worth in found:
        try:
            margins = tuple(from_plain(Margin, one) for one in (worth.get("margins") or {}).values())
            pnl = tuple(from_plain(PnL, one) for one in (worth.get("pnl") or {}).values())
        except UNREADABLE:
            unread += 1
            continue
        lines.append(MoneyLine(ts_recv=ts, margins=margins, pnl=pnl))
    if unread:
        notes.append(f"{unread} money samples cannot be read")
    return tuple(lines)
