"""A trading session through `ccxt` (REST, and its WebSocket half `ccxt.pro`) against our Alpaca emulator.

Runs in the library's own environment: nothing of dragoman is importable here. Prints one JSON line per check and the
methods called. A name that is no loopback address fails the session. The library knows crypto pairs only.

Where the library is at odds with the broker's documentation: it names version 1beta2 of the crypto stream, which the
broker has replaced; it is aimed at 1beta3 here, whose messages are the same.
"""

import asyncio
import inspect
import json
import os
import socket
import sys
import time
import traceback

import ccxt
import ccxt.pro

WHERE = json.loads(sys.argv[1])
BASE, WS = WHERE["rest"], WHERE["extra"]["data_ws"]
KEY, SECRET = WHERE["credentials"]["api_key"], WHERE["credentials"]["api_secret"]
PAIR = "BTC/USD"
WAIT_S = 10.0
CHECKS = []
CALLED = {}
STRAY = []


def check(function):
    CHECKS.append(function)
    return function


def guard():
    """Let no address but loopback be looked up."""
    real = socket.getaddrinfo

    def lookup(host, *args, **kwargs):
        if host not in ("127.0.0.1", "localhost", b"127.0.0.1", None):
            STRAY.append(str(host))
            raise OSError(f"a call to {host}, which is not mapped")
        return real(host, *args, **kwargs)

    socket.getaddrinfo = lookup


def aimed(kind):
    made = kind({"apiKey": KEY, "secret": SECRET, "enableRateLimit": False})
    made.urls["api"] = {
        "broker": BASE + "/unmapped",
        "trader": BASE,
        "market": BASE,
        "ws": {"crypto": WS + "/v1beta3/crypto/us", "trading": WHERE["ws"]},
    }
    return made


class Counted:
    """A library object, unchanged; remembers which methods each check called."""

    check = ""

    def __init__(self, sdk):
        self.sdk = sdk

    def __getattr__(self, name):
        value = getattr(self.sdk, name)
        if callable(value):
            CALLED.setdefault(name, set()).add(Counted.check)
        return value


rest = Counted(aimed(ccxt.alpaca))
state = {}


def until(question, what):
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        if found := question():
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {WAIT_S} s for {what}")


def ended(order_id, status):
    return until(lambda: (found := rest.fetch_order(order_id))["status"] == status and found, f"{order_id} {status}")


def refused(kind, call, text):
    try:
        got = call()
    except ccxt.BaseError as error:
        found = error
    else:
        raise AssertionError(f"not refused: {got!r}")
    assert isinstance(found, kind), f"{type(found).__name__}: {found}"
    assert text in str(found), str(found)


def low():
    return round(rest.fetch_order_book(PAIR)["bids"][0][0] * 0.95, 2)


@check
def markets_are_loaded_with_their_steps():
    markets = rest.load_markets()
    assert {"BTC/USD", "ETH/USD"} <= set(markets)
    assert (markets[PAIR]["precision"]["amount"], markets[PAIR]["precision"]["price"]) == (0.00001, 0.01)
    assert markets[PAIR]["active"] is True


@check
def the_time_is_the_brokers():
    assert abs(rest.fetch_time() - time.time() * 1000) < 5000


@check
def books_tickers_trades_and_candles_agree():
    book = rest.fetch_order_book(PAIR)
    assert book["bids"][0][0] < book["asks"][0][0]
    assert len(book["bids"]) >= 10
    ticker = rest.fetch_ticker(PAIR)
    assert abs(ticker["last"] / book["bids"][0][0] - 1) < 0.05
    assert set(rest.fetch_tickers([PAIR, "ETH/USD"])) == {PAIR, "ETH/USD"}
    since = int((time.time() - 7200) * 1000)
    candles = rest.fetch_ohlcv(PAIR, "1m", since, 30)
    assert len(candles) == 30
    assert all(row[3] <= min(row[1], row[4]) <= max(row[1], row[4]) <= row[2] for row in candles)
    trades = rest.fetch_trades(PAIR, since, 5)
    assert len(trades) == 5
    assert trades[0]["price"] > 1000


@check
def wrong_keys_are_refused():
    stranger = aimed(ccxt.alpaca)
    stranger.secret = "wrong"
    refused(ccxt.BaseError, stranger.fetch_balance, "40110000")


@check
def a_market_order_is_bought_and_held():
    order = rest.create_order(PAIR, "market", "buy", 0.01)
    filled = ended(order["id"], "closed")
    assert (filled["filled"], filled["symbol"], filled["side"]) == (0.01, PAIR, "buy")
    assert filled["average"] > 1000
    trades = [one for one in rest.fetch_my_trades(PAIR) if one["order"] == order["id"]]
    assert abs(sum(one["amount"] for one in trades) - 0.01) < 1e-9
    balance = rest.fetch_balance()
    assert 900_000 < balance["USD"]["free"] <= balance["USD"]["total"] < 1_000_000
    assert balance["BTC"]["total"] == 0.01


@check
def a_limit_order_rests_is_replaced_and_canceled():
    order = rest.create_order(PAIR, "limit", "buy", 0.02, low())
    ended(order["id"], "open")
    assert order["id"] in {one["id"] for one in rest.fetch_open_orders(PAIR)}
    time.sleep(0.2)
    changed = rest.edit_order(order["id"], PAIR, "limit", "buy", 0.03, low() - 10)
    assert changed["id"] != order["id"]
    found = until(lambda: (one := rest.fetch_order(changed["id"]))["info"]["status"] == "new" and one, "the change")
    assert (found["amount"], found["status"]) == (0.03, "open")
    assert rest.fetch_order(order["id"])["info"]["replaced_by"] == changed["id"]
    rest.cancel_order(changed["id"])
    assert ended(changed["id"], "canceled")["filled"] == 0
    assert changed["id"] in {one["id"] for one in rest.fetch_closed_orders(PAIR)}
    assert {order["id"], changed["id"]} <= {one["id"] for one in rest.fetch_orders(PAIR)}


@check
def all_orders_are_canceled():
    order = rest.create_order(PAIR, "limit", "buy", 0.02, low())
    ended(order["id"], "open")
    time.sleep(0.2)
    rest.cancel_all_orders()
    assert ended(order["id"], "canceled")["remaining"] == 0.02


@check
def refusals_are_of_their_kind():
    refused(ccxt.BaseError, lambda: rest.create_order(PAIR, "market", "sell", 5), "40310000")
    refused(ccxt.BaseError, lambda: rest.create_order(PAIR, "limit", "buy", 50, low()), "40310000")
    refused(ccxt.BaseError, lambda: rest.cancel_order("00000000-0000-0000-0000-000000000000"), "40410000")


async def seen(watch, wanted):
    async with asyncio.timeout(WAIT_S):
        while True:
            found = await watch()
            for one in found if isinstance(found, list) else [found]:
                if wanted(one):
                    return one


@check
async def books_are_watched(pro):
    book = await seen(lambda: pro.watch_order_book(PAIR), lambda one: len(one["bids"]) >= 10)
    assert book["bids"][0][0] < book["asks"][0][0]
    later = await seen(lambda: pro.watch_order_book(PAIR), lambda one: one["timestamp"] is not None)
    assert later["bids"][0][0] < later["asks"][0][0]


@check
async def tickers_and_trades_are_watched(pro):
    ticker = await seen(lambda: pro.watch_ticker(PAIR), lambda one: one["bid"])
    assert ticker["bid"] < ticker["ask"]
    trade = await seen(lambda: pro.watch_trades(PAIR), lambda one: one["price"])
    assert trade["symbol"] == PAIR
    assert trade["price"] > 1000


@check
async def orders_and_fills_are_watched(pro):
    orders = asyncio.ensure_future(seen(lambda: pro.watch_orders(PAIR), lambda one: one["status"] == "closed"))
    trades = asyncio.ensure_future(seen(lambda: pro.watch_my_trades(PAIR), lambda one: one["symbol"] == PAIR))
    await asyncio.sleep(1.0)
    placed = await pro.create_order(PAIR, "market", "buy", 0.005)
    order, trade = await orders, await trades
    assert (order["id"], order["filled"]) == (placed["id"], 0.005)
    # The library reads a fill's order as the fill's own id (ccxt pull request 30528), so only the pair is held.
    assert trade["symbol"] == PAIR


@check
def nothing_left_for_an_address_that_is_not_mapped():
    assert STRAY == []


async def sockets(functions):
    pro = Counted(aimed(ccxt.pro.alpaca))
    try:
        await pro.load_markets()
        for function in functions:
            Counted.check = function.__name__
            detail = ""
            try:
                await function(pro)
            except Exception:  # noqa: BLE001 (a failed check must not hide the next one)
                detail = traceback.format_exc(limit=-3)
            told(function, detail)
    finally:
        await pro.sdk.close()


def told(function, detail):
    print(json.dumps({"check": function.__name__, "ok": not detail, "detail": detail}), flush=True)


def main():
    guard()
    batch = [function for function in CHECKS if inspect.iscoroutinefunction(function)]
    for function in CHECKS:
        if function in batch:
            if function is batch[0]:
                asyncio.run(sockets(batch))
            continue
        Counted.check = function.__name__
        detail = ""
        try:
            function()
        except Exception:  # noqa: BLE001 (a failed check must not hide the next one)
            detail = traceback.format_exc(limit=-3)
        told(function, detail)
    print(json.dumps({"table": "calls", "rows": {name: sorted(checks) for name, checks in sorted(CALLED.items())}}))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
