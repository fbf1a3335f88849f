"""The limit order book of one instrument: price first, then time of arrival.

Prices are whole ticks and quantities whole lots. A side keeps its price levels in one ascending list of
``sign x price`` (sign +1 for bids, -1 for asks), so the best level is the last one on either side and the two sides
share every line of code. A level is a dict in order of arrival, which makes the front of the queue and a cancel both
cheap.

The book knows nothing of accounts' money. It reports who was hit (`Hit`), and the exchange does the rest.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Generic, NamedTuple, TypeVar

OwnerT = TypeVar("OwnerT")


class Resting(Generic[OwnerT]):
    """A quantity waiting at a price.

    Attributes
    ----------
    quantity : int
        Lots left; 0 once it has left the book.
    account : str or None
        Whose order it is; None for outside participants.
    orders : int
        How many orders it stands for in the depth; a market maker's entry stands for several.
    maker : bool
        Whether the simulated market makers own it and may move it.
    """

    __slots__ = ("account", "key", "maker", "orders", "owner", "price", "quantity", "sign")

    def __init__(
        self,
        key: int,
        sign: int,
        price: int,
        quantity: int,
        *,
        account: str | None,
        owner: OwnerT | None,
        orders: int,
        maker: bool,
    ) -> None:
        self.key = key
        self.sign = sign
        self.price = price
        self.quantity = quantity
        self.account = account
        self.owner = owner
        self.orders = orders
        self.maker = maker


class Hit(NamedTuple, Generic[OwnerT]):
    """A resting order traded, at its own price."""

    resting: Resting[OwnerT]
    quantity: int


class Book(Generic[OwnerT]):
    """Both sides of one instrument."""

    __slots__ = ("_arrivals", "_keys", "_levels", "outsiders")

    def __init__(self) -> None:
        self._arrivals = 0
        self._keys: dict[int, list[int]] = {1: [], -1: []}
        self._levels: dict[int, dict[int, dict[int, Resting[OwnerT]]]] = {1: {}, -1: {}}
        self.outsiders = 0
        """Resting orders that no market maker owns."""

    def best(self, sign: int) -> int | None:
        """Return the best price of a side, None where the side is empty."""
        keys = self._keys[sign]
        return sign * keys[-1] if keys else None

    def add(
        self,
        sign: int,
        price: int,
        quantity: int,
        *,
        account: str | None = None,
        owner: OwnerT | None = None,
        orders: int = 1,
        maker: bool = False,
    ) -> Resting[OwnerT]:
        """Let `quantity` wait behind what is already at `price`. The caller has matched it first."""
        self._arrivals += 1
        resting = Resting(
            self._arrivals, sign, price, quantity, account=account, owner=owner, orders=orders, maker=maker
        )
        key = sign * price
        level = self._levels[sign].get(key)
        if level is None:
            level = self._levels[sign][key] = {}
            insort(self._keys[sign], key)
        level[resting.key] = resting
        if not maker:
            self.outsiders += 1
        return resting

    def remove(self, resting: Resting[OwnerT]) -> None:
        """Take an order off the book; nothing happens where it has already left."""
        if not resting.quantity:
            return
        resting.quantity = 0
        self._drop(resting)

    def reduce(self, resting: Resting[OwnerT], quantity: int) -> None:
        """Shrink an order to `quantity` > 0 lots; it keeps its place in the queue."""
        if not 0 < quantity <= resting.quantity:
            raise ValueError(f"cannot reduce {resting.quantity} lots to {quantity}")
        resting.quantity = quantity

    def match(
        self, sign: int, limit: int | None, quantity: int, account: str | None = None
    ) -> tuple[list[Hit[OwnerT]], int, bool]:
        """Trade an incoming order against the other side.

        Parameters
        ----------
        sign : int
            +1 to buy, -1 to sell.
        limit : int or None
            Worst price in ticks; None sweeps.
        quantity : int
            Lots wanted.
        account : str or None
            The incoming account: matching stops in front of its own resting order, so nobody trades with himself.

        Returns
        -------
        hits : list of Hit
            In the order they traded.
        left : int
            Lots not traded.
        self_trade : bool
            Whether matching stopped in front of the account's own order.
        """
        hits: list[Hit[OwnerT]] = []
        keys, levels = self._keys[-sign], self._levels[-sign]
        while quantity and keys:
            if limit is not None and -keys[-1] > sign * limit:
                break
            level = levels[keys[-1]]
            resting = next(iter(level.values()))
            if account is not None and resting.account == account:
                return hits, quantity, True
            traded = min(quantity, resting.quantity)
            resting.quantity -= traded
            quantity -= traded
            if not resting.quantity:
                self._drop(resting)
            hits.append(Hit(resting, traded))
        return hits, quantity, False

    def volume(self, sign: int, limit: int | None = None) -> int:
        """Return the lots resting on a side, at `limit` or better where one is given."""
        total = 0
        for key in reversed(self._keys[sign]):
            if limit is not None and key < sign * limit:
                break
            total += sum(resting.quantity for resting in self._levels[sign][key].values())
        return total

    def levels(self, sign: int) -> list[tuple[int, int, int]]:
        """Return (price, lots, orders) of a side, best first."""
        found = []
        for key in reversed(self._keys[sign]):
            lots = orders = 0
            for resting in self._levels[sign][key].values():
                lots += resting.quantity
                orders += resting.orders
            found.append((sign * key, lots, orders))
        return found

    def _drop(self, resting: Resting[OwnerT]) -> None:
        sign, key = resting.sign, resting.sign * resting.price
        level = self._levels[sign][key]
        del level[resting.key]
        if not level:
            del self._levels[sign][key]
            keys = self._keys[sign]
            del keys[bisect_left(keys, key)]
        if not resting.maker:
            self.outsiders -= 1
