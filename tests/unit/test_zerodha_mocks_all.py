"""Every official sample body goes through the adapter: the folder is read, so that none can be forgotten.

Each file has the flow that reads it and one value of it; test_zerodha_mocks and test_zerodha_mocks_portfolio look at
the fields.
"""

from __future__ import annotations

import base64
import hashlib
import json
import pathlib
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from dragoman.adapters.zerodha.feed import STREAM

from dragoman import model
from dragoman._core import Decoder
from dragoman.testing import reply
from fixtures.zerodha.account import ADAPTER, context, master, run

CTX = context()
INFY = CTX.instruments.get("NSE:INFY")
D = Decimal
IST = timezone(timedelta(hours=5, minutes=30))
START = datetime(2017, 12, 15, 9, 15, tzinfo=IST)
OI_START = datetime(2019, 12, 4, 9, 15, tzinfo=IST)

NOT_READ = {
    "README.md": "no body",
    "mf_holdings.json": "mutual funds",
    "mf_instruments.csv": "mutual funds",
    "mf_order_cancel.json": "mutual funds",
    "mf_order_response.json": "mutual funds",
    "mf_orders.json": "mutual funds",
    "mf_orders_info.json": "mutual funds",
    "mf_sip_cancel.json": "mutual funds",
    "mf_sip_info.json": "mutual funds",
    "mf_sip_modify.json": "mutual funds",
    "mf_sip_place.json": "mutual funds",
    "mf_sips.json": "mutual funds",
}

REQUEST = model.OrderRequest(
    instrument_id="NSE:INFY",
    side=model.Side.BUY,
    quantity=D(1),
    order_type=model.OrderType.LIMIT,
    price=D(1498),
    product=model.Product.DELIVERY,
)
HELD = model.Order(
    instrument_id="NSE:INFY",
    side=model.Side.BUY,
    quantity=D(1),
    order_id="151220000000000",
    variety=model.Variety.REGULAR,
)
HOLDING = model.Holding(instrument_id="NSE:INFY", isin="INE009A01021", quantity=D(1))
POSITION = model.Position(instrument_id="NSE:INFY", product=model.Product.INTRADAY, quantity=D(3))
LEG = model.GttLeg(trigger_price=D(702), side=model.Side.BUY, quantity=D(1), price=D("702.5"))
GTT = model.GttRequest(instrument_id="NSE:INFY", legs=(LEG,), last_price=D(798))
ALERT = model.AlertRequest(name="n", instrument_id="NSE:INFY", operator=">=", value=D(1))
FILL = model.Fill(
    trade_id="1",
    order_id="2",
    instrument_id="NSE:INFY",
    side=model.Side.BUY,
    quantity=D(1),
    price=D(560),
    product=model.Product.DELIVERY,
)
Folder = pathlib.Path


def flow(make: Callable[[], Any]) -> Callable[[Folder, str], Any]:
    """Answer a flow's request with the file; return what it returns."""
    return lambda folder, name: run(make(), [reply(body=(folder / name).read_bytes())]).result


def one_segment(folder: Folder, name: str) -> Any:
    """Read one segment's margins, which the broker also gives alone, as part of both."""
    data = json.loads((folder / name).read_bytes())["data"]
    segment = "commodity" if "commodity" in name else "equity"
    return run(ADAPTER.margins(CTX), [reply({"status": "success", "data": {segment: data}})]).result


def login(folder: Folder, name: str) -> Any:
    def redirect(effect: Any) -> dict[str, str]:
        ((key, state),) = effect.expect
        return {key: state, "request_token": "r", "status": "success"}

    return run(ADAPTER.login(CTX), [redirect, reply(body=(folder / name).read_bytes())]).result


def postback(folder: Folder, name: str) -> Any:
    row = json.loads((folder / name).read_bytes())
    told = f"{row['order_id']}{row['order_timestamp']}api_secret".encode()
    row["checksum"] = hashlib.sha256(told).hexdigest()
    return ADAPTER.postback(json.dumps(row).encode(), CTX)


def packet(folder: Folder, name: str) -> Any:
    body = base64.b64decode((folder / name).read_bytes())
    (tick,) = Decoder(STREAM.compile()).decode(b"\x00\x01" + len(body).to_bytes(2, "big") + body)
    return tick


def tick_of(folder: Folder, name: str) -> Any:
    """Decode the packet that a tick's JSON describes; that of the last price has no file, so it is written here."""
    beside = (folder / name).with_suffix(".packet")
    wanted = json.loads((folder / name).read_bytes())
    if beside.exists():
        return packet(folder, beside.name)
    body = wanted["instrument_token"].to_bytes(4, "big") + round(wanted["last_price"] * 100).to_bytes(4, "big")
    (tick,) = Decoder(STREAM.compile()).decode(b"\x00\x01\x00\x08" + body)
    return tick


READ: dict[str, tuple[Callable[[Folder, str], Any], Callable[[Any], Any], Any]] = {
    "alerts_create.json": (flow(lambda: ADAPTER.alert_create(ALERT, CTX)), lambda got: got.value, 27000),
    "alerts_create_ato.json": (flow(lambda: ADAPTER.alert_create(ALERT, CTX)), lambda got: got.places_orders, True),
    "alerts_delete.json": (flow(lambda: ADAPTER.alert_delete(["550e"], CTX)), lambda got: got, None),
    "alerts_get.json": (flow(lambda: ADAPTER.alerts(CTX)), lambda got: got[1].name, "buy gold"),
    "alerts_get_one.json": (flow(lambda: ADAPTER.alerts(CTX, "550e")), lambda got: got[0].operator, ">="),
    "alerts_history.json": (
        flow(lambda: ADAPTER.alert_history("550e", CTX)),
        lambda got: got[0].last_prices[0][1],
        D("58288.05"),
    ),
    "alerts_modify.json": (flow(lambda: ADAPTER.alert_modify("550e", ALERT, CTX)), lambda got: got.value, 27500),
    "auctions_list.json": (flow(lambda: ADAPTER.auctions(CTX)), lambda got: got[0].auction_number, "20"),
    "autoslice_response.json": (
        flow(lambda: ADAPTER.place(REQUEST, INFY, CTX)),
        lambda got: [str(child.effect) for child in got.children],
        ["ACCEPTED", "ACCEPTED", "REJECTED", "ACCEPTED"],
    ),
    "basket_margins.json": (
        flow(lambda: ADAPTER.basket_margin([REQUEST, REQUEST], CTX)),
        lambda got: got.final.total < got.initial.total,
        True,
    ),
    "convert_position.json": (
        flow(lambda: ADAPTER.convert(POSITION, D(3), model.Product.DELIVERY, INFY, CTX)),
        lambda got: got,
        None,
    ),
    "full_profile.json": (flow(lambda: ADAPTER.profile(CTX)), lambda got: got.raw["pan"], "*xxxI"),
    "generate_session.json": (login, lambda got: got.account, "XX0000"),
    "gtt_delete_order.json": (flow(lambda: ADAPTER.gtt_delete("123", CTX)), lambda got: got, "123"),
    "gtt_get_order.json": (flow(lambda: ADAPTER.gtt("123", CTX)), lambda got: got.type, model.GttType.TWO_LEG),
    "gtt_get_orders.json": (flow(lambda: ADAPTER.gtts(CTX)), len, 2),
    "gtt_modify_order.json": (flow(lambda: ADAPTER.gtt_modify("123", GTT, INFY, CTX)), lambda got: got, "123"),
    "gtt_place_order.json": (flow(lambda: ADAPTER.gtt_place(GTT, INFY, CTX)), lambda got: got, "123"),
    "historical_minute.json": (
        flow(lambda: ADAPTER.candles(INFY, "1m", START, START + timedelta(hours=1), CTX)),
        lambda got: got[0].open,
        1704.5,
    ),
    "historical_oi.json": (
        flow(lambda: ADAPTER.candles(INFY, "1m", OI_START, OI_START + timedelta(hours=1), CTX)),
        lambda got: got[0].oi,
        13667775.0,
    ),
    "holdings.json": (flow(lambda: ADAPTER.holdings(CTX)), lambda got: got[0].mtf.quantity, 1000),
    "holdings_auth.json": (
        flow(lambda: ADAPTER.authorise_holdings([HOLDING], CTX)),
        lambda got: got.request_id,
        "na8QgCeQm05UHG6NL9sAGRzdfSF64UdB",
    ),
    "holdings_compact.json": (flow(lambda: ADAPTER.holdings(CTX)), lambda got: got[4].quantity, 40),
    "holdings_summary.json": (
        flow(lambda: ADAPTER.holdings_summary(CTX)),
        lambda got: (
            got.invested,
            got.current_value,
            got.pnl,
            got.pnl_percent,
            got.day_change,
            got.day_change_percent,
        ),
        (
            D("41044.40405"),
            D("47842.64000000001"),
            D("6798.235950000001"),
            D("16.56312500412587"),
            D("-76.79999999999775"),
            D("-0.16026898477945015"),
        ),
    ),
    "instruments_all.csv": (lambda folder, name: master(folder / name), len, 99),
    "instruments_nse.csv": (lambda folder, name: master(folder / name), len, 99),
    "ltp.json": (
        flow(lambda: ADAPTER.quotes([INFY], model.Mode.LTP, CTX)),
        lambda got: got[0].last_price,
        1074.35,
    ),
    "margin_commodity.json": (one_segment, lambda got: got[0].segment, model.Segment.COMMODITY),
    "margins.json": (flow(lambda: ADAPTER.margins(CTX)), len, 2),
    "margins_equity.json": (one_segment, lambda got: got[0].segment, model.Segment.EQUITY),
    "ohlc.json": (flow(lambda: ADAPTER.quotes([INFY], model.Mode.QUOTE, CTX)), lambda got: got[0].open, 1085.8),
    "order_cancel.json": (flow(lambda: ADAPTER.cancel(HELD, CTX)), lambda got: got.order_id, "151220000000000"),
    "order_info.json": (flow(lambda: ADAPTER.order("171229000724687", CTX)), len, 8),
    "order_margins.json": (
        flow(lambda: ADAPTER.order_margin([REQUEST], CTX)),
        lambda got: got[0].total,
        D(1498),
    ),
    "order_modify.json": (
        flow(lambda: ADAPTER.modify(HELD, model.OrderChange(price=D(1)), INFY, CTX)),
        lambda got: got.order_id,
        "151220000000000",
    ),
    "order_response.json": (
        flow(lambda: ADAPTER.place(REQUEST, INFY, CTX)),
        lambda got: got.order_id,
        "151220000000000",
    ),
    "order_trades.json": (flow(lambda: ADAPTER.trades(CTX, "2")), lambda got: got[0].trade_id, "10000000"),
    "orders.json": (flow(lambda: ADAPTER.orders(CTX)), len, 10),
    "positions.json": (flow(lambda: ADAPTER.positions(CTX)), lambda got: got[0].product, model.Product.CARRY),
    "postback.json": (postback, lambda got: got.average_price, 470),
    "profile.json": (flow(lambda: ADAPTER.profile(CTX)), lambda got: got.account_id, "AB1234"),
    "quote.json": (
        flow(lambda: ADAPTER.quotes([INFY], model.Mode.FULL, CTX)),
        lambda got: got[0].last_price,
        1412.95,
    ),
    "session_logout.json": (flow(lambda: ADAPTER.logout(CTX)), lambda got: got, None),
    "ticker_full.json": (tick_of, lambda got: (got.last_price, got.mode), (1573.7, "full")),
    "ticker_full.packet": (packet, lambda got: (got.last_price, got.mode), (1573.7, "full")),
    "ticker_ltp.json": (tick_of, lambda got: (got.last_price, got.mode), (1573.15, "ltp")),
    "ticker_quote.json": (tick_of, lambda got: (got.last_price, got.mode), (1573.15, "quote")),
    "ticker_quote.packet": (packet, lambda got: (got.last_price, got.mode), (1573.15, "quote")),
    "trades.json": (flow(lambda: ADAPTER.trades(CTX)), lambda got: got[0].trade_id, "10000000"),
    "trigger_range.json": (
        flow(lambda: ADAPTER.trigger_ranges([INFY], model.Side.BUY, CTX)),
        lambda got: got[0].instrument_id,
        "NSE:INFY",
    ),
    "virtual_contract_note.json": (flow(lambda: ADAPTER.charges([FILL] * 3, CTX)), len, 3),
}


@pytest.fixture(scope="module")
def folder(real_data: Folder) -> Folder:
    found = real_data / "kite-mocks"
    if not found.is_dir():
        pytest.skip("no kite-mocks beside this clone")
    return found


def test_every_file_of_the_folder_is_read_or_listed_as_mutual_funds(folder: Folder) -> None:
    files = {path.name for path in folder.rglob("*") if path.is_file()}
    assert files - set(NOT_READ) == set(READ)
    assert all(name.startswith("mf_") for name, reason in NOT_READ.items() if reason == "mutual funds")
    assert {name for name in files if name.startswith("mf_")} <= set(NOT_READ)


@pytest.fixture
def named(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    """Have the summary of the run count the body."""
    record_property("kite-mocks body", request.node.callspec.params["name"])


@pytest.mark.parametrize("name", READ)
@pytest.mark.usefixtures("named")
def test_the_sample_body_goes_through_the_adapter(folder: Folder, name: str) -> None:
    read, pick, value = READ[name]
    assert pick(read(folder, name)) == value
