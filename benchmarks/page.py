"""The report as one HTML page: nothing is loaded from anywhere, plots are inline SVG, light or dark as one's system."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from benchmarks.measure import Curve, Row, Section, Value
from benchmarks.words import HOW_TO_READ, bytes_or, goal_of, peer_quantiles, text
from dragoman.report.plots import Dot, distribution, lines, ratios
from dragoman.report.style import facts, page, table


def html(sections: Sequence[Section], about: Mapping[str, str]) -> str:
    """Return the whole page."""
    parts = [f"<h1>Benchmarks</h1>{facts(about.items())}", _summary(sections)]
    parts += ["<h2>How to read this</h2>", *(f"<p>{escape(line)}</p>" for line in HOW_TO_READ)]
    for section in sections:
        parts.append(f'<section id="{section.name}"><h2>{escape(section.title)}</h2><p>{escape(section.method)}</p>')
        parts += [*_tables(section), *_plots(section), "</section>"]
    return page("dragoman benchmarks", "".join(parts))


def _summary(sections: Sequence[Section]) -> str:
    found = [one for section in sections for one in section.findings if isinstance(one, Row | Value)]
    judged = [one for one in found if one.met is not None]
    if not judged:
        return ""
    missed = [one for one in judged if not one.met]
    said = f"<h2>Goals</h2><p><b>{len(judged) - len(missed)} of {len(judged)}</b> goals met."
    if missed:
        said += f" Missed: {'; '.join(f'<b class=missed>{escape(one.question)}</b>' for one in missed)}."
    dots = [_against_goal(one) for one in judged]
    caption = "Against the goal: 1 is the goal itself, 2 twice as good. The bar is the spread between rounds."
    return said + "</p>" + ratios(dots, caption, better="goal met", worse="missed")


def _against_goal(one: Row | Value) -> Dot:
    assert one.goal is not None
    if isinstance(one, Value):
        value, low, high = (one.goal / v for v in (one.value, one.high or one.value, one.low or one.value))
    elif one.ratio_is == "times faster":
        value, low, high = (v / one.goal for v in (one.ratio, *one.spread))
    else:
        value, high, low = (one.goal / v for v in (one.ratio, *one.spread))
    return Dot(one.question, value, low, high, None, one.met)


def _tables(section: Section) -> Iterator[str]:
    rows = [one for one in section.findings if isinstance(one, Row)]
    if rows:
        head = ("question", "ours", "peer", "peer's", "ratio", "spread", "best rounds", "goal")
        yield table(head, (_row(row) for row in rows), numbers=(1, 3, 4, 5, 6))
    values = [one for one in section.findings if isinstance(one, Value)]
    if values:
        found = ((escape(v.question), bytes_or(v), escape(v.note), _goal(v)) for v in values)
        yield table(("question", "found", "how", "goal"), found, numbers=(1,))
    slow = [row for row in rows if row.ours.quantiles and row.theirs.quantiles]
    if slow:
        cells = (tuple(escape(cell) for cell in line) for row in slow for line in peer_quantiles(row))
        yield table(("question", "whose", "p50", "p90", "p99", "p99.9", "slowest"), cells, numbers=(2, 3, 4, 5, 6))


def _row(row: Row) -> tuple[str, ...]:
    low, high = row.spread
    ratio = f"<b>{row.ratio:.3g}x</b> {row.ratio_is}"
    if row.slower:
        ratio += " <span class=soft>(slower)</span>"
    times = text(row.ours.median_ns), escape(row.peer), text(row.theirs.median_ns)
    return escape(row.question), *times, ratio, f"{low:.3g}-{high:.3g}", f"{row.best:.3g}", _goal(row)


def _goal(one: Row | Value) -> str:
    words, met = goal_of(one), one.met
    return (
        "" if met is None else f"{escape(words)} <b class={'met' if met else 'missed'}>{'met' if met else 'missed'}</b>"
    )


def _plots(section: Section) -> Iterator[str]:
    rows = [one for one in section.findings if isinstance(one, Row)]
    if rows:
        caption = "How many times faster than the peer; 1 is as fast, the upright stroke is the goal."
        yield ratios([_against_peer(row) for row in rows], caption, better="faster than the peer", worse="slower")
    for row in rows:
        if row.ours.quantiles and row.theirs.quantiles:
            found = {"ours": row.ours.quantiles, row.peer: row.theirs.quantiles}
            yield distribution(found, f"{row.question}: ours and {row.peer}.", text)
    for curve in (one for one in section.findings if isinstance(one, Curve)):
        caption = f"{curve.question}. {curve.note}".strip()
        yield lines(curve.lines, caption, x_name=curve.x, y_name=curve.y, log_x=curve.log_x, log_y=curve.log_y)


def _against_peer(row: Row) -> Dot:
    low, high = row.spread
    label = f"{row.question} / {row.peer}"
    if row.ratio_is == "times faster":
        return Dot(label, row.ratio, low, high, row.goal, row.met)
    goal = None if row.goal is None else 1 / row.goal
    return Dot(label, 1 / row.ratio, 1 / high, 1 / low, goal, row.met)
