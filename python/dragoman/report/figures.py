"""The figures of a day's orders and fills: their lines, what they cost against known prices, how long things took."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final

from dragoman.model import Fill, Instrument, Order
from dragoman.portfolio.money import Exact, exact, money, price, quantity, ratio
from dragoman.report.gathered import Act, Gathered
from dragoman.report.model import FillLine, Latency, OrderLine, Rejection, Rejections, Slippage
from dragoman.session.secrets import redact

_SHARES: Final = (0.5, 0.9, 0.99)
_POINTS: Final = 60
_BASIS_POINTS: Final = 10_000


def order_line(name: str, order: Order, found: Gathered) -> OrderLine:
    """Return an order as the report shows it."""
    act, reject = found.placed.get(name), order.reject
    request = found.recovered.intents.get(name)
    return OrderLine(
        name=name,
        order_id=order.order_id,
        instrument_id=order.instrument_id,
        side=order.side,
        quantity=order.quantity,
        order_type=order.order_type,
        asked_type=order.asked_type,
        product=order.product,
        status=order.status,
        origin=order.origin.value,
        price=order.price,
        trigger_price=order.trigger_price,
        filled_quantity=order.filled_quantity,
        remaining_quantity=order.remaining_quantity,
        average_price=order.average_price,
        exits=request.exits if request is not None else act.exits if act is not None else False,
        mark=None if act is None else act.mark,
        ts_intent=None if act is None else act.ts,
        ts_reply=None if act is None else act.ts_reply,
        ts_stream=None if act is None else act.ts_stream,
        reject_kind="" if reject is None else reject.kind.value,
        reject_code="" if reject is None else reject.code or "",
        reject_text="" if reject is None else redact(reject.text),
        life=tuple(found.steps.get(name, ())),
    )


def fill_line(fill: Fill, name: str, found: Gathered) -> FillLine:
    """Return a fill, with the prices that were known before it."""
    known = found.known.get((fill.exchange, fill.order_id, fill.trade_id))
    act = found.placed.get(name)
    assert fill.ts_event is not None
    return FillLine(
        ts_event=fill.ts_event,
        trade_id=fill.trade_id,
        order_id=fill.order_id,
        name=name,
        instrument_id=fill.instrument_id,
        side=fill.side,
        product=fill.product,
        quantity=fill.quantity,
        price=fill.price,
        mark=None if act is None else act.mark,
        limit=None if known is None else known.limit,
        trigger=None if known is None else known.trigger,
        is_synthetic=fill.is_synthetic,
    )


def slippage(fills: Iterable[FillLine], instrument: Callable[[str], Instrument | None]) -> tuple[Slippage, ...]:
    """Return what each order's fills cost against what was known, in the order of their first fills."""
    orders: dict[str, list[FillLine]] = {}
    for fill in fills:
        if fill.quantity > 0:
            orders.setdefault(fill.name, []).append(fill)
    return tuple(_slipped(group, instrument(group[0].instrument_id)) for group in orders.values())


def _slipped(fills: Sequence[FillLine], instrument: Instrument | None) -> Slippage:
    first = fills[0]
    units: Exact = sum(exact(fill.quantity) for fill in fills)
    times = exact(instrument.multiplier) if instrument is not None else 1
    average = ratio(sum(exact(fill.quantity) * exact(fill.price) for fill in fills), units)
    marks, limits, triggers = (
        _weighted(fills, units, read)
        for read in (lambda fill: fill.mark, lambda fill: fill.limit, lambda fill: fill.trigger)
    )

    def against(known: Exact | None) -> Exact | None:
        return None if known is None else first.side.sign * (average - known)

    by_mark, by_limit, by_trigger = against(marks), against(limits), against(triggers)
    return Slippage(
        name=first.name,
        instrument_id=first.instrument_id,
        side=first.side,
        quantity=quantity(units),
        average_price=price(average),
        mark=_shown(marks),
        limit=_shown(limits),
        trigger=_shown(triggers),
        by_mark=_shown(by_mark),
        by_limit=_shown(by_limit),
        by_trigger=_shown(by_trigger),
        basis_points=None if by_mark is None or marks is None else money(ratio(by_mark * _BASIS_POINTS, marks)),
        cost=None if by_mark is None else money(by_mark * units * times),
        currency=instrument.currency if instrument is not None else "",
    )


def _weighted(fills: Sequence[FillLine], units: Exact, read: Callable[[FillLine], Decimal | None]) -> Exact | None:
    """Return the average of a known price over the units; None where it is not known of all."""
    total: Exact = 0
    for fill in fills:
        value = read(fill)
        if value is None:
            return None
        total += exact(fill.quantity) * exact(value)
    return ratio(total, units)


def _shown(value: Exact | None) -> Decimal | None:
    return None if value is None else price(value)


# -- latencies ---------------------------------------------------------------------------------------------------------


def latencies(placed: Mapping[str, Act], amended: Iterable[Act]) -> tuple[Latency, ...]:
    """Return how long answers took, by what was asked."""
    waits: dict[tuple[str, str], list[int]] = {}
    for act in (*placed.values(), *amended):
        for until, ts in (("reply", act.ts_reply), ("first stream event", act.ts_stream)):
            if ts is not None and ts >= act.ts:  # a clock that was set back tells nothing
                waits.setdefault((act.what, until), []).append(ts - act.ts)
    return tuple(latency(what, until, found) for (what, until), found in sorted(waits.items()))


def latency(act: str, until: str, found: Iterable[int]) -> Latency:
    """Return the percentiles of at least one time."""
    values = sorted(found)
    half, most, nearly_all = (_rank(values, share) for share in _SHARES)
    count = len(values)
    wanted = {math.ceil(count * at / _POINTS) for at in range(1, _POINTS + 1)} | {count}
    return Latency(
        act=act,
        until=until,
        count=count,
        least=values[0],
        p50=values[(count - 1) // 2] if half is None else half,
        p90=most,
        p99=nearly_all,
        greatest=values[-1],
        curve=tuple((rank / count, values[rank - 1]) for rank in sorted(wanted)),
    )


def _rank(values: Sequence[int], share: float) -> int | None:
    """Return the nearest rank; None where fewer than one value lies beyond it."""
    if len(values) * (1 - share) < 1 - 1e-9:
        return None
    return values[math.ceil(len(values) * share - 1e-9) - 1]


# -- rejects -----------------------------------------------------------------------------------------------------------


def rejections(lines: Iterable[OrderLine], found: Gathered) -> tuple[Rejection, ...]:
    """Return every refusal of the day, in its order."""
    refused = [
        Rejection(
            ts_recv=found.rejected_at[line.name],
            name=line.name,
            act="place",
            instrument_id=line.instrument_id,
            kind=line.reject_kind,
            code=line.reject_code,
            text=line.reject_text,
        )
        for line in lines
        if line.name in found.rejected_at
    ]
    return tuple(sorted([*refused, *found.refused], key=lambda one: (one.ts_recv, one.name)))


def by_kind(refused: Iterable[Rejection]) -> tuple[Rejections, ...]:
    """Return refusals by kind and code, the most frequent first."""
    groups: dict[tuple[str, str], list[Rejection]] = {}
    for one in refused:
        groups.setdefault((one.kind, one.code), []).append(one)
    lines = [
        Rejections(kind=kind, code=code, count=len(group), text=group[0].text) for (kind, code), group in groups.items()
    ]
    return tuple(sorted(lines, key=lambda one: (-one.count, one.kind, one.code)))
