"""Orders and trades of a broker whose records are flat: a table of keys, and what follows from what they hold.

What an adapter says is where each value stands, what the broker's words mean and how its times are read. The rest is
the same for all: what remains, what was canceled, whether an order that works is partly filled, and what to make of a
word that tells only what is in flight.

Example
-------
>>> keys = COMMON_ORDER_KEYS | {"text": "reason"}
>>> sorted(keys)[:3]
['accepted', 'account', 'average_price']
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeAlias

from dragoman.model import Fill, Order, OrderStatus, OrderType, Pending, Product, Side, TimeInForce, Variety
from dragoman.plugin.codes import CodeTable, EnumMap
from dragoman.plugin.context import Context
from dragoman.plugin.records import Records, Row, needed, nonzero, number, side_of, text_or_none

Keys: TypeAlias = Mapping[str, str | tuple[str, ...]]
"""What is asked for -> its key in the record, or several of which the first that holds something counts."""

S = OrderStatus
_WORKING: Final = (S.OPEN, S.TRIGGER_PENDING)
_ZERO: Final = Decimal(0)

COMMON_ORDER_KEYS: Final[dict[str, str | tuple[str, ...]]] = {
    "quantity": "quantity",
    "filled": "filled_quantity",
    "canceled": "cancelled_quantity",
    "side": "transaction_type",
    "order_type": "order_type",
    "product": "product",
    "validity": "validity",
    "order_id": "order_id",
    "exchange_order_id": "exchange_order_id",
    "parent_order_id": "parent_order_id",
    "price": "price",
    "trigger_price": "trigger_price",
    "average_price": "average_price",
    "display_quantity": "disclosed_quantity",
    "market_protection": "market_protection",
    "text": ("status_message", "status_message_raw"),
    "tag": "tag",
    "account": ("account_id", "user_id", "placed_by"),
    "placed_by": "placed_by",
    "at_exchange": "exchange_order_id",
    "created": "order_timestamp",
    "accepted": "exchange_timestamp",
    "changed": ("order_timestamp", "exchange_timestamp"),
}
"""The spelling that several brokers share; `created`, `accepted` and `changed` take all their times, not the first."""

COMMON_FILL_KEYS: Final[dict[str, str | tuple[str, ...]]] = {
    "trade_id": "trade_id",
    "order_id": "order_id",
    "exchange_order_id": "exchange_order_id",
    "side": "transaction_type",
    "product": "product",
    "quantity": "quantity",
    "price": "average_price",
}


def _no_change(word: str) -> Pending:
    return Pending.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRows:
    """How one broker's records of orders and trades are read.

    Attributes
    ----------
    records, codes
        In whose name errors are, and what the words of a rejection mean.
    keys, fill_keys : mapping
        Where values stand, see `COMMON_ORDER_KEYS`; what is left out the broker does not tell.
    status : callable
        Returns the broker's word and what it means; None for a word that tells only what is in flight, or that
        something changed: the status is then a guess from the other fields.
    place : callable
        Returns canonical id and exchange of a record's instrument.
    side, order_type, validity : EnumMap
        Words. A side has to be known.
    product : callable
        Reads a word, and the exchange it was said of.
    variety : callable
        Of a whole record.
    time_ns, fill_time : callable
        Read one value, and a trade's whole record, as ns UTC.
    pending : callable
        What change a status word says is in flight.
    tag : callable
        Reads what the broker made of our tag.
    """

    records: Records
    codes: CodeTable
    keys: Keys
    fill_keys: Keys
    status: Callable[[Row], tuple[str, OrderStatus | None]]
    place: Callable[[Row, Context], tuple[str, str]]
    side: EnumMap[Side | None]
    order_type: EnumMap[OrderType]
    validity: EnumMap[TimeInForce]
    product: Callable[[str | None, str], Product]
    variety: Callable[[Row], Variety]
    time_ns: Callable[[Any], int | None]
    fill_time: Callable[[Row, Context], int | None]
    pending: Callable[[str], Pending] = _no_change
    tag: Callable[[Any], str | None] = text_or_none

    def order(self, row: Row, ctx: Context, **told: Any) -> Order:
        """Read an order; `told` are fields the adapter knows better.

        Raises
        ------
        DecodeError
            Where a field that every order has is missing or of the wrong type.
        """
        with self.records.reading("order"):
            at = _Place(row, self.keys)
            word, meant = self.status(row)
            name, exchange = self.place(row, ctx)
            quantity, filled = needed(row, at["quantity"]), needed(row, at["filled"])
            order_type = self.order_type.read(at.text("order_type"))
            status = _guess(at, order_type, quantity, filled) if meant is None else meant
            if status in _WORKING and filled > 0:
                status = S.PARTIALLY_FILLED
            ended = status.terminal
            canceled = quantity - filled if status in (S.CANCELED, S.EXPIRED) else number(row.get(at["canceled"]))
            created, accepted, changed = (self._times(row, name) for name in ("created", "accepted", "changed"))
            order_id, text = str(row[at["order_id"]]), at.text("text")
            fields: dict[str, Any] = {
                "broker": self.records.broker,
                "account_id": ctx.account or at.text("account") or "",
                "instrument_id": name,
                "side": side_of(self.side, row[at["side"]]),
                "quantity": quantity,
                "order_type": order_type,
                "status": status,
                # Whatever the word, an order that is filled whole is filled.
                "status_is_firm": meant is not None or status is S.FILLED,
                "raw_status": word,
                "pending": self.pending(word),
                "order_id": order_id,
                "order_ids": (order_id,),
                "exchange_order_id": at.text("exchange_order_id"),
                "parent_order_id": at.text("parent_order_id"),
                "price": nonzero(row, at["price"]),
                "trigger_price": nonzero(row, at["trigger_price"]),
                "time_in_force": self.validity.read(at.text("validity")),
                "product": self.product(at.text("product"), exchange),
                "variety": self.variety(row),
                "display_quantity": nonzero(row, at["display_quantity"]),
                "market_protection": nonzero(row, at["market_protection"]),
                "filled_quantity": filled,
                "remaining_quantity": _ZERO if ended else max(quantity - filled - canceled, _ZERO),
                "canceled_quantity": canceled,
                "average_price": nonzero(row, at["average_price"]) if filled else None,
                "reject": self.codes.rejection(text) if status is S.REJECTED else None,
                "status_text": text,
                "tag": self.tag(row.get(at["tag"])),
                "placed_by": at.text("placed_by") or "",
                "ts_created": min(created, default=None),
                "ts_accepted": min(accepted, default=None),
                "ts_event": max(changed, default=None),
                "ts_closed": max(changed, default=None) if ended else None,
                "raw": row,
            }
            return Order(**(fields | told))

    def fill(self, row: Row, ctx: Context) -> Fill:
        """Read one trade. Raises DecodeError."""
        with self.records.reading("trade"):
            at = _Place(row, self.fill_keys)
            name, exchange = self.place(row, ctx)
            return Fill(
                broker=self.records.broker,
                account_id=ctx.account,
                trade_id=str(row[at["trade_id"]]),
                order_id=str(row[at["order_id"]]),
                exchange_order_id=at.text("exchange_order_id"),
                instrument_id=name,
                exchange=exchange,
                side=side_of(self.side, row[at["side"]]),
                product=self.product(at.text("product"), exchange),
                quantity=needed(row, at["quantity"]),
                price=needed(row, at["price"]),
                ts_event=self.fill_time(row, ctx),
                raw=row,
            )

    def _times(self, row: Row, what: str) -> list[int]:
        keys = self.keys.get(what, ())
        values = (self.time_ns(row.get(key)) for key in ((keys,) if isinstance(keys, str) else keys))
        return [ns for ns in values if ns is not None]


class _Place:
    """The key under which a record holds each thing: of several the first that holds something."""

    __slots__ = ("_keys", "_row")

    def __init__(self, row: Row, keys: Keys) -> None:
        self._row, self._keys = row, keys

    def __getitem__(self, what: str) -> str:
        keys = self._keys.get(what, "")
        if isinstance(keys, str):
            return keys
        return next((key for key in keys if self._row.get(key) not in (None, "")), keys[0])

    def text(self, what: str) -> str | None:
        return text_or_none(self._row.get(self[what]))


def _guess(at: _Place, order_type: OrderType, quantity: Decimal, filled: Decimal) -> OrderStatus:
    if filled >= quantity > 0:
        return S.FILLED
    if not at.text("at_exchange"):
        return S.ACCEPTED
    return S.TRIGGER_PENDING if order_type.has_trigger else S.OPEN
