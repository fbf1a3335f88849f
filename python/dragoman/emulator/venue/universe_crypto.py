"""A crypto market to trade in: pairs and perpetuals of one platform, quoted in one currency.

Ticks and steps are of the size platforms use; prices are made up around realistic levels. Pairs are settled trade by
trade out of a wallet of their own (`Segment.ALL`), perpetuals on margin out of another (`Segment.FO`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from dragoman.emulator.venue.recorded import RecordedMarket
from dragoman.emulator.venue.rng import salt
from dragoman.emulator.venue.types import Listing
from dragoman.model import AssetClass, CanonicalId, IdKind, Instrument, InstrumentType, Product, Segment

# base | price | tick | step of the pair | tick | step of the perpetual (empty: the platform lists none)
_PAIRS: Final = """
BTC|96420.50|0.01|0.00001|0.10|0.001
ETH|3412.35|0.01|0.0001|0.01|0.001
BNB|871.40|0.01|0.001|0.010|0.01
SOL|186.25|0.01|0.001|0.0100|0.01
XRP|2.3154|0.0001|0.1|0.0001|0.1
ADA|0.7421|0.0001|0.1|0.00010|1
DOGE|0.18342|0.00001|1|0.000010|1
LTC|104.30|0.01|0.001|0.01|0.001
LINK|17.42|0.01|0.01|0.001|0.01
AVAX|24.15|0.01|0.01|0.0010|1
DOT|4.871|0.001|0.01|0.001|0.1
TRX|0.3122|0.0001|0.1|0.00001|1
NEAR|2.846|0.001|0.1|0.001|1
ATOM|4.102|0.001|0.01||
FIL|2.361|0.001|0.01||
PEPE|0.00001187|0.00000001|1||
"""
_WORTH: Final = Decimal(20_000)
"""What a level of the makers' book is worth, about."""
_ONE: Final = Decimal(1)


def crypto_universe(
    platform: str, *, seed: int = 1, quote: str = "USDT", perpetuals: str = "", least_worth: str = "5"
) -> tuple[Listing, ...]:
    """Return the listings of a platform.

    Parameters
    ----------
    platform : str
        Venue of the canonical ids, and exchange of the pairs.
    seed : int
        Varies the prices by up to 2 %.
    quote : str
        Currency of all prices and of both wallets.
    perpetuals : str
        Exchange segment of the perpetuals; empty: none are listed.
    least_worth : str
        ``extra["min_notional"]`` of each instrument.

    Returns
    -------
    tuple of Listing
        Pairs offer the product DELIVERY. Perpetuals offer MARGIN, and CARRY and INTRADAY beside it for accounts that
        keep several positions of one instrument apart.
    """
    return tuple(_listings(platform, seed, quote, perpetuals, least_worth))


def recorded_listings(
    platform: str, markets: Iterable[RecordedMarket], *, quote: str, perpetuals: str = "", least_worth: str = "5"
) -> tuple[Listing, ...]:
    """Return listings of what a recording of the platform names, with its ticks and steps; see `crypto_universe`.

    What is quoted in another currency, or on another exchange of the platform, is left out.
    """
    kinds = {platform: IdKind.PAIR, perpetuals: IdKind.PERP}
    return tuple(
        _listing(
            CanonicalId(
                platform, one.symbol.upper().removesuffix(quote).rstrip("/-"), kinds[one.exchange], quote=quote
            ),
            one.exchange,
            one.price,
            str(one.tick),
            str(one.step),
            least_worth,
        )
        for one in markets
        if one.exchange in kinds and one.symbol.upper().endswith(quote)
    )


def _base(symbol: str, quote: str) -> str:
    return symbol.upper().removesuffix(quote).rstrip("/-")


def _listings(platform: str, seed: int, quote: str, perpetuals: str, least_worth: str) -> Iterator[Listing]:
    for line in _PAIRS.split():
        base, price, tick, step, perp_tick, perp_step = line.split("|")
        offset = Decimal(salt(seed, base) % 4001 - 2000) / 100_000
        level = Decimal(price) * (1 + offset)
        for exchange, kind, steps in (
            (platform, IdKind.PAIR, (tick, step)),
            (perpetuals, IdKind.PERP, (perp_tick, perp_step)),
        ):
            if exchange and steps[0]:
                yield _listing(CanonicalId(platform, base, kind, quote=quote), exchange, level, *steps, least_worth)


def _listing(ident: CanonicalId, exchange: str, level: Decimal, tick: str, step: str, least_worth: str) -> Listing:
    perp = ident.kind is IdKind.PERP
    grid, lot = Decimal(tick), Decimal(step)
    instrument = Instrument(
        instrument_id=str(ident),
        symbol=f"{ident.symbol}/{ident.quote}",
        exchange=exchange,
        asset_class=AssetClass.CRYPTO,
        instrument_type=InstrumentType.PERP if perp else InstrumentType.SPOT,
        broker_symbol=f"{ident.symbol}{ident.quote}",
        broker_token=f"{exchange}:{ident.symbol}{ident.quote}",
        name=ident.symbol,
        underlying=ident.symbol,
        tick_size=grid,
        lot_size=lot,
        freeze_quantity=(_WORTH * 500 / level / lot).quantize(_ONE, ROUND_HALF_UP) * lot,
        currency=ident.quote or "",
        extra={"min_notional": least_worth},
    )
    fifth, tenth = Decimal("0.2"), Decimal("0.1")
    return Listing(
        instrument=instrument,
        reference=(level / grid).quantize(_ONE, ROUND_HALF_UP) * grid,
        segment=Segment.FO if perp else Segment.ALL,
        band=tenth if perp else fifth,
        volatility=0.0002,
        margin_rate=dict.fromkeys((Product.MARGIN, Product.CARRY, Product.INTRADAY), Decimal("0.05"))
        if perp
        else {Product.DELIVERY: _ONE},
        depth_levels=20,
        depth_quantity=max(lot, (_WORTH / level / lot).quantize(_ONE, ROUND_HALF_UP) * lot),
        oi=1_000 if perp else 0,
        ordered_stops=False,
        settles_at_once=not perp,
    )
