"""What does a streamed frame cost from the wire to the user's inline handler, and how late does it get there?"""

from __future__ import annotations

from benchmarks.frames import stream
from benchmarks.measure import Effort, Finding, Timing, faster, share, timing, timing_of_calls
from benchmarks.stage import CHUNK, Play, Stage

TITLE = "From frame to handler"
METHOD = (
    "A process of its own plays ticker frames (mode full, generated, all different) over loopback to others: our"
    " client, connected as a user connects it, with its session, books and measurements; the official `KiteTicker`;"
    " bare picows, whose listener notes the time and does nothing else; and picows by hand, whose listener unpacks the"
    " values itself with one `struct` for this kind of packet, and keeps no books. Every handler but the bare one reads"
    " five fields and the best bid and ask, price and quantity, of every tick: ours from tuples (`Batch.rows`), from a"
    " cursor's attributes, or as one NumPy array (`Batch.table`). Before anything is timed, they add up all they read,"
    " and the sums agree exactly. CPU is the processor time of the whole consumer, user and system, for each frame, the"
    " frames sent as fast as it reads them, sixteen a write or, where the row says so, each in a write of its own."
    " Latency is from before the frame is written to the end of the handler, all reading included, a frame each"
    " millisecond where the row says no other pace. The bare listener has nothing to read, so the ratio to it holds all"
    " that stands between a frame and values that were read. Our books learn of a frame before its handler ends only if"
    " the handler looks at one, which these do not; CPU has them in any case."
)
INSTRUMENTS = 50
SDK, BARE, HAND = "kiteconnect", "picows", "by-hand"
ROWS, ATTRIBUTES, COLUMNS = "by-row", "by-attribute", "by-column"
OURS = {ROWS: "read by row", ATTRIBUTES: "read by attribute", COLUMNS: "read by column"}
SDK_NAME, BARE_NAME, HAND_NAME = "official KiteTicker", "bare picows", "picows by hand"
FLAT_OUT = {
    1: {ROWS: 15_000, ATTRIBUTES: 15_000, COLUMNS: 15_000, SDK: 1500, BARE: 15_000},
    50: {ROWS: 2000, ATTRIBUTES: 1500, COLUMNS: 3000, SDK: 100, BARE: 3000},
}
SINGLY = {ROWS: 5000, SDK: 1000, BARE: 5000}
PACED_S = 0.001
SDK_PACED_S = {1: 0.001, 50: 0.005}  # what it can take
CHEAPEST = {1: ROWS, 50: COLUMNS}
SOONEST = ROWS  # after a pause, what NumPy needs is in no cache
LATENCY_GOALS = {1: {ROWS: 1.2}, 50: {ROWS: 1.2, COLUMNS: 1.2}}


def check(stage: Stage, frames: str) -> None:
    """Fail unless all handlers read the same."""
    found = {name: stage.play(name, frames, 200, check=True) for name in (*OURS, SDK, HAND)}
    assert len({(play.ticks, play.sum) for play in found.values()}) == 1, f"they read different things: {found}"
    assert found[SDK].sum > 0


def rounds(
    stage: Stage, frames: str, counts: dict[str, int], gap_s: float, wanted: int, chunk: int = CHUNK
) -> dict[str, list[Play]]:
    """Play to each consumer in turn, again and again."""
    found: dict[str, list[Play]] = {name: [] for name in counts}
    for _ in range(Effort.rounds(wanted)):
        for name, count in counts.items():
            found[name].append(stage.play(name, frames, count, gap_s, chunk=chunk))
    return found


def cpu(plays: list[Play]) -> Timing:
    return timing([play.cpu_ns / play.frames for play in plays])


def latency(plays: list[Play]) -> Timing:
    return timing_of_calls([play.latencies for play in plays])


def compare_cpu(stage: Stage, ticks: int, counts: dict[str, int]) -> list[Finding]:
    what, best = f"CPU of a frame of {plural(ticks)}", CHEAPEST[ticks]
    found = {name: cpu(plays) for name, plays in rounds(stage, str(ticks), counts, 0.0, 15).items()}
    goals = {1: {ROWS: 30.0}, 50: {COLUMNS: 100.0}}[ticks]
    return [
        *(faster(f"{what}, {how}", found[one], SDK_NAME, found[SDK], goals.get(one)) for one, how in OURS.items()),
        share(f"{what}, {OURS[best]}", found[best], BARE_NAME, found[BARE]),
    ]


def compare_singly(stage: Stage) -> list[Finding]:
    """Compare where each frame comes alone, as most do on a quiet market."""
    what = f"CPU of a frame of 1 tick, a write each, {OURS[ROWS]}"
    found = {name: cpu(plays) for name, plays in rounds(stage, "1", SINGLY, 0.0, 9, chunk=1).items()}
    return [
        faster(what, found[ROWS], SDK_NAME, found[SDK]),
        share(what, found[ROWS], BARE_NAME, found[BARE]),
    ]


def compare_latency(stage: Stage, ticks: int) -> list[Finding]:
    what = f"latency of a frame of {plural(ticks)}"
    plays = rounds(stage, str(ticks), dict.fromkeys((ROWS, COLUMNS, BARE, HAND), 300), PACED_S, 15)
    late = {name: latency(found) for name, found in plays.items()}
    rows: list[Finding] = [
        share(f"{what}, {OURS[one]}", late[one], BARE_NAME, late[BARE], LATENCY_GOALS[ticks].get(one))
        for one in (ROWS, COLUMNS)
    ]
    what = f"{what}, {OURS[SOONEST]}"
    rows.append(share(what, late[SOONEST], HAND_NAME, late[HAND]))
    gap_s = SDK_PACED_S[ticks]
    plays = rounds(stage, str(ticks), dict.fromkeys((SOONEST, SDK), 100), gap_s, 9)
    late = {name: latency(found) for name, found in plays.items()}
    return [*rows, faster(f"{what}, each {gap_s * 1000:g} ms", late[SOONEST], SDK_NAME, late[SDK])]


def plural(ticks: int) -> str:
    return f"{ticks} tick{'s' * (ticks > 1)}"


def run() -> list[Finding]:
    """Compare, then time."""
    rows: list[Finding] = []
    with Stage() as stage:
        for consumer in (*OURS, SDK, BARE, HAND):
            stage.consumer(consumer, instruments=INSTRUMENTS)
        for ticks in FLAT_OUT:
            stage.frames(str(ticks), stream(INSTRUMENTS, ticks))
            check(stage, str(ticks))
        for ticks, counts in FLAT_OUT.items():
            rows += compare_cpu(stage, ticks, counts)
        rows += compare_singly(stage)
        for ticks in FLAT_OUT:
            rows += compare_latency(stage, ticks)
    return rows
