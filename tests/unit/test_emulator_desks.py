"""The counters brokers share, with a toy broker: row tables, orders, triggers, alerts, streams, app set-up."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace

import pytest

from dragoman.emulator.alert_desk import AlertDesk
from dragoman.emulator.alerts import Condition, Figure, Terms
from dragoman.emulator.app_emulator import AppEmulator, AppSession, LoginPage
from dragoman.emulator.bodies import json_answer
from dragoman.emulator.contract import HttpCall, Push, Roots
from dragoman.emulator.counting import DAY, MINUTE, SECOND, Meter
from dragoman.emulator.desks import Desk, TriggerDesk
from dragoman.emulator.encode_protobuf import proto_field, proto_message
from dragoman.emulator.forms import FieldError, Form
from dragoman.emulator.listed import Listed, ListingName
from dragoman.emulator.listeners import Listeners
from dragoman.emulator.order_desk import OrderDesk, OrderWords
from dragoman.emulator.placed import PlacedSocket
from dragoman.emulator.proto_rows import Each, write_proto
from dragoman.emulator.refusals import ApiError
from dragoman.emulator.rest import Rule
from dragoman.emulator.routes import Route, listing, refusing
from dragoman.emulator.rows import As, Levels, Or, write
from dragoman.emulator.statuses import StatusWords
from dragoman.emulator.tick_desk import TickDesk
from dragoman.emulator.topic_sockets import Sockets, Topic, TopicSocket, TopicSockets
from dragoman.emulator.triggers import Leg, TriggerOverError
from dragoman.emulator.venue.types import VenueRejectError
from dragoman.emulator.views import FundsView, HoldingView, PositionView
from dragoman.errors import ErrorKind
from dragoman.model import OrderStatus, OrderType, Product, Segment, Side, TimeInForce
from dragoman.plugin import ChargesTable
from dragoman.plugin.charges import _row
from reference.venue_kit import FUTURE, FUTURE_LISTING, SHARE, SHARE_LISTING, limit, put, quiet_venue, settle

D = Decimal


class ToyError(ApiError):
    statuses = {"WRONG": 400, "STRANGER": 401, "FULL": 429}
    other_status = 400
    words = {ErrorKind.ORDER_NOT_FOUND: "GONE"}
    other = "REFUSED"
    causes = {FieldError: "WRONG"}
    gates = {403: ("AWAY", "not from here"), 404: ("NOWHERE", "no page"), 405: ("NOWHERE", "no page")}
    gates |= {429: ("FULL", "too many"), "daily": ("FULL", "too many today")}
    faults = {503: ("DOWN", "closed")}
    fault = ("BROKEN", "something")

    def body(self):
        return {"word": self.word, "text": self.message}


class Names(Listed[ListingName]):
    def of(self, form):
        return ToyError.found(self.by_key.get(form.text("symbol")), "WRONG", "no such symbol")


WORDS = OrderWords(
    types={"M": OrderType.MARKET, "L": OrderType.LIMIT, "S": OrderType.STOP_LIMIT},
    products={"I": Product.INTRADAY, "C": Product.CARRY},
    validities={"DAY": TimeInForce.DAY, "IOC": TimeInForce.IOC},
    default_validity="DAY",
    keeps_at_zero=("price",),
)


class Toy:
    errors = ToyError
    statuses = StatusWords(firm={status: status.value.lower() for status in OrderStatus})


class Orders(Toy, OrderDesk[Names]):
    words = WORDS
    unknown = ("GONE", "no such order")
    most_changes = (2, "WRONG", "no more changes")
    wrong_side = ("WRONG", "{side} stop at {trigger} is {beyond} than {last}")

    def check(self, form, named):
        ToyError.when(form.get("tag") == "bad", "WRONG", "bad tag")

    def protection(self, form, named):
        return D(2)


def names():
    return Names((ListingName(SHARE_LISTING, 1, "INFY"), ListingName(FUTURE_LISTING, 2, "INFYFUT", lots=True)))


def orders(venue=None):
    return Orders(venue or quiet_venue(), names(), "A")


def asked(**fields):
    plain = {"symbol": "NSE:INFY", "transaction_type": "BUY", "quantity": 10, "order_type": "L", "product": "I"}
    return Form(plain | {"price": "95"} | fields)


# --- rows and views ---------------------------------------------------------------------------------------------------


def test_a_table_writes_paths_constants_conversions_and_levels():
    record = SimpleNamespace(price=D("1.50"), side=Side.BUY, text="", book=[(D(3), 2, 1)], flag=False)
    table = {
        "p": ".price",
        "s": ".side.value",
        "n": Or(".text", "none"),
        "c": As(".side", str.lower),
        "deep": {"flag": ".flag", "zero": 0, "word": "as it is"},
        "levels": Levels(".book", 2, {"at": ".price", "size": ".quantity"}),
        "all": As(".", lambda one: one.flag),
    }
    assert json.loads(json.dumps(write(table, record))) == {
        "p": 1.5,
        "s": "BUY",
        "n": "none",
        "c": "buy",
        "deep": {"flag": False, "zero": 0, "word": "as it is"},
        "levels": [{"at": 3, "size": 2}, {"at": 0, "size": 0}],
        "all": False,
    }


def test_a_path_that_leads_nowhere_is_an_error():
    with pytest.raises(AttributeError, match="nothing"):
        write({"a": ".nothing"}, SimpleNamespace())


def traded(venue, order, other):
    """Let two accounts trade with each other."""
    put(venue, other, account="B")
    put(venue, order)
    settle(venue)
    return Desk(venue, names(), "A")


def test_a_position_of_lots_is_counted_in_lots_and_its_money_is_whole():
    venue = quiet_venue("A", "B")
    desk = traded(venue, limit(Side.BUY, 100, "100", FUTURE), limit(Side.SELL, 100, "100", FUTURE))
    (held,) = desk.positions()
    assert (held.quantity, held.multiplier, held.average) == (2, 100, 100)
    assert (held.bought.quantity, held.bought.price, held.bought.value) == (2, 100, 20_000)
    assert (desk.quote(held.named).oi, held.named.unit) == (20, 50)


def test_funds_of_several_segments_are_added_and_a_wrong_name_is_an_error():
    venue = quiet_venue()
    one = venue.funds("A")[Segment.EQUITY]
    both = FundsView(one, one)
    assert (both.net, both.own, both.total) == (2 * one.net, 2 * one.net, 2 * one.net)
    assert FundsView().net == 0
    with pytest.raises(AttributeError, match="has no 'nett'"):
        _ = both.nett


def test_what_is_bought_shows_in_the_view_of_the_position():
    venue = quiet_venue("A", "B")
    (held,) = traded(venue, limit(Side.BUY, 10, "100"), limit(Side.SELL, 10, "100")).positions()
    assert isinstance(held, PositionView)
    assert (held.quantity, held.size, held.sign, held.carried) == (10, 10, 1, 0)
    assert (held.bought.quantity, held.bought.price, held.sold.quantity) == (10, 100, 0)
    assert held.unrealised == held.pnl - held.realised
    assert (held.carried_long, held.carried_bought_value, held.carried_sold_value) == (0, 0, 0)


def test_a_holding_is_split_into_its_parts():
    venue = quiet_venue()
    venue.set_holding("A", SHARE, D(100), D(80), t1_quantity=D(10), pledged_quantity=D(30))
    (held,) = Desk(venue, names(), "A").holdings()
    assert isinstance(held, HoldingView)
    assert (held.quantity, held.t1, held.settled, held.pledged, held.free) == (100, 10, 90, 30, 60)
    assert held.profit == (held.market.last_price - 80) * 100
    told = [(part.fresh, part.quantity, part.left, part.pledged, part.value) for part in held.parts]
    last = held.market.last_price
    assert told == [(False, 90, 90, 30, 90 * last), (True, 10, 10, 0, 10 * last)]
    assert sum(part.profit for part in held.parts) == held.profit
    assert (held.funded, held.funded_price, held.funded_value, held.funded_margin) == (0, 0, 0, 0)


# --- orders -----------------------------------------------------------------------------------------------------------


def test_an_order_is_read_placed_changed_and_ended():
    desk = orders()
    named, order = desk.read(asked(tag="mine", disclosed_quantity=5))
    assert (order.price, order.quantity, order.tag, order.display_quantity) == (95, 10, "mine", 5)
    (order_id,) = desk.submitted(named, order, desk.venue.now_ns)
    settle(desk.venue)
    state = desk.find(order_id)
    assert desk.change(state, Form({"quantity": 12, "price": 0}), desk.venue.now_ns) == order_id
    settle(desk.venue)
    assert (desk.find(order_id).order.quantity, desk.find(order_id).order.price) == (12, 95)
    desk.end(desk.find(order_id), desk.venue.now_ns)
    settle(desk.venue)
    assert [one.status for one in desk.life(order_id)][-1] == "canceled"
    assert desk.trades(order_id) == []


def test_an_order_takes_so_many_changes_and_a_refused_one_does_not_count():
    desk = orders()
    named, order = desk.read(asked())
    order_id = desk.submitted(named, order, desk.venue.now_ns)[0]
    settle(desk.venue)
    for form in ({"quantity": "x"}, {"quantity": 11}, {"quantity": 12}):
        wrong = form["quantity"] == "x"
        with pytest.raises(FieldError) if wrong else nullcontext():
            desk.change(desk.find(order_id), Form(form), desk.venue.now_ns)
        settle(desk.venue)
    with pytest.raises(ToyError, match="no more changes"):
        desk.change(desk.find(order_id), Form({"quantity": 13}), desk.venue.now_ns)


def test_what_follows_an_order_is_placed_when_it_has_filled():
    desk = orders()
    desk.venue.open_account("B", {Segment.EQUITY: D(1_000_000)})
    for side, price in ((Side.SELL, "101"), (Side.BUY, "99")):
        put(desk.venue, limit(side, 20, price), "B")
    named, order = desk.read(asked(order_type="M"))
    second = replace(order, side=Side.SELL, quantity=D(4))
    desk.begin(named, order, lambda state: second if state.order.side is Side.BUY else None, desk.venue.now_ns)
    for _ in range(2):
        settle(desk.venue)
        desk.chains.poll(desk.venue.now_ns)
    assert [(one.order.side, one.order.quantity) for one in desk.orders()] == [("BUY", 10), ("SELL", 4)]


def test_an_order_costs_what_its_product_costs_and_one_without_is_delivered():
    day = date(2026, 1, 5)
    rows = (
        {"charge": "brokerage", "rate": "0.01", "at_most": "5", "products": ["INTRADAY"], "until": day},
        {"charge": "brokerage", "rate": "0.02", "products": ["INTRADAY"]},
        {"charge": "transaction_tax", "name": "stt", "rate": "0.001", "products": ["DELIVERY"]},
        {"charge": "transaction_tax", "name": "stt", "rate": "0"},
    )
    table = ChargesTable(tuple(_row("here", {"source": "a test", "as_of": day} | row) for row in rows), "INR")
    desk, named = orders(), names().by_id[SHARE]
    now = int(datetime(2026, 1, 5, 6, tzinfo=UTC).timestamp()) * 10**9
    found = desk.fee(WORDS, asked(), named, D(100), table, now)  # 10 of them: 1,000
    assert (found.tax_name, found.tax, found.brokerage) == ("stt", 0, 5)
    assert desk.fee(WORDS, asked(), named, D(100), table, now + DAY).brokerage == 20
    delivered = desk.fee(WORDS, asked(product=""), named, D(100), table, now)
    assert (delivered.tax, delivered.brokerage) == (1, 0)


def test_a_change_reads_only_what_may_change_and_a_zero_as_the_broker_does():
    _, order = orders().read(asked())
    named = names().by_id[SHARE]
    form = Form({"validity": "IOC", "quantity": 0, "price": 0})
    assert WORDS.changes(form, order, named)["time_in_force"] is TimeInForce.IOC
    told = replace(WORDS, fixed=("validity",)).changes(form, order, named)
    assert (told["time_in_force"], told["quantity"], told["price"]) == (None, 0, None)


def test_a_list_of_objects_is_asked_for_in_the_brokers_words():
    assert [one.text("a") for one in Form({"rows": [{"a": 1}]}).rows("rows")] == ["1"]
    for wrong in (None, [], [1], {}):
        with pytest.raises(FieldError, match="give rows"):
            Form({"rows": wrong}).rows("rows", "give rows")


def test_a_market_order_gets_the_brokers_protection():
    _, order = orders().read(asked(order_type="M"))
    assert (order.protection, order.price) == (2, None)


def test_rules_of_the_broker_come_before_the_order():
    with pytest.raises(ToyError, match="bad tag"):
        orders().read(asked(tag="bad"))


@pytest.mark.parametrize(("side", "trigger", "beyond"), [("BUY", "50", "lower"), ("SELL", "150", "higher")])
def test_a_stop_on_the_wrong_side_is_refused_in_the_brokers_words(side, trigger, beyond):
    with pytest.raises(ToyError, match=rf"{side.lower()} stop at {trigger} is {beyond} than 100"):
        orders().read(asked(order_type="S", transaction_type=side, trigger_price=trigger))


def test_an_order_above_the_freeze_quantity_is_sliced_and_each_part_has_a_fate():
    desk = orders()
    named, order = desk.read(asked(quantity=12_000, price="1"))
    fates = desk.submit(named, order, desk.venue.now_ns, sliced=True)
    assert [isinstance(one, ToyError) for one in fates] == [True] * 3
    with pytest.raises(ToyError):
        desk.submitted(named, order, desk.venue.now_ns, sliced=True)


def test_an_order_nobody_knows_is_the_brokers_error():
    for ask in (orders().find, orders().life, orders().trades):
        with pytest.raises(ToyError, match="no such order"):
            ask("42")


def test_margins_are_told_for_each_and_together():
    desk = orders()
    _, order = desk.read(asked())
    each, together = desk.needs([order, order])
    assert sum(need.total for need in each) == together.total > 0


# --- triggers and alerts ----------------------------------------------------------------------------------------------


class Triggers(Toy, TriggerDesk[Names]):
    first = 7
    life_ns = DAY
    refusals = {LookupError: ("GONE", "none"), TriggerOverError: ("OVER", "over"), ValueError: ("WRONG", "no: {}")}


def test_a_trigger_is_placed_read_changed_and_deleted_by_method():
    desk = Triggers(quiet_venue(), names(), "A")
    order = limit(Side.BUY, 10, "90")

    def legs(before):
        return [Leg(D(90) if before is None else D(85), order)], D(100)

    rest = desk.act("POST", None, legs, 1)
    assert (rest.number, desk.act("GET", 7, legs, 1)) == (7, rest)
    assert desk.act("PUT", 7, legs, 2).legs[0].trigger == 85
    assert desk.act("DELETE", 7, legs, 3).status == "deleted"
    for method, number, word in (("PUT", 7, "OVER"), ("GET", 9, "GONE")):
        with pytest.raises(ToyError) as refused:
            desk.act(method, number, legs, 4)
        assert refused.value.word == word
    with pytest.raises(ToyError, match=r"no: .*100"):
        desk.act("POST", None, lambda _: ([Leg(D(100), order)], D(100)), 5)


class Alerts(Toy, AlertDesk[Names]):
    refusals = {LookupError: ("GONE", "none"), ValueError: ("WRONG", "no: {}")}


def test_alerts_are_deleted_all_or_none():
    desk = Alerts(quiet_venue(), names(), "A")
    terms = Terms("mine", Condition(Figure(SHARE, "last_price"), ">", D(100)))
    for _ in range(2):
        desk.act("POST", None, lambda: terms, 1)
    assert desk.act("GET", "2", lambda: terms, 1).terms is terms
    with pytest.raises(ToyError, match="none"):
        desk.remove(["1", "3"], 2)
    assert len(desk.book.kept()) == 2
    assert desk.remove(["1", "2"], 2) == 2
    assert not desk.book.kept()


# --- errors and handlers ----------------------------------------------------------------------------------------------


def test_errors_of_shared_parts_become_the_brokers_and_bugs_stay():
    assert ToyError.meant(FieldError("x")).word == "WRONG"
    assert ToyError.meant(KeyError("x")) is None
    assert ToyError.attempt(lambda: 5) == 5
    assert ToyError.attempt(Form({}).text, "a").message == "Missing or empty field `a`"
    with pytest.raises(ZeroDivisionError):
        ToyError.attempt(lambda: 1 / 0)


def test_the_nearest_row_turns_a_books_error():
    rows = {TriggerOverError: ("OVER", "over"), ValueError: ("WRONG", "no: {}", 418)}
    with pytest.raises(ToyError) as over, ToyError.turning(rows):
        raise TriggerOverError("x")
    with pytest.raises(ToyError) as wrong, ToyError.turning(rows):
        raise ValueError("y")
    assert (over.value.word, wrong.value.message, wrong.value.status) == ("OVER", "no: y", 418)


def test_a_gate_names_the_meter_that_is_full_where_the_broker_does():
    assert ToyError.gated(429, Meter("daily", 1, DAY)).message == "too many today"
    assert ToyError.gated(429, Meter("other", 1)).message == "too many"
    assert (ToyError.failing(503).word, ToyError.failing(500).word) == ("DOWN", "BROKEN")


def test_a_listing_writes_a_row_of_each_record_and_passes_the_paths_groups():
    handler = listing(lambda rows: rows, {"v": ".value"}, lambda name="": [SimpleNamespace(value=name)])
    assert handler(None, 0, name="x") == [{"v": "x"}]
    assert listing(lambda rows: rows, str, lambda: [1])(None, 0) == ["1"]
    with pytest.raises(ToyError, match="never"):
        refusing(ToyError, "WRONG", "never")(None, 0, anything="x")


def test_an_instrument_the_venue_refuses_is_named_as_the_broker_does():
    named = names().by_id[SHARE]
    refused = VenueRejectError(ErrorKind.ORDER_NOT_FOUND, f"no order in {SHARE}")
    assert ToyError.of(refused, named).message == "no order in INFY"


# --- app set-up -------------------------------------------------------------------------------------------------------


class Session(AppSession):
    errors = ToyError
    options = {"key": "emu_k", "secret": "emu_s", "user": "emu_u", "back": "http://127.0.0.1:1/"}
    dies_at_ns = 0
    code_life_ns = MINUTE
    header = re.compile("Toy (?P<key>[^:]*):(?P<token>.*)")
    stranger = ("STRANGER", "who are you")
    page = LoginPage((({"app": ".api_key"}, ("WRONG", "not this app")),), "code", (("ok", "1"),))


class ToyEmulator(AppEmulator):
    name = "toy"
    errors = ToyError
    session_type = Session

    def __init__(self, venue, **options):
        super().__init__(venue, **options)
        rule, count = Rule((Meter("daily", 3, DAY),)), Rule(token=False, registered=True)
        desk = Orders(venue, names(), self.account)
        routes = (("GET", "/orders", desk.orders, rule), ("GET", "/page", list, count))
        self.serve(Route(way, path, listing(_envelope, str, rows), checks) for way, path, rows, checks in routes)

    def roots(self, base_http, base_ws):
        return Roots(base_http, base_ws, base_http)


def _envelope(rows):
    return json_answer(rows)


def call(path, token="", method="GET"):
    return HttpCall(method, path, (), {"authorization": token}, b"", peer="10.0.0.9")


def test_an_app_is_set_up_by_the_brokers_names_and_no_others():
    emulator = ToyEmulator(quiet_venue("emu_u"), key="emu_other", tick_rate=4)
    assert emulator.credentials["key"] == "emu_other"
    assert emulator.credentials["redirect_url"] == emulator.credentials["back"] == "http://127.0.0.1:1/"
    assert (emulator.account, emulator.pace_ns) == ("emu_u", SECOND // 4)
    with pytest.raises(TypeError, match=r"unknown options .'api_key'."):
        ToyEmulator(quiet_venue("emu_u"), api_key="emu_k")
    with pytest.raises(ValueError, match="tick_rate is 0"):
        ToyEmulator(quiet_venue("emu_u"), tick_rate=0)


def test_the_login_page_checks_the_app_and_sends_the_state_back():
    session = Session.of({}, 1)
    page = HttpCall("GET", "/login", (("app", "emu_k"), ("state", "s 1")), {}, b"")
    location = dict(session.login_page(page, 1).headers)["Location"]
    assert re.fullmatch(r"http://127\.0\.0\.1:1/\?ok=1&state=s\+1&code=emu_\w+", location)
    with pytest.raises(ToyError, match="not this app"):
        session.login_page(HttpCall("GET", "/login", (("app", "x"),), {}, b""), 1)


def test_calls_hear_the_brokers_errors_at_the_gate():
    emulator = ToyEmulator(quiet_venue("emu_u"), allowed_ips=("127.0.0.1",))
    session, now = emulator.session, emulator.venue.now_ns
    token = session.tokens.exchange(session.tokens.request(now), now)
    told = [emulator.handle(call("/orders", shown), now) for shown in (f"Toy emu_k:{token}", f"Toy x:{token}", "")]
    told += [emulator.handle(call("/orders"), now), emulator.handle(call("/page"), now)]
    told += [emulator.handle(call("/page", method="PUT"), now), emulator.handle(call("/none"), now)]
    assert [answer.status for answer in told] == [200, 401, 401, 429, 403, 405, 404]
    assert json.loads(told[3].body)["text"] == "too many today"
    assert emulator.error_answer(503, call("/orders")).status == 503
    assert emulator.open_socket(call("/ws"), 1, now).status == 404
    assert (emulator.on_message(1, "x", now), emulator.frames(now), emulator.posts()) == ((), (), ())


def test_a_made_emulator_is_sent_back_to_the_port_that_is_asked_for():
    emulator = ToyEmulator.make(1, 1_764_060_300_000_000_000, redirect_port=4242)
    assert emulator.credentials["back"] == "http://127.0.0.1:4242/"
    assert emulator.venue.funds("emu_u")


# --- streams ----------------------------------------------------------------------------------------------------------


class Ticks(Toy, TickDesk[Names]):
    per_frame = 10

    def entry(self, token, mode):
        return f"{token}{mode};".encode()

    def frame(self, packets):
        return b"".join(packets)

    def command(self, socket, client, message):
        self.sockets.command(client, message["do"], self.names.tokens(message["keys"]), "full", 1)
        return ()

    def unread(self, why):
        return why

    def texts(self):
        return [view.status for _, shown in self.updates() for view in shown]


def test_a_stream_of_ticks_hears_json_and_tells_what_changed():
    venue, session = quiet_venue("emu_u"), Session.of({}, 1)
    desk, now = Ticks(venue, names(), session, SECOND), venue.now_ns
    token = session.tokens.exchange(session.tokens.request(now), now)
    desk.sockets.open(1, token, now)
    assert desk.hear(2, "{}", now) == ()
    for wrong, why in (("no json", "Invalid message"), ('{"do": 1}', "Invalid message")):
        assert desk.hear(1, wrong, now) == (Push(1, why),)
    both = json.dumps({"do": "subscribe", "keys": ["NSE:INFY", "NFO:INFYFUT"]})
    assert "Maximum number" in desk.hear(1, both, now)[0].data
    assert desk.hear(1, json.dumps({"do": "subscribe", "keys": ["NSE:INFY", "NSE:NONE"]}), now) == ()
    venue.submit("emu_u", limit(Side.BUY, 10, "95"), now)
    pushes = desk.poll(now)
    assert Push(1, "accepted") in pushes
    assert Push(1, b"1full;") in pushes
    session.tokens.end()
    assert desk.poll(now) == [Push(1, close_code=1000)]
    desk.close(1)


def test_a_client_takes_as_many_of_a_mode_as_there_is_room_for():
    sockets = Ticks(quiet_venue("emu_u"), names(), Session.of({}, 1), SECOND).sockets
    sockets.open(1, "t", 0)
    client = sockets.get(1)
    assert sockets.take(client, [1, 2, 3], "full", 2) == [1, 2]
    assert sockets.take(client, [2, 3], "full", 2) == [2]
    assert sockets.take(client, [1, 2], "ltp", 5) == [1, 2]
    assert (client.modes, client.dirty) == ({1: "ltp", 2: "ltp"}, {})


def test_a_message_is_written_from_a_table_of_fields():
    record = SimpleNamespace(price=1.5, none=0, rows=[SimpleNamespace(size=size) for size in (1, 2, 3)])
    table = ((1, "double", ".price"), (2, "int64", ".none"), (4, "message", Each(".rows", ((1, "int64", ".size"),), 2)))
    found = write_proto(((3, "message", table), (5, "enum", 7)), record)
    rows = proto_message(4, proto_field(1, "int64", 1)) + proto_message(4, proto_field(1, "int64", 2))
    assert found == proto_message(3, proto_field(1, "double", 1.5), rows) + proto_field(5, "enum", 7)


class Encoder:
    """Stands in for a `TopicEncoder`: a vector is the values themselves."""

    def vector(self, name, values, divisor):
        return tuple(values.values())

    def define(self, layout, number, name, vector, *, precision, texts):
        return f"+{number}{name.decode()}{vector}".encode()

    def update(self, layout, number, vector):
        return f"~{number}{vector}".encode()

    def lite(self, layout, number, values, divisor):
        return f"!{number}{values['last']}".encode()

    def changes(self, before, after):
        return tuple(now if now != was else None for was, now in zip(before, after, strict=True))


def test_a_topic_is_told_whole_once_and_then_by_what_changed():
    values = {"last": 1, "volume": 5}
    frames = []

    def frame(number, records):
        frames.append((number, list(records)))
        return b"|".join(records)

    sockets = TopicSockets(Encoder(), lambda topic: dict(values), frame, per_frame=10, pace_ns=10)
    named = names().by_id[SHARE]
    sockets[4] = one = TopicSocket(token="t")
    one.subscribe({b"a": Topic("sf", named, ())}, channel=3)
    assert sockets.poll(0, ()) == [Push(4, b"+1a(1, 5)")]
    values["volume"] = 6
    assert sockets.poll(5, {named.token}) == []  # before the pace allows it
    assert sockets.poll(10, ()) == [Push(4, b"~1(None, 6)")]
    one.paused.add(3)
    values["last"] = 2
    assert sockets.poll(20, {named.token}) == []
    one.paused.clear()
    one.lite.add(3)
    assert sockets.poll(20, ()) == [Push(4, b"!12")]
    one.unsubscribe([b"a", b"never"])
    assert sockets.poll(40, {named.token}) == []
    assert [number for number, _ in frames] == [1, 2, 3]


def test_sockets_end_with_their_token_and_those_without_one_stay():
    sockets = Sockets({1: TopicSocket("dead"), 2: TopicSocket("alive"), 3: TopicSocket()})
    assert sockets.end(lambda token: token == "dead") == [Push(1, close_code=1000)]
    assert list(sockets) == [2, 3]


def test_a_book_is_told_by_place_and_a_level_that_is_gone_is_zeros():
    one = PlacedSocket("t")
    one.subscribe("X", "1")
    assert one.due((), 0, 10) == []  # its channel is off
    one.on.add("1")
    assert one.due((), 0, 10) == ["X"]
    whole = one.change("X", [[(101, 5, 1), (102, 6, 1)], [(100, 7, 2)]])
    assert (whole.number, whole.whole, whole.sides[0]) == (1, True, {0: (101, 5, 1), 1: (102, 6, 1)})
    assert one.due(("X", "Y"), 5, 10) == []
    assert one.due((), 10, 10) == ["X"]
    told = one.change("X", [[(101, 4, 1)], [(100, 7, 2)]])
    assert (told.number, told.whole, told.sides) == (2, False, [{0: (None, 4, None), 1: (0, 0, 0)}, {}])
    one.forget("X")
    assert one.change("X", [[], []]).whole


def test_listeners_hear_the_kinds_they_asked_for_until_they_ask_no_more():
    listeners = Listeners()
    listeners.open(1, "", ())
    assert listeners.poll(bool, [("orders", "a")]) == []
    listeners.ask(1, ["orders", "trades"], more=True)
    assert listeners.poll(bool, [("orders", "a"), ("positions", "b")]) == [Push(1, "a")]
    listeners.ask(1, ["orders"], more=False)
    assert listeners.poll(bool, [("orders", "a"), ("trades", "c")]) == [Push(1, "c")]
    with pytest.raises(KeyError):
        listeners.ask(2, ["orders"], more=True)
