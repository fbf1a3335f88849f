"""Fills, each counted once.

A fill's identity is (exchange, trading day, order id, trade id): exchanges restart trade numbers every day and each has
its own. A fill that corrects another (`Fill.correction_of`) takes its place; one of quantity 0 is a bust, and the only
thing that makes a cumulative quantity fall. Brokers often report only how much of an order is filled; the quantity that
no itemised fill explains yet is carried by one synthetic fill with a deterministic id, made void when the real ones
come.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal

from dragoman.model import Fill, Order

ZERO = Decimal(0)
FillKey = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class FillChange:
    """What a report changed: new fills, synthetic ids made void, and why something was refused."""

    added: tuple[Fill, ...] = ()
    replaced: tuple[str, ...] = ()
    refused: str | None = None


NO_CHANGE = FillChange()


@dataclass(slots=True)
class _OrderFills:
    real: dict[FillKey, Fill] = field(default_factory=dict)
    synthetic: Fill | None = None
    reported: Decimal = ZERO
    reported_value: Decimal | None = None
    corrections: dict[tuple[str, str, str], Fill] = field(default_factory=dict)
    gone: set[FillKey] = field(default_factory=set)
    adjusted: Decimal = ZERO
    """What corrections have added to what the broker had reported before it knew of them."""
    before_bust: Decimal | None = None

    @property
    def total(self) -> Decimal:
        """What is filled in all, itemised or not."""
        return max(self.reported + self.adjusted, self.quantity)

    @property
    def quantity(self) -> Decimal:
        return sum((fill.quantity for fill in self.real.values()), ZERO)

    @property
    def value(self) -> Decimal:
        return sum((fill.quantity * fill.price for fill in self.real.values()), ZERO)


def _supersede(entry: _OrderFills, old: Fill, new: Fill) -> None:
    """Take out of what the broker has reported what a corrected fill had too much; both are known."""
    entry.before_bust = max(entry.total, entry.before_bust or ZERO)
    entry.adjusted += new.quantity - old.quantity
    if entry.reported_value is not None:
        entry.reported_value += new.quantity * new.price - old.quantity * old.price


class FillLedger:
    """All fills of one account.

    Parameters
    ----------
    trading_day : callable
        Time (ns UTC, or None) to the name of the trading day at the exchange.
    """

    def __init__(self, trading_day: Callable[[int | None], str]) -> None:
        self._trading_day = trading_day
        self._orders: dict[str, _OrderFills] = {}

    def add(self, fill: Fill, owner: str) -> FillChange:
        """Take an itemised fill of the order `owner` (any stable name of the order). A repeat changes nothing."""
        entry = self._orders.setdefault(owner, _OrderFills())
        key = (fill.exchange, self._trading_day(fill.ts_event), fill.order_id, fill.trade_id)
        known = entry.real.get(key)
        if key in entry.gone:
            return NO_CHANGE
        if known is not None:
            if (known.quantity, known.price, known.side) != (fill.quantity, fill.price, fill.side):
                return FillChange(refused=f"trade {fill.trade_id} was {known.quantity} at {known.price} before")
            return NO_CHANGE
        entry.real[key] = fill
        if fill.correction_of is not None:
            self._correct(entry, fill)
        elif (fill.exchange, fill.order_id, fill.trade_id) in entry.corrections:
            return self._told_late(entry, key)
        remainder = self._synthesise(entry, fill)
        return FillChange((fill, *remainder.added), remainder.replaced)

    def _correct(self, entry: _OrderFills, fill: Fill) -> None:
        """Let a correction take the place of what it corrects, where that is known."""
        name = (fill.exchange, fill.order_id, fill.correction_of or "")
        entry.corrections.setdefault(name, fill)
        for key, old in list(entry.real.items()):
            if (key[0], *key[2:]) == name and old is not fill:
                del entry.real[key]
                entry.gone.add(key)
                _supersede(entry, old, fill)

    def _told_late(self, entry: _OrderFills, key: FillKey) -> FillChange:
        """Leave out a fill whose correction was told before it."""
        old = entry.real.pop(key)
        entry.gone.add(key)
        _supersede(entry, old, entry.corrections[key[0], key[2], key[3]])
        return self._synthesise(entry, old)

    def report(self, order: Order, owner: str) -> FillChange:
        """Take a cumulative quantity. What no fill explains becomes a synthetic one, priced once a price is known.

        A corrected average prices it anew, under a new id.
        """
        entry = self._orders.setdefault(owner, _OrderFills())
        value = order.filled_quantity * order.average_price if order.average_price is not None else None
        if order.filled_quantity < max(entry.reported, entry.quantity):
            return NO_CHANGE
        if entry.before_bust is not None and order.filled_quantity <= entry.before_bust:
            return NO_CHANGE  # it may not know of the bust: itemised fills tell what came since
        if order.filled_quantity == entry.reported and (value is None or value == entry.reported_value):
            return NO_CHANGE
        entry.reported = order.filled_quantity
        entry.reported_value = value
        template = Fill(
            trade_id="",
            order_id=order.order_id,
            instrument_id=order.instrument_id,
            side=order.side,
            quantity=ZERO,
            price=ZERO,
            client_order_id=order.client_order_id,
            exchange_order_id=order.exchange_order_id,
            product=order.product,
            position_side=order.position_side,
            broker=order.broker,
            account_id=order.account_id,
            ts_event=order.ts_event,
            ts_recv=order.ts_recv,
        )
        return self._synthesise(entry, template)

    def move(self, old: str, new: str) -> FillChange:
        """Give the fills counted under one name to another: they turned out to be of the same order.

        Returns what became of synthetic fills on the way: of two one is left, and none where the real ones explain all.
        """
        entry = self._orders.pop(old, None)
        if entry is None:
            return NO_CHANGE
        into = self._orders.setdefault(new, _OrderFills())
        before = [one.trade_id for one in (entry.synthetic, into.synthetic) if one is not None]
        for key, fill in entry.real.items():
            into.real.setdefault(key, replace(fill, client_order_id=new))
        if entry.reported > into.reported:
            into.reported, into.reported_value = entry.reported, entry.reported_value
        into.adjusted += entry.adjusted
        into.corrections |= entry.corrections
        into.gone |= entry.gone
        into.before_bust = max((one for one in (into.before_bust, entry.before_bust) if one is not None), default=None)
        synthetic = entry.synthetic or into.synthetic
        if synthetic is not None:
            into.synthetic = replace(synthetic, client_order_id=new)
            self._synthesise(into, into.synthetic)
        left = into.synthetic
        void = tuple(name for name in before if left is None or left.trade_id != name)
        return FillChange(() if left is None or left.trade_id in before else (left,), void)

    def _synthesise(self, entry: _OrderFills, template: Fill) -> FillChange:
        """Make the one synthetic fill that carries what real ones do not explain, or void it."""
        old = entry.synthetic
        missing = entry.total - entry.quantity
        if missing <= 0:
            entry.synthetic = None
            return FillChange((), (old.trade_id,) if old else ())
        price = old.price if old else (template.price or None)
        if entry.reported_value is not None:
            implied = (entry.reported_value - entry.value) / missing
            price = implied if implied > 0 or price is None else price
        if price is None:
            return FillChange(refused=f"{missing} of {template.order_id} is filled at a price nobody has said yet")
        trade_id = f"SYN-{template.order_id}-{entry.quantity}-{entry.total}-{price.normalize():f}"
        if old is not None and old.trade_id == trade_id:
            return NO_CHANGE
        entry.synthetic = replace(
            template, trade_id=trade_id, quantity=missing, price=price, is_synthetic=True, raw=None, correction_of=None
        )
        return FillChange((entry.synthetic,), (old.trade_id,) if old else ())

    def of(self, owner: str) -> tuple[Fill, ...]:
        """Return the fills that count for an order: the real ones, and the synthetic remainder."""
        entry = self._orders.get(owner)
        if entry is None:
            return ()
        return (*entry.real.values(), *((entry.synthetic,) if entry.synthetic else ()))

    def of_day(self, ts: int | None) -> tuple[Fill, ...]:
        """Return the fills that count and happened on the trading day of `ts` (ns UTC; None is now)."""
        day = self._trading_day(ts)
        return tuple(fill for fill in self.all() if self._trading_day(fill.ts_event) == day)

    def all(self) -> tuple[Fill, ...]:
        """Return every fill that counts, by order."""
        return tuple(fill for owner in self._orders for fill in self.of(owner))
