"""What an account holds, read as its orders are: a table of keys, whose it is, and of which instrument."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeAlias, TypeVar

from dragoman.model import Product
from dragoman.plugin.context import Context
from dragoman.plugin.order_rows import OrderRows
from dragoman.plugin.row_tables import RowTable
from dragoman.plugin.values import Row

T = TypeVar("T")
More: TypeAlias = Callable[[Row], Mapping[str, Any]]
"""Returns the fields that no key holds."""


def _nothing(row: Row) -> Mapping[str, Any]:
    return {}


class AccountRows(Generic[T]):
    """How one broker's positions, or its holdings, are read.

    Parameters
    ----------
    orders : OrderRows
        How its orders are read: the same words name instruments and products there.
    what : str
        Names a record in errors.
    table : RowTable
        Of a value with an account, an instrument and a product.
    more : callable
        Returns the fields that no key holds, of a record.
    product : callable, optional
        Reads the product, from a record and its exchange; left out, as orders name it.
    """

    def __init__(
        self,
        orders: OrderRows,
        what: str,
        table: RowTable[T],
        more: More = _nothing,
        product: Callable[[Row, str], Product] | None = None,
    ) -> None:
        self._orders = orders
        self._what = what
        self._table = table
        self._more = more
        self._product = orders.product_in if product is None else product

    def read(self, row: Row, ctx: Context) -> T:
        """Read one record. Raises DecodeError."""
        orders = self._orders
        with orders.records.reading(self._what):
            name, exchange = orders.place(row, ctx)
            return self._table.read(
                row,
                broker=orders.records.broker,
                account_id=ctx.account,
                instrument_id=name,
                product=self._product(row, exchange),
                **self._more(row),
            )
