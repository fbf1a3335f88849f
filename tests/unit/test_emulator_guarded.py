"""Sockets that show who they are first; what is left of a quota."""

from __future__ import annotations

from dragoman.emulator.contract import Push
from dragoman.emulator.counting import MINUTE, Meter
from dragoman.emulator.guarded import GuardedSockets, Quota


class Echo(GuardedSockets):
    def answer(self, socket, message):
        return message["say"]

    def malformed(self):
        return "what?"


def test_messages_are_answered_on_open_sockets_only():
    sockets = Echo()
    sockets.open(1)
    assert sockets.accepted == {1: False}
    assert sockets.hear(1, b'{"say": "hello"}') == [Push(1, "hello")]
    assert sockets.hear(1, "{}") == sockets.hear(1, "[") == sockets.hear(1, "[]") == [Push(1, "what?")]
    assert sockets.hear(2, '{"say": "hello"}') == ()


def test_a_socket_listens_until_it_leaves_or_closes():
    sockets = Echo()
    for number in (1, 2, 3):
        sockets.open(number)
        sockets.listen(number, more=True)
    sockets.listen(2, more=False)
    sockets.close(3)
    assert list(sockets.listening) == [1]


def test_a_quota_tells_what_is_left_and_starts_again():
    quota = Quota(Meter("calls", 2, MINUTE))
    assert [quota.count(0)["remaining"] for _ in range(3)] == [1, 0, 0]
    assert quota.count(MINUTE) == {"limit": 2, "remaining": 1, "reset": 120}
