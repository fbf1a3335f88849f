"""A trading session through the official `alpaca-py` package, as its users write it, against our emulator.

Runs in the SDK's own environment: nothing of dragoman is importable here. Prints one JSON line per check and the table
of SDK methods. Where the SDK itself is at odds with the broker's documentation, the check says so.

Known faults of the SDK that no check can show here: it retries 429 and 504 by itself, also orders; its sockets import
``websockets.legacy``, which warns; `stop` takes up to five seconds.
"""

# ruff: noqa: E402 - warnings of the SDK's import are turned off before it

import asyncio
import inspect
import json
import os
import sys
import threading
import time
import traceback
import uuid
import warnings
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

# The SDK's own import of a deprecated module: nothing here can choose another.
warnings.filterwarnings("ignore", category=DeprecationWarning)

WHERE = json.loads(sys.argv[1])

from alpaca.common.exceptions import APIError
from alpaca.data.historical import CryptoHistoricalDataClient, OptionHistoricalDataClient, StockHistoricalDataClient
from alpaca.data.live import CryptoDataStream, OptionDataStream, StockDataStream
from alpaca.data.requests import (
    CryptoBarsRequest,
    CryptoLatestBarRequest,
    CryptoLatestOrderbookRequest,
    CryptoLatestQuoteRequest,
    CryptoLatestTradeRequest,
    CryptoQuoteRequest,
    CryptoSnapshotRequest,
    CryptoTradesRequest,
    OptionBarsRequest,
    OptionChainRequest,
    OptionLatestQuoteRequest,
    OptionLatestTradeRequest,
    OptionSnapshotRequest,
    OptionTradesRequest,
    StockBarsRequest,
    StockLatestBarRequest,
    StockLatestQuoteRequest,
    StockLatestTradeRequest,
    StockQuotesRequest,
    StockSnapshotRequest,
    StockTradesRequest,
)
from alpaca.data.timeframe import TimeFrame
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import (
    AssetClass,
    OrderClass,
    OrderSide,
    OrderStatus,
    OrderType,
    PositionSide,
    QueryOrderStatus,
    TimeInForce,
)
from alpaca.trading.requests import (
    ClosePositionRequest,
    GetAssetsRequest,
    GetCalendarRequest,
    GetOptionContractsRequest,
    GetOrderByIdRequest,
    GetOrdersRequest,
    GetPortfolioHistoryRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
    StopLimitOrderRequest,
    StopLossRequest,
    StopOrderRequest,
    TakeProfitRequest,
    TrailingStopOrderRequest,
)
from alpaca.trading.stream import TradingStream

KEY, SECRET = WHERE["credentials"]["api_key"], WHERE["credentials"]["api_secret"]
ACCOUNT = WHERE["credentials"]["account"]
WAIT_S = 10.0
CHECKS = []
CALLED = {}
NOW = datetime.now(UTC)


def check(function):
    CHECKS.append(function)
    return function


class Noted:
    """An SDK object, unchanged; remembers which methods were called by which check."""

    check = ""

    def __init__(self, sdk):
        self.sdk = sdk

    def __getattr__(self, name):
        value = getattr(self.sdk, name)
        if callable(value):
            CALLED.setdefault(f"{type(self.sdk).__name__}.{name}", []).append(Noted.check)
        return value


trading = Noted(TradingClient(KEY, SECRET, url_override=WHERE["rest"]))
stocks = Noted(StockHistoricalDataClient(KEY, SECRET, url_override=WHERE["extra"]["data"]))
pairs = Noted(CryptoHistoricalDataClient(KEY, SECRET, url_override=WHERE["extra"]["data"]))
options = Noted(OptionHistoricalDataClient(KEY, SECRET, url_override=WHERE["extra"]["data"]))
updates = Noted(TradingStream(KEY, SECRET, url_override=WHERE["ws"]))
stock_stream = Noted(StockDataStream(KEY, SECRET, url_override=WHERE["extra"]["data_ws"] + "/v2/iex"))
pair_stream = Noted(CryptoDataStream(KEY, SECRET, url_override=WHERE["extra"]["data_ws"] + "/v1beta3/crypto/us"))
option_stream = Noted(OptionDataStream(KEY, SECRET, url_override=WHERE["extra"]["data_ws"] + "/v1beta1/indicative"))
FACES = (TradingClient, StockHistoricalDataClient, CryptoHistoricalDataClient, OptionHistoricalDataClient)
FACES += (TradingStream, StockDataStream, CryptoDataStream, OptionDataStream)
events = []
heard = {"stock": [], "pair": [], "option": []}
minutes = []
state = {}


def until(question, what, seconds=WAIT_S):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = question()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s for {what}")


def refused(status, code, call, text=""):
    """The SDK must raise its error with the HTTP status and the broker's code and words."""
    try:
        got = call()
    except APIError as refusal:
        error = refusal
    else:
        raise AssertionError(f"not refused: {got!r}")
    assert (error.status_code, error.code) == (status, code), f"{error.status_code} {error.code} {error}"
    assert text in error.message, error.message


def price_of(symbol="AAPL"):
    quote = stocks.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols=symbol))[symbol]
    return quote.bid_price, quote.ask_price


def events_of(order_id):
    return [one for one in events if str(one.order.id) == str(order_id)]


def word(update):
    """The SDK declares the event as its enum or as text, and reads it as text."""
    return getattr(update.event, "value", update.event)


def rest(quantity=3, below=0.05, **more):
    bid, _ = price_of()
    terms = {"symbol": "AAPL", "qty": quantity, "side": OrderSide.BUY, "time_in_force": TimeInForce.DAY}
    return trading.submit_order(LimitOrderRequest(**(terms | {"limit_price": round(bid * (1 - below), 2)} | more)))


def order_of(order_id):
    return trading.get_order_by_id(order_id)


def ended(order_id, status):
    return until(lambda: (found := order_of(order_id)).status == status and found, f"{order_id} {status}")


# -- account and listings ----------------------------------------------------------------------------------------------


@check
def wrong_keys_are_refused():
    stranger = TradingClient(KEY, "wrong", url_override=WHERE["rest"])
    refused(401, 40110000, stranger.get_account)


@check
def oauth_tokens_are_taken():
    bearer = TradingClient(oauth_token=WHERE["credentials"]["oauth_token"], url_override=WHERE["rest"])
    assert bearer.get_account().account_number == ACCOUNT


@check
def the_account_has_its_money():
    account = trading.get_account()
    assert (account.account_number, account.status.value, account.currency) == (ACCOUNT, "ACTIVE", "USD")
    assert float(account.equity) == float(account.cash) == float(account.buying_power) == 1_000_000
    assert account.trading_blocked is False
    assert account.shorting_enabled is True


@check
def configurations_are_read_and_changed():
    found = trading.get_account_configurations()
    assert found.fractional_trading is True
    found.no_shorting = True
    assert trading.set_account_configurations(found).no_shorting is True
    found.no_shorting = False
    assert trading.set_account_configurations(found).no_shorting is False


@check
def portfolio_history_has_a_line():
    found = trading.get_portfolio_history(GetPortfolioHistoryRequest(period="1W", timeframe="1D"))
    assert len(found.timestamp) == len(found.equity) == 3
    assert found.base_value == 1_000_000


@check
def assets_are_listed_by_class():
    shares = trading.get_all_assets(GetAssetsRequest(asset_class=AssetClass.US_EQUITY))
    by_symbol = {one.symbol: one for one in shares}
    assert by_symbol["AAPL"].fractionable is True
    assert by_symbol["NVR"].fractionable is False
    assert by_symbol["BRK.B"].exchange.value == "NYSE"
    coins = trading.get_all_assets(GetAssetsRequest(asset_class=AssetClass.CRYPTO))
    assert {"BTC/USD", "ETH/USD"} <= {one.symbol for one in coins}
    assert all(one.asset_class == AssetClass.CRYPTO and not one.shortable for one in coins)


@check
def one_asset_is_found_by_symbol_and_by_id():
    found = trading.get_asset("AAPL")
    assert trading.get_asset(found.id) == found
    refused(404, 40410000, lambda: trading.get_asset("NOSUCH"))


@check
def option_contracts_are_listed_in_pages():
    first = trading.get_option_contracts(GetOptionContractsRequest(underlying_symbols=["AAPL"], limit=10))
    assert len(first.option_contracts) == 10
    assert first.next_page_token
    second = trading.get_option_contracts(
        GetOptionContractsRequest(underlying_symbols=["AAPL"], limit=10, page_token=first.next_page_token)
    )
    one = first.option_contracts[0]
    assert one.id not in {other.id for other in second.option_contracts}
    assert (one.underlying_symbol, one.size) == ("AAPL", "100")
    assert trading.get_option_contract(one.symbol).strike_price == one.strike_price
    state["option"] = one.symbol


@check
def the_clock_and_the_calendar_tell_the_time():
    clock = trading.get_clock()
    assert clock.is_open is True
    assert clock.next_open > clock.timestamp
    days = trading.get_calendar(GetCalendarRequest(start="2026-01-05", end="2026-01-11"))
    assert [day.date.isoformat() for day in days] == [f"2026-01-{day:02d}" for day in range(5, 10)]
    assert days[0].open.hour == 9


# -- streams -----------------------------------------------------------------------------------------------------------


async def on_update(update):
    events.append(update)


async def on_minute(bar):
    minutes.append(bar)


def collector(name):
    async def collect(message):
        heard[name].append(message)

    return collect


@check
def the_streams_start():
    updates.subscribe_trade_updates(on_update)
    for stream, name, symbol in ((stock_stream, "stock", "AAPL"), (pair_stream, "pair", "BTC/USD")):
        stream.subscribe_trades(collector(name), symbol)
        stream.subscribe_quotes(collector(name), symbol)
        stream.subscribe_daily_bars(collector(name), symbol)
        stream.subscribe_bars(on_minute, symbol)
    pair_stream.subscribe_orderbooks(collector("pair"), "BTC/USD")
    option_stream.subscribe_trades(collector("option"), state["option"])
    option_stream.subscribe_quotes(collector("option"), state["option"])
    for stream in (updates, stock_stream, pair_stream, option_stream):
        threading.Thread(target=stream.run, name="stream", daemon=True).start()
    assert until(lambda: all(heard.values()), "data on all three streams")
    assert until(lambda: getattr(updates.sdk, "_running", False), "the order stream")
    time.sleep(0.5)  # the SDK tells nobody when it has begun to listen


def kinds(name, kind):
    return [one for one in heard[name] if type(one).__name__ == kind]


@check
def shares_stream_trades_quotes_and_daily_bars():
    trade = until(lambda: kinds("stock", "Trade"), "a trade")[-1]
    assert (trade.symbol, trade.tape) == ("AAPL", "C")
    assert trade.price > 0
    assert trade.timestamp.tzinfo is not None
    quote = until(lambda: kinds("stock", "Quote"), "a quote")[-1]
    assert 0 < quote.bid_price < quote.ask_price
    bar = until(lambda: kinds("stock", "Bar"), "a daily bar")[-1]
    assert bar.low <= bar.open <= bar.high


@check
def pairs_stream_books_that_begin_whole():
    books = until(lambda: len(found := kinds("pair", "Orderbook")) > 2 and found, "three books")
    assert books[0].reset is True
    assert len(books[0].bids) >= 10
    assert max(level.price for level in books[0].bids) < min(level.price for level in books[0].asks)
    # The documentation sends r only with a whole book; the SDK reads its absence as False or None.
    assert not books[1].reset
    trade = until(lambda: kinds("pair", "Trade"), "a trade")[-1]
    assert trade.symbol == "BTC/USD"


@check
def options_stream_in_messagepack():
    quote = until(lambda: kinds("option", "Quote"), "a quote")[-1]
    assert quote.symbol == state["option"]
    assert quote.ask_price > 0


@check
def a_second_connection_to_an_endpoint_is_refused():
    late = StockDataStream(KEY, SECRET, url_override=WHERE["extra"]["data_ws"] + "/v2/iex")

    async def attempt():
        await late._connect()
        try:
            await late._auth()
        finally:
            await late._ws.close()

    said = ""
    try:
        asyncio.run(attempt())
    except ValueError as limit:
        said = str(limit)
    assert "connection limit exceeded" in said, said or "a second connection was taken"


@check
def unsubscribing_ends_the_data():
    for stream, symbol in ((stock_stream, "AAPL"), (pair_stream, "BTC/USD")):
        stream.unsubscribe_trades(symbol)
        stream.unsubscribe_quotes(symbol)
        stream.unsubscribe_daily_bars(symbol)
    pair_stream.unsubscribe_orderbooks("BTC/USD")
    option_stream.unsubscribe_trades(state["option"])
    option_stream.unsubscribe_quotes(state["option"])
    time.sleep(1.0)
    before = {name: len(found) for name, found in heard.items()}
    assert min(before.values()) > 0
    time.sleep(1.0)
    assert {name: len(found) for name, found in heard.items()} == before


# -- orders ------------------------------------------------------------------------------------------------------------


@check
def a_market_order_fills_and_is_told():
    order = trading.submit_order(
        MarketOrderRequest(symbol="AAPL", qty=2, side=OrderSide.BUY, time_in_force=TimeInForce.DAY)
    )
    assert order.status == OrderStatus.PENDING_NEW
    filled = ended(order.id, OrderStatus.FILLED)
    assert (filled.filled_qty, filled.qty) == ("2", "2")
    told = until(lambda: len(found := events_of(order.id)) >= 3 and found, "three events")
    assert [word(one) for one in told][:2] == ["pending_new", "new"]
    last = until(lambda: word(found := events_of(order.id)[-1]) == "fill" and found, "the fill")
    assert last.position_qty == 2
    assert sum(one.qty for one in events_of(order.id) if one.qty) == 2
    assert float(filled.filled_avg_price) > 0
    state["bought"] = filled


@check
def fractions_and_amounts_of_money_are_bought():
    fraction = trading.submit_order(
        MarketOrderRequest(symbol="MSFT", qty=0.123456789, side=OrderSide.BUY, time_in_force=TimeInForce.DAY)
    )
    assert ended(fraction.id, OrderStatus.FILLED).filled_qty == "0.123456789"
    money = trading.submit_order(
        MarketOrderRequest(symbol="NVDA", notional=1000, side=OrderSide.BUY, time_in_force=TimeInForce.DAY)
    )
    assert (money.qty, float(money.notional)) == (None, 1000)
    filled = ended(money.id, OrderStatus.FILLED)
    spent = float(filled.filled_qty) * float(filled.filled_avg_price)
    assert 970 < spent < 1030, spent


@check
def a_resting_order_is_found_in_every_way():
    name = f"judge-{uuid.uuid4().hex[:12]}"
    order = rest(client_order_id=name)
    ended(order.id, OrderStatus.NEW)
    assert trading.get_order_by_client_id(name).id == order.id
    assert order.id in {one.id for one in trading.get_orders()}
    closed = trading.get_orders(GetOrdersRequest(status=QueryOrderStatus.CLOSED, symbols=["AAPL"]))
    assert order.id not in {one.id for one in closed}
    everything = trading.get_orders(GetOrdersRequest(status=QueryOrderStatus.ALL, limit=2, direction="desc"))
    assert everything[0].id == order.id
    assert len(everything) == 2
    refused(422, 40010001, lambda: rest(client_order_id=name), "client_order_id must be unique")
    state["resting"] = order.id


@check
def a_replace_makes_a_chain():
    old = order_of(state["resting"])
    first = trading.replace_order_by_id(old.id, ReplaceOrderRequest(limit_price=float(old.limit_price) + 1))
    assert first.id != old.id
    assert first.replaces == old.id
    ended(first.id, OrderStatus.NEW)
    gone = ended(old.id, OrderStatus.REPLACED)
    assert gone.replaced_by == first.id
    second = trading.replace_order_by_id(first.id, ReplaceOrderRequest(qty=5))
    now = ended(second.id, OrderStatus.NEW)
    assert (now.qty, now.limit_price) == ("5", first.limit_price)
    refused(422, 42210000, lambda: trading.replace_order_by_id(old.id, ReplaceOrderRequest(qty=4)), "replaced")
    assert until(lambda: "replaced" in [word(one) for one in events_of(first.id)], "the event")
    state["resting"] = second.id


@check
def a_cancel_is_accepted_and_then_made():
    assert trading.cancel_order_by_id(state["resting"]) is None
    order = ended(state["resting"], OrderStatus.CANCELED)
    assert order.canceled_at is not None
    refused(422, 42210000, lambda: trading.cancel_order_by_id(state["resting"]), "not cancelable")
    refused(404, 40410000, lambda: trading.cancel_order_by_id(str(uuid.uuid4())))
    refused(404, 40410000, lambda: trading.get_order_by_id(str(uuid.uuid4())))


@check
def all_orders_are_canceled_at_once():
    ids = {rest().id, rest().id}
    for order_id in ids:
        ended(order_id, OrderStatus.NEW)
    assert {one.id for one in trading.cancel_orders()} >= ids
    for order_id in ids:
        assert ended(order_id, OrderStatus.CANCELED).filled_qty == "0"


@check
def stops_wait_and_trails_are_told():
    bid, ask = price_of()
    terms = {"symbol": "AAPL", "qty": 1, "side": OrderSide.SELL, "time_in_force": TimeInForce.GTC}
    stop = trading.submit_order(StopOrderRequest(**terms, stop_price=round(bid * 0.9, 2)))
    limit = round(bid * 0.88, 2)
    stop_limit = trading.submit_order(StopLimitOrderRequest(**terms, stop_price=round(bid * 0.9, 2), limit_price=limit))
    for order, kind in ((stop, OrderType.STOP), (stop_limit, OrderType.STOP_LIMIT)):
        found = ended(order.id, OrderStatus.NEW)
        assert (found.order_type, float(found.stop_price)) == (kind, round(bid * 0.9, 2))
        trading.cancel_order_by_id(order.id)
        ended(order.id, OrderStatus.CANCELED)
    trail = trading.submit_order(TrailingStopOrderRequest(**terms, trail_percent=5))
    found = ended(trail.id, OrderStatus.NEW)
    assert found.order_type == OrderType.TRAILING_STOP
    assert float(found.stop_price) < float(found.hwm) < ask * 1.05
    trading.cancel_order_by_id(trail.id)
    ended(trail.id, OrderStatus.CANCELED)


@check
def immediate_orders_end_at_once():
    for times in (TimeInForce.IOC, TimeInForce.FOK):
        assert ended(rest(time_in_force=times).id, OrderStatus.CANCELED).filled_qty == "0"


@check
def a_bracket_releases_its_exits():
    bid, ask = price_of("KO")
    order = trading.submit_order(
        MarketOrderRequest(
            symbol="KO",
            qty=4,
            side=OrderSide.BUY,
            time_in_force=TimeInForce.GTC,
            order_class=OrderClass.BRACKET,
            take_profit=TakeProfitRequest(limit_price=round(ask * 1.1, 2)),
            stop_loss=StopLossRequest(stop_price=round(bid * 0.9, 2)),
        )
    )
    assert [leg.status for leg in order.legs] == [OrderStatus.HELD, OrderStatus.HELD]
    ended(order.id, OrderStatus.FILLED)
    for leg in order.legs:
        assert ended(leg.id, OrderStatus.NEW).side == OrderSide.SELL
    nested = trading.get_order_by_id(order.id, GetOrderByIdRequest(nested=True))
    assert len(nested.legs) == 2
    for leg in order.legs:
        trading.cancel_order_by_id(leg.id)
        ended(leg.id, OrderStatus.CANCELED)


@check
def wrong_orders_are_refused_with_their_codes():
    big = {"symbol": "AAPL", "side": OrderSide.BUY, "time_in_force": TimeInForce.DAY}
    refused(403, 40310000, lambda: trading.submit_order(MarketOrderRequest(**big, qty=100_000)), "buying power")
    refused(422, 42210000, lambda: rest(symbol="NOSUCH"), "not found")
    penny = LimitOrderRequest(**big, qty=1, limit_price=200.001)
    refused(422, 42210000, lambda: trading.submit_order(penny), "sub-penny")
    whole = MarketOrderRequest(symbol="NVR", qty=0.5, side=OrderSide.BUY, time_in_force=TimeInForce.DAY)
    refused(403, 40310000, lambda: trading.submit_order(whole), "not fractionable")
    coin = {"symbol": "BTC/USD", "time_in_force": TimeInForce.GTC, "qty": 1}
    short = MarketOrderRequest(**coin, side=OrderSide.SELL)
    refused(403, 40310000, lambda: trading.submit_order(short), "insufficient balance")
    day = MarketOrderRequest(**(coin | {"time_in_force": TimeInForce.DAY}), side=OrderSide.BUY)
    refused(422, 42210000, lambda: trading.submit_order(day), "time_in_force")
    flip = MarketOrderRequest(symbol="AAPL", qty=5, side=OrderSide.SELL, time_in_force=TimeInForce.DAY)
    refused(403, 40310000, lambda: trading.submit_order(flip), "insufficient qty")


@check
def pairs_and_options_trade():
    coin = trading.submit_order(
        LimitOrderRequest(
            symbol="ETH/USD", qty=0.5, side=OrderSide.BUY, time_in_force=TimeInForce.IOC, limit_price=4000
        )
    )
    assert float(ended(coin.id, OrderStatus.FILLED).filled_qty) == 0.5
    contract = trading.submit_order(
        MarketOrderRequest(symbol=state["option"], qty=2, side=OrderSide.BUY, time_in_force=TimeInForce.DAY)
    )
    assert ended(contract.id, OrderStatus.FILLED).asset_class == AssetClass.US_OPTION


# -- positions ---------------------------------------------------------------------------------------------------------


@check
def positions_show_what_was_bought():
    held = {one.symbol: one for one in trading.get_all_positions()}
    assert (held["AAPL"].qty, held["AAPL"].side) == ("2", PositionSide.LONG)
    assert held["MSFT"].qty == "0.123456789"
    option = held[state["option"]]
    assert abs(float(option.market_value) - 2 * 100 * float(option.current_price)) < 0.01
    one = trading.get_open_position("AAPL")
    assert one.avg_entry_price == state["bought"].filled_avg_price
    assert float(trading.get_open_position("ETHUSD").qty) == 0.5
    refused(404, 40410000, lambda: trading.get_open_position("PFE"))


@check
def a_short_position_is_negative():
    order = trading.submit_order(
        MarketOrderRequest(symbol="F", qty=10, side=OrderSide.SELL, time_in_force=TimeInForce.DAY)
    )
    ended(order.id, OrderStatus.FILLED)
    short = trading.get_open_position("F")
    assert (short.qty, short.side) == ("-10", PositionSide.SHORT)
    assert float(short.market_value) < 0


@check
def a_position_is_closed_in_part_and_whole():
    order = trading.close_position("AAPL", ClosePositionRequest(percentage="50"))
    assert ended(order.id, OrderStatus.FILLED).filled_qty == "1"
    assert trading.get_open_position("AAPL").qty == "1"


@check
def all_positions_are_closed():
    closed = trading.close_all_positions(cancel_orders=True)
    assert all(one.status == 200 for one in closed)
    assert until(lambda: not trading.get_all_positions(), "no positions") is True
    account = trading.get_account()
    assert abs(float(account.equity) - float(account.cash)) < 0.01
    rows = trading.get("/account/activities/FILL", {"page_size": 100})
    assert len(rows) < 100
    signed = [float(row["qty"]) * (1 if row["side"] == "sell" else -1) for row in rows]
    units = [100 if row["symbol"] == state["option"] else 1 for row in rows]
    paid = sum(one * unit * float(row["price"]) for one, unit, row in zip(signed, units, rows, strict=True))
    assert abs(float(account.cash) - 1_000_000 - paid) < 0.05


@check
def fills_are_activities():
    rows = trading.get("/account/activities/FILL", {"page_size": 100})
    mine = [row for row in rows if row["order_id"] == str(state["bought"].id)]
    assert sum(float(row["qty"]) for row in mine) == 2
    assert {row["symbol"] for row in mine} == {"AAPL"}
    page = trading.get("/account/activities/FILL", {"page_size": 1, "direction": "asc"})
    after = trading.get("/account/activities/FILL", {"page_size": 1, "direction": "asc", "page_token": page[0]["id"]})
    assert after[0]["id"] != page[0]["id"]


# -- market data -------------------------------------------------------------------------------------------------------


@check
def bars_come_in_pages_and_in_order():
    start, end = NOW - timedelta(days=3), NOW - timedelta(days=2)
    found = stocks.get_stock_bars(
        StockBarsRequest(symbol_or_symbols=["AAPL", "MSFT"], timeframe=TimeFrame.Hour, start=start, end=end)
    )
    assert set(found.data) == {"AAPL", "MSFT"}
    bars = found["AAPL"]
    assert 23 <= len(bars) <= 25
    assert [bar.timestamp for bar in bars] == sorted(bar.timestamp for bar in bars)
    assert all(bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in bars)
    coins = pairs.get_crypto_bars(
        CryptoBarsRequest(
            symbol_or_symbols="BTC/USD", timeframe=TimeFrame.Minute, start=start, end=start + timedelta(hours=1)
        )
    )
    assert 59 <= len(coins["BTC/USD"]) <= 61
    contracts = options.get_option_bars(
        OptionBarsRequest(symbol_or_symbols=state["option"], timeframe=TimeFrame.Day, start=start, end=end)
    )
    assert len(contracts[state["option"]]) >= 1


@check
def past_trades_and_quotes_are_read():
    start, end = NOW - timedelta(days=2), NOW - timedelta(days=2) + timedelta(minutes=30)
    trades = stocks.get_stock_trades(StockTradesRequest(symbol_or_symbols="AAPL", start=start, end=end, limit=5))[
        "AAPL"
    ]
    assert len(trades) == 5
    assert all(trade.price > 0 for trade in trades)
    quotes = stocks.get_stock_quotes(StockQuotesRequest(symbol_or_symbols="AAPL", start=start, end=end, limit=5))[
        "AAPL"
    ]
    assert all(quote.bid_price <= quote.ask_price for quote in quotes)
    assert len(quotes) == 5
    coins = pairs.get_crypto_trades(CryptoTradesRequest(symbol_or_symbols="BTC/USD", start=start, end=end, limit=5))
    assert len(coins["BTC/USD"]) == 5
    assert coins["BTC/USD"][0].price > 1000
    asked = CryptoQuoteRequest(symbol_or_symbols="BTC/USD", start=start, end=end, limit=5)
    asks = pairs.get_crypto_quotes(asked)["BTC/USD"]
    assert len(asks) == 5
    assert asks[0].ask_price >= asks[0].bid_price
    asked = OptionTradesRequest(symbol_or_symbols=state["option"], start=start, end=end, limit=5)
    contracts = options.get_option_trades(asked)[state["option"]]
    assert len(contracts) == 5
    assert contracts[0].price > 0


@check
def the_latest_is_read_of_all_three():
    assert stocks.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols="AAPL"))["AAPL"].price > 100
    assert stocks.get_stock_latest_bar(StockLatestBarRequest(symbol_or_symbols="AAPL"))["AAPL"].volume > 0
    assert price_of()[0] < price_of()[1] * 1.01
    assert pairs.get_crypto_latest_trade(CryptoLatestTradeRequest(symbol_or_symbols="BTC/USD"))["BTC/USD"].price > 1000
    assert pairs.get_crypto_latest_bar(CryptoLatestBarRequest(symbol_or_symbols="BTC/USD"))["BTC/USD"].high > 1000
    quote = pairs.get_crypto_latest_quote(CryptoLatestQuoteRequest(symbol_or_symbols="BTC/USD"))["BTC/USD"]
    assert quote.bid_price < quote.ask_price
    asked = CryptoLatestOrderbookRequest(symbol_or_symbols="BTC/USD")
    book = pairs.get_crypto_latest_orderbook(asked)["BTC/USD"]
    assert book.bids[0].price < book.asks[0].price
    assert len(book.bids) >= 10
    name = state["option"]
    assert options.get_option_latest_trade(OptionLatestTradeRequest(symbol_or_symbols=name))[name].price > 0
    assert options.get_option_latest_quote(OptionLatestQuoteRequest(symbol_or_symbols=name))[name].ask_price > 0
    assert options.get_option_latest_quote(OptionLatestQuoteRequest(symbol_or_symbols=name))[name].symbol == name


@check
def snapshots_are_read_of_all_three():
    share = stocks.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols=["AAPL", "MSFT"]))
    assert set(share) == {"AAPL", "MSFT"}
    assert share["AAPL"].previous_daily_bar.close > 100
    assert share["AAPL"].latest_quote.bid_price > 100
    coin = pairs.get_crypto_snapshot(CryptoSnapshotRequest(symbol_or_symbols="BTC/USD"))["BTC/USD"]
    assert coin.daily_bar.low <= coin.latest_trade.price <= coin.daily_bar.high
    assert coin.latest_quote.ask_price > 1000
    name = state["option"]
    contract = options.get_option_snapshot(OptionSnapshotRequest(symbol_or_symbols=name))[name]
    assert contract.latest_quote.bid_price < contract.latest_quote.ask_price
    assert contract.latest_trade.price > 0
    chain = options.get_option_chain(OptionChainRequest(underlying_symbol="AAPL"))
    assert name in chain
    assert len(chain) == 36


@check
def every_minute_ends_with_a_bar():
    for stream, symbol in ((stock_stream, "AAPL"), (pair_stream, "BTC/USD")):
        bars = until(lambda symbol=symbol: [one for one in minutes if one.symbol == symbol], "a minute's bar", 70)
        starts = [one.timestamp for one in bars]
        assert all((start.second, start.microsecond) == (0, 0) for start in starts)
        assert starts == sorted(set(starts))
        for bar in bars:
            assert bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
            assert bar.low <= bar.vwap <= bar.high
            assert bar.volume > 0
            assert bar.trade_count > 0
        stream.unsubscribe_bars(symbol)


@check
def the_streams_stop():
    threads = [one for one in threading.enumerate() if one.name == "stream"]
    assert len(threads) == 4, threads
    for stream in (updates, stock_stream, pair_stream, option_stream):
        stream.stop()
    until(lambda: not any(one.is_alive() for one in threads), "the streams to end")
    assert len(events) > 20


def main():
    print(f"alpaca-py {version('alpaca-py')}", flush=True)
    for function in CHECKS:
        Noted.check = function.__name__
        try:
            function()
            ok, detail = True, ""
        except BaseException:  # noqa: BLE001 - a check that fails must not end the session
            ok, detail = False, traceback.format_exc()
        print(json.dumps({"check": function.__name__, "ok": ok, "detail": detail}), flush=True)
    rows = []
    for face in FACES:
        for name, _ in inspect.getmembers(face, inspect.isfunction):
            if not name.startswith("_"):
                rows.append([face.__name__, name, f"{face.__name__}.{name}" in CALLED])
    print(json.dumps({"table": "methods", "rows": rows}))
    print(json.dumps({"table": "calls", "rows": CALLED}))
    sys.stdout.flush()
    os._exit(0)


main()
