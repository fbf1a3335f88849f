"""Plots over a trading day: prices of fills, sums that change in steps, lives of orders; and bars.

Every mark has a title, which a pointer shows and a screen reader says. Up and down, good and bad differ in form, not
in colour alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Final, Literal
from zoneinfo import ZoneInfo

from dragoman.model.figures import clock
from dragoman.report.plots import WIDTH, Scale, Ticks, ends, figure, grid_x, grid_y, linear, linear_ticks, short

_NS: Final = 1_000_000_000
_STEPS_S: Final = (1, 2, 5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LEFT, _RIGHT, _TOP, _HEIGHT = 90, WIDTH - 150, 30, 300
_LABELS: Final = 300
_DOTS: Final = 40

Kind = Literal["plain", "met", "missed"]


@dataclass(frozen=True, slots=True)
class Trade:
    """A fill in a plot of prices: when, at what price, a purchase or a sale, and what its title says."""

    ts: int
    price: float
    bought: bool
    said: str


@dataclass(frozen=True, slots=True)
class Life:
    """An order in a plot of lives: from when to when it was known, how it ended, and what its title says."""

    label: str
    start: int
    end: int
    dots: tuple[int, ...]
    good: bool
    said: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar: its length, the number beside it, and whether that is good or bad."""

    label: str
    value: float
    text: str
    kind: Kind = "plain"


def number(value: float) -> str:
    """Return a number as people read it: thousands apart, no more digits than matter."""
    if value and abs(value) < 1:
        return f"{value:.3g}"
    whole, _, part = f"{value:,.4f}".partition(".")
    part = part.rstrip("0")
    return f"{whole}.{part:0<2}" if part else whole


def prices(trades: Sequence[Trade], known: Iterable[tuple[int, float]], caption: str, zone: ZoneInfo) -> str:
    """Draw fills of one instrument, purchases pointing up and sales down, with the prices `known` before as rings."""
    before = list(known)
    times = [one.ts for one in trades] + [ts for ts, _ in before]
    values = [one.price for one in trades] + [value for _, value in before]
    x, x_ticks = _time_axis(min(times), max(times), zone, _LEFT, _RIGHT)
    y, y_ticks = _value_axis(values)
    parts = [grid_x(x, x_ticks, _TOP, _HEIGHT - 44), grid_y(y, y_ticks, _LEFT)]
    path = " ".join(f"{x(one.ts):.1f},{y(one.price):.1f}" for one in trades)
    parts.append(f'<polyline class="line c0" opacity=".35" points="{path}"/>')
    for ts, value in before:
        said = f"{clock(ts, zone)}, known when an order was sent: {number(value)}"
        at = f'cx="{x(ts):.1f}" cy="{y(value):.1f}" r="4.5"'
        parts.append(f'<circle class="hollow c0" {at}><title>{escape(said)}</title></circle>')
    for one in trades:
        up = -1 if one.bought else 1
        shape = f"M{x(one.ts):.1f} {y(one.price) + 7 * up:.1f}l6 {-11 * up}h-12z"
        parts.append(
            f'<path class="dot c{0 if one.bought else 1}" d="{shape}"><title>{escape(one.said)}</title></path>'
        )
    parts.append(_note(_TOP - 14, "price; up: bought, down: sold, ring: known when the order was sent"))
    return figure(_HEIGHT, "".join(parts), caption)


def steps(found: Mapping[str, Sequence[tuple[int, float]]], caption: str, y_name: str, zone: ZoneInfo) -> str:
    """Draw named values that stay as they are until they change; each at least one point."""
    times = [ts for line in found.values() for ts, _ in line]
    x, x_ticks = _time_axis(min(times), max(times), zone, _LEFT, _RIGHT)
    y, y_ticks = _value_axis([value for line in found.values() for _, value in line])
    last = max(times)
    parts = [grid_x(x, x_ticks, _TOP, _HEIGHT - 44), grid_y(y, y_ticks, _LEFT)]
    for at, (name, line) in enumerate(found.items()):
        path = [f"M{x(line[0][0]):.1f} {y(line[0][1]):.1f}"]
        path += [f"H{x(ts):.1f}V{y(value):.1f}" for ts, value in line[1:]]
        parts.append(f'<path class="line c{at % 4}" d="{"".join(path)}H{x(last):.1f}"/>')
        seen = "" if len(line) <= _DOTS else " unseen"  # where they would run together, their titles are enough
        for ts, value in _thinned(line):
            said = escape(f"{name}, {clock(ts, zone)}: {number(value)}")
            where = f'cx="{x(ts):.1f}" cy="{y(value):.1f}" r="2.5"'
            parts.append(f'<circle class="dot c{at % 4}{seen}" {where}><title>{said}</title></circle>')
    parts.append(ends({short(name, 20): (last, line[-1][1]) for name, line in found.items()}, x, y))
    parts.append(_note(_TOP - 14, y_name))
    return figure(_HEIGHT, "".join(parts), caption)


def lives(rows: Sequence[Life], caption: str, zone: ZoneInfo) -> str:
    """Draw one order a row, from its first record to its last, with a dot for each."""
    top, step = 10, 22
    height = top + step * len(rows) + 34
    low, high = min(row.start for row in rows), max(row.end for row in rows)
    x, ticks = _time_axis(low, high, zone, _LABELS, WIDTH - 20)
    parts = [grid_x(x, ticks, top, height - 28)]
    for at, row in enumerate(rows):
        y = top + step * at + step / 2
        kind = "c0" if row.good else "missed"
        parts.append(f"<g><title>{escape(row.said)}</title>")
        parts.append(
            f'<text x="{_LABELS - 12}" y="{y + 4:.1f}" text-anchor="end">{escape(short(row.label, 44))}</text>'
        )
        parts.append(f'<line class="life {kind}" x1="{x(row.start):.1f}" x2="{x(row.end):.1f}" y1="{y}" y2="{y}"/>')
        parts += [f'<circle class="dot c0" cx="{x(ts):.1f}" cy="{y}" r="3"/>' for ts in row.dots]
        if not row.good:
            parts.append(f'<path class="missed" d="M{x(row.end):.1f} {y - 6}l6 6l-6 6l-6 -6z"/>')
        parts.append("</g>")
    return figure(height, "".join(parts), caption)


def bars(rows: Sequence[Bar], caption: str, *, left: str = "", right: str = "") -> str:
    """Draw one bar a row from a common line: to the right above 0, to the left below it."""
    top, step = 30 if left or right else 10, 26
    height = top + step * len(rows) + 8
    low, high = min(0.0, *(row.value for row in rows)), max(0.0, *(row.value for row in rows))
    span = high - low or 1.0
    room = 140 if low < 0 else 0
    x = linear(low, low + span, _LABELS + room, WIDTH - 100)
    parts = [f'<line class="base" x1="{x(0):.1f}" x2="{x(0):.1f}" y1="{top}" y2="{height - 6}"/>']
    if left:
        parts.append(f'<text class="note" x="{x(0) - 8:.1f}" y="{top - 12}" text-anchor="end">{escape(left)}</text>')
    if right:
        parts.append(f'<text class="note" x="{x(0) + 8:.1f}" y="{top - 12}">{escape(right)}</text>')
    for at, row in enumerate(rows):
        y = top + step * at
        start, stop = sorted((x(0), x(row.value)))
        said = escape(f"{row.label}: {row.text}")
        parts.append(f"<g><title>{said}</title>")
        label = escape(short(row.label, 44))
        parts.append(f'<text x="{_LABELS - 12}" y="{y + 17:.1f}" text-anchor="end">{label}</text>')
        size = f'x="{start:.1f}" y="{y + 5}" width="{max(stop - start, 1):.1f}" height="16" rx="2"'
        parts.append(f'<rect class="{row.kind}" {size}/>')
        beside, anchor = (stop + 8, "start") if row.value >= 0 else (start - 8, "end")
        parts.append(f'<text class="value" x="{beside:.1f}" y="{y + 17:.1f}" text-anchor="{anchor}">')
        parts.append(f"{escape(row.text)}</text></g>")
    return figure(height, "".join(parts), caption)


def _note(y: float, text: str) -> str:
    return f'<text class="note" x="{_LEFT}" y="{y}">{escape(text)}</text>'


def _thinned(line: Sequence[tuple[int, float]], most: int = 200) -> Sequence[tuple[int, float]]:
    """Return no more points than can be told apart, the last one among them."""
    every = -(-len(line) // most)
    return [*line[:-1:every], line[-1]]


def _time_axis(low: int, high: int, zone: ZoneInfo, start: float, end: float) -> tuple[Scale, Ticks]:
    """Return a scale over the time that is told of, and its round times at the exchange."""
    margin = max((high - low) // 50, _NS)
    low, high = low - margin, high + margin
    seconds = (high - low) / _NS
    step = next((one for one in _STEPS_S if seconds / one <= 8), _STEPS_S[-1])
    offset = (_EPOCH + timedelta(seconds=low // _NS)).astimezone(zone).utcoffset() or timedelta()
    shift = int(offset.total_seconds())
    first = -(-(low // _NS + shift) // step) * step - shift
    ticks = [(float(at * _NS), clock(at * _NS, zone, seconds=step < 60)) for at in range(first, high // _NS + 1, step)]
    return linear(low, high, start, end), ticks


def _value_axis(values: Sequence[float]) -> tuple[Scale, Ticks]:
    low, high = min(values), max(values)
    margin = (high - low) * 0.08 or abs(high) * 0.001 or 1.0
    low, high = low - margin, high + margin
    return linear(low, high, _HEIGHT - 44, _TOP), [(value, number(value)) for value, _ in linear_ticks(low, high)]
