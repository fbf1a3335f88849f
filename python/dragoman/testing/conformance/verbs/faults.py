"""What goes wrong between the two sides; `dragoman.emulator.faults` plays it."""

from __future__ import annotations

from dragoman.testing.conformance.grammar import step
from dragoman.testing.conformance.stage import MismatchError, Stage


@step("the next call answers <status:count>")
async def answers(stage: Stage, status: int) -> None:
    """The next HTTP call is not processed and answered with the broker's own error body."""
    stage.fault(f"http:{status}*1")


@step("the next <count:count> calls answer <status:count>")
async def all_answer(stage: Stage, count: int, status: int) -> None:
    """So are the next several."""
    stage.fault(f"http:{status}*{count}")


@step("the next call answers a page <status:count>")
async def answers_page(stage: Stage, status: int) -> None:
    """The next HTTP call is answered with an HTML page instead."""
    stage.fault(f"html:{status}*1")


@step("the next call answers nothing")
async def answers_nothing(stage: Stage) -> None:
    """The next HTTP call is answered 200 without a body."""
    stage.fault("empty:200*1")


@step("the next call is done but answers <status:count>")
async def late_answer(stage: Stage, status: int) -> None:
    """The next HTTP call is processed, and answered with an error all the same."""
    stage.fault(f"late_http:{status}*1")


@step("the next call is done but answers a page")
async def late_page(stage: Stage) -> None:
    """The next HTTP call is processed, and answered with an HTML page."""
    stage.fault("late_html:502*1")


@step("the next call is done but never answered")
async def never_answered(stage: Stage) -> None:
    """The next HTTP call is processed; its reply is lost."""
    stage.fault("drop_reply*1")


@step("the next call is lost")
async def lost(stage: Stage) -> None:
    """The next HTTP call arrives, and nothing comes of it."""
    stage.fault("drop_request*1")


@step("the next call is reset")
async def reset(stage: Stage) -> None:
    """The connection of the next HTTP call is reset before it is processed."""
    stage.fault("reset_request*1")


@step("the next call is done but reset")
async def done_but_reset(stage: Stage) -> None:
    """The next HTTP call is processed, then its connection is reset."""
    stage.fault("reset_reply*1")


@step("the next reply is cut short")
async def cut(stage: Stage) -> None:
    """The next HTTP call is processed; half of its reply arrives."""
    stage.fault("truncate_reply*1")


@step("the next call takes <time:seconds>")
async def slow(stage: Stage, time: float) -> None:
    """The next HTTP call is processed so much later."""
    stage.fault(f"delay={time * 1000:.0f}ms*1")


@step("the connections are dropped")
async def dropped(stage: Stage) -> None:
    """Every open socket is reset; new ones are taken."""
    stage.fault(f"reset_socket*{max(1, stage.host.open_sockets)}")
    before = stage.host.open_sockets

    def look() -> str:
        return "" if stage.host.open_sockets < before or before == 0 else "no socket was dropped"

    await stage.until(look)


@step("the connections are dropped and refused")
async def dropped_for_good(stage: Stage) -> None:
    """Every open socket is reset, and none is taken until the line is healed."""
    stage.fault("reset_socket;refuse_upgrade:503")
    await stage.until(lambda: f"{stage.host.open_sockets} sockets are open" if stage.host.open_sockets else "")


@step("the connections close with <code:count>")
async def closed(stage: Stage, code: int) -> None:
    """The broker closes every open socket with a code; new ones are taken."""
    before = max(1, stage.host.open_sockets)
    stage.fault(f"close_socket:{code}*{before}")
    await stage.until(lambda: "" if stage.host.open_sockets < before else "no socket was closed")


@step("the connections fall silent")
async def mute(stage: Stage) -> None:
    """Nothing is pushed on the sockets that are open, but pings are answered."""
    stage.fault(f"mute_socket*{max(1, stage.host.open_sockets)}")


@step("frames come twice")
async def twice(stage: Stage) -> None:
    """Every pushed frame comes twice."""
    stage.fault("dup_frames")


@step("frames overtake each other")
async def reordered(stage: Stage) -> None:
    """Half of the pushed frames come after the one behind them."""
    stage.fault("reorder_frames=0.5")


@step("frames are lost")
async def frames_lost(stage: Stage) -> None:
    """No pushed frame arrives."""
    stage.fault("drop_frames")


@step("frames are cut short")
async def frames_cut(stage: Stage) -> None:
    """Half of the pushed frames lose their end."""
    stage.fault("truncate_frames=0.5")


@step("frames come in pieces")
async def fragments(stage: Stage) -> None:
    """Every pushed frame comes in several pieces."""
    stage.fault("fragment_frames")


@step("frames come <time:seconds> late")
async def late(stage: Stage, time: float) -> None:
    """Pushed frames come late, in their order."""
    stage.fault(f"delay_frames={time * 1000:.0f}ms")


@step("a frame that is no text comes")
async def bad_text(stage: Stage) -> None:
    """One text frame of each socket is not UTF-8."""
    stage.fault(f"bad_utf8*{max(1, stage.host.open_sockets)}")


@step("the line heals")
async def heal(stage: Stage) -> None:
    """Nothing goes wrong any more."""
    stage.host.faults.clear()


@step("note the calls")
async def note_calls(stage: Stage) -> None:
    """Remember how many HTTP calls and messages the broker's side has seen."""
    stage.asked["calls"] = (stage.host.counters.requests, stage.host.counters.messages)


@step("expect nothing was sent")
async def expect_nothing_sent(stage: Stage) -> None:
    """The broker's side has seen no call and no message since they were noted."""
    expect_since(stage, 0)


@step("expect <count:count> calls were sent")
async def expect_sent(stage: Stage, count: int) -> None:
    """How many HTTP calls the broker's side has seen since they were noted."""
    expect_since(stage, count)


@step("expect <least:count> to <most:count> calls were sent")
async def expect_between(stage: Stage, least: int, most: int) -> None:
    """How many HTTP calls the broker's side has seen since they were noted, at least and at most."""
    found = stage.host.counters.requests - stage.asked["calls"][0]
    if not least <= found <= most:
        raise MismatchError(f"{found} calls were sent, expected {least} to {most}")


def expect_since(stage: Stage, count: int) -> None:
    requests, messages = stage.asked["calls"]
    found = stage.host.counters.requests - requests
    sent = stage.host.counters.messages - messages
    if found != count or (count == 0 and sent):
        raise MismatchError(f"{found} calls and {sent} messages were sent, expected {count} calls")
