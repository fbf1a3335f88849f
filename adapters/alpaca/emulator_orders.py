"""Orders: taken and refused, replaced under new ids, with legs; every event the order stream tells, and records.

`LinkedOrders` keeps them: the broker shows each change as an order of its own, which counts from 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from dragoman.emulator.parts import (
    SECOND,
    ZERO,
    Chain,
    Form,
    HttpAnswer,
    Link,
    LinkedOrders,
    OrderState,
    Phase,
    StatusWords,
    Told,
    Trail,
    VenueFill,
    VenueOrder,
    VenueProtocol,
    json_answer,
    lots_for,
    page_after,
    rfc3339,
    shortest,
)
from dragoman.plugin import model

from .emulator_words import AlpacaError, Asset, Assets, activity_row, identity
from .fields import ID_LENGTH
from .words import ORDER_TYPE, TIME_IN_FORCE

S, T, F = model.OrderStatus, model.OrderType, model.TimeInForce
WORDS: Final = StatusWords(
    firm={
        S.ACCEPTED: "pending_new",
        S.OPEN: "new",
        S.TRIGGER_PENDING: "new",
        S.TRIGGERED: "new",
        S.PARTIALLY_FILLED: "partially_filled",
        S.FILLED: "filled",
        S.CANCELED: "canceled",
        S.EXPIRED: "expired",
        S.REJECTED: "rejected",
    },
    waiting="accepted",
    modifying="pending_replace",
    canceling="pending_cancel",
)
_PHASES: Final = {
    Phase.HELD: "held",
    Phase.ASKED: "accepted",
    Phase.REFUSED: "rejected",
    Phase.REPLACED: "replaced",
}
_EVENTS: Final = {
    Told.RECEIVED: "pending_new",
    Told.WORKING: "new",
    Told.CHANGING: "pending_replace",
    Told.CHANGED: "replaced",
    Told.CHANGE_REFUSED: "order_replace_rejected",
    Told.REFUSED: "rejected",
    Told.CANCELING: "pending_cancel",
}
_STAMPS: Final = {S.FILLED: "filled_at", S.CANCELED: "canceled_at", S.EXPIRED: "expired_at", S.REJECTED: "failed_at"}
_CLOSED: Final = ("filled", "canceled", "expired", "rejected", "replaced")
_VENUE_TIME: Final = {F.GTC: F.GTC, F.IOC: F.IOC, F.FOK: F.FOK}
_AUCTION_WAIT: Final = 60 * SECOND
_NEVER: Final = 2**63
_CHANGED: Final = (("qty", "quantity"), ("limit_price", "price"), ("stop_price", "trigger_price"))
_KEPT: Final = ("limit_price", "stop_price", "trail_price", "trail_percent", "notional", "type", "time_in_force")
_EXITS: Final = {"bracket": 2, "oto": 1, "oco": 1, "simple": 0}


class OrderDesk(LinkedOrders[Asset]):
    """All orders of the account.

    Parameters
    ----------
    seed : int
        What ids are made from.
    """

    def __init__(self, venue: VenueProtocol, assets: Assets, account: str, seed: int) -> None:
        super().__init__(venue, account)
        self._assets = assets
        self._seed = seed
        self._made = 0
        self._told: list[tuple[str, dict[str, Any]]] = []

    # -- requests ----------------------------------------------------------------------------------------------------

    def place(self, form: Form, now_ns: int) -> Any:
        """Queue an order. Raises AlpacaError and FieldError: such an order is in no book."""
        asset = self._assets.get(form.text("symbol"))
        kept: dict[str, Any] = {name: form.get(name) for name in _KEPT}
        kept["order_class"] = form.choice("order_class", _EXITS, "simple")
        kept |= {"extended_hours": form.raw("extended_hours") is True, "intent": form.get("position_intent")}
        order, trail = self._read(asset, form, now_ns)
        link = Link(self._new_id(), self._client_id(form.get("client_order_id")), now_ns)
        chain = Chain(asset, order, kept, [link], trail=trail)
        legs = self._legs(chain, form, now_ns)
        with AlpacaError.refusing(asset):
            self.send(chain, legs, now_ns, exclusive=kept["order_class"] == "oco")
        return self.row(chain, chain.link, nested=True)

    def replace(self, form: Form, now_ns: int, order_id: str) -> Any:
        """Queue a change; the order it makes is answered, and is in force once the exchange has made it."""
        chain = self._known(order_id)
        early = not chain.venue_id or self.state(chain).status is S.ACCEPTED
        if early or chain.link.order_id != order_id or not self.idle(chain):
            word = "pending_new" if early else self.row(chain, chain.find(order_id))["status"]
            raise AlpacaError("42210000", f"cannot replace order in {word} state")
        name = self._client_id(form.get("client_order_id"))
        changes: dict[str, Any] = {ours: form.number(word) for word, ours in _CHANGED if form.get(word)}
        if "quantity" not in changes and not chain.fields["notional"]:
            # The new order is given what the old one was, whatever that has filled (Alpaca-API issue 165).
            changes["quantity"] = self.state(chain).order.quantity - chain.link.base
        if form.get("time_in_force"):
            word = form.choice("time_in_force", TIME_IN_FORCE.inward)
            changes["time_in_force"] = _VENUE_TIME.get(TIME_IN_FORCE.read(word), F.DAY)
            chain.fields["time_in_force"] = word
        if form.get("trail") and chain.trail is not None:
            by_price = chain.trail.offset is not None
            chain.fields["trail_price" if by_price else "trail_percent"] = form.text("trail")
            setattr(chain.trail, "offset" if by_price else "percent", form.number("trail"))
        with AlpacaError.refusing(chain.named):
            return self.row(chain, self.change(chain, self._new_id(), name, now_ns, **changes))

    def cancel(self, form: Form, now_ns: int, order_id: str) -> Any:
        chain = self._known(order_id)
        AlpacaError.when(
            chain.link.order_id != order_id or not self.idle(chain),
            "42210000",
            f"order is not cancelable: {self.row(chain, chain.find(order_id))['status']}",
        )
        with AlpacaError.refusing(chain.named):
            self.withdraw(chain, now_ns)
        return HttpAnswer(204)

    def cancel_all(self, form: Form, now_ns: int) -> Any:
        chosen = [chain for chain in self.all() if not self.state(chain).status.terminal]
        for chain in filter(self.idle, chosen):
            self.withdraw(chain, now_ns)
        return json_answer([{"id": chain.link.order_id, "status": 200} for chain in chosen], 207)

    def one(self, query: Form, now_ns: int, order_id: str) -> Any:
        chain = self._known(order_id)
        return self.row(chain, chain.find(order_id), nested=_nested(query))

    def by_client_id(self, query: Form, now_ns: int) -> Any:
        with AlpacaError.turning({LookupError: ("40410000", "order not found")}):
            return self.row(*self.by_client(query.text("client_order_id")))

    def many(self, query: Form, now_ns: int) -> Any:
        status, nested = query.choice("status", ("open", "closed", "all"), "open"), _nested(query)
        symbols, sides = query.listed("symbols"), (query.get("side") or "buy,sell").split(",")
        after, until = query.time_ns("after") or 0, query.time_ns("until") or _NEVER
        found = [
            (link.created, row)
            for chain in self.all()
            if not (nested and chain.parent) and (not symbols or chain.named.symbol in symbols)
            for link in chain.every
            if after < link.created < until
            for row in (self.row(chain, link, nested=nested),)
            if row["side"] in sides and (status == "all" or (row["status"] in _CLOSED) is (status == "closed"))
        ]
        found.sort(key=lambda one: one[0], reverse=query.get("direction") != "asc")
        return [row for _, row in found[: min(query.integer("limit", 50), 500)]]

    def activities(self, query: Form, now_ns: int, kind: str | None = None) -> Any:
        """Return fills as activities, the latest first unless asked otherwise, in pages that start after an id."""
        kinds = [kind] if kind else query.listed("activity_types") or ["FILL"]
        after, until = query.time_ns("after") or 0, query.time_ns("until") or _NEVER
        rows = [
            activity_row(fill, link.order_id, total, left, chain.named)
            for fill, chain, link, total, left in (self.every_fill() if "FILL" in kinds else ())
            if after < fill.ts < until
        ]
        newest_first = rows if query.get("direction") == "asc" else rows[::-1]
        return page_after(newest_first, query.get("page_token"), min(query.integer("page_size", 100), 100))

    # -- reading requests --------------------------------------------------------------------------------------------

    def _read(self, asset: Asset, form: Form, now_ns: int) -> tuple[VenueOrder, Trail | None]:
        side = model.Side(form.choice("side", ("buy", "sell")).upper())
        kind = ORDER_TYPE.read(form.choice("type", ORDER_TYPE.inward))
        times = TIME_IN_FORCE.read(form.choice("time_in_force", TIME_IN_FORCE.inward))
        quantity, money = form.optional("qty"), form.optional("notional")
        AlpacaError.when((quantity is None) == (money is None), "42210000", "qty or notional is required, one of them")
        if quantity is None:
            market = self._venue.market(asset.instrument_id)
            quantity = lots_for(money or ZERO, side, market, asset.instrument.lot_size)
        share_part = asset.kind == "us_equity" and quantity % 1 != 0
        extended = form.get("extended_hours") == "True"
        AlpacaError.check(
            (asset.kind == "crypto" and times not in _VENUE_TIME, "42210000", "invalid crypto time_in_force"),
            (asset.kind == "us_option" and times is not F.DAY, "42210000", "invalid time_in_force for option orders"),
            (quantity <= 0, "40010001", "qty must be > 0"),
            (
                share_part and asset.instrument.lot_size == 1,
                "40310000",
                f'asset "{asset.symbol}" is not fractionable',
            ),
            (share_part and times is not F.DAY, "42210000", "fractional orders must be DAY orders"),
            (
                extended and (kind is not T.LIMIT or times is not F.DAY),
                "42210000",
                "extended hours order must be DAY limit orders",
            ),
        )
        self._check_free(asset, side, quantity)
        trail = self._trail(asset, form) if kind is T.TRAILING_STOP_MARKET else None
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

    def _check_free(self, asset: Asset, side: model.Side, quantity: Decimal) -> None:
        """Refuse to cross from long to short in one order, and to sell a pair or a fraction that is not held."""
        held = self.held(asset.instrument_id)
        same = [self.state(chain) for chain in self.all() if chain.named is asset and chain.venue_id]
        working = sum((one.remaining for one in same if not one.status.terminal and one.order.side is side), ZERO)
        free = max(-side.sign * held - working, ZERO)
        bare = side is model.Side.SELL and held <= 0
        short = asset.kind == "us_option" or (asset.kind == "us_equity" and quantity % 1 == 0)
        name, size = asset.symbol.partition("/")[0], shortest(quantity)
        AlpacaError.check(
            (
                held * side.sign < 0 and quantity > free,
                "40310000",
                f"insufficient qty available for order (requested: {size}, available: {shortest(free)})",
            ),
            (
                bare and not short,
                "40310000",
                f"insufficient balance for {name} (requested: {size}, available: 0)",
            ),
        )

    def _trail(self, asset: Asset, form: Form) -> Trail:
        offset, percent = form.optional("trail_price"), form.optional("trail_percent")
        wrong = (offset is None) == (percent is None)
        AlpacaError.when(wrong, "42210000", "trail_price or trail_percent is required, one of them")
        last = self._venue.market(asset.instrument_id).last_price
        return Trail(last, asset.instrument.tick_size, offset, percent)

    def _client_id(self, given: str | None) -> str:
        name = given or self._new_id()
        long = len(name) > ID_LENGTH
        AlpacaError.check(
            (long, "40010001", f"client_order_id must be no more than {ID_LENGTH} characters"),
            (self.taken(name), "40010001", "client_order_id must be unique"),
        )
        return name

    def _new_id(self) -> str:
        self._made += 1
        return identity(self._seed, "order", self._made)

    def _legs(self, parent: Chain[Asset], asked: Form, now_ns: int) -> list[Chain[Asset]]:
        order_class = parent.fields["order_class"]
        given = {name: leg for name in ("take_profit", "stop_loss") if isinstance(leg := asked.raw(name), dict)}
        if order_class == "oco":
            given.pop("take_profit", None)  # the limit order itself takes the profit
        AlpacaError.when(
            len(given) != _EXITS[order_class],
            "42210000",
            f"{order_class} orders require take_profit and stop_loss as they say",
        )
        legs = []
        for name, leg in given.items():
            form = Form(leg)
            kind = T.LIMIT if name == "take_profit" else T.STOP_LIMIT if form.get("limit_price") else T.STOP_MARKET
            order = VenueOrder(
                instrument_id=parent.named.instrument_id,
                side=parent.order.side if order_class == "oco" else parent.order.side.opposite,
                quantity=parent.order.quantity,
                order_type=kind,
                product=model.Product.DELIVERY,
                price=form.number("limit_price") if kind.has_price else None,
                trigger_price=form.number("stop_price") if kind.has_trigger else None,
                time_in_force=parent.order.time_in_force,
            )
            kept = parent.fields | {"type": ORDER_TYPE.write(kind), "notional": None}
            kept |= {"limit_price": shortest(order.price), "stop_price": shortest(order.trigger_price)}
            link = Link(self._new_id(), self._new_id(), now_ns)
            legs.append(self.hold(Chain(parent.named, order, kept, [link]), now_ns))
        return legs

    def _known(self, order_id: str) -> Chain[Asset]:
        with AlpacaError.turning({LookupError: ("40410000", f"order {order_id} not found")}):
            return self.get(order_id)

    def take_told(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the events of orders since the last call."""
        told, self._told = self._told, []
        return told

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
        name = order.tag if order.tag and not self.taken(order.tag) else self._new_id()
        link = Link(self._new_id(), name, state.ts_created)
        return Chain(self._assets.by_id[order.instrument_id], order, kept, [link])

    def tell(
        self, told: Told, chain: Chain[Asset], link: Link, state: OrderState, fill: VenueFill | None = None
    ) -> None:
        data: Mapping[str, Any] = {"timestamp": rfc3339(state.ts_updated)}
        word = _EVENTS.get(told) or WORDS.firm[state.status]
        if fill is not None:
            word = "fill" if state.status is S.FILLED else "partial_fill"
            data = {
                "timestamp": rfc3339(fill.ts),
                "price": shortest(fill.price),
                "qty": shortest(fill.quantity),
                "position_qty": shortest(self.held(chain.named.instrument_id)),
                "execution_id": identity("execution", fill.trade_id, fill.order_id),
            }
        self._told.append((word, {**data, "order": self.row(chain, link, state=state)}))

    # -- records -----------------------------------------------------------------------------------------------------

    def row(
        self, chain: Chain[Asset], link: Link, *, state: OrderState | None = None, nested: bool = False
    ) -> dict[str, Any]:
        """Write an order under one of its ids."""
        state = state or self.state(chain)
        fills = [fill for fill, _ in self.fills(chain, link, state)]
        filled = sum((fill.quantity for fill in fills), ZERO)
        value = sum((fill.quantity * fill.price for fill in fills), ZERO)
        kept, order, asset = chain.fields, link.terms or state.order, chain.named
        updated = link.ended or max(state.ts_updated, link.created)
        stamps = dict.fromkeys((*_STAMPS.values(), "replaced_at"))
        if link.phase is Phase.REPLACED:
            stamps["replaced_at"] = rfc3339(link.ended)
        elif link is chain.link and state.status in _STAMPS:
            stamps[_STAMPS[state.status]] = rfc3339(state.ts_updated)
        return {
            "id": link.order_id,
            "client_order_id": link.client_order_id,
            "created_at": rfc3339(link.created),
            "updated_at": rfc3339(updated),
            "submitted_at": rfc3339(link.created),
            **stamps,
            "replaced_by": link.replaced_by.order_id if link.replaced_by else None,
            "replaces": link.replaces.order_id if link.replaces else None,
            "asset_id": asset.asset_id,
            "symbol": asset.symbol,
            "asset_class": asset.kind,
            "notional": kept["notional"],
            "qty": None if kept["notional"] else shortest(order.quantity - link.base),
            "filled_qty": shortest(filled),
            "filled_avg_price": shortest((value / filled).quantize(Decimal("0.000001"))) if filled else None,
            "order_class": kept["order_class"],
            "order_type": kept["type"],
            "type": kept["type"],
            "side": order.side.value.lower(),
            "position_intent": kept["intent"],
            "time_in_force": kept["time_in_force"],
            "limit_price": shortest(order.price) if kept["limit_price"] else None,
            "stop_price": shortest(order.trigger_price),
            "status": _PHASES.get(link.phase) or _status(state, filled, chain),
            "extended_hours": kept["extended_hours"],
            "legs": [self.row(leg, leg.link) for leg in chain.legs] or None if nested else None,
            "trail_percent": kept["trail_percent"],
            "trail_price": kept["trail_price"],
            "hwm": shortest(chain.trail.best) if chain.trail else None,
            "source": "access_key",
        }


def _status(state: OrderState, filled: Decimal, chain: Chain[Asset]) -> str:
    if state.status is S.PARTIALLY_FILLED and not filled and state.pending is model.Pending.NONE:
        return WORDS.firm[S.OPEN]  # filled under an id before
    # A trailing stop is changed by the broker itself, which is not shown.
    moved = state.pending is model.Pending.MODIFY and chain.waiting is None
    return WORDS.now(replace(state, pending=model.Pending.NONE) if moved else state)


def _nested(query: Form) -> bool:
    return (query.get("nested") or "").lower() == "true"
