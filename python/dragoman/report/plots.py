"""Plots as inline SVG, coloured by `dragoman.report.style` so that they follow its light or dark scheme.

Three forms: `ratios` (one dot with its spread a row, on a log axis, with its goal), `distribution` (latency by
percentile, the slow end stretched out), `lines` (how a cost grows), and the axes they share with those of
`dragoman.report.timeplots`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

Scale = Callable[[float], float]
Ticks = Sequence[tuple[float, str]]
WIDTH = 860
_PERCENTILES = ((0.0, "0"), (0.5, "50"), (0.9, "90"), (0.99, "99"), (0.999, "99.9"), (0.9999, "99.99"))


@dataclass(frozen=True, slots=True)
class Dot:
    """A row of `ratios`: how many times better than 1, between which bounds, and what it should be."""

    label: str
    value: float
    low: float
    high: float
    goal: float | None
    good: bool | None


def ratios(dots: Sequence[Dot], caption: str, *, better: str = "better", worse: str = "worse") -> str:
    """Draw one dot a row on a log axis, with 1 as the line between worse and better."""
    left, top, step = 410, 34, 26
    height = top + step * len(dots) + 34
    values = [1.0, *(x for dot in dots for x in (dot.value, dot.low, dot.high, dot.goal) if x is not None and x > 0)]
    low, high = min(values) / 1.25, max(values) * 1.25
    x = _log(low, high, left, WIDTH - 70)
    parts = [grid_x(x, _log_ticks(low, high), top - 6, height - 28)]
    parts.append(f'<line class="one" x1="{x(1):.1f}" x2="{x(1):.1f}" y1="{top - 12}" y2="{height - 28}"/>')
    parts.append(f'<text class="note" x="{x(1) - 6:.1f}" y="{top - 16}" text-anchor="end">{escape(worse)}</text>')
    parts.append(f'<text class="note" x="{x(1) + 6:.1f}" y="{top - 16}">{escape(better)}</text>')
    for at, dot in enumerate(dots):
        y = top + step * at + step / 2
        kind = {True: "met", False: "missed", None: "plain"}[dot.good]
        said = f"{dot.label}: {dot.value:.3g}x, spread {dot.low:.3g} to {dot.high:.3g}"
        said += f", goal {dot.goal:g}x {kind}" if dot.goal is not None else ""
        parts.append(f"<g><title>{escape(said)}</title>")
        parts.append(f'<text x="{left - 12}" y="{y + 4:.1f}" text-anchor="end">{escape(short(dot.label))}</text>')
        parts.append(f'<line class="{kind} spread" x1="{x(dot.low):.1f}" x2="{x(dot.high):.1f}" y1="{y}" y2="{y}"/>')
        if dot.goal is not None:
            parts.append(f'<path class="goal" d="M{x(dot.goal):.1f} {y - 9}v18"/>')
        shape = f'<circle class="{kind}" cx="{x(dot.value):.1f}" cy="{y}" r="5"/>'
        if dot.good is False:  # a form of its own, for eyes that do not tell the colours apart
            shape = f'<path class="{kind}" d="M{x(dot.value):.1f} {y - 7}l7 7l-7 7l-7 -7z"/>'
        parts.append(f'{shape}<text class="value" x="{WIDTH - 4}" y="{y + 4:.1f}" text-anchor="end">')
        parts.append(f"{dot.value:.3g}x</text></g>")
    return figure(height, "".join(parts), caption)


def distribution(lines: Mapping[str, Sequence[tuple[float, float]]], caption: str, unit: Callable[[float], str]) -> str:
    """Draw latencies by percentile; each nine more of the percentile takes as much room as the one before."""
    left, top, height = 70, 16, 300
    farthest = min(
        4.2, max((-math.log10(1 - share) for line in lines.values() for share, _ in line if share < 1)) + 0.2
    )

    def x(share: float) -> float:
        return left + (WIDTH - 190 - left) * min(-math.log10(max(1 - share, 1e-9)), farthest) / farthest

    shown = {name: [(share, ns) for share, ns in line if share < 1] for name, line in lines.items()}
    values = [ns for line in shown.values() for _, ns in line if ns > 0]
    low, high = min(values) / 1.1, max(values) * 1.1
    y = _log(low, high, height - 40, top)
    ticks = [(share, text) for share, text in _PERCENTILES if share == 0 or -math.log10(1 - share) <= farthest]
    parts = [grid_x(x, ticks, top, height - 40), grid_y(y, [(v, unit(v)) for v, _ in _log_ticks(low, high)], left)]
    parts += [
        _line(name, line, at, x, y, "p{0:.4g}: {1}", unit, percent=True)
        for at, (name, line) in enumerate(shown.items())
    ]
    parts.append(ends({name: line[-1] for name, line in shown.items()}, x, y))
    parts.append(f'<text class="note" x="{left}" y="{height - 6}">percentile of single messages</text>')
    return figure(height, "".join(parts), caption)


def lines(
    found: Mapping[str, Sequence[tuple[float, float]]],
    caption: str,
    *,
    x_name: str,
    y_name: str,
    log_x: bool = False,
    log_y: bool = False,
) -> str:
    """Draw named lines of points."""
    left, top, height = 70, 30, 320
    xs, ys = zip(*(point for line in found.values() for point in line), strict=True)
    x_low, x_high = (min(xs) / 1.1, max(xs) * 1.1) if log_x else (0.0, max(xs) * 1.05)
    y_low, y_high = (min(ys) / 1.3, max(ys) * 1.3) if log_y else (0.0, max(ys) * 1.1)
    x = (_log if log_x else linear)(x_low, x_high, left, WIDTH - 150)
    y = (_log if log_y else linear)(y_low, y_high, height - 44, top)
    x_ticks = _log_ticks(x_low, x_high) if log_x else linear_ticks(x_low, x_high)
    y_ticks = _log_ticks(y_low, y_high) if log_y else linear_ticks(y_low, y_high)
    parts = [grid_x(x, x_ticks, top, height - 44), grid_y(y, y_ticks, left)]
    parts += [
        _line(name, line, at, x, y, "{0:g}: {1}", "{:.4g}".format) for at, (name, line) in enumerate(found.items())
    ]
    parts.append(ends({name: line[-1] for name, line in found.items()}, x, y))
    parts.append(f'<text class="note" x="{left}" y="{top - 14}">{escape(y_name)}</text>')
    parts.append(f'<text class="note" x="{left}" y="{height - 8}">{escape(x_name)}</text>')
    return figure(height, "".join(parts), caption)


def figure(height: float, inside: str, caption: str) -> str:
    """Return a drawing with its caption, which is also what a screen reader says."""
    label = escape(caption, quote=True)
    drawing = f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{label}">{inside}</svg>'
    return f"<figure>{drawing}<figcaption>{escape(caption)}</figcaption></figure>"


def _line(
    name: str,
    points: Sequence[tuple[float, float]],
    at: int,
    x: Scale,
    y: Scale,
    said: str,
    unit: Callable[[float], str],
    *,
    percent: bool = False,
) -> str:
    path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)
    parts = [f'<polyline class="line c{at % 4}" points="{path}"/>']
    for a, b in points:
        title = escape(f"{name}, {said.format(a * 100 if percent else a, unit(b))}")
        parts.append(
            f'<circle class="dot c{at % 4}" cx="{x(a):.1f}" cy="{y(b):.1f}" r="3"><title>{title}</title></circle>'
        )
    return "".join(parts)


def ends(last: Mapping[str, tuple[float, float]], x: Scale, y: Scale) -> str:
    """Name each line at its last point, moved apart where two end close together."""
    parts, taken = [], -math.inf
    order = sorted(enumerate(last.items()), key=lambda one: y(one[1][1][1]))
    for at, (name, (a, b)) in order:
        taken = max(y(b), taken + 15)
        parts.append(f'<text class="end c{at % 4}" x="{x(a) + 9:.1f}" y="{taken + 4:.1f}">{escape(name)}</text>')
    return "".join(parts)


def grid_x(x: Scale, ticks: Ticks, top: float, bottom: float) -> str:
    """Draw upright lines, with their texts below."""
    return "".join(
        f'<line class="grid" x1="{x(v):.1f}" x2="{x(v):.1f}" y1="{top}" y2="{bottom}"/>'
        f'<text class="tick" x="{x(v):.1f}" y="{bottom + 16}" text-anchor="middle">{escape(text)}</text>'
        for v, text in ticks
    )


def grid_y(y: Scale, ticks: Ticks, left: float) -> str:
    """Draw level lines, with their texts to the left."""
    return "".join(
        f'<line class="grid" x1="{left}" x2="{WIDTH - 150}" y1="{y(v):.1f}" y2="{y(v):.1f}"/>'
        f'<text class="tick" x="{left - 8}" y="{y(v) + 4:.1f}" text-anchor="end">{escape(text)}</text>'
        for v, text in ticks
    )


def _log(low: float, high: float, start: float, end: float) -> Scale:
    a, b = math.log(low), math.log(high)
    return lambda value: start + (end - start) * (math.log(min(max(value, low), high)) - a) / (b - a)


def linear(low: float, high: float, start: float, end: float) -> Scale:
    """Return what maps low to start and high to end."""
    return lambda value: start + (end - start) * (value - low) / (high - low)


def _log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    decades = math.log10(high / low)
    steps = (1,) if decades > 3 else (1, 3) if decades > 1.5 else (1, 2, 5)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    found = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    return [(value, f"{value:g}") for value in found if low <= value <= high]


def linear_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Return about six round numbers between two that differ."""
    rough = (high - low) / 6
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    return [(at * step, f"{at * step:g}") for at in range(math.ceil(low / step), math.floor(high / step) + 1)]


def short(label: str, most: int = 66) -> str:
    """Return a label no longer than `most`."""
    return label if len(label) <= most else f"{label[: most - 2]}..."
