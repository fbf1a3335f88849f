"""What is drawn and not listed, as `rich` text of a given width: ladder, margin bars, limits, totals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.text import Text

from dragoman.cli.watch.cells import BAD, GAIN, LOSS, QUIET, STALE, WARN, age, figure, units
from dragoman.cli.watch.rows import Heading, Ladder, LaneRow, Level, MarginRow, TotalRow
from dragoman.model import Source

_BID, _ASK = "on #123d2a", "on #4a1a20"
_FULL, _HIGH = 0.9, 0.7
_ENVIRONMENT: Final = {"live": "bold white on #a01020", "sandbox": "bold black on #d0a000"}
_OTHER: Final = "bold white on #20508a"


def heading(row: Heading, time: str, width: int) -> Text:
    """Return the line on top: environment and account first, because they matter most."""
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f" {row.environment.upper()} ", _ENVIRONMENT.get(row.environment, _OTHER))
    text.append(f" {row.profile}@{row.broker} ", "bold")
    text.append(f"({row.account or 'not logged in'}) ")
    text.append("TRADING" if row.trading else "read-only", WARN if row.trading else QUIET)
    if row.killed:
        text.append("  ")
        text.append(f" KILLED: {row.killed} ", "bold white on red")
    if width - text.cell_len > len(time) + 1:
        text.append(" " * (width - text.cell_len - len(time)))
        text.append(time)
    return text


def ladder(row: Ladder, width: int) -> Text:
    """Return depth as two halves with the prices in the middle and bars as long as the quantities are large."""
    levels = (*row.bids, *row.asks)
    half = max(10, (width - 1) // 2)
    most = max((quantity for _, quantity, _ in levels), default=0.0)
    prices = max((len(figure(price, row.decimals)) for price, _, _ in levels), default=0)
    text = Text(no_wrap=True, overflow="crop")
    head = " " * half if row.last is None else f"last {figure(row.last, row.decimals, stale=row.stale)}"
    heard = f"heard {age(row.age_s)} ago" if row.age_s is not None else ""
    text.append(f"{head:<{half}}", STALE if row.stale else "bold")
    text.append(f" {heard:>{half}}\n", STALE if row.stale else QUIET)
    if row.stale:
        text.append(f"STALE: {row.why}"[:width] + "\n", BAD)
    for at in range(max(len(row.bids), len(row.asks))):
        bid = row.bids[at] if at < len(row.bids) else None
        ask = row.asks[at] if at < len(row.asks) else None
        text.append(_half(bid, row, half, prices, most, bids=True))
        text.append("│", QUIET)
        text.append(_half(ask, row, half, prices, most, bids=False))
        text.append("\n")
    return text


def _half(level: Level | None, row: Ladder, half: int, prices: int, most: float, *, bids: bool) -> Text:
    if level is None:
        return Text(" " * half)
    price, quantity, orders = level
    shown, room = figure(price, row.decimals), half - prices - 2
    amount = units(quantity)
    count = f"{orders}" if orders and len(amount) + len(str(orders)) + 3 <= room else ""
    if bids:
        plain = f"{count:<{max(0, room - len(amount))}}{amount} {shown:>{prices}} "
    else:
        plain = f" {shown:<{prices}} {amount}{count:>{max(0, room - len(amount))}}"
    text = Text(plain[-half:].rjust(half) if bids else plain[:half].ljust(half))
    if row.stale:
        text.stylize(STALE)
        return text
    at = half - 1 - prices if bids else 1
    text.stylize(f"bold {GAIN if bids else LOSS}", at, at + prices)
    if count:
        text.stylize(QUIET, 0, len(count)) if bids else text.stylize(QUIET, half - len(count), half)
    bar = round(half * quantity / most) if most else 0
    text.stylize(_BID if bids else _ASK, half - bar if bids else 0, half if bids else bar)
    return text


def bar(text: Text, share: float, width: int, style: str) -> None:
    """Append a bar of `width` characters, filled for `share` of it."""
    full = round(min(max(share, 0.0), 1.0) * width)
    full = max(full, 1) if share > 0 else full
    text.append("█" * full, style)
    text.append("·" * (width - full), QUIET)


def margins(rows: Sequence[MarginRow], problem: str, width: int) -> Text:
    """Return a bar for each segment, and where the figures come from."""
    if not rows:
        return Text(problem or "not read yet", QUIET)
    text = Text(no_wrap=True, overflow="ellipsis")
    names = max(len(row.segment) for row in rows)
    for row in rows:
        share = None if row.utilisation is None else float(row.utilisation)
        style = STALE if row.stale else "" if share is None or share < _HIGH else WARN if share < _FULL else BAD
        percent = "" if share is None else f"{share:.1%}{'?' if row.stale else ''}"
        source = f"{'STALE' if row.stale else row.source} {age(row.age_s)}"
        text.append(f"{row.segment:<{names}} ", "bold")
        bar(text, share or 0.0, max(4, min(24, width - names - 24)), style or GAIN)
        text.append(f" {percent:>7} ", style or "bold")
        text.append(f"{source:<14}\n", STALE if row.stale else WARN if row.source is Source.PROJECTED else QUIET)
        bound = f" ±{figure(row.error_bound, 0)}" if row.error_bound else ""
        text.append(f"  used {figure(row.used, 0) or '-'}, usable {figure(row.usable, 0) or '-'}{bound}\n", style)
    text.right_crop(1)
    return text


def lanes(rows: Sequence[LaneRow], width: int) -> Text:
    """Return a bar for each limit: what is used of it, who waits, what only exits may take."""
    if not rows:
        return Text("the broker states no limits", QUIET)
    text = Text(no_wrap=True, overflow="ellipsis")
    names = max(len(row.name) for row in rows)
    counts = max(len(f"{row.used}/{row.count}") for row in rows)
    for row in rows:
        share = row.used / row.count if row.count else 0.0
        style = BAD if row.waiting or row.penalty_s else WARN if share >= _HIGH else ""
        text.append(f"{row.name:<{names}} ")
        bar(text, share, max(4, min(12, width - names - counts - 14)), style or "cyan")
        text.append(f" {f'{row.used}/{row.count}':>{counts}}", style)
        if row.reserve_left:
            text.append(f" +{row.reserve_left}", QUIET)
        if row.waiting:
            text.append(f" {row.waiting} wait", WARN)
        if row.penalty_s:
            text.append(f" shut {age(row.penalty_s)}", BAD)
        text.append("\n")
    text.right_crop(1)
    return text


def totals(rows: Sequence[TotalRow], width: int) -> Text:
    """Return one line of profit for each currency."""
    text = Text(no_wrap=True, overflow="ellipsis")
    for row in rows:
        mark = bool(row.stale)
        text.append(f"{row.currency} ", "bold")
        for name, value, hangs in (
            ("total", row.total, mark),
            ("realised", row.realised, False),
            ("unrealised", row.unrealised, mark),
        ):
            style = STALE if hangs else GAIN if value > 0 else LOSS if value < 0 else ""
            text.append(f"{name} ", QUIET)
            text.append(f"{figure(value, stale=hangs, sign=True)}  ", f"bold {style}" if name == "total" else style)
        text.append(f"charges {figure(row.charges)}  " if row.charges else "", QUIET)
        if row.stale:
            text.append(f"{row.stale} stale  ", STALE)
        if row.unknown:
            text.append(f"{row.unknown} with unknown numbers", WARN)
        text.append("\n")
    text.right_crop(1)
    return text
