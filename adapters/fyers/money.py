"""What the account has and what orders would need: portfolio, conversion, funds, margins, profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from dragoman.plugin import Adapter, All, Context, Flow, Request, model
from dragoman.plugin.records import Row, given, json_number, needed, nonzero, number, text_or_none

from .words import ORDER_TYPE, PRODUCT, RECORDS, SIDE, listed, loads, place_of, reading, whole

SEGMENTS: Final = {model.Segment.EQUITY: "equityAmount", model.Segment.COMMODITY: "commodityAmount"}


class MoneyFlows(Adapter):
    """The portfolio's part of the adapter."""

    def positions(self, ctx: Context) -> Flow[list[model.Position]]:
        found = yield from _body("/api/v3/positions")
        return [read_position(row, ctx) for row in listed("positions", found, "netPositions")]

    def holdings(self, ctx: Context) -> Flow[list[model.Holding]]:
        found = yield from _body("/api/v3/holdings")
        held: dict[str, model.Holding] = {}
        for row in listed("holdings", found, "holdings"):
            one = read_holding(row, ctx)
            held[one.instrument_id] = _together(held.get(one.instrument_id), one)
        return list(held.values())

    def holdings_summary(self, ctx: Context) -> Flow[model.HoldingsSummary]:
        return read_summary((yield from _body("/api/v3/holdings")))

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
        return read_funds((yield from _body("/api/v3/funds")), ctx)

    def order_margin(self, orders: Sequence[model.OrderRequest], ctx: Context) -> Flow[list[model.OrderMargin]]:
        # One number for all orders of a request: each order is asked for alone.
        replies = yield All(
            [
                Request(method="POST", path="/api/v3/multiorder/margin", json={"data": [_leg(one, ctx)]})
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
        found = yield from _body("/api/v3/profile")
        with reading("profile"):
            row = found["data"]
            return model.Profile(
                broker="fyers",
                account_id=str(row["fy_id"]),
                name=str(row.get("name") or row.get("display_name") or ""),
                email=str(row.get("email_id") or ""),
                type="individual",
                exchanges=(),
                products=(),
                order_types=(),
                raw=row,
            )


def _body(path: str) -> Flow[Mapping[str, Any]]:
    reply = yield Request(path=path)
    found: Mapping[str, Any] = loads(reply.body)
    return found


def _leg(order: model.OrderRequest, ctx: Context) -> dict[str, Any]:
    return {
        "symbol": RECORDS.instrument(order.instrument_id, ctx).broker_symbol,
        "qty": whole(order.quantity),
        "side": int(SIDE.write(order.side)),
        "type": int(ORDER_TYPE.write(order.order_type)),
        "productType": PRODUCT.write(order.product),
        "limitPrice": json_number(order.price),
        "stopPrice": json_number(order.trigger_price),
        "stopLoss": 0,
        "takeProfit": 0,
    }


# -- records -----------------------------------------------------------------------------------------------------------


def read_position(row: Row, ctx: Context) -> model.Position:
    """Read one position. Raises DecodeError."""
    with reading("position"):
        name, _ = place_of(row, ctx)
        sides: dict[str, Any] = {}
        for way in ("buy", "sell"):
            sides[f"{way}_quantity"] = number(row.get(f"{way}Qty"))
            sides[f"{way}_price"] = number(row.get(f"{way}Avg"))
            sides[f"{way}_value"] = number(row.get(f"{way}Val"))
            sides[f"day_{way}_quantity"] = number(row.get(f"day{way.title()}Qty"))
        return model.Position(
            broker="fyers",
            account_id=ctx.account,
            instrument_id=name,
            product=PRODUCT.read(row.get("productType")),
            quantity=needed(row, "netQty"),
            overnight_quantity=number(row.get("cfBuyQty")) - number(row.get("cfSellQty")),
            multiplier=nonzero(row, "qtyMulti_com") or Decimal(1),
            average_price=nonzero(row, "netAvg"),
            last_price=nonzero(row, "ltp"),
            realised_pnl=given(row, "realized_profit"),
            unrealised_pnl=given(row, "unrealized_profit"),
            pnl=given(row, "pl"),
            raw=row,
            **sides,
        )


def read_holding(row: Row, ctx: Context) -> model.Holding:
    """Read one holding; what is not delivered yet has a record of its own. Raises DecodeError."""
    with reading("holding"):
        name, _ = place_of(row, ctx)
        total, left = needed(row, "quantity"), given(row, "remainingQuantity")
        pledged = number(row.get("collateralQuantity"))
        fresh = row.get("holdingType") == "T1"
        return model.Holding(
            broker="fyers",
            account_id=ctx.account,
            instrument_id=name,
            isin=text_or_none(row.get("isin")),
            # What is pledged is a part of the quantity (unverified); here the two stand beside each other.
            quantity=Decimal(0) if fresh else total - pledged,
            t1_quantity=total if fresh else number(row.get("qty_t1")),
            used_quantity=Decimal(0) if left is None else total - left,
            pledged_quantity=pledged,
            average_price=nonzero(row, "costPrice"),
            last_price=nonzero(row, "ltp"),
            pnl=given(row, "pl"),
            raw=row,
        )


def _together(one: model.Holding | None, other: model.Holding) -> model.Holding:
    """Add what is on its way to what is delivered of the same paper; the delivered part has the rest to say."""
    if one is None:
        return other
    main = one if one.quantity else other
    parts = ("quantity", "t1_quantity", "used_quantity", "pledged_quantity")
    sums = {name: getattr(one, name) + getattr(other, name) for name in parts}
    return replace(main, pnl=_sum(one.pnl, other.pnl), **sums)


def _sum(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    return other if one is None else one if other is None else one + other


def read_summary(found: Row) -> model.HoldingsSummary:
    """Read the sums under the holdings. Raises DecodeError."""
    with reading("holdings"):
        row = found["overall"]
        return model.HoldingsSummary(
            invested=needed(row, "total_investment"),
            current_value=needed(row, "total_current_value"),
            pnl=needed(row, "total_pl"),
            pnl_percent=given(row, "pnl_perc"),
            raw=row,
        )


def read_funds(found: Row, ctx: Context) -> list[model.Margin]:
    """Read the funds: one amount of each kind and segment, told apart by number. Raises DecodeError."""
    with reading("funds"):
        rows = {int(row["id"]): row for row in RECORDS.as_rows("funds", found["fund_limit"])}

        def amount(kind: int, column: str) -> Decimal | None:
            return given(rows[kind], column) if kind in rows else None

        return [
            model.Margin(
                broker="fyers",
                account_id=ctx.account,
                segment=segment,
                net=needed(rows[10], column),
                available=model.MarginAvailable(
                    cash=amount(3, column),
                    opening_balance=amount(9, column),
                    adhoc=amount(8, column),
                    collateral=amount(5, column),
                    intraday_payin=amount(6, column),
                ),
                used=model.MarginUsed(total=amount(2, column), m2m_realised=amount(4, column)),
                ts_event=ctx.now_ns,
                raw=found,
            )
            for segment, column in SEGMENTS.items()
        ]
