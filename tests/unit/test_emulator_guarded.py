"""Sockets that show who they are first; what is left of a quota."""

from __future__ import annotations

from dragoman.emulator.contract import HttpCall, Push
from dragoman.emulator.counting import MINUTE, Meter
from dragoman.emulator.guarded import GuardedSockets, Quota


class Echo(GuardedSockets):
    def answer(self, socket, message):
        return message["say"]

    def malformed(self):
        return "what?"

    def due(self):
        return ["news"]


def opened(*sockets):
    echo = Echo()
    for number in sockets:
        assert echo.open(HttpCall("GET", "/", (), {}, b""), number, 0) is None
    return echo


def test_messages_are_answered_on_open_sockets_only():
    sockets = opened(1)
    assert sockets.accepted == {1: False}
    assert sockets.hear(1, b'{"say": "hello"}', 0) == [Push(1, "hello")]
    assert sockets.hear(1, "{}", 0) == sockets.hear(1, "[", 0) == sockets.hear(1, "[]", 0) == [Push(1, "what?")]
    assert sockets.hear(2, '{"say": "hello"}', 0) == ()


def test_a_socket_is_told_what_is_due_until_it_leaves_or_closes():
    sockets = opened(1, 2, 3)
    for number in (1, 2, 3):
        sockets.listen(number, more=True)
    sockets.listen(2, more=False)
    sockets.close(3)
    assert sockets.poll(0) == [Push(1, "news")]


def test_a_quota_tells_what_is_left_and_starts_again():
    quota = Quota(Meter("calls", 2, MINUTE))
    assert [quota.count(0)["remaining"] for _ in range(3)] == [1, 0, 0]
    assert quota.count(MINUTE) == {"limit": 2, "remaining": 1, "reset": 120}
