"""A trading session through the official `kiteconnect` package, as its users write it, against our emulator.

Runs in the SDK's own environment: nothing of dragoman is importable here. Prints one JSON line per check and the table
of SDK methods. Where the SDK itself is at odds with the broker's documentation, the check says so.

Known faults of the SDK that no check can show here: it reads prices as unsigned integers, so that a commodity below
zero comes out near 42 949 672; it turns tick times into naive local time, right only where the machine's zone is
Indian.
"""

import itertools
import json
import os
import sys
import threading
import time
import traceback
import urllib.error
import urllib.parse
import urllib.request
from datetime import date, datetime, timedelta, timezone
from importlib.metadata import version

from kiteconnect import KiteConnect, KiteTicker
from kiteconnect import exceptions as ex

WHERE = json.loads(sys.argv[1])
KEY, SECRET = WHERE["credentials"]["api_key"], WHERE["credentials"]["api_secret"]
USER = WHERE["credentials"]["user_id"]
WAIT_S = 8.0
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


class Paced:
    """The SDK object, unchanged, called no faster than the broker allows; remembers which methods were called."""

    called = {}  # method -> names of the checks that called it
    check = ""
    _second = {}

    def __init__(self, sdk):
        self.sdk = sdk

    def __getattr__(self, name):
        value = getattr(self.sdk, name)
        if not callable(value):
            return value

        def call(*args, **kwargs):
            Paced.called.setdefault(name, []).append(Paced.check)
            kinds = {"quote": "quote", "ohlc": "quote", "ltp": "quote", "historical_data": "candles"}
            self.pace(kinds.get(name, "other"))
            return value(*args, **kwargs)

        return call

    @classmethod
    def pace(cls, kind):
        limit = {"quote": 1, "candles": 3}.get(kind, 8)
        while True:
            second = int(time.time())
            then, used = cls._second.get(kind, (0, 0))
            used = used if then == second else 0
            if used < limit:
                cls._second[kind] = (second, used + 1)
                return
            next_second(0.01)


def next_second(after=0.05):
    time.sleep(1 - time.time() % 1 + after)


def until(question, what, seconds=WAIT_S):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = question()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s for {what}")


def refused(kind, code, call, text=None):
    """The SDK must raise exactly `kind` with the HTTP status `code`, and the broker's words."""
    try:
        got = call()
    except ex.KiteException as refusal:
        error = refusal
    else:
        raise AssertionError(f"not refused: {got!r}")
    assert type(error) is kind, f"{type(error).__name__}: {error}"
    assert error.code == code, error.code
    assert text is None or text.lower() in str(error).lower(), str(error)


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args):
        return None


def answer_of(url):
    """Return status and Location of a page, as a browser that follows nothing sees it."""
    try:
        with urllib.request.build_opener(NoRedirect).open(url, timeout=5) as answer:
            return answer.status, None
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.headers["Location"]


def request_token(**more):
    status, location = answer_of(WHERE["login"] + ("&" + urllib.parse.urlencode(more) if more else ""))
    assert status == 302, status
    return location, dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(location).query))


kite = Paced(KiteConnect(api_key=KEY, root=WHERE["rest"]))
state = {}
instruments = {}


def raw(verb, *args, **kwargs):
    """Call the SDK's own transport, for what it has no method for."""
    Paced.pace("other")
    return getattr(kite.sdk, "_" + verb)(*args, **kwargs)


def place(**changes):
    order = {
        "variety": "regular",
        "exchange": "NSE",
        "tradingsymbol": "INFY",
        "transaction_type": "BUY",
        "quantity": 1,
        "product": "MIS",
        "order_type": "LIMIT",
    }
    order.update(changes)
    return kite.place_order(**order)


def book(order_id):
    return next(order for order in kite.orders() if order["order_id"] == order_id)


def settled(order_id, *statuses):
    return until(
        lambda: (lambda order: order if order["status"] in statuses else None)(book(order_id)),
        f"order {order_id} to be {' or '.join(statuses)}",
    )


def price_near(key, factor):
    """A price on the tick near last price x factor."""
    tick = instruments[key]["tick_size"]
    last = kite.ltp(key)[key]["last_price"]
    return round(round(last * factor / tick) * tick, 4)


# --- session ---------------------------------------------------------------------------------------------------------


def now():
    """Indian wall clock, without a zone, like every time of the SDK."""
    return datetime.now(timezone(timedelta(hours=5, minutes=30))).replace(tzinfo=None)


@check
def sdk_is_the_pinned_release():
    assert version("kiteconnect") == "5.2.2", version("kiteconnect")


@check
def login_url_of_the_sdk_carries_what_the_login_page_asks():
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(kite.login_url()).query)
    assert query == {"api_key": [KEY], "v": ["3"]}, query
    assert kite.login_url().startswith("https://kite.zerodha.com/connect/login?"), kite.login_url()


@check
def login_page_redirects_with_a_request_token():
    location, query = request_token(redirect_params="state=abc&x=1")
    assert location.startswith(WHERE["credentials"]["redirect_url"]), location
    assert query["action"] == "login", query
    assert query["status"] == "success", query
    assert query["state"] == "abc", query
    assert query["x"] == "1", query
    state["request_token"] = query["request_token"]


@check
def login_page_refuses_an_unknown_key():
    assert answer_of(WHERE["rest"] + "/connect/login?v=3&api_key=nobody") == (400, None)


@check
def call_before_login_is_a_token_exception():
    refused(ex.TokenException, 403, kite.profile)


@check
def wrong_secret_is_a_token_exception():
    refused(ex.TokenException, 403, lambda: kite.generate_session(state["request_token"], "wrong"), "checksum")


@check
def generate_session_returns_every_field():
    session = kite.generate_session(state["request_token"], SECRET)
    assert session["user_id"] == USER, session
    assert session["api_key"] == KEY
    assert session["refresh_token"] == ""
    assert isinstance(session["login_time"], datetime), session["login_time"]
    assert abs((now() - session["login_time"]).total_seconds()) < 60, session["login_time"]
    for name in ("access_token", "public_token", "enctoken", "user_name", "email", "user_type", "broker"):
        assert session[name], name
    assert "NSE" in session["exchanges"]
    assert "CNC" in session["products"]
    assert "SL-M" in session["order_types"]
    assert kite.access_token == session["access_token"]
    state["access_token"] = session["access_token"]


@check
def request_token_works_once():
    other = Paced(KiteConnect(api_key=KEY, root=WHERE["rest"]))
    refused(ex.TokenException, 403, lambda: other.generate_session(state["request_token"], SECRET))


@check
def wrong_token_is_a_token_exception_and_calls_the_expiry_hook():
    called = []
    other = Paced(KiteConnect(api_key=KEY, access_token="emu_wrong", root=WHERE["rest"]))
    other.set_session_expiry_hook(lambda: called.append(1))
    refused(ex.TokenException, 403, other.profile)
    assert called == [1]


@check
def refresh_is_refused_to_an_ordinary_app():
    refused(ex.TokenException, 403, lambda: kite.renew_access_token("none", SECRET))
    refused(ex.TokenException, 403, lambda: kite.invalidate_refresh_token("none"))


@check
def profile_names_the_user():
    profile = kite.profile()
    assert profile["user_id"] == USER
    assert {
        "user_type",
        "email",
        "user_name",
        "user_shortname",
        "broker",
        "exchanges",
        "products",
        "order_types",
        "avatar_url",
        "meta",
    } <= set(profile)


@check
def margins_of_both_segments():
    margins = kite.margins()
    assert set(margins) == {"equity", "commodity"}
    for one in margins.values():
        assert one["enabled"] is True
        assert one["net"] > 0
        assert set(one["available"]) == {
            "adhoc_margin",
            "cash",
            "opening_balance",
            "live_balance",
            "collateral",
            "intraday_payin",
        }
        assert set(one["utilised"]) == {
            "debits",
            "exposure",
            "m2m_realised",
            "m2m_unrealised",
            "option_premium",
            "payout",
            "span",
            "holding_sales",
            "turnover",
            "liquid_collateral",
            "stock_collateral",
            "delivery",
        }


@check
def margins_of_one_segment():
    assert kite.margins("equity") == kite.margins()["equity"]
    assert kite.margins(KiteConnect.MARGIN_COMMODITY)["available"]["cash"] > 0


@check
def margins_of_an_unknown_segment_is_an_input_exception():
    refused(ex.InputException, 400, lambda: kite.margins("crypto"))


# --- market ----------------------------------------------------------------------------------------------------------


@check
def instruments_of_all_exchanges():
    rows = kite.instruments()
    for row in rows:
        instruments[instrument_key(row)] = row
    assert len(instruments) == len(rows) >= 300, (len(instruments), len(rows))
    assert {row["exchange"] for row in rows} >= {"NSE", "BSE", "NFO", "CDS", "BCD", "MCX"}
    assert {row["instrument_type"] for row in rows} == {"EQ", "FUT", "CE", "PE"}
    codes = {"NSE": 1, "NFO": 2, "CDS": 3, "BSE": 4, "BFO": 5, "BCD": 6, "MCX": 7}
    for row in rows:
        code = 9 if row["segment"] == "INDICES" else codes[row["exchange"]]
        assert row["instrument_token"] == int(row["exchange_token"]) * 256 + code, row
        if row["instrument_type"] in ("FUT", "CE", "PE"):
            assert isinstance(row["expiry"], date), row
            assert row["lot_size"] >= 1, row
            assert row["segment"] == row["exchange"] + ("-FUT" if row["instrument_type"] == "FUT" else "-OPT"), row
        else:
            assert row["expiry"] == "", row
        assert (row["strike"] > 0) == (row["instrument_type"] in ("CE", "PE")), row


@check
def instruments_of_one_exchange():
    rows = kite.instruments("NFO")
    assert rows == [row for row in instruments.values() if row["exchange"] == "NFO"]
    refused(ex.InputException, 400, lambda: kite.instruments("LSE"))


def contract(exchange, kind, root=None):
    """The symbol of the nearest contract of a kind that lives a few days yet."""
    found = [
        row
        for row in instruments.values()
        if row["exchange"] == exchange
        and row["instrument_type"] == kind
        and (root is None or row["name"] == root)
        and row["expiry"] > now().date()
    ]
    return min(found, key=lambda row: row["expiry"])


@check
def quote_has_depth_and_limits():
    quote = kite.quote("NSE:INFY", "NSE:NIFTY 50", "BSE:NOSUCH")
    assert set(quote) == {"NSE:INFY", "NSE:NIFTY 50"}, set(quote)
    infy, index = quote["NSE:INFY"], quote["NSE:NIFTY 50"]
    assert infy["instrument_token"] == 408065
    assert isinstance(infy["timestamp"], datetime), infy["timestamp"]
    assert isinstance(infy["last_trade_time"], datetime)
    assert infy["lower_circuit_limit"] < infy["last_price"] < infy["upper_circuit_limit"]
    assert infy["ohlc"]["low"] <= infy["last_price"] <= infy["ohlc"]["high"]
    assert infy["volume"] > 0
    assert infy["average_price"] > 0
    bids, asks = infy["depth"]["buy"], infy["depth"]["sell"]
    assert len(bids) == len(asks) == 5
    prices = [row["price"] for row in bids]
    assert prices == sorted(prices, reverse=True)
    prices = [row["price"] for row in asks]
    assert prices == sorted(prices)
    assert 0 < bids[0]["price"] < asks[0]["price"]
    assert all(row["quantity"] > 0 and row["orders"] > 0 for row in bids + asks)
    assert index["last_price"] > 10000
    assert "depth" not in index


@check
def ohlc_and_ltp():
    keys = ["NSE:INFY", instrument_key(contract("CDS", "FUT", "USDINR")), "256265"]
    ohlc = kite.ohlc(*keys)
    assert set(ohlc) == set(keys), set(ohlc)
    assert set(ohlc["NSE:INFY"]) == {"instrument_token", "last_price", "ohlc"}
    assert set(ohlc["NSE:INFY"]["ohlc"]) == {"open", "high", "low", "close"}
    assert 50 < ohlc[keys[1]]["last_price"] < 150
    ltp = kite.ltp(keys)
    assert {key: set(row) for key, row in ltp.items()} == {key: {"instrument_token", "last_price"} for key in keys}


def instrument_key(row):
    return f"{row['exchange']}:{row['tradingsymbol']}"


@check
def quotes_above_the_cap_are_an_input_exception():
    refused(ex.InputException, 400, lambda: kite.quote(["NSE:INFY"] * 501))
    refused(ex.InputException, 400, lambda: kite.ltp(["NSE:INFY"] * 1001))
    assert len(kite.ltp([instrument_key(row) for row in instruments.values()])) == len(instruments)


# --- orders ----------------------------------------------------------------------------------------------------------


@check
def market_order_without_protection_is_refused():
    refused(ex.InputException, 400, lambda: place(order_type="MARKET"), "market_protection")
    refused(ex.InputException, 400, lambda: place(order_type="MARKET", market_protection=0), "market_protection")
    refused(ex.InputException, 400, lambda: place(order_type="MARKET", market_protection=101), "market_protection")
    refused(ex.InputException, 400, lambda: place(order_type="SL-M", trigger_price=1500), "market_protection")


@check
def market_order_with_protection_comes_back_as_a_limit_order():
    order_id = place(order_type="MARKET", quantity=3, market_protection=2, tag="judge")
    assert isinstance(order_id, str)
    assert order_id.isdigit(), order_id
    order = settled(order_id, "COMPLETE")
    assert order["order_type"] == "LIMIT", order
    assert order["price"] >= order["average_price"] > 0, order
    assert order["market_protection"] == 0
    assert order["tag"] == "judge"
    assert {"mktp", "mktp:2.00", "judge"} <= set(order["tags"]), order["tags"]
    assert (order["quantity"], order["filled_quantity"], order["pending_quantity"]) == (3, 3, 0), order
    assert order["exchange_order_id"]
    for name in ("order_timestamp", "exchange_timestamp"):
        assert isinstance(order[name], datetime), order[name]
    assert len(order["exchange_update_timestamp"]) == 19  # the SDK leaves this one as text
    state["market"] = order_id


@check
def market_order_with_automatic_protection_fills():
    order = settled(place(order_type="MARKET", market_protection=KiteConnect.MARKET_PROTECTION_AUTO), "COMPLETE")
    assert "mktp" in order["tags"]


@check
def trades_of_an_order_add_up_to_it():
    trades = kite.order_trades(state["market"])
    order = book(state["market"])
    assert sum(trade["quantity"] for trade in trades) == 3
    value = sum(trade["quantity"] * trade["average_price"] for trade in trades)
    assert abs(value / 3 - order["average_price"]) < 1e-6, (value, order)
    for trade in trades:
        assert set(trade) == {
            "trade_id",
            "order_id",
            "exchange",
            "tradingsymbol",
            "instrument_token",
            "product",
            "average_price",
            "quantity",
            "exchange_order_id",
            "transaction_type",
            "fill_timestamp",
            "order_timestamp",
            "exchange_timestamp",
        }, set(trade)
        assert isinstance(trade["fill_timestamp"], datetime)
        assert len(trade["order_timestamp"]) == 8, trade["order_timestamp"]  # a time of day, here only
    everything = kite.trades()
    assert [trade for trade in everything if trade["order_id"] == state["market"]] == trades
    assert len({trade["trade_id"] for trade in everything}) == len(everything)


@check
def limit_order_rests_open():
    order_id = place(quantity=5, product="CNC", price=price_near("NSE:INFY", 0.95), disclosed_quantity=1)
    order = settled(order_id, "OPEN")
    assert (order["filled_quantity"], order["pending_quantity"], order["disclosed_quantity"]) == (0, 5, 1), order
    assert (order["validity"], order["variety"], order["product"]) == ("DAY", "regular", "CNC"), order
    assert order["tag"] is None
    assert order["modified"] is False
    state["limit"] = order_id


@check
def modify_changes_price_and_quantity():
    price = price_near("NSE:INFY", 0.94)
    assert kite.modify_order("regular", state["limit"], quantity=7, price=price) == state["limit"]
    order = until(
        lambda: (lambda o: o if o["status"] == "OPEN" and o["modified"] else None)(book(state["limit"])),
        "the modification",
    )
    assert (order["quantity"], order["price"], order["pending_quantity"]) == (7, price, 7), order


@check
def cancel_ends_the_order():
    assert kite.cancel_order("regular", state["limit"]) == state["limit"]
    order = settled(state["limit"], "CANCELLED")
    assert (order["filled_quantity"], order["cancelled_quantity"]) == (0, 7), order


@check
def order_history_spells_every_status():
    words = [row["status"] for row in kite.order_history(state["limit"])]
    assert words == [
        "PUT ORDER REQ RECEIVED",
        "VALIDATION PENDING",
        "OPEN PENDING",
        "OPEN",
        "MODIFY VALIDATION PENDING",
        "MODIFY PENDING",
        "MODIFIED",
        "OPEN",
        "CANCEL PENDING",
        "CANCELLED",
    ], words
    rows = kite.order_history(state["limit"])
    assert rows[0]["exchange_order_id"] is None
    assert rows[0]["exchange_timestamp"] is None
    assert rows[3]["exchange_order_id"] == rows[-1]["exchange_order_id"]
    assert (rows[0]["quantity"], rows[-1]["quantity"]) == (5, 7)
    filled = [row["status"] for row in kite.order_history(state["market"])]
    assert filled[:4] == words[:4], filled
    assert filled[-1] == "COMPLETE", filled


@check
def stop_limit_order_waits_for_its_trigger():
    trigger, price = price_near("NSE:INFY", 1.04), price_near("NSE:INFY", 1.05)
    order_id = place(order_type="SL", trigger_price=trigger, price=price)
    order = settled(order_id, "TRIGGER PENDING")
    assert (order["order_type"], order["trigger_price"], order["price"]) == ("SL", trigger, price), order
    kite.modify_order("regular", order_id, trigger_price=price)
    until(lambda: book(order_id)["trigger_price"] == price, "the new trigger")
    kite.cancel_order("regular", order_id)
    assert settled(order_id, "CANCELLED")["average_price"] == 0


@check
def stop_on_the_wrong_side_of_the_market_is_refused():
    for side, near, far, low in (("BUY", 0.97, 1.03, "lower"), ("SELL", 1.03, 0.97, "higher")):
        trigger, price = price_near("NSE:INFY", near), price_near("NSE:INFY", far)
        stop = {"transaction_type": side, "order_type": "SL", "trigger_price": trigger, "price": price}
        if side == "SELL":
            stop["price"] = trigger
        refused(ex.InputException, 400, lambda stop=stop: place(**stop), f"cannot be {low}")
        market = {"transaction_type": side, "order_type": "SL-M", "trigger_price": trigger, "market_protection": 2}
        refused(ex.InputException, 400, lambda market=market: place(**market), "last traded price")


@check
def stop_order_whose_trigger_is_reached_fills():
    """One stop a tick above the market and one a tick below: whichever way it goes, one of them triggers."""
    tick = instruments["NSE:INFY"]["tick_size"]

    def stop(side, sign):
        last = kite.ltp("NSE:INFY")["NSE:INFY"]["last_price"]
        trigger = round(last + sign * tick, 4)
        limit = round(round(last * (1 + sign * 0.03) / tick) * tick, 4)
        try:
            return place(transaction_type=side, order_type="SL", trigger_price=trigger, price=limit)
        except ex.InputException:  # the market went there meanwhile
            return None

    placed = {}
    for side, sign in (("BUY", 1), ("SELL", -1)):
        placed[side] = until(lambda side=side, sign=sign: stop(side, sign), f"a place for the {side} stop")
    filled = until(
        lambda: next((one for one in map(book, placed.values()) if one["status"] == "COMPLETE"), None),
        "a trigger to be reached",
    )
    assert filled["filled_quantity"] == 1
    worse = filled["average_price"] - filled["trigger_price"]
    assert worse >= -10 * tick if filled["transaction_type"] == "BUY" else worse <= 10 * tick, filled
    words = [row["status"] for row in kite.order_history(filled["order_id"])]
    assert words[-1] == "COMPLETE", words
    assert words.index("TRIGGER PENDING") < words.index("OPEN"), words
    for order_id in placed.values():
        if book(order_id)["status"] == "TRIGGER PENDING":
            kite.cancel_order("regular", order_id)
            settled(order_id, "CANCELLED", "COMPLETE")


@check
def stop_market_order_with_protection_becomes_a_stop_limit_order():
    trigger = price_near("NSE:INFY", 1.03)
    order_id = place(order_type="SL-M", trigger_price=trigger, market_protection=3)
    order = settled(order_id, "TRIGGER PENDING")
    assert order["order_type"] == "SL", order
    assert trigger <= order["price"] <= trigger * 1.03, order
    assert "mktp:3.00" in order["tags"], order
    kite.exit_order("regular", order_id)
    settled(order_id, "CANCELLED")


@check
def ioc_order_never_rests():
    order_id = place(validity="IOC", price=price_near("NSE:INFY", 0.95))
    order = settled(order_id, "CANCELLED")
    assert (order["validity"], order["cancelled_quantity"]) == ("IOC", 1), order


@check
def modification_to_market_needs_protection():
    order_id = place(price=price_near("NSE:INFY", 0.95))
    settled(order_id, "OPEN")
    refused(
        ex.InputException, 400, lambda: kite.modify_order("regular", order_id, order_type="MARKET"), "market_protection"
    )
    kite.modify_order("regular", order_id, order_type="MARKET", market_protection=2)
    assert settled(order_id, "COMPLETE")["filled_quantity"] == 1


@check
def sell_order_closes_and_positions_follow_the_formula():
    settled(place(transaction_type="SELL", order_type="MARKET", quantity=2, market_protection=2), "COMPLETE")
    trades = [row for row in kite.trades() if row["tradingsymbol"] == "INFY" and row["product"] == "MIS"]
    positions = kite.positions()
    assert set(positions) == {"net", "day"}
    row = next(row for row in positions["net"] if row["tradingsymbol"] == "INFY" and row["product"] == "MIS")
    assert row in positions["day"]
    for side, word in (("buy", "BUY"), ("sell", "SELL")):
        own = [trade for trade in trades if trade["transaction_type"] == word]
        assert row[side + "_quantity"] == row[f"day_{side}_quantity"] == sum(t["quantity"] for t in own), row
        value = sum(t["quantity"] * t["average_price"] for t in own)
        assert abs(row[side + "_value"] - value) < 1e-4, (row, value)
        assert abs(row[side + "_price"] - value / row[side + "_quantity"]) < 1e-4, row
    assert row["quantity"] == row["buy_quantity"] - row["sell_quantity"], row
    pnl = row["sell_value"] - row["buy_value"] + row["quantity"] * row["last_price"] * row["multiplier"]
    assert abs(row["pnl"] - pnl) < 1e-4, (row, pnl)
    assert abs(row["value"] - (row["sell_value"] - row["buy_value"])) < 1e-4
    assert row["average_price"] == row["buy_price"]
    assert row["overnight_quantity"] == 0


@check
def margin_is_used_and_adds_up():
    equity = kite.margins("equity")
    assert equity["utilised"]["debits"] > 0
    assert abs(equity["available"]["cash"] - equity["utilised"]["debits"] - equity["net"]) < 0.01, equity


@check
def derivative_lot_trades_in_units():
    row = contract("NFO", "FUT", "NIFTY")
    order_id = place(
        exchange="NFO",
        tradingsymbol=row["tradingsymbol"],
        quantity=row["lot_size"],
        product="NRML",
        order_type="MARKET",
        market_protection=2,
    )
    assert settled(order_id, "COMPLETE")["filled_quantity"] == row["lot_size"]
    position = next(p for p in kite.positions()["net"] if p["tradingsymbol"] == row["tradingsymbol"])
    assert (position["quantity"], position["multiplier"]) == (row["lot_size"], 1), position


@check
def currency_and_commodity_count_lots():
    for exchange, root in (("CDS", "USDINR"), ("MCX", "CRUDEOIL")):
        row = contract(exchange, "FUT", root)
        order_id = place(
            exchange=exchange,
            tradingsymbol=row["tradingsymbol"],
            quantity=1,
            product="NRML",
            order_type="MARKET",
            market_protection=1,
        )
        order = settled(order_id, "COMPLETE")
        assert order["quantity"] == order["filled_quantity"] == 1, order
        position = next(
            p
            for p in kite.positions()["net"]
            if p["tradingsymbol"] == row["tradingsymbol"] and p["exchange"] == exchange
        )
        assert (position["quantity"], position["multiplier"]) == (1, row["lot_size"]), position
        assert abs(position["buy_value"] - order["average_price"] * row["lot_size"]) < 1e-4, position
    assert kite.margins("commodity")["utilised"]["debits"] > 0


@check
def bad_parameters_are_input_exceptions():
    price = price_near("NSE:INFY", 0.95)
    for text, changes in (
        ("order_type", {"order_type": "BRACKET"}),
        ("transaction_type", {"transaction_type": "HOLD", "price": price}),
        ("product", {"product": "XYZ", "price": price}),
        ("validity", {"validity": "GTC", "price": price}),
        ("quantity", {"quantity": "many", "price": price}),
        ("quantity", {"quantity": 0, "price": price}),
        ("quantity", {"quantity": -1, "price": price}),
        ("price", {}),
        ("price", {"price": "dear"}),
        ("tick size", {"price": price + 0.03}),
        ("circuit", {"price": round(price * 0.5, 1)}),
        ("trigger_price", {"order_type": "SL", "price": price}),
        ("does not exist", {"tradingsymbol": "NOSUCH", "price": price}),
        ("exchange", {"exchange": "LSE", "price": price}),
        ("tag", {"tag": "x" * 21, "price": price}),
        ("iceberg_legs", {"variety": "iceberg", "price": price}),
        ("auction_number", {"variety": "auction", "price": price}),
        ("variety", {"variety": "bracket", "price": price}),
    ):
        refused(ex.InputException, 400, lambda changes=changes: place(**changes), text)
    row = contract("NFO", "FUT", "NIFTY")
    refused(
        ex.InputException,
        400,
        lambda: place(
            exchange="NFO",
            tradingsymbol=row["tradingsymbol"],
            product="NRML",
            quantity=1,
            order_type="MARKET",
            market_protection=2,
        ),
        "lot size",
    )
    row = contract("MCX", "FUT", "CRUDEOIL")
    refused(
        ex.InputException,
        400,
        lambda: place(
            exchange="MCX",
            tradingsymbol=row["tradingsymbol"],
            product="NRML",
            validity="IOC",
            order_type="MARKET",
            market_protection=2,
        ),
        "IOC",
    )


@check
def amo_order_waits_is_changed_and_filled():
    order_id = place(variety="amo", price=price_near("NSE:INFY", 0.95))
    order = book(order_id)
    assert (order["status"], order["variety"]) == ("AMO REQ RECEIVED", "amo"), order
    kite.modify_order("amo", order_id, price=price_near("NSE:INFY", 1.01))
    assert settled(order_id, "COMPLETE")["modified"] is True
    other = place(variety="amo", price=price_near("NSE:INFY", 0.95))
    assert kite.cancel_order("amo", other) == other
    settled(other, "CANCELLED")


@check
def iceberg_order_shows_leg_after_leg():
    first = place(
        variety="iceberg",
        quantity=25,
        iceberg_legs=3,
        iceberg_quantity=10,
        price=price_near("NSE:INFY", 1.01),
        algo_id="emu-algo",
    )
    legs = until(
        lambda: (lambda rows: rows if [row["status"] for row in rows] == ["COMPLETE"] * 3 else None)(
            [row for row in kite.orders() if row["variety"] == "iceberg"]
        ),
        "three legs",
    )
    assert legs[0]["order_id"] == first
    assert [leg["quantity"] for leg in legs] == [10, 10, 5]
    assert legs[0]["meta"]["iceberg"] == {
        "leg": 1,
        "legs": 3,
        "leg_quantity": 10,
        "total_quantity": 25,
        "remaining_quantity": 15,
    }, legs[0]["meta"]


@check
def cover_order_gets_a_second_leg_that_exits_it():
    key = "NSE:INFY"
    last = kite.ltp(key)[key]["last_price"]
    bands = kite.trigger_range("BUY", key, "NSE:NOSUCH")
    assert set(bands) == {key}, bands
    band = bands[key]
    assert band["instrument_token"] == instruments[key]["instrument_token"]
    assert 0 < band["lower"] < band["upper"] < last * 1.01, (band, last)
    above = kite.trigger_range("SELL", key)[key]
    assert last * 0.99 < above["lower"] < above["upper"], (above, last)
    entry = place(
        variety="co",
        order_type="MARKET",
        market_protection=2,
        trigger_price=price_near(key, (band["lower"] + band["upper"]) / 2 / kite.ltp(key)[key]["last_price"]),
    )
    settled(entry, "COMPLETE")
    second = until(
        lambda: next((row for row in kite.orders() if row["parent_order_id"] == entry), None), "the second leg"
    )
    assert (second["transaction_type"], second["variety"], second["product"]) == ("SELL", "co", "CO"), second
    settled(second["order_id"], "TRIGGER PENDING")
    kite.modify_order("co", second["order_id"], parent_order_id=entry, trigger_price=price_near(key, 0.93))
    until(lambda: book(second["order_id"])["modified"], "the new trigger")
    kite.exit_order("co", second["order_id"], parent_order_id=entry)
    settled(second["order_id"], "CANCELLED")


@check
def autosliced_order_answers_with_children():
    row = contract("NFO", "CE", "NIFTY")
    far = max(
        (
            item
            for item in instruments.values()
            if (item["exchange"], item["name"], item["expiry"], item["instrument_type"])
            == ("NFO", "NIFTY", row["expiry"], "CE")
        ),
        key=lambda item: item["strike"],
    )
    key = f"NFO:{far['tradingsymbol']}"
    lots = 1800 // far["lot_size"] + 20
    refused(
        ex.InputException,
        400,
        lambda: place(
            exchange="NFO",
            tradingsymbol=far["tradingsymbol"],
            quantity=lots * far["lot_size"],
            product="NRML",
            price=price_near(key, 0.97),
        ),
        "freeze quantity",
    )
    answer = kite.place_autoslice_order(
        "regular",
        "NFO",
        far["tradingsymbol"],
        "BUY",
        lots * far["lot_size"],
        "NRML",
        "LIMIT",
        price=price_near(key, 0.97),
    )
    children = answer["children"]
    assert len(children) >= 2, answer
    for child in children:
        order = book(child["order_id"])
        assert f"autoslice:{answer['order_id']}" in order["tags"], order
        assert "autoslice" in order["tags"]
    placed = [book(child["order_id"]) for child in children]
    assert sum(order["quantity"] for order in placed) == lots * far["lot_size"]
    assert max(order["quantity"] for order in placed) <= 1800
    assert len({order["order_id"] for order in placed}) == len(placed)
    assert answer["order_id"] not in {order["order_id"] for order in kite.orders()}
    for order in placed:
        if order["status"] == "OPEN":
            kite.cancel_order("regular", order["order_id"])


@check
def insufficient_funds_are_refused_at_once():
    # The broker says MarginException; the SDK has no such class: GeneralException, with the same code and words.
    assert not hasattr(ex, "MarginException")
    refused(
        ex.GeneralException,
        400,
        lambda: place(quantity=9000, product="CNC", price=price_near("NSE:INFY", 0.99)),
        "insufficient funds",
    )


@check
def selling_what_is_not_held_is_refused_at_once():
    # HoldingException, likewise without a class in the SDK.
    assert not hasattr(ex, "HoldingException")
    refused(
        ex.GeneralException,
        400,
        lambda: place(
            tradingsymbol="RELIANCE", transaction_type="SELL", product="CNC", order_type="MARKET", market_protection=2
        ),
        "insufficient holdings",
    )


@check
def refused_orders_are_in_no_book():
    orders = kite.orders()
    assert {order["status"] for order in orders} <= {"COMPLETE", "CANCELLED"}, {o["status"] for o in orders}
    assert not [order for order in orders if order["tradingsymbol"] in ("NOSUCH", "RELIANCE")]
    assert not [order for order in orders if order["quantity"] in (0, 9000)]


@check
def finished_and_unknown_orders_cannot_be_changed():
    refused(ex.OrderException, 400, lambda: kite.cancel_order("regular", state["market"]))
    refused(ex.OrderException, 400, lambda: kite.modify_order("regular", state["market"], quantity=9))
    refused(ex.InputException, 400, lambda: kite.cancel_order("regular", "1"), "order_id")
    refused(ex.InputException, 400, lambda: kite.order_history("1"), "order_id")
    refused(ex.InputException, 400, lambda: kite.order_trades("1"), "order_id")


@check
def twenty_sixth_modification_is_refused():
    low, high = price_near("NSE:INFY", 0.94), price_near("NSE:INFY", 0.95)
    order_id = place(price=high)
    settled(order_id, "OPEN")
    for number in range(25):
        kite.modify_order("regular", order_id, price=(low, high)[number % 2])
        time.sleep(0.06)  # one modification in flight at a time
    refused(ex.OrderException, 400, lambda: kite.modify_order("regular", order_id, price=high), "modifications")
    kite.cancel_order("regular", order_id)
    settled(order_id, "CANCELLED")


@check
def holdings_have_every_documented_field():
    holding = next(row for row in kite.holdings() if row["tradingsymbol"] == "SBIN")
    assert (holding["quantity"], holding["t1_quantity"], holding["collateral_quantity"]) == (60, 10, 30), holding
    assert holding["realised_quantity"] == holding["opening_quantity"] == 90
    assert set(holding) == {
        "tradingsymbol",
        "exchange",
        "instrument_token",
        "isin",
        "product",
        "price",
        "quantity",
        "used_quantity",
        "t1_quantity",
        "realised_quantity",
        "authorised_quantity",
        "authorised_date",
        "authorisation",
        "opening_quantity",
        "short_quantity",
        "collateral_quantity",
        "collateral_type",
        "discrepancy",
        "average_price",
        "last_price",
        "close_price",
        "pnl",
        "day_change",
        "day_change_percentage",
        "mtf",
    }, set(holding)
    offers = kite.get_auction_instruments()
    assert [row["auction_number"] for row in offers] == [str(at) for at in range(1, len(offers) + 1)], offers
    offered = next(row for row in offers if row["tradingsymbol"] == "SBIN")
    assert {name: value for name, value in offered.items() if name in ("isin", "average_price")} == {
        "isin": holding["isin"],
        "average_price": holding["average_price"],
    }
    order_id = place(
        variety="auction",
        tradingsymbol="SBIN",
        transaction_type="SELL",
        product="CNC",
        quantity=1,
        price=price_near("NSE:SBIN", 1.05),
        auction_number=offered["auction_number"],
    )
    assert settled(order_id, "OPEN")["auction_number"] == offered["auction_number"]
    kite.cancel_order("auction", order_id)
    settled(order_id, "CANCELLED")


@check
def position_is_converted():
    settled(place(tradingsymbol="SBIN", quantity=3, order_type="MARKET", market_protection=2), "COMPLETE")
    assert kite.convert_position("NSE", "SBIN", "BUY", "day", 2, "MIS", "CNC") is True
    held = {row["product"]: row["quantity"] for row in kite.positions()["net"] if row["tradingsymbol"] == "SBIN"}
    assert held == {"MIS": 1, "CNC": 2}, held
    refused(
        ex.InputException, 400, lambda: kite.convert_position("NSE", "SBIN", "BUY", "day", 2, "MIS", "CNC"), "converted"
    )


@check
def margin_funded_shares_are_positions_until_they_are_delivered():
    order = settled(
        place(tradingsymbol="TCS", quantity=4, product="MTF", order_type="MARKET", market_protection=2), "COMPLETE"
    )
    assert order["product"] == "MTF", order
    row = next(row for row in kite.positions()["net"] if row["tradingsymbol"] == "TCS")
    assert (row["product"], row["quantity"], row["overnight_quantity"]) == ("MTF", 4, 0), row
    assert abs(row["average_price"] - order["average_price"]) < 1e-6, (row, order)
    sell = {"transaction_type": "SELL", "product": "MTF", "order_type": "MARKET", "market_protection": 2}
    refused(
        ex.GeneralException,
        400,
        lambda: place(tradingsymbol="TCS", quantity=5, **sell),
        "insufficient margin-funded holdings",
    )
    settled(place(tradingsymbol="TCS", quantity=4, **sell), "COMPLETE")
    row = next(row for row in kite.positions()["day"] if row["tradingsymbol"] == "TCS")
    assert (row["quantity"], row["buy_quantity"], row["sell_quantity"]) == (0, 4, 4), row
    assert all(row["mtf"]["quantity"] == 0 for row in kite.holdings())


def leg(**changes):
    return {
        "exchange": "NSE",
        "tradingsymbol": "INFY",
        "transaction_type": "BUY",
        "variety": "regular",
        "product": "CNC",
        "order_type": "LIMIT",
        "quantity": 10,
        "price": price_near("NSE:INFY", 0.98),
    } | changes


@check
def candles_of_minutes_and_days():
    token = instruments["NSE:INFY"]["instrument_token"]
    end = now().replace(hour=0, minute=0, second=0, microsecond=0)
    days = kite.historical_data(token, end - timedelta(days=30), end - timedelta(days=1), "day", oi=True)
    assert 15 <= len(days) <= 23, len(days)
    assert set(days[0]) == {"date", "open", "high", "low", "close", "volume", "oi"}
    one = days[-1]["date"].replace(tzinfo=None)
    minutes = kite.historical_data(token, one, one + timedelta(hours=23), "minute")
    assert len(minutes) == 375, len(minutes)
    assert (minutes[0]["open"], minutes[-1]["close"]) == (days[-1]["open"], days[-1]["close"])
    assert minutes[0]["date"].utcoffset() == timedelta(hours=5, minutes=30)
    assert minutes[0]["date"].strftime("%H:%M") == "09:15"
    refused(ex.InputException, 400, lambda: kite.historical_data(token, end - timedelta(days=61), end, "minute"), "max")
    refused(ex.InputException, 400, lambda: kite.historical_data(token, end, end, "2minute"), "interval")
    refused(ex.InputException, 400, lambda: kite.historical_data(1, end, end, "day"), "token")


@check
def order_margins_are_what_the_order_blocks():
    order = leg()
    (row,) = kite.order_margins([order])
    assert abs(row["total"] - order["price"] * 10) < 1e-6, row
    charges = row["charges"]
    parts = ("transaction_tax", "exchange_turnover_charge", "sebi_turnover_charge", "brokerage", "stamp_duty")
    assert abs(sum(charges[name] for name in parts) + charges["gst"]["total"] - charges["total"]) < 1e-6, charges
    refused(ex.InputException, 400, lambda: kite.order_margins([]))


@check
def basket_margins_net_what_offsets():
    basket = kite.basket_order_margins(
        [
            leg(product="MIS", tradingsymbol="TCS", price=price_near("NSE:TCS", 1)),
            leg(product="MIS", tradingsymbol="TCS", price=price_near("NSE:TCS", 1), transaction_type="SELL"),
        ]
    )
    assert set(basket) == {"initial", "final", "orders", "charges"}
    assert basket["initial"]["total"] > basket["final"]["total"] == 0, basket
    assert set(kite.basket_order_margins([leg()], consider_positions=False, mode="compact")) == {"initial", "final"}
    assert [row["tradingsymbol"] for row in basket["orders"]] == ["TCS", "TCS"]
    assert abs(sum(row["total"] for row in basket["orders"]) - basket["initial"]["total"]) < 1e-6, basket


@check
def virtual_contract_note_itemises_charges():
    (row,) = kite.get_virtual_contract_note([dict(leg(), order_id="1", average_price=1500)])
    assert (row["price"], row["quantity"], row["product"]) == (1500, 10, "CNC"), row
    assert row["charges"]["transaction_tax_type"] == "stt"
    charges = row["charges"]
    assert charges["transaction_tax"] == 15000 * 0.001, charges
    assert (charges["brokerage"], charges["stamp_duty"]) == (0, 2), charges  # 0.015 % is 2.25: told in rupees
    # NSE takes 306.99 rupees of a crore and 0.01 for its protection fund, SEBI 10 (from March 2026 on).
    assert abs(charges["exchange_turnover_charge"] - 0.4605) < 1e-9, charges
    assert abs(charges["gst"]["total"] - 0.18 * (0.4605 + 0.015)) < 1e-9, charges
    parts = ("transaction_tax", "exchange_turnover_charge", "sebi_turnover_charge", "brokerage", "stamp_duty")
    assert abs(sum(charges[name] for name in parts) + charges["gst"]["total"] - charges["total"]) < 1e-6, charges
    sold, day = kite.get_virtual_contract_note(
        [
            dict(leg(transaction_type="SELL"), order_id="1", average_price=1500),
            dict(leg(transaction_type="SELL", product="MIS"), order_id="2", average_price=1500),
        ]
    )
    assert (sold["charges"]["stamp_duty"], day["charges"]["stamp_duty"]) == (0, 0)
    assert day["charges"]["transaction_tax"] == 15000 * 0.00025, day
    assert day["charges"]["brokerage"] == 15000 * 0.0003, day
    refused(ex.InputException, 400, lambda: kite.get_virtual_contract_note([leg()]), "order_id")


@check
def gtt_single_and_two_leg():
    last = kite.ltp("NSE:INFY")["NSE:INFY"]["last_price"]
    low, high = price_near("NSE:INFY", 0.95), price_near("NSE:INFY", 1.05)
    single = kite.place_gtt("single", "INFY", "NSE", [low], last, [leg(price=low)])["trigger_id"]
    both = kite.place_gtt(
        "two-leg",
        "INFY",
        "NSE",
        [low, high],
        last,
        [leg(price=low, transaction_type="SELL"), leg(price=high, transaction_type="SELL")],
    )["trigger_id"]
    row = kite.get_gtt(both)
    assert set(row) == {
        "id",
        "user_id",
        "parent_trigger",
        "type",
        "created_at",
        "updated_at",
        "expires_at",
        "status",
        "condition",
        "orders",
        "meta",
    }
    assert (row["type"], row["status"], row["condition"]["trigger_values"]) == ("two-leg", "active", [low, high]), row
    assert [order["result"] for order in row["orders"]] == [None, None]
    nearer = price_near("NSE:INFY", 0.96)
    assert kite.modify_gtt(single, "single", "INFY", "NSE", [nearer], last, [leg(price=nearer)])["trigger_id"] == single
    assert kite.get_gtt(single)["condition"]["trigger_values"] == [nearer]
    assert kite.delete_gtt(single)["trigger_id"] == single
    assert {row["id"]: row["status"] for row in kite.get_gtts()} == {single: "deleted", both: "active"}
    kite.delete_gtt(both)
    refused(ex.InputException, 400, lambda: kite.delete_gtt(both), "deleted")
    refused(ex.GeneralException, 404, lambda: kite.get_gtt(1))
    refused(ex.InputException, 400, lambda: kite.place_gtt("single", "INFY", "NSE", [last], last, [leg()]))


@check
def gtt_that_fires_names_its_order():
    last = kite.ltp("NSE:INFY")["NSE:INFY"]["last_price"]
    tick = instruments["NSE:INFY"]["tick_size"]
    # Placed "from" a price on the other side, so that the market stands beyond the trigger already.
    trigger = round(last - 20 * tick, 4)
    number = kite.place_gtt("single", "INFY", "NSE", [trigger], trigger - tick, [leg(price=round(last * 1.01, 1))])
    row = until(
        lambda: (lambda one: one if one["status"] == "triggered" else None)(kite.get_gtt(number["trigger_id"])),
        "firing",
    )
    fate = row["orders"][0]["result"]["order_result"]
    assert fate["status"] == "success", fate
    assert settled(fate["order_id"], "COMPLETE")["quantity"] == 10
    refused(ex.InputException, 400, lambda: kite.delete_gtt(row["id"]), "triggered")
    assert row["id"] in {one["id"] for one in kite.get_gtts()}
    result = row["orders"][0]["result"]
    assert (result["tradingsymbol"], result["quantity"], result["account_id"]) == ("INFY", 10, USER), result


@check
def two_leg_gtt_fires_one_leg_and_ends_the_other():
    last = kite.ltp("NSE:INFY")["NSE:INFY"]["last_price"]
    tick = instruments["NSE:INFY"]["tick_size"]
    # The market stands below the lower trigger as soon as it is placed "from" a price between the two.
    low, high = round(last + 40 * tick, 4), round(last + 80 * tick, 4)
    sells = [leg(price=round(last * 0.99, 1), transaction_type="SELL", product="MIS", quantity=1) for _ in range(2)]
    number = kite.place_gtt("two-leg", "INFY", "NSE", [low, high], round(last + 60 * tick, 4), sells)["trigger_id"]
    row = until(lambda: (lambda one: one if one["status"] == "triggered" else None)(kite.get_gtt(number)), "firing")
    first, second = row["orders"]
    assert second["result"] is None, row
    assert settled(first["result"]["order_result"]["order_id"], "COMPLETE")["transaction_type"] == "SELL"


@check
def alerts_are_kept_fired_and_deleted():
    """The SDK has no method for them: its own transport, with the routes of the documentation."""
    kite.sdk._routes |= {"alerts": "/alerts", "alert": "/alerts/{uuid}", "alert.history": "/alerts/{uuid}/history"}
    wanted = {
        "name": "judge",
        "type": "simple",
        "lhs_exchange": "NSE",
        "lhs_tradingsymbol": "INFY",
        "lhs_attribute": "LastTradedPrice",
        "operator": ">=",
        "rhs_type": "constant",
        "rhs_constant": price_near("NSE:INFY", 1.08),
    }
    made = raw("post", "alerts", params=wanted)
    assert (made["status"], made["alert_count"], made["user_id"]) == ("enabled", 0, USER), made
    assert {name: made[name] for name in wanted} == wanted, made
    uuid = {"uuid": made["uuid"]}
    assert raw("get", "alert", url_args=uuid) == made
    assert raw("get", "alerts") == [made]
    assert raw("get", "alert.history", url_args=uuid) == []
    changed = raw("put", "alert", url_args=uuid, params=dict(wanted, rhs_constant=1))
    assert (changed["uuid"], changed["rhs_constant"]) == (made["uuid"], 1), changed
    (event,) = until(lambda: raw("get", "alert.history", url_args=uuid), "the alert to fire")
    assert event["condition"] == 'LastTradedPrice("NSE:INFY") >= 1', event
    assert event["meta"][0]["instrument_token"] == instruments["NSE:INFY"]["instrument_token"], event
    assert raw("get", "alert", url_args=uuid)["alert_count"] == 1
    assert raw("delete", "alerts", params=uuid) is None
    assert raw("get", "alerts") == []
    refused(ex.GeneralException, 404, lambda: raw("get", "alert", url_args=uuid), "not found")
    refused(ex.InputException, 400, lambda: raw("post", "alerts", params=dict(wanted, operator="!=")), "operator")


@check
def holdings_summary_adds_up():
    kite.sdk._routes["portfolio.holdings.summary"] = "/portfolio/holdings/summary"
    total, rows = raw("get", "portfolio.holdings.summary"), kite.holdings()
    invested = sum(
        (row["realised_quantity"] + row["t1_quantity"]) * row["average_price"]
        + row["mtf"]["quantity"] * row["mtf"]["average_price"]
        for row in rows
    )
    assert abs(total["invested_amount"] - invested) < 1e-6, (total, invested)
    assert abs(total["current_value"] - total["invested_amount"] - total["total_pnl"]) < 1e-6, total
    assert abs(total["total_pnl_percent"] - total["total_pnl"] / invested * 100) < 1e-6, total


@check
def what_the_emulated_app_lacks_is_a_permission_exception():
    for call in (kite.mf_orders, kite.mf_sips, kite.mf_holdings):
        refused(ex.PermissionException, 403, call)


@check
def orders_faster_than_ten_a_second_are_throttled():
    next_second()
    seen = []
    for _ in range(13):
        try:
            kite.sdk.cancel_order("regular", "1")
        except ex.KiteException as error:
            seen.append((type(error).__name__, error.code))
    assert seen == [("InputException", 400)] * 10 + [("NetworkException", 429)] * 3, seen
    next_second()
    refused(ex.InputException, 400, lambda: kite.sdk.cancel_order("regular", "1"))  # a new second, a new count
    next_second()


@check
def second_quote_in_a_second_is_throttled():
    next_second()
    kite.sdk.ltp("NSE:INFY")
    refused(ex.NetworkException, 429, lambda: kite.sdk.ltp("NSE:INFY"))
    next_second()
    kite.sdk.ltp("NSE:INFY")
    next_second()


# --- ticker ----------------------------------------------------------------------------------------------------------


class Listener:
    """A KiteTicker with everything it was told, by the time it was told."""

    def __init__(self, token=None, reconnect=False):
        self.ticks, self.orders, self.errors, self.closes, self.raw = {}, [], [], [], []
        self.frames = []
        self.open = threading.Event()
        self.ticker = KiteTicker(KEY, token or state["access_token"], root=WHERE["ws"], reconnect=reconnect)
        self.ticker.on_ticks = self._on_ticks
        self.ticker.on_connect = lambda ws, response: self.open.set()
        self.ticker.on_order_update = lambda ws, data: self.orders.append(data)
        self.ticker.on_error = lambda ws, code, reason: self.errors.append((code, str(reason)))
        self.ticker.on_close = lambda ws, code, reason: self.closes.append((code, str(reason)))
        self.ticker.on_message = lambda ws, payload, binary: self.raw.append((time.monotonic(), binary, len(payload)))
        self.ticker.connect(threaded=True)

    def _on_ticks(self, ws, ticks):
        self.frames.append(len(ticks))
        for tick in ticks:
            self.ticks.setdefault(tick["instrument_token"], []).append(tick)

    def say(self, method, *args):
        # Sends must happen on the reactor's thread: the SDK is called from callbacks in real programs.
        from twisted.internet import reactor

        TICKER_CALLED.add(method)
        reactor.callFromThread(getattr(self.ticker, method), *args)

    def tick(self, token, mode, since=0):
        return until(
            lambda: next((t for t in self.ticks.get(token, [])[since:] if t["mode"] == mode), None),
            f"a {mode} tick of {token}",
        )

    def fresh(self, token, mode):
        """A tick in `mode` that comes after now."""
        return self.tick(token, mode, len(self.ticks.get(token, [])))


TICKER_CALLED = {"connect", "is_connected"}


def token_of(key):
    return instruments[key]["instrument_token"]


@check
def ticker_connects():
    state["listener"] = listener = Listener()
    assert listener.open.wait(WAIT_S), (listener.errors, listener.closes)
    until(listener.ticker.is_connected, "the ticker to be open")


@check
def subscribing_alone_means_quote_mode():
    listener, infy = state["listener"], token_of("NSE:INFY")
    listener.say("subscribe", [infy])
    tick = listener.tick(infy, "quote")
    assert tick["tradable"] is True
    assert set(tick) == {
        "tradable",
        "mode",
        "instrument_token",
        "last_price",
        "last_traded_quantity",
        "average_traded_price",
        "volume_traded",
        "total_buy_quantity",
        "total_sell_quantity",
        "ohlc",
        "change",
    }, set(tick)
    assert tick["volume_traded"] > 0
    assert tick["ohlc"]["low"] <= tick["last_price"] <= tick["ohlc"]["high"], tick
    close = tick["ohlc"]["close"]
    assert close == kite.ohlc("NSE:INFY")["NSE:INFY"]["ohlc"]["close"]
    assert abs(tick["change"] - (tick["last_price"] - close) * 100 / close) < 1e-9  # the SDK's percent


@check
def ltp_mode_carries_the_price_only():
    listener, infy = state["listener"], token_of("NSE:INFY")
    listener.say("set_mode", "ltp", [infy])
    tick = listener.fresh(infy, "ltp")
    assert set(tick) == {"tradable", "mode", "instrument_token", "last_price"}, set(tick)


@check
def full_mode_carries_depth_and_times():
    listener, infy = state["listener"], token_of("NSE:INFY")
    listener.say("set_mode", "full", [infy])
    tick = listener.fresh(infy, "full")
    for name in ("exchange_timestamp", "last_trade_time"):
        assert isinstance(tick[name], datetime), tick[name]
    assert abs((now() - tick["exchange_timestamp"]).total_seconds()) < 60, tick["exchange_timestamp"]
    assert (tick["oi"], tick["oi_day_high"], tick["oi_day_low"]) == (0, 0, 0)
    bids, asks = tick["depth"]["buy"], tick["depth"]["sell"]
    assert len(bids) == len(asks) == 5
    prices = [row["price"] for row in bids]
    assert prices == sorted(set(prices), reverse=True), prices
    prices = [row["price"] for row in asks]
    assert prices == sorted(set(prices)), prices
    assert bids[0]["price"] < asks[0]["price"]
    assert all(row["quantity"] > 0 and row["orders"] > 0 for row in bids + asks)
    paise = round(instruments["NSE:INFY"]["tick_size"] * 100)
    assert all(round(row["price"] * 100) % paise == 0 for row in bids + asks)


@check
def index_packets_put_high_and_low_first():
    listener, nifty = state["listener"], token_of("NSE:NIFTY 50")
    listener.say("subscribe", [nifty])
    tick = listener.tick(nifty, "quote")
    assert tick["tradable"] is False
    assert "exchange_timestamp" not in tick
    listener.say("set_mode", "full", [nifty])
    tick = listener.tick(nifty, "full")
    assert isinstance(tick["exchange_timestamp"], datetime)
    asked = kite.ohlc("NSE:NIFTY 50")["NSE:NIFTY 50"]["ohlc"]
    assert (tick["ohlc"]["open"], tick["ohlc"]["close"]) == (asked["open"], asked["close"]), (tick, asked)
    assert tick["ohlc"]["low"] <= tick["last_price"] <= tick["ohlc"]["high"], tick
    listener.say("set_mode", "ltp", [nifty])
    assert listener.fresh(nifty, "ltp")["tradable"] is False


@check
def every_segment_has_its_divisor():
    listener = state["listener"]
    rows = [
        contract("CDS", "FUT", "USDINR"),
        contract("BCD", "FUT", "USDINR"),
        contract("MCX", "FUT"),
        contract("NFO", "CE", "NIFTY"),
        contract("NFO", "FUT", "NIFTY"),
        instruments["BSE:RELIANCE"],
    ]
    tokens = [row["instrument_token"] for row in rows]
    listener.say("subscribe", tokens)
    listener.say("set_mode", "full", tokens)
    asked = kite.quote([instrument_key(row) for row in rows])
    for row in rows:
        tick, quote = listener.tick(row["instrument_token"], "full"), asked[instrument_key(row)]
        assert tick["ohlc"]["open"] == quote["ohlc"]["open"], (row, tick, quote)
        assert tick["ohlc"]["close"] == quote["ohlc"]["close"], (row, tick, quote)
        assert quote["lower_circuit_limit"] <= tick["last_price"] <= quote["upper_circuit_limit"], (tick, quote)
        if row["instrument_type"] != "EQ":
            assert tick["oi"] > 0, tick
        assert tick["depth"]["buy"][0]["price"] < tick["depth"]["sell"][0]["price"], tick


@check
def frames_carry_many_packets():
    listener = state["listener"]
    tokens = [row["instrument_token"] for row in instruments.values()]
    listener.say("subscribe", tokens)
    listener.say("set_mode", "full", tokens)
    until(
        lambda: all(any(tick["mode"] == "full" for tick in listener.ticks.get(token, ())) for token in tokens),
        f"a full tick of each of {len(tokens)} instruments",
    )
    assert max(listener.frames) >= 100, max(listener.frames)


@check
def unsubscribed_instruments_fall_silent():
    listener = state["listener"]
    keep = token_of("NSE:INFY")
    listener.say(
        "unsubscribe", [row["instrument_token"] for row in instruments.values() if row["instrument_token"] != keep]
    )
    time.sleep(0.7)
    counts = {token: len(ticks) for token, ticks in listener.ticks.items()}
    until(lambda: len(listener.ticks[keep]) >= counts[keep] + 2, "ticks of what stayed")
    silent = {token: count for token, count in counts.items() if token != keep}
    assert {token: len(listener.ticks[token]) for token in silent} == silent


@check
def resubscribing_keeps_every_mode():
    listener = state["listener"]
    index, infy = token_of("NSE:NIFTY 50"), token_of("NSE:INFY")
    listener.say("subscribe", [index])
    listener.say("set_mode", "ltp", [index])
    listener.say("resubscribe")  # what the SDK does after a reconnect
    assert listener.fresh(index, "ltp")
    assert listener.fresh(infy, "full")
    listener.say("unsubscribe", [index])


@check
def order_updates_come_on_the_same_socket():
    listener = state["listener"]
    listener.orders.clear()
    order_id = place(order_type="MARKET", quantity=2, market_protection=2)
    until(lambda: any(o["order_id"] == order_id and o["status"] == "COMPLETE" for o in listener.orders), "COMPLETE")
    own = [order for order in listener.orders if order["order_id"] == order_id]
    words = [order["status"] for order in own]
    assert words[:4] == ["PUT ORDER REQ RECEIVED", "VALIDATION PENDING", "OPEN PENDING", "OPEN"], words
    assert words[-1] == "COMPLETE", words
    assert set(words[4:-1]) <= {"UPDATE"}, words
    last, booked = own[-1], book(order_id)
    assert set(last) == set(booked)
    for name in ("filled_quantity", "average_price", "price", "tags", "exchange_order_id", "tradingsymbol"):
        assert last[name] == booked[name], name
    assert len(last["order_timestamp"]) == 19  # the SDK leaves the ticker's times as text


@check
def modifications_are_called_update_on_the_ticker():
    listener = state["listener"]
    order_id = place(price=price_near("NSE:INFY", 0.95))
    settled(order_id, "OPEN")
    kite.modify_order("regular", order_id, quantity=4)
    until(lambda: book(order_id)["quantity"] == 4, "the modification")
    kite.cancel_order("regular", order_id)
    until(lambda: any(o["order_id"] == order_id and o["status"] == "CANCELLED" for o in listener.orders), "CANCELLED")
    words = [order["status"] for order in listener.orders if order["order_id"] == order_id]
    assert words[4:] == [
        "MODIFY VALIDATION PENDING",
        "MODIFY PENDING",
        "UPDATE",
        "OPEN",
        "CANCEL PENDING",
        "CANCELLED",
    ], words


@check
def error_text_frames_reach_on_error():
    listener = state["listener"]
    listener.errors.clear()
    listener.say("set_mode", "everything", [token_of("NSE:INFY")])
    code, text = until(lambda: listener.errors and listener.errors[0], "the error text")
    assert code == 0, code
    assert "mode" in text, text
    assert listener.ticker.is_connected()


@check
def idle_ticker_lives_on_heartbeats():
    idle = Listener()
    assert idle.open.wait(WAIT_S)
    time.sleep(6.5)  # longer than the five silent seconds after which official clients call a link dead
    assert idle.ticker.is_connected(), (idle.errors, idle.closes)
    beats = [at for at, binary, size in idle.raw if binary and size == 1]
    assert 5 <= len(beats) <= 8, len(beats)
    assert max(later - earlier for earlier, later in itertools.pairwise(beats)) < 2
    assert not idle.ticks
    state["idle"] = idle


@check
def fourth_ticker_of_a_key_is_refused():
    third = Listener()
    assert third.open.wait(WAIT_S), third.errors
    fourth = Listener()
    until(lambda: fourth.closes, "the refusal")
    assert not fourth.open.is_set()
    assert "429" in fourth.closes[0][1] or any("429" in text for _, text in fourth.errors), (
        fourth.closes,
        fourth.errors,
    )
    third.say("close")
    until(lambda: third.closes, "the third ticker to end")


@check
def ticker_with_a_wrong_token_is_refused_with_403():
    wrong = Listener("emu_wrong")
    until(lambda: wrong.closes, "the refusal")
    assert not wrong.open.is_set()
    assert "403" in wrong.closes[0][1] or any("403" in text for _, text in wrong.errors), (wrong.closes, wrong.errors)


# --- the end ---------------------------------------------------------------------------------------------------------


@check
def new_login_ends_the_old_session():
    old = Paced(KiteConnect(api_key=KEY, access_token=state["access_token"], root=WHERE["rest"]))
    _, query = request_token()
    fresh = kite.generate_session(query["request_token"], SECRET)["access_token"]
    assert fresh != state["access_token"]
    refused(ex.TokenException, 403, old.profile)
    old.set_access_token(fresh)
    assert old.profile()["user_id"] == USER
    until(lambda: state["listener"].closes and state["idle"].closes, "the old session's tickers to end")
    state["access_token"] = fresh


@check
def invalidated_token_is_dead():
    assert kite.invalidate_access_token() is True
    refused(ex.TokenException, 403, kite.profile)
    refused(ex.TokenException, 403, kite.invalidate_access_token)


def main():
    for function in CHECKS:
        detail = ""
        Paced.check = function.__name__
        try:
            function()
        except Exception:  # noqa: BLE001 (a failed check must not hide the next one)
            detail = traceback.format_exc(limit=-3)
        print(json.dumps({"check": function.__name__, "ok": not detail, "detail": detail}))
    public = {
        "KiteConnect": (KiteConnect, Paced.called),
        "KiteTicker": (KiteTicker, TICKER_CALLED),
    }
    rows = [
        [face, name, name in called]
        for face, (kind, called) in public.items()
        for name in sorted(vars(kind))
        if callable(getattr(kind, name)) and not name.startswith("_")
    ]
    print(json.dumps({"table": "methods", "rows": rows}))
    print(json.dumps({"table": "calls", "rows": Paced.called}))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
