"""Orders: taken and refused, replaced under new ids, with legs; every event the order stream tells.

`LinkedDesk` keeps them: the broker shows each change as an order of its own, which counts from 0.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar, Final

from dragoman.emulator.parts import (
    SECOND,
    ZERO,
    Chain,
    ClientNames,
    Form,
    HttpAnswer,
    Link,
    LinkedDesk,
    OrderState,
    Told,
    Trail,
    VenueFill,
    VenueOrder,
    json_answer,
    lots_for,
    page_after,
    rfc3339,
    shortest,
    write,
)
from dragoman.plugin import model

from .emulator_words import FILL, ORDER, STATUS, AlpacaError, Asset, activity_row, made
from .fields import ID_LENGTH
from .words import ORDER_TYPE, TIME_IN_FORCE

S, T, F = model.OrderStatus, model.OrderType, model.TimeInForce
_EVENTS: Final = {
    Told.RECEIVED: "pending_new",
    Told.WORKING: "new",
    Told.CHANGING: "pending_replace",
    Told.CHANGED: "replaced",
    Told.CHANGE_REFUSED: "order_replace_rejected",
    Told.REFUSED: "rejected",
    Told.CANCELING: "pending_cancel",
}
_CLOSED: Final = ("filled", "canceled", "expired", "rejected", "replaced")
_VENUE_TIME: Final = {F.GTC: F.GTC, F.IOC: F.IOC, F.FOK: F.FOK}
_AUCTION_WAIT: Final = 60 * SECOND
_CHANGED: Final = (("qty", "quantity"), ("limit_price", "price"), ("stop_price", "trigger_price"))
_KEPT: Final = ("limit_price", "stop_price", "trail_price", "trail_percent", "notional", "type", "time_in_force")
_TRAILS: Final = {"offset": "trail_price", "percent": "trail_percent"}
_EXITS: Final = {"bracket": 2, "oto": 1, "oco": 1, "simple": 0}


class OrderDesk(LinkedDesk[Asset]):
    """All orders of the account."""

    errors: ClassVar = AlpacaError
    table: ClassVar = ORDER
    unknown: ClassVar = ("40410000", "order {} not found")
    no_stake: ClassVar = ("40410000", "position does not exist")
    no_trail: ClassVar = ("42210000", "trail_price or trail_percent is required, one of them")
    client_names: ClassVar = ClientNames(
        ID_LENGTH,
        long=("40010001", f"client_order_id must be no more than {ID_LENGTH} characters"),
        twice=("40010001", "client_order_id must be unique"),
    )

    def identity(self, number: int) -> str:
        return made(self.seed, "order", number)

    # -- requests ----------------------------------------------------------------------------------------------------

    def place(self, form: Form, now_ns: int) -> Any:
        """Queue an order. Raises AlpacaError and FieldError: such an order is in no book."""
        asset = self.names.get(form.text("symbol"))
        kept: dict[str, Any] = {name: form.get(name) for name in _KEPT}
        kept["order_class"] = form.choice("order_class", _EXITS, "simple")
        kept |= {"extended_hours": form.raw("extended_hours") is True, "intent": form.get("position_intent")}
        order, trail = self._read(asset, form, now_ns)
        chain = self.chain(asset, order, kept, form.get("client_order_id"), now_ns, trail)
        legs = self._legs(chain, form, now_ns)
        with AlpacaError.refusing(asset):
            self.send(chain, legs, now_ns, exclusive=kept["order_class"] == "oco")
        return self.row(chain, chain.link, nested=True)

    def replace(self, form: Form, now_ns: int, order_id: str) -> Any:
        """Queue a change; the order it makes is answered, and is in force once the exchange has made it."""
        chain = self.known(order_id)
        early = not chain.venue_id or self.state(chain).status is S.ACCEPTED
        word = "pending_new" if early else self.row(chain, chain.find(order_id))["status"]
        stuck = early or not self.current(chain, order_id)
        AlpacaError.when(stuck, "42210000", f"cannot replace order in {word} state")
        name = self.client_name(form.get("client_order_id"))
        changes: dict[str, Any] = {ours: form.number(word) for word, ours in _CHANGED if form.get(word)}
        if not chain.fields["notional"]:
            # The new order is given what the old one was, whatever that has filled (Alpaca-API issue 165).
            changes.setdefault("quantity", self.state(chain).order.quantity - chain.link.base)
        if form.get("time_in_force"):
            word = chain.fields["time_in_force"] = form.choice("time_in_force", TIME_IN_FORCE.inward)
            changes["time_in_force"] = _VENUE_TIME.get(TIME_IN_FORCE.read(word), F.DAY)
        if form.get("trail") and chain.trail is not None:
            chain.fields[_TRAILS[chain.trail.change(form.number("trail"))]] = form.text("trail")
        with AlpacaError.refusing(chain.named):
            return self.row(chain, self.change(chain, self.new_id(), name, now_ns, **changes))

    def cancel(self, form: Form, now_ns: int, order_id: str) -> Any:
        chain = self.known(order_id)
        word = self.row(chain, chain.find(order_id))["status"]
        AlpacaError.when(not self.current(chain, order_id), "42210000", f"order is not cancelable: {word}")
        with AlpacaError.refusing(chain.named):
            self.withdraw(chain, now_ns)
        return HttpAnswer(204)

    def cancel_all(self, form: Form, now_ns: int) -> Any:
        return json_answer([{"id": one.link.order_id, "status": 200} for one in self.withdraw_all(now_ns)], 207)

    def one(self, query: Form, now_ns: int, order_id: str) -> Any:
        chain = self.known(order_id)
        return self.row(chain, chain.find(order_id), nested=query.flag("nested"))

    def by_client_id(self, query: Form, now_ns: int) -> Any:
        with AlpacaError.turning({LookupError: ("40410000", "order not found")}):
            return self.row(*self.by_client(query.text("client_order_id")))

    def many(self, query: Form, now_ns: int) -> Any:
        status, nested = query.choice("status", ("open", "closed", "all"), "open"), query.flag("nested")
        symbols, sides = query.listed("symbols"), (query.get("side") or "buy,sell").split(",")
        made = self.between(*query.window("after", "until"), newest_first=query.get("direction") != "asc")
        rows = [
            row
            for chain, link in made
            if not (nested and chain.parent) and (not symbols or chain.named.symbol in symbols)
            for row in (self.row(chain, link, nested=nested),)
            if row["side"] in sides and (status == "all" or (row["status"] in _CLOSED) is (status == "closed"))
        ]
        return rows[: min(query.integer("limit", 50), 500)]

    def activities(self, query: Form, now_ns: int, kind: str | None = None) -> Any:
        """Return fills as activities, the latest first unless asked otherwise, in pages that start after an id."""
        kinds = [kind] if kind else query.listed("activity_types") or ["FILL"]
        after, until = query.window("after", "until")
        found = [row for row in self.every_fill() if "FILL" in kinds and after < row[0].ts < until]
        rows = [activity_row(*row) for row in (found if query.get("direction") == "asc" else found[::-1])]
        return page_after(rows, query.get("page_token"), min(query.integer("page_size", 100), 100))

    # -- reading requests --------------------------------------------------------------------------------------------

    def _read(self, asset: Asset, form: Form, now_ns: int) -> tuple[VenueOrder, Trail | None]:
        side = model.Side(form.choice("side", ("buy", "sell")).upper())
        kind = ORDER_TYPE.read(form.choice("type", ORDER_TYPE.inward))
        times = TIME_IN_FORCE.read(form.choice("time_in_force", TIME_IN_FORCE.inward))
        given, money = form.optional("qty"), form.optional("notional")
        AlpacaError.when((given is None) == (money is None), "42210000", "qty or notional is required, one of them")
        market = self.venue.market(asset.instrument_id)
        quantity = lots_for(money or ZERO, side, market, asset.instrument.lot_size) if given is None else given
        self._check(asset, form, kind, times, quantity)
        self._check_free(asset, side, quantity)
        trail = None
        if kind is T.TRAILING_STOP_MARKET:
            trail = self.trail(asset, form.optional("trail_price"), form.optional("trail_percent"))
        order = VenueOrder(
            instrument_id=asset.instrument_id,
            side=side,
            quantity=quantity,
            order_type=T.STOP_MARKET if trail else kind,
            product=model.Product.DELIVERY,
            price=form.number("limit_price") if kind.has_price else None,
            trigger_price=trail.trigger(side) if trail else form.number("stop_price") if kind.has_trigger else None,
            time_in_force=_VENUE_TIME.get(times, F.DAY),
            tag=form.get("client_order_id"),
            not_before=now_ns + _AUCTION_WAIT if times in (F.AT_THE_OPEN, F.AT_THE_CLOSE) else 0,
        )
        return order, trail

    def _check(
        self, asset: Asset, form: Form, kind: model.OrderType, times: model.TimeInForce, quantity: Decimal
    ) -> None:
        """Refuse what no order of this kind of asset may be."""
        part = asset.kind == "us_equity" and quantity % 1 != 0
        late = form.get("extended_hours") == "True" and (kind is not T.LIMIT or times is not F.DAY)
        AlpacaError.check(
            (asset.kind == "crypto" and times not in _VENUE_TIME, "42210000", "invalid crypto time_in_force"),
            (asset.kind == "us_option" and times is not F.DAY, "42210000", "invalid time_in_force for option orders"),
            (quantity <= 0, "40010001", "qty must be > 0"),
            (part and asset.instrument.lot_size == 1, "40310000", f'asset "{asset.symbol}" is not fractionable'),
            (part and times is not F.DAY, "42210000", "fractional orders must be DAY orders"),
            (late, "42210000", "extended hours order must be DAY limit orders"),
        )

    def _check_free(self, asset: Asset, side: model.Side, quantity: Decimal) -> None:
        """Refuse to cross from long to short in one order, and to sell a pair or a fraction that is not held."""
        held, free = self.held(asset.instrument_id), self.free(asset, side)
        short = asset.kind == "us_option" or (asset.kind == "us_equity" and quantity % 1 == 0)
        bare = side is model.Side.SELL and held <= 0 and not short
        crossed = held * side.sign < 0 and quantity > free
        name, asked = asset.symbol.partition("/")[0], f"requested: {shortest(quantity)}, available: "
        AlpacaError.check(
            (crossed, "40310000", f"insufficient qty available for order ({asked}{shortest(free)})"),
            (bare, "40310000", f"insufficient balance for {name} ({asked}0)"),
        )

    def _legs(self, parent: Chain[Asset], asked: Form, now_ns: int) -> list[Chain[Asset]]:
        order_class = parent.fields["order_class"]
        # Of an oco the limit order itself takes the profit.
        names = ("stop_loss",) if order_class == "oco" else ("take_profit", "stop_loss")
        given = {name: leg for name in names if isinstance(leg := asked.raw(name), dict)}
        wrong = len(given) != _EXITS[order_class]
        AlpacaError.when(wrong, "42210000", f"{order_class} orders require take_profit and stop_loss as they say")
        side, legs = parent.order.side if order_class == "oco" else parent.order.side.opposite, []
        for name, leg in given.items():
            form = Form(leg)
            kind = T.LIMIT if name == "take_profit" else T.STOP_LIMIT if form.get("limit_price") else T.STOP_MARKET
            price = form.number("limit_price") if kind.has_price else None
            stop = form.number("stop_price") if kind.has_trigger else None
            told = {"limit_price": shortest(price), "stop_price": shortest(stop), "type": ORDER_TYPE.write(kind)}
            legs.append(self.exit(parent, side, kind, price, stop, told | {"notional": None}, now_ns))
        return legs

    # -- what the exchange tells -------------------------------------------------------------------------------------

    def adopt(self, state: OrderState) -> Chain[Asset]:
        order = state.order
        kept = dict.fromkeys((*_KEPT, "intent")) | {
            "limit_price": shortest(order.price),
            "stop_price": shortest(order.trigger_price),
            "type": ORDER_TYPE.write(order.order_type),
            "order_class": "simple",
            "extended_hours": False,
            "time_in_force": TIME_IN_FORCE.write(order.time_in_force),
        }
        name = order.tag if order.tag and not self.taken(order.tag) else self.new_id()
        return Chain(self.names.by_id[order.instrument_id], order, kept, [Link(self.new_id(), name, state.ts_created)])

    def tell(
        self, told: Told, chain: Chain[Asset], link: Link, state: OrderState, fill: VenueFill | None = None
    ) -> None:
        data: dict[str, Any] = {"timestamp": rfc3339(state.ts_updated)}
        word = _EVENTS.get(told) or STATUS.firm[state.status]
        if fill is not None:
            word = "fill" if state.status is S.FILLED else "partial_fill"
            data = write(FILL, fill) | {"position_qty": shortest(self.held(chain.named.instrument_id))}
        self.note(word, data | {"order": self.row(chain, link, state=state)})
