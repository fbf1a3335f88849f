"""Streams of channels: what to leave and what to join as wishes change."""

from __future__ import annotations

import pytest

from dragoman.model import AssetClass, Instrument, InstrumentType, Mode
from dragoman.plugin import Context, Endpoint, Feed, Want
from dragoman.plugin.channels import ChannelFeed, by_channel
from dragoman.plugin.feed import send_json
from dragoman.plugin.keys import KeySession
from dragoman.testing.drive import ScriptedContext, drive


class Example(ChannelFeed):
    channels = {Mode.LTP: ("trades",), Mode.QUOTE: ("trades", "quotes")}


def share(symbol):
    return Instrument(f"X:{symbol}", symbol, "X", AssetClass.EQUITY, InstrumentType.SPOT, symbol, f"id-{symbol}")


def want(symbol, mode):
    return Want(share(symbol), mode)


def test_a_mode_is_made_of_channels_and_a_change_touches_only_what_differs():
    feed = Example()
    assert feed.moved([want("A", Mode.QUOTE), want("B", Mode.LTP)], []) == (
        [],
        [("trades", "A"), ("quotes", "A"), ("trades", "B")],
    )
    assert feed.moved([want("A", Mode.LTP), want("B", Mode.QUOTE)], []) == ([("quotes", "A")], [("quotes", "B")])
    assert feed.moved([], [want("A", Mode.QUOTE)]) == ([("trades", "A")], [])


def test_an_instrument_that_is_dropped_and_wanted_again_is_joined_anew():
    feed = Example()
    feed.moved([want("A", Mode.LTP)], [])
    assert feed.moved([want("A", Mode.LTP)], [want("A", Mode.LTP)]) == ([("trades", "A")], [("trades", "A")])


def test_symbols_are_gathered_by_channel():
    assert by_channel([("trades", "A"), ("quotes", "A"), ("trades", "B")]) == {"trades": ["A", "B"], "quotes": ["A"]}


def test_only_modes_with_channels_are_served_and_keys_are_symbols():
    assert [Example.serves(share("A"), mode) for mode in (Mode.LTP, Mode.QUOTE, Mode.FULL)] == [True, True, False]
    assert Example().keys(share("A")) == (b"A",)


def test_a_stream_at_a_fixed_address_needs_no_flow_of_its_own():
    class Fixed(Feed):
        host = "ws"
        path = "/stream"

    class Told(Fixed):
        def endpoint(self, ctx):
            return Endpoint(super().endpoint(ctx).url + "?of=me")

    ctx: Context = ScriptedContext(hosts={"ws": "wss://example"})
    assert drive(Fixed().connect(ctx), []).result.url == "wss://example/stream"
    assert drive(Told().connect(ctx), []).result.url == "wss://example/stream?of=me"
    with pytest.raises(TypeError, match="names no host"):
        drive(Feed().connect(ctx), [])


def test_messages_are_written_without_white_space():
    sent = send_json({"action": "subscribe", "trades": ["A", "B"]}, 0.5)
    assert (sent.data, sent.delay_s) == ('{"action":"subscribe","trades":["A","B"]}', 0.5)


def test_keys_that_their_owner_keeps_are_logged_out_of_without_a_request():
    class Kept(KeySession):
        name = "example"

    assert drive(Kept().logout(ScriptedContext()), []).requests == []
