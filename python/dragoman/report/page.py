"""The report as one HTML page that needs nothing else: its numbers are in it as JSON, and drawn from exactly those."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, Final

import orjson

from dragoman.model.plain import plain
from dragoman.orders.journal.words import cleaned
from dragoman.report import sections
from dragoman.report.model import DayReport
from dragoman.report.style import page

_ESCAPES: Final = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"})
"""What could end the element, or begin another: JSON has a form for it that HTML does not read."""


def numbers(report: DayReport) -> dict[str, Any]:
    """Return all the report says as what JSON knows: money and quantities as text, times in UTC, secrets left out."""
    return cleaned(plain(report))


def render(report: DayReport) -> str:
    """Return the report as an HTML page, which loads nothing from anywhere.

    The element ``report`` of type ``application/json`` holds `numbers`.
    """
    found = numbers(report)
    title = f"{found['broker']} {found['account_id']}: {found['day']}"
    body = "".join(part for make in sections.ALL for part in make(found))
    return page(title, f"{_head(found)}{body}{_data(found)}")


def _head(found: Mapping[str, Any]) -> str:
    links = "".join(f'<a href="#{name}">{escape(text)}</a>' for name, text in sections.PARTS.items())
    return f"<h1>Trading day {escape(found['day'])}</h1>{sections.about(found)}<nav>{links}</nav>"


def _data(found: Mapping[str, Any]) -> str:
    text = orjson.dumps(found, option=orjson.OPT_NON_STR_KEYS).decode().translate(_ESCAPES)
    return f'<script type="application/json" id="report">{text}</script>'
