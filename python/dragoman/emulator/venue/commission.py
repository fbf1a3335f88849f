"""What a venue keeps of each trade: a part of what the trade brings in, or of its value in another coin.

Crypto venues take it out of what a trade brings: coins of a buyer, money of a seller. Who holds the venue's own coin
may pay with that instead, at a discount, as long as there is enough of it. On margin it is money.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from dragoman.emulator.venue.margin import to_decimal
from dragoman.emulator.venue.market import Market

if TYPE_CHECKING:
    from dragoman.emulator.venue.accounts import Account


@dataclass(frozen=True, slots=True)
class Commission:
    """Rates of one exchange, as fractions of a trade's value.

    Attributes
    ----------
    maker, taker : Decimal
        Of who waited in the book, and of who came to it.
    discount : Decimal
        Fraction that is left of it where an account pays with the venue's own coin.
    """

    maker: Decimal
    taker: Decimal
    discount: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True)
class Charged:
    """The commission of one trade: how much, of which asset; `coin` is the market whose holdings it came out of."""

    amount: Decimal = Decimal(0)
    asset: str = ""
    coin: Market | None = None


NOT_CHARGED = Charged()


def commission_of(
    rates: Commission, account: Account, market: Market, lots: int, ticks: int, *, buys: bool, maker: bool
) -> Charged:
    """Return what a trade costs, to 8 digits, half to even."""
    instrument = market.listing.instrument
    rate = Fraction(rates.maker if maker else rates.taker)
    units = lots * Fraction(market.lot)
    value = units * ticks * Fraction(market.tick) * Fraction(instrument.multiplier)
    coin = account.fee_coin
    if coin is not None and market.listing.settles_at_once:
        amount = to_decimal(rate * Fraction(rates.discount) * value / (coin.last * Fraction(coin.tick)))
        if amount <= account.owned(coin):
            return Charged(amount, coin.listing.instrument.name, coin)
    if buys and market.listing.settles_at_once:
        return Charged(to_decimal(rate * units), instrument.name, market)
    return Charged(to_decimal(rate * value), instrument.currency)
