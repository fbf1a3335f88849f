"""Orders: taken and refused, replaced under new ids, with legs, and every event the order stream tells.

The exchange behind keeps one order through all its changes; the broker shows each change as an order of its own, which
counts from 0 (`Link`). What an account placed and all its links are a `Chain`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from typing import Any, Final

from dragoman.emulator.bodies import json_answer, rfc3339, shortest
from dragoman.emulator.contract import HttpAnswer, HttpCall
from dragoman.emulator.forms import Form, json_body
from dragoman.emulator.venue.types import (
    ZERO,
    OrderState,
    VenueEvent,
    VenueFill,
    VenueOrder,
    VenueProtocol,
    VenueRejectError,
)
from dragoman.plugin import model
from dragoman.plugin.records import rfc3339_ns

from .adapter import ID_LENGTH
from .emulator_words import AlpacaError, Asset, Assets, activity_row, identity, not_found
from .words import ORDER_TYPE, SIDE, TIME_IN_FORCE

S, T, F = model.OrderStatus, model.OrderType, model.TimeInForce
_PENDING = model.Pending
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
_STAMPS: Final = {S.FILLED: "filled_at", S.CANCELED: "canceled_at", S.EXPIRED: "expired_at", S.REJECTED: "failed_at"}
_VENUE_TIME: Final = {F.GTC: F.GTC, F.IOC: F.IOC, F.FOK: F.FOK}
_AUCTION_WAIT: Final = 60_000_000_000
_CHANGED: Final = (("qty", "quantity"), ("limit_price", "price"), ("stop_price", "trigger_price"))
Told = tuple[str, dict[str, Any]]
"""An event of the order stream: its word, and the data beside the order."""


@dataclass
class Link:
    """One of the ids of an order. `base` is what was filled under the ids before, `top` where its own fills end."""

    order_id: str
    client_order_id: str
    created: int
    replaces: Link | None = None
    replaced_by: Link | None = None
    word: str = ""
    base: Decimal = ZERO
    top: Decimal | None = None
    ended: int | None = None
    shown: dict[str, Any] = field(default_factory=dict)  # terms of an id that is not in force


@dataclass
class Chain:
    """One order of the account, whatever became of it.

    Attributes
    ----------
    venue_id : str
        Empty for a leg that is held until its parent fills, or that never came to the exchange.
    fields : dict
        What was asked for, in the broker's words.
    fate : OrderState or None
        Stands in for the exchange's state of an order that is not there.
    """

    asset: Asset
    order: VenueOrder
    fields: dict[str, Any]
    links: list[Link]
    venue_id: str = ""
    fate: OrderState | None = None
    legs: list[Chain] = field(default_factory=list)
    siblings: list[Chain] = field(default_factory=list)
    high_water: Decimal | None = None
    waiting: Link | None = None

    @property
    def link(self) -> Link:
        """The id in force."""
        return self.links[-1]


class OrderDesk:
    """All orders of the account.

    Parameters
    ----------
    seed : int
        What ids are made from.
    """

    def __init__(self, venue: VenueProtocol, assets: Assets, account: str, seed: int) -> None:
        self._venue = venue
        self._assets = assets
        self._account = account
        self._seed = seed
        self._made = 0
        self._seen = 0
        self._before: dict[str, OrderState] = {}
        self._chains: dict[str, Chain] = {}  # by every id
        self._by_client: dict[str, Chain] = {}
        self._by_venue: dict[str, Chain] = {}
        self.told: list[Told] = []

    # -- requests ----------------------------------------------------------------------------------------------------

    def place(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        """Queue an order. Raises AlpacaError and FieldError: such an order is in no book."""
        form = json_body(call)
        asset = self._assets.get(form.text("symbol"))
        order_class = form.choice("order_class", ("simple", "bracket", "oco", "oto"), "simple")
        order = self._read(asset, form, now_ns)
        name = self._client_id(form.get("client_order_id"))
        kept: dict[str, Any] = {
            name: form.get(name) for name in ("limit_price", "stop_price", "trail_price", "trail_percent", "notional")
        }
        kept |= {"type": form.text("type"), "time_in_force": form.text("time_in_force"), "order_class": order_class}
        kept |= {"extended_hours": form.raw("extended_hours") is True, "intent": form.get("position_intent")}
        kept["qty"] = None if kept["notional"] else shortest(order.quantity)
        chain = self._chain(asset, order, kept, name, now_ns)
        legs = self._legs(chain, form, now_ns)
        with AlpacaError.refusing(asset):
            chain.venue_id = self._venue.submit(self._account, order, now_ns)
        self._by_venue[chain.venue_id] = chain
        self._keep(chain)
        for leg in legs:
            self._keep(leg)
            (chain.siblings if order_class == "oco" else chain.legs).append(leg)
            leg.siblings = [chain] if order_class == "oco" else [one for one in legs if one is not leg]
            if order_class == "oco":
                self._release(leg, now_ns)
        return json_answer(self.row(chain, chain.link, nested=True))

    def replace(self, call: HttpCall, now_ns: int, order_id: str) -> HttpAnswer:
        """Queue a change; the order it makes is answered, and is in force once the exchange has made it."""
        fields, chain = json_body(call), self._get(order_id)
        state = self._state(chain)
        if chain.link.order_id != order_id or state.status.terminal or state.pending is not _PENDING.NONE:
            raise AlpacaError(
                "42210000", f"cannot replace order in {self._word(chain, self._link(chain, order_id))} state"
            )
        if not chain.venue_id or state.status is S.ACCEPTED:
            raise AlpacaError("42210000", "cannot replace order in pending_new state")
        name = self._client_id(fields.get("client_order_id"))
        changes: dict[str, Any] = {ours: fields.number(word) for word, ours in _CHANGED if fields.get(word)}
        if "quantity" in changes:
            changes["quantity"] += state.filled_quantity
        if fields.get("time_in_force"):
            word = fields.choice("time_in_force", TIME_IN_FORCE.inward)
            changes["time_in_force"] = _VENUE_TIME.get(TIME_IN_FORCE.read(word), F.DAY)
            chain.fields["time_in_force"] = word
        if fields.get("trail"):
            chain.fields["trail_price" if chain.fields["trail_price"] else "trail_percent"] = fields.text("trail")
        with AlpacaError.refusing(chain.asset):
            self._venue.modify(self._account, chain.venue_id, now_ns, **changes)
        shown = {word: shortest(fields.number(word)) for word, _ in _CHANGED if fields.get(word)}
        fresh = Link(self._new_id(), name, now_ns, replaces=chain.link, word="accepted", shown=shown)
        chain.waiting = fresh
        self._chains[fresh.order_id] = self._by_client[name] = chain
        return json_answer(self.row(chain, fresh))

    def cancel(self, call: HttpCall, now_ns: int, order_id: str) -> HttpAnswer:
        chain = self._get(order_id)
        if chain.link.order_id != order_id or chain.waiting is not None:
            raise AlpacaError("42210000", f"order is not cancelable: {self._word(chain, self._link(chain, order_id))}")
        self._cancel(chain, now_ns)
        return HttpAnswer(204)

    def cancel_all(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        open_ones = [chain for chain in self._all() if not self._state(chain).status.terminal]
        for chain in open_ones:
            if self._state(chain).pending is _PENDING.NONE:
                self._cancel(chain, now_ns)
        return json_answer([{"id": chain.link.order_id, "status": 200} for chain in open_ones], 207)

    def one(self, call: HttpCall, now_ns: int, order_id: str) -> HttpAnswer:
        chain = self._get(order_id)
        return json_answer(
            self.row(chain, self._link(chain, order_id), nested=dict(call.query).get("nested", "").lower() == "true")
        )

    def by_client_id(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        name = Form(dict(call.query)).text("client_order_id")
        chain = self._by_client.get(name)
        if chain is None:
            raise not_found("order")
        every = (*chain.links, *filter(None, (chain.waiting,)))
        return json_answer(self.row(chain, next((one for one in every if one.client_order_id == name), chain.link)))

    def many(self, call: HttpCall, now_ns: int) -> HttpAnswer:
        query = Form(dict(call.query))
        status = query.choice("status", ("open", "closed", "all"), "open")
        limit = min(query.integer("limit", 50), 500)
        symbols = set(filter(None, (query.get("symbols") or "").split(",")))
        nested = (query.get("nested") or "").lower() == "true"
        after, until = (rfc3339_ns(_zoned(query.get(name))) for name in ("after", "until"))
        found = []
        children = {id(leg) for chain in self._all() for leg in chain.legs}
        for chain in self._all():
            if nested and id(chain) in children:
                continue
            for link in (*chain.links, *filter(None, (chain.waiting,))):
                row = self.row(chain, link, nested=nested)
                ended = row["status"] in ("filled", "canceled", "expired", "rejected", "replaced")
                fits = status == "all" or ended is (status == "closed")
                fits = fits and (after is None or link.created > after) and (until is None or link.created < until)
                fits = fits and (query.get("side") or row["side"]) == row["side"]
                if fits and (not symbols or chain.asset.symbol in symbols):
                    found.append((link.created, row))
        found.sort(key=lambda one: one[0], reverse=query.get("direction") != "asc")
        return json_answer([row for _, row in found[:limit]])

    # -- reading requests --------------------------------------------------------------------------------------------

    def _read(self, asset: Asset, form: Form, now_ns: int) -> VenueOrder:
        side, kind = (
            SIDE.read(form.choice("side", ("buy", "sell"))),
            ORDER_TYPE.read(form.choice("type", ORDER_TYPE.inward)),
        )
        time_in_force = TIME_IN_FORCE.read(form.choice("time_in_force", TIME_IN_FORCE.inward))
        assert side is not None
        if (form.get("qty") is None) == (form.get("notional") is None):
            raise AlpacaError("42210000", "qty or notional is required, one of them")
        if asset.kind == "crypto" and time_in_force not in (F.GTC, F.IOC, F.FOK):
            raise AlpacaError("42210000", "invalid crypto time_in_force")
        if asset.kind == "us_option" and time_in_force is not F.DAY:
            raise AlpacaError("42210000", "invalid time_in_force for option orders")
        quantity = form.number("qty") if form.get("qty") else self._bought_for(asset, side, form.number("notional"))
        if quantity <= 0:
            raise AlpacaError("40010001", "qty must be > 0")
        if asset.kind == "us_equity" and quantity % 1 and asset.instrument.lot_size == 1:
            raise AlpacaError("40310000", f'asset "{asset.symbol}" is not fractionable')
        if asset.kind == "us_equity" and quantity % 1 and time_in_force is not F.DAY:
            raise AlpacaError("42210000", "fractional orders must be DAY orders")
        if form.get("extended_hours") == "True" and (kind is not T.LIMIT or time_in_force is not F.DAY):
            raise AlpacaError("42210000", "extended hours order must be DAY limit orders")
        self._check_free(asset, side, quantity)
        trigger = self._trail(asset, side, form) if kind is T.TRAILING_STOP_MARKET else None
        auction = time_in_force in (F.AT_THE_OPEN, F.AT_THE_CLOSE)
        return VenueOrder(
            instrument_id=asset.instrument_id,
            side=side,
            quantity=quantity,
            order_type=T.STOP_MARKET if kind is T.TRAILING_STOP_MARKET else kind,
            product=model.Product.DELIVERY,
            price=form.number("limit_price") if kind.has_price else None,
            trigger_price=form.number("stop_price") if kind.has_trigger else trigger,
            time_in_force=_VENUE_TIME.get(time_in_force, F.DAY),
            tag=form.get("client_order_id"),
            not_before=now_ns + _AUCTION_WAIT if auction else 0,
        )

    def _bought_for(self, asset: Asset, side: model.Side, money: Decimal) -> Decimal:
        market = self._venue.market(asset.instrument_id)
        levels = market.asks if side is model.Side.BUY else market.bids
        lot = asset.instrument.lot_size
        return (money / (levels[0][0] if levels else market.last_price) / lot).to_integral_value(ROUND_DOWN) * lot

    def _check_free(self, asset: Asset, side: model.Side, quantity: Decimal) -> None:
        """Refuse to cross from long to short in one order, and to sell a pair or a fraction that is not held."""
        held = self.held(asset.instrument_id)
        same = [self._state(chain) for chain in self._all() if chain.asset is asset and chain.venue_id]
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

    def held(self, instrument_id: str) -> Decimal:
        """Return the signed position in an instrument."""
        found = (one.quantity for one in self._venue.positions(self._account) if one.instrument_id == instrument_id)
        return next(found, ZERO)

    def _trail(self, asset: Asset, side: model.Side, form: Form) -> Decimal:
        if (form.get("trail_price") is None) == (form.get("trail_percent") is None):
            raise AlpacaError("42210000", "trail_price or trail_percent is required, one of them")
        last = self._venue.market(asset.instrument_id).last_price
        return _behind(last, side, form.get("trail_price"), form.get("trail_percent"), asset)

    def _client_id(self, given: str | None) -> str:
        if given is not None and len(given) > ID_LENGTH:
            raise AlpacaError("40010001", f"client_order_id must be no more than {ID_LENGTH} characters")
        if given in self._by_client:
            raise AlpacaError("40010001", "client_order_id must be unique")
        return given or self._new_id()

    def _new_id(self) -> str:
        self._made += 1
        return identity(self._seed, "order", self._made)

    def _chain(self, asset: Asset, order: VenueOrder, kept: dict[str, Any], name: str, now_ns: int) -> Chain:
        link = Link(self._new_id(), name, now_ns)
        water = self._venue.market(asset.instrument_id).last_price if kept["type"] == "trailing_stop" else None
        return Chain(asset, order, kept, [link], high_water=water)

    def _legs(self, parent: Chain, asked: Form, now_ns: int) -> list[Chain]:
        order_class = parent.fields["order_class"]
        given = {name: leg for name in ("take_profit", "stop_loss") if isinstance(leg := asked.raw(name), dict)}
        wanted = {"bracket": 2, "oto": 1, "oco": 1, "simple": 0}[order_class]
        if order_class == "oco":
            given.pop("take_profit", None)  # the limit order itself takes the profit
        if len(given) != wanted:
            raise AlpacaError("42210000", f"{order_class} orders require take_profit and stop_loss as they say")
        legs = []
        for name, leg in given.items():
            form = Form(leg)
            kind = T.LIMIT if name == "take_profit" else T.STOP_LIMIT if form.get("limit_price") else T.STOP_MARKET
            order = VenueOrder(
                instrument_id=parent.asset.instrument_id,
                side=parent.order.side if order_class == "oco" else parent.order.side.opposite,
                quantity=parent.order.quantity,
                order_type=kind,
                product=model.Product.DELIVERY,
                price=form.number("limit_price") if kind.has_price else None,
                trigger_price=form.number("stop_price") if kind.has_trigger else None,
                time_in_force=parent.order.time_in_force,
            )
            kept = parent.fields | {"type": ORDER_TYPE.write(kind), "qty": shortest(order.quantity), "notional": None}
            kept |= {"limit_price": shortest(order.price), "stop_price": shortest(order.trigger_price)}
            chain = self._chain(parent.asset, order, kept, self._new_id(), now_ns)
            chain.fate = OrderState(
                order_id="", account=self._account, order=order, status=S.ACCEPTED, ts_created=now_ns
            )
            chain.link.word = "held"
            legs.append(chain)
        return legs

    def _keep(self, chain: Chain) -> None:
        self._chains[chain.link.order_id] = self._by_client[chain.link.client_order_id] = chain

    # -- legs and trails ---------------------------------------------------------------------------------------------

    def _release(self, leg: Chain, now_ns: int) -> None:
        """Send a held leg to the exchange; what it refuses ends the leg."""
        leg.link.word = ""
        try:
            leg.venue_id = self._venue.submit(self._account, leg.order, now_ns)
        except VenueRejectError as refused:
            self._end(leg, S.REJECTED, now_ns, refused.text)
            return
        leg.fate = None
        self._by_venue[leg.venue_id] = leg

    def _end(self, chain: Chain, status: model.OrderStatus, now_ns: int, why: str = "") -> None:
        assert chain.fate is not None
        chain.link.word = ""
        chain.fate.status, chain.fate.ts_updated, chain.fate.reject_text = status, now_ns, why or None
        self._tell(WORDS[status], chain, chain.link, chain.fate)

    def _cancel(self, chain: Chain, now_ns: int) -> None:
        state = self._state(chain)
        if state.status.terminal or state.pending is _PENDING.CANCEL:
            raise AlpacaError("42210000", f"order is not cancelable: {WORDS[state.status]}")
        if chain.fate is not None:
            self._end(chain, S.CANCELED, now_ns)
            return
        with AlpacaError.refusing(chain.asset):
            self._venue.cancel(self._account, chain.venue_id, now_ns)

    def _follow(self, chain: Chain, state: OrderState, now_ns: int) -> None:
        """Do what the end of an order asks for: release its exits, or end what it was one of."""
        if state.status is S.FILLED:
            for leg in chain.legs:
                self._release(leg, now_ns)
        ending = [
            *(chain.siblings if state.filled_quantity else ()),
            *(chain.legs if state.status is not S.FILLED else ()),
        ]
        for other in ending:
            found = self._state(other)
            if not found.status.terminal and found.pending is _PENDING.NONE:
                self._cancel(other, now_ns)

    def _pull(self, now_ns: int) -> None:
        """Move the stops that trail."""
        for chain in self._all():
            if chain.high_water is None or not chain.venue_id:
                continue
            state = self._state(chain)
            last = self._venue.market(chain.asset.instrument_id).last_price
            sign = -chain.order.side.sign
            if (
                state.status is not S.TRIGGER_PENDING
                or state.pending is not _PENDING.NONE
                or sign * last <= sign * chain.high_water
            ):
                continue
            chain.high_water = last
            kept = chain.fields
            trigger = _behind(last, chain.order.side, kept["trail_price"], kept["trail_percent"], chain.asset)
            self._venue.modify(self._account, chain.venue_id, now_ns, trigger_price=trigger)

    # -- what the exchange tells -------------------------------------------------------------------------------------

    def poll(self, now_ns: int) -> None:
        """Turn what happened at the exchange into events, and do what follows from it."""
        self._pull(now_ns)
        for event in self._venue.events(self._account, self._seen):
            self._seen = event.sequence
            chain = self._by_venue.get(event.order.order_id)
            if chain is None:
                chain = self._adopted(event.order)
            before = self._before.get(event.order.order_id)
            self._before[event.order.order_id] = event.order
            self._hear(chain, before, event)
            if event.order.status.terminal:
                self._follow(chain, event.order, now_ns)

    def _adopted(self, state: OrderState) -> Chain:
        """Show an order that was placed past this interface, as by another terminal of the account."""
        order = state.order
        kept = dict.fromkeys(("trail_price", "trail_percent", "notional", "intent"))
        kept |= {
            "limit_price": shortest(order.price),
            "stop_price": shortest(order.trigger_price),
            "qty": shortest(order.quantity),
        }
        kept |= {"type": ORDER_TYPE.write(order.order_type), "order_class": "simple", "extended_hours": False}
        kept["time_in_force"] = TIME_IN_FORCE.write(order.time_in_force)
        name = order.tag if order.tag and order.tag not in self._by_client else self._new_id()
        chain = self._chain(self._assets.by_id[order.instrument_id], order, kept, name, state.ts_created)
        chain.venue_id = state.order_id
        self._by_venue[state.order_id] = chain
        self._keep(chain)
        return chain

    def _hear(self, chain: Chain, before: OrderState | None, event: VenueEvent) -> None:
        after, fresh = event.order, chain.waiting
        was = before.pending if before else _PENDING.NONE
        if before is None:
            self._tell("pending_new", chain, chain.link, after)
        if event.fill is not None:
            self._tell_fill(chain, after, event.fill)
        elif after.status.terminal:
            self._tell(WORDS[after.status], chain, chain.link, after)
        if fresh and before and was is _PENDING.MODIFY and after.pending is not _PENDING.MODIFY:
            self._changed(chain, fresh, before, after)
        elif after.pending is _PENDING.MODIFY and was is _PENDING.NONE and fresh is not None:
            self._tell("pending_replace", chain, chain.link, after)
        elif after.pending is _PENDING.CANCEL and was is not _PENDING.CANCEL:
            self._tell("pending_cancel", chain, chain.link, after)
        elif before is not None and before.status is S.ACCEPTED and after.status in (S.OPEN, S.TRIGGER_PENDING):
            self._tell("new", chain, chain.link, after)

    def _changed(self, chain: Chain, fresh: Link, before: OrderState, after: OrderState) -> None:
        """End a change: the new id is in force, or it was rejected and the old one is."""
        old, chain.waiting = chain.link, None
        if after.order == before.order or after.status.terminal:
            fresh.word, fresh.ended = "rejected", after.ts_updated
            self._tell("order_replace_rejected", chain, old, after)
            self._tell("rejected", chain, fresh, after)
            chain.links.insert(-1, fresh)
            return
        old.shown = {word: self.row(chain, old, state=before)[word] for word, _ in _CHANGED}
        old.word, old.ended, old.top, old.replaced_by = "replaced", after.ts_updated, after.filled_quantity, fresh
        fresh.word, fresh.base, fresh.shown = "", after.filled_quantity, {}
        chain.links.append(fresh)
        self._tell("replaced", chain, old, after)
        self._tell("new", chain, fresh, after)

    def _tell_fill(self, chain: Chain, state: OrderState, fill: VenueFill) -> None:
        data = {
            "timestamp": rfc3339(fill.ts),
            "price": shortest(fill.price),
            "qty": shortest(fill.quantity),
            "position_qty": shortest(self.held(chain.asset.instrument_id)),
            "execution_id": identity("execution", fill.trade_id, fill.order_id),
        }
        self._tell("fill" if state.status is S.FILLED else "partial_fill", chain, chain.link, state, data)

    def _tell(
        self, word: str, chain: Chain, link: Link, state: OrderState, data: Mapping[str, Any] | None = None
    ) -> None:
        told = {"timestamp": rfc3339(state.ts_updated)} | dict(data or {})
        self.told.append((word, told | {"order": self.row(chain, link, state=state)}))

    # -- records -----------------------------------------------------------------------------------------------------

    def row(self, chain: Chain, link: Link, *, state: OrderState | None = None, nested: bool = False) -> dict[str, Any]:
        """Write an order under one of its ids."""
        state = state or self._state(chain)
        fills = [fill for fill, _ in self._fills(chain, link, state)]
        filled = sum((fill.quantity for fill in fills), ZERO)
        value = sum((fill.quantity * fill.price for fill in fills), ZERO)
        word = link.word or self._status(state, filled, chain)
        kept, order = chain.fields, state.order
        mine = link is chain.link
        updated = link.ended or max(state.ts_updated, link.created)
        stamps = dict.fromkeys(("filled_at", "expired_at", "canceled_at", "failed_at", "replaced_at"))
        stamps |= {_STAMPS[state.status]: rfc3339(state.ts_updated)} if mine and state.status in _STAMPS else {}
        stamps |= {"replaced_at": rfc3339(link.ended)} if link.word == "replaced" else {}
        quantity = shortest(order.quantity - link.base)
        asset = chain.asset
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
            "qty": None if kept["notional"] else quantity,
            "filled_qty": shortest(filled),
            "filled_avg_price": shortest((value / filled).quantize(Decimal("0.000001"))) if filled else None,
            "order_class": kept["order_class"],
            "order_type": kept["type"],
            "type": kept["type"],
            "side": order.side.value.lower(),
            "position_intent": kept.get("intent"),
            "time_in_force": kept["time_in_force"],
            "limit_price": shortest(order.price) if kept["limit_price"] else None,
            "stop_price": shortest(order.trigger_price),
            "status": word,
            "extended_hours": kept["extended_hours"],
            "legs": [self.row(leg, leg.link) for leg in chain.legs] or None if nested else None,
            "trail_percent": kept["trail_percent"],
            "trail_price": kept["trail_price"],
            "hwm": shortest(chain.high_water),
            "source": "access_key",
            **link.shown,
        }

    def _status(self, state: OrderState, filled: Decimal, chain: Chain) -> str:
        if not state.status.terminal and state.pending is not _PENDING.NONE:
            if state.pending is _PENDING.CANCEL:
                return "pending_cancel"
            if chain.waiting is not None:
                return "pending_replace"
        if state.status is S.PARTIALLY_FILLED and not filled:
            return "new"
        return "accepted" if state.status is S.ACCEPTED and state.order.not_before else WORDS[state.status]

    def _word(self, chain: Chain, link: Link) -> str:
        return str(self.row(chain, link)["status"])

    def _fills(self, chain: Chain, link: Link, state: OrderState) -> Iterator[tuple[VenueFill, Decimal]]:
        """Yield the fills of a link up to a state, each with what the link had filled with it."""
        if not chain.venue_id or link.word in ("accepted", "rejected"):
            return
        total, most = ZERO, state.filled_quantity if link.top is None else min(link.top, state.filled_quantity)
        for fill in self._venue.fills(self._account, chain.venue_id):
            total += fill.quantity
            if link.base < total <= most:
                yield fill, total - link.base

    def activities(self) -> list[dict[str, Any]]:
        """Return every fill of the account as an activity, oldest first."""
        found = []
        for chain in self._all():
            state = self._state(chain)
            for link in chain.links:
                for fill, total in self._fills(chain, link, state):
                    top = link.top or state.order.quantity
                    left = max(top - link.base - total, ZERO)
                    found.append((fill.ts, fill.trade_id, activity_row(fill, link.order_id, total, left, chain.asset)))
        return [row for *_, row in sorted(found, key=lambda one: one[:2])]

    def named(self, venue_id: str) -> str:
        """Return the id in force of an order of the exchange."""
        return self._by_venue[venue_id].link.order_id

    def named_fill(self, wanted: VenueFill) -> tuple[str, Decimal]:
        """Return under which id a fill of the exchange is shown, and what that id had filled with it."""
        chain = self._by_venue[wanted.order_id]
        state = self._state(chain)
        for link in chain.links:
            for fill, total in self._fills(chain, link, state):
                if fill.trade_id == wanted.trade_id:
                    return link.order_id, total
        raise LookupError(f"fill {wanted.trade_id} is shown under no id")

    # -- inside ------------------------------------------------------------------------------------------------------

    def _all(self) -> list[Chain]:
        return list({id(one): one for one in self._chains.values()}.values())

    def _get(self, order_id: str) -> Chain:
        chain = self._chains.get(order_id)
        if chain is None:
            raise not_found(f"order {order_id}")
        return chain

    @staticmethod
    def _link(chain: Chain, order_id: str) -> Link:
        every = (*chain.links, *filter(None, (chain.waiting,)))
        return next(one for one in every if one.order_id == order_id)

    def _state(self, chain: Chain) -> OrderState:
        state = chain.fate or self._venue.order(self._account, chain.venue_id)
        if state is None:
            raise LookupError(f"order {chain.link.order_id} is not at the exchange")
        return state


def _zoned(given: str | None) -> str | None:
    """Return a time of a query; a plus in it may have become a blank, and a day stands for its beginning."""
    if not given:
        return None
    whole = given.replace(" ", "+") if "T" in given else f"{given}T00:00:00Z"
    return whole if whole[-1] == "Z" or "+" in whole[10:] or "-" in whole[10:] else f"{whole}Z"


def _behind(last: Decimal, side: model.Side, price: str | None, percent: str | None, asset: Asset) -> Decimal:
    """Return where a trailing stop is while the best price was `last`."""
    offset = Decimal(price) if price else last * Decimal(percent or 0) / 100
    tick = asset.instrument.tick_size
    return (last + side.sign * offset) // tick * tick
