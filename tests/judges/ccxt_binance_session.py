"""A trading session through `ccxt` (REST, and its WebSocket half `ccxt.pro`) against our Binance emulator.

See `ccxt_session` for how it runs. The addresses that the emulator serves are rewritten to it; the others
stay the library's, where the guard refuses them and the judge fails.

Where the library is at odds with the venue's documentation, the check says so.
"""

import asyncio
import itertools
import pathlib
import sys
import time
from urllib.parse import urlsplit

import ccxt
import ccxt.pro

sys.path.insert(0, str(pathlib.Path(__file__).parent))  # an isolated interpreter does not look beside the script
from ccxt_session import KEY, SECRET, WAIT_S, WHERE, Counted, check, refused, run, seen, until

BASE, WS = WHERE["rest"], WHERE["ws"].rpartition("/")[0]
SPOT, PERP = "BTC/USDT", "BTC/USDT:USDT"


def rewritten(url):
    """Return an address of the library as the emulator serves it, unchanged where it does not."""
    if not isinstance(url, str):
        return url
    parts = urlsplit(url)
    if parts.scheme in ("ws", "wss"):
        prefix = {"stream.binance.com": "/streams", "fstream.binance.com": "/fstream", "ws-api.binance.com": ""}
        return WS + prefix[parts.hostname] + parts.path if parts.hostname in prefix else url
    return BASE + parts.path if parts.hostname in ("api.binance.com", "fapi.binance.com") else url


def walk(value):
    return {key: walk(one) for key, one in value.items()} if isinstance(value, dict) else rewritten(value)


def aimed(kind, default):
    made = kind(
        {
            "apiKey": KEY,
            "secret": SECRET,
            "enableRateLimit": False,
            "options": {
                "defaultType": default,
                "fetchMarkets": {"types": ["spot", "linear"]},
                "fetchMargins": False,
                "fetchCurrencies": False,
                "warnOnFetchOpenOrdersWithoutSymbol": False,
            },
        }
    )
    made.urls["api"] = walk(made.urls["api"])
    return made


rest = Counted(aimed(ccxt.binance, "spot"))
state = {}


def price(symbol, part):
    """Return a price a part away from the market, on the tick."""
    last = rest.sdk.fetch_ticker(symbol)["last"]
    return float(rest.sdk.price_to_precision(symbol, last * (1 + part)))


# --- markets ---------------------------------------------------------------------------------------------------------


@check
def markets_have_the_grids_of_their_filters():
    markets = rest.load_markets()
    assert {SPOT, PERP} <= set(markets)
    spot, perp = markets[SPOT], markets[PERP]
    assert (spot["type"], spot["spot"], spot["active"]) == ("spot", True, True)
    assert (perp["type"], perp["linear"], perp["settle"]) == ("swap", True, "USDT")
    assert (spot["precision"]["price"], spot["precision"]["amount"]) == (0.01, 0.00001)
    assert (perp["precision"]["price"], perp["precision"]["amount"]) == (0.1, 0.001)
    assert spot["limits"]["cost"]["min"] == perp["limits"]["cost"]["min"] == 5.0


@check
def time_is_the_venues():
    assert abs(rest.fetch_time() - time.time() * 1000) < 2000


@check
def tickers_agree_with_books():
    for symbol in (SPOT, PERP):
        ticker, book = rest.fetch_ticker(symbol), rest.fetch_order_book(symbol, 20)
        assert ticker["symbol"] == symbol
        assert ticker["last"] > 0
        assert len(book["bids"]) == len(book["asks"]) == 20
        assert book["bids"][0][0] < book["asks"][0][0]
        assert abs(ticker["last"] / book["bids"][0][0] - 1) < 0.01
        assert book["nonce"] > 0
    many = rest.fetch_tickers([SPOT, "ETH/USDT"])
    assert set(many) == {SPOT, "ETH/USDT"}
    assert many["ETH/USDT"]["last"] > 0
    tops = rest.fetch_bids_asks([SPOT, "ETH/USDT"])
    assert tops[SPOT]["bid"] < tops[SPOT]["ask"]


@check
def candles_are_whole_and_in_order():
    for symbol in (SPOT, PERP):
        rows = rest.fetch_ohlcv(symbol, "1m", limit=50)
        assert 48 <= len(rows) <= 50
        assert all(later[0] - row[0] == 60_000 for row, later in itertools.pairwise(rows))
        assert all(low <= min(first, last) <= max(first, last) <= high for _, first, high, low, last, _ in rows)


@check
def public_trades_and_mark_prices_are_read():
    (trade,) = rest.fetch_trades(SPOT, limit=1, params={"fetchTradesMethod": "publicGetTrades"})
    assert trade["price"] > 0
    assert trade["symbol"] == SPOT
    rate = rest.fetch_funding_rate(PERP)
    assert rate["fundingRate"] == 0.0001
    assert rate["markPrice"] > 0


# --- spot orders -----------------------------------------------------------------------------------------------------


@check
def balance_counts_free_and_locked():
    balance = state["before"] = rest.fetch_balance()
    assert balance["BTC"]["total"] == 2.0
    assert balance["USDT"]["total"] == 1_000_000.0
    assert balance["USDT"]["used"] == 0.0


@check
def market_order_is_filled_with_its_trades():
    order = rest.create_order(SPOT, "market", "buy", 0.01)
    assert (order["status"], order["filled"], order["remaining"]) == ("closed", 0.01, 0.0)
    assert order["average"] > 0
    assert sum(trade["amount"] for trade in order["trades"]) == 0.01
    again = rest.fetch_order(order["id"], SPOT)
    assert (again["status"], again["filled"], again["type"], again["side"]) == ("closed", 0.01, "market", "buy")
    trades = [one for one in rest.fetch_my_trades(SPOT) if one["order"] == order["id"]]
    assert sum(one["amount"] for one in trades) == 0.01
    # The commission of a regular user, 0.1 %, taken out of the coins bought: in the reply, the trades and the wallet.
    assert order["fees"] == [{"currency": "BTC", "cost": 0.00001}]
    assert {one["fee"]["currency"] for one in trades} == {"BTC"}
    assert round(sum(one["fee"]["cost"] for one in trades), 8) == 0.00001
    assert {one["takerOrMaker"] for one in trades} == {"taker"}
    assert rest.fetch_balance()["BTC"]["total"] == 2.00999
    of_order = rest.fetch_order_trades(order["id"], SPOT)
    assert [one["id"] for one in of_order] == [one["id"] for one in trades]


@check
def what_was_bought_cannot_be_sold_whole_and_a_sale_is_charged_in_money():
    own = rest.fetch_balance()
    refused(ccxt.InsufficientFunds, lambda: rest.create_order(SPOT, "market", "sell", 2.01), "insufficient")
    order = rest.create_order(SPOT, "market", "sell", 0.00999)
    (fee,) = order["fees"]
    assert fee["currency"] == "USDT"
    assert abs(fee["cost"] - order["cost"] * 0.001) < 1e-7
    now = rest.fetch_balance()
    assert now["BTC"]["total"] == 2.0
    assert abs(now["USDT"]["total"] - own["USDT"]["total"] - order["cost"] + fee["cost"]) < 1e-6


@check
def commission_rates_are_those_of_the_account():
    rates = rest.fetch_balance()["info"]["commissionRates"]
    assert (float(rates["maker"]), float(rates["taker"])) == (0.001, 0.001)


@check
def market_order_by_its_cost_spends_no_more():
    order = rest.create_market_buy_order_with_cost(SPOT, 1000)
    assert order["status"] == "closed"
    assert 950 < order["cost"] <= 1000


@check
def limit_order_rests_is_found_and_canceled():
    low = price(SPOT, -0.05)
    order = rest.create_order(SPOT, "limit", "buy", 0.01, low, {"clientOrderId": "judge-1"})
    assert (order["status"], order["price"], order["clientOrderId"]) == ("open", low, "judge-1")
    assert [one["id"] for one in rest.fetch_open_orders(SPOT)] == [order["id"]]
    assert [one["id"] for one in rest.fetch_open_orders()] == [order["id"]]
    assert rest.fetch_balance()["USDT"]["used"] == round(low * 0.01, 8)
    refused(
        ccxt.InvalidOrder,
        lambda: rest.create_order(SPOT, "limit", "buy", 0.01, low, {"clientOrderId": "judge-1"}),
        "Duplicate",
    )
    gone = rest.cancel_order(order["id"], SPOT)
    assert (gone["status"], gone["id"]) == ("canceled", order["id"])
    refused(ccxt.OrderNotFound, lambda: rest.cancel_order(order["id"], SPOT), "Unknown order sent.")
    assert rest.fetch_order(order["id"], SPOT)["status"] == "canceled"
    assert rest.fetch_open_orders(SPOT) == []


@check
def editing_replaces_a_spot_order():
    low = price(SPOT, -0.05)
    order = rest.create_order(SPOT, "limit", "buy", 0.01, low)
    edited = rest.edit_order(order["id"], SPOT, "limit", "buy", 0.02, low)
    assert edited["id"] != order["id"]
    assert (edited["amount"], edited["status"]) == (0.02, "open")
    assert rest.fetch_order(order["id"], SPOT)["status"] == "canceled"
    (gone,) = rest.cancel_all_orders(SPOT)
    assert gone["id"] == edited["id"]


@check
def immediate_and_post_only_orders_end_as_they_must():
    far = price(SPOT, -0.05)
    for tif in ("IOC", "FOK"):
        order = rest.create_order(SPOT, "limit", "buy", 0.01, far, {"timeInForce": tif})
        assert (order["status"], order["filled"], order["timeInForce"]) == ("expired", 0.0, tif)
    high = price(SPOT, 0.01)
    refused(
        ccxt.OrderImmediatelyFillable,
        lambda: rest.create_order(SPOT, "limit", "buy", 0.01, high, {"postOnly": True}),
        "immediately match",
    )
    maker = rest.create_order(SPOT, "limit", "buy", 0.01, far, {"postOnly": True})
    assert maker["postOnly"] is True
    rest.cancel_order(maker["id"], SPOT)


@check
def stop_order_waits_with_its_trigger():
    trigger, limit = price(SPOT, -0.03), price(SPOT, -0.031)
    order = rest.create_order(SPOT, "limit", "sell", 0.01, limit, {"stopLossPrice": trigger})
    found = rest.fetch_order(order["id"], SPOT)
    assert (found["status"], found["triggerPrice"], found["price"]) == ("open", trigger, limit)
    rest.cancel_order(order["id"], SPOT)


@check
def wrong_orders_are_refused_in_the_venues_words():
    low = price(SPOT, -0.05)
    high = price(SPOT, 0.05)
    refused(ccxt.InsufficientFunds, lambda: rest.create_order(SPOT, "limit", "sell", 50, high), "insufficient")
    refused(ccxt.BadRequest, lambda: rest.create_order(SPOT, "limit", "buy", 0.00001, low), "NOTIONAL")
    refused(ccxt.OrderNotFound, lambda: rest.fetch_order("1", SPOT), "Order does not exist")
    off = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}
    refused(ccxt.InvalidOrder, lambda: rest.sdk.private_post_order(off | {"price": "90000.001"}), "PRICE_FILTER")
    refused(ccxt.BadSymbol, lambda: rest.sdk.public_get_depth({"symbol": "NOSUCH"}), "Invalid symbol")


@check
def order_test_places_nothing():
    assert rest.create_order(SPOT, "limit", "buy", 0.01, price(SPOT, -0.05), {"test": True})["id"] is None
    assert rest.fetch_open_orders(SPOT) == []


@check
def every_order_is_in_the_history():
    orders = rest.fetch_orders(SPOT)
    assert {"closed", "canceled", "expired"} <= {one["status"] for one in orders}
    assert {one["id"] for one in rest.fetch_closed_orders(SPOT)} < {one["id"] for one in orders}


@check
def wrong_keys_and_signatures_are_refused():
    other = aimed(ccxt.binance, "spot")
    other.secret = "wrong"
    refused(ccxt.AuthenticationError, other.fetch_balance, "-1022")
    other.apiKey, other.secret = "emu_other", SECRET
    refused(ccxt.AuthenticationError, other.fetch_balance, "-2015")
    other.apiKey = KEY
    other.options["recvWindow"] = 1000
    other.nonce = lambda: int(time.time() * 1000) - 9000
    refused(ccxt.InvalidNonce, other.fetch_balance, "-1021")


# --- futures ---------------------------------------------------------------------------------------------------------


@check
def futures_wallet_is_its_own():
    balance = rest.fetch_balance({"type": "future"})
    assert balance["USDT"]["total"] == 500_000.0
    assert rest.fetch_position_mode(PERP)["hedged"] is False


@check
def futures_order_opens_a_position():
    order = rest.create_order(PERP, "market", "sell", 0.1)
    found = until(lambda: (one := rest.fetch_order(order["id"], PERP))["status"] == "closed" and one, "the fill")
    assert (found["filled"], found["side"]) == (0.1, "sell")
    (position,) = rest.fetch_positions([PERP])
    assert (position["side"], position["contracts"], position["symbol"]) == ("short", 0.1, PERP)
    assert position["entryPrice"] == found["average"]
    (risk,) = rest.fetch_positions_risk([PERP])
    assert risk["contracts"] == 0.1
    trades = [one for one in rest.fetch_my_trades(PERP) if one["order"] == order["id"]]
    assert sum(one["amount"] for one in trades) == 0.1
    fees = sum(one["fee"]["cost"] for one in trades)
    assert {one["fee"]["currency"] for one in trades} == {"USDT"}
    assert abs(fees - found["cost"] * 0.0005) < 1e-6
    wallet = rest.fetch_balance({"type": "future"})["info"]["totalWalletBalance"]
    assert abs(500_000 - float(wallet) - fees) < 1e-6


@check
def futures_order_is_changed_in_place():
    low = price(PERP, -0.05)
    order = rest.create_order(PERP, "limit", "buy", 0.01, low)
    edited = rest.edit_order(order["id"], PERP, "limit", "buy", 0.02, low)
    assert edited["id"] == order["id"]
    assert rest.fetch_order(order["id"], PERP)["amount"] == 0.02
    assert [one["id"] for one in rest.fetch_open_orders(PERP)] == [order["id"]]
    assert rest.cancel_order(order["id"], PERP)["status"] == "canceled"


@check
def conditional_order_goes_to_the_algo_service():
    trigger = price(PERP, 0.04)
    order = rest.create_order(PERP, "market", "buy", 0.1, None, {"stopLossPrice": trigger, "reduceOnly": True})
    found = rest.fetch_order(order["id"], PERP, {"trigger": True})
    assert (found["triggerPrice"], found["amount"], found["reduceOnly"]) == (trigger, 0.1, True)
    assert [one["id"] for one in rest.fetch_open_orders(PERP, params={"trigger": True})] == [order["id"]]
    rest.cancel_order(order["id"], PERP, {"trigger": True})
    assert rest.fetch_open_orders(PERP, params={"trigger": True}) == []
    # Here and below the library finds no class of its own for a futures number: it tells markets apart by host name.
    old = {"symbol": "BTCUSDT", "side": "BUY", "type": "STOP_MARKET", "quantity": "0.01", "stopPrice": str(trigger)}
    refused(ccxt.ExchangeError, lambda: rest.sdk.fapiPrivatePostOrder(old), "-4120")


@check
def reduce_only_order_closes_and_never_opens():
    refused(
        ccxt.ExchangeError,
        lambda: rest.create_order(PERP, "market", "sell", 0.1, None, {"reduceOnly": True}),
        "ReduceOnly",
    )
    rest.create_order(PERP, "market", "buy", 0.1, None, {"reduceOnly": True})
    assert [one for one in rest.fetch_positions([PERP]) if one["contracts"]] == []


@check
def hedged_account_keeps_both_sides():
    rest.set_position_mode(True, PERP)
    for side, position_side in (("buy", "LONG"), ("sell", "SHORT")):
        rest.create_order(PERP, "market", side, 0.02, None, {"positionSide": position_side})
    found = {one["side"]: one["contracts"] for one in rest.fetch_positions([PERP])}
    assert found == {"long": 0.02, "short": 0.02}
    for side, position_side in (("sell", "LONG"), ("buy", "SHORT")):
        rest.create_order(PERP, "market", side, 0.02, None, {"positionSide": position_side})
    rest.set_position_mode(False, PERP)
    assert rest.fetch_position_mode(PERP)["hedged"] is False


@check
def all_futures_orders_of_a_symbol_are_canceled_at_once():
    low = price(PERP, -0.05)
    made = {rest.create_order(PERP, "limit", "buy", 0.01, low)["id"] for _ in range(2)}
    assert {one["id"] for one in rest.fetch_open_orders(PERP)} == made
    rest.cancel_all_orders(PERP)
    assert rest.fetch_open_orders(PERP) == []


# --- sockets ---------------------------------------------------------------------------------------------------------


async def within(awaitable):
    return await asyncio.wait_for(awaitable, WAIT_S)


@check
async def streamed_books_agree_with_the_snapshot_they_started_from(pro):
    for symbol in (SPOT, PERP):
        for _ in range(5):
            book = await within(pro.watch_order_book(symbol))
            assert book["bids"][0][0] < book["asks"][0][0]
        fetched = await pro.fetch_order_book(symbol, 20)
        assert abs(book["bids"][0][0] / fetched["bids"][0][0] - 1) < 0.01


@check
async def streamed_trades_have_price_and_side(pro):
    for symbol in (SPOT, PERP):
        trades = await within(pro.watch_trades(symbol))
        assert trades[-1]["symbol"] == symbol
        assert trades[-1]["price"] > 0
        assert trades[-1]["side"] in ("buy", "sell")


@check
async def streamed_tickers_and_tops_are_the_markets(pro):
    for symbol in (SPOT, PERP):
        ticker = await within(pro.watch_ticker(symbol))
        assert (ticker["symbol"], ticker["last"] > 0) == (symbol, True)
        tops = await within(pro.watch_bids_asks([symbol]))
        assert tops[symbol]["bid"] < tops[symbol]["ask"]
    mark = await within(pro.watch_mark_price(PERP))
    assert mark["markPrice"] > 0


@check
async def spot_user_stream_tells_the_life_of_an_order(pro):
    watching = asyncio.ensure_future(seen(lambda: pro.watch_orders(SPOT), lambda one: one["status"] == "closed"))
    trading = asyncio.ensure_future(seen(lambda: pro.watch_my_trades(SPOT), lambda one: one["amount"] == 0.003))
    wallet = asyncio.ensure_future(within(pro.watch_balance()))
    await asyncio.sleep(1.0)
    order = await pro.create_order(SPOT, "market", "buy", 0.003)
    closed, trade, balance = await watching, await trading, await wallet
    assert (closed["id"], closed["filled"], closed["average"]) == (order["id"], 0.003, order["average"])
    assert (trade["order"], trade["price"]) == (order["id"], order["trades"][0]["price"])
    assert (trade["fee"]["currency"], trade["fee"]["cost"]) == ("BTC", 0.000003)
    assert balance["BTC"]["total"] > 2.0


@check
async def spot_orders_go_over_the_websocket_interface(pro):
    last = (await pro.fetch_ticker(SPOT))["last"]
    low = float(pro.price_to_precision(SPOT, last * 0.95))
    order = await within(pro.create_order_ws(SPOT, "limit", "buy", 0.01, low))
    assert (order["status"], order["price"]) == ("open", low)
    assert (await within(pro.fetch_order_ws(order["id"], SPOT)))["id"] == order["id"]
    assert [one["id"] for one in await within(pro.fetch_open_orders_ws(SPOT))] == [order["id"]]
    edited = await within(pro.edit_order_ws(order["id"], SPOT, "limit", "buy", 0.02, low))
    assert edited["amount"] == 0.02
    gone = await within(pro.cancel_order_ws(edited["id"], SPOT))
    assert gone["status"] == "canceled"
    # The library parses the reply as that of isolated margin and finds no asset in it; the raw reply is whole.
    wallet = await within(pro.fetch_balance_ws())
    assert {row["asset"] for row in wallet["info"]["balances"]} >= {"BTC", "USDT"}
    assert (await within(pro.fetch_my_trades_ws(SPOT)))[0]["symbol"] == SPOT


@check
async def futures_user_stream_tells_orders_and_positions(pro):
    params = {"type": "future"}
    orders = asyncio.ensure_future(
        seen(lambda: pro.watch_orders(PERP, params=params), lambda one: one["status"] == "closed")
    )
    await asyncio.sleep(1.0)
    order = await pro.create_order(PERP, "market", "buy", 0.05)
    closed = await orders
    assert (closed["id"], closed["filled"], closed["symbol"]) == (order["id"], 0.05, PERP)
    (position,) = await pro.fetch_positions([PERP])
    assert (position["side"], position["contracts"]) == ("long", 0.05)
    back = asyncio.ensure_future(
        seen(lambda: pro.watch_orders(PERP, params=params), lambda one: one["status"] == "canceled")
    )
    low = float(pro.price_to_precision(PERP, closed["average"] * 0.95))
    await asyncio.sleep(0.2)
    resting = await pro.create_order(PERP, "limit", "buy", 0.01, low)
    await pro.cancel_order(resting["id"], PERP)
    assert (await back)["id"] == resting["id"]


if __name__ == "__main__":
    run(lambda: aimed(ccxt.pro.binance, "spot"))
