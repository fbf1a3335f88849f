"""What the account has and what orders would cost: portfolio, conversion, funds, margins, charges, profile."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from dragoman.plugin import Adapter, All, Context, Flow, Request, model
from dragoman.plugin.parts import (
    COMMON_HOLDING_KEYS,
    COMMON_POSITION_KEYS,
    AccountRows,
    Row,
    RowTable,
    at_once,
    fetch,
    fetch_rows,
    given,
    json_number,
    needed,
    number,
    read_profile,
    total_of,
)

from .words import ORDER_TYPE, PRODUCT, RECORDS, ROWS, SIDE, loads, reading, refused, whole

MOST_LEGS: Final = 20
POSITION: Final = AccountRows(
    ROWS,
    "position",
    RowTable(model.Position, **COMMON_POSITION_KEYS),
    # What was carried over night counts into bought and sold.
    lambda row: {
        f"{way}_quantity": number(row.get(f"overnight_{way}_quantity")) + number(row.get(f"day_{way}_quantity"))
        for way in ("buy", "sell")
    },
)
HOLDING: Final = AccountRows(
    ROWS,
    "holding",
    RowTable(model.Holding, **COMMON_HOLDING_KEYS | {"used_quantity": "cnc_used_quantity"}),
    product=lambda row, _: PRODUCT.read(row.get("product")),
)
read_position, read_holding = POSITION.read, HOLDING.read
AVAILABLE: Final = RowTable(
    model.MarginAvailable,
    cash="cash_available_to_trade.total",
    opening_balance="cash_available_to_trade.cash.opening_balance",
    intraday_payin="cash_available_to_trade.cash.added_today",
)
MARGIN: Final = RowTable(
    model.OrderMargin,
    total="total_margin",
    span="span_margin",
    exposure="exposure_margin",
    premium="net_buy_premium",
    additional="additional_margin",
    var="equity_margin",
)
CHARGES: Final = RowTable(
    model.Charges,
    total="total",
    brokerage="brokerage",
    transaction_tax="taxes.stt",
    stamp_duty="taxes.stamp_duty",
    gst="taxes.gst",
)


class MoneyFlows(Adapter):
    """The portfolio's part of the adapter."""

    def positions(self, ctx: Context) -> Flow[list[model.Position]]:
        # Margin-funded positions have a call of their own; whether the first also lists them is not said.
        paths = ("/v2/portfolio/short-term-positions", "/v3/portfolio/mtf-positions")
        replies = yield All([Request(path=path) for path in paths])
        found: dict[tuple[str, model.Product], model.Position] = {}
        for path, reply in zip(paths, replies, strict=True):
            with reading("positions"):
                for row in RECORDS.as_rows(path, loads(reply.body), "data"):
                    position = read_position(row, ctx)
                    found.setdefault((position.instrument_id, position.product), position)
        return list(found.values())

    def holdings(self, ctx: Context) -> Flow[list[model.Holding]]:
        found = yield from fetch_rows(RECORDS, Request(path="/v2/portfolio/long-term-holdings"), "data")
        return [read_holding(row, ctx) for row in found]

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
            "instrument_token": instrument.broker_token,
            "new_product": PRODUCT.write(product),
            "old_product": PRODUCT.write(position.product),
            "transaction_type": "BUY" if position.quantity > 0 else "SELL",
            "quantity": whole(quantity),
        }
        yield Request(method="PUT", path="/v2/portfolio/convert-position", json=body, mutates=True)

    def margins(self, ctx: Context) -> Flow[list[model.Margin]]:
        return [read_funds((yield from fetch(RECORDS, Request(path="/v3/user/get-funds-and-margin"), "data")), ctx)]

    def order_margin(self, orders: Sequence[model.OrderRequest], ctx: Context) -> Flow[list[model.OrderMargin]]:
        found = yield from _margin(orders, ctx)
        with reading("order margin"):
            return _margins(found, orders)

    def basket_margin(
        self, orders: Sequence[model.OrderRequest], ctx: Context, *, consider_positions: bool = True
    ) -> Flow[model.BasketMargin]:
        if not consider_positions:
            raise refused("the margin call has no choice about positions", "leave consider_positions out")
        found = yield from _margin(orders, ctx)
        with reading("basket margin"):
            return model.BasketMargin(
                initial=model.OrderMargin(total=needed(found, "required_margin")),
                final=model.OrderMargin(total=needed(found, "final_margin")),
                orders=tuple(_margins(found, orders)),
                raw=found,
            )

    def charges(self, fills: Sequence[model.Fill], ctx: Context) -> Flow[list[model.Charges]]:
        replies = yield All(
            [
                Request(
                    path="/v2/charges/brokerage",
                    query=(
                        ("instrument_token", RECORDS.instrument(fill.instrument_id, ctx).broker_token),
                        ("quantity", str(whole(fill.quantity))),
                        ("product", PRODUCT.write(fill.product)),
                        ("transaction_type", SIDE.write(fill.side)),
                        ("price", str(json_number(fill.price))),
                    ),
                )
                for fill in fills
            ]
        )
        with reading("charges"):
            return [
                read_charges(loads(reply.body)["data"]["charges"], fill.instrument_id)
                for reply, fill in zip(replies, fills, strict=True)
            ]

    def profile(self, ctx: Context) -> Flow[model.Profile]:
        found = yield from fetch(RECORDS, Request(path="/v2/user/profile"), "data")
        return read_profile(RECORDS, found, PRODUCT, ORDER_TYPE)


def _margin(orders: Sequence[model.OrderRequest], ctx: Context) -> Flow[Any]:
    RECORDS.check(at_once(len(orders), MOST_LEGS))
    legs = [
        {
            "instrument_key": RECORDS.instrument(order.instrument_id, ctx).broker_token,
            "quantity": whole(order.quantity),
            "transaction_type": SIDE.write(order.side),
            "product": PRODUCT.write(order.product),
            "price": json_number(order.price),
        }
        for order in orders
    ]
    request = Request(method="POST", path="/v2/charges/margin", json={"instruments": legs})
    return (yield from fetch(RECORDS, request, "data"))


# -- records -----------------------------------------------------------------------------------------------------------


def read_funds(row: Row, ctx: Context) -> model.Margin:
    """Read the funds of all segments together, as version 3 has them. Raises DecodeError."""
    with reading("funds"):
        free = row["available_to_trade"]
        cash, pledge = free["cash_available_to_trade"], free.get("pledge_available_to_trade") or {}
        both = tuple(part.get("margin_used") or {} for part in (cash, pledge))
        loss = both[0].get("loss") or {}
        collateral, total = number((pledge.get("margin_from_pledge") or {}).get("total")), given(free, "total")
        return model.Margin(
            broker="upstox",
            account_id=ctx.account,
            segment=model.Segment.ALL,
            # The pledge bucket has no total of its own.
            net=needed(cash, "total") + collateral - number(both[1].get("total")) if total is None else total,
            available=AVAILABLE.read(free, collateral=collateral, collateral_pledged=collateral),
            used=model.MarginUsed(
                total=total_of(both, "total"),
                span=total_of(both, "span_exposure"),
                option_premium=total_of(both, "premium_present"),
                var=total_of(both, "cash_margin_var_elm"),
                delivery=total_of([part.get("delivery_margin") or {} for part in both], "total"),
                m2m_realised=given(loss, "realised"),
                m2m_unrealised=given(loss, "unrealised"),
                payout=given(cash.get("cash") or {}, "withdrawn_today"),
            ),
            ts_event=ctx.now_ns,
            raw=row,
        )


def _margins(found: Row, orders: Sequence[model.OrderRequest]) -> list[model.OrderMargin]:
    rows = zip(found["margins"], orders, strict=True)
    return [MARGIN.read(row, instrument_id=order.instrument_id) for row, order in rows]


def read_charges(row: Row, name: str) -> model.Charges:
    """Read charges; the documentation and the official client spell one part differently. Raises DecodeError."""
    with reading("charges"):
        other = row.get("other_charges") or row.get("otherTaxes") or row.get("other_taxes") or {}
        return CHARGES.read(
            row,
            instrument_id=name,
            transaction_tax_type="stt" if (row.get("taxes") or {}).get("stt") else "",
            exchange_fee=total_of(({"": other.get(name)} for name in ("transaction", "clearing", "ipft")), ""),
            regulator_fee=given(other, "sebi_turnover"),
        )
