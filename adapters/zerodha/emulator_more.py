"""What the broker answers beside orders: margins before the fact, charges, candles, holdings, GTTs, alerts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from dragoman.emulator.contract import HttpAnswer, HttpCall
from dragoman.emulator.counting import DAY
from dragoman.emulator.fees import Rates, fees
from dragoman.emulator.forms import FieldError, Form, records
from dragoman.emulator.history import History, Sessions
from dragoman.emulator.triggers import Leg, Resting, TriggerBook
from dragoman.emulator.venue.types import OrderNeed, VenueOrder, VenueProtocol
from dragoman.plugin import model

from .candles import INTERVALS
from .emulator_names import Named, NameTable
from .emulator_words import ORDER_TYPE, PRODUCT, KiteError, holding_row, ist, num, refusing, success
from .words import IST

GTT_LIFE: Final = 365 * DAY
GTT_SHOWN: Final = 7 * DAY
LENGTH: Final = {word: (length, days) for word, length, days in INTERVALS.values()}
_SESSIONS: Final = {"CDS": Sessions(540, 1020), "BCD": Sessions(540, 1020), "MCX": Sessions(540, 1410)}
_EQUITY_HOURS: Final = Sessions(555, 930)
_RATES: Final = {
    # The broker's list of charges (unverified to the last digit): delivery, intraday, futures, options, commodities.
    "CNC": Rates(
        "stt", Decimal("0.001"), Decimal("0.001"), Decimal("0.0000297"), Decimal("0.000001"), Decimal("0.00015")
    ),
    "MIS": Rates(
        "stt",
        Decimal(0),
        Decimal("0.00025"),
        Decimal("0.0000297"),
        Decimal("0.000001"),
        Decimal("0.00003"),
        Decimal("0.0003"),
        Decimal(20),
    ),
    "FUT": Rates(
        "stt",
        Decimal(0),
        Decimal("0.0002"),
        Decimal("0.0000173"),
        Decimal("0.000001"),
        Decimal("0.00002"),
        Decimal("0.0003"),
        Decimal(20),
    ),
    "OPT": Rates(
        "stt",
        Decimal(0),
        Decimal("0.001"),
        Decimal("0.0003503"),
        Decimal("0.000001"),
        Decimal("0.00003"),
        Decimal(1),
        Decimal(20),
    ),
    "MCX": Rates(
        "ctt",
        Decimal(0),
        Decimal("0.0001"),
        Decimal("0.000021"),
        Decimal("0.000001"),
        Decimal("0.00002"),
        Decimal("0.0003"),
        Decimal(20),
    ),
}


class MoreDesk:
    """The rest of one account's API."""

    def __init__(self, venue: VenueProtocol, names: NameTable, account: str, seed: int) -> None:
        self._venue, self._names, self._account, self._seed = venue, names, account, seed
        self.gtts = TriggerBook(venue, account, GTT_LIFE, first=100_001)

    # -- holdings ------------------------------------------------------------------------------------------------------

    def holding_rows(self) -> list[dict[str, Any]]:
        sold = {
            position.instrument_id: max(Decimal(0), -position.quantity)
            for position in self._venue.positions(self._account)
            if position.product is model.Product.DELIVERY
        }
        return [
            holding_row(
                holding,
                self._venue.market(holding.instrument_id),
                self._names.by_id[holding.instrument_id],
                sold.get(holding.instrument_id, Decimal(0)),
            )
            for holding in self._venue.holdings(self._account)
        ]

    def holdings(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        return success(self.holding_rows())

    def compact(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        kept = ("exchange", "tradingsymbol", "instrument_token", "t1_quantity", "quantity")
        return success([{name: row[name] for name in kept} for row in self.holding_rows()])

    def auctions(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        """Offer every holding: the numbers count up from 1 (the broker lists those short in its own settlement)."""
        return success([row | {"auction_number": str(at)} for at, row in enumerate(self.holding_rows(), 1)])

    def authorise(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        return success({"request_id": f"emu{now_ns}"})

    def convert(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        form = Form.of(call)
        named, quantity = self._names.of(form), form.integer("quantity")
        form.choice("transaction_type", ("BUY", "SELL"))
        part = form.choice("position_type", ("day", "overnight"))
        old, new = (PRODUCT[form.choice(name, PRODUCT)] for name in ("old_product", "new_product"))
        with refusing(named):
            size, carried = named.units(quantity), part == "overnight"
            self._venue.convert(self._account, named.instrument_id, old, new, size, overnight=carried)
        return success(True)

    # -- margins and charges -------------------------------------------------------------------------------------------

    def margins(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        return success(self._margins(call, positions=True)[0])

    def basket(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        positions = dict(call.query).get("consider_positions", "true").lower() != "false"
        rows, together = self._margins(call, positions=positions)
        nothing = _charges_row(None, Decimal(0), model.Side.BUY)
        first = _margin_row(
            None, OrderNeed(pledge=sum((Decimal(str(row["total"])) for row in rows), Decimal(0))), nothing
        )
        both = {"initial": first, "final": _margin_row(None, OrderNeed(pledge=together), nothing)}
        if dict(call.query).get("mode") == "compact":
            return success(both)
        return success(both | {"orders": rows, "charges": nothing})

    def _margins(self, call: HttpCall, *, positions: bool) -> tuple[list[dict[str, Any]], Decimal]:
        forms = records(call.body)
        pairs = [(self._names.of(form), form) for form in forms]
        orders = [self._order(named, form) for named, form in pairs]
        with refusing(pairs[0][0]):
            needs, together = self._venue.needs(self._account, orders, positions=positions)
        rows = [
            _margin_row(named, need, self._charges(named, form, order.side))
            for (named, form), order, need in zip(pairs, orders, needs, strict=True)
        ]
        return rows, together

    def _order(self, named: Named, form: Form) -> VenueOrder:
        kind = ORDER_TYPE[form.choice("order_type", ORDER_TYPE)]
        return VenueOrder(
            instrument_id=named.instrument_id,
            side=model.Side(form.choice("transaction_type", ("BUY", "SELL"))),
            quantity=named.units(form.integer("quantity")),
            order_type=kind,
            product=PRODUCT[form.choice("product", PRODUCT)],
            price=form.number("price") if kind.has_price else None,
            trigger_price=form.number("trigger_price") if kind.has_trigger else None,
        )

    def _charges(self, named: Named, form: Form, side: model.Side) -> dict[str, Any]:
        price = form.nonzero("average_price") or form.nonzero("price")
        price = price or self._venue.market(named.instrument_id).last_price
        value = named.units(form.integer("quantity")) * price * named.listing.instrument.multiplier
        return _charges_row(_rates(named, form), value, side)

    def charges(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        return success([self._contract_note(form) for form in records(call.body)])

    def _contract_note(self, form: Form) -> dict[str, Any]:
        named, side = self._names.of(form), model.Side(form.choice("transaction_type", ("BUY", "SELL")))
        if not form.text("order_id") or not form.nonzero("average_price"):
            raise FieldError("Invalid `average_price`. It should be above 0.")
        echoed = ("transaction_type", "tradingsymbol", "exchange", "variety", "product", "order_type")
        row: dict[str, Any] = {name: form.get(name) or "" for name in echoed}
        numbers = {"quantity": form.integer("quantity"), "price": num(form.number("average_price"))}
        return row | numbers | {"charges": self._charges(named, form, side)}

    # -- history -------------------------------------------------------------------------------------------------------

    def candles(self, call: HttpCall, now_ns: int, token: str, interval: str) -> HttpAnswer:
        form = Form(dict(call.query))
        named = self._names.by_token.get(int(token))
        if named is None:
            raise FieldError("invalid token")
        length, days = LENGTH[Form({"interval": interval}).choice("interval", LENGTH)]
        first, last = (form.moment(name, IST) for name in ("from", "to"))
        listing, now = named.listing, datetime.fromtimestamp(now_ns // 1_000_000_000, IST)
        hours = _SESSIONS.get(named.exchange, _EQUITY_HOURS)
        tick = listing.instrument.tick_size or Decimal("0.01")
        history = History(self._seed, named.instrument_id, listing.reference, tick, hours)
        oi = form.get("oi") == "1"
        history.check(first, last, timedelta(days=days))
        return success(
            {
                "candles": [
                    [
                        f"{bar.start:%Y-%m-%dT%H:%M:%S%z}",
                        *map(num, (bar.open, bar.high, bar.low, bar.close)),
                        bar.volume,
                    ]
                    + ([bar.oi] if oi else [])
                    for bar in history.bars(first, min(last, now), length)
                ]
            }
        )

    def trigger_range(self, call: HttpCall, now_ns: int, side: str) -> HttpAnswer:
        """Give a band of 2 to 10 percent on the losing side of the market (the broker's varies by instrument)."""
        near, far = (0.98, 0.9) if side == "buy" else (1.02, 1.1)
        found = [(key, self._names.by_key.get(key)) for name, key in call.query if name == "i"]
        known = [
            (key, named, float(self._venue.market(named.instrument_id).last_price)) for key, named in found if named
        ]
        bands = [
            (key, named.token, sorted((round(last * near, 4), round(last * far, 4)))) for key, named, last in known
        ]
        return success({key: {"instrument_token": token, "lower": a, "upper": b} for key, token, (a, b) in bands})

    # -- GTT -----------------------------------------------------------------------------------------------------------

    def gtt_list(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        return success([self._gtt_row(rest) for rest in self.gtts.since(now_ns - GTT_SHOWN)])

    def gtt(self, call: HttpCall, now_ns: int, number: str | None = None) -> HttpAnswer:
        """Place, read, change or delete a trigger."""
        try:
            if number is None:
                rest = self.gtts.place(*self._gtt_terms(call), now_ns)
            elif call.method == "GET":
                return success(self._gtt_row(self.gtts.get(int(number))))
            else:
                rest = self.gtts.active(int(number))
                if call.method == "PUT":
                    self.gtts.change(rest, *self._gtt_terms(call), now_ns)
                else:
                    self.gtts.delete(rest, now_ns)
        except LookupError as missing:
            raise KiteError("GeneralException", "Trigger not found.", 404) from missing
        except ValueError as wrong:
            raise FieldError(f"Trigger was invalid: {wrong}.") from wrong
        return success({"trigger_id": rest.number})

    def _gtt_terms(self, call: HttpCall) -> tuple[list[Leg], Decimal]:
        form = Form.of(call)
        count = {"single": 1, "two-leg": 2}[form.choice("type", ("single", "two-leg"))]
        condition, orders = form.record("condition", dict), [Form(one) for one in form.record("orders", list)]
        named, triggers = self._names.of(Form(condition)), condition.get("trigger_values")
        if not isinstance(triggers, list) or not len(triggers) == len(orders) == count:
            raise FieldError("Invalid `trigger_values`. There should be one for each order.")
        legs = []
        for trigger, order in zip(triggers, orders, strict=True):
            if order.choice("order_type", ("LIMIT",)) and self._names.of(order) is not named:
                raise FieldError("Invalid `orders`. They should be in the instrument of the condition.")
            legs.append(Leg(Form({"trigger_values": trigger}).number("trigger_values"), self._order(named, order)))
        return legs, Form(condition).number("last_price")

    def _gtt_row(self, rest: Resting) -> dict[str, Any]:
        named = self._names.by_id[rest.instrument_id]
        names = {"exchange": named.exchange, "tradingsymbol": named.tradingsymbol}
        return {
            "id": rest.number,
            "user_id": self._account,
            "parent_trigger": None,
            "type": "single" if len(rest.legs) == 1 else "two-leg",
            "created_at": ist(rest.created_ns),
            "updated_at": ist(rest.updated_ns),
            "expires_at": ist(rest.expires_ns),
            "status": rest.status,
            "condition": names
            | {
                "last_price": num(rest.placed_at),
                "trigger_values": [num(leg.trigger) for leg in rest.legs],
                "instrument_token": named.token,
            },
            "orders": [self._leg_row(rest, leg, names, named) for leg in rest.legs],
            "meta": {},
        }

    def _leg_row(self, rest: Resting, leg: Leg, names: Mapping[str, str], named: Named) -> dict[str, Any]:
        order = leg.order
        row = dict(names) | {
            "product": next(word for word, value in PRODUCT.items() if value is order.product),
            "order_type": "LIMIT",
            "transaction_type": order.side.value,
            "quantity": named.wire_quantity(order.quantity),
            "price": num(order.price or Decimal(0)),
        }
        if leg.fired_ns is None:
            return row | {"result": None}
        fate = {
            "status": "failed" if leg.refusal else "success",
            "order_id": leg.order_id,
            "rejection_reason": leg.refusal or "",
        }
        told = {
            "account_id": self._account,
            "validity": "DAY",
            "meta": json.dumps({"app_id": 1, "gtt": rest.number}),
            "timestamp": ist(leg.fired_ns),
            "triggered_at": num(leg.fired_at or Decimal(0)),
            "order_result": fate,
        }
        return row | {"result": row | told}


def _rates(named: Named, form: Form) -> Rates:
    instrument = named.listing.instrument
    if named.exchange in ("MCX", "CDS", "BCD"):
        return _RATES["MCX"]
    if instrument.expiry is not None:
        return _RATES["OPT" if instrument.option_type else "FUT"]
    return _RATES["MIS" if form.get("product") == "MIS" else "CNC"]


def _charges_row(rates: Rates | None, turnover: Decimal, side: model.Side) -> dict[str, Any]:
    due = fees(rates or Rates(""), side, turnover)
    tax = num(due.service_tax)
    return {
        "transaction_tax": num(due.tax),
        "transaction_tax_type": rates.tax_name if rates else "",
        "exchange_turnover_charge": num(due.exchange),
        "sebi_turnover_charge": num(due.regulator),
        "brokerage": num(due.brokerage),
        "stamp_duty": num(due.stamp),
        "gst": {"igst": tax, "cgst": 0, "sgst": 0, "total": tax},
        "total": num(due.total),
    }


def _margin_row(named: Named | None, need: OrderNeed, charges: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "" if named is None else "commodity" if named.exchange == "MCX" else "equity",
        "tradingsymbol": named.tradingsymbol if named else "",
        "exchange": named.exchange if named else "",
        "span": num(need.pledge),
        "exposure": 0,
        "option_premium": num(need.premium),
        "additional": 0,
        "bo": 0,
        "cash": 0,
        "var": num(need.delivery),
        "pnl": {"realised": 0, "unrealised": 0},
        "leverage": 1 if named else 0,
        "charges": dict(charges),
        "total": num(need.total),
    }
