"""Placing, changing and cancelling, one by one and several at once: the broker's fields turned into venue orders."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Final

from dragoman.emulator.parts import (
    Bands,
    FieldError,
    Form,
    HttpAnswer,
    HttpCall,
    OrderState,
    VenueOrder,
    VenueProtocol,
    automatic,
    json_answer,
    json_body,
    passed,
    records,
    slices,
)
from dragoman.plugin import model
from dragoman.plugin.indian import SHARES

from .emulator_names import Named, NameTable
from .emulator_words import UpstoxError, success, timed
from .words import ORDER_TYPE, SEGMENT, VALIDITY

LONGEST_TAG: Final = 40
LONGEST_CORRELATION: Final = 20
MOST_AT_ONCE: Final = 10
MOST_PROTECTION: Final = 25
BANDS: Final[Bands] = ((Decimal(100), Decimal(2)), (Decimal(500), Decimal(1)), (None, Decimal("0.5")))
"""Percent of automatic protection by price: another broker's published ones (unverified)."""
_MARKET: Final = (model.OrderType.MARKET, model.OrderType.STOP_MARKET)
_PRODUCT: Final = {"I": model.Product.INTRADAY, "MTF": model.Product.MTF}


def product_of(form: Form, exchange: str, field: str = "product") -> model.Product:
    """Read a product: D delivers shares and carries contracts."""
    word = form.choice(field, ("I", "D", "MTF"))
    return _PRODUCT.get(word) or (model.Product.DELIVERY if exchange in SHARES else model.Product.CARRY)


class OrderDesk:
    """Order requests of one account."""

    def __init__(self, venue: VenueProtocol, names: NameTable, account: str) -> None:
        self._venue, self._names, self._account = venue, names, account

    # -- one ---------------------------------------------------------------------------------------------------------

    def place(self, call: HttpCall, now_ns: int, version: str) -> HttpAnswer:
        placed = self._place(json_body(call), now_ns)
        return success({"order_id": placed[0]}) if version == "2" else timed({"order_ids": placed})

    def _place(self, form: Form, now_ns: int) -> list[str]:
        """Queue an order, in slices where that is asked for; return the ids."""
        named, order = self._read(form)
        freeze = named.instrument.freeze_quantity
        with UpstoxError.refusing(named):
            if form.get("slice") == "True" and freeze and order.quantity > freeze:
                lot = named.instrument.lot_size
                fates = slices(self._venue, self._account, order, freeze, lot, now_ns)
                if isinstance(fates[0], Exception):
                    raise fates[0]
                return [fate for fate in fates if isinstance(fate, str)]
            return [self._venue.submit(self._account, order, now_ns)]

    def _read(self, form: Form) -> tuple[Named, VenueOrder]:
        named = self._names.of(form)
        if named.exchange == "MCX":
            text = "MCX API orders are temporarily disabled"
            raise UpstoxError("UDAPI1161", text, path="instrument_key", value=named.key)
        UpstoxError.when(
            named.is_index, "UDAPI100011", "Invalid Instrument key", path="instrument_token", value=named.key
        )
        tag = form.get("tag")
        UpstoxError.when(
            tag is not None and len(tag) > LONGEST_TAG,
            "UDAPI1119",
            "Tag is limited to 40 characters",
            path="tag",
            value=tag,
        )
        kind = ORDER_TYPE.inward[form.choice("order_type", ORDER_TYPE.inward)]
        disclosed = form.integer("disclosed_quantity", default=0)
        UpstoxError.when(
            form.integer("quantity") == 0, "UDAPI1052", "The quantity cannot be zero", path="quantity", value=0
        )
        order = VenueOrder(
            instrument_id=named.instrument_id,
            side=model.Side(form.choice("transaction_type", ("BUY", "SELL"))),
            quantity=named.units(form.integer("quantity")),
            order_type=kind,
            product=product_of(form, named.exchange),
            price=form.number("price") if kind.has_price else None,
            trigger_price=form.number("trigger_price") if kind.has_trigger else None,
            time_in_force=VALIDITY.inward[form.choice("validity", VALIDITY.inward)],
            display_quantity=named.units(disclosed) if disclosed else None,
            protection=self.protection(form, kind, named),
            tag=tag,
        )
        self._check_trigger(order.side, order.trigger_price, named)
        return named, order

    def protection(self, form: Form, kind: model.OrderType, named: Named) -> Decimal | None:
        """Return the percent a market order may move; without one it is refused."""
        if kind not in _MARKET:
            return None
        asked = form.number("market_protection", default=Decimal(0))
        UpstoxError.when(asked == 0, "UDAPI1158", "Market orders without market protection are not allowed")
        UpstoxError.when(
            asked > MOST_PROTECTION or (asked < 0 and asked != -1),
            "UDAPI1159",
            "market_protection should be -1, or 1 to 25",
            path="market_protection",
        )
        return asked if asked > 0 else automatic(self._venue.market(named.instrument_id).last_price, BANDS)

    def _check_trigger(self, side: model.Side, trigger: Decimal | None, named: Named) -> None:
        """Refuse a stop on the wrong side of the market (the broker's code for it is unverified)."""
        market = self._venue.market(named.instrument_id)
        if trigger is not None and passed(side, trigger, market):
            text = f"The trigger price {trigger} is on the wrong side of the last price {market.last_price}"
            raise UpstoxError("UDAPI100036", text, path="trigger_price")

    def modify(self, call: HttpCall, now_ns: int, version: str) -> HttpAnswer:
        form = json_body(call)
        state = self.known(form.text("order_id"))
        named, order = self._names.by_id[state.order.instrument_id], state.order
        kind = ORDER_TYPE.inward[form.choice("order_type", ORDER_TYPE.inward)]
        price, trigger = form.number("price"), form.number("trigger_price")  # both must be there
        validity = VALIDITY.inward[form.choice("validity", VALIDITY.inward)]
        disclosed, quantity = form.integer("disclosed_quantity", default=0), form.integer("quantity", default=0)
        if kind.has_trigger and trigger != order.trigger_price:
            self._check_trigger(order.side, trigger, named)
        with UpstoxError.refusing(named):
            self._venue.modify(
                self._account,
                state.order_id,
                now_ns,
                quantity=named.units(quantity) if quantity else None,
                price=price if kind.has_price else None,
                trigger_price=trigger if kind.has_trigger else None,
                order_type=kind,
                time_in_force=validity,
                display_quantity=named.units(disclosed) if disclosed else None,
                protection=self.protection(form, kind, named) if kind is not order.order_type else None,
            )
        return timed({"order_id": state.order_id})

    def cancel(self, call: HttpCall, now_ns: int, version: str) -> HttpAnswer:
        state = self.known(Form(dict(call.query)).text("order_id"))
        UpstoxError.when(state.status.terminal, "UDAPI100040", "Cancel not allowed: the order is already finished")
        with UpstoxError.refusing(self._names.by_id[state.order.instrument_id]):
            self._venue.cancel(self._account, state.order_id, now_ns)
        return timed({"order_id": state.order_id})

    def known(self, order_id: str) -> OrderState:
        """Return an order of the book. Raises UpstoxError where there is none."""
        state = self._venue.order(self._account, order_id)
        if state is None:
            raise UpstoxError("UDAPI100010", "Order id not found", path="order_id", value=order_id)
        return state

    # -- several -----------------------------------------------------------------------------------------------------

    def place_many(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        """Place up to ten orders, those that buy first; each has a fate of its own."""
        forms = records(call.body)
        ids = [form.get("correlation_id") or "" for form in forms]
        UpstoxError.when(len(forms) > MOST_AT_ONCE, "UDAPI1118", "A maximum of 10 orders can be placed at once")
        UpstoxError.when(
            not all(0 < len(one) <= LONGEST_CORRELATION for one in ids),
            "UDAPI1115",
            "correlation_id is missing or too long",
            path="correlation_id",
        )
        UpstoxError.when(len(set(ids)) < len(ids), "UDAPI1117", "correlation_id is not unique", path="correlation_id")
        forms.sort(key=lambda form: form.get("transaction_type") != "BUY")
        placed: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        for form in forms:
            name = form.text("correlation_id")
            try:
                found = self._place(form, now_ns)
            except (UpstoxError, FieldError) as refusal:
                error = refusal if isinstance(refusal, UpstoxError) else UpstoxError("UDAPI100036", str(refusal))
                errors.append(error.item() | {"correlation_id": name})
                continue
            many = len(found) > 1
            placed += [
                {"correlation_id": f"{name}_{at}" if many else name, "order_id": one} for at, one in enumerate(found, 1)
            ]
        return _several(placed, errors, len(forms), len(placed))

    def cancel_many(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        """Cancel all that is open, of a tag or of a segment."""
        tag, segment = self._filters(call)
        chosen = [
            state
            for state in self._venue.orders(self._account)
            if not state.status.terminal
            and tag in (None, state.order.tag)
            and segment in (None, self._names.by_id[state.order.instrument_id].segment)
        ]
        return self._each(chosen, lambda state: self._cancel(state, now_ns))

    def _cancel(self, state: OrderState, now_ns: int) -> str:
        self._venue.cancel(self._account, state.order_id, now_ns)
        return state.order_id

    def exit_all(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        """Close every position at the market, those of a segment; a tag narrows them to orders that carried it."""
        tag, segment = self._filters(call)
        tagged = {one.order.instrument_id for one in self._venue.orders(self._account) if one.order.tag == tag}

        def leave(position: Any) -> str:
            quantity = position.quantity
            order = VenueOrder(
                instrument_id=position.instrument_id,
                side=model.Side.SELL if quantity > 0 else model.Side.BUY,
                quantity=abs(quantity),
                order_type=model.OrderType.MARKET,
                product=position.product,
                protection=automatic(self._venue.market(position.instrument_id).last_price, BANDS),
            )
            return self._venue.submit(self._account, order, now_ns)

        chosen = [
            position
            for position in self._venue.positions(self._account)
            if position.quantity
            and segment in (None, self._names.by_id[position.instrument_id].segment)
            and (tag is None or position.instrument_id in tagged)
        ]
        return self._each(chosen, leave)

    def _each(self, chosen: list[Any], act: Callable[[Any], str]) -> HttpAnswer:
        UpstoxError.when(not chosen, "UDAPI1111", "Nothing is open")
        UpstoxError.when(len(chosen) > MOST_AT_ONCE, "UDAPI1112", "A maximum of 10 is allowed at once")
        done: list[str] = []
        errors: list[dict[str, Any]] = []
        for one in chosen:
            named = self._names.by_id[one.order.instrument_id if isinstance(one, OrderState) else one.instrument_id]
            try:
                with UpstoxError.refusing(named):
                    done.append(act(one))
            except UpstoxError as refusal:
                where = {"instrument_key": named.key, "order_id": getattr(one, "order_id", None)}
                errors.append(refusal.item() | where)
        return _several({"order_ids": done}, errors, len(chosen), len(done))

    def _filters(self, call: HttpCall) -> tuple[str | None, str | None]:
        form = Form(dict(call.query))
        segment = form.get("segment")
        UpstoxError.when(
            segment is not None and segment not in SEGMENT,
            "UDAPI1108",
            "Invalid segment",
            path="segment",
            value=segment,
        )
        return form.get("tag"), segment


def _several(done: Any, errors: Iterable[dict[str, Any]], total: int, good: int) -> HttpAnswer:
    """Answer with what became of each: 200, 207 for some of them, 400 for none."""
    errors = list(errors)
    status, word = (200, "success") if not errors else (207, "partial_success") if good else (400, "error")
    summary = {"total": total, "payload_error": 0, "success": good, "error": len(errors)}
    body = {"status": word, "data": done, "errors": errors or None, "summary": summary}
    return json_answer(body, status)
