"""The driver performs effects, sends nothing twice that changes something, and never hides an open outcome."""

from __future__ import annotations

import asyncio
import gc
import os
from dataclasses import replace

import pytest

from dragoman.errors import (
    AccountBusy,
    AuthRequired,
    DecodeError,
    Effect,
    ErrorKind,
    NotSent,
    OutcomeUnknown,
    Rejected,
    StaleData,
    Throttled,
    UsageError,
)
from dragoman.plugin import All, Download, Part, Prompt, Redirect, Reply, Request, Wait
from dragoman.runtime.virtual import VirtualRuntime
from reference.session_toys import OK, Rig, ToyAdapter, get, post


def play(flow, steps=(), *, adapter=None, seed=1, **more):
    """Run one flow over scripted replies; return (result or error, rig)."""
    with VirtualRuntime(seed=seed) as runtime:
        rig = Rig(runtime, steps, adapter=adapter)

        async def main():
            try:
                return await rig.run(flow, **more)
            except Exception as error:  # noqa: BLE001 - the tests look at whatever came out
                return error

        return runtime.run(main()), rig


# -- one request -------------------------------------------------------------------------------------------------------


def test_a_request_leaves_as_final_bytes_signed_last():
    flow = post(form=(("symbol", "M&M"), ("note", "a b+é")), query=(("q", "a b/c"),), path="/orders/x y")
    result, rig = play(flow, [OK])
    sent = rig.http.sent[0]
    assert result == "1"
    assert sent.body == b"symbol=M%26M&note=a+b%2B%C3%A9"
    assert sent.target == "/v1/orders/x%20y?q=a%20b%2Fc"
    headers = dict(sent.headers)
    assert headers["Authorization"] == "token canary-token-77"
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert headers["X-Signature"].startswith(f"{len(sent.body)}:")
    assert headers["X-Toy-Version"] == "1"


def test_a_json_body_is_compact_and_unsigned_requests_carry_no_token():
    _, rig = play(post(form=None, json={"a": [1, 2]}, auth=False), [OK])
    assert rig.http.sent[0].body == b'{"a":[1,2]}'
    assert dict(rig.http.sent[0].headers)["Content-Type"] == "application/json"
    assert "Authorization" not in dict(rig.http.sent[0].headers)


def test_two_bodies_an_unknown_host_an_unknown_meter_and_plain_http_send_nothing():
    for flow in (
        post(json={}),
        post(host="files"),
        post(meter="nothing"),
        get(url="http://api.toy.example/x"),
        post(via="socket", correlation="7"),
    ):
        error, rig = play(flow, [])
        assert isinstance(error, (UsageError, NotSent)), error
        assert error.effect is Effect.NONE
        assert rig.http.sent == []


def test_authorize_comes_after_the_limiter_so_stamps_are_fresh_and_in_order():
    with VirtualRuntime() as runtime:
        rig = Rig(runtime, [OK] * 5)

        async def main():
            await asyncio.gather(*(rig.run(post()) for _ in range(5)))

        runtime.run(main())
        sent = rig.adapter.stamps
        assert sent == sorted(sent)
        assert sent[-1] - sent[0] >= 2_000_000_000  # five through a door of two a second


def test_a_nonce_written_into_the_body_while_signing_is_in_the_bytes_that_leave():
    class Inside(ToyAdapter):
        def authorize(self, request, body, ctx):
            return replace(request, form=(*request.form, ("nonce", str(ctx.nonce()))))

    _, rig = play(post(), [OK], adapter=Inside())
    assert rig.http.sent[0].body.startswith(b"qty=1&nonce=17")


def test_an_adapter_that_fails_while_signing_sends_nothing_and_costs_no_limit():
    class Broken(ToyAdapter):
        def authorize(self, request, body, ctx):
            raise KeyError("api_key")

    error, rig = play(post(), [OK], adapter=Broken())
    assert isinstance(error, UsageError)
    assert isinstance(error.__cause__, KeyError)
    assert rig.http.sent == []
    assert rig.limiter.state()["orders/1s"]["used"] == 0


# -- failures and what they mean ---------------------------------------------------------------------------------------

MATRIX = [
    # step, class for an order, class for a read, tries of a read
    ("refused", NotSent, NotSent, 3),
    ("lost", OutcomeUnknown, StaleData, 3),
    ("timeout", OutcomeUnknown, StaleData, 3),
    ((500, b"<html>oops</html>"), OutcomeUnknown, StaleData, 3),
    ((200, b""), OutcomeUnknown, StaleData, 3),
    ((200, b'{"ok": tr'), OutcomeUnknown, StaleData, 3),
    ((200, {"fine": 1}), OutcomeUnknown, StaleData, 3),
    ((200, [1, 2]), OutcomeUnknown, StaleData, 3),
    ((502, {"error": "down"}), OutcomeUnknown, StaleData, 3),
    ((400, {"error": "never heard of"}), OutcomeUnknown, StaleData, 3),
    ((429, b"slow down"), Throttled, Throttled, 1),
    ((429, {"error": "slow"}), Throttled, Throttled, 1),
    ((400, {"error": "margin"}), Rejected, Rejected, 1),
    ((403, {"error": "ip"}), AuthRequired, AuthRequired, 1),
    ((403, {"error": "expired"}), AuthRequired, AuthRequired, 1),
]


@pytest.mark.parametrize(("step", "expected"), [(row[0], row[1]) for row in MATRIX])
def test_a_mutating_request_is_sent_once_whatever_comes_back(step, expected):
    error, rig = play(post(), [step] * 5)
    assert type(error) is expected
    assert error.broker == "toy"
    assert len(rig.http.sent) <= 1
    assert len(rig.http.steps) == 4
    assert (error.effect is Effect.UNKNOWN) == (expected is OutcomeUnknown)


@pytest.mark.parametrize(("step", "expected", "tries"), [(row[0], row[2], row[3]) for row in MATRIX])
def test_a_read_is_tried_at_most_three_times_and_changes_nothing(step, expected, tries):
    error, rig = play(get(), [step] * 5)
    assert type(error) is expected
    assert error.effect is Effect.NONE
    assert 5 - len(rig.http.steps) == tries


def test_a_read_that_recovers_returns_its_reply():
    result, rig = play(get(), ["lost", "refused", OK])
    assert result["id"] == "1"
    assert rig.driver.retries == 2


def test_retries_stay_inside_the_deadline():
    error, rig = play(get(), ["lost"] * 5, timeout_s=0.011)
    assert isinstance(error, StaleData)
    assert len(rig.http.sent) == 1


def test_what_never_left_costs_no_limit_and_what_may_have_left_does():
    _, refused = play(post(), ["refused"])
    _, lost = play(post(), ["lost"])
    assert refused.limiter.state()["orders/1s"]["used"] == 0
    assert lost.limiter.state()["orders/1s"]["used"] == 1


def test_a_code_named_as_an_answer_reaches_the_flow():
    def ask():
        reply = yield Request(path="/q", answers=frozenset(("margin",)))
        return reply.code, reply.json["error"]

    result, _ = play(ask(), [(400, {"error": "margin"})])
    assert result == ("margin", "margin")


def test_an_error_is_thrown_into_the_flow_where_it_can_be_handled():
    def patient():
        try:
            yield Request(path="/a")
        except Rejected as error:
            reply = yield Request(path="/b")
            return error.code, reply.json["id"]

    result, _ = play(patient(), [(400, {"error": "margin"}), OK])
    assert result == ("margin", "1")


def test_secrets_in_the_brokers_words_do_not_reach_the_error():
    error, rig = play(post(), [(400, {"error": "margin", "text": "bad token canary-token-77 given"})])
    assert rig.ctx.login["access_token"].reveal() == "canary-token-77"
    assert error.text == "bad token *** given"
    assert "canary" not in str(error) + repr(error) + repr(vars(error))


def test_only_the_death_of_the_session_is_told_and_with_its_generation():
    _, dead = play(get(), [(403, {"error": "expired"})])
    _, alive = play(get(), [(403, {"error": "ip"})])
    _, login = play(get(auth=False), [(403, {"error": "expired"})])
    assert [generation for _, generation in dead.auth_failures] == [dead.ctx.generation]
    assert alive.auth_failures == login.auth_failures == []


def test_unknown_codes_are_counted():
    _, rig = play(post(), [(400, {"error": "never heard of"})])
    assert rig.sender.counters.unmapped == 1
    assert rig.sender.counters.failures == {ErrorKind.UNMAPPED: 1}


# -- an open outcome is never hidden -----------------------------------------------------------------------------------


def place_then_read():
    reply = yield Request(method="POST", path="/orders", mutates=True, meter="orders")
    detail = yield Request(path=f"/orders/{reply.json['id']}")
    return detail.json


@pytest.mark.parametrize(
    "step", ["lost", "refused", (400, {"error": "margin"}), (403, {"error": "expired"}), (429, {"error": "slow"})]
)
def test_a_read_that_fails_after_an_order_left_makes_the_outcome_unknown(step):
    error, rig = play(place_then_read(), [OK, step, step, step])
    assert type(error) is OutcomeUnknown
    assert error.effect is Effect.UNKNOWN
    assert sum(request.method == "POST" for request in rig.http.sent) == 1


def test_a_reply_to_an_order_that_cannot_be_used_makes_the_outcome_unknown():
    error, _ = play(post(), [(200, {"ok": True})])
    assert type(error) is OutcomeUnknown
    assert error.kind is ErrorKind.BAD_RESPONSE
    assert isinstance(error.__cause__, KeyError)


def test_a_reply_to_a_read_that_cannot_be_used_is_a_decode_error():
    def flow():
        reply = yield Request(path="/x")
        return reply.json["data"]["missing"]

    error, _ = play(flow(), [OK])
    assert type(error) is DecodeError


def test_a_defect_of_the_adapter_before_anything_was_read_shows_as_it_is():
    def flow():
        raise ZeroDivisionError
        yield

    error, _ = play(flow())
    assert type(error) is ZeroDivisionError


def test_what_an_adapter_reads_from_the_reply_itself_is_believed():
    def flow():
        reply = yield Request(method="POST", path="/orders", mutates=True, meter="orders")
        raise Rejected(f"the reply says no: {reply.json['id']}")

    error, _ = play(flow(), [OK])
    assert type(error) is Rejected


@pytest.mark.parametrize("raised", [UsageError, NotSent, Throttled, StaleData, AccountBusy])
def test_no_error_of_a_flow_says_that_nothing_left_once_an_order_did(raised):
    def flow():
        yield Request(method="POST", path="/orders", mutates=True, meter="orders")
        raise raised("nothing was sent")

    error, _ = play(flow(), [OK])
    assert type(error) is OutcomeUnknown
    assert (error.effect, type(error.__cause__)) == (Effect.UNKNOWN, raised)


@pytest.mark.parametrize("step", ["refused", (400, {"error": "margin"})])
def test_a_second_order_that_is_refused_does_not_hide_the_first(step):
    def flow():
        yield from post()
        yield from post()

    error, _ = play(flow(), [OK, step])
    assert type(error) is OutcomeUnknown


def test_a_refusal_is_believed_only_from_the_reply_itself():
    def flow():
        yield from place_then_read()
        raise Rejected("the book does not show it")

    error, _ = play(flow(), [OK, OK])
    assert type(error) is OutcomeUnknown


def test_waiting_past_the_deadline_after_an_order_left_is_unknown_and_before_is_not():
    def flow(first):
        if first:
            yield Request(method="POST", path="/orders", mutates=True, meter="orders")
        yield Wait(60.0, reason="settling")

    after, rig = play(flow(True), [OK], timeout_s=5.0)
    before, _ = play(flow(False), timeout_s=5.0)
    assert (type(after), type(before)) == (OutcomeUnknown, StaleData)
    assert len(rig.http.sent) == 1


# -- cancelling --------------------------------------------------------------------------------------------------------


def test_a_cancelled_caller_detaches_from_an_order_that_left():
    with VirtualRuntime() as runtime:
        rig = Rig(runtime, [OK])
        seen = []

        def flow():
            reply = yield Request(method="POST", path="/orders", mutates=True, meter="orders")
            seen.append(reply.json["id"])

        async def main():
            task = runtime.spawn(rig.run(flow()), name="caller")
            await runtime.sleep(0.005)  # in the middle of the round trip
            task.cancel()
            await asyncio.wait((task,))
            assert task.cancelled()
            assert seen == []
            await runtime.sleep(1)

        runtime.run(main())
        assert seen == ["1"]
        assert rig.driver.detached == 1


def test_a_cancelled_read_that_the_close_overtakes_is_not_reported_as_lost():
    with VirtualRuntime() as runtime:
        rig = Rig(runtime, [OK])

        def flow():
            yield Request(path="/read")

        async def main():
            task = runtime.spawn(rig.run(flow()), name="caller")
            await runtime.sleep(0.005)
            task.cancel()
            await rig.driver.close()
            del task
            gc.collect()
            await runtime.sleep(1)

        runtime.run(main())
        assert runtime.loop.unhandled == []


def test_a_cancelled_caller_takes_a_read_and_a_waiting_order_with_it():
    with VirtualRuntime() as runtime:
        rig = Rig(runtime, [OK] * 9)
        closed = []

        def flow(request):
            try:
                yield request
            finally:
                closed.append(request.path)

        async def main():
            for _ in range(2):
                await rig.run(post())
            waiting = Request(method="POST", path="/late", mutates=True, meter="orders")
            tasks = [runtime.spawn(rig.run(flow(r)), name="caller") for r in (Request(path="/read"), waiting)]
            await runtime.sleep(0.005)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await runtime.sleep(5)

        runtime.run(main())
        assert sorted(closed) == ["/late", "/read"]
        assert [request.target for request in rig.http.sent] == ["/v1/orders", "/v1/orders", "/v1/read"]


def test_closing_lets_a_sent_order_find_its_outcome_and_refuses_new_flows():
    with VirtualRuntime() as runtime:
        rig = Rig(runtime, [OK, OK])

        async def main():
            order = rig.driver.start(post(), timeout_s=5)
            read = rig.driver.start(get(), timeout_s=5)
            await runtime.sleep(0.005)
            await rig.driver.close()
            with pytest.raises(NotSent):
                await read
            assert await order == "1"
            with pytest.raises(NotSent):
                await rig.run(get())

        runtime.run(main())


def test_closing_does_not_wait_for_ever_and_says_the_outcome_is_unknown():
    with VirtualRuntime() as runtime:

        async def never():
            await asyncio.Event().wait()

        rig = Rig(runtime, [never])

        async def main():
            order = rig.driver.start(post(), timeout_s=60)
            await runtime.sleep(0.1)
            before = runtime.clock.mono_ns()
            await rig.driver.close(timeout_s=2)
            assert runtime.clock.mono_ns() - before <= 2_100_000_000
            with pytest.raises(OutcomeUnknown):
                await order

        runtime.run(main())


# -- the journal -------------------------------------------------------------------------------------------------------


def test_the_journal_is_written_before_the_first_byte_and_only_for_mutating_requests():
    with VirtualRuntime() as runtime:
        rig = Rig(runtime, [OK, OK])
        order = []

        async def journal(request):
            await runtime.sleep(0.1)
            order.append((request.method, len(rig.http.sent)))

        async def main():
            await rig.run(post(), before_send=journal)
            await rig.run(get(), before_send=journal)

        runtime.run(main())
        assert order == [("POST", 0)]


def test_a_failed_journal_sends_nothing():
    async def journal(request):
        raise StaleData("disk full")

    error, rig = play(post(), [OK], before_send=journal)
    assert type(error) is StaleData
    assert rig.http.sent == []
    assert rig.limiter.state()["orders/1s"]["used"] == 0


def test_a_journal_that_does_not_end_is_waited_for_no_longer_than_the_deadline():
    with VirtualRuntime(seed=1) as runtime:
        rig = Rig(runtime, [OK])
        forever = runtime.loop.create_future()

        async def main():
            before = runtime.clock.mono_ns()
            with pytest.raises(NotSent, match="journal"):
                await rig.run(post(), timeout_s=5.0, before_send=lambda request: forever)
            return runtime.clock.mono_ns() - before

        assert runtime.run(main()) == 5_000_000_000
        assert rig.http.sent == []
        assert rig.limiter.state()["orders/1s"]["used"] == 0


def test_a_read_only_run_refuses_what_changes_something():
    error, rig = play(post(), [OK], allow_mutates=False)
    assert isinstance(error, UsageError)
    assert "read-only" in str(error)
    assert rig.http.sent == []


# -- the other effects -------------------------------------------------------------------------------------------------


def test_all_returns_replies_in_order_with_bounded_concurrency():
    running, most = 0, 0

    def flow(n):
        replies = yield All([Request(path=f"/q/{i}") for i in range(n)])
        return [reply.json["id"] for reply in replies]

    with VirtualRuntime(seed=3) as runtime:

        def answer(i):
            async def step():
                nonlocal running, most
                running += 1
                most = max(most, running)
                await runtime.sleep(0.1 * (20 - i))
                running -= 1
                return 200, {"ok": True, "id": i}

            return step

        rig = Rig(runtime, [answer(i) for i in range(20)])
        assert runtime.run(rig.run(flow(20), timeout_s=60)) == list(range(20))
        assert runtime.run(rig.run(flow(0))) == []
    assert 1 < most <= 8


def test_all_fails_with_the_first_error_and_takes_no_mutating_request():
    def flow(**more):
        yield All([Request(path="/a"), Request(path="/b", **more)])

    error, _ = play(flow(), [(400, {"error": "margin"}), OK])
    assert type(error) is Rejected
    refused, rig = play(flow(mutates=True), [OK, OK])
    assert isinstance(refused, UsageError)
    assert rig.http.sent == []


class Lines:
    def __init__(self):
        self.rest = b""

    def feed(self, data):
        *lines, self.rest = (self.rest + data).split(b"\n")
        return lines

    def close(self):
        if self.rest:
            raise DecodeError("the body broke off inside a row")
        return []


def download():
    done = yield Download(Request(path="/master"), Lines())
    return done.rows, done.bytes


def test_a_download_hands_out_rows_as_they_come():
    rows = []
    result, _ = play(download(), [(200, b"one\ntwo\nthree\n")], on_rows=rows.extend)
    assert result == (3, 14)
    assert rows == [b"one", b"two", b"three"]


def test_a_download_that_breaks_off_or_fails_is_a_typed_error():
    torn, _ = play(download(), [(200, b"one\ntw")])
    assert type(torn) is DecodeError
    refused, _ = play(download(), [(403, {"error": "expired"})])
    assert type(refused) is AuthRequired


def test_a_download_starts_again_only_while_no_byte_came():
    result, rig = play(download(), ["refused", (200, b"one\n")])
    assert result == (1, 4)
    assert len(rig.http.sent) == 1


def test_an_error_of_the_callers_row_handler_comes_out_as_it_is():
    def broken(rows):
        raise LookupError("mine")

    error, _ = play(download(), [(200, b"one\n")], on_rows=broken)
    assert type(error) is LookupError


def test_parts_reach_the_caller_at_once_with_progress():
    rows, progress = [], []

    def flow():
        for page in range(3):
            reply = yield Request(path=f"/{page}")
            yield Part([reply.json["id"]], done=page + 1, total=3)
        return "done"

    result, _ = play(flow(), [OK] * 3, on_rows=rows.extend, on_progress=lambda *seen: progress.append(seen))
    assert result == "done"
    assert rows == ["1", "1", "1"]
    assert progress == [(1, 3), (2, 3), (3, 3)]


def test_wait_lets_time_pass_relative_and_until():
    with VirtualRuntime() as runtime:
        rig = Rig(runtime)

        def flow():
            yield Wait(2.0)
            yield Wait(until_ns=start + 5_000_000_000)
            yield Wait(until_ns=start)

        start = runtime.clock.wall_ns()
        runtime.run(rig.run(flow()))
        assert runtime.clock.wall_ns() - start == 5_000_000_000


def test_prompts_and_redirects_reach_the_human_or_say_that_nobody_is_there():
    def flow():
        typed = yield Prompt("totp", "code")
        back = yield Redirect("https://x")
        return typed, back

    async def redirect(effect):
        return {"code": "c"}

    result, _ = play(flow(), prompt=lambda kind, text, secret: f"{kind}-123456", redirect=redirect)
    assert result == ("totp-123456", {"code": "c"})
    error, _ = play(flow())
    assert isinstance(error, UsageError)


def test_a_reply_that_is_no_effect_is_named():
    def flow():
        yield Reply(200, {}, b"")

    error, _ = play(flow())
    assert isinstance(error, TypeError)
    assert "Reply" in str(error)


def test_latencies_are_kept_by_meter_in_bounded_memory():
    with VirtualRuntime() as runtime:
        rig = Rig(runtime, [OK] * 30)

        async def main():
            for _ in range(20):
                await rig.run(get())

        runtime.run(main())
        metrics = rig.sender.metrics
        summary = metrics.round_trips()["default"]
        assert summary["count"] == 20
        assert summary["p50_us"] == summary["p99_us"] == pytest.approx(10_000)
        kept = metrics.phase("default", "first_byte")
        size = kept.nbytes
        for _ in range(5000):
            kept.record(1000)
        assert metrics.round_trips()["default"]["p50_us"] == pytest.approx(1, rel=0.01)
        assert kept.nbytes == size


def test_the_same_seed_retries_at_the_same_times():
    def trace(seed):
        with VirtualRuntime(seed=seed) as runtime:
            rig = Rig(runtime, ["lost"] * 3)

            async def main():
                with pytest.raises(StaleData):
                    await rig.run(get())

            runtime.run(main())
            return runtime.clock.mono_ns()

    assert trace(1) == trace(1)
    assert len({trace(seed) for seed in range(8)}) > 4  # the jitter is real


def test_after_a_fork_nothing_is_sent_over_the_parents_connections(monkeypatch):
    with VirtualRuntime() as runtime:
        rig = Rig(runtime, [OK])
        owner = os.getpid()

        async def main():
            monkeypatch.setattr("dragoman.runtime.process._pid", owner + 1)
            with pytest.raises(UsageError, match="after the fork"):
                await rig.run(get())

        runtime.run(main())
        assert rig.sender.counters.requests == 0
