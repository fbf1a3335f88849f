"""Fault rules: what their spec strings mean, what is refused, and when they fire."""

from __future__ import annotations

import pytest

from dragoman.emulator.fault_spec import parse_faults
from dragoman.emulator.faults import FORMS, Action, Fault, Faults, Scope
from dragoman.errors import UsageError

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ("delay=50ms", Fault(Action.DELAY, value=0.05)),
        ("delay_reply=1.5s@POST /orders", Fault(Action.DELAY_REPLY, value=1.5, method="POST", path="/orders")),
        ("http:503@/orders*2", Fault(Action.HTTP, code=503, path="/orders", count=2)),
        ("429@/quote*3", Fault(Action.HTTP, code=429, path="/quote", count=3)),
        ("html:502@/orders", Fault(Action.HTML, code=502, path="/orders")),
        ("html", Fault(Action.HTML)),
        ("drop_reply@POST /orders*1", Fault(Action.DROP_REPLY, method="POST", path="/orders", count=1)),
        ("drop_reply@POST", Fault(Action.DROP_REPLY, method="POST")),
        ("reset_mid_reply@GET /quote", Fault(Action.RESET_MID_REPLY, method="GET", path="/quote")),
        ("http:500@/a/*/b*4", Fault(Action.HTTP, code=500, path="/a/*/b", count=4)),
        ("mute_socket@after=10s", Fault(Action.MUTE_SOCKET, after_s=10.0)),
        ("mute_socket=5s@after=1m", Fault(Action.MUTE_SOCKET, value=5.0, after_s=60.0)),
        ("drop_frames=0.01", Fault(Action.DROP_FRAMES, probability=0.01)),
        ("drop_frames", Fault(Action.DROP_FRAMES)),
        ("oversize_frame=9MiB@after=5s", Fault(Action.OVERSIZE_FRAME, value=9 * MIB, after_s=5.0)),
        ("bomb=64KiB", Fault(Action.BOMB, value=65536)),
        ("wrong_length=-3", Fault(Action.WRONG_LENGTH, value=-3)),
        ("close_socket:1011@after=3s", Fault(Action.CLOSE_SOCKET, code=1011, after_s=3.0)),
        ("redirect=http://other.invalid/x", Fault(Action.REDIRECT, value="http://other.invalid/x")),
        (
            "http:503@POST /orders & p=0.25 & after=250us",
            Fault(Action.HTTP, code=503, method="POST", path="/orders", probability=0.25, after_s=0.00025),
        ),
    ],
)
def test_a_piece_of_a_spec_means_one_rule(spec, fault):
    assert parse_faults(spec) == [fault]


def test_pieces_keep_their_order_and_empty_ones_are_nothing():
    rules = parse_faults(" delay=50ms ; ;429@/quote*3; token_death@after=20s;slow_reader;")
    assert [rule.action.value for rule in rules] == ["delay", "http", "token_death", "slow_reader"]
    assert parse_faults("") == []


@pytest.mark.parametrize("action", list(Action))
def test_every_action_has_a_form_and_can_be_written(action):
    form = FORMS[action]
    value = {"duration": "=1s", "share": "=0.5", "size": "=1KiB", "difference": "=+1", "url": "=http://x.invalid/"}
    code = {"status": ":500", "close": ":1011"}
    (rule,) = parse_faults(f"{action}{code.get(form.code, '')}{value.get(form.value, '')}")
    assert rule.action is action
    assert rule.scope is form.scope


@pytest.mark.parametrize(
    ("spec", "named", "expected"),
    [
        ("delay=5ms;dorp_reply", "dorp_reply", "drop_reply"),
        ("zzz", "zzz", "token_death"),
        ("delay", "delay", "duration"),
        ("delay=5", "delay=5", "50ms"),
        ("delay=fast", "delay=fast", "50ms"),
        ("http", "http", "http:CODE"),
        ("http:abc", "abc", "number"),
        ("http:99", "99", "200 to 599"),
        ("close_socket:77", "77", "1000 to 4999"),
        ("mute_socket:3", "code 3", "none"),
        ("drop_reply=3", "'3'", "no value"),
        ("drop_frames=2", "2", "at most 1"),
        ("drop_frames=0", "0", "more than 0"),
        ("bomb=big", "big", "64KiB"),
        ("wrong_length=10", "10", "+10"),
        ("redirect=elsewhere", "elsewhere", "URL"),
        ("429@orders", "orders", "[METHOD ]/path"),
        ("429@post /orders", "post /orders", "[METHOD ]/path"),
        ("429@", "''", "[METHOD ]/path"),
        ("429*0", "count 0", "1 or more"),
        ("429@p=1.5", "1.5", "at most 1"),
        ("=3", "=3", "ACTION"),
    ],
)
def test_a_bad_piece_is_named_with_what_was_expected(spec, named, expected):
    with pytest.raises(UsageError) as wrong:
        parse_faults(spec)
    assert named in str(wrong.value)
    assert expected in str(wrong.value)


def test_objects_are_checked_like_specs():
    for wrong in (
        lambda: Fault(Action.HTTP),
        lambda: Fault(Action.DELAY),
        lambda: Fault(Action.DELAY, value=-1.0),
        lambda: Fault(Action.DELAY, value="1s"),
        lambda: Fault(Action.REDIRECT, value=3),
        lambda: Fault(Action.DROP_FRAMES, value=0.5),
        lambda: Fault(Action.DROP_REPLY, probability=0),
        lambda: Fault(Action.DROP_REPLY, count=0),
    ):
        with pytest.raises(UsageError, match="expected"):
            wrong()


@pytest.mark.parametrize(
    ("rule", "method", "path", "meant"),
    [
        ("429", "GET", "/anything", True),
        ("429@/orders", "GET", "/orders", True),
        ("429@/orders", "GET", "/orders/regular/1", True),
        ("429@/orders", "GET", "/ordersbook", False),
        ("429@/", "GET", "/anything", True),
        ("429@/orders/", "GET", "/orders/1", True),
        ("429@POST /orders", "GET", "/orders", False),
        ("429@POST /orders", "POST", "/orders", True),
        ("429@/orders/*/cancel", "GET", "/orders/17/cancel", True),
        ("429@/orders/*/cancel", "GET", "/orders/17", False),
        ("429@/order[sx]", "GET", "/orders", True),
    ],
)
def test_conditions_match_methods_paths_and_everything_below(rule, method, path, meant):
    plan = Faults.parse(rule).plan(method, path, 0.0)
    assert (plan.fault is not None) is meant


def test_a_rule_fires_as_often_as_its_count_and_is_counted():
    faults = Faults.parse("http:503@/orders*2")
    answers = [faults.plan("POST", "/orders", 0.0).fault is not None for _ in range(4)]
    assert answers == [True, True, False, False]
    assert faults.fired == {Action.HTTP: 2}


def test_one_fault_answers_a_call_and_the_next_rule_keeps_its_count():
    faults = Faults.parse("http:503*1;http:429*1;delay=1s;delay=2s;delay_reply=4s")
    first, second, third = (faults.plan("GET", "/x", 0.0) for _ in range(3))
    assert [plan.fault and plan.fault.code for plan in (first, second, third)] == [503, 429, None]
    assert (first.delay_s, first.reply_delay_s) == (3.0, 4.0)


def test_a_rule_waits_until_its_time():
    faults = Faults.parse("http:503@after=10s")
    assert faults.plan("GET", "/x", 9.9).fault is None
    assert faults.plan("GET", "/x", 10.0).fault is not None


def test_upgrades_have_a_fault_of_their_own_and_share_those_of_calls():
    faults = Faults.parse("refuse_upgrade:401*1;http:503*1")
    assert faults.plan("GET", "/ws", 0.0).fault.code == 503
    assert faults.plan("GET", "/ws", 0.0, upgrade=True).fault.code == 401


def test_the_dice_follow_the_seed_and_the_probability():
    def drops(seed):
        faults = Faults.parse("drop_frames=0.2", seed=seed)
        return [faults.frame("/ws", 0.0) is not None for _ in range(2000)]

    assert drops(1) == drops(1)
    assert drops(1) != drops(2)
    assert 300 < sum(drops(1)) < 500


def test_what_happens_to_a_socket_happens_once_to_each_and_never_more_than_its_count():
    faults = Faults.parse("mute_socket@after=2s;close_socket@/orders*1")
    first, second = set(), set()

    def actions(path, age_s, done):
        return [fault.action for fault in faults.due(Scope.SOCKET, path, age_s, done)]

    assert actions("/ticks", 1.0, first) == []
    assert actions("/ticks", 2.0, first) == [Action.MUTE_SOCKET]
    assert actions("/ticks", 3.0, first) == []
    assert actions("/orders", 2.0, second) == [Action.MUTE_SOCKET, Action.CLOSE_SOCKET]
    assert actions("/orders", 2.0, set()) == [Action.MUTE_SOCKET]


def test_rules_can_be_added_and_cleared_while_in_use():
    faults = Faults()
    assert faults.plan("GET", "/x", 0.0).fault is None
    faults.add(Fault(Action.HTTP, code=500))
    assert faults.needs(Action.HTTP)
    assert faults.plan("GET", "/x", 0.0).fault.code == 500
    faults.clear()
    assert faults.plan("GET", "/x", 0.0).fault is None
    assert not faults.needs(Action.HTTP)
