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

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final, TypeAlias

from dragoman.errors import ErrorKind
from dragoman.model import Fill, Order, OrderStatus, OrderType, Pending, Product, Reject, Side, TimeInForce, Variety
from dragoman.plugin.codes import CodeTable, EnumMap
from dragoman.plugin.context import Context
from dragoman.plugin.records import Records
from dragoman.plugin.values import Row, needed, nonzero, number, side_of, text_or_none

Keys: TypeAlias = Mapping[str, str | tuple[str, ...]]
"""What is asked for -> its key in the record, or several of which the first that holds something counts."""

S = OrderStatus
_WORKING: Final = (S.OPEN, S.TRIGGER_PENDING)
_TIMES: Final = ("created", "accepted", "changed")
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
    rejected : str
        Code of the table's rows about orders the book has as rejected.
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
    rejected: str = "rejected"
    _order_keys: _Keys = field(init=False, repr=False)
    _fill_keys: _Keys = field(init=False, repr=False)
    _clocks: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_order_keys", _Keys(COMMON_ORDER_KEYS, self.keys))
        object.__setattr__(self, "_fill_keys", _Keys(COMMON_FILL_KEYS, self.fill_keys))
        object.__setattr__(self, "_clocks", frozenset(key for what in _TIMES for key in self._all(what)))

    def order(self, row: Row, ctx: Context, **told: Any) -> Order:
        """Read an order; `told` are fields the adapter knows better.

        Raises
        ------
        DecodeError
            Where a field that every order has is missing or of the wrong type.
        """
        with self.records.reading("order"):
            at = self._order_keys.of(row)
            word, meant = self.status(row)
            name, exchange = self.place(row, ctx)
            quantity, filled = needed(row, at["quantity"]), needed(row, at["filled"])
            order_type = self.order_type.read(text_or_none(row.get(at["order_type"])))
            status = _guess(bool(row.get(at["at_exchange"])), order_type, quantity, filled) if meant is None else meant
            if status in _WORKING and filled > 0:
                status = S.PARTIALLY_FILLED
            ended = status.terminal
            canceled = quantity - filled if status in (S.CANCELED, S.EXPIRED) else number(row.get(at["canceled"]))
            created, accepted, changed = self._times(row)
            order_id, text = str(row[at["order_id"]]), text_or_none(row.get(at["text"]))
            fields: dict[str, Any] = {
                "broker": self.records.broker,
                "account_id": ctx.account or text_or_none(row.get(at["account"])) or "",
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
                "exchange_order_id": text_or_none(row.get(at["exchange_order_id"])),
                "parent_order_id": text_or_none(row.get(at["parent_order_id"])),
                "price": nonzero(row, at["price"]),
                "trigger_price": nonzero(row, at["trigger_price"]),
                "time_in_force": self.validity.read(text_or_none(row.get(at["validity"]))),
                "product": self.product(text_or_none(row.get(at["product"])), exchange),
                "variety": self.variety(row),
                "display_quantity": nonzero(row, at["display_quantity"]),
                "market_protection": nonzero(row, at["market_protection"]),
                "filled_quantity": filled,
                "remaining_quantity": _ZERO if ended else max(quantity - filled - canceled, _ZERO),
                "canceled_quantity": canceled,
                "average_price": nonzero(row, at["average_price"]) if filled else None,
                "reject": self._rejection(row) if status is S.REJECTED else None,
                "status_text": text,
                "tag": self.tag(row.get(at["tag"])),
                "placed_by": text_or_none(row.get(at["placed_by"])) or "",
                "ts_created": min(created, default=None),
                "ts_accepted": min(accepted, default=None),
                "ts_event": max(changed, default=None),
                "ts_closed": max(changed, default=None) if ended else None,
                "raw": row,
            }
            fields.update(told)
            return Order(**fields)

    def fill(self, row: Row, ctx: Context) -> Fill:
        """Read one trade. Raises DecodeError."""
        with self.records.reading("trade"):
            at = self._fill_keys.of(row)
            name, exchange = self.place(row, ctx)
            return Fill(
                broker=self.records.broker,
                account_id=ctx.account,
                trade_id=str(row[at["trade_id"]]),
                order_id=str(row[at["order_id"]]),
                exchange_order_id=text_or_none(row.get(at["exchange_order_id"])),
                instrument_id=name,
                exchange=exchange,
                side=side_of(self.side, row[at["side"]]),
                product=self.product(text_or_none(row.get(at["product"])), exchange),
                quantity=needed(row, at["quantity"]),
                price=needed(row, at["price"]),
                ts_event=self.fill_time(row, ctx),
                raw=row,
            )

    def product_in(self, row: Row, exchange: str) -> Product:
        """Return the product of any record that names it as orders do."""
        return self.product(row.get(self._order_keys.of(row)["product"]), exchange)

    def _rejection(self, row: Row) -> Reject:
        """Say why, by the first text the table knows: a broker may tell its own words and the exchange's."""
        texts: list[str | None] = [text for key in self._all("text") if (text := text_or_none(row.get(key)))]
        told = [self.codes.rejection(text, self.rejected) for text in texts or [None]]
        found = next((one for one in told if one.kind is not ErrorKind.UNMAPPED), told[0])
        return replace(found, text=told[0].text)

    def _times(self, row: Row) -> Iterator[list[int]]:
        """Yield the times of each of `_TIMES`; what stands in several of them is read once."""
        told = {key: self.time_ns(row.get(key)) for key in self._clocks}
        for what in _TIMES:
            yield [ns for key in self._all(what) if (ns := told.get(key)) is not None]

    def _all(self, what: str) -> tuple[str, ...]:
        keys = self.keys.get(what, ())
        return (keys,) if isinstance(keys, str) else keys


class _Keys:
    """Where a record holds each thing: of several keys the first that holds something; "" for what nobody tells."""

    __slots__ = ("_alternatives", "_plain")

    def __init__(self, names: Iterable[str], keys: Keys) -> None:
        self._plain = dict.fromkeys(names, "") | {what: key for what, key in keys.items() if isinstance(key, str)}
        self._alternatives = [(what, several) for what, several in keys.items() if not isinstance(several, str)]

    def of(self, row: Row) -> dict[str, str]:
        found = self._plain.copy()
        for what, several in self._alternatives:
            found[what] = next((key for key in several if row.get(key) not in (None, "")), several[0])
        return found


def _guess(at_exchange: bool, order_type: OrderType, quantity: Decimal, filled: Decimal) -> OrderStatus:
    if filled >= quantity > 0:
        return S.FILLED
    if not at_exchange:
        return S.ACCEPTED
    return S.TRIGGER_PENDING if order_type.has_trigger else S.OPEN
