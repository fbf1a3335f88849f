"""The checks of an order before the wire, against the limits its owner set.

Each is a comparison or two with what is kept at hand, so that all together cost microseconds. What they need comes
through callables: the last price, the day's profit, the margin. An order that passes is counted, for the rate and for
the window of duplicates; one that is refused leaves no trace, and neither does one that never left after all.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final, NoReturn

from dragoman.checks.pace import Pace
from dragoman.checks.risk import RiskLimits, longest
from dragoman.checks.risk_exposure import Exposure, Stake
from dragoman.checks.sources import Sources, Terms
from dragoman.errors import Effect, ErrorKind, Rejected, Retry, UsageError
from dragoman.model import (
    Instrument,
    Order,
    OrderChange,
    OrderRequest,
    OrderStatus,
    OrderUpdate,
    Side,
)

_ZERO: Final = Decimal(0)
_HUNDRED: Final = Decimal(100)


class PreTrade:
    """Refuses orders beyond the limits.

    Parameters
    ----------
    limits : RiskLimits
    exposure : Exposure
        Kept by whoever hears of orders and positions.
    sources : Sources
    broker : str
        For messages.

    Raises
    ------
    UsageError
        `limits` are none.

    Attributes
    ----------
    refused : dict of str to int
        How often each check refused.
    """

    def __init__(self, limits: RiskLimits, exposure: Exposure, sources: Sources, *, broker: str = "") -> None:
        if not isinstance(limits, RiskLimits):
            raise UsageError(f"limits {limits!r:.60} are no RiskLimits", remedy="make dragoman.RiskLimits(...)")
        self.limits = limits
        self.exposure = exposure
        self.sources = sources
        self.refused: dict[str, int] = {}
        self._broker = broker
        self._pace = Pace(limits, self._refuse)
        # What an order may have reached is looked up by pattern once for each instrument.
        self._quantities: dict[str, Decimal | None] = {}
        self._positions: dict[str, Decimal | None] = {}
        self._tradable: dict[str, str] = {}
        self._exposed = any(
            one is not None
            for one in (
                limits.max_position,
                limits.max_exposure,
                limits.max_exposure_per_instrument,
                limits.max_exposure_per_underlying,
                limits.max_daily_loss,
            )
        ) or bool(limits.position_by_instrument)

    def check(self, request: OrderRequest, instrument: Instrument) -> None:
        """Refuse an order beyond a limit; count one that is not.

        Raises
        ------
        Rejected
            Names the check, what was found, the limit and the next step. Nothing was sent.
        """
        terms = Terms(
            instrument,
            request.side is Side.BUY,
            request.quantity,
            request.price,
            request.trigger_price,
            request.product,
            request.position_side,
            request.notional,
        )
        limits = self.limits
        self._check_terms(terms)
        if limits.max_open_orders is not None or limits.max_open_orders_per_instrument is not None:
            self._check_open_orders(instrument)
        reduces = (self._exposed or limits.check_margin) and self._reduces(terms)
        if self._exposed and not reduces:
            self._check_exposed(terms)
        pace = self._pace
        if pace.limited:
            now = self.sources.mono_ns()
            key = pace.check(request, now)
        if limits.check_margin and not reduces:
            self._check_margin(request, instrument)  # the last that can refuse, because it takes what is there
        if pace.limited:
            pace.count(request.client_order_id, now, key)

    def on_order(self, update: OrderUpdate) -> None:
        """Take a change of an order in; one that never left is not counted any more."""
        order = update.order
        self.exposure.see(order)
        status = order.status
        if status is OrderStatus.SUBMITTED or status is OrderStatus.CREATED:
            return
        never_left = status is OrderStatus.DENIED
        self._pace.ended(order.client_order_id, never_left=never_left)
        if never_left and self.limits.check_margin:
            self.sources.give_back(order.client_order_id)

    def check_change(self, order: Order, change: OrderChange, instrument: Instrument) -> None:
        """The same for a change that may raise risk: of what the order would be then.

        How many orders there are, and how fast they come, is not asked of a change; neither is margin.
        """
        quantity = change.quantity or order.quantity
        left = max(order.quantity - order.filled_quantity, _ZERO)
        terms = Terms(
            instrument,
            order.side is Side.BUY,
            max(quantity - order.filled_quantity, _ZERO),
            order.price if change.price is None else change.price,
            order.trigger_price if change.trigger_price is None else change.trigger_price,
            order.product,
            order.position_side,
            instead_of=left,
        )
        self._check_terms(terms)
        if self._exposed and not self._reduces(terms):
            self._check_exposed(terms)
        self.exposure.expect(order.client_order_id, terms.quantity)

    def check_triggered(self, request: OrderRequest, instrument: Instrument) -> None:
        """The same for an order that a trigger at the broker shall place some day: what can be said of it today."""
        self._check_size(
            Terms(
                instrument,
                request.side is Side.BUY,
                request.quantity,
                request.price,
                request.trigger_price,
                request.product,
                request.position_side,
            )
        )

    # -- the order alone ---------------------------------------------------------------------------------------------

    def _check_terms(self, terms: Terms) -> None:
        self._check_size(terms)
        limits, instrument = self.limits, terms.instrument
        if limits.market_hours and not self.sources.knows_day(instrument):
            self._unknown(
                "market_hours",
                f"whether {instrument.exchange} trades today",
                "name its days in a calendar of the profile",
            )
        elif limits.market_hours and self.sources.open_for_s(instrument) is None:
            self._refuse(
                "market_hours",
                f"{instrument.exchange} is closed",
                "wait until it opens",
                kind=ErrorKind.MARKET_CLOSED,
            )
        if limits.price_band_percent is not None:
            self._check_band(terms, limits.price_band_percent)

    def _check_size(self, terms: Terms) -> None:
        """What, how much, and worth how much: true on any day."""
        limits, instrument = self.limits, terms.instrument
        name = instrument.instrument_id
        if limits.restricted or limits.allowed is not None:
            why = self._tradable.get(name)
            if why is None:
                why = self._tradable[name] = self._why_not(name)
            if why:
                self._refuse("restricted", f"{name} {why}", "trade what the limits allow, or change them")
        most = limits.max_order_quantity
        if limits.quantity_by_instrument:
            most = self._by_pattern(self._quantities, limits.quantity_by_instrument, name, most)
        if most is not None and terms.quantity > most:
            self._refuse(
                "max_order_quantity",
                f"a quantity of {terms.quantity} in {name}, the limit is {most}",
                f"ask for at most {most}",
                kind=ErrorKind.INVALID_QUANTITY,
            )
        if limits.max_order_value is not None:
            self._check_value(terms, limits.max_order_value)

    def _why_not(self, name: str) -> str:
        limits = self.limits
        found = next((pattern for pattern in limits.restricted if name.startswith(pattern)), None)
        if found is not None:
            return f"is restricted by {found!r}"
        if limits.allowed is not None and not name.startswith(limits.allowed):
            return f"is not among what is allowed: {', '.join(limits.allowed) or 'nothing'}"
        return ""

    def _by_pattern(
        self, known: dict[str, Decimal | None], patterns: Any, name: str, otherwise: Decimal | None
    ) -> Decimal | None:
        if name not in known:
            found = longest(patterns, name)
            known[name] = otherwise if found is None else found
        return known[name]

    def _check_value(self, terms: Terms, most: Decimal) -> None:
        instrument, value = terms.instrument, terms.notional
        if value is None:
            price = terms.price
            if price is None:
                price = terms.trigger if terms.trigger is not None else self.sources.price(instrument)
            if price is None:
                self._unknown("max_order_value", f"the last price of {instrument.instrument_id}")
                return
            value = abs(price) * terms.quantity * instrument.multiplier
        if value > most:
            self._refuse(
                "max_order_value",
                f"an order worth {value:f} {instrument.currency} in {instrument.instrument_id}, the limit is {most:f}",
                "ask for less",
            )

    def _check_band(self, terms: Terms, percent: Decimal) -> None:
        if terms.price is None and terms.trigger is None:
            return
        last = self.sources.price(terms.instrument)
        if last is None:
            self._unknown("price_band_percent", f"the last price of {terms.instrument.instrument_id}")
            return
        width = abs(last) * percent / _HUNDRED
        for what, price in (("price", terms.price), ("trigger price", terms.trigger)):
            if price is not None and abs(price - last) > width:
                self._refuse(
                    "price_band_percent",
                    f"{what} {price} of {terms.instrument.instrument_id} is more than {percent} % from the last price"
                    f" {last}",
                    f"keep within {last - width:.10g} to {last + width:.10g}",
                    kind=ErrorKind.PRICE_OUT_OF_BAND,
                )

    # -- the account -------------------------------------------------------------------------------------------------

    def _check_open_orders(self, instrument: Instrument) -> None:
        limits, exposure = self.limits, self.exposure
        most = limits.max_open_orders
        if most is not None and exposure.orders >= most:
            self._refuse(
                "max_open_orders", f"{exposure.orders} orders work already, the limit is {most}", "cancel one first"
            )
        most = limits.max_open_orders_per_instrument
        if most is not None:
            working = exposure.stake(instrument.instrument_id).orders
            if working >= most:
                self._refuse(
                    "max_open_orders_per_instrument",
                    f"{working} orders work already in {instrument.instrument_id}, the limit is {most}",
                    "cancel one first",
                )

    def _check_exposed(self, terms: Terms) -> None:
        """Positions, exposures and the day's loss."""
        limits, instrument = self.limits, terms.instrument
        name = instrument.instrument_id
        if not self.sources.positions():
            self._unknown("position", "what the account holds")
            return
        stake = self.exposure.stake(name)
        if limits.max_daily_loss is not None:
            self._check_loss(limits.max_daily_loss)
        live = self.sources.price(instrument)
        if terms.notional is not None:
            if live:
                terms.quantity = terms.notional / (abs(live) * instrument.multiplier)
            else:
                terms.money = terms.notional
        worst = self._worst(terms, stake)
        most = limits.max_position
        if limits.position_by_instrument:
            most = self._by_pattern(self._positions, limits.position_by_instrument, name, most)
        if most is not None:
            if stake.unsized or terms.money:
                self._unknown("max_position", f"how many units of {name} an order for money is")
            if worst > most:
                self._refuse(
                    "max_position",
                    f"{name} could come to {worst} (position {stake.position}, working {stake.buys} to buy and"
                    f" {stake.sells} to sell), the limit is {most}",
                    "ask for less, or cancel what works",
                )
        if (
            limits.max_exposure is not None
            or limits.max_exposure_per_instrument is not None
            or limits.max_exposure_per_underlying is not None
        ):
            self._check_exposure(terms, stake, worst, live)

    def _check_exposure(self, terms: Terms, stake: Stake, worst: Decimal, live: Decimal | None) -> None:
        limits, instrument, exposure = self.limits, terms.instrument, self.exposure
        name, underlying = instrument.instrument_id, stake.underlying
        if live is not None:
            price = abs(live)
        else:  # the worst price there is, but not that alone for an order that has none of its own
            own = max(abs(terms.price or _ZERO), abs(terms.trigger or _ZERO))
            price = stake.fallback(own)
            if not own and (not terms.money or (worst and not price)):
                self._unknown("max_exposure", f"the last price of {name}")
        if stake.unvalued:
            self._unknown("max_exposure", f"how much money works in {name}")
        value = worst * price * instrument.multiplier + stake.money + terms.money
        added = value - stake.value
        most = limits.max_exposure_per_instrument
        if most is not None and value > most:
            self._refuse_exposure("max_exposure_per_instrument", name, value, most)
        most = limits.max_exposure_per_underlying
        if most is not None:
            if other := exposure.doubtful(name, underlying):
                self._unknown("max_exposure_per_underlying", f"what {other} is worth")
            found = exposure.by_underlying.get(underlying, _ZERO) + added
            if found > most:
                self._refuse_exposure("max_exposure_per_underlying", underlying, found, most)
        most = limits.max_exposure
        if most is not None:
            if other := exposure.doubtful(name):
                self._unknown("max_exposure", f"what {other} is worth")
            found = exposure.total + added
            if found > most:
                self._refuse_exposure("max_exposure", "the account", found, most)

    def _refuse_exposure(self, check: str, of: str, found: Decimal, most: Decimal) -> NoReturn:
        self._refuse(check, f"{of} could come to {found:f}, the limit is {most:f}", "ask for less")

    def _check_loss(self, most: Decimal) -> None:
        profit = self.sources.profit()
        if profit is None:
            remedy = "subscribe to what is held, or give previous closes (portfolio.live.roll)"
            self._unknown("max_daily_loss", self.sources.profit_lacks(), remedy)
        elif -profit >= most:
            self._refuse(
                "max_daily_loss",
                f"the day's loss is {-profit:f}, the limit is {most:f}",
                "orders that reduce positions pass; nothing is opened any more today",
            )

    def _reduces(self, terms: Terms) -> bool:
        """Whether an order can only make a position smaller, whatever of what works fills as well."""
        if terms.notional is not None or not self.sources.positions():
            return False  # how many units that will be nobody knows, or of what
        stake = self.exposure.stake(terms.instrument.instrument_id)
        return stake.reduces(
            terms.product, terms.position_side, buys=terms.buys, quantity=terms.quantity - terms.instead_of
        )

    def _worst(self, terms: Terms, stake: Stake) -> Decimal:
        added = terms.quantity - terms.instead_of
        buys = stake.buys + (added if terms.buys else _ZERO)
        sells = stake.sells + (_ZERO if terms.buys else added)
        return max(abs(stake.position + buys), abs(stake.position - sells), abs(stake.position))

    def _check_margin(self, request: OrderRequest, instrument: Instrument) -> None:
        found = self.sources.margin(request, instrument)
        if found is None:
            self._unknown("check_margin", f"the margin that {request.quantity} {instrument.instrument_id} needs")
            return
        needed, there = found
        if needed > there:
            self._refuse(
                "check_margin",
                f"the order needs a margin of {needed:f}, and {there:f} is there",
                "ask for less, or add funds",
                kind=ErrorKind.INSUFFICIENT_MARGIN,
            )

    # -- saying no ---------------------------------------------------------------------------------------------------

    def _unknown(self, check: str, what: str, remedy: str = "subscribe to it and wait for its first tick") -> None:
        if self.limits.when_unknown == "refuse":
            self._refuse(check, f"{what} is not known", f'{remedy}, or set when_unknown = "pass"')

    def _refuse(
        self,
        check: str,
        found: str,
        remedy: str,
        *,
        kind: ErrorKind = ErrorKind.LOCAL_DENIED,
        retry_after_s: float | None = None,
    ) -> NoReturn:
        self.refused[check] = self.refused.get(check, 0) + 1
        name = f"{self._broker}: " if self._broker else ""
        raise Rejected(
            f"{name}refused by the limit {check}: {found}",
            kind=kind,
            effect=Effect.NONE,
            retry=None if retry_after_s is None and kind is not ErrorKind.DUPLICATE_ORDER else Retry.AFTER,
            retry_after_s=retry_after_s,
            code=check,
            broker=self._broker or None,
            remedy=f"{remedy}; nothing was sent",
        )
