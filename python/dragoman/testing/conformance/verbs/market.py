"""Subscriptions, ticks, books, quotes, depth and candles, compared with the venue's truth."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from dragoman.emulator.venue.types import MarketView
from dragoman.model import Candle, Mode, Quote
from dragoman.testing.conformance.grammar import Price, step
from dragoman.testing.conformance.stage import MismatchError, Stage

_SAME: Final = {
    "last_price": "last_price",
    "last_quantity": "last_quantity",
    "volume": "volume",
    "open": "open",
    "high": "high",
    "low": "low",
    "previous_close": "close",
    "oi": "oi",
    "oi_high": "oi_high",
    "oi_low": "oi_low",
    "total_buy_quantity": "total_buy_quantity",
    "total_sell_quantity": "total_sell_quantity",
    "price_band_low": "band_low",
    "price_band_high": "band_high",
}
"""Field of ticks and quotes -> the venue's."""
_CENT: Final = 0.01
_NS: Final = 1_000_000_000
_CLOSE_NS: Final = 5 * _NS
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@step("subscribe <of:roles> <mode:mode>")
async def subscribe(stage: Stage, of: tuple[str, ...], mode: Mode) -> None:
    """Stream instruments (A, or A+B) in a mode; asking again changes it."""
    stage.client.subscribe([stage.id_of(role) for role in of], mode)


@step("unsubscribe <of:roles>")
async def unsubscribe(stage: Stage, of: tuple[str, ...]) -> None:
    """Stream them no more."""
    stage.client.unsubscribe([stage.id_of(role) for role in of])


@step("subscribe to nothing there is")
async def subscribe_unknown(stage: Stage) -> None:
    """Ask for an instrument that does not exist."""
    stage.client.subscribe("NOWHERE:NOTHING", next(iter(stage.adapter.capabilities.modes)))


@step("market moves <of:role> to <price:price>")
async def moves(stage: Stage, of: str, price: Price) -> None:
    """Let the market of an instrument go to a price; one lot trades there."""
    stage.venue.set_price(stage.id_of(of), stage.price(price, of))


@step("market moves <of:role> to <price:price> trading <quantity:number>")
async def moves_trading(stage: Stage, of: str, price: Price, quantity: Decimal) -> None:
    """The same; so much trades there."""
    stage.venue.set_price(stage.id_of(of), stage.price(price, of), quantity=stage.quantity(quantity, of))


@step("somebody bids <quantity:number> <of:role> at <price:price>")
async def bids(stage: Stage, quantity: Decimal, of: str, price: Price) -> None:
    """Let an outsider's buy order into the book."""
    _outside(stage, 1, quantity, of, price)


@step("somebody offers <quantity:number> <of:role> at <price:price>")
async def offers(stage: Stage, quantity: Decimal, of: str, price: Price) -> None:
    """Let an outsider's sell order into the book."""
    _outside(stage, -1, quantity, of, price)


def _outside(stage: Stage, sign: int, quantity: Decimal, of: str, price: Price) -> None:
    from dragoman.model import Side

    side = Side.BUY if sign > 0 else Side.SELL
    stage.venue.place_external(stage.id_of(of), side, stage.quantity(quantity, of), stage.price(price, of))


@step("venue halts <of:role>")
async def halts(stage: Stage, of: str) -> None:
    """Stop trading in an instrument."""
    stage.venue.halt(stage.id_of(of))


@step("venue resumes <of:role>")
async def resumes(stage: Stage, of: str) -> None:
    """Let trading in it go on."""
    stage.venue.resume(stage.id_of(of))


# -- ticks -----------------------------------------------------------------------------------------------------------


@step("expect tick <of:role>")
async def expect_tick(stage: Stage, of: str) -> None:
    """A record of it comes, or has come since the last count."""
    name, before = stage.id_of(of), stage.asked.get(f"ticks {of}", 0)
    await stage.until(lambda: "" if stage.watch.ticks[name] > before else f"no tick of {of} ({name})")


@step("note the ticks of <of:roles>")
async def note_ticks(stage: Stage, of: tuple[str, ...]) -> None:
    """Remember how many records have come; only the values of later ones are looked at from now on."""
    for role in of:
        name = stage.id_of(role)
        stage.asked[f"ticks {role}"] = stage.watch.ticks[name]
        stage.watch.fields.pop(name, None)


@step("expect no tick <of:role> for <time:seconds>")
async def expect_no_tick(stage: Stage, of: str, time: float) -> None:
    """None comes for so long."""
    name = stage.id_of(of)
    before = stage.watch.ticks[name]
    await stage.runtime.sleep(time)
    if (more := stage.watch.ticks[name] - before) > 0:
        raise MismatchError(f"{more} ticks of {of} ({name}), expected none")


@step("expect tick <of:role> like the market")
async def expect_tick_values(stage: Stage, of: str) -> None:
    """Every value that its records carry is the venue's."""
    name = stage.id_of(of)

    def look() -> str:
        seen = stage.watch.fields.get(name)
        if seen is None:
            return f"no tick of {of} ({name})"
        market = stage.venue.market(name)
        return unlike(seen, market) or _unlike_top(seen, market)

    await stage.until(look)


@step("expect tick <of:role> in mode <mode:mode>")
async def expect_mode(stage: Stage, of: str, mode: Mode) -> None:
    """The newest record was read in that mode."""
    name = stage.id_of(of)

    def look() -> str:
        last = stage.watch.last.get(name)
        return "" if last is not None and last.mode == mode.value else f"{last!r}, expected mode {mode}"

    await stage.until(look)


@step("expect tick <of:role> carries <field:word>")
async def expect_field(stage: Stage, of: str, field: str) -> None:
    """A field came with its records."""
    name = stage.id_of(of)
    await stage.until(
        lambda: "" if field in stage.watch.fields.get(name, {}) else f"no {field} of {of}, only {_words(stage, name)}"
    )


def _words(stage: Stage, name: str) -> str:
    return ", ".join(sorted(stage.watch.fields.get(name, {}))) or "nothing"


@step("expect tick <of:role> of now")
async def expect_now(stage: Stage, of: str) -> None:
    """Its time at the exchange is now, to a few seconds: its time zone and unit are right."""
    name = stage.id_of(of)

    def look() -> str:
        seen = stage.watch.fields.get(name, {})
        times = [seen[field] for field in ("ts_event", "last_trade_time") if field in seen]
        if not times:
            return f"no time at the exchange came for {of}"
        away = max(times) - stage.runtime.clock.wall_ns()
        return "" if abs(away) <= _CLOSE_NS else f"the newest time of {of} is {away / _NS:+.1f} s from now"

    await stage.until(look)


@step("expect trade times of <of:role> like the market")
async def expect_trade_time(stage: Stage, of: str) -> None:
    """The time of the last trade is the venue's, to the second."""
    name = stage.id_of(of)

    def look() -> str:
        found = stage.watch.fields.get(name, {}).get("last_trade_time")
        if found is None:
            return f"no last_trade_time of {of}"
        away = found - stage.venue.market(name).last_trade_ts
        return "" if abs(away) <= _NS else f"the last trade of {of} is {away / _NS:+.1f} s from the venue's"

    await stage.until(look)


def unlike(seen: dict[str, Any], market: MarketView) -> str:
    """Return the first value that is not the venue's."""
    for field, theirs in _SAME.items():
        found = seen.get(field)
        expected = float(getattr(market, theirs))
        if found is not None and not _equal(found, expected):
            return f"{field} is {found!r}, the venue has {expected!r}"
    average = seen.get("average_price")
    if average is not None and abs(average - float(market.average_price)) > _CENT:
        return f"average_price is {average!r}, the venue has {float(market.average_price)!r}"
    return ""


def _unlike_top(seen: dict[str, Any], market: MarketView) -> str:
    for side, levels in (("bid", market.bids), ("ask", market.asks)):
        price, quantity = seen.get(f"{side}_price"), seen.get(f"{side}_quantity")
        if price is not None and levels and not _equal(price, float(levels[0][0])):
            return f"{side}_price is {price!r}, the venue has {float(levels[0][0])!r}"
        if quantity is not None and levels and not _equal(quantity, float(levels[0][1])):
            return f"{side}_quantity is {quantity!r}, the venue has {float(levels[0][1])!r}"
    return ""


def _equal(found: float, expected: float) -> bool:
    return abs(found - expected) <= 1e-9 * max(1.0, abs(expected))


# -- books -----------------------------------------------------------------------------------------------------------


@step("expect book <of:role> like the market")
async def expect_book(stage: Stage, of: str) -> None:
    """Both sides of the live book hold the venue's levels, best first, as deep as the broker shows them."""
    name = stage.id_of(of)
    book = stage.client.book(name)

    def look() -> str:
        if book.stale:
            return f"the book of {of} is stale"
        shown = book.snapshot()
        market = stage.venue.market(name)
        return _unlike_side("bid", shown.bids, market.bids) or _unlike_side("ask", shown.asks, market.asks)

    await stage.until(look, 2 * stage.patience_s)


def _unlike_side(side: str, found: Any, expected: Any) -> str:
    if bool(found) is not bool(expected):
        return f"{len(found)} levels on the {side} side, the venue has {len(expected)}"
    for at, (ours, truth) in enumerate(zip(found, expected, strict=False), 1):
        if not _equal(ours[0], float(truth[0])) or not _equal(ours[1], float(truth[1])):
            return f"{side} {at} is {ours[1]:g} at {ours[0]!r}, the venue has {truth[1]} at {truth[0]}"
    return ""


@step("expect book <of:role> at least <count:count> deep")
async def expect_depth(stage: Stage, of: str, count: int) -> None:
    """How many levels each side has."""
    book = stage.client.book(stage.id_of(of))

    def look() -> str:
        found = min(book.depth("bid"), book.depth("ask"))
        return "" if found >= count else f"{found} levels, expected at least {count}"

    await stage.until(look)


@step("expect book <of:role> in order")
async def expect_order(stage: Stage, of: str) -> None:
    """Bids fall, asks rise, and they do not cross."""
    shown = stage.client.book(stage.id_of(of)).snapshot()
    bids, asks = [level[0] for level in shown.bids], [level[0] for level in shown.asks]
    if bids != sorted(set(bids), reverse=True) or asks != sorted(set(asks)):
        raise MismatchError(f"bids {bids} and asks {asks} are not in order")
    if shown.crossed:
        raise MismatchError(f"the best bid {bids[0]} is above the best ask {asks[0]}")


@step("expect book <of:role> stale")
async def expect_stale(stage: Stage, of: str) -> None:
    """It says that it cannot be believed."""
    book = stage.client.book(stage.id_of(of))
    await stage.until(lambda: "" if book.stale else f"the book of {of} is not stale", 2 * stage.patience_s)


@step("expect book <of:role> live")
async def expect_live(stage: Stage, of: str) -> None:
    """It can be believed."""
    book = stage.client.book(stage.id_of(of))
    await stage.until(lambda: f"the book of {of} is stale" if book.stale else "", 6 * stage.patience_s)


# -- asked for -------------------------------------------------------------------------------------------------------


@step("ask quotes <of:roles> <mode:mode>")
async def ask_quotes(stage: Stage, of: tuple[str, ...], mode: Mode) -> None:
    """Ask for quotes."""
    stage.asked["quotes"] = await stage.client.quotes([stage.id_of(role) for role in of], mode)


@step("ask depth <of:role>")
async def ask_depth(stage: Stage, of: str) -> None:
    """Ask for the depth of one instrument; it then counts as its quote."""
    session = stage.client.session
    quote: Quote = await session.run(session.adapter.depth(stage.cast.instrument(of), session.ctx))
    stage.asked["quotes"] = {stage.id_of(of): quote}
    if not quote.bids or not quote.asks:
        raise MismatchError(f"{len(quote.bids)} bids and {len(quote.asks)} asks, expected both")


@step("expect quote <of:role> like the market")
async def expect_quote(stage: Stage, of: str) -> None:
    """Every value of the quote is the venue's, and so is its depth."""
    name = stage.id_of(of)
    quote: Quote | None = stage.asked.get("quotes", {}).get(name)
    if quote is None:
        raise MismatchError(f"no quote of {of} ({name})")
    market = stage.venue.market(name)
    seen = {field: getattr(quote, field) for field in (*_SAME, "average_price")}
    wrong = unlike(seen, market)
    for side, found, expected in (("bid", quote.bids, market.bids), ("ask", quote.asks, market.asks)):
        wrong = wrong or (_unlike_side(side, found, expected) if found else "")
    if wrong:
        raise MismatchError(wrong)


@step("expect <count:count> quotes")
async def expect_quotes(stage: Stage, count: int) -> None:
    """How many quotes came."""
    if len(stage.asked["quotes"]) != count:
        raise MismatchError(f"quotes of {', '.join(stage.asked['quotes'])}, expected {count}")


@step("ask candles <of:role> <interval:word> of the last <time:seconds>")
async def ask_candles(stage: Stage, of: str, interval: str, time: float) -> None:
    """Ask for candles up to now."""
    end = datetime.fromtimestamp(stage.runtime.clock.wall_ns() / 1e9, UTC)
    start = end - timedelta(seconds=time)
    stage.asked["candles"] = await stage.client.candles(stage.id_of(of), interval, start, end)
    stage.asked["stretch"] = (start, end, _UNITS[interval[-1]] * int(interval[:-1]))


@step("expect candles in order")
async def expect_candles(stage: Stage) -> None:
    """They rise in time on the grid of their interval, lie in the stretch asked for, and hold open and close."""
    candles: list[Candle] = stage.asked["candles"]
    start, end, interval = stage.asked["stretch"]
    if not candles:
        raise MismatchError("no candles")
    times = [one.ts_open for one in candles]
    if times != sorted(set(times)):
        raise MismatchError("their times do not rise")
    low = (start.timestamp() - interval) * 1e9
    if times[0] < low or times[-1] > end.timestamp() * 1e9:
        raise MismatchError(f"{candles[0]!r} to {candles[-1]!r} are not within {start} to {end}")
    if interval < 3600 and any(time % (interval * _NS) for time in times):
        raise MismatchError(f"{candles[0]!r} does not begin on the grid of its interval")
    for one in candles:
        if not one.low <= min(one.open, one.close) <= max(one.open, one.close) <= one.high:
            raise MismatchError(f"{one!r} does not hold its own open and close")


@step("expect the last candle of <of:role> near the market")
async def expect_near(stage: Stage, of: str) -> None:
    """Its close is within a fifth of the venue's last price: its scale is right."""
    last, price = stage.asked["candles"][-1], float(stage.market(of).last_price)
    if abs(last.close / price - 1) > 0.2:
        raise MismatchError(f"the last candle closes at {last.close}, the venue's last price is {price}")
