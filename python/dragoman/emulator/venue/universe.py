"""A market to trade in: Indian cash, indices, derivatives, currencies and commodities, from a date and a seed.

Names, lot sizes, tick sizes and expiry rules are those of the exchanges; prices are made up around realistic levels,
and so are security ids and the exchange tokens of derivatives. No holiday calendar is known here: an expiry that
falls on a holiday is not moved.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import partial

from dragoman.emulator.venue import universe_data as data
from dragoman.emulator.venue.expiry import currency_expiry, last_tuesday, next_months, working_day
from dragoman.emulator.venue.risk import exchange_date
from dragoman.emulator.venue.rng import salt
from dragoman.emulator.venue.types import Listing
from dragoman.model import AssetClass, CanonicalId, IdKind, Instrument, InstrumentType, OptionType, Product, Segment

ONE = Decimal(1)
_CASH = {Product.DELIVERY: ONE, Product.INTRADAY: Decimal("0.20"), Product.MTF: Decimal("0.30")}
_DELIVERY = {Product.DELIVERY: ONE}
_TICKS = ((250, "0.01"), (1000, "0.05"), (5000, "0.10"), (10000, "0.50"), (20000, "1"))
_MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
_RIGHT = {OptionType.CALL: "CE", OptionType.PUT: "PE"}


def default_universe(start_ns: int, *, seed: int = 1) -> tuple[Listing, ...]:
    """Return some 300 listings for a day.

    Parameters
    ----------
    start_ns : int
        The first moment, ns UTC; the expiries are the next ones after its exchange date.
    seed : int
        Varies the previous closes by up to 2 %, the sizes in the books and open interest.

    Returns
    -------
    tuple of Listing
        ``broker_symbol`` and ``broker_token`` hold the symbol and the exchange token; an emulator overlays its own.
    """
    return tuple(_Universe(exchange_date(start_ns), seed).all())


def cash_tick(price: Decimal) -> Decimal:
    """Return the tick size of a share at `price`: the exchanges' price-band rule of April 2025."""
    for limit, tick in _TICKS:
        if price < limit:
            return Decimal(tick)
    return Decimal(5)


@dataclass(frozen=True, slots=True)
class _Contract:
    """What the contracts of one root share."""

    venue: str
    root: str
    spot: Decimal
    lot: Decimal
    tick: Decimal
    option_tick: Decimal
    asset_class: AssetClass
    segment: Segment
    margin: str
    band: str
    volatility: float
    yearly: float  # volatility of a year, for option prices
    underlying: str | None = None
    freeze: Decimal | None = None

    def rates(self) -> dict[Product, Decimal]:
        return {Product.CARRY: Decimal(self.margin), Product.INTRADAY: Decimal(self.margin)}


class _Universe:
    def __init__(self, today: date, seed: int) -> None:
        self.today = today
        self.seed = seed
        self.token = 35000
        self.closes: dict[str, Decimal] = {}

    def all(self) -> Iterator[Listing]:
        yield from self.indices()
        yield from self.cash()
        yield from self.index_derivatives()
        yield from self.stock_derivatives()
        yield from self.currencies()
        yield from self.commodities()

    # --- cash -----------------------------------------------------------------------------------------------------

    def indices(self) -> Iterator[Listing]:
        for exchange, name, level, token in data.rows(data.INDICES):
            close = self.close(name, Decimal(level), Decimal("0.01"))
            instrument = Instrument(
                instrument_id=str(CanonicalId(exchange, name, IdKind.INDEX)),
                symbol=name,
                exchange=exchange,
                asset_class=AssetClass.INDEX,
                instrument_type=InstrumentType.INDEX,
                broker_symbol=name,
                broker_token=token,
                exchange_token=token,
                name=name,
                segment=Segment.EQUITY,
                tradable=False,
            )
            yield Listing(instrument=instrument, reference=close, volatility=0.00008)

    def cash(self) -> Iterator[Listing]:
        for symbol, name, price, token in data.rows(data.EQUITIES):
            yield self.share("NSE", symbol, name, Decimal(price), token, "EQ", _CASH)
        for symbol, name, series, price, token in data.rows(data.OTHER_SERIES):
            yield self.share("NSE", symbol, name, Decimal(price), token, series, _DELIVERY)
        for symbol, name, price, token in data.rows(data.BSE_EQUITIES):
            yield self.share("BSE", symbol, name, Decimal(price), token, None, _CASH)

    def share(
        self,
        exchange: str,
        symbol: str,
        name: str,
        price: Decimal,
        token: str,
        series: str | None,
        rates: dict[Product, Decimal],
    ) -> Listing:
        tick = cash_tick(price)
        close = self.close(symbol, price, tick)
        plain = series in (None, "EQ")
        kind = IdKind.CASH if plain else IdKind.SERIES
        instrument = Instrument(
            instrument_id=str(CanonicalId(exchange, symbol, kind, series=None if plain else series)),
            symbol=symbol,
            exchange=exchange,
            asset_class=AssetClass.EQUITY,
            instrument_type=InstrumentType.SPOT,
            broker_symbol=symbol if plain else f"{symbol}-{series}",
            broker_token=token,
            exchange_token=token,
            name=name,
            segment=Segment.EQUITY,
            series=series,
            isin=self.isin(symbol),
            tick_size=tick,
            freeze_quantity=Decimal(max(1000, int(Decimal(50_000_000) / close))),
        )
        return Listing(
            instrument=instrument,
            reference=close,
            band=Decimal("0.10") if plain else Decimal("0.05"),
            margin_rate=dict(rates),
            depth_quantity=Decimal(max(5, int(Decimal(180_000) / close))),
        )

    # --- derivatives ----------------------------------------------------------------------------------------------

    def index_derivatives(self) -> Iterator[Listing]:
        for root, spot, lot, freeze, step, reach, tick in data.rows(data.INDEX_DERIVATIVES):
            contract = _Contract(
                venue="NFO",
                root=root,
                spot=self.closes[spot],
                lot=Decimal(lot),
                tick=Decimal(tick),
                option_tick=Decimal("0.05"),
                asset_class=AssetClass.INDEX,
                segment=Segment.FO,
                margin="0.12",
                band="0.10",
                volatility=0.00012,
                yearly=0.13,
                underlying=str(CanonicalId("NSE", spot, IdKind.INDEX)),
                freeze=Decimal(freeze),
            )
            months = next_months(self.today, last_tuesday, 3)
            yield from (self.future(contract, expiry) for expiry in months)
            chains = [months[0]]
            if root == "NIFTY":
                weekly = self.today + timedelta(days=(1 - self.today.weekday()) % 7)
                chains = [weekly, months[0] if weekly != months[0] else months[1]]
            for expiry in chains:
                yield from self.chain(contract, expiry, Decimal(step), int(reach))

    def stock_derivatives(self) -> Iterator[Listing]:
        for root, lot, step, reach in data.rows(data.STOCK_DERIVATIVES):
            spot = self.closes[root]
            contract = _Contract(
                venue="NFO",
                root=root,
                spot=spot,
                lot=Decimal(lot),
                tick=cash_tick(spot),
                option_tick=Decimal("0.05"),
                asset_class=AssetClass.EQUITY,
                segment=Segment.FO,
                margin="0.20",
                band="0.10",
                volatility=0.0003,
                yearly=0.28,
                underlying=str(CanonicalId("NSE", root)),
                freeze=Decimal(lot) * 40,
            )
            months = next_months(self.today, last_tuesday, 2)
            yield from (self.future(contract, expiry) for expiry in months)
            yield from self.chain(contract, months[0], Decimal(step), int(reach))

    def currencies(self) -> Iterator[Listing]:
        for venue in ("CDS", "BCD"):
            for root, rate, step, reach in data.rows(data.CURRENCIES):
                if venue == "BCD" and root != "USDINR":
                    continue
                contract = _Contract(
                    venue=venue,
                    root=root,
                    spot=self.close(root, Decimal(rate), Decimal("0.0025")),
                    lot=Decimal(1000),
                    tick=Decimal("0.0025"),
                    option_tick=Decimal("0.0025"),
                    asset_class=AssetClass.CURRENCY,
                    segment=Segment.CURRENCY,
                    margin="0.03",
                    band="0.03",
                    volatility=0.00004,
                    yearly=0.05,
                    freeze=Decimal(10_000_000),
                )
                months = next_months(self.today, currency_expiry, 3 if root == "USDINR" else 1)
                yield from (self.future(contract, expiry) for expiry in months)
                if venue == "CDS":
                    yield from self.chain(contract, months[0], Decimal(step), int(reach))

    def commodities(self) -> Iterator[Listing]:
        for root, name, price, lot, tick, day, step in data.rows(data.COMMODITIES):
            contract = _Contract(
                venue="MCX",
                root=root,
                spot=self.close(name, Decimal(price), Decimal(tick)),
                lot=Decimal(lot),
                tick=Decimal(tick),
                option_tick=Decimal("0.10"),
                asset_class=AssetClass.COMMODITY,
                segment=Segment.COMMODITY,
                margin="0.10",
                band="0.06",
                volatility=0.0002,
                yearly=0.30,
                freeze=Decimal(lot) * 100,
            )
            months = next_months(self.today, partial(working_day, int(day)), 2)
            yield from (self.future(contract, expiry) for expiry in months)
            yield from self.chain(contract, months[0], Decimal(step), 2)

    def future(self, contract: _Contract, expiry: date) -> Listing:
        years = Decimal((expiry - self.today).days) / 365
        price = contract.spot * (1 + Decimal("0.065") * years)
        code = f"{contract.root}{expiry:%y}{_MONTHS[expiry.month - 1]}FUT"
        identity = CanonicalId(contract.venue, contract.root, IdKind.FUTURE, expiry=expiry)
        return self.contract(contract, identity, code, price, contract.tick, contract.band, contract.volatility)

    def chain(self, contract: _Contract, expiry: date, step: Decimal, reach: int) -> Iterator[Listing]:
        if not step:
            return
        middle = (contract.spot / step).quantize(ONE, ROUND_HALF_UP) * step
        days = (expiry - self.today).days + 0.3
        for number in range(-reach, reach + 1):
            strike = middle + number * step
            for right in OptionType:
                price = premium(contract.spot, strike, days / 365, contract.yearly, right)
                identity = CanonicalId(
                    contract.venue, contract.root, IdKind.OPTION, expiry=expiry, strike=strike, option_type=right
                )
                code = f"{contract.root}{expiry:%y%m%d}{strike.normalize():f}{_RIGHT[right]}"
                tick = contract.option_tick
                yield self.contract(contract, identity, code, max(price, tick * 4), tick, "0.60", 0.0015)

    def contract(
        self,
        contract: _Contract,
        identity: CanonicalId,
        symbol: str,
        price: Decimal,
        tick: Decimal,
        band: str,
        volatility: float,
    ) -> Listing:
        self.token += 1
        bits = salt(self.seed, str(identity))
        option = identity.option_type is not None
        instrument = Instrument(
            instrument_id=str(identity),
            symbol=symbol,
            exchange=contract.venue,
            asset_class=contract.asset_class,
            instrument_type=InstrumentType.OPTION if option else InstrumentType.FUTURE,
            broker_symbol=symbol,
            broker_token=str(self.token),
            exchange_token=str(self.token),
            name=contract.root,
            segment=contract.segment,
            underlying=contract.underlying,
            expiry=identity.expiry,
            strike=identity.strike,
            option_type=identity.option_type,
            tick_size=tick,
            lot_size=contract.lot,
            freeze_quantity=contract.freeze,
        )
        return Listing(
            instrument=instrument,
            reference=(price / tick).quantize(ONE, ROUND_HALF_UP) * tick,
            segment=contract.segment,
            band=Decimal(band),
            volatility=volatility,
            margin_rate=contract.rates(),
            depth_quantity=contract.lot * (4 + bits % 20),
            oi=int(contract.lot) * (2000 + (bits >> 8) % 30000),
        )

    # --- dates and numbers ----------------------------------------------------------------------------------------

    def close(self, key: str, price: Decimal, tick: Decimal) -> Decimal:
        """Return a previous close near `price`, on the tick; the same at every exchange that lists `key`."""
        offset = Decimal(salt(self.seed, key) % 4001 - 2000) / 100_000
        close = (price * (1 + offset) / tick).quantize(ONE, ROUND_HALF_UP) * tick
        self.closes.setdefault(key, close)
        return close

    @staticmethod
    def isin(symbol: str) -> str:
        """Return a made-up security id with a right check digit, from the symbol alone."""
        bits = salt(0, symbol)
        body = f"INE{bits % 1000:03d}{chr(65 + bits // 1000 % 26)}01{bits // 26_000 % 100:02d}"
        digits = "".join(str(int(char, 36)) for char in body)
        total = 0
        for place, digit in enumerate(reversed(digits)):
            value = int(digit) * (2 if place % 2 == 0 else 1)
            total += value // 10 + value % 10
        return f"{body}{-total % 10}"


def premium(spot: Decimal, strike: Decimal, years: float, volatility: float, right: OptionType) -> Decimal:
    """Return what an option is worth without interest (Black's formula on the spot), to four digits."""
    s, k = float(spot), float(strike)
    deviation = volatility * math.sqrt(years)
    d1 = math.log(s / k) / deviation + deviation / 2
    sign = 1 if right is OptionType.CALL else -1
    value = sign * (s * _normal(sign * d1) - k * _normal(sign * (d1 - deviation)))
    return Decimal(f"{max(value, 0.0):.4f}")


def _normal(x: float) -> float:
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))
