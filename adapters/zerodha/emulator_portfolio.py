"""What an account has: funds, positions, holdings of every kind, and the change of a position's product."""

from __future__ import annotations

from typing import Any, Final

from dragoman.emulator.contract import HttpAnswer, HttpCall
from dragoman.emulator.forms import Form
from dragoman.emulator.sums import securities, worth
from dragoman.emulator.venue.types import VenueProtocol
from dragoman.plugin import model

from .emulator_names import NameTable
from .emulator_words import (
    PRODUCT,
    KiteError,
    funds_row,
    holding_row,
    position_row,
    refusing,
    success,
    summary_row,
)

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
