"""Placing, changing and cancelling, one by one and several at once; GTT orders; leaving and moving positions."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any, ClassVar, Final

from dragoman.emulator.parts import (
    DAY,
    SECOND,
    ZERO,
    As,
    Form,
    HttpAnswer,
    HttpCall,
    Leg,
    Or,
    OrderDesk,
    OrderState,
    OrderWords,
    Resting,
    Table,
    TriggerDesk,
    TriggerOverError,
    VenueOrder,
    json_body,
    num,
    records,
    seconds,
)
from dragoman.plugin import model

from . import words
from .emulator_names import Named, NameTable
from .emulator_words import PLACE, Fyers, FyersError, book_time, position_id, several, success

LONGEST_TAG: Final = 30
MOST_AT_ONCE: Final = 10
AMO_WAIT: Final = 3 * SECOND
_OVER: Final = {model.OrderStatus.CANCELED: "-161", model.OrderStatus.REJECTED: "-164"}
_DONE: Final = {"POST": (1101, "submitted"), "PATCH": (1102, "modified"), "DELETE": (1103, "cancelled")}
_SIDES: Final = {"1": model.Side.BUY, "-1": model.Side.SELL}
_PRODUCTS: Final = {word: words.PRODUCT.inward[word] for word in ("CNC", "INTRADAY", "MARGIN", "MTF")}
WORDS: Final = OrderWords(
    types=words.ORDER_TYPE.inward,
    products=_PRODUCTS,
    validities=words.VALIDITY.inward,
    sides=_SIDES,
    side="side",
    type="type",
    product="productType",
    validity="validity",
    quantity="qty",
    disclosed="disclosedQty",
    price="limitPrice",
    trigger="stopPrice",
    tag="orderTag",
    keeps_at_zero=("qty", "disclosedQty", "limitPrice", "stopPrice"),
    fixed=("validity",),
)
GTT_WORDS: Final = replace(WORDS, price="price", products={word: _PRODUCTS[word] for word in ("CNC", "MARGIN", "MTF")})
_GTT_STATUS: Final = {"active": 6, "triggered": 2, "expired": 7, "deleted": 1}
GTT: Final[Table] = {
    "id": As(".rest.number", str),
    "gtt_oco_ind": As(".legs", len),
    "create_time": As(".rest.created_ns", book_time),
    "create_time_epoch": As(".rest.created_ns", seconds),
    "clientId": ".account",
    "symbol": ".named.key",
    "fy_token": ".named.fy_token",
    "exchange": PLACE["exchange"],
    "segment": PLACE["segment"],
    "ord_status": As(".", lambda one: 5 if one.refusal else _GTT_STATUS[one.rest.status]),
    "product_type": As(".order.product", words.PRODUCT.write),
    "tran_side": ".order.side.sign",
    "oms_msg": Or(".refusal", ""),
    "ltp": ".market.last_price",
    "price_trigger": ".highest.trigger",
    "price_limit": ".highest.price",
    "qty": ".highest.quantity",
    "price2_trigger": ".lowest.trigger",
    "price2_limit": ".lowest.price",
    "qty2": ".lowest.quantity",
}
"""The broker's first leg of two is the one above the market."""


class FyersOrders(Fyers, OrderDesk[NameTable]):
    """Order requests of one account, and its positions."""

    words: ClassVar = WORDS
    unknown: ClassVar = ("-51", "Invalid order id")
    wrong_side: ClassVar = ("-390", "The stop price {trigger} is on the wrong side of {last}")  # (unverified)

    def one(self, call: HttpCall, now_ns: int, how: str = "sync", order_id: str | None = None) -> HttpAnswer:
        """Place, change or cancel an order, by the call's method."""
        form = Form({"id": order_id}) if order_id else json_body(call)
        if how == "async":
            return success(1101, "Order queued successfully.", id_fyers=f"emu-{self._placed(form, now_ns)[0]}")
        if call.method == "POST" and form.flag("isSliceOrder"):
            return several(_accepted("POST", one) for one in self._placed(form, now_ns))
        return success(**self._act(call.method, form, now_ns))

    def many(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        """Do the same for each order of a list; each has a fate of its own."""
        forms = records(call.body)
        FyersError.when(len(forms) > MOST_AT_ONCE, "-50", f"A maximum of {MOST_AT_ONCE} orders is allowed")
        fates = (FyersError.attempt(self._act, call.method, form, now_ns) for form in forms)
        return several(one.body() if isinstance(one, FyersError) else one for one in fates)

    def _act(self, method: str, form: Form, now_ns: int) -> dict[str, Any]:
        if method == "POST":
            return _accepted(method, self._placed(form, now_ns)[0])
        state = self._open(form.text("id"))
        return _accepted(method, self.change(state, form, now_ns) if method == "PATCH" else self.end(state, now_ns))

    def _placed(self, form: Form, now_ns: int) -> list[str]:
        named, order = self.read(form)
        # This market never closes, so that an after-market order waits a while for the next "opening".
        order = replace(order, not_before=now_ns + AMO_WAIT if form.flag("offlineOrder") else 0)
        return self.submitted(named, order, now_ns, sliced=form.flag("isSliceOrder"))

    def check(self, form: Form, named: Named) -> None:
        tag = form.get("orderTag") or "none"
        good = tag.isalnum() and tag.isascii() and len(tag) <= LONGEST_TAG
        FyersError.check(
            (named.is_index, "-300", "Please provide valid symbol"),
            (not good, "-50", "orderTag should be 1 to 30 alphanumeric characters"),
        )

    def _open(self, order_id: str) -> OrderState:
        state = self.find(order_id)
        FyersError.when(state.status.terminal, _OVER.get(state.status, "-162"), "The order is finished already")
        return state

    # -- positions ---------------------------------------------------------------------------------------------------

    def convert(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        form = json_body(call)
        key, _, word = form.text("symbol").rpartition("-")
        named, overnight = self.names.named(key), form.integer("overnight", default=0) == 1
        old, new = WORDS.products_of(form, named, "convertFrom", "convertTo")
        FyersError.when(_PRODUCTS.get(word) is not old, "-53", "Invalid position id")
        self.move(named, old, new, named.units(form.integer("convertQty")), overnight=overnight)
        return success(message="Position Converted Successfully!!", positionDetails=1101)

    def exit(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        """Close the positions named by id; without ids all of them."""
        ids = json_body(call).raw("id")
        wanted = [ids] if isinstance(ids, str) else ids
        chosen = [one for one in self.positions() if one.quantity and (not wanted or position_id(one) in wanted)]
        FyersError.when(not chosen, "-352", "Looks like you have no open positions.")
        for one in chosen:
            self.leave(one.position, now_ns)
        return success(message="The position is closed.")

    def margin(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        found, together = self.reckon(WORDS, json_body(call).rows("data", "data should be a list of orders"))
        alone = sum((one.need.total for one in found), ZERO)
        told = {"margin_avail": self.funds().net, "margin_total": together.total, "margin_new_order": alone}
        return success(data={name: num(value) for name, value in told.items()})


def _accepted(method: str, order_id: str) -> dict[str, Any]:
    code, word = _DONE[method]
    return {
        "s": "ok",
        "code": code,
        "message": f"Order {word} successfully. Your Order Ref. No.{order_id}",
        "id": order_id,
    }


class GttDesk(Fyers, TriggerDesk[NameTable]):
    """GTT orders of one account."""

    first: ClassVar = 25_000_000_001
    life_ns: ClassVar = 365 * DAY
    refusals: ClassVar = {
        LookupError: ("-51", "Invalid GTT order id"),
        TriggerOverError: ("-51", "Invalid GTT order id"),
        ValueError: ("-50", "The triggers are wrong: {}"),
    }

    def one(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        """Place, change or delete a GTT, by the call's method."""
        form = json_body(call)
        number = None if call.method == "POST" else form.integer("id")
        code, word = _DONE[call.method]
        rest = self.act(call.method, number, lambda before: self._legs(form, before), now_ns)
        return success(code, f"Order {word} successfully.", id=str(rest.number))

    def _legs(self, form: Form, before: Resting | None) -> tuple[list[Leg], Decimal]:
        """Read the legs, in the instrument and the direction of `before`, or of a new one."""
        named = self.names.by_id[before.instrument_id] if before else self.names.of(form)
        first = before.legs[0].order if before else None
        side = first.side if first else GTT_WORDS.side_of(form)
        product = first.product if first else GTT_WORDS.product_of(form, named)
        info = form.raw("orderInfo")
        good = isinstance(info, dict) and info and all(isinstance(one, dict) for one in info.values())
        FyersError.when(not good, "-50", "orderInfo should hold leg1 and perhaps leg2")
        legs = [
            Leg(
                leg.number("triggerPrice"),
                VenueOrder(
                    instrument_id=named.instrument_id,
                    side=side,
                    quantity=named.units(leg.integer("qty")),
                    order_type=model.OrderType.LIMIT,
                    product=product,
                    price=leg.number("price"),
                ),
            )
            for leg in (Form(info[name]) for name in ("leg2", "leg1") if name in info)
        ]
        return legs, self.quote(named).market.last_price
