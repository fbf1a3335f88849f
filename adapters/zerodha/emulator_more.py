"""What an account has; what orders would need and cost; what was: funds, positions, holdings, margins, candles."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from dragoman.emulator.parts import (
    ZERO,
    Desk,
    Fees,
    Form,
    HttpAnswer,
    HttpCall,
    NeedView,
    OrderNeed,
    Table,
    num,
    records,
    succeeded,
    write,
)
from dragoman.plugin import ChargesTable, model
from dragoman.plugin.values import IST

from .candles import INTERVALS
from .emulator_names import Named, NameTable
from .emulator_orders import WORDS
from .emulator_words import FUNDS, HOLDING, POSITION, Kite, KiteError

LENGTH: Final = {word: (length, timedelta(days=days)) for word, length, days in INTERVALS.values()}
RATES: Final = ChargesTable.load(__package__)
_RUPEE: Final = Decimal(1)
ECHOED: Final = ("transaction_type", "tradingsymbol", "exchange", "variety", "product", "order_type")
SEGMENTS: Final = {"equity": model.Segment.EQUITY, "commodity": model.Segment.COMMODITY}
SUMMARY: Final[Table] = {
    "total_pnl": ".profit",
    "total_pnl_percent": ".profit_percent",
    "today_pnl": ".profit_today",
    "today_pnl_percent": ".profit_today_percent",
    "invested_amount": ".invested",
    "current_value": ".current",
}
CHARGES: Final[Table] = {
    "transaction_tax": ".tax",
    "transaction_tax_type": ".tax_name",
    "exchange_turnover_charge": ".exchange",
    "sebi_turnover_charge": ".regulator",
    "brokerage": ".brokerage",
    "stamp_duty": ".stamp",
    "gst": {"igst": ".service_tax", "cgst": 0, "sgst": 0, "total": ".service_tax"},
    "total": ".total",
}
MARGIN: Final[Table] = {
    "type": "",
    "tradingsymbol": "",
    "exchange": "",
    "span": ".pledge",
    "exposure": 0,
    "option_premium": ".premium",
    "additional": 0,
    "bo": 0,
    "cash": 0,
    "var": ".delivery",
    "pnl": {"realised": 0, "unrealised": 0},
    "leverage": 0,
    "total": ".total",
}


class AccountDesk(Kite, Desk[NameTable]):
    """The portfolio of one account, its calculators, and history."""

    def money(self, call: HttpCall, now_ns: int, segment: str | None = None) -> HttpAnswer:
        opened = self.venue.funds(self.account)
        rows = {word: write(FUNDS, self.funds(one)) for word, one in SEGMENTS.items() if one in opened}
        return succeeded(rows if segment is None else rows[Form({"segment": segment}).choice("segment", rows)])

    def all(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        today = [one for one in self.positions(net=False) if one.bought.quantity or one.sold.quantity]
        lists = {"net": self.positions(), "day": today}
        return succeeded({word: [write(POSITION, one) for one in found] for word, found in lists.items()})

    def auctions(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        """Offer every holding: the numbers count up from 1 (the broker lists those short in its own settlement)."""
        rows = [write(HOLDING, one) | {"auction_number": str(at)} for at, one in enumerate(self.holdings(), 1)]
        return succeeded(rows)

    def authorise(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        return succeeded({"request_id": f"emu{now_ns}"})

    def convert(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        form = Form.of(call)
        named, _ = self.names.of(form), WORDS.side_of(form)
        old, new = WORDS.products_of(form, named, "old_product", "new_product")
        overnight = form.choice("position_type", ("day", "overnight")) == "overnight"
        self.move(named, old, new, named.units(form.integer("quantity")), overnight=overnight)
        return succeeded(True)

    # -- margins and charges -------------------------------------------------------------------------------------------

    def margins(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        return succeeded([self._margin(one, now_ns) for one in self.reckon(WORDS, records(call.body))[0]])

    def basket(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        query = Form.query(call)
        positions = query.flag("consider_positions", default=True)
        found, together = self.reckon(WORDS, records(call.body), positions=positions)
        alone = OrderNeed(pledge=sum((one.need.total for one in found), ZERO))
        nothing = {"charges": write(CHARGES, Fees())}
        told = {"initial": write(MARGIN, alone) | nothing, "final": write(MARGIN, together) | nothing}
        whole = nothing | {"orders": [self._margin(one, now_ns) for one in found]}
        return succeeded(told if query.get("mode") == "compact" else told | whole)

    def _margin(self, one: NeedView[Named], now_ns: int) -> dict[str, Any]:
        told = {
            "type": "commodity" if one.named.exchange == "MCX" else "equity",
            "tradingsymbol": one.named.symbol,
            "exchange": one.named.exchange,
            "leverage": 1,
            "charges": self._charges(one.named, one.form, now_ns),
        }
        return write(MARGIN, one.need) | told

    def _charges(self, named: Named, form: Form, now_ns: int) -> dict[str, Any]:
        price = form.nonzero("average_price") or form.nonzero("price") or self.quote(named).market.last_price
        found = self.fee(WORDS, form, named, price, RATES, now_ns)
        # The one line that recorded replies round, and to the rupee.
        return write(CHARGES, replace(found, stamp=found.stamp.quantize(_RUPEE, ROUND_HALF_UP)))

    def charges(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        return succeeded([self._contract_note(form, now_ns) for form in records(call.body)])

    def _contract_note(self, form: Form, now_ns: int) -> dict[str, Any]:
        free = form.text("order_id") and not form.nonzero("average_price")
        KiteError.when(free, "InputException", "Invalid `average_price`. It should be above 0.")
        numbers = {"quantity": form.integer("quantity"), "price": num(form.number("average_price"))}
        charges = {"charges": self._charges(self.names.of(form), form, now_ns)}
        return {name: form.get(name) or "" for name in ECHOED} | numbers | charges

    # -- history -------------------------------------------------------------------------------------------------------

    def history(self, call: HttpCall, now_ns: int, token: str, interval: str) -> HttpAnswer:
        named = KiteError.found(self.names.by_token.get(int(token)), "InputException", "invalid token")
        form = Form.query(call)
        length = LENGTH[Form({"interval": interval}).choice("interval", LENGTH)]
        stretch, oi = (form.moment("from", IST), form.moment("to", IST)), form.get("oi") == "1"
        return succeeded(
            {"candles": self.candles(named, stretch, length, "{:%Y-%m-%dT%H:%M:%S%z}".format, now_ns, oi=oi)}
        )

    def trigger_range(self, call: HttpCall, now_ns: int, side: str) -> HttpAnswer:
        """Give a band of 2 to 10 percent on the losing side of the market (the broker's varies by instrument)."""
        near, far = (0.98, 0.9) if side == "buy" else (1.02, 1.1)

        def band(named: Named) -> dict[str, Any]:
            last = float(self.quote(named).market.last_price)
            lower, upper = sorted((round(last * near, 4), round(last * far, 4)))
            return {"instrument_token": named.token, "lower": lower, "upper": upper}

        return succeeded({key: band(named) for key, named in self.names.asked(call, "i", 500).items()})
