"""From rows to the text of a pane's cells. What is stale ends in ``?``, so that it is marked without colours too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Generic, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from dragoman.cli.output import clock
from dragoman.cli.watch.rows import AlertRow, OrderRow, PositionRow, PriceRow, RuleRow, StreamRow
from dragoman.model import OrderStatus, Pending, RuleStatus, Side
from dragoman.model.figures import counted, priced

T = TypeVar("T")

GAIN, LOSS, STALE, QUIET, WARN, BAD = "green", "red", "yellow dim", "dim", "yellow", "bold red"
_STATUS: Final = {
    OrderStatus.OPEN: "cyan",
    OrderStatus.PARTIALLY_FILLED: "bold cyan",
    OrderStatus.TRIGGER_PENDING: "cyan",
    OrderStatus.FILLED: GAIN,
    OrderStatus.CANCELED: QUIET,
    OrderStatus.EXPIRED: WARN,
    OrderStatus.REJECTED: LOSS,
    OrderStatus.DENIED: LOSS,
    OrderStatus.UNKNOWN: BAD,
}
_RULE: Final = {RuleStatus.FAILED: BAD, RuleStatus.SUSPENDED: WARN, RuleStatus.ARMED: "cyan"}
WEIGHT: Final = {"info": "", "warning": WARN, "error": BAD}


class Cell(NamedTuple):
    """Text and its style."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """One column of a pane. Columns of the highest `rank` go first where there is no room; those of 0 stay.

    `flex`: it takes what width the others leave, and is cut off with an ellipsis.
    """

    name: str
    of: Callable[[T], Cell]
    rank: int = 0
    right: bool = False
    flex: bool = False


def figure(value: Decimal | float | None, decimals: int = 2, *, stale: bool = False, sign: bool = False) -> str:
    """Return a number with thousands apart; "" where there is none. A stale one ends in ``?``."""
    if value is None:
        return ""
    text = f"{value:{'+' if sign else ''},.{decimals}f}"
    return f"{text}?" if stale else text


def units(value: Decimal | float) -> str:
    """Return a quantity with all its digits."""
    return counted(Decimal(repr(value)) if isinstance(value, float) else value)


def exact_price(value: Decimal | None) -> str:
    """Return a price with its own digits, two to four after the point."""
    return "" if value is None else priced(value)


def age(seconds: float | None) -> str:
    """Return an age in at most four characters."""
    if seconds is None:
        return ""
    whole = int(seconds)
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if whole >= size:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def _signed(value: Decimal | float | None, *, stale: bool = False, decimals: int = 2) -> Cell:
    style = "" if not value else GAIN if value > 0 else LOSS
    return Cell(figure(value, decimals, stale=stale, sign=True), STALE if stale else style)


def price_columns(chosen: Callable[[], str]) -> list[Column[PriceRow]]:
    """Return the columns of the watch list."""

    def last(row: PriceRow) -> Cell:
        return Cell(figure(row.last, row.decimals, stale=row.stale), STALE if row.stale else "bold")

    def change(row: PriceRow) -> Cell:
        moved = _signed(row.change)
        return Cell(f"{moved.text}%" if moved.text else "", STALE if row.stale else moved.style)

    return [
        Column("", lambda row: Cell("▸" if row.instrument_id == chosen() else " ", "bold")),
        Column("instrument", lambda row: Cell(row.instrument_id)),
        Column("last", last, right=True),
        Column("change", change, 1, right=True),
        Column("age", lambda row: Cell(age(row.age_s), STALE if row.stale else QUIET), 2, right=True),
    ]


def order_columns(zone: ZoneInfo, stale: Callable[[], bool]) -> list[Column[OrderRow]]:
    """Return the columns of the orders."""

    def status(row: OrderRow) -> Cell:
        text = f"{row.status}{'' if row.pending is Pending.NONE else f' +{row.pending}'}"
        if stale() and row.working:
            return Cell(f"{text}?", STALE)
        return Cell(text, _STATUS.get(row.status, ""))

    def kind(row: OrderRow) -> Cell:
        trigger = f" @{exact_price(row.trigger_price)}" if row.trigger_price is not None else ""
        return Cell(f"{row.kind}{trigger}")

    return [
        Column("time", lambda row: Cell(clock(row.ts, zone), QUIET), 4),
        Column("instrument", lambda row: Cell(row.instrument_id)),
        Column("side", lambda row: Cell(row.side, GAIN if row.side is Side.BUY else LOSS)),
        Column("filled", lambda row: Cell(f"{units(row.filled)}/{units(row.quantity)}"), right=True),
        Column("type", kind, 5),
        Column("price", lambda row: Cell(exact_price(row.price)), 1, right=True),
        Column("average", lambda row: Cell(exact_price(row.average)), 5, right=True),
        Column("status", status),
        Column("age", lambda row: Cell(age(row.age_s), QUIET), 3, right=True),
        Column("order", lambda row: Cell(row.order_id or row.client_order_id, QUIET), 6),
        Column("why", lambda row: Cell(row.why, _STATUS.get(row.status, "")), 2, flex=True),
    ]


def position_columns() -> list[Column[PositionRow]]:
    """Return the columns of the positions."""

    def quantity(row: PositionRow) -> Cell:
        style = QUIET if not row.quantity else GAIN if row.quantity > 0 else LOSS
        return Cell(units(row.quantity), style)

    def marked(value: Decimal | None, row: PositionRow) -> Cell:
        return Cell(exact_price(value) + ("?" if row.stale and value is not None else ""), STALE if row.stale else "")

    def side(row: PositionRow) -> Cell:
        return Cell(row.product if row.key[2] == "NET" else f"{row.product} {row.key[2]}", QUIET)

    return [
        Column("instrument", lambda row: Cell(row.instrument_id)),
        Column("product", side, 3),
        Column("quantity", quantity, right=True),
        Column("average", lambda row: Cell(exact_price(row.average)), 2, right=True),
        Column("mark", lambda row: marked(row.mark, row), 1, right=True),
        Column("realised", lambda row: _signed(row.realised), 4, right=True),
        Column("unrealised", lambda row: _signed(row.unrealised, stale=row.stale), right=True),
        Column("value", lambda row: Cell(figure(row.value, stale=row.stale), STALE if row.stale else ""), 5, True),
        Column("", lambda row: Cell("stale" if row.stale else "", STALE), 6),
    ]


def rule_columns() -> list[Column[RuleRow]]:
    """Return the columns of the rules."""

    def takes(row: RuleRow) -> Cell:
        return Cell(f"{units(row.exited)}/{'all' if row.quantity is None else units(row.quantity)}")

    return [
        Column("rule", lambda row: Cell(row.kind)),
        Column("of", lambda row: Cell(row.instrument_id), 1),
        Column("status", lambda row: Cell(f"{row.status}{'?' if row.stale else ''}", _RULE.get(row.status, ""))),
        Column("fires at", lambda row: Cell(" ".join(exact_price(one) for one in row.levels)), 2, right=True),
        Column("exited", takes, 3, right=True),
        Column("why", lambda row: Cell(row.reason, QUIET), 4, flex=True),
    ]


def stream_columns() -> list[Column[StreamRow]]:
    """Return the columns of the streams."""

    def state(row: StreamRow) -> Cell:
        fresh = GAIN if row.state == "ready" else QUIET
        return Cell(row.state, BAD if row.state == "fatal" else WARN if row.stale else fresh)

    return [
        Column("stream", lambda row: Cell(row.name if row.shard == 1 else f"{row.name} {row.shard}")),
        Column("state", state),
        Column("heard", lambda row: Cell(age(row.age_s), STALE if row.stale else ""), right=True),
        Column("gaps", lambda row: Cell(str(row.gaps), WARN if row.gaps else ""), 1, right=True),
        Column("carries", lambda row: Cell(str(row.instruments)), 2, right=True),
        Column("why", lambda row: Cell(row.why, BAD), 3, flex=True),
    ]


def alert_columns(zone: ZoneInfo) -> list[Column[AlertRow]]:
    """Return the columns of the alerts."""

    def words(row: AlertRow) -> Cell:
        return Cell(row.text if row.times == 1 else f"{row.times} times: {row.text}", WEIGHT[row.weight])

    return [
        Column("time", lambda row: Cell(clock(row.ts, zone), QUIET), 1),
        Column("what", lambda row: Cell(row.what, WEIGHT[row.weight])),
        Column("told", words, flex=True),
    ]


def order_detail(row: OrderRow) -> str:
    """Return what the columns of an order leave out."""
    return ": ".join(filter(None, (row.order_id or row.client_order_id, row.why)))


def rule_detail(row: RuleRow) -> str:
    """Return what the columns of a rule leave out."""
    return row.statement


def listed(columns: list[Column[Any]], row: Any) -> tuple[Cell, ...]:
    """Return the cells of one row."""
    return tuple(column.of(row) for column in columns)
