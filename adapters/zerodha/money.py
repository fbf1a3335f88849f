"""Holdings, conversion, margins and charges before the fact, and who the account is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

from dragoman.plugin import Adapter, Context, ErrorKind, Flow, MarginTerms, Request, model
from dragoman.plugin.records import Row, given, needed, nonzero, number, pairs, text_or_none

from . import words
from .forms import data, fetch, rows, whole
from .words import ORDER_TYPE, PRODUCT, RECORDS, SIDE, VARIETY, instrument_id, reading, refused, time_ns

AUTHORISE_PAGE: Final = "/connect/portfolio/authorise/holdings/{api_key}/{request_id}"
_MOST_ORDERS: Final = 200


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
        return read_profile((yield from data("/user/profile")))

    def holdings(self, ctx: Context) -> Flow[list[model.Holding]]:
        return [read_holding(row, ctx) for row in (yield from rows("/portfolio/holdings"))]

    def holdings_summary(self, ctx: Context) -> Flow[model.HoldingsSummary]:
        found = yield from data("/portfolio/holdings/summary")
        with reading("holdings summary"):
            return model.HoldingsSummary(
                broker="zerodha",
                account_id=ctx.account,
                invested=needed(found, "invested_amount"),
                current_value=needed(found, "current_value"),
                pnl=needed(found, "total_pnl"),
                pnl_percent=given(found, "total_pnl_percent"),
                day_change=given(found, "today_pnl"),
                day_change_percent=given(found, "today_pnl_percent"),
                raw=found,
            )

    def auctions(self, ctx: Context) -> Flow[list[model.Holding]]:
        return [read_holding(row, ctx) for row in (yield from rows("/portfolio/holdings/auctions"))]

    def authorise_holdings(self, holdings: Sequence[model.Holding], ctx: Context) -> Flow[model.HoldingsAuthorisation]:
        if any(not item.isin for item in holdings):
            raise refused("a holding without an ISIN cannot be authorised", "read holdings() and pass those")
        form = tuple(
            pair for item in holdings for pair in (("isin", str(item.isin)), ("quantity", whole(item.quantity) or "0"))
        )
        found = yield from fetch(Request(method="POST", path="/portfolio/holdings/authorise", form=form, mutates=True))
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
    if not 0 < len(items) <= _MOST_ORDERS:
        raise refused(f"{path} takes 1 to {_MOST_ORDERS} orders, found {len(items)}", "split the list")
    return (yield from fetch(Request(method="POST", path=path, query=query, json=items)))


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


def read_holding(row: Row, ctx: Context) -> model.Holding:
    """Read one holding, of the list or of the auction list. Raises DecodeError."""
    with reading("holding"):
        return model.Holding(
            broker="zerodha",
            account_id=ctx.account,
            instrument_id=instrument_id(row, ctx),
            isin=text_or_none(row.get("isin")),
            product=PRODUCT.read(row.get("product")),
            quantity=needed(row, "quantity"),
            t1_quantity=number(row.get("t1_quantity")),
            used_quantity=number(row.get("used_quantity")),
            authorised_quantity=number(row.get("authorised_quantity")),
            pledged_quantity=number(row.get("collateral_quantity")),
            collateral_type=text_or_none(row.get("collateral_type")),
            settled_quantity=given(row, "realised_quantity"),
            opening_quantity=given(row, "opening_quantity"),
            short_quantity=number(row.get("short_quantity")),
            average_price=nonzero(row, "average_price"),
            last_price=nonzero(row, "last_price"),
            close_price=nonzero(row, "close_price"),
            pnl=given(row, "pnl"),
            day_change=given(row, "day_change"),
            day_change_percent=given(row, "day_change_percentage"),
            discrepancy=bool(row.get("discrepancy")),
            auction_number=text_or_none(row.get("auction_number")),
            ts_authorised=time_ns(row.get("authorised_date")),
            mtf=_mtf(row.get("mtf") or {}),
            raw=row,
        )


def _mtf(row: Row) -> model.MtfHolding | None:
    if not any(number(value) for value in row.values()):
        return None
    return model.MtfHolding(
        quantity=needed(row, "quantity"),
        used_quantity=number(row.get("used_quantity")),
        average_price=nonzero(row, "average_price"),
        value=given(row, "value"),
        initial_margin=given(row, "initial_margin"),
    )


def read_order_margin(row: Row, ctx: Context) -> model.OrderMargin:
    """Read one order's margin, or a basket's sum, which names no instrument. Raises DecodeError."""
    with reading("order margin"):
        name = instrument_id(row, ctx) if row.get("tradingsymbol") else ""
        detail = read_charges(row["charges"], name) if row.get("charges") else None
        pnl = row.get("pnl") or {}
        return model.OrderMargin(
            instrument_id=name,
            total=needed(row, "total"),
            span=given(row, "span"),
            exposure=given(row, "exposure"),
            premium=given(row, "option_premium"),
            additional=given(row, "additional"),
            var=given(row, "var"),
            cash=given(row, "cash"),
            realised_pnl=given(pnl, "realised"),
            unrealised_pnl=given(pnl, "unrealised"),
            leverage=given(row, "leverage"),
            charges=detail.total if detail else None,
            detail=detail,
            raw=row,
        )


def read_charges(row: Row, name: str) -> model.Charges:
    """Read charges. Raises DecodeError."""
    with reading("charges"):
        return model.Charges(
            instrument_id=name,
            total=needed(row, "total"),
            transaction_tax=given(row, "transaction_tax"),
            transaction_tax_type=str(row.get("transaction_tax_type") or ""),
            exchange_fee=given(row, "exchange_turnover_charge"),
            regulator_fee=given(row, "sebi_turnover_charge"),
            brokerage=given(row, "brokerage"),
            stamp_duty=given(row, "stamp_duty"),
            gst=given(row.get("gst") or {}, "total"),
            raw=row,
        )


def read_profile(row: Row) -> model.Profile:
    """Read the profile, short or full. Raises DecodeError."""
    with reading("profile"):
        products = (PRODUCT.read(word) for word in row.get("products") or ())
        types = (ORDER_TYPE.read(word) for word in row.get("order_types") or ())
        return model.Profile(
            broker="zerodha",
            account_id=str(row["user_id"]),
            name=str(row.get("user_name") or ""),
            short_name=str(row.get("user_shortname") or ""),
            email=str(row.get("email") or ""),
            type=str(row.get("user_type") or ""),
            exchanges=tuple(str(word) for word in row.get("exchanges") or ()),
            products=tuple(one for one in products if one is not model.Product.UNKNOWN),
            order_types=tuple(one for one in types if one is not model.OrderType.UNKNOWN),
            raw=row,
        )
