"""The report as one HTML page: nothing is loaded from anywhere, plots are inline SVG, light or dark as one's system."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape

from benchmarks.measure import Curve, Row, Section, Value
from benchmarks.svg import Dot, distribution, lines, ratios
from benchmarks.words import HOW_TO_READ, bytes_or, goal_of, peer_quantiles, text

STYLE = """
:root { color-scheme: light dark; --bg: #fff; --ink: #1c2024; --soft: #60646c; --rule: #d9dce1; --card: #f6f7f9;
  --c0: #0b6bcb; --c1: #c4570a; --c2: #6e56cf; --c3: #2b7a4b; --met: #18794e; --missed: #c62a2f; }
@media (prefers-color-scheme: dark) { :root { --bg: #14161a; --ink: #eceef1; --soft: #a3a9b3; --rule: #343941;
  --card: #1c1f25; --c0: #6cb6ff; --c1: #ffa657; --c2: #b9a6ff; --c3: #6fd08c; --met: #5bc98c; --missed: #ff7b7d; } }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 62rem; background: var(--bg); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif; }
h1, h2 { line-height: 1.2; text-wrap: balance; } h2 { margin-top: 3rem; }
p, li { max-width: 46rem; } dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; }
dt { color: var(--soft); } dd { margin: 0; } .scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; min-width: 100%; }
th, td { text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--rule); vertical-align: top; }
th { color: var(--soft); font-weight: 600; } td.n, th.n { text-align: right; white-space: nowrap; }
b.met { color: var(--met); } b.missed { color: var(--missed); } .soft { color: var(--soft); }
figure { margin: 1.5rem 0; padding: 1rem; background: var(--card); border-radius: 8px; overflow-x: auto; }
figcaption { color: var(--soft); font-size: .9rem; }
svg { width: 100%; min-width: 34rem; height: auto; display: block; }
svg text { fill: var(--ink); font: 12px system-ui, sans-serif; } svg .tick, svg .note { fill: var(--soft); }
svg .grid { stroke: var(--rule); } svg .one { stroke: var(--soft); stroke-width: 1.5; stroke-dasharray: 4 3; }
svg .spread { stroke-width: 3; opacity: .45; } svg .goal { stroke: var(--ink); stroke-width: 2; }
svg .plain { fill: var(--c0); stroke: var(--c0); } svg .met { fill: var(--met); stroke: var(--met); }
svg .missed { fill: var(--missed); stroke: var(--missed); } svg .line { fill: none; stroke-width: 2; }
svg .value { font-weight: 600; } svg .end { font-weight: 600; }
svg .line.c0 { stroke: var(--c0); } svg .line.c1 { stroke: var(--c1); } svg .line.c2 { stroke: var(--c2); }
svg .line.c3 { stroke: var(--c3); } svg .dot.c0, svg .end.c0 { fill: var(--c0); }
svg .dot.c1, svg .end.c1 { fill: var(--c1); } svg .dot.c2, svg .end.c2 { fill: var(--c2); }
svg .dot.c3, svg .end.c3 { fill: var(--c3); }
"""


def html(sections: Sequence[Section], about: Mapping[str, str]) -> str:
    """Return the whole page."""
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in about.items())
    parts = [f"<h1>Benchmarks</h1><dl>{facts}</dl>", _summary(sections)]
    parts += ["<h2>How to read this</h2>", *(f"<p>{escape(line)}</p>" for line in HOW_TO_READ)]
    for section in sections:
        parts.append(f'<section id="{section.name}"><h2>{escape(section.title)}</h2><p>{escape(section.method)}</p>')
        parts += [*_tables(section), *_plots(section), "</section>"]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    return (
        f'<!doctype html><html lang="en"><head>{head}<title>dragoman benchmarks</title><style>{STYLE}</style></head>'
        f"<body>{''.join(parts)}</body></html>\n"
    )


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
        yield _table(head, (_row(row) for row in rows), numbers=(1, 3, 4, 5, 6))
    values = [one for one in section.findings if isinstance(one, Value)]
    if values:
        found = ((escape(v.question), bytes_or(v), escape(v.note), _goal(v)) for v in values)
        yield _table(("question", "found", "how", "goal"), found, numbers=(1,))
    slow = [row for row in rows if row.ours.quantiles and row.theirs.quantiles]
    if slow:
        cells = (tuple(escape(cell) for cell in line) for row in slow for line in peer_quantiles(row))
        yield _table(("question", "whose", "p50", "p90", "p99", "p99.9", "slowest"), cells, numbers=(2, 3, 4, 5, 6))


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


def _table(head: Sequence[str], rows: Iterable[tuple[str, ...]], numbers: Sequence[int]) -> str:
    def cells(row: Sequence[str], tag: str) -> str:
        kinds = (' class="n"' if at in numbers else "" for at in range(len(row)))
        return "".join(f"<{tag}{kind}>{cell}</{tag}>" for kind, cell in zip(kinds, row, strict=True))

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{cells(head, "th")}</tr></thead><tbody>{body}</tbody></table></div>'


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
