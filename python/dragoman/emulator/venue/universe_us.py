"""A United States market to trade in: shares, whole or in fractions, and options on some of them.

Names and the rules of ticks, fractions and expiries are those of the market; prices are made up around realistic
levels. Accounts there know no products: everything is DELIVERY, bought and sold short on margin, and carried.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from dragoman.emulator.venue.risk import exchange_date
from dragoman.emulator.venue.rng import salt
from dragoman.emulator.venue.types import Listing
from dragoman.emulator.venue.universe import premium
from dragoman.model import AssetClass, CanonicalId, IdKind, Instrument, InstrumentType, OptionType, Product

# symbol | name | price | exchange | whole shares only: w | strike step of its options (empty: none are listed)
_SHARES: Final = """
AAPL|Apple Inc.|232.50|NASDAQ||5
MSFT|Microsoft Corporation|472.10|NASDAQ||
NVDA|NVIDIA Corporation|178.35|NASDAQ||5
AMZN|Amazon.com Inc.|221.40|NASDAQ||
GOOGL|Alphabet Inc. Class A|248.90|NASDAQ||
META|Meta Platforms Inc.|645.20|NASDAQ||
TSLA|Tesla Inc.|398.70|NASDAQ||
AMD|Advanced Micro Devices Inc.|203.15|NASDAQ||
NFLX|Netflix Inc.|112.80|NASDAQ||
INTC|Intel Corporation|36.42|NASDAQ||
CSCO|Cisco Systems Inc.|76.30|NASDAQ||
PLTR|Palantir Technologies Inc.|168.25|NASDAQ||
BRK.B|Berkshire Hathaway Inc. Class B|498.30|NYSE||
JPM|JPMorgan Chase & Co.|301.60|NYSE||
BAC|Bank of America Corporation|52.45|NYSE||
V|Visa Inc.|336.90|NYSE||
WMT|Walmart Inc.|104.75|NYSE||
XOM|Exxon Mobil Corporation|117.20|NYSE||
KO|Coca-Cola Company|71.35|NYSE||
PFE|Pfizer Inc.|24.88|NYSE||
DIS|Walt Disney Company|108.65|NYSE||
F|Ford Motor Company|13.12|NYSE||
GE|GE Aerospace|299.40|NYSE||
T|AT&T Inc.|25.71|NYSE||
BAC.PRL|Bank of America Preferred Series L|1214.00|NYSE|w|
NVR|NVR Inc.|7420.50|NYSE|w|
SPY|SPDR S&P 500 ETF Trust|671.80|ARCA||5
QQQ|Invesco QQQ Trust|604.30|NASDAQ||
IWM|iShares Russell 2000 ETF|241.15|ARCA||
GLD|SPDR Gold Shares|374.60|ARCA||
"""
_CENT: Final = Decimal("0.01")
_BILLIONTH: Final = Decimal("0.000000001")
_ONE: Final = Decimal(1)
_MARGIN: Final = {Product.DELIVERY: Decimal(1)}
_OPTION_MARGIN: Final = {Product.DELIVERY: Decimal("0.2")}
_REACH: Final = 4
_EXPIRIES: Final = 2
_HUNDRED: Final = Decimal(100)


def us_universe(start_ns: int, *, seed: int = 1) -> tuple[Listing, ...]:
    """Return some 30 shares and the next two weekly option chains of a few.

    Parameters
    ----------
    start_ns : int
        The first moment, ns UTC; options expire on the next Fridays.
    seed : int
        Varies the previous closes by up to 2 %.

    Returns
    -------
    tuple of Listing
        ``broker_symbol`` holds the exchanges' symbol, of options the 21-character one without blanks.
        ``extra["exchange"]`` names the exchange. Quantities of options are contracts, of 100 shares each.
    """
    return tuple(_listings(exchange_date(start_ns), seed))


def _listings(today: date, seed: int) -> Iterator[Listing]:
    for line in _SHARES.strip().splitlines():
        symbol, name, price, exchange, whole, step = line.split("|")
        offset = Decimal(salt(seed, symbol) % 4001 - 2000) / 100_000
        close = (Decimal(price) * (1 + offset)).quantize(_CENT, ROUND_HALF_UP)
        yield _share(symbol, name, close, exchange, whole=bool(whole))
        friday = today + timedelta(days=(4 - today.weekday()) % 7)
        for week in range(_EXPIRIES if step else 0):
            yield from _chain(symbol, name, close, today, friday + timedelta(weeks=week), Decimal(step))


def _share(symbol: str, name: str, close: Decimal, exchange: str, *, whole: bool) -> Listing:
    instrument = Instrument(
        instrument_id=str(CanonicalId("US", symbol)),
        symbol=symbol,
        exchange="US",
        asset_class=AssetClass.EQUITY,
        instrument_type=InstrumentType.SPOT,
        broker_symbol=symbol,
        broker_token=symbol,
        name=name,
        tick_size=_CENT,
        lot_size=_ONE if whole else _BILLIONTH,
        currency="USD",
        extra={"exchange": exchange},
    )
    return Listing(
        instrument=instrument,
        reference=close,
        band=Decimal("0.2"),
        margin_rate=dict(_MARGIN),
        depth_levels=5,
        depth_quantity=Decimal(max(5, int(20_000 / close))),
        grain=_ONE,
        margined=True,
        ordered_stops=False,
    )


def _chain(symbol: str, name: str, spot: Decimal, today: date, expiry: date, step: Decimal) -> Iterator[Listing]:
    middle = (spot / step).quantize(_ONE, ROUND_HALF_UP) * step
    years = ((expiry - today).days + 0.3) / 365
    for number in range(-_REACH, _REACH + 1):
        strike = middle + number * step
        for right in OptionType:
            price = max(premium(spot, strike, years, 0.3, right), _CENT * 4)
            ident = CanonicalId("US", symbol, IdKind.OPTION, expiry=expiry, strike=strike, option_type=right)
            code = f"{symbol}{expiry:%y%m%d}{right.value[0]}{int(strike * 1000):08d}"
            instrument = Instrument(
                instrument_id=str(ident),
                symbol=code,
                exchange="US",
                asset_class=AssetClass.EQUITY,
                instrument_type=InstrumentType.OPTION,
                broker_symbol=code,
                broker_token=code,
                name=f"{name} {expiry:%b %d %Y} {strike} {right.value.title()}",
                underlying=str(CanonicalId("US", symbol)),
                expiry=expiry,
                strike=strike,
                option_type=right,
                tick_size=_CENT,
                multiplier=_HUNDRED,
                currency="USD",
            )
            yield Listing(
                instrument=instrument,
                reference=price.quantize(_CENT, ROUND_HALF_UP),
                band=Decimal("0.6"),
                volatility=0.0015,
                margin_rate=dict(_OPTION_MARGIN),
                depth_quantity=Decimal(20),
                margined=True,
                ordered_stops=False,
                oi=2000 + salt(0, code) % 20_000,
            )
