"""What does a look at money cost: rows and totals of positions, the margin between readings, a fill told late?"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator

from benchmarks.looks import Account, Projected, day_of, early
from benchmarks.measure import Effort, Finding, Value
from dragoman.portfolio.rows import totals

TITLE = "Looking at money"
METHOD = (
    "1,000 positions of one account, filled and marked. Before each look so many marks are moved, and a fill is told"
    " where one is named; the look alone is timed, in processor time, and the median stands here. What"
    " is shown is compared with what is counted from nothing, before and after. The margin has 500 positions and rates"
    " that are known; each look projects it. A reading is judged against what was known after each of 255 fills. The"
    " late fill is one of the morning, told when 20,000 others of the same instrument have been: all of the day is"
    " counted again. A day is never flat where it trades both ways."
)
POSITIONS, MARGINED, FILLS = 1000, 500, 20_000
Timed = tuple[str, float, float | None]


def median_ms(works: Iterator[Callable[[], object]], rounds: int) -> float:
    """Run prepared calls one after the other; return the middle time of one, in ms."""
    took = []
    for work in itertools.islice(works, Effort.rounds(rounds)):
        began = time.thread_time_ns()
        work()
        took.append(time.thread_time_ns() - began)
    return sorted(took)[len(took) // 2] / 1e6


def after(change: Callable[[], object], look: Callable[[], object]) -> Iterator[Callable[[], object]]:
    """Yield a look, each time after a change."""
    while True:
        change()
        yield look


def compare(account: Account) -> None:
    """Fail unless what is kept is what counting all of it gives."""
    book = account.book
    rows = book.rows()
    anew = [book._view.shown(key, lots)[0] for key, lots in book._lines.all()]
    assert rows == sorted(anew, key=lambda one: (one.instrument_id, one.product))
    assert book.totals() == totals(rows)
    assert len(rows) == POSITIONS


def positions() -> Iterator[Timed]:
    account = Account(POSITIONS)
    book, names = account.book, itertools.cycle(account.names)
    compare(account)

    def little() -> None:
        account.trade(next(names), 25, "1001.5")
        account.mark(10)

    for what, look, goals in (("rows", book.rows, (10.0, None)), ("totals", book.totals, (1.0, None))):
        look()
        for change, told, goal in (
            (little, "after a fill and 10 marks", goals[0]),
            (lambda: account.mark(POSITIONS), "after all 1,000 marks", goals[1]),
        ):
            yield f"{what} of 1,000 positions {told}", median_ms(after(change, look), 60), goal
    yield (
        "what the day made, after all 1,000 marks",
        median_ms(after(lambda: account.mark(POSITIONS), book.day_made), 60),
        None,
    )
    compare(account)


def margins() -> Iterator[Timed]:
    projected = Projected(MARGINED)
    account, names = projected.account, itertools.cycle(projected.account.names)

    def trade() -> None:
        account.trade(next(names), 25, "1001.5")

    for change, told, goal in (
        (trade, "after a fill", 1.0),
        (lambda: account.mark(1), "after one mark", 1.0),
        (lambda: account.mark(MARGINED), "after all 500 marks", None),
    ):
        yield f"the margin of 500 positions {told}", median_ms(after(change, projected.look), 60), goal

    def readings() -> Iterator[Callable[[], object]]:
        while True:
            states = projected.states(256)
            projected.look()
            yield lambda states=states: projected.read(states)  # type: ignore[misc]

    yield "a reading judged against 256 states", median_ms(readings(), 12), 10.0


def fills() -> Iterator[Timed]:
    for kind, words, goal in (("buys", "all buys", 20.0), ("both", "both ways", None)):
        account = day_of(kind, FILLS)
        yield f"a fill of the morning, told after 20,000 ({words})", median_ms(early(account), 12), goal
        name, sides = account.names[0], itertools.cycle((7, -7))
        held = account.book.rows()[0]
        assert held.quantity != 0
        works = after(lambda: None, lambda: account.trade(name, next(sides), "1500.05"))  # noqa: B023 - run here
        yield f"a fill in its turn, after 20,000 ({words})", median_ms(works, 200), None
        bits = account.book._lines[name, "NET"].rows[held.product].cost.denominator.bit_length()
        assert bits < 1000, "the cost has grown long"


def run() -> list[Finding]:
    """Compare, then time."""
    return [Value(what, took, "ms", goal) for part in (positions, margins, fills) for what, took, goal in part()]
