"""Placing, changing and cancelling, one by one and several at once; GTT orders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from dragoman.emulator.parts import (
    DAY,
    SECOND,
    FieldError,
    Form,
    HttpAnswer,
    HttpCall,
    Leg,
    OrderState,
    Resting,
    TriggerBook,
    VenueOrder,
    VenueProtocol,
    VenueRejectError,
    json_body,
    num,
    passed,
    records,
    slices,
    stamp,
)
from dragoman.plugin import model
from dragoman.plugin.records import IST

from .emulator_names import Named, NameTable
from .emulator_words import BOOK_TIME, FyersError, place_row, several, success
from .words import ORDER_TYPE, PRODUCT, VALIDITY

LONGEST_TAG: Final = 30
MOST_AT_ONCE: Final = 10
GTT_LIFE: Final = 365 * DAY
AMO_WAIT: Final = 3 * SECOND
PRODUCTS: Final = ("CNC", "INTRADAY", "MARGIN", "MTF")
_SIDES: Final = {"1": model.Side.BUY, "-1": model.Side.SELL}
_GTT_STATUS: Final = {"active": 6, "triggered": 2, "expired": 7, "deleted": 1}


def read_order(names: NameTable, form: Form) -> tuple[Named, VenueOrder]:
    """Read an order's terms, of a placement or of a calculator. Raises FieldError and FyersError."""
    named = names.named(form.text("symbol"))
    kind = ORDER_TYPE.inward[form.choice("type", ORDER_TYPE.inward)]
    return named, VenueOrder(
        instrument_id=named.instrument_id,
        side=_SIDES[form.choice("side", _SIDES)],
        quantity=named.units(form.integer("qty")),
        order_type=kind,
        product=PRODUCT.inward[form.choice("productType", PRODUCTS)],
        price=form.number("limitPrice") if kind.has_price else None,
        trigger_price=form.number("stopPrice") if kind.has_trigger else None,
    )


class OrderDesk:
    """Order requests of one account."""

    def __init__(self, venue: VenueProtocol, names: NameTable, account: str) -> None:
        self._venue, self._names, self._account = venue, names, account

    def one(self, call: HttpCall, now_ns: int, how: str = "sync", order_id: str | None = None) -> HttpAnswer:
        """Place, change or cancel an order, by the call's method."""
        form = Form({"id": order_id}) if order_id else json_body(call)
        if how == "async":
            found = self._placed(form, now_ns)
            return success(1101, "Order queued successfully.", id_fyers=f"emu-{found[0]}")
        if call.method == "POST" and form.get("isSliceOrder") == "True":
            fates = self._placed(form, now_ns)
            return several(_accepted(1101, "submitted", one) for one in fates)
        return success(**self._act(call.method, form, now_ns))

    def many(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        """Do the same for each order of a list; each has a fate of its own."""
        forms = records(call.body)
        if len(forms) > MOST_AT_ONCE:
            raise FyersError("-50", f"A maximum of {MOST_AT_ONCE} orders is allowed")
        return several(self._fate(call.method, form, now_ns) for form in forms)

    def _fate(self, method: str, form: Form, now_ns: int) -> Mapping[str, Any]:
        try:
            return {"s": "ok"} | self._act(method, form, now_ns)
        except (FieldError, FyersError) as refusal:
            return (refusal if isinstance(refusal, FyersError) else FyersError("-50", str(refusal))).body()

    def _act(self, method: str, form: Form, now_ns: int) -> dict[str, Any]:
        act, code, word = {
            "POST": (self._place, 1101, "submitted"),
            "PATCH": (self._modify, 1102, "modified"),
            "DELETE": (self._cancel, 1103, "cancelled"),
        }[method]
        return _accepted(code, word, act(form, now_ns))

    def _place(self, form: Form, now_ns: int) -> str:
        return self._placed(form, now_ns)[0]

    def _placed(self, form: Form, now_ns: int) -> list[str]:
        named, order = self._checked(form, now_ns)
        freeze = named.instrument.freeze_quantity
        with FyersError.refusing(named):
            if form.get("isSliceOrder") == "True" and freeze and order.quantity > freeze:
                lot = named.instrument.lot_size
                fates = slices(self._venue, self._account, order, freeze, lot, now_ns)
                if isinstance(fates[0], Exception):
                    raise fates[0]
                return [fate for fate in fates if isinstance(fate, str)]
            return [self._venue.submit(self._account, order, now_ns)]

    def _checked(self, form: Form, now_ns: int) -> tuple[Named, VenueOrder]:
        named, order = read_order(self._names, form)
        if named.is_index:
            raise FyersError("-300", "Please provide valid symbol")
        tag = form.get("orderTag")
        if tag is not None and not (tag.isalnum() and tag.isascii() and len(tag) <= LONGEST_TAG):
            raise FyersError("-50", "orderTag should be 1 to 30 alphanumeric characters")
        self._check_trigger(named, order.side, order.trigger_price)
        disclosed = form.integer("disclosedQty", default=0)
        waits = form.get("offlineOrder") == "True"
        order = VenueOrder(
            **{name: getattr(order, name) for name in ("instrument_id", "side", "quantity", "order_type", "product")},
            price=order.price,
            trigger_price=order.trigger_price,
            time_in_force=VALIDITY.inward[form.choice("validity", VALIDITY.inward)],
            display_quantity=named.units(disclosed) if disclosed else None,
            tag=tag,
            # This market never closes, so that an after-market order waits a while for the next "opening".
            not_before=now_ns + AMO_WAIT if waits else 0,
        )
        return named, order

    def _check_trigger(self, named: Named, side: model.Side, trigger: Decimal | None) -> None:
        """Refuse a stop on the wrong side of the market (the broker's words are unverified)."""
        market = self._venue.market(named.instrument_id)
        if trigger is not None and passed(side, trigger, market):
            raise FyersError("-390", f"The stop price {trigger} is on the wrong side of {market.last_price}")

    def _modify(self, form: Form, now_ns: int) -> str:
        state = self._known(form)
        named, order = self._names.by_id[state.order.instrument_id], state.order
        kind = ORDER_TYPE.inward[form.choice("type", ORDER_TYPE.inward)] if form.get("type") else None
        trigger = form.nonzero("stopPrice") if (kind or order.order_type).has_trigger else None
        if trigger != order.trigger_price:
            self._check_trigger(named, order.side, trigger)
        quantity, disclosed = form.integer("qty", default=0), form.integer("disclosedQty", default=0)
        with FyersError.refusing(named):
            self._venue.modify(
                self._account,
                state.order_id,
                now_ns,
                quantity=named.units(quantity) if quantity else None,
                price=form.nonzero("limitPrice") if (kind or order.order_type).has_price else None,
                trigger_price=trigger,
                order_type=kind,
                display_quantity=named.units(disclosed) if disclosed else None,
            )
        return state.order_id

    def _cancel(self, form: Form, now_ns: int) -> str:
        state = self._known(form)
        with FyersError.refusing(self._names.by_id[state.order.instrument_id]):
            self._venue.cancel(self._account, state.order_id, now_ns)
        return state.order_id

    def _known(self, form: Form) -> OrderState:
        state = self._venue.order(self._account, form.text("id"))
        if state is None:
            raise FyersError("-51", "Invalid order id")
        if state.status.terminal:
            word = {model.OrderStatus.CANCELED: "-161", model.OrderStatus.REJECTED: "-164"}.get(state.status, "-162")
            raise FyersError(word, "The order is finished already")
        return state


def _accepted(code: int, word: str, order_id: str) -> dict[str, Any]:
    text = f"Order {word} successfully. Your Order Ref. No.{order_id}"
    return {"s": "ok", "code": code, "message": text, "id": order_id}


class GttDesk:
    """GTT orders of one account."""

    def __init__(self, venue: VenueProtocol, names: NameTable, account: str) -> None:
        self._venue, self._names, self._account = venue, names, account
        self.book = TriggerBook(venue, account, GTT_LIFE, first=25_000_000_001)

    def one(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        """Place, change or delete a GTT, by the call's method."""
        form = json_body(call)
        if call.method == "POST":
            named, side = self._names.named(form.text("symbol")), _SIDES[form.choice("side", _SIDES)]
            product = PRODUCT.inward[form.choice("productType", ("CNC", "MARGIN", "MTF"))]
            rest = self._resting(named, lambda last: self.book.place(_legs(form, named, side, product), last, now_ns))
            return self._answer(1101, "submitted", rest)
        rest = self._active(form)
        first = rest.legs[0].order
        named = self._names.by_id[first.instrument_id]
        if call.method == "DELETE":
            self.book.delete(rest, now_ns)
            return self._answer(1103, "cancelled", rest)
        self._resting(
            named,
            lambda last: self.book.change(rest, _legs(form, named, first.side, first.product), last, now_ns),
        )
        return self._answer(1102, "modified", rest)

    def _resting(self, named: Named, act: Callable[[Decimal], Any]) -> Any:
        try:
            return act(self._venue.market(named.instrument_id).last_price)
        except ValueError as wrong:
            raise FyersError("-50", f"The triggers are wrong: {wrong}") from wrong

    def _active(self, form: Form) -> Resting:
        try:
            return self.book.active(form.integer("id"))
        except (LookupError, ValueError) as wrong:
            raise FyersError("-51", "Invalid GTT order id") from wrong

    @staticmethod
    def _answer(code: int, word: str, rest: Resting) -> HttpAnswer:
        return success(code, f"Order {word} successfully.", id=str(rest.number))

    def read(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        return success(orderBook=[self._row(rest) for rest in self.book.since(0)])

    def _row(self, rest: Resting) -> dict[str, Any]:
        # Of two legs the broker's first is the one above the market.
        legs = rest.legs[::-1]
        first = legs[0].order
        named = self._names.by_id[first.instrument_id]
        place = place_row(named)
        refusal = next((leg.refusal for leg in legs if leg.refusal), None)
        row = {
            "clientId": self._account,
            "symbol": named.key,
            "fy_token": place["fyToken"],
            "exchange": place["exchange"],
            "segment": place["segment"],
            "id": str(rest.number),
            "ord_status": 5 if refusal else _GTT_STATUS[rest.status],
            "gtt_oco_ind": len(legs),
            "product_type": PRODUCT.write(first.product),
            "tran_side": first.side.sign,
            "oms_msg": refusal or "",
            "create_time": stamp(rest.created_ns, IST, BOOK_TIME),
            "create_time_epoch": rest.created_ns // 1_000_000_000,
            "ltp": num(self._venue.market(first.instrument_id).last_price),
        }
        for mark, at in (("", 0), ("2", 1)):
            leg = legs[at] if at < len(legs) else None
            row[f"price{mark}_trigger"] = num(leg.trigger) if leg else 0
            row[f"price{mark}_limit"] = num(leg.order.price or Decimal(0)) if leg else 0
            row[f"qty{mark}"] = named.wire_quantity(leg.order.quantity) if leg else 0
        return row


def _legs(form: Form, named: Named, side: model.Side, product: model.Product) -> list[Leg]:
    info = form.raw("orderInfo")
    if not isinstance(info, dict) or not info or not all(isinstance(one, dict) for one in info.values()):
        raise FyersError("-50", "orderInfo should hold leg1 and perhaps leg2")
    legs = []
    for leg in (Form(info[name]) for name in ("leg2", "leg1") if name in info):
        order = VenueOrder(
            instrument_id=named.instrument_id,
            side=side,
            quantity=named.units(leg.integer("qty")),
            order_type=model.OrderType.LIMIT,
            product=product,
            price=leg.number("price"),
        )
        legs.append(Leg(leg.number("triggerPrice"), order))
    return legs


class PositionDesk:
    """Leaving positions, and moving them to another product."""

    def __init__(self, venue: VenueProtocol, names: NameTable, account: str) -> None:
        self._venue, self._names, self._account = venue, names, account

    def convert(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        form = json_body(call)
        key, _, word = form.text("symbol").rpartition("-")
        old, new = (PRODUCT.inward[form.choice(name, PRODUCTS)] for name in ("convertFrom", "convertTo"))
        if PRODUCT.inward.get(word) is not old:
            raise FyersError("-53", "Invalid position id")
        named, overnight = self._names.named(key), form.integer("overnight", default=0) == 1
        with FyersError.refusing(named):
            quantity = named.units(form.integer("convertQty"))
            self._venue.convert(self._account, named.instrument_id, old, new, quantity, overnight=overnight)
        return success(message="Position Converted Successfully!!", positionDetails=1101)

    def leave(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        """Close the positions named by id; without ids all of them."""
        form = json_body(call)
        ids = form.raw("id")
        wanted = [ids] if isinstance(ids, str) else ids
        open_ones = [one for one in self._venue.positions(self._account) if one.quantity]
        chosen = [one for one in open_ones if not wanted or self._id(one.instrument_id, one.product) in wanted]
        if not chosen:
            raise FyersError("-352", "Looks like you have no open positions.")
        for one in chosen:
            order = VenueOrder(
                instrument_id=one.instrument_id,
                side=model.Side.SELL if one.quantity > 0 else model.Side.BUY,
                quantity=abs(one.quantity),
                order_type=model.OrderType.MARKET,
                product=one.product,
            )
            with FyersError.refusing(self._names.by_id[one.instrument_id]):
                self._venue.submit(self._account, order, now_ns)
        return success(message="The position is closed.")

    def _id(self, instrument_id: str, product: model.Product) -> str:
        return f"{self._names.by_id[instrument_id].key}-{PRODUCT.write(product)}"

    def margin(self, call: HttpCall, now_ns: int, funds: Decimal = Decimal(0)) -> HttpAnswer:
        rows = json_body(call).raw("data")
        if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
            raise FyersError("-50", "data should be a list of orders")
        pairs = [read_order(self._names, Form(row)) for row in rows]
        try:
            _, together = self._venue.needs(self._account, [order for _, order in pairs])
        except VenueRejectError as refused:
            raise FyersError.of(refused, pairs[0][0]) from refused
        free = sum((one.net for one in self._venue.funds(self._account).values()), Decimal(0))
        needed = _total(self._venue, self._account, [order for _, order in pairs])
        told = {"margin_avail": num(free), "margin_total": num(together), "margin_new_order": num(needed)}
        return success(data=told)


def _total(venue: VenueProtocol, account: str, orders: Sequence[VenueOrder]) -> Decimal:
    needs, _ = venue.needs(account, orders)
    return sum((need.total for need in needs), Decimal(0))
