"""Plays scenarios against an adapter and says what became of each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from dragoman.emulator.venue.types import VenueRejectError
from dragoman.errors import DragomanError, UsageError
from dragoman.model import OrderAlert
from dragoman.plugin import Adapter, Raw
from dragoman.plugin.registry import load_adapter
from dragoman.runtime.base import Runtime
from dragoman.testing.conformance.differences import FILE, Difference, DifferenceError, check, differences_of
from dragoman.testing.conformance.grammar import Step
from dragoman.testing.conformance.needs import NotOfferedError, missing
from dragoman.testing.conformance.scenario import Scenario, load_scenarios
from dragoman.testing.conformance.stage import PATIENCE_S, MismatchError, Stage, staged
from dragoman.testing.conformance.watch import leaks

Where = Literal["memory", "loopback"]
Status = Literal["passed", "differs", "not offered", "failed"]

LONGEST_S: Final = 3600.0
LOOPBACK_LONGEST_S: Final = 60.0
LOOPBACK_PATIENCE_S: Final = 15.0
TRIED_S: Final = 2.0
"""How long a line may take to come true that is declared not to."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a scenario.

    Attributes
    ----------
    adapter, scenario : str
    where : {"memory", "loopback"}
    status : {"passed", "differs", "not offered", "failed"}
        ``differs``: it holds but for what the adapter declares.
    detail : str
        The failure, the adapter's reasons, or the reason why it is not offered.
    line : int
        Of the step that failed; 0 where none did.
    step : str
        Its text.
    """

    adapter: str
    scenario: str
    where: Where
    status: Status
    detail: str = ""
    line: int = 0
    step: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing is left to do."""
        return self.status != "failed"

    def __str__(self) -> str:
        at = f" line {self.line} ({self.step})" if self.line else ""
        return f"{self.adapter} {self.scenario}{at}: {self.status}" + (f": {self.detail}" if self.detail else "")


def run(
    adapter: Adapter | str,
    scenario: Scenario | str,
    *,
    where: Where = "memory",
    seed: int = 7,
    state_dir: str | None = None,
    differences: Sequence[Difference] | None = None,
) -> Result:
    """Play one scenario and return what became of it.

    Parameters
    ----------
    adapter : Adapter or str
        Or the name of an installed one. Its emulator is served in this process.
    scenario : Scenario or str
        Or the name of one of this package, ``orders/partial_fill``.
    where : {"memory", "loopback"}
        On the virtual clock without sockets, or over real ones.
    seed : int
        Same seed, same market (and in memory the same everything).
    state_dir : str, optional
        Folder for tokens; needed on loopback.
    differences : sequence of Difference, optional
        By default what the adapter's package declares.

    Raises
    ------
    UsageError
        No such scenario; or its need, the adapter's differences or its emulator cannot be used.
    """
    if isinstance(adapter, str):
        adapter = load_adapter(adapter)
    if isinstance(scenario, str):
        every = load_scenarios()
        if scenario not in every:
            raise UsageError(f"there is no scenario {scenario!r}", remedy="dragoman conformance --list names all")
        scenario = every[scenario]
    if differences is None:
        differences = differences_of(adapter)
    mine = [one for one in differences if one.scenario == scenario.name]
    try:
        check(mine, {scenario.name: scenario}, FILE)
    except DifferenceError as error:
        return Result(adapter.name, scenario.name, where, "failed", str(error))
    if not adapter.emulator:
        return Result(adapter.name, scenario.name, where, "not offered", "it ships no emulator")
    if where == "memory":
        from dragoman.runtime.virtual import VirtualRuntime

        with VirtualRuntime(seed=seed) as virtual:
            return virtual.run(play(virtual, adapter, scenario, mine, where=where, state_dir="/state", seed=seed))
    if state_dir is None:
        raise UsageError("on loopback tokens are kept in files", remedy="name a folder for them: state_dir")
    from dragoman.runtime.loops import run as run_loop
    from dragoman.runtime.real import RealRuntime

    runtime = RealRuntime()
    try:
        return run_loop(play(runtime, adapter, scenario, mine, where=where, state_dir=state_dir, seed=seed))
    finally:
        runtime.close()


async def play(
    runtime: Runtime,
    adapter: Adapter,
    scenario: Scenario,
    differences: Sequence[Difference],
    *,
    where: Where,
    state_dir: str,
    seed: int = 7,
) -> Result:
    """Play one scenario on a runtime: what `run` does, for callers that have a loop of their own."""

    def result(status: Status, detail: str = "", step: Step | None = None) -> Result:
        line, text = (step.number, step.text) if step else (0, "")
        return Result(adapter.name, scenario.name, where, status, detail, line, text)

    virtual = where == "memory"
    patience_s = PATIENCE_S if virtual else LOOPBACK_PATIENCE_S
    whole = next((one for one in differences if one.fails), None)
    by_line = {one.line: one for one in differences if one.line}
    step: Step | None = None
    try:
        async with (
            asyncio.timeout(LONGEST_S if virtual else LOOPBACK_LONGEST_S),
            staged(runtime, adapter, state_dir=state_dir, seed=seed, patience_s=patience_s) as stage,
        ):
            if reason := missing(scenario.needs, adapter, stage.emulator):
                if differences:
                    return result("failed", f"a difference is declared, but it is not offered anyway: {reason}")
                return result("not offered", reason)
            for step in scenario.steps:
                await _step(stage, step, by_line.get(step.text))
            step = None
            _at_the_end(stage, scenario)
    except NotOfferedError as reason:
        return result("not offered", str(reason))
    except MismatchError as mismatch:
        if whole is not None and whole.fails in str(mismatch):
            return result("differs", whole.reason)
        return result("failed", str(mismatch), step)
    except TimeoutError:
        return result("failed", "it does not end", step)
    except UsageError:
        raise
    except Exception as error:  # noqa: BLE001 - adapters and emulators are third-party code
        return result("failed", f"{type(error).__name__}: {error}", step)
    if whole is not None:
        return result("failed", f"the declared difference is gone: it does not fail with {whole.fails!r} any more")
    if by_line:
        return result("differs", "; ".join(one.reason for one in by_line.values()))
    return result("passed")


async def _step(stage: Stage, step: Step, difference: Difference | None) -> None:
    """Play a step, and where a difference is declared for it, see that it is still there."""
    if difference is None:
        await _played(stage, step)
        return
    patience_s = stage.patience_s
    try:
        stage.patience_s = min(patience_s, TRIED_S)
        await _played(stage, step)
    except MismatchError:
        stage.patience_s = patience_s
        for instead in difference.instead:
            await _played(stage, instead)
        return
    raise MismatchError("the declared difference is gone: the line holds as it stands")


async def _played(stage: Stage, step: Step) -> None:
    try:
        await step.play(stage)
    except VenueRejectError as refused:
        raise MismatchError(f"the venue takes no part in this: {refused}") from refused
    except DragomanError as error:
        stage.watch.errors.append(error)
        if error.kind not in step.fails:
            wanted = f", expected {'|'.join(step.fails)}" if step.fails else ""
            raise MismatchError(f"{type(error).__name__} {error.kind}: {error}{wanted}") from error
        return
    if step.fails and not step.may:
        raise MismatchError(f"it succeeded, expected {'|'.join(step.fails)}")


_CLEAN: Final[Sequence[tuple[str, tuple[str, ...], str]]] = (
    ("handler_errors", ("handler_errors",), ""),
    ("orders.unknown_status", ("orders", "unknown_status"), "unknown words"),
    ("orders.fill_conflicts", ("orders", "fill_conflicts"), ""),
    ("orders.id_conflicts", ("orders", "id_conflicts"), ""),
    ("orders.no_id", ("orders", "no_id"), ""),
    ("unconverted", ("unconverted",), ""),
)
"""What must be 0 at the end of every scenario, and the word with which a scenario allows it."""


_TROUBLES: Final = frozenset(("acts", "faults", "processes"))
"""The steps that make something go wrong, by their modules."""


def _at_the_end(stage: Stage, scenario: Scenario) -> None:
    """Look at what no scenario says because every one means it."""
    found = leaks(stage.secrets, stage.shown())
    if found:
        raise MismatchError(f"a secret of the account stands in {found[0]}")
    if stage.host.counters.emulator_errors and "emulator errors" not in scenario.allows:
        raise MismatchError(f"the emulator failed {stage.host.counters.emulator_errors} times; its log says how")
    missed = [one for one in stage.watch.events if isinstance(one, OrderAlert) and one.code == "MISSED_UPDATE"]
    if missed and not any(step.verb.play.__module__.rpartition(".")[2] in _TROUBLES for step in scenario.steps):
        raise MismatchError(f"nothing went wrong, and yet: {missed[0].text}")
    raw = [event for event in stage.watch.events if isinstance(event, Raw)]
    if raw and "raw events" not in scenario.allows:
        raise MismatchError(f"messages of a kind the adapter does not read: {raw[0].kind!r}")
    if not stage.connected:
        return
    counters: Any = stage.client.counters()
    for name, path, allowed in _CLEAN:
        value = counters
        for key in path:
            value = value[key]
        if value and allowed not in scenario.allows:
            raise MismatchError(f"counter {name} is {value} {counters['unknown_words'] or ''}".rstrip())
    for name, stream in counters["streams"].items():
        errors = stream.get("decoder", {}).get("errors", 0)
        if errors and "decode errors" not in scenario.allows:
            raise MismatchError(f"{errors} frames of stream {name} could not be read")
