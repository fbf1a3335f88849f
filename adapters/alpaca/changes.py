"""Changes of orders. Each makes a new order that counts its fills from 0, see `dragoman.plugin.replacing`."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final
from urllib.parse import quote

from dragoman.plugin import Adapter, Context, Flow, Lane, Request, model
from dragoman.plugin.parts import Row, Seen, Stage, Steps, fetch, needed, plain, replaced, text_or_none

from .fields import check_prices, client_id
from .words import CODES, RECORDS, TIME_IN_FORCE, kind_of, reading, refused_change

_STAGE: Final = {"replaced": Stage.REPLACED, "pending_replace": Stage.CHANGING}


class ChangeFlows(Adapter):
    """How orders are changed and canceled."""

    def modify(
        self, order: model.Order, change: model.OrderChange, instrument: model.Instrument, ctx: Context
    ) -> Flow[model.Outcome]:
        RECORDS.check_fixed(order, change, "order_type", "display_quantity", "market_protection")
        check_prices(kind_of(instrument), change.price, change.trigger_price)
        terms = {
            "limit_price": plain(change.price),
            "stop_price": plain(change.trigger_price),
            "time_in_force": TIME_IN_FORCE.write(change.time_in_force) if change.time_in_force else None,
            "trail": plain(change.extras.get(self.name, {}).get("trail")),
        }

        def change_of(order_id: str, quantity: Decimal | None, first: bool) -> Flow[tuple[str, Row]]:
            """Ask for a change of one id; return the id it makes, and its record."""
            name = client_id(order.wire_id, None, ctx)
            fields = {"qty": plain(quantity), "client_order_id": name} | (terms if first else {})
            body = {name: value for name, value in fields.items() if value is not None}
            row = yield from fetch(RECORDS, Request(method="PATCH", path=order_path(order_id), json=body, mutates=True))
            with reading("replace reply"):
                made = text_or_none(row["id"])
                if made is None or text_or_none(row.get("replaces")) not in (None, order_id):
                    raise ValueError(f"order {row['id']} replaces {row.get('replaces')}, expected {order_id}")
                return made, row

        last = order.raw if isinstance(order.raw, Mapping) and order.raw.get("id") == order.order_id else None
        row = last or (yield from read_row(order.order_id))
        if row.get("notional"):
            money = "an order for an amount of money has no quantity to change"
            RECORDS.check((change.quantity is not None, money, "cancel it and place another"))
            made, body = yield from change_of(order.order_id, None, True)
            return model.Outcome.accepted(made, replaces=order.order_id, raw=body)
        with reading("order"):
            given, filled = needed(row, "qty"), needed(row, "filled_qty")
        others = order.filled_quantity if last is None else order.quantity - given
        steps = Steps(change_of, _cancel, _look)
        return (yield from replaced(RECORDS, order, change, given, filled, others, steps))

    def cancel(self, order: model.Order, ctx: Context) -> Flow[model.Outcome]:
        yield from _cancel(order.order_id)
        return model.Outcome.accepted(order.order_id)


def order_path(order_id: str) -> str:
    return f"/v2/orders/{quote(order_id, safe='')}"


def read_row(order_id: str) -> Flow[Row]:
    """Ask for the record of one id."""
    return fetch(RECORDS, Request(path=order_path(order_id)))


def _cancel(order_id: str) -> Flow[None]:
    reply = yield Request(method="DELETE", path=order_path(order_id), mutates=True, lane=Lane.RISK)
    with reading("cancel reply"):
        if reply.status != 204:
            raise ValueError(f"status is {reply.status}, expected 204: a cancel that was taken has no body")


def _look(order_id: str) -> Flow[Seen]:
    row = yield from read_row(order_id)
    with reading("order"):
        stage = Stage.REFUSED if refused_change(row) else _STAGE.get(str(row["status"]), Stage.ITSELF)
        reject = CODES.rejection(row.get("reject_reason")) if stage is Stage.REFUSED else None
        return Seen(stage, needed(row, "filled_qty"), reject, row)
