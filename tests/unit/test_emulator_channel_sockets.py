"""Sockets of channels, told apart by path: greeting, login, subscriptions, pace; bars of minutes; pages by id."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from dragoman.emulator.by_path import SocketsByPath
from dragoman.emulator.channel_sockets import ChannelFault, ChannelSockets
from dragoman.emulator.contract import HttpAnswer, HttpCall, Push
from dragoman.emulator.counting import MINUTE, SECOND
from dragoman.emulator.minutes import MinuteBars
from dragoman.emulator.paging import page_after
from dragoman.plugin.messagepack import Moment, unpack_messagepack
from reference.venue_kit import SHARE, START, quiet_venue

D = Decimal


class Toy(ChannelSockets):
    """Counts what changed; each symbol's news is its count."""

    channels = {"shares": ("trades",)}
    counted = ("trades",)

    def __init__(self):
        super().__init__(tick_rate=1.0, login_ns=10 * SECOND, most=2)
        self.counts = {}

    def kind(self, socket):
        return "shares"

    def symbols(self, kind):
        return ("A", "B")

    def shows(self, message):
        return message["key"] == "right"

    def success(self, text):
        return {"T": text}

    def fault(self, fault):
        return {"T": "error", "why": fault.value}

    def subscription(self, channels):
        return {"T": "heard"} | channels

    def forbidden(self, socket, asked):
        return {"T": "no stars"} if "*" in asked.get("trades", ()) else None

    def changed(self, now_ns):
        return [("shares", name) for name in self.counts]

    def news(self, socket, symbol, now_ns):
        if socket.listener.news("trades", symbol, self.counts.get(symbol)):
            yield {"T": "n", "S": symbol, "t": now_ns}


def opened(toy, number=1, path="/a", **headers):
    assert toy.open(HttpCall("GET", path, (), headers, b""), number, 0) is None
    return number


def say(toy, number=1, **message):
    (*_, push) = toy.hear(number, json.dumps(message), 0)
    (record,) = json.loads(push.data)
    return record.get("why", record["T"])


def test_a_socket_is_greeted_and_dropped_where_it_never_shows_who_it_is():
    toy = Toy()
    opened(toy)
    assert toy.poll(0) == [Push(1, '[{"T": "connected"}]')]
    assert toy.poll(9 * SECOND) == []
    late, end = toy.poll(10 * SECOND)
    assert json.loads(late.data)[0]["why"] == ChannelFault.LATE
    assert end.close_code == 1000
    assert toy.poll(11 * SECOND) == []


def test_what_is_wrong_with_a_login_or_a_subscription_is_named():
    toy = Toy()
    opened(toy)
    opened(toy, 2)
    assert say(toy, action="subscribe", trades=["A"]) == ChannelFault.STRANGER
    assert say(toy, action="auth", key="wrong") == ChannelFault.DENIED
    assert say(toy, action="auth", key="right") == "authenticated"
    assert say(toy, action="auth", key="right") == ChannelFault.TWICE
    assert say(toy, 2, action="auth", key="right") == ChannelFault.CROWDED
    assert say(toy, action="subscribe", quotes=["A"]) == ChannelFault.UNKNOWN
    assert say(toy, action="subscribe", trades=["A", "B", "C"]) == ChannelFault.LIMIT
    assert say(toy, action="subscribe", trades=["*"]) == "no stars"
    assert say(toy, action="unsubscribe", trades=["*"]) == "heard"
    assert say(toy, action="dance") == ChannelFault.MALFORMED
    (told,) = toy.hear(1, "[", 0)
    assert json.loads(told.data)[0]["why"] == ChannelFault.MALFORMED


def test_news_come_at_the_pace_and_only_while_they_are_wanted():
    toy = Toy()
    opened(toy)
    say(toy, action="auth", key="right")
    assert say(toy, action="subscribe", trades=["A"]) == "heard"
    toy.counts = {"A": 1, "B": 1}
    (push,) = toy.poll(SECOND)
    assert json.loads(push.data) == [{"T": "n", "S": "A", "t": "1970-01-01T00:00:01.000000000Z"}]
    toy.counts["A"] = 2
    assert toy.poll(SECOND + SECOND // 2) == []
    assert len(toy.poll(2 * SECOND)) == 1
    say(toy, action="unsubscribe", trades=["A"])
    toy.counts["A"] = 3
    assert toy.poll(9 * SECOND) == []


def test_a_packed_socket_is_told_times_as_messagepack_has_them():
    toy = Toy()
    opened(toy, **{"content-type": "application/msgpack"})
    toy.sockets[1].accepted = True
    toy.sockets[1].waiting = [{"T": "n", "t": 7}]
    (push,) = toy.poll(0)
    assert unpack_messagepack(push.data) == [{"T": "n", "t": Moment(7)}]


def test_a_tick_rate_of_nothing_is_refused():
    with pytest.raises(ValueError, match="tick_rate"):
        ChannelSockets(0.0, SECOND)


def test_a_path_leads_to_its_own_sockets_and_no_other_is_served():
    one, other = Toy(), Toy()
    both = SocketsByPath({"/a": one, "/b": other}, lambda: HttpAnswer(404))
    assert both.open(HttpCall("GET", "/c", (), {}, b""), 9, 0) == HttpAnswer(404)
    opened(both, 1, "/b")
    opened(both, 2, "/a")
    assert (list(one.sockets), list(other.sockets)) == ([2], [1])
    assert [push.socket for push in both.poll(0)] == [2, 1]
    assert [push.socket for push in both.hear(1, '{"do": "auth", "key": "right"}', 0)] == [1]
    both.close(1)
    assert other.sockets == {}


def test_a_minute_has_what_traded_in_it_and_ends_once():
    market, bars, start = quiet_venue().market(SHARE), MinuteBars(), START // MINUTE * MINUTE
    looks = ((0, "100", 50), (1, "101", 60), (2, "99", 80), (3, "100", 90), (4, "120", 90))
    for second, price, volume in looks:  # what traded before the first is nobody's, and without a trade no price is
        bars.look(replace(market, last_price=D(price), volume=D(volume)), start + second * SECOND)
    assert list(bars.turn(start + MINUTE - 1)) == []
    assert list(bars.turn(start + MINUTE)) == [SHARE]
    assert list(bars.turn(start + MINUTE)) == []
    bar = bars.ended[SHARE]
    assert (bar.start_ns, bar.open, bar.high, bar.low, bar.close) == (start, 101, 101, 99, 100)
    assert (bar.volume, bar.trades, bar.average_price) == (40, 3, (D(1010) + D(1980) + D(1000)) / 40)


def test_a_page_starts_after_the_row_its_token_names():
    rows = [{"id": name} for name in "abcd"]
    assert [row["id"] for row in page_after(rows, "b", 1)] == ["c"]
    assert [row["id"] for row in page_after(rows, None, 2)] == ["a", "b"]
    assert page_after(rows, "d", 5) == []
