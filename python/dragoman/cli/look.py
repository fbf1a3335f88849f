"""Commands that read: instruments, quote, candles, orders, positions, holdings, margins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from dragoman.cli.account import Account
from dragoman.cli.output import clock, moment, money, number, order_kind, plain, print_json, show, text, ticks
from dragoman.errors import ErrorKind, Rejected, UsageError
from dragoman.model import Candle, Fill, Holding, Instrument, Margin, Mode, Order, Position, Quote

if TYPE_CHECKING:
    from dragoman.client import Client

_INSTRUMENTS = (
    text("id", key="instrument_id"),
    text("name", 3),
    text("type", 2, "instrument_type"),
    text("expiry", 4),
    number("lot", 1, "lot_size"),
    ticks("tick", 1, "tick_size"),
    text("symbol", 5, "broker_symbol"),
    text("token", 6, "broker_token"),
)
_QUOTES = (
    text("id", key="instrument_id"),
    money("last", key="last_price"),
    money("bid", 1, "bid_price"),
    money("ask", 1, "ask_price"),
    number("volume", 2),
    money("open", 4),
    money("high", 3),
    money("low", 3),
    money("previous", 4, "previous_close"),
    number("oi", 5),
)
_ORDERS = (
    text("order", 1),
    text("time", 3),
    text("instrument"),
    text("side"),
    number("filled"),
    text("type", 4),
    money("price", 2),
    money("average", 5),
    text("status"),
    text("tag", 6),
)
_LIFE = (text("time"), text("status"), text("broker says", 2), number("filled", 1), money("price", 3), text("why", 4))
_FILLS = (text("time", 1), number("quantity"), money("price"), text("trade", 2))
_POSITIONS = (
    text("instrument"),
    text("product", 2),
    number("quantity"),
    money("average", 1),
    money("last", 3),
    money("pnl"),
    money("unrealised", 4),
    money("realised", 4),
)
_HOLDINGS = (
    text("instrument"),
    number("quantity"),
    number("t1", 2),
    number("pledged", 3),
    number("used", 4),
    money("average", 1),
    money("last", 2),
    money("pnl"),
    text("isin", 5),
)
_MARGINS = (
    text("segment"),
    money("usable"),
    money("used"),
    number("share", 1),
    money("cash", 2),
    money("collateral", 3),
    money("span", 4),
    money("exposure", 4),
)
_CANDLES = (
    text("opens"),
    money("open"),
    money("high"),
    money("low"),
    money("close"),
    number("volume", 1),
    number("oi", 2),
)


# -- instruments and market --------------------------------------------------------------------------------------------


def instruments(at: Account, words: Sequence[str], *, limit: int, exchange: str | None, kind: str | None) -> None:
    """Search the master; without words the first instruments are listed."""

    async def find(client: Client) -> list[Instrument]:
        if words:
            try:
                found = client.instruments.search(
                    " ".join(words),
                    limit=limit,
                    exchange=exchange and exchange.upper(),
                    instrument_type=kind and kind.upper(),
                )
            except ValueError as error:
                raise UsageError(str(error), remedy="use SPOT, ETF, INDEX, FUTURE, OPTION, PERP or BOND") from error
            if not found:
                raise UsageError(
                    f"nothing is like {' '.join(words)!r} among {len(client.instruments)} instruments",
                    kind=ErrorKind.INSTRUMENT_NOT_FOUND,
                    remedy="use fewer words, or parts of them",
                )
            return found
        kept = (i for i in client.instruments if exchange is None or i.exchange == exchange.upper())
        return [one for one, _ in zip(kept, range(limit), strict=False)]

    found = at.ask(find)
    if at.as_json:
        print_json(found)
    else:
        show("Instruments", _INSTRUMENTS, found)


def quote(at: Account, names: Sequence[str]) -> None:
    """Print quotes: one with its depth, several as a table."""

    async def read(client: Client) -> list[Quote]:
        found = await client.quotes(names, Mode.FULL, timeout_s=at.timeout)
        wanted = [client.instrument(name).instrument_id for name in names]
        missing = [name for name in wanted if name not in found]
        if len(missing) == len(wanted):
            raise Rejected(
                f"the broker has no quote of {', '.join(missing)}",
                kind=ErrorKind.INSTRUMENT_NOT_FOUND,
                remedy="it may have expired or never traded",
            )
        return [found[name] for name in wanted if name in found]

    found = at.ask(read)
    if at.as_json:
        print_json([plain(one) | {"bid_price": one.bid_price, "ask_price": one.ask_price} for one in found])
        return
    show("Quotes", _QUOTES, found)
    if len(found) == 1 and (found[0].bids or found[0].asks):
        show("Depth", _DEPTH, list(_ladder(found[0])))


_DEPTH = (
    number("orders", 1, "bid_orders"),
    number("bid quantity", key="bid_quantity"),
    money("bid", key="bid"),
    money("ask", key="ask"),
    number("ask quantity", key="ask_quantity"),
    number("orders", 1, "ask_orders"),
)


def _ladder(found: Quote) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{} for _ in range(max(len(found.bids), len(found.asks)))]
    for side, levels in (("bid", found.bids), ("ask", found.asks)):
        for row, level in zip(rows, levels, strict=False):
            row |= {side: level.price, f"{side}_quantity": level.quantity, f"{side}_orders": level.orders}
    return rows


def candles(at: Account, name: str, *, interval: str, start: str | None, end: str | None, continuous: bool) -> None:
    """Print candles, oldest first; a bar on the terminal shows how far a long history is."""
    from dragoman.cli.progress import Bar

    zone = at.zone

    async def read(client: Client) -> list[Candle]:
        now = datetime.fromtimestamp(client.session.ctx.now_ns / 1e9, UTC).astimezone(zone)
        until = now if end is None else _when("--to", end, zone, whole_day=True)
        begin = until - _span(interval) if start is None else _when("--from", start, zone)
        with Bar(f"candles of {name}") as bar:
            return await client.account.candles(
                name, interval, begin, until, continuous=continuous, on_progress=bar.update
            )

    found = at.ask(read)
    if at.as_json:
        print_json(found)
        return
    day = interval.endswith(("d", "w"))
    rows = [
        {name: getattr(one, name) for name in ("open", "high", "low", "close", "volume", "oi")}
        | {"opens": moment(one.ts_open, zone)[: 10 if day else 16]}
        for one in found
    ]
    show("Candles", _CANDLES, rows)


def _span(interval: str) -> timedelta:
    return timedelta(days=30 if interval.endswith(("d", "w")) else 1)


def _when(option: str, given: str, zone: ZoneInfo, *, whole_day: bool = False) -> datetime:
    """Read a date or a time; one without a zone is the exchange's."""
    try:
        when = datetime.fromisoformat(given)
    except ValueError:
        raise UsageError(f"{option} {given!r} is no time", remedy="write 2026-11-22 or 2026-11-22T09:15") from None
    if whole_day and len(given) == 10:
        when += timedelta(days=1, seconds=-1)
    return when if when.tzinfo is not None else when.replace(tzinfo=zone)


# -- orders ------------------------------------------------------------------------------------------------------------


def order_row(order: Order, zone: Any) -> dict[str, Any]:
    """Return an order as the table of orders shows it."""
    status = order.status.value if order.pending == "NONE" else f"{order.status.value} ({order.pending.value}?)"
    return {
        "order": order.order_id or order.client_order_id,
        "time": clock(order.ts_created or order.ts_submitted or order.ts_event, zone),
        "instrument": order.instrument_id,
        "side": order.side,
        "filled": f"{order.filled_quantity:f}/{order.quantity:f}",
        "type": order_kind(order),
        "price": order.price if order.price is not None else order.trigger_price,
        "average": order.average_price,
        "status": status,
        "tag": order.tag,
    }


def orders(at: Account, names: Sequence[str], *, only_open: bool) -> None:
    """Print today's orders, or one with every state it went through and its fills."""
    if names:
        _one_order(at, names)
        return

    async def read(client: Client) -> list[Order]:
        found = await client.orders(refresh=False)  # read when the session began, a moment ago
        return [one for one in found if one.is_open or not only_open]

    found, zone = at.ask(read, orders=True), at.zone
    if at.as_json:
        print_json(found)
        return
    show("Orders", _ORDERS, [order_row(one, zone) for one in found], empty="no orders today")


def find_order(client: Client, name: str) -> Order:
    """Return today's order of that id, ours or the broker's.

    Raises
    ------
    UsageError
        There is none.
    """
    found = client.order(name)
    if found is None:
        raise UsageError(
            f"there is no order {name!r} among those of today",
            kind=ErrorKind.ORDER_NOT_FOUND,
            remedy="`dragoman orders` lists them",
        )
    return found


def _one_order(at: Account, names: Sequence[str]) -> None:
    async def read(client: Client) -> list[tuple[Order, list[Order], list[Fill]]]:
        found = []
        for name in names:
            order = find_order(client, name)
            states = await client.orders_service.history(order, timeout_s=at.timeout)
            fills = await client.orders_service.trades(order, timeout_s=at.timeout)
            found.append((client.order(order) or order, states, fills))
        return found

    found, zone = at.ask(read, orders=True), at.zone
    if at.as_json:
        print_json([{"order": order, "history": states, "fills": fills} for order, states, fills in found])
        return
    for order, states, fills in found:
        show("Order", _ORDERS, [order_row(order, zone)])
        show("Its life", _LIFE, [_state_row(one, zone) for one in states])
        rows = [
            {"time": clock(one.ts_event, zone), "quantity": one.quantity, "price": one.price, "trade": one.trade_id}
            for one in fills
        ]
        show("Fills", _FILLS, rows)


def _state_row(order: Order, zone: Any) -> dict[str, Any]:
    return {
        "time": clock(order.ts_event, zone),
        "status": order.status,
        "broker says": order.raw_status,
        "filled": f"{order.filled_quantity:f}/{order.quantity:f}",
        "price": order.price,
        "why": order.reject.text if order.reject else order.status_text,
    }


# -- money -------------------------------------------------------------------------------------------------------------


def positions(at: Account, *, everything: bool) -> None:
    """Print net positions; those that are flat only where `everything` is wanted."""

    async def read(client: Client) -> list[Position]:
        found = await client.portfolio.positions(timeout_s=at.timeout)
        return [one for one in found if one.quantity or everything]

    found = at.ask(read)
    if at.as_json:
        print_json(found)
        return
    rows = [
        {
            "instrument": one.instrument_id,
            "product": one.product,
            "quantity": one.quantity,
            "average": one.average_price,
            "last": one.last_price,
            "pnl": one.pnl,
            "unrealised": one.unrealised_pnl,
            "realised": one.realised_pnl,
        }
        for one in found
    ]
    if any(one.pnl is not None for one in found):
        show("Positions", _POSITIONS, rows)
        _total("P&L", [(one.currency, one.pnl) for one in found])
    else:  # of brokers that tell no day's profit
        told = [replace(column, rank=0) if column.name == "unrealised" else column for column in _POSITIONS]
        show("Positions", [column for column in told if column.name != "pnl"], rows)
        _total("Unrealised P&L", [(one.currency, one.unrealised_pnl) for one in found])


def holdings(at: Account) -> None:
    """Print securities held."""

    async def read(client: Client) -> list[Holding]:
        return await client.account.holdings(timeout_s=at.timeout)

    found = at.ask(read)
    if at.as_json:
        print_json(found)
        return
    rows = [
        {
            "instrument": one.instrument_id,
            "quantity": one.quantity,
            "t1": one.t1_quantity or None,
            "pledged": one.pledged_quantity or None,
            "used": one.used_quantity or None,
            "average": one.average_price,
            "last": one.last_price,
            "pnl": one.pnl,
            "isin": one.isin,
        }
        for one in found
    ]
    show("Holdings", _HOLDINGS, rows)
    if rows:
        _total("P&L", [("", one.pnl) for one in found])


def _total(what: str, values: Sequence[tuple[str, Decimal | None]]) -> None:
    """Print the sum of what is in each currency; nothing where one value is not known."""
    sums: dict[str, Decimal] = {}
    for currency, value in values:
        if value is None:
            return
        sums[currency] = sums.get(currency, Decimal(0)) + value
    if sums:
        named = len(sums) > 1
        told = ", ".join(f"{total:.2f} {name}" if named else f"{total:.2f}" for name, total in sorted(sums.items()))
        print(f"{what} in all: {told}")


def margins(at: Account) -> None:
    """Print margins by segment."""

    async def read(client: Client) -> list[Margin]:
        return list((await client.portfolio.margins(timeout_s=at.timeout)).values())

    found = at.ask(read, instruments=False)
    if at.as_json:
        print_json([plain(one) | {"utilisation": plain(one.utilisation)} for one in found])
        return
    rows = [
        {
            "segment": one.segment,
            "usable": one.net,
            "used": one.used.total,
            "share": None if one.utilisation is None else f"{one.utilisation:.1%}",
            "cash": one.available.cash,
            "collateral": one.available.collateral,
            "span": one.used.span,
            "exposure": one.used.exposure,
        }
        for one in found
    ]
    show("Margins", _MARGINS, rows)
