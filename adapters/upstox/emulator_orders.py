"""Placing, changing and cancelling, one by one and several at once: the broker's fields turned into venue orders."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, ClassVar, Final

from dragoman.emulator import parts
from dragoman.emulator.parts import (
    Bands,
    Form,
    HttpAnswer,
    HttpCall,
    ListingName,
    OrderView,
    OrderWords,
    PositionView,
    automatic,
    json_answer,
    json_body,
    records,
    succeeded,
)
from dragoman.plugin import model
from dragoman.plugin.indian import SHARES

from .emulator_names import Named, NameTable
from .emulator_words import Upstox, UpstoxError, timed
from .words import ORDER_TYPE, SEGMENT, VALIDITY

LONGEST_TAG: Final = 40
LONGEST_CORRELATION: Final = 20
MOST_AT_ONCE: Final = 10
MOST_PROTECTION: Final = 25
BANDS: Final[Bands] = ((Decimal(100), Decimal(2)), (Decimal(500), Decimal(1)), (None, Decimal("0.5")))
"""Percent of automatic protection by price: another broker's published ones (unverified)."""


class UpstoxWords(OrderWords):
    """D delivers shares and carries contracts."""

    def product_of(self, form: Form, named: ListingName, field: str | None = None) -> model.Product:
        found = super().product_of(form, named, field)
        carries = found is model.Product.DELIVERY and named.exchange not in SHARES
        return model.Product.CARRY if carries else found


WORDS: Final = UpstoxWords(
    types=ORDER_TYPE.inward,
    products={"I": model.Product.INTRADAY, "D": model.Product.DELIVERY, "MTF": model.Product.MTF},
    validities=VALIDITY.inward,
    keeps_at_zero=("quantity", "disclosed_quantity"),
)


class OrderDesk(Upstox, parts.OrderDesk[NameTable]):
    """Order requests of one account."""

    words: ClassVar = WORDS

    # -- one ---------------------------------------------------------------------------------------------------------

    def place(self, call: HttpCall, now_ns: int, version: str) -> HttpAnswer:
        placed = self._placed(json_body(call), now_ns)
        return succeeded({"order_id": placed[0]}) if version == "2" else timed({"order_ids": placed})

    def _placed(self, form: Form, now_ns: int) -> list[str]:
        """Queue an order, in slices where that is asked for; return the ids."""
        return self.submitted(*self.read(form), now_ns, sliced=form.flag("slice"))

    def check(self, form: Form, named: Named) -> None:
        tag = form.get("tag") or ""
        checks: tuple[tuple[bool, str, str, str, Any], ...] = (
            (
                named.exchange == "MCX",
                "UDAPI1161",
                "MCX API orders are temporarily disabled",
                "instrument_key",
                named.key,
            ),
            (named.is_index, "UDAPI100011", "Invalid Instrument key", "instrument_token", named.key),
            (len(tag) > LONGEST_TAG, "UDAPI1119", "Tag is limited to 40 characters", "tag", tag),
            (form.integer("quantity") == 0, "UDAPI1052", "The quantity cannot be zero", "quantity", 0),
        )
        for broken, word, text, path, value in checks:
            UpstoxError.when(broken, word, text, path=path, value=value)

    def protection(self, form: Form, named: Named) -> Decimal | None:
        """Return the percent a market order may move; without one it is refused."""
        asked, path = form.number("market_protection", default=Decimal(0)), "market_protection"
        good = asked == -1 or 0 < asked <= MOST_PROTECTION
        UpstoxError.when(asked == 0, "UDAPI1158", "Market orders without market protection are not allowed")
        UpstoxError.when(not good, "UDAPI1159", "market_protection should be -1, or 1 to 25", path=path)
        return asked if asked > 0 else automatic(self.quote(named).market.last_price, BANDS)

    def moved_protection(
        self, form: Form, before: model.OrderType, after: model.OrderType, named: Named
    ) -> Decimal | None:
        """Return what a change says, or the broker's own percent where it says nothing."""
        told = form.get("market_protection") is not None
        return self.protection(form if told else Form({"market_protection": "-1"}), named)

    def misplaced(self, side: model.Side, trigger: Decimal, last: Decimal) -> UpstoxError:
        """Say that a stop is on the wrong side of the market (the broker's code for it is unverified)."""
        text = f"The trigger price {trigger} is on the wrong side of the last price {last}"
        return UpstoxError("UDAPI100036", text, path="trigger_price")

    def missing(self, order_id: str) -> UpstoxError:
        return UpstoxError("UDAPI100010", "Order id not found", path="order_id", value=order_id)

    def modify(self, call: HttpCall, now_ns: int, version: str) -> HttpAnswer:
        form = json_body(call)
        state = self.find(form.text("order_id"))
        for needed in ("order_type", "price", "trigger_price", "validity"):
            form.text(needed)
        return timed({"order_id": self.change(state, form, now_ns)})

    def cancel(self, call: HttpCall, now_ns: int, version: str) -> HttpAnswer:
        state = self.find(Form.query(call).text("order_id"))
        UpstoxError.when(state.status.terminal, "UDAPI100040", "Cancel not allowed: the order is already finished")
        return timed({"order_id": self.end(state, now_ns)})

    # -- several -----------------------------------------------------------------------------------------------------

    def place_many(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        """Place up to ten orders, those that buy first; each has a fate of its own."""
        forms, path = records(call.body), "correlation_id"
        ids = [form.get(path) or "" for form in forms]
        bad = not all(0 < len(one) <= LONGEST_CORRELATION for one in ids)
        UpstoxError.when(len(forms) > MOST_AT_ONCE, "UDAPI1118", "A maximum of 10 orders can be placed at once")
        UpstoxError.when(bad, "UDAPI1115", "correlation_id is missing or too long", path=path)
        UpstoxError.when(len(set(ids)) < len(ids), "UDAPI1117", "correlation_id is not unique", path=path)
        forms.sort(key=lambda form: form.get("transaction_type") != "BUY")
        placed: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        for form in forms:
            name, found = form.text(path), UpstoxError.attempt(self._placed, form, now_ns)
            if isinstance(found, UpstoxError):
                errors.append(found.item() | {path: name})
                continue
            names = [name] if len(found) == 1 else [f"{name}_{at}" for at in range(1, len(found) + 1)]
            placed += ({path: one, "order_id": order_id} for one, order_id in zip(names, found, strict=True))
        return _several(placed, errors, len(forms), len(placed))

    def cancel_many(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        """Cancel all that is open, of a tag or of a segment."""
        tag, segment = self._filters(call)
        chosen = [
            one
            for one in self.orders()
            if not one.state.status.terminal and tag in (None, one.order.tag) and segment in (None, one.named.segment)
        ]
        return self._each(chosen, lambda one: self.end(one.state, now_ns))

    def exit_all(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        """Close every position at the market, those of a segment; a tag narrows them to orders that carried it."""
        tag, segment = self._filters(call)
        tagged = {one.named.key for one in self.orders() if one.order.tag == tag}
        chosen = [
            one
            for one in self.positions()
            if one.quantity and segment in (None, one.named.segment) and (tag is None or one.named.key in tagged)
        ]
        return self._each(chosen, lambda one: self.leave(one.position, now_ns, automatic(one.market.last_price, BANDS)))

    def _each(self, chosen: list[OrderView[Any]] | list[PositionView[Any]], act: Callable[[Any], str]) -> HttpAnswer:
        UpstoxError.when(not chosen, "UDAPI1111", "Nothing is open")
        UpstoxError.when(len(chosen) > MOST_AT_ONCE, "UDAPI1112", "A maximum of 10 is allowed at once")
        fates = [(one, UpstoxError.attempt(act, one)) for one in chosen]
        done = [fate for _, fate in fates if isinstance(fate, str)]
        errors = [
            fate.item()
            | {
                "instrument_key": one.named.key,
                "order_id": one.state.order_id if isinstance(one, OrderView) else None,
            }
            for one, fate in fates
            if isinstance(fate, UpstoxError)
        ]
        return _several({"order_ids": done}, errors, len(chosen), len(done))

    def _filters(self, call: HttpCall) -> tuple[str | None, str | None]:
        form = Form.query(call)
        segment = form.get("segment")
        known = segment is None or segment in SEGMENT
        UpstoxError.when(not known, "UDAPI1108", "Invalid segment", path="segment", value=segment)
        return form.get("tag"), segment


def _several(done: Any, errors: list[dict[str, Any]], total: int, good: int) -> HttpAnswer:
    """Answer with what became of each: 200, 207 for some of them, 400 for none."""
    status, word = (200, "success") if not errors else (207, "partial_success") if good else (400, "error")
    summary = {"total": total, "payload_error": 0, "success": good, "error": len(errors)}
    return json_answer({"status": word, "data": done, "errors": errors or None, "summary": summary}, status)
