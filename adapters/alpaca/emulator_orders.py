"""Orders: taken and refused, replaced under new ids, with legs; every event the order stream tells, and records.

`LinkedOrders` keeps them: the broker shows each change as an order of its own, which counts from 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_DOWN, Decimal
from typing import Any, Final

from dragoman.emulator.parts import (
    ZERO,
    Chain,
    Form,
    HttpAnswer,
    HttpCall,
    Link,
    LinkedOrders,
    OrderState,
    Phase,
    Told,
    Trail,
    VenueFill,
    VenueOrder,
    VenueProtocol,
    json_answer,
    json_body,
    rfc3339,
    shortest,
)
from dragoman.plugin import model
from dragoman.plugin.records import rfc3339_ns

from .adapter import ID_LENGTH
from .emulator_words import AlpacaError, Asset, Assets, activity_row, identity, not_found
from .words import ORDER_TYPE, SIDE, TIME_IN_FORCE

S, T, F = model.OrderStatus, model.OrderType, model.TimeInForce
WORDS: Final = {
    S.ACCEPTED: "pending_new",
    S.OPEN: "new",
    S.TRIGGER_PENDING: "new",
    S.TRIGGERED: "new",
    S.PARTIALLY_FILLED: "partially_filled",
    S.FILLED: "filled",
    S.CANCELED: "canceled",
    S.EXPIRED: "expired",
    S.REJECTED: "rejected",
}
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
_AUCTION_WAIT: Final = 60_000_000_000
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
        self.told: list[tuple[str, dict[str, Any]]] = []

    # -- requests ----------------------------------------------------------------------------------------------------

    def place(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        """Queue an order. Raises AlpacaError and FieldError: such an order is in no book."""
        form = json_body(call)
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
        return json_answer(self.row(chain, chain.link, nested=True))

    def replace(self, call: HttpCall, now_ns: int, order_id: str) -> HttpAnswer:
        """Queue a change; the order it makes is answered, and is in force once the exchange has made it."""
        form, chain = json_body(call), self._known(order_id)
        early = not chain.venue_id or self.state(chain).status is S.ACCEPTED
        if early or chain.link.order_id != order_id or not self.idle(chain):
            word = "pending_new" if early else self.row(chain, chain.find(order_id))["status"]
            raise AlpacaError("42210000", f"cannot replace order in {word} state")
        name = self._client_id(form.get("client_order_id"))
        changes: dict[str, Any] = {ours: form.number(word) for word, ours in _CHANGED if form.get(word)}
        if form.get("time_in_force"):
            word = form.choice("time_in_force", TIME_IN_FORCE.inward)
            changes["time_in_force"] = _VENUE_TIME.get(TIME_IN_FORCE.read(word), F.DAY)
            chain.fields["time_in_force"] = word
        if form.get("trail") and chain.trail is not None:
            by_price = chain.trail.offset is not None
            chain.fields["trail_price" if by_price else "trail_percent"] = form.text("trail")
            setattr(chain.trail, "offset" if by_price else "percent", form.number("trail"))
        with AlpacaError.refusing(chain.named):
            fresh = self.change(chain, self._new_id(), name, now_ns, **changes)
        return json_answer(self.row(chain, fresh))

    def cancel(self, call: HttpCall, now_ns: int, order_id: str) -> HttpAnswer:
        chain = self._known(order_id)
        AlpacaError.when(
            chain.link.order_id != order_id or not self.idle(chain),
            "42210000",
            f"order is not cancelable: {self.row(chain, chain.find(order_id))['status']}",
        )
        with AlpacaError.refusing(chain.named):
            self.withdraw(chain, now_ns)
        return HttpAnswer(204)

    def cancel_all(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        chosen = [chain for chain in self.all() if not self.state(chain).status.terminal]
        for chain in filter(self.idle, chosen):
            self.withdraw(chain, now_ns)
        return json_answer([{"id": chain.link.order_id, "status": 200} for chain in chosen], 207)

    def one(self, call: HttpCall, now_ns: int, order_id: str) -> HttpAnswer:
        chain = self._known(order_id)
        return json_answer(self.row(chain, chain.find(order_id), nested=_nested(Form(dict(call.query)))))

    def by_client_id(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        try:
            return json_answer(self.row(*self.by_client(Form(dict(call.query)).text("client_order_id"))))
        except LookupError as missing:
            raise not_found("order") from missing

    def many(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        query = Form(dict(call.query))
        status, nested = query.choice("status", ("open", "closed", "all"), "open"), _nested(query)
        symbols = set(filter(None, (query.get("symbols") or "").split(",")))
        after, until = (rfc3339_ns(_zoned(query.get(name))) for name in ("after", "until"))
        found = [
            (link.created, row)
            for chain in self.all()
            if not (nested and chain.parent) and (not symbols or chain.named.symbol in symbols)
            for link in chain.every
            if (after is None or link.created > after) and (until is None or link.created < until)
            for row in (self.row(chain, link, nested=nested),)
            if status == "all" or (row["status"] in _CLOSED) is (status == "closed")
            if (query.get("side") or row["side"]) == row["side"]
        ]
        found.sort(key=lambda one: one[0], reverse=query.get("direction") != "asc")
        return json_answer([row for _, row in found[: min(query.integer("limit", 50), 500)]])

    def activities(self) -> list[dict[str, Any]]:
        """Return every fill of the account as an activity, oldest first."""
        rows = self.every_fill()
        return [activity_row(fill, link.order_id, total, left, chain.named) for fill, chain, link, total, left in rows]

    # -- reading requests --------------------------------------------------------------------------------------------

    def _read(self, asset: Asset, form: Form, now_ns: int) -> tuple[VenueOrder, Trail | None]:
        side = SIDE.read(form.choice("side", ("buy", "sell")))
        kind = ORDER_TYPE.read(form.choice("type", ORDER_TYPE.inward))
        time_in_force = TIME_IN_FORCE.read(form.choice("time_in_force", TIME_IN_FORCE.inward))
        assert side is not None
        AlpacaError.when(
            (form.get("qty") is None) == (form.get("notional") is None),
            "42210000",
            "qty or notional is required, one of them",
        )
        quantity = form.number("qty") if form.get("qty") else self._bought_for(asset, side, form.number("notional"))
        times, whole = time_in_force, quantity % 1 == 0
        rules = (
            (asset.kind == "crypto" and times not in _VENUE_TIME, "42210000", "invalid crypto time_in_force"),
            (
                asset.kind == "us_option" and times is not F.DAY,
                "42210000",
                "invalid time_in_force for option orders",
            ),
            (quantity <= 0, "40010001", "qty must be > 0"),
            (
                asset.kind == "us_equity" and not whole and asset.instrument.lot_size == 1,
                "40310000",
                f'asset "{asset.symbol}" is not fractionable',
            ),
            (
                asset.kind == "us_equity" and not whole and times is not F.DAY,
                "42210000",
                "fractional orders must be DAY orders",
            ),
            (
                form.get("extended_hours") == "True" and (kind is not T.LIMIT or times is not F.DAY),
                "42210000",
                "extended hours order must be DAY limit orders",
            ),
        )
        for broken, word, text in rules:
            AlpacaError.when(broken, word, text)
        self._check_free(asset, side, quantity)
        trail = self._trail(asset, form) if kind is T.TRAILING_STOP_MARKET else None
        auction = time_in_force in (F.AT_THE_OPEN, F.AT_THE_CLOSE)
        order = VenueOrder(
            instrument_id=asset.instrument_id,
            side=side,
            quantity=quantity,
            order_type=T.STOP_MARKET if trail else kind,
            product=model.Product.DELIVERY,
            price=form.number("limit_price") if kind.has_price else None,
            trigger_price=trail.trigger(side) if trail else form.number("stop_price") if kind.has_trigger else None,
            time_in_force=_VENUE_TIME.get(time_in_force, F.DAY),
            tag=form.get("client_order_id"),
            not_before=now_ns + _AUCTION_WAIT if auction else 0,
        )
        return order, trail

    def _bought_for(self, asset: Asset, side: model.Side, money: Decimal) -> Decimal:
        market = self._venue.market(asset.instrument_id)
        levels = market.asks if side is model.Side.BUY else market.bids
        lot = asset.instrument.lot_size
        return (money / (levels[0][0] if levels else market.last_price) / lot).to_integral_value(ROUND_DOWN) * lot

    def _check_free(self, asset: Asset, side: model.Side, quantity: Decimal) -> None:
        """Refuse to cross from long to short in one order, and to sell a pair or a fraction that is not held."""
        held = self.held(asset.instrument_id)
        same = [self.state(chain) for chain in self.all() if chain.named is asset and chain.venue_id]
        working = sum((one.remaining for one in same if not one.status.terminal and one.order.side is side), ZERO)
        free = -side.sign * held - working
        short = side is model.Side.SELL and held <= 0 and asset.kind == "us_equity" and quantity % 1 == 0
        if held * side.sign < 0 and quantity > free:
            told = f"requested: {shortest(quantity)}, available: {shortest(max(free, ZERO))}"
            raise AlpacaError("40310000", f"insufficient qty available for order ({told})")
        if side is model.Side.SELL and held <= 0 and not short and asset.kind != "us_option":
            name = asset.symbol.partition("/")[0]
            raise AlpacaError(
                "40310000", f"insufficient balance for {name} (requested: {shortest(quantity)}, available: 0)"
            )

    def _trail(self, asset: Asset, form: Form) -> Trail:
        offset, percent = (form.number(name) if form.get(name) else None for name in ("trail_price", "trail_percent"))
        AlpacaError.when(
            (offset is None) == (percent is None), "42210000", "trail_price or trail_percent is required, one of them"
        )
        last = self._venue.market(asset.instrument_id).last_price
        return Trail(last, asset.instrument.tick_size, offset, percent)

    def _client_id(self, given: str | None) -> str:
        AlpacaError.when(
            given is not None and len(given) > ID_LENGTH,
            "40010001",
            f"client_order_id must be no more than {ID_LENGTH} characters",
        )
        AlpacaError.when(given is not None and self.taken(given), "40010001", "client_order_id must be unique")
        return given or self._new_id()

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
        try:
            return self.get(order_id)
        except LookupError as missing:
            raise not_found(f"order {order_id}") from missing

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
        word = _EVENTS.get(told) or WORDS[state.status]
        if fill is not None:
            word = "fill" if state.status is S.FILLED else "partial_fill"
            data = {
                "timestamp": rfc3339(fill.ts),
                "price": shortest(fill.price),
                "qty": shortest(fill.quantity),
                "position_qty": shortest(self.held(chain.named.instrument_id)),
                "execution_id": identity("execution", fill.trade_id, fill.order_id),
            }
        self.told.append((word, {**data, "order": self.row(chain, link, state=state)}))

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
            "status": _PHASES.get(link.phase) or self._status(state, filled, chain),
            "extended_hours": kept["extended_hours"],
            "legs": [self.row(leg, leg.link) for leg in chain.legs] or None if nested else None,
            "trail_percent": kept["trail_percent"],
            "trail_price": kept["trail_price"],
            "hwm": shortest(chain.trail.best) if chain.trail else None,
            "source": "access_key",
        }

    @staticmethod
    def _status(state: OrderState, filled: Decimal, chain: Chain[Asset]) -> str:
        if not state.status.terminal and state.pending is model.Pending.CANCEL:
            return "pending_cancel"
        if not state.status.terminal and state.pending is model.Pending.MODIFY and chain.waiting is not None:
            return "pending_replace"
        if state.status is S.PARTIALLY_FILLED and not filled:
            return "new"
        return "accepted" if state.status is S.ACCEPTED and state.order.not_before else WORDS[state.status]


def _nested(query: Form) -> bool:
    return (query.get("nested") or "").lower() == "true"


def _zoned(given: str | None) -> str | None:
    """Return a time of a query; a plus in it may have become a blank, and a day stands for its beginning."""
    if not given:
        return None
    whole = given.replace(" ", "+") if "T" in given else f"{given}T00:00:00Z"
    return whole if whole[-1] == "Z" or "+" in whole[10:] or "-" in whole[10:] else f"{whole}Z"
