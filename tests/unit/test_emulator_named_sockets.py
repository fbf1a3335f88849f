"""Sockets of named streams: heard by address or request, wrapped or not, each round once; other sockets by the door."""

from __future__ import annotations

import json

from dragoman.emulator.contract import HttpAnswer, HttpCall, Push
from dragoman.emulator.named_sockets import NamedSocket, NamedSockets, StreamRoute

ROUTES = {
    "/ws": StreamRoute("spot", lambda stream: stream != "a@silent", combined=False),
    "/stream": StreamRoute("spot", lambda stream: True, combined=True),
}


class Toy(NamedSockets):
    def __init__(self):
        super().__init__(ROUTES, most=2, pace_ns=10)
        self.news = []

    def door(self, call, name, now_ns):
        return NamedSocket(key=name) if call.path.startswith("/user/") else HttpAnswer(404)

    def exists(self, market, stream):
        return "@" in stream

    def first(self, market, stream, now_ns):
        return {"first": stream} if stream == "a@top" else None

    def messages(self, now_ns):
        return iter(self.news)

    def events(self, now_ns):
        return (Push(number, "event") for number, one in self.sockets.items() if one.key)

    def called(self, socket, request, now_ns):
        return {"called": request.method}

    def invalid(self, what):
        return {"msg": what}


def opened(path, query=()):
    toy = Toy()
    assert toy.open(HttpCall("GET", path, query, {}, b""), 1, 0) is None
    return toy


def said(toy, **message):
    return [json.loads(push.data) for push in toy.hear(1, json.dumps(message), 0)]


def heard(toy, now_ns=0):
    return [json.loads(push.data) for push in toy.poll(now_ns)]


def test_streams_are_named_in_the_address_alone_or_together():
    assert list(opened("/ws/a@top").sockets[1].streams.names) == ["a@top"]
    assert list(opened("/stream", (("streams", "a@top/b@top"),)).sockets[1].streams.names) == ["a@top", "b@top"]
    assert list(opened("/ws/7").sockets[1].streams.names) == []


def test_streams_are_subscribed_listed_and_left_by_request():
    toy = opened("/ws")
    assert said(toy, id=1, method="SUBSCRIBE", params=["a@top"]) == [{"result": None, "id": 1}, {"first": "a@top"}]
    assert said(toy, id=2, method="LIST_SUBSCRIPTIONS") == [{"result": ["a@top"], "id": 2}]
    assert said(toy, id=3, method="SUBSCRIBE", params=["what"]) == [{"error": {"msg": "SUBSCRIBE what"}, "id": 3}]
    assert said(toy, id=4, method="UNSUBSCRIBE", params=["a@top"]) == [{"result": None, "id": 4}]
    toy.news = [("spot", "a@top", 1)]
    assert heard(toy) == []
    assert [json.loads(push.data) for push in toy.hear(1, "[", 0)] == [{"msg": "invalid JSON"}]


def test_messages_come_at_the_pace_to_who_named_them_on_a_route_that_carries_them():
    toy = opened("/ws")
    toy.sockets[2] = NamedSocket(ROUTES["/stream"])
    for socket in toy.sockets.values():
        socket.streams.names = dict.fromkeys(("a@top", "a@silent"))
    toy.news = [("spot", "a@top", 1), ("spot", "a@silent", 2), ("futures", "a@top", 3)]
    wrapped = [{"stream": "a@top", "data": 1}, {"stream": "a@silent", "data": 2}]
    assert [(push.socket, json.loads(push.data)) for push in toy.poll(0)] == [(1, 1), *((2, one) for one in wrapped)]
    assert heard(toy, 9) == []
    assert len(heard(toy, 10)) == 3


def test_other_sockets_come_in_by_the_door():
    toy = Toy()
    assert toy.open(HttpCall("GET", "/none", (), {}, b""), 1, 0) == HttpAnswer(404)
    toy = opened("/user/key")
    assert said(toy, id=5, method="anything") == [{"id": 5, "called": "anything"}]
    assert toy.poll(0) == [Push(1, "event")]
    toy.close(1)
    assert toy.poll(20) == []
    assert toy.hear(1, "{}", 20) == ()
