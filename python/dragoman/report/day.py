"""A day's report from a journal's records."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from dragoman.errors import ErrorKind, UsageError
from dragoman.market import InstrumentMaster
from dragoman.model import Charges, Fill, Instrument, OrderStatus
from dragoman.orders.journal import Damage, Record
from dragoman.plugin import Adapter
from dragoman.portfolio.charges import charges_of
from dragoman.portfolio.days import TradingDays
from dragoman.report.figures import by_kind, fill_line, latencies, order_line, rejections, slippage
from dragoman.report.gather import Gatherer
from dragoman.report.gathered import Gathered
from dragoman.report.model import DayReport, FillLine, OrderLine
from dragoman.report.money import changed_after, count, master_of, samples
from dragoman.report.sound import UNREADABLE

_NAMED: Final = 10
_DAY: Final = timedelta(days=1)


def day_report(
    records: Iterable[Record],
    adapter: Adapter,
    *,
    now_ns: int,
    day: str | None = None,
    instruments: InstrumentMaster | None = None,
    damage: Iterable[Damage] = (),
) -> DayReport:
    """Make the report of one trading day of one account.

    Parameters
    ----------
    records : iterable of Record
        The account's journal, oldest first: `dragoman.orders.journal.read_journal`. All of it is read once, for what
        worked when the day began was placed before; only orders and the day are kept in memory.
    adapter : Adapter
        Whose day it is, by its time zone, and whose table of charges counts.
    now_ns : int
        Wall clock, ns UTC.
    day : str, optional
        Date at the exchange, ``YYYY-MM-DD``; left out, today.
    instruments : InstrumentMaster, optional
        For instruments of which the journal does not have the terms.
    damage : iterable of Damage
        What `dragoman.orders.journal.verify_journal` found.

    Raises
    ------
    UsageError
        `day` is no date, or the journal has no record of it: names the days there are.
    """
    zone = adapter.session.time_zone
    clock = TradingDays(zone, lambda: now_ns)
    day = clock.day() if day is None else _checked(day)
    start, end = clock.began(day), clock.began((date.fromisoformat(day) + _DAY).isoformat())
    last = min(now_ns, end - 1)
    found = Gatherer(day, clock, adapter.name).read(records)
    if not found.records:
        raise _no_such_day(day, sorted(found.days))
    opened = {name: str(value or "") for name, value in found.opened.items()}
    account = opened.get("account", "")
    notes: list[str] = []
    orders = _orders(found, notes)
    fills = _fills(found)
    traded = [fill for fill, _ in fills]
    money = samples(found.money, notes)
    worth = found.worth if found.worth.get("day") == day else {}
    kept_ns, began = found.opening or (start, [])
    held = [one["instrument_id"] for one in began if isinstance(one, dict) and "instrument_id" in one]
    names = dict.fromkeys([fill.instrument_id for fill in traded] + held)
    master = master_of(found.terms, instruments, names)
    counted = count(
        traded,
        began,
        changed_after(found.recovered.changes, kept_ns),
        worth,
        master,
        TradingDays(zone, lambda: last),
        start,
        broker=adapter.name,
        account=account,
        charges=adapter.charges_table,
    )
    lines = tuple(line for _, line in fills)
    refused = rejections(orders, found)
    return DayReport(
        day=day,
        time_zone=zone,
        broker=adapter.name,
        environment=opened.get("environment", ""),
        account_id=account,
        ts_start=start,
        ts_end=end,
        ts_recv=last,
        records=found.records,
        unreadable=found.unreadable,
        opening_known=found.opening is not None,
        orders=orders,
        fills=lines,
        slippage=slippage(lines, master.get),
        latencies=latencies(found.placed, found.amended),
        rejects=by_kind(refused),
        rejections=refused,
        unknowns=tuple(sorted(found.unknowns, key=lambda one: (one.ts_recv, one.name))),
        rules=tuple(found.rules),
        kills=tuple(found.kills),
        money=money,
        positions=counted.positions,
        totals=counted.totals,
        realised=counted.realised,
        charges=_charges(adapter, traded, master.get, notes),
        damage=tuple(map(str, damage)),
        notes=tuple(dict.fromkeys([*notes, *counted.notes])),
    )


def _checked(day: str) -> str:
    try:
        return date.fromisoformat(day).isoformat()
    except ValueError:
        raise UsageError(
            f"{day!r} is no date", kind=ErrorKind.BAD_REQUEST, remedy="give it as YYYY-MM-DD, at the exchange"
        ) from None


def _no_such_day(day: str, days: list[str]) -> UsageError:
    if not days:
        return UsageError("the journal has no records", remedy="one begins with the first order of an account")
    there = ", ".join(days[-_NAMED:])
    more = f"the last {_NAMED} of {len(days)} days are {there}" if len(days) > _NAMED else f"there are {there}"
    return UsageError(f"the journal has no record of {day}", kind=ErrorKind.BAD_REQUEST, remedy=f"{more}; give --day")


def _orders(found: Gathered, notes: list[str]) -> tuple[OrderLine, ...]:
    """Return the orders of the day, in the order in which anything was known of them."""
    lines, missing = [], 0
    for name in found.names:
        order = found.recovered.orders.get(name)
        if order is None or order.status is OrderStatus.CREATED:
            missing += 1
            continue
        lines.append(order_line(name, order, found))
    if missing:
        notes.append(f"{missing} orders are told of by records alone that cannot be read, and left out")
    return tuple(lines)


def _fills(found: Gathered) -> list[tuple[Fill, FillLine]]:
    """Return the fills that count, in their order, each with its line."""
    owners = {order_id: name for name, order in found.recovered.orders.items() for order_id in order.order_ids}

    def place(fill: Fill) -> tuple[int, int, str, str]:
        return (fill.ts_event or 0, len(fill.trade_id), fill.trade_id, fill.order_id)

    made = []
    for fill in sorted(found.fills, key=place):
        name = owners.get(fill.order_id, fill.client_order_id)
        made.append((fill, fill_line(fill, name, found)))
    return made


def _charges(
    adapter: Adapter, fills: list[Fill], instrument: Callable[[str], Instrument | None], notes: list[str]
) -> tuple[Charges, ...]:
    """Return what the adapter's table says the day cost, by instrument."""
    table = adapter.charges_table
    if table is None:
        return ()
    found, without = [], []
    for name in dict.fromkeys(fill.instrument_id for fill in fills):
        known, traded = instrument(name), [one for one in fills if one.instrument_id == name]
        try:
            charges = None if known is None else charges_of(table, known, traded)
        except UNREADABLE:
            charges = None  # a fee that is no number
        if charges is None:
            without.append(name)
        else:
            found.append(charges)
    beside: dict[str, Decimal] = {}
    for one in found:
        for currency, fees in one.elsewhere:
            beside[currency] = beside.get(currency, Decimal(0)) + fees
    if beside:
        sums = ", ".join(f"{fees.normalize():f} {currency}" for currency, fees in beside.items())
        notes.append(f"charges are without fees told in other currencies: {sums}")
    doubts = dict.fromkeys(doubt for one in found for doubt in one.unverified)
    if doubts:
        notes.append(f"no document confirms all rates of the charges: {'; '.join(doubts)}")
    if without:
        notes.append(f"the table of charges has nothing for {', '.join(without)}")
    return tuple(found)
