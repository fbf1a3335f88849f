"""Example Broker, API v2: tables first, then flows.

References
----------
"Order API v2", sections 1-7 of the invented broker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from dragoman.plugin import (
    YES,
    Adapter,
    Capabilities,
    CodeTable,
    Context,
    Credential,
    EnumMap,
    Failure,
    Flow,
    Lane,
    Part,
    RateLimit,
    Reply,
    Request,
    Scope,
    Session,
    SessionRules,
    Window,
    model,
    no,
)
from examplebroker.feed import Stream

S = model.OrderStatus
STATUS: Final = EnumMap[model.OrderStatus](
    {"QUEUED": S.ACCEPTED, "LIVE": S.OPEN, "DONE": S.FILLED, "GONE": S.CANCELED, "NO": S.REJECTED}, unknown=S.UNKNOWN
)
TYPE: Final = EnumMap[model.OrderType](
    {"MKT": model.OrderType.MARKET, "LMT": model.OrderType.LIMIT}, unknown=model.OrderType.UNKNOWN
)
NOT_THERE: Final = no("the broker's API has no such call")


class ExampleBroker(Adapter):
    """Cash shares at one exchange, market and limit orders for the day."""

    contract = 1
    name = "examplebroker"
    title = "Example Broker"
    hosts = {
        "live": {"rest": "https://api.examplebroker.example/v2", "ws": "wss://stream.examplebroker.example/v2"},
        "emulator": {},
    }
    credentials = (Credential("api_key", secret=False, needed_for="always"),)
    capabilities = Capabilities(
        order_types=frozenset((model.OrderType.MARKET, model.OrderType.LIMIT)),
        products=frozenset((model.Product.DELIVERY,)),
        time_in_force=frozenset((model.TimeInForce.DAY,)),
        varieties=frozenset((model.Variety.REGULAR,)),
        segments=frozenset(("NSE",)),
        modes=frozenset((model.Mode.LTP,)),
        depth_levels=(),
        quantity_unit={"NSE": model.QuantityUnit.UNITS},
        features={
            **dict.fromkeys(("place", "cancel", "trades"), YES),
            **dict.fromkeys(("modify", "order_history", "order_stream", "positions", "holdings"), NOT_THERE),
            **dict.fromkeys(("convert", "margins", "order_margin", "quotes", "depth", "candles"), NOT_THERE),
            **dict.fromkeys(("gtt", "bracket", "basket", "slice"), NOT_THERE),
        },
        modify_keeps_id=True,
        wire_id_carrier="ref",
        wire_id_length=32,
        market_orders="native",
        max_instruments_per_socket=500,
        max_sockets=1,
        reasons={"INTRADAY": "the broker delivers everything"},
    )
    limits = (
        RateLimit("orders", 5, "1s", Scope.ACCOUNT, Window.ROLLING, reserve=1, source="section 6"),
        RateLimit("default", 20, "1s", Scope.KEY, source="section 6"),
    )
    session = SessionRules(time_zone="Asia/Kolkata", life_s=86_400.0)
    codes = CodeTable.load(__package__ or "examplebroker")
    feeds = (Stream,)
    emulator = "examplebroker.emulator:make"

    # -- pure functions ----------------------------------------------------------------------------------------------

    def authorize(self, request: Request, body: bytes, ctx: Context) -> Request:
        headers = (
            ("X-Api-Key", ctx.credentials["api_key"].reveal()),
            ("Authorization", f"Bearer {ctx.login['access_token'].reveal()}"),
        )
        return replace(request, headers=(*request.headers, *headers))

    def classify(self, reply: Reply, request: Request) -> Failure | None:
        if 200 <= reply.status < 300:
            return None
        code, text = f"HTTP {reply.status}", ""
        if reply.status < 500:
            code, text = str(reply.json.get("code", code)), str(reply.json.get("text", ""))
        return self.codes.classify(code=code, text=text, status=reply.status, mutates=request.mutates)

    # -- flows -------------------------------------------------------------------------------------------------------

    def import_token(self, token: str, ctx: Context) -> Flow[Session]:
        header = ("Authorization", f"Bearer {token}")
        reply = yield Request(path="/me", headers=(header,), auth=False)
        return Session(token, str(reply.json["account"]), {"access_token": token})

    def instruments(self, ctx: Context) -> Flow[int]:
        reply = yield Request(path="/instruments")
        rows = [_instrument(row) for row in reply.json]
        yield Part(rows)
        return len(rows)

    def place(
        self, order: model.OrderRequest, instrument: model.Instrument, ctx: Context
    ) -> Flow[model.Outcome | list[model.Outcome]]:
        body = {
            "token": int(instrument.broker_token),
            "side": order.side.value,
            "quantity": int(order.quantity),
            "type": TYPE.write(order.order_type),
            "price": None if order.price is None else str(order.price),
            "ref": order.wire_id,  # what finds the order again if this reply is lost
        }
        reply = yield Request(method="POST", path="/orders", json=body, mutates=True, meter="orders")
        return model.Outcome.accepted(str(reply.json["id"]))

    def cancel(self, order: model.Order, ctx: Context) -> Flow[model.Outcome]:
        path = f"/orders/{order.order_id}"
        yield Request(method="DELETE", path=path, mutates=True, meter="orders", lane=Lane.RISK)
        return model.Outcome.accepted(order.order_id)

    def orders(self, ctx: Context) -> Flow[list[model.Order]]:
        reply = yield Request(path="/orders")
        return [_order(row, ctx) for row in reply.json]

    def trades(self, ctx: Context, order_id: str | None = None) -> Flow[list[model.Fill]]:
        reply = yield Request(path="/trades", query=(("order", order_id),) if order_id else ())
        return [_fill(row, ctx) for row in reply.json]


def _instrument(row: Mapping[str, Any]) -> model.Instrument:
    return model.Instrument(
        instrument_id=str(model.CanonicalId("NSE", row["symbol"])),
        symbol=row["symbol"],
        exchange="NSE",
        asset_class=model.AssetClass.EQUITY,
        instrument_type=model.InstrumentType.SPOT,
        broker_symbol=row["symbol"],
        broker_token=str(row["token"]),
        tick_size=Decimal(row["tick"]),
    )


def _name(token: object, ctx: Context) -> str:
    found = ctx.instruments.by_broker_token(str(token))
    return found.instrument_id if found else f"NSE:{token}"


def _order(row: Mapping[str, Any], ctx: Context) -> model.Order:
    quantity, filled = Decimal(row["quantity"]), Decimal(row["filled"])
    status = STATUS.read(row["status"])
    return model.Order(
        instrument_id=_name(row["token"], ctx),
        side=model.Side(row["side"]),
        quantity=quantity,
        order_type=TYPE.read(row["type"]),
        status=S.PARTIALLY_FILLED if status is S.OPEN and filled else status,
        raw_status=row["status"],
        order_id=str(row["id"]),
        price=Decimal(row["price"]) if row["price"] else None,
        filled_quantity=filled,
        remaining_quantity=Decimal(0) if status.terminal else quantity - filled,
        average_price=Decimal(row["average"]) if filled else None,
        product=model.Product.DELIVERY,
        tag=row["ref"],
        ts_event=_ns(row["time"]),
        broker="examplebroker",
        account_id=ctx.account,
        raw=row,
    )


def _fill(row: Mapping[str, Any], ctx: Context) -> model.Fill:
    return model.Fill(
        trade_id=str(row["id"]),
        order_id=str(row["order"]),
        instrument_id=_name(row["token"], ctx),
        side=model.Side(row["side"]),
        quantity=Decimal(row["quantity"]),
        price=Decimal(row["price"]),
        product=model.Product.DELIVERY,
        exchange="NSE",
        ts_event=_ns(row["time"]),
        broker="examplebroker",
        account_id=ctx.account,
        raw=row,
    )


def _ns(text: str) -> int:
    """Return ns UTC of a time with its offset."""
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000_000
