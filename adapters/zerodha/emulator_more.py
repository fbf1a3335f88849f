"""What an account has; what orders would need and cost; what was: funds, positions, holdings, margins, candles."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from dragoman.emulator.parts import (
    Bar,
    FieldError,
    Form,
    History,
    HttpAnswer,
    HttpCall,
    OrderNeed,
    Rates,
    VenueOrder,
    VenueProtocol,
    fees,
    indian_rates,
    num,
    records,
    securities,
    worth,
)
from dragoman.plugin import model

from .candles import INTERVALS
from .emulator_names import Named, NameTable
from .emulator_words import (
    ORDER_TYPE,
    PRODUCT,
    KiteError,
    funds_row,
    holding_row,
    position_row,
    refusing,
    success,
    summary_row,
)
from .words import IST

LENGTH: Final = {word: (length, timedelta(days=days)) for word, length, days in INTERVALS.values()}
_CAP: Final = Decimal(20)
BROKERAGE: Final = {
    # The broker's list of charges (unverified to the last digit); delivery is free.
    "intraday": (Decimal("0.0003"), _CAP),
    "future": (Decimal("0.0003"), _CAP),
    "option": (Decimal(1), _CAP),
    "commodity": (Decimal("0.0003"), _CAP),
}


SEGMENTS: Final = {"equity": model.Segment.EQUITY, "commodity": model.Segment.COMMODITY}
_COMPACT: Final = ("exchange", "tradingsymbol", "instrument_token", "t1_quantity", "quantity")


class PortfolioDesk:
    """The portfolio of one account."""

    def __init__(self, venue: VenueProtocol, names: NameTable, account: str) -> None:
        self._venue, self._names, self._account = venue, names, account

    def margins(self, call: HttpCall, now_ns: int, segment: str | None = None) -> HttpAnswer:
        funds = self._venue.funds(self._account)
        rows = {word: funds_row(funds[one]) for word, one in SEGMENTS.items() if one in funds}
        if segment is None:
            return success(rows)
        if segment not in rows:
            raise KiteError("InputException", f"Invalid `segment`. It should be one of {', '.join(rows)}.")
        return success(rows[segment])

    def positions(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        held = [
            (one, self._venue.market(one.instrument_id), self._names.by_id[one.instrument_id])
            for one in self._venue.positions(self._account)
        ]
        return success(
            {
                "net": [position_row(*one, net=True) for one in held],
                "day": [
                    position_row(*one, net=False) for one in held if one[0].day_buy_quantity or one[0].day_sell_quantity
                ],
            }
        )

    def _holdings(self) -> list[dict[str, Any]]:
        held = securities(self._venue, self._account)
        return [holding_row(owned, self._names.by_id[owned.holding.instrument_id]) for owned in held]

    def holdings(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        return success(self._holdings())

    def summary(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        return success(summary_row(worth(securities(self._venue, self._account))))

    def compact(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        return success([{name: row[name] for name in _COMPACT} for row in self._holdings()])

    def auctions(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        """Offer every holding: the numbers count up from 1 (the broker lists those short in its own settlement)."""
        return success([row | {"auction_number": str(at)} for at, row in enumerate(self._holdings(), 1)])

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


class MoreDesk:
    """Calculators and history."""

    def __init__(self, venue: VenueProtocol, names: NameTable, account: str, seed: int) -> None:
        self._venue, self._names, self._account, self._seed = venue, names, account, seed

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
        orders = [read_order(named, form) for named, form in pairs]
        with refusing(pairs[0][0]):
            needs, together = self._venue.needs(self._account, orders, positions=positions)
        rows = [
            _margin_row(named, need, self._charges(named, form, order.side))
            for (named, form), order, need in zip(pairs, orders, needs, strict=True)
        ]
        return rows, together

    def _charges(self, named: Named, form: Form, side: model.Side) -> dict[str, Any]:
        price = form.nonzero("average_price") or form.nonzero("price")
        price = price or self._venue.market(named.instrument_id).last_price
        value = named.units(form.integer("quantity")) * price * named.instrument.multiplier
        product = PRODUCT.get(form.get("product") or "", model.Product.DELIVERY)
        return _charges_row(indian_rates(named.instrument, product, BROKERAGE), value, side)

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
        length, longest = LENGTH[Form({"interval": interval}).choice("interval", LENGTH)]
        first, last = (form.moment(name, IST) for name in ("from", "to"))
        bars = History.of(self._seed, named.listing).stretch(first, last, length, longest, now_ns)
        with_oi = form.get("oi") == "1"
        return success({"candles": [_candle(bar, with_oi=with_oi) for bar in bars]})

    def trigger_range(self, call: HttpCall, now_ns: int, side: str) -> HttpAnswer:
        """Give a band of 2 to 10 percent on the losing side of the market (the broker's varies by instrument)."""
        near, far = (0.98, 0.9) if side == "buy" else (1.02, 1.1)
        known = [
            (key, named, float(self._venue.market(named.instrument_id).last_price))
            for key, named in self._names.asked(call, "i", 500).items()
        ]
        bands = [
            (key, named.token, sorted((round(last * near, 4), round(last * far, 4)))) for key, named, last in known
        ]
        return success({key: {"instrument_token": token, "lower": a, "upper": b} for key, token, (a, b) in bands})


def read_order(named: Named, form: Form) -> VenueOrder:
    """Read an order that is not placed: of a calculator, a trigger, an alert. Raises FieldError."""
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


def _candle(bar: Bar, *, with_oi: bool) -> list[Any]:
    prices = map(num, (bar.open, bar.high, bar.low, bar.close))
    return [f"{bar.start:%Y-%m-%dT%H:%M:%S%z}", *prices, bar.volume, *([bar.oi] if with_oi else [])]


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
        "tradingsymbol": named.symbol if named else "",
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
