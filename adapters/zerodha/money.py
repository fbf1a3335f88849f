"""Holdings, conversion, margins and charges before the fact, and who the account is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

from dragoman.plugin import Adapter, Context, ErrorKind, Flow, MarginTerms, Request, model
from dragoman.plugin.parts import (
    COMMON_HOLDING_KEYS,
    AccountRows,
    Row,
    RowTable,
    at_once,
    fetch,
    number,
    pairs,
    read_profile,
)

from . import words
from .forms import data, rows, whole
from .words import ORDER_TYPE, PRODUCT, RECORDS, ROWS, SIDE, VARIETY, instrument_id, reading, refused, time_ns

AUTHORISE_PAGE: Final = "/connect/portfolio/authorise/holdings/{api_key}/{request_id}"
_MOST_ORDERS: Final = 200
_HOLDING: Final = RowTable(
    model.Holding,
    **COMMON_HOLDING_KEYS,
    used_quantity="used_quantity",
    authorised_quantity="authorised_quantity",
    settled_quantity="realised_quantity",
    opening_quantity="opening_quantity",
    short_quantity="short_quantity",
    discrepancy="discrepancy",
    auction_number="auction_number",
)
_MTF: Final = RowTable(
    model.MtfHolding,
    quantity="quantity",
    used_quantity="used_quantity",
    average_price="average_price",
    value="value",
    initial_margin="initial_margin",
)
SUMMARY: Final = RowTable(
    model.HoldingsSummary,
    invested="invested_amount",
    current_value="current_value",
    pnl="total_pnl",
    pnl_percent="total_pnl_percent",
    day_change="today_pnl",
    day_change_percent="today_pnl_percent",
)
MARGIN: Final = RowTable(
    model.OrderMargin,
    total="total",
    span="span",
    exposure="exposure",
    premium="option_premium",
    additional="additional",
    var="var",
    cash="cash",
    realised_pnl="pnl.realised",
    unrealised_pnl="pnl.unrealised",
    leverage="leverage",
)
CHARGES: Final = RowTable(
    model.Charges,
    total="total",
    transaction_tax="transaction_tax",
    transaction_tax_type="transaction_tax_type",
    exchange_fee="exchange_turnover_charge",
    regulator_fee="sebi_turnover_charge",
    brokerage="brokerage",
    stamp_duty="stamp_duty",
    gst="gst.total",
)


class MoneyFlows(Adapter):
    """The portfolio's part of the adapter."""

    margin_terms = MarginTerms(profit_in_used=True)

    def positions(self, ctx: Context) -> Flow[list[model.Position]]:
        found = yield from data("/portfolio/positions")
        with reading("positions"):
            return [words.read_position(row, ctx) for row in RECORDS.as_rows("/portfolio/positions", found, "net")]

    def margins(self, ctx: Context) -> Flow[list[model.Margin]]:
        found = yield from data("/user/margins")
        with reading("margins"):
            # A segment that is new to us would need a name in the model: until then the known ones are still right.
            known = [(words.SEGMENT[name], row) for name, row in found.items() if name in words.SEGMENT]
            return [words.read_margin(segment, row, ctx) for segment, row in known]

    def profile(self, ctx: Context) -> Flow[model.Profile]:
        return read_profile(RECORDS, (yield from data("/user/profile")), PRODUCT, ORDER_TYPE)

    def holdings(self, ctx: Context) -> Flow[list[model.Holding]]:
        return [read_holding(row, ctx) for row in (yield from rows("/portfolio/holdings"))]

    def holdings_summary(self, ctx: Context) -> Flow[model.HoldingsSummary]:
        found = yield from data("/portfolio/holdings/summary")
        with reading("holdings summary"):
            return SUMMARY.read(found, broker="zerodha", account_id=ctx.account)

    def auctions(self, ctx: Context) -> Flow[list[model.Holding]]:
        return [read_holding(row, ctx) for row in (yield from rows("/portfolio/holdings/auctions"))]

    def authorise_holdings(self, holdings: Sequence[model.Holding], ctx: Context) -> Flow[model.HoldingsAuthorisation]:
        if any(not item.isin for item in holdings):
            raise refused("a holding without an ISIN cannot be authorised", "read holdings() and pass those")
        form = tuple(
            pair for item in holdings for pair in (("isin", str(item.isin)), ("quantity", whole(item.quantity) or "0"))
        )
        found = yield from fetch(
            RECORDS, Request(method="POST", path="/portfolio/holdings/authorise", form=form, mutates=True), "data"
        )
        with reading("authorisation"):
            request_id, key = str(found["request_id"]), ctx.credentials["api_key"].reveal()
        root = ctx.hosts["login"].split("/connect/", 1)[0]
        page = AUTHORISE_PAGE.format(api_key=quote(key, safe=""), request_id=quote(request_id, safe=""))
        return model.HoldingsAuthorisation(request_id=request_id, url=root + page)

    def convert(
        self,
        position: model.Position,
        quantity: Decimal,
        product: model.Product,
        instrument: model.Instrument,
        ctx: Context,
    ) -> Flow[None]:
        form = pairs(
            exchange=instrument.exchange,
            tradingsymbol=instrument.broker_symbol,
            transaction_type="BUY" if position.quantity > 0 else "SELL",
            position_type=_part(position, quantity),
            quantity=whole(quantity),
            old_product=PRODUCT.write(position.product),
            new_product=PRODUCT.write(product),
        )
        yield Request(method="PUT", path="/portfolio/positions", form=form, mutates=True)

    def order_margin(self, orders: Sequence[model.OrderRequest], ctx: Context) -> Flow[list[model.OrderMargin]]:
        found = yield from _calculate("/margins/orders", [_item(order, ctx) for order in orders])
        return [read_order_margin(row, ctx) for row in RECORDS.as_rows("/margins/orders", found)]

    def basket_margin(
        self, orders: Sequence[model.OrderRequest], ctx: Context, *, consider_positions: bool = True
    ) -> Flow[model.BasketMargin]:
        query = (("consider_positions", "true" if consider_positions else "false"),)
        found = yield from _calculate("/margins/basket", [_item(order, ctx) for order in orders], query)
        with reading("basket margin"):
            return model.BasketMargin(
                initial=read_order_margin(found["initial"], ctx),
                final=read_order_margin(found["final"], ctx),
                orders=tuple(read_order_margin(row, ctx) for row in found["orders"]),
                charges=read_charges(found["charges"], "") if found.get("charges") else None,
                raw=found,
            )

    def charges(self, fills: Sequence[model.Fill], ctx: Context) -> Flow[list[model.Charges]]:
        items = [
            {
                "order_id": fill.order_id,
                **_names(fill.instrument_id, ctx),
                "transaction_type": SIDE.write(fill.side),
                # The calculator asks for both; what a fill does not know makes no difference to its charges.
                "variety": "regular",
                "order_type": "LIMIT",
                "product": PRODUCT.write(fill.product),
                "quantity": int(fill.quantity),
                "average_price": float(fill.price),
            }
            for fill in fills
        ]
        found = yield from _calculate("/charges/orders", items)
        with reading("charges"):
            rows_ = RECORDS.as_rows("/charges/orders", found)
            return [replace(read_charges(row["charges"], instrument_id(row, ctx)), raw=row) for row in rows_]


def _part(position: model.Position, quantity: Decimal) -> str:
    """Say which part of a position is converted: the broker keeps today's and the one carried over apart."""
    size, carried = abs(position.quantity), position.overnight_quantity
    RECORDS.check_conversion(position, quantity)
    overnight = min(abs(carried), size) if carried * position.quantity > 0 else Decimal(0)
    if quantity <= size - overnight:
        return "day"
    if quantity <= overnight:
        return "overnight"
    raise refused(
        f"{quantity} of {position.instrument_id} is partly from today, partly carried over",
        f"convert {overnight} and {size - overnight} one after the other",
        kind=ErrorKind.INVALID_QUANTITY,
    )


def _calculate(path: str, items: list[dict[str, Any]], query: tuple[tuple[str, str], ...] = ()) -> Flow[Any]:
    RECORDS.check(at_once(len(items), _MOST_ORDERS))
    return (yield from fetch(RECORDS, Request(method="POST", path=path, query=query, json=items), "data"))


def _names(name: str, ctx: Context) -> dict[str, str]:
    instrument = RECORDS.instrument(name, ctx)
    return {"exchange": instrument.exchange, "tradingsymbol": instrument.broker_symbol}


def _item(order: model.OrderRequest, ctx: Context) -> dict[str, Any]:
    return {
        **_names(order.instrument_id, ctx),
        "transaction_type": SIDE.write(order.side),
        "variety": VARIETY.write(order.variety),
        "product": PRODUCT.write(order.product),
        "order_type": ORDER_TYPE.write(order.order_type),
        "quantity": int(whole(order.quantity) or 0),
        "price": float(order.price or 0),
        "trigger_price": float(order.trigger_price or 0),
    }


# -- records -----------------------------------------------------------------------------------------------------------


def _more_of(row: Row) -> dict[str, Any]:
    mtf = row.get("mtf") or {}
    borrowed = _MTF.read(mtf) if any(map(number, mtf.values())) else None
    return {"mtf": borrowed, "ts_authorised": time_ns(row.get("authorised_date"))}


read_holding: Final = AccountRows(ROWS, "holding", _HOLDING, _more_of).read
"""Of the list, or of the auction list."""


def read_order_margin(row: Row, ctx: Context) -> model.OrderMargin:
    """Read one order's margin, or a basket's sum, which names no instrument. Raises DecodeError."""
    with reading("order margin"):
        name = instrument_id(row, ctx) if row.get("tradingsymbol") else ""
        detail = read_charges(row["charges"], name) if row.get("charges") else None
        return MARGIN.read(row, instrument_id=name, charges=detail.total if detail else None, detail=detail)


def read_charges(row: Row, name: str) -> model.Charges:
    """Read charges. Raises DecodeError."""
    with reading("charges"):
        return CHARGES.read(row, instrument_id=name)
