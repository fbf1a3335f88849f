"""What the account has and what orders would cost: portfolio, conversion, funds, margins, charges, profile."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from dragoman.plugin import Adapter, All, Context, Flow, Request, model
from dragoman.plugin.records import Row, given, json_number, needed, nonzero, number, text_or_none

from .words import ORDER_TYPE, PRODUCT, RECORDS, SIDE, loads, place_of, read_product, reading, refused, whole

MOST_LEGS: Final = 20
_DAY: Final = tuple(f"day_{way}_{what}" for way in ("buy", "sell") for what in ("quantity", "price", "value"))


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
        path = "/v2/portfolio/long-term-holdings"
        found = yield from _data(Request(path=path))
        return [read_holding(row, ctx) for row in RECORDS.as_rows(path, found)]

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
        return [read_funds((yield from _data(Request(path="/v3/user/get-funds-and-margin"))), ctx)]

    def order_margin(self, orders: Sequence[model.OrderRequest], ctx: Context) -> Flow[list[model.OrderMargin]]:
        found = yield from _margin(orders, ctx)
        with reading("order margin"):
            return [read_margin(row, order.instrument_id) for row, order in zip(found["margins"], orders, strict=True)]

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
                orders=tuple(
                    read_margin(row, order.instrument_id) for row, order in zip(found["margins"], orders, strict=True)
                ),
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
        return read_profile((yield from _data(Request(path="/v2/user/profile"))))


def _data(request: Request) -> Flow[Any]:
    reply = yield request
    with reading(request.path):
        return loads(reply.body)["data"]


def _margin(orders: Sequence[model.OrderRequest], ctx: Context) -> Flow[Any]:
    if not 0 < len(orders) <= MOST_LEGS:
        raise refused(f"the margin call takes 1 to {MOST_LEGS} orders, found {len(orders)}", "split the list")
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
    return (yield from _data(Request(method="POST", path="/v2/charges/margin", json={"instruments": legs})))


# -- records -----------------------------------------------------------------------------------------------------------


def read_position(row: Row, ctx: Context) -> model.Position:
    """Read one position; what was carried over night counts into bought and sold. Raises DecodeError."""
    with reading("position"):
        name, exchange = place_of(row, ctx)
        day: dict[str, Any] = {key: number(row.get(key)) for key in _DAY}
        sides: dict[str, Any] = {}
        for way in ("buy", "sell"):
            carried = number(row.get(f"overnight_{way}_quantity"))
            sides[f"{way}_quantity"] = carried + day[f"day_{way}_quantity"]
            sides |= {f"{way}_{what}": number(row.get(f"{way}_{what}")) for what in ("price", "value")}
        return model.Position(
            broker="upstox",
            account_id=ctx.account,
            instrument_id=name,
            product=read_product(row.get("product"), exchange),
            quantity=needed(row, "quantity"),
            overnight_quantity=number(row.get("overnight_quantity")),
            multiplier=nonzero(row, "multiplier") or Decimal(1),
            average_price=nonzero(row, "average_price"),
            last_price=nonzero(row, "last_price"),
            close_price=nonzero(row, "close_price"),
            realised_pnl=given(row, "realised"),
            unrealised_pnl=given(row, "unrealised"),
            pnl=given(row, "pnl"),
            value=given(row, "value"),
            raw=row,
            **day,
            **sides,
        )


def read_holding(row: Row, ctx: Context) -> model.Holding:
    """Read one holding. Raises DecodeError."""
    with reading("holding"):
        name, _ = place_of(row, ctx)
        return model.Holding(
            broker="upstox",
            account_id=ctx.account,
            instrument_id=name,
            isin=text_or_none(row.get("isin")),
            product=PRODUCT.read(row.get("product")),
            quantity=needed(row, "quantity"),
            t1_quantity=number(row.get("t1_quantity")),
            used_quantity=number(row.get("cnc_used_quantity")),
            pledged_quantity=number(row.get("collateral_quantity")),
            collateral_type=text_or_none(row.get("collateral_type")),
            average_price=nonzero(row, "average_price"),
            last_price=nonzero(row, "last_price"),
            close_price=nonzero(row, "close_price"),
            pnl=given(row, "pnl"),
            day_change=given(row, "day_change"),
            day_change_percent=given(row, "day_change_percentage"),
            raw=row,
        )


def read_funds(row: Row, ctx: Context) -> model.Margin:
    """Read the funds of all segments together, as version 3 has them. Raises DecodeError."""
    with reading("funds"):
        free = row["available_to_trade"]
        cash, pledge = free["cash_available_to_trade"], free.get("pledge_available_to_trade") or {}
        breakdown, spent = (cash.get(name) or {} for name in ("cash", "margin_used"))
        loss = spent.get("loss") or {}
        pledged, pledge_spent = (pledge.get(name) or {} for name in ("margin_from_pledge", "margin_used"))
        collateral, pledge_used = number(pledged.get("total")), number(pledge_spent.get("total"))
        both = (spent, pledge_spent)
        total = given(free, "total")
        return model.Margin(
            broker="upstox",
            account_id=ctx.account,
            segment=model.Segment.ALL,
            # The pledge bucket has no total of its own.
            net=needed(cash, "total") + collateral - pledge_used if total is None else total,
            available=model.MarginAvailable(
                cash=given(cash, "total"),
                opening_balance=given(breakdown, "opening_balance"),
                intraday_payin=given(breakdown, "added_today"),
                collateral=collateral,
                collateral_pledged=collateral,
            ),
            used=model.MarginUsed(
                total=_sum(both, "total"),
                span=_sum(both, "span_exposure"),
                option_premium=_sum(both, "premium_present"),
                var=_sum(both, "cash_margin_var_elm"),
                delivery=_sum([part.get("delivery_margin") or {} for part in both], "total"),
                m2m_realised=given(loss, "realised"),
                m2m_unrealised=given(loss, "unrealised"),
            ),
            ts_event=ctx.now_ns,
            raw=row,
        )


def _sum(rows: Sequence[Row], key: str) -> Decimal | None:
    found = [number(row[key]) for row in rows if row.get(key) is not None]
    return sum(found, Decimal(0)) if found else None


def read_margin(row: Row, name: str) -> model.OrderMargin:
    """Read what one leg needs. Raises DecodeError."""
    with reading("order margin"):
        return model.OrderMargin(
            instrument_id=name,
            total=needed(row, "total_margin"),
            span=given(row, "span_margin"),
            exposure=given(row, "exposure_margin"),
            premium=given(row, "net_buy_premium"),
            additional=given(row, "additional_margin"),
            var=given(row, "equity_margin"),
            raw=row,
        )


def read_charges(row: Row, name: str) -> model.Charges:
    """Read charges; the documentation and the official client spell one part differently. Raises DecodeError."""
    with reading("charges"):
        taxes = row.get("taxes") or {}
        other = row.get("other_charges") or row.get("otherTaxes") or row.get("other_taxes") or {}
        return model.Charges(
            instrument_id=name,
            total=needed(row, "total"),
            brokerage=given(row, "brokerage"),
            transaction_tax=given(taxes, "stt"),
            transaction_tax_type="stt" if given(taxes, "stt") else "",
            stamp_duty=given(taxes, "stamp_duty"),
            gst=given(taxes, "gst"),
            exchange_fee=_sum([other, {"transaction": other.get("clearing")}], "transaction"),
            regulator_fee=given(other, "sebi_turnover"),
            raw=row,
        )


def read_profile(row: Row) -> model.Profile:
    """Read the profile. Raises DecodeError."""
    with reading("profile"):
        products = (PRODUCT.read(word) for word in row.get("products") or ())
        types = (ORDER_TYPE.read(word) for word in row.get("order_types") or ())
        return model.Profile(
            broker="upstox",
            account_id=str(row["user_id"]),
            name=str(row.get("user_name") or ""),
            email=str(row.get("email") or ""),
            type=str(row.get("user_type") or ""),
            exchanges=tuple(str(word) for word in row.get("exchanges") or ()),
            products=tuple(one for one in products if one is not model.Product.UNKNOWN),
            order_types=tuple(one for one in types if one is not model.OrderType.UNKNOWN),
            raw=row,
        )
