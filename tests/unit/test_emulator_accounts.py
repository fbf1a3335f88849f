"""What emulators of accounts share: keys, settings, days of trading, rows of rows, web tokens, what rests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from dragoman.emulator.contract import HttpAnswer, HttpCall
from dragoman.emulator.counting import DAY, SECOND
from dragoman.emulator.forms import FieldError, Form
from dragoman.emulator.keyed import KeyPair
from dragoman.emulator.links import Trail
from dragoman.emulator.paging import gathered
from dragoman.emulator.routes import matching, telling
from dragoman.emulator.rows import Or, Rows, write
from dragoman.emulator.settings import Settings
from dragoman.emulator.tokens import WebTokens
from dragoman.emulator.trading_days import TradingDays
from dragoman.emulator.unit_views import share
from dragoman.model import Side
from dragoman.plugin.jwt_claims import jwt_claims

D = Decimal
KEYS = KeyPair("key", "secret", "token", ("x-key", "x-secret"))
CALL = HttpCall("GET", "/", (), {}, b"")


@dataclass
class Order:
    name: str
    legs: list


def call(**headers):
    return HttpCall("GET", "/", (), headers, b"")


def test_a_pair_of_keys_or_a_token_opens_the_account():
    assert KEYS.accepts("key", "secret")
    assert KEYS.accepts("oauth", "token")
    assert not KEYS.accepts("key", "token")
    assert not KEYS.accepts("oauth", "secret")
    assert KEYS.shown(call(**{"x-key": "key", "x-secret": "secret"}))
    assert KEYS.shown(call(authorization="Bearer token"))
    assert not KEYS.shown(call(authorization="Bearer secret"))
    assert not KEYS.shown(call())


def test_settings_change_together_or_not_at_all():
    settings = Settings({"a": 1, "b": 2}, lambda name: ValueError(name))
    with pytest.raises(ValueError, match="c"):
        settings.change(Form({"a": 5, "c": 3}), 0)
    assert settings.read(Form({}), 0) == {"a": 1, "b": 2}
    assert settings.change(Form({"b": None}), 0) == {"a": 1, "b": None}


def test_days_of_trading_leave_weekends_out_and_follow_the_clocks_of_the_zone():
    days = TradingDays(ZoneInfo("America/New_York"), time(9, 30), time(16))
    assert days.between(date(2026, 10, 30), date(2026, 11, 3), 100) == [
        date(2026, 10, 30),
        date(2026, 11, 2),
        date(2026, 11, 3),
    ]
    assert days.between(date(2026, 10, 30), date(2026, 11, 3), 2) == [date(2026, 10, 30)]
    opens, closes = days.tomorrow(1_793_470_200 * SECOND)  # Saturday, the day before clocks go back
    assert (opens.isoformat(), closes.hour) == ("2026-11-01T09:30:00-05:00", 16)


def test_records_of_a_record_are_rows_and_nothing_stands_for_none_of_them():
    leg = {"n": ".name"}
    table = {"legs": Or(Rows(".legs", leg), None)}
    assert write(table, Order("a", [Order("b", []), Order("c", [])])) == {"legs": [{"n": "b"}, {"n": "c"}]}
    assert write(table, Order("a", [])) == {"legs": None}


def test_rows_are_found_by_what_a_query_names_of_them():
    rows = [{"id": "1", "tag": "x"}, {"id": "2", "tag": "x"}]
    fields = {"order": "id", "mark": "tag"}
    assert matching(rows, {}, fields) == rows
    assert matching(rows, {"mark": "x", "order": "2", "other": "9"}, fields) == rows[1:]
    assert matching(rows, {"order": "3"}, fields) == []


def test_a_handler_tells_its_source_plain_or_as_a_row():
    def answer(found):
        return HttpAnswer(200, (), repr(found).encode())

    assert telling(answer, lambda name=None: name)(CALL, 0, name="n").body == b"'n'"
    assert telling(answer, lambda: Order("a", []), {"n": ".name"})(CALL, 0).body == b"{'n': 'a'}"
    assert telling(answer, lambda: Order("a", []), lambda one: one.name * 2)(CALL, 0).body == b"'aa'"


def test_rows_are_gathered_under_their_names_in_order():
    assert gathered([("a", 1), ("b", 2), ("a", 3)]) == {"a": [1, 3], "b": [2]}


def test_a_window_without_ends_is_all_of_time():
    first, last = Form({}).window("after", "until")
    assert first == 0
    assert last > 10**18
    assert Form({"after": "1970-01-01T00:00:01Z"}).window("after", "until")[0] == SECOND
    with pytest.raises(FieldError, match="until"):
        Form({"until": "soon"}).window("after", "until")


def test_web_tokens_carry_their_claims_and_their_end():
    class Told(WebTokens):
        def claims(self, plain):
            return {"of": plain}

    tokens = Told(1, offset_ns=0, dies_at_ns=0, request_life_ns=SECOND)
    claims = jwt_claims(tokens.mint("access", 5 * SECOND))
    assert claims["exp"] == DAY // SECOND
    assert claims["of"].startswith("emu_")
    assert "." not in tokens.mint("request", 0)


def test_a_trail_keeps_what_it_trails_by():
    by_price, by_percent = Trail(D(100), D("0.1"), offset=D(2)), Trail(D(100), D("0.1"), percent=D(2))
    assert (by_price.change(D(5)), by_percent.change(D(5))) == ("offset", "percent")
    assert by_price.trigger(Side.SELL) == by_percent.trigger(Side.SELL) == D(95)


def test_a_share_of_nothing_is_nothing():
    assert share(D(1), D(3)) == D("0.333333")
    assert share(D(1), D(0)) == 0
