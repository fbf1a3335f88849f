"""What emulators of further brokers build on: statuses, bodies, symbols, alerts, logins, protection, sums, routes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date
from decimal import Decimal
from types import MappingProxyType

import pytest

from dragoman.emulator.alerts import AlertBook, Condition, Figure, Terms
from dragoman.emulator.apps import App, AppRefusalError
from dragoman.emulator.bodies import ist, json_answer, ladder, num, redirect, stamp, succeeded
from dragoman.emulator.conflated import ConflatedSockets
from dragoman.emulator.contract import HttpAnswer, HttpCall
from dragoman.emulator.counting import DAY, SECOND, Meter, MeterFullError
from dragoman.emulator.forms import FieldError, Form
from dragoman.emulator.identities import identity
from dragoman.emulator.listed import Listed, ListingName, exchange_symbol, kind_word
from dragoman.emulator.lookup import Lookup
from dragoman.emulator.protection import asked_protection
from dragoman.emulator.refusals import ApiError
from dragoman.emulator.rest import RestEmulator, Rule
from dragoman.emulator.routes import Route
from dragoman.emulator.statuses import StatusWords
from dragoman.emulator.stops import lots_for, passed
from dragoman.emulator.sums import securities, worth
from dragoman.emulator.tokens import Tokens
from dragoman.emulator.updates import MarketChanges, OrderChanges, Prints
from dragoman.emulator.venue.types import VenueRejectError
from dragoman.errors import ErrorKind
from dragoman.model import InstrumentType, OptionType, OrderStatus, Pending, Product, Side
from reference.venue_kit import FUTURE_LISTING, SHARE, SHARE_LISTING, limit, put, quiet_venue, settle

D = Decimal
S = OrderStatus


# --- bodies ----------------------------------------------------------------------------------------------------------


def test_an_envelope_holds_the_data_and_what_stands_beside_it():
    assert json.loads(succeeded([1], more=2).body) == {"status": "success", "data": [1], "more": 2}


def test_indian_times_have_no_zone():
    assert ist(1_000_000_000 * SECOND) == "2001-09-09 07:16:40"
    assert ist(1_000_000_000 * SECOND, "%H:%M") == "07:16"
    assert ist(None) is None


def test_ids_are_the_same_in_every_run_and_never_those_of_another_broker():
    assert identity("emulator.a", "order", 1) == identity("emulator.a", "order", 1)
    assert len({identity(space, what, n) for space in "ab" for what in ("order", "fill") for n in (1, 2)}) == 8


@pytest.mark.parametrize(("text", "flag"), [("true", True), ("True", True), ("false", False), ("1", False), ("", None)])
def test_a_flag_is_set_by_the_word_in_any_spelling(text, flag):
    form = Form.query(HttpCall("GET", "/", (("on", text),), {}, b""))
    assert [form.flag("on", default) for default in (True, False)] == ([True, False] if flag is None else [flag] * 2)


def test_numbers_times_and_levels_are_written_as_json_interfaces_do():
    assert [json.dumps(num(D(text))) for text in ("1500.00", "0.05", "-3")] == ["1500", "0.05", "-3"]
    assert stamp(1_000_000_000 * SECOND, UTC) == "2001-09-09 01:46:40"
    assert stamp(1_000_000_000 * SECOND, UTC, "%d-%b-%Y") == "09-Sep-2001"
    assert stamp(None, UTC) is None
    rows = ladder([(D(2), D(10), 1), (D(1), D(20), 3)], 3, lambda price, quantity, orders: (num(price), num(quantity)))
    assert rows == [(2, 10), (1, 20), (0, 0)]
    assert len(ladder([(D(1), D(1), 1)] * 9, 5, lambda *level: level)) == 5
    answer = json_answer({"a": [1]}, 418, ("X-Y", "z"))
    assert (answer.status, json.loads(answer.body), answer.headers[-1]) == (418, {"a": [1]}, ("X-Y", "z"))


def test_a_redirect_keeps_the_query_of_the_registered_url():
    answer = redirect("http://127.0.0.1:1/back?app=1", [("token", "a b&c")])
    assert (answer.status, answer.headers) == (302, (("Location", "http://127.0.0.1:1/back?app=1&token=a+b%26c"),))


# --- statuses --------------------------------------------------------------------------------------------------------

PLAIN = StatusWords(firm={status: status.value.lower() for status in S})
FULL = StatusWords(
    firm=PLAIN.firm,
    received="received",
    leaving="leaving",
    waiting="waiting",
    modify_received="asked",
    modifying="modifying",
    modified="modified",
    canceling="canceling",
)


def lived(venue):
    """An order that was placed, changed and canceled."""
    order_id = put(venue, limit(Side.BUY, 10, "95"))
    settle(venue)
    venue.modify("A", order_id, venue.now_ns, price=D(94))
    settle(venue)
    venue.cancel("A", order_id, venue.now_ns)
    settle(venue)
    return venue.history("A", order_id)


def test_a_broker_with_few_words_shows_only_firm_statuses():
    words = [word for _, word in PLAIN.history(lived(quiet_venue()))]
    assert words == ["accepted", "open", "open", "open", "open", "canceled"]


def test_a_broker_with_all_words_shows_every_step_once():
    words = [word for _, word in FULL.history(lived(quiet_venue()))]
    assert words == [
        "received",
        "accepted",
        "leaving",
        "open",
        "asked",
        "modifying",
        "modified",
        "open",
        "canceling",
        "canceled",
    ]


def test_an_order_that_waits_for_the_opening_says_so():
    venue = quiet_venue()
    order_id = put(venue, replace(limit(Side.BUY, 10, "95"), not_before=venue.now_ns + 60 * SECOND))
    state = venue.order("A", order_id)
    assert (FULL.now(state), PLAIN.now(state)) == ("waiting", "accepted")
    assert FULL.now(replace(state, pending=Pending.CANCEL)) == "canceling"


def test_every_reader_of_order_changes_sees_each_event_once_with_the_state_before():
    venue = quiet_venue()
    first, second = OrderChanges(venue, "A"), OrderChanges(venue, "A")
    lived(venue)
    seen = list(first.fresh())
    assert seen[0][0] is None
    assert [before for before, _ in seen[1:]] == [after for _, after in seen[:-1]]
    assert list(first.fresh()) == []
    assert list(second.fresh()) == seen


# --- names -----------------------------------------------------------------------------------------------------------


def contract(expiry, right=None, strike=None):
    stem = f"NFO:NIFTY@{expiry:%Y%m%d}"
    return replace(
        FUTURE_LISTING.instrument,
        instrument_id=stem if right is None else f"{stem}-{strike}{'CE' if right is OptionType.CALL else 'PE'}",
        exchange="NFO",
        expiry=expiry,
        option_type=right,
        strike=None if strike is None else D(strike),
        instrument_type=InstrumentType.FUTURE if right is None else InstrumentType.OPTION,
    )


def test_contracts_are_named_by_month_where_they_are_its_last_and_by_day_otherwise():
    last = {("NFO", "NIFTY", 2025, 8): date(2025, 8, 28), ("NFO", "NIFTY", 2025, 10): date(2025, 10, 30)}
    assert exchange_symbol(contract(date(2025, 8, 28)), last) == "NIFTY25AUGFUT"
    call = contract(date(2025, 8, 7), OptionType.CALL, "24400")
    assert (exchange_symbol(call, last), kind_word(call)) == ("NIFTY2580724400CE", "CE")
    put_ = contract(date(2025, 10, 7), OptionType.PUT, "187.5")
    assert exchange_symbol(put_, last) == "NIFTY25O07187.5PE"
    assert (exchange_symbol(SHARE_LISTING.instrument, {}), kind_word(SHARE_LISTING.instrument, "STK")) == (
        "INFY",
        "STK",
    )


def test_a_name_counts_its_wire_in_units_or_in_lots():
    units, lots = ListingName(FUTURE_LISTING, 1, "F"), ListingName(FUTURE_LISTING, 1, "F", lots=True)
    lot = FUTURE_LISTING.instrument.lot_size
    assert (units.wire_quantity(lot * 3), lots.wire_quantity(lot * 3)) == (lot * 3, 3)
    assert (units.units(6), lots.units(6)) == (6, lot * 6)


def test_asking_for_none_or_too_many_is_refused_and_unknown_ones_are_left_out():
    listed = Listed([ListingName(SHARE_LISTING, 7, "X")])
    key = listed.all[0].key

    def asked(*keys):
        return listed.asked(HttpCall("GET", "/", tuple(("i", one) for one in keys), {}, b""), "i", 3)

    assert list(asked(key, "7", "NSE:NOBODY")) == [key, "7"]
    with pytest.raises(FieldError, match="Missing or empty field `i`"):
        asked()
    with pytest.raises(FieldError, match="Only 3"):
        asked(key, key, key, key)


# --- alerts ----------------------------------------------------------------------------------------------------------


def book(venue, **options):
    return AlertBook(venue, "A", lambda number: f"alert-{number}", **options)


def price(comparison, right):
    return Condition(Figure(SHARE, "last_price"), comparison, right)


@pytest.mark.parametrize(
    ("comparison", "at", "holds"),
    [
        ("<=", 0, True),
        (">=", 0, True),
        ("==", 0, True),
        ("<", 0, False),
        (">", 0, False),
        ("<", 1, True),
        (">", -1, True),
    ],
)
def test_a_condition_compares_exactly(comparison, at, holds):
    venue = quiet_venue()
    last = venue.market(SHARE).last_price
    assert price(comparison, last + at).holds(venue) is holds
    other = Figure(SHARE, "close")
    assert price("==", other).holds(venue) is (venue.market(other.instrument_id).close == last)


def test_an_unknown_comparison_is_refused():
    with pytest.raises(ValueError, match=r"comparison '!=', expected one of"):
        price("!=", D(1))


def test_an_alert_fires_at_each_turn_to_true_and_only_then():
    venue = quiet_venue()
    alerts, last = book(venue), venue.market(SHARE).last_price
    alert = alerts.save(None, Terms("t", price(">=", last)), 0)
    for now in range(1, 4):
        alerts.poll(now)
    assert [firing.ts for firing in alert.firings] == [1]
    alerts.save(alert.key, Terms("t", price(">", last)), 4)
    alerts.poll(5)
    alerts.save(alert.key, Terms("t", price(">=", last)), 6)
    alerts.poll(7)
    assert [firing.ts for firing in alert.firings] == [1, 7]
    alerts.delete(alert, 8)
    alerts.poll(9)
    assert len(alert.firings) == 2
    with pytest.raises(LookupError):
        alerts.save(alert.key, alert.terms, 10)


def test_an_account_has_so_many_alerts_and_deleted_ones_make_room():
    alerts = book(quiet_venue(), most=2)
    first, _ = (alerts.save(None, Terms("t", price(">", D(10**6))), 0) for _ in range(2))
    with pytest.raises(ValueError, match="at most 2"):
        alerts.save(None, first.terms, 0)
    alerts.delete(first, 1)
    assert alerts.save(None, first.terms, 2).key == "alert-3"


def test_orders_of_an_alert_have_a_fate_each():
    venue = quiet_venue()
    orders = (limit(Side.BUY, 1, "95"), limit(Side.BUY, 1, "9500"))  # the second beyond the day's band
    alerts = book(venue)
    alert = alerts.save(None, Terms("t", price(">", D(0)), orders), 0)
    alerts.poll(venue.now_ns)
    alerts.poll(venue.now_ns + 1)
    (firing,) = alert.firings
    assert venue.order("A", firing.placed[0]).order.quantity == 1
    assert isinstance(firing.placed[1], VenueRejectError)
    assert (alert.status, alert.reason) == ("disabled", "the orders were placed")


# --- logins and routes -----------------------------------------------------------------------------------------------


def app():
    return App("key", "secret", "user", "http://127.0.0.1:1/", Tokens(1, offset_ns=0, dies_at_ns=0, request_life_ns=10))


def test_a_login_token_is_redeemed_once_by_its_app_with_its_proof_in_time():
    one = app()
    location = dict(one.send_back("code", [("state", "s")], 0).headers)["Location"]
    code = location.rpartition("code=")[2]
    assert location == f"http://127.0.0.1:1/?state=s&code={code}"
    for key, token, proof, now in (
        ("other", code, "right", 1),
        ("key", "emu_none", "right", 1),
        ("key", code, "wrong", 1),
        ("key", code, "right", 10),
    ):
        with pytest.raises(AppRefusalError):
            one.redeem(key, token, proof, "right", now)
    access = one.redeem("key", code, "right", "right", 9)
    assert one.admits("key", access, 9)
    assert not one.admits("other", access, 9)
    assert not one.admits("key", None, 9)
    assert not one.admits("key", access, DAY)
    with pytest.raises(AppRefusalError, match="expired"):
        one.redeem("key", code, "right", "right", 9)


class RefusedError(Exception):
    def __init__(self, status):
        super().__init__(status)
        self.status = status


class Made(RestEmulator):
    """The least an emulator of one table has."""

    def __init__(self, venue, **options):
        super().__init__(venue, seed=1, account="A", tokens=app().tokens, **options)
        self.moved = []
        rows = [
            Route("GET", "/open", self.answer, Rule(token=False)),
            Route("GET", "/closed", self.answer, Rule((Meter("m", 2),))),
            Route("GET", "/orders", self.answer, Rule((), token=False, registered=True)),
            Route("GET", "/bug", self.bug, Rule(token=False)),
        ]
        self.serve(rows, (self.moved.append,))

    def answer(self, call, now_ns):
        return HttpAnswer(200)

    def bug(self, call, now_ns):
        raise ZeroDivisionError("a bug")

    def authenticate(self, call, now_ns):
        if call.headers.get("token") != "yes":
            raise RefusedError(401)

    def unserved(self, status, meter):
        return RefusedError(status)

    def worded(self, error):
        return HttpAnswer(error.status) if isinstance(error, RefusedError) else None


def ask(made, path, *, method="GET", token="yes", peer="127.0.0.1", now=SECOND):
    return made.handle(HttpCall(method, path, (), {"token": token}, b"", peer), now).status


def test_a_call_passes_route_meter_token_and_address_in_this_order():
    made = Made(quiet_venue(), allowed_ips=("10.0.0.1",))
    assert ask(made, "/open", token="") == 200
    assert (ask(made, "/nowhere"), ask(made, "/open", method="PUT")) == (404, 405)
    assert [ask(made, "/closed", token="") for _ in range(3)] == [401, 401, 429]
    assert ask(made, "/closed", now=2 * SECOND) == 200
    assert (ask(made, "/orders"), ask(made, "/orders", peer="10.0.0.1")) == (403, 200)
    assert ask(Made(quiet_venue()), "/orders") == 200
    with pytest.raises(ZeroDivisionError):
        ask(made, "/bug")
    assert made.moved[-1] == SECOND
    made.poll(5 * SECOND)
    assert made.moved[-1] == 5 * SECOND


class Door:
    """Sockets that refuse every upgrade, by the broker's error or by a bug."""

    def __init__(self, error):
        self.error = error

    def open(self, call, socket, now_ns):
        raise self.error


def test_an_upgrade_is_refused_in_the_brokers_words_and_a_bug_stays_one():
    made, upgrade = Made(quiet_venue()), HttpCall("GET", "/ws", (), {}, b"")
    made.streams = Door(RefusedError(403))
    assert made.open_socket(upgrade, 1, SECOND).status == 403
    made.streams = Door(ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        made.open_socket(upgrade, 1, SECOND)


def test_every_answer_has_the_headers_of_its_call():
    class Counting(Made):
        asked = 0

        def headers(self, now_ns):
            self.asked += 1
            return (("X-Asked", str(self.asked)),)

    made = Counting(quiet_venue())
    call = HttpCall("GET", "/nowhere", (), {}, b"")
    found = [dict(made.handle(one, SECOND).headers)["X-Asked"] for one in (call, replace(call, path="/open"))]
    assert found == ["1", "2"]


# --- markets ---------------------------------------------------------------------------------------------------------

BANDS = ((D(100), D(2)), (None, D(1)))


@pytest.mark.parametrize(
    ("given", "at", "percent"), [("-1", 99, 2), ("-1", 100, 1), ("3.5", 99, D("3.5")), ("100", 99, 100)]
)
def test_protection_is_what_is_asked_or_the_brokers_own(given, at, percent):
    assert asked_protection(Form({"p": given}), "p", D(at), BANDS) == percent


@pytest.mark.parametrize("given", [None, "", "0", "-2", "100.1", "much"])
def test_protection_that_is_none_is_refused_by_name(given):
    with pytest.raises(FieldError, match="`p`"):
        asked_protection(Form({"p": given}), "p", D(1), BANDS)


def test_a_stop_waits_beyond_the_last_price_and_not_at_it():
    market = quiet_venue().market(SHARE)
    last = market.last_price
    assert [passed(Side.BUY, last + step, market) for step in (-1, 0, 1)] == [True, True, False]
    assert [passed(Side.SELL, last + step, market) for step in (-1, 0, 1)] == [False, True, True]


def test_money_buys_whole_lots_at_the_price_it_meets():
    market = quiet_venue().market(SHARE_LISTING.instrument.instrument_id)
    facing = replace(market, bids=((D(8), D(1), 1),), asks=((D(10), D(1), 1),), last_price=D(9))
    assert lots_for(D("100.5"), Side.BUY, facing, D("0.25")) == 10
    assert lots_for(D(100), Side.SELL, facing, D("0.25")) == D("12.5")
    assert lots_for(D(90), Side.BUY, replace(facing, asks=()), D(1)) == 10


def test_what_traded_is_told_once_and_not_what_traded_before():
    market, prints = quiet_venue().market(SHARE_LISTING.instrument.instrument_id), Prints()
    prints.begin(replace(market, volume=D(5)))
    prints.begin(replace(market, volume=D(6)))
    assert [prints.look(replace(market, volume=D(volume))) for volume in (7, 7, 9)] == [2, 0, 2]
    assert prints.count == {market.instrument_id: 2}
    assert Prints().look(market) == 0


def test_holdings_without_any_are_worth_nothing():
    venue = quiet_venue()
    total = worth(securities(venue, "A"))
    assert (total.invested, total.current, total.profit_percent) == (0, 0, 0)


def test_commands_of_a_socket_are_done_or_refused_whole():
    sockets = ConflatedSockets(1, lambda key, mode: b"", b"".join, per_frame=1, heartbeat=b"")
    sockets.open(1, "t", 0)
    client = sockets.get(1)
    sockets.command(client, "subscribe", [1, 2, 2], "ltp", 2)
    with pytest.raises(ValueError, match="Maximum number of instruments per connection is 2"):
        sockets.command(client, "subscribe", [2, 3], "ltp", 2)
    sockets.command(client, "mode", [1, 9], "full", 2)
    sockets.command(client, "unsubscribe", [2], "", 2)
    assert client.modes == {1: "full"}
    with pytest.raises(ValueError, match="Invalid action 'sing'"):
        sockets.command(client, "sing", [1], "ltp", 2)


class WordedError(ApiError):
    statuses = MappingProxyType({"BadInput": 400, "NoMoney": 402})
    words = MappingProxyType({ErrorKind.INSUFFICIENT_MARGIN: "NoMoney"})
    other = "BadInput"
    texts = MappingProxyType({ErrorKind.INSUFFICIENT_MARGIN: "more money, please"})
    gates = MappingProxyType({429: ("BadInput", "later"), "orders": ("TooMany", "slower")})

    def body(self):
        return {"code": self.word, "text": self.message}


def test_what_the_venue_refuses_is_said_in_the_brokers_words_about_its_own_symbol():
    venue, named = quiet_venue(cash=D(1000)), ListingName(SHARE_LISTING, 1, "INFY-EQ")

    def refusal(order):
        with pytest.raises(WordedError) as error, WordedError.refusing(named):
            venue.submit("A", replace(order, product=Product.DELIVERY), venue.now_ns)
        return error.value.status, json.loads(error.value.answer().body)

    assert refusal(limit(Side.BUY, 11, "100")) == (402, {"code": "NoMoney", "text": "more money, please"})
    status, body = refusal(limit(Side.BUY, 1, "95.01"))
    assert (status, body["code"]) == (400, "BadInput")
    assert "of INFY-EQ is not a multiple of the tick size" in body["text"]
    assert WordedError("NoMoney", "x", 418).answer().status == 418


def test_the_first_rule_that_is_broken_is_said_and_a_full_meter_as_at_the_gate():
    WordedError.check((False, "BadInput", "never"), (None, "NoMoney", "never"))
    with pytest.raises(WordedError, match="second"):
        WordedError.check((0, "BadInput", "first"), (1, "NoMoney", "second"), (1, "BadInput", "third"))
    full = WordedError.meant(MeterFullError(Meter("orders", 1)))
    assert (full.word, full.status, str(full)) == ("TooMany", 429, "slower")


class Shelf(Lookup):
    """Offers shares only, by symbol and by number."""

    def name(self, listing, number):
        share = listing.instrument.exchange == "NSE"
        return ListingName(listing, number, listing.instrument.symbol) if share else None

    def names(self, named):
        return (named.symbol, named.token)


def test_a_lookup_finds_by_every_name_and_takes_more_later():
    shelf = Shelf([FUTURE_LISTING, SHARE_LISTING])
    (infy,) = shelf.all
    assert shelf.find("INFY") is shelf.find(0) is shelf.by_id[infy.instrument_id] is infy
    tcs = replace(SHARE_LISTING.instrument, instrument_id="NSE:TCS", symbol="TCS")
    shelf.add(replace(SHARE_LISTING, instrument=tcs))
    assert (shelf.find("TCS").token, shelf.find("TATA"), len(shelf.all)) == (1, None, 2)


def test_what_is_listed_later_is_on_the_venue_and_on_offer_once():
    venue, shelf = quiet_venue(), Shelf([SHARE_LISTING])
    tcs = replace(SHARE_LISTING, instrument=replace(SHARE_LISTING.instrument, instrument_id="NSE:TCS", symbol="TCS"))
    for _ in range(2):
        shelf.admit(venue, (SHARE_LISTING, tcs))
    assert venue.listing("NSE:TCS") is tcs
    assert [named.symbol for named in shelf.all] == ["INFY", "TCS"]


def test_markets_that_changed_are_named_once():
    venue = quiet_venue()
    changes = MarketChanges(venue)
    assert set(changes.fresh()) >= {SHARE}
    assert list(changes.fresh()) == []
    put(venue, limit(Side.BUY, 1, "95"))
    assert list(changes.fresh()) == [SHARE]
