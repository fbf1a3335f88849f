"""What goes wrong with one act, a place, modify or cancel, while whatever is read goes right; or the reverse."""

from __future__ import annotations

from dragoman.testing.conformance.grammar import step
from dragoman.testing.conformance.stage import Stage


def _next(stage: Stage, fault: str) -> None:
    stage.fault(f"{fault}@WRITE*1")


@step("the next act answers <status:count>")
async def answers(stage: Stage, status: int) -> None:
    """The next call that changes something is not processed and answered with the broker's own error body."""
    _next(stage, f"http:{status}")


@step("the next act answers a page <status:count>")
async def answers_page(stage: Stage, status: int) -> None:
    """It is not processed and answered with an HTML page."""
    _next(stage, f"html:{status}")


@step("the next act answers nothing")
async def answers_nothing(stage: Stage) -> None:
    """It is not processed and answered 200 without a body."""
    _next(stage, "empty:200")


@step("the next act is lost")
async def lost(stage: Stage) -> None:
    """It arrives, and nothing comes of it."""
    _next(stage, "drop_request")


@step("the next act is reset")
async def reset(stage: Stage) -> None:
    """Its connection is reset before it is processed."""
    _next(stage, "reset_request")


@step("the next act is redirected")
async def redirected(stage: Stage) -> None:
    """It is answered with the address of another host."""
    _next(stage, "redirect")


@step("the next act waits <time:seconds> in the queue")
async def waits(stage: Stage, time: float) -> None:
    """It is never answered, and processed so much later, when nobody waits for it any more."""
    _next(stage, f"hold={time:.0f}s")


@step("the next act takes <time:seconds>")
async def slow(stage: Stage, time: float) -> None:
    """It is processed so much later, while the caller waits."""
    _next(stage, f"delay={time * 1000:.0f}ms")


@step("the next act is done but answered <time:seconds> late")
async def late(stage: Stage, time: float) -> None:
    """It is processed at once; its reply comes so much later."""
    _next(stage, f"delay_reply={time * 1000:.0f}ms")


@step("the next act is done but never answered")
async def never_answered(stage: Stage) -> None:
    """It is processed; its reply is lost."""
    _next(stage, "drop_reply")


@step("the next act is done but reset")
async def done_but_reset(stage: Stage) -> None:
    """It is processed, then its connection is reset."""
    _next(stage, "reset_reply")


@step("the next act is done but answers <status:count>")
async def done_but_fails(stage: Stage, status: int) -> None:
    """It is processed, and answered with the broker's own error body all the same."""
    _next(stage, f"late_http:{status}")


@step("the next act is done but answers a page <status:count>")
async def done_but_page(stage: Stage, status: int) -> None:
    """It is processed, and answered with an HTML page."""
    _next(stage, f"late_html:{status}")


@step("the next act is done but answers nothing")
async def done_but_nothing(stage: Stage) -> None:
    """It is processed, and answered 200 without a body."""
    _next(stage, "late_empty:200")


@step("the next act is done but its reply is cut short")
async def cut(stage: Stage) -> None:
    """It is processed; half of its reply arrives."""
    _next(stage, "truncate_reply")


@step("reads answer <status:count>")
async def reads_answer(stage: Stage, status: int) -> None:
    """From now on nothing can be read: every call that reads is answered with an error."""
    stage.fault(f"http:{status}@GET")


@step("reads are lost")
async def reads_lost(stage: Stage) -> None:
    """From now on no call that reads is answered."""
    stage.fault("drop_request@GET")


@step("every call takes <time:seconds>")
async def all_slow(stage: Stage, time: float) -> None:
    """From now on the broker is slow."""
    stage.fault(f"delay={time * 1000:.0f}ms")
