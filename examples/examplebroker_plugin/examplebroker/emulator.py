"""The broker's side over a simulated exchange: what `dragoman conformance examplebroker` plays against.

Pure functions: calls become answers, events become frames. The host brings sockets, time and faults.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar, Final

from dragoman.emulator.bodies import json_answer
from dragoman.emulator.contract import HttpAnswer, HttpCall, Push, Roots
from dragoman.emulator.counting import Meter
from dragoman.emulator.encode import StreamEncoder
from dragoman.emulator.rest import RestEmulator, Rule
from dragoman.emulator.routes import Route
from dragoman.emulator.tokens import Tokens
from dragoman.emulator.updates import MarketChanges
from dragoman.emulator.venue import default_venue
from dragoman.emulator.venue.types import Listing, OrderState, VenueFill, VenueOrder, VenueProtocol, VenueRejectError
from dragoman.plugin import ErrorKind, model
from examplebroker.feed import STREAM

ACCOUNT: Final = "emu_AC1"
KEY: Final = "emu_key"
WORD: Final = {
    "ACCEPTED": "QUEUED",
    "OPEN": "LIVE",
    "PARTIALLY_FILLED": "LIVE",
    "FILLED": "DONE",
    "CANCELED": "GONE",
    "EXPIRED": "GONE",
    "REJECTED": "NO",
}
CODE: Final = {
    ErrorKind.INSUFFICIENT_MARGIN: "E_FUNDS",
    ErrorKind.INSUFFICIENT_HOLDINGS: "E_HOLDINGS",
    ErrorKind.PRICE_OUT_OF_BAND: "E_BAND",
    ErrorKind.FREEZE_QTY_EXCEEDED: "E_SIZE",
    ErrorKind.ORDER_NOT_FOUND: "E_NOORDER",
}
TYPE: Final = {"MKT": model.OrderType.MARKET, "LMT": model.OrderType.LIMIT}


class RefusalError(Exception):
    """An answer that is no success, in the broker's words."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status, self.code = status, code


class ExampleEmulator(RestEmulator):
    """REST and the stream; the access token was made elsewhere, as users of this broker do."""

    name: ClassVar[str] = "examplebroker"

    def __init__(self, venue: VenueProtocol, *, seed: int, now_ns: int) -> None:
        tokens = Tokens(seed, offset_ns=0, dies_at_ns=0, request_life_ns=1_000_000_000)
        super().__init__(venue, seed=seed, account=ACCOUNT, tokens=tokens)
        access = tokens.exchange(tokens.request(now_ns), now_ns)
        self.credentials = {"api_key": KEY, "access_token": access}
        self._listed = {int(one.instrument.exchange_token): one for one in venue.listings() if _offered(one)}
        self._tokens = {one.instrument.instrument_id: token for token, one in self._listed.items()}
        self._wanted: dict[int, set[int]] = {}
        self._changes, self._encoder = MarketChanges(venue), StreamEncoder(STREAM)
        order = r"/orders/(?P<order_id>\d{1,20})"
        self.serve(
            [
                Route("GET", "/me", lambda call, now: json_answer({"account": ACCOUNT}), Rule()),
                Route("GET", "/instruments", self._instruments, Rule()),
                Route("GET", "/orders", lambda call, now: json_answer([*map(self._row, self._orders())]), Rule()),
                Route("POST", "/orders", self._place, Rule()),
                Route("DELETE", order, self._cancel, Rule()),
                Route("GET", "/trades", self._trades, Rule()),
            ]
        )

    def roots(self, base_http: str, base_ws: str) -> Roots:
        return Roots(base_http, base_ws, base_http)

    # -- HTTP --------------------------------------------------------------------------------------------------------

    def authenticate(self, call: HttpCall, now_ns: int) -> None:
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not self.tokens.valid(token, now_ns):
            raise RefusalError(401, "E_TOKEN", "the access token is over")

    def unserved(self, status: int, meter: Meter | None) -> Exception:
        return RefusalError(status, "E_RATE" if status == 429 else f"HTTP {status}", "no such call")

    def worded(self, error: Exception) -> HttpAnswer | None:
        if isinstance(error, VenueRejectError):
            error = RefusalError(400, CODE.get(error.kind, "E_ORDER"), error.text)
        if not isinstance(error, RefusalError):
            return None
        return json_answer({"code": error.code, "text": str(error)}, error.status)

    def error_answer(self, status: int, call: HttpCall) -> HttpAnswer:
        code = "E_RATE" if status == 429 else f"HTTP {status}"
        return json_answer({"code": code, "text": "it failed"}, status)

    def _instruments(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        rows = self._listed.items()
        return json_answer(
            [{"symbol": one.instrument.symbol, "token": t, "tick": str(one.instrument.tick_size)} for t, one in rows]
        )

    def _place(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        body = json.loads(call.body)
        order = VenueOrder(
            instrument_id=self._listed[body["token"]].instrument.instrument_id,
            side=model.Side(body["side"]),
            quantity=Decimal(body["quantity"]),
            order_type=TYPE[body["type"]],
            product=model.Product.DELIVERY,
            price=Decimal(body["price"]) if body["price"] else None,
            tag=body["ref"],
        )
        return json_answer({"id": int(self.venue.submit(ACCOUNT, order, now_ns))})

    def _cancel(self, call: HttpCall, now_ns: int, order_id: str) -> HttpAnswer:
        self.venue.cancel(ACCOUNT, order_id, now_ns)
        return json_answer({})

    def _orders(self) -> Sequence[OrderState]:
        return [state for state in self.venue.orders(ACCOUNT) if state.order.instrument_id in self._tokens]

    def _row(self, state: OrderState) -> dict[str, Any]:
        order = state.order
        return {
            "id": int(state.order_id),
            "token": self._tokens[order.instrument_id],
            "side": order.side,
            "type": "LMT" if order.price is not None else "MKT",
            "quantity": int(order.quantity),
            "filled": int(state.filled_quantity),
            "price": None if order.price is None else str(order.price),
            "average": str(state.average_price),
            "status": WORD[state.status],
            "ref": order.tag,
            "time": _iso(state.ts_updated),
        }

    def _trades(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        wanted = dict(call.query).get("order")
        fills: Sequence[VenueFill] = self.venue.fills(ACCOUNT, wanted)
        return json_answer(
            [
                {
                    "id": fill.trade_id,
                    "order": int(fill.order_id),
                    "token": self._tokens[fill.instrument_id],
                    "side": fill.side,
                    "quantity": int(fill.quantity),
                    "price": str(fill.price),
                    "time": _iso(fill.ts),
                }
                for fill in fills
            ]
        )

    # -- the stream --------------------------------------------------------------------------------------------------

    def open_socket(self, call: HttpCall, socket: int, now_ns: int) -> HttpAnswer | None:
        try:
            self.authenticate(call, now_ns)
        except RefusalError as error:
            return self.worded(error)
        self._wanted[socket] = set()
        return None

    def on_message(self, socket: int, data: str | bytes, now_ns: int) -> Sequence[Push]:
        message = json.loads(data)
        tokens = {token for token in message["tokens"] if token in self._listed}
        if message["do"] == "subscribe":
            self._wanted[socket] |= tokens
            return [Push(socket, self._trade(token)) for token in sorted(tokens)]
        self._wanted[socket] -= tokens
        return ()

    def on_close(self, socket: int) -> None:
        self._wanted.pop(socket, None)

    def frames(self, now_ns: int) -> Sequence[Push]:
        changed = [self._tokens[name] for name in self._changes.fresh() if name in self._tokens]
        every = ((socket, token) for socket, wanted in self._wanted.items() for token in changed if token in wanted)
        return [Push(socket, self._trade(token)) for socket, token in every]

    def _trade(self, token: int) -> bytes:
        market = self.venue.market(self._listed[token].instrument.instrument_id)
        values = {"last_price": market.last_price, "last_quantity": market.last_quantity, "ts_event": market.ts}
        return self._encoder.frame([self._encoder.packet("trade", {"key": token, **values})])


def _offered(listing: Listing) -> bool:
    one = listing.instrument
    return one.exchange == "NSE" and one.instrument_type is model.InstrumentType.SPOT and one.series in (None, "EQ")


def _iso(ns: int) -> str:
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).isoformat()


def make(seed: int, now_ns: int, **options: Any) -> ExampleEmulator:
    """Make the emulator on a fresh venue: what `Adapter.emulator` names."""
    return ExampleEmulator(default_venue(seed, now_ns, ACCOUNT), seed=seed, now_ns=now_ns)
