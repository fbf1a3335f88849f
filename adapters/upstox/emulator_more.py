"""What an account has, what orders would need and cost, quotes and candles."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from dragoman.emulator.parts import (
    Bar,
    FieldError,
    Form,
    History,
    HttpAnswer,
    HttpCall,
    MarketView,
    VenueOrder,
    VenueProtocol,
    fees,
    indian_rates,
    joined,
    json_body,
    num,
    securities,
)
from dragoman.plugin import model
from dragoman.plugin.records import IST

from .candles import FINE, UNITS
from .emulator_names import Named, NameTable
from .emulator_orders import OrderDesk, product_of
from .emulator_words import (
    UpstoxError,
    full_row,
    funds_row,
    greek_row,
    holding_row,
    ltp_row,
    ohlc_row,
    old_funds_row,
    position_row,
    success,
    timed,
)
from .money import MOST_LEGS

_CAP: Final = Decimal(20)
BROKERAGE: Final = {
    # The broker's list of charges (unverified to the last digit).
    "delivery": (Decimal("0.001"), _CAP),
    "intraday": (Decimal("0.001"), _CAP),
    "future": (Decimal("0.0005"), _CAP),
    "option": (Decimal(1), _CAP),
    "commodity": (Decimal("0.0005"), _CAP),
}
MONTH, QUARTER, DECADE = timedelta(days=31), timedelta(days=92), timedelta(days=3660)
_UNIT: Final = {word: (counts, length) for word, counts, length, _ in UNITS.values()}
_MONTHLY: Final = ("months", range(1, 2), timedelta(days=30))
_QUOTE: Final[dict[str, tuple[Callable[[MarketView, Named], dict[str, Any]], int]]] = {
    "ltp": (ltp_row, 500),
    "ohlc": (ohlc_row, 500),
    "quotes": (full_row, 500),
    "option-greek": (greek_row, 50),
}


class MoneyDesk:
    """The portfolio of one account, and its calculators."""

    def __init__(self, venue: VenueProtocol, names: NameTable, account: str, orders: OrderDesk) -> None:
        self._venue, self._names, self._account, self._orders = venue, names, account, orders

    def funds(self, call: HttpCall, now_ns: int, version: str) -> HttpAnswer:
        found = list(self._venue.funds(self._account).values())
        return success(old_funds_row(found)) if version == "2" else timed(funds_row(found))

    def position_rows(self, *, funded: bool) -> list[dict[str, Any]]:
        return [
            position_row(one, self._venue.market(one.instrument_id), self._names.by_id[one.instrument_id])
            for one in self._venue.positions(self._account)
            if (one.product is model.Product.MTF) is funded
        ]

    def positions(self, call: HttpCall, now_ns: int, version: str) -> HttpAnswer:
        return success(self.position_rows(funded=version == "3"))

    def holdings(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        held = securities(self._venue, self._account)
        return success([holding_row(owned, self._names.by_id[owned.holding.instrument_id]) for owned in held])

    def convert(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        form = json_body(call)
        named = self._names.of(form)
        old, new = (product_of(form, named.exchange, name) for name in ("old_product", "new_product"))
        form.choice("transaction_type", ("BUY", "SELL"))
        size = named.units(form.integer("quantity"))
        found = [one for one in self._venue.positions(self._account) if one.instrument_id == named.instrument_id]
        position = next((one for one in found if one.product is old), None)
        if position is None:
            raise UpstoxError("UDAPI1033", "Position not found", path="instrument_token", value=named.key)
        today = abs(position.quantity - position.overnight_quantity)
        with UpstoxError.refusing(named):
            self._venue.convert(self._account, named.instrument_id, old, new, size, overnight=size > today)
        return success({"status": "complete"})

    def margin(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        rows = json_body(call).raw("instruments")
        if not isinstance(rows, list) or not 0 < len(rows) <= MOST_LEGS:
            raise UpstoxError("UDAPI1102", f"1 to {MOST_LEGS} instruments are allowed", path="instruments")
        forms = [Form(row) for row in rows]
        named = [self._names.of(form, "instrument_key") for form in forms]
        orders = [_calculated(form, one) for form, one in zip(forms, named, strict=True)]
        with UpstoxError.refusing(named[0]):
            needs, together = self._venue.needs(self._account, orders)
        legs = [
            {
                "span_margin": num(need.pledge),
                "exposure_margin": 0,
                "equity_margin": num(need.delivery),
                "net_buy_premium": num(need.premium),
                "additional_margin": 0,
                "tender_margin": 0,
                "total_margin": num(need.total),
            }
            for need in needs
        ]
        required = sum((need.total for need in needs), Decimal(0))
        return success({"required_margin": num(required), "final_margin": num(together), "margins": legs})

    def brokerage(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        form = Form(dict(call.query))
        named, side = self._names.of(form), model.Side(form.choice("transaction_type", ("BUY", "SELL")))
        turnover = named.units(form.integer("quantity")) * form.number("price")
        due = fees(indian_rates(named.instrument, product_of(form, named.exchange), BROKERAGE), side, turnover)
        other = {"transaction": num(due.exchange), "clearing": 0, "sebi_turnover": num(due.regulator), "ipft": 0}
        plan = {"name": "BASIC", "min_expense": 18.5}
        charges = {
            "total": num(due.total),
            "brokerage": num(due.brokerage),
            "taxes": {"gst": num(due.service_tax), "stt": num(due.tax), "stamp_duty": num(due.stamp)},
            **dict.fromkeys(("other_charges", "otherTaxes"), other),
            **dict.fromkeys(("dp_plan", "dpPlan"), plan),
        }
        return success({"charges": charges})


def _calculated(form: Form, named: Named) -> VenueOrder:
    price = form.nonzero("price")
    return VenueOrder(
        instrument_id=named.instrument_id,
        side=model.Side(form.choice("transaction_type", ("BUY", "SELL"))),
        quantity=named.units(form.integer("quantity")),
        order_type=model.OrderType.LIMIT if price else model.OrderType.MARKET,
        product=product_of(form, named.exchange),
        price=price,
    )


class DataDesk:
    """Quotes and candles."""

    def __init__(self, venue: VenueProtocol, names: NameTable, seed: int) -> None:
        self._venue, self._names, self._seed = venue, names, seed

    def quotes(self, call: HttpCall, now_ns: int, kind: str) -> HttpAnswer:
        form = Form(dict(call.query))
        write, most = _QUOTE[kind]
        if kind == "ohlc":
            form.choice("interval", ("1d", "I1", "I30"))
        found = self._names.asked_for(form, most)
        # Keyed by symbol behind a colon, not by what was asked for.
        return success(
            {f"{one.segment}:{one.symbol}": write(self._venue.market(one.instrument_id), one) for one in found}
        )

    def candles(
        self,
        call: HttpCall,
        now_ns: int,
        key: str,
        unit: str,
        interval: str,
        last: str | None = None,
        first: str | None = None,
    ) -> HttpAnswer:
        """Give days of the past, or with no day today's; newest first."""
        named = self._names.by_key.get(key)
        if named is None:
            raise UpstoxError("UDAPI100011", "Invalid Instrument key", path="instrumentKey", value=key)
        counts, length = _UNIT.get(unit, _MONTHLY[1:] if unit == "months" else (range(0), timedelta()))
        UpstoxError.when(
            not interval.isdecimal() or int(interval) not in counts,
            "UDAPI1147",
            "Invalid unit or interval",
            path="interval",
            value=interval,
        )
        now = datetime.fromtimestamp(now_ns // 1_000_000_000, IST)
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        history = History.of(self._seed, named.listing)
        bar = length * int(interval)
        if last is None:
            bars = list(history.bars(today, now, bar))
        else:
            to, longest = _day(last), _longest(unit, int(interval))
            since = _day(first) if first else to - min(longest, MONTH)
            UpstoxError.when(
                to < since or (to - since > longest), "UDAPI1148", "Invalid date range", path="from_date", value=first
            )
            end = min(to + timedelta(days=1), today) - timedelta(seconds=1)
            bars = list(history.bars(since, end, min(bar, timedelta(days=1))))
            bars = joined(bars, monthly=unit == "months") if unit in ("weeks", "months") else bars
        return success({"candles": [_candle(one) for one in reversed(bars)]})


def _day(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=IST)
    except ValueError as error:
        raise FieldError(f"Invalid `date` {text}. It should be yyyy-mm-dd.") from error


def _longest(unit: str, count: int) -> timedelta:
    """Return what one request may span."""
    if unit in ("weeks", "months"):
        return timedelta(days=40_000)
    return DECADE if unit == "days" else MONTH if unit == "minutes" and count <= FINE[0] else QUARTER


def _candle(bar: Bar) -> list[Any]:
    prices = map(num, (bar.open, bar.high, bar.low, bar.close))
    return [f"{bar.start:%Y-%m-%dT%H:%M:%S}+05:30", *prices, bar.volume, bar.oi]
