"""What is at stake: positions and working orders, kept as they change, so that a check costs the same at any number.

For each instrument the worse of two futures counts: all its working buys fill, or all its working sells do. An order
that is on its way, or of which nobody knows whether it is live, counts as working. One that the broker split counts
once, as what was asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple

from dragoman.model import Instrument, Order, OrderUpdate, Origin, Pending, Product, Side

_ZERO: Final = Decimal(0)
_ONE: Final = Decimal(1)


@dataclass(slots=True)
class Part:
    """One position of an instrument: of a product, and of a side where an account keeps both apart.

    Attributes
    ----------
    position : Decimal
        Short below 0.
    buys, sells : Decimal
        Units that working orders of it may still trade.
    unsized_buys, unsized_sells : int
        Working orders for money of which nobody knows how many units they are.
    """

    position: Decimal = _ZERO
    buys: Decimal = _ZERO
    sells: Decimal = _ZERO
    unsized_buys: int = 0
    unsized_sells: int = 0


_NOTHING: Final = Part()


@dataclass(slots=True)
class Stake:
    """One instrument.

    Attributes
    ----------
    position : Decimal
        Net, short below 0.
    buys, sells : Decimal
        Units that working orders may still trade.
    orders : int
        How many work.
    told : Decimal
        The last price a stream told when it was counted; 0 where none did.
    held : Decimal
        The price its positions came with.
    asked : dict of Decimal to int
        Prices of working orders, and how many have each.
    times : Decimal
        The multiplier.
    unsized, unvalued : int
        Working orders of which nobody knows how many units, and not even how much money, they are.
    money : Decimal
        What the unsized ones are for, as far as that is known.
    value : Decimal
        What it added to the account.
    underlying : str
    parts : dict
        By product and side.
    """

    position: Decimal = _ZERO
    buys: Decimal = _ZERO
    sells: Decimal = _ZERO
    orders: int = 0
    told: Decimal = _ZERO
    held: Decimal = _ZERO
    asked: dict[Decimal, int] = field(default_factory=dict)
    times: Decimal = _ONE
    unsized: int = 0
    unvalued: int = 0
    money: Decimal = _ZERO
    value: Decimal = _ZERO
    underlying: str = ""
    parts: dict[tuple[Product, str], Part] = field(default_factory=dict)

    @property
    def worst(self) -> Decimal:
        """The largest absolute position that working orders can make of it."""
        return max(abs(self.position + self.buys), abs(self.position - self.sells), abs(self.position))

    def fallback(self, asked: Decimal = _ZERO) -> Decimal:
        """Return the worst price there is while no stream tells one; 0 where there is none."""
        return max(self.told, self.held, asked, max(self.asked, default=_ZERO))

    def reduces(self, product: Product, position_side: str, *, buys: bool, quantity: Decimal) -> bool:
        """Whether so many units more can only make that position smaller, whatever of what works fills as well."""
        part = self.parts.get((product, position_side))
        if part is None:
            return False
        # An order whose product nobody could read may be of this position.
        unread = self.parts.get((Product.UNKNOWN, position_side), _NOTHING)
        if buys:
            works, unsized = part.buys + unread.buys, part.unsized_buys + unread.unsized_buys
            return part.position < 0 and not unsized and works + quantity <= -part.position
        works, unsized = part.sells + unread.sells, part.unsized_sells + unread.unsized_sells
        return part.position > 0 and not unsized and works + quantity <= part.position


class _Seen(NamedTuple):
    """An order as it is counted."""

    instrument_id: str
    product: Product
    position_side: str
    buys: bool
    left: Decimal
    price: Decimal
    money: Decimal | None  # where its units are not known: what it is for, below 0 where that is not known either


_NOBODY_KNOWS: Final = Decimal(-1)


class Exposure:
    """Positions and working orders of one account.

    Parameters
    ----------
    instrument : callable
        Finds an instrument by id, or None.
    price : callable
        Returns the last price of an instrument, or None.
    notional : callable
        Returns the money that an order of ours, by its name, was placed for; None of one for a quantity.
    """

    def __init__(
        self,
        instrument: Callable[[str], Instrument | None],
        price: Callable[[Instrument], Decimal | None],
        notional: Callable[[str], Decimal | None] = lambda name: None,
    ) -> None:
        self._instrument = instrument
        self._price = price
        self._notional = notional
        self._stakes: dict[str, Stake] = {}
        self._working: dict[str, _Seen] = {}
        self._slices: dict[str, dict[str, Order]] = {}  # working children by parent, whether they count or it does
        self._units: dict[str, Decimal] = {}  # of orders for money, at the price when they were first seen
        self._expected: dict[str, Decimal] = {}
        self._doubtful: set[str] = set()
        self.by_underlying: dict[str, Decimal] = {}
        self.total = _ZERO
        self.orders = 0

    def stake(self, instrument_id: str) -> Stake:
        """Return what is at stake in an instrument."""
        found = self._stakes.get(instrument_id)
        if found is None:
            found = self._stakes[instrument_id] = Stake()
            known = self._instrument(instrument_id)
            found.underlying = instrument_id if known is None else underlying_of(known)
        return found

    def doubtful(self, besides: str, underlying: str = "") -> str:
        """Return an instrument whose value nobody knows, of the account or of an underlying; empty where there is none.

        `besides` is left out.
        """
        if self._doubtful:
            for name in tuple(self._doubtful):
                stake = self._stakes[name]
                if name != besides and underlying in ("", stake.underlying):
                    self._value(name, stake)  # a price may have come since
                    if name in self._doubtful:
                        return name
        return ""

    def on_order(self, update: OrderUpdate) -> None:
        """Take a change of an order in."""
        self.see(update.order)

    def see(self, order: Order) -> None:
        """Count an order as it is now."""
        name, works = order.client_order_id, order.status.working
        if order.origin is Origin.US:
            for order_id in order.order_ids:  # it was seen before anybody knew whose it is
                self._replace(f"EXT-{order_id}", None)
        parent, slash, _ = name.rpartition("/")
        if slash:
            self._take_slice(parent, order, works=works)
            works = works and parent not in self._working  # which stands for it
        if not order.status.working:
            self._units.pop(name, None)
            self._expected.pop(name, None)
        before = self._working.get(name)
        now = self._counted(order) if works else None
        if slash and parent in self._working:
            self._grow(parent)
        if before == now:
            return
        self._replace(name, now)
        slices = self._slices.get(name)
        if not slices:
            return
        if now is None:
            for one in tuple(slices.values()):
                self.see(one)
        elif before is None:
            for child in slices:
                self._replace(child, None)

    def _take_slice(self, parent: str, order: Order, *, works: bool) -> None:
        """Remember a working child of an order; it may have gone by another name before."""
        slices = self._slices.setdefault(parent, {})
        for other, one in tuple(slices.items()):
            if other != order.client_order_id and order.order_id and order.order_id in one.order_ids:
                del slices[other]
                self._replace(other, None)
        if works:
            slices[order.client_order_id] = order
        else:
            slices.pop(order.client_order_id, None)
        if not slices:
            del self._slices[parent]

    def _grow(self, parent: str) -> None:
        """Count a split order at no less than its children may still trade: one of them may have been made larger."""
        seen = self._working[parent]
        left = self._of_slices(parent)
        if left > seen.left:
            self._replace(parent, seen._replace(left=left))

    def _of_slices(self, parent: str) -> Decimal:
        return sum((self._left(one) for one in self._slices.get(parent, {}).values()), _ZERO)

    def _replace(self, name: str, now: _Seen | None) -> None:
        before = self._working.pop(name, None)
        if before is not None:
            self._put(before, -1)
        if now is not None:
            self._working[name] = now
            self._put(now, 1)

    def _left(self, order: Order) -> Decimal:
        name, left = order.client_order_id, max(order.quantity - order.filled_quantity, _ZERO)
        if name in self._expected:
            if order.pending is Pending.MODIFY:
                return max(left, self._expected[name])
            del self._expected[name]
        return left

    def _counted(self, order: Order) -> _Seen:
        left, money = self._left(order), None
        if not left:
            left, money = self._for_money(order)
        if order.client_order_id in self._slices:
            left = max(left, self._of_slices(order.client_order_id))
        price = max(abs(order.price or _ZERO), abs(order.trigger_price or _ZERO))
        return _Seen(
            order.instrument_id, order.product, order.position_side, order.side is Side.BUY, left, price, money
        )

    def _for_money(self, order: Order) -> tuple[Decimal, Decimal | None]:
        """Return how many units an order without any left may still trade, or the money it is for."""
        name = order.client_order_id
        notional = self._notional(name)
        if notional is None:
            # Of a slice nobody has told the share yet; of somebody else's order for money nobody tells more than that.
            blank = not order.quantity and "/" not in name
            return _ZERO, _NOBODY_KNOWS if blank else None
        units = self._units.get(name)
        if units is None:
            known = self._instrument(order.instrument_id)
            live = None if known is None else self._price(known)
            if known is None or not live:  # at any other price it might be too few
                return _ZERO, notional
            units = self._units[name] = notional / (abs(live) * known.multiplier)
        return max(units - order.filled_quantity, _ZERO), None

    def expect(self, client_order_id: str, left: Decimal) -> None:
        """Count an order at least so large from its next report on, until the change that is asked for is over."""
        self._expected[client_order_id] = left

    def _put(self, seen: _Seen, sign: int) -> None:
        stake = self.stake(seen.instrument_id)
        part = _part(stake, seen.product, seen.position_side)
        stake.orders += sign
        self.orders += sign
        units = sign * seen.left
        if seen.buys:
            stake.buys += units
            part.buys += units
        else:
            stake.sells += units
            part.sells += units
        if seen.price:
            many = stake.asked.get(seen.price, 0) + sign
            if many:
                stake.asked[seen.price] = many
            else:
                del stake.asked[seen.price]
        if seen.money is not None:
            stake.unsized += sign
            if seen.buys:
                part.unsized_buys += sign
            else:
                part.unsized_sells += sign
            if seen.money < 0:
                stake.unvalued += sign
            else:
                stake.money += sign * seen.money
        self._value(seen.instrument_id, stake)

    def hold(
        self,
        instrument_id: str,
        position: Decimal,
        *,
        product: Product = Product.DELIVERY,
        position_side: str = "NET",
        price: Decimal | None = None,
    ) -> None:
        """Take a position in; an instrument may be held in several products, and on both sides.

        Parameters
        ----------
        instrument_id : str
        position : Decimal
        product : Product
        position_side : str
        price : Decimal, optional
            What it counts at while no stream tells a price.
        """
        stake = self.stake(instrument_id)
        part = _part(stake, product, position_side)
        if part.position != position or (position and not stake.held):
            stake.position += position - part.position
            part.position = position
            if price:
                stake.held = abs(price)
            self._value(instrument_id, stake)

    def _value(self, instrument_id: str, stake: Stake) -> None:
        """Count an instrument anew: at its price now, or at the worst one known while no stream tells one."""
        known = self._instrument(instrument_id)
        live = None
        if known is not None:
            stake.times = known.multiplier
            live = self._price(known)
        if live is None:
            price = stake.fallback()
        else:
            price = stake.told = abs(live)
        worst = stake.worst
        value = worst * price * stake.times + stake.money
        if stake.unvalued or (worst and not price):
            self._doubtful.add(instrument_id)
        else:
            self._doubtful.discard(instrument_id)
        change = value - stake.value
        if change:
            stake.value = value
            self.total += change
            self.by_underlying[stake.underlying] = self.by_underlying.get(stake.underlying, _ZERO) + change


def _part(stake: Stake, product: Product, position_side: str) -> Part:
    found = stake.parts.get((product, position_side))
    if found is None:
        found = stake.parts[product, position_side] = Part()
    return found


def underlying_of(instrument: Instrument) -> str:
    """Return the symbol of what an instrument stands for: its underlying, or itself, on whatever exchange."""
    name = instrument.underlying or instrument.symbol or instrument.instrument_id
    return name.rpartition(":")[2].partition("=")[0]
