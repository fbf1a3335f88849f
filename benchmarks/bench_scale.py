"""How does the cost of a tick grow with the instruments, and that of a frame with the connections?"""

from __future__ import annotations

from benchmarks.frames import stream
from benchmarks.measure import Curve, Effort, Finding
from benchmarks.stage import Play, Stage

TITLE = "Cost curves"
METHOD = (
    "The stage of the section before, flat out. Instruments: each point is a fresh client with that many subscribed in"
    " mode full, each with its book; frames always carry 50 ticks and go round the instruments, so that only their"
    " number changes. Connections: each is a session of its own with 50 instruments, all in one process on one loop,"
    " and the player sends to all at once; CPU is for each frame, throughput that of all connections together. A point"
    " is the best of a few plays: a curve has no peer in the same round to cancel out what else the machine does."
)
INSTRUMENTS = (1, 3, 10, 30, 100, 300, 1000, 3000)
CONNECTIONS = (1, 2, 3, 4, 6, 9)
TICKS = 50
LINES = {"by-row": "ours, by row", "by-column": "ours, by column", "kiteconnect": "official KiteTicker"}
FRAMES = {"by-row": 1500, "by-column": 2500, "kiteconnect": 60}


def plays(stage: Stage, name: str, frames: str, count: int) -> list[Play]:
    """Warm up, then play a few times."""
    stage.play(name, frames, max(1, count // 5))
    return [stage.play(name, frames, count) for _ in range(3 if Effort.quick else 5)]


def by_instruments(stage: Stage) -> Curve:
    lines: dict[str, list[tuple[float, float]]] = {name: [] for name in LINES.values()}
    stage.consumer("kiteconnect", instruments=INSTRUMENTS[-1])
    for count in INSTRUMENTS[::2] if Effort.quick else INSTRUMENTS:
        stage.frames(f"{count} instruments", stream(count, TICKS))
        for kind, name in LINES.items():
            if kind != "kiteconnect":  # which holds nothing of an instrument but its token
                stage.consumer(kind, instruments=count)
            found = plays(stage, kind, f"{count} instruments", FRAMES[kind])
            lines[name].append((count, min(play.cpu_ns / play.frames for play in found) / TICKS))
            if kind != "kiteconnect":
                stage.dismiss(kind)
    stage.dismiss("kiteconnect")
    return Curve("CPU of a tick by instruments subscribed", "instruments", "ns a tick", lines, log_x=True, log_y=True)


def by_connections(stage: Stage) -> list[Curve]:
    costs: dict[str, list[tuple[float, float]]] = {"frames of 1 tick": [], "frames of 50 ticks": []}
    flows: dict[str, list[tuple[float, float]]] = {"frames of 1 tick": [], "frames of 50 ticks": []}
    for ticks in (1, TICKS):
        stage.frames(str(ticks), stream(50, ticks))
    for count in CONNECTIONS[::2] if Effort.quick else CONNECTIONS:
        stage.consumer("by-row", instruments=50, sockets=count)
        for ticks, frames, name in ((1, 12_000, "frames of 1 tick"), (TICKS, 1200, "frames of 50 ticks")):
            found = plays(stage, "by-row", str(ticks), frames // count)
            costs[name].append((count, min(play.cpu_ns / play.frames for play in found) / 1000))
            flow = max(play.frames * ticks / play.wall_ns * 1e9 for play in found)
            flows[name].append((count, flow / 1e6))
        stage.dismiss("by-row")
    return [
        Curve("CPU of a frame by connections", "connections", "us a frame", costs, log_y=True),
        Curve("Throughput of all connections together", "connections", "million ticks a second", flows),
    ]


def run() -> list[Finding]:
    """Draw the curves."""
    with Stage() as stage:
        return [by_instruments(stage), *by_connections(stage)]
