"""One page style for whatever the library shows as HTML: nothing is loaded, light or dark as one's system.

Every text that is handed to these functions is escaped here, but for table cells and page bodies, which are HTML.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

STYLE: Final = """
:root { color-scheme: light dark; --bg: #fff; --ink: #1c2024; --soft: #60646c; --rule: #d9dce1; --card: #f6f7f9;
  --c0: #0b6bcb; --c1: #c4570a; --c2: #6e56cf; --c3: #2b7a4b; --met: #18794e; --missed: #c62a2f; }
@media (prefers-color-scheme: dark) { :root { --bg: #14161a; --ink: #eceef1; --soft: #a3a9b3; --rule: #343941;
  --card: #1c1f25; --c0: #6cb6ff; --c1: #ffa657; --c2: #b9a6ff; --c3: #6fd08c; --met: #5bc98c; --missed: #ff7b7d; } }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 68rem; background: var(--bg); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif; }
h1, h2, h3 { line-height: 1.2; text-wrap: balance; } h2 { margin-top: 3rem; } h3 { margin: 2rem 0 .5rem; }
p, li { max-width: 46rem; } dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; } .scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; min-width: 100%; }
th, td { text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--rule); vertical-align: top; }
th { color: var(--soft); font-weight: 600; } td.n, th.n { text-align: right; white-space: nowrap; }
b.met { color: var(--met); } b.missed { color: var(--missed); } .soft { color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.25rem, 1fr)); gap: .75rem; margin: 1.5rem 0; }
.tile { padding: .75rem 1rem; background: var(--card); border-radius: 8px; }
.tile span { display: block; color: var(--soft); font-size: .85rem; }
.tile b { font-size: 1.25rem; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1rem; } a { color: var(--c0); } .life { white-space: nowrap; }
figure { margin: 1.5rem 0; padding: 1rem; background: var(--card); border-radius: 8px; overflow-x: auto; }
figcaption { color: var(--soft); font-size: .9rem; }
svg { width: 100%; min-width: 34rem; height: auto; display: block; }
svg text { fill: var(--ink); font: 12px system-ui, sans-serif; } svg .tick, svg .note { fill: var(--soft); }
svg .grid { stroke: var(--rule); } svg .one { stroke: var(--soft); stroke-width: 1.5; stroke-dasharray: 4 3; }
svg .spread { stroke-width: 3; opacity: .45; } svg .goal { stroke: var(--ink); stroke-width: 2; }
svg .plain { fill: var(--c0); stroke: var(--c0); } svg .met { fill: var(--met); stroke: var(--met); }
svg .missed { fill: var(--missed); stroke: var(--missed); } svg .line { fill: none; stroke-width: 2; }
svg .value { font-weight: 600; } svg .end { font-weight: 600; } svg .life { stroke-width: 4; opacity: .4; }
svg .unseen { opacity: 0; } svg .hollow { fill: var(--card); stroke-width: 1.5; } svg .base { stroke: var(--soft); }
svg .line.c0, svg .life.c0, svg .hollow.c0 { stroke: var(--c0); } svg .line.c1, svg .life.c1 { stroke: var(--c1); }
svg .line.c2, svg .life.c2 { stroke: var(--c2); } svg .line.c3, svg .life.c3 { stroke: var(--c3); }
svg .life.missed { stroke: var(--missed); } svg .hollow.c1 { stroke: var(--c1); }
svg .dot.c0, svg .end.c0 { fill: var(--c0); } svg .dot.c1, svg .end.c1 { fill: var(--c1); }
svg .dot.c2, svg .end.c2 { fill: var(--c2); } svg .dot.c3, svg .end.c3 { fill: var(--c3); }
"""


def page(title: str, body: str) -> str:
    """Return a whole page.

    Parameters
    ----------
    title : str
    body : str
        HTML.
    """
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    return (
        f'<!doctype html><html lang="en"><head>{head}<title>{escape(title)}</title><style>{STYLE}</style></head>'
        f"<body>{body}</body></html>\n"
    )


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Return names and values beside each other."""
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{escape(value)}</dd>' for name, value in rows)}</dl>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = ()) -> str:
    """Return a table; its cells are HTML, and those of the columns `numbers` stand to the right."""
    right = frozenset(numbers)

    def cells(row: Sequence[str], tag: str) -> str:
        kinds = (' class="n"' if at in right else "" for at in range(len(row)))
        return "".join(f"<{tag}{kind}>{cell}</{tag}>" for kind, cell in zip(kinds, row, strict=True))

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{cells(head, "th")}</tr></thead><tbody>{body}</tbody></table></div>'
