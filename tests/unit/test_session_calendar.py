"""When exchanges trade: the calendars that come with the library, unknown days, and a user's own."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from dragoman.errors import UsageError
from dragoman.plugin import TradingHours
from dragoman.plugin.indian import INDIAN_HOURS
from dragoman.plugin.registry import load_adapter
from dragoman.plugin.us import US_HOURS
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.session.calendar import TradingCalendar
from dragoman.session.exchange_days import ExchangeDays, packaged
from dragoman.session.profiles import load_profile

IST, NEW_YORK = ZoneInfo("Asia/Kolkata"), ZoneInfo("America/New_York")
HEAD = 'exchanges = ["NSE", "NFO"]\nyears = [2026]\nsource = "a test"\nas_of = 2026-01-01\n'


def india(*when, days=None):
    return at(INDIAN_HOURS, IST, when, days)


def at(hours, zone, when, days=None):
    moment = int(datetime(*when, tzinfo=zone).timestamp()) * 10**9
    return TradingCalendar(hours, str(zone), lambda: moment, days)


# --- India -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exchange", ["NSE", "BSE", "NFO", "BFO", "CDS", "MCX"])
def test_a_working_day_is_open_and_a_national_holiday_is_closed(exchange):
    assert india(2026, 10, 1, 11).is_open(exchange) is True
    assert india(2026, 10, 2, 11).is_open(exchange) is False
    assert india(2026, 10, 2, 11).day(exchange, date(2026, 10, 2)).name == "Mahatma Gandhi Jayanti"
    assert india(2026, 10, 3, 11).is_open(exchange) is False  # a Saturday


def test_currencies_rest_on_days_on_which_banks_do():
    calendar = india(2026, 4, 1, 11)
    assert (calendar.is_open("CDS"), calendar.is_open("NFO")) == (False, True)


@pytest.mark.parametrize(
    ("when", "is_open"),
    [
        ((2026, 1, 1, 16, 59), True),  # New Year: the morning alone
        ((2026, 1, 1, 17, 0), False),
        ((2026, 4, 14, 16, 59), False),  # Ambedkar Jayanti: the evening alone
        ((2026, 4, 14, 17, 0), True),
        ((2026, 4, 14, 23, 30), False),
        ((2026, 11, 24, 23, 50), True),  # the United States are on standard time
        ((2026, 11, 23, 23, 54), True),
        ((2026, 10, 30, 23, 31), False),
    ],
)
def test_commodities_keep_their_morning_or_their_evening(when, is_open):
    assert india(*when).is_open("MCX") is is_open


def test_the_sunday_of_the_budget_was_a_trading_day_but_for_currencies():
    calendar = india(2026, 2, 1, 12)
    assert [calendar.is_open(one) for one in ("NSE", "BSE", "NFO", "BFO", "MCX", "CDS")] == [True] * 5 + [False]
    assert calendar.open_for_s(("NSE",)) == 2.75 * 3600
    assert (india(2026, 2, 1, 16).is_open("NSE"), india(2026, 2, 1, 16).is_open("MCX")) == (False, True)
    assert calendar.trades(date(2026, 2, 1))


def test_the_hour_of_muhurat_trading_counts_and_no_other_of_that_day():
    assert [india(2025, 10, 21, *clock).is_open("NSE") for clock in ((13, 44), (13, 45), (14, 44), (14, 45))] == [
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("when", "exchange", "is_open", "ticks"),
    [
        ((2026, 7, 31, 15, 30), "NFO", False, False),
        ((2026, 8, 3, 15, 39), "NFO", True, True),  # derivatives trade on after the closing auction began
        ((2026, 8, 3, 15, 40), "NFO", False, False),
        ((2026, 8, 3, 15, 20), "NSE", True, False),  # the closing auction
        ((2026, 8, 3, 15, 35), "NSE", False, False),
        ((2026, 12, 7, 15, 29), "NSE", True, True),
        ((2026, 12, 7, 15, 39), "NSE", True, False),
        ((2026, 12, 7, 15, 44), "BFO", True, True),
    ],
)
def test_hours_are_those_of_the_day(when, exchange, is_open, ticks):
    calendar = india(*when)
    assert calendar.is_open(exchange) is is_open
    assert (calendar.open_for_s((exchange,), continuous=True) is not None) is ticks


# --- the United States -----------------------------------------------------------------------------------------------


def us(*when):
    return at((US_HOURS,), NEW_YORK, when)


def test_new_york_rests_on_its_holidays_and_ends_early_on_their_eves():
    assert us(2026, 11, 25, 15).is_open("US") is True
    assert us(2026, 11, 26, 11).is_open("US") is False
    assert (us(2026, 11, 27, 12, 59).is_open("US"), us(2026, 11, 27, 13).is_open("US")) == (True, False)
    assert us(2028, 12, 26, 11).is_open("US") is True
    assert us(2029, 1, 2, 11).is_open("US") is None


def nth(year, month, weekday, at):
    """Return the n-th (or, below 0, the last) such weekday of a month."""
    found = [date(year, month, 1) + timedelta(days=one) for one in range(31)]
    return [day for day in found if day.month == month and day.weekday() == weekday][at]


@pytest.mark.parametrize("year", [2025, 2026, 2027, 2028])
def test_the_days_of_new_york_are_those_its_rules_make(year):
    closed = {day for (exchange, day), row in packaged().rows.items() if exchange == "US" and row.state == "closed"}
    a, b, c = year % 19, year // 100, year % 100  # Easter, by the anonymous Gregorian rule
    h = (19 * a + b - b // 4 - (b - (b + 8) // 25 + 1) // 3 + 15) % 30
    ell = (32 + 2 * (b % 4) + 2 * (c // 4) - h - c % 4) % 7
    m = (a + 11 * h + 22 * ell) // 451
    easter = date(year, (h + ell - 7 * m + 114) // 31, (h + ell - 7 * m + 114) % 31 + 1)
    fixed = [date(year, month, day) for month, day in ((6, 19), (7, 4), (12, 25))]
    moved = {day + timedelta(days={5: -1, 6: 1}.get(day.weekday(), 0)) for day in fixed}
    new_year = date(year, 1, 1)  # one that is a Saturday is not made up for in the old year
    expected = moved | {
        nth(year, 1, 0, 2),
        nth(year, 2, 0, 2),
        easter - timedelta(days=2),
        nth(year, 5, 0, -1),
        nth(year, 9, 0, 0),
        nth(year, 11, 3, 3),
    }
    expected |= {new_year} if new_year.weekday() < 5 else set()
    assert {day for day in closed if day.year == year} - {date(2025, 1, 9)} == expected
    assert packaged().rows["US", nth(year, 11, 3, 3) + timedelta(days=1)].stretches[0].closes == time(13)


# --- what is not known -----------------------------------------------------------------------------------------------


def test_a_year_that_no_list_covers_is_unknown_and_goes_by_the_hours_of_the_week():
    noon, night = india(2031, 1, 27, 12), india(2031, 1, 27, 20)
    assert (noon.is_open("NSE"), night.is_open("NSE")) == (None, None)
    assert noon.day("NSE", date(2031, 1, 27)).state == "unknown"
    assert (noon.open_for_s(("NSE",)), night.open_for_s(("NSE",))) == (2.75 * 3600, None)
    assert noon.trades(date(2031, 1, 26))  # a Sunday of which nobody has told: not known to be closed


def test_a_session_without_times_is_unknown_although_its_year_is_covered():
    calendar = india(2026, 11, 8, 18, 30)
    assert calendar.is_open("NSE") is None
    assert calendar.open_for_s(("NSE",)) is None  # a Sunday, by the hours of the week
    assert "Muhurat" in calendar.day("NSE", date(2026, 11, 8)).name


def test_an_exchange_of_which_no_list_tells_is_unknown_and_one_without_a_night_is_not():
    hours = (
        TradingHours(frozenset(("XETRA",)), time(9), time(17, 30)),
        TradingHours(frozenset(("COINS",)), weekdays=frozenset(range(7))),
    )
    calendar = at(hours, IST, (2026, 10, 1, 11))
    assert (calendar.is_open("XETRA"), calendar.is_open("COINS")) == (None, True)
    assert calendar.open_for_s(("COINS",)) >= 86_400


def test_a_session_past_midnight_is_open_in_the_morning_after_unless_its_evening_was_a_holiday():
    night = (TradingHours(frozenset(("NSE",)), time(20), time(2)),)
    days = ExchangeDays.read(HEAD + '[[day]]\ndate = 2026-03-03\nname = "Holi"\n', "here")
    assert at(night, IST, (2026, 3, 3, 1), days).open_for_s() == 5 * 3600
    assert at(night, IST, (2026, 3, 4, 1), days).open_for_s() is None


def test_time_goes_on_and_the_answer_with_it():
    moment = {"ns": int(datetime(2026, 10, 1, 15, 29, tzinfo=IST).timestamp()) * 10**9}
    calendar = TradingCalendar(INDIAN_HOURS, str(IST), lambda: moment["ns"])
    assert calendar.is_open("CDS") is calendar.is_open("NSE") is True
    for hours, expected in ((3, False), (24, False), (4 * 24, True)):  # evening, the holiday, Monday
        moment["ns"] = int(datetime(2026, 10, 1, 15, 29, tzinfo=IST).timestamp() + hours * 3600) * 10**9
        assert calendar.is_open("NSE") is expected


def test_a_day_is_a_trading_day_where_any_exchange_may_trade():
    calendar = india(2026, 10, 1, 11)
    assert [calendar.trades(date(2026, 10, day)) for day in (1, 2, 3, 5, 20)] == [True, False, False, True, True]
    assert at((), IST, (2026, 10, 1, 11)).trades(date(2026, 10, 3))  # no hours told


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["zerodha", "upstox", "fyers", "alpaca"])
def test_the_exchanges_of_the_adapters_are_covered_this_year(name):
    adapter = load_adapter(name)
    calendar = TradingCalendar(adapter.hours, adapter.session.time_zone, lambda: 0)
    for hours in adapter.hours:
        for exchange in hours.exchanges:
            assert calendar.is_endless(exchange) or calendar.days.covers(exchange, date(2026, 11, 23)), exchange


def test_every_day_has_a_name_and_a_source_and_no_holiday_is_on_a_weekend():
    rows = packaged().rows
    assert len(rows) > 200
    assert all(row.name and row.source for row in rows.values())
    assert not [key for key, row in rows.items() if row.state == "closed" and key[1].weekday() > 4]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("exchanges = [", "not TOML"),
        ('years = [2026]\nsource = "x"\nas_of = 2026-01-01\n', "exchanges is missing"),
        ('exchanges = ["A"]\nyears = ["2026"]\n', "list of numbers"),
        ('exchanges = ["A"]\nyears = [2026]\nas_of = 2026-01-01\n', "source and as_of"),
        (HEAD + "year = 2026\n", "no fields of it"),
        (HEAD + "[day]\ndate = 2026-01-01\n", r"write \[\[day\]\]"),
        (HEAD + "[[day]]\ndate = 2026-01-26\n", "day 1: name is missing"),
        (HEAD + '[[day]]\ndate = "2026-01-26"\nname = "x"\n', "expected a date"),
        (HEAD + '[[day]]\ndate = 2026-01-26\nname = "x"\nexchanges = ["MCX"]\n', "expected of"),
        (HEAD + '[[day]]\ndate = 2026-01-26\nname = "x"\nsessions = [[9]]\n', "expected \\[opens, closes\\]"),
        (HEAD + '[[day]]\ndate = 2026-01-26\nname = "x"\nsessions = [["09:15", "10:00"]]\n', "expected a time"),
        (
            HEAD + '[[day]]\ndate = 2026-01-26\nname = "x"\nunknown = true\nsessions = [[09:15:00, 10:00:00]]\n',
            "is unknown",
        ),
        (HEAD + '[[day]]\ndate = 2026-01-26\nname = "x"\n' * 2, "twice"),
        (HEAD + "[[hours]]\nopens = 09:15:00\ncloses = 15:30:00\nauction = 16:00:00\n", "auction is"),
        (HEAD + "[[hours]]\nopens = 09:15:00\n", "closes is None"),
    ],
)
def test_a_wrong_file_is_refused_by_name(text, says):
    with pytest.raises(ValueError, match=says):
        ExchangeDays.read(text, "here")


OWN = """
exchanges = ["NSE"]
years = [2027]
source = "a circular"
as_of = 2026-12-12

[[day]]
date = 2027-01-26
name = "Republic Day"

[[day]]
date = 2026-11-08
name = "Muhurat"
sessions = [[18:00:00, 19:00:00]]
"""


def profile(calendar: str | None, text: str = OWN):
    runtime = VirtualRuntime(seed=1)
    runtime.env["DRAGOMAN_CONFIG"] = "/conf/profiles.toml"
    named = "" if calendar is None else f'calendars = ["{calendar}"]\n'
    runtime.disk.write_atomic("/conf/profiles.toml", f'[zerodha.main]\nenvironment = "live"\n{named}'.encode())
    runtime.disk.write_atomic("/conf/2027.toml", text.encode())
    return runtime.run(load_profile(runtime, load_adapter("zerodha")))


def test_a_profile_adds_years_and_corrects_days():
    days = packaged() + profile("2027.toml").days
    assert india(2027, 1, 26, 11, days=days).is_open("NSE") is False
    assert india(2027, 1, 27, 11, days=days).is_open("NSE") is True
    assert india(2027, 1, 27, 11, days=days).is_open("NFO") is None  # the file is about NSE alone
    assert [india(2026, 11, 8, hour, 30, days=days).is_open("NSE") for hour in (17, 18)] == [False, True]
    assert profile("/conf/2027.toml").days == profile("2027.toml").days
    assert profile(None).days == ExchangeDays()


@pytest.mark.parametrize(
    ("calendar", "text", "says"), [("2028.toml", OWN, "cannot be read"), ("2027.toml", "x", "not TOML")]
)
def test_a_calendar_that_cannot_be_read_is_named(calendar, text, says):
    with pytest.raises(UsageError, match=f"profile zerodha.main.*{says}"):
        profile(calendar, text)
