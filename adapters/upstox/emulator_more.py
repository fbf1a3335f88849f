"""What an account has, what orders would need and cost, quotes and candles."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any, Final

from dragoman.emulator.parts import (
    ZERO,
    Desk,
    FieldError,
    Form,
    HttpAnswer,
    HttpCall,
    Table,
    candle,
    joined,
    json_body,
    num,
    succeeded,
    write,
)
from dragoman.plugin import ChargesTable, model
from dragoman.plugin.values import IST

from .emulator_names import NameTable
from .emulator_orders import WORDS
from .emulator_words import FUNDS, OLD_FUNDS, POSITION, QUOTES, Upstox, UpstoxError, quote_row, timed
from .market import FINE, UNITS
from .money import MOST_LEGS

RATES: Final = ChargesTable.load(__package__)
LEG: Final[Table] = {
    "span_margin": ".pledge",
    "exposure_margin": 0,
    "equity_margin": ".delivery",
    "net_buy_premium": ".premium",
    "additional_margin": 0,
    "tender_margin": 0,
    "total_margin": ".total",
}
_OTHER: Final[Table] = {
    "transaction": ".transaction",
    "clearing": ".clearing",
    "sebi_turnover": ".regulator",
    "ipft": ".protection",
}
_PLAN: Final[Table] = {"name": "BASIC", "min_expense": 18.5}
CHARGES: Final[Table] = {
    "total": ".total",
    "brokerage": ".brokerage",
    "taxes": {"gst": ".service_tax", "stt": ".tax", "stamp_duty": ".stamp"},
    "other_charges": _OTHER,
    "otherTaxes": _OTHER,
    "dp_plan": _PLAN,
    "dpPlan": _PLAN,
}
MONTH, QUARTER, DECADE = timedelta(days=31), timedelta(days=92), timedelta(days=3660)
_DAY: Final = timedelta(days=1)
_UNIT: Final = {word: (counts, length) for word, counts, length, _ in UNITS.values()} | {
    "months": (range(1, 2), timedelta(days=30))
}
_LONGEST: Final = {"hours": QUARTER, "days": DECADE, "weeks": timedelta(days=40_000), "months": timedelta(days=40_000)}


class AccountDesk(Upstox, Desk[NameTable]):
    """The portfolio of one account, its calculators, quotes and candles."""

    def money(self, call: HttpCall, now_ns: int, version: str) -> HttpAnswer:
        return succeeded(write(OLD_FUNDS, self.funds())) if version == "2" else timed(write(FUNDS, self.funds()))

    def rows(self, *, funded: bool) -> list[dict[str, Any]]:
        """Return the positions, those on the broker's money or the others."""
        held = (one for one in self.positions() if (one.position.product is model.Product.MTF) is funded)
        return [write(POSITION, one) for one in held]

    def open(self, call: HttpCall, now_ns: int, version: str) -> HttpAnswer:
        return succeeded(self.rows(funded=version == "3"))

    def convert(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        form = json_body(call)
        named = self.names.of(form)
        old, new = WORDS.products_of(form, named, "old_product", "new_product")
        WORDS.side_of(form)
        size = named.units(form.integer("quantity"))
        held = [one.position for one in self.positions() if one.named is named and one.position.product is old]
        UpstoxError.when(not held, "UDAPI1033", "Position not found", path="instrument_token", value=named.key)
        today = abs(held[0].quantity - held[0].overnight_quantity)
        self.move(named, old, new, size, overnight=size > today)
        return succeeded({"status": "complete"})

    def margin(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        rows, path = json_body(call).raw("instruments"), "instruments"
        good = isinstance(rows, list) and 0 < len(rows) <= MOST_LEGS
        UpstoxError.when(not good, "UDAPI1102", f"1 to {MOST_LEGS} instruments are allowed", path=path)
        types = ("LIMIT" if Form(row).nonzero("price") else "MARKET" for row in rows)
        forms = [Form(row | {"order_type": word}) for row, word in zip(rows, types, strict=True)]
        needs, together = self.needs([WORDS.terms(form, self.names.of(form, "instrument_key")) for form in forms])
        required = sum((need.total for need in needs), ZERO)
        told = {"required_margin": num(required), "final_margin": num(together.total)}
        return succeeded(told | {"margins": [write(LEG, need) for need in needs]})

    def brokerage(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        form = Form.query(call)
        found = self.fee(WORDS, form, self.names.of(form), form.number("price"), RATES, now_ns)
        return succeeded({"charges": write(CHARGES, found)})

    # -- quotes and candles ------------------------------------------------------------------------------------------

    def quotes(self, call: HttpCall, now_ns: int, kind: str) -> HttpAnswer:
        form = Form.query(call)
        if kind == "ohlc":
            form.choice("interval", ("1d", "I1", "I30"))
        found = self.names.asked_for(form, QUOTES[kind][-1])
        # Keyed by symbol behind a colon, not by what was asked for.
        return succeeded({f"{one.segment}:{one.symbol}": quote_row(self.quote(one), kind) for one in found})

    def history(
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
        named = self.names.of(Form({"instrumentKey": key}), "instrumentKey")
        counts, length = _UNIT.get(unit, (range(0), timedelta()))
        good = interval.isdecimal() and int(interval) in counts
        UpstoxError.when(not good, "UDAPI1147", "Invalid unit or interval", path="interval", value=interval)
        now = datetime.fromtimestamp(now_ns // 1_000_000_000, IST)
        today = datetime.combine(now, time(), IST)
        since, end, bar = today, now, length * int(interval)
        if last is not None:
            to = _day(last)
            longest = _LONGEST.get(unit, MONTH if int(interval) <= FINE[0] else QUARTER)
            since = _day(first) if first else to - min(longest, MONTH)
            good = since <= to <= since + longest
            UpstoxError.when(not good, "UDAPI1148", "Invalid date range", path="from_date", value=first)
            end, bar = min(to + _DAY, today) - timedelta(seconds=1), min(bar, _DAY)
        bars = list(self.past(named).bars(since, end, bar))
        if last is not None and unit in ("weeks", "months"):
            bars = joined(bars, monthly=unit == "months")
        return succeeded({"candles": [candle(one, f"{one.start:%Y-%m-%dT%H:%M:%S}+05:30") for one in reversed(bars)]})


def _day(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=IST)
    except ValueError as error:
        raise FieldError(f"Invalid `date` {text}. It should be yyyy-mm-dd.") from error
