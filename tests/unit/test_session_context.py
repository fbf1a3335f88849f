"""Clock, expiry, nonces, credentials, kept tokens: what a session remembers and what it shows to an adapter."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, time

import orjson
import pytest

from dragoman.errors import UsageError
from dragoman.plugin import Session, SessionRules
from dragoman.runtime.virtual import MONDAY_MORNING_NS, VirtualRuntime
from dragoman.session.brokertime import BrokerClock, expiry_ns, http_date_ns
from dragoman.session.context import Nonces, SessionContext
from dragoman.session.profiles import Profile
from dragoman.session.secrets import Secret
from dragoman.session.tokens import TokenCache, default_state_dir, file_name

S = 1_000_000_000
DATE = "Mon, 05 Jan 2026 03:45:00 GMT"
INDIA = SessionRules(time_zone="Asia/Kolkata", expires_at=time(6))


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * S


# -- the broker's clock ------------------------------------------------------------------------------------------------


def observed(*offsets_s: float) -> BrokerClock:
    clock = BrokerClock(VirtualRuntime().clock)
    for offset in offsets_s:
        wall = MONDAY_MORNING_NS - int(offset * S)
        clock.observe(DATE, wall, wall + S // 10)
    return clock


def test_a_clock_that_agrees_within_the_headers_resolution_is_left_alone():
    clock = observed(1.0, 0.4, -0.9, 1.4)
    assert clock.offset_ns == 0
    assert clock.measured_ns is not None


def test_a_clock_that_is_wrong_is_corrected_by_the_median():
    clock = observed(30.0, 31.0, 30.5, -4000.0, 30.2)
    assert clock.offset_ns / S == pytest.approx(30.65, abs=0.4)
    assert clock.now_ns == MONDAY_MORNING_NS + clock.offset_ns


def test_one_or_two_odd_samples_move_nothing():
    assert observed(5000.0, 5000.0).offset_ns == 0
    assert observed(5000.0).measured_ns is not None
    assert observed().measured_ns is None


@pytest.mark.parametrize("date", [None, "", "yesterday", "Mon, 99 Foo 2026", "Mon, 05 Jan 99999 03:45:00 GMT"])
def test_an_unreadable_date_is_no_sample(date):
    clock = BrokerClock(VirtualRuntime().clock)
    clock.observe(date, 1, 2)
    assert clock.measured_ns is None
    assert http_date_ns(date) is None


def test_a_wall_clock_that_stepped_back_during_the_request_is_no_sample():
    clock = BrokerClock(VirtualRuntime().clock)
    clock.observe(DATE, 10, 5)
    assert clock.measured_ns is None


@pytest.mark.parametrize(
    ("login", "end"),
    [
        ("2026-01-05T03:45:00", "2026-01-06T00:30:00"),
        ("2026-01-05T00:29:59", "2026-01-05T00:30:00"),
        ("2026-01-05T00:30:00", "2026-01-06T00:30:00"),
    ],
)
def test_a_session_ends_at_the_next_six_oclock_of_the_broker(login, end):
    assert expiry_ns(INDIA, at(login)) == at(end)


def test_a_day_of_a_clock_change_is_counted_by_the_calendar():
    rules = SessionRules(time_zone="America/New_York", expires_at=time(6))
    assert expiry_ns(rules, at("2026-03-07T15:00:00")) == at("2026-03-08T10:00:00")  # 10:00 to 06:00 is 19 hours
    assert expiry_ns(SessionRules(time_zone="UTC", life_s=60.0), 5 * S) == 65 * S
    assert expiry_ns(SessionRules(time_zone="UTC"), 5 * S) is None


# -- nonces ------------------------------------------------------------------------------------------------------------


def test_nonces_rise_within_a_run_across_restarts_and_when_the_clock_steps_back():
    runtime = VirtualRuntime()
    seen: list[int] = []
    for step in (0.0, -3600.0, 0.0, 0.001):
        runtime.clock.step(step)
        nonces = Nonces(runtime, "/state/n.json")
        seen += [nonces.next() for _ in range(2000)]
    assert seen == sorted(set(seen))
    assert runtime.disk.writes < 20


def test_a_nonce_is_never_below_what_is_on_disk_even_after_a_crash():
    runtime = VirtualRuntime()
    first = Nonces(runtime, "/n").next()
    bound = orjson.loads(runtime.disk.read("/n"))["bound"]
    assert bound > first
    assert Nonces(runtime, "/n").next() > bound


def test_a_damaged_nonce_file_is_refused_not_guessed():
    runtime = VirtualRuntime()
    runtime.disk.write_atomic("/n", b"{")
    with pytest.raises(UsageError, match="damaged"):
        Nonces(runtime, "/n").next()


# -- context -----------------------------------------------------------------------------------------------------------


def context(runtime: VirtualRuntime | None = None, **profile) -> SessionContext:
    runtime = runtime or VirtualRuntime()
    made = Profile(**({"broker": "toy", "name": "main", "environment": "live"} | profile))
    return SessionContext(runtime, made, BrokerClock(runtime.clock), "/state")


def test_login_values_named_secret_are_wrapped_and_the_rest_plain():
    ctx = context()
    session = Session(
        "canary-access", "AC1", {"feed": "canary-feed", "name": "Me", "n": 3}, secrets=frozenset(("feed",))
    )
    ctx.adopt(session)
    assert ctx.login["access_token"].reveal() == "canary-access"
    assert ctx.login["feed"].reveal() == "canary-feed"
    assert (ctx.login["name"], ctx.login["n"], ctx.account, ctx.generation) == ("Me", 3, "AC1", 1)
    assert "canary" not in repr(ctx) + repr(ctx.login) + str(dict(ctx.login)) + repr(session)
    ctx.drop()
    assert dict(ctx.login) == {}
    assert ctx.generation == 2


def test_what_an_adapter_sees_cannot_be_written():
    ctx = context()
    ctx.adopt(Session("canary-access", "AC1", {}))
    with pytest.raises(TypeError):
        ctx.login["access_token"] = "mine"  # type: ignore[index]
    with pytest.raises(AttributeError):
        ctx.account = "other"  # type: ignore[misc]


def test_a_missing_credential_says_how_to_add_it():
    ctx = context()
    ctx.credentials.add("api_key", Secret("canary-key"))
    assert ctx.credentials["api_key"].reveal() == "canary-key"
    assert ctx.credentials.get("other") is None
    assert (len(ctx.credentials), list(ctx.credentials)) == (1, ["api_key"])
    with pytest.raises(UsageError, match=r"credentials\.api_secret"):
        ctx.credentials["api_secret"]
    assert "canary" not in repr(ctx.credentials)


def test_before_a_master_is_loaded_no_instrument_is_known():
    lookup = context().instruments
    assert lookup.get("NSE:INFY") is None
    assert lookup.by_broker_symbol("NSE", "INFY") is None
    assert lookup.by_broker_token("1") is None
    assert lookup.by_handle(0) is None


# -- kept tokens -------------------------------------------------------------------------------------------------------

SESSION = Session(
    "canary-access", "AC1", {"feed": "canary-feed", "n": [1, {"a": None}]}, 1000 * S, frozenset(("feed",))
)


@pytest.fixture
def cache():
    runtime = VirtualRuntime()
    made = TokenCache(runtime, "/state", "toy", "main", "live")
    yield made, runtime.disk
    runtime.close()


def test_a_kept_session_comes_back_as_it_was_until_it_ends(cache):
    tokens, disk = cache
    assert tokens.load(0) is None
    assert tokens.save(SESSION)
    assert disk.mode(tokens.path) == 0o600
    assert tokens.load(999 * S) == SESSION
    assert tokens.load(999 * S, account="AC1") == SESSION
    assert tokens.load(999 * S, account="AC2") is None
    assert tokens.load(1000 * S) is None
    assert not disk.exists(tokens.path)


def test_deleting_forgets(cache):
    tokens, disk = cache
    tokens.save(SESSION)
    tokens.delete()
    assert tokens.load(0) is None
    tokens.delete()
    assert disk.files == {}


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"version":1}',
        b'{"version":2,"broker":"toy","profile":"main","environment":"live"}',
        b'{"version":1,"broker":"toy","profile":"main","environment":"live","account":"A","expires_ns":"x",'
        b'"access_token":"t","values":{},"secrets":[]}',
        b'{"version":1,"broker":"toy","profile":"main","environment":"live","account":1,"expires_ns":1,'
        b'"access_token":"t","values":{},"secrets":[]}',
        b'{"version":1,"broker":"other","profile":"main","environment":"live","account":"A","expires_ns":1,'
        b'"access_token":"t","values":{},"secrets":[]}',
    ],
)
def test_a_damaged_or_foreign_file_is_removed_and_counts_as_absent(cache, damage):
    tokens, disk = cache
    disk.write_atomic(tokens.path, damage)
    assert tokens.load(0) is None
    assert not disk.exists(tokens.path)


def test_every_truncation_of_a_kept_session_counts_as_absent(cache):
    tokens, disk = cache
    tokens.save(SESSION)
    whole = disk.read(tokens.path)
    for length in range(len(whole)):
        disk.write_atomic(tokens.path, whole[:length])
        assert tokens.load(0) is None


def test_a_file_others_could_read_is_not_trusted(cache):
    tokens, disk = cache
    tokens.save(SESSION)
    disk.write_atomic(tokens.path, disk.read(tokens.path), mode=0o644)
    assert tokens.load(0) is None
    assert not disk.exists(tokens.path)


@pytest.mark.parametrize("values", [{"x": object()}, {"when": datetime(2026, 1, 1, tzinfo=UTC)}, {"t": (1, 2)}])
@pytest.mark.logs  # what cannot be kept is said
def test_values_that_would_not_come_back_are_not_kept(cache, values, caplog):
    tokens, disk = cache
    with caplog.at_level(logging.WARNING):
        assert not tokens.save(Session("canary-access", "AC1", values))
    assert not disk.exists(tokens.path)
    assert "canary" not in caplog.text
    assert "not kept" in caplog.text


def test_names_of_files_are_safe_and_distinct():
    assert file_name("toy", "../../etc", "live") == "toy._2e__2e__2f__2e__2e__2f_etc.live"
    assert file_name("a.b", "c") != file_name("a", "b.c")
    assert "canary" not in repr(TokenCache(VirtualRuntime(), "/s", "toy", "main", "live"))


def test_state_lies_where_the_environment_says():
    runtime = VirtualRuntime()
    runtime.env.update(HOME="/home/me")
    assert default_state_dir(runtime) == "/home/me/.local/state/dragoman"
    runtime.env["XDG_STATE_HOME"] = "/x"
    assert default_state_dir(runtime) == "/x/dragoman"
    runtime.env["DRAGOMAN_STATE"] = "/d"
    assert default_state_dir(runtime) == "/d"


def test_without_a_home_no_state_is_kept_where_the_process_happens_to_stand():
    runtime = VirtualRuntime()
    with pytest.raises(UsageError, match="HOME is not set"):
        default_state_dir(runtime)
    runtime.env["HOME"] = "/home/me"
    assert default_state_dir(runtime) == "/home/me/.local/state/dragoman"
