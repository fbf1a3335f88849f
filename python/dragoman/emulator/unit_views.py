"""Records of the venue for brokers whose wire counts as the venue does: fractions, money of one account, US shares.

As in `dragoman.emulator.views`, a broker's rows are tables of paths into these; all numbers are `Decimal`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Generic

from dragoman.emulator.bodies import best
from dragoman.emulator.venue.types import ZERO, MarketView, VenuePosition, VenueProtocol
from dragoman.emulator.views import NamedT
from dragoman.model import Segment

_DIGITS = Decimal("0.000001")


def share(part: Decimal, whole: Decimal) -> Decimal:
    """Return a part of a whole with six digits, 0 of nothing."""
    return (part / whole).quantize(_DIGITS) if whole else ZERO


class StakeView(Generic[NamedT]):
    """A position: what it is worth and cost, and what it made since it was opened and since the last close."""

    def __init__(self, position: VenuePosition, market: MarketView, named: NamedT) -> None:
        self.position, self.market, self.named = position, market, named
        self.quantity = position.quantity
        self.size = abs(self.quantity)
        units, price = self.quantity * named.instrument.multiplier, market.last_price
        self.value, self.cost = units * price, units * position.average_price
        self.profit, self.profit_share = self.value - self.cost, share(self.value - self.cost, abs(self.cost))
        self.today = (price - market.close) * units
        self.today_share = share(self.today, abs(market.close * units))
        self.change_share = share(price - market.close, market.close)


class AccountView:
    """The money of an account without segments; `longs` and `shorts` are what its positions are worth."""

    def __init__(self, venue: VenueProtocol, account: str) -> None:
        self.account, self.funds = account, venue.funds(account)[Segment.ALL]
        held = venue.positions(account)
        values = [one.quantity * _unit_worth(venue, one.instrument_id) for one in held]
        self.longs = sum((value for value in values if value > 0), ZERO)
        self.shorts = sum((value for value in values if value < 0), ZERO)
        self.positions = self.longs + self.shorts
        paid = self.funds.opening + self.funds.payin + self.funds.realised - self.funds.fees
        self.equity = paid + sum((one.unrealised for one in held), ZERO)
        self.cash = self.equity - self.positions
        self.power = max(self.funds.net, ZERO)
        self.margin = self.funds.used + self.funds.blocked


def _unit_worth(venue: VenueProtocol, instrument_id: str) -> Decimal:
    listing = venue.listing(instrument_id)
    return venue.market(instrument_id).last_price * (listing.instrument.multiplier if listing else 1)


class TopView(Generic[NamedT]):
    """The market of an instrument: its last print, `number`-th of its lots, and the top of its book, zeros where empty.

    Attributes
    ----------
    lifted : bool
        Whether the last print was at the offer or above it.
    """

    def __init__(self, market: MarketView, named: NamedT) -> None:
        self.market, self.named = market, named
        self.number = int(market.volume / (named.instrument.lot_size or 1)) % 2**53
        self.lifted = not market.asks or market.last_price >= market.asks[0][0]
        (self.bid, self.bid_size), (self.ask, self.ask_size) = best(market.bids), best(market.asks)


@dataclass(frozen=True, slots=True)
class SpanBar:
    """What a market has done since it opened, as a bar that starts at `start_ns`; its trades are guessed."""

    market: MarketView
    start_ns: int

    @property
    def open(self) -> Decimal:
        return self.market.open

    @property
    def high(self) -> Decimal:
        return self.market.high

    @property
    def low(self) -> Decimal:
        return self.market.low

    @property
    def close(self) -> Decimal:
        return self.market.last_price

    @property
    def volume(self) -> Decimal:
        return self.market.volume

    @property
    def average_price(self) -> Decimal:
        return self.market.average_price

    @property
    def trades(self) -> int:
        return max(1, int(self.volume) // 100)
