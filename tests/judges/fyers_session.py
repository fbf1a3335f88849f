"""A trading session through the official `fyers-apiv3`, as its users write it, against our emulator.

Runs in the SDK's own environment: nothing of dragoman is importable here. No attribute of the SDK is changed: its
addresses are fixed, and a CONNECT proxy named by the environment leads them here, certificates verified. Prints one
JSON line per check and the table of SDK methods.

Known faults of the SDK: it leaves open interest and the year's range out of quotes and sets the day's limits to 0; one
dictionary of errors is used again and again; sockets are singletons that sleep for seconds; a subscription ends
whatever the reply to it says.
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
from datetime import datetime, timedelta, timezone
from importlib.metadata import version

from fyers_apiv3 import fyersModel
from fyers_apiv3.FyersWebsocket import data_ws, order_ws, tbt_ws

WHERE = json.loads(sys.argv[1])
CREDENTIALS = WHERE["credentials"]
APP, USER = CREDENTIALS["app_id"], CREDENTIALS["user_id"]
WAIT_S = 10.0
IST = timezone(timedelta(hours=5, minutes=30))
SBIN, INFY, INDEX = "NSE:SBIN-EQ", "NSE:INFY-EQ", "NSE:NIFTY50-INDEX"
CHECKS = []
state = {}


def check(function):
    CHECKS.append(function)
    return function


class Noted:
    """An object of the SDK, unchanged, called no faster than the broker allows; remembers who called what."""

    called = {}  # "Class.method" -> names of the checks that called it
    check = ""

    def __init__(self, sdk, pause=0.12):
        self.sdk, self.pause = sdk, pause

    def __getattr__(self, name):
        value = getattr(self.sdk, name)

        def call(*args, **kwargs):
            Noted.called.setdefault(f"{type(self.sdk).__name__}.{name}", []).append(Noted.check)
            time.sleep(self.pause)
            # The SDK hands out one dictionary for all errors: this copy stays as it was.
            found = value(*args, **kwargs)
            return json.loads(json.dumps(found)) if isinstance(found, dict) else found

        return call


def until(question, what, seconds=WAIT_S):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = question()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s for {what}")


def good(reply, code=200):
    assert (reply["s"], reply["code"]) == ("ok", code), reply
    return reply


def refused(code, reply, text=""):
    assert (reply["s"], reply["code"]) == ("error", code), reply
    assert text in reply["message"], reply


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args):
        return None


def code_of(url):
    """Return the query that the login page sends the browser back with."""
    parts = urllib.parse.urlsplit(url)
    local = WHERE["rest"] + parts.path + "?" + parts.query
    opener = urllib.request.build_opener(NoRedirect, urllib.request.ProxyHandler({}))
    try:
        opener.open(local, timeout=5)
    except urllib.error.HTTPError as answer:
        with answer:
            if answer.code != 302:
                raise
            return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(answer.headers["Location"]).query))
    raise AssertionError("no redirect")


def session():
    return Noted(
        fyersModel.SessionModel(
            client_id=APP,
            redirect_uri=CREDENTIALS["redirect_uri"],
            response_type="code",
            state="state7",
            secret_key=CREDENTIALS["app_secret"],
            grant_type="authorization_code",
        )
    )


def model(token):
    return Noted(fyersModel.FyersModel(client_id=APP, token=token, is_async=False, log_path="logs"))


def new_token():
    one = session()
    one.set_token(code_of(one.generate_authcode())["auth_code"])
    return one.generate_token()


def price(symbol=SBIN, percent=0.0, tick=0.05):
    last = state["api"].quotes({"symbols": symbol})["d"][0]["v"]["lp"]
    return round(round(last * (1 + percent / 100) / tick) * tick, 2)


def order(**terms):
    body = {
        "symbol": SBIN, "qty": 10, "type": 1, "side": 1, "productType": "INTRADAY", "limitPrice": 0, "stopPrice": 0,
        "validity": "DAY", "disclosedQty": 0, "offlineOrder": False, "stopLoss": 0, "takeProfit": 0,
    }  # fmt: skip
    return body | terms


def row_of(order_id):
    (row,) = state["api"].orderbook({"id": order_id})["orderBook"]
    return row


def settled(order_id, status):
    return until(lambda: (row := row_of(order_id))["status"] == status and row, f"{order_id} to be {status}")


# --- session ----------------------------------------------------------------------------------------------------------


@check
def sdk_is_the_pinned_one():
    assert version("fyers-apiv3") == "3.2.0"
    os.makedirs("logs", exist_ok=True)


@check
def login_page_sends_back_a_code_and_the_state():
    told = code_of(session().generate_authcode())
    assert (told["s"], told["code"], told["state"]) == ("ok", "200", "state7"), told
    assert told["auth_code"]


@check
def code_becomes_a_token_once():
    one = session()
    one.set_token(code_of(one.generate_authcode())["auth_code"])
    token = good(one.generate_token())["access_token"]
    assert token.count(".") == 2
    assert one.generate_token()["s"] == "error"
    state["token"], state["api"] = token, model(token)


@check
def wrong_token_is_refused():
    refused(-16, model("emu_wrong").get_profile())


@check
def profile_names_the_user():
    assert good(state["api"].get_profile())["data"]["fy_id"] == USER


# --- market data ------------------------------------------------------------------------------------------------------


@check
def quotes_of_shares_and_an_index():
    items = good(state["api"].quotes({"symbols": f"{SBIN},{INDEX}"}))["d"]
    assert [(item["n"], item["s"]) for item in items] == [(SBIN, "ok"), (INDEX, "ok")]
    value = items[0]["v"]
    assert value["low_price"] <= value["lp"] <= value["high_price"]
    assert value["bid"] < value["ask"]
    assert abs(value["lp"] - value["prev_close_price"] - value["ch"]) < 0.01
    assert value["fyToken"].startswith("1010000000")


@check
def unknown_symbol_is_an_error_among_the_others():
    items = good(state["api"].quotes({"symbols": f"NSE:NOPE-EQ,{SBIN}"}))["d"]
    assert [item["s"] for item in items] == ["error", "ok"]


@check
def depth_has_five_levels_a_side():
    book = good(state["api"].depth({"symbol": SBIN, "ohlcv_flag": "1"}))["d"][SBIN]
    bids, asks = ([level["price"] for level in book[side]] for side in ("bids", "ask"))
    assert (len(bids), len(asks)) == (5, 5)
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert book["lower_ckt"] < book["ltp"] < book["upper_ckt"]
    assert all(level["volume"] > 0 and level["ord"] > 0 for level in book["bids"])


@check
def minute_candles_follow_one_another():
    day = datetime.now(IST).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=7)
    asked = {"symbol": SBIN, "resolution": "5", "date_format": "0", "cont_flag": "0"}
    asked |= {"range_from": str(int(day.timestamp())), "range_to": str(int((day + timedelta(days=3)).timestamp()))}
    rows = good(state["api"].history(asked))["candles"]
    assert len(rows) >= 75
    assert all(row[3] <= row[1] <= row[2] and row[3] <= row[4] <= row[2] for row in rows)
    assert all(later[0] - row[0] == 300 or later[0] - row[0] > 3600 for row, later in itertools.pairwise(rows))


@check
def daily_candles_are_stamped_at_midnight_utc():
    last = datetime.now(IST).date() - timedelta(days=1)
    asked = {"symbol": SBIN, "resolution": "D", "date_format": "1", "cont_flag": "0"}
    asked |= {"range_from": str(last - timedelta(days=30)), "range_to": str(last)}
    rows = good(state["api"].history(asked))["candles"]
    assert len(rows) >= 19
    assert all(row[0] % 86400 == 0 for row in rows)


@check
def market_is_open():
    rows = good(state["api"].market_status())["marketStatus"]
    assert {(row["exchange"], row["segment"]) for row in rows} >= {(10, 10), (10, 11), (12, 10)}
    assert {row["status"] for row in rows} == {"OPEN"}


# --- portfolio --------------------------------------------------------------------------------------------------------


@check
def funds_are_told_by_number():
    rows = {row["id"]: row for row in good(state["api"].funds())["fund_limit"]}
    assert sorted(rows) == list(range(1, 11))
    assert rows[10]["equityAmount"] > 0
    assert abs(rows[1]["equityAmount"] - rows[2]["equityAmount"] - rows[10]["equityAmount"]) < 0.01


@check
def holdings_have_their_worth():
    found = good(state["api"].holdings())
    row = found["holdings"][0]
    assert row["holdingType"] in ("HLD", "T1")
    assert isinstance(row["fyToken"], int)
    assert abs(row["marketVal"] - row["ltp"] * row["quantity"]) < 0.01
    assert found["overall"]["count_total"] == len(found["holdings"])


# --- the sockets ------------------------------------------------------------------------------------------------------


@check
def order_socket_takes_a_subscription():
    heard = state["heard"] = {"orders": [], "trades": [], "positions": [], "general": [], "open": threading.Event()}
    told = f"{APP}:{state['token']}"
    socket = order_ws.FyersOrderSocket(
        access_token=told,
        log_path="logs",
        on_connect=heard["open"].set,
        on_orders=heard["orders"].append,
        on_trades=heard["trades"].append,
        on_positions=heard["positions"].append,
        on_general=heard["general"].append,
        on_error=lambda text: heard["general"].append({"error": str(text)}),
    )
    state["order_socket"] = Noted(socket, 0)
    state["order_socket"].connect()
    assert heard["open"].wait(WAIT_S)
    state["order_socket"].subscribe("OnOrders,OnTrades,OnPositions")
    until(lambda: any(one.get("code") == 1605 for one in heard["general"]), "the subscription")
    assert state["order_socket"].is_connected()


def market_socket(lite=False):
    heard = {"ticks": [], "notes": [], "errors": []}

    def take(message):
        heard["notes" if "code" in message else "ticks"].append(message)

    socket = data_ws.FyersDataSocket(
        access_token=f"{APP}:{state['token']}",
        log_path="logs",
        litemode=lite,
        on_message=take,
        on_error=heard["errors"].append,
    )
    return Noted(socket, 0), heard


@check
def market_socket_logs_in_and_sends_snapshots_of_shares_and_indices():
    state["market"], heard = market_socket()
    state["ticks"] = heard
    state["market"].connect()
    state["market"].subscribe(symbols=[SBIN, INDEX], data_type="SymbolUpdate")
    share = until(lambda: next((one for one in heard["ticks"] if one["symbol"] == SBIN), None), f"a tick: {heard}")
    index = until(lambda: next((one for one in heard["ticks"] if one["symbol"] == INDEX), None), "the index")
    value = state["api"].quotes({"symbols": SBIN})["d"][0]["v"]
    assert (share["type"], index["type"]) == ("sf", "if")
    assert share["prev_close_price"] == value["prev_close_price"]
    assert share["low_price"] <= share["ltp"] <= share["high_price"]
    assert share["bid_price"] < share["ask_price"]
    assert share["vol_traded_today"] <= value["volume"]
    assert share["exch_feed_time"] > 1_700_000_000
    assert {one["message"] for one in heard["notes"]} >= {"Authentication done", "Full Mode On", "Subscribed"}


@check
def market_socket_sends_updates_that_follow_the_quotes():
    heard = state["ticks"]
    count = len(heard["ticks"])
    until(lambda: len([one for one in heard["ticks"][count:] if one["symbol"] == SBIN]) >= 5, "five updates")
    last = [one for one in heard["ticks"] if one["symbol"] == SBIN][-1]
    assert abs(last["ltp"] - price()) < last["ltp"] * 0.02
    assert not heard["errors"], heard["errors"]


@check
def market_socket_sends_depth():
    heard = state["ticks"]
    state["market"].subscribe(symbols=[SBIN], data_type="DepthUpdate")
    depth = until(lambda: next((one for one in heard["ticks"] if one.get("type") == "dp"), None), "depth")
    bids, asks = ([depth[f"{side}_price{at}"] for at in range(1, 6)] for side in ("bid", "ask"))
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]
    assert all(depth[f"bid_size{at}"] > 0 and depth[f"ask_order{at}"] > 0 for at in range(1, 6))


@check
def paused_channel_is_silent_and_a_resumed_one_speaks():
    heard = state["ticks"]
    state["market"].channel_resume(12)
    until(lambda: any(one["message"] == "Channel Paused" for one in heard["notes"]), "the channel to be paused")
    time.sleep(0.5)
    count = len(heard["ticks"])
    time.sleep(1.5)
    assert len(heard["ticks"]) == count
    state["market"].channel_resume(11)
    until(lambda: any(one["message"] == "Channel Resumed" for one in heard["notes"]), "the channel to be resumed")
    until(lambda: len(heard["ticks"]) > count, "ticks again")


@check
def depth_socket_sends_fifty_levels_in_differences():
    heard = state["deep"] = {"depth": [], "errors": [], "open": threading.Event()}
    socket = tbt_ws.FyersTbtSocket(
        access_token=f"{APP}:{state['token']}",
        log_path="logs",
        on_depth_update=lambda ticker, depth: heard["depth"].append(
            (
                ticker,
                depth.seqNo,
                depth.snapshot,
                list(zip(depth.bidprice, depth.bidqty, depth.bidordn, strict=True)),
                list(zip(depth.askprice, depth.askqty, depth.askordn, strict=True)),
            )
        ),
        on_error_message=heard["errors"].append,
        on_error=heard["errors"].append,
        on_open=heard["open"].set,
    )
    state["deep_socket"] = Noted(socket, 0)
    state["deep_socket"].connect()
    assert heard["open"].wait(WAIT_S)
    state["deep_socket"].subscribe({SBIN}, "1", tbt_ws.SubscriptionModes.DEPTH)
    time.sleep(1)
    assert not heard["depth"], "a channel that was not resumed is silent"
    state["deep_socket"].switchChannel({"1"}, set())
    until(lambda: len(heard["depth"]) >= 5, f"five differences: {heard['errors']}")
    numbers = [one[1] for one in heard["depth"]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert [one[2] for one in heard["depth"][:3]] == [True, False, False]
    ticker, _, _, bids, asks = heard["depth"][-1]
    real = [[level for level in side if level[1]] for side in (bids, asks)]
    assert ticker == SBIN
    assert len(real[0]) >= 5
    assert [level[0] for level in real[0]] == sorted((level[0] for level in real[0]), reverse=True)
    assert real[0][0][0] < real[1][0][0]
    assert not heard["errors"], heard["errors"]


@check
def depth_socket_refuses_an_index_and_goes_quiet():
    heard = state["deep"]
    state["deep_socket"].subscribe({INDEX}, "1", tbt_ws.SubscriptionModes.DEPTH)
    until(lambda: heard["errors"], "the refusal")
    assert INDEX in heard["errors"][0]
    state["deep_socket"].unsubscribe({SBIN}, "1", tbt_ws.SubscriptionModes.DEPTH)
    time.sleep(0.5)
    count = len(heard["depth"])
    time.sleep(1.5)
    assert len(heard["depth"]) == count


# --- orders -----------------------------------------------------------------------------------------------------------


@check
def limit_order_rests_and_is_heard_of():
    limit = price(percent=-5)
    placed = good(state["api"].place_order(order(limitPrice=limit, orderTag="judge1")), 1101)
    state["rests"] = placed["id"]
    assert placed["id"] in placed["message"]
    row = settled(placed["id"], 6)
    assert (row["limitPrice"], row["qty"], row["remainingQuantity"], row["filledQty"]) == (limit, 10, 10, 0)
    assert (row["side"], row["type"], row["productType"], row["orderValidity"]) == (1, 1, "INTRADAY", "DAY")
    assert row["orderTag"] == "1:judge1"
    heard = [one["orders"] for one in state["heard"]["orders"] if one["orders"]["id"] == placed["id"]]
    assert [one["status"] for one in heard] == [4, 6], heard
    assert (heard[-1]["symbol"], heard[-1]["qty"], heard[-1]["limitPrice"]) == (SBIN, 10, limit)
    assert "filledQty" not in heard[-1]


@check
def order_is_found_by_its_tag():
    (row,) = good(state["api"].orderbook({"order_tag": "1:judge1"}))["orderBook"]
    assert row["id"] == state["rests"]
    (same,) = good(state["api"].get_orders({"id": state["rests"]}))["orderBook"]
    assert same["orderNumStatus"] == f"{row['id']}:6"


@check
def order_is_changed_and_keeps_its_id():
    limit = price(percent=-4)
    changed = {"id": state["rests"], "type": 1, "limitPrice": limit, "qty": 15}
    assert good(state["api"].modify_order(changed), 1102)["id"] == state["rests"]
    row = until(lambda: (found := row_of(state["rests"]))["qty"] == 15 and found, "the change")
    assert (row["limitPrice"], row["remainingQuantity"]) == (limit, 15)


@check
def order_is_canceled_once():
    assert good(state["api"].cancel_order({"id": state["rests"]}), 1103)["id"] == state["rests"]
    assert settled(state["rests"], 1)["remainingQuantity"] == 0
    refused(-161, state["api"].cancel_order({"id": state["rests"]}))
    refused(-51, state["api"].cancel_order({"id": "404"}))


@check
def market_order_trades_and_its_fill_is_heard_of():
    placed = good(state["api"].place_order(order(type=2, qty=7)), 1101)
    row = settled(placed["id"], 2)
    assert (row["filledQty"], row["remainingQuantity"]) == (7, 0)
    trades = [one for one in good(state["api"].tradebook())["tradeBook"] if one["orderNumber"] == placed["id"]]
    assert sum(one["tradedQty"] for one in trades) == 7
    average = sum(one["tradedQty"] * one["tradePrice"] for one in trades) / 7
    assert abs(average - row["tradedPrice"]) < 0.01
    heard = until(
        lambda: [one["trades"] for one in state["heard"]["trades"] if one["trades"]["orderNumber"] == placed["id"]],
        "the trade",
    )
    assert {one["tradeNumber"] for one in heard} == {one["tradeNumber"] for one in trades}
    assert sum(one["tradedQty"] for one in heard) == 7
    assert state["heard"]["positions"][-1]["positions"]["netQty"] == 7


@check
def position_adds_up_and_is_converted():
    rows = good(state["api"].positions())["netPositions"]
    (row,) = [one for one in rows if one["id"] == f"{SBIN}-INTRADAY"]
    assert (row["netQty"], row["buyQty"], row["sellQty"], row["side"]) == (7, 7, 0, 1)
    assert abs(row["buyVal"] - row["buyAvg"] * 7) < 0.05
    asked = {"symbol": row["id"], "positionSide": 1, "convertQty": 3, "convertFrom": "INTRADAY", "convertTo": "CNC"}
    good(state["api"].convert_position(asked | {"overnight": 0}))
    found = {one["id"]: one["netQty"] for one in state["api"].positions()["netPositions"]}
    assert (found[f"{SBIN}-INTRADAY"], found[f"{SBIN}-CNC"]) == (4, 3)


@check
def position_is_left_by_its_id():
    good(state["api"].exit_positions({"id": f"{SBIN}-INTRADAY"}))
    until(
        lambda: {one["id"]: one["netQty"] for one in state["api"].positions()["netPositions"]}[f"{SBIN}-INTRADAY"] == 0,
        "the position to be flat",
    )
    refused(-352, state["api"].exit_positions({"id": f"{SBIN}-MTF"}))


@check
def stop_orders_wait_for_their_price():
    trigger = price(percent=4)
    placed = good(state["api"].place_order(order(type=4, stopPrice=trigger, limitPrice=round(trigger + 1, 2))), 1101)
    row = settled(placed["id"], 6)
    assert (row["type"], row["stopPrice"], row["filledQty"]) == (4, trigger, 0)
    good(state["api"].cancel_order({"id": placed["id"]}), 1103)
    refused(-390, state["api"].place_order(order(type=3, stopPrice=price(percent=-4))))


@check
def refusals_have_the_broker_s_codes():
    limit = price(percent=-2)
    refused(-99, state["api"].place_order(order(limitPrice=round(limit + 0.01, 2))), "tick")
    refused(-99, state["api"].place_order(order(limitPrice=limit * 2)), "circuit")
    refused(-99, state["api"].place_order(order(qty=10_000_000, limitPrice=limit)))
    refused(-300, state["api"].place_order(order(symbol="NSE:NOPE-EQ", limitPrice=limit)))
    refused(-50, state["api"].place_order(order(limitPrice=limit, orderTag="not allowed!")), "orderTag")
    refused(-50, state["api"].place_order(order(validity="FOREVER", limitPrice=limit)))


@check
def several_orders_have_each_a_fate():
    limit = price(percent=-5)
    found = state["api"].place_basket_orders([order(limitPrice=limit), order(limitPrice=round(limit + 0.01, 2))])
    bodies = [item["body"] for item in good(found)["data"]]
    assert [body["code"] for body in bodies] == [1101, -99]
    name = bodies[0]["id"]
    settled(name, 6)
    (changed,) = good(state["api"].modify_basket_orders([{"id": name, "type": 1, "qty": 12}]))["data"]
    assert changed["body"]["code"] == 1102
    until(lambda: row_of(name)["qty"] == 12, "the change")
    (gone,) = good(state["api"].cancel_basket_orders([{"id": name}]))["data"]
    assert gone["body"]["code"] == 1103
    settled(name, 1)


# --- GTT --------------------------------------------------------------------------------------------------------------


def gtt_of(name):
    return {row["id"]: row for row in good(state["api"].gtt_orderbook())["orderBook"]}[name]


@check
def gtt_is_placed_changed_and_canceled():
    low = price(percent=-6)
    leg = {"price": low, "triggerPrice": low, "qty": 5}
    terms = {"side": 1, "symbol": SBIN, "productType": "CNC", "orderInfo": {"leg1": leg}}
    name = good(state["api"].place_gtt_order(terms), 1101)["id"]
    row = gtt_of(name)
    assert (row["ord_status"], row["gtt_oco_ind"], row["price_trigger"], row["qty"]) == (6, 1, low, 5)
    good(state["api"].modify_gtt_order({"id": name, "orderInfo": {"leg1": leg | {"qty": 6}}}), 1102)
    assert gtt_of(name)["qty"] == 6
    good(state["api"].cancel_gtt_order({"id": name}), 1103)
    assert gtt_of(name)["ord_status"] == 1
    refused(-51, state["api"].cancel_gtt_order({"id": name}))


@check
def two_legs_stand_around_the_market():
    low, high = price(percent=-6), price(percent=6)
    legs = {f"leg{at}": {"price": level, "triggerPrice": level, "qty": 5} for at, level in enumerate((high, low), 1)}
    terms = {"side": -1, "symbol": SBIN, "productType": "CNC", "orderInfo": legs}
    row = gtt_of(good(state["api"].place_gtt_order(terms), 1101)["id"])
    assert (row["gtt_oco_ind"], row["price_trigger"], row["price2_trigger"]) == (2, high, low)
    wrong = terms | {"orderInfo": {"leg1": legs["leg2"], "leg2": legs["leg1"]}}
    refused(-50, state["api"].place_gtt_order(wrong))


# --- the end ----------------------------------------------------------------------------------------------------------


@check
def market_socket_stops_what_is_unsubscribed():
    heard = state["ticks"]
    # The SDK can only take back what it subscribed last.
    state["market"].unsubscribe(symbols=[SBIN], data_type="DepthUpdate")
    until(lambda: any(one["message"] == "Unsubscribed" for one in heard["notes"]), "the reply")
    time.sleep(0.7)
    count = len(heard["ticks"])
    until(lambda: len(heard["ticks"]) > count + 5, "ticks of what is left")
    assert {one["type"] for one in heard["ticks"][count:]} <= {"sf", "if"}
    assert not heard["errors"], heard["errors"]


@check
def order_socket_stops_what_is_unsubscribed():
    state["order_socket"].unsubscribe("OnOrders")
    time.sleep(0.5)
    count = len(state["heard"]["orders"])
    placed = good(state["api"].place_order(order(limitPrice=price(percent=-5))), 1101)
    settled(placed["id"], 6)
    assert len(state["heard"]["orders"]) == count


@check
def new_login_ends_the_old_session():
    fresh = good(new_token())["access_token"]
    refused(-16, state["api"].funds())
    state["api"] = model(fresh)
    good(state["api"].funds())


@check
def logout_ends_the_session():
    good(state["api"].logout())
    refused(-16, state["api"].get_profile())


def main():
    for function in CHECKS:
        detail = ""
        Noted.check = function.__name__
        try:
            function()
        except Exception:  # noqa: BLE001 (a failed check must not hide the next one)
            detail = traceback.format_exc(limit=-3)
        print(json.dumps({"check": function.__name__, "ok": not detail, "detail": detail}))
    kinds = (
        fyersModel.SessionModel,
        fyersModel.FyersModel,
        data_ws.FyersDataSocket,
        order_ws.FyersOrderSocket,
        tbt_ws.FyersTbtSocket,
    )
    rows = [
        [kind.__name__, name, f"{kind.__name__}.{name}" in Noted.called]
        for kind in kinds
        for name in sorted(vars(kind))
        if callable(getattr(kind, name)) and not name.startswith("_")
    ]
    print(json.dumps({"table": "methods", "rows": rows}))
    print(json.dumps({"table": "calls", "rows": Noted.called}))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
