"""What does a streamed frame cost from the wire to the user's inline handler, and how late does it get there?"""

from __future__ import annotations

from benchmarks.frames import stream
from benchmarks.measure import Effort, Finding, Timing, faster, share, timing, timing_of_calls
from benchmarks.stage import Play, Stage

TITLE = "From frame to handler"
METHOD = (
    "A process of its own plays ticker frames (mode full, generated, all different) over loopback to three others: our"
    " client, connected as a user connects it, with its session, books and measurements; the official `KiteTicker`; and"
    " bare picows, whose listener notes the time and does nothing else. Our handler and KiteTicker's read five fields"
    " and the best bid and ask, price and quantity, of every tick: ours row by row, or as one NumPy array. Before"
    " anything is timed, both add up all they read, and the sums agree exactly. CPU is the processor time of the whole"
    " consumer, user and system, for each frame, the frames sent as fast as it reads them. Latency is from before the"
    " frame is written to the end of the handler, a frame each millisecond where the row says no other pace."
)
INSTRUMENTS = 50
SDK, BARE, ROWS, COLUMNS = "kiteconnect", "picows", "by-row", "by-column"
SDK_NAME, BARE_NAME = "official KiteTicker", "bare picows"
FLAT_OUT = {
    1: {ROWS: 15_000, COLUMNS: 15_000, SDK: 1500, BARE: 15_000},
    50: {ROWS: 2000, COLUMNS: 3000, SDK: 100, BARE: 3000},
}
PACED_S = 0.001
SDK_PACED_S = {1: 0.001, 50: 0.005}  # what it can take
BEST_WAY = {1: ROWS, 50: COLUMNS}


def check(stage: Stage, frames: str) -> None:
    """Fail unless all handlers read the same."""
    found = {name: stage.play(name, frames, 200, check=True) for name in (ROWS, COLUMNS, SDK)}
    assert len({(play.ticks, play.sum) for play in found.values()}) == 1, f"they read different things: {found}"
    assert found[SDK].sum > 0


def rounds(stage: Stage, frames: str, counts: dict[str, int], gap_s: float, wanted: int) -> dict[str, list[Play]]:
    """Play to each consumer in turn, again and again."""
    found: dict[str, list[Play]] = {name: [] for name in counts}
    for _ in range(Effort.rounds(wanted)):
        for name, count in counts.items():
            found[name].append(stage.play(name, frames, count, gap_s))
    return found


def cpu(plays: list[Play]) -> Timing:
    return timing([play.cpu_ns / play.frames for play in plays])


def latency(plays: list[Play]) -> Timing:
    return timing_of_calls([play.latencies for play in plays])


def compare_cpu(stage: Stage, ticks: int, counts: dict[str, int]) -> list[Finding]:
    what, best = f"CPU of a frame of {plural(ticks)}", BEST_WAY[ticks]
    found = {name: cpu(plays) for name, plays in rounds(stage, str(ticks), counts, 0.0, 15).items()}
    by_row, by_column = (30.0, None) if ticks == 1 else (None, 100.0)
    return [
        faster(f"{what}, read by row", found[ROWS], SDK_NAME, found[SDK], by_row),
        faster(f"{what}, read by column", found[COLUMNS], SDK_NAME, found[SDK], by_column),
        share(f"{what}, read {best.replace('-', ' ')}", found[best], BARE_NAME, found[BARE]),
    ]


def compare_latency(stage: Stage, ticks: int) -> list[Finding]:
    best = BEST_WAY[ticks]
    what = f"latency of a frame of {plural(ticks)}, read {best.replace('-', ' ')}"
    plays = rounds(stage, str(ticks), dict.fromkeys((best, BARE), 300), PACED_S, 9)
    late = {name: latency(found) for name, found in plays.items()}
    rows: list[Finding] = [share(what, late[best], BARE_NAME, late[BARE], 1.2)]
    gap_s = SDK_PACED_S[ticks]
    plays = rounds(stage, str(ticks), dict.fromkeys((best, SDK), 100), gap_s, 9)
    late = {name: latency(found) for name, found in plays.items()}
    return [*rows, faster(f"{what}, each {gap_s * 1000:g} ms", late[best], SDK_NAME, late[SDK])]


def plural(ticks: int) -> str:
    return f"{ticks} tick{'s' * (ticks > 1)}"


def run() -> list[Finding]:
    """Compare, then time."""
    rows: list[Finding] = []
    with Stage() as stage:
        for consumer in (ROWS, COLUMNS, SDK, BARE):
            stage.consumer(consumer, instruments=INSTRUMENTS)
        for ticks in FLAT_OUT:
            stage.frames(str(ticks), stream(INSTRUMENTS, ticks))
            check(stage, str(ticks))
        for ticks, counts in FLAT_OUT.items():
            rows += compare_cpu(stage, ticks, counts)
        for ticks in FLAT_OUT:
            rows += compare_latency(stage, ticks)
    return rows
