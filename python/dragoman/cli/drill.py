"""``dragoman demo --drill``: a falling market, with rules, a margin floor and the kill switch, on emulated brokers."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from dragoman.cli.demo import ALL, with_emulator
from dragoman.cli.drill_proof import prove, prove_journal
from dragoman.cli.drill_report import show_drills
from dragoman.cli.drill_story import Drill
from dragoman.cli.progress import say_which
from dragoman.connecting import connect
from dragoman.emulator.venue import Venue
from dragoman.errors import UsageError
from dragoman.plugin.registry import load_adapter
from dragoman.runtime.base import Runtime
from dragoman.runtime.loops import run
from dragoman.runtime.real import RealRuntime
from dragoman.testing.emulated import browser, emulated


async def drill(runtime: Runtime, broker: str, *, seed: int, state_dir: str) -> dict[str, Any]:
    """Run the drill against a broker's emulator and return what happened, with the verdict in ``proof``."""
    adapter = load_adapter(broker)
    async with emulated(runtime, adapter, seed=seed) as (host, overrides):
        venue = host.emulator.venue
        if not isinstance(venue, Venue):
            raise UsageError(
                f"{adapter.name}: the emulator's exchange cannot be told its prices; choose another broker"
            )
        venue.calm()  # now, so that how long a login takes moves no price
        connecting = connect(
            adapter,
            "drill",
            environment="emulator",
            overrides=overrides,
            state_dir=state_dir,
            open_url=browser(runtime),
            runtime=runtime,
        )
        async with connecting as client:
            story = Drill(client, runtime, venue, seed)
            await story.play()
            proof = prove(story, host)
            legs = [
                {
                    "leg": leg.label,
                    "part": leg.part,
                    "instrument": leg.key[0],
                    "product": leg.product,
                    "quantity": leg.sign * leg.quantity,
                    "price": leg.price,
                    "realised": getattr(client.portfolio.live.row(leg.key), "realised_pnl", None),
                }
                for leg in story.legs
            ]
            totals = client.portfolio.live.totals()
        prove_journal(proof, story, host, runtime.disk, state_dir)
        return {
            "broker": adapter.name,
            "seed": seed,
            "legs": legs,
            "left_out": story.left_out,
            "events": story.rows,
            "ticks": story.ticks,
            "firings": story.fired,
            "orders": len(venue.orders(client.session.ctx.account)),
            "realised": sum(one.realised for one in totals.values()),
            "proof": {"agrees": not proof.differences, "lines": proof.lines, "differences": proof.differences},
        }


def run_drill(broker: str, *, seed: int, as_json: bool, market: Path | None = None) -> int:
    """Run, print, and return the exit status: 0 only where every sum agrees.

    Parameters
    ----------
    broker : str
        An adapter's name, or ``all``: the same crash with each, one after the other.
    market
        Refused: the drill moves the market itself.
    """
    if market is not None:
        raise UsageError("a drill moves the market itself", remedy="leave out --market, or --drill")
    results = []
    names = with_emulator() if broker == ALL else [broker]
    for number, name in enumerate(names, 1):
        say_which("drill", name, number, len(names))
        runtime = RealRuntime()
        try:
            with tempfile.TemporaryDirectory(prefix="dragoman-drill-") as folder:
                results.append(run(drill(runtime, name, seed=seed, state_dir=folder)))
        finally:
            runtime.close()
    show_drills(results, as_json=as_json)
    return 0 if all(result["proof"]["agrees"] for result in results) else 1
