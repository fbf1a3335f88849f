"""Orders as the venue takes them on either interface: parameters checked, queued, changed, canceled and shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Final

from dragoman.emulator.parts import (
    ZERO,
    Form,
    ListingName,
    OrderState,
    VenueOrder,
    VenueProtocol,
    crosses,
    lots_for,
    passed,
)
from dragoman.plugin import model

from .emulator_words import (
    PREVENTION,
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
_ACK: Final = ("symbol", "orderId", "orderListId", "clientOrderId", "transactTime")
_NO_ORDER: Final = ("-2013", "Order does not exist.")
_UNKNOWN: Final = ("-2011", "Unknown order sent.")
_RESTRICTED: Final = ("-2011", "Order was not canceled due to cancel restrictions.")
_BAD_END: Final = ("-1102", "Mandatory parameter 'goodTillDate' was not sent, was empty/null, or malformed.")
_LEAST_LIFE: Final = 600_000
"""Of an order that is good till a date, in ms."""
_CANCELED_ALL: Final = {"code": 200, "msg": "The operation of cancel all open order is done."}


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
        self._venue, self._names, self._account, self.hedge = venue, names, account, hedge
        self._minted = 0

    # -- placing -----------------------------------------------------------------------------------------------------

    def place(self, form: Form, market: Market, now_ns: int) -> Any:
        named, order = self.read(form, market, now_ns)
        return self._reply(self._submit(named, order, market, now_ns), named, market, form)

    def test(self, form: Form, market: Market, now_ns: int) -> Any:
        self.read(form, market, now_ns)
        return {}

    def place_algo(self, form: Form, market: Market, now_ns: int) -> Any:
        form.choice("algoType", ("CONDITIONAL",))
        named, first = self._names.of(market, form), form.choice("type", _ALGO_TYPES)
        kind = USDM.order_types.inward[first]
        word = "LIMIT" if kind.has_price else "MARKET"
        order = self._order(form, market, named, kind, word, form.get("clientAlgoId"), now_ns)
        order.extra.update(algo=True, first=first)
        return algo_row(self._submit(named, order, market, now_ns), named)

    def read(self, form: Form, market: Market, now_ns: int) -> tuple[ListingName, VenueOrder]:
        """Check the parameters of an order. Raises the venue's error for what is refused before it becomes one."""
        named, word = self._names.of(market, form), form.choice("type", market.order_types.inward)
        kind = market.order_types.inward[word]
        algo = "Order type not supported for this endpoint. Please use the Algo Order API endpoints."
        error_of(market).check(
            (market is USDM and kind in ON_TRIGGER, "-4120", algo),
            (form.get("trailingDelta"), "-1013", "Filter failure: TRAILING_DELTA"),
        )
        return named, self._order(form, market, named, kind, word, form.get("newClientOrderId"), now_ns)

    def _order(
        self,
        form: Form,
        market: Market,
        named: ListingName,
        kind: model.OrderType,
        word: str,
        tag: str | None,
        now_ns: int,
    ) -> VenueOrder:
        error, view = error_of(market), self._venue.market(named.instrument_id)
        side = model.Side(form.choice("side", ("BUY", "SELL")))
        price = form.number("price") if kind.has_price else None
        trigger = form.number("triggerPrice" if market is USDM else "stopPrice") if kind.has_trigger else None
        if form.get("quoteOrderQty") and kind is _T.MARKET and market is SPOT:
            quantity = lots_for(form.number("quoteOrderQty"), model.Side.BUY, view, named.instrument.lot_size)
        else:
            quantity = form.number("quantity")
        tif = form.choice("timeInForce", ("GTC", "IOC", "FOK", "GTX", "GTD"), "GTC" if word != "LIMIT" else None)
        until = form.integer("goodTillDate", 0)
        prevention = form.choice("selfTradePreventionMode", PREVENTION[: 6 if market is SPOT else 3], PREVENTION[0])
        reduce, post_only = form.get("reduceOnly") == "true", word == "LIMIT_MAKER" or tif == "GTX"
        worth = (price or trigger or view.last_price) * quantity
        waits = side if kind in (_T.STOP_MARKET, _T.STOP_LIMIT) else side.opposite
        error.check(
            (tag is not None and len(tag) > _MOST_ID, *error.told["long id"]),
            (tag is not None and any(one.order.tag == tag for one in self._open(market)), *error.told["used id"]),
            (trigger is not None and passed(waits, trigger, view), *error.told["triggers"]),
            (worth < Decimal(str(named.instrument.extra["min_notional"])) and not reduce, *error.told["notional"]),
            (post_only and price is not None and crosses(side, price, view), *error.told["takes"]),
            (tif == "GTD" and (market is SPOT or until <= ms(now_ns) + _LEAST_LIFE), *_BAD_END),
            (tif != "GTD" and until != 0, *_BAD_END),
        )
        return VenueOrder(
            instrument_id=named.instrument_id,
            side=side,
            quantity=quantity,
            order_type=kind,
            product=model.Product.DELIVERY if market is SPOT else self._side(form, side, quantity, named),
            price=price,
            trigger_price=trigger,
            time_in_force=TIME_IN_FORCE.inward[tif] if tif != "GTD" else _F.GTC,
            display_quantity=form.nonzero("icebergQty"),
            tag=tag or self._mint(),
            post_only=post_only,
            extra={"word": word, "tif": tif, "reduce": reduce, "until": until, "prevention": prevention},
        )

    def _side(self, form: Form, side: model.Side, quantity: Decimal, named: ListingName) -> model.Product:
        """Return the product that stands for the position side; refuse what would open where only closing is meant."""
        word = form.choice("positionSide", SIDES, "BOTH")
        mine = [one for one in self._venue.positions(self._account) if one.instrument_id == named.instrument_id]
        held = sum((one.quantity for one in mine if one.product is SIDES[word]), ZERO)
        closes = form.get("reduceOnly") == "true" or (word, side) in (("LONG", "SELL"), ("SHORT", "BUY"))
        other = (word != "BOTH") is not self.hedge
        error_of(USDM).check(
            (other, "-4061", "Order's position side does not match user's setting."),
            (closes and -side.sign * held < quantity, "-2022", "ReduceOnly Order is rejected."),
        )
        return SIDES[word]

    def _submit(self, named: ListingName, order: VenueOrder, market: Market, now_ns: int) -> OrderState:
        with error_of(market).refusing(named):
            return self._now(self._venue.submit(self._account, order, now_ns), now_ns)

    def _now(self, order_id: str, now_ns: int) -> OrderState:
        """Return an order once the matching of this instant is done."""
        self._venue.advance(now_ns)
        state = SpotError.found(self._venue.order(self._account, order_id), *_NO_ORDER)
        note_trigger(state)
        return state

    def _reply(self, state: OrderState, named: ListingName, market: Market, form: Form) -> dict[str, Any]:
        row = order_row(state, named, market)
        if market is USDM:
            return row
        row["transactTime"] = row.pop("updateTime")
        plain = "FULL" if state.order.order_type in (_T.MARKET, _T.LIMIT) else "ACK"
        fills = [
            {
                "price": text(fill.price),
                "qty": text(fill.quantity),
                "commission": text(fill.fee),
                "commissionAsset": fill.fee_asset or named.instrument.currency,
                "tradeId": int(fill.trade_id),
            }
            for fill in self._venue.fills(self._account, state.order_id)
        ]
        kinds = {"ACK": {name: row[name] for name in _ACK}, "RESULT": row, "FULL": row | {"fills": fills}}
        return kinds[form.choice("newOrderRespType", kinds, plain)]

    # -- changing ----------------------------------------------------------------------------------------------------

    def cancel(self, form: Form, market: Market, now_ns: int) -> Any:
        named, state = self.known(form, market, _UNKNOWN)
        met = "ONLY_PARTIALLY_FILLED" if state.filled_quantity else "ONLY_NEW"
        SpotError.when((form.get("cancelRestrictions") or met) != met, *_RESTRICTED)
        if form.get("newClientOrderId"):
            state.order.extra["cancel"] = form.text("newClientOrderId")
        return self._canceled([state], named, market, now_ns)[0]

    def _canceled(
        self, states: Sequence[OrderState], named: ListingName, market: Market, now_ns: int
    ) -> list[dict[str, Any]]:
        """Cancel orders, and tell what became of them."""
        with error_of(market).refusing(named):
            for state in states:
                self._venue.cancel(self._account, state.order_id, now_ns)
        rows = [order_row(self._now(one.order_id, now_ns), named, market) for one in states]
        return rows if market is USDM else [self._renamed(row) for row in rows]

    def _renamed(self, row: dict[str, Any]) -> dict[str, Any]:
        own = row["clientOrderId"]
        return row | {"origClientOrderId": own, "clientOrderId": self._mint(), "transactTime": row["updateTime"]}

    def cancel_all(self, form: Form, market: Market, now_ns: int) -> Any:
        named = self._names.of(market, form)
        mine = [one for one in self._open(market) if one.order.instrument_id == named.instrument_id]
        SpotError.when(not mine and market is SPOT, *_UNKNOWN)
        rows = self._canceled(mine, named, market, now_ns)
        return _CANCELED_ALL if market is USDM else rows

    def cancel_algo(self, form: Form, market: Market, now_ns: int) -> Any:
        named, state = self._algo(form)
        error_of(market).when(triggered(state) or state.status.terminal, *_UNKNOWN)
        self._canceled([state], named, market, now_ns)
        return {"algoId": int(state.order_id), "clientAlgoId": state.order.tag, "code": "200", "msg": "success"}

    def replace(self, form: Form, market: Market, now_ns: int) -> Any:
        form.choice("cancelReplaceMode", ("STOP_ON_FAILURE", "ALLOW_FAILURE"))
        old = {ours: form.get(word) for ours, word in _OLD_ORDER.items()}
        gone: Any = SpotError.attempt(self.cancel, Form({"symbol": form.text("symbol"), **old}), market, now_ns)
        failed = isinstance(gone, SpotError)
        new: Any = None if failed else SpotError.attempt(self.place, form, market, now_ns)
        halves = {"cancelResult": _fate(gone), "newOrderResult": _fate(new)}
        halves |= {"cancelResponse": _body(gone), "newOrderResponse": _body(new)}
        if failed or isinstance(new, SpotError):
            raise ReplaceError("-2022" if failed else "-2021", halves)
        return halves

    def lapse(self, now_ns: int) -> None:
        """End the orders that were good till now."""
        for state in self._open(USDM):
            until = state.order.extra.get("until", 0)
            if isinstance(until, int) and 0 < until <= ms(now_ns) and state.pending is not model.Pending.CANCEL:
                state.order.extra["lapsed"] = True
                self._venue.cancel(self._account, state.order_id, now_ns)

    def amend(self, form: Form, market: Market, now_ns: int) -> Any:
        """Reduce an order's quantity; it keeps its place in the queue."""
        named, state = self.known(form, market, _NO_ORDER)
        quantity = form.number("newQty")
        reduces = state.filled_quantity < quantity < state.order.quantity
        SpotError.when(not reduces, "-2038", "The requested quantity change would not reduce the order.")
        changed = self._change(named, state, market, now_ns, quantity=quantity)
        return {"transactTime": ms(now_ns), "executionId": now_ns // 1000, "amendedOrder": changed}

    def modify(self, form: Form, market: Market, now_ns: int) -> Any:
        named, state = self.known(form, market, _NO_ORDER)
        terms = {"quantity": form.number("quantity"), "price": form.number("price")}
        same = terms == {"quantity": state.order.quantity, "price": state.order.price}
        error_of(market).when(same, "-5027", "No need to modify the order.")
        return self._change(named, state, market, now_ns, **terms)

    def _change(
        self, named: ListingName, state: OrderState, market: Market, now_ns: int, **terms: Any
    ) -> dict[str, Any]:
        with error_of(market).refusing(named):
            self._venue.modify(self._account, state.order_id, now_ns, **terms)
        return order_row(self._now(state.order_id, now_ns), named, market)

    # -- showing -----------------------------------------------------------------------------------------------------

    def known(self, form: Form, market: Market, missing: tuple[str, str]) -> tuple[ListingName, OrderState]:
        """Return the order a form names, by number or client id; of equal client ids the latest."""
        named, number, tag = self._names.of(market, form), form.get("orderId"), form.get("origClientOrderId")
        mine = [one for one in self._of(market) if one.order.instrument_id == named.instrument_id]
        named_so = [one for one in mine if (number is None and one.order.tag == tag) or str(number_of(one)) == number]
        return named, error_of(market).found(named_so[-1] if named_so else None, *missing)

    def one(self, form: Form, market: Market, now_ns: int) -> Any:
        named, state = self.known(form, market, _NO_ORDER)
        return order_row(state, named, market)

    def open(self, form: Form, market: Market, now_ns: int) -> Any:
        states = [one for one in self._open(market) if not is_algo(one) or triggered(one)]
        return [order_row(one, self._named(one), market) for one in self._wanted(states, form, market)]

    def every(self, form: Form, market: Market, now_ns: int) -> Any:
        named = self._names.of(market, form)
        return [order_row(one, named, market) for one in self._wanted(self._of(market), form, market)]

    def one_algo(self, form: Form, market: Market, now_ns: int) -> Any:
        named, state = self._algo(form)
        return algo_row(state, named)

    def open_algos(self, form: Form, market: Market, now_ns: int) -> Any:
        waiting = [one for one in self._open(market) if is_algo(one) and not triggered(one)]
        return [algo_row(one, self._named(one)) for one in self._wanted(waiting, form, market)]

    def trades(self, form: Form, market: Market, now_ns: int) -> Any:
        named, number, since = self._names.of(market, form), form.get("orderId"), form.integer("fromId", 0)
        begins = int(form.get("startTime") or 0)
        states = {state.order_id: state for state in self._venue.orders(self._account)}
        fills = [one for one in self._venue.fills(self._account) if one.instrument_id == named.instrument_id]
        rows = [trade_row(one, states[one.order_id], named, market) for one in fills if int(one.trade_id) >= since]
        found = [row for row in rows if number in (None, str(row["orderId"])) and row["time"] >= begins]
        return found[: form.integer("limit", 500)]

    # -- inside ------------------------------------------------------------------------------------------------------

    def _wanted(self, states: Sequence[OrderState], form: Form, market: Market) -> list[OrderState]:
        """Return those of the symbol a form names, if it names one."""
        only = self._names.of(market, form).instrument_id if form.get("symbol") else None
        return [one for one in states if only in (None, one.order.instrument_id)]

    def _named(self, state: OrderState) -> ListingName:
        return self._names.by_id[state.order.instrument_id]

    def _mine(self, market: Market) -> list[OrderState]:
        return [one for one in self._venue.orders(self._account) if self._named(one).exchange == market.exchange]

    def _of(self, market: Market) -> list[OrderState]:
        """Return the market's orders of the book, oldest first."""
        return [one for one in self._mine(market) if not is_algo(one) or triggered(one)]

    def _open(self, market: Market) -> list[OrderState]:
        return [one for one in self._mine(market) if not one.status.terminal]

    def _algo(self, form: Form) -> tuple[ListingName, OrderState]:
        number, tag = form.get("algoId"), form.get("clientAlgoId")
        algos = [one for one in self._mine(USDM) if is_algo(one)]
        named_so = [one for one in algos if str(int(one.order_id)) == number or (not number and one.order.tag == tag)]
        state = error_of(USDM).found(named_so[-1] if named_so else None, *_NO_ORDER)
        return self._named(state), state

    def _mint(self) -> str:
        self._minted += 1
        return f"emu{self._minted:019d}"


_OLD_ORDER: Final = {
    "orderId": "cancelOrderId",
    "origClientOrderId": "cancelOrigClientOrderId",
    "newClientOrderId": "cancelNewClientOrderId",
    "cancelRestrictions": "cancelRestrictions",
}
"""What names the order of a cancel-and-replace that goes: as `OrderDesk.cancel` has it, and as the request does."""


def _fate(half: Any) -> str:
    return "NOT_ATTEMPTED" if half is None else "FAILURE" if isinstance(half, SpotError) else "SUCCESS"


def _body(half: Any) -> Any:
    return dict(half.body()) if isinstance(half, SpotError) else half
