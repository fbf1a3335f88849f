"""Placing, changing and cancelling: the broker's form parameters checked and turned into venue orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, ClassVar, Final

from dragoman.emulator.parts import (
    SECOND,
    ZERO,
    Follow,
    Form,
    HttpAnswer,
    HttpCall,
    OrderDesk,
    OrderState,
    OrderWords,
    VenueOrder,
    asked_protection,
    cover,
    iceberg,
    succeeded,
)
from dragoman.plugin import model

from . import words
from .emulator_names import Named, NameTable
from .emulator_words import Kite, KiteError

LONGEST_TAG: Final = 20
OFFERED: Final = ("regular", "amo", "co", "iceberg", "auction")
LEGS: Final = (2, 50)
AMO_WAIT: Final = 3 * SECOND
WORDS: Final = OrderWords(
    types=words.ORDER_TYPE.inward,
    products={word: words.PRODUCT.inward[word] for word in ("CNC", "NRML", "MIS", "MTF")},
    validities={word: words.VALIDITY.inward[word] for word in ("DAY", "IOC")},
    default_validity="DAY",
    keeps_at_zero=("price", "trigger_price"),
)

# Percent of automatic protection by price, as the broker publishes it for shares and futures and for options
# (support article on market price protection; unverified): the first row whose price is above the order's.
_AUTOMATIC: Final = ((Decimal(100), Decimal(2)), (Decimal(500), Decimal(1)), (None, Decimal("0.5")))
_AUTOMATIC_OPTION: Final = (
    (Decimal(10), Decimal(5)),
    (Decimal(100), Decimal(3)),
    (Decimal(500), Decimal(2)),
    (None, Decimal(1)),
)


class KiteOrders(Kite, OrderDesk[NameTable]):
    """Order requests of one account."""

    words: ClassVar = WORDS
    unknown: ClassVar = ("InputException", "Couldn't find that `order_id`.")
    most_changes: ClassVar = (25, "OrderException", "Maximum allowed order modifications exceeded.")
    wrong_side: ClassVar = (
        "InputException",
        "Trigger price for stoploss {side} orders cannot be {beyond} than or at the last traded price ({last}).",
    )  # (unverified)

    def place(self, call: HttpCall, now_ns: int, variety: str) -> HttpAnswer:
        """Queue an order. What is refused before it becomes an order is in no book."""
        form = Form.of(call)
        Form({"variety": variety}).choice("variety", OFFERED)
        named, order = self.read(form)
        tags = [] if order.protection is None else ["mktp", f"mktp:{order.protection:.2f}"]
        number = form.text("auction_number") if variety == "auction" else None
        order = replace(
            order,
            # This market never closes, so that an after-market order waits a while for the next "opening".
            not_before=now_ns + AMO_WAIT if variety == "amo" else 0,
            extra={"tags": tags, "variety": variety, "algo_id": form.get("algo_id"), "auction_number": number},
        )
        if variety in _CHAINED:
            order, follow = _CHAINED[variety](named, order, form, tags)
            return succeeded({"order_id": self.begin(named, order, follow, now_ns)})
        freeze = named.instrument.freeze_quantity or order.quantity
        if form.flag("autoslice") and variety == "regular" and order.quantity > freeze:
            return succeeded(self._slices(named, order, tags, now_ns))
        return succeeded({"order_id": self.submitted(named, order, now_ns)[0]})

    def check(self, form: Form, named: Named) -> None:
        tag, ioc = form.get("tag") or "", form.get("validity") == "IOC"
        text = f"Invalid `tag`. It should be at most {LONGEST_TAG} characters."
        KiteError.check(
            (named.is_index, "InputException", "An index cannot be traded: the instrument does not exist."),
            (named.exchange == "MCX" and ioc, "InputException", "IOC orders are not allowed on MCX."),
            (len(tag) > LONGEST_TAG, "InputException", text),
        )

    def _slices(self, named: Named, order: VenueOrder, tags: list[str], now_ns: int) -> dict[str, Any]:
        """Place parts below the freeze quantity; each has a fate of its own."""
        parent = str(now_ns)
        tags = [*tags, "autoslice", f"autoslice:{parent}"]
        fates = self.submit(named, replace(order, extra=order.extra | {"tags": tags}), now_ns, sliced=True)
        told = [{"error": one.child()} if isinstance(one, KiteError) else {"order_id": one} for one in fates]
        return {"order_id": parent, "children": told}

    def modify(self, call: HttpCall, now_ns: int, variety: str, order_id: str) -> HttpAnswer:
        """Queue a change of what the form gives; ``quantity`` is the new total."""
        return succeeded({"order_id": self.change(self.of(variety, order_id), Form.of(call), now_ns)})

    def cancel(self, call: HttpCall, now_ns: int, variety: str, order_id: str) -> HttpAnswer:
        return succeeded({"order_id": self.end(self.of(variety, order_id), now_ns)})

    def of(self, variety: str, order_id: str) -> OrderState:
        """Return an order of a variety. Raises KiteError where it is not in the book, or of another."""
        Form({"variety": variety}).choice("variety", OFFERED)
        state = self.find(order_id)
        KiteError.when(state.order.extra.get("variety", "regular") != variety, *self.unknown)
        return state

    def protection(self, form: Form, named: Named) -> Decimal | None:
        """Return the percent a market order may move; such orders are refused without one since 1 April 2026."""
        bands = _AUTOMATIC_OPTION if named.instrument.option_type else _AUTOMATIC
        return asked_protection(form, "market_protection", self.quote(named).market.last_price, bands)


def _iceberg(named: Named, order: VenueOrder, form: Form, tags: list[str]) -> tuple[VenueOrder, Follow]:
    legs, shown, wire = form.integer("iceberg_legs"), named.units(form.integer("iceberg_quantity")), named.wire_quantity
    fits = LEGS[0] <= legs <= LEGS[1] and 0 < shown < order.quantity <= legs * shown
    text = f"Invalid `iceberg_legs`. It should be {LEGS[0]} to {LEGS[1]} that fit."
    KiteError.when(not fits, "InputException", text)

    def mark(number: int, parts: Sequence[Decimal]) -> dict[str, object]:
        told = {
            "leg": number,
            "legs": len(parts),
            "leg_quantity": wire(shown),
            "total_quantity": wire(order.quantity),
            "remaining_quantity": wire(sum(parts[number:], ZERO)),
        }
        return {"meta": {"iceberg": told}, "tags": [*tags, "icebergord"]}

    return iceberg(order, shown, mark)


def _cover(named: Named, order: VenueOrder, form: Form, tags: list[str]) -> tuple[VenueOrder, Follow]:
    fits = order.product is model.Product.INTRADAY and not order.order_type.has_trigger
    KiteError.when(not fits, "InputException", "Cover orders are MIS orders of type MARKET or LIMIT.")
    wrong = ("InputException", "Invalid `trigger_price`. It should be on the losing side.")
    with KiteError.turning({ValueError: wrong}):
        return order, cover(order, form.number("trigger_price"), {"variety": "co", "tags": []})


_CHAINED: Final = {"iceberg": _iceberg, "co": _cover}
"""Varieties of which one order brings the next."""
