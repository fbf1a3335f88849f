"""Orders as the venue takes them on either interface: parameters checked, queued, changed, canceled and shown."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_FLOOR, Decimal
from typing import Any, ClassVar, Final

from dragoman.emulator.parts import Form, ListingName, OrderState, VenueOrder, VenueProtocol, crosses, passed
from dragoman.plugin import model

from .emulator_words import (
    SIDES,
    Names,
    SpotError,
    algo_row,
    error_of,
    is_algo,
    ms,
    note_trigger,
    number_of,
    order_row,
    text,
    trade_row,
    triggered,
)
from .words import ON_TRIGGER, SPOT, TIME_IN_FORCE, USDM, Market

_T = model.OrderType
_F = model.TimeInForce
_ALGO_TYPES: Final = ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET")
_MOST_ID: Final = 36


class ReplaceError(SpotError):
    """A cancel-and-replace of which one half, or neither, succeeded."""

    statuses: ClassVar[Mapping[str, int]] = {"-2021": 409, "-2022": 400}

    def __init__(self, word: str, data: Mapping[str, Any]) -> None:
        text = "Order cancel-replace partially failed." if word == "-2021" else "Order cancel-replace failed."
        super().__init__(word, text)
        self.data = data

    def body(self) -> Mapping[str, Any]:
        return {**super().body(), "data": self.data}


class OrderDesk:
    """Order requests of one account. Every method takes the request's fields and returns the body of its reply."""

    def __init__(self, venue: VenueProtocol, names: Names, account: str, *, hedge: bool) -> None:
        self._venue = venue
        self._names = names
        self._account = account
        self.hedge = hedge
        self._minted = 0

    # -- placing -----------------------------------------------------------------------------------------------------

    def place(self, form: Form, market: Market, now_ns: int) -> dict[str, Any]:
        named, order = self.read(form, market)
        state = self._submit(named, order, market, now_ns)
        return self._reply(state, named, market, form)

    def test(self, form: Form, market: Market, now_ns: int) -> dict[str, Any]:
        self.read(form, market)
        return {}

    def place_algo(self, form: Form, market: Market, now_ns: int) -> dict[str, Any]:
        form.choice("algoType", ("CONDITIONAL",))
        named = self._names.of(market, form)
        first = form.choice("type", _ALGO_TYPES)
        kind = USDM.order_types.inward[first]
        order = self._order(
            form, market, named, kind, "LIMIT" if kind.has_price else "MARKET", form.get("clientAlgoId")
        )
        order.extra.update(algo=True, first=first)
        return algo_row(self._submit(named, order, market, now_ns), named)

    def read(self, form: Form, market: Market) -> tuple[ListingName, VenueOrder]:
        """Check the parameters of an order. Raises the venue's error for what is refused before it becomes one."""
        error, named = error_of(market), self._names.of(market, form)
        word = form.choice("type", market.order_types.inward)
        kind = market.order_types.inward[word]
        if market is USDM and kind in ON_TRIGGER:
            raise error("-4120", "Order type not supported for this endpoint. Please use the Algo Order API endpoints.")
        if form.get("trailingDelta"):
            raise error("-1013", "Filter failure: TRAILING_DELTA")
        return named, self._order(form, market, named, kind, word, form.get("newClientOrderId"))

    def _order(
        self, form: Form, market: Market, named: ListingName, kind: model.OrderType, word: str, tag: str | None
    ) -> VenueOrder:
        error, instrument = error_of(market), named.instrument
        side = model.Side(form.choice("side", ("BUY", "SELL")))
        market_view = self._venue.market(named.instrument_id)
        price = form.number("price") if kind.has_price else None
        trigger = form.number("triggerPrice" if market is USDM else "stopPrice") if kind.has_trigger else None
        if form.get("quoteOrderQty") and kind is _T.MARKET and market is SPOT:
            lots = form.number("quoteOrderQty") / market_view.asks[0][0] / instrument.lot_size
            quantity = lots.to_integral_value(ROUND_FLOOR) * instrument.lot_size
        else:
            quantity = form.number("quantity")
        tif = form.choice("timeInForce", ("GTC", "IOC", "FOK", "GTX", "GTD"), "GTC" if word != "LIMIT" else None)
        if tag is not None and len(tag) > _MOST_ID:
            raise error("-4015" if market is USDM else "-1100", "Client order id length should be less than 36 chars")
        if tag is not None and any(one.order.tag == tag for one in self._open(market)):
            raise (
                error("-4116", "ClientOrderId is duplicated.")
                if market is USDM
                else error("-2010", "Duplicate order sent.")
            )
        if trigger is not None:
            stop = kind in (_T.STOP_MARKET, _T.STOP_LIMIT)
            if passed(side if stop else side.opposite, trigger, market_view):
                code = "-2021" if market is USDM else "-2010"
                raise error(
                    code,
                    "Order would immediately trigger." if market is USDM else "Stop price would trigger immediately.",
                )
        worth = (price or trigger or market_view.last_price) * quantity
        if worth < Decimal(str(instrument.extra["min_notional"])) and form.get("reduceOnly") != "true":
            raise (
                error("-4164", "Order's notional must be no smaller than 5")
                if market is USDM
                else error("-1013", "Filter failure: NOTIONAL")
            )
        post_only = word == "LIMIT_MAKER" or tif == "GTX"
        if post_only and price is not None and crosses(side, price, market_view):
            raise error("-5022" if market is USDM else "-2010", "Order would immediately match and take.")
        shown = form.number("icebergQty", Decimal(0)) or None
        return VenueOrder(
            instrument_id=named.instrument_id,
            side=side,
            quantity=quantity,
            order_type=kind,
            product=model.Product.DELIVERY if market is SPOT else self._side(form, side, quantity, named),
            price=price,
            trigger_price=trigger,
            time_in_force=TIME_IN_FORCE.inward[tif] if tif != "GTD" else _F.GTC,
            display_quantity=shown,
            tag=tag or self._mint(),
            post_only=post_only,
            extra={"word": word, "tif": tif, "reduce": form.get("reduceOnly") == "true"},
        )

    def _side(self, form: Form, side: model.Side, quantity: Decimal, named: ListingName) -> model.Product:
        """Return the product that stands for the position side; refuse what would open where only closing is meant."""
        word = form.choice("positionSide", SIDES, "BOTH")
        error = error_of(USDM)
        if (word != "BOTH") is not self.hedge:
            raise error("-4061", "Order's position side does not match user's setting.")
        held = sum(
            one.quantity
            for one in self._venue.positions(self._account)
            if one.instrument_id == named.instrument_id and one.product is SIDES[word]
        )
        closes = form.get("reduceOnly") == "true" or (word, side) in (("LONG", "SELL"), ("SHORT", "BUY"))
        if closes and -side.sign * held < quantity:
            raise error("-2022", "ReduceOnly Order is rejected.")
        return SIDES[word]

    def _submit(self, named: ListingName, order: VenueOrder, market: Market, now_ns: int) -> OrderState:
        with error_of(market).refusing(named):
            order_id = self._venue.submit(self._account, order, now_ns)
        return self._now(order_id, now_ns)

    def _now(self, order_id: str, now_ns: int) -> OrderState:
        """Return an order once the matching of this instant is done."""
        self._venue.advance(now_ns)
        state = self._venue.order(self._account, order_id)
        assert state is not None
        note_trigger(state)
        return state

    def _reply(self, state: OrderState, named: ListingName, market: Market, form: Form) -> dict[str, Any]:
        row = order_row(state, named, market)
        if market is USDM:
            return row
        row["transactTime"] = row.pop("updateTime")
        plain = "FULL" if state.order.order_type in (_T.MARKET, _T.LIMIT) else "ACK"
        kind = form.choice("newOrderRespType", ("ACK", "RESULT", "FULL"), plain)
        if kind == "ACK":
            names = ("symbol", "orderId", "orderListId", "clientOrderId", "transactTime")
            return {name: row[name] for name in names}
        if kind == "FULL":
            fills = self._venue.fills(self._account, state.order_id)
            row["fills"] = [
                {
                    "price": text(fill.price),
                    "qty": text(fill.quantity),
                    "commission": text(Decimal(0)),
                    "commissionAsset": named.instrument.currency,
                    "tradeId": int(fill.trade_id),
                }
                for fill in fills
            ]
        return row

    # -- changing ----------------------------------------------------------------------------------------------------

    def cancel(self, form: Form, market: Market, now_ns: int) -> dict[str, Any]:
        named, state = self.known(form, market, "-2011", "Unknown order sent.")
        if form.get("newClientOrderId"):
            state.order.extra["cancel"] = form.text("newClientOrderId")
        with error_of(market).refusing(named):
            self._venue.cancel(self._account, state.order_id, now_ns)
        row = order_row(self._now(state.order_id, now_ns), named, market)
        return row if market is USDM else self._canceled(row, form)

    def _canceled(self, row: dict[str, Any], form: Form) -> dict[str, Any]:
        own = row["clientOrderId"]
        return row | {"origClientOrderId": own, "clientOrderId": self._mint(), "transactTime": row["updateTime"]}

    def cancel_all(self, form: Form, market: Market, now_ns: int) -> Any:
        named = self._names.of(market, form)
        mine = [one for one in self._open(market) if one.order.instrument_id == named.instrument_id]
        if not mine and market is SPOT:
            raise SpotError("-2011", "Unknown order sent.")
        for state in mine:
            self._venue.cancel(self._account, state.order_id, now_ns)
        rows = [order_row(self._now(one.order_id, now_ns), named, market) for one in mine]
        if market is USDM:
            return {"code": 200, "msg": "The operation of cancel all open order is done."}
        return [self._canceled(row, form) for row in rows]

    def cancel_algo(self, form: Form, market: Market, now_ns: int) -> dict[str, Any]:
        named, state = self._algo(form)
        if triggered(state) or state.status.terminal:
            raise error_of(market)("-2011", "Unknown order sent.")
        with error_of(market).refusing(named):
            self._venue.cancel(self._account, state.order_id, now_ns)
        self._now(state.order_id, now_ns)
        return {"algoId": int(state.order_id), "clientAlgoId": state.order.tag, "code": "200", "msg": "success"}

    def replace(self, form: Form, market: Market, now_ns: int) -> dict[str, Any]:
        form.choice("cancelReplaceMode", ("STOP_ON_FAILURE", "ALLOW_FAILURE"))
        names = {"orderId": form.get("cancelOrderId"), "origClientOrderId": form.get("cancelOrigClientOrderId")}
        names["newClientOrderId"] = form.get("cancelNewClientOrderId")
        try:
            gone = self.cancel(Form({"symbol": form.text("symbol"), **names}), market, now_ns)
        except SpotError as refused:
            data = {"cancelResult": "FAILURE", "newOrderResult": "NOT_ATTEMPTED"}
            raise ReplaceError(
                "-2022", {**data, "cancelResponse": dict(refused.body()), "newOrderResponse": None}
            ) from refused
        try:
            new = self.place(form, market, now_ns)
        except SpotError as refused:
            data = {"cancelResult": "SUCCESS", "newOrderResult": "FAILURE"}
            raise ReplaceError(
                "-2021", {**data, "cancelResponse": gone, "newOrderResponse": dict(refused.body())}
            ) from refused
        return {"cancelResult": "SUCCESS", "newOrderResult": "SUCCESS", "cancelResponse": gone, "newOrderResponse": new}

    def amend(self, form: Form, market: Market, now_ns: int) -> dict[str, Any]:
        """Reduce an order's quantity; it keeps its place in the queue."""
        named, state = self.known(form, market, "-2013", "Order does not exist.")
        quantity = form.number("newQty")
        if not state.filled_quantity < quantity < state.order.quantity:
            raise SpotError("-2038", "The requested quantity change would not reduce the order.")
        return {
            "transactTime": ms(now_ns),
            "executionId": now_ns // 1000,
            "amendedOrder": self._change(named, state, market, now_ns, quantity=quantity),
        }

    def modify(self, form: Form, market: Market, now_ns: int) -> dict[str, Any]:
        named, state = self.known(form, market, "-2013", "Order does not exist.")
        return self._change(named, state, market, now_ns, quantity=form.number("quantity"), price=form.number("price"))

    def _change(
        self, named: ListingName, state: OrderState, market: Market, now_ns: int, **terms: Any
    ) -> dict[str, Any]:
        if market is USDM and terms == {"quantity": state.order.quantity, "price": state.order.price}:
            raise error_of(market)("-5027", "No need to modify the order.")
        with error_of(market).refusing(named):
            self._venue.modify(self._account, state.order_id, now_ns, **terms)
        return order_row(self._now(state.order_id, now_ns), named, market)

    # -- showing -----------------------------------------------------------------------------------------------------

    def known(self, form: Form, market: Market, code: str, words: str) -> tuple[ListingName, OrderState]:
        """Return the order a form names, by number or client id; of equal client ids the latest."""
        named, number, tag = self._names.of(market, form), form.get("orderId"), form.get("origClientOrderId")
        for state in reversed(self._of(market)):
            if state.order.instrument_id == named.instrument_id and (
                str(number_of(state)) == number or (number is None and state.order.tag == tag)
            ):
                return named, state
        raise error_of(market)(code, words)

    def one(self, form: Form, market: Market, now_ns: int) -> dict[str, Any]:
        named, state = self.known(form, market, "-2013", "Order does not exist.")
        return order_row(state, named, market)

    def open(self, form: Form, market: Market, now_ns: int) -> list[dict[str, Any]]:
        return self._rows([one for one in self._open(market) if not is_algo(one) or triggered(one)], form, market)

    def every(self, form: Form, market: Market, now_ns: int) -> list[dict[str, Any]]:
        self._names.of(market, form)
        return self._rows(self._of(market), form, market)

    def one_algo(self, form: Form, market: Market, now_ns: int) -> dict[str, Any]:
        named, state = self._algo(form)
        return algo_row(state, named)

    def open_algos(self, form: Form, market: Market, now_ns: int) -> list[dict[str, Any]]:
        waiting = [one for one in self._open(market) if is_algo(one) and not triggered(one)]
        return [algo_row(one, self._named(one)) for one in waiting if self._wanted(one, form, market)]

    def trades(self, form: Form, market: Market, now_ns: int) -> list[dict[str, Any]]:
        named, number, since = self._names.of(market, form), form.get("orderId"), form.integer("fromId", 0)
        begins = int(form.get("startTime") or 0)
        found = []
        for fill in self._venue.fills(self._account):
            state = self._venue.order(self._account, fill.order_id)
            if state is not None and fill.instrument_id == named.instrument_id and int(fill.trade_id) >= since:
                row = trade_row(fill, state, named, market)
                if number in (None, str(row["orderId"])) and row["time"] >= begins:
                    found.append(row)
        return found[: form.integer("limit", 500)]

    # -- inside ------------------------------------------------------------------------------------------------------

    def _rows(self, states: list[OrderState], form: Form, market: Market) -> list[dict[str, Any]]:
        return [order_row(one, self._named(one), market) for one in states if self._wanted(one, form, market)]

    def _wanted(self, state: OrderState, form: Form, market: Market) -> bool:
        return form.get("symbol") is None or state.order.instrument_id == self._names.of(market, form).instrument_id

    def _named(self, state: OrderState) -> ListingName:
        return self._names.by_id[state.order.instrument_id]

    def _of(self, market: Market) -> list[OrderState]:
        """Return the market's orders of the book, oldest first."""
        mine = [one for one in self._venue.orders(self._account) if self._named(one).exchange == market.exchange]
        return [one for one in mine if not is_algo(one) or triggered(one)]

    def _open(self, market: Market) -> list[OrderState]:
        mine = [one for one in self._venue.orders(self._account) if self._named(one).exchange == market.exchange]
        return [one for one in mine if not one.status.terminal]

    def _algo(self, form: Form) -> tuple[ListingName, OrderState]:
        number, tag = form.get("algoId"), form.get("clientAlgoId")
        for state in reversed(self._venue.orders(self._account)):
            if is_algo(state) and (state.order_id.lstrip("0") == number or (number is None and state.order.tag == tag)):
                return self._named(state), state
        raise error_of(USDM)("-2013", "Order does not exist.")

    def _mint(self) -> str:
        self._minted += 1
        return f"emu{self._minted:019d}"
