"""What the account has and what orders would need: portfolio, conversion, funds, margins, profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from dragoman.plugin import Adapter, All, Context, Flow, Request, model
from dragoman.plugin.parts import AccountRows, Row, RowTable, fetch, given, needed, number, total_of

from .words import PRODUCT, RECORDS, ROWS, loads, order_terms, reading, rows, whole

_POSITION: Final = RowTable(
    model.Position,
    quantity="netQty",
    buy_quantity="buyQty",
    buy_price="buyAvg",
    buy_value="buyVal",
    day_buy_quantity="dayBuyQty",
    sell_quantity="sellQty",
    sell_price="sellAvg",
    sell_value="sellVal",
    day_sell_quantity="daySellQty",
    multiplier="qtyMulti_com",
    average_price="netAvg",
    last_price="ltp",
    realised_pnl="realized_profit",
    unrealised_pnl="unrealized_profit",
    pnl="pl",
)
_HOLDING: Final = RowTable(model.Holding, isin="isin", average_price="costPrice", last_price="ltp", pnl="pl")
# The funds are told by number.
AVAILABLE: Final = RowTable(
    model.MarginAvailable, cash="3", opening_balance="9", adhoc="8", collateral="5", intraday_payin="6"
)
USED: Final = RowTable(model.MarginUsed, total="2", m2m_realised="4")
SUMMARY: Final = RowTable(
    model.HoldingsSummary,
    invested="total_investment",
    current_value="total_current_value",
    pnl="total_pl",
    pnl_percent="pnl_perc",
)
SEGMENTS: Final = {model.Segment.EQUITY: "equityAmount", model.Segment.COMMODITY: "commodityAmount"}


class MoneyFlows(Adapter):
    """The portfolio's part of the adapter."""

    def positions(self, ctx: Context) -> Flow[list[model.Position]]:
        return [POSITION.read(row, ctx) for row in (yield from rows("/api/v3/positions", "netPositions"))]

    def holdings(self, ctx: Context) -> Flow[list[model.Holding]]:
        held: dict[str, model.Holding] = {}
        for row in (yield from rows("/api/v3/holdings", "holdings")):
            one = HOLDING.read(row, ctx)
            held[one.instrument_id] = _together(held.get(one.instrument_id), one)
        return list(held.values())

    def holdings_summary(self, ctx: Context) -> Flow[model.HoldingsSummary]:
        row = yield from fetch(RECORDS, Request(path="/api/v3/holdings"), "overall")
        with reading("holdings"):
            return SUMMARY.read(row)

    def convert(
        self,
        position: model.Position,
        quantity: Decimal,
        product: model.Product,
        instrument: model.Instrument,
        ctx: Context,
    ) -> Flow[None]:
        RECORDS.check_conversion(position, quantity)
        body = {
            "symbol": f"{instrument.broker_symbol}-{PRODUCT.write(position.product)}",
            "positionSide": 1 if position.quantity > 0 else -1,
            "convertQty": whole(quantity),
            "convertFrom": PRODUCT.write(position.product),
            "convertTo": PRODUCT.write(product),
            "overnight": int(position.overnight_quantity != 0),
        }
        yield Request(method="POST", path="/api/v3/positions", json=body, mutates=True)

    def margins(self, ctx: Context) -> Flow[list[model.Margin]]:
        return read_funds((yield from fetch(RECORDS, Request(path="/api/v3/funds"))), ctx)

    def order_margin(self, orders: Sequence[model.OrderRequest], ctx: Context) -> Flow[list[model.OrderMargin]]:
        # One number for all orders of a request: each order is asked for alone.
        replies = yield All(
            [
                Request(
                    method="POST",
                    path="/api/v3/multiorder/margin",
                    json={"data": [order_terms(one, RECORDS.instrument(one.instrument_id, ctx))]},
                )
                for one in orders
            ]
        )
        with reading("order margin"):
            found = [loads(reply.body)["data"] for reply in replies]
            return [
                model.OrderMargin(instrument_id=one.instrument_id, total=needed(row, "margin_new_order"), raw=row)
                for one, row in zip(orders, found, strict=True)
            ]

    def profile(self, ctx: Context) -> Flow[model.Profile]:
        row = yield from fetch(RECORDS, Request(path="/api/v3/profile"), "data")
        with reading("profile"):
            return model.Profile(
                broker="fyers",
                account_id=str(row["fy_id"]),
                name=str(row.get("name") or row.get("display_name") or ""),
                email=str(row.get("email_id") or ""),
                type="individual",
                raw=row,
            )


# -- records -----------------------------------------------------------------------------------------------------------


def _held(row: Row) -> dict[str, Any]:
    """Return the parts of a holding; what is not delivered yet has a record of its own."""
    total, left = needed(row, "quantity"), given(row, "remainingQuantity")
    pledged, fresh = number(row.get("collateralQuantity")), row.get("holdingType") == "T1"
    return {
        # What is pledged is a part of the quantity (unverified); here the two stand beside each other.
        "quantity": Decimal(0) if fresh else total - pledged,
        "t1_quantity": total if fresh else number(row.get("qty_t1")),
        "used_quantity": Decimal(0) if left is None else total - left,
        "pledged_quantity": pledged,
    }


POSITION: Final = AccountRows(
    ROWS,
    "position",
    _POSITION,
    lambda row: {"overnight_quantity": number(row.get("cfBuyQty")) - number(row.get("cfSellQty"))},
)
HOLDING: Final = AccountRows(ROWS, "holding", _HOLDING, _held, product=lambda *_: model.Product.DELIVERY)


def _together(one: model.Holding | None, other: model.Holding) -> model.Holding:
    """Add what is on its way to what is delivered of the same paper; the delivered part has the rest to say."""
    if one is None:
        return other
    parts = ("quantity", "t1_quantity", "used_quantity", "pledged_quantity")
    sums = {name: getattr(one, name) + getattr(other, name) for name in parts}
    return replace(one if one.quantity else other, pnl=total_of(({"pnl": one.pnl}, {"pnl": other.pnl}), "pnl"), **sums)


def read_funds(found: Row, ctx: Context) -> list[model.Margin]:
    """Read the funds: one amount of each kind and segment, told apart by number. Raises DecodeError."""
    with reading("funds"):
        amounts = {
            segment: {str(row["id"]): row.get(column) for row in RECORDS.as_rows("funds", found["fund_limit"])}
            for segment, column in SEGMENTS.items()
        }
        return [
            model.Margin(
                broker="fyers",
                account_id=ctx.account,
                segment=segment,
                net=needed(row, "10"),
                available=AVAILABLE.read(row),
                used=USED.read(row),
                ts_event=ctx.now_ns,
                raw=found,
            )
            for segment, row in amounts.items()
        ]
